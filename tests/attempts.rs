//! Captures written by hand, and the attempts that a careful person finds in them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use serde_json::{Value, json};
use whichhop::attempt::{Attempt, Batch, Census, Limits, Outcome, Ports};
use whichhop::packet::{LinkType, Packet, decode_captured};
use whichhop::recording::{Body, Direction, Frame, InterfaceInfo, Record, RecordNumber, Timestamp, Writer};

const C: End = End(Ipv4Addr::new(10, 22, 0, 1), 50022);
const S: End = End(Ipv4Addr::new(198, 19, 0, 4), 22);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 22, 1, 1);
const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
/// When the captures begin.
const START: i64 = 1_700_000_000 * SECOND;

/// An address and a port.
#[derive(Clone, Copy)]
struct End(Ipv4Addr, u16);

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 0x10;

/// A capture in the making: frames of raw IP, each with its time in nanoseconds from the start.
#[derive(Clone, Default)]
struct Wire {
    frames: Vec<(i64, Vec<u8>)>,
    now: i64,
}

impl Wire {
    /// Time passes.
    fn wait(&mut self, nanos: i64) -> &mut Self {
        self.now += nanos;
        self
    }

    /// A segment, 1 ms after the frame before it.
    fn tcp(&mut self, from: End, to: End, flags: u8, seq: u32, ack: u32, data: &[u8]) -> &mut Self {
        self.now += MS;
        self.frames.push((self.now, segment(from, to, flags, seq, ack, data)));
        self
    }

    fn icmp(&mut self, kind: u8, code: u8, from: Ipv4Addr, to: Ipv4Addr, quoted: &[u8]) -> &mut Self {
        self.now += MS;
        let message = [&[kind, code, 0, 0, 0, 0, 0, 0], &quoted[..28]].concat();
        self.frames.push((self.now, ip(1, from, to, &message)));
        self
    }

    /// SYN, SYN/ACK, ACK with initial sequence numbers 1000 and 5000.
    fn handshake(&mut self) -> &mut Self {
        self.tcp(C, S, SYN, 1000, 0, b"")
            .tcp(S, C, SYN | ACK, 5000, 1001, b"")
            .tcp(C, S, ACK, 1001, 5001, b"")
    }

    /// A whole SSH session, from the handshake to the last FIN.
    fn session(&mut self) -> &mut Self {
        self.handshake()
            .tcp(S, C, ACK, 5001, 1001, b"SSH-2.0-x\r\n")
            .tcp(C, S, ACK, 1001, 5012, b"SSH-2.0-y\r\n")
            .tcp(C, S, FIN | ACK, 1012, 5012, b"")
            .tcp(S, C, FIN | ACK, 5012, 1013, b"")
            .tcp(C, S, ACK, 1013, 5013, b"")
    }

    /// Puts the last frame `places` earlier in the capture, with its time as it was.
    fn stored_earlier(&mut self, places: usize) -> &mut Self {
        let frame = self.frames.pop().unwrap();
        self.frames.insert(self.frames.len() - places, frame);
        self
    }

    fn pcapng(&self) -> Vec<u8> {
        self.pcapng_of(usize::MAX)
    }

    /// The capture with `most` bytes of each frame.
    fn pcapng_of(&self, most: usize) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).unwrap();
        let info = InterfaceInfo { name: "eth0".to_owned(), link: LinkType::RAW };
        let interface = writer.interface(&info).unwrap();
        for (at, frame) in &self.frames {
            let at = Timestamp::from_nanos(START + at);
            let captured = &frame[..frame.len().min(most)];
            writer.frame(interface, at, Direction::Unknown, frame.len() as u32, captured).unwrap();
        }
        writer.finish().unwrap()
    }

    /// The attempts that a census with `limits` hands out, and how many it had to decide early.
    fn census(&self, ports: &Ports, limits: Limits) -> (Vec<Attempt>, u64) {
        let mut census = Census::new(ports.clone(), limits);
        for (at, frame) in &self.frames {
            census.push(Timestamp::from_nanos(START + at), &captured(frame));
        }
        census.end();
        let evicted = census.evicted();
        let attempts: Vec<_> = std::iter::from_fn(|| census.next_decided()).collect();
        for records in [1, 3, usize::MAX] {
            for copied in [true, false] {
                let in_batches = self.in_batches(ports, limits, records, copied);
                assert_eq!(format!("{in_batches:?}"), format!("{attempts:?}"), "in batches of {records}");
            }
        }
        (attempts, evicted)
    }

    /// The same by the way that the command takes, so many records at a time; frames copied or left in their block.
    fn in_batches(&self, ports: &Ports, limits: Limits, records: usize, copied: bool) -> Vec<Attempt> {
        let mut census = Census::new(ports.clone(), limits);
        let sieve = census.sieve();
        for frames in self.frames.chunks(records) {
            let (mut batch, mut block) = (Batch::default(), Vec::new());
            for (at, frame) in frames {
                // A header of its own goes before each.
                block.extend([0xff; 16]);
                let place = block.len();
                block.extend_from_slice(frame);
                let frame = Frame {
                    interface: 0,
                    link: LinkType::RAW,
                    direction: Direction::Unknown,
                    original_len: frame.len() as u32,
                    bytes: frame,
                };
                let at = Timestamp::from_nanos(START + at);
                let taken = if copied {
                    let record = Record { number: RecordNumber(1), at, body: Body::Frame(frame) };
                    sieve.take(&record, None, &mut batch)
                } else {
                    sieve.take_in_block(at, frame, place, None, &mut batch)
                };
                taken.unwrap();
            }
            if !copied {
                batch.put_block(block);
            }
            census.take(&batch);
        }
        census.end();
        std::iter::from_fn(|| census.next_decided()).collect()
    }

    fn attempts(&self) -> Vec<Attempt> {
        self.census(&Ports::Any, Limits::default()).0
    }

    fn only(&self) -> Attempt {
        let mut attempts = self.attempts();
        assert_eq!(attempts.len(), 1, "{attempts:#?}");
        attempts.remove(0)
    }

    /// The one attempt in a few words: SYNs, SYN/ACKs, handshake, bytes of client and server, outcome.
    fn says(&self) -> String {
        says(&self.only())
    }
}

/// The packet of a frame that was captured whole.
fn captured(frame: &[u8]) -> Packet<'_> {
    decode_captured(LinkType::RAW, frame, frame.len() as u32).unwrap()
}

fn says(a: &Attempt) -> String {
    format!("{}/{} {} {}/{} {}", a.syn, a.syn_ack, a.handshake, a.client_bytes, a.server_bytes, a.outcome)
}

