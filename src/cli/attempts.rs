//! `whichhop attempts`: captures in, every TCP connection attempt in them out.

mod ahead;
mod elsewhere;
mod filter;
#[cfg(target_os = "linux")]
mod interrupt;
#[cfg(not(target_os = "linux"))]
#[path = "attempts/no_interrupt.rs"]
mod interrupt;
mod meter;
mod pipeline;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IsTerminal, Read, Stdout, Write};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::{iter, mem};

use anyhow::{Context, bail};
use whichhop::attempt::{Attempt, Batch, Census, Concerns, Limits, Ports, Sieve};
use whichhop::confine::confine_reader;
use whichhop::diagnose::no_syn;
use whichhop::packet::Undecoded;
use whichhop::recording::{Body, ReadError, Reader, Record, Timestamp};
use whichhop::report::{self, Lines, Summary};

use ahead::Ahead;
use elsewhere::Elsewhere;
use filter::Filter;
use interrupt::Interrupt;
use meter::Meter;
use pipeline::Outlet;

use super::args::{Attempts, Input, ports};
use super::{Status, chain, complain, input};

/// Bytes of output held back, unless somebody watches.
const HELD_BACK: usize = 1 << 16;

/// Bytes of a batch: so few that it is tracked before it has left the processor's caches.
const BATCH: usize = 1 << 16;

/// How many attempts ahead of the one that is told is what lies elsewhere fetched.
const FETCHED: usize = 4;

/// Records of a batch, where most of them do not matter and take no room in it.
const BATCH_RECORDS: u64 = 1 << 16;

pub(super) fn run(args: &Attempts) -> anyhow::Result<Status> {
    if let (Some(from), Some(until)) = (args.only.from, args.only.until)
        && from >= until
    {
        bail!("the range is empty: --from must be before --until");
    }
    let filter = Filter::new(&args.only);
    let meter = if args.prints_as_it_reads() && io::stdout().is_terminal() {
        Meter::hidden()
    } else {
        Meter::over(&args.files)
    };
    let interrupt = Interrupt::new()?;
    input::open_as_many_as_allowed();
    let mut files = Files::open(&args.files, &meter, &interrupt)?;
    confine_reader(files.yet_to_open())?;
    interrupt.listen();
    let limits =
        Limits { settle: args.settle, unanswered: args.unanswered, idle: args.idle, ..Limits::default() };
    let census = Census::new(ports(&args.ports), limits);
    let sieve = census.sieve();
    let may_concern = |source, destination| filter.may_concern(source, destination);
    let concerns: Concerns<'_> = filter.asks_for_addresses().then_some(&may_concern);
    let mut tracking = Tracking { census, filter: &filter, patience: Patience::default(), ended: false };
    let mut output = Output::new(args);
    let mut undecoded: BTreeMap<Undecoded, u64> = BTreeMap::new();
    let mut elsewhere = Elsewhere::new(matches!(ports(&args.ports), Ports::Any));
    let watched = output.watched;
    let read = pipeline::run(
        watched && args.prints_as_it_reads(),
        |outlet| {
            let batch = Batch::default();
            let (undecoded, elsewhere) = (&mut undecoded, &mut elsewhere);
            files.each(&mut Feed { sieve, concerns, batch, watched, undecoded, elsewhere, outlet })
        },
        &mut tracking,
        &mut |decided| output.take(decided),
    );
    meter.clear();
    // What was read before an error is worth telling.
    let (written, unread) = match read {
        Err(Stop::Write(error)) => (Err(error), Ok(())),
        Err(Stop::Read(_)) if interrupt.has_cut() => {
            files.remarks.push("interrupted: what comes after is not known".to_owned());
            (output.rest(), Ok(()))
        }
        Err(Stop::Read(error)) => (output.rest(), Err(error)),
        Ok(()) | Err(Stop::Enough) => (output.rest(), Ok(())),
    };
    match written {
        // A reader that stops reading early, such as `head`, has got what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Status::Reachable),
        result => result.context("cannot write to standard output")?,
    }
    for remark in &files.remarks {
        complain(remark);
    }
    for error in &files.unusable {
        complain(&chain(error));
    }
    tell(&tracking.census, &undecoded);
    unread?;
    if output.count == 0 && !args.json {
        let wanted = wanted(args);
        let within = if report::unread(&undecoded).is_some() { "what could be read of it" } else { "it" };
        complain(&if args.only.is_all() {
            let elsewhere = elsewhere.ports();
            let no_syn = if elsewhere.is_empty() { "no SYN".to_owned() } else { no_syn(&elsewhere) };
            format!("no attempt to connect to {wanted} in {within} ({no_syn})")
        } else {
            format!("no attempt to connect to {wanted} in {within} that the filters let through")
        });
    }
    Ok(if files.unusable.is_empty() { Status::Reachable } else { Status::Error })
}

