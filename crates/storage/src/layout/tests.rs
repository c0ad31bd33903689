//! Blocks against the chunks that they were made of, and against damage.

mod damage;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use model::metric::PointValue;
use model::{
    ClockOffset, DataPoint, Event, KeyValue, LogRecord, Signal, Span, SpanId, TraceId, Value,
};

use super::*;
use crate::block::Values;
use crate::chunk::{Chunk, Chunks, Clocks, KeyNumbers};
use crate::filter::{Field, Level};
use crate::message::Columns;
use crate::table::{Damage, Mask, Table};
use crate::testing::{Generator, chunk, encoded};

/// All rows of the chunks, in order.
fn all_rows(chunks: &[Arc<Chunk>]) -> Vec<RowRef> {
    let rows = |(index, chunk): (usize, &Arc<Chunk>)| {
        (0..chunk.rows()).map(move |row| RowRef {
            chunk: index as u32,
            row: row as u32,
        })
    };
    chunks.iter().enumerate().flat_map(rows).collect()
}

fn block(signal: Signal, chunks: &[Arc<Chunk>], rows: &[RowRef]) -> BlockTable {
    let bytes = encoded(signal, chunks, rows);
    BlockTable::open(signal, Bytes::from(bytes), Arc::default()).unwrap()
}

const KEYS: [&str; 10] = [
    "http.method",
    "user.id",
    "request_id",
    "shared",
    "",
    "a b",
    "n",
    "service.name",
    "route",
    "absent",
];

/// Every field there is, attributes of these keys at every level among them.
fn fields(keys: &[&str]) -> Vec<Field> {
    let mut out = vec![
        Field::Service,
        Field::Name,
        Field::Kind,
        Field::Status,
        Field::StatusMessage,
        Field::Duration,
        Field::TraceId,
        Field::SpanId,
        Field::ParentId,
        Field::TraceState,
        Field::Severity,
        Field::Level,
        Field::SeverityText,
        Field::Body,
        Field::EventName,
        Field::LinkTraceId,
        Field::Correlation,
        Field::ScopeName,
        Field::ScopeVersion,
    ];
    let levels = [
        Level::Any,
        Level::Row,
        Level::Scope,
        Level::Resource,
        Level::Event,
        Level::Link,
    ];
    for key in keys {
        let attribute = |level| Field::Attribute {
            level,
            key: (*key).to_owned(),
        };
        out.extend(levels.map(attribute));
    }
    out
}

fn row_bytes<T: serde::Serialize>(rows: &[T]) -> Vec<String> {
    rows.iter()
        .map(|row| format!("{:?}", postcard::to_stdvec(row).unwrap()))
        .collect()
}

/// Answers of a table, each with a name, in a form that compares, NaN included.
type Answers = Vec<(String, Result<Vec<String>, Damage>)>;

fn answers(table: &dyn Table, signal: Signal, fields: &[Field]) -> Answers {
    let count = table.rows();
    let (rows, among) = ((0..count).collect::<Vec<_>>(), Mask::all(count));
    let debug = |list: &[u64]| list.iter().map(u64::to_string).collect();
    let mut out: Answers = vec![
        ("times".to_owned(), table.times().map(|list| debug(&list))),
        ("ends".to_owned(), table.ends().map(|list| debug(&list))),
    ];
    // Fields are listed per resource and scope, in any order; whoever asks adds them up.
    let listed = table.fields(&among).map(|list| {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (field, kind, rows) in list {
            *sums.entry(format!("{field:?} {kind}")).or_default() += rows;
        }
        sums.iter().map(|entry| format!("{entry:?}")).collect()
    });
    out.push(("fields".to_owned(), listed));
    match signal {
        Signal::Traces => {
            for columns in [Columns::Full, Columns::Summary] {
                let rows = table.spans(&rows, columns).map(|list| row_bytes(&list));
                out.push((format!("spans {columns:?}"), rows));
            }
        }
        Signal::Logs => {
            out.push((
                "logs".to_owned(),
                table.logs(&rows).map(|list| row_bytes(&list)),
            ));
        }
        Signal::Metrics => {}
    }
    for field in fields {
        let mut seen = Vec::new();
        let done = table.visit(field, &among, &mut |row, cell| {
            seen.push(format!("{row:06} {cell:?}"));
        });
        seen.sort();
        let matching = table.matching(field, &among, &|cell| cell.text().len() % 2 == 1);
        out.push((format!("visit {field:?}"), done.map(|()| seen)));
        let matching = matching.map(|mask| mask.iter().map(|row| row.to_string()).collect());
        out.push((format!("matching {field:?}"), matching));
    }
    out
}

