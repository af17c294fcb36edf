//! Another tool's requests: sent with rising hop limits on established connections, one that is blocked and others for
//! comparison, as CenTrace does. Which one is blocked, and from which hop on?
//!
//! Every connection with a request on it is a trial. The request that is blocked is the one that fails at hop limits at
//! which another still comes back as time exceeded; where more than one does, nothing is said.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::silence::most_usual_dropper;
use super::stage::{PROMPT, spare_around, stops};
use super::suspect::INSPECTORS;
use super::{Capture, Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::Asked;
use crate::path::{DataProbe, Place, Reply, ReplyKind, SWEPT, hops_back};
use crate::recording::RecordNumber;

/// Trials that must have been answered before the request counts as blocked.
const ANSWERED: usize = 2;

/// Trials that must have stayed silent, beside others that came back from the same hops.
const SILENT: usize = 3;

/// Trials that must have come back, and none of those for comparison be lost, before silence clears anybody.
const CAME_BACK: usize = 8;

/// Answers with one hop limit left that rule out a sender who copies or draws it at random; trials that came back
/// without one from farther than a hop, so that nobody there answers.
const STEADY: usize = 3;
const PASSED: usize = 2;

/// A request on one connection, with one hop limit; sent again it is the same trial.
struct Trial<'a> {
    request: &'a Asked,
    client: SocketAddr,
    hop: u8,
    record: RecordNumber,
    /// The time exceeded that it drew.
    time_exceeded: Option<&'a Reply>,
    /// What only the end of the connection sends, or whoever acts as that.
    answer: Option<&'a Reply>,
}

impl Trial<'_> {
    fn is_silent(&self) -> bool {
        self.time_exceeded.is_none() && self.answer.is_none()
    }

    /// Ran out on its way, at a router.
    fn ran_out(&self) -> Option<&Reply> {
        self.time_exceeded.filter(|_| self.answer.is_none())
    }

    /// Was answered as servers answer what they take.
    fn is_served(&self) -> bool {
        self.answer.is_some_and(|reply| reply.kind == ReplyKind::Data)
    }

    fn records(&self) -> impl Iterator<Item = RecordNumber> {
        let replies = self.time_exceeded.into_iter().chain(self.answer).map(|reply| reply.record);
        replies.chain([self.record])
    }
}

/// All trials, in order.
fn trials(data: &[DataProbe], target: IpAddr) -> Vec<Trial<'_>> {
    let mut trials: Vec<Trial<'_>> = Vec::new();
    for probe in data {
        let Some(request) = &probe.request else { continue };
        let answer = probe.answer().filter(|reply| reply.at.since(probe.at) < PROMPT);
        let time_exceeded = probe.time_exceeded().filter(|reply| reply.from != target);
        let same =
            |t: &&mut Trial<'_>| t.client == probe.client && t.hop == probe.hop_limit && t.request == request;
        if let Some(trial) = trials.iter_mut().find(same) {
            trial.answer = trial.answer.or(answer);
            trial.time_exceeded = trial.time_exceeded.or(time_exceeded);
        } else {
            let (client, hop, record) = (probe.client, probe.hop_limit, probe.record);
            trials.push(Trial { request, client, hop, record, time_exceeded, answer });
        }
    }
    trials
}

/// The trials of the request that is blocked, and the others.
struct Comparison<'a> {
    subject: Vec<Trial<'a>>,
    controls: Vec<Trial<'a>>,
}

