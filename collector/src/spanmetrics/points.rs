//! Counted series as OTLP metrics.

use std::sync::Arc;

use model::metric::{
    DataPoint, Exemplar, ExemplarValue, Histogram, MetricKind, PointValue, Series, Temporality,
};
use model::{KeyValue, Metric, Resource, Scope};

use super::{BOUNDS, Cell};

const CALLS: &str = "traces_spanmetrics_calls";
const LATENCY: &str = "traces_spanmetrics_latency";
const SCOPE: &str = "throughline.spanmetrics";

/// One series at one moment.
pub(super) struct Emitted {
    resource: Arc<Resource>,
    attributes: Vec<KeyValue>,
    calls: DataPoint,
    latency: DataPoint,
}

impl Emitted {
    /// Takes the cell's present counts, and its exemplars away.
    pub(super) fn take(
        resource: &Arc<Resource>,
        attributes: Vec<KeyValue>,
        cell: &mut Cell,
        now: u64,
    ) -> Self {
        cell.changed = false;
        let exemplars = std::mem::take(&mut cell.exemplars)
            .into_iter()
            .map(|(_, example)| Exemplar {
                filtered_attributes: Vec::new(),
                time_unix_nano: example.time_unix_nano,
                value: ExemplarValue::Double(example.seconds),
                span_id: example.span_id.0.to_vec(),
                trace_id: example.trace_id.0.to_vec(),
            });
        let point = |value, exemplars| DataPoint {
            start_unix_nano: cell.start_unix_nano,
            time_unix_nano: now,
            flags: 0,
            value,
            exemplars,
        };
        let histogram = Histogram {
            count: cell.calls,
            sum: Some(cell.sum_seconds),
            bucket_counts: cell.buckets.to_vec(),
            explicit_bounds: BOUNDS.to_vec(),
            min: None,
            max: None,
        };
        Self {
            resource: Arc::clone(resource),
            attributes,
            calls: point(
                PointValue::Int(i64::try_from(cell.calls).unwrap_or(i64::MAX)),
                Vec::new(),
            ),
            latency: point(PointValue::Histogram(histogram), exemplars.collect()),
        }
    }
}

pub(super) fn resource(service: &str) -> Arc<Resource> {
    let attributes = vec![KeyValue::new("service.name", service)];
    Arc::new(Resource {
        attributes,
        ..Resource::default()
    })
}

/// Tells the counts of one collector from those of another. It is an attribute of the point: of a
/// resource, Prometheus' view keeps nothing but what identifies the service.
pub(super) fn counted_by(collector: &str) -> KeyValue {
    KeyValue::new("collector.instance.id", collector)
}

/// The labels that dashboards for span metrics expect.
pub(super) fn attributes(
    collector: &str,
    service: &str,
    name: &str,
    kind: i32,
    status: i32,
) -> Vec<KeyValue> {
    let kind = match kind {
        1 => "SPAN_KIND_INTERNAL",
        2 => "SPAN_KIND_SERVER",
        3 => "SPAN_KIND_CLIENT",
        4 => "SPAN_KIND_PRODUCER",
        5 => "SPAN_KIND_CONSUMER",
        _ => "SPAN_KIND_UNSPECIFIED",
    };
    let status = match status {
        1 => "STATUS_CODE_OK",
        2 => "STATUS_CODE_ERROR",
        _ => "STATUS_CODE_UNSET",
    };
    vec![
        KeyValue::new("service", service),
        KeyValue::new("span_name", name),
        KeyValue::new("span_kind", kind),
        KeyValue::new("status_code", status),
        counted_by(collector),
    ]
}

/// The mark of the series that counts what has no series of its own.
pub(super) fn overflow(collector: &str) -> Vec<KeyValue> {
    vec![
        KeyValue::new("otel.metric.overflow", true),
        counted_by(collector),
    ]
}

/// One request with the two metrics of these series.
pub(super) fn encode(emitted: &[Emitted]) -> Vec<u8> {
    let metric = |name: &str, description: &str, kind, monotonic| {
        Arc::new(Metric {
            name: name.to_owned(),
            description: description.to_owned(),
            // Without a unit the Prometheus name gets no suffix, as dashboards expect.
            unit: String::new(),
            kind,
            temporality: Temporality::Cumulative,
            monotonic,
            metadata: Vec::new(),
        })
    };
    let calls = metric(
        CALLS,
        "Spans by service, name, kind and status.",
        MetricKind::Sum,
        true,
    );
    let latency = metric(
        LATENCY,
        "Durations of spans in seconds.",
        MetricKind::Histogram,
        false,
    );
    let scope = Arc::new(Scope {
        name: SCOPE.to_owned(),
        ..Scope::default()
    });
    let series = |one: &Emitted, metric: &Arc<Metric>| Series {
        resource: Arc::clone(&one.resource),
        scope: Arc::clone(&scope),
        metric: Arc::clone(metric),
        attributes: one.attributes.clone(),
    };
    let pairs: Vec<(Series, &DataPoint)> = emitted
        .iter()
        .map(|one| (series(one, &calls), &one.calls))
        .chain(
            emitted
                .iter()
                .map(|one| (series(one, &latency), &one.latency)),
        )
        .collect();
    otlp::encode::metrics(pairs.iter().map(|(series, point)| (series, [*point])))
}
