//! Pages: every row once, whatever the number of rows of one time, and across flushes.

use std::collections::BTreeMap;

use model::{LogRecord, Signal, Span, SpanId, TraceId};
use tempfile::tempdir;

use crate::Store;
use crate::digest;
use crate::filter::Filter;
use crate::message::{Columns, Order, Place, Reply, Request};
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
