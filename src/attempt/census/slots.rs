//! The places of the attempts that are followed.

use std::hint::black_box;

use super::pair::{End, Pair};
use super::queues::Wait;
use crate::attempt::Handshake;
use crate::attempt::tracked::Tracked;

/// Attempts in one piece of the table: it grows by pieces, without moving what it holds.
const PIECE: usize = 1 << 10;

/// No place in the table.
pub(super) const NONE: u32 = u32::MAX;

/// An attempt in the table.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) tracked: Tracked,
    pub(super) pair: Pair,
    /// Which of the two sent the SYN.
    pub(super) client: End,
    /// Number in order of first SYN.
    pub(super) id: u64,
    /// The attempt on the same endpoints before this one.
    pub(super) older: u32,
    /// There is none after it.
    pub(super) newest: bool,
    pub(super) wait: Wait,
}

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
            // One field of each of its cache lines.
            black_box((slot.id, slot.older, slot.wait));
        }
    }

    /// Fetches what a slot keeps elsewhere.
    pub(super) fn fetch_banner(&self, place: u32) {
        if let Some(slot) = self.get(place) {
            black_box(slot.tracked.banner_begins());
        }
    }

    /// Whether an attempt is the newest between these endpoints.
    #[inline]
    pub(super) fn is_newest_of(&self, place: u32, pair: &Pair) -> bool {
        self.get(place).is_some_and(|slot| slot.newest && slot.pair == *pair)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Slot> {
        self.pieces.iter().flat_map(|piece| piece.iter().flatten())
    }

    pub(super) fn remove(&mut self, place: u32) -> Option<Slot> {
        let slot = self.pieces.get_mut(place as usize / PIECE)?[place as usize % PIECE].take()?;
        self.free.push(place);
        self.used -= 1;
        Some(slot)
    }
}
