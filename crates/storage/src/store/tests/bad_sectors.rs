//! Parts of the disk that do not read: a start is never refused, and what is lost is what lies there.

use std::path::Path;
use std::sync::Arc;

use env::Files;
use model::correlation::CorrelationKeys;
use model::{Signal, Span};
use testkit::{Failure, FaultFiles, MemoryFiles, Op, Plan};

use super::counted;
use crate::filter::Filter;
use crate::message::*;
use crate::testing::*;
use crate::verify::Severity;
use crate::{Options, Store};

/// Where the second of the two days on which generated rows lie begins.
const SECOND_DAY: u64 = BASE + 2 * 3_600 * model::time::NANOS_PER_SECOND;

fn open(files: &Arc<dyn Files>) -> Store {
    let (env, clock) = testkit::env(1, Arc::clone(files));
    clock.set_unix(BASE + model::time::NANOS_PER_DAY);
    let options = Options {
        wal_bytes: 512 << 10,
        background_merges: false,
        ..Options::default()
    };
    Store::open(env, Path::new("/data"), options, Arc::new(TestDecoder)).unwrap()
}

#[tokio::test]
async fn a_sector_of_the_log_costs_the_requests_in_it() {
    let memory = MemoryFiles::new();
    let healthy: Arc<dyn Files> = Arc::new(memory.clone());
    let store = open(&healthy);
    let mut generator = Generator::new(5);
    let mut sent: Vec<Vec<Span>> = Vec::new();
    while counted(&store, "wal_bytes") < 200_000.0 {
        sent.push((0..20).map(|_| generator.span()).collect());
        write(&store, Signal::Traces, sent.last().unwrap())
            .await
            .unwrap();
    }
    drop(store);
    let segments = memory.paths().into_iter();
    let segments: Vec<String> = segments
        .map(|path| path.display().to_string())
        .filter(|path| path.ends_with(".seg"))
        .collect();
    assert!(segments.len() > 2);
    for segment in [&segments[1], segments.last().unwrap()] {
        let memory = memory.fork();
        let faults = FaultFiles::over(Arc::new(memory.clone()));
        faults.lose(segment, 4_096..8_192);
        let failing: Arc<dyn Files> = Arc::new(faults);
        let store = open(&failing);
        let lost_bytes = counted(&store, "wal_lost_bytes_total");
        assert!((4_096.0..30_000.0).contains(&lost_bytes), "{lost_bytes}");
        let found = plain_spans(spans(&store, selection(Signal::Traces, Filter::All)).await);
        let is_there =
            |request: &&Vec<Span>| found.contains(&plain_spans(vec![request[0].clone()])[0]);
        let left: Vec<Span> = sent.iter().filter(is_there).flatten().cloned().collect();
        let lost = sent.len() - left.len() / 20;
        assert!((1..=4).contains(&lost), "{lost} requests");
        assert!(
            found == plain_spans(left.clone()),
            "whole requests, each once"
        );
        // It goes on, and the rows of what reads are in files from then on.
        let more: Vec<Span> = (0..20).map(|_| generator.span()).collect();
        write(&store, Signal::Traces, &more).await.unwrap();
        store.flush().await;
        drop(store);
        let healthy: Arc<dyn Files> = Arc::new(memory);
        let store = open(&healthy);
        let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
        assert!(plain_spans(found) == plain_spans([left, more].concat()));
        assert_eq!(counted(&store, "wal_lost_bytes_total"), 0.0);
    }
}

/// How many spans there are, and by what the answer is cut.
async fn look(store: &Store) -> (usize, Vec<String>) {
    let request = Request::Rows {
        selection: selection(Signal::Traces, Filter::All),
        order: Order::Oldest,
        limit: 10_000,
        traces: None,
        after: None,
        columns: Columns::Full,
    };
    let (replies, summary) = ask(store, request).await.unwrap();
    let rows = replies.iter().map(|reply| match reply {
        Reply::Spans(list) => list.len(),
        other => panic!("{other:?}"),
    });
    let cuts = summary.cuts.into_iter().map(|cut| cut.limit);
    (rows.sum(), cuts.collect())
}

