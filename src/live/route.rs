//! What the kernel's tables say: the route to a target, the links, a neighbour's link-layer address.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::unistd::Uid;

use super::errno;
use crate::packet::MacAddr;

/// TCP's protocol number: a routing rule can ask for it.
const TCP: u8 = 6;

/// A question to the routing table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) destination: IpAddr,
    pub(super) port: u16,
    /// Source address, if the user chose one.
    pub(super) bind: Option<IpAddr>,
    /// Rules can differ by user.
    pub(super) uid: Uid,
}

/// The kernel's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) interface: Option<u32>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) source: Option<IpAddr>,
    /// MTU of this route, where it is not the interface's.
    pub(super) mtu: Option<u32>,
    /// Why there is no route.
    pub(super) error: Option<String>,
}

/// A link, as far as pnet does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkFacts {
    pub(super) index: u32,
    pub(super) mtu: u32,
    /// Part of a bond or bridge, which shows the same frames.
    pub(super) enslaved: bool,
}

/// A netlink socket.
pub(super) struct Netlink(Socket);

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// How the kernel would send to the destination.
    pub(super) fn route(&self, question: Question) -> Answer {
        let answers = match self.ask(RouteNetlinkMessage::GetRoute(route_request(question)), 0) {
            Ok(answers) => answers,
            Err(e) => return Answer { error: Some(errno::describe(&e)), ..Answer::default() },
        };
        let route = answers.iter().find_map(|a| match a {
            RouteNetlinkMessage::NewRoute(route) => Some(read_route(route, question.bind)),
            _ => None,
        });
        route.unwrap_or_else(|| Answer {
            error: Some("the kernel's answer holds no route".to_owned()),
            ..Answer::default()
        })
    }

    /// Every link; empty where the kernel does not tell.
    pub(super) fn links(&self) -> Vec<LinkFacts> {
        let all = self.ask(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_DUMP);
        all.unwrap_or_default()
            .iter()
            .filter_map(
                |m| if let RouteNetlinkMessage::NewLink(link) = m { Some(read_link(link)) } else { None },
            )
            .collect()
    }

    /// Whether a link is up and has its carrier; `false` also where it is gone.
    pub(super) fn is_running(&self, index: u32) -> bool {
        self.link(index).is_some_and(|l| l.header.flags.contains(LinkFlags::Up | LinkFlags::Running))
    }

    /// How many packets were read from a tun device by the program behind it; `None` where it is none. The kernel counts
    /// them as transmitted when they are read (drivers/net/tun.c, tun_put_user).
    pub(super) fn read_from_tunnel(&self, index: u32) -> Option<u64> {
        let link = self.link(index)?;
        let is_tun = |a: &LinkAttribute| match a {
            LinkAttribute::LinkInfo(infos) => infos.contains(&LinkInfo::Kind(InfoKind::Tun)),
            _ => false,
        };
        link.attributes.iter().find(|a| is_tun(a))?;
        link.attributes.iter().find_map(|a| match a {
            LinkAttribute::Stats64(stats) => Some(stats.tx_packets),
            _ => None,
        })
    }

    fn link(&self, index: u32) -> Option<LinkMessage> {
        let mut request = LinkMessage::default();
        request.header.index = index;
        let answers = self.ask(RouteNetlinkMessage::GetLink(request), 0).ok()?;
        answers
            .into_iter()
            .find_map(|m| if let RouteNetlinkMessage::NewLink(link) = m { Some(link) } else { None })
    }

    /// The link-layer address of `neighbour` on interface `index`, if the kernel knows it.
    pub(super) fn neighbour(&self, index: u32, neighbour: IpAddr) -> Option<MacAddr> {
        let mut request = NeighbourMessage::default();
        request.header.family = family(neighbour);
        let table = self.ask(RouteNetlinkMessage::GetNeighbour(request), NLM_F_DUMP).ok()?;
        table.iter().find_map(|m| match m {
            RouteNetlinkMessage::NewNeighbour(n) if n.header.ifindex == index => read_neighbour(n, neighbour),
            _ => None,
        })
    }

    fn ask(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.0.send(&bytes, 0)?;

        let mut answers = Vec::new();
        loop {
            let (datagram, _) = self.0.recv_from_full()?;
            let mut rest = &datagram[..];
            // A message the crate cannot read is skipped by its length: one odd link must not hide the others.
            while let Some(length) = message_length(rest) {
                let (this, after) = rest.split_at(length);
                rest = &after[after.len().min(length.next_multiple_of(4) - length)..];
                match NetlinkMessage::<RouteNetlinkMessage>::deserialize(this).map(|m| m.payload) {
                    Ok(NetlinkPayload::Done(_)) => return Ok(answers),
                    Ok(NetlinkPayload::Error(e)) => {
                        return Err(io::Error::from_raw_os_error(-e.raw_code()));
                    }
                    Ok(NetlinkPayload::InnerMessage(inner)) => answers.push(inner),
                    Ok(_) | Err(_) => {}
                }
            }
            if flags & NLM_F_DUMP == 0 {
                return Ok(answers);
            }
        }
    }
}

