//! Properties of the packet room for any input: what is built is read back, and no bytes make `decode` panic.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use whichhop::packet::build::{self, Echo, Reset, Syn};
use whichhop::packet::{
    Fragment, HopLimit, Icmp, LinkType, MacAddr, Packet, QuotedTransport, SeqNumber, TcpFlags, TcpOption,
    Transport, decode,
};

/// Every link type that is read, those first for which [`framed`] has a header; and some that are not read.
const LINKS: [u16; 29] = [
    0, 1, 12, 14, 101, 108, 113, 228, 229, 276, 9, 50, 51, 104, 105, 109, 117, 119, 127, 149, 163, 166, 192,
    204, 205, 239, 258, 147, 65_535,
];

fn addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    let v4 = any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (a.into(), b.into()));
    let v6 = any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (a.into(), b.into()));
    prop_oneof![v4, v6]
}

prop_compose! {
    fn syns()(
        (source, destination) in addresses(),
        ports: (u16, u16),
        (hop_limit, traffic_class) in any::<(u8, u8)>(),
        (isn, timestamp) in any::<(u32, u32)>(),
        (window, identification, mss) in any::<(u16, u16, u16)>(),
        flow_label in 0..0x10_0000_u32,
    ) -> Syn {
        Syn {
            source: SocketAddr::new(source, ports.0),
            destination: SocketAddr::new(destination, ports.1),
            hop_limit: HopLimit(hop_limit),
            isn: SeqNumber(isn),
            window,
            identification,
            flow_label,
            traffic_class,
            timestamp,
            mss,
        }
    }
}

/// An IP packet in a frame of link type `link`, with as many VLAN tags as asked.
fn framed(link: u16, tags: usize, packet: &[u8]) -> Vec<u8> {
    let is_v6 = packet[0] >> 4 == 6;
    let ether_type = if is_v6 { [0x86, 0xdd] } else { [0x08, 0x00] };
    let mut chain = [0x81, 0x00, 0, 9].repeat(tags);
    chain.extend_from_slice(&ether_type);
    let (protocol, tags) = chain.split_at(2);
    let mac = [2, 0, 0, 0, 0, 1];
    let header = match link {
        0 => vec![if is_v6 { 30 } else { 2 }, 0, 0, 0],
        108 => vec![0, 0, 0, if is_v6 { 24 } else { 2 }],
        1 => [&mac[..], &mac, protocol, tags].concat(),
        113 => [&[0, 4, 0, 1, 0, 6][..], &mac, &[0, 0], protocol, tags].concat(),
        276 => [protocol, &[0, 0, 0, 0, 0, 1, 0, 1, 4, 6], &mac, &[0, 0], tags].concat(),
        _ => vec![],
    };
    [&header, packet].concat()
}

fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |&b| u32::from(b)));
    let total: u32 = words.sum();
    let folded = (total & 0xffff) + (total >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}

/// An ICMP or ICMPv6 time exceeded that quotes `len` bytes of `packet`.
fn time_exceeded(packet: &[u8], len: usize) -> Vec<u8> {
    let quote = &packet[..len.min(packet.len())];
    let is_v6 = packet[0] >> 4 == 6;
    let message = [&[if is_v6 { 3 } else { 11 }, 0, 0, 0, 0, 0, 0, 0], quote].concat();
    let [l0, l1] = (message.len() as u16 + if is_v6 { 0 } else { 20 }).to_be_bytes();
    let header = if is_v6 {
        [&[0x60, 0, 0, 0, l0, l1, 58, 60], &packet[24..40], &packet[8..24]].concat()
    } else {
        [&[0x45, 0, l0, l1, 0, 0, 0, 0, 60, 1, 0, 0], &packet[16..20], &packet[12..16]].concat()
    };
    [header, message].concat()
}

