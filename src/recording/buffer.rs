//! A window on a byte stream: bytes are read into it in large pieces and looked at in place.

use std::io::{self, Read};
use std::mem;
use std::ops::Range;

/// Bytes first made room for; large enough that reading a file costs few system calls, and small enough that what the
/// kernel copies here is still in the processor's second-level cache when it is looked at.
///
/// Files are read, not mapped: a loop over the headers of 5.6 million frames (1.2 GB, in the page cache) took 0.16 to 0.18 s
/// with read(2) into blocks of 64 KiB to 1 MiB, and 0.27 to 0.36 s with mmap(2), whole or by windows of 2 or 16 MiB, with and
/// without `MAP_POPULATE`: faults cost more than the copy, which serves as a prefetch. Nor does a file that is cut while it
/// is read turn into a signal.
const ROOM: usize = 1 << 18;

/// Unread bytes of a stream, and where they lie in it.
pub(super) struct Buffer<R> {
    source: R,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset in the stream of `bytes[0]`.
    base: u64,
}

impl<R: Read> Buffer<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, bytes: vec![0; ROOM], start: 0, end: 0, base: 0 }
    }

    /// What has been read from the source and not yet consumed.
    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Offset in the stream of the first unread byte.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Reads until `len` bytes are unread; says whether there are so many before the end of the stream.
    pub(super) fn ensure(&mut self, len: usize) -> io::Result<bool> {
        if self.end - self.start >= len {
            return Ok(true);
        }
        self.fill(len)
    }

    #[cold]
    fn fill(&mut self, len: usize) -> io::Result<bool> {
        if self.bytes.len() - self.start < len {
            self.bytes.copy_within(self.start..self.end, 0);
            self.base += self.start as u64;
            self.end -= self.start;
            self.start = 0;
        }
        while self.end - self.start < len {
            if self.end == self.bytes.len() {
                // Grown only as bytes arrive: a length that lies costs no memory.
                self.bytes.resize(self.bytes.len() * 2, 0);
            }
            match self.source.read(&mut self.bytes[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Marks up to `len` unread bytes as read, and says where they lie until the next [`Buffer::ensure`].
    #[inline]
    pub(super) fn consume(&mut self, len: usize) -> Range<usize> {
        let from = self.start;
        self.start = self.end.min(from + len);
        from..self.start
    }

    /// Passes over `len` bytes without keeping them; the number of bytes that were there to pass over.
    pub(super) fn skip(&mut self, len: u64) -> io::Result<u64> {
        let mut skipped = 0;
        while skipped < len && self.ensure(1)? {
            let step = usize::try_from(len - skipped).unwrap_or(usize::MAX).min(self.unread().len());
            skipped += self.consume(step).len() as u64;
        }
        Ok(skipped)
    }

    /// Where in the buffer the first unread byte lies.
    #[inline]
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Leaves the buffer's bytes in `block`, whose room it takes on for those that follow: of these only what is unread is
    /// moved.
    pub(super) fn exchange(&mut self, block: &mut Vec<u8>) {
        let unread = self.end - self.start;
        if block.len() < ROOM.max(unread) {
            block.resize(ROOM.max(unread), 0);
        }
        block[..unread].copy_from_slice(self.unread());
        mem::swap(&mut self.bytes, block);
        self.base += self.start as u64;
        (self.start, self.end) = (0, unread);
    }

    /// Bytes consumed last.
    #[inline]
    pub(super) fn slice(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out its bytes in pieces of three.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(3).min(into.len());
            self.0.read(&mut into[..n])
        }
    }

    #[test]
    fn it_grows_compacts_and_keeps_count() {
        let all: Vec<u8> = (0..3 * ROOM).map(|i| (i % 251) as u8).collect();
        let mut buffer = Buffer::new(&all[..]);
        assert!(buffer.ensure(10).unwrap());
        assert_eq!(buffer.consume(10), 0..10);
        assert!(buffer.ensure(2 * ROOM).unwrap());
        assert_eq!(buffer.offset(), 10);
        assert_eq!(buffer.unread()[..2 * ROOM], all[10..2 * ROOM + 10]);
        assert_eq!(buffer.skip(2 * ROOM as u64 + 7).unwrap(), 2 * ROOM as u64 + 7);
        assert_eq!(buffer.offset(), 2 * ROOM as u64 + 17);
        assert!(!buffer.ensure(ROOM).unwrap());
        assert_eq!(buffer.unread(), &all[2 * ROOM + 17..]);
        assert_eq!(buffer.skip(u64::MAX).unwrap(), (ROOM - 17) as u64);
    }

    #[test]
    fn blocks_are_exchanged_and_nothing_unread_is_lost() {
        let all: Vec<u8> = (0..2 * ROOM + 9).map(|i| (i % 251) as u8).collect();
        let mut buffer = Buffer::new(&all[..]);
        let mut block = Vec::new();
        assert!(buffer.ensure(ROOM).unwrap());
        assert_eq!(buffer.consume(ROOM - 3), 0..ROOM - 3);
        buffer.exchange(&mut block);
        assert_eq!((&block[..], buffer.offset()), (&all[..ROOM], ROOM as u64 - 3));
        assert!(buffer.ensure(4).unwrap());
        assert_eq!(buffer.unread(), &all[ROOM - 3..2 * ROOM - 3]);
        let range = buffer.consume(5);
        let room = block.as_ptr();
        buffer.exchange(&mut block);
        assert_eq!(block[range], all[ROOM - 3..ROOM + 2]);
        assert!(buffer.ensure(ROOM).unwrap(), "the room of the first block is used again");
        assert_eq!((buffer.bytes.as_ptr(), buffer.offset()), (room, ROOM as u64 + 2));
        assert_eq!(buffer.unread()[..ROOM], all[ROOM + 2..2 * ROOM + 2]);
    }

    #[test]
    fn a_source_that_trickles_is_waited_for() {
        let mut buffer = Buffer::new(Trickle(b"abcdefgh"));
        assert!(buffer.ensure(7).unwrap());
        assert!(!buffer.ensure(9).unwrap());
        assert_eq!(buffer.unread(), b"abcdefgh");
    }
}
