//! The recordings under `fixtures/`, each of a path with a known fault: what a replay says of them, to the letter.
//!
//! `INSTA_UPDATE=always cargo test --test replay` takes what is said now as what should be said.

mod report;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::LazyLock;

use insta::assert_snapshot;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence;
use whichhop::diagnose::{Diagnosis, Findings, Question};
use whichhop::path::Field;
use whichhop::recording::{Body, Reader};
use whichhop::report::{Style, json, text};

use report::{Fixture, Report};

/// No fixture takes more, in bytes: some forty segments of full size, and what quotes them.
const LARGEST: usize = 80_000;

/// What a capture holds, as far as it can be read; and how many records that are.
fn diagnose(capture: &[u8], question: Question) -> Result<(Findings, u64), String> {
    let mut reader = Reader::new(capture).map_err(|e| e.to_string())?;
    let mut diagnosis = Diagnosis::new(question);
    let mut records = 0;
    while let Some(record) = reader.next().map_err(|e| e.to_string())? {
        records = record.number.0;
        diagnosis.push(&record);
    }
    if let Some(truncation) = reader.truncation() {
        diagnosis.truncated(truncation);
    }
    Ok((diagnosis.finish().map_err(|e| e.to_string())?, records))
}

/// Looks at every fixture, also past one that fails.
fn for_each_fixture(look: impl Fn(&Fixture)) {
    let fixtures = Fixture::all();
    assert!(!fixtures.is_empty());
    let failed: Vec<&str> = fixtures
        .iter()
        .filter(|fixture| catch_unwind(AssertUnwindSafe(|| look(fixture))).is_err())
        .map(|fixture| fixture.name.as_str())
        .collect();
    assert!(failed.is_empty(), "of {} fixtures these fail: {}", fixtures.len(), failed.join(" "));
}

#[test]
fn every_fixture_is_small_and_says_what_it_is() {
    for_each_fixture(|fixture| {
        let Fixture { name, truth, recording } = fixture;
        assert!(recording.len() < LARGEST, "{name}: {} bytes", recording.len());
        assert!(!truth.about.is_empty() && truth.made.starts_with("whichhop trace "), "{name}");
        assert_eq!(name.ends_with("-ipv6"), truth.family == "ipv6", "{name}");
        assert_eq!(name.ends_with("-slow"), truth.delay_ms.is_some(), "{name}");
        assert_eq!(name.ends_with("-unprivileged"), !truth.privileged, "{name}");
        assert_eq!(name.ends_with("-azure-unknown"), truth.azure_nets.is_empty(), "{name}");
    });
}

#[test]
fn every_verdict_is_right() {
    for_each_fixture(|fixture| {
        let (findings, records) = diagnose(&fixture.recording, Question::default()).unwrap();
        let report = Report::parse(&json(&findings));
        let expected = &fixture.truth.expected;
        let mut broken = report.unsound(expected, records);
        if fixture.truth.privileged {
            broken.extend(report.imprecise(expected));
        }
        assert!(broken.is_empty(), "{}:\n{}\n{}", fixture.name, broken.join("\n"), report.summary());
    });
}

/// What a box on the way changes is placed between the hops that it stands between; where none does, nothing is.
#[test]
fn what_boxes_change_is_placed_and_nothing_else() {
    let boxes = [
        ("clamped-mss-", (Field::Mss, 2, 3)),
        ("bleached-dscp-", (Field::Dscp, 1, 2)),
        ("shifted-sequence-", (Field::SequenceNumber, 2, 3)),
        ("untranslated-nat-", (Field::Source, 1, 2)),
    ];
    for (name, _) in boxes {
        assert!(Fixture::all().iter().any(|fixture| fixture.name.starts_with(name)), "{name}");
    }
    for_each_fixture(|fixture| {
        let (findings, _) = diagnose(&fixture.recording, Question::default()).unwrap();
        let changes: Vec<(Field, u8, u8)> = findings
            .path
            .hops
            .iter()
            .flat_map(|hop| &hop.changes)
            .map(|change| (change.field, change.after, change.by))
            .collect();
        let there = boxes.iter().find(|(name, _)| fixture.name.starts_with(name));
        assert_eq!(changes, Vec::from_iter(there.map(|(_, change)| *change)), "{}", fixture.name);
        assert_eq!(findings.evidence.iter().any(|e| e.rule == "changed-on-the-way"), there.is_some());
    });
}

#[test]
fn every_report_is_as_it_was() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots/replay");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for_each_fixture(|fixture| {
            let (findings, _) = diagnose(&fixture.recording, Question::default()).unwrap();
            assert_snapshot!(format!("{}.text", fixture.name), text(&findings, Style::Plain));
            assert_snapshot!(format!("{}.json", fixture.name), json(&findings));
        });
    });
}

#[test]
fn every_snapshot_has_its_fixture() {
    let fixtures: BTreeSet<String> = Fixture::all().into_iter().map(|fixture| fixture.name).collect();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/replay");
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let fixture = name.split('.').next().unwrap();
        assert!(fixtures.contains(fixture), "{name} is of no fixture: delete it");
    }
}

/// The frames of one Ethernet interface alone, as `tcpdump -w` keeps them: a classic pcap with microseconds.
fn as_tcpdump_keeps_it(recording: &[u8]) -> Vec<u8> {
    let mut file = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x01\0\0\0".to_vec();
    let mut reader = Reader::new(recording).expect("it is a recording");
    while let Some(record) = reader.next().expect("it can be read") {
        // The first interface is that of the route.
        if let Body::Frame(frame) = record.body
            && frame.interface == 0
        {
            let micros = record.at.nanos() / 1_000;
            let header = [micros / 1_000_000, micros % 1_000_000, frame.bytes.len() as i64];
            file.extend(header.map(|field| (field as u32).to_le_bytes()).concat());
            file.extend(frame.original_len.to_le_bytes());
            file.extend(frame.bytes);
        }
    }
    file
}

#[test]
fn without_what_the_kernel_told_no_culprit_is_cleared() {
    for_each_fixture(|fixture| {
        let capture = as_tcpdump_keeps_it(&fixture.recording);
        let azure_nets = fixture.truth.azure_nets.iter().map(|net| net.parse().unwrap()).collect();
        for question in [Question::default(), Question { azure_nets, ..Question::default() }] {
            let (findings, records) = match diagnose(&capture, question) {
                Ok(diagnosed) => diagnosed,
                Err(why) => {
                    assert!(why.starts_with("no attempt to connect to port 22"), "{}: {why}", fixture.name);
                    continue;
                }
            };
            let report = Report::parse(&json(&findings));
            let broken = report.unsound(&fixture.truth.expected, records);
            assert!(broken.is_empty(), "{}:\n{}\n{}", fixture.name, broken.join("\n"), report.summary());
        }
    });
}

/// Read once, for the many cases of the test below.
static FIXTURES: LazyLock<Vec<Fixture>> = LazyLock::new(Fixture::all);

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_damage_makes_it_panic(
        fixture in any::<Index>(),
        cut in prop::option::of(any::<Index>()),
        flips in prop::collection::vec((any::<Index>(), any::<u8>()), 0..16),
    ) {
        let mut bytes = fixture.get(FIXTURES.as_slice()).recording.clone();
        for (at, with) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok((findings, _)) = diagnose(&bytes, Question::default()) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json(&findings)).is_ok());
            prop_assert!(!text(&findings, Style::Plain).is_empty());
        }
    }
}
