//! The planner in virtual time, against networks of a few lines.

mod bounds;
mod conversation;
mod inquiries;
mod networks;
mod sweeps;

use std::collections::{BTreeMap, BTreeSet};

use networks::{Network, ROUTERS};

use super::inquiry::FULL;
use super::{Action, Manner, Means, Plan, Planner, Step};
use crate::diagnose::{Diagnosis, Question};
use crate::packet::build::Data;
use crate::recording::{Body, KernelProbe, Record, RecordNumber, Timestamp};
use crate::testing::{self, CLIENT, Found, Script, TARGET, address};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;

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
    /// Drops whatever belongs to the connection, from the banner on.
    CutsOff,
    /// Speaks something else than SSH, and goes on listening.
    Foreign,
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
        // The silence of a connection that is cut off is asked about for a while.
        banner_wait: if matches!(setting.trouble, Trouble::CutsOff | Trouble::Foreign) { 5 } else { 2 }
            * SECOND,
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
        if self.setting.trouble == Trouble::CutsOff {
            // The client speaks first, and says it again.
            for said in [100, 300, 700].map(|ms| at + ms * MS) {
                self.at(said, &format!("> {port}:22 P. len=24 {server}"));
            }
            self.at(at + 100 * MS, &event("sent identification"));
            return;
        }
        if self.setting.trouble == Trouble::Foreign {
            let line = "220 vm1 ESMTP\\r\\n";
            self.at(at, &format!("< {port}:22 P. data=\"{line}\" {server}"));
            self.at(at, &event(&format!("received \"{line}\"")));
            self.at(at + SECOND, &format!("> {port}:22 P. len=24 ack=9016 {server}"));
            self.at(at + SECOND, &event("sent identification"));
            self.at(at + SECOND + 5 * MS, &format!("< {port}:22 . seq=9016 ack=1025 {server}"));
            return;
        }
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
            Trouble::CutsOff if beyond_box => {}
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
