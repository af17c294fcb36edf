//! The same little conversation in every wrapping and file format that is read: `tests/formats/make.py` made them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use whichhop::attempt::{Attempt, Census, Limits, Ports};
use whichhop::packet::decode;
use whichhop::recording::{Body, Reader};

/// When each capture begins, in ns.
const START: i64 = 1_700_000_000_000_000_000;

/// The attempts in a capture that must be whole, and of which every frame must be read.
fn attempts(name: &str, file: &[u8]) -> Vec<Attempt> {
    let mut reader = Reader::new(file).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut census = Census::new(Ports::Any, Limits::default());
    let mut frames = 0;
    while let Some(record) = reader.next().unwrap() {
        let Body::Frame(frame) = record.body else { panic!("{name}: not a frame") };
        frames += 1;
        match decode(frame.link, frame.bytes) {
            Ok(packet) => census.push(record.at, &packet),
            Err(undecoded) => panic!("{name}: frame {frames}: {undecoded}"),
        }
    }
    assert_eq!((frames, reader.truncation()), (6, None), "{name}");
    census.end();
    std::iter::from_fn(|| census.next_decided()).collect()
}

#[test]
fn every_wrapping_holds_the_same_attempts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    let mut captures = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.extension().is_some_and(|e| e == "pcap" || e == "pcapng") {
            continue;
        }
        captures += 1;
        let name = path.file_name().unwrap().to_str().unwrap();
        let attempts = attempts(name, &fs::read(&path).unwrap());
        let found: Vec<_> = attempts
            .iter()
            .map(|a| {
                let ends = format!("{} {}", a.client, a.server);
                (ends, a.first_syn.nanos() - START, a.isn.0, a.syn, a.syn_ack, a.handshake.to_string())
            })
            .collect();
        let one = |ends: &str, at| (ends.to_owned(), at, 1000, 1, 1, "completed".to_owned());
        let expected =
            [one("10.22.0.1:50022 198.19.0.4:22", 0), one("[fd22::1]:50022 [2001:db8::4]:22", 3_000_000)];
        assert_eq!(found, expected, "{name}");
    }
    assert!(captures > 70, "only {captures} captures");
}
