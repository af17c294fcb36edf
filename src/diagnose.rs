//! The only composition: records in, findings out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::attempt::{Attempt, Connection, Connections, Outcome, OwnQuestions, Tracker};
use crate::evidence::{
    Capture, Evidence, Scene, Tunnel, blocked_connection, conversed, decide, gather, is_intercepted,
    others_are_lost,
};
use crate::packet::{Undecoded, decode_captured};
use crate::path::{DataProbe, Networks, Path, Probe, Survey, data_probes};
use crate::recording::{
    Body, EndReason, Event, Record, RecordNumber, Route, Start, Target, Timestamp, Truncation,
};
use crate::verdict::{Case, Verdict, eliminate};

/// What is asked of a diagnosis beyond what the recording says itself.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The port; the recording's own, else 22.
    pub port: Option<u16>,
    /// Networks to count as the organisation's edge, beside the recording's own.
    pub edge_nets: Vec<IpNet>,
    /// Networks to count as Azure, beside the recording's own.
    pub azure_nets: Vec<IpNet>,
}

/// Everything that was found out.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What was traced.
    pub target: TargetFound,
    /// Outcome of the attempt on the SSH port.
    pub outcome: Outcome,
    /// Who did it.
    pub verdict: Verdict,
    /// The way there.
    pub path: Path,
    /// What shows it; `because` fields are indices into this.
    pub evidence: Vec<Evidence>,
    /// What became of the conversation once an SSH identification had been read, whoever answered.
    pub conversation: Option<Outcome>,
    /// The attempts on the port, in order of first SYN.
    pub attempts: Vec<Attempt>,
    /// The other addresses of the name, and how they did.
    pub other_addresses: Vec<(IpAddr, Outcome)>,
    /// What limits these findings: plain sentences.
    pub caveats: Vec<String>,
    /// Frames that could not be read, by reason.
    pub undecoded: BTreeMap<Undecoded, u64>,
    /// Attempts dropped from memory because there were too many at once.
    pub evicted: u64,
    /// Connections of a trace that were established on the port: a listener there has seen as many.
    pub connections: u64,
}

impl Findings {
    /// Whether SSH works, though through something that takes the connection in the VM's place.
    pub fn is_relayed(&self) -> bool {
        self.outcome == Outcome::Intercepted && self.conversation == Some(Outcome::Open)
    }
}

/// What was traced.
#[derive(Clone, Debug)]
pub struct TargetFound {
    /// The name as given.
    pub name: Option<String>,
    /// The address diagnosed.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// Why there is nothing to diagnose.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NothingToDiagnose {
    /// No attempt to connect to the port.
    #[error("no attempt to connect to port {port} in it ({}); name another port with -p", no_syn(.ports))]
    NoSyn {
        /// The port asked for.
        port: u16,
        /// Ports that SYNs were sent to.
        ports: Vec<u16>,
        /// Frames that could not be read, by reason: SYNs may be among them.
        undecoded: BTreeMap<Undecoded, u64>,
    },
}

/// Says that there was no SYN to the ports asked for, but to `ports`.
pub fn no_syn(ports: &[u16]) -> String {
    if ports.is_empty() {
        return "no SYN at all".to_owned();
    }
    let list: Vec<_> = ports.iter().take(8).map(u16::to_string).collect();
    format!("no SYN; there are SYNs to port {}", list.join(", "))
}

/// A diagnosis in the making.
#[derive(Debug, Default)]
pub struct Diagnosis {
    question: Question,
    own: OwnQuestions,
    tracker: Tracker,
    survey: Survey,
    connections: Connections,
    start: Option<Start>,
    routes: Vec<(Route, RecordNumber)>,
    capture_lossy: Option<String>,
    counted: bool,
    ended: Option<EndReason>,
    undecoded: BTreeMap<Undecoded, u64>,
    frames: u64,
    bare_link: bool,
    /// What was read from tunnels, from first to last.
    tunnels: BTreeMap<String, Tunnel>,
    /// A packet to the target went over a link that is no tunnel.
    past_tunnels: bool,
    first: Option<Timestamp>,
    now: Option<Timestamp>,
    caveats: Vec<String>,
}

