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
    },
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

    /// Whether it clears the culprit.
    pub(crate) fn clears_the_culprit(&self, truth: &Truth) -> bool {
        matches!((self, truth.guilty), (Self::Verdict { cleared, .. }, Some(guilty))
            if cleared.iter().any(|suspect| suspect == guilty.name()))
    }

    /// How many suspects, and of how many segments, it leaves standing.
    pub(crate) fn standing(&self) -> Option<(usize, usize)> {
        let Self::Verdict { standing, .. } = self else { return None };
        let mut segments: Vec<&str> = standing.iter().map(|(_, segment)| segment.as_str()).collect();
        segments.sort_unstable();
        segments.dedup();
        Some((standing.len(), segments.len()))
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
