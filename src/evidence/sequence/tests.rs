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

#[test]
fn the_number_of_a_fin_is_no_lost_byte() {
    const CLOSED: &str = "0.012 < . seq=9012 ack=1025 ttl=62
         0.013 < F. seq=9012 ack=1025 ttl=62
         0.013 ! connect 0 closed
         0.014 > F. seq=1025 ack=9013
         0.015 < . seq=9013 ack=1026 ttl=62";
    let closed = trace(CLOSED);
    assert_eq!(closed.outcome(), "stalled");
    assert!(!closed.has("sent-and-lost") && !closed.has("data-acknowledged"));
    assert!(closed.says("after-the-handshake").contains("closed the connection before the key exchange"));
    assert_eq!(closed.standing()[0], "vm-sshd-refuses");
    assert!(!closed.cleared().iter().any(|s| ["vm-sshd-hung", "vm-sshd-refuses"].contains(s)));
    for suspect in ["edge-ids", "azure-firewall"] {
        assert!(closed.standing().contains(&suspect), "a box may close in the VM's name: {suspect}");
    }
    let lost = trace("0.012 < . seq=9013 ack=1025 ttl=62\n 2.1 ! connect 0 abandoned 2100");
    assert!(!lost.has("sent-and-lost"), "the one number missing may be a FIN's");
}

#[test]
fn a_reset_behind_which_its_sender_goes_on_was_injected() {
    const RULE: &str = "genuine-answer-follows";
    const PATH: &str = "0.11 > 20000:22 S ttl=1 | 11/0 10.22.1.1
         0.12 > 20000:22 S ttl=2 | 11/0 198.18.1.1
         0.13 > 20000:22 S ttl=3 | S. ttl=62
         0.15 > echo 1 ttl=1 | 11/0 10.22.1.1
         0.16 > echo 2 ttl=2 | 11/0 198.18.1.1
         0.17 > echo 3 ttl=3 | echo-reply 3 ttl=62
         0.20 > P. data=\"SSH-2.0-y\\r\\n\" ttl=2 | 11/0 198.18.1.1";
    let reset = "0.012 < R. seq=9012 ack=1025 ttl=62\n 0.012 ! connect 0 broken 104";
    let of_the_vm = trace(&format!("{reset}\n{PATH}"));
    assert_eq!(of_the_vm.outcome(), "reset-after-handshake");
    assert!(!of_the_vm.has(RULE));
    assert!(of_the_vm.has("end-return-distance") && of_the_vm.has("passes-every-hop"));
    for goes_on in ["0.036 < . seq=9012 ack=1025 ttl=62", "0.036 < P. seq=9012 ack=1001 len=600 ttl=62"] {
        let injected = trace(&format!("{reset}\n{goes_on}\n{PATH}"));
        assert_eq!(injected.cites(RULE), [12, 14], "{goes_on}");
        assert!(!injected.has("end-return-distance") && !injected.has("passes-every-hop"));
        assert!(injected.standing()[0] != "vm-ids" && injected.stands("vm-ids"), "{:?}", injected.standing());
        assert!(injected.stands("edge-ids") && injected.stands("transit-filter"));
        assert_ne!(injected.suspicion(), injected.without(RULE).suspicion());
    }
    let again = trace(&format!("{reset}\n 0.036 < P. seq=9001 ack=1001 len=11 ttl=62\n{PATH}"));
    assert!(!again.has(RULE), "the network doubled what came before");
}
