//! A path, a culprit and every trick in between, all from one number.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use whichhop::evidence::Suspect;
use whichhop::path::Segment;

use super::kernel::{EACCES, ECONNREFUSED, EHOSTUNREACH, EINVAL, ENETUNREACH};
use super::rng::Rng;
use super::tricks::Tricks;
use super::wire::ErrorKind;

/// Everything that is true of one simulated trace.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    /// Of which kind the culprit is: one of `KINDS`.
    pub(crate) kind: &'static str,
    pub(crate) port: u16,
    pub(crate) client: IpAddr,
    /// Routers in path order; hop 1 is the first.
    pub(crate) routers: Vec<Router>,
    /// `links[i]` lies before router `i`, the last one before the VM.
    pub(crate) links: Vec<Link>,
    pub(crate) vm: Vm,
    pub(crate) nat: Option<Nat>,
    pub(crate) culprit: Culprit,
    pub(crate) guilty: Option<Suspect>,
    pub(crate) edge_nets: Vec<IpNet>,
    pub(crate) azure_nets: Vec<IpNet>,
    pub(crate) machine: Machine,
    /// The way back from this router and beyond is longer than the way out by so many hops.
    pub(crate) detour: Option<(usize, u8)>,
    /// The tool sends halves of SYNs where the port is silent.
    pub(crate) deep: bool,
    /// The culprit looks at whole packets alone.
    pub(crate) passes_fragments: bool,
}

/// A router, or a box that passes packets on without counting them.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    pub(crate) segment: Segment,
    pub(crate) address: IpAddr,
    pub(crate) initial_ttl: u8,
    /// Whether it takes one off the TTL; fabric and bridges do not.
    pub(crate) decrements: bool,
    /// Whether it never sends ICMP errors.
    pub(crate) silent: bool,
    pub(crate) limit: Limit,
    pub(crate) short_quotes: bool,
    /// Time its slow path takes to make an error, ns.
    pub(crate) slow: i64,
    /// Innocent habits, which look guilty.
    pub(crate) habits: Habits,
    pub(crate) tricks: Tricks,
}

/// What an innocent router may do to packets that are not SSH.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a habit of its own")]
pub(crate) struct Habits {
    /// Drops echo requests.
    pub(crate) drops_echo: bool,
    /// Drops TCP to other ports than SSH's.
    pub(crate) drops_other_ports: bool,
    /// Resets TCP to other ports than SSH's.
    pub(crate) resets_other_ports: bool,
    /// Drops ICMP errors on their way to the client.
    pub(crate) drops_errors_inward: bool,
    /// Answers echo requests in the VM's name, as load balancers do.
    pub(crate) answers_echo: bool,
}

/// How a router limits the ICMP errors it sends to one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// As Linux does: a burst of 6, then one a second.
    Linux,
    /// Two a second and no burst.
    Stingy,
    /// Not at all.
    None,
}

/// A link between two neighbours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    /// One way, ns.
    pub(crate) delay: i64,
    /// Most that is added to it, ns.
    pub(crate) jitter: i64,
    /// Percent lost on the way out and on the way back.
    pub(crate) loss: (u64, u64),
    /// Whether packets may overtake each other.
    pub(crate) reorders: bool,
}

/// Source NAT on the last edge router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nat {
    pub(crate) router: usize,
    pub(crate) public: IpAddr,
    /// Whether it keeps source ports where it can.
    pub(crate) keeps_ports: bool,
    /// Whether it puts the inner address back into what ICMP errors quote.
    pub(crate) translates_quotes: bool,
}

/// The VM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vm {
    pub(crate) address: IpAddr,
    pub(crate) initial_ttl: u8,
    pub(crate) answers_ping: bool,
    pub(crate) closed_ports: ClosedPorts,
}

/// What the VM answers on a port that nothing listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClosedPorts {
    Reset,
    Drop,
    Reject,
}

/// The machine the tool runs on.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a trait of its own")]
pub(crate) struct Machine {
    /// When the kernel sends a SYN again, ns after the first.
    pub(crate) syn_retries: &'static [i64],
    /// Whether resets that the kernel sends on its own account leave the machine.
    pub(crate) kernel_resets: bool,
    /// How long after its timestamp a frame is read from the capture at most, ns.
    pub(crate) capture_lag: i64,
    /// Whether frames that have nothing to do with the trace are captured too.
    pub(crate) noise: bool,
    /// Percent of the frames that the capture loses.
    pub(crate) capture_loss: u64,
    /// Whether somebody off the path sends it forged answers.
    pub(crate) forger: bool,
    /// Whether the tool may capture and craft frames.
    pub(crate) raw: bool,
}

