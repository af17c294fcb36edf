//! One attempt: what each packet of it means.

use std::net::SocketAddr;

use super::stream::Stream;
use super::{
    About, Attempt, Entry, Handshake, IcmpAnswer, IcmpSeen, Outcome, PROBE_HOP_LIMIT, Quote, ResetBy,
    Segment, What,
};
use crate::packet::{
    Fragment, HopLimit, IcmpError, IcmpErrorKind, Ip, Packet, Quoted, QuotedTcp, SeqNumber, Tcp, TcpFlags,
};
use crate::recording::{RecordNumber, Timestamp};

/// Timeline entries kept of one attempt, at most.
const MAX_TIMELINE: usize = 512;

/// Resets kept that no client has to believe: they are worth a word, and anybody can send them.
const MAX_UNBELIEVED: usize = 16;

/// Entries after which data and bare acknowledgments are left out: how a connection begins and ends tells its story.
const MAX_EVENTLESS: usize = 48;

/// The largest unscaled window: how far beyond the next expected byte a reset may lie and still be believed, and
/// anything of a connection whose endpoints another one has taken.
const UNSCALED_WINDOW: i32 = 65_535;

/// The largest window (RFC 7323 section 2.3): a segment farther off belongs to another connection.
const LARGEST_WINDOW: i32 = 1 << 30;

/// How far off a segment may lie before the handshake is done: what a first flight may hold.
const FIRST_FLIGHT: i32 = 1 << 18;

/// How soon, in nanoseconds, a SYN or SYN/ACK comes again where a packet is captured twice, as on both sides of a router.
/// No stack sends a SYN again so soon.
const TWICE: i64 = 10_000_000;

/// An attempt with what is needed to go on with it.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) attempt: Attempt,
    syn_source_mac: Option<crate::packet::MacAddr>,
    /// Bytes of data on the first SYN (RFC 7413).
    syn_data: u32,
    server_isn: Option<SeqNumber>,
    client_next: SeqNumber,
    /// An acknowledgment that the client sent, and that came before the SYN/ACK in the capture.
    early_ack: Option<SeqNumber>,
    /// The SYN or SYN/ACK seen last.
    sighted: Option<Sighting>,
    ended: Option<Ended>,
    /// SYN/ACKs seen when a reset refused the attempt: only a later one can still be accepted.
    refused_after: u32,
    fin: Sides,
    client_reset: bool,
    unbelieved: usize,
    /// A newer attempt took its endpoints.
    superseded: bool,
    keep: Keep,
    probe: bool,
    server: Stream,
}

/// What tells a SYN or a SYN/ACK from another of the same attempt.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    at: Timestamp,
    syn_ack: bool,
    hop_limit: HopLimit,
    identification: Option<u32>,
    timestamp: Option<u32>,
    /// A SYN of the attempt was captured twice.
    doubled: bool,
}

impl Sighting {
    /// Whether this is the packet of `last`, captured once more, as it was or some hops on.
    fn repeats(&self, last: &Self) -> bool {
        // A server answers a SYN that comes again just as its own timer runs out, with two SYN/ACKs that are alike. A
        // tracer's SYNs may be alike but for hop limits that rise.
        let as_it_was = !self.syn_ack || last.doubled || self.identification.is_some_and(|id| id != 0);
        self.syn_ack == last.syn_ack
            && (0..TWICE).contains(&self.at.since(last.at))
            && self.identification == last.identification
            && self.timestamp == last.timestamp
            && (self.hop_limit < last.hop_limit || as_it_was && self.hop_limit == last.hop_limit)
    }
}

/// What ended an established connection first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Fin { from_client: bool },
    Rst { from_client: bool },
}

/// Which sides have sent something.
#[derive(Clone, Copy, Debug, Default)]
struct Sides {
    client: bool,
    server: bool,
}

/// What is kept of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Its timeline too: few attempts, each to be looked at closely.
    Timeline,
    /// What it came to: there may be millions.
    Result,
}

