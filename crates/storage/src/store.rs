//! The store: one data folder, its WAL, its head and its partitions.
//!
//! Data path: a batch is decoded on the caller's thread, handed to the commit thread, appended to
//! the WAL with others that wait, made durable by one sync, published to readers, and
//! acknowledged. One that is alone is in the WAL by the time it is decoded (`commit::ahead`). When the
//! head is full it is sealed and the flush thread writes it to partitions;
//! the checkpoint then says, in one atomic step, up to which WAL position rows are in files.
//!
//! Invariants: a row is visible exactly once at any time, in the head or in a file; everything
//! acknowledged is in the WAL at or after the checkpoint, or in a file of a flush up to it.

mod active;
mod checkpoint;
mod commit;
mod contents;
mod counters;
mod counting;
mod decode;
mod flusher;
mod labels;
pub(crate) mod merger;
mod options;
pub(crate) mod rebuild;
mod record;
mod recount;
mod recover;
mod refusal;
mod refused;
mod removals;
pub(crate) mod reread;
mod shared;
mod sources;
mod stamps;
mod tail;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use env::{Env, Failure, LockFile};
use journal::Position;
use model::Format;
use model::room::Budget;
use model::row::Decode;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::retention;
use crate::snapshot::{self, Snapshot, SnapshotError};
use crate::write::{Ack, Batch, Mark, Observe, WriteError};

pub(crate) use checkpoint::Checkpoint;
use commit::{Ahead, Job};
pub use counters::Metric;
pub(crate) use counters::{Counters, add};
pub(crate) use decode::decode_batch;
pub use labels::LabelLimits;
pub use options::Options;
pub(crate) use record::{Logged, Record, read_any as read_record};
pub(crate) use recover::{Again, each_partition, open_partition};
use refusal::Refusal;
pub(crate) use shared::{Core, View};
pub(crate) use sources::{NAME as SOURCES, check as check_sources};

/// About how many times shorter a request is that comes compressed.
const COMPRESSION: usize = 8;

