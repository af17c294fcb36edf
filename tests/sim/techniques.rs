//! Each technique matters: without its packets, the fault it exists for is no longer told.

use whichhop::diagnose::{Diagnosis, Findings, Question};
use whichhop::evidence::Suspect;
use whichhop::path::{Field, Segment};

use super::physics::plain;
use super::scenario::{ClosedPorts, Culprit, RouterFault, Scenario, Scope, Stage, VmFault, VmScope};
use super::session::{EntryBody, Run, run};
use super::tricks::Tricks;
use super::wire::{Body, Packet};

/// What the same recording says without the packets of a technique.
fn without(run: &Run, technique: impl Fn(&Packet) -> bool) -> Findings {
    let mut diagnosis = Diagnosis::new(Question::default());
    for (i, entry) in run.log.iter().enumerate() {
        let of_technique = match &entry.body {
            EntryBody::Frame { packet: Some(packet), .. } => technique(packet),
            _ => false,
        };
        if !of_technique {
            diagnosis.push(&entry.record(i + 1));
        }
    }
    diagnosis.finish().expect("an attempt")
}

fn first(findings: &Findings) -> Suspect {
    findings.verdict.standing.first().expect("somebody stands").suspect
}

fn found(run: &Run) -> &Findings {
    assert!(run.complaints.is_empty(), "{:?}", run.complaints);
    run.findings.as_ref().expect("an attempt")
}

/// The fields that change on the way, each with the hops that it changes between.
fn changes(findings: &Findings) -> Vec<(Field, u8, u8)> {
    let changes = findings.path.hops.iter().flat_map(|h| &h.changes);
    changes.map(|c| (c.field, c.after, c.by)).collect()
}

fn is_marked(packet: &Packet) -> bool {
    packet.tcp().is_some() && packet.tos != 0
}

#[test]
fn marks_tell_a_firewall_that_rejects_from_a_port_that_nothing_listens_on() {
    for v6 in [false, true] {
        let rejecting = run(&plain(Culprit::Vm(VmFault::RejectReset), v6));
        assert_eq!(first(found(&rejecting)), Suspect::VmFirewall);
        assert_ne!(first(&without(&rejecting, is_marked)), Suspect::VmFirewall);
        let stopped = run(&plain(Culprit::Vm(VmFault::Stopped), v6));
        assert_eq!(first(found(&stopped)), Suspect::VmSshdNotRunning);
        let rules: Vec<&str> = found(&stopped).evidence.iter().map(|e| e.rule).collect();
        assert!(rules.contains(&"reset-bears-mark"), "{rules:?}");
    }
}

/// Nothing but routers answers, and nothing behind the last one.
fn silent(culprit: Culprit, v6: bool) -> Scenario {
    let mut scenario = plain(culprit, v6);
    scenario.vm.answers_ping = false;
    scenario.vm.closed_ports = ClosedPorts::Drop;
    scenario.deep = true;
    scenario
}

#[test]
fn halves_of_syns_tell_a_vm_that_drops_from_a_filter_before_it() {
    let dropping = run(&silent(Culprit::Vm(VmFault::DropIn { scope: VmScope::Everything }), false));
    assert!((31_000..36_000).contains(&(dropping.took / 1_000_000)), "{} ns", dropping.took);
    assert_eq!(first(found(&dropping)), Suspect::VmFirewall);
    assert_ne!(first(&without(&dropping, is_half)), Suspect::VmFirewall);

    let fault = RouterFault::Drop { stage: Stage::Forward, scope: Scope::Port };
    let mut filtered = silent(Culprit::Router { index: 3, fault }, false);
    filtered.vm.closed_ports = ClosedPorts::Reset;
    let filtered = run(&filtered);
    assert_eq!(first(found(&filtered)), Suspect::AzureNsg);
    let blames_vm = |f: &Findings| f.verdict.standing.iter().any(|s| s.suspect.segment() == Segment::Vm);
    assert!(!blames_vm(found(&filtered)) && blames_vm(&without(&filtered, is_half)));
}

