//! The kernel's connect(2) against the wire.

use crate::testing::{END, Found, diagnose};

const START: &str = "0.000 ! start\n 0.000 ! route gw=10.22.1.1\n 0.000 ! connect 0 started\n";

/// Crafted probes leave and are answered: records 4 to 7.
const PROBES: &str = "
    0.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1
    0.04 > 20000:22 S ttl=2 | 11/0 198.18.1.1
";

fn trace(lines: &str) -> Found {
    diagnose(&format!("{START}{lines}{END}"))
}

#[test]
fn a_firewall_keeps_the_kernels_syn() {
    for (end, errno) in [("failed 1", false), ("failed 111", true), ("abandoned 1250", false)] {
        let found = trace(&format!("{PROBES} 1.3 ! connect 0 {end}"));
        assert_eq!(found.outcome(), "local-failure", "{end}");
        assert_eq!(found.rules(), "kernel-syn-not-on-wire address-given", "{end}");
        assert_eq!(found.cites("kernel-syn-not-on-wire"), [3, 8], "{end}");
        let claims = found.claims("kernel-syn-not-on-wire");
        assert_eq!(claims[0], "likely client client-firewall-out");
        assert_eq!(claims[1].contains("client-route"), !errno, "no route is missing where it is refused");
        assert_eq!(claims.last().unwrap(), "clears 1-end everyone");
        assert_eq!(found.standing()[0], "client-firewall-out");
        assert_eq!(found.segment(), Some("client"));
        assert!(found.cleared().contains(&"client-firewall-in"));
    }
}

#[test]
fn a_capture_that_missed_packets_may_have_missed_the_syn() {
    let lossy = "9.0 ! capture lost=1\n 9.1 ! end";
    let found = diagnose(&format!("{START}{PROBES} 3.4 ! connect 0 abandoned 3400\n{lossy}"));
    assert_eq!(found.outcome(), "timeout");
    assert!(!found.has("kernel-syn-not-on-wire"));
    assert!(found.stands("vm-firewall") && found.stands("client-firewall-out"));
    let uncounted = diagnose(&format!("{START}{PROBES} 3.4 ! connect 0 abandoned 3400\n 9.1 ! end"));
    assert_eq!(uncounted.outcome(), "timeout", "a capture without counters is not known to be whole");
}

#[test]
fn a_next_hop_that_does_not_answer_keeps_the_syn_too() {
    let found = trace("3.1 ! connect 0 failed 113");
    assert_eq!(found.outcome(), "local-failure");
    assert_eq!(found.rules(), "next-hop-silent address-given");
    assert_eq!(found.cites("next-hop-silent"), [2, 3, 4]);
    assert_eq!(
        found.claims("next-hop-silent")[..2],
        ["likely client-end client-route edge-route", "clears client client-proxy"]
    );
    assert!(found.cleared().contains(&"vm-down") && found.cleared().contains(&"transit-route"));
    assert!(found.stands("edge-route") && found.stands("client-firewall-out"));
}

#[test]
fn a_target_on_the_link_that_does_not_answer_may_be_down() {
    let found = diagnose(&format!(
        "0.0 ! start\n 0.0 ! route\n 0.0 ! connect 0 started\n 3.1 ! connect 0 failed 113{END}"
    ));
    assert_eq!(found.claims("next-hop-silent")[0], "likely client-end client-route azure-public-ip vm-down");
    assert!(found.stands("vm-down"));
}

#[test]
fn nothing_at_all_on_the_wire_may_be_the_next_hop_too() {
    let found = trace("3.4 ! connect 0 abandoned 3400");
    assert_eq!(found.rules(), "next-hop-silent address-given");
    assert!(found.stands("edge-route"));
}

#[test]
fn no_route_is_a_verdict() {
    let found = diagnose(&format!(
        "0.0 ! start name=vm1
         0.0 ! route error=\"Network is unreachable\"
         0.0 ! connect 0 started
         0.0 ! connect 0 failed 101{END}"
    ));
    assert_eq!(found.outcome(), "local-failure");
    assert_eq!(found.rules(), "no-route");
    assert_eq!(found.cites("no-route"), [2, 3, 4]);
    assert!(found.says("no-route").ends_with("no route to 198.19.0.4: Network is unreachable"));
    assert_eq!((found.standing(), found.segment()), (vec!["client-route"], Some("client")));
    assert_eq!(found.0.verdict.standing[0].strength.name(), "proven");
}

