//! Nothing answered the SYN: where does it stop? Silence counts only beside a control that did answer, on the
//! same path, at the same time, more than once.

use super::{Assumption, Capture, Claim, Evidence, Scene, Strength, Suspect, Suspects, fragment};
use crate::attempt::Outcome;
use crate::path::{Place, Probe, ReplyKind, SWEPT, Segment, Via};
use crate::recording::RecordNumber;

/// Fewest unanswered SYNs beyond the last hop that answered the port, at hops that answered a TCP control: where no packet
/// was seen to be lost among many, where none among few, and where some were.
const UNANSWERED: usize = 3;
const UNANSWERED_OF_FEW: usize = 4;
const UNANSWERED_WITH_LOSS: usize = 12;

/// Answered controls that are many: loss that leaves them all alone takes three SYNs in a row hardly ever.
const MANY: usize = 12;

/// Fewest controls that must have gone unanswered before all beyond is said to be silent.
const SILENT_CONTROLS: usize = 3;

/// How soon a control must follow a SYN to speak for the same moment, in ns.
const RIGHT_BEHIND: i64 = 60_000_000;

/// Who drops without a word, in each segment.
const DROPPERS: Suspects =
    Suspects::of(&[Suspect::EdgeFirewall, Suspect::TransitFilter, Suspect::AzureNsg, Suspect::VmFirewall]);

/// Controls that prove something of TCP: SYNs to another port.
fn tcp_control(scene: &Scene<'_>, probe: &Probe) -> bool {
    matches!(probe.via, Via::Tcp(port) if port != scene.port)
}

/// The first hop beyond `hop` (or the end of the path) that answered a TCP control, with its answers.
fn control_beyond(scene: &Scene<'_>, hop: u8) -> Option<(u8, Vec<RecordNumber>)> {
    let answers = |p: &&Probe| {
        tcp_control(scene, p)
            && p.hop_limit > hop
            && p.hop_limit < SWEPT
            && p.replies.iter().any(|r| r.exact || r.kind == ReplyKind::Rst)
    };
    let first = scene.probes.iter().filter(answers).map(|p| p.hop_limit).min()?;
    let records: Vec<RecordNumber> =
        scene.probes.iter().filter(answers).flat_map(|p| [p.record, p.replies[0].record]).collect();
    Some((first, records))
}

/// SYNs to the port that should have been answered by a router beyond `hop`: unanswered, though that very router
/// answered a TCP control sent right behind, so that it was not rationing its answers just then.
fn unanswered_beyond(scene: &Scene<'_>, hop: u8) -> Vec<RecordNumber> {
    let answered_right_behind = |syn: &Probe| {
        scene.probes.iter().any(|c| {
            tcp_control(scene, c)
                && c.hop_limit == syn.hop_limit
                && (0..RIGHT_BEHIND).contains(&c.at.since(syn.at))
                && c.time_exceeded().is_some()
        })
    };
    scene
        .port_probes()
        .filter(|p| p.hop_limit > hop && p.replies.is_empty() && answered_right_behind(p))
        .map(|p| p.record)
        .collect()
}

