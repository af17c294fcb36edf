//! Recordings for tests, in a notation of one packet or event a line.
//!
//! ```text
//! # the edge resets SYNs to port 22
//! 0.000 ! start
//! 0.001 ! connect 0 started
//! 0.001 > S                                  # the kernel's own SYN, from port 50022
//! 0.022 > 20000:22 S ttl=1 | 11/0 10.22.1.1  # a probe, and the time exceeded that answers it
//! 0.044 > 20000:22 S ttl=2 | R. ttl=64
//! 0.046 > echo 7 ttl=2     | 11/0 198.18.1.1
//! 0.900 ! end
//! ```
//!
//! A line is a time in seconds, a direction (`>` sent, `<` received, `!` an event) and what was seen; `#` begins a
//! remark. Every line is a record, numbered from 1, and so is what follows a `|`: the answer, a millisecond per hop
//! later (`after=` says another number of ms).
//!
//! - **TCP**: `[CLIENT:SERVER] FLAGS` with the ports in that order whichever way it goes (50022:22 unless given)
//!   and flags as tcpdump writes them (`S`, `S.`, `.`, `P.`, `F.`, `R`, `R.`). The client's initial sequence
//!   number is 1000 and the server's 9000; `seq=` and `ack=` say otherwise. Further: `ttl=`, `id=`, `tos=`,
//!   `win=` (window, 64240; a reset's 0), `ts=VALUE/ECHO`, `data="…"`, `len=N` (bytes of data), `server=ADDRESS`, `cut=N` (bytes captured of the frame),
//!   `stray` (addressed to another machine's link-layer address), `badsum` (wrong checksum), `half` (a first fragment),
//!   `mss=N`.
//! - **ICMP errors**: `TYPE/CODE FROM`, about the packet last sent or `about=RECORD`; `left=` is the hop limit in
//!   the quote (1), `quote=N` the bytes quoted of the transport (all), `qsrc=`, `qsport=`, `qid=`, `qseq=`, `qtos=`,
//!   `qmss=`, `qsum=` (the TCP checksum) what a box on the way rewrote; `mtu=` the next link's MTU.
//! - **Echoes**: `echo N`, `echo-reply N`.
//! - **Events**: `start [name=NAME] [addresses=A,B] [edge=NET] [azure=NET] [contained] [blind] [deep]`,
//!   `route [on=INTERFACE] [gw=A] [error=TEXT]`, `tunnel [on=INTERFACE] [read=N]`, `connect ID started|established|failed ERRNO|received "…"|closed|broken ERRNO|`
//!   `abandoned MS [port=N] [server=A]`, `ask ID connect|echo ttl=N`, `answer ID TYPE/CODE FROM|established|`
//!   `failed ERRNO|echo-reply FROM`, `capture [lost=N]`, `unprivileged`, `deadline`, `end`.
//!
//! `client ADDRESS` and `target ADDRESS` on lines of their own set the two ends.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use etherparse::{IpNumber, Ipv4Header, Ipv6Header, TcpHeader, TcpOptions, ip_number};

use crate::attempt::{Attempt, Tracker};
use crate::diagnose::{Diagnosis, Findings, Question};
use crate::evidence::{Claim, Effect, Evidence, Suspect, Suspects, strangers};
use crate::packet::{LinkType, MacAddr, Packet, build, decode, decode_captured};
use crate::path::{Networks, Path, Place, Probe, Segment, Survey};
use crate::recording::{
    Body, CaptureCounters, ConnectStage, Direction, EndReason, Event, Frame, KernelAnswer, KernelProbe,
    QueuedIcmp, Record, RecordNumber, Route, Said, Start, Target, Timestamp,
};
use crate::verdict::{Assumed, Case, eliminate};

/// The client, unless a script says otherwise.
pub(crate) const CLIENT: &str = "10.22.0.2";
/// The target, unless a script says otherwise.
pub(crate) const TARGET: &str = "198.19.0.4";

/// The end of a trace whose capture missed nothing.
pub(crate) const END: &str = "
    9.0 ! capture
    9.1 ! end
";

const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const NEXT_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const STRAY_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);

const ETHERNET_HEADER: usize = 14;

