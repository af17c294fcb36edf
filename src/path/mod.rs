//! Where things lie: probes and replies, hops, segments, and how far away each answer came from.

mod assemble;
mod data;
mod distance;
mod microsoft;
mod owner;
mod quote;
mod segment;
mod service_tags;
mod survey;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use assemble::{AT_ONCE, SWEPT};
pub use data::{DataProbe, data_probes};
pub use distance::hops_back;
pub use owner::Networks;
pub(crate) use owner::is_private;
pub use quote::{Change, Field};
pub use segment::{Segment, Segments};
pub use service_tags::{TagsError, azure_networks};
pub use survey::{Marks, Probe, Reply, ReplyKind, Survey, Via};

/// The path as far as it was seen.
#[derive(Clone, Debug, Default)]
pub struct Path {
    /// Hops in order, from 1, up to the last that answered; silent ones between answering ones included.
    pub hops: Vec<Hop>,
    /// Hop number of the target, where it answered something other than the failing port at a known distance.
    pub target: Option<u8>,
    /// Segments that something between the last hop and the target may lie in: whoever answers for the target need
    /// not be the target.
    pub beyond: Option<Segments>,
}

/// One hop of the path.
#[derive(Clone, Debug)]
pub struct Hop {
    /// Its number, from 1.
    pub number: u8,
    /// Who answered; `None` for a silent hop.
    pub address: Option<IpAddr>,
    /// Others that answered from the same distance (load-balanced branches).
    pub others: Vec<IpAddr>,
    /// Whether its address is known to be none of Azure's.
    pub outside_azure: bool,
    /// Whether its address is one that organisations, and some carriers, use among themselves.
    pub private: bool,
    /// Which segments it may lie in.
    pub segments: Segments,
    /// Least round-trip time seen, in ns.
    pub rtt: Option<i64>,
    /// What it answered, such as `tcp/22` or `icmp`, in that order.
    pub answered: Vec<String>,
    /// What of the SYNs had changed when they got here, by what this hop quotes of them.
    pub changes: Vec<Change>,
}

/// A place along the path: 0 the client, 1 to 254 a hop, 255 the end of the path (the VM, wherever it is).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u8);

impl Place {
    /// The client.
    pub const CLIENT: Self = Self(0);
    /// The end of the path.
    pub const END: Self = Self(255);
}
