//! The lab: a path of real kernels in network namespaces, with a fault of one's choice.
//!
//! ```text
//! client --- edge --- transit1 --- transit2 --- azure-edge --- VM (sshd)
//!   10.22.1.0/24  198.18.1.0/24  198.18.2.0/24  198.18.3.0/24  198.19.0.0/24
//!    fd22:1::/64  2001:db8:1::/64  …:2::/64       …:3::/64       …:19::/64
//! ```
//!
//! A fault may lead the client's way to the VM through a VPN that ends at the edge (10.22.9.0/24, fd22:9::/64).
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

mod change;
mod family;
mod fault;
mod links;
mod middlebox;
mod namespace;
mod role;
mod service;
mod sshd;
mod tunnel;
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

use change::{Change, Undo};
pub(crate) use family::Family;
pub(crate) use fault::{Answers, Fault, Truth};
use links::Links;
pub(crate) use middlebox::{Conduct, Forgery, Injector, Number, Trigger};
pub(crate) use namespace::{Namespace, program, reap};
pub(crate) use role::Role;
pub(crate) use service::Manner;
use service::Service;
use sshd::Sshd;
use tunnel::Tunnel;

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
    /// By [`Role`]; the last is there only while a fault needs it.
    nodes: Vec<Namespace>,
    links: Links,
    directory: PathBuf,
    sshd: Option<Sshd>,
    services: Vec<Service>,
    tunnel: Option<Tunnel>,
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
        let mut lab = Self {
            nodes: Role::ALL.iter().map(|role| Namespace::named(&name, role.name())).collect(),
            links: Links::new(&name, options),
            directory: std::env::temp_dir().join(&name),
            sshd: None,
            services: Vec::new(),
            tunnel: None,
            fault: Fault::Healthy,
            undo: Vec::new(),
            name,
        };
        // From here on, an error drops `lab`, which removes what there is of it.
        lab.make_namespaces()?;
        lab.links.join_all(&lab.nodes)?;
        lab.name_hosts()?;
        DirBuilder::new().mode(0o700).create(&lab.directory)?;
        sshd::make_host_key(&lab.directory)?;
        lab.start_sshd(sshd::EVERYWHERE, SSH_PORT, "")?;
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
        fault.changes().iter().try_for_each(|change| self.make(change))
    }

    /// Puts a box in front of a host, beside the fault there is; it goes with that.
    pub(crate) fn put_box(&mut self, before: Role, conduct: Conduct) -> io::Result<()> {
        self.make(&Change::Box { before, conduct })
    }

    /// Lets something listen on a host's port; it goes with the fault there is.
    pub(crate) fn listen(&mut self, at: Role, port: u16, manner: Manner) -> io::Result<()> {
        self.serve(at, port, false, manner).map(drop)
    }

    /// Makes the lab healthy again. What its kernels remember stays: spent ICMP budgets (6 s until they are full
    /// again) and tracked connections.
    pub(crate) fn clear_fault(&mut self) -> io::Result<()> {
        while let Some(undo) = self.undo.pop() {
            self.take_back(undo)?;
        }
        self.fault = Fault::Healthy;
        Ok(())
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

    fn make_namespaces(&self) -> io::Result<()> {
        let lines = self.nodes.iter().fold(String::new(), |lines, n| lines + "netns add " + n.name() + "\n");
        namespace::ip(&lines)?;
        Role::ALL.into_iter().try_for_each(|role| prepare(role, self.node(role)))
    }

    /// Starts sshd on the VM, in place of the one that may run.
    fn start_sshd(&mut self, addresses: [&str; 2], port: u16, more: &str) -> io::Result<()> {
        self.sshd = None;
        self.sshd = Some(Sshd::start(self.node(Role::Vm), &self.directory, addresses, port, more)?);
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
        self.services.clear();
        self.tunnel = None;
        self.sshd = None;
        let mut all: Vec<&Namespace> = self.nodes.iter().collect();
        all.extend(self.links.end());
        namespace::remove(&all);
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// What a host's kernel is told before it has any interface, so that every one of them begins with it.
fn prepare(role: Role, node: &Namespace) -> io::Result<()> {
    let mut settings = vec![("net/ipv6/conf/all/accept_dad", "0"), ("net/ipv6/conf/default/accept_dad", "0")];
    if role.forwards() {
        settings.extend([("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")]);
    }
    if role == Role::Client {
        // As distributions set it: anyone may open a datagram ICMP socket.
        settings.push(("net/ipv4/ping_group_range", "0 2147483647"));
    }
    node.set_sysctls(&settings)
}

/// Why this machine cannot hold a lab, if it cannot.
pub(crate) fn obstacle() -> Option<String> {
    let missing: Vec<_> = ["ip", "nft", "sshd", "ssh-keygen", "ethtool", "ping", "socat"]
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
