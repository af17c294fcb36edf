//! Where the kernel's SYN stays unanswered: do SYNs from other ports fare better? Load balancing parts flows by their
//! ports, and it may be one branch alone that drops.

use super::{FULL, Hand, Inquiry, View};
use crate::attempt::Handshake;
use crate::probe::Action;
use crate::probe::asked::Flow;
use crate::probe::plan::MS;
use crate::recording::Timestamp;

/// Silent for so long, the port is worth it: the kernel's second SYN has left by then (RFC 6298).
const SILENT: i64 = 1_050 * MS;

/// Flows tried at first, and at most if one of them is answered: of two branches, nearly all may take the same.
const FLOWS: usize = 4;
const MOST_FLOWS: usize = 8;
const ENOUGH: usize = 2;

/// Tries other flows, and follows one that is lost hop by hop if another is answered.
#[derive(Debug, Default)]
pub(super) struct OtherFlows {
    tried: Vec<Flow>,
    next_hop: u8,
}

impl Inquiry for OtherFlows {
    fn next(&mut self, view: &View<'_>, hand: &mut Hand<'_>, now: Timestamp) -> Option<Action> {
        let due = view.plan.means.raw && view.swept && now >= view.started.plus(SILENT);
        if !due || view.attempt.is_none_or(|a| a.handshake != Handshake::Unanswered) {
            return None;
        }
        if self.tried.len() < FLOWS {
            return Some(self.try_another(view, hand));
        }
        if !view.settled && self.next_hop == 0 {
            return None;
        }
        let (answered, lost): (Vec<Flow>, Vec<Flow>) =
            self.tried.iter().partition(|flow| is_answered(view, **flow));
        if answered.is_empty() && view.known.accepted.is_none() {
            return None;
        }
        if (answered.len() < ENOUGH || lost.is_empty()) && self.tried.len() < MOST_FLOWS {
            return Some(self.try_another(view, hand));
        }
        let lost = lost.first().filter(|_| self.next_hop < view.known.last_router)?;
        self.next_hop += 1;
        let hop = self.next_hop;
        hand.syn_of(*lost, hop, now)
    }
}

impl OtherFlows {
    fn try_another(&mut self, view: &View<'_>, hand: &mut Hand<'_>) -> Action {
        let flow = hand.flows.fresh(view.plan.port);
        self.tried.push(flow);
        Action::SendSyn(hand.flows.syn(flow, FULL))
    }
}

fn is_answered(view: &View<'_>, flow: Flow) -> bool {
    let ours = |a: &&crate::attempt::Attempt| a.client == flow.source && a.server == flow.destination;
    view.tracker.attempts().find(ours).is_some_and(|a| a.handshake == Handshake::HalfOpen)
}
