//! The time of a capture.

use crate::recording::Timestamp;

/// A timestamp that lies farther back than this, in nanoseconds, tells of a clock that was set back.
const STEP_BACK: i64 = 10_000_000_000;

/// The time of the capture, which only goes forward: a clock that is set back goes on from there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    latest: Option<Timestamp>,
    elapsed: i64,
}

impl Clock {
    /// Goes on to `at`, and says what time it is then.
    pub(super) fn advance(&mut self, at: Timestamp) -> i64 {
        let step = self.latest.map_or(0, |latest| at.since(latest));
        if !(-STEP_BACK..0).contains(&step) {
            self.latest = Some(at);
            self.elapsed = self.elapsed.saturating_add(step.max(0));
        }
        self.elapsed
    }

    /// Nanoseconds since the capture began.
    pub(super) fn now(&self) -> i64 {
        self.elapsed
    }
}
