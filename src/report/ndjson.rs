//! Attempts as JSON, one a line: millions of them, so that each number is written by hand. The same as serde writes, byte
//! for byte, as a test says.

use std::net::{IpAddr, Ipv6Addr};

use super::attempt::disarmed;
use crate::attempt::{Attempt, Banner, Handshake, Outcome, ResetBy, Signature};
use crate::recording::Timestamp;

/// `attempt` as one JSON object on one line, ended by a newline.
pub fn attempt_json(attempt: &Attempt) -> String {
    let mut lines = Lines::default();
    lines.attempt(attempt);
    String::from_utf8(lines.bytes().to_vec())
        .unwrap_or_else(|error| unreachable!("all that is added is text: {error}"))
}

/// Bytes that the longest part of a line may have that is written at once, a banner of [`ORDINARY`] bytes or what stands before
/// or after it, and those that may be copied beyond its end.
const LONGEST: usize = 1024;

/// Bytes that a banner has at most, where nothing in it has to be escaped.
const ORDINARY: usize = 256;

/// Text that grows.
#[derive(Debug, Default)]
pub struct Lines {
    /// The text, and room that was used before or is zero.
    room: Vec<u8>,
    len: usize,
}

impl Lines {
    /// The text.
    pub fn bytes(&self) -> &[u8] {
        self.room.get(..self.len).unwrap_or_default()
    }

    /// Makes it empty; its room is kept.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds any text.
    pub fn push(&mut self, text: &str) {
        let end = self.len + text.len();
        if self.room.len() < end {
            self.room.resize(end, 0);
        }
        self.room[self.len..end].copy_from_slice(text.as_bytes());
        self.len = end;
    }

    /// Adds `attempt`, as one JSON object on one line, ended by a newline.
    pub fn attempt(&mut self, attempt: &Attempt) {
        self.write(|pen| before_banner(pen, attempt));
        match &attempt.server_banner {
            None => self.write(|pen| pen.put(b"null")),
            Some(banner) => self.banner(banner),
        }
        self.write(|pen| after_banner(pen, attempt));
    }

    fn banner(&mut self, banner: &Banner) {
        let text = banner.bytes();
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        // Without a way out of the loop, so that many bytes are looked at in one step.
        if text.len() <= ORDINARY && text.iter().fold(true, |all, byte| all & plain(*byte)) {
            self.write(|pen| pen.put(b"\"").word(text).put(b"\""));
        } else {
            let json = serde_json::to_string(&**banner);
            let json = disarmed(json.unwrap_or_else(|e| unreachable!("strings always serialise: {e}")));
            self.push(&json);
        }
    }

    /// Has no more than [`LONGEST`] bytes written.
    #[inline]
    fn write(&mut self, write: impl FnOnce(Pen<'_>) -> Pen<'_>) {
        if self.room.len() < self.len + LONGEST {
            self.room.resize(2 * self.room.len() + LONGEST, 0);
        }
        let Pen(rest) = write(Pen(&mut self.room[self.len..]));
        let left = rest.len();
        self.len = self.room.len() - left;
    }
}

fn before_banner<'a>(pen: Pen<'a>, attempt: &Attempt) -> Pen<'a> {
    let pen = pen.put(b"{\"client\":").address(attempt.client.ip());
    let pen = pen.put(b",\"client_port\":").number(attempt.client.port().into());
    let pen = pen.put(b",\"server\":").address(attempt.server.ip());
    let pen = pen.put(b",\"server_port\":").number(attempt.server.port().into());
    let pen = pen.put(b",\"first_syn\":").instant(attempt.first_syn);
    let pen = pen.put(b",\"isn\":").number(attempt.isn.0.into());
    let pen = pen.put(b",\"syn\":").few(attempt.syn);
    let pen = pen.put(b",\"syn_ack\":").few(attempt.syn_ack);
    let pen = pen.put(b",\"handshake\":\"").piece(&HANDSHAKES[attempt.handshake as usize]);
    let pen = match attempt.reset_after_handshake_by {
        None => pen.put(b"\",\"reset_after_handshake_by\":null,\"client_bytes\":"),
        Some(by) => {
            let pen = pen.put(b"\",\"reset_after_handshake_by\":\"").piece(&ENDS[by as usize]);
            pen.put(b"\",\"client_bytes\":")
        }
    };
    let pen = pen.number(attempt.client_bytes);
    let pen = pen.put(b",\"server_bytes\":").number(attempt.server_bytes);
    pen.put(b",\"server_banner\":")
}

