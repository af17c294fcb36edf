//! The only composition: records in, findings out.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::attempt::{Attempt, Outcome};
use crate::evidence::Evidence;
use crate::packet::Undecoded;
use crate::path::Path;
use crate::recording::{Record, Truncation};
use crate::verdict::Verdict;

/// What is asked of a diagnosis beyond what the recording says itself.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The port; the recording's own, else 22.
    pub port: Option<u16>,
    /// Networks to count as the organisation's edge, beside the recording's own.
    pub edge_nets: Vec<IpNet>,
    /// Networks to count as Azure, beside the recording's own.
    pub azure_nets: Vec<IpNet>,
}

/// Everything that was found out.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What was traced.
    pub target: TargetFound,
    /// Outcome of the attempt on the SSH port.
    pub outcome: Outcome,
    /// Who did it.
    pub verdict: Verdict,
    /// The way there.
    pub path: Path,
    /// What shows it; `because` fields are indices into this.
    pub evidence: Vec<Evidence>,
    /// The attempts on the port, in order of first SYN.
    pub attempts: Vec<Attempt>,
    /// The other addresses of the name, and how they did.
    pub other_addresses: Vec<(IpAddr, Outcome)>,
    /// What limits these findings: plain sentences.
    pub caveats: Vec<String>,
    /// Frames that could not be read, by reason.
    pub undecoded: BTreeMap<Undecoded, u64>,
    /// Attempts dropped from memory because there were too many at once.
    pub evicted: u64,
}

/// What was traced.
#[derive(Clone, Debug)]
pub struct TargetFound {
    /// The name as given.
    pub name: Option<String>,
    /// The address diagnosed.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// Why there is nothing to diagnose.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NothingToDiagnose {
    /// No attempt to connect to the port.
    #[error("no attempt to connect to port {port} in it (no SYN{}); name another port with -p", others(.ports))]
    NoSyn {
        /// The port asked for.
        port: u16,
        /// Ports that SYNs were sent to.
        ports: Vec<u16>,
    },
}

fn others(ports: &[u16]) -> String {
    if ports.is_empty() {
        return " at all".to_owned();
    }
    let list: Vec<_> = ports.iter().take(8).map(u16::to_string).collect();
    format!("; there are SYNs to port {}", list.join(", "))
}

/// A diagnosis in the making.
#[derive(Debug)]
pub struct Diagnosis {
    #[allow(dead_code)]
    question: Question,
}

impl Diagnosis {
    /// Starts one.
    pub fn new(question: Question) -> Self {
        Self { question }
    }

    /// Takes the next record.
    pub fn push(&mut self, record: &Record<'_>) {
        let _ = record;
    }

    /// Says that the recording breaks off.
    pub fn truncated(&mut self, truncation: &Truncation) {
        let _ = truncation;
    }

    /// What was found.
    pub fn finish(self) -> Result<Findings, NothingToDiagnose> {
        Err(NothingToDiagnose::NoSyn { port: 22, ports: vec![] })
    }
}
