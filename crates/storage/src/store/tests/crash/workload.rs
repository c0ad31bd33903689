//! A run of a store whose every state of the disk is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use model::Signal;
use parking_lot::Mutex;
use testkit::{Change, FaultFiles, ManualClock, MemoryFiles, Op, Plan};

use super::driver::Driver;
use super::model::Model;
use crate::retention::{Policies, Policy, Retention};
use crate::store::LabelLimits;
use crate::testing::*;
use crate::{OpenError, Options, Store};

/// How long a request without a stamp is known.
pub(super) const REPEAT_HOURS: u64 = 24;
/// Bytes of a segment of the log, which goes by how long the log may be.
pub(super) const SEGMENT_BYTES: usize = 64 << 10;
/// Days that rows are kept.
pub(super) const KEPT_DAYS: u64 = 10;

/// How much is done.
pub(super) struct Workload {
    pub steps: Vec<Step>,
    /// Items that are sent at once.
    pub group: usize,
    /// Bytes of the longest text.
    pub padding: usize,
    /// Whether the disk is kept only before calls of steps that merge files.
    pub merges_alone: bool,
    /// See [`Options::inline_bytes`].
    pub inline_bytes: usize,
}

/// What [`Workload::inline_bytes`] is otherwise.
const INLINE_BYTES: usize = 64 << 10;

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Items at once, some of them repeats.
    Write,
    /// The same one after the other.
    InTurn,
    /// Items that wait while files are written, and then share a sync: more of them than a segment
    /// of the log holds.
    Burst,
    Flush,
    /// One row of each signal, and again, each in a file of its own: of such files a merge makes
    /// blocks anew, and does not only copy them.
    Trickle,
    /// What lies side by side is merged.
    Merge,
    /// Some neighbours of each partition are merged, whether that is worth it or not: what is
    /// merged may have been merged before, often.
    MergeSome,
    /// The same while the oldest day is dropped, which the merge is in the midst of.
    MergeDropped,
    /// Time passes, and the oldest day is dropped.
    Retain,
    /// The store stops in order and starts again.
    Reopen,
    /// The store starts again without having stopped.
    Kill,
    /// The store stops in order.
    Stop,
}

impl Step {
    /// Whether files are merged in it.
    pub(super) fn merges(self) -> bool {
        matches!(self, Self::Merge | Self::MergeSome | Self::MergeDropped)
    }
}

impl Workload {
    /// Every kind of step, on few files.
    pub(super) fn small() -> Self {
        use Step::{Burst, Flush, Kill, Merge, Reopen, Retain, Stop, Write};
        let steps = vec![
            Write, Write, Flush, Write, Kill, Burst, Flush, Merge, Retain, Write, Reopen, Write,
            Merge, Burst, Stop,
        ];
        Self {
            steps,
            group: 3,
            padding: 40_000,
            merges_alone: false,
            inline_bytes: INLINE_BYTES,
        }
    }

    /// Enough flushes for merges of the index, and for several segments of the log.
    pub(super) fn large() -> Self {
        use Step::{Burst, Flush, Kill, Merge, Reopen, Retain, Stop, Write};
        let mut steps = Vec::new();
        for round in 0..12 {
            steps.extend([Write, Write, Flush, Write]);
            if round % 3 == 0 {
                steps.push(Burst);
            }
            match round % 4 {
                1 => steps.push(Kill),
                2 => steps.push(Retain),
                3 => steps.push(Reopen),
                _ => steps.push(Merge),
            }
        }
        steps.push(Stop);
        Self {
            steps,
            group: 6,
            padding: 40_000,
            merges_alone: false,
            inline_bytes: INLINE_BYTES,
        }
    }

    /// Merged files of several generations, what a crash leaves of each merge, and merged files
    /// that retention drops, also while they are being merged again.
    pub(super) fn merging(rounds: usize) -> Self {
        use Step::{Flush, Kill, Merge, MergeDropped, MergeSome, Reopen, Retain, Trickle, Write};
        let mut steps = Vec::new();
        for round in 0..rounds {
            steps.extend([Write, Flush, Write, Flush, Trickle, MergeSome, Trickle]);
            steps.extend([MergeSome, Write, Flush, MergeSome, MergeSome]);
            match round % 4 {
                0 => steps.extend([Write, Flush, Write, Flush, MergeDropped]),
                1 => steps.extend([Kill, Merge, Write]),
                2 => steps.extend([Retain, MergeSome]),
                _ => steps.extend([Reopen, Merge]),
            }
        }
        Self {
            steps,
            group: 5,
            padding: 100,
            merges_alone: true,
            inline_bytes: INLINE_BYTES,
        }
    }
}

