//! Reading, tracking what was read, and telling what was decided: at once where there are two processors, in turns where there
//! is one. What comes out is the same.
//!
//! Tracking takes about as long as the other two together, so that these share a processor: what a batch decided comes back
//! with its room, and is told before the next one is read.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError, TrySendError};
use std::{hint, io, mem, panic, thread};

use whichhop::attempt::{Attempt, Batch};

use super::Stop;

/// Batches that wait to be tracked, at most: who reads waits for who tracks.
const AHEAD: usize = 4;

/// Those that may be on their way back: all there are but the one being filled. Nobody ever waits for who reads while there
/// is something to be tracked.
const BACK: usize = AHEAD + 2;

/// How often who waits for the other looks again, which takes 0.1 ms or so, before it sleeps: to be woken takes longer than most
/// waits here do.
const LOOKS: u32 = 4000;

/// Attempts that are decided at once when the captures are over.
const AT_ONCE: usize = 256;

/// Who tracks.
pub(super) trait Track: Send {
    /// Takes a batch, and adds to `decided` what is decided by then.
    fn take(&mut self, batch: &Batch, decided: &mut VecDeque<Attempt>) -> Result<(), Stop>;

    /// Adds up to `most` of those that are left when nothing more comes.
    fn rest(&mut self, most: usize, decided: &mut VecDeque<Attempt>);
}

/// Says what is decided, and empties the list.
type Tell<'a> = &'a mut dyn FnMut(&mut VecDeque<Attempt>) -> io::Result<()>;

/// A batch, and what was decided when it was tracked.
#[derive(Default)]
pub(super) struct Load {
    batch: Batch,
    decided: VecDeque<Attempt>,
}

/// Where full batches go.
pub(super) enum Outlet<'a> {
    /// To be tracked here and now.
    Here { track: &'a mut dyn Track, decided: VecDeque<Attempt>, tell: Tell<'a> },
    /// To another thread, and emptied back from it.
    There { full: SyncSender<Load>, empty: &'a Receiver<Load>, spare: Vec<Load>, tell: Tell<'a> },
}

impl Outlet<'_> {
    /// Passes `batch` on, and leaves an empty one in its place.
    pub(super) fn pass_on(&mut self, batch: &mut Batch) -> Result<(), Stop> {
        match self {
            Self::Here { track, decided, tell } => {
                let taken = track.take(batch, decided);
                batch.clear();
                tell(decided).map_err(Stop::Write)?;
                taken
            }
            Self::There { full, empty, spare, tell } => {
                for mut load in empty.try_iter() {
                    tell(&mut load.decided).map_err(Stop::Write)?;
                    spare.push(load);
                }
                let mut load = spare.pop().unwrap_or_default();
                mem::swap(batch, &mut load.batch);
                send(full, load)
            }
        }
    }
}

/// Runs `read`, which makes batches; has `track` take them in their order, and then all that is left; and has `tell` say what
/// is decided, also where reading failed. With `in_turns` all of it happens here, so that nothing that can be told waits for
/// what is still to be read.
pub(super) fn run(
    in_turns: bool,
    read: impl FnOnce(&mut Outlet<'_>) -> Result<(), Stop>,
    track: &mut impl Track,
    tell: Tell<'_>,
) -> Result<(), Stop> {
    // Counts the processors that this process may use.
    if in_turns || thread::available_parallelism().map_or(1, usize::from) < 2 {
        let read = read(&mut Outlet::Here { track, decided: VecDeque::new(), tell });
        if matches!(read, Err(Stop::Write(_))) {
            return read;
        }
        let mut decided = VecDeque::new();
        loop {
            track.rest(AT_ONCE, &mut decided);
            if decided.is_empty() {
                return read;
            }
            tell(&mut decided).map_err(Stop::Write)?;
        }
    }
    thread::scope(|scope| {
        let (full, coming) = mpsc::sync_channel::<Load>(AHEAD);
        let (emptied, empty) = mpsc::sync_channel::<Load>(BACK);
        let tracking = scope.spawn(move || {
            let tracked = track_all(track, &coming, &emptied);
            // Who reads need not go on for nobody.
            drop(coming);
            loop {
                let mut load = Load::default();
                track.rest(AT_ONCE, &mut load.decided);
                if load.decided.is_empty() || emptied.send(load).is_err() {
                    return tracked;
                }
            }
        });
        let read = read(&mut Outlet::There { full, empty: &empty, spare: Vec::new(), tell });
        let told = match read {
            Err(Stop::Write(_)) => Ok(()),
            _ => empty.iter().try_for_each(|mut load| tell(&mut load.decided)),
        };
        // Who tracks need not go on for nobody.
        drop(empty);
        let tracked = tracking.join().unwrap_or_else(|cause| panic::resume_unwind(cause));
        told.map_err(Stop::Write).and(tracked).and(read)
    })
}

/// Sends a load once there is room for it. Where nobody takes more, the other thread says why.
fn send(full: &SyncSender<Load>, mut load: Load) -> Result<(), Stop> {
    for _ in 0..LOOKS {
        match full.try_send(load) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(_)) => return Err(Stop::Enough),
            Err(TrySendError::Full(back)) => load = back,
        }
        hint::spin_loop();
    }
    full.send(load).map_err(|_| Stop::Enough)
}

/// Waits for a load; `None` once none will come any more.
fn receive(coming: &Receiver<Load>) -> Option<Load> {
    for _ in 0..LOOKS {
        match coming.try_recv() {
            Ok(load) => return Some(load),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => hint::spin_loop(),
        }
    }
    coming.recv().ok()
}

fn track_all(
    track: &mut impl Track,
    coming: &Receiver<Load>,
    emptied: &SyncSender<Load>,
) -> Result<(), Stop> {
    while let Some(mut load) = receive(coming) {
        let taken = track.take(&load.batch, &mut load.decided);
        load.batch.clear();
        // Where telling failed nobody needs it.
        let _ = emptied.send(load);
        taken?;
    }
    Ok(())
}
