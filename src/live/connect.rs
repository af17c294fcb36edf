//! The kernel's own connect(2), as the calling user, and the banner behind it. Not one byte is ever sent.

use std::io::{self, Read};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use super::readiness::watch;
use super::{clock, errno};
use crate::recording::{ConnectStage, Event, Timestamp};

/// Bytes of the server's that are kept as an event; the frames hold the rest.
const KEPT: usize = 1024;

/// Bytes read in search of a banner: RFC 4253 sets no limit to the lines before it.
const READ: usize = 64 << 10;

/// How long bytes without a line end are held back for the rest of their line.
const LINE: Duration = Duration::from_millis(50);

/// How long the server is given to close after us, so that no reset is drawn.
const PARTING: Duration = Duration::from_millis(300);

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
        if let Some(error) = socket.get_ref().take_error()? {
            return Err(error);
        }
        if socket.get_ref().peer_addr().is_ok() {
            return Ok(());
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
    fn tell(&self, stage: ConnectStage) {
        let Self { id, server, client, .. } = *self;
        // Nobody listens any more once the trace is over.
        let _ = self.to.send(Told::Event(clock::now(), Event::Connect { id, server, client, stage }));
    }

    fn broken(&self, error: &io::Error) {
        self.tell(ConnectStage::Broken { errno: errno::number(error), error: errno::describe(error) });
    }
}

/// Follows a connection to its banner or its end.
pub(super) async fn follow(socket: Socket, reporter: Reporter) {
    converse(socket, &reporter).await;
}

async fn converse(socket: Socket, reporter: &Reporter) {
    let over = || {
        let _ = reporter.to.send(Told::Over(reporter.id));
    };
    let failed = |e: &io::Error| {
        reporter.tell(ConnectStage::Failed { errno: errno::number(e), error: errno::describe(e) });
        over();
    };
    let socket = match watch(socket, Interest::READABLE | Interest::WRITABLE) {
        Ok(socket) => socket,
        Err(e) => return failed(&e),
    };
    if let Err(e) = established(&socket).await {
        return failed(&e);
    }
    reporter.tell(ConnectStage::Established);

    let mut banner = Banner::default();
    loop {
        let mut buffer = [0; 4096];
        let read = if banner.holds_back() {
            timeout(LINE, read(&socket, &mut buffer)).await.ok()
        } else {
            Some(read(&socket, &mut buffer).await)
        };
        let news = match &read {
            Some(Ok(n)) if *n > 0 => banner.push(&buffer[..*n]),
            // A pause, an end, an error: whatever was held back is all there is.
            _ => banner.flush(),
        };
        if let Some(data) = news {
            reporter.tell(ConnectStage::Received { data });
        }
        match read {
            Some(Ok(0)) => reporter.tell(ConnectStage::Closed),
            Some(Err(e)) => reporter.broken(&e),
            _ if banner.is_complete() => {
                over();
                return part(&socket).await;
            }
            _ if banner.is_hopeless() => {}
            _ => continue,
        }
        return over();
    }
}

/// One read(2).
async fn read(socket: &AsyncFd<Socket>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut guard = socket.readable().await?;
        match guard.try_io(|s| s.get_ref().read(buffer)) {
            Ok(done) => return done,
            Err(_would_block) => {}
        }
    }
}

/// Closes our side and lets the server close its own: a close with bytes unread would be a reset.
async fn part(socket: &AsyncFd<Socket>) {
    let _ = socket.get_ref().shutdown(Shutdown::Write);
    let mut rest = [0; 4096];
    let _ = timeout(PARTING, async { while matches!(read(socket, &mut rest).await, Ok(1..)) {} }).await;
}

/// The server's first bytes, line by line, until a line that begins `SSH-`.
#[derive(Debug, Default)]
struct Banner {
    /// Told bytes, up to [`KEPT`].
    told: usize,
    /// All bytes.
    read: usize,
    held: Vec<u8>,
    /// The line under way, as far as it decides whether it is the banner.
    line: Vec<u8>,
    complete: bool,
}

impl Banner {
    /// Takes bytes; gives back what should be told now.
    fn push(&mut self, bytes: &[u8]) -> Option<String> {
        self.read += bytes.len();
        for &byte in bytes {
            if byte == b'\n' {
                self.complete |= self.line.starts_with(b"SSH-");
                self.line.clear();
            } else if self.line.len() < 4 {
                self.line.push(byte);
            }
        }
        let room = KEPT.saturating_sub(self.told + self.held.len());
        self.held.extend(&bytes[..bytes.len().min(room)]);
        if bytes.contains(&b'\n') { self.flush() } else { None }
    }

    /// What was held back.
    fn flush(&mut self) -> Option<String> {
        let held = std::mem::take(&mut self.held);
        self.told += held.len();
        (!held.is_empty()).then(|| escape(&held))
    }

    fn holds_back(&self) -> bool {
        !self.held.is_empty()
    }

    fn is_complete(&self) -> bool {
        self.complete
    }

    fn is_hopeless(&self) -> bool {
        self.read >= READ
    }
}

/// Printable ASCII as it is, all else (backslash included) as `\xNN`.
fn escape(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if matches!(byte, b' '..=b'~') && byte != b'\\' {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_lines() {
        let mut banner = Banner::default();
        assert_eq!(banner.push(b"SSH-2.0-Op"), None);
        assert!(banner.holds_back() && !banner.is_complete());
        assert_eq!(banner.push(b"enSSH\r\n").as_deref(), Some("SSH-2.0-OpenSSH\\x0d\\x0a"));
        assert!(banner.is_complete() && !banner.holds_back());
    }

    #[test]
    fn lines_before_the_banner_are_allowed_but_not_within_a_line() {
        let mut banner = Banner::default();
        banner.push(b"Welcome to SSH-2.0\r\n");
        assert!(!banner.is_complete());
        banner.push(b"SSH-");
        assert!(!banner.is_complete());
        banner.push(b"2.0-x\n");
        assert!(banner.is_complete());
    }

    #[test]
    fn a_flood_is_cut() {
        let mut banner = Banner::default();
        let mut told = 0;
        while !banner.is_hopeless() {
            told += banner.push(&[b'a'; 4096]).map_or(0, |t| t.len());
            told += banner.flush().map_or(0, |t| t.len());
        }
        assert_eq!(told, KEPT);
    }

    #[test]
    fn text_is_escaped_reversibly() {
        assert_eq!(escape(b"a\\b\x00\xff~ "), "a\\x5cb\\x00\\xff~ ");
    }
}
