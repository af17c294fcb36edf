//! Some flows to the port are answered and others are lost: load balancing parts them, and one branch drops.

use std::net::IpAddr;

use super::{Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::{Attempt, Handshake, Outcome, What};
use crate::path::{Place, ReplyKind, SWEPT, Segment};
use crate::recording::RecordNumber;

/// Fewest SYNs of the kernel that must have been lost.
const LOST: u32 = 2;

/// Who stops some flows and not others.
const SELECTIVE: Suspects = Suspects::of(&[
    Suspect::EdgeFirewall,
    Suspect::EdgeRoute,
    Suspect::TransitFilter,
    Suspect::TransitRoute,
    Suspect::AzureLoadBalancer,
    Suspect::AzureFirewall,
]);

/// `flows-part`
///
/// - **Says.** SYNs to the port from some source ports are answered by a SYN/ACK, and those from others, the kernel's
///   among them, never: one of several branches drops them.
/// - **Needs.** Two SYNs of the kernel unanswered, another flow lost and one answered; no control lost where another was
///   answered.
/// - **Effect.** Implicates what stands between the last hop that answered a lost flow and the next one of the path (a
///   load balancer, where none is left); clears nobody.
/// - **Misleads when.** The VM itself limits how fast it answers.
/// - **Rests on.** RFC 2992: routers choose among equal paths by a hash of addresses and ports.
pub(super) fn flows_part(scene: &Scene<'_>) -> Option<Evidence> {
    let kernel = scene.attempt.filter(|a| scene.outcome == Outcome::Timeout && a.syn >= LOST)?;
    let others = || scene.attempts.iter().filter(|a| a.server.port() == scene.port && !a.is_half());
    let answered: Vec<&Attempt> = others().filter(|a| a.handshake == Handshake::HalfOpen).collect();
    let lost: Vec<&Attempt> =
        others().filter(|a| a.handshake == Handshake::Unanswered && sent_all_the_way(a)).collect();
    if answered.is_empty() || lost.len() < 2 || controls_lost(scene) {
        return None;
    }
    let (reached, by) = farthest(scene, &lost).unzip();
    let reached = reached.unwrap_or(0);
    let next = next_router(scene, reached).map_or(Place::END, Place);
    let from = Place(reached.max(1));
    let mut packets = records(kernel);
    packets.extend(lost.iter().filter(|a| a.client != kernel.client).take(1).flat_map(|a| records(a)));
    packets.extend(answered.iter().take(2).flat_map(|a| records(a)));
    let suspects = selective_between(scene, from, next);
    Some(Evidence {
        rule: "flows-part",
        says: format!(
            "SYNs to port {} from some source ports are answered, and those from others never, which get {}: one of several branches drops them",
            scene.port,
            match by {
                Some(router) => format!("to hop {reached} ({router})"),
                None => "nowhere".to_owned(),
            }
        ),
        packets,
        claims: vec![Claim::implicates(from, next, suspects, Strength::Likely)],
    })
}

/// Whether a control went unanswered where another one was answered.
fn controls_lost(scene: &Scene<'_>) -> bool {
    let answered_there =
        |hop: u8| scene.controls().any(|p| p.hop_limit == hop && p.time_exceeded().is_some());
    scene.controls().any(|p| p.replies.is_empty() && answered_there(p.hop_limit))
}

/// Whether some SYN of it had a hop limit that gets to the target.
fn sent_all_the_way(attempt: &Attempt) -> bool {
    attempt.timeline.iter().any(|e| matches!(&e.what, What::Syn(syn) if syn.hop_limit.0 >= SWEPT))
}

/// The first and last SYN of an attempt, and what answered it.
fn records(attempt: &Attempt) -> Vec<RecordNumber> {
    let syn_or_answer = |what: &What| matches!(what, What::Syn(_) | What::SynAck(_));
    attempt.timeline.iter().filter(|e| syn_or_answer(&e.what)).map(|e| e.record).take(2).collect()
}

/// The farthest hop that answered one of these attempts, and the router there.
fn farthest(scene: &Scene<'_>, attempts: &[&Attempt]) -> Option<(u8, IpAddr)> {
    let of_them = |client| attempts.iter().any(|a| a.client == client);
    let probes = scene.port_probes().filter(|p| p.sent.is_some_and(|(client, _)| of_them(client)));
    let routers = probes.filter(|p| p.hop_limit < SWEPT);
    routers.filter_map(|p| Some((p.hop_limit, p.time_exceeded()?.from))).max_by_key(|(hop, _)| *hop)
}

/// The first router beyond `hop` that answers the port or a control.
fn next_router(scene: &Scene<'_>, hop: u8) -> Option<u8> {
    let beyond = |limit: u8| hop < limit && limit < SWEPT;
    let routers = scene.port_probes().chain(scene.controls()).filter(|p| beyond(p.hop_limit));
    routers.filter(|p| p.replies.iter().any(|r| r.kind == ReplyKind::TimeExceeded)).map(|p| p.hop_limit).min()
}

/// Those of the likeliest segments between two places.
fn selective_between(scene: &Scene<'_>, from: Place, to: Place) -> Suspects {
    if to == Place::END {
        return Suspects::of(&[Suspect::AzureLoadBalancer]);
    }
    let segments: Vec<Segment> = (from.0..=to.0).map(|hop| scene.segment_of(Place(hop))).collect();
    SELECTIVE.iter().filter(|s| segments.contains(&s.segment())).collect()
}

#[cfg(test)]
mod tests;
