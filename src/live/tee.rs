//! The one way in: a record is written first, and only then shown to the diagnosis and the planner.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::LiveError;
use super::capture::Seen;
use super::clock;
use super::file::{self, Tail};
use super::privilege::Caller;
use crate::diagnose::{Diagnosis, Findings, NothingToDiagnose, Question};
use crate::packet::{LinkType, decode};
use crate::probe::Planner;
use crate::recording::{Body, Event, Frame, InterfaceInfo, Record, RecordNumber, Timestamp, Writer};

/// Where the recording goes.
pub(super) struct Sink {
    to: Box<dyn Write>,
    kept: Option<(PathBuf, Tail)>,
}

impl Sink {
    /// A file, or nowhere: the numbers of the records are needed all the same.
    pub(super) fn open(path: Option<&Path>, caller: Caller) -> Result<Self, LiveError> {
        let Some(path) = path else { return Ok(Self { to: Box::new(io::sink()), kept: None }) };
        let opened = file::create(path, caller).and_then(|f| Ok((Tail::of(&f)?, f)));
        match opened {
            Ok((tail, file)) => Ok(Self { to: Box::new(file), kept: Some((path.to_owned(), tail)) }),
            Err(source) => Err(LiveError::Recording { operation: "open", path: path.to_owned(), source }),
        }
    }
}

/// Frames recorded that concern nothing the trace sent, at most: a reader may want to see them, and anybody can send
/// more.
const MOST_UNCONCERNED: u64 = 5_000;

/// Frames recorded in all, at most. A trace takes some hundreds.
const MOST_FRAMES: u64 = 200_000;

/// Writes records and passes them on.
pub(super) struct Tee {
    writer: Writer<Box<dyn Write>>,
    kept: Option<(PathBuf, Tail)>,
    diagnosis: Diagnosis,
    pub(super) planner: Planner,
    pub(super) frames: u64,
    pub(super) events: u64,
    unconcerned: u64,
    left_out: u64,
    /// The latest moment the recording knows of.
    pub(super) latest: Timestamp,
}

impl Tee {
    /// Begins the recording: its header and its interfaces, in their order.
    pub(super) fn begin<'a>(
        sink: Sink,
        interfaces: impl Iterator<Item = (&'a str, LinkType)>,
        planner: Planner,
        now: Timestamp,
    ) -> Result<Self, LiveError> {
        let mut kept = sink.kept;
        let begun = (|| {
            let mut writer = Writer::new(sink.to)?;
            for (name, link) in interfaces {
                writer.interface(&InterfaceInfo { name: name.to_owned(), link })?;
            }
            Ok(writer)
        })();
        let writer = begun.map_err(|source| failed_write(kept.as_ref(), source))?;
        if let Some((_, tail)) = &mut kept {
            tail.mark();
        }
        let diagnosis = Diagnosis::new(Question::default());
        Ok(Self {
            writer,
            kept,
            diagnosis,
            planner,
            frames: 0,
            events: 0,
            unconcerned: 0,
            left_out: 0,
            latest: now,
        })
    }

    /// Records an event that happens now.
    pub(super) fn event(&mut self, event: Event) -> io::Result<()> {
        self.event_at(clock::now(), event)
    }

    /// Records an event.
    pub(super) fn event_at(&mut self, at: Timestamp, event: Event) -> io::Result<()> {
        let number = self.writer.event(at, &event)?;
        self.events += 1;
        self.pass(number, at, Body::Event(Box::new(event)));
        Ok(())
    }

    /// Records a frame, unless it concerns nobody and there were too many of the kind.
    pub(super) fn frame(&mut self, seen: Seen<'_>) -> io::Result<()> {
        if !decode(seen.link, seen.bytes).is_ok_and(|packet| self.planner.concerns(&packet)) {
            self.unconcerned += 1;
            if self.unconcerned > MOST_UNCONCERNED {
                self.left_out += 1;
                return Ok(());
            }
        }
        if self.is_full() {
            return Ok(());
        }
        let Seen { interface, link, at, direction, original_len, bytes } = seen;
        let number = self.writer.frame(interface, at, direction, original_len, bytes)?;
        self.frames += 1;
        self.pass(number, at, Body::Frame(Frame { interface, link, direction, original_len, bytes }));
        Ok(())
    }

    /// Whether no more frames are recorded.
    pub(super) fn is_full(&self) -> bool {
        self.frames >= MOST_FRAMES
    }

    /// Tells of the frames that were not recorded.
    pub(super) fn left_out(&self) -> Option<Event> {
        (self.left_out > 0).then_some(Event::LeftOut { frames: self.left_out })
    }

    fn pass(&mut self, number: RecordNumber, at: Timestamp, body: Body<'_>) {
        if let Some((_, tail)) = &mut self.kept {
            tail.mark();
        }
        self.latest = self.latest.max(at);
        let record = Record { number, at, body };
        self.diagnosis.push(&record);
        self.planner.handle(&record);
    }

    /// After a failed write: cuts off the half-written record and, if there is room, ends the recording.
    pub(super) fn salvage(&mut self, end: Event, error: io::Error) -> LiveError {
        let cut = self.kept.as_mut().is_none_or(|(_, tail)| tail.cut().is_ok());
        // Often there is no room for this either; then the recording ends without it, and so does the trace.
        let ended = cut && self.event(end).is_ok();
        if let (false, Some((_, tail))) = (ended, &mut self.kept) {
            let _ = tail.cut();
        }
        failed_write(self.kept.as_ref(), error)
    }

    /// Closes the recording and tells what was found.
    pub(super) fn finish(self) -> (Result<Findings, NothingToDiagnose>, Option<LiveError>) {
        let Self { writer, kept, diagnosis, .. } = self;
        let flushed = writer.finish().and_then(|mut sink| sink.flush());
        (diagnosis.finish(), flushed.err().map(|e| failed_write(kept.as_ref(), e)))
    }
}

fn failed_write(kept: Option<&(PathBuf, Tail)>, source: io::Error) -> LiveError {
    let path = kept.map_or_else(PathBuf::new, |(path, _)| path.clone());
    LiveError::Recording { operation: "write", path, source }
}
