//! What retention drops, what it spares, and that neither readers nor crashes notice halves.

use std::path::PathBuf;

use env::RealFiles;
use model::{LogRecord, Span};
use tempfile::{TempDir, tempdir};
use testkit::ManualClock;

use super::*;
use crate::filter::Filter;
use crate::layout::BlockTable;
use crate::message::Columns;
use crate::table::Table;
use crate::testing::*;
use crate::{Options, Store};

const HOUR: u64 = 3_600 * model::time::NANOS_PER_SECOND;
/// Between the two days on which generated rows lie.
const MIDNIGHT: u64 = BASE + 2 * HOUR;
const HOURS: Duration = Duration::from_secs(3_600);

struct Fixture {
    dir: TempDir,
    clock: Arc<ManualClock>,
    store: Store,
    spans: Vec<Span>,
    logs: Vec<LogRecord>,
}

fn open_at(dir: &Path, retention: Retention) -> (Store, Arc<ManualClock>) {
    let (env, clock) = testkit::env(7, Arc::new(RealFiles));
    clock.set_unix(MIDNIGHT + 20 * HOUR);
    let options = Options {
        block_rows: 64,
        retention,
        ..Options::default()
    };
    (
        Store::open(env, dir, options, Arc::new(TestDecoder)).unwrap(),
        clock,
    )
}

impl Fixture {
    async fn new(retention: Retention) -> Self {
        let dir = tempdir().unwrap();
        let (store, clock) = open_at(dir.path(), retention);
        let mut generator = Generator::new(21);
        let spans: Vec<_> = (0..200).map(|_| generator.span()).collect();
        let logs: Vec<_> = (0..200).map(|_| generator.log()).collect();
        write(&store, Signal::Traces, &spans).await.unwrap();
        write(&store, Signal::Logs, &logs).await.unwrap();
        store.flush().await;
        Self {
            dir,
            clock,
            store,
            spans,
            logs,
        }
    }

    /// Closes the store and opens it with other settings.
    fn reopen(self, retention: Retention) -> Self {
        let Self {
            dir,
            store,
            spans,
            logs,
            ..
        } = self;
        drop(store);
        let (store, clock) = open_at(dir.path(), retention);
        Self {
            dir,
            clock,
            store,
            spans,
            logs,
        }
    }

    fn folder(&self, signal: Signal, day: &str) -> PathBuf {
        self.dir
            .path()
            .join("store/default")
            .join(signal.name())
            .join(day)
    }

    fn second_day_spans(&self) -> Vec<Span> {
        self.spans
            .iter()
            .filter(|span| span.start_unix_nano >= MIDNIGHT)
            .cloned()
            .collect()
    }

    async fn has(&self, sent_spans: Vec<Span>, sent_logs: Vec<LogRecord>) {
        let found = spans(&self.store, selection(Signal::Traces, Filter::All)).await;
        assert_eq!(found.len(), sent_spans.len());
        assert!(plain_spans(found) == plain_spans(sent_spans));
        let found = logs(&self.store, selection(Signal::Logs, Filter::All)).await;
        assert_eq!(found.len(), sent_logs.len());
        assert!(plain_logs(found) == plain_logs(sent_logs));
    }

    fn metric(&self, name: &str, reason: &str) -> f64 {
        let name = format!("throughline_storage_{name}");
        let label = [("reason".to_owned(), reason.to_owned())];
        let all = self.store.metrics();
        let one = all
            .iter()
            .find(|(n, labels, _)| *n == name && (reason.is_empty() || labels.as_slice() == label));
        one.unwrap_or_else(|| panic!("no metric {name} {reason}")).2
    }
}

fn for_traces(policy: Policy) -> Retention {
    let all = Policies {
        traces: policy,
        ..Policies::default()
    };
    Retention {
        all,
        ..Retention::default()
    }
}

#[tokio::test]
async fn age_drops_days_whose_newest_row_is_older() {
    let retention = for_traces(Policy {
        age: Some(30 * HOURS),
        bytes: None,
    });
    let this = Fixture::new(retention.clone()).await;
    this.has(this.spans.clone(), this.logs.clone()).await;
    // Now the first day is over for 31 hours, and the second's newest row is younger than 30.
    this.clock.advance(11 * HOUR);
    this.store.maintain().await;
    let kept = this.second_day_spans();
    let dropped = this.spans.len() - kept.len();
    assert!(dropped > 0 && !kept.is_empty());
    this.has(kept.clone(), this.logs.clone()).await;
    assert_eq!(this.metric("dropped_partitions_total", "age"), 1.0);
    assert_eq!(this.metric("dropped_rows_total", "age"), dropped as f64);
    assert_eq!(this.metric("dropped_partitions_total", "bytes"), 0.0);
    assert!(!this.folder(Signal::Traces, "2026-01-01").exists());
    assert!(!this.folder(Signal::Traces, "2026-01-01.dropped").exists());
    // Neither files nor the WAL bring the rows back.
    let this = this.reopen(retention);
    this.has(kept, this.logs.clone()).await;
    // Whatever is flushed is looked at as well.
    write(&this.store, Signal::Traces, &this.spans[..50])
        .await
        .unwrap();
    this.clock.advance(100 * HOUR);
    this.store.flush().await;
    this.has(Vec::new(), this.logs.clone()).await;
}

