//! The pcapng writer: one file for frames and events, whole up to its last block at every moment.

use std::io::{self, Write};

use super::{Direction, Event, RecordNumber, Timestamp};
use crate::packet::LinkType;

/// What is said of an interface when it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// Its name.
    pub name: String,
    /// Its link type.
    pub link: LinkType,
}

/// Writes a recording, block by block.
pub struct Writer<W> {
    #[allow(dead_code)]
    sink: W,
}

impl<W: Write> Writer<W> {
    /// Writes the section header.
    pub fn new(sink: W) -> io::Result<Self> {
        Ok(Self { sink })
    }

    /// Describes an interface and returns its index.
    pub fn interface(&mut self, info: &InterfaceInfo) -> io::Result<u32> {
        let _ = info;
        Ok(0)
    }

    /// Writes a frame and returns its number.
    pub fn frame(
        &mut self,
        interface: u32,
        at: Timestamp,
        direction: Direction,
        original_len: u32,
        bytes: &[u8],
    ) -> io::Result<RecordNumber> {
        let _ = (interface, at, direction, original_len, bytes);
        Ok(RecordNumber(1))
    }

    /// Writes an event and returns its number.
    pub fn event(&mut self, at: Timestamp, event: &Event) -> io::Result<RecordNumber> {
        let _ = (at, event);
        Ok(RecordNumber(1))
    }

    /// Ends the recording and hands back what was written to.
    pub fn finish(self) -> io::Result<W> {
        Ok(self.sink)
    }
}
