//! A firewall that chooses its own initial sequence numbers, as some do to hide weak ones.

use super::{Leaving, Middlebox, Segment, Way};

/// Adds a number to the client's sequence numbers, and takes it from the acknowledgements of them. What ICMP errors
/// quote stays as it was seen beyond the box.
pub(crate) struct ShiftedSequence(pub(super) u32);

impl Middlebox for ShiftedSequence {
    fn take(&mut self, way: Way, frame: &[u8], leaving: &mut Leaving) {
        let Some(mut segment) = Segment::read(frame) else {
            leaving.push((way, frame.to_vec()));
            return;
        };
        let tcp = &mut segment.tcp;
        match way {
            Way::Out => tcp.sequence_number = tcp.sequence_number.wrapping_add(self.0),
            Way::Back if tcp.ack => {
                tcp.acknowledgment_number = tcp.acknowledgment_number.wrapping_sub(self.0);
            }
            Way::Back => {}
        }
        leaving.push((way, segment.frame()));
    }
}
