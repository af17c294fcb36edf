//! Elimination over evidence made by hand, on a path of four hops: edge, transit, transit or Azure, Azure.

use super::{Assumed, Case, Standing, Verdict, eliminate};
use crate::attempt::Outcome;
use crate::evidence::{Assumption, Claim, Evidence, Strength, Suspect, Suspects};
use crate::path::{Hop, Path, Place, Segment, Segments};
use crate::testing::{TARGET, address, diagnose};

fn path() -> Path {
    let segments = [
        Segments::one(Segment::Edge),
        Segments::one(Segment::Transit),
        Segments::span(Segment::Transit, Segment::AzureEdge, Segment::Transit),
        Segments::one(Segment::AzureEdge),
    ];
    let hop = |(number, segments): (u8, Segments)| Hop {
        number,
        address: Some(address(&format!("198.18.{number}.1"))),
        others: vec![],
        outside_azure: false,
        private: false,
        segments,
        rtt: None,
        answered: vec![],
        changes: vec![],
    };
    Path {
        hops: (1..).zip(segments).map(hop).collect(),
        target: Some(5),
        beyond: Some(Segments::one(Segment::AzureEdge)),
    }
}

fn evidence(claims: Vec<Claim>) -> Evidence {
    Evidence { rule: "made-by-hand", says: String::new(), packets: vec![], claims }
}

fn judged(outcome: Outcome, evidence: &[Evidence]) -> Verdict {
    let path = path();
    let target = address(TARGET);
    eliminate(
        &Case {
            outcome,
            path: &path,
            target,
            port: 22,
            named: false,
            contained: false,
            works: false,
            local: false,
            deep: false,
        },
        evidence,
    )
}

fn names(verdict: &Verdict) -> Vec<&'static str> {
    verdict.standing.iter().map(|s| s.suspect.name()).collect()
}

fn standing(verdict: &Verdict, suspect: Suspect) -> &Standing {
    verdict.standing.iter().find(|s| s.suspect == suspect).unwrap()
}

fn clears(from: u8, to: Place, suspects: Suspects) -> Claim {
    Claim::clears(Place(from), to, suspects)
}

#[test]
fn without_evidence_everyone_who_could_stands() {
    let verdict = judged(Outcome::Timeout, &[]);
    let all = names(&verdict);
    for name in ["client-firewall-out", "edge-firewall", "transit-filter", "azure-nsg", "vm-firewall"] {
        assert!(all.contains(&name), "{name}");
    }
    // No name was given, the tool does not use ssh's configuration, and a SYN fits any path.
    for name in ["client-name", "client-ssh-config", "transit-mtu"] {
        assert!(!all.contains(&name), "{name}");
    }
    assert!(verdict.cleared.is_empty());
    assert_eq!((verdict.segment, all[0]), (None, "azure-nsg"));
}

#[test]
fn the_path_mtu_comes_in_with_the_handshake() {
    for (outcome, wanted) in [
        (Outcome::NoBanner, true),
        (Outcome::Stalled, true),
        (Outcome::Intercepted, true),
        (Outcome::Reset, false),
    ] {
        assert_eq!(names(&judged(outcome, &[])).contains(&"transit-mtu"), wanted, "{outcome}");
    }
}

#[test]
fn when_ssh_is_open_nobody_is_judged() {
    for outcome in [Outcome::Open, Outcome::Completed] {
        let verdict = judged(outcome, &[evidence(vec![clears(0, Place::END, Suspects::all())])]);
        assert!(verdict.standing.is_empty() && verdict.cleared.is_empty() && verdict.next.is_empty());
    }
}

#[test]
fn a_suspect_is_cleared_only_where_it_is_cleared_everywhere() {
    let beyond_2 = evidence(vec![clears(3, Place::END, Suspects::all())]);
    let hop_2 = evidence(vec![clears(2, Place(2), Suspects::of(&[Suspect::TransitFilter]))]);
    let verdict = judged(Outcome::Reset, std::slice::from_ref(&beyond_2));
    assert_eq!(standing(&verdict, Suspect::TransitFilter).hops, [2]);
    let both = judged(Outcome::Reset, &[beyond_2, hop_2]);
    let cleared = both.cleared.iter().find(|c| c.suspect == Suspect::TransitFilter).unwrap();
    assert_eq!(cleared.because, [0, 1], "each place by its own evidence");
    assert!(!names(&both).contains(&"transit-filter"));
    assert!(names(&both).contains(&"transit-route"), "another suspect at the same place");
}

