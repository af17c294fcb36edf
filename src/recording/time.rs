//! Time as the recording knows it: a number that came with a record. Nothing here reads a clock.

use std::fmt;

/// Nanoseconds since the Unix epoch, with the number of decimal digits the capture recorded.
///
/// Ordering and equality look at the instant alone.
#[derive(Clone, Copy, Debug)]
pub struct Timestamp {
    nanos: i64,
    digits: u8,
}

impl Timestamp {
    /// An instant `nanos` ns after the epoch, known to the nanosecond.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self { nanos, digits: 9 }
    }

    /// The same instant, said to be known to `digits` decimals of a second (0 to 9).
    #[must_use]
    pub const fn with_digits(self, digits: u8) -> Self {
        Self { nanos: self.nanos, digits: if digits > 9 { 9 } else { digits } }
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> i64 {
        self.nanos
    }

    /// How many decimals of a second the capture recorded.
    pub const fn digits(self) -> u8 {
        self.digits
    }

    /// Nanoseconds from `earlier` to `self`, negative if `self` is the earlier one.
    pub const fn since(self, earlier: Self) -> i64 {
        self.nanos.saturating_sub(earlier.nanos)
    }

    /// The instant `nanos` ns later.
    #[must_use]
    pub const fn plus(self, nanos: i64) -> Self {
        Self { nanos: self.nanos.saturating_add(nanos), digits: self.digits }
    }
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}
impl Eq for Timestamp {}
impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Timestamp {
    /// Seconds since the epoch, digit for digit as captured: no float ever touches it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.nanos < 0 { "-" } else { "" };
        let abs = self.nanos.unsigned_abs();
        write!(f, "{sign}{}", abs / 1_000_000_000)?;
        if self.digits > 0 {
            let fraction = format!("{:09}", abs % 1_000_000_000);
            write!(f, ".{}", &fraction[..usize::from(self.digits)])?;
        }
        Ok(())
    }
}
