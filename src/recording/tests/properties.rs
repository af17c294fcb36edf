//! What holds for any records and any file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::make::{BIG, LITTLE};
use super::*;
use crate::packet::MacAddr;

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
        (any::<i32>(), any::<String>()).prop_map(|(errno, error)| ConnectStage::Failed {
            errno,
            error,
            icmp: None
        }),
        any_icmp().prop_map(|icmp| ConnectStage::Failed {
            errno: 113,
            error: String::new(),
            icmp: Some(icmp)
        }),
        any::<Vec<u8>>().prop_map(|bytes| ConnectStage::Received { data: escape_bytes(&bytes) }),
        Just(ConnectStage::Closed),
        (any::<i32>(), any::<String>()).prop_map(|(errno, error)| ConnectStage::Broken { errno, error }),
        any::<u64>().prop_map(|waited_ms| ConnectStage::Abandoned { waited_ms }),
    ]
}

fn any_icmp() -> impl Strategy<Value = QueuedIcmp> {
    (any_address(), any::<u8>(), any::<u8>()).prop_map(|(from, icmp_type, code)| QueuedIcmp {
        from,
        icmp_type,
        code,
    })
}

fn any_answer() -> impl Strategy<Value = KernelAnswer> {
    prop_oneof![
        any_icmp().prop_map(KernelAnswer::Icmp),
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
        (any::<String>(), any::<u64>()).prop_map(|(interface, read)| Event::Tunnel { interface, read }),
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

/// Hands out its bytes in pieces.
struct Pieces<'a> {
    rest: &'a [u8],
    size: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let len = self.size.min(into.len());
        self.rest.read(&mut into[..len])
    }
}

/// Everything a source holds, frames left in the blocks they were read into wherever they can be, and how it ended.
fn read_in_blocks(source: impl Read) -> (Vec<Row>, Result<Option<Truncation>, ReadError>) {
    let mut rows = Vec::new();
    let mut reader = match Reader::new(source) {
        Ok(reader) => reader,
        Err(error) => return (rows, Err(error)),
    };
    let mut block = Vec::new();
    loop {
        let mut places = Vec::new();
        let any = reader.each_in_block(None, &mut block, |at, frame, place| {
            let number = RecordNumber((rows.len() + places.len() + 1) as u64);
            places.push((own(&Record { number, at, body: Body::Frame(frame) }), place));
        });
        assert_eq!(any, !places.is_empty());
        for (row, place) in places {
            let Owned::Frame { bytes, .. } = &row.3 else { panic!("{row:?}") };
            assert_eq!(&block[place..place + bytes.len()], bytes);
            rows.push(row);
        }
        match if any { reader.read_on() } else { Ok(false) } {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => return (rows, Err(error)),
        }
        match reader.next() {
            Ok(Some(record)) => rows.push(own(&record)),
            Ok(None) => return (rows, Ok(reader.truncation().cloned())),
            Err(error) => return (rows, Err(error)),
        }
    }
}

proptest! {
    #[test]
    fn blocks_hold_what_is_read_one_by_one(
        file in any_file(),
        cut: prop::sample::Index,
        flip in option::of((any::<prop::sample::Index>(), 1..=u8::MAX)),
        size in 1..400_usize,
    ) {
        let mut file = file[..=cut.index(file.len())].to_vec();
        if let Some((at, flip)) = flip {
            let at = at.index(file.len());
            file[at] ^= flip;
        }
        let (rows, end) = read_in_blocks(Pieces { rest: &file, size });
        let (expected, expected_end) = read_all(&file[..]);
        prop_assert_eq!(rows, expected);
        prop_assert_eq!(format!("{end:?}"), format!("{expected_end:?}"));
    }

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
