//! The truth of a fault, in the names of the JSON report.

use crate::lab::Truth;
use crate::report::Expected;

impl From<Truth> for Expected {
    fn from(truth: Truth) -> Self {
        Self {
            outcomes: truth.outcomes.iter().map(|outcome| outcome.name().to_owned()).collect(),
            segment: truth.segment.map(|segment| segment.name().to_owned()),
            guilty: truth.guilty.map(|guilty| guilty.name().to_owned()),
            beyond: truth.beyond,
        }
    }
}
