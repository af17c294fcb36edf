//! Captures of requests with small hop limits on established connections, as CenTrace sends them (`fixtures/requests`): a
//! replay names the hops between which the box stands that blocks one of two, and clears it of nothing.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "the lab lives in real time")]

mod lab;
#[path = "requests/program.rs"]
mod program;
mod report;

use std::fs;
use std::path::{Path, PathBuf};

use whichhop::diagnose::{Diagnosis, Findings, Question};
use whichhop::packet::decode;
use whichhop::recording::{Body, Reader, Record};
use whichhop::report::json;

use lab::{AZURE_NETS, Conduct, Forgery, HOPS, Injector, Lab, Number, Options, Role, Trigger};
use report::{Expected, Report};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    Tls,
    Ssh,
}

impl Kind {
    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Tls => 443,
            Self::Ssh => 22,
        }
    }

    /// The request that is tested, or the one beside it. No two ClientHellos are the same.
    fn request(self, tested: bool, random: u8) -> Vec<u8> {
        let name = if tested { "blocked.example" } else { "allowed.example" };
        match (self, tested) {
            (Self::Http, _) => format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n").into(),
            (Self::Tls, _) => client_hello(name, random),
            (Self::Ssh, true) => b"SSH-2.0-tested\r\n".into(),
            (Self::Ssh, false) => b"nothing of the kind\r\n".into(),
        }
    }
}

fn client_hello(name: &str, random: u8) -> Vec<u8> {
    let vector = |len: usize, bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[4 - len..], bytes].concat();
    let names = vector(2, &[&[0][..], &vector(2, name.as_bytes())].concat());
    let body = [
        &[3, 3][..],
        &[random; 32],
        &vector(1, &[random; 32]),
        &vector(2, &[0x13, 1]),
        &vector(1, &[0]),
        &vector(2, &[&[0, 0][..], &vector(2, &names)].concat()),
    ];
    [&[22, 3, 1][..], &vector(2, &[&[1][..], &vector(3, &body.concat())].concat())].concat()
}

/// A box in the lab, and what is true of it.
struct Case {
    name: &'static str,
    kind: Kind,
    v6: bool,
    /// In front of which hop it stands, and what it does there.
    middlebox: Option<(Role, Conduct)>,
    guilty: &'static str,
    outcome: &'static str,
    /// The rule that tells, if any can.
    rule: Option<&'static str>,
    /// The hops, at both ends of the interval, that may be called the first suspect's: nothing tells them apart.
    hops: &'static [u8],
    /// The farthest hop that anybody may stand at.
    farthest: u8,
}

const WORD: Trigger = Trigger::Keyword("blocked.example");
const BOTH_ENDS: Forgery = Forgery { both_ends: true, ..Forgery::PLAIN };
const COPIED: Forgery = Forgery { ttl: Number::Echoed, ..Forgery::PLAIN };
const ANSWERED: Option<&str> = Some("request-answered-before-path-end");
const SWALLOWED: Option<&str> = Some("request-swallowed");
const PASSES: Option<&str> = Some("request-passes-every-hop");

