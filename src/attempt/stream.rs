//! The first bytes a server sends, read in order: enough to find its identification line, and no more is kept.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::slice;

use prefetch_index::prefetch_index;

use crate::packet::SeqNumber;

/// Bytes looked at: RFC 4253 section 4.2 allows lines before the identification line, but not without end.
pub(super) const READ: u32 = 4096;

/// Bytes kept that came before their turn, and pieces of them, at most: whoever sends more hides a line from us, no
/// more.
const AHEAD: usize = 1024;
const PIECES: usize = 8;

/// Longest identification line that is told.
const LONGEST_LINE: usize = 255;

/// Most identification lines are no longer. So what is kept of most servers is one piece of 64 bytes.
const ORDINARY_LINE: usize = 55;

/// Bytes after which a server that says `SSH-` has had its say in the key exchange too: KEXINIT and the reply
/// to it make more than this with every algorithm in use.
const KEY_EXCHANGE: u64 = 1200;

/// A server's side of a connection.
#[derive(Debug, Default)]
pub(super) struct Stream {
    start: Option<SeqNumber>,
    /// Bytes sent, as far as sequence numbers tell.
    highest: u64,
    /// Bytes read in order, from the first on.
    read: u32,
    /// Bytes were sent that the capture does not hold, or that were too much to keep.
    cut: bool,
    line: Line,
    /// Most servers of other things than SSH need none of this.
    kept: Option<Box<Kept>>,
}

/// A server's identification line, without its line end; no longer than 255 bytes.
///
/// It lies where it was put together: there may be millions.
#[derive(Clone)]
pub struct Banner(Box<Kept>);

impl Banner {
    /// Has the processor fetch it, as [`Attempt::fetch`](super::Attempt::fetch) says.
    #[inline]
    pub(super) fn fetch(&self) {
        prefetch_index(&self.0.line, 0);
        prefetch_index(slice::from_ref(&self.0.more), 0);
    }

    /// Its text, for whoever looks at each byte anyway.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.line()
    }
}

impl Deref for Banner {
    type Target = str;

    fn deref(&self) -> &str {
        str::from_utf8(self.bytes()).unwrap_or_default()
    }
}

impl From<&str> for Banner {
    fn from(text: &str) -> Self {
        let mut kept = Box::<Kept>::default();
        kept.push(text.as_bytes());
        kept.finish();
        Self(kept)
    }
}

impl fmt::Debug for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl PartialEq for Banner {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Banner {}

/// Bytes that are kept.
#[derive(Clone, Debug)]
struct Kept {
    /// The line beginning `SSH-`, as far as it was read, without its line end; unless it is longer.
    line: [u8; ORDINARY_LINE],
    len: u8,
    more: Option<Box<More>>,
}

/// What few servers send.
#[derive(Clone, Debug, Default)]
struct More {
    /// The line, where it is a long one.
    line: Vec<u8>,
    /// Pieces that came before their turn, by their place.
    ahead: Vec<(u32, Box<[u8]>)>,
}

impl Default for Kept {
    fn default() -> Self {
        // Not zeros: memory that has to be zero does not come from the pieces that were let go of last.
        Self { line: [b' '; ORDINARY_LINE], len: 0, more: None }
    }
}

impl Kept {
    fn line(&self) -> &[u8] {
        match &self.more {
            Some(more) if !more.line.is_empty() => &more.line,
            _ => &self.line[..usize::from(self.len)],
        }
    }

    /// Does what [`Kept::finish`] does, if that takes no more memory: as the line ends it is at hand, by the time it is told it
    /// will not be. Says whether it did.
    fn finish_ordinary(&mut self) -> bool {
        let line = shown(self.line());
        let is_told_as_it_is = self.more.is_none() && (line.is_ascii() || str::from_utf8(line).is_ok());
        if is_told_as_it_is {
            self.len = line.len() as u8;
        }
        is_told_as_it_is
    }

    /// Makes of the line what is told of it, and forgets all else. Not to be done twice.
    fn finish(&mut self) {
        if self.finish_ordinary() {
            return;
        }
        if let Some(more) = &mut self.more {
            // Pieces whose turn never came.
            more.ahead = Vec::new();
        }
        let line = told(self.line()).into_owned().into_bytes();
        self.more.get_or_insert_default().line = line;
    }

    /// Lengthens the line, as far as it will be told.
    fn push(&mut self, part: &[u8]) {
        let known = self.line().len();
        // One byte more than is told: it may be the carriage return of the line end.
        let part = &part[..part.len().min((LONGEST_LINE + 1).saturating_sub(known))];
        if let Some(room) = self.line.get_mut(known..known + part.len()) {
            room.copy_from_slice(part);
            self.len += part.len() as u8;
            return;
        }
        let line = &mut self.more.get_or_insert_default().line;
        if line.is_empty() {
            line.extend_from_slice(&self.line[..usize::from(self.len)]);
        }
        line.extend_from_slice(part);
    }
}

/// Where the search for a line beginning `SSH-` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// This many bytes of `SSH-` are read at the start of a line.
    Begun(u8),
    /// In the middle of another line.
    Other,
    /// In the line itself.
    Found,
    /// The line is whole.
    Whole,
    /// It is, and what is kept of it is what is told.
    Told,
}

