//! The way there has four routers: 10.22.1.1 (edge), 198.18.1.1 and 198.18.2.1 (transit), 198.18.3.1 (Azure's edge).

use crate::testing::{END, Found, diagnose};

/// Records 1 to 4.
const BEGIN: &str = "
    0.000 ! start azure=198.18.3.0/24
    0.000 ! route gw=10.22.1.1
    0.000 ! connect 0 started
    0.001 > S id=1
";

/// Pings all the way, 16 records: enough answered ones to tell that nothing gets lost.
const PINGS: &str = "
    1.01 > echo 1 ttl=1 | 11/0 10.22.1.1
    1.02 > echo 2 ttl=2 | 11/0 198.18.1.1
    1.03 > echo 3 ttl=3 | 11/0 198.18.2.1
    1.04 > echo 4 ttl=4 | 11/0 198.18.3.1
    1.05 > echo 5 ttl=5 | echo-reply 5 ttl=60
    1.06 > echo 6 ttl=1 | 11/0 10.22.1.1
    1.07 > echo 7 ttl=2 | 11/0 198.18.1.1
    1.08 > echo 8 ttl=3 | 11/0 198.18.2.1
";

fn trace(lines: &str) -> Found {
    diagnose(&format!("{BEGIN}{lines}{PINGS}{END}"))
}

/// The kernel's SYN is reset, `left` being what is left of the hop limit: records 5 and 6.
fn reset(left: u8, lines: &str) -> Found {
    trace(&format!("0.005 < R. ttl={left}\n 0.006 ! connect 0 failed 111\n{lines}"))
}

/// Hop 1 resets what it should forward.
const BY_THE_EDGE: &str = "
    0.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1
    0.04 > 20000:22 S ttl=2 | R. ttl=64
";

/// Hop 3 does, and is asked again on fresh ports.
const BY_HOP_3: &str = "
    0.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1
    0.04 > 20000:22 S ttl=2 | 11/0 198.18.1.1
    0.06 > 20000:22 S ttl=3 | 11/0 198.18.2.1
    0.08 > 20000:22 S ttl=4 | R. ttl=62
    0.10 > 20001:22 S ttl=3 | 11/0 198.18.2.1
    0.12 > 20002:22 S ttl=4 | R. ttl=62
";

/// The VM does.
const BY_THE_VM: &str = "
    0.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1
    0.04 > 20000:22 S ttl=2 | 11/0 198.18.1.1
    0.06 > 20000:22 S ttl=3 | 11/0 198.18.2.1
    0.08 > 20000:22 S ttl=4 | 11/0 198.18.3.1
    0.10 > 20000:22 S ttl=5 | R. ttl=60
";

#[test]
fn the_edge_resets() {
    let found = reset(64, BY_THE_EDGE);
    assert_eq!(found.outcome(), "reset");
    assert_eq!(
        found.rules(),
        "syn-on-wire address-given reset-before-path-end syn-passed-hops return-distance refused-by-the-kernel border-by-address"
    );
    assert_eq!(found.cites("reset-before-path-end"), [9, 10, 13, 14], "the SYN and its reset; hop 2 lives");
    assert_eq!(found.claims("reset-before-path-end"), ["clears 3-end everyone"]);
    assert_eq!(found.cites("syn-passed-hops"), [7, 8]);
    assert_ne!(found.suspicion(), found.without("syn-passed-hops").suspicion());
    assert_eq!(found.claims("syn-passed-hops"), ["possible 1 edge-firewall", "possible 2 transit-filter"]);
    assert_eq!(found.cites("return-distance"), [5, 8]);
    assert_eq!(found.claims("return-distance"), ["likely 1 edge-firewall"]);
    assert_eq!(found.standing()[0], "edge-firewall");
    assert_eq!(found.hops("edge-firewall"), [1]);
    assert_eq!(found.hops("transit-filter"), [2]);
    for cleared in ["vm-firewall", "vm-sshd-not-running", "azure-nsg", "azure-firewall", "client-firewall-in"]
    {
        assert!(found.cleared().contains(&cleared), "{cleared}");
    }
    assert_eq!(found.segment(), None, "what is before hop 2's TTL check looks like hop 1");
}

