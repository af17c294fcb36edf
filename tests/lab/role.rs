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

    /// Addresses and routes, as `ip -batch` reads them. The lines may be fed twice.
    pub(super) fn addresses(self) -> String {
        let host = self.host();
        let mut lines = Vec::new();
        for (i, [v4, v6]) in host.addresses.iter().enumerate() {
            lines.push(format!("addr replace {v4}/24 dev eth{i}\n"));
            lines.push(format!("addr replace {v6}/64 dev eth{i} nodad\n"));
        }
        for (to, [v4, v6]) in host.routes {
            for (net, via) in to.iter().zip([v4, v6]) {
                lines.push(format!("route replace {net} via {via}\n"));
            }
        }
        lines.concat()
    }

    const fn host(self) -> Host {
        match self {
            Self::Client => Host {
                addresses: &[["10.22.1.2", "fd22:1::2"]],
                routes: &[(REST, ["10.22.1.1", "fd22:1::1"])],
            },
            Self::Edge => Host {
                addresses: &[["10.22.1.1", "fd22:1::1"], ["198.18.1.1", "2001:db8:1::1"]],
                routes: &[(REST, ["198.18.1.2", "2001:db8:1::2"])],
            },
            Self::Transit1 => Host {
                addresses: &[["198.18.1.2", "2001:db8:1::2"], ["198.18.2.1", "2001:db8:2::1"]],
                routes: &[
                    (CLIENTS, ["198.18.1.1", "2001:db8:1::1"]),
                    (["198.18.3.0/24", "2001:db8:3::/64"], ["198.18.2.2", "2001:db8:2::2"]),
                    (VMS, ["198.18.2.2", "2001:db8:2::2"]),
                ],
            },
            Self::Transit2 => Host {
                addresses: &[["198.18.2.2", "2001:db8:2::2"], ["198.18.3.1", "2001:db8:3::1"]],
                routes: &[
                    (CLIENTS, ["198.18.2.1", "2001:db8:2::1"]),
                    (["198.18.1.0/24", "2001:db8:1::/64"], ["198.18.2.1", "2001:db8:2::1"]),
                    (VMS, ["198.18.3.2", "2001:db8:3::2"]),
                ],
            },
            Self::AzureEdge => Host {
                addresses: &[["198.18.3.2", "2001:db8:3::2"], ["198.19.0.1", "2001:db8:19::1"]],
                routes: &[(REST, ["198.18.3.1", "2001:db8:3::1"])],
            },
            Self::Vm => Host {
                addresses: &[["198.19.0.4", "2001:db8:19::4"]],
                routes: &[(REST, ["198.19.0.1", "2001:db8:19::1"])],
            },
            Self::Detour => Host {
                addresses: &[["198.18.4.2", "2001:db8:4::2"], ["198.18.5.1", "2001:db8:5::1"]],
                routes: &[(REST, ["198.18.4.1", "2001:db8:4::1"]), (VMS, ["198.18.5.2", "2001:db8:5::2"])],
            },
        }
    }
}

/// Of IPv4 and of IPv6.
type Both = [&'static str; 2];

const REST: Both = ["default", "default"];
const CLIENTS: Both = ["10.22.0.0/16", "fd22::/16"];
const VMS: Both = ["198.19.0.0/24", "2001:db8:19::/64"];

struct Host {
    /// Of `eth0`, which looks towards the client, or is the only one; then of `eth1`, which looks towards the VM.
    addresses: &'static [Both],
    /// Networks, and the next hop to them.
    routes: &'static [(Both, Both)],
}