fn after_banner<'a>(pen: Pen<'a>, attempt: &Attempt) -> Pen<'a> {
    let pen = match attempt.icmp {
        None => pen.put(b",\"icmp\":null,\"outcome\":\""),
        Some(icmp) => {
            let pen = pen.put(b",\"icmp\":{\"type\":").number(icmp.icmp_type.into());
            let pen = pen.put(b",\"code\":").number(icmp.code.into());
            pen.put(b",\"from\":").address(icmp.from).put(b"},\"outcome\":\"")
        }
    };
    let pen = pen.piece(&OUTCOMES[attempt.outcome as usize]);
    match attempt.signature {
        None => pen.put(b"\",\"signature\":null}\n"),
        Some(signature) => {
            let pen = pen.put(b"\",\"signature\":\"").piece(&SIGNATURES[signature as usize]);
            pen.put(b"\"}\n")
        }
    }
}

/// Writes into room that was made before, and goes on behind what it wrote. Pieces whose length is not known in advance are
/// copied in a length that is, and what is too much is written over: that spares a call, and the branches on the length in
/// it, which nobody can predict.
struct Pen<'a>(&'a mut [u8]);

impl Pen<'_> {
    /// Writes a piece.
    #[inline(always)]
    fn put<const N: usize>(self, piece: &[u8; N]) -> Self {
        let (room, rest) = self.0.split_at_mut(N);
        room.copy_from_slice(piece);
        Self(rest)
    }

    /// Writes the first `len` bytes of a piece.
    #[inline(always)]
    fn put_some<const N: usize>(self, piece: &[u8; N], len: usize) -> Self {
        self.0[..N].copy_from_slice(piece);
        Self(&mut self.0[len..])
    }

    #[inline(always)]
    fn piece<const N: usize>(self, (piece, len): &([u8; N], usize)) -> Self {
        self.put_some(piece, *len)
    }

    /// Writes a word.
    fn word(self, word: &[u8]) -> Self {
        let (room, rest) = self.0.split_at_mut(word.len());
        room.copy_from_slice(word);
        Self(rest)
    }

    /// A number that nearly always has one digit.
    #[inline]
    fn few(self, number: u32) -> Self {
        if number < 10 { self.put(&[b'0' + number as u8]) } else { self.number(number.into()) }
    }

    /// Made anew wherever it is used: nearly all numbers in one place of a line are of one kind.
    #[inline(always)]
    fn number(self, number: u64) -> Self {
        if number < EIGHT {
            let digits = digits(number);
            let zeros = ((digits | 1 << 56).trailing_zeros() / 8) as usize;
            self.put_some(&((digits | ZEROS) >> (8 * zeros)).to_le_bytes(), 8 - zeros)
        } else {
            self.long(number / EIGHT, number % EIGHT)
        }
    }

    /// A number of more than eight digits.
    fn long(self, before: u64, last_eight: u64) -> Self {
        self.number(before).put(&(digits(last_eight) | ZEROS).to_le_bytes())
    }

    /// Seconds since the epoch, as the timestamp's `Display` has them.
    fn instant(self, at: Timestamp) -> Self {
        const SECOND: u64 = 1_000_000_000;
        let nanos = at.nanos().unsigned_abs();
        let pen = if at.nanos() < 0 { self.put(b"-") } else { self };
        let pen = pen.number(nanos / SECOND);
        if at.digits() == 0 {
            return pen;
        }
        let (tenths, rest) = (nanos % SECOND / EIGHT, nanos % EIGHT);
        let pen = pen.put(&[b'.', b'0' + tenths as u8]);
        pen.put_some(&(digits(rest) | ZEROS).to_le_bytes(), usize::from(at.digits()) - 1)
    }

    fn address(self, address: IpAddr) -> Self {
        let pen = self.put(b"\"");
        let pen = match address {
            IpAddr::V4(address) => {
                let [a, b, c, (last, len)] = address.octets().map(|octet| &OCTETS[usize::from(octet)]);
                pen.piece(a).piece(b).piece(c).put_some(last, *len - 1)
            }
            IpAddr::V6(address) => pen.v6(address),
        };
        pen.put(b"\"")
    }

    /// An address as RFC 5952 has it: the first of the longest runs of zeros is left out.
    fn v6(self, address: Ipv6Addr) -> Self {
        if address.to_ipv4_mapped().is_some() {
            return self.word(address.to_string().as_bytes());
        }
        let groups = address.segments();
        let zeros = groups.iter().rev().fold(0, |zeros, group| zeros << 1 | usize::from(*group == 0));
        let (from, to) = RUNS[zeros];
        let (from, to) = (usize::from(from), usize::from(to));
        let with_colons = |pen: Self, groups: &[u16]| {
            groups.iter().fold(pen, |pen, group| pen.hexadecimal(*group).put(b":"))
        };
        let pen = with_colons(self, &groups[..from]);
        let pen = if from == to { pen } else { pen.put_some(b"::", if from == 0 { 2 } else { 1 }) };
        let Some((last, others)) = groups[to..].split_last() else { return pen };
        with_colons(pen, others).hexadecimal(*last)
    }

    /// A group of an address, without zeros before it.
    #[inline]
    fn hexadecimal(self, group: u16) -> Self {
        let [high, low] = group.to_be_bytes();
        let ([a, b], [c, d]) = (HEXADECIMAL[usize::from(high)], HEXADECIMAL[usize::from(low)]);
        let digits = (16 - (group | 1).leading_zeros()).div_ceil(4) as usize;
        let text = u32::from_le_bytes([a, b, c, d]) >> (8 * (4 - digits));
        self.put_some(&text.to_le_bytes(), digits)
    }
}

