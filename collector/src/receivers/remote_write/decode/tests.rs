use model::metric::{DataPoint, Exemplar, ExemplarValue, FLAG_NO_RECORDED_VALUE, Series};
use model::native::{BucketSpan, NativeCounts, NativeHistogram, ResetHint};
use model::{KeyValue, prometheus};
use otlp::rows::Rows;
use proptest::prelude::*;
use prost::Message;

use testkit::NoRows;
use testkit::remote_write::{
    Exemplar as SentExemplar, Histogram, MetricMetadata, Sample, Span, TimeSeries, WriteRequest,
    block, labels, one, version_2,
};

use super::*;

const STALE: f64 = f64::from_bits(samples::STALE_NAN_BITS);

fn rows(format: Format, request: &impl Message) -> Rows {
    let mut rows = Rows::default();
    decode(format, &block(request), &mut rows).unwrap();
    rows
}

fn labels_of(series: &Series) -> Vec<(String, String)> {
    let name = (
        prometheus::NAME_LABEL.to_owned(),
        prometheus::base_name(series),
    );
    let mut all = prometheus::base_labels(series);
    all.push(name);
    all.sort();
    all
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

const X: [(&str, &str); 4] = [
    ("__name__", "x.total"),
    ("instance", "a:1"),
    ("job", "shop/api"),
    ("ünïcode key", "\u{1f980}"),
];
const Y: [(&str, &str); 2] = [("A", "before the name"), ("__name__", "y")];

fn mixed() -> WriteRequest {
    let mut first = one(&X, 1_700_000_000_123, 1.5);
    first.samples.push(Sample {
        value: STALE,
        timestamp: 0,
        start_timestamp: 0,
    });
    let mut again = one(&X, 1_000, f64::NEG_INFINITY);
    again.exemplars.push(SentExemplar {
        labels: labels(&[("traceID", "000102030405060708090a0b0c0d0e0f"), ("u", "1")]),
        value: 7.5,
        timestamp: 999,
    });
    WriteRequest {
        timeseries: vec![first, one(&Y, 2_000, f64::NAN), again],
        metadata: vec![],
    }
}

#[test]
fn both_versions_say_the_same() {
    let request = mixed();
    let first = rows(Format::RemoteWrite1, &request);
    let second = rows(Format::RemoteWrite2, &version_2(&request, None));
    assert_eq!(first.rejected, []);
    let seen = |rows: &Rows| -> Vec<_> {
        let one = |(series, point): &(Series, DataPoint)| {
            let PointValue::Double(value) = point.value else {
                let exemplar = point.exemplars.first().cloned();
                return (labels_of(series), point.time_unix_nano, 0, 0, exemplar);
            };
            let flags = u64::from(point.flags);
            (
                labels_of(series),
                point.time_unix_nano,
                value.to_bits(),
                flags,
                None,
            )
        };
        rows.points.iter().map(one).collect()
    };
    let exemplar = Exemplar {
        filtered_attributes: vec![
            KeyValue::new("traceID", "000102030405060708090a0b0c0d0e0f"),
            KeyValue::new("u", "1"),
        ],
        time_unix_nano: 999_000_000,
        value: ExemplarValue::Double(7.5),
        span_id: vec![],
        trace_id: (0..16).collect(),
    };
    let stale = u64::from(FLAG_NO_RECORDED_VALUE);
    // Series of one target and metric are together.
    let expected = [
        (
            pairs(&X),
            1_700_000_000_123_000_000,
            1.5f64.to_bits(),
            0,
            None,
        ),
        (pairs(&X), 0, STALE.to_bits(), stale, None),
        (
            pairs(&X),
            1_000_000_000,
            f64::NEG_INFINITY.to_bits(),
            0,
            None,
        ),
        (pairs(&X), 999_000_000, 0, 0, Some(exemplar)),
        (pairs(&Y), 2_000_000_000, f64::NAN.to_bits(), 0, None),
    ];
    assert_eq!(seen(&first), expected);
    assert_eq!(seen(&second), expected);
    let series = &first.points[0].0;
    assert_eq!(series.resource.service(), "api");
    assert_eq!(series.metric.metadata, [prometheus::mark("unknown")]);
}

#[test]
fn metadata_comes_apart_or_with_each_series() {
    let request = WriteRequest {
        timeseries: vec![],
        metadata: vec![MetricMetadata {
            kind: 3,
            metric_family_name: "x".to_owned(),
            help: "Helps.".to_owned(),
            unit: "seconds".to_owned(),
        }],
    };
    let apart = rows(Format::RemoteWrite1, &request);
    let [(series, point)] = &apart.points[..] else {
        panic!("{:?}", apart.points);
    };
    assert_eq!(point.time_unix_nano, UNDATED);
    assert_eq!(prometheus::base_name(series), "", "no sample");
    let family = prometheus::Family {
        name: "x".to_owned(),
        kind: "histogram".to_owned(),
        help: "Helps.".to_owned(),
        unit: "seconds".to_owned(),
    };
    assert_eq!(prometheus::family(&series.metric), Some(family.clone()));
    let samples = WriteRequest {
        timeseries: vec![one(&[("__name__", "x_bucket"), ("le", "1")], 1, 1.0)],
        metadata: vec![],
    };
    let mut second = version_2(&samples, Some((3, "Helps.", "seconds")));
    second.timeseries[0].created_timestamp = 5;
    let with = rows(Format::RemoteWrite2, &second);
    let (series, point) = &with.points[0];
    assert_eq!(prometheus::base_name(series), "x_bucket");
    assert_eq!(prometheus::family(&series.metric), Some(family));
    assert_eq!(point.start_unix_nano, 5_000_000);
    second.timeseries[0].samples[0].start_timestamp = 6;
    let with = rows(Format::RemoteWrite2, &second);
    assert_eq!(with.points[0].1.start_unix_nano, 6_000_000);
}

fn histogram(of: Histogram) -> Rows {
    let series = TimeSeries {
        labels: labels(&[("__name__", "h")]),
        histograms: vec![of],
        ..TimeSeries::default()
    };
    let request = WriteRequest {
        timeseries: vec![series],
        metadata: vec![],
    };
    let first = rows(Format::RemoteWrite1, &request);
    let second = rows(Format::RemoteWrite2, &version_2(&request, None));
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    first
}

fn span(offset: i32, length: u32) -> Span {
    Span { offset, length }
}

#[test]
fn native_histograms_come_back_as_they_were() {
    let whole = Histogram {
        count_int: Some(12),
        sum: 18.4,
        schema: 1,
        zero_threshold: 0.001,
        zero_count_int: Some(2),
        negative_spans: vec![span(-1, 1)],
        negative_deltas: vec![3],
        positive_spans: vec![span(-2, 2), span(1, 2)],
        positive_deltas: vec![1, 2, -2, 1],
        reset_hint: 2,
        timestamp: 10,
        ..Histogram::default()
    };
    let rows = histogram(whole);
    let at = |offset, length| BucketSpan { offset, length };
    let expected = NativeHistogram {
        schema: 1,
        sum: 18.4,
        zero_threshold: 0.001,
        reset: ResetHint::NotReset,
        positive_spans: vec![at(-2, 2), at(1, 2)],
        negative_spans: vec![at(-1, 1)],
        counts: NativeCounts::Integer {
            count: 12,
            zero_count: 2,
            positive: vec![1, 3, 1, 2],
            negative: vec![3],
        },
        custom_bounds: vec![],
    };
    assert_eq!(rows.points[0].1.value, PointValue::Native(expected));
    let custom = Histogram {
        count_float: Some(7.5),
        sum: -1.0,
        schema: -53,
        positive_spans: vec![span(0, 2), span(1, 1)],
        positive_counts: vec![0.5, 3.0, 4.0],
        reset_hint: 3,
        timestamp: 0,
        custom_values: vec![0.5, 1.0, 2.0],
        ..Histogram::default()
    };
    let rows = histogram(custom.clone());
    let PointValue::Native(found) = &rows.points[0].1.value else {
        panic!("{rows:?}");
    };
    assert_eq!(found.custom_bounds, [0.5, 1.0, 2.0]);
    assert_eq!(found.reset, ResetHint::Gauge);
    let positive: Vec<_> = found.positive().collect();
    assert_eq!(positive, [(0, 0.5), (1, 3.0), (3, 4.0)]);
    let stale = Histogram {
        sum: STALE,
        ..custom
    };
    let rows = histogram(stale);
    assert!(rows.points[0].1.is_stale());
}

#[test]
fn what_does_not_fit_is_refused_alone() {
    let sound = Histogram {
        count_int: Some(1),
        positive_spans: vec![span(0, 1)],
        positive_deltas: vec![1],
        timestamp: 1,
        ..Histogram::default()
    };
    type Change = fn(&mut Histogram);
    let changes: [Change; 11] = [
        |h| {
            (h.count_int, h.count_float) = (None, Some(1.0));
            h.positive_counts = vec![-1.0];
        },
        |h| {
            (h.count_int, h.count_float) = (None, Some(-1.0));
            h.positive_counts = vec![1.0];
        },
        |h| h.schema = 53,
        |h| h.schema = -5,
        |h| h.positive_deltas = vec![],
        |h| h.positive_deltas = vec![-1],
        |h| h.positive_spans = vec![span(0, 1), span(-1, 0)],
        |h| h.positive_spans = vec![span(i32::MAX, u32::MAX)],
        |h| h.custom_values = vec![1.0],
        |h| (h.schema, h.custom_values) = (-53, vec![2.0, 1.0]),
        |h| (h.schema, h.custom_values) = (-53, vec![f64::NAN]),
    ];
    for change in changes {
        let mut broken = sound.clone();
        change(&mut broken);
        let rows = histogram(broken.clone());
        assert_eq!(
            rows.rejected,
            [(Reject::MalformedHistogram, 1)],
            "{broken:?}"
        );
    }
    let fine = [("__name__", "x"), ("a", "1")];
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Pairs<'_>, i64, Reject); 8] = [
        (
            &[("a", "1"), ("__name__", "x"), ("a", "2")],
            1,
            Reject::DuplicateLabel,
        ),
        (
            &[("job", "1"), ("__name__", "x"), ("job", "2")],
            1,
            Reject::DuplicateLabel,
        ),
        (
            &[("__name__", "x"), ("a", "1"), ("a", "2")],
            1,
            Reject::DuplicateLabel,
        ),
        (&[("", "x"), ("__name__", "x")], 1, Reject::EmptyLabel),
        (&[("a", "1")], 1, Reject::MissingName),
        (&[], 1, Reject::MissingName),
        (&fine, -1, Reject::TimeOutOfRange),
        (&fine, i64::MAX, Reject::TimeOutOfRange),
    ];
    for (labels, time, reason) in cases {
        let request = WriteRequest {
            timeseries: vec![one(labels, time, 1.0), one(&fine, 2, 2.0)],
            metadata: vec![],
        };
        for rows in [
            rows(Format::RemoteWrite1, &request),
            rows(Format::RemoteWrite2, &version_2(&request, None)),
        ] {
            assert_eq!(rows.rejected, [(reason, 1)], "{labels:?}");
            assert_eq!(rows.points.len(), 1);
        }
    }
    let mut unknown = version_2(
        &WriteRequest {
            timeseries: vec![one(&fine, 2, 2.0)],
            metadata: vec![],
        },
        None,
    );
    unknown.timeseries[0].labels_refs.extend([7, 90]);
    let found = rows(Format::RemoteWrite2, &unknown);
    assert_eq!(found.rejected, [(Reject::UnknownSymbol, 1)]);
    unknown.timeseries[0].labels_refs.truncate(3);
    let found = rows(Format::RemoteWrite2, &unknown);
    assert_eq!(found.rejected, [(Reject::EmptyLabel, 1)], "half a pair");
}

