//! What the rules look at of a segment.

use std::ops::Deref;

use crate::packet::{Glance, HopLimit, Ip, Packet, SeqNumber, Tcp, TcpFlags, TcpOptions};

/// Bytes that the options of a segment have at most.
pub(super) const MOST_OPTIONS: usize = 40;

/// A TCP segment: what its headers say, and what is behind the fixed part of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seg<'a> {
    head: &'a Head,
    /// Options and data as captured, perhaps less.
    rest: &'a [u8],
}

/// What the headers say: a segment's variables (SEG.SEQ, SEG.ACK and so on, RFC 9293 section 3.3.1), its control bits
/// and the like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// IPv4 identification.
    pub(super) identification: Option<u32>,
    pub(super) seq: SeqNumber,
    pub(super) ack: SeqNumber,
    /// Bytes of data on the wire.
    pub(super) len: u32,
    pub(super) flags: TcpFlags,
    pub(super) hop_limit: HopLimit,
    /// The IP header claims more data than the frame had.
    pub(super) overclaims: bool,
    /// Bytes of options as captured.
    options_len: u8,
}

impl<'a> Seg<'a> {
    #[inline]
    pub(super) fn new(head: &'a Head, rest: &'a [u8]) -> Self {
        Self { head, rest }
    }

    /// Options and data as captured, perhaps less.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Data as captured, perhaps less.
    #[inline]
    pub(super) fn data(&self) -> &'a [u8] {
        self.rest.get(usize::from(self.options_len)..).unwrap_or_default()
    }

    /// TSval.
    #[inline]
    pub(super) fn timestamp(&self) -> Option<u32> {
        let options = self.rest.get(..usize::from(self.options_len)).unwrap_or(self.rest);
        TcpOptions(options).timestamps().map(|(value, _)| value)
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
    /// Whether it begins or ends something.
    #[inline]
    pub(super) fn is_turn(&self) -> bool {
        self.flags.0 & (TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST).0 != 0
    }

    pub(super) fn of(packet: &Packet<'_>, tcp: &Tcp<'_>) -> Self {
        let Tcp { flags, seq, ack, payload_len, overclaims, options, .. } = *tcp;
        let Ip { hop_limit, identification, .. } = packet.ip;
        let options_len = options.0.len() as u8;
        Self { identification, seq, ack, len: payload_len, flags, hop_limit, overclaims, options_len }
    }
}

impl<A> From<&Glance<'_, A>> for Head {
    #[inline(always)]
    fn from(glance: &Glance<'_, A>) -> Self {
        let Glance {
            hop_limit, identification, flags, seq, ack, options_len, payload_len, overclaims, ..
        } = *glance;
        Self { identification, seq, ack, len: payload_len, flags, hop_limit, overclaims, options_len }
    }
}