impl<'a> Comparison<'a> {
    /// Where one request alone `fails`.
    fn of(trials: Vec<Trial<'a>>, fails: impl Fn(&[Trial<'a>], &Asked) -> bool) -> Option<Self> {
        let mut requests: Vec<&Asked> = Vec::new();
        for trial in &trials {
            if !requests.contains(&trial.request) {
                requests.push(trial.request);
            }
        }
        requests.retain(|request| fails(&trials, request));
        let &[blocked] = requests.as_slice() else { return None };
        let (subject, controls) = trials.into_iter().partition(|t| t.request == blocked);
        Some(Self { subject, controls })
    }

    /// The request that fails where another comes back from a router; `None` where it is not clear which one does.
    fn on_the_way(data: &'a [DataProbe], target: IpAddr) -> Option<Self> {
        let comparison = Self::of(trials(data, target), |trials, request| {
            let beside = |hop: u8| {
                let there = || trials.iter().filter(move |t| t.hop == hop && t.request != request);
                there().any(|t| t.ran_out().is_some()) && there().all(|t| t.answer.is_none())
            };
            let own = || trials.iter().filter(|t| t.request == request && beside(t.hop));
            own().filter(|t| t.answer.is_some()).count() >= ANSWERED
                || own().filter(|t| t.is_silent()).count() >= SILENT
        })?;
        // What went on all the same shows two ways, or a box that does not always act.
        let goes_on = match comparison.answered().as_slice() {
            [_, (second, _), ..] => comparison.came_back(u8::MAX, RecordNumber(0)).0 >= second.hop,
            _ => false,
        };
        (!goes_on).then_some(comparison)
    }

    /// The request that fails where every other is answered with data.
    fn at_the_end(data: &'a [DataProbe], target: IpAddr) -> Option<Self> {
        Self::of(trials(data, target), |trials, request| {
            let own = || trials.iter().filter(|t| t.request == request);
            let served = |hop: u8| {
                let mut there = trials.iter().filter(|t| t.hop == hop && t.request != request).peekable();
                there.peek().is_some() && there.all(Trial::is_served)
            };
            own().filter(|t| served(t.hop) && !t.is_served() && t.ran_out().is_none()).count() >= ANSWERED
                && own().any(|t| t.ran_out().is_some())
                && !own().any(Trial::is_served)
        })
    }

    /// Those for comparison that came back from a hop; none if any of them was answered there or before it.
    fn beside(&self, hop: u8) -> Vec<&Trial<'a>> {
        if self.controls.iter().any(|t| t.hop <= hop && t.answer.is_some()) {
            return Vec::new();
        }
        self.controls.iter().filter(|t| t.hop == hop && t.ran_out().is_some()).collect()
    }

    /// The trials of the blocked request that something answered, though others came back from there; the smallest hop
    /// limits first.
    fn answered(&self) -> Vec<(&Trial<'a>, &'a Reply)> {
        let mut answered: Vec<_> = self
            .subject
            .iter()
            .filter_map(|t| Some((t, t.answer?)))
            .filter(|(t, _)| !self.beside(t.hop).is_empty())
            .collect();
        answered.sort_by_key(|(t, _)| (t.hop, t.record));
        answered
    }

    /// The farthest hop that the blocked request came back from, and whether it did after `late` too.
    fn came_back(&self, before: u8, late: RecordNumber) -> (u8, bool) {
        let ran_out = || self.subject.iter().filter(|t| t.hop < before && t.ran_out().is_some());
        let farthest = ran_out().map(|t| t.hop).max().unwrap_or(0);
        (farthest, ran_out().any(|t| t.hop == farthest && t.record > late))
    }

    /// The farthest hop that every trial passed which came back from farther away: more than one did, later than the
    /// first answer, nothing was lost, and the answers come with one hop limit left, so that a sender as near as that
    /// would have been heard.
    fn passed_late(&self, before: u8, answered: &[(&Trial<'_>, &Reply)]) -> Option<u8> {
        let lefts: BTreeSet<_> = answered.iter().map(|(_, reply)| reply.hop_limit).collect();
        let first = answered.iter().map(|(t, _)| t.record).min()?;
        let (farthest, late) = self.came_back(before, first);
        let back = self.subject.iter().filter(|t| t.hop == farthest && t.ran_out().is_some()).count();
        let sure =
            lefts.len() == 1 && answered.len() >= STEADY && back >= PASSED && late && self.is_lossless();
        farthest.checked_sub(2).filter(|passed| sure && *passed > 0)
    }

    /// Whether one router alone came back from each hop up to `hop`, whatever was asked for: connections have ports of
    /// their own, and load balancing may send each another way. One hop before it must show it.
    fn one_way_to(&self, hop: u8) -> bool {
        let router = |t: &Trial<'_>| t.time_exceeded.map(|reply| reply.from);
        let at = |trials: &[Trial<'_>], h: u8| -> BTreeSet<IpAddr> {
            trials.iter().filter(|t| t.hop == h).filter_map(router).collect()
        };
        let mut compared = hop <= 2;
        for h in 1..=hop {
            let (own, others) = (at(&self.subject, h), at(&self.controls, h));
            if own.union(&others).count() > 1 {
                return false;
            }
            compared |= h < hop && !own.is_empty() && !others.is_empty();
        }
        compared
    }

    /// Whether nothing for comparison was lost: each came back, or was answered, wherever another did.
    fn is_lossless(&self) -> bool {
        let came_back = |t: &&Trial<'_>| t.ran_out().is_some();
        let lost = |t: &Trial<'_>| {
            t.is_silent() && self.controls.iter().any(|other| other.hop == t.hop && !other.is_silent())
        };
        let all = self.controls.iter().chain(&self.subject);
        all.filter(came_back).count() >= CAME_BACK && !self.controls.iter().any(lost)
    }

    fn words(&self) -> &str {
        self.subject.first().map_or("", |t| &t.request.words)
    }
}

