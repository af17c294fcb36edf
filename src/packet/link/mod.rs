//! Link layers: finding the IP header in a captured frame.
//!
//! [`open`] takes off the header of one link type, and [`typed`] what an EtherType announces (tags, labels, PPPoE),
//! until an IP header stands first or another link type's header: a new link type is an arm of the one, a new
//! wrapping between link and IP an arm of the other.

mod cooked;
mod ethernet;
mod log;
mod ppp;
mod wifi;

pub(super) use ethernet::{is_likely, mpls, typed};

use super::{Link, Undecoded};

/// A link-layer header type, numbered as in the pcap LINKTYPE registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: a 4-byte address family in the byte order of the capturing machine.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// PPP, with or without HDLC's address and control.
    pub const PPP: Self = Self(9);
    /// Raw IP by the number that most systems use internally and some tools write to files.
    pub const RAW_BSD: Self = Self(12);
    /// The same, by OpenBSD's internal number.
    pub const RAW_OPENBSD: Self = Self(14);
    /// PPP in HDLC-like framing, or Cisco HDLC.
    pub const PPP_HDLC: Self = Self(50);
    /// PPPoE without the Ethernet header.
    pub const PPP_ETHER: Self = Self(51);
    /// Raw IP, version by the first nibble.
    pub const RAW: Self = Self(101);
    /// Cisco HDLC.
    pub const C_HDLC: Self = Self(104);
    /// IEEE 802.11.
    pub const IEEE802_11: Self = Self(105);
    /// OpenBSD loopback: a 4-byte address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// OpenBSD's interface to what IPsec has decrypted.
    pub const ENC: Self = Self(109);
    /// Linux cooked capture, version 1.
    pub const LINUX_SLL: Self = Self(113);
    /// Log of the pf firewall.
    pub const PFLOG: Self = Self(117);
    /// IEEE 802.11 after Prism monitor information.
    pub const IEEE802_11_PRISM: Self = Self(119);
    /// IEEE 802.11 after radiotap.
    pub const IEEE802_11_RADIOTAP: Self = Self(127);
    /// Apple's PKTAP, by the number its tools once wrote.
    pub const PKTAP_USER2: Self = Self(149);
    /// IEEE 802.11 after AVS monitor information.
    pub const IEEE802_11_AVS: Self = Self(163);
    /// PPP of Linux's pppd: a byte of direction first.
    pub const PPP_PPPD: Self = Self(166);
    /// Per-packet information, with a link type of its own within.
    pub const PPI: Self = Self(192);
    /// PPP after a byte of direction.
    pub const PPP_WITH_DIR: Self = Self(204);
    /// Cisco HDLC after a byte of direction.
    pub const C_HDLC_WITH_DIR: Self = Self(205);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux's netfilter log.
    pub const NFLOG: Self = Self(239);
    /// Apple's PKTAP: what a capture of all interfaces of a Mac holds, with a link type of its own within.
    pub const PKTAP: Self = Self(258);
    /// Linux cooked capture, version 2.
    pub const LINUX_SLL2: Self = Self(276);

    /// Whether frames begin with IP itself, as on a tun interface.
    pub const fn is_bare(self) -> bool {
        matches!(self, Self::RAW | Self::RAW_BSD | Self::RAW_OPENBSD | Self::IPV4 | Self::IPV6)
    }
}

/// What stands first in the bytes that are still to be read.
pub(super) enum Layer<'a> {
    /// An IP header.
    Ip(&'a [u8]),
    /// The header of a link type.
    Link(LinkType, &'a [u8]),
}

/// Takes off the header of one link type; notes in `said` what it says.
#[inline]
pub(super) fn open<'a>(link: LinkType, frame: &'a [u8], said: &mut Link) -> Result<Layer<'a>, Undecoded> {
    // By far the commonest, so it does not wait for a search among the others.
    if link == LinkType::ETHERNET { ethernet::ethernet(frame, said) } else { open_other(link, frame, said) }
}

fn open_other<'a>(link: LinkType, frame: &'a [u8], said: &mut Link) -> Result<Layer<'a>, Undecoded> {
    match link {
        LinkType::LINUX_SLL => cooked::v1(frame, said),
        LinkType::LINUX_SLL2 => cooked::v2(frame, said),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD | LinkType::IPV4 | LinkType::IPV6 => {
            Ok(Layer::Ip(frame))
        }
        LinkType::NULL | LinkType::LOOP => loopback(frame),
        LinkType::PPP => ppp::ppp(frame),
        LinkType::PPP_HDLC => ppp::serial(frame),
        LinkType::PPP_ETHER => ppp::pppoe(frame),
        LinkType::C_HDLC => ppp::cisco_hdlc(frame),
        LinkType::PPP_PPPD | LinkType::PPP_WITH_DIR => ppp::directed(frame),
        LinkType::C_HDLC_WITH_DIR => take::<1>(frame).and_then(|(_, frame)| ppp::cisco_hdlc(frame)),
        LinkType::IEEE802_11 => wifi::frame(frame, said),
        LinkType::IEEE802_11_RADIOTAP => wifi::radiotap(frame, said),
        LinkType::IEEE802_11_PRISM | LinkType::IEEE802_11_AVS => wifi::monitor(frame, said),
        LinkType::NFLOG => log::nflog(frame),
        LinkType::PFLOG => log::pflog(frame),
        LinkType::ENC => log::enc(frame),
        LinkType::PPI => log::ppi(frame),
        LinkType::PKTAP | LinkType::PKTAP_USER2 => log::pktap(frame),
        LinkType(other) => Err(Undecoded::LinkType(other)),
    }
}

/// BSD loopback. The byte order is the capturing machine's; families are small numbers, which tells it.
fn loopback(frame: &[u8]) -> Result<Layer<'_>, Undecoded> {
    let (family, rest) = take::<4>(frame)?;
    let family = match u32::from_be_bytes(*family) {
        big if big <= 0xffff => big,
        other => other.swap_bytes(),
    };
    of_family(family, rest)
}

/// What an address family announces. The number for IPv6 differs between systems: 10 (Linux), 23 (Windows), 24
/// (NetBSD, OpenBSD), 28 (FreeBSD), 30 (macOS).
fn of_family(family: u32, rest: &[u8]) -> Result<Layer<'_>, Undecoded> {
    match family {
        2 | 10 | 23 | 24 | 28 | 30 => Ok(Layer::Ip(rest)),
        other if other <= 0xffff => Err(Undecoded::AddressFamily(other)),
        // No system has so many: kinds that are counted must not be as many as frames.
        _ => Err(Undecoded::Malformed),
    }
}

pub(super) fn take<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), Undecoded> {
    bytes.split_first_chunk().ok_or(Undecoded::Truncated)
}

fn skip(bytes: &[u8], len: usize) -> Result<&[u8], Undecoded> {
    bytes.get(len..).ok_or(Undecoded::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{SYN_ACK_V6, SYN_V4};
    use crate::packet::{MacAddr, Packet, decode};

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
        let tag = [0x81, 0x00, 0, 7];
        let snap = [&MACS[..], &tag, &[0, 68, 0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00]];
        link_of(LinkType::ETHERNET, &frame(&snap, &SYN_V4));
        let spanning_tree = frame(&[&MACS, &tag, &[0, 38, 0x42, 0x42, 3]], &[0; 35]);
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
        let undecoded = decode(LinkType(147), &SYN_V4).unwrap_err();
        assert_eq!(undecoded, Undecoded::LinkType(147));
        assert_eq!(undecoded.to_string(), "link type 147 (not known)");
    }
}
