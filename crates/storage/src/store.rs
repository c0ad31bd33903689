//! The store: one data folder, its WAL, its head and its partitions.
//!
//! Data path: a batch is decoded on the caller's thread, handed to the commit thread, appended to
//! the WAL with others that wait, made durable by one sync, published to readers, and
//! acknowledged. When the head is full it is sealed and the flush thread writes it to partitions;
//! the checkpoint then says, in one atomic step, up to which WAL position rows are in files.
//!
//! Invariants: a row is visible exactly once at any time, in the head or in a file; everything
//! acknowledged is in the WAL at or after the checkpoint, or in a file of a flush up to it.

mod checkpoint;
mod commit;
mod contents;
mod flusher;
mod labels;
pub(crate) mod merger;
pub(crate) mod rebuild;
mod record;
mod recover;
mod refusal;
mod removals;
pub(crate) mod reread;
mod sources;
mod stamps;
mod tail;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use env::{Env, Failure, Failures, Files, LockFile, StrictFiles};
use model::Format;
use model::correlation::CorrelationKeys;
use model::room::{Budget, NoRoom, Room};
use model::row::{Decode, Reject, Undecoded};
use model::value::KeyValueRef;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::chunk::{Chunk, ChunkSink, Clocks, Expected, Received, SeriesGate};
use crate::flush::Heads;
use crate::partition::{OpenFiles, Partition, PartitionKey};
use crate::points::{BlockCache, Known, KnownSeries, SeriesEntry};
use crate::retention::{self, Retention};
use crate::scan::Decoding;
use crate::scan::series::join::SeriesCache;
use crate::snapshot::{self, Snapshot, SnapshotError};
use crate::write::{Ack, Batch, Observe, Stamp, WriteError};

pub(crate) use checkpoint::Checkpoint;
use commit::Job;
use contents::{Content, content_of};
pub use labels::LabelLimits;
pub(crate) use record::{Logged, Record, read_any as read_record};
pub(crate) use recover::Again;
use refusal::Refusal;
pub(crate) use sources::{NAME as SOURCES, check as check_sources};
pub(crate) use tail::Tails;

/// When a batch comes again for which there was no memory, at the earliest.
const MEMORY_RETRY_MS: u64 = 500;
/// And how much later at most.
const MEMORY_RETRY_SPREAD_MS: u64 = 1_000;
/// Memory for the blocks that all readers decode at once. An ordinary block takes a megabyte or two.
const DECODING_BYTES: u64 = 256 << 20;

/// A shorter request is decoded by who brings it, without a thread of its own.
const INLINE_BYTES: usize = 64 << 10;
/// About how many times shorter a request is that comes compressed.
const COMPRESSION: usize = 8;

/// A counter or gauge: name, labels, value.
pub type Metric = (String, Vec<(String, String)>, f64);

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// Under which name answers list this store.
    pub name: String,
    /// A head of this size is sealed and written to files.
    pub head_bytes: usize,
    /// Rows per block.
    pub block_rows: usize,
    /// The WAL may be so long; a batch that would make it longer is asked to come again.
    pub wal_bytes: u64,
    /// Active metric series of one tenant; points of further ones are refused.
    pub series: usize,
    /// The same of one metric.
    pub metric_series: usize,
    /// What the labels of a series may be.
    pub labels: LabelLimits,
    /// Whether files are merged as they become many. Otherwise that is for whoever opens the store.
    pub background_merges: bool,
    /// Memory that rows may take while a merge puts them in order.
    pub merge_bytes: usize,
    /// Between two tries of a flush that failed.
    pub flush_retry: Duration,
    /// Bytes of requests that may wait for the commit thread; more are asked to come again.
    pub pending_bytes: usize,
    /// What all batches in work may take in memory once decoded, and the requests of whoever shares
    /// the store's budget; more are asked to come again.
    pub in_flight_bytes: usize,
    /// What one batch may take in memory once decoded; a larger one is refused for good.
    pub decoded_bytes: usize,
    /// By which keys rows are correlated.
    pub correlation: Arc<CorrelationKeys>,
    /// What is kept for how long.
    pub retention: Retention,
    /// Rows that are further ahead of the clock are filed under the day on which they came.
    pub time_ahead: Duration,
    /// While more files than this are due to be merged, batches are asked to come again.
    pub unmerged_files: u64,
    /// How many files may be mapped at once, about, beside those that queries hold; by default as
    /// many as suit the system.
    pub open_files: Option<usize>,
    /// A batch without a stamp that equals one of this span of time is a repeat, and not stored
    /// again; zero to store it.
    pub repeat_window: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "collector".to_owned(),
            head_bytes: 64 << 20,
            block_rows: 4_096,
            wal_bytes: 1 << 30,
            series: 5_000_000,
            metric_series: 1_000_000,
            labels: LabelLimits::default(),
            background_merges: true,
            merge_bytes: 32 << 20,
            flush_retry: Duration::from_secs(1),
            pending_bytes: 128 << 20,
            in_flight_bytes: 256 << 20,
            decoded_bytes: 192 << 20,
            correlation: Arc::new(CorrelationKeys::default()),
            retention: Retention::default(),
            time_ahead: Duration::from_secs(86_400),
            unmerged_files: 20_000,
            open_files: None,
            repeat_window: Duration::ZERO,
        }
    }
}

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

