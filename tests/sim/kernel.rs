//! The client's kernel: connect(2) with its SYN retransmissions, its own firewall, its error numbers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use whichhop::packet::ssh::{self, FirstPacket};
use whichhop::probe::Manner;
use whichhop::recording::{ConnectStage, Event, KernelAnswer, KernelProbe, QueuedIcmp, Said, escape_bytes};

use super::rng::Rng;
use super::scenario::{ClientFault, Culprit, Scenario, Service};
use super::server::script;
use super::wire::{ACK, Body, FIN, IcmpError, PSH, Packet, RST, SYN, Tcp, linux_options};

pub(crate) const EACCES: i32 = 13;
pub(crate) const EINVAL: i32 = 22;
pub(crate) const ENETUNREACH: i32 = 101;
pub(crate) const ECONNRESET: i32 = 104;
pub(crate) const ECONNREFUSED: i32 = 111;
pub(crate) const EHOSTUNREACH: i32 = 113;

const MS: i64 = 1_000_000;

/// How long the tool waits for the answer to a question by the kernel's own means.
const PATIENCE: i64 = 2_500 * MS;

/// An error number in words.
pub(crate) const fn errno_text(errno: i32) -> &'static str {
    match errno {
        EACCES => "EACCES (Permission denied)",
        EINVAL => "EINVAL (Invalid argument)",
        ENETUNREACH => "ENETUNREACH (Network is unreachable)",
        ECONNRESET => "ECONNRESET (Connection reset by peer)",
        ECONNREFUSED => "ECONNREFUSED (Connection refused)",
        EHOSTUNREACH => "EHOSTUNREACH (No route to host)",
        _ => "an error",
    }
}

/// What the kernel does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A packet leaves the machine.
    Send(Packet),
    /// The tool is told something.
    Tell(Event),
    /// A timer of a socket.
    Wake { at: i64, socket: u32 },
}

/// The kernel's sockets and firewall.
#[derive(Debug)]
pub(crate) struct Kernel {
    fault: Option<ClientFault>,
    address: IpAddr,
    port: u16,
    resets_strays: bool,
    retries: &'static [i64],
    rng: Rng,
    sockets: BTreeMap<u32, Socket>,
    next_socket: u32,
    next_port: u16,
    /// Whether a banner of a sshd behind the wire was read.
    pub(crate) read_banner: bool,
}

#[derive(Clone, Debug)]
struct Socket {
    purpose: Purpose,
    local: SocketAddr,
    server: SocketAddr,
    state: State,
    began: i64,
    isn: u32,
    received: u32,
    ttl: u8,
    manner: Manner,
    talk: Talk,
}

/// What is said on a connection.
#[derive(Clone, Debug, Default)]
struct Talk {
    /// All that was sent, and how much of it was acknowledged.
    out: Vec<u8>,
    acknowledged: usize,
    heard: Vec<u8>,
    /// When what is not acknowledged is sent again, and how often it was.
    resend: i64,
    tries: u32,
    /// When the farewell is due.
    farewell: Option<i64>,
    round_trip: i64,
    /// What is said already.
    said: Vec<Said>,
}

/// The largest segment, in bytes of data.
const SEGMENT: usize = 1448;

/// The least retransmission timeout of Linux.
const RESEND: i64 = 200 * MS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Connection(u32),
    Question(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SynSent {
        retries: usize,
    },
    Established,
    /// The firewall redirected it to a service on the machine.
    Redirected {
        service: Service,
        step: u8,
    },
    /// The firewall is about to refuse it.
    Refused {
        errno: i32,
    },
    EchoSent,
    /// The tool closed it.
    Closing,
    Dead,
}

impl Kernel {
    pub(crate) fn new(scenario: &Scenario, mut rng: Rng) -> Self {
        let next_port = rng.between(32_768, 50_000) as u16;
        Self {
            fault: if let Culprit::Client(fault) = scenario.culprit { Some(fault) } else { None },
            address: scenario.client,
            port: scenario.port,
            resets_strays: scenario.machine.kernel_resets,
            retries: scenario.machine.syn_retries,
            rng,
            sockets: BTreeMap::new(),
            next_socket: 0,
            next_port,
            read_banner: false,
        }
    }

