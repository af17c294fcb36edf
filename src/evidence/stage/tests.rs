//! The way there has two routers. Where the data is sent, and placed, is tried with the planner (probe/tests.rs).

use crate::testing::{Found, diagnose};

/// The banner came and ours was sent; `lines` say what became of it.
pub(in crate::evidence) fn trace(lines: &str) -> Found {
    diagnose(&format!(
        "0.000 ! start
         0.000 ! route gw=10.22.1.1
         0.000 ! connect 0 started
         0.001 > S id=1
         0.002 < S. ttl=62
         0.003 > .
         0.003 ! connect 0 established
         0.010 < P. data=\"SSH-2.0-x\\r\\n\" ttl=62
         0.010 ! connect 0 received \"SSH-2.0-x\\r\\n\"
         0.011 > P. len=24 ack=9012
         0.011 ! connect 0 sent identification
         {lines}
         9.0 ! capture
         9.1 ! end"
    ))
}

#[test]
fn how_far_the_conversation_got_decides() {
    for (ends, outcome) in [
        ("0.1 ! connect 0 closed", "stalled"),
        ("0.1 < R seq=9012\n 0.1 ! connect 0 broken 104", "reset-after-handshake"),
        ("0.1 ! connect 0 abandoned 100", "open"),
        ("2.5 ! connect 0 abandoned 2500", "stalled"),
        (
            "0.1 ! connect 0 kexinit\n 0.1 ! connect 0 sent key-exchange\n 2.5 ! connect 0 abandoned 2500",
            "stalled",
        ),
        ("0.1 ! connect 0 kexinit\n 0.1 ! connect 0 sent key-exchange\n 0.2 ! connect 0 closed", "open"),
        (
            "0.1 ! connect 0 kexinit\n 0.1 ! connect 0 sent key-exchange
             0.1 ! connect 0 sent farewell\n 0.2 < R seq=9012\n 0.2 ! connect 0 broken 104",
            "open",
        ),
    ] {
        assert_eq!(trace(ends).outcome(), outcome, "{ends}");
    }
}

#[test]
fn who_rejects_what_is_said_gives_itself_away() {
    const SWEEP: &str =
        "0.02 > 20001:22 S ttl=1 | 11/0 10.22.1.1\n 0.03 > 20001:22 S ttl=2 | 11/0 198.18.1.1";
    // The tenth record is our identification.
    let answered = |icmp: &str| {
        trace(&format!("{SWEEP}\n 0.1 < {icmp} about=10 left=63\n 2.5 ! connect 0 abandoned 2500"))
    };
    let found = answered("3/13 10.22.1.1");
    assert_eq!(found.outcome(), "stalled");
    assert!(found.says("data-rejected").contains("hop 1 (10.22.1.1)"));
    assert!(found.stands("edge-firewall") && !found.stands("vm-sshd-hung"));
    for nothing_of_the_kind in ["3/13 198.18.9.9", "3/4 10.22.1.1", "11/0 10.22.1.1"] {
        assert!(!answered(nothing_of_the_kind).rules().contains("data-rejected"), "{nothing_of_the_kind}");
    }
}

#[test]
fn a_router_names_the_size_it_takes() {
    let sent =
        "0.1 ! connect 0 kexinit\n 0.1 > P. len=1448 seq=1025 ack=9012\n 0.1 ! connect 0 sent key-exchange";
    let found = trace(&format!("{sent}\n 0.11 < 3/4 198.18.1.1\n 2.5 ! connect 0 abandoned 2500"));
    assert_eq!(found.outcome(), "stalled");
    assert!(found.stands("transit-mtu"));
}

#[test]
fn without_its_rule_nobody_names_the_size() {
    let found = trace(
        "0.1 ! connect 0 kexinit\n 0.1 > P. len=1448 seq=1025 ack=9012\n 0.1 ! connect 0 sent key-exchange
         0.11 < 3/4 198.18.1.1 mtu=1400\n 2.5 ! connect 0 abandoned 2500",
    );
    assert!(found.says("packet-too-big").contains("1400 bytes"));
    let less = found.without("packet-too-big");
    assert_ne!(found.suspicion(), less.suspicion());
}
