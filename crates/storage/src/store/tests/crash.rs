//! A kill and a power cut at every call that changes the disk.
//!
//! One run of a workload is watched: before each such call the files are forked, with what was
//! acknowledged until then. Each fork is a disk that a crash could leave behind: as it is, for the
//! end of the process alone, and with what was not synced gone in part or in whole, for the end of
//! the machine. On each a store is opened, held to the model, sent again what an agent would send
//! again, and used further.

mod damage;
mod driver;
mod faults;
mod lies;
mod model;
mod workload;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::model::Signal;
use env::Files;
use testkit::{Loss, MemoryFiles};

use self::model::Model;
use self::workload::{Moment, Run, Workload, dir};
use super::{counted, merge};
use crate::Store;
use crate::folder::FolderError;
use crate::testing::TestDecoder;
use crate::verify::{Finding, Severity, verify};
use crate::write::WriteError;

/// Which of the disks that a run could leave behind are tried.
struct Plan {
    /// Seed of the workload and of what a power cut takes.
    seed: u64,
    /// Power cuts of each moment that take something at random.
    random_losses: u64,
    /// Every n-th call is tried; the others are passed over, by turns.
    every: usize,
    /// Every n-th disk is used further after it was opened.
    go_on_every: usize,
    /// Whether it takes so long that somebody may want to know how far it is.
    is_long: bool,
}

/// How often a long run says how far it is.
const SAID_EVERY: Duration = Duration::from_secs(10);

async fn try_all(workload: &Workload, plan: &Plan) {
    let run = Run::record(workload, plan.seed, plan.every).await;
    try_all_of(run, plan).await;
}

async fn try_all_of(mut run: Run, plan: &Plan) {
    let mut tried = HashSet::new();
    let mut count = 0_usize;
    let begun = Instant::now();
    let mut said = begun;
    // What was tried is let go: a disk takes about a megabyte.
    let moments = std::mem::take(&mut run.moments);
    let (run, moments_max) = (&run, moments.len());
    let say = |index: usize, count: usize| {
        if plan.is_long {
            let seconds = begun.elapsed().as_secs();
            let seed = plan.seed;
            eprintln!("seed {seed}: {index} of {moments_max} moments, {count} disks, {seconds} s");
        }
    };
    for (index, moment) in moments.into_iter().enumerate() {
        if said.elapsed() >= SAID_EVERY {
            say(index, count);
            said = Instant::now();
        }
        let random =
            (0..plan.random_losses).map(|n| Loss::Random(plan.seed ^ (index as u64) << 8 ^ n));
        for loss in [Loss::Nothing, Loss::All].into_iter().chain(random) {
            let files = moment.files.fork();
            files.power_cut(loss);
            // Most calls do not change what a power cut leaves.
            if !tried.insert((files.digest(), moment.event)) {
                continue;
            }
            let when = format!(
                "seed {}, {loss:?} {} (moment {index})",
                plan.seed, moment.what
            );
            let go_on = count.is_multiple_of(plan.go_on_every);
            count += 1;
            Trial {
                run,
                moment: &moment,
                files,
                loss,
                when: &when,
            }
            .check(go_on)
            .await;
        }
        let when = format!("seed {}, {}", plan.seed, moment.what);
        lose_checkpoint(run, &moment, moment.files.fork(), &when).await;
        fail_after_a_start(run, &moment, &when).await;
    }
    say(moments_max, count);
    assert!(count > 20, "{count} disks of {moments_max} moments");
}

/// The file of the checkpoint is damaged as a whole, at any moment: the spare one will do.
async fn lose_checkpoint(run: &Run, moment: &Moment, files: MemoryFiles, when: &str) {
    let path = workload::dir().join("store/CHECKPOINT");
    if files.stat(&path).unwrap().is_none() {
        return;
    }
    files.create(&path).unwrap().write_at(b"{}", 0).unwrap();
    let store = run.open(&files, moment.clock);
    let when = format!("{when}, without a checkpoint");
    run.model.check(&store, moment.event, &when).await;
    assert_eq!(counted(&store, "damaged_files_total"), 1.0, "{when}");
}

