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
use sim::session::run;

const RUNS: u64 = 1_000;

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
