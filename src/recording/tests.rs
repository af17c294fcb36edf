//! The readers and the writer against each other, against files of every foreign shape, and against damage.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::packet::MacAddr;

/// A record that owns what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owned {
    Frame { interface: u32, link: u16, direction: Direction, original_len: u32, bytes: Vec<u8> },
    Event(Event),
}

/// Number, time in ns, digits of the time, body.
type Row = (u64, i64, String, Owned);

fn own(record: &Record<'_>) -> Row {
    let body = match &record.body {
        Body::Event(event) => Owned::Event((**event).clone()),
        Body::Frame(frame) => Owned::Frame {
            interface: frame.interface,
            link: frame.link.0,
            direction: frame.direction,
            original_len: frame.original_len,
            bytes: frame.bytes.to_vec(),
        },
    };
    (record.number.0, record.at.nanos(), record.at.to_string(), body)
}

/// Everything a source holds, and how it ended.
fn read_all(source: impl Read) -> (Vec<Row>, Result<Option<Truncation>, ReadError>) {
    let mut rows = Vec::new();
    let mut reader = match Reader::new(source) {
        Ok(reader) => reader,
        Err(error) => return (rows, Err(error)),
    };
    loop {
        match reader.next() {
            Ok(Some(record)) => rows.push(own(&record)),
            Ok(None) => return (rows, Ok(reader.truncation().cloned())),
            Err(error) => return (rows, Err(error)),
        }
    }
}

/// The records of a file that must be whole.
fn read_whole(file: &[u8]) -> Vec<Row> {
    let (rows, end) = read_all(file);
    assert!(matches!(end, Ok(None)), "{end:?}");
    rows
}

/// Numbers and times of a file that must be whole, as tshark prints `frame.number` and `frame.time_epoch`.
fn numbers_and_times(file: &[u8]) -> Vec<(u64, String)> {
    read_whole(file).into_iter().map(|(number, _, time, _)| (number, time)).collect()
}

/// Files made by hand, in either byte order.
mod make {
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Order {
        pub(super) big: bool,
    }

    pub(super) const LITTLE: Order = Order { big: false };
    pub(super) const BIG: Order = Order { big: true };

    pub(super) const FRAME: [u8; 18] = *b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\x00abcd";

    impl Order {
        pub(super) fn u16(self, n: u16) -> [u8; 2] {
            if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
        }

        pub(super) fn u32(self, n: u32) -> [u8; 4] {
            if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
        }

        pub(super) fn u64(self, n: u64) -> [u8; 8] {
            if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
        }

        pub(super) fn block(self, kind: u32, parts: &[&[u8]]) -> Vec<u8> {
            let mut body = parts.concat();
            body.resize(body.len().next_multiple_of(4), 0);
            let len = self.u32(body.len() as u32 + 12);
            [&self.u32(kind)[..], &len, &body, &len].concat()
        }

        pub(super) fn section(self) -> Vec<u8> {
            self.block(0x0a0d_0d0a, &[&self.u32(0x1a2b_3c4d), &self.u16(1), &self.u16(0), &[0xff; 8]])
        }

        pub(super) fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
            let mut option = [&self.u16(code)[..], &self.u16(value.len() as u16), value].concat();
            option.resize(option.len().next_multiple_of(4), 0);
            option
        }

        pub(super) fn interface(self, link: u16, snaplen: u32, options: &[u8]) -> Vec<u8> {
            self.block(1, &[&self.u16(link), &[0; 2], &self.u32(snaplen), options])
        }

        pub(super) fn enhanced(self, interface: u32, ticks: u64, frame: &[u8], options: &[u8]) -> Vec<u8> {
            let mut data = frame.to_vec();
            data.resize(data.len().next_multiple_of(4), 0);
            let (high, low) = ((ticks >> 32) as u32, ticks as u32);
            let len = self.u32(frame.len() as u32);
            let head = [self.u32(interface), self.u32(high), self.u32(low), len, self.u32(1500)];
            self.block(6, &[&head.concat(), &data, options])
        }

        pub(super) fn simple(self, original_len: u32, frame: &[u8]) -> Vec<u8> {
            self.block(3, &[&self.u32(original_len), frame])
        }

        pub(super) fn obsolete(self, interface: u16, ticks: u64, frame: &[u8], options: &[u8]) -> Vec<u8> {
            let mut data = frame.to_vec();
            data.resize(data.len().next_multiple_of(4), 0);
            let (high, low) = ((ticks >> 32) as u32, ticks as u32);
            let len = self.u32(frame.len() as u32);
            let head = [self.u32(high), self.u32(low), len, self.u32(1500)];
            self.block(2, &[&self.u16(interface), &[0xff; 2], &head.concat(), &data, options])
        }

        pub(super) fn pcap(self, magic: u32, network: u32, frames: &[(u32, u32, &[u8])]) -> Vec<u8> {
            let mut file = [&self.u32(magic)[..], &self.u16(2), &self.u16(4), &[0; 8]].concat();
            file.extend(self.u32(65_535));
            file.extend(self.u32(network));
            for (seconds, ticks, frame) in frames {
                file.extend([*seconds, *ticks, frame.len() as u32, 1500].map(|n| self.u32(n)).concat());
                file.extend_from_slice(frame);
            }
            file
        }
    }
}

use make::{BIG, FRAME, LITTLE};

const T: u64 = 1_600_000_000_000_000;

