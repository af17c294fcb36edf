//! A reset whose hop limit is not that of one sender is drawn again by SYNs with other hop limits: one that moves with
//! ours was copied, and where it was drawn first says little of where its sender stands.

use super::{Hand, Inquiry, View};
use crate::attempt::Handshake;
use crate::probe::Action;
use crate::recording::Timestamp;

/// Hop limits asked: beyond any path, so that no router has to answer, and unlike what operating systems send.
const ASKED: [u8; 4] = [100, 160, 220, 250];

/// How many of them were asked.
#[derive(Debug, Default)]
pub(super) struct Vary(usize);

impl Inquiry for Vary {
    fn next(&mut self, view: &View<'_>, hand: &mut Hand<'_>, now: Timestamp) -> Option<Action> {
        let hop_limit = *ASKED.get(self.0)?;
        if !(view.plan.means.raw && view.swept && view.settled || self.0 > 0) || !calls_for_it(view) {
            return None;
        }
        self.0 += 1;
        hand.syn(view.plan.port, hop_limit, now)
    }
}

/// Whether the resets came with different hop limits, or the client's SYN drew one and no SYN of the sweep did.
fn calls_for_it(view: &View<'_>) -> bool {
    let reset = view.attempt.is_some_and(|a| a.handshake == Handshake::Reset);
    let mut left = view
        .tracker
        .attempts()
        .filter(|a| a.server == view.server)
        .flat_map(|a| a.resets_of_syn().map(|r| r.segment.hop_limit));
    let first = left.next();
    reset && (view.known.refused.is_none() || left.any(|other| Some(other) != first))
}
