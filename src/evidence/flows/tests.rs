//! Hop 2 is two routers, 198.18.1.1 and 198.18.1.2; the second drops.

use crate::testing::{END, Found, diagnose};

const BEGIN: &str = "
    0.000 ! start azure=198.18.3.0/24
    0.000 ! route gw=10.22.1.1
    0.000 ! connect 0 started
    0.001 > S id=1
    0.02 > 20000:22 S ttl=1    | 11/0 10.22.1.1
    0.04 > 20000:22 S ttl=2    | 11/0 198.18.1.1
    0.06 > 20000:22 S ttl=3    | 11/0 198.18.2.1
    0.08 > 20000:22 S ttl=4    | 11/0 198.18.3.1
    0.10 > 20000:22 S ttl=5    | S.
    0.12 > 20001:61999 S ttl=5 | R. ttl=60
    1.001 > S id=2
";

const OTHERS: &str = "
    1.10 > 20002:22 S
    1.12 > 20003:22 S | S.
    1.14 > 20004:22 S | S.
    1.16 > 20005:22 S
    1.30 > 20002:22 S ttl=1 | 11/0 10.22.1.1
    1.32 > 20002:22 S ttl=2 | 11/0 198.18.1.2
    1.34 > 20002:22 S ttl=3
    1.36 > 20002:22 S ttl=4
";

fn trace(lines: &str) -> Found {
    let found = diagnose(&format!("{BEGIN}{lines}\n3.4 ! connect 0 abandoned 3400{END}"));
    assert_eq!(found.outcome(), "timeout");
    found
}

#[test]
fn one_of_two_branches_drops() {
    let found = trace(OTHERS);
    assert_eq!(
        found.claims("flows-part"),
        ["likely 2-3 transit-filter transit-route", "spares client-1 everyone", "spares 4-end everyone"]
    );
    assert!(
        found.says("flows-part").contains("which get to hop 2 (198.18.1.2)"),
        "{}",
        found.says("flows-part")
    );
    assert_eq!(found.standing()[0], "transit-route");
    assert_eq!(found.0.path.hop(2).unwrap().others.len(), 1, "both branches are shown");
    assert!(found.is_spared("vm-firewall", "flows-alike") && found.is_spared("edge-firewall", "flows-alike"));
    assert!(!found.cleared().contains(&"vm-firewall"), "nobody is cleared");
    assert_eq!(found.segment(), Some("transit"));
}

#[test]
fn where_no_router_is_seen_to_part_them_nobody_is_spared() {
    let found = trace(&OTHERS.replace("198.18.1.2", "198.18.1.1"));
    assert_eq!(found.claims("flows-part"), ["likely 2-3 transit-filter transit-route"]);
    assert!(found.stands("vm-firewall") && found.stands("edge-firewall"));
}

#[test]
fn without_other_flows_nothing_tells() {
    assert!(!trace("").has("flows-part"));
}

#[test]
fn where_all_others_are_answered_or_none_is_they_do_not_part() {
    let answered =
        OTHERS.replace("20002:22 S\n", "20002:22 S | S.\n").replace("20005:22 S\n", "20005:22 S | S.\n");
    assert!(!trace(&answered).has("flows-part"), "the kernel's SYNs alone may have been lost by chance");
    let silent = format!("{BEGIN}{OTHERS}\n3.4 ! connect 0 abandoned 3400{END}").replace("| S.\n", "\n");
    assert!(!diagnose(&silent).has("flows-part"));
}

#[test]
fn behind_the_last_router_it_is_a_load_balancers_doing() {
    let found = trace(
        "1.10 > 20002:22 S
         1.12 > 20003:22 S | S.
         1.30 > 20002:22 S ttl=1 | 11/0 10.22.1.1
         1.32 > 20002:22 S ttl=2 | 11/0 198.18.1.1
         1.34 > 20002:22 S ttl=3 | 11/0 198.18.2.1
         1.36 > 20002:22 S ttl=4 | 11/0 198.18.3.1",
    );
    assert_eq!(found.claims("flows-part"), ["likely 4-end azure-load-balancer"]);
    assert_eq!(found.standing()[0], "azure-load-balancer");
}

/// The kernel's connection opens; what was lost beside it is asked again.
fn opened(lines: &str) -> Found {
    diagnose(&format!(
        "0.000 ! start azure=198.18.3.0/24
         0.000 ! route gw=10.22.1.1
         0.000 ! connect 0 started
         0.001 > S id=1
         0.002 < S. ttl=60
         0.003 > .
         0.003 ! connect 0 established
         0.005 < P. data=\"SSH-2.0-x\\r\\n\" ttl=60
         0.006 ! connect 0 received \"SSH-2.0-x\\r\\n\"
         0.007 ! connect 0 closed
         0.02 > 20000:22 S ttl=1    | 11/0 10.22.1.1
         0.04 > 20000:22 S ttl=2    | 11/0 198.18.1.1
         0.06 > 20000:22 S ttl=3    | 11/0 198.18.2.1
         0.08 > 20000:22 S ttl=4    | 11/0 198.18.3.1
         0.10 > 20001:61999 S ttl=4 | 11/0 198.18.3.1
         0.12 > 20001:61999 S ttl=5 | R. ttl=60
         0.20 > 20002:22 S | S. ttl=60
         0.21 > 20002:22 R seq=1001
         0.22 > 20003:22 S
         {lines}
         9.0 ! capture
         9.1 ! end"
    ))
}

const AGAIN: &str = "1.30 > 20003:22 S
         1.32 > 20002:22 S | S. ttl=60
         1.33 > 20002:22 R seq=1001
         2.40 > 20003:22 S
         2.42 > 20002:22 S | S. ttl=60
         2.43 > 20002:22 R seq=1001
         3.50 > 20003:22 S
         3.60 > 20003:22 S ttl=1 | 11/0 10.22.1.1
         3.62 > 20003:22 S ttl=2 | 11/0 198.18.1.2
         3.64 > 20003:22 S ttl=3";

#[test]
fn a_connection_that_opens_does_not_speak_for_the_others() {
    let found = opened(AGAIN);
    assert_eq!(found.outcome(), "timeout");
    assert_eq!(found.claims("flows-part")[0], "likely 2-3 transit-filter transit-route");
    assert_eq!(found.standing()[0], "transit-route");
    assert!(found.is_spared("edge-firewall", "flows-alike") && found.is_spared("vm-firewall", "flows-alike"));
    assert!(found.cleared().contains(&"client-firewall-out"));
}

#[test]
fn what_limits_how_many_pass_parts_no_flows() {
    // From the second on, nothing gets through any more, whatever its port.
    let limited = AGAIN.replace(" | S. ttl=60", "");
    assert_eq!(opened(&limited).outcome(), "open");
    // The first of each connection is dropped.
    let greylisted = AGAIN.replace("1.30 > 20003:22 S", "1.30 > 20003:22 S | S. ttl=60");
    assert_eq!(opened(&greylisted).outcome(), "open");
    let once = AGAIN.replace("3.50 > 20003:22 S\n", "");
    assert_eq!(opened(&once).outcome(), "open", "three may be lost by chance");
}

#[test]
fn where_packets_get_lost_no_flow_is_said_to_be() {
    let lossy = format!("{AGAIN}\n 4.0 > 20004:61998 S ttl=4");
    assert_eq!(opened(&lossy).outcome(), "open");
    let unread = opened(&AGAIN.replace("3.50", "3.45 ! capture lost=3\n 3.50"));
    assert_eq!(unread.outcome(), "open");
}