/// The process is killed and starts again, and then the power goes, or the file of the checkpoint
/// is damaged, before anything more is written: what the start relied on must last.
async fn fail_after_a_start(run: &Run, moment: &Moment, when: &str) {
    let when = format!("{when}, started again");
    let files = moment.files.fork();
    drop(run.open(&files, moment.clock));
    lose_checkpoint(run, moment, files.fork(), &when).await;
    files.power_cut(Loss::All);
    let store = run.open(&files, moment.clock);
    let when = format!("{when}, after a power cut");
    run.model.check(&store, moment.event, &when).await;
}

/// A disk that a crash left behind.
struct Trial<'a> {
    run: &'a Run,
    moment: &'a Moment,
    files: MemoryFiles,
    loss: Loss,
    when: &'a str,
}

impl Trial<'_> {
    fn open(&self) -> Store {
        self.run.open(&self.files, self.moment.clock)
    }

    async fn check(&self, go_on: bool) {
        if go_on {
            self.verify("as it was left");
        }
        let store = self.open();
        let mut model = self.run.model.clone();
        let all = self.hold(&model, &store, "").await;
        model
            .check_search(&store, &all, self.any_item(0), self.when)
            .await;
        if self.send_again(&store, &mut model).await {
            self.hold(&model, &store, ", sent again").await;
        }
        self.check_counters(&store);
        if !go_on {
            return;
        }
        store.flush().await;
        let all = self.hold(&model, &store, ", flushed").await;
        for turn in 0..6 {
            model
                .check_search(&store, &all, self.any_item(turn), self.when)
                .await;
        }
        self.check_counters(&store);
        merge(&store).await;
        let all = self.hold(&model, &store, ", merged").await;
        for turn in 6..9 {
            model
                .check_search(&store, &all, self.any_item(turn), self.when)
                .await;
        }
        self.check_counters(&store);
        // Killed once more, and stopped once in order.
        drop(store);
        let store = self.open();
        self.hold(&model, &store, ", opened again").await;
        store.shutdown().await;
        drop(store);
        let store = self.open();
        self.hold(&model, &store, ", opened after a stop").await;
        self.check_counters(&store);
        self.verify("in the end");
    }

    async fn hold(&self, model: &Model, store: &Store, then: &str) -> BTreeSet<Vec<u8>> {
        let when = format!("{}{then}", self.when);
        model.check(store, self.moment.event, &when).await
    }

    /// What the tool for it says of the folder. A crash is not damage.
    fn verify(&self, then: &str) {
        let (env, _) = testkit::env(1, Arc::new(self.files.clone()));
        let report = match verify(&env, &dir(), &TestDecoder) {
            // The crash came before there was a store.
            Err(FolderError::NotAFolder { .. }) => return,
            report => report.unwrap(),
        };
        // See `check_counters`.
        let holes = matches!(self.loss, Loss::Random(_));
        let allowed = |finding: &Finding| {
            finding.severity == Severity::Note || holes && finding.file.starts_with("wal/")
        };
        let when = self.when;
        assert!(
            report.findings.iter().all(allowed),
            "{when}, {then}: {report:?}"
        );
    }

    fn any_item(&self, turn: u64) -> usize {
        let pick = self.files.digest().wrapping_mul(turn.wrapping_mul(2) + 1) >> 7;
        usize::try_from(pick).unwrap_or_default() % self.run.model.items.len()
    }

    /// Senders repeat what they do not know to be stored, and may repeat what is. Says whether
    /// anything was new.
    async fn send_again(&self, store: &Store, model: &mut Model) -> bool {
        let mut new = false;
        for item in model.items.clone() {
            if !item.is_known_at(self.moment.clock) {
                continue;
            }
            let known = model.is_acknowledged(item.number, self.moment.event);
            let ack = match store.write(item.batch.clone()).await {
                // The log is full of what is not in files yet.
                Err(WriteError::Retry { .. }) => {
                    store.flush().await;
                    store.write(item.batch.clone()).await
                }
                answer => answer,
            };
            let ack = ack.unwrap();
            assert!(
                ack.duplicate || !known,
                "{}: item {} was acknowledged, and is taken for new",
                self.when,
                item.number
            );
            model.acknowledge(item.number, self.moment.event);
            new |= !ack.duplicate;
        }
        new
    }

    /// A crash is not damage. Where a power cut kept a later part of what was not synced and lost
    /// an earlier one, the log has a hole in which nothing was acknowledged.
    fn check_counters(&self, store: &Store) {
        let mut paths = self.files.paths().into_iter();
        let aside = paths.find(|path| path.to_string_lossy().contains(".quarantined"));
        assert_eq!(aside, None, "{}: set aside", self.when);
        let mut names = vec![
            "wal_malformed_records_total",
            "damaged_files_total",
            "damaged_blocks_total",
            "unreadable_indexes",
            "unreadable_tables",
            "merge_errors_total",
        ];
        if !matches!(self.loss, Loss::Random(_)) {
            names.push("wal_lost_bytes_total");
        }
        for name in names {
            assert_eq!(counted(store, name), 0.0, "{}: {name}", self.when);
        }
    }
}