/// What readers see at one moment.
#[derive(Clone, Default)]
pub(crate) struct View {
    pub active: Arc<Heads>,
    pub sealed: Option<Arc<Heads>>,
    pub partitions: Arc<BTreeMap<PartitionKey, Arc<Partition>>>,
}

/// Counts since the store was opened.
#[derive(Default)]
pub(crate) struct Counters {
    pub batches: AtomicU64,
    pub duplicate_batches: AtomicU64,
    pub rows: [AtomicU64; 3],
    pub rejected: [AtomicU64; Reject::ALL.len()],
    pub duplicate_keys: AtomicU64,
    pub undated: AtomicU64,
    pub ahead: AtomicU64,
    /// By [`Refusal`].
    retried: [AtomicU64; Refusal::ALL.len()],
    pub too_large_batches: AtomicU64,
    pub flushes: AtomicU64,
    pub flush_errors: AtomicU64,
    pub merges: AtomicU64,
    pub merge_errors: AtomicU64,
    pub merged_files: AtomicU64,
    pub merged_bytes: AtomicU64,
    pub merged_rows: AtomicU64,
    pub ordered_rows: AtomicU64,
    pub syncs: AtomicU64,
    pub tail_dropped: AtomicU64,
    pub wal_bytes: AtomicU64,
    pub wal_lost_bytes: AtomicU64,
    pub wal_torn_bytes: AtomicU64,
    pub wal_malformed: AtomicU64,
    pub damaged_files: AtomicU64,
    pub rebuilt_checkpoints: AtomicU64,
    pub reread_files: AtomicU64,
    /// By signal: files that are due to be merged, and their bytes.
    pub waiting_files: [AtomicU64; 3],
    pub waiting_bytes: [AtomicU64; 3],
    pub damaged_blocks: AtomicU64,
    /// By [`retention::Reason`].
    pub dropped_partitions: [AtomicU64; retention::Reason::ALL.len()],
    pub dropped_rows: [AtomicU64; retention::Reason::ALL.len()],
    pub retention_errors: AtomicU64,
    pub head_bytes: AtomicU64,
}

impl Counters {
    fn retried(&self, refusal: Refusal) {
        add(&self.retried[refusal as usize], 1);
    }
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// What the threads and readers of a store share.
pub(crate) struct Core {
    pub env: Env,
    /// For files beyond the data folder: that these cannot be synced is no failure of the store.
    pub outside: Arc<dyn Files>,
    pub root: PathBuf,
    pub options: Options,
    pub view: RwLock<View>,
    pub counters: Counters,
    pub sources: Mutex<sources::Sources>,
    pub tails: Tails,
    /// The metric series that are active.
    pub known: KnownSeries,
    /// Blocks of points that were opened lately.
    pub blocks: BlockCache,
    /// Series that queries asked for lately.
    pub series: SeriesCache,
    /// The files of partitions that are open.
    pub open: Arc<OpenFiles>,
    /// Files that go once no query holds them.
    pub removals: removals::Removals,
    /// Held by whoever adds files to partitions or drops partitions: one at a time.
    pub changing: Mutex<()>,
    /// Held by whoever takes a snapshot.
    pub snapshots: Mutex<()>,
    /// How far the log is durable; set once the store is open.
    wal: OnceLock<journal::Tail>,
    pub merging: merger::Merging,
    observer: Mutex<Option<Box<dyn Observe>>>,
    /// What the store cannot go on without.
    failures: Failures,
    decoder: Arc<dyn Decode>,
    /// What the last requests became in memory.
    expected: Expected,
    closing: AtomicBool,
    pending: Arc<Semaphore>,
    budget: Arc<Budget>,
    /// Memory for blocks that are decoded to be read.
    pub decoding: Arc<Decoding>,
}

/// A new batch, decoded.
struct New {
    batch: Batch,
    chunk: Chunk,
    /// Series of the request that were refused, by their order in it.
    refused_series: Vec<u32>,
    content: Option<Content>,
    /// What the chunk takes.
    room: Room,
    received_unix_nano: u64,
}

/// Lets series in while there is room for them, and notes which are refused.
struct Gate {
    known: Arc<Known>,
    labels: LabelLimits,
    second: u64,
    /// How many distinct series there were.
    place: u32,
    refused: Vec<u32>,
}

impl SeriesGate for Gate {
    fn known(&mut self, id: u128) -> Option<Arc<SeriesEntry>> {
        let entry = self.known.touch(id, self.second)?;
        self.place += 1;
        Some(entry)
    }

