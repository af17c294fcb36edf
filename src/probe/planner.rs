//! The state machine.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::asked::{Flow, Flows, Random};
use super::budget::{Budget, CONNECTIONS_AT_ONCE};
use super::inquiry::{self, Hand, Inquiry, View};
use super::known::Known;
use super::plan::{MAX_HOPS, MS};
use super::{Action, Manner, Plan, Step};
use crate::attempt::{Attempt, Connection, Connections, Handshake, OwnQuestions, Tracker, What};
use crate::packet::{Icmp, IcmpErrorKind, Packet, QuotedTransport, SeqNumber, Transport, decode_captured};
use crate::path::{Probe, Survey, Via};
use crate::recording::{Body, KernelProbe, Record, Said, Timestamp};

/// Between two SYNs to the failing port: below 50 a second, the kernel's own included.
const SYN_GAP: i64 = 22 * MS;

/// Between two controls. Each hop gets one of each kind, far below any router's budget for errors.
const CONTROL_GAP: i64 = 4 * MS;

/// Hops asked beyond the last that answered anything; the inside of Azure may be silent for that long.
const SILENT_HOPS: u8 = 12;

/// When what was left unanswered is asked again: routers earn one error a second (Linux icmp_ratelimit).
const ASK_AGAIN: [i64; 2] = [1_150 * MS, 2_300 * MS];

/// A silent trace ends here: the kernel's SYN was sent at 0, 1 and 3 s (RFC 6298), and a router whose ARP fails
/// says so after 3 s.
const SILENT_END: i64 = 3_400 * MS;

/// The kernel sent its SYN again by then, if it sent one at all.
const KERNEL_SYN_DUE: i64 = 1_250 * MS;

/// How long the next step of a conversation is waited for: the kernel sends what is not acknowledged again after 0.2,
/// 0.6 and 1.4 s (RFC 6298, Linux's least timeout).
const STEP_WAIT: i64 = 2_000 * MS;

/// How long where packets get lost: the kernel sends once more after 3 s.
const LOSSY_STEP_WAIT: i64 = 4_000 * MS;

/// How long the banner is waited for where something on this machine took the connection.
const LOCAL_BANNER_WAIT: i64 = 2_000 * MS;

/// Decides what to send next.
#[derive(Debug)]
pub struct Planner {
    plan: Plan,
    started: Timestamp,
    traced: usize,
    own: OwnQuestions,
    seen: Seen,
    next_connection: usize,
    abandoned: Vec<u32>,
    flows: Option<Flows>,
    port_sweep: Sweep,
    echo_sweep: Sweep,
    closed_sweep: Sweep,
    known_sweep: Sweep,
    questions: VecDeque<Question>,
    control_questions: VecDeque<u8>,
    inquiries: Vec<Box<dyn Inquiry>>,
    budget: Budget,
    asked_again: usize,
    next_syn: Timestamp,
    next_control: Timestamp,
    next_ask: u32,
    last_sent: Timestamp,
    resets: VecDeque<Flow>,
    was_reset: Vec<SocketAddr>,
    swept_up: bool,
    /// What an inquiry waits for.
    awaiting: Option<&'static str>,
}

/// What came in so far.
#[derive(Debug, Default)]
struct Seen {
    tracker: Tracker,
    survey: Survey,
    connections: Connections,
    /// What it tells; made anew when more came in.
    known: Option<Known>,
}

impl Seen {
    /// The kernel's own attempt as the wire shows it.
    fn kernel_attempt(&self, connection: &Connection, server: SocketAddr) -> Option<&Attempt> {
        let client = connection.client?;
        self.tracker.attempts().find(|a| a.client == client && a.server == server)
    }
}

/// A hop to ask about the port once more, on a fresh port.
#[derive(Clone, Copy, Debug)]
struct Question {
    hop: u8,
    /// A control follows at once, so that a hop that rations its answers is not taken for one that gets no SYN.
    beside_control: bool,
}

/// One rising sweep of hop limits.
#[derive(Clone, Copy, Debug)]
struct Sweep {
    via: Via,
    flow: Option<Flow>,
    next: u8,
    enabled: bool,
}

impl Sweep {
    fn new(via: Via, enabled: bool) -> Self {
        Self { via, flow: None, next: 1, enabled }
    }
}

