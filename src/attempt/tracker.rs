//! Follows every TCP connection attempt of a recording, in bounded memory.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use super::seg::{Head, Seg};
use super::timeline::{self, Cited, Notes};
use super::tracked::{Keep, Tracked};
use super::{Attempt, What};
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
    attempts: BTreeMap<u64, Followed>,
    latest: HashMap<Pair, u64>,
    quoted: HashMap<(IpAddr, u16, u16), VecDeque<u64>>,
    /// The latest attempt at a server with this initial sequence number.
    numbered: HashMap<(SocketAddr, SeqNumber), u64>,
    entries: usize,
    next_id: u64,
    capacity: usize,
    evicted: u64,
}

/// An attempt that is followed packet by packet.
#[derive(Debug)]
struct Followed {
    /// What is known of it so far, and its timeline.
    attempt: Attempt,
    tracked: Tracked,
    notes: Notes,
}

/// Each takes a packet, and says how many entries the timeline has grown by.
impl Followed {
    fn new(client: SocketAddr, server: SocketAddr, syn: &Tcp<'_>, at: Timestamp) -> Self {
        let tracked = Tracked::new(syn.seq, at, Keep::Timeline);
        Self { attempt: tracked.attempt(client, server, false), tracked, notes: Notes::default() }
    }

    fn syn(&mut self, cited: Cited<'_>) -> usize {
        let before = self.attempt.timeline.len();
        let head = Head::of(cited.packet, cited.tcp);
        self.tracked.syn(cited.at, &Seg::new(&head, cited.tcp.rest()));
        self.notes.syn(&mut self.attempt.timeline, cited);
        self.tracked.tell(&mut self.attempt);
        self.attempt.timeline.len() - before
    }

    fn by_client(&mut self, cited: Cited<'_>) -> usize {
        let before = self.attempt.timeline.len();
        self.tracked.by_client(cited.at, &Head::of(cited.packet, cited.tcp));
        Notes::by_client(&mut self.attempt, cited);
        self.tracked.tell(&mut self.attempt);
        self.attempt.timeline.len() - before
    }

    fn by_server(&mut self, cited: Cited<'_>) -> usize {
        let before = self.attempt.timeline.len();
        let head = Head::of(cited.packet, cited.tcp);
        let acceptable = self.tracked.by_server(cited.at, &Seg::new(&head, cited.tcp.rest()));
        self.notes.by_server(&mut self.attempt.timeline, cited, acceptable);
        self.tracked.tell(&mut self.attempt);
        self.attempt.timeline.len() - before
    }

    /// The attempt with its outcome; `asked` says whether SSH was asked for on its port.
    fn finish(self, asked: bool) -> Attempt {
        let Attempt { client, server, timeline, requests, .. } = self.attempt;
        Attempt { timeline, requests, ..self.tracked.attempt(client, server, asked) }
    }
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
            Transport::Tcp(tcp) => self.tcp(Cited { record, at, packet, tcp }),
            Transport::Icmp(Icmp::Error(error)) => {
                let Some(quoted) = error.quoted else { return };
                let QuotedTransport::Tcp(tcp) = quoted.transport else { return };
                let key = (quoted.destination, tcp.destination_port, tcp.source_port);
                let server = SocketAddr::new(quoted.destination, tcp.destination_port);
                // A box that translates ports may leave its own one in the quote.
                let same_ports = self.quoted.get(&key).into_iter().flatten().rev().map(|id| (id, false));
                let translated = self.numbered.get(&(server, tcp.seq)).map(|id| (id, true));
                for (id, translated) in same_ports.chain(translated) {
                    let Some(Followed { attempt, tracked, .. }) = self.attempts.get_mut(id) else { continue };
                    let about = timeline::about(tracked, &attempt.timeline, &quoted, tcp);
                    let bears_tag = |about| timeline::bears_tag(&attempt.timeline, &quoted, tcp, about);
                    let Some(about) = about.filter(|about| !translated || bears_tag(*about)) else {
                        continue;
                    };
                    let seen = timeline::seen(packet, error, &quoted, tcp, about);
                    tracked.icmp(&seen);
                    tracked.tell(attempt);
                    let before = attempt.timeline.len();
                    timeline::note(&mut attempt.timeline, record, at, || What::Icmp(seen));
                    self.entries += attempt.timeline.len() - before;
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
        self.attempts.values().map(|followed| &followed.attempt)
    }

    /// The attempts themselves, each with its outcome; `ssh_port` is the port asked about.
    pub fn finish(self, ssh_port: u16) -> Vec<Attempt> {
        self.attempts
            .into_values()
            .map(|followed| {
                let asked = followed.attempt.server.port() == ssh_port;
                followed.finish(asked)
            })
            .collect()
    }

    /// How many attempts were dropped because there were too many at once.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn tcp(&mut self, cited: Cited<'_>) {
        let Cited { packet, tcp, .. } = cited;
        let source = SocketAddr::new(packet.ip.source, tcp.source_port);
        let destination = SocketAddr::new(packet.ip.destination, tcp.destination_port);
        let head = Head::of(packet, tcp);
        if tcp.flags.is_syn() {
            self.syn((source, destination), cited);
        } else if let Some(id) = self.latest.get(&(source, destination)) {
            if let Some(followed) = self.attempts.get_mut(id).filter(|f| f.tracked.is_of_client(&head)) {
                self.entries += followed.by_client(cited);
            }
        } else if let Some(id) = self.latest.get(&(destination, source))
            && let Some(followed) = self.attempts.get_mut(id).filter(|f| f.tracked.is_answered_by(&head))
        {
            self.entries += followed.by_server(cited);
        }
    }

    fn syn(&mut self, pair: Pair, cited: Cited<'_>) {
        if let Some(followed) = self.latest.get(&pair).and_then(|id| self.attempts.get_mut(id))
            && followed.attempt.isn == cited.tcp.seq
        {
            self.entries += followed.syn(cited);
            return;
        }
        if self.attempts.len() >= self.capacity {
            self.evict_oldest();
        }
        let id = self.next_id;
        self.next_id += 1;
        let (client, server) = pair;
        let mut followed = Followed::new(client, server, cited.tcp, cited.at);
        self.entries += followed.syn(cited);
        self.attempts.insert(id, followed);
        self.latest.insert(pair, id);
        let alike = self.quoted.entry((server.ip(), server.port(), client.port())).or_default();
        alike.push_back(id);
        if alike.len() > MAX_ALIKE {
            alike.pop_front();
        }
        self.numbered.insert((server, cited.tcp.seq), id);
    }

    fn evict_oldest(&mut self) {
        let Some((id, followed)) = self.attempts.pop_first() else { return };
        self.evicted += 1;
        self.entries -= followed.attempt.timeline.len();
        let Attempt { client, server, isn, .. } = followed.attempt;
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
