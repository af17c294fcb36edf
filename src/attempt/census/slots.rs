//! The places of the attempts that are followed.

use std::hint::black_box;
use std::mem::offset_of;

use super::calendar::Wait;
use super::pair::{End, Pair};
use crate::attempt::Handshake;
use crate::attempt::tracked::Tracked;

/// Attempts in one piece of the table: it grows by pieces, without moving what it holds.
const PIECE: usize = 1 << 10;

/// No place in the table.
pub(super) const NONE: u32 = u32::MAX;

/// An attempt in the table, laid out so that most packets touch no more than three of its cache lines.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Slot {
    pub(super) pair: Pair,
    /// The attempt on the same endpoints before this one.
    pub(super) older: u32,
    /// There is none after it.
    pub(super) newest: bool,
    /// Which of the two sent the SYN.
    pub(super) client: End,
    pub(super) wait: Wait,
    /// When its last packet came, in the time of the capture.
    pub(super) heard: i64,
    pub(super) tracked: Tracked,
    /// Number in order of first SYN.
    pub(super) id: u64,
}

const _: () = assert!(offset_of!(Slot, tracked) + Tracked::HOT <= 192 && size_of::<Option<Slot>>() <= 256);

impl Slot {
    /// What it has to wait for now.
    #[inline]
    pub(super) fn waits_for(&self) -> Wait {
        if self.tracked.syn == 0 {
            Wait::ForSyn
        } else if self.tracked.is_over() {
            Wait::ToSettle
        } else if self.tracked.handshake == Handshake::Completed {
            Wait::Established
        } else {
            Wait::ForAnswer
        }
    }
}

/// The table's places, in pieces of a fixed size.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pieces: Vec<Box<[Option<Slot>; PIECE]>>,
    /// Places that were used before.
    free: Vec<u32>,
    /// The first place that was never used.
    unused: u32,
    pub(super) used: usize,
}

impl Slots {
    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&Slot> {
        self.pieces.get(place as usize / PIECE)?[place as usize % PIECE].as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Slot> {
        self.pieces.get_mut(place as usize / PIECE)?[place as usize % PIECE].as_mut()
    }

    pub(super) fn insert(&mut self, slot: Slot) -> u32 {
        self.used += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.unused += 1;
            self.unused - 1
        });
        if place as usize / PIECE == self.pieces.len() {
            let piece: Vec<_> = (0..PIECE).map(|_| None).collect();
            self.pieces.extend(piece.try_into());
        }
        if let Some(piece) = self.pieces.get_mut(place as usize / PIECE) {
            piece[place as usize % PIECE] = Some(slot);
        }
        place
    }

    /// Has the processor fetch a slot that will be looked at soon: it fetches several at once where one look does not
    /// depend on another.
    #[inline]
    pub(super) fn fetch(&self, place: u32) {
        if let Some(slot) = self.get(place) {
            // One field of each of the three cache lines.
            black_box((slot.older, slot.tracked.handshake, slot.tracked.first_syn));
        }
    }

    /// Fetches what is needed to decide an attempt too, some of which lies elsewhere.
    pub(super) fn fetch_all_of(&self, place: u32) {
        if let Some(slot) = self.get(place) {
            black_box((slot.id, slot.tracked.banner_begins()));
        }
        self.fetch(place);
    }

    /// Whether an attempt is the newest between these endpoints.
    #[inline]
    pub(super) fn is_newest_of(&self, place: u32, pair: &Pair) -> bool {
        self.get(place).is_some_and(|slot| slot.newest && slot.pair == *pair)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Slot> {
        self.pieces.iter().flat_map(|piece| piece.iter().flatten())
    }

    /// The places of all attempts that have a SYN, in order of the first.
    pub(super) fn with_syn(&self) -> impl Iterator<Item = u32> + use<> {
        let mut all: Vec<(u64, u32)> = Vec::with_capacity(self.used);
        for place in 0..self.unused {
            all.extend(self.get(place).filter(|slot| slot.wait != Wait::ForSyn).map(|slot| (slot.id, place)));
        }
        all.sort_unstable();
        all.into_iter().map(|(_, place)| place)
    }

    pub(super) fn remove(&mut self, place: u32) {
        let Some(piece) = self.pieces.get_mut(place as usize / PIECE) else { return };
        if piece[place as usize % PIECE].take().is_some() {
            self.free.push(place);
            self.used -= 1;
        }
    }
}