fn segment(from: End, to: End, flags: u8, seq: u32, ack: u32, data: &[u8]) -> Vec<u8> {
    let mut tcp = Vec::new();
    tcp.extend_from_slice(&from.1.to_be_bytes());
    tcp.extend_from_slice(&to.1.to_be_bytes());
    tcp.extend_from_slice(&seq.to_be_bytes());
    tcp.extend_from_slice(&ack.to_be_bytes());
    tcp.extend_from_slice(&[0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    tcp.extend_from_slice(data);
    ip(6, from.0, to.0, &tcp)
}

fn ip(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend_from_slice(&from.octets());
    packet.extend_from_slice(&to.octets());
    packet.extend_from_slice(payload);
    packet
}

mod one_attempt {
    use super::*;

    #[test]
    fn a_session() {
        let mut wire = Wire::default();
        wire.session();
        assert_eq!(wire.says(), "1/1 completed 11/11 open");
        let attempt = wire.only();
        assert_eq!(attempt.server_banner.as_deref(), Some("SSH-2.0-x"));
        assert_eq!(attempt.client, SocketAddrV4::new(C.0, C.1).into());
        assert_eq!((attempt.isn.0, attempt.reset_after_handshake_by), (1000, None));
        assert!(attempt.timeline.is_empty(), "of millions of attempts no timeline is kept");
    }

    #[test]
    fn what_a_header_claims_and_the_frame_never_had_does_not_count() {
        let claims = |wire: &mut Wire, len: u16| {
            wire.frames.last_mut().unwrap().1[2..4].copy_from_slice(&len.to_be_bytes());
        };
        let mut wire = Wire::default();
        wire.handshake().tcp(C, S, ACK, 1001, 5001, b"SSH-2.0-y\r\n");
        claims(&mut wire, 60_000);
        assert_eq!(wire.says(), "1/1 completed 11/0 no-banner");
        wire.tcp(S, C, ACK, 5001, 1012, b"SSH-2.0-x\r\n");
        claims(&mut wire, 60_000);
        assert_eq!(wire.says(), "1/1 completed 11/11 open");
        let mut wire = Wire::default();
        wire.handshake().tcp(S, C, ACK, 5001, 1001, b"");
        claims(&mut wire, 60_000);
        assert_eq!(wire.says(), "1/1 completed 0/0 completed", "who knows what it was: no silence");
        // Captured before the kernel cut it into segments: there is no length in the header.
        let mut wire = Wire::default();
        wire.handshake().tcp(S, C, ACK, 5001, 1001, b"SSH-2.0-x\r\n");
        claims(&mut wire, 0);
        assert_eq!(wire.says(), "1/1 completed 0/11 open");
    }

    #[test]
    fn retransmitted_syns() {
        let mut wire = Wire::default();
        for gap in [0, 1, 2, 4, 8, 16, 32, 64] {
            wire.wait(gap * SECOND).tcp(C, S, SYN, 1000, 0, b"");
        }
        assert_eq!(wire.says(), "8/0 unanswered 0/0 timeout");
        assert_eq!(wire.only().first_syn.nanos(), START + MS);
    }

    #[test]
    fn an_ack_after_a_refused_syn_completes_nothing() {
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"")
            .tcp(S, C, RST | ACK, 0, 1001, b"")
            .tcp(C, S, ACK, 1001, 1, b"")
            .tcp(S, C, RST, 1, 0, b"");
        assert_eq!(wire.says(), "1/0 reset 0/0 reset");
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"")
            .tcp(S, C, SYN | ACK, 5000, 1001, b"")
            .tcp(S, C, RST | ACK, 5001, 1001, b"")
            .tcp(C, S, ACK, 1001, 5001, b"");
        assert_eq!(wire.says(), "1/1 reset 0/0 reset");
    }

    #[test]
    fn a_client_that_tries_again_after_a_reset() {
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"").tcp(S, C, RST | ACK, 0, 1001, b"").wait(500 * MS).handshake();
        assert_eq!(wire.says(), "2/1 completed 0/0 no-banner");
    }

    #[test]
    fn a_forged_reset_that_the_client_did_not_believe() {
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"")
            .tcp(S, C, SYN | ACK, 5000, 1001, b"")
            .tcp(S, C, RST | ACK, 9_999, 1001, b"")
            .tcp(C, S, ACK, 1001, 5001, b"")
            .tcp(S, C, ACK, 5001, 1001, b"SSH-2.0-x\r\n")
            .tcp(C, S, ACK, 1001, 5012, b"SSH-2.0-y\r\n");
        assert_eq!(wire.says(), "1/1 completed 11/11 open");
    }

    #[test]
    fn a_reset_that_proves_nothing() {
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"")
            .tcp(S, C, RST, 0, 1001, b"")
            .tcp(S, C, RST | ACK, 0, 7_777, b"")
            .tcp(S, C, SYN | ACK, 5000, 9_001, b"");
        assert_eq!(wire.says(), "1/0 unanswered 0/0 timeout");
    }

    #[test]
    fn a_challenge_ack_answers_no_syn() {
        // The server still has an older connection, answers for that, is told to forget it, and takes the next SYN.
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"")
            .tcp(S, C, ACK, 77_000_000, 88_000_000, b"")
            .tcp(C, S, RST, 88_000_000, 0, b"");
        assert_eq!(wire.says(), "1/0 unanswered 0/0 timeout");
        wire.wait(SECOND).handshake();
        assert_eq!(wire.says(), "2/1 completed 0/0 no-banner");
    }

    #[test]
    fn a_challenge_ack_to_a_reset_within_the_window() {
        let mut wire = Wire::default();
        wire.handshake()
            .tcp(S, C, ACK, 5001, 1001, b"SSH-2.0-x\r\n")
            .tcp(C, S, ACK, 1001, 5012, b"")
            .tcp(S, C, ACK, 5012, 1001, b"");
        assert_eq!(wire.says(), "1/1 completed 0/11 open");
    }

    #[test]
    fn a_half_open_scan() {
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"").tcp(S, C, SYN | ACK, 5000, 1001, b"").tcp(C, S, RST, 1001, 0, b"");
        assert_eq!(wire.says(), "1/1 half-open 0/0 half-open");
    }

    #[test]
    fn a_syn_ack_stored_before_its_syn() {
        let mut wire = Wire::default();
        wire.tcp(S, C, SYN | ACK, 5000, 1001, b"");
        wire.now -= 3 * MS;
        wire.tcp(C, S, SYN, 1000, 0, b"");
        let syn = wire.now;
        wire.wait(2 * MS).tcp(C, S, ACK, 1001, 5001, b"").tcp(S, C, ACK, 5001, 1001, b"SSH-2.0-x\r\n");
        assert_eq!(wire.says(), "1/1 completed 0/11 open");
        assert_eq!(wire.only().first_syn.nanos(), START + syn);
    }

    #[test]
    fn a_refusal_stored_before_its_syn() {
        let mut wire = Wire::default();
        wire.tcp(S, C, RST | ACK, 0, 1001, b"").tcp(C, S, SYN, 1000, 0, b"");
        assert_eq!(wire.says(), "1/0 reset 0/0 reset");
    }

    #[test]
    fn one_direction_stored_before_the_other() {
        let mut wire = Wire::default();
        wire.tcp(S, C, SYN | ACK, 5000, 1001, b"")
            .tcp(S, C, ACK, 5001, 1001, b"SSH-2.0-x\r\n")
            .tcp(C, S, SYN, 1000, 0, b"")
            .tcp(C, S, ACK, 1001, 5001, b"")
            .tcp(C, S, ACK, 1001, 5012, b"");
        assert_eq!(wire.says(), "1/1 completed 0/11 open");
        let mut wire = Wire::default();
        wire.handshake().stored_earlier(1);
        assert_eq!(wire.says(), "1/1 completed 0/0 no-banner");
    }

    #[test]
    fn a_syn_long_after_an_answer_is_not_what_it_answers() {
        let mut wire = Wire::default();
        wire.tcp(S, C, SYN | ACK, 5000, 1001, b"").wait(SECOND).tcp(C, S, SYN, 1000, 0, b"");
        assert_eq!(wire.says(), "1/0 unanswered 0/0 timeout");
    }

    #[test]
    fn syns_that_are_also_fin_or_rst_are_no_attempts() {
        for flags in [SYN | FIN, SYN | RST, SYN | FIN | RST] {
            let mut wire = Wire::default();
            wire.tcp(C, S, flags, 1000, 0, b"").tcp(S, C, RST | ACK, 0, 1001, b"");
            assert!(wire.attempts().is_empty(), "{flags}");
            wire.wait(SECOND).handshake();
            assert_eq!(wire.says(), "1/1 completed 0/0 no-banner", "{flags}: nor part of one");
        }
        let mut wire = Wire::default();
        wire.handshake().tcp(C, S, SYN | FIN, 1001, 0, b"");
        assert_eq!(wire.says(), "1/1 completed 0/0 no-banner", "what nobody takes");
        wire.tcp(C, S, SYN | RST, 1001, 0, b"");
        assert_eq!(wire.only().reset_after_handshake_by.unwrap().name(), "client", "a reset is one");
    }

    #[test]
    fn data_on_the_syn() {
        let syn = |wire: &mut Wire| {
            wire.tcp(C, S, SYN, 1000, 0, b"SSH-2.0-y\r\n");
        };
        let mut taken = Wire::default();
        syn(&mut taken);
        taken
            .tcp(S, C, SYN | ACK, 5000, 1012, b"")
            .tcp(S, C, ACK, 5001, 1012, b"SSH-2.0-x\r\n")
            .tcp(C, S, ACK, 1012, 5012, b"");
        assert_eq!(taken.says(), "1/1 completed 11/11 open");
        let mut not_taken = Wire::default();
        syn(&mut not_taken);
        not_taken
            .tcp(S, C, SYN | ACK, 5000, 1001, b"")
            .tcp(C, S, ACK, 1001, 5001, b"SSH-2.0-y\r\n")
            .tcp(S, C, ACK, 5001, 1012, b"");
        assert_eq!(not_taken.says(), "1/1 completed 11/0 no-banner");
        let mut refused = Wire::default();
        syn(&mut refused);
        refused.tcp(S, C, RST | ACK, 0, 1012, b"");
        assert_eq!(refused.says(), "1/0 reset 11/0 reset");
        let mut answered_early = Wire::default();
        answered_early.tcp(S, C, SYN | ACK, 5000, 1012, b"");
        syn(&mut answered_early);
        answered_early.tcp(C, S, ACK, 1012, 5001, b"");
        assert_eq!(answered_early.says(), "1/1 completed 11/0 no-banner");
    }

    #[test]
    fn resets_after_the_handshake() {
        let mut wire = Wire::default();
        wire.handshake().tcp(S, C, RST, 5001, 0, b"");
        assert_eq!(wire.says(), "1/1 completed 0/0 reset-after-handshake");
        assert_eq!(wire.only().reset_after_handshake_by.unwrap().name(), "server");
        wire.tcp(C, S, RST, 1001, 0, b"");
        assert_eq!(wire.only().reset_after_handshake_by.unwrap().name(), "both");
        let mut wire = Wire::default();
        wire.handshake().tcp(C, S, RST, 1001, 0, b"");
        assert_eq!(wire.says(), "1/1 completed 0/0 reset-after-handshake");
        assert_eq!(wire.only().reset_after_handshake_by.unwrap().name(), "client");
        let mut wire = Wire::default();
        wire.handshake().tcp(C, S, FIN | ACK, 1001, 5001, b"");
        assert_eq!(wire.says(), "1/1 completed 0/0 closed");
        let mut wire = Wire::default();
        wire.handshake().tcp(S, C, RST, 500_000_000, 0, b"").tcp(C, S, RST, 3_000_000_000, 0, b"");
        assert_eq!(wire.only().reset_after_handshake_by, None, "both lie outside the window");
    }

    #[test]
    fn a_handshake_of_which_the_capture_lacks_the_syn_ack() {
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"")
            .tcp(C, S, ACK, 1001, 5001, b"")
            .tcp(S, C, ACK, 5001, 1001, b"SSH-2.0-x\r\n")
            .tcp(C, S, ACK, 1001, 5012, b"");
        assert_eq!(wire.says(), "1/0 completed 0/11 open");
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"").tcp(C, S, ACK, 1001, 5001, b"");
        assert_eq!(wire.says(), "1/0 unanswered 0/0 timeout", "nothing shows that the server answered");
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"")
            .tcp(C, S, ACK, 1001, 5001, b"SSH-2.0-y\r\n")
            .tcp(S, C, ACK, 5001, 1012, b"");
        assert_eq!(wire.says(), "1/0 completed 11/0 no-banner", "it acknowledged data");
    }

    #[test]
    fn a_handshake_of_which_the_capture_lacks_the_clients_ack() {
        let begun = |wire: &mut Wire, data: &[u8]| {
            wire.tcp(C, S, SYN, 1000, 0, data).tcp(S, C, SYN | ACK, 5000, 1001 + data.len() as u32, b"");
        };
        let mut wire = Wire::default();
        begun(&mut wire, b"");
        wire.tcp(S, C, ACK, 5001, 1001, b"SSH-2.0-x\r\n");
        assert_eq!(wire.says(), "1/1 completed 0/11 open", "who speaks knows of an ACK");
        wire.tcp(C, S, RST, 1001, 0, b"");
        assert_eq!(wire.only().reset_after_handshake_by.unwrap().name(), "client");
        let mut acknowledged = Wire::default();
        begun(&mut acknowledged, b"");
        acknowledged.tcp(S, C, ACK, 5001, 1002, b"");
        assert_eq!(acknowledged.says(), "1/1 completed 0/0 no-banner", "data or a FIN that was not captured");
        let mut closed = Wire::default();
        begun(&mut closed, b"");
        closed.tcp(S, C, FIN | ACK, 5001, 1001, b"");
        assert_eq!(closed.says(), "1/1 completed 0/0 closed");
        let mut no_syn_ack = Wire::default();
        no_syn_ack.tcp(C, S, SYN, 1000, 0, b"").tcp(S, C, ACK, 5001, 1001, b"SSH-2.0-x\r\n");
        assert_eq!(no_syn_ack.says(), "1/0 completed 0/11 open");
        let mut ack_first = Wire::default();
        ack_first.handshake().frames.rotate_right(1);
        ack_first.tcp(S, C, ACK, 5001, 1001, b"SSH-2.0-x\r\n");
        assert_eq!(ack_first.says(), "1/1 completed 0/11 open", "stored before its SYN");
        let mut fast_open = Wire::default();
        begun(&mut fast_open, b"SSH-2.0-y\r\n");
        fast_open.tcp(S, C, ACK, 5001, 1012, b"SSH-2.0-x\r\n");
        assert_eq!(fast_open.says(), "1/1 half-open 11/11 half-open", "it may speak before the ACK comes");
        fast_open.tcp(S, C, ACK, 5012, 1020, b"");
        assert_eq!(fast_open.says(), "1/1 completed 11/11 open");
    }

    #[test]
    fn the_clients_ack_chooses_among_syn_acks() {
        for (first, second) in [(5000, 99_999), (99_999, 5000), (5000, 3_000_000_000), (5000, 5001)] {
            for taken in [first, second] {
                let mut wire = Wire::default();
                wire.tcp(C, S, SYN, 1000, 0, b"").tcp(S, C, SYN | ACK, first, 1001, b"").tcp(
                    S,
                    C,
                    SYN | ACK,
                    second,
                    1001,
                    b"",
                );
                assert_eq!(wire.says(), "1/2 half-open 0/0 half-open");
                wire.tcp(C, S, ACK, 1001, taken + 1, b"").tcp(S, C, ACK, taken + 1, 1001, b"SSH-2.0-x\r\n");
                assert_eq!(wire.says(), "1/2 completed 0/11 open", "{first} {second} {taken}");
            }
        }
    }

    #[test]
    fn a_reset_that_the_server_knows_nothing_of() {
        for seq in [0, 5001, 0x7000_0000] {
            let mut wire = Wire::default();
            wire.tcp(C, S, SYN, 1000, 0, b"")
                .tcp(S, C, SYN | ACK, 5000, 1001, b"")
                .tcp(S, C, RST | ACK, seq, 1001, b"")
                .tcp(C, S, ACK, 1001, 5001, b"")
                .tcp(S, C, ACK, 5001, 1001, b"SSH-2.0-x\r\n");
            assert_eq!(wire.says(), "1/1 completed 0/11 open", "{seq}");
        }
    }

    #[test]
    fn a_capture_of_the_clients_direction_alone() {
        let mut wire = Wire::default();
        wire.session();
        wire.frames.retain(|(_, frame)| frame[12..16] == C.0.octets());
        assert_eq!(wire.says(), "1/0 completed 11/0 completed");
        wire.frames.truncate(2);
        assert_eq!(wire.says(), "1/0 unanswered 0/0 timeout");
        let mut silent = Wire::default();
        silent.tcp(C, S, SYN, 1000, 0, b"").tcp(C, S, ACK, 1001, 5001, b"").tcp(C, S, ACK, 1001, 5012, b"");
        assert_eq!(silent.says(), "1/0 completed 0/0 completed", "it received something");
        silent.tcp(S, C, RST, 5012, 0, b"");
        assert_eq!(silent.says(), "1/0 completed 0/0 reset-after-handshake");
        let mut again = Wire::default();
        again.tcp(C, S, SYN, 1000, 0, b"").tcp(C, S, ACK, 1001, 5001, b"").tcp(C, S, ACK, 1001, 5001, b"");
        assert_eq!(again.says(), "1/0 unanswered 0/0 timeout");
    }

    /// On both sides of a router, or by two mirrors: every frame comes twice, the second time a hop further on.
    #[test]
    fn a_capture_that_holds_every_frame_twice() {
        let mut wire = Wire::default();
        wire.session();
        let twice = |wire: &Wire, hops: u8, later: i64| {
            let again = |(at, frame): &(i64, Vec<u8>)| {
                let mut next = frame.clone();
                next[8] -= hops;
                [(*at, frame.clone()), (at + later, next)]
            };
            Wire { frames: wire.frames.iter().flat_map(again).collect(), now: 0 }
        };
        for hops in [0, 1] {
            assert_eq!(twice(&wire, hops, MS / 2).says(), "1/1 completed 11/11 open");
        }
        let mut refused = Wire::default();
        refused.tcp(C, S, SYN, 1000, 0, b"").wait(SECOND).tcp(C, S, SYN, 1000, 0, b"");
        refused.tcp(S, C, RST | ACK, 0, 1001, b"");
        assert_eq!(twice(&refused, 1, MS / 2).says(), "2/0 reset 0/0 reset");
        assert_eq!(twice(&refused, 1, 300 * MS).says(), "4/0 reset 0/0 reset", "so late, it was sent again");
        let mut answered = Wire::default();
        answered.tcp(C, S, SYN, 1000, 0, b"").tcp(S, C, SYN | ACK, 5000, 1001, b"").wait(SECOND);
        // The server's timer, and the client's.
        answered.tcp(S, C, SYN | ACK, 5000, 1001, b"").tcp(C, S, SYN, 1000, 0, b"");
        answered.tcp(S, C, SYN | ACK, 5000, 1001, b"").tcp(S, C, SYN | ACK, 5000, 1001, b"");
        assert_eq!(answered.says(), "2/4 half-open 0/0 half-open");
        let mut tracer = Wire::default();
        for hop in 1..4 {
            tracer.tcp(C, S, SYN, 1000, 0, b"").frames.last_mut().unwrap().1[8] = hop;
        }
        assert_eq!(tracer.says(), "3/0 unanswered 0/0 timeout");
    }

    #[test]
    fn more_bytes_than_sequence_numbers() {
        let mut wire = Wire::default();
        wire.handshake();
        let data = vec![0; 60_000];
        let mut seq = 1001_u32;
        for _ in 0..5 {
            // A capture that misses most of it: every step lies within the largest window.
            seq = seq.wrapping_add(1_000_000_000);
            wire.tcp(C, S, ACK, seq.wrapping_sub(60_000), 5001, &data);
        }
        assert_eq!(wire.only().client_bytes, 5_000_000_000);
    }
}

