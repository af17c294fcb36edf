//! Elimination: who still stands, who is cleared, and the step that would split the rest.
//!
//! Plain set logic over cited evidence: a suspect at a place stands unless a piece of evidence clears it there, or spares
//! it under an assumption that the verdict then names. No weights, no scores.

mod next;
#[cfg(test)]
mod tests;
mod usual;

use std::cmp::Reverse;
use std::net::IpAddr;

pub use next::NextStep;

use crate::attempt::Outcome;
use crate::evidence::{Assumption, Claim, Effect, Evidence, Strength, Suspect};
use crate::path::{Path, Place, Segment};

/// The verdict.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The one segment that all of `standing` lies in.
    pub segment: Option<Segment>,
    /// The most suspected first; never empty unless SSH is open.
    pub standing: Vec<Standing>,
    /// Those who could have done it only if an assumption is false.
    pub assuming: Vec<Assumed>,
    /// Those who could not have done it.
    pub cleared: Vec<Cleared>,
    /// What to do next: the step that splits best comes first.
    pub next: Vec<NextStep>,
}

/// A suspect that stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Who.
    pub suspect: Suspect,
    /// Likeliest hop; `None` for the client and for what has no hop of its own.
    pub hop: Option<u8>,
    /// Every hop it may be at.
    pub hops: Vec<u8>,
    /// Address of the likeliest hop.
    pub address: Option<IpAddr>,
    /// How strongly.
    pub strength: Strength,
    /// Indices into the evidence.
    pub because: Vec<usize>,
}

/// An assumption, and whom it spares.
#[derive(Clone, Debug)]
pub struct Assumed {
    /// What is assumed.
    pub assumption: Assumption,
    /// Who stands if it is false.
    pub suspects: Vec<Suspect>,
    /// Indices into the evidence.
    pub because: Vec<usize>,
}

/// A suspect that is cleared.
#[derive(Clone, Debug)]
pub struct Cleared {
    /// Who.
    pub suspect: Suspect,
    /// Indices into the evidence.
    pub because: Vec<usize>,
}

/// What a verdict is about.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Case<'a> {
    /// The outcome of the attempt.
    pub outcome: Outcome,
    /// The path.
    pub path: &'a Path,
    /// The address diagnosed.
    pub target: IpAddr,
    /// The failing port.
    pub port: u16,
    /// The target was given by name.
    pub named: bool,
    /// The client may be contained in a host that is the first hop.
    pub contained: bool,
    /// Somebody intercepts the connection, and yet an SSH server answers through it.
    pub works: bool,
    /// The target is this machine itself: nothing lies between.
    pub local: bool,
    /// Whether halves of SYNs were tried already (`--deep`).
    pub deep: bool,
}

/// A suspect at a place, and what the evidence says of it there.
struct Candidate {
    suspect: Suspect,
    place: Place,
    strength: Strength,
    implicated_by: Vec<usize>,
    /// How much of it points to this place.
    pointed_at: usize,
    cleared_by: Option<usize>,
    /// The assumptions that spare it, and the evidence for that.
    spared_by: Vec<(Assumption, usize)>,
}

impl Candidate {
    /// Whether nothing but an assumption speaks for it; what points to the place itself is more than that.
    fn is_spared(&self) -> bool {
        self.cleared_by.is_none() && !self.spared_by.is_empty() && self.pointed_at == 0
    }
}

