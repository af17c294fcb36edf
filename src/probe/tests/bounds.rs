//! What a trace never does, whatever the network.

use super::networks::*;
use super::*;

#[test]
fn every_trace_ends_in_time() {
    for (name, network) in NETWORKS {
        for kernel_out in [true, false] {
            let trace = run(Setting { kernel_out, ..usual(network) });
            assert!(trace.ended < 6 * SECOND, "{name}: {}", seconds(trace.ended));
        }
    }
    assert!(run(usual(sshd)).ended < SECOND, "nothing to wait for");
}

#[test]
fn no_port_gets_more_than_fifty_syns_a_second() {
    for (name, network) in NETWORKS {
        let mut times: BTreeMap<u16, Vec<i64>> = BTreeMap::new();
        for (at, port, ..) in run(usual(network)).syns() {
            times.entry(port).or_default().push(at);
        }
        // The kernel's own.
        times.entry(22).or_default().extend([0, SECOND, 3 * SECOND]);
        let to_ssh: Vec<i64> = run(usual(network)).syns().iter().filter(|s| s.1 == 22).map(|s| s.0).collect();
        assert!(to_ssh.windows(2).all(|w| w[1] - w[0] > 20 * MS), "{name}: room for the kernel's own");
        for (port, mut times) in times {
            times.sort_unstable();
            for from in &times {
                let within = times.iter().filter(|t| (*from..from + SECOND).contains(t)).count();
                assert!(within <= 50, "{name}: {within} SYNs to port {port} within a second");
            }
        }
    }
}

#[test]
fn no_hop_is_asked_for_more_errors_than_it_earns() {
    for (name, network) in NETWORKS {
        for (hop, times) in run(usual(network)).by_hop() {
            for (i, at) in times.iter().enumerate() {
                let earned = 5 + (at - times[0]) / SECOND;
                assert!((i as i64) < earned, "{name}: hop {hop} asked {} times by {}", i + 1, seconds(*at));
            }
        }
    }
}

#[test]
fn every_half_open_connection_is_reset_once() {
    // The kernel does not get through, so that the sweep goes on to the listener.
    let trace = run(Setting { kernel_in: false, ..usual(sshd) });
    let resets = trace.resets();
    let unique: BTreeSet<&u16> = resets.iter().collect();
    assert_eq!(unique.len(), resets.len(), "though SYN/ACKs come again");
    let reached: BTreeSet<u16> = trace.syns().iter().filter(|s| s.1 == 22 && s.3 > 4).map(|s| s.2).collect();
    assert!(!reached.is_empty());
    assert!(reached.iter().all(|port| resets.contains(port)));
    assert!(run(usual(vm)).resets().is_empty(), "a refused connection is not open");
}

#[test]
fn a_syn_that_nobody_answered_is_reset_at_the_end() {
    let trace = run(usual(edge_drops));
    let beyond: BTreeSet<u16> = trace.syns().iter().filter(|s| s.1 == 22 && s.3 > 1).map(|s| s.2).collect();
    let resets: BTreeSet<u16> = trace.resets().into_iter().collect();
    assert!(beyond.is_subset(&resets), "its SYN/ACK may have been lost");
}

#[test]
fn never_more_than_two_connections_at_once() {
    let trace = run(Setting { targets: 5, ..usual(dark) });
    assert_eq!(trace.most_open, 2);
    let connects = trace.actions.iter().filter(|(_, a)| matches!(a, Action::Connect { .. })).count();
    assert_eq!(connects, 5, "all have their turn");
}

#[test]
fn a_connection_is_given_up_when_waiting_teaches_nothing() {
    let silent = run(usual(dark)).abandoned().unwrap();
    assert!((3_400 * MS..3_600 * MS).contains(&silent), "behind the SYN at 3 s: {}", seconds(silent));
    let no_banner = run(Setting { banner: false, ..usual(sshd) }).abandoned().unwrap();
    assert!((2_005 * MS..2_100 * MS).contains(&no_banner), "{}", seconds(no_banner));
    let kept_in = run(Setting { kernel_out: false, ..usual(vm) }).abandoned().unwrap();
    assert!((1_250 * MS..1_400 * MS).contains(&kept_in), "no SYN at its second try: {}", seconds(kept_in));
    let kept_out = run(Setting { kernel_in: false, ..usual(sshd) }).abandoned().unwrap();
    assert!(
        (SECOND..1_100 * MS).contains(&kept_out),
        "asked again behind the SYN/ACK: {}",
        seconds(kept_out)
    );
    assert_eq!(run(usual(sshd)).abandoned(), None);
    assert_eq!(run(usual(vm)).abandoned(), None);
}

#[test]
fn where_nothing_answers_the_kernel_is_waited_for_even_if_its_syn_does_not_show() {
    let trace = run(Setting { kernel_out: false, ..usual(all_dark) });
    assert!(trace.abandoned().unwrap() >= 3_400 * MS, "no probe tells that anything leaves");
}

#[test]
fn a_connection_that_was_given_up_half_open_is_reset_too() {
    let resets = run(Setting { kernel_in: false, ..usual(sshd) }).resets();
    assert_eq!(resets.iter().filter(|port| **port == 50022).count(), 1);
}

#[test]
fn a_listener_is_asked_no_more_than_needed() {
    let trace = run(usual(sshd));
    let reached = trace.syns().iter().filter(|s| s.1 == 22 && s.3 > 4).count();
    assert!(reached <= 3, "{reached} SYNs got to sshd beside the kernel's");
    assert_eq!(trace.resets().len(), reached);
}

#[test]
fn one_seed_one_trace() {
    let told = |seed| format!("{:?}", run(Setting { seed, ..usual(edge_resets) }).actions);
    assert_eq!(told(7), told(7));
    assert_ne!(told(7), told(8));
}
