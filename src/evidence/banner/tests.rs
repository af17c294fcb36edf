//! The way there has two routers, 10.22.1.1 (edge) and 198.18.1.1.

use crate::attempt::Outcome;
use crate::testing::{Found, diagnose};

/// The handshake, as the kernel and the wire tell it: records 1 to 7.
const BEGIN: &str = "
    0.000 ! start
    0.000 ! route gw=10.22.1.1
    0.000 ! connect 0 started
    0.001 > S id=1 ts=1/0
    0.002 < S. ts=5/1 ttl=62
    0.003 > .
    0.003 ! connect 0 established
";

/// A SYN that runs out at hop 1 is answered, and hop 2 lives.
const BY_THE_EDGE: &str = "
    0.020 > 20000:22 S ttl=1 ts=9/0 | S. ts=7/9 ttl=64
    0.030 > 20000:22 R
    0.040 > echo 1 ttl=1            | 11/0 10.22.1.1
    0.050 > echo 2 ttl=2            | 11/0 198.18.1.1
    0.060 > echo 3 ttl=3            | echo-reply 3
";

const BY_THE_VM: &str = "
    0.020 > 20000:22 S ttl=1        | 11/0 10.22.1.1
    0.022 > 20000:22 S ttl=2        | 11/0 198.18.1.1
    0.024 > 20000:22 S ttl=3 ts=9/0 | S. ts=7/9 ttl=62
    0.030 > 20000:22 R
    0.040 > echo 1 ttl=1            | 11/0 10.22.1.1
    0.050 > echo 2 ttl=2            | 11/0 198.18.1.1
    0.060 > echo 3 ttl=3            | echo-reply 3
";

const EARLY: &str = "handshake-from-before-path-end";

fn trace(lines: &str) -> Found {
    diagnose(&format!("{BEGIN}{lines} 9.0 ! capture\n 9.1 ! end"))
}

#[test]
fn a_box_before_the_vm_answers_and_stays_silent() {
    let found = trace(&format!("{BY_THE_EDGE} 2.1 ! connect 0 abandoned 2100\n"));
    assert_eq!(found.outcome(), "intercepted");
    assert_eq!(found.cites(EARLY), [8, 9, 11, 12]);
    let all = "possible 1 edge-proxy edge-firewall transit-filter azure-load-balancer azure-firewall";
    assert_eq!(
        found.claims(EARLY),
        [sorted("likely 1 edge-proxy edge-firewall"), "spares 2-end everyone".to_owned(), sorted(all)]
    );
    assert!(["edge-proxy", "edge-firewall"].contains(&found.standing()[0]));
    assert!(
        found.is_spared("vm-sshd-hung", "rest-in-order"),
        "the box may hand it on to a VM that is at fault"
    );
}

#[test]
fn the_vm_itself_answers_and_stays_silent() {
    let found = trace(&format!("{BY_THE_VM} 2.1 ! connect 0 abandoned 2100\n"));
    assert_eq!(found.outcome(), "no-banner");
    assert!(!found.has(EARLY));
    assert_eq!(found.claims("after-the-handshake"), ["likely 1-end vm-sshd-hung"]);
    assert_eq!(found.standing()[0], "vm-sshd-hung");
}

#[test]
fn a_box_that_hands_the_connection_on_does_not_intercept() {
    let banner = "0.1 < P. data=\"SSH-2.0-x\\r\\n\" ttl=60\n 0.1 ! connect 0 received \"SSH-2.0-x\\r\\n\"\n";
    let found = trace(&format!("{BY_THE_EDGE} {banner}"));
    assert_eq!(found.outcome(), "open", "the data came from farther away than the SYN/ACK");
    assert!(found.has(EARLY));
    assert!(found.standing().is_empty());
    let relay = trace(&format!("{BY_THE_EDGE} {}", banner.replace("ttl=60", "ttl=62")));
    assert_eq!(relay.outcome(), "intercepted");
    assert!(relay.says("banner-read").starts_with("behind whoever answers"));
}

#[test]
fn a_port_that_takes_another_way_is_not_measured_by_the_control_path() {
    let other_way = "
        0.020 > 20000:22 S ttl=2        | 11/0 198.18.77.1
        0.030 > 20000:22 S ttl=3 ts=9/0 | S. ts=7/9 ttl=62
        0.040 > 20000:22 R
        0.050 > echo 1 ttl=2            | 11/0 198.18.1.1
        0.060 > echo 2 ttl=3            | 11/0 198.18.2.1
        0.070 > echo 3 ttl=4            | echo-reply 3
    ";
    assert!(!trace(other_way).has(EARLY));
    assert!(trace(&other_way.replace("198.18.77.1", "198.18.1.1")).has(EARLY));
}

