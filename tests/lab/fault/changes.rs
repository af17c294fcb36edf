//! What each fault does to the lab.

use std::net::Ipv4Addr;

use super::Fault;
use crate::lab::change::{Change, Means};
use crate::lab::middlebox::{Ack, Conduct, Forgery, Injector, Number, Trigger};
use crate::lab::role::Role;
use crate::lab::service::Manner;
use crate::lab::tunnel::PORT as VPN_PORT;

const DROP: &str = "tcp dport 22 drop";
const RESET: &str = "tcp dport 22 reject with tcp reset";
const PROHIBIT: &str = "tcp dport 22 reject with icmpx type admin-prohibited";
const NAT: &str = "meta nfproto ipv4 oifname eth1 masquerade";
const NAT_WITH_PORTS: &str = "meta nfproto ipv4 oifname eth1 masquerade fully-random";
/// A SYN to port 22 that asks for a connection.
const SYN: &str = "tcp dport 22 tcp flags & (fin | syn | rst | ack) == syn";

impl Fault {
    /// What it does to the lab, in order.
    pub(in crate::lab) fn changes(self) -> Vec<Change> {
        match self {
            Self::Healthy => vec![],
            Self::VmSshdStopped => vec![Change::SshdPort(None)],
            Self::VmSshdOtherPort => vec![Change::SshdPort(Some(2222))],
            Self::VmRejectReset => vec![input(RESET)],
            Self::VmRejectIcmp => vec![input("tcp dport 22 reject with icmpx type port-unreachable")],
            Self::VmRejectAdmin => vec![input(PROHIBIT)],
            Self::VmDropIn => vec![input(DROP)],
            Self::VmDropOut => vec![filter(Role::Vm, "output", "tcp sport 22 drop")],
            Self::VmSshdLoopback => vec![Change::SshdLoopback],
            Self::VmOff => vec![Change::PowerOff],
            Self::VmInitialTtl255 => vec![
                Change::SshdPort(None),
                Change::Sysctl { at: Role::Vm, key: "net/ipv4/ip_default_ttl", value: "255" },
                Change::Sysctl { at: Role::Vm, key: "net/ipv6/conf/eth0/hop_limit", value: "255" },
            ],
            Self::VmSshdFrozen => vec![Change::SshdFrozen],
            Self::VmSshdCloses => vec![Change::Replace(Manner::Closes)],
            Self::VmSshdBusy => vec![Change::SshdBusy],
            Self::VmOtherService => vec![Change::Replace(Manner::Says("220 vm1 ESMTP\r\n"))],
            Self::VmWebServer => vec![Change::Replace(Manner::Http)],

            Self::AzureDropBeforeTtl => vec![before_ttl(Role::AzureEdge, DROP)],
            Self::AzureDropAfterTtl => vec![forward(Role::AzureEdge, DROP)],
            Self::AzureDropBack => vec![forward(Role::AzureEdge, "oifname eth0 tcp sport 22 drop")],
            Self::AzureReset => vec![forward(Role::AzureEdge, RESET)],
            Self::AzureAdminProhibited => vec![forward(Role::AzureEdge, PROHIBIT)],
            Self::AzureEndpointWrongPort => {
                vec![lead_to(Role::AzureEdge, ["198.19.0.4:2222", "[2001:db8:19::4]:2222"])]
            }
            Self::AzureBalancerDeadHost => {
                vec![lead_to(Role::AzureEdge, ["198.19.0.99", "2001:db8:19::99"])]
            }
            Self::AzureBalancerSilent => vec![redirect(Role::AzureEdge, Manner::Silent)],
            Self::AzureFirewallCloses => vec![redirect(Role::AzureEdge, Manner::Closes)],
            Self::AzureResetOnSsh => vec![reset_on_ssh(Role::AzureEdge)],
            Self::AzureStallOnSsh => vec![stall(Role::AzureEdge, Trigger::Identification)],
            Self::AzureRejectsSsh => {
                // Behind the TCP header: "SSH-".
                vec![forward(Role::AzureEdge, &format!("@ih,0,32 0x5353482d {PROHIBIT}"))]
            }
            Self::AzureInjectsFixedTtl => {
                let ttl = Number::Fixed(255);
                vec![inject(Role::AzureEdge, Forgery { ttl, ..Forgery::PLAIN })]
            }
            Self::AzureInjectsCopiedTtl => {
                let ttl = Number::Echoed;
                vec![inject(Role::AzureEdge, Forgery { ttl, ..Forgery::PLAIN })]
            }
            Self::AzureInjectsBeside => vec![inject_beside(Role::AzureEdge)],

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
            Self::TransitProxyResets => vec![redirect(Role::Transit1, Manner::Resets)],
            Self::TransitResetOnSsh => vec![reset_on_ssh(Role::Transit2)],
            Self::TransitMtu => narrow_transit(),
            Self::TransitInjectsCopiedTtl => {
                let ttl = Number::Echoed;
                vec![inject(Role::Transit2, Forgery { ttl, ..Forgery::PLAIN })]
            }
            Self::TransitInjectsRandomTtl => {
                let ttl = Number::Random;
                vec![inject(Role::Transit2, Forgery { ttl, ..Forgery::PLAIN })]
            }
            Self::TransitInjectsCounter => {
                let (ttl, window) = (Number::Counter, Number::Counter);
                vec![inject(Role::Transit2, Forgery { ttl, window, ..Forgery::PLAIN })]
            }
            Self::TransitInjectsBeside => vec![inject_beside(Role::Transit2)],
            Self::TransitInjectsNoAck => {
                vec![inject(Role::Transit2, Forgery { ack: Ack::Absent, ..Forgery::PLAIN })]
            }
            Self::TransitInjectsOldAck => {
                vec![inject(Role::Transit2, Forgery { ack: Ack::First, ..Forgery::PLAIN })]
            }
            Self::TransitResetsAnswer => {
                let forgery = Forgery { both_ends: true, ..Forgery::PLAIN };
                let conduct = Conduct::Inject(Injector::in_path(Trigger::SynAck, forgery));
                vec![Change::Box { before: Role::Transit2, conduct }]
            }

            Self::EdgeDropBeforeTtl => vec![before_ttl(Role::Edge, DROP)],
            Self::EdgeDropAfterTtl => vec![forward(Role::Edge, DROP)],
            Self::EdgeDropBack => vec![forward(Role::Edge, "oifname eth0 tcp sport 22 drop")],
            Self::EdgeDropAcks => {
                vec![forward(Role::Edge, "tcp dport 22 tcp flags & (syn | ack) != syn drop")]
            }
            Self::EdgeRejectsAcks => {
                vec![forward(Role::Edge, &format!("tcp flags & (syn | ack) != syn {PROHIBIT}"))]
            }
            Self::EdgeReset => vec![forward(Role::Edge, RESET)],
            Self::EdgeAdminProhibited => vec![forward(Role::Edge, PROHIBIT)],
            Self::EdgeResetBehindNat => {
                let chains =
                    chain("filter", "forward", "0", RESET) + &chain("nat", "postrouting", "100", NAT);
                vec![Change::Rules { at: Role::Edge, chains }]
            }
            Self::EdgeRedirectClosed => {
                let chains = chain("nat", "prerouting", "-100", "tcp dport 22 redirect to :3128");
                vec![Change::Rules { at: Role::Edge, chains }]
            }
            Self::EdgeLeadsElsewhere => vec![lead_to(Role::Edge, ["198.18.3.2", "2001:db8:3::2"])],
            Self::EdgeProxySilent => vec![redirect(Role::Edge, Manner::Silent)],
            Self::EdgeTproxySilent => {
                vec![Change::Intercept { at: Role::Edge, by: Means::Tproxy, manner: Manner::Silent }]
            }
            Self::EdgeProxyHttp => vec![redirect(Role::Edge, Manner::Http)],
            Self::EdgeProxyResets => vec![redirect(Role::Edge, Manner::Resets)],
            Self::EdgeProxyCloses => vec![redirect(Role::Edge, Manner::Closes)],
            Self::EdgeProxyRelays => vec![redirect(Role::Edge, Manner::Relays)],
            Self::EdgeSynproxy => synproxy(),
            Self::EdgeSynproxyVmDropIn => with(synproxy(), Self::VmDropIn),
            Self::EdgeResetOnSsh => vec![reset_on_ssh(Role::Edge)],
            Self::EdgeStallOnSsh => vec![stall(Role::Edge, Trigger::Identification)],
            Self::EdgeResetOnBanner => vec![reset_on(Role::Edge, Trigger::Banner)],
            Self::EdgeStallOnBanner => vec![stall(Role::Edge, Trigger::Banner)],
            Self::EdgeInjectsEchoes => {
                let (window, id) = (Number::Echoed, Number::Echoed);
                vec![inject(Role::Edge, Forgery { window, id, ..Forgery::PLAIN })]
            }
            Self::EdgeInjectsThree => vec![inject(Role::Edge, Forgery { count: 3, ..Forgery::PLAIN })],

            Self::ClientDropOut => vec![filter(Role::Client, "output", DROP)],
            Self::ClientRejectOut => vec![filter(Role::Client, "output", RESET)],
            Self::ClientDropIn => vec![filter(Role::Client, "input", "tcp sport 22 drop")],
            Self::ClientRedirect => vec![redirect(Role::Client, Manner::Silent)],
            Self::ClientProxyCloses => vec![redirect(Role::Client, Manner::Closes)],
            Self::ClientNoRoute => vec![Change::Ip {
                at: Role::Client,
                lines: "route del default\nroute del ::/0\n",
                undo: "route add default via 10.22.1.1\nroute add default via fd22:1::1\n",
            }],
            Self::ClientDeadGateway => vec![Change::Ip {
                at: Role::Client,
                lines: "route replace default via 10.22.1.254\nroute del ::/0\nroute add default via fd22:1::fe\n",
                undo: "route replace default via 10.22.1.1\nroute del ::/0\nroute add default via fd22:1::1\n",
            }],
            Self::ClientWrongNeighbour => vec![Change::Ip {
                at: Role::Client,
                lines: "neigh replace 10.22.1.1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent\n\
                        neigh replace fd22:1::1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent\n",
                undo: "neigh del 10.22.1.1 dev eth0\nneigh del fd22:1::1 dev eth0\n",
            }],
            Self::ClientPolicyProhibit => vec![Change::Ip {
                at: Role::Client,
                lines: "rule add uidrange 0-65534 ipproto tcp dport 22 prohibit\n\
                        -6 rule add uidrange 0-65534 ipproto tcp dport 22 prohibit\n",
                undo: "rule del uidrange 0-65534 ipproto tcp dport 22 prohibit\n\
                       -6 rule del uidrange 0-65534 ipproto tcp dport 22 prohibit\n",
            }],
            Self::ClientPolicyDeadGateway => vec![Change::Ip {
                at: Role::Client,
                lines: "route add default via 10.22.1.254 table 101\n\
                        rule add uidrange 0-65534 ipproto tcp dport 22 lookup 101\n\
                        -6 route add default via fd22:1::fe table 101\n\
                        -6 rule add uidrange 0-65534 ipproto tcp dport 22 lookup 101\n",
                undo: "rule del uidrange 0-65534 ipproto tcp dport 22 lookup 101\n\
                       route del default table 101\n\
                       -6 rule del uidrange 0-65534 ipproto tcp dport 22 lookup 101\n\
                       -6 route del default table 101\n",
            }],
            Self::ClientTwoGatewaysEdgeReset => {
                let second = Change::Ip {
                    at: Role::Client,
                    lines: "route add default via 10.22.1.254 metric 100\n\
                            route add default via fd22:1::fe metric 2048\n",
                    undo: "route del default via 10.22.1.254 metric 100\n\
                           route del default via fd22:1::fe metric 2048\n",
                };
                with(vec![second], Self::EdgeReset)
            }

            Self::SilentTransitEdgeReset => with(silent_transit(), Self::EdgeReset),
            Self::SilentTransitVmSshdStopped => with(silent_transit(), Self::VmSshdStopped),
            Self::SilentTransitAzureDrop => with(silent_transit(), Self::AzureDropBeforeTtl),
            Self::RationedTransitAzureDrop => {
                with(rationed(&[Role::Transit1, Role::Transit2]), Self::AzureDropBeforeTtl)
            }
            Self::RationedPathAzureReset => {
                let routers = [Role::Edge, Role::Transit1, Role::Transit2, Role::AzureEdge];
                with(rationed(&routers), Self::AzureReset)
            }
            Self::OpaqueAzureHealthy => vec![opaque_azure("tcp dport != 22 drop")],
            Self::OpaqueAzureDrop => vec![opaque_azure("meta l4proto tcp drop")],
            Self::OpaqueAzureVmSshdStopped => {
                with(vec![opaque_azure("tcp dport != 22 drop")], Self::VmSshdStopped)
            }
            Self::NatVmSshdStopped => with(vec![nat(NAT)], Self::VmSshdStopped),
            Self::NatAzureDrop => with(vec![nat(NAT)], Self::AzureDropAfterTtl),
            Self::NatPortsAzureDrop => with(vec![nat(NAT_WITH_PORTS)], Self::AzureDropBeforeTtl),
            Self::EcmpTransitDrop => two_ways_through_transit(),
            Self::AsymmetricAzureReset => with(vec![Change::Detour, shorter_way_back()], Self::AzureReset),
            Self::AsymmetricVmSshdStopped => {
                with(vec![Change::Detour, shorter_way_back()], Self::VmSshdStopped)
            }
            Self::DetourVmSshdStopped => {
                with(vec![Change::Detour, shorter_way_for_ssh()], Self::VmSshdStopped)
            }
            Self::ClampedMssAzureReset => {
                let clamp = forward(Role::Transit1, "tcp flags syn tcp option maxseg size set 1300");
                with(vec![clamp], Self::AzureReset)
            }
            Self::BleachedDscpVmSshdStopped => with(vec![bleach()], Self::VmSshdStopped),
            Self::BleachedDscpVmRejectReset => with(vec![bleach()], Self::VmRejectReset),
            Self::DroppedDscpVmSshdStopped => {
                let drop = forward(Role::Edge, "ip dscp != cs0 drop; ip6 dscp != cs0 drop");
                with(vec![drop], Self::VmSshdStopped)
            }
            Self::ShiftedSequenceAzureReset => with(vec![shift_sequence()], Self::AzureReset),
            Self::ShiftedSequenceVmSshdStopped => with(vec![shift_sequence()], Self::VmSshdStopped),
            Self::UntranslatedNatVmSshdStopped => {
                // As the edge itself: what comes back finds its way to the box.
                let conduct = Conduct::Translate(Ipv4Addr::new(10, 22, 1, 2), Ipv4Addr::new(198, 18, 1, 1));
                with(vec![Change::Box { before: Role::Transit1, conduct }], Self::VmSshdStopped)
            }
            Self::RestoredTtlVmSshdStopped => {
                let restore = "oifname eth1 ip ttl set 64; oifname eth1 ip6 hoplimit set 64";
                with(vec![forward(Role::Transit1, restore)], Self::VmSshdStopped)
            }
            Self::StrictEdgeHealthy => vec![strict_edge()],
            Self::StrictEdgeVmSshdStopped => with(vec![strict_edge()], Self::VmSshdStopped),
            Self::StrictEdgeAzureReset => with(vec![strict_edge()], Self::AzureReset),
            Self::StrictEdgeAzureDrop => with(vec![strict_edge()], Self::AzureDropBeforeTtl),
            Self::LimitedEdgeHealthy => vec![limit_syns()],
            Self::LimitedEdgeAzureReset => with(vec![limit_syns()], Self::AzureReset),
            Self::GreylistedHealthy => vec![greylist()],
            Self::GreylistedVmSshdStopped => with(vec![greylist()], Self::VmSshdStopped),
            Self::VpnHealthy => vec![Change::Tunnel],
            Self::VpnVmSshdStopped => with(vec![Change::Tunnel], Self::VmSshdStopped),
            Self::VpnEdgeDrop => with(vec![Change::Tunnel], Self::EdgeDropAfterTtl),
            Self::VpnEdgeReset => with(vec![Change::Tunnel], Self::EdgeReset),
            Self::VpnClientFrozen => vec![Change::Tunnel, Change::TunnelFrozen],
            Self::VpnDead => {
                vec![Change::Tunnel, filter(Role::Edge, "input", &format!("udp dport {VPN_PORT} drop"))]
            }
        }
    }
}