#[test]
fn labels_in_any_order_and_empty_ones_are_taken() {
    let sorted = [("__name__", "x"), ("a", "1"), ("b", "2"), ("job", "j")];
    let loose = [
        ("b", "2"),
        ("job", "j"),
        ("c", ""),
        ("a", "1"),
        ("__name__", "x"),
        ("instance", ""),
    ];
    let request = |labels: &[(&str, &str)]| WriteRequest {
        timeseries: vec![one(labels, 1, 1.0)],
        metadata: vec![],
    };
    for (one, other) in [
        (
            rows(Format::RemoteWrite1, &request(&sorted)),
            rows(Format::RemoteWrite1, &request(&loose)),
        ),
        (
            rows(Format::RemoteWrite2, &version_2(&request(&sorted), None)),
            rows(Format::RemoteWrite2, &version_2(&request(&loose), None)),
        ),
    ] {
        assert_eq!(other.rejected, []);
        assert_eq!(one.points, other.points);
    }
}

fn bounded(format: Format, message: &[u8], most: usize) -> Result<(), Undecoded> {
    let block = snap::raw::Encoder::new().compress_vec(message).unwrap();
    decode(format, &block, &mut NoRows::within(most))
}

#[test]
fn small_blocks_do_not_become_large_lists() {
    // A million empty series, labels or symbols, a few bytes each as a block of Snappy.
    for (format, number) in [
        (Format::RemoteWrite1, 1u8),
        (Format::RemoteWrite1, 3),
        (Format::RemoteWrite2, 4),
        (Format::RemoteWrite2, 5),
    ] {
        let message = [number << 3 | 2, 0].repeat(1_000_000);
        let found = bounded(format, &message, 8 << 20);
        let skipped = (format, number) == (Format::RemoteWrite1, 3);
        assert_eq!(found.is_ok(), skipped, "{format:?} {number}: {found:?}");
    }
    // A block that promises more than there may be is not unfolded.
    let promised = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    let found = decode(
        Format::RemoteWrite1,
        &promised,
        &mut NoRows::within(1 << 20),
    );
    assert!(matches!(found, Err(Undecoded::NoRoom(_))), "{found:?}");
}

proptest! {
    #[test]
    fn no_bytes_are_a_danger(mut message in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..400) {
        let _ = bounded(Format::RemoteWrite1, &message, 1 << 20);
        let _ = bounded(Format::RemoteWrite2, &message, 1 << 20);
        // A request that is one, with a few bytes in it changed.
        let request = mixed();
        for (format, mut real) in [
            (Format::RemoteWrite1, request.encode_to_vec()),
            (Format::RemoteWrite2, version_2(&request, None).encode_to_vec()),
        ] {
            let length = real.len();
            for (at, byte) in message.drain(..message.len().min(4)).enumerate() {
                real[(cut * (at + 1)) % length] = byte;
            }
            let _ = bounded(format, &real, 1 << 20);
            real.truncate(cut);
            let _ = bounded(format, &real, 1 << 20);
            let _ = decode(format, &real, &mut NoRows::within(1 << 20));
        }
    }
}
