//! `whichhop replay`: a recording in, its report out.

use std::io::{BufReader, Read};

use anyhow::Context;
use whichhop::confine::confine_reader;
use whichhop::diagnose::{Diagnosis, Findings, Question};
use whichhop::recording::Reader;

use super::args::{Input, Replay};
use super::{Status, input, output};

pub(super) fn run(args: &Replay) -> anyhow::Result<Status> {
    let question =
        Question { port: args.port, edge_nets: args.nets.edge.clone(), azure_nets: args.nets.azure.clone() };
    let findings = match &args.file {
        Input::Stdin => confined(input::stdin()?, question).context(input::STDIN)?,
        Input::File(path) => confined(BufReader::new(input::open(path)?), question)
            .with_context(|| path.display().to_string())?,
    };
    output::print(&findings, args.json)
}

/// Reads a source that is open, and may do nothing else from now on.
fn confined(source: impl Read, question: Question) -> anyhow::Result<Findings> {
    confine_reader(Vec::new())?;
    diagnose(source, question)
}

fn diagnose(source: impl Read, question: Question) -> anyhow::Result<Findings> {
    let mut reader = Reader::new(source)?;
    let mut diagnosis = Diagnosis::new(question);
    while let Some(record) = reader.next()? {
        diagnosis.push(&record);
    }
    diagnosis.lost(reader.lost());
    if let Some(truncation) = reader.truncation() {
        diagnosis.truncated(truncation);
    }
    Ok(diagnosis.finish()?)
}
