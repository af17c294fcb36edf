//! When attempts are decided.
//!
//! Every packet of an attempt puts its decision off. So a packet writes down no more than its time, in the slot that it
//! has in hand; an attempt is noted on the day on which it begins to wait, and when that day's turn comes, whoever was
//! heard of since is noted on a later one.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;
use std::time::Duration;

use super::Limits;
use super::slots::Slots;

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
    /// The latest [`Note::ticket`].
    ticket: u32,
    /// By place, which note is the valid one, and [`VOID`] where none is. Not in the table itself: most notes are void when
    /// their day comes, and these few bytes stay in the processor's caches.
    valid: Vec<u32>,
}

/// The ticket of no note.
const VOID: u32 = 0;

impl Calendars {
    pub(super) fn new(limits: &Limits) -> Self {
        let patience = [REORDER, nanos(limits.settle), nanos(limits.unanswered), nanos(limits.idle)];
        Self { all: patience.map(Calendar::new), next_deadline: i64::MAX, ticket: VOID, valid: Vec::new() }
    }

    /// Whether an attempt may be due.
    #[inline]
    pub(super) fn may_be_due(&self, now: i64) -> bool {
        now >= self.next_deadline
    }

    /// The next attempt that is due, in order of time, then of first SYN.
    pub(super) fn due(&mut self, slots: &Slots, now: i64) -> Option<u32> {
        self.next_deadline = i64::MAX;
        let mut next: Option<(i64, u64, u32)> = None;
        for calendar in &mut self.all {
            let patience = calendar.patience;
            let last_day = calendar.day(now.saturating_sub(patience));
            if let Some(Silent { since, id, note }) = calendar.longest_silent(slots, &self.valid, last_day) {
                let waiting = (since.saturating_add(patience), id, note.place);
                next = Some(next.map_or(waiting, |other| other.min(waiting)));
            } else if let Some(since) = calendar.next_day_begins() {
                self.next_deadline = self.next_deadline.min(since.saturating_add(patience));
            }
        }
        let (deadline, _, place) = next?;
        self.next_deadline = self.next_deadline.min(deadline);
        (deadline <= now).then_some(place)
    }

    /// The attempt that is the first to go where there are too many.
    pub(super) fn least(&mut self, slots: &Slots) -> Option<u32> {
        let mut longest =
            self.all.iter_mut().filter_map(|it| it.longest_silent(slots, &self.valid, i64::MAX));
        longest.next().map(|silent| silent.note.place)
    }

    /// Notes that an attempt waits, from when it was last heard of on.
    pub(super) fn enter(&mut self, slots: &Slots, place: u32) {
        let Some(slot) = slots.get(place) else { return };
        // After the last comes the first, which only a note of that age could be mistaken for.
        self.ticket = self.ticket.checked_add(1).unwrap_or(VOID + 1);
        let index = place as usize;
        if self.valid.len() <= index {
            self.valid.resize(index + 1, VOID);
        }
        self.valid[index] = self.ticket;
        let calendar = &mut self.all[slot.wait as usize];
        self.next_deadline = self.next_deadline.min(slot.heard.saturating_add(calendar.patience));
        calendar.live += 1;
        calendar.notes += 1;
        calendar.note(Silent { since: slot.heard, id: slot.id, note: Note { place, ticket: self.ticket } });
        calendar.tidy(slots, &self.valid);
    }

    /// Says that an attempt waits no more for what it waited for.
    pub(super) fn leave(&mut self, place: u32, wait: Wait) {
        if let Some(ticket) = self.valid.get_mut(place as usize) {
            *ticket = VOID;
            self.all[wait as usize].live -= 1;
        }
    }
}

/// Those that wait for the same thing.
#[derive(Debug)]
struct Calendar {
    /// Time in nanoseconds without a packet after which an attempt is decided.
    patience: i64,
    /// A day has 1 << `shift` nanoseconds: there are about a hundred within the patience.
    shift: u32,
    /// Those heard of on the days whose turn has come.
    today: BinaryHeap<Reverse<Silent>>,
    /// The last of the days whose turn has come.
    reached: i64,
    /// Those noted on later days, in their order.
    days: VecDeque<(i64, Vec<Note>)>,
    /// Notes, void ones too.
    notes: usize,
    /// Notes that are not void.
    live: usize,
}

/// An attempt in the table, unless the note is void by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Note {
    place: u32,
    ticket: u32,
}

/// An attempt, silent since a time; in order of that, then of first SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Silent {
    since: i64,
    id: u64,
    note: Note,
}

impl Note {
    fn is_valid(self, valid: &[u32]) -> bool {
        valid.get(self.place as usize) == Some(&self.ticket)
    }

    /// What it says by now.
    fn read(self, slots: &Slots, valid: &[u32]) -> Option<Silent> {
        let slot = slots.get(self.place).filter(|_| self.is_valid(valid))?;
        Some(Silent { since: slot.heard, id: slot.id, note: self })
    }
}

impl Calendar {
    fn new(patience: i64) -> Self {
        Self {
            patience,
            shift: (patience >> 6).max(1).ilog2(),
            today: BinaryHeap::new(),
            reached: i64::MIN,
            days: VecDeque::new(),
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

    /// Notes an attempt on the day on which it was last heard of.
    fn note(&mut self, silent: Silent) {
        let day = self.day(silent.since);
        if day <= self.reached {
            self.today.push(Reverse(silent));
            return;
        }
        // Nearly always the last.
        let later = self.days.iter().rev().take_while(|(other, _)| *other > day).count();
        let at = self.days.len() - later;
        match at.checked_sub(1).and_then(|before| self.days.get_mut(before)) {
            Some((same, notes)) if *same == day => notes.push(silent.note),
            _ => self.days.insert(at, (day, vec![silent.note])),
        }
    }

    /// The attempt that has been silent for longest, if it was last heard of no later than on `last_day`.
    fn longest_silent(&mut self, slots: &Slots, valid: &[u32], last_day: i64) -> Option<Silent> {
        loop {
            while let Some(Reverse(noted)) = self.today.peek().copied() {
                let silent = noted.note.read(slots, valid);
                if silent == Some(noted) {
                    return silent;
                }
                self.today.pop();
                self.note_again(silent);
            }
            self.days.front().filter(|(day, _)| *day <= last_day)?;
            let (day, notes) = self.days.pop_front()?;
            self.reached = day;
            // Those that are not heard of again will soon be decided: a look at all of them in a row has the processor fetch
            // several at once, after nobody has looked at them for long.
            for note in notes.iter().filter(|note| note.is_valid(valid)) {
                slots.fetch_all_of(note.place);
            }
            for note in notes {
                self.note_again(note.read(slots, valid));
            }
        }
    }

    fn note_again(&mut self, silent: Option<Silent>) {
        match silent {
            Some(silent) => self.note(silent),
            None => self.notes -= 1,
        }
    }

    /// Forgets void notes where they are most of all.
    fn tidy(&mut self, slots: &Slots, valid: &[u32]) {
        const FEW: usize = 1 << 16;
        if self.notes <= 4 * self.live + FEW {
            return;
        }
        let all = mem::take(&mut self.days);
        let today = mem::take(&mut self.today).into_iter().map(|Reverse(silent)| silent.note);
        for note in today.chain(all.into_iter().flat_map(|(_, notes)| notes)) {
            self.note_again(note.read(slots, valid));
        }
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