impl Line {
    /// Whether nothing that follows changes what was found.
    fn is_whole(self) -> bool {
        matches!(self, Self::Whole | Self::Told)
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::Begun(0)
    }
}

impl Stream {
    /// Says which sequence number the first byte has.
    pub(super) fn starts_at(&mut self, seq: SeqNumber) {
        self.start = Some(seq);
    }

    /// Takes a segment's data; `claimed` is its length on the wire, of which `data` may be a part.
    pub(super) fn push(&mut self, seq: SeqNumber, data: &[u8], claimed: u32) {
        let start = *self.start.get_or_insert(seq);
        let next = self.next();
        // Beyond 2 GiB a place in the first bytes cannot be told from one far on.
        let near = i32::try_from(self.highest).is_ok();
        let place = u32::try_from(seq.distance_from(start)).ok();
        if near && place.is_none() {
            return;
        }
        let end = seq.plus(claimed);
        let new = end.distance_from(next);
        if new > 0 {
            self.highest += new as u64;
        }
        if self.line.is_whole() {
            return;
        }
        let Some(place) = place.filter(|place| near && *place < READ && self.read < READ) else { return };
        let room = (READ - place) as usize;
        if data.len() < claimed as usize && data.len() < room {
            self.cut = true;
        }
        let data = &data[..data.len().min(room)];
        if place <= self.read {
            self.read_on(place, data);
            self.catch_up();
        } else if !data.is_empty() {
            self.keep(place, data);
        }
    }

    /// Says that something may have been sent that nothing shows of.
    pub(super) fn lacks_data(&mut self) {
        self.cut |= !self.line.is_whole();
    }

    /// Keeps a piece that came before its turn.
    fn keep(&mut self, place: u32, data: &[u8]) {
        let ahead = &mut self.kept.get_or_insert_default().more.get_or_insert_default().ahead;
        if ahead.iter().any(|(other, _)| *other == place) {
            return;
        }
        let kept: usize = ahead.iter().map(|(_, piece)| piece.len()).sum();
        if ahead.len() == PIECES || kept + data.len() > AHEAD {
            self.cut = true;
            return;
        }
        ahead.push((place, data.into()));
    }

    /// Reads the pieces whose turn has come.
    fn catch_up(&mut self) {
        while let Some(more) = self.kept.as_mut().and_then(|kept| kept.more.as_mut())
            && let Some(index) = more.ahead.iter().position(|(place, _)| *place <= self.read)
        {
            let (place, data) = more.ahead.swap_remove(index);
            self.read_on(place, &data);
        }
    }

    /// Reads data at `place`, of which the first part may be known.
    fn read_on(&mut self, place: u32, data: &[u8]) {
        let Some(new) = data.get((self.read - place) as usize..) else { return };
        self.read += new.len() as u32;
        let mut rest = new;
        while !rest.is_empty() {
            rest = self.read_line(rest);
        }
    }

    /// Reads bytes of a line, and gives back those that are left of them.
    fn read_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        const PREFIX: &[u8] = b"SSH-";
        match self.line {
            Line::Begun(0) if bytes.starts_with(PREFIX) => {
                self.line = Line::Found;
                self.read_line(bytes)
            }
            Line::Begun(known) => {
                let [first, rest @ ..] = bytes else { return bytes };
                self.line = match (PREFIX.get(usize::from(known)), first) {
                    (Some(expected), byte) if byte == expected => {
                        if usize::from(known) + 1 == PREFIX.len() {
                            self.kept.get_or_insert_default().push(PREFIX);
                            Line::Found
                        } else {
                            Line::Begun(known + 1)
                        }
                    }
                    (_, b'\n') => Line::Begun(0),
                    _ => Line::Other,
                };
                rest
            }
            Line::Other => match memchr::memchr(b'\n', bytes) {
                Some(end) => {
                    self.line = Line::Begun(0);
                    &bytes[end + 1..]
                }
                None => &[],
            },
            Line::Found => {
                let end = memchr::memchr(b'\n', bytes);
                let part = &bytes[..end.unwrap_or(bytes.len())];
                let kept = self.kept.get_or_insert_default();
                kept.push(part);
                if end.is_some() {
                    self.line = if kept.finish_ordinary() { Line::Told } else { Line::Whole };
                }
                &[]
            }
            Line::Whole | Line::Told => &[],
        }
    }

    /// Bytes sent, as far as sequence numbers tell.
    pub(super) fn bytes(&self) -> u64 {
        self.highest
    }

    /// The sequence number expected next.
    pub(super) fn next(&self) -> SeqNumber {
        self.start.map_or(SeqNumber(0), |start| start.plus(self.highest as u32))
    }

    /// Bytes were sent that the capture does not hold.
    pub(super) fn unreadable(&self) -> bool {
        self.cut || (self.highest > 0 && self.read == 0)
    }

    /// The server said enough to have finished its part of the key exchange.
    pub(super) fn beyond_key_exchange(&self) -> bool {
        self.highest > KEY_EXCHANGE && self.says_ssh()
    }

    /// There is a line beginning `SSH-`.
    pub(super) fn says_ssh(&self) -> bool {
        self.line == Line::Found || self.line.is_whole()
    }

    /// Forgets what it keeps.
    pub(super) fn let_go(&mut self) {
        self.kept = None;
    }

    /// The first line beginning `SSH-`, without its line end.
    pub(super) fn ssh_line(&self) -> Option<Banner> {
        self.line_of(self.kept.clone())
    }

    /// The same, when nothing more will be sent.
    pub(super) fn take_ssh_line(&mut self) -> Option<Banner> {
        let kept = self.kept.take();
        self.line_of(kept)
    }

    fn line_of(&self, kept: Option<Box<Kept>>) -> Option<Banner> {
        let mut kept = kept.filter(|_| self.says_ssh())?;
        if self.line != Line::Told {
            kept.finish();
        }
        Some(Banner(kept))
    }
}

