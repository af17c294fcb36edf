//! Who a hop belongs to, going by its address and its place.
//!
//! The organisation's edge is what is private before the first public hop; carrier-grade NAT space is transit. Azure
//! begins with Microsoft's own network.
//! Where a border is not known, a hop keeps every segment it may lie in: a verdict must not clear a segment
//! because of a guess about addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use super::microsoft::{LISTED, is_azure_cloud, is_microsoft};
use super::{Segment, Segments};

/// What is known of the networks on a path beside the addresses themselves.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    /// Networks that are the organisation's edge.
    pub edge: Vec<IpNet>,
    /// Networks that are Azure's.
    pub azure: Vec<IpNet>,
    /// The client runs in a container or under WSL, so that the first hop may be its own host.
    pub contained: bool,
}

/// What an address says of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Edge,
    Azure,
    Private,
    Public,
}

impl Networks {
    /// Whether Azure's networks on the way to `target` are known. Where those that were named lack a public target, they may
    /// be another cloud's.
    fn tell_azure(&self, target: IpAddr) -> bool {
        let of_its_kind = || self.azure.iter().any(|net| net.addr().is_ipv4() == target.is_ipv4());
        is_microsoft(target)
            || longest(&self.azure, target).is_some()
            || (!is_public(target) && of_its_kind())
    }

    /// Whether an address on the way to `target` is known to be none of Azure's.
    pub(super) fn is_outside_azure(&self, address: IpAddr, target: IpAddr) -> bool {
        self.tell_azure(target) && !is_private(target) && self.owner(address) != Owner::Azure
    }

    fn owner(&self, address: IpAddr) -> Owner {
        // Of networks within each other the smaller one tells more.
        let (edge, azure) = (longest(&self.edge, address), longest(&self.azure, address));
        if edge.is_some() && edge >= azure {
            Owner::Edge
        } else if azure.is_some() || is_microsoft(address) {
            Owner::Azure
        } else if is_private(address) {
            Owner::Private
        } else {
            Owner::Public
        }
    }

    /// What makes it doubtful that an address is an Azure VM's, in one sentence.
    pub fn doubt_target(&self, target: IpAddr) -> Option<String> {
        if !is_public(target) || self.azure.iter().chain(&self.edge).any(|net| net.contains(&target)) {
            return None;
        }
        let remedy = if self.azure.is_empty() {
            "is it (still) the VM's? --azure-tags takes a newer list, or that of another cloud than the public one"
        } else {
            "nor in those that were named: is it (still) the VM's?"
        };
        if !is_microsoft(target) {
            return Some(format!(
                "{target} is in none of Microsoft's networks known here ({LISTED}): {remedy}"
            ));
        }
        (is_azure_cloud(target) == Some(false)).then(|| {
            format!(
                "{target} is Microsoft's, but in none of the larger networks that Azure's public cloud gives to customers ({LISTED}): {remedy}"
            )
        })
    }
}

/// The length of the longest prefix among `nets` that holds an address.
fn longest(nets: &[IpNet], address: IpAddr) -> Option<u8> {
    nets.iter().filter(|net| net.contains(&address)).map(IpNet::prefix_len).max()
}

/// Whether two addresses may well be of one organisation that numbers its routers from a public network of its own.
fn are_neighbours(one: IpAddr, other: IpAddr) -> bool {
    const BITS: u8 = 16;
    const BITS_V6: u8 = 32;
    let bits = if one.is_ipv4() { BITS } else { BITS_V6 };
    IpNet::new(one, bits).is_ok_and(|net| net.contains(&other))
}

/// Whether an address is one that the whole Internet can reach.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let benchmark = a == 198 && (b == 18 || b == 19);
            let assignments = (a, b, c) == (192, 0, 0);
            let special = a == 0 || a >= 224 || v4.is_loopback() || v4.is_documentation();
            !(is_private(address) || shared || benchmark || assignments || special)
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            // Global unicast is 2000::/3 (RFC 4291); 2001:db8::/32 and 3fff::/20 are for documentation.
            let [first, second, ..] = v6.segments();
            let documentation = (first, second) == (0x2001, 0xdb8) || (first == 0x3fff && second < 0x1000);
            first >> 13 == 1 && !documentation
        }
    }
}

/// Private (RFC 1918, RFC 4193) or link-local; shared carrier space (RFC 6598) is not.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private(IpAddr::V4(v4)),
            None => v6.is_unique_local() || v6.is_unicast_link_local(),
        },
    }
}

