//! The way there has four routers: 10.22.1.1 (edge), 198.18.1.1 and 198.18.2.1 (transit), 198.18.3.1 (Azure's edge).

use crate::testing::{Found, diagnose};

const PINGS: &str = "
    1.01 > echo 1 ttl=1 | 11/0 10.22.1.1
    1.02 > echo 2 ttl=2 | 11/0 198.18.1.1
    1.03 > echo 3 ttl=3 | 11/0 198.18.2.1
    1.04 > echo 4 ttl=4 | 11/0 198.18.3.1
    1.05 > echo 5 ttl=5 | echo-reply 5 ttl=60
    1.06 > echo 6 ttl=3 | 11/0 198.18.2.1
";

/// A trace; the kernel's own SYN is record 4 and has TTL 64, IP identification 1 and window 64240.
fn trace(lines: &str) -> Found {
    diagnose(&format!(
        "0.000 ! start azure=198.18.3.0/24
         0.000 ! route gw=10.22.1.1
         0.000 ! connect 0 started
         0.001 > S id=1
         {lines}
         {PINGS}
         9.0 ! capture
         9.1 ! end"
    ))
}

/// SYNs alone on their ports, one a line: hop limit, and what comes back.
fn alone(answers: &[(u8, &str)]) -> String {
    let line = |(i, (ttl, answer)): (usize, &(u8, &str))| {
        let (at, port, id) = (0.1 + 0.02 * i as f64, 20_000 + i, 100 + i);
        format!("{at:.2} > {port}:22 S ttl={ttl} id={id} | {answer}")
    };
    answers.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

const REFUSED: &str = "0.005 < R. ttl=60\n 0.006 ! connect 0 failed 111\n";

#[test]
fn a_hop_limit_that_follows_ours_gives_the_distance() {
    // An injector at hop 3, before its router takes one off: what was left of the SYN's at hop 3, and two hops back.
    let found =
        trace(&format!("{REFUSED}{}", alone(&[(100, "R. ttl=96"), (160, "R. ttl=156"), (5, "R. ttl=1")])));
    assert_eq!(
        found.claims("reset-copies-hop-limit"),
        [
            "likely 3 transit-filter",
            "clears end vm-sshd-not-running vm-sshd-port",
            "spares 4-end everyone",
            "spares 1 everyone",
            "spares 2 everyone",
            "spares 2 everyone"
        ]
    );
    assert!(found.is_spared("edge-ids", "plain-way"), "if the way back is shorter");
    assert!(found.says("reset-copies-hop-limit").contains("less 4"));
    assert_eq!(found.cites("reset-copies-hop-limit").len(), 8, "the client's own SYN too");
    assert!(!found.has("reset-hop-limit-varies") && !found.has("return-distance"));
    assert!(found.cleared().contains(&"vm-sshd-not-running"), "a kernel has a hop limit of its own");
    // Behind its TTL check it is the same hop.
    let forward = REFUSED.replace("ttl=60", "ttl=59");
    let found = trace(&format!("{forward}{}", alone(&[(100, "R. ttl=95"), (160, "R. ttl=155")])));
    assert_eq!(
        found.claims("reset-copies-hop-limit")[..2],
        ["likely 3 transit-filter", "clears end vm-sshd-not-running vm-sshd-port"]
    );
}

#[test]
fn a_capture_that_lost_packets_clears_nobody() {
    let lines =
        format!("{REFUSED}{}\n 8.9 ! capture lost=1", alone(&[(100, "R. ttl=96"), (160, "R. ttl=156")]));
    let found = trace(&lines);
    assert_eq!(found.claims("reset-copies-hop-limit"), ["likely 3 transit-filter"]);
    assert!(found.stands("vm-sshd-not-running"));
}

#[test]
fn two_hop_limits_are_too_few_to_say_that_they_were_copied() {
    let found = trace(&format!("{REFUSED}{}", alone(&[(100, "R. ttl=96")])));
    assert!(!found.has("reset-copies-hop-limit") && !found.has("reset-hop-limit-varies"));
}

#[test]
fn one_sender_has_one_hop_limit() {
    let found =
        trace(&format!("{REFUSED}{}", alone(&[(100, "R. ttl=60"), (160, "R. ttl=60"), (5, "R. ttl=60")])));
    for rule in ["reset-copies-hop-limit", "reset-hop-limit-varies", "reset-echoes-probe", "several-resets"] {
        assert!(!found.has(rule), "{rule}");
    }
    assert!(found.stands("vm-sshd-not-running"));
    let two_ways =
        trace(&format!("{REFUSED}{}", alone(&[(100, "R. ttl=58"), (160, "R. ttl=61"), (5, "R. ttl=60")])));
    assert!(!two_ways.has("reset-hop-limit-varies"), "several ways back explain it");
}

#[test]
fn hop_limits_at_random_are_no_kernels() {
    let found =
        trace(&format!("{REFUSED}{}", alone(&[(100, "R. ttl=213"), (160, "R. ttl=97"), (5, "R. ttl=34")])));
    assert!(found.says("reset-hop-limit-varies").contains("made up"));
    assert!(found.cleared().contains(&"vm-sshd-not-running"));
    assert!(found.stands("vm-ids") && found.stands("transit-filter") && found.stands("vm-firewall"));
    let again =
        trace(&format!("{REFUSED}{}", alone(&[(100, "R. ttl=213"), (160, "R. ttl=60"), (5, "R. ttl=34")])));
    assert!(again.has("reset-hop-limit-varies"));
    assert!(again.stands("vm-sshd-not-running"), "60 twice: those may be the kernel's");
}

#[test]
fn a_counter_moves_hop_limit_and_window_together() {
    let counted = |windows: [u16; 4]| {
        let reset = |n: usize| format!("R. ttl={} win={}", 70 + 5 * n, windows[n]);
        let refused = format!("0.005 < {}\n 0.006 ! connect 0 failed 111\n", reset(0));
        let (one, two, three) = (reset(1), reset(2), reset(3));
        trace(&format!("{refused}{}", alone(&[(160, &one), (100, &two), (30, &three)])))
    };
    let twice = counted([900, 910, 920, 930]);
    assert!(twice.says("reset-hop-limit-varies").contains("one counter"), "each has a step of its own");
    assert!(counted([900, 905, 910, 915]).says("reset-hop-limit-varies").contains("one counter"));
    assert!(counted([900, 901, 930, 915]).says("reset-hop-limit-varies").contains("made up"));
}

#[test]
fn a_reset_made_of_our_packet_is_no_kernels() {
    let found = trace(&format!(
        "0.005 < R. ttl=60 id=1\n 0.006 ! connect 0 failed 111\n{}",
        alone(&[(100, "R. ttl=60 id=100"), (5, "R. ttl=60 id=101")])
    ));
    assert!(found.says("reset-echoes-probe").contains("IP identification of the SYNs"));
    assert!(found.cleared().contains(&"vm-sshd-not-running") && found.stands("vm-ids"));
    assert!(found.stands("vm-firewall"), "not every firewall is the kernel's");
}

#[test]
fn one_number_that_agrees_is_chance() {
    let once = trace(&format!("{REFUSED}{}", alone(&[(100, "R. ttl=60 id=100"), (5, "R. ttl=60")])));
    assert!(!once.has("reset-echoes-probe"));
    let zero = trace(&format!("{REFUSED}{}", alone(&[(100, "R. ttl=60"), (5, "R. ttl=60")])));
    assert!(!zero.has("reset-echoes-probe"), "0 is no echo");
    let own = "0.005 < R. ttl=60 win=64240\n 0.006 ! connect 0 failed 111\n";
    let found = trace(&format!("{own}{}", alone(&[(5, "R. ttl=60 win=64240")])));
    assert!(!found.has("reset-echoes-probe"), "one window is a constant");
}

#[test]
fn where_some_do_not_echo_the_kernel_may_have_sent_those() {
    let found =
        trace(&format!("{REFUSED}{}", alone(&[(100, "R. ttl=60 id=100"), (160, "R. ttl=60 id=101")])));
    assert!(found.has("reset-echoes-probe"));
    assert!(found.stands("vm-sshd-not-running"));
}

#[test]
fn one_syn_is_answered_once() {
    let found = trace("0.005 < R. ttl=60\n 0.0051 < R ttl=60 seq=1460\n 0.006 ! connect 0 failed 111");
    assert_eq!(found.cites("several-resets"), [4, 5, 6]);
    assert!(found.has("reset-without-ack"));
    assert!(found.stands("vm-sshd-not-running"), "that may have been reset as well");
    let copies = trace("0.005 < R. ttl=60\n 0.0051 < R. ttl=60\n 0.006 ! connect 0 failed 111");
    assert!(!copies.has("several-resets"), "the network may deliver one twice");
    let always = "0.005 < R. ttl=60\n 0.0051 < R. ttl=60\n 0.006 ! connect 0 failed 111
                  0.02 > 20000:22 S ttl=5 | R. ttl=60\n 0.026 < 20000:22 R. ttl=60";
    assert!(trace(always).has("several-resets"), "not every one");
}

#[test]
fn a_reset_that_acknowledges_nothing_is_noted() {
    let found =
        trace("0.005 < R ttl=60\n 1.001 > S id=2\n 1.005 < R ttl=60\n 3.4 ! connect 0 abandoned 3400");
    assert_eq!(found.outcome(), "timeout");
    assert_eq!(found.cites("reset-without-ack"), [4, 5, 6, 7]);
    assert!(found.claims("reset-without-ack")[0].starts_with("possible 1-end"));
    let near = trace("0.02 > 20000:22 S ttl=2 | R ttl=63\n 3.4 ! connect 0 abandoned 3400");
    assert!(near.claims("reset-without-ack")[0].starts_with("possible 1-2"));
    assert!(!trace(REFUSED).has("reset-without-ack"));
}

#[test]
fn a_reset_that_acknowledges_the_syns_own_number_is_noted_and_believed() {
    let found = trace("0.005 < R. ttl=60 ack=1000\n 0.006 ! connect 0 failed 111");
    assert_eq!(found.outcome(), "reset");
    assert_eq!(found.cites("reset-acknowledges-isn"), [4, 5]);
    assert!(found.stands("vm-sshd-not-running"));
    assert!(!trace(REFUSED).has("reset-acknowledges-isn"));
}

#[test]
fn a_syn_that_was_reset_and_ran_out_was_copied() {
    let sweep = "0.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1
                 0.04 > 20000:22 S ttl=2 | 11/0 198.18.1.1";
    let both = "0.06 > 20001:22 S ttl=3 | 11/0 198.18.2.1\n 0.0631 < 20001:22 R. ttl=62";
    let found = trace(&format!("{REFUSED}{sweep}\n{both}"));
    assert_eq!(
        found.claims("reset-beside-time-exceeded"),
        ["likely 2-3 edge-ids transit-filter azure-ids vm-ids"]
    );
    assert_eq!(found.cites("reset-beside-time-exceeded").len(), 3);
    assert!(!found.has("reset-instead-of-time-exceeded"));
    let two_syns = "0.06 > 20001:22 S ttl=2 | 11/0 198.18.1.1\n 0.08 > 20001:22 S ttl=4 | R. ttl=62";
    let found = trace(&format!("{REFUSED}{sweep}\n{two_syns}"));
    assert!(!found.has("reset-beside-time-exceeded"), "one ran out, the other was reset");
}

#[test]
fn a_forged_reset_instead_of_time_exceeded_was_sent_in_path() {
    let sweep = "0.02 > 20000:22 S ttl=2 | 11/0 198.18.1.1\n";
    let taken = |resets: [&str; 2]| {
        let lines = alone(&[(3, resets[0]), (3, resets[1])]);
        trace(&format!("0.005 < R. ttl=60 id=1\n 0.006 ! connect 0 failed 111\n{sweep}{lines}"))
    };
    let found = taken(["R. ttl=60 id=100", "R. ttl=60 id=101"]);
    assert_eq!(
        found.claims("reset-instead-of-time-exceeded"),
        ["likely 2-3 edge-firewall edge-ids transit-filter azure-firewall azure-ids"]
    );
    let plain = taken(["R. ttl=60", "R. ttl=60"]);
    assert!(!plain.has("reset-instead-of-time-exceeded"), "nothing says that it is forged");
}

/// Another port of the VM answers a good SYN and leaves two spoilt ones unanswered.
const VERIFIES: &str = "
    0.30 > 20010:61001 S ttl=5 | R. ttl=60
    0.40 > 20011:61001 S ttl=64 badsum
    0.42 > 20012:61001 S ttl=64 badsum
";

#[test]
fn a_reset_of_a_spoilt_syn_is_no_kernels() {
    let spoilt = "0.38 > 20009:22 S ttl=64 badsum | R. ttl=60\n";
    let found = trace(&format!("{REFUSED}{spoilt}{VERIFIES}"));
    assert_eq!(found.cites("reset-without-checking").len(), 4);
    assert!(found.cleared().contains(&"vm-sshd-not-running"));
    assert!(found.stands("vm-ids") && found.stands("azure-firewall"));
    let once = VERIFIES.lines().filter(|l| !l.contains("20012")).collect::<Vec<_>>().join("\n");
    assert!(
        !trace(&format!("{REFUSED}{spoilt}{once}")).has("reset-without-checking"),
        "it may have been lost"
    );
    let repaired =
        VERIFIES.replace("0.42 > 20012:61001 S ttl=64 badsum", "0.42 > 20012:61001 S ttl=64 badsum | R.");
    assert!(
        !trace(&format!("{REFUSED}{spoilt}{repaired}")).has("reset-without-checking"),
        "the way repairs them"
    );
    let verified = "0.38 > 20009:22 S ttl=64 badsum\n";
    let found = trace(&format!("{REFUSED}{verified}{VERIFIES}"));
    assert!(!found.has("reset-without-checking"));
    assert!(found.stands("vm-sshd-not-running"), "silence proves nothing");
}

#[test]
fn spoilt_syns_measure_no_path() {
    let found = trace(&format!("{REFUSED}0.38 > 20009:22 S ttl=3 badsum | R. ttl=62\n{VERIFIES}"));
    assert!(!found.has("reset-before-path-end") && !found.has("syn-passed-hops"));
}

/// Who is suspected most, how strongly, and whether a closed port is still thought of.
fn told(found: &Found) -> (&'static str, &'static str, bool) {
    let strength = found.0.verdict.standing[0].strength.name();
    (found.standing()[0], strength, found.stands("vm-sshd-not-running"))
}

#[test]
fn without_the_rule_the_closed_port_is_suspected_again() {
    let copied = format!("{REFUSED}{}", alone(&[(100, "R. ttl=96"), (160, "R. ttl=156")]));
    let random = format!("{REFUSED}{}", alone(&[(100, "R. ttl=213"), (160, "R. ttl=97")]));
    let echo = alone(&[(100, "R. ttl=60 id=100"), (160, "R. ttl=60 id=101")]);
    let echoed = format!("0.005 < R. ttl=60 id=1\n 0.006 ! connect 0 failed 111\n{echo}");
    let several = "0.005 < R. ttl=60\n 0.0051 < R. ttl=60 seq=1460\n 0.006 ! connect 0 failed 111".to_owned();
    let spoilt = format!("{REFUSED}0.38 > 20009:22 S ttl=64 badsum | R. ttl=60\n{VERIFIES}");
    let copy = format!("{REFUSED}0.06 > 20001:22 S ttl=3 | 11/0 198.18.2.1\n 0.0631 < 20001:22 R. ttl=60");
    for (rule, lines, first, closed) in [
        ("reset-copies-hop-limit", copied, "transit-filter", false),
        ("reset-hop-limit-varies", random, "edge-firewall", false),
        ("reset-echoes-probe", echoed, "edge-firewall", false),
        ("several-resets", several, "edge-firewall", true),
        ("reset-without-checking", spoilt, "edge-firewall", false),
        ("reset-beside-time-exceeded", copy, "edge-ids", true),
    ] {
        let found = trace(&lines);
        assert_eq!(told(&found), (first, "likely", closed), "{rule}");
        let less = found.without(rule);
        assert!(less.stands("vm-sshd-not-running"), "{rule}");
        assert_ne!(told(&less), told(&found), "{rule}");
    }
}

#[test]
fn without_the_rule_the_anomaly_speaks_for_nobody() {
    let sweep = "0.02 > 20000:22 S ttl=2 | 11/0 198.18.1.1\n";
    let echoed = alone(&[(3, "R. ttl=60 id=100"), (3, "R. ttl=60 id=101")]);
    let taken = format!("0.005 < R. ttl=60 id=1\n 0.006 ! connect 0 failed 111\n{sweep}{echoed}");
    let bare = "0.005 < R ttl=60\n 1.001 > S id=2\n 1.005 < R ttl=60\n 3.4 ! connect 0 abandoned 3400";
    let old = "0.005 < R. ttl=60 ack=1000\n 0.006 ! connect 0 failed 111";
    for (rule, lines) in [
        ("reset-instead-of-time-exceeded", taken.as_str()),
        ("reset-without-ack", bare),
        ("reset-acknowledges-isn", old),
    ] {
        let found = trace(lines);
        assert_ne!(found.suspicion(), found.without(rule).suspicion(), "{rule}");
    }
}
