//! ICMP (RFC 792) and ICMPv6 (RFC 4443) messages, and what the errors quote of the packet they are about.

use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;
use etherparse::{IpNumber, icmpv4, icmpv6, ip_number};

use super::tcp::header_len;
use super::{Fragment, HopLimit, Ip, OptionLayout, SeqNumber, TcpFlags, TcpOptions, Undecoded, ip};

/// An ICMP or ICMPv6 message.
#[derive(Clone, Copy, Debug)]
pub enum Icmp<'a> {
    /// An error about an earlier packet: v4 destination unreachable, time exceeded and parameter problem; v6
    /// types below 128. Not redirect and source quench: the packet they quote went on.
    Error(IcmpError<'a>),
    /// Echo request.
    EchoRequest {
        /// Identifier.
        identifier: u16,
        /// Sequence number.
        sequence: u16,
        /// The first bytes of its data, where there are so many.
        token: Option<EchoToken>,
    },
    /// Echo reply.
    EchoReply {
        /// Identifier.
        identifier: u16,
        /// Sequence number.
        sequence: u16,
        /// The first bytes of its data, where there are so many.
        token: Option<EchoToken>,
    },
    /// Any other message.
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
}

/// What an ICMP error says, the same words for both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IcmpErrorKind {
    /// Time exceeded in transit: the hop limit ran out (v4 11/0, v6 3/0).
    TimeExceeded,
    /// Fragment reassembly time exceeded (v4 11/1, v6 3/1).
    ReassemblyTimeExceeded,
    /// No route to the network (v4 3/0, 3/6, 3/11; v6 1/0).
    NetUnreachable,
    /// The host does not answer on its link (v4 3/1, 3/7, 3/12; v6 1/3).
    HostUnreachable,
    /// The protocol is not there (v4 3/2; v6 4/1, unrecognized next header).
    ProtocolUnreachable,
    /// Nothing listens on the port, or a firewall says so (v4 3/3; v6 1/4).
    PortUnreachable,
    /// Forbidden by policy (v4 3/9, 3/10, 3/13; v6 1/1, 1/5, 1/6).
    Prohibited,
    /// Fragmentation needed or packet too big (v4 3/4; v6 2/0).
    TooBig,
    /// Any other error (by its type and code): source routes, precedence, scope, parameter problems.
    Other,
}

/// An ICMP error message.
#[derive(Clone, Copy, Debug)]
pub struct IcmpError<'a> {
    /// What it says.
    pub kind: IcmpErrorKind,
    /// Type, as on the wire.
    pub icmp_type: u8,
    /// Code, as on the wire.
    pub code: u8,
    /// The next hop's MTU, in bytes, where the message carries one.
    pub mtu: Option<u32>,
    /// What it quotes of the packet it is about; `None` where that is too short or is not IP.
    pub quoted: Option<Quoted<'a>>,
    /// The RFC 4884 extension structure, header included (empty when there is none).
    pub extensions: &'a [u8],
}

/// The packet an ICMP error is about, as far as it is quoted: as it arrived at the quoting router.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a> {
    /// Quoted source; routers behind some NATs quote an address that is not ours, so never match on it.
    pub source: IpAddr,
    /// Quoted destination.
    pub destination: IpAddr,
    /// TTL or hop limit on arrival (1, or 0, for time exceeded).
    pub hop_limit: HopLimit,
    /// IPv4 identification.
    pub identification: Option<u32>,
    /// DSCP and ECN on arrival.
    pub traffic_class: u8,
    /// The transport header as far as it is quoted.
    pub transport: QuotedTransport,
    /// The quoted bytes, from the IP header on; may end in padding (RFC 4884).
    pub bytes: &'a [u8],
}

/// The first bytes of an echo's data, which come back in the reply.
pub type EchoToken = [u8; 8];

/// The quoted transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotedTransport {
    /// TCP: ports and sequence number need 8 bytes, all else more.
    Tcp(QuotedTcp),
    /// UDP.
    Udp {
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
    },
    /// An ICMP echo request.
    Echo {
        /// Identifier.
        identifier: u16,
        /// Sequence number.
        sequence: u16,
        /// The first bytes of its data, where they are quoted.
        token: Option<EchoToken>,
    },
    /// Something else, or too little of it.
    Other,
}

