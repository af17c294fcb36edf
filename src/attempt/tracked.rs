//! One attempt: what each packet of it means.

use std::mem::offset_of;
use std::net::SocketAddr;

use super::About;
use super::seg::{Head, Seg};
use super::signature::{Classifier, Signature};
use super::stream::{Banner, Stream};
use super::{Attempt, Handshake, IcmpAnswer, IcmpSeen, Outcome, PROBE_HOP_LIMIT, ResetBy};
use crate::packet::{HopLimit, IcmpErrorKind, SeqNumber, TcpFlags};
use crate::recording::Timestamp;

/// The largest unscaled window: how far beyond the next expected byte a reset may lie and still be believed, and
/// anything of a connection whose endpoints another one has taken.
const UNSCALED_WINDOW: i32 = 65_535;

/// The largest window (RFC 7323 section 2.3): a segment farther off belongs to another connection.
const LARGEST_WINDOW: i32 = 1 << 30;

/// How far off a segment may lie before the handshake is done: what a first flight may hold.
const FIRST_FLIGHT: i32 = 1 << 18;

/// How soon, in nanoseconds, a packet comes again where it is captured twice, as on both sides of a router. No stack sends
/// a SYN or data again so soon.
const TWICE: i64 = 10_000_000;

/// An attempt, as far as it is needed to go on with it. There may be a million of these: what follows from other fields
/// is not kept.
///
/// In this order, because a packet of a large capture costs about as much as it touches cache lines: first what every
/// packet is judged by, then what only the first packets are, or the last look is.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Tracked {
    pub(super) isn: SeqNumber,
    pub(super) syn: u32,
    client_bytes: u64,
    server_isn: Option<SeqNumber>,
    server: Stream,
    /// Bytes of data on the first SYN (RFC 7413).
    syn_data: u32,
    /// The sequence number that the server was to use next when it last reset the connection.
    next_at_reset: SeqNumber,
    pub(super) handshake: Handshake,
    reset_after_handshake_by: Option<ResetBy>,
    ended: Option<Ended>,
    fin: Sides,
    client_reset: bool,
    /// How often the capture holds each packet, as far as its SYN tells.
    copies: u8,
    /// A newer attempt took its endpoints.
    superseded: bool,
    keep: Keep,
    probe: bool,
    inferred: Inferred,
    signature: Classifier,
    data_sent: DataSent,

    pub(super) first_syn: Timestamp,
    /// The initial sequence number of a later SYN/ACK, where it is another.
    other_isn: Option<SeqNumber>,
    /// An acknowledgment that the client sent, and that came before the SYN/ACK in the capture.
    early_ack: Option<SeqNumber>,
    /// The SYN, SYN/ACK or reset after the handshake seen last.
    sighted: Option<Sighting>,
    /// Most attempts meet none.
    icmp: Option<Box<IcmpAnswer>>,
    syn_ack: u32,
    /// SYN/ACKs seen when a reset refused the attempt: only a later one can still be accepted.
    refused_after: u32,
}

impl Tracked {
    /// Bytes of what every packet is judged by.
    pub(super) const HOT: usize = offset_of!(Self, first_syn);
}

/// When the client last sent data that was new, and the identification it bore.
#[derive(Clone, Copy, Debug, Default)]
struct DataSent {
    /// In nanoseconds since the epoch.
    at: i64,
    identification: Option<u32>,
}

/// What tells a SYN, a SYN/ACK or a reset from another of the same attempt.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    /// When, in nanoseconds since the epoch.
    at: i64,
    /// Which of SYN, ACK and RST it is.
    kind: TcpFlags,
    hop_limit: HopLimit,
    identification: Option<u32>,
    /// The timestamp of a SYN or SYN/ACK, the acknowledgment number of a reset.
    number: Option<u32>,
    /// How often it was captured by now.
    times: u8,
}

