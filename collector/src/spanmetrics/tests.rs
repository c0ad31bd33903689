use std::sync::atomic::{AtomicU64, Ordering};

use model::metric::{DataPoint, ExemplarValue, MetricKind, PointValue, Series};
use model::{KeyValue, Resource, Span, SpanId, Tenant, TraceId, Value, value};
use otlp::rows::Rows;
use storage::write::WriteError;

use super::table::VALUE_BYTES_MAX;
use super::*;
use crate::ingest::tests::FakeSink;

#[derive(Debug, Default)]
struct FakeClock(AtomicU64);

impl Clock for FakeClock {
    fn unix_nanos(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic_nanos(&self) -> u64 {
        self.unix_nanos()
    }
}

const SECOND: u64 = 1_000_000_000;

fn span(service: &str, name: &str, millis: u64, status_code: i32) -> Span {
    let attributes = vec![KeyValue::new("service.name", service)];
    Span {
        resource: Arc::new(Resource {
            attributes,
            ..Resource::default()
        }),
        trace_id: TraceId([7; 16]),
        span_id: SpanId([8; 8]),
        name: name.to_owned(),
        kind: 1,
        start_unix_nano: 99 * SECOND,
        end_unix_nano: 99 * SECOND + millis * 1_000_000,
        status_code,
        has_status: true,
        ..Span::default()
    }
}

fn show(metrics: &SpanMetrics, spans: &[Span]) {
    let tenant = Tenant::default();
    crate::ingest::tests::show(&mut metrics.observer(), &tenant, spans);
}

/// What one emission wrote, of all tenants.
async fn emitted(metrics: &SpanMetrics) -> Vec<(Tenant, Series, DataPoint)> {
    let sink = FakeSink::default();
    metrics.emit(&sink).await;
    let batches = sink.batches.lock();
    let mut all = Vec::new();
    for batch in batches.iter() {
        let rows = Rows::decode(batch.signal, &batch.request).unwrap();
        assert!(rows.rejected.is_empty());
        let points = rows.points.into_iter();
        all.extend(points.map(|(series, point)| (batch.tenant.clone(), series, point)));
    }
    all
}

/// The latest point of each series: name, labels but for that of the collector, value.
async fn counts(metrics: &SpanMetrics, name: &str) -> Vec<(String, i64)> {
    let mut counts = Vec::new();
    for (_, series, point) in emitted(metrics).await {
        let PointValue::Int(count) = point.value else {
            continue;
        };
        if series.metric.name != name || point.time_unix_nano < metrics.shared.now().0 {
            continue;
        }
        let labels = series.attributes.iter();
        let labels = labels.filter(|label| label.key != "collector.instance.id");
        let labels: Vec<String> = labels.map(|label| label.value.to_text()).collect();
        counts.push((labels.join(" "), count));
    }
    counts.sort();
    counts
}

const COLLECTOR: &str = "10.0.0.1:4410";

fn fixture(options: &Options) -> (SpanMetrics, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::default());
    clock.0.store(100 * SECOND, Ordering::Relaxed);
    let metrics = SpanMetrics::new(COLLECTOR, options, Arc::clone(&clock) as Arc<dyn Clock>);
    (metrics, clock)
}

fn with_spans(change: impl FnOnce(&mut SpanOptions)) -> Options {
    let mut options = Options::default();
    change(options.spans.as_mut().unwrap());
    options
}

fn text<'a>(series: &'a Series, label: &str) -> Option<&'a str> {
    value::last(&series.attributes, label).and_then(Value::as_str)
}

