//! The flush thread: writes sealed heads to files and commits them with the checkpoint.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use journal::Position;
use parking_lot::{Condvar, Mutex};
use tokio::sync::mpsc::WeakUnboundedSender;

use super::checkpoint::Checkpoint;
use super::commit::Job;
use super::stamps::Stamps;
use super::{Core, add};
use crate::flush::{FlushError, Heads, flush};
use crate::retention;

/// A head that takes no more rows.
pub(super) struct Sealed {
    pub heads: Arc<Heads>,
    /// The WAL position after its last row.
    pub position: Position,
    /// Stamps of every batch before that position.
    pub stamps: Stamps,
}

/// The commit thread's end of the flush thread.
pub(super) struct Flusher {
    sender: mpsc::Sender<Sealed>,
    progress: Arc<Progress>,
}

/// How far the flush thread is.
#[derive(Default)]
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The end of the last head that is in files.
    done: Option<Position>,
    /// How often the head at hand could not be written, and why the last time.
    failures: u32,
    failure: String,
    /// The thread is gone.
    ended: bool,
}

impl Progress {
    fn note(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }
}

/// Says that the thread is gone, however it went.
struct Ending(Arc<Progress>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.note(|state| state.ended = true);
    }
}

impl Flusher {
    /// `last` is the number of the last flush that counts.
    pub(super) fn start(
        core: Arc<Core>,
        last: u64,
        jobs: WeakUnboundedSender<Job>,
    ) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel::<Sealed>();
        let progress = Arc::<Progress>::default();
        let ending = Ending(progress.clone());
        let guard = core.failures.guard("the thread that writes blocks");
        let thread = std::thread::Builder::new()
            .name("storage-flush".to_owned())
            .spawn(move || {
                let _guard = guard;
                let progress = &ending.0;
                let mut number = last;
                while let Ok(sealed) = receiver.recv() {
                    number += 1;
                    if !write(&core, number, &sealed, &jobs, progress) {
                        return;
                    }
                    progress.note(|state| {
                        state.done = Some(sealed.position);
                        state.failures = 0;
                    });
                    // Tells the commit thread if it does not wait already.
                    if let Some(jobs) = jobs.upgrade() {
                        let _ = jobs.send(Job::Flushed(sealed.position));
                    }
                }
            })
            .expect("the system has threads to spare when a store opens");
        (Self { sender, progress }, thread)
    }

    pub(super) fn send(&self, sealed: Sealed) {
        // The thread is gone only when the process is about to be.
        let _ = self.sender.send(sealed);
    }

    /// Waits until the head that ends at this position is in files. False, with the flush still
    /// being tried, once it has failed `patience` times from now on.
    pub(super) fn wait(&self, position: Position, patience: u32) -> bool {
        let mut state = self.progress.state.lock();
        let most = state.failures.saturating_add(patience);
        loop {
            if state.done == Some(position) {
                return true;
            }
            if state.failures >= most || state.ended {
                return false;
            }
            self.progress.changed.wait(&mut state);
        }
    }

    /// Why the head at hand could not be written the last time it was tried.
    pub(super) fn failure(&self) -> Option<String> {
        let state = self.progress.state.lock();
        (state.failures > 0).then(|| state.failure.clone())
    }
}

/// Tries until the head is in files; false if the store was dropped or shut down meanwhile, or can
/// take nothing more.
fn write(
    core: &Core,
    number: u64,
    sealed: &Sealed,
    jobs: &WeakUnboundedSender<Job>,
    progress: &Progress,
) -> bool {
    loop {
        match commit(core, number, &sealed.heads, sealed.position, &sealed.stamps) {
            Ok(()) => {
                core.free_log(sealed.position);
                retention::maintain(core);
                super::merger::count_waiting(core);
                core.merging.wake();
                return true;
            }
            Err(error) => {
                add(&core.counters.flush_errors, 1);
                tracing::error!(%error, "flush failed, trying again; data is safe in the wal");
                progress.note(|state| {
                    state.failures += 1;
                    state.failure = error.to_string();
                });
                if core.failures.first().is_some() {
                    // A failed sync: trying again would prove nothing.
                    return false;
                }
                // A full disk is a common cause, and retention may make room.
                retention::maintain(core);
                std::thread::sleep(core.options.flush_retry);
                if jobs.upgrade().is_none_or(|jobs| jobs.is_closed()) {
                    return false;
                }
            }
        }
    }
}

/// Writes one flush, commits it, and shows it to readers in place of the sealed head.
pub(super) fn commit(
    core: &Core,
    number: u64,
    heads: &Heads,
    position: Position,
    stamps: &Stamps,
) -> Result<(), FlushError> {
    let _changing = core.changing.lock();
    let partitions = core.view.read().partitions.clone();
    let rows = core.options.block_rows.max(1);
    let changed = flush(&core.open, &core.root, number, rows, heads, &partitions)?;
    Checkpoint::new(number, position, stamps.clone()).write(&core.env, &core.root)?;
    add(&core.counters.flushes, 1);
    let mut view = core.view.write();
    let map = Arc::make_mut(&mut view.partitions);
    for partition in changed {
        map.insert(partition.key.clone(), partition);
    }
    view.sealed = None;
    Ok(())
}