/// An ICMP error about an attempt, as its timeline has it.
pub(super) fn seen(
    packet: &Packet<'_>,
    error: &IcmpError<'_>,
    quoted: &Quoted<'_>,
    tcp: QuotedTcp,
    about: About,
) -> IcmpSeen {
    IcmpSeen {
        kind: error.kind,
        icmp_type: error.icmp_type,
        code: error.code,
        from: packet.ip.source,
        hop_limit: packet.ip.hop_limit,
        quoted_hop_limit: quoted.hop_limit,
        about,
        quote: Quote {
            source: quoted.source,
            identification: quoted.identification,
            traffic_class: quoted.traffic_class,
            hop_limit: quoted.hop_limit,
            tcp,
        },
    }
}

impl Tracked {
    /// An attempt that no packet has been seen of yet.
    pub(super) fn new(
        client: SocketAddr,
        server: SocketAddr,
        isn: SeqNumber,
        at: Timestamp,
        keep: Keep,
    ) -> Self {
        Self {
            attempt: Attempt {
                client,
                server,
                isn,
                first_syn: at,
                syn: 0,
                syn_ack: 0,
                handshake: Handshake::Unanswered,
                reset_after_handshake_by: None,
                client_bytes: 0,
                server_bytes: 0,
                server_banner: None,
                icmp: None,
                outcome: Outcome::Timeout,
                timeline: Vec::new(),
            },
            syn_source_mac: None,
            syn_data: 0,
            server_isn: None,
            client_next: isn.plus(1),
            early_ack: None,
            sighted: None,
            ended: None,
            refused_after: 0,
            fin: Sides::default(),
            client_reset: false,
            unbelieved: 0,
            superseded: false,
            keep,
            probe: false,
            server: Stream::default(),
        }
    }

    /// The attempt with its outcome; `asked` says whether SSH was asked for on its port.
    pub(super) fn into_attempt(self, asked: bool) -> Attempt {
        let outcome = self.outcome(asked);
        let server_banner = self.server.ssh_line();
        Attempt { outcome, server_banner, server_bytes: self.server.bytes(), ..self.attempt }
    }

    /// Takes a SYN of this attempt, the first or another.
    pub(super) fn syn(&mut self, record: RecordNumber, at: Timestamp, packet: &Packet<'_>, tcp: &Tcp<'_>) {
        if self.attempt.syn == 0 {
            self.attempt.first_syn = at;
            self.syn_source_mac = packet.link.source;
        }
        self.attempt.syn += u32::from(!self.seen_before(at, packet, tcp));
        self.probe |= packet.ip.hop_limit.0 <= PROBE_HOP_LIMIT;
        self.syn_data = self.syn_data.max(tcp.payload_len);
        self.client_sent(self.attempt.isn.plus(1).plus(tcp.payload_len));
        self.note(record, at, || What::Syn(Segment::of(&packet.ip, tcp)));
    }

    /// Whether a SYN or SYN/ACK is the last one, captured once more.
    fn seen_before(&mut self, at: Timestamp, packet: &Packet<'_>, tcp: &Tcp<'_>) -> bool {
        if self.keep == Keep::Timeline {
            return false;
        }
        let mut sighting = Sighting {
            at,
            syn_ack: tcp.flags.is_syn_ack(),
            hop_limit: packet.ip.hop_limit,
            identification: packet.ip.identification,
            timestamp: tcp.options.timestamps().map(|(value, _)| value),
            doubled: false,
        };
        let repeats = self.sighted.is_some_and(|last| sighting.repeats(&last));
        sighting.doubled = self.sighted.is_some_and(|last| last.doubled) || repeats && !sighting.syn_ack;
        self.sighted = Some(sighting);
        repeats
    }

    /// Counts data of the client that ends before `end`.
    fn client_sent(&mut self, end: SeqNumber) {
        let new = end.distance_from(self.client_next);
        if new > 0 {
            self.client_next = end;
            self.attempt.client_bytes += new as u64;
        }
    }

