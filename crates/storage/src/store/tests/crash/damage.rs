//! A flipped bit in any file of a data folder, and a file cut short anywhere: the start is not
//! refused, no answer is wrong, and what is lost is bounded and counted.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use env::Files;
use model::{Format, Signal};
use testkit::MemoryFiles;

use super::super::counted;
use super::SAID_EVERY;
use super::model::{Model, Wanted};
use super::workload::{Run, Workload, options};
use crate::Store;
use crate::points::POINTS_PER_ROW;
use crate::testing::Generator;

/// Counters of which one grows where rows are lost.
const LOSSES: [&str; 5] = [
    "damaged_files_total",
    "damaged_blocks_total",
    "wal_lost_bytes_total",
    "wal_torn_bytes_total",
    "wal_malformed_records_total",
];

/// Which bytes of a file are damaged.
#[derive(Clone, Copy)]
enum Which {
    /// Three.
    Few,
    /// All at both ends, where headers and directories are, and some between.
    Sample,
    /// Every so many-th, beginning with one of them.
    Every { step: usize, first: usize },
}

impl Which {
    /// Of so many bytes; where a part is picked, another one by turns.
    fn of(self, end: usize, turn: usize) -> Vec<usize> {
        let (edge, between) = match self {
            Self::Few => (0, 3),
            Self::Sample => (48, 100),
            Self::Every { step, first } => return (first..end).step_by(step).collect(),
        };
        let step = (end / between).max(1);
        let is_picked =
            |at: &usize| *at < edge || *at + edge >= end && edge > 0 || *at % step == turn % step;
        (0..end).filter(is_picked).collect()
    }
}

/// What is done to a file.
#[derive(Clone, Copy)]
enum Damage {
    Flip,
    Cut,
}

impl Damage {
    /// Does it to the byte at an offset, or to all from there on.
    fn inflict(self, files: &MemoryFiles, path: &Path, at: usize) -> String {
        let path_name = path.display();
        match self {
            Self::Flip => {
                files.flip_bit(path, at, (at % 8) as u8);
                format!("byte {at} of {path_name}")
            }
            Self::Cut => {
                let file = files.open_write(path).unwrap();
                file.set_size(at as u64).unwrap();
                file.sync_data().unwrap();
                format!("{path_name} cut to {at} bytes")
            }
        }
    }
}

/// A data folder of which no byte is damaged yet.
struct Folder {
    run: Run,
    files: MemoryFiles,
    clock: u64,
}

impl Folder {
    async fn new(seed: u64) -> Self {
        // Only what there is in the end is of interest.
        let mut run = Run::record(&Workload::tiny(), seed, usize::MAX).await;
        let last = run.moments.pop().unwrap();
        Self {
            run,
            files: last.files,
            clock: last.clock,
        }
    }

    /// Damages each file at each of these bytes, and tries each such folder.
    async fn damage(&self, damage: Damage, which: Which) {
        let (mut tried, mut lossy) = (0, 0);
        let begun = Instant::now();
        let mut said = begun;
        for path in self.files.paths() {
            let bytes = self.files.read(&path).unwrap();
            // What a file reserves beyond its content is zeroes.
            let end = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            for at in which.of(end, tried) {
                // A log that lost its end must not take new records for old ones.
                let go_on = tried % 10 == 0 || extension(&path) == Some("seg");
                lossy += usize::from(self.try_damage(damage, &path, at, go_on).await);
                tried += 1;
                if said.elapsed() >= SAID_EVERY {
                    let (seconds, path) = (begun.elapsed().as_secs(), path.display());
                    eprintln!("{tried} tried, {lossy} lost rows, {seconds} s, at {path}");
                    said = Instant::now();
                }
            }
        }
        assert!(
            tried > 100 && lossy > 10,
            "{tried} tried, {lossy} lost rows"
        );
    }

    /// Says whether it lost rows.
    async fn try_damage(&self, damage: Damage, path: &Path, at: usize, go_on: bool) -> bool {
        let files = self.files.fork();
        let when = damage.inflict(&files, path, at);
        let store = self.run.open(&files, self.clock);
        let rows = self.run.model.rows();
        let found = Model::found(&store).await;
        let all: BTreeSet<Vec<u8>> = found.iter().cloned().collect();
        assert_eq!(all.len(), found.len(), "{when}: rows are there twice");
        for row in &all {
            assert!(rows.contains_key(row), "{when}: a row that nobody sent");
        }
        let lost: Vec<usize> = rows
            .iter()
            .filter(|(row, _)| !all.contains(**row))
            .map(|(_, item)| *item)
            .collect();
        if let (Damage::Cut, Some("seg")) = (damage, extension(path)) {
            self.check_cut_log(&store, at, &lost, &when);
        } else {
            self.check_loss(&store, path, &lost, &when);
        }
        let mut model = self.run.model.clone();
        model.damaged = true;
        for item in [at, at / 7] {
            model
                .check_search(&store, &all, item % model.items.len(), &when)
                .await;
        }
        if go_on {
            self.go_on(store, &files, &mut model, all, &when).await;
        }
        !lost.is_empty()
    }

