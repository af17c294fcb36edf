//! What is written, and what becomes of it where writing fails.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

use super::make::FRAME;
use super::*;

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
    let icmp = QueuedIcmp { from: Ipv4Addr::new(10, 22, 1, 1).into(), icmp_type: 11, code: 0 };
    let stage = ConnectStage::Failed { errno: 111, error: "ECONNREFUSED".into(), icmp: Some(icmp) };
    assert_eq!(
        Event::Connect { id: 0, server, client: None, stage }.to_string(),
        "connection 0 to [fd22::4]:22: connect(2) failed: ECONNREFUSED (errno 111), for ICMP type 11 code 0 from 10.22.1.1"
    );
    let answer = KernelAnswer::Icmp(icmp);
    assert_eq!(
        Event::KernelAnswer { id: 3, answer }.to_string(),
        "kernel probe 3: ICMP type 11 code 0 from 10.22.1.1"
    );
}

// ---- Anything ----
