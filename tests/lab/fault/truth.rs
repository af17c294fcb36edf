//! What is true of a lab with a fault.

use whichhop::attempt::Outcome;
use whichhop::evidence::Suspect;
use whichhop::path::Segment;

use super::Fault;

/// What is true of a lab with a fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth {
    /// Right outcomes of an attempt on port 22; more than one where it depends on how long one waits, or on the port
    /// that the client happens to use.
    pub(crate) outcomes: &'static [Outcome],
    /// Where the fault is; `None` when there is none.
    pub(crate) segment: Option<Segment>,
    /// The hop that is to blame: 0 for the client, 5 for the VM. A box in front of a hop counts to it.
    pub(crate) hop: Option<u8>,
    /// The culprit: must never be cleared.
    pub(crate) guilty: Option<Suspect>,
    /// Packets seen by the client alone fit another segment just as well, so that the first of the standing suspects
    /// may lie there.
    pub(crate) beyond: bool,
    /// What there is to wait for.
    pub(crate) answers: Answers,
}

/// What the client gets for a SYN to port 22, which decides how long a trace may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// A banner, a reset, an ICMP error or a refusal by the client's own kernel, at once.
    Answered,
    /// Nothing (a powered-off VM draws an ICMP error after 3 s).
    Silent,
    /// A handshake that begins, or even completes, and then nothing.
    HalfOpen,
}