impl Diagnosis {
    /// Starts one.
    pub fn new(question: Question) -> Self {
        Self { question, ..Self::default() }
    }

    /// Takes the next record.
    pub fn push(&mut self, record: &Record<'_>) {
        self.first.get_or_insert(record.at);
        self.now = self.now.max(Some(record.at));
        match &record.body {
            Body::Frame(frame) => {
                self.frames += 1;
                self.bare_link |= frame.link.is_bare();
                match decode_captured(frame.link, frame.bytes, frame.original_len) {
                    Ok(packet) if !self.own.admit(frame.direction, &packet) => {}
                    Ok(packet) => {
                        self.past_tunnels |= !frame.link.is_bare() && self.is_traced(packet.ip.destination);
                        self.tracker.push(record.number, record.at, &packet);
                        self.survey.packet(record.number, record.at, &packet);
                    }
                    Err(reason) => {
                        *self.undecoded.entry(reason).or_default() += 1;
                        if reason == Undecoded::QuoteCut {
                            self.capture_lossy.get_or_insert_with(|| CUT.to_owned());
                        }
                    }
                }
            }
            Body::Event(event) => self.event(record, event),
        }
    }

    fn is_traced(&self, address: IpAddr) -> bool {
        self.start.as_ref().is_some_and(|start| start.target.addresses.contains(&address))
    }

    fn event(&mut self, record: &Record<'_>, event: &Event) {
        self.own.event(event);
        self.connections.event(record.number, record.at, event);
        self.survey.event(record.number, record.at, event);
        match event {
            Event::Start(start) => self.start = Some((**start).clone()),
            Event::Route(route) if self.routes.len() < MOST_ROUTES => {
                self.routes.push((route.clone(), record.number));
            }
            Event::Tunnel { interface, read } => {
                let count = (*read, record.number);
                if let Some(tunnel) = self.tunnels.get_mut(interface) {
                    tunnel.last = count;
                } else if self.tunnels.len() < MOST_ROUTES {
                    self.tunnels.insert(interface.clone(), Tunnel { first: count, last: count });
                }
            }
            Event::Capture(counters) => {
                self.counted = true;
                if counters.dropped > 0 || counters.interface_dropped > 0 {
                    self.capture_lossy = Some(format!(
                        "the capture on {} lost {} of {} packets: silence is not taken as evidence",
                        counters.interface,
                        counters.dropped.saturating_add(counters.interface_dropped),
                        counters.received,
                    ));
                }
            }
            Event::CaptureLost { interface, error } => {
                self.capture_lossy =
                    Some(format!("the capture on {interface} broke off ({error}): silence is not taken as evidence"));
            }
            Event::SendFailed { interface, error, .. } => {
                self.caveat(format!("a probe could not be sent on {interface}: {error}"));
            }
            Event::Unprivileged { missing } => self.caveat(format!(
                "without {missing} no packets were captured: this rests on what the kernel tells an ordinary program"
            )),
            Event::LeftOut { frames } => self.caveat(format!(
                "{frames} packets that answer nothing this trace sent were left out of the recording"
            )),
            Event::End { reason } => self.ended = Some(*reason),
            _ => {}
        }
    }

    fn caveat(&mut self, text: String) {
        if self.caveats.len() < MOST_CAVEATS {
            self.caveats.push(text);
        }
    }

    /// Says how many frames a capture lost by its own account. A trace's recording has said so before.
    pub fn lost(&mut self, frames: u64) {
        if frames > 0 && self.start.is_none() {
            self.capture_lossy = Some(format!(
                "the capture says that it lost {frames} packets: silence is not taken as evidence"
            ));
        }
    }

