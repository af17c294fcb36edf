//! Data sent on established connections with a sweep's hop limit, and what came back.

use std::net::SocketAddr;

use super::survey::icmp_reply;
use super::{Reply, ReplyKind};
use crate::attempt::{About, Attempt, What};
use crate::recording::{RecordNumber, Timestamp};

/// A segment with data that was meant to run out on its way.
#[derive(Clone, Debug)]
pub struct DataProbe {
    /// Who sent it: this tells its connection.
    pub client: SocketAddr,
    /// TTL or hop limit it was sent with.
    pub hop_limit: u8,
    /// Bytes of data.
    pub len: u32,
    /// Whether it begins as an SSH identification line does.
    pub identifies: bool,
    /// The record that holds it.
    pub record: RecordNumber,
    /// When it was sent.
    pub at: Timestamp,
    /// What answered it: routers, and resets that came before any other data was sent on the connection. A reset is
    /// put down to the data with the largest hop limit sent on it by then: its sender is no farther than that.
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

    /// Whether it is there for comparison: neither its first bytes nor its size are a reason to stop it.
    pub fn is_harmless(&self) -> bool {
        !self.identifies && !self.is_sized()
    }

    /// The time-exceeded that answered it.
    pub fn time_exceeded(&self) -> Option<&Reply> {
        self.replies.iter().find(|r| r.kind == ReplyKind::TimeExceeded)
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
    probes
}

fn of_attempt(attempt: &Attempt) -> Vec<DataProbe> {
    let mut probes: Vec<(usize, DataProbe)> = Vec::new();
    for (index, entry) in attempt.timeline.iter().enumerate() {
        let reply = |from, hop_limit, kind, exact| Reply {
            record: entry.record,
            at: entry.at,
            from,
            hop_limit: Some(hop_limit),
            kind,
            exact,
            traffic_class: None,
            quote: None,
        };
        match &entry.what {
            What::Data { from_client: true, segment, len, identifies } if segment.is_probe() => {
                let probe = DataProbe {
                    client: attempt.client,
                    hop_limit: segment.hop_limit.0,
                    len: *len,
                    identifies: *identifies,
                    record: entry.record,
                    at: entry.at,
                    replies: Vec::new(),
                    mtu: None,
                };
                probes.push((index, probe));
            }
            What::Icmp(seen) => {
                let About::Data(about) = seen.about else { continue };
                let kind = icmp_reply(seen.kind, seen.icmp_type, seen.code, Some(seen.quoted_hop_limit));
                if let Some((_, probe)) = probes.iter_mut().find(|(i, _)| *i == about) {
                    probe.replies.push(reply(seen.from, seen.hop_limit, kind, true));
                    probe.mtu = probe.mtu.or(seen.mtu);
                }
            }
            What::Rst { from_client: false, segment, acceptable: true } => {
                // Of those with the largest hop limit the last: the time between it and the reset is the shortest.
                if let Some((_, probe)) = probes.iter_mut().max_by_key(|(i, p)| (p.hop_limit, *i)) {
                    let (server, left) = (attempt.server.ip(), segment.hop_limit);
                    probe.replies.push(reply(server, left, ReplyKind::Rst, false));
                }
            }
            _ => {}
        }
    }
    probes.into_iter().map(|(_, probe)| probe).collect()
}
