//! What the rules look at: the attempts on the failing port, the kernel's view of them, the probes and the path.

use std::net::IpAddr;

use super::Suspects;
use crate::attempt::{Attempt, Connection, Outcome, ResetBy, What};
use crate::path::{DataProbe, Path, Place, Probe, Reply, ReplyKind, SWEPT, Segment, Via};
use crate::recording::{RecordNumber, Route, Timestamp};

/// Everything a rule may look at.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The address diagnosed.
    pub target: IpAddr,
    /// The failing port.
    pub port: u16,
    /// The target was given by name, so the name may be at fault.
    pub named: bool,
    /// How the attempt ended.
    pub outcome: Outcome,
    /// The attempt diagnosed, as the wire shows it.
    pub attempt: Option<&'a Attempt>,
    /// Every attempt to the target, on any port.
    pub attempts: &'a [Attempt],
    /// The attempt diagnosed, as the kernel tells it.
    pub connection: Option<&'a Connection>,
    /// The kernel's route to the target.
    pub route: Option<(&'a Route, RecordNumber)>,
    /// Every probe to the target, on any port.
    pub probes: &'a [Probe],
    /// Data sent on connections to the failing port that was meant to run out on its way.
    pub data: &'a [DataProbe],
    /// The path to the target.
    pub path: &'a Path,
    /// How far the capture can be trusted.
    pub capture: Capture,
    /// Whether packets were captured on an interface without a link layer.
    pub bare_link: bool,
    /// The tunnel that all packets to the target went into.
    pub tunnel: Option<Tunnel>,
    /// The latest time that is recorded.
    pub until: Option<Timestamp>,
}

/// How many packets the program behind a tunnel had read from it, and the records that say so.
#[derive(Clone, Copy, Debug)]
pub struct Tunnel {
    /// When the trace began.
    pub first: (u64, RecordNumber),
    /// When it ended.
    pub last: (u64, RecordNumber),
}

/// How far the absence of a packet from the capture can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capture {
    /// There is none: only the kernel's own means were at hand.
    None,
    /// It may have missed packets.
    Lossy,
    /// It shows every packet.
    Whole,
}

/// The least hop limit at which something answered the failing port, and the answers.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// The sender of the answers is no farther than this.
    pub at_most: u8,
    /// The answers drawn at that hop limit.
    pub records: Vec<RecordNumber>,
    /// All answers, each with the hop limit of the probe that drew it.
    pub replies: Vec<(u8, Reply)>,
}

