//! From probes to the path.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::owner;
use super::{Hop, Networks, Path, Probe, Reply, ReplyKind, Segment, Segments, Via};
use crate::packet::IcmpErrorKind;

impl Path {
    /// Puts together the path to `target` from the probes sent there; `port` is the failing port.
    pub fn assemble(probes: &[Probe], target: IpAddr, port: u16, networks: &Networks) -> Self {
        let end = distance_of_target(probes, target, port);
        let mut seen: BTreeMap<u8, Seen> = BTreeMap::new();
        for (probe, reply) in replies(probes) {
            let on_path = probe.hop_limit < SWEPT && end.is_none_or(|end| probe.hop_limit < end);
            if reply.kind == ReplyKind::TimeExceeded && on_path {
                seen.entry(probe.hop_limit).or_default().add(probe, reply, port);
            }
        }
        for (hop, probe, reply) in refusing_routers(probes, target) {
            let known = seen.values().any(|s| s.addresses.contains(&reply.from));
            // Of what the kernel tells no hop limit is left: the hop before places it, if there is no other way past it.
            let last = seen.keys().next_back().copied().unwrap_or(0);
            if reply.hop_limit.is_none() && (end.is_some() || hop != last + 1) {
                continue;
            }
            if !known && end.is_none_or(|end| hop < end) {
                seen.entry(hop).or_default().add(probe, reply, port);
            }
        }
        for hop in seen.values_mut() {
            // Whoever translates the target's address lets the errors of others bear it. The port may take another way
            // than the controls: it is the one that matters.
            let Seen { addresses, of_port, .. } = hop;
            addresses.sort_by_key(|a| (*a == target, !of_port.contains(a)));
        }
        let last = seen.keys().next_back().copied().unwrap_or(0);
        let last = end.map_or(last, |end| last.max(end.saturating_sub(1)));
        let segments = segments(&seen, last, |addresses| owner::segments(addresses, target, end, networks));
        let hops: Vec<Hop> = (1..=last)
            .zip(segments)
            .map(|(number, segments)| {
                let mut seen = seen.remove(&number).unwrap_or_default();
                seen.via.sort_by_key(|v| (*v != Via::Tcp(port), *v));
                let address = seen.addresses.first().copied();
                Hop {
                    number,
                    address,
                    outside_azure: address.is_some()
                        && seen.on_the_way().iter().all(|a| networks.is_outside_azure(*a, target)),
                    private: address.is_some() && seen.on_the_way().iter().all(|a| owner::is_private(*a)),
                    others: seen.addresses.into_iter().skip(1).collect(),
                    segments,
                    rtt: seen.rtt,
                    answered: seen.via.iter().map(Via::to_string).collect(),
                    changes: Vec::new(),
                }
            })
            .collect();
        let first = hops.last().map_or(Segment::Edge, |h| h.segments.first()).max(Segment::Edge);
        let beyond = Segments::span(first, Segment::AzureEdge, Segment::Transit.max(first));
        Self { hops, target: end, beyond: Some(beyond) }
    }

    /// The hop with this number, if it lies on the path seen.
    pub fn hop(&self, number: u8) -> Option<&Hop> {
        self.hops.get(usize::from(number).checked_sub(1)?)
    }

    /// The first hop that bears this address.
    pub fn hop_of(&self, address: IpAddr) -> Option<&Hop> {
        self.hops.iter().find(|h| h.address == Some(address) || h.others.contains(&address))
    }
}

/// The segments of each hop up to the `last`. Where the port goes over routers of several owners, a hop may lie with each of
/// them: `of` tells the segments of a path of one router a hop.
fn segments(
    seen: &BTreeMap<u8, Seen>,
    last: u8,
    of: impl Fn(&[Option<IpAddr>]) -> Vec<Segments>,
) -> Vec<Segments> {
    let ways = seen.values().map(|hop| hop.on_the_way().len()).max().unwrap_or(0).clamp(1, WAYS);
    let way = |nth: usize| -> Vec<Option<IpAddr>> {
        let at = |number| {
            let addresses = seen.get(&number)?.on_the_way();
            addresses.get(nth).or(addresses.first()).copied()
        };
        (1..=last).map(at).collect()
    };
    let mut all = of(&way(0));
    for nth in 1..ways {
        for (segments, others) in all.iter_mut().zip(of(&way(nth))) {
            *segments = segments.or(others);
        }
    }
    all
}

/// Routers at one hop whose owners are looked at.
const WAYS: usize = 4;

