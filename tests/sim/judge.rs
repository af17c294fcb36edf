//! What must be true of every trace, whoever is guilty.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use whichhop::attempt::Outcome;
use whichhop::diagnose::Findings;
use whichhop::evidence::{Assumption, Suspect};
use whichhop::packet::Undecoded;
use whichhop::path::Segment;
use whichhop::recording::{ConnectStage, Event};

use super::scenario::{Culprit, ResetTtl, Router, RouterFault, Scenario};
use super::session::{BEGIN, EntryBody, Run, deadline, most_open_connections, syn_acks};
use super::wire::{RST, Tcp};

const SECOND: i64 = 1_000_000_000;
/// What ending a trace may take beyond its deadline.
const SLACK: i64 = SECOND / 10;
/// Most SYNs to the port in any second.
const SYN_RATE: usize = 50;
/// Most connections that sshd may see.
const CONNECTIONS: usize = 12;
/// Most ICMP errors asked of one hop, besides one a second.
const HOP_BUDGET: i64 = 5;

/// Every promise that `run` breaks, in words; none if all is well.
pub(crate) fn judge(scenario: &Scenario, run: &Run) -> Vec<String> {
    let mut broken = run.complaints.clone();
    match &run.findings {
        Ok(findings) => {
            soundness(scenario, run, findings, &mut broken);
            form(run, findings, &mut broken);
            truth_of_path(scenario, findings, &mut broken);
        }
        Err(nothing) => broken.push(format!("nothing to diagnose: {nothing}")),
    }
    manners(scenario, run, &mut broken);
    broken
}

/// The promise the whole tool rests on: the guilty is never cleared.
fn soundness(scenario: &Scenario, run: &Run, findings: &Findings, broken: &mut Vec<String>) {
    let verdict = &findings.verdict;
    if findings.outcome == Outcome::Open {
        // Without privilege and without a hop that answers, a local relay and a near VM look the same.
        let beyond_telling = !scenario.machine.raw && findings.path.hops.iter().all(|h| h.address.is_none());
        // A relay shows in what is missing from the capture, or in who answered which SYN: not where packets are missing.
        let unseen = findings.caveats.iter().any(|c| c.contains("silence is not taken as evidence"));
        if !run.read_banner && !beyond_telling && !unseen {
            broken.push("outcome open, but no banner came from the VM".to_owned());
        }
    } else if verdict.standing.is_empty() {
        broken.push(format!("outcome {}, but nobody stands", findings.outcome));
    }
    let Some(guilty) = scenario.guilty else {
        // A conversation may hang for seconds where packets are lost: ssh would hang too.
        let excused = findings.outcome == Outcome::Stalled && !scenario.lossless();
        if findings.outcome != Outcome::Open && (run.read_banner || scenario.lossless()) && !excused {
            broken.push(format!("all is well, but the outcome is {}", findings.outcome));
        }
        return;
    };
    if verdict.cleared.iter().any(|c| c.suspect == guilty) {
        broken.push(format!("THE GUILTY IS CLEARED: {guilty}"));
    }
    // Where chance took every SYN, no link's MTU had a part in it.
    let innocent = guilty == Suspect::TransitMtu && findings.outcome < Outcome::ResetAfterHandshake;
    if findings.outcome == Outcome::Open || innocent || verdict.standing.iter().any(|s| s.suspect == guilty) {
        return;
    }
    let sparing = verdict.assuming.iter().filter(|a| a.suspects.contains(&guilty));
    let assumptions: Vec<Assumption> = sparing.map(|a| a.assumption).collect();
    if assumptions.iter().any(|a| is_false(*a, scenario)) {
        return;
    }
    let hold: Vec<_> = assumptions.iter().map(|a| a.name()).collect();
    let though = if hold.is_empty() { String::new() } else { format!(", and yet {}", hold.join(", ")) };
    broken.push(format!("the guilty does not stand: {guilty}{though}"));
    if let Some(segment) = verdict.segment.filter(|s| *s != guilty.segment()) {
        broken.push(format!("the verdict says {segment}, the guilty {guilty} is in {}", guilty.segment()));
    }
}

