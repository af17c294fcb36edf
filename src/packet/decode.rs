//! From a captured frame to a [`Packet`].

use std::fmt;

use etherparse::ip_number;

use super::link::{self, Layer};
use super::{Fragment, Icmp, Ip, Link, LinkType, Packet, Tcp, Transport, ip, tunnel};

/// Frames and packets within one another, at most: no real frame comes near this many.
const MAX_LAYERS: usize = 12;

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
    /// MPLS that carries neither IP nor, after a control word, Ethernet.
    Mpls,
    /// PPP of a protocol (its number) other than IP.
    PppProtocol(u16),
    /// GRE of a version, or with a header, that cannot be read.
    Gre,
    /// Packets within packets of a kind that is not opened.
    Unopened(Unopened),
    /// An 802.11 frame that carries no data.
    WifiWithoutData,
    /// An encrypted 802.11 frame.
    WifiEncrypted,
    /// A later fragment of an 802.11 frame, or an aggregate of several.
    WifiPart,
    /// An 802.11 frame that failed its check.
    WifiDamaged,
    /// Too many frames and packets within one another.
    Nested,
    /// More IPv6 extension headers than are walked over.
    Extensions,
    /// The version nibble is neither 4 nor 6.
    IpVersion(u8),
    /// The frame, or the first fragment, ends before the headers do.
    Truncated,
    /// An ICMP error of which the capture holds too little to tell what it is about.
    QuoteCut,
    /// A header contradicts itself.
    Malformed,
}

/// An encapsulation that is told from other packets, but not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unopened {
    /// GTP-U (3GPP TS 29.281).
    GtpU,
    /// L2TP (RFC 2661) or L2TPv3 (RFC 3931).
    L2tp,
    /// Teredo (RFC 4380).
    Teredo,
    /// IPsec's ESP (RFC 4303), in UDP (RFC 3948) or not.
    Esp,
    /// IP payload compression (RFC 3173).
    IpComp,
    /// A network service header (RFC 8300).
    Nsh,
    /// TaZmen's sniffer protocol.
    Tzsp,
    /// LISP's data (RFC 9300).
    Lisp,
    /// VXLAN that says that its network identifier does not count, which RFC 7348 rules out.
    VxlanWithoutIdentifier,
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GtpU => "GTP-U",
            Self::L2tp => "L2TP",
            Self::Teredo => "Teredo",
            Self::Esp => "IPsec ESP",
            Self::IpComp => "IPComp",
            Self::Nsh => "NSH",
            Self::Tzsp => "TZSP",
            Self::Lisp => "LISP",
            Self::VxlanWithoutIdentifier => "VXLAN without an identifier",
        })
    }
}

impl Undecoded {
    /// Whether there may be IP in such a frame. Many an ordinary capture has frames in which there is none.
    pub fn may_hide_ip(self) -> bool {
        match self {
            // MACsec is the one EtherType of known name that encrypts what it carries.
            Self::NotIp(ether_type) => ether_type == MACSEC || ether_type_name(ether_type).is_none(),
            Self::PppProtocol(protocol) => ppp_protocol_name(protocol).is_none(),
            Self::Llc | Self::AddressFamily(_) | Self::WifiWithoutData => false,
            _ => true,
        }
    }

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
            Self::CookedHardware(hardware) => {
                write!(f, "Linux cooked capture of hardware type {hardware} (not known)")
            }
            Self::AddressFamily(family) => write!(f, "address family {family} (not IP)"),
            Self::Mpls => f.write_str("MPLS (neither IP nor Ethernet in it)"),
            Self::PppProtocol(protocol) => match ppp_protocol_name(protocol) {
                Some(name) => f.write_str(name),
                None => write!(f, "PPP protocol {protocol:#06x} (not IP)"),
            },
            Self::Gre => f.write_str("GRE (of a version or kind that is not known)"),
            Self::Unopened(kind) => write!(f, "{kind} (not opened)"),
            Self::WifiWithoutData => f.write_str("802.11 management and control"),
            Self::WifiEncrypted => f.write_str("802.11, encrypted"),
            Self::WifiPart => f.write_str("802.11 fragment or aggregate"),
            Self::WifiDamaged => f.write_str("802.11, damaged on the air"),
            Self::Nested => f.write_str("too many frames within one another"),
            Self::Extensions => f.write_str("IPv6 with too many extension headers"),
            Self::IpVersion(version) => write!(f, "IP version {version} (neither 4 nor 6)"),
            Self::Truncated => f.write_str("cut short within the headers"),
            Self::QuoteCut => f.write_str("ICMP errors cut off by the capture"),
            Self::Malformed => f.write_str("malformed header"),
        }
    }
}

