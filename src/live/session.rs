//! One trace from its first record to its last.

mod perform;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::Socket;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use self::perform::Connection;
use super::capture::{Captures, Lost, Seen};
use super::connect::{self, Told};
use super::interface::{self, Interface};
use super::privilege::{self, Caller};
use super::route::{self, Netlink};
use super::send::{self, Sender};
use super::tee::{Sink, Tee};
use super::{LiveError, Progress, Request, Traced, clock};
use crate::packet::{build, decode};
use crate::probe::{Action, CONNECTIONS, Means, Plan, Planner, Step};
use crate::recording::{Direction, EndReason, Event, Route, Start, Target, Timestamp};

/// The longest sleep: how late a lost interface may be noticed, and how often progress is told.
const TICK: Duration = Duration::from_millis(100);

/// A silence of this length, in ns, is put down in the recording when a deadline passes in it.
const SILENCE: i64 = 250_000_000;

/// Rounds of emptying the rings before the planner is asked again, should a flood never end.
const ROUNDS: usize = 16;

/// Resets that may still be owed when a trace ends.
const MOST_RESETS: usize = 64;

/// Makes the trace.
pub(super) async fn run(
    request: &Request,
    (caller, on_caller): (Caller, Option<String>),
    targets: Vec<IpAddr>,
    sink: Sink,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Traced, LiveError> {
    let mut signals = Signals::install().map_err(LiveError::system("wait for signals"))?;
    let netlink = Netlink::open().map_err(LiveError::system("ask the kernel for routes"))?;
    let interfaces = interface::all(&netlink.links());
    let routes: Vec<_> = targets
        .iter()
        .map(|&destination| {
            let question =
                route::Question { destination, port: request.port, bind: request.bind, uid: caller.uid };
            (destination, netlink.route(question))
        })
        .collect();

    let route_indices: Vec<u32> = routes.iter().filter_map(|(_, r)| r.interface).collect();
    let route_interfaces: Vec<RouteInterface> = interfaces
        .iter()
        .filter(|i| route_indices.contains(&i.index))
        .map(|i| RouteInterface { name: i.name.clone(), index: i.index, ran: netlink.is_running(i.index) })
        .collect();
    let permitted = privilege::can_use_raw();
    let (mut captures, lost) = if permitted {
        Captures::open(&interface::to_capture(&interfaces, &route_indices), &targets, request.buffer)
    } else {
        (Captures::default(), Vec::new())
    };
    let blind = lost.iter().find(|l| route_interfaces.iter().any(|r| r.name == l.interface));
    let mut notices = Notices::default();
    notices.all.extend(on_caller);
    if !permitted {
        notices.add(privilege::remedy());
    } else if blind.is_some() || captures.is_empty() {
        let why = blind
            .map_or_else(|| "no interface is up".to_owned(), |l| format!("{}: {}", l.interface, l.error));
        notices.add(format!("nothing can be captured ({why}); going on with what the kernel tells any user"));
        // Eyes on the other interfaces alone would see nothing and take it for silence.
        captures = Captures::default();
    }
    let sees = !captures.is_empty();

    let start = start_event(request, caller, &targets, sees);
    let now = clock::now();
    let plan = Plan {
        port: request.port,
        sources: routes.iter().map(|(_, r)| r.source.filter(|_| r.error.is_none())).collect(),
        seed: start.seed,
        deadline: nanos(request.deadline),
        banner_wait: nanos(request.banner_wait),
        means: Means { raw: sees, datagram_icmp: privilege::can_ping(targets[0]) },
        mss: mss(&interfaces, &routes),
        deep: request.deep,
        targets,
    };
    let planner = Planner::new(plan, now);
    let tee = Tee::begin(sink, captures.interfaces(), planner, now)?;

    let mut sender = Sender::new();
    for (target, answer) in &routes {
        if let Some(interface) = interfaces.iter().find(|i| Some(i.index) == answer.interface) {
            sender.add(*target, interface.clone(), answer.gateway);
        }
    }
    if sees {
        sender.open();
    }
    let first = if caller.has_to_open_first() { CONNECTIONS as usize } else { 0 };
    let open = |target: &IpAddr| connect::open(SocketAddr::new(*target, request.port), request.bind);
    let sockets = routes.iter().map(|(t, _)| (*t, (0..first).map(|_| open(t)).collect())).collect();
    caller.give_up_the_rest(request.port, sees)?;

    let (told_to, told) = unbounded_channel();
    let mut session = Session {
        bind: request.bind,
        sockets,
        netlink,
        captures,
        route_interfaces,
        sender,
        connections: BTreeMap::new(),
        told_to,
        told,
        heard: VecDeque::new(),
        notices,
        began: now,
        tee,
    };

    let opened = session.open(start, &routes, &interfaces, lost, permitted);
    let ended = match opened {
        Ok(()) => session.until_end(&mut signals, request.deadline, &mut progress).await,
        Err(e) => Err(e),
    };
    Ok(session.close(ended, &mut progress))
}

/// A running trace.
struct Session {
    bind: Option<IpAddr>,
    /// For the kernel's connections to each address, where they had to be opened before privileges were given up.
    sockets: BTreeMap<IpAddr, Vec<io::Result<Socket>>>,
    netlink: Netlink,
    captures: Captures,
    /// Interfaces of the routes whose captures still run.
    route_interfaces: Vec<RouteInterface>,
    sender: Sender,
    connections: BTreeMap<u32, Connection>,
    told_to: UnboundedSender<Told>,
    told: UnboundedReceiver<Told>,
    /// Told, but not recorded yet.
    heard: VecDeque<Told>,
    notices: Notices,
    began: Timestamp,
    tee: Tee,
}

/// An interface that a route leads to.
struct RouteInterface {
    name: String,
    index: u32,
    /// Whether it was up and had its carrier when the trace began.
    ran: bool,
}

impl Session {
    /// Records what is known before anything is sent.
    fn open(
        &mut self,
        start: Start,
        routes: &[(IpAddr, route::Answer)],
        interfaces: &[Interface],
        lost: Vec<Lost>,
        permitted: bool,
    ) -> io::Result<()> {
        self.tee.event_at(self.began, Event::Start(Box::new(start)))?;
        for (destination, answer) in routes {
            self.tee.event(Event::Route(route_event(*destination, answer, interfaces)))?;
        }
        if !permitted {
            self.tee.event(Event::Unprivileged { missing: privilege::CAPABILITY.to_owned() })?;
        }
        for Lost { interface, error } in lost {
            self.tee.event(Event::CaptureLost { interface, error })?;
        }
        self.count_tunnels()
    }

    /// Records what the programs behind tunnels have read so far.
    fn count_tunnels(&mut self) -> io::Result<()> {
        for RouteInterface { name, index, .. } in &self.route_interfaces {
            if let Some(read) = self.netlink.read_from_tunnel(*index) {
                self.tee.event(Event::Tunnel { interface: name.clone(), read })?;
            }
        }
        Ok(())
    }

    /// Probes and records until there is a reason to end.
    ///
    /// The only errors are those of writing the recording.
    async fn until_end(
        &mut self,
        signals: &mut Signals,
        deadline: Duration,
        progress: &mut impl FnMut(Progress<'_>),
    ) -> io::Result<EndReason> {
        // By the monotonic clock: whatever happens to the wall clock, the trace ends.
        let deadline = sleep(deadline);
        tokio::pin!(deadline);
        let seeing = !self.route_interfaces.is_empty() && !self.captures.is_empty();
        loop {
            self.notices.tell(progress);
            self.take_in()?;
            self.look_at_interfaces()?;
            if seeing && self.route_interfaces.is_empty() {
                return Ok(EndReason::Failed);
            }
            for event in self.sender.retry(&self.netlink, clock::now()) {
                self.tee.event(event)?;
            }
            let now = clock::now();
            let (until, why) = match self.tee.planner.step(now) {
                Step::Do(action) => {
                    self.perform(&action)?;
                    if deadline.is_elapsed() {
                        return Ok(EndReason::Deadline);
                    }
                    continue;
                }
                Step::Finished => return Ok(EndReason::Settled),
                Step::Wait { until, why } => (until, why),
            };
            self.status(progress, now);
            let left = Duration::from_nanos(u64::try_from(until.since(now)).unwrap_or(0));
            let nap = left.min(if self.sender.is_waiting() { send::RETRY } else { TICK });
            tokio::select! {
                biased;
                () = signals.any() => return Ok(EndReason::Interrupted),
                () = &mut deadline => return Ok(EndReason::Deadline),
                () = self.captures.ready() => {}
                Some(told) = self.told.recv() => self.heard.push_back(told),
                () = sleep(nap) => self.note_silence(until, why)?,
            }
        }
    }

    /// Moves the recording's clock where a deadline passed and nothing else was there to move it.
    fn note_silence(&mut self, until: Timestamp, why: &str) -> io::Result<()> {
        let now = clock::now();
        if now >= until && now.since(self.tee.latest) >= SILENCE {
            self.tee.event_at(now, Event::Deadline { why: why.to_owned() })?;
        }
        Ok(())
    }

    /// Records all that came: frames first, since what the kernel tells follows from them.
    fn take_in(&mut self) -> io::Result<()> {
        while let Ok(told) = self.told.try_recv() {
            self.heard.push_back(told);
        }
        for _ in 0..ROUNDS {
            let mut lost = Vec::new();
            let Self { captures, tee, sender, connections, .. } = self;
            let names: Vec<String> = captures.interfaces().map(|(name, _)| name.to_owned()).collect();
            let more = captures.drain(&mut lost, |seen| {
                learn(sender, connections, &names, seen);
                tee.frame(seen)
            })?;
            lost.into_iter().try_for_each(|lost| self.lose(lost))?;
            if self.tee.is_full() {
                return self.lose_all();
            }
            if !more {
                break;
            }
        }
        while let Some(told) = self.heard.pop_front() {
            match told {
                Told::Event(at, event) => self.record_told(at, event)?,
                Told::Over(id) => {
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.over = true;
                    }
                }
            }
        }
        Ok(())
    }

    /// An interface that goes down swallows probes and answers, and libpcap waits for it to come back without a word:
    /// from then on silence tells nothing.
    fn look_at_interfaces(&mut self) -> io::Result<()> {
        if self.captures.is_empty() {
            return Ok(());
        }
        let down = |i: &&RouteInterface| i.ran && !self.netlink.is_running(i.index);
        let down: Vec<String> = self.route_interfaces.iter().filter(down).map(|i| i.name.clone()).collect();
        for interface in down {
            self.captures.close(&interface);
            self.lose(Lost { interface, error: "the interface went down".to_owned() })?;
        }
        Ok(())
    }

    /// What is recorded has an end, whatever is sent here.
    fn lose_all(&mut self) -> io::Result<()> {
        for interface in self.captures.running() {
            self.captures.close(&interface);
            self.lose(Lost { interface, error: "too many packets were sent here".to_owned() })?;
        }
        Ok(())
    }

    fn lose(&mut self, Lost { interface, error }: Lost) -> io::Result<()> {
        self.route_interfaces.retain(|i| i.name != interface);
        self.notices.add(format!("the capture on {interface} broke off: {error}"));
        self.tee.event(Event::CaptureLost { interface, error })
    }

    /// Records what a connection told, unless it was given up meanwhile: then its end is on record already.
    fn record_told(&mut self, at: Timestamp, event: Event) -> io::Result<()> {
        match event {
            Event::Connect { id, .. } if self.connections.get(&id).is_none_or(|c| c.over) => Ok(()),
            event => self.tee.event_at(at, event),
        }
    }

    fn status(&mut self, progress: &mut impl FnMut(Progress<'_>), now: Timestamp) {
        let elapsed = Duration::from_nanos(u64::try_from(now.since(self.began)).unwrap_or(0));
        let text = self.tee.planner.status();
        progress(Progress::Status { text: &text, elapsed, frames: self.tee.frames, events: self.tee.events });
    }

    /// Brings the recording to its end and asks what was found.
    fn close(mut self, ended: io::Result<EndReason>, progress: &mut impl FnMut(Progress<'_>)) -> Traced {
        let wound_up = ended.and_then(|reason| self.wind_up(reason).map(|()| reason));
        let (end, mut recording_failed) = match wound_up {
            Ok(reason) => (reason, None),
            Err(e) => {
                let end = Event::End { reason: EndReason::Failed };
                (EndReason::Failed, Some(self.tee.salvage(end, e)))
            }
        };
        self.notices.tell(progress);
        let (findings, failed) = self.tee.finish();
        if recording_failed.is_none() {
            recording_failed = failed;
        }
        Traced { findings, end, recording_failed, notices: self.notices.all }
    }

    fn wind_up(&mut self, reason: EndReason) -> io::Result<()> {
        self.take_in()?;
        self.pay_resets()?;
        let pending: Vec<u32> = self.connections.iter().filter(|(_, c)| !c.over).map(|(id, _)| *id).collect();
        for id in pending {
            self.abandon(id)?;
        }
        // Whatever the kernel has put into a ring by now is still part of the trace.
        self.take_in()?;
        self.look_at_interfaces()?;
        self.count_tunnels()?;
        for counters in self.captures.counters() {
            self.tee.event(Event::Capture(counters))?;
        }
        if let Some(event) = self.tee.left_out() {
            self.tee.event(event)?;
        }
        self.tee.event(Event::End { reason })
    }

    /// Resets the half-open connections that probes made, however the trace ended.
    fn pay_resets(&mut self) -> io::Result<()> {
        for _ in 0..MOST_RESETS {
            match self.tee.planner.step(clock::now()) {
                Step::Do(Action::SendReset(reset)) => {
                    self.send(reset.destination.ip(), build::reset(&reset))?;
                }
                Step::Do(_) => {}
                Step::Wait { .. } | Step::Finished => break,
            }
        }
        Ok(())
    }
}

/// Takes the link-layer addresses from the kernel's own frames, for the crafted ones to copy.
fn learn(sender: &mut Sender, connections: &BTreeMap<u32, Connection>, names: &[String], seen: Seen<'_>) {
    if seen.direction != Direction::Outbound {
        return;
    }
    let Ok(packet) = decode(seen.link, seen.bytes) else { return };
    let (Some(source), Some(destination)) = (packet.link.source, packet.link.destination) else { return };
    let client = packet.tcp_source();
    let from_kernel = client.is_some() && connections.values().any(|c| c.client == client);
    if let (true, Some(name)) = (from_kernel, names.get(seen.interface as usize)) {
        sender.learn(packet.ip.destination, name, source, destination);
    }
}

fn start_event(request: &Request, caller: Caller, targets: &[IpAddr], captured: bool) -> Start {
    let name = request.host.parse::<IpAddr>().is_err().then(|| request.host.clone());
    Start {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // The standard library's hasher is keyed by the system's randomness.
        seed: request.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish()),
        target: Target { name, addresses: targets.to_vec(), port: request.port },
        captured,
        edge_nets: request.edge_nets.clone(),
        azure_nets: request.azure_nets.clone(),
        deep: request.deep,
        deadline_ms: millis(request.deadline),
        banner_wait_ms: millis(request.banner_wait),
        uid: caller.uid.as_raw(),
        contained: privilege::contained(),
    }
}

fn route_event(destination: IpAddr, answer: &route::Answer, interfaces: &[Interface]) -> Route {
    let interface = interfaces.iter().find(|i| Some(i.index) == answer.interface);
    Route {
        destination,
        interface: interface.map(|i| i.name.clone()),
        gateway: answer.gateway,
        source: answer.source,
        mac: interface.and_then(|i| i.mac),
        error: answer.error.clone(),
    }
}

/// The MSS the kernel would announce: what the first route's MTU leaves after IP and TCP headers, in bytes.
fn mss(interfaces: &[Interface], routes: &[(IpAddr, route::Answer)]) -> u16 {
    let (mtu, headers) = routes
        .iter()
        .find_map(|(target, route)| {
            let interface = interfaces.iter().find(|i| Some(i.index) == route.interface)?;
            Some((route.mtu.unwrap_or(interface.mtu), if target.is_ipv4() { 40 } else { 60 }))
        })
        .unwrap_or((1500, 40));
    // 536 is what every host takes (RFC 9293 3.7.1); 65495 is what Linux announces on its loopback.
    mtu.saturating_sub(headers).clamp(536, 65495) as u16
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What the user should know, each told once.
#[derive(Default)]
struct Notices {
    all: Vec<String>,
    told: usize,
}

impl Notices {
    fn add(&mut self, notice: String) {
        self.all.push(notice);
    }

    fn tell(&mut self, progress: &mut impl FnMut(Progress<'_>)) {
        for notice in &self.all[self.told..] {
            progress(Progress::Notice(notice));
        }
        self.told = self.all.len();
    }
}

/// Ctrl-C and its like.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::interface::sample;

    #[test]
    fn the_mss_follows_the_routes_mtu() {
        let v4 = IpAddr::from([198, 19, 0, 4]);
        let v6: IpAddr = "2001:db8::4".parse().unwrap();
        let interfaces = [sample("eth0", 2, None, &[])];
        let route = |mtu| route::Answer { interface: Some(2), mtu, ..route::Answer::default() };
        assert_eq!(mss(&interfaces, &[(v4, route(None))]), 1460);
        assert_eq!(mss(&interfaces, &[(v6, route(None))]), 1440);
        assert_eq!(mss(&interfaces, &[(v4, route(Some(1400)))]), 1360);
        assert_eq!(mss(&interfaces, &[(v4, route(Some(68)))]), 536);
        assert_eq!(mss(&interfaces, &[]), 1460);
    }

    #[test]
    fn notices_are_told_once() {
        let mut notices = Notices::default();
        let mut told = Vec::new();
        notices.add("one".to_owned());
        notices.tell(&mut |p| {
            if let Progress::Notice(n) = p {
                told.push(n.to_owned());
            }
        });
        notices.add("two".to_owned());
        notices.tell(&mut |p| {
            if let Progress::Notice(n) = p {
                told.push(n.to_owned());
            }
        });
        assert_eq!(told, ["one", "two"]);
    }
}