/// Says what was not used, or not as it should have been.
fn tell(census: &Census, undecoded: &BTreeMap<Undecoded, u64>) {
    let evicted = census.evicted();
    if evicted > 0 {
        complain(&format!(
            "too many attempts at once: {evicted} were decided before their time, as what they were by then"
        ));
    }
    let malformed = census.malformed_syns();
    if malformed > 0 {
        complain(&format!(
            "SYNs that are also FIN or RST: {malformed}: no attempts to connect, but a scanner's"
        ));
    }
    if let Some(unread) = report::unread(undecoded) {
        complain(&unread);
    }
}

/// The ports asked for, in words.
fn wanted(args: &Attempts) -> String {
    match ports(&args.ports) {
        Ports::Any => "any port".to_owned(),
        Ports::Only(ports) => {
            let ports: Vec<_> = ports.iter().map(port_range).collect();
            format!("port {}", ports.join(" or "))
        }
    }
}

/// A range of ports as it is typed.
fn port_range(ports: &RangeInclusive<u16>) -> String {
    let (first, last) = (ports.start(), ports.end());
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// Makes batches of records.
struct Feed<'a, 'b> {
    sieve: Sieve,
    concerns: Concerns<'a>,
    batch: Batch,
    watched: bool,
    undecoded: &'a mut BTreeMap<Undecoded, u64>,
    elsewhere: &'a mut Elsewhere,
    outlet: &'a mut Outlet<'b>,
}

impl Feed<'_, '_> {
    fn take(&mut self, record: &Record<'_>) -> Result<(), Stop> {
        if let Body::Frame(frame) = record.body {
            self.elsewhere.look(frame);
        }
        if let Err(reason) = self.sieve.take(record, self.concerns, &mut self.batch) {
            *self.undecoded.entry(reason).or_default() += 1;
        }
        let full = self.batch.size() >= BATCH || self.batch.records() >= BATCH_RECORDS;
        if full { self.pass_on() } else { Ok(()) }
    }

    /// Takes what `reader` has at hand, and the bytes of it too; says whether there was anything.
    fn take_block(
        &mut self,
        reader: &mut Reader<Box<dyn Read>>,
        before: Option<Timestamp>,
    ) -> Result<bool, Stop> {
        let mut block = self.batch.take_block();
        let any = reader.each_in_block(before, &mut block, |at, frame, place| {
            self.elsewhere.look(frame);
            let taken = self.sieve.take_in_block(at, frame, place, self.concerns, &mut self.batch);
            if let Err(reason) = taken {
                *self.undecoded.entry(reason).or_default() += 1;
            }
        });
        self.batch.put_block(block);
        if any {
            self.pass_on()?;
        }
        Ok(any)
    }

    fn pass_on(&mut self) -> Result<(), Stop> {
        if self.batch.is_empty() { Ok(()) } else { self.outlet.pass_on(&mut self.batch) }
    }
}

/// Where attempts go.
struct Output {
    rows: Rows,
    form: Form,
    /// Somebody watches: nothing is held back.
    watched: bool,
    count: u64,
}

enum Form {
    Lines {
        json: bool,
    },
    /// All of them, to be sorted.
    Sorted {
        json: bool,
        attempts: Vec<Attempt>,
    },
    Summary {
        json: bool,
        summary: Box<Summary>,
    },
}

impl Output {
    fn new(args: &Attempts) -> Self {
        let stdout = io::stdout();
        // What is no file may be a capture that still goes on.
        let watched = stdout.is_terminal() || !args.files.iter().all(input::is_regular);
        let form = match (args.summary, args.sort) {
            (true, _) => Form::Summary { json: args.json, summary: Box::default() },
            (_, true) => Form::Sorted { json: args.json, attempts: Vec::new() },
            _ => Form::Lines { json: args.json },
        };
        Self { rows: Rows { out: stdout, held: Lines::default() }, form, watched, count: 0 }
    }

    /// Takes what is decided.
    fn take(&mut self, decided: &mut VecDeque<Attempt>) -> io::Result<()> {
        let (before, more) = (self.count, decided.len() as u64);
        self.count += more;
        match &mut self.form {
            Form::Lines { json } => {
                for (index, attempt) in decided.iter().enumerate() {
                    if let Some(later) = decided.get(index + FETCHED) {
                        later.fetch();
                    }
                    self.rows.push(attempt, *json, before + index as u64)?;
                }
            }
            Form::Sorted { attempts, .. } => attempts.extend(decided.drain(..)),
            Form::Summary { summary, .. } => decided.iter().for_each(|attempt| summary.count(attempt)),
        }
        decided.clear();
        if self.watched && more > 0 { self.rows.flush() } else { Ok(()) }
    }

    /// Writes what was held back.
    fn rest(&mut self) -> io::Result<()> {
        match &mut self.form {
            Form::Lines { .. } => {}
            Form::Sorted { json, attempts } => {
                // Stable: attempts of one instant stay in the order in which they were decided.
                attempts.sort_by_key(|attempt| attempt.first_syn);
                for (index, attempt) in attempts.iter().enumerate() {
                    self.rows.push(attempt, *json, index as u64)?;
                }
            }
            Form::Summary { json: true, summary } => {
                self.rows.held.push(&summary.json());
            }
            Form::Summary { json: false, summary } => {
                self.rows.held.push(&summary.text());
            }
        }
        self.rows.flush()
    }
}

/// Text on its way to standard output, in large pieces.
struct Rows {
    out: Stdout,
    held: Lines,
}

impl Rows {
    /// Adds one attempt, the `index`th.
    fn push(&mut self, attempt: &Attempt, json: bool, index: u64) -> io::Result<()> {
        if json {
            self.held.attempt(attempt);
        } else {
            if index == 0 {
                self.held.push(&report::attempts_heading());
            }
            self.held.push(&report::attempt_row(attempt));
        }
        if self.held.bytes().len() >= HELD_BACK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(self.held.bytes())?;
        self.held.clear();
        self.out.flush()
    }
}

/// Why reading ended before the captures did.
enum Stop {
    Read(anyhow::Error),
    Write(io::Error),
    /// Nothing is left to be found.
    Enough,
}

/// Tracks what is wanted.
struct Tracking<'a> {
    census: Census,
    filter: &'a Filter<'a>,
    patience: Patience,
    /// The captures are over.
    ended: bool,
}