/// Whether a verdict's assumption is false in this scenario.
fn is_false(assumption: Assumption, scenario: &Scenario) -> bool {
    let Culprit::Router { index, fault } = scenario.culprit else {
        let odd_vm =
            assumption == Assumption::NoForgery && is_forged(ResetTtl::Initial(scenario.vm.initial_ttl));
        return odd_vm || is_odd(assumption, scenario);
    };
    let guilty = &scenario.routers[index];
    match assumption {
        Assumption::NoForgery => {
            let forges = match fault {
                RouterFault::Reset { style, .. } | RouterFault::Inject { style } => {
                    is_forged(style.ttl) || style.mirrors_tos
                }
                RouterFault::Recognise { ttl, .. } => is_forged(ttl),
                _ => false,
            };
            forges || is_forged(ResetTtl::Initial(guilty.initial_ttl))
        }
        Assumption::EveryBoxAHop => !guilty.decrements,
        Assumption::KnownBorder => {
            let named = scenario.azure_nets.iter().any(|n| n.contains(&guilty.address));
            let private = match guilty.address {
                IpAddr::V4(v4) => v4.is_private(),
                IpAddr::V6(v6) => v6.is_unique_local(),
            };
            // A silent router has no address that could tell, but its neighbours do.
            let tells = matches!(guilty.segment, Segment::Edge) == private && !guilty.silent;
            guilty.segment == Segment::AzureEdge && !named || !tells
        }
        Assumption::OwnAddress
        | Assumption::PlainWay
        | Assumption::OneWayBack
        | Assumption::FlowsAlike
        | Assumption::HalvesAlike
        | Assumption::RestInOrder => is_odd(assumption, scenario),
    }
}

fn is_odd(assumption: Assumption, scenario: &Scenario) -> bool {
    match assumption {
        // A box that answers for the VM, just as the VM would, or that is no hop and stands where the VM does.
        Assumption::OwnAddress => {
            let strange = |r: &Router| !r.decrements || r.habits.answers_echo || r.habits.resets_other_ports;
            let mirrors = matches!(scenario.culprit, Culprit::Router {
                fault: RouterFault::Reset { style, .. } | RouterFault::Inject { style }, ..
            } if style.mirrors_tos);
            mirrors || scenario.routers.iter().any(strange)
        }
        Assumption::HalvesAlike => {
            scenario.passes_fragments || scenario.routers.iter().any(|r| r.tricks.keeps_fragments)
        }
        Assumption::PlainWay => scenario.detour.is_some() || scenario.routers.iter().any(|r| !r.decrements),
        _ => false,
    }
}

/// Whether a reset that begins with this hop limit looks as if it came from elsewhere.
fn is_forged(ttl: ResetTtl) -> bool {
    !matches!(ttl, ResetTtl::Initial(32 | 64 | 128 | 255))
}

/// Whether a verdict is well formed and cites what exists.
fn form(run: &Run, findings: &Findings, broken: &mut Vec<String>) {
    let verdict = &findings.verdict;
    let standing: BTreeSet<_> = verdict.standing.iter().map(|s| s.suspect).collect();
    let cleared: BTreeSet<_> = verdict.cleared.iter().map(|c| c.suspect).collect();
    if standing.len() != verdict.standing.len() || cleared.len() != verdict.cleared.len() {
        broken.push("a suspect is named twice".to_owned());
    }
    let assuming = verdict.assuming.iter().flat_map(|a| &a.suspects).copied();
    for twice in assuming.filter(|s| standing.contains(s) || cleared.contains(s)) {
        broken.push(format!("{twice} is spared, and stands or is cleared"));
    }
    for both in standing.intersection(&cleared) {
        broken.push(format!("{both} stands and is cleared"));
    }
    let segments: BTreeSet<_> = standing.iter().map(|s| s.segment()).collect();
    let only = if segments.len() == 1 { segments.first().copied() } else { None };
    if verdict.segment != only {
        broken.push(format!("segment {:?}, but those who stand lie in {segments:?}", verdict.segment));
    }
    let because =
        verdict.standing.iter().map(|s| &s.because).chain(verdict.cleared.iter().map(|c| &c.because));
    for index in because.flatten() {
        if *index >= findings.evidence.len() {
            broken.push(format!("evidence {index} does not exist"));
        }
    }
    for cleared in verdict.cleared.iter().filter(|c| c.because.is_empty()) {
        broken.push(format!("{} is cleared for no reason", cleared.suspect));
    }
    for evidence in &findings.evidence {
        if evidence.packets.is_empty() {
            broken.push(format!("rule {} cites no record", evidence.rule));
        }
        for number in &evidence.packets {
            if number.0 == 0 || number.0 > run.log.len() as u64 {
                broken.push(format!("rule {} cites record {number} of {}", evidence.rule, run.log.len()));
            }
        }
    }
    for reason in findings.undecoded.keys().filter(|u| **u != Undecoded::NotIp(0x0806)) {
        broken.push(format!("a frame was not understood: {reason:?}"));
    }
}

