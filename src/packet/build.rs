//! Probes, as bytes: a SYN as the operating system would send it, an ICMP echo, a reset.

use std::net::{IpAddr, SocketAddr};

use super::{HopLimit, Ip, MacAddr, SeqNumber};

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

/// The IP packet of a SYN probe. Source and destination must be of one family.
pub fn syn(probe: &Syn) -> Vec<u8> {
    let _ = probe;
    todo!()
}

/// The IP packet of an echo request, with 8 bytes of data and an ICMP checksum that is the same for every
/// `sequence` of one `identifier` (per-flow load balancers hash it: RFC 2992 practice, "Paris").
pub fn echo(probe: &Echo) -> Vec<u8> {
    let _ = probe;
    todo!()
}

/// The IP packet of a reset, hop limit 64.
pub fn reset(probe: &Reset) -> Vec<u8> {
    let _ = probe;
    todo!()
}

/// An Ethernet frame around an IP packet; the EtherType follows the packet's version.
pub fn ethernet(source: MacAddr, destination: MacAddr, ip_packet: &[u8]) -> Vec<u8> {
    let _ = (source, destination, ip_packet);
    todo!()
}

/// Whether the TCP checksum of `segment` is right; `None` where it is not captured whole.
pub(super) fn tcp_checksum_ok(ip: &Ip, segment: &[u8]) -> Option<bool> {
    let _ = (ip, segment);
    todo!()
}