    /// Says that the recording breaks off.
    pub fn truncated(&mut self, truncation: &Truncation) {
        self.caveats.push(format!(
            "the capture breaks off at byte {}: {}; what comes before was used",
            truncation.offset, truncation.what
        ));
    }

    /// What was found.
    pub fn finish(self) -> Result<Findings, NothingToDiagnose> {
        let traced = self.start.as_ref().map(|s| s.target.clone());
        let port = self.question.port.or(traced.as_ref().map(|t| t.port)).unwrap_or(SSH);
        let mut capture = self.capture();
        let mut caveats = self.caveats;
        caveats.extend(self.capture_lossy.clone());
        let evicted = self.tracker.evicted();
        let attempts = self.tracker.finish(port);
        let (target, mut other_targets) =
            match choose_target(port, traced.as_ref(), &attempts, &self.connections, &self.routes) {
                Ok(chosen) => chosen,
                Err(ports) => {
                    return Err(NothingToDiagnose::NoSyn { port, ports, undecoded: self.undecoded });
                }
            };
        if other_targets.len() > MOST_OTHERS {
            caveats.push(format!(
                "{} more addresses were tried than are named",
                other_targets.len() - MOST_OTHERS
            ));
            other_targets.truncate(MOST_OTHERS);
        }
        let mut to_target: Vec<Attempt> =
            attempts.iter().filter(|a| a.server.ip() == target).cloned().collect();
        if keep_latest(&mut to_target) {
            caveats.push(format!(
                "there are more attempts than can be compared: the latest {} were, and silence is not taken as evidence",
                to_target.len()
            ));
            capture = capture.min(Capture::Lossy);
        } else if evicted > 0 {
            capture = capture.min(Capture::Lossy);
        }
        let contained = self.start.as_ref().is_some_and(|s| s.contained);
        let mut networks =
            Networks { edge: self.question.edge_nets, azure: self.question.azure_nets, contained };
        if let Some(start) = &self.start {
            networks.edge.extend(&start.edge_nets);
            networks.azure.extend(&start.azure_nets);
        }
        match (&self.start, self.ended) {
            (Some(_), None) => caveats.push("the recording has no end: the trace was cut short".to_owned()),
            (_, Some(EndReason::Deadline)) => {
                caveats.push("the deadline passed before all was asked".to_owned());
            }
            (_, Some(EndReason::Interrupted)) => {
                caveats.push("the trace was interrupted: this is what was known so far".to_owned());
            }
            (_, Some(EndReason::Failed)) => caveats.push("the trace could not go on to its end".to_owned()),
            _ => {}
        }
        let connection =
            |address: IpAddr| self.connections.iter().find(|c| c.server == SocketAddr::new(address, port));
        let route_to = |address: IpAddr| {
            self.routes.iter().find(|(r, _)| r.destination == address).map(|(r, n)| (r, *n))
        };
        let server = SocketAddr::new(target, port);
        let to_server = || self.connections.iter().filter(move |c| c.server == server);
        let established =
            to_server().filter(|c| c.established.is_some()).count() as u64 + self.survey.established(server);
        if to_server().skip(1).any(is_turned_away) {
            caveats.push(
                "a later connection of this trace was turned away: that may be the trace's own doing, as sshd counts connections (MaxStartups, PerSourcePenalties)"
                    .to_owned(),
            );
        }
        let outcome_of = |address: IpAddr| {
            let connection = connection(address);
            let attempt = chosen_attempt(&attempts, connection, SocketAddr::new(address, port));
            let route = route_to(address).map(|(r, _)| r);
            decide(attempt, connection, route, capture)
        };
        let probes = self.survey.probes(target, &to_target, capture != Capture::Lossy);
        let data = data_probes(to_target.iter().filter(|a| a.server == server));
        let on_path: Vec<Probe> =
            probes.iter().cloned().chain(data.iter().map(DataProbe::as_probe)).collect();
        let path = Path::assemble(&on_path, target, port, &networks).with_changes(&on_path);
        let blocked = blocked_connection(&data, target).filter(|_| connection(target).is_none());
        let attempt = match blocked {
            Some(client) => to_target.iter().rfind(|a| a.client == client && a.server == server),
            None => chosen_attempt(&to_target, connection(target), server),
        };
        let outcome = match decide(attempt, connection(target), route_to(target).map(|(r, _)| r), capture) {
            // What was asked at first went well.
            Outcome::Open | Outcome::Completed if blocked.is_some() => Outcome::Stalled,
            Outcome::Reset if attempt.is_none() && self.survey.is_rejected(server) => Outcome::Rejected,
            outcome => outcome,
        };
        let named = traced.as_ref().is_some_and(|t| t.name.is_some());
        let mut scene = Scene {
            target,
            port,
            named,
            outcome,
            attempt,
            attempts: &to_target,
            connection: connection(target),
            route: route_to(target),
            probes: &probes,
            data: &data,
            path: &path,
            capture,
            bare_link: self.bare_link,
            tunnel: route_to(target)
                .and_then(|(route, _)| self.tunnels.get(route.interface.as_ref()?))
                .filter(|_| !self.past_tunnels)
                .copied(),
            until: self.now,
        };
        if is_intercepted(&scene) {
            scene.outcome = Outcome::Intercepted;
        } else if others_are_lost(&scene) {
            // Whoever asks why ssh hangs has met those.
            scene.outcome = Outcome::Timeout;
        }
        let outcome = scene.outcome;
        if outcome != Outcome::Open {
            caveats.extend(networks.doubt_target(target));
        }
        if outcome != Outcome::Open && scene.loss_seen() {
            caveats.push(
                "packets were lost on the way, or routers rationed their answers: a trace some ten seconds later may tell more"
                    .to_owned(),
            );
        }
        if outcome != Outcome::Open && contained {
            caveats.push(
                "this seems to be a container, or WSL: the first hop may be its own host, which counts as the client"
                    .to_owned(),
            );
        }
        let evidence = gather(&scene);
        let conversation = conversed(attempt, connection(target));
        let works = outcome == Outcome::Intercepted && conversation == Some(Outcome::Open);
        let deep = self.start.as_ref().is_some_and(|s| s.deep);
        let on_loopback = |(route, _): (&Route, RecordNumber)| route.interface.as_deref() == Some("lo");
        let local = target.is_loopback() || route_to(target).is_some_and(on_loopback);
        let case = Case { outcome, path: &path, target, port, named, contained, works, local, deep };
        let verdict = eliminate(&case, &evidence);
        if self.start.is_none()
            && outcome == Outcome::Timeout
            && let (Some(syn), Some(now)) = (attempt, self.now)
        {
            let seconds = now.since(syn.first_syn) as f64 / 1e9;
            caveats.push(format!(
                "no answer within the {seconds:.1} s captured after the SYN; a later one is not known of"
            ));
        }
        Ok(Findings {
            conversation,
            target: TargetFound { name: traced.and_then(|t| t.name), address: target, port },
            outcome,
            verdict,
            evidence,
            attempts: to_target.iter().filter(|a| a.server == server).cloned().collect(),
            other_addresses: other_targets.into_iter().map(|a| (a, outcome_of(a))).collect(),
            path,
            caveats,
            undecoded: self.undecoded,
            evicted,
            connections: established,
        })
    }

