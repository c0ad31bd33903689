//! The rows that a generated decoder finds in a request.

use std::collections::BTreeMap;

use model::metric::{Buckets, Exemplar, ExemplarValue, ExponentialHistogram, Histogram, Summary};
use model::resource::EntityRef;
use model::{Event, KeyValue, Link, LogRecord, Scope, Span, SpanId, TraceId};

use super::*;

/// What is to come of a request.
#[derive(Default)]
pub(super) struct Expected {
    pub spans: Vec<Span>,
    pub logs: Vec<LogRecord>,
    pub points: Vec<(Series, DataPoint)>,
    pub rejected: BTreeMap<Reject, u64>,
}

pub(super) fn expected(signal: Signal, bytes: &[u8]) -> Result<Expected, prost::DecodeError> {
    let mut rows = Expected::default();
    match signal {
        Signal::Traces => rows.traces(ExportTraceServiceRequest::decode(bytes)?),
        Signal::Logs => rows.logs(ExportLogsServiceRequest::decode(bytes)?),
        Signal::Metrics => rows.metrics(ExportMetricsServiceRequest::decode(bytes)?),
    }
    Ok(rows)
}

fn value(value: Option<common::AnyValue>) -> Value {
    use common::any_value::Value as Sent;
    match value.and_then(|value| value.value) {
        // An index into a table that only profiles have is as good as nothing.
        None | Some(Sent::StringValueStrindex(_)) => Value::Empty,
        Some(Sent::StringValue(text)) => Value::Str(text),
        Some(Sent::BoolValue(flag)) => Value::Bool(flag),
        Some(Sent::IntValue(int)) => Value::Int(int),
        Some(Sent::DoubleValue(double)) => Value::Double(double),
        Some(Sent::BytesValue(bytes)) => Value::Bytes(bytes),
        Some(Sent::ArrayValue(list)) => {
            let items = list.values.into_iter();
            Value::Array(items.map(|item| self::value(Some(item))).collect())
        }
        Some(Sent::KvlistValue(list)) => Value::KvList(attributes(list.values)),
    }
}

fn attributes(pairs: Vec<common::KeyValue>) -> Vec<KeyValue> {
    let pair = |pair: common::KeyValue| KeyValue {
        key: pair.key,
        value: value(pair.value),
    };
    pairs.into_iter().map(pair).collect()
}

fn resource(sent: Option<Resource>, schema_url: String) -> Arc<model::Resource> {
    let sent = sent.unwrap_or_default();
    let entity = |entity: common::EntityRef| EntityRef {
        schema_url: entity.schema_url,
        r#type: entity.r#type,
        id_keys: entity.id_keys,
        description_keys: entity.description_keys,
    };
    Arc::new(model::Resource {
        attributes: attributes(sent.attributes),
        dropped_attributes_count: sent.dropped_attributes_count,
        entity_refs: sent.entity_refs.into_iter().map(entity).collect(),
        schema_url,
    })
}

fn scope(sent: Option<common::InstrumentationScope>, schema_url: String) -> Arc<Scope> {
    let sent = sent.unwrap_or_default();
    Arc::new(Scope {
        name: sent.name,
        version: sent.version,
        attributes: attributes(sent.attributes),
        dropped_attributes_count: sent.dropped_attributes_count,
        schema_url,
    })
}

impl Expected {
    fn reject(&mut self, reason: Reject) {
        *self.rejected.entry(reason).or_default() += 1;
    }

    fn traces(&mut self, request: ExportTraceServiceRequest) {
        for outer in request.resource_spans {
            let resource = resource(outer.resource, outer.schema_url);
            for inner in outer.scope_spans {
                let scope = scope(inner.scope, inner.schema_url);
                for span in inner.spans {
                    self.span(&resource, &scope, span);
                }
            }
        }
    }

