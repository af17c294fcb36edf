//! Records to what a [`Census`](super::Census) needs of them. It takes a third of the time that a capture takes, and none of
//! the census's state: it may be done ahead, on another processor.

use std::hash::BuildHasher;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::Ports;
use super::clock::Span;
use super::pair::{Address, End, Pair};
use crate::attempt::seg::{Head, MOST_OPTIONS};
use crate::attempt::stream::READ;
use crate::packet::{
    Glance, Glanced, Icmp, LinkType, Packet, Tcp, Transport, Undecoded, decode_captured, glance,
};
use crate::recording::{Body, Frame, Record, Timestamp};

/// The first bytes of a segment's options and data that are kept where they are copied: a server's first line is looked for no
/// farther.
const KEPT: usize = MOST_OPTIONS + READ as usize;

/// Bytes that are kept of a frame at most. Of none are more needed: not of a segment, of which [`KEPT`] are looked at, nor of an
/// ICMP error, which routers keep far below this (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4).
const MOST: usize = u16::MAX as usize;

/// Whether a segment between two addresses, its source first, may matter; where there is nothing to ask, any may.
pub type Concerns<'a> = Option<&'a dyn Fn(IpAddr, IpAddr) -> bool>;

/// Sorts out what cannot matter, before any table is touched.
#[derive(Clone, Debug)]
pub struct Sieve {
    pub(super) ports: Arc<Ports>,
    /// foldhash keeps an attacker who does not see hashes from finding endpoints that share one: its seed is drawn in
    /// each run. Whoever writes a capture sees none, nor how long this run takes.
    hasher: RandomState,
}

/// What some records in a row come to.
#[derive(Debug)]
pub struct Batch {
    items: Items,
    /// Frames as they were read.
    block: Vec<u8>,
    /// Options and data of segments, and frames with ICMP errors, that do not lie there.
    copied: Vec<u8>,
    records: u64,
    /// In nanoseconds since the epoch.
    earliest: i64,
}

#[derive(Debug)]
pub(super) enum Item {
    Segment(Sifted),
    /// A frame that holds an ICMP error: too rare to be read ahead.
    Error {
        at: Timestamp,
        link: LinkType,
        frame: Place,
    },
    /// Time passes.
    Pass(Span),
}

/// Items, in room that is made before the next is put together: what is at hand of it then stays in registers.
#[derive(Debug, Default)]
struct Items {
    /// The items, and others that were there before.
    room: Vec<Item>,
    used: usize,
}

impl Items {
    #[inline(always)]
    fn make_room(&mut self) {
        if self.used == self.room.len() {
            self.make_more_room();
        }
    }

    #[cold]
    #[inline(never)]
    fn make_more_room(&mut self) {
        const FEW: usize = 64;
        let nothing = || Item::Pass(Span::of(Timestamp::from_nanos(0)));
        self.room.resize_with(2 * self.room.len() + FEW, nothing);
    }

    /// Adds an item, for which room was made.
    #[inline(always)]
    fn add(&mut self, item: Item) {
        self.room[self.used] = item;
        self.used += 1;
    }

    fn last(&mut self) -> Option<&mut Item> {
        self.used.checked_sub(1).and_then(|last| self.room.get_mut(last))
    }
}

/// A segment, when it was captured and between whom it went. What is behind its fixed header lies in the batch.
#[derive(Debug)]
pub(super) struct Sifted {
    pub(super) at: Timestamp,
    pub(super) flow: Flow,
    pub(super) head: Head,
    rest: Place,
}

/// Between whom a segment went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) pair: Pair,
    /// Who sent it.
    pub(super) from: End,
    pub(super) hash: u32,
}

/// A part of a batch's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    start: u32,
    len: u16,
    /// Where: in the block or elsewhere.
    copied: bool,
}

impl Sieve {
    pub(super) fn new(ports: Ports) -> Self {
        Self { ports: Arc::new(ports), hasher: RandomState::default() }
    }

