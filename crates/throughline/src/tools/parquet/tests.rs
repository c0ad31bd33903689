use std::sync::Arc;

use bytes::Bytes;
use model::metric::{Histogram, MetricKind, PointValue, Series, Temporality};
use model::{DataPoint, KeyValue, LogRecord, Metric, Resource, Scope, Span, TraceId, Value};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value as Json;

use super::*;

/// The rows of a file as JSON objects, read by the library's own reader.
fn written(signal: Signal, parts: &[Rows]) -> (Vec<Json>, usize) {
    let mut file = Vec::new();
    let mut rows = ParquetRows::new(signal, &mut file).unwrap();
    for part in parts {
        rows.write(part).unwrap();
    }
    rows.finish().unwrap();
    drop(rows);
    let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
    let groups = reader.metadata().num_row_groups();
    let rows = reader.get_row_iter(None).unwrap();
    let text = rows.map(|row| {
        let members = row.unwrap().into_columns().into_iter();
        let member = |(name, field): (String, parquet::record::Field)| {
            use parquet::record::Field;
            let value = match field {
                Field::Null => Json::Null,
                Field::Bool(flag) => flag.into(),
                Field::Int(int) => int.into(),
                Field::Long(int) => int.into(),
                Field::Double(double) => double.into(),
                Field::Str(text) => text.into(),
                Field::Bytes(bytes) => bytes.as_utf8().unwrap().into(),
                other => panic!("{name}: {other:?}"),
            };
            (name, value)
        };
        Json::Object(members.map(member).collect())
    });
    (text.collect(), groups)
}

fn resource() -> Arc<Resource> {
    Arc::new(Resource {
        attributes: vec![KeyValue::new("service.name", "shop")],
        ..Resource::default()
    })
}

#[test]
fn spans_and_records_have_a_row_each() {
    let span = Span {
        resource: resource(),
        scope: Arc::new(Scope {
            name: "lib".to_owned(),
            ..Scope::default()
        }),
        trace_id: TraceId([7; 16]),
        name: "buy".to_owned(),
        kind: 2,
        start_unix_nano: 1_000,
        end_unix_nano: 3_500,
        attributes: vec![
            KeyValue::new("n", Value::Int(5)),
            KeyValue::new("n", Value::Int(6)),
            KeyValue::new("text", "größe"),
        ],
        has_status: true,
        status_code: 2,
        ..Span::default()
    };
    let (rows, _) = written(Signal::Traces, &[Rows::Spans(vec![span, Span::default()])]);
    assert_eq!(rows.len(), 2);
    let row = &rows[0];
    assert_eq!(row["trace_id"], "07".repeat(16));
    assert_eq!(
        (&row["service"], &row["name"]),
        (&"shop".into(), &"buy".into())
    );
    assert_eq!(
        (&row["kind"], &row["status"]),
        (&"server".into(), &"error".into())
    );
    assert_eq!(
        (&row["duration_nano"], &row["end_time"]),
        (&2_500.into(), &3_500.into())
    );
    assert_eq!(row["attributes"], r#"{"n":6,"text":"größe"}"#);
    assert_eq!(
        (&row["scope_name"], &row["events"]),
        (&"lib".into(), &Json::Null)
    );
    assert_eq!(
        (&rows[1]["status"], &rows[1]["parent_span_id"]),
        (&Json::Null, &Json::Null)
    );

    let record = |body| LogRecord {
        resource: resource(),
        time_unix_nano: 9,
        severity_number: 17,
        body,
        ..LogRecord::default()
    };
    let bodies = [Value::Str("declined".into()), Value::Int(3), Value::Empty];
    let records = bodies.into_iter().map(record).collect();
    let (rows, _) = written(Signal::Logs, &[Rows::Logs(records)]);
    let of = |row: &Json| [row["body"].clone(), row["body_json"].clone()];
    assert_eq!(of(&rows[0]), ["declined".into(), Json::Null]);
    assert_eq!(of(&rows[1]), [Json::from("3"), "3".into()]);
    assert_eq!(of(&rows[2]), [Json::Null, Json::Null]);
    assert_eq!(
        (&rows[0]["time"], &rows[0]["observed_time"]),
        (&9.into(), &Json::Null)
    );
    assert_eq!(rows[0]["severity_number"], 17);
}

#[test]
fn points_of_every_kind_have_their_columns() {
    let series = |kind| Series {
        resource: resource(),
        scope: Arc::default(),
        metric: Arc::new(Metric {
            name: "latency".to_owned(),
            description: String::new(),
            unit: "s".to_owned(),
            kind,
            temporality: Temporality::Cumulative,
            monotonic: true,
            metadata: Vec::new(),
        }),
        attributes: vec![KeyValue::new("route", "/buy")],
    };
    let point = |value| DataPoint {
        start_unix_nano: 0,
        time_unix_nano: 8,
        flags: 0,
        value,
        exemplars: Vec::new(),
    };
    let histogram = Histogram {
        count: 3,
        sum: Some(1.5),
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![0.5],
        ..Histogram::default()
    };
    let parts = vec![
        (
            series(MetricKind::Sum),
            vec![point(PointValue::Int(4)), point(PointValue::Double(0.25))],
        ),
        (
            series(MetricKind::Histogram),
            vec![point(PointValue::Histogram(histogram))],
        ),
    ];
    let (rows, _) = written(Signal::Metrics, &[Rows::Points(parts)]);
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (&rows[0]["value_int"], &rows[0]["value_double"]),
        (&4.into(), &Json::Null)
    );
    assert_eq!(
        (&rows[1]["value_int"], &rows[1]["value_double"]),
        (&Json::Null, &0.25.into())
    );
    let row = &rows[2];
    assert_eq!(
        (&row["type"], &row["temporality"]),
        (&"histogram".into(), &"cumulative".into())
    );
    assert_eq!(
        (&row["count"], &row["sum"], &row["min"]),
        (&3.into(), &1.5.into(), &Json::Null)
    );
    let buckets: Json = serde_json::from_str(row["buckets"].as_str().unwrap()).unwrap();
    assert_eq!(buckets["bucketCounts"], serde_json::json!(["1", "2"]));
    assert_eq!(row["attributes"], r#"{"route":"/buy"}"#);
}

#[test]
fn a_long_file_has_several_row_groups_and_none_is_a_file_too() {
    let record = LogRecord {
        body: Value::Str("x".repeat(1 << 10)),
        ..LogRecord::default()
    };
    let part = Rows::Logs(vec![record; 1_000]);
    let (rows, groups) = written(Signal::Logs, &vec![part; 70]);
    assert_eq!(rows.len(), 70_000);
    assert!(groups >= 2, "{groups}");
    assert_eq!(written(Signal::Metrics, &[]), (Vec::new(), 0));
}

#[test]
fn every_signal_fills_its_columns() {
    assert_eq!(
        rows::span(&Span::default()).len(),
        rows::columns(Signal::Traces).len()
    );
    assert_eq!(
        rows::log(&LogRecord::default()).len(),
        rows::columns(Signal::Logs).len()
    );
}
