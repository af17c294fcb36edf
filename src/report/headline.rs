//! The answer in one plain sentence.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::layout::{list, printable, sentence};
use super::words;
use crate::attempt::Outcome;
use crate::diagnose::{Findings, TargetFound};
use crate::evidence::Strength;
use crate::path::Segment;
use crate::verdict::Standing;

/// Longest piece of a banner that is quoted, in characters.
const BANNER: usize = 60;

/// One sentence that says whether SSH is reachable, and if not, who stops it and how surely.
pub(super) fn headline(findings: &Findings) -> String {
    let target = target(&findings.target);
    match findings.outcome {
        Outcome::Open => match banner(findings) {
            Some(banner) => format!("SSH is reachable: {target} answers \"{banner}\"."),
            None => format!("SSH is reachable: {target} answers."),
        },
        Outcome::Completed => {
            format!("A connection to {target} was made, but whether SSH answers there was not seen.")
        }
        Outcome::Intercepted if findings.is_relayed() => {
            let groups = groups(&findings.verdict.standing);
            let who = groups.first().map_or_else(|| "something".to_owned(), |g| g.who(true));
            sentence(&format!(
                "SSH to {target} works, but {who} most likely relays it: compare the host key before you trust it."
            ))
        }
        outcome => {
            let sure = findings.verdict.assuming.is_empty();
            let deed = words::deed(outcome, findings.conversation, &target);
            let accusation = accusation(
                &groups(&findings.verdict.standing),
                sure,
                &deed,
                words::outcome(outcome),
                &target,
            );
            let some = outcome == Outcome::Timeout && findings.conversation == Some(Outcome::Open);
            let rest = if some { " Other connections get through." } else { "" };
            sentence(&format!("{accusation}{rest}"))
        }
    }
}

/// `vm1 (198.19.0.4) port 22`.
pub(super) fn target(target: &TargetFound) -> String {
    let address = target.address.to_string();
    match &target.name {
        Some(name) if *name != address => format!("{} ({address}) port {}", printable(name), target.port),
        _ => format!("{address} port {}", target.port),
    }
}

/// Hops in words: `hop 1`, `hop 2 or 3`, `hops 2 to 5`.
pub(super) fn hops(hops: &BTreeSet<u8>) -> Option<String> {
    let (first, last) = (*hops.first()?, *hops.last()?);
    let contiguous = usize::from(last - first) + 1 == hops.len();
    Some(if contiguous && hops.len() > 2 {
        format!("hops {first} to {last}")
    } else {
        format!("hop {}", list(&hops.iter().map(u8::to_string).collect::<Vec<_>>(), "or"))
    })
}

/// Every hop that a suspect may be at.
pub(super) fn hops_of(standing: &Standing) -> BTreeSet<u8> {
    standing.hops.iter().copied().chain(standing.hop).collect()
}

fn banner(findings: &Findings) -> Option<String> {
    let seen = findings
        .attempts
        .iter()
        .filter(|a| a.server.ip() == findings.target.address && a.server.port() == findings.target.port)
        .find_map(|a| a.server_banner.as_deref())?;
    let mut text: String = printable(seen).into_owned();
    if let Some((at, _)) = text.char_indices().nth(BANNER) {
        text.truncate(at);
        text.push('…');
    }
    Some(text)
}

/// All that stands in one segment.
struct Group<'a> {
    segment: Segment,
    /// That of the strongest.
    strength: Strength,
    standing: Vec<&'a Standing>,
}

/// The suspects by segment, the most suspected segment first.
fn groups(standing: &[Standing]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for one in standing {
        let segment = one.suspect.segment();
        if let Some(group) = groups.iter_mut().find(|g| g.segment == segment) {
            group.strength = group.strength.max(one.strength);
            group.standing.push(one);
        } else {
            groups.push(Group { segment, strength: one.strength, standing: vec![one] });
        }
    }
    groups.sort_by_key(|g| Reverse(g.strength));
    groups
}

impl Group<'_> {
    fn strongest(&self) -> impl Iterator<Item = &Standing> {
        self.standing.iter().copied().filter(|s| s.strength == self.strength)
    }

    /// The segment, with its hops if all of its strongest suspects have one; `with_address` adds the address
    /// of a single hop.
    fn who(&self, with_address: bool) -> String {
        let name = words::segment(self.segment);
        if matches!(self.segment, Segment::Client | Segment::Vm) {
            return name.to_owned();
        }
        let at: Vec<_> = self.strongest().map(hops_of).collect();
        if at.iter().any(BTreeSet::is_empty) {
            return name.to_owned();
        }
        let at: BTreeSet<u8> = at.into_iter().flatten().collect();
        let address = self.strongest().find_map(|s| s.address).filter(|_| with_address && at.len() == 1);
        match (hops(&at), address) {
            (Some(hops), Some(address)) => format!("{name} ({hops}, {address})"),
            (Some(hops), None) => format!("{name} ({hops})"),
            (None, _) => name.to_owned(),
        }
    }

    /// What in the segment did it, where that is one thing or one of two.
    fn what(&self) -> Option<String> {
        let strongest: Vec<_> = self.strongest().map(|s| words::suspect(s.suspect).to_owned()).collect();
        let alone = strongest.len() == self.standing.len();
        match (strongest.len(), self.strength) {
            (1..=2, Strength::Proven) => Some(list(&strongest, "or")),
            (1..=2, _) if alone => Some(list(&strongest, "or")),
            (1..=2, Strength::Likely) => Some(format!("most likely {}", list(&strongest, "or"))),
            _ => None,
        }
    }
}