#[test]
fn pcap_in_all_four_magics() {
    for order in [LITTLE, BIG] {
        for (magic, time) in [(0xa1b2_c3d4, "1600000000.000123"), (0xa1b2_3c4d, "1600000000.000000123")] {
            // The high half of the link type field says that there is a frame check sequence.
            let file =
                order.pcap(magic, 0x2400_0071, &[(1_600_000_000, 123, &FRAME), (u32::MAX, u32::MAX, b"")]);
            let rows = read_whole(&file);
            assert_eq!((rows[0].0, rows[0].2.as_str()), (1, time));
            let frame = Owned::Frame {
                interface: 0,
                link: 113,
                direction: Direction::Unknown,
                original_len: 1500,
                bytes: FRAME.to_vec(),
            };
            assert_eq!(rows[0].3, frame);
            assert_eq!(rows[1].0, 2);
        }
    }
}

/// tshark 4.0.17 was asked for `frame.number` of a file of the same blocks.
#[test]
fn records_are_numbered_as_wireshark_numbers_them() {
    for order in [LITTLE, BIG] {
        let packet = |ticks| order.enhanced(0, T + ticks, &FRAME, &[]);
        let custom = |kind, enterprise: u32| order.block(kind, &[&order.u32(enterprise), b"whatever"]);
        let sysdig = |kind| order.block(kind, &[&[0; 2], &order.u64(1_600_000_000_000_000_999), &[0; 24]]);
        let blocks = [
            order.section(),
            order.interface(1, 0, &[]),
            packet(0),
            order.block(9, &[b"__REALTIME_TIMESTAMP=1600000000000002\nMESSAGE=hi\n"]),
            order.block(9, &[b"MESSAGE=without a time, but long enough\n"]),
            order.block(4, &[&order.u16(0), &order.u16(0)]),
            order.block(5, &[&[0; 12]]),
            order.block(10, &[&[0; 8]]),
            custom(0xbad, 32_473),
            custom(0x4000_0bad, 32_473),
            order.block(7, &[]),
            order.block(0xdead_beef, &[b"12345678"]),
            order.block(0x201, &[]),
            order.block(0x208, &[]),
            sysdig(0x204),
            sysdig(0x216),
            sysdig(0x221),
            order.simple(18, &FRAME),
            order.obsolete(0, T + 5, &FRAME, &[]),
            order.section(),
            order.interface(1, 0, &[]),
            packet(6),
        ];
        let expected = [
            (1, "1600000000.000000"),
            (2, "1600000000.000002"),
            // Without a time, tshark prints none: here it is that of the record before.
            (3, "1600000000.000002"),
            (4, "1600000000.000002"),
            (5, "1600000000.000002"),
            (6, "1600000000.000000999"),
            (7, "1600000000.000000999"),
            (8, "1600000000.000000999"),
            (9, "1600000000.000000999"),
            (10, "1600000000.000005"),
            (11, "1600000000.000006"),
        ];
        let read = numbers_and_times(&blocks.concat());
        assert_eq!(read, expected.map(|(number, time)| (number, time.to_owned())));
    }
}

/// The expected times are those tshark 4.0.17 prints, but for three cases in which it does not follow the
/// draft: it mangles fractions finer than a nanosecond, and the finest binary ones.
#[test]
fn times_follow_the_resolution_and_offset_of_the_interface() {
    let cases: [(&[u8], Option<i64>, u64, &str); 18] = [
        (&[], None, T, "1600000000.000000"),
        (&[0], None, 1_600_000_000, "1600000000"),
        (&[3], None, 1_600_000_000_123, "1600000000.123"),
        (&[6], Some(1_600_000_000), 5_000_000, "1600000005.000000"),
        (&[6], Some(-3), 5_000_000, "2.000000"),
        (&[6], Some(-30), 5_000_000, "-25.000000"),
        (&[9], None, 1_600_000_000_123_456_789, "1600000000.123456789"),
        (&[9], None, -1_500_000_000_i64 as u64, "-1.500000000"),
        (&[9], Some(1), u64::MAX, "9223372036.854775807"),
        (&[12], None, 1_600_000_123_456_789_012, "1600000.123456789"),
        (&[0x80], None, 1_600_000_000, "1600000000.000000000"),
        (&[0x94], None, (1_600_000_000 << 20) + (3 << 18), "1600000000.750000000"),
        (&[0x9e], None, (1_600_000_000 << 30) + 12_345, "1600000000.000011497"),
        (&[0xbf], None, 1 << 62, "0.500000000"),
        (&[0xff], None, u64::MAX, "0.000000000"),
        (&[0x7f], None, u64::MAX, "0.000000000"),
        (&[6], Some(i64::MAX), u64::MAX, "9223372036.854775"),
        (&[6], Some(i64::MIN), u64::MAX, "-9223372036.854775"),
    ];
    for order in [LITTLE, BIG] {
        for (resolution, offset, ticks, expected) in cases {
            let mut options = Vec::new();
            if !resolution.is_empty() {
                options.extend(order.option(9, resolution));
            }
            if let Some(offset) = offset {
                options.extend(order.option(14, &order.u64(offset as u64)));
            }
            let packet = order.enhanced(0, ticks, &FRAME, &[]);
            let file = [order.section(), order.interface(1, 0, &options), packet].concat();
            assert_eq!(numbers_and_times(&file), [(1, expected.to_owned())], "{resolution:?} {offset:?}");
        }
    }
}

