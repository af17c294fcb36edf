//! What is asked further, and what for.

use super::networks::*;
use super::*;

/// What a trace that never asks one kind of question finds.
fn found_without(setting: Setting, inquiry: &str) -> Found {
    let recorded = run_without(setting, inquiry).script;
    let mut lines = Script::new("0.0 ! start azure=198.18.3.0/24\n 0.0 ! route gw=10.22.1.1");
    lines.append(recorded);
    lines.line("9.8 ! capture");
    lines.line("9.9 ! end");
    testing::found(&lines)
}

#[test]
fn every_further_question_is_there_for_a_fault() {
    let unverified = Setting { verifies: false, ..usual(vm) };
    let silent = Setting { deep: true, gives_up_after: Some(30 * SECOND), ..usual(dark) };
    let inspected = |trouble| Setting { trouble, box_at: 1, ..usual(sshd) };
    for (inquiry, setting, rule) in [
        ("Mark", usual(vm_mirrors), "reset-bears-mark"),
        ("HalfSyn", silent, "half-syn-taken-in"),
        ("Stages", inspected(Trouble::Resets), "identification-reset-before-path-end"),
        ("Stages", inspected(Trouble::Stalls), "identification-stops"),
        ("Stages", inspected(Trouble::Swallows), "full-size-stops"),
        ("Stages", inspected(Trouble::CutsOff), "connection-stops"),
        ("Vary", usual(copies_hop_limit), "reset-copies-hop-limit"),
        ("Checksum", unverified, "reset-without-checking"),
        ("Late", usual(listens_before_slow_sshd), "genuine-answer-follows"),
        ("Confirm", usual(listens), "reset-beside-time-exceeded"),
    ] {
        let all = found_without(setting, "none");
        assert!(all.has(rule), "{inquiry}: {}", all.rules());
        let less = found_without(setting, inquiry);
        assert!(!less.has(rule), "without {inquiry}: {}", less.rules());
    }
}

/// Hop limits of the SYNs to the port that no path needs.
fn beyond_any_path(trace: &Trace) -> Vec<u8> {
    trace.syns().iter().filter(|s| s.1 == 22 && s.3 > 64).map(|s| s.3).collect()
}

#[test]
fn a_hop_limit_that_moves_with_ours_is_measured() {
    let trace = run(usual(copies_hop_limit));
    assert_eq!(beyond_any_path(&trace), [100, 160, 220, 250]);
    assert!(trace.ended < SECOND, "{}", seconds(trace.ended));
    for steady in [edge_resets, vm, sshd, edge_drops] {
        assert_eq!(beyond_any_path(&run(usual(steady))), [0u8; 0]);
    }
}

/// Ports of the SYNs with a wrong checksum.
fn spoilt(trace: &Trace) -> Vec<u16> {
    let port = |(_, action): &(i64, Action)| match action {
        Action::SendSyn(syn) => syn.bad_checksum.then_some(syn.destination.port()),
        _ => None,
    };
    trace.actions.iter().filter_map(port).collect()
}

#[test]
fn a_reset_from_the_end_is_asked_for_with_a_wrong_checksum() {
    let trace = run(usual(vm));
    let asked = spoilt(&trace);
    assert_eq!((asked.len(), asked[0]), (3, 22), "and another port, twice");
    assert!(asked[1] > 61_000 && asked[1] == asked[2]);
    assert!(trace.ended < SECOND, "{}", seconds(trace.ended));
    for (name, network) in NETWORKS {
        if !matches!(name, "vm" | "vm_mirrors" | "copies_hop_limit") {
            assert!(spoilt(&run(usual(network))).is_empty(), "{name}");
        }
    }
}

#[test]
fn a_genuine_answer_is_waited_for_only_behind_a_contradiction() {
    let waited = run(usual(listens)).ended;
    assert!((3 * SECOND..4 * SECOND).contains(&waited), "{}", seconds(waited));
    let came = run(usual(listens_before_sshd)).ended;
    assert!(came < 2 * SECOND, "{}", seconds(came));
    assert!(run(usual(edge_resets)).ended < SECOND);
}