impl Sighting {
    fn of(at: Timestamp, seg: &Seg<'_>) -> Self {
        let is_reset = seg.flags.has(TcpFlags::RST);
        Self {
            at: at.nanos(),
            kind: TcpFlags(seg.flags.0 & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST).0),
            hop_limit: seg.hop_limit,
            identification: seg.identification,
            number: if is_reset { Some(seg.ack.0) } else { seg.timestamp() },
            times: 1,
        }
    }

    /// Whether this is the packet of `last`, captured once more, as it was or some hops on, where the capture holds each
    /// packet `copies` times.
    fn repeats(&self, last: &Self, copies: u8) -> bool {
        let doubled = copies > 1;
        let (alike, as_it_was) = if self.kind.has(TcpFlags::RST) {
            // A forger sends several that are alike in all.
            (doubled && last.times < copies, true)
        } else {
            // A server answers a SYN that comes again just as its own timer runs out, with two SYN/ACKs that are alike. A
            // tracer's SYNs may be alike but for hop limits that rise.
            (true, self.kind.is_syn() || doubled || self.identification.is_some_and(|id| id != 0))
        };
        alike
            && self.kind == last.kind
            && (0..TWICE).contains(&self.at.saturating_sub(last.at))
            && self.identification == last.identification
            && self.number == last.number
            && (self.hop_limit < last.hop_limit || as_it_was && self.hop_limit == last.hop_limit)
    }
}

/// What ended an established connection first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Fin { from_client: bool },
    Rst { from_client: bool },
}

/// Whether the handshake counts as done for what the server sent alone, without an ACK of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inferred {
    No,
    /// It does; it counted as this before.
    From(Handshake),
    /// It does not: the client went on sending its SYN.
    Refuted,
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

impl Tracked {
    /// An attempt that no packet has been seen of yet.
    pub(super) fn new(isn: SeqNumber, at: Timestamp, keep: Keep) -> Self {
        Self {
            isn,
            first_syn: at,
            syn: 0,
            syn_ack: 0,
            handshake: Handshake::Unanswered,
            reset_after_handshake_by: None,
            next_at_reset: SeqNumber(0),
            client_bytes: 0,
            icmp: None,
            syn_data: 0,
            server_isn: None,
            other_isn: None,
            early_ack: None,
            sighted: None,
            ended: None,
            refused_after: 0,
            fin: Sides::default(),
            client_reset: false,
            copies: 1,
            superseded: false,
            keep,
            probe: false,
            inferred: Inferred::No,
            server: Stream::default(),
            signature: Classifier::default(),
            data_sent: DataSent::default(),
        }
    }

    /// The attempt as it is now, between these endpoints; `asked` says whether SSH was asked for on the server's port.
    pub(super) fn attempt(&self, client: SocketAddr, server: SocketAddr, asked: bool) -> Attempt {
        self.attempt_with(self.server.ssh_line(), client, server, asked)
    }

    /// The same, when nothing more will be seen of it.
    pub(super) fn end(&mut self, client: SocketAddr, server: SocketAddr, asked: bool) -> Attempt {
        let banner = self.server.take_ssh_line();
        self.attempt_with(banner, client, server, asked)
    }

