//! Crafted packets, sent below the local firewall: AF_PACKET on the interface of the route.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::IntoRawFd;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use pnet::datalink::{self, Channel, ChannelType, DataLinkSender};
use socket2::{Domain, Protocol, Socket, Type};

use super::errno;
use super::interface::Interface;
use super::route::Netlink;
use crate::packet::{MacAddr, build};
use crate::recording::{Event, Timestamp};

/// How long a packet waits for the next hop's link-layer address, in ns: the kernel asks for it again after a second.
const PATIENCE: i64 = 1_300_000_000;

/// How often the neighbour table is read meanwhile.
pub(super) const RETRY: Duration = Duration::from_millis(3);

/// Packets that may wait at once.
const MOST_WAITING: usize = 256;

/// Sends crafted packets.
pub(super) struct Sender {
    paths: BTreeMap<IpAddr, Path>,
    /// One for each interface, or why there is none.
    channels: BTreeMap<u32, io::Result<Box<dyn DataLinkSender>>>,
    wakers: Vec<Waker>,
    waiting: Vec<Waiting>,
    /// What was already told; the same failure again is no news.
    told: BTreeSet<(String, i32)>,
}

/// How packets to one target leave.
struct Path {
    interface: Interface,
    next_hop: IpAddr,
    framing: Framing,
    asked: bool,
}

/// What goes before the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// Nothing: a link without addresses.
    Bare,
    /// Ethernet, with the addresses that the kernel's own frames carry, once known.
    Ethernet { macs: Option<(MacAddr, MacAddr)>, from_kernel: bool },
}

struct Waiting {
    target: IpAddr,
    packet: Vec<u8>,
    since: Timestamp,
}

impl Sender {
    pub(super) fn new() -> Self {
        Self {
            paths: BTreeMap::new(),
            channels: BTreeMap::new(),
            wakers: Vec::new(),
            waiting: Vec::new(),
            told: BTreeSet::new(),
        }
    }

    /// Opens what sending takes, while the process may.
    pub(super) fn open(&mut self) {
        for path in self.paths.values() {
            self.channels.entry(path.interface.index).or_insert_with(|| open(&path.interface.raw));
        }
        // Where one cannot be opened, the wait for the neighbour runs out and says so.
        self.wakers = [Domain::IPV4, Domain::IPV6].into_iter().filter_map(|d| Waker::open(d).ok()).collect();
    }

    /// Says how `target` is reached: on `interface`, by `gateway` unless it is on the link itself.
    pub(super) fn add(&mut self, target: IpAddr, interface: Interface, gateway: Option<IpAddr>) {
        let framing = match interface.mac {
            None => Framing::Bare,
            Some(mac) if interface.loopback => {
                Framing::Ethernet { macs: Some((mac, mac)), from_kernel: true }
            }
            Some(_) => Framing::Ethernet { macs: None, from_kernel: false },
        };
        let next_hop = gateway.unwrap_or(target);
        self.paths.insert(target, Path { interface, next_hop, framing, asked: false });
    }

    /// Learns the link-layer addresses from a frame that the kernel itself sent to `target` on `interface`.
    pub(super) fn learn(&mut self, target: IpAddr, interface: &str, source: MacAddr, destination: MacAddr) {
        let Some(path) = self.paths.get_mut(&target) else { return };
        if path.interface.name == interface
            && matches!(path.framing, Framing::Ethernet { from_kernel: false, .. })
        {
            path.framing = Framing::Ethernet { macs: Some((source, destination)), from_kernel: true };
        }
    }

    /// Whether packets wait for a link-layer address.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends an IP packet to `target`, or lets it wait for its link-layer address.
    pub(super) fn send(
        &mut self,
        netlink: &Netlink,
        target: IpAddr,
        packet: Vec<u8>,
        now: Timestamp,
    ) -> Option<Event> {
        self.resolve(netlink, target);
        if self.paths.get(&target).is_some_and(Path::is_open) {
            return self.transmit(target, &packet);
        }
        if !self.paths.contains_key(&target) || self.waiting.len() >= MOST_WAITING {
            return self.failed(target, &io::Error::from(nix::errno::Errno::ENETUNREACH));
        }
        self.waiting.push(Waiting { target, packet, since: now });
        None
    }

