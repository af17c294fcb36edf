//! A reset that no kernel sends: what a forger's header gives away.
//!
//! Whoever forges a reset writes its header: a hop limit that imitates, follows or hides; fields copied from our SYN;
//! a sum that nobody verified. None of this says by itself where the forger stands, and no forged hop limit clears
//! anybody; that a kernel has no part in it, some of it does.

use std::collections::BTreeSet;

use super::answer::genuine;
use super::distance::ways_are_plain;
use super::suspect::INSPECTORS;
use super::{Assumption, Capture, Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::{Attempt, Outcome, Segment, SynReset, What};
use crate::path::{self, Place, ReplyKind, SWEPT, Via};
use crate::recording::RecordNumber;

/// Fewest different hop limits sent whose resets lost the same number of hops before they count as copies.
const COPIES: usize = 3;

/// Fewest different hop limits that resets came with before they count as drawn at random or counted up.
const VARIETY: usize = 3;

/// Most that the hop limits of one sender's answers differ by where they come back on several ways.
const WAYS_BACK: u8 = 8;

/// Fewest SYNs that drew several resets which are alike before chance is ruled out.
const REPEATED: usize = 2;

/// Fewest SYNs with a wrong checksum that another port must leave unanswered.
const UNVERIFIED: usize = 2;

/// Who works on a copy of what passes.
const LISTENERS: Suspects =
    Suspects::of(&[Suspect::EdgeIds, Suspect::TransitFilter, Suspect::AzureIds, Suspect::VmIds]);

/// Who answers for a closed port: the VM's kernel itself.
const KERNEL: Suspects = Suspects::of(&[Suspect::VmSshdNotRunning, Suspect::VmSshdPort]);

/// Every reset that answered a SYN to the failing port, with its attempt.
fn resets<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (&'a Attempt, SynReset<'a>)> {
    let (port, refused) = (scene.port, scene.outcome == Outcome::Reset);
    scene
        .attempts
        .iter()
        .filter(move |a| refused && a.server.port() == port && !a.has_bad_checksum())
        .flat_map(|a| a.resets_of_syn().map(move |r| (a, r)))
}

/// The records of a reset and its SYN, for some of them.
fn cite<'a>(some: impl IntoIterator<Item = &'a SynReset<'a>>) -> Vec<RecordNumber> {
    some.into_iter().flat_map(|r| [r.syn, r.record]).take(12).collect()
}

/// Forgers up to the farthest place that the answers leave.
fn forgers(scene: &Scene<'_>, strength: Strength) -> Claim {
    Claim::implicates(Place(1), farthest(scene), INSPECTORS, strength)
}

/// The same, and if the resets can't be a kernel's, nor hide one that is, no closed port.
fn no_kernel(scene: &Scene<'_>, all_forged: bool) -> Vec<Claim> {
    let mut claims = vec![forgers(scene, Strength::Likely)];
    claims.extend(no_closed_port(scene).filter(|_| all_forged));
    claims
}

/// Clears what the VM's kernel answers for a closed port. In a capture that lost packets a reset may belong to a SYN that
/// is missing, and says nothing of the one before it.
fn no_closed_port(scene: &Scene<'_>) -> Option<Claim> {
    (scene.capture != Capture::Lossy).then(|| Claim::clears(Place::END, Place::END, KERNEL))
}

/// No farther than this stands whoever answered.
fn farthest(scene: &Scene<'_>) -> Place {
    let trigger = scene.trigger(|r| r.kind == ReplyKind::Rst).filter(|t| t.at_most < SWEPT);
    trigger.map_or(Place::END, |t| scene.place(t.at_most))
}

/// How many hops the hop limit of the resets lost against that of the SYNs that drew them, where it is the same for
/// all.
fn copied<'a>(scene: &Scene<'a>) -> Option<(u8, Vec<SynReset<'a>>)> {
    let alone: Vec<SynReset<'a>> = resets(scene).map(|(_, r)| r).filter(|r| r.drawn_by.is_some()).collect();
    let lost = |r: &SynReset<'_>| r.drawn_by?.checked_sub(r.segment.hop_limit.0);
    let first = lost(alone.first()?)?;
    let sent: BTreeSet<Option<u8>> = alone.iter().map(|r| r.drawn_by).collect();
    (sent.len() >= COPIES && alone.iter().all(|r| lost(r) == Some(first))).then_some((first, alone))
}

