//! Elimination: who still stands, who is cleared, and the step that would split the rest.

use std::net::IpAddr;

use crate::evidence::{Strength, Suspect};
use crate::path::Segment;

/// The verdict.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The one segment that all of `standing` lies in.
    pub segment: Option<Segment>,
    /// The most suspected first; never empty unless SSH is open.
    pub standing: Vec<Standing>,
    /// Those who could not have done it.
    pub cleared: Vec<Cleared>,
    /// What to do next: the step that splits best comes first. A command line where there is one.
    pub next: Vec<NextStep>,
}

/// A suspect that stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Who.
    pub suspect: Suspect,
    /// Likeliest hop; `None` for the client and for what has no hop of its own.
    pub hop: Option<u8>,
    /// Every hop it may be at.
    pub hops: Vec<u8>,
    /// Address of the likeliest hop.
    pub address: Option<IpAddr>,
    /// How strongly.
    pub strength: Strength,
    /// Indices into the evidence.
    pub because: Vec<usize>,
}

/// A suspect that is cleared.
#[derive(Clone, Debug)]
pub struct Cleared {
    /// Who.
    pub suspect: Suspect,
    /// Indices into the evidence.
    pub because: Vec<usize>,
}

/// One thing to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextStep {
    /// What to do and what it would settle, in one sentence.
    pub why: String,
    /// The command line, where one does it.
    pub command: Option<String>,
}