impl Planner {
    /// Starts at `now`.
    pub fn new(plan: Plan, now: Timestamp) -> Self {
        let traced = plan.sources.iter().position(Option::is_some).unwrap_or(0);
        let mut random = Random::new(plan.seed);
        let closed = random.between(61_001, 64_999);
        let flows = match (plan.targets.get(traced), plan.sources.get(traced).copied().flatten()) {
            (Some(target), Some(source)) => Some(Flows::new(source, *target, plan.mss, random)),
            _ => None,
        };
        let (raw, echo) = (plan.means.raw, plan.means.raw || plan.means.datagram_icmp);
        let sweeps = flows.is_some();
        Self {
            port_sweep: Sweep::new(Via::Tcp(plan.port), sweeps),
            echo_sweep: Sweep::new(Via::Echo, sweeps && echo),
            closed_sweep: Sweep::new(Via::Tcp(closed), sweeps && raw),
            known_sweep: Sweep::new(Via::Tcp(if plan.port == 443 { 80 } else { 443 }), false),
            plan,
            started: now,
            traced,
            own: OwnQuestions::default(),
            seen: Seen::default(),
            next_connection: 0,
            abandoned: Vec::new(),
            flows,
            questions: VecDeque::new(),
            control_questions: VecDeque::new(),
            inquiries: inquiry::all(),
            budget: Budget::default(),
            asked_again: 0,
            next_syn: now,
            next_control: now,
            next_ask: 0,
            last_sent: now,
            resets: VecDeque::new(),
            was_reset: Vec::new(),
            swept_up: false,
            awaiting: None,
        }
    }

    /// Never asks one kind of question, to see what it is there for.
    #[cfg(test)]
    pub(super) fn leave_out(&mut self, inquiry: &str) {
        self.inquiries.retain(|i| !format!("{i:?}").starts_with(inquiry));
    }

    /// Takes the next record of the trace in the making.
    pub fn handle(&mut self, record: &Record<'_>) {
        match &record.body {
            Body::Frame(frame) => {
                let packet = decode_captured(frame.link, frame.bytes, frame.original_len);
                let Ok(packet) = packet else { return };
                if !self.own.admit(frame.direction, &packet) {
                    return;
                }
                self.seen.tracker.push(record.number, record.at, &packet);
                self.seen.survey.packet(record.number, record.at, &packet);
                let (Some(from), Some(to)) = (packet.tcp_source(), packet.tcp_destination()) else {
                    self.seen.known = None;
                    return;
                };
                if let Transport::Tcp(tcp) = &packet.transport
                    && tcp.flags.is_syn_ack()
                {
                    self.half_open(from, to, tcp.ack);
                }
            }
            Body::Event(event) => {
                self.own.event(event);
                self.seen.connections.event(record.number, record.at, event);
                self.seen.survey.event(record.number, record.at, event);
            }
        }
        self.seen.known = None;
    }

    /// Whether a packet bears the ports or the identifier of something this trace sent, and may be an answer to it.
    pub fn concerns(&self, packet: &Packet<'_>) -> bool {
        let flows = || self.flows.iter().flat_map(Flows::made);
        let owns = |port: u16| {
            let kernel = || self.seen.connections.iter().filter_map(|c| c.client);
            flows().any(|f| f.source.port() == port) || kernel().any(|client| client.port() == port)
        };
        let asked = |identifier| self.flows.as_ref().is_some_and(|flows| flows.is_echo(identifier));
        match &packet.transport {
            Transport::Tcp(tcp) => owns(tcp.source_port) || owns(tcp.destination_port),
            Transport::Icmp(Icmp::EchoRequest { identifier, .. } | Icmp::EchoReply { identifier, .. }) => {
                asked(*identifier)
            }
            Transport::Icmp(Icmp::Error(error)) => match error.quoted.map(|quoted| quoted.transport) {
                Some(QuotedTransport::Tcp(tcp)) => owns(tcp.source_port),
                Some(QuotedTransport::Echo { identifier, .. }) => asked(identifier),
                _ => false,
            },
            _ => false,
        }
    }

    /// What to do at `now`. Asking again without need changes nothing.
    pub fn step(&mut self, now: Timestamp) -> Step {
        self.learn();
        if let Some(action) = self.connect().or_else(|| self.abandon(now)) {
            return Step::Do(action);
        }
        if let Some(action) = self.reset() {
            return Step::Do(action);
        }
        self.ask_again(now);
        if now >= self.next_syn
            && let Some(action) = self.ask_port(now).or_else(|| self.inquire(now))
        {
            self.next_syn = now.plus(SYN_GAP);
            self.last_sent = now;
            return Step::Do(action);
        }
        if now >= self.next_control
            && let Some(action) = self.ask_control(now)
        {
            self.next_control = now.plus(CONTROL_GAP);
            self.last_sent = now;
            return Step::Do(action);
        }
        self.rest(now)
    }

