//! After the handshake: who answered it, and what became of the connection.

use super::distance::{origin, own_answer, places, routers, spares_elsewhere};
use super::outcome::conversed;
use super::sequence::{goes_on_behind_reset, is_cut_off};
use super::stage::{copied, passes_every_hop};
use super::suspect::INSPECTORS;
use super::{Assumption, Capture, Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::{Connection, Outcome, What};
use crate::packet::HopLimit;
use crate::path::{Place, ReplyKind, SWEPT, hops_back};
use crate::recording::{RecordNumber, Said};

/// `handshake-from-before-path-end`
///
/// - **Says.** A SYN that runs out at hop h drew a SYN/ACK, and routers at h or beyond still answer: a box no
///   farther than h answers for the VM.
/// - **Needs.** As for `reset-before-path-end`.
/// - **Effect.** Implicates a proxy or firewall up to hop h, first of all the one as far away as the SYN/ACK came from, and
///   spares what lies behind it and elsewhere; clears nobody. Where the box only waits for the server, it is implicated
///   weakly and nobody is spared.
/// - **Misleads when.** As for `reset-before-path-end`.
/// - **Rests on.** As for `reset-before-path-end`.
pub(super) fn handshake_from_before_path_end(scene: &Scene<'_>) -> Option<Evidence> {
    if matches!(scene.outcome, Outcome::LocalFailure | Outcome::HalfOpen) {
        return None;
    }
    let (hop, packets) = early_handshake(scene)?;
    let left = scene.trigger(|r| r.kind == ReplyKind::SynAck)?.replies.iter().find_map(|(_, r)| r.hop_limit);
    let back = left.map(hops_back).filter(|back| *back < hop);
    let at = back.map_or(Place(hop), |back| Place(back + 1));
    let there = scene.likeliest_at(at, ANSWERERS);
    let mut claims = Vec::new();
    if waiting(scene).is_none() {
        claims.push(Claim::implicates(at, at, there, Strength::Likely));
        claims.push(Claim::spares(Place(hop + 1), Place::END, Suspects::all(), Assumption::RestInOrder));
        claims.extend(back.into_iter().flat_map(|back| spares_elsewhere(scene, at, back)));
    }
    claims.push(Claim::implicates(Place(1), Place(hop), ANSWERERS, Strength::Possible));
    Some(Evidence {
        rule: "handshake-from-before-path-end",
        says: format!(
            "a SYN that cannot get past hop {hop} drew a SYN/ACK, and the path goes on beyond hop {hop}: a box up to there answers for the VM"
        ),
        packets,
        claims,
    })
}

/// `waits-for-the-server`
///
/// - **Says.** The SYN/ACK offered no window, and nothing opened it: a box that answers SYNs itself (a SYN proxy) asked the
///   server afterwards, and has had no answer.
/// - **Needs.** A SYN/ACK with window 0, and nothing with another window behind it.
/// - **Effect.** Implicates who drops without a word from that box to the VM; clears nobody.
/// - **Misleads when.** A server offers no window of its own accord.
/// - **Rests on.** Linux: synproxy_send_client_synack (net/netfilter/nf_synproxy_core.c) offers none until the server's
///   SYN/ACK has come.
pub(super) fn waits_for_the_server(scene: &Scene<'_>) -> Option<Evidence> {
    let record = waiting(scene)?;
    let from = early_handshake(scene).map_or(Place(1), |(hop, _)| Place(hop));
    let answers_elsewhere = own_answer(scene, Place::END).is_some();
    let droppers = Suspects::of(&[Suspect::AzureNsg, Suspect::VmFirewall]);
    let dead = Suspects::of(&[Suspect::VmDown, Suspect::AzurePublicIp]);
    let who = if answers_elsewhere { droppers } else { droppers.or(dead) };
    Some(Evidence {
        rule: "waits-for-the-server",
        says: "the SYN/ACK offered no window and nothing opened it: a box answers SYNs for the server, and the server has not answered the box"
            .to_owned(),
        packets: vec![record],
        claims: vec![Claim::implicates(from, Place::END, who, Strength::Likely)],
    })
}

/// The SYN/ACK of a box that has not had the server's yet.
fn waiting(scene: &Scene<'_>) -> Option<RecordNumber> {
    let fits = matches!(scene.outcome, Outcome::Intercepted | Outcome::NoBanner);
    let timeline = &scene.attempt.filter(|_| fits)?.timeline;
    let window = |what: &What| match what {
        What::SynAck(s) | What::Acked(s) | What::Data { from_client: false, segment: s, .. } => {
            Some(s.window)
        }
        _ => None,
    };
    let syn_ack = timeline.iter().find(|e| matches!(e.what, What::SynAck(_)))?;
    timeline.iter().filter_map(|e| window(&e.what)).all(|w| w == 0).then_some(syn_ack.record)
}

/// Who answers for others.
pub(super) const ANSWERERS: Suspects = Suspects::of(&[
    Suspect::EdgeProxy,
    Suspect::EdgeFirewall,
    Suspect::TransitFilter,
    Suspect::AzureLoadBalancer,
    Suspect::AzureFirewall,
]);

/// The hop limit that drew a SYN/ACK though the path goes on beyond it, and the records that show it.
pub(super) fn early_handshake(scene: &Scene<'_>) -> Option<(u8, Vec<RecordNumber>)> {
    let trigger = scene.trigger(|r| r.kind == ReplyKind::SynAck).filter(|t| t.at_most < SWEPT)?;
    if scene.capture == Capture::Lossy {
        return None;
    }
    let router = scene.router_at_or_beyond(trigger.at_most)?;
    Some((trigger.at_most, [trigger.records, router].concat()))
}

/// Whether a box before the VM completed the handshake and keeps the connection.
///
/// A SYNPROXY hands the connection on: what the VM then sends has come farther than the SYN/ACK has.
pub fn is_intercepted(scene: &Scene<'_>) -> bool {
    let established = matches!(
        scene.outcome,
        Outcome::Open
            | Outcome::Closed
            | Outcome::NotSsh
            | Outcome::NoBanner
            | Outcome::Stalled
            | Outcome::ResetAfterHandshake
    );
    established && early_handshake(scene).is_some() && !is_handed_on(scene)
}

/// Whether data came from farther away than the SYN/ACK of its connection.
fn is_handed_on(scene: &Scene<'_>) -> bool {
    let left = |wanted: fn(&What) -> Option<HopLimit>| {
        scene.attempt.and_then(|a| a.timeline.iter().find_map(|e| wanted(&e.what)))
    };
    let syn_ack = left(|w| if let What::SynAck(s) = w { Some(s.hop_limit) } else { None });
    let data = left(|w| match w {
        What::Data { from_client: false, segment, .. } => Some(segment.hop_limit),
        _ => None,
    });
    matches!((syn_ack, data), (Some(syn_ack), Some(data)) if syn_ack != data)
}

/// A silence that tells something, in nanoseconds: a server says who it is within milliseconds, after a slow look-up of the
/// client's name within seconds.
const TELLING_SILENCE: i64 = 3_000_000_000;

/// `after-the-handshake`
///
/// - **Says.** How the established connection ended, or that it stayed silent, and for how long.
/// - **Needs.** A completed handshake; no other tool's requests, of which the rules for those say more.
/// - **Effect.** Implicates what on the VM does that, less surely where another program's capture shows less than 3 s of
///   silence; clears nobody: a box on the way may do the same.
/// - **Misleads when.** A proxy answers for the VM.
/// - **Rests on.** RFC 4253 section 4.2: the server sends its identification line without being asked.
pub(super) fn after_the_handshake(scene: &Scene<'_>) -> Option<Evidence> {
    // Nobody tried SSH.
    if scene.connection.is_none() && super::request::blocked_connection(scene.data, scene.target).is_some() {
        return None;
    }
    let (says, suspects): (&str, &[Suspect]) = match scene.outcome {
        Outcome::ResetAfterHandshake if said(scene, Said::Identification) && !identified_itself(scene) => (
            "the connection was established, and no SSH identification came; ours was sent, then the connection was reset",
            &[
                Suspect::VmSshdRefuses,
                Suspect::VmOtherService,
                Suspect::EdgeIds,
                Suspect::AzureIds,
                Suspect::VmIds,
            ],
        ),
        Outcome::ResetAfterHandshake if said(scene, Said::Identification) => (
            "the SSH identification came and ours was sent, then the connection was reset",
            &[Suspect::EdgeIds, Suspect::AzureIds, Suspect::VmIds],
        ),
        Outcome::ResetAfterHandshake => (
            "the connection was established, then reset before the key exchange was through",
            &[Suspect::VmSshdRefuses, Suspect::EdgeIds],
        ),
        Outcome::Closed if turned_away(scene) => (
            "the connection was established, and closed with sshd's own words for too many connections, of which this trace's may have been one",
            &[Suspect::VmSshdRefuses],
        ),
        Outcome::Closed if foreign_words(scene) => (
            "the connection was established, and closed by the server's side after words that are not SSH's",
            &[Suspect::VmOtherService],
        ),
        Outcome::Closed => (
            "the connection was established, then closed by the server's side before any SSH identification",
            &[Suspect::VmSshdRefuses],
        ),
        Outcome::NotSsh => (
            "the connection was established, and what the server's side sent is not SSH",
            &[Suspect::VmOtherService],
        ),
        Outcome::NoBanner => {
            ("the connection was established, and no SSH identification came", &[Suspect::VmSshdHung])
        }
        Outcome::Stalled if said(scene, Said::KeyExchange) => (
            "the key exchange began, then our first message that is longer than a segment was not answered",
            &[Suspect::TransitMtu],
        ),
        Outcome::Stalled if scene.closed_behind_banner() => (
            "the SSH identification came and ours was sent, then the server's side closed the connection before the key exchange",
            &[Suspect::VmSshdRefuses, Suspect::VmOtherService],
        ),
        Outcome::Stalled => (
            "the SSH identification came and ours was sent, then nothing more came",
            &[Suspect::VmSshdHung, Suspect::EdgeIds],
        ),
        _ => return None,
    };
    let silence = silence(scene).filter(|_| scene.outcome == Outcome::NoBanner);
    // Where data was sent to find the place, what it shows says more; and a server may take its time.
    let sure = (scene.data.is_empty() || scene.closed_behind_banner())
        && waiting(scene).is_none()
        && !is_cut_off(scene)
        && silence.is_none_or(|nanos| nanos >= TELLING_SILENCE);
    let strength = if sure { Strength::Likely } else { Strength::Possible };
    let seconds = |nanos: i64| nanos as f64 / 1e9;
    Some(Evidence {
        rule: "after-the-handshake",
        says: match (scene.connection.and_then(|c| c.abandoned), silence) {
            (Some(ms), _) if scene.outcome == Outcome::NoBanner => {
                format!("{says} within the {:.1} s waited for it", ms as f64 / 1000.0)
            }
            (_, Some(nanos)) if scene.left_by_client() => {
                format!("{says} in the {:.1} s until this machine reset it", seconds(nanos))
            }
            (_, Some(nanos)) => format!("{says} in the {:.1} s that were captured of it", seconds(nanos)),
            _ => says.to_owned(),
        },
        packets: telling(scene),
        claims: vec![Claim::implicates(Place(1), Place::END, Suspects::of(suspects), strength)],
    })
}

/// `end-return-distance`
///
/// - **Says.** What ended the connection, or what came instead of SSH, came from as far away as one of the places.
/// - **Needs.** The hop limit left of it and of the SYN/ACK; answers that the places certainly sent.
/// - **Effect.** Where it came from nearer than the SYN/ACK, implicates whoever inspects at the hop that agrees. Spares those
///   from which it would have come over another number of routers; where it came from as far as the SYN/ACK, only if no
///   packet was seen to be lost (a nearer reset among them), the server's side did not go on behind it and, if our
///   identification ended the connection, that was seen to pass every hop. Clears nobody.
/// - **Misleads when.** The sender copies or imitates the hop limit of the VM's packets.
/// - **Rests on.** As for `return-distance`.
pub(super) fn end_return_distance(scene: &Scene<'_>) -> Option<Evidence> {
    let injected = scene.outcome == Outcome::ResetAfterHandshake && goes_on_behind_reset(scene).is_some();
    let (record, left, what) = ending(scene).filter(|_| copied(scene).is_none())?;
    let syn_ack = scene.attempt?.timeline.iter().find_map(|e| match &e.what {
        What::SynAck(s) => Some(s.hop_limit),
        _ => None,
    })?;
    let back = hops_back(left);
    let at_most = scene.trigger(|r| r.kind == ReplyKind::SynAck).map_or(SWEPT, |t| t.at_most);
    let (place, own) = origin(scene, back, at_most, places(scene))?;
    let (whence, mut claims) = if place != Place::END && left != syn_ack {
        let inspectors = scene.likeliest_at(place, INSPECTORS);
        let whence = format!("as do the answers of {}, and the SYN/ACK did not", scene.between(place, place));
        (whence, vec![Claim::implicates(place, place, inspectors, Strength::Likely)])
    } else if place == Place::END
        && left == syn_ack
        && !injected
        && !may_have_been_drawn(scene)
        && !scene.loss_seen()
    {
        ("as the SYN/ACK did".to_owned(), vec![])
    } else {
        return None;
    };
    claims.extend(spares_elsewhere(scene, place, back));
    (!claims.is_empty()).then(|| Evidence {
        rule: "end-return-distance",
        says: format!("{what} came over {}, {whence}", routers(back)),
        packets: [record].into_iter().chain(own).collect(),
        claims,
    })
}

/// What ended the connection, or came instead of SSH.
fn ending(scene: &Scene<'_>) -> Option<(RecordNumber, HopLimit, &'static str)> {
    let timeline = &scene.attempt?.timeline;
    let mut of_the_server = timeline.iter().filter_map(|e| {
        let (segment, what) = match &e.what {
            What::Rst { from_client: false, segment, acceptable: true } => (segment, "the reset"),
            What::Fin { from_client: false, segment } => (segment, "the FIN"),
            What::Data { from_client: false, segment, .. } => (segment, "what is not SSH"),
            _ => return None,
        };
        Some((e.record, segment.hop_limit, what))
    });
    let wanted = match scene.outcome {
        Outcome::ResetAfterHandshake => "the reset",
        Outcome::Closed => "the FIN",
        Outcome::Stalled if scene.closed_behind_banner() => "the FIN",
        Outcome::NotSsh => "what is not SSH",
        _ => return None,
    };
    of_the_server.find(|(.., what)| *what == wanted)
}

/// Whether our identification may have made a box end the connection in the VM's name.
fn may_have_been_drawn(scene: &Scene<'_>) -> bool {
    // What a box made of it on the way may be what the server itself closed upon.
    if scene.closed_behind_banner() {
        return true;
    }
    let drawn = scene.outcome == Outcome::ResetAfterHandshake && said(scene, Said::Identification);
    drawn && passes_every_hop(scene).is_none()
}

/// How long, in nanoseconds, a capture by another program shows an established connection that the client did not leave.
fn silence(scene: &Scene<'_>) -> Option<i64> {
    let attempt = scene.attempt.filter(|_| scene.connection.is_none())?;
    let begun = attempt.timeline.iter().find(|e| matches!(e.what, What::SynAck(_)))?.at;
    let left = attempt.timeline.iter().find(|e| {
        let left = |what: &What| {
            matches!(what, What::Rst { from_client: true, .. } | What::Fin { from_client: true, .. })
        };
        e.at >= begun && left(&e.what)
    });
    Some(left.map(|e| e.at).or(scene.until)?.since(begun).max(0))
}

/// Whether what the server's side said before it closed is not sshd's own refusal.
fn foreign_words(scene: &Scene<'_>) -> bool {
    scene.connection.is_some_and(|c| !c.received.is_empty()) && !turned_away(scene)
}

/// Whether sshd said that it has too many connections (MaxStartups, PerSourcePenalties).
fn turned_away(scene: &Scene<'_>) -> bool {
    let refusals: [&[u8]; 2] = [b"Exceeded MaxStartups", b"Not allowed at this time"];
    scene.connection.is_some_and(|c| refusals.iter().any(|r| c.received.starts_with(r)))
}

/// Whether the server's side said who it is.
fn identified_itself(scene: &Scene<'_>) -> bool {
    scene.connection.is_some_and(|c| c.banner().is_some())
}

/// Whether we said something on the connection.
fn said(scene: &Scene<'_>, what: Said) -> bool {
    scene.connection.is_some_and(|c| c.said(what).is_some())
}

/// The records that tell the story of the established connection.
fn telling(scene: &Scene<'_>) -> Vec<RecordNumber> {
    let mut records: Vec<RecordNumber> =
        scene.connection.iter().flat_map(|c| c.records.iter().copied()).collect();
    let of_the_server = |what: &What| {
        matches!(
            what,
            What::SynAck(_) | What::Rst { .. } | What::Fin { .. } | What::Data { from_client: false, .. }
        )
    };
    let timeline = scene.attempt.iter().flat_map(|a| &a.timeline);
    records.extend(timeline.filter(|e| of_the_server(&e.what)).map(|e| e.record).take(8));
    records
}

/// `banner-read`
///
/// - **Says.** The server's SSH identification was read: SSH is reachable, through a relay if the key exchange began behind it;
///   else, at which step the relay's connection ended.
/// - **Needs.** A line beginning `SSH-`.
/// - **Effect.** None needed.
/// - **Misleads when.** A relay answers for the VM; then `handshake-from-before-path-end` says so.
/// - **Rests on.** RFC 4253 section 4.2.
pub(super) fn banner_read(scene: &Scene<'_>) -> Option<Evidence> {
    let banner = scene
        .connection
        .and_then(Connection::banner)
        .or_else(|| scene.attempt.and_then(|a| a.server_banner.as_deref().map(str::to_owned)))
        .filter(|_| matches!(scene.outcome, Outcome::Open | Outcome::Intercepted))?;
    let says = if scene.outcome == Outcome::Open {
        format!("the server identified itself as {banner}")
    } else if is_half_a_line(scene) {
        format!("what answers said {banner}, and never ended the line: that is no SSH identification")
    } else {
        let then = match conversed(scene.attempt, scene.connection) {
            Some(Outcome::Closed) => ", and the connection was closed before the key exchange",
            Some(Outcome::ResetAfterHandshake) => {
                ", and the connection was reset before the key exchange was through"
            }
            Some(Outcome::Stalled) if said(scene, Said::KeyExchange) => {
                ", and our message of the key exchange was not answered"
            }
            Some(Outcome::Stalled) => ", and nothing came behind ours",
            _ => ": SSH works through it",
        };
        format!("behind whoever answers, an SSH server identified itself as {banner}{then}")
    };
    Some(Evidence { rule: "banner-read", says, packets: telling(scene), claims: vec![] })
}

/// Whether a line beginning `SSH-` came and its end did not (RFC 4253 section 4.2: CR LF).
fn is_half_a_line(scene: &Scene<'_>) -> bool {
    scene.connection.is_some_and(|c| {
        c.received.rsplit(|b| *b == b'\n').next().is_some_and(|last| last.starts_with(b"SSH-"))
    })
}

#[cfg(test)]
mod tests;