    /// connect(2).
    pub(crate) fn connect(&mut self, at: i64, id: u32, server: SocketAddr, manner: Manner) -> Vec<Act> {
        let routed = !matches!(self.fault, Some(ClientFault::NoRoute { .. }));
        let (socket, acts) = self.open(at, Purpose::Connection(id), server, 64);
        self.sockets.get_mut(&socket).expect("just opened").manner = manner;
        // On record before the call, and again as soon as the kernel has chosen a port.
        let started = |client| Act::Tell(Event::Connect { id, server, client, stage: ConnectStage::Started });
        let mut told = vec![started(None)];
        told.extend(routed.then(|| started(Some(self.sockets[&socket].local))));
        told.extend(acts);
        told
    }

    /// A question by the kernel's own means.
    pub(crate) fn ask(&mut self, at: i64, id: u32, probe: KernelProbe, ttl: u8) -> Vec<Act> {
        let told = Act::Tell(Event::KernelProbe { id, probe, hop_limit: ttl });
        let mut acts = match probe {
            KernelProbe::Connect(server) => self.open(at, Purpose::Question(id), server, ttl).1,
            KernelProbe::Echo(destination) => self.echo(at, id, destination, ttl),
        };
        acts.insert(0, told);
        acts
    }

    fn echo(&mut self, at: i64, id: u32, destination: IpAddr, ttl: u8) -> Vec<Act> {
        let socket = self.socket(at, Purpose::Question(id), SocketAddr::new(destination, 0), ttl);
        if let Some(ClientFault::NoRoute { errno }) = self.fault {
            return self.fail(socket, errno, None);
        }
        let identifier = self.set(socket, State::EchoSent).local.port();
        let body = Body::Echo { reply: false, identifier, sequence: id as u16, data: vec![0; 8] };
        let mut packet = self.packet(destination, ttl, body);
        packet.dont_fragment = destination.is_ipv4();
        vec![Act::Send(packet)]
    }

    fn socket(&mut self, at: i64, purpose: Purpose, server: SocketAddr, ttl: u8) -> u32 {
        let socket = self.next_socket;
        self.next_socket += 1;
        self.next_port = if self.next_port > 60_000 { 32_768 } else { self.next_port + 7 };
        let local = SocketAddr::new(self.address, self.next_port);
        let state = State::SynSent { retries: 0 };
        let isn = self.rng.next() as u32;
        self.sockets.insert(
            socket,
            Socket {
                purpose,
                local,
                server,
                state,
                began: at,
                isn,
                received: 0,
                ttl,
                manner: Manner::Converse,
                talk: Talk::default(),
            },
        );
        socket
    }

    fn open(&mut self, at: i64, purpose: Purpose, server: SocketAddr, ttl: u8) -> (u32, Vec<Act>) {
        let socket = self.socket(at, purpose, server, ttl);
        let to_port = server.port() == self.port;
        let acts = match self.fault {
            Some(ClientFault::NoRoute { errno }) => self.fail(socket, errno, None),
            Some(ClientFault::RejectOut { errno }) if to_port => {
                self.set(socket, State::Refused { errno });
                vec![Act::Wake { at: at + MS / 10, socket }]
            }
            Some(ClientFault::Redirect(service)) if to_port => {
                self.set(socket, State::Redirected { service, step: 0 });
                vec![Act::Wake { at: at + MS / 10, socket }]
            }
            _ => {
                let mut acts = self.send_syn(at, socket);
                acts.push(Act::Wake { at: at + self.retries[0], socket });
                acts
            }
        };
        (socket, acts)
    }

