//! Attempts as JSON, one a line: millions of them, so that each number is written by hand. The same as serde writes, byte
//! for byte, as a test says.

use std::io::Write as _;
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

/// Adds `attempt` to `line`, as one JSON object on one line, ended by a newline.
pub fn push_attempt_json(line: &mut Vec<u8>, attempt: &Attempt) {
    line.extend_from_slice(b"{\"client\":");
    address(line, attempt.client.ip());
    line.extend_from_slice(b",\"client_port\":");
    number(line, attempt.client.port());
    line.extend_from_slice(b",\"server\":");
    address(line, attempt.server.ip());
    line.extend_from_slice(b",\"server_port\":");
    number(line, attempt.server.port());
    line.extend_from_slice(b",\"first_syn\":");
    instant(line, attempt.first_syn);
    line.extend_from_slice(b",\"isn\":");
    number(line, attempt.isn.0);
    line.extend_from_slice(b",\"syn\":");
    count(line, attempt.syn);
    line.extend_from_slice(b",\"syn_ack\":");
    count(line, attempt.syn_ack);
    line.extend_from_slice(b",\"handshake\":\"");
    line.extend_from_slice(attempt.handshake.name().as_bytes());
    match attempt.reset_after_handshake_by.map(ResetBy::name) {
        None => line.extend_from_slice(b"\",\"reset_after_handshake_by\":null,\"client_bytes\":"),
        Some(by) => {
            line.extend_from_slice(b"\",\"reset_after_handshake_by\":\"");
            line.extend_from_slice(by.as_bytes());
            line.extend_from_slice(b"\",\"client_bytes\":");
        }
    }
    number(line, attempt.client_bytes);
    line.extend_from_slice(b",\"server_bytes\":");
    number(line, attempt.server_bytes);
    match attempt.server_banner.as_deref() {
        None => line.extend_from_slice(b",\"server_banner\":null"),
        Some(banner) => {
            line.extend_from_slice(b",\"server_banner\":");
            text(line, banner);
        }
    }
    match attempt.icmp {
        None => line.extend_from_slice(b",\"icmp\":null,\"outcome\":\""),
        Some(icmp) => {
            line.extend_from_slice(b",\"icmp\":{\"type\":");
            count(line, icmp.icmp_type.into());
            line.extend_from_slice(b",\"code\":");
            count(line, icmp.code.into());
            line.extend_from_slice(b",\"from\":");
            address(line, icmp.from);
            line.extend_from_slice(b"},\"outcome\":\"");
        }
    }
    line.extend_from_slice(attempt.outcome.name().as_bytes());
    match attempt.signature.map(Signature::name) {
        None => line.extend_from_slice(b"\",\"signature\":null}\n"),
        Some(signature) => {
            line.extend_from_slice(b"\",\"signature\":\"");
            line.extend_from_slice(signature.as_bytes());
            line.extend_from_slice(b"\"}\n");
        }
    }
}

fn number(line: &mut Vec<u8>, number: impl itoa::Integer) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A number that nearly always has one digit.
fn count(line: &mut Vec<u8>, count: u32) {
    if count < 10 { line.push(b'0' + count as u8) } else { number(line, count) }
}

/// Seconds since the epoch, as the timestamp's `Display` has them.
fn instant(line: &mut Vec<u8>, at: Timestamp) {
    const SECOND: u64 = 1_000_000_000;
    let nanos = at.nanos().unsigned_abs();
    if at.nanos() < 0 {
        line.push(b'-');
    }
    number(line, nanos / SECOND);
    if at.digits() > 0 {
        // A digit before those of the fraction keeps its zeros; the point takes its place.
        let mut digits = itoa::Buffer::new();
        let start = line.len();
        line.extend_from_slice(
            &digits.format(SECOND + nanos % SECOND).as_bytes()[..=usize::from(at.digits())],
        );
        line[start] = b'.';
    }
}

fn address(line: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let mut text = [b'"'; 1 + 4 * OCTET];
            let mut end = 1;
            for octet in address.octets() {
                let (digits, len) = OCTETS[usize::from(octet)];
                text[end..end + OCTET].copy_from_slice(&digits);
                end += len;
            }
            text[end - 1] = b'"';
            line.extend_from_slice(&text[..end]);
        }
        IpAddr::V6(address) => {
            line.push(b'"');
            v6(line, address);
            line.push(b'"');
        }
    }
}

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

/// An address as RFC 5952 has it: the first of the longest runs of zeros is left out.
fn v6(line: &mut Vec<u8>, address: Ipv6Addr) {
    if address.to_ipv4_mapped().is_some() {
        let _ = write!(line, "{address}");
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
    let mut colon = false;
    for (i, group) in groups.into_iter().enumerate() {
        if i == from {
            line.extend_from_slice(b"::");
            colon = false;
        }
        if (from..from + length).contains(&i) {
            continue;
        }
        if colon {
            line.push(b':');
        }
        hexadecimal(line, group);
        colon = true;
    }
}

/// A group of an address, without zeros before it.
fn hexadecimal(line: &mut Vec<u8>, group: u16) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (16 - (group | 1).leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        line.push(DIGITS[usize::from(group >> (4 * place)) % 16]);
    }
}

/// What came from the network.
fn text(line: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        line.push(b'"');
        line.extend_from_slice(text.as_bytes());
        line.push(b'"');
    } else {
        let json = serde_json::to_string(text);
        let json = disarmed(json.unwrap_or_else(|e| unreachable!("strings always serialise: {e}")));
        line.extend_from_slice(json.as_bytes());
    }
}

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
