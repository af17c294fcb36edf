//! What holds for any bytes at all, however hostile: each function takes bytes and panics where it does not hold.
//!
//! The fuzz targets in `fuzz/` feed these functions with bytes of their own; `tests/seeds.rs`, with what is in
//! `fuzz/seeds`. A new place that reads bytes from outside is a new function and a line of [`TARGETS`].

#![allow(unreachable_pub, reason = "the fuzz targets, in a workspace of their own, call it too")]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "to panic is its purpose")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::ops::Range;
use std::time::Duration;

use whichhop::attempt::{Census, Limits, Ports, ssh_line};
use whichhop::diagnose::{Diagnosis, Question};
use whichhop::packet::{
    Icmp, IcmpError, LinkType, Packet, QuotedTransport, Transport, decode, decode_captured,
};
use whichhop::recording::{
    Body, Direction, Event, Reader, Record, Timestamp, Writer, escape_bytes, unescape_bytes,
};
use whichhop::report;

/// What takes bytes and panics where what must hold does not.
pub type Target = fn(&[u8]);

/// By the name of the fuzz target and of its folder of seeds.
pub const TARGETS: [(&str, Target); 7] = [
    ("packet", packet),
    ("quote", quote),
    ("capture", capture),
    ("event", event),
    ("attempts", attempts),
    ("replay", replay),
    ("text", text),
];

/// A frame, after two bytes that name its link type.
pub fn packet(data: &[u8]) {
    if let Some((link, frame)) = data.split_first_chunk() {
        any_frame(LinkType(u16::from_be_bytes(*link)), frame);
    }
}

/// A frame decodes or says why not; what it decodes to lies within it, and a part of it never says anything else.
pub fn any_frame(link: LinkType, frame: &[u8]) {
    let decoded = decode(link, frame);
    match &decoded {
        Err(undecoded) => shows_plainly(&undecoded.to_string()),
        Ok(packet) => {
            assert!(!format!("{packet:?}").is_empty());
            match packet.transport {
                Transport::Tcp(tcp) => {
                    assert!(inside(frame, tcp.options.0) && inside(frame, tcp.payload));
                    assert!(tcp.payload.len() as u64 <= u64::from(tcp.payload_len));
                    assert!(tcp.options.iter().count() <= 40);
                    tcp.checksum_ok(&packet.ip);
                    assert_eq!(packet.tcp_source().map(|s| s.ip()), Some(packet.ip.source));
                }
                Transport::Icmp(Icmp::Error(error)) => any_quote(frame, &error),
                _ => {}
            }
        }
    }
    if let Ok(Packet { transport: Transport::Tcp(tcp), .. }) = decode_captured(link, frame, 0) {
        assert_eq!(tcp.payload.len() as u64, u64::from(tcp.payload_len), "no more than was captured");
    }
    for cut in [frame.len().saturating_sub(1), frame.len() / 2] {
        if let Ok(part) = decode(link, &frame[..cut]) {
            let whole = decoded.as_ref().ok().map(ends);
            assert!(
                whole.is_none_or(|whole| whole == ends(&part)),
                "cut at {cut}: {part:?}, not {decoded:?}"
            );
        }
    }
}

/// Who a packet goes from and to, and what it carries.
fn ends(packet: &Packet<'_>) -> impl PartialEq + use<> {
    (
        packet.ip.source,
        packet.ip.destination,
        packet.ip.protocol,
        packet.tcp_source(),
        packet.tcp_destination(),
    )
}

/// Whether `part` lies in `whole`.
fn inside(whole: &[u8], part: &[u8]) -> bool {
    let (Range { start, end }, part) = (whole.as_ptr_range(), part.as_ptr_range());
    part.start == part.end || (start <= part.start && part.end <= end)
}

/// The body of an ICMP error, after two bytes: its type, whose highest bit stands for ICMPv6, and its code.
pub fn quote(data: &[u8]) {
    let Some((&[kind, code], message)) = data.split_first_chunk() else { return };
    let len = u16::try_from(message.len() + 4).unwrap_or(u16::MAX);
    let header = if kind & 0x80 == 0 {
        let [l0, l1] = len.saturating_add(20).to_be_bytes();
        [&[0x45, 0, l0, l1, 0, 0, 0, 0, 64, 1, 0, 0, 10, 22, 1, 1, 10, 22, 0, 1][..], &[kind, code, 0, 0]]
            .concat()
    } else {
        let [l0, l1] = len.to_be_bytes();
        [&[0x60, 0, 0, 0, l0, l1, 58, 64][..], &[0xfd; 32], &[kind & 0x7f, code, 0, 0]].concat()
    };
    let frame = [&header, message].concat();
    any_frame(LinkType::RAW, &frame);
    let Ok(Packet { transport: Transport::Icmp(Icmp::Error(error)), .. }) = decode(LinkType::RAW, &frame)
    else {
        return;
    };
    any_quote(&frame, &error);
    // A quoted segment reads as it would have on its way, if it is quoted so far.
    if let Some(quoted) = error.quoted
        && let QuotedTransport::Tcp(header) = quoted.transport
        && let Ok(packet) = decode(LinkType::RAW, quoted.bytes)
    {
        assert_eq!((quoted.source, quoted.destination), (packet.ip.source, packet.ip.destination));
        let Transport::Tcp(tcp) = packet.transport else { panic!("quoted TCP, sent {:?}", packet.transport) };
        assert_eq!((header.source_port, header.destination_port), (tcp.source_port, tcp.destination_port));
        assert_eq!(header.seq, tcp.seq);
    }
}