    /// A socket's timer runs out.
    pub(crate) fn wake(&mut self, at: i64, socket: u32) -> Vec<Act> {
        let Some(state) = self.sockets.get(&socket).map(|s| s.state) else { return vec![] };
        match state {
            State::SynSent { retries } => {
                let asks = matches!(self.sockets[&socket].purpose, Purpose::Question(_));
                if asks && at - self.sockets[&socket].began >= PATIENCE {
                    self.set(socket, State::Dead);
                    return vec![];
                }
                let mut acts = self.send_syn(at, socket);
                if let Some(after) = self.retries.get(retries + 1) {
                    let began = self.set(socket, State::SynSent { retries: retries + 1 }).began;
                    acts.push(Act::Wake { at: began + after, socket });
                }
                acts
            }
            State::Refused { errno } => self.fail(socket, errno, None),
            State::Redirected { service, step } => {
                self.set(socket, State::Redirected { service, step: step + 1 });
                let (words, closes) = script(service);
                match step {
                    0 => {
                        let mut acts = self.established(socket);
                        acts.push(Act::Wake { at: at + 5 * MS, socket });
                        acts
                    }
                    1 => {
                        let mut acts = vec![];
                        if !words.is_empty() {
                            acts.extend(
                                self.tell(socket, ConnectStage::Received { data: escape_bytes(words) }),
                            );
                        }
                        if closes {
                            acts.extend(self.tell(socket, ConnectStage::Closed));
                        }
                        if words.starts_with(b"SSH-") {
                            for what in [Said::Identification, Said::KeyExchange, Said::Disconnect] {
                                if what == Said::KeyExchange {
                                    acts.extend(self.tell(socket, ConnectStage::KeyExchange { bytes: 900 }));
                                }
                                acts.extend(self.tell(socket, ConnectStage::Sent { what, bytes: 24 }));
                            }
                            acts.extend(self.tell(socket, ConnectStage::Closed));
                        }
                        if closes || words.starts_with(b"SSH-") {
                            self.set(socket, State::Dead);
                        }
                        acts
                    }
                    _ => vec![],
                }
            }
            State::Established => self.talk_on(at, socket),
            _ => vec![],
        }
    }

    /// Says the farewell, if it is due, and again what was not acknowledged.
    fn talk_on(&mut self, at: i64, socket: u32) -> Vec<Act> {
        let talk = &mut self.sockets.get_mut(&socket).expect("it was woken").talk;
        if talk.farewell == Some(at) {
            talk.farewell = None;
            return self.say(at, socket, Said::Disconnect, &ssh::disconnect());
        }
        if talk.resend != at || talk.acknowledged == talk.out.len() {
            return vec![];
        }
        talk.tries += 1;
        talk.resend = at + (RESEND << talk.tries);
        let mut acts = vec![Act::Wake { at: talk.resend, socket }];
        acts.extend(self.put(socket, self.sockets[&socket].talk.acknowledged));
        acts
    }

    fn say(&mut self, at: i64, socket: u32, what: Said, words: &[u8]) -> Vec<Act> {
        let talk = &mut self.sockets.get_mut(&socket).expect("it speaks").talk;
        let from = talk.out.len();
        talk.out.extend(words);
        talk.said.push(what);
        talk.tries = 0;
        talk.resend = at + RESEND + talk.round_trip;
        let mut acts = vec![Act::Wake { at: talk.resend, socket }];
        acts.extend(self.put(socket, from));
        acts.extend(self.tell(socket, ConnectStage::Sent { what, bytes: words.len() as u32 }));
        acts
    }

    /// Sends what there is from a place on.
    fn put(&mut self, socket: u32, from: usize) -> Vec<Act> {
        let Socket { isn, talk, .. } = &self.sockets[&socket];
        let first = isn.wrapping_add(1);
        let pieces: Vec<(u32, Vec<u8>)> = talk.out[from..]
            .chunks(SEGMENT)
            .enumerate()
            .map(|(i, piece)| (first.wrapping_add((from + i * SEGMENT) as u32), piece.to_vec()))
            .collect();
        pieces.into_iter().flat_map(|(seq, piece)| self.segment_out(socket, seq, PSH | ACK, piece)).collect()
    }

    /// What was heard is answered.
    fn listen(&mut self, at: i64, socket: u32) -> Vec<Act> {
        let Socket { talk, manner, .. } = &self.sockets[&socket];
        let line = talk.heard.iter().position(|b| *b == b'\n').filter(|_| talk.heard.starts_with(b"SSH-"));
        let Some(line) = line.filter(|_| *manner == Manner::Converse) else { return vec![] };
        match talk.said.as_slice() {
            [] => self.say(at, socket, Said::Identification, ssh::IDENTIFICATION.as_bytes()),
            [Said::Identification] => {
                let FirstPacket::Kexinit(len) = ssh::first_packet(&talk.heard[line + 1..]) else {
                    return vec![];
                };
                let farewell = at + 2 * talk.round_trip + 30 * MS;
                let mut acts = self.tell(socket, ConnectStage::KeyExchange { bytes: len as u32 });
                acts.extend(self.say(at, socket, Said::KeyExchange, &ssh::kexinit([0; 16], SEGMENT + 200)));
                self.sockets.get_mut(&socket).expect("it listens").talk.farewell = Some(farewell);
                acts.push(Act::Wake { at: farewell, socket });
                acts
            }
            _ => vec![],
        }
    }

