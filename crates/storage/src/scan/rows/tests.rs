//! Pages: every row once, whatever the number of rows of one time, and across flushes.

use std::collections::BTreeMap;

use futures::StreamExt;
use model::{LogRecord, Signal, Span, SpanId, TraceId, Value};
use tempfile::tempdir;

use crate::Store;
use crate::digest;
use crate::filter::Filter;
use crate::message::{Columns, Limits, Order, Place, Reply, Request};
use crate::read::{Read, ReadError};
use crate::testing::{ask, open, selection, write};

const TIME: u64 = 1_700_000_000_000_000_000;
const ROWS: u32 = 5_000;
const PAGE: usize = 100;

/// A record of the one time that all share; each fifth is the same as four others.
fn record(number: u32) -> LogRecord {
    let number = if number.is_multiple_of(5) {
        number / 25
    } else {
        number
    };
    LogRecord {
        time_unix_nano: TIME,
        body: format!("record {number}").as_str().into(),
        ..LogRecord::default()
    }
}

fn span(number: u32) -> Span {
    Span {
        trace_id: TraceId(u128::from(number / 3 + 1).to_be_bytes()),
        span_id: SpanId(u64::from(number + 1).to_be_bytes()),
        start_unix_nano: TIME,
        end_unix_nano: TIME + 1,
        ..Span::default()
    }
}

fn counted(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts
}

fn request(signal: Signal, order: Order, traces: Option<usize>, after: Option<Place>) -> Request {
    Request::Rows {
        selection: selection(signal, Filter::All),
        order,
        limit: PAGE,
        traces,
        after,
        columns: Columns::Summary,
    }
}

/// The place after the last of these digests.
fn place_after(digests: &[u64], before: Option<Place>) -> Option<Place> {
    let digest = *digests.last()?;
    let copies = digests.iter().filter(|other| **other == digest).count() as u64;
    let given = before
        .filter(|place| place.digest == digest)
        .map_or(0, |place| place.copies);
    Some(Place {
        time: TIME,
        digest,
        copies: copies + given,
    })
}

async fn log_page(store: &Store, order: Order, after: Option<Place>) -> Vec<LogRecord> {
    let (replies, summary) = ask(store, request(Signal::Logs, order, None, after))
        .await
        .unwrap();
    assert_eq!(summary.cuts, []);
    let lists = replies.into_iter().map(|reply| match reply {
        Reply::Logs(list) => list,
        other => panic!("{other:?}"),
    });
    lists.flatten().collect()
}

#[tokio::test]
async fn log_pages_hold_each_record_once_though_all_share_one_time() {
    for order in [Order::Newest, Order::Oldest] {
        let dir = tempdir().unwrap();
        let store = open(dir.path());
        let rows: Vec<LogRecord> = (0..ROWS).map(record).collect();
        let (first, second) = rows.split_at(rows.len() / 2);
        write(&store, Signal::Logs, first).await.unwrap();
        store.flush().await;
        for batch in second.chunks(700) {
            write(&store, Signal::Logs, batch).await.unwrap();
        }
        let mut found = Vec::new();
        let mut after = None;
        for page in 0.. {
            // A flush moves half of the rows while they are being paged.
            if page == 20 {
                store.flush().await;
            }
            let rows = log_page(&store, order, after).await;
            assert!(rows.len() == PAGE || found.len() + rows.len() == ROWS as usize);
            let digests: Vec<u64> = rows.iter().map(digest::log).collect();
            after = place_after(&digests, after);
            if rows.is_empty() {
                break;
            }
            found.extend(rows);
        }
        let text = |rows: &[LogRecord]| counted(rows.iter().map(|row| row.body.to_text()));
        assert_eq!(text(&found), text(&rows), "{order:?}");
    }
}

