//! How fast recordings are read: `cargo bench --bench recording`. A frame of 80 bytes is typical of a capture
//! made to look at TCP handshakes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use whichhop::packet::LinkType;
use whichhop::recording::{Direction, InterfaceInfo, Reader, Timestamp, Writer};

const FRAMES: u32 = 100_000;
const FRAME: [u8; 80] = [7; 80];

fn pcapng() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("a Vec takes all");
    let info = InterfaceInfo { name: "eth0".to_owned(), link: LinkType::ETHERNET };
    let interface = writer.interface(&info).expect("a Vec takes all");
    for i in 0..FRAMES {
        let at = Timestamp::from_nanos(1_700_000_000_000_000_000 + i64::from(i));
        writer.frame(interface, at, Direction::Inbound, 80, &FRAME).expect("a Vec takes all");
    }
    writer.finish().expect("a Vec takes all")
}

fn pcap() -> Vec<u8> {
    let mut file = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x01\0\0\0".to_vec();
    for i in 0..FRAMES {
        file.extend([1_700_000_000, i % 1_000_000, 80, 80].map(u32::to_le_bytes).concat());
        file.extend(FRAME);
    }
    file
}

/// Reads a whole file; the number of records in it.
fn read(file: &[u8]) -> u64 {
    let mut reader = Reader::new(file).expect("the file is a capture");
    let mut last = 0;
    while let Some(record) = reader.next().expect("the file is whole") {
        last = black_box(record).number.0;
    }
    last
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    for (name, file) in [("pcapng", pcapng()), ("pcap", pcap())] {
        assert_eq!(read(&file), u64::from(FRAMES));
        group.throughput(Throughput::Bytes(file.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| read(black_box(&file))));
    }
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