/// A quoted TCP header: 8 bytes at least (RFC 792), often all of it (RFC 1812, RFC 4443).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotedTcp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub seq: SeqNumber,
    /// The rest of the fixed header, where it is quoted.
    pub rest: Option<QuotedTcpRest>,
}

/// What a quote holds beyond the first 8 bytes of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotedTcpRest {
    /// Control bits.
    pub flags: TcpFlags,
    /// Window.
    pub window: u16,
    /// Checksum.
    pub checksum: u16,
    /// MSS option, if it is quoted.
    pub mss: Option<u16>,
    /// TSval, if it is quoted.
    pub timestamp: Option<u32>,
    /// Option kinds in order, as far as quoted.
    pub options: OptionLayout,
    /// Whether all options are quoted.
    pub is_whole: bool,
}

/// Bytes of the fixed part of every ICMP message.
const HEADER_LEN: usize = 8;
/// Where the extensions start in messages of the days before RFC 4884, which have no length field (section 5.5).
const LEGACY_QUOTE_LEN: usize = 128;

impl IcmpErrorKind {
    /// What a type and code say, if they are an error's.
    pub fn of(icmp_v6: bool, icmp_type: u8, code: u8) -> Option<Self> {
        let header = [icmp_type, code, 0, 0, 0, 0, 0, 0];
        match if icmp_v6 { Icmp::v6(header, &[], false) } else { Icmp::v4(header, &[], false) } {
            Icmp::Error(error) => Some(error.kind),
            _ => None,
        }
    }
}

impl<'a> Icmp<'a> {
    /// Reads the message that `ip` carries, of whose frame `missing` bytes were not captured, where that is known. What an
    /// error quotes may be cut anywhere by whoever sent it, but not by the capture before it tells what it is about.
    pub(super) fn read(ip: &Ip, message: &'a [u8], missing: Option<u32>) -> Result<Self, Undecoded> {
        let Some((header, body)) = message.split_first_chunk::<HEADER_LEN>() else {
            let claimed = if ip.fragment == Fragment::Whole { ip.payload_len } else { u32::MAX };
            return Err(Undecoded::cut_short(message.len(), claimed));
        };
        let is_whole = message.len() as u64 >= u64::from(ip.payload_len);
        let captured_whole = ip.fragment == Fragment::Whole && is_whole;
        let icmp = if ip.source.is_ipv4() {
            Self::v4(*header, body, captured_whole)
        } else {
            Self::v6(*header, body, captured_whole)
        };
        let cut_by_capture = !is_whole && missing != Some(0);
        if cut_by_capture && matches!(icmp, Self::Error(_)) && is_too_short(body) {
            return Err(Undecoded::QuoteCut);
        }
        Ok(icmp)
    }

    fn v4(header: [u8; HEADER_LEN], body: &'a [u8], captured_whole: bool) -> Self {
        use icmpv4 as v4;
        let [kind, code, _, _, id0, id1, seq0, seq1] = header;
        let (identifier, sequence) = (u16::from_be_bytes([id0, id1]), u16::from_be_bytes([seq0, seq1]));
        let token = body.first_chunk().copied();
        let what = match (kind, code) {
            (v4::TYPE_ECHO_REQUEST, 0) => return Self::EchoRequest { identifier, sequence, token },
            (v4::TYPE_ECHO_REPLY, 0) => return Self::EchoReply { identifier, sequence, token },
            (v4::TYPE_DEST_UNREACH, _) => unreachable_v4(code),
            (v4::TYPE_TIME_EXCEEDED, v4::CODE_TIME_EXCEEDED_TTL_EXCEEDED_IN_TRANSIT) => {
                IcmpErrorKind::TimeExceeded
            }
            (v4::TYPE_TIME_EXCEEDED, v4::CODE_TIME_EXCEEDED_FRAG_REASSEMBLY_TIME_EXCEEDED) => {
                IcmpErrorKind::ReassemblyTimeExceeded
            }
            (v4::TYPE_TIME_EXCEEDED | v4::TYPE_PARAMETER_PROBLEM, _) => IcmpErrorKind::Other,
            _ => return Self::Other { kind, code },
        };
        // RFC 1191: routers older than it leave the MTU 0.
        let mtu = (what == IcmpErrorKind::TooBig && sequence != 0).then_some(sequence.into());
        let (quote, extensions) = split_extensions(body, usize::from(id1) * 4, captured_whole);
        let quoted = Quoted::read(quote);
        Self::Error(IcmpError { kind: what, icmp_type: kind, code, mtu, quoted, extensions })
    }

