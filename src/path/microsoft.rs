//! Microsoft's network, built in: what of it is known, and since when.

use std::net::IpAddr;
use std::sync::LazyLock;

use ipnet::IpNet;

/// When the built-in lists were taken.
pub(super) const LISTED: &str = "June 2026";

/// Networks in order of address, none within another.
struct Networks(Vec<IpNet>);

impl Networks {
    fn read(lists: &[&str]) -> Self {
        let lines = lists.iter().flat_map(|list| list.lines()).filter(|line| !line.starts_with('#'));
        let all: Vec<IpNet> = lines.filter_map(|line| line.parse().ok()).collect();
        let mut all = IpNet::aggregate(&all);
        all.sort_unstable_by_key(IpNet::network);
        Self(all)
    }

    fn contains(&self, address: IpAddr) -> bool {
        let after = self.0.partition_point(|net| net.network() <= address);
        after.checked_sub(1).is_some_and(|at| self.0[at].contains(&address))
    }
}

const NETWORK: &str = include_str!("microsoft.txt");
const CLOUD: &str = include_str!("azure-cloud.txt");

/// Whether an address lies in Microsoft's network, which is where Azure begins.
pub(super) fn is_microsoft(address: IpAddr) -> bool {
    static ALL: LazyLock<Networks> = LazyLock::new(|| Networks::read(&[NETWORK, CLOUD]));
    ALL.contains(address)
}

/// Whether an IPv4 address is one that Azure gives to its customers and services, and not a router of Microsoft's own;
/// `None` for IPv6, of which no list is built in.
pub(super) fn is_azure_cloud(address: IpAddr) -> Option<bool> {
    static ALL: LazyLock<Networks> = LazyLock::new(|| Networks::read(&[CLOUD]));
    address.is_ipv4().then(|| ALL.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_line_of_the_lists_is_a_prefix() {
        for list in [NETWORK, CLOUD] {
            assert!(list.starts_with("# "), "it says what it is and how old");
            for line in list.lines().filter(|l| !l.starts_with('#')) {
                assert!(line.parse::<IpNet>().is_ok_and(|net| net.trunc() == net), "{line}");
            }
        }
    }

    /// Router and front-end addresses that were seen on the way to Azure.
    #[test]
    fn routers_and_front_ends_are_told_apart() {
        for router in ["104.44.47.27", "51.10.15.1", "40.66.0.60", "198.200.130.132"] {
            assert!(is_microsoft(address(router)), "{router}");
            assert_eq!(is_azure_cloud(address(router)), Some(false), "{router}");
        }
        for front_end in ["20.112.250.133", "4.225.11.194", "104.40.211.35", "172.192.0.1"] {
            assert!(is_microsoft(address(front_end)), "{front_end}");
            assert_eq!(is_azure_cloud(address(front_end)), Some(true), "{front_end}");
        }
    }

    #[test]
    fn other_networks_are_not_microsofts() {
        for other in ["0.0.0.0", "8.8.8.8", "198.19.0.4", "255.255.255.255", "::1", "2001:db8::4", "2602::1"]
        {
            assert!(!is_microsoft(address(other)), "{other}");
        }
        assert!(is_microsoft(address("2603:1030::4")));
        assert_eq!(is_azure_cloud(address("2603:1030::4")), None);
    }
}