#[tokio::test]
async fn spans_become_cumulative_series_with_exemplars() {
    let (metrics, clock) = fixture(&Options::default());
    show(
        &metrics,
        &[
            span("shop", "GET", 3, 0),
            span("shop", "GET", 100, 0),
            span("shop", "GET", 5, 2),
        ],
    );
    clock.0.fetch_add(SECOND, Ordering::Relaxed);
    let rows = emitted(&metrics).await;
    // Two series of each of four metrics (latencies have two forms), each with a point of zero before
    // the first one.
    assert_eq!(rows.len(), 16);
    let of = |name: &str, status: &str| -> Vec<(&Series, &DataPoint)> {
        let rows = rows.iter().map(|(_, series, point)| (series, point));
        rows.filter(|(series, _)| {
            series.metric.name == name && text(series, "status_code") == Some(status)
        })
        .collect()
    };
    let calls = of("traces_spanmetrics_calls", "STATUS_CODE_UNSET");
    let times: Vec<_> = calls
        .iter()
        .map(|(_, point)| (point.start_unix_nano, point.time_unix_nano, &point.value))
        .collect();
    assert_eq!(
        times,
        [
            (100 * SECOND, 100 * SECOND, &PointValue::Int(0)),
            (100 * SECOND, 101 * SECOND, &PointValue::Int(2))
        ]
    );
    let (series, _) = calls[0];
    assert!(series.metric.monotonic && series.metric.kind == MetricKind::Sum);
    assert_eq!(series.resource.service(), "shop");
    assert_eq!(text(series, "span_kind"), Some("SPAN_KIND_INTERNAL"));
    assert!(
        rows.iter()
            .all(|(_, series, _)| text(series, "collector.instance.id") == Some(COLLECTOR))
    );
    let size = of("traces_spanmetrics_size", "STATUS_CODE_UNSET");
    assert_eq!(size[1].1.value, PointValue::Int(200));
    let latency = of("traces_spanmetrics_latency", "STATUS_CODE_UNSET");
    let mut classic = latency.iter().filter_map(|(_, point)| match &point.value {
        PointValue::Histogram(histogram) => Some((histogram, *point)),
        _ => None,
    });
    let (histogram, point) = classic.next_back().unwrap();
    assert_eq!(
        (
            histogram.count,
            histogram.bucket_counts[1],
            histogram.bucket_counts[6]
        ),
        (2, 1, 1)
    );
    assert!((histogram.sum.unwrap() - 0.103).abs() < 1e-9);
    assert_eq!(point.exemplars.len(), 2);
    assert_eq!(point.exemplars[0].trace_id, [7; 16]);
    assert_eq!(point.exemplars[0].value, ExemplarValue::Double(0.003));
    assert_eq!(
        point.exemplars[0].time_unix_nano,
        99 * SECOND + 3_000_000,
        "when the span ended"
    );
}

#[tokio::test]
async fn only_what_changed_comes_again_and_now_and_then_everything() {
    let (metrics, clock) = fixture(&Options::default());
    show(
        &metrics,
        &[span("shop", "GET", 3, 0), span("shop", "GET", 5, 2)],
    );
    emitted(&metrics).await;
    clock.0.fetch_add(SECOND, Ordering::Relaxed);
    show(&metrics, &[span("shop", "GET", 1, 2)]);
    let again = counts(&metrics, "traces_spanmetrics_calls").await;
    let failed = "shop GET SPAN_KIND_INTERNAL STATUS_CODE_ERROR";
    assert_eq!(again, [(failed.to_owned(), 2)]);
    assert!(emitted(&metrics).await.is_empty());
    assert!(emitted(&metrics).await.is_empty());
    assert_eq!(emitted(&metrics).await.len(), 8);
}

#[tokio::test]
async fn an_example_that_came_late_has_the_time_at_which_it_counted() {
    let (metrics, clock) = fixture(&Options::default());
    clock.0.store(100_000 * SECOND, Ordering::Relaxed);
    let mut ahead = span("shop", "GET", 1, 0);
    ahead.end_unix_nano = u64::MAX;
    show(&metrics, &[span("shop", "GET", 3, 0), ahead]);
    let rows = emitted(&metrics).await;
    let examples = rows.iter().flat_map(|(_, _, point)| &point.exemplars);
    let times: Vec<u64> = examples.map(|example| example.time_unix_nano).collect();
    assert_eq!(times, [100_000 * SECOND; 4], "two in each of two forms");
}

#[tokio::test]
async fn tenants_are_counted_apart() {
    let (metrics, _) = fixture(&Options::default());
    let other = Tenant::new("other").unwrap();
    let one = [span("shop", "GET", 3, 0)];
    show(&metrics, &one);
    crate::ingest::tests::show(&mut metrics.observer(), &other, &one);
    crate::ingest::tests::show(&mut metrics.observer(), &other, &one);
    let mut found: Vec<_> = emitted(&metrics)
        .await
        .into_iter()
        .filter_map(|(tenant, series, point)| match point.value {
            PointValue::Int(count) if count > 0 && series.metric.name.ends_with("calls") => {
                Some((tenant, count))
            }
            _ => None,
        })
        .collect();
    found.sort();
    assert_eq!(found, [(Tenant::default(), 1), (other, 2)]);
}

