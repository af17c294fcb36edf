//! What the tool did and what the kernel told it: everything a verdict may rest on that is not a frame.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::is_hostile;
use crate::packet::MacAddr;

/// One event of a live trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A trace begins: always the first record of one.
    Start(Box<Start>),
    /// How the kernel would send to an address of the target.
    Route(Route),
    /// How many packets the program behind a tun device has read from it so far (the kernel's `tx_packets`): told when a
    /// trace begins and when it ends, of the devices that its routes lead to.
    Tunnel {
        /// Which interface.
        interface: String,
        /// How many.
        read: u64,
    },
    /// A kernel connect(2) by the calling user got somewhere.
    Connect {
        /// Which connection, counted from 0.
        id: u32,
        /// Where to.
        server: SocketAddr,
        /// Local address and port, once known.
        client: Option<SocketAddr>,
        /// What happened.
        stage: ConnectStage,
    },
    /// A probe made with the kernel's own means (no privilege) was sent.
    KernelProbe {
        /// Which probe, counted from 0.
        id: u32,
        /// What it asks.
        probe: KernelProbe,
        /// Its TTL or hop limit.
        hop_limit: u8,
    },
    /// What came of a [`Event::KernelProbe`].
    KernelAnswer {
        /// Which probe.
        id: u32,
        /// The answer.
        answer: KernelAnswer,
    },
    /// The kernel refused to send a crafted probe.
    SendFailed {
        /// Which interface.
        interface: String,
        /// The error number.
        errno: i32,
        /// Its text.
        error: String,
    },
    /// A capture's counters, read when it was closed.
    Capture(CaptureCounters),
    /// A capture broke off.
    CaptureLost {
        /// Which interface.
        interface: String,
        /// Why.
        error: String,
    },
    /// Frames that were captured and not recorded: they bear no port and no identifier of the trace's, and there were
    /// too many of them.
    LeftOut {
        /// How many.
        frames: u64,
    },
    /// What could not be used for want of privilege, and what was done without it.
    Unprivileged {
        /// The capability that is missing.
        missing: String,
    },
    /// A deadline passed; it moves the recording's clock.
    Deadline {
        /// What was waited for.
        why: String,
    },
    /// The trace is over: what did not come until now did not come.
    End {
        /// Why it ended.
        reason: EndReason,
    },
    /// An event of a newer version of the tool.
    #[serde(other)]
    Unknown,
}

/// The opening event: what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Version of the tool.
    pub version: String,
    /// Seed of everything random in the trace.
    pub seed: u64,
    /// What is traced.
    pub target: Target,
    /// Whether frames are captured (else only the kernel's own means were there).
    pub captured: bool,
    /// `--edge-net`: networks to count as the organisation's edge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edge_nets: Vec<IpNet>,
    /// `--azure-net`: networks to count as Azure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub azure_nets: Vec<IpNet>,
    /// `--deep`: halves of SYNs are sent where the port is silent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deep: bool,
    /// Deadline of the whole trace, in ms.
    pub deadline_ms: u64,
    /// How long a banner is waited for, in ms.
    pub banner_wait_ms: u64,
    /// User id the kernel connections run as.
    pub uid: u32,
    /// The client runs in a container or under WSL: the first hop may be its own host.
    #[serde(default)]
    pub contained: bool,
}

/// What is traced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The name as given, if it was not an address.
    pub name: Option<String>,
    /// Every address of the name, in the order in which ssh would try them.
    pub addresses: Vec<IpAddr>,
    /// The port.
    pub port: u16,
}

/// The kernel's route to an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The destination.
    pub destination: IpAddr,
    /// Outgoing interface, if there is a route.
    pub interface: Option<String>,
    /// Next hop; `None` where the destination is on the link itself.
    pub gateway: Option<IpAddr>,
    /// Source address the kernel chooses.
    pub source: Option<IpAddr>,
    /// Our link-layer address on that interface.
    #[serde(default, with = "mac_text")]
    pub mac: Option<MacAddr>,
    /// The error, where there is no route.
    pub error: Option<String>,
}

