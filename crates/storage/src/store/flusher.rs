//! The flush thread: writes sealed heads to files and commits them with the checkpoint.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use journal::Position;
use parking_lot::{Condvar, Mutex};
use tokio::sync::mpsc::WeakUnboundedSender;

use super::checkpoint::Checkpoint;
use super::commit::Job;
use super::stamps::Stamps;
use super::{Core, add};
use crate::flush::{FlushError, Heads, ROW_STEPS, flush};
use crate::retention;

/// How often it is tried to sync the folder of the checkpoint.
const SYNC_TRIES: u32 = 10;

/// A head that takes no more rows.
pub(super) struct Sealed {
    pub heads: Arc<Heads>,
    /// The WAL position after its last row.
    pub position: Position,
    /// Stamps of every batch before that position.
    pub stamps: Stamps,
}

/// Work for the flush thread.
enum Work {
    /// Write this to files.
    Flush(Sealed),
    /// Free the log before this position: to remove a long file takes a while, for which the
    /// commit thread would make everybody wait.
    Free(Position),
}

/// The commit thread's end of the flush thread.
pub(super) struct Flusher {
    sender: mpsc::Sender<Work>,
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
    /// How many steps writing the head at hand takes, and how many are done.
    steps: u64,
    steps_done: u64,
    /// How often the head at hand could not be written, and why the last time.
    failures: u32,
    failure: Failed,
    /// The thread is gone.
    ended: bool,
}

/// Why a head could not be written.
#[derive(Debug, Clone, Default)]
pub(super) struct Failed {
    pub reason: String,
    /// For want of room on the disk.
    pub full: bool,
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

/// The part of the work on a head that is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    done: u64,
    of: u64,
}

impl Share {
    /// This share of a number of bytes.
    pub(super) fn of(self, bytes: usize) -> usize {
        let part = bytes as u128 * u128::from(self.done) / u128::from(self.of.max(1));
        usize::try_from(part).map_or(bytes, |part| part.min(bytes))
    }
}