fn any_quote(frame: &[u8], error: &IcmpError<'_>) {
    assert!(inside(frame, error.extensions));
    if let Some(quoted) = error.quoted {
        assert!(inside(frame, quoted.bytes));
        assert!(quoted.bytes.len() + error.extensions.len() <= frame.len());
    }
}

/// A capture file. It reads the same however its bytes arrive; where it breaks off, the part before reads the same.
pub fn capture(data: &[u8]) {
    let (records, broken) = read(data);
    let trickled = read(Trickle(data));
    assert_eq!((&records, &broken), (&trickled.0, &trickled.1));
    match broken {
        End::Refused(why) => shows_plainly(&why),
        End::Whole => {}
        End::Broken(offset) => {
            assert!(offset <= data.len() as u64);
            let part = &data[..offset as usize];
            let (again, end) = read(part);
            assert_eq!(again, records);
            assert!(records.is_empty() || matches!(end, End::Whole), "{end:?}");
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Whole,
    Broken(u64),
    Refused(String),
}

/// All that a capture holds, by number and time; and how it ended.
fn read(source: impl Read) -> (Vec<(u64, i64, String)>, End) {
    let mut records = Vec::new();
    let mut reader = match Reader::new(source) {
        Ok(reader) => reader,
        Err(why) => return (records, End::Refused(why.to_string())),
    };
    loop {
        let ahead = reader.peek().ok().flatten();
        match reader.next() {
            Ok(Some(record)) => {
                assert_eq!(ahead, Some(record.at));
                assert_eq!(record.number.0, records.len() as u64 + 1);
                records.push((record.number.0, record.at.nanos(), format!("{:?}", record.body)));
            }
            Ok(None) => break,
            Err(why) => return (records, End::Refused(why.to_string())),
        }
    }
    assert!(matches!(reader.next(), Ok(None)), "the end is the end");
    match reader.truncation() {
        None => (records, End::Whole),
        Some(truncation) => {
            shows_plainly(&truncation.to_string());
            (records, End::Broken(truncation.offset))
        }
    }
}

/// Hands out its bytes in pieces of seven.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.0.len().min(7).min(into.len());
        self.0.read(&mut into[..len])
    }
}

/// An entry of the journal in a recording, or the JSON of one of our own events. What is understood is shown in one
/// plain line and comes back from a recording unchanged.
pub fn event(data: &[u8]) {
    let entry = if data.starts_with(b"{") {
        [b"WHICHHOP_NANOS=7\nWHICHHOP_EVENT=", data, b"\n"].concat()
    } else {
        data.to_vec()
    };
    let file = [section(), block(9, &entry)].concat();
    let Some((at, event)) = only_event(&file) else { panic!("an entry is an event, known or not") };
    shows_plainly(&event.to_string());
    if event == Event::Unknown {
        return;
    }
    let mut writer = Writer::new(Vec::new()).unwrap();
    writer.event(at, &event).unwrap();
    assert_eq!(only_event(&writer.finish().unwrap()), Some((at, event)));
}

fn only_event(file: &[u8]) -> Option<(Timestamp, Event)> {
    let mut reader = Reader::new(file).unwrap();
    match reader.next().unwrap()? {
        Record { at, body: Body::Event(event), .. } => Some((at, *event)),
        Record { .. } => None,
    }
}

/// A section header block, in little-endian order.
fn section() -> Vec<u8> {
    block(0x0a0d_0d0a, b"\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff")
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let body = [body, &vec![0; body.len().next_multiple_of(4) - body.len()]].concat();
    let len = (body.len() as u32 + 12).to_le_bytes();
    [&kind.to_le_bytes()[..], &len, &body, &len].concat()
}