#[test]
fn nobody_both_stands_and_is_cleared() {
    let verdict = judged(Outcome::Timeout, &[evidence(vec![clears(1, Place(3), Suspects::all())])]);
    for cleared in &verdict.cleared {
        assert!(!names(&verdict).contains(&cleared.suspect.name()), "{}", cleared.suspect);
    }
}

#[test]
fn who_is_cleared_at_a_place_is_not_helped_there_by_what_implicates_it() {
    let all = Suspects::of(&[Suspect::TransitFilter]);
    let verdict = judged(
        Outcome::Reset,
        &[
            evidence(vec![Claim::implicates(Place(2), Place(2), all, Strength::Proven)]),
            evidence(vec![clears(2, Place(2), all)]),
        ],
    );
    let transit = standing(&verdict, Suspect::TransitFilter);
    assert_eq!((transit.hop, transit.strength), (Some(3), Strength::Possible));
    assert_eq!(transit.because, [1], "what limits its places, as nothing speaks for it");
}

#[test]
fn the_most_suspected_come_first() {
    let at = |hop: u8, s: Suspect, strength| {
        evidence(vec![Claim::implicates(Place(hop), Place(hop), Suspects::of(&[s]), strength)])
    };
    let verdict = judged(
        Outcome::Timeout,
        &[
            at(2, Suspect::TransitRoute, Strength::Likely),
            at(4, Suspect::AzureRoute, Strength::Likely),
            at(4, Suspect::AzureRoute, Strength::Likely),
            at(1, Suspect::EdgeIds, Strength::Possible),
            at(4, Suspect::AzureIds, Strength::Proven),
        ],
    );
    let first: Vec<_> = names(&verdict).into_iter().take(4).collect();
    assert_eq!(first, ["azure-ids", "azure-route", "transit-route", "edge-ids"], "strength, then support");
    assert_eq!(names(&verdict)[4], "azure-nsg", "then the usual ones");
    assert_eq!(standing(&verdict, Suspect::AzureRoute).because, [1, 2]);
}

#[test]
fn the_usual_ones_differ_by_outcome() {
    let first = |outcome| names(&judged(outcome, &[]))[0];
    assert_eq!(first(Outcome::Closed), "vm-sshd-refuses");
    assert_eq!(first(Outcome::NotSsh), "vm-other-service");
    assert_eq!(first(Outcome::NoBanner), "vm-sshd-hung");
    assert_eq!(first(Outcome::HalfOpen), "client-firewall-in");
    assert_eq!(first(Outcome::LocalFailure), "client-firewall-out");
    assert_eq!(first(Outcome::ResetAfterHandshake), "edge-ids");
}

#[test]
fn one_segment_left_is_the_verdict() {
    let network = evidence(vec![Claim::clears_the_network()]);
    let verdict = judged(Outcome::HalfOpen, std::slice::from_ref(&network));
    assert_eq!(verdict.segment, Some(Segment::Client));
    assert_eq!(verdict.standing[0].strength, Strength::Likely, "somebody in it did it");
    assert_eq!(verdict.standing[1].strength, Strength::Possible);
    let none = judged(Outcome::HalfOpen, &[network, evidence(vec![clears(0, Place(0), Suspects::all())])]);
    assert_eq!((none.segment, none.standing.len()), (None, 0), "no segment without suspects");
}

#[test]
fn two_segments_left_are_no_verdict() {
    let beyond_2 = evidence(vec![clears(3, Place::END, Suspects::all()), Claim::clears_the_client()]);
    let verdict = judged(Outcome::Reset, &[beyond_2]);
    assert_eq!(verdict.segment, None);
    assert!(verdict.standing.iter().all(|s| s.strength == Strength::Possible));
    assert!(names(&verdict).iter().all(|n| n.starts_with("edge-") || n.starts_with("transit-")));
}

