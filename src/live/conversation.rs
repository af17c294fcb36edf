//! What is said on a kernel connection: the server's banner, ours, and both first messages of the key exchange.
//!
//! Each step is one that ssh takes too, so that whatever lets ssh down lets this down at the same step. No key is
//! exchanged and nobody logs in: sshd logs a client that said goodbye before authentication.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::TcpMaxSeg};
use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use super::connect::{Reporter, established};
use super::readiness::watch;
use super::{clock, errno, error_queue};
use crate::packet::ssh::{self, FirstPacket};
use crate::probe::Manner;
use crate::recording::{ConnectStage, QueuedIcmp, Said, Timestamp, escape_bytes};

/// Bytes of the server's that are kept as an event; the frames hold the rest.
const KEPT: usize = 1024;

/// Bytes read in search of a banner: RFC 4253 sets no limit to the lines before it.
const READ: usize = 64 << 10;

/// How long bytes without a line end are held back for the rest of their line.
const LINE: Duration = Duration::from_millis(50);

/// How long a server may be silent before it is told who we are: ssh does not wait for it at all, and some that are no
/// SSH servers speak only when spoken to.
const SILENT: Duration = Duration::from_secs(1);

/// How long the server is given to close after us, so that no reset is drawn.
const PARTING: Duration = Duration::from_millis(300);

/// How much longer than two round trips a reset by our key exchange is waited for.
const SLOW_RESET: Duration = Duration::from_millis(30);

/// By how many bytes our key exchange is longer than a segment: what ssh sends is longer too.
const BEYOND_SEGMENT: usize = 200;

/// What no MTU of 1,500 lets through in one piece; asked for where the kernel does not tell its segments' size.
const USUAL_SEGMENT: u32 = 1460;

/// A connection on which nothing more can be done; what there is to tell of it was told.
struct Ended;

/// Follows a connection as far as it gets.
pub(super) async fn follow(socket: Socket, reporter: Reporter, manner: Manner) {
    let began = clock::now();
    match watch(socket, Interest::READABLE | Interest::WRITABLE) {
        Ok(socket) => {
            let _ended = converse(&socket, &reporter, manner, began).await;
        }
        Err(e) => failed(&reporter, &e, None),
    }
    reporter.over();
}

fn failed(reporter: &Reporter, e: &io::Error, icmp: Option<QueuedIcmp>) {
    reporter.tell(ConnectStage::Failed { errno: errno::number(e), error: errno::describe(e), icmp });
}

async fn converse(
    socket: &AsyncFd<Socket>,
    reporter: &Reporter,
    manner: Manner,
    began: Timestamp,
) -> Result<(), Ended> {
    if let Err(e) = established(socket).await {
        failed(reporter, &e, error_queue::next(socket.get_ref()).map(|(icmp, _)| icmp));
        return Err(Ended);
    }
    // From here on ICMP errors are hints, as they are to ssh, and so is one that came before this was said.
    let _ = error_queue::keep(socket.get_ref(), reporter.server.ip(), false);
    if socket.get_ref().peer_addr().is_ok() {
        let _ = socket.get_ref().take_error();
    }
    let round_trip = since_last_syn(clock::now().since(began));
    reporter.tell(ConnectStage::Established);
    let mut line = Line { socket, reporter, behind_banner: Vec::new(), identified: false };
    line.banner(manner).await?;
    if manner == Manner::Hold {
        // Nothing is said, and whatever comes is only read: others speak on this connection.
        loop {
            line.read().await?;
        }
    }
    line.identify().await?;
    line.key_exchange().await?;
    let segment = getsockopt(socket.get_ref(), TcpMaxSeg).unwrap_or(USUAL_SEGMENT) as usize;
    // Its only use is to be there: no key comes of it.
    let cookie = *b"whichhop whichho";
    line.say(Said::KeyExchange, &ssh::kexinit(cookie, segment + BEYOND_SEGMENT)).await?;
    let _ = timeout(2 * round_trip + SLOW_RESET, line.read()).await.unwrap_or(Ok(()));
    line.say(Said::Disconnect, &ssh::disconnect()).await?;
    loop {
        line.read().await?;
    }
}

/// How long the answer took to the SYN that drew it, of all that connect(2) took: Linux sends a SYN again whole seconds
/// behind the first, which went out a little before anybody looked.
fn since_last_syn(took: i64) -> Duration {
    const SECOND: i64 = 1_000_000_000;
    const BEFORE: i64 = SECOND / 20;
    let behind = if took + BEFORE < SECOND { took } else { (took + BEFORE) % SECOND };
    Duration::from_nanos(behind.unsigned_abs())
}

/// A connection that is spoken on.
struct Line<'a> {
    socket: &'a AsyncFd<Socket>,
    reporter: &'a Reporter,
    behind_banner: Vec<u8>,
    /// Whether our identification was sent.
    identified: bool,
}

