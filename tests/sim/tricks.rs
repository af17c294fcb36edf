//! What innocent boxes do to the packets that they pass on.

use std::net::IpAddr;

use super::rng::Rng;
use super::wire::{ACK, Body, Packet, Tcp};

/// The tricks of one box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tricks {
    /// The TOS byte it gives to packets on their way out, and on their way back.
    pub(crate) marks: (Option<u8>, Option<u8>),
    /// The largest MSS it lets a SYN announce.
    pub(crate) clamps_mss: Option<u16>,
    /// What it adds to the client's sequence numbers.
    pub(crate) renumbers: Option<u32>,
    /// Whether it puts the client's own numbers back into what ICMP errors quote.
    pub(crate) translates_quotes: bool,
    /// Whether it passes no fragment on: it drops them, or holds them until the rest comes.
    pub(crate) keeps_fragments: bool,
    /// A second router beside it takes half of the flows.
    pub(crate) twin: Option<IpAddr>,
}

impl Tricks {
    pub(crate) fn choose(rng: &mut Rng, twin: IpAddr) -> Self {
        let bleached = rng.pick(&[0, 0, 0, 0x28]);
        Self {
            marks: (rng.chance(10).then_some(bleached), rng.chance(6).then_some(bleached)),
            clamps_mss: rng.chance(8).then(|| rng.pick(&[1200, 1350, 1380])),
            renumbers: rng.chance(5).then(|| rng.next() as u32 | 1),
            translates_quotes: rng.chance(50),
            keeps_fragments: rng.chance(12),
            twin: rng.chance(8).then_some(twin),
        }
    }

    /// What becomes of a packet that goes on to the VM.
    pub(crate) fn outward(self, packet: &mut Packet) {
        if let Some(tos) = self.marks.0 {
            packet.tos = tos;
        }
        let Body::Tcp(tcp) = &mut packet.body else { return };
        if let Some(delta) = self.renumbers {
            tcp.seq = tcp.seq.wrapping_add(delta);
        }
        if let (Some(most), true) = (self.clamps_mss, tcp.is_syn()) {
            clamp(tcp, most);
        }
    }

    /// What becomes of a packet that goes on to the client.
    pub(crate) fn inward(self, packet: &mut Packet) {
        if let Some(tos) = self.marks.1 {
            packet.tos = tos;
        }
        let Some(delta) = self.renumbers else { return };
        match &mut packet.body {
            Body::Tcp(tcp) if tcp.has(ACK) => tcp.ack = tcp.ack.wrapping_sub(delta),
            Body::Error(error) if self.translates_quotes => {
                if let Body::Tcp(tcp) = &mut error.quote.body {
                    tcp.seq = tcp.seq.wrapping_sub(delta);
                }
            }
            _ => {}
        }
    }

    /// Whether a packet takes the way of the twin: all of one flow do, both ways.
    pub(crate) fn takes_twin(self, packet: &Packet) -> bool {
        let ends = |packet: &Packet| match &packet.body {
            Body::Tcp(tcp) => tcp.source_port ^ tcp.destination_port,
            Body::Echo { identifier, .. } => *identifier,
            _ => 0,
        };
        let flow = match &packet.body {
            Body::Error(error) => ends(&error.quote),
            _ => ends(packet),
        };
        self.twin.is_some() && flow.count_ones() % 2 == 1
    }
}

fn clamp(tcp: &mut Tcp, most: u16) {
    if let [2, 4, high, low, ..] = tcp.options.as_mut_slice()
        && u16::from_be_bytes([*high, *low]) > most
    {
        [*high, *low] = most.to_be_bytes();
    }
}
