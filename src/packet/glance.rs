//! The quick look at a frame that nearly every frame of a large capture is content with.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::tcp::header_len;
use super::{HopLimit, LinkType, SeqNumber, TcpFlags};

/// What a glance sees, by version of IP: whoever has found out once which it is need not ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glanced<'a> {
    /// A segment in IPv4.
    V4(Glance<'a, Ipv4Addr>),
    /// A segment in IPv6.
    V6(Glance<'a, Ipv6Addr>),
}

/// What tells what becomes of a connection, of one TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a, A> {
    /// Source address.
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// TTL or hop limit as received.
    pub hop_limit: HopLimit,
    /// IPv4 identification.
    pub identification: Option<u32>,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub seq: SeqNumber,
    /// Acknowledgment number, as on the wire even without the ACK bit.
    pub ack: SeqNumber,
    /// Control bits.
    pub flags: TcpFlags,
    /// Options and data as captured.
    pub rest: &'a [u8],
    /// Bytes of options, of the former.
    pub options_len: u8,
    /// Bytes of data on the wire: as many as the IP header claims, if the frame had them.
    pub payload_len: u32,
    /// The IP header claims more data than the frame had on the wire.
    pub overclaims: bool,
}

const ETHERNET_LEN: usize = 14;
const V4_LEN: usize = 20;
const V6_LEN: usize = 40;
const TCP_LEN: usize = 20;
const TCP: u8 = 6;

/// Looks at a frame that holds whole headers of IP and TCP, without IP options and extension headers, directly in
/// Ethernet or in nothing. `None` for every other: [`decode_captured`](super::decode_captured) knows what that is, and
/// reads from these frames the same. The frame had `original_len` bytes on the wire.
#[inline(always)]
pub fn glance(link: LinkType, frame: &[u8], original_len: u32) -> Option<Glanced<'_>> {
    let missing = original_len.saturating_sub(frame.len() as u32);
    let (is_v4, ip) = match link {
        LinkType::ETHERNET => {
            let ([.., t0, t1], ip) = frame.split_first_chunk::<ETHERNET_LEN>()?;
            match u16::from_be_bytes([*t0, *t1]) {
                0x0800 => (true, ip),
                0x86dd => (false, ip),
                _ => return None,
            }
        }
        LinkType::RAW => (frame.first()? >> 4 == 4, frame),
        _ => return None,
    };
    if is_v4 { v4(ip, missing).map(Glanced::V4) } else { v6(ip, missing).map(Glanced::V6) }
}

#[inline(always)]
fn v4(ip: &[u8], missing: u32) -> Option<Glance<'_, Ipv4Addr>> {
    // Both headers at once: one look at how much there is.
    let (headers, rest) = ip.split_first_chunk::<{ V4_LEN + TCP_LEN }>()?;
    let (header, fixed) = headers.split_at(V4_LEN);
    let [first, _, l0, l1, i0, i1, f0, f1, ttl, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
        *header.first_chunk::<V4_LEN>()?;
    let fragment = u16::from_be_bytes([f0, f1]) & 0x3fff;
    if (first, fragment, protocol) != (0x45, 0, TCP) {
        return None;
    }
    let claimed = usize::from(u16::from_be_bytes([l0, l1])).checked_sub(V4_LEN + TCP_LEN)?;
    let (source, destination) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3));
    let identification = Some(u16::from_be_bytes([i0, i1]).into());
    tcp(source, destination, HopLimit(ttl), identification, fixed.first_chunk()?, rest, (claimed, missing))
}

#[inline(always)]
fn v6(ip: &[u8], missing: u32) -> Option<Glance<'_, Ipv6Addr>> {
    let (headers, rest) = ip.split_first_chunk::<{ V6_LEN + TCP_LEN }>()?;
    let (header, fixed) = headers.split_at(V6_LEN);
    let [first, _, _, _, l0, l1, TCP, hop_limit, addresses @ ..] = header.first_chunk::<V6_LEN>()? else {
        return None;
    };
    if first >> 4 != 6 {
        return None;
    }
    // Without a length it is a jumbogram, or was captured before segmentation offload.
    let claimed = usize::from(u16::from_be_bytes([*l0, *l1])).checked_sub(TCP_LEN)?;
    let (source, destination) = addresses.split_first_chunk::<16>()?;
    let (source, destination) = (Ipv6Addr::from(*source), Ipv6Addr::from(*destination.first_chunk::<16>()?));
    tcp(source, destination, HopLimit(*hop_limit), None, fixed.first_chunk()?, rest, (claimed, missing))
}

