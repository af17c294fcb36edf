//! Link layers: finding the IP header in a captured frame.
//!
//! A link type's own header is read once, then [`network`] follows EtherTypes (tags, and whatever else wraps
//! IP) until it stands at an IP header. A new link type is an arm of [`strip`]; a new wrapping between link and
//! IP is an arm of [`network`].

use etherparse::ether_type;

use super::{Link, MacAddr, Undecoded};

/// A link-layer header type, numbered as in the pcap LINKTYPE registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: a 4-byte address family in the byte order of the capturing machine.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// Raw IP by the number that most systems use internally and some tools write to files.
    pub const RAW_BSD: Self = Self(12);
    /// The same, by OpenBSD's internal number.
    pub const RAW_OPENBSD: Self = Self(14);
    /// Raw IP, version by the first nibble.
    pub const RAW: Self = Self(101);
    /// OpenBSD loopback: a 4-byte address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture, version 1.
    pub const LINUX_SLL: Self = Self(113);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture, version 2.
    pub const LINUX_SLL2: Self = Self(276);
}

/// EtherTypes below this are lengths of an IEEE 802.3 frame (and, in cooked captures, Linux's own numbers).
const FIRST_ETHER_TYPE: u16 = 0x0600;
/// Linux's number, in cooked captures, for a frame that starts with an 802.2 LLC header.
const ETH_P_802_2: u16 = 0x0004;

/// Takes off everything before the IP header: what the link layer said, and the bytes from the IP header on.
pub(super) fn strip(link: LinkType, frame: &[u8]) -> Result<(Link, &[u8]), Undecoded> {
    match link {
        LinkType::ETHERNET => ethernet(frame),
        LinkType::LINUX_SLL => cooked(frame),
        LinkType::LINUX_SLL2 => cooked_v2(frame),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD | LinkType::IPV4 | LinkType::IPV6 => {
            Ok((Link::default(), frame))
        }
        LinkType::NULL | LinkType::LOOP => Ok((Link::default(), loopback(frame)?)),
        LinkType(other) => Err(Undecoded::LinkType(other)),
    }
}

fn ethernet(frame: &[u8]) -> Result<(Link, &[u8]), Undecoded> {
    let (header, rest) = take::<14>(frame)?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
    let link = Link {
        source: Some(MacAddr([s0, s1, s2, s3, s4, s5])),
        destination: Some(MacAddr([d0, d1, d2, d3, d4, d5])),
        cooked_type: None,
    };
    let ip = match u16::from_be_bytes([t0, t1]) {
        length if length < FIRST_ETHER_TYPE => llc(rest)?,
        ether_type => network(ether_type, rest)?,
    };
    Ok((link, ip))
}

/// LINUX_SLL: packet type, ARPHRD type, address length, address, protocol.
fn cooked(frame: &[u8]) -> Result<(Link, &[u8]), Undecoded> {
    let (header, rest) = take::<16>(frame)?;
    let [k0, k1, h0, h1, l0, l1, address @ .., p0, p1] = *header;
    let link = Link {
        source: cooked_address(u16::from_be_bytes([l0, l1]), address),
        destination: None,
        cooked_type: Some(u16::from_be_bytes([k0, k1])),
    };
    let hardware = u16::from_be_bytes([h0, h1]);
    Ok((link, cooked_network(hardware, u16::from_be_bytes([p0, p1]), rest)?))
}

/// LINUX_SLL2: protocol, 2 reserved bytes, interface index, ARPHRD type, packet type, address length, address.
fn cooked_v2(frame: &[u8]) -> Result<(Link, &[u8]), Undecoded> {
    let (header, rest) = take::<20>(frame)?;
    let [p0, p1, _, _, _, _, _, _, h0, h1, kind, length, address @ ..] = *header;
    let link = Link {
        source: cooked_address(length.into(), address),
        destination: None,
        cooked_type: Some(kind.into()),
    };
    let hardware = u16::from_be_bytes([h0, h1]);
    Ok((link, cooked_network(hardware, u16::from_be_bytes([p0, p1]), rest)?))
}

/// Tunnel devices have 4- or 16-byte addresses, loopback and Ethernet 6-byte ones.
fn cooked_address(length: u16, [m0, m1, m2, m3, m4, m5, ..]: [u8; 8]) -> Option<MacAddr> {
    (length == 6).then_some(MacAddr([m0, m1, m2, m3, m4, m5]))
}