#[test]
fn the_vm_resets() {
    let found = reset(60, BY_THE_VM);
    assert!(!found.has("reset-before-path-end"), "no router answers at hop 5 or beyond");
    assert!(!found.has("no-answer-from-nearer"), "one SYN that passed proves nothing");
    assert_eq!(
        found.claims("syn-passed-hops").last().unwrap(),
        "possible end vm-firewall vm-sshd-not-running vm-sshd-port"
    );
    for stands in ["vm-sshd-not-running", "vm-sshd-port", "vm-firewall", "azure-firewall", "transit-filter"] {
        assert!(found.stands(stands), "{stands}");
    }
    assert_eq!(found.claims("return-distance"), ["likely end vm-firewall vm-sshd-not-running vm-sshd-port"]);
    assert_eq!(found.hops("vm-sshd-not-running"), [5]);
}

#[test]
fn azures_last_hop_looks_like_the_vm_by_its_trigger() {
    // It resets what it should forward: the hop limit that draws it is the VM's, the way back is not.
    let found = reset(61, &BY_THE_VM.replace("ttl=60", "ttl=61"));
    assert!(!found.has("reset-before-path-end"));
    assert_eq!(found.claims("return-distance"), ["likely 4 azure-firewall"]);
    assert_eq!(found.standing()[0], "azure-firewall");
    assert!(found.stands("vm-firewall") && found.stands("vm-sshd-not-running"));
}

#[test]
fn a_port_routed_another_way_is_not_measured_by_the_control_path() {
    let other_way = "
        0.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1
        0.04 > 20000:22 S ttl=2 | 11/0 198.18.77.1
        0.06 > 20000:22 S ttl=3 | R. ttl=62
    ";
    let found = reset(62, other_way);
    assert!(!found.has("reset-before-path-end"), "three hops away on its own way, maybe");
    assert!(found.stands("vm-sshd-not-running"));
    let same_way = reset(62, &other_way.replace("198.18.77.1", "198.18.1.1"));
    assert_eq!(same_way.claims("reset-before-path-end"), ["clears 4-end everyone"]);
}

#[test]
fn a_router_that_answers_the_port_itself_needs_no_control() {
    // A box at hop 2 answers a copy of the SYN, which goes on.
    let found = reset(
        63,
        "0.02 > 20000:22 S ttl=2 | 11/0 198.18.1.1
         0.03 < 20000:22 R. ttl=63",
    );
    assert_eq!(found.cites("reset-before-path-end"), [7, 8, 9]);
    assert_eq!(found.claims("reset-before-path-end"), ["clears 3-end everyone"]);
    assert!(!found.has("syn-passed-hops"), "the reset came with it");
}

#[test]
fn a_reset_that_acknowledges_nothing_of_ours_convicts_nobody() {
    let found = trace("0.02 > 20000:22 S ttl=2 | R. ack=5\n 0.04 > 20001:22 S ttl=3 | R");
    assert_eq!(found.outcome(), "timeout");
    assert!(!found.has("reset-before-path-end") && !found.has("refused-by-the-kernel"));
}

#[test]
fn a_firewall_that_forwards_nearer_syns_clears_the_hops_before() {
    let found = reset(62, BY_HOP_3);
    assert_eq!(found.claims("no-answer-from-nearer"), ["spares 1-2 everyone", "spares 1-2 everyone"]);
    assert_eq!(found.cites("no-answer-from-nearer"), [11, 12, 15, 16]);
    assert_eq!(found.claims("reset-before-path-end"), ["clears 5-end everyone"]);
    assert_eq!(found.hops("transit-filter"), [3]);
    assert!(found.is_spared("azure-firewall", "known-border"), "the border may lie before hop 3");
    assert!(found.is_spared("azure-firewall", "no-forgery"), "hop 4 may imitate hop 3");
    assert!(found.is_spared("edge-firewall", "own-address"), "it may lead the connection elsewhere");
}

#[test]
fn one_syn_that_passed_clears_no_hop() {
    let once: String = BY_HOP_3.lines().filter(|l| !l.contains("20001")).collect::<Vec<_>>().join("\n");
    let found = reset(62, &once);
    assert_eq!(
        found.claims("no-answer-from-nearer"),
        ["spares 1 everyone", "spares 1 everyone"],
        "hop 2 was passed once only"
    );
    assert!(found.is_spared("edge-firewall", "own-address"), "it may lead the connection elsewhere");
}

#[test]
fn a_reset_that_copies_the_hop_limit_may_come_from_nearer() {
    // Copied hop limits: those of small ones die on the way back, wherever the forger stands.
    let copied = BY_HOP_3.replace("R. ttl=62", "R. ttl=2");
    let found = reset(62, &copied);
    assert!(!found.has("no-answer-from-nearer"));
    assert!(found.stands("edge-firewall"));
}