impl std::error::Error for Undecoded {}

const MACSEC: u16 = 0x88e5;

/// Names of what an ordinary capture holds beside IP.
fn ether_type_name(ether_type: u16) -> Option<&'static str> {
    Some(match ether_type {
        0x0806 => "ARP",
        0x0842 => "Wake-on-LAN",
        0x8035 => "RARP",
        0x8809 => "LACP (slow protocols)",
        0x8863 => "PPPoE discovery",
        0x888e => "802.1X (EAPOL)",
        0x88cc => "LLDP",
        MACSEC => "MACsec",
        0x88f7 => "PTP",
        0x8902 => "Ethernet OAM (CFM)",
        0x893a => "IEEE 1905",
        0x9000 => "Ethernet loopback test",
        _ => return None,
    })
}

/// Names of the protocols by which the ends of a PPP link agree on it.
fn ppp_protocol_name(protocol: u16) -> Option<&'static str> {
    Some(match protocol {
        0x8021 => "PPP IPCP",
        0x8057 => "PPP IPv6CP",
        0x80fd => "PPP CCP",
        0xc021 => "PPP LCP",
        0xc023 => "PPP PAP",
        0xc025 => "PPP LQR",
        0xc223 => "PPP CHAP",
        _ => return None,
    })
}

/// Reads one frame of link type `link`, whose length on the wire is not known: what its IP header claims is believed.
///
/// See [`decode_captured`] for what is read.
pub fn decode(link: LinkType, frame: &[u8]) -> Result<Packet<'_>, Undecoded> {
    read(link, frame, None)
}

/// Reads one frame of link type `link` that had `original_len` bytes on the wire, of which `frame` was captured.
///
/// The packet is the innermost one: of a tunnel (GRE, IP in IP, VXLAN, Geneve and the like, on their usual ports) the
/// packet within is told, with what its own link layer says, and the tunnel's is not. An ICMP error about a tunnel's
/// packet is a packet of its own, and quotes the tunnel's. A tunnel's packet whose content cannot be read is undecoded.
///
/// Link-layer padding is left aside: only what the IP header claims counts. Where its length field is 0 (frames
/// captured before segmentation offload), the rest of the frame counts. TCP data that the IP header claims, and that the
/// frame never had, does not count; an `original_len` less than what was captured is a mistake.
pub fn decode_captured(link: LinkType, frame: &[u8], original_len: u32) -> Result<Packet<'_>, Undecoded> {
    read(link, frame, Some(original_len.saturating_sub(frame.len() as u32)))
}

/// Reads a frame; where its length on the wire is known, `missing` bytes of it were not captured.
fn read(link: LinkType, frame: &[u8], missing: Option<u32>) -> Result<Packet<'_>, Undecoded> {
    let mut said = Link::default();
    let mut layer = link::open(link, frame, &mut said)?;
    for _ in 0..MAX_LAYERS {
        let bytes = match layer {
            Layer::Ip(bytes) => bytes,
            Layer::Link(link, frame) => {
                layer = link::open(link, frame, &mut said)?;
                continue;
            }
        };
        let (ip, payload) = ip::read(bytes, missing.unwrap_or(0))?;
        if ip.protocol != ip_number::TCP.0
            && let Some(inner) = tunnel::enter(&ip, payload)?
        {
            (layer, said) = (inner, Link::default());
            continue;
        }
        return Ok(Packet { link: said, ip, transport: transport(&ip, payload, missing)? });
    }
    Err(Undecoded::Nested)
}

