//! The planner in virtual time, against networks of a few lines.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Manner, Means, Plan, Planner, Step};
use crate::diagnose::{Diagnosis, Question};
use crate::packet::build::Data;
use crate::recording::{Body, KernelProbe, Record, RecordNumber, Timestamp};
use crate::testing::{self, CLIENT, Found, Script, TARGET, address};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
/// What gets to the target.
const FULL: u8 = 64;
const ROUTERS: [&str; 4] = ["11/0 10.22.1.1", "11/0 198.18.1.1", "11/0 198.18.2.1", "11/0 198.18.3.1"];

/// What a network says to a probe: its port (0 for an echo) and its hop limit; as lines of a script say it, several
/// answers with `&` between them, `late` ones after 1.5 s.
type Network = fn(u16, u8) -> &'static str;

/// Four routers, and nobody behind them says anything.
fn dark(_: u16, ttl: u8) -> &'static str {
    ROUTERS.get(usize::from(ttl) - 1).unwrap_or(&"")
}

/// The VM answers pings and resets what is closed.
fn vm(port: u16, ttl: u8) -> &'static str {
    match (port, ttl) {
        (_, 1..=4) => dark(port, ttl),
        (0, _) => "echo-reply",
        _ => "R. ttl=60",
    }
}

/// So does one with sshd.
fn sshd(port: u16, ttl: u8) -> &'static str {
    if port == 22 && ttl > 4 { "S. ttl=60" } else { vm(port, ttl) }
}

/// Hop 1 drops SYNs to port 22.
fn edge_drops(port: u16, ttl: u8) -> &'static str {
    if port == 22 && ttl > 1 { "" } else { vm(port, ttl) }
}

/// Hop 1 resets them.
fn edge_resets(port: u16, ttl: u8) -> &'static str {
    if port == 22 && ttl > 1 { "R. ttl=64" } else { vm(port, ttl) }
}

/// Hop 2 resets them, with what is left of their own hop limit.
fn copies_hop_limit(port: u16, ttl: u8) -> &'static str {
    match (port, ttl) {
        (22, 3..) => format!("R. ttl={}", ttl - 2).leak(),
        (22, 2) => "",
        _ => vm(port, ttl),
    }
}

/// Hop 2 resets a copy of them, and the VM never answers.
fn listens(port: u16, ttl: u8) -> &'static str {
    match (port, ttl) {
        (22, 2..=4) => format!("R. ttl=63 & {}", dark(port, ttl)).leak(),
        (22, 5..) => "R. ttl=63",
        _ => vm(port, ttl),
    }
}

/// The same before a VM with a slow sshd.
fn listens_before_slow_sshd(port: u16, ttl: u8) -> &'static str {
    if port == 22 && ttl > 4 { "R. ttl=63 & late S. ttl=60" } else { listens(port, ttl) }
}

/// The same before a VM with sshd.
fn listens_before_sshd(port: u16, ttl: u8) -> &'static str {
    if port == 22 && ttl > 4 { "R. ttl=63 & S. ttl=60" } else { listens(port, ttl) }
}

/// Hop 1 lets nothing out but pings and port 443.
fn edge_lets_https_out(port: u16, ttl: u8) -> &'static str {
    if ttl > 1 && !matches!(port, 0 | 443) { "" } else { vm(port, ttl) }
}

/// The VM's kernel refuses, and copies the mark of what it refuses.
fn vm_mirrors(port: u16, ttl: u8) -> &'static str {
    match vm(port, ttl) {
        "R. ttl=60" => "R. ttl=60 mirrored",
        other => other,
    }
}

/// Only the client's own kernel is in the way of its own SYNs (which alone have a hop limit of 64).
fn all_dark(_: u16, _: u8) -> &'static str {
    ""
}

#[derive(Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "each is a separate fact of the world")]
struct Setting {
    network: Network,
    /// The kernel's SYN gets to the wire.
    kernel_out: bool,
    /// What comes back gets to the kernel.
    kernel_in: bool,
    /// sshd speaks.
    banner: bool,
    /// Who answers SYNs to port 22 verifies their checksums.
    verifies: bool,
    targets: usize,
    routed: bool,
    means: Means,
    seed: u64,
    deep: bool,
    /// How long the VM waits for the rest of a fragmented packet.
    gives_up_after: Option<i64>,
    /// What happens once both sides have said who they are, and beyond which hop.
    trouble: Trouble,
    box_at: u8,
}

/// What a box does to the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    /// Resets at our identification.
    Resets,
    /// Drops our identification.
    Stalls,
    /// Drops what is long.
    Swallows,
}

const RAW: Means = Means { raw: true, datagram_icmp: true };

fn usual(network: Network) -> Setting {
    Setting {
        network,
        kernel_out: true,
        kernel_in: true,
        banner: true,
        verifies: true,
        targets: 1,
        routed: true,
        means: RAW,
        seed: 7,
        trouble: Trouble::None,
        box_at: 0,
        deep: false,
        gives_up_after: None,
    }
}

/// What a trace did.
struct Trace {
    actions: Vec<(i64, Action)>,
    ended: i64,
    /// Most kernel connections that were open at once.
    most_open: usize,
    /// What was recorded.
    script: Script,
}

