//! A reset that seems to come from the end of the path is asked for once more with a wrong checksum: a kernel verifies
//! it, a box that forges resets need not. Another port of the target says whether the way repairs checksums.

use super::{FULL, Hand, Inquiry, View};
use crate::attempt::Handshake;
use crate::path::{ReplyKind, Via};
use crate::probe::Action;
use crate::recording::Timestamp;

/// SYNs to the other port, whose silence must not be that of one lost packet.
const CONTROLS: usize = 2;

/// SYNs sent so far.
#[derive(Debug, Default)]
pub(super) struct Checksum(usize);

impl Inquiry for Checksum {
    fn next(&mut self, view: &View<'_>, hand: &mut Hand<'_>, now: Timestamp) -> Option<Action> {
        let begun = self.0 > 0;
        if self.0 > CONTROLS || !view.plan.means.raw || !(begun || view.swept && view.settled) {
            return None;
        }
        let other = other_port(view).filter(|_| begun || may_be_the_end(view))?;
        let port = if begun { other } else { view.plan.port };
        self.0 += 1;
        hand.spoilt_syn(port, FULL, now)
    }
}

/// Whether the client's SYN was reset, and no router farther than whoever did it is known.
fn may_be_the_end(view: &View<'_>) -> bool {
    let reset = view.attempt.is_some_and(|a| a.handshake == Handshake::Reset);
    reset && view.known.refused.is_none_or(|(hop, _)| view.known.last_router < hop)
}

/// Another port on which the target answered.
fn other_port(view: &View<'_>) -> Option<u16> {
    let answers = |kind| matches!(kind, ReplyKind::Rst | ReplyKind::SynAck);
    view.known.probes.iter().find_map(|p| match p.via {
        Via::Tcp(port) if port != view.plan.port => p.replies.iter().any(|r| answers(r.kind)).then_some(port),
        _ => None,
    })
}