/// Frames lost, as a file that must be whole tells them.
fn lost(file: &[u8]) -> u64 {
    let mut reader = Reader::new(file).unwrap();
    while reader.next().unwrap().is_some() {}
    assert_eq!(reader.truncation(), None);
    reader.lost()
}

#[test]
fn lost_frames_are_counted_however_the_capture_tells_of_them() {
    for order in [LITTLE, BIG] {
        let start = [order.section(), order.interface(1, 0, &[]), order.interface(1, 0, &[])].concat();
        let dropped =
            |interface, count: u64| order.enhanced(interface, T, &FRAME, &order.option(4, &order.u64(count)));
        let statistics = |interface, ifdrop: u64, osdrop: u64| {
            let drops = [order.option(5, &order.u64(ifdrop)), order.option(7, &order.u64(osdrop))].concat();
            order.block(5, &[&order.u32(interface), &[0; 8], &order.option(4, &order.u64(99)), &drops])
        };
        let file = |blocks: &[Vec<u8>]| [start.clone(), blocks.concat()].concat();
        assert_eq!(lost(&file(&[dropped(0, 0), statistics(0, 0, 0)])), 0);
        assert_eq!(lost(&file(&[dropped(0, 3), dropped(1, 4), dropped(0, 2)])), 9);
        // Those of an interface that come last are of all its frames.
        assert_eq!(lost(&file(&[statistics(0, 1, 1), dropped(0, 3), statistics(0, 2, 5)])), 7);
        assert_eq!(lost(&file(&[dropped(0, 30), statistics(0, 2, 5), statistics(1, 1, 0)])), 31);
        // All ones: not known.
        assert_eq!(lost(&file(&[dropped(0, u64::MAX), order.obsolete(0, T, &FRAME, &[])])), 0);
        // A section on its own, and an interface that was never described.
        assert_eq!(lost(&[file(&[dropped(0, 3)]), file(&[dropped(0, 4), statistics(9, 1, 1)])].concat()), 7);
        assert_eq!(lost(&order.pcap(0xa1b2_c3d4, 1, &[(1, 2, &FRAME)])), 0);
    }
}

#[test]
fn interfaces_are_counted_across_sections_and_keep_their_own_clocks() {
    let file = [
        BIG.section(),
        BIG.interface(1, 0, &[]),
        BIG.interface(113, 0, &BIG.option(9, &[3])),
        BIG.enhanced(1, 5, &FRAME, &[]),
        LITTLE.section(),
        LITTLE.interface(101, 0, &LITTLE.option(9, &[0])),
        LITTLE.enhanced(0, 5, &FRAME, &[]),
    ];
    let rows = read_whole(&file.concat());
    let read: Vec<_> = rows
        .iter()
        .map(|(_, _, time, body)| match body {
            Owned::Frame { interface, link, .. } => (*interface, *link, time.as_str()),
            Owned::Event(_) => panic!("no event was written"),
        })
        .collect();
    assert_eq!(read, [(1, 113, "0.005"), (2, 101, "5")]);
}

#[test]
fn direction_comes_from_the_flags() {
    for order in [LITTLE, BIG] {
        let comment = order.option(1, b"odd");
        for (flags, direction) in
            [(0, Direction::Unknown), (1, Direction::Inbound), (0x1fe, Direction::Outbound)]
        {
            let flags = [comment.clone(), order.option(2, &order.u32(flags)), order.option(0, &[])].concat();
            for packet in [order.enhanced(0, 0, &FRAME, &flags), order.obsolete(0, 0, &FRAME, &flags)] {
                let file = [order.section(), order.interface(1, 0, &[]), packet].concat();
                let Owned::Frame { direction: read, bytes, .. } = &read_whole(&file)[0].3 else { panic!() };
                assert_eq!((*read, &bytes[..]), (direction, &FRAME[..]));
            }
        }
    }
}

#[test]
fn a_simple_packet_is_cut_at_the_snapshot_length() {
    let file = [LITTLE.section(), LITTLE.interface(1, 5, &[]), LITTLE.simple(18, &FRAME[..5])].concat();
    let Owned::Frame { original_len, bytes, .. } = &read_whole(&file)[0].3 else { panic!() };
    assert_eq!((*original_len, &bytes[..]), (18, &FRAME[..5]));
}

#[test]
fn a_length_without_padding_is_forgiven_as_wireshark_forgives_it() {
    let mut packet = LITTLE.enhanced(0, 0, &FRAME, &[]);
    let len = packet.len();
    let unpadded = (len as u32 - 2).to_le_bytes();
    packet[4..8].copy_from_slice(&unpadded);
    packet[len - 4..].copy_from_slice(&unpadded);
    let file = [LITTLE.section(), LITTLE.interface(1, 0, &[]), packet.clone(), packet].concat();
    assert_eq!(read_whole(&file).len(), 2);
}

/// A source that gives zeros after its bytes, so that a long block need not be held.
fn long_block(kind: u32, len: u32) -> impl Read {
    let start = [LITTLE.section(), LITTLE.interface(1, 0, &[]), LITTLE.enhanced(0, 0, &FRAME, &[])].concat();
    let head = [kind.to_le_bytes(), len.to_le_bytes()].concat();
    let end = [len.to_le_bytes().to_vec(), LITTLE.enhanced(0, 1, &FRAME, &[])].concat();
    io::Cursor::new([start, head].concat())
        .chain(io::repeat(0).take(u64::from(len) - 12))
        .chain(io::Cursor::new(end))
}

