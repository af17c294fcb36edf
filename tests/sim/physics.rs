//! The simulation's own physics, tried with hand-made probes: what real kernels were seen to do.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use whichhop::evidence::Suspect;
use whichhop::path::Segment;
use whichhop::probe::Manner;
use whichhop::recording::{ConnectStage, Event, Said};

use super::kernel::{self, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, Kernel};
use super::network::{Later, Network};
use super::rng::Rng;
use super::scenario::{
    ClientFault, ClosedPorts, Culprit, Habits, Limit, Link, Machine, Nat, ResetAck, ResetStyle, ResetTtl,
    Router, RouterFault, Scenario, Scope, Service, Stage, Vm, VmFault,
};
use super::tricks::Tricks;
use super::wire::{ACK, Body, ErrorKind, IcmpError, Packet, RST, SYN, Tcp, linux_options};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;

/// Client, edge, two transit routers, Azure edge, VM: the path of the figures in the tests below.
pub(crate) fn plain(culprit: Culprit, v6: bool) -> Scenario {
    let address =
        |four: &str, six: &str| -> IpAddr { if v6 { six } else { four }.parse().expect("an address") };
    let router = |segment, address| Router {
        segment,
        address,
        initial_ttl: 64,
        decrements: true,
        silent: false,
        limit: Limit::Linux,
        short_quotes: false,
        slow: 0,
        habits: Habits::default(),
        tricks: Tricks::default(),
    };
    let link = Link { delay: MS, jitter: 0, loss: (0, 0), reorders: false };
    Scenario {
        seed: 0,
        kind: "",
        port: 22,
        client: address("10.22.1.2", "fd22::2"),
        routers: vec![
            router(Segment::Edge, address("10.22.1.1", "fd22::1")),
            router(Segment::Transit, address("198.18.1.2", "2001:db8:1::1")),
            router(Segment::Transit, address("198.18.2.2", "2001:db8:1::2")),
            router(Segment::AzureEdge, address("198.19.255.1", "2001:db8:a::1")),
        ],
        links: vec![link; 5],
        vm: Vm {
            address: address("198.19.0.4", "2001:db8:a::4"),
            initial_ttl: 64,
            answers_ping: true,
            closed_ports: ClosedPorts::Reset,
        },
        nat: None,
        culprit,
        guilty: Some(Suspect::VmFirewall),
        edge_nets: vec![],
        azure_nets: vec![],
        machine: Machine {
            syn_retries: &[SECOND, 3 * SECOND, 7 * SECOND],
            kernel_resets: true,
            capture_lag: 0,
            noise: false,
            forger: false,
            capture_loss: 0,
            raw: true,
        },
        detour: None,
        deep: false,
        passes_fragments: false,
    }
}

fn at_router(index: usize, fault: RouterFault) -> Scenario {
    plain(Culprit::Router { index, fault }, false)
}

fn reset(ttl: ResetTtl) -> ResetStyle {
    ResetStyle::plain(ttl)
}

fn syn(scenario: &Scenario, ttl: u8) -> Packet {
    let body = Body::Tcp(Tcp {
        source_port: 40_000,
        destination_port: scenario.port,
        seq: 1_000,
        ack: 0,
        flags: SYN,
        window: 1025,
        options: linux_options(1460, 7, 0),
        data: vec![],
        bad_checksum: false,
    });
    Packet { tos: 0xb8, ttl, ..Packet::answer(&towards(scenario), scenario.client, ttl, body) }
}

/// A packet whose answer goes to the VM.
fn towards(scenario: &Scenario) -> Packet {
    Packet {
        source: scenario.vm.address,
        destination: scenario.client,
        ttl: 0,
        tos: 0,
        identification: 0,
        dont_fragment: false,
        half: false,
        flow_label: 0,
        body: Body::Other(0),
    }
}

fn echo(scenario: &Scenario, ttl: u8) -> Packet {
    let body = Body::Echo { reply: false, identifier: 5, sequence: 6, data: vec![0; 8] };
    towards(scenario).answer(scenario.client, ttl, body)
}