const CLIENT_ISN: u32 = 1000;
const SERVER_ISN: u32 = 9000;
const ECHO_ID: u16 = 0xbeef;
const MS: i64 = 1_000_000;

/// A recording written out as text.
pub(crate) struct Script {
    client: IpAddr,
    target: IpAddr,
    /// Frames begin with IP itself, as on a tun device.
    bare: bool,
    records: Vec<(Timestamp, Written)>,
}

enum Written {
    Frame { direction: Direction, bytes: Vec<u8>, original_len: u32 },
    Event(Event),
}

/// What a line's answer goes by.
#[derive(Clone)]
struct Asked {
    at: i64,
    ports: (u16, u16),
    server: IpAddr,
    hop_limit: u8,
}

impl Script {
    /// Reads a script; panics with the line that makes no sense.
    pub(crate) fn new(text: &str) -> Self {
        let (client, target) = (address(CLIENT), address(TARGET));
        let mut script = Self { client, target, bare: false, records: Vec::new() };
        let without_remark = |l| str::split(l, '#').next().unwrap_or(l).trim();
        for line in text.lines().map(without_remark).filter(|l| !l.is_empty()) {
            if let Some(client) = line.strip_prefix("client ") {
                script.client = address(client);
            } else if let Some(target) = line.strip_prefix("target ") {
                script.target = address(target);
            } else if line == "bare" {
                script.bare = true;
            } else {
                script.line(line);
            }
        }
        script
    }

