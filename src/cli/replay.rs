//! `whichhop replay`: a recording in, its report out.

use std::io::{BufReader, Read};

use anyhow::Context;
use whichhop::diagnose::{Diagnosis, Findings, Question};
use whichhop::recording::Reader;

use super::args::{Input, Replay};
use super::{Status, input, output};

pub(super) fn run(args: &Replay) -> anyhow::Result<Status> {
    let azure_nets = input::azure_networks(&args.nets)?;
    let question = Question { port: args.port, edge_nets: args.nets.edge.clone(), azure_nets };
    let findings = match &args.file {
        Input::Stdin => diagnose(input::stdin()?, question).context(input::STDIN)?,
        Input::File(path) => diagnose(BufReader::new(input::open(path)?), question)
            .with_context(|| path.display().to_string())?,
    };
    output::print(&findings, args.json)
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