fn cooked_network(hardware: u16, protocol: u16, rest: &[u8]) -> Result<&[u8], Undecoded> {
    match (hardware, protocol) {
        // Frame Relay, 802.11 (plain, Prism, radiotap) and netlink: what stands in the protocol field is no EtherType.
        (770 | 801..=803 | 824, _) => Err(Undecoded::CookedHardware(hardware)),
        (_, ETH_P_802_2) => llc(rest),
        (_, ether_type) => network(ether_type, rest),
    }
}

/// BSD loopback. The family's numbers differ between systems for IPv6: 10 (Linux), 23 (Windows), 24 (NetBSD,
/// OpenBSD), 28 (FreeBSD), 30 (macOS). All are small, which tells the byte order.
fn loopback(frame: &[u8]) -> Result<&[u8], Undecoded> {
    let (family, rest) = take::<4>(frame)?;
    let family = match u32::from_be_bytes(*family) {
        big if big <= 0xffff => big,
        other => other.swap_bytes(),
    };
    match family {
        2 | 10 | 23 | 24 | 28 | 30 => Ok(rest),
        other => Err(Undecoded::AddressFamily(other)),
    }
}

/// IEEE 802.2 LLC; only SNAP with an EtherType (RFC 1042) can carry IP here.
fn llc(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    match bytes {
        [0xaa, 0xaa, 0x03, 0, 0, 0, t0, t1, rest @ ..] => network(u16::from_be_bytes([*t0, *t1]), rest),
        [_, _, _, ..] => Err(Undecoded::Llc),
        _ => Err(Undecoded::Truncated),
    }
}

