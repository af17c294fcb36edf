//! How long one packet takes to read: `cargo bench --bench decode`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use whichhop::packet::build::{self, Syn};
use whichhop::packet::{LinkType, MacAddr, SeqNumber, Transport, decode};

fn syn(source: &str, destination: &str) -> Vec<u8> {
    build::syn(&Syn {
        flow_label: 5,
        ..Syn::plain(
            source.parse().expect("an endpoint"),
            destination.parse().expect("an endpoint"),
            SeqNumber(0x1234_5678),
        )
    })
}

fn ethernet(packet: &[u8]) -> Vec<u8> {
    build::ethernet(MacAddr([2; 6]), MacAddr([4; 6]), packet)
}

/// A time exceeded that quotes `packet`, an IPv4 packet.
fn time_exceeded(packet: &[u8]) -> Vec<u8> {
    let length = 28 + packet.len() as u8;
    let header = [0x45, 0, 0, length, 0, 0, 0, 0, 64, 1, 0, 0, 10, 22, 1, 1, 10, 22, 0, 1];
    [&header[..], &[11, 0, 0, 0, 0, 0, 0, 0], packet].concat()
}

fn benchmark(c: &mut Criterion) {
    let v4 = syn("10.22.0.1:50022", "198.19.0.4:22");
    let v6 = syn("[fd22::1]:50022", "[2001:db8::4]:22");
    let cooked = [&[0x08, 0, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6, 2, 0, 0, 0, 0, 2, 0, 0], &v4[..]].concat();
    let tagged = [&[2; 12], &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x08, 0][..], &v4].concat();
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    for (name, link, frame) in [
        ("ethernet_v4_tcp", LinkType::ETHERNET, ethernet(&v4)),
        ("ethernet_v6_tcp", LinkType::ETHERNET, ethernet(&v6)),
        ("qinq_v4_tcp", LinkType::ETHERNET, tagged),
        ("sll2_v4_tcp", LinkType::LINUX_SLL2, cooked),
        ("ethernet_icmp_error", LinkType::ETHERNET, ethernet(&time_exceeded(&v4))),
    ] {
        group.bench_function(name, |b| b.iter(|| decode(black_box(link), black_box(&frame)).is_ok()));
    }
    group.bench_function("options_layout", |b| {
        let Ok(packet) = decode(LinkType::RAW, &v4) else { return };
        let Transport::Tcp(tcp) = packet.transport else { return };
        b.iter(|| black_box(tcp).options.layout());
    });
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
