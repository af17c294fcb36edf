//! A bar on standard error that says how much has been read, if a person can see it and would wait.

use std::fs::Metadata;
use std::io::Read;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::args::Input;

/// Bytes that are read before anybody gets impatient.
const SMALL: u64 = 32 << 20;

/// How much of the captures has been read, in bytes as they are stored: compressed ones count as such.
pub(super) struct Meter(ProgressBar);

impl Meter {
    /// Shows nothing where standard error is no terminal.
    pub(super) fn over(inputs: &[Input]) -> Self {
        let lengths = inputs.iter().map(length).collect::<Option<Vec<u64>>>();
        let all = lengths.map(|lengths| lengths.iter().sum());
        if all.is_some_and(|all: u64| all < SMALL) {
            return Self::hidden();
        }
        let style = match all {
            Some(_) => {
                "{percent:>3}% {wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left"
            }
            None => "{binary_bytes} in {elapsed}, {binary_bytes_per_sec}",
        };
        let bar = all.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        Self(bar)
    }

    /// Shows nothing.
    pub(super) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// `source`, what is read of it counted.
    pub(super) fn count<R: Read + 'static>(&self, source: R) -> impl Read + use<R> {
        self.0.wrap_read(source)
    }

    /// Takes the bar away: what is printed now is the result.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// The bytes in a file; none where that cannot be told.
fn length(input: &Input) -> Option<u64> {
    let Input::File(path) = input else { return None };
    path.metadata().ok().filter(Metadata::is_file).map(|about| about.len())
}
