//! Writes large captures for which it is known what is in them.
//!
//! ```text
//! cargo run --release --example traffic -- --packets 5000000 --truth truth.ndjson big.pcap
//! whichhop attempts -p any --json --sort big.pcap | cmp - truth.ndjson
//! ```

#[path = "../benches/traffic/mod.rs"]
mod traffic;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;

/// Writes a capture of connection attempts of every kind, and what has to be said of each.
#[derive(Parser)]
#[command(name = "traffic")]
struct Arguments {
    /// About how many packets: 5 million make 500,000 attempts and 1.1 GB
    #[arg(long, value_name = "N", default_value = "5000000")]
    packets: u64,
    /// Instead, so many SYNs from as many clients to one server, within a minute
    #[arg(long, value_name = "N", conflicts_with_all = ["packets", "truth"])]
    flood: Option<u64>,
    /// Where to write what `whichhop attempts -p any --json --sort` has to print
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Where to write the capture
    file: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut out = create(&arguments.file)?;
    let mut truth: Box<dyn Write> = match &arguments.truth {
        Some(file) => Box::new(create(file)?),
        None => Box::new(io::sink()),
    };
    match arguments.flood {
        Some(tuples) => traffic::flood(tuples, &mut out),
        None => traffic::mixed(arguments.packets, &mut out, &mut truth),
    }
    .with_context(|| format!("cannot write {}", arguments.file.display()))
}

fn create(file: &PathBuf) -> Result<BufWriter<File>> {
    let out = File::create(file).with_context(|| format!("cannot create {}", file.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, out))
}