    /// The tool closes a connection; nothing is told of it any more.
    pub(crate) fn abandon(&mut self, at: i64, id: u32) -> Vec<Act> {
        let found = self.sockets.iter().find(|(_, s)| s.purpose == Purpose::Connection(id) && s.is_open());
        let Some((socket, began)) = found.map(|(n, s)| (*n, s.began)) else { return vec![] };
        let waited_ms = ((at - began) / MS) as u64;
        let mut acts = self.tell(socket, ConnectStage::Abandoned { waited_ms });
        acts.extend(self.close(socket));
        acts
    }

    /// Connections that are neither closed nor failed.
    pub(crate) fn open_connections(&self) -> Vec<u32> {
        let open = self.sockets.values().filter(|s| s.is_open());
        open.filter_map(|s| if let Purpose::Connection(id) = s.purpose { Some(id) } else { None }).collect()
    }

    /// A packet arrives from the wire, after the capture saw it.
    pub(crate) fn receive(&mut self, at: i64, packet: &Packet) -> Vec<Act> {
        match &packet.body {
            Body::Tcp(tcp) => {
                if self.fault == Some(ClientFault::DropIn) && tcp.source_port == self.port {
                    return vec![];
                }
                self.segment(at, packet, tcp)
            }
            Body::Error(error) => self.icmp_error(packet.source, error),
            Body::Echo { reply: true, identifier, .. } => {
                let found = self.find(|s| s.state == State::EchoSent && s.local.port() == *identifier);
                let Some(socket) = found else { return vec![] };
                self.answer(socket, KernelAnswer::EchoReply { from: packet.source })
            }
            _ => vec![],
        }
    }

    fn segment(&mut self, at: i64, packet: &Packet, tcp: &Tcp) -> Vec<Act> {
        let (from, to) = (packet.tcp_source(), packet.tcp_destination());
        let found = self.find(|s| s.is_on_wire() && Some(s.server) == from && Some(s.local) == to);
        let Some(socket) = found else { return self.stray(packet, tcp) };
        let Socket { state, isn, received, began, .. } = self.sockets[&socket];
        let talk = &mut self.sockets.get_mut(&socket).expect("just found").talk;
        let acknowledged = tcp.ack.wrapping_sub(isn.wrapping_add(1)) as usize;
        if tcp.has(ACK) && !tcp.has(SYN) && acknowledged <= talk.out.len() {
            talk.acknowledged = talk.acknowledged.max(acknowledged);
        }
        let closing = u32::from(state == State::Closing);
        let next = isn.wrapping_add(1).wrapping_add(talk.out.len() as u32);
        match state {
            State::SynSent { .. } if !tcp.has(ACK) || tcp.ack != next => vec![],
            State::SynSent { .. } if tcp.has(RST) => self.fail(socket, ECONNREFUSED, None),
            State::SynSent { .. } if tcp.has(SYN) => {
                self.sockets.get_mut(&socket).expect("just found").received = tcp.seq.wrapping_add(1);
                self.set(socket, State::Established);
                self.sockets.get_mut(&socket).expect("just found").talk.round_trip = at - began;
                let mut acts = self.reply(socket, next, ACK);
                acts.extend(self.established(socket));
                acts
            }
            State::Established if tcp.has(RST) => {
                if tcp.seq != received {
                    return vec![];
                }
                self.set(socket, State::Dead);
                let error = errno_text(ECONNRESET).to_owned();
                self.tell(socket, ConnectStage::Broken { errno: ECONNRESET, error })
            }
            State::Established if tcp.seq == received && tcp.len() > 0 && !tcp.has(SYN) => {
                let after = received.wrapping_add(tcp.len());
                self.sockets.get_mut(&socket).expect("just found").received = after;
                let mut acts = self.reply(socket, next, ACK);
                if !tcp.data.is_empty() {
                    self.read_banner |= tcp.data.starts_with(b"SSH-");
                    let talk = &mut self.sockets.get_mut(&socket).expect("just found").talk;
                    // What follows the banner is not told byte for byte.
                    let told = !talk.heard.starts_with(b"SSH-");
                    talk.heard.extend(&tcp.data);
                    if told {
                        let line =
                            tcp.data.iter().position(|b| *b == b'\n').map_or(tcp.data.len(), |at| at + 1);
                        let data = escape_bytes(&tcp.data[..line]);
                        acts.extend(self.tell(socket, ConnectStage::Received { data }));
                    }
                    acts.extend(self.listen(at, socket));
                }
                if tcp.has(FIN) {
                    acts.extend(self.tell(socket, ConnectStage::Closed));
                    acts.extend(self.close(socket));
                }
                acts
            }
            // What came already, or does not fit, is acknowledged again (RFC 9293 3.10.7.4).
            State::Established if tcp.len() > 0 => self.reply(socket, next, ACK),
            State::Closing if tcp.has(RST) => {
                self.set(socket, State::Dead);
                vec![]
            }
            State::Closing if tcp.has(FIN) && tcp.seq == received => {
                self.sockets.get_mut(&socket).expect("just found").received = received.wrapping_add(1);
                self.set(socket, State::Dead);
                self.reply(socket, next.wrapping_add(closing), ACK)
            }
            _ => vec![],
        }
    }

