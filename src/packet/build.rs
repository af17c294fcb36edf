//! Probes, as bytes: a SYN as the operating system would send it, an ICMP echo, a reset.
//!
//! Every probe is a transport header first, with its checksum, then `packet` or `first_fragment` puts the IP header
//! before it; a new kind of probe (a SYN with a bad checksum) works on the same two parts.

use std::net::{IpAddr, SocketAddr};

use etherparse::checksum::Sum16BitWords;
use etherparse::{
    EtherType, Ethernet2Header, IpDscp, IpEcn, IpFragOffset, IpNumber, Ipv4Header, Ipv6FlowLabel,
    Ipv6FragmentHeader, Ipv6Header, TcpHeader, TcpOptions, icmpv4, icmpv6, ip_number,
};

use super::{Fragment, HopLimit, Ip, MacAddr, SeqNumber};

/// A SYN, with the options a Linux client sends (MSS, SACK permitted, timestamps, NOP, window scale).
#[derive(Clone, Copy, Debug)]
pub struct Syn {
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// TTL or hop limit.
    pub hop_limit: HopLimit,
    /// Initial sequence number.
    pub isn: SeqNumber,
    /// Window; choose an unusual one, so that an echo of it is conclusive.
    pub window: u16,
    /// IPv4 identification (ignored for IPv6).
    pub identification: u16,
    /// IPv6 flow label, 20 bits (ignored for IPv4).
    pub flow_label: u32,
    /// DSCP and ECN byte.
    pub traffic_class: u8,
    /// TSval.
    pub timestamp: u32,
    /// MSS, in bytes.
    pub mss: u16,
    /// Whether to spoil the checksum, so that only those answer who do not verify it.
    pub bad_checksum: bool,
}

/// An ICMP or ICMPv6 echo request.
#[derive(Clone, Copy, Debug)]
pub struct Echo {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: HopLimit,
    /// Identifier.
    pub identifier: u16,
    /// Sequence number.
    pub sequence: u16,
    /// What its data begins with, for the reply to bring back.
    pub token: [u8; 6],
    /// IPv4 identification (ignored for IPv6).
    pub identification: u16,
}

/// A reset that ends a half-open connection: RST with the sequence number the other side expects.
#[derive(Clone, Copy, Debug)]
pub struct Reset {
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// Sequence number: the acknowledgment number of the SYN/ACK.
    pub seq: SeqNumber,
    /// IPv4 identification (ignored for IPv6).
    pub identification: u16,
}

/// Where the checksum stands in a TCP header, and what is changed of its first byte to spoil it.
const CHECKSUM_AT: usize = 16;
const SPOILT_BITS: u8 = 0x55;
/// A segment with data on an established connection, as its client would send it (PSH and ACK; timestamps where the
/// connection has them).
#[derive(Clone, Debug)]
pub struct Data {
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// TTL or hop limit.
    pub hop_limit: HopLimit,
    /// Sequence number of the first byte.
    pub seq: SeqNumber,
    /// Acknowledgment number.
    pub ack: SeqNumber,
    /// Window, scaled.
    pub window: u16,
    /// IPv4 identification (ignored for IPv6).
    pub identification: u16,
    /// IPv6 flow label, 20 bits (ignored for IPv4).
    pub flow_label: u32,
    /// TSval and TSecr, where the connection uses them.
    pub timestamps: Option<(u32, u32)>,
    /// The data; with its headers it must not be longer than the link's MTU.
    pub data: Vec<u8>,
}

/// Window scale shift of a Linux client with the default receive buffer.
const WINDOW_SCALE: u8 = 7;
/// What Linux sends ordinary packets with.
const DEFAULT_HOP_LIMIT: HopLimit = HopLimit(64);

/// The IP packet of a SYN probe. Source and destination must be of one family; an IPv4 address beside an IPv6
/// one becomes IPv4-mapped.
pub fn syn(probe: &Syn) -> Vec<u8> {
    let headers = probe.ip();
    packet(&headers, ip_number::TCP, &syn_segment(probe, &headers))
}