    fn admit(
        &mut self,
        entry: SeriesEntry,
        attributes: &[KeyValueRef<'_>],
    ) -> Result<Arc<SeriesEntry>, Reject> {
        let (metric, resource) = (&entry.metric.value.name, &entry.resource.value);
        let admitted = match self.labels.check(metric, resource, attributes) {
            Ok(()) => self.known.admit(entry, self.second),
            Err(reason) => Err(reason),
        };
        if admitted.is_err() {
            self.refused.push(self.place);
        }
        self.place += 1;
        admitted
    }
}

impl Core {
    /// Decodes a batch into memory taken from `room`; the gate is asked once about each of its
    /// distinct series. Rows without a time are of the time when it was received, and those far
    /// ahead of it are filed under it; 0 where it is not known.
    fn decode(
        &self,
        batch: &Batch,
        gate: &mut dyn SeriesGate,
        room: &mut Room,
        received: u64,
    ) -> Result<Chunk, Undecoded> {
        let keys = &self.options.correlation;
        let received = match received {
            0 => Received::UNKNOWN,
            received => {
                let clock = batch.stamp.as_ref().and_then(|stamp| stamp.clock);
                let ahead = u64::try_from(self.options.time_ahead.as_nanos()).unwrap_or(u64::MAX);
                Received::at(received, clock.map_or(0, |clock| clock.offset_nano), ahead)
            }
        };
        let sink = ChunkSink::new(batch.signal, keys, gate, room, received);
        let sink = sink.expecting(&self.expected, batch.request.len());
        let chunk = decode_batch(&*self.decoder, batch, sink)?;
        self.expected.note(&chunk, batch.request.len());
        Ok(chunk)
    }

    /// Whether the store is about to close.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Decodes a new batch within the bounds on memory and series.
    fn decode_new(&self, batch: Batch) -> Result<New, WriteError> {
        let mut room = self.budget.room(self.options.decoded_bytes);
        let now = self.env.clock.unix_nanos();
        // Times of rows are by the sender's clock, and put right when they are read.
        let clock = batch.stamp.as_ref().and_then(|stamp| stamp.clock);
        let ahead = clock.map_or(0, |clock| clock.offset_nano);
        let received = now.saturating_add_signed(ahead.saturating_neg());
        let mut gate = Gate {
            known: self.known.of(&batch.tenant),
            labels: self.options.labels,
            second: now / model::time::NANOS_PER_SECOND,
            place: 0,
            refused: Vec::new(),
        };
        let chunk = self
            .decode(&batch, &mut gate, &mut room, received)
            .map_err(|error| self.undecoded(error))?;
        let refused = gate.refused;
        let by_content = batch.stamp.is_none() && chunk.undated == 0 && self.repeat_nanos() > 0;
        Ok(New {
            content: by_content.then(|| content_of(&batch)),
            batch,
            chunk,
            refused_series: refused,
            room,
            received_unix_nano: received,
        })
    }

