//! The first bytes a server sends, put back in order: enough to find its identification line.

use std::collections::BTreeMap;

use crate::packet::SeqNumber;

/// Bytes kept: RFC 4253 section 4.2 allows lines before the identification line, but not without end.
const KEPT: usize = 4096;

/// Bytes after which a server that says `SSH-` has had its say in the key exchange too: KEXINIT and the reply
/// to it make more than this with every algorithm in use.
const KEY_EXCHANGE: u64 = 1200;

/// A server's side of a connection.
#[derive(Debug, Default)]
pub(super) struct Stream {
    start: Option<SeqNumber>,
    kept: Vec<u8>,
    ahead: BTreeMap<u32, Vec<u8>>,
    highest: u64,
    cut: bool,
}

impl Stream {
    /// Says which sequence number the first byte has.
    pub(super) fn starts_at(&mut self, seq: SeqNumber) {
        self.start = Some(seq);
    }

    /// Takes a segment's data; `claimed` is its length on the wire, of which `data` may be a part.
    pub(super) fn push(&mut self, seq: SeqNumber, data: &[u8], claimed: u32) {
        let start = *self.start.get_or_insert(seq);
        let Ok(offset) = u32::try_from(seq.distance_from(start)) else { return };
        self.highest = self.highest.max(u64::from(offset) + u64::from(claimed));
        let place = offset as usize;
        if place >= KEPT || self.kept.len() >= KEPT {
            return;
        }
        if (data.len() as u64) < u64::from(claimed) && place + data.len() < KEPT {
            self.cut = true;
        }
        let data = &data[..data.len().min(KEPT - place)];
        if !data.is_empty() {
            self.ahead.entry(offset).or_insert_with(|| data.to_vec());
        }
        while let Some((offset, data)) = self.ahead.pop_first() {
            let place = offset as usize;
            if place > self.kept.len() {
                self.ahead.insert(offset, data);
                break;
            }
            if let Some(new) = data.get(self.kept.len() - place..) {
                self.kept.extend_from_slice(new);
            }
        }
    }

    /// Bytes sent, as far as sequence numbers tell.
    pub(super) fn bytes(&self) -> u64 {
        self.highest
    }

    /// The sequence number expected next.
    pub(super) fn next(&self) -> SeqNumber {
        self.start.unwrap_or(SeqNumber(0)).plus(self.highest as u32)
    }

    /// Bytes were sent that the capture does not hold.
    pub(super) fn unreadable(&self) -> bool {
        self.cut || (self.highest > 0 && self.kept.is_empty())
    }

    /// The server said enough to have finished its part of the key exchange.
    pub(super) fn beyond_key_exchange(&self) -> bool {
        self.ssh_line().is_some() && self.highest > KEY_EXCHANGE
    }

    /// The first line beginning `SSH-`, without its line end.
    pub(super) fn ssh_line(&self) -> Option<String> {
        ssh_line(&self.kept)
    }
}

/// The first line of `bytes` beginning `SSH-` (RFC 4253 section 4.2), without its line end; an unfinished last
/// line counts.
pub fn ssh_line(bytes: &[u8]) -> Option<String> {
    let line = bytes.split(|b| *b == b'\n').find(|line| line.starts_with(b"SSH-"))?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Some(String::from_utf8_lossy(&line[..line.len().min(255)]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_segments_in_order_and_finds_the_line_after_others() {
        let mut stream = Stream::default();
        stream.starts_at(SeqNumber(u32::MAX - 2));
        stream.push(SeqNumber(u32::MAX - 2).plus(9), b"2.0-x\r\nrest", 11);
        assert_eq!(stream.ssh_line(), None);
        stream.push(SeqNumber(u32::MAX - 2), b"hi\r\nSSH-", 8);
        stream.push(SeqNumber(u32::MAX - 2), b"hi\r\nSSH-", 8);
        stream.push(SeqNumber(u32::MAX - 2).plus(8), b"-", 1);
        assert_eq!(stream.ssh_line().as_deref(), Some("SSH--2.0-x"));
        assert_eq!(stream.bytes(), 20);
    }

    #[test]
    fn a_cut_segment_is_not_taken_for_silence() {
        let mut stream = Stream::default();
        stream.starts_at(SeqNumber(1));
        stream.push(SeqNumber(1), b"", 21);
        assert!(stream.unreadable());
        assert_eq!(stream.ssh_line(), None);
    }
}
