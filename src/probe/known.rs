//! What the replies so far tell.

use std::net::IpAddr;

use super::plan::{MAX_HOPS, MS};
use crate::attempt::Tracker;
use crate::path::{Networks, Path, Probe, ReplyKind, Survey, Via};

/// What the replies so far tell.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) probes: Vec<Probe>,
    pub(super) path: Path,
    /// Farthest router that answered anything.
    pub(super) last_router: u8,
    /// Farthest router that answered a SYN to the port.
    pub(super) reached: u8,
    /// Least hop limit that drew a refusal (RST or ICMP) of the port, and whether it is sure.
    pub(super) refused: Option<(u8, bool)>,
    /// Least hop limit that drew a SYN/ACK on the port.
    pub(super) accepted: Option<u8>,
    /// Largest round-trip time seen, ns.
    pub(super) rtt: i64,
    /// Whether a router answered one control and not another: packets get lost, or are on their way yet.
    pub(super) lossy: bool,
}

impl Known {
    pub(super) fn nothing() -> Self {
        Self {
            probes: Vec::new(),
            path: Path::default(),
            last_router: 0,
            reached: 0,
            refused: None,
            accepted: None,
            rtt: 0,
            lossy: false,
        }
    }

    pub(super) fn from(survey: &Survey, tracker: &Tracker, target: IpAddr, port: u16) -> Self {
        let probes = survey.probes(target, tracker.attempts(), true);
        let path = Path::assemble(&probes, target, port, &Networks::default());
        let via = Via::Tcp(port);
        let swept = |p: &&Probe| p.hop_limit <= MAX_HOPS;
        let routers = || probes.iter().filter(swept).filter(|p| p.time_exceeded().is_some());
        let last_router = routers().map(|p| p.hop_limit).max().unwrap_or(0);
        let reached = routers().filter(|p| p.via == via).map(|p| p.hop_limit).max().unwrap_or(0);
        let answers = |wanted: fn(ReplyKind) -> bool| {
            probes
                .iter()
                .filter(swept)
                .filter(|p| p.via == via)
                .flat_map(|p| p.replies.iter().map(move |r| (p.hop_limit, *r)))
                .filter(move |(_, r)| wanted(r.kind))
        };
        let refused = answers(|k| matches!(k, ReplyKind::Rst | ReplyKind::Unreachable { .. }))
            .map(|(hop, reply)| (hop, reply.exact))
            .min_by_key(|(hop, exact)| (*hop, !exact));
        let accepted = answers(|k| k == ReplyKind::SynAck).map(|(hop, _)| hop).min();
        let rtt = probes
            .iter()
            .filter_map(|p| p.replies.first().map(|r| r.at.since(p.at)))
            .filter(|rtt| (0..1_000 * MS).contains(rtt))
            .max()
            .unwrap_or(0);
        let answered = |p: &Probe| p.time_exceeded().is_some();
        let controls = || probes.iter().filter(swept).filter(|p| p.via != via);
        let lossy = controls()
            .filter(|p| p.replies.is_empty())
            .any(|lost| controls().any(|p| p.hop_limit == lost.hop_limit && answered(p)));
        Self { probes, path, last_router, reached, refused, accepted, rtt, lossy }
    }
}
