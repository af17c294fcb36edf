//! Attempts as JSON, one a line: millions of them, so that each number is written by hand. The same as serde writes, byte
//! for byte, as a test says.

use std::net::{IpAddr, Ipv6Addr};

use super::attempt::disarmed;
use crate::attempt::{Attempt, ResetBy, Signature};
use crate::recording::Timestamp;

/// `attempt` as one JSON object on one line, ended by a newline.
pub fn attempt_json(attempt: &Attempt) -> String {
    let mut line = Vec::new();
    push_attempt_json(&mut line, attempt);
    String::from_utf8(line).unwrap_or_else(|error| unreachable!("all that is added is text: {error}"))
}

/// Adds `attempt` to `text`, as one JSON object on one line, ended by a newline.
pub fn push_attempt_json(text: &mut Vec<u8>, attempt: &Attempt) {
    let mut line = Line::after(text);
    line.put(b"{\"client\":");
    line.address(attempt.client.ip());
    line.put(b",\"client_port\":");
    line.number(attempt.client.port().into());
    line.put(b",\"server\":");
    line.address(attempt.server.ip());
    line.put(b",\"server_port\":");
    line.number(attempt.server.port().into());
    line.put(b",\"first_syn\":");
    line.instant(attempt.first_syn);
    line.put(b",\"isn\":");
    line.number(attempt.isn.0.into());
    line.put(b",\"syn\":");
    line.number(attempt.syn.into());
    line.put(b",\"syn_ack\":");
    line.number(attempt.syn_ack.into());
    line.put(b",\"handshake\":\"");
    line.word(attempt.handshake.name());
    match attempt.reset_after_handshake_by.map(ResetBy::name) {
        None => line.put(b"\",\"reset_after_handshake_by\":null,\"client_bytes\":"),
        Some(by) => {
            line.put(b"\",\"reset_after_handshake_by\":\"");
            line.word(by);
            line.put(b"\",\"client_bytes\":");
        }
    }
    line.number(attempt.client_bytes);
    line.put(b",\"server_bytes\":");
    line.number(attempt.server_bytes);
    match attempt.server_banner.as_deref() {
        None => line.put(b",\"server_banner\":null"),
        Some(banner) => {
            line.put(b",\"server_banner\":");
            line.text(banner);
        }
    }
    match attempt.icmp {
        None => line.put(b",\"icmp\":null,\"outcome\":\""),
        Some(icmp) => {
            line.put(b",\"icmp\":{\"type\":");
            line.number(icmp.icmp_type.into());
            line.put(b",\"code\":");
            line.number(icmp.code.into());
            line.put(b",\"from\":");
            line.address(icmp.from);
            line.put(b"},\"outcome\":\"");
        }
    }
    line.word(attempt.outcome.name());
    match attempt.signature.map(Signature::name) {
        None => line.put(b"\",\"signature\":null}\n"),
        Some(signature) => {
            line.put(b"\",\"signature\":\"");
            line.word(signature);
            line.put(b"\"}\n");
        }
    }
    line.end();
}

/// Bytes that a line may have, a banner of [`ORDINARY`] bytes included, and those that may be copied beyond its end.
const LONGEST: usize = 1024;

/// Bytes that a banner has at most, where nothing in it has to be escaped.
const ORDINARY: usize = 256;

/// A line being written. Pieces whose length is not known in advance are copied in a length that is, and what is too much is
/// written over: that spares a call, and the branches on the length in it, which nobody can predict.
struct Line<'a> {
    text: &'a mut Vec<u8>,
    len: usize,
}

impl<'a> Line<'a> {
    fn after(text: &'a mut Vec<u8>) -> Self {
        let len = text.len();
        text.resize(len + LONGEST, 0);
        Self { text, len }
    }

    fn end(self) {
        self.text.truncate(self.len);
    }

    /// Adds a piece.
    #[inline]
    fn put<const N: usize>(&mut self, piece: &[u8; N]) {
        self.put_some(piece, N);
    }

    /// Adds the first `len` bytes of a piece.
    #[inline]
    fn put_some<const N: usize>(&mut self, piece: &[u8; N], len: usize) {
        if let Some(room) = self.text.get_mut(self.len..).and_then(|rest| rest.first_chunk_mut()) {
            *room = *piece;
        }
        self.len += len;
    }

    /// Adds bytes of any number.
    fn put_all(&mut self, bytes: &[u8]) {
        self.text.truncate(self.len);
        self.text.extend_from_slice(bytes);
        self.len = self.text.len();
        self.text.resize(self.len + LONGEST, 0);
    }

    /// Adds a word of no more than [`ORDINARY`] bytes.
    #[inline]
    fn word(&mut self, word: &str) {
        let end = self.len + word.len();
        if let Some(room) = self.text.get_mut(self.len..end) {
            room.copy_from_slice(word.as_bytes());
        }
        self.len = end;
    }

