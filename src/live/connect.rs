//! The kernel's own connect(2), as the calling user.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::UnboundedSender;

use super::{clock, errno};
use crate::recording::{ConnectStage, Event, Timestamp};

/// What a socket's task tells the session.
#[derive(Debug)]
pub(super) enum Told {
    /// Something to record, and when it was noticed.
    Event(Timestamp, Event),
    /// Nothing more will come of this connection.
    Over(u32),
}

/// A connection that was begun.
pub(super) struct Begun {
    pub(super) socket: Socket,
    pub(super) client: Option<SocketAddr>,
}

/// Calls connect(2) on a socket of [`open`]'s, without waiting for its outcome.
pub(super) fn begin(socket: Socket, server: SocketAddr) -> io::Result<Begun> {
    start(&socket, server)?;
    Ok(Begun { client: socket.local_addr().ok().and_then(|a| a.as_socket()), socket })
}

/// A TCP socket, bound only if the user asked for it, as ssh does.
pub(super) fn open(server: SocketAddr, bind: Option<IpAddr>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(bind) = bind {
        socket.bind(&SocketAddr::new(bind, 0).into())?;
    }
    Ok(socket)
}

/// connect(2) that does not wait.
pub(super) fn start(socket: &Socket, server: SocketAddr) -> io::Result<()> {
    match socket.connect(&server.into()) {
        Err(e) if e.raw_os_error() == Some(Errno::EINPROGRESS as i32) => Ok(()),
        other => other,
    }
}

/// Waits for the outcome of connect(2).
pub(super) async fn established(socket: &AsyncFd<Socket>) -> io::Result<()> {
    loop {
        let mut guard = socket.writable().await?;
        // First, for the error of a connected socket may be an ICMP error about a later packet, which ends nothing.
        if socket.get_ref().peer_addr().is_ok() {
            return Ok(());
        }
        if let Some(error) = socket.get_ref().take_error()? {
            return Err(error);
        }
        guard.clear_ready();
    }
}

/// Who a connection is, in events.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    pub(super) id: u32,
    pub(super) server: SocketAddr,
    pub(super) client: Option<SocketAddr>,
    pub(super) to: UnboundedSender<Told>,
}

impl Reporter {
    pub(super) fn tell(&self, stage: ConnectStage) {
        let Self { id, server, client, .. } = *self;
        // Nobody listens any more once the trace is over.
        let _ = self.to.send(Told::Event(clock::now(), Event::Connect { id, server, client, stage }));
    }

    pub(super) fn broken(&self, error: &io::Error) {
        self.tell(ConnectStage::Broken { errno: errno::number(error), error: errno::describe(error) });
    }
    /// Says that nothing more will come.
    pub(super) fn over(&self) {
        let _ = self.to.send(Told::Over(self.id));
    }
}