    /// The records, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        (1..).zip(&self.records).map(|(number, (at, written))| {
            let body = match written {
                Written::Event(event) => Body::Event(Box::new(event.clone())),
                Written::Frame { direction, bytes, original_len } => Body::Frame(Frame {
                    interface: 0,
                    link: if self.bare { LinkType::RAW } else { LinkType::ETHERNET },
                    direction: *direction,
                    original_len: original_len - self.link_header() as u32,
                    bytes: &bytes[self.link_header()..],
                }),
            };
            Record { number: RecordNumber(number), at: *at, body }
        })
    }

    /// Bytes of what is written that are not on the wire.
    fn link_header(&self) -> usize {
        if self.bare { ETHERNET_HEADER } else { 0 }
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds the records of another.
    pub(crate) fn append(&mut self, other: Self) {
        self.records.extend(other.records);
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, line: &str) {
        let (sent, answer) = line.split_once('|').map_or((line, None), |(s, a)| (s, Some(a)));
        let mut words = Words::new(sent);
        let at = (words.parsed::<f64>() * 1e9).round() as i64;
        let asked = match words.next().as_str() {
            "!" => {
                let event = self.event(&mut words);
                self.records.push((Timestamp::from_nanos(at), Written::Event(event)));
                None
            }
            ">" => Some(self.packet(at, Direction::Outbound, &mut words, None)),
            "<" => Some(self.packet(at, Direction::Inbound, &mut words, None)),
            other => panic!("`{other}` is no direction, in `{line}`"),
        };
        words.done();
        if let Some(answer) = answer {
            let asked = asked.unwrap_or_else(|| panic!("nothing to answer in `{line}`"));
            let mut words = Words::new(answer);
            let crossed = if asked.hop_limit < 64 { asked.hop_limit } else { 5 };
            let after = words.value("after").unwrap_or(i64::from(crossed));
            self.packet(asked.at + after * MS, Direction::Inbound, &mut words, Some(&asked));
            words.done();
        }
    }

    /// Reads a packet and records it.
    fn packet(&mut self, at: i64, direction: Direction, words: &mut Words, answers: Option<&Asked>) -> Asked {
        let outbound = direction == Direction::Outbound;
        let ports = match words.peek().split_once(':') {
            Some((client, server)) if client.parse::<u16>().is_ok() => {
                let ports = (client.parse().unwrap(), server.parse().unwrap());
                words.next();
                ports
            }
            _ => answers.map_or((50022, 22), |a| a.ports),
        };
        let server = words.value("server").or(answers.map(|a| a.server)).unwrap_or(self.target);
        let ttl: Option<u8> = words.value("ttl");
        let asked = Asked { at, ports, server, hop_limit: ttl.unwrap_or(64) };
        let (stray, cut) = (words.flag("stray"), words.value::<usize>("cut"));
        let kind = words.next();
        let packet = if let Some((icmp_type, code)) = kind.split_once('/') {
            let (icmp_type, code) = (icmp_type.parse().unwrap(), code.parse().unwrap());
            let ttl = ttl.unwrap_or(answers.map_or(250, |a| 0u8.wrapping_sub(a.hop_limit.min(60))));
            self.icmp_error(icmp_type, code, ttl, words)
        } else if kind.starts_with("echo") {
            let (source, destination) = if outbound { (self.client, server) } else { (server, self.client) };
            let v6 = self.client.is_ipv6();
            let icmp_type = match (kind.as_str(), v6) {
                ("echo", false) => 8,
                ("echo", true) => 128,
                (_, false) => 0,
                (_, true) => 129,
            };
            let [i0, i1] = ECHO_ID.to_be_bytes();
            let [s0, s1] = words.parsed::<u16>().to_be_bytes();
            let message = [icmp_type, 0, 0, 0, i0, i1, s0, s1];
            let protocol = if v6 { ip_number::IPV6_ICMP } else { ip_number::ICMP };
            let ttl = ttl.unwrap_or(if outbound { 64 } else { 60 });
            ip(source, destination, ttl, self.tag(words), 0, protocol, &message)
        } else {
            self.tcp(&kind, outbound, &asked, ttl, words)
        };
        let (source, destination) = match (outbound, stray) {
            (true, _) => (OUR_MAC, NEXT_MAC),
            (false, false) => (NEXT_MAC, OUR_MAC),
            (false, true) => (NEXT_MAC, STRAY_MAC),
        };
        let mut bytes = build::ethernet(source, destination, &packet);
        let original_len = bytes.len() as u32;
        bytes.truncate(cut.unwrap_or(usize::MAX));
        self.records.push((Timestamp::from_nanos(at), Written::Frame { direction, bytes, original_len }));
        asked
    }

    /// An identification unlike any other's, unless the line gives one.
    fn tag(&self, words: &mut Words) -> u16 {
        words.value("id").unwrap_or(0x6000 + self.records.len() as u16)
    }

    fn tcp(&self, flags: &str, outbound: bool, asked: &Asked, ttl: Option<u8>, words: &mut Words) -> Vec<u8> {
        assert!(flags.chars().all(|c| "SFPR.".contains(c)), "`{flags}` are no flags, in `{}`", words.line);
        let has = |flag: char| flags.contains(flag);
        let (seq, ack) = match (outbound, has('S'), has('R'), has('.')) {
            (true, true, ..) => (CLIENT_ISN, 0),
            (true, _, true, _) => (CLIENT_ISN + 1, 0),
            (true, ..) => (CLIENT_ISN + 1, SERVER_ISN + 1),
            (false, true, ..) => (SERVER_ISN, CLIENT_ISN + 1),
            (false, _, true, true) => (0, CLIENT_ISN + 1),
            (false, _, true, false) => (SERVER_ISN + 1, 0),
            (false, ..) => (SERVER_ISN + 1, CLIENT_ISN + 1),
        };
        let client = SocketAddr::new(self.client, asked.ports.0);
        let server = SocketAddr::new(asked.server, asked.ports.1);
        let (source, destination) = if outbound { (client, server) } else { (server, client) };
        let mut options = Vec::new();
        if let Some(mss) = words.value::<u16>("mss") {
            options.extend([2, 4]);
            options.extend(mss.to_be_bytes());
        }
        if let Some(ts) = words.text("ts") {
            let (value, echo) = ts.split_once('/').expect("ts=VALUE/ECHO");
            options.extend([1, 1, 8, 10]);
            options.extend(value.parse::<u32>().unwrap().to_be_bytes());
            options.extend(echo.parse::<u32>().unwrap().to_be_bytes());
        }
        let data = match (words.text("data"), words.value::<usize>("len")) {
            (Some(text), _) => text.replace("\\r", "\r").replace("\\n", "\n").into_bytes(),
            (None, len) => vec![b'x'; len.unwrap_or(0)],
        };
        let mut header = TcpHeader {
            source_port: source.port(),
            destination_port: destination.port(),
            sequence_number: words.value("seq").unwrap_or(seq),
            acknowledgment_number: words.value("ack").unwrap_or(ack),
            syn: has('S'),
            fin: has('F'),
            rst: has('R'),
            psh: has('P'),
            ack: has('.'),
            window_size: words.value("win").unwrap_or(if has('R') { 0 } else { 64240 }),
            options: TcpOptions::try_from_slice(&options).unwrap(),
            ..TcpHeader::default()
        };
        header.checksum = match (source.ip(), destination.ip()) {
            (IpAddr::V4(s), IpAddr::V4(d)) => header.calc_checksum_ipv4_raw(s.octets(), d.octets(), &data),
            (IpAddr::V6(s), IpAddr::V6(d)) => header.calc_checksum_ipv6_raw(s.octets(), d.octets(), &data),
            _ => panic!("two families, in `{}`", words.line),
        }
        .unwrap();
        if words.flag("badsum") {
            header.checksum ^= 0x5555;
        }
        let segment = [header.to_bytes().as_slice(), &data].concat();
        let ttl = ttl.unwrap_or(if outbound { 64 } else { 60 });
        let id = if outbound { self.tag(words) } else { words.value("id").unwrap_or(0) };
        let tos = words.value("tos").unwrap_or(0);
        let whole = ip(source.ip(), destination.ip(), ttl, id, tos, ip_number::TCP, &segment);
        if words.flag("half") { half(whole, id) } else { whole }
    }

    fn icmp_error(&self, icmp_type: u8, code: u8, ttl: u8, words: &mut Words) -> Vec<u8> {
        let from: IpAddr = words.parsed();
        let about = words.value::<usize>("about").map(|n| &self.records[n - 1].1).or_else(|| {
            let sent = |w: &&Written| matches!(w, Written::Frame { direction: Direction::Outbound, .. });
            self.records.iter().rev().map(|(_, w)| w).find(sent)
        });
        let Some(Written::Frame { bytes, .. }) = about else { panic!("nothing to quote: `{}`", words.line) };
        let mut quote = bytes[14..].to_vec();
        let v6 = self.client.is_ipv6();
        let header = match v6 {
            true if quote[6] == ip_number::IPV6_FRAG.0 => 48,
            true => 40,
            false => 20,
        };
        quote[if v6 { 7 } else { 8 }] = words.value("left").unwrap_or(1);
        if let Some(source) = words.value::<std::net::Ipv4Addr>("qsrc") {
            quote[12..16].copy_from_slice(&source.octets());
        }
        if let Some(id) = words.value::<u16>("qid") {
            quote[4..6].copy_from_slice(&id.to_be_bytes());
        }
        if let Some(seq) = words.value::<u32>("qseq") {
            quote[header + 4..header + 8].copy_from_slice(&seq.to_be_bytes());
        }
        if let Some(port) = words.value::<u16>("qsport") {
            quote[header..header + 2].copy_from_slice(&port.to_be_bytes());
        }
        if let Some(tos) = words.value::<u8>("qtos") {
            assert!(!v6, "qtos= is for IPv4");
            quote[1] = tos;
        }
        if let Some(mss) = words.value::<u16>("qmss") {
            assert_eq!(quote[header + 20..header + 22], [2, 4], "there is an MSS option, and it comes first");
            quote[header + 22..header + 24].copy_from_slice(&mss.to_be_bytes());
        }
        if let Some(checksum) = words.value::<u16>("qsum") {
            quote[header + 16..header + 18].copy_from_slice(&checksum.to_be_bytes());
        }
        quote.truncate(header + words.value("quote").unwrap_or(usize::MAX - header));
        let protocol = if v6 { ip_number::IPV6_ICMP } else { ip_number::ICMP };
        let [m0, m1, m2, m3] = words.value::<u32>("mtu").unwrap_or(0).to_be_bytes();
        let message = [&[icmp_type, code, 0, 0, m0, m1, m2, m3], quote.as_slice()].concat();
        ip(from, self.client, ttl, 0, 0, protocol, &message)
    }

    fn event(&self, words: &mut Words) -> Event {
        match words.next().as_str() {
            "start" => Event::Start(Box::new(Start {
                version: "0".to_owned(),
                seed: 1,
                target: Target {
                    name: words.text("name"),
                    addresses: words
                        .text("addresses")
                        .map_or(vec![self.target], |list| list.split(',').map(address).collect()),
                    port: 22,
                },
                captured: !words.flag("blind"),
                deep: words.flag("deep"),
                edge_nets: words.value("edge").into_iter().collect(),
                azure_nets: words.value("azure").into_iter().collect(),
                deadline_ms: 10_000,
                banner_wait_ms: 2_000,
                uid: 1000,
                contained: words.flag("contained"),
            })),
            "route" => {
                let error = words.text("error");
                Event::Route(Route {
                    destination: words.value("server").unwrap_or(self.target),
                    interface: error.is_none().then(|| words.text("on").unwrap_or_else(|| "eth0".to_owned())),
                    gateway: words.value("gw"),
                    source: error.is_none().then_some(self.client),
                    mac: (!self.bare).then_some(OUR_MAC),
                    error,
                })
            }
            "tunnel" => Event::Tunnel {
                interface: words.text("on").unwrap_or_else(|| "eth0".to_owned()),
                read: words.value("read").unwrap_or(0),
            },
            "connect" => {
                let id = words.parsed();
                let server = SocketAddr::new(words.value("server").unwrap_or(self.target), 22);
                let port = words.value("port").unwrap_or(50022);
                let client = Some(SocketAddr::new(self.client, port));
                let error = |errno: i32| format!("errno {errno}");
                let stage = match words.next().as_str() {
                    "started" => ConnectStage::Started,
                    "established" => ConnectStage::Established,
                    "failed" => {
                        let errno = words.parsed();
                        ConnectStage::Failed { errno, error: error(errno), icmp: None }
                    }
                    "received" => ConnectStage::Received {
                        data: words.next().replace("\\r", "\\x0d").replace("\\n", "\\x0a"),
                    },
                    "closed" => ConnectStage::Closed,
                    "left" => ConnectStage::Left,
                    "sent" => {
                        let what = match words.next().as_str() {
                            "identification" => Said::Identification,
                            "key-exchange" => Said::KeyExchange,
                            "farewell" => Said::Disconnect,
                            other => panic!("`{other}` is not said, in `{}`", words.line),
                        };
                        ConnectStage::Sent { what, bytes: 24 }
                    }
                    "kexinit" => ConnectStage::KeyExchange { bytes: 1_000 },
                    "broken" => {
                        let errno = words.parsed();
                        ConnectStage::Broken { errno, error: error(errno) }
                    }
                    "abandoned" => ConnectStage::Abandoned { waited_ms: words.parsed() },
                    other => panic!("`{other}` is no stage, in `{}`", words.line),
                };
                Event::Connect { id, server, client, stage }
            }
            "ask" => {
                let id = words.parsed();
                let probe = match words.next().as_str() {
                    "connect" => KernelProbe::Connect(SocketAddr::new(self.target, 22)),
                    _ => KernelProbe::Echo(self.target),
                };
                Event::KernelProbe { id, probe, hop_limit: words.value("ttl").expect("ttl=") }
            }
            "answer" => {
                let id = words.parsed();
                let what = words.next();
                let answer = match what.split_once('/') {
                    Some((icmp_type, code)) => KernelAnswer::Icmp(QueuedIcmp {
                        from: words.parsed(),
                        icmp_type: icmp_type.parse().unwrap(),
                        code: code.parse().unwrap(),
                    }),
                    None if what == "established" => KernelAnswer::Established,
                    None if what == "failed" => KernelAnswer::Failed { errno: words.parsed() },
                    None => KernelAnswer::EchoReply { from: words.parsed() },
                };
                Event::KernelAnswer { id, answer }
            }
            "capture" => Event::Capture(CaptureCounters {
                interface: "eth0".to_owned(),
                received: 100,
                dropped: words.value("lost").unwrap_or(0),
                interface_dropped: 0,
            }),
            "unprivileged" => Event::Unprivileged { missing: "CAP_NET_RAW".to_owned() },
            "deadline" => Event::Deadline { why: "the test".to_owned() },
            "end" => Event::End { reason: EndReason::Settled },
            other => panic!("`{other}` is no event, in `{}`", words.line),
        }
    }
}