/// The client's end of the connection on which the request that is blocked failed last, if it is clear which one is.
pub fn blocked_connection(data: &[DataProbe], target: IpAddr) -> Option<SocketAddr> {
    let comparison = Comparison::on_the_way(data, target).or_else(|| Comparison::at_the_end(data, target))?;
    let answered = comparison.subject.iter().rfind(|t| t.answer.is_some());
    let silent = || comparison.subject.iter().rfind(|t| t.is_silent());
    answered.or_else(silent).map(|t| t.client)
}

/// How the hop limits of answers tell a sender who copies that of the request: its distance, if they do.
enum Copying {
    /// They stay, or were greater than what the request had left anywhere.
    No,
    /// They may: there are too few.
    Perhaps,
    /// They do, from this hop.
    From(u8),
}

fn copying(answered: &[(&Trial<'_>, &Reply)]) -> Copying {
    let lefts = || answered.iter().filter_map(|(t, r)| Some((t.hop, r.hop_limit?.0)));
    if lefts().all(|(sent, left)| left > sent) {
        return Copying::No;
    }
    let gaps: BTreeSet<u8> = lefts().map(|(sent, left)| sent.saturating_sub(left)).collect();
    let sent: BTreeSet<u8> = lefts().map(|(sent, _)| sent).collect();
    match gaps.first() {
        Some(gap) if gaps.len() == 1 && sent.len() > 1 => Copying::From(gap / 2 + 1),
        _ => Copying::Perhaps,
    }
}

/// `request-answered-before-path-end`
///
/// - **Says.** A request that runs out at hop h was answered with a reset, data or a FIN, where another request comes
///   back from hop h as time exceeded: a box no farther than h tells them apart.
/// - **Needs.** A capture of another tool's requests, sent on established connections with rising hop limits: two
///   trials of one request that were answered, promptly, and none with a greater hop limit that came back; at the same
///   hop limits another request that came back and was answered nowhere before. To clear anybody: one router at each hop, the same for both; no sign of answers from
///   beyond; and for hops before h, at least three answers with one hop limit left, and two trials that came back from
///   farther away, later than the first answer.
/// - **Effect.** Implicates whoever inspects at h or right before it; where answers copy the hop limit of the request,
///   at the hop that the difference tells. Clears everything beyond the second smallest hop limit that was answered.
/// - **Misleads when.** Connections of the blocked request, and of no other, take a shorter way from a router on that
///   shows no difference before it.
/// - **Rests on.** RFC 791 and RFC 8200 (a router does not forward a packet whose hop limit has run out).
pub(super) fn request_answered_before_path_end(scene: &Scene<'_>) -> Option<Evidence> {
    let comparison = comparison(scene)?;
    let answered = comparison.answered();
    let &[(first, answer), (second, _), ..] = answered.as_slice() else { return None };
    let (hop, to) = (first.hop, second.hop.min(SWEPT));
    let control = *comparison.beside(hop).first()?;
    let router = control.time_exceeded?.from;
    let copying = copying(&answered);
    let near = hop.saturating_sub(1).max(1);
    let at = match copying {
        Copying::From(place) if place <= hop => Some(place),
        Copying::No => {
            let back = answer.hop_limit.map_or(0, hops_back);
            Some(if back < hop && back + 1 >= near { back + 1 } else { hop })
        }
        _ => None,
    };
    let mut claims = Vec::new();
    if let Some(at) = at.map(Place) {
        claims.push(Claim::implicates(at, at, scene.likeliest_at(at, INSPECTORS), Strength::Likely));
    }
    let from = if matches!(copying, Copying::No) { near } else { 1 };
    claims.push(Claim::implicates(Place(from), Place(hop), INSPECTORS, Strength::Possible));
    let from_beyond = |(_, r): &(&Trial<'_>, &Reply)| r.hop_limit.is_none_or(|left| hops_back(left) >= to);
    let plain = matches!(copying, Copying::From(_)) || !answered.iter().any(from_beyond);
    if scene.capture == Capture::Whole && plain && comparison.one_way_to(to) {
        claims.push(Claim::clears(Place(to + 1), Place::END, Suspects::all()));
        if let Some(passed) = comparison.passed_late(hop, &answered) {
            claims.push(Claim::clears(Place(1), Place(passed), Suspects::all()));
        }
    }
    let shown = [first, second, control];
    let copy = answered.iter().any(|(t, _)| t.time_exceeded.is_some());
    Some(Evidence {
        rule: "request-answered-before-path-end",
        says: format!(
            "the {}, sent so that it cannot get past hop {hop}, was answered with {}, where the {} came back from hop {hop} ({router}) as time exceeded: a box no farther than that tells them apart{}",
            comparison.words(),
            word(answer.kind),
            control.request.words,
            if copy { ", and works on a copy, as some of them came back beside their answer" } else { "" },
        ),
        packets: shown.into_iter().flat_map(Trial::records).collect(),
        claims,
    })
}

fn word(kind: ReplyKind) -> &'static str {
    match kind {
        ReplyKind::Rst => "a reset",
        ReplyKind::Fin => "the end of the connection",
        _ => "data",
    }
}

/// The comparison that a capture by another program shows.
fn comparison<'a>(scene: &Scene<'a>) -> Option<Comparison<'a>> {
    Comparison::on_the_way(scene.data, scene.target).filter(|_| scene.connection.is_none())
}