impl Fault {
    /// What a diagnosis has to find.
    pub(crate) fn truth(self) -> Truth {
        use Answers::{Answered, HalfOpen, Silent};
        use Outcome::{
            Closed, Intercepted, LocalFailure, NoBanner, NotSsh, Open, Rejected, Reset, ResetAfterHandshake,
            Stalled, Timeout,
        };

        const SILENCE: &[Outcome] = &[Timeout];
        let (outcomes, guilty, answers): (&[Outcome], Suspect, Answers) = match self {
            Self::Healthy
            | Self::EdgeSynproxy
            | Self::OpaqueAzureHealthy
            | Self::StrictEdgeHealthy
            | Self::LimitedEdgeHealthy
            | Self::GreylistedHealthy
            | Self::VpnHealthy => return NOTHING_WRONG,
            Self::VmSshdStopped
            | Self::VmInitialTtl255
            | Self::SilentTransitVmSshdStopped
            | Self::OpaqueAzureVmSshdStopped
            | Self::NatVmSshdStopped
            | Self::DetourVmSshdStopped
            | Self::BleachedDscpVmSshdStopped
            | Self::ShiftedSequenceVmSshdStopped
            | Self::UntranslatedNatVmSshdStopped
            | Self::RestoredTtlVmSshdStopped
            | Self::AsymmetricVmSshdStopped
            | Self::DroppedDscpVmSshdStopped
            | Self::StrictEdgeVmSshdStopped
            | Self::GreylistedVmSshdStopped
            | Self::VpnVmSshdStopped => (&[Reset], Suspect::VmSshdNotRunning, Answered),
            Self::VmRejectReset | Self::BleachedDscpVmRejectReset => {
                (&[Reset], Suspect::VmFirewall, Answered)
            }
            Self::VmRejectIcmp | Self::VmRejectAdmin => (&[Rejected], Suspect::VmFirewall, Answered),
            Self::VmDropIn | Self::VmDropOut => (SILENCE, Suspect::VmFirewall, Silent),
            Self::EdgeSynproxyVmDropIn => (&[NoBanner, Intercepted], Suspect::VmFirewall, HalfOpen),
            Self::VmSshdOtherPort | Self::VmSshdLoopback => (&[Reset], Suspect::VmSshdPort, Answered),
            Self::VmOff => (&[Timeout, Rejected], Suspect::VmDown, Silent),
            Self::VmSshdFrozen => (&[NoBanner], Suspect::VmSshdHung, HalfOpen),
            Self::VmSshdCloses | Self::VmSshdBusy => (&[Closed], Suspect::VmSshdRefuses, Answered),
            Self::VmOtherService => (&[NotSsh], Suspect::VmOtherService, Answered),
            // It speaks only when spoken to, and closes behind its error.
            Self::VmWebServer => (&[Closed, NotSsh, NoBanner], Suspect::VmOtherService, HalfOpen),
            Self::AzureDropBeforeTtl
            | Self::AzureDropAfterTtl
            | Self::AzureDropBack
            | Self::SilentTransitAzureDrop
            | Self::RationedTransitAzureDrop
            | Self::OpaqueAzureDrop
            | Self::NatAzureDrop
            | Self::NatPortsAzureDrop
            | Self::StrictEdgeAzureDrop => (SILENCE, Suspect::AzureNsg, Silent),
            Self::AzureReset
            | Self::AzureInjectsFixedTtl
            | Self::AzureInjectsCopiedTtl
            | Self::AsymmetricAzureReset
            | Self::ClampedMssAzureReset
            | Self::ShiftedSequenceAzureReset
            | Self::RationedPathAzureReset
            | Self::StrictEdgeAzureReset
            | Self::LimitedEdgeAzureReset => (&[Reset], Suspect::AzureFirewall, Answered),
            Self::AzureAdminProhibited => (&[Rejected], Suspect::AzureFirewall, Answered),
            Self::AzureEndpointWrongPort => (&[Reset], Suspect::AzureEndpoint, Answered),
            Self::AzureBalancerDeadHost => (&[Timeout, Rejected], Suspect::AzureLoadBalancer, Silent),
            Self::AzureBalancerSilent => (&[Intercepted], Suspect::AzureLoadBalancer, HalfOpen),
            Self::AzureFirewallCloses => (&[Intercepted], Suspect::AzureFirewall, Answered),
            Self::AzureInjectsBeside => (&[Reset], Suspect::AzureIds, Answered),
            Self::AzureResetOnSsh => (&[ResetAfterHandshake], Suspect::AzureIds, Answered),
            Self::AzureStallOnSsh => (&[Stalled], Suspect::AzureIds, HalfOpen),
            Self::AzureRejectsSsh => (&[Stalled], Suspect::AzureFirewall, HalfOpen),
            Self::TransitBlackhole => (SILENCE, Suspect::TransitRoute, Silent),
            Self::TransitUnreachable => (&[Rejected], Suspect::TransitRoute, Answered),
            Self::TransitProxyResets => (&[Intercepted], Suspect::TransitFilter, Answered),
            Self::TransitResetOnSsh => (&[ResetAfterHandshake], Suspect::TransitFilter, Answered),
            Self::TransitMtu => (&[Stalled], Suspect::TransitMtu, HalfOpen),
            Self::TransitInjectsCopiedTtl
            | Self::TransitInjectsRandomTtl
            | Self::TransitInjectsCounter
            | Self::TransitInjectsBeside
            | Self::TransitResetsAnswer => (&[Reset], Suspect::TransitFilter, Answered),
            // The client's kernel believes neither of these resets.
            Self::TransitInjectsNoAck => (SILENCE, Suspect::TransitFilter, Silent),
            Self::TransitInjectsOldAck => (&[Reset, Timeout], Suspect::TransitFilter, Silent),
            // Half of the connections go through.
            Self::EcmpTransitDrop => (&[Timeout, Open], Suspect::TransitFilter, Silent),
            Self::EdgeDropBeforeTtl | Self::EdgeDropAfterTtl | Self::EdgeDropBack | Self::VpnEdgeDrop => {
                (SILENCE, Suspect::EdgeFirewall, Silent)
            }
            Self::VpnClientFrozen => (SILENCE, Suspect::ClientSecuritySoftware, Silent),
            Self::VpnDead => (SILENCE, Suspect::EdgeRoute, Silent),
            Self::EdgeDropAcks | Self::EdgeRejectsAcks => (&[NoBanner], Suspect::EdgeFirewall, HalfOpen),
            Self::EdgeReset
            | Self::EdgeResetBehindNat
            | Self::EdgeInjectsEchoes
            | Self::EdgeInjectsThree
            | Self::ClientTwoGatewaysEdgeReset
            | Self::SilentTransitEdgeReset
            | Self::EdgeLeadsElsewhere
            | Self::VpnEdgeReset => (&[Reset], Suspect::EdgeFirewall, Answered),
            Self::EdgeAdminProhibited => (&[Rejected], Suspect::EdgeFirewall, Answered),
            Self::EdgeRedirectClosed => (&[Reset], Suspect::EdgeProxy, Answered),
            Self::EdgeProxySilent | Self::EdgeTproxySilent | Self::EdgeProxyHttp => {
                (&[Intercepted], Suspect::EdgeProxy, HalfOpen)
            }
            Self::EdgeProxyResets | Self::EdgeProxyCloses | Self::EdgeProxyRelays => {
                (&[Intercepted], Suspect::EdgeProxy, Answered)
            }
            Self::EdgeResetOnSsh | Self::EdgeResetOnBanner => {
                (&[ResetAfterHandshake], Suspect::EdgeIds, Answered)
            }
            Self::EdgeStallOnSsh => (&[Stalled], Suspect::EdgeIds, HalfOpen),
            Self::EdgeStallOnBanner => (&[NoBanner], Suspect::EdgeIds, HalfOpen),
            Self::ClientDropOut => (&[LocalFailure], Suspect::ClientFirewallOut, Silent),
            Self::ClientRejectOut => (&[LocalFailure], Suspect::ClientFirewallOut, Answered),
            Self::ClientDropIn => (&[Outcome::HalfOpen], Suspect::ClientFirewallIn, HalfOpen),
            Self::ClientRedirect => (&[Intercepted], Suspect::ClientProxy, HalfOpen),
            Self::ClientProxyCloses => (&[Intercepted], Suspect::ClientProxy, Answered),
            Self::ClientNoRoute | Self::ClientPolicyProhibit => {
                (&[LocalFailure], Suspect::ClientRoute, Answered)
            }
            Self::ClientWrongNeighbour => (&[Timeout], Suspect::ClientRoute, Silent),
            // Its kernel asks for the gateway's link-layer address for 3 s.
            Self::ClientDeadGateway | Self::ClientPolicyDeadGateway => {
                (&[LocalFailure], Suspect::ClientRoute, Silent)
            }
        };
        Truth {
            outcomes,
            segment: Some(guilty.segment()),
            hop: Some(self.hop(guilty.segment())),
            guilty: Some(guilty),
            beyond: self.is_beyond(),
            answers,
        }
    }

