//! How far away an answer came from, held against the answers that each place certainly sent.
//!
//! A hop limit can be imitated, so a distance never clears anybody: it points to the place that agrees, and spares those
//! that do not, as long as nobody forges.

use super::translation::leads_on;
use super::{Assumption, Claim, Scene, Suspect, Suspects};
use crate::packet::HopLimit;
use crate::path::{Place, Probe, Reply, ReplyKind, Segment, Via, hops_back};
use crate::recording::RecordNumber;

/// What is left of the hop limit of an answer that this place certainly sent.
pub(super) fn own_answer(scene: &Scene<'_>, place: Place) -> Option<(HopLimit, RecordNumber)> {
    // A reset of another port says more of a reset than an echo reply does.
    let rank = |r: &&Reply| (r.kind != ReplyKind::Rst, r.record);
    own_answers(scene, place).min_by_key(rank).and_then(|r| Some((r.hop_limit?, r.record)))
}

/// The answers that this place certainly sent.
fn own_answers<'a>(scene: &Scene<'a>, place: Place) -> impl Iterator<Item = &'a Reply> {
    let (target, port) = (scene.target, Via::Tcp(scene.port));
    let own = move |p: &Probe, r: &Reply| match place {
        Place::END => p.via != port && r.from == target && r.kind.is_terminal(),
        Place(hop) => p.hop_limit == hop && r.kind == ReplyKind::TimeExceeded,
    };
    scene.probes.iter().flat_map(move |p| p.replies.iter().filter(move |r| own(p, r)))
}

/// The one place of those given whose own answers come over `back` routers.
pub(super) fn agreeing(
    scene: &Scene<'_>,
    back: u8,
    places: impl Iterator<Item = Place>,
) -> Option<(Place, RecordNumber)> {
    let own = |place| own_answer(scene, place).map(|(left, record)| (place, hops_back(left), record));
    let mut agree = places.filter_map(own).filter(|(_, b, _)| *b == back);
    let (place, _, record) = agree.next()?;
    agree.all(|(other, ..)| other == place).then_some((place, record))
}

/// Where an answer came from that came over `back` routers, drawn by no hop limit below `at_most`: the one place of those
/// given whose own answers do so too, and a record that shows it; else the end of the path, if it came from beyond them all.
pub(super) fn origin(
    scene: &Scene<'_>,
    back: u8,
    at_most: u8,
    places: impl Iterator<Item = Place>,
) -> Option<(Place, Option<RecordNumber>)> {
    match agreeing(scene, back, places) {
        Some((place, record)) => Some((place, Some(record))),
        None => is_from_beyond(scene, back, at_most).then_some((Place::END, None)),
    }
}

/// A number of routers, in words.
pub(super) fn routers(number: u8) -> String {
    format!("{number} {}", if number == 1 { "router" } else { "routers" })
}

/// Whether an answer that came over `back` routers, drawn by no hop limit below `at_most`, came from beyond every hop that
/// was seen, to a target that answers nothing else.
fn is_from_beyond(scene: &Scene<'_>, back: u8, at_most: u8) -> bool {
    let nearer = |place| match place {
        Place::END => routers_back(scene, place).is_none(),
        _ => routers_back(scene, place).is_some_and(|b| b < back),
    };
    at_most == back.saturating_add(1) && places(scene).all(nearer)
}

/// Spares everybody who would have to forge for an answer to come over `back` routers, `place` being where it seems to
/// come from: at every other place whose own answers come over another number of them, and at the end of the path whoever
/// is not the VM. Where the way back from `place` is not as long as the way there: only for the VM, by its own answers.
///
/// A box that is no hop answers from where the next hop does. Organisations put such boxes behind their routers, so that
/// the edge is not spared right before `place`.
pub(super) fn spares_elsewhere(scene: &Scene<'_>, place: Place, back: u8) -> Vec<Claim> {
    let plain = before(scene, place).is_none_or(|b| b == back);
    // A router's may only seem to be longer: some begin with an odd hop limit. What is nearer cannot seem as far as the VM.
    if !plain && (place != Place::END || own_back(scene, place) != Some(back)) {
        return vec![];
    }
    let all: Vec<Place> = places(scene).collect();
    let right_before = all.windows(2).find(|pair| pair[1] == place).map(|pair| pair[0]);
    let mut claims = Vec::new();
    for other in all.iter().copied().filter(|other| *other != place && differs(scene, *other, back)) {
        let right_before = Some(other) == right_before;
        if right_before && scene.segment_of(other) == Segment::Edge {
            continue;
        }
        let mut spare = |unless| claims.push(Claim::spares(other, other, Suspects::all(), unless));
        spare(Assumption::NoForgery);
        if right_before {
            spare(Assumption::EveryBoxAHop);
        }
        if !plain {
            spare(Assumption::OneWayBack);
        }
        if own_answer(scene, other).is_none() {
            spare(Assumption::PlainWay);
        }
    }
    if place == Place::END && scene.path.target.is_some() {
        claims.extend(spares_strangers(scene));
    }
    claims
}

/// Spares whoever is not a VM that answers at the end of the path: it would have to own the VM's address, or to stand right
/// before the VM without being a hop.
pub(super) fn spares_strangers(scene: &Scene<'_>) -> Option<Claim> {
    let own = leads_on(scene).is_none();
    own.then(|| Claim::spares(Place::END, Place::END, strangers(), Assumption::OwnAddress))
}

/// All but what a VM that answers may suffer from.
pub(crate) fn strangers() -> Suspects {
    let dead = Suspects::of(&[Suspect::VmDown, Suspect::VmRoute]);
    Suspects::all().without(Suspects::in_segment(Segment::Vm)).or(dead)
}

/// Whether every way back that was seen is as long as the way there.
pub(super) fn ways_are_plain(scene: &Scene<'_>) -> bool {
    let plain = |place| {
        own_answer(scene, place).is_none_or(|(left, _)| before(scene, place) == Some(hops_back(left)))
    };
    places(scene).all(plain)
}

/// Every hop of the path, and its end.
pub(super) fn places(scene: &Scene<'_>) -> impl Iterator<Item = Place> {
    scene.path.hops.iter().map(|hop| Place(hop.number)).chain([Place::END])
}

/// Over how many routers the answers of a place come back: as its own do, or, where all ways are plain, as many as lie
/// before it.
fn routers_back(scene: &Scene<'_>, place: Place) -> Option<u8> {
    own_back(scene, place).or_else(|| before(scene, place).filter(|_| ways_are_plain(scene)))
}

/// Over how many routers the own answers of a place come back.
pub(super) fn own_back(scene: &Scene<'_>, place: Place) -> Option<u8> {
    own_answer(scene, place).map(|(left, _)| hops_back(left))
}

/// Whether all answers of a place come back over another number of routers than `back`. The end of the path, where nothing
/// else tells, lies beyond every router that the port's SYNs reached.
fn differs(scene: &Scene<'_>, place: Place, back: u8) -> bool {
    match routers_back(scene, place) {
        Some(of_one) => {
            let mut backs = own_answers(scene, place).filter_map(|r| r.hop_limit).map(hops_back);
            of_one != back && backs.all(|b| b != back)
        }
        None => {
            place == Place::END
                && scene.path.target.is_none()
                && ways_are_plain(scene)
                && scene.reached().0 > back
        }
    }
}

/// How many routers lie before a place.
fn before(scene: &Scene<'_>, place: Place) -> Option<u8> {
    match place {
        Place::END => scene.path.target.map(|target| target.saturating_sub(1)),
        Place(hop) => Some(hop.saturating_sub(1)),
    }
}

#[cfg(test)]
mod tests;
