//! The command line: arguments, one file per verb, and what the exit status says.

mod args;
mod attempts;
mod input;
mod output;
#[cfg(all(feature = "live", target_os = "linux"))]
mod progress;
mod replay;
mod trace;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use whichhop::recording::is_hostile;

use args::{Args, Verb};

/// Parses the command line, runs its verb and reports an error in one line.
pub(crate) fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let result = match &args.verb {
        Verb::Trace(args) => trace::run(args),
        Verb::Replay(args) => replay::run(args),
        Verb::Attempts(args) => attempts::run(args),
    };
    match result {
        Ok(status) => status.into(),
        Err(error) => {
            complain(&chain(&error));
            Status::Error.into()
        }
    }
}

/// Says what is wrong with the command line, or what it asks for: help or the version.
///
/// The command line may hold what the network said: clap repeats it as it is.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    if !text.contains(|c| c != '\n' && is_hostile(c)) {
        error.exit();
    }
    for line in text.lines() {
        let _ = writeln!(io::stderr(), "{}", whichhop::report::printable(line));
    }
    Status::Error.into()
}

/// An error and its causes in one line, a cause that the text already ends with said once.
fn chain(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |said, cause| {
        if said.ends_with(&cause) { said } else { format!("{said}: {cause}") }
    })
}

/// Says `message` on standard error; where even that is closed there is nobody left to tell.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "whichhop: {}", whichhop::report::printable(message));
}

/// What the exit status says; the numbers are relied upon by scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// SSH is reachable; or, where that was not asked, the input could be read.
    Reachable = 0,
    /// It is not, and all that stands lies in one segment.
    OneSegment = 1,
    /// Wrong usage, unreadable input, missing permission, unknown host.
    Error = 2,
    /// It is not, and several segments stand.
    SeveralSegments = 3,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_once() {
        let io = io::Error::from(io::ErrorKind::NotFound).to_string();
        let error = anyhow::anyhow!(io.clone()).context(format!("cannot open x: {io}")).context("trace");
        assert_eq!(chain(&error), format!("trace: cannot open x: {io}"));
    }
}
