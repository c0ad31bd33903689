use super::*;

fn buckets(list: &[(i32, f64)]) -> Vec<IndexedBucket> {
    list.iter()
        .map(|&(index, count)| IndexedBucket { index, count })
        .collect()
}

fn exponential(schema: i32, positive: &[(i32, f64)], zero: (f64, f64)) -> FloatHistogram {
    let count = positive.iter().map(|bucket| bucket.1).sum::<f64>() + zero.1;
    FloatHistogram {
        schema,
        zero_threshold: zero.0,
        zero_count: zero.1,
        count,
        sum: count * 2.0,
        positive: buckets(positive),
        ..FloatHistogram::default()
    }
}

#[test]
fn bounds_are_powers() {
    let histogram = |schema| FloatHistogram {
        schema,
        ..FloatHistogram::default()
    };
    assert_eq!(histogram(0).bound(3), 8.0);
    assert_eq!(histogram(-1).bound(1), 4.0);
    assert_eq!(histogram(1).bound(-2), 0.5);
    assert!((histogram(2).bound(1) - 2f64.powf(0.25)).abs() < 1e-15);
    assert_eq!(histogram(0).bound(1024), f64::MAX);
    // As Prometheus has them, to the last bit.
    assert_eq!(histogram(2).bound(-3), 0.594_603_557_501_360_5);
    assert_eq!(histogram(2).bound(-1), 0.840_896_415_253_714_4);
    assert_eq!(histogram(3).bound(-7), 0.545_253_866_332_628_8);
    assert_eq!(histogram(8).bound(-255), 0.501_355_637_525_101_3);
    assert_eq!(histogram(8).bound(-127), 0.709_023_942_160_207_6);
    assert_eq!(histogram(8).bound(-126), 0.710_946_301_084_582_7);
    let finest = histogram(8);
    let bits = (-256..0).map(|index| finest.bound(index).to_bits());
    let all = bits.fold(0u64, |all, bits| all.rotate_left(5) ^ bits);
    assert_eq!(
        all, 0xc606_9eca_7bbb_6a32,
        "the bounds that Prometheus 3.5 answers with"
    );
}

#[test]
fn buckets_end_where_the_zero_bucket_begins_but_in_text() {
    let mut histogram = exponential(0, &[(-1, 1.0), (0, 2.0)], (0.3, 2.0));
    histogram.negative = buckets(&[(-1, 4.0)]);
    let bounds = |range: &Range| (range.lower, range.upper);
    assert_eq!(
        histogram.buckets().iter().map(bounds).collect::<Vec<_>>(),
        [(-0.5, -0.3), (-0.3, 0.3), (0.3, 0.5), (0.5, 1.0)]
    );
    assert_eq!(
        histogram.to_string(),
        "{count:5, sum:10, [-0.5,-0.25):4, [-0.3,0.3]:2, (0.25,0.5]:1, (0.5,1]:2}"
    );
}

#[test]
fn custom_buckets_are_open_below_whatever_their_bounds_are() {
    let text = "{{schema:-53 count:6 sum:1 custom_values:[-2 0 2] buckets:[1 2 1 2]}}";
    let histogram = crate::notation::parse_histogram(text).unwrap();
    assert_eq!(
        histogram.to_string(),
        "{count:6, sum:1, [-Inf,-2]:1, (-2,0]:2, (0,2]:1, (2,+Inf]:2}"
    );
}

#[test]
fn sums_use_the_coarser_schema_and_the_wider_zero_bucket() {
    let mut a = exponential(1, &[(1, 1.0), (2, 2.0), (3, 4.0)], (0.001, 1.0));
    let b = exponential(0, &[(1, 10.0), (5, 1.0)], (0.5, 2.0));
    a.add(&b).unwrap();
    assert_eq!(a.schema, 0);
    assert_eq!(a.positive, buckets(&[(1, 13.0), (2, 4.0), (5, 1.0)]));
    assert_eq!((a.zero_threshold, a.zero_count), (0.5, 3.0));
    assert_eq!(a.count, 21.0);
    a.sub(&b).unwrap();
    a.compact();
    assert_eq!(a.positive, buckets(&[(1, 3.0), (2, 4.0)]));
}

#[test]
fn a_threshold_inside_a_bucket_swallows_it() {
    let mut a = exponential(0, &[(1, 3.0), (2, 1.0)], (0.0, 0.0));
    let b = exponential(0, &[], (1.5, 1.0));
    a.add(&b).unwrap();
    assert_eq!((a.zero_threshold, a.zero_count), (2.0, 4.0));
    assert_eq!(a.positive, buckets(&[(2, 1.0)]));
}

#[test]
fn custom_bounds_meet_at_what_they_share() {
    let custom = |bounds: &[f64], positive: &[(i32, f64)]| FloatHistogram {
        schema: CUSTOM_SCHEMA,
        bounds: Some(bounds.into()),
        ..exponential(CUSTOM_SCHEMA, positive, (0.0, 0.0))
    };
    let mut a = custom(&[1.0, 2.0, 3.0], &[(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)]);
    let b = custom(&[2.0, 4.0], &[(0, 1.0), (2, 5.0)]);
    assert_eq!(
        a.add(&b),
        Ok(Reconciled {
            bounds: true,
            hints: false
        })
    );
    assert_eq!(a.bounds.as_deref(), Some(&[2.0][..]));
    assert_eq!(a.positive, buckets(&[(0, 4.0), (1, 12.0)]));
    assert_eq!(a.add(&exponential(0, &[], (0.0, 0.0))), Err(Incompatible));
}

