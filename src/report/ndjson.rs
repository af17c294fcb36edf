//! Attempts as JSON, one a line: millions of them, so that each number is written by hand. The same as serde writes, byte
//! for byte, as a test says.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use super::attempt::disarmed;
use crate::attempt::{Attempt, ResetBy, Signature};
use crate::recording::Timestamp;

/// `attempt` as one JSON object on one line, ended by a newline.
pub fn attempt_json(attempt: &Attempt) -> String {
    let mut line = String::new();
    push_attempt_json(&mut line, attempt);
    line
}

/// Adds `attempt` to `line`, as one JSON object on one line, ended by a newline.
pub fn push_attempt_json(line: &mut String, attempt: &Attempt) {
    line.push_str("{\"client\":");
    address(line, attempt.client.ip());
    line.push_str(",\"client_port\":");
    number(line, attempt.client.port());
    line.push_str(",\"server\":");
    address(line, attempt.server.ip());
    line.push_str(",\"server_port\":");
    number(line, attempt.server.port());
    line.push_str(",\"first_syn\":");
    instant(line, attempt.first_syn);
    line.push_str(",\"isn\":");
    number(line, attempt.isn.0);
    line.push_str(",\"syn\":");
    number(line, attempt.syn);
    line.push_str(",\"syn_ack\":");
    number(line, attempt.syn_ack);
    line.push_str(",\"handshake\":");
    word(line, Some(attempt.handshake.name()));
    line.push_str(",\"reset_after_handshake_by\":");
    word(line, attempt.reset_after_handshake_by.map(ResetBy::name));
    line.push_str(",\"client_bytes\":");
    number(line, attempt.client_bytes);
    line.push_str(",\"server_bytes\":");
    number(line, attempt.server_bytes);
    line.push_str(",\"server_banner\":");
    text(line, attempt.server_banner.as_deref());
    line.push_str(",\"icmp\":");
    if let Some(icmp) = attempt.icmp {
        line.push_str("{\"type\":");
        number(line, icmp.icmp_type);
        line.push_str(",\"code\":");
        number(line, icmp.code);
        line.push_str(",\"from\":");
        address(line, icmp.from);
        line.push('}');
    } else {
        line.push_str("null");
    }
    line.push_str(",\"outcome\":");
    word(line, Some(attempt.outcome.name()));
    line.push_str(",\"signature\":");
    word(line, attempt.signature.map(Signature::name));
    line.push_str("}\n");
}

fn number(line: &mut String, number: impl itoa::Integer) {
    line.push_str(itoa::Buffer::new().format(number));
}

/// Seconds since the epoch, as the timestamp's `Display` has them.
fn instant(line: &mut String, at: Timestamp) {
    const SECOND: u64 = 1_000_000_000;
    let nanos = at.nanos().unsigned_abs();
    if at.nanos() < 0 {
        line.push('-');
    }
    number(line, nanos / SECOND);
    if at.digits() > 0 {
        line.push('.');
        // A digit before those of the fraction keeps its zeros.
        let mut digits = itoa::Buffer::new();
        line.push_str(&digits.format(SECOND + nanos % SECOND)[1..=usize::from(at.digits())]);
    }
}

fn address(line: &mut String, address: IpAddr) {
    line.push('"');
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            octet(line, a);
            for later in [b, c, d] {
                line.push('.');
                octet(line, later);
            }
        }
        IpAddr::V6(address) => v6(line, address),
    }
    line.push('"');
}

/// A number of up to three digits.
fn octet(line: &mut String, octet: u8) {
    let digit = |number: u8| char::from(b'0' + number % 10);
    if octet >= 100 {
        line.push(digit(octet / 100));
    }
    if octet >= 10 {
        line.push(digit(octet / 10));
    }
    line.push(digit(octet));
}

/// An address as RFC 5952 has it: the first of the longest runs of zeros is left out.
fn v6(line: &mut String, address: Ipv6Addr) {
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
            line.push_str("::");
            colon = false;
        }
        if (from..from + length).contains(&i) {
            continue;
        }
        if colon {
            line.push(':');
        }
        hexadecimal(line, group);
        colon = true;
    }
}

/// A group of an address, without zeros before it.
fn hexadecimal(line: &mut String, group: u16) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (16 - (group | 1).leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        line.push(DIGITS[usize::from(group >> (4 * place)) % 16].into());
    }
}

/// One of our own words, in which nothing has to be escaped.
fn word(line: &mut String, word: Option<&str>) {
    let Some(word) = word else { return line.push_str("null") };
    line.push('"');
    line.push_str(word);
    line.push('"');
}

/// What came from the network.
fn text(line: &mut String, text: Option<&str>) {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    match text {
        Some(odd) if !odd.bytes().all(plain) => {
            let json = serde_json::to_string(odd);
            line.push_str(&disarmed(json.unwrap_or_else(|e| unreachable!("strings always serialise: {e}"))));
        }
        text => word(line, text),
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
        let mut line = String::new();
        push_attempt_json(&mut line, attempt);
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
