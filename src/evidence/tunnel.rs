//! Tunnels of this machine's own: what is sent into one goes no farther than the program behind it takes it.

use super::{Capture, Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::Outcome;
use crate::path::Place;

/// `tunnel-not-read`
///
/// - **Says.** The program behind the tunnel (a VPN's) read none of the packets that were sent into it.
/// - **Needs.** A tun device that the route leads to, whose count of packets read was the same when the trace began and when
///   it ended; the SYN in a capture that missed nothing, no packet to the target on a link that is no tunnel, and no answer
///   to any.
/// - **Effect.** Implicates security software on the client; clears everything beyond the client, and there all but that
///   software and the routing that leads to it.
/// - **Misleads when.** Marks of the local firewall lead packets into another tunnel than the one that routing tells.
/// - **Rests on.** Linux shows a packet to AF_PACKET taps before it hands it to the driver, and counts what goes into a tun
///   device as transmitted when it is read (drivers/net/tun.c, tun_put_user).
pub(super) fn not_read(scene: &Scene<'_>) -> Option<Evidence> {
    let tunnel = scene.tunnel.filter(|t| t.first.1 < t.last.1 && t.first.0 == t.last.0)?;
    let silent = scene.probes.iter().all(|p| p.replies.is_empty());
    if scene.outcome != Outcome::Timeout || scene.capture != Capture::Whole || !silent {
        return None;
    }
    let syn = scene.attempt?.timeline.first()?;
    let at = Place::CLIENT;
    let local = Suspects::of(&[Suspect::ClientSecuritySoftware, Suspect::ClientRoute]);
    Some(Evidence {
        rule: "tunnel-not-read",
        says: "no packet that was sent into the tunnel was read by the program behind it, a VPN's".to_owned(),
        packets: vec![tunnel.first.1, syn.record, tunnel.last.1],
        claims: vec![
            Claim::implicates(at, at, Suspects::of(&[Suspect::ClientSecuritySoftware]), Strength::Likely),
            Claim::clears(at, at, Suspects::all().without(local)),
            Claim::clears_the_network(),
        ],
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{Found, diagnose};

    const RULE: &str = "tunnel-not-read";

    /// A trace through tun0, of which so many packets were read when it began and when it ended.
    fn trace(link: &str, begin: &str, end: &str, lines: &str) -> Found {
        diagnose(&format!(
            "{link}
             0.000 ! start
             0.000 ! route on=tun0
             {begin}
             0.000 ! connect 0 started
             0.001 > S id=1
             1.001 > S id=2
             {lines}
             3.4 ! connect 0 abandoned 3400
             {end}
             9.0 ! capture
             9.1 ! end"
        ))
    }

    const SEVEN: &str = "0.0 ! tunnel on=tun0 read=7";
    const STILL_SEVEN: &str = "8.0 ! tunnel on=tun0 read=7";

    #[test]
    fn a_program_that_reads_nothing_stops_everything() {
        let found = trace("bare", SEVEN, STILL_SEVEN, "");
        assert_eq!(found.outcome(), "timeout");
        assert_eq!(found.cites(RULE), [3, 5, 8]);
        assert_eq!(found.standing(), ["client-security-software", "client-route"]);
        assert_eq!(found.segment(), Some("client"));
        assert!(
            found.cleared().contains(&"edge-firewall") && found.cleared().contains(&"client-firewall-in")
        );
    }

    #[test]
    fn one_that_reads_may_lose_what_it_reads_or_not() {
        let found = trace("bare", SEVEN, "8.0 ! tunnel on=tun0 read=9", "");
        assert!(!found.has(RULE));
        assert!(found.stands("client-security-software") && found.stands("edge-firewall"));
    }

    #[test]
    fn one_count_alone_tells_nothing() {
        assert!(!trace("bare", SEVEN, "", "").has(RULE));
        assert!(!trace("bare", "", "", "").has(RULE));
        let other = STILL_SEVEN.replace("tun0", "tun1");
        assert!(!trace("bare", &SEVEN.replace("tun0", "tun1"), &other, "").has(RULE), "not this route's");
    }

    #[test]
    fn what_goes_elsewhere_or_is_answered_was_not_stopped_there() {
        assert!(!trace("", SEVEN, STILL_SEVEN, "").has(RULE), "on a link that is no tunnel");
        let answered = trace("bare", SEVEN, STILL_SEVEN, "2.0 > 20000:22 S ttl=1 | 11/0 10.22.1.1");
        assert!(!answered.has(RULE));
        let lossy = trace("bare", SEVEN, STILL_SEVEN, "2.0 ! capture lost=3");
        assert!(!lossy.has(RULE));
    }
}
