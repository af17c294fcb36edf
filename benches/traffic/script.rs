//! What happens in one attempt, packet by packet, and what has to be said of it.

use std::io::{self, Write};

use super::Rng;
use super::wire::{ACK, Ends, FIN, Frame, PSH, RST, SYN};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// Servers say these before anything else.
const BANNERS: [&str; 4] = [
    "SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5\r\n",
    "SSH-2.0-OpenSSH_8.9p1 Ubuntu-3ubuntu0.10\r\n",
    "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
    "SSH-2.0-OpenSSH_7.4\r\n",
];
const CLIENT_BANNER: &str = "SSH-2.0-OpenSSH_9.9\r\n";
/// A server that has said no more has not had its say in the key exchange.
const KEY_EXCHANGE: usize = 1200;
const NOT_SSH: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";

/// What stands in packets of encrypted data.
static NOISE: [u8; 1400] = [0x5a; 1400];

/// One packet to come.
#[derive(Clone, Copy)]
struct Step {
    /// Since the packet before it.
    pause: u64,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Syn,
    SynAck,
    Segment {
        from_client: bool,
        flags: u8,
        data: Data,
    },
    /// Data that its sender sent last.
    Again {
        from_client: bool,
        data: Data,
    },
    /// A reset that refuses the SYN.
    Refusal,
    /// An ICMP error.
    Prohibited,
}

#[derive(Clone, Copy)]
enum Data {
    Nothing,
    Text(&'static str),
    /// So much of what cannot be read.
    Noise(usize),
}

impl Data {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Nothing => &[],
            Self::Text(text) => text.as_bytes(),
            Self::Noise(len) => &NOISE[..len],
        }
    }
}

/// An attempt in the making, and the truth about it.
pub(super) struct Script {
    ends: Ends,
    isn: u32,
    server_isn: u32,
    steps: Vec<Step>,
    at: usize,
    /// What each side has sent so far.
    sent: Sent,
    truth: Truth,
}

/// Bytes of data and FINs sent: how far sequence numbers have gone.
#[derive(Clone, Copy, Default)]
struct Sent {
    client: u32,
    server: u32,
}

#[derive(Default)]
struct Truth {
    syn: u32,
    syn_ack: u32,
    handshake: &'static str,
    reset_by: Option<&'static str>,
    client_bytes: usize,
    server_bytes: usize,
    banner: Option<&'static str>,
    icmp: bool,
    outcome: &'static str,
    signature: Option<&'static str>,
}

impl Script {
    pub(super) fn new(number: u64, rng: &mut Rng) -> Self {
        let port = if rng.chance(60) { 22 } else { [443, 3389, 2222, 5432][rng.below(4) as usize] };
        let ends = Ends::of(number, port, rng);
        let mut script = Self {
            ends,
            isn: rng.next() as u32,
            server_isn: rng.next() as u32,
            steps: Vec::with_capacity(24),
            at: 0,
            sent: Sent::default(),
            truth: Truth::default(),
        };
        script.write(rng);
        // Only what happens on port 22 is judged as SSH.
        if port != 22 && script.truth.handshake == "completed" {
            script.truth.outcome = "completed";
        }
        script
    }

