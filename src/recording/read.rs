//! The one reader: whatever the file is, records come out.

use std::io::{self, Read};

use super::Record;

/// Why a file cannot be read as a recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// Not a capture.
    #[error("not a capture: it begins with {start}, where pcap or pcapng has its magic number")]
    NotACapture {
        /// The first bytes, in hexadecimal.
        start: String,
    },
    /// A block or header contradicts itself.
    #[error("damaged at byte {offset}: {what}")]
    Damaged {
        /// Where, in bytes from the start.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where and how a capture breaks off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// Where the last whole block ends, in bytes from the start.
    pub offset: u64,
    /// What is missing or wrong there.
    pub what: String,
}

/// Reads records from a pcap or pcapng stream.
pub struct Reader<R> {
    #[allow(dead_code)]
    source: R,
}

impl<R: Read> Reader<R> {
    /// Starts to read; fails at once on what is not a capture.
    pub fn new(source: R) -> Result<Self, ReadError> {
        Ok(Self { source })
    }

    /// The next record; `None` at the end. A capture that breaks off ends here too: ask [`Reader::truncation`].
    #[allow(clippy::should_implement_trait, reason = "a record borrows the reader's buffer")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        Ok(None)
    }

    /// Whether, and where, the capture broke off before its end.
    pub fn truncation(&self) -> Option<&Truncation> {
        None
    }
}
