//! What faults change in the lab, and how it is taken back.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::fault::chain;
use super::links::veth;
use super::middlebox::Conduct;
use super::namespace::{self, Namespace};
use super::role::Role;
use super::service::{Manner, Service};
use super::sshd::{EVERYWHERE, LOOPBACK};
use super::tunnel::Tunnel;
use super::{Lab, SSH_PORT, VM, prepare};

/// One thing that is changed in the lab.
pub(super) enum Change {
    /// nftables: chains for a table of both families; one such change per host.
    Rules { at: Role, chains: String },
    /// Lines for [`Namespace::ip`], and those that take them back.
    Ip { at: Role, lines: &'static str, undo: &'static str },
    /// A setting below `/proc/sys`.
    Sysctl { at: Role, key: &'static str, value: &'static str },
    /// The VM answers to its addresses no more.
    PowerOff,
    /// sshd listens there, or does not run.
    SshdPort(Option<u16>),
    /// sshd listens where only the VM itself reaches it.
    SshdLoopback,
    /// sshd runs, and its kernel takes connections for it, but it does nothing.
    SshdFrozen,
    /// sshd has as many connections before authentication as it wants.
    SshdBusy,
    /// Something else listens on the VM's port 22.
    Replace(Manner),
    /// Connections to port 22 that come by are taken there and treated so.
    Intercept { at: Role, by: Means, manner: Manner },
    /// A box in user space in front of a host.
    Box { before: Role, conduct: Conduct },
    /// The second way from the edge to the Azure edge; no packets take it unless routes say so.
    Detour,
    /// The client reaches the VM through a VPN that ends at the edge.
    Tunnel,
    /// The client's end of the VPN hangs.
    TunnelFrozen,
}

/// How a connection comes to whom it was not meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// Destination translation to the host itself.
    Redirect,
    /// The host listens on the VM's address.
    Tproxy,
}

impl Change {
    pub(super) const fn at(&self) -> Role {
        match self {
            Self::Rules { at, .. }
            | Self::Ip { at, .. }
            | Self::Sysctl { at, .. }
            | Self::Intercept { at, .. }
            | Self::Box { before: at, .. } => *at,
            Self::PowerOff
            | Self::SshdPort(_)
            | Self::SshdLoopback
            | Self::SshdFrozen
            | Self::SshdBusy
            | Self::Replace(_) => Role::Vm,
            Self::Tunnel => Role::Edge,
            Self::TunnelFrozen => Role::Client,
            Self::Detour => Role::Detour,
        }
    }
}

