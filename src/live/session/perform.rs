//! What the planner asks for is done, and put down in the recording.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::Socket;
use tokio::task::JoinHandle;

use super::Session;
use crate::live::connect::{self, Reporter};
use crate::live::{clock, conversation, errno, error_queue, kernel_probe};
use crate::packet::build;
use crate::probe::{Action, Manner};
use crate::recording::{ConnectStage, Event, KernelAnswer, KernelProbe, Timestamp};

/// A kernel connection that is not over.
pub(super) struct Connection {
    server: SocketAddr,
    pub(super) client: Option<SocketAddr>,
    began: Timestamp,
    task: Option<JoinHandle<()>>,
    pub(super) over: bool,
}

impl Session {
    pub(super) fn perform(&mut self, action: &Action) -> io::Result<()> {
        match action {
            Action::Connect { id, server, manner } => self.connect(*id, *server, *manner),
            Action::Abandon { id } => self.abandon(*id),
            Action::SendSyn(syn) => self.send(syn.destination.ip(), build::syn(syn)),
            Action::SendHalfSyn(syn) => self.send(syn.destination.ip(), build::half_syn(syn)),
            Action::SendEcho(echo) => self.send(echo.destination, build::echo(echo)),
            Action::SendReset(reset) => self.send(reset.destination.ip(), build::reset(reset)),
            Action::SendData(data) => self.send(data.destination.ip(), build::data(data)),
            Action::Ask { id, probe, hop_limit } => self.ask(*id, *probe, *hop_limit),
        }
    }

    /// connect(2): on record before its SYN can be on the wire, and again as soon as its port is known.
    fn connect(&mut self, id: u32, server: SocketAddr, manner: Manner) -> io::Result<()> {
        let event = |client, stage| Event::Connect { id, server, client, stage };
        let began = clock::now();
        self.tee.event_at(began, event(None, ConnectStage::Started))?;
        let opened = self.sockets.get_mut(&server.ip()).and_then(Vec::pop);
        let socket = opened.unwrap_or_else(|| connect::open(server, self.bind));
        let asking = |socket: Socket| error_queue::keep(&socket, server.ip(), true).map(|()| socket);
        match socket.and_then(asking).and_then(|socket| connect::begin(socket, server)) {
            Ok(connect::Begun { socket, client }) => {
                self.tee.event(event(client, ConnectStage::Started))?;
                let reporter = Reporter { id, server, client, to: self.told_to.clone() };
                let task = Some(tokio::spawn(conversation::follow(socket, reporter, manner)));
                self.connections.insert(id, Connection { server, client, began, task, over: false });
            }
            Err(e) => {
                let stage =
                    ConnectStage::Failed { errno: errno::number(&e), error: errno::describe(&e), icmp: None };
                self.tee.event(event(None, stage))?;
            }
        }
        Ok(())
    }

    pub(super) fn abandon(&mut self, id: u32) -> io::Result<()> {
        let now = clock::now();
        let Some(connection) = self.connections.get_mut(&id).filter(|c| !c.over) else { return Ok(()) };
        connection.over = true;
        if let Some(task) = connection.task.take() {
            task.abort();
        }
        let waited_ms = u64::try_from(now.since(connection.began)).unwrap_or(0) / 1_000_000;
        let Connection { server, client, .. } = *connection;
        let stage = ConnectStage::Abandoned { waited_ms };
        self.tee.event_at(now, Event::Connect { id, server, client, stage })
    }

    pub(super) fn send(&mut self, target: IpAddr, packet: Vec<u8>) -> io::Result<()> {
        match self.sender.send(&self.netlink, target, packet, clock::now()) {
            Some(event) => self.tee.event(event),
            None => Ok(()),
        }
    }

    fn ask(&mut self, id: u32, probe: KernelProbe, hop_limit: u8) -> io::Result<()> {
        self.tee.event(Event::KernelProbe { id, probe, hop_limit })?;
        let token = token(id);
        match kernel_probe::begin(probe, hop_limit, self.bind, token) {
            Ok(socket) => {
                tokio::spawn(kernel_probe::follow(socket, id, probe, token, self.told_to.clone()));
                Ok(())
            }
            Err(e) => {
                let answer = KernelAnswer::Failed { errno: errno::number(&e) };
                self.tee.event(Event::KernelAnswer { id, answer })
            }
        }
    }
}

/// What nobody can guess; the standard library's hasher is keyed by the system's randomness.
fn token(id: u32) -> kernel_probe::Token {
    let random = [RandomState::new().hash_one(id), RandomState::new().hash_one(id)].map(u64::to_le_bytes);
    let mut token = kernel_probe::Token::default();
    token.iter_mut().zip(random.as_flattened()).for_each(|(to, from)| *to = *from);
    token
}
