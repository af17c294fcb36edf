//! `whichhop replay`: a recording in, its report out.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, bail};
use whichhop::diagnose::{Diagnosis, Findings, Question};
use whichhop::recording::Reader;

use super::args::{Input, Replay};
use super::{Status, output};

pub(super) fn run(args: &Replay) -> anyhow::Result<Status> {
    let question =
        Question { port: args.port, edge_nets: args.nets.edge.clone(), azure_nets: args.nets.azure.clone() };
    let findings = match &args.file {
        Input::Stdin => {
            let stdin = io::stdin().lock();
            if stdin.is_terminal() {
                bail!("standard input is a terminal: pipe a capture into it, or name a file");
            }
            diagnose(stdin, question).context("standard input")?
        }
        Input::File(path) => diagnose(open(path)?, question).with_context(|| path.display().to_string())?,
    };
    output::print(&findings, args.json)
}

fn open(path: &Path) -> anyhow::Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        bail!("{}: is a directory; name a pcap or pcapng file in it", path.display());
    }
    Ok(BufReader::new(file))
}

fn diagnose(source: impl Read, question: Question) -> anyhow::Result<Findings> {
    let mut reader = Reader::new(source)?;
    let mut diagnosis = Diagnosis::new(question);
    while let Some(record) = reader.next()? {
        diagnosis.push(&record);
    }
    if let Some(truncation) = reader.truncation() {
        diagnosis.truncated(truncation);
    }
    Ok(diagnosis.finish()?)
}
