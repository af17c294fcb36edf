//! Packets as the simulation carries them, and the bytes they are on the wire.
//!
//! Written against etherparse alone, apart from the crate's own decoder and builder: an error in either
//! shows as a disagreement, not as two mistakes that cancel.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, Ethernet2Header, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpFragOffset, IpNumber,
    Ipv4Header, Ipv6ExtensionSlice, Ipv6ExtensionsSlice, Ipv6FlowLabel, Ipv6FragmentHeader, Ipv6Header,
    NetSlice, SlicedPacket, TcpHeader, TcpSlice, TransportSlice, ip_number,
};
use whichhop::packet::MacAddr;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;

/// An IP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    /// That of the fragment over IPv6.
    pub(crate) identification: u16,
    /// IPv4 only.
    pub(crate) dont_fragment: bool,
    /// IPv6 only.
    pub(crate) flow_label: u32,
    /// Whether it is the first fragment of a packet whose rest is not there; `identification` is the fragment's then.
    pub(crate) half: bool,
    pub(crate) body: Body,
}

/// What it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Tcp(Tcp),
    Echo { reply: bool, identifier: u16, sequence: u16, data: Vec<u8> },
    Error(IcmpError),
    Other(u8),
}

/// A TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tcp {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) options: Vec<u8>,
    pub(crate) data: Vec<u8>,
    /// Whether its checksum was spoilt on purpose, in the way the crate's builder does it.
    pub(crate) bad_checksum: bool,
}

impl Tcp {
    pub(crate) fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    pub(crate) fn is_syn(&self) -> bool {
        self.flags & (SYN | ACK | RST | FIN) == SYN
    }

    pub(crate) fn is_syn_ack(&self) -> bool {
        self.flags & (SYN | ACK | RST) == SYN | ACK
    }

    /// Sequence numbers it takes up.
    pub(crate) fn len(&self) -> u32 {
        self.data.len() as u32 + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }

    /// TSval.
    pub(crate) fn tsval(&self) -> Option<u32> {
        let mut rest = self.options.as_slice();
        loop {
            match rest {
                [1, tail @ ..] => rest = tail,
                [8, 10, a, b, c, d, ..] => return Some(u32::from_be_bytes([*a, *b, *c, *d])),
                [kind, len, ..] if *kind != 0 && *len >= 2 && usize::from(*len) <= rest.len() => {
                    rest = &rest[usize::from(*len)..];
                }
                _ => return None,
            }
        }
    }
}

/// An ICMP or ICMPv6 error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    pub(crate) kind: ErrorKind,
    pub(crate) quote: Box<Packet>,
    /// Whether the quote stops after 8 bytes of TCP, as RFC 792 asks at least.
    pub(crate) short: bool,
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    TimeExceeded,
    ReassemblyTimeExceeded,
    NetUnreachable,
    HostUnreachable,
    PortUnreachable,
    NetProhibited,
    HostProhibited,
    AdminProhibited,
}

impl ErrorKind {
    /// Type and code on the wire.
    #[allow(clippy::match_same_arms, reason = "a table of two protocols")]
    pub(crate) const fn numbers(self, v6: bool) -> (u8, u8) {
        match (self, v6) {
            (Self::TimeExceeded, false) => (11, 0),
            (Self::TimeExceeded, true) => (3, 0),
            (Self::ReassemblyTimeExceeded, false) => (11, 1),
            (Self::ReassemblyTimeExceeded, true) => (3, 1),
            (Self::NetUnreachable, false) => (3, 0),
            (Self::NetUnreachable, true) => (1, 0),
            (Self::HostUnreachable, false) => (3, 1),
            (Self::HostUnreachable, true) => (1, 3),
            (Self::PortUnreachable, false) => (3, 3),
            (Self::PortUnreachable, true) => (1, 4),
            (Self::NetProhibited, false) => (3, 9),
            (Self::HostProhibited, false) => (3, 10),
            (Self::AdminProhibited, false) => (3, 13),
            (Self::NetProhibited | Self::HostProhibited | Self::AdminProhibited, true) => (1, 1),
        }
    }

