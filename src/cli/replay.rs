//! `whichhop replay`: a recording in, its report out.

use std::io::Read;

use anyhow::Context;
use whichhop::confine::confine_reader;
use whichhop::diagnose::{Diagnosis, Findings, NothingToDiagnose, Question};
use whichhop::recording::Reader;
use whichhop::report;

use super::args::{Input, Replay};
use super::{Status, complain, input, output};

pub(super) fn run(args: &Replay) -> anyhow::Result<Status> {
    let azure_nets = input::azure_networks(&args.nets)?;
    let question = Question { port: args.port, edge_nets: args.nets.edge.clone(), azure_nets };
    let findings = match &args.file {
        Input::Stdin => confined(input::stdin()?, question).context(input::STDIN)?,
        Input::File(path) => {
            confined(input::open(path)?, question).with_context(|| path.display().to_string())?
        }
    };
    output::print(&findings, args.json)
}

/// Reads a source that is open, and may do nothing else from now on.
fn confined(source: impl Read + 'static, question: Question) -> anyhow::Result<Findings> {
    confine_reader(Vec::new())?;
    let mut reader = Reader::new(input::plain(source)?)?;
    let mut diagnosis = Diagnosis::new(question);
    while let Some(record) = reader.next()? {
        diagnosis.push(&record);
    }
    diagnosis.lost(reader.lost());
    if let Some(truncation) = reader.truncation() {
        diagnosis.truncated(truncation);
    }
    let findings = diagnosis.finish();
    if let Err(NothingToDiagnose::NoSyn { undecoded, .. }) = &findings
        && let Some(unread) = report::unread(undecoded)
    {
        complain(&unread);
    }
    Ok(findings?)
}