/// Reads the `fixed` part of a header, and what follows it in the frame: `claimed` bytes according to the IP header, of which
/// some may be `missing`.
#[inline(always)]
fn tcp<'a, A>(
    source: A,
    destination: A,
    hop_limit: HopLimit,
    identification: Option<u32>,
    fixed: &[u8; TCP_LEN],
    rest: &'a [u8],
    (claimed, missing): (usize, u32),
) -> Option<Glance<'a, A>> {
    let rest = rest.get(..claimed).unwrap_or(rest);
    let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, ..] = *fixed;
    let options_len = header_len(offset)? - TCP_LEN;
    let captured = rest.len().checked_sub(options_len)?;
    let claimed = (claimed - options_len) as u32;
    let there = (captured as u32).saturating_add(missing);
    Some(Glance {
        source,
        destination,
        hop_limit,
        identification,
        source_port: u16::from_be_bytes([s0, s1]),
        destination_port: u16::from_be_bytes([d0, d1]),
        seq: SeqNumber(u32::from_be_bytes([q0, q1, q2, q3])),
        ack: SeqNumber(u32::from_be_bytes([a0, a1, a2, a3])),
        flags: TcpFlags(flags),
        rest,
        options_len: options_len as u8,
        payload_len: claimed.min(there),
        overclaims: claimed > there,
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::packet::samples::{SYN_ACK_V6, SYN_V4};
    use crate::packet::{Transport, decode_captured};

    const MACS: [u8; 12] = [2; 12];

    /// The same segment, its addresses of whichever version.
    fn with_addresses<A: From<B>, B>(segment: Glance<'_, B>) -> Glance<'_, A> {
        let Glance { source, destination, hop_limit, identification, source_port, destination_port, .. } =
            segment;
        let Glance { seq, ack, flags, rest, options_len, payload_len, overclaims, .. } = segment;
        let (source, destination) = (source.into(), destination.into());
        Glance {
            source,
            destination,
            hop_limit,
            identification,
            source_port,
            destination_port,
            seq,
            ack,
            flags,
            rest,
            options_len,
            payload_len,
            overclaims,
        }
    }

    /// Whatever a glance sees, [`decode_captured`] sees too; true if it saw anything.
    fn agrees(link: LinkType, frame: &[u8]) -> bool {
        let lens = [0, 2, 4, 9].map(|more| (frame.len() as u32 + more).saturating_sub(2));
        lens.map(|original_len| agrees_of(link, frame, original_len)).contains(&true)
    }

    fn agrees_of(link: LinkType, frame: &[u8], original_len: u32) -> bool {
        let Some(glance) = glance(link, frame, original_len) else { return false };
        let packet = decode_captured(link, frame, original_len)
            .unwrap_or_else(|e| panic!("decode says {e} of {frame:02x?}"));
        let Transport::Tcp(tcp) = packet.transport else { panic!("not TCP: {packet:?}") };
        let glance = match glance {
            Glanced::V4(segment) => with_addresses::<IpAddr, _>(segment),
            Glanced::V6(segment) => with_addresses(segment),
        };
        let decoded = Glance {
            source: packet.ip.source,
            destination: packet.ip.destination,
            hop_limit: packet.ip.hop_limit,
            identification: packet.ip.identification,
            source_port: tcp.source_port,
            destination_port: tcp.destination_port,
            seq: tcp.seq,
            ack: tcp.ack,
            flags: tcp.flags,
            rest: tcp.rest(),
            options_len: tcp.options.0.len() as u8,
            payload_len: tcp.payload_len,
            overclaims: tcp.overclaims,
        };
        assert_eq!(glance, decoded, "{frame:02x?}");
        true
    }

    #[test]
    fn it_sees_what_decoding_sees_however_a_frame_is_changed() {
        let data = [&SYN_V4[..3], &[60 + 7], &SYN_V4[4..], b"SSH-2.0"].concat();
        for (ether_type, packet) in [([8, 0], &SYN_V4[..]), ([0x86, 0xdd], &SYN_ACK_V6), ([8, 0], &data)] {
            let frame = [&MACS[..], &ether_type, packet, &[0; 6]].concat();
            assert!(agrees(LinkType::ETHERNET, &frame));
            assert!(agrees(LinkType::RAW, packet));
            let mut seen = 0;
            for at in 0..frame.len() {
                agrees(LinkType::ETHERNET, &frame[..at]);
                for byte in 0..=255 {
                    let mut changed = frame.clone();
                    changed[at] = byte;
                    seen += u32::from(agrees(LinkType::ETHERNET, &changed));
                    agrees(LinkType::RAW, &changed[14..]);
                }
            }
            assert!(seen > 10_000, "only {seen} of the changed frames were seen");
        }
    }

    #[test]
    fn it_leaves_what_is_unusual() {
        assert_eq!(glance(LinkType::LINUX_SLL, &SYN_V4, u32::MAX), None);
        for (at, byte) in [(0, 0x46), (6, 0x20), (7, 1), (9, 17), (32, 0xf0)] {
            let mut packet = SYN_V4;
            packet[at] = byte;
            assert_eq!(glance(LinkType::RAW, &packet, u32::MAX), None, "byte {at}");
        }
    }
}
