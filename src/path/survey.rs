//! Probes and their replies: every packet with a hop limit is a question to the hop where it runs out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::SWEPT;
use crate::attempt::{About, Attempt, IcmpSeen, Quote, Segment, What};
use crate::packet::{EchoToken, HopLimit, Icmp, IcmpErrorKind, Packet, QuotedTransport, Transport};
use crate::recording::errno::ECONNREFUSED;
use crate::recording::{ConnectStage, Event, KernelAnswer, KernelProbe, QueuedIcmp, RecordNumber, Timestamp};

/// What a probe was sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// A SYN to this port.
    Tcp(u16),
    /// The first fragment of a SYN to this port, the rest of which never comes.
    HalfSyn(u16),
    /// Data on a connection to this port.
    Data(u16),
    /// An ICMP echo request.
    Echo,
}

impl std::fmt::Display for Via {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "tcp/{port}"),
            Self::HalfSyn(port) => write!(f, "half-syn/{port}"),
            Self::Data(port) => write!(f, "data/{port}"),
            Self::Echo => f.write_str("icmp"),
        }
    }
}

/// A packet sent to the target, and what came back.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What it was sent as.
    pub via: Via,
    /// TTL or hop limit it was sent with.
    pub hop_limit: u8,
    /// Which flow it belongs to: probes of one flow share ports and sequence number.
    pub flow: usize,
    /// The record that holds it.
    pub record: RecordNumber,
    /// When it was sent.
    pub at: Timestamp,
    /// Whence and with what header, if it is a SYN in the capture.
    pub sent: Option<(SocketAddr, Segment)>,
    /// What answered it, in order.
    pub replies: Vec<Reply>,
}

/// An answer to a probe.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// The record that holds it.
    pub record: RecordNumber,
    /// When it came.
    pub at: Timestamp,
    /// Source address it bears.
    pub from: IpAddr,
    /// TTL or hop limit left on arrival, where it was captured.
    pub hop_limit: Option<HopLimit>,
    /// What it says.
    pub kind: ReplyKind,
    /// Whether it is sure that this very probe drew it, and not one of its flow with a smaller hop limit.
    pub exact: bool,
    /// DSCP and ECN of it, where it was captured.
    pub traffic_class: Option<u8>,
    /// What it quotes of the SYN that drew it.
    pub quote: Option<Quote>,
}

/// What a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// A router: the hop limit ran out here.
    TimeExceeded,
    /// A host: the rest of a fragmented packet did not come in time.
    ReassemblyTimeExceeded,
    /// An ICMP error other than time exceeded.
    Unreachable {
        /// What it says.
        kind: IcmpErrorKind,
        /// Type on the wire.
        icmp_type: u8,
        /// Code on the wire.
        code: u8,
        /// TTL or hop limit in the quote, where there is one.
        quoted: Option<HopLimit>,
    },
    /// A reset that an RFC 9293 client would believe.
    Rst,
    /// A SYN/ACK.
    SynAck,
    /// Data that acknowledges ours.
    Data,
    /// The end of a connection, after data that it acknowledges.
    Fin,
    /// An echo reply.
    EchoReply,
}

impl ReplyKind {
    /// Whether whoever sent it acts as the target itself.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Rst | Self::SynAck | Self::EchoReply)
    }
}

impl Probe {
    fn answer(&mut self, reply: Reply) {
        if self.replies.len() < MAX_REPLIES {
            self.replies.push(reply);
        }
    }

    /// The time-exceeded that answered it.
    pub fn time_exceeded(&self) -> Option<&Reply> {
        self.replies.iter().find(|r| r.kind == ReplyKind::TimeExceeded)
    }

    /// The reset that answered it, and the DSCPs of both; `None` where not all are known.
    pub fn reset_and_marks(&self) -> Option<(&Reply, Marks)> {
        let (_, syn) = self.sent?;
        let reset = self.replies.iter().find(|r| r.kind == ReplyKind::Rst)?;
        Some((reset, Marks { sent: syn.dscp(), returned: reset.traffic_class? >> 2 }))
    }
}

/// The DSCPs (RFC 2474) of a SYN and of the reset that answered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// That of the SYN.
    pub sent: u8,
    /// That of the reset.
    pub returned: u8,
}