    const fn hop(self, segment: Segment) -> u8 {
        match segment {
            Segment::Client => 0,
            Segment::Edge => 1,
            Segment::Transit => match self {
                Self::TransitBlackhole
                | Self::TransitUnreachable
                | Self::TransitProxyResets
                | Self::TransitMtu
                | Self::EcmpTransitDrop => 2,
                _ => 3,
            },
            Segment::AzureEdge => 4,
            Segment::Vm => 5,
        }
    }

    /// Silent drops that lie at the border of two segments, or on the way back. Where a reset or an ICMP error comes
    /// back, its distance ranks the right one first; before the edge there is nothing but the client's own wire.
    const fn is_beyond(self) -> bool {
        matches!(
            self,
            // A VM that drops, a dead VM and an NSG that drops look the same.
            Self::VmDropIn
                | Self::VmDropOut
                | Self::VmOff
                | Self::AzureDropAfterTtl
                | Self::AzureBalancerDeadHost
                | Self::NatAzureDrop
                | Self::OpaqueAzureDrop
                // One hop's forward path and the next one's ingress look the same.
                | Self::AzureDropBeforeTtl
                | Self::SilentTransitAzureDrop
                | Self::RationedTransitAzureDrop
                | Self::NatPortsAzureDrop
                | Self::StrictEdgeAzureDrop
                | Self::TransitBlackhole
                | Self::EdgeDropAfterTtl
                | Self::VpnEdgeDrop
                // All flows that are tried may take the branch that drops, one time in sixteen.
                | Self::EcmpTransitDrop
                // The reset is the VM's own, or that of another host that the way was led to.
                | Self::EdgeLeadsElsewhere
                | Self::AzureEndpointWrongPort
                // Every hop answers; the way back is anybody's.
                | Self::EdgeDropBack
                | Self::AzureDropBack
                // Once the edge has answered for the VM, nobody on the way may have let it down, or all.
                | Self::EdgeSynproxyVmDropIn
                // An answer of the VM that does not come is anybody's, too.
                | Self::EdgeStallOnBanner
                | Self::EdgeDropAcks
                // A gateway that is not there is the client's mistake, or the edge's.
                | Self::ClientDeadGateway
                | Self::ClientPolicyDeadGateway
                | Self::ClientWrongNeighbour
                | Self::VpnDead
        )
    }
}

const NOTHING_WRONG: Truth = Truth {
    outcomes: &[Outcome::Open],
    segment: None,
    hop: None,
    guilty: None,
    beyond: false,
    answers: Answers::Answered,
};