/// Half of a SYN: a first fragment that holds all of its TCP header, options included, and says that more follows
/// (MF set, offset 0). `identification` is the fragment's for both versions. Source and destination must be of one
/// family, as for [`syn`].
pub fn half_syn(probe: &Syn) -> Vec<u8> {
    let headers = probe.ip();
    first_fragment(&headers, ip_number::TCP, &syn_segment(probe, &headers))
}

fn syn_segment(probe: &Syn, headers: &IpFields) -> Vec<u8> {
    let [m0, m1] = probe.mss.to_be_bytes();
    let [t0, t1, t2, t3] = probe.timestamp.to_be_bytes();
    // MSS, SACK permitted, timestamps (no echo yet), NOP, window scale.
    let options = [2, 4, m0, m1, 4, 2, 8, 10, t0, t1, t2, t3, 0, 0, 0, 0, 1, 3, 3, WINDOW_SCALE];
    let header = TcpHeader {
        source_port: probe.source.port(),
        destination_port: probe.destination.port(),
        sequence_number: probe.isn.0,
        syn: true,
        window_size: probe.window,
        options: TcpOptions::from(options),
        ..TcpHeader::default()
    };
    let mut segment = tcp_segment(headers, &header, &[]);
    if probe.bad_checksum {
        // Not all bits of it: the complement may be taken for a sum that offload has still to finish.
        segment[CHECKSUM_AT] ^= SPOILT_BITS;
    }
    segment
}

/// The IP packet of an echo request, with 8 bytes of data and an ICMP checksum that is the same for every
/// `sequence` of one `identifier` (per-flow load balancers hash it: RFC 2992 practice, "Paris").
/// Source and destination must be of one family, as for [`syn`].
pub fn echo(probe: &Echo) -> Vec<u8> {
    let headers = IpFields {
        source: probe.source,
        destination: probe.destination,
        hop_limit: probe.hop_limit,
        traffic_class: 0,
        identification: probe.identification,
        flow_label: 0,
    };
    let (kind, protocol) = match headers.endpoints() {
        Endpoints::V4(..) => (icmpv4::TYPE_ECHO_REQUEST, ip_number::ICMP),
        Endpoints::V6(..) => (icmpv6::TYPE_ECHO_REQUEST, ip_number::IPV6_ICMP),
    };
    let [i0, i1] = probe.identifier.to_be_bytes();
    let [s0, s1] = probe.sequence.to_be_bytes();
    // A number and its complement add up to the same whatever the number.
    let [c0, c1] = (!probe.sequence).to_be_bytes();
    let [t0, t1, t2, t3, t4, t5] = probe.token;
    let mut message = [kind, 0, 0, 0, i0, i1, s0, s1, t0, t1, t2, t3, t4, t5, c0, c1];
    let start = match protocol {
        ip_number::ICMP => Sum16BitWords::new(),
        _ => pseudo_header(headers.source, headers.destination, protocol, message.len()),
    };
    let checksum = start.add_slice(&message).ones_complement();
    message[2..4].copy_from_slice(&checksum.to_ne_bytes());
    packet(&headers, protocol, &message)
}

/// The IP packet of a reset, hop limit 64. Source and destination must be of one family, as for [`syn`].
pub fn reset(probe: &Reset) -> Vec<u8> {
    let header = TcpHeader {
        source_port: probe.source.port(),
        destination_port: probe.destination.port(),
        sequence_number: probe.seq.0,
        rst: true,
        ..TcpHeader::default()
    };
    let headers = IpFields {
        source: probe.source.ip(),
        destination: probe.destination.ip(),
        hop_limit: DEFAULT_HOP_LIMIT,
        traffic_class: 0,
        identification: probe.identification,
        flow_label: 0,
    };
    packet(&headers, ip_number::TCP, &tcp_segment(&headers, &header, &[]))
}