#[test]
fn how_an_established_connection_ends_says_who_usually_does_that() {
    for (ends, outcome, claim, cites) in [
        (
            "0.1 < R\n 0.1 ! connect 0 broken 104\n",
            "reset-after-handshake",
            "likely 1-end edge-ids vm-sshd-refuses",
            vec![3, 5, 7, 8, 9],
        ),
        (
            "0.1 < F.\n 0.1 ! connect 0 closed\n",
            "closed",
            "likely 1-end vm-sshd-refuses",
            vec![3, 5, 7, 8, 9],
        ),
        (
            "0.1 < P. data=\"Not allowed at this time\\r\\n\"
             0.1 ! connect 0 received \"Not allowed at this time\\r\\n\"
             0.1 < F. seq=9027\n 0.1 ! connect 0 closed\n",
            "closed",
            "likely 1-end vm-sshd-refuses",
            vec![3, 5, 7, 8, 9, 10, 11],
        ),
        (
            "0.1 < P. data=\"220 mail\\r\\n\"
             0.1 ! connect 0 received \"220 mail\\r\\n\"
             2.1 ! connect 0 abandoned 2100\n",
            "not-ssh",
            "likely 1-end vm-other-service",
            vec![3, 5, 7, 8, 9, 10],
        ),
        ("2.1 ! connect 0 abandoned 2100\n", "no-banner", "likely 1-end vm-sshd-hung", vec![3, 5, 7, 8]),
    ] {
        let found = trace(ends);
        assert_eq!(found.outcome(), outcome);
        assert_eq!(found.claims("after-the-handshake"), [claim], "{outcome}");
        assert_eq!(found.cites("after-the-handshake"), cites, "{outcome}");
        assert!(!found.has("banner-read"), "{outcome}");
        assert!(found.stands("edge-ids") && found.stands("edge-proxy"), "{outcome}: a box may do the same");
    }
}

#[test]
fn a_banner_is_enough() {
    let found = trace("0.1 < P. data=\"SSH-2.0-x\\r\\n\"\n 0.1 ! connect 0 received \"SSH-2.0-x\\r\\n\"\n");
    assert_eq!((found.outcome(), found.rules().as_str()), ("open", "banner-read"));
    assert_eq!(found.cites("banner-read"), [3, 5, 7, 8, 9]);
    assert_eq!(found.0.conversation, Some(Outcome::Open));
    assert!(found.standing().is_empty() && found.cleared().is_empty());
}

#[test]
fn a_reset_that_answers_the_syn_is_not_after_the_handshake() {
    let found = diagnose("0 > S\n 0.1 < S.\n 0.2 < R.");
    assert_eq!(found.outcome(), "reset");
    assert!(!found.has("after-the-handshake"));
}

/// Names in path order, as sets are told.
fn sorted(claim: &str) -> String {
    let [strength, places, whom @ ..] = &claim.split(' ').collect::<Vec<_>>()[..] else { panic!() };
    let known = crate::evidence::Suspect::ALL.iter().map(|s| s.name()).filter(|n| whom.contains(n));
    format!("{strength} {places} {}", known.collect::<Vec<_>>().join(" "))
}

#[test]
fn a_silence_counts_for_as_long_as_it_was_captured() {
    let begin = "0.000 > S\n 0.010 < S.\n 0.020 > .\n";
    let other = |at: &str| format!("{begin} {at} > 20000:23 S\n");
    for (capture, claim, says) in [
        (begin.to_owned(), "possible", "in the 0.0 s that were captured of it"),
        (other("2.0"), "possible", "in the 2.0 s that were captured of it"),
        (other("5.0"), "likely", "in the 5.0 s that were captured of it"),
        (
            format!("{begin} 0.5 > R.\n 9.0 > 20000:23 S"),
            "possible",
            "in the 0.5 s until this machine reset it",
        ),
        (format!("{begin} 4.0 > R."), "likely", "in the 4.0 s until this machine reset it"),
    ] {
        let found = diagnose(&capture);
        assert_eq!(found.outcome(), "no-banner", "{capture}");
        assert_eq!(found.claims("after-the-handshake"), [format!("{claim} 1-end vm-sshd-hung")], "{capture}");
        let said = found.says("after-the-handshake");
        assert!(said.ends_with(says), "{said}");
        let by_client = capture.contains("> R");
        assert_eq!(found.stands("client-security-software"), by_client, "{capture}");
    }
}

