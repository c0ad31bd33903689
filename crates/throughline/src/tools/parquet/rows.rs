//! Which columns each signal has, and what a row has in them.

use model::metric::{MetricKind, NativeCounts, PointValue, Series, Temporality};
use model::{DataPoint, KeyValue, LogRecord, Resource, Scope, Signal, Span, Value};
use otlp::encode::json;
use serde_json::{Map, Value as Json};

use super::{Cell, Column, Type};

const SPANS: &[Column] = &[
    ("trace_id", Type::Text, false),
    ("span_id", Type::Text, false),
    ("parent_span_id", Type::Text, true),
    ("trace_state", Type::Text, true),
    ("flags", Type::Int, false),
    ("service", Type::Text, false),
    ("name", Type::Text, false),
    ("kind", Type::Text, false),
    ("start_time", Type::Time, false),
    ("end_time", Type::Time, false),
    ("duration_nano", Type::Int, false),
    ("status", Type::Text, true),
    ("status_message", Type::Text, true),
    ("attributes", Type::Json, false),
    ("dropped_attributes", Type::Int, false),
    ("events", Type::Json, true),
    ("dropped_events", Type::Int, false),
    ("links", Type::Json, true),
    ("dropped_links", Type::Int, false),
    ("clock_offset_nano", Type::Int, true),
    ("resource_attributes", Type::Json, false),
    ("resource_schema_url", Type::Text, true),
    ("scope_name", Type::Text, true),
    ("scope_version", Type::Text, true),
    ("scope_attributes", Type::Json, true),
    ("scope_schema_url", Type::Text, true),
];

const LOGS: &[Column] = &[
    ("time", Type::Time, true),
    ("observed_time", Type::Time, true),
    ("service", Type::Text, false),
    ("severity_number", Type::Int32, false),
    ("severity_text", Type::Text, true),
    ("body", Type::Text, true),
    ("body_json", Type::Json, true),
    ("event_name", Type::Text, true),
    ("trace_id", Type::Text, true),
    ("span_id", Type::Text, true),
    ("flags", Type::Int, false),
    ("attributes", Type::Json, false),
    ("dropped_attributes", Type::Int, false),
    ("clock_offset_nano", Type::Int, true),
    ("resource_attributes", Type::Json, false),
    ("resource_schema_url", Type::Text, true),
    ("scope_name", Type::Text, true),
    ("scope_version", Type::Text, true),
    ("scope_attributes", Type::Json, true),
    ("scope_schema_url", Type::Text, true),
];

const POINTS: &[Column] = &[
    ("name", Type::Text, false),
    ("description", Type::Text, true),
    ("unit", Type::Text, true),
    ("type", Type::Text, false),
    ("temporality", Type::Text, true),
    ("monotonic", Type::Bool, false),
    ("service", Type::Text, false),
    ("attributes", Type::Json, false),
    ("start_time", Type::Time, true),
    ("time", Type::Time, false),
    ("flags", Type::Int, false),
    ("value_int", Type::Int, true),
    ("value_double", Type::Double, true),
    ("count", Type::Int, true),
    ("sum", Type::Double, true),
    ("min", Type::Double, true),
    ("max", Type::Double, true),
    ("buckets", Type::Json, true),
    ("exemplars", Type::Json, true),
    ("resource_attributes", Type::Json, false),
    ("resource_schema_url", Type::Text, true),
    ("scope_name", Type::Text, true),
    ("scope_version", Type::Text, true),
    ("scope_attributes", Type::Json, true),
    ("scope_schema_url", Type::Text, true),
];

pub(super) fn columns(signal: Signal) -> &'static [Column] {
    match signal {
        Signal::Traces => SPANS,
        Signal::Logs => LOGS,
        Signal::Metrics => POINTS,
    }
}

/// Times after 2262 do not fit.
fn time(unix_nano: u64) -> Cell {
    Cell::Int(i64::try_from(unix_nano).unwrap_or(i64::MAX))
}