/// `port-stops-where-control-goes-on`
///
/// - **Says.** SYNs to the port get as far as hop h and no farther, while SYNs to another port get beyond it.
/// - **Needs.** Several unanswered SYNs to the port at hops beyond h that answered the TCP control (more of them
///   where packets were seen to get lost), and the control answered more than once.
/// - **Effect.** The SYN is dropped between hop h, after its TTL check, and the next hop that answers the
///   control: spares everything before and beyond; clears nobody, for a firewall may keep what the hops beyond say of
///   the port's SYNs alone.
/// - **Misleads when.** The hops beyond ration their answers and spent them on the control; they are asked again
///   over seconds. Or a box gives the port's packets alone a greater hop limit, so that no hop beyond it answers.
/// - **Rests on.** RFC 1812 section 5.2.7.3; Linux checks the TTL before netfilter FORWARD (net/ipv4/ip_forward.c).
pub(super) fn stops_where_control_goes_on(scene: &Scene<'_>) -> Option<Evidence> {
    if scene.outcome != Outcome::Timeout {
        return None;
    }
    let (reached, mut packets) = scene.reached();
    let (next, control) = control_beyond(scene, reached)?;
    let missing = unanswered_beyond(scene, reached);
    let needed = match scene.is_lossless() {
        true if scene.answered_controls() >= MANY => UNANSWERED,
        true => UNANSWERED_OF_FEW,
        false => UNANSWERED_WITH_LOSS,
    };
    let goes_on = control.len() / 2 >= 2 && scene.same_way_before(reached + 1);
    if missing.len() < needed || !goes_on || scene.capture == Capture::Lossy {
        return None;
    }
    packets.extend(missing.iter().copied().take(8));
    packets.extend(control.into_iter().take(8));
    let (from, to) = (Place(reached.max(1)), scene.place(next));
    let suspected = most_usual_dropper(scene, from, to);
    let mut claims = vec![Claim::implicates(
        suspected,
        suspected,
        scene.likeliest_at(suspected, DROPPERS),
        Strength::Likely,
    )];
    // The port's SYNs may have got farther, and what the hops there said of them, and of them alone, been lost.
    let spares = |from, to| Claim::spares(from, to, Suspects::all(), Assumption::PlainWay);
    if from > Place(1) {
        claims.push(spares(Place(1), Place(from.0 - 1)));
    }
    if to < Place::END {
        claims.push(spares(Place(to.0 + 1), Place::END));
    }
    let says = if reached == 0 {
        format!(
            "no hop answered a SYN to port {}, while {} answered one to another port",
            scene.port,
            scene.between(to, to)
        )
    } else {
        format!(
            "SYNs to port {} get as far as {} and no farther, while SYNs to another port get to {}",
            scene.port,
            scene.between(from, from),
            scene.between(to, to)
        )
    };
    Some(Evidence { rule: "port-stops-where-control-goes-on", says, packets, claims })
}

/// The place of a span whose segment most usually filters SSH.
pub(super) fn most_usual_dropper(scene: &Scene<'_>, from: Place, to: Place) -> Place {
    let rank = |place: &Place| match scene.segment_of(*place) {
        // It lets nothing in but what a rule allows; most edges let everything out.
        Segment::AzureEdge => 0,
        Segment::Edge => 1,
        Segment::Vm => 2,
        Segment::Transit => 3,
        Segment::Client => 4,
    };
    let mut places: Vec<Place> = (from.0..to.0).map(Place).collect();
    places.push(to);
    places
        .into_iter()
        .filter(|p| scene.path.hop(p.0).is_some() || *p == Place::END)
        .min_by_key(rank)
        .unwrap_or(to)
}

/// `every-hop-passes-it`
///
/// - **Says.** Every router that answers at all answers SYNs to the port: they get to the end of the path, and
///   what comes back is lost, or nothing comes back.
/// - **Needs.** The last router seen answering a SYN to the port, or no router before the target at all.
/// - **Effect.** Implicates the VM and what stands right before it, or an edge beyond which no router answers; clears
///   nobody: a filter on the way back leaves every hop answering.
/// - **Misleads when.** The way back is cut, or the routers beyond are silent by themselves: then hops before stand too,
///   as they do here.
/// - **Rests on.** A time-exceeded bears another port and protocol than the SYN/ACK that a filter would drop.
pub(super) fn every_hop_passes_it(scene: &Scene<'_>) -> Option<Evidence> {
    let (reached, packets) = scene.reached();
    let last = last_router(scene);
    let next_door = scene.path.target == Some(1);
    // Some SYNs are answered: that is another story.
    if scene.port_probes().flat_map(|p| &p.replies).any(|r| r.kind == ReplyKind::SynAck) {
        return None;
    }
    if scene.outcome != Outcome::Timeout || reached < last || (reached == 0 && !next_door) {
        return None;
    }
    let end_answers = scene.controls().flat_map(|p| &p.replies).any(|r| r.from == scene.target);
    let end_answers_tcp = scene
        .probes
        .iter()
        .filter(|p| tcp_control(scene, p))
        .flat_map(|p| &p.replies)
        .any(|r| r.from == scene.target && r.kind.is_terminal());
    let at_edge = scene.path.hop(reached).is_some_and(|h| h.segments.likeliest() == Segment::Edge);
    if !end_answers && at_edge && scene.path.target.is_none() {
        return None;
    }
    let routers_hidden = scene.path.target.is_none_or(|target| target > reached + 1);
    if next_door {
        let answers = scene.controls().flat_map(|p| p.replies.iter().map(|r| r.record));
        return Some(Evidence {
            rule: "every-hop-passes-it",
            says: format!("no router lies before {}, and it answers something else", scene.target),
            packets: answers.take(4).collect(),
            claims: vec![Claim::implicates(
                Place::END,
                Place::END,
                Suspects::of(&[Suspect::VmFirewall]),
                Strength::Likely,
            )],
        });
    }
    let (suspects, says) = match (end_answers_tcp, end_answers) {
        _ if !fragment::taken_in(scene).is_empty() => (
            Suspects::of(&[Suspect::VmFirewall]),
            "and the target takes in halves of them: what drops whole ones stands at the very end, or on the way back",
        ),
        _ if at_edge && routers_hidden => (
            Suspects::of(&[Suspect::EdgeFirewall]),
            "though the target answers something else: an edge that hides what lies beyond it usually filters too",
        ),
        (true, _) => (
            Suspects::of(&[Suspect::AzureNsg, Suspect::VmFirewall]),
            "and the target answers another port: what drops the SYN stands at the very end, or on the way back",
        ),
        (false, true) => (
            Suspects::of(&[Suspect::AzureNsg, Suspect::VmFirewall]),
            "and the target answers a ping: what drops the SYN stands at the end, or on the way back",
        ),
        (false, false) => (
            Suspects::of(&[Suspect::AzureNsg, Suspect::VmDown, Suspect::AzurePublicIp]),
            "and nothing answers beyond it",
        ),
    };
    Some(Evidence {
        rule: "every-hop-passes-it",
        says: format!(
            "SYNs to port {} get to {}, the last router that answers at all, {says}",
            scene.port,
            scene.between(Place(reached), Place(reached)),
        ),
        packets,
        claims: vec![Claim::implicates(Place(reached), Place::END, suspects, Strength::Likely)],
    })
}