/// The network and the client's kernel, without the tool.
struct Bench {
    network: Network,
    kernel: Kernel,
    agenda: BTreeMap<(i64, u64), Due>,
    serial: u64,
    /// What came to the client by the wire.
    came: Vec<(i64, Packet)>,
    /// What the kernel sent.
    sent: Vec<(i64, Packet)>,
    told: Vec<(i64, ConnectStage)>,
}

enum Due {
    Network(Later),
    Kernel(u32),
}

impl Bench {
    fn new(scenario: &Scenario) -> Self {
        Self {
            network: Network::new(scenario, Rng::new(1)),
            kernel: Kernel::new(scenario, Rng::new(2)),
            agenda: BTreeMap::new(),
            serial: 0,
            came: vec![],
            sent: vec![],
            told: vec![],
        }
    }

    fn send(&mut self, at: i64, packet: Packet) {
        self.network.enter(at, packet);
        self.collect();
    }

    fn connect(&mut self, scenario: &Scenario) {
        let acts =
            self.kernel.connect(0, 0, SocketAddr::new(scenario.vm.address, scenario.port), Manner::Converse);
        self.act(0, acts);
    }

    fn act(&mut self, at: i64, acts: Vec<kernel::Act>) {
        for act in acts {
            match act {
                kernel::Act::Send(packet) => {
                    self.sent.push((at, packet.clone()));
                    self.send(at, packet);
                }
                kernel::Act::Wake { at, socket } => self.due(at, Due::Kernel(socket)),
                kernel::Act::Tell(Event::Connect { stage, .. }) => self.told.push((at, stage)),
                kernel::Act::Tell(_) => {}
            }
        }
    }

    fn due(&mut self, at: i64, due: Due) {
        self.serial += 1;
        self.agenda.insert((at, self.serial), due);
    }

    fn collect(&mut self) {
        for (at, later) in self.network.take_later() {
            self.due(at, Due::Network(later));
        }
    }

    fn until(&mut self, end: i64) {
        while let Some(entry) = self.agenda.first_entry().filter(|e| e.key().0 <= end) {
            let at = entry.key().0;
            match entry.remove() {
                Due::Network(Later::Arrive { place: 0, packet, .. }) => {
                    let acts = self.kernel.receive(at, &packet);
                    self.came.push((at, packet));
                    self.act(at, acts);
                }
                Due::Network(later) => self.network.happen(at, later),
                Due::Kernel(socket) => {
                    let acts = self.kernel.wake(at, socket);
                    self.act(at, acts);
                }
            }
            self.collect();
        }
    }
}

/// What comes back within ten seconds for one packet.
fn answers(scenario: &Scenario, packet: Packet) -> Vec<(i64, Packet)> {
    let mut bench = Bench::new(scenario);
    bench.send(0, packet);
    bench.until(10 * SECOND);
    bench.came
}

fn only_answer(scenario: &Scenario, packet: Packet) -> Packet {
    let mut answers = answers(scenario, packet);
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0).1
}

fn error(packet: &Packet) -> &IcmpError {
    match &packet.body {
        Body::Error(error) => error,
        other => panic!("not an ICMP error: {other:?}"),
    }
}

fn tcp(packet: &Packet) -> &Tcp {
    packet.tcp().unwrap_or_else(|| panic!("not TCP: {packet}"))
}

#[test]
fn a_syn_dies_where_its_ttl_ends() {
    for v6 in [false, true] {
        let scenario = plain(Culprit::Vm(VmFault::Stopped), v6);
        for ttl in 1..=4 {
            let answer = only_answer(&scenario, syn(&scenario, ttl));
            assert_eq!(answer.source, scenario.routers[usize::from(ttl) - 1].address);
            assert_eq!(answer.ttl, 64 - (ttl - 1));
            assert_eq!(error(&answer).kind, ErrorKind::TimeExceeded);
            assert_eq!(*error(&answer).quote, Packet { ttl: 1, ..syn(&scenario, ttl) });
        }
    }
}

#[test]
fn it_comes_back_after_the_way_there_and_back() {
    let scenario = plain(Culprit::Nobody, false);
    assert_eq!(answers(&scenario, echo(&scenario, 2))[0].0, 4 * MS);
    assert_eq!(answers(&scenario, echo(&scenario, 64))[0].0, 10 * MS);
}

