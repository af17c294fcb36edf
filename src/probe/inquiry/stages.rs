//! Where a connection ends once our identification, or a full-size segment, has passed: the same is sent again with a
//! rising hop limit, on connections that are held for it, beside harmless bytes; or, where nothing that we say on any
//! connection is acknowledged, on the traced one, beside SYNs.
//!
//! Nothing that is sent reaches the VM: no hop limit is larger than that of a router that is known to answer.

use super::held::{Held, Readiness, ready, traced};
use super::size::{Next, Search};
use super::{Hand, Inquiry, View};
use crate::attempt::{Attempt, Connection, ResetBy, What};
use crate::packet::ssh::IDENTIFICATION;
use crate::path::{DataProbe, data_probes};
use crate::probe::Action;
use crate::probe::plan::MS;
use crate::recording::{Said, Timestamp};

/// After this long without an answer the kernel has sent its data three times.
const STALLED: i64 = 700 * MS;

/// Rounds in which what went unanswered is asked again, beside harmless bytes.
const ROUNDS: u8 = 2;

/// How soon a hop that cannot afford an error is thought of again.
const POOR: i64 = 100 * MS;

/// How far beyond the stream's next byte the harmless bytes lie: whoever puts the stream together finds a gap there.
const APART: u32 = 8_192;

/// Hops beyond the last that answered that are asked again in one round, at most.
const HOLES: usize = 2;

/// What makes the connection end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Our identification draws a reset.
    Reset,
    /// Our identification is not answered.
    Stall,
    /// Our key exchange is not: it is longer than a segment.
    Size,
    /// Nothing came once the handshake was done, not even an acknowledgment of what we said.
    CutOff,
}

/// Where the search stands.
#[derive(Debug, Default)]
pub(super) struct Stages {
    trouble: Option<Trouble>,
    /// Carries harmless bytes.
    control: Option<Held>,
    /// Carries what makes the trouble.
    subject: Option<Held>,
    /// The last hop limit of the harmless bytes and of the others.
    harmless: u8,
    asked: u8,
    /// The hop limit that drew a reset.
    drew: Option<u8>,
    rounds: u8,
    /// Hops to ask again, and the one that harmless bytes follow to.
    again: Vec<u8>,
    behind: Option<u8>,
    /// For the size that gets beyond, once it is known where full size does not.
    search: Option<Search>,
    not_before: Option<Timestamp>,
    done: bool,
}

impl Inquiry for Stages {
    fn next(&mut self, view: &View<'_>, hand: &mut Hand<'_>, now: Timestamp) -> Option<Action> {
        if self.done {
            return self.subject.iter_mut().chain(&mut self.control).find_map(|held| held.leave(view));
        }
        let trouble = self.trouble.or_else(|| trouble(view, now))?;
        self.trouble = Some(trouble);
        if self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        match trouble {
            Trouble::Reset => self.reset(view, hand, now),
            Trouble::Stall | Trouble::Size | Trouble::CutOff => self.stall(view, hand, now),
        }
    }

    fn awaits(&self, view: &View<'_>, now: Timestamp) -> Option<(Timestamp, &'static str)> {
        if self.done {
            let held = self.subject.iter().chain(&self.control);
            let open = held.into_iter().any(|held| held.is_open(view));
            return open.then_some((now.plus(10 * MS), "the connections to close"));
        }
        if self.trouble.is_some() {
            let soon = now.plus(10 * MS);
            return Some((
                self.not_before.filter(|at| *at > now).unwrap_or(soon),
                "where the connection ends",
            ));
        }
        let connection = view.connection.filter(|c| speaking(c) && view.plan.means.raw)?;
        Some((connection.progress.plus(STALLED + 2 * view.known.rtt), "a stall to show"))
    }
}

/// Whether a connection is in the middle of its conversation.
fn speaking(connection: &Connection) -> bool {
    !connection.is_over() && connection.banner().is_some()
}