/// How a change is taken back.
pub(super) enum Undo {
    /// Delete the table.
    Rules { at: Role },
    /// Lines for [`Namespace::ip`].
    Ip { at: Role, lines: &'static str },
    /// The setting's former value.
    Sysctl { at: Role, key: &'static str, value: String },
    /// The VM has its addresses again.
    PowerOn,
    /// sshd on its port again.
    Sshd,
    /// Close a connection that was only held.
    Hold(TcpStream),
    /// End the service started last.
    Service,
    /// The box goes.
    Box { before: Role },
    /// The second way goes.
    Detour,
    /// The VPN goes.
    Tunnel,
}

/// Where packets that a transparent proxy takes are looked up: all is local there.
const TPROXY_TABLE: &str = "rule add fwmark 1 lookup 100\n\
                            route add local default dev lo table 100\n\
                            -6 rule add fwmark 1 lookup 100\n\
                            -6 route add local default dev lo table 100\n";
const NO_TPROXY_TABLE: &str = "rule del fwmark 1 lookup 100\n\
                               route del local default dev lo table 100\n\
                               -6 rule del fwmark 1 lookup 100\n\
                               -6 route del local default dev lo table 100\n";

impl Lab {
    pub(super) fn make(&mut self, change: &Change) -> io::Result<()> {
        match change {
            Change::Rules { at, chains } => {
                self.node(*at).nft(&format!("table inet fault {{\n{chains}\n}}\n"))?;
                self.undo.push(Undo::Rules { at: *at });
                Ok(())
            }
            Change::Ip { at, lines, undo } => {
                self.node(*at).ip(lines)?;
                self.undo.push(Undo::Ip { at: *at, lines: undo });
                Ok(())
            }
            Change::Sysctl { at, key, value } => {
                let node = self.node(*at);
                let before = node.sysctl(key)?;
                node.set_sysctl(key, value)?;
                self.undo.push(Undo::Sysctl { at: *at, key, value: before });
                Ok(())
            }
            Change::PowerOff => {
                // Not the link: its coming back would be noticed when the kernel finds the time.
                self.node(Role::Vm).ip("route del ::/0\naddr flush dev eth0 scope global\n")?;
                self.undo.push(Undo::PowerOn);
                Ok(())
            }
            Change::SshdPort(port) => {
                self.undo.push(Undo::Sshd);
                self.sshd = None;
                port.map_or(Ok(()), |port| self.start_sshd(EVERYWHERE, port, ""))
            }
            Change::SshdLoopback => {
                self.undo.push(Undo::Sshd);
                self.start_sshd(LOOPBACK, SSH_PORT, "")
            }
            Change::SshdFrozen => {
                self.undo.push(Undo::Sshd);
                self.sshd.as_ref().map_or(Ok(()), super::Sshd::freeze)
            }
            Change::SshdBusy => {
                self.undo.push(Undo::Sshd);
                self.start_sshd(EVERYWHERE, SSH_PORT, "MaxStartups 1:100:1\n")?;
                let sshd = SocketAddr::new(VM[0], SSH_PORT);
                let held = self.node(Role::Vm).enter(|| TcpStream::connect(sshd))??;
                // Whoever comes before sshd counts this one would still be let in.
                let banner = io::Read::read(&mut &held, &mut [0; 64])?;
                self.undo.push(Undo::Hold(held));
                if banner == 0 { Err(io::Error::other("sshd refuses the first connection")) } else { Ok(()) }
            }
            Change::Replace(manner) => {
                self.undo.push(Undo::Sshd);
                self.sshd = None;
                self.serve(Role::Vm, SSH_PORT, false, *manner).map(drop)
            }
            Change::Intercept { at, by, manner } => self.intercept(*at, *by, *manner),
            Change::Box { before, conduct } => {
                self.undo.push(Undo::Box { before: *before });
                self.links.put_box(&self.nodes, *before, *conduct)
            }
            Change::Detour => {
                self.undo.push(Undo::Detour);
                self.make_detour()
            }
            Change::TunnelFrozen => self.tunnel.as_ref().map_or(Ok(()), Tunnel::freeze_client),
            Change::Tunnel => {
                self.undo.push(Undo::Tunnel);
                self.tunnel = Some(Tunnel::start(self.client(), self.node(Role::Edge))?);
                Ok(())
            }
        }
    }

    pub(super) fn take_back(&mut self, undo: Undo) -> io::Result<()> {
        match undo {
            Undo::Rules { at } => self.node(at).nft("delete table inet fault\n"),
            Undo::Ip { at, lines } => self.node(at).ip(lines),
            Undo::Sysctl { at, key, value } => self.node(at).set_sysctl(key, &value),
            Undo::PowerOn => {
                self.node(Role::Vm).ip(&Role::Vm.addresses())?;
                // It may be asking for the VM still, and would ask again only after a second.
                self.node(Role::AzureEdge).ip("neigh flush dev eth1\n")
            }
            Undo::Sshd => self.start_sshd(EVERYWHERE, SSH_PORT, ""),
            Undo::Hold(held) => {
                drop(held);
                Ok(())
            }
            Undo::Service => {
                self.services.pop();
                Ok(())
            }
            Undo::Tunnel => {
                self.tunnel = None;
                Ok(())
            }
            Undo::Box { before } => self.links.take_box(&self.nodes, before),
            Undo::Detour => {
                // Its links go with it, though not at once.
                for role in [Role::Edge, Role::AzureEdge] {
                    self.node(role).ip("link del eth2\n")?;
                }
                let detour = self.nodes.pop().expect("it was made");
                namespace::remove(&[&detour]);
                Ok(())
            }
        }
    }

    pub(super) fn serve(
        &mut self,
        at: Role,
        port: u16,
        transparent: bool,
        manner: Manner,
    ) -> io::Result<u16> {
        let service = Service::start(self.node(at), port, transparent, manner)?;
        let port = service.port();
        self.services.push(service);
        self.undo.push(Undo::Service);
        Ok(port)
    }

    fn intercept(&mut self, at: Role, by: Means, manner: Manner) -> io::Result<()> {
        let port = self.serve(at, 0, by == Means::Tproxy, manner)?;
        let hook = if at == Role::Client { "output" } else { "prerouting" };
        let chains = match by {
            Means::Redirect => {
                chain("nat", hook, "-100", &format!("tcp dport {SSH_PORT} redirect to :{port}"))
            }
            Means::Tproxy => {
                self.make(&Change::Ip { at, lines: TPROXY_TABLE, undo: NO_TPROXY_TABLE })?;
                let rule =
                    format!("meta l4proto tcp tcp dport {SSH_PORT} tproxy to :{port} meta mark set 1 accept");
                chain("filter", hook, "-150", &rule)
            }
        };
        self.make(&Change::Rules { at, chains })
    }

    fn make_detour(&mut self) -> io::Result<()> {
        let detour = Namespace::named(&self.name, Role::Detour.name());
        namespace::ip(&format!("netns add {}\n", detour.name()))?;
        self.nodes.push(detour);
        let detour = self.node(Role::Detour);
        prepare(Role::Detour, detour)?;
        let (edge, azure) = (self.node(Role::Edge), self.node(Role::AzureEdge));
        veth(0x20, (edge, "eth2"), (detour, "eth0"))?;
        veth(0x21, (detour, "eth1"), (azure, "eth2"))?;
        edge.ip(
            "link set eth2 up\naddr replace 198.18.4.1/24 dev eth2\naddr replace 2001:db8:4::1/64 dev eth2 nodad\n",
        )?;
        azure.ip(
            "link set eth2 up\naddr replace 198.18.5.2/24 dev eth2\naddr replace 2001:db8:5::2/64 dev eth2 nodad\n",
        )?;
        detour.ip("link set lo up\nlink set eth0 up\nlink set eth1 up\n")?;
        detour.ip(&Role::Detour.addresses())
    }
}
