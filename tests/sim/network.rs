//! The path itself: packets go in at one end, and what comes back is physics and the culprit's doing.
//!
//! A place is a position on the path: 0 the client, `p` router `p - 1`, the last one the VM. Hooks follow
//! Linux: before the TTL check, the check, the forward hook, source NAT.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::rng::Rng;
use super::scenario::{
    ClosedPorts, Culprit, Limit, ResetAck, ResetStyle, ResetTtl, RouterFault, Scenario, Scope, Service,
    Stage, VmFault, VmScope,
};
use super::server::{Act, FlowKey, Server};
use super::wire::{ACK, Body, ErrorKind, IcmpError, Packet, RST, Tcp};

const SECOND: i64 = 1_000_000_000;

/// Something the network wants to happen later.
#[derive(Clone, Debug)]
pub(crate) enum Later {
    /// A packet arrives at a place.
    Arrive { place: usize, outward: bool, packet: Packet },
    /// A packet sets out for the client.
    Depart { place: usize, packet: Packet },
    /// A listener gets round to a packet.
    Accept { place: usize, packet: Packet },
    /// A listener's timer runs out.
    Server { place: usize, flow: FlowKey },
    /// The last router gives up on finding the VM on its link.
    NeighbourFailed,
    /// The VM gives up waiting for the rest of a fragmented packet.
    ReassemblyFailed(Packet),
}

/// The path in motion.
#[derive(Debug)]
pub(crate) struct Network {
    scenario: Scenario,
    rng: Rng,
    buckets: BTreeMap<usize, Bucket>,
    /// Public (port or identifier, protocol) to the inner address and port.
    nat: BTreeMap<(u8, u16), (IpAddr, u16)>,
    /// When the last packet of a link and direction arrives.
    busy: BTreeMap<(usize, bool), i64>,
    /// Packets that wait for the VM's link-layer address.
    unresolved: Vec<Packet>,
    servers: BTreeMap<usize, Server>,
    /// Connections that a box has recognised, by the client's end, and from when on it drops them.
    recognised: BTreeMap<FlowKey, i64>,
    later: Vec<(i64, Later)>,
    /// Half-open connections the VM's sshd was made to hold.
    pub(crate) reached_listener: u32,
    /// What a forger counts up.
    counter: u8,
}

/// A token bucket for ICMP errors to one destination, the client being the only one.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: i64,
    filled: i64,
}

impl Network {
    pub(crate) fn new(scenario: &Scenario, rng: Rng) -> Self {
        let vm = scenario.routers.len() + 1;
        let mut servers = BTreeMap::new();
        let service = match scenario.culprit {
            Culprit::Vm(VmFault::Service(service)) => service,
            _ => Service::Ssh,
        };
        servers.insert(vm, Server::new(service, scenario.vm.initial_ttl));
        if let Culprit::Router { index, fault: RouterFault::Intercept(service) } = scenario.culprit {
            servers.insert(index + 1, Server::new(service, scenario.routers[index].initial_ttl));
        }
        Self {
            scenario: scenario.clone(),
            rng,
            buckets: BTreeMap::new(),
            nat: BTreeMap::new(),
            busy: BTreeMap::new(),
            unresolved: Vec::new(),
            servers,
            recognised: BTreeMap::new(),
            later: Vec::new(),
            reached_listener: 0,
            counter: 64,
        }
    }

    /// What it wants to happen later, since it was last asked.
    pub(crate) fn take_later(&mut self) -> Vec<(i64, Later)> {
        std::mem::take(&mut self.later)
    }

    /// The client puts a packet on its link.
    pub(crate) fn enter(&mut self, at: i64, packet: Packet) {
        self.send_out(at, 0, packet);
    }

