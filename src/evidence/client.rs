//! The client: the kernel's connect(2) against the wire.
//!
//! The capture sees packets after the client's OUTPUT firewall and before its INPUT firewall; crafted probes are
//! sent below both. Only the kernel's own connection speaks for the client.

use super::kept::{client_let_it_pass, is_established};
use super::{Capture, Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::{self, Attempt, Entry, Handshake, Outcome, What};
use crate::path::{Place, SWEPT, Segment};
use crate::recording::errno::{ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT};
use crate::recording::{RecordNumber, Route};

/// `kernel-syn-not-on-wire`
///
/// - **Says.** connect(2) failed, or was still waiting at the end, and its SYN is on no interface.
/// - **Needs.** A capture on every interface that missed nothing; a route; a next hop that answers (else
///   [`next_hop_silent`]).
/// - **Effect.** Implicates the client's outbound firewall and its like; clears everything beyond the client.
/// - **Misleads when.** The packet left through an interface that was not captured.
/// - **Rests on.** Linux hands packets to AF_PACKET taps behind netfilter OUTPUT (net/core/dev.c,
///   dev_queue_xmit_nit).
pub(super) fn no_syn_on_wire(scene: &Scene<'_>) -> Option<Evidence> {
    let connection = scene.connection.filter(|_| scene.outcome == Outcome::LocalFailure)?;
    let errno = connection.failed.as_ref().map(|(errno, _)| *errno);
    let route_failed = scene.route.is_some_and(|(r, _)| r.error.is_some());
    if route_failed || next_hop_unknown(scene) {
        return None;
    }
    let says = match &connection.failed {
        Some((_, error)) => {
            format!("connect(2) failed with {error}, and its SYN never appeared on any interface")
        }
        None => "connect(2) got no answer, and its SYN never appeared on any interface".to_owned(),
    };
    let could = if errno == Some(ECONNREFUSED) {
        Suspects::of(&[Suspect::ClientSecuritySoftware, Suspect::ClientProxy])
    } else {
        Suspects::of(&[Suspect::ClientSecuritySoftware, Suspect::ClientProxy, Suspect::ClientRoute])
    };
    let not_these = Suspects::of(&[Suspect::ClientFirewallIn, Suspect::ClientName]);
    let (at, firewall) = (Place::CLIENT, Suspects::of(&[Suspect::ClientFirewallOut]));
    Some(Evidence {
        rule: "kernel-syn-not-on-wire",
        says,
        packets: connection.records.clone(),
        claims: vec![
            Claim::implicates(at, at, firewall, Strength::Likely),
            Claim::implicates(at, at, could, Strength::Possible),
            Claim::clears(at, at, not_these),
            Claim::clears(Place::END, Place::END, not_these),
            Claim::clears_the_network(),
        ],
    })
}

/// `connected-without-syn`
///
/// - **Says.** connect(2) succeeded without a SYN on any interface: something on the client took the connection.
/// - **Needs.** A capture on every interface that missed nothing.
/// - **Effect.** Implicates a proxy on the client; clears everything beyond the client.
/// - **Misleads when.** As for [`no_syn_on_wire`].
/// - **Rests on.** A local redirect (nftables `redirect`, `tproxy`) never reaches the tap.
pub(super) fn connected_without_syn(scene: &Scene<'_>) -> Option<Evidence> {
    let connection = scene.connection.filter(|c| {
        scene.attempt.is_none()
            && scene.capture == Capture::Whole
            && c.established.is_some()
            && scene.outcome == Outcome::Intercepted
    })?;
    let at = Place::CLIENT;
    let others = Suspects::of(&[
        Suspect::ClientFirewallOut,
        Suspect::ClientFirewallIn,
        Suspect::ClientRoute,
        Suspect::ClientName,
    ]);
    Some(Evidence {
        rule: "connected-without-syn",
        says: "connect(2) succeeded, yet no SYN left on any interface: something on this machine answered"
            .to_owned(),
        packets: connection.records.clone(),
        claims: vec![
            Claim::implicates(at, at, Suspects::of(&[Suspect::ClientProxy]), Strength::Likely),
            Claim::clears(at, at, others),
            Claim::clears(Place::END, Place::END, others),
            Claim::clears_the_network(),
        ],
    })
}

/// `no-route`
///
/// - **Says.** The kernel has no route to the address.
/// - **Needs.** Its answer to the route query, and connect(2) failing.
/// - **Effect.** Proves the client's routing; clears all else.
/// - **Misleads when.** Never for this outcome: nothing was sent.
/// - **Rests on.** connect(2), ENETUNREACH and EHOSTUNREACH; RTM_GETROUTE.
pub(super) fn no_route(scene: &Scene<'_>) -> Option<Evidence> {
    let (route, record) = scene.route?;
    let error = route.error.as_ref().filter(|_| scene.outcome == Outcome::LocalFailure)?;
    let mut packets = vec![record];
    packets.extend(scene.connection.iter().flat_map(|c| c.records.iter().copied()));
    let rest = Suspects::all().without(Suspects::of(&[Suspect::ClientRoute]));
    let at = Place::CLIENT;
    Some(Evidence {
        rule: "no-route",
        says: format!("the kernel of this machine has no route to {}: {error}", scene.target),
        packets,
        claims: vec![
            Claim::implicates(at, at, Suspects::of(&[Suspect::ClientRoute]), Strength::Proven),
            Claim::clears(at, Place::END, rest),
            Claim::clears_the_network(),
        ],
    })
}

/// `next-hop-silent`
///
/// - **Says.** There is a route, but the next hop did not answer on the link (ARP or neighbour discovery).
/// - **Needs.** No SYN on any interface, and connect(2) failing with EHOSTUNREACH while no probe is answered, or no
///   probe leaving either.
/// - **Effect.** Implicates the next hop (or, with the target on the link, the target) and the client's route; clears
///   what lies beyond the next hop.
/// - **Misleads when.** The client's firewall drops ARP or neighbour discovery, out or in; both stand too.
/// - **Rests on.** RFC 1122 section 2.3.2.2; connect(2), EHOSTUNREACH.
pub(super) fn next_hop_silent(scene: &Scene<'_>) -> Option<Evidence> {
    let connection = scene.connection.filter(|_| scene.outcome == Outcome::LocalFailure)?;
    let (route, record) = scene.route.filter(|(r, _)| r.error.is_none())?;
    if !next_hop_unknown(scene) {
        return None;
    }
    let mut packets = connection.records.clone();
    packets.push(record);
    let at = Place::CLIENT;
    let beyond = |segments: &[Segment]| {
        segments.iter().fold(Suspects::NONE, |all, s| all.or(Suspects::in_segment(*s)))
    };
    let (says, guilty, cleared) = match route.gateway {
        Some(gateway) => (
            format!("the next hop {gateway} did not answer on the link, so that no SYN could be sent"),
            Suspects::of(&[Suspect::EdgeRoute, Suspect::ClientRoute]),
            beyond(&[Segment::Transit, Segment::AzureEdge, Segment::Vm]),
        ),
        None => (
            format!(
                "{} is on this link and did not answer on it, so that no SYN could be sent",
                scene.target
            ),
            Suspects::of(&[Suspect::VmDown, Suspect::AzurePublicIp, Suspect::ClientRoute]),
            beyond(&[Segment::Transit]),
        ),
    };
    let never = Suspects::of(&[Suspect::ClientProxy]);
    Some(Evidence {
        rule: "next-hop-silent",
        says,
        packets,
        claims: vec![
            Claim::implicates(at, Place::END, guilty, Strength::Likely),
            Claim::clears(at, at, never),
            Claim::clears(Place(1), Place::END, cleared),
        ],
    })
}

/// Whether the kernel may have kept the SYN only because the next hop's link-layer address is not known.
fn next_hop_unknown(scene: &Scene<'_>) -> bool {
    match scene.connection.and_then(|c| c.failed.as_ref()) {
        Some((errno, _)) => {
            *errno == EHOSTUNREACH && scene.probes.iter().all(|probe| probe.replies.is_empty())
        }
        None => scene.probes.is_empty(),
    }
}

/// Whether a program made the SYNs, and not the kernel, which therefore resets what answers them.
fn is_crafted(attempt: &Attempt) -> bool {
    attempt.timeline.iter().any(|entry| match &entry.what {
        What::Syn(syn) => syn.hop_limit.0 < SWEPT,
        What::Rst { from_client, .. } => *from_client,
        _ => false,
    })
}

/// Whether a SYN/ACK echoes a timestamp that no SYN bore: no kernel takes it (RFC 7323 section 3.2).
fn echoes_another(attempt: &Attempt, syn_ack: &attempt::Segment) -> bool {
    let Some((_, echoed)) = syn_ack.timestamps else { return false };
    let sent = || {
        attempt.timeline.iter().filter_map(|e| match &e.what {
            What::Syn(syn) => syn.timestamps.map(|(value, _)| value),
            _ => None,
        })
    };
    sent().next().is_some() && sent().all(|value| value != echoed)
}

/// `syn-ack-ignored`
///
/// - **Says.** Good SYN/ACKs reached this machine, and its kernel went on as if they had not.
/// - **Needs.** A SYN/ACK addressed to this machine's link-layer address, with ack = ISN + 1, right checksums and the
///   timestamp of a SYN (where these can be told), which this machine does not reset, and the kernel's SYN sent again afterwards or, where the capture lost nothing,
///   connect(2) waiting in vain. In a capture made by another program, the SYNs must be a kernel's: sent with a TTL that
///   systems begin with, and not reset by this machine, which resets what its kernel knows nothing of.
/// - **Effect.** Implicates the client's inbound firewall; clears everything beyond the client.
/// - **Misleads when.** The frame was meant for another host (promiscuous capture) or came in on the wrong
///   interface (reverse path filter: `client-route` stands too).
/// - **Rests on.** RFC 9293 section 3.10.7.3; AF_PACKET taps see ingress before netfilter INPUT.
pub(super) fn syn_ack_ignored(scene: &Scene<'_>) -> Option<Evidence> {
    let attempt = scene.attempt.filter(|_| scene.outcome == Outcome::HalfOpen)?;
    let good = attempt.timeline.iter().find(|e| match &e.what {
        What::SynAck(s) => {
            s.to_us != Some(false) && s.checksum_ok != Some(false) && !echoes_another(attempt, s)
        }
        _ => false,
    })?;
    // A kernel that resets it, and goes on to ask, has received it.
    let resets = |e: &Entry| matches!(e.what, What::Rst { from_client: true, .. });
    let mut from_reset = attempt.timeline.iter().skip_while(|e| !resets(e));
    if scene.connection.is_some() && from_reset.any(|e| matches!(e.what, What::Syn(_))) {
        return None;
    }
    let sure = matches!(&good.what, What::SynAck(s) if s.checksum_ok == Some(true));
    let again: Vec<RecordNumber> = attempt
        .timeline
        .iter()
        .filter(|e| e.record > good.record && matches!(e.what, What::Syn(_)))
        .map(|e| e.record)
        .collect();
    // Whatever else it failed for, it did not go on waiting for this.
    let failed =
        scene.connection.and_then(|c| c.failed.as_ref()).is_some_and(|(errno, _)| *errno == ETIMEDOUT);
    let by_a_tracer = scene.connection.is_none() && is_crafted(attempt);
    // It may have failed for an answer that the capture missed.
    if by_a_tracer || (again.is_empty() && (!failed || scene.capture == Capture::Lossy)) {
        return None;
    }
    let at = Place::CLIENT;
    let mut claims = vec![
        Claim::implicates(at, at, Suspects::of(&[Suspect::ClientFirewallIn]), Strength::Likely),
        Claim::implicates(
            at,
            at,
            Suspects::of(&[Suspect::ClientSecuritySoftware, Suspect::ClientRoute]),
            Strength::Possible,
        ),
    ];
    if sure {
        let others = Suspects::of(&[Suspect::ClientFirewallOut, Suspect::ClientProxy, Suspect::ClientName]);
        claims.push(Claim::clears(at, at, others));
        claims.push(Claim::clears(Place::END, Place::END, others));
        claims.push(Claim::clears_the_network());
    }
    let mut packets = vec![good.record];
    packets.extend(again);
    Some(Evidence {
        rule: "syn-ack-ignored",
        says: "the SYN/ACK reached this machine, yet its kernel kept asking: it was dropped on the way in"
            .to_owned(),
        packets,
        claims,
    })
}

/// Whether this machine takes the target's address, which is not meant to be so, for its own.
fn is_delivered_here(scene: &Scene<'_>) -> bool {
    let by_route =
        |route: &Route| route.source == Some(scene.target) || route.interface.as_deref() == Some(LOOPBACK);
    !scene.target.is_loopback()
        && (is_from_itself(scene) || scene.route.is_some_and(|(route, _)| by_route(route)))
}

/// Whether the kernel's own SYN went from the target's address to the target's address.
fn is_from_itself(scene: &Scene<'_>) -> bool {
    scene.connection.is_some() && scene.attempt.is_some_and(|a| a.client.ip() == a.server.ip())
}

/// The interface by which Linux hands a packet to itself.
const LOOPBACK: &str = "lo";

/// `delivered-here`
///
/// - **Says.** This machine takes the target's address for its own: nothing left it.
/// - **Needs.** The kernel's SYN, which went to its own sender's address; or a route to the target from the target's address,
///   or by the loopback interface.
/// - **Effect.** Implicates the client's routing; clears everything between client and VM where the SYN was captured.
/// - **Misleads when.** Whoever asks sits on the VM itself: then it is its own client, and the VM stands too.
/// - **Rests on.** ip-route(8), routes of type `local`; RFC 1122 section 3.2.1.3.
pub(super) fn delivered_here(scene: &Scene<'_>) -> Option<Evidence> {
    if !is_delivered_here(scene) || scene.outcome == Outcome::Open {
        return None;
    }
    let route = Suspects::of(&[Suspect::ClientRoute]);
    let mut packets: Vec<RecordNumber> = scene.route.iter().map(|(_, record)| *record).collect();
    packets.extend(scene.attempt.and_then(|a| a.timeline.first()).map(|syn| syn.record));
    let mut claims = vec![Claim::implicates(Place::CLIENT, Place::CLIENT, route, Strength::Likely)];
    if scene.attempt.is_some() {
        let ends = Suspects::in_segment(Segment::Client).or(Suspects::in_segment(Segment::Vm));
        claims.push(Claim::clears(Place(1), Place::END, Suspects::all().without(ends)));
    }
    Some(Evidence {
        rule: "delivered-here",
        says: format!(
            "this machine takes {} for an address of its own, so that nothing left it",
            scene.target
        ),
        packets,
        claims,
    })
}

/// `syn-on-wire`
///
/// - **Says.** The SYN left this machine, and what came back (or did not) was seen before any local firewall.
/// - **Needs.** The SYN in the capture, to another machine; without a capture, a router's answer to a SYN on the port. Not a connection that
///   this machine itself reset before anything came. Once the handshake is done: what ended the connection came in from
///   outside, or, where nothing did, all that came was acknowledged and all that was said is on the wire.
/// - **Effect.** Clears the client, but not a host it may be contained in, nor the name it resolved; nor, while nobody at all
///   answers anything, the routing, which may lead to a wrong next hop; nor, while nothing at all comes out of an
///   interface without a link layer (tun), the VPN's program behind that.
/// - **Misleads when.** An XDP program drops what comes in before the capture sees it.
/// - **Rests on.** As for [`no_syn_on_wire`].
pub(super) fn syn_on_wire(scene: &Scene<'_>) -> Option<Evidence> {
    let passes = matches!(scene.outcome, Outcome::LocalFailure | Outcome::HalfOpen | Outcome::Open)
        || (scene.outcome == Outcome::Intercepted && scene.attempt.is_none())
        || scene.left_by_client()
        || is_delivered_here(scene);
    if passes {
        return None;
    }
    // Without a word from the kernel, a SYN with a sweep's hop limit speaks for the tracer, which may have sent it
    // below the local firewall.
    let client_speaks = |a: &&Attempt| scene.connection.is_some() || !a.is_probe();
    if let Some(syn) = scene.attempt.filter(client_speaks).and_then(|a| a.timeline.first()) {
        // A lossy capture may have missed the answer that a local firewall then dropped; and where crafted SYNs were
        // answered, the kernel's own may be unanswered by chance alone.
        let answered = scene.port_probes().flat_map(|p| &p.replies).any(|r| r.kind.is_terminal());
        if scene.outcome == Outcome::Timeout && (scene.capture == Capture::Lossy || answered) {
            return None;
        }
        if is_established(scene) && !client_let_it_pass(scene) {
            return None;
        }
        return Some(Evidence {
            rule: "syn-on-wire",
            says: match scene.outcome {
                Outcome::Timeout => "the SYN left this machine, and nothing that answers it came back to it",
                _ => "the SYN left this machine, and its answer came from the network",
            }
            .to_owned(),
            packets: vec![syn.record],
            claims: vec![if is_within_a_tunnel(scene) {
                let not_these = [Suspect::ClientFirewallOut, Suspect::ClientFirewallIn, Suspect::ClientProxy];
                Claim::clears(Place::CLIENT, Place::CLIENT, Suspects::of(&not_these))
            } else if is_all_silent(scene) {
                let local = Suspects::in_segment(Segment::Client);
                let not_these = local.without(Suspects::of(&[Suspect::ClientName, Suspect::ClientRoute]));
                Claim::clears(Place::CLIENT, Place::CLIENT, not_these)
            } else {
                Claim::clears_the_client()
            }],
        });
    }
    if scene.capture != Capture::None || scene.outcome == Outcome::Timeout {
        return None;
    }
    let (hop, packets) = scene.reached();
    (hop > 0).then(|| Evidence {
        rule: "syn-on-wire",
        says: "routers answered SYNs to the port, so they do leave this machine".to_owned(),
        packets,
        claims: vec![Claim::clears(
            Place::CLIENT,
            Place::CLIENT,
            Suspects::of(&[Suspect::ClientFirewallOut, Suspect::ClientProxy, Suspect::ClientRoute]),
        )],
    })
}

/// Whether nothing shows that what this machine sends gets to a router at all: it may be sent to a link-layer address that
/// nobody has, or to somebody who forwards nothing.
fn is_all_silent(scene: &Scene<'_>) -> bool {
    scene.outcome == Outcome::Timeout
        && scene.probes.iter().all(|probe| probe.replies.is_empty())
        && scene.attempts.iter().all(|a| a.handshake == Handshake::Unanswered && a.icmp.is_none())
}

/// Whether the SYN was but handed to a program of this machine, a VPN's, and nothing shows that it got out of there.
fn is_within_a_tunnel(scene: &Scene<'_>) -> bool {
    let bare = match scene.route {
        Some((route, _)) => route.interface.is_some() && route.mac.is_none(),
        None => scene.bare_link,
    };
    bare && scene.outcome == Outcome::Timeout && scene.reached().0 == 0
}

/// `address-given`
///
/// - **Says.** The target was given as an address.
/// - **Needs.** Nothing else.
/// - **Effect.** Clears name resolution.
/// - **Misleads when.** Never: no name was resolved.
/// - **Rests on.** The command line.
pub(super) fn address_given(scene: &Scene<'_>) -> Option<Evidence> {
    let wanted = !scene.named && scene.connection.is_some() && scene.outcome != Outcome::Open;
    let connection = scene.connection.filter(|_| wanted)?;
    Some(Evidence {
        rule: "address-given",
        says: "the target was given as an address, so no name was resolved".to_owned(),
        packets: connection.records.iter().take(1).copied().collect(),
        claims: vec![Claim::clears(Place::CLIENT, Place::END, Suspects::of(&[Suspect::ClientName]))],
    })
}

#[cfg(test)]
mod tests;
