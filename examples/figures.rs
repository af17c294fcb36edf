//! How long traces take in the lab, fault by fault, against what is aimed at; and how long a replay takes.
//!
//! ```text
//! sudo cargo run --release --example figures
//! ```
//! The machine should have nothing else to do.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a person at a terminal")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

mod built;
#[path = "../tests/lab/mod.rs"]
mod lab;

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use lab::{AZURE_NETS, Answers, Fault, Lab, Options, VM};

/// Times whole traces of the lab's faults, each in a fresh lab, without delay and with 80 ms, and the replay of
/// each recording. Prints medians in milliseconds as a table; ! marks those above the target.
#[derive(Parser)]
#[command(name = "figures")]
struct Arguments {
    /// What is wrong [default: each fault in turn]
    #[arg(value_name = "FAULT")]
    faults: Vec<Fault>,
    /// Traces of each fault, on each kind of link
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// Round-trip time of the slow links.
const DELAY: Duration = Duration::from_millis(80);

/// Longest replay aimed at.
const REPLAY: Duration = Duration::from_millis(50);

/// Longest trace aimed at, without delay and with [`DELAY`].
const fn targets(answers: Answers) -> [Duration; 2] {
    let ms = match answers {
        Answers::Answered => [1_000, 1_500],
        Answers::Silent | Answers::HalfOpen => [4_000, 4_500],
    };
    [Duration::from_millis(ms[0]), Duration::from_millis(ms[1])]
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let whichhop = built::whichhop()?;
    let faults = if arguments.faults.is_empty() { Fault::ALL } else { &arguments.faults };
    println!(
        "| {:<30} | {:<9} | {:>15} | {:>15} | {:>10} |",
        "fault", "answer", "no delay", "80 ms", "replay"
    );
    println!("|{:-<32}|{:-<11}|{:->16}:|{:->16}:|{:->11}:|", "", "", "", "", "");
    for &fault in faults {
        let answers = fault.truth().answers;
        let [near, far] = targets(answers);
        let (trace, replay) = medians(fault, None, arguments.rounds, &whichhop)?;
        let (slow, _) = medians(fault, Some(DELAY), arguments.rounds, &whichhop)?;
        let kind = match answers {
            Answers::Answered => "answered",
            Answers::Silent => "silent",
            Answers::HalfOpen => "half-open",
        };
        println!(
            "| {:<30} | {kind:<9} | {:>15} | {:>15} | {:>10} |",
            fault.name(),
            figure(trace, near),
            figure(slow, far),
            figure(replay, REPLAY)
        );
        io::stdout().flush()?;
    }
    Ok(())
}

fn figure(took: Duration, target: Duration) -> String {
    let mark = if took > target { '!' } else { ' ' };
    format!("{} of {}{mark}", took.as_millis(), target.as_millis())
}

/// How long a trace and a replay take.
fn medians(
    fault: Fault,
    delay: Option<Duration>,
    rounds: u32,
    whichhop: &Path,
) -> Result<(Duration, Duration)> {
    let mut traces = Vec::new();
    let mut replays = Vec::new();
    for _ in 0..rounds {
        let (trace, replay) = once(fault, delay, whichhop).with_context(|| fault.name())?;
        traces.push(trace);
        replays.push(replay);
    }
    Ok((median(traces), median(replays)))
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

fn once(fault: Fault, delay: Option<Duration>, whichhop: &Path) -> Result<(Duration, Duration)> {
    let mut lab = Lab::new(Options { delay, ..Options::default() })?;
    lab.apply(fault)?;
    let scratch = tempfile::tempdir()?;
    let recording = scratch.path().join("run.pcapng");
    let mut trace = lab.client().command(whichhop.to_str().context("the program's path is not UTF-8")?);
    trace.args(["trace", "-w"]).arg(&recording);
    trace.args(AZURE_NETS.map(|net| format!("--azure-net={net}"))).arg(VM[0].to_string());
    let traced = time(&mut trace)?;
    let replayed = time(Command::new(whichhop).arg("replay").arg(&recording))?;
    Ok((traced, replayed))
}

/// Runs a command of the program to its end.
fn time(command: &mut Command) -> Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begun = Instant::now();
    let status = command.status()?;
    let took = begun.elapsed();
    ensure!(matches!(status.code(), Some(0 | 1 | 3)), "{command:?}: {status}");
    Ok(took)
}