    /// Something that was due happens.
    pub(crate) fn happen(&mut self, at: i64, what: Later) {
        match what {
            Later::Arrive { place, outward: true, packet } if place == self.vm_place() => {
                self.at_vm(at, &packet);
            }
            Later::Arrive { place, outward: true, packet } => self.outward(at, place, packet),
            Later::Arrive { place, outward: false, packet } => self.inward(at, place, packet),
            Later::Depart { place, packet } => self.send_back(at, place, packet),
            Later::Accept { place, packet } => self.hand_to_server(at, place, &packet),
            Later::Server { place, flow } => {
                let acts = self.servers.get_mut(&place).map(|s| s.wake(at, flow)).unwrap_or_default();
                self.serve(place, acts);
            }
            Later::ReassemblyFailed(packet) => {
                self.error(at, self.vm_place(), ErrorKind::ReassemblyTimeExceeded, &packet);
            }
            Later::NeighbourFailed => {
                for packet in std::mem::take(&mut self.unresolved) {
                    self.error(at, self.vm_place() - 1, ErrorKind::HostUnreachable, &packet);
                }
            }
        }
    }

    fn vm_place(&self) -> usize {
        self.scenario.routers.len() + 1
    }

    /// The culprit's doing at a place, if the packet meets it there.
    fn fault_at(&self, place: usize, packet: &Packet) -> Option<RouterFault> {
        match self.scenario.culprit {
            Culprit::Router { index, fault } if index + 1 == place => {
                let unseen = (packet.half && self.scenario.passes_fragments)
                    || self.scenario.routers[index].tricks.takes_twin(packet);
                (!unseen).then_some(fault)
            }
            _ => None,
        }
    }

    /// A router takes a packet on its way to the VM.
    fn outward(&mut self, at: i64, place: usize, mut packet: Packet) {
        let router = self.scenario.routers[place - 1].clone();
        let fault = self.fault_at(place, &packet);
        if packet.half && router.tricks.keeps_fragments {
            return;
        }
        if self.filter(at, place, fault, Stage::Ingress, &packet) {
            return;
        }
        if router.decrements {
            if packet.ttl <= 1 {
                self.error(at, place, ErrorKind::TimeExceeded, &packet);
                return;
            }
            packet.ttl -= 1;
        }
        if self.filter(at, place, fault, Stage::Forward, &packet) || self.habit(at, place, &packet) {
            return;
        }
        if self.scenario.nat.is_some_and(|n| n.router + 1 == place) {
            self.translate_out(&mut packet);
        }
        router.tricks.outward(&mut packet);
        match self.scenario.culprit {
            Culprit::Vm(VmFault::Off { unreachable: false }) if place + 1 == self.vm_place() => {}
            Culprit::Vm(VmFault::Off { unreachable: true }) if place + 1 == self.vm_place() => {
                if self.unresolved.is_empty() {
                    self.later.push((at + 3 * SECOND, Later::NeighbourFailed));
                }
                self.unresolved.push(packet);
            }
            _ => self.send_out(at, place, packet),
        }
    }

    /// The culprit's hook; whether the packet ends there.
    fn filter(
        &mut self,
        at: i64,
        place: usize,
        fault: Option<RouterFault>,
        here: Stage,
        packet: &Packet,
    ) -> bool {
        let tcp = packet.tcp();
        let to_port = tcp.is_some_and(|t| t.destination_port == self.scenario.port);
        match fault {
            Some(RouterFault::Drop { stage, scope }) if stage == here => match scope {
                Scope::Port => to_port,
                Scope::AllTcp => tcp.is_some(),
            },
            Some(RouterFault::Reset { stage, style }) if stage == here && to_port => {
                // It goes no farther either way: a firewall that verifies drops it.
                self.forge_reset(at, place, packet, style);
                true
            }
            Some(RouterFault::Reject { stage, kind }) if stage == here && to_port => {
                self.error(at, place, kind, packet);
                true
            }
            Some(RouterFault::BlackHole) if here == Stage::Ingress => true,
            Some(RouterFault::NoRoute) if here == Stage::Ingress => {
                self.error(at, place, ErrorKind::NetUnreachable, packet);
                true
            }
            Some(RouterFault::Inject { style }) if here == Stage::Ingress && to_port => {
                if tcp.is_some_and(Tcp::is_syn) {
                    self.forge_reset(at, place, packet, style);
                }
                false
            }
            Some(RouterFault::Recognise { stage, resets, copies, after, ttl })
                if stage == here && to_port =>
            {
                self.recognise(at, place, packet, (resets, copies, after, ttl))
            }
            Some(RouterFault::Swallow { most }) if here == Stage::Forward && to_port => {
                packet.to_bytes().len() > most
            }
            Some(RouterFault::Intercept(_)) if here == Stage::Ingress && to_port => {
                self.hand_to_server(at, place, packet);
                true
            }
            _ => false,
        }
    }