/// Virtual time, the wire and the kernel.
struct World {
    setting: Setting,
    script: Script,
    planner: Planner,
    handled: usize,
    announced: usize,
    pending: BTreeMap<(i64, usize), String>,
    open: BTreeSet<u32>,
    held: BTreeSet<u32>,
    /// Connections that end, and when.
    over: BTreeSet<(i64, u32)>,
}

fn seconds(at: i64) -> String {
    format!("{}.{:09}", at / SECOND, at % SECOND)
}

/// The answers of a network, each with its delay.
fn each(answers: &str) -> impl Iterator<Item = (i64, &str)> {
    answers.split(" & ").map(|a| a.strip_prefix("late ").map_or((0, a), |late| (1_500 * MS, late)))
}

fn run(setting: Setting) -> Trace {
    run_without(setting, "none")
}

/// A trace that never asks one kind of question, and its recording.
fn run_without(setting: Setting, inquiry: &str) -> Trace {
    let mut targets = vec![address(TARGET)];
    targets.extend((1..setting.targets).map(|n| address(&format!("198.19.0.{}", 4 + n))));
    let plan = Plan {
        sources: targets.iter().map(|_| setting.routed.then(|| address(CLIENT))).collect(),
        targets,
        port: 22,
        seed: setting.seed,
        deadline: if setting.deep { 80 } else { 10 } * SECOND,
        banner_wait: 2 * SECOND,
        means: setting.means,
        mss: 1460,
        deep: setting.deep,
    };
    let mut planner = Planner::new(plan, Timestamp::from_nanos(0));
    planner.leave_out(inquiry);
    let mut world = World {
        setting,
        script: Script::new(""),
        planner,
        handled: 0,
        announced: 0,
        pending: BTreeMap::new(),
        open: BTreeSet::new(),
        held: BTreeSet::new(),
        over: BTreeSet::new(),
    };
    let mut trace = Trace { actions: Vec::new(), ended: 0, most_open: 0, script: Script::new("") };
    let mut now = 0;
    for _ in 0..20_000 {
        world.deliver(now);
        match world.planner.step(Timestamp::from_nanos(now)) {
            Step::Do(action) => {
                world.act(now, &action);
                trace.actions.push((now, action));
                trace.most_open = trace.most_open.max(world.open.len());
            }
            Step::Wait { until, why } => {
                assert!(until.nanos() > now, "waits for the past: {why}");
                let next = world.pending.keys().next().map_or(i64::MAX, |(at, _)| *at);
                now = until.nanos().min(next.max(now));
            }
            Step::Finished => {
                trace.ended = now;
                trace.script = world.script;
                assert!(matches!(world.planner.step(Timestamp::from_nanos(now)), Step::Finished));
                return trace;
            }
        }
    }
    panic!("it does not end");
}

impl World {
    /// Writes a line into the recording, now or later.
    fn at(&mut self, at: i64, line: &str) {
        self.announced += 1;
        self.pending.insert((at, self.announced), format!("{} {line}", seconds(at)));
    }

    fn deliver(&mut self, now: i64) {
        while let Some((_, id)) = self.over.first().copied().filter(|(at, _)| *at <= now) {
            self.over.pop_first();
            self.open.remove(&id);
        }
        while let Some(entry) = self.pending.first_entry().filter(|e| e.key().0 <= now) {
            let line = entry.remove();
            self.record(&line);
        }
    }

    fn record(&mut self, line: &str) {
        self.script.line(line);
        for record in self.script.records().skip(self.handled) {
            self.planner.handle(&record);
        }
        self.handled = self.script.len();
    }

