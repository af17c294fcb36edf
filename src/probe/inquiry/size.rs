//! How large a packet may be to get beyond the place where full-size segments are lost: asked with segments that run out
//! at the routers behind it, so that an answer proves that the packet passed.

use super::Hand;
use crate::path::DataProbe;
use crate::probe::plan::MS;
use crate::recording::Timestamp;

/// Sizes that links usually take, in bytes of an IP packet: PPPoE (RFC 2516), IP in IP (RFC 2003), GRE (RFC 2784), VXLAN
/// (RFC 7348), WireGuard, Azure's VPN gateways, and the least of IPv6 (RFC 8200 section 5).
const USUAL: [u32; 8] = [1492, 1480, 1476, 1450, 1420, 1400, 1350, 1280];

/// Segments that are sent in search of the size, at most.
const MOST: u8 = 20;

/// How often the least size that is lost is asked beside harmless bytes.
const CHECKS: u8 = 2;

/// The search ends here, found or not.
const PATIENCE: i64 = 7_000 * MS;

/// Where the search stands. Lengths are those of a segment's data, in bytes.
#[derive(Debug)]
pub(super) struct Search {
    /// Routers that are known to answer, behind the place.
    hops: Vec<u8>,
    /// The longest that is known to pass and the shortest that is taken to be lost.
    passes: u32,
    lost: u32,
    /// Bytes of the headers before the data.
    headers: u32,
    began: Timestamp,
    sent: u8,
    checks: u8,
    asked: Option<Asked>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    len: u32,
    hop: u8,
    at: Timestamp,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send this much data, to run out at that hop; harmless bytes behind it or not.
    Send {
        len: u32,
        hop: u8,
        beside_harmless: bool,
    },
    Wait(Timestamp),
    Over,
}

impl Search {
    /// Between `passes` and `lost` bytes of data behind `headers`.
    pub(super) fn new(hops: Vec<u8>, passes: u32, lost: u32, headers: u32, began: Timestamp) -> Self {
        Self { hops, passes, lost, headers, began, sent: 0, checks: 0, asked: None }
    }

    /// What the probes so far call for; `settle` is how long an answer may take.
    pub(super) fn next(
        &mut self,
        probes: &[DataProbe],
        hand: &mut Hand<'_>,
        settle: i64,
        now: Timestamp,
    ) -> Next {
        if let Some(asked) = self.asked {
            let mut answered =
                probes.iter().filter(|p| p.at >= asked.at && p.len == asked.len && p.hop_limit == asked.hop);
            if answered.any(|p| p.time_exceeded().is_some()) {
                self.passed(asked.len);
            } else if now < asked.at.plus(settle) {
                return Next::Wait(asked.at.plus(settle));
            } else {
                self.lost = self.lost.min(asked.len);
            }
            self.asked = None;
        }
        let found = self.lost <= self.passes + 1;
        if (found && self.checks >= CHECKS) || self.sent >= MOST || now >= self.began.plus(PATIENCE) {
            return Next::Over;
        }
        let cost = if found { 2 } else { 1 };
        let Some(hop) = self.hops.iter().copied().find(|hop| hand.budget.may_spend(*hop, cost, now)) else {
            return Next::Wait(now.plus(100 * MS));
        };
        let len = if found { self.lost } else { self.between() };
        self.sent += 1;
        self.checks += u8::from(found);
        self.asked = Some(Asked { len, hop, at: now });
        Next::Send { len, hop, beside_harmless: found }
    }

    fn passed(&mut self, len: u32) {
        self.passes = self.passes.max(len);
        if self.lost <= self.passes {
            // What was taken to be lost was lost by chance: no size is known to be.
            self.sent = MOST;
        }
    }

    /// The next length to ask about: links take usual sizes, and each segment may cost a router an error.
    fn between(&self) -> u32 {
        let usual = || USUAL.iter().map(|size| size.saturating_sub(self.headers));
        let open = self.passes + 1..self.lost;
        let likely: Vec<u32> = usual().filter(|len| open.contains(len)).collect();
        match likely.get(likely.len() / 2) {
            Some(len) => *len,
            None if usual().any(|len| len == self.passes) => self.passes + 1,
            None => self.passes + (self.lost - self.passes) / 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::asked::{Flows, Random};
    use crate::probe::budget::Budget;

    /// Searches on a link that takes packets of `mtu` bytes: the lengths asked, and what was found.
    fn search(mtu: u32) -> (Vec<u32>, u32, u32) {
        let ends = ["10.22.1.2", "198.19.0.4"].map(|text| text.parse().unwrap());
        let mut flows = Flows::new(ends[0], ends[1], 1460, Random::new(7));
        let mut budget = Budget::default();
        let mut hand = Hand { flows: &mut flows, budget: &mut budget, first_id: 1 };
        let mut now = Timestamp::from_nanos(0);
        let mut search = Search::new(vec![3, 4], 24, 1448, 52, now);
        let mut asked = Vec::new();
        loop {
            match search.next(&[], &mut hand, 100 * MS, now) {
                Next::Send { len, hop, .. } => {
                    asked.push(len);
                    hand.budget.spend(hop, now);
                    if len + 52 <= mtu {
                        search.asked = None;
                        search.passed(len);
                    }
                }
                Next::Wait(until) => now = until,
                Next::Over => return (asked, search.passes, search.lost),
            }
        }
    }

    #[test]
    fn the_size_is_found_to_the_byte_with_few_segments() {
        for mtu in [1492, 1480, 1450, 1420, 1400, 1280, 1438, 1401, 1399] {
            let (asked, passes, lost) = search(mtu);
            assert_eq!((passes + 52, lost), (mtu, passes + 1), "{mtu}: {asked:?}");
            assert!(asked.len() <= usize::from(MOST), "{mtu}: {asked:?}");
        }
    }

    #[test]
    fn a_size_out_of_reach_is_left_open() {
        let (asked, passes, lost) = search(700);
        assert!(passes + 52 <= 700 && 700 < lost + 52 && asked.len() <= usize::from(MOST), "{asked:?}");
    }
}
