//! Everything that touches the world: sockets, libpcap, the clock, the kernel's tables (feature `live`, Linux).
//!
//! A trace is a recording being made. [`trace`] writes each record first, and only then shows it to the
//! diagnosis and to the planner, so that a replay of the recording sees what the trace saw. What this room
//! does not know: what any of it means.

mod capture;
mod clock;
mod connect;
mod conversation;
mod errno;
mod error_queue;
mod file;
mod interface;
mod kernel_probe;
mod privilege;
mod readiness;
mod resolve;
mod route;
mod send;
mod session;
mod tee;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::diagnose::{Findings, NothingToDiagnose};
use crate::recording::EndReason;

/// What to trace, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// Name or address of the host.
    pub host: String,
    /// TCP port, from 1.
    pub port: u16,
    /// `-4` or `-6`.
    pub family: Option<Family>,
    /// `-b`: the source address.
    pub bind: Option<IpAddr>,
    /// How long the whole trace may take; name resolution comes before it.
    pub deadline: Duration,
    /// How long a banner is waited for.
    pub banner_wait: Duration,
    /// Networks to count as the organisation's edge.
    pub edge_nets: Vec<IpNet>,
    /// Networks to count as Azure.
    pub azure_nets: Vec<IpNet>,
    /// `--deep`: where the port is silent, send halves of SYNs and wait for the answers; takes half a minute on IPv4 and
    /// a minute on IPv6, for which the deadline must leave room.
    pub deep: bool,
    /// `-w`: where to keep the recording.
    pub recording: Option<PathBuf>,
    /// `--buffer`: size of each capture's ring, in bytes. The default holds near a thousand frames, some seconds of any
    /// trace.
    pub buffer: u32,
    /// Seed of everything random; drawn anew where `None`.
    pub seed: Option<u64>,
}

impl Request {
    /// A trace of SSH on `host` with the defaults: port 22, 10 s, 5 s for the banner.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 22,
            family: None,
            bind: None,
            deadline: Duration::from_secs(10),
            banner_wait: Duration::from_secs(5),
            edge_nets: Vec::new(),
            azure_nets: Vec::new(),
            deep: false,
            recording: None,
            buffer: 2 << 20,
            seed: None,
        }
    }
}

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    fn fits(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// What is told while a trace runs.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// Something the user should know, in one sentence; told once.
    Notice(&'a str),
    /// How far it is; told often.
    Status {
        /// What is going on, in a few words.
        text: &'a str,
        /// Since the trace began.
        elapsed: Duration,
        /// Frames recorded so far.
        frames: u64,
        /// Events recorded so far.
        events: u64,
    },
}

/// A trace that was made.
#[derive(Debug)]
pub struct Traced {
    /// What was found, or why there was nothing to find out.
    pub findings: Result<Findings, NothingToDiagnose>,
    /// Why it ended.
    pub end: EndReason,
    /// Why the recording could not be kept whole; what was written before stays readable.
    pub recording_failed: Option<LiveError>,
    /// All notices that were told.
    pub notices: Vec<String>,
}

/// Why a trace could not be made, or not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// Port 0.
    #[error("port 0 cannot be connected to; name one from 1 to 65535 with -p")]
    PortZero,
    /// The name does not resolve.
    #[error("unknown host {host}: {words}")]
    UnknownHost {
        /// As given.
        host: String,
        /// What the resolver says.
        words: String,
    },
    /// The name has no address of the family asked for.
    #[error("{host} has no {family} address")]
    NoAddress {
        /// As given.
        host: String,
        /// As asked for.
        family: Family,
    },
    /// No address of the name is of the source address's family.
    #[error("{host} has no address that can be reached from {bind}: IPv4 and IPv6 do not mix")]
    BindFamily {
        /// As given.
        host: String,
        /// The source address.
        bind: IpAddr,
    },
    /// The source address is not this machine's.
    #[error("cannot connect from {bind}: {source}; name an address of this machine with -b")]
    Bind {
        /// The source address.
        bind: IpAddr,
        /// Why.
        source: io::Error,
    },
    /// An address that has no path to it.
    #[error("{address} is on the local link only: there is no path to trace; give a routable address")]
    LinkLocal {
        /// The address.
        address: IpAddr,
    },
    /// An address that is not one host's.
    #[error("{address} is not the address of a host")]
    NotAHost {
        /// The address.
        address: IpAddr,
    },
    /// The recording could not be opened or written.
    #[error("cannot {operation} the recording {path}: {source}", path = path.display())]
    Recording {
        /// `open` or `write`.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A privilege that is not needed could not be given up.
    #[error(transparent)]
    Privilege(#[from] crate::confine::Kept),
    /// The system refused something that every user is granted.
    #[error("cannot {operation}: {source}")]
    System {
        /// What.
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl LiveError {
    fn system(operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { operation, source }
    }
}

/// Makes a whole trace: resolves, probes, records, and says what was found.
///
/// Ends by itself, at the deadline, or on SIGINT or SIGTERM, and each time with the verdict so far. Runs on
/// the calling thread; not to be called from within a tokio runtime.
///
/// Before the first packet is looked at, the calling thread gives up for good what it may do, as
/// [`confine`](crate::confine) says: it opens no file any more.
pub fn trace(request: &Request, progress: impl FnMut(Progress<'_>)) -> Result<Traced, LiveError> {
    if request.port == 0 {
        return Err(LiveError::PortZero);
    }
    let (caller, notice) = privilege::Caller::find();
    let targets = resolve::addresses(&request.host, request.family, request.bind)?;
    let tee = tee::Sink::open(request.recording.as_deref(), caller)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LiveError::system("start the event loop"))?;
    runtime.block_on(session::run(request, (caller, notice), targets, tee, progress))
}