#[test]
fn where_packets_get_lost_a_missing_reset_clears_nobody() {
    let found = reset(62, &format!("{BY_HOP_3} 0.14 > 20003:22 S ttl=2  # lost"));
    assert!(!found.has("no-answer-from-nearer"));
    assert!(found.is_spared("edge-firewall", "no-forgery"));
    let late = diagnose(&format!(
        "{BEGIN} 1.001 > S id=2\n 1.005 < R. ttl=62\n 1.006 ! connect 0 failed 111\n{BY_HOP_3}{PINGS}{END}"
    ));
    assert!(!late.has("no-answer-from-nearer"), "the kernel's first SYN got no answer");
}

#[test]
fn a_few_answered_controls_do_not_tell_that_nothing_gets_lost() {
    let pings: Vec<&str> = PINGS.lines().filter(|l| !l.contains("echo 8")).collect();
    let found = diagnose(&format!(
        "{BEGIN} 0.005 < R. ttl=62\n 0.006 ! connect 0 failed 111\n{BY_HOP_3}{}\n{END}",
        pings.join("\n")
    ));
    assert!(!found.has("no-answer-from-nearer"), "seven");
    assert!(reset(62, BY_HOP_3).has("no-answer-from-nearer"), "eight");
}

#[test]
fn an_injector_whose_answer_the_genuine_one_follows_may_stand_nearer() {
    let found =
        trace(&format!("0.005 < R. ttl=62\n 0.006 ! connect 0 failed 111\n 0.007 < S. ttl=60\n {BY_HOP_3}"));
    assert!(!found.has("no-answer-from-nearer"));
    assert!(found.is_spared("edge-ids", "no-forgery"), "its hop limit may be an imitation");
}

#[test]
fn a_way_back_that_agrees_with_no_place_or_with_two_points_nowhere() {
    assert!(!reset(50, &BY_THE_EDGE.replace("ttl=64", "ttl=50")).has("return-distance"));
    // Hop 2 answers as if it stood where hop 1 does.
    let twice = diagnose(&format!(
        "{BEGIN} 0.005 < R. ttl=64\n 0.006 ! connect 0 failed 111\n {BY_THE_EDGE} {} {END}",
        PINGS.replace("11/0 198.18.1.1", "11/0 198.18.1.1 ttl=255")
    ));
    assert!(!twice.has("return-distance"));
}

#[test]
fn a_syn_ack_behind_the_reset_shows_that_somebody_listens() {
    let found = trace("0.005 < R. ttl=64\n 0.006 ! connect 0 failed 111\n 0.009 < S. ttl=60");
    assert_eq!(found.outcome(), "reset");
    assert_eq!(found.cites("genuine-answer-follows"), [5, 7]);
    assert_eq!(
        found.claims("genuine-answer-follows"),
        ["likely 1-end edge-ids transit-filter azure-ids vm-ids"]
    );
    assert!(!found.cleared().contains(&"vm-sshd-not-running"), "a proxy may have sent it");
    assert!(found.stands("vm-ids"));
}

#[test]
fn a_reset_behind_the_syn_ack_shows_nothing_of_the_kind() {
    let found = trace("0.005 < S. ttl=60\n 0.006 < R. ttl=60\n 0.007 ! connect 0 failed 111");
    assert_eq!(found.outcome(), "reset");
    assert!(!found.has("genuine-answer-follows"));
    assert!(found.stands("vm-sshd-not-running"));
}

#[test]
fn a_syn_that_was_refused_never_met_a_program() {
    let found = reset(64, BY_THE_EDGE);
    assert_eq!(found.cites("refused-by-the-kernel"), [5]);
    assert_eq!(
        found.claims("refused-by-the-kernel"),
        ["clears end vm-sshd-refuses vm-sshd-hung vm-other-service"]
    );
    let established = trace(
        "0.005 < S.\n 0.006 > .\n 0.007 ! connect 0 established\n 0.009 < R\n 0.010 ! connect 0 broken 104",
    );
    assert_eq!(established.outcome(), "reset-after-handshake");
    assert!(!established.has("refused-by-the-kernel"));
    assert!(established.stands("vm-sshd-refuses"));
}

/// The kernel's SYN and a probe with hop limit 2 draw an ICMP error from the edge: records 5 to 10.
fn rejected(error: &str) -> Found {
    trace(&format!(
        "0.005 < {error} left=63
         0.006 ! connect 0 failed 113
         0.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1
         0.04 > 20000:22 S ttl=2 | {error}"
    ))
}

