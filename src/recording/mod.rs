//! What was seen, in order: frames from the wire and events from the machine that looked.
//!
//! A [`Record`] is the only thing the core is ever fed, live or replayed. One pcapng file holds a whole
//! recording and opens in Wireshark: frames are packet blocks, [`Event`]s are systemd journal blocks.

mod buffer;
mod cursor;
pub mod errno;
mod escape;
mod event;
mod found;
mod journal;
mod pcap;
mod pcapng;
mod read;
#[cfg(test)]
mod tests;
mod time;
mod write;

use std::fmt;

pub use escape::{escape_bytes, is_hostile, unescape_bytes};
pub use event::{
    CaptureCounters, ConnectStage, EndReason, Event, KernelAnswer, KernelProbe, QueuedIcmp, Route, Said,
    Start, Target,
};
pub use read::{ReadError, Reader, Truncation};
pub use time::Timestamp;
pub use write::{InterfaceInfo, Writer};

use crate::packet::LinkType;

/// Number of a record in its file, from 1, as Wireshark counts frames (journal blocks included).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordNumber(pub u64);

impl fmt::Display for RecordNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One thing that was seen.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// Its place in the recording.
    pub number: RecordNumber,
    /// When; records are in the order of arrival, so a timestamp may be a little older than the one before it.
    pub at: Timestamp,
    /// What.
    pub body: Body<'a>,
}

/// What a record holds.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// A captured frame.
    Frame(Frame<'a>),
    /// Something the tool did or the kernel told.
    Event(Box<Event>),
}

/// A captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Index of the interface it was captured on, in order of description across the whole file.
    pub interface: u32,
    /// Link type of that interface.
    pub link: LinkType,
    /// Which way it went, where the capture says so.
    pub direction: Direction,
    /// Length on the wire, in bytes; the capture may hold fewer.
    pub original_len: u32,
    /// The captured bytes.
    pub bytes: &'a [u8],
}

/// Which way a frame went, seen from the capturing machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The capture does not say.
    Unknown,
    /// It was received.
    Inbound,
    /// It was sent.
    Outbound,
}
