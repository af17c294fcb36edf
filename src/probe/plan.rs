//! What goes into the planner and what comes out of it.

use std::net::{IpAddr, SocketAddr};

use crate::packet::build;
use crate::recording::{KernelProbe, Timestamp};

/// A millisecond, in ns.
pub(super) const MS: i64 = 1_000_000;

/// The farthest hop asked.
pub(super) const MAX_HOPS: u8 = 30;

/// What the planner may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// Frames can be captured and crafted (needs `CAP_NET_RAW`).
    pub raw: bool,
    /// Datagram ICMP sockets are allowed to this user (used where `raw` is false).
    pub datagram_icmp: bool,
}

/// What the planner is asked to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Every address of the target, in the order of ssh.
    pub targets: Vec<IpAddr>,
    /// The port.
    pub port: u16,
    /// Source address towards each target; `None` where there is no route.
    pub sources: Vec<Option<IpAddr>>,
    /// Seed of everything random.
    pub seed: u64,
    /// Deadline of the whole trace, ns.
    pub deadline: i64,
    /// How long a banner is waited for, ns.
    pub banner_wait: i64,
    /// What may be used.
    pub means: Means,
    /// MSS that the probes announce, in bytes.
    pub mss: u16,
    /// Whether halves of SYNs may be sent, and the answers to them be waited for.
    pub deep: bool,
}

/// How far a kernel connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// To the end of the first messages of the key exchange, then a farewell.
    Converse,
    /// To the server's banner; then nothing is said on it, and it stays open until it is abandoned.
    Hold,
}

/// Something to do now.
#[derive(Clone, Debug)]
pub enum Action {
    /// Call connect(2) as the calling user, and go on if it succeeds.
    Connect {
        /// Which connection.
        id: u32,
        /// Where to.
        server: SocketAddr,
        /// How far.
        manner: Manner,
    },
    /// Stop a kernel connection that is not needed any more.
    Abandon {
        /// Which connection.
        id: u32,
    },
    /// Send a crafted SYN below the local firewall.
    SendSyn(build::Syn),
    /// Send the first fragment of a crafted SYN below the local firewall.
    SendHalfSyn(build::Syn),
    /// Send a crafted echo request below the local firewall.
    SendEcho(build::Echo),
    /// Reset a half-open connection that a probe made.
    SendReset(build::Reset),
    /// Send a crafted segment with data on a kernel connection that is held, below the local firewall.
    SendData(build::Data),
    /// Ask with the kernel's own means.
    Ask {
        /// Which question.
        id: u32,
        /// What.
        probe: KernelProbe,
        /// TTL or hop limit.
        hop_limit: u8,
    },
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Step {
    /// Do this, then ask again.
    Do(Action),
    /// Wait for a record or until this moment, then ask again.
    Wait {
        /// When to ask again at the latest.
        until: Timestamp,
        /// What is waited for.
        why: &'static str,
    },
    /// Nothing is left to learn: end the trace.
    Finished,
}
