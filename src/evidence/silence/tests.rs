//! The way there has four routers: 10.22.1.1 (edge), 198.18.1.1 and 198.18.2.1 (transit), 198.18.3.1 (Azure's edge).

use crate::testing::{END, Found, diagnose};

/// The kernel's SYNs go unanswered: records 1 to 7.
const BEGIN: &str = "
    0.000 ! start azure=198.18.3.0/24
    0.000 ! route gw=10.22.1.1
    0.000 ! connect 0 started
    0.001 > S id=1
    1.001 > S id=2
    3.001 > S id=3
    3.400 ! connect 0 abandoned 3400
";

fn trace(lines: &str) -> Found {
    let found = diagnose(&format!("{BEGIN}{lines}{END}"));
    assert_eq!(found.outcome(), "timeout");
    found
}

/// Enough answered controls, with those of a sweep, to tell that nothing gets lost.
const PINGS: &str = "
    6.01 > echo 1 ttl=1           | 11/0 10.22.1.1
    6.02 > echo 2 ttl=2           | 11/0 198.18.1.1
    6.03 > echo 3 ttl=3           | 11/0 198.18.2.1
    6.04 > echo 4 ttl=4           | 11/0 198.18.3.1
    6.05 > echo 5 ttl=1           | 11/0 10.22.1.1
    6.06 > echo 6 ttl=2           | 11/0 198.18.1.1
    6.07 > echo 7 ttl=3           | 11/0 198.18.2.1
";

/// Hop 1 drops SYNs to port 22 and no others.
const BY_THE_EDGE: &str = "
    4.020 > 20000:22 S ttl=1      | 11/0 10.22.1.1
    4.024 > 20001:61999 S ttl=1   | 11/0 10.22.1.1
    4.042 > 20000:22 S ttl=2
    4.046 > 20001:61999 S ttl=2   | 11/0 198.18.1.1
    4.064 > 20000:22 S ttl=3
    4.068 > 20001:61999 S ttl=3   | 11/0 198.18.2.1
    4.086 > 20000:22 S ttl=4
    4.090 > 20001:61999 S ttl=4   | 11/0 198.18.3.1
    4.112 > 20002:61999 S ttl=5   | R. ttl=60
";

/// Every router answers SYNs to port 22, and the VM does not.
const TO_THE_END: &str = "
    4.020 > 20000:22 S ttl=1      | 11/0 10.22.1.1
    4.042 > 20000:22 S ttl=2      | 11/0 198.18.1.1
    4.064 > 20000:22 S ttl=3      | 11/0 198.18.2.1
    4.086 > 20000:22 S ttl=4      | 11/0 198.18.3.1
    4.108 > 20000:22 S ttl=5
";

const STOPS: &str = "port-stops-where-control-goes-on";

#[test]
fn the_edge_drops() {
    let found = trace(&format!("{BY_THE_EDGE}{PINGS}"));
    assert_eq!(found.rules(), format!("syn-on-wire address-given {STOPS} border-by-address"));
    let cited = [8, 9].into_iter().chain(12..=22).collect::<Vec<_>>();
    assert_eq!(
        found.cites(STOPS),
        cited,
        "where the port got to, the unanswered SYNs, and the control's answers beyond"
    );
    assert_eq!(found.claims(STOPS), ["likely 1 edge-firewall", "spares 3-end everyone"]);
    assert_eq!(found.standing()[0], "edge-firewall");
    assert_eq!((found.hops("edge-firewall"), found.hops("transit-filter")), (&[1][..], &[2][..]));
    for spared in ["vm-firewall", "azure-nsg", "vm-down", "azure-public-ip"] {
        assert!(!found.stands(spared) && !found.cleared().contains(&spared), "{spared}");
    }
    assert!(found.cleared().contains(&"client-firewall-out"));
}

