//! The way there has three routers; somebody leads port 22 to another machine.

use crate::testing::{Found, diagnose};

/// What runs out from hop `first` on comes back in the target's name.
fn trace(first: u8) -> Found {
    let name = |hop: u8, own: &'static str| if hop >= first { "198.19.0.4" } else { own };
    let (edge, transit, azure) = (name(1, "10.22.1.1"), name(2, "198.18.1.1"), name(3, "198.18.3.1"));
    diagnose(&format!(
        "0.000 ! start azure=198.18.3.0/24
         0.000 ! connect 0 started
         0.001 > S id=1           | R. ttl=61
         0.006 ! connect 0 failed 111
         0.02 > 20000:22 S ttl=1  | 11/0 {edge}
         0.04 > 20000:22 S ttl=2  | 11/0 {transit}
         0.06 > 20000:22 S ttl=3  | 11/0 {azure}
         0.08 > 20000:22 S ttl=4  | R. ttl=61
         0.10 > 20001:22 S ttl=5  | R. ttl=61
         0.12 > 20002:22 S ttl=6  | R. ttl=61
         0.20 > echo 1 ttl=1      | 11/0 10.22.1.1
         0.22 > echo 2 ttl=2      | 11/0 198.18.1.1
         0.24 > echo 3 ttl=3      | 11/0 198.18.3.1
         0.26 > echo 4 ttl=4      | echo-reply 4 ttl=61
         9.0 ! capture
         9.1 ! end"
    ))
}

#[test]
fn whoever_translates_stands() {
    let edge = trace(1);
    assert_eq!(edge.claims("led-elsewhere")[0], "likely 1 edge-firewall");
    assert_eq!(edge.cites("led-elsewhere")[..2], [6, 7]);
    assert_eq!((edge.segment(), edge.standing()[0]), (Some("edge"), "edge-firewall"));
    assert!(
        edge.is_spared("vm-sshd-not-running", "rest-in-order")
            && edge.is_spared("azure-nsg", "rest-in-order")
    );
    let azure = trace(3);
    assert_eq!(
        azure.claims("led-elsewhere")[0],
        "likely 3 azure-endpoint azure-load-balancer azure-firewall"
    );
    assert!(
        azure.stands("azure-endpoint") && azure.stands("vm-sshd-not-running"),
        "Azure translates by design"
    );
}

/// Azure's edge leads port 22 to a host that does not answer on its link; what else is sent to the address draws `answer`.
fn to_a_dead_host(left: u8, answer: &str) -> Found {
    diagnose(&format!(
        "0.000 ! start azure=198.18.3.0/24
         0.000 ! connect 0 started
         0.001 > S id=1           | 3/1 198.19.0.4 after=3060 left=61 ttl={left}
         0.02 > 20000:22 S ttl=1  | 11/0 10.22.1.1
         0.04 > 20000:22 S ttl=2  | 11/0 198.18.1.1
         0.06 > 20000:22 S ttl=3  | 11/0 198.19.0.4
         0.20 > echo 1 ttl=1      | 11/0 10.22.1.1
         0.22 > echo 2 ttl=2      | 11/0 198.18.1.1
         0.24 > echo 3 ttl=3      | 11/0 198.18.3.1
         0.26 > echo 4 ttl=4      {answer}
         0.50 > 20000:22 S ttl=4  | 3/1 198.19.0.4 after=3060 ttl={left}
         3.60 ! connect 0 failed 113
         9.0 ! capture
         9.1 ! end"
    ))
}

#[test]
fn whoever_leads_to_a_dead_host_says_so_itself() {
    let lives = to_a_dead_host(62, "| echo-reply 4 ttl=61");
    assert_eq!(lives.outcome(), "rejected");
    assert_eq!(lives.segment(), Some("azure-edge"));
    assert!(lives.is_spared("edge-firewall", "no-forgery") && lives.is_spared("vm-down", "own-address"));
    let dead = to_a_dead_host(62, "");
    assert!(dead.stands("vm-down") && dead.is_spared("edge-firewall", "no-forgery"));
    let from_elsewhere = to_a_dead_host(61, "| echo-reply 4 ttl=61");
    assert!(from_elsewhere.stands("edge-firewall") && from_elsewhere.stands("vm-down"));
}

#[test]
fn a_vm_that_leads_on_is_no_box_before_it() {
    assert!(!trace(4).has("led-elsewhere"));
    assert!(!trace(4).stands("azure-endpoint"), "but for the assumption that the address is the VM's own");
}
