//! Where the attempts of two endpoints are.

use std::mem;

use prefetch_index::prefetch_index;

use super::slots::NONE;

/// Places by hash, in groups of one cache line each, where what finds no room goes on to the next.
///
/// A look at one line nearly always tells the place; it can be fetched before it is looked at, and no branch depends on
/// what is in it. hashbrown looks at two, one behind the other, and lets neither be fetched; without the hashes it has to
/// look at every attempt when it grows.
#[derive(Debug)]
pub(super) struct Table {
    /// A power of two of them, at most half full: few of them overflow.
    groups: Vec<Group>,
    used: usize,
}

/// Entries in a group.
const ENTRIES: usize = 8;

#[derive(Clone, Debug)]
#[repr(align(64))]
struct Group {
    hashes: [u32; ENTRIES],
    /// [`NONE`] where an entry is free.
    places: [u32; ENTRIES],
}

const EMPTY: Group = Group { hashes: [0; ENTRIES], places: [NONE; ENTRIES] };

/// Groups at first.
const FEW: usize = 1 << 7;

/// An entry that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    group: usize,
    entry: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { groups: vec![EMPTY; FEW], used: 0 }
    }
}

impl Table {
    /// Has the processor fetch what a search for `hash` will look at.
    #[inline]
    pub(super) fn fetch(&self, hash: u32) {
        prefetch_index(&self.groups, self.home(hash));
    }

    /// The place with this hash in its own group, or [`NONE`]: nearly always the one that is meant. Where two hashes are the
    /// same it may be any place: whoever uses it has to look.
    #[inline]
    pub(super) fn likely(&self, hash: u32) -> u32 {
        let Some(Group { hashes, places }) = self.groups.get(self.home(hash)) else { return NONE };
        // So that all eight are looked at in a few steps; [`NONE`] is what is left of those that are free.
        let alike = hashes.iter().zip(places).map(|(other, place)| if *other == hash { !place } else { 0 });
        !alike.fold(0, |all, place| all | place)
    }

    /// The entry with this hash whose place `is` the right one.
    #[inline]
    pub(super) fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<Found> {
        let mut group = self.home(hash);
        loop {
            let Group { hashes, places } = self.groups.get(group)?;
            for (entry, (other, place)) in hashes.iter().zip(places).enumerate() {
                if *other == hash && *place != NONE && is(*place) {
                    return Some(Found { group, entry });
                }
            }
            if places.contains(&NONE) {
                return None;
            }
            group = self.after(group);
        }
    }

    /// The place in an entry.
    #[inline]
    pub(super) fn place(&self, Found { group, entry }: Found) -> u32 {
        self.groups[group].places[entry]
    }

    /// Puts another place into an entry.
    pub(super) fn replace(&mut self, Found { group, entry }: Found, place: u32) {
        self.groups[group].places[entry] = place;
    }

    /// Adds an entry.
    pub(super) fn insert(&mut self, hash: u32, place: u32) {
        if 2 * self.used >= ENTRIES * self.groups.len() {
            let more = vec![EMPTY; 2 * self.groups.len()];
            for Group { hashes, places } in mem::replace(&mut self.groups, more) {
                for (hash, place) in hashes.into_iter().zip(places).filter(|(_, place)| *place != NONE) {
                    self.put(hash, place);
                }
            }
        }
        self.used += 1;
        self.put(hash, place);
    }

    /// Removes an entry. Where its group was full, one that had found no room in it moves there, so that no search ends
    /// before it.
    pub(super) fn remove(&mut self, Found { group, entry }: Found) {
        self.used -= 1;
        let mut hole = Found { group, entry };
        let mut full = !self.groups[group].places.contains(&NONE);
        self.replace(hole, NONE);
        let mut at = group;
        while full {
            at = self.after(at);
            let Group { hashes, places } = &self.groups[at];
            full = !places.contains(&NONE);
            let passed = at.wrapping_sub(hole.group) & self.mask();
            let overflowed = |entry: &usize| {
                let displaced = at.wrapping_sub(self.home(hashes[*entry])) & self.mask();
                places[*entry] != NONE && displaced >= passed
            };
            if let Some(entry) = (0..ENTRIES).find(overflowed) {
                let (hash, place) = (hashes[entry], places[entry]);
                self.groups[hole.group].hashes[hole.entry] = hash;
                self.replace(hole, place);
                hole = Found { group: at, entry };
                self.replace(hole, NONE);
            }
        }
    }

    fn put(&mut self, hash: u32, place: u32) {
        let mut group = self.home(hash);
        loop {
            let Group { hashes, places } = &mut self.groups[group];
            if let Some(free) = places.iter().position(|place| *place == NONE) {
                (hashes[free], places[free]) = (hash, place);
                return;
            }
            group = self.after(group);
        }
    }

    #[inline]
    fn mask(&self) -> usize {
        self.groups.len() - 1
    }

    #[inline]
    fn home(&self, hash: u32) -> usize {
        hash as usize & self.mask()
    }

    #[inline]
    fn after(&self, group: usize) -> usize {
        (group + 1) & self.mask()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(
            // Hashes that are the same, that fill groups, and that begin their search in the last group.
            steps in prop::collection::vec((prop_oneof![0..4_u32, 124..132_u32, any::<u32>()], any::<bool>()), 1..3000)
        ) {
            let mut table = Table::default();
            let mut known: BTreeMap<u32, u32> = BTreeMap::new();
            for (place, (hash, add)) in (0..).zip(steps) {
                if add {
                    table.insert(hash, place);
                    known.insert(place, hash);
                } else if let Some(at) = table.find(hash, |_| true) {
                    prop_assert_eq!(known.remove(&table.place(at)), Some(hash));
                    table.remove(at);
                } else {
                    prop_assert!(!known.values().any(|other| *other == hash));
                }
            }
            prop_assert_eq!(table.used, known.len());
            prop_assert!(2 * table.used <= ENTRIES * table.groups.len());
            for (place, hash) in known {
                let found = table.find(hash, |other| other == place);
                prop_assert_eq!(found.map(|at| table.place(at)), Some(place));
            }
        }
    }
}