    fn act(&mut self, now: i64, action: &Action) {
        let t = seconds(now);
        match action {
            Action::SendSyn(syn) => {
                let (client, port, ttl) = (syn.source.port(), syn.destination.port(), syn.hop_limit.0);
                let (id, isn, clock, tos) = (syn.identification, syn.isn.0, syn.timestamp, syn.traffic_class);
                let sum = if syn.bad_checksum { " badsum" } else { "" };
                self.record(&format!(
                    "{t} > {client}:{port} S ttl={ttl} id={id} seq={isn} ts={clock}/0 tos={tos}{sum}"
                ));
                let later = now + i64::from(ttl.min(5)) * MS;
                let ack = isn.wrapping_add(1);
                let about = self.script.len();
                let ignored = syn.bad_checksum && (port != 22 || self.setting.verifies);
                let answers = if ignored { "" } else { (self.setting.network)(port, ttl) };
                for (delay, answer) in each(answers) {
                    let later = later + delay;
                    match answer {
                        "" => {}
                        error if error.contains('/') => self.at(later, &format!("< {error} about={about}")),
                        answer if answer.starts_with('S') => {
                            // It comes again, sooner than from any real kernel, so that short traces see it.
                            for again in [0, 200 * MS] {
                                let answer = format!("< {client}:{port} {answer} ack={ack} ts=1/{clock}");
                                self.at(later + again, &answer);
                            }
                        }
                        answer => {
                            let tos = if answer.ends_with("mirrored") { tos } else { 0 };
                            let answer = answer.trim_end_matches(" mirrored");
                            self.at(later, &format!("< {client}:{port} {answer} ack={ack} tos={tos}"));
                        }
                    }
                }
            }
            Action::SendHalfSyn(syn) => {
                let (client, port, isn) = (syn.source.port(), syn.destination.port(), syn.isn.0);
                self.record(&format!("{t} > {client}:{port} S half id={} seq={isn}", syn.identification));
                if let Some(after) = self.setting.gives_up_after {
                    let about = self.script.len();
                    self.at(now + after, &format!("< 11/1 {TARGET} about={about} left=60"));
                }
            }
            Action::SendEcho(echo) => {
                let (sequence, ttl) = (echo.sequence, echo.hop_limit.0);
                self.record(&format!("{t} > echo {sequence} ttl={ttl}"));
                let later = now + i64::from(ttl.min(5)) * MS;
                match (self.setting.network)(0, ttl) {
                    "" => {}
                    "echo-reply" => self.at(later, &format!("< echo-reply {sequence}")),
                    error => {
                        let about = self.script.len();
                        self.at(later, &format!("< {error} about={about}"));
                    }
                }
            }
            Action::SendReset(reset) => {
                let (client, seq) = (reset.source.port(), reset.seq.0);
                self.record(&format!("{t} > {client}:{} R seq={seq}", reset.destination.port()));
            }
            Action::Connect { id, server, manner } => {
                self.open.insert(*id);
                self.connect(now, *id, &format!("server={}", server.ip()), *manner);
            }
            Action::SendData(data) => self.data(now, data),
            Action::Abandon { id } => {
                self.open.remove(id);
                let target = if (*id as usize) < self.setting.targets { *id } else { 0 };
                let server = format!("server=198.19.0.{}", 4 + target);
                let port = 50022 + id;
                if self.setting.means.raw && self.held.remove(id) {
                    self.record(&format!("{t} > {port}:22 F. seq=1001 ack=9012"));
                }
                self.record(&format!("{t} ! connect {id} abandoned 1 port={port} {server}"));
            }
            Action::Ask { id, probe, hop_limit } => {
                let (kind, port) = match probe {
                    KernelProbe::Connect(server) => ("connect", server.port()),
                    KernelProbe::Echo(_) => ("echo", 0),
                };
                self.record(&format!("{t} ! ask {id} {kind} ttl={hop_limit}"));
                let later = now + i64::from(*hop_limit) * MS;
                match (self.setting.network)(port, *hop_limit) {
                    "" => {}
                    "echo-reply" => self.at(later, &format!("! answer {id} echo-reply {TARGET}")),
                    error if error.contains('/') => self.at(later, &format!("! answer {id} {error}")),
                    _ => self.at(later, &format!("! answer {id} failed 111")),
                }
            }
        }
    }

    /// The kernel's connect(2), as far as it gets.
    fn connect(&mut self, now: i64, id: u32, server: &str, manner: Manner) {
        let (t, port) = (seconds(now), 50022 + id);
        let event = |stage: &str| format!("! connect {id} {stage} port={port} {server}");
        self.record(&format!("{t} {}", event("started")));
        let answer = (self.setting.network)(22, 64).trim_end_matches(" mirrored");
        let raw = self.setting.means.raw;
        let tries: &[i64] = if answer.is_empty() || !self.setting.kernel_in { &[0, 1, 3] } else { &[0] };
        if !self.setting.kernel_out {
            return;
        }
        for after in tries.iter().map(|s| now + s * SECOND) {
            if raw {
                self.at(after, &format!("> {port}:22 S seq=1000 {server}"));
                for (delay, answer) in each(answer).filter(|(_, a)| !a.is_empty()) {
                    self.at(after + delay + 5 * MS, &format!("< {port}:22 {answer} {server}"));
                }
            }
            if !self.setting.kernel_in {
                continue;
            }
            if answer.starts_with('S') {
                if raw {
                    self.at(after + 5 * MS, &format!("> {port}:22 . {server}"));
                }
                self.at(after + 5 * MS, &event("established"));
                if self.setting.banner {
                    self.converse(after + 10 * MS, id, server, manner);
                }
            } else if answer.starts_with('R') {
                self.at(after + 5 * MS, &event("failed 111"));
                self.open.remove(&id);
            }
        }
    }
}

/// The server's side of a conversation begins with this number, its banner has 11 bytes; the client's first byte has
/// number 1001.
impl World {
    /// What is said behind the handshake, as far as the setting lets it.
    fn converse(&mut self, at: i64, id: u32, server: &str, manner: Manner) {
        let (port, raw) = (50022 + id, self.setting.means.raw);
        let event = |stage: &str| format!("! connect {id} {stage} port={port} {server}");
        if raw {
            self.at(at, &format!("< {port}:22 P. data=\"SSH-2.0-x\\r\\n\" {server}"));
            self.at(at, &format!("> {port}:22 . ack=9012 {server}"));
        }
        self.at(at, &event("received SSH-2.0-x\\r\\n"));
        if manner == Manner::Hold {
            self.held.insert(id);
            return;
        }
        let (said, answered) = (at + MS, at + 6 * MS);
        if raw {
            self.at(said, &format!("> {port}:22 P. len=24 ack=9012 {server}"));
        }
        self.at(said, &event("sent identification"));
        let trouble = self.setting.trouble;
        if trouble == Trouble::Resets {
            if raw {
                self.at(answered, &format!("< {port}:22 R seq=9012 {server}"));
            }
            self.at(answered, &event("broken 104"));
            self.over.insert((answered, id));
            return;
        }
        if trouble == Trouble::Stalls {
            return;
        }
        self.at(answered, &event("kexinit"));
        self.at(answered + MS, &event("sent key-exchange"));
        self.at(answered + 60 * MS, &event("sent farewell"));
        if trouble == Trouble::Swallows {
            return;
        }
        self.at(answered + 70 * MS, &event("closed"));
        self.over.insert((answered + 70 * MS, id));
    }

