use std::fmt::Write as _;

use crate::testing::{Found, diagnose};

/// Routers on the way to the target, which is the fifth hop.
const ROUTERS: [&str; 4] = ["10.22.1.1", "198.18.1.2", "198.18.2.2", "198.18.3.2"];

const BLOCKED: &str = "GET / HTTP/1.1\\r\\nHost: blocked.example\\r\\n\\r\\n";
const FREE: &str = "GET / HTTP/1.1\\r\\nHost: free.example\\r\\n\\r\\n";

/// A capture of trials, each on a connection of its own.
struct Sweep {
    lines: String,
    trials: u16,
}

impl Sweep {
    fn new() -> Self {
        Self { lines: String::new(), trials: 0 }
    }

    /// A request with a hop limit, and what comes of it.
    fn trial(&mut self, request: &str, hop: u8, replies: &[String]) {
        let at = f64::from(self.trials) * 0.2;
        let ports = format!("{}:22", 20_000 + self.trials);
        self.trials += 1;
        self.line(at, &format!("> {ports} S"));
        self.line(at + 0.01, &format!("< {ports} S."));
        self.line(at + 0.02, &format!("> {ports} ."));
        self.line(at + 0.03, &format!("> {ports} P. ttl={hop} data=\"{request}\""));
        for (n, reply) in replies.iter().enumerate() {
            let ports = if reply.starts_with("11/") { "" } else { ports.as_str() };
            self.line(at + 0.04 + n as f64 * 0.001, &format!("< {ports} {reply}"));
        }
    }

    fn line(&mut self, at: f64, text: &str) {
        writeln!(self.lines, "{at:.3} {text}").unwrap();
    }

    fn diagnose(&self) -> Found {
        diagnose(&self.lines)
    }

    /// Rounds of both requests at every hop limit: the free one is let through, and the blocked one meets `fate`.
    fn rounds(rounds: usize, fate: impl Fn(u8) -> Vec<String>) -> Self {
        let mut sweep = Self::new();
        sweep.more_rounds(rounds, fate);
        sweep
    }

    fn more_rounds(&mut self, rounds: usize, fate: impl Fn(u8) -> Vec<String>) {
        for hop in 1..=6 {
            for _ in 0..rounds {
                self.trial(BLOCKED, hop, &fate(hop));
                self.trial(FREE, hop, &through(FREE, hop));
            }
        }
    }
}

fn exceeded(hop: u8) -> String {
    format!("11/0 {}", ROUTERS[usize::from(hop) - 1])
}

fn len(request: &str) -> usize {
    request.replace("\\r", "\r").replace("\\n", "\n").len()
}

/// What comes of a request that nobody minds.
fn through(request: &str, hop: u8) -> Vec<String> {
    if hop < 5 {
        return vec![exceeded(hop)];
    }
    vec![format!("P. ack={} data=\"HTTP/1.1 400 No\\r\\n\"", 1001 + len(request))]
}

fn reset(ttl: u8) -> String {
    format!("R. seq=9001 ack={} ttl={ttl}", 1001 + len(BLOCKED))
}

/// A box before hop `place`, that answers with resets which start with a hop limit of 64.
fn box_at(place: u8) -> impl Fn(u8) -> Vec<String> {
    move |hop| if hop < place { vec![exceeded(hop)] } else { vec![reset(65 - place)] }
}

const RESET: &str = "request-answered-before-path-end";
const SWALLOWED: &str = "request-swallowed";
const PASSES: &str = "request-passes-every-hop";

#[test]
fn a_reset_is_placed_by_the_smallest_hop_limit_that_draws_it() {
    for (place, suspect) in [(1, "edge-ids"), (2, "transit-filter"), (3, "transit-filter")] {
        let found = Sweep::rounds(2, box_at(place)).diagnose();
        assert_eq!(found.outcome(), "reset-after-handshake");
        assert_eq!(found.claims(RESET)[0].split(' ').nth(1), Some(place.to_string().as_str()));
        assert!(found.claims(RESET).contains(&format!("clears {}-end everyone", place + 1)), "{place}");
        assert_eq!(found.standing()[0], suspect, "{place}");
        assert!(found.hops(suspect).contains(&place) && !found.hops(suspect).contains(&(place + 1)));
        assert!(found.cleared().contains(&"vm-ids"), "it is beyond");
    }
}

#[test]
fn one_trial_for_each_hop_limit_leaves_a_hop_more() {
    let found = Sweep::rounds(1, box_at(2)).diagnose();
    assert!(found.claims(RESET).contains(&"clears 4-end everyone".to_owned()), "{:?}", found.claims(RESET));
    assert_eq!(found.hops("transit-filter"), [2, 3]);
    assert_eq!(found.standing()[0], "transit-filter");
}

