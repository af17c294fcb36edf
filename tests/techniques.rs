//! Each technique matters: where its rules, or its packets, are left out, the recording of a fault that it exists for no
//! longer tells the culprit. `docs/techniques.md` says which technique rests on what, and which test shows it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod report;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use whichhop::diagnose::{Diagnosis, Findings, Question};
use whichhop::evidence::{Strength, Suspect};
use whichhop::packet::{Icmp, Packet, TcpFlags, Transport, decode};
use whichhop::recording::{Body, Reader};
use whichhop::verdict::{Case, eliminate};

use report::Fixture;

/// What a recording tells of its fault.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// The culprit is suspected first.
    Culprit,
    /// Something speaks for the culprit.
    Suspected,
    /// All who stand lie in the culprit's segment.
    Segment,
    /// This suspect is ruled out.
    RuledOut(&'static str),
    /// This suspect stands only if something that is taken for granted is wrong.
    Spared(&'static str),
    /// A rule's own note.
    Note(&'static str),
    /// These words of what was shown.
    Words(&'static str),
}

use Told::{Culprit, Note, RuledOut, Segment, Spared, Suspected, Words};

/// What is left out.
#[derive(Clone, Copy)]
enum Off {
    Rules(&'static [&'static str]),
    /// Packets of the client, and what quotes or answers them.
    Packets(fn(&Packet<'_>) -> bool),
}

use Off::{Packets, Rules};

/// What operating systems send with is more.
const SWEPT: u8 = 32;

fn is_swept_syn(packet: &Packet<'_>, to_port: bool) -> bool {
    let Transport::Tcp(tcp) = &packet.transport else { return false };
    tcp.flags.is_syn() && packet.ip.hop_limit.0 <= SWEPT && (tcp.destination_port == 22) == to_port
}

fn port_sweep(packet: &Packet<'_>) -> bool {
    is_swept_syn(packet, true)
}

fn control_sweep(packet: &Packet<'_>) -> bool {
    is_swept_syn(packet, false) || matches!(packet.transport, Transport::Icmp(Icmp::EchoRequest { .. }))
}

fn quotes(packet: &Packet<'_>) -> bool {
    matches!(packet.transport, Transport::Icmp(Icmp::Error(_)))
}

fn marked(packet: &Packet<'_>) -> bool {
    matches!(packet.transport, Transport::Tcp(_)) && packet.ip.traffic_class >> 2 == 46
}

fn swept_data(packet: &Packet<'_>) -> bool {
    let Transport::Tcp(tcp) = &packet.transport else { return false };
    tcp.payload_len > 0 && packet.ip.hop_limit.0 <= SWEPT && !tcp.flags.has(TcpFlags::SYN)
}

/// Segments that search for the size of packet that passes; what fills an Ethernet frame is longer.
fn less_than_full_size(packet: &Packet<'_>) -> bool {
    let Transport::Tcp(tcp) = &packet.transport else { return false };
    swept_data(packet) && (800..1440).contains(&tcp.payload_len)
}

/// Technique (as docs/techniques.md numbers them), fault, what is left out, and what is then no longer told.
const CASES: [(usize, &str, Off, Told); 50] = [
    (1, "edge-drop-after-ttl", Rules(&["port-stops-where-control-goes-on"]), Culprit),
    (1, "edge-drop-after-ttl", Packets(port_sweep), Culprit),
    (1, "vm-drop-in", Rules(&["every-hop-passes-it"]), Suspected),
    (2, "azure-drop-before-ttl", Packets(control_sweep), Spared("vm-firewall")),
    (2, "transit-blackhole", Rules(&["everything-stops"]), Culprit),
    (3, "azure-injects-fixed-ttl", Rules(&["reset-before-path-end"]), RuledOut("vm-sshd-not-running")),
    (3, "azure-injects-fixed-ttl", Packets(port_sweep), RuledOut("vm-sshd-not-running")),
    (3, "edge-admin-prohibited", Rules(&["icmp-before-path-end"]), RuledOut("vm-firewall")),
    (3, "transit-injects-random-ttl", Rules(&["no-answer-from-nearer"]), Segment),
    (4, "azure-reset", Rules(&["return-distance"]), Culprit),
    (4, "transit-resets-answer", Rules(&["reset-from-before-its-trigger"]), Segment),
    (4, "asymmetric-vm-sshd-stopped", Rules(&["return-distance"]), Segment),
    (4, "detour-vm-sshd-stopped", Rules(&["return-distance"]), Segment),
    (4, "vm-web-server", Rules(&["end-return-distance"]), Segment),
    (5, "azure-injects-copied-ttl", Rules(&["reset-copies-hop-limit"]), Culprit),
    (5, "transit-injects-random-ttl", Rules(&["reset-hop-limit-varies"]), RuledOut("vm-sshd-not-running")),
    (6, "clamped-mss-azure-reset", Packets(quotes), Note("changed-on-the-way")),
    (6, "untranslated-nat-vm-sshd-stopped", Packets(quotes), Note("changed-on-the-way")),
    (7, "client-reject-out", Rules(&["kernel-syn-not-on-wire"]), Segment),
    (7, "client-drop-in", Rules(&["syn-ack-ignored"]), Segment),
    (7, "client-redirect", Rules(&["connected-without-syn"]), Segment),
    (7, "edge-reset", Rules(&["syn-on-wire"]), RuledOut("client-firewall-out")),
    (7, "vpn-client-frozen", Rules(&["tunnel-not-read"]), Segment),
    (7, "vm-sshd-stopped", Rules(&["refused-by-the-kernel"]), RuledOut("vm-sshd-hung")),
    (8, "azure-firewall-closes", Rules(&["handshake-from-before-path-end"]), Culprit),
    (8, "azure-firewall-closes", Packets(port_sweep), Culprit),
    (8, "edge-synproxy-vm-drop-in", Rules(&["waits-for-the-server"]), Culprit),
    (9, "vm-sshd-closes", Rules(&["after-the-handshake"]), Segment),
    (9, "vm-sshd-frozen", Rules(&["data-acknowledged"]), Segment),
    (10, "transit-reset-on-ssh", Rules(&["identification-reset-before-path-end"]), RuledOut("vm-ids")),
    (10, "transit-reset-on-ssh", Packets(swept_data), RuledOut("vm-ids")),
    (10, "edge-stall-on-ssh", Rules(&["identification-stops"]), Segment),
    (10, "edge-stall-on-banner", Rules(&["connection-stops"]), Segment),
    (10, "edge-stall-on-banner", Packets(swept_data), Segment),
    (10, "transit-mtu", Rules(&["full-size-stops"]), Spared("vm-sshd-hung")),
    (10, "transit-mtu", Packets(less_than_full_size), Words("1400 bytes")),
    (11, "vm-reject-reset", Rules(&["reset-lost-mark"]), Culprit),
    (11, "vm-reject-reset", Packets(marked), Culprit),
    (11, "opaque-azure-vm-sshd-stopped", Rules(&["reset-bears-mark"]), Segment),
    (15, "azure-injects-beside", Rules(&["genuine-answer-follows"]), Culprit),
    (16, "azure-injects-beside", Rules(&["reset-beside-time-exceeded"]), Culprit),
    (7, "client-dead-gateway", Rules(&["next-hop-silent"]), Culprit),
    (7, "client-no-route-unprivileged", Rules(&["no-route"]), Culprit),
    (8, "azure-balancer-silent", Packets(port_sweep), Segment),
    (17, "ecmp-transit-drop", Rules(&["flows-part"]), Suspected),
    (18, "edge-leads-elsewhere", Rules(&["led-elsewhere"]), Culprit),
    (18, "azure-rejects-ssh", Rules(&["data-rejected"]), Culprit),
    (18, "edge-rejects-acks", Rules(&["data-rejected"]), Segment),
    (18, "vm-off", Rules(&["icmp-sender"]), Culprit),
    (18, "transit-unreachable-ipv6", Rules(&["border-by-address"]), Segment),
];

/// What a recording says without the packets that `off` picks.
fn diagnose(recording: &[u8], off: impl Fn(&Packet<'_>) -> bool) -> Findings {
    let mut diagnosis = Diagnosis::new(Question::default());
    let mut reader = Reader::new(recording).unwrap();
    while let Some(record) = reader.next().unwrap() {
        let is_off = match &record.body {
            Body::Frame(frame) => decode(frame.link, frame.bytes).is_ok_and(|packet| off(&packet)),
            Body::Event(_) => false,
        };
        if !is_off {
            diagnosis.push(&record);
        }
    }
    diagnosis.finish().unwrap()
}

/// The verdict without what some rules found.
fn without(findings: &Findings, rules: &[&str]) -> Findings {
    let mut less = findings.clone();
    less.evidence.retain(|e| !rules.contains(&e.rule));
    let case = Case {
        outcome: less.outcome,
        path: &less.path,
        target: less.target.address,
        port: less.target.port,
        named: less.target.name.is_some(),
        contained: false,
        works: false,
        local: false,
        deep: false,
    };
    less.verdict = eliminate(&case, &less.evidence);
    less
}

fn tells(findings: &Findings, fixture: &Fixture, what: Told) -> bool {
    let truth = &fixture.truth.expected;
    let first = findings.verdict.standing.first().map(|s| s.suspect);
    match what {
        Culprit => first.map(Suspect::name) == truth.guilty.as_deref(),
        Suspected => findings
            .verdict
            .standing
            .iter()
            .any(|s| Some(s.suspect.name()) == truth.guilty.as_deref() && s.strength > Strength::Possible),
        Segment => findings.verdict.segment.map(whichhop::path::Segment::name) == truth.segment.as_deref(),
        RuledOut(name) => findings.verdict.cleared.iter().any(|c| c.suspect.name() == name),
        Spared(name) => !findings.verdict.standing.iter().any(|s| s.suspect.name() == name),
        Words(words) => findings.evidence.iter().any(|e| e.says.contains(words)),
        Note(rule) => findings.evidence.iter().any(|e| e.rule == rule),
    }
}

#[test]
fn without_its_rules_or_packets_the_fault_is_no_longer_told() {
    let mut broken = Vec::new();
    for (technique, name, off, what) in CASES {
        let fixture = Fixture::read(&Fixture::directory().join(name));
        let all = diagnose(&fixture.recording, |_| false);
        let less = match off {
            Rules(rules) => {
                let missing = rules.iter().find(|rule| !all.evidence.iter().any(|e| e.rule == **rule));
                broken.extend(missing.map(|rule| format!("{technique}: {rule} finds nothing in {name}")));
                without(&all, rules)
            }
            Packets(packets) => diagnose(&fixture.recording, packets),
        };
        if !tells(&without(&all, &[]), &fixture, what) {
            broken.push(format!("{technique}: {name} does not tell {what:?}"));
        }
        if tells(&less, &fixture, what) {
            let off = if let Rules(rules) = off { rules.join(" ") } else { "its packets".to_owned() };
            broken.push(format!("{technique}: without {off}, {name} still tells {what:?}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The cells of the table in docs/techniques.md, row by row, from technique 1 on.
fn table() -> Vec<Vec<String>> {
    let page = fs::read_to_string(top().join("docs/techniques.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #"));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What stands in backticks.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust under a folder.
fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|e| e == "rs") {
            all += &fs::read_to_string(path).unwrap();
        }
    }
    all
}

#[test]
fn the_table_names_every_rule_and_inquiry_and_tests_that_there_are() {
    let table = table();
    let column = |n: usize| -> BTreeSet<String> { table.iter().flat_map(|row| names(&row[n])).collect() };
    let numbers: Vec<String> = (1..=table.len()).map(|n| n.to_string()).collect();
    assert_eq!(table.iter().map(|row| row[0].clone()).collect::<Vec<_>>(), numbers);
    let rules = fs::read_to_string(top().join("docs/rules.md")).unwrap();
    let rules: BTreeSet<String> = rules.lines().filter(|l| l.starts_with("### ")).flat_map(names).collect();
    assert_eq!(column(3), rules);
    let inquiries: BTreeSet<String> = fs::read_dir(top().join("src/probe/inquiry"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| !matches!(name.as_str(), "mod" | "held"))
        .collect();
    assert_eq!(column(2), inquiries);
    let code = sources(&top().join("src")) + &sources(&top().join("tests"));
    for test in column(4) {
        assert!(code.contains(&format!("#[test]\nfn {test}()")), "there is no test {test}");
    }
    for (row, technique) in table.iter().zip(1..) {
        let here = names(&row[4]).contains("without_its_rules_or_packets_the_fault_is_no_longer_told");
        let cases = CASES.iter().filter(|(number, ..)| *number == technique);
        assert_eq!(cases.clone().count() > 0, here, "technique {technique}");
        for (_, name, off, _) in cases {
            if let Rules(rules) = off {
                assert!(rules.iter().all(|rule| names(&row[3]).contains(*rule)), "{technique}: {name}");
            }
        }
    }
}
