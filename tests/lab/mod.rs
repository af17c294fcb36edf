//! The lab: a path of real kernels in network namespaces, with a fault of one's choice.
//!
//! ```text
//! client --- edge --- transit1 --- transit2 --- azure-edge --- VM (sshd)
//!   10.22.1.0/24  198.18.1.0/24  198.18.2.0/24  198.18.3.0/24  198.19.0.0/24
//!    fd22:1::/64  2001:db8:1::/64  …:2::/64       …:3::/64       …:19::/64
//! ```
//!
//! Every router answers an expired TTL from the address it has towards the client. Kernels keep their defaults,
//! above all the limits on ICMP errors (per destination a burst of 6, then one a second): a trace spends them, and
//! [`Lab::clear_fault`] cannot give them back.
//!
//! A lab ends with its [`Drop`]. One that was killed is cleaned away when the next lab starts.

// Shared by several test programs and an example; each uses its part.
#![allow(dead_code, unused_imports)]
// A lab lives in real time.
#![allow(clippy::disallowed_methods)]

mod fault;
mod listener;
mod namespace;
mod sshd;
mod wire;

use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(crate) use fault::{Answers, Fault, Truth};
use fault::{Change, Undo};
use listener::SilentListener;
pub(crate) use namespace::{Namespace, program, reap};
use sshd::Sshd;
use wire::Wire;

/// The client's addresses.
pub(crate) const CLIENT: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 22, 1, 2)), IpAddr::V6(Ipv6Addr::new(0xfd22, 1, 0, 0, 0, 0, 0, 2))];

/// The VM's addresses; both are `vm1` in the client's hosts file.
pub(crate) const VM: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 19, 0, 4)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x19, 0, 0, 0, 0, 4))];

/// An address behind the Azure edge that nobody has; `vm2` is this one and then the VM.
pub(crate) const DEAD: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 0, 99));

/// The addresses that answer an expired TTL: IPv4 and IPv6 of hop 1, hop 2 and so on; the fifth hop is the VM.
pub(crate) const HOPS: [[IpAddr; 2]; 4] = [
    [IpAddr::V4(Ipv4Addr::new(10, 22, 1, 1)), IpAddr::V6(Ipv6Addr::new(0xfd22, 1, 0, 0, 0, 0, 0, 1))],
    [IpAddr::V4(Ipv4Addr::new(198, 18, 1, 2)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2))],
    [IpAddr::V4(Ipv4Addr::new(198, 18, 2, 2)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2))],
    [IpAddr::V4(Ipv4Addr::new(198, 18, 3, 2)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 3, 0, 0, 0, 0, 2))],
];

/// What `--azure-net` has to name so that hops 4 and 5 count as Azure.
pub(crate) const AZURE_NETS: [&str; 4] =
    ["198.18.3.0/24", "198.19.0.0/24", "2001:db8:3::/64", "2001:db8:19::/64"];

/// The port `sshd` listens on where the fault does not move it.
pub(crate) const SSH_PORT: u16 = 22;

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
}

impl Role {
    /// All of them, in path order.
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
        }
    }

    const fn forwards(self) -> bool {
        !matches!(self, Self::Client | Self::Vm)
    }

    /// Addresses and routes, as `ip -batch` reads them. `eth0` looks towards the client, `eth1` towards the VM;
    /// the client's and the VM's only interface is `eth0`.
    const fn addresses(self) -> &'static str {
        match self {
            Self::Client => {
                "addr add 10.22.1.2/24 dev eth0\n\
                 addr add fd22:1::2/64 dev eth0 nodad\n\
                 route add default via 10.22.1.1\n\
                 route add default via fd22:1::1\n"
            }
            Self::Edge => {
                "addr add 10.22.1.1/24 dev eth0\n\
                 addr add fd22:1::1/64 dev eth0 nodad\n\
                 addr add 198.18.1.1/24 dev eth1\n\
                 addr add 2001:db8:1::1/64 dev eth1 nodad\n\
                 route add default via 198.18.1.2\n\
                 route add default via 2001:db8:1::2\n"
            }
            Self::Transit1 => {
                "addr add 198.18.1.2/24 dev eth0\n\
                 addr add 2001:db8:1::2/64 dev eth0 nodad\n\
                 addr add 198.18.2.1/24 dev eth1\n\
                 addr add 2001:db8:2::1/64 dev eth1 nodad\n\
                 route add 10.22.1.0/24 via 198.18.1.1\n\
                 route add fd22:1::/64 via 2001:db8:1::1\n\
                 route add 198.18.3.0/24 via 198.18.2.2\n\
                 route add 2001:db8:3::/64 via 2001:db8:2::2\n\
                 route add 198.19.0.0/24 via 198.18.2.2\n\
                 route add 2001:db8:19::/64 via 2001:db8:2::2\n"
            }
            Self::Transit2 => {
                "addr add 198.18.2.2/24 dev eth0\n\
                 addr add 2001:db8:2::2/64 dev eth0 nodad\n\
                 addr add 198.18.3.1/24 dev eth1\n\
                 addr add 2001:db8:3::1/64 dev eth1 nodad\n\
                 route add 10.22.1.0/24 via 198.18.2.1\n\
                 route add fd22:1::/64 via 2001:db8:2::1\n\
                 route add 198.18.1.0/24 via 198.18.2.1\n\
                 route add 2001:db8:1::/64 via 2001:db8:2::1\n\
                 route add 198.19.0.0/24 via 198.18.3.2\n\
                 route add 2001:db8:19::/64 via 2001:db8:3::2\n"
            }
            Self::AzureEdge => {
                "addr add 198.18.3.2/24 dev eth0\n\
                 addr add 2001:db8:3::2/64 dev eth0 nodad\n\
                 addr add 198.19.0.1/24 dev eth1\n\
                 addr add 2001:db8:19::1/64 dev eth1 nodad\n\
                 route add default via 198.18.3.1\n\
                 route add default via 2001:db8:3::1\n"
            }
            Self::Vm => {
                "addr add 198.19.0.4/24 dev eth0\n\
                 addr add 2001:db8:19::4/64 dev eth0 nodad\n\
                 route add default via 198.19.0.1\n\
                 route add default via 2001:db8:19::1\n"
            }
        }
    }
}