/// The first line of `bytes` beginning `SSH-` (RFC 4253 section 4.2), without its line end; an unfinished last
/// line counts.
pub fn ssh_line(bytes: &[u8]) -> Option<String> {
    bytes.split(|b| *b == b'\n').find(|line| line.starts_with(b"SSH-")).map(|line| told(line).into_owned())
}

/// A line as it is told.
fn told(line: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(shown(line))
}

/// What is told of a line: not a carriage return at its end, and not more than some.
fn shown(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    &line[..line.len().min(LONGEST_LINE)]
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

    #[test]
    fn pieces_find_the_line_that_the_whole_has() {
        let long = format!("SSH-2.0-{}\r\n", "x".repeat(400));
        for text in [
            "SSH-2.0-x\r\n",
            "SSH-2.0-x",
            "SSH-2.0-x\r",
            "SSH-",
            "SSH",
            "",
            "\n\nSSH-1\nSSH-2\n",
            "SSSH-\nSSH-y",
            "HTTP/1.1\r\n",
            long.as_str(),
            &long.replace('-', "é"),
        ] {
            for size in [1, 2, 3, 7, 1000] {
                let mut stream = Stream::default();
                stream.starts_at(SeqNumber(u32::MAX - 3));
                let pieces: Vec<_> = text.as_bytes().chunks(size).enumerate().collect();
                // Each pair of neighbours the wrong way round.
                for pair in pieces.chunks(2) {
                    for (i, piece) in pair.iter().rev() {
                        let seq = SeqNumber(u32::MAX - 3).plus((i * size) as u32);
                        stream.push(seq, piece, piece.len() as u32);
                    }
                }
                assert_eq!(
                    stream.ssh_line().as_deref(),
                    ssh_line(text.as_bytes()).as_deref(),
                    "{text:?} by {size}"
                );
                assert_eq!(stream.bytes(), text.len() as u64);
                assert!(!stream.unreadable());
            }
        }
    }

    #[test]
    fn a_line_that_is_no_text_grows_only_as_it_is_told() {
        let mut stream = Stream::default();
        let line = [b"SSH-", [0xff; 251].as_slice(), b"\r\r\n"].concat();
        stream.push(SeqNumber(1), &line, line.len() as u32);
        let kept = stream.kept.as_ref().map(|kept| kept.line().len());
        assert_eq!(kept, Some(256));
        let told = format!("SSH-{}", "\u{fffd}".repeat(251));
        assert_eq!(stream.ssh_line().as_deref(), Some(told.as_str()));
        assert_eq!(stream.take_ssh_line().as_deref(), Some(told.as_str()));
    }

    #[test]
    fn a_carriage_return_is_taken_off_once() {
        for end in ["\r\r\n", "\r\r"] {
            let mut stream = Stream::default();
            let line = format!("SSH-2.0-x{end}");
            stream.push(SeqNumber(1), line.as_bytes(), line.len() as u32);
            assert_eq!(stream.ssh_line().as_deref(), Some("SSH-2.0-x\r"));
            assert_eq!(stream.take_ssh_line().as_deref(), Some("SSH-2.0-x\r"));
        }
    }

    #[test]
    fn more_than_fits_into_sequence_numbers_is_counted() {
        let mut stream = Stream::default();
        stream.starts_at(SeqNumber(7));
        for i in 0..10_u32 {
            stream.push(SeqNumber(7).plus(i.wrapping_mul(1 << 29)), b"", 1 << 29);
        }
        assert_eq!(stream.bytes(), 10 << 29);
    }

    #[test]
    fn what_comes_too_early_is_not_kept_without_end() {
        let mut stream = Stream::default();
        stream.starts_at(SeqNumber(0));
        for i in 1..4000 {
            stream.push(SeqNumber(i), b"x", 1);
        }
        let ahead = |stream: &Stream| {
            stream.kept.as_ref().and_then(|kept| kept.more.as_ref()).map(|more| more.ahead.len())
        };
        assert_eq!(ahead(&stream), Some(PIECES));
        assert!(stream.unreadable());
        stream.push(SeqNumber(0), &[b'y'; 4000], 4000);
        assert_eq!(ahead(&stream), Some(0));
    }
}
