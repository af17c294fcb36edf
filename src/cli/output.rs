//! A report on standard output, and the exit status that goes with it.

use std::io::{self, Write};

use anyhow::Context;
use whichhop::attempt::Outcome;
use whichhop::diagnose::Findings;
use whichhop::report::{self, Style};

use super::Status;

/// Prints `findings`.
pub(super) fn print(findings: &Findings, json: bool) -> anyhow::Result<Status> {
    let written = if json {
        write(&mut io::stdout().lock(), &report::json(findings))
    } else {
        // Takes the colours out where standard output is no terminal or NO_COLOR is set.
        write(&mut anstream::stdout().lock(), &report::text(findings, Style::Coloured))
    };
    written.context("cannot write the report to standard output")?;
    Ok(status(findings))
}

/// Writes all of `report`. A reader that stops reading early, such as `head`, has got what it wanted.
fn write(out: &mut impl Write, report: &str) -> io::Result<()> {
    match out.write_all(report.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// The exit status that the findings call for.
fn status(findings: &Findings) -> Status {
    let verdict = &findings.verdict;
    let mut segments = verdict.standing.iter().map(|s| s.suspect.segment());
    let first = segments.next();
    match findings.outcome {
        Outcome::Open => Status::Reachable,
        // Through a relay, with the warning that the report gives.
        Outcome::Intercepted if findings.is_relayed() => Status::Reachable,
        _ if first.is_some() && segments.all(|s| Some(s) == first) => Status::OneSegment,
        _ => Status::SeveralSegments,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use whichhop::diagnose::TargetFound;
    use whichhop::evidence::{Strength, Suspect};
    use whichhop::path::Path;
    use whichhop::verdict::{Standing, Verdict};

    use super::*;

    fn status_of(outcome: Outcome, suspects: &[Suspect]) -> Status {
        let standing = suspects
            .iter()
            .map(|&suspect| Standing {
                suspect,
                hop: None,
                hops: Vec::new(),
                address: None,
                strength: Strength::Possible,
                because: Vec::new(),
            })
            .collect();
        status(&Findings {
            target: TargetFound { name: None, address: [198, 19, 0, 4].into(), port: 22 },
            outcome,
            verdict: Verdict { standing, ..Verdict::default() },
            path: Path::default(),
            evidence: Vec::new(),
            conversation: None,
            attempts: Vec::new(),
            other_addresses: Vec::new(),
            caveats: Vec::new(),
            undecoded: BTreeMap::new(),
            evicted: 0,
            connections: 1,
        })
    }

    #[test]
    fn the_status_tells_reachable_one_segment_and_several() {
        assert_eq!(status_of(Outcome::Open, &[]), Status::Reachable);
        assert_eq!(status_of(Outcome::Reset, &[Suspect::VmFirewall]), Status::OneSegment);
        assert_eq!(status_of(Outcome::Reset, &[Suspect::VmFirewall, Suspect::VmDown]), Status::OneSegment);
        assert_eq!(
            status_of(Outcome::Timeout, &[Suspect::VmFirewall, Suspect::AzureNsg]),
            Status::SeveralSegments
        );
        assert_eq!(status_of(Outcome::LocalFailure, &[Suspect::ClientRoute]), Status::OneSegment);
        assert_eq!(status_of(Outcome::Completed, &[]), Status::SeveralSegments);
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        struct Broken(io::ErrorKind);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(write(&mut Broken(io::ErrorKind::BrokenPipe), "x").is_ok());
        assert!(write(&mut Broken(io::ErrorKind::StorageFull), "x").is_err());
    }
}
