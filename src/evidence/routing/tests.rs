//! Beyond the edge, packets to the target go round.

use crate::testing::{Found, diagnose};

fn trace(routers: &[&str]) -> Found {
    let sweep = |(ttl, router): (usize, &&str)| format!("0.{ttl}2 > echo {ttl} ttl={ttl} | 11/0 {router}");
    let sweep = (1..).zip(routers).map(sweep).collect::<Vec<_>>().join("\n");
    diagnose(&format!(
        "0.000 ! start azure=198.19.0.0/16
         0.000 ! connect 0 started
         0.001 > S id=1
         {sweep}
         3.400 ! connect 0 abandoned 3400
         9.0 ! capture
         9.1 ! end"
    ))
}

#[test]
fn two_routers_that_send_to_each_other_are_named() {
    let found = trace(&["10.22.1.1", "198.18.1.1", "198.18.2.1", "198.18.1.1", "198.18.2.1"]);
    assert_eq!(found.claims("routing-loop"), ["likely 2 transit-route", "likely 3 transit-route"]);
    assert!(found.says("routing-loop").contains("198.18.1.1 and 198.18.2.1"));
    assert_eq!(found.standing()[0], "transit-route");
    assert!(found.stands("edge-firewall"), "nobody is cleared");
}

#[test]
fn one_round_is_none() {
    assert!(!trace(&["10.22.1.1", "198.18.1.1", "198.18.2.1", "198.18.1.1"]).has("routing-loop"));
    assert!(
        !trace(&["10.22.1.1", "198.18.1.1", "198.18.1.1", "198.18.1.1", "198.18.1.1"]).has("routing-loop")
    );
}
