//! What was seen of one attempt, in order: the packets that a diagnosis cites.

use super::tracked::Tracked;
use super::{About, Asked, Attempt, Entry, IcmpSeen, Quote, Segment, What};
use crate::packet::{Fragment, IcmpError, Ip, MacAddr, Packet, Quoted, QuotedTcp, Tcp, TcpFlags};
use crate::recording::{RecordNumber, Timestamp};

/// Timeline entries kept of one attempt, at most.
const MAX_TIMELINE: usize = 512;

/// Resets kept that no client has to believe: they are worth a word, and anybody can send them.
const MAX_UNBELIEVED: usize = 16;

/// Entries after which data and bare acknowledgments are left out: how a connection begins and ends tells its story.
const MAX_EVENTLESS: usize = 48;

/// Requests of one attempt that are told apart, at most: a tracer sends one or two.
const MAX_REQUESTS: usize = 4;

/// Where in a recording a packet stands, and what it is.
#[derive(Clone, Copy)]
pub(super) struct Cited<'a> {
    pub(super) record: RecordNumber,
    pub(super) at: Timestamp,
    pub(super) packet: &'a Packet<'a>,
    pub(super) tcp: &'a Tcp<'a>,
}

/// Notes the packets of an attempt in its timeline.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Who sent the first SYN, on the link.
    syn_source: Option<MacAddr>,
    unbelieved: usize,
}

impl Notes {
    pub(super) fn syn(&mut self, timeline: &mut Vec<Entry>, cited: Cited<'_>) {
        if timeline.is_empty() {
            self.syn_source = cited.packet.link.source;
        }
        note(timeline, cited.record, cited.at, || {
            // Wrong on purpose, if it is; what offload has still to finish counts as right.
            let checksum_ok = cited.tcp.checksum_ok(&cited.packet.ip);
            let checksum = cited.tcp.checksum(&cited.packet.ip);
            What::Syn(Segment { checksum, checksum_ok, ..Segment::of(&cited.packet.ip, cited.tcp) })
        });
    }

    pub(super) fn by_client(attempt: &mut Attempt, cited: Cited<'_>) {
        let Attempt { timeline, requests, .. } = attempt;
        let Cited { record, at, packet, tcp } = cited;
        let segment = || Segment { checksum: tcp.checksum(&packet.ip), ..Segment::of(&packet.ip, tcp) };
        if tcp.flags.has(TcpFlags::RST) {
            note(timeline, record, at, || What::Rst {
                from_client: true,
                segment: segment(),
                acceptable: true,
            });
            return;
        }
        if !tcp.flags.has(TcpFlags::ACK) {
            return;
        }
        let bare = tcp.payload_len == 0 && !tcp.flags.has(TcpFlags::FIN);
        if bare {
            note(timeline, record, at, || What::Ack(segment()));
        } else {
            let request = if tcp.payload.is_empty() || !segment().is_probe() {
                None
            } else {
                number(requests, Asked::of(tcp.payload))
            };
            note_data(timeline, cited, true, request, segment);
        }
    }

    /// Notes a segment of the server's side; `acceptable` is what the rules say of a reset or a SYN/ACK.
    pub(super) fn by_server(&mut self, timeline: &mut Vec<Entry>, cited: Cited<'_>, acceptable: bool) {
        let Cited { record, at, packet, tcp } = cited;
        let to_us = match (packet.link.destination, self.syn_source) {
            (Some(destination), Some(ours)) => Some(destination == ours),
            _ => packet.link.cooked_type.map(|kind| kind == 0),
        };
        let checksum_ok = || if packet.ip.is_damaged { Some(false) } else { tcp.checksum_ok(&packet.ip) };
        let segment = || Segment { to_us, checksum_ok: checksum_ok(), ..Segment::of(&packet.ip, tcp) };
        if tcp.flags.has(TcpFlags::RST) {
            self.unbelieved += usize::from(!acceptable);
            if acceptable || self.unbelieved <= MAX_UNBELIEVED {
                note(timeline, record, at, || What::Rst {
                    from_client: false,
                    segment: segment(),
                    acceptable,
                });
            }
        } else if !tcp.flags.is_syn_ack() {
            let bare = tcp.payload_len == 0 && !tcp.flags.has(TcpFlags::FIN);
            if bare && tcp.flags.has(TcpFlags::ACK) {
                note(timeline, record, at, || What::Acked(segment()));
            }
            note_data(timeline, cited, false, None, segment);
        } else if acceptable {
            note(timeline, record, at, || What::SynAck(segment()));
        }
    }
}