#[test]
fn long_blocks_are_passed_over_unless_they_would_hold_a_record() {
    let (rows, end) = read_all(long_block(0x77, 40 << 20));
    assert_eq!((rows.len(), end.unwrap()), (2, None));
    let (rows, end) = read_all(long_block(6, 40 << 20));
    let end = end.unwrap().unwrap();
    assert_eq!((rows.len(), end.offset), (1, 28 + 20 + 52));
    assert!(end.what.contains("41943040"), "{end}");
    // 16 MiB is still held, and found to hold nothing.
    let (rows, end) = read_all(long_block(9, 16 << 20));
    assert_eq!((rows.len(), end.unwrap()), (3, None));
}

#[test]
fn what_is_no_capture_is_told_apart() {
    let error = |file: &[u8]| Reader::new(file).err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(error(b""), "the file is empty");
    assert_eq!(
        error(b"GET / HTTP/1.1\r\nHost: example"),
        "not a capture: it begins with 47 45 54 20 2f 20 48 54, where pcap or pcapng has its magic number"
    );
    assert!(error(b"\n").contains("begins with 0a,"));
    for (start, name) in [
        (&b"\x1f\x8b\x08"[..], "gzip"),
        (b"\x28\xb5\x2f\xfd\0", "zstd"),
        (b"\xfd7zXZ\0\0", "xz"),
        (b"BZh9", "bzip2"),
    ] {
        let expected =
            format!("not a capture: it is {name}-compressed: decompress it first, with `{name} -dc`");
        assert_eq!(error(start), expected);
    }
    let pcap = LITTLE.pcap(0xa1b2_c3d4, 1, &[]);
    assert_eq!(
        error(&pcap[..20]),
        "damaged at byte 0: the file ends within the pcap header: 20 of 24 bytes are there"
    );
    let section = LITTLE.section();
    assert!(
        error(&section[..20]).contains("within a section header block: 20 of 28"),
        "{}",
        error(&section[..20])
    );
    let mut old = pcap;
    old[4] = 1;
    assert!(error(&old).contains("pcap version 1.4"));
    let mut new = section;
    new[12] = 2;
    assert!(error(&new).contains("pcapng version 2.0"));
}

#[test]
fn damage_is_an_error_only_where_nothing_came_before_it() {
    let start = [LITTLE.section(), LITTLE.interface(1, 0, &[])].concat();
    let good = LITTLE.enhanced(0, 0, &FRAME, &[]);
    let mut mismatch = good.clone();
    *mismatch.last_mut().unwrap() = 1;
    let mut overfull = good.clone();
    overfull[20] = 200;
    let cases: [(Vec<u8>, &str); 6] = [
        (LITTLE.enhanced(3, 0, &FRAME, &[]), "names interface 3, where the section has described 1"),
        (mismatch, "52 bytes at its start and 16777268 at its end"),
        (overfull, "its 200 captured bytes do not fit"),
        (vec![0; 12], "a block of type 0x0 says it has 0 bytes"),
        (LITTLE.block(6, &[]), "its fixed fields are cut short"),
        (LITTLE.block(0x0a0d_0d0a, &[&[0; 16]]), "byte-order magic 00000000"),
    ];
    for (bad, what) in cases {
        let (rows, end) = read_all(&[&start[..], &bad, &good].concat()[..]);
        assert!(rows.is_empty());
        let Err(ReadError::Damaged { offset: 48, what: said }) = end else { panic!("{end:?}") };
        assert!(said.contains(what), "{said}");
        let (rows, end) = read_all(&[&start[..], &good, &bad, &good].concat()[..]);
        assert_eq!(rows.len(), 1);
        let end = end.unwrap().unwrap();
        assert_eq!(end.offset, 100);
        assert!(end.what.contains(what), "{end}");
    }
    let file = LITTLE.pcap(0xa1b2_c3d4, 1, &[(0, 0, &FRAME), (0, 0, &vec![0; 300_000])]);
    let (rows, end) = read_all(&file[..]);
    assert_eq!(rows.len(), 1);
    let end = end.unwrap().unwrap();
    assert_eq!((end.offset, end.what.contains("300000 captured bytes")), (24 + 16 + 18, true));
}

#[test]
fn a_source_that_fails_is_an_error_and_may_be_asked_again() {
    /// Fails once, in the middle.
    struct Hiccup(Vec<u8>, usize, bool);
    impl Read for Hiccup {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.1 >= 60 && !std::mem::replace(&mut self.2, true) {
                return Err(io::Error::other("unplugged"));
            }
            let n = into.len().min(60).min(self.0.len() - self.1);
            into[..n].copy_from_slice(&self.0[self.1..self.1 + n]);
            self.1 += n;
            Ok(n)
        }
    }
    let start = [LITTLE.section(), LITTLE.interface(1, 0, &[])].concat();
    let file = [start, LITTLE.enhanced(0, 0, &FRAME, &[])].concat();
    let mut reader = Reader::new(Hiccup(file, 0, false)).unwrap();
    assert_eq!(reader.next().unwrap_err().to_string(), "unplugged");
    assert_eq!(reader.next().unwrap().unwrap().number, RecordNumber(1));
    assert!(reader.next().unwrap().is_none());
    assert_eq!(reader.truncation(), None);
}

