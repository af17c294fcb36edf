//! Probes that any user may send: connect(2) with a small TTL, an echo by a datagram ICMP socket.
//! The answers come from the socket's error queue.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use super::connect::{self, Told};
use super::readiness::watch;
use super::{clock, errno, error_queue};
use crate::recording::{Event, KernelAnswer, KernelProbe};

/// How long an answer is waited for: past the kernel's first retransmission of a SYN (1 s), which asks
/// again where a router's rate limit kept the first answer back.
const PATIENCE: Duration = Duration::from_millis(2500);

/// What an echo carries: the answer must bring it back, for anybody can guess the 16 bits that the kernel goes by.
pub(super) type Token = [u8; 10];

/// Sends `probe`; its answer, if one comes, is told later by [`follow`].
pub(super) fn begin(
    probe: KernelProbe,
    hop_limit: u8,
    bind: Option<IpAddr>,
    token: Token,
) -> io::Result<Socket> {
    match probe {
        KernelProbe::Connect(server) => {
            let socket = connect::open(server, bind)?;
            limit(&socket, server.ip(), hop_limit)?;
            connect::start(&socket, server)?;
            Ok(socket)
        }
        KernelProbe::Echo(target) => {
            let (domain, protocol, kind) = match target {
                IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8),
                IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128),
            };
            let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
            socket.set_nonblocking(true)?;
            if let Some(bind) = bind {
                socket.bind(&SocketAddr::new(bind, 0).into())?;
            }
            limit(&socket, target, hop_limit)?;
            socket.connect(&SocketAddr::new(target, 0).into())?;
            // The kernel fills in identifier and checksum.
            socket.send(&[&[kind, 0, 0, 0, 0, 0], token.as_slice()].concat())?;
            Ok(socket)
        }
    }
}

fn limit(socket: &Socket, target: IpAddr, hop_limit: u8) -> io::Result<()> {
    match target {
        IpAddr::V4(_) => socket.set_ttl_v4(hop_limit.into())?,
        IpAddr::V6(_) => socket.set_unicast_hops_v6(hop_limit.into())?,
    }
    error_queue::keep(socket, target, true)
}

/// Waits for the answer and tells it; silence tells nothing.
pub(super) async fn follow(
    socket: Socket,
    id: u32,
    probe: KernelProbe,
    token: Token,
    to: UnboundedSender<Told>,
) {
    if let Ok(Some(answer)) = timeout(PATIENCE, answer(socket, probe, token)).await {
        let _ = to.send(Told::Event(clock::now(), Event::KernelAnswer { id, answer }));
    }
}

async fn answer(socket: Socket, probe: KernelProbe, token: Token) -> Option<KernelAnswer> {
    let interest = Interest::READABLE | Interest::WRITABLE | Interest::ERROR;
    let socket = watch(socket, interest).ok()?;
    let awaited = match probe {
        KernelProbe::Connect(_) => Interest::WRITABLE | Interest::ERROR,
        KernelProbe::Echo(_) => Interest::READABLE | Interest::ERROR,
    };
    loop {
        let mut guard = socket.ready(awaited).await.ok()?;
        // The queue says who sent the error; the socket's own error is only its shadow.
        while let Some((icmp, quote)) = error_queue::next(socket.get_ref()) {
            if matches!(probe, KernelProbe::Connect(_)) || repeats(&quote, token) {
                return Some(KernelAnswer::Icmp(icmp));
            }
        }
        let settled = match probe {
            KernelProbe::Connect(_) => connected(socket.get_ref()),
            KernelProbe::Echo(target) => replied(socket.get_ref(), target, token),
        };
        if settled.is_some() {
            return settled;
        }
        guard.clear_ready();
    }
}

fn connected(socket: &Socket) -> Option<KernelAnswer> {
    match socket.take_error() {
        Ok(None) => socket.peer_addr().is_ok().then_some(KernelAnswer::Established),
        Ok(Some(e)) | Err(e) => Some(KernelAnswer::Failed { errno: errno::number(&e) }),
    }
}

fn replied(socket: &Socket, target: IpAddr, token: Token) -> Option<KernelAnswer> {
    use std::io::Read;
    let mut reply = [0; 64];
    let mut source = socket;
    match source.read(&mut reply) {
        // A connected socket hears its peer alone.
        Ok(n) => (n == 6 + token.len() && matches!(reply[0], 0 | 129) && repeats(&reply[..n], token))
            .then_some(KernelAnswer::EchoReply { from: target }),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
        Err(e) => Some(KernelAnswer::Failed { errno: errno::number(&e) }),
    }
}

/// Whether an echo, from its ICMP header on, is ours: the sequence number at least, and all that there is.
fn repeats(echo: &[u8], token: Token) -> bool {
    echo.get(6..).is_some_and(|rest| rest.len() >= 2 && rest.iter().zip(token).all(|(a, b)| *a == b))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn ask(probe: KernelProbe) -> Option<KernelAnswer> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (to, mut told) = unbounded_channel();
            let socket = begin(probe, 5, None, [0; 10]).unwrap();
            follow(socket, 7, probe, [0; 10], to).await;
            match told.recv().await {
                Some(Told::Event(_, Event::KernelAnswer { id: 7, answer })) => Some(answer),
                _ => None,
            }
        })
    }

    #[test]
    fn an_echo_repeats_what_was_sent() {
        let token = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        let echo = [&[0, 0, 9, 9, 7, 7], token.as_slice()].concat();
        assert!(repeats(&echo, token), "whatever its identifier and checksum");
        assert!(repeats(&echo[..8], token), "a router may quote 8 bytes");
        assert!(!repeats(&echo[..7], token));
        for wrong in 6..echo.len() {
            let mut echo = echo.clone();
            echo[wrong] ^= 1;
            assert!(!repeats(&echo, token));
        }
    }

    #[test]
    fn a_listener_answers_and_a_closed_port_refuses() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(ask(KernelProbe::Connect(address)), Some(KernelAnswer::Established));
        drop(listener);
        assert_eq!(ask(KernelProbe::Connect(address)), Some(KernelAnswer::Failed { errno: 111 }));
    }
}
