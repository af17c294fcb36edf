//! The live loop in virtual time: asks the planner what to do, does it to the simulated world, and makes
//! records of what a real machine would have seen, in the order in which it would have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use whichhop::diagnose::{Diagnosis, Findings, NothingToDiagnose, Question};
use whichhop::packet::{LinkType, MacAddr, build};
use whichhop::probe::{Action, Means, Plan, Planner, Step};
use whichhop::recording::{
    Body, CaptureCounters, ConnectStage, Direction, EndReason, Event, Frame, Record, RecordNumber, Route,
    Start, Target, Timestamp,
};

use super::forger;
use super::kernel::{self, ENETUNREACH, Kernel, errno_text};
use super::network::{Later, Network};
use super::rng::Rng;
use super::scenario::{ClientFault, Culprit, Scenario};
use super::wire::{self, Packet};

/// When every trace begins: ns since the epoch.
pub(crate) const BEGIN: i64 = 1_760_000_000_000_000_000;
const DEADLINE: i64 = 10_000_000_000;
const DEEP_DEADLINE: i64 = 80_000_000_000;
const BANNER_WAIT: i64 = 5_000_000_000;
const CLIENT_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x0c]);
const GATEWAY_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x01]);
/// More steps than any honest planner takes at one moment.
const STUCK: u32 = 5_000;
/// The live loop's own tick: the planner is asked again after it, whatever it waits for.
const TICK: i64 = 100_000_000;
/// A silence of this length is put down in the recording when a deadline passes in it.
const SILENCE: i64 = 250_000_000;
/// Resets that may still be owed when a trace ends.
const MOST_RESETS: usize = 64;

/// What decides: the planner, or something else that a test puts in its place.
pub(crate) trait Tool {
    fn handle(&mut self, record: &Record<'_>);
    fn step(&mut self, now: Timestamp) -> Step;
}

impl Tool for Planner {
    fn handle(&mut self, record: &Record<'_>) {
        Self::handle(self, record);
    }

    fn step(&mut self, now: Timestamp) -> Step {
        Self::step(self, now)
    }
}

/// A record that owns what it holds.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: i64,
    pub(crate) body: EntryBody,
}

#[derive(Clone, Debug)]
pub(crate) enum EntryBody {
    /// A frame, and the packet it was made of (none for noise below IP).
    Frame {
        direction: Direction,
        bytes: Vec<u8>,
        packet: Option<Packet>,
    },
    Event(Event),
}

impl Entry {
    /// The record with its number.
    pub(crate) fn record(&self, number: usize) -> Record<'_> {
        let body = match &self.body {
            EntryBody::Frame { direction, bytes, .. } => Body::Frame(Frame {
                interface: 0,
                link: LinkType::ETHERNET,
                direction: *direction,
                original_len: bytes.len() as u32,
                bytes,
            }),
            EntryBody::Event(event) => Body::Event(Box::new(event.clone())),
        };
        Record { number: RecordNumber(number as u64), at: Timestamp::from_nanos(self.at), body }
    }
}

/// Something the tool put on the wire itself.
#[derive(Clone, Debug)]
pub(crate) struct Crafted {
    pub(crate) at: i64,
    pub(crate) packet: Packet,
}

/// A trace that is over.
#[derive(Debug)]
pub(crate) struct Run {
    /// Every record, in order; the first is number 1.
    pub(crate) log: Vec<Entry>,
    pub(crate) findings: Result<Findings, NothingToDiagnose>,
    /// What the tool crafted.
    pub(crate) crafted: Vec<Crafted>,
    /// When it ended, ns since it began.
    pub(crate) took: i64,
    /// Whether the kernel read an SSH banner that came by the wire.
    pub(crate) read_banner: bool,
    /// SYNs that reached a listening sshd.
    pub(crate) reached_listener: u32,
    /// What the live loop itself would have had to complain about.
    pub(crate) complaints: Vec<String>,
}

#[derive(Debug)]
enum Happening {
    Network(Later),
    Kernel(u32),
    Captured(Entry),
    /// A kernel's word reaches the tool.
    Told(Event),
    /// Somebody off the path sends something.
    Forged,
}

