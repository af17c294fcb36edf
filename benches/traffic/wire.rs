//! Frames, and the file that they go to. Checksums are left zero, as where the network card computes them.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Rng;

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Client and server of an attempt.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) client: (IpAddr, u16),
    pub(super) server: (IpAddr, u16),
}

impl Ends {
    /// Those of the `i`th attempt: no other has them.
    pub(super) fn of(i: u64, port: u16, rng: &mut Rng) -> Self {
        // 50,000 ports, and as many addresses as that takes.
        let (client_port, host) = (10_000 + (i % 50_000) as u16, (i / 50_000) as u32);
        let server = rng.below(500) as u32;
        let (client, server) = if rng.chance(30) {
            let client = 0x2001_0db8_0000_0001_0000_0000_0000_0000 | u128::from(host);
            let server = 0x2001_0db8_00ff_0000_0000_0000_0000_0000 | u128::from(server) << 16;
            (IpAddr::from(Ipv6Addr::from(client)), IpAddr::from(Ipv6Addr::from(server)))
        } else {
            let (client, server) = (0x0a16_0001 + host, 0xc612_0000 + server);
            (IpAddr::from(Ipv4Addr::from(client)), IpAddr::from(Ipv4Addr::from(server)))
        };
        Self { client: (client, client_port), server: (server, port) }
    }

    pub(super) fn of_flood(i: u64) -> Self {
        let (client, port) = (0x0a00_0000 + (i / 60_000) as u32, 1_024 + (i % 60_000) as u16);
        Self {
            client: (Ipv4Addr::from(client).into(), port),
            server: (Ipv4Addr::new(198, 19, 0, 4).into(), 22),
        }
    }

    pub(super) fn router(&self) -> IpAddr {
        match self.client.0 {
            IpAddr::V4(_) => Ipv4Addr::new(10, 22, 255, 1).into(),
            IpAddr::V6(_) => "2001:db8:1::1".parse().expect("it is an address"),
        }
    }
}

/// Writes the file header: nanoseconds, Ethernet.
pub(super) fn header(out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"\x4d\x3c\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x01\0\0\0")
}

/// One frame; its room is used again for the next.
#[derive(Default)]
pub(super) struct Frame {
    bytes: Vec<u8>,
    length: usize,
}

impl Frame {
    pub(super) fn write(&self, at: u64, out: &mut impl Write) -> io::Result<()> {
        let (seconds, nanos) = ((at / 1_000_000_000) as u32, (at % 1_000_000_000) as u32);
        for field in [seconds, nanos, self.bytes.len() as u32, self.length as u32] {
            out.write_all(&field.to_le_bytes())?;
        }
        out.write_all(&self.bytes)
    }

    /// A segment between `ends`.
    pub(super) fn tcp(&mut self, ends: &Ends, from_client: bool, flags: u8, seq: u32, ack: u32, data: &[u8]) {
        let (from, to) = if from_client { (ends.client, ends.server) } else { (ends.server, ends.client) };
        // MSS and more on SYNs, timestamps on all but resets.
        let options: &[u8] = match flags & (SYN | RST) {
            SYN => b"\x02\x04\x05\xb4\x04\x02\x08\x0a\0\0\0\x01\0\0\0\0\x01\x03\x03\x07",
            RST => b"",
            _ => b"\x01\x01\x08\x0a\0\0\0\x02\0\0\0\x01",
        };
        let header = 20 + options.len();
        self.ip(from.0, to.0, TCP, header + data.len());
        let bytes = &mut self.bytes;
        bytes.extend(from.1.to_be_bytes());
        bytes.extend(to.1.to_be_bytes());
        bytes.extend(seq.to_be_bytes());
        bytes.extend(ack.to_be_bytes());
        bytes.extend([(header as u8 / 4) << 4, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        bytes.extend(options);
        bytes.extend(data);
        self.length = bytes.len();
    }

    /// An ICMP error of the router on the way about the client's SYN: communication administratively prohibited.
    pub(super) fn prohibited(&mut self, ends: &Ends, isn: u32) {
        let mut quoted = Self::default();
        quoted.tcp(ends, true, SYN, isn, 0, &[]);
        let quote = &quoted.bytes[14..];
        let (protocol, message) = match ends.client.0 {
            IpAddr::V4(_) => (1, [3, 13, 0, 0, 0, 0, 0, 0]),
            IpAddr::V6(_) => (58, [1, 1, 0, 0, 0, 0, 0, 0]),
        };
        self.ip(ends.router(), ends.client.0, protocol, 8 + quote.len());
        self.bytes.extend(message);
        self.bytes.extend(quote);
        self.length = self.bytes.len();
    }

    /// Traffic that has nothing to do with any attempt: DNS, or a segment of a connection that began before the capture.
    pub(super) fn other(&mut self, rng: &mut Rng) {
        let (from, to) =
            (Ipv4Addr::from(0x0a16_8000 + rng.below(200) as u32), Ipv4Addr::new(198, 18, 255, 1));
        if rng.chance(50) {
            self.ip(from.into(), to.into(), UDP, 48);
            self.bytes.extend([0xc0, 0, 0, 53, 0, 48, 0, 0]);
            self.bytes.extend([0; 40]);
            self.length = self.bytes.len();
        } else {
            let ends = Ends { client: (from.into(), 40_000), server: (to.into(), 443) };
            self.tcp(&ends, true, ACK | PSH, rng.next() as u32, rng.next() as u32, &[0x17; 100]);
        }
    }

    /// Ethernet and IP headers of a packet with `length` bytes after them.
    fn ip(&mut self, from: IpAddr, to: IpAddr, protocol: u8, length: usize) {
        let bytes = &mut self.bytes;
        bytes.clear();
        bytes.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                bytes.extend([8, 0, 0x45, 0]);
                bytes.extend((20 + length as u16).to_be_bytes());
                bytes.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
                bytes.extend(from.octets());
                bytes.extend(to.octets());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                bytes.extend((length as u16).to_be_bytes());
                bytes.extend([protocol, 64]);
                bytes.extend(from.octets());
                bytes.extend(to.octets());
            }
            _ => unreachable!("both ends are of one family"),
        }
    }
}
