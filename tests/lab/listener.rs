//! A listener that takes every connection and never says a word, as a hung local proxy does.

use std::io;
use std::net::{Ipv6Addr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::sys::socket::{Shutdown, shutdown};

use super::namespace::Namespace;

/// Listens on IPv4 and IPv6; dropping it closes all it took.
pub(super) struct SilentListener {
    listener: Arc<TcpListener>,
    port: u16,
    worker: Option<JoinHandle<()>>,
}

impl SilentListener {
    /// Listens on a free port.
    pub(super) fn start(namespace: &Namespace) -> io::Result<Self> {
        let listener = Arc::new(namespace.enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)))??);
        let port = listener.local_addr()?.port();
        let worker = thread::spawn({
            let listener = Arc::clone(&listener);
            move || {
                let mut taken = Vec::new();
                while let Ok((stream, _)) = listener.accept() {
                    taken.push(stream);
                }
            }
        });
        Ok(Self { listener, port, worker: Some(worker) })
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for SilentListener {
    fn drop(&mut self) {
        // Linux ends an accept(2) that waits on a listener that is shut down.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}
