//! Rows by group: within the bound of memory all of them, beyond it exact ones and the rest.

use model::{Signal, Value};
use tempfile::tempdir;

use super::Store;
use crate::filter::{Field, Filter};
use crate::message::*;
use crate::testing::*;

fn record(number: u64, body: String) -> model::LogRecord {
    model::LogRecord {
        observed_time_unix_nano: BASE + number,
        body: Value::Str(body),
        ..model::LogRecord::default()
    }
}

/// Log records counted by body, with memory for groups of so many bytes.
async fn by_body(store: &Store, bytes: u64, groups: usize) -> (Counts, Vec<Cut>) {
    use futures::StreamExt;
    let request = Request::Counts {
        selection: selection(Signal::Logs, Filter::All),
        step_nano: Some(1_000),
        by: vec![Field::Body],
        groups,
    };
    let limits = Limits {
        answer_bytes: bytes,
        ..Limits::default()
    };
    let replies: Vec<_> = crate::read::Read::execute(store, request, limits)
        .collect()
        .await;
    let [Ok(Reply::Counts(counts)), Ok(Reply::End(summary))] = &replies[..] else {
        panic!("{replies:?}")
    };
    (counts.clone(), summary.cuts.clone())
}

fn names(cuts: &[Cut]) -> Vec<&str> {
    cuts.iter().map(|cut| &*cut.limit).collect()
}

#[tokio::test]
async fn groups_beyond_the_bound_of_memory_are_counted_together() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let body = |number: u64| match number % 5 {
        0 => "often".to_owned(),
        _ => format!("{number:0>300}"),
    };
    let rows: Vec<_> = (0..5_000).map(|n| record(n, body(n))).collect();
    for part in rows.chunks(500) {
        write(&store, Signal::Logs, part).await.unwrap();
    }
    for _ in ["head", "files"] {
        let (all, cuts) = by_body(&store, 64 << 20, 10_000).await;
        assert_eq!((all.groups.len(), all.other, cuts), (4_001, 0, vec![]));
        for group in &all.groups {
            let expected = if group.key == ["often"] { 1_000 } else { 1 };
            assert_eq!(group.rows(), expected);
        }

        let (some, cuts) = by_body(&store, 64 << 20, 3).await;
        assert_eq!(names(&cuts), ["groups"]);
        assert_eq!(
            cuts[0].hint,
            "3998 more, of at most 1 rows each, are left out; raise the limit"
        );
        assert_eq!((some.groups.len(), some.other), (3, 3_998));

        let (some, cuts) = by_body(&store, 1 << 20, 10_000).await;
        assert_eq!(names(&cuts), ["group_bytes"]);
        let rows: u64 = some.groups.iter().map(CountGroup::rows).sum();
        assert_eq!(rows + some.other, 5_000);
        assert!((500..3_000).contains(&some.groups.len()));
        let often = some.groups.iter().find(|group| group.key == ["often"]);
        assert_eq!(often.map(CountGroup::rows), Some(1_000));
        assert!(some.groups.iter().all(|group| all.groups.contains(group)));
        assert_eq!(store.core().grouping.used(), 0);
        store.flush().await;
    }
}