/// Follows EtherTypes down to an IP header.
fn network(mut ether_type: u16, mut bytes: &[u8]) -> Result<&[u8], Undecoded> {
    loop {
        match etherparse::EtherType(ether_type) {
            ether_type::IPV4 | ether_type::IPV6 => return Ok(bytes),
            // Ends: each round takes off four bytes.
            ether_type::VLAN_TAGGED_FRAME
            | ether_type::PROVIDER_BRIDGING
            | ether_type::VLAN_DOUBLE_TAGGED_FRAME => {
                let ([_, _, t0, t1], rest) = take::<4>(bytes)?;
                ether_type = u16::from_be_bytes([*t0, *t1]);
                bytes = rest;
            }
            _ => return Err(Undecoded::NotIp(ether_type)),
        }
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), Undecoded> {
    bytes.split_first_chunk().ok_or(Undecoded::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{SYN_ACK_V6, SYN_V4};
    use crate::packet::{Packet, decode};

    const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

    fn frame(link: &[&[u8]], packet: &[u8]) -> Vec<u8> {
        let mut frame = link.concat();
        frame.extend_from_slice(packet);
        frame
    }

    /// The frame's link, where what it carries is `SYN_V4` or `SYN_ACK_V6`.
    fn link_of(link: LinkType, frame: &[u8]) -> Link {
        let Packet { link, ip, .. } = decode(link, frame).unwrap();
        assert!(ip.payload_len == 40 && ip.source.is_ipv4() || ip.payload_len == 20 && ip.source.is_ipv6());
        link
    }

    #[test]
    fn ethernet_says_both_addresses() {
        for (ether_type, packet) in [([0x08, 0x00], SYN_V4), ([0x86, 0xdd], SYN_ACK_V6)] {
            let link = link_of(LinkType::ETHERNET, &frame(&[&MACS, &ether_type], &packet));
            assert_eq!(link.destination, Some(MacAddr([2, 0, 0, 0, 0, 1])));
            assert_eq!(link.source, Some(MacAddr([2, 0, 0, 0, 0, 2])));
            assert_eq!(link.cooked_type, None);
        }
    }

    #[test]
    fn tags_are_followed_however_many() {
        let tag = |kind: u16| [(kind >> 8) as u8, kind as u8, 0x20, 0x16];
        for tags in [&[0x8100][..], &[0x88a8, 0x8100], &[0x9100, 0x8100], &[0x8100; 5]] {
            let tags: Vec<u8> = tags.iter().flat_map(|&kind| tag(kind)).collect();
            link_of(LinkType::ETHERNET, &frame(&[&MACS, &tags, &[0x08, 0x00]], &SYN_V4));
        }
        let tagged_arp = frame(&[&MACS, &tag(0x8100), &[0x08, 0x06]], &[0; 28]);
        assert_eq!(decode(LinkType::ETHERNET, &tagged_arp).unwrap_err(), Undecoded::NotIp(0x0806));
        let cut = frame(&[&MACS, &tag(0x8100)], &[]);
        assert_eq!(decode(LinkType::ETHERNET, &cut).unwrap_err(), Undecoded::Truncated);
    }

    #[test]
    fn llc_carries_ip_only_by_snap() {
        let snap = [&MACS[..], &[0, 68, 0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00]];
        link_of(LinkType::ETHERNET, &frame(&snap, &SYN_V4));
        let spanning_tree = frame(&[&MACS, &[0, 38, 0x42, 0x42, 3]], &[0; 35]);
        assert_eq!(decode(LinkType::ETHERNET, &spanning_tree).unwrap_err(), Undecoded::Llc);
    }

    #[test]
    fn cooked_captures_say_the_direction_and_the_source() {
        let v1 = [0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0, 0x08, 0x00];
        let v2 = [0x08, 0x00, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6, 2, 0, 0, 0, 0, 2, 0, 0];
        for (link, header) in [(LinkType::LINUX_SLL, &v1[..]), (LinkType::LINUX_SLL2, &v2)] {
            let link = link_of(link, &frame(&[header], &SYN_V4));
            assert_eq!(link.source, Some(MacAddr([2, 0, 0, 0, 0, 2])));
            assert_eq!(link.destination, None);
            assert_eq!(link.cooked_type, Some(4));
        }
    }

    #[test]
    fn cooked_captures_of_a_tun_have_no_address() {
        let v1 = [0, 0, 0xff, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x86, 0xdd];
        let v2 = [0x86, 0xdd, 0, 0, 0, 0, 0, 3, 0xff, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (link, header) in [(LinkType::LINUX_SLL, &v1[..]), (LinkType::LINUX_SLL2, &v2)] {
            let link = link_of(link, &frame(&[header], &SYN_ACK_V6));
            assert_eq!(link, Link { cooked_type: Some(0), ..Link::default() });
        }
    }

    #[test]
    fn cooked_captures_may_hold_tags_and_other_things() {
        let tagged = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0, 0x81, 0x00, 0, 5, 0x08, 0x00];
        link_of(LinkType::LINUX_SLL, &frame(&[&tagged], &SYN_V4));
        let netlink = [0, 4, 0x03, 0x38, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x00];
        let undecoded = decode(LinkType::LINUX_SLL, &frame(&[&netlink], &SYN_V4)).unwrap_err();
        assert_eq!(undecoded, Undecoded::CookedHardware(824));
        let spanning_tree = [0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0, 0, 4, 0x42, 0x42, 3];
        assert_eq!(decode(LinkType::LINUX_SLL, &spanning_tree).unwrap_err(), Undecoded::Llc);
    }

    #[test]
    fn raw_ip_has_no_link_layer() {
        for number in [101, 12, 14, 228, 229] {
            assert_eq!(link_of(LinkType(number), &SYN_V4), Link::default());
            assert_eq!(link_of(LinkType(number), &SYN_ACK_V6), Link::default());
            assert_eq!(decode(LinkType(number), &[]).unwrap_err(), Undecoded::Truncated);
        }
    }

    #[test]
    fn loopback_families_come_in_either_byte_order() {
        for link in [LinkType::NULL, LinkType::LOOP] {
            for header in [[2, 0, 0, 0], [0, 0, 0, 2]] {
                link_of(link, &frame(&[&header], &SYN_V4));
            }
            for family in [10, 23, 24, 28, 30] {
                link_of(link, &frame(&[&[family, 0, 0, 0]], &SYN_ACK_V6));
                link_of(link, &frame(&[&[0, 0, 0, family]], &SYN_ACK_V6));
            }
            let appletalk = frame(&[&[16, 0, 0, 0]], &SYN_V4);
            assert_eq!(decode(link, &appletalk).unwrap_err(), Undecoded::AddressFamily(16));
        }
    }

    #[test]
    fn unknown_link_types_are_named() {
        let undecoded = decode(LinkType(127), &SYN_V4).unwrap_err();
        assert_eq!(undecoded, Undecoded::LinkType(127));
        assert_eq!(undecoded.to_string(), "link type 127 (not known)");
    }
}
