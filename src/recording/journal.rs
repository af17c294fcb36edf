//! Events as systemd journal entries (Journal Export Format), the form in which pcapng can hold them.

use super::{Event, Timestamp};

/// Time in µs since the epoch: the one field Wireshark looks for.
const REALTIME: &[u8] = b"__REALTIME_TIMESTAMP";
/// The same in ns, signed.
const NANOS: &[u8] = b"WHICHHOP_NANOS";
/// The event as compact JSON.
const EVENT: &[u8] = b"WHICHHOP_EVENT";

/// Appends an event as one entry.
pub(super) fn encode(entry: &mut Vec<u8>, at: Timestamp, event: &Event) -> serde_json::Result<()> {
    let json = serde_json::to_vec(event)?;
    // Journal times are unsigned.
    let micros = at.nanos().max(0) / 1_000;
    field(entry, REALTIME, micros.to_string().as_bytes());
    field(entry, b"MESSAGE", event.to_string().as_bytes());
    field(entry, b"PRIORITY", b"6");
    field(entry, b"SYSLOG_IDENTIFIER", b"whichhop");
    field(entry, NANOS, at.nanos().to_string().as_bytes());
    field(entry, EVENT, &json);
    Ok(())
}

/// Appends a field: as text, or in the binary form if a line end in the value would end it early.
fn field(entry: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    entry.extend_from_slice(name);
    if value.contains(&b'\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value);
    entry.push(b'\n');
}

/// Reads an entry, whoever wrote it: its time, and the event ([`Event::Unknown`] where it holds none that this
/// version knows).
pub(super) fn decode(entry: &[u8]) -> (Option<Timestamp>, Event) {
    let (mut micros, mut nanos, mut event) = (None, None, None);
    for (name, value) in fields(entry) {
        match name {
            REALTIME => micros = micros.or_else(|| number(value)),
            NANOS => nanos = nanos.or_else(|| number(value)),
            EVENT => event = event.or_else(|| serde_json::from_slice(value).ok()),
            _ => {}
        }
    }
    let micros = micros.and_then(|micros: i64| micros.checked_mul(1_000));
    let at = nanos
        .map(Timestamp::from_nanos)
        .or_else(|| micros.map(|nanos| Timestamp::from_nanos(nanos).with_digits(6)));
    (at, event.unwrap_or(Event::Unknown))
}

fn number(value: &[u8]) -> Option<i64> {
    str::from_utf8(value).ok()?.parse().ok()
}

/// Name and value of each field, up to the empty line that ends an entry or to the first that is cut off.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        // The padding of the block stands where the next name would.
        let line_end = rest.iter().position(|&b| b == b'\n')?;
        let (line, after) = (rest.get(..line_end)?, rest.get(line_end + 1..)?);
        if line.is_empty() {
            return None;
        }
        if let Some(equals) = line.iter().position(|&b| b == b'=') {
            rest = after;
            return Some((line.get(..equals)?, line.get(equals + 1..)?));
        }
        let (len, after) = after.split_first_chunk()?;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        let (value, after) = after.split_at_checked(len)?;
        rest = after.strip_prefix(b"\n")?;
        Some((line, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_written_so() {
        let mut entry = Vec::new();
        encode(
            &mut entry,
            Timestamp::from_nanos(1_511_784_000_123_456_789),
            &Event::Deadline { why: "a\nb".into() },
        )
        .unwrap();
        let expected = "__REALTIME_TIMESTAMP=1511784000123456\n\
             MESSAGE=a deadline passed: a\\u{a}b\n\
             PRIORITY=6\n\
             SYSLOG_IDENTIFIER=whichhop\n\
             WHICHHOP_NANOS=1511784000123456789\n\
             WHICHHOP_EVENT={\"event\":\"deadline\",\"why\":\"a\\nb\"}\n";
        assert_eq!(String::from_utf8(entry).unwrap(), expected);
    }

    #[test]
    fn a_line_end_takes_the_binary_form() {
        let mut entry = Vec::new();
        field(&mut entry, b"A", b"x\n=\0y");
        field(&mut entry, b"B", b"2=3");
        entry.extend_from_slice(&[0; 3]);
        let read: Vec<_> = fields(&entry).collect();
        assert_eq!(read, [(&b"A"[..], &b"x\n=\0y"[..]), (b"B", b"2=3")]);
    }

    #[test]
    fn foreign_entries_have_a_time_and_no_event() {
        let cases: [(&[u8], Option<&str>); 6] = [
            (b"__REALTIME_TIMESTAMP=1600000000000002\nMESSAGE=hi\n\0\0", Some("1600000000.000002")),
            (b"MESSAGE\n\x02\0\0\0\0\0\0\0hi\n__REALTIME_TIMESTAMP=1000000\n", Some("1.000000")),
            (b"MESSAGE=hi\n\n__REALTIME_TIMESTAMP=1\n", None),
            (b"__REALTIME_TIMESTAMP=9223372036854775807\n", None),
            (b"MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xffhi\n__REALTIME_TIMESTAMP=1\n", None),
            (b"", None),
        ];
        for (entry, time) in cases {
            let (at, event) = decode(entry);
            assert_eq!(at.map(|at| at.to_string()).as_deref(), time, "{entry:?}");
            assert_eq!(event, Event::Unknown);
        }
    }

    #[test]
    fn what_a_newer_version_adds_does_no_harm() {
        let read = |json: &str| decode(format!("WHICHHOP_NANOS=-1\nWHICHHOP_EVENT={json}\n").as_bytes());
        let (at, event) = read(r#"{"event":"deadline","why":"x","since":{"a":[1]}}"#);
        assert_eq!((at.unwrap().nanos(), event), (-1, Event::Deadline { why: "x".into() }));
        for json in [
            r#"{"event":"telepathy","with":"azure"}"#,
            r#"{"event":"end","reason":"boredom"}"#,
            r#"{"event":"deadline"}"#,
            "{",
            "",
        ] {
            assert_eq!(read(json).1, Event::Unknown, "{json}");
        }
    }
}
