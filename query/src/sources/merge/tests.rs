use hdrhistogram::Histogram;

use super::*;
use crate::exec::services::quantile;

/// What a reader sends of these durations.
fn group(values: &[u64]) -> Durations {
    let mut histogram: Histogram<u64> = Histogram::new(2).unwrap();
    for value in values {
        histogram.record(*value).unwrap();
    }
    let recorded = histogram.iter_recorded();
    Durations {
        key: vec!["shop".to_owned()],
        count: histogram.len(),
        errors: 1,
        buckets: recorded
            .map(|one| (one.value_iterated_to(), one.count_at_value()))
            .collect(),
    }
}

#[test]
fn quantiles_of_merged_durations_are_those_of_all_of_them() {
    // Sources whose histograms grew to different sizes.
    let fast: Vec<u64> = (1..=900).map(|n| n * 1_003).collect();
    let slow: Vec<u64> = (1..=100).map(|n| n * 77_000_003).collect();
    let long = [3_600_000_000_000, 90_000_000_000_000];
    let mut merged = DurationGroups::default();
    let mut whole: Histogram<u64> = Histogram::new(2).unwrap();
    for values in [&fast[..], &slow[..], &long[..]] {
        merged.add(vec![group(values)]);
        for value in values {
            whole.record(*value).unwrap();
        }
    }
    let groups = merged.finish();
    assert_eq!(
        (groups.len(), groups[0].count, groups[0].errors),
        (1, 1_002, 3)
    );
    for q in [0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
        let expected = whole.value_at_quantile(q);
        assert_eq!(quantile(&groups[0].buckets, q), expected, "{q}");
    }
    // Within the precision of the buckets, they are those of the durations themselves.
    let p50 = quantile(&groups[0].buckets, 0.5);
    let exact = 501 * 1_003;
    assert!(p50.abs_diff(exact) * 100 <= exact, "{p50}");
}

/// A span of this id with so many attributes.
fn span(id: u8, start: u64, end: u64, attributes: usize) -> Span {
    let attribute = |n: usize| model::KeyValue::new(format!("key{n}"), "value");
    Span {
        trace_id: TraceId([1; 16]),
        span_id: model::SpanId([id; 8]),
        start_unix_nano: start,
        end_unix_nano: end,
        attributes: (0..attributes).map(attribute).collect(),
        ..Span::default()
    }
}

#[test]
fn of_the_versions_of_a_span_the_one_that_says_most_is_merged() {
    let (early, late) = (span(1, 5, 6, 3), span(1, 5, 9, 0));
    let (short, long) = (span(2, 4, 6, 0), span(2, 4, 6, 1));
    // Without an id nothing says that two are one.
    let nameless = span(0, 3, 4, 0);
    let some = [early.clone(), long.clone(), nameless.clone()];
    let others = [late.clone(), short.clone(), nameless.clone()];
    let expected = [late, long, nameless.clone(), nameless];
    for parts in [
        [some.to_vec(), others.to_vec()],
        [others.to_vec(), some.to_vec()],
    ] {
        let merged = spans(parts.to_vec(), Order::Newest, 10, None);
        assert_eq!(merged.rows, expected);
        assert!(!merged.more);
    }
}