const CASES: [Case; 9] = [
    Case {
        name: "edge-resets",
        kind: Kind::Http,
        v6: false,
        middlebox: Some((Role::Edge, Conduct::Inject(Injector::in_path(WORD, BOTH_ENDS)))),
        guilty: "edge-ids",
        outcome: "reset-after-handshake",
        rule: ANSWERED,
        hops: &[1],
        farthest: 1,
    },
    Case {
        name: "edge-swallows",
        kind: Kind::Http,
        v6: false,
        middlebox: Some((Role::Edge, Conduct::Stall(WORD))),
        guilty: "edge-ids",
        outcome: "no-banner",
        rule: SWALLOWED,
        hops: &[1],
        farthest: 1,
    },
    Case {
        name: "transit-resets",
        kind: Kind::Http,
        v6: false,
        middlebox: Some((Role::Transit2, Conduct::Inject(Injector::in_path(WORD, BOTH_ENDS)))),
        guilty: "transit-filter",
        outcome: "reset-after-handshake",
        rule: ANSWERED,
        hops: &[2, 3],
        farthest: 3,
    },
    Case {
        name: "transit-resets-tls-ipv6",
        kind: Kind::Tls,
        v6: true,
        middlebox: Some((Role::Transit2, Conduct::Inject(Injector::in_path(WORD, BOTH_ENDS)))),
        guilty: "transit-filter",
        outcome: "reset-after-handshake",
        rule: ANSWERED,
        hops: &[2, 3],
        farthest: 3,
    },
    Case {
        name: "transit-swallows-tls",
        kind: Kind::Tls,
        v6: false,
        middlebox: Some((Role::Transit2, Conduct::Stall(WORD))),
        guilty: "transit-filter",
        outcome: "no-banner",
        rule: SWALLOWED,
        hops: &[2, 3],
        farthest: 3,
    },
    Case {
        name: "transit-answers-with-a-page",
        kind: Kind::Http,
        v6: false,
        middlebox: Some((Role::Transit1, Conduct::Block(WORD))),
        guilty: "transit-filter",
        outcome: "closed",
        rule: ANSWERED,
        hops: &[1, 2],
        farthest: 2,
    },
    Case {
        name: "transit-copies-the-ttl",
        kind: Kind::Http,
        v6: false,
        middlebox: Some((Role::Transit1, Conduct::Inject(Injector::in_path(WORD, COPIED)))),
        guilty: "transit-filter",
        outcome: "reset-after-handshake",
        rule: ANSWERED,
        hops: &[2],
        // Its answers to what had fewer hops left died on their way back.
        farthest: 3,
    },
    Case {
        name: "azure-resets-ssh-beside",
        kind: Kind::Ssh,
        v6: false,
        middlebox: Some((
            Role::AzureEdge,
            Conduct::Inject(Injector::on_path(Trigger::Identification, BOTH_ENDS)),
        )),
        guilty: "azure-ids",
        outcome: "reset-after-handshake",
        rule: ANSWERED,
        hops: &[3, 4],
        farthest: 4,
    },
    // What the VM itself blocks, it blocks where the other request is answered.
    Case {
        name: "vm-resets",
        kind: Kind::Http,
        v6: false,
        middlebox: Some((Role::Vm, Conduct::Inject(Injector::in_path(WORD, BOTH_ENDS)))),
        guilty: "vm-ids",
        outcome: "reset-after-handshake",
        rule: PASSES,
        hops: &[5],
        farthest: 5,
    },
];

impl Case {
    fn fixture(&self) -> PathBuf {
        directory().join(format!("{}.pcap", self.name))
    }

    /// What a replay of a capture says that it should not, or does not say.
    fn broken(&self, capture: &[u8]) -> Vec<String> {
        let (findings, records) = self.replay(capture, |_| true);
        let report = Report::parse(&json(&findings));
        let mut broken = self.unsound(&report, records);
        for rule in [ANSWERED, SWALLOWED, PASSES] {
            let found = rule.is_some_and(|rule| report.found(rule));
            if found != (rule == self.rule) {
                broken.push(format!("{rule:?} found: {found}"));
            }
        }
        if self.rule.is_some() {
            broken.extend(self.misplaced(&findings, &report));
        }
        broken.into_iter().map(|what| format!("{}: {what}\n{}", self.name, report.summary())).collect()
    }