    /// Adds to the timeline, if there is to be one.
    fn note(&mut self, record: RecordNumber, at: Timestamp, what: impl FnOnce() -> What) {
        let entries = self.attempt.timeline.len();
        if self.keep != Keep::Timeline || entries >= MAX_TIMELINE {
            return;
        }
        let what = what();
        if entries < MAX_EVENTLESS || !matches!(what, What::Data { .. } | What::Ack(_)) {
            self.attempt.timeline.push(Entry { record, at, what });
        }
    }

    /// Whether an acknowledgment number may answer a SYN of this attempt, data on it acknowledged or not.
    pub(super) fn acknowledges_syn(&self, ack: SeqNumber) -> bool {
        let acknowledged = ack.distance_from(self.attempt.isn.plus(1));
        (0..=self.syn_data as i32).contains(&acknowledged)
    }

    pub(super) fn by_client(
        &mut self,
        record: RecordNumber,
        at: Timestamp,
        packet: &Packet<'_>,
        tcp: &Tcp<'_>,
    ) {
        let segment = || Segment::of(&packet.ip, tcp);
        if tcp.flags.has(TcpFlags::RST) {
            self.client_reset = true;
            if self.attempt.handshake == Handshake::Completed {
                self.reset_after_handshake(true);
            }
            self.note(record, at, || What::Rst { from_client: true, segment: segment(), acceptable: true });
            return;
        }
        if !tcp.flags.has(TcpFlags::ACK) {
            return;
        }
        self.acknowledged_by_client(tcp);
        if tcp.payload_len > 0 {
            self.client_sent(tcp.seq.plus(tcp.payload_len));
            self.note(record, at, || What::Data {
                from_client: true,
                segment: segment(),
                len: tcp.payload_len,
            });
        }
        if tcp.flags.has(TcpFlags::FIN) {
            self.fin.client = true;
            self.ended.get_or_insert(Ended::Fin { from_client: true });
            self.note(record, at, || What::Fin { from_client: true, segment: segment() });
        } else if tcp.payload_len == 0 {
            self.note(record, at, || What::Ack(segment()));
        }
    }

    /// An acknowledgment by the client completes the handshake.
    fn acknowledged_by_client(&mut self, tcp: &Tcp<'_>) {
        // With crossed SYNs (RFC 9293 section 3.5) it is a SYN/ACK that acknowledges.
        let crossed = self.keep == Keep::Result && tcp.flags.is_syn_ack() && tcp.seq == self.attempt.isn;
        if tcp.seq.distance_from(self.attempt.isn) <= 0 && !crossed {
            return;
        }
        match self.server_isn {
            Some(isn) if tcp.ack.distance_from(isn) > 0 => {
                // Whoever was refused completes nothing, whatever it goes on to acknowledge.
                let refused = self.keep == Keep::Result
                    && self.attempt.handshake == Handshake::Reset
                    && self.attempt.syn_ack <= self.refused_after;
                // Where SYNs crossed, the other side has still to acknowledge ours.
                if matches!(self.attempt.handshake, Handshake::Unanswered | Handshake::Rejected) {
                    self.early_ack = Some(tcp.ack);
                } else if !refused {
                    self.attempt.handshake = Handshake::Completed;
                }
            }
            Some(_) => {}
            None => {
                // Of a server that the capture lacks, its client tells: only who is connected sends data, or
                // acknowledges more than the SYN/ACK.
                let more = tcp.payload_len > 0
                    || tcp.flags.has(TcpFlags::FIN)
                    || self
                        .early_ack
                        .is_some_and(|ack| (1..LARGEST_WINDOW).contains(&tcp.ack.distance_from(ack)));
                self.early_ack = Some(tcp.ack);
                if more && self.keep == Keep::Result && self.attempt.handshake == Handshake::Unanswered {
                    self.attempt.handshake = Handshake::Completed;
                }
            }
        }
    }