#[test]
fn a_hop_in_the_middle_drops() {
    let found = trace(&format!(
        "4.020 > 20000:22 S ttl=1      | 11/0 10.22.1.1
         4.024 > 20001:61999 S ttl=1   | 11/0 10.22.1.1
         4.042 > 20000:22 S ttl=2      | 11/0 198.18.1.1
         4.046 > 20001:61999 S ttl=2   | 11/0 198.18.1.1
         4.064 > 20000:22 S ttl=3
         4.068 > 20001:61999 S ttl=3   | 11/0 198.18.2.1
         4.086 > 20000:22 S ttl=4
         4.090 > 20001:61999 S ttl=4   | 11/0 198.18.3.1
         4.200 > 20002:22 S ttl=4
         4.204 > 20003:61999 S ttl=4   | 11/0 198.18.3.1
         {PINGS}"
    ));
    assert_eq!(
        found.claims(STOPS),
        ["likely 2 transit-filter", "spares 1 everyone", "spares 4-end everyone"]
    );
    assert!(!found.stands("edge-firewall"));
    assert_eq!(found.hops("transit-filter"), [2, 3]);
}

#[test]
fn two_missing_answers_are_too_few() {
    let found = trace(&format!("{}{PINGS}", without(BY_THE_EDGE, "4.086")));
    assert!(!found.has(STOPS));
    assert!(found.stands("vm-firewall"));
}

#[test]
fn of_few_controls_more_answers_must_be_missing() {
    let few = |lines: &str| trace(&format!("{lines}{}", without(PINGS, "6.07")));
    assert!(!few(BY_THE_EDGE).has(STOPS), "three");
    let again = "4.200 > 20003:22 S ttl=2\n 4.204 > 20005:61999 S ttl=2 | 11/0 198.18.1.1\n";
    assert!(few(&format!("{BY_THE_EDGE}{again}").replace("4.112", "4.212")).has(STOPS), "four");
}

#[test]
fn silence_beside_a_silent_control_is_none() {
    let silent = BY_THE_EDGE.replace("61999 S ttl=4   | 11/0 198.18.3.1", "61999 S ttl=4");
    assert!(!trace(&format!("{silent}{PINGS}")).has(STOPS), "hop 4 is shy, and two are too few");
}

#[test]
fn a_control_that_was_not_sent_right_behind_does_not_speak_for_that_moment() {
    for (soon, late) in [("4.046", "4.246"), ("4.068", "4.268"), ("4.090", "4.290")] {
        let found = trace(&format!("{}{PINGS}", BY_THE_EDGE.replace(soon, late)));
        assert!(!found.has(STOPS), "{late}");
    }
    let before = BY_THE_EDGE.replace("4.090", "4.080");
    assert!(
        !trace(&format!("{before}{PINGS}")).has(STOPS),
        "before it, the hop may have spent its last answer on it"
    );
}

#[test]
fn a_port_that_takes_another_way_is_not_measured_by_the_control() {
    let script = |router: &str| {
        format!(
            "{}
             4.042 > 20000:22 S ttl=2 | 11/0 {router}
             4.150 > 20003:22 S ttl=4
             4.154 > 20004:61999 S ttl=4 | 11/0 198.18.3.1
             {PINGS}",
            without(BY_THE_EDGE, "4.042")
        )
    };
    let found = trace(&script("198.18.77.1"));
    assert!(!found.has(STOPS));
    assert!(found.stands("vm-firewall"));
    assert!(trace(&script("198.18.1.1")).has(STOPS), "its neighbour, the same but for the way");
}

#[test]
fn a_few_answered_controls_do_not_tell_that_nothing_gets_lost() {
    assert!(!trace(BY_THE_EDGE).has(STOPS));
}

#[test]
fn where_packets_get_lost_more_answers_must_be_missing() {
    let lossy = format!("{BY_THE_EDGE}{PINGS} 4.3 > 20004:22 S ttl=1  # lost, where its like was answered");
    assert!(!trace(&lossy).has(STOPS));
    let mut many = lossy;
    for i in 0..9 {
        let control = format!("5.{i}04 > 300{i}:61999 S ttl=3 | 11/0 198.18.2.1");
        many = format!("{many}\n 5.{i}00 > 2001{i}:22 S ttl=3\n {control}");
    }
    assert!(trace(&many).has(STOPS), "twelve of them");
}

#[test]
fn our_own_reset_at_the_end_is_no_late_answer() {
    assert!(trace(&format!("{BY_THE_EDGE}{PINGS} 7.0 > R")).has(STOPS));
}