/// Collects echo requests and the probes made with the kernel's own means.
#[derive(Debug, Default)]
pub struct Survey {
    echoes: Vec<Echo>,
    /// The latest echo of each destination, identifier and sequence number.
    latest: HashMap<(IpAddr, u16, u16), usize>,
    kernel: BTreeMap<u32, (KernelProbe, Probe)>,
    /// Connections of the kernel, whose SYNs are probes too where no frames are captured.
    connections: BTreeMap<u32, (KernelProbe, Probe)>,
    captured: bool,
}

/// An echo request, and what an answer to it must repeat.
#[derive(Debug)]
struct Echo {
    to: IpAddr,
    identification: Option<u32>,
    token: Option<EchoToken>,
    probe: Probe,
}

/// Probes of each kind kept, at most: a trace sends a few hundred.
const MAX_PROBES: usize = 4096;

/// Answers kept to one probe, at most: one is usual, and nobody need be believed more than some times.
const MAX_REPLIES: usize = 16;

impl Survey {
    /// Takes the next packet; only echoes and errors about them matter here.
    pub fn packet(&mut self, record: RecordNumber, at: Timestamp, packet: &Packet<'_>) {
        let Transport::Icmp(icmp) = packet.transport else { return };
        let reply = |kind| Reply {
            record,
            at,
            from: packet.ip.source,
            hop_limit: Some(packet.ip.hop_limit),
            kind,
            exact: true,
            traffic_class: Some(packet.ip.traffic_class),
            quote: None,
        };
        match icmp {
            Icmp::EchoRequest { identifier, sequence, token } if self.echoes.len() < MAX_PROBES => {
                let probe = Probe {
                    via: Via::Echo,
                    hop_limit: packet.ip.hop_limit.0,
                    flow: usize::from(identifier),
                    record,
                    at,
                    sent: None,
                    replies: Vec::new(),
                };
                let (to, identification) = (packet.ip.destination, packet.ip.identification);
                self.latest.insert((to, identifier, sequence), self.echoes.len());
                self.echoes.push(Echo { to, identification, token, probe });
            }
            Icmp::EchoReply { identifier, sequence, token } => {
                if let Some(echo) = self.echo(packet.ip.source, identifier, sequence)
                    && echo.token == token
                {
                    echo.probe.answer(reply(ReplyKind::EchoReply));
                }
            }
            Icmp::Error(error) => {
                let Some(quoted) = error.quoted else { return };
                let QuotedTransport::Echo { identifier, sequence, token } = quoted.transport else { return };
                let Some(echo) = self.echo(quoted.destination, identifier, sequence) else { return };
                let differs = quoted.identification != echo.identification
                    && quoted.identification.is_some_and(|id| id != 0);
                if !differs && (token.is_none() || token == echo.token) {
                    let kind = icmp_reply(error.kind, error.icmp_type, error.code, Some(quoted.hop_limit));
                    echo.probe.answer(reply(kind));
                }
            }
            _ => {}
        }
    }

    /// Takes the next event.
    pub fn event(&mut self, record: RecordNumber, at: Timestamp, event: &Event) {
        match event {
            Event::KernelProbe { id, probe, hop_limit } if self.kernel.len() < MAX_PROBES => {
                let via = match probe {
                    KernelProbe::Connect(server) => Via::Tcp(server.port()),
                    KernelProbe::Echo(_) => Via::Echo,
                };
                let flow = usize::MAX - *id as usize;
                let sent =
                    Probe { via, hop_limit: *hop_limit, flow, record, at, sent: None, replies: Vec::new() };
                self.kernel.insert(*id, (*probe, sent));
            }
            Event::Start(start) => self.captured |= start.captured,
            Event::Connect { id, server, stage: ConnectStage::Started, .. }
                if !self.captured && self.connections.len() < MAX_PROBES =>
            {
                let (via, flow, sent, replies) = (Via::Tcp(server.port()), *id as usize, None, Vec::new());
                let probe = Probe { via, hop_limit: SWEPT, flow, record, at, sent, replies };
                self.connections.entry(*id).or_insert((KernelProbe::Connect(*server), probe));
            }
            Event::Connect { id, stage: ConnectStage::Failed { icmp: Some(icmp), .. }, .. } => {
                if let Some((_, probe)) = self.connections.get_mut(id)
                    && let Some(kind) = queued(*icmp)
                {
                    probe.answer(told(record, at, icmp.from, kind));
                }
            }
            Event::KernelAnswer { id, answer } => {
                let Some((asked, probe)) = self.kernel.get_mut(id) else { return };
                let (from, kind) = match *answer {
                    KernelAnswer::Icmp(icmp) => {
                        let Some(kind) = queued(icmp) else { return };
                        (icmp.from, kind)
                    }
                    KernelAnswer::Established => (target_of(*asked), ReplyKind::SynAck),
                    KernelAnswer::Failed { errno } if errno == ECONNREFUSED => {
                        (target_of(*asked), ReplyKind::Rst)
                    }
                    KernelAnswer::Failed { .. } => return,
                    KernelAnswer::EchoReply { from } => (from, ReplyKind::EchoReply),
                };
                probe.answer(told(record, at, from, kind));
            }
            _ => {}
        }
    }

