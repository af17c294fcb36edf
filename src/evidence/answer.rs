//! A reset or an ICMP error answered the SYN: how far away does its sender stand?
//!
//! The answer bears the VM's address whoever forged it. What gives the sender away is the least hop limit that
//! draws the answer: a packet that runs out before the VM cannot have been answered by it.

use super::distance::{origin, own_answer, own_back, routers, spares_elsewhere};
use super::forged::{hop_limit_is_forged, hop_limit_varies, is_a_closed_ports};
use super::sequence::goes_on_behind_reset;
use super::translation::{leads_on, may_lead_on};
use super::{Assumption, Capture, Claim, Evidence, Scene, Strength, Suspect, Suspects, Trigger};
use crate::attempt::{Outcome, What};
use crate::path::{Place, Reply, ReplyKind, SWEPT, hops_back};
use crate::recording::RecordNumber;

/// Fewest answers with one and the same hop limit left that rule out a sender who copies or draws it at random.
const STEADY: usize = 3;

/// Fewest probes that passed a hop without drawing the answer before that hop is taken to let them pass.
pub(super) const PASSED: usize = 2;

/// The answers of the kind that made the outcome.
pub(super) fn refusals(scene: &Scene<'_>) -> Option<Trigger> {
    match scene.outcome {
        Outcome::Reset => scene.trigger(|r| r.kind == ReplyKind::Rst),
        Outcome::Rejected => scene.trigger(|r| matches!(r.kind, ReplyKind::Unreachable { .. })),
        _ => None,
    }
}

fn word(outcome: Outcome) -> &'static str {
    if outcome == Outcome::Reset { "reset" } else { "ICMP error" }
}

/// `reset-before-path-end`, `icmp-before-path-end`
///
/// - **Says.** A SYN that runs out at hop h drew the answer, and routers at h or beyond still answer.
/// - **Needs.** A time-exceeded from hop h or beyond on the same way: the routers before h that answered the
///   control answered the failing port too. The answer came back over fewer than h routers, and not over as many as the
///   end's own answers, or its hop limit was made up. The capture lost no packet: a SYN that got farther and is missing
///   from it may have drawn the answer.
/// - **Effect.** Clears everything beyond hop h, the VM first of all; spares it alone where the hop limits of the answers
///   were made up and say nothing of how far they came.
/// - **Misleads when.** The port takes another, shorter way from a router on that shows no difference before it.
/// - **Rests on.** RFC 9293 section 3.10.7.3; RFC 791 and RFC 8200 (a router does not forward a packet whose hop
///   limit has run out).
pub(super) fn before_path_end(scene: &Scene<'_>) -> Option<Evidence> {
    let trigger = refusals(scene).filter(|t| t.at_most < SWEPT)?;
    let hop = trigger.at_most;
    let unclear = came_from_beyond(&trigger) || came_as_from_the_end(scene, &trigger);
    if scene.capture == Capture::Lossy || (unclear && !hop_limit_is_forged(scene)) {
        return None;
    }
    let router = scene.router_at_or_beyond(hop)?;
    let (beyond, all) = (Place(hop + 1), Suspects::all());
    let claim = if unclear {
        Claim::spares(beyond, Place::END, all, Assumption::PlainWay)
    } else {
        Claim::clears(beyond, Place::END, all)
    };
    let mut packets = trigger.records;
    packets.extend(router);
    let (rule, what) = match scene.outcome {
        Outcome::Reset => ("reset-before-path-end", "a reset"),
        _ => ("icmp-before-path-end", "the ICMP error"),
    };
    Some(Evidence {
        rule,
        says: format!(
            "a SYN that cannot get past hop {hop} drew {what}, and the path goes on beyond hop {hop}: its sender is no farther"
        ),
        packets,
        claims: vec![claim],
    })
}

/// Whether the answers crossed more routers on their way back than there are to the hop that should have sent them:
/// something gave the SYN a greater hop limit on its way, or the way back is another one.
fn came_from_beyond(trigger: &Trigger) -> bool {
    let at_trigger = trigger.replies.iter().filter(|(sent, _)| *sent == trigger.at_most);
    at_trigger.filter_map(|(_, r)| r.hop_limit).any(|left| hops_back(left) >= trigger.at_most)
}

