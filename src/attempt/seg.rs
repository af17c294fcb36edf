//! What the rules look at of a segment.

use std::ops::Deref;

use crate::packet::{Glance, HopLimit, Ip, Packet, SeqNumber, Tcp, TcpFlags, TcpOptions};

/// A TCP segment: what its headers say, and its data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seg<'a> {
    head: &'a Head,
    /// Data as captured, perhaps less.
    pub(super) data: &'a [u8],
}

/// What the headers say: a segment's variables (SEG.SEQ, SEG.ACK and so on, RFC 9293 section 3.3.1), its control bits
/// and the like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// IPv4 identification.
    pub(super) identification: Option<u32>,
    /// TSval, of SYNs and SYN/ACKs only: what tells one from its repetitions.
    pub(super) timestamp: Option<u32>,
    pub(super) seq: SeqNumber,
    pub(super) ack: SeqNumber,
    /// Bytes of data on the wire.
    pub(super) len: u32,
    pub(super) flags: TcpFlags,
    pub(super) hop_limit: HopLimit,
    /// The IP header claims more data than the frame had.
    pub(super) overclaims: bool,
}

impl<'a> Seg<'a> {
    #[inline]
    pub(super) fn new(head: &'a Head, data: &'a [u8]) -> Self {
        Self { head, data }
    }
}

impl Deref for Seg<'_> {
    type Target = Head;

    #[inline]
    fn deref(&self) -> &Head {
        self.head
    }
}

impl Head {
    pub(super) fn of(packet: &Packet<'_>, tcp: &Tcp<'_>) -> Self {
        let Tcp { flags, seq, ack, payload_len, overclaims, options, .. } = *tcp;
        let Ip { hop_limit, identification, .. } = packet.ip;
        let timestamp = timestamp(flags, options);
        Self { identification, timestamp, seq, ack, len: payload_len, flags, hop_limit, overclaims }
    }
}

impl<A> From<Glance<'_, A>> for Head {
    #[inline(always)]
    fn from(glance: Glance<'_, A>) -> Self {
        let Glance { hop_limit, identification, flags, seq, ack, options, payload_len, overclaims, .. } =
            glance;
        let timestamp = timestamp(flags, options);
        Self { identification, timestamp, seq, ack, len: payload_len, flags, hop_limit, overclaims }
    }
}

#[inline]
fn timestamp(flags: TcpFlags, options: TcpOptions<'_>) -> Option<u32> {
    flags.has(TcpFlags::SYN).then(|| options.timestamps()).flatten().map(|(value, _)| value)
}