impl Flusher {
    /// `last` is the number of the last flush that counts.
    pub(super) fn start(
        core: Arc<Core>,
        last: u64,
        jobs: WeakUnboundedSender<Job>,
    ) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel::<Work>();
        let progress = Arc::<Progress>::default();
        let ending = Ending(progress.clone());
        let guard = core.failures.guard("the thread that writes blocks");
        let thread = std::thread::Builder::new()
            .name("storage-flush".to_owned())
            .spawn(move || {
                let _guard = guard;
                let progress = &ending.0;
                let mut number = last;
                let tell = |job| {
                    if let Some(jobs) = jobs.upgrade() {
                        let _ = jobs.send(job);
                    }
                };
                while let Ok(work) = receiver.recv() {
                    let sealed = match work {
                        Work::Flush(sealed) => sealed,
                        Work::Free(position) => {
                            core.free_log(position);
                            tell(Job::Freed(position));
                            continue;
                        }
                    };
                    number += 1;
                    let steps = sealed.heads.count() * ROW_STEPS;
                    progress.note(|state| state.steps = steps);
                    if !write(&core, number, &sealed, &jobs, progress) {
                        return;
                    }
                    progress.note(|state| {
                        state.done = Some(sealed.position);
                        state.steps = 0;
                        state.failures = 0;
                    });
                    // Tells the commit thread if it does not wait already.
                    tell(Job::Flushed(sealed.position));
                }
            })
            .expect("the system has threads to spare when a store opens");
        (Self { sender, progress }, thread)
    }

    pub(super) fn send(&self, sealed: Sealed) {
        // Until the thread looks at it, nothing of it is written.
        self.progress
            .note(|state| (state.steps, state.steps_done) = (u64::MAX, 0));
        // The thread is gone only when the process is about to be.
        let _ = self.sender.send(Work::Flush(sealed));
    }

    /// Has the log freed before a position, whenever the thread comes to it.
    pub(super) fn free(&self, position: Position) {
        let _ = self.sender.send(Work::Free(position));
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

    /// Waits until `enough` holds of the share of the work on the head at hand that is done, or the
    /// head is in files or cannot be written, but no longer than this.
    pub(super) fn wait_until(&self, enough: impl Fn(Share) -> bool, most: Duration) {
        let deadline = Instant::now() + most;
        let mut state = self.progress.state.lock();
        while state.steps > 0 && state.failures == 0 && !state.ended {
            let share = Share {
                done: state.steps_done,
                of: state.steps,
            };
            let changed = &self.progress.changed;
            if enough(share) || changed.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }

    /// Why the head at hand could not be written the last time it was tried.
    pub(super) fn failure(&self) -> Option<Failed> {
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
    let done = |steps| progress.note(|state| state.steps_done += steps);
    let mut counts = None;
    loop {
        // What counts is not written again, lest a crash find it half written.
        let committed = match counts.take() {
            Some(checkpoint) => Ok(checkpoint),
            None => {
                progress.note(|state| state.steps_done = 0);
                commit(core, number, sealed, &done)
            }
        };
        let error = match committed {
            Ok(checkpoint) => match checkpoint.write_first(&core.env, &core.root) {
                Ok(()) => {
                    core.settled_flush.store(number, Ordering::Release);
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "the first file of the checkpoint is not written, \
                        trying again; until then none of the wal is freed");
                    counts = Some(checkpoint);
                    error.into()
                }
            },
            Err(error) => {
                tracing::error!(%error, "flush failed, trying again; data is safe in the wal");
                error
            }
        };
        add(&core.counters.flush_errors, 1);
        progress.note(|state| {
            state.failures += 1;
            state.failure = Failed {
                reason: error.to_string(),
                full: error.is_storage_full(),
            };
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
    retention::maintain(core);
    super::merger::count_waiting(core);
    core.merging.wake();
    true
}

/// Writes one flush, has the spare file of the checkpoint say so, from when on it counts, and shows
/// it to readers in place of the sealed head. The other file of the checkpoint is still to be
/// written. After an error the flush does not count, and may be tried again if the store can go on.
pub(super) fn commit(
    core: &Core,
    number: u64,
    sealed: &Sealed,
    done: &dyn Fn(u64),
) -> Result<Checkpoint, FlushError> {
    let _changing = core.changing.lock();
    let partitions = core.view.read().partitions.clone();
    let rows = core.options.block_rows.max(1);
    let changed = flush(
        &core.open,
        &core.root,
        number,
        rows,
        &sealed.heads,
        &partitions,
        done,
    )?;
    let checkpoint = Checkpoint::new(number, sealed.position, sealed.stamps.clone());
    checkpoint.write_spare(&core.env, &core.root)?;
    sync_root(core)?;
    add(&core.counters.flushes, 1);
    let mut view = core.view.write();
    let map = Arc::make_mut(&mut view.partitions);
    for partition in changed {
        map.insert(partition.key.clone(), partition);
    }
    view.sealed = None;
    Ok(checkpoint)
}

/// Makes the name of a checkpoint last. A process killed now has committed, and one whose machine
/// stops may not have, so there is no way back; where the folder cannot even be opened that is tried
/// for a while, and then the store ends.
fn sync_root(core: &Core) -> std::io::Result<()> {
    let mut tries = 0;
    loop {
        let Err(error) = core.env.files.sync_dir(&core.root) else {
            return Ok(());
        };
        tries += 1;
        if tries == SYNC_TRIES {
            let reason = format!("the checkpoint cannot be made durable: {error}");
            core.failures.report(reason);
        }
        if core.failures.first().is_some() {
            return Err(error);
        }
        tracing::warn!(%error, "the checkpoint is not durable yet, trying again");
        std::thread::sleep(core.options.flush_retry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_bytes_goes_by_what_is_done() {
        let share = |done, of| Share { done, of }.of(1_000);
        assert_eq!(share(0, u64::MAX), 0);
        assert_eq!(share(1, 4), 250);
        assert_eq!(share(4, 4), 1_000);
        assert_eq!(share(9, 4), 1_000);
        assert_eq!(share(1, 0), 1_000);
    }
}