/// A chain at a netfilter hook.
pub(in crate::lab) fn chain(kind: &str, hook: &str, priority: &str, rules: &str) -> String {
    format!("chain {hook} {{ type {kind} hook {hook} priority {priority}; {rules}; }}\n")
}

fn filter(at: Role, hook: &str, rules: &str) -> Change {
    Change::Rules { at, chains: chain("filter", hook, "0", rules) }
}

fn input(rules: &str) -> Change {
    filter(Role::Vm, "input", rules)
}

fn forward(at: Role, rules: &str) -> Change {
    filter(at, "forward", rules)
}

/// Prerouting comes before the kernel looks at the TTL, forward after it.
fn before_ttl(at: Role, rules: &str) -> Change {
    Change::Rules { at, chains: chain("filter", "prerouting", "-300", rules) }
}

fn redirect(at: Role, manner: Manner) -> Change {
    Change::Intercept { at, by: Means::Redirect, manner }
}

/// Translates the destination of connections to port 22, over IPv4 and IPv6.
fn lead_to(at: Role, [v4, v6]: [&str; 2]) -> Change {
    let rules = format!("tcp dport 22 dnat ip to {v4}; tcp dport 22 dnat ip6 to {v6}");
    Change::Rules { at, chains: chain("nat", "prerouting", "-100", &rules) }
}

