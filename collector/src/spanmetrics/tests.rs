use std::sync::atomic::{AtomicU64, Ordering};

use model::metric::{ExemplarValue, MetricKind, PointValue};
use model::{KeyValue, Resource, Span, Value, value};
use otlp::rows::Rows;

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
        kind: 2,
        start_unix_nano: SECOND,
        end_unix_nano: SECOND + millis * 1_000_000,
        status_code,
        has_status: true,
        ..Span::default()
    }
}

fn show(metrics: &SpanMetrics, spans: &[Span]) {
    crate::ingest::tests::show(&mut metrics.observer(), spans);
}

async fn emit(metrics: &SpanMetrics) -> Rows {
    let sink = FakeSink::default();
    metrics.emit(&sink).await;
    let batches = sink.batches.lock();
    let mut all = Rows::default();
    for batch in batches.iter() {
        let rows = Rows::decode(batch.signal, &batch.request).unwrap();
        assert!(rows.rejected.is_empty());
        all.points.extend(rows.points);
    }
    all
}

const COLLECTOR: &str = "10.0.0.1:4410";

fn fixture(options: Options) -> (SpanMetrics, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::default());
    clock.0.store(100 * SECOND, Ordering::Relaxed);
    (
        SpanMetrics::new(COLLECTOR, options, Arc::clone(&clock) as Arc<dyn Clock>),
        clock,
    )
}

#[tokio::test]
async fn spans_become_cumulative_series_with_exemplars() {
    let (metrics, clock) = fixture(Options::default());
    show(
        &metrics,
        &[
            span("shop", "GET", 3, 0),
            span("shop", "GET", 100, 0),
            span("shop", "GET", 5, 2),
        ],
    );
    clock.0.fetch_add(SECOND, Ordering::Relaxed);
    let rows = emit(&metrics).await;
    assert_eq!(rows.points.len(), 4);
    let find = |rows: &Rows, name: &str, status: &str| {
        let matches = |series: &model::metric::Series| {
            series.metric.name == name
                && value::last(&series.attributes, "status_code")
                    .unwrap()
                    .as_str()
                    == Some(status)
        };
        rows.points
            .iter()
            .find(|(series, _)| matches(series))
            .cloned()
            .unwrap()
    };
    let (series, point) = find(&rows, "traces_spanmetrics_calls", "STATUS_CODE_UNSET");
    assert_eq!(point.value, PointValue::Int(2));
    assert!(series.metric.monotonic && series.metric.kind == MetricKind::Sum);
    assert_eq!(
        (point.start_unix_nano, point.time_unix_nano),
        (100 * SECOND, 101 * SECOND)
    );
    assert_eq!(series.resource.service(), "shop");
    assert_eq!(
        value::last(&series.attributes, "span_kind")
            .unwrap()
            .as_str(),
        Some("SPAN_KIND_SERVER")
    );
    assert!(rows.points.iter().all(|(series, _)| {
        value::last(&series.attributes, "collector.instance.id").and_then(Value::as_str)
            == Some(COLLECTOR)
    }));
    let (_, point) = find(&rows, "traces_spanmetrics_latency", "STATUS_CODE_UNSET");
    let PointValue::Histogram(histogram) = &point.value else {
        panic!("{point:?}")
    };
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

    // Only what changed comes again, with the running total.
    show(&metrics, &[span("shop", "GET", 1, 2)]);
    let rows = emit(&metrics).await;
    assert_eq!(rows.points.len(), 2);
    assert_eq!(
        find(&rows, "traces_spanmetrics_calls", "STATUS_CODE_ERROR")
            .1
            .value,
        PointValue::Int(2)
    );
    // Now and then everything does.
    assert!(emit(&metrics).await.points.is_empty());
    assert!(emit(&metrics).await.points.is_empty());
    assert_eq!(emit(&metrics).await.points.len(), 4);
}

#[tokio::test]
async fn series_beyond_the_limit_are_counted_together() {
    let (metrics, _) = fixture(Options {
        series: 2,
        ..Options::default()
    });
    let spans: Vec<Span> = (0..10)
        .map(|n| span("s", &format!("op{n}"), 1, 0))
        .collect();
    show(&metrics, &spans);
    show(&metrics, &[span("s", "op0", 1, 0)]);
    let rows = emit(&metrics).await;
    let overflow = rows
        .points
        .iter()
        .find(|(series, _)| value::last(&series.attributes, "otel.metric.overflow").is_some());
    assert_eq!(overflow.unwrap().1.value, PointValue::Int(8));
    let total: i64 = rows
        .points
        .iter()
        .filter_map(|(_, point)| match point.value {
            PointValue::Int(int) => Some(int),
            _ => None,
        })
        .sum();
    assert_eq!(total, 11);
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let (metrics, _) = fixture(Options::default());
    show(&metrics, &[span("s", &long, 1, 0)]);
    assert_eq!(metrics.state.lock().overflowed, 1);
}

#[tokio::test]
async fn idle_series_are_forgotten_and_start_again() {
    let idle = Duration::from_secs(60);
    let (metrics, clock) = fixture(Options {
        idle,
        ..Options::default()
    });
    show(&metrics, &[span("s", "op", 1, 0)]);
    emit(&metrics).await;
    clock.0.fetch_add(61 * SECOND, Ordering::Relaxed);
    emit(&metrics).await;
    assert_eq!(metrics.state.lock().series, 0);
    show(&metrics, &[span("s", "op", 1, 0)]);
    let rows = emit(&metrics).await;
    assert_eq!(rows.points[0].1.value, PointValue::Int(1));
    assert_eq!(rows.points[0].1.start_unix_nano, 161 * SECOND);
}
