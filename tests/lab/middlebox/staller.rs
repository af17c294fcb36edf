//! A box that lets connections die of silence.

use std::collections::BTreeSet;

use super::segment::Connection;
use super::{Leaving, Middlebox, Segment, Trigger, Way};

/// Swallows the packet it waits for, and whatever either end of that connection sends from then on.
pub(crate) struct Staller {
    on: Trigger,
    stalled: BTreeSet<Connection>,
}

impl Staller {
    pub(super) const fn on(trigger: Trigger) -> Self {
        Self { on: trigger, stalled: BTreeSet::new() }
    }
}

impl Middlebox for Staller {
    fn take(&mut self, way: Way, frame: &[u8], leaving: &mut Leaving) {
        if let Some(segment) = Segment::read(frame) {
            let connection = segment.connection();
            if self.on.fits(way, &segment) {
                self.stalled.insert(connection);
            }
            if self.stalled.contains(&connection) {
                return;
            }
        }
        leaving.push((way, frame.to_vec()));
    }
}
