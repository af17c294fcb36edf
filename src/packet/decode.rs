//! From a captured frame to a [`Packet`].

use super::{LinkType, Packet};

/// Why a frame is not a packet we can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Undecoded {
    /// The capture's link type is not known.
    LinkType(u16),
    /// The frame carries something other than IP (its EtherType or protocol number).
    NotIp(u16),
    /// The frame ends before the headers do.
    Truncated,
    /// A header contradicts itself.
    Malformed,
}

/// Reads one frame of link type `link`.
pub fn decode(link: LinkType, frame: &[u8]) -> Result<Packet<'_>, Undecoded> {
    let _ = frame;
    Err(Undecoded::LinkType(link.0))
}