    fn v6(header: [u8; HEADER_LEN], body: &'a [u8], captured_whole: bool) -> Self {
        use icmpv6 as v6;
        let [kind, code, _, _, id0, id1, seq0, seq1] = header;
        let (identifier, sequence) = (u16::from_be_bytes([id0, id1]), u16::from_be_bytes([seq0, seq1]));
        let token = body.first_chunk().copied();
        let what = match (kind, code) {
            (v6::TYPE_ECHO_REQUEST, 0) => return Self::EchoRequest { identifier, sequence, token },
            (v6::TYPE_ECHO_REPLY, 0) => return Self::EchoReply { identifier, sequence, token },
            (v6::TYPE_DST_UNREACH, _) => unreachable_v6(code),
            (v6::TYPE_PACKET_TOO_BIG, _) => IcmpErrorKind::TooBig,
            (v6::TYPE_TIME_EXCEEDED, v6::CODE_TIME_EXCEEDED_HOP_LIMIT_EXCEEDED) => {
                IcmpErrorKind::TimeExceeded
            }
            (v6::TYPE_TIME_EXCEEDED, v6::CODE_TIME_EXCEEDED_FRAGMENT_REASSEMBLY_TIME_EXCEEDED) => {
                IcmpErrorKind::ReassemblyTimeExceeded
            }
            (v6::TYPE_PARAMETER_PROBLEM, v6::CODE_PARAM_PROBLEM_UNRECOG_NEXT_HEADER) => {
                IcmpErrorKind::ProtocolUnreachable
            }
            (..128, _) => IcmpErrorKind::Other,
            _ => return Self::Other { kind, code },
        };
        let mtu = (what == IcmpErrorKind::TooBig).then_some(u32::from_be_bytes([id0, id1, seq0, seq1]));
        let (quote, extensions) = match kind {
            v6::TYPE_DST_UNREACH | v6::TYPE_TIME_EXCEEDED => {
                split_extensions(body, usize::from(id0) * 8, captured_whole)
            }
            _ => (body, &body[body.len()..]),
        };
        let quoted = Quoted::read(quote);
        Self::Error(IcmpError { kind: what, icmp_type: kind, code, mtu, quoted, extensions })
    }
}

fn unreachable_v4(code: u8) -> IcmpErrorKind {
    match code {
        icmpv4::CODE_DST_UNREACH_NET
        | icmpv4::CODE_DST_UNREACH_NET_UNKNOWN
        | icmpv4::CODE_DST_UNREACH_TOS_NET => IcmpErrorKind::NetUnreachable,
        icmpv4::CODE_DST_UNREACH_HOST
        | icmpv4::CODE_DST_UNREACH_HOST_UNKNOWN
        | icmpv4::CODE_DST_UNREACH_TOS_HOST => IcmpErrorKind::HostUnreachable,
        icmpv4::CODE_DST_UNREACH_PROTOCOL => IcmpErrorKind::ProtocolUnreachable,
        icmpv4::CODE_DST_UNREACH_PORT => IcmpErrorKind::PortUnreachable,
        icmpv4::CODE_DST_UNREACH_NEED_FRAG => IcmpErrorKind::TooBig,
        icmpv4::CODE_DST_UNREACH_NET_PROHIB
        | icmpv4::CODE_DST_UNREACH_HOST_PROHIB
        | icmpv4::CODE_DST_UNREACH_FILTER_PROHIB => IcmpErrorKind::Prohibited,
        _ => IcmpErrorKind::Other,
    }
}

fn unreachable_v6(code: u8) -> IcmpErrorKind {
    match code {
        icmpv6::CODE_DST_UNREACH_NO_ROUTE => IcmpErrorKind::NetUnreachable,
        icmpv6::CODE_DST_UNREACH_PROHIBITED
        | icmpv6::CODE_DST_UNREACH_SOURCE_ADDRESS_FAILED_POLICY
        | icmpv6::CODE_DST_UNREACH_REJECT_ROUTE_TO_DEST => IcmpErrorKind::Prohibited,
        icmpv6::CODE_DST_UNREACH_ADDR => IcmpErrorKind::HostUnreachable,
        icmpv6::CODE_DST_UNREACH_PORT => IcmpErrorKind::PortUnreachable,
        _ => IcmpErrorKind::Other,
    }
}