    /// The errno Linux gives a socket in SYN-SENT for it (`icmp_err_convert`, `icmpv6_err_convert`).
    pub(crate) const fn errno(self, v6: bool) -> i32 {
        match (self, v6) {
            (Self::NetUnreachable, _) | (Self::NetProhibited, false) => super::kernel::ENETUNREACH,
            (Self::PortUnreachable, _) => super::kernel::ECONNREFUSED,
            (Self::NetProhibited | Self::HostProhibited | Self::AdminProhibited, true) => {
                super::kernel::EACCES
            }
            _ => super::kernel::EHOSTUNREACH,
        }
    }
}

impl Packet {
    pub(crate) fn tcp(&self) -> Option<&Tcp> {
        if let Body::Tcp(tcp) = &self.body { Some(tcp) } else { None }
    }

    pub(crate) fn is_v6(&self) -> bool {
        self.source.is_ipv6()
    }

    pub(crate) fn tcp_source(&self) -> Option<SocketAddr> {
        self.tcp().map(|t| SocketAddr::new(self.source, t.source_port))
    }

    pub(crate) fn tcp_destination(&self) -> Option<SocketAddr> {
        self.tcp().map(|t| SocketAddr::new(self.destination, t.destination_port))
    }

    /// An answer going back to where this packet came from, with neither marks nor options of its own.
    pub(crate) fn answer(&self, from: IpAddr, ttl: u8, body: Body) -> Self {
        Self {
            source: from,
            destination: self.source,
            ttl,
            tos: 0,
            identification: 0,
            dont_fragment: matches!(body, Body::Tcp(_)) && from.is_ipv4(),
            flow_label: 0,
            half: false,
            body,
        }
    }