mod icmp_errors {
    use super::*;

    fn syn() -> Vec<u8> {
        segment(C, S, SYN, 1000, 0, b"")
    }

    #[test]
    fn an_error_about_the_syn_rejects_it() {
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"").icmp(3, 13, ROUTER, C.0, &syn());
        assert_eq!(wire.says(), "1/0 rejected 0/0 rejected");
        let icmp = wire.only().icmp.unwrap();
        assert_eq!((icmp.icmp_type, icmp.code, icmp.from), (3, 13, ROUTER.into()));
        wire.wait(SECOND).handshake();
        assert_eq!(wire.says(), "2/1 completed 0/0 no-banner", "a soft error may pass");
        assert!(wire.only().icmp.is_some());
    }

    #[test]
    fn a_translator_that_quotes_its_own_address() {
        let quoted = segment(End(Ipv4Addr::new(198, 18, 0, 9), C.1), S, SYN, 1000, 0, b"");
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"").icmp(3, 1, ROUTER, C.0, &quoted);
        assert_eq!(wire.says(), "1/0 rejected 0/0 rejected");
    }

    #[test]
    fn errors_about_something_else() {
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"");
        for (end, seq) in [(End(C.0, 50023), 1000), (C, 900_000_000)] {
            wire.icmp(3, 13, ROUTER, C.0, &segment(end, S, SYN, seq, 0, b""));
        }
        wire.icmp(3, 4, ROUTER, C.0, &syn());
        assert_eq!(wire.says(), "1/0 unanswered 0/0 timeout");
        let mut wire = Wire::default();
        wire.handshake().icmp(3, 1, ROUTER, C.0, &segment(C, S, ACK, 1001, 5001, b""));
        assert_eq!(wire.says(), "1/1 completed 0/0 no-banner");
        assert_eq!(wire.only().icmp, None);
    }
}