    /// Looks for an identification; whether the packet ends there.
    fn recognise(
        &mut self,
        at: i64,
        place: usize,
        packet: &Packet,
        (resets, copies, after, ttl): (bool, bool, i64, ResetTtl),
    ) -> bool {
        let (Some(tcp), Some(client), Some(server)) =
            (packet.tcp(), packet.tcp_source(), packet.tcp_destination())
        else {
            return false;
        };
        let key = (client, server);
        let dropped = !resets && self.recognised.get(&key).is_some_and(|since| at >= *since);
        if !tcp.data.starts_with(b"SSH-") {
            return dropped;
        }
        self.recognised.entry(key).or_insert(at + after);
        if resets {
            let style = ResetStyle::plain(ttl);
            self.forge_reset(at, place, packet, style);
            return !copies;
        }
        dropped || (!copies && after == 0)
    }

    /// What an innocent router does to a packet that is not SSH; whether it ends there.
    fn habit(&mut self, at: i64, place: usize, packet: &Packet) -> bool {
        let router = &self.scenario.routers[place - 1];
        let (habits, ttl) = (router.habits, router.initial_ttl);
        match &packet.body {
            Body::Tcp(tcp) if tcp.destination_port != self.scenario.port => {
                if habits.resets_other_ports {
                    self.forge_reset(at, place, packet, ResetStyle::plain(ResetTtl::Initial(ttl)));
                }
                habits.drops_other_ports || habits.resets_other_ports
            }
            Body::Echo { reply: false, .. } => {
                if habits.answers_echo && !habits.drops_echo {
                    self.answer_echo(at, place, packet, ttl);
                }
                habits.drops_echo || habits.answers_echo
            }
            _ => false,
        }
    }

    /// A router takes a packet on its way to the client, or the client itself does.
    fn inward(&mut self, at: i64, place: usize, mut packet: Packet) {
        if self.scenario.nat.is_some_and(|n| n.router + 1 == place) && !self.translate_back(&mut packet) {
            return;
        }
        let router = &self.scenario.routers[place - 1];
        router.tricks.inward(&mut packet);
        if matches!(packet.body, Body::Error(_)) && router.habits.drops_errors_inward {
            return;
        }
        let (decrements, ttl) = (router.decrements, router.initial_ttl);
        let from_port = packet.tcp().is_some_and(|t| t.source_port == self.scenario.port);
        match self.fault_at(place, &packet) {
            Some(RouterFault::DropBack) if from_port => return,
            Some(RouterFault::Inspect { resets }) if from_port && is_banner(&packet) => {
                if resets {
                    self.cut(at, place, &packet, ttl);
                }
                return;
            }
            _ => {}
        }
        if decrements {
            if packet.ttl <= 1 {
                return;
            }
            packet.ttl -= 1;
        }
        self.send_back(at, place, packet);
    }

