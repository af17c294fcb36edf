//! A capture as tshark's fields tell it, read as a person would: stream by stream, frame by frame.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::Known;
use crate::lab::program;

/// What is compared beside the time of the first SYN: the names that JSON has for it.
pub(crate) const KEYS: [&str; 12] = [
    "client",
    "client_port",
    "server",
    "server_port",
    "isn",
    "syn",
    "syn_ack",
    "handshake",
    "reset_after_handshake_by",
    "client_bytes",
    "server_bytes",
    "icmp",
];

const FIELDS: [&str; 22] = [
    "frame.time_epoch",
    "tcp.stream",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "ip.ttl",
    "ipv6.hlim",
    "ip.id",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.flags",
    "tcp.seq_raw",
    "tcp.seq",
    "tcp.ack_raw",
    "tcp.len",
    "tcp.options.timestamp.tsval",
    "tcp.completeness",
    "icmp.type",
    "icmp.code",
    "icmpv6.type",
    "icmpv6.code",
];

/// How soon the same packet comes again where it is captured twice, in microseconds.
const TWICE: u64 = 10_000;

const FIN: u64 = 1;
const SYN: u64 = 2;
const RST: u64 = 4;
const ACK: u64 = 0x10;

/// One frame: each field with all its values, the outermost header's first.
struct Frame(BTreeMap<&'static str, Vec<String>>);

impl Frame {
    fn first(&self, field: &str) -> &str {
        self.0[field].first().map_or("", String::as_str)
    }

    fn number(&self, field: &str) -> u64 {
        let text = self.first(field);
        let number = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
        number.unwrap_or_else(|_| panic!("{field}: {text:?}"))
    }

    /// The field of whichever IP version it is.
    fn ip(&self, v4: &str, v6: &str) -> &str {
        [v4, v6]
            .map(|field| self.first(field))
            .into_iter()
            .find(|value| !value.is_empty())
            .unwrap_or_default()
    }

    fn source(&self) -> (String, u64) {
        (self.ip("ip.src", "ipv6.src").to_owned(), self.number("tcp.srcport"))
    }

    fn destination(&self) -> (String, u64) {
        (self.ip("ip.dst", "ipv6.dst").to_owned(), self.number("tcp.dstport"))
    }

    fn hop_limit(&self) -> u64 {
        self.ip("ip.ttl", "ipv6.hlim").parse().unwrap()
    }

    fn is_error(&self) -> bool {
        !self.ip("icmp.type", "icmpv6.type").is_empty()
    }

    fn has(&self, flags: u64) -> bool {
        self.number("tcp.flags") & flags == flags
    }

    /// SYN alone: with FIN or RST no client connects.
    fn is_syn(&self) -> bool {
        self.number("tcp.flags") & (FIN | SYN | RST | ACK) == SYN
    }

    fn micros(&self) -> u64 {
        micros(self.first("frame.time_epoch")).replace('.', "").parse().unwrap()
    }

    /// All that stays the same where one packet is captured twice.
    fn same(&self) -> Vec<&str> {
        const SAME: [&str; 7] = [
            "tcp.stream",
            "tcp.srcport",
            "tcp.flags",
            "tcp.seq_raw",
            "tcp.ack_raw",
            "tcp.len",
            "tcp.options.timestamp.tsval",
        ];
        SAME.into_iter().chain(["ip.id"]).map(|field| self.first(field)).collect()
    }
}

/// Seconds with six decimals, cut.
pub(crate) fn micros(seconds: &str) -> String {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    format!("{whole}.{fraction:0<6.6}")
}

/// Every attempt in a capture.
pub(crate) fn attempts(capture: &Path) -> Vec<Known> {
    let mut command = Command::new(program("tshark").unwrap());
    // Twice through the file, so that what is said of a stream is said of all of it.
    command.args(["-n", "-2", "-T", "fields", "-E", "separator=|", "-E", "occurrence=a", "-r"]).arg(capture);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut streams: BTreeMap<u64, Vec<Frame>> = BTreeMap::new();
    let (mut syns, mut same) = (BTreeMap::new(), BTreeMap::new());
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let values =
            line.split('|').map(|all| all.split(',').filter(|v| !v.is_empty()).map(str::to_owned).collect());
        let frame = Frame(FIELDS.into_iter().zip(values).collect());
        if frame.first("tcp.stream").is_empty() {
            continue;
        }
        let mut stream = frame.number("tcp.stream");
        if !frame.is_error() && frame.is_syn() {
            // Behind an error whose quote has other sequence numbers, tshark takes the same SYN for another stream's.
            let syn = (frame.source(), frame.destination(), frame.number("tcp.seq_raw"));
            same.insert(stream, *syns.entry(syn).or_insert(stream));
        }
        stream = same.get(&stream).copied().unwrap_or(stream);
        streams.entry(stream).or_default().push(frame);
    }
    streams.values().filter_map(|stream| attempt(stream)).collect()
}

