//! What a tool's output leads a reader to blame, and whether that is right.

use std::fmt::Write as _;
use std::net::IpAddr;

use whichhop::path::Segment;

use crate::lab::{Truth, VM};

/// What a tool told.
pub(crate) enum Reading {
    /// Hops, as a tracer prints them.
    Hops(Vec<Hop>),
    /// A verdict of whichhop's.
    Verdict {
        outcome: String,
        /// The suspects that stand, the most suspected first, with their segments.
        standing: Vec<(String, String)>,
        cleared: Vec<String>,
        /// Those that stand only if an assumption that it names is wrong.
        assumed_away: Vec<String>,
    },
}

/// In which of whichhop's lists the culprit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Culprit {
    Stands,
    AssumedAway,
    Cleared,
    /// In none; so it is where whichhop says `open`.
    Absent,
}

/// A line of a tracer's output.
pub(crate) struct Hop {
    pub(crate) number: u8,
    pub(crate) address: IpAddr,
    /// That it refuses the packet by an ICMP error, where the tool tells that from time-exceeded.
    pub(crate) refuses: bool,
}

/// Hops in path order that a reader may blame: 0 is the client, 5 the VM.
const VM_HOP: u8 = 5;

impl Reading {
    /// The hops that a reader may blame; empty if nothing is wrong.
    fn blamed(&self) -> Vec<u8> {
        let Self::Hops(hops) = self else { return Vec::new() };
        if let Some(refusing) = hops.iter().find(|hop| hop.refuses && !is_vm(hop.address)) {
            return vec![refusing.number];
        }
        match hops.iter().max_by_key(|hop| hop.number) {
            Some(last) if is_vm(last.address) => vec![VM_HOP],
            Some(last) => vec![last.number, last.number + 1],
            None => vec![0, 1],
        }
    }

    pub(crate) fn is_right(&self, truth: &Truth) -> bool {
        match self {
            Self::Hops(hops) => match truth.hop {
                Some(hop) => self.blamed().contains(&hop),
                None => hops.iter().any(|hop| is_vm(hop.address)),
            },
            Self::Verdict { outcome, standing, .. } => match truth.segment {
                Some(segment) => {
                    outcome != "open" && standing.first().is_some_and(|(_, first)| first == segment.name())
                }
                None => outcome == "open",
            },
        }
    }

    /// What whichhop makes of the culprit, where there is one.
    pub(crate) fn culprit(&self, truth: &Truth) -> Option<Culprit> {
        let Self::Verdict { standing, cleared, assumed_away, .. } = self else { return None };
        let guilty = truth.guilty?.name();
        Some(if cleared.iter().any(|suspect| suspect == guilty) {
            Culprit::Cleared
        } else if standing.iter().any(|(suspect, _)| suspect == guilty) {
            Culprit::Stands
        } else if assumed_away.iter().any(|suspect| suspect == guilty) {
            Culprit::AssumedAway
        } else {
            Culprit::Absent
        })
    }

    /// How many suspects whichhop leaves standing, and their segments in path order.
    pub(crate) fn standing(&self) -> Option<(usize, Vec<&'static str>)> {
        let Self::Verdict { standing, .. } = self else { return None };
        let stands = |segment: &&Segment| standing.iter().any(|(_, one)| one == segment.name());
        let segments = Segment::ALL.iter().filter(stands).map(|segment| segment.name()).collect();
        Some((standing.len(), segments))
    }

    /// Whether the outcome is that SSH is reachable.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Verdict { outcome, .. } if outcome == "open")
    }

    /// Whom it blames, in a few words.
    pub(crate) fn words(&self, truth: &Truth) -> String {
        let mut words = String::new();
        match self {
            Self::Hops(_) if truth.hop.is_none() => {
                words.push_str(if self.is_right(truth) { "reached" } else { "not reached" });
            }
            Self::Hops(_) => {
                for hop in self.blamed() {
                    let name = place(hop);
                    if !words.ends_with(name) {
                        let _ = write!(words, "{}{name}", if words.is_empty() { "" } else { " or " });
                    }
                }
            }
            Self::Verdict { outcome, standing, .. } => match standing.first() {
                Some((suspect, _)) if outcome != "open" => words.push_str(suspect),
                _ => words.push_str("open"),
            },
        }
        words
    }
}

fn is_vm(address: IpAddr) -> bool {
    VM.contains(&address)
}

/// The segment of a hop of the lab.
fn place(hop: u8) -> &'static str {
    match hop {
        0 => Segment::Client,
        1 => Segment::Edge,
        2 | 3 => Segment::Transit,
        4 => Segment::AzureEdge,
        _ => Segment::Vm,
    }
    .name()
}
