//! Who may be guilty: the suspects of each segment.

use std::fmt;

use crate::path::Segment;

macro_rules! suspects {
    ($($(#[$doc:meta])* $variant:ident = $name:literal in $segment:ident,)*) => {
        /// A suspect: a kind of thing in one segment that can stop SSH.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Suspect { $($(#[$doc])* $variant,)* }

        impl Suspect {
            /// All of them, in path order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name used in JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The segment it lies in.
            pub const fn segment(self) -> Segment {
                match self { $(Self::$variant => Segment::$segment,)* }
            }
        }
    };
}

suspects! {
    /// The client's own firewall, on the way out.
    ClientFirewallOut = "client-firewall-out" in Client,
    /// The client's own firewall, on the way in.
    ClientFirewallIn = "client-firewall-in" in Client,
    /// A proxy on the client that takes the connection.
    ClientProxy = "client-proxy" in Client,
    /// Security software on the client.
    ClientSecuritySoftware = "client-security-software" in Client,
    /// The client's routing table.
    ClientRoute = "client-route" in Client,
    /// The name resolves to a wrong or dead address.
    ClientName = "client-name" in Client,
    /// The client's ssh configuration.
    ClientSshConfig = "client-ssh-config" in Client,
    /// A firewall at the organisation's edge.
    EdgeFirewall = "edge-firewall" in Edge,
    /// A proxy at the edge.
    EdgeProxy = "edge-proxy" in Edge,
    /// An intrusion detection or prevention system at the edge.
    EdgeIds = "edge-ids" in Edge,
    /// Routing at the edge.
    EdgeRoute = "edge-route" in Edge,
    /// A filter in transit.
    TransitFilter = "transit-filter" in Transit,
    /// Routing in transit.
    TransitRoute = "transit-route" in Transit,
    /// A path MTU that swallows full-size packets.
    TransitMtu = "transit-mtu" in Transit,
    /// The classic cloud-service endpoint.
    AzureEndpoint = "azure-endpoint" in AzureEdge,
    /// The classic endpoint's access control list.
    AzureAcl = "azure-acl" in AzureEdge,
    /// A network security group.
    AzureNsg = "azure-nsg" in AzureEdge,
    /// A load balancer.
    AzureLoadBalancer = "azure-load-balancer" in AzureEdge,
    /// Azure Firewall or another appliance in the virtual network.
    AzureFirewall = "azure-firewall" in AzureEdge,
    /// An intrusion detection or prevention system in Azure.
    AzureIds = "azure-ids" in AzureEdge,
    /// A user-defined or system route.
    AzureRoute = "azure-route" in AzureEdge,
    /// The address is stale or not this VM's.
    AzurePublicIp = "azure-public-ip" in AzureEdge,
    /// The VM does not run, or its network does not.
    VmDown = "vm-down" in Vm,
    /// The VM's firewall.
    VmFirewall = "vm-firewall" in Vm,
    /// An intrusion prevention system on the VM.
    VmIds = "vm-ids" in Vm,
    /// sshd does not run.
    VmSshdNotRunning = "vm-sshd-not-running" in Vm,
    /// sshd listens, but not on the port tried.
    VmSshdPort = "vm-sshd-port" in Vm,
    /// sshd accepts and closes before its banner.
    VmSshdRefuses = "vm-sshd-refuses" in Vm,
    /// sshd accepts and says nothing.
    VmSshdHung = "vm-sshd-hung" in Vm,
    /// Something that is not SSH answers on the port.
    VmOtherService = "vm-other-service" in Vm,
    /// The VM's routing.
    VmRoute = "vm-route" in Vm,
}

impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of suspects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Suspects(u64);

/// Who looks into connections, and may answer or end them in another's name: on the way, or on the VM.
pub(super) const INSPECTORS: Suspects = Suspects::of(&[
    Suspect::EdgeIds,
    Suspect::EdgeFirewall,
    Suspect::TransitFilter,
    Suspect::AzureIds,
    Suspect::AzureFirewall,
    Suspect::VmIds,
]);

impl Suspects {
    /// Nobody.
    pub const NONE: Self = Self(0);

    /// The given ones.
    pub const fn of(list: &[Suspect]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < list.len() {
            bits |= 1 << list[i] as u64;
            i += 1;
        }
        Self(bits)
    }

    /// All suspects of all segments.
    pub const fn all() -> Self {
        Self::of(Suspect::ALL)
    }

    /// All suspects of one segment.
    pub fn in_segment(segment: Segment) -> Self {
        Self::all().within(segment)
    }

    /// Those of them that lie in one segment.
    #[must_use]
    pub fn within(self, segment: Segment) -> Self {
        self.iter().filter(|s| s.segment() == segment).collect()
    }

    /// Whether `suspect` is in the set.
    pub const fn contains(self, suspect: Suspect) -> bool {
        self.0 & (1 << suspect as u64) != 0
    }

    /// Those in either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nobody is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, in path order.
    pub fn iter(self) -> impl Iterator<Item = Suspect> {
        Suspect::ALL.iter().copied().filter(move |s| self.contains(*s))
    }
}

impl FromIterator<Suspect> for Suspects {
    fn from_iter<I: IntoIterator<Item = Suspect>>(iter: I) -> Self {
        Self(iter.into_iter().fold(0, |bits, s| bits | 1 << s as u64))
    }
}