/// Length of the message at the start of `bytes`, if it is whole.
fn message_length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    (16..=bytes.len()).contains(&length).then_some(length)
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn route_request(question: Question) -> RouteMessage {
    let bits = if question.destination.is_ipv4() { 32 } else { 128 };
    let mut request = RouteMessage::default();
    request.header.address_family = family(question.destination);
    request.header.destination_prefix_length = bits;
    request.attributes = vec![
        RouteAttribute::Destination(question.destination.into()),
        RouteAttribute::Uid(question.uid.as_raw()),
        RouteAttribute::IpProto(TCP),
        RouteAttribute::Dport(question.port),
    ];
    if let Some(bind) = question.bind {
        request.header.source_prefix_length = bits;
        request.attributes.push(RouteAttribute::Source(bind.into()));
    }
    request
}

fn read_route(route: &RouteMessage, bind: Option<IpAddr>) -> Answer {
    // IPv6 answers with the forbidding route itself where IPv4 answers with its error.
    let refusal = match route.header.kind {
        RouteType::Unreachable => Some(Errno::EHOSTUNREACH),
        RouteType::Prohibit => Some(Errno::EACCES),
        RouteType::BlackHole => Some(Errno::EINVAL),
        _ => None,
    };
    if let Some(refusal) = refusal {
        return Answer { error: Some(errno::text(refusal as i32)), ..Answer::default() };
    }
    let mut answer = Answer { source: bind, ..Answer::default() };
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => answer.interface = Some(*index),
            RouteAttribute::Gateway(gateway) => answer.gateway = address(gateway),
            RouteAttribute::Via(RouteVia::Inet(a)) => answer.gateway = Some((*a).into()),
            RouteAttribute::Via(RouteVia::Inet6(a)) => answer.gateway = Some((*a).into()),
            RouteAttribute::PrefSource(source) if bind.is_none() => answer.source = address(source),
            RouteAttribute::Metrics(metrics) => {
                answer.mtu = metrics.iter().find_map(|m| match m {
                    RouteMetric::Mtu(mtu) if *mtu > 0 => Some(*mtu),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    answer
}

fn address(route: &RouteAddress) -> Option<IpAddr> {
    match route {
        RouteAddress::Inet(a) => Some((*a).into()),
        RouteAddress::Inet6(a) => Some((*a).into()),
        _ => None,
    }
}

fn read_link(link: &LinkMessage) -> LinkFacts {
    let mut facts = LinkFacts { index: link.header.index, mtu: 1500, enslaved: false };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Mtu(mtu) => facts.mtu = *mtu,
            LinkAttribute::Controller(controller) => facts.enslaved = *controller != 0,
            _ => {}
        }
    }
    facts
}

fn read_neighbour(entry: &NeighbourMessage, wanted: IpAddr) -> Option<MacAddr> {
    if matches!(
        entry.header.state,
        NeighbourState::Incomplete | NeighbourState::Failed | NeighbourState::None | NeighbourState::Noarp
    ) {
        return None;
    }
    let mut is_it = false;
    let mut mac = None;
    for attribute in &entry.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => is_it = wanted == IpAddr::from(*a),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)) => is_it = wanted == IpAddr::from(*a),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = <[u8; 6]>::try_from(&bytes[..]).ok(),
            _ => {}
        }
    }
    mac.filter(|_| is_it).map(MacAddr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_a_route_and_a_link() {
        let netlink = Netlink::open().unwrap();
        let destination = IpAddr::from([127, 0, 0, 1]);
        let answer = netlink.route(Question { destination, port: 22, bind: None, uid: Uid::current() });
        assert_eq!(answer.error, None);
        assert_eq!(answer.source, Some(destination));
        let index = answer.interface.unwrap();
        let links = netlink.links();
        let link = links.iter().find(|l| l.index == index).unwrap();
        assert!(link.mtu >= 1280 && !link.enslaved);
    }

    #[test]
    fn a_forbidding_route_is_an_error() {
        let mut route = RouteMessage::default();
        route.header.kind = RouteType::Prohibit;
        route.attributes.push(RouteAttribute::Oif(1));
        let answer = read_route(&route, None);
        assert_eq!(answer.interface, None);
        assert_eq!(answer.error.as_deref(), Some("EACCES (Permission denied)"));
    }

    #[test]
    fn the_users_source_wins() {
        let bind = IpAddr::from([10, 22, 0, 7]);
        let mut route = RouteMessage::default();
        route.attributes.push(RouteAttribute::PrefSource(IpAddr::from([10, 22, 0, 1]).into()));
        route.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(1400)]));
        assert_eq!(
            read_route(&route, Some(bind)),
            Answer { source: Some(bind), mtu: Some(1400), ..Answer::default() }
        );
    }

    #[test]
    fn a_neighbour_that_failed_has_no_address() {
        let wanted = IpAddr::from([10, 22, 0, 1]);
        let mut entry = NeighbourMessage::default();
        entry.attributes = vec![
            NeighbourAttribute::Destination(wanted.into_neighbour()),
            NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 1]),
        ];
        entry.header.state = NeighbourState::Stale;
        assert_eq!(read_neighbour(&entry, wanted), Some(MacAddr([2, 0, 0, 0, 0, 1])));
        assert_eq!(read_neighbour(&entry, IpAddr::from([10, 22, 0, 2])), None);
        entry.header.state = NeighbourState::Failed;
        assert_eq!(read_neighbour(&entry, wanted), None);
    }

    trait IntoNeighbour {
        fn into_neighbour(self) -> NeighbourAddress;
    }
    impl IntoNeighbour for IpAddr {
        fn into_neighbour(self) -> NeighbourAddress {
            match self {
                IpAddr::V4(a) => NeighbourAddress::Inet(a),
                IpAddr::V6(a) => NeighbourAddress::Inet6(a),
            }
        }
    }
}
