use std::sync::Arc;

use model::metric::{MetricKind, PointValue, Series, Temporality};
use model::room::NoRoom;
use model::row::{LogRef, MetricRef, PointRef, Reject, ResourceRef, RowSink, ScopeRef, SpanRef};
use model::{DataPoint, Metric, Signal, Value};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as trace;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use crate::encode;
use crate::rows::Rows;

mod fuzz;
mod hostile;
mod memory;
mod oracle;
mod strategy;

pub(crate) fn gauge(name: &str) -> Series {
    let metric = Metric {
        name: name.to_owned(),
        description: String::new(),
        unit: String::new(),
        kind: MetricKind::Gauge,
        temporality: Temporality::None,
        monotonic: false,
        metadata: Vec::new(),
    };
    Series {
        resource: Arc::default(),
        scope: Arc::default(),
        metric: Arc::new(metric),
        attributes: Vec::new(),
    }
}

pub(crate) fn point_at(time_unix_nano: u64) -> DataPoint {
    DataPoint {
        start_unix_nano: 0,
        time_unix_nano,
        flags: 0,
        value: PointValue::Int(1),
        exemplars: Vec::new(),
    }
}

/// One row with its resource, scope and schema URLs, whatever envelopes it came in.
type Flat<T> = Vec<(Resource, String, common::InstrumentationScope, String, T)>;

macro_rules! flatten {
    ($request:expr, $resources:ident, $scopes:ident, $rows:ident) => {
        $request
            .$resources
            .into_iter()
            .flat_map(|envelope| {
                let resource = envelope.resource.unwrap_or_default();
                let schema = envelope.schema_url;
                envelope.$scopes.into_iter().flat_map(move |inner| {
                    let scope = inner.scope.unwrap_or_default();
                    let (resource, schema) = (resource.clone(), schema.clone());
                    inner.$rows.into_iter().map(move |row| {
                        let inner_schema = inner.schema_url.clone();
                        (
                            resource.clone(),
                            schema.clone(),
                            scope.clone(),
                            inner_schema,
                            row,
                        )
                    })
                })
            })
            .collect()
    };
}

fn flat_spans(request: ExportTraceServiceRequest) -> Flat<trace::Span> {
    flatten!(request, resource_spans, scope_spans, spans)
}

fn flat_logs(request: ExportLogsServiceRequest) -> Flat<logs::LogRecord> {
    flatten!(request, resource_logs, scope_logs, log_records)
}

/// Every metric cut into one metric per point.
fn flat_points(request: ExportMetricsServiceRequest) -> Flat<metrics::Metric> {
    use metrics::metric::Data;
    let whole: Flat<metrics::Metric> = flatten!(request, resource_metrics, scope_metrics, metrics);
    let cut = |(resource, schema, scope, inner, metric): (_, _, _, _, metrics::Metric)| {
        macro_rules! each {
            ($kind:ident, $data:expr) => {
                $data
                    .data_points
                    .iter()
                    .map(|point| {
                        let mut one = $data.clone();
                        one.data_points = vec![point.clone()];
                        Data::$kind(one)
                    })
                    .collect()
            };
        }
        let data: Vec<Data> = match metric.data.as_ref().unwrap() {
            Data::Gauge(data) => each!(Gauge, data),
            Data::Sum(data) => each!(Sum, data),
            Data::Histogram(data) => each!(Histogram, data),
            Data::ExponentialHistogram(data) => each!(ExponentialHistogram, data),
            Data::Summary(data) => each!(Summary, data),
        };
        data.into_iter()
            .map(|data| {
                let metric = metrics::Metric {
                    data: Some(data),
                    ..metric.clone()
                };
                (
                    Resource::clone(&resource),
                    String::clone(&schema),
                    common::InstrumentationScope::clone(&scope),
                    String::clone(&inner),
                    metric,
                )
            })
            .collect::<Vec<_>>()
    };
    whole.into_iter().flat_map(cut).collect()
}

fn reencode(signal: Signal, bytes: &[u8]) -> Vec<u8> {
    let rows = Rows::decode(signal, bytes).unwrap();
    assert_eq!(rows.rejected, []);
    match signal {
        Signal::Traces => encode::traces(&rows.spans),
        Signal::Logs => encode::logs(&rows.logs),
        Signal::Metrics => {
            encode::metrics(rows.points.iter().map(|(series, point)| (series, [point])))
        }
    }
}

