//! A link in user space between two veths: carries every frame after a delay, or loses it, and holds a box that may do
//! with the frames what it likes.

use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pnet::datalink::{self, Channel, Config, DataLinkReceiver, DataLinkSender};

use super::middlebox::{Middlebox, Way};
use super::namespace::{Namespace, succeed};
use super::{Loss, Options};

/// How long after the lab's end its threads may still look for frames.
const LOOK: Duration = Duration::from_millis(20);

/// The running link; dropping it ends it.
pub(super) struct Wire {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

struct Due {
    at: Instant,
    frame: Vec<u8>,
}

/// The box, and the queues of what leaves it towards the VM and towards the client.
struct Shared {
    middlebox: Mutex<Box<dyn Middlebox>>,
    queues: [Sender<Due>; 2],
    one_way: Duration,
}

impl Wire {
    /// Joins `eth0` and `eth1` of `namespace`: the first looks towards the client, the second towards the VM.
    pub(super) fn start(
        namespace: &Namespace,
        options: Options,
        middlebox: Box<dyn Middlebox>,
    ) -> io::Result<Self> {
        let (left, right) = namespace.enter(|| io::Result::Ok((open("eth0")?, open("eth1")?)))??;
        let (out, due_out) = channel();
        let (back, due_back) = channel();
        let shared = Arc::new(Shared {
            middlebox: Mutex::new(middlebox),
            queues: [out, back],
            one_way: options.delay.unwrap_or_default() / 2,
        });
        let mut wire = Self { stop: Arc::default(), workers: Vec::new() };
        for (way, from, to, due) in
            [(Way::Out, left.1, right.0, due_out), (Way::Back, right.1, left.0, due_back)]
        {
            let stop = Arc::clone(&wire.stop);
            let shared = Arc::clone(&shared);
            let lose = Dice::new(options.loss, way as u64);
            wire.workers.push(thread::spawn(move || {
                be_prompt();
                take_in(from, way, lose, &shared, &stop);
            }));
            wire.workers.push(thread::spawn(move || {
                be_prompt();
                send_on(to, &due);
            }));
        }
        Ok(wire)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// Puts the calling thread before all ordinary work, so that a busy machine does not lengthen the delay. Where that is
/// not allowed, the link is only as prompt as the machine.
fn be_prompt() {
    let thread = nix::unistd::gettid().to_string();
    let _ = succeed(Command::new("chrt").args(["--rr", "--pid", "10", &thread]), "");
}

fn open(device: &str) -> io::Result<(Box<dyn DataLinkSender>, Box<dyn DataLinkReceiver>)> {
    let interface = datalink::interfaces()
        .into_iter()
        .find(|interface| interface.name == device)
        .ok_or_else(|| io::Error::other(format!("no {device} for the link in user space")))?;
    let config = Config { read_timeout: Some(LOOK), read_buffer_size: 1 << 16, ..Config::default() };
    match datalink::channel(&interface, config)? {
        Channel::Ethernet(sender, receiver) => Ok((sender, receiver)),
        _ => Err(io::Error::other(format!("{device} is not Ethernet"))),
    }
}

fn take_in(
    mut from: Box<dyn DataLinkReceiver>,
    way: Way,
    mut lose: Dice,
    shared: &Shared,
    stop: &AtomicBool,
) {
    let mut leaving = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match from.next() {
            Ok(_) if lose.roll() => {}
            Ok(frame) => {
                let at = Instant::now() + shared.one_way;
                shared.middlebox.lock().unwrap_or_else(PoisonError::into_inner).take(
                    way,
                    frame,
                    &mut leaving,
                );
                for (towards, frame) in leaving.drain(..) {
                    if shared.queues[towards as usize].send(Due { at, frame }).is_err() {
                        return;
                    }
                }
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::Interrupted) => {}
            // A link that is down for a moment; do not spin on it.
            Err(_) => thread::sleep(LOOK),
        }
    }
}

/// Ends when the other sides of the queue are gone; what is still due is lost with the lab.
fn send_on(mut to: Box<dyn DataLinkSender>, due: &Receiver<Due>) {
    while let Ok(Due { at, frame }) = due.recv() {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        // A link that is down loses the frame, as a cable would.
        let _ = to.send_to(&frame, None);
    }
}

/// Decides which frames are lost: splitmix64, a generator whose sequence depends on nothing but the seed.
struct Dice {
    state: u64,
    share: f64,
}

impl Dice {
    fn new(loss: Option<Loss>, direction: u64) -> Self {
        let Loss { share, seed } = loss.unwrap_or(Loss { share: 0.0, seed: 0 });
        Self { state: seed.wrapping_mul(2).wrapping_add(direction), share }
    }

    fn roll(&mut self) -> bool {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / ((1_u64 << 53) as f64) < self.share
    }
}