    pub(super) fn by_server(
        &mut self,
        record: RecordNumber,
        at: Timestamp,
        packet: &Packet<'_>,
        tcp: &Tcp<'_>,
    ) {
        let to_us = match (packet.link.destination, self.syn_source_mac) {
            (Some(destination), Some(ours)) => Some(destination == ours),
            _ => packet.link.cooked_type.map(|kind| kind == 0),
        };
        let segment =
            || Segment { to_us, checksum_ok: tcp.checksum_ok(&packet.ip), ..Segment::of(&packet.ip, tcp) };
        if tcp.flags.has(TcpFlags::RST) {
            let acceptable = self.reset_by_server(tcp);
            self.unbelieved += usize::from(!acceptable);
            if self.unbelieved > MAX_UNBELIEVED && !acceptable {
                return;
            }
            self.note(record, at, || What::Rst { from_client: false, segment: segment(), acceptable });
            return;
        }
        if tcp.flags.is_syn_ack() {
            if self.acknowledges_syn(tcp.ack) {
                if !self.seen_before(at, packet, tcp) {
                    self.syn_ack(tcp);
                }
                self.note(record, at, || What::SynAck(segment()));
            }
            return;
        }
        // A FIN, or an acknowledgment of more than the SYN, is as good as data.
        let connected = tcp.payload_len > 0
            || tcp.flags.has(TcpFlags::FIN)
            || tcp.ack.distance_from(self.attempt.isn.plus(1).plus(self.syn_data)) > 0;
        if connected && self.keep == Keep::Result {
            self.answered_as_connected(tcp);
        }
        if tcp.payload_len > 0 {
            self.server.push(tcp.seq, tcp.payload, tcp.payload_len);
            self.note(record, at, || What::Data {
                from_client: false,
                segment: segment(),
                len: tcp.payload_len,
            });
        }
        if tcp.flags.has(TcpFlags::FIN) {
            self.fin.server = true;
            self.ended.get_or_insert(Ended::Fin { from_client: false });
            self.note(record, at, || What::Fin { from_client: false, segment: segment() });
        }
    }

    fn syn_ack(&mut self, tcp: &Tcp<'_>) {
        self.attempt.syn_ack += 1;
        // What a SYN that crossed ours said is only a guess.
        let first = self.keep == Keep::Result
            && self.attempt.syn_ack == 1
            && matches!(self.attempt.handshake, Handshake::Unanswered | Handshake::Rejected);
        if first || self.server_isn.is_none() {
            self.server_isn = Some(tcp.seq);
            self.server.starts_at(tcp.seq.plus(1));
        }
        if !matches!(self.attempt.handshake, Handshake::Unanswered | Handshake::Rejected) {
            return;
        }
        // A capture of two directions may hold the last step of the handshake before the second.
        let acknowledged = self.early_ack.is_some_and(|ack| {
            self.keep == Keep::Result && (1..=FIRST_FLIGHT).contains(&ack.distance_from(tcp.seq))
        });
        self.attempt.handshake = if acknowledged { Handshake::Completed } else { Handshake::HalfOpen };
    }

    /// What only a server sends that took the connection, whatever the capture missed of the handshake, and whoever
    /// sent a reset before.
    fn answered_as_connected(&mut self, tcp: &Tcp<'_>) {
        if self.server_isn.is_none() {
            self.server_isn = Some(tcp.seq.plus(u32::MAX));
            self.server.starts_at(tcp.seq);
        }
        if self.attempt.handshake != Handshake::Completed {
            self.attempt.handshake = Handshake::HalfOpen;
            let isn = self.server_isn.unwrap_or(tcp.seq);
            if self.early_ack.is_some_and(|ack| (1..=FIRST_FLIGHT).contains(&ack.distance_from(isn))) {
                self.attempt.handshake = Handshake::Completed;
            }
        }
    }

    /// Takes the initial sequence number of a server that, at the same time, tries to connect to this client.
    pub(super) fn crossed_by(&mut self, isn: SeqNumber) {
        if self.server_isn.is_none() && self.attempt.handshake == Handshake::Unanswered {
            self.server_isn = Some(isn);
            self.server.starts_at(isn.plus(1));
        }
    }