    /// How far the capture can be trusted.
    fn capture(&self) -> Capture {
        match &self.start {
            Some(start) if !start.captured => Capture::None,
            Some(_) if self.capture_lossy.is_none() && self.counted => Capture::Whole,
            Some(_) => Capture::Lossy,
            None if self.capture_lossy.is_some() => Capture::Lossy,
            None => Capture::Whole,
        }
    }
}

/// What a capture is not trusted with that does not hold ICMP errors as far as they tell what they are about.
const CUT: &str = "the capture cuts off ICMP errors, which may be answers: silence is not taken as evidence; capture with more bytes of each packet (tcpdump -s 0)";

/// Routes and caveats kept at most: a trace makes one route to each address of a name, and few caveats.
const MOST_ROUTES: usize = 256;
const MOST_CAVEATS: usize = 32;

/// Other addresses told of, at most: a name has a few.
const MOST_OTHERS: usize = 256;

/// Packets of attempts that the rules compare with each other, at most: some compare each with each.
const MOST_COMPARED: usize = 10_000;

/// Leaves out the earliest attempts where there are too many; whether it did.
fn keep_latest(attempts: &mut Vec<Attempt>) -> bool {
    let mut packets = 0;
    let fits = |attempt: &&Attempt| {
        packets += attempt.timeline.len();
        packets <= MOST_COMPARED
    };
    let kept = attempts.iter().rev().take_while(fits).count().max(1).min(attempts.len());
    attempts.drain(..attempts.len() - kept).count() > 0
}