    /// Every probe to `target`: the echoes and kernel probes collected here and the SYNs of `attempts`, in order.
    /// SYNs with a wrong checksum are none: who forwards them need not answer them.
    ///
    /// `whole` says whether the capture shows every packet. Where it does not, an answer that repeats nothing of one SYN
    /// alone may belong to a SYN that is missing.
    pub fn probes<'a>(
        &self,
        target: IpAddr,
        attempts: impl IntoIterator<Item = &'a Attempt>,
        whole: bool,
    ) -> Vec<Probe> {
        let mut probes: Vec<Probe> = self
            .echoes
            .iter()
            .filter(|echo| echo.to == target)
            .map(|echo| echo.probe.clone())
            .chain(self.of_kernel().filter(|(p, _)| target_of(*p) == target).map(|(_, p)| p.clone()))
            .collect();
        for (flow, attempt) in attempts.into_iter().enumerate() {
            if attempt.server.ip() == target && !attempt.has_bad_checksum() {
                probes.extend(syn_probes(flow, attempt, whole));
            }
        }
        probes.sort_by_key(|p| p.record);
        probes
    }

    /// How many connections to `server` were established as probes.
    pub fn established(&self, server: SocketAddr) -> u64 {
        let there = self.kernel.values().filter(|(asked, _)| *asked == KernelProbe::Connect(server));
        there.filter(|(_, p)| p.replies.iter().any(|r| r.kind == ReplyKind::SynAck)).count() as u64
    }

    /// Whether connect(2) to `server` drew an ICMP error from as far as the end of the path, and never a reset: the kernel's
    /// own error number is the same for a port unreachable.
    pub fn is_rejected(&self, server: SocketAddr) -> bool {
        let there = self.of_kernel().filter(|(asked, _)| *asked == KernelProbe::Connect(server));
        let answers = there.flat_map(|(_, p)| &p.replies).map(|r| r.kind);
        let mut refusals = answers.filter(|kind| *kind != ReplyKind::TimeExceeded).peekable();
        refusals.peek().is_some() && refusals.all(|kind| matches!(kind, ReplyKind::Unreachable { .. }))
    }

    /// What the kernel itself asked, and what it told of that. Of a connection that nothing is told of, the answer may have
    /// come all the same.
    fn of_kernel(&self) -> impl Iterator<Item = &(KernelProbe, Probe)> {
        let connections = self.connections.values().filter(|(_, probe)| !probe.replies.is_empty());
        connections.chain(self.kernel.values())
    }

    fn echo(&mut self, to: IpAddr, identifier: u16, sequence: u16) -> Option<&mut Echo> {
        let index = self.latest.get(&(to, identifier, sequence))?;
        self.echoes.get_mut(*index)
    }
}

/// What an ICMP error of an error queue says.
fn queued(QueuedIcmp { from, icmp_type, code }: QueuedIcmp) -> Option<ReplyKind> {
    let kind = IcmpErrorKind::of(from.is_ipv6(), icmp_type, code)?;
    Some(icmp_reply(kind, icmp_type, code, None))
}

/// An answer that the kernel tells of: no more than who sent it, and what it says.
fn told(record: RecordNumber, at: Timestamp, from: IpAddr, kind: ReplyKind) -> Reply {
    Reply { record, at, from, hop_limit: None, kind, exact: true, traffic_class: None, quote: None }
}

fn target_of(probe: KernelProbe) -> IpAddr {
    match probe {
        KernelProbe::Connect(server) => server.ip(),
        KernelProbe::Echo(address) => address,
    }
}

