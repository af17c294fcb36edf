//! Findings to bytes: text for people, JSON (`whichhop.report/1`) for programs.
//!
//! This room decides nothing. It orders, words and escapes what was found; the same findings always give
//! the same bytes.

mod headline;
mod json;
mod layout;
#[cfg(test)]
mod samples;
mod text;
mod words;

pub use json::json;
pub use layout::printable;
pub use text::text;

/// How a text report is dressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Style {
    /// Characters only.
    #[default]
    Plain,
    /// With ANSI colours.
    Coloured,
}