/// `reset-copies-hop-limit`
///
/// - **Says.** Whoever reset the SYN copied its hop limit; it stands at hop ⌊(sent − received) / 2⌋ + 1 if the way
///   back is as long as the way there.
/// - **Needs.** Resets of SYNs with at least three different hop limits, each SYN alone on its port; all lost the same
///   number of hops.
/// - **Effect.** Implicates what filters or inspects at that hop, and clears no hop: the way back may be another one. Where
///   every other way back that was seen is as long as the way there, spares the other hops.
///   Clears what the VM's kernel answers for a closed port, unless the capture lost packets: a kernel has a hop limit of its own. Such a reset dies on its way back unless the SYN had about twice the hop limit that reaches the sender, so the least
///   hop limit that draws one says little.
/// - **Misleads when.** The way back is longer or shorter than the way there.
/// - **Rests on.** Raman et al., Network Measurement Methods for Locating and Examining Censorship Devices (CoNEXT
///   2022): devices that copy the TTL of what they answer.
pub(super) fn copies_hop_limit(scene: &Scene<'_>) -> Option<Evidence> {
    let (lost, resets) = copied(scene)?;
    let hop = lost / 2 + 1;
    let place = scene.place(hop);
    let there = scene.likeliest_at(place, INSPECTORS);
    let mut claims = vec![Claim::implicates(place, place, there, Strength::Likely)];
    claims.extend(no_closed_port(scene));
    if ways_are_plain(scene) && scene.capture != Capture::Lossy {
        let spare = |from, to, unless| Claim::spares(from, to, Suspects::all(), unless);
        if place != Place::END {
            claims.push(spare(Place(hop + 1), Place::END, Assumption::PlainWay));
            // A box between two routers copies what the second would.
            let before = Place(hop.saturating_sub(1));
            if before > Place(1) {
                claims.push(spare(Place(1), Place(before.0 - 1), Assumption::PlainWay));
            }
            if before > Place::CLIENT && scene.segment_of(before) != path::Segment::Edge {
                claims.push(spare(before, before, Assumption::PlainWay));
                claims.push(spare(before, before, Assumption::EveryBoxAHop));
            }
        }
    }
    Some(Evidence {
        rule: "reset-copies-hop-limit",
        says: format!(
            "the reset's hop limit is the SYN's, less {lost}, whatever the SYN's is: it was copied, at hop {hop} if the way back is as long"
        ),
        packets: cite(&resets),
        claims,
    })
}

/// Whether what is left of the resets' hop limits says nothing of how far away their sender is: it was copied, or made
/// up.
pub(super) fn hop_limit_is_forged(scene: &Scene<'_>) -> bool {
    let left = || resets(scene).map(|(_, r)| r.segment.hop_limit.0);
    let apart = left().max().unwrap_or(0) - left().min().unwrap_or(0);
    copied(scene).is_some() || apart > WAYS_BACK
}

/// Whether the resets are what a kernel sends for a closed port: with nothing but the acknowledgment of the SYN, one for
/// each, and nothing of the SYN's own in them.
pub(super) fn is_a_closed_ports(scene: &Scene<'_>) -> bool {
    let bare = |r: &SynReset<'_>| r.segment.seq.0 == 0 && r.segment.window == 0 && r.segment.mss.is_none();
    let odd = [echoes_probe, several_resets, acknowledges_isn, beside_time_exceeded, without_checking];
    scene.outcome != Outcome::Reset
        || resets(scene).all(|(_, r)| bare(&r))
            && !hop_limit_is_forged(scene)
            && genuine(scene).is_none()
            && odd.iter().all(|rule| rule(scene).is_none())
}

