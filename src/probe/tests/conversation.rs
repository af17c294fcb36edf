//! Where the conversation ends.

use super::networks::*;
use super::*;

fn troubled(trouble: Trouble, box_at: u8) -> Trace {
    run(Setting { trouble, box_at, ..usual(sshd) })
}

#[test]
fn a_reset_behind_our_identification_is_placed() {
    for (box_at, cleared) in
        [(0, "clears 2-end everyone"), (1, "clears 3-end everyone"), (3, "clears 5-end everyone")]
    {
        let trace = troubled(Trouble::Resets, box_at);
        let found = found(&trace);
        assert_eq!(found.outcome(), "reset-after-handshake");
        let rule = "identification-reset-before-path-end";
        assert!(found.claims(rule).contains(&cleared.to_owned()), "{:?}", found.claims(rule));
        assert!(found.0.connections <= 5, "{} connections", found.0.connections);
        assert!(trace.most_open <= 2 && trace.ended < 4 * SECOND, "{}", seconds(trace.ended));
    }
}

#[test]
fn without_the_identification_sent_hop_by_hop_the_reset_is_anybodys() {
    let mut diagnosis = Diagnosis::new(Question::default());
    let start = Script::new("0 ! start\n 0 ! route gw=10.22.1.1");
    start.records().for_each(|record| diagnosis.push(&record));
    let trace = troubled(Trouble::Resets, 0);
    for record in trace.script.records() {
        let probe = matches!(&record.body, Body::Frame(f) if f.bytes.windows(5).any(|w| w == b"SSH-2") && f.bytes[22] < 32);
        if !probe {
            diagnosis.push(&record);
        }
    }
    Script::new("9.8 ! capture\n 9.9 ! end").records().for_each(|record| diagnosis.push(&record));
    let found = Found(diagnosis.finish().expect("a trace"));
    assert_eq!(found.outcome(), "reset-after-handshake");
    assert_eq!(found.cleared().iter().filter(|c| c.starts_with("azure") || c.starts_with("vm")).count(), 0);
}

#[test]
fn a_stall_behind_our_identification_is_placed() {
    for box_at in 0..3_u8 {
        let trace = troubled(Trouble::Stalls, box_at);
        let found = found(&trace);
        assert_eq!(found.outcome(), "stalled");
        let next = box_at + 1;
        let spared = format!("spares {}-end everyone", next + 1);
        let rule = "identification-stops";
        assert!(found.claims(rule).contains(&spared), "{box_at}: {:?}", found.claims(rule));
        assert!(trace.most_open <= 2 && trace.ended < 6 * SECOND, "{}", seconds(trace.ended));
    }
    let passes = found(&troubled(Trouble::Stalls, 4));
    assert!(passes.has("passes-every-hop") && passes.stands("vm-sshd-hung"));
    assert_ne!(passes.suspicion(), passes.without("passes-every-hop").suspicion());
    assert!(!passes.has("identification-stops"));
}

#[test]
fn a_black_hole_for_full_size_segments_is_placed() {
    for box_at in 0..3_u8 {
        let trace = troubled(Trouble::Swallows, box_at);
        let found = found(&trace);
        assert_eq!(found.outcome(), "stalled");
        let spared = format!("spares {}-end everyone", box_at + 2);
        assert!(found.claims("full-size-stops").contains(&spared), "{:?}", found.claims("full-size-stops"));
        assert!(!found.has("identification-stops"));
    }
}

#[test]
fn a_connection_that_is_cut_off_is_placed_without_another_one() {
    for box_at in 0..3_u8 {
        let trace = troubled(Trouble::CutsOff, box_at);
        let found = found(&trace);
        assert_eq!(found.outcome(), "no-banner");
        let spared = format!("spares {}-end everyone", box_at + 2);
        let claims = found.claims("connection-stops");
        assert!(claims.contains(&spared), "{box_at}: {claims:?}");
        assert!(
            !found.cleared().iter().any(|c| c.starts_with("edge")) || box_at > 1,
            "the hop before stands"
        );
        assert_ne!(found.suspicion(), found.without("connection-stops").suspicion());
        assert_eq!((found.0.connections, trace.most_open), (1, 1));
        assert!(trace.ended < 6 * SECOND, "{}", seconds(trace.ended));
    }
    let passes = found(&troubled(Trouble::CutsOff, 4));
    assert!(!passes.has("connection-stops"), "{:?}", passes.claims("connection-stops"));
}

#[test]
fn a_healthy_conversation_asks_for_no_second_connection() {
    let trace = run(usual(sshd));
    let connects = trace.actions.iter().filter(|(_, a)| matches!(a, Action::Connect { .. })).count();
    assert_eq!((connects, found(&trace).outcome()), (1, "open"));
    assert!(trace.ended < SECOND, "{}", seconds(trace.ended));
}

#[test]
fn what_speaks_something_else_is_not_waited_for_long() {
    let trace = troubled(Trouble::Foreign, 0);
    let found = found(&trace);
    assert_eq!(found.outcome(), "not-ssh");
    assert_eq!(found.standing()[0], "vm-other-service");
    let said = SECOND;
    assert!((said + 700 * MS..2 * SECOND).contains(&trace.ended), "{}", seconds(trace.ended));
}