/// The IP packet of a segment with data, which no router may fragment. Source and destination must be of one family,
/// as for [`syn`].
pub fn data(probe: &Data) -> Vec<u8> {
    let options = probe.timestamps.map_or(TcpOptions::default(), |(value, echo)| {
        let ([v0, v1, v2, v3], [e0, e1, e2, e3]) = (value.to_be_bytes(), echo.to_be_bytes());
        TcpOptions::from([1, 1, 8, 10, v0, v1, v2, v3, e0, e1, e2, e3])
    });
    let header = TcpHeader {
        source_port: probe.source.port(),
        destination_port: probe.destination.port(),
        sequence_number: probe.seq.0,
        acknowledgment_number: probe.ack.0,
        psh: true,
        ack: true,
        window_size: probe.window,
        options,
        ..TcpHeader::default()
    };
    let headers = IpFields {
        source: probe.source.ip(),
        destination: probe.destination.ip(),
        hop_limit: probe.hop_limit,
        traffic_class: 0,
        identification: probe.identification,
        flow_label: probe.flow_label,
    };
    packet(&headers, ip_number::TCP, &tcp_segment(&headers, &header, &probe.data))
}

/// An Ethernet frame around an IP packet; the EtherType follows the packet's version.
pub fn ethernet(source: MacAddr, destination: MacAddr, ip_packet: &[u8]) -> Vec<u8> {
    let is_v6 = ip_packet.first().is_some_and(|first| first >> 4 == 6);
    let ether_type = if is_v6 { EtherType::IPV6 } else { EtherType::IPV4 };
    let header = Ethernet2Header { source: source.0, destination: destination.0, ether_type };
    [&header.to_bytes(), ip_packet].concat()
}

/// Whether the TCP checksum of `segment` is right; `None` where it is not captured whole.
pub(super) fn tcp_checksum_ok(ip: &Ip, segment: &[u8]) -> Option<bool> {
    is_whole(ip, segment).then(|| {
        let start = pseudo_header(ip.source, ip.destination, ip_number::TCP, segment.len());
        let unfinished = is_unfinished(segment, !start.clone().ones_complement());
        unfinished || start.add_slice(segment).ones_complement() == 0
    })
}

/// The TCP checksum of `segment` as it is on the wire; `None` where it is unfinished, or not captured whole.
pub(super) fn tcp_checksum(ip: &Ip, segment: &[u8]) -> Option<u16> {
    let start = pseudo_header(ip.source, ip.destination, ip_number::TCP, segment.len());
    let finished = is_whole(ip, segment) && !is_unfinished(segment, !start.ones_complement());
    let field = segment.get(16..18).and_then(|field| field.first_chunk())?;
    finished.then(|| u16::from_be_bytes(*field))
}

fn is_whole(ip: &Ip, segment: &[u8]) -> bool {
    // A segment larger than IP can carry was never on a wire: offload made it.
    let fits_ip = u16::try_from(segment.len()).is_ok();
    fits_ip && ip.fragment == Fragment::Whole && segment.len() as u64 >= u64::from(ip.payload_len)
}

/// Whether the checksum field holds just the sum of the pseudo header: a sender on the same machine (another
/// namespace, a virtual machine) left the rest to hardware that the segment never crossed.
fn is_unfinished(segment: &[u8], pseudo_header: u16) -> bool {
    segment.get(16..18).is_some_and(|field| field == pseudo_header.to_be().to_be_bytes())
}

/// What the probes say in the IP header.
struct IpFields {
    source: IpAddr,
    destination: IpAddr,
    hop_limit: HopLimit,
    traffic_class: u8,
    identification: u16,
    flow_label: u32,
}

impl Syn {
    /// A SYN of which nothing is out of the ordinary.
    pub const fn plain(source: SocketAddr, destination: SocketAddr, isn: SeqNumber) -> Self {
        Self {
            source,
            destination,
            hop_limit: DEFAULT_HOP_LIMIT,
            isn,
            window: 64_240,
            identification: 1,
            flow_label: 0,
            traffic_class: 0,
            timestamp: 1,
            mss: 1460,
            bad_checksum: false,
        }
    }

    fn ip(&self) -> IpFields {
        IpFields {
            source: self.source.ip(),
            destination: self.destination.ip(),
            hop_limit: self.hop_limit,
            traffic_class: self.traffic_class,
            identification: self.identification,
            flow_label: self.flow_label,
        }
    }
}

