//! Every attempt in a capture of any length: each is handed out as soon as it is decided, then forgotten.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hashbrown::HashTable;

use super::tracked::{Keep, Tracked, seen};
use super::{Attempt, Handshake};
use crate::packet::{Icmp, IcmpError, Packet, QuotedTransport, SeqNumber, Tcp, TcpFlags, Transport};
use crate::recording::{RecordNumber, Timestamp};

/// How long, in nanoseconds, an answer may stand in a capture before the SYN that it answers.
const REORDER: i64 = 100_000_000;

/// A timestamp that lies farther back than this, in nanoseconds, tells of a clock that was set back.
const STEP_BACK: i64 = 10_000_000_000;

/// Attempts on one pair of endpoints that are followed at once.
const LONGEST_CHAIN: usize = 4;

/// Attempts in one piece of the table: it grows by pieces, without moving what it holds.
const PIECE: usize = 1 << 10;

/// No place in the table.
const NONE: u32 = u32::MAX;

/// The ports whose attempts are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Attempts to any port.
    Any,
    /// Attempts to these.
    Only(Vec<u16>),
}

impl Ports {
    fn has(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Only(ports) => ports.contains(&port),
        }
    }

    /// Whether SSH was asked for on `port`.
    fn asked(&self, port: u16) -> bool {
        match self {
            Self::Any => port == 22,
            Self::Only(ports) => ports.contains(&port),
        }
    }
}

/// When an attempt is decided, in the time of the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So long after the last packet of an attempt that ended: closed by both sides, reset or refused.
    pub settle: Duration,
    /// So long after the last packet of one whose handshake is not done.
    pub unanswered: Duration,
    /// So long after the last packet of an established connection.
    pub idle: Duration,
    /// Attempts followed at once, at most. Where there are more, one is decided before its time: one that ended, else
    /// the one unanswered that has been silent for longest, else the connection that has.
    pub attempts: usize,
}

impl Default for Limits {
    /// The longest silences that are ordinary: a client's last attempts to connect come 64 seconds apart, and keep-alives
    /// 2 hours.
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(10),
            unanswered: Duration::from_secs(130),
            idle: Duration::from_secs(7500),
            attempts: 1 << 20,
        }
    }
}

/// Finds every attempt in a stream of packets, in bounded memory.
///
/// Attempts come out in the order in which they are decided; those decided at the same instant, in order of their
/// first SYN. The order, like all else, depends on the packets alone.
///
/// Where two SYNs cross, each is an attempt of its own, and one connection completes both.
#[derive(Debug)]
pub struct Census {
    ports: Ports,
    /// Time in nanoseconds without a packet after which an attempt is decided, by queue.
    patience: [i64; QUEUES],
    capacity: usize,
    clock: Clock,
    slots: Slots,
    /// The newest attempt on each pair of endpoints.
    pairs: HashTable<u32>,
    hasher: RandomState,
    queues: [Queue; QUEUES],
    /// No attempt is decided before this time.
    next_deadline: i64,
    next_id: u64,
    decided: VecDeque<Attempt>,
    /// Places of those that are still to be decided at the end of the capture.
    left: VecDeque<u32>,
    evicted: u64,
}

/// Where attempts wait for their decision, those silent for longest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// An answer to a SYN that may follow.
    ForSyn,
    /// It ended.
    ToSettle,
    ForAnswer,
    Established,
}

const QUEUES: usize = 4;
const ALL: [Wait; QUEUES] = [Wait::ForSyn, Wait::ToSettle, Wait::ForAnswer, Wait::Established];

#[derive(Clone, Copy, Debug)]
struct Queue {
    first: u32,
    last: u32,
}

/// An attempt in the table.
#[derive(Debug)]
struct Slot {
    tracked: Tracked,
    /// Number in order of first SYN.
    id: u64,
    /// The attempt on the same endpoints before this one.
    older: u32,
    wait: Wait,
    /// When it was put into its queue; the place before and behind it there.
    since: i64,
    ahead: u32,
    behind: u32,
}

/// The time of the capture, which only goes forward: a clock that is set back goes on from there.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    latest: Option<Timestamp>,
    elapsed: i64,
}

impl Clock {
    fn advance(&mut self, at: Timestamp) -> i64 {
        let step = self.latest.map_or(0, |latest| at.since(latest));
        if !(-STEP_BACK..0).contains(&step) {
            self.latest = Some(at);
            self.elapsed = self.elapsed.saturating_add(step.max(0));
        }
        self.elapsed
    }
}