/// The first fragment of a packet that, says this, goes on.
fn half(mut whole: Vec<u8>, identification: u16) -> Vec<u8> {
    if whole[0] >> 4 == 4 {
        whole[6] |= 0x20;
        return whole;
    }
    let payload = u16::from_be_bytes([whole[4], whole[5]]) + 8;
    whole[4..6].copy_from_slice(&payload.to_be_bytes());
    let next = std::mem::replace(&mut whole[6], ip_number::IPV6_FRAG.0);
    let [i0, i1] = identification.to_be_bytes();
    whole.splice(40..40, [next, 0, 0, 1, 0, 0, i0, i1]);
    whole
}

/// The words of a line; each is taken once, and none may be left over.
struct Words {
    line: String,
    rest: Vec<String>,
}

impl Words {
    fn new(line: &str) -> Self {
        let mut rest = vec![String::new()];
        let mut quoted = false;
        for c in line.trim().chars() {
            match c {
                '"' => quoted = !quoted,
                ' ' if !quoted => rest.push(String::new()),
                c => rest.last_mut().expect("never empty").push(c),
            }
        }
        rest.retain(|w| !w.is_empty());
        Self { line: line.to_owned(), rest }
    }

    fn peek(&self) -> &str {
        self.rest.first().unwrap_or_else(|| panic!("too few words in `{}`", self.line))
    }