    /// The VM takes a packet.
    fn at_vm(&mut self, at: i64, packet: &Packet) {
        let place = self.vm_place();
        let vm = self.scenario.vm;
        let fault = if let Culprit::Vm(fault) = self.scenario.culprit { Some(fault) } else { None };
        if matches!(fault, Some(VmFault::DropIn { scope: VmScope::Everything })) && !packet.half {
            return;
        }
        // Every kernel verifies.
        if packet.tcp().is_some_and(|t| t.bad_checksum) {
            return;
        }
        match &packet.body {
            Body::Tcp(tcp) if packet.half => self.take_in_half(at, packet, tcp.destination_port, fault),
            Body::Tcp(tcp) if tcp.destination_port == self.scenario.port => match fault {
                Some(VmFault::DropIn { .. }) => {}
                Some(VmFault::Stopped) => self.refuse(at, place, packet, true),
                Some(VmFault::RejectReset) => self.refuse(at, place, packet, false),
                Some(VmFault::RejectIcmp(kind)) => self.error(at, place, kind, packet),
                _ => {
                    self.reached_listener += u32::from(tcp.is_syn());
                    match self.scenario.culprit {
                        Culprit::Router { fault: RouterFault::Inject { style }, .. }
                            if tcp.is_syn() && style.genuine_late > 0 =>
                        {
                            let packet = packet.clone();
                            self.later.push((at + style.genuine_late, Later::Accept { place, packet }));
                        }
                        _ => self.hand_to_server(at, place, packet),
                    }
                }
            },
            Body::Tcp(_) => match vm.closed_ports {
                ClosedPorts::Reset => self.refuse(at, place, packet, true),
                ClosedPorts::Drop => {}
                ClosedPorts::Reject => self.error(at, place, ErrorKind::PortUnreachable, packet),
            },
            Body::Echo { reply: false, .. } if vm.answers_ping => {
                self.answer_echo(at, place, packet, vm.initial_ttl);
            }
            _ => {}
        }
    }

    /// The VM waits for the rest of a fragmented packet. Linux asks its own filter after that; over IPv6 before it.
    fn take_in_half(&mut self, at: i64, packet: &Packet, port: u16, fault: Option<VmFault>) {
        let filtered = match fault {
            _ if port != self.scenario.port => self.scenario.vm.closed_ports != ClosedPorts::Reset,
            Some(VmFault::DropIn { .. } | VmFault::RejectReset | VmFault::RejectIcmp(_)) => true,
            _ => false,
        };
        if filtered && packet.is_v6() {
            return;
        }
        let wait = if packet.is_v6() { 60 } else { 30 } * SECOND;
        let late = self.rng.between(0, 2_000_000_000) as i64;
        self.later.push((at + wait + late, Later::ReassemblyFailed(packet.clone())));
    }

    /// The VM says no to a segment; its kernel copies the TOS byte, its firewall does not.
    fn refuse(&mut self, at: i64, place: usize, packet: &Packet, mirrors_tos: bool) {
        let ttl = ResetTtl::Initial(self.scenario.vm.initial_ttl);
        self.forge_reset(at, place, packet, ResetStyle { mirrors_tos, ..ResetStyle::plain(ttl) });
    }

    fn forge_reset(&mut self, at: i64, place: usize, packet: &Packet, style: ResetStyle) {
        let Some(tcp) = packet.tcp() else { return };
        if tcp.has(RST) || (tcp.bad_checksum && style.verifies) {
            return;
        }
        let (seq, ack, flags) = if tcp.has(ACK) {
            (tcp.ack, 0, RST)
        } else {
            match style.ack {
                ResetAck::IsnPlusOne => (0, tcp.seq.wrapping_add(tcp.len()), RST | ACK),
                ResetAck::Isn => (0, tcp.seq, RST | ACK),
                ResetAck::Absent => (0, 0, RST),
            }
        };
        let tos = if style.mirrors_tos { packet.tos } else { 0 };
        for nth in 0..=style.more {
            self.counter = self.counter.wrapping_add(1).max(64);
            let (ttl, window) = match style.ttl {
                ResetTtl::Initial(ttl) => (ttl, 0),
                ResetTtl::Copied => (packet.ttl, 0),
                ResetTtl::Random => (self.rng.between(20, 255) as u8, 0),
                ResetTtl::Counter => (self.counter, 8_000 + u16::from(self.counter)),
            };
            let window = if style.echoes.1 { tcp.window } else { window };
            let (ack, flags) = if nth % 2 == 1 { (0, RST) } else { (ack, flags) };
            let body = Body::Tcp(Tcp {
                source_port: tcp.destination_port,
                destination_port: tcp.source_port,
                seq: seq.wrapping_add(1_460 * u32::from(nth)),
                ack,
                flags,
                window,
                options: vec![],
                data: vec![],
                bad_checksum: false,
            });
            let reset = Packet { tos, ..packet.answer(packet.destination, ttl, body) };
            let identification = if style.echoes.0 && !packet.is_v6() { packet.identification } else { 0 };
            let packet = Packet { identification, ..reset };
            if style.late > 0 {
                self.later.push((at + style.late, Later::Depart { place, packet }));
            } else {
                self.send_back(at, place, packet);
            }
        }
    }

