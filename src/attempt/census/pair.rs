//! Two endpoints, in few bytes.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Two endpoints, in an order that does not depend on who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// Addresses, most significant half first; IPv4 addresses stand in the last 32 bits.
    addresses: [[u64; 2]; 2],
    ports: [u16; 2],
    v6: bool,
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Low,
    High,
}

impl End {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

/// An address of one version of IP.
pub(super) trait Address: Copy {
    /// The pair that two endpoints are, and which end of it `one` is.
    fn pair(one: (Self, u16), other: (Self, u16)) -> (Pair, End);
}

impl Address for Ipv4Addr {
    /// Without a branch, which could only be guessed at.
    #[inline]
    fn pair(one: (Self, u16), other: (Self, u16)) -> (Pair, End) {
        let end = |(address, port): (Self, u16)| u64::from(address.to_bits()) << 16 | u64::from(port);
        let (mine, theirs) = (end(one), end(other));
        let (low, high) = (mine.min(theirs), mine.max(theirs));
        let addresses = [[0, low >> 16], [0, high >> 16]];
        let pair = Pair { addresses, ports: [low as u16, high as u16], v6: false };
        (pair, if mine <= theirs { End::Low } else { End::High })
    }
}

impl Address for Ipv6Addr {
    /// Without a branch either: the two are exchanged by what they differ in.
    #[expect(clippy::needless_bitwise_bool, reason = "what is lazy is a branch")]
    #[inline]
    fn pair(one: (Self, u16), other: (Self, u16)) -> (Pair, End) {
        let (mine, theirs) = (one.0.to_bits(), other.0.to_bits());
        let in_order = (mine < theirs) | ((mine == theirs) & (one.1 <= other.1));
        let exchanged = u128::from(in_order).wrapping_sub(1);
        let (by, ports_by) = ((mine ^ theirs) & exchanged, (one.1 ^ other.1) & exchanged as u16);
        let halves = |number: u128| [(number >> 64) as u64, number as u64];
        let pair = Pair {
            addresses: [halves(mine ^ by), halves(theirs ^ by)],
            ports: [one.1 ^ ports_by, other.1 ^ ports_by],
            v6: true,
        };
        (pair, if in_order { End::Low } else { End::High })
    }
}

impl Pair {
    /// The pair, and which end of it `one` is.
    #[inline]
    pub(super) fn of<A: Address>(one: (A, u16), other: (A, u16)) -> (Self, End) {
        A::pair(one, other)
    }

    /// The pair of addresses of whichever version, if they are of one.
    pub(super) fn of_any(one: (IpAddr, u16), other: (IpAddr, u16)) -> Option<(Self, End)> {
        match (one.0, other.0) {
            (IpAddr::V4(mine), IpAddr::V4(theirs)) => Some(Self::of((mine, one.1), (theirs, other.1))),
            (IpAddr::V6(mine), IpAddr::V6(theirs)) => Some(Self::of((mine, one.1), (theirs, other.1))),
            _ => None,
        }
    }

    /// Whether both ends are the same: somebody connects to themselves.
    pub(super) fn is_one(&self) -> bool {
        self.ports[0] == self.ports[1] && self.addresses[0] == self.addresses[1]
    }

    pub(super) fn port(&self, end: End) -> u16 {
        self.ports[end as usize]
    }

    pub(super) fn endpoint(&self, end: End) -> SocketAddr {
        let [high, low] = self.addresses[end as usize];
        let address = if self.v6 {
            Ipv6Addr::from(u128::from(high) << 64 | u128::from(low)).into()
        } else {
            Ipv4Addr::from(low as u32).into()
        };
        SocketAddr::new(address, self.port(end))
    }
}

impl Hash for Pair {
    /// Everything counts, in as few steps as that takes.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [[low_high, low_low], [high_high, high_low]] = self.addresses;
        let ports = u64::from(self.ports[0]) << 16 | u64::from(self.ports[1]);
        if self.v6 {
            state.write_u64(low_high);
            state.write_u64(low_low);
            state.write_u64(high_high);
            state.write_u64(high_low);
        } else {
            state.write_u64(low_low << 32 | high_low);
        }
        state.write_u64(ports);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_come_back_as_they_went_in() {
        let ends =
            ["10.22.0.1:50022", "198.19.0.4:22", "[2001:db8::4]:22", "[::ffff:10.22.0.1]:50022", "[::]:0"];
        let ends: Vec<SocketAddr> = ends.iter().map(|end| end.parse().unwrap()).collect();
        let of = |one: SocketAddr, other: SocketAddr| {
            Pair::of_any((one.ip(), one.port()), (other.ip(), other.port())).expect("one version")
        };
        for (one, other) in ends.iter().flat_map(|one| ends.iter().map(move |other| (*one, *other))) {
            if one.is_ipv4() != other.is_ipv4() {
                continue;
            }
            let (pair, end) = of(one, other);
            assert_eq!((pair.endpoint(end), pair.endpoint(end.other())), (one, other));
            assert_eq!(of(other, one).0, pair, "whoever speaks");
        }
        let mapped = of(ends[3], ends[3]).0;
        assert_ne!(mapped, of(ends[0], ends[0]).0, "an IPv6 address is never an IPv4 one");
    }
}