    /// Whether it can be this attempt's client that sent a segment.
    pub(super) fn fits_client(&self, tcp: &Tcp<'_>) -> bool {
        let window = self.window();
        let seq = within(tcp.seq, self.client_next, self.attempt.client_bytes, window);
        let ack = match self.server_isn {
            Some(_) if tcp.flags.has(TcpFlags::ACK) && !tcp.flags.has(TcpFlags::RST) => {
                within(tcp.ack, self.server.next(), self.server.bytes(), window)
            }
            _ => true,
        };
        seq && ack
    }

    /// Whether it can be this attempt's server that sent a segment.
    pub(super) fn fits_server(&self, tcp: &Tcp<'_>) -> bool {
        let window = self.window();
        let ack = tcp.flags.has(TcpFlags::ACK);
        let seq = || {
            let known = self.server_isn.is_some() && !tcp.flags.is_syn_ack();
            !known || within(tcp.seq, self.server.next(), self.server.bytes(), window)
        };
        if tcp.flags.has(TcpFlags::RST) {
            return if self.attempt.handshake == Handshake::Completed {
                seq()
            } else {
                ack && self.refuses(tcp)
            };
        }
        if tcp.flags.is_syn_ack() {
            return self.acknowledges_syn(tcp.ack);
        }
        // The client's SYN must be acknowledged: what a challenge acknowledges is an older connection's.
        let sent = self.attempt.client_bytes.min(LARGEST_WINDOW as u64) as i32;
        ack && (-sent..=window).contains(&tcp.ack.distance_from(self.client_next)) && seq()
    }

    /// Whether a segment can only come from somebody who sees what this attempt's client sends: it acknowledges the
    /// client's numbers. Resets and SYN/ACKs are judged where they are taken.
    pub(super) fn is_answered_by(&self, tcp: &Tcp<'_>) -> bool {
        if tcp.flags.has(TcpFlags::RST) || tcp.flags.is_syn_ack() {
            return true;
        }
        let sent = self.attempt.client_bytes.min(LARGEST_WINDOW as u64) as i32;
        // The capture may have missed what the client sent last.
        let missed = if self.server_isn.is_some() { UNSCALED_WINDOW } else { 0 };
        let acknowledges = tcp.flags.has(TcpFlags::ACK)
            && (-sent..=missed).contains(&tcp.ack.distance_from(self.client_next));
        let (next, bytes) = (self.server.next(), self.server.bytes());
        acknowledges && (self.server_isn.is_none() || within(tcp.seq, next, bytes, FIRST_FLIGHT))
    }

    /// Whether a segment can be the client's own answer to something genuine. Its kernel resets whatever a forger
    /// makes up, with the forger's numbers.
    pub(super) fn is_of_client(&self, tcp: &Tcp<'_>) -> bool {
        within(tcp.seq, self.client_next, self.attempt.client_bytes, UNSCALED_WINDOW)
    }

    fn window(&self) -> i32 {
        if self.superseded {
            UNSCALED_WINDOW
        } else if self.attempt.handshake == Handshake::Completed {
            LARGEST_WINDOW
        } else {
            FIRST_FLIGHT
        }
    }

    /// Whether a SYN/ACK or a reset that came before the SYN in the capture answers this SYN, and if so makes the
    /// attempt this SYN's.
    pub(super) fn adopt(&mut self, syn: &Tcp<'_>) -> bool {
        let acknowledged = self.attempt.isn.plus(1).distance_from(syn.seq.plus(1));
        if self.attempt.syn > 0 || !(0..=syn.payload_len as i32).contains(&acknowledged) {
            return false;
        }
        self.attempt.isn = syn.seq;
        self.attempt.client_bytes += acknowledged as u64;
        true
    }

    /// Says that a newer attempt took its endpoints: of this one, only late packets may still come.
    pub(super) fn supersede(&mut self) {
        self.superseded = true;
    }

