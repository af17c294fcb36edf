//! When attempts are decided.
//!
//! Every packet of an attempt puts its decision off. So a packet writes down no more than its time, in the slot that it
//! has in hand; an attempt is noted on the day on which it begins to wait, and when that day's turn comes, whoever was
//! heard of since is noted on a later one. Nor does an attempt that begins to wait for something of more patience need a
//! note for that before the turn of the one it has.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;
use std::time::Duration;

use prefetch_index::prefetch_index;

use super::Limits;
use super::slots::{Slot, Slots};

/// How long, in nanoseconds, an answer may stand in a capture before the SYN that it answers.
const REORDER: i64 = 100_000_000;

/// What an attempt waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// An answer to a SYN that may follow.
    ForSyn,
    /// It ended.
    ToSettle,
    ForAnswer,
    Established,
}

const WAITS: usize = 4;

/// All attempts by what they wait for, and since when.
#[derive(Debug)]
pub(super) struct Calendars {
    /// One for each [`Wait`].
    all: [Calendar; WAITS],
    /// No attempt is due before this time.
    next_deadline: i64,
    /// Notes written so far.
    written: u32,
    /// By place, the valid note, if there is one. Not in the table itself: most notes are void when their day comes, and
    /// these few bytes stay in the processor's caches.
    valid: Vec<Ticket>,
}

/// What tells a note from the others on the same place: the number of the note, and the calendar that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket(u32);

impl Ticket {
    /// That of no note.
    const VOID: Self = Self(0);

    /// After the last number comes the first, which only a note of that age could be mistaken for.
    fn new(number: u32, calendar: usize) -> Self {
        Self((number % (u32::MAX / WAITS as u32) + 1) * WAITS as u32 + calendar as u32)
    }

    fn calendar(self) -> usize {
        self.0 as usize % WAITS
    }
}

impl Calendars {
    pub(super) fn new(limits: &Limits) -> Self {
        let patience = [REORDER, nanos(limits.settle), nanos(limits.unanswered), nanos(limits.idle)];
        Self { all: patience.map(Calendar::new), next_deadline: i64::MAX, written: 0, valid: Vec::new() }
    }

    /// Whether an attempt may be due.
    #[inline]
    pub(super) fn may_be_due(&self, now: i64) -> bool {
        now >= self.next_deadline
    }

    /// The next attempt that is due, in order of time, then of first SYN. Of those that will soon be, `fetch` is told the
    /// hash.
    pub(super) fn due(&mut self, slots: &Slots, now: i64, fetch: impl Fn(u32)) -> Option<u32> {
        loop {
            let written = self.written;
            let mut next: Option<(i64, u64, usize)> = None;
            for index in 0..WAITS {
                if self.all[index].deadline > now {
                    continue;
                }
                let last_day = self.all[index].day(now.saturating_sub(self.all[index].patience));
                self.open_days(index, slots, last_day, &fetch);
                let calendar = &mut self.all[index];
                if let Some(Reverse(noted)) = calendar.today.peek() {
                    // As it was noted: by now it may be due later, never earlier.
                    calendar.deadline = noted.since.saturating_add(calendar.patience);
                    let waiting = (calendar.deadline, noted.id, index);
                    next = Some(next.map_or(waiting, |other| other.min(waiting)));
                } else {
                    let since = calendar.next_day_begins();
                    calendar.deadline =
                        since.map_or(i64::MAX, |since| since.saturating_add(calendar.patience));
                }
            }
            if self.written != written {
                // An attempt moved to another calendar, perhaps to one that had been looked at.
                continue;
            }
            match next {
                Some((deadline, _, index)) if deadline <= now => {
                    if let Some(place) = self.take_next(index, slots) {
                        return Some(place);
                    }
                }
                _ => {
                    let deadlines = self.all.iter().map(|calendar| calendar.deadline);
                    self.next_deadline = deadlines.min().unwrap_or(i64::MAX);
                    return None;
                }
            }
        }
    }

