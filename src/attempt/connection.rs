//! The kernel's own view of a connection: what connect(2) and read(2) told.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::ssh_line;
use crate::recording::{ConnectStage, Event, RecordNumber, Said, Timestamp, unescape_bytes};

/// One kernel connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Where to.
    pub server: SocketAddr,
    /// Local address and port, once known.
    pub client: Option<SocketAddr>,
    /// The records that tell of it.
    pub records: Vec<RecordNumber>,
    /// When connect(2) was called.
    pub started: Timestamp,
    /// When connect(2) succeeded.
    pub established: Option<Timestamp>,
    /// The error of connect(2): number and text.
    pub failed: Option<(i32, String)>,
    /// The first bytes read.
    pub received: Vec<u8>,
    /// What we said on it, and when the kernel took it.
    pub said: Vec<(Said, Timestamp)>,
    /// How many bytes of it the kernel took.
    pub said_bytes: u64,
    /// When the server's first message of the key exchange was read.
    pub key_exchange: Option<Timestamp>,
    /// The server closed it.
    pub closed: bool,
    /// We closed it, there being nothing more to learn.
    pub left: bool,
    /// It broke after it was established: error number and text.
    pub broken: Option<(i32, String)>,
    /// It was given up after this many ms.
    pub abandoned: Option<u64>,
    /// When the last record of it came.
    pub latest: Timestamp,
    /// When it last got any farther.
    pub progress: Timestamp,
}

impl Connection {
    /// Whether nothing more will come of it.
    pub fn is_over(&self) -> bool {
        self.failed.is_some() || self.closed || self.broken.is_some() || self.abandoned.is_some() || self.left
    }

    /// When we said something.
    pub fn said(&self, what: Said) -> Option<Timestamp> {
        self.said.iter().find(|(said, _)| *said == what).map(|(_, at)| *at)
    }

    /// How long nothing had come when it was given up, in ns; 0 if it was not.
    pub fn waited(&self) -> i64 {
        if self.abandoned.is_some() { self.latest.since(self.progress) } else { 0 }
    }

    /// The first line beginning `SSH-`.
    pub fn banner(&self) -> Option<String> {
        ssh_line(&self.received)
    }
}

/// Connections kept at most, and of each so many records and bytes read: a trace makes a few, and reads a banner.
const MAX_CONNECTIONS: usize = 1024;
const MAX_RECORDS: usize = 256;
const MAX_RECEIVED: usize = 64 << 10;

/// Collects kernel connections from events.
#[derive(Debug, Default)]
pub struct Connections(BTreeMap<u32, Connection>);

impl Connections {
    /// Takes the next event.
    pub fn event(&mut self, record: RecordNumber, at: Timestamp, event: &Event) {
        let Event::Connect { id, server, client, stage } = event else { return };
        if self.0.len() >= MAX_CONNECTIONS && !self.0.contains_key(id) {
            return;
        }
        let connection = self.0.entry(*id).or_insert_with(|| Connection {
            server: *server,
            client: None,
            records: Vec::new(),
            started: at,
            established: None,
            failed: None,
            received: Vec::new(),
            said: Vec::new(),
            said_bytes: 0,
            key_exchange: None,
            closed: false,
            left: false,
            broken: None,
            abandoned: None,
            latest: at,
            progress: at,
        });
        connection.latest = at;
        if !matches!(stage, ConnectStage::Abandoned { .. }) {
            connection.progress = at;
        }
        if connection.records.len() < MAX_RECORDS {
            connection.records.push(record);
        }
        connection.client = client.or(connection.client);
        match stage {
            ConnectStage::Started => {}
            ConnectStage::Established => connection.established = Some(at),
            ConnectStage::Failed { errno, error, .. } => connection.failed = Some((*errno, error.clone())),
            ConnectStage::Received { data } => {
                let bytes = unescape_bytes(data).unwrap_or_else(|| data.clone().into_bytes());
                let room = MAX_RECEIVED - connection.received.len();
                connection.received.extend(&bytes[..bytes.len().min(room)]);
            }
            ConnectStage::Sent { what, bytes } => {
                connection.said.push((*what, at));
                connection.said_bytes += u64::from(*bytes);
            }
            ConnectStage::KeyExchange { .. } => connection.key_exchange = Some(at),
            ConnectStage::Closed => connection.closed = true,
            ConnectStage::Left => connection.left = true,
            ConnectStage::Broken { errno, error } => connection.broken = Some((*errno, error.clone())),
            ConnectStage::Abandoned { waited_ms } => connection.abandoned = Some(*waited_ms),
        }
    }

    /// All of them, in order of their number.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.0.values()
    }

    /// One of them.
    pub fn get(&self, id: u32) -> Option<&Connection> {
        self.0.get(&id)
    }
}