// ---- The writer ----

/// Keeps what it was given, each write by itself, and fails once it is full.
#[derive(Default)]
struct Sink {
    writes: Vec<Vec<u8>>,
    room: Option<usize>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let held: usize = self.writes.iter().map(Vec::len).sum();
        let take = self.room.map_or(bytes.len(), |room| bytes.len().min(room - held));
        if take == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.writes.push(bytes[..take].to_vec());
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ethernet(name: &str) -> InterfaceInfo {
    InterfaceInfo { name: name.to_owned(), link: LinkType::ETHERNET }
}

/// A small recording with every kind of block in it.
fn sample<W: Write>(sink: W) -> io::Result<W> {
    let at = Timestamp::from_nanos(1_700_000_000_123_456_789);
    let mut writer = Writer::new(sink)?;
    writer.event(at, &Event::Deadline { why: "before any interface".into() })?;
    writer.interface(&ethernet("eth0"))?;
    writer.frame(0, at.plus(1), Direction::Outbound, 1500, &FRAME)?;
    writer.interface(&InterfaceInfo { name: "tun0".into(), link: LinkType::RAW })?;
    writer.frame(1, at.plus(2), Direction::Inbound, 18, &FRAME[..17])?;
    writer.frame(0, at.plus(3), Direction::Unknown, 0, &[])?;
    let counters =
        CaptureCounters { interface: "tun0".into(), received: 1, dropped: 2, interface_dropped: 3 };
    writer.event(at.plus(4), &Event::Capture(counters))?;
    writer.event(at.plus(5), &Event::End { reason: EndReason::Settled })?;
    writer.finish()
}

#[test]
fn the_bytes_of_a_recording() {
    let sink = sample(Sink::default()).unwrap();
    let kinds: Vec<_> = sink.writes.iter().map(|block| block[0]).collect();
    assert_eq!(kinds, [0x0a, 9, 1, 6, 1, 6, 6, 9, 9, 5]);
    for block in &sink.writes {
        let len = (block.len() as u32).to_le_bytes();
        assert_eq!((&block[4..8], &block[block.len() - 4..]), (&len[..], &len[..]));
    }
    assert_eq!(
        sink.writes[2],
        *b"\x01\0\0\0\x28\0\0\0\x01\0\0\0\0\0\0\0\x02\0\x04\0eth0\x09\0\x01\0\x09\0\0\0\0\0\0\0\x28\0\0\0"
    );
    let packet = [
        &b"\x06\0\0\0\x40\0\0\0\0\0\0\0"[..],
        // 1 700 000 000 123 456 790 ns, the high half first.
        b"\xfe\x9c\x97\x17\x16\xcd\x85\x3d",
        b"\x12\0\0\0\xdc\x05\0\0",
        &FRAME,
        b"\0\0\x02\0\x04\0\x02\0\0\0\0\0\0\0\x40\0\0\0",
    ]
    .concat();
    assert_eq!(sink.writes[3], packet);
}

/// A parser that is not ours finds the same blocks.
#[test]
fn another_parser_reads_the_same_blocks() {
    use pcap_parser::{Block, PcapBlockOwned, PcapError, PcapNGReader, traits::PcapReaderIterator};
    let file = sample(Vec::new()).unwrap();
    let mut reader = PcapNGReader::new(65_536, &file[..]).unwrap();
    let mut seen = Vec::new();
    loop {
        match reader.next() {
            Ok((len, PcapBlockOwned::NG(block))) => {
                seen.push(match block {
                    Block::SectionHeader(b) => {
                        assert!(b.shb_userappl().unwrap().unwrap().starts_with("whichhop "));
                        "section".to_owned()
                    }
                    Block::InterfaceDescription(b) => {
                        format!("{} {} {}", b.if_name().unwrap().unwrap(), b.linktype.0, b.if_tsresol)
                    }
                    Block::EnhancedPacket(b) => {
                        format!("packet {} {:?} {}", b.if_id, b.decode_ts(0, 1_000_000_000), b.options.len())
                    }
                    Block::SystemdJournalExport(b) => {
                        assert!(b.data.starts_with(b"__REALTIME_TIMESTAMP=1700000000123456\nMESSAGE="));
                        "journal".to_owned()
                    }
                    Block::InterfaceStatistics(b) => format!("statistics {} {}", b.if_id, b.options.len()),
                    other => format!("{other:?}"),
                });
                reader.consume(len);
            }
            Ok(_) => panic!("not pcapng"),
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(PcapError::Eof) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let expected = [
        "section",
        "journal",
        "eth0 1 9",
        "packet 0 (1700000000, 123456790) 2",
        "tun0 101 9",
        "packet 1 (1700000000, 123456791) 2",
        "packet 0 (1700000000, 123456792) 0",
        "journal",
        "journal",
        "statistics 1 4",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_recording_cut_anywhere_is_read_up_to_its_last_whole_block() {
    let blocks = sample(Sink::default()).unwrap().writes;
    let file = blocks.concat();
    let all = read_whole(&file);
    assert_eq!(all.len(), 6);
    for cut in 0..file.len() {
        let (rows, end) = read_all(&file[..cut]);
        let (mut whole, mut records) = (0, 0);
        for block in &blocks {
            if whole + block.len() > cut {
                break;
            }
            whole += block.len();
            records += usize::from(matches!(block[0], 6 | 9));
        }
        assert_eq!(rows, all[..records], "cut at {cut}");
        match end {
            Ok(None) => assert_eq!(whole, cut),
            Ok(Some(end)) => {
                assert_eq!(end.offset, whole as u64);
                assert!(end.what.contains(&format!("{} of", cut - whole)), "{end}");
            }
            Err(_) => assert!(cut < blocks[0].len()),
        }
    }
}

#[test]
fn a_full_disk_leaves_what_was_written_readable() {
    let whole = sample(Sink::default()).unwrap();
    let file = whole.writes.concat();
    for room in 0..file.len() {
        let mut sink = Sink { room: Some(room), ..Sink::default() };
        assert_eq!(sample(&mut sink).err().map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
        assert_eq!(sink.writes.concat(), file[..room]);
    }
}

#[test]
fn after_an_error_nothing_more_is_written() {
    let mut sink = Sink { room: Some(200), ..Sink::default() };
    let mut writer = Writer::new(&mut sink).unwrap();
    let deadline = Event::Deadline { why: "x".repeat(300) };
    assert!(writer.event(Timestamp::from_nanos(0), &deadline).is_err());
    let error = writer.interface(&ethernet("eth0")).unwrap_err();
    assert!(error.to_string().contains("earlier error"));
    assert!(writer.finish().is_ok(), "there was nothing left to write");
    assert_eq!(sink.writes.concat().len(), 200);
}

#[test]
fn input_that_cannot_be_recorded_is_refused_and_the_recording_goes_on() {
    let at = Timestamp::from_nanos(i64::MIN);
    let mut writer = Writer::new(Vec::new()).unwrap();
    let refused =
        |result: io::Result<RecordNumber>| result.unwrap_err().kind() == io::ErrorKind::InvalidInput;
    assert!(refused(writer.frame(0, at, Direction::Unknown, 0, &[])));
    writer.interface(&ethernet(&"long".repeat(40_000))).unwrap();
    assert!(refused(writer.frame(0, at, Direction::Unknown, 0, &vec![0; 262_145])));
    assert!(refused(writer.event(at, &Event::Deadline { why: "x".repeat(262_145) })));
    assert_eq!(writer.frame(0, at, Direction::Unknown, 0, &vec![0; 262_144]).unwrap(), RecordNumber(1));
    assert_eq!(writer.event(at, &Event::Unknown).unwrap(), RecordNumber(2));
    let rows = read_whole(&writer.finish().unwrap());
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].1, rows[1].1), (i64::MIN, i64::MIN));
}

#[test]
fn a_sentence_stays_on_its_line() {
    let nasty = "a\nb\u{1b}[31m\u{202e}\0".to_owned();
    let event = Event::SendFailed { interface: nasty.clone(), errno: 1, error: nasty };
    let said = event.to_string();
    assert!(said.starts_with(r"a probe could not be sent on a\u{a}b\u{1b}[31m\u{202e}\u{0}: "), "{said}");
}

#[test]
fn events_are_said_in_one_sentence_each() {
    let server: SocketAddr = "[fd22::4]:22".parse().unwrap();
    let target = Target {
        name: Some("vm1".into()),
        addresses: vec![server.ip(), Ipv4Addr::LOCALHOST.into()],
        port: 22,
    };
    let start = Start {
        version: "0.1.0".into(),
        seed: 1,
        target,
        captured: false,
        edge_nets: vec![],
        azure_nets: vec![],
        deep: false,
        deadline_ms: 1,
        banner_wait_ms: 1,
        uid: 0,
        contained: false,
    };
    assert_eq!(
        Event::Start(Box::new(start)).to_string(),
        "whichhop 0.1.0 begins to trace vm1 at fd22::4, 127.0.0.1 port 22, without capturing frames"
    );
    let stage = ConnectStage::Failed { errno: 111, error: "ECONNREFUSED".into() };
    assert_eq!(
        Event::Connect { id: 0, server, client: None, stage }.to_string(),
        "connection 0 to [fd22::4]:22: connect(2) failed: ECONNREFUSED (errno 111)"
    );
    let answer = KernelAnswer::Icmp { from: Ipv4Addr::new(10, 22, 1, 1).into(), icmp_type: 11, code: 0 };
    assert_eq!(
        Event::KernelAnswer { id: 3, answer }.to_string(),
        "kernel probe 3: ICMP type 11 code 0 from 10.22.1.1"
    );
}

// ---- Anything ----

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<Ipv4Addr>().prop_map(IpAddr::V4), any::<Ipv6Addr>().prop_map(IpAddr::V6)]
}

fn any_socket() -> impl Strategy<Value = SocketAddr> {
    (any_address(), any::<u16>()).prop_map(|(address, port)| SocketAddr::new(address, port))
}

fn any_net() -> impl Strategy<Value = ipnet::IpNet> {
    (any_address(), any::<u8>()).prop_map(|(address, len)| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        ipnet::IpNet::new(address, len % (bits + 1)).expect("the length is within bounds")
    })
}

