//! What the rules look at of a segment.

use crate::packet::{Glance, HopLimit, Packet, SeqNumber, Tcp, TcpFlags};

/// A TCP segment: its variables (SEG.SEQ, SEG.ACK and so on, RFC 9293 section 3.3.1), its control bits and its data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seg<'a> {
    pub(super) hop_limit: HopLimit,
    pub(super) flags: TcpFlags,
    pub(super) seq: SeqNumber,
    pub(super) ack: SeqNumber,
    /// Bytes of data on the wire.
    pub(super) len: u32,
    /// Data as captured, perhaps less.
    pub(super) data: &'a [u8],
}

impl<'a> Seg<'a> {
    pub(super) fn of(packet: &Packet<'_>, tcp: &Tcp<'a>) -> Self {
        let Tcp { flags, seq, ack, payload, payload_len, .. } = *tcp;
        Self { hop_limit: packet.ip.hop_limit, flags, seq, ack, len: payload_len, data: payload }
    }
}

impl<'a> From<&Glance<'a>> for Seg<'a> {
    #[inline]
    fn from(glance: &Glance<'a>) -> Self {
        let Glance { hop_limit, flags, seq, ack, payload, payload_len, .. } = *glance;
        Self { hop_limit, flags, seq, ack, len: payload_len, data: payload }
    }
}
