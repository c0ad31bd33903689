//! Does the steps of a workload as senders and an operator would.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::future::{join, join_all};
use model::time::{NANOS_PER_DAY, NANOS_PER_SECOND};
use model::{Format, Signal};
use testkit::{FaultFiles, ManualClock};

use super::super::{counted, merge};
use super::model::{FIRST_DAY, Item, Model, Wanted};
use super::workload::{Amid, KEPT_DAYS, SEGMENT_BYTES, Step, Workload, open};
use crate::Store;
use crate::store::merger::merge_some;
use crate::testing::*;
use crate::write::{Batch, Stamp, WriteError};

/// Items of a burst, each of which fills half of a segment of the log.
const BURST: usize = 3;
/// Files of a row for each signal that follow each other.
const TRICKLES: usize = 5;
/// How often anything is tried where the disk fails.
const TRIES: usize = 200;

pub(super) struct Driver {
    pub generator: Generator,
    pub model: Model,
    /// The last event of the model.
    pub event: Arc<AtomicU64>,
    pub now: Arc<AtomicU64>,
    pub files: FaultFiles,
    /// Whether calls may fail. Then the model is held to after each step, too.
    pub faulty: bool,
    /// Whether anything was merged.
    pub merged: bool,
    /// The highest generation of a merged file that there was of each signal.
    pub generations: BTreeMap<Signal, u8>,
    /// Whether what happens now is not looked at.
    pub is_quiet: Arc<AtomicBool>,
    pub amid_merge: Amid,
    /// The oldest day that was not dropped.
    first_day: u64,
    sequence: u64,
    padding: usize,
    inline_bytes: usize,
    seed: u64,
}

impl Driver {
    pub(super) fn new(seed: u64, files: FaultFiles) -> Self {
        Self {
            generator: Generator::new(seed),
            model: Model::default(),
            event: Arc::default(),
            now: Arc::new(AtomicU64::new(FIRST_DAY + 3 * NANOS_PER_DAY)),
            files,
            faulty: false,
            merged: false,
            generations: BTreeMap::new(),
            is_quiet: Arc::default(),
            amid_merge: Amid::default(),
            first_day: 0,
            sequence: 0,
            padding: 0,
            inline_bytes: 0,
            seed,
        }
    }