#[tokio::test]
async fn a_clock_that_is_far_ahead_is_gone_by_after_an_hour() {
    let retention = for_traces(Policy {
        age: Some(30 * HOURS),
        bytes: None,
    });
    let right = MIDNIGHT + 20 * HOUR;
    let ahead = right + 100_000 * HOUR;
    let this = Fixture::new(retention.clone()).await;
    this.clock.set_unix(ahead);
    for _ in 0..59 {
        this.store.maintain().await;
        this.clock.advance(HOUR / 60);
    }
    this.has(this.spans.clone(), this.logs.clone()).await;
    this.clock.set_unix(right);
    this.store.maintain().await;
    this.clock.advance(HOUR);
    this.store.maintain().await;
    this.has(this.spans.clone(), this.logs.clone()).await;
    // A store that begins with such a clock, and it is left like this.
    let Fixture { dir, store, .. } = this;
    drop(store);
    let (env, clock) = testkit::env(7, Arc::new(RealFiles));
    clock.set_unix(ahead);
    let options = Options {
        retention,
        ..Options::default()
    };
    let store = Store::open(env, dir.path(), options, Arc::new(TestDecoder)).unwrap();
    let days = || oldest_first(store.core(), |key| key.signal == Signal::Traces).len();
    store.maintain().await;
    clock.advance(HOUR - 1);
    store.maintain().await;
    assert_eq!(days(), 2);
    clock.advance(1);
    store.maintain().await;
    assert_eq!(days(), 0);
}

#[tokio::test]
async fn bytes_drop_the_oldest_days_of_that_signal_alone() {
    let this = Fixture::new(Retention::default()).await;
    let total: u64 = {
        let core = this.store.core();
        oldest_first(core, |key| key.signal == Signal::Traces)
            .iter()
            .map(|partition| bytes_of(core, partition))
            .sum()
    };
    let bytes = |most| {
        for_traces(Policy {
            age: None,
            bytes: Some(most),
        })
    };
    let this = this.reopen(bytes(total));
    this.store.maintain().await;
    this.has(this.spans.clone(), this.logs.clone()).await;
    let this = this.reopen(bytes(total - 1));
    this.store.maintain().await;
    this.has(this.second_day_spans(), this.logs.clone()).await;
    assert_eq!(this.metric("dropped_partitions_total", "bytes"), 1.0);
    let this = this.reopen(bytes(0));
    this.store.maintain().await;
    this.has(Vec::new(), this.logs.clone()).await;
}

/// Keeps the reserve, and removes what nobody reads any more.
fn reserve(core: &crate::store::Core, space: Space) {
    by_reserve(core, space, core.removals.waiting_bytes());
    core.removals.sweep(core);
}

#[tokio::test]
async fn the_reserve_drops_no_more_than_it_needs_and_never_today() {
    let retention = Retention {
        reserve_bytes: 1_000,
        ..Retention::default()
    };
    let this = Fixture::new(retention.clone()).await;
    let core = this.store.core().clone();
    let space = |free_bytes, total_bytes| Space {
        free_bytes,
        total_bytes,
    };
    reserve(&core, space(1_000, 1_000_000));
    // A tenth of a small disk is less than the reserve.
    reserve(&core, space(10, 100));
    this.has(this.spans.clone(), this.logs.clone()).await;
    reserve(&core, space(999, 1_000_000));
    this.has(this.second_day_spans(), this.logs.clone()).await;
    assert_eq!(this.metric("dropped_partitions_total", "disk_reserve"), 1.0);
    reserve(&core, space(0, 1_000_000));
    reserve(&core, space(0, 1_000_000));
    let kept_logs: Vec<_> = this
        .logs
        .iter()
        .filter(|log| {
            let sent = log.time_unix_nano;
            (if sent == 0 {
                log.observed_time_unix_nano
            } else {
                sent
            }) >= MIDNIGHT
        })
        .cloned()
        .collect();
    this.has(this.second_day_spans(), kept_logs.clone()).await;
    // Rows for a dropped day make a new partition, which can be dropped again although the
    // folder of the first could not be removed then.
    write(&this.store, Signal::Traces, &this.spans)
        .await
        .unwrap();
    this.store.flush().await;
    let mut twice = this.spans.clone();
    twice.extend(this.second_day_spans());
    this.has(twice, kept_logs.clone()).await;
    let left_over = this.folder(Signal::Traces, "2026-01-01.dropped");
    std::fs::create_dir(&left_over).unwrap();
    std::fs::write(left_over.join("0000000000000001.blocks"), "x").unwrap();
    reserve(&core, space(999, 1_000_000));
    assert!(!left_over.exists());
    drop(core);
    let this = this.reopen(Retention::default());
    let kept = [this.second_day_spans(), this.second_day_spans()].concat();
    this.has(kept, kept_logs).await;
}

