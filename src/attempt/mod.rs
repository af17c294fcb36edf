//! Records to TCP connection attempts. An attempt is one SYN: a pair of endpoints and an initial sequence number.

mod census;
mod connection;
mod outcome;
mod own;
mod reset;
mod seg;
mod signature;
mod stream;
#[cfg(test)]
mod tests;
mod timeline;
mod tracked;
mod tracker;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

pub use census::{Batch, Census, Concerns, Limits, Ports, Sieve};
pub use connection::{Connection, Connections};
pub use outcome::{Handshake, Outcome, ResetBy};
pub use own::OwnQuestions;
pub use reset::SynReset;
pub use signature::Signature;
pub use stream::{Banner, ssh_line};
pub use tracker::{MAX_ATTEMPTS, Tracker};

use crate::packet::{HopLimit, IcmpErrorKind, OptionLayout, QuotedTcp, Request, SeqNumber};
use crate::recording::{RecordNumber, Timestamp};

/// One TCP connection attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Who sent the SYN.
    pub client: SocketAddr,
    /// Where to.
    pub server: SocketAddr,
    /// Initial sequence number.
    pub isn: SeqNumber,
    /// When the first SYN was seen.
    pub first_syn: Timestamp,
    /// SYNs seen, retransmissions included.
    pub syn: u32,
    /// SYN/ACKs seen, retransmissions included.
    pub syn_ack: u32,
    /// How far the handshake got.
    pub handshake: Handshake,
    /// Who reset it after the handshake.
    pub reset_after_handshake_by: Option<ResetBy>,
    /// Bytes of data the client sent, retransmissions not counted.
    pub client_bytes: u64,
    /// Bytes of data the server sent, retransmissions not counted.
    pub server_bytes: u64,
    /// The server's first line beginning `SSH-`, without its line end.
    pub server_banner: Option<Banner>,
    /// The ICMP error that answered the SYN.
    pub icmp: Option<IcmpAnswer>,
    /// How it ended.
    pub outcome: Outcome,
    /// How it ended, the client's own FIN and RST left aside: what the path and the server made of it.
    pub outcome_of_path: Outcome,
    /// The tampering signature of its end.
    pub signature: Option<Signature>,
    /// What was seen of it, in order (the first entries only, if there are very many).
    pub timeline: Vec<Entry>,
    /// What the client asked for in data with a sweep's hop limit: the first few requests that differ.
    pub requests: Vec<Asked>,
}

/// Operating systems start with a greater hop limit.
const PROBE_HOP_LIMIT: u8 = 32;

impl Segment {
    /// Whether it was sent with a sweep's hop limit.
    pub fn is_probe(&self) -> bool {
        self.hop_limit.0 <= PROBE_HOP_LIMIT
    }
}

impl Attempt {
    /// Has the processor fetch the banner, which lies elsewhere and nobody has looked at since it was sent: worth doing a
    /// little before an attempt is told. It changes nothing.
    #[inline]
    pub fn fetch(&self) {
        if let Some(banner) = &self.server_banner {
            banner.fetch();
        }
    }

    /// Whether a tracer made it: a SYN of it was sent with a sweep's hop limit.
    pub fn is_probe(&self) -> bool {
        self.timeline.iter().any(|entry| match &entry.what {
            What::Syn(segment) => segment.is_probe(),
            _ => false,
        })
    }

    /// Whether it is no attempt to connect at all: the first fragments of SYNs, whose rest never came.
    pub fn is_half(&self) -> bool {
        self.timeline.first().is_some_and(|entry| matches!(&entry.what, What::Syn(syn) if syn.half))
    }
}

/// An ICMP error that answered a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpAnswer {
    /// Type on the wire.
    pub icmp_type: u8,
    /// Code on the wire.
    pub code: u8,
    /// Who sent it.
    pub from: IpAddr,
}

/// One packet of an attempt's timeline.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The record that holds it.
    pub record: RecordNumber,
    /// When it was captured.
    pub at: Timestamp,
    /// What it was.
    pub what: What,
}

