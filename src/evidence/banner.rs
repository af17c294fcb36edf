//! After the handshake: who answered it, and what became of the connection.

use super::{Capture, Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::{Outcome, What};
use crate::packet::HopLimit;
use crate::path::{Place, ReplyKind, SWEPT};
use crate::recording::RecordNumber;

/// `handshake-from-before-path-end`
///
/// - **Says.** A SYN that runs out at hop h drew a SYN/ACK, and routers at h or beyond still answer: a box no
///   farther than h answers for the VM.
/// - **Needs.** As for `reset-before-path-end`.
/// - **Effect.** Implicates a proxy or firewall up to hop h; clears nobody: the box may hand the connection on
///   (SYNPROXY) to a VM that is at fault.
/// - **Misleads when.** As for `reset-before-path-end`.
/// - **Rests on.** As for `reset-before-path-end`.
pub(super) fn handshake_from_before_path_end(scene: &Scene<'_>) -> Option<Evidence> {
    if matches!(scene.outcome, Outcome::LocalFailure | Outcome::HalfOpen) {
        return None;
    }
    let (hop, packets) = early_handshake(scene)?;
    let proxies = Suspects::of(&[Suspect::EdgeProxy, Suspect::EdgeFirewall, Suspect::AzureFirewall]);
    Some(Evidence {
        rule: "handshake-from-before-path-end",
        says: format!(
            "a SYN that cannot get past hop {hop} drew a SYN/ACK, and the path goes on beyond hop {hop}: a box up to there answers for the VM"
        ),
        packets,
        claims: vec![Claim::implicates(Place(1), Place(hop), proxies, Strength::Likely)],
    })
}

/// The hop limit that drew a SYN/ACK though the path goes on beyond it, and the records that show it.
fn early_handshake(scene: &Scene<'_>) -> Option<(u8, Vec<RecordNumber>)> {
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
        Outcome::Open | Outcome::Closed | Outcome::NotSsh | Outcome::NoBanner | Outcome::ResetAfterHandshake
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

/// `after-the-handshake`
///
/// - **Says.** How the established connection ended, or that it stayed silent.
/// - **Needs.** A completed handshake.
/// - **Effect.** Implicates what on the VM does that; clears nobody: a box on the way may do the same.
/// - **Misleads when.** A proxy answers for the VM.
/// - **Rests on.** RFC 4253 section 4.2: the server sends its identification line without being asked.
pub(super) fn after_the_handshake(scene: &Scene<'_>) -> Option<Evidence> {
    let (says, suspects): (&str, &[Suspect]) = match scene.outcome {
        Outcome::ResetAfterHandshake => (
            "the connection was established, then reset before the key exchange was through",
            &[Suspect::VmSshdRefuses, Suspect::EdgeIds],
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
        Outcome::Stalled => (
            "the SSH identification came, then nothing more got through",
            &[Suspect::TransitMtu, Suspect::VmSshdHung],
        ),
        _ => return None,
    };
    Some(Evidence {
        rule: "after-the-handshake",
        says: match scene.connection.and_then(|c| c.abandoned).filter(|_| scene.outcome == Outcome::NoBanner)
        {
            Some(ms) => format!("{says} within the {:.1} s waited for it", ms as f64 / 1000.0),
            None => says.to_owned(),
        },
        packets: telling(scene),
        claims: vec![Claim::implicates(Place(1), Place::END, Suspects::of(suspects), Strength::Likely)],
    })
}

/// Whether what the server's side said before it closed is not sshd's own refusal.
fn foreign_words(scene: &Scene<'_>) -> bool {
    let refusals: [&[u8]; 2] = [b"Exceeded MaxStartups", b"Not allowed at this time"];
    let words = scene.connection.map_or(&[][..], |c| &c.received);
    !words.is_empty() && !refusals.iter().any(|r| words.starts_with(r))
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
/// - **Says.** The server's SSH identification was read: SSH is reachable.
/// - **Needs.** A line beginning `SSH-`.
/// - **Effect.** None needed.
/// - **Misleads when.** A relay answers for the VM; then `handshake-from-before-path-end` says so.
/// - **Rests on.** RFC 4253 section 4.2.
pub(super) fn banner_read(scene: &Scene<'_>) -> Option<Evidence> {
    let banner = scene
        .connection
        .and_then(crate::attempt::Connection::banner)
        .or_else(|| scene.attempt.and_then(|a| a.server_banner.clone()))
        .filter(|_| matches!(scene.outcome, Outcome::Open | Outcome::Intercepted))?;
    let says = match scene.outcome {
        Outcome::Open => format!("the server identified itself as {banner}"),
        _ => format!("behind whoever answers, an SSH server identified itself as {banner}"),
    };
    Some(Evidence { rule: "banner-read", says, packets: telling(scene), claims: vec![] })
}

#[cfg(test)]
mod tests;