    fn span(&mut self, resource: &Arc<model::Resource>, scope: &Arc<Scope>, sent: trace::Span) {
        let Some(trace_id) = TraceId::from_wire(&sent.trace_id) else {
            return self.reject(Reject::InvalidTraceId);
        };
        let Some(span_id) = SpanId::from_wire(&sent.span_id) else {
            return self.reject(Reject::InvalidSpanId);
        };
        let event = |event: trace::span::Event| Event {
            time_unix_nano: event.time_unix_nano,
            name: event.name,
            attributes: attributes(event.attributes),
            dropped_attributes_count: event.dropped_attributes_count,
        };
        let link = |link: trace::span::Link| Link {
            trace_id: link.trace_id,
            span_id: link.span_id,
            trace_state: link.trace_state,
            attributes: attributes(link.attributes),
            dropped_attributes_count: link.dropped_attributes_count,
            flags: link.flags,
        };
        let has_status = sent.status.is_some();
        let status = sent.status.unwrap_or_default();
        self.spans.push(Span {
            resource: resource.clone(),
            scope: scope.clone(),
            trace_id,
            span_id,
            parent_span_id: SpanId::from_wire(&sent.parent_span_id),
            trace_state: sent.trace_state,
            flags: sent.flags,
            name: sent.name,
            kind: sent.kind,
            start_unix_nano: sent.start_time_unix_nano,
            end_unix_nano: sent.end_time_unix_nano,
            attributes: attributes(sent.attributes),
            dropped_attributes_count: sent.dropped_attributes_count,
            events: sent.events.into_iter().map(event).collect(),
            dropped_events_count: sent.dropped_events_count,
            links: sent.links.into_iter().map(link).collect(),
            dropped_links_count: sent.dropped_links_count,
            status_code: status.code,
            status_message: status.message,
            has_status,
            correlation: Vec::new(),
            clock: None,
        });
    }

    fn logs(&mut self, request: ExportLogsServiceRequest) {
        for outer in request.resource_logs {
            let resource = resource(outer.resource, outer.schema_url);
            for inner in outer.scope_logs {
                let scope = scope(inner.scope, inner.schema_url);
                let record = |sent: logs::LogRecord| LogRecord {
                    resource: resource.clone(),
                    scope: scope.clone(),
                    time_unix_nano: sent.time_unix_nano,
                    observed_time_unix_nano: sent.observed_time_unix_nano,
                    severity_number: sent.severity_number,
                    severity_text: sent.severity_text,
                    has_empty_body: sent.body.as_ref().is_some_and(|body| body.value.is_none()),
                    body: value(sent.body),
                    attributes: attributes(sent.attributes),
                    dropped_attributes_count: sent.dropped_attributes_count,
                    flags: sent.flags,
                    trace_id: TraceId::from_wire(&sent.trace_id),
                    span_id: SpanId::from_wire(&sent.span_id),
                    event_name: sent.event_name,
                    correlation: Vec::new(),
                    clock: None,
                };
                self.logs.extend(inner.log_records.into_iter().map(record));
            }
        }
    }

    fn metrics(&mut self, request: ExportMetricsServiceRequest) {
        for outer in request.resource_metrics {
            let resource = resource(outer.resource, outer.schema_url);
            for inner in outer.scope_metrics {
                let scope = scope(inner.scope, inner.schema_url);
                for metric in inner.metrics {
                    self.metric(&resource, &scope, metric);
                }
            }
        }
    }

    fn metric(
        &mut self,
        resource: &Arc<model::Resource>,
        scope: &Arc<Scope>,
        sent: metrics::Metric,
    ) {
        use metrics::metric::Data;
        let Some(data) = sent.data else {
            return;
        };
        let no_name = sent.name.is_empty();
        let series = |kind, temporality, monotonic| {
            let metric = Metric {
                name: sent.name,
                description: sent.description,
                unit: sent.unit,
                kind,
                temporality,
                monotonic,
                metadata: attributes(sent.metadata),
            };
            Series {
                resource: resource.clone(),
                scope: scope.clone(),
                metric: Arc::new(metric),
                attributes: Vec::new(),
            }
        };
        let temporality = |code: i32| match code {
            1 => (Temporality::Delta, None),
            2 => (Temporality::Cumulative, None),
            _ => (Temporality::None, Some(Reject::UnspecifiedTemporality)),
        };
        let (series, reject, points) = match data {
            Data::Gauge(data) => {
                let series = series(MetricKind::Gauge, Temporality::None, false);
                (
                    series,
                    None,
                    data.data_points.into_iter().map(number).collect(),
                )
            }
            Data::Sum(data) => {
                let (temporality, reject) = temporality(data.aggregation_temporality);
                let series = series(MetricKind::Sum, temporality, data.is_monotonic);
                (
                    series,
                    reject,
                    data.data_points.into_iter().map(number).collect(),
                )
            }
            Data::Histogram(data) => {
                let (temporality, reject) = temporality(data.aggregation_temporality);
                let series = series(MetricKind::Histogram, temporality, false);
                (
                    series,
                    reject,
                    data.data_points.into_iter().map(histogram).collect(),
                )
            }
            Data::ExponentialHistogram(data) => {
                let (temporality, reject) = temporality(data.aggregation_temporality);
                let series = series(MetricKind::ExponentialHistogram, temporality, false);
                (
                    series,
                    reject,
                    data.data_points.into_iter().map(exponential).collect(),
                )
            }
            Data::Summary(data) => {
                let series = series(MetricKind::Summary, Temporality::None, false);
                (
                    series,
                    None,
                    data.data_points.into_iter().map(summary).collect(),
                )
            }
        };
        let points: Vec<Point> = points;
        for (attributes, point) in points {
            let malformed = match &point.value {
                PointValue::Histogram(value) => {
                    let (counts, bounds) = (value.bucket_counts.len(), value.explicit_bounds.len());
                    counts + bounds > 0 && counts != bounds + 1
                }
                PointValue::Exponential(value) => {
                    value.zero_threshold.is_nan() || value.zero_threshold < 0.0
                }
                _ => false,
            };
            if no_name {
                self.reject(Reject::EmptyMetricName);
            } else if let Some(reason) = reject {
                self.reject(reason);
            } else if point.time_unix_nano == 0 {
                self.reject(Reject::ZeroTime);
            } else if malformed {
                self.reject(Reject::MalformedHistogram);
            } else {
                let series = Series {
                    attributes,
                    ..series.clone()
                };
                self.points.push((series, point));
            }
        }
    }
}