/// The table's places, in pieces of a fixed size.
#[derive(Debug, Default)]
struct Slots {
    pieces: Vec<Vec<Option<Slot>>>,
    free: Vec<u32>,
    used: usize,
}

impl Slots {
    fn get(&self, place: u32) -> Option<&Slot> {
        self.pieces.get(place as usize / PIECE)?.get(place as usize % PIECE)?.as_ref()
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut Slot> {
        self.pieces.get_mut(place as usize / PIECE)?.get_mut(place as usize % PIECE)?.as_mut()
    }

    fn insert(&mut self, slot: Slot) -> u32 {
        self.used += 1;
        if let Some(place) = self.free.pop() {
            if let Some(free) =
                self.pieces.get_mut(place as usize / PIECE).and_then(|p| p.get_mut(place as usize % PIECE))
            {
                *free = Some(slot);
            }
            return place;
        }
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        let before = (self.pieces.len() - 1) * PIECE;
        let Some(piece) = self.pieces.last_mut() else { return NONE };
        piece.push(Some(slot));
        (before + piece.len() - 1) as u32
    }

    fn is_of(&self, place: u32, pair: Ends) -> bool {
        self.get(place).is_some_and(|slot| slot.pair() == pair)
    }

    fn remove(&mut self, place: u32) -> Option<Slot> {
        let slot = self.pieces.get_mut(place as usize / PIECE)?.get_mut(place as usize % PIECE)?.take()?;
        self.free.push(place);
        self.used -= 1;
        Some(slot)
    }
}

/// Two endpoints, in an order that does not depend on who speaks.
type Ends = (SocketAddr, SocketAddr);

fn ends(one: SocketAddr, other: SocketAddr) -> Ends {
    if one <= other { (one, other) } else { (other, one) }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Census {
    /// Starts one.
    pub fn new(ports: Ports, limits: Limits) -> Self {
        Self {
            ports,
            patience: [REORDER, nanos(limits.settle), nanos(limits.unanswered), nanos(limits.idle)],
            capacity: limits.attempts.clamp(1, NONE as usize - 1),
            clock: Clock::default(),
            slots: Slots::default(),
            pairs: HashTable::new(),
            hasher: RandomState::new(),
            queues: [Queue { first: NONE, last: NONE }; QUEUES],
            next_deadline: i64::MAX,
            next_id: 0,
            decided: VecDeque::new(),
            left: VecDeque::new(),
            evicted: 0,
        }
    }

    /// Takes the next packet; first, what is decided by its time is decided.
    pub fn push(&mut self, at: Timestamp, packet: &Packet<'_>) {
        self.pass(at);
        match &packet.transport {
            Transport::Tcp(tcp) => {
                let wanted = self.ports.has(tcp.destination_port) || self.ports.has(tcp.source_port);
                if wanted {
                    self.tcp(at, packet, tcp);
                }
            }
            Transport::Icmp(Icmp::Error(error)) => self.icmp(at, packet, error),
            _ => {}
        }
    }

    /// Says that it is `at` now: what has been silent for long enough is decided.
    pub fn pass(&mut self, at: Timestamp) {
        let now = self.clock.advance(at);
        if now >= self.next_deadline {
            self.expire(now);
        }
    }

    /// Says that the capture is over: all that is left is decided, and no packet may follow.
    pub fn end(&mut self) {
        let mut left: Vec<(u64, u32)> = Vec::with_capacity(self.slots.used);
        for wait in &ALL[1..] {
            let mut place = self.queues[*wait as usize].first;
            while let Some(slot) = self.slots.get(place) {
                left.push((slot.id, place));
                place = slot.behind;
            }
        }
        left.sort_unstable();
        // Decided one by one as they are asked for: two tables of them would not be bounded memory.
        self.left = left.into_iter().map(|(_, place)| place).collect();
    }

    /// The next attempt that is decided.
    pub fn next_decided(&mut self) -> Option<Attempt> {
        if self.decided.is_empty()
            && let Some(place) = self.left.pop_front()
        {
            self.decide(place);
        }
        self.decided.pop_front()
    }

    /// Whether an attempt that is `wanted` is still to be decided. Looks at every one.
    pub fn follows(&self, wanted: impl Fn(&Attempt) -> bool) -> bool {
        let slots = self.slots.pieces.iter().flatten().flatten();
        slots.into_iter().any(|slot| slot.wait != Wait::ForSyn && wanted(&slot.tracked.attempt))
    }

    /// How many attempts were decided before their time because there were too many at once.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Decides all whose time has come, in order.
    #[cold]
    fn expire(&mut self, now: i64) {
        loop {
            let deadline = |slot: &Slot| slot.since.saturating_add(self.patience[slot.wait as usize]);
            let firsts = self.queues.iter().filter_map(|queue| {
                let slot = self.slots.get(queue.first)?;
                Some((deadline(slot), slot.id, queue.first))
            });
            match firsts.min() {
                Some((deadline, _, place)) if deadline <= now => self.decide(place),
                next => {
                    self.next_deadline = next.map_or(i64::MAX, |(deadline, ..)| deadline);
                    return;
                }
            }
        }
    }

    /// Forgets an attempt, and hands it out, if its SYN was seen.
    fn decide(&mut self, place: u32) {
        self.unqueue(place);
        self.unchain(place);
        let Some(slot) = self.slots.remove(place) else { return };
        if slot.wait != Wait::ForSyn {
            let asked = self.ports.asked(slot.tracked.attempt.server.port());
            self.decided.push_back(slot.tracked.into_attempt(asked));
        }
    }

    /// Makes room for one more.
    fn make_room(&mut self) {
        while self.slots.used >= self.capacity {
            let Some(queue) = self.queues.iter().find(|queue| queue.first != NONE) else { return };
            let place = queue.first;
            if self.slots.get(place).is_some_and(|slot| slot.wait != Wait::ForSyn) {
                self.evicted += 1;
            }
            self.decide(place);
        }
    }

    fn tcp(&mut self, at: Timestamp, packet: &Packet<'_>, tcp: &Tcp<'_>) {
        let source = SocketAddr::new(packet.ip.source, tcp.source_port);
        let destination = SocketAddr::new(packet.ip.destination, tcp.destination_port);
        let hash = self.hash(ends(source, destination));
        let newest = self.find(hash, ends(source, destination)).unwrap_or(NONE);
        if tcp.flags.is_syn() {
            if self.ports.has(tcp.destination_port) {
                self.syn(at, packet, tcp, (source, destination), newest);
            }
            self.crossed(tcp, (source, destination), newest);
            return;
        }
        let (client, server) = self.whose(newest, tcp, source, destination);
        if let Some(slot) = client.and_then(|place| self.slots.get_mut(place)) {
            slot.tracked.by_client(NO_RECORD, at, packet, tcp);
        }
        if let Some(slot) = server.and_then(|place| self.slots.get_mut(place)) {
            slot.tracked.by_server(NO_RECORD, at, packet, tcp);
        }
        for place in client.into_iter().chain(server) {
            self.touch(place);
        }
        // A reset of a client that is known is no answer to a SYN.
        let may_answer = client.is_none() || tcp.flags.is_syn_ack();
        if server.is_none() && may_answer && self.ports.has(tcp.source_port) {
            self.answer_without_syn(at, packet, tcp, (destination, source), newest);
        }
    }

    /// The attempts that a segment belongs to, as one of the client's and as one of the server's: both where SYNs
    /// crossed. Of several on the same endpoints, the newest that it fits.
    fn whose(
        &self,
        newest: u32,
        tcp: &Tcp<'_>,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> (Option<u32>, Option<u32>) {
        let (mut client, mut server) = (None, None);
        let mut place = newest;
        while let Some(slot) = self.slots.get(place) {
            let Attempt { client: from, server: to, .. } = slot.tracked.attempt;
            if (from, to) == (source, destination) && slot.tracked.fits_client(tcp) {
                self.prefer(&mut client, place);
            }
            if (from, to) == (destination, source) && slot.tracked.fits_server(tcp) {
                self.prefer(&mut server, place);
            }
            place = slot.older;
        }
        (client, server)
    }

    /// Takes the older of two places only where the newer is no attempt yet, for want of a SYN.
    fn prefer(&self, chosen: &mut Option<u32>, older: u32) {
        let waits = |place: u32| self.slots.get(place).is_some_and(|slot| slot.wait == Wait::ForSyn);
        if chosen.is_none_or(|newer| waits(newer) && !waits(older)) {
            *chosen = Some(older);
        }
    }

    fn syn(
        &mut self,
        at: Timestamp,
        packet: &Packet<'_>,
        tcp: &Tcp<'_>,
        (client, server): Ends,
        newest: u32,
    ) {
        let mut place = newest;
        while let Some(slot) = self.slots.get_mut(place) {
            let Attempt { client: from, isn, syn, .. } = slot.tracked.attempt;
            let here = place;
            place = slot.older;
            if from != client {
                continue;
            }
            if syn > 0 && isn == tcp.seq {
                slot.tracked.syn(NO_RECORD, at, packet, tcp);
                self.touch(here);
                return;
            }
            if slot.tracked.adopt(tcp) {
                slot.id = self.next_id;
                self.next_id += 1;
                slot.tracked.syn(NO_RECORD, at, packet, tcp);
                self.touch(here);
                return;
            }
        }
        self.supersede(client, newest);
        let tracked = Tracked::new(client, server, tcp.seq, at, Keep::Result);
        let place = self.insert(tracked, Wait::ForAnswer);
        if let Some(slot) = self.slots.get_mut(place) {
            slot.tracked.syn(NO_RECORD, at, packet, tcp);
        }
    }

    /// Ends what went on before between the endpoints of a new SYN, and bounds how many such attempts there are.
    fn supersede(&mut self, client: SocketAddr, newest: u32) {
        let mut chain = [NONE; LONGEST_CHAIN];
        let mut length = 0;
        let mut place = newest;
        while let Some(slot) = self.slots.get_mut(place) {
            let Attempt { client: theirs, syn, handshake, .. } = slot.tracked.attempt;
            // SYNs the other way cross this one only where nothing has answered them.
            if syn > 0 && (theirs == client || handshake != Handshake::Unanswered) {
                slot.tracked.supersede();
            }
            if let Some(known) = chain.get_mut(length) {
                *known = place;
            }
            length += 1;
            place = slot.older;
        }
        for place in chain.into_iter().take(length) {
            if self.slots.get(place).is_some_and(|s| s.tracked.is_over() && s.wait != Wait::ToSettle) {
                self.touch(place);
            }
        }
        if let (true, Some(oldest)) = (length >= LONGEST_CHAIN, chain.last()) {
            self.decide(*oldest);
        }
    }

    /// Where the server's SYN crosses the client's, each is the start of what the other receives.
    fn crossed(&mut self, tcp: &Tcp<'_>, (source, destination): Ends, newest: u32) {
        let mut place = newest;
        let mut theirs = None;
        while let Some(slot) = self.slots.get_mut(place) {
            let Attempt { client, server, isn, syn, handshake, .. } = slot.tracked.attempt;
            let open = syn > 0 && handshake == Handshake::Unanswered;
            if open && (client, server) == (destination, source) {
                slot.tracked.crossed_by(tcp.seq);
                theirs.get_or_insert(isn);
            }
            place = slot.older;
        }
        let Some(isn) = theirs else { return };
        let pair = ends(source, destination);
        let Some(newest) = self.find(self.hash(pair), pair) else { return };
        if let Some(slot) = self.slots.get_mut(newest)
            && slot.tracked.attempt.client == source
        {
            slot.tracked.crossed_by(isn);
        }
    }

    /// Keeps an answer to a SYN that the capture may hold a little later.
    fn answer_without_syn(
        &mut self,
        at: Timestamp,
        packet: &Packet<'_>,
        tcp: &Tcp<'_>,
        (client, server): Ends,
        newest: u32,
    ) {
        let refusal = tcp.flags.has(TcpFlags::RST | TcpFlags::ACK);
        if !(tcp.flags.is_syn_ack() || refusal) || !self.chain_has_room(newest) {
            return;
        }
        let isn = SeqNumber(tcp.ack.0.wrapping_sub(1));
        let place = self.insert(Tracked::new(client, server, isn, at, Keep::Result), Wait::ForSyn);
        if let Some(slot) = self.slots.get_mut(place) {
            slot.tracked.by_server(NO_RECORD, at, packet, tcp);
        }
    }

    fn chain_has_room(&self, newest: u32) -> bool {
        let mut place = newest;
        for _ in 0..LONGEST_CHAIN - 1 {
            let Some(slot) = self.slots.get(place) else { return true };
            place = slot.older;
        }
        self.slots.get(place).is_none()
    }

    fn icmp(&mut self, at: Timestamp, packet: &Packet<'_>, error: &IcmpError<'_>) {
        let Some(quoted) = error.quoted else { return };
        let QuotedTransport::Tcp(tcp) = quoted.transport else { return };
        if !self.ports.has(tcp.destination_port) {
            return;
        }
        let server = SocketAddr::new(quoted.destination, tcp.destination_port);
        // A router beyond an address translator may quote an address that is not the client's own; the error comes to
        // the client all the same.
        let sources: [IpAddr; 2] = [quoted.source, packet.ip.destination];
        for source in sources {
            let client = SocketAddr::new(source, tcp.source_port);
            let pair = ends(client, server);
            let mut place = self.find(self.hash(pair), pair).unwrap_or(NONE);
            while let Some(slot) = self.slots.get_mut(place) {
                if slot.tracked.attempt.client == client
                    && let Some(about) = slot.tracked.quoted_packet(&quoted, tcp)
                {
                    slot.tracked.icmp(NO_RECORD, at, seen(packet, error, &quoted, tcp, about));
                    self.touch(place);
                    return;
                }
                place = slot.older;
            }
        }
    }

    fn hash(&self, pair: Ends) -> u64 {
        self.hasher.hash_one(pair)
    }

    fn find(&self, hash: u64, pair: Ends) -> Option<u32> {
        self.pairs.find(hash, |place| self.slots.is_of(*place, pair)).copied()
    }

    fn insert(&mut self, tracked: Tracked, wait: Wait) -> u32 {
        self.make_room();
        let pair = ends(tracked.attempt.client, tracked.attempt.server);
        let hash = self.hash(pair);
        let id = self.next_id;
        if wait != Wait::ForSyn {
            self.next_id += 1;
        }
        let older = self.find(hash, pair).unwrap_or(NONE);
        let slot = Slot { tracked, id, older, wait, since: 0, ahead: NONE, behind: NONE };
        let place = self.slots.insert(slot);
        let (slots, hasher) = (&self.slots, &self.hasher);
        if let Some(newest) = self.pairs.find_mut(hash, |other| slots.is_of(*other, pair)) {
            *newest = place;
        } else {
            let rehash = |other: &u32| slots.get(*other).map_or(0, |slot| hasher.hash_one(slot.pair()));
            self.pairs.insert_unique(hash, place, rehash);
        }
        self.queue(place, wait);
        place
    }

    /// Takes an attempt out of the chain of those on the same endpoints.
    fn unchain(&mut self, place: u32) {
        let Some(slot) = self.slots.get(place) else { return };
        let (pair, older) = (slot.pair(), slot.older);
        let hash = self.hash(pair);
        let slots = &self.slots;
        let Ok(mut entry) = self.pairs.find_entry(hash, |other| slots.is_of(*other, pair)) else { return };
        let mut newer = *entry.get();
        if newer == place {
            if older == NONE {
                entry.remove();
            } else {
                *entry.get_mut() = older;
            }
            return;
        }
        while let Some(slot) = self.slots.get_mut(newer) {
            if slot.older == place {
                slot.older = older;
                return;
            }
            newer = slot.older;
        }
    }

    /// Puts an attempt that a packet was seen of where it has to wait now.
    fn touch(&mut self, place: u32) {
        let Some(slot) = self.slots.get(place) else { return };
        let attempt = &slot.tracked.attempt;
        let wait = if attempt.syn == 0 {
            // It waits for its SYN, whatever else comes.
            return;
        } else if slot.tracked.is_over() {
            Wait::ToSettle
        } else if attempt.handshake == Handshake::Completed {
            Wait::Established
        } else {
            Wait::ForAnswer
        };
        self.unqueue(place);
        self.queue(place, wait);
    }

    /// Puts an attempt at the end of a queue.
    fn queue(&mut self, place: u32, wait: Wait) {
        let now = self.clock.elapsed;
        let queue = &mut self.queues[wait as usize];
        let ahead = std::mem::replace(&mut queue.last, place);
        if queue.first == NONE {
            queue.first = place;
        }
        if let Some(slot) = self.slots.get_mut(ahead) {
            slot.behind = place;
        }
        if let Some(slot) = self.slots.get_mut(place) {
            (slot.wait, slot.since, slot.ahead, slot.behind) = (wait, now, ahead, NONE);
        }
        self.next_deadline = self.next_deadline.min(now.saturating_add(self.patience[wait as usize]));
    }

    fn unqueue(&mut self, place: u32) {
        let Some(slot) = self.slots.get(place) else { return };
        let (ahead, behind, wait) = (slot.ahead, slot.behind, slot.wait);
        match self.slots.get_mut(ahead) {
            Some(slot) => slot.behind = behind,
            None => self.queues[wait as usize].first = behind,
        }
        match self.slots.get_mut(behind) {
            Some(slot) => slot.ahead = ahead,
            None => self.queues[wait as usize].last = ahead,
        }
    }
}

impl Slot {
    fn pair(&self) -> Ends {
        ends(self.tracked.attempt.client, self.tracked.attempt.server)
    }
}

/// Attempts without a timeline cite no records.
const NO_RECORD: RecordNumber = RecordNumber(0);
