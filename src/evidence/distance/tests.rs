//! The way there has four routers: 10.22.1.1 (edge), 198.18.1.1 and 198.18.2.1 (transit), 198.18.3.1 (Azure's edge).

use crate::testing::{Found, diagnose};

/// Resets at the end of the path, each of a port of its own, with `left` of their hop limit.
fn resets(left: u8) -> String {
    let line = |n: u8| format!("0.2{n} > 2010{n}:22 S ttl={} | R. ttl={left}", 5 + n);
    (0..3).map(line).collect::<Vec<_>>().join("\n")
}

/// The VM's address is reset, `left` being what is left; `controls` say what else answers.
fn trace(left: u8, controls: &str) -> Found {
    let resets = resets(left);
    diagnose(&format!(
        "0.000 ! start azure=198.18.3.0/24
         0.000 ! route gw=10.22.1.1
         0.000 ! connect 0 started
         0.001 > S id=1 | R. ttl={left}
         0.006 ! connect 0 failed 111
         0.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1
         0.04 > 20000:22 S ttl=2 | 11/0 198.18.1.1
         0.06 > 20000:22 S ttl=3 | 11/0 198.18.2.1
         0.08 > 20000:22 S ttl=4 | 11/0 198.18.3.1
         {resets}
         {controls}
         9.0 ! capture
         9.1 ! end"
    ))
}

const PING: &str = "1.0 > echo 5 ttl=5 | echo-reply 5 ttl=60";

#[test]
fn the_vm_is_named_and_who_would_have_to_imitate_it_is_spared() {
    let found = trace(60, PING);
    assert_eq!(found.segment(), Some("vm"));
    assert_eq!(found.standing()[0], "vm-sshd-not-running");
    for (name, assumption) in [
        ("edge-firewall", "no-forgery"),
        ("transit-filter", "no-forgery"),
        ("azure-firewall", "every-box-a-hop"),
        ("azure-firewall", "own-address"),
        ("azure-public-ip", "own-address"),
    ] {
        assert!(found.is_spared(name, assumption), "{name} {assumption}");
        assert!(!found.cleared().contains(&name), "{name}");
    }
}

#[test]
fn the_hop_right_before_is_spared_only_beyond_the_edge() {
    let azure = trace(61, PING);
    assert_eq!(azure.standing()[0], "azure-firewall");
    assert!(azure.is_spared("transit-filter", "every-box-a-hop"));
    assert!(azure.is_spared("vm-firewall", "no-forgery"));
    // A box without an address behind the edge's router answers from where hop 2 does.
    let transit = diagnose(
        "0.000 ! start
         0.001 > S id=1 | R. ttl=63
         0.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1
         0.04 > 20000:22 S ttl=2 | R. ttl=63
         0.06 > 20001:22 S ttl=3 | R. ttl=63
         0.08 > 20002:22 S ttl=4 | R. ttl=63
         0.10 > echo 1 ttl=1     | 11/0 10.22.1.1
         0.12 > echo 2 ttl=2     | 11/0 198.18.1.1
         0.14 > echo 3 ttl=3     | echo-reply 3 ttl=62
         9.1 ! end",
    );
    assert_eq!(transit.claims("return-distance")[0], "likely 2 azure-firewall", "the last router");
    assert!(transit.stands("edge-ids"));
}

#[test]
fn a_target_that_answers_nothing_else_keeps_azure_beside_it() {
    let found = trace(60, "");
    assert_eq!(found.claims("return-distance")[0], "likely end vm-firewall vm-sshd-not-running vm-sshd-port");
    assert!(found.is_spared("edge-firewall", "no-forgery"));
    assert!(found.stands("azure-firewall"), "it may stand where the VM does");
}

#[test]
fn on_a_longer_way_back_who_answers_for_itself_over_another_one_is_spared() {
    let found = trace(58, &PING.replace("ttl=60", "ttl=58"));
    assert_eq!(found.segment(), Some("vm"));
    assert!(found.is_spared("edge-firewall", "one-way-back"));
    assert!(found.is_spared("azure-firewall", "one-way-back"));
    assert!(!found.cleared().contains(&"edge-firewall"));
}

#[test]
fn on_a_longer_way_back_whoever_answers_over_as_many_routers_stands() {
    let found = trace(62, &PING.replace("ttl=60", "ttl=62"));
    assert_eq!(found.claims("return-distance")[0], "likely end vm-firewall vm-sshd-not-running vm-sshd-port");
    assert!(found.stands("transit-filter"), "hop 3");
    assert!(found.is_spared("edge-firewall", "one-way-back"));
}

#[test]
fn a_target_that_answers_nothing_else_lies_beyond_every_router() {
    let found = trace(61, "");
    assert_eq!(found.segment(), Some("azure-edge"));
    assert!(found.is_spared("vm-firewall", "no-forgery") && found.is_spared("vm-firewall", "plain-way"));
}

#[test]
fn the_port_may_take_a_shorter_way_than_what_else_is_asked() {
    let resets = resets(59).replace("ttl=5 ", "ttl=4 ");
    let found = diagnose(&format!(
        "0.000 ! start azure=198.18.3.0/24
         0.000 ! route gw=10.22.1.1
         0.000 ! connect 0 started
         0.001 > S id=1 | R. ttl=59
         0.006 ! connect 0 failed 111
         0.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1
         0.04 > 20000:22 S ttl=2 | 11/0 198.18.4.1
         0.06 > 20000:22 S ttl=3 | 11/0 198.18.5.1
         {resets}
         1.02 > 20001:61999 S ttl=1 | 11/0 10.22.1.1
         1.04 > 20001:61999 S ttl=2 | 11/0 198.18.1.1
         1.06 > 20001:61999 S ttl=3 | 11/0 198.18.2.1
         1.08 > 20001:61999 S ttl=4 | 11/0 198.18.6.1
         1.10 > 20001:61999 S ttl=5 | 11/0 198.18.3.1
         1.12 > 20001:61999 S ttl=6 | R. ttl=59
         9.0 ! capture
         9.1 ! end"
    ));
    assert_eq!(found.claims("return-distance")[0], "likely end vm-firewall vm-sshd-not-running vm-sshd-port");
    assert!(found.is_spared("transit-filter", "no-forgery"));
}

#[test]
fn resets_that_no_kernel_sends_do_not_name_the_vm() {
    for odd in ["win=512", "seq=77", "mss=1400"] {
        let spoilt = resets(60).replace("R. ttl=60", &format!("R. ttl=60 {odd}"));
        let found = trace(60, &format!("{PING}\n{}", spoilt.replace("0.2", "2.2").replace(" 2010", " 2020")));
        assert!(found.stands("azure-firewall") && found.stands("transit-filter"), "{odd}");
    }
}