#[test]
fn resets_are_seen_in_any_bucket() {
    let before = exponential(1, &[(1, 2.0), (2, 2.0)], (0.001, 1.0));
    let mut after = exponential(1, &[(1, 5.0), (2, 1.0)], (0.001, 1.0));
    assert!(after.detect_reset(&before));
    after.positive[1].count = 2.0;
    assert!(!after.detect_reset(&before));
    after.hint = ResetHint::Reset;
    assert!(after.detect_reset(&before));
    let coarser = exponential(0, &[(1, 4.0)], (0.001, 1.0));
    assert!(!coarser.detect_reset(&before));
    assert!(before.detect_reset(&coarser));
}

#[test]
fn quantiles_and_fractions_are_inverse() {
    let histogram = exponential(0, &[(1, 4.0), (2, 4.0), (4, 2.0)], (0.001, 2.0));
    for q in [0.1, 0.3, 0.5, 0.7, 0.95] {
        let (value, _) = histogram_quantile(q, &histogram);
        let (fraction, _) = histogram_fraction(f64::NEG_INFINITY, value, &histogram);
        assert!((fraction - q).abs() < 1e-12, "{q} {value} {fraction}");
    }
    assert_eq!(
        histogram_fraction(f64::NEG_INFINITY, f64::INFINITY, &histogram).0,
        1.0
    );
    let mut classic = vec![
        Bucket {
            upper: f64::INFINITY,
            count: 10.0,
        },
        Bucket {
            upper: 1.0,
            count: 4.0,
        },
        Bucket {
            upper: 2.0,
            count: 8.0,
        },
    ];
    assert_eq!(bucket_quantile(0.6, &mut classic).value, 1.5);
    assert_eq!(bucket_fraction(0.0, 1.5, &mut classic), 0.6);
    assert_eq!(bucket_quantile(0.99, &mut classic).value, 2.0);
}

#[test]
fn histograms_print_their_buckets() {
    let mut histogram = exponential(0, &[(0, 1.0), (1, 2.0)], (0.001, 2.0));
    histogram.negative = buckets(&[(0, 1.0), (1, 2.0)]);
    assert_eq!(
        histogram.to_string(),
        "{count:5, sum:10, [-2,-1):2, [-1,-0.5):1, [-0.001,0.001]:2, (0.5,1]:1, (1,2]:2}"
    );
}

#[test]
fn hints_follow_from_the_sample_before() {
    let histogram = |text: &str| crate::notation::parse_histogram(text).unwrap();
    let before = histogram("{{schema:0 count:6 sum:9 buckets:[2 4]}}");
    for (text, want) in [
        (
            "{{schema:0 count:7 sum:9 buckets:[2 5]}}",
            ResetHint::NotReset,
        ),
        (
            "{{schema:0 count:6 sum:9 buckets:[2 4]}}",
            ResetHint::NotReset,
        ),
        ("{{schema:0 count:5 sum:9 buckets:[2 3]}}", ResetHint::Reset),
        ("{{schema:0 count:8 sum:9 buckets:[1 7]}}", ResetHint::Reset),
        (
            "{{schema:1 count:8 sum:9 buckets:[2 6]}}",
            ResetHint::Unknown,
        ),
        ("{{schema:1 count:5 sum:9 buckets:[2 3]}}", ResetHint::Reset),
        (
            "{{schema:0 count:9 sum:9 buckets:[3 6] counter_reset_hint:reset}}",
            ResetHint::Reset,
        ),
        (
            "{{schema:0 count:1 sum:9 buckets:[1] counter_reset_hint:gauge}}",
            ResetHint::Gauge,
        ),
    ] {
        assert_eq!(histogram(text).hint_after(Some(&before)), want, "{text}");
    }
    let first = histogram("{{count:1 buckets:[1] counter_reset_hint:not_reset}}");
    assert_eq!(first.hint_after(None), ResetHint::Unknown);
    let stale = FloatHistogram {
        sum: crate::source::stale_nan(),
        ..FloatHistogram::default()
    };
    assert_eq!(before.hint_after(Some(&stale)), ResetHint::Unknown);
}

#[test]
fn no_sent_value_makes_arithmetic_endless() {
    let sent = |zero_threshold: f64, offset: i32| model::native::NativeHistogram {
        zero_threshold,
        positive_spans: vec![model::native::BucketSpan { offset, length: 1 }],
        counts: model::native::NativeCounts::Integer {
            count: 3,
            zero_count: 1,
            positive: vec![2],
            negative: Vec::new(),
        },
        ..model::native::NativeHistogram::default()
    };
    let thresholds = [f64::NAN, -1.0, 0.0, 0.5, f64::INFINITY];
    let offsets = [i32::MIN, -1, 0, i32::MAX - 1];
    let both = || {
        thresholds
            .into_iter()
            .flat_map(|one| offsets.map(|offset| sent(one, offset)))
    };
    for (a, b) in both().flat_map(|a| both().map(move |b| (a.clone(), b))) {
        let mut sum = FloatHistogram::from_native(&a);
        sum.add(&FloatHistogram::from_native(&b)).unwrap();
        assert_eq!(sum.count, 6.0);
        assert!(sum.zero_threshold >= 0.0);
        assert!(sum.to_string().starts_with("{count:6"));
    }
    // Even where one was calculated.
    let mut broken = FloatHistogram::from_native(&sent(0.5, 0));
    broken.zero_threshold = f64::NAN;
    broken
        .add(&FloatHistogram::from_native(&sent(0.25, 0)))
        .unwrap();
}