    fn next(&mut self) -> String {
        self.peek();
        self.rest.remove(0)
    }

    fn parsed<T: FromStr<Err: Debug>>(&mut self) -> T {
        let word = self.next();
        word.parse().unwrap_or_else(|e| panic!("`{word}` in `{}`: {e:?}", self.line))
    }

    fn flag(&mut self, flag: &str) -> bool {
        let at = self.rest.iter().position(|w| w == flag);
        at.map(|at| self.rest.remove(at)).is_some()
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let value = |w: &String| w.strip_prefix(key).is_some_and(|rest| rest.starts_with('='));
        let at = self.rest.iter().position(value)?;
        Some(self.rest.remove(at)[key.len() + 1..].to_owned())
    }

    fn value<T: FromStr<Err: Debug>>(&mut self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        Some(text.parse().unwrap_or_else(|e| panic!("`{key}={text}` in `{}`: {e:?}", self.line)))
    }

    fn done(self) {
        assert!(self.rest.is_empty(), "what is {:?} in `{}`?", self.rest, self.line);
    }
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no address"))
}

fn ip(
    source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    identification: u16,
    traffic_class: u8,
    protocol: IpNumber,
    payload: &[u8],
) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let len = payload.len() as u16;
            let mut header =
                Ipv4Header::new(len, hop_limit, protocol, source.octets(), destination.octets()).unwrap();
            header.identification = identification;
            header.header_checksum = header.calc_header_checksum();
            let mut packet = [header.to_bytes().as_slice(), payload].concat();
            packet[1] = traffic_class;
            packet
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Ipv6Header {
                traffic_class,
                payload_length: payload.len() as u16,
                next_header: protocol,
                hop_limit,
                source: source.octets(),
                destination: destination.octets(),
                ..Ipv6Header::default()
            };
            [header.to_bytes().as_slice(), payload].concat()
        }
        _ => panic!("{source} and {destination} are of two families"),
    }
}