/// Whether the resets crossed as many routers on their way back as the end's own answers: a short way back shows nothing then.
fn came_as_from_the_end(scene: &Scene<'_>, trigger: &Trigger) -> bool {
    let end = own_back(scene, Place::END).filter(|_| scene.outcome == Outcome::Reset);
    let backs = trigger.replies.iter().filter_map(|(_, r)| r.hop_limit).map(hops_back);
    end.is_some_and(|end| backs.clone().next().is_some() && backs.into_iter().all(|back| back == end))
}

/// `syn-passed-hops`
///
/// - **Says.** SYNs to the port ran out at hop h and came back as time exceeded: every hop before h forwards them.
/// - **Needs.** A time-exceeded quoting a SYN to the failing port.
/// - **Effect.** Speaks for whoever stands from hop h to where the answer was drawn; clears nobody: a box that
///   forwards the SYN and answers a copy of it is left to [`never_nearer`].
/// - **Misleads when.** A box lets the first few SYNs pass.
/// - **Rests on.** RFC 792, RFC 4443: the quote ties the answer to our SYN.
pub(super) fn after_hop_reached(scene: &Scene<'_>) -> Option<Evidence> {
    let trigger = refusals(scene)?;
    let (hop, packets) = scene.reached();
    if hop == 0 || hop >= trigger.at_most {
        return None;
    }
    let answer = word(scene.outcome);
    Some(Evidence {
        rule: "syn-passed-hops",
        says: format!(
            "SYNs to port {} that ran out at hop {hop} came back as time exceeded and drew no {answer}",
            scene.port
        ),
        packets,
        claims: (hop..=trigger.at_most.min(SWEPT))
            .map(|hop| scene.place(hop))
            .map(|at| Claim::implicates(at, at, usual_refusers_at(scene, at), Strength::Possible))
            .collect(),
    })
}

/// `no-answer-from-nearer`
///
/// - **Says.** Every hop before h let SYNs to the port pass, and none of them drew the answer.
/// - **Needs.** Time exceeded for SYNs to the port from hop h, more than once, without the answer; at least three
///   answers that came with one and the same hop limit left though drawn by different ones (no copied hop limit), or made
///   up ones, from farther away than those hops' own answers (where nothing was captured, nothing is asked of them); no
///   sign of packet loss, on the way or in the capture; no genuine answer behind the forged one.
/// - **Effect.** Spares the hops before h: one of them may lead the connection elsewhere, or, where hop limits were made up,
///   have sent answers that did not get back. Clears nobody.
/// - **Misleads when.** A box answers a copy of the SYN, and its answers to those SYNs were all lost without any
///   other loss. A box turns the target's answer into a reset, with a hop limit that hides how near it is.
/// - **Rests on.** RFC 791; injectors that answer copies send an answer for every SYN that passes them.
pub(super) fn never_nearer(scene: &Scene<'_>) -> Option<Evidence> {
    let trigger = refusals(scene).filter(|t| t.at_most < SWEPT)?;
    // The kernel tells no more of an answer than that it came.
    let told = scene.capture == Capture::None;
    // What is made of the target's own answer may be made anywhere.
    if scene.place(trigger.at_most) == Place::END && !told && !is_a_closed_ports(scene) {
        return None;
    }
    let steady = scene.outcome != Outcome::Reset || told || steady(&trigger.replies);
    if !steady && hop_limit_varies(scene).is_none() {
        return None;
    }
    let lossless = if told { !scene.loss_seen() } else { scene.is_lossless() };
    if !lossless || genuine(scene).is_some() {
        return None;
    }
    let passed = |hop: u8| -> Vec<RecordNumber> {
        scene
            .port_probes()
            .filter(|p| hop <= p.hop_limit && p.hop_limit < trigger.at_most)
            .filter_map(|p| Some([p.record, p.time_exceeded()?.record]))
            .flatten()
            .collect()
    };
    let reached = scene.reached().0.min(trigger.at_most - 1);
    let leads_on = may_lead_on(scene).unwrap_or(SWEPT);
    // Of two routers at one hop, one may refuse what the other passes on.
    let sender =
        trigger.replies.iter().filter_map(|(_, r)| scene.path.hop_of(r.from)).map(|hop| hop.number).min();
    let suspected = leads_on.min(sender.unwrap_or(SWEPT));
    let cleared_to = (1..reached.min(suspected)).rev().find(|hop| passed(hop + 1).len() / 2 >= PASSED)?;
    if came_from_as_near(scene, &trigger.replies, cleared_to) {
        return None;
    }
    // A hop that passed the SYNs on may lead them elsewhere, or turn what comes back into a reset.
    let unless: &[Assumption] = match (told, steady) {
        (true, _) => &[Assumption::OwnAddress, Assumption::NoForgery, Assumption::PlainWay],
        (false, true) => &[Assumption::OwnAddress, Assumption::NoForgery],
        (false, false) => &[Assumption::PlainWay],
    };
    Some(Evidence {
        rule: "no-answer-from-nearer",
        says: format!(
            "SYNs to port {} that passed {} drew no {} until hop {}",
            scene.port,
            if cleared_to == 1 { "hop 1".to_owned() } else { format!("hops 1 to {cleared_to}") },
            word(scene.outcome),
            trigger.at_most,
        ),
        packets: passed(cleared_to + 1),
        claims: unless
            .iter()
            .map(|unless| Claim::spares(Place(1), Place(cleared_to), Suspects::all(), *unless))
            .collect(),
    })
}

