//! Faults whose diagnosis still waits for a technique: the one place to raise the bar.

use super::Fault;

impl Fault {
    /// What a trace needs so as to find the right outcome and to suspect the right segment first; `None` where it
    /// does. That the culprit is never cleared holds for all of them.
    pub(crate) const fn awaits(self) -> Option<&'static str> {
        match self {
            Self::AzureResetOnSsh
            | Self::AzureStallOnSsh
            | Self::TransitResetOnSsh
            | Self::EdgeResetOnSsh
            | Self::EdgeStallOnSsh => {
                Some("the client's identification sent, with TTLs that run out on the way")
            }
            Self::TransitMtu => Some("segments of full size sent"),
            Self::AzureBalancerSilent | Self::AzureFirewallCloses | Self::TransitProxyResets => {
                Some("the distance of the SYN/ACK")
            }
            Self::AzureInjectsCopiedTtl | Self::TransitInjectsCopiedTtl => {
                Some("the reset's TTL against the SYN's")
            }
            Self::TransitInjectsBeside | Self::AzureInjectsBeside => {
                Some("the reset's distance, where time-exceeded and the VM's own answer come too")
            }
            Self::EcmpTransitDrop => Some("more than one flow, each along its own way"),
            _ => None,
        }
    }
}
