//! How far an answer travelled, going by what is left of its hop limit.

use crate::packet::HopLimit;

/// Hop limits that operating systems start with.
const INITIAL: [u8; 4] = [32, 64, 128, 255];

/// How many routers a packet crossed, if it started with the least usual initial hop limit that fits.
///
/// A guess: it ranks suspects and clears none.
pub fn hops_back(received: HopLimit) -> u8 {
    INITIAL.iter().find(|initial| **initial >= received.0).map_or(0, |initial| initial - received.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_nearest_usual_initial_hop_limit() {
        for (received, expected) in [(64, 0), (60, 4), (251, 4), (128, 0), (30, 2), (65, 63)] {
            assert_eq!(hops_back(HopLimit(received)), expected, "{received}");
        }
    }
}