/// Whether the answer came over as many routers as the own answers of one of the hops up to `last`: it may stand for an
/// answer of the target's that was taken away there.
fn came_from_as_near(scene: &Scene<'_>, replies: &[(u8, Reply)], last: u8) -> bool {
    let Some(back) = replies.iter().find_map(|(_, reply)| reply.hop_limit).map(hops_back) else {
        return false;
    };
    (1..=last)
        .filter_map(|hop| own_answer(scene, Place(hop)))
        .any(|(left, _)| scene.outcome == Outcome::Reset && hops_back(left) == back)
}

/// Whether the answers came with one hop limit left, though they were drawn by different ones.
pub(super) fn steady(replies: &[(u8, Reply)]) -> bool {
    let left = |r: &Reply| r.hop_limit;
    let same = replies.windows(2).all(|w| left(&w[0].1) == left(&w[1].1) && left(&w[0].1).is_some());
    let drawn_by_different = replies.iter().any(|(sent, _)| *sent != replies[0].0);
    same && drawn_by_different && replies.len() >= STEADY
}

/// `return-distance`
///
/// - **Says.** The answer came from as far away as one of the places that stand, and not the others; or from farther than
///   every hop, where the target answers nothing else.
/// - **Needs.** The hop limit left of the answer, and of answers that each place certainly sent; resets whose hop limit
///   shows no sign of having been copied or made up; nobody leads the connection elsewhere.
/// - **Effect.** Implicates that place, and where three answers agree spares the others; where the VM agrees, only if the
///   resets are what a closed port sends. Clears nobody.
/// - **Misleads when.** The forger copies, randomises or imitates hop limits, or the way back is another one.
/// - **Rests on.** Operating systems start with 64, 128 or 255.
pub(super) fn return_distance(scene: &Scene<'_>) -> Option<Evidence> {
    let trigger = refusals(scene).filter(|t| t.at_most < SWEPT && !hop_limit_is_forged(scene))?;
    // Another machine answers then, wherever it stands.
    if leads_on(scene).is_some() {
        return None;
    }
    let (_, answer) = trigger.replies.iter().find(|(_, r)| r.hop_limit.is_some())?;
    let back = hops_back(answer.hop_limit?);
    let is_reset = scene.outcome == Outcome::Reset;
    let near = scene.reached().0.min(trigger.at_most).max(1);
    let places = (near..=trigger.at_most).map(|hop| scene.place(hop));
    // The port's way there may be shorter than the controls'.
    let shorter = is_reset && came_from_beyond(&trigger) && is_a_closed_ports(scene);
    let places = places.chain(shorter.then_some(Place::END));
    let (place, record) = origin(scene, back, trigger.at_most, places)?;
    let mut claims = vec![Claim::implicates(place, place, usual_refusers_at(scene, place), Strength::Likely)];
    // What imitates the VM is to be feared where something else is odd already.
    if is_reset && steady(&trigger.replies) && (place != Place::END || is_a_closed_ports(scene)) {
        claims.extend(spares_elsewhere(scene, place, back));
    }
    Some(Evidence {
        rule: "return-distance",
        says: format!(
            "the {} came back over {}, {}",
            word(scene.outcome),
            routers(back),
            match record {
                Some(_) => format!("as do the answers of {}", scene.between(place, place)),
                None => "more than the answers of any hop that was seen".to_owned(),
            },
        ),
        packets: [answer.record].into_iter().chain(record).collect(),
        claims,
    })
}

