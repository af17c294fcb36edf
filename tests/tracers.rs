//! Captures of other tracers' sweeps, under `fixtures/tracers`: a replay names the hops between which the culprit stands,
//! and clears it of nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod report;

use std::fs;
use std::path::Path;

use whichhop::diagnose::{Diagnosis, Question};
use whichhop::recording::Reader;
use whichhop::report::json;

use report::{Expected, Report};

/// What is true of a fault of the lab.
struct Truth {
    fault: &'static str,
    guilty: &'static str,
    segment: &'static str,
    outcome: &'static str,
    /// Addresses that the first suspect may bear: of the hop that is to blame, and of the one before it where nothing
    /// that a tracer sees tells them apart. Empty where no answer lets one tell.
    blamed: &'static [&'static str],
}

const TRUTHS: [Truth; 7] = [
    Truth {
        fault: "edge-reset",
        guilty: "edge-firewall",
        segment: "edge",
        outcome: "reset",
        blamed: &["10.22.1.1"],
    },
    Truth { fault: "edge-proxy-silent", guilty: "edge-proxy", segment: "edge", outcome: "", blamed: &[] },
    Truth {
        fault: "transit-blackhole",
        guilty: "transit-route",
        segment: "transit",
        outcome: "timeout",
        blamed: &["10.22.1.1", "198.18.1.2"],
    },
    Truth {
        fault: "transit-unreachable",
        guilty: "transit-route",
        segment: "transit",
        outcome: "",
        blamed: &["10.22.1.1", "198.18.1.2"],
    },
    Truth {
        fault: "azure-drop-before-ttl",
        guilty: "azure-nsg",
        segment: "azure-edge",
        outcome: "timeout",
        blamed: &[],
    },
    Truth {
        fault: "azure-reset",
        guilty: "azure-firewall",
        segment: "azure-edge",
        outcome: "reset",
        blamed: &["198.18.3.2"],
    },
    Truth {
        fault: "vm-sshd-stopped",
        guilty: "vm-sshd-not-running",
        segment: "vm",
        outcome: "reset",
        blamed: &["198.19.0.4"],
    },
];

const TOOLS: [&str; 7] = ["tcptraceroute", "traceroute", "mtr", "nmap", "scamper", "trippy", "hping3"];

/// The report on a capture, and how many records it holds.
fn replay(tool: &str, fault: &str) -> (Report, u64) {
    let name = format!("{tool}-{fault}.pcap");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tracers").join(&name);
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
    let azure_nets = ["198.18.3.0/24", "198.19.0.0/24"].map(|net| net.parse().unwrap()).into();
    let mut diagnosis = Diagnosis::new(Question { azure_nets, ..Question::default() });
    let mut reader = Reader::new(bytes.as_slice()).unwrap();
    let mut records = 0;
    while let Some(record) = reader.next().unwrap() {
        records = record.number.0;
        diagnosis.push(&record);
    }
    let findings = diagnosis.finish().unwrap_or_else(|e| panic!("{name}: {e}"));
    (Report::parse(&json(&findings)), records)
}

fn for_each(look: impl Fn(&str, &Truth, &Report, u64) -> Vec<String>) {
    let mut broken = Vec::new();
    for truth in &TRUTHS {
        for tool in TOOLS {
            let (report, records) = replay(tool, truth.fault);
            for what in look(tool, truth, &report, records) {
                broken.push(format!("{tool} over {}: {what}\n{}", truth.fault, report.summary()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_tracers_capture_clears_the_culprit() {
    for_each(|_, truth, report, records| {
        let expected = Expected {
            outcomes: vec![],
            segment: Some(truth.segment.to_owned()),
            guilty: Some(truth.guilty.to_owned()),
            beyond: true,
        };
        report.unsound(&expected, records)
    });
}

#[test]
fn every_tracers_capture_leads_to_the_guilty_hop() {
    for_each(|_, truth, report, _| {
        let mut broken = Vec::new();
        if !truth.outcome.is_empty() && report.outcome() != truth.outcome {
            broken.push(format!("the outcome is {}, not {}", report.outcome(), truth.outcome));
        }
        let first = report.first_address();
        if !truth.blamed.is_empty() && !first.is_some_and(|first| truth.blamed.contains(&first)) {
            broken.push(format!("{first:?} is blamed first, not one of {:?}", truth.blamed));
        }
        broken
    });
}

#[test]
fn every_capture_is_of_a_tool_and_a_fault() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tracers");
    for entry in fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some((tool, fault)) = name.strip_suffix(".pcap").and_then(|name| name.split_once('-')) else {
            assert_eq!(name, "README.md");
            continue;
        };
        assert!(TOOLS.contains(&tool) && TRUTHS.iter().any(|truth| truth.fault == fault), "{name}");
    }
}
