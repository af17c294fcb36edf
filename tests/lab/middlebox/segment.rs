//! A TCP segment in its frame, taken apart and put together again.

use std::net::IpAddr;

use etherparse::{
    Ethernet2Header, IpHeaders, NetHeaders, PacketBuilder, PacketHeaders, TcpHeader, TransportHeader,
};

/// A whole TCP segment.
pub(super) struct Segment<'a> {
    pub(super) ethernet: Ethernet2Header,
    pub(super) ip: IpHeaders,
    pub(super) tcp: TcpHeader,
    pub(super) payload: &'a [u8],
}

/// A connection, whichever way its packets go: the lesser end first.
pub(super) type Connection = [(IpAddr, u16); 2];

impl<'a> Segment<'a> {
    /// `None` for all else: ARP, ICMP, fragments.
    pub(super) fn read(frame: &'a [u8]) -> Option<Self> {
        let headers = PacketHeaders::from_ethernet_slice(frame).ok()?;
        let ethernet = headers.link?.ethernet2()?;
        let ip = match headers.net? {
            NetHeaders::Ipv4(header, extensions) => IpHeaders::Ipv4(header, extensions),
            NetHeaders::Ipv6(header, extensions) => IpHeaders::Ipv6(header, extensions),
            NetHeaders::Arp(_) => return None,
        };
        let Some(TransportHeader::Tcp(tcp)) = headers.transport else { return None };
        Some(Self { ethernet, ip, tcp, payload: headers.payload.slice() })
    }

    /// The frame, with lengths and checksums that fit.
    pub(super) fn frame(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(self.ethernet.source, self.ethernet.destination)
            .ip(self.ip.clone())
            .tcp_header(self.tcp.clone())
            .write(&mut frame, self.payload)
            .expect("what fitted a frame fits again");
        frame
    }

    pub(super) fn ttl(&self) -> u8 {
        match &self.ip {
            IpHeaders::Ipv4(header, _) => header.time_to_live,
            IpHeaders::Ipv6(header, _) => header.hop_limit,
        }
    }

    pub(super) fn connection(&self) -> Connection {
        let (source, destination): (IpAddr, IpAddr) = match &self.ip {
            IpHeaders::Ipv4(header, _) => (header.source.into(), header.destination.into()),
            IpHeaders::Ipv6(header, _) => (header.source.into(), header.destination.into()),
        };
        let mut ends = [(source, self.tcp.source_port), (destination, self.tcp.destination_port)];
        ends.sort_unstable();
        ends
    }

    /// The sequence number after all it holds.
    pub(super) fn end(&self) -> u32 {
        let flags = u32::from(self.tcp.syn) + u32::from(self.tcp.fin);
        self.tcp.sequence_number.wrapping_add(self.payload.len() as u32).wrapping_add(flags)
    }
}
