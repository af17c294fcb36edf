//! Packets within packets: what an IP packet carries, where that is another frame or packet.

use etherparse::{IpNumber, ip_number};

use super::link::{self, Layer, LinkType, take};
use super::{Fragment, Ip, Undecoded, Unopened};

const MPLS_IN_IP: IpNumber = IpNumber(137);
const L2TP_IN_IP: IpNumber = IpNumber(115);
const ETHERNET_IN_IP: IpNumber = IpNumber(143);

/// VXLAN's port (RFC 7348), the one that Linux used before it had one, and those of Azure's gateway load balancer.
const VXLAN_PORTS: [u16; 4] = [4789, 8472, 10800, 10801];
const VXLAN_GPE_PORT: u16 = 4790;
const GENEVE_PORT: u16 = 6081;
const GRE_PORT: u16 = 4754;
const MPLS_PORT: u16 = 6635;
const GTP_U_PORT: u16 = 2152;
const L2TP_PORT: u16 = 1701;
const TEREDO_PORT: u16 = 3544;
const ESP_PORT: u16 = 4500;
const TZSP_PORT: u16 = 37008;
const LISP_PORT: u16 = 4341;

/// What stands within the packet, if it is a tunnel's: IP in IP (RFC 2003, 4213, 2473), GRE (RFC 2784, 2890, 2637)
/// with whatever it carries, ERSPAN among it, MPLS (RFC 4023, 7510), EtherIP (RFC 3378), Ethernet (RFC 8986), VXLAN
/// (RFC 7348) and Geneve (RFC 8926). Of a packet in fragments, the first is looked into. What is a tunnel's, but not opened, is an error.
pub(super) fn enter<'a>(ip: &Ip, payload: &'a [u8]) -> Result<Option<Layer<'a>>, Undecoded> {
    if ip.fragment == Fragment::Later {
        return Ok(None);
    }
    match IpNumber(ip.protocol) {
        ip_number::UDP => udp(payload),
        ip_number::GRE => gre(payload),
        ip_number::IPV4 | ip_number::IPV6 => Ok(Some(Layer::Ip(payload))),
        MPLS_IN_IP => link::mpls(payload).map(Some),
        ip_number::ETHER_IP => ether_ip(payload),
        ETHERNET_IN_IP => Ok(Some(Layer::Link(LinkType::ETHERNET, payload))),
        ip_number::ENCAP_SEC => Err(Undecoded::Unopened(Unopened::Esp)),
        ip_number::IP_COMP => Err(Undecoded::Unopened(Unopened::IpComp)),
        // Session 0 is for messages between the tunnel's ends.
        L2TP_IN_IP if !payload.starts_with(&[0; 4]) => Err(Undecoded::Unopened(Unopened::L2tp)),
        _ => Ok(None),
    }
}

/// A datagram to the port of a tunnel; any other is no tunnel's.
fn udp(datagram: &[u8]) -> Result<Option<Layer<'_>>, Undecoded> {
    let ([_, _, d0, d1, ..], data) = take::<8>(datagram)?;
    let port = u16::from_be_bytes([*d0, *d1]);
    match port {
        port if VXLAN_PORTS.contains(&port) => vxlan(data),
        VXLAN_GPE_PORT => vxlan_gpe(data),
        GENEVE_PORT => geneve(data),
        GRE_PORT => gre(data),
        MPLS_PORT => link::mpls(data).map(Some),
        _ => unopened(port, data).map_or(Ok(None), |kind| Err(Undecoded::Unopened(kind))),
    }
}