#[test]
fn the_edge_forbids() {
    let found = rejected("3/13 10.22.1.1");
    assert_eq!(found.outcome(), "rejected");
    assert_eq!(found.cites("icmp-before-path-end"), [9, 10, 13, 14]);
    assert_eq!(found.claims("icmp-before-path-end"), ["clears 3-end everyone"]);
    assert_eq!(found.cites("icmp-sender"), [5, 10]);
    assert_eq!(found.claims("icmp-sender"), ["likely 1 edge-firewall", "spares 2-end everyone"]);
    assert!(found.is_spared("transit-filter", "no-forgery"));
    assert!(found.says("icmp-sender").contains("type 3 code 13 (forbidden by policy)"));
    assert_eq!(found.standing()[0], "edge-firewall");
    assert!(found.cleared().contains(&"vm-firewall"));
}

#[test]
fn the_vms_firewall_rejects() {
    let found = trace(&format!(
        "0.005 < 3/3 198.19.0.4 left=60 ttl=60\n 0.006 ! connect 0 failed 111\n{}",
        BY_THE_VM.replace("R. ttl=60", "3/3 198.19.0.4 ttl=60")
    ));
    assert!(!found.has("icmp-before-path-end"));
    assert_eq!(
        found.claims("icmp-sender"),
        ["likely end vm-firewall", "spares 1-254 everyone", "spares end strangers"]
    );
    assert!(found.is_spared("azure-load-balancer", "own-address"));
    assert_eq!(found.standing()[0], "vm-firewall");
}

#[test]
fn an_error_in_the_vms_name_from_before_the_path_ends_is_not_the_vms() {
    let found = rejected("3/3 198.19.0.4");
    assert_eq!(found.claims("icmp-before-path-end"), ["clears 3-end everyone"]);
    assert_eq!(found.claims("icmp-sender"), ["likely 2 transit-filter"], "where it was drawn");
    assert!(found.cleared().contains(&"vm-firewall"));
}

#[test]
fn no_route_and_a_silent_neighbour_are_told_apart() {
    assert_eq!(rejected("3/0 10.22.1.1").claims("icmp-sender")[0], "likely 1 edge-route");
    assert_eq!(rejected("3/1 10.22.1.1").claims("icmp-sender")[0], "likely 1 edge-route");
    let waited = trace(&format!(
        "3.1 < 3/1 198.18.3.1 left=61\n 3.1 ! connect 0 failed 113\n{}",
        BY_THE_VM.replace("R. ttl=60", "3/1 198.18.3.1 after=3060")
    ));
    assert_eq!(waited.claims("icmp-sender")[0], "likely 4-end azure-public-ip vm-down");
    assert!(waited.stands("azure-public-ip") && waited.is_spared("azure-load-balancer", "own-address"));
    assert!(!waited.has("icmp-before-path-end"), "the hop limit that draws it is the VM's");
    assert!(waited.stands("vm-down"));
}

#[test]
fn an_error_from_an_address_off_the_path_points_nowhere() {
    let found = rejected("3/13 203.0.113.77");
    assert!(!found.has("icmp-sender"));
    assert_eq!(found.claims("icmp-before-path-end"), ["clears 3-end everyone"]);
}

#[test]
fn a_timeout_gives_these_rules_nothing() {
    let found = trace("1.001 > S id=2\n 3.001 > S id=3\n 3.4 ! connect 0 abandoned 3400");
    assert_eq!(found.outcome(), "timeout");
    for rule in
        ["reset-before-path-end", "icmp-before-path-end", "syn-passed-hops", "return-distance", "icmp-sender"]
    {
        assert!(!found.has(rule), "{rule}");
    }
}

#[test]
fn where_the_capture_lost_packets_a_syn_that_got_farther_may_have_drawn_the_reset() {
    // The VM does, asked with hop limit 5: that SYN is not in the capture.
    let lines = "
        0.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1
        0.04 > 20000:22 S ttl=2 | 11/0 198.18.1.1
        0.06 > 20000:22 S ttl=3 | 11/0 198.18.2.1
        0.08 > 20000:22 S ttl=4
        0.10 < 20000:22 R. ttl=62
    ";
    let whole = format!("{BEGIN}0.005 < R. ttl=62\n 0.006 ! connect 0 failed 111\n{lines}{PINGS}");
    let found = diagnose(&format!("{whole}{END}"));
    assert!(found.has("reset-before-path-end"));
    let found = diagnose(&format!("{whole} 9.0 ! capture lost=1\n 9.1 ! end"));
    assert!(!found.has("reset-before-path-end") && !found.has("no-answer-from-nearer"));
    assert!(found.stands("vm-firewall"));
}
