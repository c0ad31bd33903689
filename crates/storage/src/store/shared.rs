//! What the threads and readers of a store share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use env::{Env, Failures, Files, StrictFiles};
use model::room::Budget;
use model::row::Decode;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use super::counting::Counting;
use super::tail::Tails;
use super::{Counters, Options, merger, removals, sources};
use crate::chunk::Expected;
use crate::downsampling;
use crate::flush::Heads;
use crate::layout::Interned;
use crate::partition::{OpenFiles, Partition, PartitionKey};
use crate::points::{BlockCache, KnownSeries};
use crate::retention;
use crate::scan::Decoding;
use crate::scan::series::join::SeriesCache;
use crate::write::{Observe, Stamp};

/// Memory for the blocks that all readers decode at once. An ordinary block takes a megabyte or two.
const DECODING_BYTES: u64 = 256 << 20;

/// What samples of metrics may take in all scans until they are on their way.
const SAMPLING_BYTES: u64 = 512 << 20;
/// Memory for what all readers group and count at once: eight of them get all that one may take.
const GROUPING_BYTES: usize = 256 << 20;

/// What readers see at one moment.
#[derive(Clone, Default)]
pub(crate) struct View {
    pub active: Arc<Heads>,
    pub sealed: Option<Arc<Heads>>,
    pub partitions: Arc<BTreeMap<PartitionKey, Arc<Partition>>>,
    /// What is kept of old metrics in buckets.
    pub downsampled: Arc<downsampling::Catalog>,
}

impl View {
    /// Every partition: those of rows, then those of buckets.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.partitions.values().chain(self.downsampled.values())
    }

    /// A partition of rows or of buckets.
    pub(crate) fn get(&self, key: &PartitionKey) -> Option<&Arc<Partition>> {
        match key.resolution {
            None => self.partitions.get(key),
            Some(_) => self.downsampled.get(key),
        }
    }

    /// Shows a partition, in the place of what there was of it.
    pub(crate) fn put(&mut self, partition: impl Into<Arc<Partition>>) {
        let partition = partition.into();
        self.map(&partition.key)
            .insert(partition.key.clone(), partition);
    }

    /// Shows a partition no more.
    pub(crate) fn remove(&mut self, key: &PartitionKey) {
        self.map(key).remove(key);
    }

    fn map(&mut self, key: &PartitionKey) -> &mut BTreeMap<PartitionKey, Arc<Partition>> {
        match key.resolution {
            None => Arc::make_mut(&mut self.partitions),
            Some(_) => Arc::make_mut(&mut self.downsampled),
        }
    }
}

/// What the threads and readers of a store share.
pub(crate) struct Core {
    /// When the store was opened.
    pub opened_unix_nano: u64,
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
    /// What rows share, as queries decoded it lately.
    pub(super) interned: Mutex<Arc<Interned>>,
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
    pub(super) wal: OnceLock<journal::Tail>,
    pub merging: merger::Merging,
    /// Whether the wall clock can be gone by.
    pub clock_watch: retention::ClockWatch,
    /// The last flush that both files of the checkpoint count.
    pub(super) settled_flush: AtomicU64,
    pub(super) observer: Mutex<Option<Box<dyn Observe>>>,
    /// What of the log is kept for the counts of spans.
    pub(super) counting: Counting,
    /// What the store cannot go on without.
    pub failures: Failures,
    pub(super) decoder: Arc<dyn Decode>,
    /// What the last requests became in memory.
    pub(super) expected: Expected,
    pub(super) closing: AtomicBool,
    pub(super) pending: Arc<Semaphore>,
    pub(super) budget: Arc<Budget>,
    /// Memory for blocks that are decoded to be read.
    pub decoding: Arc<Decoding>,
    /// Memory for samples that are found until they are on their way.
    pub sampling: Arc<Decoding>,
    /// Memory for what is grouped and counted.
    pub grouping: Arc<Budget>,
}

impl Core {
    /// What an open store shares, with nothing in it yet.
    pub(super) fn new(env: Env, root: PathBuf, options: Options, decoder: Arc<dyn Decode>) -> Self {
        let failures = Failures::default();
        let outside = env.files.clone();
        let env = Env {
            files: Arc::new(StrictFiles::over(env.files, failures.clone())),
            ..env
        };
        let maps_max = options.open_files.unwrap_or(env.files.maps_max());
        Self {
            opened_unix_nano: env.clock.unix_nanos(),
            open: Arc::new(OpenFiles::new(&env, maps_max)),
            removals: removals::Removals::default(),
            pending: Arc::new(Semaphore::new(options.pending_bytes)),
            budget: Arc::new(Budget::new(options.in_flight_bytes)),
            known: KnownSeries::new(options.series, options.metric_series),
            blocks: BlockCache::default(),
            interned: Mutex::default(),
            series: SeriesCache::default(),
            decoding: Arc::new(Decoding::new(DECODING_BYTES)),
            sampling: Arc::new(Decoding::new(SAMPLING_BYTES)),
            grouping: Arc::new(Budget::new(GROUPING_BYTES)),
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
            clock_watch: retention::ClockWatch::default(),
            settled_flush: AtomicU64::new(0),
            observer: Mutex::new(None),
            counting: Counting::default(),
            failures,
            decoder,
            expected: Expected::default(),
            closing: AtomicBool::new(false),
        }
    }

    /// Whether the store is about to close.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Notes an acknowledgement, and what the stamp says of its sender.
    pub(super) fn acknowledged(&self, stamp: Option<&Stamp>) {
        let now = self.env.clock.unix_nanos();
        self.sources.lock().acknowledged(stamp, now);
    }

    /// What the blocks that are read share. Queries at work at once add to the same.
    pub(crate) fn interned(&self) -> Arc<Interned> {
        self.interned.lock().clone()
    }

    /// Lets go of what an answer decoded, where that is much.
    pub(crate) fn trim_interned(&self) {
        let mut interned = self.interned.lock();
        if interned.is_large() {
            *interned = Arc::default();
        }
    }

    /// Everything in the log before this is durable.
    pub(crate) fn wal_end(&self) -> journal::Position {
        let tail = self.wal.get();
        tail.map_or(journal::Position::START, journal::Tail::synced_end)
    }

    /// Frees what of the log is in files: what lies before this.
    pub(crate) fn free_log(&self, position: journal::Position) {
        // After a failed sync nobody knows whether the log says what the checkpoint says.
        if self.failures.first().is_some() {
            return;
        }
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