/// `everything-stops`
///
/// - **Says.** Beyond hop h nothing answers, whatever is sent to the target.
/// - **Needs.** Controls as silent as the port, or few of them, none of which is answered, as in the capture of a tracer.
/// - **Effect.** Implicates the routing after the last hop that answered; with few controls, weakly, who filters there. Clears
///   nobody: what is silent may be silent by design, as the inside of Azure is.
/// - **Misleads when.** An edge lets no time-exceeded back in.
/// - **Rests on.** Silence proves nothing; this rule only ranks.
pub(super) fn everything_stops(scene: &Scene<'_>) -> Option<Evidence> {
    if scene.outcome != Outcome::Timeout || scene.path.target.is_some() {
        return None;
    }
    let (reached, packets) = scene.reached();
    let packets =
        if packets.is_empty() { scene.probes.iter().map(|p| p.record).take(6).collect() } else { packets };
    let last = last_router(scene);
    // Some tracers find the way with something else, and ask the port only at its end.
    let swept = scene.port_probes().any(|p| p.hop_limit <= last);
    if (swept && reached < last) || every_hop_passes_it(scene).is_some() {
        return None;
    }
    let unanswered = |p: &&Probe| p.hop_limit > last && p.replies.is_empty();
    let silent = scene.controls().filter(unanswered).count();
    if silent < SILENT_CONTROLS || (!swept && last > 0) {
        let all = silent + scene.port_probes().filter(unanswered).count();
        let heard_beyond = scene.controls().any(|p| p.hop_limit > last && !p.replies.is_empty());
        let at = Place(last);
        return (!heard_beyond && last > 0 && all >= SILENT_CONTROLS).then(|| Evidence {
            rule: "everything-stops",
            says: format!("nothing beyond {} answers, of the little that was asked", scene.between(at, at)),
            packets,
            claims: vec![Claim::implicates(at, at, scene.likeliest_at(at, DROPPERS), Strength::Possible)],
        });
    }
    let (says, from) = match reached {
        0 => ("nothing on the way answers anything sent to the target".to_owned(), Place(1)),
        _ => (
            format!(
                "nothing beyond {} answers anything sent to the target",
                scene.between(Place(reached), Place(reached))
            ),
            Place(reached),
        ),
    };
    let suspects = match reached {
        0 => Suspects::of(&[Suspect::EdgeFirewall, Suspect::EdgeRoute]),
        _ => Suspects::of(&[Suspect::TransitRoute]),
    };
    Some(Evidence {
        rule: "everything-stops",
        says,
        packets,
        claims: vec![Claim::implicates(from, Place::END, suspects, Strength::Likely)],
    })
}

/// The farthest router that answered anything.
fn last_router(scene: &Scene<'_>) -> u8 {
    scene
        .probes
        .iter()
        .filter(|p| p.hop_limit < SWEPT && p.time_exceeded().is_some())
        .map(|p| p.hop_limit)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