#[test]
fn a_route_that_exists_is_no_missing_route() {
    assert!(!trace(&format!("{PROBES} 0.0 ! connect 0 failed 101")).has("no-route"));
}

#[test]
fn a_local_proxy_takes_the_connection() {
    let found = trace(&format!("{PROBES} 0.1 ! connect 0 established\n 0.2 ! connect 0 closed"));
    assert_eq!(found.outcome(), "intercepted");
    assert_eq!(found.cites("connected-without-syn"), [3, 8, 9]);
    assert_eq!(found.claims("connected-without-syn")[0], "likely client client-proxy");
    assert_eq!(found.standing()[0], "client-proxy");
    assert_eq!(found.segment(), Some("client"));
    assert!(!found.has("syn-on-wire") && !found.has("after-the-handshake"));
}

#[test]
fn a_connection_whose_syn_is_on_the_wire_went_out() {
    let found = trace(
        "0.01 > S\n 0.02 < S.\n 0.03 > .\n 0.03 ! connect 0 established\n 0.1 < F.\n 0.2 ! connect 0 closed",
    );
    assert!(!found.has("connected-without-syn"));
    assert!(found.has("syn-on-wire"));
}

/// The kernel keeps asking behind a SYN/ACK: records 4 to 7.
const IGNORED: &str = "
    0.01 > S
    0.02 < S.
    1.01 > S
    1.02 < S.
    1.30 ! connect 0 abandoned 1300
";

#[test]
fn a_firewall_keeps_the_syn_ack_from_the_kernel() {
    let found = trace(IGNORED);
    assert_eq!(found.outcome(), "half-open");
    assert_eq!(found.rules(), "syn-ack-ignored address-given");
    assert_eq!(found.cites("syn-ack-ignored"), [5, 6]);
    assert_eq!(found.claims("syn-ack-ignored")[0], "likely client client-firewall-in");
    assert_eq!((found.standing()[0], found.segment()), ("client-firewall-in", Some("client")));
    assert!(found.stands("client-route"), "a strict reverse path filter does the same");
    assert!(found.cleared().contains(&"vm-firewall"));
}

#[test]
fn a_syn_ack_for_another_machine_or_with_a_wrong_checksum_is_rightly_ignored() {
    for bad in ["< stray S.", "< S. badsum"] {
        let found = trace(&IGNORED.replace("< S.", bad));
        assert_eq!(found.outcome(), "half-open");
        assert!(!found.has("syn-ack-ignored"), "{bad}");
        assert!(found.stands("vm-firewall") && found.stands("edge-firewall"), "{bad}");
    }
}

#[test]
fn a_syn_ack_that_no_kernel_takes_is_rightly_refused() {
    let timed = IGNORED.replace("> S", "> S ts=7/0");
    assert!(trace(&timed.replace("< S.", "< S. ts=9/7")).has("syn-ack-ignored"));
    for refused in
        [timed.replace("< S.", "< S. ts=9/1"), IGNORED.replace("0.02 < S.", "0.02 < S.\n 0.021 > R")]
    {
        let found = trace(&refused);
        assert!(!found.has("syn-ack-ignored") && found.stands("transit-filter"), "{}", found.rules());
    }
}

#[test]
fn a_syn_ack_whose_checksum_cannot_be_told_clears_nobody() {
    // Cut within the TCP options: whatever the checksum covers is not all there.
    let found = trace(&IGNORED.replace("< S.", "< S. ts=1/2 cut=60"));
    assert_eq!(found.claims("syn-ack-ignored").len(), 2, "it implicates alone");
    assert!(found.stands("vm-firewall"));
}