#[test]
fn hops_are_cleared_only_by_what_passed_them_later() {
    let one = Sweep::rounds(2, box_at(4)).diagnose();
    assert!(one.stands("edge-ids"), "it may have let the first few pass");
    let mut twice = Sweep::rounds(2, box_at(4));
    twice.more_rounds(2, box_at(4));
    let found = twice.diagnose();
    assert!(found.claims(RESET).contains(&"clears 1 everyone".to_owned()), "{:?}", found.claims(RESET));
    assert!(!found.stands("edge-ids"));
}

#[test]
fn data_and_a_fin_are_answers_too() {
    let page = |hop: u8| {
        let ack = 1001 + len(BLOCKED);
        let words = "HTTP/1.1 403 No\\r\\n";
        let page = format!("FP. ack={ack} ttl=63 data=\"{words}\"");
        if hop < 2 { vec![exceeded(hop)] } else { vec![page] }
    };
    let found = Sweep::rounds(2, page).diagnose();
    assert!(found.says(RESET).contains("was answered with data"), "{}", found.says(RESET));
    assert!(found.claims(RESET).contains(&"clears 3-end everyone".to_owned()));
    let unasked = |hop: u8| {
        let spoke = "P. data=\"SSH-2.0-x\\r\\n\"".to_owned();
        if hop < 5 { vec![exceeded(hop), spoke] } else { through(BLOCKED, hop) }
    };
    let spoke_first = Sweep::rounds(2, unasked).diagnose();
    assert!(!spoke_first.has(RESET), "it acknowledges nothing of the request");
}

#[test]
fn an_injector_on_a_copy_is_told_from_one_in_the_way() {
    let beside = |hop: u8| match hop {
        1 => vec![exceeded(1)],
        2..=4 => vec![reset(63), exceeded(hop)],
        _ => vec![reset(63)],
    };
    let found = Sweep::rounds(2, beside).diagnose();
    assert!(found.says(RESET).contains("works on a copy"), "{}", found.says(RESET));
    let in_the_way = Sweep::rounds(2, box_at(2)).diagnose();
    assert!(!in_the_way.says(RESET).contains("copy"));
}

#[test]
fn copied_hop_limits_tell_the_distance() {
    // At hop 2: it sees one less than was sent, and its answer crosses one router.
    let copied = |hop: u8| match hop {
        1..=2 => vec![exceeded(hop)],
        _ => vec![reset(hop - 2)],
    };
    let found = Sweep::rounds(1, copied).diagnose();
    assert_eq!(found.claims(RESET)[0], "likely 2 transit-filter");
    assert!(found.stands("edge-ids"), "nothing nearer is cleared");
}

#[test]
fn silence_is_placed_between_the_last_that_came_back_and_the_first_that_did_not() {
    let swallows = |place: u8| move |hop: u8| if hop < place { vec![exceeded(hop)] } else { vec![] };
    for (place, suspect) in [(1, "edge-ids"), (3, "transit-filter")] {
        let found = Sweep::rounds(2, swallows(place)).diagnose();
        assert_eq!(found.outcome(), "no-banner");
        assert!(found.claims(SWALLOWED).contains(&format!("spares {}-end everyone", place + 1)), "{place}");
        let first = found.standing()[0];
        assert_eq!(first.split('-').next(), suspect.split('-').next(), "{place}: {first}");
        assert!(found.hops(suspect).contains(&place));
    }
}

#[test]
fn silence_clears_nobody_where_anything_for_comparison_was_lost() {
    let mut sweep = Sweep::rounds(2, |hop| if hop < 2 { vec![exceeded(hop)] } else { vec![] });
    sweep.trial(FREE, 3, &[]);
    let found = sweep.diagnose();
    assert!(!found.claims(SWALLOWED).iter().any(|claim| claim.starts_with("clears")));
}

#[test]
fn what_is_unclear_is_not_said() {
    let says_nothing = |sweep: &Sweep, why: &str| {
        let found = sweep.diagnose();
        assert!(![RESET, SWALLOWED, PASSES].iter().any(|rule| found.has(rule)), "{why}: {}", found.rules());
    };
    says_nothing(&Sweep::rounds(2, |hop| through(BLOCKED, hop)), "neither fails");
    let once = |hop: u8| if hop == 2 { vec![reset(63)] } else { through(BLOCKED, hop) };
    says_nothing(&Sweep::rounds(1, once), "one reset alone");
    let mut both = Sweep::new();
    for hop in 1..=4 {
        for request in [BLOCKED, FREE, BLOCKED, FREE] {
            both.trial(request, hop, &[reset(63)]);
        }
    }
    says_nothing(&both, "both are answered");
    let mut each_in_turn = Sweep::new();
    for hop in 1..=4 {
        let (stopped, passing) = if hop % 2 == 0 { (BLOCKED, FREE) } else { (FREE, BLOCKED) };
        for _ in 0..2 {
            each_in_turn.trial(stopped, hop, &[reset(63)]);
            each_in_turn.trial(passing, hop, &[exceeded(hop)]);
        }
    }
    says_nothing(&each_in_turn, "now the one, now the other");
}