#[test]
fn a_block_that_is_thawed_and_written_again_answers_as_before() {
    for signal in [Signal::Traces, Signal::Logs] {
        for seed in 0..6 {
            let mut generator = Generator::new(seed);
            let chunks: Vec<Arc<Chunk>> = (0..4)
                .map(|index| {
                    let chunk = match signal {
                        Signal::Traces => {
                            let rows: Vec<_> = (0..30).map(|_| generator.span()).collect();
                            chunk(signal, &rows)
                        }
                        _ => {
                            let rows: Vec<_> = (0..30).map(|_| generator.log()).collect();
                            chunk(signal, &rows)
                        }
                    };
                    Arc::new(clocked(chunk, index))
                })
                .collect();
            let keys = &KeyNumbers::of(&chunks);
            let list = &chunks;
            let rows = crate::order::ordered(signal, Chunks { list, keys }, all_rows(list));
            let before = block(signal, &chunks, &rows);
            let thawed = [Arc::new(before.thaw().unwrap())];
            let after = block(signal, &thawed, &all_rows(&thawed));
            let fields = fields(&KEYS);
            let expected = answers(&before, signal, &fields);
            for (found, name) in [
                (answers(&*thawed[0], signal, &fields), "thawed"),
                (answers(&after, signal, &fields), "written again"),
            ] {
                for (found, expected) in found.iter().zip(&expected) {
                    assert!(found == expected, "{signal} {seed} {name}: {}", found.0);
                }
            }
        }
    }
}

#[test]
fn a_block_of_a_later_build_is_not_thawed() {
    let chunks = [Arc::new(chunk(Signal::Logs, &[Generator::new(1).log()]))];
    let bytes = encoded(Signal::Logs, &chunks, &all_rows(&chunks));
    let reader = crate::block::BlockReader::open(Bytes::from(bytes)).unwrap();
    let mut writer = crate::block::BlockWriter::new(reader.rows());
    let times = reader.uints("time").unwrap().unwrap();
    writer.column("time", crate::block::Values::UInt(times.into()));
    writer.column("mood", crate::block::Values::UInt(vec![7].into()));
    let bytes = Bytes::from(writer.finish().unwrap());
    let table = BlockTable::open(Signal::Logs, bytes, Arc::default()).unwrap();
    let refused = table.thaw().unwrap_err();
    assert!(refused.0.contains("mood"), "{refused}");
}

/// Gives every other chunk a clock offset, each its own.
fn clocked(mut chunk: Chunk, index: usize) -> Chunk {
    if index % 2 == 1 {
        chunk.clocks = Clocks::all(ClockOffset {
            offset_nano: -3_000_000_000 - index as i64,
            error_nano: index as u64 - 1,
        });
    }
    chunk
}

