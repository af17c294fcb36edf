//! Where the port is silent, and only if it was asked for: halves of SYNs. Whoever receives one waits for the rest, and
//! says in the end that it did not come.

use super::{Hand, Inquiry, View};
use crate::attempt::{Attempt, Handshake};
use crate::path::{ReplyKind, Via};
use crate::probe::Action;
use crate::probe::plan::MS;
use crate::recording::Timestamp;

/// Silent for so long, the port is worth it: the kernel's second SYN has left by then (RFC 6298).
const SILENT: i64 = 1_050 * MS;

/// How many go to the port and how many to a control: Linux sends a burst of six errors to one destination.
const TO_PORT: usize = 3;
const TO_CONTROL: usize = 2;

/// How long a host waits for the rest: Linux 30 s (`net.ipv4.ipfrag_time`), over IPv6 60 s
/// (`net.ipv6.ip6frag_time`); its coarse timers fire up to 2 s late, over IPv6 up to 4 s.
const REASSEMBLY_V4: i64 = 32_500 * MS;
const REASSEMBLY_V6: i64 = 64_500 * MS;

/// How long the last answers may come behind the first.
const REST: i64 = 1_000 * MS;

/// Sends halves of SYNs to the port, and to the closed port as a control.
#[derive(Debug, Default)]
pub(super) struct HalfSyn {
    sent: usize,
    last: Option<Timestamp>,
}

impl Inquiry for HalfSyn {
    fn next(&mut self, view: &View<'_>, hand: &mut Hand<'_>, now: Timestamp) -> Option<Action> {
        let due = view.plan.deep && view.plan.means.raw && now >= view.started.plus(SILENT);
        if !due || !is_silent(view) {
            return None;
        }
        let control = view.known.probes.iter().find_map(|p| match p.via {
            Via::Tcp(port) if port != view.plan.port => Some(port),
            _ => None,
        });
        let port = if self.sent < TO_PORT { view.plan.port } else { control? };
        if self.sent >= TO_PORT + TO_CONTROL {
            return None;
        }
        self.sent += 1;
        self.last = Some(now);
        Some(hand.half_syn(port))
    }

    fn awaits(&self, view: &View<'_>, now: Timestamp) -> Option<(Timestamp, &'static str)> {
        if !view.plan.deep || !view.plan.means.raw || !is_silent(view) {
            return None;
        }
        let Some(last) = self.last else {
            return (now < view.started.plus(SILENT))
                .then(|| (view.started.plus(SILENT), "the first sign of silence"));
        };
        let answers = view.known.probes.iter().filter(|p| matches!(p.via, Via::HalfSyn(_)));
        let answers =
            answers.flat_map(|p| &p.replies).filter(|r| r.kind == ReplyKind::ReassemblyTimeExceeded);
        let first = answers.map(|r| r.at).min();
        let (wait, why) = if view.server.is_ipv4() {
            (REASSEMBLY_V4, "the VM to give up on half a SYN (--deep: 30 s)")
        } else {
            (REASSEMBLY_V6, "the VM to give up on half a SYN (--deep: 60 s)")
        };
        Some((first.map_or(last.plus(wait), |at| at.plus(REST).min(last.plus(wait))), why))
    }
}

/// Whether the kernel's SYN is on the wire, and nothing has answered it or one from another port.
fn is_silent(view: &View<'_>) -> bool {
    let answered = |a: &Attempt| a.server == view.server && a.handshake == Handshake::HalfOpen;
    view.attempt.is_some_and(|a| a.handshake == Handshake::Unanswered)
        && !view.tracker.attempts().any(answered)
}