#[test]
fn suspects_stand_near_the_border_they_guard() {
    let verdict = judged(Outcome::Timeout, &[]);
    let place = |suspect| {
        let standing = standing(&verdict, suspect);
        (standing.hop, standing.hops.clone())
    };
    assert_eq!(place(Suspect::EdgeFirewall), (Some(1), vec![1]));
    assert_eq!(place(Suspect::TransitFilter), (Some(2), vec![2, 3]));
    assert_eq!(place(Suspect::VmFirewall), (Some(5), vec![5]));
    assert_eq!(place(Suspect::AzureNsg), (None, vec![3, 4]), "at the VM's own switch, which is no hop");
    assert_eq!(place(Suspect::AzurePublicIp), (None, vec![]));
    assert_eq!(place(Suspect::ClientFirewallOut), (None, vec![]));
    assert_eq!(standing(&verdict, Suspect::VmFirewall).address, Some(address(TARGET)));
    assert_eq!(standing(&verdict, Suspect::EdgeFirewall).address, Some(address("198.18.1.1")));
}

#[test]
fn the_host_of_a_container_is_a_hop() {
    let found = diagnose(
        "0 ! start contained
         0 ! route gw=10.22.1.1
         0 ! connect 0 started
         0.1 > S
         0.2 > 20000:22 S ttl=1 | 11/0 10.22.1.1
         3.4 ! connect 0 abandoned 3400
         9 ! capture\n 9 ! end",
    );
    assert!(found.has("syn-on-wire"));
    assert_eq!(found.hops("client-firewall-out"), [1], "the container itself is cleared, its host is not");
}

#[test]
fn a_name_that_was_given_stands() {
    let path = path();
    let target = address(TARGET);
    let case = Case {
        outcome: Outcome::Timeout,
        path: &path,
        target,
        port: 22,
        named: true,
        contained: false,
        works: false,
        local: false,
        deep: false,
    };
    assert!(names(&eliminate(&case, &[])).contains(&"client-name"));
}

#[test]
fn commands_hold_the_address_and_the_port_and_never_a_name() {
    let hostile = "$(reboot)";
    for lines in [
        "0.1 > S\n 3.4 ! connect 0 abandoned 3400",
        "0.1 > S\n 0.2 < R.\n 0.2 ! connect 0 failed 111",
        "0.1 > S\n 0.2 < 3/1 10.22.1.1\n 0.2 ! connect 0 failed 113",
        "0.1 > S\n 0.2 < S.\n 1.1 > S\n 1.2 ! connect 0 abandoned 1200",
        "0.1 > S\n 0.2 < S.\n 0.3 > .\n 0.3 ! connect 0 established\n 0.4 ! connect 0 received $(reboot)\n 3 ! connect 0 closed",
        "3.4 ! connect 0 abandoned 3400",
    ] {
        let found = diagnose(&format!(
            "0 ! start name={hostile}\n 0 ! route gw=10.22.1.1\n 0 ! connect 0 started\n{lines}\n 9 ! capture\n 9 ! end"
        ));
        assert_eq!(found.0.target.name.as_deref(), Some(hostile));
        let next = &found.0.verdict.next;
        assert!((1..=5).contains(&next.len()), "{lines}");
        for step in next {
            let text = format!("{} {}", step.why, step.command.as_deref().unwrap_or(""));
            assert!(!text.contains("reboot"), "{text}");
        }
    }
}

#[test]
fn the_next_step_splits_what_stands() {
    let first = |lines: &str| {
        let text = format!(
            "0 ! start\n 0 ! route gw=10.22.1.1\n 0 ! connect 0 started\n{lines}\n 9 ! capture\n 9 ! end"
        );
        diagnose(&text).0.verdict.next[0].command.clone().unwrap()
    };
    let edge = "0.1 > S\n 0.2 < R. ttl=64\n 0.2 ! connect 0 failed 111
        0.3 > 20000:22 S ttl=1 | 11/0 10.22.1.1\n 0.4 > 20000:22 S ttl=2 | R. ttl=64\n 0.5 > echo 1 ttl=2 | 11/0 198.18.1.1";
    assert_eq!(first(edge), "sudo \"$(command -v whichhop)\" trace 198.19.0.4");
    let silent = "0.1 > S\n 0.2 > echo 1 ttl=5 | echo-reply 1\n 3.4 ! connect 0 abandoned 3400";
    assert_eq!(first(silent), "sudo \"$(command -v whichhop)\" trace --deep 198.19.0.4");
    let input = "0.1 > S\n 0.2 < S.\n 1.1 > S\n 1.2 ! connect 0 abandoned 1200";
    assert!(first(input).contains("nft list ruleset"));
    let vm = "0.1 > S\n 0.2 < S.\n 0.3 > .\n 0.3 ! connect 0 established\n 0.4 ! connect 0 closed";
    assert_eq!(first(vm), "sudo timeout 60 tcpdump -ni any -c 40 'tcp port 22'");
}

