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