    /// The IP packet, checksums right.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let build = |payload_len: usize| {
                    let mut ip = Ipv4Header::new(
                        payload_len as u16,
                        self.ttl,
                        IpNumber(self.protocol()),
                        source.octets(),
                        destination.octets(),
                    )
                    .expect("the payload is small");
                    ip.dscp = (self.tos >> 2).try_into().expect("six bits");
                    ip.ecn = (self.tos & 3).try_into().expect("two bits");
                    ip.identification = self.identification;
                    ip.dont_fragment = self.dont_fragment;
                    ip.more_fragments = self.half;
                    ip.header_checksum = ip.calc_header_checksum();
                    ip
                };
                let payload = self.payload(
                    |tcp, data| tcp.calc_checksum_ipv4(&build(0), data).expect("small"),
                    |kind, code, rest, data| {
                        let icmp = Icmpv4Type::Unknown { type_u8: kind, code_u8: code, bytes5to8: rest };
                        Icmpv4Header::with_checksum(icmp, data).to_bytes().to_vec()
                    },
                );
                let mut bytes = build(payload.len()).to_bytes().to_vec();
                bytes.extend(payload);
                bytes
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut ip = Ipv6Header {
                    traffic_class: self.tos,
                    flow_label: Ipv6FlowLabel::try_new(self.flow_label & 0xf_ffff).expect("20 bits"),
                    payload_length: 0,
                    next_header: IpNumber(self.protocol()),
                    hop_limit: self.ttl,
                    source: source.octets(),
                    destination: destination.octets(),
                };
                let payload = self.payload(
                    |tcp, data| tcp.calc_checksum_ipv6(&ip, data).expect("small"),
                    |kind, code, rest, data| {
                        let icmp = Icmpv6Type::Unknown { type_u8: kind, code_u8: code, bytes5to8: rest };
                        Icmpv6Header::with_checksum(icmp, source.octets(), destination.octets(), data)
                            .expect("small")
                            .to_bytes()
                            .to_vec()
                    },
                );
                ip.payload_length = payload.len() as u16;
                if self.half {
                    let next = std::mem::replace(&mut ip.next_header, ip_number::IPV6_FRAG);
                    let fragment =
                        Ipv6FragmentHeader::new(next, IpFragOffset::ZERO, true, self.identification.into());
                    ip.payload_length += Ipv6FragmentHeader::LEN as u16;
                    return [&ip.to_bytes()[..], &fragment.to_bytes(), &payload].concat();
                }
                let mut bytes = ip.to_bytes().to_vec();
                bytes.extend(payload);
                bytes
            }
            _ => unreachable!("source and destination are of one family"),
        }
    }

    fn protocol(&self) -> u8 {
        match &self.body {
            Body::Tcp(_) => 6,
            Body::Echo { .. } | Body::Error(_) if self.is_v6() => 58,
            Body::Echo { .. } | Body::Error(_) => 1,
            Body::Other(number) => *number,
        }
    }

    fn payload(
        &self,
        tcp_checksum: impl Fn(&TcpHeader, &[u8]) -> u16,
        icmp: impl Fn(u8, u8, [u8; 4], &[u8]) -> Vec<u8>,
    ) -> Vec<u8> {
        match &self.body {
            Body::Tcp(tcp) => {
                let mut header = TcpHeader::new(tcp.source_port, tcp.destination_port, tcp.seq, tcp.window);
                header.acknowledgment_number = tcp.ack;
                header.fin = tcp.has(FIN);
                header.syn = tcp.has(SYN);
                header.rst = tcp.has(RST);
                header.psh = tcp.has(PSH);
                header.ack = tcp.has(ACK);
                header.set_options_raw(&tcp.options).expect("at most 40 bytes of options");
                header.checksum = tcp_checksum(&header, &tcp.data) ^ (u16::from(tcp.bad_checksum) * 0x5500);
                let mut bytes = header.to_bytes().to_vec();
                bytes.extend(&tcp.data);
                bytes
            }
            Body::Echo { reply, identifier, sequence, data } => {
                let kind = match (self.is_v6(), reply) {
                    (false, false) => 8,
                    (false, true) => 0,
                    (true, false) => 128,
                    (true, true) => 129,
                };
                let [a, b] = identifier.to_be_bytes();
                let [c, d] = sequence.to_be_bytes();
                let mut bytes = icmp(kind, 0, [a, b, c, d], data);
                bytes.extend(data);
                bytes
            }
            Body::Error(error) => {
                let (kind, code) = error.kind.numbers(self.is_v6());
                let mut quote = error.quote.to_bytes();
                // RFC 792 at least 8 bytes of the transport, RFC 1812 as much as fits 576, RFC 4443 1280.
                let header = match (self.is_v6(), error.quote.half) {
                    (true, true) => 48,
                    (true, false) => 40,
                    (false, _) => 20,
                };
                let most = match (error.short, self.is_v6()) {
                    (true, _) => header + 8,
                    (false, false) => 548,
                    (false, true) => 1232,
                };
                quote.truncate(most);
                let mut bytes = icmp(kind, code, [0; 4], &quote);
                bytes.extend(quote);
                bytes
            }
            Body::Other(_) => vec![0; 8],
        }
    }

    /// The Ethernet frame.
    pub(crate) fn to_frame(&self, source: MacAddr, destination: MacAddr) -> Vec<u8> {
        let ether_type = if self.is_v6() { EtherType::IPV6 } else { EtherType::IPV4 };
        let header = Ethernet2Header { source: source.0, destination: destination.0, ether_type };
        let mut bytes = header.to_bytes().to_vec();
        bytes.extend(self.to_bytes());
        bytes
    }

    /// Reads a frame that a host sent: TCP, or an echo request.
    ///
    /// Checks what a router or host would check: a packet with a wrong checksum is an error here.
    pub(crate) fn from_frame(frame: &[u8]) -> Result<Self, String> {
        let sliced = SlicedPacket::from_ethernet(frame).map_err(|e| e.to_string())?;
        let mut packet = match &sliced.net {
            Some(NetSlice::Ipv4(ip)) => {
                let header = ip.header().to_header();
                if header.header_checksum != header.calc_header_checksum() {
                    return Err("wrong IPv4 header checksum".to_owned());
                }
                Self {
                    source: IpAddr::V4(header.source.into()),
                    destination: IpAddr::V4(header.destination.into()),
                    ttl: header.time_to_live,
                    tos: header.dscp.value() << 2 | header.ecn.value(),
                    identification: header.identification,
                    dont_fragment: header.dont_fragment,
                    flow_label: 0,
                    half: header.more_fragments,
                    body: Body::Other(header.protocol.0),
                }
            }
            Some(NetSlice::Ipv6(ip)) => {
                let header = ip.header().to_header();
                Self {
                    source: IpAddr::V6(header.source_addr()),
                    destination: IpAddr::V6(header.destination_addr()),
                    ttl: header.hop_limit,
                    tos: header.traffic_class,
                    identification: fragment_identification(ip.extensions()),
                    dont_fragment: false,
                    flow_label: header.flow_label.value(),
                    half: ip.is_payload_fragmented(),
                    body: Body::Other(header.next_header.0),
                }
            }
            _ => return Err("not IP".to_owned()),
        };
        if packet.half {
            packet.body = first_fragment_body(&sliced)?;
        }
        match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => {
                packet.body = tcp_body(tcp);
            }
            Some(TransportSlice::Icmpv4(icmp)) => packet.body = echo_body(icmp.slice(), 8, 0)?,
            Some(TransportSlice::Icmpv6(icmp)) => packet.body = echo_body(icmp.slice(), 128, 129)?,
            _ => {}
        }
        // Built again, it must be the same bytes: that covers every checksum and every field kept.
        let is_that =
            |packet: &Self| packet.to_bytes() == frame[14..] || matches!(packet.body, Body::Other(_));
        if !is_that(&packet)
            && let Body::Tcp(tcp) = &mut packet.body
        {
            tcp.bad_checksum = true;
        }
        if !is_that(&packet) {
            return Err("a checksum is wrong, or a field is one the simulation does not carry".to_owned());
        }
        Ok(packet)
    }
}