/// `reset-hop-limit-varies`
///
/// - **Says.** The resets came with hop limits that no one sender's answers have: random ones, or counted up.
/// - **Needs.** At least three different ones, farther apart than several ways back explain, and not copied.
/// - **Effect.** Implicates what forges resets up to where they were drawn; where no hop limit came twice, clears what
///   the VM's kernel answers for a closed port.
/// - **Misleads when.** Several boxes reset the same port.
/// - **Rests on.** RFC 1122 section 3.2.1.7 and Linux (net/ipv4/ip_output.c): a host sends with one initial TTL. Raman
///   et al., CoNEXT 2022, and Khattak et al., FOCI 2013: injectors with random or counted ones.
pub(super) fn hop_limit_varies(scene: &Scene<'_>) -> Option<Evidence> {
    if copied(scene).is_some() {
        return None;
    }
    let mut all: Vec<SynReset<'_>> = resets(scene).map(|(_, r)| r).collect();
    all.sort_by_key(|r| r.record);
    let left: BTreeSet<u8> = all.iter().map(|r| r.segment.hop_limit.0).collect();
    let apart = left.last()? - left.first()?;
    if left.len() < VARIETY || apart <= WAYS_BACK || follows(&all) {
        return None;
    }
    let together = counted_together(&all);
    let how = if together {
        "go up together with their windows: both come from one counter"
    } else {
        "lie apart by more than any way back explains: they were made up"
    };
    Some(Evidence {
        rule: "reset-hop-limit-varies",
        says: format!("{} resets came with {} different hop limits, which {how}", all.len(), left.len()),
        packets: cite(&all),
        claims: no_kernel(scene, left.len() == all.len()),
    })
}

