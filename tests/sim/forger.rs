//! Somebody off the path who knows client, server, ports and routers, but sees nothing that the client sends: whatever
//! numbers a probe carries, the forger has to guess. Some sit on the client's own link and speak in its name.

use std::net::IpAddr;

use super::rng::Rng;
use super::scenario::Scenario;
use super::wire::{ACK, Body, ErrorKind, FIN, IcmpError, PSH, Packet, RST, SYN, Tcp};

/// Forged packets of one trace.
const PACKETS: u64 = 400;
/// They come within so many ns of the start.
const DURING: u64 = 5_000_000_000;

/// When forged packets reach the client, ns since the start.
pub(crate) fn moments(rng: &mut Rng) -> Vec<i64> {
    let mut moments: Vec<i64> = (0..PACKETS).map(|_| rng.between(1_000_000, DURING) as i64).collect();
    moments.sort_unstable();
    moments
}

/// What the forger sends at one moment; `ports` are the pairs of client and server that the client used so far.
pub(crate) fn forge(scenario: &Scenario, ports: &[(u16, u16)], rng: &mut Rng) -> Vec<Packet> {
    let Some(&(client_port, server_port)) = ports.get(rng.between(0, ports.len().max(1) as u64 - 1) as usize)
    else {
        return vec![];
    };
    let hops: Vec<IpAddr> = scenario.routers.iter().map(|r| r.address).collect();
    let random = |rng: &mut Rng| rng.next() as u32;
    let answer = |rng: &mut Rng, flags: u8, data: &[u8]| {
        let tcp = Tcp {
            source_port: server_port,
            destination_port: client_port,
            seq: random(rng),
            ack: if flags & ACK == 0 { 0 } else { random(rng) },
            flags,
            window: 1000,
            options: vec![],
            data: data.to_vec(),
            bad_checksum: false,
        };
        packet(scenario.vm.address, scenario.client, rng.pick(&[64, 63, 60, 50]), rng, Body::Tcp(tcp))
    };
    let syn = |rng: &mut Rng| Tcp {
        source_port: client_port,
        destination_port: server_port,
        seq: random(rng),
        ack: 0,
        flags: SYN,
        window: 1000,
        options: vec![],
        data: vec![],
        bad_checksum: false,
    };
    let error = |rng: &mut Rng, kind: ErrorKind| {
        let from = if hops.is_empty() { scenario.vm.address } else { rng.pick(&hops) };
        let quote = if rng.chance(70) {
            Body::Tcp(syn(rng))
        } else {
            let (identifier, sequence) = (random(rng) as u16, random(rng) as u16);
            Body::Echo { reply: false, identifier, sequence, data: vec![0; 8] }
        };
        let quote = packet(scenario.client, scenario.vm.address, 1, rng, quote);
        let short = rng.chance(50);
        let body = Body::Error(IcmpError { kind, quote: Box::new(quote), short });
        packet(from, scenario.client, 64, rng, body)
    };
    match rng.between(0, 7) {
        0 => vec![answer(rng, RST | ACK, b"")],
        1 => vec![answer(rng, RST, b"")],
        2 => vec![answer(rng, SYN | ACK, b"")],
        3 => vec![answer(rng, PSH | ACK, b"SSH-2.0-forged\r\n"), answer(rng, FIN | ACK, b"")],
        4 => vec![error(rng, ErrorKind::TimeExceeded)],
        5 => vec![error(rng, ErrorKind::AdminProhibited)],
        6 => {
            let (identifier, sequence) = (random(rng) as u16, random(rng) as u16);
            let body = Body::Echo { reply: true, identifier, sequence, data: vec![0; 8] };
            vec![packet(scenario.vm.address, scenario.client, 64, rng, body)]
        }
        _ => {
            // In the client's name, with an answer that fits.
            let syn = syn(rng);
            let reset = Tcp {
                source_port: server_port,
                destination_port: client_port,
                seq: 0,
                ack: syn.seq.wrapping_add(1),
                flags: RST | ACK,
                ..syn.clone()
            };
            let hop_limit = rng.between(1, 64) as u8;
            vec![
                packet(scenario.client, scenario.vm.address, hop_limit, rng, Body::Tcp(syn)),
                packet(scenario.vm.address, scenario.client, 64, rng, Body::Tcp(reset)),
            ]
        }
    }
}

fn packet(source: IpAddr, destination: IpAddr, ttl: u8, rng: &mut Rng, body: Body) -> Packet {
    Packet {
        source,
        destination,
        ttl,
        tos: 0,
        identification: rng.next() as u16,
        dont_fragment: true,
        half: false,
        flow_label: 0,
        body,
    }
}
