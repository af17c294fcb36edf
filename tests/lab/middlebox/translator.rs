//! A source NAT that forgets what ICMP errors quote, as simple ones do.

use std::net::Ipv4Addr;

use etherparse::{Ethernet2Header, Ipv4Header};

use super::{Leaving, Middlebox, Segment, Way};

/// Gives IPv4 packets on their way out another source, and those that come back for it their destination again. Ports
/// stay, and what errors quote stays as it was seen beyond the box.
pub(crate) struct Translator {
    pub(super) inside: Ipv4Addr,
    pub(super) outside: Ipv4Addr,
}

impl Middlebox for Translator {
    fn take(&mut self, way: Way, frame: &[u8], leaving: &mut Leaving) {
        leaving.push((way, self.translated(way, frame).unwrap_or_else(|| frame.to_vec())));
    }
}

impl Translator {
    /// The frame with its new address; `None` where it stays as it is.
    fn translated(&self, way: Way, frame: &[u8]) -> Option<Vec<u8>> {
        let (link, packet) = Ethernet2Header::from_slice(frame).ok()?;
        let (mut header, rest) = Ipv4Header::from_slice(packet).ok()?;
        let (address, from, to) = match way {
            Way::Out => (&mut header.source, self.inside, self.outside),
            Way::Back => (&mut header.destination, self.outside, self.inside),
        };
        if *address != from.octets() {
            return None;
        }
        *address = to.octets();
        header.header_checksum = header.calc_header_checksum();
        let frame = [link.to_bytes().as_slice(), header.to_bytes().as_slice(), rest].concat();
        // A TCP checksum covers the addresses.
        Some(Segment::read(&frame).map(|segment| segment.frame()).unwrap_or(frame))
    }
}
