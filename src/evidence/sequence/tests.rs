//! The banner came and ours was sent, then nothing more.

use super::super::stage::tests::trace;
use crate::testing::diagnose;

#[test]
fn an_acknowledgment_speaks_for_a_server_that_hangs() {
    let stalled = "0.212 > P. len=24 ack=9012\n 2.1 ! connect 0 abandoned 2100";
    let silent = trace(stalled);
    assert_eq!(silent.outcome(), "stalled");
    assert_eq!(silent.cites("data-not-acknowledged"), [10]);
    let hangs = trace(&format!("0.012 < . seq=9012 ack=1025\n{stalled}"));
    assert_eq!(hangs.claims("data-acknowledged"), ["likely end vm-sshd-hung"]);
    assert!(!hangs.has("data-not-acknowledged"));
    let older = trace(&format!("0.012 < . seq=9012 ack=1001\n{stalled}"));
    assert!(older.has("data-not-acknowledged"), "of the handshake only");
}

#[test]
fn an_acknowledgment_counts_what_the_server_has_sent() {
    let stalled = "0.212 > P. len=24 ack=9012\n 2.1 ! connect 0 abandoned 2100";
    let lost = trace(&format!("0.012 < . seq=9112 ack=1025 ttl=62\n{stalled}"));
    assert!(lost.says("sent-and-lost").contains("100 bytes"));
    assert_eq!(lost.cites("sent-and-lost"), [12]);
    assert_ne!(lost.suspicion(), lost.without("sent-and-lost").suspicion());
    assert!(lost.cleared().contains(&"vm-sshd-hung"), "it did answer");
    assert!(!trace(&format!("0.012 < . seq=9012 ack=1025\n{stalled}")).has("sent-and-lost"));
    assert!(
        !trace(&format!("0.012 < . seq=9011 ack=1025\n{stalled}")).has("sent-and-lost"),
        "a window probe"
    );
}

#[test]
fn what_is_cut_off_behind_the_handshake_is_no_hanging_server() {
    let found = |acknowledged: &str| {
        diagnose(&format!(
            "0.000 ! start
             0.000 ! connect 0 started
             0.001 > S id=1
             0.002 < S. ttl=62
             0.003 > .
             0.003 ! connect 0 established
             1.000 > P. len=24
             1.000 ! connect 0 sent identification
             {acknowledged}
             1.200 > P. len=24
             5.0 ! connect 0 abandoned 5000
             9.0 ! capture
             9.1 ! end"
        ))
    };
    let cut = found("");
    assert_eq!(cut.outcome(), "no-banner");
    assert!(cut.claims("data-not-acknowledged")[0].starts_with("likely 1-end edge-firewall"));
    assert_ne!(cut.standing()[0], "vm-sshd-hung", "its kernel would acknowledge");
    assert_ne!(cut.suspicion(), cut.without("data-not-acknowledged").suspicion());
    let hung = found("1.001 < . ack=1025 ttl=62");
    assert!(hung.has("data-acknowledged"));
    assert_eq!(hung.standing()[0], "vm-sshd-hung");
}
