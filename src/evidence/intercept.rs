//! Somebody answers for the VM: what gives a stranger's answers away.

use super::banner::{ANSWERERS, early_handshake};
use super::distance::routers;
use super::{Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::{Attempt, Outcome, Segment, What};
use crate::path::{Place, Probe, ReplyKind, Via, hops_back};
use crate::recording::RecordNumber;

/// Ports from here on are asked because nothing listens there (Linux gives out lower ones, to 60999, by itself).
const NOBODYS: u16 = 61_000;

/// `closed-port-opens`
///
/// - **Says.** A port at which nothing listens sent a SYN/ACK too.
/// - **Needs.** A SYN/ACK from a port beyond those that operating systems give out.
/// - **Effect.** Implicates whoever answers for others; clears nobody.
/// - **Misleads when.** Something does listen there, or the VM itself plays the honeypot.
/// - **Rests on.** RFC 9293 section 3.10.7.1: a closed port answers with a reset.
pub(super) fn closed_port_opens(scene: &Scene<'_>) -> Option<Evidence> {
    if !is_established(scene) {
        return None;
    }
    let opened = |p: &&Probe| {
        matches!(p.via, Via::Tcp(port) if port >= NOBODYS && port != scene.port)
            && p.replies.iter().any(|r| r.kind == ReplyKind::SynAck)
    };
    let probe = scene.probes.iter().filter(opened).min_by_key(|p| p.hop_limit)?;
    let reply = probe.replies.iter().find(|r| r.kind == ReplyKind::SynAck)?;
    Some(Evidence {
        rule: "closed-port-opens",
        says: format!("{} of the same address opens too, where nothing should listen", probe.via),
        packets: vec![probe.record, reply.record],
        claims: vec![Claim::implicates(Place(1), Place::END, ANSWERERS, Strength::Likely)],
    })
}

/// Whether a connection was taken, by whomever, and it did not lead to SSH.
fn is_established(scene: &Scene<'_>) -> bool {
    matches!(
        scene.outcome,
        Outcome::Intercepted
            | Outcome::Closed
            | Outcome::NotSsh
            | Outcome::NoBanner
            | Outcome::Stalled
            | Outcome::ResetAfterHandshake
    )
}

/// What tells one TCP from another.
#[derive(Clone, Copy, Debug)]
struct Print<'a> {
    segment: &'a Segment,
    record: RecordNumber,
}

fn syn_ack(attempt: &Attempt) -> Option<Print<'_>> {
    attempt.timeline.iter().find_map(|e| match &e.what {
        What::SynAck(segment) => Some(Print { segment, record: e.record }),
        _ => None,
    })
}

/// `answers-unlike-other-ports`
///
/// - **Says.** The SYN/ACK of the port differs from what the same address says otherwise: options and their order, MSS,
///   window, or the distance it came from.
/// - **Needs.** A SYN/ACK of another port, or a reset or an echo reply.
/// - **Effect.** Implicates whoever answers for others; clears nobody.
/// - **Misleads when.** Behind one address of Azure stand several machines: endpoints, inbound NAT rules and load balancers
///   see to that, and answer pings themselves.
/// - **Rests on.** RFC 9293 section 3.2: a TCP offers the same options on every port.
pub(super) fn answers_unlike_other_ports(scene: &Scene<'_>) -> Option<Evidence> {
    let ours = scene.attempt.filter(|_| is_established(scene)).and_then(syn_ack)?;
    let mut others = scene.attempts.iter().filter(|a| a.server.port() != scene.port);
    let mut differences = Vec::new();
    let mut packets = vec![ours.record];
    if let Some(other) = others.find_map(syn_ack) {
        let pairs = [
            ("options", ours.segment.options != other.segment.options),
            ("MSS", ours.segment.mss != other.segment.mss),
            ("window", ours.segment.window != other.segment.window),
        ];
        let unlike: Vec<&str> = pairs.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
        if !unlike.is_empty() {
            differences.push(format!("in {} from that of another port", unlike.join(", ")));
            packets.push(other.record);
        }
    }
    let away = hops_back(ours.segment.hop_limit);
    let elsewhere = scene.controls().flat_map(|p| &p.replies).find(|r| {
        let own = r.from == scene.target && r.kind.is_terminal();
        own && r.hop_limit.is_some_and(|left| hops_back(left) != away)
    });
    if let Some((reply, left)) = elsewhere.and_then(|r| Some((r, r.hop_limit?))) {
        let there = hops_back(left);
        differences.push(format!("having come over {} where other answers come over {there}", routers(away)));
        packets.push(reply.record);
    }
    if differences.is_empty() {
        return None;
    }
    Some(Evidence {
        rule: "answers-unlike-other-ports",
        says: format!("the SYN/ACK of port {} differs, {}", scene.port, differences.join(", and ")),
        packets,
        claims: vec![Claim::implicates(Place(1), Place::END, ANSWERERS, Strength::Possible)],
    })
}

/// `speaks-http`
///
/// - **Says.** What answered speaks HTTP.
/// - **Needs.** A line that begins `HTTP/`.
/// - **Effect.** Where the handshake came from before the path's end, implicates a proxy there; else a web server on
///   the VM, or a proxy. Clears nobody.
/// - **Misleads when.** A web server listens on the port.
/// - **Rests on.** RFC 9112 section 4.
pub(super) fn speaks_http(scene: &Scene<'_>) -> Option<Evidence> {
    let connection = scene.connection.filter(|c| c.received.starts_with(b"HTTP/"))?;
    if !is_established(scene) {
        return None;
    }
    let (place, who) = match early_handshake(scene) {
        Some((hop, _)) => (Place(hop), Suspects::of(&[Suspect::EdgeProxy])),
        None => (Place::END, Suspects::of(&[Suspect::VmOtherService, Suspect::EdgeProxy])),
    };
    Some(Evidence {
        rule: "speaks-http",
        says: "what answered our SSH identification speaks HTTP, as web proxies do".to_owned(),
        packets: connection.records.clone(),
        claims: vec![Claim::implicates(Place(1), place, who, Strength::Likely)],
    })
}

#[cfg(test)]
mod tests;