    /// Resets both ends of an established connection.
    fn cut(&mut self, at: i64, place: usize, packet: &Packet, ttl: u8) {
        let Some(tcp) = packet.tcp() else { return };
        let reset = Tcp { flags: RST | ACK, window: 0, options: vec![], data: vec![], ..tcp.clone() };
        let body = Body::Tcp(Tcp {
            source_port: tcp.destination_port,
            destination_port: tcp.source_port,
            seq: tcp.ack,
            ack: tcp.seq,
            ..reset.clone()
        });
        self.send_out(at, place, packet.answer(packet.destination, ttl, body));
        self.send_back(at, place, Packet { ttl, body: Body::Tcp(reset), ..packet.clone() });
    }

    fn answer_echo(&mut self, at: i64, place: usize, packet: &Packet, ttl: u8) {
        let Body::Echo { identifier, sequence, data, .. } = &packet.body else { return };
        let body =
            Body::Echo { reply: true, identifier: *identifier, sequence: *sequence, data: data.clone() };
        let reply = Packet { tos: packet.tos, ..packet.answer(packet.destination, ttl, body) };
        self.send_back(at, place, reply);
    }

    fn hand_to_server(&mut self, at: i64, place: usize, packet: &Packet) {
        if packet.tcp().is_some_and(|t| t.bad_checksum) {
            return;
        }
        let rng = &mut self.rng;
        let acts = self.servers.get_mut(&place).map(|s| s.receive(at, packet, rng)).unwrap_or_default();
        self.serve(place, acts);
    }

