//! Findings as text, for 80 columns: the answer, the path, why, who is ruled out, and what to do next.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style as Ansi};

use super::headline::{headline, hops, hops_of};
use super::json::id;
use super::layout::{WIDTH, columns, list, milliseconds, printable, runs, sentence, wrap};
use super::unread::Unread;
use super::{Style, words};
use crate::attempt::Outcome;
use crate::diagnose::Findings;
use crate::evidence::{Evidence, Strength, Suspects};
use crate::path::{Hop, Segment};
use crate::verdict::{Assumed, Cleared, Standing};

const HEADING: Ansi = Ansi::new().bold();
const GOOD: Ansi = AnsiColor::Green.on_default().bold();
const BAD: Ansi = AnsiColor::Red.on_default().bold();
const DOUBT: Ansi = AnsiColor::Yellow.on_default();
const PLAIN: Ansi = Ansi::new();
const DIM: Ansi = Ansi::new().dimmed();

/// Packet numbers listed for one piece of evidence; the rest are counted.
const PACKETS: usize = 12;

/// `findings` as text. Prose keeps to 80 columns; command lines stand alone and whole, to be copied.
pub fn text(findings: &Findings, style: Style) -> String {
    let mut page = Page { out: String::new(), style };
    let tone = match findings.outcome {
        Outcome::Open => GOOD,
        Outcome::Completed => HEADING,
        Outcome::Intercepted if findings.is_relayed() => DOUBT,
        _ => BAD,
    };
    page.prose(tone, "", &headline(findings));
    path(&mut page, findings);
    suspects(&mut page, &findings.verdict.standing);
    taken_for_granted(&mut page, &findings.verdict.assuming);
    why(&mut page, findings);
    ruled_out(&mut page, &findings.verdict.cleared);
    next(&mut page, findings);
    other_addresses(&mut page, findings);
    notes(&mut page, findings);
    page.out
}

/// The report as far as it is written.
struct Page {
    out: String,
    style: Style,
}

impl Page {
    fn heading(&mut self, title: &str) {
        self.out.push('\n');
        self.line(HEADING, title);
    }

    /// Prose behind `first`, wrapped and indented to it.
    fn prose(&mut self, ansi: Ansi, first: &str, text: &str) {
        for line in wrap(first, text) {
            self.line(ansi, &line);
        }
    }

    fn line(&mut self, ansi: Ansi, text: &str) {
        let text = text.trim_end();
        match self.style {
            Style::Plain => self.out.push_str(text),
            Style::Coloured => {
                let _ = write!(self.out, "{ansi}{text}{ansi:#}");
            }
        }
        self.out.push('\n');
    }
}

/// One row of the path.
struct Row {
    mark: Option<Strength>,
    hop: String,
    address: String,
    rtt: String,
    segment: String,
    notes: Vec<String>,
}

fn path(page: &mut Page, findings: &Findings) {
    if findings.path.hops.is_empty() {
        return;
    }
    let rows = rows(findings);
    let width = |cell: fn(&Row) -> &str| rows.iter().map(|r| columns(cell(r))).max().unwrap_or(0);
    let (hop, address) = (width(|r| &r.hop), width(|r| &r.address));
    let (rtt, segment) = (width(|r| &r.rtt), width(|r| &r.segment));

    page.heading("Path");
    for row in &rows {
        let line = format!(
            "{} {:>hop$}  {:address$}  {:>rtt$}  {:segment$}",
            mark(row.mark),
            row.hop,
            row.address,
            row.rtt,
            row.segment,
        );
        let ansi = tone(row.mark);
        let notes = row.notes.join("; ");
        if notes.is_empty() || columns(&line) + 2 + columns(&notes) <= WIDTH {
            page.line(ansi, &format!("{line}  {notes}"));
        } else {
            page.line(ansi, &line);
            page.prose(ansi, &" ".repeat(hop + 6), &notes);
        }
    }
}

