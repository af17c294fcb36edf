//! ICMP (RFC 792) and ICMPv6 (RFC 4443) messages, and what the errors quote of the packet they are about.

use std::net::IpAddr;

use super::{HopLimit, OptionLayout, SeqNumber, TcpFlags};

/// An ICMP or ICMPv6 message.
#[derive(Clone, Copy, Debug)]
pub enum Icmp<'a> {
    /// An error about an earlier packet.
    Error(IcmpError<'a>),
    /// Echo request.
    EchoRequest {
        /// Identifier.
        identifier: u16,
        /// Sequence number.
        sequence: u16,
    },
    /// Echo reply.
    EchoReply {
        /// Identifier.
        identifier: u16,
        /// Sequence number.
        sequence: u16,
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
    /// Any other error (by its type and code).
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
    /// The quoted bytes, from the IP header on.
    pub bytes: &'a [u8],
}

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
    /// MSS option, if it is quoted.
    pub mss: Option<u16>,
    /// TSval, if it is quoted.
    pub timestamp: Option<u32>,
    /// Option kinds in order, as far as quoted.
    pub options: OptionLayout,
}

impl IcmpErrorKind {
    /// Shim.
    pub fn of(v6: bool, icmp_type: u8, code: u8) -> Self {
        let _ = (v6, icmp_type, code);
        Self::Other
    }
}
