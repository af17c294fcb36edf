//! The kernel's own connections, and how long each is waited for.

use std::net::SocketAddr;

use super::Planner;
use crate::attempt::{Attempt, Connection, Handshake, What};
use crate::probe::budget::CONNECTIONS_AT_ONCE;
use crate::probe::plan::MS;
use crate::probe::{Action, Manner};
use crate::recording::{Said, Timestamp};

/// A silent trace ends here: the kernel's SYN was sent at 0, 1 and 3 s (RFC 6298), and a router whose ARP fails
/// says so after 3 s.
pub(super) const SILENT_END: i64 = 3_400 * MS;

/// The kernel sent its SYN again by then, if it sent one at all.
pub(super) const KERNEL_SYN_DUE: i64 = 1_250 * MS;

/// How long the next step of a conversation is waited for: the kernel sends what is not acknowledged again after 0.2,
/// 0.6 and 1.4 s (RFC 6298, Linux's least timeout).
const STEP_WAIT: i64 = 2_000 * MS;

/// How long where packets get lost: the kernel sends once more after 3 s.
const LOSSY_STEP_WAIT: i64 = 4_000 * MS;

/// How long a banner is waited for behind lines that are none: sshd sends its own at once, and whoever waits for ours has
/// been sent it after a second of silence.
const FOREIGN_WAIT: i64 = 750 * MS;

/// How long the banner is waited for where something on this machine took the connection.
pub(super) const LOCAL_BANNER_WAIT: i64 = 2_000 * MS;

impl Planner {
    pub(super) fn connect(&mut self) -> Option<Action> {
        let id = self.next_connection;
        let address = *self.plan.targets.get(id)?;
        let open =
            (0..id).filter(|id| self.seen.connections.get(*id as u32).is_none_or(|c| !c.is_over())).count();
        if open >= CONNECTIONS_AT_ONCE {
            return None;
        }
        self.next_connection += 1;
        self.budget.connect();
        let server = SocketAddr::new(address, self.plan.port);
        Some(Action::Connect { id: id as u32, server, manner: Manner::Converse })
    }

    pub(super) fn abandon(&mut self, now: Timestamp) -> Option<Action> {
        let id = (0..self.next_connection as u32).find(|id| {
            !self.abandoned.contains(id)
                && self
                    .seen
                    .connections
                    .get(*id)
                    .is_some_and(|c| !c.is_over() && self.is_hopeless(*id, c, now))
        })?;
        self.abandoned.push(id);
        Some(Action::Abandon { id })
    }

    /// Whether waiting longer for a kernel connection would teach nothing.
    fn is_hopeless(&self, id: u32, connection: &Connection, now: Timestamp) -> bool {
        if let Some(until) = self.patience(id, connection) {
            return now >= until;
        }
        if now >= connection.started.plus(SILENT_END + self.rtt()) {
            return true;
        }
        if id as usize != self.traced || !self.plan.means.raw {
            return false;
        }
        match self.kernel_attempt() {
            // The kernel asks again although the SYN/ACK is there: it will not take it.
            Some(attempt) if attempt.handshake == Handshake::HalfOpen => syn_after_syn_ack(attempt),
            Some(_) => false,
            // Probes leave, the kernel's SYN does not, and not at its second try either.
            None => now >= connection.started.plus(KERNEL_SYN_DUE) && self.last_router() > 0,
        }
    }

    /// Until when the next step of an established connection is waited for.
    pub(super) fn patience(&self, id: u32, connection: &Connection) -> Option<Timestamp> {
        let established = connection.established?;
        let step = |usual| {
            let wait = if self.loses_packets(id) { LOSSY_STEP_WAIT } else { usual };
            connection.progress.plus(wait.min(self.plan.banner_wait) + 2 * self.rtt())
        };
        if connection.banner().is_some() {
            return Some(step(STEP_WAIT));
        }
        let latest = established.plus(self.banner_wait(id));
        let identified = connection.said(Said::Identification).is_some();
        Some(if identified && speaks_foreign(connection) { latest.min(step(FOREIGN_WAIT)) } else { latest })
    }

    /// Whether packets get lost on the way, as far as routers and a connection's handshake show.
    fn loses_packets(&self, id: u32) -> bool {
        let connection = self.seen.connections.get(id);
        let attempt = connection.and_then(|c| self.seen.kernel_attempt(c, c.server));
        attempt.is_some_and(|a| a.syn > 1 || a.syn_ack > 1)
            || self.seen.known.as_ref().is_some_and(|k| k.lossy)
    }

    /// How long the banner is waited for. A proxy on this machine that relays has it soon, or never.
    fn banner_wait(&self, id: u32) -> i64 {
        let local = id as usize == self.traced
            && self.plan.means.raw
            && self.last_router() > 0
            && self.kernel_attempt().is_none();
        if local { self.plan.banner_wait.min(LOCAL_BANNER_WAIT) } else { self.plan.banner_wait }
    }
}

/// Whether whole lines came that are no SSH identification, and nothing behind them that may become one.
fn speaks_foreign(connection: &Connection) -> bool {
    let Some(end) = connection.received.iter().rposition(|b| *b == b'\n') else { return false };
    let half = &connection.received[end + 1..];
    half.is_empty() || !b"SSH-".starts_with(&half[..half.len().min(4)])
}

/// Whether the client sent its SYN again after a SYN/ACK had come.
fn syn_after_syn_ack(attempt: &Attempt) -> bool {
    let answered = attempt.timeline.iter().position(|e| matches!(e.what, What::SynAck(_)));
    answered.is_some_and(|at| attempt.timeline[at..].iter().any(|e| matches!(e.what, What::Syn(_))))
}

#[cfg(test)]
mod tests {
    use crate::testing::Script;

    use super::*;

    #[test]
    fn half_a_line_that_may_become_a_banner_is_not_foreign() {
        for (received, foreign) in [
            ("220 mail\\r\\n", true),
            ("220 mail\\r\\nready> ", true),
            ("220 mail\\r\\nSS", false),
            ("220 mail\\r\\nSSH-2.0", false),
            ("SSH", false),
            ("ready> ", false),
        ] {
            let mut connections = crate::attempt::Connections::default();
            let script = Script::new(&format!("0 ! connect 0 received \"{received}\""));
            for record in script.records() {
                if let crate::recording::Body::Event(event) = &record.body {
                    connections.event(record.number, record.at, event);
                }
            }
            assert_eq!(connections.get(0).is_some_and(speaks_foreign), foreign, "{received}");
        }
    }
}
