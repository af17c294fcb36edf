//! A listener that takes every connection and treats it as told: a hung proxy, a server that refuses, a foreign service.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{Backlog, listen, shutdown};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::namespace::Namespace;
use super::{SSH_PORT, VM};

/// Connections held at once; more than a test makes.
const MOST: usize = 256;

/// How a relay waits for the VM.
const PATIENCE: Duration = Duration::from_secs(5);

/// What becomes of a connection that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It stays open, and nothing is said.
    Silent,
    /// It is closed at once.
    Closes,
    /// It is reset at once.
    Resets,
    /// This is said; then it stays open.
    Says(&'static str),
    /// Whatever is sent is refused as no HTTP request; then it is closed.
    Http,
    /// It is joined with one to the VM.
    Relays,
}

const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nServer: proxy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Listens on IPv4 and IPv6; dropping it ends all it took.
pub(super) struct Service {
    listener: Arc<TcpListener>,
    port: u16,
    taken: Arc<Taken>,
    worker: Option<JoinHandle<()>>,
}

/// Both ends of what it holds, to end them.
type Taken = Mutex<Vec<Arc<TcpStream>>>;

impl Service {
    /// Listens on `port`, or on a free one where it is 0. `transparent`: also for addresses that are not the host's.
    pub(super) fn start(
        namespace: &Namespace,
        port: u16,
        transparent: bool,
        manner: Manner,
    ) -> io::Result<Self> {
        let listener = Arc::new(namespace.enter(|| bind(port, transparent))??);
        let port = listener.local_addr()?.port();
        let taken = Arc::<Taken>::default();
        let worker = thread::spawn({
            let (listener, taken, namespace) = (Arc::clone(&listener), Arc::clone(&taken), namespace.clone());
            move || {
                while let Ok((stream, client)) = listener.accept() {
                    let Some(stream) = keep(&taken, stream) else { return };
                    match manner {
                        Manner::Silent => {}
                        Manner::Closes => drop(stream.shutdown(Shutdown::Both)),
                        Manner::Resets => {
                            let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
                            forget(&taken, &stream);
                        }
                        Manner::Says(words) => drop((&*stream).write_all(words.as_bytes())),
                        Manner::Http => drop(thread::spawn(move || refuse(&stream))),
                        Manner::Relays => {
                            let (taken, namespace) = (Arc::clone(&taken), namespace.clone());
                            thread::spawn(move || relay(&namespace, &taken, &stream, client));
                        }
                    }
                }
            }
        });
        Ok(Self { listener, port, taken, worker: Some(worker) })
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Linux ends an accept(2) that waits on a listener that is shut down.
        let _ = shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
        for stream in self.taken.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn bind(port: u16, transparent: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    if transparent {
        // Linux keeps one flag for both families.
        socket.set_ip_transparent_v4(true)?;
    }
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    listen(&socket, Backlog::new(64)?)?;
    Ok(socket.into())
}

fn keep(taken: &Taken, stream: TcpStream) -> Option<Arc<TcpStream>> {
    let stream = Arc::new(stream);
    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
    (taken.len() < MOST).then(|| taken.push(Arc::clone(&stream)))?;
    Some(stream)
}

fn forget(taken: &Taken, stream: &Arc<TcpStream>) {
    taken.lock().unwrap_or_else(PoisonError::into_inner).retain(|kept| !Arc::ptr_eq(kept, stream));
}

fn refuse(mut stream: &TcpStream) {
    let mut said = [0; 512];
    if matches!(stream.read(&mut said), Ok(1..)) {
        let _ = stream.write_all(BAD_REQUEST);
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// Ends when either end does.
fn relay(namespace: &Namespace, taken: &Taken, near: &Arc<TcpStream>, client: SocketAddr) {
    let is_v4 = matches!(client.ip().to_canonical(), IpAddr::V4(_));
    let vm = SocketAddr::new(VM[usize::from(!is_v4)], SSH_PORT);
    let far = namespace.enter(|| TcpStream::connect_timeout(&vm, PATIENCE)).and_then(|far| far);
    let far = far.ok().and_then(|far| keep(taken, far));
    if let Some(far) = far {
        thread::scope(|scope| {
            for (mut from, mut to) in [(&**near, &*far), (&*far, &**near)] {
                scope.spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        });
        forget(taken, &far);
    }
    let _ = near.shutdown(Shutdown::Both);
    forget(taken, near);
}