impl Workload {
    /// Requests one after the other, each of which is in the log before it is decoded.
    pub(super) fn ahead() -> Self {
        use Step::{Flush, InTurn, Kill, Merge, Reopen, Stop};
        let steps = vec![
            InTurn, InTurn, Flush, InTurn, Kill, InTurn, Flush, Merge, InTurn, Reopen, InTurn, Stop,
        ];
        Self {
            steps,
            group: 3,
            padding: 40_000,
            merges_alone: false,
            inline_bytes: 0,
        }
    }

    /// Rows in files and in the log, in as few bytes as show every kind of file.
    pub(super) fn tiny() -> Self {
        use Step::{Flush, Merge, Write};
        Self {
            steps: vec![
                Write, Write, Flush, Write, Flush, Merge, Write, Flush, Write, Write,
            ],
            group: 6,
            padding: 100,
            merges_alone: false,
            inline_bytes: INLINE_BYTES,
        }
    }
}

/// The disk before some call, or in the middle of it.
pub(super) struct Moment {
    pub files: MemoryFiles,
    /// The last event of the model by then.
    pub event: u64,
    pub clock: u64,
    pub what: String,
}

/// A run that was watched.
pub(super) struct Run {
    pub moments: Vec<Moment>,
    pub model: Model,
    /// The highest generation of a merged file that there was of each signal.
    pub generations: BTreeMap<Signal, u8>,
    seed: u64,
    inline_bytes: usize,
}

pub(super) fn dir() -> PathBuf {
    PathBuf::from("/data")
}

pub(super) fn options(inline_bytes: usize) -> Options {
    let policy = Policy {
        age: Some(Duration::from_secs(KEPT_DAYS * 86_400)),
        bytes: None,
    };
    Options {
        block_rows: 3,
        inline_bytes,
        wal_bytes: 8 * SEGMENT_BYTES as u64,
        flush_retry: Duration::from_millis(1),
        background_merges: false,
        merge_bytes: 40_000,
        repeat_window: Duration::from_secs(REPEAT_HOURS * 3_600),
        // Rows are made long by an attribute, points too.
        labels: LabelLimits {
            value_bytes: SEGMENT_BYTES,
            ..LabelLimits::default()
        },
        retention: Retention {
            all: Policies {
                traces: policy,
                logs: policy,
                metrics: policy,
            },
            ..Retention::default()
        },
        ..Options::default()
    }
}

/// A store on these files, and its clock.
pub(super) fn open(
    seed: u64,
    files: Arc<dyn env::Files>,
    unix_nano: u64,
    inline_bytes: usize,
) -> Result<(Store, Arc<ManualClock>), OpenError> {
    let (env, clock) = testkit::env(seed, files);
    clock.set_unix(unix_nano);
    let store = Store::open(env, &dir(), options(inline_bytes), Arc::new(TestDecoder))?;
    Ok((store, clock))
}

impl Run {
    /// Opens a store on what is left of the run's disk.
    pub(super) fn open(&self, files: &MemoryFiles, unix_nano: u64) -> Store {
        let files = Arc::new(files.clone());
        let opened = open(self.seed ^ 1, files, unix_nano, self.inline_bytes);
        opened.unwrap().0
    }

    /// Keeps the disk before every n-th call and in its midst, another one with each seed.
    pub(super) async fn record(workload: &Workload, seed: u64, every: usize) -> Self {
        Self::record_with(workload, seed, every, None).await
    }