fn any_start() -> impl Strategy<Value = Event> {
    let target = (option::of(any::<String>()), vec(any_address(), 0..4), any::<u16>())
        .prop_map(|(name, addresses, port)| Target { name, addresses, port });
    let nets = (vec(any_net(), 0..3), vec(any_net(), 0..3));
    let rest = (any::<bool>(), any::<bool>(), any::<u64>(), any::<u64>(), any::<u32>(), any::<bool>());
    (any::<String>(), any::<u64>(), target, nets, rest).prop_map(
        |(
            version,
            seed,
            target,
            (edge_nets, azure_nets),
            (captured, deep, deadline_ms, banner_wait_ms, uid, contained),
        )| {
            Event::Start(Box::new(Start {
                version,
                seed,
                target,
                captured,
                edge_nets,
                azure_nets,
                deep,
                deadline_ms,
                banner_wait_ms,
                uid,
                contained,
            }))
        },
    )
}

fn any_route() -> impl Strategy<Value = Event> {
    let mac = option::of(any::<[u8; 6]>().prop_map(MacAddr));
    let error = option::of(any::<String>());
    (
        any_address(),
        option::of(any::<String>()),
        option::of(any_address()),
        option::of(any_address()),
        mac,
        error,
    )
        .prop_map(|(destination, interface, gateway, source, mac, error)| {
            Event::Route(Route { destination, interface, gateway, source, mac, error })
        })
}