    /// Sends what waited and can go now; gives up what waited too long.
    pub(super) fn retry(&mut self, netlink: &Netlink, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        for packet in std::mem::take(&mut self.waiting) {
            self.resolve(netlink, packet.target);
            if self.paths.get(&packet.target).is_some_and(Path::is_open) {
                events.extend(self.transmit(packet.target, &packet.packet));
            } else if now.since(packet.since) > PATIENCE {
                events.extend(self.failed(packet.target, &io::Error::from(nix::errno::Errno::EHOSTUNREACH)));
            } else {
                self.waiting.push(packet);
            }
        }
        events
    }

    /// Looks the next hop up in the neighbour table; makes the kernel ask for it if it is not there.
    fn resolve(&mut self, netlink: &Netlink, target: IpAddr) {
        let Some(path) = self.paths.get_mut(&target) else { return };
        if path.is_open() {
            return;
        }
        let Some(own) = path.interface.mac else { return };
        match netlink.neighbour(path.interface.index, path.next_hop) {
            Some(neighbour) => {
                path.framing = Framing::Ethernet { macs: Some((own, neighbour)), from_kernel: false };
            }
            None if !path.asked => {
                path.asked = true;
                for waker in self.wakers.iter().filter(|w| w.is_for(path.next_hop)) {
                    // If even this cannot be sent, the wait runs out and says so.
                    let _ = waker.wake(path.next_hop, path.interface.index);
                }
            }
            None => {}
        }
    }

    fn transmit(&mut self, target: IpAddr, packet: &[u8]) -> Option<Event> {
        let path = self.paths.get(&target)?;
        let sent = match path.framing {
            Framing::Ethernet { macs: Some((source, destination)), .. } => {
                put(&mut self.channels, &path.interface, &build::ethernet(source, destination, packet))
            }
            _ => put(&mut self.channels, &path.interface, packet),
        };
        sent.err().and_then(|e| self.failed(target, &e))
    }

    fn failed(&mut self, target: IpAddr, error: &io::Error) -> Option<Event> {
        let interface = self.paths.get(&target).map_or_else(String::new, |p| p.interface.name.clone());
        let errno = errno::number(error);
        self.told.insert((interface.clone(), errno)).then(|| Event::SendFailed {
            interface,
            errno,
            error: errno::describe(error),
        })
    }
}

impl Path {
    fn is_open(&self) -> bool {
        !matches!(self.framing, Framing::Ethernet { macs: None, .. })
    }
}

/// Writes one frame to the interface.
fn put(
    channels: &mut BTreeMap<u32, io::Result<Box<dyn DataLinkSender>>>,
    interface: &Interface,
    frame: &[u8],
) -> io::Result<()> {
    match channels.get_mut(&interface.index) {
        Some(Ok(channel)) => channel.send_to(frame, None).unwrap_or(Ok(())),
        Some(Err(error)) => Err(match error.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::new(error.kind(), error.to_string()),
        }),
        None => Err(nix::errno::Errno::ENODEV.into()),
    }
}

fn open(interface: &datalink::NetworkInterface) -> io::Result<Box<dyn DataLinkSender>> {
    // Bound to no protocol, the socket sends but never receives: pnet's own would queue every frame there is.
    let unbound = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    let config = datalink::Config {
        channel_type: ChannelType::Layer3(0),
        promiscuous: false,
        write_timeout: Some(Duration::from_millis(5)),
        socket_fd: Some(unbound.into_raw_fd()),
        ..datalink::Config::default()
    };
    match datalink::channel(interface, config)? {
        Channel::Ethernet(sender, _) => Ok(sender),
        _ => Err(io::Error::other("no such channel on this system")),
    }
}