/// Whether hop limits and windows go up in step: each by as much of its own for every reset sent.
fn counted_together(resets: &[SynReset<'_>]) -> bool {
    let step = |w: &[SynReset<'_>]| {
        let [one, next] = w else { return (0, 0) };
        let hop_limit = i32::from(next.segment.hop_limit.0) - i32::from(one.segment.hop_limit.0);
        (hop_limit, i32::from(next.segment.window) - i32::from(one.segment.window))
    };
    // Where either begins anew, the step says nothing.
    let steps: Vec<(i32, i32)> =
        resets.windows(2).map(step).filter(|(ttl, window)| *ttl >= 0 && *window >= 0).collect();
    let [(ttl, window), rest @ ..] = steps.as_slice() else { return false };
    let in_step = |(t, w): &(i32, i32)| *t > 0 && *w > 0 && t * window == w * ttl;
    rest.len() + 1 >= COPIES && *ttl > 0 && *window > 0 && rest.iter().all(in_step)
}

/// Whether the hop limit left is the greater, the greater the one sent: it may have been copied, from too few SYNs to
/// say so.
fn follows(resets: &[SynReset<'_>]) -> bool {
    let mut alone: Vec<(u8, u8)> =
        resets.iter().filter_map(|r| Some((r.drawn_by?, r.segment.hop_limit.0))).collect();
    alone.sort_unstable();
    alone.len() < COPIES || alone.windows(2).all(|w| w[1].0 - w[0].0 == w[1].1.saturating_sub(w[0].1))
}

/// `reset-echoes-probe`
///
/// - **Says.** The resets bear the IP identification, or the window, of the very SYNs that drew them.
/// - **Needs.** At least two different values, each echoed: the probes' are unusual, and all differ.
/// - **Effect.** Implicates what forges resets up to where they were drawn; where all echo, clears what the VM's kernel
///   answers for a closed port.
/// - **Misleads when.** Something beside the kernel's stack owns the VM's address.
/// - **Rests on.** Linux writes a reset anew, with window 0 and an identification of its own (net/ipv4/tcp_ipv4.c,
///   tcp_v4_send_reset; net/ipv4/netfilter/nf_reject_ipv4.c); injectors that turn our packet around do not.
pub(super) fn echoes_probe(scene: &Scene<'_>) -> Option<Evidence> {
    let (mut ids, mut windows) = (BTreeSet::new(), BTreeSet::new());
    let mut all = Vec::new();
    for (attempt, reset) in resets(scene) {
        let entries = attempt.timeline.iter().position(|e| e.record == reset.record).unwrap_or(0);
        let sent = |same: &dyn Fn(&Segment) -> bool| attempt.syns_before(entries).any(|(_, syn)| same(syn));
        let id =
            reset.segment.identification.filter(|id| *id != 0 && sent(&|s| s.identification == Some(*id)));
        let window = Some(reset.segment.window).filter(|w| *w != 0 && sent(&|s| s.window == *w));
        ids.extend(id);
        windows.extend(window);
        all.push((reset, id.is_some(), window.is_some()));
    }
    let (by_id, by_window) = (ids.len() >= 2, windows.len() >= 2);
    let echoes = |(_, id, window): &&(SynReset<'_>, bool, bool)| (by_id && *id) || (by_window && *window);
    let echoing: Vec<SynReset<'_>> = all.iter().filter(echoes).map(|(reset, ..)| *reset).collect();
    let what = match (by_id, by_window) {
        (true, true) => "IP identification and the window",
        (true, false) => "IP identification",
        (false, true) => "window",
        (false, false) => return None,
    };
    Some(Evidence {
        rule: "reset-echoes-probe",
        says: format!("the resets bear the {what} of the SYNs that drew them: they were made of our packets"),
        packets: cite(&echoing),
        claims: no_kernel(scene, echoing.len() == all.len()),
    })
}

/// `several-resets`
///
/// - **Says.** One SYN drew several resets.
/// - **Needs.** A SYN that was sent once, and resets of it that differ in more than their IP identification; or several
///   such SYNs, whose resets may be alike.
/// - **Effect.** Implicates what forges resets up to where they were drawn; clears nobody: a box may have reset what
///   the VM refuses too.
/// - **Misleads when.** Two hosts answer for one address, or the network doubles what comes back.
/// - **Rests on.** RFC 9293 section 3.10.7.1: a closed port answers a segment once. Weaver, Sommer, Paxson, NDSS 2009.
pub(super) fn several_resets(scene: &Scene<'_>) -> Option<Evidence> {
    let found = several(scene);
    let told = |r: &SynReset<'_>| {
        let s = r.segment;
        (s.seq, s.ack, s.flags, s.window, s.hop_limit)
    };
    let differ = found.iter().any(|all| all.windows(2).any(|w| told(&w[0]) != told(&w[1])));
    (differ || found.len() >= REPEATED).then(|| Evidence {
        rule: "several-resets",
        says: "one SYN drew several resets: a host that answers a SYN answers it once".to_owned(),
        packets: cite(found.iter().flatten()),
        claims: vec![forgers(scene, Strength::Likely)],
    })
}

/// The resets of each SYN that was sent once and drew more than one.
fn several<'a>(scene: &Scene<'a>) -> Vec<Vec<SynReset<'a>>> {
    let port = scene.port;
    let sent_once =
        scene.attempts.iter().filter(|a| a.server.port() == port && a.syn == 1 && !a.has_bad_checksum());
    sent_once.map(|a| a.resets_of_syn().collect::<Vec<_>>()).filter(|all| all.len() > 1).collect()
}

/// `reset-without-ack`
///
/// - **Says.** A reset that acknowledges nothing answered the SYN: an anomaly, and proof of nothing.
/// - **Needs.** A reset without ACK before the handshake was done.
/// - **Effect.** Implicates, weakly, what forges resets up to where they were drawn; clears nobody. The client's kernel
///   ignores such a reset: what keeps SSH from opening is something more.
/// - **Misleads when.** An older connection's peer, or anyone who guesses the ports, sent it.
/// - **Rests on.** RFC 9293 section 3.10.7.3: in SYN-SENT a reset counts only if it acknowledges the SYN.
pub(super) fn without_ack(scene: &Scene<'_>) -> Option<Evidence> {
    let fails = !matches!(scene.outcome, Outcome::Open | Outcome::Completed);
    let bare: Vec<SynReset<'_>> = of_port(scene).filter(|r| fails && is_bare(r)).collect();
    let nearest = bare.iter().filter_map(|r| r.drawn_by).filter(|hop| *hop < SWEPT).min();
    let to = nearest.map_or(Place::END, |hop| scene.place(hop));
    (!bare.is_empty()).then(|| Evidence {
        rule: "reset-without-ack",
        says: format!(
            "{} nothing: no client believes that, and no closed port sends it",
            if bare.len() == 1 {
                "a reset acknowledges".to_owned()
            } else {
                format!("{} resets acknowledge", bare.len())
            }
        ),
        packets: cite(&bare),
        claims: vec![Claim::implicates(Place(1), to, INSPECTORS, Strength::Possible)],
    })
}

