//! Packets in the logs of firewalls, and after what the capturing system adds of its own.

use super::{Layer, LinkType, of_family, skip, take};
use crate::packet::Undecoded;

/// Families of netfilter (linux/netfilter.h) that are none of addresses.
const INET: u8 = 1;
const NETDEV: u8 = 5;
const BRIDGE: u8 = 7;

/// Linux's netfilter log: family, version, resource, then attributes (length, type, value) padded to 4 bytes. One of
/// them is the packet.
///
/// The attributes are in the byte order of the machine that wrote the file, which a frame does not tell: that order
/// is right in which they lead to a packet.
pub(super) fn nflog(frame: &[u8]) -> Result<Layer<'_>, Undecoded> {
    let ([family, version, _, _], attributes) = take::<4>(frame)?;
    if *version != 0 {
        return Err(Undecoded::Malformed);
    }
    let packet = nflog_payload(attributes, u16::from_le_bytes)
        .or_else(|| nflog_payload(attributes, u16::from_be_bytes))
        .ok_or(Undecoded::Truncated)?;
    match (*family, packet.first().map(|first| first >> 4)) {
        // Of rules for both versions of IP, for a device and for a bridge: what these see of IP begins with its header.
        (INET | NETDEV | BRIDGE, Some(4 | 6)) => Ok(Layer::Link(LinkType::RAW, packet)),
        _ => of_family((*family).into(), packet),
    }
}

/// The attribute that holds the packet. A capture may cut it.
fn nflog_payload(mut rest: &[u8], number: fn([u8; 2]) -> u16) -> Option<&[u8]> {
    const PAYLOAD: u16 = 9;
    const HEADER: usize = 4;
    // Ends: each round takes off four bytes at least.
    loop {
        let ([l0, l1, t0, t1], _) = rest.split_first_chunk()?;
        let len = usize::from(number([*l0, *l1]));
        if len < HEADER {
            return None;
        }
        if number([*t0, *t1]) == PAYLOAD {
            return rest.get(HEADER..len.min(rest.len()));
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
}

/// The log of pf: its length without padding, address family, and more that does not matter here.
pub(super) fn pflog(frame: &[u8]) -> Result<Layer<'_>, Undecoded> {
    let ([len, family], _) = take::<2>(frame)?;
    of_family((*family).into(), skip(frame, usize::from(*len).next_multiple_of(4))?)
}

/// OpenBSD's enc(4): address family in the machine's byte order, SPI, flags.
pub(super) fn enc(frame: &[u8]) -> Result<Layer<'_>, Undecoded> {
    let (header, rest) = take::<12>(frame)?;
    let [f0, f1, f2, f3, ..] = *header;
    let family = u32::from_be_bytes([f0, f1, f2, f3]);
    of_family(if family > 0xffff { family.swap_bytes() } else { family }, rest)
}

/// Per-packet information: version, flags, length, link type; little-endian.
pub(super) fn ppi(frame: &[u8]) -> Result<Layer<'_>, Undecoded> {
    let ([_, _, l0, l1, t0, t1, t2, t3], _) = take::<8>(frame)?;
    let rest = skip(frame, usize::from(u16::from_le_bytes([*l0, *l1])).max(8))?;
    wrapped(u32::from_le_bytes([*t0, *t1, *t2, *t3]), rest)
}

/// Apple's PKTAP: length, record type, link type; little-endian, as all machines that write it.
pub(super) fn pktap(frame: &[u8]) -> Result<Layer<'_>, Undecoded> {
    let ([l0, l1, l2, l3, _, _, _, _, t0, t1, t2, t3], _) = take::<12>(frame)?;
    let rest = skip(frame, (u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize).max(12))?;
    wrapped(u32::from_le_bytes([*t0, *t1, *t2, *t3]), rest)
}

fn wrapped(link: u32, rest: &[u8]) -> Result<Layer<'_>, Undecoded> {
    Ok(Layer::Link(LinkType(u16::try_from(link).map_err(|_| Undecoded::Malformed)?), rest))
}

#[cfg(test)]
mod tests {
    use crate::packet::samples::SYN_V4;
    use crate::packet::{LinkType, Undecoded, decode};

    fn why(link: LinkType, header: &[u8], packet: &[u8]) -> Option<Undecoded> {
        decode(link, &[header, packet].concat()).err()
    }

    #[test]
    fn a_netfilter_log_without_a_packet_says_so() {
        let payload = [64, 0, 9, 0];
        assert_eq!(why(LinkType::NFLOG, &[&[2, 0, 0, 5][..], &payload].concat(), &SYN_V4), None);
        assert_eq!(why(LinkType::NFLOG, &[2, 0, 0, 5, 0, 64, 0, 9], &SYN_V4), None, "the other byte order");
        assert_eq!(
            why(LinkType::NFLOG, &[&[7, 0, 0, 5][..], &payload].concat(), &SYN_V4),
            None,
            "a bridge's"
        );
        assert_eq!(
            why(LinkType::NFLOG, &[7, 0, 0, 5, 8, 0, 9, 0, 0, 1, 8, 0], &[]),
            Some(Undecoded::AddressFamily(7)),
            "ARP"
        );
        assert_eq!(why(LinkType::NFLOG, &[2, 1, 0, 5], &[]), Some(Undecoded::Malformed));
        for attributes in
            [&[8, 0, 1, 0, 0, 0, 0, 0][..], &[0, 0, 1, 0], &[3, 0, 9, 0], &[255, 255, 1, 0], &[]]
        {
            assert_eq!(why(LinkType::NFLOG, &[2, 0, 0, 5], attributes), Some(Undecoded::Truncated));
        }
    }

    #[test]
    fn a_link_type_within_is_read_as_such() {
        assert_eq!(why(LinkType::PPI, &[0, 0, 8, 0, 101, 0, 0, 0], &SYN_V4), None);
        assert_eq!(why(LinkType::PPI, &[0, 0, 8, 0, 147, 0, 0, 0], &SYN_V4), Some(Undecoded::LinkType(147)));
        assert_eq!(why(LinkType::PPI, &[0, 0, 8, 0, 0, 0, 1, 0], &SYN_V4), Some(Undecoded::Malformed));
        // A header that says it has no length still takes its own.
        let matryoshka = [0, 0, 0, 0, 192, 0, 0, 0].repeat(100);
        assert_eq!(why(LinkType::PPI, &matryoshka, &SYN_V4), Some(Undecoded::Nested));
        assert_eq!(why(LinkType::PKTAP, &[0, 0, 0, 0, 1, 0, 0, 0, 101, 0, 0, 0], &SYN_V4), None);
    }
}