mod several_attempts {
    use super::*;

    fn all(wire: &Wire) -> Vec<String> {
        wire.attempts().iter().map(says).collect()
    }

    #[test]
    fn crossed_syns() {
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"")
            .tcp(S, C, SYN, 5000, 0, b"")
            .tcp(C, S, SYN | ACK, 1000, 5001, b"")
            .tcp(S, C, SYN | ACK, 5000, 1001, b"")
            .tcp(C, S, ACK, 1001, 5001, b"SSH-2.0-y\r\n")
            .tcp(S, C, ACK, 5001, 1012, b"SSH-2.0-x\r\nand more");
        assert_eq!(all(&wire), ["1/1 completed 11/19 open", "1/1 completed 19/11 completed"]);
        let (only, _) = wire.census(&Ports::Only(vec![22..=22]), Limits::default());
        assert_eq!(only.iter().map(says).collect::<Vec<_>>(), ["1/1 completed 11/19 open"]);
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"").tcp(S, C, SYN, 5000, 0, b"").tcp(C, S, SYN | ACK, 1000, 5001, b"");
        assert_eq!(all(&wire)[0], "1/0 unanswered 0/0 timeout", "the server acknowledged nothing");
        wire.tcp(S, C, RST | ACK, 0, 1001, b"");
        assert_eq!(all(&wire)[0], "1/0 reset 0/0 reset");
    }

    #[test]
    fn a_pair_used_again() {
        let mut wire = Wire::default();
        wire.session()
            .wait(SECOND)
            .tcp(C, S, SYN, 90_000_000, 0, b"")
            .tcp(S, C, ACK, 5013, 1013, b"")
            .tcp(C, S, RST, 1013, 0, b"")
            .tcp(S, C, ACK, 5001, 1012, b"SSH-2.0-x\r\n")
            .wait(SECOND)
            .tcp(C, S, SYN, 90_000_000, 0, b"")
            .tcp(S, C, SYN | ACK, 70_000_000, 90_000_001, b"")
            .tcp(C, S, ACK, 90_000_001, 70_000_001, b"abc");
        let mut attempts = wire.attempts();
        attempts.sort_by_key(|a| a.first_syn);
        let said: Vec<_> = attempts.iter().map(says).collect();
        assert_eq!(said, ["1/1 completed 11/11 open", "2/1 completed 3/0 no-banner"]);
        assert_eq!(attempts[0].reset_after_handshake_by.unwrap().name(), "client");
    }

    #[test]
    fn a_pair_used_again_at_once_with_numbers_close_by() {
        // As Linux does it: initial sequence numbers follow a clock.
        let mut wire = Wire::default();
        wire.handshake()
            .tcp(S, C, ACK, 5001, 1001, b"SSH-2.0-x\r\n")
            .tcp(S, C, FIN | ACK, 5012, 1001, b"")
            .tcp(C, S, RST | ACK, 1001, 5013, b"")
            .tcp(C, S, SYN, 1500, 0, b"")
            .tcp(S, C, SYN | ACK, 5600, 1501, b"")
            .tcp(C, S, ACK, 1501, 5601, b"")
            .tcp(S, C, ACK, 5601, 1501, b"SSH-2.0-x\r\n");
        assert_eq!(all(&wire), ["1/1 completed 0/11 open", "1/1 completed 0/11 open"]);
        assert_eq!(wire.attempts()[0].reset_after_handshake_by.unwrap().name(), "client");
    }

    #[test]
    fn roles_exchanged() {
        let mut wire = Wire::default();
        wire.session()
            .tcp(S, C, SYN, 100_000, 0, b"")
            .tcp(C, S, SYN | ACK, 200_000, 100_001, b"")
            .tcp(S, C, ACK, 100_001, 200_001, b"abc")
            .tcp(C, S, ACK, 200_001, 100_004, b"de");
        assert_eq!(all(&wire), ["1/1 completed 11/11 open", "1/1 completed 3/2 completed"]);
    }

    #[test]
    fn answers_go_to_the_syn_that_they_acknowledge() {
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"")
            .tcp(C, S, SYN, 3_000_000_000, 0, b"")
            .tcp(S, C, RST | ACK, 0, 1001, b"")
            .tcp(S, C, SYN | ACK, 5000, 3_000_000_001, b"")
            .wait(SECOND)
            .tcp(C, S, SYN, 1000, 0, b"");
        assert_eq!(all(&wire), ["2/0 reset 0/0 reset", "1/1 half-open 0/0 half-open"]);
    }

    #[test]
    fn one_pair_flooded_with_syns() {
        let mut wire = Wire::default();
        for isn in 0..10_000_u32 {
            wire.tcp(C, S, SYN, isn.wrapping_mul(0x9e37_79b9), 0, b"");
        }
        let attempts = wire.attempts();
        assert_eq!(attempts.len(), 10_000);
        assert!(attempts.is_sorted_by_key(|a| a.first_syn));
    }

    #[test]
    fn captures_that_start_or_stop_in_the_middle() {
        let mut whole = Wire::default();
        whole.session();
        for from in 1..whole.frames.len() {
            let late = Wire { frames: whole.frames[from..].to_vec(), now: whole.now };
            assert_eq!(all(&late), Vec::<String>::new(), "without its first {from} frames");
        }
        let said: Vec<_> = (1..=whole.frames.len())
            .map(|to| Wire { frames: whole.frames[..to].to_vec(), now: whole.now }.says())
            .collect();
        assert_eq!(
            said,
            [
                "1/0 unanswered 0/0 timeout",
                "1/1 half-open 0/0 half-open",
                "1/1 completed 0/0 no-banner",
                "1/1 completed 0/11 open",
                "1/1 completed 11/11 open",
                "1/1 completed 11/11 open",
                "1/1 completed 11/11 open",
                "1/1 completed 11/11 open",
            ]
        );
    }

    #[test]
    fn only_the_ports_asked_for() {
        let web = End(S.0, 80);
        let mut wire = Wire::default();
        wire.session().tcp(C, web, SYN, 1, 0, b"").tcp(web, C, SYN | ACK, 2, 2, b"").tcp(
            C,
            web,
            ACK,
            2,
            3,
            b"GET /\r\n",
        );
        let outcomes = |ports| -> Vec<_> {
            wire.census(&ports, Limits::default()).0.iter().map(|a| a.outcome).collect()
        };
        assert_eq!(outcomes(Ports::Only(vec![22..=22])), [Outcome::Open]);
        assert_eq!(outcomes(Ports::Only(vec![80..=80])), [Outcome::NoBanner]);
        assert_eq!(outcomes(Ports::Only(vec![79..=81])), [Outcome::NoBanner]);
        assert_eq!(outcomes(Ports::Only(vec![22..=22, 79..=81])), [Outcome::Open, Outcome::NoBanner]);
        assert_eq!(outcomes(Ports::Only(vec![23..=79, 81..=65535])), []);
        assert_eq!(outcomes(Ports::Any), [Outcome::Open, Outcome::Completed]);
        assert_eq!(outcomes(Ports::Only(vec![2222..=2222, 50022..=50022])), []);
    }
}

mod deciding {
    use super::*;

    /// A packet that concerns no attempt, to move the time.
    fn tick(wire: &mut Wire) {
        wire.tcp(End(ROUTER, 1), End(ROUTER, 2), ACK, 0, 0, b"");
    }

    /// Which attempts (by client port) are decided by which frame.
    fn order(wire: &Wire, limits: Limits) -> Vec<(usize, u16)> {
        let mut census = Census::new(Ports::Any, limits);
        let mut order = Vec::new();
        for (i, (at, frame)) in wire.frames.iter().enumerate() {
            census.push(Timestamp::from_nanos(START + at), &captured(frame));
            order.extend(std::iter::from_fn(|| census.next_decided()).map(|a| (i, a.client.port())));
        }
        census.end();
        order.extend(
            std::iter::from_fn(|| census.next_decided()).map(|a| (wire.frames.len(), a.client.port())),
        );
        order
    }

    fn client(port: u16) -> End {
        End(C.0, port)
    }

