//! The port is silent, and halves of SYNs are sent.

use crate::testing::{Found, diagnose};

/// Every router passes the SYN; nothing else is answered.
const BEGIN: &str = "
    0.000 ! start deep azure=198.18.3.0/24
    0.000 ! route gw=10.22.1.1
    0.000 ! connect 0 started
    0.001 > S id=1
    0.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1
    0.04 > 20000:22 S ttl=2 | 11/0 198.18.1.1
    0.06 > 20000:22 S ttl=3 | 11/0 198.18.2.1
    0.08 > 20000:22 S ttl=4 | 11/0 198.18.3.1
    1.001 > S id=2
    1.10 > 21000:22 S half id=101 seq=71
    1.12 > 21001:22 S half id=102 seq=72
    1.14 > 21002:22 S half id=103 seq=73
    1.16 > 21003:61999 S half id=104 seq=74
    1.18 > 21004:61999 S half id=105 seq=75
    3.400 ! connect 0 abandoned 3400
";

const END: &str = "
    40.0 ! capture
    40.1 ! end
";

fn trace(lines: &str) -> Found {
    diagnose(&format!("{BEGIN}{lines}{END}"))
}

const TAKEN_IN: &str = "
    31.3 < 11/1 198.19.0.4 about=14 left=60
    31.5 < 11/1 198.19.0.4 about=17 left=60
";

#[test]
fn what_drops_whole_syns_stands_where_halves_arrive() {
    let found = trace(TAKEN_IN);
    assert_eq!(found.outcome(), "timeout", "an error about half a SYN answers no SYN");
    assert_eq!(found.claims("half-syn-taken-in"), ["likely end vm-firewall vm-ids"]);
    assert_eq!(found.cites("half-syn-taken-in"), [14, 20]);
    assert!(found.says("half-syn-taken-in").contains("after 30 s"), "{}", found.says("half-syn-taken-in"));
    assert_eq!(found.standing()[0], "vm-firewall");
    assert!(found.stands("azure-nsg") && found.stands("edge-firewall"), "nobody is cleared");
    // Without it, an NSG is as likely, and more usual.
    assert_eq!(trace("").standing()[0], "azure-nsg");
}

#[test]
fn a_vm_that_answers_other_source_ports_drops_none() {
    let found = trace(&format!("1.30 > 20002:22 S | S. ttl=60\n{TAKEN_IN}"));
    assert_eq!(found.outcome(), "timeout");
    assert!(!found.has("half-syn-taken-in"));
}

#[test]
fn silence_about_halves_means_nothing() {
    let rules = trace("").rules();
    assert!(!rules.contains("half-syn"), "{rules}");
}

#[test]
fn halves_that_arrive_at_another_port_alone_point_to_a_filter_on_the_way() {
    let found = trace("31.3 < 11/1 198.19.0.4 about=17 left=60\n 31.5 < 11/1 198.19.0.4 about=18 left=60");
    assert_eq!(found.claims("half-syn-stopped"), ["likely 4-end edge-firewall transit-filter azure-nsg"]);
    assert_eq!(found.standing()[0], "azure-nsg");
    assert!(found.stands("vm-firewall"));
    let once = trace("31.3 < 11/1 198.19.0.4 about=17 left=60");
    assert!(!once.has("half-syn-stopped"), "the others may have been lost");
}

#[test]
fn a_box_on_the_way_that_gives_up_is_not_the_vm() {
    assert!(!trace("31.3 < 11/1 198.18.2.1 about=14 left=60").has("half-syn-taken-in"));
}

#[test]
fn an_error_about_another_fragment_is_not_ours() {
    assert!(!trace("31.3 < 11/1 198.19.0.4 about=14 left=60 qid=999 qseq=4").has("half-syn-taken-in"));
}

#[test]
fn halves_neither_lengthen_nor_shorten_the_path() {
    assert_eq!(trace(TAKEN_IN).0.path.target, None);
    assert_eq!(trace(TAKEN_IN).0.path.hops.len(), 4);
}

#[test]
fn over_ipv6_too() {
    let found = diagnose(
        "client fd22::2
         target 2001:db8::4
         0 ! start deep
         0 ! route gw=fd22::1
         0 ! connect 0 started
         0.1 > S
         0.2 > 20000:22 S ttl=1 ts=1/0 | 3/0 fd22::1
         1.1 > 21000:22 S half id=101 seq=71
         3.4 ! connect 0 abandoned 3400
         61.2 < 3/1 2001:db8::4 about=7 left=60
         70 ! capture
         70 ! end",
    );
    assert_eq!(found.cites("half-syn-taken-in"), [7, 9]);
    assert!(found.says("half-syn-taken-in").contains("after 60 s"));
}