    /// A segment that no socket waits for: the answer to a crafted SYN, mostly.
    fn stray(&mut self, packet: &Packet, tcp: &Tcp) -> Vec<Act> {
        if tcp.has(RST) || !tcp.has(ACK) || !self.resets_strays || packet.destination != self.address {
            return vec![];
        }
        let reset = Tcp {
            source_port: tcp.destination_port,
            destination_port: tcp.source_port,
            seq: tcp.ack,
            ack: 0,
            flags: RST,
            window: 0,
            options: vec![],
            data: vec![],
            bad_checksum: false,
        };
        let mut reset = self.packet(packet.source, 64, Body::Tcp(reset));
        reset.identification = 0;
        self.filter_out(reset)
    }

    fn icmp_error(&mut self, from: IpAddr, error: &IcmpError) -> Vec<Act> {
        let quote = &error.quote;
        let v6 = quote.is_v6();
        let found = match &quote.body {
            Body::Tcp(tcp) => self.find(|s| {
                matches!(s.state, State::SynSent { .. })
                    && Some(s.server) == quote.tcp_destination()
                    && Some(s.local) == quote.tcp_source()
                    && s.isn == tcp.seq
            }),
            Body::Echo { identifier, .. } => {
                self.find(|s| s.state == State::EchoSent && s.local.port() == *identifier)
            }
            _ => None,
        };
        let Some(socket) = found else { return vec![] };
        let (icmp_type, code) = error.kind.numbers(v6);
        let icmp = QueuedIcmp { from, icmp_type, code };
        if let Purpose::Question(_) = self.sockets[&socket].purpose {
            return self.answer(socket, KernelAnswer::Icmp(icmp));
        }
        self.fail(socket, error.kind.errno(v6), Some(icmp))
    }

    fn find(&self, wanted: impl Fn(&Socket) -> bool) -> Option<u32> {
        self.sockets.iter().find(|(_, s)| wanted(s)).map(|(n, _)| *n)
    }

    fn set(&mut self, socket: u32, state: State) -> &Socket {
        let socket = self.sockets.get_mut(&socket).expect("sockets are never forgotten");
        socket.state = state;
        socket
    }

    fn established(&mut self, socket: u32) -> Vec<Act> {
        if let Purpose::Question(_) = self.sockets[&socket].purpose {
            let on_wire = self.sockets[&socket].is_on_wire();
            let next = self.sockets[&socket].isn.wrapping_add(1);
            let mut acts = if on_wire { self.reply(socket, next, RST | ACK) } else { vec![] };
            acts.extend(self.answer(socket, KernelAnswer::Established));
            return acts;
        }
        self.tell(socket, ConnectStage::Established)
    }

