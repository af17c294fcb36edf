//! The machine's interfaces, as far as capturing and sending need them.

use std::net::IpAddr;

use pnet::datalink;

use super::route::LinkFacts;
use crate::packet::MacAddr;

/// At most this many interfaces are captured on.
const MOST: usize = 32;

/// One interface.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
    /// Absent on links without link-layer addresses.
    pub(super) mac: Option<MacAddr>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) loopback: bool,
    pub(super) up: bool,
    /// In bytes.
    pub(super) mtu: u32,
    /// Part of a bond or bridge, which shows the same frames.
    pub(super) enslaved: bool,
    /// As pnet wants it back.
    pub(super) raw: datalink::NetworkInterface,
}

/// Every interface of this network namespace.
pub(super) fn all(facts: &[LinkFacts]) -> Vec<Interface> {
    datalink::interfaces().into_iter().map(|raw| describe(raw, facts)).collect()
}

fn describe(raw: datalink::NetworkInterface, facts: &[LinkFacts]) -> Interface {
    let fact = facts.iter().find(|f| f.index == raw.index);
    let loopback = raw.is_loopback();
    // A tunnel has no address or shows zeros; the loopback's zeros are its address.
    let mac = raw.mac.map(|m| MacAddr(m.octets())).filter(|m| loopback || m.0 != [0; 6]);
    Interface {
        name: raw.name.clone(),
        index: raw.index,
        mac: mac.filter(|_| loopback || raw.is_broadcast()),
        addresses: raw.ips.iter().map(pnet::ipnetwork::IpNetwork::ip).collect(),
        loopback,
        up: raw.is_up(),
        mtu: fact.map_or(1500, |f| f.mtu),
        enslaved: fact.is_some_and(|f| f.enslaved),
        raw,
    }
}

/// Which interfaces to capture on: those of the routes first, then every other one that is up.
///
/// Parts of a bond or bridge would only show each frame twice.
pub(super) fn to_capture<'a>(all: &'a [Interface], routes: &[u32]) -> Vec<&'a Interface> {
    let of_route = |i: &&Interface| routes.contains(&i.index);
    let mut chosen: Vec<_> = all.iter().filter(of_route).collect();
    chosen.sort_by_key(|i| routes.iter().position(|r| *r == i.index));
    chosen.extend(all.iter().filter(|i| i.up && !i.enslaved && !of_route(i)));
    chosen.truncate(MOST);
    chosen
}

#[cfg(test)]
pub(super) fn sample(name: &str, index: u32, mac: Option<[u8; 6]>, addresses: &[&str]) -> Interface {
    let raw = datalink::NetworkInterface {
        name: name.to_owned(),
        description: String::new(),
        index,
        mac: None,
        ips: vec![],
        flags: 1,
    };
    Interface {
        name: name.to_owned(),
        index,
        mac: mac.map(MacAddr),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        loopback: name == "lo",
        up: true,
        mtu: 1500,
        enslaved: false,
        raw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routes_interface_comes_first_and_doubles_are_left_out() {
        let mut all: Vec<_> =
            (1..=5).map(|n| sample(&format!("eth{n}"), n, Some([2, 0, 0, 0, 0, n as u8]), &[])).collect();
        all[1].enslaved = true;
        all[3].up = false;
        let names = |routes: &[u32]| to_capture(&all, routes).iter().map(|i| i.index).collect::<Vec<_>>();
        assert_eq!(names(&[5]), [5, 1, 3]);
        assert_eq!(names(&[3, 2]), [3, 2, 1, 5]);
    }

    #[test]
    fn there_is_a_limit() {
        let all: Vec<_> = (1..=50).map(|n| sample(&format!("eth{n}"), n, None, &[])).collect();
        let chosen = to_capture(&all, &[50]);
        assert_eq!(chosen.len(), MOST);
        assert_eq!(chosen[0].index, 50);
    }
}