    #[test]
    fn each_in_its_time_and_the_rest_at_the_end() {
        let limits = Limits {
            settle: Duration::from_secs(1),
            unanswered: Duration::from_secs(10),
            idle: Duration::from_secs(100),
            attempts: 100,
        };
        let mut wire = Wire::default();
        wire.tcp(client(1), S, SYN, 0, 0, b"");
        wire.tcp(client(2), S, SYN, 0, 0, b"").tcp(S, client(2), RST | ACK, 0, 1, b"");
        wire.handshake();
        wire.wait(2 * SECOND);
        tick(&mut wire);
        wire.tcp(client(3), S, SYN, 0, 0, b"");
        wire.wait(9 * SECOND);
        tick(&mut wire);
        wire.wait(150 * SECOND).tcp(client(4), S, SYN, 0, 0, b"").tcp(client(5), S, SYN, 0, 0, b"");
        assert_eq!(order(&wire, limits), [(6, 2), (8, 1), (9, 3), (9, 50022), (11, 4), (11, 5)]);
    }

    #[test]
    fn a_clock_that_is_set_back_or_lies() {
        let mut wire = Wire::default();
        wire.tcp(client(1), S, SYN, 1000, 0, b"");
        wire.wait(-5000 * SECOND);
        wire.tcp(S, client(1), SYN | ACK, 5000, 1001, b"").wait(SECOND);
        wire.tcp(client(1), S, ACK, 1001, 5001, b"");
        assert_eq!(wire.says(), "1/1 completed 0/0 no-banner", "time goes on from where it was set to");
        wire.frames.push((i64::MAX - START, segment(client(2), S, SYN, 0, 0, b"")));
        wire.tcp(client(3), S, SYN, 1000, 0, b"").tcp(S, client(3), SYN | ACK, 5000, 1001, b"");
        let says: Vec<_> = wire.attempts().iter().map(says).collect();
        assert_eq!(says[0], "1/1 completed 0/0 no-banner");
        assert!(says.contains(&"1/1 half-open 0/0 half-open".to_owned()), "{says:?}");
    }

    const WEEK: i64 = 7 * 86_400 * SECOND;

    /// What the attempts to port 22 say: what concerns no attempt is then not looked at.
    fn of_port_22(wire: &Wire) -> Vec<String> {
        wire.census(&Ports::Only(vec![22..=22]), Limits::default()).0.iter().map(says).collect()
    }

    #[test]
    fn a_time_that_lies_ends_no_attempt() {
        let in_2106 = i64::from(u32::MAX) * SECOND - START;
        for lies in [&[in_2106][..], &[-START], &[in_2106, in_2106 + 1], &[-START, -START, in_2106]] {
            let mut wire = Wire::default();
            wire.tcp(C, S, SYN, 1000, 0, b"");
            tick(&mut wire);
            for lie in lies {
                tick(&mut wire);
                wire.frames.last_mut().unwrap().0 = *lie;
            }
            wire.tcp(S, C, SYN | ACK, 5000, 1001, b"").tcp(C, S, ACK, 1001, 5001, b"");
            assert_eq!(wire.says(), "1/1 completed 0/0 no-banner", "{lies:?}");
            assert_eq!(of_port_22(&wire), ["1/1 completed 0/0 no-banner"], "{lies:?}");
            for frame in [0, 1, 2 + lies.len()] {
                let mut wire = wire.clone();
                wire.frames[frame].0 = lies[0];
                assert_eq!(wire.says(), "1/1 completed 0/0 no-banner", "{lies:?} and frame {frame}");
                let first_syn = wire.frames[0].0;
                assert_eq!(wire.only().first_syn.nanos(), START + first_syn, "the SYN's own time is told");
            }
            // And at the end of a capture, where nothing follows.
            wire.wait(SECOND);
            tick(&mut wire);
            wire.frames.last_mut().unwrap().0 = lies[0];
            assert_eq!(wire.says(), "1/1 completed 0/0 no-banner", "{lies:?}");
        }
    }

    #[test]
    fn a_gap_of_a_week_ends_what_came_before_and_nothing_after() {
        let mut wire = Wire::default();
        for _ in 0..20 {
            tick(&mut wire);
        }
        wire.tcp(client(1), S, SYN, 1000, 0, b"").wait(WEEK).tcp(client(2), S, SYN, 1000, 0, b"");
        for _ in 0..20 {
            tick(&mut wire);
        }
        wire.tcp(S, client(2), SYN | ACK, 5000, 1001, b"").tcp(client(2), S, ACK, 1001, 5001, b"");
        for gap in [1, 131] {
            wire.wait(gap * SECOND);
            tick(&mut wire);
        }
        assert_eq!(order(&wire, Limits::default()), [(28, 1), (46, 2)]);
    }

    #[test]
    fn a_flood_evicts_the_unanswered_and_not_the_established() {
        let limits = Limits { attempts: 50, ..Limits::default() };
        let mut wire = Wire::default();
        wire.handshake();
        for port in 1000..2000 {
            wire.tcp(client(port), End(S.0, 23), SYN, 7, 0, b"");
        }
        wire.tcp(S, C, ACK, 5001, 1001, b"SSH-2.0-x\r\n");
        let (attempts, evicted) = wire.census(&Ports::Any, limits);
        assert_eq!((attempts.len(), evicted), (1001, 951));
        let session = attempts.iter().find(|a| a.server.port() == 22).unwrap();
        assert_eq!(session.outcome, Outcome::Open);
        let ports: Vec<_> = attempts.iter().map(|a| a.client.port()).filter(|p| *p < 2000).collect();
        assert!(ports.is_sorted(), "the oldest go first");
    }

    #[test]
    fn answers_without_a_syn_take_no_lasting_room() {
        let mut wire = Wire::default();
        for port in 1000..3000 {
            wire.tcp(S, client(port), SYN | ACK, 7, 8, b"").tcp(S, client(port), RST | ACK, 7, 9, b"");
        }
        wire.handshake();
        let limits = Limits { attempts: 10, ..Limits::default() };
        let (attempts, evicted) = wire.census(&Ports::Any, limits);
        assert_eq!((attempts.len(), evicted), (1, 0));
    }
}

mod command {
    use super::*;

    fn whichhop(args: &[&str], stdin: &[u8]) -> Output {
        Command::cargo_bin("whichhop")
            .unwrap()
            .arg("attempts")
            .args(args)
            .write_stdin(stdin)
            .output()
            .unwrap()
    }