fn inject(before: Role, forgery: Forgery) -> Change {
    Change::Box { before, conduct: Conduct::Inject(Injector::in_path(Trigger::Syn, forgery)) }
}

fn inject_beside(before: Role) -> Change {
    Change::Box { before, conduct: Conduct::Inject(Injector::on_path(Trigger::Syn, Forgery::PLAIN)) }
}

fn reset_on_ssh(before: Role) -> Change {
    reset_on(before, Trigger::Identification)
}

fn reset_on(before: Role, trigger: Trigger) -> Change {
    let forgery = Forgery { both_ends: true, ..Forgery::PLAIN };
    Change::Box { before, conduct: Conduct::Inject(Injector::in_path(trigger, forgery)) }
}

fn stall(before: Role, trigger: Trigger) -> Change {
    Change::Box { before, conduct: Conduct::Stall(trigger) }
}

/// What makes a path hard, and then what is wrong with it.
fn with(mut hard: Vec<Change>, fault: Fault) -> Vec<Change> {
    hard.extend(fault.changes());
    hard
}

fn silent_transit() -> Vec<Change> {
    const SILENT: &str = "icmp type time-exceeded drop; icmpv6 type time-exceeded drop";
    [Role::Transit1, Role::Transit2].map(|at| filter(at, "output", SILENT)).into()
}