/// The first number of more than eight digits.
const EIGHT: u64 = 100_000_000;

/// What makes text of eight digits.
const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// The digits of a number of no more than eight, the first in the lowest byte. All are found at once, in a register: what is
/// written to memory in pieces cannot soon be read from there as one.
#[inline]
fn digits(number: u64) -> u64 {
    // Each step parts numbers side by side in halves: by 10,000, by 100 and by 10, a multiplication and a shift being exact for
    // numbers as small as these.
    let (high, low) = (number / 10_000, number % 10_000);
    let fours = high | low << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (twos - 10 * tens) << 8
}

/// A word, in an array that is longer, and its length.
type Piece = ([u8; 32], usize);

/// The words of an enumeration.
macro_rules! pieces {
    ($words:ident) => {{
        let mut pieces = [([0; 32], 0); $words::ALL.len()];
        let mut number = 0;
        while number < pieces.len() {
            let word = $words::ALL[number].name().as_bytes();
            pieces[number].0.split_at_mut(word.len()).0.copy_from_slice(word);
            pieces[number].1 = word.len();
            number += 1;
        }
        pieces
    }};
}

static HANDSHAKES: [Piece; Handshake::ALL.len()] = pieces!(Handshake);
static ENDS: [Piece; ResetBy::ALL.len()] = pieces!(ResetBy);
static OUTCOMES: [Piece; Outcome::ALL.len()] = pieces!(Outcome);
static SIGNATURES: [Piece; Signature::ALL.len()] = pieces!(Signature);

/// Where the first of the longest runs of zero groups in an IPv6 address begins and ends, by which of its groups are zero (the
/// first in the lowest bit). One zero alone is no run.
static RUNS: [(u8, u8); 256] = {
    let mut runs = [(0, 0); 256];
    let mut zeros = 0;
    while zeros < 256 {
        let (mut from, mut to) = (0, 0);
        while to < 8 {
            to += 1;
            let (longest_from, longest_to) = runs[zeros];
            if zeros >> (to - 1) & 1 == 0 {
                from = to;
            } else if to - from > 1 && to - from > longest_to - longest_from {
                runs[zeros] = (from, to);
            }
        }
        zeros += 1;
    }
    runs
};