impl<'a> Scene<'a> {
    /// Probes on the failing port.
    pub fn port_probes(&self) -> impl Iterator<Item = &'a Probe> {
        let via = Via::Tcp(self.port);
        self.probes.iter().filter(move |p| p.via == via)
    }

    /// Probes on anything else; halves of SYNs are neither.
    pub fn controls(&self) -> impl Iterator<Item = &'a Probe> {
        let via = Via::Tcp(self.port);
        self.probes.iter().filter(move |p| p.via != via && !matches!(p.via, Via::HalfSyn(_)))
    }

    /// The farthest router whose time-exceeded answered a SYN to the failing port, and the records: 0 if none.
    pub fn reached(&self) -> (u8, Vec<RecordNumber>) {
        farthest(self.port_probes().filter_map(|p| Some((p, p.time_exceeded()?))))
    }

    /// Whether the server's side closed the connection once both had said who they are.
    pub fn closed_behind_banner(&self) -> bool {
        self.outcome == Outcome::Stalled && self.connection.is_some_and(|c| c.closed)
    }

    /// Whether, in a capture by another program, the client reset the connection before anything came.
    pub fn left_by_client(&self) -> bool {
        let by_client =
            |a: &Attempt| matches!(a.reset_after_handshake_by, Some(ResetBy::Client | ResetBy::Both));
        self.outcome == Outcome::NoBanner && self.connection.is_none() && self.attempt.is_some_and(by_client)
    }

    /// The answers to the failing port that `wanted` picks, with the least hop limit that drew one.
    pub fn trigger(&self, wanted: impl Fn(&Reply) -> bool) -> Option<Trigger> {
        let replies: Vec<(&Probe, Reply)> = self
            .port_probes()
            .flat_map(|p| p.replies.iter().map(move |r| (p, *r)))
            .filter(|(_, r)| wanted(r))
            .collect();
        let at_most = replies.iter().map(|(p, _)| p.hop_limit).min()?;
        let records = replies
            .iter()
            .filter(|(p, _)| p.hop_limit == at_most)
            .flat_map(|(p, r)| [p.record, r.record])
            .collect();
        let replies = replies.into_iter().map(|(p, r)| (p.hop_limit, r)).collect();
        Some(Trigger { at_most, records, replies })
    }

    /// Records that show a router at hop `hop` or beyond on the way that the failing port takes too: the target
    /// is farther than `hop` then. A gateway is no such router: that of an Azure subnet decrements nothing.
    pub fn router_at_or_beyond(&self, hop: u8) -> Option<Vec<RecordNumber>> {
        let beyond = |p: &'a Probe| {
            let reply = p.time_exceeded()?;
            (p.hop_limit >= hop && p.hop_limit < SWEPT && reply.from != self.target)
                .then(|| vec![p.record, reply.record])
        };
        self.port_probes().find_map(beyond).or_else(|| {
            let records = self.controls().find_map(beyond)?;
            self.same_way_before(hop).then_some(records)
        })
    }

    /// Whether the routers before `hop` that answered the failing port are those of the control path.
    ///
    /// Ports may be routed apart, and load balancing may split them; a control then says nothing of the failing
    /// port. So it is where a router answered the control and nobody there the port. The way to hop 1 is the same for all: they leave through the same next hop.
    pub fn same_way_before(&self, hop: u8) -> bool {
        let answering = |probes: &mut dyn Iterator<Item = &'a Probe>, h: u8| -> Vec<IpAddr> {
            probes.filter(|p| p.hop_limit == h).filter_map(|p| Some(p.time_exceeded()?.from)).collect()
        };
        let mut last_compared = 0;
        for h in 1..hop.min(SWEPT) {
            let port = answering(&mut self.port_probes(), h);
            let control = answering(&mut self.controls(), h);
            if control.is_empty() {
                continue;
            }
            if !port.iter().any(|a| control.contains(a)) {
                return false;
            }
            last_compared = h;
        }
        last_compared > 0 || hop <= 2
    }

    /// Whether any probe went unanswered where its like (or, for controls, another control) was answered: packets
    /// get lost, or answers are rationed, and a few missing answers prove nothing.
    pub fn loss_seen(&self) -> bool {
        let port = Via::Tcp(self.port);
        let refused_from = self.trigger(|r| r.kind != ReplyKind::TimeExceeded).map_or(SWEPT, |t| t.at_most);
        // Behind the least hop limit that is refused, which SYN of a flow was refused is not known.
        let on_port = self.port_probes().filter(|p| p.hop_limit < refused_from);
        let comparable: Vec<&Probe> = on_port.chain(self.controls()).collect();
        let unanswered = comparable.iter().filter(|p| p.replies.is_empty());
        let answered_elsewhere = |p: &Probe| {
            comparable.iter().any(|o| {
                let alike = o.via == p.via || (o.via != port && p.via != port);
                alike && o.hop_limit == p.hop_limit && o.time_exceeded().is_some()
            })
        };
        self.attempt.is_some_and(answered_late) || unanswered.into_iter().any(|p| answered_elsewhere(p))
    }

    /// Whether enough was answered, and nothing lost, for a few missing answers to mean something.
    pub fn is_lossless(&self) -> bool {
        self.answered_controls() >= ANSWERED_WITHOUT_LOSS
            && self.capture != Capture::Lossy
            && !self.loss_seen()
    }

    /// How many controls were answered.
    pub fn answered_controls(&self) -> usize {
        self.controls().filter(|p| !p.replies.is_empty()).count()
    }

    /// The place that lies `hop` hops away.
    pub fn place(&self, hop: u8) -> Place {
        match self.path.target {
            Some(target) if hop >= target => Place::END,
            None if usize::from(hop) > self.path.hops.len() => Place::END,
            _ => Place(hop),
        }
    }

    /// The likeliest segment of a place.
    pub fn segment_of(&self, place: Place) -> Segment {
        match place {
            Place::CLIENT => Segment::Client,
            Place::END => Segment::Vm,
            Place(hop) => self.path.hop(hop).map_or(Segment::Transit, |h| h.segments.likeliest()),
        }
    }

    /// Those of `suspects` that lie in the likeliest segment of a place.
    pub fn likeliest_at(&self, place: Place, suspects: Suspects) -> Suspects {
        suspects.within(self.segment_of(place))
    }

    /// The hops in a span of places, in words.
    pub fn between(&self, from: Place, to: Place) -> String {
        let name = |place: Place| match place {
            Place::CLIENT => "the client".to_owned(),
            Place::END => "the end of the path".to_owned(),
            Place(hop) => match self.path.hop(hop).and_then(|h| h.address) {
                Some(address) => format!("hop {hop} ({address})"),
                None => format!("hop {hop}"),
            },
        };
        if from == to { name(from) } else { format!("{} to {}", name(from), name(to)) }
    }
}

/// Controls that must have been answered before the absence of loss is believed: of so many, one would be missing in
/// 97 of 100 networks that lose a fifth of the packets each way.
const ANSWERED_WITHOUT_LOSS: usize = 8;

/// Whether an attempt was answered, but not at its first SYN.
fn answered_late(attempt: &Attempt) -> bool {
    let first_two =
        attempt.timeline.get(..2).is_some_and(|t| t.iter().all(|e| matches!(e.what, What::Syn(_))));
    let answer =
        |what: &What| matches!(what, What::SynAck(_) | What::Icmp(_) | What::Rst { from_client: false, .. });
    first_two && attempt.timeline.iter().any(|e| answer(&e.what))
}

fn farthest<'a>(answered: impl Iterator<Item = (&'a Probe, &'a Reply)>) -> (u8, Vec<RecordNumber>) {
    let mut best: (u8, Vec<RecordNumber>) = (0, Vec::new());
    for (probe, reply) in answered.filter(|(p, _)| p.hop_limit < SWEPT) {
        if probe.hop_limit > best.0 {
            best = (probe.hop_limit, Vec::new());
        }
        if probe.hop_limit == best.0 {
            best.1.extend([probe.record, reply.record]);
        }
    }
    best
}
