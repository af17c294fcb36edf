//! The one reader: whatever the file is, records come out.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, Read};

use super::buffer::Buffer;
use super::found::{Found, FrameFound};
use super::pcapng::Section;
use super::{Body, Frame, Record, RecordNumber, Timestamp, pcap, pcapng};

/// The longest block that may hold a record, in bytes: what the reader's buffer may grow to (rounded up to a
/// power of two). Blocks that hold none are passed over, however long they are.
pub(super) const LONGEST_BLOCK: usize = 16 << 20;

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
    /// Compressed, perhaps a capture.
    #[error("not a capture: it is {format}-compressed: decompress it first, with `{format} -dc`")]
    Compressed {
        /// The name of the compression.
        format: &'static str,
    },
    /// A block or header contradicts itself, and no record came before it.
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

impl fmt::Display for Truncation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it breaks off at byte {}: {}", self.offset, self.what)
    }
}

/// Reads records from a pcap or pcapng stream.
///
/// Any source will do, seekable or not. Memory is bounded: 128 KiB of buffer, more (up to 16 MiB) only for a
/// block that is longer. The frames handed out are borrowed from that buffer.
///
/// A source that fails with [`io::ErrorKind::InvalidData`], as decompression does where its input is damaged, ends
/// there: the capture breaks off.
///
/// A record without a time of its own (simple packet blocks, custom blocks) has the time of the one before it.
pub struct Reader<R> {
    buffer: Buffer<R>,
    format: Format,
    /// Offset up to which all blocks are whole.
    whole: u64,
    number: u64,
    last: Timestamp,
    truncation: Option<Truncation>,
    ended: bool,
    /// A record that [`Reader::peek`] has found, and where its block begins.
    found: Option<(Found, usize)>,
}

/// The format of the file, and what has been read of it so far.
enum Format {
    Pcap(pcap::Capture),
    Pcapng(Section),
}

/// Why there is no next block.
enum Stop {
    /// The file ends after a whole block.
    End,
    /// It ends within one.
    Cut(String),
    /// The block contradicts itself.
    Damaged(String),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<R: Read> Reader<R> {
    /// Starts to read; fails at once on what is not a capture, and on one whose header is cut off or damaged.
    pub fn new(source: R) -> Result<Self, ReadError> {
        let mut buffer = Buffer::new(source);
        buffer.ensure(pcap::HEADER)?;
        let start = buffer.unread();
        if start.is_empty() {
            return Err(ReadError::Empty);
        }
        let format = identify(start)?;
        let mut reader = Self {
            buffer,
            format,
            whole: 0,
            number: 0,
            last: Timestamp::from_nanos(0),
            truncation: None,
            ended: false,
            found: None,
        };
        match &mut reader.format {
            Format::Pcapng(section) => {
                // Its magic number has shown that the first block is a section header: no record.
                next_block(&mut reader.buffer, section).map_err(|stop| match stop {
                    Stop::Io(error) => error.into(),
                    Stop::Cut(what) | Stop::Damaged(what) => ReadError::Damaged { offset: 0, what },
                    Stop::End => ReadError::Empty,
                })?;
            }
            Format::Pcap(capture) => {
                let len = pcap::HEADER + capture.more_header();
                if !reader.buffer.ensure(len)? {
                    let what = cut("the pcap header", reader.buffer.unread().len(), len as u64);
                    return Err(ReadError::Damaged { offset: 0, what });
                }
                reader.buffer.consume(len);
            }
        }
        Ok(reader)
    }

    /// The next record; `None` at the end. A capture that breaks off ends here too: ask [`Reader::truncation`].
    ///
    /// After damage nothing more is read, since no later block can be told from noise. It is an error only
    /// where no record came before it.
    #[allow(clippy::should_implement_trait, reason = "a record borrows the reader's buffer")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        let Some((found, block_start)) = self.find()? else { return Ok(None) };
        self.number += 1;
        let (at, body) = match found {
            Found::Event { at, event } => (at, Body::Event(event)),
            Found::Frame(frame) => {
                let start = block_start + frame.start;
                let bytes = self.buffer.slice(start..start + frame.len);
                let FrameFound { interface, link, direction, original_len, .. } = frame;
                (frame.at, Body::Frame(Frame { interface, link, direction, original_len, bytes }))
            }
        };
        self.last = at.unwrap_or(self.last);
        Ok(Some(Record { number: RecordNumber(self.number), at: self.last, body }))
    }

    /// Hands the next records to `take`, while they are earlier than `before` and can be told without a look at the source
    /// or at anything unusual; [`Reader::next`] knows what comes then. Nearly every record of a large capture is a frame
    /// that lies whole in the buffer: it costs a third of what `next` takes.
    #[inline]
    pub fn each_at_hand<E>(
        &mut self,
        before: Option<Timestamp>,
        mut take: impl FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each_whole(before, |number, at, frame, _| take(&Record { number, at, body: Body::Frame(frame) }))
    }