fn transport<'a>(ip: &Ip, payload: &'a [u8], missing: Option<u32>) -> Result<Transport<'a>, Undecoded> {
    if ip.fragment == Fragment::Later {
        return Ok(Transport::LaterFragment);
    }
    match (etherparse::IpNumber(ip.protocol), ip.source.is_ipv4()) {
        (ip_number::TCP, _) => Tcp::read(ip, payload, missing).map(Transport::Tcp),
        (ip_number::ICMP, true) | (ip_number::IPV6_ICMP, false) => {
            Icmp::read(ip, payload, missing).map(Transport::Icmp)
        }
        _ => Ok(Transport::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{SYN_ACK_V6, SYN_V4, patched};

    /// How many bytes of data a frame that starts with these headers has, and whether its header claims more.
    fn data(link: LinkType, frame: &[u8], original_len: u32) -> (u32, bool) {
        let Transport::Tcp(tcp) = decode_captured(link, frame, original_len).unwrap().transport else {
            panic!()
        };
        (tcp.payload_len, tcp.overclaims)
    }

    #[test]
    fn data_counts_as_far_as_the_frame_had_any() {
        // Headers of 60 bytes, and 20 of data that the IP header tells of.
        let v4 = [&patched(&SYN_V4, 3, &[80])[..], &[7; 20]].concat();
        assert_eq!(data(LinkType::RAW, &v4, 80), (20, false));
        assert_eq!(data(LinkType::RAW, &v4[..70], 80), (20, false), "cut by the capture");
        assert_eq!(data(LinkType::RAW, &v4[..70], 70), (10, true), "cut on the wire");
        assert_eq!(data(LinkType::RAW, &v4[..70], 75), (15, true));
        assert_eq!(data(LinkType::RAW, &v4, 9), (20, false), "what was captured was there");
        assert_eq!(data(LinkType::RAW, &v4[..52], 52), (0, true), "within the options");
        assert_eq!(data(LinkType::RAW, &v4[..52], 70), (10, true));
        let padded = [&[2; 12], &[8, 0][..], &v4, &[0; 6]].concat();
        assert_eq!(data(LinkType::ETHERNET, &padded, 100), (20, false), "padding is no data");
        assert_eq!(data(LinkType::ETHERNET, &padded[..90], 100), (20, false));
        let v6 = [&patched(&SYN_ACK_V6, 5, &[40])[..], &[7; 20]].concat();
        assert_eq!(data(LinkType::RAW, &v6, 80), (20, false));
        assert_eq!(data(LinkType::RAW, &v6[..60], 70), (10, true));
        let Ok(Packet { transport: Transport::Tcp(tcp), .. }) = decode(LinkType::RAW, &v4[..70]) else {
            panic!()
        };
        assert_eq!((tcp.payload_len, tcp.overclaims), (20, false), "nothing is known of the frame");
    }

    #[test]
    fn data_in_a_tunnel_counts_as_far_as_the_frame_had_any() {
        let inner = [&patched(&SYN_V4, 3, &[80])[..], &[7; 20]].concat();
        let mut outer = patched(&SYN_V4[..20], 9, &[4]);
        outer[3] = 100;
        let frame = [&outer[..], &inner].concat();
        assert_eq!(data(LinkType::RAW, &frame, 100), (20, false));
        assert_eq!(data(LinkType::RAW, &frame[..80], 100), (20, false));
        assert_eq!(data(LinkType::RAW, &frame[..90], 90), (10, true));
    }

    #[test]
    fn frames_captured_before_offload_have_the_length_of_the_wire() {
        let v4 = [&patched(&SYN_V4, 3, &[0])[..], &[7; 20]].concat();
        let v6 = [&patched(&SYN_ACK_V6, 5, &[0])[..], &[7; 20]].concat();
        for frame in [v4, v6] {
            assert_eq!(data(LinkType::RAW, &frame, 80), (20, false));
            assert_eq!(data(LinkType::RAW, &frame, 30_060), (30_000, false));
        }
    }

    #[test]
    fn undecoded_names_the_kind_in_words() {
        for (undecoded, words) in [
            (Undecoded::NotIp(0x0806), "ARP"),
            (Undecoded::NotIp(0x1234), "EtherType 0x1234 (not IP)"),
            (Undecoded::NotIp(0x0001), "EtherType 0x0001 (not IP)"),
            (Undecoded::Llc, "IEEE 802.2 LLC (spanning tree and the like)"),
            (Undecoded::CookedHardware(824), "netlink"),
            (Undecoded::PppProtocol(0xc021), "PPP LCP"),
            (Undecoded::PppProtocol(0x003d), "PPP protocol 0x003d (not IP)"),
            (Undecoded::CookedHardware(770), "Linux cooked capture of hardware type 770 (not known)"),
            (Undecoded::AddressFamily(16), "address family 16 (not IP)"),
            (Undecoded::IpVersion(5), "IP version 5 (neither 4 nor 6)"),
            (Undecoded::Unopened(Unopened::Esp), "IPsec ESP (not opened)"),
            (Undecoded::Truncated, "cut short within the headers"),
            (Undecoded::QuoteCut, "ICMP errors cut off by the capture"),
            (Undecoded::Malformed, "malformed header"),
        ] {
            assert_eq!(undecoded.to_string(), words);
        }
    }
}