/// The segments of each hop of a path to `target`, whose own hop number is `end` if it is known.
pub(super) fn segments(
    hops: &[Option<IpAddr>],
    target: IpAddr,
    end: Option<u8>,
    networks: &Networks,
) -> Vec<Segments> {
    use Segment::{AzureEdge, Client, Edge, Transit};

    let owners: Vec<Option<Owner>> = hops.iter().map(|h| h.map(|a| networks.owner(a))).collect();
    let last_edge = owners.iter().rposition(|o| *o == Some(Owner::Edge));
    let first_azure = owners.iter().position(|o| *o == Some(Owner::Azure));
    let first_public = owners.iter().position(|o| matches!(o, Some(Owner::Public)));
    let target_private = is_private(target) && networks.owner(target) != Owner::Azure;
    let azure_known = networks.tell_azure(target);
    let before_target = |index: usize| end.is_some_and(|end| index + 2 == usize::from(end));
    // Whoever answers before Azure does may be its router, with an address of the network that it shares with another.
    let border = first_azure.and_then(|first| owners[..first].iter().rposition(Option::is_some));
    // An organisation with public addresses of its own has more than one router.
    let first_hop = hops.first().copied().flatten().filter(|_| first_public == Some(0));
    let away = |hop: &Option<IpAddr>| {
        hop.is_some_and(|hop| first_hop.is_none_or(|first| !are_neighbours(first, hop)))
    };
    let neighbours = hops.iter().position(away).unwrap_or(hops.len());

    let mut segments: Vec<Option<Segments>> = owners
        .iter()
        .enumerate()
        .map(|(index, owner)| {
            let owner = (*owner)?;
            if last_edge.is_some_and(|last| index <= last) {
                return Some(Segments::one(Edge));
            }
            if first_azure.is_some_and(|first| index >= first) {
                return Some(Segments::one(AzureEdge));
            }
            let borders_azure = border == Some(index) || (azure_known && first_azure.is_none());
            let to_azure = !azure_known || borders_azure;
            let last = if to_azure { AzureEdge } else { Transit };
            let likeliest = if to_azure && before_target(index) { AzureEdge } else { Transit };
            Some(match owner {
                Owner::Private if first_public.is_none_or(|first| index < first) => {
                    let near_azure = target_private || first_public.is_none();
                    match (near_azure && to_azure, before_target(index) && index > 0) {
                        (true, true) => Segments::span(Edge, AzureEdge, AzureEdge),
                        (true, false) if target_private => Segments::span(Edge, AzureEdge, Edge),
                        // Carriers number their routers so, too.
                        _ if index > 0 => Segments::span(Edge, Transit, Edge),
                        _ => Segments::one(Edge),
                    }
                }
                _ if index == 0 => Segments::span(Edge, last, Edge),
                _ if index < neighbours => Segments::span(Edge, last, likeliest),
                _ => Segments::span(Transit, last, likeliest),
            })
        })
        .collect();
    if networks.contained
        && let Some(first) = segments.first_mut()
    {
        *first = first.map(|s| Segments::span(Client, s.last(), s.likeliest()));
    }
    fill_gaps(&segments)
}

