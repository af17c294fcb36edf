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

use lab::{Fault, Lab, Options};
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
    /// Labs at the same time
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,
}

/// No run takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// One tool's run over one fault.
struct Run {
    reading: Reading,
    took: Duration,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let whichhop = built::whichhop()?;
    let faults = if arguments.faults.is_empty() { Fault::ALL } else { &arguments.faults };
    let tools = Tool::installed();
    let runs = run_all(faults, &tools, arguments.jobs, &whichhop)?;
    let rows: Vec<page::Row> =
        faults.iter().zip(runs.chunks(tools.len())).map(|(&fault, runs)| page::Row { fault, runs }).collect();
    let versions: Vec<String> = tools.iter().map(|tool| tool.version(&whichhop)).collect();
    fs::write(&arguments.page, page::page(&tools, &versions, &rows))
        .with_context(|| arguments.page.display().to_string())?;
    println!("{} faults, {} tools: {}", faults.len(), tools.len(), arguments.page.display());
    Ok(())
}

/// Every tool over every fault, fault by fault.
fn run_all(faults: &[Fault], tools: &[Tool], jobs: u8, whichhop: &Path) -> Result<Vec<Run>> {
    let pairs: Vec<(Fault, Tool)> =
        faults.iter().flat_map(|&fault| tools.iter().map(move |&tool| (fault, tool))).collect();
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Run>)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&(fault, tool)) = pairs.get(index) else { return };
                    let ran = run(fault, tool, whichhop)
                        .with_context(|| format!("{} over {}", tool.name(), fault.name()));
                    eprintln!("{}/{} {} {}", index + 1, pairs.len(), fault.name(), tool.name());
                    done.lock().expect("no run panics").push((index, ran));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no run panics");
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, run)| run).collect()
}

fn run(fault: Fault, tool: Tool, whichhop: &Path) -> Result<Run> {
    let mut lab = Lab::new(Options::default())?;
    lab.apply(fault)?;
    let mut time = Duration::ZERO;
    let mut said = String::new();
    for line in tool.lines(whichhop) {
        let mut command: Command = lab.client().command("timeout");
        command.arg(PATIENCE.as_secs().to_string()).args(&line).env("LC_ALL", "C");
        let begun = Instant::now();
        let output = command.stdin(Stdio::null()).output().with_context(|| line.join(" "))?;
        time += begun.elapsed();
        said += &String::from_utf8_lossy(&output.stdout);
        said.push('\n');
    }
    Ok(Run { reading: tool.read(&said), took: time })
}