#[tokio::test]
async fn span_pages_hold_each_trace_though_all_share_one_time() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let rows: Vec<Span> = (0..ROWS).map(span).collect();
    let (first, second) = rows.split_at(rows.len() / 2);
    write(&store, Signal::Traces, first).await.unwrap();
    store.flush().await;
    write(&store, Signal::Traces, second).await.unwrap();
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let request = request(Signal::Traces, Order::Newest, Some(20), after);
        let (replies, _) = ask(&store, request).await.unwrap();
        let lists = replies.into_iter().map(|reply| match reply {
            Reply::Spans(list) => list,
            other => panic!("{other:?}"),
        });
        let page: Vec<Span> = lists.flatten().collect();
        if page.is_empty() {
            break;
        }
        let digests: Vec<u64> = page.iter().map(digest::span).collect();
        assert!(digests.is_sorted(), "rows of one time come by digest");
        after = place_after(&digests, None);
        found.extend(page);
    }
    let ids = |rows: &[Span]| counted(rows.iter().map(|row| row.span_id.to_string()));
    assert_eq!(ids(&found), ids(&rows));
}

#[tokio::test]
async fn a_page_has_no_more_memory_for_where_it_begins_than_for_its_rows() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    // A list is taken apart as a whole.
    let large = LogRecord {
        time_unix_nano: TIME,
        body: Value::Array(vec![Value::Array(Vec::new()); 1_000_000]),
        ..LogRecord::default()
    };
    write(&store, Signal::Logs, &[large, record(1)])
        .await
        .unwrap();
    store.flush().await;
    for digest in [0, u64::MAX] {
        let place = Place {
            time: TIME,
            digest,
            copies: 1,
        };
        let limits = Limits {
            answer_bytes: 1 << 20,
            ..Limits::default()
        };
        let request = request(Signal::Logs, Order::Newest, None, Some(place));
        let replies: Vec<_> = store.execute(request, limits).collect().await;
        assert!(
            matches!(replies[..], [Err(ReadError::TooLarge(_))]),
            "{replies:?}"
        );
    }
}

#[tokio::test]
async fn rows_that_do_not_read_leave_their_place_on_a_page_to_others() {
    let files = testkit::MemoryFiles::new();
    let start = || {
        let env = testkit::env(1, std::sync::Arc::new(files.clone())).0;
        let options = crate::Options {
            background_merges: false,
            ..crate::Options::default()
        };
        let decoder = std::sync::Arc::new(crate::testing::TestDecoder);
        Store::open(env, std::path::Path::new("/data"), options, decoder).unwrap()
    };
    // A block to be damaged, and as many rows of the same time or the one before, and more of older ones.
    for tied in [true, false] {
        let store = start();
        for (flush, rows) in [(0_u64, 50), (1, 50), (2, 100)] {
            let time = TIME - flush * 1_000 * u64::from(!tied || flush == 2);
            let row = |number: u32| LogRecord {
                time_unix_nano: time,
                body: format!("row {number} of flush {flush}").as_str().into(),
                ..LogRecord::default()
            };
            let rows: Vec<LogRecord> = (0..rows).map(row).collect();
            write(&store, Signal::Logs, &rows).await.unwrap();
            store.flush().await;
        }
        drop(store);
        let is_blocks = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "blocks");
        let blocks = files.paths().into_iter().find(is_blocks).unwrap();
        let bytes = env::Files::read(&files, &blocks).unwrap().len();
        let mut damaged = 0;
        for byte in (0..bytes).step_by(11) {
            files.flip_bit(&blocks, byte, 1);
            let store = start();
            let page = Request::Rows {
                selection: selection(Signal::Logs, Filter::All),
                order: Order::Newest,
                limit: 60,
                traces: None,
                after: None,
                columns: Columns::Full,
            };
            let (replies, summary) = ask(&store, page).await.unwrap();
            let mut texts = std::collections::BTreeSet::new();
            for reply in replies {
                let Reply::Logs(list) = reply else {
                    panic!("{reply:?}")
                };
                texts.extend(list.iter().map(|row| row.body.to_text()));
            }
            assert_eq!(texts.len(), 60, "tied: {tied}, byte {byte}: {summary:?}");
            damaged += usize::from(!summary.cuts.is_empty());
            files.flip_bit(&blocks, byte, 1);
        }
        assert!(damaged > 20, "{damaged}");
        for path in files.paths() {
            env::Files::remove_file(&files, &path).unwrap();
        }
    }
}