#[tokio::test]
async fn dimensions_come_from_the_span_or_else_its_resource() {
    let options = with_spans(|spans| {
        spans.dimensions = vec!["http.route".into(), "region".into(), "missing".into()];
    });
    let (metrics, _) = fixture(&options);
    let mut one = span("shop", "GET", 3, 0);
    let mut resource = (*one.resource).clone();
    resource.attributes.push(KeyValue::new("region", "eu"));
    resource.attributes.push(KeyValue::new("http.route", "no"));
    one.resource = Arc::new(resource);
    one.attributes.push(KeyValue::new("http.route", 7i64));
    show(&metrics, &[one]);
    let rows = emitted(&metrics).await;
    let (_, series, _) = &rows[0];
    let labels: Vec<&str> = series.attributes.iter().map(|kv| kv.key.as_str()).collect();
    assert_eq!(
        labels[4..],
        ["http.route", "region", "collector.instance.id"]
    );
    assert_eq!(text(series, "http.route"), Some("7"));
    assert_eq!(text(series, "region"), Some("eu"));
}

#[tokio::test]
async fn a_dimension_of_a_name_that_is_taken_has_underscores_before_it() {
    let options = with_spans(|spans| {
        spans.dimensions = vec!["span.kind".into(), "service".into(), "job".into()];
    });
    let (metrics, _) = fixture(&options);
    let mut one = span("shop", "GET", 3, 0);
    for (key, value) in [("span.kind", "a"), ("service", "b"), ("job", "c")] {
        one.attributes.push(KeyValue::new(key, value));
    }
    show(&metrics, &[one]);
    let rows = emitted(&metrics).await;
    let (_, series, _) = &rows[0];
    let label = |name| text(series, name);
    assert_eq!(label("span_kind"), Some("SPAN_KIND_INTERNAL"));
    assert_eq!(label("service"), Some("shop"));
    assert_eq!(
        ["__span_kind", "__service", "__job"].map(label),
        [Some("a"), Some("b"), Some("c")]
    );
}

#[tokio::test]
async fn resources_become_target_info_where_that_is_wanted() {
    let options = with_spans(|spans| {
        let excluded = vec!["secret".to_owned()];
        spans.target_info = Some(TargetInfo { excluded });
    });
    let (metrics, clock) = fixture(&options);
    let with = |pairs: &[(&str, &str)]| {
        let attributes = pairs.iter().map(|(key, value)| KeyValue::new(*key, *value));
        let resource = Resource {
            attributes: attributes.collect(),
            ..Resource::default()
        };
        Span {
            resource: Arc::new(resource),
            ..span("", "GET", 3, 0)
        }
    };
    let full = with(&[
        ("service.name", "shop"),
        ("service.namespace", "eu"),
        ("service.instance.id", "shop-1"),
        ("host.name", "a"),
        ("host.name", "b"),
        ("job", "mine"),
        ("secret", "x"),
        ("1st", "x"),
    ]);
    // Nothing but its identity, and nothing that says whose it is.
    let bare = with(&[("service.name", "shop")]);
    let nameless = with(&[("host.name", "a")]);
    show(&metrics, &[full.clone(), full, bare, nameless]);
    clock.0.fetch_add(SECOND, Ordering::Relaxed);
    let rows = emitted(&metrics).await;
    let of = |name: &str| -> Vec<(&Series, &DataPoint)> {
        let rows = rows
            .iter()
            .filter(|(_, series, _)| series.metric.name == name);
        rows.map(|(_, series, point)| (series, point)).collect()
    };
    let info = of("traces_target_info");
    let [(series, point)] = info[..] else {
        panic!("{info:#?}")
    };
    assert_eq!(
        (series.metric.kind, &point.value),
        (MetricKind::Gauge, &PointValue::Int(1))
    );
    let labels = |series: &Series| -> Vec<String> {
        let labels = series.attributes.iter();
        labels
            .map(|kv| format!("{}={}", kv.key, kv.value.to_text()))
            .collect()
    };
    let counted_by = format!("collector.instance.id={COLLECTOR}");
    assert_eq!(labels(series), ["host.name=b", "__job=mine", &counted_by]);
    let identity = |series: &Series| -> Vec<String> {
        let attributes = series.resource.attributes.iter();
        attributes.map(|kv| kv.value.to_text()).collect()
    };
    assert_eq!(identity(series), ["shop", "eu", "shop-1"]);
    // Spans are counted by what identifies their services.
    let mut calls: Vec<_> = of("traces_spanmetrics_calls")
        .into_iter()
        .filter(|(_, point)| point.value != PointValue::Int(0))
        .map(|(series, point)| (identity(series), point.value.clone()))
        .collect();
    calls.sort_by_key(|(identity, _)| identity.clone());
    let names =
        |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).into()).collect() };
    assert_eq!(
        calls,
        [
            (names(&["shop"]), PointValue::Int(1)),
            (names(&["shop", "eu", "shop-1"]), PointValue::Int(2)),
            (names(&["unknown_service"]), PointValue::Int(1)),
        ]
    );
}

