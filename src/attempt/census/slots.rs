//! The places of the attempts that are followed.

use std::hint::black_box;

use super::pair::{End, Pair};
use super::queues::Wait;
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
    pub(super) wait: Wait,
}

/// The table's places, in pieces of a fixed size.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pieces: Vec<Vec<Option<Slot>>>,
    free: Vec<u32>,
    pub(super) used: usize,
}

impl Slots {
    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&Slot> {
        self.pieces.get(place as usize / PIECE)?.get(place as usize % PIECE)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Slot> {
        self.pieces.get_mut(place as usize / PIECE)?.get_mut(place as usize % PIECE)?.as_mut()
    }

    pub(super) fn insert(&mut self, slot: Slot) -> u32 {
        self.used += 1;
        if let Some(place) = self.free.pop() {
            if let Some(free) =
                self.pieces.get_mut(place as usize / PIECE).and_then(|p| p.get_mut(place as usize % PIECE))
            {
                *free = Some(slot);
            }
            return place;
        }
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        let before = (self.pieces.len() - 1) * PIECE;
        let Some(piece) = self.pieces.last_mut() else { return NONE };
        piece.push(Some(slot));
        (before + piece.len() - 1) as u32
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

    #[inline]
    pub(super) fn is_of(&self, place: u32, pair: &Pair) -> bool {
        self.get(place).is_some_and(|slot| slot.pair == *pair)
    }

    pub(super) fn remove(&mut self, place: u32) -> Option<Slot> {
        let slot = self.pieces.get_mut(place as usize / PIECE)?.get_mut(place as usize % PIECE)?.take()?;
        self.free.push(place);
        self.used -= 1;
        Some(slot)
    }
}
