//! The only place that reads a clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::recording::Timestamp;

/// The wall clock (CLOCK_REALTIME), which is also the clock of the kernel's capture timestamps.
#[allow(clippy::disallowed_methods, reason = "here, and only here, time enters")]
pub(super) fn now() -> Timestamp {
    let nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    };
    Timestamp::from_nanos(nanos)
}