/// The path from the client to the target; a row of its own stands for what was not seen in between.
fn rows(findings: &Findings) -> Vec<Row> {
    let path = &findings.path;
    let end = path.target.filter(|n| path.hops.iter().any(|h| h.number == *n));
    let client = findings.attempts.first().map(|a| a.client.ip());
    let mut rows = vec![Row {
        mark: None,
        hop: "0".to_owned(),
        address: client.map_or_else(|| "-".to_owned(), |a| a.to_string()),
        rtt: String::new(),
        segment: Segment::Client.to_string(),
        notes: Vec::new(),
    }];
    let mut places = vec![Place::Client];
    for hop in &path.hops {
        rows.push(hop_row(hop));
        places.push(if end == Some(hop.number) {
            Place::End(Some(hop.number))
        } else {
            Place::Hop(hop.number)
        });
    }
    if end.is_none() {
        let last = path.hops.last().map_or(0, |h| h.number);
        if path.target.is_none_or(|n| n > last + 1) {
            rows.push(Row {
                mark: None,
                hop: "…".to_owned(),
                address: "(not seen)".to_owned(),
                rtt: String::new(),
                segment: String::new(),
                notes: Vec::new(),
            });
            places.push(Place::Unseen);
        }
        rows.push(Row {
            mark: None,
            hop: path.target.map_or_else(|| "?".to_owned(), |n| n.to_string()),
            address: findings.target.address.to_string(),
            rtt: String::new(),
            segment: Segment::Vm.to_string(),
            notes: Vec::new(),
        });
        places.push(Place::End(path.target));
    }
    for standing in &findings.verdict.standing {
        for (row, place) in rows.iter_mut().zip(&places) {
            if place.may_hold(standing, &places) {
                row.mark = row.mark.max(Some(standing.strength));
            }
        }
    }
    rows
}

/// What a row of the path stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Client,
    Hop(u8),
    Unseen,
    End(Option<u8>),
}

impl Place {
    /// Whether `standing` may be here, on a path of `places`.
    fn may_hold(self, standing: &Standing, places: &[Self]) -> bool {
        let hops = hops_of(standing);
        match (self, standing.suspect.segment()) {
            (Self::Client, segment) => segment == Segment::Client,
            (Self::End(_), Segment::Vm) => true,
            (_, Segment::Client | Segment::Vm) => false,
            (Self::Hop(n), _) => hops.contains(&n),
            (Self::End(n), _) => n.is_some_and(|n| hops.contains(&n)),
            (Self::Unseen, _) => {
                let shown = |n: &u8| places.contains(&Self::Hop(*n)) || places.contains(&Self::End(Some(*n)));
                hops.is_empty() || hops.iter().any(|n| !shown(n))
            }
        }
    }
}

fn hop_row(hop: &Hop) -> Row {
    let doubt = if hop.segments.known().is_some() { "" } else { "?" };
    let mut notes = Vec::new();
    if !hop.answered.is_empty() {
        notes.push(printable(&hop.answered.join(", ")).into_owned());
    }
    if !hop.others.is_empty() {
        let others: Vec<_> = hop.others.iter().map(ToString::to_string).collect();
        notes.push(format!("also {}", others.join(", ")));
    }
    if !hop.changes.is_empty() {
        let fields: Vec<String> = hop.changes.iter().map(|c| c.field.to_string()).collect();
        notes.push(format!("gets SYNs with another {}", list(&fields, "and")));
    }
    Row {
        mark: None,
        hop: hop.number.to_string(),
        address: hop.address.map_or_else(|| "*".to_owned(), |a| a.to_string()),
        rtt: hop.rtt.map_or_else(String::new, |ns| format!("{} ms", milliseconds(ns))),
        segment: format!("{}{doubt}", hop.segments.likeliest()),
        notes,
    }
}

/// ▶ marks what the evidence points to, ▷ what nothing clears.
fn mark(strength: Option<Strength>) -> char {
    match strength {
        None => ' ',
        Some(Strength::Possible) => '▷',
        Some(Strength::Likely | Strength::Proven) => '▶',
    }
}

fn tone(strength: Option<Strength>) -> Ansi {
    match strength {
        None => PLAIN,
        Some(Strength::Possible) => DOUBT,
        Some(Strength::Likely | Strength::Proven) => BAD,
    }
}

/// Who stands, one paragraph for those that differ in the suspect alone.
fn suspects(page: &mut Page, standing: &[Standing]) {
    if standing.is_empty() {
        return;
    }
    let mut groups: Vec<(Strength, Segment, BTreeSet<u8>, Vec<String>)> = Vec::new();
    for one in standing {
        let (segment, at) = (one.suspect.segment(), hops_of(one));
        let words = words::suspect(one.suspect).to_owned();
        match groups.iter_mut().find(|g| g.0 == one.strength && g.1 == segment && g.2 == at) {
            Some(group) => group.3.push(words),
            None => groups.push((one.strength, segment, at, vec![words])),
        }
    }
    page.heading("Suspects");
    for (strength, segment, at, suspects) in groups {
        let first = format!("{} {:<8}  ", mark(Some(strength)), strength.name());
        let place = hops(&at).map_or_else(String::new, |hops| format!(", {hops}"));
        let text = format!("{}{place}: {}", words::segment(segment), list(&suspects, "or"));
        page.prose(tone(Some(strength)), &first, &text);
    }
}