/// Encodes the rows in one chunk and in several, and compares rows and every answer.
fn round_trip<T: serde::Serialize>(signal: Signal, rows: &[T]) {
    let whole = [Arc::new(chunk(signal, rows))];
    let table = block(signal, &whole, &all_rows(&whole));
    let fields = fields(&KEYS);
    let expected = answers(&*whole[0], signal, &fields);
    for (one, other) in answers(&table, signal, &fields).into_iter().zip(&expected) {
        assert!(one == *other, "{} rows: {}", rows.len(), other.0);
    }
    // In several chunks, in another order.
    let parts: Vec<Arc<Chunk>> = rows
        .chunks(rows.len() / 3 + 1)
        .enumerate()
        .map(|(index, rows)| Arc::new(clocked(chunk(signal, rows), index)))
        .collect();
    let mut order = all_rows(&parts);
    order.reverse();
    let table = block(signal, &parts, &order);
    match signal {
        Signal::Traces => {
            let sent = order
                .iter()
                .map(|at| parts[at.chunk as usize].span(at.row as usize, Columns::Full));
            let all: Vec<usize> = (0..rows.len()).collect();
            let found = Table::spans(&table, &all, Columns::Full).unwrap();
            assert!(row_bytes(&found) == row_bytes(&sent.collect::<Vec<_>>()));
        }
        Signal::Logs => {
            let sent = order
                .iter()
                .map(|at| parts[at.chunk as usize].log(at.row as usize));
            // Any rows in any order, one of them twice.
            let mut picked: Vec<usize> = (0..rows.len()).rev().step_by(3).collect();
            picked.extend(picked.first().copied());
            let sent: Vec<_> = sent.collect();
            let sent: Vec<_> = picked.iter().map(|row| &sent[*row]).collect();
            let found = Table::logs(&table, &picked).unwrap();
            assert!(row_bytes(&found) == row_bytes(&sent));
        }
        Signal::Metrics => {}
    }
}

const SIZES: [usize; 5] = [0, 1, 64, 65, 4_096];

#[test]
fn spans_read_back_equal() {
    let mut generator = Generator::new(41);
    for size in SIZES {
        let rows: Vec<_> = (0..size).map(|_| generator.span()).collect();
        round_trip(Signal::Traces, &rows);
    }
}

#[test]
fn log_records_read_back_equal() {
    let mut generator = Generator::new(42);
    for size in SIZES {
        let rows: Vec<_> = (0..size).map(|_| generator.log()).collect();
        round_trip(Signal::Logs, &rows);
    }
}

/// Points as earlier builds wrote them: a row each.
#[test]
fn rows_of_points_still_read() {
    let encoded = |value: &PointValue| crate::chunk::encode(value);
    let resource = crate::chunk::encode(&model::Resource::default());
    let scope = crate::chunk::encode(&model::Scope::default());
    let (series, first) = Generator::new(43).point();
    let metric = crate::chunk::encode(&*series.metric);
    let mut def = vec![0, 0, 0];
    def.extend(crate::chunk::encode(&series.attributes));
    let histogram = PointValue::Histogram(model::metric::Histogram {
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![0.5],
        ..Default::default()
    });
    let bytes = [encoded(&histogram), encoded(&PointValue::Empty)];
    let exemplars = crate::chunk::encode(&first.exemplars);
    let mut writer = crate::block::BlockWriter::new(4);
    writer
        .column("time", Values::UInt(vec![10, 20, 30, 40].into()))
        .column("start", Values::Int(vec![1, -1, 0, 40].into()))
        .column("flags", Values::UInt(vec![0, 0, 0, 1].into()))
        .column("value.kind", Values::UInt(vec![0, 1, 2, 2].into()))
        .column("value.int", Values::Int(vec![-5].into()))
        .column("value.double", Values::Double(vec![0.5].into()))
        .column("value.bytes", Values::Bytes(vec![&bytes[0], &bytes[1]]))
        .column("exemplars", Values::Bytes(vec![&exemplars, &[], &[], &[]]))
        .column("series.def", Values::Bytes(vec![&def]))
        .column("resources", Values::Bytes(vec![&resource]))
        .column("scopes", Values::Bytes(vec![&scope]))
        .column("metrics", Values::Bytes(vec![&metric]));
    let bytes = Bytes::from(writer.finish().unwrap());
    let table = BlockTable::open(Signal::Metrics, bytes, Arc::default()).unwrap();
    assert!(!table.has_chunks());
    let point = |time, start, flags, value| DataPoint {
        time_unix_nano: time,
        start_unix_nano: start,
        flags,
        value,
        exemplars: Vec::new(),
    };
    let expected = [
        DataPoint {
            exemplars: first.exemplars,
            ..point(10, 9, 0, PointValue::Int(-5))
        },
        point(20, 21, 0, PointValue::Double(0.5)),
        point(30, 30, 0, histogram),
        point(40, 0, 1, PointValue::Empty),
    ];
    let found = table.points().unwrap();
    assert_eq!(found, expected.map(|point| (0, point)));
    let entries = table.entries().unwrap();
    assert_eq!(entries[0].series().metric, series.metric);
    assert_eq!(entries[0].series().attributes, series.attributes);
    assert_eq!(Table::times(&table).unwrap().to_vec(), [10, 20, 30, 40]);
}

