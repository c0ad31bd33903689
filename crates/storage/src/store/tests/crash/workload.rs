//! A run of a store whose every state of the disk is kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use model::Signal;
use model::time::NANOS_PER_DAY;
use parking_lot::Mutex;
use testkit::{Change, FaultFiles, ManualClock, MemoryFiles, Op};

use super::model::{FIRST_DAY, Item, Model, Wanted};
use crate::retention::{Policy, Retention};
use crate::testing::*;
use crate::write::Stamp;
use crate::{Options, Store};

/// Days that rows are kept.
const KEPT_DAYS: u64 = 10;

/// How much is done.
pub(super) struct Workload {
    steps: Vec<Step>,
    /// Items of one group at most.
    group: usize,
}

#[derive(Clone, Copy)]
enum Step {
    /// Items at once, some of them repeats.
    Write,
    Flush,
    /// Time passes, and the oldest day is dropped.
    Retain,
    /// The store stops in order and starts again.
    Reopen,
    /// The store starts again without having stopped.
    Kill,
}

impl Workload {
    /// Every kind of step, on few files.
    pub(super) fn small() -> Self {
        use Step::{Flush, Kill, Reopen, Retain, Write};
        let steps = vec![
            Write, Write, Flush, Write, Kill, Write, Flush, Retain, Write, Reopen, Write,
        ];
        Self { steps, group: 3 }
    }

    /// Enough flushes for merges of the index, and for several segments of the log.
    pub(super) fn large() -> Self {
        use Step::{Flush, Kill, Reopen, Retain, Write};
        let mut steps = Vec::new();
        for round in 0..12 {
            steps.extend([Write, Write, Flush, Write]);
            match round % 4 {
                1 => steps.push(Kill),
                2 => steps.push(Retain),
                3 => steps.push(Reopen),
                _ => {}
            }
        }
        Self { steps, group: 6 }
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
    seed: u64,
}

pub(super) fn dir() -> PathBuf {
    PathBuf::from("/data")
}

pub(super) fn options() -> Options {
    let policy = Policy {
        age: Some(Duration::from_secs(KEPT_DAYS * 86_400)),
        bytes: None,
    };
    Options {
        block_rows: 3,
        wal_bytes: 1 << 19,
        flush_retry: Duration::from_millis(1),
        retention: Retention {
            traces: policy,
            logs: policy,
            metrics: policy,
            reserve_bytes: 0,
        },
        ..Options::default()
    }
}

/// A store on these files, and its clock.
pub(super) fn open(
    seed: u64,
    files: Arc<dyn env::Files>,
    unix_nano: u64,
) -> (Store, Arc<ManualClock>) {
    let (env, clock) = testkit::env(seed, files);
    clock.set_unix(unix_nano);
    let store = Store::open(env, &dir(), options(), Arc::new(TestDecoder)).unwrap();
    (store, clock)
}

impl Run {
    /// Opens a store on what is left of the run's disk.
    pub(super) fn open(&self, files: &MemoryFiles, unix_nano: u64) -> Store {
        open(self.seed ^ 1, Arc::new(files.clone()), unix_nano).0
    }

    pub(super) async fn record(workload: &Workload, seed: u64) -> Self {
        let files = MemoryFiles::new();
        let faults = FaultFiles::over(Arc::new(files.clone()));
        let moments = Arc::new(Mutex::new(Vec::new()));
        let (event, now) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicU64::new(FIRST_DAY + 3 * NANOS_PER_DAY)),
        );
        let recorder = Recorder {
            files: files.clone(),
            moments: moments.clone(),
            event: event.clone(),
            now: now.clone(),
        };
        faults.watch(move |change| recorder.record(change));
        let mut driver = Driver {
            generator: Generator::new(seed),
            model: Model::default(),
            event,
            now,
            group: workload.group,
            first_day: 0,
            sequence: 0,
            files: faults,
            seed,
        };
        driver.run(&workload.steps).await;
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
            seed,
        }
    }
}

/// Forks the files before each call.
struct Recorder {
    files: MemoryFiles,
    moments: Arc<Mutex<Vec<Moment>>>,
    event: Arc<AtomicU64>,
    now: Arc<AtomicU64>,
}

