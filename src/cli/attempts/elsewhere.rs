//! Where else there were SYNs to: told where there was none to the ports asked for.

use std::collections::BTreeSet;

use whichhop::packet::{LinkType, Transport, decode_captured};
use whichhop::recording::Frame;

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
    pub(super) fn look(&mut self, Frame { link, bytes, original_len, .. }: Frame<'_>) {
        if self.left > 0 {
            self.look_closer(link, bytes, original_len);
        }
    }

    #[cold]
    fn look_closer(&mut self, link: LinkType, bytes: &[u8], original_len: u32) {
        self.left -= 1;
        if let Ok(packet) = decode_captured(link, bytes, original_len)
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