#[tokio::test]
async fn what_queries_hold_of_dropped_days_counts_as_room() {
    let this = Fixture::new(Retention {
        reserve_bytes: 1_000,
        ..Retention::default()
    })
    .await;
    let core = this.store.core().clone();
    let query = core.view.read().clone();
    let space = Space {
        free_bytes: 999,
        total_bytes: 1_000_000,
    };
    for _ in 0..3 {
        reserve(&core, space);
    }
    assert_eq!(this.metric("dropped_partitions_total", "disk_reserve"), 1.0);
    let days = oldest_first(&core, |key| key.signal == Signal::Logs).len();
    assert_eq!(days, 2, "one day of one signal is room enough");
    let held = core.removals.waiting_bytes();
    assert!(held > 0);
    let dropped = this.folder(Signal::Traces, "2026-01-01.dropped");
    let index = std::fs::read_dir(dropped.join("index")).unwrap();
    let files = std::fs::read_dir(&dropped).unwrap();
    let on_disk: u64 = files
        .chain(index)
        .map(|entry| entry.unwrap().metadata().unwrap())
        .filter(|entry| entry.is_file())
        .map(|entry| entry.len())
        .sum();
    assert_eq!(held, on_disk);
    // Once it is gone it is free, or others have taken it.
    drop(query);
    core.removals.sweep(&core);
    assert_eq!(core.removals.waiting_bytes(), 0);
    reserve(&core, space);
    assert_eq!(this.metric("dropped_partitions_total", "disk_reserve"), 2.0);
}

#[tokio::test]
async fn days_whose_files_a_snapshot_has_too_are_no_room() {
    let this = Fixture::new(Retention {
        reserve_bytes: 1_000,
        ..Retention::default()
    })
    .await;
    let core = this.store.core().clone();
    let snapshots = tempdir().unwrap();
    let snapshot = snapshots.path().join("monday");
    this.store.snapshot(&snapshot).await.unwrap();
    let space = Space {
        free_bytes: 0,
        total_bytes: 1_000_000,
    };
    for _ in 0..3 {
        reserve(&core, space);
    }
    this.has(this.spans.clone(), this.logs.clone()).await;
    assert_eq!(this.metric("dropped_partitions_total", "disk_reserve"), 0.0);
    // What came to a day since is its own.
    write(&this.store, Signal::Traces, &this.spans)
        .await
        .unwrap();
    this.store.flush().await;
    for _ in 0..3 {
        reserve(&core, space);
    }
    assert_eq!(this.metric("dropped_partitions_total", "disk_reserve"), 1.0);
    let kept = [this.second_day_spans(), this.second_day_spans()].concat();
    this.has(kept, this.logs.clone()).await;
    std::fs::remove_dir_all(snapshot).unwrap();
    reserve(&core, space);
    assert_eq!(this.metric("dropped_partitions_total", "disk_reserve"), 2.0);
}

#[tokio::test]
async fn a_folder_half_removed_by_a_crash_is_not_a_partition() {
    let this = Fixture::new(Retention::default()).await;
    let (day, dropped) = (
        "2026-01-01",
        this.folder(Signal::Traces, "2026-01-01.dropped"),
    );
    let stranger = this.folder(Signal::Traces, "notes.dropped");
    let Fixture {
        dir,
        store,
        spans,
        logs,
        clock,
    } = this;
    drop(store);
    std::fs::rename(dropped.with_file_name(day), &dropped).unwrap();
    std::fs::remove_file(dropped.join("0000000000000001.ids")).unwrap();
    std::fs::create_dir(&stranger).unwrap();
    let (store, _) = open_at(dir.path(), Retention::default());
    let this = Fixture {
        dir,
        store,
        spans,
        logs,
        clock,
    };
    this.has(this.second_day_spans(), this.logs.clone()).await;
    assert!(!dropped.exists());
    assert!(stranger.exists(), "what is not ours is left alone");
    assert_eq!(this.metric("damaged_files_total", ""), 0.0);
}

