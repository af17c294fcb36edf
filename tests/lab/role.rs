//! The hosts of the lab, their addresses and routes.

/// A host of the lab, in path order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Where ssh runs.
    Client,
    /// Hop 1.
    Edge,
    /// Hop 2.
    Transit1,
    /// Hop 3.
    Transit2,
    /// Hop 4.
    AzureEdge,
    /// Hop 5: where sshd runs.
    Vm,
    /// A second way from the edge to the Azure edge, beside both transit routers: only where a fault makes it.
    Detour,
}

impl Role {
    /// Those that every lab has, in path order.
    pub(crate) const ALL: [Self; 6] =
        [Self::Client, Self::Edge, Self::Transit1, Self::Transit2, Self::AzureEdge, Self::Vm];

    /// The last part of the namespace's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Edge => "edge",
            Self::Transit1 => "transit1",
            Self::Transit2 => "transit2",
            Self::AzureEdge => "azure-edge",
            Self::Vm => "vm",
            Self::Detour => "detour",
        }
    }

    /// The interface that looks towards the VM, on a host that has a neighbour there.
    pub(super) const fn far_link(self) -> &'static str {
        if matches!(self, Self::Client) { "eth0" } else { "eth1" }
    }

    pub(super) const fn forwards(self) -> bool {
        !matches!(self, Self::Client | Self::Vm)
    }

    /// Addresses and routes, as `ip -batch` reads them. `eth0` looks towards the client, `eth1` towards the VM;
    /// the client's and the VM's only interface is `eth0`. The lines may be fed twice.
    pub(super) const fn addresses(self) -> &'static str {
        match self {
            Self::Client => {
                "addr replace 10.22.1.2/24 dev eth0\n\
                 addr replace fd22:1::2/64 dev eth0 nodad\n\
                 route replace default via 10.22.1.1\n\
                 route replace default via fd22:1::1\n"
            }
            Self::Edge => {
                "addr replace 10.22.1.1/24 dev eth0\n\
                 addr replace fd22:1::1/64 dev eth0 nodad\n\
                 addr replace 198.18.1.1/24 dev eth1\n\
                 addr replace 2001:db8:1::1/64 dev eth1 nodad\n\
                 route replace default via 198.18.1.2\n\
                 route replace default via 2001:db8:1::2\n"
            }
            Self::Transit1 => {
                "addr replace 198.18.1.2/24 dev eth0\n\
                 addr replace 2001:db8:1::2/64 dev eth0 nodad\n\
                 addr replace 198.18.2.1/24 dev eth1\n\
                 addr replace 2001:db8:2::1/64 dev eth1 nodad\n\
                 route replace 10.22.0.0/16 via 198.18.1.1\n\
                 route replace fd22::/16 via 2001:db8:1::1\n\
                 route replace 198.18.3.0/24 via 198.18.2.2\n\
                 route replace 2001:db8:3::/64 via 2001:db8:2::2\n\
                 route replace 198.19.0.0/24 via 198.18.2.2\n\
                 route replace 2001:db8:19::/64 via 2001:db8:2::2\n"
            }
            Self::Transit2 => {
                "addr replace 198.18.2.2/24 dev eth0\n\
                 addr replace 2001:db8:2::2/64 dev eth0 nodad\n\
                 addr replace 198.18.3.1/24 dev eth1\n\
                 addr replace 2001:db8:3::1/64 dev eth1 nodad\n\
                 route replace 10.22.0.0/16 via 198.18.2.1\n\
                 route replace fd22::/16 via 2001:db8:2::1\n\
                 route replace 198.18.1.0/24 via 198.18.2.1\n\
                 route replace 2001:db8:1::/64 via 2001:db8:2::1\n\
                 route replace 198.19.0.0/24 via 198.18.3.2\n\
                 route replace 2001:db8:19::/64 via 2001:db8:3::2\n"
            }
            Self::AzureEdge => {
                "addr replace 198.18.3.2/24 dev eth0\n\
                 addr replace 2001:db8:3::2/64 dev eth0 nodad\n\
                 addr replace 198.19.0.1/24 dev eth1\n\
                 addr replace 2001:db8:19::1/64 dev eth1 nodad\n\
                 route replace default via 198.18.3.1\n\
                 route replace default via 2001:db8:3::1\n"
            }
            Self::Vm => {
                "addr replace 198.19.0.4/24 dev eth0\n\
                 addr replace 2001:db8:19::4/64 dev eth0 nodad\n\
                 route replace default via 198.19.0.1\n\
                 route replace default via 2001:db8:19::1\n"
            }
            Self::Detour => {
                "addr replace 198.18.4.2/24 dev eth0\n\
                 addr replace 2001:db8:4::2/64 dev eth0 nodad\n\
                 addr replace 198.18.5.1/24 dev eth1\n\
                 addr replace 2001:db8:5::1/64 dev eth1 nodad\n\
                 route replace default via 198.18.4.1\n\
                 route replace default via 2001:db8:4::1\n\
                 route replace 198.19.0.0/24 via 198.18.5.2\n\
                 route replace 2001:db8:19::/64 via 2001:db8:5::2\n"
            }
        }
    }
}
