use std::sync::Arc;

use model::metric::{MetricKind, PointValue, Series, Temporality};
use model::{DataPoint, Signal};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::decode::tests::{gauge, point_at};
use crate::encode;
use crate::rows::Rows;

fn series() -> Series {
    let mut series = gauge("sizes");
    let metric = Arc::make_mut(&mut series.metric);
    metric.kind = MetricKind::ExponentialHistogram;
    metric.temporality = Temporality::Cumulative;
    series
}

/// What comes of a histogram that is sent as OTLP.
fn sent(histogram: &NativeHistogram) -> Rows {
    let point = DataPoint {
        value: PointValue::Native(histogram.clone()),
        ..point_at(7)
    };
    let request = encode::metrics([(&series(), [&point])]);
    Rows::decode(Signal::Metrics, &request).unwrap()
}

fn spans() -> impl Strategy<Value = Vec<BucketSpan>> {
    let span = |(offset, length)| BucketSpan { offset, length };
    (-9i32..9, vec((0i32..5, 0u32..4), 0..4)).prop_map(move |(first, rest)| {
        let mut spans: Vec<BucketSpan> = rest.into_iter().map(span).collect();
        if let Some(span) = spans.first_mut() {
            span.offset = first;
        }
        spans
    })
}

fn buckets(spans: &[BucketSpan]) -> usize {
    spans.iter().map(|span| span.length as usize).sum()
}

fn counts(positive: usize, negative: usize) -> impl Strategy<Value = NativeCounts> {
    let whole = || 0u64..1 << 62;
    let float = || prop_oneof![Just(-0.0), Just(f64::INFINITY), 0.0..1e9];
    let integer = (
        whole(),
        whole(),
        vec(whole(), positive),
        vec(whole(), negative),
    );
    let floats = (
        float(),
        float(),
        vec(float(), positive),
        vec(float(), negative),
    );
    prop_oneof![
        integer.prop_map(
            |(count, zero_count, positive, negative)| NativeCounts::Integer {
                count,
                zero_count,
                positive,
                negative,
            }
        ),
        floats.prop_map(
            |(count, zero_count, positive, negative)| NativeCounts::Float {
                count,
                zero_count,
                positive,
                negative,
            }
        ),
    ]
}

fn histogram() -> impl Strategy<Value = NativeHistogram> {
    let hints = [
        ResetHint::Unknown,
        ResetHint::Reset,
        ResetHint::NotReset,
        ResetHint::Gauge,
    ];
    let shape = (
        COARSEST_CALCULATED..=FINEST,
        spans(),
        spans(),
        prop::sample::select(hints.to_vec()),
    );
    (shape, -1e9..1e9, 0.0..1.0).prop_flat_map(
        |((schema, positive, negative, reset), sum, zero)| {
            counts(buckets(&positive), buckets(&negative)).prop_map(move |counts| NativeHistogram {
                schema,
                sum,
                zero_threshold: zero,
                reset,
                positive_spans: positive.clone(),
                negative_spans: negative.clone(),
                counts,
                custom_bounds: Vec::new(),
            })
        },
    )
}

proptest! {
    #[test]
    fn whatever_is_sent_comes_back(histogram in histogram()) {
        let rows = sent(&histogram);
        prop_assert_eq!(&rows.rejected, &[]);
        prop_assert_eq!(&rows.points[0].1.value, &PointValue::Native(histogram));
    }

    #[test]
    fn no_bytes_are_a_danger(bytes in vec(any::<u8>(), 0..80)) {
        let mut point = Vec::new();
        message(&mut point, FIELD, |out| out.extend_from_slice(&bytes));
        let mut request = Vec::new();
        // resource > scope > metric {name, exponential histogram {temporality, point}}
        message(&mut request, 1, |out| message(out, 2, |out| message(out, 2, |out| {
            crate::proto::text(out, 1, "x");
            message(out, 10, |out| {
                varint(out, 2, 2);
                message(out, 1, |out| out.extend_from_slice(&point));
            });
        })));
        let _ = Rows::decode(Signal::Metrics, &request);
    }
}

#[test]
fn custom_bounds_and_the_marker_of_an_end_come_back() {
    let custom = NativeHistogram {
        schema: CUSTOM_SCHEMA,
        sum: f64::from_bits(0x7ff0_0000_0000_0002),
        positive_spans: vec![BucketSpan {
            offset: 1,
            length: 2,
        }],
        counts: NativeCounts::Float {
            count: 3.5,
            zero_count: 0.0,
            positive: vec![1.25, 2.25],
            negative: Vec::new(),
        },
        custom_bounds: vec![0.5, 1.0],
        ..NativeHistogram::default()
    };
    let rows = sent(&custom);
    let PointValue::Native(found) = &rows.points[0].1.value else {
        panic!("{rows:?}");
    };
    assert_eq!(found.sum.to_bits(), custom.sum.to_bits());
    assert_eq!(found.custom_bounds, custom.custom_bounds);
    assert_eq!(found.counts, custom.counts);
}

#[test]
fn what_is_none_is_refused_alone() {
    let sound = NativeHistogram::default();
    type Change = fn(&mut NativeHistogram);
    let changes: [Change; 5] = [
        |h| h.schema = COARSEST_CALCULATED - 1,
        |h| h.schema = FINEST + 1,
        |h| h.custom_bounds = vec![1.0],
        |h| {
            h.positive_spans = vec![BucketSpan {
                offset: 0,
                length: u32::MAX,
            }];
        },
        |h| (h.schema, h.custom_bounds) = (CUSTOM_SCHEMA, vec![2.0, 1.0]),
    ];
    for change in changes {
        let mut broken = sound.clone();
        change(&mut broken);
        let rows = sent(&broken);
        assert_eq!(rows.rejected, [(Reject::MalformedHistogram, 1)]);
        assert_eq!(rows.points.len(), 0, "{broken:?}");
    }
    assert_eq!(sent(&sound).points.len(), 1);
}
