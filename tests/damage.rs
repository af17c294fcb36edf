//! Captures that were cut, flipped and spliced: nothing breaks, and what was decided before the damage stands.
//!
//! `WHICHHOP_DAMAGE_CASES=n` sets how many are tried.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "not every target is about captures")]
mod hostile;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence;
use whichhop::attempt::{Census, Limits, Ports};
use whichhop::packet::decode;
use whichhop::recording::{Body, Reader};
use whichhop::report;

/// Every capture of the fixtures and of the formats.
static CAPTURES: LazyLock<Vec<(PathBuf, Vec<u8>)>> = LazyLock::new(|| {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files =
        |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let mut paths = files(&top.join("tests/formats"));
    paths.retain(|path| path.extension().is_some_and(|e| e == "pcap" || e == "pcapng"));
    paths.extend(
        files(&top.join("fixtures"))
            .iter()
            .map(|folder| folder.join("capture.pcapng"))
            .filter(|f| f.exists()),
    );
    paths.sort();
    assert!(paths.len() > 100, "only {} captures", paths.len());
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
});

/// What is done to a capture.
#[derive(Clone, Debug)]
enum Damage {
    /// It ends here.
    Cut,
    /// These bytes are changed, each so far from the one before.
    Flip(Vec<(usize, u8)>),
    /// So many bytes are missing.
    Lose(usize),
    /// So many bytes of another capture, from a place in it, are put in between.
    Splice(Index, Index, usize),
    /// The rest is that of another capture, from a place in it.
    Swap(Index, Index),
}

fn damages() -> impl Strategy<Value = Damage> {
    prop_oneof![
        1 => Just(Damage::Cut),
        4 => prop::collection::vec((0..200_usize, 1..=255_u8), 1..8).prop_map(Damage::Flip),
        2 => (1..300_usize).prop_map(Damage::Lose),
        2 => (any::<Index>(), any::<Index>(), 1..600_usize).prop_map(|(of, at, len)| Damage::Splice(of, at, len)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(of, at)| Damage::Swap(of, at)),
    ]
}

/// `capture`, damaged from byte `at` on.
fn damage(capture: &[u8], at: usize, damage: &Damage) -> Vec<u8> {
    let (before, after) = capture.split_at(at);
    match damage {
        Damage::Cut => before.to_vec(),
        Damage::Flip(flips) => {
            let mut damaged = capture.to_vec();
            let mut place = at;
            for (step, with) in flips {
                place += step;
                if let Some(byte) = damaged.get_mut(place) {
                    *byte ^= with;
                }
            }
            damaged
        }
        Damage::Lose(len) => [before, after.get(*len..).unwrap_or_default()].concat(),
        Damage::Splice(of, from, len) => {
            let other = &CAPTURES[of.index(CAPTURES.len())].1;
            let from = from.index(other.len());
            [before, &other[from..other.len().min(from + len)], after].concat()
        }
        Damage::Swap(of, from) => {
            let other = &CAPTURES[of.index(CAPTURES.len())].1;
            [before, &other[from.index(other.len())..]].concat()
        }
    }
}

/// How many records a capture holds, and every attempt decided before the end with the number of records it took.
fn decided(capture: &[u8]) -> (usize, Vec<(usize, String)>) {
    let Ok(mut reader) = Reader::new(capture) else { return (0, Vec::new()) };
    // So short that most attempts of a trace are decided within it.
    let limits = Limits {
        settle: Duration::from_micros(500),
        unanswered: Duration::from_millis(20),
        idle: Duration::from_millis(50),
        ..Limits::default()
    };
    let mut census = Census::new(Ports::Any, limits);
    let (mut records, mut found) = (0, Vec::new());
    while let Ok(Some(record)) = reader.next() {
        records += 1;
        assert!(records <= capture.len(), "more records than bytes");
        match &record.body {
            Body::Frame(frame) => match decode(frame.link, frame.bytes) {
                Ok(packet) => census.push(record.at, &packet),
                Err(_) => census.pass(record.at),
            },
            Body::Event(_) => census.pass(record.at),
        }
        found.extend(
            std::iter::from_fn(|| census.next_decided()).map(|a| (records, report::attempt_json(&a))),
        );
    }
    (records, found)
}

fn cases() -> u32 {
    std::env::var("WHICHHOP_DAMAGE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_was_decided_before_the_damage_stands(of: Index, at: Index, what in damages()) {
        let (path, capture) = &CAPTURES[of.index(CAPTURES.len())];
        let at = at.index(capture.len());
        let damaged = damage(capture, at, &what);
        let (whole_records, _) = decided(&capture[..at]);
        let before = |found: Vec<(usize, String)>| -> Vec<_> {
            found.into_iter().filter(|(records, _)| *records <= whole_records).collect()
        };
        let (records, found) = decided(&damaged);
        prop_assert!(records >= whole_records, "{}: records before the damage are lost", path.display());
        prop_assert_eq!(before(found), before(decided(capture).1), "{}", path.display());
        hostile::capture(&damaged);
        hostile::attempts(&damaged);
        hostile::replay(&damaged);
    }
}

/// The property above says nothing where nothing is decided early.
#[test]
fn many_attempts_are_decided_before_the_end() {
    let decided: usize = CAPTURES.iter().map(|(_, capture)| decided(capture).1.len()).sum();
    assert!(decided > 300, "only {decided}");
}