    /// Only rows can be lost by damage of a file that alone has them, no more than go with the
    /// damaged part, and that is counted.
    fn check_loss(&self, store: &Store, path: &Path, lost: &[usize], when: &str) {
        if lost.is_empty() {
            return;
        }
        assert!(is_counted(store), "{when}: lost rows are not counted");
        let items: BTreeSet<&usize> = lost.iter().collect();
        match extension(path) {
            Some("seg") => assert_eq!(items.len(), 1, "{when}: more than a record is lost"),
            Some("blocks") => {
                let whole_file = counted(store, "damaged_files_total") > 0.0;
                let of_points = path.components().any(|part| part.as_os_str() == "metrics");
                let points = if of_points { POINTS_PER_ROW } else { 1 };
                let block = options(0).block_rows * points;
                assert!(
                    lost.len() <= block || whole_file,
                    "{when}: more than a block is lost"
                );
            }
            _ => panic!("{when}: {} rows are lost", lost.len()),
        }
    }

    /// A log that is cut loses what came last. One that ends with a record, or with nothing, looks
    /// like one to which no more was written.
    fn check_cut_log(&self, store: &Store, at: usize, lost: &[usize], when: &str) {
        let Some(first) = lost.iter().min() else {
            return;
        };
        for item in *first..self.run.model.items.len() {
            assert!(
                lost.contains(&item),
                "{when}: {item} is not lost, {first} is"
            );
        }
        let whole = store.core().wal_end().offset == at as u64 || at == 0;
        assert!(
            whole || is_counted(store),
            "{when}: lost rows are not counted"
        );
    }

    /// The store takes more, and what there is stays as it is.
    async fn go_on(
        &self,
        store: Store,
        files: &MemoryFiles,
        model: &mut Model,
        mut all: BTreeSet<Vec<u8>>,
        when: &str,
    ) {
        let wanted = Wanted {
            signal: Signal::Logs,
            rows: 7,
            days: vec![0],
            format: Format::Otlp,
            stamp: None,
            now_unix_nano: self.clock,
            padding: 0,
        };
        let item = model.add(&mut Generator::new(9), wanted);
        store.write(item.batch.clone()).await.unwrap();
        // Killed, so that the log alone has it.
        drop(store);
        let store = self.run.open(files, self.clock);
        store.flush().await;
        let rows = model.rows();
        all.extend(
            rows.iter()
                .filter(|(_, of)| **of == item.number)
                .map(|(row, _)| (*row).clone()),
        );
        let mut store = store;
        for turn in ["flushed", "opened again"] {
            let found: BTreeSet<Vec<u8>> = Model::found(&store).await.into_iter().collect();
            assert!(
                found == all,
                "{when}, {turn}: {} rows of {}",
                found.len(),
                all.len()
            );
            model.check_search(&store, &all, item.number, when).await;
            model.check_search(&store, &all, 0, when).await;
            store.shutdown().await;
            drop(store);
            store = self.run.open(files, self.clock);
        }
    }
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(|extension| extension.to_str())
}

/// Whether lost rows are counted.
fn is_counted(store: &Store) -> bool {
    LOSSES.iter().any(|name| counted(store, name) > 0.0)
}

#[tokio::test]
async fn a_flipped_bit_in_any_file_costs_little_and_is_counted() {
    Folder::new(5).await.damage(Damage::Flip, Which::Few).await;
}

#[tokio::test]
async fn a_file_cut_anywhere_costs_little_and_is_counted() {
    Folder::new(5).await.damage(Damage::Cut, Which::Few).await;
}

/// What an operator's patience is: `1` for every byte, `20` for every twentieth, `20+3` for every
/// twentieth from the fourth on.
fn many() -> Which {
    let Ok(every) = std::env::var("THROUGHLINE_EVERY_BYTE") else {
        return Which::Sample;
    };
    let (step, first) = every.split_once('+').unwrap_or((&every, "0"));
    Which::Every {
        step: step.parse().unwrap(),
        first: first.parse().unwrap(),
    }
}

#[tokio::test]
#[ignore = "opens the store thousands of times, longer than a suite may take: [THROUGHLINE_EVERY_BYTE=1 or 20+3] cargo test --release -p storage --lib flipped_bit -- --ignored"]
async fn a_flipped_bit_in_any_region_of_every_file_costs_little_and_is_counted() {
    Folder::new(6).await.damage(Damage::Flip, many()).await;
}

#[tokio::test]
#[ignore = "opens the store thousands of times, longer than a suite may take: [THROUGHLINE_EVERY_BYTE=1 or 20+3] cargo test --release -p storage --lib cut_in_any -- --ignored"]
async fn a_file_cut_in_any_region_costs_little_and_is_counted() {
    Folder::new(6).await.damage(Damage::Cut, many()).await;
}