    /// Data that runs out at a router, or earlier.
    fn data(&mut self, now: i64, data: &Data) {
        let (client, ttl, id) = (data.source.port(), data.hop_limit.0, data.identification);
        let (seq, ack, t) = (data.seq.0, data.ack.0, seconds(now));
        let identifies = data.data.starts_with(b"SSH-");
        let words =
            if identifies { "data=SSH-2.0-w\\r\\n".to_owned() } else { format!("len={}", data.data.len()) };
        self.record(&format!("{t} > {client}:22 P. {words} ttl={ttl} id={id} seq={seq} ack={ack}"));
        assert!(usize::from(ttl) <= ROUTERS.len(), "data that reaches the VM");
        let beyond_box = ttl > self.setting.box_at;
        let later = now + i64::from(ttl) * MS;
        match self.setting.trouble {
            Trouble::Resets if identifies && beyond_box => {
                self.at(later, &format!("< {client}:22 R seq=9012 ttl=64"));
                let id = u32::from(client - 50022);
                self.at(later, &format!("! connect {id} broken 104 port={client}"));
                self.held.remove(&id);
                self.over.insert((later, id));
            }
            Trouble::Stalls if identifies && beyond_box => {}
            Trouble::Swallows if data.data.len() > 400 && beyond_box => {}
            _ => {
                let about = self.script.len();
                self.at(later, &format!("< {} about={about}", ROUTERS[usize::from(ttl) - 1]));
            }
        }
    }
}

impl Trace {
    /// When each SYN was sent, to which port, from which port and with what hop limit.
    fn syns(&self) -> Vec<(i64, u16, u16, u8)> {
        let syn = |(at, action): &(i64, Action)| match action {
            Action::SendSyn(s) => Some((*at, s.destination.port(), s.source.port(), s.hop_limit.0)),
            _ => None,
        };
        self.actions.iter().filter_map(syn).collect()
    }

    /// When each probe was sent that may run out on the way, by its hop limit.
    fn by_hop(&self) -> BTreeMap<u8, Vec<i64>> {
        let mut hops: BTreeMap<u8, Vec<i64>> = BTreeMap::new();
        for (at, action) in &self.actions {
            let hop = match action {
                Action::SendSyn(syn) => syn.hop_limit.0,
                Action::SendEcho(echo) => echo.hop_limit.0,
                Action::Ask { hop_limit, .. } => *hop_limit,
                _ => continue,
            };
            if hop < FULL {
                hops.entry(hop).or_default().push(*at);
            }
        }
        hops
    }

    fn abandoned(&self) -> Option<i64> {
        self.actions.iter().find(|(_, a)| matches!(a, Action::Abandon { .. })).map(|(at, _)| *at)
    }

    fn resets(&self) -> Vec<u16> {
        let reset =
            |(_, a): &(i64, Action)| if let Action::SendReset(r) = a { Some(r.source.port()) } else { None };
        self.actions.iter().filter_map(reset).collect()
    }
}

const NETWORKS: [(&str, Network); 11] = [
    ("dark", dark),
    ("vm", vm),
    ("vm_mirrors", vm_mirrors),
    ("sshd", sshd),
    ("edge_drops", edge_drops),
    ("edge_resets", edge_resets),
    ("edge_lets_https_out", edge_lets_https_out),
    ("all_dark", all_dark),
    ("copies_hop_limit", copies_hop_limit),
    ("listens", listens),
    ("listens_before_sshd", listens_before_sshd),
];

#[test]
fn every_trace_ends_in_time() {
    for (name, network) in NETWORKS {
        for kernel_out in [true, false] {
            let trace = run(Setting { kernel_out, ..usual(network) });
            assert!(trace.ended < 6 * SECOND, "{name}: {}", seconds(trace.ended));
        }
    }
    assert!(run(usual(sshd)).ended < SECOND, "nothing to wait for");
}

#[test]
fn no_port_gets_more_than_fifty_syns_a_second() {
    for (name, network) in NETWORKS {
        let mut times: BTreeMap<u16, Vec<i64>> = BTreeMap::new();
        for (at, port, ..) in run(usual(network)).syns() {
            times.entry(port).or_default().push(at);
        }
        // The kernel's own.
        times.entry(22).or_default().extend([0, SECOND, 3 * SECOND]);
        let to_ssh: Vec<i64> = run(usual(network)).syns().iter().filter(|s| s.1 == 22).map(|s| s.0).collect();
        assert!(to_ssh.windows(2).all(|w| w[1] - w[0] > 20 * MS), "{name}: room for the kernel's own");
        for (port, mut times) in times {
            times.sort_unstable();
            for from in &times {
                let within = times.iter().filter(|t| (*from..from + SECOND).contains(t)).count();
                assert!(within <= 50, "{name}: {within} SYNs to port {port} within a second");
            }
        }
    }
}