    /// The same on a disk that behaves as planned.
    pub(super) async fn record_with(
        workload: &Workload,
        seed: u64,
        every: usize,
        plan: Option<Plan>,
    ) -> Self {
        let files = MemoryFiles::new();
        let faults = FaultFiles::over(Arc::new(files.clone()));
        plan.into_iter().for_each(|plan| faults.plan(plan));
        let moments = Arc::new(Mutex::new(Vec::new()));
        let mut driver = Driver::new(seed, faults.clone());
        let recorder = Recorder {
            files: files.clone(),
            moments: moments.clone(),
            event: driver.event.clone(),
            now: driver.now.clone(),
            paused: driver.is_quiet.clone(),
            calls: AtomicUsize::new(usize::try_from(seed).unwrap_or_default()),
            every,
        };
        let amid = driver.amid_merge.clone();
        faults.watch(move |change| {
            recorder.record(change);
            amid.at(change);
        });
        driver.run(workload).await;
        assert!(driver.merged, "nothing was merged");
        let mut moments = std::mem::take(&mut *moments.lock());
        moments.push(Moment {
            files,
            event: driver.event.load(Ordering::SeqCst),
            clock: driver.now.load(Ordering::SeqCst),
            what: "after all".to_owned(),
        });
        Self {
            moments,
            model: driver.model,
            generations: driver.generations,
            seed,
            inline_bytes: workload.inline_bytes,
        }
    }
}

type Act = Box<dyn FnOnce() + Send>;

/// What is to happen in the midst of a merge, once: before its first write to a merged file.
#[derive(Clone, Default)]
pub(super) struct Amid(Arc<Mutex<Option<Act>>>);

impl Amid {
    pub(super) fn set(&self, act: impl FnOnce() + Send + 'static) {
        *self.0.lock() = Some(Box::new(act));
    }

    /// Whether it did not happen yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.0.lock().is_some()
    }

    fn at(&self, change: &Change<'_>) {
        let name = change.path.to_string_lossy();
        if change.op != Op::Write || !name.ends_with(".blocks.tmp") {
            return;
        }
        let act = self.0.lock().take();
        act.into_iter().for_each(|act| act());
    }
}

/// Forks the files before calls.
struct Recorder {
    files: MemoryFiles,
    moments: Arc<Mutex<Vec<Moment>>>,
    event: Arc<AtomicU64>,
    now: Arc<AtomicU64>,
    /// Whether nothing is kept.
    paused: Arc<AtomicBool>,
    /// Counts calls while it is not paused.
    calls: AtomicUsize,
    every: usize,
}

impl Recorder {
    fn record(&self, change: &Change<'_>) {
        if self.paused.load(Ordering::SeqCst) {
            return;
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if !call.is_multiple_of(self.every) {
            return;
        }
        // Read before the fork: what was acknowledged by then is on the disk that is forked.
        let event = self.event.load(Ordering::SeqCst);
        let clock = self.now.load(Ordering::SeqCst);
        let fork = self.files.fork();
        let mut moments = self.moments.lock();
        let mut keep = |files, place: &str| {
            moments.push(Moment {
                files,
                event,
                clock,
                what: format!("{place} {:?} of {}", change.op, change.path.display()),
            });
        };
        for half in half_done(&fork, change) {
            keep(half, "during");
        }
        keep(fork, "before");
    }
}

/// The disk with half of the call done, where it is one that has halves.
fn half_done(files: &MemoryFiles, change: &Change<'_>) -> Vec<MemoryFiles> {
    match change.op {
        Op::Write => half_written(files, change).into_iter().collect(),
        // A folder goes file by file, in any order.
        Op::Remove => {
            let halves = [0, 1].map(|skip| half_removed(files, change.path, skip));
            halves.into_iter().flatten().collect()
        }
        _ => Vec::new(),
    }
}

fn half_written(files: &MemoryFiles, change: &Change<'_>) -> Option<MemoryFiles> {
    use env::Files;
    let half = files.fork();
    let (offset, parts) = change.write?;
    let bytes = parts.concat();
    let file = half.open_write(change.path).ok()?;
    file.write_at(&bytes[..bytes.len() / 2], offset).ok()?;
    Some(half)
}

/// Without every other file of a folder; nothing where there is none.
fn half_removed(files: &MemoryFiles, dir: &Path, skip: usize) -> Option<MemoryFiles> {
    use env::Files;
    let half = files.fork();
    let paths = half.paths().into_iter();
    let below = paths.filter(|path| path.starts_with(dir) && path != dir);
    let mut gone = below.skip(skip).step_by(2).peekable();
    gone.peek()?;
    for path in gone {
        half.remove_file(&path).ok()?;
    }
    Some(half)
}