    /// The attempt that is the first to go where there are too many.
    pub(super) fn least(&mut self, slots: &Slots) -> Option<u32> {
        (0..WAITS).find_map(|index| {
            loop {
                self.open_days(index, slots, i64::MAX, &|_| {});
                self.all[index].today.peek()?;
                if let Some(place) = self.take_next(index, slots) {
                    return Some(place);
                }
            }
        })
    }

    /// Notes that an attempt waits, from when it was last heard of on; `hash` is that of its endpoints.
    pub(super) fn enter(&mut self, slots: &Slots, place: u32, hash: u32) {
        let Some(slot) = slots.get(place) else { return };
        let index = slot.wait as usize;
        self.written = self.written.wrapping_add(1);
        let note = Note { place, ticket: Ticket::new(self.written, index), hash };
        if self.valid.len() <= place as usize {
            self.valid.resize(place as usize + 1, Ticket::VOID);
        }
        self.valid[place as usize] = note.ticket;
        let calendar = &mut self.all[index];
        calendar.deadline = calendar.deadline.min(slot.heard.saturating_add(calendar.patience));
        self.next_deadline = self.next_deadline.min(calendar.deadline);
        calendar.live += 1;
        calendar.notes += 1;
        calendar.note(note.about(slot));
        calendar.tidy(&self.valid);
    }

    /// Says that an attempt waits for something else now.
    pub(super) fn change(&mut self, slots: &Slots, place: u32, hash: u32) {
        let (Some(slot), Some(noted)) = (slots.get(place), self.valid.get(place as usize)) else { return };
        if *noted != Ticket::VOID
            && self.all[noted.calendar()].patience <= self.all[slot.wait as usize].patience
        {
            return;
        }
        self.leave(place);
        self.enter(slots, place, hash);
    }

    /// Has the processor fetch what is needed when an attempt begins to wait for something else.
    #[inline]
    pub(super) fn fetch(&self, place: u32) {
        prefetch_index(&self.valid, place as usize);
    }

    /// Says that an attempt waits no more.
    pub(super) fn leave(&mut self, place: u32) {
        if let Some(ticket) = self.valid.get_mut(place as usize)
            && *ticket != Ticket::VOID
        {
            self.all[ticket.calendar()].live -= 1;
            *ticket = Ticket::VOID;
        }
    }

    /// Takes the first of those noted today, if it is still what the note says; otherwise notes it where it belongs.
    fn take_next(&mut self, index: usize, slots: &Slots) -> Option<u32> {
        let Reverse(noted) = self.all[index].today.pop()?;
        let Note { place, .. } = noted.note;
        let slot = slots.get(place).filter(|slot| slot.wait as usize == index);
        if noted.note.is_valid(&self.valid) && slot.is_some_and(|slot| noted.note.about(slot) == noted) {
            self.all[index].notes -= 1;
            self.leave(place);
            return Some(place);
        }
        self.note_again(index, slots, noted.note);
        None
    }

    /// Where nobody is noted today, goes on to the next day that has come by `last_day`, until somebody is.
    fn open_days(&mut self, index: usize, slots: &Slots, last_day: i64, fetch: &impl Fn(u32)) {
        while self.all[index].today.is_empty() {
            let calendar = &mut self.all[index];
            if calendar.days.front().is_none_or(|(day, _)| *day > last_day) {
                return;
            }
            let Some((day, mut notes)) = calendar.days.pop_front() else { return };
            calendar.reached = day;
            // Nobody has looked for long at those that are not heard of again: what is needed of them is fetched as the day
            // before theirs begins, and what tells whether their notes are void as the one before that does.
            let later = |days: usize| self.all[index].days.get(days).map(|(_, notes)| notes);
            for note in later(1).into_iter().flatten() {
                self.fetch(note.place);
            }
            for note in later(0).into_iter().flatten().filter(|note| note.is_valid(&self.valid)) {
                slots.fetch(note.place);
                fetch(note.hash);
            }
            for note in notes.drain(..) {
                self.note_again(index, slots, note);
            }
            self.all[index].spare = notes;
        }
    }

