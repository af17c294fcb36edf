//! What a trace may cost others: ICMP errors of routers, connections of sshd.

use std::collections::BTreeMap;

use super::plan::MS;
use crate::recording::Timestamp;

/// Probes that may run out at one hop at once, and how often one more may: Linux rations ICMP errors to a burst of 6,
/// then one a second (icmp_ratelimit).
const ERRORS_PER_HOP: usize = 5;
const ERRORS_EARNED_EVERY: i64 = 1_000 * MS;

/// Connections that may reach sshd in one trace: fewer than draw a penalty where each costs one second of it and 15 are
/// needed (OpenSSH's PerSourcePenalties), and not enough for a scan detector.
pub const CONNECTIONS: u32 = 12;

/// Kernel connections at once: sshd's MaxStartups and its penalties count them.
pub(super) const CONNECTIONS_AT_ONCE: usize = 2;

/// What was spent so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Budget {
    errors: BTreeMap<u8, Vec<Timestamp>>,
    connections: u32,
}

impl Budget {
    /// Whether `cost` more probes may run out at a hop: routers ration their errors.
    pub(super) fn may_spend(&self, hop: u8, cost: usize, now: Timestamp) -> bool {
        let Some(spent) = self.errors.get(&hop) else { return true };
        let earned = spent.first().map_or(0, |first| now.since(*first) / ERRORS_EARNED_EVERY);
        spent.len() + cost <= ERRORS_PER_HOP + earned.max(0) as usize
    }

    /// Notes that a probe may run out at a hop.
    pub(super) fn spend(&mut self, hop: u8, now: Timestamp) {
        self.errors.entry(hop).or_default().push(now);
    }

    /// Whether one more kernel connection may be made beyond those that every trace makes.
    pub(super) fn may_connect(&self) -> bool {
        self.connections < CONNECTIONS
    }

    /// Notes that a kernel connection is made.
    pub(super) fn connect(&mut self) {
        self.connections += 1;
    }

    /// Kernel connections made so far.
    pub(super) fn connections(&self) -> u32 {
        self.connections
    }
}
