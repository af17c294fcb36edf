//! Kept back by the client: what, once the connection is there, this machine keeps from the other end, or from its own
//! kernel.

use super::{Capture, Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::{Attempt, Connection, Outcome, Segment, What};
use crate::path::Place;
use crate::recording::{RecordNumber, Said};

/// Whether the handshake was done.
pub(super) fn is_established(scene: &Scene<'_>) -> bool {
    scene.outcome >= Outcome::ResetAfterHandshake
        || scene.outcome == Outcome::Intercepted && scene.connection.is_some_and(|c| c.established.is_some())
}

/// Whether, once the handshake was done, nothing stayed on this machine that was meant for the other end, or was kept from
/// its kernel.
pub(super) fn client_let_it_pass(scene: &Scene<'_>) -> bool {
    let Some(attempt) = scene.attempt else { return false };
    let ended_from_outside = attempt.timeline.iter().any(|e| match &e.what {
        // A local firewall's own reset comes over the loopback interface.
        What::Rst { from_client: false, segment, acceptable: true }
        | What::Fin { from_client: false, segment } => segment.to_us != Some(false),
        _ => false,
    });
    let ends = matches!(scene.outcome, Outcome::ResetAfterHandshake | Outcome::Closed);
    if ends || (scene.outcome == Outcome::Intercepted && ended_from_outside) {
        return ended_from_outside;
    }
    // An error about too large packets that got here may not have got to the kernel.
    let told_size =
        attempt.timeline.iter().any(|e| matches!(&e.what, What::Icmp(seen) if seen.mtu.is_some()));
    ignored(attempt).is_empty()
        && kept_back(scene).is_none()
        && !(told_size && scene.outcome == Outcome::Stalled)
}

/// How often data must have come before its being ignored tells something.
pub(super) const AGAIN: usize = 2;

/// The records of data of the server's that came next in order, reached this machine whole, and was never acknowledged.
pub(super) fn ignored(attempt: &Attempt) -> Vec<RecordNumber> {
    let arrived = |segment: &Segment| segment.to_us != Some(false) && segment.checksum_ok != Some(false);
    let acknowledged = attempt.timeline.iter().filter_map(|e| match &e.what {
        What::SynAck(s) => Some(s.seq.plus(1)),
        What::Ack(s)
        | What::Data { from_client: true, segment: s, .. }
        | What::Fin { from_client: true, segment: s } => Some(s.ack),
        _ => None,
    });
    let Some(next) = acknowledged.reduce(|a, b| if b.distance_from(a) > 0 { b } else { a }) else {
        return vec![];
    };
    let waits = |segment: &Segment, len: u32| {
        segment.seq.distance_from(next) <= 0 && segment.seq.plus(len).distance_from(next) > 0
    };
    let over = |what: &What| matches!(what, What::Rst { .. } | What::Fin { .. });
    let data = attempt.timeline.iter().take_while(|e| !over(&e.what)).filter_map(|e| match &e.what {
        What::Data { from_client: false, segment, len, .. } if arrived(segment) && waits(segment, *len) => {
            Some(e.record)
        }
        _ => None,
    });
    data.collect()
}

/// What the kernel took from us to send, or had to say itself, and is on no wire.
pub(super) struct Kept {
    what: &'static str,
    /// A small window may have kept it back too.
    doubtful: bool,
}

/// What was kept back, if anything; a peer that offers no window gets nothing.
pub(super) fn kept_back(scene: &Scene<'_>) -> Option<Kept> {
    let connection =
        scene.connection.filter(|c| scene.capture == Capture::Whole && c.established.is_some())?;
    let attempt = scene.attempt?;
    let timeline = &attempt.timeline;
    let mut windows = timeline.iter().filter_map(|e| match &e.what {
        What::SynAck(s) | What::Acked(s) | What::Data { from_client: false, segment: s, .. } => {
            Some(s.window)
        }
        _ => None,
    });
    let offered = windows.clone().next().is_some() && windows.all(|window| window > 0);
    // What forgers make the kernel answer may fill the timeline; what is cut off at once is not counted.
    let on_wire =
        |what: &What| matches!(what, What::Data { from_client: true, segment, .. } if !segment.is_probe());
    let sent_data = attempt.client_bytes > 0 || timeline.iter().any(|e| on_wire(&e.what));
    let sent_ack = sent_data || timeline.iter().any(|e| matches!(&e.what, What::Ack(_)));
    match (connection.said(Said::Identification), sent_ack, sent_data) {
        (_, false, _) => Some(Kept { what: "acknowledgment of the SYN/ACK", doubtful: false }),
        (Some(_), _, false) if offered => Some(Kept { what: "SSH identification", doubtful: false }),
        _ if offered && holds_back_more(scene, attempt, connection) => {
            Some(Kept { what: "key exchange", doubtful: true })
        }
        _ => None,
    }
}

/// Whether all that is on the wire was acknowledged, and the kernel, which has more to send, does not.
fn holds_back_more(scene: &Scene<'_>, attempt: &Attempt, connection: &Connection) -> bool {
    let next = attempt.isn.plus(1).plus(attempt.client_bytes as u32);
    let acknowledges_all = |what: &What| match what {
        What::Acked(s) | What::Data { from_client: false, segment: s, .. } => s.ack == next,
        _ => false,
    };
    scene.outcome == Outcome::Stalled
        && connection.said(Said::KeyExchange).is_some()
        && connection.said_bytes > attempt.client_bytes
        && attempt.timeline.iter().any(|e| acknowledges_all(&e.what))
}

/// `data-not-on-wire`
///
/// - **Says.** The kernel accepted what we had to say on the connection, and no interface has seen it.
/// - **Needs.** A capture on every interface that missed nothing; an established connection whose other end offered a window,
///   and never took it back; where it is not the first that we said, all that went before was acknowledged.
/// - **Effect.** Implicates the client's outbound firewall; clears everything beyond the client where nothing at all that we
///   said is there: else a window too small may have kept it back.
/// - **Misleads when.** As for `kernel-syn-not-on-wire`.
/// - **Rests on.** As for `kernel-syn-not-on-wire`.
pub(super) fn data_not_on_wire(scene: &Scene<'_>) -> Option<Evidence> {
    let Kept { what, doubtful } = kept_back(scene).filter(|_| is_established(scene))?;
    let at = Place::CLIENT;
    let (firewall, security) = (
        Suspects::of(&[Suspect::ClientFirewallOut]),
        Suspects::of(&[Suspect::ClientSecuritySoftware, Suspect::ClientProxy]),
    );
    let mut claims = vec![
        Claim::implicates(at, at, firewall, Strength::Likely),
        Claim::implicates(at, at, security, Strength::Possible),
    ];
    if !doubtful {
        claims.push(Claim::clears_the_network());
    }
    Some(Evidence {
        rule: "data-not-on-wire",
        says: format!("the connection was established, and our {what} never appeared on any interface"),
        packets: scene.connection?.records.clone(),
        claims,
    })
}

/// `data-ignored`
///
/// - **Says.** What the server sent reached this machine more than once, and its kernel never acknowledged it.
/// - **Needs.** Data addressed to this machine's link-layer address, with a right checksum (where these can be told), sent
///   again.
/// - **Effect.** Implicates the client's inbound firewall; clears everything beyond the client where address and checksum are
///   known to be right.
/// - **Misleads when.** The acknowledgments are made and dropped on their way out: it is the client all the same.
/// - **Rests on.** RFC 9293 section 3.10.7.4; AF_PACKET taps see ingress before netfilter INPUT.
pub(super) fn data_ignored(scene: &Scene<'_>) -> Option<Evidence> {
    // What comes once the connection is over is ignored rightly.
    let fails = matches!(scene.outcome, Outcome::NoBanner | Outcome::Stalled) && !scene.left_by_client();
    let attempt = scene.attempt.filter(|_| fails)?;
    let packets = ignored(attempt);
    if packets.len() < AGAIN {
        return None;
    }
    let sure = attempt.timeline.iter().any(|e| {
        matches!(&e.what, What::Data { from_client: false, segment, .. }
            if segment.to_us == Some(true) && segment.checksum_ok == Some(true))
    });
    let at = Place::CLIENT;
    let (firewall, security) = (
        Suspects::of(&[Suspect::ClientFirewallIn]),
        Suspects::of(&[Suspect::ClientSecuritySoftware, Suspect::ClientFirewallOut]),
    );
    let mut claims = vec![
        Claim::implicates(at, at, firewall, Strength::Likely),
        Claim::implicates(at, at, security, Strength::Possible),
    ];
    if sure && scene.capture == Capture::Whole {
        claims.push(Claim::clears_the_network());
    }
    Some(Evidence {
        rule: "data-ignored",
        says:
            "what the server sent reached this machine again and again, and its kernel never acknowledged it"
                .to_owned(),
        packets: packets.into_iter().take(8).collect(),
        claims,
    })
}
