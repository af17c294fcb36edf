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
use clap::error::{ContextKind, ContextValue};

use args::{Args, Verb};

/// Characters of what was typed that are repeated, at most: no host name is longer.
const MOST_REPEATED: usize = 253;

/// Parses the command line, runs its verb and reports an error in one line.
pub(crate) fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(error),
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
/// The command line may hold what the network said, of any length: clap repeats it as it is, and its plain text lacks the
/// very sequences that a terminal obeys.
fn usage(mut error: clap::Error) -> ExitCode {
    let typed = std::env::args_os().skip(1);
    let fit = typed.map(|text| text.to_string_lossy().into_owned()).all(|text| fit(&text) == text);
    if fit || !error.use_stderr() {
        error.exit();
    }
    let said: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in said {
        let value = match value {
            ContextValue::String(text) => ContextValue::String(self::fit(&text)),
            ContextValue::Strings(texts) => {
                ContextValue::Strings(texts.iter().map(|text| self::fit(text)).collect())
            }
            // It repeats what was typed, in colours.
            _ if kind == ContextKind::Suggested => ContextValue::None,
            other => other,
        };
        error.insert(kind, value);
    }
    for line in error.to_string().lines() {
        let _ = writeln!(io::stderr(), "{}", whichhop::report::printable(line));
    }
    Status::Error.into()
}

/// What was typed, fit to be repeated.
fn fit(text: &str) -> String {
    let shown = whichhop::report::printable(text);
    match shown.char_indices().nth(MOST_REPEATED) {
        Some((end, _)) => format!("{}… ({} bytes)", &shown[..end], text.len()),
        None => shown.into_owned(),
    }
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