    /// As [`Reader::each_at_hand`], and leaves the bytes of the frames in `block`, so that nobody need copy them: `take` is
    /// told when each was captured, and where in the block it will begin. The reader goes on in the room of what `block` held.
    /// Says whether there was any record.
    #[inline(always)]
    pub fn each_in_block(
        &mut self,
        before: Option<Timestamp>,
        block: &mut Vec<u8>,
        mut take: impl FnMut(Timestamp, Frame<'_>, usize),
    ) -> bool {
        let first = self.number;
        let all: Result<(), Infallible> = self.each_whole(before, |_, at, frame, place| {
            take(at, frame, place);
            Ok(())
        });
        let any = all.is_ok() && self.number > first;
        if any {
            self.buffer.exchange(block);
        }
        any
    }

    #[inline(always)]
    fn each_whole<E>(
        &mut self,
        before: Option<Timestamp>,
        mut take: impl FnMut(RecordNumber, Timestamp, Frame<'_>, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let (Format::Pcap(capture), None) = (&self.format, &self.found) else { return Ok(()) };
        let unread = self.buffer.unread();
        let end = self.buffer.start() + unread.len();
        let (mut number, mut last) = (self.number, self.last);
        let mut rest = unread;
        let mut taken = Ok(());
        while taken.is_ok()
            && let Some((at, frame, after)) = capture.whole_frame(rest)
            && before.is_none_or(|before| at < before)
        {
            rest = after;
            number += 1;
            last = at;
            let place = end - after.len() - frame.bytes.len();
            taken = take(RecordNumber(number), at, frame, place);
        }
        (self.number, self.last) = (number, last);
        let len = unread.len() - rest.len();
        self.buffer.consume(len);
        taken
    }

    /// Reads on, if that takes no more than one look at the source; says whether there was more.
    pub fn read_on(&mut self) -> Result<bool, ReadError> {
        if self.ended {
            return Ok(false);
        }
        match self.buffer.ensure(self.buffer.unread().len() + 1) {
            Ok(more) => Ok(more),
            Err(error) => {
                self.whole = self.buffer.offset();
                self.stop(error.into()).map(|()| false)
            }
        }
    }

    /// The time of the next record, which stays the next; `None` at the end.
    pub fn peek(&mut self) -> Result<Option<Timestamp>, ReadError> {
        self.found = self.find()?;
        let last = self.last;
        Ok(self.found.as_ref().map(|(found, _)| match found {
            Found::Frame(FrameFound { at, .. }) | Found::Event { at, .. } => at.unwrap_or(last),
        }))
    }

    /// The time of the record that was handed out last; `None` where none was.
    pub fn latest(&self) -> Option<Timestamp> {
        (self.number > 0).then_some(self.last)
    }

    /// Whether [`Reader::next`] need not wait for its source: it can tell the next record, or that there is none.
    pub fn is_at_hand(&self) -> bool {
        let len = match &self.format {
            _ if self.found.is_some() || self.ended => return true,
            Format::Pcap(capture) => {
                capture.frame(self.buffer.unread()).map(|frame| capture.frame_header() + frame.len)
            }
            Format::Pcapng(section) => match self.buffer.unread().first_chunk() {
                Some(start) => section.head(*start).map(|head| head.len as usize),
                None => return false,
            },
        };
        // Where the length is not known yet, or makes no sense, one more look at the source does no harm.
        len.is_ok_and(|len| self.buffer.unread().len() >= len)
    }

    /// The next record, as it lies in the buffer, and where its block begins.
    fn find(&mut self) -> Result<Option<(Found, usize)>, ReadError> {
        if let Some(found) = self.found.take() {
            return Ok(Some(found));
        }
        if self.ended {
            return Ok(None);
        }
        match self.advance() {
            Ok(found) => Ok(Some(found)),
            Err(stop) => self.stop(stop).map(|()| None),
        }
    }

    /// Whether, and where, the capture broke off before its end. Known once [`Reader::next`] has returned `None`.
    pub fn truncation(&self) -> Option<&Truncation> {
        self.truncation.as_ref()
    }

    /// How many frames the capture says it lost for want of room, as far as it has been read; pcap says nothing.
    pub fn lost(&self) -> u64 {
        match &self.format {
            Format::Pcap(_) => 0,
            Format::Pcapng(section) => section.lost(),
        }
    }

    /// Reads blocks up to the next record, and says where in the buffer its block begins.
    fn advance(&mut self) -> Result<(Found, usize), Stop> {
        match &mut self.format {
            Format::Pcap(capture) => {
                self.whole = self.buffer.offset();
                next_frame(&mut self.buffer, capture)
            }
            Format::Pcapng(section) => loop {
                self.whole = self.buffer.offset();
                if let Some(found) = next_block(&mut self.buffer, section)? {
                    return Ok(found);
                }
            },
        }
    }

    /// Takes note of why there is no next record.
    #[cold]
    fn stop(&mut self, stop: Stop) -> Result<(), ReadError> {
        let offset = self.whole;
        let (what, damaged) = match stop {
            // It was compressed, and its data break off.
            Stop::Io(error) if error.kind() == io::ErrorKind::InvalidData => (error.to_string(), false),
            // The source may be asked again.
            Stop::Io(error) => return Err(error.into()),
            Stop::End => {
                self.ended = true;
                return Ok(());
            }
            Stop::Cut(what) => (what, false),
            Stop::Damaged(what) => (what, true),
        };
        self.ended = true;
        self.truncation = Some(Truncation { offset, what: what.clone() });
        if damaged && self.number == 0 { Err(ReadError::Damaged { offset, what }) } else { Ok(()) }
    }
}

/// The format of a file that starts so.
fn identify(start: &[u8]) -> Result<Format, ReadError> {
    const PCAPNG: [u8; 4] = pcapng::SECTION_HEADER.to_le_bytes();
    const COMPRESSIONS: [(&[u8], &str); 5] = [
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
    ];
    let damaged = |what| ReadError::Damaged { offset: 0, what };
    let magic = start.first_chunk().copied();
    if magic == Some(PCAPNG) {
        return Ok(Format::Pcapng(Section::none()));
    }
    if magic.is_some_and(pcap::is_magic) {
        if start.len() < pcap::HEADER {
            return Err(damaged(cut("the pcap header", start.len(), pcap::HEADER as u64)));
        }
        return pcap::Capture::open(start, LONGEST_BLOCK as u32).map(Format::Pcap).map_err(damaged);
    }
    if let Some((_, format)) = COMPRESSIONS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err(ReadError::Compressed { format });
    }
    let start = start.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    Err(ReadError::NotACapture { start })
}

/// Says that the file ends within something.
fn cut(within: &str, have: usize, of: u64) -> String {
    format!("the file ends within {within}: {have} of {of} bytes are there")
}

/// The next frame of a classic pcap, and where its header begins in the buffer.
fn next_frame<R: Read>(buffer: &mut Buffer<R>, capture: &pcap::Capture) -> Result<(Found, usize), Stop> {
    let header = capture.frame_header();
    if !buffer.ensure(header)? {
        return Err(match buffer.unread().len() {
            0 => Stop::End,
            have => Stop::Cut(cut("the header of a frame", have, header as u64)),
        });
    }
    let frame = capture.frame(buffer.unread()).map_err(Stop::Damaged)?;
    let len = header + frame.len;
    if !buffer.ensure(len)? {
        return Err(Stop::Cut(cut("a frame", buffer.unread().len(), len as u64)));
    }
    let block = buffer.consume(len);
    Ok((Found::Frame(frame), block.start))
}

/// Reads one block of a pcapng; the record it holds, if any, and where the block begins in the buffer.
fn next_block<R: Read>(
    buffer: &mut Buffer<R>,
    section: &mut Section,
) -> Result<Option<(Found, usize)>, Stop> {
    buffer.ensure(pcapng::BLOCK_MIN)?;
    let Some(start) = buffer.unread().first_chunk().copied() else {
        return Err(match buffer.unread().len() {
            0 => Stop::End,
            have => Stop::Cut(cut("the header of a block", have, pcapng::BLOCK_MIN as u64)),
        });
    };
    let head = section.head(start).map_err(Stop::Damaged)?;
    let len = match usize::try_from(head.len) {
        Ok(len) if len <= LONGEST_BLOCK => len,
        _ => return skip_long_block(buffer, section, &head).map(|()| None),
    };
    if !buffer.ensure(len)? {
        return Err(Stop::Cut(cut(&pcapng::describe(head.kind), buffer.unread().len(), head.len)));
    }
    let block = buffer.unread().get(..len).unwrap_or_default();
    let end = block.last_chunk().copied().unwrap_or_default();
    section.check_end(&head, end).map_err(Stop::Damaged)?;
    let found = section.block(&head, block).map_err(Stop::Damaged)?;
    let block = buffer.consume(len);
    Ok(found.map(|found| (found, block.start)))
}

/// Passes over a block that is too long to be looked at, if it holds no record.
#[cold]
fn skip_long_block<R: Read>(
    buffer: &mut Buffer<R>,
    section: &Section,
    head: &pcapng::BlockHead,
) -> Result<(), Stop> {
    let name = pcapng::describe(head.kind);
    if !pcapng::is_skipped(head.kind) {
        let len = head.written;
        return Err(Stop::Damaged(format!(
            "{name} says it has {len} bytes, where {LONGEST_BLOCK} are the most"
        )));
    }
    let skipped = buffer.skip(head.len - 4)?;
    let Some(end) = (if buffer.ensure(4)? { buffer.unread().first_chunk().copied() } else { None }) else {
        let have = skipped as usize + buffer.unread().len();
        return Err(Stop::Cut(cut(&name, have, head.written.into())));
    };
    section.check_end(head, end).map_err(Stop::Damaged)?;
    buffer.consume(4);
    Ok(())
}