impl Recorder {
    fn record(&self, change: &Change<'_>) {
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
        if let Some(half) = half_done(&fork, change) {
            keep(fork, "before");
            keep(half, "during");
        } else {
            keep(fork, "before");
        }
    }
}

/// The disk with half of the call done, where it is one that has halves.
fn half_done(files: &MemoryFiles, change: &Change<'_>) -> Option<MemoryFiles> {
    use env::Files;
    let half = files.fork();
    match change.op {
        Op::Write => {
            let (offset, parts) = change.write?;
            let bytes = parts.concat();
            let file = half.open_write(change.path).ok()?;
            file.write_at(&bytes[..bytes.len() / 2], offset).ok()?;
        }
        Op::Remove => {
            let below: Vec<PathBuf> = half.paths();
            let below = below
                .into_iter()
                .filter(|path| path.starts_with(change.path) && path != change.path);
            for path in below.step_by(2) {
                half.remove_file(&path).ok()?;
            }
        }
        _ => return None,
    }
    Some(half)
}

/// Does the steps of a workload.
struct Driver {
    generator: Generator,
    model: Model,
    event: Arc<AtomicU64>,
    now: Arc<AtomicU64>,
    group: usize,
    /// The oldest day that was not dropped.
    first_day: u64,
    sequence: u64,
    files: FaultFiles,
    seed: u64,
}

impl Driver {
    fn open(&self) -> (Store, Arc<ManualClock>) {
        open(
            self.seed,
            Arc::new(self.files.clone()),
            self.now.load(Ordering::SeqCst),
        )
    }

    async fn run(&mut self, steps: &[Step]) {
        let (mut store, mut clock) = self.open();
        for step in steps {
            match step {
                Step::Write => self.write(&store).await,
                Step::Flush => store.flush().await,
                Step::Retain => {
                    let event = self.event.fetch_add(1, Ordering::SeqCst) + 1;
                    self.model.drop_day(self.first_day, event);
                    self.first_day += 1;
                    // Rows of the first hour of the day are older than what is kept.
                    let now = FIRST_DAY + (self.first_day + KEPT_DAYS) * NANOS_PER_DAY
                        - NANOS_PER_DAY / 2;
                    self.now.store(now, Ordering::SeqCst);
                    clock.set_unix(now);
                    store.maintain().await;
                }
                Step::Reopen | Step::Kill => {
                    if matches!(step, Step::Reopen) {
                        store.shutdown().await;
                    }
                    drop(store);
                    (store, clock) = self.open();
                }
            }
        }
        store.shutdown().await;
    }

    /// Sends items at once, among them one that was sent before.
    async fn write(&mut self, store: &Store) {
        let mut group: Vec<Arc<Item>> = Vec::new();
        for _ in 0..self.group {
            let item = self.item();
            group.push(item);
        }
        let stamped: Vec<_> = self
            .model
            .items
            .iter()
            .filter(|item| item.batch.stamp.is_some())
            .cloned()
            .collect();
        if !stamped.is_empty() {
            group.push(stamped[self.generator.random.usize(..stamped.len())].clone());
        }
        let writes = group.iter().map(|item| async {
            store.write(item.batch.clone()).await.unwrap();
            self.event.fetch_add(1, Ordering::SeqCst) + 1
        });
        let events = join_all(writes).await;
        for (item, event) in group.iter().zip(events) {
            self.model.acknowledge(item.number, event);
        }
    }

    fn item(&mut self) -> Arc<Item> {
        let random = &mut self.generator.random;
        let signal = Signal::ALL[random.usize(..3)];
        let stamp = random.bool().then(|| {
            self.sequence += 1;
            Stamp {
                agent: format!("agent-{}", random.u8(..2)),
                epoch: 1,
                sequence: self.sequence,
                sent_unix_nano: 0,
                complete_to_unix_nano: if random.bool() { self.sequence } else { 0 },
                clock: None,
            }
        });
        let day = self.first_day;
        let wanted = Wanted {
            signal,
            rows: random.usize(1..7),
            days: if random.u8(..4) == 0 {
                vec![day, day + 1]
            } else {
                vec![day]
            },
            padding: if random.u8(..4) == 0 {
                random.usize(..40_000)
            } else {
                0
            },
            stamp,
        };
        self.model.add(&mut self.generator, wanted)
    }
}
