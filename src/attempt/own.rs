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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::Outcome;
    use crate::packet::{HopLimit, LinkType, SeqNumber, build, decode};
    use crate::testing::diagnose;

    #[test]
    fn a_question_that_came_in_is_not_ours() {
        let mut own = OwnQuestions::default();
        let syn = build::syn(&build::Syn {
            hop_limit: HopLimit(1),
            ..build::Syn::plain(
                "10.22.0.1:20000".parse().unwrap(),
                "198.19.0.4:22".parse().unwrap(),
                SeqNumber(1),
            )
        });
        let syn = decode(LinkType::RAW, &syn).unwrap();
        assert!(own.admit(Direction::Inbound, &syn), "a capture may be taken anywhere");
        own.event(&Event::Deadline { why: String::new() });
        assert!(own.admit(Direction::Inbound, &syn));
        own.live = true;
        assert!(!own.admit(Direction::Inbound, &syn));
        assert!(own.admit(Direction::Outbound, &syn));
        assert!(own.admit(Direction::Unknown, &syn), "on the loopback nothing says which way it went");
    }

    /// Answers are told apart by what they repeat, not by where they came from.
    #[test]
    fn a_trace_goes_on_as_before() {
        let found = diagnose(
            "0.000 ! start\n 0.000 ! connect 0 started\n 0.001 > S | R. ttl=60\n 0.1 ! connect 0 failed 111\n 9 ! capture\n 9.1 ! end",
        );
        assert_eq!(found.outcome(), Outcome::Reset.name());
    }
}
