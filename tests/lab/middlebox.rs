//! Boxes on a link, in user space: what firewalls, IPSs and injectors do beyond what a kernel's rules can.
//!
//! A box sees every frame in front of the hop it is put before, so before that hop looks at the TTL, and hands on what
//! it likes. It keeps no clock and starts nothing: it is bounded by the frames it sees.

mod blocker;
mod injector;
mod segment;
mod sequence;
mod staller;
mod translator;

use std::net::Ipv4Addr;

use blocker::Blocker;
pub(crate) use injector::{Ack, Forgery, Injector, Number};
use segment::Segment;
pub(crate) use sequence::ShiftedSequence;
pub(crate) use staller::Staller;
use translator::Translator;

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Towards the VM.
    Out,
    /// Towards the client.
    Back,
}

/// Frames that leave a box, and which way.
pub(super) type Leaving = Vec<(Way, Vec<u8>)>;

/// A box on a link.
pub(super) trait Middlebox: Send {
    /// Takes a frame that goes `way`, and puts into `leaving` what goes on because of it.
    fn take(&mut self, way: Way, frame: &[u8], leaving: &mut Leaving);
}

/// No box: what comes goes on.
pub(super) struct Cable;

impl Middlebox for Cable {
    fn take(&mut self, way: Way, frame: &[u8], leaving: &mut Leaving) {
        leaving.push((way, frame.to_vec()));
    }
}

/// What a box is told to do; a fresh box is made of it whenever it is put on a link.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Conduct {
    /// Answers with forged resets.
    Inject(Injector),
    /// Swallows a packet and all that its connection sends from then on.
    Stall(Trigger),
    /// Answers a packet with a page that says no, and the end of the connection.
    Block(Trigger),
    /// Adds this to the client's sequence numbers, and takes it from what acknowledges them.
    ShiftSequence(u32),
    /// Translates the first address to the second on the way out, and back; not in quotes.
    Translate(Ipv4Addr, Ipv4Addr),
}

impl Conduct {
    pub(super) fn start(self) -> Box<dyn Middlebox> {
        match self {
            Self::Inject(injector) => Box::new(injector),
            Self::Stall(trigger) => Box::new(Staller::on(trigger)),
            Self::Block(trigger) => Box::new(Blocker(trigger)),
            Self::ShiftSequence(by) => Box::new(ShiftedSequence(by)),
            Self::Translate(inside, outside) => Box::new(Translator { inside, outside }),
        }
    }
}

/// The packet that a box waits for, of a connection to port 22 where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// The client's SYN.
    Syn,
    /// The answer to it.
    SynAck,
    /// The client's identification string.
    Identification,
    /// The server's.
    Banner,
    /// The client's data with these bytes in it, to any port.
    Keyword(&'static str),
}

impl Trigger {
    fn fits(self, way: Way, segment: &Segment<'_>) -> bool {
        let tcp = &segment.tcp;
        let out = way == Way::Out;
        let (to_ssh, from_ssh) =
            (tcp.destination_port == super::SSH_PORT, tcp.source_port == super::SSH_PORT);
        let identifies = segment.payload.starts_with(b"SSH-");
        match self {
            Self::Syn => out && to_ssh && tcp.syn && !tcp.ack,
            Self::SynAck => !out && from_ssh && tcp.syn && tcp.ack,
            Self::Identification => out && to_ssh && identifies,
            Self::Banner => !out && from_ssh && identifies,
            Self::Keyword(word) => {
                out && segment.payload.windows(word.len()).any(|part| part == word.as_bytes())
            }
        }
    }
}
