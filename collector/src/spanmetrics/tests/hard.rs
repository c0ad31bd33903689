//! What senders may do to the counts.

use super::*;

/// The sums over all series of a metric's latest points: of counts, or of histograms' counts and sums.
async fn totals(metrics: &SpanMetrics) -> (i64, u64, f64, u64) {
    let rows = emitted(metrics).await;
    let (mut calls, mut classic, mut sum, mut native) = (0, 0, 0.0, 0);
    for (_, series, point) in &rows {
        match &point.value {
            PointValue::Int(count) if series.metric.name == "traces_spanmetrics_calls" => {
                calls += count;
            }
            PointValue::Histogram(histogram) if series.metric.name.contains("spanmetrics") => {
                classic += histogram.count;
                sum += histogram.sum.unwrap();
                assert_eq!(histogram.bucket_counts.iter().sum::<u64>(), histogram.count);
            }
            PointValue::Exponential(histogram) if series.metric.name.contains("spanmetrics") => {
                let positive = histogram.positive.iter();
                let counted = positive.flat_map(|buckets| &buckets.bucket_counts);
                native += histogram.zero_count + counted.sum::<u64>();
            }
            _ => {}
        }
    }
    (calls, classic, sum, native)
}

#[tokio::test]
async fn no_span_of_a_hundred_thousand_names_is_missing() {
    let (metrics, _) = fixture(&Options::default());
    let names: Vec<u32> = (0..100_000).collect();
    for names in names.chunks(1000) {
        let spans = names.iter().map(|n| span("s", &format!("op{n}"), 2, 0));
        show(&metrics, &spans.collect::<Vec<_>>());
    }
    let totals_of_state = metrics.shared.state.lock().totals();
    assert_eq!(
        (totals_of_state.series, totals_of_state.overflowed_spans),
        (10_000, 90_000)
    );
    let (calls, classic, sum, native) = totals(&metrics).await;
    assert_eq!((calls, classic, native), (100_000, 100_000, 100_000));
    assert!((sum - 200.0).abs() < 1e-6, "{sum}");
}

#[tokio::test]
async fn services_whose_names_differ_in_case_are_counted_apart() {
    let (metrics, _) = fixture(&Options::default());
    show(
        &metrics,
        &["Shop", "shop", "SHOP", "shop"].map(|service| span(service, "op", 1, 0)),
    );
    let counts = counts(&metrics, "traces_spanmetrics_calls").await;
    let of = |service: &str, count| {
        let labels = format!("{service} op SPAN_KIND_INTERNAL STATUS_CODE_UNSET");
        (labels, count)
    };
    assert_eq!(counts, [of("SHOP", 1), of("Shop", 1), of("shop", 2)]);
}

#[tokio::test]
#[allow(clippy::cast_precision_loss)]
async fn clocks_that_are_wrong_cost_no_span() {
    let (metrics, _) = fixture(&Options::default());
    // It ends before it begins; it has neither; it lasts for ever.
    let mut back = span("s", "op", 0, 0);
    (back.start_unix_nano, back.end_unix_nano) = (99 * SECOND, 98 * SECOND);
    let mut none = span("s", "op", 0, 0);
    (none.start_unix_nano, none.end_unix_nano) = (0, 0);
    let mut ever = span("s", "op", 0, 0);
    (ever.start_unix_nano, ever.end_unix_nano) = (0, u64::MAX);
    // Of kinds and states that there are not.
    let mut odd = span("s", "op", 1, 77);
    odd.kind = -5;
    show(&metrics, &[back, none, ever, odd]);
    let (calls, classic, sum, native) = totals(&metrics).await;
    assert_eq!((calls, classic, native), (4, 4, 4));
    assert!((sum - u64::MAX as f64 / 1e9).abs() < 1e4, "{sum}");
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_series_fall() {
    let (metrics, clock) = fixture(&Options::default());
    show(&metrics, &[span("s", "op", 1, 0)]);
    emitted(&metrics).await;
    clock.0.fetch_sub(50 * SECOND, Ordering::Relaxed);
    show(&metrics, &[span("s", "op", 1, 0), span("s", "new", 1, 0)]);
    for (_, series, point) in emitted(&metrics).await {
        assert!(point.start_unix_nano <= point.time_unix_nano, "{series:?}");
        let is_op = text(&series, "span_name") == Some("op");
        if let PointValue::Int(count) = point.value {
            assert!(!is_op || count > 0, "no second zero");
        }
    }
}