#[test]
fn a_half_open_connection_that_nobody_asked_again_about_was_just_given_up() {
    let found = trace("0.01 > S\n 0.02 < S.\n 0.03 ! connect 0 abandoned 3");
    assert_eq!(found.outcome(), "half-open");
    assert!(!found.has("syn-ack-ignored"));
    assert!(found.stands("vm-firewall"));
    assert!(trace("0.01 > S\n 0.02 < S.\n 0.03 ! connect 0 failed 110").has("syn-ack-ignored"));
}

#[test]
fn a_syn_on_the_wire_clears_the_client() {
    let silent = "0.01 > S\n 1.01 > S\n 3.4 ! connect 0 abandoned 3400";
    let found = trace(&format!("{silent}\n 0.5 > echo 1 ttl=1 | 11/0 10.22.1.1"));
    assert_eq!(found.cites("syn-on-wire"), [4]);
    assert_eq!(
        found.claims("syn-on-wire"),
        [
            "clears client client-firewall-out client-firewall-in client-proxy client-security-software client-route client-ssh-config"
        ]
    );
    assert!(found.cleared().contains(&"client-firewall-in"));
    let found = trace(&format!("{silent}\n 0.5 > echo 1 ttl=1"));
    assert!(found.cleared().contains(&"client-firewall-in"));
    assert!(found.stands("client-route"), "all may have been sent to a next hop that is none");
}

#[test]
fn an_answer_that_probes_got_and_the_kernel_did_not_leaves_the_client_standing() {
    let found = trace(
        "0.01 > S\n 1.01 > S\n 3.4 ! connect 0 abandoned 3400
         0.02 > 20000:22 S ttl=5 ts=9/0 | S. ts=1/9\n 0.03 > 20000:22 R",
    );
    assert_eq!(found.outcome(), "timeout");
    assert!(!found.has("syn-on-wire"));
    assert!(found.stands("client-firewall-in"));
}

#[test]
fn without_a_capture_a_routers_answer_shows_that_syns_leave() {
    let found = diagnose(
        "0.0 ! start blind
         0.0 ! route gw=10.22.1.1
         0.0 ! connect 0 started
         0.0 ! ask 0 connect ttl=1
         0.0 ! answer 0 11/0 10.22.1.1
         0.1 ! connect 0 failed 111
         0.2 ! end",
    );
    assert_eq!(found.outcome(), "reset");
    assert_eq!(found.cites("syn-on-wire"), [4, 5]);
    assert_eq!(found.claims("syn-on-wire"), ["clears client client-firewall-out client-proxy client-route"]);
    let unanswered = diagnose(
        "0.0 ! start blind\n 0.0 ! route gw=10.22.1.1\n 0.0 ! connect 0 started
         0.0 ! ask 0 connect ttl=1\n 0.1 ! connect 0 failed 111\n 0.2 ! end",
    );
    assert!(!unanswered.has("syn-on-wire"), "the client's own firewall may have reset it");
    assert!(unanswered.stands("client-firewall-out"));
}

#[test]
fn a_name_is_suspected_only_where_one_was_given() {
    let lines = "0.01 > S\n 1.01 > S\n 3.4 ! connect 0 abandoned 3400";
    let by_address = trace(lines);
    assert_eq!(by_address.claims("address-given"), ["clears client-end client-name"]);
    assert_eq!(by_address.cites("address-given"), [3]);
    assert!(!by_address.stands("client-name"));
    let by_name = diagnose(
        &format!("{START}{lines}{END}")
            .replace("start", "start name=vm1")
            .replace("0 start name=vm1ed", "0 started"),
    );
    assert!(!by_name.has("address-given"));
    assert!(by_name.stands("client-name"));
}

const ESTABLISHED: &str = "
    0.01 > S
    0.02 < S.
    0.03 > .
    0.03 ! connect 0 established
";