pub(super) fn icmp_reply(
    kind: IcmpErrorKind,
    icmp_type: u8,
    code: u8,
    quoted: Option<HopLimit>,
) -> ReplyKind {
    match kind {
        IcmpErrorKind::TimeExceeded => ReplyKind::TimeExceeded,
        IcmpErrorKind::ReassemblyTimeExceeded => ReplyKind::ReassemblyTimeExceeded,
        kind => ReplyKind::Unreachable { kind, icmp_type, code, quoted },
    }
}

/// The SYNs of one attempt as probes.
///
/// A RST carries no tag, so it is put down to the largest hop limit sent before it came (the first SYN with it): its
/// sender is no farther than that, and may be nearer.
fn syn_probes(flow: usize, attempt: &Attempt, whole: bool) -> Vec<Probe> {
    let mut probes: Vec<(usize, Probe)> = Vec::new();
    let mut only_syns = true;
    for (index, entry) in attempt.timeline.iter().enumerate() {
        let (from, (hop_limit, traffic_class), kind, about, quote) = match &entry.what {
            What::Syn(syn) => {
                let port = attempt.server.port();
                let probe = Probe {
                    via: if syn.half { Via::HalfSyn(port) } else { Via::Tcp(port) },
                    hop_limit: syn.hop_limit.0,
                    flow,
                    record: entry.record,
                    at: entry.at,
                    sent: Some((attempt.client, *syn)),
                    replies: Vec::new(),
                };
                probes.push((index, probe));
                continue;
            }
            What::Icmp(IcmpSeen { about: About::Data(_) | About::Later, .. }) => continue,
            What::Icmp(seen) => {
                let kind = icmp_reply(seen.kind, seen.icmp_type, seen.code, Some(seen.quoted_hop_limit));
                let about = if let About::Syn(index) = seen.about { Some(index) } else { None };
                (seen.from, (seen.hop_limit, None), kind, about, Some(seen.quote))
            }
            What::Rst { from_client: false, segment, acceptable: true } if only_syns => {
                (attempt.server.ip(), received(segment), ReplyKind::Rst, None, None)
            }
            What::SynAck(segment) if only_syns => {
                let about = segment.timestamps.and_then(|(_, echo)| syn_with_timestamp(attempt, echo));
                (attempt.server.ip(), received(segment), ReplyKind::SynAck, about, None)
            }
            // Whatever comes behind another packet of the client may answer that one.
            What::SynAck(_)
            | What::Acked(_)
            | What::Rst { from_client: false, .. }
            | What::Data { from_client: false, .. }
            | What::Fin { from_client: false, .. } => continue,
            _ => {
                only_syns = false;
                continue;
            }
        };
        // A router's answer puts it no nearer and no farther than the hop limit that ran out: unknown, it tells nothing.
        let one_hop_limit = whole && probes.windows(2).all(|w| w[0].1.hop_limit == w[1].1.hop_limit);
        let drawn_by = match about {
            Some(about) => probes.iter_mut().find(|(i, _)| *i == about),
            None => probes.iter_mut().max_by_key(|(_, p)| (p.hop_limit, Reverse(p.record))),
        };
        let exact = about.is_some() || one_hop_limit;
        if kind == ReplyKind::TimeExceeded && !exact {
            continue;
        }
        if let Some((_, probe)) = drawn_by {
            let (record, at) = (entry.record, entry.at);
            let hop_limit = Some(hop_limit);
            probe.answer(Reply { record, at, from, hop_limit, kind, exact, traffic_class, quote });
        }
    }
    probes.into_iter().map(|(_, probe)| probe).collect()
}

fn received(segment: &Segment) -> (HopLimit, Option<u8>) {
    (segment.hop_limit, Some(segment.traffic_class))
}

/// Index of the one SYN that carried TSval `value`, if just one did.
fn syn_with_timestamp(attempt: &Attempt, value: u32) -> Option<usize> {
    let mut with = attempt.timeline.iter().enumerate().filter_map(|(i, e)| match &e.what {
        What::Syn(syn) if syn.timestamps.is_some_and(|(sent, _)| sent == value) => Some(i),
        _ => None,
    });
    match (with.next(), with.next()) {
        (Some(index), None) => Some(index),
        _ => None,
    }
}
