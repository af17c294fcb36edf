//! What size of packet gets beyond a place where full-size segments are lost.

use super::Scene;
use super::stage::{BESIDE_HARMLESS, UNANSWERED, harmless_behind};
use crate::path::DataProbe;
use crate::recording::RecordNumber;

/// The sizes between which a link's lies, in bytes of an IP packet.
pub(super) struct Sizes {
    /// The largest that got beyond.
    passes: u32,
    /// The smallest that did not.
    lost: u32,
    /// What shows both.
    pub(super) packets: Vec<RecordNumber>,
}

impl Sizes {
    /// Of what was sent to run out at hop `next` or farther; a size counts as lost where it went unanswered as often as
    /// full size must, and beside as many harmless bytes.
    pub(super) fn beyond(scene: &Scene<'_>, next: u8) -> Option<Self> {
        let there = || scene.data.iter().filter(move |p| p.hop_limit >= next && p.is_sized());
        let passed = there().filter(|p| p.time_exceeded().is_some()).max_by_key(|p| p.len)?;
        let of_len = |len: u32| there().filter(move |p| p.len == len);
        let beside = |len: u32| of_len(len).filter_map(|p| Some((p, harmless_behind(scene, p)?)));
        let is_lost = |len: u32| of_len(len).count() >= UNANSWERED && beside(len).count() >= BESIDE_HARMLESS;
        let lost = there().map(|p| p.len).filter(|len| *len > passed.len && is_lost(*len)).min()?;
        let answers = |p: &DataProbe| p.time_exceeded().map(|reply| reply.record);
        let mut packets = vec![passed.record];
        packets.extend(answers(passed));
        packets.extend(of_len(lost).map(|p| p.record));
        packets.extend(beside(lost).flat_map(|(_, h)| [Some(h.record), answers(h)]).flatten());
        Some(Self { passes: passed.packet_len(), lost: passed.packet_len() - passed.len + lost, packets })
    }

    /// In words, behind what says that full size is lost.
    pub(super) fn says(&self) -> String {
        let Self { passes, lost, .. } = self;
        if passes + 1 == *lost {
            format!("packets of up to {passes} bytes get beyond it, and of {lost} do not")
        } else {
            format!("packets of {passes} bytes get beyond it, and of {lost} do not")
        }
    }
}