/// Whether a quote ends before the 8 bytes that tell which packet it is about (RFC 792), if that has such.
fn is_too_short(quote: &[u8]) -> bool {
    match ip::read_quoted(quote) {
        Ok((ip, Some(payload))) => {
            let tells = [ip_number::TCP, ip_number::UDP, ip_number::ICMP, ip_number::IPV6_ICMP];
            ip.fragment != Fragment::Later && tells.contains(&IpNumber(ip.protocol)) && payload.len() < 8
        }
        Ok((_, None)) | Err(Undecoded::Truncated) => true,
        Err(_) => false,
    }
}

/// Parts an error's body into what it quotes and the extension structure (RFC 4884); `quote_len` is what the
/// length field says, in bytes, 0 where there is none.
///
/// Where nothing credible stands after the quote, all of the body is quote: the length field's place was
/// "unused" before RFC 4884, and not every router left it zero.
fn split_extensions(body: &[u8], quote_len: usize, captured_whole: bool) -> (&[u8], &[u8]) {
    let (at, credible) = if quote_len > 0 {
        (quote_len, is_extension as fn(&[u8], bool) -> bool)
    } else {
        (LEGACY_QUOTE_LEN, is_checksummed_extension as fn(&[u8], bool) -> bool)
    };
    match body.split_at_checked(at) {
        Some((quote, extensions)) if credible(extensions, captured_whole) => (quote, extensions),
        _ => (body, &body[body.len()..]),
    }
}

/// Whether an extension structure starts here: version 2, and a checksum that is right, absent or beyond telling.
fn is_extension(bytes: &[u8], captured_whole: bool) -> bool {
    match bytes {
        [version, _, 0, 0, ..] => version >> 4 == 2,
        [version, _, _, _, ..] => version >> 4 == 2 && (!captured_whole || sums_up(bytes)),
        _ => false,
    }
}

/// The same, with the proof that a place not announced by a length field needs: it may be quoted data.
fn is_checksummed_extension(bytes: &[u8], captured_whole: bool) -> bool {
    captured_whole && !matches!(bytes, [_, _, 0, 0, ..]) && is_extension(bytes, captured_whole)
}

fn sums_up(bytes: &[u8]) -> bool {
    Sum16BitWords::new().add_slice(bytes).ones_complement() == 0
}

impl<'a> Quoted<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (ip, payload) = ip::read_quoted(bytes).ok()?;
        Some(Self {
            source: ip.source,
            destination: ip.destination,
            hop_limit: ip.hop_limit,
            identification: ip.identification,
            traffic_class: ip.traffic_class,
            transport: payload.map_or(QuotedTransport::Other, |payload| QuotedTransport::read(&ip, payload)),
            bytes,
        })
    }
}

impl QuotedTransport {
    fn read(ip: &Ip, payload: &[u8]) -> Self {
        if ip.fragment == Fragment::Later {
            return Self::Other;
        }
        match (IpNumber(ip.protocol), payload) {
            (ip_number::TCP, _) => QuotedTcp::read(payload).map_or(Self::Other, Self::Tcp),
            (ip_number::UDP, &[s0, s1, d0, d1, ..]) => Self::Udp {
                source_port: u16::from_be_bytes([s0, s1]),
                destination_port: u16::from_be_bytes([d0, d1]),
            },
            (ip_number::ICMP, &[icmpv4::TYPE_ECHO_REQUEST, 0, _, _, id0, id1, seq0, seq1, ref data @ ..])
            | (
                ip_number::IPV6_ICMP,
                &[icmpv6::TYPE_ECHO_REQUEST, 0, _, _, id0, id1, seq0, seq1, ref data @ ..],
            ) => Self::Echo {
                identifier: u16::from_be_bytes([id0, id1]),
                sequence: u16::from_be_bytes([seq0, seq1]),
                token: data.first_chunk().copied(),
            },
            _ => Self::Other,
        }
    }
}

impl QuotedTcp {
    fn read(segment: &[u8]) -> Option<Self> {
        let (&[s0, s1, d0, d1, q0, q1, q2, q3], rest) = segment.split_first_chunk()?;
        Some(Self {
            source_port: u16::from_be_bytes([s0, s1]),
            destination_port: u16::from_be_bytes([d0, d1]),
            seq: SeqNumber(u32::from_be_bytes([q0, q1, q2, q3])),
            rest: QuotedTcpRest::read(rest),
        })
    }
}

