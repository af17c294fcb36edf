//! What a block turned out to hold, before it becomes a record.

use super::{Direction, Event, Timestamp};
use crate::packet::LinkType;

/// A record, while its bytes still lie in the buffer.
pub(super) enum Found {
    Frame(FrameFound),
    Event { at: Option<Timestamp>, event: Box<Event> },
}

/// A frame as its header tells it; `start` and `len` place its bytes within the block.
pub(super) struct FrameFound {
    pub(super) at: Option<Timestamp>,
    pub(super) interface: u32,
    pub(super) link: LinkType,
    pub(super) direction: Direction,
    pub(super) original_len: u32,
    pub(super) start: usize,
    pub(super) len: usize,
}