const S: i64 = 1_000_000_000;
/// Linux before 6.5.
const DOUBLING: &[i64] = &[S, 3 * S, 7 * S, 15 * S];
/// Linux from 6.5 on (`tcp_syn_linear_timeouts` = 4).
const LINEAR: &[i64] = &[S, 2 * S, 3 * S, 4 * S, 5 * S, 7 * S, 11 * S];

/// Who stops SSH, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Culprit {
    Nobody,
    Client(ClientFault),
    Router { index: usize, fault: RouterFault },
    Vm(VmFault),
}

/// Faults on the client. What the tool crafts goes below the local firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientFault {
    DropOut,
    RejectOut { errno: i32 },
    DropIn,
    Redirect(Service),
    NoRoute { errno: i32 },
}

/// Faults of a box on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouterFault {
    Drop {
        stage: Stage,
        scope: Scope,
    },
    Reset {
        stage: Stage,
        style: ResetStyle,
    },
    Reject {
        stage: Stage,
        kind: ErrorKind,
    },
    /// Drops TCP from the SSH port on its way to the client.
    DropBack,
    /// Drops everything to the target, before the TTL check.
    BlackHole,
    /// Has no route to the target, and says so unless it is silent.
    NoRoute,
    /// Resets by a copy of the SYN, which goes on.
    Inject {
        style: ResetStyle,
    },
    /// Lets the handshake pass and stops the banner.
    Inspect {
        resets: bool,
    },
    /// Terminates the connection itself.
    Intercept(Service),
    /// Knows the client's identification when it sees it.
    Recognise {
        stage: Stage,
        /// Resets, else drops that connection from then on.
        resets: bool,
        /// Works on a copy: the identification goes on.
        copies: bool,
        /// How long after it the connection is dropped, ns.
        after: i64,
        ttl: ResetTtl,
    },
    /// Drops packets to the port that are longer than this, in bytes, and says nothing.
    Swallow {
        most: usize,
    },
}

/// Where on a router it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before the TTL check.
    Ingress,
    /// After it.
    Forward,
}

/// Which packets a filter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Port,
    AllTcp,
}

/// What a forged reset looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResetStyle {
    pub(crate) ttl: ResetTtl,
    pub(crate) ack: ResetAck,
    /// Whether it copies the TOS byte of the SYN, as a kernel without a listener does.
    pub(crate) mirrors_tos: bool,
    /// Whether it copies the SYN's IP identification, and its window.
    pub(crate) echoes: (bool, bool),
    /// Whether a SYN with a wrong checksum draws none.
    pub(crate) verifies: bool,
    /// Further resets of the same SYN, of which every other acknowledges nothing.
    pub(crate) more: u8,
    /// How long after the SYN it is sent, ns.
    pub(crate) late: i64,
    /// How long the VM takes to answer the SYN that an injector lets pass, ns.
    pub(crate) genuine_late: i64,
}

impl ResetStyle {
    /// What a kernel sends, with another hop limit at most.
    pub(crate) const fn plain(ttl: ResetTtl) -> Self {
        Self {
            ttl,
            ack: ResetAck::IsnPlusOne,
            mirrors_tos: false,
            echoes: (false, false),
            verifies: true,
            more: 0,
            late: 0,
            genuine_late: 0,
        }
    }