fn is_bare(reset: &SynReset<'_>) -> bool {
    !reset.segment.flags.has(crate::packet::TcpFlags::ACK)
}

/// Every reset of a SYN to the failing port, whatever the outcome.
fn of_port<'a>(scene: &Scene<'a>) -> impl Iterator<Item = SynReset<'a>> {
    let port = scene.port;
    scene.attempts.iter().filter(move |a| a.server.port() == port).flat_map(Attempt::resets_of_syn)
}

/// `reset-acknowledges-isn`
///
/// - **Says.** The reset acknowledges our initial sequence number, not the one after it.
/// - **Needs.** A reset with ACK whose acknowledgment number is the SYN's own.
/// - **Effect.** Implicates, weakly, what forges resets; clears nobody.
/// - **Misleads when.** A simple stack of a genuine host answers so: the client believes it all the same.
/// - **Rests on.** RFC 9293 section 3.10.7.1: SEG.SEQ + SEG.LEN, and a SYN counts as one.
pub(super) fn acknowledges_isn(scene: &Scene<'_>) -> Option<Evidence> {
    let odd: Vec<SynReset<'_>> =
        resets(scene).filter(|(a, r)| r.acceptable && r.segment.ack == a.isn).map(|(_, r)| r).collect();
    (!odd.is_empty()).then(|| Evidence {
        rule: "reset-acknowledges-isn",
        says: "the reset acknowledges the SYN's own sequence number, where a kernel acknowledges the next"
            .to_owned(),
        packets: cite(&odd),
        claims: vec![forgers(scene, Strength::Possible)],
    })
}