#[tokio::test]
async fn queries_under_way_keep_what_they_began_with() {
    let this = Fixture::new(Retention {
        reserve_bytes: 1_000,
        ..Retention::default()
    })
    .await;
    let core = this.store.core();
    let view = core.view.read().clone();
    reserve(
        core,
        Space {
            free_bytes: 0,
            total_bytes: 1_000_000,
        },
    );
    assert!(core.view.read().partitions.len() < view.partitions.len());
    let mut found = Vec::new();
    for partition in view
        .partitions
        .values()
        .filter(|p| p.key.signal == Signal::Traces)
    {
        let term = crate::terms::truncated(12_345);
        let index = partition.index.as_ref().unwrap().get().unwrap().unwrap();
        index.lookup(term).unwrap();
        for file in &partition.files {
            let file = file.open().unwrap();
            for ordinal in 0..file.blocks.len() {
                let table =
                    BlockTable::open(Signal::Traces, file.block(ordinal), Arc::default()).unwrap();
                let rows: Vec<usize> = (0..file.blocks[ordinal].rows as usize).collect();
                found.extend(Table::spans(&table, &rows, Columns::Full).unwrap());
            }
        }
    }
    assert!(plain_spans(found) == plain_spans(this.spans.clone()));
}

#[tokio::test]
async fn a_folder_that_cannot_be_renamed_stays_in_answers() {
    let this = Fixture::new(Retention {
        reserve_bytes: 1_000,
        ..Retention::default()
    })
    .await;
    std::fs::write(
        this.folder(Signal::Traces, "2026-01-01.dropped"),
        "in the way",
    )
    .unwrap();
    reserve(
        this.store.core(),
        Space {
            free_bytes: 0,
            total_bytes: 1_000_000,
        },
    );
    this.has(this.spans.clone(), this.logs.clone()).await;
    assert_eq!(this.metric("retention_errors_total", ""), 1.0);
    assert_eq!(this.metric("dropped_rows_total", "disk_reserve"), 0.0);
}

#[tokio::test]
async fn a_tenant_has_an_age_and_bytes_of_its_own() {
    let tenant = |name: &str| Tenant::new(name).unwrap();
    let age = |hours| Policies {
        logs: Policy {
            age: Some(hours * HOURS),
            bytes: None,
        },
        ..Policies::default()
    };
    let small = Policies {
        logs: Policy {
            age: None,
            bytes: Some(0),
        },
        ..Policies::default()
    };
    let retention = Retention {
        all: age(100),
        tenants: [
            (tenant("brief"), age(30)),
            (tenant("long"), age(1_000)),
            (tenant("small"), small),
        ]
        .into(),
        reserve_bytes: 0,
    };
    let dir = tempdir().unwrap();
    let (store, clock) = open_at(dir.path(), retention);
    let logs: Vec<_> = {
        let mut generator = Generator::new(22);
        let dated = |log: LogRecord| LogRecord {
            time_unix_nano: BASE,
            ..log
        };
        (0..20).map(|_| dated(generator.log())).collect()
    };
    let names = ["brief", "long", "other", "small"];
    for name in names {
        let batch = crate::write::Batch {
            tenant: tenant(name),
            signal: Signal::Logs,
            request: postcard::to_stdvec(&logs).unwrap().into(),
            stamp: None,
            format: model::Format::Otlp,
        };
        store.write(batch).await.unwrap();
    }
    store.flush().await;
    let kept = || {
        let view = store.core().view.read().clone();
        let kept = view.partitions.keys().map(|key| key.tenant.to_string());
        kept.collect::<Vec<_>>()
    };
    // What was flushed is looked at already.
    assert_eq!(kept(), ["brief", "long", "other"]);
    for (hours, left) in [(20, &["long", "other"][..]), (80, &["long"]), (900, &[])] {
        clock.advance(hours * HOUR);
        store.maintain().await;
        assert_eq!(kept(), left, "{hours} hours later");
    }
}

#[tokio::test]
async fn an_answer_that_is_streamed_goes_on_while_its_partition_is_dropped() {
    use futures::StreamExt;

    use crate::message::{Limits, Order, Reply, Request};
    use crate::read::Read;

    let retention = Retention {
        reserve_bytes: 1_000,
        ..Retention::default()
    };
    let this = Fixture::new(retention).await;
    let request = Request::Rows {
        selection: selection(Signal::Traces, Filter::All),
        order: Order::Oldest,
        limit: 1_000_000,
        traces: None,
        after: None,
        columns: Columns::Full,
    };
    let mut answer = this.store.execute(request, Limits::default());
    let mut found = Vec::new();
    let mut dropped = false;
    while let Some(reply) = answer.next().await {
        if let Reply::Spans(spans) = reply.unwrap() {
            found.extend(spans);
        }
        if !dropped {
            let none = Space {
                free_bytes: 0,
                total_bytes: 1_000_000,
            };
            reserve(this.store.core(), none);
            assert!(!this.folder(Signal::Traces, "2026-01-01").exists());
            dropped = true;
        }
    }
    assert!(plain_spans(found) == plain_spans(this.spans.clone()));
}