    fn choose(rng: &mut Rng) -> Self {
        let ms = |n: i64| n * 1_000_000;
        Self {
            ttl: match rng.between(0, 99) {
                0..=14 => ResetTtl::Copied,
                15..=22 => ResetTtl::Random,
                23..=29 => ResetTtl::Counter,
                _ => ResetTtl::Initial(rng.pick(&[64, 64, 128, 255, 60, 32])),
            },
            ack: match rng.between(0, 99) {
                0..=2 => ResetAck::Isn,
                3..=5 => ResetAck::Absent,
                _ => ResetAck::IsnPlusOne,
            },
            mirrors_tos: rng.chance(30),
            echoes: (rng.chance(15), rng.chance(15)),
            verifies: rng.chance(60),
            more: rng.pick(&[0, 0, 0, 0, 0, 1, 2]),
            late: rng.pick(&[0, 0, 0, 0, 0, ms(30), ms(400), ms(1_500)]),
            genuine_late: rng.pick(&[0, 0, 0, ms(300), ms(2_500)]),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResetTtl {
    Initial(u8),
    /// What was left of the SYN's.
    Copied,
    /// Any.
    Random,
    /// One more each time, and the window with it.
    Counter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResetAck {
    IsnPlusOne,
    Isn,
    Absent,
}

/// Faults of the VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VmFault {
    /// Nothing listens on the port.
    Stopped,
    RejectReset,
    RejectIcmp(ErrorKind),
    DropIn {
        scope: VmScope,
    },
    DropOut {
        scope: VmScope,
    },
    Off {
        unreachable: bool,
    },
    Service(Service),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VmScope {
    Port,
    Everything,
}

/// What a listener does once a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Sends an SSH banner.
    Ssh,
    /// Closes without a word.
    Closes,
    /// Says why, in sshd's words, and closes.
    ClosesWithWords,
    /// Resets.
    Resets,
    /// Sends its banner, and then nothing.
    Hangs,
    /// Sends its banner, and resets once the client has said who it is.
    ResetsIdentified,
    /// Speaks another protocol first.
    Foreign,
    /// Waits for the client to speak.
    Silent,
}

/// Kinds of culprit, as the statistics count them.
const KINDS: &[&str] = &[
    "healthy",
    "client drop out",
    "client reject out",
    "client drop in",
    "client redirect",
    "client no route",
    "edge drop ingress",
    "edge drop forward",
    "edge drop back",
    "edge reset ingress",
    "edge reset forward",
    "edge reject",
    "edge inject",
    "edge inspect",
    "edge recognise",
    "edge swallow",
    "edge intercept",
    "edge blackhole",
    "edge no route",
    "transit drop ingress",
    "transit drop forward",
    "transit drop back",
    "transit reset ingress",
    "transit reset forward",
    "transit reject",
    "transit inject",
    "transit inspect",
    "transit recognise",
    "transit swallow",
    "transit blackhole",
    "transit no route",
    "azure drop ingress",
    "azure drop forward",
    "azure drop back",
    "azure reset ingress",
    "azure reset forward",
    "azure reject",
    "azure inject",
    "azure inspect",
    "azure recognise",
    "azure swallow",
    "azure intercept",
    "azure blackhole",
    "azure no route",
    "vm stopped",
    "vm reject reset",
    "vm reject icmp",
    "vm drop in",
    "vm drop out",
    "vm off",
    "vm closes",
    "vm foreign",
    "vm silent",
    "vm hangs",
    "vm resets identified",
];

impl Scenario {
    /// The scenario of `seed`.
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let kind = rng.pick(KINDS);
        let v6 = rng.chance(25);
        let plan = Addressing::choose(&mut rng, v6);

        let wants = |name: &str| u64::from(kind.starts_with(name));
        let edge = rng.between(0, 3).max(wants("edge"));
        let transit = if plan == Addressing::Private { 0 } else { rng.between(0, 6) }.max(wants("transit"));
        let plan = if transit > 0 && plan == Addressing::Private { Addressing::Lab } else { plan };
        let azure = rng.between(1, 4);

        let mut routers = Vec::new();
        for (segment, count) in
            [(Segment::Edge, edge), (Segment::Transit, transit), (Segment::AzureEdge, azure)]
        {
            let opaque = segment == Segment::AzureEdge && rng.chance(70);
            let shared_nat = segment == Segment::Transit && !v6 && rng.chance(20);
            for i in 0..count {
                let mut router = Router::choose(&mut rng, segment, opaque, v6);
                router.address = if shared_nat && i == 0 {
                    IpAddr::V4(Ipv4Addr::new(100, 64, 0, 1))
                } else {
                    plan.router(segment, i as u8, v6)
                };
                routers.push(router);
            }
        }
        let reorders = rng.chance(10);
        let lossy = rng.chance(30);
        let links: Vec<_> = (0..=routers.len()).map(|_| Link::choose(&mut rng, lossy, reorders)).collect();

        let client = plan.client(edge, v6);
        let nat = (!v6 && edge > 0 && plan != Addressing::Private && rng.chance(50)).then(|| Nat {
            router: edge as usize - 1,
            public: plan.public(),
            keeps_ports: rng.chance(70),
            translates_quotes: true,
        });
        let nat = nat.map(|n| Nat { translates_quotes: !n.keeps_ports || rng.chance(80), ..n });

        let mut scenario = Self {
            seed,
            kind,
            port: if rng.chance(90) { 22 } else { 2222 },
            client,
            detour: rng
                .chance(20)
                .then(|| (rng.between(0, routers.len() as u64) as usize, rng.between(1, 3) as u8)),
            deep: false,
            passes_fragments: false,
            routers,
            links,
            vm: Vm {
                address: plan.vm(v6),
                initial_ttl: rng.pick(&[64, 64, 64, 128, 255, 60, 32]),
                answers_ping: rng.chance(50),
                closed_ports: rng.pick(&[ClosedPorts::Reset, ClosedPorts::Drop, ClosedPorts::Reject]),
            },
            nat,
            culprit: Culprit::Nobody,
            guilty: None,
            edge_nets: if rng.chance(30) { Addressing::edge_nets(v6) } else { vec![] },
            azure_nets: if rng.chance(50) { plan.azure_nets(v6) } else { vec![] },
            machine: Machine {
                syn_retries: rng.pick(&[DOUBLING, LINEAR]),
                kernel_resets: rng.chance(60),
                capture_lag: rng.pick(&[0, 200_000, 2_000_000, 15_000_000]),
                noise: rng.chance(20),
                raw: rng.chance(90),
                forger: Rng::new(!seed).chance(30),
                capture_loss: Rng::new(seed.rotate_left(32) ^ 0xcafe).pick(&[0, 0, 0, 0, 2, 15]),
            },
        };
        scenario.blame(kind, &mut rng);
        scenario.play_tricks(&mut Rng::new(seed ^ 0x0007_1c45), plan, v6);
        scenario
    }

    fn play_tricks(&mut self, rng: &mut Rng, plan: Addressing, v6: bool) {
        self.deep = rng.chance(15);
        self.passes_fragments = rng.chance(30);
        if rng.chance(60) {
            return;
        }
        for (i, router) in (0..).zip(&mut self.routers) {
            // Numbered apart from all others.
            router.tricks = Tricks::choose(rng, plan.router(router.segment, i + 100, v6));
        }
    }

    fn blame(&mut self, kind: &str, rng: &mut Rng) {
        let (place, fault) = kind.split_once(' ').unwrap_or((kind, ""));
        (self.culprit, self.guilty) = match place {
            "client" => {
                let (fault, guilty) = client_fault(fault, rng);
                (Culprit::Client(fault), Some(guilty))
            }
            "vm" => {
                let (fault, guilty) = vm_fault(fault, rng);
                (Culprit::Vm(fault), Some(guilty))
            }
            "edge" | "transit" | "azure" => {
                let segment = match place {
                    "edge" => Segment::Edge,
                    "transit" => Segment::Transit,
                    _ => Segment::AzureEdge,
                };
                let candidates: Vec<_> =
                    (0..self.routers.len()).filter(|i| self.routers[*i].segment == segment).collect();
                let index = rng.pick(&candidates);
                let (fault, guilty) = router_fault(segment, fault, rng);
                // A box that says why is not one of those that never say anything.
                if matches!(fault, RouterFault::Reject { .. }) {
                    self.routers[index].silent = false;
                }
                (Culprit::Router { index, fault }, Some(guilty))
            }
            _ => (Culprit::Nobody, None),
        };
    }

    /// Whether nothing in it is left to chance once the seed has spoken.
    pub(crate) fn lossless(&self) -> bool {
        self.links.iter().all(|l| l.loss == (0, 0))
    }

    /// Whether some IPv6 router quotes 8 bytes of TCP only: nothing in them tells one hop limit from another.
    pub(crate) fn short_v6(&self) -> bool {
        self.client.is_ipv6() && self.routers.iter().any(|r| r.short_quotes && !r.silent)
    }

    /// The router that a packet sent with `ttl` dies at, if any does.
    pub(crate) fn dies_at(&self, ttl: u8) -> Option<usize> {
        let mut counting = self.routers.iter().enumerate().filter(|(_, r)| r.decrements);
        counting.nth(usize::from(ttl.max(1)) - 1).map(|(i, _)| i)
    }
}

fn client_fault(fault: &str, rng: &mut Rng) -> (ClientFault, Suspect) {
    let (fault, usual) = match fault {
        "drop out" => (ClientFault::DropOut, Suspect::ClientFirewallOut),
        "reject out" => {
            let errno = rng.pick(&[ECONNREFUSED, EHOSTUNREACH, EACCES]);
            (ClientFault::RejectOut { errno }, Suspect::ClientFirewallOut)
        }
        "drop in" => (ClientFault::DropIn, Suspect::ClientFirewallIn),
        "redirect" => {
            let service = rng.pick(&[Service::Silent, Service::Ssh, Service::Foreign, Service::Closes]);
            (ClientFault::Redirect(service), Suspect::ClientProxy)
        }
        _ => {
            let errno = rng.pick(&[ENETUNREACH, EHOSTUNREACH, EINVAL, EACCES]);
            return (ClientFault::NoRoute { errno }, Suspect::ClientRoute);
        }
    };
    (fault, if rng.chance(20) { Suspect::ClientSecuritySoftware } else { usual })
}

fn vm_fault(fault: &str, rng: &mut Rng) -> (VmFault, Suspect) {
    let scope = rng.pick(&[VmScope::Port, VmScope::Everything]);
    match fault {
        "stopped" => (VmFault::Stopped, rng.pick(&[Suspect::VmSshdNotRunning, Suspect::VmSshdPort])),
        "reject reset" => (VmFault::RejectReset, Suspect::VmFirewall),
        "reject icmp" => {
            let kind = rng.pick(&[
                ErrorKind::PortUnreachable,
                ErrorKind::AdminProhibited,
                ErrorKind::HostProhibited,
                ErrorKind::HostUnreachable,
                ErrorKind::NetUnreachable,
            ]);
            (VmFault::RejectIcmp(kind), Suspect::VmFirewall)
        }
        "drop in" => (VmFault::DropIn { scope }, rng.pick(&[Suspect::VmFirewall, Suspect::VmIds])),
        "drop out" => (VmFault::DropOut { scope }, rng.pick(&[Suspect::VmFirewall, Suspect::VmRoute])),
        "off" => (VmFault::Off { unreachable: rng.chance(50) }, Suspect::VmDown),
        "closes" => {
            let service = rng.pick(&[Service::Closes, Service::ClosesWithWords, Service::Resets]);
            (VmFault::Service(service), Suspect::VmSshdRefuses)
        }
        "foreign" => (VmFault::Service(Service::Foreign), Suspect::VmOtherService),
        "hangs" => (VmFault::Service(Service::Hangs), Suspect::VmSshdHung),
        "resets identified" => (VmFault::Service(Service::ResetsIdentified), Suspect::VmIds),
        _ => (VmFault::Service(Service::Silent), Suspect::VmSshdHung),
    }
}

/// A fault of a box on the way and the suspect it makes guilty: mostly the usual one, at times another
/// that could do exactly the same.
fn router_fault(segment: Segment, fault: &str, rng: &mut Rng) -> (RouterFault, Suspect) {
    use Segment::{AzureEdge, Edge};
    let style = ResetStyle::choose(rng);
    let scope = if rng.chance(70) { Scope::Port } else { Scope::AllTcp };
    let stage = if fault.ends_with("ingress") { Stage::Ingress } else { Stage::Forward };
    let fault = match fault {
        "drop ingress" | "drop forward" => RouterFault::Drop { stage, scope },
        "drop back" => RouterFault::DropBack,
        "reset ingress" | "reset forward" => RouterFault::Reset { stage, style },
        "reject" => RouterFault::Reject {
            stage: rng.pick(&[Stage::Ingress, Stage::Forward, Stage::Forward]),
            kind: rng.pick(&[
                ErrorKind::AdminProhibited,
                ErrorKind::HostProhibited,
                ErrorKind::NetProhibited,
                ErrorKind::HostUnreachable,
                ErrorKind::PortUnreachable,
                ErrorKind::NetUnreachable,
            ]),
        },
        "inject" => RouterFault::Inject { style },
        "inspect" => RouterFault::Inspect { resets: rng.chance(50) },
        "intercept" => RouterFault::Intercept(rng.pick(&[
            Service::Silent,
            Service::Closes,
            Service::Foreign,
            Service::Resets,
            Service::Ssh,
            Service::Hangs,
        ])),
        "recognise" => RouterFault::Recognise {
            stage: rng.pick(&[Stage::Ingress, Stage::Forward]),
            resets: rng.chance(50),
            copies: rng.chance(40),
            after: rng.pick(&[0, 0, 5_000_000, 60_000_000]),
            ttl: if rng.chance(20) {
                ResetTtl::Copied
            } else {
                ResetTtl::Initial(rng.pick(&[64, 64, 128, 255]))
            },
        },
        "swallow" => RouterFault::Swallow { most: rng.pick(&[1280, 1400, 1420, 1480]) },
        "blackhole" => RouterFault::BlackHole,
        _ => RouterFault::NoRoute,
    };
    let (usual, others): (Suspect, &[Suspect]) = match (fault, segment) {
        (RouterFault::BlackHole | RouterFault::NoRoute, Edge) => (Suspect::EdgeRoute, &[]),
        (RouterFault::BlackHole | RouterFault::NoRoute, AzureEdge) => {
            (Suspect::AzureRoute, &[Suspect::AzurePublicIp])
        }
        (RouterFault::BlackHole | RouterFault::NoRoute, _) => (Suspect::TransitRoute, &[]),
        (RouterFault::Swallow { .. }, Edge) => (Suspect::EdgeFirewall, &[]),
        (RouterFault::Swallow { .. }, AzureEdge) => (Suspect::AzureFirewall, &[Suspect::AzureRoute]),
        (RouterFault::Swallow { .. }, _) => (Suspect::TransitMtu, &[]),
        (RouterFault::Inject { .. } | RouterFault::Inspect { .. } | RouterFault::Recognise { .. }, Edge) => {
            (Suspect::EdgeIds, &[Suspect::EdgeFirewall])
        }
        (
            RouterFault::Inject { .. } | RouterFault::Inspect { .. } | RouterFault::Recognise { .. },
            AzureEdge,
        ) => (Suspect::AzureIds, &[Suspect::AzureFirewall]),
        (RouterFault::Intercept(_), Edge) => (Suspect::EdgeProxy, &[Suspect::EdgeFirewall]),
        (RouterFault::Intercept(_), AzureEdge) => (Suspect::AzureLoadBalancer, &[Suspect::AzureFirewall]),
        (RouterFault::Drop { .. }, AzureEdge) => {
            (Suspect::AzureNsg, &[Suspect::AzureAcl, Suspect::AzureEndpoint, Suspect::AzureFirewall])
        }
        (RouterFault::DropBack, AzureEdge) => (Suspect::AzureFirewall, &[]),
        (_, Edge) => (Suspect::EdgeFirewall, &[Suspect::EdgeIds]),
        (_, AzureEdge) => (Suspect::AzureFirewall, &[Suspect::AzureIds]),
        _ => (Suspect::TransitFilter, &[]),
    };
    let guilty = if !others.is_empty() && rng.chance(25) { rng.pick(others) } else { usual };
    (fault, guilty)
}

impl Router {
    fn choose(rng: &mut Rng, segment: Segment, opaque: bool, v6: bool) -> Self {
        let azure = segment == Segment::AzureEdge;
        let edge = segment == Segment::Edge;
        Self {
            segment,
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            initial_ttl: rng.pick(&[64, 64, 255, 255, 128, 60, 32]),
            decrements: !(opaque && rng.chance(40)),
            silent: opaque || rng.chance(15),
            limit: rng.pick(&[Limit::Linux, Limit::Linux, Limit::Linux, Limit::Stingy, Limit::None]),
            // RFC 792 asks for 8 bytes; RFC 4443 for all that fits, and nearly everyone complies.
            short_quotes: rng.chance(if v6 { 3 } else { 30 }),
            slow: rng.between(0, 3_000_000) as i64,
            habits: Habits {
                drops_echo: rng.chance(8),
                drops_other_ports: rng.chance(if azure { 20 } else { 5 }),
                resets_other_ports: edge && rng.chance(5),
                drops_errors_inward: edge && rng.chance(10),
                answers_echo: azure && rng.chance(8),
            },
            tricks: Tricks::default(),
        }
    }
}

impl Link {
    fn choose(rng: &mut Rng, lossy: bool, reorders: bool) -> Self {
        // 0.1 to 40 ms, evenly over the orders of magnitude.
        let delay = rng.pick(&[100, 300, 1_000, 1_000, 3_000, 10_000, 40_000]) * 1_000;
        let delay = delay - delay * rng.between(0, 50) as i64 / 100;
        let mut loss = || if lossy && rng.chance(25) { rng.pick(&[1, 5, 20]) } else { 0 };
        Self { delay, loss: (loss(), loss()), jitter: delay / rng.pick(&[100, 10, 3]), reorders }
    }
}

/// Which addresses a path has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addressing {
    /// Benchmark and documentation networks, as in the project's lab: nothing about them says Azure.
    Lab,
    /// Addresses that are Microsoft's in the world.
    Microsoft,
    /// A private target, over VPN or ExpressRoute.
    Private,
}

impl Addressing {
    fn choose(rng: &mut Rng, v6: bool) -> Self {
        if v6 { Self::Lab } else { rng.pick(&[Self::Lab, Self::Lab, Self::Microsoft, Self::Private]) }
    }

