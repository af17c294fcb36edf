//! Where attempts wait for their decision.

use std::hint::black_box;
use std::time::Duration;

use super::Limits;
use super::slots::{NONE, Slots};

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
    /// By place in the table, yet not in it: whoever goes to the end of a queue touches others, whose slots are in no
    /// cache.
    links: Vec<Link>,
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

#[derive(Clone, Copy, Debug)]
struct Link {
    ahead: u32,
    behind: u32,
    /// When it was put there.
    since: i64,
}

const UNLINKED: Link = Link { ahead: NONE, behind: NONE, since: 0 };

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Queues {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            ends: [Ends { first: NONE, last: NONE }; QUEUES],
            links: Vec::new(),
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
        let mut due: Option<(i64, u32)> = None;
        for (queue, patience) in self.ends.iter().zip(self.patience) {
            let Some(link) = self.links.get(queue.first as usize) else { continue };
            let deadline = link.since.saturating_add(patience);
            let id = |place: u32| slots.get(place).map(|slot| slot.id);
            if due.is_none_or(|(other, place)| {
                deadline < other || deadline == other && id(queue.first) < id(place)
            }) {
                due = Some((deadline, queue.first));
            }
        }
        match due {
            Some((deadline, place)) if deadline <= now => Some(place),
            next => {
                self.next_deadline = next.map_or(i64::MAX, |(deadline, _)| deadline);
                None
            }
        }
    }

    /// Has the processor fetch what is known of a place.
    #[inline]
    pub(super) fn fetch(&self, place: u32) {
        black_box(self.links.get(place as usize).map(|link| link.since));
    }

    /// The one behind `place` in its queue.
    pub(super) fn behind(&self, place: u32) -> u32 {
        self.links.get(place as usize).map_or(NONE, |link| link.behind)
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
                place = self.behind(place);
            }
        }
        all.sort_unstable();
        all.into_iter().map(|(_, place)| place)
    }

    /// Puts an attempt at the end of a queue; it must be in none.
    #[inline]
    pub(super) fn push(&mut self, place: u32, wait: Wait, now: i64) {
        let index = place as usize;
        if self.links.len() <= index {
            self.links.resize(index + 1, UNLINKED);
        }
        let queue = &mut self.ends[wait as usize];
        let ahead = std::mem::replace(&mut queue.last, place);
        if queue.first == NONE {
            queue.first = place;
        }
        if let Some(link) = self.links.get_mut(ahead as usize) {
            link.behind = place;
        }
        self.links[index] = Link { ahead, behind: NONE, since: now };
        self.next_deadline = self.next_deadline.min(now.saturating_add(self.patience[wait as usize]));
    }

    /// Puts an attempt from one queue to the end of another, or of the same.
    #[inline]
    pub(super) fn put(&mut self, place: u32, from: Wait, to: Wait, now: i64) {
        if from == to && self.ends[to as usize].last == place {
            if let Some(link) = self.links.get_mut(place as usize) {
                link.since = now;
            }
            return;
        }
        self.remove(place, from);
        self.push(place, to, now);
    }

    /// Takes an attempt out of the queue in which it is.
    #[inline]
    pub(super) fn remove(&mut self, place: u32, wait: Wait) {
        let Some(Link { ahead, behind, .. }) = self.links.get(place as usize).copied() else { return };
        match self.links.get_mut(ahead as usize) {
            Some(link) => link.behind = behind,
            None => self.ends[wait as usize].first = behind,
        }
        match self.links.get_mut(behind as usize) {
            Some(link) => link.ahead = ahead,
            None => self.ends[wait as usize].last = ahead,
        }
    }
}
