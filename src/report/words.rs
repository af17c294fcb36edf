//! Plain words for what the types name: segments, suspects, strengths, outcomes.

use crate::attempt::Outcome;
use crate::evidence::{Assumption, Strength, Suspect};
use crate::packet::Undecoded;
use crate::path::Segment;

/// A segment as the subject of a sentence.
pub(super) const fn segment(segment: Segment) -> &'static str {
    match segment {
        Segment::Client => "the client itself",
        Segment::Edge => "the organisation's edge",
        Segment::Transit => "transit",
        Segment::AzureEdge => "Azure's edge",
        Segment::Vm => "the VM",
    }
}

/// A suspect, in words that need the name of its segment beside them.
pub(super) const fn suspect(suspect: Suspect) -> &'static str {
    match suspect {
        Suspect::ClientFirewallOut => "the local firewall (outbound)",
        Suspect::ClientFirewallIn => "the local firewall (inbound)",
        Suspect::ClientProxy => "a local proxy or redirect",
        Suspect::ClientSecuritySoftware => "security software",
        Suspect::ClientRoute => "the local routing table",
        Suspect::ClientName => "the name resolves to a wrong or dead address",
        Suspect::ClientSshConfig => "the ssh configuration",
        Suspect::EdgeFirewall => "a firewall",
        Suspect::EdgeProxy => "a proxy",
        Suspect::EdgeIds | Suspect::AzureIds => "an intrusion prevention system",
        Suspect::EdgeRoute | Suspect::TransitRoute => "routing",
        Suspect::TransitFilter => "a filter",
        Suspect::TransitMtu => "a path MTU that swallows full-size packets",
        Suspect::AzureEndpoint => "a classic endpoint",
        Suspect::AzureAcl => "a classic endpoint's access list",
        Suspect::AzureNsg => "a network security group",
        Suspect::AzureLoadBalancer => "a load balancer",
        Suspect::AzureFirewall => "Azure Firewall (or another appliance)",
        Suspect::AzureRoute => "a user-defined or system route",
        Suspect::AzurePublicIp => "the address is stale or not this VM's",
        Suspect::VmDown => "the VM is down",
        Suspect::VmFirewall => "the VM's firewall",
        Suspect::VmIds => "an intrusion prevention system on the VM",
        Suspect::VmSshdNotRunning => "sshd does not run",
        Suspect::VmSshdPort => "sshd listens on another port",
        Suspect::VmSshdRefuses => "sshd turns the client away before its banner",
        Suspect::VmSshdHung => "sshd hangs",
        Suspect::VmOtherService => "something other than sshd answers on the port",
        Suspect::VmRoute => "the VM's routing",
    }
}

/// What a verdict takes for granted.
pub(super) const fn assumption(assumption: Assumption) -> &'static str {
    match assumption {
        Assumption::NoForgery => "nobody makes packets look as if they came from elsewhere",
        Assumption::OwnAddress => {
            "the address is the VM's own: it is not stale, and no load balancer, endpoint or firewall answers on it or leads it elsewhere"
        }
        Assumption::EveryBoxAHop => "every box on the way is a hop of the path",
        Assumption::KnownBorder => "whose a hop is, its address says",
        Assumption::PlainWay => {
            "the way back is as long as the way there, no box raises hop limits, and no answer died on its way"
        }
        Assumption::OneWayBack => "all that comes back from one place takes one way, however long",
        Assumption::FlowsAlike => {
            "whoever is on the way of several connections to one port treats them alike, whatever their source ports"
        }
        Assumption::HalvesAlike => {
            "whoever passes whole SYNs passes halves of them, and the VM's firewall sees none before it is whole"
        }
        Assumption::RestInOrder => {
            "what lies behind the box that keeps the connection, or leads it elsewhere, is in order"
        }
    }
}

/// How strongly a suspect stands, as an adverb before a verb; empty where there is no doubt.
pub(super) const fn adverb(strength: Strength) -> &'static str {
    match strength {
        Strength::Proven => "",
        Strength::Likely => "most likely ",
        Strength::Possible => "possibly ",
    }
}

/// What the guilty one does to SSH to `target`, and what became of the `conversation` where an identification was read.
pub(super) fn deed(outcome: Outcome, conversation: Option<Outcome>, target: &str) -> String {
    match (outcome, conversation) {
        (Outcome::Stalled, Some(Outcome::Closed)) => {
            return format!("closes SSH to {target} after the banner");
        }
        (Outcome::Intercepted, Some(Outcome::Closed)) => {
            return format!("intercepts SSH to {target}, and closes it after the banner");
        }
        (Outcome::Intercepted, Some(Outcome::ResetAfterHandshake)) => {
            return format!("intercepts SSH to {target}, and resets it after the banner");
        }
        (Outcome::Intercepted, Some(Outcome::Stalled)) => {
            return format!("intercepts SSH to {target}, and stalls it after the banner");
        }
        _ => {}
    }
    match outcome {
        Outcome::LocalFailure => format!("stops SSH to {target} before any packet leaves"),
        Outcome::Intercepted => format!("intercepts SSH to {target}"),
        Outcome::Rejected => format!("rejects SSH to {target}"),
        Outcome::Reset => format!("resets SSH to {target}"),
        Outcome::HalfOpen => format!("keeps SSH to {target} from completing its handshake"),
        Outcome::Timeout => format!("drops SSH to {target}"),
        Outcome::ResetAfterHandshake => format!("resets SSH to {target} after the handshake"),
        Outcome::Closed => format!("closes SSH to {target} before the banner"),
        Outcome::NotSsh => format!("answers SSH to {target} with something that is not SSH"),
        Outcome::NoBanner => format!("keeps SSH to {target} silent after the handshake"),
        Outcome::Stalled => format!("stalls SSH to {target} after the banner"),
        Outcome::Open | Outcome::Completed => format!("lets SSH to {target} through"),
    }
}

/// How an attempt ended, in a few words.
pub(super) const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::LocalFailure => "the connection failed before any packet left",
        Outcome::Intercepted => "something other than the VM took the connection",
        Outcome::Rejected => "an ICMP error rejected it",
        Outcome::Reset => "it was reset",
        Outcome::HalfOpen => "the handshake never completed",
        Outcome::Timeout => "nothing answered",
        Outcome::ResetAfterHandshake => "it was reset after the handshake",
        Outcome::Closed => "it was closed before the banner",
        Outcome::NotSsh => "the answer was not SSH",
        Outcome::NoBanner => "it connected, but no banner came",
        Outcome::Stalled => "nothing came after the banner",
        Outcome::Open => "SSH answers",
        Outcome::Completed => "the handshake completed",
    }
}

/// Whether frames that could not be read are worth a word: not what is merely not IP, such as ARP.
pub(super) fn worth_telling(why: Undecoded) -> bool {
    why.may_hide_ip()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn suspects_of_one_segment_read_differently() {
        for segment in Segment::ALL {
            let all: Vec<_> = Suspect::ALL.iter().filter(|s| s.segment() == segment).collect();
            let words: BTreeSet<_> = all.iter().map(|s| suspect(**s)).collect();
            assert_eq!(words.len(), all.len(), "{segment}");
            assert!(words.iter().all(|w| !w.contains(',')), "lists of them are joined by commas");
        }
    }

    #[test]
    fn outcomes_read_differently() {
        let words: BTreeSet<_> = Outcome::ALL.iter().map(|o| outcome(*o)).collect();
        assert_eq!(words.len(), Outcome::ALL.len());
    }
}