/// The two addresses of a packet, of one family.
enum Endpoints {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

impl IpFields {
    fn endpoints(&self) -> Endpoints {
        endpoints(self.source, self.destination)
    }
}

fn endpoints(source: IpAddr, destination: IpAddr) -> Endpoints {
    fn octets(address: IpAddr) -> [u8; 16] {
        match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        }
        .octets()
    }
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Endpoints::V4(source.octets(), destination.octets()),
        (source, destination) => Endpoints::V6(octets(source), octets(destination)),
    }
}

/// The sum over the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1), to add the transport's bytes to.
fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: IpNumber, len: usize) -> Sum16BitWords {
    let addresses = match endpoints(source, destination) {
        Endpoints::V4(source, destination) => Sum16BitWords::new().add_4bytes(source).add_4bytes(destination),
        Endpoints::V6(source, destination) => {
            Sum16BitWords::new().add_16bytes(source).add_16bytes(destination)
        }
    };
    // The 16-bit length of IPv4 and the 32-bit one of IPv6 give the same sum.
    addresses.add_2bytes([0, protocol.0]).add_4bytes((len as u32).to_be_bytes())
}

/// A TCP segment with its checksum.
fn tcp_segment(ip: &IpFields, header: &TcpHeader, data: &[u8]) -> Vec<u8> {
    let mut segment = [header.to_bytes().as_slice(), data].concat();
    let start = pseudo_header(ip.source, ip.destination, ip_number::TCP, segment.len());
    let checksum = start.add_slice(&segment).ones_complement();
    segment[16..18].copy_from_slice(&checksum.to_ne_bytes());
    segment
}

/// An IP header before a transport that is much shorter than IP's limit of 65,535 bytes.
fn packet(ip: &IpFields, protocol: IpNumber, transport: &[u8]) -> Vec<u8> {
    match ip.endpoints() {
        Endpoints::V4(source, destination) => {
            let header =
                Ipv4Header { dont_fragment: true, ..ip.v4(source, destination, protocol, transport) };
            [&with_checksum(header).to_bytes(), transport].concat()
        }
        Endpoints::V6(source, destination) => {
            [&ip.v6(source, destination, protocol, transport.len()).to_bytes(), transport].concat()
        }
    }
}

/// The same, as the first of several fragments; the transport's length is a multiple of 8 bytes, as all but the last
/// must be.
fn first_fragment(ip: &IpFields, protocol: IpNumber, transport: &[u8]) -> Vec<u8> {
    match ip.endpoints() {
        Endpoints::V4(source, destination) => {
            let header = Ipv4Header {
                dont_fragment: false,
                more_fragments: true,
                ..ip.v4(source, destination, protocol, transport)
            };
            [&with_checksum(header).to_bytes(), transport].concat()
        }
        Endpoints::V6(source, destination) => {
            let fragment =
                Ipv6FragmentHeader::new(protocol, IpFragOffset::ZERO, true, ip.identification.into());
            let len = Ipv6FragmentHeader::LEN + transport.len();
            let header = ip.v6(source, destination, ip_number::IPV6_FRAG, len);
            [&header.to_bytes()[..], &fragment.to_bytes(), transport].concat()
        }
    }
}

impl IpFields {
    fn v4(&self, source: [u8; 4], destination: [u8; 4], protocol: IpNumber, transport: &[u8]) -> Ipv4Header {
        Ipv4Header {
            dscp: IpDscp::try_new(self.traffic_class >> 2).unwrap_or_default(),
            ecn: IpEcn::try_new(self.traffic_class & 3).unwrap_or_default(),
            total_len: (Ipv4Header::MIN_LEN + transport.len()) as u16,
            identification: self.identification,
            time_to_live: self.hop_limit.0,
            protocol,
            source,
            destination,
            ..Ipv4Header::default()
        }
    }

    fn v6(&self, source: [u8; 16], destination: [u8; 16], next_header: IpNumber, len: usize) -> Ipv6Header {
        Ipv6Header {
            traffic_class: self.traffic_class,
            flow_label: Ipv6FlowLabel::try_new(self.flow_label & Ipv6FlowLabel::MAX_U32).unwrap_or_default(),
            payload_length: len as u16,
            next_header,
            hop_limit: self.hop_limit.0,
            source,
            destination,
        }
    }
}

