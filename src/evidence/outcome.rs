//! The outcome of the attempt diagnosed, from the wire and the kernel together.

use super::Capture;
use super::kept::{AGAIN, ignored};
use crate::attempt::{Attempt, Connection, Handshake, Outcome, What};
use crate::recording::errno::{ECONNREFUSED, ETIMEDOUT};
use crate::recording::{Route, Said};

/// Decides the outcome of one attempt.
///
/// The kernel's connect(2) speaks for the client, the wire for all that lies beyond it. `attempt` is the kernel's
/// own attempt as the wire shows it (or the one chosen from a capture without kernel events).
pub fn decide(
    attempt: Option<&Attempt>,
    connection: Option<&Connection>,
    route: Option<&Route>,
    capture: Capture,
) -> Outcome {
    let Some(connection) = connection else {
        return attempt.map_or(Outcome::Timeout, |attempt| match attempt.outcome_of_path {
            // The banner came as far as the capture, and the kernel knows nothing of it.
            Outcome::Open if ignored(attempt).len() >= AGAIN => Outcome::NoBanner,
            Outcome::HalfOpen if attempt.icmp.is_some() && is_given_up(attempt) => Outcome::Rejected,
            outcome => outcome,
        });
    };
    if connection.established.is_some() {
        if attempt.is_none() && capture == Capture::Whole {
            return Outcome::Intercepted;
        }
        return established(attempt, connection);
    }
    match (attempt, capture) {
        (Some(attempt), _) => of_failed(attempt, connection),
        (None, Capture::Whole) => Outcome::LocalFailure,
        (None, _) => match &connection.failed {
            Some((ECONNREFUSED, _)) => Outcome::Reset,
            Some(_) if route.is_some_and(|r| r.error.is_some()) => Outcome::LocalFailure,
            Some(_) => Outcome::Rejected,
            None => Outcome::Timeout,
        },
    }
}

/// connect(2) did not succeed, and its SYN is on the wire.
fn of_failed(attempt: &Attempt, connection: &Connection) -> Outcome {
    match (attempt.handshake, &connection.failed) {
        // The capture missed the answer that the kernel got.
        (Handshake::Unanswered, Some((ECONNREFUSED, _))) => Outcome::Reset,
        // The kernel acknowledged the SYN/ACK, and was reset before anybody could ask it how the connection is.
        (Handshake::Completed, Some(_)) => Outcome::ResetAfterHandshake,
        // The error came first and ended connect(2): the SYN/ACK behind it found nobody who waited.
        (Handshake::HalfOpen, Some((errno, _))) if attempt.icmp.is_some() && *errno != ETIMEDOUT => {
            Outcome::Rejected
        }
        _ => attempt.outcome_of_path,
    }
}

/// Whether the client reset what answered it, and asked no more.
fn is_given_up(attempt: &Attempt) -> bool {
    let last = attempt.timeline.iter().rev().find_map(|entry| match &entry.what {
        What::Syn(_) => Some(false),
        What::Rst { from_client: true, .. } => Some(true),
        _ => None,
    });
    last == Some(true)
}

/// connect(2) succeeded: what was read decides.
fn established(attempt: Option<&Attempt>, connection: &Connection) -> Outcome {
    let reset_on_wire = attempt.is_some_and(|a| a.outcome_of_path == Outcome::ResetAfterHandshake);
    if connection.banner().is_some() {
        conversation(reset_on_wire, connection)
    } else if connection.broken.is_some() || reset_on_wire {
        Outcome::ResetAfterHandshake
    } else if connection.closed {
        Outcome::Closed
    } else if connection.received.is_empty() {
        Outcome::NoBanner
    } else {
        Outcome::NotSsh
    }
}

/// What became of the conversation once an identification had been read, whoever answered it: `open`, or the step at which it
/// ended, `closed` being by the server's side before the key exchange.
pub fn conversed(attempt: Option<&Attempt>, connection: Option<&Connection>) -> Option<Outcome> {
    let Some(connection) = connection else {
        let attempt = attempt.filter(|a| a.server_banner.is_some())?;
        return Some(match attempt.outcome_of_path {
            Outcome::ResetAfterHandshake => Outcome::ResetAfterHandshake,
            _ => Outcome::Open,
        });
    };
    connection.banner()?;
    Some(match established(attempt, connection) {
        Outcome::Open | Outcome::Stalled if connection.key_exchange.is_none() && connection.closed => {
            Outcome::Closed
        }
        Outcome::Open if connection.key_exchange.is_none() && connection.broken.is_some() => {
            Outcome::ResetAfterHandshake
        }
        Outcome::Open
            if connection.key_exchange.is_none() && connection.said(Said::Identification).is_some() =>
        {
            Outcome::Stalled
        }
        outcome => outcome,
    })
}

/// How long nothing may come before the conversation counts as stalled, in ns: the kernel has sent what was not
/// acknowledged three times by then.
const STALLED: i64 = 1_000_000_000;

/// The banner was read: how far did the conversation get? Once we have said farewell, every end is a good one.
fn conversation(reset_on_wire: bool, connection: &Connection) -> Outcome {
    let identified = connection.said(Said::Identification).is_some();
    if !identified || connection.said(Said::Disconnect).is_some() && connection.abandoned.is_none() {
        Outcome::Open
    } else if connection.said(Said::Disconnect).is_none() && (connection.broken.is_some() || reset_on_wire) {
        Outcome::ResetAfterHandshake
    } else if connection.closed {
        // A server that does not like our algorithms says so and closes: SSH answers.
        if connection.key_exchange.is_some() { Outcome::Open } else { Outcome::Stalled }
    } else if connection.waited() >= STALLED {
        Outcome::Stalled
    } else {
        Outcome::Open
    }
}

#[cfg(test)]
mod tests;