/// Eliminates suspects by the evidence.
pub fn eliminate(case: &Case<'_>, evidence: &[Evidence]) -> Verdict {
    if matches!(case.outcome, Outcome::Open | Outcome::Completed) {
        return Verdict::default();
    }
    let mut candidates: Vec<Candidate> =
        suspects(case).into_iter().map(|(suspect, place)| judge(suspect, place, evidence)).collect();
    // An assumption helps to tell apart those whom the evidence speaks against; it never accuses by itself.
    let points_to = |c: &Candidate| c.cleared_by.is_none() && !c.implicated_by.is_empty() && !c.is_spared();
    if !candidates.iter().any(points_to) {
        for candidate in &mut candidates {
            candidate.spared_by.clear();
        }
    }
    let mut verdict = Verdict::default();
    let (mut not_needed, mut unlikely) = (Vec::new(), Vec::new());
    for &suspect in Suspect::ALL {
        let places: Vec<&Candidate> = candidates.iter().filter(|c| c.suspect == suspect).collect();
        let (spared, standing): (Vec<&Candidate>, Vec<&Candidate>) =
            places.iter().copied().filter(|c| c.cleared_by.is_none()).partition(|c| c.is_spared());
        if let Some(best) =
            standing.iter().min_by_key(|c| (Reverse(c.strength), Reverse(c.pointed_at), nearness(case, c)))
        {
            verdict.standing.push(stands(case, best, &standing, evidence));
            unlikely.extend(Some(suspect).filter(|_| nearness(case, best).0));
        } else if !spared.is_empty() {
            not_needed.extend(spared);
        } else if !places.is_empty() {
            let mut because: Vec<usize> = places.iter().filter_map(|c| c.cleared_by).collect();
            because.sort_unstable();
            because.dedup();
            verdict.cleared.push(Cleared { suspect, because });
        }
    }
    verdict.assuming = assumed(&not_needed);
    verdict.standing.sort_by_key(|s| {
        let support = s.because.iter().filter(|e| speaks_for(&evidence[**e], s.suspect)).count();
        let unlikely = unlikely.contains(&s.suspect);
        (Reverse(s.strength), Reverse(support), unlikely, usual::rank(case.outcome, s.suspect))
    });
    verdict.segment = common_segment(&verdict.standing);
    if let (Some(_), Some(first)) = (verdict.segment, verdict.standing.first_mut()) {
        first.strength = first.strength.max(Strength::Likely);
    }
    verdict.next = next::steps(case, &verdict);
    verdict
}

/// Every assumption that spares somebody, with all whom it spares at some place, and the evidence for that.
fn assumed(spared: &[&Candidate]) -> Vec<Assumed> {
    let by = |assumption: Assumption| {
        let all = spared.iter().flat_map(|c| c.spared_by.iter().map(|(by, e)| (c.suspect, *by, *e)));
        let of_it = all.filter(|(_, by, _)| *by == assumption).map(|(suspect, _, e)| (suspect, e));
        let (mut suspects, mut because): (Vec<Suspect>, Vec<usize>) = of_it.unzip();
        suspects.sort_unstable();
        suspects.dedup();
        because.sort_unstable();
        because.dedup();
        Assumed { assumption, suspects, because }
    };
    Assumption::ALL.iter().copied().map(by).filter(|a| !a.suspects.is_empty()).collect()
}

/// Every suspect at every place where it might be.
fn suspects(case: &Case<'_>) -> Vec<(Suspect, Place)> {
    let mut all = Vec::new();
    // No path MTU is too small for a SYN.
    let established = case.outcome >= Outcome::ResetAfterHandshake || case.outcome == Outcome::Intercepted;
    let fits = |s: Suspect| s != Suspect::TransitMtu || established;
    let mut add = |place: Place, wanted: &dyn Fn(Suspect) -> bool| {
        all.extend(Suspect::ALL.iter().copied().filter(|s| wanted(*s) && fits(*s)).map(|s| (s, place)));
    };
    // The user's ssh configuration has no part in connections that this tool makes itself.
    let local = |s: Suspect| {
        s.segment() == Segment::Client && !matches!(s, Suspect::ClientSshConfig | Suspect::ClientName)
    };
    add(Place::CLIENT, &local);
    for hop in &case.path.hops {
        add(Place(hop.number), &|s| {
            let there = hop.segments.contains(s.segment());
            there && s != Suspect::AzurePublicIp && (s.segment() != Segment::Client || local(s))
        });
    }
    // The host's own switch filters without being a hop: Azure's suspects stand at the VM's place too.
    add(Place::END, &|s| {
        if case.local {
            return s.segment() == Segment::Vm && s != Suspect::VmDown;
        }
        matches!(s.segment(), Segment::AzureEdge | Segment::Vm)
            || case.path.beyond.is_some_and(|b| b.contains(s.segment()) && s.segment() != Segment::Client)
    });
    if case.named {
        add(Place::END, &|s| s == Suspect::ClientName);
    }
    all
}