#[test]
fn a_refusal_tells_its_sender_by_ttl_and_tos() {
    let forward = |index| {
        let style = reset(ResetTtl::Initial(64));
        at_router(index, RouterFault::Reset { stage: Stage::Forward, style })
    };
    let mut far = plain(Culprit::Vm(VmFault::Stopped), false);
    far.vm.initial_ttl = 255;
    for (scenario, ttl, tos) in [
        (plain(Culprit::Vm(VmFault::Stopped), false), 60, 0xb8),
        (plain(Culprit::Vm(VmFault::RejectReset), false), 60, 0),
        (forward(0), 64, 0),
        (forward(3), 61, 0),
        (far, 251, 0xb8),
    ] {
        let answer = only_answer(&scenario, syn(&scenario, 64));
        assert_eq!((answer.source, answer.ttl, answer.tos), (scenario.vm.address, ttl, tos));
        assert_eq!((tcp(&answer).flags, tcp(&answer).seq, tcp(&answer).ack), (RST | ACK, 0, 1_001));
    }
}

#[test]
fn one_forward_path_and_the_next_ingress_share_a_trigger_ttl() {
    let style = reset(ResetTtl::Initial(64));
    let trigger = |index, stage| {
        let scenario = at_router(index, RouterFault::Reset { stage, style });
        (1..=6).find(|ttl| answers(&scenario, syn(&scenario, *ttl)).iter().any(|(_, p)| p.tcp().is_some()))
    };
    assert_eq!(trigger(1, Stage::Forward), Some(3));
    assert_eq!(trigger(2, Stage::Ingress), Some(3));
    let stopped = plain(Culprit::Vm(VmFault::Stopped), false);
    assert!(answers(&stopped, syn(&stopped, 5))[0].1.tcp().is_some());
    assert_eq!(trigger(3, Stage::Forward), Some(5));
}

#[test]
fn a_copied_ttl_gives_the_distance_by_its_slope() {
    let style = reset(ResetTtl::Copied);
    let scenario = at_router(2, RouterFault::Reset { stage: Stage::Ingress, style });
    for sent in [5, 9, 64] {
        assert_eq!(only_answer(&scenario, syn(&scenario, sent)).ttl, sent - 4);
    }
    // It reached the box, but the reset died on its way back.
    assert_eq!(answers(&scenario, syn(&scenario, 4)), vec![]);
}

#[test]
fn drops_before_and_after_the_ttl_check() {
    let drop = |stage| at_router(1, RouterFault::Drop { stage, scope: Scope::Port });
    let (before, after) = (drop(Stage::Ingress), drop(Stage::Forward));
    assert_eq!(answers(&before, syn(&before, 2)), vec![]);
    assert_eq!(only_answer(&after, syn(&after, 2)).source, after.routers[1].address);
    for scenario in [before, after] {
        assert_eq!(answers(&scenario, syn(&scenario, 3)), vec![]);
        assert_eq!(only_answer(&scenario, echo(&scenario, 2)).source, scenario.routers[1].address);
        assert_eq!(only_answer(&scenario, echo(&scenario, 64)).source, scenario.vm.address);
    }
}

#[test]
fn a_drop_on_the_way_back_leaves_every_hop_answering() {
    let scenario = at_router(0, RouterFault::DropBack);
    for ttl in 1..=4 {
        assert_eq!(error(&only_answer(&scenario, syn(&scenario, ttl))).kind, ErrorKind::TimeExceeded);
    }
    assert_eq!(answers(&scenario, syn(&scenario, 64)), vec![]);
}

#[test]
fn rejects_quote_what_was_left_of_the_ttl() {
    for (stage, left) in [(Stage::Ingress, 9), (Stage::Forward, 8)] {
        let kind = ErrorKind::AdminProhibited;
        let scenario = at_router(1, RouterFault::Reject { stage, kind });
        let answer = only_answer(&scenario, syn(&scenario, 10));
        assert_eq!(
            (answer.source, error(&answer).kind, error(&answer).quote.ttl),
            (scenario.routers[1].address, kind, left)
        );
    }
}