/// Whether a router stands at another distance than its own.
fn truth_of_path(scenario: &Scenario, findings: &Findings, broken: &mut Vec<String>) {
    let counting: Vec<_> = scenario.routers.iter().filter(|r| r.decrements).map(|r| r.address).collect();
    for hop in &findings.path.hops {
        let place = hop.address.and_then(|a| counting.iter().position(|c| *c == a));
        // A router known by its refusal alone may have decremented the TTL before it refused: one hop too far then.
        let refuses = matches!(scenario.culprit, Culprit::Router { index, fault: RouterFault::Reject { .. } }
            if hop.address == Some(scenario.routers[index].address));
        let right = |truth: usize| {
            truth + 1 == usize::from(hop.number) || (refuses && truth + 2 == usize::from(hop.number))
        };
        if let Some(truth) = place.filter(|p| !right(*p)) {
            broken.push(format!(
                "hop {} of the path is really hop {}{}",
                hop.number,
                truth + 1,
                if scenario.short_v6() { " (short IPv6 quotes)" } else { "" }
            ));
        }
    }
}

/// Whether the tool behaved on the network.
fn manners(scenario: &Scenario, run: &Run, broken: &mut Vec<String>) {
    if run.took > deadline(scenario) + SLACK {
        broken.push(format!("took {} ms", run.took / 1_000_000));
    }
    let most = most_open_connections(&run.log);
    if most > 2 {
        broken.push(format!("{most} kernel connections at once"));
    }
    let connections = run.log.iter().filter(|e| {
        matches!(&e.body, EntryBody::Event(Event::Connect { stage: ConnectStage::Established, .. }))
    });
    if connections.count() > CONNECTIONS {
        broken.push(format!("more than {CONNECTIONS} connections"));
    }
    for crafted in &run.crafted {
        let data = crafted.packet.tcp().is_some_and(|t| !t.data.is_empty());
        if data && scenario.dies_at(crafted.packet.ttl).is_none() {
            broken.push(format!("data with TTL {} can reach the VM", crafted.packet.ttl));
        }
    }
    pacing(scenario, run, broken);
    budget(scenario, run, broken);
    resets(run, broken);
}

fn pacing(scenario: &Scenario, run: &Run, broken: &mut Vec<String>) {
    let to_port = |tcp: &Tcp| tcp.is_syn() && tcp.destination_port == scenario.port;
    let syns: Vec<_> =
        run.crafted.iter().filter(|c| c.packet.tcp().is_some_and(to_port)).map(|c| c.at).collect();
    // A second's worth in any second, and no more than twice the pace in any tenth of one.
    for (span, most, name) in [(SECOND, SYN_RATE, "second"), (SECOND / 10, SYN_RATE / 5, "tenth of a second")]
    {
        let fullest =
            syns.iter().enumerate().map(|(i, first)| syns[i..].partition_point(|s| s - first < span));
        let fullest = fullest.max().unwrap_or_default();
        if fullest > most {
            broken.push(format!("{fullest} SYNs to the port within one {name}"));
        }
    }
}

fn budget(scenario: &Scenario, run: &Run, broken: &mut Vec<String>) {
    let mut asked: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
    let crafted = run.crafted.iter().filter(|c| !c.packet.tcp().is_some_and(|t| t.has(RST)));
    let kernels = run.log.iter().filter_map(|e| match e.body {
        EntryBody::Event(Event::KernelProbe { hop_limit, .. }) => Some((e.at, hop_limit)),
        _ => None,
    });
    for (at, ttl) in crafted.map(|c| (c.at, c.packet.ttl)).chain(kernels) {
        if let Some(router) = scenario.dies_at(ttl) {
            asked.entry(router).or_default().push(at);
        }
    }
    for (router, times) in asked {
        let over =
            times.iter().enumerate().find(|(i, at)| *i as i64 >= HOP_BUDGET + (*at - times[0]) / SECOND);
        if let Some((i, at)) = over {
            let after = (at - times[0]) / 1_000_000;
            broken.push(format!("router {} was asked for {} errors within {after} ms", router + 1, i + 1));
        }
    }
}

/// Half-open connections that crafted SYNs made are reset by the tool, not left to anyone else.
fn resets(run: &Run, broken: &mut Vec<String>) {
    let mut made = BTreeMap::new();
    let mut reset = BTreeSet::new();
    for crafted in &run.crafted {
        let (Some(source), Some(tcp)) = (crafted.packet.tcp_source(), crafted.packet.tcp()) else { continue };
        if tcp.is_syn() {
            made.insert((source, tcp.seq.wrapping_add(1)), crafted.packet.tcp_destination());
        } else if tcp.has(RST) {
            reset.insert((source, tcp.seq));
        }
    }
    let mut left = BTreeSet::new();
    for end in syn_acks(&run.log) {
        if made.contains_key(&end) && !reset.contains(&end) {
            left.insert(end);
        }
    }
    if !left.is_empty() {
        broken.push(format!("{} half-open connections were not reset", left.len()));
    }
}