/// What the lab's links are like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// Added to every round trip that crosses the link between the two transit routers, half of it each way.
    pub(crate) delay: Option<Duration>,
    /// Share of frames lost on that link, each way.
    pub(crate) loss: Option<Loss>,
}

/// Random loss that is the same on every run with the same frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// Probability that a frame is lost, 0 to 1.
    pub(crate) share: f64,
    /// Seed of the choice.
    pub(crate) seed: u64,
}

/// A running lab. Dropping it removes all of it.
pub(crate) struct Lab {
    name: String,
    nodes: Vec<Namespace>,
    wire_node: Option<Namespace>,
    directory: PathBuf,
    wire: Option<Wire>,
    sshd: Option<Sshd>,
    listener: Option<SilentListener>,
    fault: Fault,
    undo: Vec<Undo>,
}

impl Lab {
    /// Makes a healthy lab.
    ///
    /// # Errors
    /// Without the privilege or the programs it needs (see [`obstacle`]), or when one of them fails.
    pub(crate) fn new(options: Options) -> io::Result<Self> {
        static REAP: Once = Once::new();
        if let Some(why) = obstacle() {
            return Err(io::Error::other(format!("the lab cannot be made: {why}")));
        }
        REAP.call_once(reap);

        let name = unique_name();
        let with_wire = options.delay.is_some() || options.loss.is_some();
        let mut lab = Self {
            nodes: Role::ALL.iter().map(|role| Namespace::named(&name, role.name())).collect(),
            wire_node: with_wire.then(|| Namespace::named(&name, "wire")),
            directory: std::env::temp_dir().join(&name),
            wire: None,
            sshd: None,
            listener: None,
            fault: Fault::Healthy,
            undo: Vec::new(),
            name,
        };
        // From here on, an error drops `lab`, which removes what there is of it.
        lab.make_namespaces()?;
        lab.join_them()?;
        lab.let_answers_take_time()?;
        if let Some(node) = &lab.wire_node {
            lab.wire = Some(Wire::start(node, options)?);
        }
        lab.name_hosts()?;
        DirBuilder::new().mode(0o700).create(&lab.directory)?;
        sshd::make_host_key(&lab.directory)?;
        lab.sshd = Some(Sshd::start(lab.node(Role::Vm), &lab.directory, SSH_PORT)?);
        Ok(lab)
    }

    /// Makes a healthy lab for the test called `test`; `None` where the machine does not allow it, which is said on
    /// standard error and added to the file named by `WHICHHOP_SKIPPED`.
    ///
    /// # Panics
    /// When the lab fails, and with `WHICHHOP_NETNS=1` also where it would be skipped.
    pub(crate) fn for_test(test: &str, options: Options) -> Option<Self> {
        if let Some(why) = obstacle() {
            assert!(
                std::env::var_os("WHICHHOP_NETNS").is_none_or(|v| v != "1"),
                "WHICHHOP_NETNS=1, but the lab cannot be made: {why}"
            );
            say_skipped(test, &why);
            return None;
        }
        Some(Self::new(options).expect("the lab is made"))
    }

    /// What all the lab's namespaces' names begin with.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// One host.
    pub(crate) fn node(&self, role: Role) -> &Namespace {
        &self.nodes[role as usize]
    }

