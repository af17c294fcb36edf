//! Halves of SYNs: whoever waits for the rest of one, and says so, received it.

use super::{Assumption, Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::Outcome;
use crate::path::{Place, Probe, Reply, ReplyKind, Segment, Via};
use crate::recording::RecordNumber;

/// The halves of SYNs to the failing port that the owner of the target's address gave up.
pub(super) fn taken_in<'a>(scene: &Scene<'a>) -> Vec<(&'a Probe, &'a Reply)> {
    given_up(scene, |port| port == scene.port)
}

fn given_up<'a>(scene: &Scene<'a>, wanted: impl Fn(u16) -> bool) -> Vec<(&'a Probe, &'a Reply)> {
    let half = |p: &&Probe| matches!(p.via, Via::HalfSyn(port) if wanted(port));
    let by_target = |r: &&Reply| r.kind == ReplyKind::ReassemblyTimeExceeded && r.from == scene.target;
    let halves = scene.probes.iter().filter(half);
    halves.filter_map(|p| Some((p, p.replies.iter().find(by_target)?))).collect()
}

fn records(given_up: &[(&Probe, &Reply)]) -> Vec<RecordNumber> {
    given_up.iter().flat_map(|(p, r)| [p.record, r.record]).collect()
}

/// `half-syn-taken-in`
///
/// - **Says.** The VM's address sent an ICMP error about half of a SYN to the port: it had received it, waited for the
///   rest, and gave up.
/// - **Needs.** ICMP time exceeded code 1 (fragment reassembly) from the target that quotes our fragment, and a port that
///   is silent to whole SYNs, from whatever source port.
/// - **Effect.** Implicates the VM, whose own filter drops what came this far; clears nobody.
/// - **Misleads when.** Another box owns the address (DNAT, an endpoint, a load balancer), a filter before it looks at
///   whole SYNs alone, or the answers get lost on the way back.
/// - **Rests on.** RFC 1122 section 3.3.2, RFC 8200 section 4.5; Linux reassembles before netfilter INPUT
///   (net/ipv4/ip_input.c, ip_local_deliver), and sends the error after 30 s (net/ipv4/ip_fragment.c, ip_expire), IPv6
///   after 60 s (net/ipv6/reassembly.c).
pub(super) fn half_syn_taken_in(scene: &Scene<'_>) -> Option<Evidence> {
    let answers_some = scene.port_probes().flat_map(|p| &p.replies).any(|r| r.kind == ReplyKind::SynAck);
    if scene.outcome != Outcome::Timeout || answers_some {
        return None;
    }
    let given_up = taken_in(scene);
    let (probe, reply) = given_up.first()?;
    let seconds = reply.at.since(probe.at) / 1_000_000_000;
    let who = Suspects::of(&[Suspect::VmFirewall, Suspect::VmIds]);
    Some(Evidence {
        rule: "half-syn-taken-in",
        says: format!(
            "{} received half of a SYN to port {} and gave up waiting for the rest after {seconds} s: such SYNs get there",
            scene.target, scene.port
        ),
        packets: records(&given_up),
        claims: vec![Claim::implicates(Place::END, Place::END, who, Strength::Likely)],
    })
}

/// `half-syn-stopped`
///
/// - **Says.** The VM's address received halves of SYNs to another port, and none of those to the failing port.
/// - **Needs.** ICMP time exceeded code 1 from the target for the other port, more than once; several halves of SYNs to
///   the failing port of which none drew it.
/// - **Effect.** Implicates filters from the last hop that answered the port to the VM, and, if nothing was lost, spares the
///   VM and the hops that whole SYNs passed: they are stopped on their way out. Clears nobody. Over IPv6 the VM's own filter
///   sees fragments before they are reassembled, so that this says less and spares nobody.
/// - **Misleads when.** The errors about the failing port were lost or rationed, or the two ports are not one machine's.
/// - **Rests on.** As for [`half_syn_taken_in`]; Linux sends a burst of 6 errors to one destination.
pub(super) fn half_syn_stopped(scene: &Scene<'_>) -> Option<Evidence> {
    let control = given_up(scene, |port| port != scene.port);
    let halves = || scene.probes.iter().filter(|p| p.via == Via::HalfSyn(scene.port));
    let silent = halves().all(|p| p.replies.is_empty()) && halves().count() >= HALVES;
    if scene.outcome != Outcome::Timeout || !silent || control.len() < CONTROLS {
        return None;
    }
    let filters = [Suspect::EdgeFirewall, Suspect::TransitFilter, Suspect::AzureNsg];
    let strength = if scene.target.is_ipv4() { Strength::Likely } else { Strength::Possible };
    let (reached, _) = scene.reached();
    let mut packets = records(&control);
    packets.extend(halves().map(|p| p.record));
    let (end, last) = (Place::END, Place(reached.max(1)));
    let mut claims = vec![Claim::implicates(last, end, Suspects::of(&filters), strength)];
    if scene.target.is_ipv4() && scene.is_lossless() {
        let spare = |from, to, whom| Claim::spares(from, to, whom, Assumption::HalvesAlike);
        claims.push(spare(end, end, Suspects::in_segment(Segment::Vm)));
        if last > Place(1) {
            claims.push(spare(Place(1), Place(last.0 - 1), Suspects::all()));
        }
    }
    Some(Evidence {
        rule: "half-syn-stopped",
        says: format!(
            "{} received halves of SYNs to another port and none of those to port {}",
            scene.target, scene.port
        ),
        packets,
        claims,
    })
}

/// Fewest halves of SYNs to the failing port that must have gone unanswered.
const HALVES: usize = 3;

/// Fewest halves of SYNs to another port that must have been answered.
const CONTROLS: usize = 2;

#[cfg(test)]
mod tests;
