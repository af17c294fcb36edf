//! Captures of any size, and the truth about them: what became of each connection attempt is known because it was made
//! so. Nothing here is shared with the program, so that a mistake of one does not hide a mistake of the other.

mod script;
mod wire;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use script::Script;
use wire::{Ends, Frame};

/// Packets in an attempt, on average.
const PACKETS_PER_ATTEMPT: u64 = 10;
/// Time between the first SYNs of two attempts, in nanoseconds.
const BETWEEN_ATTEMPTS: u64 = 1_200_000;
/// When the capture begins, in nanoseconds since the epoch.
const START: u64 = 1_700_000_000_000_000_000;

/// Random numbers, the same on every run (SplitMix64).
pub(crate) struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Writes a pcap (with nanoseconds) of about `packets` packets, 220 bytes each with their headers: attempts to reach
/// many servers, over IPv4 and IPv6, with every outcome there is, interleaved as on a busy link, and a little other
/// traffic. Writes to `truth`, in order of first SYN, what `attempts -p any --json --sort` has to say of it.
pub(crate) fn mixed(packets: u64, out: &mut impl Write, truth: &mut impl Write) -> io::Result<()> {
    let mut rng = Rng(1);
    wire::header(out)?;
    let mut frame = Frame::default();
    // Each attempt that goes on, and when its next packet comes.
    let mut calendar: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
    let mut scripts: Vec<Option<Script>> = Vec::new();
    let mut free = Vec::new();
    let attempts = packets.div_ceil(PACKETS_PER_ATTEMPT);
    let (mut begun, mut next_begin, mut last) = (0, START, START);
    while begun < attempts || !calendar.is_empty() {
        let due = calendar.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
        if begun < attempts && next_begin < due {
            let script = Script::new(begun, &mut rng);
            let place = free.pop().unwrap_or_else(|| {
                scripts.push(None);
                scripts.len() as u64 - 1
            });
            scripts[place as usize] = Some(script);
            calendar.push(Reverse((next_begin, place)));
            begun += 1;
            next_begin += 1 + rng.below(2 * BETWEEN_ATTEMPTS);
            continue;
        }
        let Some(Reverse((at, place))) = calendar.pop() else { break };
        // Instants differ, so that there is one order of first SYNs.
        last = at.max(last + 1);
        let Some(script) = &mut scripts[place as usize] else { continue };
        if script.is_new() {
            script.truth(last, truth)?;
        }
        if let Some(pause) = script.play(&mut frame) {
            calendar.push(Reverse((at + pause, place)));
        } else {
            scripts[place as usize] = None;
            free.push(place);
        }
        frame.write(last, out)?;
        if rng.chance(3) {
            last += 1;
            frame.other(&mut rng);
            frame.write(last, out)?;
        }
    }
    out.flush()?;
    truth.flush()
}

/// Writes a pcap of `tuples` SYNs within one minute, each from another address and port, to one server.
pub(crate) fn flood(tuples: u64, out: &mut impl Write) -> io::Result<()> {
    let mut rng = Rng(2);
    wire::header(out)?;
    let mut frame = Frame::default();
    for i in 0..tuples {
        frame.tcp(&Ends::of_flood(i), true, wire::SYN, rng.next() as u32, 0, &[]);
        frame.write(START + i * 60_000_000_000 / tuples, out)?;
    }
    out.flush()
}