    /// The host ssh runs on.
    pub(crate) fn client(&self) -> &Namespace {
        self.node(Role::Client)
    }

    /// The fault the lab has.
    pub(crate) fn fault(&self) -> Fault {
        self.fault
    }

    /// What sshd has logged since it last started.
    pub(crate) fn sshd_log(&self) -> String {
        sshd::log(&self.directory)
    }

    /// Gives the lab `fault` instead of the one it has.
    pub(crate) fn apply(&mut self, fault: Fault) -> io::Result<()> {
        self.clear_fault()?;
        self.fault = fault;
        fault.changes().into_iter().try_for_each(|change| self.make(&change))
    }

    /// Makes the lab healthy again. What its kernels remember stays: spent ICMP budgets (6 s until they are full
    /// again) and tracked connections.
    pub(crate) fn clear_fault(&mut self) -> io::Result<()> {
        while let Some(undo) = self.undo.pop() {
            self.take_back(&undo)?;
        }
        self.fault = Fault::Healthy;
        Ok(())
    }

    fn make(&mut self, change: &Change) -> io::Result<()> {
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
                if let Some(port) = *port {
                    self.sshd = Some(Sshd::start(self.node(Role::Vm), &self.directory, port)?);
                }
                Ok(())
            }
            Change::RedirectToSilence => {
                let listener = SilentListener::start(self.client())?;
                let rule = format!("tcp dport {SSH_PORT} redirect to :{}", listener.port());
                self.listener = Some(listener);
                self.undo.push(Undo::Listener);
                self.make(&Change::Rules {
                    at: Role::Client,
                    chains: fault::chain("nat", "output", "-100", &rule),
                })
            }
        }
    }

    fn take_back(&mut self, undo: &Undo) -> io::Result<()> {
        match undo {
            Undo::Rules { at } => self.node(*at).nft("delete table inet fault\n"),
            Undo::Ip { at, lines } => self.node(*at).ip(lines),
            Undo::Sysctl { at, key, value } => self.node(*at).set_sysctl(key, value),
            Undo::PowerOn => {
                self.node(Role::Vm).ip(Role::Vm.addresses())?;
                // It may be asking for the VM still, and would ask again only after a second.
                self.node(Role::AzureEdge).ip("neigh flush dev eth1\n")
            }
            Undo::Sshd => {
                self.sshd = None;
                self.sshd = Some(Sshd::start(self.node(Role::Vm), &self.directory, SSH_PORT)?);
                Ok(())
            }
            Undo::Listener => {
                self.listener = None;
                Ok(())
            }
        }
    }

    /// A few lines that show hosts, addresses and the fault.
    pub(crate) fn map(&self) -> String {
        let mut map = String::new();
        for (hop, role) in Role::ALL.into_iter().enumerate() {
            let [v4, v6] = match role {
                Role::Client => CLIENT,
                Role::Vm => VM,
                _ => HOPS[hop - 1],
            };
            let faulty = if self.fault.places().contains(&role) { "  <- fault" } else { "" };
            let (name, v4, v6) = (role.name(), v4.to_string(), v6.to_string());
            let line = format!("  {hop}  {name:<10}  {v4:<11}  {v6:<15}{faulty}");
            let _ = writeln!(map, "{}", line.trim_end());
        }
        map
    }

    fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.nodes.iter().chain(&self.wire_node)
    }

    fn make_namespaces(&self) -> io::Result<()> {
        namespace::ip(
            &self.namespaces().fold(String::new(), |lines, n| lines + "netns add " + n.name() + "\n"),
        )?;
        // Before any interface exists, so that every one of them begins with these.
        for role in Role::ALL {
            let mut settings =
                vec![("net/ipv6/conf/all/accept_dad", "0"), ("net/ipv6/conf/default/accept_dad", "0")];
            if role.forwards() {
                settings.extend([("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")]);
            }
            if role == Role::Client {
                // As distributions set it: anyone may open a datagram ICMP socket.
                settings.push(("net/ipv4/ping_group_range", "0 2147483647"));
            }
            self.node(role).set_sysctls(&settings)?;
        }
        if let Some(wire) = &self.wire_node {
            wire.set_sysctls(&[("net/ipv6/conf/default/disable_ipv6", "1")])?;
        }
        Ok(())
    }

    fn join_them(&self) -> io::Result<()> {
        let mut veths = String::new();
        let mut join = |number: usize, left: (&Namespace, &str), right: (&Namespace, &str)| {
            let _ = writeln!(
                veths,
                "link add {} address {} netns {} type veth peer name {} address {} netns {}",
                left.1,
                mac(number, 1),
                left.0.name(),
                right.1,
                mac(number, 2),
                right.0.name()
            );
        };
        for (number, pair) in Role::ALL.windows(2).enumerate() {
            let (left, right) = (self.node(pair[0]), self.node(pair[1]));
            let left_link = if pair[0] == Role::Client { "eth0" } else { "eth1" };
            match &self.wire_node {
                Some(wire) if pair[0] == Role::Transit1 => {
                    join(number, (left, left_link), (wire, "eth0"));
                    join(number + 0x10, (wire, "eth1"), (right, "eth0"));
                }
                _ => join(number, (left, left_link), (right, "eth0")),
            }
        }
        namespace::ip(&veths)?;

        for role in Role::ALL {
            let mut lines = String::from("link set lo up\nlink set eth0 up\n");
            if role.forwards() {
                lines += "link set eth1 up\n";
            }
            self.node(role).ip(&(lines + role.addresses()))?;
        }
        if let Some(wire) = &self.wire_node {
            wire.ip("link set eth0 up\nlink set eth1 up\n")?;
            self.fit_for_the_wire()?;
        }
        Ok(())
    }

    /// Has the client receive in a kernel thread, as from a network card, where the kernel can (Linux 5.14). Otherwise a
    /// frame passes all veths, and the answer comes back, inside the very connect(2) that sent it; the kernel then
    /// ignores an ICMP error because the socket is busy, and connect(2) learns of it only from the next SYN, 1 s later.
    fn let_answers_take_time(&self) -> io::Result<()> {
        // Only frames from a device that leaves segmentation to software reach the receiver's NAPI.
        self.node(Role::Edge).run("ethtool", &["-K", "eth0", "tso", "off"], "")?;
        self.client().run("ethtool", &["-K", "eth0", "gro", "on"], "")?;
        // sysfs shows the devices of the namespace it was mounted in.
        let threaded = "[ ! -w /sys/class/net/eth0/threaded ] || echo 1 >/sys/class/net/eth0/threaded";
        namespace::succeed(self.client().command("sh").args(["-c", threaded]), "")
    }

    /// Frames that a program carries must be whole: no checksum left for hardware to fill in, none larger than the
    /// MTU. And the link's neighbours know each other, else the first packet would pay the delay twice.
    fn fit_for_the_wire(&self) -> io::Result<()> {
        let link = Role::Transit1 as usize;
        for (role, device, peer, peer_mac) in
            [(Role::Transit1, "eth1", 2, mac(link + 0x10, 2)), (Role::Transit2, "eth0", 1, mac(link, 1))]
        {
            let node = self.node(role);
            let off = ["-K", device, "tx", "off", "sg", "off", "tso", "off", "gso", "off", "gro", "off"];
            node.run("ethtool", &off, "")?;
            node.ip(&format!(
                "neigh replace 198.18.2.{peer} lladdr {peer_mac} dev {device} nud permanent\n\
                 neigh replace 2001:db8:2::{peer} lladdr {peer_mac} dev {device} nud permanent\n"
            ))?;
        }
        Ok(())
    }

    /// The client's own `/etc/hosts` and a resolver that answers nothing, and at once.
    fn name_hosts(&self) -> io::Result<()> {
        let [vm4, vm6] = VM;
        let hosts =
            format!("127.0.0.1 localhost\n::1 localhost\n{vm4} vm1\n{vm6} vm1\n{DEAD} vm2\n{vm4} vm2\n");
        self.client().set_etc("hosts", &hosts)?;
        self.client().set_etc("resolv.conf", "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.listener = None;
        self.sshd = None;
        self.wire = None;
        let all: Vec<&Namespace> = self.namespaces().collect();
        namespace::remove(&all);
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Why this machine cannot hold a lab, if it cannot.
pub(crate) fn obstacle() -> Option<String> {
    let missing: Vec<_> = ["ip", "nft", "sshd", "ssh-keygen", "ethtool", "ping"]
        .into_iter()
        .filter(|name| program(name).is_none())
        .collect();
    if !namespace::privileged() {
        return Some("it needs root, with CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN".to_owned());
    }
    (!missing.is_empty())
        .then(|| format!("missing programs: {}; scripts/setup --lab installs them", missing.join(", ")))
}

/// Says that a test did not run, past the test harness's capture, and notes it for `make test`.
pub(crate) fn say_skipped(test: &str, why: &str) {
    let line = format!("SKIPPED: {test}: {why}\n");
    let _ = io::stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os("WHICHHOP_SKIPPED") {
        let noted = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        noted.expect("the file named by WHICHHOP_SKIPPED can be written");
    }
}

/// `whl-<pid>-<counter>-<random>`: other labs of this process, and of one before it with the same pid, differ.
fn unique_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let random = RandomState::new().build_hasher().finish() as u16;
    format!("whl-{}-{}-{random:04x}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Fixed, so that recordings of two labs can be compared.
fn mac(link: usize, side: u8) -> String {
    format!("02:00:00:00:{link:02x}:{side:02x}")
}