#[test]
fn routes_fail_before_the_ttl_is_looked_at() {
    let nowhere = at_router(1, RouterFault::NoRoute);
    let answer = only_answer(&nowhere, syn(&nowhere, 2));
    assert_eq!((error(&answer).kind, answer.source), (ErrorKind::NetUnreachable, nowhere.routers[1].address));
    let hole = at_router(1, RouterFault::BlackHole);
    assert_eq!(answers(&hole, syn(&hole, 2)), vec![]);
    assert_eq!(answers(&hole, echo(&hole, 2)), vec![]);
    assert_eq!(answers(&hole, echo(&hole, 1)).len(), 1);
}

#[test]
fn errors_come_six_at_once_and_then_one_a_second() {
    for (fault, ttl) in [(RouterFault::NoRoute, 64), (RouterFault::DropBack, 2)] {
        let scenario = at_router(1, fault);
        let mut bench = Bench::new(&scenario);
        for i in 0..20 {
            bench.send(i * 20 * MS, echo(&scenario, ttl));
        }
        bench.until(SECOND);
        assert_eq!(bench.came.len(), 6);
        for i in 0..20 {
            bench.send(2 * SECOND + i * 100 * MS, echo(&scenario, ttl));
        }
        bench.until(5 * SECOND);
        // Two tokens had come back by then, and two more came while it was asked.
        assert_eq!(bench.came.len(), 6 + 2 + 1);
    }
}

#[test]
fn an_injector_resets_and_lets_the_syn_go_on() {
    let style = reset(ResetTtl::Initial(64));
    let scenario = at_router(1, RouterFault::Inject { style });
    let came = answers(&scenario, syn(&scenario, 2));
    let [(_, first), (_, second)] = came.as_slice() else { panic!("{came:?}") };
    assert!(tcp(first).has(RST));
    assert_eq!(error(second).kind, ErrorKind::TimeExceeded);
    let came = answers(&scenario, syn(&scenario, 64));
    assert!(tcp(&came[0].1).has(RST) && tcp(&came[1].1).is_syn_ack());
}

#[test]
fn nat_translates_what_comes_back_and_what_it_quotes() {
    let mut scenario = plain(Culprit::Nobody, false);
    let public = IpAddr::from([198, 18, 200, 2]);
    for (keeps_ports, translates_quotes) in [(true, true), (false, true), (true, false)] {
        scenario.nat = Some(Nat { router: 0, public, keeps_ports, translates_quotes });
        let sent = syn(&scenario, 3);
        let answer = only_answer(&scenario, sent.clone());
        assert_eq!(answer.destination, scenario.client);
        let source = if translates_quotes { scenario.client } else { public };
        assert_eq!(*error(&answer).quote, Packet { ttl: 1, source, ..sent });
        // The NAT itself quotes what came to it.
        let own = only_answer(&scenario, syn(&scenario, 1));
        assert_eq!(error(&own).quote.source, scenario.client);
        let (_, syn_ack) = answers(&scenario, syn(&scenario, 64)).remove(0);
        assert_eq!((tcp(&syn_ack).destination_port, tcp(&syn_ack).ack), (40_000, 1_001));
        assert_eq!(only_answer(&scenario, echo(&scenario, 64)).source, scenario.vm.address);
    }
}

#[test]
fn a_vm_that_is_off_is_given_up_on_after_three_seconds() {
    let scenario = plain(Culprit::Vm(VmFault::Off { unreachable: true }), false);
    let came = answers(&scenario, syn(&scenario, 64));
    assert_eq!(error(&came[0].1).kind, ErrorKind::HostUnreachable);
    assert_eq!(came[0].0, 3 * SECOND + 8 * MS);
    let scenario = plain(Culprit::Vm(VmFault::Off { unreachable: false }), false);
    assert_eq!(answers(&scenario, syn(&scenario, 64)), vec![]);
}