/// A capture file, and the attempts in it: none out of nothing, none twice, all of them plain lines.
pub fn attempts(data: &[u8]) {
    let Ok(mut reader) = Reader::new(data) else { return };
    // Few at once and short waits, so that a small capture is enough for everything to happen.
    let limits = Limits {
        settle: Duration::from_millis(10),
        unanswered: Duration::from_secs(3),
        idle: Duration::from_secs(60),
        attempts: 4,
    };
    let mut census = Census::new(Ports::Any, limits);
    let (mut syns, mut syn_acks, mut frames) = (BTreeMap::new(), 0, 0_u64);
    let mut found = Vec::new();
    while let Ok(Some(record)) = reader.next() {
        let Body::Frame(frame) = record.body else {
            census.pass(record.at);
            continue;
        };
        frames += 1;
        match decode(frame.link, frame.bytes) {
            Err(_) => census.pass(record.at),
            Ok(packet) => {
                if let Transport::Tcp(tcp) = packet.transport {
                    if tcp.flags.is_syn() {
                        *syns
                            .entry((packet.tcp_source(), packet.tcp_destination(), tcp.seq.0))
                            .or_insert(0) += 1;
                    }
                    syn_acks += u32::from(tcp.flags.is_syn_ack());
                }
                census.push(record.at, &packet);
            }
        }
        found.extend(std::iter::from_fn(|| census.next_decided()));
    }
    census.end();
    found.extend(std::iter::from_fn(|| census.next_decided()));
    assert!(census.evicted() <= frames);
    let mut answered = 0;
    let mut told = BTreeSet::new();
    for attempt in &found {
        let syn = (Some(attempt.client), Some(attempt.server), attempt.isn.0);
        told.insert(syn);
        let seen = syns.get_mut(&syn);
        let left: &mut u32 = seen.unwrap_or_else(|| panic!("no SYN of {attempt:?}"));
        assert!(attempt.syn >= 1);
        *left = left.checked_sub(attempt.syn).unwrap_or_else(|| panic!("SYNs counted twice: {attempt:?}"));
        answered += attempt.syn_ack;
        let line = report::attempt_json(attempt);
        assert!(line.ends_with('\n'));
        shows_plainly(line.trim_end());
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
        shows_plainly(report::attempt_row(attempt).trim_end_matches('\n'));
    }
    // Not of every copy of it: one that was captured twice counts once.
    assert!(syns.keys().all(|syn| told.contains(syn)), "SYNs without an attempt: {syns:?}");
    assert!(answered <= syn_acks, "SYN/ACKs counted twice");
}

/// A capture file, and what is diagnosed from it, in both forms of the report.
pub fn replay(data: &[u8]) {
    let Ok(mut reader) = Reader::new(data) else { return };
    let mut diagnosis = Diagnosis::new(Question::default());
    while let Ok(Some(record)) = reader.next() {
        diagnosis.push(&record);
    }
    if let Some(truncation) = reader.truncation() {
        diagnosis.truncated(truncation);
    }
    match diagnosis.finish() {
        Err(why) => shows_plainly(&why.to_string()),
        Ok(findings) => {
            let json = report::json(&findings);
            assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
            json.lines().for_each(shows_plainly);
            report::text(&findings, report::Style::Plain).lines().for_each(shows_plainly);
        }
    }
}

/// What a server says, and text that was escaped.
pub fn text(data: &[u8]) {
    if let Some(line) = ssh_line(data) {
        assert!(line.starts_with("SSH-"));
    }
    let escaped = escape_bytes(data);
    shows_plainly(&escaped);
    assert_eq!(unescape_bytes(&escaped).as_deref(), Some(data));
    if let Ok(text) = str::from_utf8(data)
        && let Some(bytes) = unescape_bytes(text)
    {
        assert!(bytes.len() <= data.len());
    }
    // The same bytes as data of a connection, in two segments that overlap.
    let at = data.len() / 2;
    let file = conversation(&data[..at], &data[at.saturating_sub(3)..], at.saturating_sub(3) as u32);
    attempts(&file);
    replay(&file);
}

/// A recording of a handshake and of two segments of data from the server, the second at `offset`.
fn conversation(first: &[u8], second: &[u8], offset: u32) -> Vec<u8> {
    let segment = |from_client: bool, flags: u8, seq: u32, ack: u32, data: &[u8]| {
        let data = &data[..data.len().min(60_000)];
        let (ports, hosts) = if from_client {
            ([0xc3, 0x66, 0, 22], [10, 22, 0, 1, 198, 19, 0, 4])
        } else {
            ([0, 22, 0xc3, 0x66], [198, 19, 0, 4, 10, 22, 0, 1])
        };
        let [l0, l1] = (data.len() as u16 + 40).to_be_bytes();
        let ip = [0x45, 0, l0, l1, 0, 0, 0x40, 0, 64, 6, 0, 0];
        let rest = [0x50, flags, 0xff, 0xff, 0, 0, 0, 0];
        [&ip[..], &hosts, &ports, &seq.to_be_bytes(), &ack.to_be_bytes(), &rest, data].concat()
    };
    let mut writer = Writer::new(Vec::new()).unwrap();
    let info = whichhop::recording::InterfaceInfo { name: "any".to_owned(), link: LinkType::RAW };
    let interface = writer.interface(&info).unwrap();
    for (at, frame) in [
        segment(true, 2, 999, 0, b""),
        segment(false, 0x12, 4999, 1000, b""),
        segment(true, 0x10, 1000, 5000, b""),
        segment(false, 0x18, 5000, 1000, first),
        segment(false, 0x18, 5000 + offset, 1000, second),
    ]
    .iter()
    .enumerate()
    {
        let at = Timestamp::from_nanos(1_700_000_000_000_000_000 + at as i64 * 1_000_000);
        writer.frame(interface, at, Direction::Unknown, frame.len() as u32, frame).unwrap();
    }
    writer.finish().unwrap()
}

/// Text that starts no line of its own and steers no terminal.
fn shows_plainly(text: &str) {
    let steers =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!text.chars().any(|c| c.is_control() || steers(c)), "{text:?}");
}