/// A time that was not sent is 0.
fn some_time(unix_nano: u64) -> Cell {
    if unix_nano == 0 {
        return Cell::None;
    }
    time(unix_nano)
}

fn int(number: u32) -> Cell {
    Cell::Int(i64::from(number))
}

fn count(number: u64) -> Cell {
    Cell::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn double(value: Option<f64>) -> Cell {
    value.map_or(Cell::None, Cell::Double)
}

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

/// A text that was not sent is empty.
fn some_text(text: &str) -> Cell {
    if text.is_empty() {
        return Cell::None;
    }
    Cell::Text(text.to_owned())
}

/// An object by key; of a key that is there twice the last value counts, as in queries.
fn object(attributes: &[KeyValue]) -> Cell {
    let members = attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), attribute.value.to_json()));
    let members: Map<String, Json> = members.collect();
    Cell::Text(Json::Object(members).to_string())
}

fn some_object(attributes: &[KeyValue]) -> Cell {
    if attributes.is_empty() {
        return Cell::None;
    }
    object(attributes)
}

fn some_list<T>(list: &[T], json: impl Fn(&T) -> Json) -> Cell {
    if list.is_empty() {
        return Cell::None;
    }
    Cell::Text(Json::Array(list.iter().map(json).collect()).to_string())
}

/// The last columns of every signal.
fn envelope(resource: &Resource, scope: &Scope) -> [Cell; 6] {
    [
        object(&resource.attributes),
        some_text(&resource.schema_url),
        some_text(&scope.name),
        some_text(&scope.version),
        some_object(&scope.attributes),
        some_text(&scope.schema_url),
    ]
}

pub(super) fn span(span: &Span) -> Vec<Cell> {
    let kind = model::SpanKind::from_code(span.kind);
    let kind = kind.map_or_else(|| span.kind.to_string(), |kind| kind.name().to_owned());
    let status = model::StatusCode::from_code(span.status_code);
    let status = status.map_or_else(
        || span.status_code.to_string(),
        |status| status.name().to_owned(),
    );
    let parent = span.parent_span_id.map(|id| id.to_string());
    let duration = span.end_unix_nano.saturating_sub(span.start_unix_nano);
    let mut cells = vec![
        text(span.trace_id.to_string()),
        text(span.span_id.to_string()),
        parent.map_or(Cell::None, Cell::Text),
        some_text(&span.trace_state),
        int(span.flags),
        text(span.resource.service()),
        text(&*span.name),
        text(kind),
        time(span.start_unix_nano),
        time(span.end_unix_nano),
        count(duration),
        if span.has_status {
            text(status)
        } else {
            Cell::None
        },
        some_text(&span.status_message),
        object(&span.attributes),
        int(span.dropped_attributes_count),
        some_list(&span.events, json::event_json),
        int(span.dropped_events_count),
        some_list(&span.links, json::link_json),
        int(span.dropped_links_count),
        span.clock
            .map_or(Cell::None, |clock| Cell::Int(clock.offset_nano)),
    ];
    cells.extend(envelope(&span.resource, &span.scope));
    cells
}

pub(super) fn log(record: &LogRecord) -> Vec<Cell> {
    let (body, body_json) = match &record.body {
        Value::Empty => (Cell::None, Cell::None),
        Value::Str(body) => (text(&**body), Cell::None),
        other => (text(other.to_text()), text(other.to_json().to_string())),
    };
    let id = |id: Option<String>| id.map_or(Cell::None, Cell::Text);
    let mut cells = vec![
        some_time(record.time_unix_nano),
        some_time(record.observed_time_unix_nano),
        text(record.resource.service()),
        Cell::Int32(record.severity_number),
        some_text(&record.severity_text),
        body,
        body_json,
        some_text(&record.event_name),
        id(record.trace_id.map(|id| id.to_string())),
        id(record.span_id.map(|id| id.to_string())),
        int(record.flags),
        object(&record.attributes),
        int(record.dropped_attributes_count),
        record
            .clock
            .map_or(Cell::None, |clock| Cell::Int(clock.offset_nano)),
    ];
    cells.extend(envelope(&record.resource, &record.scope));
    cells
}