/// Where a suspect most likely stands, if it may stand at several places: where its segment is the likeliest one,
/// and near the border that it guards.
fn nearness(case: &Case<'_>, candidate: &Candidate) -> (bool, u8) {
    let segment = candidate.suspect.segment();
    let likeliest = match case.path.hop(candidate.place.0) {
        Some(hop) => hop.segments.likeliest() == segment,
        None => candidate.place == Place::CLIENT || segment >= Segment::AzureEdge,
    };
    let place = candidate.place.0;
    (!likeliest, if segment >= Segment::AzureEdge { u8::MAX - place } else { place })
}

fn judge(suspect: Suspect, place: Place, evidence: &[Evidence]) -> Candidate {
    let mut candidate = Candidate {
        suspect,
        place,
        strength: Strength::Possible,
        implicated_by: vec![],
        pointed_at: 0,
        cleared_by: None,
        spared_by: vec![],
    };
    for (index, evidence) in evidence.iter().enumerate() {
        for claim in evidence.claims.iter().filter(|c| c.covers(suspect, place)) {
            match claim.effect {
                Effect::Clears => candidate.cleared_by = candidate.cleared_by.or(Some(index)),
                Effect::Spares(unless) => candidate.spared_by.push((unless, index)),
                Effect::Implicates(strength) => {
                    candidate.strength = candidate.strength.max(strength);
                    candidate.pointed_at +=
                        usize::from(claim.from == claim.to && strength > Strength::Possible);
                    candidate.implicated_by.push(index);
                }
            }
        }
    }
    candidate
}

/// A suspect stands at its best place; where nothing speaks for it, what limits the places to it is cited.
fn stands(case: &Case<'_>, best: &Candidate, all: &[&Candidate], evidence: &[Evidence]) -> Standing {
    let because = if best.implicated_by.is_empty() {
        let limits = |e: &Evidence| e.claims.iter().any(|c| c.effect == Effect::Clears);
        evidence.iter().enumerate().filter(|(_, e)| limits(e)).map(|(i, _)| i).collect()
    } else {
        let mut because = best.implicated_by.clone();
        because.dedup();
        because
    };
    let hop_number = |place: Place| match place {
        Place::CLIENT => None,
        Place::END => case.path.target.filter(|_| best.suspect.segment() == Segment::Vm),
        Place(hop) => Some(hop),
    };
    let hop = hop_number(best.place);
    Standing {
        suspect: best.suspect,
        hop,
        hops: all.iter().filter_map(|c| hop_number(c.place)).collect(),
        address: match best.place {
            Place::END if best.suspect.segment() == Segment::Vm => Some(case.target),
            _ => hop.and_then(|h| case.path.hop(h)).and_then(|h| h.address),
        },
        strength: best.strength,
        because,
    }
}

/// Whether a piece of evidence speaks for a suspect.
fn speaks_for(evidence: &Evidence, suspect: Suspect) -> bool {
    let implicates = |c: &Claim| matches!(c.effect, Effect::Implicates(_)) && c.suspects.contains(suspect);
    evidence.claims.iter().any(implicates)
}

fn common_segment(standing: &[Standing]) -> Option<Segment> {
    let segment = standing.first()?.suspect.segment();
    standing.iter().all(|s| s.suspect.segment() == segment).then_some(segment)
}
