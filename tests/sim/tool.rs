//! The live loop and the judge, tried with tools that are not the planner: polite ones and rude ones.

use std::net::SocketAddr;

use whichhop::attempt::Outcome;
use whichhop::evidence::{Evidence, Strength, Suspect};
use whichhop::packet::{HopLimit, SeqNumber, build};
use whichhop::path::Segment;
use whichhop::probe::{Action, Manner, Step};
use whichhop::recording::{ConnectStage, Direction, Event, Record, RecordNumber, Timestamp};
use whichhop::verdict::{Cleared, Standing};

use super::judge::judge;
use super::physics::plain;
use super::scenario::{Culprit, Scenario, VmFault};
use super::session::{BEGIN, EntryBody, Run, Tool, run, run_with};

const MS: i64 = 1_000_000;

/// Does a list of things, each at its moment, and finishes a second after the last.
struct Script(Vec<(i64, Action)>);

impl Tool for Script {
    fn handle(&mut self, _: &Record<'_>) {}

    fn step(&mut self, now: Timestamp) -> Step {
        let Some((at, _)) = self.0.first() else {
            let end = Timestamp::from_nanos(BEGIN + 9_000 * MS);
            return if now < end { Step::Wait { until: end, why: "the end" } } else { Step::Finished };
        };
        let due = Timestamp::from_nanos(BEGIN + at);
        if now < due { Step::Wait { until: due, why: "its moment" } } else { Step::Do(self.0.remove(0).1) }
    }
}

fn server(scenario: &Scenario) -> SocketAddr {
    SocketAddr::new(scenario.vm.address, scenario.port)
}

fn connect(scenario: &Scenario, id: u32) -> Action {
    Action::Connect { id, server: server(scenario), manner: Manner::Converse }
}

fn syn(scenario: &Scenario, port: u16, ttl: u8) -> Action {
    Action::SendSyn(build::Syn {
        hop_limit: HopLimit(ttl),
        window: 1025,
        flow_label: 1,
        ..build::Syn::plain(SocketAddr::new(scenario.client, port), server(scenario), SeqNumber(9))
    })
}

fn reset(scenario: &Scenario, port: u16) -> Action {
    Action::SendReset(build::Reset {
        source: SocketAddr::new(scenario.client, port),
        destination: server(scenario),
        seq: SeqNumber(10),
        identification: 1,
    })
}

fn complaints(scenario: &Scenario, script: Vec<(i64, Action)>) -> String {
    judge(scenario, &run_with(scenario, Script(script))).join("; ")
}

#[test]
fn the_loop_records_what_a_machine_sees_in_order() {
    for v6 in [false, true] {
        let scenario = plain(Culprit::Nobody, v6);
        let run = run_with(&scenario, Script(vec![(0, connect(&scenario, 0))]));
        let words: Vec<_> = run
            .log
            .iter()
            .map(|e| match &e.body {
                EntryBody::Frame { direction: Direction::Outbound, .. } => "out",
                EntryBody::Frame { .. } => "in",
                EntryBody::Event(Event::Start(_)) => "start",
                EntryBody::Event(Event::Route(_)) => "route",
                EntryBody::Event(Event::Connect { stage: ConnectStage::Started, .. }) => "started",
                EntryBody::Event(Event::Connect { stage: ConnectStage::Established, .. }) => "established",
                EntryBody::Event(Event::Connect { stage: ConnectStage::Received { .. }, .. }) => "received",
                EntryBody::Event(Event::Connect { stage: ConnectStage::Sent { .. }, .. }) => "sent",
                EntryBody::Event(Event::Connect { stage: ConnectStage::KeyExchange { .. }, .. }) => "kexinit",
                EntryBody::Event(Event::Connect { stage: ConnectStage::Closed, .. }) => "closed",
                EntryBody::Event(Event::Deadline { .. }) => "deadline",
                EntryBody::Event(Event::Capture(_)) => "capture",
                EntryBody::Event(Event::End { .. }) => "end",
                EntryBody::Event(other) => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            words.join(" "),
            "start route started started out in out established in out received out sent in in out kexinit out out sent in in out sent in in out closed out in deadline capture end"
        );
        assert!(run.read_banner);
        assert_eq!(run.reached_listener, 1);
    }
}

#[test]
fn a_polite_tool_is_not_scolded_for_its_manners() {
    let scenario = plain(Culprit::Nobody, false);
    let script = vec![
        (0, connect(&scenario, 0)),
        (100 * MS, syn(&scenario, 40_000, 1)),
        (200 * MS, syn(&scenario, 40_000, 64)),
        (900 * MS, reset(&scenario, 40_000)),
    ];
    assert_eq!(complaints(&scenario, script), "");
}

#[test]
fn rude_tools_are_noticed() {
    let mut scenario = plain(Culprit::Nobody, false);
    scenario.machine.kernel_resets = false;
    let half_open = complaints(&scenario, vec![(0, syn(&scenario, 40_000, 64))]);
    assert!(half_open.contains("1 half-open connections were not reset"), "{half_open}");

    let flood = (0..60).map(|i| (i * 15 * MS, syn(&scenario, 40_000, 200))).collect();
    assert!(complaints(&scenario, flood).contains("60 SYNs to the port within one second"));
    let burst = (0..12).map(|i| (i * MS, syn(&scenario, 40_000, 200))).collect();
    assert!(complaints(&scenario, burst).contains("12 SYNs to the port within one tenth of a second"));

    let greedy = (0..6).map(|i| (i * 100 * MS, syn(&scenario, 40_000, 2))).collect();
    assert!(complaints(&scenario, greedy).contains("router 2 was asked for 6 errors"));
    let patient = (0..7).map(|i| (i * 500 * MS, syn(&scenario, 40_000, 2))).collect();
    assert!(!complaints(&scenario, patient).contains("errors"));

    scenario.culprit = Culprit::Vm(VmFault::Off { unreachable: false });
    let many = (0..3).map(|id| (0, connect(&scenario, id))).collect();
    assert!(complaints(&scenario, many).contains("3 kernel connections at once"));
}

/// A run whose findings a test can spoil.
fn healthy() -> (Scenario, Run) {
    let scenario = plain(Culprit::Nobody, false);
    let run = run(&scenario);
    assert_eq!(judge(&scenario, &run), Vec::<String>::new());
    (scenario, run)
}

#[test]
fn unsound_verdicts_are_noticed() {
    let (mut scenario, mut run) = healthy();
    scenario.guilty = Some(Suspect::VmFirewall);
    run.read_banner = false;
    assert_eq!(judge(&scenario, &run), ["outcome open, but no banner came from the VM"]);

    let findings = run.findings.as_mut().expect("diagnosed");
    findings.outcome = Outcome::Timeout;
    findings.evidence = vec![Evidence {
        rule: "made-up",
        says: String::new(),
        packets: vec![RecordNumber(1)],
        claims: vec![],
    }];
    findings.verdict.segment = Some(Segment::Edge);
    findings.verdict.standing = vec![Standing {
        suspect: Suspect::EdgeFirewall,
        hop: None,
        hops: vec![],
        address: None,
        strength: Strength::Likely,
        because: vec![0],
    }];
    findings.verdict.cleared = vec![Cleared { suspect: Suspect::VmFirewall, because: vec![0] }];
    assert_eq!(
        judge(&scenario, &run),
        [
            "THE GUILTY IS CLEARED: vm-firewall",
            "the guilty does not stand: vm-firewall",
            "the verdict says edge, the guilty vm-firewall is in vm",
        ]
    );
}

#[test]
fn malformed_verdicts_are_noticed() {
    let (scenario, mut run) = healthy();
    let records = run.log.len() as u64;
    let findings = run.findings.as_mut().expect("diagnosed");
    findings.evidence.truncate(1);
    findings.evidence[0].packets = vec![RecordNumber(records + 1)];
    findings.verdict.cleared = vec![Cleared { suspect: Suspect::VmDown, because: vec![1] }];
    let broken = judge(&scenario, &run).join("; ");
    assert!(broken.contains(&format!("cites record {} of {records}", records + 1)), "{broken}");
    assert!(broken.contains("evidence 1 does not exist"), "{broken}");
}
