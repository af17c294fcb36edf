//! What attempts and path show: one file per family of rules.

mod suspect;

pub use suspect::{Suspect, Suspects};

use crate::path::Place;
use crate::recording::RecordNumber;

/// One thing that was shown.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The rule that found it, such as `reset-before-path-end`.
    pub rule: &'static str,
    /// One sentence.
    pub says: String,
    /// The records that show it.
    pub packets: Vec<RecordNumber>,
    /// Whom it speaks for or against.
    pub claims: Vec<Claim>,
}

/// What a piece of evidence says of some suspects at some places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// First place, in path order.
    pub from: Place,
    /// Last place.
    pub to: Place,
    /// Whom.
    pub suspects: Suspects,
    /// What.
    pub effect: Effect,
}

/// What a claim does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// They could not have produced what was seen.
    Clears,
    /// They could, and this speaks for them.
    Implicates(Strength),
}

/// How strongly a suspect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// Nothing clears it.
    Possible,
    /// The evidence points to it.
    Likely,
    /// Nothing else could have done it.
    Proven,
}

impl Strength {
    /// The word used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Proven => "proven",
        }
    }
}