/// Whether a listener took a connection and closed it before its banner.
fn is_turned_away(connection: &Connection) -> bool {
    connection.established.is_some()
        && connection.banner().is_none()
        && (connection.closed || connection.broken.is_some())
}

/// The port ssh uses unless told otherwise.
const SSH: u16 = 22;

/// The address to diagnose, and the others that were tried. A trace says which it probed: the first of the name that
/// has a route. In any other capture it is the first server whose last attempt failed, else the first. Where nobody
/// tried the port, those that SYNs were sent to.
fn choose_target(
    port: u16,
    traced: Option<&Target>,
    attempts: &[Attempt],
    connections: &Connections,
    routes: &[(Route, RecordNumber)],
) -> Result<(IpAddr, Vec<IpAddr>), Vec<u16>> {
    let tried = connections.iter().map(|c| c.server).chain(attempts.iter().map(|a| a.server));
    let mut known: BTreeSet<IpAddr> = BTreeSet::new();
    let servers = tried.filter(|s| s.port() == port).map(|s| s.ip());
    let mut candidates: Vec<IpAddr> = servers.filter(|address| known.insert(*address)).collect();
    let chosen = if let Some(target) = traced {
        candidates.retain(|a| target.addresses.contains(a));
        candidates.sort_by_key(|a| target.addresses.iter().position(|t| t == a));
        let reachable = |a: &&IpAddr| routes.iter().any(|(r, _)| r.destination == **a && r.error.is_none());
        candidates.iter().find(reachable)
    } else {
        let to_port = attempts.iter().filter(|a| a.server.port() == port && !a.is_half());
        let last: BTreeMap<IpAddr, Outcome> = to_port.map(|a| (a.server.ip(), a.outcome_of_path)).collect();
        let failed =
            |address: &&IpAddr| !matches!(last.get(address), Some(Outcome::Open | Outcome::Completed));
        candidates.iter().find(failed)
    };
    let Some(chosen) = chosen.or(candidates.first()).copied() else {
        let mut ports: Vec<u16> = attempts.iter().map(|a| a.server.port()).collect();
        ports.sort_unstable();
        ports.dedup();
        return Err(ports);
    };
    candidates.retain(|a| *a != chosen);
    Ok((chosen, candidates))
}

