//! Names and values of fields, from tables that do not list everything.

use futures::StreamExt;
use model::{KeyValue, LogRecord, Signal};
use tempfile::tempdir;

use crate::Store;
use crate::fields_table::MAX_FIELD_NAME_BYTES;
use crate::filter::{Field, Filter, Level};
use crate::message::*;
use crate::read::Read;
use crate::testing::*;

fn attribute(key: &str) -> Field {
    Field::Attribute {
        level: Level::Row,
        key: key.to_owned(),
    }
}

fn fields() -> Request {
    Request::Fields {
        selection: selection(Signal::Logs, Filter::All),
    }
}

fn values(field: Field) -> Request {
    Request::Values {
        selection: selection(Signal::Logs, Filter::All),
        field,
        prefix: String::new(),
        limit: 100,
    }
}

async fn fill(store: &Store, keys: &[&str]) {
    let record = |number: u64| LogRecord {
        time_unix_nano: BASE + number,
        attributes: keys.iter().map(|key| KeyValue::new(*key, "here")).collect(),
        ..LogRecord::default()
    };
    let records: Vec<LogRecord> = (0..5).map(record).collect();
    write(store, Signal::Logs, &records).await.unwrap();
    store.flush().await;
}

#[tokio::test]
async fn a_field_that_a_table_leaves_out_is_counted_by_rows() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let long = "k".repeat(MAX_FIELD_NAME_BYTES + 1);
    fill(&store, &["short", &long]).await;
    for key in ["short", &long] {
        let field = attribute(key);
        let (replies, summary) = ask(&store, values(field)).await.unwrap();
        let [Reply::Values(list)] = &replies[..] else {
            panic!("{replies:?}")
        };
        assert_eq!(summary.cuts, []);
        let found: Vec<_> = list.iter().map(|one| (&*one.value, one.count)).collect();
        assert_eq!(found, [("here", 5)], "of {} bytes", key.len());
    }
    let (replies, _) = ask(&store, fields()).await.unwrap();
    let [Reply::Fields(list)] = &replies[..] else {
        panic!("{replies:?}")
    };
    // The long one is shown in short.
    for begin in ["short", "kkk"] {
        let of_key = |one: &&FieldCount| match &one.field {
            Field::Attribute { key, .. } => key.starts_with(begin),
            _ => false,
        };
        let counts: Vec<u64> = list.iter().filter(of_key).map(|one| one.count).collect();
        assert_eq!(counts, [5], "{begin}");
    }
}

#[tokio::test]
async fn an_answer_from_tables_keeps_its_time() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, &["short"]).await;
    for request in [fields(), values(attribute("short"))] {
        let limits = Limits {
            timeout_ms: 0,
            ..Limits::default()
        };
        let replies: Vec<_> = store.execute(request, limits).collect().await;
        let Some(Ok(Reply::End(summary))) = replies.last() else {
            panic!("{replies:?}")
        };
        let cuts: Vec<&str> = summary.cuts.iter().map(|cut| &*cut.limit).collect();
        assert_eq!(cuts, ["time"]);
    }
}

#[tokio::test]
async fn names_of_events_count_alike_in_memory_and_in_files() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let event = |name: &str| model::span::Event {
        name: name.to_owned(),
        ..model::span::Event::default()
    };
    let span = |number: u64| model::Span {
        start_unix_nano: BASE + number,
        end_unix_nano: BASE + number + 1,
        events: vec![event("exception"), event("retry"), event("exception")],
        ..model::Span::default()
    };
    let spans: Vec<_> = (0..5).map(span).collect();
    write(&store, Signal::Traces, &spans).await.unwrap();
    let traces = || selection(Signal::Traces, Filter::All);
    let look = async || {
        let names = Request::Fields {
            selection: traces(),
        };
        let values = Request::Values {
            selection: traces(),
            field: Field::EventName,
            prefix: String::new(),
            limit: 10,
        };
        let (names, _) = ask(&store, names).await.unwrap();
        let (values, _) = ask(&store, values).await.unwrap();
        (format!("{names:?}"), format!("{values:?}"))
    };
    let before = look().await;
    store.flush().await;
    assert_eq!(look().await, before);
}

#[tokio::test]
async fn an_attribute_without_a_value_is_none_of_any_texts() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let record = |number: u64, value: model::Value| LogRecord {
        time_unix_nano: BASE + number,
        attributes: vec![KeyValue {
            key: "k".to_owned(),
            value,
        }],
        ..LogRecord::default()
    };
    let filter = Filter::AnyOf {
        field: attribute("k"),
        values: vec![String::new(), "x".to_owned()],
    };
    let rows = [
        record(1, model::Value::Empty),
        record(2, String::new().as_str().into()),
        record(3, "x".into()),
    ];
    for row in rows {
        write(&store, Signal::Logs, &[row]).await.unwrap();
        let found = logs(&store, selection(Signal::Logs, filter.clone()))
            .await
            .len();
        store.flush().await;
        let flushed = logs(&store, selection(Signal::Logs, filter.clone()))
            .await
            .len();
        assert_eq!(found, flushed);
    }
    assert_eq!(logs(&store, selection(Signal::Logs, filter)).await.len(), 2);
}