/// Why a data folder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it, or the folder cannot be read or written.
    #[error("data folder {dir}: {source}")]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The WAL cannot be opened.
    #[error("wal: {0}")]
    Wal(#[from] journal::JournalError),
    /// Something could not be synced, and nobody knows what the disk holds.
    #[error("{0}")]
    NotDurable(String),
    /// The checkpoint does not read.
    #[error("checkpoint {path}: {reason}")]
    Checkpoint {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// An open store. Clones share it; the last one to go stops its threads, without a flush.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

struct Handle {
    core: Arc<Core>,
    jobs: Mutex<Option<mpsc::UnboundedSender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _lock: LockFile,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.closing.store(true, Ordering::Release);
        self.core.merging.wake();
        self.jobs.lock().take();
        for thread in self.threads.lock().drain(..) {
            let _ = thread.join();
        }
    }
}

impl Store {
    /// Opens a data folder, or makes one; replays what the WAL holds beyond the checkpoint.
    pub fn open(
        env: Env,
        dir: &Path,
        options: Options,
        decoder: Arc<dyn Decode>,
    ) -> Result<Store, OpenError> {
        let folder = |source| OpenError::Folder {
            dir: dir.to_owned(),
            source,
        };
        env.files.create_dir_all(dir).map_err(folder)?;
        let lock = LockFile::acquire(&*env.files, dir).map_err(folder)?;
        Self::open_locked(env, lock, options, decoder)
    }

    /// The same for a folder that the caller has locked; the store keeps it locked from now on.
    pub fn open_locked(
        env: Env,
        lock: LockFile,
        options: Options,
        decoder: Arc<dyn Decode>,
    ) -> Result<Store, OpenError> {
        let dir = lock.dir();
        let folder = |source| OpenError::Folder {
            dir: dir.to_owned(),
            source,
        };
        let core = Arc::new(Core::new(env, dir.join("store"), options, decoder));
        core.env.files.create_dir_all(&core.root).map_err(folder)?;
        retention::remove_dropped(&core);
        if let Err(error) = snapshot::remove_partial(&*core.env.files, dir) {
            tracing::error!(%error, "what an interrupted snapshot left is not removed");
        }
        core.sources.lock().open(&core.env, &core.root);
        let recovered = recover::recover(&core, &dir.join("wal"))?;
        if let Some(reason) = core.failures.first() {
            return Err(OpenError::NotDurable(reason));
        }
        let _ = core.wal.set(recovered.journal.tail());
        let (jobs, receiver) = mpsc::unbounded_channel();
        let mut threads = commit::start(core.clone(), recovered, receiver, jobs.downgrade());
        if core.options.background_merges {
            threads.push(merger::start(core.clone()));
        }
        Ok(Store {
            handle: Arc::new(Handle {
                core,
                jobs: Mutex::new(Some(jobs)),
                threads: Mutex::new(threads),
                _lock: lock,
            }),
        })
    }

    /// Stores a batch. When this returns an [`Ack`], its rows are durable and answer queries.
    pub async fn write(&self, batch: Batch) -> Result<Ack, WriteError> {
        self.write_covering(batch, None).await
    }

    /// The same for counts of spans, which cover those of their tenant up to a mark; none where
    /// more of them follow.
    pub async fn write_counts(&self, batch: Batch, to: Option<Mark>) -> Result<Ack, WriteError> {
        self.write_covering(batch, to.map(|mark| mark.0)).await
    }

    async fn write_covering(
        &self,
        batch: Batch,
        covers: Option<Position>,
    ) -> Result<Ack, WriteError> {
        let core = &self.handle.core;
        if core.is_closing() {
            return Err(WriteError::Closed);
        }
        if batch.stamp.is_some() && batch.request.is_empty() {
            core.acknowledged(batch.stamp.as_ref());
            return Ok(Ack::default());
        }
        let weight = batch.request.len().clamp(1, core.options.pending_bytes);
        let permits = u32::try_from(weight).unwrap_or(u32::MAX);
        let Ok(permit) = core.pending.clone().try_acquire_many_owned(permits) else {
            core.counters.retried(Refusal::Pending);
            return Err(WriteError::Retry {
                reason: "too many bytes wait to be stored".to_owned(),
                after_ms: core.memory_retry_ms(),
            });
        };
        let (answer, answered) = oneshot::channel();
        let inline_bytes = match batch.format {
            Format::Otlp => core.options.inline_bytes,
            Format::RemoteWrite1 | Format::RemoteWrite2 => core.options.inline_bytes / COMPRESSION,
        };
        let at_once = weight < inline_bytes && !core.must_recall(&batch);
        let is_alone = core.pending.available_permits() + weight == core.options.pending_bytes;
        let (core, jobs) = (core.clone(), self.jobs()?);
        let queue = jobs.clone();
        let work = move |may_be_ahead: bool| {
            let received = core.receipt(&batch);
            let ahead = (may_be_ahead && Ahead::is_possible(&batch)).then(|| {
                let (ahead, decoded) = Ahead::new(&batch, received);
                let _ = jobs.send(Job::Ahead(Box::new(ahead)));
                // Where both are to share a processor, the log comes first: the disk is at work on it
                // while this goes on.
                std::thread::yield_now();
                decoded
            });
            match core.decode_new(batch, received) {
                Ok(new) => {
                    let pending = Box::new(new.pending(permit, covers, answer));
                    // Where there is no commit thread any more, that the answer is dropped says so.
                    match ahead {
                        Some(decoded) => drop(decoded.send(pending)),
                        None => drop(jobs.send(Job::Write(pending))),
                    }
                }
                Err(error) => {
                    drop(permit);
                    let _ = answer.send(Err(error));
                }
            }
        };
        if at_once {
            work(false);
        } else {
            // Who decodes hands over to the commit thread, which answers: each thread that has to be
            // woken in between is time that the sender waits.
            tokio::task::spawn_blocking(move || work(is_alone));
        }
        let answer = answer_from(&queue, answered).await;
        answer.unwrap_or(Err(WriteError::Closed))
    }

    fn jobs(&self) -> Result<mpsc::UnboundedSender<Job>, WriteError> {
        self.handle.jobs.lock().clone().ok_or(WriteError::Closed)
    }

    fn send(&self, job: Job) -> Result<(), WriteError> {
        self.jobs()?.send(job).map_err(|_| WriteError::Closed)
    }

    /// Has the commit thread do something, and returns when that is done or there is no such thread.
    async fn ask(&self, job: impl FnOnce(oneshot::Sender<()>) -> Job) {
        let (done, wait) = oneshot::channel();
        if let Ok(jobs) = self.jobs()
            && jobs.send(job(done)).is_ok()
        {
            answer_from(&jobs, wait).await;
        }
    }

    /// Shows every span stored from now on to `observer`, after it was acknowledged, on the commit
    /// thread. With [`Options::count_spans`] it is first shown, on this thread, the spans of before
    /// the store was opened whose counts were not written; to be called before anything is stored.
    pub fn set_observer(&self, mut observer: Box<dyn Observe>) {
        let core = &self.handle.core;
        let mut place = core.observer.lock();
        if core.options.count_spans {
            recount::recount(core, observer.as_mut());
            let _ = self.send(Job::Counted(core.counting.covered()));
        }
        *place = Some(observer);
    }

    /// Notes that the counts of all spans before the mark are written: the log need not keep these
    /// for them.
    pub fn counted(&self, mark: Mark) {
        let _ = self.send(Job::Counted(mark.0));
    }

    /// Resolves when counts are to be written without delay, since the log keeps much for them.
    pub async fn counts_wanted(&self) {
        self.handle.core.counting.wanted().await;
    }

    /// Returns when the observer has seen every span that was acknowledged before the call.
    pub async fn observed(&self) {
        self.ask(Job::Observed).await;
    }

    /// Writes the head to files now. Returns when that is done, or has failed several times; it is
    /// tried on.
    pub async fn flush(&self) {
        self.ask(Job::Flush).await;
    }

    /// Drops what retention no longer keeps, and writes down which agents there are. The store does
    /// the former itself after each flush; a store that receives little needs to be told, about
    /// once a minute.
    pub async fn maintain(&self) {
        let store = self.clone();
        // The store goes along: its folder stays locked while folders are being removed.
        let work = move || {
            let core = store.core();
            core.known.sweep(core.env.clock.unix_nanos());
            reread::reread(core);
            retention::maintain(core);
            merger::count_waiting(core);
            core.merging.wake();
            core.save_sources();
        };
        if let Err(error) = tokio::task::spawn_blocking(work).await {
            tracing::error!(%error, "maintenance did not run to its end");
        }
    }

    /// Makes a folder of this name that opens as a data folder, with everything acknowledged before
    /// the call in it exactly once. Goes on to its end when the caller goes away.
    pub async fn snapshot(&self, target: &Path) -> Result<Snapshot, SnapshotError> {
        let (store, target) = (self.clone(), target.to_owned());
        let work = move || snapshot::of_store(store.core(), &target);
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(SnapshotError::Stopped(error.to_string())))
    }

    /// Reports when the store can take nothing more before it is opened again: the WAL could not
    /// be made durable, or one of the store's threads has panicked. The process should end.
    pub fn failure(&self) -> Failure {
        self.handle.core.failures.listen()
    }

    /// Ends all live tails and begins no more: they would last for as long as who reads them.
    pub fn end_tails(&self) {
        self.handle.core.tails.close();
    }

    /// Refuses new batches, answers those under way, writes the head to files, trims the WAL and
    /// stops. Where files cannot be written, what they would hold stays in the WAL for the next
    /// start.
    pub async fn shutdown(&self) {
        self.handle.core.closing.store(true, Ordering::Release);
        self.handle.core.merging.wake();
        self.ask(Job::Shutdown).await;
        self.handle.core.removals.sweep(&self.handle.core);
        self.handle.core.save_sources();
        self.end_tails();
    }

    /// What batches in work take of memory. Who receives them shares it: they hold the requests.
    pub fn budget(&self) -> Arc<Budget> {
        self.handle.core.budget.clone()
    }

    /// What the store counts, as (name, labels, value); names that end in `_total` only grow.
    pub fn metrics(&self) -> Vec<Metric> {
        self.handle.core.metrics()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.handle.core
    }
}

/// What the commit thread answers; nothing where it is gone. What was sent at the very moment at which
/// it ended may lie in its queue, unread, for as long as anyone could send more.
async fn answer_from<T>(
    jobs: &mpsc::UnboundedSender<Job>,
    mut answered: oneshot::Receiver<T>,
) -> Option<T> {
    tokio::select! {
        biased;
        answer = &mut answered => answer.ok(),
        () = jobs.closed() => answered.try_recv().ok(),
    }
}
