//! A capture of many attempts at once, and the truth that its maker knows.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../benches/traffic/mod.rs"]
mod traffic;

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use tempfile::TempDir;

/// What `attempts -p any --json` prints, on all processors or on the first alone.
fn attempts(one_processor: bool, options: &[&str], capture: &Path) -> String {
    let mut command = if one_processor {
        let mut taskset = Command::new("taskset");
        taskset.args(["-c", "0"]).arg(cargo_bin("whichhop"));
        taskset
    } else {
        Command::new(cargo_bin("whichhop"))
    };
    let output =
        command.args(["attempts", "-p", "any", "--json"]).args(options).arg(capture).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A capture of 60,000 packets, and what is true of it.
fn mixed() -> (TempDir, PathBuf, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mixed.pcap");
    let mut truth = Vec::new();
    let mut out = BufWriter::new(File::create(&path).unwrap());
    traffic::mixed(60_000, &mut out, &mut truth).unwrap();
    (dir, path, String::from_utf8(truth).unwrap())
}

#[test]
fn attempts_are_what_the_maker_of_the_capture_says() {
    let (_dir, capture, truth) = mixed();
    let told = attempts(false, &["--sort"], &capture);
    assert_eq!(told.lines().count(), 6_000);
    for (told, truth) in told.lines().zip(truth.lines()) {
        assert_eq!(told, truth);
    }
    let outcomes =
        ["timeout", "reset", "rejected", "half-open", "no-banner", "closed", "reset-after-handshake"];
    for outcome in outcomes.into_iter().chain(["not-ssh", "open", "completed"]) {
        assert!(truth.contains(&format!("\"outcome\":\"{outcome}\"")), "the capture has no {outcome}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn one_processor_tells_the_same_as_several_in_the_same_order() {
    let (_dir, capture, _) = mixed();
    let told = attempts(false, &[], &capture);
    assert!(told == attempts(true, &[], &capture));
    assert!(told == attempts(false, &[], &capture), "and so does a second run, with other random keys");
}

#[test]
fn of_a_flood_every_syn_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("flood.pcap");
    traffic::flood(20_000, &mut BufWriter::new(File::create(&capture).unwrap())).unwrap();
    let told = attempts(false, &[], &capture);
    assert_eq!(told.lines().filter(|line| line.contains("\"outcome\":\"timeout\"")).count(), 20_000);
    fs::remove_file(capture).unwrap();
}
