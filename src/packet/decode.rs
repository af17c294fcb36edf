//! From a captured frame to a [`Packet`].

use std::fmt;

use etherparse::ip_number;

use super::{Fragment, Icmp, Ip, LinkType, Packet, Tcp, Transport, ip, link};

/// Why a frame is not a packet we can read. Its `Display` names the kind in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Undecoded {
    /// The capture's link type is not known.
    LinkType(u16),
    /// The frame carries something other than IP (its EtherType).
    NotIp(u16),
    /// An IEEE 802.3 frame whose LLC header leads to no EtherType: spanning tree and the like.
    Llc,
    /// A Linux cooked capture of a device (its ARPHRD number) whose frames we cannot read.
    CookedHardware(u16),
    /// A loopback frame of an address family (its number, in the capturing system's count) other than IP.
    AddressFamily(u32),
    /// The version nibble is neither 4 nor 6.
    IpVersion(u8),
    /// The frame, or the first fragment, ends before the headers do.
    Truncated,
    /// A header contradicts itself.
    Malformed,
}

impl Undecoded {
    /// What it means that a header does not fit into `captured` bytes, where the layer below claimed `claimed`.
    pub(super) fn cut_short(captured: usize, claimed: u32) -> Self {
        if u64::from(claimed) > captured as u64 { Self::Truncated } else { Self::Malformed }
    }
}

impl fmt::Display for Undecoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LinkType(link) => write!(f, "link type {link} (not known)"),
            Self::NotIp(ether_type) => match ether_type_name(ether_type) {
                Some(name) => f.write_str(name),
                None => write!(f, "EtherType {ether_type:#06x} (not IP)"),
            },
            Self::Llc => f.write_str("IEEE 802.2 LLC (spanning tree and the like)"),
            Self::CookedHardware(824) => f.write_str("netlink"),
            Self::CookedHardware(801..=803) => f.write_str("802.11 in a Linux cooked capture"),
            Self::CookedHardware(hardware) => {
                write!(f, "Linux cooked capture of hardware type {hardware} (not known)")
            }
            Self::AddressFamily(family) => write!(f, "address family {family} (not IP)"),
            Self::IpVersion(version) => write!(f, "IP version {version} (neither 4 nor 6)"),
            Self::Truncated => f.write_str("cut short within the headers"),
            Self::Malformed => f.write_str("malformed header"),
        }
    }
}

impl std::error::Error for Undecoded {}

/// Names of what an ordinary capture holds beside IP.
fn ether_type_name(ether_type: u16) -> Option<&'static str> {
    Some(match ether_type {
        0x0806 => "ARP",
        0x0842 => "Wake-on-LAN",
        0x6558 => "bridged Ethernet",
        0x8035 => "RARP",
        0x8809 => "LACP (slow protocols)",
        0x8847 | 0x8848 => "MPLS",
        0x8863 => "PPPoE discovery",
        0x8864 => "PPPoE session",
        0x888e => "802.1X (EAPOL)",
        0x88cc => "LLDP",
        0x88e5 => "MACsec",
        0x88f7 => "PTP",
        0x8902 => "Ethernet OAM (CFM)",
        0x893a => "IEEE 1905",
        0x9000 => "Ethernet loopback test",
        _ => return None,
    })
}

/// Reads one frame of link type `link`.
///
/// Link-layer padding is left aside: only what the IP header claims counts. Where its length field is 0 (frames
/// captured before segmentation offload), the rest of the frame counts.
pub fn decode(link: LinkType, frame: &[u8]) -> Result<Packet<'_>, Undecoded> {
    let (link, bytes) = link::strip(link, frame)?;
    let (ip, payload) = ip::read(bytes)?;
    let transport = transport(&ip, payload)?;
    Ok(Packet { link, ip, transport })
}

fn transport<'a>(ip: &Ip, payload: &'a [u8]) -> Result<Transport<'a>, Undecoded> {
    if ip.fragment == Fragment::Later {
        return Ok(Transport::LaterFragment);
    }
    match (etherparse::IpNumber(ip.protocol), ip.source.is_ipv4()) {
        (ip_number::TCP, _) => Tcp::read(ip, payload).map(Transport::Tcp),
        (ip_number::ICMP, true) | (ip_number::IPV6_ICMP, false) => {
            Icmp::read(ip, payload).map(Transport::Icmp)
        }
        _ => Ok(Transport::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undecoded_names_the_kind_in_words() {
        for (undecoded, words) in [
            (Undecoded::NotIp(0x0806), "ARP"),
            (Undecoded::NotIp(0x1234), "EtherType 0x1234 (not IP)"),
            (Undecoded::NotIp(0x0001), "EtherType 0x0001 (not IP)"),
            (Undecoded::Llc, "IEEE 802.2 LLC (spanning tree and the like)"),
            (Undecoded::CookedHardware(824), "netlink"),
            (Undecoded::CookedHardware(770), "Linux cooked capture of hardware type 770 (not known)"),
            (Undecoded::AddressFamily(16), "address family 16 (not IP)"),
            (Undecoded::IpVersion(5), "IP version 5 (neither 4 nor 6)"),
            (Undecoded::Truncated, "cut short within the headers"),
            (Undecoded::Malformed, "malformed header"),
        ] {
            assert_eq!(undecoded.to_string(), words);
        }
    }
}