/// What the verdict rests on beside the packets, and who stands if it is not so.
fn taken_for_granted(page: &mut Page, assuming: &[Assumed]) {
    if assuming.is_empty() {
        return;
    }
    page.heading("Taken for granted");
    for assumed in assuming {
        let segments: BTreeSet<Segment> = assumed.suspects.iter().map(|s| s.segment()).collect();
        let segments: Vec<_> = segments.into_iter().map(|s| words::segment(s).to_owned()).collect();
        let because: Vec<_> = assumed.because.iter().copied().map(id).collect();
        let text = format!(
            "{} ({}). If not, {} could do it too.",
            sentence(words::assumption(assumed.assumption)).trim_end_matches('.'),
            because.join(", "),
            list(&segments, "or"),
        );
        page.prose(DIM, "  - ", &text);
    }
}

/// The evidence: first what speaks against those who stand, then what clears, then the rest.
fn why(page: &mut Page, findings: &Findings) {
    let verdict = &findings.verdict;
    let cited = verdict.standing.iter().flat_map(|s| &s.because);
    let clearing = verdict.cleared.iter().flat_map(|c| &c.because);
    let mut order: Vec<usize> = Vec::new();
    for index in cited.chain(clearing).copied().chain(0..findings.evidence.len()) {
        if !order.contains(&index) {
            order.push(index);
        }
    }
    let said: Vec<_> = order.into_iter().filter_map(|i| Some((i, findings.evidence.get(i)?))).collect();
    if said.is_empty() {
        return;
    }
    let width = said.iter().map(|(i, _)| columns(&id(*i))).max().unwrap_or(0);
    page.heading("Why");
    for (index, evidence) in said {
        page.prose(PLAIN, &format!("  {:<width$}  ", id(index)), &with_packets(evidence));
    }
}