    /// Notes an attempt, whose note's turn has come, where it belongs by now.
    fn note_again(&mut self, index: usize, slots: &Slots, note: Note) {
        let valid = note.is_valid(&self.valid);
        let calendar = &mut self.all[index];
        match slots.get(note.place).filter(|_| valid) {
            Some(slot) if slot.wait as usize == index => calendar.note(note.about(slot)),
            Some(_) => {
                calendar.notes -= 1;
                calendar.live -= 1;
                self.enter(slots, note.place, note.hash);
            }
            None => calendar.notes -= 1,
        }
    }
}

/// Those that wait for the same thing.
#[derive(Debug)]
struct Calendar {
    /// Time in nanoseconds without a packet after which an attempt is decided.
    patience: i64,
    /// A day has 1 << `shift` nanoseconds: there are about a thousand within the patience, so that what is fetched as the day
    /// before begins is still in the processor's caches when it is needed.
    shift: u32,
    /// None of those noted is due before this time.
    deadline: i64,
    /// Those heard of on the days whose turn has come.
    today: BinaryHeap<Reverse<Silent>>,
    /// The last of the days whose turn has come.
    reached: i64,
    /// Those noted on later days, in their order.
    days: VecDeque<(i64, Vec<Note>)>,
    /// The room of a day that is over.
    spare: Vec<Note>,
    /// Notes, void ones too.
    notes: usize,
    /// Notes that are not void.
    live: usize,
}

/// An attempt in the table, unless the note is void by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Note {
    place: u32,
    ticket: Ticket,
    /// Of its endpoints, so that what has to be looked up can be fetched in time.
    hash: u32,
}

/// An attempt, silent since a time; in order of that, then of first SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Silent {
    since: i64,
    id: u64,
    note: Note,
}

impl Note {
    fn is_valid(self, valid: &[Ticket]) -> bool {
        valid.get(self.place as usize) == Some(&self.ticket)
    }

    /// What it says by now of the attempt in its place.
    fn about(self, slot: &Slot) -> Silent {
        Silent { since: slot.heard, id: slot.id, note: self }
    }
}

impl Calendar {
    fn new(patience: i64) -> Self {
        Self {
            patience,
            shift: (patience >> 9).max(1).ilog2(),
            deadline: i64::MAX,
            today: BinaryHeap::new(),
            reached: i64::MIN,
            days: VecDeque::new(),
            spare: Vec::new(),
            notes: 0,
            live: 0,
        }
    }

    fn day(&self, time: i64) -> i64 {
        time >> self.shift
    }

    /// When the first of the days begins that have yet to come.
    fn next_day_begins(&self) -> Option<i64> {
        self.days.front().map(|(day, _)| day << self.shift)
    }

    /// Notes an attempt on the day on which it was last heard of: nearly always the last, or one that is known.
    #[inline(always)]
    fn note(&mut self, silent: Silent) {
        let day = self.day(silent.since);
        let first = self.days.front().map_or(day, |(first, _)| *first);
        // Where none is missing between them.
        let place = day.wrapping_sub(first) as usize;
        match self.days.get_mut(place) {
            Some((same, notes)) if *same == day => notes.push(silent.note),
            _ => self.note_anywhere(day, silent),
        }
    }

    fn note_anywhere(&mut self, day: i64, silent: Silent) {
        if day <= self.reached {
            self.today.push(Reverse(silent));
            return;
        }
        let at = match self.days.back() {
            Some((last, _)) if *last < day => self.days.len(),
            _ => self.days.partition_point(|(other, _)| *other < day),
        };
        match self.days.get_mut(at) {
            Some((same, notes)) if *same == day => notes.push(silent.note),
            _ => {
                let mut notes = mem::take(&mut self.spare);
                notes.push(silent.note);
                self.days.insert(at, (day, notes));
            }
        }
    }

    /// Forgets void notes where they are most of all.
    fn tidy(&mut self, valid: &[Ticket]) {
        const FEW: usize = 1 << 16;
        if self.notes <= 4 * self.live + FEW {
            return;
        }
        self.today.retain(|Reverse(silent)| silent.note.is_valid(valid));
        for (_, notes) in &mut self.days {
            notes.retain(|note| note.is_valid(valid));
        }
        self.notes = self.today.len() + self.days.iter().map(|(_, notes)| notes.len()).sum::<usize>();
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