fn rationed(routers: &[Role]) -> Vec<Change> {
    const MILLISECONDS: &str = "10000";
    routers
        .iter()
        .flat_map(|&at| ["net/ipv4/icmp_ratelimit", "net/ipv6/icmp/ratelimit"].map(|key| (at, key)))
        .map(|(at, key)| Change::Sysctl { at, key, value: MILLISECONDS })
        .collect()
}

/// The Azure edge sends nothing of its own, and lets no echo through, nor what `rules` drop.
fn opaque_azure(rules: &str) -> Change {
    let own = "icmp type { time-exceeded, echo-reply } drop; icmpv6 type { time-exceeded, echo-reply } drop";
    let through = format!(
        "oifname eth1 icmp type echo-request drop; oifname eth1 icmpv6 type echo-request drop; oifname eth1 {rules}"
    );
    let chains = chain("filter", "output", "0", own) + &chain("filter", "forward", "0", &through);
    Change::Rules { at: Role::AzureEdge, chains }
}

fn nat(rules: &str) -> Change {
    Change::Rules { at: Role::Edge, chains: chain("nat", "postrouting", "100", rules) }
}

/// A firewall that tracks connections and has one rule: SSH may go out.
fn strict_edge() -> Change {
    const RULES: &str = "ct state invalid drop; ct state established,related accept; \
                         iifname eth0 tcp dport 22 ct state new accept; drop";
    forward(Role::Edge, RULES)
}