#[test]
fn a_capture_that_lost_packets_knows_no_silence() {
    let found = diagnose(&format!("{BEGIN}{BY_THE_EDGE}{PINGS} 9.0 ! capture lost=3\n 9.1 ! end"));
    assert!(!found.has(STOPS) && !found.has("syn-on-wire"));
    assert!(found.stands("vm-firewall") && found.stands("client-firewall-in"));
}

#[test]
fn a_filter_on_the_way_back_leaves_every_hop_answering() {
    // The edge drops the VM's SYN/ACK: nothing tells it from a VM that drops the SYN.
    let found = trace(&format!(
        "{TO_THE_END}
         4.120 > 20001:61999 S ttl=3   | 11/0 198.18.2.1
         4.124 > 20001:61999 S ttl=4   | 11/0 198.18.3.1
         4.128 > 20002:61999 S ttl=5   | R. ttl=60"
    ));
    assert!(!found.has(STOPS));
    assert_eq!(found.claims("every-hop-passes-it"), ["likely 4-end azure-nsg vm-firewall"]);
    assert_eq!(found.cites("every-hop-passes-it"), [14, 15]);
    for stands in ["vm-firewall", "edge-firewall", "transit-filter", "azure-nsg"] {
        assert!(found.stands(stands), "{stands}");
    }
}

#[test]
fn what_the_end_answers_says_who_is_likelier() {
    let ping = trace(&format!("{TO_THE_END} 4.2 > echo 9 ttl=5 | echo-reply 9"));
    assert_eq!(ping.claims("every-hop-passes-it"), ["likely 4-end azure-nsg vm-firewall"]);
    let nothing = trace(&format!("{TO_THE_END} 4.2 > echo 9 ttl=5"));
    assert_eq!(nothing.claims("every-hop-passes-it"), ["likely 4-end azure-nsg azure-public-ip vm-down"]);
    assert!(!nothing.has("everything-stops"));
}

#[test]
fn a_router_beyond_that_answers_a_control_is_not_passed() {
    let found = trace(&format!("{} 4.2 > echo 9 ttl=4 | 11/0 198.18.3.1", without(TO_THE_END, "4.086")));
    assert!(!found.has("every-hop-passes-it") && !found.has("everything-stops"));
}

#[test]
fn nothing_answers_anything() {
    const ASKED: &str = "4.02 > 20000:22 S ttl=1\n 4.03 > echo 1 ttl=1\n 4.04 > 20000:22 S ttl=2";
    assert!(!trace(ASKED).has("everything-stops"), "little was asked");
    let found = trace(&format!("{ASKED}\n 4.05 > echo 2 ttl=2\n 4.06 > echo 3 ttl=3"));
    assert_eq!(found.claims("everything-stops"), ["likely 1-end edge-firewall edge-route"]);
    assert!(found.cleared().iter().all(|c| c.starts_with("client-")), "{:?}", found.cleared());
    assert!(found.stands("edge-firewall") && found.stands("vm-down"));
}

#[test]
fn nothing_beyond_the_edge_answers_anything() {
    let found = trace(
        "4.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1\n 4.04 > 20000:22 S ttl=2
         4.05 > echo 1 ttl=2\n 4.06 > echo 2 ttl=3\n 4.07 > echo 3 ttl=4",
    );
    assert_eq!(found.claims("everything-stops"), ["likely 1-end transit-route"]);
    assert_eq!(found.cites("everything-stops"), [8, 9]);
    assert!(!found.has("every-hop-passes-it"), "the edge is no end of the path");
}

#[test]
fn a_target_that_answers_a_ping_has_not_stopped() {
    let found = trace("4.02 > 20000:22 S ttl=1\n 4.03 > echo 1 ttl=3 | echo-reply 1");
    assert!(!found.has("everything-stops"));
}

/// A script without the lines that begin with a time.
fn without(script: &str, time: &str) -> String {
    let kept: Vec<&str> = script.lines().filter(|l| !l.trim().starts_with(time)).collect();
    kept.join("\n") + "\n"
}
