//! Random OTLP messages whose rows are all valid.

use super::*;

fn text() -> impl Strategy<Value = String> {
    "[a-c\u{e9}]{0,3}"
}

fn value() -> impl Strategy<Value = common::any_value::Value> {
    use common::any_value::Value;
    let leaf = prop_oneof![
        text().prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        double().prop_map(Value::DoubleValue),
        vec(any::<u8>(), 0..4).prop_map(Value::BytesValue),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        let any = inner.prop_map(|value| common::AnyValue { value: Some(value) });
        let pair = (text(), any.clone()).prop_map(|(key, value)| common::KeyValue {
            key,
            value: Some(value),
            ..Default::default()
        });
        prop_oneof![
            vec(any, 0..3).prop_map(|values| Value::ArrayValue(common::ArrayValue { values })),
            vec(pair, 0..3).prop_map(|values| Value::KvlistValue(common::KeyValueList { values })),
        ]
    })
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(-0.0),
        Just(f64::INFINITY),
        any::<i32>().prop_map(f64::from)
    ]
}

fn attributes() -> impl Strategy<Value = Vec<common::KeyValue>> {
    let pair = (text(), proptest::option::of(value())).prop_map(|(key, value)| common::KeyValue {
        key,
        value: Some(common::AnyValue { value }),
        ..Default::default()
    });
    vec(pair, 0..4)
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    let entity = (text(), text(), vec(text(), 0..3), vec(text(), 0..2)).prop_map(
        |(schema_url, r#type, id_keys, description_keys)| common::EntityRef {
            schema_url,
            r#type,
            id_keys,
            description_keys,
        },
    );
    proptest::option::of((attributes(), any::<u32>(), vec(entity, 0..2)).prop_map(
        |(attributes, dropped_attributes_count, entity_refs)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs,
        },
    ))
}

fn scope() -> impl Strategy<Value = Option<common::InstrumentationScope>> {
    proptest::option::of((text(), text(), attributes(), 0..3u32).prop_map(
        |(name, version, attributes, dropped_attributes_count)| common::InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    ))
}

fn id<const N: usize>() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=255u8, N)
}

fn span() -> impl Strategy<Value = trace::Span> {
    let event = (any::<u64>(), text(), attributes(), 0..3u32).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| trace::span::Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    );
    let link = (
        vec(any::<u8>(), 0..17),
        vec(any::<u8>(), 0..9),
        text(),
        attributes(),
        any::<u32>(),
    )
        .prop_map(
            |(trace_id, span_id, trace_state, attributes, flags)| trace::span::Link {
                trace_id,
                span_id,
                trace_state,
                attributes,
                dropped_attributes_count: flags / 3,
                flags,
            },
        );
    let status = proptest::option::of((text(), any::<i32>()))
        .prop_map(|status| status.map(|(message, code)| trace::Status { message, code }));
    let ids = (
        id::<16>(),
        id::<8>(),
        prop_oneof![Just(Vec::new()), id::<8>()],
    );
    let lists = (attributes(), vec(event, 0..3), vec(link, 0..3));
    (
        ids,
        lists,
        text(),
        text(),
        any::<[u32; 4]>(),
        any::<i32>(),
        any::<[u64; 2]>(),
        status,
    )
        .prop_map(
            |(ids, (attributes, events, links), trace_state, name, counts, kind, times, status)| {
                trace::Span {
                    trace_id: ids.0,
                    span_id: ids.1,
                    trace_state,
                    parent_span_id: ids.2,
                    flags: counts[0],
                    name,
                    kind,
                    start_time_unix_nano: times[0],
                    end_time_unix_nano: times[1],
                    attributes,
                    dropped_attributes_count: counts[1],
                    events,
                    dropped_events_count: counts[2],
                    links,
                    dropped_links_count: counts[3],
                    status,
                }
            },
        )
}

