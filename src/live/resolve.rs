//! Names to addresses, as ssh does it: getaddrinfo for a stream socket, every address in its order.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

use super::{Family, LiveError};

/// Every address of `host` that is of `family` and can be reached from `bind`, in the order ssh tries them.
pub(super) fn addresses(
    host: &str,
    family: Option<Family>,
    bind: Option<IpAddr>,
) -> Result<Vec<IpAddr>, LiveError> {
    if let Some(bind) = bind {
        UdpSocket::bind((bind, 0)).map_err(|source| LiveError::Bind { bind, source })?;
    }
    let found: Vec<SocketAddr> = (host, 0)
        .to_socket_addrs()
        .map_err(|e| LiveError::UnknownHost { host: host.to_owned(), words: resolver_words(&e.to_string()) })?
        .collect();
    select(host, &found, family, bind)
}

fn select(
    host: &str,
    found: &[SocketAddr],
    family: Option<Family>,
    bind: Option<IpAddr>,
) -> Result<Vec<IpAddr>, LiveError> {
    let mut addresses = Vec::new();
    for address in found.iter().map(|a| a.ip().to_canonical()) {
        if family.is_none_or(|f| f.fits(address)) && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        let family = family.unwrap_or(Family::V4);
        return Err(LiveError::NoAddress { host: host.to_owned(), family });
    }
    if let Some(bind) = bind {
        addresses.retain(|a| a.is_ipv4() == bind.is_ipv4());
        if addresses.is_empty() {
            return Err(LiveError::BindFamily { host: host.to_owned(), bind });
        }
    }
    // A zone says which link such an address is on; no recording could say it again.
    if let Some(&address) = addresses.iter().find(|a| is_link_local(**a)) {
        return Err(LiveError::LinkLocal { address });
    }
    if let Some(&address) = addresses.iter().find(|a| is_no_host(**a)) {
        return Err(LiveError::NotAHost { address });
    }
    Ok(addresses)
}

fn is_no_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(a) if a.is_broadcast());
    broadcast || address.is_unspecified() || address.is_multicast()
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(a) if a.is_unicast_link_local())
}

/// The resolver's own words, without those of the standard library before them.
fn resolver_words(text: &str) -> String {
    text.strip_prefix("failed to lookup address information: ").unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|a| SocketAddr::new(a.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn order_stays_and_doubles_go() {
        let found = sockets(&["2001:db8::1", "198.19.0.4", "2001:db8::1", "198.19.0.5"]);
        let all = select("vm", &found, None, None).unwrap();
        assert_eq!(all, ["2001:db8::1", "198.19.0.4", "198.19.0.5"].map(|a| a.parse::<IpAddr>().unwrap()));
        let v4 = select("vm", &found, Some(Family::V4), None).unwrap();
        assert!(v4.iter().all(IpAddr::is_ipv4) && v4.len() == 2);
    }

    #[test]
    fn what_cannot_be_traced_is_refused() {
        let v4 = sockets(&["198.19.0.4"]);
        assert!(matches!(select("vm", &v4, Some(Family::V6), None), Err(LiveError::NoAddress { .. })));
        let bind = Some("2001:db8::9".parse().unwrap());
        assert!(matches!(select("vm", &v4, None, bind), Err(LiveError::BindFamily { .. })));
        let zone = sockets(&["fe80::1"]);
        assert!(matches!(select("vm", &zone, None, None), Err(LiveError::LinkLocal { .. })));
        let any = sockets(&["0.0.0.0"]);
        assert!(matches!(select("vm", &any, None, None), Err(LiveError::NotAHost { .. })));
    }

    #[test]
    fn an_unknown_host_is_told_in_the_resolvers_words() {
        // A label of more than 63 bytes: refused without asking any server.
        let name = "a".repeat(64);
        match addresses(&name, None, None) {
            Err(LiveError::UnknownHost { host, words }) => {
                assert_eq!(host, name);
                assert!(!words.contains("failed to lookup"), "{words}");
            }
            other => panic!("{other:?}"),
        }
    }
}