fn with_packets(evidence: &Evidence) -> String {
    let says = printable(&evidence.says);
    let mut numbers: Vec<u64> = evidence.packets.iter().map(|p| p.0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let total = numbers.len();
    let shown = runs(numbers.iter().copied().take(PACKETS)).join(", ");
    match total {
        0 => says.into_owned(),
        1 => format!("{says} [packet {shown}]"),
        _ if total > PACKETS => format!("{says} [packets {shown} and {} more]", total - PACKETS),
        _ => format!("{says} [packets {shown}]"),
    }
}

fn ruled_out(page: &mut Page, cleared: &[Cleared]) {
    if cleared.is_empty() {
        return;
    }
    page.heading("Ruled out");
    for segment in Segment::ALL {
        let here: Vec<_> = cleared.iter().filter(|c| c.suspect.segment() == segment).collect();
        if here.is_empty() {
            continue;
        }
        let everyone = Suspects::in_segment(segment);
        let who: Suspects = here.iter().map(|c| c.suspect).collect();
        let who = if who == everyone {
            "all of it".to_owned()
        } else {
            who.iter().map(words::suspect).collect::<Vec<_>>().join(", ")
        };
        let because: BTreeSet<usize> = here.iter().flat_map(|c| c.because.iter().copied()).collect();
        let because: Vec<_> = because.into_iter().map(id).collect();
        let because = if because.is_empty() { String::new() } else { format!(" ({})", because.join(", ")) };
        page.prose(DIM, &format!("  {:<10}  ", segment.name()), &format!("{who}{because}"));
    }
}

fn next(page: &mut Page, findings: &Findings) {
    let steps = &findings.verdict.next;
    if steps.is_empty() {
        return;
    }
    page.heading("Next");
    for step in steps {
        let why = printable(&step.why);
        if let Some(command) = &step.command {
            page.prose(PLAIN, "  ", &format!("{}:", why.trim_end_matches(['.', ':'])));
            page.line(HEADING, &format!("      {}", printable(command)));
        } else {
            page.prose(PLAIN, "  ", &why);
        }
    }
}

fn other_addresses(page: &mut Page, findings: &Findings) {
    let others = &findings.other_addresses;
    if others.is_empty() {
        return;
    }
    let width = others.iter().map(|(address, _)| columns(&address.to_string())).max().unwrap_or(0);
    page.heading("Other addresses of the name");
    for (address, outcome) in others {
        let address = address.to_string();
        page.line(PLAIN, &format!("  {address:<width$}  {}", words::outcome(*outcome)));
    }
}

/// What limits the findings.
fn notes(page: &mut Page, findings: &Findings) {
    let mut notes: Vec<String> = findings.caveats.iter().map(|c| printable(c).into_owned()).collect();
    let unread = Unread::of(&findings.undecoded);
    for (why, frames) in &unread.named {
        let (frames, verb) = count(*frames, "frame", "was", "were");
        notes.push(format!("{frames} {verb} skipped: {why}."));
    }
    if let Some(others) = unread.others() {
        notes.push(format!("Frames of {others} were skipped."));
    }
    if findings.evicted > 0 {
        let (attempts, verb) = count(findings.evicted, "attempt", "was", "were");
        notes.push(format!("{attempts} {verb} dropped from memory: there were too many at once."));
    }
    if findings.connections > 1 {
        notes.push(format!(
            "{} connections of this trace were taken on port {}; sshd logs each.",
            findings.connections, findings.target.port
        ));
    }
    if notes.is_empty() {
        return;
    }
    page.heading("Note");
    for note in notes {
        page.prose(PLAIN, "  - ", &sentence(&note));
    }
}

fn count(n: u64, noun: &str, one: &'static str, many: &'static str) -> (String, &'static str) {
    if n == 1 { (format!("1 {noun}"), one) } else { (format!("{n} {noun}s"), many) }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::samples;
    use super::*;
    use crate::recording::is_hostile;

    #[test]
    fn reset_at_the_edge() {
        assert_snapshot!(text(&samples::edge_reset(), Style::Plain));
    }

    #[test]
    fn silence_that_several_segments_may_cause() {
        assert_snapshot!(text(&samples::silent(), Style::Plain));
    }

    #[test]
    fn sshd_does_not_run() {
        assert_snapshot!(text(&samples::sshd_stopped(), Style::Plain));
    }

    #[test]
    fn open() {
        assert_snapshot!(text(&samples::open(), Style::Plain));
    }

    #[test]
    fn the_local_firewall() {
        assert_snapshot!(text(&samples::local_failure(), Style::Plain));
    }

    #[test]
    fn answers_that_the_client_drops() {
        assert_snapshot!(text(&samples::half_open(), Style::Plain));
    }

    #[test]
    fn a_long_path_over_ipv6() {
        assert_snapshot!(text(&samples::ipv6(), Style::Plain));
    }

    #[test]
    fn hostile_text_is_shown_escaped() {
        let out = text(&samples::hostile(), Style::Plain);
        assert!(!out.contains(|c| c != '\n' && is_hostile(c)), "{out:?}");
        assert_snapshot!(out);
    }

    #[test]
    fn prose_keeps_to_the_width_and_commands_stay_whole() {
        for (name, findings) in samples::all() {
            let out = text(&findings, Style::Plain);
            let commands: Vec<_> =
                findings.verdict.next.iter().filter_map(|s| s.command.as_deref()).map(printable).collect();
            for command in &commands {
                assert!(out.lines().any(|l| l.trim_start() == command), "{name}: {command}");
            }
            for line in out.lines().filter(|l| !commands.iter().any(|c| l.trim_start() == c)) {
                assert!(columns(line) <= WIDTH, "{name}: {line}");
                assert_eq!(line, line.trim_end(), "{name}");
            }
        }
    }

    #[test]
    fn every_outcome_has_a_plain_answer() {
        let mut lines = String::new();
        for outcome in Outcome::ALL {
            let mut findings = samples::sshd_stopped();
            findings.outcome = *outcome;
            let _ = writeln!(lines, "{outcome}: {}", headline(&findings));
        }
        assert_snapshot!(lines);
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        for (name, findings) in samples::all() {
            let coloured = text(&findings, Style::Coloured);
            let stripped = anstream::adapter::strip_str(&coloured).to_string();
            assert_eq!(stripped, text(&findings, Style::Plain), "{name}");
            assert!(coloured.contains('\x1b'), "{name}");
        }
    }

    #[test]
    fn nobody_standing_is_said() {
        let mut findings = samples::silent();
        findings.verdict.standing.clear();
        let first = text(&findings, Style::Plain).split("\n\n").next().unwrap().replace('\n', " ");
        assert_eq!(
            first,
            "SSH to 198.19.0.4 port 22 does not work (nothing answered), and nothing shows who stops it."
        );
    }

    #[test]
    fn evidence_against_those_who_stand_comes_first() {
        let out = text(&samples::edge_reset(), Style::Plain);
        let at = |id: &str| out.find(&format!("\n  {id}  ")).unwrap();
        assert!(at("e3") < at("e4") && at("e4") < at("e1"), "{out}");
    }

    #[test]
    fn long_lists_of_packets_are_cut() {
        let mut findings = samples::edge_reset();
        findings.evidence[2].packets = (1..=60).step_by(2).map(crate::recording::RecordNumber).collect();
        let out = text(&findings, Style::Plain);
        let flat = out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("[packets 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23 and 18 more]"), "{flat}");
    }
}
