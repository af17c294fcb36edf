//! Routing: packets that go in a circle.

use super::rejection::ROUTES;
use super::{Claim, Evidence, Scene, Strength};
use crate::attempt::Outcome;
use crate::path::{Hop, Place};

/// Most routers in a circle that is looked for.
const LONGEST: usize = 4;

/// `routing-loop`
///
/// - **Says.** The same routers answer again and again as the hop limit rises: they send the packets to each other.
/// - **Needs.** Two rounds without a gap.
/// - **Effect.** Implicates the routing of the routers in the circle, where they stand first; clears nobody.
/// - **Misleads when.** Unequal ways of load balancing happen to look so.
/// - **Rests on.** RFC 1812 section 5.3.1: the TTL is there to end such loops.
pub(super) fn goes_in_a_circle(scene: &Scene<'_>) -> Option<Evidence> {
    if !matches!(scene.outcome, Outcome::Timeout | Outcome::Rejected) {
        return None;
    }
    let circle = circle(&scene.path.hops)?;
    let packets = circle.iter().flat_map(|hop| {
        let own = scene.probes.iter().filter(move |p| p.time_exceeded().map(|r| r.from) == hop.address);
        own.filter_map(|p| Some([p.record, p.time_exceeded()?.record])).take(3).flatten()
    });
    let routers: Vec<String> = circle.iter().filter_map(|hop| Some(hop.address?.to_string())).collect();
    let implicate = |hop: &Hop| {
        let place = Place(hop.number);
        Claim::implicates(place, place, scene.likeliest_at(place, ROUTES), Strength::Likely)
    };
    Some(Evidence {
        rule: "routing-loop",
        says: format!(
            "packets go in a circle: {} answer again and again as the hop limit rises",
            routers.join(" and ")
        ),
        packets: packets.collect(),
        claims: circle.iter().map(implicate).collect(),
    })
}

/// The hops of the first round of a circle.
fn circle(hops: &[Hop]) -> Option<&[Hop]> {
    (2..=LONGEST).find_map(|length| {
        hops.windows(2 * length).find_map(|rounds| {
            let (first, second) = rounds.split_at(length);
            let same = first.iter().zip(second).all(|(a, b)| a.address.is_some() && a.address == b.address);
            (same && first[0].address != first[1].address).then_some(first)
        })
    })
}

#[cfg(test)]
mod tests;