impl QuotedTcpRest {
    /// Reads a TCP header from the acknowledgment number on. An impossible data offset is padding after a quote
    /// of 8 bytes, not a header.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (&[_, _, _, _, offset, flags, w0, w1, c0, c1, _, _], after) = bytes.split_first_chunk()?;
        let options_len = header_len(offset)? - 20;
        let whole = after.get(..options_len);
        let options = TcpOptions(whole.unwrap_or(after));
        Some(Self {
            flags: TcpFlags(flags),
            window: u16::from_be_bytes([w0, w1]),
            checksum: u16::from_be_bytes([c0, c1]),
            mss: options.mss(),
            timestamp: options.timestamps().map(|(value, _)| value),
            options: options.layout(),
            is_whole: whole.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{SYN_ACK_V6, SYN_V4, address, patched, v4, v6};
    use crate::packet::{LinkType, Packet, Transport, decode, decode_captured};

    const TCP: &[u8] = SYN_V4.split_at(20).1;
    /// An MPLS label stack object, label 16004, in an extension structure with its checksum.
    const MPLS: [u8; 12] = [0x20, 0, 0x9a, 0x0d, 0, 8, 1, 1, 0x03, 0xe8, 0x41, 0x01];

    fn icmp(packet: &[u8]) -> Icmp<'_> {
        match decode(LinkType::RAW, packet).unwrap().transport {
            Transport::Icmp(icmp) => icmp,
            other => panic!("not ICMP: {other:?}"),
        }
    }

    fn error(packet: &[u8]) -> IcmpError<'_> {
        match icmp(packet) {
            Icmp::Error(error) => error,
            other => panic!("no error: {other:?}"),
        }
    }

    fn error_v4(kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
        v4(1, &[&[kind, code, 0, 0][..], &rest, body].concat())
    }

    fn error_v6(kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
        v6(58, &[&[kind, code, 0, 0][..], &rest, body].concat())
    }

    fn quoted_tcp(transport: QuotedTransport) -> QuotedTcp {
        match transport {
            QuotedTransport::Tcp(tcp) => tcp,
            other => panic!("not TCP: {other:?}"),
        }
    }

    #[test]
    fn echoes() {
        let message = |kind| [kind, 0, 0, 0, 0x12, 0x34, 0, 7, 1, 2, 3];
        for packet in [v4(1, &message(8)), v6(58, &message(128))] {
            assert!(matches!(
                icmp(&packet),
                Icmp::EchoRequest { identifier: 0x1234, sequence: 7, token: None }
            ));
        }
        for packet in [v4(1, &message(0)), v6(58, &message(129))] {
            assert!(matches!(
                icmp(&packet),
                Icmp::EchoReply { identifier: 0x1234, sequence: 7, token: None }
            ));
        }
    }

