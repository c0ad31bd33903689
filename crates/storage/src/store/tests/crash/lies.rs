//! Whether the tries of crashes would notice a sync that is missing: without any one of them there is
//! a crash that loses something, or looks like damage.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use testkit::{Failure, Fault, Op};

use super::workload::{Run, Workload};
use super::{Plan, try_all_of};

/// Every kind of file and folder that is synced.
const SYNCS: [(Op, &str); 21] = [
    // Of the folders above all, the data folder has log and files in it.
    (Op::SyncDir, "/$"),
    (Op::SyncDir, "/data$"),
    (Op::SyncData, ".seg"),
    (Op::SyncDir, "/wal$"),
    (Op::SyncData, ".blocks"),
    (Op::SyncData, ".blocks.tmp"),
    (Op::SyncData, ".ids"),
    (Op::SyncData, ".series"),
    (Op::SyncData, ".fields"),
    // Of an index: what tantivy writes, and its list of segments. Its folder is not here: without
    // their names the files are no index, one is begun anew, and answers are the same.
    (Op::SyncData, ".term"),
    (Op::SyncData, ".idx"),
    (Op::SyncData, ".fast"),
    (Op::SyncData, "meta.json"),
    (Op::SyncData, "CHECKPOINT"),
    (Op::SyncDir, "/store$"),
    // A partition, and the folder in which it is made and a dropped one gets another name.
    (Op::SyncDir, "store/default$"),
    (Op::SyncDir, "store/default/logs/2"),
    (Op::SyncDir, "store/default/logs$"),
    (Op::SyncDir, "store/default/traces/2"),
    (Op::SyncDir, "store/default/metrics/2"),
    (Op::SyncDir, "store/default/metrics$"),
];

/// Whether some crash of these runs is not survived where that kind of sync does nothing.
async fn is_missed(op: Op, path: &str) -> bool {
    let lie = testkit::Plan {
        path_contains: path.to_owned(),
        fault: Fault::Lie,
        ..testkit::Plan::always(op, Failure::Io)
    };
    for seed in 1..20 {
        let run = Run::record_with(&Workload::small(), seed, 1, Some(lie.clone())).await;
        let plan = Plan {
            seed,
            random_losses: 2,
            every: 1,
            go_on_every: 9,
            is_long: false,
        };
        let tried = AssertUnwindSafe(try_all_of(run, &plan));
        if tried.catch_unwind().await.is_err() {
            return true;
        }
    }
    false
}

#[tokio::test]
#[ignore = "crashes at hundreds of calls for each kind of sync, longer than a suite may take: cargo test --release -p storage --lib sync_is_missed -- --ignored"]
async fn every_kind_of_sync_is_missed_where_it_does_nothing() {
    let only = std::env::var("THROUGHLINE_CRASH_SYNC").unwrap_or_default();
    let mut unmissed = Vec::new();
    for (op, path) in SYNCS.into_iter().filter(|(_, path)| path.contains(&only)) {
        if !is_missed(op, path).await {
            unmissed.push((op, path));
        }
    }
    assert_eq!(unmissed, [], "no crash tells that these are missing");
}
