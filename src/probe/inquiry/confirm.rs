//! Where a refusal came from is asked again, on fresh ports and one hop limit each: a reset carries no tag.

use super::{Hand, Inquiry, View};
use crate::probe::Action;
use crate::recording::Timestamp;

/// Hop limits asked so far.
#[derive(Debug, Default)]
pub(super) struct Confirm(Vec<u8>);

impl Inquiry for Confirm {
    fn next(&mut self, view: &View<'_>, hand: &mut Hand<'_>, now: Timestamp) -> Option<Action> {
        let (hop, _) = view.known.refused.filter(|_| view.swept && view.plan.means.raw)?;
        let reached = view.known.reached.min(hop.saturating_sub(1)).max(1);
        while let Some(hop) = (reached..=hop).find(|hop| !self.0.contains(hop)) {
            self.0.push(hop);
            if let Some(syn) = hand.syn(view.plan.port, hop, now) {
                return Some(syn);
            }
        }
        None
    }
}
