//! Findings made by hand, for this room's tests.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::attempt::{Attempt, Handshake, Outcome};
use crate::diagnose::{Findings, TargetFound};
use crate::evidence::{Evidence, Strength, Suspect};
use crate::packet::{SeqNumber, Undecoded};
use crate::path::{Hop, Path, Segment, Segments};
use crate::recording::{RecordNumber, Timestamp};
use crate::verdict::{Cleared, NextStep, Standing, Verdict};

const CLIENT: &str = "10.22.1.2";
const VM: &str = "198.19.0.4";

pub(super) fn all() -> Vec<(&'static str, Findings)> {
    vec![
        ("edge_reset", edge_reset()),
        ("silent", silent()),
        ("sshd_stopped", sshd_stopped()),
        ("open", open()),
        ("local_failure", local_failure()),
        ("half_open", half_open()),
        ("ipv6", ipv6()),
        ("hostile", hostile()),
    ]
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn findings(outcome: Outcome, handshake: Handshake) -> Findings {
    Findings {
        target: TargetFound { name: Some("vm1".to_owned()), address: ip(VM), port: 22 },
        outcome,
        verdict: Verdict::default(),
        path: Path::default(),
        evidence: Vec::new(),
        conversation: None,
        attempts: vec![Attempt {
            client: SocketAddr::new(ip(CLIENT), 50022),
            server: SocketAddr::new(ip(VM), 22),
            isn: SeqNumber(305_419_896),
            first_syn: Timestamp::from_nanos(1_511_784_000_123_456_789),
            syn: 3,
            syn_ack: 0,
            handshake,
            reset_after_handshake_by: None,
            client_bytes: 0,
            server_bytes: 0,
            server_banner: None,
            icmp: None,
            outcome,
            outcome_of_path: outcome,
            signature: None,
            requests: vec![],
            timeline: Vec::new(),
        }],
        other_addresses: Vec::new(),
        caveats: Vec::new(),
        undecoded: BTreeMap::new(),
        evicted: 0,
        connections: 1,
    }
}

fn hop(number: u8, address: &str, segments: Segments, rtt_us: i64, answered: &[&str]) -> Hop {
    Hop {
        number,
        address: Some(ip(address)),
        others: Vec::new(),
        outside_azure: false,
        private: false,
        segments,
        rtt: Some(rtt_us * 1000),
        answered: answered.iter().map(|&a| a.to_owned()).collect(),
        changes: Vec::new(),
    }
}

fn silent_hop(number: u8, segments: Segments) -> Hop {
    Hop {
        number,
        address: None,
        others: Vec::new(),
        outside_azure: false,
        private: false,
        segments,
        rtt: None,
        answered: Vec::new(),
        changes: Vec::new(),
    }
}

fn standing(
    suspect: Suspect,
    strength: Strength,
    hops: &[u8],
    address: Option<&str>,
    because: &[usize],
) -> Standing {
    Standing {
        suspect,
        hop: hops.first().copied(),
        hops: hops.to_vec(),
        address: address.map(ip),
        strength,
        because: because.to_vec(),
    }
}

fn evidence(rule: &'static str, says: &str, packets: &[u64]) -> Evidence {
    Evidence {
        rule,
        says: says.to_owned(),
        packets: packets.iter().copied().map(RecordNumber).collect(),
        claims: Vec::new(),
    }
}

fn cleared(suspects: impl IntoIterator<Item = Suspect>, because: &[usize]) -> Vec<Cleared> {
    suspects.into_iter().map(|suspect| Cleared { suspect, because: because.to_vec() }).collect()
}

fn segment(segment: Segment) -> impl Iterator<Item = Suspect> {
    Suspect::ALL.iter().copied().filter(move |s| s.segment() == segment)
}

fn step(why: &str, command: Option<&str>) -> NextStep {
    NextStep { why: why.to_owned(), command: command.map(str::to_owned) }
}

fn lab_path() -> Path {
    Path {
        hops: vec![
            hop(1, "10.22.1.1", Segments::one(Segment::Edge), 310, &["tcp/22", "icmp"]),
            hop(
                2,
                "198.18.1.2",
                Segments::span(Segment::Edge, Segment::Transit, Segment::Transit),
                520,
                &["icmp"],
            ),
            silent_hop(3, Segments::one(Segment::Transit)),
            hop(4, "198.18.3.2", Segments::one(Segment::AzureEdge), 12_345, &["icmp", "tcp/41022"]),
            hop(5, VM, Segments::one(Segment::Vm), 13_000, &["icmp", "tcp/41022"]),
        ],
        target: Some(5),
        beyond: None,
    }
}

/// The edge resets: the example of the report's contract, on a whole path.
pub(super) fn edge_reset() -> Findings {
    let mut findings = findings(Outcome::Reset, Handshake::Reset);
    findings.path = lab_path();
    findings.evidence = vec![
        evidence("kernel-syn-on-the-wire", "The kernel's own SYN left this computer.", &[2, 3]),
        evidence(
            "hop-answers-control",
            "Hops 1, 2 and 4 answer ICMP echo requests with a small TTL.",
            &[30, 31, 32],
        ),
        evidence(
            "reset-before-path-end",
            "A SYN to port 22 with TTL 2, which cannot reach the VM five hops away, drew the reset.",
            &[12, 17],
        ),
        evidence(
            "reset-return-distance",
            "The reset arrived with TTL 64 and so from the same distance as hop 1; answers of the VM arrive with TTL 60.",
            &[17, 44],
        ),
    ];
    findings.verdict = Verdict {
        segment: None,
        standing: vec![
            standing(Suspect::EdgeFirewall, Strength::Likely, &[1], Some("10.22.1.1"), &[2, 3]),
            standing(Suspect::TransitFilter, Strength::Possible, &[2], Some("198.18.1.2"), &[2]),
        ],
        assuming: vec![],
        cleared: [
            cleared(segment(Segment::Client), &[0]),
            cleared([Suspect::EdgeRoute], &[2]),
            cleared(segment(Segment::AzureEdge), &[2]),
            cleared(segment(Segment::Vm), &[2]),
        ]
        .concat(),
        next: vec![
            step(
                "Capture on the far side of hop 1 while the trace runs again: if no SYN to port 22 comes out of it, the edge resets it.",
                Some("sudo tcpdump -ni any -w edge.pcap 'host 198.19.0.4 and (tcp port 22 or icmp)'"),
            ),
            step("Ask whoever runs 10.22.1.1 for its rule on TCP port 22 to 198.19.0.4.", None),
        ],
    };
    findings
}

/// Nothing answers from somewhere behind hop 2.
pub(super) fn silent() -> Findings {
    let mut findings = findings(Outcome::Timeout, Handshake::Unanswered);
    findings.target.name = None;
    findings.path = lab_path();
    findings.path.target = None;
    findings.path.hops.truncate(4);
    findings.path.hops[1].others = vec![ip("198.18.1.6"), ip("198.18.1.10")];
    findings.evidence = vec![
        evidence(
            "syn-reaches-hop",
            "SYNs to port 22 drew time-exceeded from hops 1 and 2, and from none beyond.",
            &[12, 13, 14, 15, 16, 20, 22],
        ),
        evidence("no-answer", "Nothing answered 6 SYNs within 4 s.", &[]),
    ];
    let mut hold = vec![
        standing(Suspect::AzureNsg, Strength::Possible, &[4], Some("198.18.3.2"), &[0, 1]),
        standing(Suspect::AzureFirewall, Strength::Possible, &[4], Some("198.18.3.2"), &[0, 1]),
        standing(Suspect::AzurePublicIp, Strength::Possible, &[], None, &[1]),
        standing(Suspect::TransitFilter, Strength::Possible, &[2, 3, 4], None, &[0, 1]),
    ];
    hold.extend(
        [Suspect::VmDown, Suspect::VmFirewall, Suspect::VmIds, Suspect::VmRoute]
            .map(|s| standing(s, Strength::Possible, &[], None, &[1])),
    );
    findings.verdict = Verdict {
        segment: None,
        standing: hold,
        assuming: vec![],
        cleared: [
            cleared(segment(Segment::Client), &[0]),
            cleared([Suspect::VmSshdNotRunning, Suspect::VmSshdPort, Suspect::VmOtherService], &[1]),
        ]
        .concat(),
        next: vec![step(
            "See whether the SYN arrives at the VM: run this there, by the serial console.",
            Some("sudo tcpdump -ni any 'tcp port 22'"),
        )],
    };
    findings.other_addresses =
        vec![(ip("198.19.0.5"), Outcome::Open), (ip("2001:db8:19::4"), Outcome::LocalFailure)];
    findings.caveats =
        vec!["the trace was interrupted after 2.1 s: later answers were not waited for.".to_owned()];
    findings.undecoded = BTreeMap::from([
        (Undecoded::LinkType(147), 1),
        (Undecoded::NotIp(0x0806), 14),
        (Undecoded::Truncated, 2),
    ]);
    findings.evicted = 3;
    findings
}

pub(super) fn sshd_stopped() -> Findings {
    let mut findings = findings(Outcome::Reset, Handshake::Reset);
    findings.path = lab_path();
    findings.evidence = vec![evidence(
        "reset-from-path-end",
        "The reset came only to SYNs that could reach hop 5, and with the TTL of the VM's other answers.",
        &[40, 41, 55],
    )];
    findings.verdict = Verdict {
        segment: Some(Segment::Vm),
        standing: vec![
            standing(Suspect::VmSshdNotRunning, Strength::Likely, &[5], Some(VM), &[0]),
            standing(Suspect::VmSshdPort, Strength::Possible, &[5], Some(VM), &[0]),
            standing(Suspect::VmFirewall, Strength::Possible, &[5], Some(VM), &[0]),
        ],
        assuming: vec![],
        cleared: cleared([Suspect::VmDown], &[0]),
        next: vec![step("See whether sshd listens, and where.", Some("sudo ss -ltnp | grep sshd"))],
    };
    findings
}

pub(super) fn open() -> Findings {
    let mut findings = findings(Outcome::Open, Handshake::Completed);
    findings.path = lab_path();
    findings.attempts[0].syn = 1;
    findings.attempts[0].syn_ack = 1;
    findings.attempts[0].server_bytes = 42;
    findings.attempts[0].server_banner = Some("SSH-2.0-OpenSSH_9.6p1 Debian-4".into());
    findings.evidence = vec![evidence("banner", "The VM sent its banner 21 ms after the handshake.", &[9])];
    findings
}

pub(super) fn local_failure() -> Findings {
    let mut findings = findings(Outcome::LocalFailure, Handshake::Unanswered);
    findings.attempts.clear();
    findings.evidence = vec![evidence(
        "connect-without-syn",
        "connect(2) failed at once with ECONNREFUSED, and no SYN of the kernel's was on any wire.",
        &[3, 4],
    )];
    findings.verdict = Verdict {
        segment: Some(Segment::Client),
        standing: vec![standing(Suspect::ClientFirewallOut, Strength::Proven, &[], None, &[0])],
        assuming: vec![],
        cleared: Vec::new(),
        next: vec![step("Look for the rule.", Some("sudo nft list ruleset"))],
    };
    findings
}

pub(super) fn half_open() -> Findings {
    let mut findings = findings(Outcome::HalfOpen, Handshake::HalfOpen);
    findings.path = lab_path();
    findings.evidence = vec![evidence(
        "syn-ack-not-taken",
        "3 SYN/ACKs for this computer were on its wire, and its kernel went on to repeat its SYN.",
        &[6, 7, 9, 10, 14, 15],
    )];
    findings.verdict = Verdict {
        segment: Some(Segment::Client),
        standing: vec![
            standing(Suspect::ClientFirewallIn, Strength::Likely, &[], None, &[0]),
            standing(Suspect::ClientSecuritySoftware, Strength::Likely, &[], None, &[0]),
        ],
        assuming: vec![],
        cleared: cleared(segment(Segment::Vm), &[0]),
        next: vec![],
    };
    findings
}

/// Addresses as long as they get.
pub(super) fn ipv6() -> Findings {
    let mut findings = findings(Outcome::Rejected, Handshake::Rejected);
    findings.target = TargetFound {
        name: Some("vm1.westeurope.example".to_owned()),
        address: ip("2001:db8:1234:5678:9abc:def0:1234:5678"),
        port: 22,
    };
    findings.path = Path {
        hops: vec![
            hop(
                1,
                "fd22:1111:2222:3333:4444:5555:6666:7777",
                Segments::one(Segment::Edge),
                310,
                &["tcp/22", "icmp", "tcp/41022"],
            ),
            hop(
                2,
                "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff",
                Segments::span(Segment::Transit, Segment::AzureEdge, Segment::AzureEdge),
                123_456,
                &["tcp/22", "icmp", "tcp/41022"],
            ),
        ],
        target: Some(3),
        beyond: None,
    };
    findings.evidence = vec![evidence(
        "rejected",
        "An ICMPv6 error (1/1, administratively prohibited) from hop 2 answered the SYN.",
        &[8],
    )];
    findings.verdict = Verdict {
        segment: None,
        standing: vec![
            standing(
                Suspect::AzureNsg,
                Strength::Likely,
                &[2],
                Some("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"),
                &[0],
            ),
            standing(
                Suspect::TransitFilter,
                Strength::Likely,
                &[2],
                Some("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"),
                &[0],
            ),
            standing(Suspect::VmFirewall, Strength::Possible, &[3], None, &[0]),
        ],
        assuming: vec![],
        cleared: Vec::new(),
        next: Vec::new(),
    };
    findings
}

/// A server, and a name, that try to act on the reader's terminal.
pub(super) fn hostile() -> Findings {
    let mut findings = open();
    findings.target.name = Some("vm1\u{202e}1mv".to_owned());
    let banner =
        "SSH-2.0-x\x1b]0;owned\x07\x1b[2J\u{9b}31m\u{2066}\r\nvery-very-long-and-still-longer-than-that";
    findings.attempts[0].server_banner = Some(banner.into());
    findings.evidence = vec![evidence("banner", &format!("The server's banner was \"{banner}\"."), &[9])];
    findings.verdict.next = vec![step("Do not\x1b[8m trust it.", Some("ssh -v 'vm1\u{202e}1mv'"))];
    findings.caveats = vec!["\x1b[31mred\u{200b}".to_owned()];
    findings
}