fn with_checksum(header: Ipv4Header) -> Ipv4Header {
    Ipv4Header { header_checksum: header.calc_header_checksum(), ..header }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{SYN_V4, address};
    use crate::packet::{Icmp, LinkType, Packet, Transport, decode};

    const SYN: Syn = Syn {
        window: 0xfaf1,
        identification: 0x7701,
        timestamp: 0x0102_0304,
        ..Syn::plain(
            SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 22, 0, 1)), 50022),
            SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(198, 19, 0, 4)), 22),
            SeqNumber(0x1234_5678),
        )
    };

    fn read(packet: &[u8]) -> Packet<'_> {
        decode(LinkType::RAW, packet).unwrap()
    }

    /// The sum over the IPv4 header, which is 0 where its checksum is right.
    fn header_sum(packet: &[u8]) -> u16 {
        Sum16BitWords::new().add_slice(&packet[..20]).ones_complement()
    }

    #[test]
    fn a_syn_is_that_of_linux_to_the_byte() {
        assert_eq!(syn(&SYN), SYN_V4);
    }

    #[test]
    fn a_spoilt_checksum_is_wrong_and_nothing_else_is() {
        let mut packet = syn(&Syn { bad_checksum: true, ..SYN });
        let Packet { ip, transport: Transport::Tcp(tcp), .. } = read(&packet) else { panic!("not TCP") };
        assert_eq!(tcp.checksum_ok(&ip), Some(false));
        packet[20 + CHECKSUM_AT] ^= SPOILT_BITS;
        assert_eq!(packet, SYN_V4);
    }

    #[test]
    fn a_syn_over_v6() {
        let packet = syn(&Syn {
            source: "[fd22::1]:50022".parse().unwrap(),
            destination: "[2001:db8::4]:22".parse().unwrap(),
            flow_label: 0xfff_abcde,
            traffic_class: 0xb8,
            mss: 1440,
            ..SYN
        });
        let Packet { ip, transport: Transport::Tcp(tcp), .. } = read(&packet) else { panic!("not TCP") };
        assert_eq!((ip.flow_label, ip.traffic_class, ip.identification), (Some(0xabcde), 0xb8, None));
        assert_eq!(ip.payload_len, 40);
        assert_eq!(tcp.options.layout().to_string(), "mss,sok,ts,nop,ws");
        assert_eq!(tcp.options.mss(), Some(1440));
        assert_eq!(tcp.checksum_ok(&ip), Some(true));
    }

    #[test]
    fn half_a_syn_says_that_more_follows() {
        let v6 = Syn {
            source: "[fd22::1]:50022".parse().unwrap(),
            destination: "[2001:db8::4]:22".parse().unwrap(),
            traffic_class: 0xb8,
            ..SYN
        };
        for probe in [SYN, v6] {
            let packet = half_syn(&probe);
            let Packet { ip, transport: Transport::Tcp(tcp), .. } = read(&packet) else { panic!("not TCP") };
            assert_eq!((ip.fragment, ip.identification), (Fragment::First, Some(0x7701)));
            assert_eq!((ip.hop_limit, ip.traffic_class), (probe.hop_limit, probe.traffic_class));
            assert_eq!(ip.payload_len % 8, 0);
            assert_eq!((tcp.seq, tcp.destination_port, tcp.options.mss()), (probe.isn, 22, Some(1460)));
            assert!(tcp.flags.is_syn());
            if ip.source.is_ipv4() {
                assert_eq!((header_sum(&packet), ip.dont_fragment), (0, false));
            }
        }
    }

    #[test]
    fn mixed_families_are_v6() {
        let packet = syn(&Syn { destination: "[2001:db8::4]:22".parse().unwrap(), ..SYN });
        assert_eq!(read(&packet).ip.source, address("::ffff:10.22.0.1"));
    }

    #[test]
    fn a_reset_has_no_ack() {
        for (source, destination) in
            [("10.22.0.1:50022", "198.19.0.4:22"), ("[fd22::1]:50022", "[2001:db8::4]:22")]
        {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let packet =
                reset(&Reset { source, destination, seq: SeqNumber(0x1234_5679), identification: 5 });
            let Packet { ip, transport: Transport::Tcp(tcp), .. } = read(&packet) else { panic!("not TCP") };
            assert_eq!(tcp.flags, crate::packet::TcpFlags::RST);
            assert_eq!((tcp.seq, tcp.ack, tcp.window), (SeqNumber(0x1234_5679), SeqNumber(0), 0));
            assert_eq!((ip.hop_limit, ip.payload_len), (HopLimit(64), 20));
            assert_eq!(tcp.checksum_ok(&ip), Some(true));
            if ip.source.is_ipv4() {
                assert_eq!((header_sum(&packet), ip.identification, ip.dont_fragment), (0, Some(5), true));
            }
        }
    }

    #[test]
    fn a_segment_with_data_is_one_of_its_connection() {
        for (source, destination) in
            [("10.22.0.1:50022", "198.19.0.4:22"), ("[fd22::1]:50022", "[2001:db8::4]:22")]
        {
            let packet = data(&Data {
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
                hop_limit: HopLimit(2),
                seq: SeqNumber(7),
                ack: SeqNumber(9),
                window: 502,
                identification: 5,
                flow_label: 0xabcde,
                timestamps: Some((3, 4)),
                data: b"SSH-2.0-x\r\n".to_vec(),
            });
            let Packet { ip, transport: Transport::Tcp(tcp), .. } = read(&packet) else { panic!("not TCP") };
            assert_eq!(tcp.flags, crate::packet::TcpFlags::PSH | crate::packet::TcpFlags::ACK);
            assert_eq!((tcp.seq, tcp.ack, tcp.payload), (SeqNumber(7), SeqNumber(9), &b"SSH-2.0-x\r\n"[..]));
            assert_eq!((tcp.options.timestamps(), ip.hop_limit), (Some((3, 4)), HopLimit(2)));
            assert_eq!(tcp.checksum_ok(&ip), Some(true));
            assert!(ip.dont_fragment);
        }
    }

    #[test]
    fn an_echo_keeps_its_checksum_whatever_its_sequence() {
        for (source, destination) in [("10.22.0.1", "198.19.0.4"), ("fd22::1", "2001:db8::4")] {
            let (source, destination) = (address(source), address(destination));
            let echo = |identifier, sequence| {
                let hop_limit = HopLimit(3);
                let token = [1, 2, 3, 4, 5, 6];
                echo(&Echo { source, destination, hop_limit, identifier, sequence, token, identification: 9 })
            };
            let header = if source.is_ipv4() { 20 } else { 40 };
            let checksum = |packet: &[u8]| [packet[header + 2], packet[header + 3]];
            let first = checksum(&echo(0xbeef, 0));
            for sequence in 0..=u16::MAX {
                let packet = echo(0xbeef, sequence);
                assert_eq!(checksum(&packet), first);
                assert_eq!(packet.len(), header + 16);
            }
            assert_ne!(checksum(&echo(0xbeee, 0)), first, "the identifier makes the flow");

            let packet = echo(0xbeef, 7);
            let Packet { ip, transport: Transport::Icmp(icmp), .. } = read(&packet) else { panic!() };
            assert!(matches!(
                icmp,
                Icmp::EchoRequest { identifier: 0xbeef, sequence: 7, token: Some([1, 2, 3, 4, 5, 6, ..]) }
            ));
            assert_eq!(ip.hop_limit, HopLimit(3));
            let message = &packet[header..];
            let sum = match source {
                IpAddr::V4(_) => Sum16BitWords::new(),
                IpAddr::V6(_) => pseudo_header(source, destination, ip_number::IPV6_ICMP, message.len()),
            };
            assert_eq!(sum.add_slice(message).ones_complement(), 0);
        }
    }

    #[test]
    fn ethernet_says_the_version() {
        let (source, destination) = (MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 0, 1]));
        let frame = ethernet(source, destination, &SYN_V4);
        assert_eq!(frame[..14], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00]);
        assert_eq!(frame[14..], SYN_V4);
        assert_eq!(ethernet(source, destination, &[0x60])[12..], [0x86, 0xdd, 0x60]);
    }
}