/// Written as OTLP JSON and turned into protobuf again, as a receiver does.
fn through_json(signal: Signal, bytes: &[u8]) -> Vec<u8> {
    use encode::requests;
    let rows = Rows::decode(signal, bytes).unwrap();
    let request = match signal {
        Signal::Traces => requests::traces_json(&rows.spans),
        Signal::Logs => requests::logs_json(&rows.logs),
        Signal::Metrics => {
            let points = rows.points.into_iter();
            let each: Vec<_> = points
                .map(|(series, point)| (series, vec![point]))
                .collect();
            requests::metrics_json(&each)
        }
    };
    let (text, mut room) = (request.to_string(), model::room::Room::unlimited());
    crate::json::to_protobuf(signal, text.as_bytes(), usize::MAX, &mut room).unwrap()
}

fn parses(signal: Signal, bytes: &[u8]) -> bool {
    match signal {
        Signal::Traces => ExportTraceServiceRequest::decode(bytes).is_ok(),
        Signal::Logs => ExportLogsServiceRequest::decode(bytes).is_ok(),
        Signal::Metrics => ExportMetricsServiceRequest::decode(bytes).is_ok(),
    }
}

/// Damages the bytes and compares the two verdicts.
fn same_verdict(
    signal: Signal,
    mut bytes: Vec<u8>,
    damage: &[(prop::sample::Index, u8)],
    cut: bool,
) {
    if bytes.is_empty() {
        return;
    }
    for (index, byte) in damage {
        let at = index.index(bytes.len());
        bytes[at] = *byte;
    }
    if cut {
        bytes.truncate(damage[0].0.index(bytes.len()));
    }
    match Rows::decode(signal, &bytes) {
        Ok(_) => assert!(
            parses(signal, &bytes),
            "accepted what prost refuses: {bytes:02x?}"
        ),
        Err(error) => assert!(
            !parses(signal, &bytes),
            "refused what prost accepts: {error} {bytes:02x?}"
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn spans_agree_with_prost(
        request in strategy::traces(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<bool>(),
    ) {
        let bytes = request.encode_to_vec();
        let back = ExportTraceServiceRequest::decode(&reencode(Signal::Traces, &bytes)[..]).unwrap();
        prop_assert_eq!(flat_spans(back), flat_spans(request));
        same_verdict(Signal::Traces, bytes, &damage, cut);
    }

    #[test]
    fn logs_agree_with_prost(
        request in strategy::logs(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<bool>(),
    ) {
        let bytes = request.encode_to_vec();
        let back = ExportLogsServiceRequest::decode(&reencode(Signal::Logs, &bytes)[..]).unwrap();
        prop_assert_eq!(flat_logs(back), flat_logs(request));
        same_verdict(Signal::Logs, bytes, &damage, cut);
    }

    #[test]
    fn metrics_agree_with_prost(
        request in strategy::metrics(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<bool>(),
    ) {
        let bytes = request.encode_to_vec();
        let back = ExportMetricsServiceRequest::decode(&reencode(Signal::Metrics, &bytes)[..]).unwrap();
        prop_assert_eq!(flat_points(back), flat_points(request));
        same_verdict(Signal::Metrics, bytes, &damage, cut);
    }

    #[test]
    fn requests_written_as_json_are_the_same_requests(
        spans in strategy::traces(),
        logs in strategy::logs(),
        metrics in strategy::metrics(),
    ) {
        let spans = spans.encode_to_vec();
        let back = ExportTraceServiceRequest::decode(&through_json(Signal::Traces, &spans)[..]);
        let sent = ExportTraceServiceRequest::decode(&spans[..]);
        prop_assert_eq!(flat_spans(back.unwrap()), flat_spans(sent.unwrap()));
        let logs = logs.encode_to_vec();
        let back = ExportLogsServiceRequest::decode(&through_json(Signal::Logs, &logs)[..]);
        let sent = ExportLogsServiceRequest::decode(&logs[..]);
        prop_assert_eq!(flat_logs(back.unwrap()), flat_logs(sent.unwrap()));
        let metrics = metrics.encode_to_vec();
        let back = ExportMetricsServiceRequest::decode(&through_json(Signal::Metrics, &metrics)[..]);
        let sent = ExportMetricsServiceRequest::decode(&metrics[..]);
        prop_assert_eq!(flat_points(back.unwrap()), flat_points(sent.unwrap()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        for signal in Signal::ALL {
            let ours = Rows::decode(signal, &bytes).is_ok();
            prop_assert_eq!(ours, parses(signal, &bytes));
        }
    }
}

fn one_span(span: trace::Span) -> Rows {
    let scope_spans = trace::ScopeSpans {
        spans: vec![span],
        ..Default::default()
    };
    let resource_spans = vec![trace::ResourceSpans {
        scope_spans: vec![scope_spans],
        ..Default::default()
    }];
    Rows::decode(
        Signal::Traces,
        &ExportTraceServiceRequest { resource_spans }.encode_to_vec(),
    )
    .unwrap()
}

#[test]
fn spans_with_wrong_ids_are_rejected_and_counted() {
    let span = |trace_id: &[u8], span_id: &[u8]| trace::Span {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        ..Default::default()
    };
    assert_eq!(
        one_span(span(&[1; 15], &[1; 8])).rejected,
        [(Reject::InvalidTraceId, 1)]
    );
    assert_eq!(
        one_span(span(&[0; 16], &[1; 8])).rejected,
        [(Reject::InvalidTraceId, 1)]
    );
    assert_eq!(
        one_span(span(&[1; 16], &[])).rejected,
        [(Reject::InvalidSpanId, 1)]
    );
    assert_eq!(
        one_span(span(&[1; 16], &[0; 8])).rejected,
        [(Reject::InvalidSpanId, 1)]
    );
    assert_eq!(one_span(span(&[1; 16], &[1; 8])).spans.len(), 1);
}

#[test]
fn logs_with_wrong_ids_are_kept_untraced() {
    let record = logs::LogRecord {
        trace_id: vec![1; 3],
        span_id: vec![0; 8],
        attributes: vec![attribute("k", "a"), attribute("k", "b")],
        ..Default::default()
    };
    let scope_logs = vec![logs::ScopeLogs {
        log_records: vec![record],
        ..Default::default()
    }];
    let resource_logs = vec![logs::ResourceLogs {
        scope_logs,
        ..Default::default()
    }];
    let bytes = ExportLogsServiceRequest { resource_logs }.encode_to_vec();
    let rows = Rows::decode(Signal::Logs, &bytes).unwrap();
    assert_eq!(rows.rejected, []);
    assert_eq!((rows.logs[0].trace_id, rows.logs[0].span_id), (None, None));
    assert_eq!(rows.logs[0].attributes.len(), 2);
    assert_eq!(
        model::value::last(&rows.logs[0].attributes, "k"),
        Some(&Value::from("b"))
    );
}

fn attribute(key: &str, value: &str) -> common::KeyValue {
    let value = common::any_value::Value::StringValue(value.to_owned());
    common::KeyValue {
        key: key.to_owned(),
        value: Some(common::AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

fn one_metric(name: &str, data: metrics::metric::Data) -> Rows {
    let metric = metrics::Metric {
        name: name.to_owned(),
        data: Some(data),
        ..Default::default()
    };
    let scope_metrics = vec![metrics::ScopeMetrics {
        metrics: vec![metric],
        ..Default::default()
    }];
    let resource_metrics = vec![metrics::ResourceMetrics {
        scope_metrics,
        ..Default::default()
    }];
    let bytes = ExportMetricsServiceRequest { resource_metrics }.encode_to_vec();
    Rows::decode(Signal::Metrics, &bytes).unwrap()
}

#[test]
fn bad_points_are_rejected_with_their_reason() {
    use metrics::metric::Data;
    let at = |time_unix_nano| metrics::NumberDataPoint {
        time_unix_nano,
        ..Default::default()
    };
    let gauge = |times: &[u64]| {
        Data::Gauge(metrics::Gauge {
            data_points: times.iter().map(|time| at(*time)).collect(),
        })
    };
    assert_eq!(
        one_metric("m", gauge(&[0, 1, 0])).rejected,
        [(Reject::ZeroTime, 2)]
    );
    assert_eq!(one_metric("m", gauge(&[0, 1, 0])).points.len(), 1);
    assert_eq!(
        one_metric("", gauge(&[1, 2])).rejected,
        [(Reject::EmptyMetricName, 2)]
    );
    let exponential = |zero_threshold| {
        let point = metrics::ExponentialHistogramDataPoint {
            time_unix_nano: 1,
            zero_threshold,
            ..Default::default()
        };
        Data::ExponentialHistogram(metrics::ExponentialHistogram {
            data_points: vec![point],
            aggregation_temporality: 2,
        })
    };
    for (width, rejected) in [
        (0.0, false),
        (f64::INFINITY, false),
        (-1.0, true),
        (f64::NAN, true),
    ] {
        let expected = if rejected {
            vec![(Reject::MalformedHistogram, 1)]
        } else {
            Vec::new()
        };
        assert_eq!(
            one_metric("m", exponential(width)).rejected,
            expected,
            "{width}"
        );
    }
    let sum = |temporality| {
        Data::Sum(metrics::Sum {
            data_points: vec![at(1)],
            aggregation_temporality: temporality,
            is_monotonic: true,
        })
    };
    assert_eq!(
        one_metric("m", sum(0)).rejected,
        [(Reject::UnspecifiedTemporality, 1)]
    );
    assert_eq!(
        one_metric("m", sum(7)).rejected,
        [(Reject::UnspecifiedTemporality, 1)]
    );
    assert_eq!(
        one_metric("m", sum(1)).points[0].0.metric.temporality,
        Temporality::Delta
    );
    let histogram = |counts: &[u64], bounds: &[f64]| {
        let point = metrics::HistogramDataPoint {
            time_unix_nano: 1,
            bucket_counts: counts.to_vec(),
            explicit_bounds: bounds.to_vec(),
            ..Default::default()
        };
        Data::Histogram(metrics::Histogram {
            data_points: vec![point],
            aggregation_temporality: 2,
        })
    };
    assert_eq!(
        one_metric("m", histogram(&[1, 2], &[])).rejected,
        [(Reject::MalformedHistogram, 1)]
    );
    assert_eq!(one_metric("m", histogram(&[1, 2], &[1.0])).points.len(), 1);
    assert_eq!(one_metric("m", histogram(&[], &[])).points.len(), 1);
}

#[test]
fn envelopes_may_put_their_resource_last() {
    let span = trace::Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        ..Default::default()
    };
    let scope = trace::ScopeSpans {
        spans: vec![span],
        ..Default::default()
    };
    let first = trace::ResourceSpans {
        scope_spans: vec![scope],
        ..Default::default()
    };
    let last = trace::ResourceSpans {
        resource: Some(Resource {
            attributes: vec![attribute("service.name", "late")],
            ..Default::default()
        }),
        schema_url: "s".to_owned(),
        ..Default::default()
    };
    let mut envelope = first.encode_to_vec();
    envelope.extend(last.encode_to_vec());
    let mut request = Vec::new();
    model::wire::put_bytes(&mut request, 1, &envelope);
    let rows = Rows::decode(Signal::Traces, &request).unwrap();
    assert_eq!(rows.spans[0].resource.service(), "late");
    assert_eq!(rows.spans[0].resource.schema_url, "s");
}

/// A sink that says what it was handed, in order.
#[derive(Default)]
struct Calls(Vec<&'static str>);

impl RowSink for Calls {
    fn room(&mut self, _: usize) -> Result<(), NoRoom> {
        Ok(())
    }
    fn resource(&mut self, _: &ResourceRef<'_>) -> Result<(), NoRoom> {
        self.0.push("resource");
        Ok(())
    }
    fn scope(&mut self, _: &ScopeRef<'_>) -> Result<(), NoRoom> {
        self.0.push("scope");
        Ok(())
    }
    fn span(&mut self, _: &SpanRef<'_>) -> Result<(), NoRoom> {
        self.0.push("span");
        Ok(())
    }
    fn log(&mut self, _: &LogRef<'_>) -> Result<(), NoRoom> {
        self.0.push("log");
        Ok(())
    }
    fn metric(&mut self, _: &MetricRef<'_>) -> Result<(), NoRoom> {
        Ok(())
    }
    fn point(&mut self, _: &PointRef<'_>) -> Result<(), NoRoom> {
        Ok(())
    }
    fn reject(&mut self, _: Reject, _: u64) {}
}

#[test]
fn what_holds_no_row_is_not_handed_on() {
    let scope = |records| logs::ScopeLogs {
        log_records: vec![logs::LogRecord::default(); records],
        ..Default::default()
    };
    let resource = |scope_logs: Vec<logs::ScopeLogs>| logs::ResourceLogs {
        resource: Some(Resource {
            attributes: vec![attribute("service.name", "s")],
            ..Default::default()
        }),
        scope_logs,
        ..Default::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![
            logs::ResourceLogs::default(),
            resource(vec![scope(0), scope(0)]),
            resource(vec![scope(0), scope(2), scope(1)]),
            resource(Vec::new()),
        ],
    };
    let mut calls = Calls::default();
    super::decode(Signal::Logs, &request.encode_to_vec(), &mut calls).unwrap();
    assert_eq!(calls.0, ["resource", "scope", "log", "log", "scope", "log"]);
    // What is wrong in an empty one is found all the same.
    let mut broken = request.encode_to_vec();
    model::wire::put_bytes(&mut broken, 1, &[0x0a, 2, 0x0a, 9]);
    assert!(super::decode(Signal::Logs, &broken, &mut Calls::default()).is_err());
}
