//! What to send next: a state machine without I/O. Records in; steps out, each wait with its reason.
//!
//! One trace asks several things at once: the kernel's own connect(2); SYNs to the failing port with rising hop
//! limits; the same as a control with ICMP echo and a closed port; then, on fresh ports, what those left open.

mod asked;
mod budget;
mod inquiry;
mod known;
mod plan;
mod planner;
#[cfg(test)]
mod tests;

pub use budget::CONNECTIONS;
pub use plan::{Action, Manner, Means, Plan, Step};
pub use planner::Planner;