struct Session<'a, T> {
    scenario: &'a Scenario,
    now: i64,
    /// The latest moment the recording knows of.
    latest: i64,
    agenda: BTreeMap<(i64, u64), Happening>,
    serial: u64,
    network: Network,
    kernel: Kernel,
    rng: Rng,
    forger: Rng,
    /// Frames that the capture lost.
    lost: u64,
    /// When the last captured frame is read.
    capture_read: i64,
    tool: T,
    diagnosis: Diagnosis,
    log: Vec<Entry>,
    crafted: Vec<Crafted>,
    complaints: Vec<String>,
}

/// Runs one trace from start to end.
pub(crate) fn run(scenario: &Scenario) -> Run {
    let plan = Plan {
        targets: vec![scenario.vm.address],
        port: scenario.port,
        sources: vec![routed(scenario).then_some(scenario.client)],
        seed: scenario.seed,
        deadline: deadline(scenario),
        deep: scenario.deep,
        banner_wait: BANNER_WAIT,
        means: Means { raw: scenario.machine.raw, datagram_icmp: true },
        mss: if scenario.client.is_ipv6() { 1440 } else { 1460 },
    };
    run_with(scenario, Planner::new(plan, Timestamp::from_nanos(BEGIN)))
}

/// Runs one trace with a tool of one's own.
pub(crate) fn run_with(scenario: &Scenario, tool: impl Tool) -> Run {
    let mut rng = Rng::new(scenario.seed ^ 0x7ace);
    let session = Session {
        scenario,
        now: BEGIN,
        latest: BEGIN,
        agenda: BTreeMap::new(),
        serial: 0,
        network: Network::new(scenario, rng.fork()),
        kernel: Kernel::new(scenario, rng.fork()),
        rng,
        forger: Rng::new(scenario.seed ^ 0xf0f0),
        lost: 0,
        capture_read: BEGIN,
        tool,
        diagnosis: Diagnosis::new(Question::default()),
        log: Vec::new(),
        crafted: Vec::new(),
        complaints: Vec::new(),
    };
    session.run()
}

/// How long a trace may take, ns.
pub(crate) fn deadline(scenario: &Scenario) -> i64 {
    if scenario.deep { DEEP_DEADLINE } else { DEADLINE }
}

fn routed(scenario: &Scenario) -> bool {
    !matches!(scenario.culprit, Culprit::Client(ClientFault::NoRoute { .. }))
}

