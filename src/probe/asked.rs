//! The flows a trace makes: fresh ports and numbers from the recorded seed, and what each was used for.

use std::net::{IpAddr, SocketAddr};

use crate::packet::{HopLimit, SeqNumber, build};

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere for one seed.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self) -> [u8; 6] {
        let [bytes @ .., _, _] = self.next().to_le_bytes();
        bytes
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u16, high: u16) -> u16 {
        low + (self.next() % u64::from(high - low + 1)) as u16
    }
}

/// First source port of crafted SYNs: below Linux's ephemeral range (32768 on), so that no socket of this machine
/// owns one.
const FIRST_PORT: u16 = 20_000;
const LAST_PORT: u16 = 31_999;

/// Makes flows and tags packets.
#[derive(Clone, Debug)]
pub(super) struct Flows {
    source: IpAddr,
    target: IpAddr,
    mss: u16,
    window: u16,
    flow_label: u32,
    next_port: u16,
    next_tag: u16,
    timestamp_base: u32,
    echo_identifier: u16,
    echo_sequence: u16,
    echo_token: [u8; 6],
    /// Segments of data so far.
    data: u32,
    random: Random,
    made: Vec<Flow>,
    unopened: Vec<Flow>,
}

/// One crafted 5-tuple with its initial sequence number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) isn: SeqNumber,
}

/// What a segment of an established connection says in its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    /// The number of the next byte that the client would send.
    pub(super) next: SeqNumber,
    pub(super) acknowledged: SeqNumber,
    pub(super) window: u16,
    pub(super) timestamps: Option<(u32, u32)>,
    /// The longest segment that both sides agreed on, without options, in bytes.
    pub(super) mss: u16,
}

impl Flows {
    pub(super) fn new(source: IpAddr, target: IpAddr, mss: u16, mut random: Random) -> Self {
        Self {
            source,
            target,
            mss,
            // Odd and in no operating system's habit, so that an echo of it is conclusive.
            window: random.between(20_000, 28_000) | 1,
            flow_label: (random.next() & 0xf_ffff) as u32,
            next_port: random.between(FIRST_PORT, LAST_PORT - 500),
            next_tag: random.next() as u16,
            timestamp_base: random.next() as u32,
            echo_identifier: random.next() as u16,
            echo_sequence: random.next() as u16,
            echo_token: random.bytes(),
            data: 0,
            random,
            made: Vec::new(),
            unopened: Vec::new(),
        }
    }

    /// A flow to `port` that was never used.
    pub(super) fn fresh(&mut self, port: u16) -> Flow {
        let flow = self.unused(port);
        self.made.push(flow);
        flow
    }

    /// A flow to `port` that was never used, and that what is sent on it should not open.
    pub(super) fn unopened(&mut self, port: u16) -> Flow {
        let flow = self.unused(port);
        self.unopened.push(flow);
        flow
    }

    fn unused(&mut self, port: u16) -> Flow {
        let flow = Flow {
            source: SocketAddr::new(self.source, self.next_port),
            destination: SocketAddr::new(self.target, port),
            isn: SeqNumber(self.random.next() as u32),
        };
        self.next_port = if self.next_port >= LAST_PORT { FIRST_PORT } else { self.next_port + 1 };
        flow
    }

    /// A SYN of `flow`, its identification and timestamp unlike any other's.
    pub(super) fn syn(&mut self, flow: Flow, hop_limit: u8) -> build::Syn {
        let tag = self.tag();
        build::Syn {
            source: flow.source,
            destination: flow.destination,
            hop_limit: HopLimit(hop_limit),
            isn: flow.isn,
            window: self.window,
            identification: tag,
            flow_label: self.flow_label,
            traffic_class: 0,
            timestamp: self.timestamp_base.wrapping_add(tag.into()),
            mss: self.mss,
            bad_checksum: false,
        }
    }

    /// An echo request; all of one trace share an identifier.
    pub(super) fn echo(&mut self, hop_limit: u8) -> build::Echo {
        self.echo_sequence = self.echo_sequence.wrapping_add(1);
        build::Echo {
            source: self.source,
            destination: self.target,
            hop_limit: HopLimit(hop_limit),
            identifier: self.echo_identifier,
            sequence: self.echo_sequence,
            token: self.echo_token,
            identification: self.tag(),
        }
    }

    /// Whether an echo bears the identifier of this trace's.
    pub(super) fn is_echo(&self, identifier: u16) -> bool {
        self.echo_identifier == identifier
    }

    /// Data on a connection of the kernel's, beginning `offset` bytes beyond what it has sent.
    pub(super) fn data(&mut self, line: &Line, offset: u32, hop_limit: u8, data: Vec<u8>) -> build::Data {
        // Each with a timestamp of its own: it is what tells them apart in quotes of IPv6.
        self.data = self.data.wrapping_add(1);
        let timestamps = line.timestamps.map(|(mine, theirs)| (mine.wrapping_add(self.data), theirs));
        build::Data {
            source: line.client,
            destination: line.server,
            hop_limit: HopLimit(hop_limit),
            seq: line.next.plus(offset),
            ack: line.acknowledged,
            window: line.window,
            identification: self.tag(),
            flow_label: self.flow_label,
            timestamps,
            data,
        }
    }

    /// The reset of a connection that `flow` may have opened.
    pub(super) fn reset(&mut self, flow: Flow) -> build::Reset {
        build::Reset {
            source: flow.source,
            destination: flow.destination,
            seq: flow.isn.plus(1),
            identification: self.tag(),
        }
    }

    /// Every flow made so far.
    pub(super) fn all(&self) -> impl Iterator<Item = &Flow> {
        self.made.iter().chain(&self.unopened)
    }

    /// Every flow made so far that may have been opened.
    pub(super) fn made(&self) -> &[Flow] {
        &self.made
    }

    fn tag(&mut self) -> u16 {
        self.next_tag = self.next_tag.wrapping_add(1).max(1);
        self.next_tag
    }
}
