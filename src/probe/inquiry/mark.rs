//! Where the port is reset: does the reset bear the mark of its SYN, and if no reset does, where is the mark lost?

use super::{FULL, Hand, Inquiry, View};
use crate::path::{Marks, Via};
use crate::probe::Action;
use crate::recording::Timestamp;

/// Expedited forwarding (RFC 3246), as a traffic class: a mark that no operating system sets on its own.
const MARK: u8 = 46 << 2;

/// Marked SYNs to each of the two ports.
const EACH: usize = 3;

/// Marks SYNs to the port and to a control that is reset too; where both come back unmarked, marks the control's SYNs
/// at every hop.
#[derive(Debug, Default)]
pub(super) struct Mark {
    to_port: usize,
    to_control: usize,
    next_hop: u8,
}

impl Inquiry for Mark {
    fn next(&mut self, view: &View<'_>, hand: &mut Hand<'_>, now: Timestamp) -> Option<Action> {
        let port = Via::Tcp(view.plan.port);
        if !view.plan.means.raw || !view.swept || !was_reset(view, port) {
            return None;
        }
        let control = view.known.probes.iter().find_map(|p| match p.via {
            Via::Tcp(control) if p.via != port && was_reset(view, p.via) => Some(control),
            _ => None,
        });
        let (asked, to) = match control {
            Some(control) if self.to_control < self.to_port => (&mut self.to_control, control),
            _ => (&mut self.to_port, view.plan.port),
        };
        if *asked < EACH {
            *asked += 1;
            return marked(hand, to, FULL, now);
        }
        let control = control.filter(|_| view.settled || self.next_hop > 0)?;
        if self.next_hop == 0 && !bleached(view, control) {
            return None;
        }
        if self.next_hop >= view.known.last_router {
            return None;
        }
        self.next_hop += 1;
        marked(hand, control, self.next_hop, now)
    }
}

fn marked(hand: &mut Hand<'_>, port: u16, hop_limit: u8, now: Timestamp) -> Option<Action> {
    match hand.syn(port, hop_limit, now)? {
        Action::SendSyn(syn) => {
            Some(Action::SendSyn(crate::packet::build::Syn { traffic_class: MARK, ..syn }))
        }
        other => Some(other),
    }
}

fn was_reset(view: &View<'_>, via: Via) -> bool {
    view.known.probes.iter().any(|p| p.via == via && p.reset_and_marks().is_some())
}

/// Whether no reset bears the mark, whichever port it came from.
fn bleached(view: &View<'_>, control: u16) -> bool {
    let marks = |via: Via| -> Vec<Marks> {
        let probes = view.known.probes.iter().filter(|p| p.via == via);
        probes.filter_map(|p| Some(p.reset_and_marks()?.1)).filter(|m| m.sent != 0).collect()
    };
    let all_lost = |marks: &[Marks]| !marks.is_empty() && marks.iter().all(|m| m.returned == 0);
    all_lost(&marks(Via::Tcp(view.plan.port))) && all_lost(&marks(Via::Tcp(control)))
}