impl pipeline::Track for Tracking<'_> {
    fn take(&mut self, batch: &Batch, decided: &mut VecDeque<Attempt>) -> Result<(), Stop> {
        self.census.take(batch);
        self.census.take_decided(decided);
        decided.retain(|attempt| self.filter.wants(attempt));
        if self.patience.ends(batch, self.filter, &self.census) { Err(Stop::Enough) } else { Ok(()) }
    }

    fn rest(&mut self, most: usize, decided: &mut VecDeque<Attempt>) {
        if !mem::replace(&mut self.ended, true) {
            self.census.end();
        }
        let wanted =
            iter::from_fn(|| self.census.next_decided()).filter(|attempt| self.filter.wants(attempt));
        decided.extend(wanted.take(most));
    }
}

/// Finds out when reading on is of no use.
#[derive(Default)]
struct Patience {
    /// Records in a row after the time of all that is wanted.
    late: u64,
}

impl Patience {
    /// Records between two looks at the table; fewer of them in a row may be the work of a clock that jumps.
    const BETWEEN: u64 = 1 << 16;

    /// Whether all that is wanted is decided, now that `batch` is tracked.
    fn ends(&mut self, batch: &Batch, filter: &Filter<'_>, census: &Census) -> bool {
        if filter.last_start().is_none_or(|last| batch.earliest().is_none_or(|at| at <= last)) {
            self.late = 0;
            return false;
        }
        self.late += batch.records();
        if self.late < Self::BETWEEN {
            return false;
        }
        self.late = 0;
        !census.follows(|attempt| filter.wants(attempt))
    }
}

/// Captures as one, in order of time.
struct Files<'a> {
    meter: &'a Meter,
    interrupt: &'a Interrupt,
    /// What those that are read through lack, in words.
    remarks: Vec<String>,
    /// Why nothing can be read of some.
    unusable: Vec<anyhow::Error>,
    /// Those being read.
    open: Vec<Source>,
    /// Those whose first record is still to come, the next first.
    waiting: VecDeque<Waiting>,
}

struct Source {
    reader: Reader<Box<dyn Read>>,
    /// None where no other capture waits for this one.
    ahead: Option<Ahead>,
    name: String,
    /// Its place in the order given.
    index: usize,
}