/// Whether, and at what, the traced connection ended: only where no box before the VM took it.
fn trouble(view: &View<'_>, now: Timestamp) -> Option<Trouble> {
    let connection = view.connection?;
    let (attempt, identified) = (view.attempt?, connection.said(Said::Identification)?);
    let intercepted = view.known.accepted.is_some_and(|hop| hop <= last(view));
    if !view.plan.means.raw || !view.swept || intercepted || last(view) == 0 {
        return None;
    }
    if connection.banner().is_none() {
        let due = now >= identified.plus(STALLED + 2 * view.known.rtt) && !connection.is_over();
        return (due && is_cut_off(attempt)).then_some(Trouble::CutOff);
    }
    let by_us = matches!(attempt.reset_after_handshake_by, None | Some(ResetBy::Client));
    let reset = connection.broken.is_some() || !by_us;
    if reset {
        return connection.said(Said::Disconnect).is_none().then_some(Trouble::Reset);
    }
    let waits = speaking(connection) || connection.abandoned.is_some();
    if !waits || now < connection.progress.max(identified).plus(STALLED + 2 * view.known.rtt) {
        return None;
    }
    Some(if connection.key_exchange.is_some() { Trouble::Size } else { Trouble::Stall })
}

/// Whether what we said left this machine, and nothing came from the server but SYN/ACKs that offer room for it.
fn is_cut_off(attempt: &Attempt) -> bool {
    let spoke = |what: &What| matches!(what, What::Data { from_client: true, .. });
    let mute = |what: &What| match what {
        What::SynAck(segment) => segment.window > 0,
        What::Syn(_) | What::Ack(_) | What::Icmp(_) => true,
        What::Data { from_client, .. } | What::Fin { from_client, .. } | What::Rst { from_client, .. } => {
            *from_client
        }
        What::Acked(_) => false,
    };
    attempt.timeline.iter().any(|e| spoke(&e.what)) && attempt.timeline.iter().all(|e| mute(&e.what))
}

/// The farthest hop limit that is known not to reach the VM.
fn last(view: &View<'_>) -> u8 {
    let before_target = view.known.path.target.map_or(u8::MAX, |target| target - 1);
    view.known.last_router.min(before_target)
}

/// How long a router's answer, or a reset, may take.
fn settle(view: &View<'_>) -> i64 {
    (2 * view.known.rtt + 60 * MS).clamp(100 * MS, 1_000 * MS)
}

impl Stages {
    /// One at a time, so that it is sure which one draws the reset; then again on a fresh connection.
    fn reset(&mut self, view: &View<'_>, hand: &mut Hand<'_>, now: Timestamp) -> Option<Action> {
        let control = match ready(&mut self.control, view, hand, now) {
            Readiness::Ready(held, _) => held,
            Readiness::NotYet(action) => return action,
            // Harmless bytes, or none, draw a reset too: our identification has no part in it.
            Readiness::Lost => return self.finish(),
        };
        if self.harmless < last(view) {
            self.harmless += 1;
            return send(control, self.harmless, 0, innocuous(), view, hand, now);
        }
        let (subject, since) = match ready(&mut self.subject, view, hand, now) {
            Readiness::Ready(held, since) => (held, since),
            Readiness::NotYet(action) => return action,
            Readiness::Lost if self.asked > 0 && self.drew.is_none() => {
                // Once more, from one hop before: what draws the reset now, and what does not?
                self.drew = Some(self.asked);
                self.asked = self.asked.saturating_sub(2);
                self.subject = None;
                return None;
            }
            Readiness::Lost => return self.finish(),
        };
        if now < since.plus(settle(view)) {
            // A reset by the mere banner comes now, and not behind our identification.
            self.not_before = Some(since.plus(settle(view)));
            return None;
        }
        if self.asked >= self.drew.map_or(u8::MAX, |drew| drew + 1).min(last(view)) {
            return self.finish();
        }
        if !hand.budget.may_spend(self.asked + 1, 1, now) {
            self.not_before = Some(now.plus(POOR));
            return None;
        }
        self.asked += 1;
        self.not_before = Some(now.plus(settle(view)));
        send(subject, self.asked, 0, IDENTIFICATION.into(), view, hand, now)
    }