#[test]
fn no_hop_is_asked_for_more_errors_than_it_earns() {
    for (name, network) in NETWORKS {
        for (hop, times) in run(usual(network)).by_hop() {
            for (i, at) in times.iter().enumerate() {
                let earned = 5 + (at - times[0]) / SECOND;
                assert!((i as i64) < earned, "{name}: hop {hop} asked {} times by {}", i + 1, seconds(*at));
            }
        }
    }
}

#[test]
fn what_is_asked_again_goes_from_a_fresh_port() {
    for (name, network) in NETWORKS {
        let mut flows: BTreeMap<u16, Vec<(u16, u8)>> = BTreeMap::new();
        for (_, port, from, ttl) in run(usual(network)).syns() {
            flows.entry(from).or_default().push((port, ttl));
        }
        for (from, syns) in flows {
            assert!((20_000..32_000).contains(&from), "{name}: {from} may belong to a socket");
            assert!(syns.windows(2).all(|w| w[0].0 == w[1].0 && w[0].1 < w[1].1), "{name}: {syns:?}");
        }
    }
    let asked_again: Vec<_> = run(usual(edge_drops)).syns().into_iter().filter(|s| s.0 > SECOND).collect();
    let ports: BTreeSet<u16> = asked_again.iter().map(|s| s.2).collect();
    assert!(!asked_again.is_empty());
    assert_eq!(ports.len(), asked_again.len(), "one SYN each");
}

#[test]
fn a_refusal_is_confirmed_one_hop_limit_to_a_port() {
    let trace = run(usual(edge_resets));
    let to_ssh: Vec<(u16, u8)> = trace.syns().iter().filter(|s| s.1 == 22).map(|s| (s.2, s.3)).collect();
    let sweep = to_ssh[0].0;
    let swept = |ttl: u8| ttl < FULL;
    let alone: Vec<u8> =
        to_ssh.iter().filter(|(from, ttl)| *from != sweep && swept(*ttl)).map(|(_, ttl)| *ttl).collect();
    assert_eq!(alone, [1, 2], "the hop before it and its own");
    let farthest = to_ssh.iter().map(|(_, ttl)| *ttl).filter(|ttl| swept(*ttl)).max();
    assert_eq!(farthest, Some(3), "no farther than one beyond the refusal");
}

/// What a trace that never asks one kind of question finds.
fn found_without(setting: Setting, inquiry: &str) -> Found {
    let recorded = run_without(setting, inquiry).script;
    let mut lines = Script::new("0.0 ! start azure=198.18.3.0/24\n 0.0 ! route gw=10.22.1.1");
    lines.append(recorded);
    lines.line("9.8 ! capture");
    lines.line("9.9 ! end");
    testing::found(&lines)
}

#[test]
fn every_further_question_is_there_for_a_fault() {
    let unverified = Setting { verifies: false, ..usual(vm) };
    let silent = Setting { deep: true, gives_up_after: Some(30 * SECOND), ..usual(dark) };
    let inspected = |trouble| Setting { trouble, box_at: 1, ..usual(sshd) };
    for (inquiry, setting, rule) in [
        ("Mark", usual(vm_mirrors), "reset-bears-mark"),
        ("HalfSyn", silent, "half-syn-taken-in"),
        ("Stages", inspected(Trouble::Resets), "identification-reset-before-path-end"),
        ("Stages", inspected(Trouble::Stalls), "identification-stops"),
        ("Stages", inspected(Trouble::Swallows), "full-size-stops"),
        ("Vary", usual(copies_hop_limit), "reset-copies-hop-limit"),
        ("Checksum", unverified, "reset-without-checking"),
        ("Late", usual(listens_before_slow_sshd), "genuine-answer-follows"),
        ("Confirm", usual(listens), "reset-beside-time-exceeded"),
    ] {
        let all = found_without(setting, "none");
        assert!(all.has(rule), "{inquiry}: {}", all.rules());
        let less = found_without(setting, inquiry);
        assert!(!less.has(rule), "without {inquiry}: {}", less.rules());
    }
}

/// Hop limits of the SYNs to the port that no path needs.
fn beyond_any_path(trace: &Trace) -> Vec<u8> {
    trace.syns().iter().filter(|s| s.1 == 22 && s.3 > 64).map(|s| s.3).collect()
}

#[test]
fn a_hop_limit_that_moves_with_ours_is_measured() {
    let trace = run(usual(copies_hop_limit));
    assert_eq!(beyond_any_path(&trace), [100, 160, 220, 250]);
    assert!(trace.ended < SECOND, "{}", seconds(trace.ended));
    for steady in [edge_resets, vm, sshd, edge_drops] {
        assert_eq!(beyond_any_path(&run(usual(steady))), [0u8; 0]);
    }
}

/// Ports of the SYNs with a wrong checksum.
fn spoilt(trace: &Trace) -> Vec<u16> {
    let port = |(_, action): &(i64, Action)| match action {
        Action::SendSyn(syn) => syn.bad_checksum.then_some(syn.destination.port()),
        _ => None,
    };
    trace.actions.iter().filter_map(port).collect()
}