/// What all points of a series have.
pub(super) struct OfSeries<'a> {
    series: &'a Series,
    head: Vec<Cell>,
    tail: [Cell; 6],
}

impl<'a> OfSeries<'a> {
    pub(super) fn new(series: &'a Series) -> Self {
        let metric = &series.metric;
        let kind = match metric.kind {
            MetricKind::Gauge => "gauge",
            MetricKind::Sum => "sum",
            MetricKind::Histogram => "histogram",
            MetricKind::ExponentialHistogram => "exponential_histogram",
            MetricKind::Summary => "summary",
        };
        let temporality = match metric.temporality {
            Temporality::None => Cell::None,
            Temporality::Delta => text("delta"),
            Temporality::Cumulative => text("cumulative"),
        };
        Self {
            series,
            head: vec![
                text(&*metric.name),
                some_text(&metric.description),
                some_text(&metric.unit),
                text(kind),
                temporality,
                Cell::Bool(metric.monotonic),
                text(series.resource.service()),
                object(&series.attributes),
            ],
            tail: envelope(&series.resource, &series.scope),
        }
    }

    pub(super) fn point(&self, point: &DataPoint) -> Vec<Cell> {
        let mut cells = self.head.clone();
        cells.extend([
            some_time(point.start_unix_nano),
            time(point.time_unix_nano),
            int(point.flags),
        ]);
        cells.extend(self.value(point));
        cells.push(some_list(&point.exemplars, json::exemplar_json));
        cells.extend(self.tail.clone());
        cells
    }

    /// Integer, double, count, sum, smallest, largest, and the rest.
    fn value(&self, point: &DataPoint) -> [Cell; 7] {
        let mut cells = [const { Cell::None }; 7];
        match &point.value {
            PointValue::Empty => {}
            PointValue::Int(int) => cells[0] = Cell::Int(*int),
            PointValue::Double(double) => cells[1] = Cell::Double(*double),
            PointValue::Histogram(histogram) => {
                cells[2] = count(histogram.count);
                cells[3] = double(histogram.sum);
                cells[4] = double(histogram.min);
                cells[5] = double(histogram.max);
                cells[6] = self.buckets(point, &["bucketCounts", "explicitBounds"]);
            }
            PointValue::Exponential(histogram) => {
                cells[2] = count(histogram.count);
                cells[3] = double(histogram.sum);
                cells[4] = double(histogram.min);
                cells[5] = double(histogram.max);
                let members = [
                    "scale",
                    "zeroCount",
                    "zeroThreshold",
                    "positive",
                    "negative",
                ];
                cells[6] = self.buckets(point, &members);
            }
            PointValue::Summary(summary) => {
                cells[2] = count(summary.count);
                cells[3] = Cell::Double(summary.sum);
                cells[6] = self.buckets(point, &["quantileValues"]);
            }
            PointValue::Native(histogram) => {
                if let NativeCounts::Integer { count: whole, .. } = &histogram.counts {
                    cells[2] = count(*whole);
                }
                cells[3] = Cell::Double(histogram.sum);
                cells[6] = self.buckets(point, &["nativeHistogram"]);
            }
        }
        cells
    }

    /// Some members of the point in OTLP JSON.
    fn buckets(&self, point: &DataPoint, members: &[&str]) -> Cell {
        let Json::Object(whole) = json::data_point_json(self.series, point) else {
            return Cell::None;
        };
        let wanted = whole
            .into_iter()
            .filter(|(name, _)| members.contains(&name.as_str()));
        Cell::Text(Json::Object(wanted.collect()).to_string())
    }
}