#[tokio::test]
async fn series_beyond_the_limit_are_counted_together() {
    let (metrics, _) = fixture(&with_spans(|spans| spans.series = 2));
    let spans: Vec<Span> = (0..10)
        .map(|n| span("s", &format!("op{n}"), 1, 0))
        .collect();
    show(&metrics, &spans);
    show(&metrics, &[span("s", "op0", 1, 0)]);
    let found = counts(&metrics, "traces_spanmetrics_calls").await;
    let known = |op: &str| format!("s {op} SPAN_KIND_INTERNAL STATUS_CODE_UNSET");
    assert_eq!(
        found,
        [(known("op0"), 2), (known("op1"), 1), ("true".to_owned(), 8)]
    );
    let totals = metrics.shared.state.lock().totals();
    assert_eq!((totals.series, totals.overflowed_spans), (2, 8));

    let long = "x".repeat(VALUE_BYTES_MAX + 1);
    let (metrics, _) = fixture(&Options::default());
    show(&metrics, &[span("s", &long, 1, 0)]);
    assert_eq!(metrics.shared.state.lock().totals().overflowed_spans, 1);
}

#[tokio::test]
async fn all_tenants_together_have_a_limit_too() {
    let (metrics, _) = fixture(&with_spans(|spans| spans.series = 2));
    for tenant in 0..1100 {
        let tenant = Tenant::new(&format!("t{tenant}")).unwrap();
        let spans = ["a", "b", "c"].map(|name| span("s", name, 1, 0));
        crate::ingest::tests::show(&mut metrics.observer(), &tenant, &spans);
    }
    let totals = metrics.shared.state.lock().totals();
    assert_eq!(totals.series, 20);
    assert_eq!(totals.uncounted, 100 * 3);
    assert_eq!(totals.spans, 1000 * 3);
    assert_eq!(totals.overflowed_spans, 1000 * 3 - 20);
}

#[tokio::test]
async fn idle_series_are_forgotten_and_start_again_from_zero() {
    let options = Options {
        idle: Duration::from_secs(60),
        ..Options::default()
    };
    let (metrics, clock) = fixture(&options);
    show(&metrics, &[span("s", "op", 1, 0)]);
    emitted(&metrics).await;
    clock.0.fetch_add(61 * SECOND, Ordering::Relaxed);
    assert!(emitted(&metrics).await.is_empty());
    let totals = metrics.shared.state.lock().totals();
    assert_eq!((totals.series, totals.forgotten), (0, 1));
    show(&metrics, &[span("s", "op", 1, 0)]);
    clock.0.fetch_add(SECOND, Ordering::Relaxed);
    let rows = emitted(&metrics).await;
    let points: Vec<_> = rows
        .iter()
        .filter(|(_, series, _)| series.metric.name == "traces_spanmetrics_calls")
        .map(|(_, _, point)| (point.time_unix_nano, point.value.clone()))
        .collect();
    assert_eq!(
        points,
        [
            // Just after what was written of the series before.
            (161 * SECOND + 1_000_000, PointValue::Int(0)),
            (162 * SECOND, PointValue::Int(1))
        ]
    );
}

#[tokio::test]
async fn native_histograms_stand_beside_the_others_or_alone() {
    for (histograms, kinds) in [
        (SpanHistograms::Classic, vec![MetricKind::Histogram]),
        (
            SpanHistograms::Native,
            vec![MetricKind::ExponentialHistogram],
        ),
        (
            SpanHistograms::Both,
            vec![MetricKind::ExponentialHistogram, MetricKind::Histogram],
        ),
    ] {
        let options = Options {
            histograms,
            ..Options::default()
        };
        let (metrics, clock) = fixture(&options);
        show(&metrics, &[span("s", "op", 250, 0)]);
        clock.0.fetch_add(SECOND, Ordering::Relaxed);
        let rows = emitted(&metrics).await;
        let mut found: Vec<MetricKind> = rows
            .iter()
            .filter(|(_, series, point)| {
                series.metric.name == "traces_spanmetrics_latency" && !point.exemplars.is_empty()
            })
            .map(|(_, series, _)| series.metric.kind)
            .collect();
        found.sort_by_key(|kind| *kind == MetricKind::Histogram);
        assert_eq!(found, kinds);
    }
}

