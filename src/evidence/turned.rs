//! Resets made of answers: the VM answered, and what it said was turned into a reset on its way back.

use super::answer::{PASSED, refusals, steady};
use super::distance::{agreeing, own_answer, routers, spares_elsewhere};
use super::forged::hop_limit_is_forged;
use super::suspect::INSPECTORS;
use super::translation::leads_on;
use super::{Assumption, Claim, Evidence, Scene, Strength};
use crate::attempt::Outcome;
use crate::path::{Place, hops_back};
use crate::recording::RecordNumber;

/// `reset-from-before-its-trigger`
///
/// - **Says.** No SYN that ran out drew the reset, only those that get to the end of the path; yet it came back over fewer
///   routers than the end's own answers, as many as those of hop h: what comes back is turned into a reset there.
/// - **Needs.** Two SYNs that passed hop h and ran out beyond it without the reset; at least three resets that came with one
///   and the same hop limit left; own answers of the end and of hop h, and of no other hop over as many routers; no sign
///   of packet loss.
/// - **Effect.** Implicates what inspects at hop h; spares everybody elsewhere, who would have to forge, or to have another
///   way back.
/// - **Misleads when.** The VM's answers from the failing port alone take a shorter way back. Its firewall writes resets that
///   begin with a hop limit of their own.
/// - **Rests on.** RFC 791: whoever resets what passes on its way there resets it whether or not it would get to the end.
pub(super) fn before_its_trigger(scene: &Scene<'_>) -> Option<Evidence> {
    let trigger = refusals(scene).filter(|_| scene.outcome == Outcome::Reset)?;
    let drawn_at_end = scene.place(trigger.at_most) == Place::END;
    if !drawn_at_end || !steady(&trigger.replies) || !scene.is_lossless() {
        return None;
    }
    if hop_limit_is_forged(scene) || leads_on(scene).is_some() {
        return None;
    }
    let (_, reset) = trigger.replies.first()?;
    let back = hops_back(reset.hop_limit?);
    let (of_end, end) = own_answer(scene, Place::END)?;
    if hops_back(of_end) <= back {
        return None;
    }
    let (place, here) = agreeing(scene, back, (1..trigger.at_most).map(Place))?;
    let passed: Vec<RecordNumber> = scene
        .port_probes()
        .filter(|p| place.0 < p.hop_limit && p.hop_limit < trigger.at_most)
        .filter_map(|p| Some([p.record, p.time_exceeded()?.record]))
        .flatten()
        .collect();
    let spared = spares_elsewhere(scene, place, back);
    if passed.len() / 2 < PASSED || spared.is_empty() {
        return None;
    }
    let there = scene.likeliest_at(place, INSPECTORS);
    let mut claims = vec![Claim::implicates(place, place, there, Strength::Likely)];
    claims.extend(spared.iter().map(|claim| claim.unless(Assumption::PlainWay)));
    claims.extend(&spared);
    Some(Evidence {
        rule: "reset-from-before-its-trigger",
        says: format!(
            "only SYNs that get to the end of the path draw the reset, and yet it came back over {}, as do the answers of {}: an answer was turned into it there",
            routers(back),
            scene.between(place, place),
        ),
        packets: [trigger.records, passed, vec![here, end]].concat(),
        claims,
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{Found, diagnose};

    /// A way of four routers; the failing port is reset where SYNs get to its end, with `left` of the hop limit.
    fn trace(left: u8, beyond: &str) -> Found {
        diagnose(&format!(
            "0.000 ! start azure=198.18.3.0/24
             0.000 ! route gw=10.22.1.1
             0.000 ! connect 0 started
             0.001 > S id=1 | R. ttl={left} seq=77
             0.006 ! connect 0 failed 111
             0.02 > 20000:22 S ttl=1 | 11/0 10.22.1.1
             0.04 > 20000:22 S ttl=2 | 11/0 198.18.1.1
             0.06 > 20000:22 S ttl=3 | 11/0 198.18.2.1
             {beyond}
             0.10 > 20000:22 S ttl=5 | R. ttl={left} seq=78
             0.12 > 20002:22 S ttl=6 | R. ttl={left} seq=79
             1.01 > 20009:63000 S ttl=1 | 11/0 10.22.1.1
             1.02 > 20009:63000 S ttl=2 | 11/0 198.18.1.1
             1.03 > 20009:63000 S ttl=3 | 11/0 198.18.2.1
             1.04 > 20009:63000 S ttl=4 | 11/0 198.18.3.1
             1.05 > 20009:63000 S ttl=5 | R. ttl=60
             1.11 > echo 1 ttl=1 | 11/0 10.22.1.1
             1.12 > echo 2 ttl=2 | 11/0 198.18.1.1
             1.13 > echo 3 ttl=3 | 11/0 198.18.2.1
             1.14 > echo 4 ttl=4 | 11/0 198.18.3.1
             1.15 > echo 5 ttl=5 | echo-reply 5 ttl=60
             9.0 ! capture
             9.1 ! end"
        ))
    }

    const PASSED: &str = "0.08 > 20000:22 S ttl=4 | 11/0 198.18.3.1
             0.09 > 20001:22 S ttl=4 | 11/0 198.18.3.1";
    const RULE: &str = "reset-from-before-its-trigger";

    #[test]
    fn an_answer_turned_into_a_reset_in_transit() {
        let found = trace(62, PASSED);
        assert_eq!(found.claims(RULE)[0], "likely 3 transit-filter");
        assert_eq!(found.standing()[0], "transit-filter");
        assert_ne!(found.without(RULE).suspicion(), found.suspicion());
        for assumption in ["no-forgery", "plain-way"] {
            assert!(found.is_spared("vm-sshd-not-running", assumption), "{assumption}");
            assert!(found.is_spared("edge-firewall", assumption), "{assumption}");
        }
        assert!(!found.cleared().contains(&"vm-sshd-not-running"));
    }

    #[test]
    fn the_ends_own_reset_is_none() {
        assert!(!trace(60, PASSED).rules().contains(RULE));
        assert!(!trace(58, PASSED).rules().contains(RULE), "farther than the end answers from");
    }

    #[test]
    fn one_syn_beyond_may_be_chance() {
        let once = PASSED.lines().next().unwrap_or_default();
        assert!(!trace(62, once).rules().contains(RULE));
    }

    #[test]
    fn a_reset_that_comes_from_no_hop_points_nowhere() {
        assert!(!trace(50, PASSED).rules().contains(RULE));
        assert!(!trace(120, PASSED).rules().contains(RULE));
    }
}