/// One value of every type, lists within lists among them.
fn every_type() -> Vec<Value> {
    vec![
        Value::Str("text".to_owned()),
        Value::Int(i64::MIN),
        Value::Double(f64::NAN),
        Value::Bool(true),
        Value::Bytes(vec![0, 255]),
        Value::Array(vec![Value::Int(1), Value::Array(vec![Value::Empty])]),
        Value::KvList(vec![KeyValue::new("k", "v"), KeyValue::new("k", 2i64)]),
        Value::Empty,
    ]
}

fn with_key(values: impl IntoIterator<Item = Value>) -> Vec<KeyValue> {
    values
        .into_iter()
        .map(|value| KeyValue {
            key: "shared".to_owned(),
            value,
        })
        .collect()
}

#[test]
fn every_type_under_one_key_reads_back_equal() {
    let mut generator = Generator::new(44);
    let mut rows: Vec<Span> = Vec::new();
    for turn in 0..every_type().len() {
        let mut values = every_type();
        values.rotate_left(turn);
        let mut span = generator.span();
        span.attributes = with_key([values[0].clone()]);
        rows.push(span);
        // The same key many times in one row, its event and its link.
        let mut span = generator.span();
        span.attributes = with_key(values.clone());
        span.events
            .iter_mut()
            .for_each(|event| event.attributes = with_key(values.clone()));
        span.links
            .iter_mut()
            .for_each(|link| link.attributes = with_key(values.clone()));
        rows.push(span);
        rows.push(Span {
            attributes: Vec::new(),
            ..generator.span()
        });
    }
    round_trip(Signal::Traces, &rows);
    let logs: Vec<LogRecord> = every_type()
        .into_iter()
        .map(|body| LogRecord {
            body,
            attributes: with_key(every_type()),
            ..generator.log()
        })
        .collect();
    round_trip(Signal::Logs, &logs);
}

#[test]
fn rows_without_anything_read_back_equal() {
    round_trip(Signal::Traces, &vec![Span::default(); 3]);
    let log = LogRecord {
        correlation: Vec::new(),
        attributes: Vec::new(),
        body: Value::Empty,
        ..Generator::new(45).log()
    };
    round_trip(Signal::Logs, &vec![log; 3]);
}

#[test]
fn zero_ids_and_extreme_times_read_back_equal() {
    let mut generator = Generator::new(46);
    let extremes = [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX];
    let (mut spans, mut logs) = (Vec::new(), Vec::new());
    for one in extremes {
        for other in extremes {
            let event = Event {
                time_unix_nano: other,
                ..Event::default()
            };
            spans.push(Span {
                trace_id: TraceId([0; 16]),
                span_id: SpanId([0; 8]),
                parent_span_id: None,
                start_unix_nano: one,
                end_unix_nano: other,
                events: vec![event],
                kind: if one < other { i32::MIN } else { i32::MAX },
                status_code: if one < other { i32::MIN } else { i32::MAX },
                has_status: true,
                flags: u32::MAX,
                dropped_attributes_count: u32::MAX,
                ..generator.span()
            });
            logs.push(LogRecord {
                trace_id: None,
                span_id: None,
                time_unix_nano: one,
                observed_time_unix_nano: other,
                severity_number: if one < other { i32::MIN } else { i32::MAX },
                ..generator.log()
            });
        }
    }
    // Its own parent, and a parent that several spans of the block could be.
    spans.push(Span {
        span_id: SpanId([3; 8]),
        parent_span_id: Some(SpanId([3; 8])),
        ..generator.span()
    });
    spans.push(Span {
        span_id: SpanId([3; 8]),
        parent_span_id: Some(SpanId([3; 8])),
        ..generator.span()
    });
    round_trip(Signal::Traces, &spans);
    round_trip(Signal::Logs, &logs);
}
