//! Attempts: one as JSON within a report, and one as a row of a table.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::Serialize;
use serde_json::value::RawValue;

use super::layout::printable;
use super::time;
use crate::attempt::{Attempt, Handshake, ResetBy, Signature};
use crate::recording::is_hostile;

/// `attempt` as one JSON object on one line, ended by a newline: what the line by hand is measured by.
#[cfg(test)]
pub(super) fn by_serde(attempt: &Attempt) -> String {
    let text = serde_json::to_string(&AttemptView::of(attempt))
        .unwrap_or_else(|error| unreachable!("strings and numbers always serialise: {error}"));
    let mut line = disarmed(text);
    line.push('\n');
    line
}

/// The heading of a table of attempts, ended by a newline.
pub fn attempts_heading() -> String {
    row(["FIRST SYN (UTC)", "CLIENT", "SERVER", "OUTCOME", "SYN", "SYN/ACK", "SENT", "RECEIVED", "REMARK"])
}

/// `attempt` as a row of that table, ended by a newline.
pub fn attempt_row(attempt: &Attempt) -> String {
    row([
        &time::utc(attempt.first_syn),
        &attempt.client.to_string(),
        &attempt.server.to_string(),
        attempt.outcome.name(),
        &attempt.syn.to_string(),
        &attempt.syn_ack.to_string(),
        &attempt.client_bytes.to_string(),
        &attempt.server_bytes.to_string(),
        &remark(attempt),
    ])
}

/// Columns of the table: the first four begin at the same place in every row unless an IPv6 address is long.
fn row([syn, client, server, outcome, syns, syn_acks, sent, received, remark]: [&str; 9]) -> String {
    let mut row = format!(
        "{syn:<26}  {client:<21}  {server:<21}  {outcome:<21}  {syns:>3}  {syn_acks:>7}  {sent:>8}  {received:>8}"
    );
    if !remark.is_empty() {
        let _ = write!(row, "  {remark}");
    }
    row.push('\n');
    row
}

/// What the other columns do not say.
fn remark(attempt: &Attempt) -> String {
    let mut remarks = Vec::new();
    if let Some(icmp) = attempt.icmp {
        remarks.push(format!("ICMP {}/{} from {}", icmp.icmp_type, icmp.code, icmp.from));
    }
    if let Some(by) = attempt.reset_after_handshake_by {
        remarks.push(match by {
            ResetBy::Client => "reset by the client".to_owned(),
            ResetBy::Server => "reset by the server's side".to_owned(),
            ResetBy::Both => "reset by both".to_owned(),
        });
    }
    if attempt.handshake == Handshake::Completed && attempt.syn_ack == 0 {
        remarks.push("no SYN/ACK captured".to_owned());
    }
    if let Some(banner) = &attempt.server_banner {
        remarks.push(printable(banner).into_owned());
    }
    remarks.join("; ")
}

/// JSON text with the characters escaped that JSON allows and a terminal or a reader could be misled by.
/// Outside strings, none of them occurs but the newline.
pub(super) fn disarmed(json: String) -> String {
    if json.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        if c != '\n' && is_hostile(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A number digit for digit as written.
pub(super) fn number(digits: String) -> Box<RawValue> {
    RawValue::from_string(digits).unwrap_or_else(|error| unreachable!("only digits are passed: {error}"))
}

#[derive(Serialize)]
pub(super) struct AttemptView<'a> {
    client: IpAddr,
    client_port: u16,
    server: IpAddr,
    server_port: u16,
    first_syn: Box<RawValue>,
    isn: u32,
    syn: u32,
    syn_ack: u32,
    handshake: &'static str,
    reset_after_handshake_by: Option<&'static str>,
    client_bytes: u64,
    server_bytes: u64,
    server_banner: Option<&'a str>,
    icmp: Option<IcmpView>,
    outcome: &'static str,
    signature: Option<&'static str>,
}

#[derive(Serialize)]
struct IcmpView {
    #[serde(rename = "type")]
    icmp_type: u8,
    code: u8,
    from: IpAddr,
}

impl<'a> AttemptView<'a> {
    pub(super) fn of(attempt: &'a Attempt) -> Self {
        Self {
            client: attempt.client.ip(),
            client_port: attempt.client.port(),
            server: attempt.server.ip(),
            server_port: attempt.server.port(),
            first_syn: number(attempt.first_syn.to_string()),
            isn: attempt.isn.0,
            syn: attempt.syn,
            syn_ack: attempt.syn_ack,
            handshake: attempt.handshake.name(),
            reset_after_handshake_by: attempt.reset_after_handshake_by.map(ResetBy::name),
            client_bytes: attempt.client_bytes,
            server_bytes: attempt.server_bytes,
            server_banner: attempt.server_banner.as_deref(),
            icmp: attempt.icmp.map(|i| IcmpView { icmp_type: i.icmp_type, code: i.code, from: i.from }),
            outcome: attempt.outcome.name(),
            signature: attempt.signature.map(Signature::name),
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::samples;
    use super::*;
    use crate::packet::SeqNumber;

    #[test]
    fn a_line_is_the_contracts_object() {
        assert_snapshot!(by_serde(&samples::edge_reset().attempts[0]).trim_end(), @r#"{"client":"10.22.1.2","client_port":50022,"server":"198.19.0.4","server_port":22,"first_syn":1511784000.123456789,"isn":305419896,"syn":3,"syn_ack":0,"handshake":"reset","reset_after_handshake_by":null,"client_bytes":0,"server_bytes":0,"server_banner":null,"icmp":null,"outcome":"reset","signature":null}"#);
    }

    #[test]
    fn a_table_of_attempts() {
        let mut attempt = samples::edge_reset().attempts[0].clone();
        let mut table = attempts_heading() + &attempt_row(&attempt);
        attempt.client = "[2001:db8::1:2:3:4]:50022".parse().unwrap();
        attempt.isn = SeqNumber(7);
        attempt.handshake = Handshake::Completed;
        attempt.syn_ack = 0;
        attempt.reset_after_handshake_by = Some(ResetBy::Both);
        attempt.server_banner = Some("SSH-2.0-\x1b[2J".into());
        table += &attempt_row(&attempt);
        assert_snapshot!(table, @r"
        FIRST SYN (UTC)             CLIENT                 SERVER                 OUTCOME                SYN  SYN/ACK      SENT  RECEIVED  REMARK
        2017-11-27 12:00:00.123456  10.22.1.2:50022        198.19.0.4:22          reset                    3        0         0         0
        2017-11-27 12:00:00.123456  [2001:db8::1:2:3:4]:50022  198.19.0.4:22          reset                    3        0         0         0  reset by both; no SYN/ACK captured; SSH-2.0-\u{1b}[2J
        ");
    }

    #[test]
    fn a_hostile_banner_stays_on_its_line() {
        let attempt = &samples::hostile().attempts[0];
        for line in [by_serde(attempt), attempt_row(attempt)] {
            assert!(!line.trim_end_matches('\n').contains(is_hostile), "{line:?}");
        }
    }
}
