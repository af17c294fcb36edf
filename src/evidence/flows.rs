//! Some flows to the port are answered and others are lost: load balancing parts them, and one branch drops.

use std::net::IpAddr;

use super::{Assumption, Capture, Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::{Attempt, Handshake, Outcome, What};
use crate::path::{Place, ReplyKind, SWEPT, Segment};
use crate::recording::RecordNumber;

/// Fewest SYNs of the kernel that must have been lost.
const LOST: u32 = 2;

/// Fewest SYNs of another flow, where the kernel's was answered.
const LOST_BESIDE: usize = 4;

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
/// - **Says.** SYNs to the port from some source ports are answered by a SYN/ACK, and those from others never: one of
///   several branches drops them.
/// - **Needs.** Two SYNs of the kernel unanswered, another flow lost and one answered. Or the kernel's connection opened, and
///   four SYNs of another flow are unanswered, while one of the port between them was answered: what lets no more than so
///   many SYNs pass would stop that too. No control lost where another was answered.
/// - **Effect.** Implicates what stands between the last hop that answered a lost flow and the next one of the path (a
///   load balancer, where none is left), and, where several routers answer at that hop, spares all elsewhere; where the
///   kernel's connection opened, clears the client, unless it sends into a tunnel. The outcome is a timeout then too.
/// - **Misleads when.** Somebody limits how many SYNs he lets pass.
/// - **Rests on.** RFC 2992: routers choose among equal paths by a hash of addresses and ports.
pub(super) fn flows_part(scene: &Scene<'_>) -> Option<Evidence> {
    let kernel = scene.attempt.filter(|_| scene.outcome == Outcome::Timeout)?;
    let lost =
        if kernel.handshake == Handshake::Completed { lost_beside(scene) } else { lost_with(scene, kernel) };
    let answered: Vec<&Attempt> = others(scene).filter(|a| a.handshake == Handshake::HalfOpen).collect();
    if answered.is_empty() || lost.is_empty() || controls_lost(scene) {
        return None;
    }
    let (reached, by) = farthest(scene, &lost).unzip();
    let reached = reached.unwrap_or(0);
    let next = next_router(scene, reached).map_or(Place::END, Place);
    let from = Place(reached.max(1));
    let mut packets = records(kernel);
    packets.extend(lost.iter().filter(|a| a.client != kernel.client).take(1).flat_map(|a| records(a)));
    packets.extend(answered.iter().take(2).flat_map(|a| records(a)));
    let mut claims =
        vec![Claim::implicates(from, next, selective_between(scene, from, next), Strength::Likely)];
    if by.is_some_and(|router| part_at(scene, &answered, reached, router)) && next != Place::END {
        let spares = |from, to| Claim::spares(from, to, Suspects::all(), Assumption::FlowsAlike);
        claims.push(spares(Place::CLIENT, Place(from.0 - 1)));
        claims.push(spares(Place(next.0 + 1), Place::END));
    }
    // Its own connection opened, and the others were sent and awaited outside its firewall.
    let beyond_the_client = scene.route.is_some_and(|(route, _)| route.mac.is_some());
    if kernel.handshake == Handshake::Completed && beyond_the_client {
        claims.push(Claim::clears_the_client());
    }
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
        claims,
    })
}

/// Whether the connection opened and others to the port are lost nevertheless.
pub fn others_are_lost(scene: &Scene<'_>) -> bool {
    let told =
        scene.outcome == Outcome::Open && scene.connection.is_some() && scene.capture == Capture::Whole;
    told && !controls_lost(scene) && !lost_beside(scene).is_empty()
}

/// Every flow to the port.
fn others<'a>(scene: &Scene<'a>) -> impl Iterator<Item = &'a Attempt> {
    let port = scene.port;
    scene.attempts.iter().filter(move |a| a.server.port() == port && !a.is_half())
}

/// The flows that were lost as the kernel's was.
fn lost_with<'a>(scene: &Scene<'a>, kernel: &Attempt) -> Vec<&'a Attempt> {
    let is_lost = |a: &&Attempt| a.handshake == Handshake::Unanswered && full_syns(a).next().is_some();
    let lost: Vec<&Attempt> = others(scene).filter(is_lost).collect();
    if kernel.syn >= LOST && lost.len() >= 2 { lost } else { vec![] }
}

/// The flows that were lost though the kernel's was not.
fn lost_beside<'a>(scene: &Scene<'a>) -> Vec<&'a Attempt> {
    let answered_at = || {
        let syn_acks = others(scene).flat_map(|a| &a.timeline).filter(|e| matches!(e.what, What::SynAck(_)));
        syn_acks.map(|e| e.record)
    };
    let is_lost = |a: &&Attempt| {
        let syns: Vec<RecordNumber> = full_syns(a).collect();
        let (Some(second), Some(last)) = (syns.get(1), syns.last()) else { return false };
        a.handshake == Handshake::Unanswered
            && syns.len() >= LOST_BESIDE
            && answered_at().any(|at| *second < at && at < *last)
    };
    others(scene).filter(is_lost).collect()
}

/// Whether a control went unanswered where another one was answered.
fn controls_lost(scene: &Scene<'_>) -> bool {
    let answered_there =
        |hop: u8| scene.controls().any(|p| p.hop_limit == hop && p.time_exceeded().is_some());
    scene.controls().any(|p| p.replies.is_empty() && answered_there(p.hop_limit))
}

/// The SYNs of an attempt whose hop limit gets to the target.
fn full_syns(attempt: &Attempt) -> impl Iterator<Item = RecordNumber> {
    let full = |what: &What| matches!(what, What::Syn(syn) if syn.hop_limit.0 >= SWEPT);
    attempt.timeline.iter().filter(move |e| full(&e.what)).map(|e| e.record)
}

/// The first and last SYN of an attempt, and what answered it.
fn records(attempt: &Attempt) -> Vec<RecordNumber> {
    let syn_or_answer = |what: &What| matches!(what, What::Syn(_) | What::SynAck(_));
    attempt.timeline.iter().filter(|e| syn_or_answer(&e.what)).map(|e| e.record).take(2).collect()
}

/// The farthest hop that answered one of these attempts, and the router there.
fn farthest(scene: &Scene<'_>, attempts: &[&Attempt]) -> Option<(u8, IpAddr)> {
    routers(scene, attempts).max_by_key(|(hop, _)| *hop)
}

/// Whether ways part at a hop: another router answers there too, and these attempts were not seen to come by the one given.
fn part_at(scene: &Scene<'_>, attempts: &[&Attempt], hop: u8, router: IpAddr) -> bool {
    let here = scene.probes.iter().filter(|p| p.hop_limit == hop).filter_map(|p| p.time_exceeded());
    here.map(|reply| reply.from).any(|other| other != router)
        && !routers(scene, attempts).any(|by| by == (hop, router))
}

/// The routers that answered these attempts, each with its hop.
fn routers(scene: &Scene<'_>, attempts: &[&Attempt]) -> impl Iterator<Item = (u8, IpAddr)> {
    let of_them = |client| attempts.iter().any(|a| a.client == client);
    let probes = scene.port_probes().filter(move |p| p.sent.is_some_and(|(client, _)| of_them(client)));
    let routers = probes.filter(|p| p.hop_limit < SWEPT);
    routers.filter_map(|p| Some((p.hop_limit, p.time_exceeded()?.from)))
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
