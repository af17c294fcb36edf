//! What the rules look at of a segment.

use crate::packet::{Glance, HopLimit, Ip, Packet, SeqNumber, Tcp, TcpFlags, TcpOptions};

/// A TCP segment: its variables (SEG.SEQ, SEG.ACK and so on, RFC 9293 section 3.3.1), its control bits and its data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seg<'a> {
    pub(super) hop_limit: HopLimit,
    /// IPv4 identification.
    pub(super) identification: Option<u32>,
    /// TSval, of SYNs and SYN/ACKs only: what tells one from its repetitions.
    pub(super) timestamp: Option<u32>,
    pub(super) flags: TcpFlags,
    pub(super) seq: SeqNumber,
    pub(super) ack: SeqNumber,
    /// Bytes of data on the wire.
    pub(super) len: u32,
    /// The IP header claims more data than the frame had.
    pub(super) overclaims: bool,
    /// Data as captured, perhaps less.
    pub(super) data: &'a [u8],
}

impl<'a> Seg<'a> {
    pub(super) fn of(packet: &Packet<'_>, tcp: &Tcp<'a>) -> Self {
        let Tcp { flags, seq, ack, payload, payload_len, overclaims, options, .. } = *tcp;
        let Ip { hop_limit, identification, .. } = packet.ip;
        let timestamp = timestamp(flags, options);
        Self {
            hop_limit,
            identification,
            timestamp,
            flags,
            seq,
            ack,
            len: payload_len,
            overclaims,
            data: payload,
        }
    }
}

impl<'a, A> From<Glance<'a, A>> for Seg<'a> {
    #[inline(always)]
    fn from(glance: Glance<'a, A>) -> Self {
        let Glance { hop_limit, identification, flags, seq, ack, options, .. } = glance;
        let Glance { payload, payload_len, overclaims, .. } = glance;
        let timestamp = timestamp(flags, options);
        Self {
            hop_limit,
            identification,
            timestamp,
            flags,
            seq,
            ack,
            len: payload_len,
            overclaims,
            data: payload,
        }
    }
}

#[inline]
fn timestamp(flags: TcpFlags, options: TcpOptions<'_>) -> Option<u32> {
    flags.has(TcpFlags::SYN).then(|| options.timestamps()).flatten().map(|(value, _)| value)
}