fn limit_syns() -> Change {
    forward(Role::Edge, &format!("{SYN} limit rate over 5/second burst 5 packets drop"))
}

/// Only the second SYN of a connection passes, and what comes behind it.
fn greylist() -> Change {
    let set = |name: &str, kind: &str| {
        format!("set {name} {{ type {kind} . inet_service; flags dynamic, timeout; timeout 1m; }}\n")
    };
    let rule = |ip: &str, name: &str| {
        format!("{SYN} {ip} saddr . tcp sport != @{name} add @{name} {{ {ip} saddr . tcp sport }} drop")
    };
    let rules = [rule("ip", "seen4"), rule("ip6", "seen6")].join("; ");
    let chains =
        set("seen4", "ipv4_addr") + &set("seen6", "ipv6_addr") + &chain("filter", "forward", "0", &rules);
    Change::Rules { at: Role::Edge, chains }
}

fn bleach() -> Change {
    forward(Role::Edge, "ip dscp set cs0; ip6 dscp set cs0")
}

fn shift_sequence() -> Change {
    Change::Box { before: Role::Transit2, conduct: Conduct::ShiftSequence(0x1234_5678) }
}

/// The edge answers each SYN with a cookie, and asks the VM only when the client has shown that it is there.
fn synproxy() -> Vec<Change> {
    // No more than the MSS fits a cookie without timestamps; with them, Linux 6.18 echoes a wrong one to the VM, which
    // then waits a second.
    const UNTRACKED: &str = "tcp dport 22 tcp flags & (fin|syn|rst|ack) == syn notrack";
    const PROXY: &str = "tcp dport 22 ct state invalid,untracked synproxy mss 1460; \
                         tcp dport 22 ct state invalid drop";
    vec![
        Change::Rules {
            at: Role::Edge,
            chains: chain("filter", "prerouting", "-300", UNTRACKED)
                + &chain("filter", "forward", "0", PROXY),
        },
        // Only what began with a SYN counts as a connection.
        Change::Sysctl { at: Role::Edge, key: "net/netfilter/nf_conntrack_tcp_loose", value: "0" },
    ]
}