pub(super) fn traces() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope = (scope(), vec(span(), 0..3), text()).prop_map(|(scope, spans, schema_url)| {
        trace::ScopeSpans {
            scope,
            spans,
            schema_url,
        }
    });
    let resource =
        (resource(), vec(scope, 0..3), text()).prop_map(|(resource, scope_spans, schema_url)| {
            trace::ResourceSpans {
                resource,
                scope_spans,
                schema_url,
            }
        });
    vec(resource, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

fn log() -> impl Strategy<Value = logs::LogRecord> {
    let body = proptest::option::of(proptest::option::of(value()))
        .prop_map(|body| body.map(|value| common::AnyValue { value }));
    let ids = (
        prop_oneof![Just(Vec::new()), id::<16>()],
        prop_oneof![Just(Vec::new()), id::<8>()],
    );
    (
        ids,
        body,
        attributes(),
        text(),
        text(),
        any::<[u32; 2]>(),
        any::<i32>(),
        any::<[u64; 2]>(),
    )
        .prop_map(
            |(ids, body, attributes, severity_text, event_name, counts, severity_number, times)| {
                logs::LogRecord {
                    time_unix_nano: times[0],
                    observed_time_unix_nano: times[1],
                    severity_number,
                    severity_text,
                    body,
                    attributes,
                    dropped_attributes_count: counts[0],
                    flags: counts[1],
                    trace_id: ids.0,
                    span_id: ids.1,
                    event_name,
                }
            },
        )
}

pub(super) fn logs() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let scope = (scope(), vec(log(), 0..3), text()).prop_map(|(scope, log_records, schema_url)| {
        logs::ScopeLogs {
            scope,
            log_records,
            schema_url,
        }
    });
    let resource =
        (resource(), vec(scope, 0..3), text()).prop_map(|(resource, scope_logs, schema_url)| {
            logs::ResourceLogs {
                resource,
                scope_logs,
                schema_url,
            }
        });
    vec(resource, 0..3).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

fn exemplars() -> impl Strategy<Value = Vec<metrics::Exemplar>> {
    use metrics::exemplar::Value;
    let value = proptest::option::of(prop_oneof![
        double().prop_map(Value::AsDouble),
        any::<i64>().prop_map(Value::AsInt)
    ]);
    let exemplar = (attributes(), any::<u64>(), id::<16>(), value).prop_map(
        |(filtered_attributes, time_unix_nano, trace_id, value)| metrics::Exemplar {
            filtered_attributes,
            time_unix_nano,
            span_id: trace_id[..8].to_vec(),
            trace_id,
            value,
        },
    );
    vec(exemplar, 0..2)
}

fn number() -> impl Strategy<Value = metrics::NumberDataPoint> {
    use metrics::number_data_point::Value;
    let value = proptest::option::of(prop_oneof![
        double().prop_map(Value::AsDouble),
        any::<i64>().prop_map(Value::AsInt)
    ]);
    (
        attributes(),
        any::<u64>(),
        1u64..,
        exemplars(),
        any::<u32>(),
        value,
    )
        .prop_map(
            |(attributes, start_time_unix_nano, time_unix_nano, exemplars, flags, value)| {
                metrics::NumberDataPoint {
                    attributes,
                    start_time_unix_nano,
                    time_unix_nano,
                    exemplars,
                    flags,
                    value,
                }
            },
        )
}

fn histogram() -> impl Strategy<Value = metrics::HistogramDataPoint> {
    let optional = || proptest::option::of(double());
    (
        attributes(),
        any::<u64>(),
        1u64..,
        vec((any::<u64>(), double()), 0..4),
        exemplars(),
        any::<u32>(),
        [optional(), optional(), optional()],
    )
        .prop_map(
            |(attributes, count, time_unix_nano, buckets, exemplars, flags, [sum, min, max])| {
                let (bucket_counts, mut explicit_bounds): (Vec<u64>, Vec<f64>) =
                    buckets.into_iter().unzip();
                explicit_bounds.pop();
                metrics::HistogramDataPoint {
                    attributes,
                    start_time_unix_nano: count / 2,
                    time_unix_nano,
                    count,
                    sum,
                    bucket_counts,
                    explicit_bounds,
                    exemplars,
                    flags,
                    min,
                    max,
                }
            },
        )
}

fn exponential() -> impl Strategy<Value = metrics::ExponentialHistogramDataPoint> {
    use metrics::exponential_histogram_data_point::Buckets;
    let optional = || proptest::option::of(double());
    let buckets = || {
        proptest::option::of((any::<i32>(), vec(any::<u64>(), 0..4)).prop_map(
            |(offset, bucket_counts)| Buckets {
                offset,
                bucket_counts,
            },
        ))
    };
    (
        attributes(),
        any::<u64>(),
        1u64..,
        any::<i32>(),
        [buckets(), buckets()],
        exemplars(),
        any::<u32>(),
        [optional(), optional(), optional()],
        // Others are no width.
        double().prop_filter("a width", |width| *width >= 0.0),
    )
        .prop_map(
            |(
                attributes,
                count,
                time_unix_nano,
                scale,
                [positive, negative],
                exemplars,
                flags,
                [sum, min, max],
                zero_threshold,
            )| {
                metrics::ExponentialHistogramDataPoint {
                    attributes,
                    start_time_unix_nano: count / 3,
                    time_unix_nano,
                    count,
                    sum,
                    scale,
                    zero_count: count / 5,
                    positive,
                    negative,
                    flags,
                    exemplars,
                    min,
                    max,
                    zero_threshold,
                }
            },
        )
}

fn summary() -> impl Strategy<Value = metrics::SummaryDataPoint> {
    use metrics::summary_data_point::ValueAtQuantile;
    let quantile =
        (double(), double()).prop_map(|(quantile, value)| ValueAtQuantile { quantile, value });
    (
        attributes(),
        any::<u64>(),
        1u64..,
        double(),
        vec(quantile, 0..3),
        any::<u32>(),
    )
        .prop_map(
            |(attributes, count, time_unix_nano, sum, quantile_values, flags)| {
                metrics::SummaryDataPoint {
                    attributes,
                    start_time_unix_nano: count / 7,
                    time_unix_nano,
                    count,
                    sum,
                    quantile_values,
                    flags,
                }
            },
        )
}

fn metric() -> impl Strategy<Value = metrics::Metric> {
    use metrics::metric::Data;
    let data = prop_oneof![
        vec(number(), 1..3).prop_map(|data_points| Data::Gauge(metrics::Gauge { data_points })),
        (vec(number(), 1..3), 1..3, any::<bool>()).prop_map(
            |(data_points, aggregation_temporality, is_monotonic)| Data::Sum(metrics::Sum {
                data_points,
                aggregation_temporality,
                is_monotonic
            })
        ),
        (vec(histogram(), 1..3), 1..3).prop_map(|(data_points, aggregation_temporality)| {
            Data::Histogram(metrics::Histogram {
                data_points,
                aggregation_temporality,
            })
        }),
        (vec(exponential(), 1..3), 1..3).prop_map(|(data_points, aggregation_temporality)| {
            Data::ExponentialHistogram(metrics::ExponentialHistogram {
                data_points,
                aggregation_temporality,
            })
        }),
        vec(summary(), 1..3)
            .prop_map(|data_points| Data::Summary(metrics::Summary { data_points })),
    ];
    (text(), text(), text(), attributes(), data).prop_map(
        |(name, description, unit, metadata, data)| metrics::Metric {
            name: format!("m{name}"),
            description,
            unit,
            metadata,
            data: Some(data),
        },
    )
}

pub(super) fn metrics() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let scope = (scope(), vec(metric(), 0..3), text()).prop_map(|(scope, metrics, schema_url)| {
        metrics::ScopeMetrics {
            scope,
            metrics,
            schema_url,
        }
    });
    let resource =
        (resource(), vec(scope, 0..2), text()).prop_map(|(resource, scope_metrics, schema_url)| {
            metrics::ResourceMetrics {
                resource,
                scope_metrics,
                schema_url,
            }
        });
    vec(resource, 0..2)
        .prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}
