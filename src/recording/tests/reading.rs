//! Files of every kind, whole, long, damaged and cut.

use std::io;

use super::make::{BIG, FRAME, LITTLE};
use super::pcapng::MOST_INTERFACES;
use super::*;

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

#[test]
fn pcap_of_dg_ux_has_the_lengths_the_other_way_round() {
    for order in [LITTLE, BIG] {
        let mut file = order.pcap(0xa1b2_c3d4, 1, &[(0, 0, &FRAME)]);
        file[4..8].copy_from_slice(&[order.u16(543), order.u16(0)].concat());
        file[32..40].rotate_left(4);
        let Owned::Frame { original_len: 1500, bytes, .. } = &read_whole(&file)[0].3 else { panic!() };
        assert_eq!(bytes, &FRAME);
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
fn interfaces_are_bounded() {
    let describe = |count: usize| LITTLE.interface(1, 0, &[]).repeat(count);
    let frame = LITTLE.enhanced(0, 0, &FRAME, &[]);
    let most = [LITTLE.section(), describe(MOST_INTERFACES), frame.clone()].concat();
    // Each section has interfaces of its own.
    let (rows, end) = read_all(&most.repeat(2)[..]);
    assert_eq!((rows.len(), end.unwrap()), (2, None));
    let (rows, end) = read_all(&[&most[..], &describe(1), &frame].concat()[..]);
    assert_eq!(rows.len(), 1);
    let end = end.unwrap().unwrap();
    assert_eq!(end.offset, most.len() as u64);
    assert!(end.what.contains("more than 262144 interfaces"), "{end}");
}

#[test]
fn blocks_are_named_with_their_lengths_as_they_stand() {
    let (_, end) = read_all(long_block(6, u32::MAX));
    let end = end.unwrap().unwrap();
    assert!(end.what.starts_with("an enhanced packet block says it has 4294967295 bytes"), "{end}");
    let frame = LITTLE.enhanced(0, 0, &FRAME, &[]);
    let cut = [LITTLE.section(), LITTLE.interface(1, 0, &[]), frame[..20].to_vec()].concat();
    let (_, end) = read_all(&cut[..]);
    assert!(end.unwrap().unwrap().what.contains("within an enhanced packet block"));
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
