//! One line on standard error that says what is going on, if a person can see it.

use std::io::{self, IsTerminal, Write};

/// Columns kept free, so that the line never wraps on a terminal of 80.
const WIDTH: usize = 79;

/// A line that overwrites itself, and is gone when this is dropped.
pub(super) struct Progress<W: Write = io::Stderr> {
    out: Option<W>,
    shown: String,
}

impl Progress {
    /// Shows nothing where standard error is no terminal.
    pub(super) fn start() -> Self {
        let stderr = io::stderr();
        Self { out: stderr.is_terminal().then_some(stderr), shown: String::new() }
    }
}

impl<W: Write> Progress<W> {
    /// Shows `status` in place of what was shown before.
    pub(super) fn show(&mut self, status: &str) {
        let status: String = whichhop::report::printable(status).chars().take(WIDTH).collect();
        if status == self.shown {
            return;
        }
        if let Some(out) = &mut self.out {
            // Spaces wipe the rest of the old line on any terminal, without control sequences.
            let old = self.shown.chars().count();
            let _ = write!(out, "\r{status:<old$}\r{status}");
            let _ = out.flush();
        }
        self.shown = status;
    }
}

impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        self.show("");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_wiped_and_never_wraps() {
        let mut seen = Vec::new();
        {
            let mut progress = Progress { out: Some(&mut seen), shown: String::new() };
            progress.show("probing hop 12");
            progress.show("probing hop 12");
            progress.show("waiting");
            progress.show(&"x".repeat(200));
        }
        let seen = String::from_utf8(seen).unwrap();
        let (x, wiped) = ("x".repeat(WIDTH), " ".repeat(WIDTH));
        assert_eq!(
            seen,
            format!("\rprobing hop 12\rprobing hop 12\rwaiting       \rwaiting\r{x}\r{x}\r{wiped}\r")
        );
    }
}