    #[test]
    fn what_the_capture_cut_off_of_a_quote_is_missed() {
        fn read(packet: &[u8], len: usize, original_len: usize) -> Result<Packet<'_>, Undecoded> {
            decode_captured(LinkType::RAW, &packet[..len], original_len as u32)
        }
        for (packet, quote) in
            [(error_v4(3, 13, [0; 4], &SYN_V4), 28), (error_v6(1, 1, [0; 4], &SYN_ACK_V6), 48)]
        {
            let seq = quote + if quote == 28 { 28 } else { 48 };
            for len in quote..packet.len() {
                let cut = read(&packet, len, packet.len());
                if len < seq {
                    assert_eq!(cut.err(), Some(Undecoded::QuoteCut), "{len} bytes");
                } else {
                    let Transport::Icmp(Icmp::Error(error)) = cut.unwrap().transport else { panic!() };
                    assert!(
                        matches!(error.quoted.unwrap().transport, QuotedTransport::Tcp(_)),
                        "{len} bytes"
                    );
                }
                // On the wire it was no longer: the capture is not to blame.
                assert!(read(&packet, len, len).is_ok(), "{len} bytes");
            }
        }
        // What quotes nothing, or something else, hides nothing.
        let other = error_v4(3, 13, [0; 4], &v4(99, &[0; 20]));
        assert!(read(&other, other.len() - 18, other.len()).is_ok());
        let echo = v4(1, &[8, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert!(read(&echo, echo.len() - 2, echo.len()).is_ok());
    }

    #[test]
    fn each_version_has_its_own_icmp() {
        for packet in [v4(58, &[128, 0, 0, 0, 0, 0, 0, 0]), v6(1, &[8, 0, 0, 0, 0, 0, 0, 0])] {
            assert!(matches!(decode(LinkType::RAW, &packet).unwrap().transport, Transport::Other));
        }
    }

    #[test]
    fn kinds_v4() {
        use IcmpErrorKind::*;
        let unreachable = [
            NetUnreachable,
            HostUnreachable,
            ProtocolUnreachable,
            PortUnreachable,
            TooBig,
            Other,
            NetUnreachable,
            HostUnreachable,
            Other,
            Prohibited,
            Prohibited,
            NetUnreachable,
            HostUnreachable,
            Prohibited,
            Other,
            Other,
        ];
        for (code, kind) in (0..).zip(unreachable) {
            assert_eq!(error(&error_v4(3, code, [0; 4], &SYN_V4)).kind, kind, "code {code}");
        }
        for (kind, code, expected) in
            [(11, 0, TimeExceeded), (11, 1, ReassemblyTimeExceeded), (11, 2, Other), (12, 0, Other)]
        {
            let packet = error_v4(kind, code, [0; 4], &SYN_V4);
            assert_eq!(error(&packet).kind, expected);
            assert_eq!((error(&packet).icmp_type, error(&packet).code), (kind, code));
        }
        for kind in [4, 5, 13] {
            let packet = error_v4(kind, 0, [0; 4], &SYN_V4);
            assert!(matches!(icmp(&packet), Icmp::Other { kind: k, code: 0 } if k == kind));
        }
    }

    #[test]
    fn kinds_v6() {
        use IcmpErrorKind::*;
        for (kind, code, expected) in [
            (1, 0, NetUnreachable),
            (1, 1, Prohibited),
            (1, 2, Other),
            (1, 3, HostUnreachable),
            (1, 4, PortUnreachable),
            (1, 5, Prohibited),
            (1, 6, Prohibited),
            (1, 7, Other),
            (2, 0, TooBig),
            (3, 0, TimeExceeded),
            (3, 1, ReassemblyTimeExceeded),
            (4, 0, Other),
            (4, 1, ProtocolUnreachable),
            (100, 0, Other),
        ] {
            assert_eq!(error(&error_v6(kind, code, [0; 4], &v6(6, TCP))).kind, expected, "{kind}/{code}");
        }
        let redirect = error_v6(137, 0, [0; 4], &[0; 32]);
        assert!(matches!(icmp(&redirect), Icmp::Other { kind: 137, code: 0 }));
    }

    #[test]
    fn the_mtu_is_read_where_there_is_one() {
        assert_eq!(error(&error_v4(3, 4, [0, 0, 5, 0x78], &SYN_V4)).mtu, Some(1400));
        assert_eq!(error(&error_v4(3, 4, [0, 0, 0, 0], &SYN_V4)).mtu, None);
        assert_eq!(error(&error_v4(3, 3, [0, 0, 5, 0x78], &SYN_V4)).mtu, None);
        assert_eq!(error(&error_v6(2, 0, [0, 1, 0, 0], &v6(6, TCP))).mtu, Some(65536));
    }

    #[test]
    fn a_whole_quote() {
        let arrived = patched(&SYN_V4, 8, &[1]);
        let packet = error_v4(11, 0, [0; 4], &patched(&arrived, 1, &[0x20]));
        let quoted = error(&packet).quoted.unwrap();
        assert_eq!((quoted.source, quoted.destination), (address("10.22.0.1"), address("198.19.0.4")));
        assert_eq!((quoted.hop_limit, quoted.traffic_class), (HopLimit(1), 0x20));
        assert_eq!(quoted.identification, Some(0x7701));
        assert_eq!(quoted.bytes.len(), 60);
        let tcp = quoted_tcp(quoted.transport);
        assert_eq!((tcp.source_port, tcp.destination_port), (50022, 22));
        assert_eq!(tcp.seq, SeqNumber(0x1234_5678));
        let rest = tcp.rest.unwrap();
        assert!(rest.flags.is_syn());
        assert_eq!((rest.window, rest.mss, rest.timestamp), (0xfaf1, Some(1460), Some(0x0102_0304)));
        assert_eq!(rest.options.to_string(), "mss,sok,ts,nop,ws");
    }

    #[test]
    fn quotes_are_cut_anywhere() {
        for cut in 0..=60 {
            let packet = error_v4(11, 0, [0; 4], &SYN_V4[..cut]);
            let quoted = error(&packet).quoted;
            assert_eq!(quoted.is_some(), cut >= 20, "{cut}");
            let Some(quoted) = quoted else { continue };
            if cut < 28 {
                assert_eq!(quoted.transport, QuotedTransport::Other, "{cut}");
                continue;
            }
            let tcp = quoted_tcp(quoted.transport);
            assert_eq!((tcp.destination_port, tcp.seq), (22, SeqNumber(0x1234_5678)));
            assert_eq!(tcp.rest.is_some(), cut >= 40, "{cut}");
            let Some(rest) = tcp.rest else { continue };
            assert_eq!(rest.mss.is_some(), cut >= 44, "{cut}");
            assert_eq!(rest.timestamp.is_some(), cut >= 56, "{cut}");
        }
    }

    #[test]
    fn a_rewritten_length_in_the_quote_hides_nothing() {
        // In host byte order, less the header's length, or less than the header: all seen in the wild.
        for length in [[0x3c, 0], [0, 40], [0, 3]] {
            let packet = error_v4(11, 0, [0; 4], &patched(&SYN_V4, 2, &length));
            let tcp = quoted_tcp(error(&packet).quoted.unwrap().transport);
            assert_eq!(tcp.rest.unwrap().timestamp, Some(0x0102_0304));
        }
    }

    #[test]
    fn quoted_udp_echo_and_others() {
        let transport = |protocol, payload: &[u8]| {
            error(&error_v4(11, 0, [0; 4], &v4(protocol, payload))).quoted.unwrap().transport
        };
        assert_eq!(
            transport(17, &[0x82, 0x9a, 0x82, 0x9b, 0, 8, 0, 0]),
            QuotedTransport::Udp { source_port: 33434, destination_port: 33435 }
        );
        let echo = |token| QuotedTransport::Echo { identifier: 9, sequence: 2, token };
        assert_eq!(transport(1, &[8, 0, 0, 0, 0, 9, 0, 2]), echo(None));
        assert_eq!(
            transport(1, &[8, 0, 0, 0, 0, 9, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]),
            echo(Some([1, 2, 3, 4, 5, 6, 7, 8]))
        );
        assert_eq!(transport(1, &[0, 0, 0, 0, 0, 9, 0, 2]), QuotedTransport::Other);
        assert_eq!(transport(47, &[0; 8]), QuotedTransport::Other);
        let later = patched(&v4(6, &[0; 8]), 6, &[0, 5]);
        let packet = error_v4(11, 1, [0; 4], &later);
        assert_eq!(error(&packet).quoted.unwrap().transport, QuotedTransport::Other);
        let packet = error_v6(3, 0, [0; 4], &v6(58, &[128, 0, 0, 0, 0, 9, 0, 2]));
        assert_eq!(error(&packet).quoted.unwrap().transport, echo(None));
    }

    #[test]
    fn quoted_v6_with_extension_headers() {
        let chain = [&[44, 0, 1, 4, 0, 0, 0, 0][..], &[6, 0, 0, 1, 0, 0, 0, 77], TCP].concat();
        let whole = v6(60, &chain);
        let packet = error_v6(3, 1, [0; 4], &whole);
        let quoted = error(&packet).quoted.unwrap();
        assert_eq!((quoted.destination, quoted.hop_limit), (address("2001:db8::4"), HopLimit(7)));
        assert_eq!(quoted.identification, Some(77));
        assert_eq!(quoted_tcp(quoted.transport).rest.unwrap().mss, Some(1460));

        let packet = error_v6(3, 0, [0; 4], &whole[..64]);
        let quoted = error(&packet).quoted.unwrap();
        assert!(quoted_tcp(quoted.transport).rest.is_none());
        let packet = error_v6(3, 0, [0; 4], &whole[..50]);
        assert_eq!(error(&packet).quoted.unwrap().transport, QuotedTransport::Other);
    }

    #[test]
    fn what_is_not_ip_is_no_quote() {
        for body in [&[][..], &[0; 60], &[0x45; 19], &[0x41; 60]] {
            assert!(error(&error_v4(11, 0, [0; 4], body)).quoted.is_none());
        }
    }

    #[test]
    fn extensions_by_the_length_field() {
        let padded = [&SYN_V4[..], &[0; 68], &MPLS].concat();
        let packet = error_v4(11, 0, [0, 32, 0, 0], &padded);
        assert_eq!(error(&packet).extensions, MPLS);
        assert_eq!(error(&packet).quoted.unwrap().bytes.len(), 128);
        assert_eq!(quoted_tcp(error(&packet).quoted.unwrap().transport).rest.unwrap().mss, Some(1460));

        let padded = [&v6(6, TCP)[..], &[0; 48], &MPLS].concat();
        let packet = error_v6(3, 0, [17, 0, 0, 0], &padded);
        assert!(error(&packet).extensions.is_empty(), "17 words are past the structure");
        let packet = error_v6(3, 0, [16, 0, 0, 0], &padded);
        assert_eq!(error(&packet).extensions, MPLS);
        // Packet too big has an MTU where the others have the length.
        let packet = error_v6(2, 0, [16, 0, 0, 0], &padded);
        assert!(error(&packet).extensions.is_empty());
    }

    #[test]
    fn padding_after_eight_bytes_of_tcp_is_no_header() {
        let padded = [&SYN_V4[..28], &[0; 100], &MPLS].concat();
        for rest in [[0, 32, 0, 0], [0; 4]] {
            let packet = error_v4(11, 0, rest, &padded);
            assert_eq!(error(&packet).extensions, MPLS);
            let tcp = quoted_tcp(error(&packet).quoted.unwrap().transport);
            assert_eq!((tcp.destination_port, tcp.rest), (22, None));
        }
    }

    #[test]
    fn extensions_of_routers_older_than_the_length_field() {
        let padded = [&SYN_V4[..], &[0; 68], &MPLS].concat();
        let packet = error_v4(11, 0, [0; 4], &padded);
        assert_eq!(error(&packet).extensions, MPLS);
        let packet = error_v6(1, 0, [0; 4], &[&v6(6, TCP)[..], &[0; 48], &MPLS].concat());
        assert_eq!(error(&packet).quoted.unwrap().bytes.len(), 128);
        assert_eq!(error(&packet).extensions, MPLS);

        // Quoted data that looks like a version 2 header must not pass for extensions.
        for (at, byte) in [(129, 1), (130, 0x9b), (139, 0)] {
            let packet = error_v4(11, 0, [0; 4], &patched(&padded, at, &[byte]));
            assert!(error(&packet).extensions.is_empty());
            assert_eq!(error(&packet).quoted.unwrap().bytes.len(), 140);
        }
        let unsummed = error_v4(11, 0, [0; 4], &patched(&padded, 130, &[0, 0]));
        assert!(error(&unsummed).extensions.is_empty());
    }

    #[test]
    fn a_length_field_full_of_rubbish_cuts_no_quote() {
        let packet = error_v4(11, 0, [0, 1, 0, 0], &SYN_V4);
        assert_eq!(error(&packet).quoted.unwrap().bytes.len(), 60);
        let packet = error_v4(11, 0, [0, 0xff, 0, 0], &SYN_V4);
        assert_eq!(error(&packet).quoted.unwrap().bytes.len(), 60);
    }

    #[test]
    fn a_capture_cut_in_the_extensions_keeps_what_there_is() {
        let padded = [&SYN_V4[..], &[0; 68], &MPLS].concat();
        let packet = error_v4(11, 0, [0, 32, 0, 0], &padded);
        let cut = &packet[..packet.len() - 4];
        assert_eq!(error(cut).extensions, &MPLS[..8]);
        assert_eq!(error(&packet[..packet.len() - 9]).extensions, [0; 0]);
    }

    #[test]
    fn short_messages() {
        let cut = |packet: &[u8]| decode(LinkType::RAW, packet).unwrap_err();
        assert_eq!(cut(&v4(1, &[11, 0, 0, 0, 0, 0, 0])), Undecoded::Malformed);
        assert_eq!(cut(&v4(1, &[11, 0, 0, 0, 0, 0, 0, 0])[..27]), Undecoded::Truncated);
    }
}