/// Stages of a kernel connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum ConnectStage {
    /// connect(2) was called.
    Started,
    /// connect(2) succeeded.
    Established,
    /// connect(2) failed.
    Failed {
        /// The error number.
        errno: i32,
        /// Its name or text.
        error: String,
        /// The ICMP error that made it fail, where the socket's error queue was asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        icmp: Option<QueuedIcmp>,
    },
    /// Bytes were read.
    Received {
        /// The bytes, as text: printable ASCII as it is, all else (backslash included) as `\xNN`.
        data: String,
    },
    /// We wrote something, all of it to the kernel.
    Sent {
        /// What.
        what: Said,
        /// How long it is.
        bytes: u32,
    },
    /// The server's first message of the key exchange was read whole.
    KeyExchange {
        /// How long it is.
        bytes: u32,
    },
    /// The server closed the connection (read(2) returned 0).
    Closed,
    /// There is nothing more to learn from it: we closed it.
    Left,
    /// read(2) or write(2) failed on the established connection.
    Broken {
        /// The error number.
        errno: i32,
        /// Its text.
        error: String,
    },
    /// Nothing more was waited for: connect(2) or the banner had not come in time, or enough is known.
    Abandoned {
        /// How long it was waited for, in ms.
        waited_ms: u64,
    },
}

/// An ICMP error, as a socket's error queue tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedIcmp {
    /// Who sent it.
    pub from: IpAddr,
    /// Type on the wire.
    pub icmp_type: u8,
    /// Code on the wire.
    pub code: u8,
}

/// What we say on a kernel connection (RFC 4253).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// Our identification line.
    Identification,
    /// SSH_MSG_KEXINIT, longer than one segment.
    KeyExchange,
    /// SSH_MSG_DISCONNECT.
    Disconnect,
    /// Something that a newer version says.
    #[serde(other)]
    Unknown,
}

/// A question asked with the kernel's own means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelProbe {
    /// connect(2) to the port with IP_TTL set.
    Connect(SocketAddr),
    /// An echo request by a datagram ICMP socket with IP_TTL set.
    Echo(IpAddr),
}

/// What the kernel told of a [`KernelProbe`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelAnswer {
    /// An ICMP error.
    Icmp(QueuedIcmp),
    /// connect(2) succeeded.
    Established,
    /// connect(2) failed with this error number (ECONNREFUSED: a reset).
    Failed {
        /// The error number.
        errno: i32,
    },
    /// An echo reply came.
    EchoReply {
        /// Who sent it.
        from: IpAddr,
    },
}

/// Counters of one capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureCounters {
    /// Which interface.
    pub interface: String,
    /// Frames seen by the filter.
    pub received: u64,
    /// Frames lost because the buffer was full.
    pub dropped: u64,
    /// Frames lost by the interface or its driver.
    pub interface_dropped: u64,
}

/// Why a trace ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// Everything asked was answered, or had time to be.
    Settled,
    /// The deadline passed.
    Deadline,
    /// The user interrupted it.
    Interrupted,
    /// The recording or the capture could not go on.
    Failed,
}

impl fmt::Display for Event {
    /// One sentence, on one line: names and error texts come with their control characters escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(start) => start.fmt(f),
            Self::Route(route) => route.fmt(f),
            Self::Tunnel { interface, read } => {
                write!(f, "the program behind {} has read {read} packets", Plain(interface))
            }
            Self::Connect { id, server, client, stage } => {
                write!(f, "connection {id} to {server}")?;
                if let Some(client) = client {
                    write!(f, " from {client}")?;
                }
                write!(f, ": {stage}")
            }
            Self::KernelProbe { id, probe, hop_limit } => {
                write!(f, "kernel probe {id}: {probe} with hop limit {hop_limit}")
            }
            Self::KernelAnswer { id, answer } => write!(f, "kernel probe {id}: {answer}"),
            Self::SendFailed { interface, errno, error } => {
                write!(
                    f,
                    "a probe could not be sent on {}: {} (errno {errno})",
                    Plain(interface),
                    Plain(error)
                )
            }
            Self::Capture(counters) => counters.fmt(f),
            Self::CaptureLost { interface, error } => {
                write!(f, "the capture on {} broke off: {}", Plain(interface), Plain(error))
            }
            Self::LeftOut { frames } => write!(f, "{frames} frames that answer nothing were left out"),
            Self::Unprivileged { missing } => {
                write!(f, "for want of privilege, done without {}", Plain(missing))
            }
            Self::Deadline { why } => write!(f, "a deadline passed: {}", Plain(why)),
            Self::End { reason } => write!(f, "the trace ends: {reason}"),
            Self::Unknown => f.write_str("something this version does not know"),
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "whichhop {} begins to trace ", Plain(&self.version))?;
        if let Some(name) = &self.target.name {
            write!(f, "{} at ", Plain(name))?;
        }
        for (i, address) in self.target.addresses.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{address}")?;
        }
        write!(f, " port {}", self.target.port)?;
        if self.captured { Ok(()) } else { f.write_str(", without capturing frames") }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route to {}: ", self.destination)?;
        match &self.interface {
            Some(interface) => write!(f, "by {}", Plain(interface))?,
            None => f.write_str("none")?,
        }
        if let Some(gateway) = self.gateway {
            write!(f, ", next hop {gateway}")?;
        }
        if let Some(source) = self.source {
            write!(f, ", from {source}")?;
        }
        if let Some(mac) = self.mac {
            write!(f, " ({mac})")?;
        }
        if let Some(error) = &self.error {
            write!(f, ": {}", Plain(error))?;
        }
        Ok(())
    }
}

