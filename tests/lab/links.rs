//! The links between the hosts: veths, and where a link is slow, lossy or holds a box, a program between two of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::middlebox::{Cable, Conduct};
use super::namespace::{self, Namespace};
use super::role::Role;
use super::wire::Wire;
use super::{Loss, Options};

/// How long a link may take to come up.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// All links of a lab.
pub(super) struct Links {
    lab: String,
    /// What the link between the transit routers is like.
    options: Options,
    /// Links that a program carries, by number: link n joins hop n and hop n + 1.
    carried: BTreeMap<usize, Carried>,
}

/// A link that a program carries, in a namespace of its own.
struct Carried {
    node: Namespace,
    wire: Option<Wire>,
}

/// The link that [`Options`] are about.
const SLOW: usize = Role::Transit1 as usize;

impl Links {
    pub(super) fn new(lab: &str, options: Options) -> Self {
        Self { lab: lab.to_owned(), options, carried: BTreeMap::new() }
    }

    /// Joins the hosts in path order, once.
    pub(super) fn join_all(&mut self, nodes: &[Namespace]) -> io::Result<()> {
        for node in nodes {
            node.ip("link set lo up\n")?;
        }
        for number in 0..nodes.len() - 1 {
            if number == SLOW && self.is_slow() {
                self.join_through(nodes, number)?;
                self.carry(number, None)?;
            } else {
                Self::join(nodes, number)?;
            }
        }
        Ok(())
    }

    /// Puts a box on the link in front of `role`.
    pub(super) fn put_box(&mut self, nodes: &[Namespace], role: Role, conduct: Conduct) -> io::Result<()> {
        let number = link_before(role);
        if !self.carried.contains_key(&number) {
            part(nodes, number)?;
            self.join_through(nodes, number)?;
        }
        self.carry(number, Some(conduct))
    }

    /// Takes it away again.
    pub(super) fn take_box(&mut self, nodes: &[Namespace], role: Role) -> io::Result<()> {
        let number = link_before(role);
        if number == SLOW && self.is_slow() {
            return self.carry(number, None);
        }
        if let Some(carried) = self.carried.remove(&number) {
            drop(carried.wire);
            part(nodes, number)?;
            namespace::remove(&[&carried.node]);
        }
        Self::join(nodes, number)
    }

    /// Ends the programs; what is left are namespaces to remove.
    pub(super) fn end(&mut self) -> Vec<&Namespace> {
        for carried in self.carried.values_mut() {
            carried.wire = None;
        }
        self.carried.values().map(|carried| &carried.node).collect()
    }

    fn is_slow(&self) -> bool {
        self.options.delay.is_some() || self.options.loss.is_some()
    }

    fn join(nodes: &[Namespace], number: usize) -> io::Result<()> {
        let [left, right] = ends(number);
        let (near, far) = (&nodes[left as usize], &nodes[right as usize]);
        veth(number, (near, left.far_link()), (far, "eth0"))?;
        address(nodes, number)?;
        if number == 0 { let_answers_take_time(near, far) } else { Ok(()) }
    }

    /// Joins both ends with a namespace between them, in which a program is to carry the frames.
    fn join_through(&mut self, nodes: &[Namespace], number: usize) -> io::Result<()> {
        let [left, right] = ends(number);
        let (near, far) = (&nodes[left as usize], &nodes[right as usize]);
        let between = Namespace::named(&self.lab, &format!("wire{number}"));
        namespace::ip(&format!("netns add {}\n", between.name()))?;
        let carried = self.carried.entry(number).or_insert(Carried { node: between, wire: None });
        let between = &carried.node;
        between.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        veth(number, (near, left.far_link()), (between, "eth0"))?;
        veth(number + 0x10, (between, "eth1"), (far, "eth0"))?;
        between.ip("link set eth0 up\nlink set eth1 up\n")?;
        address(nodes, number)?;
        if number == 0 {
            let_answers_take_time(near, between)?;
        }
        for (node, device) in [(near, left.far_link()), (far, "eth0")] {
            // Frames that a program carries must be whole: no checksum left for hardware to fill in, none larger than
            // the MTU.
            let off = ["-K", device, "tx", "off", "sg", "off", "tso", "off", "gso", "off", "gro", "off"];
            node.run("ethtool", &off, "")?;
        }
        if number == SLOW {
            // Else the first packet would pay the delay twice.
            for (node, device, peer, peer_mac) in
                [(near, "eth1", 2, mac(number + 0x10, 2)), (far, "eth0", 1, mac(number, 1))]
            {
                node.ip(&format!(
                    "neigh replace 198.18.2.{peer} lladdr {peer_mac} dev {device} nud permanent\n\
                     neigh replace 2001:db8:2::{peer} lladdr {peer_mac} dev {device} nud permanent\n"
                ))?;
            }
        }
        Ok(())
    }

