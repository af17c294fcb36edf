//! Where one SYN drew a reset and went on all the same, the genuine answer may still come.

use super::{Hand, Inquiry, View};
use crate::attempt::{Attempt, What};
use crate::probe::Action;
use crate::probe::plan::MS;
use crate::recording::Timestamp;

/// How long a genuine answer is waited for behind a reset that contradicts what else its SYN drew, in ns.
const WAIT: i64 = 3_000 * MS;

/// Nothing to remember.
#[derive(Debug, Default)]
pub(super) struct Late;

impl Inquiry for Late {
    fn next(&mut self, _: &View<'_>, _: &mut Hand<'_>, _: Timestamp) -> Option<Action> {
        None
    }

    fn awaits(&self, view: &View<'_>, _: Timestamp) -> Option<(Timestamp, &'static str)> {
        let to_port = || view.tracker.attempts().filter(|a| a.server == view.server);
        let accepted = |what: &What| matches!(what, What::SynAck(_));
        if to_port().any(|a| a.timeline.iter().any(|e| accepted(&e.what))) {
            return None;
        }
        let contradicted = to_port().flat_map(Attempt::resets_of_syn).filter(|r| r.time_exceeded.is_some());
        let first = contradicted.map(|r| r.at).min()?;
        Some((first.plus(WAIT), "a genuine answer behind a forged reset"))
    }
}