    fn attempt_with(
        &self,
        server_banner: Option<Banner>,
        client: SocketAddr,
        server: SocketAddr,
        asked: bool,
    ) -> Attempt {
        Attempt {
            client,
            server,
            isn: self.isn,
            first_syn: self.first_syn,
            syn: self.syn,
            syn_ack: self.syn_ack,
            handshake: self.handshake,
            reset_after_handshake_by: self.reset_after_handshake_by,
            client_bytes: self.client_bytes,
            server_bytes: self.server.bytes(),
            server_banner,
            icmp: self.icmp.as_deref().copied(),
            outcome: self.outcome(asked, true),
            outcome_of_path: self.outcome(asked, false),
            signature: self.signature.signature(self.handshake),
            timeline: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// Lets go of what lies elsewhere.
    pub(super) fn let_go(&mut self) {
        self.icmp = None;
        self.server.let_go();
    }

    /// Tells `attempt` what may have changed with a packet; what is known only at the end is left.
    pub(super) fn tell(&self, attempt: &mut Attempt) {
        attempt.first_syn = self.first_syn;
        attempt.syn = self.syn;
        attempt.syn_ack = self.syn_ack;
        attempt.handshake = self.handshake;
        attempt.reset_after_handshake_by = self.reset_after_handshake_by;
        attempt.client_bytes = self.client_bytes;
        attempt.icmp = self.icmp.as_deref().copied();
    }

    /// Takes a SYN of this attempt, the first or another.
    pub(super) fn syn(&mut self, at: Timestamp, seg: &Seg<'_>) {
        if self.syn == 0 {
            self.first_syn = at;
        }
        let again = self.only_copy(at, seg);
        if let Inferred::From(before) = self.inferred
            && self.syn > 0
            && !again
        {
            // Who sends its SYN again is not connected, whatever somebody sent in the server's name.
            self.handshake = before;
            self.inferred = Inferred::Refuted;
            self.server = Stream::default();
            self.server_isn = self.server_isn.filter(|_| self.syn_ack > 0);
            if let Some(isn) = self.server_isn {
                self.server.starts_at(isn.plus(1));
            }
        }
        self.syn += u32::from(!again);
        self.probe |= seg.hop_limit.0 <= PROBE_HOP_LIMIT;
        self.syn_data = self.syn_data.max(seg.len);
        self.client_sent(self.isn.plus(1).plus(seg.len), true);
    }

    /// Whether a SYN, SYN/ACK or reset is the last one, captured once more.
    fn seen_before(&mut self, at: Timestamp, seg: &Seg<'_>) -> bool {
        let mut sighting = Sighting::of(at, seg);
        let last = self.sighted.filter(|last| sighting.repeats(last, self.copies));
        if let Some(last) = last {
            sighting.times = last.times.saturating_add(1);
            if seg.flags.is_syn() {
                self.copies = self.copies.max(sighting.times);
            }
        }
        self.sighted = Some(sighting);
        last.is_some()
    }

    /// Whether a SYN or SYN/ACK counts for nothing, as a copy of the last. A timeline has every packet.
    fn only_copy(&mut self, at: Timestamp, seg: &Seg<'_>) -> bool {
        self.seen_before(at, seg) && self.keep == Keep::Result
    }

    /// Whether data of the client that is not new is the last that was, captured once more.
    fn data_seen_before(&self, at: Timestamp, seg: &Head) -> bool {
        let sent = self.data_sent.identification;
        let identified = seg.identification == sent && sent.is_some_and(|id| id != 0);
        (self.copies > 1 || identified) && (0..TWICE).contains(&at.nanos().saturating_sub(self.data_sent.at))
    }

    /// The sequence number that the client's next byte will have.
    fn client_next(&self) -> SeqNumber {
        self.isn.plus(1).plus(self.client_bytes as u32)
    }

    /// Counts data of the client that ends before `end`, if it `counts`, and says whether any of it is new.
    fn client_sent(&mut self, end: SeqNumber, counts: bool) -> bool {
        let new = end.distance_from(self.client_next()).max(0) as u64 * u64::from(counts);
        self.client_bytes += new;
        new > 0
    }

    /// Whether an acknowledgment number may answer a SYN of this attempt, data on it acknowledged or not.
    pub(super) fn acknowledges_syn(&self, ack: SeqNumber) -> bool {
        let acknowledged = ack.distance_from(self.isn.plus(1));
        (0..=self.syn_data as i32).contains(&acknowledged)
    }

    /// Takes a segment of the client, no SYN.
    pub(super) fn by_client(&mut self, at: Timestamp, seg: &Head) {
        if seg.flags.has(TcpFlags::RST) {
            self.client_reset = true;
            self.signature.client_reset();
            if self.handshake == Handshake::Completed {
                self.reset_after_handshake(true);
            }
            return;
        }
        if !seg.flags.has(TcpFlags::ACK) {
            return;
        }
        self.acknowledged_by_client(seg);
        if self.reset_after_handshake_by.is_some() && self.was_not_reset(seg.ack) {
            self.take_reset_back();
        }
        let has_data = seg.len > 0;
        let new = self.client_sent(seg.seq.plus(seg.len), has_data);
        let again = has_data && !new && !self.data_seen_before(at, seg);
        if new {
            self.data_sent = DataSent { at: at.nanos(), identification: seg.identification };
        }
        self.signature.client_sent(self.handshake, new, again, seg.flags.has(TcpFlags::FIN));
        if seg.flags.has(TcpFlags::FIN) {
            self.fin.client = true;
            self.ended.get_or_insert(Ended::Fin { from_client: true });
        }
    }

    /// Whether the client, which acknowledges `ack`, took a later SYN/ACK than the first: that may have been lost, or
    /// not be the server's.
    fn chooses_other(&self, ack: SeqNumber) -> bool {
        let (Some(first), Some(other)) = (self.server_isn, self.other_isn) else { return false };
        let (behind_first, behind_other) = (ack.distance_from(first), ack.distance_from(other));
        self.handshake == Handshake::HalfOpen
            && self.server.bytes() == 0
            && (1..=FIRST_FLIGHT).contains(&behind_other)
            && !(1..=behind_other).contains(&behind_first)
    }

    /// An acknowledgment by the client completes the handshake.
    fn acknowledged_by_client(&mut self, seg: &Head) {
        // Most are of connections of which all of this is known.
        if self.handshake == Handshake::Completed
            && self.inferred == Inferred::No
            && self.server_isn.is_some()
        {
            return;
        }
        // With crossed SYNs (RFC 9293 section 3.5) it is a SYN/ACK that acknowledges.
        let crossed = seg.flags.is_syn_ack() && seg.seq == self.isn;
        if seg.seq.distance_from(self.isn) <= 0 && !crossed {
            return;
        }
        if let Some(isn) = self.other_isn.filter(|_| self.chooses_other(seg.ack)) {
            self.server_isn = Some(isn);
            self.server.starts_at(isn.plus(1));
        }
        match self.server_isn {
            Some(isn) if seg.ack.distance_from(isn) > 0 => {
                // Whoever was refused completes nothing, whatever it goes on to acknowledge.
                let refused = self.handshake == Handshake::Reset && self.syn_ack <= self.refused_after;
                // Where SYNs crossed, the other side has still to acknowledge ours.
                if matches!(self.handshake, Handshake::Unanswered | Handshake::Rejected) {
                    self.early_ack = Some(seg.ack);
                } else if !refused {
                    self.handshake = Handshake::Completed;
                    self.inferred = Inferred::No;
                }
            }
            Some(_) => {}
            None => {
                // Of a server that the capture lacks, its client tells: only who is connected sends data, or
                // acknowledges more than the SYN/ACK.
                let more = seg.len > 0
                    || seg.flags.has(TcpFlags::FIN)
                    || self
                        .early_ack
                        .is_some_and(|ack| (1..LARGEST_WINDOW).contains(&seg.ack.distance_from(ack)));
                self.early_ack = Some(seg.ack);
                if more && self.handshake == Handshake::Unanswered {
                    self.handshake = Handshake::Completed;
                }
            }
        }
    }

    /// Takes a segment of the server's side, and says whether a client that follows RFC 9293 would have to believe it,
    /// where it is a reset or a SYN/ACK.
    pub(super) fn by_server(&mut self, at: Timestamp, seg: &Seg<'_>) -> bool {
        if seg.flags.has(TcpFlags::RST) {
            let handshake = self.handshake;
            let acceptable = self.reset_by_server(seg);
            self.reset_seen(at, seg, handshake, acceptable);
            return acceptable;
        }
        if seg.flags.is_syn_ack() {
            let acceptable = self.acknowledges_syn(seg.ack);
            if acceptable && !self.only_copy(at, seg) {
                self.syn_ack(seg);
                self.signature.syn_ack(seg.len > 0);
            }
            return acceptable;
        }
        self.heard(seg);
        // A FIN, or an acknowledgment of more than the SYN, is as good as data.
        let connected = (seg.len > 0)
            | seg.flags.has(TcpFlags::FIN)
            | (seg.ack.distance_from(self.isn.plus(1).plus(self.syn_data)) > 0);
        if connected && self.inferred != Inferred::Refuted {
            self.answered_as_connected(seg);
        } else if connected && self.handshake != Handshake::Completed {
            return true;
        }
        if seg.len > 0 {
            self.server.push(seg.seq, seg.data(), seg.len);
        }
        if seg.overclaims {
            self.server.lacks_data();
        }
        if seg.flags.has(TcpFlags::FIN) {
            self.fin.server = true;
            self.ended.get_or_insert(Ended::Fin { from_client: false });
        }
        true
    }

    /// Notes for the signature what the server's side took and said.
    #[expect(clippy::needless_bitwise_bool, reason = "what is lazy is a branch")]
    fn heard(&mut self, seg: &Head) {
        let acknowledged = seg.flags.has(TcpFlags::ACK) & (self.client_bytes > 0);
        let some = acknowledged & (seg.ack.distance_from(self.isn.plus(1)) > 0);
        let all = acknowledged & (seg.ack.distance_from(self.client_next()) >= 0);
        self.signature.server_sent((seg.len > 0) | some, all, seg.flags.has(TcpFlags::FIN));
    }

    /// Takes a reset that fits nothing, so that no client believes it.
    pub(super) fn unfit_reset(&mut self, at: Timestamp, seg: &Seg<'_>) {
        self.reset_seen(at, seg, self.handshake, false);
    }

    /// Notes a reset of the server's side for the signature, unless it is a copy of the last.
    fn reset_seen(&mut self, at: Timestamp, seg: &Seg<'_>, handshake: Handshake, believed: bool) {
        // Before the handshake is done it does not matter how many there are.
        if handshake != Handshake::Completed || !self.seen_before(at, seg) {
            self.signature.server_reset(handshake, seg, believed);
        }
    }

    fn syn_ack(&mut self, seg: &Seg<'_>) {
        self.syn_ack += 1;
        // What a SYN that crossed ours said is only a guess.
        let first =
            self.syn_ack == 1 && matches!(self.handshake, Handshake::Unanswered | Handshake::Rejected);
        if first || self.server_isn.is_none() {
            self.server_isn = Some(seg.seq);
            self.server.starts_at(seg.seq.plus(1));
        } else if self.server_isn != Some(seg.seq) {
            self.other_isn = Some(seg.seq);
        }
        // To a SYN with a cookie a server may speak at once (RFC 7413 section 4.2.2).
        if seg.len > 0 && self.server_isn == Some(seg.seq) {
            self.server.push(seg.seq.plus(1), seg.data(), seg.len);
        }
        if seg.overclaims {
            self.server.lacks_data();
        }
        if !matches!(self.handshake, Handshake::Unanswered | Handshake::Rejected) {
            return;
        }
        // A capture of two directions may hold the last step of the handshake before the second.
        let acknowledged =
            self.early_ack.is_some_and(|ack| (1..=FIRST_FLIGHT).contains(&ack.distance_from(seg.seq)));
        self.handshake = if acknowledged { Handshake::Completed } else { Handshake::HalfOpen };
    }

    /// What only a server sends that took the connection, whatever the capture missed of the handshake, and whoever
    /// sent a reset before.
    fn answered_as_connected(&mut self, seg: &Head) {
        if self.server_isn.is_none() {
            self.server_isn = Some(seg.seq.plus(u32::MAX));
            self.server.starts_at(seg.seq);
        }
        if self.handshake != Handshake::Completed {
            let isn = self.server_isn.unwrap_or(seg.seq);
            // To a SYN with data a server may speak before the client's ACK comes (RFC 7413 section 4.2.2).
            let early = self.syn_data > 0
                && seg.ack.distance_from(self.isn.plus(1).plus(self.syn_data)) <= 0
                && self.early_ack.is_none_or(|ack| !(1..=FIRST_FLIGHT).contains(&ack.distance_from(isn)));
            if !early {
                self.inferred = Inferred::From(self.handshake);
            }
            self.handshake = if early { Handshake::HalfOpen } else { Handshake::Completed };
        }
    }

    /// Takes the initial sequence number of a server that, at the same time, tries to connect to this client.
    pub(super) fn crossed_by(&mut self, isn: SeqNumber) {
        if self.server_isn.is_none() && self.handshake == Handshake::Unanswered {
            self.server_isn = Some(isn);
            self.server.starts_at(isn.plus(1));
        }
    }

    /// Whether it can be this attempt's client that sent a segment.
    pub(super) fn fits_client(&self, seg: &Head) -> bool {
        if seg.flags.has(TcpFlags::RST) {
            return self.is_of_client(seg);
        }
        let window = || self.window();
        let seq = within(seg.seq, self.client_next(), self.client_bytes, window);
        let ack = match self.server_isn {
            Some(_) if seg.flags.has(TcpFlags::ACK) => {
                within(seg.ack, self.server.next(), self.server.bytes(), window)
                    || self.chooses_other(seg.ack)
            }
            _ => true,
        };
        seq && ack
    }

    /// Whether it can be this attempt's server that sent a segment.
    pub(super) fn fits_server(&self, seg: &Head) -> bool {
        let ack = seg.flags.has(TcpFlags::ACK);
        let seq = || {
            let known = self.server_isn.is_some() && !seg.flags.is_syn_ack();
            !known || within(seg.seq, self.server.next(), self.server.bytes(), || self.window())
        };
        if seg.flags.has(TcpFlags::RST) {
            return if self.handshake == Handshake::Completed { seq() } else { ack && self.refuses(seg) };
        }
        if seg.flags.is_syn_ack() {
            return self.acknowledges_syn(seg.ack);
        }
        // The client's SYN must be acknowledged: what a challenge acknowledges is an older connection's.
        let beyond = seg.ack.distance_from(self.client_next());
        let sent = || self.client_bytes.min(LARGEST_WINDOW as u64) as i32;
        ack && (beyond == 0 || (-sent()..=self.window()).contains(&beyond)) && seq()
    }

    /// Whether a segment can only come from somebody who sees what this attempt's client sends: it acknowledges the
    /// client's numbers. Resets and SYN/ACKs are judged where they are taken.
    pub(super) fn is_answered_by(&self, seg: &Head) -> bool {
        if seg.flags.has(TcpFlags::RST) || seg.flags.is_syn_ack() {
            return true;
        }
        let sent = self.client_bytes.min(LARGEST_WINDOW as u64) as i32;
        // The capture may have missed what the client sent last.
        let missed = if self.server_isn.is_some() { UNSCALED_WINDOW } else { 0 };
        let acknowledges = seg.flags.has(TcpFlags::ACK)
            && (-sent..=missed).contains(&seg.ack.distance_from(self.client_next()));
        let (next, bytes) = (self.server.next(), self.server.bytes());
        acknowledges && (self.server_isn.is_none() || within(seg.seq, next, bytes, || FIRST_FLIGHT))
    }

    /// Whether a segment can be the client's own answer to something genuine. Its kernel resets whatever a forger
    /// makes up, with the forger's numbers.
    pub(super) fn is_of_client(&self, seg: &Head) -> bool {
        within(seg.seq, self.client_next(), self.client_bytes, || UNSCALED_WINDOW)
    }

    fn window(&self) -> i32 {
        if self.superseded {
            UNSCALED_WINDOW
        } else if self.handshake == Handshake::Completed {
            LARGEST_WINDOW
        } else {
            FIRST_FLIGHT
        }
    }

    /// Whether a SYN/ACK or a reset that came before the SYN in the capture answers this SYN, and if so makes the
    /// attempt this SYN's.
    pub(super) fn adopt(&mut self, syn: &Head) -> bool {
        let acknowledged = self.isn.plus(1).distance_from(syn.seq.plus(1));
        if self.syn > 0 || !(0..=syn.len as i32).contains(&acknowledged) {
            return false;
        }
        self.isn = syn.seq;
        self.client_bytes += acknowledged as u64;
        true
    }

    /// Says that a newer attempt took its endpoints: of this one, only late packets may still come.
    pub(super) fn supersede(&mut self) {
        self.superseded = true;
    }

    /// Whether nothing more is to be expected of it.
    pub(super) fn is_over(&self) -> bool {
        if self.handshake == Handshake::Completed {
            return self.superseded
                || self.reset_after_handshake_by.is_some()
                || (self.fin.client && self.fin.server);
        }
        self.superseded
            || self.handshake == Handshake::Reset
            || (self.handshake == Handshake::HalfOpen && self.client_reset)
    }

    /// Whether a reset is one that refuses the SYN.
    fn refuses(&self, seg: &Head) -> bool {
        // RFC 9293 section 3.10.7.3 asks for ISN+1; some stacks acknowledge the ISN itself.
        seg.flags.has(TcpFlags::ACK) && (seg.ack == self.isn || self.acknowledges_syn(seg.ack))
    }

    /// Takes a reset from the server's side, and says whether the client has to believe it.
    fn reset_by_server(&mut self, seg: &Head) -> bool {
        let acceptable = if self.handshake == Handshake::Completed {
            let next = if self.server_isn.is_some() {
                self.server.next()
            } else {
                self.early_ack.unwrap_or(seg.seq)
            };
            let behind = seg.seq.distance_from(next);
            (0..=UNSCALED_WINDOW).contains(&behind)
        } else {
            self.refuses(seg)
        };
        if acceptable {
            match self.handshake {
                Handshake::Completed => self.reset_after_handshake(false),
                Handshake::Unanswered | Handshake::Rejected | Handshake::HalfOpen => {
                    self.handshake = Handshake::Reset;
                    self.refused_after = self.syn_ack;
                }
                Handshake::Reset => {}
            }
        }
        acceptable
    }

    fn reset_after_handshake(&mut self, from_client: bool) {
        self.ended.get_or_insert(Ended::Rst { from_client });
        let by = if from_client { ResetBy::Client } else { ResetBy::Server };
        if !from_client {
            self.next_at_reset = self.server_next();
        }
        self.reset_after_handshake_by = Some(match self.reset_after_handshake_by {
            Some(other) if other != by => ResetBy::Both,
            _ => by,
        });
    }

    /// Whether the client, which acknowledges `ack`, cannot have taken the server's reset: it acknowledges data that was sent
    /// after it. The server's acknowledgments prove nothing: it may not know of a reset in its name, and what it acknowledges
    /// may have been on its way to it.
    fn was_not_reset(&self, ack: SeqNumber) -> bool {
        ack.distance_from(self.next_at_reset) > 0 && ack.distance_from(self.server_next()) <= 0
    }

    /// The sequence number that whatever the server sends next will have.
    fn server_next(&self) -> SeqNumber {
        self.server.next().plus(u32::from(self.fin.server))
    }

    /// The connection goes on, whatever reset came in the server's name.
    #[cold]
    fn take_reset_back(&mut self) {
        self.reset_after_handshake_by = match self.reset_after_handshake_by {
            Some(ResetBy::Client | ResetBy::Both) => Some(ResetBy::Client),
            Some(ResetBy::Server) | None => None,
        };
        if self.ended == Some(Ended::Rst { from_client: false }) {
            self.ended = if self.client_reset {
                Some(Ended::Rst { from_client: true })
            } else if self.fin.client || self.fin.server {
                Some(Ended::Fin { from_client: self.fin.client })
            } else {
                None
            };
        }
        self.signature.take_resets_back();
    }

    /// Which packet of this attempt has the sequence number that an ICMP error quotes, if any.
    pub(super) fn quoted(&self, seq: SeqNumber) -> Option<About> {
        if seq == self.isn {
            return Some(About::SomeSyn);
        }
        let later = seq.distance_from(self.isn) > 0 && seq.distance_from(self.client_next()) <= 0;
        later.then_some(About::Later)
    }

    /// Takes an ICMP error about a packet of this attempt.
    pub(super) fn icmp(&mut self, seen: &IcmpSeen) {
        let refuses = match seen.kind {
            IcmpErrorKind::TooBig | IcmpErrorKind::ReassemblyTimeExceeded => false,
            IcmpErrorKind::TimeExceeded => !self.probe,
            _ => !matches!(seen.about, About::Data(_) | About::Later),
        };
        self.signature.icmp();
        if refuses && matches!(self.handshake, Handshake::Unanswered | Handshake::Rejected) {
            self.handshake = Handshake::Rejected;
            let IcmpSeen { icmp_type, code, from, .. } = *seen;
            self.icmp.get_or_insert_with(|| Box::new(IcmpAnswer { icmp_type, code, from }));
        }
    }

    /// How it ended; `asked` says whether SSH was asked for on its port, and `by_client` whether an end that the
    /// client itself made of the connection counts.
    fn outcome(&self, asked: bool, by_client: bool) -> Outcome {
        match self.handshake {
            Handshake::Rejected => Outcome::Rejected,
            Handshake::Reset => Outcome::Reset,
            Handshake::HalfOpen => Outcome::HalfOpen,
            Handshake::Unanswered => Outcome::Timeout,
            Handshake::Completed if !asked => Outcome::Completed,
            Handshake::Completed => self.outcome_of_established(by_client),
        }
    }

    /// Whether what the client said behind the banner was sent again and again and never acknowledged.
    fn stalls(&self) -> bool {
        let silent = self.signature.signature(self.handshake) == Some(Signature::PshDataSilence);
        silent && !self.server.beyond_key_exchange()
    }

    fn outcome_of_established(&self, by_client: bool) -> Outcome {
        let banner = self.server.says_ssh();
        match self.ended {
            Some(Ended::Rst { from_client })
                if (by_client || !from_client) && !self.server.beyond_key_exchange() =>
            {
                Outcome::ResetAfterHandshake
            }
            _ if banner && self.stalls() => Outcome::Stalled,
            _ if banner => Outcome::Open,
            // Nothing, or not all, of what the server said was captured.
            _ if self.server_isn.is_none() || self.server.unreadable() => Outcome::Completed,
            Some(Ended::Fin { from_client }) if by_client || !from_client => Outcome::Closed,
            _ if self.server.bytes() > 0 => Outcome::NotSsh,
            _ => Outcome::NoBanner,
        }
    }
}

/// Whether a number lies no farther than `window` beyond `next`, and no farther behind it than what was sent (the
/// SYN and a keep-alive's byte included).
fn within(number: SeqNumber, next: SeqNumber, sent: u64, window: impl FnOnce() -> i32) -> bool {
    let beyond = number.distance_from(next);
    let behind = || sent.saturating_add(2).min(LARGEST_WINDOW as u64) as i32;
    // Most are the next.
    beyond == 0 || (-behind()..=window()).contains(&beyond)
}