#[test]
fn two_routers_at_a_hop_may_be_two_ways_of_different_lengths() {
    let mut sweep = Sweep::rounds(2, box_at(3));
    sweep.trial(BLOCKED, 1, &["11/0 10.22.1.99".to_owned()]);
    let found = sweep.diagnose();
    assert!(found.has(RESET));
    assert!(
        !found.claims(RESET).iter().any(|claim| claim.starts_with("clears")),
        "{:?}",
        found.claims(RESET)
    );
    assert!(found.stands("vm-ids"));
}

#[test]
fn what_goes_on_farther_at_other_times_is_not_placed() {
    let mut sweep = Sweep::rounds(2, box_at(3));
    sweep.trial(BLOCKED, 4, &[exceeded(4)]);
    assert!(!sweep.diagnose().has(RESET), "the port may decide, or the way");
}

#[test]
fn a_reset_from_as_far_as_the_target_clears_nobody() {
    let far = |hop: u8| if hop < 3 { vec![exceeded(hop)] } else { vec![reset(60)] };
    let found = Sweep::rounds(2, far).diagnose();
    assert!(
        !found.claims(RESET).iter().any(|claim| claim.starts_with("clears")),
        "{:?}",
        found.claims(RESET)
    );
}

#[test]
fn what_fails_where_the_path_ends_has_passed_every_hop() {
    let dropped = |hop: u8| if hop < 5 { vec![exceeded(hop)] } else { vec![] };
    for (sweep, draws) in [(Sweep::rounds(2, box_at(5)), "a reset"), (Sweep::rounds(2, dropped), "nothing")] {
        let found = sweep.diagnose();
        assert!(found.says(PASSES).contains(&format!("(198.18.3.2) unharmed and draws {draws}")), "{draws}");
        assert_eq!(found.claims(PASSES)[0], "likely end vm-firewall vm-ids");
        assert!(found.stands("edge-ids") && found.stands("vm-ids"), "nobody is cleared");
    }
    let mut nobody_served = Sweep::new();
    for hop in 1..=6 {
        for request in [BLOCKED, FREE, BLOCKED, FREE] {
            nobody_served.trial(request, hop, &dropped(hop));
        }
    }
    assert!(!nobody_served.diagnose().has(PASSES), "both fail");
}

#[test]
fn a_request_is_told_by_what_it_asks_for() {
    let found = Sweep::rounds(2, box_at(2)).diagnose();
    let says = found.says(RESET);
    assert!(says.contains("\"blocked.example\", sent so that it cannot get past hop 2"), "{says}");
    assert!(says.contains("\"free.example\" came back from hop 2 (198.18.1.2)"), "{says}");
}

#[test]
fn an_identification_that_is_swallowed_behind_a_banner_stalls() {
    let mut sweep = Sweep::new();
    for hop in [1, 1, 2, 2, 3, 3, 4, 4] {
        for (request, passes) in [("SSH-2.0-x\\r\\n", hop < 2), ("nothing of the kind", true)] {
            let banner = "P. data=\"SSH-2.0-vm\\r\\n\"".to_owned();
            let replies = if passes { vec![exceeded(hop), banner] } else { vec![banner] };
            sweep.trial(request, hop, &replies);
        }
    }
    let found = sweep.diagnose();
    assert_eq!(found.outcome(), "stalled");
    assert!(found.says(SWALLOWED).contains("SSH identification"), "{}", found.says(SWALLOWED));
    assert!(!found.stands("vm-ids"));
}

#[test]
fn without_the_rules_nothing_is_ruled_out() {
    let swallows = |hop: u8| if hop < 2 { vec![exceeded(hop)] } else { vec![] };
    for (rule, sweep) in [(RESET, Sweep::rounds(2, box_at(2))), (SWALLOWED, Sweep::rounds(2, swallows))] {
        let found = sweep.diagnose();
        assert!(!found.stands("vm-ids"), "{rule}");
        assert!(found.without(rule).stands("vm-ids"), "{rule}");
    }
    let found = Sweep::rounds(2, box_at(5)).diagnose();
    assert_ne!(found.suspicion(), found.without(PASSES).suspicion());
}
