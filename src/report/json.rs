//! Findings as JSON: the schema `whichhop.report/1`. The only types that serde sees for it live here.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::value::RawValue;

use super::attempt::{AttemptView, disarmed, number};
use super::layout::milliseconds;
use super::words;
use crate::attempt::Outcome;
use crate::diagnose::Findings;
use crate::evidence::Evidence;
use crate::path::{Change, Hop, Segment};
use crate::verdict::{Assumed, Cleared, NextStep, Standing, Verdict};

/// `findings` as one JSON object, indented by two spaces and ended by a newline. The same findings always
/// give the same bytes.
pub fn json(findings: &Findings) -> String {
    let report = Report::of(findings);
    let text = serde_json::to_string_pretty(&report)
        .unwrap_or_else(|error| unreachable!("strings and numbers always serialise: {error}"));
    let mut out = disarmed(text);
    out.push('\n');
    out
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    target: TargetView<'a>,
    outcome: &'static str,
    verdict: VerdictView,
    path: Vec<HopView<'a>>,
    evidence: Vec<EvidenceView<'a>>,
    attempts: Vec<AttemptView<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other_addresses: Vec<OtherAddress>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    caveats: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    capture: Option<CaptureView>,
    /// Connections that a listener on the port has seen; absent where that is at most one.
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<u64>,
}

impl<'a> Report<'a> {
    fn of(findings: &'a Findings) -> Self {
        Self {
            schema: "whichhop.report/1",
            target: TargetView {
                name: findings.target.name.as_deref(),
                address: findings.target.address,
                port: findings.target.port,
            },
            outcome: findings.outcome.name(),
            verdict: VerdictView::of(&findings.verdict),
            path: findings.path.hops.iter().map(HopView::of).collect(),
            evidence: findings.evidence.iter().enumerate().map(|(i, e)| EvidenceView::of(i, e)).collect(),
            attempts: findings.attempts.iter().map(AttemptView::of).collect(),
            other_addresses: findings.other_addresses.iter().map(OtherAddress::of).collect(),
            caveats: &findings.caveats,
            capture: CaptureView::of(findings),
            connections: Some(findings.connections).filter(|n| *n > 1),
        }
    }
}

#[derive(Serialize)]
struct TargetView<'a> {
    name: Option<&'a str>,
    address: IpAddr,
    port: u16,
}

#[derive(Serialize)]
struct VerdictView {
    segment: Option<&'static str>,
    standing: Vec<StandingView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assuming: Vec<AssumedView>,
    cleared: Vec<ClearedView>,
    next: Vec<String>,
}

impl VerdictView {
    fn of(verdict: &Verdict) -> Self {
        Self {
            segment: verdict.segment.map(Segment::name),
            standing: verdict.standing.iter().map(StandingView::of).collect(),
            assuming: verdict.assuming.iter().map(AssumedView::of).collect(),
            cleared: verdict.cleared.iter().map(ClearedView::of).collect(),
            next: verdict.next.iter().map(next).collect(),
        }
    }
}

#[derive(Serialize)]
struct StandingView {
    suspect: &'static str,
    segment: &'static str,
    hop: Option<u8>,
    address: Option<IpAddr>,
    strength: &'static str,
    because: Vec<String>,
    hops: Vec<u8>,
}

impl StandingView {
    fn of(standing: &Standing) -> Self {
        Self {
            suspect: standing.suspect.name(),
            segment: standing.suspect.segment().name(),
            hop: standing.hop,
            address: standing.address,
            strength: standing.strength.name(),
            because: ids(&standing.because),
            hops: standing.hops.clone(),
        }
    }
}

#[derive(Serialize)]
struct AssumedView {
    assumption: &'static str,
    says: &'static str,
    suspects: Vec<&'static str>,
    because: Vec<String>,
}

impl AssumedView {
    fn of(assumed: &Assumed) -> Self {
        Self {
            assumption: assumed.assumption.name(),
            says: words::assumption(assumed.assumption),
            suspects: assumed.suspects.iter().map(|s| s.name()).collect(),
            because: ids(&assumed.because),
        }
    }
}

#[derive(Serialize)]
struct ClearedView {
    suspect: &'static str,
    segment: &'static str,
    because: Vec<String>,
}

impl ClearedView {
    fn of(cleared: &Cleared) -> Self {
        Self {
            suspect: cleared.suspect.name(),
            segment: cleared.suspect.segment().name(),
            because: ids(&cleared.because),
        }
    }
}

fn next(step: &NextStep) -> String {
    match &step.command {
        Some(command) => format!("{}: `{command}`", step.why.trim_end_matches(['.', ':'])),
        None => step.why.clone(),
    }
}

/// The id by which a report calls its piece of evidence number `index`, counted from 0.
pub(super) fn id(index: usize) -> String {
    format!("e{}", index + 1)
}

fn ids(because: &[usize]) -> Vec<String> {
    because.iter().copied().map(id).collect()
}

#[derive(Serialize)]
struct HopView<'a> {
    hop: u8,
    address: Option<IpAddr>,
    segment: &'static str,
    rtt_ms: Option<Box<RawValue>>,
    answered: &'a [String],
    #[serde(skip_serializing_if = "<[IpAddr]>::is_empty")]
    others: &'a [IpAddr],
    #[serde(flatten)]
    doubt: Option<Doubt>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<ChangeView<'a>>,
}

/// What of the SYNs had changed when they got to a hop.
#[derive(Serialize)]
struct ChangeView<'a> {
    field: &'static str,
    sent: &'a str,
    quoted: &'a str,
    after: u8,
}