/// The attempt that speaks for the client: the kernel's own, whatever address it bears on the wire; in a capture without
/// kernel events the last one sent with a full hop limit, else the last.
fn chosen_attempt<'a>(
    attempts: &'a [Attempt],
    connection: Option<&Connection>,
    server: SocketAddr,
) -> Option<&'a Attempt> {
    let mut to_server = attempts.iter().filter(|a| a.server == server && !a.is_half());
    if let Some(Connection { client, .. }) = connection {
        let client = (*client)?;
        let its_own = to_server.clone().find(|a| a.client == client);
        // This machine may translate what it sends itself (masquerading): the port is kept where it is free.
        return its_own.or_else(|| to_server.find(|a| a.client.port() == client.port()));
    }
    let all: Vec<&Attempt> = to_server.collect();
    all.iter().rev().find(|a| !a.is_probe()).or(all.last()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{HopLimit, LinkType, SeqNumber, build};
    use crate::recording::{Direction, Frame};

    #[test]
    fn a_client_that_translates_its_own_packets_is_found_on_the_wire() {
        let outcome = |port: u16| {
            let script = format!(
                "0.000 ! start\n 0.000 ! connect 0 started\n client 10.22.0.9\n 0.001 > {port}:22 S | R. ttl=60\n client 10.22.0.2\n 0.1 ! connect 0 failed 111\n 9 ! capture\n 9.1 ! end"
            );
            crate::testing::diagnose(&script).outcome()
        };
        assert_eq!(outcome(50022), Outcome::Reset.name());
        assert_eq!(outcome(50023), Outcome::LocalFailure.name());
    }

    /// A capture by another program of so many attempts that nobody answered, to so many servers in turn.
    fn unanswered(attempts: u16, servers: u16) -> Diagnosis {
        let mut diagnosis = Diagnosis::new(Question::default());
        for n in 0..attempts {
            let [high, low] = (n % servers).to_be_bytes();
            let bytes = build::syn(&build::Syn {
                hop_limit: HopLimit(1 + (n % 40) as u8),
                identification: n,
                ..build::Syn::plain(
                    SocketAddr::new([10, 22, 0, 1].into(), n),
                    SocketAddr::new([198, 18, high, low].into(), 22),
                    SeqNumber(u32::from(n)),
                )
            });
            let frame = Frame {
                interface: 0,
                link: LinkType::RAW,
                direction: Direction::Unknown,
                original_len: bytes.len() as u32,
                bytes: &bytes,
            };
            let at = Timestamp::from_nanos(i64::from(n) * 1_000_000);
            diagnosis.push(&Record { number: RecordNumber(u64::from(n) + 1), at, body: Body::Frame(frame) });
        }
        diagnosis
    }

    fn says(findings: &Findings, words: &str) -> bool {
        findings.caveats.iter().any(|c| c.contains(words) && c.contains("silence is not taken as evidence"))
    }

    #[test]
    fn more_attempts_than_can_be_compared_do_not_hold_it_up() {
        let findings = unanswered(60_000, 1).finish().unwrap();
        assert!(says(&findings, "the latest 10000"), "{:?}", findings.caveats);
        assert!(
            findings.evidence.iter().all(|e| e.rule != "syn-on-wire"),
            "that rests on nothing having come"
        );
        assert_eq!(findings.attempts.len(), MOST_COMPARED);
        let findings = unanswered(100, 1).finish().unwrap();
        assert!(!says(&findings, ""), "{:?}", findings.caveats);
    }

    #[test]
    fn very_many_servers_are_not_all_named() {
        let findings = unanswered(60_000, 60_000).finish().unwrap();
        assert_eq!(findings.other_addresses.len(), MOST_OTHERS);
        assert!(
            findings.caveats.iter().any(|c| c.starts_with("59743 more addresses")),
            "{:?}",
            findings.caveats
        );
        assert_eq!(unanswered(20, 5).finish().unwrap().other_addresses.len(), 4);
    }

    #[test]
    fn a_capture_that_lost_packets_by_its_own_account_is_not_trusted_with_silence() {
        let mut diagnosis = unanswered(3, 1);
        diagnosis.lost(0);
        assert_eq!(diagnosis.capture(), Capture::Whole);
        diagnosis.lost(7);
        assert_eq!(diagnosis.capture(), Capture::Lossy);
        assert!(says(&diagnosis.finish().unwrap(), "lost 7 packets"));
    }
}
