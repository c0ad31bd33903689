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
    let taken: Vec<f64> = latency.take_examples().map(|one| one.seconds).collect();
    assert_eq!(taken, [0.02, 3.0]);
    assert_eq!(latency.take_examples().count(), 0);
}

/// The count of each value's bucket, found by the bounds that the layout says.
fn counted_in(native: &ExponentialHistogram, value: f64) -> u64 {
    let buckets = native.positive.as_ref().unwrap();
    let base = f64::from(-native.scale).exp2().exp2();
    let matching = (buckets.offset..).zip(&buckets.bucket_counts);
    let mut matching = matching.filter(|(index, _)| {
        base.powi(*index) * (1.0 - 1e-9) < value && value <= base.powi(index + 1) * (1.0 + 1e-9)
    });
    matching.next().map_or(0, |(_, count)| *count)
}

#[test]
fn a_native_histogram_becomes_coarser_instead_of_larger() {
    let mut latency = Latency::new(&shape());
    let values = [0.0, 1e-9, 0.003, 0.0031, 0.5, 2.0, 86_400.0];
    for seconds in values {
        latency.add(example(seconds));
        let native = latency.native().unwrap();
        let buckets = native.positive.as_ref().unwrap();
        assert!(buckets.bucket_counts.len() <= NATIVE_BUCKETS_MAX);
        assert_eq!(
            native.zero_count + buckets.bucket_counts.iter().sum::<u64>(),
            latency.count
        );
    }
    let native = latency.native().unwrap();
    assert!(native.scale < NATIVE_SCALE_MAX);
    assert_eq!(native.zero_count, 1);
    for value in &values[1..] {
        assert!(counted_in(&native, *value) > 0, "{value} in {native:?}");
    }
}

#[test]
fn powers_of_two_are_the_upper_bounds_of_their_buckets() {
    for scale in [0, 1, 4] {
        let one = 1 << scale;
        assert_eq!(index_of(1.0, scale), -1);
        assert_eq!(index_of(2.0, scale), one - 1);
        assert_eq!(index_of(2.000_001, scale), one);
    }
}