#[test]
fn a_reset_from_the_end_is_asked_for_with_a_wrong_checksum() {
    let trace = run(usual(vm));
    let asked = spoilt(&trace);
    assert_eq!((asked.len(), asked[0]), (3, 22), "and another port, twice");
    assert!(asked[1] > 61_000 && asked[1] == asked[2]);
    assert!(trace.ended < SECOND, "{}", seconds(trace.ended));
    for (name, network) in NETWORKS {
        if !matches!(name, "vm" | "vm_mirrors" | "copies_hop_limit") {
            assert!(spoilt(&run(usual(network))).is_empty(), "{name}");
        }
    }
}

#[test]
fn a_genuine_answer_is_waited_for_only_behind_a_contradiction() {
    let waited = run(usual(listens)).ended;
    assert!((3 * SECOND..4 * SECOND).contains(&waited), "{}", seconds(waited));
    let came = run(usual(listens_before_sshd)).ended;
    assert!(came < 2 * SECOND, "{}", seconds(came));
    assert!(run(usual(edge_resets)).ended < SECOND);
}

#[test]
fn unanswered_syns_are_asked_again_with_a_control_right_behind() {
    let syns = run(usual(edge_drops)).syns();
    for (at, _, _, ttl) in syns.iter().filter(|s| s.1 == 22 && s.0 > SECOND && s.3 < FULL) {
        let behind = syns.iter().any(|s| s.1 != 22 && s.3 == *ttl && (0..60 * MS).contains(&(s.0 - at)));
        assert!(behind, "hop {ttl} at {}", seconds(*at));
    }
}

#[test]
fn every_half_open_connection_is_reset_once() {
    // The kernel does not get through, so that the sweep goes on to the listener.
    let trace = run(Setting { kernel_in: false, ..usual(sshd) });
    let resets = trace.resets();
    let unique: BTreeSet<&u16> = resets.iter().collect();
    assert_eq!(unique.len(), resets.len(), "though SYN/ACKs come again");
    let reached: BTreeSet<u16> = trace.syns().iter().filter(|s| s.1 == 22 && s.3 > 4).map(|s| s.2).collect();
    assert!(!reached.is_empty());
    assert!(reached.iter().all(|port| resets.contains(port)));
    assert!(run(usual(vm)).resets().is_empty(), "a refused connection is not open");
}

#[test]
fn a_syn_that_nobody_answered_is_reset_at_the_end() {
    let trace = run(usual(edge_drops));
    let beyond: BTreeSet<u16> = trace.syns().iter().filter(|s| s.1 == 22 && s.3 > 1).map(|s| s.2).collect();
    let resets: BTreeSet<u16> = trace.resets().into_iter().collect();
    assert!(beyond.is_subset(&resets), "its SYN/ACK may have been lost");
}

#[test]
fn never_more_than_two_connections_at_once() {
    let trace = run(Setting { targets: 5, ..usual(dark) });
    assert_eq!(trace.most_open, 2);
    let connects = trace.actions.iter().filter(|(_, a)| matches!(a, Action::Connect { .. })).count();
    assert_eq!(connects, 5, "all have their turn");
}

#[test]
fn a_connection_is_given_up_when_waiting_teaches_nothing() {
    let silent = run(usual(dark)).abandoned().unwrap();
    assert!((3_400 * MS..3_600 * MS).contains(&silent), "behind the SYN at 3 s: {}", seconds(silent));
    let no_banner = run(Setting { banner: false, ..usual(sshd) }).abandoned().unwrap();
    assert!((2_005 * MS..2_100 * MS).contains(&no_banner), "{}", seconds(no_banner));
    let kept_in = run(Setting { kernel_out: false, ..usual(vm) }).abandoned().unwrap();
    assert!((1_250 * MS..1_400 * MS).contains(&kept_in), "no SYN at its second try: {}", seconds(kept_in));
    let kept_out = run(Setting { kernel_in: false, ..usual(sshd) }).abandoned().unwrap();
    assert!(
        (SECOND..1_100 * MS).contains(&kept_out),
        "asked again behind the SYN/ACK: {}",
        seconds(kept_out)
    );
    assert_eq!(run(usual(sshd)).abandoned(), None);
    assert_eq!(run(usual(vm)).abandoned(), None);
}

#[test]
fn where_nothing_answers_the_kernel_is_waited_for_even_if_its_syn_does_not_show() {
    let trace = run(Setting { kernel_out: false, ..usual(all_dark) });
    assert!(trace.abandoned().unwrap() >= 3_400 * MS, "no probe tells that anything leaves");
}

#[test]
fn a_well_known_port_is_asked_where_the_closed_one_is_filtered_too() {
    let to_https = |network| run(usual(network)).syns().iter().filter(|s| s.1 == 443).count();
    assert!(to_https(edge_lets_https_out) >= 4);
    assert_eq!(to_https(edge_drops), 0, "the closed port gets through");
}

#[test]
fn a_connection_that_was_given_up_half_open_is_reset_too() {
    let resets = run(Setting { kernel_in: false, ..usual(sshd) }).resets();
    assert_eq!(resets.iter().filter(|port| **port == 50022).count(), 1);
}

