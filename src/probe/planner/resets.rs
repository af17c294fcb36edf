//! What is left half-open is reset.

use std::net::SocketAddr;

use super::Planner;
use crate::attempt::{Attempt, Handshake, What};
use crate::packet::{IcmpErrorKind, SeqNumber};
use crate::probe::Action;
use crate::probe::asked::Flow;

impl Planner {
    /// Notes that a SYN/ACK answered a flow of ours.
    pub(super) fn half_open(&mut self, server: SocketAddr, client: SocketAddr, ack: SeqNumber) {
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

    pub(super) fn reset(&mut self) -> Option<Action> {
        let flow = self.resets.pop_front()?;
        Some(Action::SendReset(self.flows.as_mut()?.reset(flow)))
    }

    /// At the end, what may be half-open without our knowledge is reset too: its SYN/ACK may have been lost.
    pub(super) fn sweep_up(&mut self) {
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
}

/// Whether every SYN of an attempt ran out at a router: the far end knows nothing of it.
fn died_on_the_way(attempt: &Attempt) -> bool {
    let expired = attempt
        .timeline
        .iter()
        .filter(|e| matches!(&e.what, What::Icmp(seen) if seen.kind == IcmpErrorKind::TimeExceeded));
    expired.count() >= attempt.syn as usize
}
