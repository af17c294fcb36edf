//! The VM resets port 22 and 61999, four routers away.

use crate::testing::{END, Found, diagnose};

const BEGIN: &str = "
    0.000 ! start azure=198.18.3.0/24
    0.000 ! route gw=10.22.1.1
    0.000 ! connect 0 started
    0.001 > S id=1 | R. ttl=60
    0.006 ! connect 0 failed 111
    0.02 > 20000:22 S ttl=1    | 11/0 10.22.1.1
    0.04 > 20000:22 S ttl=2    | 11/0 198.18.1.1
    0.06 > 20000:22 S ttl=3    | 11/0 198.18.2.1
    0.08 > 20000:22 S ttl=4    | 11/0 198.18.3.1
    0.10 > 20000:22 S ttl=5    | R. ttl=60
    0.12 > 20001:61999 S ttl=5 | R. ttl=60
";

const MARKED: &str = "
    0.20 > 20010:22 S tos=184
    0.21 < 20010:22 R. ttl=60 tos=PORT
    0.22 > 20011:61999 S tos=184
    0.23 < 20011:61999 R. ttl=LEFT tos=CONTROL
    0.24 > 20012:22 S tos=184
    0.25 < 20012:22 R. ttl=60 tos=PORT
    0.26 > 20013:61999 S tos=184
    0.27 < 20013:61999 R. ttl=LEFT tos=CONTROL
";

fn trace(lines: &str) -> Found {
    diagnose(&format!("{BEGIN}{lines}{END}"))
}

/// Resets of marked SYNs come back with these TOS bytes, those of the control from `left`.
fn marked(port: &str, control: &str, left: &str) -> Found {
    trace(&MARKED.replace("PORT", port).replace("CONTROL", control).replace("LEFT", left))
}

#[test]
fn a_kernel_without_a_listener_copies_the_mark() {
    let found = marked("184", "184", "60");
    assert_eq!(
        found.claims("reset-bears-mark"),
        ["likely end vm-sshd-not-running vm-sshd-port", "spares end strangers"]
    );
    assert_eq!(found.cites("reset-bears-mark"), [19, 20, 23, 24]);
    assert!(!found.has("reset-lost-mark"));
    assert_eq!(found.standing()[..2], ["vm-sshd-not-running", "vm-sshd-port"]);
    assert!(found.stands("vm-firewall"), "nobody is cleared");
}

#[test]
fn a_firewall_that_rejects_does_not() {
    let found = marked("0", "184", "60");
    assert_eq!(found.claims("reset-lost-mark"), ["likely end vm-firewall"]);
    assert_eq!(found.standing()[0], "vm-firewall");
    assert!(found.stands("vm-sshd-not-running"));
    // Without the marks, nothing tells the two apart.
    assert_eq!(trace("").standing()[0], "vm-sshd-not-running");
}

#[test]
fn a_way_that_bleaches_marks_tells_nothing() {
    let found = marked("0", "0", "60");
    assert!(!found.has("reset-bears-mark") && !found.has("reset-lost-mark"), "{}", found.rules());
    assert_eq!(found.standing()[..3], trace("").standing()[..3]);
}

#[test]
fn a_way_that_marks_everything_tells_nothing() {
    let everything = MARKED.replace("PORT", "184").replace("CONTROL", "184").replace("LEFT", "60");
    let found = diagnose(&format!("{}{everything}{END}", BEGIN.replace("R. ttl=60", "R. ttl=60 tos=184")));
    assert!(!found.has("reset-bears-mark"), "{}", found.rules());
}

#[test]
fn a_control_that_answers_from_elsewhere_is_no_measure() {
    assert!(!marked("0", "184", "61").has("reset-lost-mark"));
}

#[test]
fn one_reset_is_too_few_and_two_that_disagree_tell_nothing() {
    let one = "0.20 > 20010:22 S tos=184\n 0.21 < 20010:22 R. ttl=60 tos=184";
    assert!(!trace(one).has("reset-bears-mark"));
    let disagreeing = format!("{one}\n 0.22 > 20011:22 S tos=184\n 0.23 < 20011:22 R. ttl=60");
    assert!(!trace(&disagreeing).has("reset-bears-mark"));
}
