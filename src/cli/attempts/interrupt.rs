//! Signals that ask to end (INT, TERM, HUP): the first ends the input, so that what is known is told; the next kills.

use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};

/// How long is waited, after a signal, for what whoever writes the capture still holds: Ctrl-C reaches `tcpdump -w -` too,
/// which writes the rest and ends.
const GRACE: Duration = Duration::from_millis(500);

/// Whether to end, told to all sources.
pub(super) struct Interrupt {
    shared: Arc<Shared>,
    /// Dropped to wake who waits for a source.
    wake: Mutex<Option<PipeWriter>>,
    /// What nohup(1) or a shell's background wants to be ignored, and what stays so; as bits.
    ignored: u64,
}

struct Shared {
    asked: AtomicBool,
    /// Whether a source was left before its end.
    cut: AtomicBool,
    woken: PipeReader,
}

impl Interrupt {
    /// Looks into /proc: call it before that is out of reach.
    pub(super) fn new() -> io::Result<Self> {
        let (woken, wake) = io::pipe()?;
        let shared = Shared { asked: AtomicBool::new(false), cut: AtomicBool::new(false), woken };
        Ok(Self { shared: Arc::new(shared), wake: Mutex::new(Some(wake)), ignored: ignored() })
    }

    /// From now on signals are waited for, by a thread of their own. Call it before other threads are started: none may
    /// take the signals.
    pub(super) fn listen(&self) {
        let wanted = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
        let signals: SigSet =
            wanted.into_iter().filter(|s| self.ignored & 1 << (*s as u64 - 1) == 0).collect();
        if signals.iter().next().is_none() || signals.thread_block().is_err() {
            return;
        }
        let (shared, wake) =
            (Arc::clone(&self.shared), self.wake.lock().unwrap_or_else(PoisonError::into_inner).take());
        let waiting = thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if signals.wait().is_ok() {
                shared.asked.store(true, Ordering::Release);
                drop(wake);
            }
            // Of all threads this one takes the next, as it is taken by default.
            let _ = signals.thread_unblock();
            loop {
                thread::park();
            }
        });
        if waiting.is_err() {
            let _ = signals.thread_unblock();
        }
    }

    /// `source`, which fails once it is to end.
    pub(super) fn ends(&self, source: File) -> impl Read + use<> {
        let regular = source.metadata().is_ok_and(|about| about.is_file());
        Source { file: source, regular, shared: Arc::clone(&self.shared), until: None }
    }

    /// Whether a signal has cut reading short.
    pub(super) fn has_cut(&self) -> bool {
        self.shared.cut.load(Ordering::Acquire)
    }
}

/// The signals that are ignored, as bits.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

struct Source {
    file: File,
    regular: bool,
    shared: Arc<Shared>,
    /// When to end, now that this was asked.
    until: Option<Instant>,
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.may_read()? {
            return self.file.read(into);
        }
        self.shared.cut.store(true, Ordering::Release);
        Err(io::Error::other("a signal asked to end"))
    }
}

impl Source {
    /// Waits until there is something to read; false once it is to end.
    fn may_read(&mut self) -> io::Result<bool> {
        let asked = || self.shared.asked.load(Ordering::Acquire);
        if self.regular {
            return Ok(!asked());
        }
        if self.until.is_none() && !asked() {
            let [readable, _] = wait([self.file.as_fd(), self.shared.woken.as_fd()], PollTimeout::NONE)?;
            // Woken without having been asked: nobody listens.
            if readable || !asked() {
                return Ok(true);
            }
        }
        #[allow(clippy::disallowed_methods, reason = "a person waits; nothing that is found depends on it")]
        let now = Instant::now();
        let left = self.until.get_or_insert(now + GRACE).saturating_duration_since(now);
        if left.is_zero() {
            return Ok(false);
        }
        let [readable] = wait([self.file.as_fd()], PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO))?;
        Ok(readable)
    }
}

/// Waits until one of `files` can be read or is at its end, and says which.
fn wait<const N: usize>(files: [BorrowedFd<'_>; N], timeout: PollTimeout) -> io::Result<[bool; N]> {
    let mut files = files.map(|file| PollFd::new(file, PollFlags::POLLIN));
    loop {
        match poll(&mut files, timeout) {
            Ok(_) => return Ok(files.map(|file| file.any().unwrap_or(true))),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
