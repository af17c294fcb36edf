//! The faults: what each does to the lab, and what is true of it.

mod awaited;
mod changes;
mod truth;

use std::str::FromStr;

pub(super) use changes::chain;
pub(crate) use truth::{Answers, Truth};

use super::change::Change;
use super::{Family, Role};

macro_rules! faults {
    ($($variant:ident = $name:literal, $about:literal;)*) => {
        /// What is wrong with the lab.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Fault { $(#[doc = $about] $variant,)* }

        impl Fault {
            /// All of them: the healthy lab, then along the path from its far end, then hard paths.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name, as on the example's command line.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One line on what it does.
            pub(crate) const fn about(self) -> &'static str {
                match self { $(Self::$variant => $about,)* }
            }
        }
    };
}

faults! {
    Healthy = "healthy", "nothing is wrong";
    VmSshdStopped = "vm-sshd-stopped", "VM: sshd does not run";
    VmRejectReset = "vm-reject-reset", "VM: firewall rejects port 22 with a reset";
    VmRejectIcmp = "vm-reject-icmp", "VM: firewall rejects port 22 with ICMP port unreachable";
    VmRejectAdmin = "vm-reject-admin", "VM: firewall rejects port 22 with ICMP administratively prohibited";
    VmDropIn = "vm-drop-in", "VM: firewall drops port 22 on input";
    VmDropOut = "vm-drop-out", "VM: firewall drops what sshd sends";
    VmSshdOtherPort = "vm-sshd-other-port", "VM: sshd listens on port 2222";
    VmSshdLoopback = "vm-sshd-loopback", "VM: sshd listens on the loopback addresses only";
    VmOff = "vm-off", "VM: powered off; the Azure edge finds no neighbour and says so after 3 s";
    VmInitialTtl255 = "vm-initial-ttl-255", "VM: sshd does not run, and packets start with TTL 255";
    VmSshdFrozen = "vm-sshd-frozen", "VM: sshd hangs; its kernel takes the connection";
    VmSshdCloses = "vm-sshd-closes", "VM: closes each connection before a banner, as TCP wrappers do";
    VmSshdBusy = "vm-sshd-busy", "VM: sshd has as many connections as MaxStartups allows";
    VmOtherService = "vm-other-service", "VM: a mail server listens on port 22";
    VmWebServer = "vm-web-server", "VM: a web server listens on port 22";
    AzureDropBeforeTtl = "azure-drop-before-ttl", "Azure edge: drops port 22 before it looks at the TTL";
    AzureDropAfterTtl = "azure-drop-after-ttl", "Azure edge: drops port 22 when it forwards";
    AzureDropBack = "azure-drop-back", "Azure edge: drops what comes back from port 22";
    AzureReset = "azure-reset", "Azure edge: answers port 22 with a reset";
    AzureAdminProhibited = "azure-admin-prohibited", "Azure edge: answers port 22 with ICMP administratively prohibited";
    AzureEndpointWrongPort = "azure-endpoint-wrong-port", "Azure edge: leads port 22 to a port of the VM that nothing listens on";
    AzureBalancerDeadHost = "azure-balancer-dead-host", "Azure edge: leads port 22 to a host that is not there";
    AzureBalancerSilent = "azure-balancer-silent", "Azure edge: takes the connection, and says nothing";
    AzureFirewallCloses = "azure-firewall-closes", "Azure edge: takes the connection and closes it";
    AzureResetOnSsh = "azure-reset-on-ssh", "Azure edge: resets both ends when the client's identification passes";
    AzureStallOnSsh = "azure-stall-on-ssh", "Azure edge: swallows the connection once the client's identification passes";
    AzureRejectsSsh = "azure-rejects-ssh", "Azure edge: answers the client's identification with ICMP administratively prohibited";
    AzureInjectsFixedTtl = "azure-injects-fixed-ttl", "Azure edge: answers the SYN with a reset that starts with TTL 255";
    AzureInjectsCopiedTtl = "azure-injects-copied-ttl", "Azure edge: answers the SYN with a reset that starts with the SYN's TTL";
    AzureInjectsBeside = "azure-injects-beside", "Azure edge: answers a copy of the SYN with a reset; the VM's answer follows";
    TransitBlackhole = "transit-blackhole", "first transit router: swallows all that goes to the VM's network";
    TransitUnreachable = "transit-unreachable", "first transit router: has no route to the VM's network";
    TransitProxyResets = "transit-proxy-resets", "first transit router: takes the connection and resets it";
    TransitResetOnSsh = "transit-reset-on-ssh", "second transit router: resets both ends when the client's identification passes";
    TransitMtu = "transit-mtu", "between the transit routers: packets above 1,400 bytes are lost, and nobody says so";
    TransitInjectsCopiedTtl = "transit-injects-copied-ttl", "second transit router: answers the SYN with a reset that starts with the SYN's TTL";
    TransitInjectsRandomTtl = "transit-injects-random-ttl", "second transit router: answers the SYN with a reset that starts with a random TTL";
    TransitInjectsCounter = "transit-injects-counter", "second transit router: answers the SYN with a reset whose TTL and window come from one counter";
    TransitInjectsBeside = "transit-injects-beside", "second transit router: answers a copy of the SYN with a reset; the VM's answer follows";
    TransitInjectsNoAck = "transit-injects-no-ack", "second transit router: answers the SYN with a reset that acknowledges nothing";
    TransitInjectsOldAck = "transit-injects-old-ack", "second transit router: answers the SYN with a reset that acknowledges one too few";
    TransitResetsAnswer = "transit-resets-answer", "second transit router: turns the VM's SYN/ACK into a reset";
    EdgeDropBeforeTtl = "edge-drop-before-ttl", "edge: drops port 22 before it looks at the TTL";
    EdgeDropAfterTtl = "edge-drop-after-ttl", "edge: drops port 22 when it forwards";
    EdgeDropBack = "edge-drop-back", "edge: drops what comes back from port 22";
    EdgeDropAcks = "edge-drop-acks", "edge: lets SYNs to port 22 pass, and drops all else that goes there";
    EdgeRejectsAcks = "edge-rejects-acks", "edge: lets SYNs to port 22 pass, and answers all else with ICMP administratively prohibited";
    EdgeReset = "edge-reset", "edge: answers port 22 with a reset";
    EdgeAdminProhibited = "edge-admin-prohibited", "edge: answers port 22 with ICMP administratively prohibited";
    EdgeResetBehindNat = "edge-reset-behind-nat", "edge: answers port 22 with a reset, and translates IPv4 sources";
    EdgeRedirectClosed = "edge-redirect-closed", "edge: leads port 22 to a port of its own that nothing listens on";
    EdgeLeadsElsewhere = "edge-leads-elsewhere", "edge: leads port 22 to another host's address, the Azure edge's own, where nothing listens";
    EdgeProxySilent = "edge-proxy-silent", "edge: a proxy takes the connection, and says nothing";
    EdgeTproxySilent = "edge-tproxy-silent", "edge: a proxy listens on the VM's address, and says nothing";
    EdgeProxyHttp = "edge-proxy-http", "edge: a proxy takes the connection and answers in HTTP";
    EdgeProxyResets = "edge-proxy-resets", "edge: a proxy takes the connection and resets it";
    EdgeProxyCloses = "edge-proxy-closes", "edge: a proxy takes the connection and closes it";
    EdgeProxyRelays = "edge-proxy-relays", "edge: a proxy takes the connection and relays it to the VM";
    EdgeSynproxy = "edge-synproxy", "nothing is wrong; the edge answers SYNs for the VM and hands the connection on";
    EdgeSynproxyVmDropIn = "edge-synproxy-vm-drop-in", "vm-drop-in, and the edge answers SYNs for the VM";
    EdgeResetOnSsh = "edge-reset-on-ssh", "edge: resets both ends when the client's identification passes";
    EdgeStallOnSsh = "edge-stall-on-ssh", "edge: swallows the connection once the client's identification passes";
    EdgeResetOnBanner = "edge-reset-on-banner", "edge: resets both ends when the server's banner passes";
    EdgeStallOnBanner = "edge-stall-on-banner", "edge: swallows the connection once the server's banner passes";
    EdgeInjectsEchoes = "edge-injects-echoes", "edge: answers the SYN with a reset that bears the SYN's IP ID and window";
    EdgeInjectsThree = "edge-injects-three", "edge: answers the SYN with three resets";
    ClientDropOut = "client-drop-out", "client: firewall drops port 22 on output";
    ClientRejectOut = "client-reject-out", "client: firewall rejects port 22 on output with a reset";
    ClientDropIn = "client-drop-in", "client: firewall drops the SYN/ACK on input";
    ClientRedirect = "client-redirect", "client: port 22 is redirected to a local proxy that says nothing";
    ClientProxyCloses = "client-proxy-closes", "client: port 22 is redirected to a local proxy that closes";
    ClientNoRoute = "client-no-route", "client: no default route";
    ClientDeadGateway = "client-dead-gateway", "client: the default route leads to an address that nobody has";
    ClientWrongNeighbour = "client-wrong-neighbour", "client: a fixed neighbour entry gives the gateway a link-layer address that nobody has";
    ClientPolicyProhibit = "client-policy-prohibit", "client: policy routing by user prohibits port 22";
    ClientPolicyDeadGateway = "client-policy-dead-gateway", "client: policy routing by user leads port 22 to an address that nobody has";
    ClientTwoGatewaysEdgeReset = "client-two-gateways-edge-reset", "edge-reset, and the client has a second default route";
    SilentTransitEdgeReset = "silent-transit-edge-reset", "edge-reset, and transit never sends time-exceeded";
    SilentTransitVmSshdStopped = "silent-transit-vm-sshd-stopped", "vm-sshd-stopped, and transit never sends time-exceeded";
    SilentTransitAzureDrop = "silent-transit-azure-drop", "azure-drop-before-ttl, and transit never sends time-exceeded";
    RationedTransitAzureDrop = "rationed-transit-azure-drop", "azure-drop-before-ttl, and transit sends an ICMP error every 10 s";
    OpaqueAzureHealthy = "opaque-azure-healthy", "nothing is wrong; from the Azure edge on, nothing but port 22 is answered";
    OpaqueAzureDrop = "opaque-azure-drop", "Azure edge: drops port 22; from there on, nothing else is answered either";
    OpaqueAzureVmSshdStopped = "opaque-azure-vm-sshd-stopped", "vm-sshd-stopped; from the Azure edge on, nothing but port 22 is answered";
    NatVmSshdStopped = "nat-vm-sshd-stopped", "vm-sshd-stopped, and the edge translates IPv4 sources";
    NatAzureDrop = "nat-azure-drop", "azure-drop-after-ttl, and the edge translates IPv4 sources";
    EcmpTransitDrop = "ecmp-transit-drop", "half of the connections go another way through transit, which drops port 22";
    AsymmetricAzureReset = "asymmetric-azure-reset", "azure-reset, and what comes from Azure takes a shorter way back";
    DetourVmSshdStopped = "detour-vm-sshd-stopped", "vm-sshd-stopped, and port 22 takes a shorter way than all else";
    ClampedMssAzureReset = "clamped-mss-azure-reset", "azure-reset, and the first transit router lowers the MSS";
    BleachedDscpVmSshdStopped = "bleached-dscp-vm-sshd-stopped", "vm-sshd-stopped, and the edge clears the DSCP";
    BleachedDscpVmRejectReset = "bleached-dscp-vm-reject-reset", "vm-reject-reset, and the edge clears the DSCP";
    ShiftedSequenceAzureReset = "shifted-sequence-azure-reset", "azure-reset, and a box in transit shifts sequence numbers";
    ShiftedSequenceVmSshdStopped = "shifted-sequence-vm-sshd-stopped", "vm-sshd-stopped, and a box in transit shifts sequence numbers";
    UntranslatedNatVmSshdStopped = "untranslated-nat-vm-sshd-stopped", "vm-sshd-stopped, and a box in transit translates IPv4 sources, but not in quotes";
    RestoredTtlVmSshdStopped = "restored-ttl-vm-sshd-stopped", "vm-sshd-stopped, and the first transit router sets TTLs back to 64";
    RationedPathAzureReset = "rationed-path-azure-reset", "azure-reset, and every router sends an ICMP error every 10 s";
    AsymmetricVmSshdStopped = "asymmetric-vm-sshd-stopped", "vm-sshd-stopped, and what comes from Azure takes a shorter way back";
    NatPortsAzureDrop = "nat-ports-azure-drop", "azure-drop-before-ttl, and the edge translates IPv4 sources and ports";
    DroppedDscpVmSshdStopped = "dropped-dscp-vm-sshd-stopped", "vm-sshd-stopped, and the edge drops what bears a DSCP";
    StrictEdgeHealthy = "strict-edge-healthy", "nothing is wrong; the edge lets nothing pass but SSH and what belongs to it";
    StrictEdgeVmSshdStopped = "strict-edge-vm-sshd-stopped", "vm-sshd-stopped, and the edge lets nothing pass but SSH and what belongs to it";
    StrictEdgeAzureReset = "strict-edge-azure-reset", "azure-reset, and the edge lets nothing pass but SSH and what belongs to it";
    StrictEdgeAzureDrop = "strict-edge-azure-drop", "azure-drop-before-ttl, and the edge lets nothing pass but SSH and what belongs to it";
    LimitedEdgeHealthy = "limited-edge-healthy", "nothing is wrong; the edge drops SYNs to port 22 beyond five a second";
    LimitedEdgeAzureReset = "limited-edge-azure-reset", "azure-reset, and the edge drops SYNs to port 22 beyond five a second";
    GreylistedHealthy = "greylisted-healthy", "nothing is wrong; the edge drops the first SYN of each connection to port 22";
    GreylistedVmSshdStopped = "greylisted-vm-sshd-stopped", "vm-sshd-stopped, and the edge drops the first SYN of each connection to port 22";
    VpnHealthy = "vpn-healthy", "nothing is wrong; the way leads through a VPN that ends at the edge";
    VpnVmSshdStopped = "vpn-vm-sshd-stopped", "vm-sshd-stopped, through a VPN that ends at the edge";
    VpnEdgeDrop = "vpn-edge-drop", "edge-drop-after-ttl, through a VPN that ends at the edge";
    VpnEdgeReset = "vpn-edge-reset", "edge-reset, through a VPN that ends at the edge";
    VpnClientFrozen = "vpn-client-frozen", "client: the VPN's program hangs";
    VpnDead = "vpn-dead", "edge: swallows all that comes through the VPN to it";
}

impl Fault {
    /// The hosts it changes; a box in user space counts to the host behind it.
    pub(crate) fn places(self) -> Vec<Role> {
        self.changes().iter().map(Change::at).collect()
    }

    /// Whether it is a fault of its own there: addresses are translated over IPv4 alone.
    pub(crate) const fn exists_over(self, family: Family) -> bool {
        let translates = matches!(
            self,
            Self::EdgeResetBehindNat
                | Self::NatVmSshdStopped
                | Self::NatAzureDrop
                | Self::NatPortsAzureDrop
                | Self::UntranslatedNatVmSshdStopped
        );
        matches!(family, Family::V4) || !translates
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|fault| fault.name() == name)
            .ok_or_else(|| format!("no fault is called {name}; --list names them"))
    }
}