    /// What is going on, in a few words, for a person who waits.
    pub fn status(&self) -> String {
        let Some(known) = &self.seen.known else { return "tracing".to_owned() };
        let seen = match known.path.hops.last().map(|h| (h.number, h.address)) {
            Some((number, Some(address))) => format!("path seen to hop {number} ({address})"),
            _ => "no hop has answered yet".to_owned(),
        };
        if let Some(awaiting) = self.awaiting {
            return format!("waiting for {awaiting}; {seen}");
        }
        let connection = match self.traced_connection() {
            Some(c) if c.said(Said::Identification).is_some() && !c.is_over() => "speaking SSH",
            Some(c) if c.established.is_some() && !c.is_over() => "connected, waiting for the banner",
            Some(c) if !c.is_over() => "waiting for an answer to the SYN",
            _ => "asking who answered",
        };
        format!("{connection}; {seen}")
    }

    fn target(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(*self.plan.targets.get(self.traced)?, self.plan.port))
    }

    fn traced_connection(&self) -> Option<&Connection> {
        self.seen.connections.get(self.traced as u32)
    }

    /// The kernel's own attempt as the wire shows it.
    fn kernel_attempt(&self) -> Option<&Attempt> {
        self.seen.kernel_attempt(self.traced_connection()?, self.target()?)
    }

    fn connect(&mut self) -> Option<Action> {
        let id = self.next_connection;
        let address = *self.plan.targets.get(id)?;
        let open =
            (0..id).filter(|id| self.seen.connections.get(*id as u32).is_none_or(|c| !c.is_over())).count();
        if open >= CONNECTIONS_AT_ONCE {
            return None;
        }
        self.next_connection += 1;
        self.budget.connect();
        let server = SocketAddr::new(address, self.plan.port);
        Some(Action::Connect { id: id as u32, server, manner: Manner::Converse })
    }

    fn abandon(&mut self, now: Timestamp) -> Option<Action> {
        let id = (0..self.next_connection as u32).find(|id| {
            !self.abandoned.contains(id)
                && self
                    .seen
                    .connections
                    .get(*id)
                    .is_some_and(|c| !c.is_over() && self.is_hopeless(*id, c, now))
        })?;
        self.abandoned.push(id);
        Some(Action::Abandon { id })
    }

    /// Whether waiting longer for a kernel connection would teach nothing.
    fn is_hopeless(&self, id: u32, connection: &Connection, now: Timestamp) -> bool {
        if let Some(until) = self.patience(id, connection) {
            return now >= until;
        }
        if now >= connection.started.plus(SILENT_END + self.rtt()) {
            return true;
        }
        if id as usize != self.traced || !self.plan.means.raw {
            return false;
        }
        match self.kernel_attempt() {
            // The kernel asks again although the SYN/ACK is there: it will not take it.
            Some(attempt) if attempt.handshake == Handshake::HalfOpen => syn_after_syn_ack(attempt),
            Some(_) => false,
            // Probes leave, the kernel's SYN does not, and not at its second try either.
            None => now >= connection.started.plus(KERNEL_SYN_DUE) && self.last_router() > 0,
        }
    }

    /// Until when the next step of an established connection is waited for.
    fn patience(&self, id: u32, connection: &Connection) -> Option<Timestamp> {
        let established = connection.established?;
        let step_wait = if self.loses_packets(id) { LOSSY_STEP_WAIT } else { STEP_WAIT };
        Some(match connection.banner() {
            Some(_) => connection.progress.plus(step_wait.min(self.plan.banner_wait) + 2 * self.rtt()),
            None => established.plus(self.banner_wait(id)),
        })
    }

    /// Whether packets get lost on the way, as far as routers and a connection's handshake show.
    fn loses_packets(&self, id: u32) -> bool {
        let connection = self.seen.connections.get(id);
        let attempt = connection.and_then(|c| self.seen.kernel_attempt(c, c.server));
        attempt.is_some_and(|a| a.syn > 1 || a.syn_ack > 1)
            || self.seen.known.as_ref().is_some_and(|k| k.lossy)
    }

    /// How long the banner is waited for. A proxy on this machine that relays has it soon, or never.
    fn banner_wait(&self, id: u32) -> i64 {
        let local = id as usize == self.traced
            && self.plan.means.raw
            && self.last_router() > 0
            && self.kernel_attempt().is_none();
        if local { self.plan.banner_wait.min(LOCAL_BANNER_WAIT) } else { self.plan.banner_wait }
    }

    fn rtt(&self) -> i64 {
        self.seen.known.as_ref().map_or(0, |k| k.rtt)
    }

    fn last_router(&self) -> u8 {
        self.seen.known.as_ref().map_or(0, |k| k.last_router)
    }

    /// Notes that a SYN/ACK answered a flow of ours.
    fn half_open(&mut self, server: SocketAddr, client: SocketAddr, ack: SeqNumber) {
        let Some(flows) = &self.flows else { return };
        let answers = |f: &&Flow| f.source == client && f.destination == server && f.isn.plus(1) == ack;
        let ours = flows.all().find(answers);
        if let Some(flow) = ours
            && !self.was_reset.contains(&flow.source)
        {
            self.was_reset.push(flow.source);
            self.resets.push_back(*flow);
        }
    }

    fn reset(&mut self) -> Option<Action> {
        let flow = self.resets.pop_front()?;
        Some(Action::SendReset(self.flows.as_mut()?.reset(flow)))
    }

    /// At the end, what may be half-open without our knowledge is reset too: its SYN/ACK may have been lost.
    fn sweep_up(&mut self) {
        if std::mem::replace(&mut self.swept_up, true) || !self.plan.means.raw {
            return;
        }
        let Some(flows) = &self.flows else { return };
        let refused = |flow: &Flow| {
            self.seen.tracker.attempts().any(|a| {
                a.client == flow.source
                    && a.server == flow.destination
                    && (matches!(a.handshake, Handshake::Reset | Handshake::Rejected)
                        || died_on_the_way(a)
                        || a.has_bad_checksum())
            })
        };
        let open = flows.made().iter().filter(|f| !self.was_reset.contains(&f.source) && !refused(f));
        let open: Vec<Flow> = open.copied().collect();
        self.resets.extend(open);
        self.resets.extend(self.given_up());
    }

    /// The kernel's own connections that were given up before they were established: closing such a socket sends
    /// nothing, and the far end would go on waiting.
    fn given_up(&self) -> Vec<Flow> {
        let given_up =
            self.seen.connections.iter().filter(|c| c.abandoned.is_some() && c.established.is_none());
        given_up
            .filter_map(|c| {
                let to_server = |a: &&Attempt| Some(a.client) == c.client && a.server == c.server;
                let attempt = self.seen.tracker.attempts().find(to_server)?;
                let unfinished = matches!(attempt.handshake, Handshake::HalfOpen | Handshake::Unanswered);
                unfinished.then_some(Flow {
                    source: attempt.client,
                    destination: attempt.server,
                    isn: attempt.isn,
                })
            })
            .collect()
    }

    fn learn(&mut self) -> &Known {
        if self.seen.known.is_none() {
            let target = self.plan.targets.get(self.traced).copied();
            self.seen.known = Some(match target {
                Some(target) => Known::from(&self.seen.survey, &self.seen.tracker, target, self.plan.port),
                None => Known::nothing(),
            });
        }
        self.seen.known.get_or_insert_with(Known::nothing)
    }

    /// Whether the kernel's connection got an answer of any kind.
    fn answered(&self) -> bool {
        let by_kernel =
            self.traced_connection().is_some_and(|c| c.established.is_some() || c.failed.is_some());
        by_kernel || self.kernel_attempt().is_some_and(|a| a.handshake != Handshake::Unanswered)
    }

    /// The last hop limit that the port sweep should ask.
    fn last_port_hop(&mut self) -> u8 {
        let established = self.traced_connection().is_some_and(|c| c.established.is_some());
        let kernel_means = !self.plan.means.raw;
        let known = self.learn();
        if let Some(hop) = known.accepted {
            return hop;
        }
        if let Some((hop, _)) = known.refused {
            return hop.saturating_add(1).min(MAX_HOPS);
        }
        match known.path.target {
            // A SYN that reaches a listener costs it a half-open connection and tells nothing new.
            Some(end) if established || kernel_means => end - 1,
            Some(end) => end.saturating_add(1).min(MAX_HOPS),
            None => known.last_router.saturating_add(SILENT_HOPS).min(MAX_HOPS),
        }
    }

    fn ask_port(&mut self, now: Timestamp) -> Option<Action> {
        while let Some(Question { hop, beside_control }) = self.questions.pop_front() {
            let cost = if beside_control { 2 } else { 1 };
            if self.budget.may_spend(hop, cost, now) {
                if beside_control {
                    self.control_questions.push_back(hop);
                }
                self.budget.spend(hop, now);
                return self.syn(self.plan.port, None, hop);
            }
        }
        if !self.port_sweep.enabled || self.port_sweep.next > self.last_port_hop() {
            return None;
        }
        let hop = self.port_sweep.next;
        self.port_sweep.next += 1;
        self.budget.spend(hop, now);
        if !self.plan.means.raw {
            let server = self.target()?;
            return Some(self.ask_kernel(KernelProbe::Connect(server), hop));
        }
        let flow = match self.port_sweep.flow {
            Some(flow) => flow,
            None => *self.port_sweep.flow.insert(self.flows.as_mut()?.fresh(self.plan.port)),
        };
        self.syn(self.plan.port, Some(flow), hop)
    }

    /// A SYN to `port`, on `flow` or a fresh one; without privilege the kernel's own.
    fn syn(&mut self, port: u16, flow: Option<Flow>, hop: u8) -> Option<Action> {
        if !self.plan.means.raw {
            let server = SocketAddr::new(self.target()?.ip(), port);
            return Some(self.ask_kernel(KernelProbe::Connect(server), hop));
        }
        let flows = self.flows.as_mut()?;
        let flow = flow.unwrap_or_else(|| flows.fresh(port));
        Some(Action::SendSyn(flows.syn(flow, hop)))
    }

    fn ask_kernel(&mut self, probe: KernelProbe, hop_limit: u8) -> Action {
        let id = self.next_ask;
        self.next_ask += 1;
        Action::Ask { id, probe, hop_limit }
    }

    fn ask_control(&mut self, now: Timestamp) -> Option<Action> {
        if let Some(hop) = self.control_questions.pop_front() {
            self.budget.spend(hop, now);
            let Via::Tcp(port) = self.tcp_control().via else { return None };
            return self.syn(port, None, hop);
        }
        self.consider_known_port(now);
        // The closed port is asked right behind the failing one, hop by hop: see `Question::beside_control`.
        let sweeps = [self.closed_sweep, self.known_sweep, self.echo_sweep];
        let due = sweeps.into_iter().find(|s| s.enabled && s.next <= self.last_control_hop(s.via))?;
        let (via, hop) = (due.via, due.next);
        let sweep = match via {
            Via::Echo => &mut self.echo_sweep,
            via if via == self.closed_sweep.via => &mut self.closed_sweep,
            Via::Tcp(_) | Via::HalfSyn(_) | Via::Data(_) => &mut self.known_sweep,
        };
        sweep.next += 1;
        let flow = sweep.flow;
        if !self.budget.may_spend(hop, 1, now) {
            return self.ask_control(now);
        }
        self.budget.spend(hop, now);
        match via {
            Via::Echo if self.plan.means.raw => Some(Action::SendEcho(self.flows.as_mut()?.echo(hop))),
            Via::Echo => {
                let target = self.target()?.ip();
                Some(self.ask_kernel(KernelProbe::Echo(target), hop))
            }
            Via::Tcp(port) | Via::HalfSyn(port) | Via::Data(port) => {
                let flow = match flow {
                    Some(flow) => flow,
                    None => self.flows.as_mut()?.fresh(port),
                };
                let sweep =
                    if via == self.closed_sweep.via { &mut self.closed_sweep } else { &mut self.known_sweep };
                sweep.flow = Some(flow);
                self.syn(port, Some(flow), hop)
            }
        }
    }

    /// The last hop limit that a control should ask: one beyond the least that the target answered it at.
    fn last_control_hop(&mut self, via: Via) -> u8 {
        // Hop by hop behind the failing port, as long as that is swept.
        let behind_port = (via == self.closed_sweep.via && self.port_sweep.next <= self.last_port_hop())
            .then(|| self.port_sweep.next - 1);
        let known = self.learn();
        let answered_at = known
            .probes
            .iter()
            .filter(|p| p.via == via && p.replies.iter().any(|r| r.kind.is_terminal()))
            .map(|p| p.hop_limit)
            .min();
        let last = answered_at.unwrap_or_else(|| known.last_router.saturating_add(SILENT_HOPS).min(MAX_HOPS));
        behind_port.map_or(last, |hop| hop.min(last))
    }

    /// The TCP control that got farthest.
    fn tcp_control(&self) -> Sweep {
        let reach = |sweep: &Sweep| {
            let probes = self.seen.known.iter().flat_map(|k| &k.probes);
            probes.filter(|p| p.via == sweep.via && !p.replies.is_empty()).map(|p| p.hop_limit).max()
        };
        if reach(&self.known_sweep) > reach(&self.closed_sweep) {
            self.known_sweep
        } else {
            self.closed_sweep
        }
    }

    /// A filter that lets only well-known ports out stops the closed port too: then a well-known one is asked,
    /// beyond the hop where both stopped.
    fn consider_known_port(&mut self, now: Timestamp) {
        let settle = self.settle();
        let closed = self.closed_sweep;
        if self.known_sweep.enabled || !closed.enabled || now < self.last_sent.plus(settle) {
            return;
        }
        let open = self.traced_connection().is_some_and(|c| c.banner().is_some());
        let known = self.learn();
        let got = |via: Via| {
            known.probes.iter().filter(|p| p.via == via && !p.replies.is_empty()).map(|p| p.hop_limit).max()
        };
        let stopped_at = got(closed.via).unwrap_or(0);
        let (refused, reached) = (known.refused.map_or(0, |(hop, _)| hop), known.reached);
        let needed =
            stopped_at <= reached.max(refused) && known.path.target.is_none_or(|end| stopped_at < end);
        if needed && !open {
            self.known_sweep.enabled = true;
            self.known_sweep.next = reached.max(1);
        }
    }

    /// Asks again what was left unanswered, once a second at most.
    fn ask_again(&mut self, now: Timestamp) {
        let Some(due) = ASK_AGAIN.get(self.asked_again) else { return };
        if now < self.started.plus(*due) || self.flows.is_none() {
            return;
        }
        self.asked_again += 1;
        if self.answered() {
            return;
        }
        let (last_hop, via) = (self.last_port_hop(), self.port_sweep.via);
        let known = self.learn();
        let last = known.path.target.map_or(known.last_router, |end| end - 1).min(last_hop);
        let answered = |probe: &&Probe| probe.time_exceeded().is_some();
        let holes: Vec<u8> = (1..=last)
            .filter(|h| {
                let here = |p: &&Probe| p.hop_limit == *h;
                let any = known.probes.iter().filter(here).any(|p| answered(&p));
                let port = known.probes.iter().filter(here).any(|p| p.via == via && answered(&p));
                any && !port
            })
            .collect();
        let beside_control = self.plan.means.raw;
        self.questions.extend(holes.into_iter().map(|hop| Question { hop, beside_control }));
    }

    /// The next step of whatever else should be asked.
    fn inquire(&mut self, now: Timestamp) -> Option<Action> {
        let (server, swept, settled) = (self.target()?, self.swept(), self.settled(now));
        let Self { plan, started, traced, seen, flows, inquiries, budget, .. } = self;
        let view = view(plan, *started, *traced, seen, server, swept, settled)?;
        let mut hand = Hand { flows: flows.as_mut()?, budget, first_id: plan.targets.len() as u32 };
        inquiries.iter_mut().find_map(|i| i.next(&view, &mut hand, now))
    }

    /// What else keeps the trace going, and until when.
    fn awaited(&mut self, now: Timestamp) -> Option<(Timestamp, &'static str)> {
        let (server, swept, settled) = (self.target()?, self.swept(), self.settled(now));
        let view = view(&self.plan, self.started, self.traced, &self.seen, server, swept, settled)?;
        let awaited = self.inquiries.iter().filter_map(|i| i.awaits(&view, now));
        awaited.filter(|(until, _)| *until > now).min_by_key(|(until, _)| *until)
    }

    /// Whether the port has been asked at every hop limit that matters.
    fn swept(&mut self) -> bool {
        self.questions.is_empty() && self.port_sweep.next > self.last_port_hop()
    }

    /// Whether all that was sent had time to be answered.
    fn settled(&mut self, now: Timestamp) -> bool {
        now >= self.last_sent.plus(self.settle())
    }

    /// How long an answer may take that is still worth waiting for.
    fn settle(&mut self) -> i64 {
        let rtt = self.learn().rtt;
        (2 * rtt + 60 * MS).clamp(120 * MS, 1_000 * MS)
    }

    /// Nothing to send right now: wait, or finish.
    fn rest(&mut self, now: Timestamp) -> Step {
        let deadline = self.started.plus(self.plan.deadline);
        let settled = self.last_sent.plus(self.settle());
        let sweeping = self.sweeping();
        let awaited = self.awaited(now);
        self.awaiting = awaited.map(|(_, why)| why);
        let connecting: Vec<(u32, &Connection)> = (0..self.next_connection as u32)
            .filter_map(|id| Some((id, self.seen.connections.get(id)?)))
            .filter(|(_, c)| !c.is_over())
            .collect();
        let waiting_for_kernel = !connecting.is_empty() || self.next_connection < self.plan.targets.len();
        let asked = now >= self.next_syn;
        if !waiting_for_kernel && !sweeping && now >= settled && asked && awaited.is_none() {
            self.sweep_up();
            return match self.reset() {
                Some(action) => Step::Do(action),
                None => Step::Finished,
            };
        }
        let mut due = vec![(deadline, "the deadline"), (self.next_syn, "the next question")];
        due.extend(awaited);
        if sweeping {
            due.push((self.next_syn.max(now.plus(MS)), "the next SYN is due"));
            due.push((self.next_control.max(now.plus(MS)), "the next control is due"));
        } else if now < settled {
            due.push((settled, "late answers"));
        }
        for (id, connection) in connecting {
            let until = match connection.established {
                Some(at) if connection.banner().is_none() && now < at.plus(LOCAL_BANNER_WAIT) => {
                    at.plus(self.plan.banner_wait.min(LOCAL_BANNER_WAIT))
                }
                Some(_) => self.patience(id, connection).unwrap_or(deadline),
                None => connection.started.plus(SILENT_END + self.rtt()),
            };
            due.push((until, "the kernel's connection"));
            due.push((connection.started.plus(KERNEL_SYN_DUE), "the kernel's second SYN"));
        }
        if let Some(again) = ASK_AGAIN.get(self.asked_again) {
            due.push((self.started.plus(*again), "the time to ask again"));
        }
        let soonest = due.into_iter().filter(|(at, _)| *at > now).min_by_key(|(at, _)| *at);
        match soonest {
            Some((until, why)) => Step::Wait { until, why },
            None if now >= deadline => Step::Finished,
            None => Step::Wait { until: now.plus(10 * MS), why: "an event" },
        }
    }

    fn sweeping(&mut self) -> bool {
        if self.flows.is_none() {
            return false;
        }
        if !self.questions.is_empty() || !self.control_questions.is_empty() {
            return true;
        }
        let port = self.port_sweep.enabled && self.port_sweep.next <= self.last_port_hop();
        let controls = [self.echo_sweep, self.closed_sweep, self.known_sweep];
        port || controls.iter().any(|s| s.enabled && s.next <= self.last_control_hop(s.via))
    }
}