#[tokio::test]
async fn a_crash_at_any_call_loses_nothing_acknowledged_and_doubles_nothing() {
    let plan = Plan {
        seed: 1,
        random_losses: 1,
        every: 1,
        go_on_every: 9,
        is_long: false,
    };
    try_all(&Workload::small(), &plan).await;
}

#[tokio::test]
async fn a_crash_while_a_request_is_decoded_that_the_log_has_loses_nothing_and_doubles_nothing() {
    let plan = Plan {
        seed: 1,
        random_losses: 1,
        every: 1,
        go_on_every: 9,
        is_long: false,
    };
    try_all(&Workload::ahead(), &plan).await;
}

/// Merges of a run over merged files, at every n-th of their calls.
async fn try_merges(rounds: usize, plan: &Plan) {
    let run = Run::record(&Workload::merging(rounds), plan.seed, plan.every).await;
    for signal in Signal::ALL {
        let generation = run.generations.get(&signal);
        assert!(
            generation.is_some_and(|generation| *generation >= 2),
            "merged files of {signal} are merged again: {:?}",
            run.generations
        );
    }
    try_all_of(run, plan).await;
}

#[tokio::test]
async fn a_crash_while_merged_files_are_merged_again_loses_nothing_and_doubles_nothing() {
    let plan = Plan {
        seed: 1,
        random_losses: 1,
        every: 5,
        go_on_every: 11,
        is_long: false,
    };
    try_merges(2, &plan).await;
}

#[tokio::test]
#[ignore = "crashes at thousands of calls, longer than a suite may take: THROUGHLINE_CRASH_SEEDS=20 cargo test --release -p storage --lib crash -- --ignored"]
async fn a_crash_at_any_call_of_larger_runs_loses_nothing_acknowledged_and_doubles_nothing() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seeds = number("THROUGHLINE_CRASH_SEEDS").unwrap_or(3);
    let first = number("THROUGHLINE_CRASH_SEED").unwrap_or(100);
    for seed in first..first + seeds {
        let plan = Plan {
            seed,
            random_losses: 3,
            // Other calls with each seed: a run of one takes a few minutes.
            every: 13,
            go_on_every: 5,
            is_long: true,
        };
        try_all(&Workload::large(), &plan).await;
        let plan = Plan { every: 3, ..plan };
        try_merges(8, &plan).await;
    }
}