fn any_stage() -> impl Strategy<Value = ConnectStage> {
    prop_oneof![
        Just(ConnectStage::Started),
        Just(ConnectStage::Established),
        (any::<i32>(), any::<String>()).prop_map(|(errno, error)| ConnectStage::Failed { errno, error }),
        any::<Vec<u8>>().prop_map(|bytes| ConnectStage::Received { data: escape_bytes(&bytes) }),
        Just(ConnectStage::Closed),
        (any::<i32>(), any::<String>()).prop_map(|(errno, error)| ConnectStage::Broken { errno, error }),
        any::<u64>().prop_map(|waited_ms| ConnectStage::Abandoned { waited_ms }),
    ]
}

fn any_answer() -> impl Strategy<Value = KernelAnswer> {
    prop_oneof![
        (any_address(), any::<u8>(), any::<u8>()).prop_map(|(from, icmp_type, code)| KernelAnswer::Icmp {
            from,
            icmp_type,
            code
        }),
        Just(KernelAnswer::Established),
        any::<i32>().prop_map(|errno| KernelAnswer::Failed { errno }),
        any_address().prop_map(|from| KernelAnswer::EchoReply { from }),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let probe =
        prop_oneof![any_socket().prop_map(KernelProbe::Connect), any_address().prop_map(KernelProbe::Echo),];
    let counters = (any::<String>(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
        |(interface, received, dropped, interface_dropped)| CaptureCounters {
            interface,
            received,
            dropped,
            interface_dropped,
        },
    );
    let reason = prop::sample::select(vec![
        EndReason::Settled,
        EndReason::Deadline,
        EndReason::Interrupted,
        EndReason::Failed,
    ]);
    prop_oneof![
        any_start(),
        any_route(),
        (any::<u32>(), any_socket(), option::of(any_socket()), any_stage())
            .prop_map(|(id, server, client, stage)| Event::Connect { id, server, client, stage }),
        (any::<u32>(), probe, any::<u8>()).prop_map(|(id, probe, hop_limit)| Event::KernelProbe {
            id,
            probe,
            hop_limit
        }),
        (any::<u32>(), any_answer()).prop_map(|(id, answer)| Event::KernelAnswer { id, answer }),
        (any::<String>(), any::<i32>(), any::<String>())
            .prop_map(|(interface, errno, error)| Event::SendFailed { interface, errno, error }),
        counters.prop_map(Event::Capture),
        (any::<String>(), any::<String>())
            .prop_map(|(interface, error)| Event::CaptureLost { interface, error }),
        any::<String>().prop_map(|missing| Event::Unprivileged { missing }),
        any::<String>().prop_map(|why| Event::Deadline { why }),
        reason.prop_map(|reason| Event::End { reason }),
        Just(Event::Unknown),
    ]
}

fn any_body() -> impl Strategy<Value = Owned> {
    let direction = prop::sample::select(vec![Direction::Unknown, Direction::Inbound, Direction::Outbound]);
    let frame = (0..3_u32, direction, any::<u32>(), vec(any::<u8>(), 0..200)).prop_map(
        |(interface, direction, original_len, bytes)| Owned::Frame {
            interface,
            // The link types that `write` gives its interfaces.
            link: [1, 101, 276][interface as usize],
            direction,
            original_len,
            bytes,
        },
    );
    prop_oneof![frame, any_event().prop_map(Owned::Event)]
}

/// Writes records, with interfaces described as they are first needed; checks the numbers on the way.
fn write(records: &[(i64, Owned)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    let mut described = 0;
    for (i, (nanos, body)) in records.iter().enumerate() {
        let at = Timestamp::from_nanos(*nanos);
        let number = match body {
            Owned::Event(event) => writer.event(at, event),
            Owned::Frame { interface, direction, original_len, bytes, .. } => {
                while described <= *interface {
                    let link = LinkType([1, 101, 276][described as usize]);
                    assert_eq!(
                        writer.interface(&InterfaceInfo { name: "x".into(), link }).unwrap(),
                        described
                    );
                    described += 1;
                }
                writer.frame(*interface, at, *direction, *original_len, bytes)
            }
        };
        assert_eq!(number.unwrap(), RecordNumber(i as u64 + 1));
    }
    writer.finish().unwrap()
}

/// Whole files of foreign make.
fn any_foreign_file() -> impl Strategy<Value = Vec<u8>> {
    let order = prop::sample::select(vec![LITTLE, BIG]);
    let pcap = (order.clone(), vec((any::<u32>(), any::<u32>(), vec(any::<u8>(), 0..60)), 0..6)).prop_map(
        |(order, frames)| {
            let frames: Vec<_> = frames.iter().map(|(s, t, bytes)| (*s, *t, &bytes[..])).collect();
            order.pcap(0xa1b2_3c4d, 1, &frames)
        },
    );
    let block = (any::<u8>(), any::<u64>(), vec(any::<u8>(), 0..60));
    let sections = vec((order, vec(block, 0..6)), 1..4).prop_map(|sections| {
        let mut file = Vec::new();
        for (order, blocks) in sections {
            file.extend(order.section());
            file.extend(order.interface(1, 0, &order.option(9, &[9])));
            for (kind, ticks, bytes) in blocks {
                file.extend(match kind % 8 {
                    0 | 1 => order.enhanced(0, ticks, &bytes, &order.option(2, &order.u32(1))),
                    2 => order.simple(bytes.len() as u32, &bytes),
                    3 => order.obsolete(0, ticks, &bytes, &[]),
                    4 => order.block(9, &[&bytes]),
                    5 => order.block(0xbad, &[&order.u32(1), &bytes]),
                    6 => order.block(0x204, &[&bytes]),
                    _ => order.block(u32::from(kind) + 11, &[&bytes]),
                });
            }
        }
        file
    });
    prop_oneof![pcap, sections]
}

/// Any file: made here or elsewhere.
fn any_file() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec((any::<i64>(), any_body()), 0..6).prop_map(|records| write(&records)), any_foreign_file()]
}

/// Records of a file, each with the offset at which its block ends: as many as a cut there leaves.
fn ends_of_records(file: &[u8]) -> Vec<(usize, Row)> {
    let rows = read_whole(file);
    let mut ends = Vec::new();
    for cut in 0..=file.len() {
        if ends.len() < read_all(&file[..cut]).0.len() {
            ends.push(cut);
        }
    }
    assert_eq!(ends.len(), rows.len());
    ends.into_iter().zip(rows).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read(records in vec((any::<i64>(), any_body()), 0..20)) {
        let read = read_whole(&write(&records));
        prop_assert_eq!(read.len(), records.len());
        for ((i, (nanos, body)), (number, read_nanos, _, read_body)) in records.into_iter().enumerate().zip(read) {
            prop_assert_eq!((i as u64 + 1, nanos, body), (number, read_nanos, read_body));
        }
    }

    #[test]
    fn a_sentence_never_holds_a_control_character(event in any_event()) {
        let said = event.to_string();
        prop_assert!(!said.is_empty() && !said.chars().any(char::is_control), "{:?}", said);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..300), magic in 0..5_usize) {
        let magics: [&[u8]; 5] = [
            b"",
            b"\xd4\xc3\xb2\xa1\x02\0\x04\0",
            b"\xa1\xb2\x3c\x4d\0\x02\0\x04",
            b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\0\0\0\0\0\0\0\0\x1c\0\0\0",
            b"\x0a\x0d\x0d\x0a\0\0\0\x1c\x1a\x2b\x3c\x4d\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x1c",
        ];
        let (rows, _) = read_all(&[magics[magic], &bytes].concat()[..]);
        prop_assert!(rows.len() <= bytes.len() / 12);
    }

    /// Blocks with sound lengths and any content reach the parsers behind the length checks.
    #[test]
    fn any_blocks_are_read_without_a_panic(
        blocks in vec((prop::sample::select(vec![1_u32, 2, 3, 4, 5, 6, 9, 0xbad, 0x204, 77]), vec(any::<u8>(), 0..80)), 0..8),
        big: bool,
    ) {
        let order = if big { BIG } else { LITTLE };
        let mut file = [order.section(), order.interface(1, 0, &[])].concat();
        for (kind, body) in &blocks {
            file.extend(order.block(*kind, &[body]));
        }
        let (rows, _) = read_all(&file[..]);
        prop_assert!(rows.len() <= blocks.len());
    }
}

