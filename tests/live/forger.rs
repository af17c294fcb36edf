//! Somebody off the path who floods the client with forged answers, and sees nothing that it sends.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pnet::datalink::{self, Channel, Config, DataLinkSender};
use whichhop::packet::{HopLimit, MacAddr, SeqNumber, build};

use crate::lab::{CLIENT, HOPS, Lab, Role, VM};

/// Packets and time of one flood, at most.
const MOST: u64 = 1_500_000;
const LONGEST: Duration = Duration::from_secs(14);

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    /// Resets, SYN/ACKs, data, ICMP errors and echo replies with every port and any number, and SYNs in the client's
    /// own name.
    Forged,
    /// Large datagrams in the VM's name, to crowd the capture.
    Bulk,
}

/// Floods the client from the edge's side of its link while `work` runs; also tells how many packets were sent.
pub(crate) fn flooded<T>(lab: &Lab, flood: Flood, work: impl FnOnce() -> T) -> (T, u64) {
    let mac_of = |role: Role| {
        let eth0 = || datalink::interfaces().into_iter().find(|i| i.name == "eth0").and_then(|i| i.mac);
        MacAddr(lab.node(role).enter(eth0).expect("a namespace").expect("an address").octets())
    };
    let (edge, client) = (mac_of(Role::Edge), mac_of(Role::Client));
    let stop = AtomicBool::new(false);
    let sent = AtomicU64::new(0);
    let result = thread::scope(|scope| {
        let flooder = scope.spawn(|| {
            lab.node(Role::Edge).enter(|| {
                let mut sender = open();
                let mut random = Random(0x1234_5678_9abc_def0);
                let begun = Instant::now();
                while !stop.load(Ordering::Relaxed) && begun.elapsed() < LONGEST {
                    if sent.fetch_add(1, Ordering::Relaxed) >= MOST {
                        break;
                    }
                    let packet = match flood {
                        Flood::Forged => forged(&mut random),
                        Flood::Bulk => bulk(),
                    };
                    // A full queue loses one of very many.
                    let _ = sender.send_to(&build::ethernet(edge, client, &packet), None);
                }
            })
        });
        let result = work();
        stop.store(true, Ordering::Relaxed);
        flooder.join().expect("no panic").expect("a namespace");
        result
    });
    (result, sent.into_inner())
}

fn open() -> Box<dyn DataLinkSender> {
    let eth0 = datalink::interfaces().into_iter().find(|i| i.name == "eth0").expect("it is there");
    let config = Config { write_timeout: Some(Duration::from_millis(5)), ..Config::default() };
    match datalink::channel(&eth0, config).expect("a channel") {
        Channel::Ethernet(sender, _) => sender,
        _ => panic!("no such channel"),
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

const V4: usize = 0;

fn v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => unreachable!("the first family is IPv4"),
    }
}

/// A source port of the client's: the tool's or the kernel's range.
fn client_port(random: &mut Random) -> u16 {
    let port =
        if random.below(2) == 0 { 20_000 + random.below(12_000) } else { 32_768 + random.below(28_232) };
    port as u16
}

fn forged(random: &mut Random) -> Vec<u8> {
    let (vm, client) = (v4(VM[V4]), v4(CLIENT[V4]));
    let port = client_port(random);
    let hop = v4(HOPS[random.below(4) as usize][V4]);
    let (seq, ack) = (random.next() as u32, random.next() as u32);
    match random.below(8) {
        0 => ip(vm, client, 6, &segment(22, port, seq, ack, 0x14, b"")),
        1 => ip(vm, client, 6, &segment(22, port, seq, 0, 0x04, b"")),
        2 => ip(vm, client, 6, &segment(22, port, seq, ack, 0x12, b"")),
        3 => ip(vm, client, 6, &segment(22, port, seq, ack, 0x19, b"SSH-2.0-forged\r\n")),
        4 => error(hop, 11, 0, &quoted(random, port, seq)),
        5 => error(hop, 3, 13, &quoted(random, port, seq)),
        6 => {
            let [id, number] = [random.next() as u16, random.next() as u16];
            let mut echo = vec![0, 0, 0, 0];
            echo.extend(id.to_be_bytes());
            echo.extend(number.to_be_bytes());
            echo.extend([0; 8]);
            ip(vm, client, 1, &checked(echo, 2))
        }
        // In the client's own name, as if its kernel tried again.
        _ => build::syn(&build::Syn {
            hop_limit: HopLimit(1 + random.below(5) as u8),
            window: 1000,
            identification: random.next() as u16,
            timestamp: ack,
            ..build::Syn::plain((client, port).into(), (vm, 22).into(), SeqNumber(seq))
        }),
    }
}

/// A SYN as a router would quote it.
fn quoted(random: &mut Random, port: u16, seq: u32) -> Vec<u8> {
    build::syn(&build::Syn {
        hop_limit: HopLimit(1),
        window: 1000,
        identification: random.next() as u16,
        timestamp: random.next() as u32,
        ..build::Syn::plain((v4(CLIENT[V4]), port).into(), (v4(VM[V4]), 22).into(), SeqNumber(seq))
    })
}

fn error(from: Ipv4Addr, kind: u8, code: u8, quote: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(quote);
    ip(from, v4(CLIENT[V4]), 1, &checked(message, 2))
}

fn bulk() -> Vec<u8> {
    let mut datagram = vec![0, 22, 0x9c, 0x40, 0x04, 0x08, 0, 0];
    datagram.resize(1032, 0);
    ip(v4(VM[V4]), v4(CLIENT[V4]), 17, &datagram)
}

/// A TCP segment without options, its checksum still to come.
fn segment(from: u16, to: u16, seq: u32, ack: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut segment = [from.to_be_bytes(), to.to_be_bytes()].concat();
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    segment.extend([0x50, flags, 0x10, 0, 0, 0, 0, 0]);
    segment.extend_from_slice(data);
    segment
}

fn ip(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0x40, 0, 61, protocol, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    let mut packet = checked(header, 10);
    if protocol == 6 {
        let mut pseudo = [source.octets(), destination.octets()].concat();
        pseudo.extend([0, protocol]);
        pseudo.extend((payload.len() as u16).to_be_bytes());
        let sum = !sum(&[pseudo.as_slice(), payload].concat());
        let mut payload = payload.to_vec();
        payload[16..18].copy_from_slice(&sum.to_be_bytes());
        packet.extend(payload);
    } else {
        packet.extend_from_slice(payload);
    }
    packet
}

/// With the Internet checksum of all of it at `place`.
fn checked(mut bytes: Vec<u8>, place: usize) -> Vec<u8> {
    let sum = !sum(&bytes);
    bytes[place..place + 2].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |b| u32::from(*b)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