/// The place of a request among those kept; `None` where there is no room for another.
fn number(requests: &mut Vec<Asked>, asked: Asked) -> Option<u8> {
    let known = requests.iter().position(|request| *request == asked);
    if known.is_none() && requests.len() < MAX_REQUESTS {
        requests.push(asked);
        return Some(requests.len() as u8 - 1);
    }
    known.map(|at| at as u8)
}

/// Notes the data and the FIN of a segment, as far as it has them.
fn note_data(
    timeline: &mut Vec<Entry>,
    cited: Cited<'_>,
    from_client: bool,
    request: Option<u8>,
    segment: impl Fn() -> Segment,
) {
    let Cited { record, at, tcp, .. } = cited;
    if tcp.payload_len > 0 {
        let len = tcp.payload_len;
        let identifies = tcp.payload.starts_with(b"SSH-");
        note(timeline, record, at, || What::Data {
            from_client,
            segment: segment(),
            len,
            identifies,
            request,
        });
    }
    if tcp.flags.has(TcpFlags::FIN) {
        note(timeline, record, at, || What::Fin { from_client, segment: segment() });
    }
}

/// Adds to a timeline, if there is room.
pub(super) fn note(
    timeline: &mut Vec<Entry>,
    record: RecordNumber,
    at: Timestamp,
    what: impl FnOnce() -> What,
) {
    if timeline.len() >= MAX_TIMELINE {
        return;
    }
    let what = what();
    let middle = match &what {
        What::Data { segment, from_client, .. } => !(*from_client && segment.is_probe()),
        What::Ack(_) | What::Acked(_) => true,
        _ => false,
    };
    if timeline.len() < MAX_EVENTLESS || !middle {
        timeline.push(Entry { record, at, what });
    }
}

/// Which packet of an attempt a quote is about, if any.
pub(super) fn about(
    tracked: &Tracked,
    timeline: &[Entry],
    quoted: &Quoted<'_>,
    tcp: QuotedTcp,
) -> Option<About> {
    let syns = || {
        timeline.iter().enumerate().filter_map(|(i, e)| match &e.what {
            What::Syn(segment) => Some((i, segment)),
            _ => None,
        })
    };
    let by_timestamp = |segment: &Segment| match (tcp.rest.and_then(|r| r.timestamp), segment.timestamps) {
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
    match tracked.quoted(tcp.seq) {
        Some(About::SomeSyn) => Some(by_tag().or_else(by_timestamp_alone).map_or(About::SomeSyn, About::Syn)),
        // Data sent with a sweep's hop limit; what is sent again in earnest is told from it by its tag alone.
        Some(later) => {
            let mut data = timeline.iter().enumerate().filter_map(|(i, e)| match &e.what {
                What::Data { from_client: true, segment, .. } if segment.is_probe() && tagged(segment) => {
                    Some(i)
                }
                _ => None,
            });
            Some(data.next_back().map_or(later, About::Data))
        }
        // A box on the way may rewrite sequence numbers. The timestamp is then what is left to go by: the identification
        // alone can be guessed.
        None => {
            let timestamp = tcp.rest.and_then(|rest| rest.timestamp);
            by_tag().filter(|_| timestamp.is_some()).map(About::Syn)
        }
    }
}

/// Whether a quote bears the identification or the timestamp of the very SYN it is taken to be about.
pub(super) fn bears_tag(timeline: &[Entry], quoted: &Quoted<'_>, tcp: QuotedTcp, about: About) -> bool {
    let About::Syn(index) = about else { return false };
    let Some(Entry { what: What::Syn(syn), .. }) = timeline.get(index) else { return false };
    let identified = quoted.identification.is_some_and(|id| id != 0 && Some(id) == syn.identification);
    let timestamp = tcp.rest.and_then(|r| r.timestamp);
    identified || timestamp.is_some_and(|value| syn.timestamps.is_some_and(|(sent, _)| sent == value))
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
        mtu: error.mtu,
        quote: Quote {
            source: quoted.source,
            identification: quoted.identification,
            traffic_class: quoted.traffic_class,
            hop_limit: quoted.hop_limit,
            tcp,
        },
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
            checksum: None,
            checksum_ok: None,
            to_us: None,
            half: ip.fragment == Fragment::First,
        }
    }
}
