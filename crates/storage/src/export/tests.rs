use env::Env;
use model::{Tenant, TimeRange};
use tempfile::tempdir;

use super::*;
use crate::Options;
use crate::filter::{Field, Filter, Op, Operand};
use crate::testing::*;

fn all(signal: Signal) -> Selection {
    selection(signal, Filter::All)
}

/// The rows of a selection, and how many came at once at most.
fn exported(dir: &Path, selection: &Selection) -> (Vec<Rows>, Exported) {
    let mut parts = Vec::new();
    let mut take = |rows| {
        parts.push(rows);
        Ok(())
    };
    let keys = CorrelationKeys::default();
    let done = export(&Env::real(), dir, &TestDecoder, &keys, selection, &mut take);
    (parts, done.unwrap())
}

fn exported_spans(dir: &Path, selection: &Selection) -> Vec<Span> {
    let spans = exported(dir, selection)
        .0
        .into_iter()
        .map(|rows| match rows {
            Rows::Spans(list) => list,
            other => panic!("{other:?}"),
        });
    spans.flatten().collect()
}

#[tokio::test]
async fn every_row_comes_once_from_files_and_from_the_log() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(12);
    let spans: Vec<_> = (0..2_500).map(|_| generator.span()).collect();
    let logs: Vec<_> = (0..300).map(|_| generator.log()).collect();
    let points: Vec<_> = (0..300).map(|_| generator.point()).collect();
    write(&store, Signal::Traces, &spans[..1_000])
        .await
        .unwrap();
    write(&store, Signal::Logs, &logs[..200]).await.unwrap();
    write(&store, Signal::Metrics, &points[..200])
        .await
        .unwrap();
    store.flush().await;
    write(&store, Signal::Traces, &spans[1_000..])
        .await
        .unwrap();
    write(&store, Signal::Logs, &logs[200..]).await.unwrap();
    write(&store, Signal::Metrics, &points[200..])
        .await
        .unwrap();

    let (parts, done) = exported(dir.path(), &all(Signal::Traces));
    assert_eq!((done.rows, done.damaged), (2_500, Vec::new()));
    let sizes = parts.iter().map(|part| match part {
        Rows::Spans(list) => list.len(),
        other => panic!("{other:?}"),
    });
    assert!(sizes.max().unwrap() <= ROWS_MAX);
    let found = exported_spans(dir.path(), &all(Signal::Traces));
    assert!(plain_spans(found) == plain_spans(spans));
    let found = exported(dir.path(), &all(Signal::Logs)).0.into_iter();
    let found = found.flat_map(|rows| match rows {
        Rows::Logs(list) => list,
        other => panic!("{other:?}"),
    });
    assert!(plain_logs(found.collect()) == plain_logs(logs));
    let found = exported(dir.path(), &all(Signal::Metrics)).0.into_iter();
    let found = found.flat_map(|rows| match rows {
        Rows::Points(list) => list,
        other => panic!("{other:?}"),
    });
    let found = found
        .flat_map(|(series, points)| points.into_iter().map(move |point| (series.clone(), point)));
    assert!(sorted(found.collect::<Vec<_>>()) == sorted(points));
}

#[tokio::test]
async fn a_selection_by_time_and_filter_gives_what_a_query_gives() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(13);
    for _ in 0..2 {
        let spans: Vec<_> = (0..400).map(|_| generator.span()).collect();
        store.flush().await;
        write(&store, Signal::Traces, &spans).await.unwrap();
    }
    let hour = 3_600 * model::time::NANOS_PER_SECOND;
    let selection = Selection {
        range: TimeRange {
            start: BASE + hour,
            end: BASE + 3 * hour,
        },
        ..selection(
            Signal::Traces,
            Filter::Compare {
                field: Field::Service,
                op: Op::Eq,
                value: Operand::Literal("service-2".to_owned()),
            },
        )
    };
    let found = plain_spans(exported_spans(dir.path(), &selection));
    assert!(!found.is_empty());
    assert!(found == plain_spans(spans(&store, selection.clone()).await));
    let other = Selection {
        tenant: Tenant::new("other").unwrap(),
        ..selection
    };
    assert_eq!(exported(dir.path(), &other).1, Exported::default());
}

#[tokio::test]
async fn damage_is_named_and_a_writer_that_fails_ends_it() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(14);
    let logs: Vec<_> = (0..300).map(|_| generator.log()).collect();
    write(&store, Signal::Logs, &logs).await.unwrap();
    store.shutdown().await;
    drop(store);
    let mut calls = 0;
    let mut full = |_| {
        calls += 1;
        Err(io::Error::from(io::ErrorKind::StorageFull))
    };
    let keys = CorrelationKeys::default();
    let env = Env::real();
    let all = all(Signal::Logs);
    let failed = export(&env, dir.path(), &TestDecoder, &keys, &all, &mut full);
    assert!(matches!(failed, Err(FolderError::Output(_))));
    assert_eq!(calls, 1);
    for entry in std::fs::read_dir(dir.path().join("store/default/logs")).unwrap() {
        let path = entry.unwrap().path().join("0000000000000001.blocks");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[100] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let (_, done) = exported(dir.path(), &all);
    assert!(!done.damaged.is_empty() && done.rows < 300, "{done:?}");
    assert!(done.damaged[0].contains("block 0"), "{done:?}");
}

#[tokio::test]
async fn rows_that_are_flushed_and_merged_meanwhile_come_once() {
    let dir = tempdir().unwrap();
    let options = Options {
        block_rows: 64,
        background_merges: false,
        ..Options::default()
    };
    let store = open_with(dir.path(), options);
    let mut generator = Generator::new(15);
    let mut dated = |day: u64| {
        let start_unix_nano = BASE + day * model::time::NANOS_PER_DAY;
        let span = generator.span();
        Span {
            start_unix_nano,
            end_unix_nano: start_unix_nano,
            ..span
        }
    };
    // As many files of the second day as are merged, with that of what is in the log now.
    let mut sent = vec![dated(0)];
    write(&store, Signal::Traces, &sent).await.unwrap();
    for _ in 0..8 {
        store.flush().await;
        sent.push(dated(1));
        let last = &sent[sent.len() - 1..];
        write(&store, Signal::Traces, last).await.unwrap();
    }
    let mut found = Vec::new();
    let mut take = |rows| {
        if found.is_empty() {
            futures::executor::block_on(store.flush());
            crate::store::merger::merge_all(store.core());
            let day = store
                .core()
                .view
                .read()
                .partitions
                .values()
                .next_back()
                .cloned();
            assert_eq!(day.unwrap().files.len(), 1);
        }
        match rows {
            Rows::Spans(list) => found.extend(list),
            other => panic!("{other:?}"),
        }
        Ok(())
    };
    let keys = CorrelationKeys::default();
    let env = Env::real();
    let all = all(Signal::Traces);
    let done = export(&env, dir.path(), &TestDecoder, &keys, &all, &mut take).unwrap();
    assert_eq!((done.rows, done.damaged), (9, Vec::new()));
    assert!(plain_spans(found) == plain_spans(sent));
}
