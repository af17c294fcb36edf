//! Three routers, of which the last answers from one of Azure's networks.

use crate::testing::{Found, diagnose};

fn trace(start: &str) -> Found {
    diagnose(&format!(
        "0.000 ! start {start}
         0.001 > S id=1
         0.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1
         0.04 > 20000:22 S ttl=2 | 11/0 198.18.1.1
         0.06 > 20000:22 S ttl=3 | 11/0 198.18.2.1
         0.08 > 20000:22 S ttl=4 | 11/0 198.18.3.1
         9.0 ! capture
         9.1 ! end"
    ))
}

#[test]
fn the_last_hop_before_azure_is_not_azures() {
    let found = trace("azure=198.18.3.0/24");
    assert_eq!(found.claims("border-by-address").len(), 1);
    assert!(found.claims("border-by-address")[0].starts_with("spares 3 azure-endpoint"));
    assert_eq!(found.cites("border-by-address"), [8]);
}

#[test]
fn without_azures_networks_no_address_tells() {
    assert!(!trace("").has("border-by-address"));
}