/// What a packet of an attempt was.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// The client's SYN, first or again.
    Syn(Segment),
    /// The server's SYN/ACK.
    SynAck(Segment),
    /// An ACK without data, from the client.
    Ack(Segment),
    /// An ACK without data, from the server.
    Acked(Segment),
    /// Data.
    Data {
        /// Whether the client sent it.
        from_client: bool,
        /// Its header.
        segment: Segment,
        /// Bytes of data.
        len: u32,
        /// Whether it begins with `SSH-`, as an identification line does.
        identifies: bool,
        /// Which of the attempt's requests it is, if any.
        request: Option<u8>,
    },
    /// A FIN (with or without data).
    Fin {
        /// Whether the client sent it.
        from_client: bool,
        /// Its header.
        segment: Segment,
    },
    /// A reset.
    Rst {
        /// Whether the client sent it.
        from_client: bool,
        /// Its header.
        segment: Segment,
        /// Whether a client that follows RFC 9293 would have to believe it.
        acceptable: bool,
    },
    /// An ICMP error quoting a packet of this attempt.
    Icmp(IcmpSeen),
}

/// A request, in words; equal to another if both ask for the same.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it says, escaped and cut short.
    pub words: String,
    /// Of all that it asks for.
    digest: u64,
}

impl Asked {
    /// The request that data holds.
    pub fn of(data: &[u8]) -> Self {
        let request = Request::of(data);
        // With fixed keys: an attacker who finds two requests that are taken for one hides what only they sent.
        let mut hasher = DefaultHasher::new();
        request.hash(&mut hasher);
        Self { words: request.to_string(), digest: hasher.finish() }
    }
}

impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Asked {}

/// The telling fields of a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// TTL or hop limit: as sent for our own, as received for others.
    pub hop_limit: HopLimit,
    /// IPv4 identification.
    pub identification: Option<u32>,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Sequence number.
    pub seq: SeqNumber,
    /// Acknowledgment number, as on the wire even without the ACK bit.
    pub ack: SeqNumber,
    /// Control bits.
    pub flags: crate::packet::TcpFlags,
    /// Window.
    pub window: u16,
    /// TSval and TSecr.
    pub timestamps: Option<(u32, u32)>,
    /// MSS option.
    pub mss: Option<u16>,
    /// Option kinds in order.
    pub options: OptionLayout,
    /// The checksum of a client's segment, as it is on the wire, where that could be told.
    pub checksum: Option<u16>,
    /// Whether the checksum was right, where that could be told.
    pub checksum_ok: Option<bool>,
    /// Whether the frame was addressed to the capturing machine's own link-layer address, where known.
    pub to_us: Option<bool>,
    /// Whether it came as the first of several IP fragments.
    pub half: bool,
}

impl Segment {
    /// DSCP, 6 bits (RFC 2474).
    pub fn dscp(&self) -> u8 {
        self.traffic_class >> 2
    }
}

/// An ICMP error about a packet of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpSeen {
    /// What it says.
    pub kind: IcmpErrorKind,
    /// Type on the wire.
    pub icmp_type: u8,
    /// Code on the wire.
    pub code: u8,
    /// Who sent it.
    pub from: IpAddr,
    /// TTL or hop limit of the ICMP packet itself, as received.
    pub hop_limit: HopLimit,
    /// TTL or hop limit in the quote: what was left when the packet arrived.
    pub quoted_hop_limit: HopLimit,
    /// What it is about.
    pub about: About,
    /// The next hop's MTU, in bytes, where the error says it.
    pub mtu: Option<u32>,
    /// What it quotes: the packet as it arrived at the sender of the error.
    pub quote: Quote,
}

/// A quoted packet, as far as it is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Source address.
    pub source: IpAddr,
    /// IPv4 identification (or that of an IPv6 fragment header).
    pub identification: Option<u32>,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub hop_limit: HopLimit,
    /// The TCP header.
    pub tcp: QuotedTcp,
}

/// Which packet of an attempt an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The SYN at this index of the timeline.
    Syn(usize),
    /// A SYN that can't be told from its repetitions.
    SomeSyn,
    /// The data of the client at this index of the timeline.
    Data(usize),
    /// Another later packet of the client.
    Later,
}