    /// Whether nothing more is to be expected of it.
    pub(super) fn is_over(&self) -> bool {
        if self.superseded {
            return true;
        }
        match self.attempt.handshake {
            Handshake::Reset => true,
            Handshake::Completed => {
                self.attempt.reset_after_handshake_by.is_some() || (self.fin.client && self.fin.server)
            }
            Handshake::HalfOpen => self.client_reset,
            Handshake::Unanswered | Handshake::Rejected => false,
        }
    }

    /// Whether a reset is one that refuses the SYN.
    fn refuses(&self, tcp: &Tcp<'_>) -> bool {
        // RFC 9293 section 3.10.7.3 asks for ISN+1; some stacks acknowledge the ISN itself.
        tcp.flags.has(TcpFlags::ACK) && (tcp.ack == self.attempt.isn || self.acknowledges_syn(tcp.ack))
    }

    /// Takes a reset from the server's side, and says whether the client has to believe it.
    fn reset_by_server(&mut self, tcp: &Tcp<'_>) -> bool {
        let acceptable = if self.attempt.handshake == Handshake::Completed {
            let next = if self.server_isn.is_some() {
                self.server.next()
            } else {
                self.early_ack.unwrap_or(tcp.seq)
            };
            let behind = tcp.seq.distance_from(next);
            (0..=UNSCALED_WINDOW).contains(&behind)
        } else {
            self.refuses(tcp)
        };
        if acceptable {
            match self.attempt.handshake {
                Handshake::Completed => self.reset_after_handshake(false),
                Handshake::Unanswered | Handshake::Rejected | Handshake::HalfOpen => {
                    self.attempt.handshake = Handshake::Reset;
                    self.refused_after = self.attempt.syn_ack;
                }
                Handshake::Reset => {}
            }
        }
        acceptable
    }

    fn reset_after_handshake(&mut self, from_client: bool) {
        self.ended.get_or_insert(Ended::Rst { from_client });
        let by = if from_client { ResetBy::Client } else { ResetBy::Server };
        self.attempt.reset_after_handshake_by = Some(match self.attempt.reset_after_handshake_by {
            Some(other) if other != by => ResetBy::Both,
            _ => by,
        });
    }

    /// Which packet of this attempt a quote is about, if any.
    pub(super) fn quoted_packet(&self, quoted: &Quoted<'_>, tcp: QuotedTcp) -> Option<About> {
        let syns = || {
            self.attempt.timeline.iter().enumerate().filter_map(|(i, e)| match &e.what {
                What::Syn(segment) => Some((i, segment)),
                _ => None,
            })
        };
        let by_timestamp = |segment: &Segment| match (tcp.rest.and_then(|r| r.timestamp), segment.timestamps)
        {
            (Some(quoted), Some((sent, _))) => Some(quoted == sent),
            _ => None,
        };
        let tagged = |segment: &Segment| {
            let by_identification = match (quoted.identification, segment.identification) {
                (Some(quoted), Some(sent)) => Some(quoted == sent),
                _ => None,
            };
            !matches!(
                (by_identification, by_timestamp(segment)),
                (Some(false), _) | (_, Some(false)) | (None, None)
            )
        };
        // A box on the way may rewrite the identification; a timestamp that one SYN alone bears tells enough.
        let by_timestamp_alone = || {
            let mut alike = syns().filter(|(_, s)| by_timestamp(s) == Some(true)).map(|(i, _)| i);
            let first = alike.next();
            first.filter(|_| alike.next().is_none())
        };
        let by_tag = || syns().filter(|(_, s)| tagged(s)).map(|(i, _)| i).next_back();
        if tcp.seq == self.attempt.isn {
            return Some(by_tag().or_else(by_timestamp_alone).map_or(About::SomeSyn, About::Syn));
        }
        let offset = tcp.seq.distance_from(self.attempt.isn);
        if offset > 0 && tcp.seq.distance_from(self.client_next) <= 0 {
            return Some(About::Later);
        }
        // A box on the way may rewrite sequence numbers. The timestamp is then what is left to go by: the identification
        // alone can be guessed.
        let timestamp = tcp.rest.and_then(|rest| rest.timestamp);
        by_tag().filter(|_| timestamp.is_some()).map(About::Syn)
    }

