//! A look at the records behind one whose time leaps: where several captures are read as one, all that follows a time
//! that lies would have to wait until the others are read.

use std::collections::VecDeque;
use std::io::Read;

use whichhop::recording::{Body, Frame, ReadError, Reader, Record, RecordNumber, Timestamp};

/// A time that lies farther ahead than this, in nanoseconds, may lie.
const LEAP: i64 = 86_400_000_000_000;

/// So many records that stand there bear it out.
const ENOUGH: usize = 8;

/// Records that were read ahead, the next first.
#[derive(Default)]
pub(super) struct Ahead {
    held: VecDeque<Held>,
    /// The time of the record behind them, where theirs turned out to lie.
    instead: Option<Timestamp>,
    /// The one handed out last.
    taken: Option<Held>,
}

/// A record, no longer in the reader's buffer.
struct Held {
    number: RecordNumber,
    at: Timestamp,
    body: Body<'static>,
    bytes: Vec<u8>,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The time at which the next record has its turn; `None` at the end.
    pub(super) fn peek<R: Read>(&mut self, reader: &mut Reader<R>) -> Result<Option<Timestamp>, ReadError> {
        if self.held.is_empty() {
            let Some(at) = reader.peek()? else { return Ok(None) };
            match reader.latest() {
                Some(latest) if at.since(latest) <= LEAP => return Ok(Some(at)),
                Some(_) => self.look(reader, at, ENOUGH),
                None => self.look(reader, at, 1),
            }
        }
        Ok(self.instead.or(self.held.front().map(|held| held.at)))
    }

    /// The next record.
    pub(super) fn next<'a, R: Read>(
        &'a mut self,
        reader: &'a mut Reader<R>,
    ) -> Result<Option<Record<'a>>, ReadError> {
        let Some(held) = self.held.pop_front() else { return reader.next() };
        if self.held.is_empty() {
            self.instead = None;
        }
        Ok(Some(self.taken.insert(held).record()))
    }

    /// Reads up to `most` records ahead, of which the first is the one of `at`; no farther than to one from before it. An
    /// error will come again.
    fn look<R: Read>(&mut self, reader: &mut Reader<R>, at: Timestamp, most: usize) {
        while self.held.len() < most
            && let Ok(Some(record)) = reader.next()
        {
            self.held.push_back(Held::new(record));
            if let Ok(Some(next)) = reader.peek()
                && at.since(next) > LEAP
            {
                self.instead = Some(next);
                return;
            }
        }
    }
}

impl Held {
    fn new(record: Record<'_>) -> Self {
        let (body, bytes): (Body<'static>, &[u8]) = match record.body {
            Body::Frame(frame) => (Body::Frame(Frame { bytes: &[], ..frame }), frame.bytes),
            Body::Event(event) => (Body::Event(event), &[]),
        };
        Self { number: record.number, at: record.at, body, bytes: bytes.to_vec() }
    }

    fn record(&self) -> Record<'_> {
        let body = match &self.body {
            Body::Frame(frame) => Body::Frame(Frame { bytes: &self.bytes, ..*frame }),
            Body::Event(event) => Body::Event(event.clone()),
        };
        Record { number: self.number, at: self.at, body }
    }
}