    /// Hop by hop; then again where the answers end, with harmless bytes right behind on a connection of their own.
    fn stall(&mut self, view: &View<'_>, hand: &mut Hand<'_>, now: Timestamp) -> Option<Action> {
        let cut_off = self.trouble == Some(Trouble::CutOff);
        // Any other connection would be cut off too.
        let subject = if cut_off { traced(view) } else { ready(&mut self.subject, view, hand, now) };
        let subject = match subject {
            Readiness::Ready(held, _) => held,
            Readiness::NotYet(action) => return action,
            Readiness::Lost => return self.finish(),
        };
        if self.asked < last(view) {
            self.asked += 1;
            if self.asked == last(view) {
                self.not_before = Some(now.plus(settle(view)));
            }
            return send(subject, self.asked, 0, self.words(subject, view), view, hand, now);
        }
        let control = if cut_off { traced(view) } else { ready(&mut self.control, view, hand, now) };
        let control = match control {
            Readiness::Ready(held, _) => held,
            Readiness::NotYet(action) => return action,
            Readiness::Lost => return self.finish(),
        };
        if let Some(hop) = self.behind.take() {
            if self.again.is_empty() {
                self.not_before = Some(now.plus(settle(view)));
            }
            return if cut_off {
                hand.syn(view.server.port(), hop, now)
            } else {
                send(control, hop, APART, innocuous(), view, hand, now)
            };
        }
        if self.search.is_some() {
            return self.size(subject, view, hand, now);
        }
        if self.again.is_empty() {
            self.rounds += 1;
            let (reached, beyond) = self.where_it_ends(view);
            if beyond.is_empty() || self.rounds > ROUNDS && self.trouble != Some(Trouble::Size) {
                return self.finish();
            }
            if self.rounds > ROUNDS {
                let (passes, lost) = (innocuous().len() as u32, subject.room(view) as u32);
                self.search = Some(Search::new(beyond, passes, lost, subject.headers(view), now));
                return None;
            }
            self.again =
                (reached > 0).then_some(reached).into_iter().chain(beyond.into_iter().take(HOLES)).collect();
            self.again.reverse();
        }
        let hop = *self.again.last()?;
        if !hand.budget.may_spend(hop, 2, now) {
            self.not_before = Some(now.plus(POOR));
            return None;
        }
        self.again.pop();
        self.behind = Some(hop);
        send(subject, hop, 0, self.words(subject, view), view, hand, now)
    }

    /// What size gets beyond the place where full size does not.
    fn size(
        &mut self,
        subject: Held,
        view: &View<'_>,
        hand: &mut Hand<'_>,
        now: Timestamp,
    ) -> Option<Action> {
        let probes = sent_to(view);
        match self.search.as_mut()?.next(&probes, hand, settle(view), now) {
            Next::Send { len, hop, beside_harmless } => {
                self.behind = beside_harmless.then_some(hop);
                send(subject, hop, 0, vec![b'.'; len as usize], view, hand, now)
            }
            Next::Wait(until) => {
                self.not_before = Some(until);
                None
            }
            Next::Over => self.finish(),
        }
    }

    fn finish(&mut self) -> Option<Action> {
        self.done = true;
        None
    }

    /// What makes the trouble.
    fn words(&self, subject: Held, view: &View<'_>) -> Vec<u8> {
        match self.trouble {
            Some(Trouble::Size) => vec![b'.'; subject.room(view)],
            _ => IDENTIFICATION.into(),
        }
    }

    /// The last hop that answered, 0 if none did, and those that did not, though they answer other probes.
    fn where_it_ends(&self, view: &View<'_>) -> (u8, Vec<u8>) {
        let probes = sent_to(view);
        let sized = self.trouble == Some(Trouble::Size);
        let troubles = |p: &&DataProbe| if sized { p.is_sized() } else { p.identifies };
        let answered = |p: &&DataProbe| p.time_exceeded().is_some();
        let reached = probes.iter().filter(troubles).filter(answered).map(|p| p.hop_limit).max().unwrap_or(0);
        let lives =
            |hop: &u8| view.known.probes.iter().any(|p| p.hop_limit == *hop && p.time_exceeded().is_some());
        (reached, (reached + 1..=last(view)).filter(lives).collect())
    }
}

/// All data that was sent to run out on its way.
fn sent_to(view: &View<'_>) -> Vec<DataProbe> {
    data_probes(view.tracker.attempts().filter(|a| a.server == view.server))
}

/// Bytes that say nothing, as many as our identification has.
fn innocuous() -> Vec<u8> {
    vec![b'.'; IDENTIFICATION.len()]
}

/// Data that runs out at a hop, if that can still afford an error.
fn send(
    held: Held,
    hop: u8,
    offset: u32,
    words: Vec<u8>,
    view: &View<'_>,
    hand: &mut Hand<'_>,
    now: Timestamp,
) -> Option<Action> {
    if !hand.budget.may_spend(hop, 1, now) {
        return None;
    }
    let line = held.line(view)?;
    hand.budget.spend(hop, now);
    Some(Action::SendData(hand.flows.data(&line, offset, hop, words)))
}
