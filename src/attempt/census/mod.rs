//! Every attempt in a capture of any length: each is handed out as soon as it is decided, then forgotten.

mod calendar;
mod clock;
mod pair;
mod sieve;
mod slots;
mod table;

use std::collections::VecDeque;
use std::mem;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use self::calendar::{Calendars, Wait};
use self::clock::{Clock, Span};
use self::pair::End;
pub use self::sieve::{Batch, Concerns, Sieve};
use self::sieve::{Flow, Item, Sifted};
use self::slots::{NONE, Slot, Slots};
use self::table::{Found, Table};
use super::seg::{Head, Seg};
use super::tracked::{Keep, Tracked};
use super::{Attempt, Handshake, timeline};
use crate::packet::{Icmp, IcmpError, Packet, QuotedTransport, SeqNumber, TcpFlags, Transport, decode};
use crate::recording::Timestamp;

/// Attempts on one pair of endpoints that are followed at once.
const LONGEST_CHAIN: usize = 4;

/// The ports whose attempts are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Attempts to any port.
    Any,
    /// Attempts to those in these ranges.
    Only(Vec<RangeInclusive<u16>>),
}

impl Ports {
    #[inline(always)]
    fn has(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Only(ranges) => ranges.iter().any(|range| range.contains(&port)),
        }
    }

    /// Whether SSH was asked for on `port`.
    fn asked(&self, port: u16) -> bool {
        match self {
            Self::Any => port == 22,
            Self::Only(_) => self.has(port),
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

/// What a packet needs is fetched so many packets before its turn, and what tells where that is as many before.
const STEP: usize = 16;

/// Attempts that are decided at once when the capture is over.
const AT_ONCE: usize = 16;

/// Finds every attempt in a stream of packets, in bounded memory.
///
/// Attempts come out in the order in which they are decided; those decided at the same instant, in order of their
/// first SYN. The order, like all else, depends on the packets alone.
///
/// Where two SYNs cross, each is an attempt of its own, and one connection completes both.
#[derive(Debug)]
pub struct Census {
    sieve: Sieve,
    capacity: usize,
    clock: Clock,
    /// Places of attempts heard of at a time that is doubted, and when that would be.
    doubted: Vec<(u32, i64)>,
    slots: Slots,
    /// The newest attempt on each pair of endpoints.
    pairs: Table,
    calendars: Calendars,
    next_id: u64,
    decided: VecDeque<Attempt>,
    /// Places of those that are still to be decided at the end of the capture.
    left: VecDeque<u32>,
    evicted: u64,
    malformed_syns: u64,
}

impl Census {
    /// Starts one.
    pub fn new(ports: Ports, limits: Limits) -> Self {
        Self {
            sieve: Sieve::new(ports),
            capacity: limits.attempts.clamp(1, NONE as usize - 1),
            clock: Clock::default(),
            doubted: Vec::new(),
            slots: Slots::default(),
            pairs: Table::default(),
            calendars: Calendars::new(&limits),
            next_id: 0,
            decided: VecDeque::new(),
            left: VecDeque::new(),
            evicted: 0,
            malformed_syns: 0,
        }
    }

    /// What makes batches for this census.
    pub fn sieve(&self) -> Sieve {
        self.sieve.clone()
    }

    /// Takes what the next records came to in this census's own sieve.
    pub fn take(&mut self, batch: &Batch) {
        // What a packet needs lies anywhere in memory: its entry in the table is fetched two steps before its turn, and the
        // attempt that is found there one step before.
        let items = batch.items();
        for item in items.iter().take(2 * STEP) {
            self.fetch_entry(item);
        }
        let mut places = [NONE; STEP];
        for (place, item) in places.iter_mut().zip(items) {
            *place = self.fetch_slot(item);
        }
        for (number, item) in items.iter().enumerate() {
            if let Some(later) = items.get(number + 2 * STEP) {
                self.fetch_entry(later);
            }
            let later = items.get(number + STEP).map_or(NONE, |later| self.fetch_slot(later));
            let place = mem::replace(&mut places[number % STEP], later);
            match item {
                Item::Segment(sifted @ Sifted { at, flow, head, .. }) => {
                    self.pass(*at);
                    let rest = || batch.rest(sifted);
                    if !self.continues(place, *at, flow, head, rest) {
                        self.segment(*at, flow, &Seg::new(head, rest()), place);
                    }
                }
                Item::Error { at, link, frame } => match decode(*link, batch.bytes(*frame)) {
                    Ok(packet) => self.push(*at, &packet),
                    Err(_) => self.pass(*at),
                },
                Item::Pass(span) => self.pass_over(*span),
            }
        }
    }

    #[inline]
    fn fetch_entry(&self, item: &Item) {
        if let Item::Segment(Sifted { flow, .. }) = item {
            self.pairs.fetch(flow.hash);
        }
    }

    /// Where the attempt is that an item seems to belong to.
    #[inline]
    fn fetch_slot(&self, item: &Item) -> u32 {
        let Item::Segment(sifted) = item else { return NONE };
        let place = self.pairs.likely(sifted.flow.hash);
        self.slots.fetch(place);
        self.calendars.fetch(place);
        place
    }

    /// Takes the next packet; first, what is decided by its time is decided.
    pub fn push(&mut self, at: Timestamp, packet: &Packet<'_>) {
        self.pass(at);
        match &packet.transport {
            Transport::Tcp(tcp) if self.sieve.wants(tcp.source_port, tcp.destination_port) => {
                if let Some(flow) = self.sieve.flow_of(packet, tcp) {
                    let (newest, head) = (self.find(&flow).unwrap_or(NONE), Head::of(packet, tcp));
                    if !self.continues(newest, at, &flow, &head, || tcp.rest()) {
                        self.segment(at, &flow, &Seg::new(&head, tcp.rest()), newest);
                    }
                }
            }
            Transport::Icmp(Icmp::Error(error)) => self.icmp(packet, error),
            _ => {}
        }
    }

    /// Says that it is `at` now: what has been silent for long enough is decided.
    #[inline]
    pub fn pass(&mut self, at: Timestamp) {
        let now = self.clock.advance_to(at);
        self.decide_by(now);
    }

    fn pass_over(&mut self, span: Span) {
        let now = self.clock.advance(span);
        self.decide_by(now);
    }

    #[inline]
    fn decide_by(&mut self, now: i64) {
        if !self.doubted.is_empty() && self.clock.doubted().is_none() {
            self.end_doubt(now);
        }
        if self.calendars.may_be_due(now) {
            self.decide_those_due(now);
        }
    }

    #[inline(never)]
    fn decide_those_due(&mut self, now: i64) {
        loop {
            let fetch = |hash| self.pairs.fetch(hash);
            let Some(place) = self.calendars.due(&self.slots, now, fetch) else { return };
            self.decide(place);
        }
    }

    /// Whoever was heard of at a time that was doubted was heard of by now.
    #[cold]
    fn end_doubt(&mut self, now: i64) {
        for (place, at) in self.doubted.drain(..) {
            if let Some(slot) = self.slots.get_mut(place) {
                slot.heard = slot.heard.max(at.min(now));
            }
        }
    }

    /// Says that the capture is over: all that is left is decided, and no packet may follow.
    pub fn end(&mut self) {
        // Decided one by one as they are asked for: two tables of them would not be bounded memory.
        self.left = self.slots.with_syn().collect();
    }

    /// The next attempt that is decided.
    pub fn next_decided(&mut self) -> Option<Attempt> {
        if self.decided.is_empty() && !self.left.is_empty() {
            self.decide_some_left();
        }
        self.decided.pop_front()
    }

    /// Adds to `decided` all that the packets so far decided, in the order of [`Census::next_decided`].
    pub fn take_decided(&mut self, decided: &mut VecDeque<Attempt>) {
        if decided.is_empty() {
            mem::swap(decided, &mut self.decided);
        } else {
            decided.append(&mut self.decided);
        }
    }

    /// Decides a few of those that are left; no packet follows that would have to find them.
    fn decide_some_left(&mut self) {
        let few = self.left.len().min(AT_ONCE);
        for place in self.left.range(..few) {
            self.slots.fetch(*place);
        }
        for place in self.left.drain(..few) {
            if let Some(slot) = self.slots.get_mut(place) {
                self.decided.push_back(ended(&self.sieve, slot));
            }
            self.slots.remove(place);
        }
    }

    /// Whether an attempt that is `wanted` is still to be decided. Looks at every one.
    pub fn follows(&self, wanted: impl Fn(&Attempt) -> bool) -> bool {
        self.slots.all().any(|slot| slot.wait != Wait::ForSyn && wanted(&attempt(&self.sieve, slot)))
    }

    /// How many attempts were decided before their time because there were too many at once.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// How many SYNs with FIN or RST there were to the ports that are wanted. They are no attempts to connect.
    pub fn malformed_syns(&self) -> u64 {
        self.malformed_syns
    }

    /// Forgets an attempt, and hands it out, if its SYN was seen.
    fn decide(&mut self, place: u32) {
        self.unchain(place);
        let Some(slot) = self.slots.get_mut(place) else { return };
        if slot.wait != Wait::ForSyn {
            self.decided.push_back(ended(&self.sieve, slot));
        }
        self.calendars.leave(place);
        self.slots.remove(place);
    }

    /// Makes room for one more.
    fn make_room(&mut self) {
        while self.slots.used >= self.capacity {
            let Some(place) = self.calendars.least(&self.slots) else { return };
            if self.slots.get(place).is_some_and(|slot| slot.wait != Wait::ForSyn) {
                self.evicted += 1;
            }
            self.decide(place);
        }
    }

    /// Takes a segment that does not just continue the attempt that was `tried`.
    #[inline(never)]
    fn segment(&mut self, at: Timestamp, flow: &Flow, seg: &Seg<'_>, tried: u32) {
        let newest = self.find(flow).unwrap_or(NONE);
        // The likely one may have been another, or it may have come since.
        if newest != tried && self.continues(newest, at, flow, seg, || seg.rest()) {
            return;
        }
        if seg.flags.is_syn() {
            if self.sieve.ports.has(flow.pair.port(flow.from.other())) {
                self.syn(at, flow, seg, newest);
            }
            self.crossed(flow, seg, newest);
            return;
        }
        if seg.flags.is_malformed_syn() && self.sieve.ports.has(flow.pair.port(flow.from.other())) {
            self.malformed_syns += 1;
        }
        let (client, server) = self.whose(newest, flow, seg);
        if let Some(slot) = client.and_then(|place| self.slots.get_mut(place)) {
            slot.tracked.by_client(at, seg);
        }
        if let Some(slot) = server.and_then(|place| self.slots.get_mut(place)) {
            slot.tracked.by_server(at, seg);
        }
        for place in client.into_iter().chain(server) {
            self.touch(place, flow.hash);
        }
        if server.is_none() && seg.flags.has(TcpFlags::RST) {
            self.unfit_reset(at, flow, seg, newest);
        }
        // A reset of a client that is known is no answer to a SYN.
        let may_answer = client.is_none() || seg.flags.is_syn_ack();
        if server.is_none() && may_answer && self.sieve.ports.has(flow.pair.port(flow.from)) {
            self.answer_without_syn(at, flow, seg, newest);
        }
    }

    /// Takes a segment if `place` is that of the only attempt between its endpoints, and nothing about it is unusual: of most
    /// packets there is no more to say than this.
    #[inline(always)]
    fn continues<'a>(
        &mut self,
        place: u32,
        at: Timestamp,
        flow: &Flow,
        head: &Head,
        rest: impl FnOnce() -> &'a [u8],
    ) -> bool {
        let now = self.clock.now();
        let Some(slot) = self.slots.get_mut(place) else { return false };
        let only = slot.newest && slot.older == NONE && slot.wait != Wait::ForSyn;
        if !only || slot.pair != flow.pair || flow.pair.is_one() {
            return false;
        }
        if slot.client == flow.from {
            if head.flags.has(TcpFlags::SYN) || !slot.tracked.fits_client(head) {
                return false;
            }
            slot.tracked.by_client(at, head);
        } else {
            if head.flags.is_syn() || !slot.tracked.fits_server(head) {
                return false;
            }
            slot.tracked.by_server(at, &Seg::new(head, rest()));
        }
        slot.heard = now;
        // Nothing but a turn ends a connection that goes on.
        let wait =
            if slot.wait == Wait::Established && !head.is_turn() { slot.wait } else { slot.waits_for() };
        debug_assert_eq!(wait, slot.waits_for());
        let waits_on = wait == slot.wait;
        self.heard_in_doubt(place);
        if !waits_on {
            self.wait(place, wait, flow.hash);
        }
        true
    }

    /// The attempts that a segment belongs to, as one of the client's and as one of the server's: both where SYNs
    /// crossed. Of several on the same endpoints, the newest that it fits.
    fn whose(&self, newest: u32, flow: &Flow, seg: &Head) -> (Option<u32>, Option<u32>) {
        let (mut client, mut server) = (None, None);
        let mut place = newest;
        while let Some(slot) = self.slots.get(place) {
            let both = flow.pair.is_one();
            if (slot.client == flow.from || both) && slot.tracked.fits_client(seg) {
                self.prefer(&mut client, place);
            }
            if (slot.client != flow.from || both) && slot.tracked.fits_server(seg) {
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

    fn syn(&mut self, at: Timestamp, flow: &Flow, seg: &Seg<'_>, newest: u32) {
        let mut place = newest;
        while let Some(slot) = self.slots.get_mut(place) {
            let here = place;
            place = slot.older;
            if slot.client != flow.from {
                continue;
            }
            if slot.tracked.syn > 0 && slot.tracked.isn == seg.seq {
                slot.tracked.syn(at, seg);
                self.touch(here, flow.hash);
                return;
            }
            if slot.tracked.adopt(seg) {
                slot.id = self.next_id;
                self.next_id += 1;
                slot.tracked.syn(at, seg);
                self.touch(here, flow.hash);
                return;
            }
        }
        self.supersede(flow, newest);
        let slot = self.insert(seg.seq, at, flow, flow.from, Wait::ForAnswer, newest);
        slot.tracked.syn(at, seg);
    }

    /// Ends what went on before between the endpoints of a new SYN, and bounds how many such attempts there are.
    fn supersede(&mut self, flow: &Flow, newest: u32) {
        let mut chain = [NONE; LONGEST_CHAIN];
        let mut length = 0;
        let mut place = newest;
        while let Some(slot) = self.slots.get_mut(place) {
            // SYNs the other way cross this one only where nothing has answered them.
            if slot.tracked.syn > 0
                && (slot.client == flow.from || slot.tracked.handshake != Handshake::Unanswered)
            {
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
                self.touch(place, flow.hash);
            }
        }
        if let (true, Some(oldest)) = (length >= LONGEST_CHAIN, chain.last()) {
            self.decide(*oldest);
        }
    }

    /// Where the server's SYN crosses the client's, each is the start of what the other receives.
    fn crossed(&mut self, flow: &Flow, seg: &Head, newest: u32) {
        let mut place = newest;
        let mut theirs = None;
        while let Some(slot) = self.slots.get_mut(place) {
            let open = slot.tracked.syn > 0 && slot.tracked.handshake == Handshake::Unanswered;
            if open && slot.client != flow.from {
                slot.tracked.crossed_by(seg.seq);
                theirs.get_or_insert(slot.tracked.isn);
            }
            place = slot.older;
        }
        let Some(isn) = theirs else { return };
        let Some(newest) = self.find(flow) else { return };
        if let Some(slot) = self.slots.get_mut(newest)
            && slot.client == flow.from
        {
            slot.tracked.crossed_by(isn);
        }
    }

    /// Notes a reset that fits nothing, for want of an acknowledgment or because it lies outside the window: it may be a
    /// forger's answer to the newest SYN, or to what followed it.
    fn unfit_reset(&mut self, at: Timestamp, flow: &Flow, seg: &Seg<'_>, newest: u32) {
        if let Some(slot) = self.slots.get_mut(newest)
            && slot.client != flow.from
            && (slot.tracked.handshake == Handshake::Completed || !seg.flags.has(TcpFlags::ACK))
        {
            slot.tracked.unfit_reset(at, seg);
        }
    }

    /// Keeps an answer to a SYN that the capture may hold a little later.
    fn answer_without_syn(&mut self, at: Timestamp, flow: &Flow, seg: &Seg<'_>, newest: u32) {
        let refusal = seg.flags.has(TcpFlags::RST | TcpFlags::ACK);
        if !(seg.flags.is_syn_ack() || refusal) || !self.chain_has_room(newest) {
            return;
        }
        let isn = SeqNumber(seg.ack.0.wrapping_sub(1));
        let slot = self.insert(isn, at, flow, flow.from.other(), Wait::ForSyn, newest);
        slot.tracked.by_server(at, seg);
    }

    fn chain_has_room(&self, newest: u32) -> bool {
        let mut place = newest;
        for _ in 0..LONGEST_CHAIN - 1 {
            let Some(slot) = self.slots.get(place) else { return true };
            place = slot.older;
        }
        self.slots.get(place).is_none()
    }

    fn icmp(&mut self, packet: &Packet<'_>, error: &IcmpError<'_>) {
        let Some(quoted) = error.quoted else { return };
        let QuotedTransport::Tcp(tcp) = quoted.transport else { return };
        if !self.sieve.ports.has(tcp.destination_port) {
            return;
        }
        // A router beyond an address translator may quote an address that is not the client's own; the error comes to
        // the client all the same.
        let sources: [IpAddr; 2] = [quoted.source, packet.ip.destination];
        let destination = (quoted.destination, tcp.destination_port);
        let between = |source| self.sieve.flow_between((source, tcp.source_port), destination);
        for flow in sources.map(between).into_iter().flatten() {
            let mut place = self.find(&flow).unwrap_or(NONE);
            while let Some(slot) = self.slots.get_mut(place) {
                if slot.client == flow.from
                    && let Some(about) = slot.tracked.quoted(tcp.seq)
                {
                    slot.tracked.icmp(&timeline::seen(packet, error, &quoted, tcp, about));
                    self.touch(place, flow.hash);
                    return;
                }
                place = slot.older;
            }
        }
    }

    #[inline]
    fn find(&self, flow: &Flow) -> Option<u32> {
        self.entry(flow).map(|at| self.pairs.place(at))
    }

    #[inline]
    fn entry(&self, flow: &Flow) -> Option<Found> {
        self.pairs.find(flow.hash, |place| self.slots.is_newest_of(place, &flow.pair))
    }

    /// Adds an attempt that no packet has been seen of yet, as the newest between its endpoints; `newest` is [`NONE`] if there
    /// was none.
    fn insert(
        &mut self,
        isn: SeqNumber,
        at: Timestamp,
        flow: &Flow,
        client: End,
        wait: Wait,
        newest: u32,
    ) -> &mut Slot {
        self.make_room();
        let Flow { pair, hash, .. } = *flow;
        let id = self.next_id;
        if wait != Wait::ForSyn {
            self.next_id += 1;
        }
        // Making room may have taken it away.
        let entry = if newest == NONE { None } else { self.entry(flow) };
        let older = entry.map_or(NONE, |at| self.pairs.place(at));
        if let Some(older) = self.slots.get_mut(older) {
            older.newest = false;
        }
        let heard = self.clock.now();
        let place = self.slots.vacancy();
        match entry {
            Some(at) => self.pairs.replace(at, place),
            None => self.pairs.insert(hash, place),
        }
        self.heard_in_doubt(place);
        let tracked = Tracked::new(isn, at, Keep::Result);
        *self.slots.at_mut(place) =
            Slot { pair, older, newest: true, client, wait, vacant: false, heard, tracked, id };
        self.calendars.enter(&self.slots, place, hash);
        self.slots.at_mut(place)
    }

    /// Takes an attempt out of the chain of those on the same endpoints.
    fn unchain(&mut self, place: u32) {
        let Some(slot) = self.slots.get(place) else { return };
        let (pair, older, newest) = (slot.pair, slot.older, slot.newest);
        let slots = &self.slots;
        let is_the_newest = |other| if newest { other == place } else { slots.is_newest_of(other, &pair) };
        let Some(entry) = self.pairs.find(self.sieve.hash(&pair), is_the_newest) else { return };
        let mut newer = self.pairs.place(entry);
        if newest {
            if let Some(slot) = self.slots.get_mut(older) {
                slot.newest = true;
                self.pairs.replace(entry, older);
            } else {
                self.pairs.remove(entry);
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

    /// Takes note that a packet of an attempt was seen.
    fn touch(&mut self, place: u32, hash: u32) {
        let now = self.clock.now();
        let Some(slot) = self.slots.get_mut(place) else { return };
        let wait = slot.waits_for();
        // Before its SYN is seen it waits for that, whatever else comes.
        if wait == Wait::ForSyn {
            return;
        }
        slot.heard = now;
        let waits_on = wait == slot.wait;
        self.heard_in_doubt(place);
        if !waits_on {
            self.wait(place, wait, hash);
        }
    }

    /// Notes when an attempt was heard of, if that is doubted.
    #[inline]
    fn heard_in_doubt(&mut self, place: u32) {
        if let Some(at) = self.clock.doubted() {
            self.doubted.push((place, at));
        }
    }

    /// Has an attempt wait for something else.
    fn wait(&mut self, place: u32, wait: Wait, hash: u32) {
        let Some(slot) = self.slots.get_mut(place) else { return };
        slot.wait = wait;
        self.calendars.change(&self.slots, place, hash);
    }
}

/// An attempt of which nothing more will be seen.
fn ended(sieve: &Sieve, Slot { tracked, pair, client, .. }: &mut Slot) -> Attempt {
    let asked = sieve.ports.asked(pair.port(client.other()));
    tracked.end(pair.endpoint(*client), pair.endpoint(client.other()), asked)
}

/// An attempt as it is now.
fn attempt(sieve: &Sieve, Slot { tracked, pair, client, .. }: &Slot) -> Attempt {
    let asked = sieve.ports.asked(pair.port(client.other()));
    tracked.attempt(pair.endpoint(*client), pair.endpoint(client.other()), asked)
}
