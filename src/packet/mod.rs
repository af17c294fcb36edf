//! Bytes to packets and back. This room judges nothing.
//!
//! [`decode_captured`] is total: any bytes give either a [`Packet`] or the reason why not, without panicking and
//! without allocating; [`glance()`] reads the same from the frames that large captures consist of, several times as fast.
//! [`build`] makes the probes.
//!
//! Terms are those of RFC 9293 (TCP), RFC 791 and 8200 (IP), RFC 792 and 4443 (ICMP), RFC 4884 (ICMP extensions).

pub mod build;
mod decode;
mod glance;
mod icmp;
mod ip;
mod link;
mod request;
#[cfg(test)]
mod samples;
pub mod ssh;
mod tcp;
mod tunnel;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub use decode::{Undecoded, Unopened, decode, decode_captured};
pub use glance::{Glance, Glanced, glance};
pub use icmp::{
    EchoToken, Icmp, IcmpError, IcmpErrorKind, Quoted, QuotedTcp, QuotedTcpRest, QuotedTransport,
};
pub use link::LinkType;
pub use request::Request;
pub use tcp::{OptionLayout, SeqNumber, Tcp, TcpFlags, TcpOption, TcpOptions};

/// Time to live (RFC 791) or hop limit (RFC 8200): how many more routers a packet may cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HopLimit(pub u8);

impl fmt::Display for HopLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A 48-bit link-layer address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [m0, m1, m2, m3, m4, m5] = self.0;
        write!(f, "{m0:02x}:{m1:02x}:{m2:02x}:{m3:02x}:{m4:02x}:{m5:02x}")
    }
}

/// One decoded IP packet, borrowed from the captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// What the link layer said (within a tunnel, the one within it).
    pub link: Link,
    /// The IP header: of packets within packets, the innermost one's.
    pub ip: Ip,
    /// What the IP packet carries.
    pub transport: Transport<'a>,
}

impl Packet<'_> {
    /// Source address and port, if the packet is TCP.
    pub fn tcp_source(&self) -> Option<SocketAddr> {
        match &self.transport {
            Transport::Tcp(tcp) => Some(SocketAddr::new(self.ip.source, tcp.source_port)),
            _ => None,
        }
    }

    /// Destination address and port, if the packet is TCP.
    pub fn tcp_destination(&self) -> Option<SocketAddr> {
        match &self.transport {
            Transport::Tcp(tcp) => Some(SocketAddr::new(self.ip.destination, tcp.destination_port)),
            _ => None,
        }
    }
}

/// What the link layer says of a packet; all absent on links without addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Link-layer source.
    pub source: Option<MacAddr>,
    /// Link-layer destination (not recorded by Linux cooked captures).
    pub destination: Option<MacAddr>,
    /// Packet type of a Linux cooked capture (0 to us, 1 broadcast, 2 multicast, 3 to another host, 4 sent by us).
    pub cooked_type: Option<u16>,
}

/// The fields of an IPv4 or IPv6 header that a diagnosis needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL or hop limit as received.
    pub hop_limit: HopLimit,
    /// DSCP and ECN: the TOS byte (RFC 791) or traffic class (RFC 8200), as on the wire.
    pub traffic_class: u8,
    /// IPv4 identification (or that of an IPv6 fragment header).
    pub identification: Option<u32>,
    /// IPv6 flow label.
    pub flow_label: Option<u32>,
    /// IPv4 DF bit; always true for IPv6, which routers never fragment.
    pub dont_fragment: bool,
    /// Which part of a datagram this is.
    pub fragment: Fragment,
    /// Protocol number of the transport, after any IPv6 extension headers.
    pub protocol: u8,
    /// Bytes of transport header and data that the IP header claims (the capture may hold fewer).
    pub payload_len: u32,
    /// The checksum of the IPv4 header is wrong, so that no kernel takes the packet. None, which hardware has still to
    /// fill in, is not.
    pub is_damaged: bool,
}

/// Which part of an IP datagram a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// All of it.
    Whole,
    /// The first part, which holds the transport header.
    First,
    /// A later part, without a transport header.
    Later,
}

/// What an IP packet carries.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'a> {
    /// A TCP segment.
    Tcp(Tcp<'a>),
    /// An ICMP (v4 or v6) message.
    Icmp(Icmp<'a>),
    /// A fragment without a transport header.
    LaterFragment,
    /// Any other protocol (its number is in [`Ip::protocol`]).
    Other,
}
