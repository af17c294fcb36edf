//! Follows every TCP connection attempt of a recording, in bounded memory.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use super::Attempt;
use super::tracked::{Keep, Tracked, seen};
use crate::packet::{Icmp, Packet, QuotedTransport, SeqNumber, Tcp, Transport};
use crate::recording::{RecordNumber, Timestamp};

/// Attempts followed at once, at most; beyond that the oldest is dropped and counted.
pub const MAX_ATTEMPTS: usize = 65_536;

/// Timeline entries kept of all attempts together, at most (some 100 bytes each); beyond that the oldest attempt is
/// dropped and counted.
const MAX_ENTRIES: usize = 1 << 20;

/// Attempts of one client port to one server port that an ICMP error may be about, the latest ones.
const MAX_ALIKE: usize = 64;

/// Follows attempts.
#[derive(Debug)]
pub struct Tracker {
    attempts: BTreeMap<u64, Tracked>,
    latest: HashMap<Pair, u64>,
    quoted: HashMap<(IpAddr, u16, u16), VecDeque<u64>>,
    /// The latest attempt at a server with this initial sequence number.
    numbered: HashMap<(SocketAddr, SeqNumber), u64>,
    entries: usize,
    next_id: u64,
    capacity: usize,
    evicted: u64,
}

/// Client and server endpoint.
type Pair = (SocketAddr, SocketAddr);

impl Default for Tracker {
    fn default() -> Self {
        Self::with_capacity(MAX_ATTEMPTS)
    }
}

impl Tracker {
    /// A tracker that follows at most `capacity` attempts at once.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            attempts: BTreeMap::new(),
            latest: HashMap::new(),
            quoted: HashMap::new(),
            numbered: HashMap::new(),
            entries: 0,
            next_id: 0,
            capacity: capacity.max(1),
            evicted: 0,
        }
    }

    /// Takes the next packet.
    pub fn push(&mut self, record: RecordNumber, at: Timestamp, packet: &Packet<'_>) {
        match &packet.transport {
            Transport::Tcp(tcp) => self.tcp(record, at, packet, tcp),
            Transport::Icmp(Icmp::Error(error)) => {
                let Some(quoted) = error.quoted else { return };
                let QuotedTransport::Tcp(tcp) = quoted.transport else { return };
                let key = (quoted.destination, tcp.destination_port, tcp.source_port);
                let server = SocketAddr::new(quoted.destination, tcp.destination_port);
                // A box that translates ports may leave its own one in the quote.
                let same_ports = self.quoted.get(&key).into_iter().flatten().rev().map(|id| (id, false));
                let translated = self.numbered.get(&(server, tcp.seq)).map(|id| (id, true));
                for (id, translated) in same_ports.chain(translated) {
                    let Some(tracked) = self.attempts.get_mut(id) else { continue };
                    let about = tracked.quoted_packet(&quoted, tcp);
                    let Some(about) =
                        about.filter(|about| !translated || tracked.bears_tag(&quoted, tcp, *about))
                    else {
                        continue;
                    };
                    let before = tracked.attempt.timeline.len();
                    tracked.icmp(record, at, seen(packet, error, &quoted, tcp, about));
                    self.entries += tracked.attempt.timeline.len() - before;
                    return;
                }
            }
            _ => {}
        }
        while self.entries > MAX_ENTRIES && self.attempts.len() > 1 {
            self.evict_oldest();
        }
    }

    /// The attempts followed, in order of first SYN seen.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.values().map(|t| &t.attempt)
    }

    /// The attempts themselves, each with its outcome; `ssh_port` is the port asked about.
    pub fn finish(self, ssh_port: u16) -> Vec<Attempt> {
        self.attempts
            .into_values()
            .map(|tracked| {
                let asked = tracked.attempt.server.port() == ssh_port;
                tracked.into_attempt(asked)
            })
            .collect()
    }

    /// How many attempts were dropped because there were too many at once.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn tcp(&mut self, record: RecordNumber, at: Timestamp, packet: &Packet<'_>, tcp: &Tcp<'_>) {
        let source = SocketAddr::new(packet.ip.source, tcp.source_port);
        let destination = SocketAddr::new(packet.ip.destination, tcp.destination_port);
        if tcp.flags.is_syn() {
            self.syn(record, at, packet, tcp, (source, destination));
        } else if let Some(id) = self.latest.get(&(source, destination)) {
            if let Some(tracked) = self.attempts.get_mut(id).filter(|t| t.is_of_client(tcp)) {
                let before = tracked.attempt.timeline.len();
                tracked.by_client(record, at, packet, tcp);
                self.entries += tracked.attempt.timeline.len() - before;
            }
        } else if let Some(id) = self.latest.get(&(destination, source))
            && let Some(tracked) = self.attempts.get_mut(id).filter(|t| t.is_answered_by(tcp))
        {
            let before = tracked.attempt.timeline.len();
            tracked.by_server(record, at, packet, tcp);
            self.entries += tracked.attempt.timeline.len() - before;
        }
    }

    fn syn(&mut self, record: RecordNumber, at: Timestamp, packet: &Packet<'_>, tcp: &Tcp<'_>, pair: Pair) {
        if let Some(tracked) = self.latest.get(&pair).and_then(|id| self.attempts.get_mut(id))
            && tracked.attempt.isn == tcp.seq
        {
            let before = tracked.attempt.timeline.len();
            tracked.syn(record, at, packet, tcp);
            self.entries += tracked.attempt.timeline.len() - before;
            return;
        }
        if self.attempts.len() >= self.capacity {
            self.evict_oldest();
        }
        let id = self.next_id;
        self.next_id += 1;
        let (client, server) = pair;
        let mut tracked = Tracked::new(client, server, tcp.seq, at, Keep::Timeline);
        tracked.syn(record, at, packet, tcp);
        self.entries += tracked.attempt.timeline.len();
        self.attempts.insert(id, tracked);
        self.latest.insert(pair, id);
        let alike = self.quoted.entry((server.ip(), server.port(), client.port())).or_default();
        alike.push_back(id);
        if alike.len() > MAX_ALIKE {
            alike.pop_front();
        }
        self.numbered.insert((server, tcp.seq), id);
    }

    fn evict_oldest(&mut self) {
        let Some((id, tracked)) = self.attempts.pop_first() else { return };
        self.evicted += 1;
        self.entries -= tracked.attempt.timeline.len();
        let Attempt { client, server, isn, .. } = tracked.attempt;
        if self.numbered.get(&(server, isn)) == Some(&id) {
            self.numbered.remove(&(server, isn));
        }
        if self.latest.get(&(client, server)) == Some(&id) {
            self.latest.remove(&(client, server));
        }
        let key = (server.ip(), server.port(), client.port());
        if let Some(ids) = self.quoted.get_mut(&key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.quoted.remove(&key);
            }
        }
    }
}