    /// Plans the packets, and says what they come to.
    fn write(&mut self, rng: &mut Rng) {
        let round_trip = MS + rng.below(100 * MS);
        let end = match rng.below(100) {
            0..12 => return self.unanswered(rng),
            12..20 => return self.refused(What::Refusal, round_trip, rng),
            20..24 => return self.refused(What::Prohibited, round_trip, rng),
            24..28 => return self.half_open(round_trip, rng),
            other => other,
        };
        if rng.chance(10) {
            self.step(0, What::Syn);
            self.step(SECOND, What::Syn);
        } else {
            self.step(0, What::Syn);
        }
        self.step(round_trip, What::SynAck);
        self.segment(MS / 10, true, ACK, Data::Nothing);
        self.truth.handshake = "completed";
        match end {
            28..33 => {
                self.truth.outcome = "no-banner";
                self.truth.signature = Some("syn-ack-silence");
            }
            33..37 => {
                self.segment(2 * MS, false, FIN | ACK, Data::Nothing);
                self.segment(MS, true, FIN | ACK, Data::Nothing);
                self.segment(round_trip, false, ACK, Data::Nothing);
                self.truth.outcome = "closed";
                self.truth.signature = Some("syn-ack-fin");
            }
            37..41 => {
                self.segment(2 * MS, false, RST, Data::Nothing);
                self.truth.reset_by = Some("server");
                self.truth.outcome = "reset-after-handshake";
                self.truth.signature = Some("syn-ack-rst");
            }
            41..46 => {
                self.segment(MS, true, PSH | ACK, Data::Text(CLIENT_BANNER));
                self.segment(round_trip, false, PSH | ACK, Data::Text(NOT_SSH));
                self.truth.outcome = "not-ssh";
                if rng.chance(50) {
                    self.segment(MS, true, RST | ACK, Data::Nothing);
                    self.truth.reset_by = Some("client");
                    self.truth.outcome = "reset-after-handshake";
                }
            }
            _ => self.session(round_trip, rng),
        }
    }

    fn unanswered(&mut self, rng: &mut Rng) {
        for again in 0..=rng.below(6) {
            self.step(if again == 0 { 0 } else { SECOND << (again - 1) }, What::Syn);
        }
        (self.truth.handshake, self.truth.outcome) = ("unanswered", "timeout");
        self.truth.signature = Some("syn-silence");
    }

    fn refused(&mut self, how: What, round_trip: u64, rng: &mut Rng) {
        self.step(0, What::Syn);
        if rng.chance(20) {
            self.step(SECOND, What::Syn);
        }
        self.step(round_trip, how);
        let word = if matches!(how, What::Prohibited) { "rejected" } else { "reset" };
        (self.truth.handshake, self.truth.outcome) = (word, word);
        self.truth.icmp = matches!(how, What::Prohibited);
        self.truth.signature = matches!(how, What::Refusal).then_some("syn-rst-ack");
    }

    fn half_open(&mut self, round_trip: u64, rng: &mut Rng) {
        self.step(0, What::Syn);
        for _ in 0..=rng.below(4) {
            self.step(round_trip, What::SynAck);
            self.step(SECOND, What::Syn);
        }
        (self.truth.handshake, self.truth.outcome) = ("half-open", "half-open");
    }

    /// An SSH session, from the banner to its end, of whatever kind.
    fn session(&mut self, round_trip: u64, rng: &mut Rng) {
        let banner = BANNERS[rng.below(BANNERS.len() as u64) as usize];
        self.truth.banner = Some(banner.trim_end());
        self.truth.outcome = "open";
        self.segment(round_trip, false, PSH | ACK, Data::Text(banner));
        self.segment(MS / 10, true, PSH | ACK, Data::Text(CLIENT_BANNER));
        for _ in 0..rng.below(10) {
            let from_client = rng.chance(40);
            let large = if from_client { 500 } else { 1400 };
            let data = Data::Noise(1 + rng.below(large) as usize);
            self.segment(1 + rng.below(SECOND / 2), from_client, PSH | ACK, data);
            self.segment(MS, !from_client, ACK, Data::Nothing);
            // A segment may be lost beyond the capture, and come again.
            if rng.chance(2) {
                self.step(MS, What::Again { from_client, data });
            }
        }
        match rng.below(10) {
            0 => {}
            1 => {
                self.segment(SECOND, true, RST | ACK, Data::Nothing);
                self.truth.reset_by = Some("client");
                if self.truth.server_bytes <= KEY_EXCHANGE {
                    self.truth.outcome = "reset-after-handshake";
                }
            }
            _ => {
                self.segment(SECOND / 4, true, FIN | ACK, Data::Nothing);
                self.segment(round_trip, false, FIN | ACK, Data::Nothing);
                self.segment(MS / 10, true, ACK, Data::Nothing);
            }
        }
    }

