//! After the banner: our identification, or a full-size segment, makes the connection end. Where on the way?
//!
//! Both are sent again on connections of their own, with a hop limit that cannot reach the VM, beside harmless bytes.

use super::distance::spares_elsewhere;
use super::kept::kept_back;
use super::rejection::rejected_data;
use super::sequence::{goes_on_behind_reset, is_cut_off};
use super::silence::most_usual_dropper;
use super::size::Sizes;
use super::suspect::INSPECTORS;
use super::{Assumption, Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::{Outcome, What};
use crate::path::{DataProbe, Place, Probe, Reply, Segment, hops_back};
use crate::recording::RecordNumber;

/// Connections whose reset must have been drawn before its sender is placed.
const RESETS: usize = 2;

/// How soon a reset comes that our data drew, in ns.
pub(super) const PROMPT: i64 = 1_000_000_000;

/// Fewest times that data must have gone unanswered at one hop, and how many of those beside harmless bytes that
/// were answered.
pub(super) const UNANSWERED: usize = 3;
pub(super) const BESIDE_HARMLESS: usize = 2;

/// How soon harmless bytes must follow to speak for the same moment, in ns.
const RIGHT_BEHIND: i64 = 80_000_000;

/// `identification-reset-before-path-end`
///
/// - **Says.** Our SSH identification, sent so that it runs out at hop h, drew a reset, and the path goes on beyond h.
/// - **Needs.** Two connections that were reset so, promptly; one that carried harmless bytes as far, was opened
///   before and closed after them, and was not; a router at h or beyond on the same way; a reset that came back over
///   fewer than h routers.
/// - **Effect.** Clears everything beyond hop h; implicates whoever inspects at h or right before, and spares those from which
///   the reset would have come over another number of routers.
/// - **Misleads when.** As for `reset-before-path-end`.
/// - **Rests on.** RFC 791 and RFC 8200 (a router does not forward a packet whose hop limit has run out).
pub(super) fn identification_reset_before_path_end(scene: &Scene<'_>) -> Option<Evidence> {
    if scene.outcome != Outcome::ResetAfterHandshake {
        return None;
    }
    let mut resets: Vec<(&DataProbe, &Reply)> = scene
        .data
        .iter()
        .filter(|p| p.identifies)
        .filter_map(|p| Some((p, p.reset()?)))
        .filter(|(p, r)| r.at.since(p.at) < PROMPT)
        .collect();
    resets.sort_by_key(|(p, r)| (p.hop_limit, r.record));
    let &[.., (farthest, reset)] = resets.get(..RESETS)? else { return None };
    let hop = farthest.hop_limit;
    let from_beyond = |(_, r): &(&DataProbe, &Reply)| r.hop_limit.is_none_or(|left| hops_back(left) >= hop);
    let control = untouched(scene, resets.iter().map(|(_, r)| r.record).max()?)?;
    if resets.iter().any(from_beyond) {
        return None;
    }
    let mut packets: Vec<RecordNumber> = resets.iter().flat_map(|(p, r)| [p.record, r.record]).collect();
    packets.extend(control);
    packets.extend(scene.router_at_or_beyond(hop)?);
    let (near, far) = (Place(hop.saturating_sub(1).max(1)), Place(hop));
    let back = reset.hop_limit.map_or(0, hops_back);
    let at = if back < hop && back + 1 >= near.0 { Place(back + 1).min(far) } else { far };
    let mut claims = vec![
        Claim::implicates(at, at, scene.likeliest_at(at, INSPECTORS), Strength::Likely),
        Claim::implicates(near, far, INSPECTORS, Strength::Possible),
        Claim::clears(Place(hop + 1), Place::END, Suspects::all()),
    ];
    if resets.windows(2).all(|w| w[0].1.hop_limit == w[1].1.hop_limit) {
        claims.extend(spares_elsewhere(scene, at, back));
    }
    Some(Evidence {
        rule: "identification-reset-before-path-end",
        says: format!(
            "our SSH identification, sent so that it cannot get past hop {hop}, drew a reset each time, harmless bytes drew none, and the path goes on beyond hop {hop}: its sender is no farther"
        ),
        packets,
        claims,
    })
}

/// `data-reset-copies-hop-limit`
///
/// - **Says.** Whoever reset the connection copied the hop limit of our data; it stands at hop ⌊(sent − received) / 2⌋ + 1, or
///   between that and the hop before, if the way back is as long as the way there.
/// - **Needs.** Resets of data with at least two different hop limits; all lost the same number of hops.
/// - **Effect.** Implicates whoever inspects there; clears nobody.
/// - **Misleads when.** The way back is longer or shorter than the way there.
/// - **Rests on.** As for `reset-copies-hop-limit`.
pub(super) fn data_reset_copies_hop_limit(scene: &Scene<'_>) -> Option<Evidence> {
    let (lost, packets) = copied(scene).filter(|_| scene.outcome == Outcome::ResetAfterHandshake)?;
    let hop = lost / 2 + 1;
    let (from, to) = (Place(hop.saturating_sub(1).max(1)), scene.place(hop));
    Some(Evidence {
        rule: "data-reset-copies-hop-limit",
        says: format!(
            "the reset's hop limit is that of our data, less {lost}, whatever it is: it was copied, at {} if the way back is as long",
            scene.between(from, to)
        ),
        packets,
        claims: vec![
            Claim::implicates(to, to, scene.likeliest_at(to, INSPECTORS), Strength::Likely),
            Claim::implicates(from, to, INSPECTORS, Strength::Possible),
        ],
    })
}

/// How many hops the hop limit of resets lost against that of the data that drew them, where it is the same for different
/// ones.
pub(super) fn copied(scene: &Scene<'_>) -> Option<(u8, Vec<RecordNumber>)> {
    let of_probes = scene.data.iter().filter_map(|p| {
        let reset = p.reset()?;
        Some((p.hop_limit, reset.hop_limit?.0, reset.record))
    });
    let timeline = scene.attempt.map_or(&[][..], |a| &a.timeline);
    let ended = timeline.iter().enumerate().find_map(|(at, e)| match &e.what {
        What::Rst { from_client: false, segment, .. } => Some((at, segment.hop_limit.0, e.record)),
        _ => None,
    });
    let of_the_kernel = ended.and_then(|(at, left, record)| {
        let sent = timeline[..at].iter().rev().find_map(|e| match &e.what {
            What::Data { from_client: true, segment, .. } => Some(segment.hop_limit.0),
            _ => None,
        })?;
        Some((sent, left, record))
    });
    let all: Vec<(u8, u8, RecordNumber)> = of_the_kernel.into_iter().chain(of_probes).collect();
    let &(sent, left, _) = all.first()?;
    let lost = sent.checked_sub(left)?;
    let same = all.iter().all(|(s, l, _)| s.checked_sub(*l) == Some(lost));
    let different = all.iter().any(|(s, ..)| *s != sent);
    (same && different).then(|| (lost, all.iter().map(|(.., record)| *record).collect()))
}

/// Records of a connection that carried harmless bytes and was closed by us after the record `end`, not reset.
fn untouched(scene: &Scene<'_>, end: RecordNumber) -> Option<Vec<RecordNumber>> {
    let first_subject = scene.data.iter().filter(|p| p.identifies).map(|p| p.record).min()?;
    scene.attempts.iter().find_map(|attempt| {
        let mut harmless = scene.data.iter().filter(|p| p.client == attempt.client && p.is_harmless());
        let sent = harmless.find(|p| p.record < first_subject)?;
        let identified = scene.data.iter().any(|p| p.client == attempt.client && !p.is_harmless());
        let closed =
            attempt.timeline.iter().find(|e| matches!(e.what, What::Fin { .. } | What::Rst { .. }))?;
        let by_us = matches!(closed.what, What::Fin { from_client: true, .. });
        (!identified && by_us && closed.record > end).then(|| vec![sent.record, closed.record])
    })
}

/// Where data of a kind stops.
struct Stop {
    /// The farthest hop that answered it to the end; 0 if none did.
    reached: u8,
    /// The nearest hop that it does not get to, though harmless bytes do.
    next: u8,
    packets: Vec<RecordNumber>,
}

/// Where the data that `wanted` picks stops, going by what was sent `beside` something else that was answered.
fn stop(
    scene: &Scene<'_>,
    wanted: fn(&DataProbe) -> bool,
    beside: fn(&Scene<'_>, &DataProbe) -> Option<Vec<RecordNumber>>,
) -> Option<Stop> {
    // Who refuses it with ICMP errors rations them, and is no black hole.
    if !scene.is_lossless() || rejected_data(scene).next().is_some() {
        return None;
    }
    let compared: Vec<(&DataProbe, Vec<RecordNumber>)> =
        scene.data.iter().filter(|p| wanted(p)).filter_map(|p| Some((p, beside(scene, p)?))).collect();
    let unanswered = |hop: u8| {
        let all = scene.data.iter().filter(|p| wanted(p) && p.hop_limit == hop);
        let beside = compared.iter().filter(|(p, _)| p.hop_limit == hop && p.replies.is_empty()).count();
        (all.clone().all(|p| p.replies.is_empty()) && beside >= BESIDE_HARMLESS && all.count() >= UNANSWERED)
            .then_some(hop)
    };
    let next = compared.iter().filter_map(|(p, _)| unanswered(p.hop_limit)).min()?;
    // What came back before may have been what made a box stop all that follows.
    let answered = compared.iter().filter(|(p, _)| p.hop_limit < next && p.time_exceeded().is_some());
    let reached = answered.map(|(p, _)| p.hop_limit).max().unwrap_or(0);
    if !scene.same_way_before(next) {
        return None;
    }
    let shown = compared.iter().filter(|(p, _)| p.hop_limit == next || p.hop_limit == reached);
    let packets = shown
        .flat_map(|(p, beside)| {
            p.replies.iter().map(|r| r.record).chain([p.record]).chain(beside.iter().copied())
        })
        .collect();
    Some(Stop { reached, next, packets })
}

/// The records of harmless bytes that followed a probe to the same hop at once, and of their answers.
fn beside_harmless(scene: &Scene<'_>, probe: &DataProbe) -> Option<Vec<RecordNumber>> {
    let harmless = harmless_behind(scene, probe)?;
    Some(harmless.replies.iter().map(|r| r.record).chain([harmless.record]).collect())
}

/// The same of a SYN to the port.
fn beside_a_syn(scene: &Scene<'_>, probe: &DataProbe) -> Option<Vec<RecordNumber>> {
    let behind =
        |syn: &Probe| syn.hop_limit == probe.hop_limit && (0..RIGHT_BEHIND).contains(&syn.at.since(probe.at));
    scene.port_probes().filter(|s| behind(s)).find_map(|s| Some(vec![s.record, s.time_exceeded()?.record]))
}

/// Harmless bytes that followed a probe to the same hop at once, and were answered there.
pub(super) fn harmless_behind<'a>(scene: &'a Scene<'_>, probe: &DataProbe) -> Option<&'a DataProbe> {
    scene.data.iter().find(|h| {
        h.is_harmless()
            && h.hop_limit == probe.hop_limit
            && (0..RIGHT_BEHIND).contains(&h.at.since(probe.at))
            && h.time_exceeded().is_some()
    })
}

/// How far something gets, in words.
pub(super) fn stops(scene: &Scene<'_>, what: &str, control: &str, reached: u8, next: u8) -> String {
    let place = |hop| scene.between(Place(hop), Place(hop));
    match reached {
        0 => format!("{what} does not get to {}, and {control} beside it does", place(next)),
        _ => format!(
            "{what} gets as far as {} and no farther, and {control} beside it to {}",
            place(reached),
            place(next)
        ),
    }
}

/// Spares everybody before and beyond a span: what the hops beyond it said of the data may have been lost.
pub(super) fn spare_around(claims: &mut Vec<Claim>, from: Place, to: Place) {
    let spares = |from, to| Claim::spares(from, to, Suspects::all(), Assumption::PlainWay);
    if from > Place(1) {
        claims.push(spares(Place(1), Place(from.0 - 1)));
    }
    claims.push(spares(Place(to.0 + 1), Place::END));
}

/// Whoever inspects from hop `reached` to the next that data did not get to, or right before, and nobody elsewhere.
fn inspected_between(scene: &Scene<'_>, reached: u8, next: u8) -> Vec<Claim> {
    let (from, to) = (Place(reached.saturating_sub(1).max(1)), Place(next));
    let suspected = most_usual_dropper(scene, Place(reached.max(1)), to);
    let mut claims = vec![
        Claim::implicates(suspected, suspected, scene.likeliest_at(suspected, INSPECTORS), Strength::Likely),
        Claim::implicates(from, to, INSPECTORS, Strength::Possible),
    ];
    spare_around(&mut claims, from, to);
    claims
}

/// `identification-stops`
///
/// - **Says.** Our SSH identification gets as far as hop h and no farther, while harmless bytes get beyond it.
/// - **Needs.** Three that went unanswered at the next hop, two of them with harmless bytes right behind that were
///   answered there, and the answer of hop h to one sent as late; no sign of loss.
/// - **Effect.** It is dropped between hop h and the next: spares everything before and beyond, but not the hop before
///   h, whose box may have let the first one pass.
/// - **Misleads when.** The hops beyond ration their answers.
/// - **Rests on.** As for `port-stops-where-control-goes-on`.
pub(super) fn identification_stops(scene: &Scene<'_>) -> Option<Evidence> {
    let Stop { reached, next, packets } =
        stop(scene, |p| p.identifies, beside_harmless).filter(|_| scene.outcome == Outcome::Stalled)?;
    Some(Evidence {
        rule: "identification-stops",
        says: stops(scene, "our SSH identification", "harmless bytes", reached, next),
        packets,
        claims: inspected_between(scene, reached, next),
    })
}

/// `connection-stops`
///
/// - **Says.** What we say on the connection gets as far as hop h and no farther, while SYNs to the same port get beyond it.
/// - **Needs.** A connection on which nothing came behind the handshake, not even an acknowledgment; else as for
///   `identification-stops`, with SYNs right behind in place of harmless bytes.
/// - **Effect.** What belongs to the connection is dropped between hop h and the next: spares everything before and beyond,
///   but not the hop before h.
/// - **Misleads when.** As for `identification-stops`.
/// - **Rests on.** As for `port-stops-where-control-goes-on`.
pub(super) fn connection_stops(scene: &Scene<'_>) -> Option<Evidence> {
    let Stop { reached, next, packets } =
        stop(scene, |p| p.identifies, beside_a_syn).filter(|_| is_cut_off(scene))?;
    Some(Evidence {
        rule: "connection-stops",
        says: stops(scene, "what we say on the connection", "a SYN", reached, next),
        packets,
        claims: inspected_between(scene, reached, next),
    })
}

/// Who drops ICMP errors on their way back.
const ERROR_DROPPERS: Suspects = Suspects::of(&[
    Suspect::EdgeFirewall,
    Suspect::EdgeIds,
    Suspect::TransitFilter,
    Suspect::AzureNsg,
    Suspect::AzureFirewall,
    Suspect::AzureIds,
]);

/// `full-size-stops`
///
/// - **Says.** Segments of full size get as far as hop h and no farther, while small ones get beyond it: the link
///   beyond h takes no packets of that size, and nobody says so. And where smaller ones were tried, which get beyond.
/// - **Needs.** As for `identification-stops`; for a size to be the least that is lost, the same again.
/// - **Effect.** Implicates the path MTU between hop h and the next; spares everything beyond, and before it all but filters:
///   one of them may keep from us the error that the router sends.
/// - **Misleads when.** As for `identification-stops`.
/// - **Rests on.** RFC 1191 and RFC 8201; RFC 2923 section 2.1 names such places black holes.
pub(super) fn full_size_stops(scene: &Scene<'_>) -> Option<Evidence> {
    let Stop { reached, next, mut packets } = stop(scene, DataProbe::is_full_size, beside_harmless)
        .filter(|_| scene.outcome == Outcome::Stalled)?;
    let (from, to) = (Place(reached.max(1)), Place(next));
    let len = scene.data.iter().filter(|p| p.is_sized()).map(|p| p.len).max().unwrap_or(0);
    let sizes = Sizes::beyond(scene, next);
    packets.extend(sizes.iter().flat_map(|sizes| &sizes.packets));
    let found = sizes.map_or_else(String::new, |sizes| format!("; {}", sizes.says()));
    let mut claims = vec![
        Claim::implicates(from, to, Suspects::of(&[Suspect::TransitMtu]), Strength::Likely),
        Claim::implicates(Place(1), to, ERROR_DROPPERS, Strength::Possible),
        Claim::spares(Place(to.0 + 1), Place::END, Suspects::all(), Assumption::PlainWay),
    ];
    if from > Place(1) {
        let others = Suspects::all().without(ERROR_DROPPERS);
        claims.push(Claim::spares(Place(1), Place(from.0 - 1), others, Assumption::PlainWay));
    }
    Some(Evidence {
        rule: "full-size-stops",
        says: stops(scene, &format!("a segment with {len} bytes"), "a short one", reached, next)
            + ": an MTU black hole"
            + &found,
        packets,
        claims,
    })
}

/// `passes-every-hop`
///
/// - **Says.** What makes the connection end got past every router that answers, and nothing happened.
/// - **Needs.** The answer of the last router seen to our identification (or to a full-size segment), sent with a hop
///   limit that ends there, and no reset or ICMP error that refuses it; where the connection was reset, nothing of it behind.
/// - **Effect.** Implicates what lies at the end of the path; clears nobody: a box may wait for more, or for the
///   server's answer.
/// - **Misleads when.** A box on the way looks at what comes back.
/// - **Rests on.** RFC 792, RFC 4443: the quote ties the answer to our packet.
pub(super) fn passes_every_hop(scene: &Scene<'_>) -> Option<Evidence> {
    let sized = scene.data.iter().any(DataProbe::is_sized);
    let subject = |p: &&DataProbe| if sized { p.is_full_size() } else { p.identifies };
    let last = scene.path.hops.iter().rev().find(|h| h.address.is_some())?.number;
    let answered = scene.data.iter().filter(subject).rfind(|p| p.hop_limit == last)?;
    let reply = answered.time_exceeded()?;
    if scene.data.iter().any(|p| p.reset().is_some()) || rejected_data(scene).next().is_some() {
        return None;
    }
    let (what, suspects) = match scene.outcome {
        // It was injected, and by what looks for something else.
        Outcome::ResetAfterHandshake if goes_on_behind_reset(scene).is_some() => return None,
        Outcome::ResetAfterHandshake => (
            "our SSH identification",
            Suspects::of(&[Suspect::VmIds, Suspect::VmSshdRefuses, Suspect::AzureIds]),
        ),
        Outcome::Stalled if sized => ("a segment of full size", Suspects::of(&[Suspect::VmSshdHung])),
        Outcome::Stalled if scene.closed_behind_banner() => {
            ("our SSH identification", Suspects::of(&[Suspect::VmSshdRefuses, Suspect::VmOtherService]))
        }
        Outcome::Stalled => ("our SSH identification", Suspects::of(&[Suspect::VmSshdHung, Suspect::VmIds])),
        _ => return None,
    };
    // The kernel's own may not have left.
    let strength = if kept_back(scene).is_some() { Strength::Possible } else { Strength::Likely };
    Some(Evidence {
        rule: "passes-every-hop",
        says: format!(
            "{what} gets to {}, the last router that answers at all, unharmed",
            scene.between(Place(last), Place(last))
        ),
        packets: vec![answered.record, reply.record],
        claims: vec![Claim::implicates(Place(last), Place::END, suspects, strength)],
    })
}

/// `packet-too-big`
///
/// - **Says.** A router says what size its next link takes.
/// - **Needs.** ICMP fragmentation needed or packet too big about data of ours.
/// - **Effect.** Implicates the path MTU from there on, and the client's inbound firewall where its kernel went on with larger
///   packets; clears nobody: whoever stalls the connection in spite of it may be
///   anywhere.
/// - **Misleads when.** The error is forged.
/// - **Rests on.** RFC 1191 section 4, RFC 8201.
pub(super) fn packet_too_big(scene: &Scene<'_>) -> Option<Evidence> {
    if scene.outcome != Outcome::Stalled {
        return None;
    }
    let (mtu, from, record) =
        scene.attempts.iter().flat_map(|a| &a.timeline).find_map(|e| match &e.what {
            What::Icmp(seen) => Some((seen.mtu?, seen.from, e.record)),
            _ => None,
        })?;
    let at = scene.path.hop_of(from).map_or(Place(1), |hop| Place(hop.number));
    let mut claims = vec![Claim::implicates(at, Place::END, mtu_suspects(scene, at), Strength::Likely)];
    let mut says = format!("{from} says that its next link takes packets of {mtu} bytes at most");
    if went_on(scene, record, mtu) {
        says += ", and this machine's kernel went on with larger ones";
        let firewall = Suspects::of(&[Suspect::ClientFirewallIn]);
        claims.push(Claim::implicates(Place::CLIENT, Place::CLIENT, firewall, Strength::Likely));
    }
    Some(Evidence { rule: "packet-too-big", says, packets: vec![record], claims })
}

/// Whether the kernel itself sent more data than fits twice after it had been told the size.
fn went_on(scene: &Scene<'_>, told: RecordNumber, mtu: u32) -> bool {
    /// Bytes of the headers before the data, at least.
    const HEADERS: u32 = 40;
    let larger = |what: &What| matches!(what, What::Data { from_client: true, segment, len, .. } if !segment.is_probe() && len + HEADERS > mtu);
    let timeline = scene.attempt.iter().flat_map(|a| &a.timeline);
    let concerned = scene.attempt.is_some_and(|a| a.timeline.iter().any(|e| e.record == told));
    concerned && timeline.filter(|e| e.record > told && larger(&e.what)).count() >= 2
}

/// Who keeps too large packets going, by the segment of the router that complains.
fn mtu_suspects(scene: &Scene<'_>, at: Place) -> Suspects {
    match scene.segment_of(at) {
        Segment::Edge => Suspects::of(&[Suspect::EdgeFirewall, Suspect::TransitMtu]),
        _ => Suspects::of(&[Suspect::TransitMtu]),
    }
}

#[cfg(test)]
pub(super) mod tests;