#[test]
fn what_the_kernel_took_and_no_wire_saw_was_dropped_here() {
    let said = "0.04 < P. data=\"SSH-2.0-x\\r\\n\"\n 0.041 > . ack=9012\n 0.05 ! connect 0 received \"SSH-2.0-x\\r\\n\"
        0.05 ! connect 0 sent identification\n";
    let end = "2.5 ! connect 0 abandoned 2500";
    let kept = trace(&format!("{ESTABLISHED}{said}{end}"));
    assert_eq!(kept.outcome(), "stalled");
    assert_eq!(kept.claims("data-not-on-wire")[0], "likely client client-firewall-out");
    assert_eq!(kept.segment(), Some("client"));
    assert!(!kept.has("syn-on-wire"));
    let sent = trace(&format!("{ESTABLISHED}{said} 0.06 > P. len=24 ack=9012\n{end}"));
    assert!(!sent.has("data-not-on-wire") && sent.has("syn-on-wire"));
    let told_to_wait = said.replacen("< P.", "< P. win=0", 1);
    assert!(
        !trace(&format!("{ESTABLISHED}{told_to_wait}{end}")).has("data-not-on-wire"),
        "no window is left"
    );
    // A local firewall's own reset comes over loopback.
    let reset = trace(&format!("{ESTABLISHED}{said} 0.06 < stray R seq=9012\n 0.06 ! connect 0 broken 104"));
    assert_eq!((reset.outcome(), reset.segment()), ("reset-after-handshake", Some("client")));
}

#[test]
fn what_arrived_and_was_never_acknowledged_was_dropped_here() {
    let banner = |at: f64| format!("{at} < P. data=\"SSH-2.0-x\\r\\n\"\n");
    let ignored =
        trace(&format!("{ESTABLISHED}{}{} 5.0 ! connect 0 abandoned 5000", banner(0.04), banner(0.3)));
    assert_eq!(ignored.outcome(), "no-banner");
    assert_eq!(ignored.claims("data-ignored")[0], "likely client client-firewall-in");
    assert_eq!(ignored.segment(), Some("client"));
    let once = trace(&format!("{ESTABLISHED}{} 5.0 ! connect 0 abandoned 5000", banner(0.04)));
    assert!(!once.has("data-ignored") && !once.has("syn-on-wire"), "once is too little to say so");
    let taken = trace(&format!(
        "{ESTABLISHED}{}{} 0.4 > . ack=9012\n 5.0 ! connect 0 abandoned 5000",
        banner(0.04),
        banner(0.3)
    ));
    assert!(!taken.has("data-ignored"));
}

#[test]
fn what_this_machine_keeps_of_our_key_exchange_leaves_it_standing() {
    let said = "0.04 < P. data=\"SSH-2.0-x\\r\\n\"\n 0.041 > . ack=9012\n 0.05 ! connect 0 received \"SSH-2.0-x\\r\\n\"
        0.05 ! connect 0 sent identification\n 0.06 > P. len=24 ack=9012\n 0.07 < . seq=9012 ack=1025
        0.08 ! connect 0 kexinit\n 0.08 ! connect 0 sent key-exchange\n";
    let end = "2.5 ! connect 0 abandoned 2500";
    let kept = trace(&format!("{ESTABLISHED}{said}{end}"));
    assert_eq!(kept.outcome(), "stalled");
    assert_eq!(
        kept.claims("data-not-on-wire"),
        ["likely client client-firewall-out", "possible client client-proxy client-security-software"],
        "a small window would keep it back too"
    );
    assert!(!kept.has("syn-on-wire") && !kept.has("data-acknowledged"), "{}", kept.rules());
    let sent = trace(&format!("{ESTABLISHED}{said} 0.09 > P. seq=1025 len=24 ack=9012\n{end}"));
    assert!(!sent.has("data-not-on-wire") && sent.has("syn-on-wire"));
}

#[test]
fn what_this_machine_delivers_to_itself_never_left_it() {
    let lines = "0.01 > S\n 0.02 < R.\n 0.03 ! connect 0 failed 111";
    let here = diagnose(&format!("{}{lines}{END}", START.replace("gw=10.22.1.1", "on=lo")));
    assert_eq!(here.cites("delivered-here"), [2, 4]);
    assert_eq!(here.standing()[0], "client-route");
    assert!(!here.has("syn-on-wire") && here.stands("vm-sshd-not-running") && !here.stands("edge-firewall"));
    assert!(!trace(lines).has("delivered-here"));
}