    /// Starts the program, in place of the one that may run.
    fn carry(&mut self, number: usize, conduct: Option<Conduct>) -> io::Result<()> {
        let options = if number == SLOW { self.options } else { Options::default() };
        let carried = self.carried.get_mut(&number).expect("the link was joined through a namespace");
        carried.wire = None;
        let middlebox = conduct.map_or_else(|| Box::new(Cable) as _, Conduct::start);
        carried.wire = Some(Wire::start(&carried.node, options, middlebox)?);
        Ok(())
    }
}

fn link_before(role: Role) -> usize {
    (role as usize).checked_sub(1).expect("nothing is in front of the client")
}

fn ends(number: usize) -> [Role; 2] {
    [Role::ALL[number], Role::ALL[number + 1]]
}

/// Removes the veth at each end; that a program carried between them, or there is but one, matters not.
fn part(nodes: &[Namespace], number: usize) -> io::Result<()> {
    let [left, right] = ends(number);
    nodes[left as usize].ip(&format!("link del {}\n", left.far_link()))?;
    // Gone with its other end, where nothing was between them.
    let _ = nodes[right as usize].ip("link del eth0\n");
    Ok(())
}

/// A veth whose ends have fixed addresses, so that recordings of two labs can be compared.
pub(super) fn veth(number: usize, left: (&Namespace, &str), right: (&Namespace, &str)) -> io::Result<()> {
    let mut line = String::new();
    let _ = writeln!(
        line,
        "link add {} address {} netns {} type veth peer name {} address {} netns {}",
        left.1,
        mac(number, 1),
        left.0.name(),
        right.1,
        mac(number, 2),
        right.0.name()
    );
    namespace::ip(&line)
}

/// Sets the ends of a link up and gives them addresses and routes.
fn address(nodes: &[Namespace], number: usize) -> io::Result<()> {
    let [left, right] = ends(number);
    nodes[left as usize].ip(&format!("link set {} up\n", left.far_link()))?;
    nodes[right as usize].ip("link set eth0 up\n")?;
    for (role, device) in [(left, left.far_link()), (right, "eth0")] {
        let node = &nodes[role as usize];
        wait_until_up(node, device)?;
        if is_joined(node, role) {
            node.ip(&role.addresses())?;
        }
    }
    Ok(())
}

/// A kernel notices that a link is up only when it finds the time, and until then has no IPv6 there.
fn wait_until_up(node: &Namespace, device: &str) -> io::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < READY_WITHIN {
        if node.says("ip", &["-o", "link", "show", "dev", device])?.contains(" state UP ") {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(io::Error::other(format!("{device} of {} does not come up", node.name())))
}

/// Whether the host has all its links: routes may lead over any of them.
fn is_joined(node: &Namespace, role: Role) -> bool {
    let has = |device: &str| node.sysctl(&format!("net/ipv4/conf/{device}/forwarding")).is_ok();
    has("eth0") && (!role.forwards() || has("eth1"))
}

/// Has the client receive in a kernel thread, as from a network card, where the kernel can (Linux 5.14). Otherwise a
/// frame passes all veths, and the answer comes back, inside the very connect(2) that sent it; the kernel then
/// ignores an ICMP error because the socket is busy, and connect(2) learns of it only from the next SYN, 1 s later.
fn let_answers_take_time(client: &Namespace, peer: &Namespace) -> io::Result<()> {
    // Only frames from a device that leaves segmentation to software reach the receiver's NAPI.
    peer.run("ethtool", &["-K", "eth0", "tso", "off"], "")?;
    client.run("ethtool", &["-K", "eth0", "gro", "on"], "")?;
    // sysfs shows the devices of the namespace it was mounted in.
    let threaded = "[ ! -w /sys/class/net/eth0/threaded ] || echo 1 >/sys/class/net/eth0/threaded";
    namespace::succeed(client.command("sh").args(["-c", threaded]), "")
}

fn mac(link: usize, side: u8) -> String {
    format!("02:00:00:00:{link:02x}:{side:02x}")
}