    fn segment(&mut self, pause: u64, from_client: bool, flags: u8, data: Data) {
        if from_client {
            self.truth.client_bytes += data.bytes().len();
        } else {
            self.truth.server_bytes += data.bytes().len();
        }
        self.step(pause, What::Segment { from_client, flags, data });
    }

    fn step(&mut self, pause: u64, what: What) {
        match what {
            What::Syn => self.truth.syn += 1,
            What::SynAck => self.truth.syn_ack += 1,
            _ => {}
        }
        self.steps.push(Step { pause, what });
    }

    /// Whether it has not begun.
    pub(super) fn is_new(&self) -> bool {
        self.at == 0
    }

    /// Makes the next packet; how long until the one after it, if there is one.
    pub(super) fn play(&mut self, frame: &mut Frame) -> Option<u64> {
        let (isn, server_isn) = (self.isn, self.server_isn);
        let client = isn.wrapping_add(1).wrapping_add(self.sent.client);
        let server = server_isn.wrapping_add(1).wrapping_add(self.sent.server);
        match self.steps[self.at].what {
            What::Syn => frame.tcp(&self.ends, true, SYN, isn, 0, &[]),
            What::SynAck => {
                frame.tcp(&self.ends, false, SYN | ACK, server_isn, isn.wrapping_add(1), &[]);
            }
            What::Refusal => frame.tcp(&self.ends, false, RST | ACK, 0, isn.wrapping_add(1), &[]),
            What::Prohibited => frame.prohibited(&self.ends, isn),
            What::Segment { from_client, flags, data } => {
                let (seq, ack) = if from_client { (client, server) } else { (server, client) };
                let ack = if flags & ACK == 0 { 0 } else { ack };
                let data = data.bytes();
                frame.tcp(&self.ends, from_client, flags, seq, ack, data);
                let gone = data.len() as u32 + u32::from(flags & FIN != 0);
                let sent = if from_client { &mut self.sent.client } else { &mut self.sent.server };
                *sent = sent.wrapping_add(gone);
            }
            What::Again { from_client, data } => {
                let (next, ack) = if from_client { (client, server) } else { (server, client) };
                let data = data.bytes();
                frame.tcp(
                    &self.ends,
                    from_client,
                    PSH | ACK,
                    next.wrapping_sub(data.len() as u32),
                    ack,
                    data,
                );
            }
        }
        self.at += 1;
        self.steps.get(self.at).map(|step| step.pause)
    }

    /// Writes the truth about an attempt whose first SYN is sent at `first_syn`, as one line of JSON.
    pub(super) fn truth(&self, first_syn: u64, out: &mut impl Write) -> io::Result<()> {
        let Truth { syn, syn_ack, handshake, client_bytes, server_bytes, outcome, .. } = self.truth;
        let Ends { client, server } = self.ends;
        let word = |word: Option<&str>| word.map_or("null".to_owned(), |word| format!("\"{word}\""));
        let icmp = match (self.truth.icmp, self.ends.router()) {
            (false, _) => "null".to_owned(),
            (true, from) => {
                let (kind, code) = if from.is_ipv4() { (3, 13) } else { (1, 1) };
                format!(r#"{{"type":{kind},"code":{code},"from":"{from}"}}"#)
            }
        };
        writeln!(
            out,
            "{{\"client\":\"{}\",\"client_port\":{},\"server\":\"{}\",\"server_port\":{},\"first_syn\":{}.{:09},\
             \"isn\":{},\"syn\":{syn},\"syn_ack\":{syn_ack},\"handshake\":\"{handshake}\",\
             \"reset_after_handshake_by\":{},\"client_bytes\":{client_bytes},\"server_bytes\":{server_bytes},\
             \"server_banner\":{},\"icmp\":{icmp},\"outcome\":\"{outcome}\",\"signature\":{}}}",
            client.0,
            client.1,
            server.0,
            server.1,
            first_syn / SECOND,
            first_syn % SECOND,
            self.isn,
            word(self.truth.reset_by),
            word(self.truth.banner),
            word(self.truth.signature),
        )
    }
}
