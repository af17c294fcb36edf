//! What a recording shows of the trace's own conduct on the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use whichhop::packet::{Packet, TcpFlags, Transport, decode};
use whichhop::recording::{Body, Direction, EndReason, Event, Reader, Timestamp};

use crate::lab::SSH_PORT;

/// SYNs to the SSH port in any one second.
const MOST_SYNS: usize = 50;
const SECOND: i64 = 1_000_000_000;

/// A connection as the client names it: its address and port, and the number of the first byte it may send.
type End = (SocketAddr, u32);

/// A recording, read through.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) records: u64,
    /// Where the file breaks off, if it does.
    pub(crate) breaks_off: Option<u64>,
    pub(crate) end: Option<EndReason>,
    /// Source and time of each SYN to the SSH port.
    pub(crate) syns: Vec<(SocketAddr, Timestamp)>,
    syn_acks: BTreeMap<End, u64>,
    resets: BTreeSet<End>,
    /// Connections that the client's side acknowledged: the kernel's own.
    completed: BTreeSet<End>,
}

impl Wire {
    pub(crate) fn read(recording: &Path) -> Self {
        let bytes = fs::read(recording).expect("there is a recording");
        let mut reader = Reader::new(bytes.as_slice()).expect("it is a capture");
        let mut wire = Self::default();
        while let Some(record) = reader.next().expect("it can be read to its end") {
            wire.records = record.number.0;
            match record.body {
                Body::Event(event) => {
                    if let Event::End { reason } = *event {
                        wire.end = Some(reason);
                    }
                }
                Body::Frame(frame) => {
                    if let Ok(packet) = decode(frame.link, frame.bytes) {
                        wire.packet(record.at, frame.direction, &packet);
                    }
                }
            }
        }
        wire.breaks_off = reader.truncation().map(|truncation| truncation.offset);
        wire
    }

    fn packet(&mut self, at: Timestamp, direction: Direction, packet: &Packet<'_>) {
        let Transport::Tcp(tcp) = &packet.transport else { return };
        let (Some(source), Some(destination)) = (packet.tcp_source(), packet.tcp_destination()) else {
            return;
        };
        match direction {
            Direction::Outbound if tcp.flags.is_syn() && destination.port() == SSH_PORT => {
                self.syns.push((source, at));
            }
            Direction::Outbound if tcp.flags.is_syn() => {}
            Direction::Outbound if tcp.flags.has(TcpFlags::RST) => {
                self.resets.insert((source, tcp.seq.0));
            }
            Direction::Outbound => {
                self.completed.insert((source, tcp.seq.0));
            }
            Direction::Inbound if tcp.flags.is_syn_ack() => {
                *self.syn_acks.entry((destination, tcp.ack.0)).or_default() += 1;
            }
            _ => {}
        }
    }

    /// What the trace did that it must not do.
    pub(crate) fn misconduct(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut times: Vec<i64> = self.syns.iter().map(|(_, at)| at.nanos()).collect();
        times.sort_unstable();
        if let Some(burst) = times.windows(MOST_SYNS + 1).find(|w| w[MOST_SYNS] - w[0] < SECOND) {
            let ms = (burst[MOST_SYNS] - burst[0]) / 1_000_000;
            broken.push(format!("{} SYNs to port {SSH_PORT} within {ms} ms", burst.len()));
        }
        for end in self.syn_acks.keys() {
            if !self.resets.contains(end) && !self.completed.contains(end) {
                broken.push(format!("the half-open connection of {} was not reset", end.0));
            }
        }
        broken
    }
}
