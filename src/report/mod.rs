//! Findings to bytes: text for people, JSON (`whichhop.report/1`) for programs.
//!
//! This room decides nothing. It orders, words and escapes what was found; the same findings always give
//! the same bytes.

mod attempt;
mod headline;
mod json;
mod layout;
mod ndjson;
#[cfg(test)]
mod samples;
mod summary;
mod text;
mod time;
mod unread;
mod words;

pub use attempt::{attempt_row, attempts_heading};
pub use json::json;
pub use layout::printable;
pub use ndjson::{Lines, attempt_json};
pub use summary::Summary;
pub use text::text;
pub use unread::unread;

/// How a text report is dressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Style {
    /// Characters only.
    #[default]
    Plain,
    /// With ANSI colours.
    Coloured,
}