fn of_kind(service: &str, kind: i32, id: u8, parent: Option<u8>, millis: u64) -> Span {
    Span {
        kind,
        span_id: SpanId([id; 8]),
        parent_span_id: parent.map(|id| SpanId([id; 8])),
        ..span(service, "op", millis, 0)
    }
}

#[tokio::test]
async fn the_service_graph_is_written_with_both_sides_of_each_request() {
    let (metrics, clock) = fixture(&Options::default());
    let mut failed = of_kind("cart", 2, 4, Some(3), 40);
    failed.status_code = 2;
    show(
        &metrics,
        &[
            of_kind("web", 2, 1, None, 100),
            failed,
            of_kind("web", 3, 3, Some(1), 50),
        ],
    );
    clock.0.fetch_add(SECOND, Ordering::Relaxed);
    let rows = emitted(&metrics).await;
    let name = |series: &Series| series.metric.name.clone();
    let edge = |series: &Series| {
        let label = |label| text(series, label).unwrap_or_default().to_owned();
        (label("client"), label("server"), label("connection_type"))
    };
    let mut latest: Vec<_> = rows
        .iter()
        .filter(|(_, series, point)| {
            name(series).starts_with("traces_service") && point.time_unix_nano == 101 * SECOND
        })
        .map(|(_, series, point)| {
            let value = match &point.value {
                PointValue::Int(count) => count.to_string(),
                PointValue::Exponential(histogram) => format!("{} native", histogram.count),
                PointValue::Histogram(histogram) => {
                    format!("{} x {:?}", histogram.count, histogram.sum.unwrap())
                }
                other => panic!("{other:?}"),
            };
            let short = name(series).replace("traces_service_graph_request", "");
            let (client, server, connection) = edge(series);
            format!("{client} {server} {connection} {short} {value}")
        })
        .collect();
    latest.sort();
    assert_eq!(
        latest,
        [
            "user web virtual_node  1",
            "user web virtual_node _failed 0",
            "user web virtual_node _server_seconds 1 native",
            "user web virtual_node _server_seconds 1 x 0.1",
            "web cart   1",
            "web cart  _client_seconds 1 native",
            "web cart  _client_seconds 1 x 0.05",
            "web cart  _failed 1",
            "web cart  _server_seconds 1 native",
            "web cart  _server_seconds 1 x 0.04",
        ]
    );
    let graph = rows
        .iter()
        .filter(|(_, series, _)| name(series).starts_with("traces_service"));
    for (_, series, _) in graph {
        assert_eq!(series.resource.attributes, [], "they are of no service");
    }
}

#[tokio::test]
async fn either_part_may_be_off() {
    let options = Options {
        spans: None,
        ..Options::default()
    };
    let (metrics, _) = fixture(&options);
    show(&metrics, &[of_kind("web", 2, 1, None, 100)]);
    let rows = emitted(&metrics).await;
    assert!(!rows.is_empty());
    assert!(
        rows.iter()
            .all(|(_, series, _)| series.metric.name.starts_with("traces_service_graph"))
    );
    let options = Options {
        graph: None,
        ..Options::default()
    };
    let (metrics, _) = fixture(&options);
    show(&metrics, &[of_kind("web", 2, 1, None, 100)]);
    let rows = emitted(&metrics).await;
    assert!(!rows.is_empty());
    assert!(
        rows.iter()
            .all(|(_, series, _)| series.metric.name.starts_with("traces_spanmetrics"))
    );
}

#[tokio::test]
async fn spans_without_another_side_are_series_too() {
    let (metrics, clock) = fixture(&Options::default());
    let mut call = of_kind("web", 3, 3, Some(1), 50);
    show(
        &metrics,
        &[call.clone(), of_kind("cart", 2, 4, Some(9), 40)],
    );
    call.span_id = SpanId([7; 8]);
    call.attributes.push(KeyValue::new("peer.service", "bank"));
    show(&metrics, &[call]);
    clock.0.fetch_add(60 * SECOND, Ordering::Relaxed);
    let counts = counts(&metrics, "traces_service_graph_unpaired_spans").await;
    // Client, server, type: those that are empty are no labels.
    assert_eq!(counts, [("cart".to_owned(), 1), ("web".to_owned(), 1)]);
}

mod hard;
mod refused;