/// A link that carries 1,400 bytes, between routers that say nothing of it.
fn narrow_transit() -> Vec<Change> {
    const SILENT: &str =
        "icmp type destination-unreachable icmp code frag-needed drop; icmpv6 type packet-too-big drop";
    let narrow = |at, lines, undo| [Change::Ip { at, lines, undo }, filter(at, "output", SILENT)];
    let mut changes = Vec::new();
    changes.extend(narrow(Role::Transit1, "link set eth1 mtu 1400\n", "link set eth1 mtu 1500\n"));
    changes.extend(narrow(Role::Transit2, "link set eth0 mtu 1400\n", "link set eth0 mtu 1500\n"));
    changes
}

/// The edge spreads connections over transit and the detour, by ports as well as addresses.
/// Source and destination address, protocol, source and destination port (Documentation/networking/ip-sysctl.rst).
const HASHED: &str = "0x0037";

fn two_ways_through_transit() -> Vec<Change> {
    vec![
        Change::Detour,
        forward(Role::Detour, DROP),
        // By the addresses, protocol and ports in the packet: policy 1 goes by what the client's kernel noted beside it,
        // which changes with each retransmission.
        Change::Sysctl { at: Role::Edge, key: "net/ipv4/fib_multipath_hash_policy", value: "3" },
        Change::Sysctl { at: Role::Edge, key: "net/ipv6/fib_multipath_hash_policy", value: "3" },
        Change::Sysctl { at: Role::Edge, key: "net/ipv4/fib_multipath_hash_fields", value: HASHED },
        Change::Sysctl { at: Role::Edge, key: "net/ipv6/fib_multipath_hash_fields", value: HASHED },
        Change::Ip {
            at: Role::Edge,
            lines: "route add 198.19.0.0/24 nexthop via 198.18.1.2 nexthop via 198.18.4.2\n\
                    route add 2001:db8:19::/64 nexthop via 2001:db8:1::2 nexthop via 2001:db8:4::2\n",
            undo: "route del 198.19.0.0/24\nroute del 2001:db8:19::/64\n",
        },
    ]
}

fn shorter_way_back() -> Change {
    Change::Ip {
        at: Role::AzureEdge,
        lines: "route add 10.22.1.0/24 via 198.18.5.1\nroute add fd22:1::/64 via 2001:db8:5::1\n",
        undo: "route del 10.22.1.0/24\nroute del fd22:1::/64\n",
    }
}

fn shorter_way_for_ssh() -> Change {
    Change::Ip {
        at: Role::Edge,
        lines: "route add default via 198.18.4.2 table 101\n\
                rule add ipproto tcp dport 22 lookup 101\n\
                -6 route add default via 2001:db8:4::2 table 101\n\
                -6 rule add ipproto tcp dport 22 lookup 101\n",
        undo: "rule del ipproto tcp dport 22 lookup 101\n\
               route del default table 101\n\
               -6 rule del ipproto tcp dport 22 lookup 101\n\
               -6 route del default table 101\n",
    }
}