/// A file that can be opened when its time has come, so that many take no more memory than those that overlap.
struct Waiting {
    first: Timestamp,
    index: usize,
    file: Input,
}

impl<'a> Files<'a> {
    /// Looks into each capture; fails if one cannot be opened, or none can be read.
    fn open(inputs: &[Input], meter: &'a Meter, interrupt: &'a Interrupt) -> anyhow::Result<Self> {
        let (remarks, unusable, open, waiting) = (Vec::new(), Vec::new(), Vec::new(), VecDeque::new());
        let mut files = Self { meter, interrupt, remarks, unusable, open, waiting };
        if inputs.iter().filter(|input| **input == Input::Stdin).count() > 1 {
            bail!("standard input can be read only once");
        }
        let alone = inputs.len() == 1;
        for (index, input) in inputs.iter().enumerate() {
            match files.look_into(input, index, alone) {
                Err(error) if is_about_content(&error) => files.unusable.push(error),
                looked => looked?,
            }
        }
        if files.unusable.len() == inputs.len()
            && let Some(last) = files.unusable.pop()
        {
            for error in &files.unusable {
                complain(&chain(error));
            }
            return Err(last);
        }
        files.waiting.make_contiguous().sort_by_key(|waiting| (waiting.first, waiting.index));
        Ok(files)
    }

    /// Opens a capture; one that can be read anew is left to wait for its time.
    fn look_into(&mut self, input: &Input, index: usize, alone: bool) -> anyhow::Result<()> {
        if alone || !input::is_regular(input) {
            let mut source = Source::open(input, index, self.meter, self.interrupt)?;
            source.ahead = source.ahead.filter(|_| !alone);
            self.open.push(source);
            return Ok(());
        }
        let mut source = Source::open(input, index, &Meter::hidden(), self.interrupt)?;
        match source.peek()? {
            Some(first) => self.waiting.push_back(Waiting { first, index, file: input.clone() }),
            None => self.remarks.extend(source.remarks()),
        }
        Ok(())
    }

    /// The files that are opened only when their time has come.
    fn yet_to_open(&self) -> Vec<PathBuf> {
        let path = |waiting: &Waiting| match &waiting.file {
            Input::File(path) => Some(path.clone()),
            Input::Stdin => None,
        };
        self.waiting.iter().filter_map(path).collect()
    }

    /// Feeds every record to `feed`; those before an error too.
    fn each(&mut self, feed: &mut Feed<'_, '_>) -> Result<(), Stop> {
        let read = self.each_in_order(feed);
        if matches!(read, Err(Stop::Read(_))) {
            feed.pass_on()?;
        }
        read
    }

    fn each_in_order(&mut self, feed: &mut Feed<'_, '_>) -> Result<(), Stop> {
        loop {
            self.close_those_over().map_err(Stop::Read)?;
            self.open_those_due().map_err(Stop::Read)?;
            let mut nexts = Vec::with_capacity(self.open.len());
            for (place, source) in self.open.iter_mut().enumerate() {
                nexts.push((source.peek().map_err(Stop::Read)?, source.index, place));
            }
            let Some(&(at, _, place)) = nexts.iter().min_by_key(|(at, index, _)| (at.is_none(), *at, *index))
            else {
                return feed.pass_on();
            };
            if at.is_none() {
                continue;
            }
            let others = nexts.iter().filter(|(at, _, other)| at.is_some() && *other != place);
            let waiting = self.waiting.front().map(|waiting| (waiting.first, waiting.index));
            let until = others.filter_map(|(at, index, _)| Some(((*at)?, *index))).chain(waiting).min();
            let alone = self.open.len() == 1;
            let Some(source) = self.open.get_mut(place) else { return feed.pass_on() };
            source.each_before(until, alone, feed)?;
        }
    }

