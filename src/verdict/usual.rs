//! Who usually does it: the order among suspects that the evidence leaves equal.

use crate::attempt::Outcome;
use crate::evidence::Suspect;

/// Place of `suspect` in the order of the usual ones for an outcome; the smaller, the more usual.
pub(super) fn rank(outcome: Outcome, suspect: Suspect) -> usize {
    use Suspect as S;
    let usual: &[Suspect] = match outcome {
        Outcome::Timeout => &[
            // It lets nothing in but what a rule allows; most edges let everything out.
            S::AzureNsg,
            S::EdgeFirewall,
            S::VmFirewall,
            S::TransitRoute,
            S::VmDown,
            S::AzurePublicIp,
            S::AzureFirewall,
            S::TransitFilter,
            S::EdgeRoute,
        ],
        Outcome::Reset => &[
            S::EdgeFirewall,
            S::VmSshdNotRunning,
            S::VmSshdPort,
            S::VmFirewall,
            S::AzureFirewall,
            S::EdgeIds,
            S::TransitFilter,
            S::EdgeProxy,
        ],
        Outcome::Rejected => &[
            S::EdgeFirewall,
            S::VmFirewall,
            S::VmDown,
            S::TransitRoute,
            S::EdgeRoute,
            S::AzureFirewall,
            S::AzureRoute,
            S::AzurePublicIp,
            S::TransitFilter,
        ],
        Outcome::Intercepted => {
            &[S::ClientProxy, S::EdgeProxy, S::EdgeFirewall, S::AzureFirewall, S::VmFirewall]
        }
        Outcome::ResetAfterHandshake => {
            &[S::EdgeIds, S::VmSshdRefuses, S::EdgeFirewall, S::EdgeProxy, S::TransitFilter, S::AzureIds]
        }
        Outcome::Closed => &[S::VmSshdRefuses, S::EdgeProxy, S::VmOtherService],
        Outcome::NotSsh => &[S::VmOtherService, S::EdgeProxy, S::AzurePublicIp],
        Outcome::NoBanner => &[S::VmSshdHung, S::EdgeProxy, S::EdgeFirewall, S::EdgeIds, S::VmFirewall],
        Outcome::Stalled => &[S::TransitMtu, S::VmSshdHung, S::EdgeIds],
        Outcome::HalfOpen => &[S::ClientFirewallIn],
        Outcome::LocalFailure => &[S::ClientFirewallOut, S::ClientRoute],
        Outcome::Open | Outcome::Completed => &[],
    };
    usual.iter().position(|s| *s == suspect).unwrap_or(usual.len() + suspect as usize)
}
