//! Export requests as OTLP JSON: what a file of JSON lines holds on each of its lines, and what a
//! receiver takes as a body.
//!
//! Consecutive rows of one resource, scope and metric share an envelope.

use std::sync::Arc;

use model::metric::{MetricKind, Series, Temporality};
use model::{DataPoint, LogRecord, Metric, Resource, Scope, Span};
use serde_json::{Map, Value as Json};

use super::json::{
    attributes_json, data_point_json, log_json, resource_json, scope_json, span_json,
};
use super::same;

/// An `ExportTraceServiceRequest` of these spans.
pub fn traces_json(spans: &[Span]) -> Json {
    let rows = spans
        .iter()
        .map(|span| (&span.resource, &span.scope, span_json(span)));
    request("resourceSpans", "scopeSpans", "spans", rows)
}

/// An `ExportLogsServiceRequest` of these log records.
pub fn logs_json(records: &[LogRecord]) -> Json {
    let rows = records
        .iter()
        .map(|record| (&record.resource, &record.scope, log_json(record)));
    request("resourceLogs", "scopeLogs", "logRecords", rows)
}

/// An `ExportMetricsServiceRequest` of these series and their points.
pub fn metrics_json(series: &[(Series, Vec<DataPoint>)]) -> Json {
    let of_one_metric = |(a, _): &(Series, _), (b, _): &(Series, _)| {
        same(&a.metric, &b.metric) && same(&a.resource, &b.resource) && same(&a.scope, &b.scope)
    };
    let rows = series.chunk_by(of_one_metric).map(|run| {
        let first = &run[0].0;
        let points = run.iter().flat_map(|(series, points)| {
            points
                .iter()
                .map(move |point| data_point_json(series, point))
        });
        let metric = metric_json(&first.metric, points.collect());
        (&first.resource, &first.scope, metric)
    });
    request("resourceMetrics", "scopeMetrics", "metrics", rows)
}

/// What a metric is, without its kind and points.
pub fn metric_members(metric: &Metric) -> Map<String, Json> {
    let mut members = Map::new();
    let texts = [
        ("name", &metric.name),
        ("description", &metric.description),
        ("unit", &metric.unit),
    ];
    for (name, text) in texts {
        if !text.is_empty() {
            members.insert(name.to_owned(), text.as_str().into());
        }
    }
    if !metric.metadata.is_empty() {
        members.insert("metadata".into(), attributes_json(&metric.metadata));
    }
    members
}

/// A `Metric` with these points.
pub fn metric_json(metric: &Metric, points: Vec<Json>) -> Json {
    let mut data = Map::new();
    data.insert("dataPoints".into(), points.into());
    if metric.temporality != Temporality::None {
        let code = metric.temporality as u8;
        data.insert("aggregationTemporality".into(), code.into());
    }
    if metric.kind == MetricKind::Sum && metric.monotonic {
        data.insert("isMonotonic".into(), true.into());
    }
    let kind = match metric.kind {
        MetricKind::Gauge => "gauge",
        MetricKind::Sum => "sum",
        MetricKind::Histogram => "histogram",
        MetricKind::ExponentialHistogram => "exponentialHistogram",
        MetricKind::Summary => "summary",
    };
    let mut members = metric_members(metric);
    members.insert(kind.into(), Json::Object(data));
    Json::Object(members)
}

/// Nests rows below their resources and scopes.
fn request<'a>(
    resources: &str,
    scopes: &str,
    list: &str,
    rows: impl Iterator<Item = (&'a Arc<Resource>, &'a Arc<Scope>, Json)>,
) -> Json {
    let mut out: Vec<Json> = Vec::new();
    let mut open: Option<Envelope<'a>> = None;
    for (resource, scope, row) in rows {
        match &mut open {
            Some(open) if same(open.resource, resource) => open.push(scope, row, list),
            _ => {
                let mut next = Envelope {
                    resource,
                    scopes: Vec::new(),
                    scope: None,
                };
                next.push(scope, row, list);
                out.extend(open.replace(next).map(|open| open.close(scopes, list)));
            }
        }
    }
    out.extend(open.map(|open| open.close(scopes, list)));
    let mut request = Map::new();
    request.insert(resources.to_owned(), out.into());
    Json::Object(request)
}

/// The rows of one resource.
struct Envelope<'a> {
    resource: &'a Arc<Resource>,
    /// Those that are closed.
    scopes: Vec<Json>,
    scope: Option<(&'a Arc<Scope>, Vec<Json>)>,
}

impl<'a> Envelope<'a> {
    fn push(&mut self, scope: &'a Arc<Scope>, row: Json, list: &str) {
        match &mut self.scope {
            Some((known, rows)) if same(known, scope) => rows.push(row),
            _ => {
                self.close_scope(list);
                self.scope = Some((scope, vec![row]));
            }
        }
    }

    fn close_scope(&mut self, list: &str) {
        if let Some((scope, rows)) = self.scope.take() {
            let mut members = Map::new();
            members.insert("scope".into(), scope_json(scope));
            members.insert(list.to_owned(), rows.into());
            put_schema_url(&mut members, &scope.schema_url);
            self.scopes.push(Json::Object(members));
        }
    }

    fn close(mut self, scopes: &str, list: &str) -> Json {
        self.close_scope(list);
        let mut members = Map::new();
        members.insert("resource".into(), resource_json(self.resource));
        members.insert(scopes.to_owned(), self.scopes.into());
        put_schema_url(&mut members, &self.resource.schema_url);
        Json::Object(members)
    }
}

fn put_schema_url(members: &mut Map<String, Json>, schema_url: &str) {
    if !schema_url.is_empty() {
        members.insert("schemaUrl".into(), schema_url.into());
    }
}