/// Bytes of an octet's three digits and a point.
const OCTET: usize = 4;

/// Each octet with a point after it, and the length of both.
const OCTETS: [([u8; OCTET], usize); 256] = {
    let mut octets = [([b'.'; OCTET], 0); 256];
    let mut number = 0;
    while number < 256 {
        let (hundreds, tens, ones) = (number / 100, number / 10 % 10, number % 10);
        let mut text = [b'.'; OCTET];
        let mut len = 0;
        if number >= 100 {
            text[len] = b'0' + hundreds as u8;
            len += 1;
        }
        if number >= 10 {
            text[len] = b'0' + tens as u8;
            len += 1;
        }
        text[len] = b'0' + ones as u8;
        octets[number] = (text, len + 2);
        number += 1;
    }
    octets
};

/// Bytes, each as two hexadecimal digits.
const HEXADECIMAL: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = [[b'0'; 2]; 256];
    let mut number = 0;
    while number < 256 {
        bytes[number] = [DIGITS[number / 16], DIGITS[number % 16]];
        number += 1;
    }
    bytes
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::IcmpAnswer;
    use crate::packet::SeqNumber;
    use crate::report::attempt::by_serde;
    use crate::report::samples;

    /// The line, once it is seen to be serde's.
    fn line(attempt: &Attempt) -> String {
        let line = attempt_json(attempt);
        assert_eq!(line, by_serde(attempt));
        line
    }

    #[test]
    fn it_is_what_serde_writes() {
        let mut attempt = samples::edge_reset().attempts[0].clone();
        assert!(line(&attempt).contains(r#""first_syn":1511784000.123456789,"#));
        line(&samples::hostile().attempts[0]);
        for (i, outcome) in Outcome::ALL.iter().enumerate() {
            let random = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            attempt.outcome = *outcome;
            attempt.handshake = Handshake::ALL[i % Handshake::ALL.len()];
            attempt.reset_after_handshake_by = ResetBy::ALL.get(i % 4).copied();
            attempt.first_syn = Timestamp::from_nanos(random as i64 >> (i % 3 * 16)).with_digits(i as u8);
            attempt.isn = SeqNumber(random as u32);
            (attempt.client_bytes, attempt.server_bytes) = (random, u64::MAX >> i);
            (attempt.syn, attempt.syn_ack) = (i as u32, u32::MAX >> i);
            let from: IpAddr = if i % 2 == 0 { (random as u32).to_be_bytes().into() } else { [0; 16].into() };
            attempt.icmp = (i % 3 == 0).then_some(IcmpAnswer { icmp_type: i as u8, code: 255, from });
            attempt.client.set_ip(from);
            line(&attempt);
        }
        for signature in Signature::ALL {
            attempt.signature = Some(*signature);
            line(&attempt);
        }
        for banner in ["", "SSH-2.0-OpenSSH_9.9", "SSH-\"\\/\u{7f}\u{85}\u{202e}é\u{10ffff}\0\t\u{1b}[2J"] {
            attempt.server_banner = Some(banner.into());
            line(&attempt);
        }
    }

    #[test]
    fn addresses_are_what_the_standard_library_writes() {
        let mut attempt = samples::edge_reset().attempts[0].clone();
        let some = ["0.0.0.0", "255.255.255.255", "10.22.1.100", "::ffff:10.22.0.1"];
        let some = some.map(|text| text.parse::<IpAddr>().unwrap());
        // With zeros in every place, and digits in every number.
        let zeros = (0..256).map(|zeros| {
            IpAddr::from([0_u16, 1, 2, 3, 4, 5, 6, 7].map(|group| match zeros >> group & 1 {
                0 => 0xf0e1_u16 >> (4 * (group % 4)),
                _ => 0,
            }))
        });
        for address in some.into_iter().chain(zeros) {
            attempt.client.set_ip(address);
            attempt.server.set_ip(address);
            line(&attempt);
        }
    }
}
