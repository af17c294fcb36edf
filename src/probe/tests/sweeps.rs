//! What every hop is asked.

use super::networks::*;
use super::*;

#[test]
fn what_is_asked_again_goes_from_a_fresh_port() {
    for (name, network) in NETWORKS {
        let mut flows: BTreeMap<u16, Vec<(u16, u8)>> = BTreeMap::new();
        for (_, port, from, ttl) in run(usual(network)).syns() {
            flows.entry(from).or_default().push((port, ttl));
        }
        for (from, syns) in flows {
            assert!((20_000..32_000).contains(&from), "{name}: {from} may belong to a socket");
            assert!(syns.windows(2).all(|w| w[0].0 == w[1].0 && w[0].1 < w[1].1), "{name}: {syns:?}");
        }
    }
    let asked_again: Vec<_> = run(usual(edge_drops)).syns().into_iter().filter(|s| s.0 > SECOND).collect();
    let ports: BTreeSet<u16> = asked_again.iter().map(|s| s.2).collect();
    assert!(!asked_again.is_empty());
    assert_eq!(ports.len(), asked_again.len(), "one SYN each");
}

#[test]
fn a_refusal_is_confirmed_one_hop_limit_to_a_port() {
    let trace = run(usual(edge_resets));
    let to_ssh: Vec<(u16, u8)> = trace.syns().iter().filter(|s| s.1 == 22).map(|s| (s.2, s.3)).collect();
    let sweep = to_ssh[0].0;
    let swept = |ttl: u8| ttl < FULL;
    let alone: Vec<u8> =
        to_ssh.iter().filter(|(from, ttl)| *from != sweep && swept(*ttl)).map(|(_, ttl)| *ttl).collect();
    assert_eq!(alone, [1, 2], "the hop before it and its own");
    let farthest = to_ssh.iter().map(|(_, ttl)| *ttl).filter(|ttl| swept(*ttl)).max();
    assert_eq!(farthest, Some(3), "no farther than one beyond the refusal");
}

#[test]
fn unanswered_syns_are_asked_again_with_a_control_right_behind() {
    let syns = run(usual(edge_drops)).syns();
    for (at, _, _, ttl) in syns.iter().filter(|s| s.1 == 22 && s.0 > SECOND && s.3 < FULL) {
        let behind = syns.iter().any(|s| s.1 != 22 && s.3 == *ttl && (0..60 * MS).contains(&(s.0 - at)));
        assert!(behind, "hop {ttl} at {}", seconds(*at));
    }
}

#[test]
fn a_well_known_port_is_asked_where_the_closed_one_is_filtered_too() {
    let to_https = |network| run(usual(network)).syns().iter().filter(|s| s.1 == 443).count();
    assert!(to_https(edge_lets_https_out) >= 4);
    assert_eq!(to_https(edge_drops), 0, "the closed port gets through");
}

#[test]
fn every_hop_is_asked_about_the_port_and_controls() {
    let trace = run(usual(dark));
    for hop in 1..=4 {
        let syns: Vec<u16> = trace.syns().iter().filter(|s| s.3 == hop).map(|s| s.1).collect();
        assert!(syns.contains(&22) && syns.iter().any(|p| *p > 61_000), "hop {hop}: {syns:?}");
    }
    assert!(trace.by_hop().keys().all(|hop| *hop <= 30));
}

#[test]
fn without_privilege_only_the_kernels_means_are_used() {
    let trace = run(Setting { means: Means { raw: false, datagram_icmp: true }, ..usual(vm) });
    assert!(trace.syns().is_empty() && trace.resets().is_empty());
    let asks = |wanted: fn(&KernelProbe) -> bool| {
        trace.actions.iter().filter(|(_, a)| matches!(a, Action::Ask { probe, .. } if wanted(probe))).count()
    };
    assert!(asks(|p| matches!(p, KernelProbe::Connect(_))) >= 4);
    assert!(asks(|p| matches!(p, KernelProbe::Echo(_))) >= 4);
    let neither = run(Setting { means: Means { raw: false, datagram_icmp: false }, ..usual(vm) });
    assert!(
        !neither.actions.iter().any(|(_, a)| matches!(a, Action::Ask { probe: KernelProbe::Echo(_), .. }))
    );
}

#[test]
fn without_a_route_only_the_kernel_is_asked() {
    let trace = run(Setting { routed: false, kernel_out: false, ..usual(all_dark) });
    let [(0, Action::Connect { id: 0, .. }), (_, Action::Abandon { id: 0 })] = &trace.actions[..] else {
        panic!("{:?}", trace.actions)
    };
}