    fn out(output: &Output) -> String {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout.clone()).unwrap()
    }

    fn said(output: &Output) -> String {
        String::from_utf8(output.stderr.clone()).unwrap()
    }

    #[test]
    fn one_object_a_line_with_the_contracts_keys_in_order() {
        let mut wire = Wire::default();
        wire.session();
        let output = whichhop(&["--json", "-"], &wire.pcapng());
        assert_eq!(
            out(&output),
            "{\"client\":\"10.22.0.1\",\"client_port\":50022,\"server\":\"198.19.0.4\",\"server_port\":22,\
             \"first_syn\":1700000000.001000000,\"isn\":1000,\"syn\":1,\"syn_ack\":1,\"handshake\":\"completed\",\
             \"reset_after_handshake_by\":null,\"client_bytes\":11,\"server_bytes\":11,\
             \"server_banner\":\"SSH-2.0-x\",\"icmp\":null,\"outcome\":\"open\",\"signature\":null}\n"
        );
        assert_eq!(said(&output), "");
    }

    #[test]
    fn nothing_in_it_is_no_error() {
        let output = whichhop(&["--json", "-"], &Wire::default().pcapng());
        assert_eq!((out(&output), said(&output)), (String::new(), String::new()));
        let output = whichhop(&["-"], &Wire::default().pcapng());
        assert_eq!(out(&output), "");
        assert!(said(&output).contains("no attempt to connect to port 22"), "{output:?}");
    }

    #[test]
    fn ports_that_were_not_asked_for_are_named() {
        let mut wire = Wire::default();
        wire.session().tcp(C, End(S.0, 443), SYN, 5, 0, b"");
        let output = whichhop(&["-p", "99", "-"], &wire.pcapng());
        assert_eq!(
            said(&output),
            "whichhop: no attempt to connect to port 99 in it (no SYN; there are SYNs to port 22, 443)\n"
        );
    }

    #[test]
    fn a_packet_that_may_hide_an_attempt_is_told() {
        let mut wire = Wire::default();
        wire.frames.push((0, ip(50, C.0, S.0, &[0, 0, 0, 1, 0, 0, 0, 1])));
        let output = whichhop(&["-"], &wire.pcapng());
        assert_eq!(
            said(&output),
            "whichhop: frames that could not be read: 1: IPsec ESP (not opened) (1)\n\
             whichhop: no attempt to connect to port 22 in what could be read of it (no SYN)\n"
        );
    }

    /// With the sequence number that an ICMP error quotes it is an answer; without, it is told to be missing.
    #[test]
    fn an_icmp_error_that_the_capture_cuts_off() {
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN, 1000, 0, b"");
        let syn = wire.frames[0].1.clone();
        wire.icmp(3, 13, ROUTER, C.0, &syn);
        for (most, outcome) in [(56, "rejected"), (55, "timeout"), (40, "timeout")] {
            let output = whichhop(&["--json", "-"], &wire.pcapng_of(most));
            assert!(out(&output).contains(&format!("\"outcome\":\"{outcome}\"")), "{output:?}");
            let told = said(&output).contains("could not be read: 1: ICMP errors cut off by the capture (1)");
            assert_eq!(told, most < 56, "{output:?}");
        }
        let replay = |most: usize| {
            let mut command = Command::cargo_bin("whichhop").unwrap();
            let output = command.args(["replay", "-"]).write_stdin(wire.pcapng_of(most)).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(["cuts off", "cut off"].iter().all(|cut| !replay(56).contains(cut)), "{}", replay(56));
        assert!(replay(55).contains("cuts off ICMP errors"), "{}", replay(55));
        assert!(
            replay(55).contains("1 frame was skipped: ICMP errors cut off by the capture."),
            "{}",
            replay(55)
        );
    }

    #[test]
    fn the_kinds_of_frames_that_cannot_be_read_are_bounded() {
        let mut wire = Wire::default();
        for nibble in [1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15] {
            wire.frames.push((0, vec![nibble << 4; 20]));
        }
        let output = whichhop(&["-"], &wire.pcapng());
        assert!(said(&output).contains("(neither 4 nor 6) (1), and 3 other kinds (3)\n"), "{output:?}");
    }

    #[test]
    fn syns_that_are_no_attempts_are_counted() {
        let mut wire = Wire::default();
        wire.tcp(C, S, SYN | FIN, 1000, 0, b"").tcp(C, S, SYN | RST, 1000, 0, b"").session();
        wire.tcp(C, End(S.0, 80), SYN | FIN, 1000, 0, b"");
        let output = whichhop(&["--json", "-"], &wire.pcapng());
        assert_eq!(out(&output).lines().count(), 1);
        assert!(said(&output).contains("SYNs that are also FIN or RST: 2: no attempts"), "{}", said(&output));
    }

    #[test]
    fn a_capture_cut_off_anywhere_tells_what_comes_before() {
        let mut wire = Wire::default();
        wire.session();
        let bytes = wire.pcapng();
        let output = whichhop(&["--json", "-"], &bytes[..bytes.len() - 7]);
        assert!(out(&output).contains("\"outcome\":\"open\""));
        let said = said(&output);
        assert!(said.starts_with("whichhop: standard input: it breaks off at byte "), "{said}");
        assert_eq!(said.lines().count(), 1);
    }

    #[test]
    fn what_is_no_capture() {
        for bytes in [&b""[..], b"which hop?", b"\xd4\xc3\xb2\xa1"] {
            let output = whichhop(&["--json", "-"], bytes);
            assert_eq!(output.status.code(), Some(2));
            assert!(output.stdout.is_empty());
            assert!(said(&output).starts_with("whichhop: standard input: "), "{output:?}");
        }
        let output = whichhop(&["no-such-file.pcap"], b"");
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).starts_with("whichhop: cannot open no-such-file.pcap: "));
        assert_eq!(whichhop(&["-", "-"], b"").status.code(), Some(2));
    }

    /// Files that follow each other, that overlap, and that are named in any order, are one capture.
    #[test]
    fn several_files_are_one_stream_in_order_of_time() {
        let mut wire = Wire::default();
        wire.session().wait(SECOND).tcp(C, End(S.0, 23), SYN, 5, 0, b"");
        wire.tcp(End(S.0, 23), C, RST | ACK, 0, 6, b"");
        let whole = out(&whichhop(&["-p", "any", "--json", "-"], &wire.pcapng()));
        assert_eq!(whole.lines().count(), 2);
        let dir = tempfile::tempdir().unwrap();
        let part = |name: &str, keep: &dyn Fn(usize) -> bool| {
            let frames = wire.frames.iter().enumerate().filter(|(i, _)| keep(*i)).map(|(_, f)| f.clone());
            let part = Wire { frames: frames.collect(), now: 0 };
            let path = dir.path().join(name);
            fs::write(&path, part.pcapng()).unwrap();
            path.to_str().unwrap().to_owned()
        };
        for (one, other, empty) in [
            (part("a", &|i| i < 4), part("b", &|i| i >= 4), part("empty", &|_| false)),
            (part("even", &|i| i % 2 == 0), part("odd", &|i| i % 2 == 1), part("empty", &|_| false)),
        ] {
            for files in [[&one, &other, &empty], [&other, &empty, &one]] {
                let mut args = vec!["-p", "any", "--json"];
                args.extend(files.map(String::as_str));
                assert_eq!(out(&whichhop(&args, b"")), whole, "{files:?}");
            }
            let stdin = fs::read(&one).unwrap();
            assert_eq!(out(&whichhop(&["-p", "any", "--json", &other, "-"], &stdin)), whole);
        }
        let output = whichhop(&["--json", &part("c", &|_| true), "no-such-file.pcap"], b"");
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "found before anything is said"
        );
    }

    /// Files that follow each other are open one after the other, and so are their decoders.
    #[cfg(unix)]
    #[test]
    fn files_that_are_read_through_are_let_go_of() {
        let dir = tempfile::tempdir().unwrap();
        let mut wire = Wire::default();
        let files: Vec<_> = (0..60)
            .map(|i| {
                wire.frames.clear();
                wire.wait(SECOND).tcp(C, End(S.0, 100 + i), SYN, 5, 0, b"");
                let path = dir.path().join(format!("{i}.pcapng"));
                fs::write(&path, wire.pcapng()).unwrap();
                path
            })
            .collect();
        let limited = |limit: &str| {
            let mut command = Command::new("sh");
            command.arg("-c").arg(format!("ulimit {limit} 40; exec \"$0\" attempts -p any --json \"$@\""));
            command.arg(env!("CARGO_BIN_EXE_whichhop")).args(&files);
            command.output().unwrap()
        };
        assert_eq!(out(&limited("-n")).lines().count(), 60);
        for path in &files {
            // One that lasts as long as all of them.
            let frames = vec![(0, Vec::new()), (100 * SECOND, Vec::new())];
            fs::write(path, Wire { frames, now: 0 }.pcapng()).unwrap();
        }
        let output = limited("-n");
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains(" captures overlap in time and are read at once"), "{output:?}");
        #[cfg(target_os = "linux")]
        assert_eq!(limited("-Sn").status.code(), Some(0), "a shell's own limit can be raised");
    }

    /// The newest file of a ring of captures may still be empty: the others are used.
    #[test]
    fn a_file_among_several_of_which_nothing_can_be_read() {
        let mut wire = Wire::default();
        wire.session();
        let whole = wire.pcapng();
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let good = write("good", &whole);
        let expected = out(&whichhop(&["--json", &good], b""));
        for (name, bytes, why) in [
            ("empty", &b""[..], "the file is empty"),
            ("short", &whole[..20], "the file ends within a section header block"),
            ("text", b"which hop drops my SSH?", "not a capture"),
            ("cut.gz", &gzip(&whole)[..9], "its gzip data end too soon"),
        ] {
            let bad = write(name, bytes);
            for files in [[&good, &bad], [&bad, &good]] {
                let output = whichhop(&["--json", files[0], files[1]], b"");
                assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), expected, "{output:?}");
                assert_eq!(output.status.code(), Some(2));
                let said = said(&output);
                assert!(said.starts_with(&format!("whichhop: {bad}: ")) && said.contains(why), "{said}");
                assert_eq!(said.lines().count(), 1, "{said}");
            }
            let output = whichhop(&["--json", &good, "-"], bytes);
            assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), expected, "{output:?}");
            assert!(said(&output).starts_with("whichhop: standard input: "), "{output:?}");
            let output = whichhop(&["--json", &bad, &bad], b"");
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
            assert_eq!(said(&output).matches(why).count(), 2, "{output:?}");
        }
        // A pipe, of which the header is sound.
        let header = [&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0][..], &[0; 8], &[0, 0, 4, 0, 1, 0, 0, 0]].concat();
        let damaged = [&header[..], &[0xff; 64]].concat();
        let output = whichhop(&["--json", &good, "-"], &damaged);
        assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), expected, "{output:?}");
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).starts_with("whichhop: standard input: "), "{output:?}");
    }

    /// What follows a time that lies does not wait until the other files are read.
    #[test]
    fn a_time_that_lies_in_one_of_several_files() {
        let quiet = End(ROUTER, 1);
        let tick = |wire: &mut Wire| {
            wire.tcp(quiet, End(ROUTER, 2), ACK, 0, 0, b"");
        };
        let mut other = Wire::default();
        for _ in 0..600 {
            other.wait(SECOND);
            tick(&mut other);
        }
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, wire: &Wire| {
            let path = dir.path().join(name);
            fs::write(&path, wire.pcapng()).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let other = write("other", &other);
        let in_2106 = i64::from(u32::MAX) * SECOND - START;
        for lies in [&[in_2106][..], &[-START], &[in_2106, in_2106 + 1, -START]] {
            for at in 0..4 {
                let mut wire = Wire::default();
                tick(&mut wire);
                wire.handshake().tcp(S, C, ACK, 5001, 1001, b"SSH-2.0-x\r\n");
                // At the beginning only one record is looked at, so that little is waited for.
                let lies = if at == 0 { &lies[..1] } else { lies };
                for lie in lies {
                    wire.frames.insert(at, (*lie, segment(quiet, End(ROUTER, 2), ACK, 0, 0, b"")));
                }
                let one = write("one", &wire);
                let told = out(&whichhop(&["--json", &one, &other], b""));
                assert_eq!(told.lines().count(), 1, "{told}");
                assert!(told.contains("\"outcome\":\"open\""), "{lies:?} at {at}: {told}");
            }
        }
        let mut with_gap = Wire::default();
        tick(&mut with_gap);
        with_gap.wait(7 * 86_400 * SECOND).tcp(C, S, SYN, 1000, 0, b"").tcp(S, C, RST | ACK, 0, 1001, b"");
        let gap = write("gap", &with_gap);
        let told = out(&whichhop(&["--json", &gap, &other], b""));
        assert!(told.contains("\"outcome\":\"reset\""), "{told}");
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).unwrap()
    }

    #[test]
    fn compressed_captures_are_read_as_they_are() {
        let mut wire = Wire::default();
        wire.session();
        let plain = wire.pcapng();
        let expected = out(&whichhop(&["--json", "-"], &plain));
        let dir = tempfile::tempdir().unwrap();
        let (head, tail) = plain.split_at(300);
        for (name, bytes) in [
            ("gzip", gzip(&plain)),
            ("gzip of two members", [gzip(head), gzip(tail)].concat()),
            ("zstd", zstd(&plain)),
            ("zstd of two frames", [zstd(head), zstd(tail)].concat()),
        ] {
            let file = dir.path().join(name);
            fs::write(&file, &bytes).unwrap();
            for output in [
                whichhop(&["--json", "-"], &bytes),
                whichhop(&["--json", file.to_str().unwrap()], b""),
                // Beside another, a file is opened twice.
                whichhop(&["--json", file.to_str().unwrap(), "-"], &Wire::default().pcapng()),
            ] {
                assert_eq!((out(&output), said(&output)), (expected.clone(), String::new()), "{name}");
            }
        }
    }

    #[test]
    fn compressed_captures_that_are_cut_off_or_damaged() {
        let mut wire = Wire::default();
        wire.session();
        // What does not compress reaches far enough to be cut.
        let mut noise = 1_u32;
        for _ in 0..5000 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            wire.tcp(C, End(S.0, 23), ACK, noise, noise ^ 0xdead_beef, &noise.to_ne_bytes());
        }
        for (name, compress) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("zstd", zstd)] {
            let whole = compress(&wire.pcapng());
            let len = whole.len();
            let output = whichhop(&["--json", "-"], &whole[..len - 20]);
            assert!(out(&output).contains("\"outcome\":\"open\""), "{name}");
            let expected = format!(
                "its {name} data end too soon, after {} bytes; what comes before was used\n",
                len - 20
            );
            assert!(
                said(&output).starts_with("whichhop: standard input: it breaks off at byte "),
                "{output:?}"
            );
            assert!(said(&output).ends_with(&expected), "{output:?}");
            let output = whichhop(&["--json", "-"], &whole[..9]);
            assert_eq!(output.status.code(), Some(2));
            assert!(said(&output).contains(&format!("its {name} data end too soon")), "{output:?}");
            let garbage = [&compress(&wire.pcapng())[..], b"no more of it"].concat();
            let output = whichhop(&["--json", "-"], &garbage);
            assert!(out(&output).contains("\"outcome\":\"open\""));
            assert!(
                said(&output).contains(&format!("its {name} data are damaged before byte ")),
                "{output:?}"
            );
        }
        let output = whichhop(&["-"], b"BZh91AY&SY");
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).ends_with("it is bzip2-compressed: decompress it first, with `bzip2 -dc`\n"));
        let output = whichhop(&["-"], &gzip(b"which hop drops my SSH?"));
        assert!(said(&output).contains("not a capture: it begins with 77 68 69"), "{output:?}");
    }

    #[test]
    fn only_some_addresses() {
        let mut wire = Wire::default();
        let (other, v6) = (End(Ipv4Addr::new(10, 22, 7, 7), 1), "2001:db8::/32");
        wire.session().tcp(other, S, SYN, 5, 0, b"").icmp(
            3,
            1,
            ROUTER,
            other.0,
            &segment(other, S, SYN, 5, 0, b""),
        );
        wire.tcp(S, C, SYN, 7, 0, b"").tcp(C, S, RST | ACK, 0, 8, b"");
        let ports = |args: &[&str]| -> Vec<u64> {
            let args = [&["-p", "any", "--json", "--sort", "-"], args].concat();
            let lines = out(&whichhop(&args, &wire.pcapng()));
            lines
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["client_port"].as_u64().unwrap())
                .collect()
        };
        assert_eq!(ports(&[]), [50022, 1, 22]);
        assert_eq!(ports(&["--address", "10.22.0.1"]), [50022, 22]);
        assert_eq!(ports(&["--client", "10.22.0.1"]), [50022]);
        assert_eq!(ports(&["--server", "10.22.0.0/16"]), [22]);
        assert_eq!(ports(&["--client", "10.22.0.0/16", "--server", "198.19.0.4"]), [50022, 1]);
        assert_eq!(ports(&["-a", "10.22.7.0/24", "-a", v6]), [1]);
        assert!(ports(&["-a", v6]).is_empty());
        let rejected = out(&whichhop(&["--json", "-a", "10.22.7.7", "-"], &wire.pcapng()));
        assert!(rejected.contains("\"outcome\":\"rejected\""), "an error comes from anywhere: {rejected}");
        let none = whichhop(&["-a", v6, "-"], &wire.pcapng());
        assert!(said(&none).contains("that the filters let through"), "{none:?}");
    }

    #[test]
    fn only_some_time() {
        let mut wire = Wire::default();
        for port in 1..=5 {
            wire.tcp(End(C.0, port), S, SYN, 9, 0, b"").wait(SECOND - MS);
        }
        // The SYNs of 1 and 2 come again much later.
        wire.wait(100 * SECOND).tcp(End(C.0, 1), S, SYN, 9, 0, b"").tcp(End(C.0, 2), S, SYN, 9, 0, b"");
        let of = |args: &[&str]| -> Vec<(u64, u64)> {
            let args = [&["--json", "--sort", "-"], args].concat();
            let lines = out(&whichhop(&args, &wire.pcapng()));
            let line = |line: &str| {
                let value: Value = serde_json::from_str(line).unwrap();
                (value["client_port"].as_u64().unwrap(), value["syn"].as_u64().unwrap())
            };
            lines.lines().map(line).collect()
        };
        assert_eq!(of(&["--from", "1700000001.001"]), [(2, 2), (3, 1), (4, 1), (5, 1)]);
        assert_eq!(of(&["--from", "2023-11-14T23:13:21.002+01:00"]), [(3, 1), (4, 1), (5, 1)]);
        assert_eq!(
            of(&["--until", "2023-11-14 22:13:22.001"]),
            [(1, 2), (2, 2)],
            "what follows counts all the same"
        );
        assert_eq!(of(&["--from", "1700000002", "--until", "1700000004"]), [(3, 1), (4, 1)]);
        assert!(of(&["--from", "2024-01-01"]).is_empty());
    }

    /// Whatever follows once all that is wanted is decided is not read.
    #[test]
    fn reading_ends_when_all_that_is_wanted_is_decided() {
        let mut wire = Wire::default();
        wire.session().wait(20 * SECOND);
        let mut bytes = wire.pcapng();
        let later = |count: usize, connection: u16| {
            let mut later = Wire { now: 30 * SECOND, ..Wire::default() };
            for _ in 0..count {
                later.tcp(End(C.0, connection), End(S.0, 443), ACK, 0, 0, b"");
            }
            later.pcapng()
        };
        bytes.extend(later(70_000, 1));
        let good = bytes.len();
        bytes.extend(later(70_000, 1));
        // Damage that would be told of, were it read.
        let mut damaged = bytes.clone();
        damaged[good + 3_000_000..].fill(0xff);
        let until = ["--json", "--until", "1700000001", "-"];
        let output = whichhop(&until, &damaged);
        assert_eq!(out(&output).lines().count(), 1);
        assert_eq!(said(&output), "");
        assert!(said(&whichhop(&["--json", "-"], &damaged)).contains("breaks off"));
    }

    /// What is decided by the very records after which nothing more is wanted.
    #[test]
    fn what_is_decided_last_is_told() {
        let mut wire = Wire::default();
        wire.tcp(End(C.0, 1), S, SYN, 0, 0, b"");
        for _ in 0..200_000 {
            wire.tcp(End(C.0, 2), End(S.0, 443), ACK, 0, 0, b"");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.pcapng");
        fs::write(&path, wire.pcapng()).unwrap();
        let output = whichhop(&["--json", "--until", "1700000001", path.to_str().unwrap()], b"");
        assert_eq!(out(&output).lines().count(), 1, "{}", said(&output));
    }

    #[test]
    fn one_late_record_does_not_end_the_reading() {
        let mut wire = Wire::default();
        for _ in 0..1 << 16 {
            wire.tcp(End(C.0, 1), End(S.0, 443), ACK, 0, 0, b"");
        }
        wire.frames.last_mut().unwrap().0 += 3600 * SECOND;
        wire.session();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("late.pcapng");
        fs::write(&path, wire.pcapng()).unwrap();
        let output = whichhop(&["--json", "--until", "1700000100", path.to_str().unwrap()], b"");
        assert_eq!(out(&output).lines().count(), 1, "{}", said(&output));
    }

    #[test]
    fn sorted_by_the_first_syn() {
        let mut wire = Wire::default();
        wire.tcp(End(C.0, 1), S, SYN, 0, 0, b"").session();
        wire.wait(20 * SECOND).tcp(End(C.0, 2), S, SYN, 0, 0, b"");
        let ports = |args: &[&str]| -> Vec<u64> {
            let lines = out(&whichhop(args, &wire.pcapng()));
            let of =
                |line: &str| serde_json::from_str::<Value>(line).unwrap()["client_port"].as_u64().unwrap();
            lines.lines().map(of).collect()
        };
        assert_eq!(ports(&["--json", "-"]), [50022, 1, 2]);
        assert_eq!(ports(&["--json", "--sort", "-"]), [1, 50022, 2]);
        assert_eq!(ports(&["--json", "--settle", "60", "-"]), [1, 50022, 2]);
    }

    #[test]
    fn a_table_and_a_summary() {
        let mut wire = Wire::default();
        wire.session().tcp(End(C.0, 7), S, SYN, 5, 0, b"");
        let table = out(&whichhop(&["-"], &wire.pcapng()));
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("FIRST SYN (UTC)"));
        assert!(lines[1].starts_with("2023-11-14 22:13:20.001000  10.22.0.1:50022"), "{}", lines[1]);
        assert!(lines[1].ends_with("SSH-2.0-x") && lines[2].contains("  timeout  "), "{table}");
        let summary = out(&whichhop(&["--summary", "-"], &wire.pcapng()));
        assert_eq!(
            summary,
            "Attempts: 2\n         1  timeout\n         1  open\n\nBy server\n         \
             2  198.19.0.4:22  1 timeout, 1 open\n\nBy hour (UTC)\n         \
             2  2023-11-14 22:00  1 timeout, 1 open\n"
        );
        let summary: Value =
            serde_json::from_str(&out(&whichhop(&["--summary", "--json", "-"], &wire.pcapng()))).unwrap();
        assert_eq!(
            summary,
            json!({
                "schema": "whichhop.summary/1",
                "attempts": 2,
                "by_outcome": { "timeout": 1, "open": 1 },
                "by_server": [{
                    "server": "198.19.0.4", "server_port": 22, "attempts": 2, "by_outcome": { "timeout": 1, "open": 1 },
                }],
                "other_servers": null,
                "by_hour": [{
                    "hour": "2023-11-14T22:00:00Z", "attempts": 2, "by_outcome": { "timeout": 1, "open": 1 },
                }],
                "other_hours": null,
            })
        );
    }

    #[test]
    fn a_reader_that_goes_away_is_no_error() {
        use std::io::{Read, Write};
        use std::process::{Command, Stdio};
        let mut wire = Wire::default();
        for port in 1..2000 {
            wire.tcp(End(C.0, port), S, SYN, 0, 0, b"");
        }
        let mut child = Command::new(assert_cmd::cargo::cargo_bin("whichhop"))
            .args(["attempts", "--json", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let _ = child.stdin.take().unwrap().write_all(&wire.pcapng());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "");
    }

    /// A terminal shows how far a long capture is read, and standard output has none of it.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_bar_on_the_terminal_for_long_captures() {
        use std::process::Command;
        let dir = tempfile::tempdir().unwrap();
        let mut wire = Wire::default();
        wire.session();
        let capture = |name: &str, padding: usize| {
            let path = dir.path().join(name);
            let mut bytes = wire.pcapng();
            for _ in 0..padding {
                // A block of 1 MiB, of a kind that nobody knows.
                bytes.extend([0x7f, 0, 0, 0, 0, 0, 0x10, 0]);
                bytes.resize(bytes.len() + (1 << 20) - 12, 0);
                bytes.extend([0, 0, 0x10, 0]);
            }
            fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let program = assert_cmd::cargo::cargo_bin("whichhop");
        let terminal = |args: &str| {
            let line = format!("'{}' attempts --json {args}", program.display());
            let output = Command::new("script").args(["-qec", &line, "/dev/null"]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let (long, short) = (capture("long", 40), capture("short", 1));
        let result = dir.path().join("result");
        let result = result.to_str().unwrap();
        let shown = terminal(&format!("{long} > {result}"));
        assert!(shown.contains("of 40.00 MiB") && shown.contains(" left"), "{shown:?}");
        assert!(shown.ends_with("\r\u{1b}[2K"), "it is gone at the end: {shown:?}");
        let printed = fs::read_to_string(result).unwrap();
        assert!(printed.starts_with('{') && printed.lines().count() == 1, "{printed:?}");
        assert_eq!(terminal(&format!("{short} > {result}")), "");
        let both = terminal(&long);
        assert!(both.starts_with('{') && !both.contains('\u{1b}'), "no bar between the lines: {both:?}");
    }

    /// What is decided is printed while the capture goes on.
    #[test]
    fn output_appears_while_reading() {
        use std::io::{BufRead, BufReader, Write};
        use std::process::{Command, Stdio};
        let mut wire = Wire::default();
        wire.session().wait(60 * SECOND).tcp(End(C.0, 7), S, SYN, 5, 0, b"");
        let mut child = Command::new(assert_cmd::cargo::cargo_bin("whichhop"))
            .args(["attempts", "--json", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&wire.pcapng()).unwrap();
        stdin.flush().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert!(line.contains("\"outcome\":\"open\""), "{line}");
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
}

#[cfg(target_os = "linux")]
mod signals {
    use std::io::{Read, Write};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};
    use std::thread::sleep;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;

    /// Unanswered SYNs, none of them decided.
    fn pending(count: u16) -> Vec<u8> {
        let mut wire = Wire::default();
        for port in 1..=count {
            wire.tcp(End(C.0, port), S, SYN, 0, 0, b"");
        }
        wire.pcapng()
    }

    /// Starts `command`, feeds it `capture`, and waits until it listens to signals.
    fn reading(command: &mut Command, capture: &[u8]) -> Child {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(capture).unwrap();
        let names = format!("/proc/{}/task", child.id());
        let listens = || {
            let names = fs::read_dir(&names).unwrap().flatten();
            names
                .flat_map(|task| fs::read_to_string(task.path().join("comm")))
                .any(|name| name == "signals\n")
        };
        let listens = (0..4000).any(|_| {
            sleep(Duration::from_millis(5));
            listens()
        });
        assert!(listens);
        child
    }

    fn attempts(args: &[&str]) -> Command {
        // The tests may themselves run where signals are ignored, as behind a shell's `&`.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT,TERM,HUP").arg(assert_cmd::cargo::cargo_bin("whichhop"));
        command.arg("attempts").args(args).arg("-");
        command
    }

    fn send(child: &Child, signal: Signal) {
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    }

    /// What it prints and says in the end, with its input as it is.
    fn end(mut child: Child) -> (String, String) {
        let (mut out, mut said) = (String::new(), String::new());
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
        (out, said)
    }

    #[test]
    fn the_first_ends_the_input() {
        for (signal, args, expected) in [
            (Signal::SIGINT, &[][..], "timeout"),
            (Signal::SIGTERM, &["--sort", "--json"], "\"outcome\":\"timeout\""),
            (Signal::SIGHUP, &["--summary"], "Attempts: 1"),
        ] {
            let child = reading(&mut attempts(args), &pending(1));
            send(&child, signal);
            let (out, said) = end(child);
            assert!(out.contains(expected), "{signal}: {out}");
            assert!(said.contains("interrupted: what comes after is not known"), "{signal}: {said}");
        }
    }

    /// As tcpdump does, which Ctrl-C reaches too.
    #[test]
    fn what_the_writer_still_holds_is_read() {
        let capture = pending(9);
        let (head, tail) = capture.split_at(capture.len() - 300);
        let mut child = reading(&mut attempts(&["--json"]), head);
        send(&child, Signal::SIGINT);
        sleep(Duration::from_millis(50));
        child.stdin.take().unwrap().write_all(tail).unwrap();
        let (out, said) = end(child);
        assert_eq!((out.lines().count(), said.as_str()), (9, ""));
    }

    #[test]
    fn the_second_kills() {
        // More output than a pipe holds that nobody reads from.
        let mut child = reading(&mut attempts(&["--json"]), &pending(3000));
        for _ in 0..2 {
            send(&child, Signal::SIGINT);
            sleep(Duration::from_millis(100));
        }
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGINT as i32));
    }

    #[test]
    fn what_nohup_wants_ignored_is_ignored() {
        let program = assert_cmd::cargo::cargo_bin("whichhop");
        let line = format!("trap '' HUP; exec '{}' attempts --json -", program.display());
        let capture = pending(9);
        let (head, tail) = capture.split_at(capture.len() - 300);
        let mut child = reading(Command::new("sh").args(["-c", &line]), head);
        send(&child, Signal::SIGHUP);
        sleep(Duration::from_millis(700));
        child.stdin.take().unwrap().write_all(tail).unwrap();
        let (out, said) = end(child);
        assert_eq!((out.lines().count(), said.as_str()), (9, ""));
    }
}
