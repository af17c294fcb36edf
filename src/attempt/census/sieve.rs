//! Records to what a [`Census`](super::Census) needs of them. It takes half of the time that a capture takes, and none of
//! the census's state: it may be done ahead, on another processor.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::Ports;
use super::clock::Span;
use super::pair::{End, Pair};
use crate::attempt::seg::Seg;
use crate::packet::{
    HopLimit, Icmp, LinkType, Packet, SeqNumber, Tcp, TcpFlags, Transport, Undecoded, decode_captured, glance,
};
use crate::recording::{Body, Frame, Record, Timestamp};

/// The first bytes of a segment's data that are kept: a server's first line is looked for no farther.
const KEPT: usize = crate::attempt::stream::READ as usize;

/// Sorts out what cannot matter, before any table is touched.
#[derive(Clone, Debug)]
pub struct Sieve {
    pub(super) ports: Arc<Ports>,
    /// foldhash keeps an attacker who does not see hashes from finding endpoints that share one: its seed is drawn in
    /// each run. Whoever writes a capture sees none, nor how long this run takes.
    hasher: RandomState,
}

/// What some records in a row come to.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) items: Vec<Item>,
    /// Data of segments, and frames with ICMP errors.
    bytes: Vec<u8>,
    records: u64,
    earliest: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) enum Item {
    Segment {
        at: Timestamp,
        flow: Flow,
        seg: Kept,
    },
    /// A frame that holds an ICMP error: too rare to be read ahead.
    Error {
        at: Timestamp,
        link: LinkType,
        frame: Place,
    },
    /// Time passes.
    Pass(Span),
}

/// Between whom a segment went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) pair: Pair,
    /// Who sent it.
    pub(super) from: End,
    pub(super) hash: u64,
}

/// A segment whose data lies in the batch.
#[derive(Debug)]
pub(super) struct Kept {
    hop_limit: HopLimit,
    identification: Option<u32>,
    timestamp: Option<u32>,
    flags: TcpFlags,
    seq: SeqNumber,
    ack: SeqNumber,
    len: u32,
    overclaims: bool,
    data: Place,
}

/// A part of a batch's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    start: u32,
    len: u32,
}

impl Sieve {
    pub(super) fn new(ports: Ports) -> Self {
        Self { ports: Arc::new(ports), hasher: RandomState::default() }
    }

    /// Adds a record to `batch`, unless it is a segment between addresses that nothing `concerns`; an error where it is a
    /// frame that cannot be read.
    #[inline]
    pub fn take(
        &self,
        record: &Record<'_>,
        concerns: impl Fn(IpAddr, IpAddr) -> bool,
        batch: &mut Batch,
    ) -> Result<(), Undecoded> {
        let at = record.at;
        batch.records += 1;
        batch.earliest = Some(batch.earliest.map_or(at, |earliest| earliest.min(at)));
        let Body::Frame(frame) = &record.body else {
            batch.pass(at);
            return Ok(());
        };
        let Some(glance) = glance(frame.link, frame.bytes, frame.original_len) else {
            return self.take_slowly(at, frame, concerns, batch);
        };
        if self.wants(glance.source_port, glance.destination_port)
            && concerns(glance.source, glance.destination)
        {
            let flow =
                self.flow((glance.source, glance.source_port), (glance.destination, glance.destination_port));
            batch.segment(at, flow, &Seg::from(&glance));
        } else {
            batch.pass(at);
        }
        Ok(())
    }

    /// Reads any frame.
    #[cold]
    #[inline(never)]
    fn take_slowly(
        &self,
        at: Timestamp,
        frame: &Frame<'_>,
        concerns: impl Fn(IpAddr, IpAddr) -> bool,
        batch: &mut Batch,
    ) -> Result<(), Undecoded> {
        let packet = decode_captured(frame.link, frame.bytes, frame.original_len);
        let packet = packet.inspect_err(|_| batch.pass(at))?;
        match &packet.transport {
            Transport::Tcp(tcp)
                if self.wants(tcp.source_port, tcp.destination_port)
                    && concerns(packet.ip.source, packet.ip.destination) =>
            {
                batch.segment(at, self.flow_of(&packet, tcp), &Seg::of(&packet, tcp));
            }
            Transport::Icmp(Icmp::Error(_)) => {
                let bytes = batch.keep(frame.bytes);
                batch.items.push(Item::Error { at, link: frame.link, frame: bytes });
            }
            _ => batch.pass(at),
        }
        Ok(())
    }

    #[inline]
    pub(super) fn wants(&self, source: u16, destination: u16) -> bool {
        self.ports.has(destination) || self.ports.has(source)
    }

    pub(super) fn flow_of(&self, packet: &Packet<'_>, tcp: &Tcp<'_>) -> Flow {
        self.flow((packet.ip.source, tcp.source_port), (packet.ip.destination, tcp.destination_port))
    }

    #[inline]
    pub(super) fn flow(&self, source: (IpAddr, u16), destination: (IpAddr, u16)) -> Flow {
        let (pair, from) = Pair::of(source, destination);
        Flow { pair, from, hash: self.hash(&pair) }
    }

    #[inline]
    pub(super) fn hash(&self, pair: &Pair) -> u64 {
        self.hasher.hash_one(pair)
    }
}

impl Batch {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How much it holds, in bytes.
    pub fn size(&self) -> usize {
        self.items.len() * size_of::<Item>() + self.bytes.len()
    }

    /// How many records it was made of.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The earliest of their times.
    pub fn earliest(&self) -> Option<Timestamp> {
        self.earliest
    }

    /// Makes it empty; its room is kept.
    pub fn clear(&mut self) {
        (self.records, self.earliest) = (0, None);
        self.items.clear();
        self.bytes.clear();
    }

    #[inline]
    fn segment(&mut self, at: Timestamp, flow: Flow, seg: &Seg<'_>) {
        let data = self.keep(seg.data.get(..KEPT).unwrap_or(seg.data));
        let Seg { hop_limit, identification, timestamp, flags, seq, ack, len, overclaims, .. } = *seg;
        self.items.push(Item::Segment {
            at,
            flow,
            seg: Kept { hop_limit, identification, timestamp, flags, seq, ack, len, overclaims, data },
        });
    }

    /// Says that it is `at` now.
    fn pass(&mut self, at: Timestamp) {
        if let Some(Item::Pass(span)) = self.items.last_mut()
            && span.extend(at)
        {
            return;
        }
        self.items.push(Item::Pass(Span::of(at)));
    }

    #[inline]
    fn keep(&mut self, bytes: &[u8]) -> Place {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        Place { start, len: bytes.len() as u32 }
    }

    #[inline]
    pub(super) fn bytes(&self, place: Place) -> &[u8] {
        let start = place.start as usize;
        self.bytes.get(start..start + place.len as usize).unwrap_or_default()
    }

    #[inline]
    pub(super) fn seg(&self, kept: &Kept) -> Seg<'_> {
        let Kept { hop_limit, identification, timestamp, flags, seq, ack, len, overclaims, data } = *kept;
        let data = self.bytes(data);
        Seg { hop_limit, identification, timestamp, flags, seq, ack, len, overclaims, data }
    }
}
