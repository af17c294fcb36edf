//! Where attempts wait for their decision.

use std::time::Duration;

use super::Limits;
use super::slots::{NONE, Slot, Slots};

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

const QUEUES: usize = 4;

/// Those that wait, one queue for each [`Wait`], silent for longest first.
#[derive(Debug)]
pub(super) struct Queues {
    ends: [Ends; QUEUES],
    /// Time in nanoseconds without a packet after which an attempt is decided.
    patience: [i64; QUEUES],
    /// No attempt is due before this time.
    next_deadline: i64,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Queues {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            ends: [Ends { first: NONE, last: NONE }; QUEUES],
            patience: [REORDER, nanos(limits.settle), nanos(limits.unanswered), nanos(limits.idle)],
            next_deadline: i64::MAX,
        }
    }

    /// Whether an attempt may be due.
    #[inline]
    pub(super) fn may_be_due(&self, now: i64) -> bool {
        now >= self.next_deadline
    }

    /// The next attempt that is due, in order of time, then of first SYN.
    pub(super) fn due(&mut self, slots: &Slots, now: i64) -> Option<u32> {
        let deadline = |slot: &Slot| slot.since.saturating_add(self.patience[slot.wait as usize]);
        let firsts = self.ends.iter().filter_map(|queue| {
            let slot = slots.get(queue.first)?;
            Some((deadline(slot), slot.id, queue.first))
        });
        match firsts.min() {
            Some((deadline, _, place)) if deadline <= now => Some(place),
            next => {
                self.next_deadline = next.map_or(i64::MAX, |(deadline, ..)| deadline);
                None
            }
        }
    }

    /// The attempt that is the first to go where there are too many.
    pub(super) fn least(&self) -> Option<u32> {
        self.ends.iter().map(|queue| queue.first).find(|first| *first != NONE)
    }

    /// All that have a SYN, in order of the first.
    pub(super) fn with_syn(&self, slots: &Slots) -> impl Iterator<Item = u32> + use<> {
        let mut all: Vec<(u64, u32)> = Vec::with_capacity(slots.used);
        for queue in self.ends.iter().skip(1 + Wait::ForSyn as usize) {
            let mut place = queue.first;
            while let Some(slot) = slots.get(place) {
                all.push((slot.id, place));
                place = slot.behind;
            }
        }
        all.sort_unstable();
        all.into_iter().map(|(_, place)| place)
    }

    /// Puts an attempt at the end of a queue.
    pub(super) fn push(&mut self, slots: &mut Slots, place: u32, wait: Wait, now: i64) {
        let queue = &mut self.ends[wait as usize];
        let ahead = std::mem::replace(&mut queue.last, place);
        if queue.first == NONE {
            queue.first = place;
        }
        if let Some(slot) = slots.get_mut(ahead) {
            slot.behind = place;
        }
        if let Some(slot) = slots.get_mut(place) {
            (slot.wait, slot.since, slot.ahead, slot.behind) = (wait, now, ahead, NONE);
        }
        self.next_deadline = self.next_deadline.min(now.saturating_add(self.patience[wait as usize]));
    }

    /// Takes an attempt out of its queue.
    pub(super) fn remove(&mut self, slots: &mut Slots, place: u32) {
        let Some(slot) = slots.get(place) else { return };
        let (ahead, behind, wait) = (slot.ahead, slot.behind, slot.wait);
        match slots.get_mut(ahead) {
            Some(slot) => slot.behind = behind,
            None => self.ends[wait as usize].first = behind,
        }
        match slots.get_mut(behind) {
            Some(slot) => slot.ahead = ahead,
            None => self.ends[wait as usize].last = ahead,
        }
    }

    /// Puts an attempt at the end of a queue, and takes it out of that in which it was.
    pub(super) fn put(&mut self, slots: &mut Slots, place: u32, wait: Wait, now: i64) {
        if self.ends[wait as usize].last == place {
            if let Some(slot) = slots.get_mut(place) {
                slot.since = now;
            }
            return;
        }
        self.remove(slots, place);
        self.push(slots, place, wait, now);
    }
}