/// Marked SYNs: their ports and hop limits, in order.
fn marked(trace: &Trace) -> Vec<(u16, u8)> {
    let marked = |(_, action): &(i64, Action)| match action {
        Action::SendSyn(syn) if syn.traffic_class != 0 => Some((syn.destination.port(), syn.hop_limit.0)),
        _ => None,
    };
    trace.actions.iter().filter_map(marked).collect()
}

#[test]
fn where_the_port_is_reset_marked_syns_follow_to_it_and_to_a_control() {
    let sent = marked(&run(usual(vm_mirrors)));
    assert_eq!(sent.iter().filter(|s| **s == (22, 64)).count(), 3);
    assert_eq!(sent.iter().filter(|(port, ttl)| *port != 22 && *ttl == 64).count(), 3);
    assert_eq!(sent.len(), 6, "the marks come back: nobody bleaches them");
    for network in [dark, sshd, edge_drops, all_dark] {
        assert!(marked(&run(usual(network))).is_empty(), "nothing is reset");
    }
}

#[test]
fn where_no_reset_bears_a_mark_every_hop_is_asked_where_it_is_lost() {
    let sent = marked(&run(usual(vm)));
    let hops: Vec<u8> =
        sent.iter().filter(|(port, ttl)| *port != 22 && *ttl < 64).map(|(_, ttl)| *ttl).collect();
    assert_eq!(hops, [1, 2, 3, 4]);
}

/// When halves of SYNs were sent, and to which port.
fn halves(trace: &Trace) -> Vec<(i64, u16)> {
    let half = |(at, action): &(i64, Action)| match action {
        Action::SendHalfSyn(syn) => Some((*at, syn.destination.port())),
        _ => None,
    };
    trace.actions.iter().filter_map(half).collect()
}

#[test]
fn halves_of_syns_go_out_at_the_first_sign_of_silence_if_asked_for() {
    let silent = run(Setting { deep: true, ..usual(dark) });
    let sent = halves(&silent);
    assert!(sent.iter().all(|(at, _)| (SECOND..1_300 * MS).contains(at)), "{sent:?}");
    assert_eq!(sent.iter().filter(|(_, port)| *port == 22).count(), 3);
    assert_eq!(sent.iter().filter(|(_, port)| *port != 22).count(), 2);
    let last = sent.iter().map(|(at, _)| *at).max().unwrap();
    assert_eq!(silent.ended, last + 32_500 * MS, "Linux gives up after 30 s, and its timers are late");
    for network in [vm, sshd, edge_resets] {
        assert!(halves(&run(Setting { deep: true, ..usual(network) })).is_empty(), "the port answers");
    }
    assert!(halves(&run(usual(dark))).is_empty(), "not asked for");
    let unprivileged = Means { raw: false, datagram_icmp: true };
    assert!(halves(&run(Setting { deep: true, means: unprivileged, ..usual(dark) })).is_empty());
    let kept_in = run(Setting { deep: true, kernel_out: false, ..usual(dark) });
    assert!(halves(&kept_in).is_empty(), "the SYN never leaves this machine");
}

#[test]
fn once_the_vm_gives_up_on_a_half_nothing_more_is_waited_for() {
    let deep = Setting { deep: true, gives_up_after: Some(31 * SECOND), ..usual(dark) };
    let trace = run(deep);
    let first = halves(&trace)[0].0;
    assert!(trace.ended <= first + 32_100 * MS, "{}", seconds(trace.ended));
    assert!(trace.resets().iter().all(|port| !halves_ports(&trace).contains(port)), "a half opens nothing");
}

fn halves_ports(trace: &Trace) -> BTreeSet<u16> {
    let half = |(_, action): &(i64, Action)| match action {
        Action::SendHalfSyn(syn) => Some(syn.source.port()),
        _ => None,
    };
    trace.actions.iter().filter_map(half).collect()
}