/// Whether every SYN of an attempt ran out at a router: the far end knows nothing of it.
fn died_on_the_way(attempt: &Attempt) -> bool {
    let expired = attempt
        .timeline
        .iter()
        .filter(|e| matches!(&e.what, What::Icmp(seen) if seen.kind == IcmpErrorKind::TimeExceeded));
    expired.count() >= attempt.syn as usize
}

/// Whether the client sent its SYN again after a SYN/ACK had come.
fn syn_after_syn_ack(attempt: &Attempt) -> bool {
    let answered = attempt.timeline.iter().position(|e| matches!(e.what, What::SynAck(_)));
    answered.is_some_and(|at| attempt.timeline[at..].iter().any(|e| matches!(e.what, What::Syn(_))))
}

/// What the inquiries may look at.
fn view<'a>(
    plan: &'a Plan,
    started: Timestamp,
    traced: usize,
    seen: &'a Seen,
    server: SocketAddr,
    swept: bool,
    settled: bool,
) -> Option<View<'a>> {
    let connection = seen.connections.get(traced as u32);
    let attempt = connection.and_then(|c| seen.kernel_attempt(c, server));
    let Seen { tracker, connections, known, .. } = seen;
    let known = known.as_ref()?;
    Some(View { plan, server, started, known, tracker, connections, connection, attempt, swept, settled })
}