/// What a datagram to `port` carries that is not opened. Of what goes there, messages between the tunnel's ends carry
/// nothing.
fn unopened(port: u16, data: &[u8]) -> Option<Unopened> {
    match (port, data) {
        // Version 1, and a message that carries a packet.
        (GTP_U_PORT, [0x30..=0x3f, 255, ..]) => Some(Unopened::GtpU),
        // No control message, of version 2 or 3.
        (L2TP_PORT, [0x00..=0x7f, version, ..]) if matches!(version & 0x0f, 2 | 3) => Some(Unopened::L2tp),
        // An IP header, or an authentication or an origin before it.
        (TEREDO_PORT, [0x40..=0x4f | 0x60..=0x6f, ..] | [0, 0 | 1, ..]) => Some(Unopened::Teredo),
        // A security parameter index; IKE has 0 there, and a keepalive is one byte.
        (ESP_PORT, [i0, i1, i2, i3, ..]) if [*i0, *i1, *i2, *i3] != [0; 4] => Some(Unopened::Esp),
        // Version 1, and a packet that was received or is to be sent.
        (TZSP_PORT, [1, 0 | 1, ..]) => Some(Unopened::Tzsp),
        // An IP header behind LISP's.
        (LISP_PORT, [_, _, _, _, _, _, _, _, 0x45..=0x4f | 0x60..=0x6f, ..]) => Some(Unopened::Lisp),
        _ => None,
    }
}

/// VXLAN: flags, of which one says that there is a network identifier and another may say that there is a group policy
/// (draft-smith-vxlan-group-policy). Whoever sets other flags speaks something else.
fn vxlan(data: &[u8]) -> Result<Option<Layer<'_>>, Undecoded> {
    let ([flags, ..], frame) = take::<8>(data)?;
    match flags & !0x80 {
        0x08 => Ok(Some(Layer::Link(LinkType::ETHERNET, frame))),
        0 if link::is_likely(frame) => Err(Undecoded::Unopened(Unopened::VxlanWithoutIdentifier)),
        _ => Ok(None),
    }
}

/// VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe): a flag says that the protocol is named.
fn vxlan_gpe(data: &[u8]) -> Result<Option<Layer<'_>>, Undecoded> {
    let ([flags, _, _, protocol, ..], rest) = take::<8>(data)?;
    if flags & 0x04 == 0 {
        return vxlan(data);
    }
    match protocol {
        1 | 2 => Ok(Some(Layer::Ip(rest))),
        3 => Ok(Some(Layer::Link(LinkType::ETHERNET, rest))),
        4 => Err(Undecoded::Unopened(Unopened::Nsh)),
        5 => link::mpls(rest).map(Some),
        _ => Ok(None),
    }
}

/// Geneve: version and length of options (in 4 bytes), flags, EtherType, network identifier, options.
fn geneve(data: &[u8]) -> Result<Option<Layer<'_>>, Undecoded> {
    let ([options, _, t0, t1, ..], rest) = take::<8>(data)?;
    if options >> 6 != 0 {
        return Ok(None);
    }
    let rest = rest.get(usize::from(options & 0x3f) * 4..).ok_or(Undecoded::Truncated)?;
    link::typed(u16::from_be_bytes([*t0, *t1]), rest).map(Some)
}

/// GRE: flags that say which fields there are, version, EtherType.
fn gre(packet: &[u8]) -> Result<Option<Layer<'_>>, Undecoded> {
    const CHECKSUM: u8 = 0x80;
    const ROUTING: u8 = 0x40;
    const KEY: u8 = 0x20;
    const SEQUENCE: u8 = 0x10;
    const ACKNOWLEDGMENT: u8 = 0x80;
    const ERSPAN: u16 = 0x88be;
    const ERSPAN_III: u16 = 0x22eb;

    let ([flags, version, t0, t1], rest) = take::<4>(packet)?;
    if flags & ROUTING != 0 {
        return Err(Undecoded::Gre);
    }
    let acknowledgment = match version & 7 {
        0 => 0,
        // PPTP: without a sequence number, it only acknowledges.
        1 if flags & SEQUENCE == 0 => return Ok(None),
        1 => version & ACKNOWLEDGMENT,
        _ => return Err(Undecoded::Gre),
    };
    let fields = [flags & CHECKSUM, flags & KEY, flags & SEQUENCE, acknowledgment];
    let fields = fields.iter().filter(|field| **field != 0).count() * 4;
    let rest = rest.get(fields..).ok_or(Undecoded::Truncated)?;
    match u16::from_be_bytes([*t0, *t1]) {
        // Type I has neither a sequence number nor a header of its own (draft-foschiano-erspan).
        ERSPAN if flags & SEQUENCE == 0 => Ok(Some(Layer::Link(LinkType::ETHERNET, rest))),
        ERSPAN => take::<8>(rest).map(|(_, frame)| Some(Layer::Link(LinkType::ETHERNET, frame))),
        ERSPAN_III => erspan_iii(rest).map(Some),
        ether_type => link::typed(ether_type, rest).map(Some),
    }
}