impl Line<'_> {
    /// Reads to the end of the banner.
    async fn banner(&mut self, manner: Manner) -> Result<(), Ended> {
        let mut banner = Banner::default();
        loop {
            let mut buffer = [0; 4096];
            let read = if banner.holds_back() {
                timeout(LINE, read(self.socket, &mut buffer)).await.ok()
            } else if manner == Manner::Converse && !self.identified {
                let read = timeout(SILENT, read(self.socket, &mut buffer)).await.ok();
                if read.is_none() {
                    self.identify().await?;
                }
                read
            } else {
                Some(read(self.socket, &mut buffer).await)
            };
            let news = match &read {
                Some(Ok(n)) if *n > 0 => banner.push(&buffer[..*n]),
                // A pause, an end, an error: whatever was held back is all there is.
                _ => banner.flush(),
            };
            if let Some(data) = news {
                self.reporter.tell(ConnectStage::Received { data });
            }
            if let Some(read) = read {
                self.heard(&read)?;
            }
            if banner.is_complete() {
                self.behind_banner = banner.rest;
                return Ok(());
            }
            if banner.is_hopeless() {
                self.reporter.tell(ConnectStage::Left);
                part(self.socket).await;
                return Err(Ended);
            }
        }
    }

    /// Reads the server's first message of the key exchange; whatever else it says is waited through.
    async fn key_exchange(&mut self) -> Result<(), Ended> {
        loop {
            if let FirstPacket::Kexinit(bytes) = ssh::first_packet(&self.behind_banner) {
                self.reporter.tell(ConnectStage::KeyExchange { bytes: bytes as u32 });
                return Ok(());
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Ended> {
        let mut buffer = [0; 4096];
        let read = read(self.socket, &mut buffer).await;
        self.heard(&read)?;
        let read = read.unwrap_or(0);
        if self.behind_banner.len() < READ {
            self.behind_banner.extend(&buffer[..read]);
        }
        Ok(())
    }

    /// Tells of an end.
    fn heard(&self, read: &io::Result<usize>) -> Result<(), Ended> {
        match read {
            Ok(0) => self.reporter.tell(ConnectStage::Closed),
            Err(e) => self.reporter.broken(e),
            Ok(_) => return Ok(()),
        }
        Err(Ended)
    }

    /// Says who we are, once.
    async fn identify(&mut self) -> Result<(), Ended> {
        if std::mem::replace(&mut self.identified, true) {
            return Ok(());
        }
        self.say(Said::Identification, ssh::IDENTIFICATION.as_bytes()).await
    }

    async fn say(&self, what: Said, mut words: &[u8]) -> Result<(), Ended> {
        let bytes = words.len() as u32;
        while !words.is_empty() {
            match write(self.socket, words).await {
                Ok(written) => words = &words[written..],
                Err(e) => {
                    self.reporter.broken(&e);
                    return Err(Ended);
                }
            }
        }
        self.reporter.tell(ConnectStage::Sent { what, bytes });
        Ok(())
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

/// One write(2).
async fn write(socket: &AsyncFd<Socket>, words: &[u8]) -> io::Result<usize> {
    loop {
        let mut guard = socket.writable().await?;
        match guard.try_io(|s| s.get_ref().write(words)) {
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
    /// What came behind the banner.
    rest: Vec<u8>,
}

impl Banner {
    /// Takes bytes; gives back what should be told now.
    fn push(&mut self, bytes: &[u8]) -> Option<String> {
        self.read += bytes.len();
        let mut lines = 0;
        for (index, &byte) in bytes.iter().enumerate() {
            if byte == b'\n' {
                self.complete |= self.line.starts_with(b"SSH-");
                self.line.clear();
            } else if self.line.len() < 4 {
                self.line.push(byte);
            }
            lines = index + 1;
            if self.complete {
                break;
            }
        }
        let (lines, rest) = bytes.split_at(lines);
        self.rest.extend(rest);
        let room = KEPT.saturating_sub(self.told + self.held.len());
        self.held.extend(&lines[..lines.len().min(room)]);
        if lines.contains(&b'\n') { self.flush() } else { None }
    }

    /// What was held back.
    fn flush(&mut self) -> Option<String> {
        let held = std::mem::take(&mut self.held);
        self.told += held.len();
        (!held.is_empty()).then(|| escape_bytes(&held))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_syn_makes_no_slow_path() {
        let after = |ms: i64| since_last_syn(ms * 1_000_000).as_millis();
        assert_eq!([80, 600, 998, 1_083, 3_090].map(after), [80, 600, 48, 133, 140]);
    }

    #[test]
    fn bytes_are_told_in_lines() {
        let mut banner = Banner::default();
        assert_eq!(banner.push(b"SSH-2.0-Op"), None);
        assert!(banner.holds_back() && !banner.is_complete());
        assert_eq!(banner.push(b"enSSH\r\n").as_deref(), Some("SSH-2.0-OpenSSH\\x0d\\x0a"));
        assert!(banner.is_complete() && !banner.holds_back());
    }

    #[test]
    fn what_follows_the_banner_is_kept_apart() {
        let mut banner = Banner::default();
        assert_eq!(banner.push(b"SSH-2.0-x\r\n\x00\x00\x04").as_deref(), Some("SSH-2.0-x\\x0d\\x0a"));
        assert_eq!(banner.rest, b"\x00\x00\x04");
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
}
