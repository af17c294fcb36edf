//! A hostile network: floods of forged answers while a trace runs, and captures that lose packets.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::forger::{Flood, flooded};
use crate::lab::{AZURE_NETS, Fault, Lab, Options};
use crate::report::{Expected, Report};
use crate::tool::{Bench, Ran, ran};
use crate::wire::Wire;

/// Bytes of a recording made under a flood, at most.
const LARGEST_RECORDING: u64 = 40 << 20;

/// Resident memory of a trace under a flood, in KiB, at most.
const MOST_MEMORY: u64 = 200 << 10;

fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["--json"];
    for net in AZURE_NETS {
        all.extend(["--azure-net", net]);
    }
    all.extend(more);
    all.push("198.19.0.4");
    all
}

/// Traces, and tells the most memory that was resident.
fn traced(bench: &Bench, lab: &Lab, more: &[&str]) -> (Ran, u64) {
    let mut command = bench.trace(lab, &arguments(more));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        most = most.max(peak.and_then(|kib| kib.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0));
        thread::sleep(Duration::from_millis(20));
    }
    (Ran::from(child.wait_with_output().unwrap()), most)
}

fn standing(report: &Report) -> BTreeSet<String> {
    report.standing().iter().map(|(suspect, _)| (*suspect).to_owned()).collect()
}

/// A trace under a flood says what one in peace says, or less; never something else.
fn withstands(test: &str, fault: Fault) {
    let Some(mut lab) = Lab::for_test(test, Options::default()) else { return };
    lab.apply(fault).unwrap();
    let bench = Bench::new();
    let in_peace = ran(&mut bench.trace(&lab, &arguments(&[]))).report();
    drop(lab);

    // Routers have spent their errors: another path.
    let mut lab = Lab::new(Options::default()).unwrap();
    lab.apply(fault).unwrap();
    let ((under_flood, memory), packets) = flooded(&lab, Flood::Forged, || traced(&bench, &lab, &[]));
    let kept = bench.keep(test);
    assert!(packets > 5_000, "it was a flood: {packets} packets");
    let wire = Wire::read(&bench.recording());
    let report = under_flood.report();
    let broken = report.unsound(&Expected::from(fault.truth()), wire.records);
    assert!(broken.is_empty(), "{kept}\n{}\n{}", broken.join("\n"), report.summary());
    assert_eq!(report.outcome(), in_peace.outcome(), "{kept}\n{}", report.summary());
    let missing: Vec<_> = standing(&in_peace).difference(&standing(&report)).cloned().collect();
    assert!(missing.is_empty(), "{kept}: the flood cleared {missing:?}\n{}", report.summary());

    let size = fs::metadata(bench.recording()).unwrap().len();
    assert!(size < LARGEST_RECORDING, "{size} bytes were recorded of {packets} packets");
    assert!(memory < MOST_MEMORY, "{memory} KiB were resident");
    let replayed = bench.replay(&arguments(&[])[..1]);
    assert_eq!(replayed.stdout, under_flood.stdout, "{kept}");
}

#[test]
fn forged_answers_do_not_change_a_drop() {
    withstands("forged_answers_do_not_change_a_drop", Fault::VmDropIn);
}

#[test]
fn forged_answers_do_not_change_a_reset() {
    withstands("forged_answers_do_not_change_a_reset", Fault::EdgeReset);
}

#[test]
fn forged_answers_do_not_change_success() {
    withstands("forged_answers_do_not_change_success", Fault::Healthy);
}

/// With so small a ring a flood makes the capture lose packets: then silence clears nobody.
fn does_not_trust_silence(test: &str, fault: Fault) {
    let Some(mut lab) = Lab::for_test(test, Options::default()) else { return };
    lab.apply(fault).unwrap();
    let bench = Bench::new();
    let more = ["--buffer", "4096"];
    let ((traced, _), packets) = flooded(&lab, Flood::Bulk, || traced(&bench, &lab, &more));
    let report = traced.report();
    let kept = bench.keep(test);
    let said = |caveat: &&str| caveat.contains("lost") && caveat.contains("silence is not taken as evidence");
    assert!(report.caveats().iter().any(said), "{packets} packets; {kept}\n{}", report.summary());
    let wire = Wire::read(&bench.recording());
    let broken = report.unsound(&Expected::from(fault.truth()), wire.records);
    assert!(broken.is_empty(), "{kept}\n{}\n{}", broken.join("\n"), report.summary());
    // Rules that rest on what did not come.
    let silent = ["kernel-syn-not-on-wire", "port-stops-where-control-goes-on", "no-answer-from-nearer"];
    for rule in silent {
        assert!(!traced.stdout.contains(rule), "{rule}: {kept}\n{}", report.summary());
    }
    let replayed = bench.replay(&["--json"]);
    assert_eq!(replayed.stdout, traced.stdout, "{kept}");
}

#[test]
fn where_packets_were_lost_silence_clears_nobody() {
    does_not_trust_silence("where_packets_were_lost_silence_clears_nobody", Fault::EdgeDropAfterTtl);
}

#[test]
fn a_syn_that_was_not_captured_may_have_left() {
    does_not_trust_silence("a_syn_that_was_not_captured_may_have_left", Fault::ClientDropOut);
}