/// `request-swallowed`
///
/// - **Says.** A request gets as far as hop h and no farther, where another comes back from beyond it.
/// - **Needs.** A capture of another tool's requests, as for `request-answered-before-path-end`: three trials of one
///   request that stayed silent behind the last hop it came back from, where others did not. To clear anybody: at least
///   eight trials that came back, none of the others lost, and one router at each hop, the same for both; and for the
///   hops before h, a trial that came back later than the first silence.
/// - **Effect.** Implicates whoever inspects between hop h and the next; spares everything before and beyond, but not
///   the hop before h, whose box may have let a request pass at first.
/// - **Misleads when.** Routers ration their answers to one of the requests alone.
/// - **Rests on.** As for `port-stops-where-control-goes-on`.
pub(super) fn request_swallowed(scene: &Scene<'_>) -> Option<Evidence> {
    let comparison = comparison(scene)?;
    if !comparison.answered().is_empty() || scene.capture != Capture::Whole {
        return None;
    }
    let (reached, _) = comparison.came_back(u8::MAX, RecordNumber(0));
    let mut silent: Vec<&Trial<'_>> = comparison
        .subject
        .iter()
        .filter(|t| t.is_silent() && t.hop > reached && !comparison.beside(t.hop).is_empty())
        .collect();
    silent.sort_by_key(|t| (t.hop, t.record));
    let &[first, second, ..] = silent.get(..SILENT)? else { return None };
    let (hop, to) = (first.hop, second.hop);
    let control = *comparison.beside(hop).first()?;
    let (_, late) = comparison.came_back(u8::MAX, silent.iter().map(|t| t.record).min()?);
    let (from, to) = (Place(reached.saturating_sub(1).max(1)), Place(to));
    let suspected = most_usual_dropper(scene, Place(reached.max(1)), Place(hop));
    let mut claims = vec![
        Claim::implicates(suspected, suspected, scene.likeliest_at(suspected, INSPECTORS), Strength::Likely),
        Claim::implicates(from, to, INSPECTORS, Strength::Possible),
    ];
    if comparison.is_lossless() && comparison.one_way_to(to.0) {
        spare_around(&mut claims, if late { from } else { Place(1) }, to);
    }
    let last = comparison.subject.iter().rfind(|t| t.hop == reached && t.ran_out().is_some());
    let shown = [first, second, control].into_iter().chain(last);
    Some(Evidence {
        rule: "request-swallowed",
        says: stops(
            scene,
            &format!("the {}", comparison.words()),
            &format!("the {}", control.request.words),
            reached,
            hop,
        ),
        packets: shown.flat_map(Trial::records).collect(),
        claims,
    })
}