#[test]
fn a_listener_is_asked_no_more_than_needed() {
    let reached = run(usual(sshd)).syns().iter().filter(|s| s.1 == 22 && s.3 > 4).count();
    assert!(reached <= 1, "{reached} SYNs got to sshd beside the kernel's");
}

#[test]
fn every_hop_is_asked_about_the_port_and_controls() {
    let trace = run(usual(dark));
    for hop in 1..=4 {
        let syns: Vec<u16> = trace.syns().iter().filter(|s| s.3 == hop).map(|s| s.1).collect();
        assert!(syns.contains(&22) && syns.iter().any(|p| *p > 61_000), "hop {hop}: {syns:?}");
    }
    assert!(trace.by_hop().keys().all(|hop| *hop <= 30));
}

#[test]
fn without_privilege_only_the_kernels_means_are_used() {
    let trace = run(Setting { means: Means { raw: false, datagram_icmp: true }, ..usual(vm) });
    assert!(trace.syns().is_empty() && trace.resets().is_empty());
    let asks = |wanted: fn(&KernelProbe) -> bool| {
        trace.actions.iter().filter(|(_, a)| matches!(a, Action::Ask { probe, .. } if wanted(probe))).count()
    };
    assert!(asks(|p| matches!(p, KernelProbe::Connect(_))) >= 4);
    assert!(asks(|p| matches!(p, KernelProbe::Echo(_))) >= 4);
    let neither = run(Setting { means: Means { raw: false, datagram_icmp: false }, ..usual(vm) });
    assert!(
        !neither.actions.iter().any(|(_, a)| matches!(a, Action::Ask { probe: KernelProbe::Echo(_), .. }))
    );
}

#[test]
fn without_a_route_only_the_kernel_is_asked() {
    let trace = run(Setting { routed: false, kernel_out: false, ..usual(all_dark) });
    let [(0, Action::Connect { id: 0, .. }), (_, Action::Abandon { id: 0 })] = &trace.actions[..] else {
        panic!("{:?}", trace.actions)
    };
}

fn troubled(trouble: Trouble, box_at: u8) -> Trace {
    run(Setting { trouble, box_at, ..usual(sshd) })
}

/// What a trace is about, diagnosed as if it had been live.
fn found(trace: &Trace) -> Found {
    let mut diagnosis = Diagnosis::new(Question::default());
    let start = Script::new("0 ! start\n 0 ! route gw=10.22.1.1");
    start.records().for_each(|record| diagnosis.push(&record));
    let offset = start.len() as u64;
    for record in trace.script.records() {
        diagnosis.push(&Record { number: RecordNumber(record.number.0 + offset), ..record });
    }
    let end = Script::new("9.8 ! capture\n 9.9 ! end");
    end.records().for_each(|record| diagnosis.push(&record));
    Found(diagnosis.finish().expect("a trace"))
}

#[test]
fn a_reset_behind_our_identification_is_placed() {
    for (box_at, cleared) in
        [(0, "clears 2-end everyone"), (1, "clears 3-end everyone"), (3, "clears 5-end everyone")]
    {
        let trace = troubled(Trouble::Resets, box_at);
        let found = found(&trace);
        assert_eq!(found.outcome(), "reset-after-handshake");
        let rule = "identification-reset-before-path-end";
        assert!(found.claims(rule).contains(&cleared.to_owned()), "{:?}", found.claims(rule));
        assert!(found.0.connections <= 5, "{} connections", found.0.connections);
        assert!(trace.most_open <= 2 && trace.ended < 4 * SECOND, "{}", seconds(trace.ended));
    }
}

#[test]
fn without_the_identification_sent_hop_by_hop_the_reset_is_anybodys() {
    let mut diagnosis = Diagnosis::new(Question::default());
    let start = Script::new("0 ! start\n 0 ! route gw=10.22.1.1");
    start.records().for_each(|record| diagnosis.push(&record));
    let trace = troubled(Trouble::Resets, 0);
    for record in trace.script.records() {
        let probe = matches!(&record.body, Body::Frame(f) if f.bytes.windows(5).any(|w| w == b"SSH-2") && f.bytes[22] < 32);
        if !probe {
            diagnosis.push(&record);
        }
    }
    Script::new("9.8 ! capture\n 9.9 ! end").records().for_each(|record| diagnosis.push(&record));
    let found = Found(diagnosis.finish().expect("a trace"));
    assert_eq!(found.outcome(), "reset-after-handshake");
    assert_eq!(found.cleared().iter().filter(|c| c.starts_with("azure") || c.starts_with("vm")).count(), 0);
}

#[test]
fn a_stall_behind_our_identification_is_placed() {
    for box_at in 0..3_u8 {
        let trace = troubled(Trouble::Stalls, box_at);
        let found = found(&trace);
        assert_eq!(found.outcome(), "stalled");
        let next = box_at + 1;
        let cleared = format!("clears {}-end everyone", next + 1);
        let rule = "identification-stops";
        assert!(found.claims(rule).contains(&cleared), "{box_at}: {:?}", found.claims(rule));
        assert!(trace.most_open <= 2 && trace.ended < 6 * SECOND, "{}", seconds(trace.ended));
    }
    let passes = found(&troubled(Trouble::Stalls, 4));
    assert!(passes.has("passes-every-hop") && passes.stands("vm-sshd-hung"));
    assert_ne!(passes.suspicion(), passes.without("passes-every-hop").suspicion());
    assert!(!passes.has("identification-stops"));
}