/// Touches all that a caller could touch.
fn exercise(link: u16, frame: &[u8]) {
    match decode(LinkType(link), frame) {
        Err(undecoded) => assert!(!undecoded.to_string().is_empty()),
        Ok(packet) => {
            if let Transport::Tcp(tcp) = packet.transport {
                tcp.checksum_ok(&packet.ip);
                assert!(tcp.options.iter().count() <= 40);
                assert!(tcp.payload.len() as u64 <= u64::from(tcp.payload_len));
            }
            assert!(!format!("{packet:?}").is_empty());
        }
    }
}

proptest! {
    #[test]
    fn a_syn_is_read_back(syn in syns(), link in prop::sample::select(&LINKS[..10]), tags in 0..4_usize) {
        let frame = framed(link, tags, &build::syn(&syn));
        let Packet { ip, transport, .. } = decode(LinkType(link), &frame).unwrap();
        let Transport::Tcp(tcp) = transport else { panic!("not TCP") };
        let is_v4 = syn.source.is_ipv4();
        prop_assert_eq!(SocketAddr::new(ip.source, tcp.source_port), syn.source);
        prop_assert_eq!(SocketAddr::new(ip.destination, tcp.destination_port), syn.destination);
        prop_assert_eq!((ip.hop_limit, ip.traffic_class), (syn.hop_limit, syn.traffic_class));
        prop_assert_eq!(ip.identification, is_v4.then_some(syn.identification.into()));
        prop_assert_eq!(ip.flow_label, (!is_v4).then_some(syn.flow_label));
        prop_assert!(ip.dont_fragment && ip.fragment == Fragment::Whole && ip.payload_len == 40);
        prop_assert_eq!((tcp.seq, tcp.ack, tcp.flags), (syn.isn, SeqNumber(0), TcpFlags::SYN));
        prop_assert_eq!((tcp.window, tcp.payload_len), (syn.window, 0));
        prop_assert_eq!(tcp.options.iter().collect::<Vec<_>>(), [
            TcpOption::Mss(syn.mss),
            TcpOption::SackPermitted,
            TcpOption::Timestamps { value: syn.timestamp, echo: 0 },
            TcpOption::Nop,
            TcpOption::WindowScale(7),
        ]);
        prop_assert_eq!(tcp.checksum_ok(&ip), Some(true));
        if is_v4 {
            let packet = &frame[frame.len() - 60..];
            prop_assert_eq!(sum(&packet[..20]), 0xffff);
        }
    }

    #[test]
    fn a_reset_is_read_back((source, destination) in addresses(), ports: (u16, u16), seq: u32, identification: u16) {
        let source = SocketAddr::new(source, ports.0);
        let destination = SocketAddr::new(destination, ports.1);
        let packet = build::reset(&Reset { source, destination, seq: SeqNumber(seq), identification });
        let frame = build::ethernet(MacAddr([2; 6]), MacAddr([4; 6]), &packet);
        let packet = decode(LinkType::ETHERNET, &frame).unwrap();
        let Transport::Tcp(tcp) = packet.transport else { panic!("not TCP") };
        prop_assert_eq!(packet.tcp_source(), Some(source));
        prop_assert_eq!(packet.tcp_destination(), Some(destination));
        prop_assert_eq!((tcp.flags, tcp.seq), (TcpFlags::RST, SeqNumber(seq)));
        prop_assert_eq!(packet.link.source, Some(MacAddr([2; 6])));
        prop_assert_eq!(tcp.checksum_ok(&packet.ip), Some(true));
    }

    #[test]
    fn an_echo_is_read_back(
        (source, destination) in addresses(),
        hop_limit: u8,
        (identifier, first, second, identification) in any::<(u16, u16, u16, u16)>(),
        token: [u8; 6],
    ) {
        let echo = |sequence| build::echo(&Echo {
            source, destination, hop_limit: HopLimit(hop_limit), identifier, sequence, token, identification,
        });
        let packet = echo(first);
        let Packet { ip, transport, .. } = decode(LinkType::RAW, &packet).unwrap();
        let Transport::Icmp(Icmp::EchoRequest { identifier: i, sequence, token: t }) = transport else {
            panic!("no echo")
        };
        prop_assert_eq!(t.unwrap()[..6].to_vec(), token.to_vec());
        prop_assert_eq!((i, sequence, ip.hop_limit), (identifier, first, HopLimit(hop_limit)));
        let checksum = if source.is_ipv4() { 22..24 } else { 42..44 };
        prop_assert_eq!(&packet[checksum.clone()], &echo(second)[checksum]);
        if source.is_ipv4() {
            prop_assert_eq!((sum(&packet[..20]), sum(&packet[20..])), (0xffff, 0xffff));
        }
    }

    #[test]
    fn a_quote_tells_what_arrived(syn in syns(), len in 0..80_usize) {
        let packet = build::syn(&syn);
        let error = time_exceeded(&packet, len);
        let Transport::Icmp(Icmp::Error(error)) = decode(LinkType::RAW, &error).unwrap().transport else {
            panic!("no error")
        };
        let header = packet.len() - 40;
        prop_assert_eq!(error.quoted.is_some(), len >= header);
        let Some(quoted) = error.quoted else { return Ok(()) };
        prop_assert_eq!(quoted.destination, syn.destination.ip());
        prop_assert_eq!((quoted.hop_limit, quoted.traffic_class), (syn.hop_limit, syn.traffic_class));
        let tcp = match quoted.transport {
            QuotedTransport::Tcp(tcp) => tcp,
            other => {
                prop_assert!(len < header + 8 && other == QuotedTransport::Other);
                return Ok(());
            }
        };
        prop_assert_eq!((tcp.source_port, tcp.destination_port), (syn.source.port(), syn.destination.port()));
        prop_assert_eq!(tcp.seq, syn.isn);
        prop_assert_eq!(tcp.rest.map(|rest| rest.window), (len >= header + 20).then_some(syn.window));
        prop_assert_eq!(tcp.rest.and_then(|rest| rest.mss), (len >= header + 24).then_some(syn.mss));
    }

    #[test]
    fn any_bytes_decode_without_panic(
        link in prop::sample::select(&LINKS[..]),
        frame in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        exercise(link, &frame);
    }

    /// Random bytes hardly ever get past the first header: start from a good frame and spoil it.
    #[test]
    fn spoilt_frames_decode_without_panic(
        syn in syns(),
        link in prop::sample::select(&LINKS[..10]),
        tags in 0..3_usize,
        quote in prop::option::of(0..80_usize),
        pokes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        padding in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut packet = build::syn(&syn);
        if let Some(len) = quote {
            packet = time_exceeded(&packet, len);
        }
        let mut frame = framed(link, tags, &packet);
        frame.extend_from_slice(&padding);
        for (at, byte) in pokes {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        if let Some(cut) = cut {
            frame.truncate(cut.index(frame.len() + 1));
        }
        exercise(link, &frame);
    }

    /// Chains of extension headers, in packets and in quotes.
    #[test]
    fn extension_headers_decode_without_panic(
        kinds in prop::collection::vec((prop::sample::select(&[0, 43, 44, 51, 60, 135, 6, 58][..]), 0..3_u8), 1..30),
        filling: u8,
        claimed: u16,
        quoted: bool,
    ) {
        let next = kinds.iter().skip(1).map(|&(kind, _)| kind).chain([6]);
        let chain: Vec<u8> = kinds.iter().zip(next).flat_map(|(&(_, length), next)| {
            let mut header = vec![filling; 8 + 8 * usize::from(length)];
            header[..2].copy_from_slice(&[next, length]);
            header
        }).collect();
        let [l0, l1] = claimed.to_be_bytes();
        let packet = [&[0x60, 0, 0, 0, l0, l1, kinds[0].0, 64][..], &[0xfd; 32], &chain, &[0x55; 40]].concat();
        exercise(101, &if quoted { time_exceeded(&packet, packet.len()) } else { packet });
    }
}
