//! Sequence numbers: what the numbers of a connection that went silent tell of who received what.

use super::distance::{agreeing, places, spares_elsewhere};
use super::kept::kept_back;
use super::suspect::INSPECTORS;
use super::{Assumption, Capture, Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::{Attempt, Entry, Outcome, Segment, What};
use crate::packet::SeqNumber;
use crate::path::{Place, hops_back};
use crate::recording::{RecordNumber, Said};

/// `data-acknowledged`, `data-not-acknowledged`
///
/// - **Says.** Whether the other end acknowledged what we said last.
/// - **Needs.** A capture that shows all that we said; a connection that stayed silent, or stalled, after we spoke.
/// - **Effect.** Acknowledged, it arrived: implicates a server that hangs and, where the acknowledgment shows that the other
///   end had sent nothing by then that is missing, spares those from which it would have come over another number of
///   routers, unless what it sent later was lost. Not
///   acknowledged, though sent again: implicates whoever drops it. Clears nobody: the acknowledgment may be a box's, or
///   lost.
/// - **Misleads when.** As said.
/// - **Rests on.** RFC 9293 section 3.10.7.4: the kernel acknowledges, whatever its program does.
pub(super) fn acknowledged(scene: &Scene<'_>) -> Option<Evidence> {
    if kept_back(scene).is_some() {
        return None;
    }
    let (sent, answer) = last_said_and_answered(scene)?;
    let sized = scene.connection.is_some_and(|c| c.said(Said::KeyExchange).is_some());
    let what = if sized { "key exchange" } else { "SSH identification" };
    if let Some((record, segment)) = answer {
        let hung = Suspects::of(&[Suspect::VmSshdHung]);
        let mut claims = vec![Claim::implicates(Place::END, Place::END, hung, Strength::Likely)];
        let back = hops_back(segment.hop_limit);
        let by_the_end = agreeing(scene, back, places(scene)).is_some_and(|(place, _)| place == Place::END);
        let nothing_missing = received(scene) == Some(segment.seq) && sent_and_lost(scene).is_none();
        if by_the_end && nothing_missing && !was_reset(scene) && !was_damaged(scene) {
            let elsewhere = spares_elsewhere(scene, Place::END, back);
            // The acknowledgment may have come before the answer was sent, and that been lost.
            claims.extend(elsewhere.iter().map(|claim| claim.unless(Assumption::PlainWay)));
            claims.extend(elsewhere);
        }
        return Some(Evidence {
            rule: "data-acknowledged",
            says: match sent_and_lost(scene) {
                Some(_) => format!("the other end's kernel acknowledged our {what}"),
                None => {
                    format!(
                        "the other end's kernel acknowledged our {what}, and no answer of its program came"
                    )
                }
            },
            packets: vec![sent, record],
            claims,
        });
    }
    let who = if sized { Suspects::of(&[Suspect::TransitMtu]) } else { INSPECTORS };
    // A kernel would acknowledge it, though its program hang: where no banner came either, something cut the connection.
    let strength = if is_cut_off(scene) { Strength::Likely } else { Strength::Possible };
    Some(Evidence {
        rule: "data-not-acknowledged",
        says: format!("our {what} was sent again and again, and never acknowledged"),
        packets: vec![sent],
        claims: vec![Claim::implicates(Place(1), Place::END, who, strength)],
    })
}

/// Whether any reset came from the server's side of the port, believed or not: a box may have reset the server's too.
fn was_reset(scene: &Scene<'_>) -> bool {
    let of_port = scene.attempts.iter().filter(|a| a.server.port() == scene.port);
    of_port.flat_map(|a| &a.timeline).any(|e| matches!(e.what, What::Rst { from_client: false, .. }))
}

/// Whether any data of the server's came with a wrong checksum, so that the kernel never took it.
fn was_damaged(scene: &Scene<'_>) -> bool {
    scene.attempt.is_some_and(|a| of_the_server(a).any(|(_, segment, _)| segment.checksum_ok == Some(false)))
}

/// Sequence numbers that a FIN takes: where no more than these are missing, the server's side closed, and no byte was lost.
const FIN: i32 = 1;

/// Whether the handshake is all that came through: no banner came, and what we said was never acknowledged.
pub(super) fn is_cut_off(scene: &Scene<'_>) -> bool {
    scene.outcome == Outcome::NoBanner
        && last_said_and_answered(scene).is_some_and(|(_, answer)| answer.is_none())
}

/// The segment that holds what we said last, where the connection went silent then, and what acknowledged it.
fn last_said_and_answered<'a>(
    scene: &Scene<'a>,
) -> Option<(RecordNumber, Option<(RecordNumber, &'a Segment)>)> {
    let silent = matches!(scene.outcome, Outcome::Stalled | Outcome::NoBanner);
    let attempt = scene.attempt.filter(|_| silent && !scene.closed_behind_banner())?;
    let sent = last_said(attempt)?;
    let next = match &sent.what {
        What::Data { segment, len, .. } => segment.seq.plus(*len),
        _ => return None,
    };
    let answer = of_the_server(attempt).find(|(_, s, _)| s.ack.distance_from(next) >= 0);
    Some((sent.record, answer.map(|(record, segment, _)| (record, segment))))
}

/// `sent-and-lost`
///
/// - **Says.** The other end has sent bytes that never came.
/// - **Needs.** A capture that lost nothing; a segment of the server's side that begins beyond all that came before, by more
///   than the number that a FIN takes.
/// - **Effect.** Clears a server that hangs; implicates whoever drops what comes back: what inspects it, or a link that takes
///   no packets of that size.
/// - **Misleads when.** Never: a sequence number counts the bytes sent.
/// - **Rests on.** RFC 9293 section 3.4.
pub(super) fn sent_and_lost(scene: &Scene<'_>) -> Option<Evidence> {
    let silent = matches!(scene.outcome, Outcome::Stalled | Outcome::NoBanner);
    let attempt = scene
        .attempt
        .filter(|_| silent && scene.capture != Capture::Lossy && !scene.closed_behind_banner())?;
    let received = received(scene)?;
    let (record, beyond) = of_the_server(attempt)
        .map(|(record, segment, _)| (record, segment.seq.distance_from(received)))
        .filter(|(_, beyond)| *beyond > FIN)
        .max_by_key(|(_, beyond)| *beyond)?;
    let hung = Suspects::of(&[Suspect::VmSshdHung, Suspect::VmSshdRefuses]);
    let who = INSPECTORS.or(Suspects::of(&[Suspect::TransitMtu]));
    Some(Evidence {
        rule: "sent-and-lost",
        says: format!("the other end has sent {beyond} bytes that never came"),
        packets: vec![record],
        claims: vec![
            Claim::implicates(Place(1), Place::END, who, Strength::Likely),
            Claim::clears(Place::END, Place::END, hung),
        ],
    })
}

/// What came from the server's side once the connection was there, but for its end: the record, its header, and how many bytes
/// of data.
fn of_the_server(attempt: &Attempt) -> impl Iterator<Item = (RecordNumber, &Segment, u32)> {
    attempt.timeline.iter().filter_map(|e| match &e.what {
        What::Acked(segment) => Some((e.record, segment, 0)),
        What::Data { from_client: false, segment, len, .. } => Some((e.record, segment, *len)),
        _ => None,
    })
}

/// The reset that ended the connection, and what shows that the kernel in whose name it came had not sent it: behind it that
/// kernel acknowledged more than before, or sent what had not come before.
pub(super) fn goes_on_behind_reset(scene: &Scene<'_>) -> Option<[RecordNumber; 2]> {
    let attempt = scene.attempt?;
    let reset = attempt
        .timeline
        .iter()
        .find(|e| matches!(e.what, What::Rst { from_client: false, acceptable: true, .. }))?
        .record;
    let later = |a: SeqNumber, b: SeqNumber| if b.distance_from(a) > 0 { b } else { a };
    let before = || of_the_server(attempt).filter(|(record, ..)| *record < reset);
    let syn_ack = attempt.timeline.iter().find_map(|e| match &e.what {
        What::SynAck(segment) => Some(segment),
        _ => None,
    })?;
    let sent = before().map(|(_, s, len)| s.seq.plus(len)).fold(syn_ack.seq.plus(1), later);
    let acknowledged = before().map(|(_, s, _)| s.ack).fold(syn_ack.ack, later);
    let more = |before: SeqNumber, now: SeqNumber| now.distance_from(before) > 0;
    let (goes_on, ..) = of_the_server(attempt).find(|(record, segment, len)| {
        *record > reset && (*len > 0 && more(sent, segment.seq.plus(*len)) || more(acknowledged, segment.ack))
    })?;
    Some([reset, goes_on])
}

/// The number of the byte that comes next, after all that came without a gap.
fn received(scene: &Scene<'_>) -> Option<SeqNumber> {
    let attempt = scene.attempt?;
    let first = attempt.timeline.iter().find_map(|e| match &e.what {
        What::SynAck(segment) => Some(segment.seq.plus(1)),
        _ => None,
    })?;
    let mut next = first;
    for (_, segment, len) in of_the_server(attempt) {
        let end = segment.seq.plus(len);
        if segment.seq.distance_from(next) <= 0 && end.distance_from(next) > 0 {
            next = end;
        }
    }
    Some(next)
}

/// The segment that holds the first bytes of what we said last and is not a probe.
fn last_said(attempt: &Attempt) -> Option<&Entry> {
    let own = |what: &What| match what {
        What::Data { from_client: true, segment, .. } if !segment.is_probe() => Some(segment.seq),
        _ => None,
    };
    // Sent again, it keeps its number: the first of the newest two numbers is what waits longest.
    let oldest_unanswered = attempt.timeline.iter().filter_map(|e| Some((own(&e.what)?, e)));
    let answered = attempt.timeline.iter().rev().find_map(|e| match &e.what {
        What::SynAck(s) | What::Acked(s) | What::Data { from_client: false, segment: s, .. } => Some(s.ack),
        _ => None,
    })?;
    let mut waiting = oldest_unanswered.clone().filter(|(seq, _)| seq.distance_from(answered) >= 0);
    waiting.next().or_else(|| oldest_unanswered.clone().next_back()).map(|(_, e)| e)
}

#[cfg(test)]
mod tests;