#[test]
fn a_black_hole_for_full_size_segments_is_placed() {
    for box_at in 0..3_u8 {
        let trace = troubled(Trouble::Swallows, box_at);
        let found = found(&trace);
        assert_eq!(found.outcome(), "stalled");
        let cleared = format!("clears {}-end everyone", box_at + 2);
        assert!(found.claims("full-size-stops").contains(&cleared), "{:?}", found.claims("full-size-stops"));
        assert!(!found.has("identification-stops"));
    }
}

#[test]
fn a_healthy_conversation_asks_for_no_second_connection() {
    let trace = run(usual(sshd));
    let connects = trace.actions.iter().filter(|(_, a)| matches!(a, Action::Connect { .. })).count();
    assert_eq!((connects, found(&trace).outcome()), (1, "open"));
    assert!(trace.ended < SECOND, "{}", seconds(trace.ended));
}

#[test]
fn one_seed_one_trace() {
    let told = |seed| format!("{:?}", run(Setting { seed, ..usual(edge_resets) }).actions);
    assert_eq!(told(7), told(7));
    assert_ne!(told(7), told(8));
}

/// Marked SYNs: their ports and hop limits, in order.
fn marked(trace: &Trace) -> Vec<(u16, u8)> {
    let marked = |(_, action): &(i64, Action)| match action {
        Action::SendSyn(syn) if syn.traffic_class != 0 => Some((syn.destination.port(), syn.hop_limit.0)),
        _ => None,
    };
    trace.actions.iter().filter_map(marked).collect()
}

#[test]
fn where_the_port_is_reset_marked_syns_follow_to_it_and_to_a_control() {
    let sent = marked(&run(usual(vm_mirrors)));
    assert_eq!(sent.iter().filter(|s| **s == (22, 64)).count(), 3);
    assert_eq!(sent.iter().filter(|(port, ttl)| *port != 22 && *ttl == 64).count(), 3);
    assert_eq!(sent.len(), 6, "the marks come back: nobody bleaches them");
    for network in [dark, sshd, edge_drops, all_dark] {
        assert!(marked(&run(usual(network))).is_empty(), "nothing is reset");
    }
}

#[test]
fn where_no_reset_bears_a_mark_every_hop_is_asked_where_it_is_lost() {
    let sent = marked(&run(usual(vm)));
    let hops: Vec<u8> =
        sent.iter().filter(|(port, ttl)| *port != 22 && *ttl < 64).map(|(_, ttl)| *ttl).collect();
    assert_eq!(hops, [1, 2, 3, 4]);
}

/// When halves of SYNs were sent, and to which port.
fn halves(trace: &Trace) -> Vec<(i64, u16)> {
    let half = |(at, action): &(i64, Action)| match action {
        Action::SendHalfSyn(syn) => Some((*at, syn.destination.port())),
        _ => None,
    };
    trace.actions.iter().filter_map(half).collect()
}

#[test]
fn halves_of_syns_go_out_at_the_first_sign_of_silence_if_asked_for() {
    let silent = run(Setting { deep: true, ..usual(dark) });
    let sent = halves(&silent);
    assert!(sent.iter().all(|(at, _)| (SECOND..1_300 * MS).contains(at)), "{sent:?}");
    assert_eq!(sent.iter().filter(|(_, port)| *port == 22).count(), 3);
    assert_eq!(sent.iter().filter(|(_, port)| *port != 22).count(), 2);
    let last = sent.iter().map(|(at, _)| *at).max().unwrap();
    assert_eq!(silent.ended, last + 32_500 * MS, "Linux gives up after 30 s, and its timers are late");
    for network in [vm, sshd, edge_resets] {
        assert!(halves(&run(Setting { deep: true, ..usual(network) })).is_empty(), "the port answers");
    }
    assert!(halves(&run(usual(dark))).is_empty(), "not asked for");
    let unprivileged = Means { raw: false, datagram_icmp: true };
    assert!(halves(&run(Setting { deep: true, means: unprivileged, ..usual(dark) })).is_empty());
    let kept_in = run(Setting { deep: true, kernel_out: false, ..usual(dark) });
    assert!(halves(&kept_in).is_empty(), "the SYN never leaves this machine");
}

#[test]
fn once_the_vm_gives_up_on_a_half_nothing_more_is_waited_for() {
    let deep = Setting { deep: true, gives_up_after: Some(31 * SECOND), ..usual(dark) };
    let trace = run(deep);
    let first = halves(&trace)[0].0;
    assert!(trace.ended <= first + 32_100 * MS, "{}", seconds(trace.ended));
    assert!(trace.resets().iter().all(|port| !halves_ports(&trace).contains(port)), "a half opens nothing");
}

fn halves_ports(trace: &Trace) -> BTreeSet<u16> {
    let half = |(_, action): &(i64, Action)| match action {
        Action::SendHalfSyn(syn) => Some(syn.source.port()),
        _ => None,
    };
    trace.actions.iter().filter_map(half).collect()
}