/// Makes the kernel resolve a next hop's address, by an echo request to it that no router may forward.
struct Waker {
    socket: Socket,
    domain: Domain,
}

impl Waker {
    fn open(domain: Domain) -> io::Result<Self> {
        let socket = if domain == Domain::IPV4 {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::ICMPV4))?;
            socket.set_ttl_v4(1)?;
            socket
        } else {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::ICMPV6))?;
            socket.set_unicast_hops_v6(1)?;
            socket
        };
        // It only sends: what comes in is left in a buffer of the least size.
        socket.set_recv_buffer_size(0)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, domain })
    }

    fn is_for(&self, next_hop: IpAddr) -> bool {
        (self.domain == Domain::IPV4) == next_hop.is_ipv4()
    }

    fn wake(&self, next_hop: IpAddr, interface: u32) -> io::Result<()> {
        let (kind, address): (u8, SocketAddr) = match next_hop {
            IpAddr::V4(_) => (8, SocketAddr::new(next_hop, 0)),
            IpAddr::V6(address) => {
                // A router's link-local address needs its link.
                let zone = if address.is_unicast_link_local() { interface } else { 0 };
                (128, SocketAddrV6::new(address, 0, 0, zone).into())
            }
        };
        // Identifier and sequence are 0, so the checksum is the complement of type and code; IPv6 fills in its own.
        let [high, low] = (!(u16::from(kind) << 8)).to_be_bytes();
        self.socket.send_to(&[kind, 0, high, low, 0, 0, 0, 0], &address.into()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::interface::sample;

    const US: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn target() -> IpAddr {
        IpAddr::from([198, 19, 0, 4])
    }

    #[test]
    fn without_a_route_the_failure_is_told_once() {
        let netlink = Netlink::open().unwrap();
        let mut sender = Sender::new();
        let now = Timestamp::from_nanos(0);
        let first = sender.send(&netlink, target(), vec![0x45], now);
        assert!(matches!(first, Some(Event::SendFailed { errno: 101, .. })), "{first:?}");
        assert_eq!(sender.send(&netlink, target(), vec![0x45], now), None);
    }

    #[test]
    fn a_packet_waits_for_its_next_hop_but_not_for_ever() {
        let netlink = Netlink::open().unwrap();
        let mut sender = Sender::new();
        // An interface that does not exist: its neighbours never answer.
        sender.add(target(), sample("none0", 0x7fff_0000, Some(US), &[]), Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(sender.send(&netlink, target(), vec![0x45], Timestamp::from_nanos(0)), None);
        assert!(sender.is_waiting());
        assert_eq!(sender.retry(&netlink, Timestamp::from_nanos(PATIENCE)), []);
        let given_up = sender.retry(&netlink, Timestamp::from_nanos(PATIENCE + 1));
        assert!(matches!(&given_up[..], [Event::SendFailed { errno: 113, .. }]), "{given_up:?}");
        assert!(!sender.is_waiting());
    }

    #[test]
    fn the_kernels_own_frame_teaches_the_addresses_once() {
        let mut sender = Sender::new();
        sender.add(target(), sample("eth0", 2, Some(US), &[]), None);
        let framing = |s: &Sender| s.paths[&target()].framing;
        sender.learn(target(), "eth1", MacAddr(US), MacAddr([2; 6]));
        assert_eq!(framing(&sender), Framing::Ethernet { macs: None, from_kernel: false });
        sender.learn(target(), "eth0", MacAddr(US), MacAddr([2; 6]));
        sender.learn(target(), "eth0", MacAddr(US), MacAddr([4; 6]));
        let macs = Some((MacAddr(US), MacAddr([2; 6])));
        assert_eq!(framing(&sender), Framing::Ethernet { macs, from_kernel: true });
    }

    #[test]
    fn links_without_addresses_carry_bare_packets() {
        let mut sender = Sender::new();
        sender.add(target(), sample("tun0", 9, None, &[]), None);
        assert_eq!(sender.paths[&target()].framing, Framing::Bare);
    }
}
