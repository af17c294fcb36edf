//! Do SYNs from other ports fare as the kernel's own did? Load balancing parts flows by their ports, and it may be one
//! branch alone that drops: the next ssh hangs, though this connection opened, or gets through, though this one did not.

use super::{FULL, Hand, Inquiry, View};
use crate::attempt::Handshake;
use crate::probe::Action;
use crate::probe::asked::Flow;
use crate::probe::plan::MS;
use crate::recording::{Said, Timestamp};

/// Silent for so long, the port is worth it: the kernel's second SYN has left by then (RFC 6298).
const SILENT: i64 = 1_050 * MS;

/// Flows tried at first, and at most if one of them is answered or ways are seen to part: of two branches, nearly all may
/// take the same.
const FLOWS: usize = 4;
const MOST_FLOWS: usize = 8;
const ENOUGH: usize = 2;

/// Flows tried beside a connection that opened, if the sweep's flow gets as far as the controls do. `ufw limit` turns away
/// the sixth SYN within 30 seconds: the user's own ssh is to get through.
const FLOWS_BESIDE: usize = 3;

/// Flows that are asked again, how often and how far apart: a box that lets a few SYNs a second pass lets these pass.
const ASKED_AGAIN: usize = 2;
const ROUNDS: u8 = 3;
const ROUND: i64 = 1_050 * MS;

/// Tries other flows, and follows one that is lost hop by hop if another is answered.
#[derive(Debug, Default)]
pub(super) struct OtherFlows {
    tried: Vec<Flow>,
    next_hop: u8,
    /// Beside a connection that opened: how often the lost were asked again, when they may be next, and who is left of
    /// this round.
    rounds: u8,
    next_round: Option<Timestamp>,
    round: Vec<Flow>,
}

impl Inquiry for OtherFlows {
    fn next(&mut self, view: &View<'_>, hand: &mut Hand<'_>, now: Timestamp) -> Option<Action> {
        if !view.plan.means.raw || !view.swept {
            return None;
        }
        if opened(view) {
            return self.beside(view, hand, now);
        }
        let due = now >= view.started.plus(SILENT);
        if !due || view.attempt.is_none_or(|a| a.handshake != Handshake::Unanswered) {
            return None;
        }
        if self.tried.len() < FLOWS {
            return Some(self.try_another(view, hand));
        }
        if !view.settled && self.next_hop == 0 {
            return None;
        }
        let (answered, lost) = self.parted(view);
        if answered.is_empty() && view.known.accepted.is_none() && !ways_part(view) {
            return None;
        }
        if (answered.len() < ENOUGH || lost.is_empty()) && self.tried.len() < MOST_FLOWS {
            return Some(self.try_another(view, hand));
        }
        self.follow(*lost.first()?, view, hand, now)
    }

    fn awaits(&self, view: &View<'_>, now: Timestamp) -> Option<(Timestamp, &'static str)> {
        let until = self.next_round.filter(|until| *until > now && self.rounds < ROUNDS && opened(view))?;
        let (answered, lost) = self.parted(view);
        let open = !answered.is_empty() && !lost.is_empty();
        open.then_some((until, "connections from other ports"))
    }
}

impl OtherFlows {
    /// Those of the flows tried that were answered, and those that were not.
    fn parted(&self, view: &View<'_>) -> (Vec<Flow>, Vec<Flow>) {
        self.tried.iter().partition(|flow| is_answered(view, **flow))
    }

    fn try_another(&mut self, view: &View<'_>, hand: &mut Hand<'_>) -> Action {
        let flow = hand.flows.fresh(view.plan.port);
        self.tried.push(flow);
        Action::SendSyn(hand.flows.syn(flow, FULL))
    }

    /// The kernel's connection opened: are others lost? Those that seem to be are asked again, each time before one that
    /// was answered: a box that lets no more than so many SYNs pass would stop that too.
    fn beside(&mut self, view: &View<'_>, hand: &mut Hand<'_>, now: Timestamp) -> Option<Action> {
        if let Some(flow) = self.round.pop() {
            return Some(Action::SendSyn(hand.flows.syn(flow, FULL)));
        }
        let (answered, lost) = self.parted(view);
        let stops_short = view.known.reached < view.known.last_router && !view.known.lossy;
        let doubtful = view.settled && (stops_short || answered.is_empty());
        let wanted = if doubtful || self.tried.len() > FLOWS_BESIDE { MOST_FLOWS } else { FLOWS_BESIDE };
        if self.rounds == 0 && self.tried.len() < wanted {
            self.next_round = Some(now.plus(ROUND));
            return Some(self.try_another(view, hand));
        }
        // Where no crafted SYN is answered, something about them is not liked.
        if !view.settled && self.next_hop == 0 || lost.is_empty() || answered.is_empty() {
            return None;
        }
        if self.rounds < ROUNDS {
            if self.next_round.is_some_and(|at| now < at) {
                return None;
            }
            self.rounds += 1;
            self.next_round = Some(now.plus(ROUND));
            self.round = answered.iter().take(1).chain(lost.iter().take(ASKED_AGAIN)).copied().collect();
            return self.round.pop().map(|flow| Action::SendSyn(hand.flows.syn(flow, FULL)));
        }
        self.follow(*lost.first()?, view, hand, now)
    }

    /// The next hop of a lost flow.
    fn follow(&mut self, lost: Flow, view: &View<'_>, hand: &mut Hand<'_>, now: Timestamp) -> Option<Action> {
        if self.next_hop >= view.known.last_router {
            return None;
        }
        self.next_hop += 1;
        hand.syn_of(lost, self.next_hop, now)
    }
}

/// Whether the kernel's connection got to its good end, at the far end of the path.
fn opened(view: &View<'_>) -> bool {
    let ended = view.connection.is_some_and(|c| {
        c.is_over() && c.abandoned.is_none() && c.banner().is_some() && c.said(Said::Disconnect).is_some()
    });
    ended && view.attempt.is_some() && view.known.accepted.is_none()
}

/// Whether several routers answer at a hop: where ways part, a few flows may all have taken the one that drops.
fn ways_part(view: &View<'_>) -> bool {
    view.known.path.hops.iter().any(|hop| !hop.others.is_empty())
}

fn is_answered(view: &View<'_>, flow: Flow) -> bool {
    let ours = |a: &&crate::attempt::Attempt| a.client == flow.source && a.server == flow.destination;
    view.tracker.attempts().filter(ours).any(|a| a.handshake == Handshake::HalfOpen)
}