    /// Adds a record to `batch`, unless it is a segment between addresses that nothing `concerns`; an error where it is a
    /// frame that cannot be read. What is needed of the frame is copied.
    pub fn take(
        &self,
        record: &Record<'_>,
        concerns: Concerns<'_>,
        batch: &mut Batch,
    ) -> Result<(), Undecoded> {
        match record.body {
            Body::Frame(frame) => self.take_frame(record.at, frame, None, concerns, batch),
            Body::Event(_) => {
                batch.count(record.at);
                batch.pass(record.at);
                Ok(())
            }
        }
    }

    /// As [`Sieve::take`], of a frame that will lie in the batch's block from byte `place` on: nothing is copied.
    #[inline(always)]
    pub fn take_in_block(
        &self,
        at: Timestamp,
        frame: Frame<'_>,
        place: usize,
        concerns: Concerns<'_>,
        batch: &mut Batch,
    ) -> Result<(), Undecoded> {
        self.take_frame(at, frame, Some(place), concerns, batch)
    }

    #[inline(always)]
    fn take_frame(
        &self,
        at: Timestamp,
        Frame { link, bytes, original_len, .. }: Frame<'_>,
        place: Option<usize>,
        concerns: Concerns<'_>,
        batch: &mut Batch,
    ) -> Result<(), Undecoded> {
        batch.count(at);
        // Made where it is used: it would lie in memory for each frame, for the sake of those that are read slowly.
        let source = || Source { at, bytes, original_len, place };
        match glance(link, bytes, original_len) {
            Some(Glanced::V4(glance)) => self.take_glance(source(), glance, concerns, batch),
            Some(Glanced::V6(glance)) => self.take_glance(source(), glance, concerns, batch),
            None => return self.take_slowly(link, source(), concerns, batch),
        }
        Ok(())
    }

    #[inline(always)]
    fn take_glance<A: Address + Into<IpAddr>>(
        &self,
        source: Source<'_>,
        glance: Glance<'_, A>,
        concerns: Concerns<'_>,
        batch: &mut Batch,
    ) {
        if self.wants(glance.source_port, glance.destination_port)
            && concerns.is_none_or(|concerns| concerns(glance.source.into(), glance.destination.into()))
        {
            let ends =
                Pair::of((glance.source, glance.source_port), (glance.destination, glance.destination_port));
            batch.segment(source, self.flow(ends), (&glance).into(), glance.rest);
        } else {
            batch.pass(source.at);
        }
    }

    /// Reads any frame. What it takes it takes by value: nothing need lie in memory for its sake.
    #[cold]
    #[inline(never)]
    fn take_slowly(
        &self,
        link: LinkType,
        source: Source<'_>,
        concerns: Concerns<'_>,
        batch: &mut Batch,
    ) -> Result<(), Undecoded> {
        let at = source.at;
        let packet = decode_captured(link, source.bytes, source.original_len);
        let packet = packet.inspect_err(|_| batch.pass(at))?;
        match &packet.transport {
            Transport::Tcp(tcp)
                if self.wants(tcp.source_port, tcp.destination_port)
                    && concerns.is_none_or(|concerns| concerns(packet.ip.source, packet.ip.destination)) =>
            {
                match self.flow_of(&packet, tcp) {
                    Some(flow) => batch.segment(source, flow, Head::of(&packet, tcp), tcp.rest()),
                    None => batch.pass(at),
                }
            }
            Transport::Icmp(Icmp::Error(_)) => {
                let frame = batch.keep(source, source.bytes, MOST);
                batch.items.add(Item::Error { at, link, frame });
            }
            _ => batch.pass(at),
        }
        Ok(())
    }

    #[inline]
    pub(super) fn wants(&self, source: u16, destination: u16) -> bool {
        self.ports.has(destination) || self.ports.has(source)
    }

    /// Where a segment goes, if its addresses are of one version.
    pub(super) fn flow_of(&self, packet: &Packet<'_>, tcp: &Tcp<'_>) -> Option<Flow> {
        self.flow_between((packet.ip.source, tcp.source_port), (packet.ip.destination, tcp.destination_port))
    }

