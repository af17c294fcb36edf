//! Frames that could not be read, in words.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::words::worth_telling;
use crate::packet::Undecoded;

/// Kinds that are named, at most: a damaged capture has tens of thousands.
const MOST_KINDS: usize = 10;

/// The kinds of frames that are worth a word, the most frequent first.
pub(super) struct Unread {
    /// Those that are named, and how many frames of each there were.
    pub(super) named: Vec<(Undecoded, u64)>,
    /// Kinds that are not named, and their frames.
    pub(super) others: (usize, u64),
}

impl Unread {
    pub(super) fn of(undecoded: &BTreeMap<Undecoded, u64>) -> Self {
        let worth = undecoded.iter().filter(|(why, _)| worth_telling(**why));
        let mut named: Vec<_> = worth.map(|(why, frames)| (*why, *frames)).collect();
        named.sort_by_key(|(why, frames)| (Reverse(*frames), *why));
        let others = named.split_off(named.len().min(MOST_KINDS));
        let frames = others.iter().map(|(_, frames)| frames).sum();
        Self { named, others: (others.len(), frames) }
    }

    /// The kinds that are not named, in words; `None` where there are none.
    pub(super) fn others(&self) -> Option<String> {
        let (kinds, frames) = self.others;
        (kinds > 0).then(|| format!("{kinds} other {} ({frames})", if kinds == 1 { "kind" } else { "kinds" }))
    }
}

/// Says how many frames could not be read, and of which kinds; `None` where none was that is worth a word.
pub fn unread(undecoded: &BTreeMap<Undecoded, u64>) -> Option<String> {
    let unread = Unread::of(undecoded);
    let frames = unread.named.iter().map(|(_, frames)| frames).sum::<u64>() + unread.others.1;
    let kinds: Vec<_> = unread.named.iter().map(|(why, frames)| format!("{why} ({frames})")).collect();
    let others = unread.others().map_or_else(String::new, |others| format!(", and {others}"));
    (frames > 0).then(|| format!("frames that could not be read: {frames}: {}{others}", kinds.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_kinds_are_named_and_the_others_counted() {
        let mut undecoded = BTreeMap::from([(Undecoded::NotIp(0x0806), 900), (Undecoded::Llc, 7)]);
        assert_eq!(unread(&undecoded), None, "nothing is hidden in them");
        undecoded.extend([(Undecoded::Truncated, 2), (Undecoded::Malformed, 5)]);
        let few = "frames that could not be read: 7: malformed header (5), cut short within the headers (2)";
        assert_eq!(unread(&undecoded).unwrap(), few);
        undecoded.extend((0x1000..0x1000 + 9).map(|kind| (Undecoded::NotIp(kind), 3)));
        let one = unread(&undecoded).unwrap();
        assert!(
            one.starts_with("frames that could not be read: 34: malformed header (5), EtherType"),
            "{one}"
        );
        assert!(one.ends_with(", and 1 other kind (2)"), "{one}");
        undecoded.extend((0x1000..=u16::MAX).map(|kind| (Undecoded::NotIp(kind), 3)));
        let many = unread(&undecoded).unwrap();
        assert!(many.contains(" other kinds (") && many.len() < 500, "{many}");
    }
}