/// The attempt that a stream is, if its SYN was captured.
fn attempt(stream: &[Frame]) -> Option<Known> {
    let first = stream.iter().find(|f| !f.is_error() && f.is_syn())?;
    let (client, isn) = (first.source(), first.number("tcp.seq_raw"));
    let from_client = |f: &Frame| f.source() == client;
    // A tracer sends SYNs that are to run out on the way.
    let probe = stream.iter().any(|f| !f.is_error() && f.has(SYN) && from_client(f) && f.hop_limit() <= 32);
    let next = |number: u64| (number + 1) & 0xffff_ffff;
    let (mut syn, mut syn_ack, mut bytes) = (0, 0, [0, 0]);
    let (mut handshake, mut refused_at, mut client_reset) = ("unanswered", 0, false);
    let mut reset_by = [false; 2];
    let mut icmp = None;
    for (i, f) in stream.iter().enumerate() {
        if f.is_error() {
            let kind: u64 = f.ip("icmp.type", "icmpv6.type").parse().unwrap();
            let code: u64 = f.ip("icmp.code", "icmpv6.code").parse().unwrap();
            let v4 = f.first("icmpv6.type").is_empty();
            let expired = kind == if v4 { 11 } else { 3 };
            let too_big = (kind, v4, code) == (3, true, 4) || (kind, v4) == (2, false);
            let open = matches!(handshake, "unanswered" | "rejected") && !client_reset;
            if open && !too_big && !(expired && probe) {
                handshake = "rejected";
                let from = f.ip("ip.src", "ipv6.src");
                icmp.get_or_insert(format!("{{\"code\":{code},\"from\":\"{from}\",\"type\":{kind}}}"));
            }
            continue;
        }
        let twice = |other: &Frame| {
            // A server may well send two SYN/ACKs that are alike at once; a tracer SYNs whose hop limits rise.
            let as_it_was = !f.has(ACK) || !["", "0x0000"].contains(&f.first("ip.id"));
            !other.is_error()
                && other.same() == f.same()
                && f.micros() - other.micros() < TWICE
                && (f.hop_limit() < other.hop_limit() || as_it_was && f.hop_limit() == other.hop_limit())
        };
        if stream[..i].iter().any(twice) {
            continue;
        }
        let side = usize::from(!from_client(f));
        if f.is_syn() && side == 0 {
            syn += 1;
        } else if f.has(SYN | ACK) && side == 1 && f.number("tcp.ack_raw") == next(isn) {
            syn_ack += 1;
            if matches!(handshake, "unanswered" | "rejected") {
                handshake = "half-open";
            }
        } else if f.has(RST) {
            client_reset |= side == 0;
            if handshake == "completed" {
                reset_by[side] = true;
            } else if side == 1 && f.has(ACK) && [isn, next(isn)].contains(&f.number("tcp.ack_raw")) {
                handshake = "reset";
                refused_at = syn_ack;
            }
            continue;
        } else if side == 0 && f.has(ACK) && syn_ack > 0 && (handshake != "reset" || syn_ack > refused_at) {
            handshake = "completed";
        }
        // Relative numbers: the first byte of data has 1, and the SYN, which may carry it, 0.
        let len = f.number("tcp.len");
        if len > 0 {
            bytes[side] = bytes[side].max(f.number("tcp.seq").max(1) + len - 1);
        }
    }
    // What tshark itself makes of the stream: SYN, SYN/ACK and ACK were there.
    let complete = stream
        .iter()
        .any(|f| !f.first("tcp.completeness").is_empty() && f.number("tcp.completeness") & 7 == 7);
    // It takes a client's bare reset behind a SYN/ACK for that ACK too, which by RFC 9293 it is not.
    if !client_reset || handshake == "completed" {
        assert_eq!(handshake == "completed", complete, "stream {} of {client:?}", first.first("tcp.stream"));
    }
    let by = match reset_by {
        [true, true] => "\"both\"",
        [true, false] => "\"client\"",
        [false, true] => "\"server\"",
        [false, false] => "null",
    };
    let server = first.destination();
    Some(BTreeMap::from([
        ("first_syn", micros(first.first("frame.time_epoch"))),
        ("client", format!("{:?}", client.0)),
        ("client_port", client.1.to_string()),
        ("server", format!("{:?}", server.0)),
        ("server_port", server.1.to_string()),
        ("isn", isn.to_string()),
        ("syn", syn.to_string()),
        ("syn_ack", syn_ack.to_string()),
        ("handshake", format!("{handshake:?}")),
        ("reset_after_handshake_by", by.to_owned()),
        ("client_bytes", bytes[0].to_string()),
        ("server_bytes", bytes[1].to_string()),
        ("icmp", icmp.unwrap_or_else(|| "null".to_owned())),
    ]))
}