/// Who usually refuses at a place, in its likeliest segment alone.
pub(super) fn usual_refusers_at(scene: &Scene<'_>, place: Place) -> Suspects {
    scene.likeliest_at(place, usual_refusers(scene))
}

/// Who usually refuses: firewalls everywhere, and on the VM whatever leaves the port closed.
fn usual_refusers(scene: &Scene<'_>) -> Suspects {
    let firewalls =
        [Suspect::EdgeFirewall, Suspect::TransitFilter, Suspect::AzureFirewall, Suspect::VmFirewall];
    let closed = [Suspect::VmSshdNotRunning, Suspect::VmSshdPort];
    let all = firewalls.into_iter();
    if scene.outcome == Outcome::Reset { all.chain(closed).collect() } else { all.collect() }
}

/// A SYN/ACK that came behind a reset of the same SYN.
pub(super) fn genuine(scene: &Scene<'_>) -> Option<[RecordNumber; 2]> {
    scene.attempts.iter().filter(|a| a.server.port() == scene.port).find_map(|attempt| {
        let reset = attempt
            .timeline
            .iter()
            .find(|e| matches!(e.what, What::Rst { from_client: false, acceptable: true, .. }))?;
        let behind =
            attempt.timeline.iter().find(|e| e.record > reset.record && matches!(e.what, What::SynAck(_)))?;
        Some([reset.record, behind.record])
    })
}

/// `refused-by-the-kernel`
///
/// - **Says.** The SYN itself was refused.
/// - **Needs.** A reset or an ICMP error that answers the SYN.
/// - **Effect.** Clears what acts on accepted connections only: sshd that refuses or hangs, another service.
/// - **Misleads when.** Never: they have no part in a SYN that nobody accepted.
/// - **Rests on.** RFC 9293 section 3.10.7: accept(2) comes after the handshake.
pub(super) fn refused_by_the_kernel(scene: &Scene<'_>) -> Option<Evidence> {
    let trigger = refusals(scene)?;
    let (_, reply) = trigger.replies.first()?;
    Some(Evidence {
        rule: "refused-by-the-kernel",
        says: "the SYN itself was refused, before any program could accept the connection".to_owned(),
        packets: vec![reply.record],
        claims: vec![Claim::clears(
            Place::END,
            Place::END,
            Suspects::of(&[Suspect::VmSshdRefuses, Suspect::VmSshdHung, Suspect::VmOtherService]),
        )],
    })
}

/// `genuine-answer-follows`
///
/// - **Says.** A SYN/ACK came behind the reset of the same SYN: somebody listens, and somebody else reset. Or, once the
///   connection was there, the server's side went on with it behind its reset.
/// - **Needs.** Both on one attempt, the SYN/ACK acknowledging the SYN; else, behind the reset, data that had not come before or
///   an acknowledgment of more than before.
/// - **Effect.** Implicates whoever inspects on the way; clears nobody: a proxy before a VM that is at fault may have
///   sent the SYN/ACK.
/// - **Misleads when.** The VM's own intrusion prevention sent the reset: it stands.
/// - **Rests on.** RFC 9293 section 3.10.7.2: a closed port sends no SYN/ACK; section 3.10.7.1: whoever has reset a connection
///   answers what comes on it with resets.
pub(super) fn genuine_answer_follows(scene: &Scene<'_>) -> Option<Evidence> {
    let inspectors = Suspects::of(&[Suspect::EdgeIds, Suspect::TransitFilter, Suspect::AzureIds]);
    let (packets, says, inspectors) = match scene.outcome {
        Outcome::Reset => (
            genuine(scene)?,
            "a SYN/ACK came behind the reset of the same SYN: the reset was injected",
            inspectors.or(Suspects::of(&[Suspect::VmIds])),
        ),
        Outcome::ResetAfterHandshake => (
            goes_on_behind_reset(scene)?,
            "behind the reset the server's side went on with the connection: its kernel had reset nothing, and the reset was injected",
            inspectors,
        ),
        _ => return None,
    };
    Some(Evidence {
        rule: "genuine-answer-follows",
        says: says.to_owned(),
        packets: packets.to_vec(),
        claims: vec![Claim::implicates(Place(1), Place::END, inspectors, Strength::Likely)],
    })
}

#[cfg(test)]
mod tests;