#[test]
fn a_listener_repeats_its_syn_ack_until_it_is_reset() {
    let mut scenario = plain(Culprit::Nobody, false);
    scenario.machine.kernel_resets = false;
    let when: Vec<_> = answers(&scenario, syn(&scenario, 64)).iter().map(|(at, _)| at / SECOND).collect();
    assert_eq!(when, [0, 1, 3, 7]);

    let mut bench = Bench::new(&scenario);
    bench.send(0, syn(&scenario, 64));
    bench.until(SECOND / 2);
    let mut rst = syn(&scenario, 64);
    rst.body = Body::Tcp(Tcp { seq: 1_001, flags: RST, options: vec![], ..tcp(&rst).clone() });
    bench.send(SECOND / 2, rst);
    bench.until(10 * SECOND);
    assert_eq!(bench.came.len(), 1);

    // So does the client's own kernel, when it is let.
    scenario.machine.kernel_resets = true;
    assert_eq!(answers(&scenario, syn(&scenario, 64)).len(), 1);
}

#[test]
fn an_interceptor_answers_from_its_own_place() {
    let scenario = at_router(1, RouterFault::Intercept(Service::Silent));
    assert_eq!(error(&only_answer(&scenario, syn(&scenario, 1))).kind, ErrorKind::TimeExceeded);
    let (_, answer) = answers(&scenario, syn(&scenario, 2)).remove(0);
    assert!(tcp(&answer).is_syn_ack());
    assert_eq!((answer.source, answer.ttl), (scenario.vm.address, 63));
}

#[test]
fn fabric_that_does_not_count_is_no_hop() {
    let mut scenario = plain(Culprit::Vm(VmFault::Stopped), false);
    scenario.routers[2].decrements = false;
    assert_eq!(only_answer(&scenario, syn(&scenario, 3)).source, scenario.routers[3].address);
    assert_eq!(only_answer(&scenario, syn(&scenario, 4)).ttl, 61);
    assert_eq!(scenario.dies_at(3), Some(3));
    assert_eq!(scenario.dies_at(4), None);
}

#[test]
fn a_longer_way_back_costs_ttl() {
    let mut scenario = plain(Culprit::Vm(VmFault::Stopped), false);
    scenario.detour = Some((2, 2));
    assert_eq!(only_answer(&scenario, syn(&scenario, 2)).ttl, 63);
    assert_eq!(only_answer(&scenario, syn(&scenario, 3)).ttl, 60);
    assert_eq!(only_answer(&scenario, syn(&scenario, 64)).ttl, 58);
}

/// What connect(2) tells, and when the kernel's SYNs leave, in seconds.
fn connect(scenario: &Scenario) -> (Vec<ConnectStage>, Vec<i64>, Bench) {
    let mut bench = Bench::new(scenario);
    bench.connect(scenario);
    bench.until(9 * SECOND);
    let syns = bench.sent.iter().filter(|(_, p)| tcp(p).is_syn()).map(|(at, _)| at / SECOND).collect();
    let mut told: Vec<_> = bench.told.iter().map(|(_, s)| s.clone()).collect();
    told.dedup();
    (told, syns, bench)
}

fn failed(stages: &[ConnectStage]) -> Option<i32> {
    match stages {
        [.., ConnectStage::Started, ConnectStage::Failed { errno, .. }] => Some(*errno),
        _ => None,
    }
}

#[test]
fn the_kernel_reads_a_banner() {
    for v6 in [false, true] {
        let (stages, syns, bench) = connect(&plain(Culprit::Nobody, v6));
        let data = "SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5\\x0d\\x0a".to_owned();
        let [ConnectStage::Started, ConnectStage::Established, received, rest @ ..] = &stages[..] else {
            panic!("{stages:?}")
        };
        assert_eq!(*received, ConnectStage::Received { data });
        let said: Vec<_> = rest
            .iter()
            .filter_map(|s| if let ConnectStage::Sent { what, .. } = s { Some(*what) } else { None })
            .collect();
        assert_eq!(said, [Said::Identification, Said::KeyExchange, Said::Disconnect]);
        assert_eq!(rest.last(), Some(&ConnectStage::Closed));
        assert_eq!(syns, [0]);
        assert!(bench.kernel.read_banner);
        // SYN/ACK, banner, key exchange, FIN, and acknowledgments of what we said in four pieces and of our FIN.
        assert_eq!(bench.came.len(), 9);
    }
}

#[test]
fn the_kernel_repeats_its_syn() {
    let scenario = at_router(0, RouterFault::Drop { stage: Stage::Forward, scope: Scope::Port });
    let (stages, syns, _) = connect(&scenario);
    assert_eq!((stages, syns), (vec![ConnectStage::Started], vec![0, 1, 3, 7]));
}