fn fragment_identification(extensions: &Ipv6ExtensionsSlice<'_>) -> u16 {
    let identification = |extension| match extension {
        Ipv6ExtensionSlice::Fragment(fragment) => Some(fragment.identification() as u16),
        _ => None,
    };
    extensions.clone().into_iter().find_map(identification).unwrap_or(0)
}

/// The TCP header that a first fragment begins with.
fn first_fragment_body(sliced: &SlicedPacket<'_>) -> Result<Body, String> {
    let payload = sliced.net.as_ref().and_then(|net| net.ip_payload_ref()).ok_or("not IP")?;
    let tcp = TcpSlice::from_slice(payload.payload).map_err(|e| e.to_string())?;
    Ok(tcp_body(&tcp))
}

fn tcp_body(tcp: &TcpSlice<'_>) -> Body {
    Body::Tcp(Tcp {
        source_port: tcp.source_port(),
        destination_port: tcp.destination_port(),
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        flags: tcp.slice()[13] & 0x3f,
        window: tcp.window_size(),
        options: tcp.options().to_vec(),
        data: tcp.payload().to_vec(),
        bad_checksum: false,
    })
}

fn echo_body(icmp: &[u8], request: u8, reply: u8) -> Result<Body, String> {
    match icmp {
        &[kind, 0, _, _, a, b, c, d, ref data @ ..] if kind == request || kind == reply => Ok(Body::Echo {
            reply: kind == reply,
            identifier: u16::from_be_bytes([a, b]),
            sequence: u16::from_be_bytes([c, d]),
            data: data.to_vec(),
        }),
        _ => Err("an ICMP message that no probe is".to_owned()),
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.body {
            Body::Tcp(tcp) => {
                write!(
                    f,
                    "{}:{} > {}:{} ",
                    self.source, tcp.source_port, self.destination, tcp.destination_port
                )?;
                for (bit, name) in [(SYN, "S"), (FIN, "F"), (RST, "R"), (PSH, "P"), (ACK, ".")] {
                    if tcp.has(bit) {
                        f.write_str(name)?;
                    }
                }
                write!(f, " seq {} ack {}", tcp.seq, tcp.ack)?;
                if tcp.bad_checksum {
                    f.write_str(" (wrong checksum)")?;
                }
                if !tcp.data.is_empty() {
                    write!(f, " {:?}", String::from_utf8_lossy(&tcp.data))?;
                }
            }
            Body::Echo { reply, identifier, sequence, .. } => write!(
                f,
                "{} > {} echo {} {identifier}/{sequence}",
                self.source,
                self.destination,
                if *reply { "reply" } else { "request" }
            )?,
            Body::Error(error) => write!(
                f,
                "{} > {} {:?}{} about [{}]",
                self.source,
                self.destination,
                error.kind,
                if error.short { " (8 bytes)" } else { "" },
                error.quote
            )?,
            Body::Other(number) => {
                write!(f, "{} > {} protocol {number}", self.source, self.destination)?;
            }
        }
        write!(f, " ttl {} id {}", self.ttl, self.identification)?;
        if self.tos != 0 {
            write!(f, " tos {:#x}", self.tos)?;
        }
        if self.half { f.write_str(" (first fragment)") } else { Ok(()) }
    }
}