    fn segment(&self) -> &'static str {
        match self.guilty.split_once('-') {
            Some(("azure", _)) => "azure-edge",
            Some((segment, _)) => segment,
            None => panic!("{} lies in no segment", self.guilty),
        }
    }

    fn unsound(&self, report: &Report, records: u64) -> Vec<String> {
        let expected = Expected {
            outcomes: vec![],
            segment: Some(self.segment().to_owned()),
            guilty: Some(self.guilty.to_owned()),
            beyond: true,
        };
        report.unsound(&expected, records)
    }

    /// Where the culprit is looked for, against where it is.
    fn misplaced(&self, findings: &Findings, report: &Report) -> Vec<String> {
        let mut broken = Vec::new();
        if report.outcome() != self.outcome {
            broken.push(format!("the outcome is {}, not {}", report.outcome(), self.outcome));
        }
        if report.standing()[0].1 != self.segment() {
            broken.push(format!("{:?} is suspected first", report.standing()[0]));
        }
        let family = usize::from(self.v6);
        let addresses = self.hops.iter().map(|hop| {
            let address = HOPS.get(usize::from(*hop) - 1).map_or(lab::VM[family], |hop| hop[family]);
            address.to_string()
        });
        let first = report.first_address();
        if !addresses.clone().any(|address| Some(address.as_str()) == first) {
            broken.push(format!("{first:?} is blamed first, not one of {:?}", addresses.collect::<Vec<_>>()));
        }
        let far = self.farthest;
        for suspect in &findings.verdict.standing {
            if suspect.hops.iter().any(|hop| *hop > far)
                || far < 5 && suspect.suspect.segment() == whichhop::path::Segment::Vm
            {
                broken.push(format!("{suspect:?} stands beyond hop {far}"));
            }
        }
        broken
    }

    /// What those records say that `keep` picks, and how many there are.
    fn replay(&self, capture: &[u8], mut keep: impl FnMut(&Record<'_>) -> bool) -> (Findings, u64) {
        let azure_nets = AZURE_NETS.map(|net| net.parse().unwrap()).into();
        let question = Question { azure_nets, port: Some(self.kind.port()), ..Question::default() };
        let mut diagnosis = Diagnosis::new(question);
        let mut reader = Reader::new(capture).unwrap();
        let mut records = 0;
        while let Some(record) = reader.next().unwrap() {
            records = record.number.0;
            if keep(&record) {
                diagnosis.push(&record);
            }
        }
        (diagnosis.finish().unwrap_or_else(|e| panic!("{}: {e}", self.name)), records)
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/requests")
}

#[test]
fn a_capture_names_the_hops_between_which_the_box_stands() {
    let mut broken = Vec::new();
    for case in &CASES {
        let capture = fs::read(case.fixture()).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        broken.extend(case.broken(&capture));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Whether a frame goes to the client.
fn is_inbound(record: &Record<'_>) -> bool {
    let Body::Frame(frame) = &record.body else { return false };
    decode(frame.link, frame.bytes).is_ok_and(|packet| lab::CLIENT.contains(&packet.ip.destination))
}

#[test]
fn no_part_of_a_capture_and_no_loss_clears_the_culprit() {
    let mut broken = Vec::new();
    for case in &CASES {
        let capture = fs::read(case.fixture()).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let mut check = |why: String, findings: &Findings, records: u64| {
            let report = Report::parse(&json(findings));
            broken.extend(
                case.unsound(&report, records)
                    .into_iter()
                    .map(|what| format!("{}, {why}: {what}\n{}", case.name, report.summary())),
            );
        };
        let (_, all) = case.replay(&capture, |_| true);
        for end in (10..all).step_by(11) {
            let (findings, _) = case.replay(&capture, |record| record.number.0 <= end);
            check(format!("up to record {end}"), &findings, all);
        }
        for seed in 0..40_u64 {
            // Of each 10 frames, 1 to 4 are lost on their way back.
            let lost = |record: &Record<'_>| {
                let dice = (record.number.0 ^ seed << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
                is_inbound(record) && dice % 10 <= seed % 4
            };
            let (findings, _) = case.replay(&capture, |record| !lost(record));
            check(format!("with loss {seed}"), &findings, all);
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_capture_is_of_a_case() {
    for entry in fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let known = CASES.iter().any(|case| case.fixture() == path);
        assert!(known || path.ends_with("README.md"), "{}", path.display());
    }
}

/// With `WHICHHOP_RECORD_REQUESTS=1` all cases, and what is captured becomes the fixtures.
#[test]
fn the_lab_draws_what_is_told() {
    let record = std::env::var_os("WHICHHOP_RECORD_REQUESTS").is_some();
    let few = ["edge-resets", "transit-swallows-tls", "transit-answers-with-a-page"];
    for case in CASES.iter().filter(|case| record || few.contains(&case.name)) {
        let Some(lab) = Lab::for_test("the_lab_draws_what_is_told", Options::default()) else { return };
        let capture = program::capture(lab, case).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        if record {
            fs::create_dir_all(directory()).unwrap();
            fs::write(case.fixture(), &capture).unwrap();
        }
        let broken = case.broken(&capture);
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }
}
