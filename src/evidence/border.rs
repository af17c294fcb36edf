//! The border of Azure: what the addresses before it tell.

use super::{Assumption, Claim, Evidence, Scene, Suspects};
use crate::attempt::Outcome;
use crate::path::{Hop, Place, Segment};

/// `border-by-address`
///
/// - **Says.** A hop right before Azure's network, as far as that was seen, bears an address that is none of Azure's.
/// - **Needs.** Networks of Azure's that are known or were named; the hop's own answer.
/// - **Effect.** Spares Azure's suspects at that hop; clears nobody: on the link between two networks both ends bear
///   addresses of one of them.
/// - **Misleads when.** Azure's first router answers with the address that its neighbour gave the link.
/// - **Rests on.** Luckie et al., bdrmap (IMC 2016), on who numbers the links between networks.
pub(super) fn begins_behind(scene: &Scene<'_>) -> Option<Evidence> {
    if matches!(scene.outcome, Outcome::Open | Outcome::Completed | Outcome::LocalFailure) {
        return None;
    }
    let doubted = |hop: &&Hop| {
        let likeliest = hop.segments.likeliest();
        hop.outside_azure && hop.segments.contains(Segment::AzureEdge) && likeliest < Segment::AzureEdge
    };
    let hops = scene.path.hops.iter().filter(doubted);
    let answer = |hop: &Hop| {
        let mut replies = scene.probes.iter().flat_map(|p| &p.replies);
        replies.find(|r| Some(r.from) == hop.address).map(|r| r.record)
    };
    let own: Vec<_> = hops.filter_map(|hop| Some((Place(hop.number), answer(hop)?))).collect();
    let &(last, _) = own.last()?;
    let spare = |place| {
        let azures = Suspects::in_segment(Segment::AzureEdge);
        Claim::spares(place, place, azures, Assumption::KnownBorder)
    };
    Some(Evidence {
        rule: "border-by-address",
        says: format!("the address of {} is none of Azure's", scene.between(last, last)),
        packets: own.iter().map(|(_, record)| *record).collect(),
        claims: own.iter().map(|(place, _)| spare(*place)).collect(),
    })
}

#[cfg(test)]
mod tests;