/// `request-passes-every-hop`
///
/// - **Says.** A request gets past every router, and fails where the path ends, where another is answered with data.
/// - **Needs.** A capture of another tool's requests, as for `request-answered-before-path-end`: two trials of one
///   request that were reset, closed or not answered at hop limits at which every other was answered with data, and the
///   answer of the last router before to it.
/// - **Effect.** Implicates who inspects on the VM, less so in Azure behind the last router; clears nobody: a box on the
///   way may wait for more.
/// - **Misleads when.** The server itself answers one of the requests with a reset.
/// - **Rests on.** RFC 792, RFC 4443: the quote ties the answer to the request.
pub(super) fn request_passes_every_hop(scene: &Scene<'_>) -> Option<Evidence> {
    if scene.connection.is_some() || comparison(scene).is_some() {
        return None;
    }
    let comparison = Comparison::at_the_end(scene.data, scene.target)?;
    let served = comparison.controls.iter().filter(|t| t.is_served()).min_by_key(|t| t.hop)?;
    let (last, _) = comparison.came_back(served.hop, RecordNumber(0));
    let passed = comparison.subject.iter().rfind(|t| t.hop == last && t.ran_out().is_some())?;
    let failed = comparison.subject.iter().find(|t| t.hop >= served.hop && t.ran_out().is_none())?;
    if last + 1 != served.hop {
        return None;
    }
    let answer = failed.answer.map_or("nothing", |reply| word(reply.kind));
    let vms = Suspects::of(&[Suspect::VmIds, Suspect::VmFirewall]);
    let azures = Suspects::of(&[Suspect::AzureIds, Suspect::AzureFirewall]);
    Some(Evidence {
        rule: "request-passes-every-hop",
        says: format!(
            "the {} gets to {} unharmed and draws {answer} beyond, where the {} is answered with data",
            comparison.words(),
            scene.between(Place(last), Place(last)),
            served.request.words,
        ),
        packets: [passed, failed, served].into_iter().flat_map(Trial::records).collect(),
        claims: vec![
            Claim::implicates(Place::END, Place::END, vms, Strength::Likely),
            Claim::implicates(Place(last), Place::END, azures, Strength::Possible),
        ],
    })
}

#[cfg(test)]
mod tests;
