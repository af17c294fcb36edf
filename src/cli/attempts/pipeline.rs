//! Reading ahead of what is made of it, on another processor where there is one.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::{mem, panic, thread};

use whichhop::attempt::Batch;

use super::Stop;

/// Batches that wait to be tracked, at most: who reads waits for who tracks.
const AHEAD: usize = 4;

/// Where full batches go.
pub(super) enum Outlet<'a> {
    /// To be tracked here and now.
    Here(&'a mut dyn FnMut(&Batch) -> Result<(), Stop>),
    /// To another thread, and emptied back from it.
    There { full: SyncSender<Batch>, empty: Receiver<Batch> },
}

impl Outlet<'_> {
    /// Passes `batch` on, and leaves an empty one in its place.
    pub(super) fn pass_on(&mut self, batch: &mut Batch) -> Result<(), Stop> {
        match self {
            Self::Here(track) => {
                track(batch)?;
                batch.clear();
                Ok(())
            }
            Self::There { full, empty } => {
                let next = empty.try_recv().unwrap_or_default();
                // Nobody takes more: the other thread has said why.
                full.send(mem::replace(batch, next)).map_err(|_| Stop::Enough)
            }
        }
    }
}

/// Runs `read`, which makes batches, and `track`, which takes them in that order: at once where there are two processors,
/// in turns where there is one. What comes out is the same.
pub(super) fn run(
    read: impl FnOnce(&mut Outlet<'_>) -> Result<(), Stop>,
    mut track: impl FnMut(&Batch) -> Result<(), Stop> + Send,
) -> Result<(), Stop> {
    // Counts the processors that this process may use.
    if thread::available_parallelism().map_or(1, usize::from) < 2 {
        return read(&mut Outlet::Here(&mut track));
    }
    thread::scope(|scope| {
        let (full, coming) = mpsc::sync_channel::<Batch>(AHEAD);
        let (emptied, empty) = mpsc::channel();
        let tracking = scope.spawn(move || {
            for mut batch in coming {
                track(&batch)?;
                batch.clear();
                // Where reading has ended nobody needs it.
                let _ = emptied.send(batch);
            }
            Ok(())
        });
        let mut outlet = Outlet::There { full, empty };
        let read = read(&mut outlet);
        drop(outlet);
        let tracked = tracking.join().unwrap_or_else(|cause| panic::resume_unwind(cause));
        tracked.and(read)
    })
}
