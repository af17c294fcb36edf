//! The places of the attempts that are followed.

use std::mem::offset_of;
use std::net::Ipv4Addr;
use std::{iter, slice};

use prefetch_index::prefetch_index;

use super::calendar::Wait;
use super::pair::{End, Pair};
use crate::attempt::Handshake;
use crate::attempt::tracked::{Keep, Tracked};
use crate::packet::SeqNumber;
use crate::recording::Timestamp;

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
    /// Nothing is in it any more, or nothing ever was.
    pub(super) vacant: bool,
    /// When its last packet came, in the time of the capture.
    pub(super) heard: i64,
    pub(super) tracked: Tracked,
    /// Number in order of first SYN.
    pub(super) id: u64,
}

const _: () = assert!(offset_of!(Slot, tracked) + Tracked::HOT <= 192 && size_of::<Slot>() <= 256);

impl Slot {
    /// A place that nothing was ever in.
    fn vacant() -> Self {
        let nobody = (Ipv4Addr::UNSPECIFIED, 0);
        let (pair, client) = Pair::of(nobody, nobody);
        let tracked = Tracked::new(SeqNumber(0), Timestamp::from_nanos(0), Keep::Result);
        let (newest, wait, vacant) = (false, Wait::ForSyn, true);
        Self { pair, older: NONE, newest, client, wait, vacant, heard: 0, tracked, id: 0 }
    }

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
    pieces: Vec<Box<[Slot; PIECE]>>,
    /// Places that were used before.
    free: Vec<u32>,
    /// Places that were used at any time: the first ones.
    touched: usize,
    pub(super) used: usize,
}

impl Slots {
    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&Slot> {
        self.room(place).filter(|slot| !slot.vacant)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Slot> {
        let piece = self.pieces.get_mut(place as usize / PIECE)?;
        Some(&mut piece[place as usize % PIECE]).filter(|slot| !slot.vacant)
    }

    /// A place, whatever is in it.
    #[inline]
    fn room(&self, place: u32) -> Option<&Slot> {
        let piece = self.pieces.get(place as usize / PIECE)?;
        Some(&piece[place as usize % PIECE])
    }

    /// A place for one more.
    pub(super) fn vacancy(&mut self) -> u32 {
        self.used += 1;
        self.free.pop().unwrap_or_else(|| {
            if self.touched == self.pieces.len() * PIECE {
                let piece: Vec<_> = iter::repeat_with(Slot::vacant).take(PIECE).collect();
                self.pieces.extend(piece.try_into().ok());
            }
            self.touched += 1;
            (self.touched - 1) as u32
        })
    }

    /// A place that was given out, whatever is in it.
    pub(super) fn at_mut(&mut self, place: u32) -> &mut Slot {
        &mut self.pieces[place as usize / PIECE][place as usize % PIECE]
    }

    /// Has the processor fetch a slot that will be looked at soon. Where there is none any other is fetched instead: a branch
    /// could only be guessed at.
    #[inline]
    pub(super) fn fetch(&self, place: u32) {
        let place = if place == NONE { 0 } else { place };
        if let Some(Slot { older, tracked, id, .. }) = self.room(place) {
            fetch(older);
            fetch(&tracked.handshake);
            fetch(&tracked.first_syn);
            fetch(id);
        }
    }

    /// Whether an attempt is the newest between these endpoints.
    #[inline]
    pub(super) fn is_newest_of(&self, place: u32, pair: &Pair) -> bool {
        self.get(place).is_some_and(|slot| slot.newest && slot.pair == *pair)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Slot> {
        self.pieces.iter().flat_map(|piece| &**piece).filter(|slot| !slot.vacant)
    }

    /// The places of all attempts that have a SYN, in order of the first.
    pub(super) fn with_syn(&self) -> impl Iterator<Item = u32> + use<> {
        let mut all: Vec<(u64, u32)> = Vec::with_capacity(self.used);
        let slots = self.pieces.iter().flat_map(|piece| &**piece).zip(0..);
        let waiting = slots.filter(|(slot, _)| !slot.vacant && slot.wait != Wait::ForSyn);
        all.extend(waiting.map(|(slot, place)| (slot.id, place)));
        all.sort_unstable();
        all.into_iter().map(|(_, place)| place)
    }

    pub(super) fn remove(&mut self, place: u32) {
        let Some(slot) = self.get_mut(place) else { return };
        slot.vacant = true;
        slot.tracked.let_go();
        self.free.push(place);
        self.used -= 1;
    }
}

#[inline]
fn fetch<T>(field: &T) {
    prefetch_index(slice::from_ref(field), 0);
}