impl<'a> ChangeView<'a> {
    fn of(change: &'a Change) -> Self {
        Self { field: change.field.name(), sent: &change.sent, quoted: &change.quoted, after: change.after }
    }
}

/// Said of a hop where `segment` is only the likeliest.
#[derive(Serialize)]
struct Doubt {
    certain: bool,
    segments: Vec<&'static str>,
}

impl<'a> HopView<'a> {
    fn of(hop: &'a Hop) -> Self {
        Self {
            hop: hop.number,
            address: hop.address,
            segment: hop.segments.likeliest().name(),
            rtt_ms: hop.rtt.map(|ns| number(shortest(&milliseconds(ns)))),
            answered: &hop.answered,
            others: &hop.others,
            changed: hop.changes.iter().map(ChangeView::of).collect(),
            doubt: match hop.segments.known() {
                Some(_) => None,
                None => {
                    Some(Doubt { certain: false, segments: hop.segments.iter().map(Segment::name).collect() })
                }
            },
        }
    }
}

/// A decimal number without trailing zeros.
fn shortest(decimal: &str) -> String {
    decimal.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[derive(Serialize)]
struct EvidenceView<'a> {
    id: String,
    rule: &'static str,
    says: &'a str,
    packets: Vec<u64>,
}

impl<'a> EvidenceView<'a> {
    fn of(index: usize, evidence: &'a Evidence) -> Self {
        Self {
            id: id(index),
            rule: evidence.rule,
            says: &evidence.says,
            packets: evidence.packets.iter().map(|p| p.0).collect(),
        }
    }
}

#[derive(Serialize)]
struct OtherAddress {
    address: IpAddr,
    outcome: &'static str,
}

impl OtherAddress {
    fn of((address, outcome): &(IpAddr, Outcome)) -> Self {
        Self { address: *address, outcome: outcome.name() }
    }
}

/// What the capture held and the report could not use.
#[derive(Serialize)]
struct CaptureView {
    undecoded: Vec<UndecodedView>,
    evicted_attempts: u64,
}

#[derive(Serialize)]
struct UndecodedView {
    reason: String,
    frames: u64,
}

impl CaptureView {
    fn of(findings: &Findings) -> Option<Self> {
        if findings.undecoded.is_empty() && findings.evicted == 0 {
            return None;
        }
        let undecoded = findings
            .undecoded
            .iter()
            .map(|(why, frames)| UndecodedView { reason: why.to_string(), frames: *frames });
        Some(Self { undecoded: undecoded.collect(), evicted_attempts: findings.evicted })
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::Value;

    use super::super::samples;
    use super::*;
    use crate::recording::is_hostile;

    #[test]
    fn the_contracts_example() {
        assert_snapshot!(json(&samples::edge_reset()));
    }

    #[test]
    fn uncertain_hops_other_addresses_and_caveats() {
        assert_snapshot!(json(&samples::silent()));
    }

    #[test]
    fn milliseconds_have_no_float_artefacts() {
        for (ns, text) in [
            (0, "0"),
            (310_000, "0.31"),
            (1_000_000, "1"),
            (12_345_678, "12.346"),
            (999_999_600, "1000"),
            (499, "0"),
            (500, "0.001"),
            (-310_000, "-0.31"),
            (-1, "0"),
            (100_000_000, "100"),
        ] {
            assert_eq!(shortest(&milliseconds(ns)), text, "{ns} ns");
            assert!(serde_json::from_str::<Value>(text).is_ok());
        }
    }

    #[test]
    fn first_syn_keeps_the_captures_digits() {
        let mut findings = samples::edge_reset();
        assert!(json(&findings).contains("\"first_syn\": 1511784000.123456789,"));
        findings.attempts[0].first_syn = findings.attempts[0].first_syn.with_digits(6);
        assert!(json(&findings).contains("\"first_syn\": 1511784000.123456,"));
        findings.attempts[0].first_syn = findings.attempts[0].first_syn.with_digits(0);
        assert!(json(&findings).contains("\"first_syn\": 1511784000,"));
    }

    #[test]
    fn hostile_text_survives_as_text_and_reaches_no_terminal() {
        let findings = samples::hostile();
        let out = json(&findings);
        assert!(!out.contains(|c| c != '\n' && is_hostile(c)), "{out}");
        let value: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            value["attempts"][0]["server_banner"],
            **findings.attempts[0].server_banner.as_ref().unwrap()
        );
        assert_eq!(value["target"]["name"], *findings.target.name.as_ref().unwrap());
    }

    #[test]
    fn every_sample_is_json_and_cites_only_evidence_it_has() {
        for (name, findings) in samples::all() {
            let value: Value = serde_json::from_str(&json(&findings)).unwrap();
            let known: Vec<_> =
                value["evidence"].as_array().unwrap().iter().map(|e| e["id"].clone()).collect();
            for list in ["standing", "cleared"] {
                for one in value["verdict"][list].as_array().unwrap() {
                    for id in one["because"].as_array().unwrap() {
                        assert!(known.contains(id), "{name}: {id}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_step_with_a_command_is_one_string() {
        let step = |why: &str, command: Option<&str>| {
            next(&NextStep { why: why.into(), command: command.map(Into::into) })
        };
        assert_eq!(step("Look at the VM.", Some("ip a")), "Look at the VM: `ip a`");
        assert_eq!(step("Look at the VM.", None), "Look at the VM.");
    }
}
