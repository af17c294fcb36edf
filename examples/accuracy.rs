//! Runs whichhop and every tracer that is installed over the same faults, and writes what each leads a reader to blame.
//!
//! ```text
//! sudo cargo run --release --example accuracy -- docs/accuracy.md
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a person at a terminal")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

mod built;
#[path = "../tests/lab/mod.rs"]
mod lab;
#[path = "accuracy/page.rs"]
mod page;
#[path = "accuracy/reading.rs"]
mod reading;
#[path = "accuracy/tools.rs"]
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;

use lab::{Family, Fault, Lab, Options};
use reading::Reading;
use tools::Tool;

/// Runs whichhop and the tracers that are installed over the lab's faults, each run in a fresh lab, and writes a page
/// of what each leads a reader to blame.
#[derive(Parser)]
#[command(name = "accuracy")]
struct Arguments {
    /// Where the page goes
    #[arg(value_name = "FILE")]
    page: PathBuf,
    /// What is wrong [default: each fault in turn]
    #[arg(value_name = "FAULT")]
    faults: Vec<Fault>,
    /// Labs at the same time, beside those that wait for --deep
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,
}

/// Labs at the same time in which whichhop runs with `--deep`: all it does there is wait.
const DEEP_JOBS: u8 = 12;

/// One tool's run over one fault.
struct Run {
    case: Case,
    reading: Reading,
    took: Duration,
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    fault: Fault,
    family: Family,
    tool: Tool,
}

impl Case {
    fn name(self) -> String {
        format!("{} over {} with {}", self.fault.name(), self.family.name(), self.tool.name())
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let whichhop = built::whichhop()?;
    let faults = if arguments.faults.is_empty() { Fault::ALL } else { &arguments.faults };
    let tools = Tool::installed();
    let (deep, brief): (Vec<Case>, Vec<Case>) =
        cases(faults, &tools).into_iter().partition(|case| case.tool == Tool::Deep);
    let (deep, brief) = thread::scope(|scope| {
        let deep = scope.spawn(|| run_all(&deep, DEEP_JOBS, &whichhop));
        let brief = run_all(&brief, arguments.jobs, &whichhop);
        (deep.join().expect("no run panics"), brief)
    });
    let mut runs = brief?;
    runs.extend(deep?);
    let versions: Vec<(Tool, String)> = tools
        .iter()
        .filter(|&&tool| tool != Tool::Deep)
        .map(|&tool| (tool, tool.version(&whichhop)))
        .collect();
    fs::write(&arguments.page, page::page(&versions, faults, &runs))
        .with_context(|| arguments.page.display().to_string())?;
    println!("{} runs over {} faults: {}", runs.len(), faults.len(), arguments.page.display());
    Ok(())
}

/// Every tool over every fault, fault by fault, over the IP versions that both know.
fn cases(faults: &[Fault], tools: &[Tool]) -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::ALL {
        for &fault in faults.iter().filter(|fault| fault.exists_over(family)) {
            let tools = tools.iter().filter(|tool| tool.speaks(family) && tool.is_for(fault));
            cases.extend(tools.map(|&tool| Case { fault, family, tool }));
        }
    }
    cases
}

fn run_all(cases: &[Case], jobs: u8, whichhop: &Path) -> Result<Vec<Run>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Run>)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&case) = cases.get(index) else { return };
                    let ran = run(case, whichhop).with_context(|| case.name());
                    eprintln!("{}/{} {}", index + 1, cases.len(), case.name());
                    done.lock().expect("no run panics").push((index, ran));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no run panics");
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, run)| run).collect()
}

fn run(case: Case, whichhop: &Path) -> Result<Run> {
    let mut lab = Lab::new(Options::default())?;
    lab.apply(case.fault)?;
    let mut time = Duration::ZERO;
    let mut said = String::new();
    for line in case.tool.lines(whichhop, case.family) {
        let mut command: Command = lab.client().command("timeout");
        command.arg(case.tool.patience().as_secs().to_string()).args(&line).env("LC_ALL", "C");
        let begun = Instant::now();
        let output = command.stdin(Stdio::null()).output().with_context(|| line.join(" "))?;
        time += begun.elapsed();
        said += &String::from_utf8_lossy(&output.stdout);
        said.push('\n');
    }
    Ok(Run { case, reading: case.tool.read(&said), took: time })
}