    /// Whether the quote bears the identification or the timestamp of the very SYN it is taken to be about.
    pub(super) fn bears_tag(&self, quoted: &Quoted<'_>, tcp: QuotedTcp, about: About) -> bool {
        let About::Syn(index) = about else { return false };
        let Some(Entry { what: What::Syn(syn), .. }) = self.attempt.timeline.get(index) else { return false };
        let identified = quoted.identification.is_some_and(|id| id != 0 && Some(id) == syn.identification);
        let timestamp = tcp.rest.and_then(|r| r.timestamp);
        identified || timestamp.is_some_and(|value| syn.timestamps.is_some_and(|(sent, _)| sent == value))
    }

    pub(super) fn icmp(&mut self, record: RecordNumber, at: Timestamp, seen: IcmpSeen) {
        self.note(record, at, || What::Icmp(seen));
        let refuses = match seen.kind {
            IcmpErrorKind::TooBig | IcmpErrorKind::ReassemblyTimeExceeded => false,
            IcmpErrorKind::TimeExceeded => !self.probe,
            _ => seen.about != About::Later,
        };
        if refuses && matches!(self.attempt.handshake, Handshake::Unanswered | Handshake::Rejected) {
            self.attempt.handshake = Handshake::Rejected;
            self.attempt.icmp.get_or_insert(IcmpAnswer {
                icmp_type: seen.icmp_type,
                code: seen.code,
                from: seen.from,
            });
        }
    }

    fn outcome(&self, asked: bool) -> Outcome {
        match self.attempt.handshake {
            Handshake::Rejected => Outcome::Rejected,
            Handshake::Reset => Outcome::Reset,
            Handshake::HalfOpen => Outcome::HalfOpen,
            Handshake::Unanswered => Outcome::Timeout,
            Handshake::Completed if !asked => Outcome::Completed,
            Handshake::Completed => self.outcome_of_established(),
        }
    }

    fn outcome_of_established(&self) -> Outcome {
        let banner = self.server.says_ssh();
        match self.ended {
            Some(Ended::Rst { from_client: false }) if !self.server.beyond_key_exchange() => {
                Outcome::ResetAfterHandshake
            }
            _ if banner => Outcome::Open,
            // Nothing, or not all, of what the server said was captured.
            _ if self.server_isn.is_none() || self.server.unreadable() => Outcome::Completed,
            Some(Ended::Fin { from_client: false }) => Outcome::Closed,
            _ if self.server.bytes() > 0 => Outcome::NotSsh,
            _ => Outcome::NoBanner,
        }
    }
}

/// Whether a number lies no farther than `window` beyond `next`, and no farther behind it than what was sent (the
/// SYN and a keep-alive's byte included).
fn within(number: SeqNumber, next: SeqNumber, sent: u64, window: i32) -> bool {
    let behind = sent.saturating_add(2).min(LARGEST_WINDOW as u64) as i32;
    (-behind..=window).contains(&number.distance_from(next))
}

impl Segment {
    /// The fields of a segment; those that only a received one has are left open.
    pub(super) fn of(ip: &Ip, tcp: &Tcp<'_>) -> Self {
        Self {
            hop_limit: ip.hop_limit,
            identification: ip.identification,
            traffic_class: ip.traffic_class,
            seq: tcp.seq,
            ack: tcp.ack,
            flags: tcp.flags,
            window: tcp.window,
            timestamps: tcp.options.timestamps(),
            mss: tcp.options.mss(),
            options: tcp.options.layout(),
            checksum_ok: None,
            to_us: None,
            half: ip.fragment == Fragment::First,
        }
    }
}