    /// How long a batch without a stamp is known by its content.
    fn repeat_nanos(&self) -> u64 {
        u64::try_from(self.options.repeat_window.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Counts what was not decoded for want of room.
    fn undecoded(&self, error: Undecoded) -> WriteError {
        match error {
            Undecoded::Malformed(error) => WriteError::Malformed(error),
            Undecoded::NoRoom(no @ NoRoom::Never(_)) => {
                add(&self.counters.too_large_batches, 1);
                WriteError::TooLarge(no.to_string())
            }
            Undecoded::NoRoom(no @ NoRoom::Now(_)) => {
                self.counters.retried(Refusal::Memory);
                WriteError::Retry {
                    reason: no.to_string(),
                    after_ms: self.memory_retry_ms(),
                }
            }
        }
    }

    /// Two large batches that refused each other must not meet again.
    fn memory_retry_ms(&self) -> u64 {
        MEMORY_RETRY_MS + self.env.random.next_u64() % MEMORY_RETRY_SPREAD_MS
    }

    /// Notes an acknowledgement, and what the stamp says of its sender.
    fn acknowledged(&self, stamp: Option<&Stamp>) {
        let now = self.env.clock.unix_nanos();
        self.sources.lock().acknowledged(stamp, now);
    }

    /// Everything in the log before this is durable.
    pub(crate) fn wal_end(&self) -> journal::Position {
        let tail = self.wal.get();
        tail.map_or(journal::Position::START, journal::Tail::synced_end)
    }

    /// Frees what of the log is in files: what lies before this.
    pub(crate) fn free_log(&self, position: journal::Position) {
        let freed = self.wal.get().map(|tail| tail.free_before(position));
        if let Some(Err(error)) = freed {
            // A failed sync has been reported. Others are tried again after the next flush.
            tracing::warn!(%error, "wal segments stay until the next flush");
        }
    }

    /// Keeps the list of agents for the next start.
    pub(crate) fn save_sources(&self) {
        let now = self.env.clock.unix_nanos();
        let Some(list) = self.sources.lock().take_unsaved(now) else {
            return;
        };
        let path = self.root.join(sources::NAME);
        if let Err(error) = self.env.files.write_atomic(&path, &list) {
            tracing::warn!(%error, "the list of agents is not written");
        }
    }
}

/// The rows of a batch, by a sink of its signal; see [`Core::decode`].
pub(crate) fn decode_batch(
    decoder: &dyn Decode,
    batch: &Batch,
    mut sink: ChunkSink<'_>,
) -> Result<Chunk, Undecoded> {
    decoder.decode(batch.format, batch.signal, &batch.request, &mut sink)?;
    let mut chunk = sink.finish()?;
    if let Some(clock) = batch.stamp.as_ref().and_then(|stamp| stamp.clock) {
        chunk.clocks = Clocks::all(clock);
    }
    Ok(chunk)
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
        let root = dir.join("store");
        let failures = Failures::default();
        let outside = env.files.clone();
        let env = Env {
            files: Arc::new(StrictFiles::over(env.files, failures.clone())),
            ..env
        };
        env.files.create_dir_all(&root).map_err(folder)?;
        let maps_max = options.open_files.unwrap_or(env.files.maps_max());
        let core = Arc::new(Core {
            open: Arc::new(OpenFiles::new(&env, maps_max)),
            removals: removals::Removals::default(),
            pending: Arc::new(Semaphore::new(options.pending_bytes)),
            budget: Arc::new(Budget::new(options.in_flight_bytes)),
            known: KnownSeries::new(options.series, options.metric_series),
            blocks: BlockCache::default(),
            series: SeriesCache::default(),
            decoding: Arc::new(Decoding::new(DECODING_BYTES)),
            env,
            outside,
            root,
            options,
            view: RwLock::new(View::default()),
            counters: Counters::default(),
            sources: Mutex::new(sources::Sources::default()),
            tails: Tails::default(),
            changing: Mutex::new(()),
            snapshots: Mutex::new(()),
            wal: OnceLock::new(),
            merging: merger::Merging::default(),
            observer: Mutex::new(None),
            failures,
            decoder,
            expected: Expected::default(),
            closing: AtomicBool::new(false),
        });
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
        let decoding = core.clone();
        let inline_bytes = match batch.format {
            Format::Otlp => INLINE_BYTES,
            Format::RemoteWrite1 | Format::RemoteWrite2 => INLINE_BYTES / COMPRESSION,
        };
        let decode = move || decoding.decode_new(batch);
        let new = if weight < inline_bytes {
            decode()?
        } else {
            tokio::task::spawn_blocking(decode)
                .await
                .map_err(|_| WriteError::Closed)??
        };
        let (answer, answered) = oneshot::channel();
        self.send(Job::Write(Box::new(commit::Pending {
            batch: new.batch,
            chunk: new.chunk,
            refused_series: new.refused_series,
            content: new.content,
            received_unix_nano: new.received_unix_nano,
            answer,
            holds: (permit, new.room),
        })))?;
        answered.await.map_err(|_| WriteError::Closed)?
    }

    fn send(&self, job: Job) -> Result<(), WriteError> {
        let jobs = self.handle.jobs.lock();
        let sender = jobs.as_ref().ok_or(WriteError::Closed)?;
        sender.send(job).map_err(|_| WriteError::Closed)
    }

    /// Shows every row stored from now on to `observer`, after it is durable, on the commit
    /// thread.
    pub fn set_observer(&self, observer: Box<dyn Observe>) {
        *self.handle.core.observer.lock() = Some(observer);
    }

    /// Writes the head to files now. Returns when that is done, or has failed several times; it is
    /// tried on.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.send(Job::Flush(done)).is_ok() {
            let _ = wait.await;
        }
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
        let (done, wait) = oneshot::channel();
        if self.send(Job::Shutdown(done)).is_ok() {
            let _ = wait.await;
        }
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

impl Core {
    #[allow(clippy::cast_precision_loss)]
    fn metrics(&self) -> Vec<Metric> {
        let mut out = Vec::new();
        let mut one = |name: &str, labels: &[(&str, &str)], value: u64| {
            let labels = labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
            out.push((format!("throughline_storage_{name}"), labels, value as f64));
        };
        let counters = &self.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (signal, rows) in model::Signal::ALL.iter().zip(&counters.rows) {
            one("rows_total", &[("signal", signal.name())], get(rows));
        }
        for (reason, count) in Reject::ALL.iter().zip(&counters.rejected) {
            one(
                "rejected_rows_total",
                &[("reason", reason.label())],
                get(count),
            );
        }
        for (refusal, count) in Refusal::ALL.iter().zip(&counters.retried) {
            one(
                "retried_batches_total",
                &[("reason", refusal.label())],
                get(count),
            );
        }
        for (tenant, count) in self.known.counts() {
            one(
                "active_series",
                &[("tenant", tenant.as_str())],
                count as u64,
            );
        }
        for reason in retention::Reason::ALL {
            let labels = [("reason", reason.label())];
            let (partitions, rows) = (&counters.dropped_partitions, &counters.dropped_rows);
            one(
                "dropped_partitions_total",
                &labels,
                get(&partitions[reason as usize]),
            );
            one("dropped_rows_total", &labels, get(&rows[reason as usize]));
        }
        for (name, counter) in [
            ("batches_total", &counters.batches),
            ("too_large_batches_total", &counters.too_large_batches),
            ("duplicate_batches_total", &counters.duplicate_batches),
            ("duplicate_attribute_keys_total", &counters.duplicate_keys),
            ("undated_rows_total", &counters.undated),
            ("ahead_rows_total", &counters.ahead),
            ("reread_files_total", &counters.reread_files),
            ("flushes_total", &counters.flushes),
            ("flush_errors_total", &counters.flush_errors),
            ("merges_total", &counters.merges),
            ("merge_errors_total", &counters.merge_errors),
            ("merged_files_total", &counters.merged_files),
            ("merged_bytes_total", &counters.merged_bytes),
            ("merged_rows_total", &counters.merged_rows),
            ("reordered_rows_total", &counters.ordered_rows),
            ("wal_syncs_total", &counters.syncs),
            ("tail_dropped_rows_total", &counters.tail_dropped),
            ("wal_bytes", &counters.wal_bytes),
            ("wal_lost_bytes_total", &counters.wal_lost_bytes),
            ("wal_torn_bytes_total", &counters.wal_torn_bytes),
            ("wal_malformed_records_total", &counters.wal_malformed),
            ("damaged_files_total", &counters.damaged_files),
            ("rebuilt_checkpoints_total", &counters.rebuilt_checkpoints),
            ("damaged_blocks_total", &counters.damaged_blocks),
            ("retention_errors_total", &counters.retention_errors),
            ("head_bytes", &counters.head_bytes),
        ] {
            one(name, &[], get(counter));
        }
        for (name, count) in self.sources.lock().counts() {
            one(name, &[], count);
        }
        let view = self.view.read().clone();
        let (mut indexes, mut tables) = (0, 0);
        for partition in view.partitions.values() {
            indexes += u64::from(partition.lacks_index());
            tables += partition.lacking_tables();
            let labels = [
                ("signal", partition.key.signal.name()),
                ("tenant", partition.key.tenant.as_str()),
            ];
            one("partition_rows", &labels, partition.rows());
            one("partition_bytes", &labels, partition.size_bytes());
            one("partition_files", &labels, partition.files.len() as u64);
        }
        for signal in model::Signal::ALL {
            let labels = [("signal", signal.name())];
            let at = commit::signal_index(signal);
            one(
                "merge_waiting_files",
                &labels,
                get(&counters.waiting_files[at]),
            );
            one(
                "merge_waiting_bytes",
                &labels,
                get(&counters.waiting_bytes[at]),
            );
        }
        let (maps, opened) = self.open.counts();
        one("open_files", &[], maps);
        one("opened_files_total", &[], opened);
        one("removals_waiting", &[], self.removals.count());
        one("unreadable_indexes", &[], indexes);
        one("unreadable_tables", &[], tables);
        out
    }
}
