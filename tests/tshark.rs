//! What whichhop makes of captures beside what tshark says of each frame: the same attempts, and the same of each.
//!
//! The reading here is the plain one: tshark's fields, stream by stream, in the order of the capture.

#![cfg(all(feature = "live", target_os = "linux"))]
#![allow(clippy::disallowed_methods, reason = "the lab lives in real time")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "tshark/frames.rs"]
mod frames;
mod lab;
#[path = "tshark/traffic.rs"]
mod traffic;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::{Lab, Options, Role, program, say_skipped};
use serde_json::Value;

/// What is known of an attempt: all that JSON says of it but the outcome, the time cut to microseconds.
type Known = BTreeMap<&'static str, String>;

/// Whether tshark is here; says so where it is not.
fn has_tshark(test: &str) -> bool {
    let found = program("tshark").is_some();
    if !found {
        let why = "there is no tshark; scripts/setup --tests installs it";
        assert!(std::env::var_os("WHICHHOP_NETNS").is_none_or(|v| v != "1"), "WHICHHOP_NETNS=1, but {why}");
        say_skipped(test, why);
    }
    found
}

/// What whichhop says of the attempts in a capture.
fn ours(capture: &Path) -> Vec<Known> {
    let output = Command::new(env!("CARGO_BIN_EXE_whichhop"))
        .args(["attempts", "-p", "any", "--json", "--sort"])
        .arg(capture)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let line = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        let mut known = Known::new();
        for key in frames::KEYS {
            known.insert(key, value[key].to_string());
        }
        // Digits as in the text, where a float would not keep them.
        let at = line.split("\"first_syn\":").nth(1).unwrap().split(',').next().unwrap();
        known.insert("first_syn", frames::micros(at));
        known
    };
    String::from_utf8(output.stdout).unwrap().lines().map(line).collect()
}

/// Holds both readings of a capture against each other; how many attempts there are.
fn compare(capture: &Path) -> usize {
    let (mut ours, mut theirs) = (ours(capture), frames::attempts(capture));
    ours.sort();
    theirs.sort();
    let only = |these: &[Known], others: &[Known]| -> String {
        let only = these.iter().filter(|one| !others.contains(one));
        only.map(|one| format!("  {one:?}")).collect::<Vec<_>>().join("\n")
    };
    assert!(
        ours == theirs,
        "{}\nonly whichhop says:\n{}\nonly tshark's fields say:\n{}",
        capture.display(),
        only(&ours, &theirs),
        only(&theirs, &ours)
    );
    ours.len()
}

#[test]
fn the_recordings_of_the_lab_are_read_alike() {
    if !has_tshark("the_recordings_of_the_lab_are_read_alike") {
        return;
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut captures: Vec<PathBuf> =
        fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path().join("capture.pcapng")).collect();
    captures.retain(|capture| capture.is_file());
    captures.sort();
    let attempts: usize = captures.iter().map(|capture| compare(capture)).sum();
    assert!(attempts > captures.len(), "{attempts} attempts in {} recordings", captures.len());
}

/// Every way in which a connection may go, captured by tcpdump on the client, on a router (where each packet comes
/// twice), and on the server.
#[test]
fn real_captures_are_read_alike() {
    let test = "real_captures_are_read_alike";
    let Some(lab) = Lab::for_test(test, Options::default()) else { return };
    if !has_tshark(test) {
        return;
    }
    if program("tcpdump").is_none() {
        say_skipped(test, "there is no tcpdump; scripts/setup --tests installs it");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let taps = [
        ("client", Role::Client, "eth0"),
        ("client-any", Role::Client, "any"),
        ("edge-any", Role::Edge, "any"),
        ("vm", Role::Vm, "eth0"),
    ];
    let tapped: Vec<_> = taps
        .iter()
        .map(|(name, role, interface)| {
            traffic::Tap::start(lab.node(*role), interface, &dir.path().join(format!("{name}.pcap")))
        })
        .collect();
    let made = traffic::make(&lab);
    let captures: Vec<_> = tapped.into_iter().map(traffic::Tap::stop).collect();
    for (capture, (name, ..)) in captures.iter().zip(taps) {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tshark-{name}.pcap"));
        fs::copy(capture, &kept).unwrap();
        let attempts = compare(&kept);
        assert_eq!(attempts, made, "attempts in {name}");
        fs::remove_file(kept).unwrap();
    }
}
