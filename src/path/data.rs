//! Data sent on established connections with a sweep's hop limit, and what came back.

use std::net::SocketAddr;

use super::survey::icmp_reply;
use super::{Probe, Reply, ReplyKind, Via};
use crate::attempt::{About, Asked, Attempt, Segment, What};
use crate::recording::{RecordNumber, Timestamp};

/// A segment with data that was meant to run out on its way.
#[derive(Clone, Debug)]
pub struct DataProbe {
    /// Who sent it: this tells its connection.
    pub client: SocketAddr,
    /// Where to.
    pub server: SocketAddr,
    /// Its header.
    pub sent: Segment,
    /// TTL or hop limit it was sent with.
    pub hop_limit: u8,
    /// Bytes of data.
    pub len: u32,
    /// Whether no other is longer, of those whose size is what they ask about.
    pub is_longest: bool,
    /// Whether it begins as an SSH identification line does.
    pub identifies: bool,
    /// What it asks for; `None` where the connection had asked for too much else before.
    pub request: Option<Asked>,
    /// The record that holds it.
    pub record: RecordNumber,
    /// When it was sent.
    pub at: Timestamp,
    /// What answered it: routers; and resets, data and FINs that came before any other data was sent on the connection,
    /// the last two only where they acknowledge it. They are put down to the data with the largest hop limit sent on
    /// it by then: their sender is no farther than that.
    pub replies: Vec<Reply>,
    /// The MTU that an answer names, in bytes.
    pub mtu: Option<u32>,
}

/// Data of this length or more, in bytes, asks for room on the links.
const SIZED: u32 = 400;

impl DataProbe {
    /// Whether its size is what it asks about.
    pub fn is_sized(&self) -> bool {
        self.len >= SIZED
    }

    /// Whether it asks for as much room as segments of the connection do.
    pub fn is_full_size(&self) -> bool {
        self.is_sized() && self.is_longest
    }

    /// Bytes of its IP packet, if that has the options that whichhop sends: timestamps or none.
    pub fn packet_len(&self) -> u32 {
        const TCP: u32 = 20;
        const TIMESTAMPS: u32 = 12;
        let ip = if self.client.is_ipv4() { 20 } else { 40 };
        ip + TCP + if self.sent.timestamps.is_some() { TIMESTAMPS } else { 0 } + self.len
    }

    /// Whether it is there for comparison: neither its first bytes nor its size are a reason to stop it.
    pub fn is_harmless(&self) -> bool {
        !self.identifies && !self.is_sized()
    }

    /// The time-exceeded that answered it.
    pub fn time_exceeded(&self) -> Option<&Reply> {
        self.replies.iter().find(|r| r.kind == ReplyKind::TimeExceeded)
    }

    /// What answered it as only the end of the connection does, or whoever acts as that.
    pub fn answer(&self) -> Option<&Reply> {
        self.replies.iter().find(|r| matches!(r.kind, ReplyKind::Rst | ReplyKind::Data | ReplyKind::Fin))
    }

    /// The same as a probe of the path; only what routers say of it counts there.
    pub fn as_probe(&self) -> Probe {
        let of_routers = |reply: &&Reply| reply.kind == ReplyKind::TimeExceeded;
        Probe {
            via: Via::Data(self.server.port()),
            hop_limit: self.hop_limit,
            flow: 0,
            record: self.record,
            at: self.at,
            sent: Some((self.client, self.sent)),
            replies: self.replies.iter().filter(of_routers).copied().collect(),
        }
    }

    /// The reset that answered it.
    pub fn reset(&self) -> Option<&Reply> {
        self.replies.iter().find(|r| r.kind == ReplyKind::Rst)
    }
}

/// The data probes of some attempts, in order.
pub fn data_probes<'a>(attempts: impl IntoIterator<Item = &'a Attempt>) -> Vec<DataProbe> {
    let mut probes: Vec<DataProbe> = attempts.into_iter().flat_map(of_attempt).collect();
    probes.sort_by_key(|p| p.record);
    let longest = probes.iter().map(|p| p.len).max().unwrap_or(0);
    for probe in &mut probes {
        probe.is_longest = probe.len == longest;
    }
    probes
}

fn of_attempt(attempt: &Attempt) -> Vec<DataProbe> {
    let mut probes: Vec<(usize, DataProbe)> = Vec::new();
    // What comes behind data sent in earnest may answer that.
    let mut in_earnest = false;
    for (index, entry) in attempt.timeline.iter().enumerate() {
        let reply = |from, hop_limit, kind, quote| Reply {
            record: entry.record,
            at: entry.at,
            from,
            hop_limit: Some(hop_limit),
            kind,
            exact: matches!(kind, ReplyKind::TimeExceeded | ReplyKind::Unreachable { .. }),
            traffic_class: None,
            quote,
        };
        let (kind, segment) = match &entry.what {
            What::Data { from_client: true, segment, len, identifies, request } => {
                if !segment.is_probe() {
                    in_earnest |= !probes.is_empty();
                    continue;
                }
                let probe = DataProbe {
                    client: attempt.client,
                    server: attempt.server,
                    sent: *segment,
                    hop_limit: segment.hop_limit.0,
                    len: *len,
                    is_longest: false,
                    identifies: *identifies,
                    request: request.and_then(|n| attempt.requests.get(usize::from(n)).cloned()),
                    record: entry.record,
                    at: entry.at,
                    replies: Vec::new(),
                    mtu: None,
                };
                probes.push((index, probe));
                continue;
            }
            What::Icmp(seen) => {
                let About::Data(about) = seen.about else { continue };
                let kind = icmp_reply(seen.kind, seen.icmp_type, seen.code, Some(seen.quoted_hop_limit));
                if let Some((_, probe)) = probes.iter_mut().find(|(i, _)| *i == about) {
                    probe.replies.push(reply(seen.from, seen.hop_limit, kind, Some(seen.quote)));
                    probe.mtu = probe.mtu.or(seen.mtu);
                }
                continue;
            }
            What::Rst { from_client: false, segment, acceptable: true } => (ReplyKind::Rst, segment),
            What::Data { from_client: false, segment, .. } => (ReplyKind::Data, segment),
            What::Fin { from_client: false, segment } => (ReplyKind::Fin, segment),
            _ => continue,
        };
        // Of those with the largest hop limit the last: the time between it and the answer is the shortest.
        let drawn_by = probes.iter_mut().max_by_key(|(i, p)| (p.hop_limit, *i)).filter(|_| !in_earnest);
        if let Some((_, probe)) = drawn_by
            && (kind == ReplyKind::Rst || segment.ack.distance_from(probe.sent.seq.plus(probe.len)) >= 0)
        {
            probe.replies.push(reply(attempt.server.ip(), segment.hop_limit, kind, None));
        }
    }
    probes.into_iter().map(|(_, probe)| probe).collect()
}