    #[inline]
    fn number(&mut self, number: u64) {
        if number < 10 {
            self.put(&[b'0' + number as u8]);
            return;
        }
        let mut digits = [0; 2 * DIGITS];
        let (mut start, mut rest) = (DIGITS, number);
        while rest >= 10 {
            start -= 2;
            digits[start..start + 2].copy_from_slice(&PAIRS[(rest % 100) as usize]);
            rest /= 100;
        }
        if rest > 0 {
            start -= 1;
            digits[start] = b'0' + rest as u8;
        }
        if let Some(piece) = digits[start..].first_chunk::<DIGITS>() {
            self.put_some(piece, DIGITS - start);
        }
    }

    /// Seconds since the epoch, as the timestamp's `Display` has them.
    fn instant(&mut self, at: Timestamp) {
        const SECOND: u64 = 1_000_000_000;
        let nanos = at.nanos().unsigned_abs();
        if at.nanos() < 0 {
            self.put(b"-");
        }
        self.number(nanos / SECOND);
        if at.digits() > 0 {
            let mut text = [b'.'; 10];
            let mut rest = (nanos % SECOND) as u32;
            for pair in text[2..].chunks_exact_mut(2).rev() {
                pair.copy_from_slice(&PAIRS[(rest % 100) as usize]);
                rest /= 100;
            }
            text[1] = b'0' + rest as u8;
            self.put_some(&text, 1 + usize::from(at.digits()));
        }
    }

    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                self.put(b"\"");
                for octet in address.octets() {
                    let (digits, len) = &OCTETS[usize::from(octet)];
                    self.put_some(digits, *len);
                }
                // In the place of the last point.
                self.len -= 1;
                self.put(b"\"");
            }
            IpAddr::V6(address) => {
                self.put(b"\"");
                self.v6(address);
                self.put(b"\"");
            }
        }
    }

    /// An address as RFC 5952 has it: the first of the longest runs of zeros is left out.
    fn v6(&mut self, address: Ipv6Addr) {
        if address.to_ipv4_mapped().is_some() {
            self.put_all(address.to_string().as_bytes());
            return;
        }
        let groups = address.segments();
        let (mut from, mut length) = (groups.len(), 1);
        let mut at = 0;
        while at < groups.len() {
            let zeros = groups[at..].iter().take_while(|group| **group == 0).count();
            if zeros > length {
                (from, length) = (at, zeros);
            }
            at += zeros.max(1);
        }
        let mut at = 0;
        while at < groups.len() {
            if at == from {
                self.put(if at == 0 { b"::" } else { b":\0" });
                self.len -= usize::from(at > 0);
                at += length;
                continue;
            }
            self.hexadecimal(groups[at]);
            at += 1;
            if at < groups.len() {
                self.put(b":");
            }
        }
    }

    /// A group of an address, without zeros before it.
    fn hexadecimal(&mut self, group: u16) {
        let [high, low] = group.to_be_bytes();
        let ([a, b], [c, d]) = (HEXADECIMAL[usize::from(high)], HEXADECIMAL[usize::from(low)]);
        let digits = (16 - (group | 1).leading_zeros()).div_ceil(4) as usize;
        let text = u32::from_le_bytes([a, b, c, d]) >> (8 * (4 - digits));
        self.put_some(&text.to_le_bytes(), digits);
    }

    /// What came from the network.
    fn text(&mut self, text: &str) {
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        // Without a way out of the loop, so that many bytes are looked at in one step.
        if text.len() <= ORDINARY && text.bytes().fold(true, |all, byte| all & plain(byte)) {
            self.put(b"\"");
            self.word(text);
            self.put(b"\"");
        } else {
            let json = serde_json::to_string(text);
            let json = disarmed(json.unwrap_or_else(|e| unreachable!("strings always serialise: {e}")));
            self.put_all(json.as_bytes());
        }
    }
}

/// As many as the longest number has.
const DIGITS: usize = 20;

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

/// The numbers below a hundred, each as two digits.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
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
    use crate::attempt::{Handshake, IcmpAnswer, Outcome};
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
        for banner in ["", "SSH-2.0-OpenSSH_9.9", "SSH-\"\\/\u{7f}\u{85}\u{202e}é\u{10ffff}\0\t\u{1b}[2J"] {
            attempt.server_banner = Some(banner.to_owned());
            line(&attempt);
        }
    }

    #[test]
    fn addresses_are_what_the_standard_library_writes() {
        let mut attempt = samples::edge_reset().attempts[0].clone();
        let addresses =
            ["0.0.0.0", "255.255.255.255", "10.22.1.100", "::", "::1", "1::", "fe80::1", "::ffff:10.22.0.1"];
        for text in addresses.into_iter().chain([
            "2001:db8::1:0:0:1",
            "2001:db8:0:1::",
            "1:2:3:4:5:6:7:8",
            "0:1::2:0:0:0",
        ]) {
            attempt.client.set_ip(text.parse().unwrap());
            attempt.server.set_ip(text.parse().unwrap());
            line(&attempt);
        }
    }
}