    fn fail(&mut self, socket: u32, errno: i32, icmp: Option<QueuedIcmp>) -> Vec<Act> {
        if let Purpose::Question(_) = self.sockets[&socket].purpose {
            return self.answer(socket, KernelAnswer::Failed { errno });
        }
        self.set(socket, State::Dead);
        self.tell(socket, ConnectStage::Failed { errno, error: errno_text(errno).to_owned(), icmp })
    }

    fn answer(&mut self, socket: u32, answer: KernelAnswer) -> Vec<Act> {
        match self.set(socket, State::Dead).purpose {
            Purpose::Question(id) => vec![Act::Tell(Event::KernelAnswer { id, answer })],
            Purpose::Connection(_) => vec![],
        }
    }

    fn tell(&self, socket: u32, stage: ConnectStage) -> Vec<Act> {
        let socket = &self.sockets[&socket];
        let Purpose::Connection(id) = socket.purpose else { return vec![] };
        let routed = !matches!(self.fault, Some(ClientFault::NoRoute { .. }));
        let client = routed.then_some(socket.local);
        vec![Act::Tell(Event::Connect { id, server: socket.server, client, stage })]
    }

    fn close(&mut self, socket: u32) -> Vec<Act> {
        let Socket { state, isn, .. } = self.sockets[&socket];
        let sent = self.sockets[&socket].talk.out.len();
        if state == State::Established {
            let next = isn.wrapping_add(1).wrapping_add(sent as u32);
            self.set(socket, State::Closing);
            return self.reply(socket, next, FIN | ACK);
        }
        self.set(socket, State::Dead);
        vec![]
    }

    fn send_syn(&mut self, at: i64, socket: u32) -> Vec<Act> {
        let Socket { local, server, isn, ttl, .. } = self.sockets[&socket];
        let mss = if self.address.is_ipv6() { 1440 } else { 1460 };
        let syn = Tcp {
            source_port: local.port(),
            destination_port: server.port(),
            seq: isn,
            ack: 0,
            flags: SYN,
            window: 64240,
            options: linux_options(mss, (at / MS) as u32, 0),
            data: vec![],
            bad_checksum: false,
        };
        let packet = self.packet(server.ip(), ttl, Body::Tcp(syn));
        self.filter_out(packet)
    }

    fn reply(&mut self, socket: u32, seq: u32, flags: u8) -> Vec<Act> {
        self.segment_out(socket, seq, flags & !PSH, vec![])
    }

    fn segment_out(&mut self, socket: u32, seq: u32, flags: u8, data: Vec<u8>) -> Vec<Act> {
        let Socket { local, server, received, ttl, .. } = self.sockets[&socket];
        let segment = Tcp {
            source_port: local.port(),
            destination_port: server.port(),
            seq,
            ack: received,
            flags,
            window: 502,
            options: vec![],
            data,
            bad_checksum: false,
        };
        let packet = self.packet(server.ip(), ttl, Body::Tcp(segment));
        self.filter_out(packet)
    }

    /// netfilter's OUTPUT hook.
    fn filter_out(&self, packet: Packet) -> Vec<Act> {
        let to_port = packet.tcp().is_some_and(|t| t.destination_port == self.port);
        let stops = matches!(
            self.fault,
            Some(ClientFault::DropOut | ClientFault::RejectOut { .. } | ClientFault::Redirect(_))
        );
        if stops && to_port { vec![] } else { vec![Act::Send(packet)] }
    }

    fn packet(&mut self, destination: IpAddr, ttl: u8, body: Body) -> Packet {
        let v6 = destination.is_ipv6();
        Packet {
            source: self.address,
            destination,
            ttl,
            tos: 0,
            identification: if v6 { 0 } else { self.rng.next() as u16 },
            dont_fragment: !v6,
            half: false,
            flow_label: if v6 { 0x1_d00d } else { 0 },
            body,
        }
    }
}

impl Socket {
    fn is_open(&self) -> bool {
        !matches!(self.state, State::Dead | State::Closing)
    }

    fn is_on_wire(&self) -> bool {
        matches!(self.state, State::SynSent { .. } | State::Established | State::Closing)
    }
}
