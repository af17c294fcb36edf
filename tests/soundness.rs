//! Soundness: on simulated paths with a known culprit and known tricks, the culprit is never cleared.
//!
//! `WHICHHOP_SIM_SEED=n` replays one scenario and tells its story; `WHICHHOP_SIM_RUNS=n` sets how many are
//! tried. With `--nocapture` a table says how good the verdicts were, not only how sound.
#![allow(clippy::print_stdout, reason = "stories and statistics are for the person who runs the test")]

mod sim;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sim::judge::{Statistics, judge, story};
use sim::scenario::Scenario;
use sim::session::{Entry, EntryBody, run};
use whichhop::diagnose::{Diagnosis, Question};
use whichhop::packet::LinkType;
use whichhop::recording::{InterfaceInfo, Reader, Timestamp, Writer};

const RUNS: u64 = 3_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// What a scenario's trace breaks, and its story if it breaks anything.
fn try_one(seed: u64, statistics: &mut Statistics) -> Result<(), (Vec<String>, String)> {
    let scenario = Scenario::from_seed(seed);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let run = run(&scenario);
        (judge(&scenario, &run), run)
    }));
    match result {
        Ok((broken, run)) => {
            statistics.count(&scenario, &run);
            if broken.is_empty() { Ok(()) } else { Err((broken, story(&scenario, &run))) }
        }
        Err(_) => Err((vec!["it panicked".to_owned()], scenario.to_string())),
    }
}

#[test]
fn the_culprit_is_never_cleared() {
    let mut statistics = Statistics::default();
    if let Some(seed) = number("WHICHHOP_SIM_SEED") {
        let scenario = Scenario::from_seed(seed);
        println!("{scenario}");
        let run = run(&scenario);
        println!("{}", story(&scenario, &run));
        let broken = judge(&scenario, &run);
        assert!(broken.is_empty(), "seed {seed}: {}", broken.join("; "));
        return;
    }
    let runs = number("WHICHHOP_SIM_RUNS").unwrap_or(RUNS);
    let mut failures: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for seed in 0..runs {
        if let Err((broken, story)) = try_one(seed, &mut statistics) {
            if failures.is_empty() {
                println!("the first that fails:\n{story}");
            }
            for promise in broken {
                failures.entry(without_numbers(&promise)).or_default().push(seed);
            }
        }
    }
    println!("{}", statistics.table());
    let mut report = String::new();
    for (promise, mut seeds) in failures {
        seeds.dedup();
        let some: Vec<_> = seeds
            .iter()
            .take(6)
            .map(|seed| format!("{seed} ({})", Scenario::from_seed(*seed).kind))
            .collect();
        let _ = writeln!(report, "  {} times: {promise}; seeds {}", seeds.len(), some.join(", "));
    }
    assert!(
        report.is_empty(),
        "of {runs} scenarios, some break a promise (WHICHHOP_SIM_SEED=n tells the story of one):\n{report}"
    );
}

/// A broken promise with `#` for every number, so that like ones count together.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if plain.ends_with('#') => {}
            '0'..='9' => plain.push('#'),
            c => plain.push(c),
        }
    }
    plain
}

/// A live trace is a recording being made: written to a file and read back, it gives the very same findings.
#[test]
fn a_recording_replays_to_the_same_findings() {
    for seed in 0..40 {
        let run = run(&Scenario::from_seed(seed));
        let file = written(&run.log);
        let mut reader = Reader::new(file.as_slice()).expect("a capture");
        let mut diagnosis = Diagnosis::new(Question::default());
        let mut read = 0;
        while let Some(record) = reader.next().expect("whole") {
            read += 1;
            assert_eq!(record.number.0, read);
            diagnosis.push(&record);
        }
        assert_eq!(read, run.log.len() as u64);
        let (live, replayed) = (format!("{:#?}", run.findings), format!("{:#?}", diagnosis.finish()));
        assert!(live == replayed, "seed {seed}: {}", first_difference(&live, &replayed));
    }
}

fn written(log: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("memory");
    let eth0 = InterfaceInfo { name: "eth0".to_owned(), link: LinkType::ETHERNET };
    let interface = writer.interface(&eth0).expect("memory");
    for (i, entry) in log.iter().enumerate() {
        let at = Timestamp::from_nanos(entry.at);
        let number = match &entry.body {
            EntryBody::Frame { direction, bytes, .. } => {
                writer.frame(interface, at, *direction, bytes.len() as u32, bytes)
            }
            EntryBody::Event(event) => writer.event(at, event),
        };
        assert_eq!(number.expect("memory").0, i as u64 + 1);
    }
    writer.finish().expect("memory")
}

fn first_difference(one: &str, other: &str) -> String {
    let mut lines = one.lines().zip(other.lines());
    lines.find(|(a, b)| a != b).map_or_else(|| "in length".to_owned(), |(a, b)| format!("{a} / {b}"))
}