impl<T: Tool> Session<'_, T> {
    fn run(mut self) -> Run {
        self.open();
        let reason = self.until_end();
        self.close(reason)
    }

    fn until_end(&mut self) -> EndReason {
        let mut at_this_moment = 0;
        loop {
            self.take_in();
            match self.tool.step(Timestamp::from_nanos(self.now)) {
                Step::Do(action) => {
                    // A system call takes its time.
                    self.now += 1_000 * self.rng.between(5, 40) as i64;
                    self.act(&action);
                    at_this_moment += 1;
                }
                Step::Wait { until, why } => {
                    let before = self.now;
                    self.wait(until.nanos(), why);
                    at_this_moment = if self.now > before { 0 } else { at_this_moment + 1 };
                }
                Step::Finished => return EndReason::Settled,
            }
            if self.now - BEGIN >= deadline(self.scenario) {
                return EndReason::Deadline;
            }
            if at_this_moment > STUCK {
                self.complaints.push(format!("{STUCK} steps without time passing"));
                return EndReason::Failed;
            }
        }
    }

    /// What every recording begins with.
    fn open(&mut self) {
        let scenario = self.scenario;
        let start = Start {
            version: "0.1.0".to_owned(),
            seed: scenario.seed,
            target: Target { name: None, addresses: vec![scenario.vm.address], port: scenario.port },
            captured: scenario.machine.raw,
            edge_nets: scenario.edge_nets.clone(),
            azure_nets: scenario.azure_nets.clone(),
            deep: scenario.deep,
            deadline_ms: (deadline(scenario) / 1_000_000) as u64,
            banner_wait_ms: (BANNER_WAIT / 1_000_000) as u64,
            uid: 1000,
            contained: false,
        };
        self.event(Event::Start(Box::new(start)));
        let route = match scenario.culprit {
            Culprit::Client(ClientFault::NoRoute { errno }) => Route {
                destination: scenario.vm.address,
                interface: None,
                gateway: None,
                source: None,
                mac: None,
                error: Some(errno_text(errno).to_owned()),
            },
            _ => Route {
                destination: scenario.vm.address,
                interface: Some("eth0".to_owned()),
                gateway: Some(gateway(scenario)),
                source: Some(scenario.client),
                mac: Some(CLIENT_MAC),
                error: None,
            },
        };
        self.event(Event::Route(route));
        if !scenario.machine.raw {
            self.event(Event::Unprivileged { missing: "CAP_NET_RAW".to_owned() });
        } else if scenario.machine.noise {
            self.make_noise();
        }
        if scenario.machine.forger {
            for at in forger::moments(&mut self.forger) {
                self.schedule(BEGIN + at, Happening::Forged);
            }
        }
    }

    /// The end: what is captured is read to the end, what is open is closed, and the record says so.
    fn close(mut self, reason: EndReason) -> Run {
        let took = self.now - BEGIN;
        self.drain();
        for _ in 0..MOST_RESETS {
            match self.tool.step(Timestamp::from_nanos(self.now)) {
                Step::Do(action @ Action::SendReset(_)) => self.act(&action),
                Step::Do(_) => {}
                Step::Wait { .. } | Step::Finished => break,
            }
        }
        for id in self.kernel.open_connections() {
            for act in self.kernel.abandon(self.now, id) {
                if let kernel::Act::Tell(event) = act {
                    self.event(event);
                }
            }
        }
        self.drain();
        if self.scenario.machine.raw && routed(self.scenario) {
            let received =
                self.log.iter().filter(|e| matches!(e.body, EntryBody::Frame { .. })).count() as u64;
            let counters = CaptureCounters {
                interface: "eth0".to_owned(),
                received,
                dropped: self.lost,
                interface_dropped: 0,
            };
            self.event(Event::Capture(counters));
        }
        self.event(Event::End { reason });
        Run {
            log: self.log,
            findings: self.diagnosis.finish(),
            crafted: self.crafted,
            took,
            read_banner: self.kernel.read_banner,
            reached_listener: self.network.reached_listener,
            complaints: self.complaints,
        }
    }

    /// Whatever the capture has seen by now is read, however late it is.
    fn drain(&mut self) {
        let now = self.now;
        let seen = |h: &Happening| matches!(h, Happening::Captured(entry) if entry.at <= now);
        let due: Vec<_> = self.agenda.iter().filter(|(_, h)| seen(h)).map(|(key, _)| *key).collect();
        for key in due {
            if let Some(Happening::Captured(entry)) = self.agenda.remove(&key) {
                self.record(entry);
            }
        }
    }

    /// All that has happened by now.
    fn take_in(&mut self) {
        while let Some(entry) = self.agenda.first_entry().filter(|e| e.key().0 <= self.now) {
            let at = entry.key().0;
            let happening = entry.remove();
            self.happen(at, happening);
        }
    }

    /// Waits until something is recorded or the planner's moment or the next tick comes.
    fn wait(&mut self, until: i64, why: &str) {
        let recorded = self.log.len();
        let end = until.min(self.now + TICK).min(BEGIN + deadline(self.scenario)).max(self.now);
        while let Some(entry) = self.agenda.first_entry().filter(|e| e.key().0 <= end) {
            let at = entry.key().0;
            let happening = entry.remove();
            self.now = self.now.max(at);
            self.happen(at, happening);
            if self.log.len() > recorded {
                return;
            }
        }
        self.now = end;
        if self.now >= until && self.now - self.latest >= SILENCE {
            self.event(Event::Deadline { why: why.to_owned() });
        }
    }

    fn happen(&mut self, at: i64, happening: Happening) {
        match happening {
            Happening::Network(Later::Arrive { place: 0, packet, .. }) => self.arrive(at, &packet),
            Happening::Network(later) => self.network.happen(at, later),
            Happening::Kernel(socket) => {
                let acts = self.kernel.wake(at, socket);
                self.kernel_acts(at, acts);
            }
            Happening::Captured(entry) => self.record(entry),
            Happening::Told(event) => self.event(event),
            Happening::Forged => self.forge(at),
        }
        for (at, later) in self.network.take_later() {
            self.schedule(at, Happening::Network(later));
        }
    }

    fn schedule(&mut self, at: i64, happening: Happening) {
        self.serial += 1;
        self.agenda.insert((at, self.serial), happening);
    }

    /// Does what the planner asks.
    fn act(&mut self, action: &Action) {
        let at = self.now;
        match action {
            Action::Connect { id, server, manner } => {
                let acts = self.kernel.connect(at, *id, *server, *manner);
                self.system_call(acts);
            }
            Action::Abandon { id } => {
                let acts = self.kernel.abandon(at, *id);
                self.system_call(acts);
            }
            Action::Ask { id, probe, hop_limit } => {
                let acts = self.kernel.ask(at, *id, *probe, *hop_limit);
                self.system_call(acts);
            }
            Action::SendSyn(syn) => self.craft(&build::syn(syn)),
            Action::SendHalfSyn(syn) => self.craft(&build::half_syn(syn)),
            Action::SendEcho(echo) => self.craft(&build::echo(echo)),
            Action::SendReset(reset) => self.craft(&build::reset(reset)),
            Action::SendData(data) => self.craft(&build::data(data)),
        }
    }

    /// Sends a crafted packet below the local firewall.
    fn craft(&mut self, packet: &[u8]) {
        if !self.scenario.machine.raw {
            self.complaints.push("a crafted packet without the privilege".to_owned());
            return;
        }
        if !routed(self.scenario) {
            let error = errno_text(ENETUNREACH).to_owned();
            self.event(Event::SendFailed { interface: "eth0".to_owned(), errno: ENETUNREACH, error });
            return;
        }
        let frame = build::ethernet(CLIENT_MAC, GATEWAY_MAC, packet);
        match Packet::from_frame(&frame) {
            Ok(packet) if packet.source == self.scenario.client => {
                self.crafted.push(Crafted { at: self.now, packet: packet.clone() });
                self.put_on_wire(self.now, packet, frame);
            }
            Ok(packet) => self.complaints.push(format!("crafted with a source that is not ours: {packet}")),
            Err(why) => self.complaints.push(format!("crafted a bad packet: {why}")),
        }
    }

    /// A system call of the tool's own: what it returns is on record at once.
    fn system_call(&mut self, acts: Vec<kernel::Act>) {
        for act in acts {
            match act {
                kernel::Act::Tell(event) => self.event(event),
                act => self.kernel_acts(self.now, vec![act]),
            }
        }
    }

    /// What the kernel does unasked: the tool reads what it is told after the frames that led to it.
    fn kernel_acts(&mut self, at: i64, acts: Vec<kernel::Act>) {
        for act in acts {
            match act {
                kernel::Act::Send(packet) => {
                    let frame = packet.to_frame(CLIENT_MAC, GATEWAY_MAC);
                    self.put_on_wire(at, packet, frame);
                }
                kernel::Act::Wake { at, socket } => self.schedule(at, Happening::Kernel(socket)),
                kernel::Act::Tell(event) => self.schedule(self.now, Happening::Told(event)),
            }
        }
    }

    fn put_on_wire(&mut self, at: i64, packet: Packet, frame: Vec<u8>) {
        self.capture(at, Direction::Outbound, frame, &packet);
        self.network.enter(at, packet);
        for (at, later) in self.network.take_later() {
            self.schedule(at, Happening::Network(later));
        }
    }

    /// A packet comes in by the wire: the capture sees it, then the local firewall, then the kernel.
    fn arrive(&mut self, at: i64, packet: &Packet) {
        self.capture(at, Direction::Inbound, packet.to_frame(GATEWAY_MAC, CLIENT_MAC), packet);
        let acts = self.kernel.receive(at, packet);
        self.kernel_acts(at, acts);
    }

    /// Somebody who knows the ports sends something to the client.
    fn forge(&mut self, at: i64) {
        let ports = |entry: &Entry| match &entry.body {
            EntryBody::Frame { direction: Direction::Outbound, packet: Some(packet), .. } => {
                match &packet.body {
                    wire::Body::Tcp(tcp) => Some((tcp.source_port, tcp.destination_port)),
                    _ => None,
                }
            }
            _ => None,
        };
        let ports: Vec<_> = self.log.iter().filter_map(ports).collect();
        for packet in forger::forge(self.scenario, &ports, &mut self.forger) {
            self.arrive(at, &packet);
        }
    }

    fn capture(&mut self, at: i64, direction: Direction, bytes: Vec<u8>, packet: &Packet) {
        if !self.scenario.machine.raw {
            return;
        }
        if self.scenario.machine.capture_loss > 0 && self.rng.chance(self.scenario.machine.capture_loss) {
            self.lost += 1;
            return;
        }
        let lag = self.rng.between(0, self.scenario.machine.capture_lag as u64) as i64;
        // One ring buffer: frames are read in the order of capture.
        self.capture_read = self.capture_read.max(at + lag);
        let packet = Some(packet.clone());
        let entry = Entry { at, body: EntryBody::Frame { direction, bytes, packet } };
        self.schedule(self.capture_read, Happening::Captured(entry));
    }

    fn event(&mut self, event: Event) {
        self.record(Entry { at: self.now, body: EntryBody::Event(event) });
    }

    fn record(&mut self, entry: Entry) {
        let record = entry.record(self.log.len() + 1);
        self.diagnosis.push(&record);
        self.tool.handle(&record);
        self.latest = self.latest.max(entry.at);
        self.log.push(entry);
    }

    /// Frames that mean nothing: ARP, and others' connections.
    fn make_noise(&mut self) {
        let mut arp = vec![0xff; 6];
        arp.extend(GATEWAY_MAC.0);
        arp.extend([0x08, 0x06]);
        arp.extend([0; 46]);
        let stranger = IpAddr::from([198, 18, 77, 7]);
        for i in 0..8 {
            let at = BEGIN + i * 700_000_000 + 1_000_000;
            let frame = if i % 2 == 0 || self.scenario.client.is_ipv6() {
                arp.clone()
            } else {
                let tcp = wire::Tcp {
                    source_port: self.scenario.port,
                    destination_port: 50_000,
                    seq: 0,
                    ack: 77,
                    flags: wire::RST | wire::ACK,
                    window: 0,
                    options: vec![],
                    data: vec![],
                    bad_checksum: false,
                };
                let packet = Packet {
                    source: stranger,
                    destination: self.scenario.client,
                    ttl: 50,
                    tos: 0,
                    identification: 0,
                    dont_fragment: true,
                    flow_label: 0,
                    half: false,
                    body: wire::Body::Tcp(tcp),
                };
                packet.to_frame(GATEWAY_MAC, CLIENT_MAC)
            };
            let direction = Direction::Inbound;
            let entry = Entry { at, body: EntryBody::Frame { direction, bytes: frame, packet: None } };
            self.schedule(at, Happening::Captured(entry));
        }
    }
}