type Point = (Vec<KeyValue>, DataPoint);

fn exemplars(sent: Vec<metrics::Exemplar>) -> Vec<Exemplar> {
    use metrics::exemplar::Value as Sent;
    let exemplar = |sent: metrics::Exemplar| Exemplar {
        filtered_attributes: attributes(sent.filtered_attributes),
        time_unix_nano: sent.time_unix_nano,
        value: match sent.value {
            None => ExemplarValue::Empty,
            Some(Sent::AsDouble(double)) => ExemplarValue::Double(double),
            Some(Sent::AsInt(int)) => ExemplarValue::Int(int),
        },
        span_id: sent.span_id,
        trace_id: sent.trace_id,
    };
    sent.into_iter().map(exemplar).collect()
}

fn number(sent: metrics::NumberDataPoint) -> Point {
    use metrics::number_data_point::Value as Sent;
    let point = DataPoint {
        start_unix_nano: sent.start_time_unix_nano,
        time_unix_nano: sent.time_unix_nano,
        flags: sent.flags,
        value: match sent.value {
            None => PointValue::Empty,
            Some(Sent::AsDouble(double)) => PointValue::Double(double),
            Some(Sent::AsInt(int)) => PointValue::Int(int),
        },
        exemplars: exemplars(sent.exemplars),
    };
    (attributes(sent.attributes), point)
}

fn histogram(sent: metrics::HistogramDataPoint) -> Point {
    let value = Histogram {
        count: sent.count,
        sum: sent.sum,
        bucket_counts: sent.bucket_counts,
        explicit_bounds: sent.explicit_bounds,
        min: sent.min,
        max: sent.max,
    };
    let point = DataPoint {
        start_unix_nano: sent.start_time_unix_nano,
        time_unix_nano: sent.time_unix_nano,
        flags: sent.flags,
        value: PointValue::Histogram(value),
        exemplars: exemplars(sent.exemplars),
    };
    (attributes(sent.attributes), point)
}

fn exponential(sent: metrics::ExponentialHistogramDataPoint) -> Point {
    let buckets = |sent: metrics::exponential_histogram_data_point::Buckets| Buckets {
        offset: sent.offset,
        bucket_counts: sent.bucket_counts,
    };
    let value = ExponentialHistogram {
        count: sent.count,
        sum: sent.sum,
        scale: sent.scale,
        zero_count: sent.zero_count,
        positive: sent.positive.map(buckets),
        negative: sent.negative.map(buckets),
        min: sent.min,
        max: sent.max,
        zero_threshold: sent.zero_threshold,
    };
    let point = DataPoint {
        start_unix_nano: sent.start_time_unix_nano,
        time_unix_nano: sent.time_unix_nano,
        flags: sent.flags,
        value: PointValue::Exponential(value),
        exemplars: exemplars(sent.exemplars),
    };
    (attributes(sent.attributes), point)
}

fn summary(sent: metrics::SummaryDataPoint) -> Point {
    let quantiles = sent.quantile_values.into_iter();
    let value = Summary {
        count: sent.count,
        sum: sent.sum,
        quantiles: quantiles.map(|pair| (pair.quantile, pair.value)).collect(),
    };
    let point = DataPoint {
        start_unix_nano: sent.start_time_unix_nano,
        time_unix_nano: sent.time_unix_nano,
        flags: sent.flags,
        value: PointValue::Summary(value),
        exemplars: Vec::new(),
    };
    (attributes(sent.attributes), point)
}
