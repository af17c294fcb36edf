//! After the banner: our identification, or a full-size segment, makes the connection end. Where on the way?
//!
//! Both are sent again on connections of their own, with a hop limit that cannot reach the VM, beside harmless bytes.

use super::distance::{agreeing, places, spares_elsewhere};
use super::silence::most_usual_dropper;
use super::size::Sizes;
use super::suspect::INSPECTORS;
use super::{Capture, Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::{Attempt, Outcome, What};
use crate::packet::SeqNumber;
use crate::path::{DataProbe, Place, Reply, Segment, hops_back};
use crate::recording::{RecordNumber, Said};

/// Connections whose reset must have been drawn before its sender is placed.
const RESETS: usize = 2;

/// How soon a reset comes that our data drew, in ns.
pub(super) const PROMPT: i64 = 1_000_000_000;

/// Fewest times that data must have gone unanswered at one hop, and how many of those beside harmless bytes that
/// were answered.
pub(super) const UNANSWERED: usize = 3;
pub(super) const BESIDE_HARMLESS: usize = 2;

/// How soon harmless bytes must follow to speak for the same moment, in ns.
const RIGHT_BEHIND: i64 = 80_000_000;

/// `identification-reset-before-path-end`
///
/// - **Says.** Our SSH identification, sent so that it runs out at hop h, drew a reset, and the path goes on beyond h.
/// - **Needs.** Two connections that were reset so, promptly; one that carried harmless bytes as far, was opened
///   before and closed after them, and was not; a router at h or beyond on the same way; a reset that came back over
///   fewer than h routers.
/// - **Effect.** Clears everything beyond hop h; implicates whoever inspects at h or right before, and spares those from which
///   the reset would have come over another number of routers.
/// - **Misleads when.** As for `reset-before-path-end`.
/// - **Rests on.** RFC 791 and RFC 8200 (a router does not forward a packet whose hop limit has run out).
pub(super) fn identification_reset_before_path_end(scene: &Scene<'_>) -> Option<Evidence> {
    if scene.outcome != Outcome::ResetAfterHandshake {
        return None;
    }
    let mut resets: Vec<(&DataProbe, &Reply)> = scene
        .data
        .iter()
        .filter(|p| p.identifies)
        .filter_map(|p| Some((p, p.reset()?)))
        .filter(|(p, r)| r.at.since(p.at) < PROMPT)
        .collect();
    resets.sort_by_key(|(p, r)| (p.hop_limit, r.record));
    let &[.., (farthest, reset)] = resets.get(..RESETS)? else { return None };
    let hop = farthest.hop_limit;
    let from_beyond = |(_, r): &(&DataProbe, &Reply)| r.hop_limit.is_none_or(|left| hops_back(left) >= hop);
    let control = untouched(scene, resets.iter().map(|(_, r)| r.record).max()?)?;
    if resets.iter().any(from_beyond) {
        return None;
    }
    let mut packets: Vec<RecordNumber> = resets.iter().flat_map(|(p, r)| [p.record, r.record]).collect();
    packets.extend(control);
    packets.extend(scene.router_at_or_beyond(hop)?);
    let (near, far) = (Place(hop.saturating_sub(1).max(1)), Place(hop));
    let back = reset.hop_limit.map_or(0, hops_back);
    let at = if back < hop && back + 1 >= near.0 { Place(back + 1).min(far) } else { far };
    let mut claims = vec![
        Claim::implicates(at, at, inspectors_at(scene, at), Strength::Likely),
        Claim::implicates(near, far, INSPECTORS, Strength::Possible),
        Claim::clears(Place(hop + 1), Place::END, Suspects::all()),
    ];
    if resets.windows(2).all(|w| w[0].1.hop_limit == w[1].1.hop_limit) {
        claims.extend(spares_elsewhere(scene, at, back));
    }
    Some(Evidence {
        rule: "identification-reset-before-path-end",
        says: format!(
            "our SSH identification, sent so that it cannot get past hop {hop}, drew a reset each time, harmless bytes drew none, and the path goes on beyond hop {hop}: its sender is no farther"
        ),
        packets,
        claims,
    })
}

/// Records of a connection that carried harmless bytes and was closed by us after the record `end`, not reset.
fn untouched(scene: &Scene<'_>, end: RecordNumber) -> Option<Vec<RecordNumber>> {
    let first_subject = scene.data.iter().filter(|p| p.identifies).map(|p| p.record).min()?;
    scene.attempts.iter().find_map(|attempt| {
        let mut harmless = scene.data.iter().filter(|p| p.client == attempt.client && p.is_harmless());
        let sent = harmless.find(|p| p.record < first_subject)?;
        let identified = scene.data.iter().any(|p| p.client == attempt.client && !p.is_harmless());
        let closed =
            attempt.timeline.iter().find(|e| matches!(e.what, What::Fin { .. } | What::Rst { .. }))?;
        let by_us = matches!(closed.what, What::Fin { from_client: true, .. });
        (!identified && by_us && closed.record > end).then(|| vec![sent.record, closed.record])
    })
}

/// Who inspects at a place, in its likeliest segment alone.
pub(super) fn inspectors_at(scene: &Scene<'_>, place: Place) -> Suspects {
    let segment = scene.segment_of(place);
    INSPECTORS.iter().filter(|s| s.segment() == segment).collect()
}

/// Where data of a kind stops.
struct Stop {
    /// The farthest hop that answered it to the end; 0 if none did.
    reached: u8,
    /// The nearest hop that it does not get to, though harmless bytes do.
    next: u8,
    packets: Vec<RecordNumber>,
}

/// Where the data that `wanted` picks stops, going by what was sent beside harmless bytes.
fn stop(scene: &Scene<'_>, wanted: fn(&DataProbe) -> bool) -> Option<Stop> {
    if !scene.is_lossless() {
        return None;
    }
    let compared: Vec<(&DataProbe, &DataProbe)> = scene
        .data
        .iter()
        .filter(|p| wanted(p))
        .filter_map(|p| Some((p, harmless_behind(scene, p)?)))
        .collect();
    let unanswered = |hop: u8| {
        let all = scene.data.iter().filter(|p| wanted(p) && p.hop_limit == hop);
        let beside = compared.iter().filter(|(p, _)| p.hop_limit == hop && p.replies.is_empty()).count();
        (all.clone().all(|p| p.replies.is_empty()) && beside >= BESIDE_HARMLESS && all.count() >= UNANSWERED)
            .then_some(hop)
    };
    let next = compared.iter().filter_map(|(p, _)| unanswered(p.hop_limit)).min()?;
    // What came back before may have been what made a box stop all that follows.
    let answered = compared.iter().filter(|(p, _)| p.hop_limit < next && p.time_exceeded().is_some());
    let reached = answered.map(|(p, _)| p.hop_limit).max().unwrap_or(0);
    if !scene.same_way_before(next) {
        return None;
    }
    let shown = compared.iter().filter(|(p, _)| p.hop_limit == next || p.hop_limit == reached);
    let packets = shown
        .flat_map(|(p, h)| {
            [p, h].into_iter().flat_map(|p| p.replies.iter().map(|r| r.record).chain([p.record]))
        })
        .collect();
    Some(Stop { reached, next, packets })
}

/// Harmless bytes that followed a probe to the same hop at once, and were answered there.
pub(super) fn harmless_behind<'a>(scene: &'a Scene<'_>, probe: &DataProbe) -> Option<&'a DataProbe> {
    scene.data.iter().find(|h| {
        h.is_harmless()
            && h.hop_limit == probe.hop_limit
            && (0..RIGHT_BEHIND).contains(&h.at.since(probe.at))
            && h.time_exceeded().is_some()
    })
}

/// How far something gets, in words.
pub(super) fn stops(scene: &Scene<'_>, what: &str, control: &str, reached: u8, next: u8) -> String {
    let place = |hop| scene.between(Place(hop), Place(hop));
    match reached {
        0 => format!("{what} does not get to {}, and {control} beside it does", place(next)),
        _ => format!(
            "{what} gets as far as {} and no farther, and {control} beside it to {}",
            place(reached),
            place(next)
        ),
    }
}

pub(super) fn clear_around(claims: &mut Vec<Claim>, from: Place, to: Place) {
    if from > Place(1) {
        claims.push(Claim::clears(Place(1), Place(from.0 - 1), Suspects::all()));
    }
    claims.push(Claim::clears(Place(to.0 + 1), Place::END, Suspects::all()));
}

/// `identification-stops`
///
/// - **Says.** Our SSH identification gets as far as hop h and no farther, while harmless bytes get beyond it.
/// - **Needs.** Three that went unanswered at the next hop, two of them with harmless bytes right behind that were
///   answered there, and the answer of hop h to one sent as late; no sign of loss.
/// - **Effect.** It is dropped between hop h and the next: clears everything before and beyond, but not the hop before
///   h, whose box may have let the first one pass.
/// - **Misleads when.** The hops beyond ration their answers.
/// - **Rests on.** As for `port-stops-where-control-goes-on`.
pub(super) fn identification_stops(scene: &Scene<'_>) -> Option<Evidence> {
    let Stop { reached, next, packets } =
        stop(scene, |p| p.identifies).filter(|_| scene.outcome == Outcome::Stalled)?;
    let (from, to) = (Place(reached.saturating_sub(1).max(1)), Place(next));
    let suspected = most_usual_dropper(scene, Place(reached.max(1)), to);
    let mut claims = vec![
        Claim::implicates(suspected, suspected, inspectors_at(scene, suspected), Strength::Likely),
        Claim::implicates(from, to, INSPECTORS, Strength::Possible),
    ];
    clear_around(&mut claims, from, to);
    Some(Evidence {
        rule: "identification-stops",
        says: stops(scene, "our SSH identification", "harmless bytes", reached, next),
        packets,
        claims,
    })
}

/// `full-size-stops`
///
/// - **Says.** Segments of full size get as far as hop h and no farther, while small ones get beyond it: the link
///   beyond h takes no packets of that size, and nobody says so. And where smaller ones were tried, which get beyond.
/// - **Needs.** As for `identification-stops`; for a size to be the least that is lost, the same again.
/// - **Effect.** Implicates the path MTU between hop h and the next; clears everything before and beyond.
/// - **Misleads when.** As for `identification-stops`.
/// - **Rests on.** RFC 1191 and RFC 8201; RFC 2923 section 2.1 names such places black holes.
pub(super) fn full_size_stops(scene: &Scene<'_>) -> Option<Evidence> {
    let Stop { reached, next, mut packets } =
        stop(scene, DataProbe::is_full_size).filter(|_| scene.outcome == Outcome::Stalled)?;
    let (from, to) = (Place(reached.max(1)), Place(next));
    let len = scene.data.iter().filter(|p| p.is_sized()).map(|p| p.len).max().unwrap_or(0);
    let sizes = Sizes::beyond(scene, next);
    packets.extend(sizes.iter().flat_map(|sizes| &sizes.packets));
    let found = sizes.map_or_else(String::new, |sizes| format!("; {}", sizes.says()));
    let others = Suspects::of(&[Suspect::EdgeFirewall, Suspect::AzureFirewall]);
    let mut claims = vec![
        Claim::implicates(from, to, Suspects::of(&[Suspect::TransitMtu]), Strength::Likely),
        Claim::implicates(from, to, others, Strength::Possible),
    ];
    clear_around(&mut claims, from, to);
    Some(Evidence {
        rule: "full-size-stops",
        says: stops(scene, &format!("a segment with {len} bytes"), "a short one", reached, next)
            + ": an MTU black hole"
            + &found,
        packets,
        claims,
    })
}

/// `passes-every-hop`
///
/// - **Says.** What makes the connection end got past every router that answers, and nothing happened.
/// - **Needs.** The answer of the last router seen to our identification (or to a full-size segment), sent with a hop
///   limit that ends there, and no reset.
/// - **Effect.** Implicates what lies at the end of the path; clears nobody: a box may wait for more, or for the
///   server's answer.
/// - **Misleads when.** A box on the way looks at what comes back.
/// - **Rests on.** RFC 792, RFC 4443: the quote ties the answer to our packet.
pub(super) fn passes_every_hop(scene: &Scene<'_>) -> Option<Evidence> {
    let sized = scene.data.iter().any(DataProbe::is_sized);
    let subject = |p: &&DataProbe| if sized { p.is_full_size() } else { p.identifies };
    let last = scene.path.hops.iter().rev().find(|h| h.address.is_some())?.number;
    let answered = scene.data.iter().filter(subject).rfind(|p| p.hop_limit == last)?;
    let reply = answered.time_exceeded()?;
    if scene.data.iter().any(|p| p.reset().is_some()) {
        return None;
    }
    let (what, suspects) = match scene.outcome {
        Outcome::ResetAfterHandshake => (
            "our SSH identification",
            Suspects::of(&[Suspect::VmIds, Suspect::VmSshdRefuses, Suspect::AzureIds]),
        ),
        Outcome::Stalled if sized => ("a segment of full size", Suspects::of(&[Suspect::VmSshdHung])),
        Outcome::Stalled => ("our SSH identification", Suspects::of(&[Suspect::VmSshdHung, Suspect::VmIds])),
        _ => return None,
    };
    Some(Evidence {
        rule: "passes-every-hop",
        says: format!(
            "{what} gets to {}, the last router that answers at all, unharmed",
            scene.between(Place(last), Place(last))
        ),
        packets: vec![answered.record, reply.record],
        claims: vec![Claim::implicates(Place(last), Place::END, suspects, Strength::Likely)],
    })
}

/// `data-acknowledged`, `data-not-acknowledged`
///
/// - **Says.** Whether the other end acknowledged what we said last.
/// - **Needs.** A capture; a connection that stayed silent, or stalled, after we spoke.
/// - **Effect.** Acknowledged, it arrived: implicates a server that hangs and, where the acknowledgment shows that the other
///   end sent nothing that is missing, spares those from which it would have come over another number of routers. Not
///   acknowledged, though sent again: implicates whoever drops it. Clears nobody: the acknowledgment may be a box's, or
///   lost.
/// - **Misleads when.** As said.
/// - **Rests on.** RFC 9293 section 3.10.7.4: the kernel acknowledges, whatever its program does.
pub(super) fn acknowledged(scene: &Scene<'_>) -> Option<Evidence> {
    let (sent, answer) = last_said_and_answered(scene)?;
    let sized = scene.connection.is_some_and(|c| c.said(Said::KeyExchange).is_some());
    let what = if sized { "key exchange" } else { "SSH identification" };
    if let Some((record, segment)) = answer {
        let hung = Suspects::of(&[Suspect::VmSshdHung]);
        let mut claims = vec![Claim::implicates(Place::END, Place::END, hung, Strength::Likely)];
        let back = hops_back(segment.hop_limit);
        let by_the_end = agreeing(scene, back, places(scene)).is_some_and(|(place, _)| place == Place::END);
        if by_the_end && received(scene) == Some(segment.seq) && !was_reset(scene) {
            claims.extend(spares_elsewhere(scene, Place::END, back));
        }
        return Some(Evidence {
            rule: "data-acknowledged",
            says: format!("the other end's kernel acknowledged our {what}, and its program did not answer"),
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

/// Whether the handshake is all that came through: no banner came, and what we said was never acknowledged.
pub(super) fn is_cut_off(scene: &Scene<'_>) -> bool {
    scene.outcome == Outcome::NoBanner
        && last_said_and_answered(scene).is_some_and(|(_, answer)| answer.is_none())
}

/// The segment that holds what we said last, where the connection went silent then, and what acknowledged it.
fn last_said_and_answered<'a>(
    scene: &Scene<'a>,
) -> Option<(RecordNumber, Option<(RecordNumber, &'a crate::attempt::Segment)>)> {
    let silent = matches!(scene.outcome, Outcome::Stalled | Outcome::NoBanner);
    let attempt = scene.attempt.filter(|_| silent)?;
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
/// - **Needs.** A capture that lost nothing; a segment of the server's side that begins beyond all that came before.
/// - **Effect.** Clears a server that hangs; implicates whoever drops what comes back: what inspects it, or a link that takes
///   no packets of that size.
/// - **Misleads when.** Never: a sequence number counts the bytes sent.
/// - **Rests on.** RFC 9293 section 3.4.
pub(super) fn sent_and_lost(scene: &Scene<'_>) -> Option<Evidence> {
    let silent = matches!(scene.outcome, Outcome::Stalled | Outcome::NoBanner);
    let attempt = scene.attempt.filter(|_| silent && scene.capture != Capture::Lossy)?;
    let received = received(scene)?;
    let (record, beyond) = of_the_server(attempt)
        .map(|(record, segment, _)| (record, segment.seq.distance_from(received)))
        .filter(|(_, beyond)| *beyond > 0)
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

/// What came from the server's side once the connection was there: the record, its header, and how many bytes of data.
fn of_the_server(attempt: &Attempt) -> impl Iterator<Item = (RecordNumber, &crate::attempt::Segment, u32)> {
    attempt.timeline.iter().filter_map(|e| match &e.what {
        What::Acked(segment) => Some((e.record, segment, 0)),
        What::Data { from_client: false, segment, len, .. } => Some((e.record, segment, *len)),
        _ => None,
    })
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
fn last_said(attempt: &Attempt) -> Option<&crate::attempt::Entry> {
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

/// `packet-too-big`
///
/// - **Says.** A router says what size its next link takes.
/// - **Needs.** ICMP fragmentation needed or packet too big about data of ours.
/// - **Effect.** Implicates the path MTU from there on; clears nobody: whoever stalls the connection in spite of it may be
///   anywhere.
/// - **Misleads when.** The error is forged.
/// - **Rests on.** RFC 1191 section 4, RFC 8201.
pub(super) fn packet_too_big(scene: &Scene<'_>) -> Option<Evidence> {
    if scene.outcome != Outcome::Stalled {
        return None;
    }
    let (mtu, from, record) =
        scene.attempts.iter().flat_map(|a| &a.timeline).find_map(|e| match &e.what {
            What::Icmp(seen) => Some((seen.mtu?, seen.from, e.record)),
            _ => None,
        })?;
    let at = scene.path.hop_of(from).map_or(Place(1), |hop| Place(hop.number));
    Some(Evidence {
        rule: "packet-too-big",
        says: format!("{from} says that its next link takes packets of {mtu} bytes at most"),
        packets: vec![record],
        claims: vec![Claim::implicates(at, Place::END, mtu_suspects(scene, at), Strength::Likely)],
    })
}

/// Who keeps too large packets going, by the segment of the router that complains.
fn mtu_suspects(scene: &Scene<'_>, at: Place) -> Suspects {
    match scene.segment_of(at) {
        Segment::Edge => Suspects::of(&[Suspect::EdgeFirewall, Suspect::TransitMtu]),
        _ => Suspects::of(&[Suspect::TransitMtu]),
    }
}

#[cfg(test)]
mod tests;