/// The first retransmission of a SYN, in ns (RFC 6298).
const RETRANSMISSION: i64 = 1_000_000_000;

#[derive(Default)]
struct Seen {
    addresses: Vec<IpAddr>,
    /// Those that answered the failing port.
    of_port: Vec<IpAddr>,
    rtt: Option<i64>,
    via: Vec<Via>,
}

impl Seen {
    /// The routers here that the port may pass, the likeliest first: those that answered it, if any did.
    fn on_the_way(&self) -> &[IpAddr] {
        let of_port = self.addresses.iter().filter(|a| self.of_port.contains(a)).count();
        if of_port > 0 { &self.addresses[..of_port] } else { &self.addresses }
    }

    fn add(&mut self, probe: &Probe, reply: &Reply, port: u16) {
        if !self.addresses.contains(&reply.from) {
            self.addresses.push(reply.from);
        }
        if probe.via == Via::Tcp(port) && !self.of_port.contains(&reply.from) {
            self.of_port.push(reply.from);
        }
        let rtt = reply.at.since(probe.at).max(0);
        // The kernel may tell of an error to its own SYN only when it sends that again.
        let told_late = reply.hop_limit.is_none() && rtt >= RETRANSMISSION;
        if !told_late {
            self.rtt = Some(self.rtt.map_or(rtt, |least| least.min(rtt)));
        }
        if !self.via.contains(&probe.via) {
            self.via.push(probe.via);
        }
    }
}

/// Routers that refuse before they look at the TTL never send time exceeded; what they quote tells how many routers
/// the packet had crossed. Where the kernel keeps the quote to itself, the least hop limit that they refuse does.
fn refusing_routers(probes: &[Probe], target: IpAddr) -> Vec<(u8, &Probe, &Reply)> {
    let mut found: BTreeMap<IpAddr, (u8, &Probe, &Reply)> = BTreeMap::new();
    for (probe, reply) in replies(probes).filter(|(_, r)| r.exact && r.from != target) {
        let ReplyKind::Unreachable { kind, quoted, .. } = reply.kind else { continue };
        let at_once = reply.at.since(probe.at) < AT_ONCE;
        if kind != IcmpErrorKind::NetUnreachable && !(kind == IcmpErrorKind::HostUnreachable && at_once) {
            continue;
        }
        let hop = match quoted {
            // More than it was sent with shows a box that gave it a new one: it says nothing of the distance.
            Some(left) if left.0 > probe.hop_limit => continue,
            Some(left) => (probe.hop_limit - left.0).saturating_add(1),
            None if probe.hop_limit >= SWEPT => continue,
            None => probe.hop_limit,
        };
        let nearest = found.entry(reply.from).or_insert((hop, probe, reply));
        if quoted.is_none() && hop < nearest.0 {
            *nearest = (hop, probe, reply);
        }
    }
    found.into_values().collect()
}

fn replies(probes: &[Probe]) -> impl Iterator<Item = (&Probe, &Reply)> {
    probes.iter().flat_map(|p| p.replies.iter().map(move |r| (p, r)))
}

/// The least hop limit at which the target itself answered a control.
///
/// The failing port is no measure: whoever forges its answers would shorten the path. A router that says it
/// cannot reach the target on its own link puts the target one hop further.
fn distance_of_target(probes: &[Probe], target: IpAddr, port: u16) -> Option<u8> {
    let answered = replies(probes)
        .filter(|(probe, reply)| {
            probe.via != Via::Tcp(port)
                && reply.exact
                && reply.from == target
                && match reply.kind {
                    ReplyKind::TimeExceeded | ReplyKind::ReassemblyTimeExceeded => false,
                    ReplyKind::Unreachable { kind, .. } => kind == IcmpErrorKind::PortUnreachable,
                    _ => true,
                }
        })
        .map(|(probe, _)| probe.hop_limit)
        .filter(|h| *h < SWEPT)
        .min()?;
    let last_router = replies(probes)
        .filter(|(_, r)| r.kind == ReplyKind::TimeExceeded && r.from != target)
        .map(|(p, _)| p.hop_limit)
        .max()
        .unwrap_or(0);
    Some(answered.max(last_router.saturating_add(1)))
}

/// A router without a route says so within this time, in ns; one whose neighbour does not answer takes seconds.
pub const AT_ONCE: i64 = 500_000_000;

/// Hop limits from here on are what operating systems send with, not a sweep's.
pub const SWEPT: u8 = 64;
