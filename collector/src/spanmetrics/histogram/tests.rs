use super::*;

fn shape() -> Shape {
    Shape {
        bounds: Arc::from([0.1, 1.0]),
        native: true,
    }
}

fn example(seconds: f64) -> Example {
    Example {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        time_unix_nano: 5,
        seconds,
    }
}

#[test]
fn values_on_a_bound_are_below_it() {
    let mut latency = Latency::new(&shape());
    for seconds in [0.1, 0.100_001, 1.0, 7.0] {
        latency.add(example(seconds));
    }
    let classic = latency.classic();
    assert_eq!(classic.bucket_counts, [1, 2, 1]);
    assert_eq!((classic.count, latency.classic_zero().count), (4, 0));
    assert_eq!(latency.classic_zero().bucket_counts, [0, 0, 0]);
}

#[test]
fn each_bucket_keeps_its_latest_example_until_they_are_taken() {
    let mut latency = Latency::new(&shape());
    for seconds in [0.01, 0.02, 3.0] {
        latency.add(example(seconds));
    }
    let seconds = |latency: &Latency| -> Vec<f64> {
        let examples = latency.examples();
        examples.map(|one| one.seconds).collect()
    };
    let taken = latency.take(7);
    assert_eq!(seconds(&taken), [0.02, 3.0]);
    assert_eq!((taken.count, taken.zero), (3, Zero::Due(7)));
    assert_eq!(latency.examples().count(), 0);
    // Of what is put back, a later example of the same bucket stays.
    latency.add(example(0.03));
    latency.put_back(taken);
    assert_eq!(seconds(&latency), [0.03, 3.0]);
    assert_eq!(latency.take(9).zero, Zero::Due(7), "the same zero");
    assert_eq!(latency.take(9).zero, Zero::Written(7));
}

#[test]
fn without_a_span_there_is_no_zero() {
    let mut latency = Latency::new(&shape());
    assert_eq!(latency.take(7).zero, Zero::None);
    latency.add(example(1.0));
    assert_eq!(latency.take(9).zero, Zero::Due(9));
}

/// The bounds of the buckets that count something, with their counts.
fn buckets(native: &ExponentialHistogram) -> Vec<(f64, f64, u64)> {
    let buckets = native.positive.as_ref().unwrap();
    let bound = |index: i32| (f64::from(index) / f64::from(native.scale).exp2()).exp2();
    let counted = (buckets.offset..).zip(&buckets.bucket_counts);
    let counted = counted.filter(|(_, count)| **count > 0);
    counted
        .map(|(index, count)| (bound(index), bound(index + 1), *count))
        .collect()
}

#[test]
fn native_buckets_hold_their_values_and_are_two_percent_wide() {
    let mut latency = Latency::new(&shape());
    // A nanosecond, and as long as a span can be.
    let values = [0.0, 1e-9, 0.003, 0.5, 2.0, 86_400.0, 1.844_674_407_37e10];
    for seconds in values {
        latency.add(example(seconds));
    }
    let native = latency.native().unwrap();
    assert_eq!((native.count, native.zero_count), (7, 1));
    let buckets = buckets(&native);
    assert_eq!(buckets.len(), values.len() - 1);
    for ((lower, upper, count), value) in buckets.into_iter().zip(&values[1..]) {
        assert_eq!(count, 1);
        assert!(
            lower < *value && *value <= upper * (1.0 + 1e-12),
            "{lower} {value} {upper}"
        );
        assert!(upper / lower < 1.022);
    }
    assert!(native.positive.unwrap().bucket_counts.len() < 2100);
}

#[test]
fn native_histograms_add_up_to_that_of_all_spans() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut all = Latency::new(&shape());
    let mut parts = [(); 3].map(|()| Latency::new(&shape()));
    for n in 0..3000 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let seconds = 10_f64.powf((random >> 11) as f64 / (1_u64 << 53) as f64 * 9.0 - 6.0);
        all.add(example(seconds));
        parts[n % 3].add(example(seconds));
    }
    let mut sums = std::collections::BTreeMap::new();
    for part in &parts {
        let native = part.native().unwrap();
        assert_eq!(native.scale, NATIVE_SCALE);
        let positive = native.positive.unwrap();
        for (index, count) in (positive.offset..).zip(positive.bucket_counts) {
            *sums.entry(index).or_insert(0) += count;
        }
    }
    let expected = all.native().unwrap().positive.unwrap();
    let expected = (expected.offset..).zip(expected.bucket_counts);
    let expected: std::collections::BTreeMap<i32, u64> = expected.collect();
    sums.retain(|_, count| *count > 0);
    let expected: Vec<_> = expected
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(sums.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn powers_of_two_are_the_upper_bounds_of_their_buckets() {
    assert_eq!(index_of(1.0), -1);
    assert_eq!(index_of(2.0), 31);
    assert_eq!(index_of(2.000_001), 32);
    assert_eq!(index_of(0.25), -65);
}