/// Who does it; `sure` where nothing is taken for granted.
fn accusation(groups: &[Group<'_>], sure: bool, deed: &str, outcome: &str, target: &str) -> String {
    match groups {
        [] => {
            format!("SSH to {target} does not work ({outcome}), and nothing shows who stops it.")
        }
        [only] => {
            let adverb = if sure { "" } else { words::adverb(only.strength) };
            // Once is enough.
            let what = only.what().map(|what| if sure { what } else { what.replace(adverb, "") });
            let what = what.map_or_else(String::new, |what| format!(": {what}"));
            format!("{} {adverb}{deed}{what}.", only.who(true))
        }
        [first, second, ..] if first.strength > second.strength => {
            let adverb = words::adverb(first.strength);
            format!("{} {adverb}{deed}; {}.", first.who(true), possible_too(&groups[1..]))
        }
        [first, ..] => {
            let tied = groups.iter().take_while(|g| g.strength == first.strength).count();
            let either: Vec<_> = groups[..tied].iter().map(|g| g.who(true)).collect();
            let rest = if tied == groups.len() {
                String::new()
            } else {
                format!("; {}", possible_too(&groups[tied..]))
            };
            format!("either {} {deed}{rest}.", list(&either, "or"))
        }
    }
}

fn possible_too(groups: &[Group<'_>]) -> String {
    let who: Vec<_> = groups.iter().map(|g| g.who(false)).collect();
    let verb = if who.len() == 1 { "is" } else { "are" };
    format!("{} {verb} possible too", list(&who, "and"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Suspect;

    fn standing(list: &[(Suspect, Strength, &[u8])]) -> Vec<Standing> {
        list.iter()
            .map(|&(suspect, strength, hops)| Standing {
                suspect,
                hop: hops.first().copied(),
                hops: hops.to_vec(),
                address: hops.first().map(|n| [10, 0, 0, *n].into()),
                strength,
                because: Vec::new(),
            })
            .collect()
    }

    fn said(list: &[(Suspect, Strength, &[u8])]) -> String {
        let deed = words::deed(Outcome::Timeout, None, "vm1");
        sentence(&accusation(&groups(&standing(list)), true, &deed, "", "vm1"))
    }

    #[test]
    fn one_segment_is_named_without_doubt() {
        use Strength::{Likely, Possible, Proven};
        assert_eq!(
            said(&[(Suspect::EdgeFirewall, Proven, &[1])]),
            "The organisation's edge (hop 1, 10.0.0.1) drops SSH to vm1: a firewall."
        );
        assert_eq!(
            said(&[(Suspect::EdgeFirewall, Likely, &[1]), (Suspect::EdgeIds, Possible, &[1, 2])]),
            "The organisation's edge (hop 1, 10.0.0.1) drops SSH to vm1: most likely a firewall."
        );
        assert_eq!(
            said(&[
                (Suspect::EdgeFirewall, Possible, &[1, 2]),
                (Suspect::EdgeIds, Possible, &[2]),
                (Suspect::EdgeRoute, Possible, &[4]),
            ]),
            "The organisation's edge (hop 1, 2 or 4) drops SSH to vm1."
        );
    }

    #[test]
    fn several_segments_are_ranked() {
        use Strength::{Likely, Possible};
        assert_eq!(
            said(&[
                (Suspect::TransitFilter, Possible, &[2, 3, 4]),
                (Suspect::AzureNsg, Likely, &[]),
                (Suspect::VmFirewall, Possible, &[5]),
            ]),
            "Azure's edge most likely drops SSH to vm1; transit (hops 2 to 4) and the VM are possible too."
        );
        assert_eq!(
            said(&[
                (Suspect::AzureNsg, Likely, &[]),
                (Suspect::AzureFirewall, Likely, &[4]),
                (Suspect::VmFirewall, Likely, &[5]),
                (Suspect::TransitFilter, Possible, &[3]),
            ]),
            "Either Azure's edge or the VM drops SSH to vm1; transit (hop 3) is possible too."
        );
    }

    #[test]
    fn the_target_is_named_once() {
        let mut found = TargetFound { name: None, address: [10, 0, 0, 9].into(), port: 2222 };
        assert_eq!(target(&found), "10.0.0.9 port 2222");
        found.name = Some("10.0.0.9".to_owned());
        assert_eq!(target(&found), "10.0.0.9 port 2222");
        found.name = Some("vm1".to_owned());
        assert_eq!(target(&found), "vm1 (10.0.0.9) port 2222");
    }
}