    fn serve(&mut self, place: usize, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Send { at, packet } => self.send_back(at, place, packet),
                Act::Wake { at, flow } => self.later.push((at, Later::Server { place, flow })),
            }
        }
    }

    /// An ICMP error from `place` about `packet`, if the box there sends any and its limit allows.
    fn error(&mut self, at: i64, place: usize, kind: ErrorKind, packet: &Packet) {
        let (from, ttl, limit, short, slow) = match self.scenario.routers.get(place - 1) {
            Some(r) if r.silent => return,
            Some(r) => {
                let twin = r.tricks.twin.filter(|_| r.tricks.takes_twin(packet));
                (twin.unwrap_or(r.address), r.initial_ttl, r.limit, r.short_quotes, r.slow)
            }
            None => (self.scenario.vm.address, self.scenario.vm.initial_ttl, Limit::Linux, false, 0),
        };
        if !self.allowed(at, place, limit) {
            return;
        }
        // The NAT on the client's side of the box has not seen the packet go out yet.
        let error = IcmpError { kind, quote: Box::new(packet.clone()), short };
        let packet = Packet { tos: 0xc0, ..packet.answer(from, ttl, Body::Error(error)) };
        self.send_back(at + slow, place, packet);
    }

    fn allowed(&mut self, at: i64, place: usize, limit: Limit) -> bool {
        // Linux counts jiffies: a token a second, six at most. A new peer starts with all of them.
        let (most, cost) = match limit {
            Limit::Linux => (6 * SECOND, SECOND),
            Limit::Stingy => (SECOND / 2, SECOND / 2),
            Limit::None => return true,
        };
        let bucket = self.buckets.entry(place).or_insert(Bucket { tokens: most, filled: at });
        bucket.tokens = (bucket.tokens + at - bucket.filled).min(most);
        bucket.filled = at;
        let enough = bucket.tokens >= cost;
        if enough {
            bucket.tokens -= cost;
        }
        enough
    }

    fn send_out(&mut self, at: i64, from: usize, packet: Packet) {
        if let Some(at) = self.cross(at, from, true) {
            self.later.push((at, Later::Arrive { place: from + 1, outward: true, packet }));
        }
    }

    fn send_back(&mut self, at: i64, from: usize, mut packet: Packet) {
        let vm_sends_from_port = || packet.tcp().is_some_and(|t| t.source_port == self.scenario.port);
        if from == self.vm_place() {
            match self.scenario.culprit {
                Culprit::Vm(VmFault::DropOut { scope: VmScope::Everything }) => return,
                Culprit::Vm(VmFault::DropOut { scope: VmScope::Port }) if vm_sends_from_port() => return,
                _ => {}
            }
        }
        if let Some((_, longer)) = self.scenario.detour.filter(|(router, _)| router + 1 == from) {
            if packet.ttl <= longer {
                return;
            }
            packet.ttl -= longer;
        }
        if let Some(at) = self.cross(at, from - 1, false) {
            self.later.push((at, Later::Arrive { place: from - 1, outward: false, packet }));
        }
    }

    /// When a packet that goes onto a link now arrives, if it does.
    fn cross(&mut self, at: i64, link_index: usize, outward: bool) -> Option<i64> {
        let link = self.scenario.links[link_index];
        let loss = if outward { link.loss.0 } else { link.loss.1 };
        let arrival = at + link.delay + self.rng.between(0, link.jitter as u64) as i64;
        if self.rng.chance(loss) {
            return None;
        }
        let busy = self.busy.entry((link_index, outward)).or_default();
        let arrival = if link.reorders { arrival } else { arrival.max(*busy + 1_000) };
        *busy = arrival;
        Some(arrival)
    }

    fn translate_out(&mut self, packet: &mut Packet) {
        let Some(nat) = self.scenario.nat else { return };
        let inner = packet.source;
        packet.source = nat.public;
        match &mut packet.body {
            Body::Tcp(tcp) => {
                let port = tcp.source_port;
                if !nat.keeps_ports {
                    // Any one-to-one mapping will do; connection tracking gives a flow the same port.
                    tcp.source_port = 1024 + (port ^ 0x5a5a) % 64_000;
                }
                self.nat.insert((6, tcp.source_port), (inner, port));
            }
            Body::Echo { identifier, .. } => {
                self.nat.insert((1, *identifier), (inner, *identifier));
            }
            _ => {}
        }
    }

    /// Puts the inner address back; false if no connection is known for the packet.
    fn translate_back(&self, packet: &mut Packet) -> bool {
        let Some(nat) = self.scenario.nat.filter(|n| n.public == packet.destination) else { return true };
        let known = |body: &Body, answer: bool| match body {
            Body::Tcp(tcp) => {
                let port = if answer { tcp.destination_port } else { tcp.source_port };
                self.nat.get(&(6, port)).copied()
            }
            Body::Echo { identifier, .. } => self.nat.get(&(1, *identifier)).copied(),
            _ => None,
        };
        let about = match &packet.body {
            Body::Error(error) => known(&error.quote.body, false),
            body => known(body, true),
        };
        let Some((inner, port)) = about else { return false };
        packet.destination = inner;
        match &mut packet.body {
            Body::Tcp(tcp) => tcp.destination_port = port,
            Body::Error(error) if nat.translates_quotes => {
                error.quote.source = inner;
                if let Body::Tcp(tcp) = &mut error.quote.body {
                    tcp.source_port = port;
                }
            }
            _ => {}
        }
        true
    }
}

fn is_banner(packet: &Packet) -> bool {
    packet.tcp().is_some_and(|t| t.data.starts_with(b"SSH-"))
}
