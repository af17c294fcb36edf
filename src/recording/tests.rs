//! The readers and the writer against each other, against files of every foreign shape, and against damage.

mod make;
mod properties;
mod reading;
mod writing;

use std::io::Read;

use super::*;

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
