//! The border of Azure: what the addresses before it tell.

use super::{Assumption, Claim, Evidence, Scene, Suspects};
use crate::attempt::Outcome;
use crate::path::{Hop, Place, Segment};

/// `border-by-address`
///
/// - **Says.** Hops right before Azure's network, as far as that was seen, bear addresses that are none of Azure's; hops
///   behind the first bear private ones.
/// - **Needs.** The hops' own answers; for Azure, networks of its that are known or were named.
/// - **Effect.** Spares Azure's suspects at the former and those of transit at the latter; clears nobody: on the link between
///   two networks both ends bear addresses of one of them, and carriers use private addresses, too.
/// - **Misleads when.** As said.
/// - **Rests on.** Luckie et al., bdrmap (IMC 2016), on who numbers the links between networks; RFC 6752 on private
///   addresses in carriers' networks.
pub(super) fn begins_behind(scene: &Scene<'_>) -> Option<Evidence> {
    if matches!(scene.outcome, Outcome::Open | Outcome::Completed | Outcome::LocalFailure) {
        return None;
    }
    let answer = |hop: &Hop| {
        let mut replies = scene.probes.iter().flat_map(|p| &p.replies);
        replies.find(|r| Some(r.from) == hop.address).map(|r| r.record)
    };
    let doubted = scene.path.hops.iter().filter_map(|hop| Some((hop, spared(hop)?, answer(hop)?)));
    let own: Vec<_> = doubted.collect();
    let says: Vec<String> = [(Segment::Transit, "private"), (Segment::AzureEdge, "none of Azure's")]
        .into_iter()
        .filter_map(|(segment, what)| {
            let (hop, ..) = own.iter().rfind(|(_, spared, _)| *spared == segment)?;
            let place = Place(hop.number);
            Some(format!("the address of {} is {what}", scene.between(place, place)))
        })
        .collect();
    let spare = |hop: &Hop, segment| {
        let place = Place(hop.number);
        Claim::spares(place, place, Suspects::in_segment(segment), Assumption::KnownBorder)
    };
    (!own.is_empty()).then(|| Evidence {
        rule: "border-by-address",
        says: says.join(", "),
        packets: own.iter().map(|(.., record)| *record).collect(),
        claims: own.iter().map(|(hop, segment, _)| spare(hop, *segment)).collect(),
    })
}

/// Whose suspects a hop's address spares.
fn spared(hop: &Hop) -> Option<Segment> {
    let (may_be, likeliest) = (|segment| hop.segments.contains(segment), hop.segments.likeliest());
    if hop.outside_azure && may_be(Segment::AzureEdge) && likeliest < Segment::AzureEdge {
        Some(Segment::AzureEdge)
    } else if hop.private
        && likeliest == Segment::Edge
        && may_be(Segment::Transit)
        && !may_be(Segment::AzureEdge)
    {
        Some(Segment::Transit)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