    fn next_event(&self) -> u64 {
        self.event.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Opens the store; where calls fail, as often as it takes.
    pub(super) fn open(&self) -> (Store, Arc<ManualClock>) {
        let now = self.now.load(Ordering::SeqCst);
        let mut tries = if self.faulty { TRIES } else { 1 };
        loop {
            tries -= 1;
            let files = Arc::new(self.files.clone());
            match open(self.seed, files, now, self.inline_bytes) {
                Ok(opened) => {
                    // A file that could not be read is tried again later, which is now.
                    let unread = |store: &Store| {
                        let view = store.core().view.read().clone();
                        let mut partitions = view.partitions.values();
                        partitions.any(|partition| partition.apart().next().is_some())
                    };
                    while unread(&opened.0) {
                        tries -= 1;
                        assert!(tries > 0, "files do not read");
                        crate::store::reread::reread(opened.0.core());
                    }
                    return opened;
                }
                Err(error) => assert!(tries > 0, "{error}"),
            }
        }
    }

    pub(super) async fn run(&mut self, workload: &Workload) {
        self.padding = workload.padding;
        self.inline_bytes = workload.inline_bytes;
        let (mut store, mut clock) = self.open();
        for step in &workload.steps {
            let quiet = workload.merges_alone && !step.merges();
            self.is_quiet.store(quiet, Ordering::SeqCst);
            match step {
                Step::Write => self.write(&store, workload.group, false).await,
                Step::InTurn => self.write_in_turn(&store, workload.group).await,
                Step::Burst => self.write(&store, BURST, true).await,
                Step::Flush => store.flush().await,
                Step::Trickle => self.trickle(&store).await,
                Step::Merge => {
                    // No rows came for a while, so that any neighbours are merged.
                    let now = self.now.load(Ordering::SeqCst) + 2 * 3_600 * NANOS_PER_SECOND;
                    self.now.store(now, Ordering::SeqCst);
                    clock.set_unix(now);
                    merge(&store).await;
                    self.merged |= counted(&store, "merges_total") > 0.0;
                }
                Step::MergeSome => self.merge_some(&store).await,
                Step::Retain => {
                    self.outlive_a_day(&clock);
                    store.maintain().await;
                }
                Step::MergeDropped => {
                    self.outlive_a_day(&clock);
                    let core = store.core().clone();
                    self.amid_merge
                        .set(move || crate::retention::maintain(&core));
                    self.merge_some(&store).await;
                    assert!(!self.amid_merge.is_waiting(), "nothing was being merged");
                }
                Step::Stop => store.shutdown().await,
                Step::Reopen => {
                    store.shutdown().await;
                    drop(store);
                    (store, clock) = self.open();
                }
                Step::Kill => {
                    drop(store);
                    (store, clock) = self.open();
                }
            }
            if self.faulty {
                // Reading goes on, also where nothing can be written any more.
                let event = self.event.load(Ordering::SeqCst);
                self.model.check(&store, event, &format!("{step:?}")).await;
            }
            if self.faulty && store.failure().get().is_some() {
                drop(store);
                (store, clock) = self.open();
            }
        }
    }

    /// Time passes until the oldest day is not kept any more.
    fn outlive_a_day(&mut self, clock: &ManualClock) {
        self.model.drop_day(self.first_day, self.next_event());
        self.first_day += 1;
        // Rows of the first hour of the day are older than what is kept.
        let days = self.first_day + KEPT_DAYS;
        let now = FIRST_DAY + days * NANOS_PER_DAY - NANOS_PER_DAY / 2;
        self.now.store(now, Ordering::SeqCst);
        clock.set_unix(now);
    }

    /// Merges some neighbours of each partition that has any.
    async fn merge_some(&mut self, store: &Store) {
        let view = store.core().view.read().clone();
        for partition in view.partitions.values() {
            let files = partition.files.len();
            if files < 2 {
                continue;
            }
            let random = &mut self.generator.random;
            let merged = partition.files.iter().rposition(|file| file.id.is_merged());
            let (begin, end) = match merged {
                // Of a generation more than the last of its parts.
                Some(last) if last > 0 && random.bool() => (random.usize(..last), last + 1),
                _ => {
                    let begin = random.usize(..files - 1);
                    (begin, random.usize(begin + 2..=files))
                }
            };
            let (core, merged) = (store.core().clone(), partition.clone());
            let merge = move || merge_some(&core, &merged, begin..end);
            match tokio::task::spawn_blocking(merge).await.unwrap() {
                Ok(()) => self.merged = true,
                // It was dropped meanwhile.
                Err(error) => {
                    let view = store.core().view.read().clone();
                    assert!(!view.partitions.contains_key(&partition.key), "{error}");
                }
            }
        }
        for partition in store.core().view.read().partitions.values() {
            let most = self.generations.entry(partition.key.signal).or_default();
            let generations = partition.files.iter().map(|file| file.id.generation);
            *most = generations.chain([*most]).max().unwrap_or_default();
        }
    }

    /// Writes one row of each signal to a file of its own, several times.
    async fn trickle(&mut self, store: &Store) {
        for _ in 0..TRICKLES {
            for signal in Signal::ALL {
                let wanted = Wanted {
                    signal,
                    rows: 1,
                    days: vec![self.first_day],
                    format: Format::Otlp,
                    stamp: None,
                    now_unix_nano: self.now.load(Ordering::SeqCst),
                    padding: 0,
                };
                let item = self.model.add(&mut self.generator, wanted);
                if self.send(store, &item.batch).await {
                    let event = self.next_event();
                    self.model.acknowledge(item.number, event);
                }
            }
            store.flush().await;
        }
    }

    /// Sends items at once, and one of all again; in a burst behind a flush, so that they wait for
    /// each other.
    async fn write(&mut self, store: &Store, count: usize, burst: bool) {
        let padding = if burst { SEGMENT_BYTES / 2 } else { 0 };
        let group = self.items(count, padding);
        let flush = async {
            if burst {
                store.flush().await;
            }
        };
        let writes = group.iter().map(|item| async {
            let stored = self.send(store, &item.batch).await;
            stored.then(|| self.next_event())
        });
        // Polled in this order, and so sent.
        let (_, events) = join(flush, join_all(writes)).await;
        for (item, event) in group.iter().zip(events) {
            if let Some(event) = event {
                self.model.acknowledge(item.number, event);
            }
        }
    }

    /// Sends items one after the other, and one of all again.
    async fn write_in_turn(&mut self, store: &Store, count: usize) {
        for item in self.items(count, 0) {
            if self.send(store, &item.batch).await {
                let event = self.next_event();
                self.model.acknowledge(item.number, event);
            }
        }
    }

    /// Items of at least so many bytes, and one of all again.
    fn items(&mut self, count: usize, least: usize) -> Vec<Arc<Item>> {
        let mut group: Vec<Arc<Item>> = (0..count).map(|_| self.item(least)).collect();
        let now = self.now.load(Ordering::SeqCst);
        let items = self.model.items.iter();
        let known: Vec<_> = items.filter(|item| item.is_known_at(now)).collect();
        group.push(known[self.generator.random.usize(..known.len())].clone());
        group
    }

    /// Sends a batch as often as it takes, and says whether it was acknowledged.
    async fn send(&self, store: &Store, batch: &Batch) -> bool {
        for _ in 0..TRIES {
            match store.write(batch.clone()).await {
                Ok(_) => return true,
                Err(error) if !self.faulty => panic!("{error}"),
                Err(WriteError::Retry { .. }) => store.flush().await,
                Err(WriteError::Closed) => return false,
                Err(error) => panic!("{error}"),
            }
            if store.failure().get().is_some() {
                return false;
            }
        }
        panic!("a batch is refused for ever")
    }

    /// Sends everything again, as senders do that know nothing of it.
    pub(super) async fn send_rest(&mut self, store: &Store) {
        let now = self.now.load(Ordering::SeqCst);
        for item in self.model.items.clone() {
            if item.is_known_at(now) && self.send(store, &item.batch).await {
                let event = self.next_event();
                self.model.acknowledge(item.number, event);
            }
        }
    }

    /// An item of at least so many bytes.
    fn item(&mut self, least: usize) -> Arc<Item> {
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
        let formats = [Format::Otlp, Format::RemoteWrite1, Format::RemoteWrite2];
        let format = match signal {
            Signal::Metrics => formats[random.usize(..3)],
            _ => Format::Otlp,
        };
        let (day, both, padded) = (self.first_day, random.u8(..4) == 0, random.u8(..4) == 0);
        let wanted = Wanted {
            signal,
            rows: random.usize(1..7),
            days: if both { vec![day, day + 1] } else { vec![day] },
            format,
            padding: match least {
                0 if padded => random.usize(..self.padding),
                _ => least,
            },
            stamp,
            now_unix_nano: self.now.load(Ordering::SeqCst),
        };
        self.model.add(&mut self.generator, wanted)
    }
}
