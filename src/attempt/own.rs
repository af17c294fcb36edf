//! Which packets of a live trace can be its own doing, and which only pretend to be.

use crate::packet::{Icmp, Packet, Transport};
use crate::recording::{Direction, Event};

/// Tells a trace's own questions from those that somebody sends it in its name.
///
/// A machine receives nothing of what it sends. So a question that came in is not the trace's, whatever addresses it
/// bears; it would only be asked to plant an answer of the same hand, or to crowd the genuine ones out. In captures by
/// other programs, which may be taken anywhere, every question counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnQuestions {
    live: bool,
}

impl OwnQuestions {
    /// Takes the next event: a trace says so when it starts.
    pub fn event(&mut self, event: &Event) {
        self.live |= matches!(event, Event::Start(_));
    }

    /// Whether a packet is worth following: an answer, or a question that is the trace's own.
    pub fn admit(&self, direction: Direction, packet: &Packet<'_>) -> bool {
        let asks = match &packet.transport {
            Transport::Tcp(tcp) => tcp.flags.is_syn(),
            Transport::Icmp(icmp) => matches!(icmp, Icmp::EchoRequest { .. }),
            _ => false,
        };
        !(self.live && asks && direction == Direction::Inbound)
    }
}