impl fmt::Display for ConnectStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("connect(2) called"),
            Self::Established => f.write_str("connect(2) succeeded"),
            Self::Failed { errno, error, icmp } => {
                write!(f, "connect(2) failed: {} (errno {errno})", Plain(error))?;
                icmp.map_or(Ok(()), |icmp| write!(f, ", for {icmp}"))
            }
            Self::Received { data } => write!(f, "received {}", Plain(data)),
            Self::Sent { what, bytes } => write!(f, "sent {what} ({bytes} bytes)"),
            Self::KeyExchange { bytes } => write!(f, "received the server's key exchange ({bytes} bytes)"),
            Self::Closed => f.write_str("closed by the server"),
            Self::Left => f.write_str("closed by us: nothing more to learn"),
            Self::Broken { errno, error } => write!(f, "broken: {} (errno {errno})", Plain(error)),
            Self::Abandoned { waited_ms } => write!(f, "given up after {waited_ms} ms"),
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identification => "our identification",
            Self::KeyExchange => "our key exchange",
            Self::Disconnect => "our farewell",
            Self::Unknown => "something this version does not know",
        })
    }
}

impl fmt::Display for KernelProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(server) => write!(f, "connect(2) to {server}"),
            Self::Echo(address) => write!(f, "echo request to {address}"),
        }
    }
}

impl fmt::Display for KernelAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp(icmp) => icmp.fmt(f),
            Self::Established => f.write_str("connect(2) succeeded"),
            Self::Failed { errno } => write!(f, "connect(2) failed (errno {errno})"),
            Self::EchoReply { from } => write!(f, "echo reply from {from}"),
        }
    }
}

impl fmt::Display for QueuedIcmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, icmp_type, code } = self;
        write!(f, "ICMP type {icmp_type} code {code} from {from}")
    }
}

impl fmt::Display for CaptureCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, received, dropped, interface_dropped } = self;
        let interface = Plain(interface);
        write!(
            f,
            "capture on {interface}: {received} frames seen, {dropped} lost for want of room in the buffer, "
        )?;
        write!(f, "{interface_dropped} lost by the interface")
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Settled => "everything asked was answered, or had time to be",
            Self::Deadline => "its deadline passed",
            Self::Interrupted => "it was interrupted",
            Self::Failed => "it could not go on",
        })
    }
}

/// Text from elsewhere, with whatever could start a new line or steer a terminal escaped.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for c in self.0.chars() {
            if is_hostile(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// MAC addresses as `aa:bb:cc:dd:ee:ff`.
mod mac_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::packet::MacAddr;

    #[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
    pub(super) fn serialize<S: Serializer>(mac: &Option<MacAddr>, s: S) -> Result<S::Ok, S::Error> {
        match mac {
            Some(mac) => s.collect_str(mac),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<MacAddr>, D::Error> {
        let Some(text) = Option::<String>::deserialize(d)? else { return Ok(None) };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            *byte = parts
                .next()
                .and_then(|p| u8::from_str_radix(p, 16).ok())
                .ok_or_else(|| D::Error::custom(format!("`{text}` is no link-layer address")))?;
        }
        if parts.next().is_some() {
            return Err(D::Error::custom(format!("`{text}` is no link-layer address")));
        }
        Ok(Some(MacAddr(bytes)))
    }
}
