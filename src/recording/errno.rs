//! Error numbers that events carry, as Linux counts them: a recording is read on other systems too.

/// Nothing answered connect(2), however often it asked.
pub const ETIMEDOUT: i32 = 110;

/// A reset answered connect(2).
pub const ECONNREFUSED: i32 = 111;

/// The next hop, or a router, could not reach the host.
pub const EHOSTUNREACH: i32 = 113;
