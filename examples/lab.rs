//! Makes the lab with a fault and runs a command, or a shell, on its client.
//!
//! ```text
//! sudo cargo run --example lab -- edge-reset
//! sudo cargo run --example lab -- vm-drop-in --delay-ms 80 -- whichhop trace vm1
//! sudo cargo run --example lab -- --record fixtures
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a person at a terminal")]

mod built;
#[path = "../tests/lab/mod.rs"]
mod lab;
mod record;
#[path = "../tests/report/mod.rs"]
mod report;
#[path = "../tests/report/truth.rs"]
mod truth;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind, signal};

use lab::{Fault, Lab, Options, VM};

/// Makes a path of network namespaces – client, edge, two transit routers, Azure edge, VM – in which the chosen
/// fault stops SSH, and runs COMMAND (or a shell) on the client. Everything is removed at the end.
#[derive(Parser)]
#[command(name = "lab")]
struct Arguments {
    /// What is wrong [default: nothing]; with --record several may be named [default: all]
    #[arg(value_name = "FAULT")]
    faults: Vec<Fault>,
    /// Trace the faults and keep the recordings, and what is true of them, in DIR
    #[arg(long, value_name = "DIR", conflicts_with_all = ["delay_ms", "command"])]
    record: Option<PathBuf>,
    /// Round-trip time added in transit, in milliseconds
    #[arg(long, value_name = "MS")]
    delay_ms: Option<u64>,
    /// List the faults
    #[arg(long)]
    list: bool,
    /// Run this on the client instead of a shell; its exit status is passed on
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        list();
        return ExitCode::SUCCESS;
    }
    make_and_run(&arguments).unwrap_or_else(|error| {
        eprintln!("lab: {error:#}");
        ExitCode::from(2)
    })
}

fn make_and_run(arguments: &Arguments) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(arguments))
}

fn list() {
    let width = Fault::ALL.iter().map(|fault| fault.name().len()).max().unwrap_or(0);
    for fault in Fault::ALL {
        println!("{:width$}  {}", fault.name(), fault.about());
    }
}

async fn run(arguments: &Arguments) -> Result<ExitCode> {
    // From before the lab exists, so that no signal ends this program without its being removed.
    let mut signals = Signals::new()?;
    if let Some(directory) = &arguments.record {
        record::all(directory, &arguments.faults, &mut signals).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let fault = match arguments.faults.as_slice() {
        [] => Fault::Healthy,
        [fault] => *fault,
        _ => bail!("one fault at a time"),
    };
    let delay = arguments.delay_ms.map(Duration::from_millis);
    let mut lab = Lab::new(Options { delay, ..Options::default() })?;
    lab.apply(fault)?;
    // On standard error: standard output is the command's.
    eprintln!("{}: {}", fault.name(), fault.about());
    if let Some(ms) = arguments.delay_ms {
        eprintln!("round trips through transit take {ms} ms");
    }
    eprint!("{}", lab.map());
    let status = in_the_lab(&lab, &arguments.command, &mut signals).await?;
    Ok(exit_code(status))
}

/// Runs the command, or a shell, on the client until it ends or a signal asks for the end.
async fn in_the_lab(lab: &Lab, command: &[OsString], signals: &mut Signals) -> Result<ExitStatus> {
    let (program, arguments) = match command.split_first() {
        Some((program, arguments)) => (program.clone(), arguments),
        None => (env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()), &[][..]),
    };
    let interactive = command.is_empty();
    let builds = built::directory();
    if interactive {
        hint(builds.as_deref());
    }
    let program = program.into_string().ok().context("the command's name is not UTF-8")?;
    let mut on_client = lab.client().command(&program);
    on_client.args(arguments).env("PATH", path_with(builds)?);
    let child = tokio::process::Command::from(on_client)
        .spawn()
        .with_context(|| format!("{program} cannot be started on the client"))?;
    signals.pass_on(child, interactive).await
}

fn hint(builds: Option<&Path>) {
    if !io::stdin().is_terminal() {
        return;
    }
    let whichhop = match builds {
        Some(directory) if !directory.join("whichhop").exists() => "cargo build; then ",
        _ => "",
    };
    eprintln!("\nThis shell is on the client. Try: {whichhop}whichhop trace {}", VM[0]);
    eprintln!("exit removes the lab.\n");
}

fn path_with(first: Option<PathBuf>) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(first.into_iter().chain(env::split_paths(&path)))?)
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(code as u8)
}

struct Signals {
    /// Some signal came.
    came: bool,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            came: false,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for `child`, and ends it when a signal asks for that.
    async fn pass_on(&mut self, mut child: Child, interactive: bool) -> Result<ExitStatus> {
        let mut interrupts = 0;
        loop {
            tokio::select! {
                status = child.wait() => return Ok(status?),
                // The terminal tells the command, too: let it end by itself, unless asked twice.
                _ = self.interrupt.recv() => {
                    interrupts += 1;
                    if !interactive && interrupts > 1 {
                        child.kill().await?;
                    }
                }
                _ = self.terminate.recv() => child.kill().await?,
                _ = self.hang_up.recv() => child.kill().await?,
            }
            self.came = true;
        }
    }
}
