//! The wire says one thing, the kernel another: which counts.

use crate::testing::diagnose;

fn outcome(lines: &str) -> &'static str {
    let begin = "0 ! start\n 0 ! route gw=10.22.1.1\n 0 ! connect 0 started\n";
    diagnose(&format!("{begin}{lines}\n 9 ! capture\n 9 ! end")).outcome()
}

fn blind(lines: &str) -> &'static str {
    let begin = "0 ! start blind\n 0 ! route gw=10.22.1.1\n 0 ! connect 0 started\n";
    diagnose(&format!("{begin}{lines}\n 9 ! end")).outcome()
}

const ESTABLISHED: &str = "0.1 > S\n 0.2 < S.\n 0.3 > .\n 0.3 ! connect 0 established\n";

#[test]
fn a_capture_alone_speaks_for_itself() {
    assert_eq!(diagnose("0 > S\n 1 > S").outcome(), "timeout");
    assert_eq!(diagnose("0 > S\n 1 < R.").outcome(), "reset");
    assert_eq!(diagnose("0 > S\n 1 < 3/13 10.22.1.1").outcome(), "rejected");
    assert_eq!(diagnose("0 > S\n 1 < S.").outcome(), "half-open");
}

#[test]
fn what_the_kernel_read_decides_once_it_is_connected() {
    for (then, expected) in [
        ("0.4 ! connect 0 received \"SSH-2.0-x\\r\\n\"", "open"),
        ("0.4 ! connect 0 received \"SSH-2.0-x\\r\\n\"\n 0.5 ! connect 0 broken 104", "open"),
        ("0.4 ! connect 0 closed", "closed"),
        ("0.4 ! connect 0 broken 104", "reset-after-handshake"),
        ("0.4 < R\n 0.4 ! connect 0 closed", "reset-after-handshake"),
        ("0.4 ! connect 0 received \"hello\"\n 2.4 ! connect 0 abandoned 2400", "not-ssh"),
        ("2.4 ! connect 0 abandoned 2400", "no-banner"),
    ] {
        assert_eq!(outcome(&format!("{ESTABLISHED}{then}")), expected, "{then}");
    }
}

#[test]
fn a_reset_that_overtakes_the_news_of_the_handshake_came_after_it() {
    let handshake = "0.1 > S\n 0.2 < S.\n 0.3 > .\n 0.4 < R";
    assert_eq!(outcome(&format!("{handshake}\n 0.4 ! connect 0 failed 104")), "reset-after-handshake");
}

#[test]
fn a_refusal_that_the_capture_missed_is_a_reset() {
    assert_eq!(outcome("0.1 > S\n 0.2 ! connect 0 failed 111"), "reset");
    assert_eq!(outcome("0.1 > S\n 0.2 ! connect 0 failed 110"), "timeout");
}

#[test]
fn the_kernels_own_syn_counts_and_not_a_probe() {
    assert_eq!(outcome("0.1 > S\n 0.2 > 20000:22 S ttl=3 | R.\n 3.4 ! connect 0 abandoned 3400"), "timeout");
}

#[test]
fn without_a_capture_the_error_number_decides() {
    assert_eq!(blind("0.1 ! connect 0 failed 111"), "reset");
    assert_eq!(blind("0.1 ! connect 0 failed 113"), "rejected");
    let again = |answer| {
        blind(&format!("0.1 ! connect 0 failed 111\n 0.2 ! ask 0 connect ttl=5\n 0.3 ! answer 0 {answer}"))
    };
    assert_eq!(again("3/3 198.19.0.4"), "rejected", "a port unreachable is a refusal too");
    assert_eq!(again("failed 111"), "reset");
    assert_eq!(again("11/0 198.18.3.2"), "reset", "as long as nothing tells otherwise");
    assert_eq!(blind("3.4 ! connect 0 abandoned 3400"), "timeout");
    assert_eq!(blind("0.1 ! connect 0 established\n 0.2 ! connect 0 closed"), "closed");
    let no_route = diagnose(
        "0 ! start blind\n 0 ! route error=none\n 0 ! connect 0 started\n 0 ! connect 0 failed 101\n 9 ! end",
    );
    assert_eq!(no_route.outcome(), "local-failure");
}

#[test]
fn an_error_that_came_first_decides_though_the_connection_is_taken_later() {
    let late = "0.1 > S\n 0.11 < 3/13 10.22.1.1\n 0.12 ! connect 0 failed 113\n 0.2 < S.\n 0.21 > R";
    assert_eq!(outcome(late), "rejected");
    let in_vain = late.replace("failed 113", "abandoned 20");
    assert_eq!(outcome(&in_vain), "half-open", "the kernel still waited");
    assert_eq!(diagnose("0 > S\n 0.1 < 3/13 10.22.1.1\n 0.2 < S.\n 0.3 > R").outcome(), "rejected");
    assert_eq!(diagnose("0 > S\n 0.1 < 3/13 10.22.1.1\n 0.2 < S.\n 1 > S").outcome(), "half-open");
}