#[test]
fn what_was_done_is_not_the_next_step() {
    let text = "0 ! start deep\n 0 ! route gw=10.22.1.1\n 0 ! connect 0 started\n 0.1 > S
        3.4 ! connect 0 abandoned 3400\n 9 ! capture\n 9 ! end";
    let next = diagnose(text).0.verdict.next;
    assert!(!next.is_empty());
    assert!(next.iter().all(|s| !s.command.as_deref().unwrap_or("").contains("--deep")), "{next:?}");
}

#[test]
fn a_trace_to_this_machine_does_not_speak_of_azure() {
    for (client, target, gateway, segment) in [
        ("127.0.0.1", "127.0.0.1", "", Some("vm")),
        ("::1", "::1", "", Some("vm")),
        // Perhaps the VM itself; perhaps an address that this machine should not have.
        ("fd22::2", "fd22::2", "on=lo", None),
    ] {
        let found = diagnose(&format!(
            "client {client}\n target {target}
             0 ! start
             0 ! route {gateway}
             0 ! connect 0 started
             0.1 > S | R. ttl=64
             0.2 ! connect 0 failed 111
             9 ! capture
             9 ! end"
        ));
        assert_eq!((found.outcome(), found.segment()), ("reset", segment), "{:?}", found.standing());
        assert!(!found.stands("vm-down") && found.stands("vm-sshd-not-running"));
        let next = format!("{:?}", found.0.verdict.next);
        assert!(!next.contains("az ") && next.contains("ss -ltnp"), "{next}");
    }
}

fn spares(from: u8, to: Place, suspects: Suspects, unless: Assumption) -> Claim {
    Claim::spares(Place(from), to, suspects, unless)
}

fn spared(verdict: &Verdict) -> Vec<(&'static str, bool)> {
    let firewall = |a: &Assumed| a.suspects.contains(&Suspect::TransitFilter);
    verdict.assuming.iter().map(|a| (a.assumption.name(), firewall(a))).collect()
}

#[test]
fn who_is_spared_neither_stands_nor_is_cleared() {
    let edge = Suspects::of(&[Suspect::EdgeFirewall]);
    let points = Claim::implicates(Place(1), Place(1), edge, Strength::Likely);
    let rest = spares(2, Place::END, Suspects::all(), Assumption::NoForgery);
    let client = clears(0, Place::CLIENT, Suspects::all());
    let verdict = judged(Outcome::Reset, &[evidence(vec![points, client]), evidence(vec![rest])]);
    assert_eq!(verdict.segment, Some(Segment::Edge));
    assert_eq!(spared(&verdict), [("no-forgery", true)]);
    assert_eq!(verdict.assuming[0].because, [1]);
    assert!(verdict.cleared.iter().all(|c| c.suspect.segment() == Segment::Client));
}

#[test]
fn an_assumption_accuses_nobody() {
    let rest = spares(2, Place::END, Suspects::all(), Assumption::NoForgery);
    let verdict = judged(Outcome::Reset, &[evidence(vec![rest])]);
    assert!(
        verdict.assuming.is_empty() && names(&verdict).contains(&"vm-firewall"),
        "nothing points to the edge"
    );
}

#[test]
fn what_points_to_a_place_is_more_than_an_assumption() {
    let filter = Suspects::of(&[Suspect::TransitFilter]);
    let points = |at, who| Claim::implicates(Place(at), Place(at), who, Strength::Likely);
    let rest = spares(2, Place::END, Suspects::all(), Assumption::NoForgery);
    let edge = Suspects::of(&[Suspect::EdgeFirewall]);
    let verdict = judged(Outcome::Reset, &[evidence(vec![points(1, edge), points(2, filter), rest])]);
    assert_eq!(standing(&verdict, Suspect::TransitFilter).hops, [2]);
    assert_eq!(spared(&verdict), [("no-forgery", false)]);
}