#[test]
fn the_kernel_fails_with_the_error_linux_gives() {
    let style = reset(ResetTtl::Initial(64));
    let reject = |kind| at_router(1, RouterFault::Reject { stage: Stage::Forward, kind });
    for (scenario, errno) in [
        (plain(Culprit::Vm(VmFault::Stopped), false), ECONNREFUSED),
        (at_router(1, RouterFault::Inject { style }), ECONNREFUSED),
        (reject(ErrorKind::AdminProhibited), EHOSTUNREACH),
        (reject(ErrorKind::NetProhibited), ENETUNREACH),
        (reject(ErrorKind::PortUnreachable), ECONNREFUSED),
        (at_router(1, RouterFault::NoRoute), ENETUNREACH),
        (plain(Culprit::Vm(VmFault::Off { unreachable: true }), false), EHOSTUNREACH),
    ] {
        let (stages, ..) = connect(&scenario);
        assert_eq!(failed(&stages), Some(errno), "{:?}", scenario.culprit);
    }
    // A reset that does not acknowledge the SYN is no answer.
    for ack in [ResetAck::Isn, ResetAck::Absent] {
        let style = ResetStyle { ack, ..style };
        let scenario = at_router(1, RouterFault::Reset { stage: Stage::Forward, style });
        assert_eq!(connect(&scenario).0, [ConnectStage::Started]);
    }
}

#[test]
fn the_clients_own_firewall() {
    let client = |fault| plain(Culprit::Client(fault), false);
    let (stages, syns, bench) = connect(&client(ClientFault::DropOut));
    assert_eq!((stages, syns), (vec![ConnectStage::Started], vec![]));
    assert_eq!(bench.came, vec![]);

    let (stages, syns, _) = connect(&client(ClientFault::RejectOut { errno: ECONNREFUSED }));
    assert_eq!((failed(&stages), syns), (Some(ECONNREFUSED), vec![]));

    let (stages, syns, bench) = connect(&client(ClientFault::DropIn));
    assert_eq!((stages, syns), (vec![ConnectStage::Started], vec![0, 1, 3, 7]));
    assert!(bench.came.len() >= 4 && bench.came.iter().all(|(_, p)| tcp(p).is_syn_ack()));

    let (stages, syns, bench) = connect(&client(ClientFault::Redirect(Service::Silent)));
    assert_eq!(stages, [ConnectStage::Started, ConnectStage::Established]);
    assert_eq!((syns, bench.came), (vec![], vec![]));

    let (stages, syns, _) = connect(&client(ClientFault::NoRoute { errno: ENETUNREACH }));
    assert_eq!((failed(&stages), syns), (Some(ENETUNREACH), vec![]));
}

#[test]
fn services_that_are_not_ssh() {
    let service = |s| plain(Culprit::Vm(VmFault::Service(s)), false);
    let told = |s| connect(&service(s)).0.split_off(2);
    assert_eq!(told(Service::Closes), [ConnectStage::Closed]);
    assert!(matches!(
        &told(Service::ClosesWithWords)[..],
        [ConnectStage::Received { .. }, ConnectStage::Closed]
    ));
    assert!(matches!(&told(Service::Resets)[..], [ConnectStage::Broken { .. }]));
    assert!(matches!(&told(Service::Foreign)[..], [ConnectStage::Received { .. }]));
    assert_eq!(told(Service::Silent), []);
}

#[test]
fn an_inspector_lets_the_handshake_pass_and_stops_the_banner() {
    let (stages, ..) = connect(&at_router(0, RouterFault::Inspect { resets: false }));
    assert_eq!(stages, [ConnectStage::Started, ConnectStage::Established]);
    let (stages, ..) = connect(&at_router(0, RouterFault::Inspect { resets: true }));
    assert!(matches!(stages[2], ConnectStage::Broken { .. }));
}

#[test]
fn a_trace_is_the_same_every_time() {
    use super::session::run;
    for seed in 0..5 {
        let scenario = Scenario::from_seed(seed);
        assert_eq!(format!("{:?}", run(&scenario).log), format!("{:?}", run(&scenario).log));
    }
}
