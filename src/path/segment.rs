//! The five segments of a path, and which of them a hop may lie in.

use std::fmt;

/// A part of the path between `ssh` and the VM, in path order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// The machine the tool runs on (and the host under a container or WSL).
    Client,
    /// The organisation's edge: first router, corporate firewall, proxy, IDS, NAT.
    Edge,
    /// Whatever lies between the edge and Microsoft's network.
    Transit,
    /// Microsoft's network up to, but not including, the guest.
    AzureEdge,
    /// The Linux guest.
    Vm,
}

impl Segment {
    /// All of them, in path order.
    pub const ALL: [Self; 5] = [Self::Client, Self::Edge, Self::Transit, Self::AzureEdge, Self::Vm];

    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Edge => "edge",
            Self::Transit => "transit",
            Self::AzureEdge => "azure-edge",
            Self::Vm => "vm",
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The segments a hop may lie in, as far as is known: the likeliest, and the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    likeliest: Segment,
    bits: u8,
}

impl Segments {
    /// Just one.
    pub const fn one(segment: Segment) -> Self {
        Self { likeliest: segment, bits: 1 << segment as u8 }
    }

    /// Every segment from `first` to `last` in path order, `likeliest` before all others.
    pub fn span(first: Segment, last: Segment, likeliest: Segment) -> Self {
        let mut bits = 1 << likeliest as u8;
        for segment in Segment::ALL {
            if first <= segment && segment <= last {
                bits |= 1 << segment as u8;
            }
        }
        Self { likeliest, bits }
    }

    /// Those and `others`; what is likeliest stays.
    #[must_use]
    pub const fn or(self, others: Self) -> Self {
        Self { likeliest: self.likeliest, bits: self.bits | others.bits }
    }

    /// The likeliest of them.
    pub const fn likeliest(self) -> Segment {
        self.likeliest
    }

    /// Whether `segment` is one of them.
    pub const fn contains(self, segment: Segment) -> bool {
        self.bits & (1 << segment as u8) != 0
    }

    /// The segment, if it is known.
    pub fn known(self) -> Option<Segment> {
        self.bits.is_power_of_two().then_some(self.likeliest)
    }

    /// The first of them in path order.
    pub fn first(self) -> Segment {
        self.iter().next().unwrap_or(self.likeliest)
    }

    /// The last of them in path order.
    pub fn last(self) -> Segment {
        self.iter().last().unwrap_or(self.likeliest)
    }

    /// All of them, in path order.
    pub fn iter(self) -> impl Iterator<Item = Segment> {
        Segment::ALL.into_iter().filter(move |s| self.contains(*s))
    }
}