/// The packet of a frame.
fn captured<'a>(frame: &Frame<'a>) -> Packet<'a> {
    decode_captured(frame.link, frame.bytes, frame.original_len).unwrap()
}

/// Feeds a script's frames to `tracker`.
pub(crate) fn feed(tracker: &mut Tracker, script: &Script) {
    for record in script.records() {
        if let Body::Frame(frame) = record.body {
            tracker.push(record.number, record.at, &captured(&frame));
        }
    }
}

/// The attempts of a script, port 22 being the one asked about.
pub(crate) fn attempts(text: &str) -> Vec<Attempt> {
    let mut tracker = Tracker::default();
    feed(&mut tracker, &Script::new(text));
    tracker.finish(22)
}

/// The one attempt of a script.
pub(crate) fn attempt(text: &str) -> Attempt {
    let mut all = attempts(text);
    assert_eq!(all.len(), 1, "attempts");
    all.remove(0)
}

/// The probes of a script to its target.
pub(crate) fn probes(text: &str) -> Vec<Probe> {
    let script = Script::new(text);
    let mut survey = Survey::default();
    for record in script.records() {
        match &record.body {
            Body::Frame(frame) => {
                survey.packet(record.number, record.at, &captured(frame));
            }
            Body::Event(event) => survey.event(record.number, record.at, event),
        }
    }
    let attempts = attempts(text);
    survey.probes(script.target, &attempts, true)
}