/// The options of a Linux SYN or SYN/ACK: MSS, SACK permitted, timestamps, NOP, window scale 7.
pub(crate) fn linux_options(mss: u16, tsval: u32, tsecr: u32) -> Vec<u8> {
    let mut options = vec![2, 4];
    options.extend(mss.to_be_bytes());
    options.extend([4, 2, 8, 10]);
    options.extend(tsval.to_be_bytes());
    options.extend(tsecr.to_be_bytes());
    options.extend([1, 3, 3, 7]);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syn(v6: bool) -> Packet {
        let (source, destination) = if v6 { ("fd22::2", "2001:db8::4") } else { ("10.22.1.2", "198.19.0.4") };
        Packet {
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
            ttl: 3,
            tos: 0xb8,
            identification: if v6 { 0 } else { 0xc0de },
            dont_fragment: !v6,
            flow_label: if v6 { 0x1_2345 } else { 0 },
            half: false,
            body: Body::Tcp(Tcp {
                source_port: 40000,
                destination_port: 22,
                seq: 7,
                ack: 0,
                flags: SYN,
                window: 1025,
                options: linux_options(1460, 99, 0),
                data: vec![],
                bad_checksum: false,
            }),
        }
    }

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    #[test]
    fn a_frame_reads_back_as_the_packet_it_was() {
        for v6 in [false, true] {
            let packet = syn(v6);
            assert_eq!(Packet::from_frame(&packet.to_frame(MAC, MAC)), Ok(packet.clone()));
            assert_eq!(packet.tcp().and_then(Tcp::tsval), Some(99));
            let echo = Body::Echo { reply: false, identifier: 1, sequence: 2, data: vec![1, 2, 3, 4] };
            let half = Packet { half: true, dont_fragment: false, identification: 0xc0de, ..packet.clone() };
            assert_eq!(Packet::from_frame(&half.to_frame(MAC, MAC)), Ok(half));
            let packet = Packet { body: echo, tos: 0, ..packet };
            assert_eq!(Packet::from_frame(&packet.to_frame(MAC, MAC)), Ok(packet));
        }
    }

    #[test]
    fn a_wrong_checksum_is_noticed() {
        for (v6, offset) in [(false, 14 + 20 + 16), (true, 14 + 40 + 16), (false, 14 + 10)] {
            let mut frame = syn(v6).to_frame(MAC, MAC);
            frame[offset] ^= 1;
            assert!(Packet::from_frame(&frame).is_err());
        }
    }

    #[test]
    fn errors_quote_as_much_as_asked() {
        for (v6, header) in [(false, 20), (true, 40)] {
            let quoted = syn(v6);
            for (short, len) in [(true, header + 8), (false, header + 40)] {
                let error =
                    IcmpError { kind: ErrorKind::TimeExceeded, quote: Box::new(quoted.clone()), short };
                let packet = quoted.answer(quoted.destination, 64, Body::Error(error));
                let bytes = packet.to_bytes();
                assert_eq!(bytes.len(), header + 8 + len);
                assert_eq!(bytes[header + 8..], quoted.to_bytes()[..len]);
                assert_eq!(bytes[header], if v6 { 3 } else { 11 });
            }
        }
    }

    #[test]
    fn icmp_checksums_are_right() {
        let quoted = syn(false);
        let error =
            IcmpError { kind: ErrorKind::AdminProhibited, quote: Box::new(quoted.clone()), short: true };
        let bytes = quoted.answer(quoted.destination, 64, Body::Error(error)).to_bytes();
        // RFC 1071: the one's complement sum over a message with its checksum in place is all ones.
        let sum: u32 = bytes[20..].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }
}
