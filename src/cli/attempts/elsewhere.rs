//! Where else there were SYNs to: told where there was none to the ports asked for.

use std::collections::BTreeSet;

use whichhop::packet::{Transport, decode_captured};
use whichhop::recording::{Body, Frame, Record};

/// Frames that are looked at, at most: it takes some milliseconds.
const MOST: u32 = 1 << 14;

/// Ports that the SYNs among the first frames went to.
pub(super) struct Elsewhere {
    left: u32,
    ports: BTreeSet<u16>,
}

impl Elsewhere {
    /// Looks only if not `any` port is asked for.
    pub(super) fn new(any: bool) -> Self {
        Self { left: if any { 0 } else { MOST }, ports: BTreeSet::new() }
    }

    #[inline]
    pub(super) fn look(&mut self, record: &Record<'_>) {
        if self.left > 0 {
            self.look_closer(record);
        }
    }

    #[cold]
    fn look_closer(&mut self, record: &Record<'_>) {
        self.left -= 1;
        if let Body::Frame(Frame { link, bytes, original_len, .. }) = record.body
            && let Ok(packet) = decode_captured(link, bytes, original_len)
            && let Transport::Tcp(tcp) = packet.transport
            && tcp.flags.is_syn()
        {
            self.ports.insert(tcp.destination_port);
        }
    }

    pub(super) fn ports(&self) -> Vec<u16> {
        self.ports.iter().copied().collect()
    }
}