#[test]
fn a_syn_proxy_that_waits_points_behind_it() {
    let begin = BEGIN.replace("S. ts=5/1 ttl=62", "S. ts=5/1 ttl=64 win=0");
    let lines = format!("{BY_THE_EDGE} 5.0 ! connect 0 abandoned 5000\n 9.0 ! capture\n 9.1 ! end");
    let found = diagnose(&format!("{begin}{lines}"));
    assert_eq!(found.outcome(), "intercepted");
    assert_eq!(found.claims("waits-for-the-server"), ["likely 1-end azure-nsg vm-firewall"]);
    assert_eq!(found.claims(EARLY).len(), 1, "whoever answers is hardly to blame: {:?}", found.claims(EARLY));
    assert!(found.standing()[0] == "vm-firewall" || found.standing()[0] == "azure-nsg");
    assert!(found.stands("edge-proxy"));
    // Once the server has answered, the box opens the window.
    let opened = diagnose(&format!("{begin} 0.010 < . win=500 ttl=64\n{lines}"));
    assert!(!opened.has("waits-for-the-server"));
    assert_eq!(opened.standing()[0], "edge-proxy");
}

#[test]
fn an_end_that_came_from_nearer_than_the_handshake_names_the_hop() {
    let found = trace(&format!("0.015 < R seq=9001 ttl=64\n 0.016 ! connect 0 broken 104\n{BY_THE_VM}"));
    assert_eq!(found.outcome(), "reset-after-handshake");
    assert_eq!(found.claims("end-return-distance")[0], "likely 1 edge-firewall edge-ids");
    assert!(found.is_spared("vm-sshd-refuses", "no-forgery"));
    assert_eq!(found.segment(), Some("edge"));
}

#[test]
fn an_end_that_came_from_where_the_handshake_did_is_the_vms() {
    let pinged = BY_THE_VM.replace("echo-reply 3", "echo-reply 3 ttl=62");
    let found = trace(&format!("0.015 < F. ttl=62\n 0.016 ! connect 0 closed\n{pinged}"));
    assert_eq!((found.outcome(), found.segment()), ("closed", Some("vm")));
    assert!(
        found.is_spared("edge-ids", "no-forgery") && found.is_spared("azure-load-balancer", "own-address")
    );
    // A box that knows SSH when it sees it may have borrowed the VM's name.
    let drawn = "0.012 < P. data=\"SSH-2.0-x\\r\\n\" ttl=62\n 0.012 ! connect 0 received \"SSH-2.0-x\\r\\n\"
        0.013 > P. len=24 ack=9012\n 0.013 ! connect 0 sent identification
        0.015 < R seq=9012 ttl=62\n 0.016 ! connect 0 broken 104\n";
    let found = trace(&format!("{drawn}{pinged}"));
    assert_eq!(found.outcome(), "reset-after-handshake");
    assert!(!found.has("end-return-distance") && found.stands("edge-ids"));
}

#[test]
fn a_relay_that_ends_behind_our_identification_lets_no_ssh_through() {
    const BANNER: &str = "0.1 < P. data=\"SSH-2.0-x\\r\\n\" ttl=62
         0.1 ! connect 0 received \"SSH-2.0-x\\r\\n\"
         0.1 > P. len=24 ack=9012
         0.1 ! connect 0 sent identification";
    let begun =
        "0.2 ! connect 0 kexinit\n 0.2 ! connect 0 sent key-exchange\n 0.3 ! connect 0 sent farewell\n";
    for (then, ended, works) in [
        ("0.2 ! connect 0 closed\n", "closed", false),
        ("0.2 < R seq=9012 ttl=62\n 0.2 ! connect 0 broken 104\n", "reset", false),
        ("2.4 ! connect 0 abandoned 2300\n", "nothing came", false),
        (begun, "SSH works through it", true),
    ] {
        let found = trace(&format!("{BY_THE_EDGE} {BANNER}\n {then}"));
        assert_eq!(found.outcome(), "intercepted", "{then}");
        assert!(found.says("banner-read").contains(ended), "{}", found.says("banner-read"));
        assert_eq!(found.0.is_relayed(), works, "{then}");
    }
    let half = BANNER.replace("SSH-2.0-x\\r\\n", "SSH-2.0-Ope");
    let found = trace(&format!("{BY_THE_EDGE} {half}\n 2.4 ! connect 0 abandoned 2300\n"));
    assert_eq!(found.outcome(), "intercepted");
    assert!(found.says("banner-read").contains("never ended the line") && !found.0.is_relayed());
}

#[test]
fn no_identification_is_claimed_that_never_came() {
    let ends = "1.0 > P. len=24\n 1.0 ! connect 0 sent identification
         1.1 < R. seq=9001 ack=1025 ttl=62\n 1.1 ! connect 0 broken 104\n";
    let found = trace(ends);
    assert_eq!(found.outcome(), "reset-after-handshake");
    assert!(found.says("after-the-handshake").contains("no SSH identification came"));
    assert_eq!(found.standing()[0], "vm-sshd-refuses");
}