    /// Lets go of those that are read through: a decoder takes up to 128 MiB.
    fn close_those_over(&mut self) -> anyhow::Result<()> {
        let mut place = 0;
        while let Some(source) = self.open.get_mut(place) {
            match source.peek() {
                Ok(Some(_)) => place += 1,
                Ok(None) => self.remarks.extend(self.open.remove(place).remarks()),
                // A pipe is not looked into before.
                Err(error) if is_about_content(&error) && source.is_untouched() => {
                    self.open.remove(place);
                    self.unusable.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens the files whose first record is the next of all.
    fn open_those_due(&mut self) -> anyhow::Result<()> {
        while let Some(waiting) = self.waiting.front() {
            let mut due = true;
            for source in &mut self.open {
                due &= source.peek()?.is_none_or(|at| waiting.first <= at);
            }
            if !due {
                break;
            }
            let source = Source::open(&waiting.file, waiting.index, self.meter, self.interrupt);
            match source {
                Ok(source) => self.open.push(source),
                Err(error) if are_too_many(&error) => return Err(overlap(error, self.open.len())),
                // It is no longer what it was when it was looked into.
                Err(error) => self.unusable.push(error),
            }
            self.waiting.pop_front();
        }
        Ok(())
    }
}

/// Whether it is what a file holds that is wrong with it: the newest one of a ring of captures may be empty still.
fn is_about_content(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(ReadError::Io(error)) => error.kind() == io::ErrorKind::InvalidData,
        Some(_) => true,
        None => false,
    }
}

/// Whether no more files can be opened.
fn are_too_many(error: &anyhow::Error) -> bool {
    /// On Linux, macOS and the BSDs.
    const EMFILE: i32 = 24;
    error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) == Some(EMFILE)
}

/// Says why so many files are `open`.
fn overlap(error: anyhow::Error, open: usize) -> anyhow::Error {
    error.context(format!(
        "{open} captures overlap in time and are read at once: allow more open files (`ulimit -n`), or merge some first"
    ))
}

impl Source {
    /// Starts to read a capture, compressed or not; `meter` counts what is read, and `interrupt` ends it.
    fn open(input: &Input, index: usize, meter: &Meter, interrupt: &Interrupt) -> anyhow::Result<Self> {
        let (name, file) = match input {
            Input::Stdin => (input::STDIN.to_owned(), input::stdin()?),
            Input::File(path) => (path.display().to_string(), input::open(path)?),
        };
        let bytes = input::plain(meter.count(interrupt.ends(file)));
        let reader = bytes.map_err(Into::into).and_then(Reader::new).with_context(|| name.clone())?;
        Ok(Self { reader, ahead: Some(Ahead::default()), name, index })
    }

    fn peek(&mut self) -> anyhow::Result<Option<Timestamp>> {
        let next = match &mut self.ahead {
            Some(ahead) => ahead.peek(&mut self.reader),
            None => self.reader.peek(),
        };
        next.with_context(|| self.name.clone())
    }

    /// Whether nothing of it was used yet.
    fn is_untouched(&self) -> bool {
        self.reader.latest().is_none()
    }

    /// Feeds records to `feed` while they come before `until`, a time and a place in the order given.
    fn each_before(
        &mut self,
        until: Option<(Timestamp, usize)>,
        alone: bool,
        feed: &mut Feed<'_, '_>,
    ) -> Result<(), Stop> {
        let before = until.map(|(at, _)| at);
        loop {
            if alone && self.ahead.is_none() {
                while feed.take_block(&mut self.reader, before)? && !self.reader.is_at_hand() {
                    let more = self.reader.read_on();
                    if !more.map_err(|error| self.unread(error))? {
                        break;
                    }
                }
            } else if self.ahead.as_ref().is_none_or(Ahead::is_empty) {
                self.reader.each_at_hand(before, |record| feed.take(record))?;
            }
            // Whoever watches is told all there is to tell before the next record is waited for.
            if feed.watched && !self.reader.is_at_hand() {
                feed.pass_on()?;
            }
            if let Some(until) = until
                && self.peek().map_err(Stop::Read)?.is_none_or(|at| (at, self.index) > until)
            {
                return Ok(());
            }
            let next = match &mut self.ahead {
                Some(ahead) => ahead.next(&mut self.reader),
                None => self.reader.next(),
            };
            match next {
                Ok(Some(record)) => feed.take(&record)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.unread(error)),
            }
        }
    }

    fn unread(&self, error: ReadError) -> Stop {
        Stop::Read(anyhow::Error::new(error).context(self.name.clone()))
    }

    /// What the capture lacks, in words: packets that it lost, and whatever came after where it breaks off.
    fn remarks(&self) -> Vec<String> {
        let (name, lost) = (&self.name, self.reader.lost());
        let lost = (lost > 0).then(|| {
            format!("{name}: the capture says that it lost {lost} packets: answers may be among them")
        });
        let truncation = self.reader.truncation();
        let truncation = truncation.map(|it| format!("{name}: {it}; what comes before was used"));
        lost.into_iter().chain(truncation).collect()
    }
}