/// A silent hop lies between its neighbours.
fn fill_gaps(segments: &[Option<Segments>]) -> Vec<Segments> {
    (0..segments.len())
        .map(|index| {
            if let Some(known) = segments[index] {
                return known;
            }
            let before = segments[..index].iter().rev().flatten().next();
            let after = segments[index..].iter().flatten().next();
            let first = before.map_or(Segment::Edge, |s| s.first());
            let last = after.map_or(Segment::AzureEdge, |s| s.last());
            let likeliest = match (before, after) {
                (None, _) => Segment::Edge,
                (Some(before), Some(after)) if before.likeliest() == after.likeliest() => after.likeliest(),
                _ => Segment::Transit.clamp(first.min(last), last),
            };
            Segments::span(first.min(last), last, likeliest)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(hops: &[&str], target: &str, end: Option<u8>, azure: &[&str]) -> Vec<Segments> {
        let hops: Vec<_> =
            hops.iter().map(|h| if *h == "*" { None } else { Some(h.parse().unwrap()) }).collect();
        let azure = azure.iter().map(|n| n.parse().unwrap()).collect();
        segments(&hops, target.parse().unwrap(), end, &Networks { azure, ..Networks::default() })
    }

    #[test]
    fn private_hops_before_the_first_public_one_are_edge_and_the_border_to_azure_is_kept_open() {
        let found =
            assign(&["10.0.0.1", "192.168.9.1", "100.64.0.1", "203.0.113.1"], "192.0.2.3", Some(5), &[]);
        assert_eq!(found[0].known(), Some(Segment::Edge));
        assert_eq!(
            found[1],
            Segments::span(Segment::Edge, Segment::Transit, Segment::Edge),
            "or a carrier's"
        );
        assert_eq!(found[2], Segments::span(Segment::Transit, Segment::AzureEdge, Segment::Transit));
        assert_eq!(found[3], Segments::span(Segment::Transit, Segment::AzureEdge, Segment::AzureEdge));
    }

    #[test]
    fn a_named_azure_network_settles_all_but_the_hop_before_it() {
        let found = assign(
            &["10.0.0.1", "203.0.113.1", "*", "203.0.113.9", "20.0.0.1"],
            "20.1.2.3",
            Some(6),
            &["20.0.0.0/8"],
        );
        assert_eq!(found[1].known(), Some(Segment::Transit));
        assert!(found[3].contains(Segment::Transit) && found[3].contains(Segment::AzureEdge));
        assert_eq!(found[4].known(), Some(Segment::AzureEdge));
        assert!(found[2].contains(Segment::Transit));
    }

    #[test]
    fn microsofts_network_is_known() {
        let found =
            assign(&["10.0.0.1", "203.0.113.1", "203.0.113.5", "104.44.47.27"], "20.1.2.3", Some(6), &[]);
        assert_eq!(found[1].known(), Some(Segment::Transit));
        assert!(found[2].contains(Segment::AzureEdge) && found[2].contains(Segment::Transit));
        assert_eq!(found[3].known(), Some(Segment::AzureEdge));
    }

    #[test]
    fn routers_of_an_organisation_with_public_addresses_may_be_its_edge() {
        let found = assign(
            &["2001:db8:1::1", "*", "2001:db8:1:2::1", "2001:db9::1", "2603:1030::1"],
            "2603:1030::4",
            Some(6),
            &[],
        );
        for hop in &found[1..3] {
            assert_eq!(*hop, Segments::span(Segment::Edge, Segment::Transit, Segment::Transit));
        }
        assert_eq!(found[3], Segments::span(Segment::Transit, Segment::AzureEdge, Segment::Transit));
        let found =
            assign(&["10.0.0.1", "198.51.100.1", "198.51.100.9", "20.0.0.1"], "20.1.2.3", Some(5), &[]);
        assert_eq!(found[1].known(), Some(Segment::Transit), "it has none");
    }

    #[test]
    fn a_silent_hop_does_not_settle_the_border() {
        let found = assign(
            &["10.0.0.1", "203.0.113.1", "80.249.209.20", "*", "104.44.47.27"],
            "20.1.2.3",
            Some(7),
            &[],
        );
        assert_eq!(found[2], Segments::span(Segment::Transit, Segment::AzureEdge, Segment::Transit));
        assert_eq!(found[3], Segments::span(Segment::Transit, Segment::AzureEdge, Segment::Transit));
    }

    #[test]
    fn of_networks_within_each_other_the_smaller_one_counts() {
        let nets = |net: &str| vec![net.parse().unwrap()];
        let networks =
            Networks { edge: nets("10.0.0.0/8"), azure: nets("10.40.0.0/16"), ..Networks::default() };
        assert_eq!(networks.owner("10.40.0.4".parse().unwrap()), Owner::Azure);
        assert_eq!(networks.owner("10.41.0.4".parse().unwrap()), Owner::Edge);
        let alike = Networks { edge: nets("10.40.0.0/16"), ..networks };
        assert_eq!(alike.owner("10.40.0.4".parse().unwrap()), Owner::Edge);
    }

    #[test]
    fn networks_of_another_cloud_tell_nothing() {
        let tell = |target: &str, azure: &str| {
            let azure = vec![azure.parse().unwrap()];
            Networks { azure, ..Networks::default() }.tell_azure(target.parse().unwrap())
        };
        assert!(!tell("40.73.1.4", "13.66.0.0/16"), "China's");
        assert!(tell("9.9.9.9", "9.9.0.0/16"));
        assert!(tell("10.40.2.4", "10.40.1.0/24"));
        assert!(!tell("fd22::4", "10.40.0.0/16"));
    }

    #[test]
    fn a_target_outside_azure_is_doubted() {
        let doubt = |target: &str, azure: &[&str]| {
            let azure = azure.iter().map(|n| n.parse().unwrap()).collect();
            Networks { azure, ..Networks::default() }.doubt_target(target.parse().unwrap())
        };
        assert!(doubt("9.9.9.9", &[]).unwrap().contains("none of Microsoft's networks"));
        assert!(doubt("2620:fe::9", &[]).unwrap().contains("none of Microsoft's networks"));
        assert!(doubt("104.44.47.27", &[]).unwrap().contains("is Microsoft's, but"));
        assert_eq!(doubt("9.9.9.9", &["9.9.0.0/16"]), None, "named");
        for unknowable in [
            "20.112.250.133",
            "2603:1030::4",
            "10.1.0.4",
            "100.64.0.4",
            "127.0.0.1",
            "198.19.0.4",
            "192.0.2.3",
            "2001:db8::4",
            "fd22::4",
            "::1",
        ] {
            assert_eq!(doubt(unknowable, &[]), None, "{unknowable}");
        }
    }

    #[test]
    fn with_a_private_target_no_border_is_known() {
        let found = assign(&["10.0.0.1", "10.1.0.1"], "10.9.0.4", Some(3), &[]);
        assert!(found[0].contains(Segment::AzureEdge) && found[0].contains(Segment::Edge));
        assert_eq!(found[1].likeliest(), Segment::AzureEdge);
        assert!(found[1].contains(Segment::Edge));
    }

    #[test]
    fn a_silent_first_hop_is_not_taken_for_transit() {
        let found = assign(&["*", "203.0.113.1"], "20.1.2.3", None, &[]);
        assert!(found[0].contains(Segment::Edge) && found[0].contains(Segment::Transit));
        assert_eq!(found[0].likeliest(), Segment::Edge);
    }
}
