//! Follows every TCP connection attempt of a recording, in bounded memory.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::stream::Stream;
use super::{About, Attempt, Entry, Handshake, IcmpAnswer, IcmpSeen, Outcome, ResetBy, Segment, What};
use crate::packet::{Icmp, IcmpErrorKind, Ip, Packet, QuotedTransport, SeqNumber, Tcp, TcpFlags, Transport};
use crate::recording::{RecordNumber, Timestamp};

/// Attempts followed at once, at most; beyond that the oldest is dropped and counted.
pub const MAX_ATTEMPTS: usize = 65_536;

/// Timeline entries kept of one attempt, at most.
const MAX_TIMELINE: usize = 512;

/// How far beyond the next expected byte a reset may lie and still be believed: the largest unscaled window.
const RESET_WINDOW: i32 = 65_535;

/// Follows attempts.
#[derive(Debug)]
pub struct Tracker {
    attempts: BTreeMap<u64, Tracked>,
    latest: HashMap<Pair, u64>,
    quoted: HashMap<(IpAddr, u16, u16), Vec<u64>>,
    next_id: u64,
    capacity: usize,
    evicted: u64,
}

/// Client and server endpoint.
type Pair = (SocketAddr, SocketAddr);

/// An attempt with what is needed to go on with it.
#[derive(Debug)]
struct Tracked {
    attempt: Attempt,
    syn_source_mac: Option<crate::packet::MacAddr>,
    server_isn: Option<SeqNumber>,
    client_next: SeqNumber,
    ended: Option<Ended>,
    server: Stream,
}