    pub(super) fn flow_between(&self, source: (IpAddr, u16), destination: (IpAddr, u16)) -> Option<Flow> {
        Pair::of_any(source, destination).map(|ends| self.flow(ends))
    }

    #[inline]
    fn flow(&self, (pair, from): (Pair, End)) -> Flow {
        Flow { pair, from, hash: self.hash(&pair) }
    }

    #[inline]
    pub(super) fn hash(&self, pair: &Pair) -> u32 {
        self.hasher.hash_one(pair) as u32
    }
}

/// A frame, when it was captured, and where it will lie in the batch's block.
#[derive(Clone, Copy)]
struct Source<'a> {
    at: Timestamp,
    bytes: &'a [u8],
    original_len: u32,
    place: Option<usize>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            items: Items::default(),
            block: Vec::new(),
            copied: Vec::new(),
            records: 0,
            earliest: i64::MAX,
        }
    }
}

impl Batch {
    /// Where [`Reader::each_in_block`](crate::recording::Reader::each_in_block) leaves the frames of this batch.
    pub fn take_block(&mut self) -> Vec<u8> {
        mem::take(&mut self.block)
    }

    /// Says that its frames lie in `block`.
    pub fn put_block(&mut self, block: Vec<u8>) {
        self.block = block;
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.items().is_empty()
    }

    /// How much it holds, in bytes.
    pub fn size(&self) -> usize {
        self.items.used * size_of::<Item>() + self.copied.len()
    }

    /// How many records it was made of.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The earliest of their times.
    pub fn earliest(&self) -> Option<Timestamp> {
        (self.records > 0).then(|| Timestamp::from_nanos(self.earliest))
    }

    /// Makes it empty; its room is kept.
    pub fn clear(&mut self) {
        (self.records, self.earliest) = (0, i64::MAX);
        self.items.used = 0;
        self.copied.clear();
    }

    pub(super) fn items(&self) -> &[Item] {
        self.items.room.get(..self.items.used).unwrap_or_default()
    }

    /// Counts a record, which makes no more than one item.
    #[inline(always)]
    fn count(&mut self, at: Timestamp) {
        self.items.make_room();
        self.records += 1;
        self.earliest = self.earliest.min(at.nanos());
    }

    #[inline(always)]
    fn segment(&mut self, source: Source<'_>, flow: Flow, head: Head, rest: &[u8]) {
        let rest = self.keep(source, rest, KEPT);
        self.items.add(Item::Segment(Sifted { at: source.at, flow, head, rest }));
    }

    /// Says that it is `at` now.
    fn pass(&mut self, at: Timestamp) {
        if let Some(Item::Pass(span)) = self.items.last()
            && span.extend(at)
        {
            return;
        }
        self.items.add(Item::Pass(Span::of(at)));
    }

    /// Keeps a part of a frame: by its place if the frame will be kept, else its first bytes, `most` of them.
    #[inline(always)]
    fn keep(&mut self, source: Source<'_>, part: &[u8], most: usize) -> Place {
        if let Some(place) = source.place {
            let before = part.as_ptr().addr().wrapping_sub(source.bytes.as_ptr().addr());
            let start = place.wrapping_add(before) as u32;
            return Place { start, len: part.len().min(MOST) as u16, copied: false };
        }
        let part = part.get(..most).unwrap_or(part);
        let start = self.copied.len() as u32;
        self.copied.extend_from_slice(part);
        Place { start, len: part.len() as u16, copied: true }
    }

    #[inline]
    pub(super) fn bytes(&self, place: Place) -> &[u8] {
        let all = if place.copied { &self.copied } else { &self.block };
        let start = place.start as usize;
        all.get(start..start + usize::from(place.len)).unwrap_or_default()
    }

    #[inline]
    pub(super) fn rest(&self, sifted: &Sifted) -> &[u8] {
        self.bytes(sifted.rest)
    }
}