/// ERSPAN type III: 12 bytes, the last two with the kind of frame and whether 8 more bytes follow.
fn erspan_iii(bytes: &[u8]) -> Result<Layer<'_>, Undecoded> {
    let ([.., kind, more], rest) = take::<12>(bytes)?;
    let rest = if more & 1 == 0 { rest } else { take::<8>(rest)?.1 };
    match kind >> 2 & 0x1f {
        0 => Ok(Layer::Link(LinkType::ETHERNET, rest)),
        2 => Ok(Layer::Ip(rest)),
        _ => Err(Undecoded::Gre),
    }
}

/// EtherIP: version 3 in the first nibble.
fn ether_ip(packet: &[u8]) -> Result<Option<Layer<'_>>, Undecoded> {
    match take::<2>(packet)? {
        ([0x30, _], frame) => Ok(Some(Layer::Link(LinkType::ETHERNET, frame))),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use crate::packet::samples::{SYN_V4, v4, v6};
    use crate::packet::{Icmp, LinkType, QuotedTransport, Transport, Undecoded, Unopened, decode};

    const UDP_TO_VXLAN: [u8; 8] = [0xc3, 0x50, 0x12, 0xb5, 0, 0, 0, 0];
    const VXLAN: [u8; 8] = [8, 0, 0, 0, 0, 0, 7, 0];
    const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

    /// What raw IP is: `None` for the conversation's SYN.
    fn said(packet: &[u8]) -> Option<Undecoded> {
        match decode(LinkType::RAW, packet) {
            Ok(packet) => {
                assert_eq!(packet.tcp_source(), Some("10.22.0.1:50022".parse().unwrap()));
                None
            }
            Err(undecoded) => Some(undecoded),
        }
    }

    fn gre(header: &[u8]) -> Vec<u8> {
        v4(47, &[header, &SYN_V4].concat())
    }

    #[test]
    fn the_link_layer_told_is_the_one_within() {
        let inner = [&UDP_TO_VXLAN[..], &VXLAN, &MACS, &[0x08, 0x00], &SYN_V4].concat();
        let packet = v4(17, &inner);
        let cooked = [&[0, 4, 0, 1, 0, 6, 9, 9, 9, 9, 9, 9, 0, 0, 0x08, 0x00][..], &packet].concat();
        let link = decode(LinkType::LINUX_SLL, &cooked).unwrap().link;
        assert_eq!(link.source.unwrap().0, [2, 0, 0, 0, 0, 2]);
        assert_eq!(link.cooked_type, None);

        let cooked = [&[0, 4, 0, 1, 0, 6, 9, 9, 9, 9, 9, 9, 0, 0, 0x08, 0x00][..], &v4(4, &SYN_V4)].concat();
        assert_eq!(decode(LinkType::LINUX_SLL, &cooked).unwrap().link, crate::packet::Link::default());
    }

    #[test]
    fn a_datagram_that_is_no_vxlan_is_a_datagram() {
        for flags in [0x00, 0x88 | 0x04, 0x0c, 0xff] {
            let packet = v4(17, &[&UDP_TO_VXLAN[..], &[flags, 0, 0, 0, 0, 0, 7, 0], &[0; 40]].concat());
            assert!(matches!(decode(LinkType::RAW, &packet).unwrap().transport, Transport::Other));
        }
        // With a group policy it is VXLAN.
        let packet =
            v4(17, &[&UDP_TO_VXLAN[..], &[0x88, 0, 0, 9, 0, 0, 7, 0], &MACS, &[8, 0], &SYN_V4].concat());
        assert_eq!(said(&packet), None);
        // From the port, not to it.
        let answer = v4(17, &[&[0x12, 0xb5, 0xc3, 0x50, 0, 0, 0, 0][..], &VXLAN, &[0; 40]].concat());
        assert!(matches!(decode(LinkType::RAW, &answer).unwrap().transport, Transport::Other));
    }

    #[test]
    fn what_a_tunnel_carries_is_counted_by_kind() {
        let arp = v4(17, &[&UDP_TO_VXLAN[..], &VXLAN, &MACS, &[0x08, 0x06], &[0; 28]].concat());
        assert_eq!(said(&arp), Some(Undecoded::NotIp(0x0806)));
        assert_eq!(said(&gre(&[0, 0, 0x08, 0])), None);
        assert_eq!(said(&gre(&[0, 2, 0x08, 0])), Some(Undecoded::Gre), "version 2");
        assert_eq!(said(&gre(&[0x40, 0, 0x08, 0])), Some(Undecoded::Gre), "source routes");
        assert_eq!(said(&gre(&[0, 0, 0x88, 0x3e])), Some(Undecoded::NotIp(0x883e)), "WCCP");
        assert_eq!(said(&v4(137, &[0, 7, 0x41, 0x3f, 0x50])), Some(Undecoded::Mpls));
        assert_eq!(said(&v4(47, &[0, 0, 0x08])), Some(Undecoded::Truncated));
    }

    #[test]
    fn what_is_not_opened_is_told_from_what_carries_nothing() {
        let udp = |port: u16, data: &[u8]| {
            let [d0, d1] = port.to_be_bytes();
            let datagram = [&[0xc3, 0x50, d0, d1, 0, 0, 0, 0], data].concat();
            match decode(LinkType::RAW, &v4(17, &datagram)) {
                Ok(packet) => assert!(matches!(packet.transport, Transport::Other)),
                Err(Undecoded::Unopened(kind)) => return Some(kind),
                Err(other) => panic!("{other}"),
            }
            None
        };
        for (port, packet, other, kind) in [
            (2152, [0x30, 255, 0, 40], [0x32, 1, 0, 4], Unopened::GtpU),
            (1701, [0, 2, 0, 1], [0xc8, 2, 0, 12], Unopened::L2tp),
            (1701, [0, 3, 0, 0], [0xc8, 3, 0, 12], Unopened::L2tp),
            (3544, [0x60, 0, 0, 0], [9; 4], Unopened::Teredo),
            (3544, [0, 1, 0, 0], [0, 2, 0, 0], Unopened::Teredo),
            (4500, [1, 2, 3, 4], [0; 4], Unopened::Esp),
            (37008, [1, 0, 0, 1], [1, 4, 0, 1], Unopened::Tzsp),
        ] {
            assert_eq!(udp(port, &packet), Some(kind));
            assert_eq!(udp(port, &other), None, "{kind}");
            assert_eq!(udp(port, &[]), None, "{kind}");
            assert_eq!(udp(53, &packet), None, "{kind}");
        }
        for (protocol, kind) in [(50, Unopened::Esp), (108, Unopened::IpComp), (115, Unopened::L2tp)] {
            let undecoded = said(&v4(protocol, &[0, 0, 0, 1, 0, 0, 0, 1])).unwrap();
            assert_eq!(undecoded, Undecoded::Unopened(kind));
            assert!(undecoded.may_hide_ip());
        }
        let control = decode(LinkType::RAW, &v4(115, &[0; 8])).map(drop);
        assert_eq!(control, Ok(()));
    }

    #[test]
    fn ethernet_stands_straight_in_ip_too() {
        let frame = [&MACS[..], &[0x08, 0x00], &SYN_V4].concat();
        assert_eq!(said(&v4(143, &frame)), None);
        assert_eq!(said(&v6(143, &frame)), None);
        // Behind a segment routing header.
        let routed = [&[143, 2, 4, 0, 0, 0, 0, 0][..], &[0; 16], &frame].concat();
        assert_eq!(said(&v6(43, &routed)), None);
    }

    #[test]
    fn what_is_told_by_what_stands_behind_it() {
        let lisp =
            |first: u8| v4(17, &[&[0xc3, 0x50, 0x10, 0xf5, 0, 0, 0, 0][..], &[0; 8], &[first; 20]].concat());
        assert_eq!(said(&lisp(0x45)), Some(Undecoded::Unopened(Unopened::Lisp)));
        assert!(decode(LinkType::RAW, &lisp(0)).is_ok());
        let vxlan = [&UDP_TO_VXLAN[..], &[0; 8], &MACS, &[0x08, 0x00], &SYN_V4].concat();
        assert_eq!(said(&v4(17, &vxlan)), Some(Undecoded::Unopened(Unopened::VxlanWithoutIdentifier)));
    }

    #[test]
    fn a_network_service_header_is_told() {
        let gpe = [0xc3, 0x50, 0x12, 0xb6, 0, 0, 0, 0, 0x0c, 0, 0, 4, 0, 0, 7, 0];
        let packet = v4(17, &[&gpe[..], &[0; 40]].concat());
        assert_eq!(said(&packet), Some(Undecoded::Unopened(Unopened::Nsh)));
    }

    #[test]
    fn a_pseudowire_need_not_have_a_control_word() {
        let label = [0, 6, 0x41, 0x40];
        for word in [&[][..], &[0; 4]] {
            for mac in [0x00, 0x02, 0x0e] {
                let macs = [mac, 0x1b, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4];
                for tag in [&[][..], &[0x81, 0, 0, 7]] {
                    let frame = [&label[..], word, &macs, tag, &[0x08, 0x00], &SYN_V4].concat();
                    assert_eq!(said(&v4(137, &frame)), None, "{frame:02x?}");
                }
            }
            let arp = [&label[..], word, &[2; 12], &[0x08, 0x06], &[0; 28]].concat();
            assert_eq!(said(&v4(137, &arp)), Some(Undecoded::NotIp(0x0806)));
        }
    }

    #[test]
    fn a_pptp_acknowledgment_carries_nothing() {
        let packet = v4(47, &[0x20, 0x81, 0x88, 0x0b, 0, 0, 0, 7, 0, 0, 0, 1]);
        assert!(matches!(decode(LinkType::RAW, &packet).unwrap().transport, Transport::Other));
    }

    #[test]
    fn nesting_ends() {
        let nested = |times| (0..times).fold(SYN_V4.to_vec(), |packet, _| v4(4, &packet));
        assert_eq!(said(&nested(11)), None);
        assert_eq!(said(&nested(12)), Some(Undecoded::Nested));
        assert_eq!(said(&nested(500)), Some(Undecoded::Nested));
    }

    #[test]
    fn later_fragments_are_not_looked_into() {
        let mut packet = v4(4, &SYN_V4);
        packet[7] = 5;
        assert!(matches!(decode(LinkType::RAW, &packet).unwrap().transport, Transport::LaterFragment));
        let packet = v6(44, &[&[4, 0, 0, 9, 0, 0, 0, 1][..], &SYN_V4].concat());
        assert!(matches!(decode(LinkType::RAW, &packet).unwrap().transport, Transport::LaterFragment));
    }

    /// Who sent it is a router between the tunnel's ends: what it quotes is the tunnel's packet.
    #[test]
    fn an_error_about_a_tunnels_packet_quotes_that() {
        let outer = v4(17, &[&UDP_TO_VXLAN[..], &VXLAN, &MACS, &[0x08, 0x00], &SYN_V4].concat());
        let error = v4(1, &[&[11, 0, 0, 0, 0, 0, 0, 0][..], &outer].concat());
        let Transport::Icmp(Icmp::Error(error)) = decode(LinkType::RAW, &error).unwrap().transport else {
            panic!("no error")
        };
        let quoted = error.quoted.unwrap().transport;
        assert_eq!(quoted, QuotedTransport::Udp { source_port: 50000, destination_port: 4789 });
    }
}