/// The whole story of a run, for a person who looks for the mistake.
pub(crate) fn story(scenario: &Scenario, run: &Run) -> String {
    let mut story = scenario.to_string();
    for (i, entry) in run.log.iter().enumerate() {
        let _ = write!(story, "{:>5} {:>11.3} ms ", i + 1, (entry.at - BEGIN) as f64 / 1e6);
        let _ = match &entry.body {
            EntryBody::Frame { direction, packet: Some(packet), .. } => {
                writeln!(story, "{direction:<8?} {packet}")
            }
            EntryBody::Frame { direction, packet: None, .. } => writeln!(story, "{direction:<8?} noise"),
            EntryBody::Event(event) => writeln!(story, "event    {event:?}"),
        };
    }
    let _ = writeln!(
        story,
        "took {} ms; {} packets crafted; {} SYNs reached a listening sshd; banner read: {}",
        run.took / 1_000_000,
        run.crafted.len(),
        run.reached_listener,
        run.read_banner
    );
    let Ok(findings) = &run.findings else { return story };
    let _ = writeln!(story, "outcome {}, segment {:?}", findings.outcome, findings.verdict.segment);
    for hop in &findings.path.hops {
        let segments: Vec<_> = hop.segments.iter().map(Segment::name).collect();
        let _ = writeln!(
            story,
            "  hop {:>2} {:<16} {} {}",
            hop.number,
            hop.address.map_or("*".to_owned(), |a| a.to_string()),
            segments.join("/"),
            hop.answered.join(" ")
        );
    }
    for (i, evidence) in findings.evidence.iter().enumerate() {
        let packets: Vec<_> = evidence.packets.iter().map(ToString::to_string).collect();
        let _ = writeln!(story, "  e{i} {}: {} [{}]", evidence.rule, evidence.says, packets.join(" "));
    }
    for s in &findings.verdict.standing {
        let _ =
            writeln!(story, "  stands  {} {} at {:?} {:?}", s.suspect, s.strength.name(), s.hops, s.because);
    }
    for c in &findings.verdict.cleared {
        let _ = writeln!(story, "  cleared {} {:?}", c.suspect, c.because);
    }
    story
}

/// How often the verdict was not only sound but also good, by kind of culprit.
#[derive(Debug, Default)]
pub(crate) struct Statistics(BTreeMap<&'static str, Tally>);

#[derive(Debug, Default)]
struct Tally {
    runs: u32,
    diagnosed: u32,
    right_segment_first: u32,
    guilty_first: u32,
    one_segment: u32,
    outcomes: BTreeMap<&'static str, u32>,
    took: i64,
    crafted: usize,
}

impl Statistics {
    pub(crate) fn count(&mut self, scenario: &Scenario, run: &Run) {
        let tally = self.0.entry(scenario.kind).or_default();
        tally.runs += 1;
        tally.took += run.took;
        tally.crafted += run.crafted.len();
        let Ok(findings) = &run.findings else { return };
        tally.diagnosed += 1;
        *tally.outcomes.entry(findings.outcome.name()).or_default() += 1;
        let (Some(guilty), Some(first)) = (scenario.guilty, findings.verdict.standing.first()) else {
            return;
        };
        tally.right_segment_first += u32::from(first.suspect.segment() == guilty.segment());
        tally.guilty_first += u32::from(first.suspect == guilty);
        tally.one_segment += u32::from(findings.verdict.segment.is_some());
    }

    /// A table.
    pub(crate) fn table(&self) -> String {
        let mut table = format!(
            "{:<22}{:>5}{:>10}{:>9}{:>9}{:>9}{:>8}  outcomes\n",
            "culprit", "runs", "segment 1st", "guilty 1st", "one seg.", "ms", "probes"
        );
        for (kind, tally) in &self.0 {
            let percent = |n: u32| 100 * n / tally.diagnosed.max(1);
            let outcomes: Vec<_> = tally.outcomes.iter().map(|(name, n)| format!("{name} {n}")).collect();
            let _ = writeln!(
                table,
                "{kind:<22}{:>5}{:>9} %{:>8} %{:>7} %{:>9}{:>8}  {}",
                tally.runs,
                percent(tally.right_segment_first),
                percent(tally.guilty_first),
                percent(tally.one_segment),
                tally.took / 1_000_000 / i64::from(tally.runs),
                tally.crafted / tally.runs as usize,
                outcomes.join(", ")
            );
        }
        table
    }
}
