//! The pcapng writer: one file for frames and events, whole up to its last block at every moment.

use std::io::{self, Write};

use super::pcapng::{
    BYTE_ORDER, ENHANCED_PACKET, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS, JOURNAL, OPTION_END,
    OPTION_FLAGS, OPTION_TSRESOL, SECTION_HEADER,
};
use super::{CaptureCounters, Direction, Event, RecordNumber, Timestamp, journal};
use crate::packet::LinkType;

/// The longest frame or event written, in bytes: longer ones, Wireshark takes for damage.
const LONGEST: usize = 262_144;

const SHB_OS: u16 = 3;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const ISB_IFDROP: u16 = 5;
const ISB_FILTERACCEPT: u16 = 6;
const ISB_OSDROP: u16 = 7;

/// What is said of an interface when it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// Its name.
    pub name: String,
    /// Its link type.
    pub link: LinkType,
}

/// Writes a recording, block by block.
///
/// Each block reaches the sink in one `write_all`, and none is held back: give it a file, not a buffered
/// writer, and whatever ends the program, the file can be read up to its last whole block. After an error of the
/// sink nothing more is written, since it would follow a block that may be cut off.
pub struct Writer<W> {
    sink: W,
    block: Vec<u8>,
    /// Name and last counters of each interface.
    interfaces: Vec<(String, Option<(Timestamp, CaptureCounters)>)>,
    records: u64,
    broken: bool,
}

impl<W: Write> Writer<W> {
    /// Writes the section header.
    pub fn new(sink: W) -> io::Result<Self> {
        let mut writer = Self { sink, block: Vec::new(), interfaces: Vec::new(), records: 0, broken: false };
        writer.begin(SECTION_HEADER);
        writer.u32(BYTE_ORDER);
        writer.u16(1);
        writer.u16(0);
        // A section of unknown length.
        writer.u64(u64::MAX);
        writer.option(SHB_OS, std::env::consts::OS.as_bytes());
        writer.option(SHB_USERAPPL, concat!("whichhop ", env!("CARGO_PKG_VERSION")).as_bytes());
        writer.option(OPTION_END, &[]);
        writer.end()?;
        Ok(writer)
    }

    /// Describes an interface and returns its index. Names are cut after 65 535 bytes.
    ///
    /// Best done before the first record: Wireshark's editcap refuses a file that begins with an event on no
    /// interface (all else reads it).
    pub fn interface(&mut self, info: &InterfaceInfo) -> io::Result<u32> {
        self.begin(INTERFACE_DESCRIPTION);
        self.u16(info.link.0);
        self.u16(0);
        // No limit on captured bytes is promised.
        self.u32(0);
        self.option(IF_NAME, info.name.as_bytes());
        self.option(OPTION_TSRESOL, &[9]);
        self.option(OPTION_END, &[]);
        self.end()?;
        self.interfaces.push((info.name.clone(), None));
        Ok(self.interfaces.len() as u32 - 1)
    }

    /// Writes a frame and returns its number.
    ///
    /// `InvalidInput` if the interface was never described, or for more than 262 144 bytes: nothing is written
    /// then, and the recording goes on.
    pub fn frame(
        &mut self,
        interface: u32,
        at: Timestamp,
        direction: Direction,
        original_len: u32,
        bytes: &[u8],
    ) -> io::Result<RecordNumber> {
        if interface as usize >= self.interfaces.len() {
            return Err(invalid(format!("a frame on interface {interface}, which was never described")));
        }
        check_length("a frame", bytes.len())?;
        self.begin(ENHANCED_PACKET);
        self.u32(interface);
        self.time(at);
        self.u32(bytes.len() as u32);
        self.u32(original_len);
        self.block.extend_from_slice(bytes);
        self.pad();
        let flags: u32 = match direction {
            Direction::Unknown => 0,
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        };
        if flags != 0 {
            self.option(OPTION_FLAGS, &flags.to_le_bytes());
            self.option(OPTION_END, &[]);
        }
        self.end()?;
        Ok(self.next_number())
    }

    /// Writes an event and returns its number.
    ///
    /// `InvalidInput` for an event whose text takes more than 262 144 bytes: nothing is written then.
    pub fn event(&mut self, at: Timestamp, event: &Event) -> io::Result<RecordNumber> {
        self.begin(JOURNAL);
        journal::encode(&mut self.block, at, event)?;
        check_length("an event", self.block.len())?;
        self.end()?;
        if let Event::Capture(counters) = event {
            // The statistics of the interface are written at the end.
            for (name, last) in &mut self.interfaces {
                if *name == counters.interface {
                    *last = Some((at, counters.clone()));
                }
            }
        }
        Ok(self.next_number())
    }

    /// Ends the recording with the counters of each interface, and hands back what was written to.
    ///
    /// A recording without this end can be read all the same.
    pub fn finish(mut self) -> io::Result<W> {
        for (index, (_, counters)) in std::mem::take(&mut self.interfaces).into_iter().enumerate() {
            let Some((at, counters)) = counters else { continue };
            self.begin(INTERFACE_STATISTICS);
            self.u32(index as u32);
            self.time(at);
            self.option(ISB_IFDROP, &counters.interface_dropped.to_le_bytes());
            self.option(ISB_FILTERACCEPT, &counters.received.to_le_bytes());
            self.option(ISB_OSDROP, &counters.dropped.to_le_bytes());
            self.option(OPTION_END, &[]);
            self.end()?;
        }
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn next_number(&mut self) -> RecordNumber {
        self.records += 1;
        RecordNumber(self.records)
    }

    /// Starts a block; its length is filled in at the end.
    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.u32(kind);
        self.u32(0);
    }

    /// Ends the block and hands it to the sink, whole.
    fn end(&mut self) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("the recording broke off at an earlier error"));
        }
        self.pad();
        let len = (self.block.len() as u32 + 4).to_le_bytes();
        self.block.extend_from_slice(&len);
        self.block[4..8].copy_from_slice(&len);
        self.sink.write_all(&self.block).inspect_err(|_| self.broken = true)
    }

    fn u16(&mut self, value: u16) {
        self.block.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.block.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.block.extend_from_slice(&value.to_le_bytes());
    }

    /// A time as two halves, the high one first; in two's complement before 1970.
    fn time(&mut self, at: Timestamp) {
        let nanos = at.nanos() as u64;
        self.u32((nanos >> 32) as u32);
        self.u32(nanos as u32);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
        self.u16(code);
        self.u16(value.len() as u16);
        self.block.extend_from_slice(value);
        self.pad();
    }

    /// Pads to the 4 bytes that everything is aligned to.
    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }
}

fn check_length(what: &str, len: usize) -> io::Result<()> {
    if len <= LONGEST {
        return Ok(());
    }
    Err(invalid(format!("{what} of {len} bytes, where a recording holds {LONGEST} at most")))
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
