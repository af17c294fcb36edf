//! Questions beyond the sweeps: one file each, and each asked only when what is known calls for it.

mod checksum;
mod confirm;
mod flows;
mod half_syn;
mod held;
mod late;
mod mark;
mod size;
mod stages;
mod vary;

use std::fmt::Debug;
use std::net::SocketAddr;

use super::asked::{Flow, Flows};
use super::budget::{Budget, CONNECTIONS_AT_ONCE};
use super::known::Known;
use super::{Action, Manner, Plan};
use crate::attempt::{Attempt, Connection, Connections, Tracker};
use crate::packet::build;
use crate::recording::Timestamp;

/// One such question.
pub(super) trait Inquiry: Debug + Send {
    /// What to send or do next, if anything is due; asked about 45 times a second at most, between the sweeps' SYNs.
    fn next(&mut self, view: &View<'_>, hand: &mut Hand<'_>, now: Timestamp) -> Option<Action>;

    /// Until when, and for what, the trace must go on for its sake. What was sent is waited for anyway for about two
    /// round trips.
    fn awaits(&self, _view: &View<'_>, _now: Timestamp) -> Option<(Timestamp, &'static str)> {
        None
    }
}

/// All of them, those first that others build on.
pub(super) fn all() -> Vec<Box<dyn Inquiry>> {
    vec![
        Box::<confirm::Confirm>::default(),
        Box::<vary::Vary>::default(),
        Box::<checksum::Checksum>::default(),
        Box::<mark::Mark>::default(),
        Box::<flows::OtherFlows>::default(),
        Box::<stages::Stages>::default(),
        Box::<late::Late>::default(),
        Box::<half_syn::HalfSyn>::default(),
    ]
}

/// What an inquiry may look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) plan: &'a Plan,
    /// The address and port traced.
    pub(super) server: SocketAddr,
    pub(super) started: Timestamp,
    /// What the replies so far tell.
    pub(super) known: &'a Known,
    /// Every attempt on the wire so far.
    pub(super) tracker: &'a Tracker,
    /// Every kernel connection so far.
    pub(super) connections: &'a Connections,
    /// The kernel connection that is traced, its number, and its attempt as the wire shows it.
    pub(super) traced: u32,
    pub(super) connection: Option<&'a Connection>,
    pub(super) attempt: Option<&'a Attempt>,
    /// Whether the port has been asked at every hop limit that matters.
    pub(super) swept: bool,
    /// Whether all that was sent had time to be answered.
    pub(super) settled: bool,
}

/// What an inquiry asks with.
#[derive(Debug)]
pub(super) struct Hand<'a> {
    pub(super) flows: &'a mut Flows,
    pub(super) budget: &'a mut Budget,
    /// Number of the first connection that an inquiry makes.
    pub(super) first_id: u32,
}

/// What operating systems send with: it gets to the target.
pub(super) const FULL: u8 = 64;

impl Hand<'_> {
    /// A kernel connection that is held for crafted data, if sshd can be asked for one more; and its number.
    pub(super) fn hold(&mut self, view: &View<'_>) -> Option<(u32, Action)> {
        let open = view.connections.iter().filter(|c| !c.is_over()).count();
        if open >= CONNECTIONS_AT_ONCE || !self.budget.may_connect() {
            return None;
        }
        // The first ones have the numbers of the addresses they go to.
        let made = self.budget.connections().max(self.first_id);
        self.budget.connect();
        Some((made, Action::Connect { id: made, server: view.server, manner: Manner::Hold }))
    }

    /// A SYN to `port` on a fresh flow, if the hop where it may run out can still afford an error.
    pub(super) fn syn(&mut self, port: u16, hop_limit: u8, now: Timestamp) -> Option<Action> {
        self.afford(hop_limit, now)?;
        let flow = self.flows.fresh(port);
        Some(Action::SendSyn(self.flows.syn(flow, hop_limit)))
    }

    /// The same with a wrong checksum.
    pub(super) fn spoilt_syn(&mut self, port: u16, hop_limit: u8, now: Timestamp) -> Option<Action> {
        match self.syn(port, hop_limit, now)? {
            Action::SendSyn(syn) => Some(Action::SendSyn(build::Syn { bad_checksum: true, ..syn })),
            other => Some(other),
        }
    }

    /// A SYN of `flow`, on the same condition.
    fn syn_of(&mut self, flow: Flow, hop_limit: u8, now: Timestamp) -> Option<Action> {
        self.afford(hop_limit, now)?;
        Some(Action::SendSyn(self.flows.syn(flow, hop_limit)))
    }

    /// Takes what an error costs the hop where a packet runs out; one that gets to the target costs none.
    fn afford(&mut self, hop_limit: u8, now: Timestamp) -> Option<()> {
        if hop_limit < FULL {
            if !self.budget.may_spend(hop_limit, 1, now) {
                return None;
            }
            self.budget.spend(hop_limit, now);
        }
        Some(())
    }

    /// The first fragment of a SYN to `port`, with a full hop limit.
    fn half_syn(&mut self, port: u16) -> Action {
        let flow = self.flows.unopened(port);
        Action::SendHalfSyn(self.flows.syn(flow, FULL))
    }
}