    fn router(self, segment: Segment, i: u8, v6: bool) -> IpAddr {
        let k = u16::from(i) + 1;
        if v6 {
            return IpAddr::V6(match segment {
                Segment::Edge => Ipv6Addr::new(0xfd22, 0, 0, k, 0, 0, 0, 1),
                Segment::Transit => Ipv6Addr::new(0x2001, 0xdb8, 1, k, 0, 0, 0, 1),
                _ => Ipv6Addr::new(0x2001, 0xdb8, 0xa, k, 0, 0, 0, 1),
            });
        }
        let k = i + 1;
        IpAddr::V4(match (self, segment) {
            (_, Segment::Edge) => Ipv4Addr::new(10, 22, k, 1),
            (Self::Microsoft, Segment::Transit) => Ipv4Addr::new(203, 0, 113, k),
            (_, Segment::Transit) => Ipv4Addr::new(198, 18, k, 2),
            (Self::Lab, _) => Ipv4Addr::new(198, 19, 255, k),
            (Self::Microsoft, _) => Ipv4Addr::new(104, 44, 16, k),
            (Self::Private, _) => Ipv4Addr::new(10, 50, 255, k),
        })
    }

    fn vm(self, v6: bool) -> IpAddr {
        match (self, v6) {
            (_, true) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0xffff, 0, 0, 0, 4)),
            (Self::Lab, _) => IpAddr::V4(Ipv4Addr::new(198, 19, 0, 4)),
            (Self::Microsoft, _) => IpAddr::V4(Ipv4Addr::new(20, 112, 250, 133)),
            (Self::Private, _) => IpAddr::V4(Ipv4Addr::new(10, 50, 0, 4)),
        }
    }

    fn client(self, edge: u64, v6: bool) -> IpAddr {
        match (edge, v6) {
            (0, true) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2)),
            (_, true) => IpAddr::V6(Ipv6Addr::new(0xfd22, 0, 0, 1, 0, 0, 0, 2)),
            (0, _) if self != Self::Private => self.public(),
            _ => IpAddr::V4(Ipv4Addr::new(10, 22, 1, 2)),
        }
    }

    /// What the world sees of the client.
    fn public(self) -> IpAddr {
        IpAddr::V4(match self {
            Self::Microsoft => Ipv4Addr::new(203, 0, 113, 200),
            _ => Ipv4Addr::new(198, 18, 200, 2),
        })
    }

    fn edge_nets(v6: bool) -> Vec<IpNet> {
        let net = if v6 { "fd22::/16" } else { "10.22.0.0/16" };
        net.parse().into_iter().collect()
    }

    fn azure_nets(self, v6: bool) -> Vec<IpNet> {
        let nets: &[&str] = match (self, v6) {
            (_, true) => &["2001:db8:a::/48"],
            (Self::Lab, _) => &["198.19.0.0/16"],
            (Self::Microsoft, _) => &["20.112.0.0/16", "104.44.0.0/16"],
            (Self::Private, _) => &["10.50.0.0/16"],
        };
        nets.iter().filter_map(|n| n.parse().ok()).collect()
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} ({})", self.seed, self.kind)?;
        match (self.culprit, self.guilty) {
            (culprit, Some(guilty)) => {
                writeln!(f, "culprit: {culprit:?}\nguilty: {guilty} in {}", guilty.segment())?;
            }
            _ => writeln!(f, "culprit: nobody")?,
        }
        let m = self.machine;
        if self.deep {
            writeln!(f, "--deep; the culprit passes fragments: {}", self.passes_fragments)?;
        }
        writeln!(
            f,
            "client {} ({}; kernel resets {}; capture lag {} ms{}{}; it loses {} %)",
            self.client,
            if m.raw { "raw" } else { "unprivileged" },
            if m.kernel_resets { "leave" } else { "are filtered" },
            m.capture_lag as f64 / 1e6,
            if m.noise { "; noise" } else { "" },
            if m.forger { "; a forger" } else { "" },
            m.capture_loss,
        )?;
        let mut hop = 0;
        for (i, (router, link)) in self.routers.iter().zip(&self.links).enumerate() {
            hop += u32::from(router.decrements);
            let number = if router.decrements { hop.to_string() } else { "-".to_owned() };
            write!(f, "  {number:>2} {:<10} {:<18} {link}", router.segment, router.address)?;
            write!(f, " ttl {} {:?}", router.initial_ttl, router.limit)?;
            for (is, word) in [
                (router.silent, "silent"),
                (router.short_quotes, "quotes 8 bytes"),
                (router.habits.drops_echo, "drops echo"),
                (router.habits.drops_other_ports, "drops other ports"),
                (router.habits.resets_other_ports, "resets other ports"),
                (router.habits.drops_errors_inward, "drops errors inward"),
                (router.habits.answers_echo, "answers echo for the vm"),
                (self.nat.is_some_and(|n| n.router == i), "source NAT"),
                (matches!(self.culprit, Culprit::Router { index, .. } if index == i), "<== CULPRIT"),
            ] {
                if is {
                    write!(f, ", {word}")?;
                }
            }
            if router.tricks != Tricks::default() {
                write!(f, ", {:?}", router.tricks)?;
            }
            writeln!(f)?;
        }
        let vm = self.vm;
        writeln!(
            f,
            "  vm            {:<18} {} ttl {}, port {}, {} ping, closed ports {:?}",
            vm.address,
            self.links[self.routers.len()],
            vm.initial_ttl,
            self.port,
            if vm.answers_ping { "answers" } else { "ignores" },
            vm.closed_ports,
        )?;
        if let Some(nat) = self.nat {
            writeln!(f, "{nat:?}")?;
        }
        if let Some((from, by)) = self.detour {
            writeln!(f, "the way back from router {} on is {by} longer", from + 1)?;
        }
        writeln!(f, "--edge-net {:?} --azure-net {:?}", self.edge_nets, self.azure_nets)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:.1} ms", self.delay as f64 / 1e6)?;
        if self.loss != (0, 0) {
            write!(f, ", {}/{} % lost", self.loss.0, self.loss.1)?;
        }
        write!(f, "{})", if self.reorders { ", reorders" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_scenario() {
        for seed in 0..50 {
            assert_eq!(Scenario::from_seed(seed).to_string(), Scenario::from_seed(seed).to_string());
        }
    }

    #[test]
    fn every_kind_comes_up_and_lies_where_its_name_says() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..2_000 {
            let scenario = Scenario::from_seed(seed);
            seen.insert(scenario.kind);
            let place = scenario.kind.split(' ').next();
            let segment = scenario.guilty.map(|g| g.segment().name().trim_end_matches("-edge"));
            assert_eq!(place, segment.or(Some("healthy")), "{scenario}");
            if let Culprit::Router { index, .. } = scenario.culprit {
                assert_eq!(Some(scenario.routers[index].segment), scenario.guilty.map(Suspect::segment));
            }
            assert_eq!(scenario.links.len(), scenario.routers.len() + 1);
        }
        assert_eq!(seen.len(), KINDS.len());
    }
}