/// Over IPv6 the VM's filter is asked before fragments are put together again: it is the way back that can be told.
#[test]
fn halves_of_syns_arrive_over_ipv6_too() {
    let dropping = run(&silent(Culprit::Vm(VmFault::DropOut { scope: VmScope::Port }), true));
    assert!((61_000..68_000).contains(&(dropping.took / 1_000_000)), "{} ns", dropping.took);
    assert_eq!(first(found(&dropping)), Suspect::VmFirewall);
    assert_ne!(first(&without(&dropping, is_half)), Suspect::VmFirewall);
}

fn is_half(packet: &Packet) -> bool {
    match &packet.body {
        Body::Error(error) => error.quote.half,
        _ => packet.half,
    }
}

fn with_tricks(culprit: Culprit, v6: bool, tricks: &[(usize, Tricks)]) -> Scenario {
    let mut scenario = plain(culprit, v6);
    for (router, tricks) in tricks {
        scenario.routers[*router].tricks = *tricks;
    }
    scenario
}

#[test]
fn quotes_place_what_changes_syns_on_the_way() {
    let fault = RouterFault::Drop { stage: Stage::Forward, scope: Scope::Port };
    let culprit = Culprit::Router { index: 3, fault };
    for v6 in [false, true] {
        let clamps = Tricks { clamps_mss: Some(1200), ..Tricks::default() };
        let renumbers = Tricks { renumbers: Some(77), ..Tricks::default() };
        let trace = run(&with_tricks(culprit, v6, &[(1, clamps), (2, renumbers)]));
        assert_eq!(changes(found(&trace)), [(Field::Mss, 2, 3), (Field::SequenceNumber, 3, 4)]);
        let is_quote = |packet: &Packet| matches!(packet.body, Body::Error(_));
        assert!(changes(&without(&trace, is_quote)).is_empty());
        assert!(changes(found(&run(&plain(culprit, v6)))).is_empty(), "nothing changes them");
    }
}

#[test]
fn a_mark_that_no_reset_bears_is_followed_to_where_it_is_lost() {
    let bleaches = Tricks { marks: (Some(0), None), ..Tricks::default() };
    for v6 in [false, true] {
        let trace = run(&with_tricks(Culprit::Vm(VmFault::Stopped), v6, &[(1, bleaches)]));
        assert_eq!(changes(found(&trace)), [(Field::Dscp, 2, 3)]);
        assert!(changes(&without(&trace, is_marked)).is_empty());
    }
}

#[test]
fn other_flows_tell_a_branch_that_drops() {
    let twin = "198.18.2.3".parse().expect("an address");
    let branches = Tricks { twin: Some(twin), ..Tricks::default() };
    let fault = RouterFault::Drop { stage: Stage::Forward, scope: Scope::Port };
    let (mut told, mut beside) = (0, 0);
    // The kernel's port decides which branch its SYN takes.
    for seed in 0..16 {
        let mut scenario = with_tricks(Culprit::Router { index: 1, fault }, false, &[(1, branches)]);
        scenario.seed = seed;
        let trace = run(&scenario);
        if found(&trace).outcome != whichhop::attempt::Outcome::Timeout {
            continue;
        }
        beside += u32::from(trace.read_banner);
        let first = first(found(&trace));
        let story = || super::judge::story(&scenario, &trace);
        assert_eq!(first.segment(), Segment::Transit, "{}", story());
        let full = |packet: &Packet| packet.ttl == 64 && packet.tcp().is_some_and(|t| t.source_port < 32_000);
        let less = without(&trace, full).verdict.standing.first().map(|s| s.suspect);
        told += u32::from(less != Some(first));
    }
    assert!(told > 0, "without other flows it is not told");
    assert!(beside > 4, "of sixteen, {beside} are told though the kernel's own connection opens");
}