/// `reset-beside-time-exceeded`
///
/// - **Says.** One and the same SYN drew a reset and ran out at hop h: a box up to there answers a copy of it and lets it
///   pass (on-path).
/// - **Needs.** A SYN alone on its port that drew both.
/// - **Effect.** Implicates what listens between the farthest hop whose SYNs drew no reset and hop h; clears nobody.
/// - **Misleads when.** Hop h itself both resets and reports what it drops.
/// - **Rests on.** RFC 791: a router reports a packet that got there. CenTrace (CoNEXT 2022) tells on-path from in-path
///   devices so.
pub(super) fn beside_time_exceeded(scene: &Scene<'_>) -> Option<Evidence> {
    let both: Vec<(SynReset<'_>, RecordNumber)> =
        resets(scene).filter_map(|(_, r)| Some((r, r.drawn_by.and(r.time_exceeded)?))).collect();
    let hop = both.iter().filter_map(|(r, _)| r.drawn_by).min()?;
    let (from, to) = (lower_end(scene, hop), scene.place(hop));
    let packets = both.iter().flat_map(|(r, te)| [r.syn, r.record, *te]).take(12).collect();
    Some(Evidence {
        rule: "reset-beside-time-exceeded",
        says: format!(
            "a SYN that ran out at hop {hop} drew a reset as well: a box at {} answers a copy of it",
            scene.between(from, to)
        ),
        packets,
        claims: vec![Claim::implicates(from, to, LISTENERS, Strength::Likely)],
    })
}

/// `reset-instead-of-time-exceeded`
///
/// - **Says.** SYNs that run out at hop h drew a forged reset and no time exceeded, where a control ran out: the box takes
///   them off the way (in-path).
/// - **Needs.** Two such SYNs, none that drew both, a control that the router at hop h answered, and a sign that the reset
///   is forged.
/// - **Effect.** Implicates what filters between the farthest hop that SYNs passed and hop h; clears nobody.
/// - **Misleads when.** Hop h rations its answers.
/// - **Rests on.** As for `reset-beside-time-exceeded`.
pub(super) fn instead_of_time_exceeded(scene: &Scene<'_>) -> Option<Evidence> {
    let trigger = scene.trigger(|r| r.kind == ReplyKind::Rst).filter(|t| t.at_most < SWEPT)?;
    let forged = [copies_hop_limit, hop_limit_varies, echoes_probe, several_resets, acknowledges_isn];
    if beside_time_exceeded(scene).is_some() || !forged.iter().any(|rule| rule(scene).is_some()) {
        return None;
    }
    let hop = trigger.at_most;
    let of_port = Via::Tcp(scene.port);
    let here = || scene.probes.iter().filter(move |p| p.hop_limit == hop);
    let taken = here().filter(|p| p.via == of_port && p.time_exceeded().is_none()).count();
    let control =
        here().filter(|p| p.via != of_port).find_map(|p| Some([p.record, p.time_exceeded()?.record]))?;
    if taken < 2 || here().any(|p| p.via == of_port && p.time_exceeded().is_some()) {
        return None;
    }
    let (from, to) = (lower_end(scene, hop), scene.place(hop));
    let firewalls = Suspects::of(&[
        Suspect::EdgeFirewall,
        Suspect::TransitFilter,
        Suspect::AzureFirewall,
        Suspect::EdgeIds,
        Suspect::AzureIds,
    ]);
    Some(Evidence {
        rule: "reset-instead-of-time-exceeded",
        says: format!(
            "SYNs that should run out at hop {hop} drew a reset instead: a box at {} takes them off the way",
            scene.between(from, to)
        ),
        packets: [trigger.records, control.to_vec()].concat(),
        claims: vec![Claim::implicates(from, to, firewalls, Strength::Likely)],
    })
}

/// The farthest place before `hop` that SYNs passed without a reset, else the first.
fn lower_end(scene: &Scene<'_>, hop: u8) -> Place {
    let passed = scene
        .port_probes()
        .filter(|p| p.hop_limit < hop && p.time_exceeded().is_some())
        .map(|p| p.hop_limit)
        .max();
    Place(passed.unwrap_or(1).max(1))
}

/// `reset-without-checking`
///
/// - **Says.** A SYN with a wrong checksum was reset: its sender did not verify it, as every kernel does.
/// - **Needs.** Another port of the same host that answered a good SYN and left at least two bad ones unanswered: else some
///   box on the way repairs checksums.
/// - **Effect.** Implicates what forges resets up to where they were drawn; unless SYNs drew several resets, clears what
///   the VM's kernel answers for a closed port.
/// - **Misleads when.** A box repairs the checksums of the failing port alone.
/// - **Rests on.** RFC 9293 section 3.1 (the receiver verifies); net/ipv4/tcp_ipv4.c, tcp_v4_rcv; nmap's `--badsum`.
pub(super) fn without_checking(scene: &Scene<'_>) -> Option<Evidence> {
    if scene.outcome != Outcome::Reset {
        return None;
    }
    let spoilt = || scene.attempts.iter().filter(|a| a.has_bad_checksum());
    let reset = spoilt().filter(|a| a.server.port() == scene.port).find_map(|a| a.resets_of_syn().next())?;
    let answered = |a: &Attempt| {
        let answer = |w: &What| matches!(w, What::SynAck(_) | What::Rst { from_client: false, .. });
        a.timeline.iter().any(|e| answer(&e.what))
    };
    let controls: Vec<&Attempt> = spoilt().filter(|a| a.server.port() != scene.port).collect();
    let good = |port: u16| {
        scene.attempts.iter().any(|a| a.server.port() == port && !a.has_bad_checksum() && answered(a))
    };
    let silent = controls.iter().filter(|a| good(a.server.port()));
    if silent.count() < UNVERIFIED || controls.iter().any(|a| answered(a)) {
        return None;
    }
    let mut packets = vec![reset.syn, reset.record];
    packets.extend(controls.iter().filter_map(|a| a.timeline.first()).map(|e| e.record));
    Some(Evidence {
        rule: "reset-without-checking",
        says: format!(
            "a SYN to port {} with a wrong checksum was reset, while another port of the target stays silent to one",
            scene.port
        ),
        packets,
        claims: no_kernel(
            scene,
            !resets(scene).any(|(a, r)| a.resets_of_syn().any(|o| o.record != r.record)),
        ),
    })
}

#[cfg(test)]
mod tests;