/// The path to a script's target, port 22 failing.
pub(crate) fn path(text: &str) -> Path {
    Path::assemble(&probes(text), Script::new(text).target, 22, &Networks::default())
}

/// Everything found in a script.
pub(crate) fn diagnose(text: &str) -> Found {
    found(&Script::new(text))
}

/// The same of a script that was read.
pub(crate) fn found(script: &Script) -> Found {
    let mut diagnosis = Diagnosis::new(Question::default());
    for record in script.records() {
        diagnosis.push(&record);
    }
    Found(diagnosis.finish().expect("a SYN or a trace"))
}

/// Findings, to be asked in words.
#[derive(Debug)]
pub(crate) struct Found(pub(crate) Findings);

impl Found {
    /// The outcome's name.
    pub(crate) fn outcome(&self) -> &'static str {
        self.0.outcome.name()
    }

    /// The names of the rules that found something, in order.
    pub(crate) fn rules(&self) -> String {
        self.0.evidence.iter().map(|e| e.rule).collect::<Vec<_>>().join(" ")
    }

    /// Whether a rule found something.
    pub(crate) fn has(&self, rule: &str) -> bool {
        self.0.evidence.iter().any(|e| e.rule == rule)
    }

    fn evidence(&self, rule: &str) -> &Evidence {
        let found = self.0.evidence.iter().find(|e| e.rule == rule);
        found.unwrap_or_else(|| panic!("{rule} found nothing; these did: {}", self.rules()))
    }

    /// What is left of it without a rule.
    pub(crate) fn without(&self, rule: &str) -> Self {
        assert!(self.has(rule), "{rule} found nothing; these did: {}", self.rules());
        let mut findings = self.0.clone();
        findings.evidence.retain(|e| e.rule != rule);
        let case = Case {
            outcome: findings.outcome,
            path: &findings.path,
            target: findings.target.address,
            port: findings.target.port,
            named: findings.target.name.is_some(),
            contained: false,
            works: false,
            local: false,
            deep: false,
        };
        findings.verdict = eliminate(&case, &findings.evidence);
        Self(findings)
    }

    /// Who stands, in order, how strongly, where, and by which rules; and who is cleared.
    pub(crate) fn suspicion(&self) -> Vec<String> {
        let because = |s: &crate::verdict::Standing| -> Vec<&str> {
            s.because.iter().map(|evidence| self.0.evidence[*evidence].rule).collect()
        };
        let standing = self.0.verdict.standing.iter();
        let standing =
            standing.map(|s| format!("{} {} {:?} {:?}", s.strength.name(), s.suspect, s.hops, because(s)));
        standing.chain(self.cleared().into_iter().map(|name| format!("not {name}"))).collect()
    }

    /// The sentence of a rule.
    pub(crate) fn says(&self, rule: &str) -> &str {
        &self.evidence(rule).says
    }

    /// The numbers of the records that a rule cites.
    pub(crate) fn cites(&self, rule: &str) -> Vec<u64> {
        self.evidence(rule).packets.iter().map(|n| n.0).collect()
    }

    /// What a rule claims: `clears 4-end everyone`, `likely 1 edge-firewall`.
    pub(crate) fn claims(&self, rule: &str) -> Vec<String> {
        self.evidence(rule).claims.iter().map(claim_in_words).collect()
    }

    /// Names of those who stand, in order of suspicion.
    pub(crate) fn standing(&self) -> Vec<&'static str> {
        self.0.verdict.standing.iter().map(|s| s.suspect.name()).collect()
    }

    /// Whether this suspect is spared under this assumption.
    pub(crate) fn is_spared(&self, name: &str, assumption: &str) -> bool {
        let spares = |a: &&Assumed| a.assumption.name() == assumption;
        let found = self.0.verdict.assuming.iter().find(spares);
        found.is_some_and(|a| a.suspects.iter().any(|s| s.name() == name))
    }

    /// Whether this suspect stands.
    pub(crate) fn stands(&self, name: &str) -> bool {
        self.standing().contains(&name)
    }

    /// Hops at which a suspect may stand; panics if it does not stand.
    pub(crate) fn hops(&self, name: &str) -> &[u8] {
        let standing = self.0.verdict.standing.iter().find(|s| s.suspect.name() == name);
        &standing.unwrap_or_else(|| panic!("{name} does not stand; these do: {:?}", self.standing())).hops
    }

    /// Names of those who are cleared, in path order.
    pub(crate) fn cleared(&self) -> Vec<&'static str> {
        self.0.verdict.cleared.iter().map(|s| s.suspect.name()).collect()
    }

    /// The name of the segment that all stand in.
    pub(crate) fn segment(&self) -> Option<&'static str> {
        self.0.verdict.segment.map(Segment::name)
    }
}

