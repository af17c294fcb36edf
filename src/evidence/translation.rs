//! Address translation: a box before the VM leads what is sent to its address elsewhere.

use super::{Assumption, Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::Outcome;
use crate::path::{Place, SWEPT, Segment};
use crate::recording::RecordNumber;

/// Who leads connections elsewhere.
const TRANSLATORS: Suspects = Suspects::of(&[
    Suspect::EdgeFirewall,
    Suspect::TransitFilter,
    Suspect::AzureEndpoint,
    Suspect::AzureLoadBalancer,
    Suspect::AzureFirewall,
]);

/// `led-elsewhere`
///
/// - **Says.** A SYN to the port ran out at hop h, and the time exceeded that came back bears the target's own address.
/// - **Needs.** Such an answer from nearer than the target, and a router at h or beyond on the way of the controls.
/// - **Effect.** Implicates whoever translates addresses up to hop h, first of all at h; clears nobody. What the answers of
///   the port tell of the VM is then taken for less; where hop h lies before Azure, which translates by design, what lies
///   behind it is spared.
/// - **Misleads when.** The VM itself leads the port on, to a container.
/// - **Rests on.** Linux gives errors about a translated connection the address that the client knows
///   (net/netfilter/nf_nat_proto.c, nf_nat_icmp_reply_translation).
pub(super) fn led_elsewhere(scene: &Scene<'_>) -> Option<Evidence> {
    let (hop, mut packets) = leads_on(scene).filter(|_| !matches!(scene.outcome, Outcome::Open))?;
    packets.extend(scene.router_at_or_beyond(hop).into_iter().flatten());
    let at = Place(hop);
    let there = scene.likeliest_at(at, TRANSLATORS);
    let mut claims = vec![
        Claim::implicates(at, at, there, Strength::Likely),
        Claim::implicates(Place(1), at, TRANSLATORS, Strength::Possible),
    ];
    if is_led_away(scene) {
        let behind = Place(hop + 1);
        claims.push(Claim::spares(behind, Place::END, Suspects::all(), Assumption::RestInOrder));
    }
    Some(Evidence {
        rule: "led-elsewhere",
        says: format!(
            "a SYN to port {} that ran out at hop {hop} came back as time exceeded in the target's own name: a box up to there leads the connection elsewhere",
            scene.port
        ),
        packets,
        claims,
    })
}

/// Whether a box before Azure leads the connection on: what answers it is hardly the VM.
pub(super) fn is_led_away(scene: &Scene<'_>) -> bool {
    leads_on(scene).is_some_and(|(hop, _)| scene.segment_of(Place(hop)) < Segment::AzureEdge)
}

/// The nearest hop from which errors about the port come in the target's name, and the records that show it.
pub(super) fn leads_on(scene: &Scene<'_>) -> Option<(u8, Vec<RecordNumber>)> {
    let end = scene.path.target.unwrap_or(SWEPT);
    let in_its_name = scene.port_probes().filter(|p| p.hop_limit < end).filter_map(|p| {
        let reply = p.time_exceeded().filter(|r| r.from == scene.target)?;
        Some((p.hop_limit, vec![p.record, reply.record]))
    });
    let (hop, packets) = in_its_name.min_by_key(|(hop, _)| *hop)?;
    let goes_on = scene.controls().any(|p| {
        p.hop_limit >= hop && p.hop_limit < end && p.time_exceeded().is_some_and(|r| r.from != scene.target)
    });
    goes_on.then_some((hop, packets))
}

/// The nearest hop that may be the one that leads the connection on: the hops right before the first that shows it may be, where
/// they are silent.
pub(super) fn may_lead_on(scene: &Scene<'_>) -> Option<u8> {
    let (mut hop, _) = leads_on(scene)?;
    while hop > 1 && scene.path.hop(hop - 1).is_none_or(|before| before.address.is_none()) {
        hop -= 1;
    }
    Some(hop)
}

#[cfg(test)]
mod tests;
