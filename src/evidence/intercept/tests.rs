//! The way there has two routers, 10.22.1.1 (edge) and 198.18.1.1.

use crate::testing::{Found, diagnose};

/// The handshake, and what ends it: the box at the edge answers for the VM, whose own answers cross two routers.
fn trace(lines: &str) -> Found {
    diagnose(&format!(
        "0.000 ! start
         0.000 ! route gw=10.22.1.1
         0.000 ! connect 0 started
         0.001 > S id=1 ts=1/0
         0.002 < S. ts=5/1 ttl=64
         0.003 > .
         0.003 ! connect 0 established
         0.040 > echo 1 ttl=1 | 11/0 10.22.1.1
         0.050 > echo 2 ttl=2 | 11/0 198.18.1.1
         {lines}
         2.1 ! connect 0 abandoned 2100
         9.0 ! capture
         9.1 ! end"
    ))
}

#[test]
fn a_port_at_which_nothing_listens_opens() {
    let opens = "0.060 > 20001:61500 S ttl=3 | S. ttl=64";
    let found = trace(opens);
    assert_eq!(
        found.says("closed-port-opens"),
        "tcp/61500 of the same address opens too, where nothing should listen"
    );
    assert!(found.stands("vm-sshd-hung"), "it clears nobody");
    assert!(!trace(&opens.replace("S. ttl", "R. ttl")).has("closed-port-opens"));
    assert!(!trace(&opens.replace("61500", "443")).has("closed-port-opens"), "web servers listen there");
}

#[test]
fn the_distance_of_other_answers_gives_a_stranger_away() {
    let far = "0.060 > 20001:61500 S ttl=3 | R. ttl=62";
    assert!(
        trace(far)
            .says("answers-unlike-other-ports")
            .contains("over 0 routers where other answers come over 2")
    );
    assert!(!trace(&far.replace("ttl=62", "ttl=64")).has("answers-unlike-other-ports"));
}

#[test]
fn the_options_of_another_port_give_a_stranger_away() {
    let bare = "0.060 > 20001:443 S ttl=3 | S. ttl=64";
    assert!(trace(bare).says("answers-unlike-other-ports").contains("in options"));
    let alike = "0.060 > 20001:443 S ttl=3 ts=8/0 | S. ttl=64 ts=5/8";
    assert!(!trace(alike).has("answers-unlike-other-ports"));
}

#[test]
fn a_web_proxy_is_heard() {
    let spoken = "0.1 < P. data=\"HTTP/1.1 400 Bad\\r\\n\" ttl=64
         0.1 ! connect 0 received \"HTTP/1.1 400 Bad\\r\\n\"";
    let found = trace(spoken);
    assert_eq!(found.outcome(), "not-ssh");
    assert!(found.has("speaks-http"));
    assert!(!trace(&spoken.replace("HTTP", "SMTP")).has("speaks-http"));
}

#[test]
fn without_its_rule_a_stranger_is_less_suspected() {
    let spoken = "0.1 < P. data=\"HTTP/1.1 400 Bad\\r\\n\" ttl=64
         0.1 ! connect 0 received \"HTTP/1.1 400 Bad\\r\\n\"";
    for (rule, lines) in [
        ("closed-port-opens", "0.060 > 20001:61500 S ttl=3 | S. ttl=64"),
        ("answers-unlike-other-ports", "0.060 > 20001:61500 S ttl=3 | R. ttl=62"),
        ("speaks-http", spoken),
    ] {
        let found = trace(lines);
        let spoken_for = |found: &Found| {
            found.suspicion().iter().any(|s| s.contains("edge-proxy") && s.contains(&format!("\"{rule}\"")))
        };
        assert!(spoken_for(&found) && !spoken_for(&found.without(rule)), "{rule}: {:?}", found.suspicion());
    }
}