fn claim_in_words(claim: &Claim) -> String {
    let place = |place: Place| match place {
        Place::CLIENT => "client".to_owned(),
        Place::END => "end".to_owned(),
        Place(hop) => hop.to_string(),
    };
    let effect = match claim.effect {
        Effect::Clears => "clears",
        Effect::Implicates(strength) => strength.name(),
        Effect::Spares(_) => "spares",
    };
    let places = match (place(claim.from), place(claim.to)) {
        (from, to) if from == to => from,
        (from, to) => format!("{from}-{to}"),
    };
    let whom: Vec<&str> = if claim.suspects == Suspects::all() {
        vec!["everyone"]
    } else if claim.suspects == strangers() {
        vec!["strangers"]
    } else {
        claim.suspects.iter().map(Suspect::name).collect()
    };
    format!("{effect} {places} {}", whom.join(" ")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Icmp, QuotedTransport, SeqNumber, TcpFlags, Transport};

    #[test]
    fn a_line_becomes_the_packet_it_says() {
        let script = Script::new("0.5 > 20000:22 S ttl=3 ts=7/0 | 11/0 10.22.1.1 left=1 qid=5 quote=8 # so");
        let records: Vec<Record<'_>> = script.records().collect();
        assert_eq!(records.len(), 2);
        assert_eq!(records[1].at.since(records[0].at), 3 * MS);
        let Body::Frame(syn) = &records[0].body else { panic!() };
        let syn = decode(syn.link, syn.bytes).unwrap();
        assert_eq!(syn.tcp_destination().unwrap().to_string(), "198.19.0.4:22");
        let Transport::Tcp(tcp) = syn.transport else { panic!() };
        assert_eq!((tcp.flags, tcp.seq, syn.ip.hop_limit.0), (TcpFlags::SYN, SeqNumber(1000), 3));
        assert_eq!(tcp.options.timestamps(), Some((7, 0)));
        assert_eq!(tcp.checksum_ok(&syn.ip), Some(true));
        let Body::Frame(error) = &records[1].body else { panic!() };
        let error = decode(error.link, error.bytes).unwrap();
        assert_eq!((error.ip.source, error.ip.hop_limit.0), (address("10.22.1.1"), 253));
        let Transport::Icmp(Icmp::Error(error)) = error.transport else { panic!() };
        let quoted = error.quoted.unwrap();
        assert_eq!((quoted.identification, quoted.hop_limit.0), (Some(5), 1));
        let QuotedTransport::Tcp(tcp) = quoted.transport else { panic!() };
        assert_eq!((tcp.source_port, tcp.seq, tcp.rest), (20000, SeqNumber(1000), None));
    }

    #[test]
    #[should_panic(expected = "what is [\"tll=3\"]")]
    fn a_word_that_says_nothing_is_an_error() {
        Script::new("0 > S tll=3");
    }
}