#[tokio::test]
async fn long_texts_are_groups_of_their_own_and_shown_in_short() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    // They differ in their last letter alone, two are the same.
    let body = |number: u64| format!("{}{}", "ü".repeat(50_000), number % 9);
    let mut rows: Vec<_> = (0..10).map(|n| record(n, body(n))).collect();
    rows.push(record(10, "y".repeat(1_024)));
    write(&store, Signal::Logs, &rows).await.unwrap();
    for _ in ["head", "files"] {
        let (counts, cuts) = by_body(&store, 64 << 20, 100).await;
        assert_eq!(names(&cuts), ["text_bytes"]);
        let mut rows: Vec<u64> = counts.groups.iter().map(CountGroup::rows).collect();
        rows.sort_unstable();
        assert_eq!(rows, [1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
        for group in &counts.groups {
            let text = &group.key[0];
            if text.starts_with('ü') {
                assert!(text.contains("ü... (100001 bytes, digest "), "{text}");
                assert!(text.len() < 1_100);
            } else {
                assert_eq!(*text, "y".repeat(1_024));
            }
        }
        store.flush().await;
    }
}

#[tokio::test]
async fn rows_are_not_grouped_by_more_fields_than_anyone_needs() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let span = model::Span {
        trace_id: model::TraceId([1; 16]),
        start_unix_nano: BASE,
        end_unix_nano: BASE + 1,
        ..model::Span::default()
    };
    write(&store, Signal::Traces, &[span]).await.unwrap();
    for fields in [32, 33] {
        let (selection, by) = (
            selection(Signal::Traces, Filter::All),
            vec![Field::Name; fields],
        );
        let counts = Request::Counts {
            selection: selection.clone(),
            step_nano: None,
            by: by.clone(),
            groups: 1,
        };
        let durations = Request::Durations {
            selection,
            by,
            groups: 1,
        };
        for request in [counts, durations] {
            let problem = ask(&store, request).await.err();
            let problem = problem.map(|error| error.to_string());
            let refusal = "rows are grouped by at most 32 fields, not by 33";
            assert_eq!(problem.as_deref(), (fields == 33).then_some(refusal));
        }
    }
}

#[tokio::test]
async fn names_of_fields_beyond_the_bound_of_memory_are_left_out() {
    use futures::StreamExt;
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let rows: Vec<_> = (0..4_000)
        .map(|number| {
            let mut record = record(number, "x".to_owned());
            let keys = ["often".to_owned(), format!("{number:0>300}")];
            let pairs = keys.map(|key| model::KeyValue::new(key, "value"));
            record.attributes.extend(pairs);
            record
        })
        .collect();
    for part in rows.chunks(500) {
        write(&store, Signal::Logs, part).await.unwrap();
    }
    for _ in ["head", "files"] {
        for (bytes, all, cut) in [
            (64 << 20, true, vec![]),
            (1 << 20, false, vec!["group_bytes"]),
        ] {
            let request = Request::Fields {
                selection: selection(Signal::Logs, Filter::All),
            };
            let limits = Limits {
                answer_bytes: bytes,
                ..Limits::default()
            };
            let replies = crate::read::Read::execute(&store, request, limits);
            let replies: Vec<_> = replies.collect().await;
            let [Ok(Reply::Fields(fields)), Ok(Reply::End(summary))] = &replies[..] else {
                panic!("{replies:?}")
            };
            assert_eq!(names(&summary.cuts), cut);
            // Beside the keys there is the service.
            assert_eq!(fields.len() == 4_002, all, "{}", fields.len());
            let often = Field::Attribute {
                level: crate::filter::Level::Row,
                key: "often".to_owned(),
            };
            let counted = fields.iter().find(|found| found.field == often);
            assert_eq!(counted.map(|found| found.count), Some(4_000));
        }
        assert_eq!(store.core().grouping.used(), 0);
        store.flush().await;
    }
}

#[tokio::test]
async fn a_row_of_several_values_is_counted_by_the_first_wherever_it_lies() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let correlated = |number: u64, list: &[(&str, &str)]| model::LogRecord {
        attributes: list
            .iter()
            .map(|(key, value)| model::KeyValue::new(*key, *value))
            .collect(),
        ..record(number, String::new())
    };
    // The columns of attributes are in another order than those of the second record.
    let rows = [
        correlated(0, &[("request_id", "r-1")]),
        correlated(1, &[("correlation_id", "c-2"), ("request_id", "r-2")]),
        correlated(2, &[("request_id", "r-3"), ("correlation_id", "c-3")]),
    ];
    write(&store, Signal::Logs, &rows).await.unwrap();
    for place in ["head", "files"] {
        let request = Request::Counts {
            selection: selection(Signal::Logs, Filter::All),
            step_nano: None,
            by: vec![Field::Correlation],
            groups: 10,
        };
        let (replies, _) = ask(&store, request).await.unwrap();
        let [Reply::Counts(counts)] = &replies[..] else {
            panic!("{replies:?}")
        };
        let groups = counts.groups.iter();
        let mut found: Vec<_> = groups.map(|group| (&*group.key[0], group.rows())).collect();
        found.sort_unstable();
        assert_eq!(found, [("c-2", 1), ("r-1", 1), ("r-3", 1)], "{place}");
        store.flush().await;
    }
}
