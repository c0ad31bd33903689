//! Calls that fail, once and for a while, at every point of a run: senders are asked to come
//! again, reading goes on, and all is well again once the calls succeed.

use std::sync::Arc;

use testkit::{Failure, Fault, FaultFiles, MemoryFiles, Op, Plan};

use super::super::counted;
use super::driver::Driver;
use super::workload::Workload;

/// How many calls change the disk, and how many read, where none fails.
async fn calls(seed: u64) -> (u64, u64) {
    let files = FaultFiles::over(Arc::new(MemoryFiles::new()));
    Driver::new(seed, files.clone())
        .run(&Workload::small())
        .await;
    (files.changes(), files.reads())
}

/// Runs the workload with these faults, then without.
async fn run_with(seed: u64, plan: Plan) {
    let when = format!("seed {seed}, {plan:?}");
    let files = FaultFiles::over(Arc::new(MemoryFiles::new()));
    files.plan(plan);
    let mut driver = Driver::new(seed, files.clone());
    driver.faulty = true;
    driver.run(&Workload::small()).await;
    files.heal();
    let (store, _) = driver.open();
    driver.send_rest(&store).await;
    store.flush().await;
    let event = driver.event.load(std::sync::atomic::Ordering::SeqCst);
    driver.model.check(&store, event, &when).await;
    assert_eq!(counted(&store, "head_bytes"), 0.0, "{when}");
    store.shutdown().await;
    drop(store);
    let (store, _) = driver.open();
    let all = driver.model.check(&store, event, &when).await;
    for item in 0..driver.model.items.len() {
        driver.model.check_search(&store, &all, item, &when).await;
    }
    for name in [
        "unreadable_indexes",
        "unreadable_tables",
        "damaged_files_total",
        "wal_lost_bytes_total",
    ] {
        assert_eq!(counted(&store, name), 0.0, "{when}: {name}");
    }
}

/// Lets calls fail from each of these on: those that change the disk, or all of one kind.
async fn fail_at(seed: u64, op: Option<Op>, skips: impl Iterator<Item = u64>) {
    for skip in skips {
        for (failure, times) in [(Failure::Io, 1), (Failure::StorageFull, 25)] {
            let plan = Plan {
                op,
                path_contains: String::new(),
                skip,
                times,
                fault: Fault::Error(failure),
            };
            run_with(seed, plan).await;
        }
    }
}

#[tokio::test]
async fn calls_that_fail_are_asked_again_and_nothing_is_lost() {
    let (changes, reads) = calls(2).await;
    fail_at(2, None, (3..changes).step_by(changes as usize / 12)).await;
    let skips = (1..reads).step_by(reads as usize / 12);
    fail_at(2, Some(Op::Read), skips).await;
    for skip in [0, 7, 30] {
        let open = Plan {
            skip,
            times: 3,
            ..Plan::always(Op::Open, Failure::TooManyFiles)
        };
        run_with(2, open).await;
    }
}

#[tokio::test]
#[ignore = "runs the whole workload for each of its calls, a sample of which is in the suite: cargo test --release -p storage --lib every_call_may_fail -- --ignored"]
async fn every_call_may_fail_once_and_for_a_while_and_nothing_is_lost() {
    for seed in 2..4 {
        let (changes, reads) = calls(seed).await;
        fail_at(seed, None, 0..changes).await;
        fail_at(seed, Some(Op::Read), 0..reads).await;
    }
}
