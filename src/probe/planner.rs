//! The state machine.

mod kernel;
mod resets;
mod sweeps;

use std::collections::VecDeque;
use std::net::SocketAddr;

use self::kernel::{KERNEL_SYN_DUE, LOCAL_BANNER_WAIT, SILENT_END};
use self::sweeps::{ASK_AGAIN, Question, Sweep};
use super::asked::{Flow, Flows, Random};
use super::budget::Budget;
use super::inquiry::{self, Hand, Inquiry, View};
use super::known::Known;
use super::plan::MS;
use super::{Action, Plan, Step};
use crate::attempt::{Attempt, Connection, Connections, OwnQuestions, Tracker};
use crate::packet::{Icmp, Packet, QuotedTransport, Transport, decode_captured};
use crate::path::{Survey, Via};
use crate::recording::{Body, Record, Said, Timestamp};

/// Between two SYNs to the failing port: below 50 a second, the kernel's own included.
const SYN_GAP: i64 = 22 * MS;

/// Between two controls. Each hop gets one of each kind, far below any router's budget for errors.
const CONTROL_GAP: i64 = 4 * MS;

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
            // Asked anew, a flow may be half-open anew.
            if let Action::SendSyn(syn) = &action {
                self.was_reset.retain(|source| *source != syn.source);
            }
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

    fn rtt(&self) -> i64 {
        self.seen.known.as_ref().map_or(0, |k| k.rtt)
    }

    fn last_router(&self) -> u8 {
        self.seen.known.as_ref().map_or(0, |k| k.last_router)
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
                    let local = at.plus(self.plan.banner_wait.min(LOCAL_BANNER_WAIT));
                    self.patience(id, connection).map_or(local, |until| until.min(local))
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
    let traced = traced as u32;
    let connection = seen.connections.get(traced);
    let attempt = connection.and_then(|c| seen.kernel_attempt(c, server));
    let Seen { tracker, connections, known, .. } = seen;
    let known = known.as_ref()?;
    Some(View {
        plan,
        server,
        started,
        known,
        tracker,
        connections,
        traced,
        connection,
        attempt,
        swept,
        settled,
    })
}
