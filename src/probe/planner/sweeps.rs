//! The sweeps of the port and its controls: what is asked at which hop limit, and what of it again.

use std::net::SocketAddr;

use super::Planner;
use crate::attempt::Handshake;
use crate::path::{Probe, Via};
use crate::probe::Action;
use crate::probe::asked::Flow;
use crate::probe::plan::{MAX_HOPS, MS};
use crate::recording::{KernelProbe, Timestamp};

/// Hops asked beyond the last that answered anything; the inside of Azure may be silent for that long.
const SILENT_HOPS: u8 = 12;

/// When what was left unanswered is asked again: routers earn one error a second (Linux icmp_ratelimit).
pub(super) const ASK_AGAIN: [i64; 2] = [1_150 * MS, 2_300 * MS];

/// A hop to ask about the port once more, on a fresh port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) hop: u8,
    /// A control follows at once, so that a hop that rations its answers is not taken for one that gets no SYN.
    pub(super) beside_control: bool,
}

/// One rising sweep of hop limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    pub(super) via: Via,
    pub(super) flow: Option<Flow>,
    pub(super) next: u8,
    pub(super) enabled: bool,
}

impl Sweep {
    pub(super) fn new(via: Via, enabled: bool) -> Self {
        Self { via, flow: None, next: 1, enabled }
    }
}

impl Planner {
    /// Whether the kernel's connection got an answer of any kind.
    pub(super) fn answered(&self) -> bool {
        let by_kernel =
            self.traced_connection().is_some_and(|c| c.established.is_some() || c.failed.is_some());
        by_kernel || self.kernel_attempt().is_some_and(|a| a.handshake != Handshake::Unanswered)
    }

    /// The last hop limit that the port sweep should ask.
    pub(super) fn last_port_hop(&mut self) -> u8 {
        let connection = self.traced_connection();
        let established = connection.is_some_and(|c| c.established.is_some());
        // connect(2) that reaches a listener is a connection; where one failed there is none.
        let connects = !self.plan.means.raw && connection.is_none_or(|c| c.failed.is_none());
        let known = self.learn();
        if let Some(hop) = known.accepted {
            return hop;
        }
        if let Some((hop, _)) = known.refused {
            return hop.saturating_add(1).min(MAX_HOPS);
        }
        match known.path.target {
            // A SYN that reaches a listener costs it a half-open connection and tells nothing new.
            Some(end) if established || connects => end - 1,
            Some(end) => end.saturating_add(1).min(MAX_HOPS),
            None => known.last_router.saturating_add(SILENT_HOPS).min(MAX_HOPS),
        }
    }

    pub(super) fn ask_port(&mut self, now: Timestamp) -> Option<Action> {
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

    pub(super) fn ask_control(&mut self, now: Timestamp) -> Option<Action> {
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
    pub(super) fn last_control_hop(&mut self, via: Via) -> u8 {
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
    pub(super) fn ask_again(&mut self, now: Timestamp) {
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

    /// Whether the port has been asked at every hop limit that matters.
    pub(super) fn swept(&mut self) -> bool {
        self.questions.is_empty() && self.port_sweep.next > self.last_port_hop()
    }

    pub(super) fn sweeping(&mut self) -> bool {
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
