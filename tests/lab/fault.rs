//! The faults: what each does to the lab, and what is true of it.

use std::str::FromStr;

use whichhop::attempt::Outcome;
use whichhop::evidence::Suspect;
use whichhop::path::Segment;

use super::Role;

macro_rules! faults {
    ($($variant:ident = $name:literal, $about:literal;)*) => {
        /// What is wrong with the lab.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Fault { $(#[doc = $about] $variant,)* }

        impl Fault {
            /// All of them: the healthy lab, then along the path from its far end.
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
    VmDropIn = "vm-drop-in", "VM: firewall drops port 22 on input";
    VmDropOut = "vm-drop-out", "VM: firewall drops what sshd sends";
    VmSshdOtherPort = "vm-sshd-other-port", "VM: sshd listens on port 2222";
    VmOff = "vm-off", "VM: powered off; the Azure edge finds no neighbour and says so after 3 s";
    VmInitialTtl255 = "vm-initial-ttl-255", "VM: sshd does not run, and packets start with TTL 255";
    AzureDropBeforeTtl = "azure-drop-before-ttl", "Azure edge: drops port 22 before it looks at the TTL";
    AzureDropAfterTtl = "azure-drop-after-ttl", "Azure edge: drops port 22 when it forwards";
    AzureReset = "azure-reset", "Azure edge: answers port 22 with a reset";
    TransitBlackhole = "transit-blackhole", "first transit router: swallows all that goes to the VM's network";
    TransitUnreachable = "transit-unreachable", "first transit router: has no route to the VM's network";
    EdgeDropBeforeTtl = "edge-drop-before-ttl", "edge: drops port 22 before it looks at the TTL";
    EdgeDropAfterTtl = "edge-drop-after-ttl", "edge: drops port 22 when it forwards";
    EdgeDropBack = "edge-drop-back", "edge: drops what comes back from port 22";
    EdgeReset = "edge-reset", "edge: answers port 22 with a reset";
    EdgeAdminProhibited = "edge-admin-prohibited", "edge: answers port 22 with ICMP administratively prohibited";
    EdgeResetBehindNat = "edge-reset-behind-nat", "edge: answers port 22 with a reset, and translates IPv4 sources";
    ClientDropOut = "client-drop-out", "client: firewall drops port 22 on output";
    ClientRejectOut = "client-reject-out", "client: firewall rejects port 22 on output with a reset";
    ClientDropIn = "client-drop-in", "client: firewall drops the SYN/ACK on input";
    ClientRedirect = "client-redirect", "client: port 22 is redirected to a local proxy that says nothing";
    ClientNoRoute = "client-no-route", "client: no default route";
    SilentTransitEdgeReset = "silent-transit-edge-reset", "edge-reset, and transit never sends time-exceeded";
    SilentTransitVmSshdStopped = "silent-transit-vm-sshd-stopped", "vm-sshd-stopped, and transit never sends time-exceeded";
    SilentTransitAzureDrop = "silent-transit-azure-drop", "azure-drop-before-ttl, and transit never sends time-exceeded";
}

/// What is true of a lab with a fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth {
    /// Right outcomes of an attempt on port 22; more than one where it depends on how long one waits.
    pub(crate) outcomes: &'static [Outcome],
    /// Where the fault is; `None` when there is none.
    pub(crate) segment: Option<Segment>,
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
        use Outcome::{Intercepted, LocalFailure, Open, Rejected, Reset, Timeout};

        const SILENCE: &[Outcome] = &[Timeout];
        let (outcomes, guilty, answers): (&[Outcome], Suspect, Answers) = match self {
            Self::Healthy => {
                return Truth {
                    outcomes: &[Open],
                    segment: None,
                    guilty: None,
                    beyond: false,
                    answers: Answered,
                };
            }
            Self::VmSshdStopped | Self::VmInitialTtl255 | Self::SilentTransitVmSshdStopped => {
                (&[Reset], Suspect::VmSshdNotRunning, Answered)
            }
            Self::VmRejectReset => (&[Reset], Suspect::VmFirewall, Answered),
            Self::VmRejectIcmp => (&[Rejected], Suspect::VmFirewall, Answered),
            Self::VmDropIn | Self::VmDropOut => (SILENCE, Suspect::VmFirewall, Silent),
            Self::VmSshdOtherPort => (&[Reset], Suspect::VmSshdPort, Answered),
            Self::VmOff => (&[Timeout, Rejected], Suspect::VmDown, Silent),
            Self::AzureDropBeforeTtl | Self::AzureDropAfterTtl | Self::SilentTransitAzureDrop => {
                (SILENCE, Suspect::AzureNsg, Silent)
            }
            Self::AzureReset => (&[Reset], Suspect::AzureFirewall, Answered),
            Self::TransitBlackhole => (SILENCE, Suspect::TransitRoute, Silent),
            Self::TransitUnreachable => (&[Rejected], Suspect::TransitRoute, Answered),
            Self::EdgeDropBeforeTtl | Self::EdgeDropAfterTtl | Self::EdgeDropBack => {
                (SILENCE, Suspect::EdgeFirewall, Silent)
            }
            Self::EdgeReset | Self::EdgeResetBehindNat | Self::SilentTransitEdgeReset => {
                (&[Reset], Suspect::EdgeFirewall, Answered)
            }
            Self::EdgeAdminProhibited => (&[Rejected], Suspect::EdgeFirewall, Answered),
            Self::ClientDropOut => (&[LocalFailure], Suspect::ClientFirewallOut, Silent),
            Self::ClientRejectOut => (&[LocalFailure], Suspect::ClientFirewallOut, Answered),
            Self::ClientDropIn => (&[Outcome::HalfOpen], Suspect::ClientFirewallIn, HalfOpen),
            Self::ClientRedirect => (&[Intercepted], Suspect::ClientProxy, HalfOpen),
            Self::ClientNoRoute => (&[LocalFailure], Suspect::ClientRoute, Answered),
        };
        let segment = Some(guilty.segment());
        Truth { outcomes, segment, guilty: Some(guilty), beyond: self.is_beyond(), answers }
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
                // One hop's forward path and the next one's ingress look the same.
                | Self::AzureDropBeforeTtl
                | Self::SilentTransitAzureDrop
                | Self::TransitBlackhole
                | Self::EdgeDropAfterTtl
                // Every hop answers; the way back is anybody's.
                | Self::EdgeDropBack
        )
    }

    /// The hosts it changes.
    pub(crate) fn places(self) -> Vec<Role> {
        self.changes().iter().map(Change::at).collect()
    }

    /// What it does to the lab, in order.
    pub(super) fn changes(self) -> Vec<Change> {
        const BEFORE_TTL: &str = "tcp dport 22 drop";
        let rules =
            |at, hook: &str, rule: &str| Change::Rules { at, chains: chain("filter", hook, "0", rule) };
        match self {
            Self::Healthy => vec![],
            Self::VmSshdStopped => vec![Change::SshdPort(None)],
            Self::VmSshdOtherPort => vec![Change::SshdPort(Some(2222))],
            Self::VmRejectReset => vec![rules(Role::Vm, "input", "tcp dport 22 reject with tcp reset")],
            Self::VmRejectIcmp => {
                vec![rules(Role::Vm, "input", "tcp dport 22 reject with icmpx type port-unreachable")]
            }
            Self::VmDropIn => vec![rules(Role::Vm, "input", "tcp dport 22 drop")],
            Self::VmDropOut => vec![rules(Role::Vm, "output", "tcp sport 22 drop")],
            Self::VmOff => vec![Change::PowerOff],
            Self::VmInitialTtl255 => vec![
                Change::SshdPort(None),
                Change::Sysctl { at: Role::Vm, key: "net/ipv4/ip_default_ttl", value: "255" },
                Change::Sysctl { at: Role::Vm, key: "net/ipv6/conf/eth0/hop_limit", value: "255" },
            ],
            Self::AzureDropBeforeTtl => vec![before_ttl(Role::AzureEdge, BEFORE_TTL)],
            Self::AzureDropAfterTtl => vec![rules(Role::AzureEdge, "forward", "tcp dport 22 drop")],
            Self::AzureReset => vec![rules(Role::AzureEdge, "forward", "tcp dport 22 reject with tcp reset")],
            // Half of the VM's network each, so that the healthy route stays in place behind it.
            Self::TransitBlackhole => vec![Change::Ip {
                at: Role::Transit1,
                lines: "route add blackhole 198.19.0.0/25\nroute add blackhole 2001:db8:19::/65\n",
                undo: "route del blackhole 198.19.0.0/25\nroute del blackhole 2001:db8:19::/65\n",
            }],
            Self::TransitUnreachable => vec![Change::Ip {
                at: Role::Transit1,
                lines: "route add unreachable 198.19.0.0/25\nroute add unreachable 2001:db8:19::/65\n",
                undo: "route del unreachable 198.19.0.0/25\nroute del unreachable 2001:db8:19::/65\n",
            }],
            Self::EdgeDropBeforeTtl => vec![before_ttl(Role::Edge, BEFORE_TTL)],
            Self::EdgeDropAfterTtl => vec![rules(Role::Edge, "forward", "tcp dport 22 drop")],
            Self::EdgeDropBack => vec![rules(Role::Edge, "forward", "oifname eth0 tcp sport 22 drop")],
            Self::EdgeReset => vec![rules(Role::Edge, "forward", "tcp dport 22 reject with tcp reset")],
            Self::EdgeAdminProhibited => {
                vec![rules(Role::Edge, "forward", "tcp dport 22 reject with icmpx type admin-prohibited")]
            }
            Self::EdgeResetBehindNat => vec![Change::Rules {
                at: Role::Edge,
                chains: chain("filter", "forward", "0", "tcp dport 22 reject with tcp reset")
                    + &chain("nat", "postrouting", "100", "meta nfproto ipv4 oifname eth1 masquerade"),
            }],
            Self::ClientDropOut => vec![rules(Role::Client, "output", "tcp dport 22 drop")],
            Self::ClientRejectOut => {
                vec![rules(Role::Client, "output", "tcp dport 22 reject with tcp reset")]
            }
            Self::ClientDropIn => vec![rules(Role::Client, "input", "tcp sport 22 drop")],
            Self::ClientRedirect => vec![Change::RedirectToSilence],
            Self::ClientNoRoute => vec![Change::Ip {
                at: Role::Client,
                lines: "route del default\nroute del ::/0\n",
                undo: "route add default via 10.22.1.1\nroute add default via fd22:1::1\n",
            }],
            Self::SilentTransitEdgeReset => with_silent_transit(Self::EdgeReset),
            Self::SilentTransitVmSshdStopped => with_silent_transit(Self::VmSshdStopped),
            Self::SilentTransitAzureDrop => with_silent_transit(Self::AzureDropBeforeTtl),
        }
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

/// One thing that is changed in the lab.
pub(super) enum Change {
    /// nftables: chains for a table of both families.
    Rules { at: Role, chains: String },
    /// Lines for `ip -batch`, and those that take them back.
    Ip { at: Role, lines: &'static str, undo: &'static str },
    /// A setting below `/proc/sys`.
    Sysctl { at: Role, key: &'static str, value: &'static str },
    /// The VM answers to its addresses no more.
    PowerOff,
    /// sshd listens there, or does not run.
    SshdPort(Option<u16>),
    /// The client's port 22 leads to a listener of its own that says nothing.
    RedirectToSilence,
}

impl Change {
    const fn at(&self) -> Role {
        match self {
            Self::Rules { at, .. } | Self::Ip { at, .. } | Self::Sysctl { at, .. } => *at,
            Self::PowerOff | Self::SshdPort(_) => Role::Vm,
            Self::RedirectToSilence => Role::Client,
        }
    }
}

/// How a change is taken back.
pub(super) enum Undo {
    /// Delete the table.
    Rules { at: Role },
    /// Lines for `ip -batch`.
    Ip { at: Role, lines: &'static str },
    /// The setting's former value.
    Sysctl { at: Role, key: &'static str, value: String },
    /// The VM has its addresses again.
    PowerOn,
    /// sshd on its port again.
    Sshd,
    /// End the silent listener.
    Listener,
}

/// A chain of one rule at a netfilter hook.
pub(super) fn chain(kind: &str, hook: &str, priority: &str, rule: &str) -> String {
    format!("chain {hook} {{ type {kind} hook {hook} priority {priority}; {rule}; }}\n")
}

/// Prerouting comes before the kernel looks at the TTL, forward after it.
fn before_ttl(at: Role, rule: &str) -> Change {
    Change::Rules { at, chains: chain("filter", "prerouting", "-300", rule) }
}

fn with_silent_transit(fault: Fault) -> Vec<Change> {
    const SILENT: &str = "icmp type time-exceeded drop; icmpv6 type time-exceeded drop";
    let silent = |at| Change::Rules { at, chains: chain("filter", "output", "0", SILENT) };
    let mut changes = fault.changes();
    changes.extend([silent(Role::Transit1), silent(Role::Transit2)]);
    changes
}
