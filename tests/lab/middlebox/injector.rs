//! A box that forges resets, in the ways that middleboxes are known to.

use std::hash::{BuildHasher, RandomState};

use etherparse::{IpHeaders, IpNumber, Ipv4Header, Ipv6Header, TcpHeader, ip_number};

use super::{Leaving, Middlebox, Segment, Trigger, Way};

/// Resets connections in their ends' names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Injector {
    /// What it waits for.
    pub(crate) on: Trigger,
    /// Whether it works on a copy, so that what it saw goes on.
    pub(crate) copies: bool,
    /// What its resets look like.
    pub(crate) forgery: Forgery,
    /// How many packets it has forged: drives [`Number::Counter`].
    forged: u16,
}

/// What is particular about a forged reset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forgery {
    /// TTL or hop limit it starts with.
    pub(crate) ttl: Number,
    /// Window.
    pub(crate) window: Number,
    /// IPv4 identification.
    pub(crate) id: Number,
    /// Its acknowledgement.
    pub(crate) ack: Ack,
    /// How many are sent in a row.
    pub(crate) count: u8,
    /// Whether the server is reset too.
    pub(crate) both_ends: bool,
}

/// How a field of a forged packet gets its value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    /// Always this one.
    Fixed(u16),
    /// From the packet that drew it.
    Echoed,
    /// Any.
    Random,
    /// One counter for all fields that use it, a step per forged packet.
    Counter,
}

/// What a forged reset acknowledges.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ack {
    /// All of the packet that drew it, as RFC 9293 wants it.
    Next,
    /// Its first number: one too few for a SYN.
    First,
    /// Nothing: the ACK flag is not set.
    Absent,
}

impl Forgery {
    /// As a careful kernel would make it: nothing gives it away but where it comes from.
    pub(crate) const PLAIN: Self = Self {
        ttl: Number::Fixed(64),
        window: Number::Fixed(0),
        id: Number::Fixed(0),
        ack: Ack::Next,
        count: 1,
        both_ends: false,
    };
}

impl Injector {
    /// In the packet's way.
    pub(crate) const fn in_path(on: Trigger, forgery: Forgery) -> Self {
        Self { on, copies: false, forgery, forged: 0 }
    }

    /// Beside the path, on a copy.
    pub(crate) const fn on_path(on: Trigger, forgery: Forgery) -> Self {
        Self { on, copies: true, forgery, forged: 0 }
    }

    /// A reset that answers `seen`, as if the end it was meant for had sent it.
    fn answer(&mut self, seen: &Segment<'_>) -> Vec<u8> {
        let Forgery { ack, .. } = self.forgery;
        let tcp = TcpHeader {
            source_port: seen.tcp.destination_port,
            destination_port: seen.tcp.source_port,
            sequence_number: if seen.tcp.ack { seen.tcp.acknowledgment_number } else { 0 },
            acknowledgment_number: match ack {
                Ack::Next => seen.end(),
                Ack::First => seen.tcp.sequence_number,
                Ack::Absent => 0,
            },
            ack: !matches!(ack, Ack::Absent),
            ..TcpHeader::default()
        };
        self.forge(seen, tcp, true)
    }

    /// A reset in the name of whoever sent `seen`.
    fn behind(&mut self, seen: &Segment<'_>) -> Vec<u8> {
        let tcp = TcpHeader {
            source_port: seen.tcp.source_port,
            destination_port: seen.tcp.destination_port,
            sequence_number: seen.tcp.sequence_number,
            acknowledgment_number: seen.tcp.acknowledgment_number,
            ack: seen.tcp.ack,
            ..TcpHeader::default()
        };
        self.forge(seen, tcp, false)
    }

    fn forge(&mut self, seen: &Segment<'_>, mut tcp: TcpHeader, turned: bool) -> Vec<u8> {
        self.forged = self.forged.wrapping_add(1);
        let Forgery { ttl, window, id, .. } = self.forgery;
        // Counters and dice stay within what crosses the lab, and beyond what a client sends SYNs with.
        let ttl = match ttl {
            Number::Random => 40 + self.number(Number::Random, 0) % 200,
            Number::Counter => 40 + self.forged.wrapping_mul(7) % 200,
            other => self.number(other, seen.ttl().into()),
        } as u8;
        tcp.rst = true;
        tcp.window_size = self.number(window, seen.tcp.window_size);
        let mut ethernet = seen.ethernet.clone();
        if turned {
            std::mem::swap(&mut ethernet.source, &mut ethernet.destination);
        }
        let ip = match &seen.ip {
            IpHeaders::Ipv4(header, _) => {
                let (source, destination) = turn_if(turned, header.source, header.destination);
                let mut ip = Ipv4Header::new(0, ttl, ip_number::TCP, source, destination)
                    .expect("an empty payload fits");
                ip.identification = self.number(id, header.identification);
                ip.dont_fragment = true;
                IpHeaders::Ipv4(ip, Default::default())
            }
            IpHeaders::Ipv6(header, _) => {
                let (source, destination) = turn_if(turned, header.source, header.destination);
                let next_header: IpNumber = ip_number::TCP;
                let ip =
                    Ipv6Header { hop_limit: ttl, source, destination, next_header, ..Ipv6Header::default() };
                IpHeaders::Ipv6(ip, Default::default())
            }
        };
        Segment { ethernet, ip, tcp, payload: &[] }.frame()
    }

    fn number(&self, how: Number, seen: u16) -> u16 {
        match how {
            Number::Fixed(value) => value,
            Number::Echoed => seen,
            Number::Random => RandomState::new().hash_one(self.forged) as u16,
            Number::Counter => self.forged.wrapping_mul(79).wrapping_add(1000),
        }
    }
}

fn turn_if<T>(turned: bool, source: T, destination: T) -> (T, T) {
    if turned { (destination, source) } else { (source, destination) }
}

impl Middlebox for Injector {
    fn take(&mut self, way: Way, frame: &[u8], leaving: &mut Leaving) {
        let seen = Segment::read(frame).filter(|segment| self.on.fits(way, segment));
        let Some(seen) = seen else {
            leaving.push((way, frame.to_vec()));
            return;
        };
        for _ in 0..self.forgery.count {
            // The client is answered; what the server sent is replaced.
            let to_client = if way == Way::Out { self.answer(&seen) } else { self.behind(&seen) };
            leaving.push((Way::Back, to_client));
        }
        if self.forgery.both_ends {
            let to_server = if way == Way::Out { self.behind(&seen) } else { self.answer(&seen) };
            leaving.push((Way::Out, to_server));
        }
        if self.copies {
            leaving.push((way, frame.to_vec()));
        }
    }
}
