//! Rows with more keys, or longer ones, than a block can have.

use model::row::Reject;
use model::{KeyValue, LogRecord, Signal, Span, Value};
use tempfile::tempdir;

use super::{Options, Store, counted, merge};
use crate::filter::Filter;
use crate::testing::*;

fn attribute(key: String, value: Value) -> KeyValue {
    KeyValue { key, value }
}

/// So many attributes with keys of their own.
fn keys(prefix: &str, count: usize) -> Vec<KeyValue> {
    let one = |number| attribute(format!("{prefix}.{number}"), Value::Int(1));
    (0..count).map(one).collect()
}

async fn all(store: &Store) -> (Vec<Span>, Vec<LogRecord>) {
    let spans = spans(store, selection(Signal::Traces, Filter::All)).await;
    let logs = logs(store, selection(Signal::Logs, Filter::All)).await;
    (spans, logs)
}

#[tokio::test]
async fn rows_with_more_keys_in_all_than_a_block_can_have_are_cut_into_blocks() {
    let dir = tempdir().unwrap();
    let options = Options {
        background_merges: false,
        ..Options::default()
    };
    let store = open_with(dir.path(), options);
    let mut generator = Generator::new(50);
    let (mut sent_spans, mut sent_logs) = (Vec::new(), Vec::new());
    for flush in 0..2 {
        // Seventy thousand keys in all: more than one block can have columns.
        let of_row = |row: usize| keys(&format!("user.{flush}.{row}"), 100);
        for row in 0..700 {
            let mut log = generator.log();
            log.attributes.extend(of_row(row));
            sent_logs.push(log);
            let mut span = generator.span();
            let events = span.events.iter_mut();
            events.for_each(|event| event.attributes.extend(of_row(row)));
            span.attributes.extend(of_row(row));
            sent_spans.push(span);
        }
        let first = flush * 700;
        write(&store, Signal::Logs, &sent_logs[first..])
            .await
            .unwrap();
        write(&store, Signal::Traces, &sent_spans[first..])
            .await
            .unwrap();
        store.flush().await;
        assert_eq!(counted(&store, "flush_errors_total"), 0.0);
    }
    let expected = (plain_spans(sent_spans), plain_logs(sent_logs));
    for merged in [false, true] {
        if merged {
            merge(&store).await;
            assert_eq!(counted(&store, "merge_errors_total"), 0.0);
        }
        let (spans, logs) = all(&store).await;
        let found = (plain_spans(spans), plain_logs(logs));
        assert!(found == expected, "merged: {merged}");
    }
}

#[tokio::test]
async fn rows_that_no_block_can_hold_are_refused_alone() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(51);
    let mut logs: Vec<LogRecord> = (0..5).map(|_| generator.log()).collect();
    logs[0].attributes = keys("a", 66_000);
    logs[1].attributes = vec![attribute("k".repeat(70_000), Value::Int(1))];
    logs[2].attributes = keys("a", 49_152);
    logs[3].attributes = vec![attribute("k".repeat(32_768), Value::Int(1))];
    // The same key again and again takes one column.
    logs[4].attributes = vec![attribute("same".to_owned(), Value::Bool(true)); 66_000];
    let ack = write(&store, Signal::Logs, &logs).await.unwrap();
    let reasons = [
        (Reject::TooManyAttributes, 1),
        (Reject::LongAttributeKey, 1),
    ];
    assert_eq!((ack.accepted, ack.rejected), (3, reasons.to_vec()));
    let mut spans: Vec<Span> = Vec::new();
    while spans.len() < 3 {
        let span = generator.span();
        if !span.events.is_empty() && !span.links.is_empty() {
            spans.push(span);
        }
    }
    spans[0].events[0].attributes = keys("e", 66_000);
    spans[1].links[0].attributes = vec![attribute("k".repeat(70_000), Value::Int(1))];
    spans[2].events[0].attributes = keys("e", 12_000);
    spans[2].links[0].attributes = keys("l", 12_000);
    let ack = write(&store, Signal::Traces, &spans).await.unwrap();
    assert_eq!((ack.accepted, ack.rejected), (1, reasons.to_vec()));
    store.flush().await;
    assert_eq!(counted(&store, "flush_errors_total"), 0.0);
    let (found_spans, found_logs) = all(&store).await;
    assert!(plain_spans(found_spans) == plain_spans(spans.split_off(2)));
    assert!(plain_logs(found_logs) == plain_logs(logs.split_off(2)));
}
