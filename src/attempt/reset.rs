//! Resets that answered a SYN, each beside what can have drawn it.

use super::{About, Attempt, Segment, What};
use crate::packet::IcmpErrorKind;
use crate::recording::{RecordNumber, Timestamp};

/// A reset of the server's side that came while the client had sent nothing but SYNs.
#[derive(Clone, Copy, Debug)]
pub struct SynReset<'a> {
    /// The record that holds it.
    pub record: RecordNumber,
    /// When it came.
    pub at: Timestamp,
    /// Its header.
    pub segment: &'a Segment,
    /// Whether a client that follows RFC 9293 would have to believe it.
    pub acceptable: bool,
    /// The record of the SYN before it.
    pub syn: RecordNumber,
    /// The hop limit of the SYN that drew it, where only one can have.
    pub drawn_by: Option<u8>,
    /// The time exceeded that the same SYN drew, where there was only one SYN.
    pub time_exceeded: Option<RecordNumber>,
}

impl Attempt {
    /// The resets that answered its SYNs, in order.
    pub fn resets_of_syn(&self) -> impl Iterator<Item = SynReset<'_>> {
        let only_syns = |what: &What| {
            let of_client = matches!(
                what,
                What::Ack(_)
                    | What::Data { from_client: true, .. }
                    | What::Fin { from_client: true, .. }
                    | What::Rst { from_client: true, .. }
            );
            !of_client
        };
        let opening = self.timeline.iter().take_while(move |e| only_syns(&e.what)).enumerate();
        opening.filter_map(|(index, entry)| {
            let What::Rst { from_client: false, segment, acceptable } = &entry.what else { return None };
            let (syn, _) = self.syns_before(index).last()?;
            let mut hop_limits = self.syns_before(index).map(|(_, syn)| syn.hop_limit.0);
            let first = hop_limits.next();
            let drawn_by = first.filter(|first| hop_limits.all(|other| other == *first));
            let time_exceeded = self.time_exceeded_of_only_syn();
            let (record, at, acceptable) = (entry.record, entry.at, *acceptable);
            Some(SynReset { record, at, segment, acceptable, syn, drawn_by, time_exceeded })
        })
    }

    /// The SYNs among the first `entries` of the timeline.
    pub fn syns_before(&self, entries: usize) -> impl Iterator<Item = (RecordNumber, &Segment)> {
        self.timeline.iter().take(entries).filter_map(|e| match &e.what {
            What::Syn(segment) => Some((e.record, segment)),
            _ => None,
        })
    }

    /// Whether its first SYN bears a wrong checksum: a question to whoever does not verify it.
    pub fn has_bad_checksum(&self) -> bool {
        self.syns_before(1).any(|(_, syn)| syn.checksum_ok == Some(false))
    }

    fn time_exceeded_of_only_syn(&self) -> Option<RecordNumber> {
        let entry = self.timeline.iter().find(|e| {
            matches!(&e.what, What::Icmp(seen)
                if seen.kind == IcmpErrorKind::TimeExceeded && seen.about != About::Later)
        })?;
        (self.syn == 1).then_some(entry.record)
    }
}