/// What ended an established connection first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Fin { from_client: bool },
    Rst { from_client: bool },
}

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
                let Some(ids) = self.quoted.get(&key) else { return };
                for id in ids.iter().rev() {
                    let Some(tracked) = self.attempts.get_mut(id) else { continue };
                    let Some(about) = tracked.quoted_packet(&quoted, tcp) else { continue };
                    let seen = IcmpSeen {
                        kind: error.kind,
                        icmp_type: error.icmp_type,
                        code: error.code,
                        from: packet.ip.source,
                        hop_limit: packet.ip.hop_limit,
                        quoted_hop_limit: quoted.hop_limit,
                        about,
                    };
                    tracked.icmp(record, at, seen);
                    return;
                }
            }
            _ => {}
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
                let outcome = tracked.outcome(ssh_port);
                let server_banner = tracked.server.ssh_line();
                Attempt { outcome, server_banner, server_bytes: tracked.server.bytes(), ..tracked.attempt }
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
            if let Some(tracked) = self.attempts.get_mut(id) {
                tracked.client_sent(record, at, packet, tcp);
            }
        } else if let Some(id) = self.latest.get(&(destination, source))
            && let Some(tracked) = self.attempts.get_mut(id)
        {
            tracked.server_sent(record, at, packet, tcp);
        }
    }

    fn syn(&mut self, record: RecordNumber, at: Timestamp, packet: &Packet<'_>, tcp: &Tcp<'_>, pair: Pair) {
        let segment = Segment::of(&packet.ip, tcp);
        if let Some(tracked) = self.latest.get(&pair).and_then(|id| self.attempts.get_mut(id))
            && tracked.attempt.isn == tcp.seq
        {
            tracked.attempt.syn += 1;
            tracked.note(record, at, What::Syn(segment));
            return;
        }
        if self.attempts.len() >= self.capacity {
            self.evict_oldest();
        }
        let id = self.next_id;
        self.next_id += 1;
        let (client, server) = pair;
        let mut tracked = Tracked {
            attempt: Attempt {
                client,
                server,
                isn: tcp.seq,
                first_syn: at,
                syn: 1,
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
            syn_source_mac: packet.link.source,
            server_isn: None,
            client_next: tcp.seq.plus(1),
            ended: None,
            server: Stream::default(),
        };
        tracked.note(record, at, What::Syn(segment));
        self.attempts.insert(id, tracked);
        self.latest.insert(pair, id);
        self.quoted.entry((server.ip(), server.port(), client.port())).or_default().push(id);
    }

    fn evict_oldest(&mut self) {
        let Some((id, tracked)) = self.attempts.pop_first() else { return };
        self.evicted += 1;
        let Attempt { client, server, .. } = tracked.attempt;
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

impl Tracked {
    fn note(&mut self, record: RecordNumber, at: Timestamp, what: What) {
        if self.attempt.timeline.len() < MAX_TIMELINE {
            self.attempt.timeline.push(Entry { record, at, what });
        }
    }

    fn client_sent(&mut self, record: RecordNumber, at: Timestamp, packet: &Packet<'_>, tcp: &Tcp<'_>) {
        let segment = Segment::of(&packet.ip, tcp);
        if tcp.flags.has(TcpFlags::RST) {
            if self.attempt.handshake == Handshake::Completed {
                self.reset_after_handshake(true);
            }
            self.note(record, at, What::Rst { from_client: true, segment, acceptable: true });
            return;
        }
        if !tcp.flags.has(TcpFlags::ACK) {
            return;
        }
        let acknowledges_syn_ack = self.server_isn.is_some_and(|isn| tcp.ack.distance_from(isn) > 0);
        if acknowledges_syn_ack && tcp.seq.distance_from(self.attempt.isn) > 0 {
            self.attempt.handshake = Handshake::Completed;
        }
        if tcp.payload_len > 0 {
            let end = tcp.seq.plus(tcp.payload_len);
            if end.distance_from(self.client_next) > 0 {
                self.client_next = end;
                let sent = end.distance_from(self.attempt.isn.plus(1)).max(0);
                self.attempt.client_bytes = self.attempt.client_bytes.max(sent as u64);
            }
            self.note(record, at, What::Data { from_client: true, segment, len: tcp.payload_len });
        }
        if tcp.flags.has(TcpFlags::FIN) {
            self.ended.get_or_insert(Ended::Fin { from_client: true });
            self.note(record, at, What::Fin { from_client: true, segment });
        } else if tcp.payload_len == 0 {
            self.note(record, at, What::Ack(segment));
        }
    }

    fn server_sent(&mut self, record: RecordNumber, at: Timestamp, packet: &Packet<'_>, tcp: &Tcp<'_>) {
        let to_us = match (packet.link.destination, self.syn_source_mac) {
            (Some(destination), Some(ours)) => Some(destination == ours),
            _ => packet.link.cooked_type.map(|kind| kind == 0),
        };
        let segment =
            Segment { to_us, checksum_ok: tcp.checksum_ok(&packet.ip), ..Segment::of(&packet.ip, tcp) };
        if tcp.flags.has(TcpFlags::RST) {
            self.reset_by_server(record, at, segment);
            return;
        }
        if tcp.flags.is_syn_ack() {
            if tcp.ack != self.attempt.isn.plus(1) {
                return;
            }
            self.attempt.syn_ack += 1;
            if self.server_isn.is_none() {
                self.server_isn = Some(tcp.seq);
                self.server.starts_at(tcp.seq.plus(1));
            }
            if matches!(self.attempt.handshake, Handshake::Unanswered | Handshake::Rejected) {
                self.attempt.handshake = Handshake::HalfOpen;
            }
            self.note(record, at, What::SynAck(segment));
            return;
        }
        if tcp.payload_len > 0 {
            self.server.push(tcp.seq, tcp.payload, tcp.payload_len);
            self.note(record, at, What::Data { from_client: false, segment, len: tcp.payload_len });
        }
        if tcp.flags.has(TcpFlags::FIN) {
            self.ended.get_or_insert(Ended::Fin { from_client: false });
            self.note(record, at, What::Fin { from_client: false, segment });
        }
    }

    fn reset_by_server(&mut self, record: RecordNumber, at: Timestamp, segment: Segment) {
        let acceptable = if self.attempt.handshake == Handshake::Completed {
            let behind = segment.seq.distance_from(self.server.next());
            (0..=RESET_WINDOW).contains(&behind)
        } else {
            // RFC 9293 section 3.10.7.3 asks for ISN+1; some stacks acknowledge the ISN itself.
            segment.flags.has(TcpFlags::ACK)
                && (segment.ack == self.attempt.isn || segment.ack == self.attempt.isn.plus(1))
        };
        if acceptable {
            match self.attempt.handshake {
                Handshake::Completed => self.reset_after_handshake(false),
                Handshake::Unanswered | Handshake::Rejected | Handshake::HalfOpen => {
                    self.attempt.handshake = Handshake::Reset;
                }
                Handshake::Reset => {}
            }
        }
        self.note(record, at, What::Rst { from_client: false, segment, acceptable });
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
    fn quoted_packet(
        &self,
        quoted: &crate::packet::Quoted<'_>,
        tcp: crate::packet::QuotedTcp,
    ) -> Option<About> {
        let syns = || {
            self.attempt.timeline.iter().enumerate().filter_map(|(i, e)| match &e.what {
                What::Syn(segment) => Some((i, segment)),
                _ => None,
            })
        };
        let tagged = |segment: &Segment| {
            let by_timestamp = match (tcp.rest.and_then(|r| r.timestamp), segment.timestamps) {
                (Some(quoted), Some((sent, _))) => Some(quoted == sent),
                _ => None,
            };
            let by_identification = match (quoted.identification, segment.identification) {
                (Some(quoted), Some(sent)) => Some(quoted == sent),
                _ => None,
            };
            !matches!((by_identification, by_timestamp), (Some(false), _) | (_, Some(false)) | (None, None))
        };
        let by_tag = || syns().filter(|(_, s)| tagged(s)).map(|(i, _)| i).next_back();
        if tcp.seq == self.attempt.isn {
            let only = || {
                let mut all = syns();
                match (all.next(), all.next()) {
                    (Some((i, _)), None) => Some(i),
                    _ => None,
                }
            };
            return Some(by_tag().or_else(only).map_or(About::SomeSyn, About::Syn));
        }
        let offset = tcp.seq.distance_from(self.attempt.isn);
        if offset > 0 && tcp.seq.distance_from(self.client_next) <= 0 {
            return Some(About::Later);
        }
        // A box on the way may rewrite sequence numbers; the identification is then what is left to go by.
        by_tag().filter(|_| quoted.identification.is_some_and(|id| id != 0)).map(About::Syn)
    }

    fn icmp(&mut self, record: RecordNumber, at: Timestamp, seen: IcmpSeen) {
        self.note(record, at, What::Icmp(seen));
        let refuses = match seen.kind {
            IcmpErrorKind::TooBig => false,
            IcmpErrorKind::TimeExceeded => !self.attempt.is_probe(),
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

    fn outcome(&self, ssh_port: u16) -> Outcome {
        match self.attempt.handshake {
            Handshake::Rejected => Outcome::Rejected,
            Handshake::Reset => Outcome::Reset,
            Handshake::HalfOpen => Outcome::HalfOpen,
            Handshake::Unanswered => Outcome::Timeout,
            Handshake::Completed if self.attempt.server.port() != ssh_port => Outcome::Completed,
            Handshake::Completed => self.outcome_of_established(),
        }
    }

    fn outcome_of_established(&self) -> Outcome {
        let banner = self.server.ssh_line().is_some();
        match self.ended {
            Some(Ended::Rst { from_client: false }) if !self.server.beyond_key_exchange() => {
                Outcome::ResetAfterHandshake
            }
            _ if banner => Outcome::Open,
            _ if self.server.unreadable() => Outcome::Completed,
            Some(Ended::Fin { from_client: false }) => Outcome::Closed,
            _ if self.server.bytes() > 0 => Outcome::NotSsh,
            _ => Outcome::NoBanner,
        }
    }
}

impl Segment {
    /// The fields of a segment; those that only a received one has are left open.
    fn of(ip: &Ip, tcp: &Tcp<'_>) -> Self {
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
        }
    }
}