fn gateway(scenario: &Scenario) -> IpAddr {
    scenario.routers.first().map_or(scenario.vm.address, |r| r.address)
}

/// The connections a log says were open at once, at most.
pub(crate) fn most_open_connections(log: &[Entry]) -> usize {
    let mut open = BTreeSet::new();
    let mut most = 0;
    for entry in log {
        let EntryBody::Event(Event::Connect { id, stage, .. }) = &entry.body else { continue };
        match stage {
            ConnectStage::Started => {
                open.insert(*id);
            }
            ConnectStage::Established
            | ConnectStage::Received { .. }
            | ConnectStage::Sent { .. }
            | ConnectStage::KeyExchange { .. } => {}
            ConnectStage::Failed { .. }
            | ConnectStage::Closed
            | ConnectStage::Left
            | ConnectStage::Broken { .. }
            | ConnectStage::Abandoned { .. } => {
                open.remove(id);
            }
        }
        most = most.max(open.len());
    }
    most
}

/// SYN/ACKs in a log: where to, and what they acknowledge.
pub(crate) fn syn_acks(log: &[Entry]) -> Vec<(SocketAddr, u32)> {
    let frames = |wanted: Direction| {
        log.iter().filter_map(move |e| match &e.body {
            EntryBody::Frame { direction, packet, .. } if *direction == wanted => packet.as_ref(),
            _ => None,
        })
    };
    // What a forger made up acknowledges nothing.
    let asked: BTreeSet<(SocketAddr, u32)> = frames(Direction::Outbound)
        .filter_map(|packet| {
            let tcp = packet.tcp().filter(|t| t.is_syn())?;
            Some((packet.tcp_source()?, tcp.seq.wrapping_add(1)))
        })
        .collect();
    frames(Direction::Inbound)
        .filter_map(|packet| {
            let tcp = packet.tcp().filter(|t| t.is_syn_ack())?;
            Some((packet.tcp_destination()?, tcp.ack))
        })
        .filter(|end| asked.contains(end))
        .collect()
}