#[tokio::test]
async fn a_folder_that_does_not_list_costs_its_day_which_answers_say() {
    let memory = MemoryFiles::new();
    let faults = FaultFiles::over(Arc::new(memory.clone()));
    let files: Arc<dyn Files> = Arc::new(faults.clone());
    let store = open(&files);
    let mut generator = Generator::new(6);
    let sent: Vec<Span> = (0..200).map(|_| generator.span()).collect();
    write(&store, Signal::Traces, &sent).await.unwrap();
    store.flush().await;
    drop(store);
    let of_day = |name: &str| Path::new("/data/store/default/traces").join(name);
    let (lost, kept) = ("2026-01-01", "2026-01-02");
    assert!(
        [lost, kept]
            .iter()
            .all(|day| memory.list(&of_day(day)).is_ok())
    );
    faults.plan(Plan {
        path_contains: format!("{lost}$"),
        times: 4,
        ..Plan::always(Op::List, Failure::Io)
    });
    let on_kept_day = |span: &&Span| span.start_unix_nano >= SECOND_DAY;
    let mut left = sent.iter().filter(on_kept_day).count();
    assert!((1..sent.len()).contains(&left));
    for _ in 0..3 {
        let store = open(&files);
        assert_eq!(look(&store).await, (left, vec!["damage".to_owned()]));
        assert!(counted(&store, "damaged_files_total") > 0.0);
        let aside = of_day(&format!("{lost}.quarantined-1"));
        assert!(memory.list(&aside).unwrap().len() > 2);
        // Rows for that day go on, beside what is missing.
        let more = &sent[..50];
        write(&store, Signal::Traces, more).await.unwrap();
        store.flush().await;
        left += 50;
        store.maintain().await;
        assert_eq!(look(&store).await, (left, vec!["damage".to_owned()]));
    }
    // So do those who look from outside, at this folder and at one that has yet to be set aside.
    let env = testkit::env(1, Arc::clone(&files)).0;
    faults.plan(Plan {
        path_contains: format!("{kept}$"),
        ..Plan::always(Op::List, Failure::Io)
    });
    let report = crate::verify::verify(&env, Path::new("/data"), &TestDecoder).unwrap();
    let lost_folders = |path: &str| {
        let findings = report.findings.iter();
        let of_path = findings.filter(|f| f.severity == Severity::Loss && f.file.ends_with(path));
        of_path.count()
    };
    assert_eq!(lost_folders(&format!("{lost}.quarantined-1")), 1);
    assert_eq!(lost_folders(kept), 1);
    let all = selection(Signal::Traces, Filter::All);
    let keys = CorrelationKeys::default();
    let dir = Path::new("/data");
    let done =
        crate::export::export(&env, dir, &TestDecoder, &keys, &all, &mut |_| Ok(())).unwrap();
    assert_eq!(done.damaged.len(), 2, "{done:?}");
    faults.heal();
    // Any other reason may be gone the next time, and nothing is changed for it.
    faults.plan(Plan {
        path_contains: format!("{kept}$"),
        times: 1,
        ..Plan::always(Op::List, Failure::TooManyFiles)
    });
    let env = testkit::env(1, Arc::clone(&files)).0;
    let opened = Store::open(
        env,
        Path::new("/data"),
        Options::default(),
        Arc::new(TestDecoder),
    );
    assert!(opened.is_err());
    assert!(
        memory
            .list(&of_day(&format!("{kept}.quarantined-1")))
            .is_err()
    );
}

#[tokio::test]
async fn no_file_that_does_not_read_refuses_the_start_or_hides_what_it_had() {
    let memory = MemoryFiles::new();
    let healthy: Arc<dyn Files> = Arc::new(memory.clone());
    let store = open(&healthy);
    let mut generator = Generator::new(7);
    let mut sent: Vec<Span> = Vec::new();
    for flush in 0..4 {
        let rows: Vec<Span> = (0..100).map(|_| generator.span()).collect();
        write(&store, Signal::Traces, &rows).await.unwrap();
        let logs: Vec<_> = (0..100).map(|_| generator.log()).collect();
        write(&store, Signal::Logs, &logs).await.unwrap();
        let points: Vec<_> = (0..100).map(|_| generator.point()).collect();
        write(&store, Signal::Metrics, &points).await.unwrap();
        sent.extend(rows);
        if flush < 3 {
            store.flush().await;
        }
    }
    drop(store);
    let mut lost = 0;
    for path in memory.paths() {
        let name = path.display().to_string();
        for op in [Op::Read, Op::Open, Op::List] {
            let faults = FaultFiles::over(Arc::new(memory.fork()));
            faults.plan(Plan {
                path_contains: format!("{name}$"),
                ..Plan::always(op, Failure::Io)
            });
            let files: Arc<dyn Files> = Arc::new(faults.clone());
            let env = testkit::env(1, files).0;
            let opened = Store::open(
                env,
                Path::new("/data"),
                Options::default(),
                Arc::new(TestDecoder),
            );
            let store = opened.unwrap_or_else(|error| panic!("{op:?} {name}: {error}"));
            let (found, cuts) = look(&store).await;
            let said = !cuts.is_empty() || counted(&store, "wal_lost_bytes_total") > 0.0;
            assert!(found == sent.len() || said, "{op:?} {name}: {found} spans");
            lost += usize::from(said);
        }
    }
    // Those that have rows of spans, and the log.
    assert!(lost > 8, "{lost}");
}
