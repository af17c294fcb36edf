//! A kernel connection that is held open, for crafted data to be sent on it that runs out before its end.

use super::{Hand, View};
use crate::attempt::What;
use crate::probe::Action;
use crate::probe::asked::Line;
use crate::probe::plan::MS;
use crate::recording::Timestamp;

/// How long the banner of a held connection is waited for: it came before, or nothing would be held.
const BANNER_WAIT: i64 = 1_500 * MS;

/// Bytes of the timestamps option, padded.
const TIMESTAMPS: u16 = 12;

/// Bytes of a segment's options.
fn options(line: &Line) -> u16 {
    if line.timestamps.is_some() { TIMESTAMPS } else { 0 }
}

/// One held connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    id: u32,
    begun: Timestamp,
    left: bool,
}

/// Whether data can be sent on a connection.
#[derive(Debug)]
pub(super) enum Readiness {
    /// Yes, and since when.
    Ready(Held, Timestamp),
    /// Not yet; to get there, this must be done.
    NotYet(Option<Action>),
    /// It was reset or closed, and not by us; or it never came; or no more may be made.
    Lost,
}

/// Begins the connection, if it is not there yet, and says how it is.
pub(super) fn ready(
    slot: &mut Option<Held>,
    view: &View<'_>,
    hand: &mut Hand<'_>,
    now: Timestamp,
) -> Readiness {
    let Some(held) = *slot else {
        if !hand.budget.may_connect() {
            return Readiness::Lost;
        }
        let begun = hand.hold(view);
        *slot = begun.as_ref().map(|(id, _)| Held { id: *id, begun: now, left: false });
        return Readiness::NotYet(begun.map(|(_, action)| action));
    };
    let Some(connection) = view.connections.get(held.id) else { return Readiness::NotYet(None) };
    match connection.banner() {
        _ if connection.is_over() => Readiness::Lost,
        // Its acknowledgment is on the wire too.
        Some(_) if held.line(view).is_some() => Readiness::Ready(held, connection.progress),
        _ if now >= held.begun.plus(BANNER_WAIT + 4 * view.known.rtt) => Readiness::Lost,
        _ => Readiness::NotYet(None),
    }
}

/// The same of the connection that is traced: before it ends, and banner or not.
pub(super) fn traced(view: &View<'_>) -> Readiness {
    let held = Held { id: view.traced, begun: view.started, left: false };
    if held.is_open(view) { Readiness::Ready(held, view.started) } else { Readiness::Lost }
}

impl Held {
    /// What its next segment says, as the wire shows it.
    pub(super) fn line(&self, view: &View<'_>) -> Option<Line> {
        let connection = view.connections.get(self.id)?;
        let client = connection.client?;
        let attempt =
            view.tracker.attempts().find(|a| a.client == client && a.server == connection.server)?;
        let syn =
            attempt.timeline.iter().find_map(|e| if let What::Syn(s) = &e.what { Some(s) } else { None })?;
        let reply = attempt
            .timeline
            .iter()
            .find_map(|e| if let What::SynAck(s) = &e.what { Some(s) } else { None })?;
        let own = attempt.timeline.iter().rev().find_map(|e| match &e.what {
            What::Ack(s) => Some(s),
            _ => None,
        })?;
        let from_server = attempt.timeline.iter().rev().find_map(|e| match &e.what {
            What::Data { from_client: false, segment, .. } => Some(segment),
            _ => None,
        });
        let newest = from_server.unwrap_or(reply);
        let both = own.timestamps.zip(newest.timestamps);
        Some(Line {
            client,
            server: connection.server,
            next: attempt.isn.plus(1),
            acknowledged: own.ack,
            window: own.window,
            timestamps: both.map(|((mine, _), (theirs, _))| (mine, theirs)),
            mss: syn.mss.unwrap_or(536).min(reply.mss.unwrap_or(536)),
        })
    }

    /// The longest data that the largest segment holds, in bytes.
    pub(super) fn room(&self, view: &View<'_>) -> usize {
        let line = self.line(view);
        line.map_or(0, |l| usize::from(l.mss.saturating_sub(options(&l))))
    }

    /// Bytes of a segment's headers, IP's among them.
    pub(super) fn headers(&self, view: &View<'_>) -> u32 {
        let ip = if view.server.is_ipv4() { 20 } else { 40 };
        ip + 20 + self.line(view).map_or(0, |l| u32::from(options(&l)))
    }

    pub(super) fn is_open(&self, view: &View<'_>) -> bool {
        view.connections.get(self.id).is_some_and(|c| !c.is_over())
    }

    /// Lets it go, once.
    pub(super) fn leave(&mut self, view: &View<'_>) -> Option<Action> {
        let over = view.connections.get(self.id).is_none_or(crate::attempt::Connection::is_over);
        if over || std::mem::replace(&mut self.left, true) {
            return None;
        }
        Some(Action::Abandon { id: self.id })
    }
}