proptest! {
    // Each case reads the file once for every offset in it.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_before_a_flipped_byte_are_unchanged(file in any_file(), at: prop::sample::Index, flip in 1..=u8::MAX) {
        let records = ends_of_records(&file);
        let at = at.index(file.len());
        let mut damaged = file;
        damaged[at] ^= flip;
        let (rows, _) = read_all(&damaged[..]);
        let before = records.iter().filter(|(end, _)| *end <= at).count();
        prop_assert!(rows.len() >= before);
        for ((_, whole), row) in records.iter().take(before).zip(&rows) {
            prop_assert_eq!(whole, row);
        }
    }

    #[test]
    fn records_before_a_splice_are_unchanged(
        file in any_file(),
        other in any_file(),
        cut: prop::sample::Index,
        from: prop::sample::Index,
    ) {
        let records = ends_of_records(&file);
        let cut = cut.index(file.len());
        let spliced = [&file[..cut], &other[from.index(other.len())..]].concat();
        let (rows, _) = read_all(&spliced[..]);
        let before = records.iter().filter(|(end, _)| *end <= cut).count();
        prop_assert!(rows.len() >= before);
        for ((_, whole), row) in records.iter().take(before).zip(&rows) {
            prop_assert_eq!(whole, row);
        }
    }
}
