use proptest::prelude::*;
use testkit::exposition::{
    Bucket, Counter, Exemplar as SentExemplar, Histogram, Metric as SentMetric, Number, Quantile,
    Span, Summary as SentSummary, Timestamp, answer, family, kind, labels,
};

use super::super::protocols::Format;
use super::super::tests::Scraped;
use super::*;

fn scraped(lines: &str, body: &[u8]) -> Result<Vec<String>, String> {
    let taken = Scraped::new(lines).take_body(body, Format::Protobuf, usize::MAX);
    taken
        .map(|(lines, _)| lines)
        .map_err(|error| error.to_string())
}

fn at(seconds: i64, nanos: i32) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos })
}

fn example(value: f64, timestamp: Option<Timestamp>) -> SentExemplar {
    SentExemplar {
        labels: labels(&[("trace_id", "000102030405060708090a0b0c0d0e0f")]),
        value,
        timestamp,
    }
}

const PLAIN: &str = "honor_labels: false";
const NATIVE: &str = "scrape_native_histograms: true";

#[test]
fn every_type_becomes_the_series_that_text_has() {
    let number = |value| Some(Number { value });
    let mut gauge = family(
        "g.x",
        kind::GAUGE,
        SentMetric {
            labels: labels(&[("l", "ü"), ("job", "own")]),
            gauge: number(f64::NEG_INFINITY),
            timestamp_ms: 500,
            ..SentMetric::default()
        },
    );
    gauge.help = "Help.".to_owned();
    let counter = SentMetric {
        counter: Some(Counter {
            value: 7.0,
            exemplar: Some(example(2.0, at(1, 500_000_000))),
            created: at(3, 5),
        }),
        ..SentMetric::default()
    };
    let untyped = SentMetric {
        untyped: number(0.0),
        ..SentMetric::default()
    };
    let quantile = |quantile, value| Quantile { quantile, value };
    let summary = SentMetric {
        summary: Some(SentSummary {
            count: 4,
            sum: 2.5,
            quantiles: vec![quantile(0.5, f64::NAN), quantile(1.0, 3.0)],
            created: at(9, 0),
        }),
        ..SentMetric::default()
    };
    let body = answer(&[
        gauge,
        family("c_total", kind::COUNTER, counter),
        family("u", kind::UNTYPED, untyped),
        family("s", kind::SUMMARY, summary),
    ]);
    assert_eq!(
        scraped(PLAIN, &body).unwrap(),
        [
            "c_total{instance=h:1,job=j} 7 @1000 since 3000000005 # Some(2.0)",
            "g.x{exported_job=own,instance=h:1,job=j,l=ü} -inf @500",
            "s_count{instance=h:1,job=j} 4 @1000 since 9000000000",
            "s_sum{instance=h:1,job=j} 2.5 @1000 since 9000000000",
            "s{instance=h:1,job=j,quantile=0.5} NaN @1000 since 9000000000",
            "s{instance=h:1,job=j,quantile=1.0} 3 @1000 since 9000000000",
            "u{instance=h:1,job=j} 0 @1000",
        ]
    );
    assert_eq!(scraped(PLAIN, &[]).unwrap(), [] as [&str; 0]);
}

fn histogram() -> Histogram {
    let bucket = |upper_bound, cumulative_count, exemplar| Bucket {
        cumulative_count,
        upper_bound,
        exemplar,
        cumulative_count_float: 0.0,
    };
    Histogram {
        count: 9,
        sum: 12.5,
        buckets: vec![
            bucket(0.25, 2, Some(example(0.1, None))),
            bucket(1_048_576.0, 8, Some(example(1.0, at(2, 0)))),
        ],
        schema: 2,
        zero_threshold: 1e-128,
        positive_spans: vec![
            Span {
                offset: -1,
                length: 2,
            },
            Span {
                offset: 2,
                length: 1,
            },
        ],
        positive_deltas: vec![2, 1, 1],
        created: at(4, 0),
        ..Histogram::default()
    }
}

fn sent(kind: i32, histogram: Histogram) -> Vec<u8> {
    let metric = SentMetric {
        histogram: Some(histogram),
        ..SentMetric::default()
    };
    answer(&[family("h", kind, metric)])
}

#[test]
fn histograms_are_native_or_classic_or_both() {
    let native = "h{instance=h:1,job=j} native [(-1, 2.0), (0, 3.0), (3, 4.0)] @1000 since \
                  4000000000 # Some(1.0)";
    let classic = [
        "h_bucket{instance=h:1,job=j,le=+Inf} 9 @1000 since 4000000000",
        "h_bucket{instance=h:1,job=j,le=0.25} 2 @1000 since 4000000000 # Some(0.1)",
        "h_bucket{instance=h:1,job=j,le=1.048576e+06} 8 @1000 since 4000000000 # Some(1.0)",
        "h_count{instance=h:1,job=j} 9 @1000 since 4000000000",
        "h_sum{instance=h:1,job=j} 12.5 @1000 since 4000000000",
    ];
    let body = sent(kind::HISTOGRAM, histogram());
    assert_eq!(scraped(PLAIN, &body).unwrap(), classic);
    assert_eq!(scraped(NATIVE, &body).unwrap(), [native]);
    let both = format!("{NATIVE}\nalways_scrape_classic_histograms: true");
    let found = scraped(&both, &body).unwrap();
    assert_eq!(found.len(), 6);
    assert!(found.contains(&native.to_owned()), "{found:?}");
    // One without native buckets is classic whatever is asked for.
    let alone = Histogram {
        zero_threshold: 0.0,
        positive_spans: vec![],
        positive_deltas: vec![],
        ..histogram()
    };
    let found = scraped(NATIVE, &sent(kind::HISTOGRAM, alone)).unwrap();
    assert_eq!(found, classic);
    // Its own exemplars come before those of the buckets.
    let own = Histogram {
        exemplars: vec![
            example(5.0, at(1, 0)),
            example(6.0, None),
            example(7.0, at(2, 0)),
        ],
        ..histogram()
    };
    let found = scraped(NATIVE, &sent(kind::HISTOGRAM, own)).unwrap();
    assert!(found[0].ends_with("# Some(5.0) # Some(7.0)"), "{found:?}");
}

/// The native histogram of an answer, as the sample has it.
fn native(kind: i32, histogram: Histogram) -> Result<model::native::NativeHistogram, String> {
    let wanted = Wanted {
        native: true,
        classic: false,
    };
    let mut found = None;
    let mut take = |_: &Family, sample: Sample<'_>| {
        found = sample.native;
        Ok::<(), ProtobufError>(())
    };
    read(&sent(kind, histogram), wanted, &mut take).map_err(|error| error.to_string())?;
    Ok(*found.unwrap())
}

#[test]
fn histograms_are_made_coarser_where_the_job_wants_that() {
    let body = sent(kind::HISTOGRAM, histogram());
    let buckets = |lines: &str| {
        let found = scraped(&format!("{NATIVE}\n{lines}"), &body)?;
        let at = found[0].find('[').unwrap();
        Ok::<_, String>(found[0][at..=found[0].find(']').unwrap()].to_owned())
    };
    let fine = "[(-1, 2.0), (0, 3.0), (3, 4.0)]";
    assert_eq!(buckets("native_histogram_bucket_limit: 3").unwrap(), fine);
    let half = "[(0, 5.0), (2, 4.0)]";
    assert_eq!(buckets("native_histogram_bucket_limit: 2").unwrap(), half);
    // 2^(2^-2) is 1.189.
    assert_eq!(
        buckets("native_histogram_min_bucket_factor: 1.18").unwrap(),
        fine
    );
    assert_eq!(
        buckets("native_histogram_min_bucket_factor: 1.3").unwrap(),
        half
    );
    let error = buckets("native_histogram_bucket_limit: 1").unwrap_err();
    assert!(error.contains("more than 1 buckets"), "{error}");
}

#[test]
fn floats_and_gauges_stay_what_they_are() {
    let found = native(
        kind::GAUGE_HISTOGRAM,
        Histogram {
            count_float: 2.5,
            zero_count_float: 0.5,
            positive_deltas: vec![],
            positive_counts: vec![0.5, 1.0, 0.5],
            negative_spans: vec![Span {
                offset: 3,
                length: 1,
            }],
            negative_counts: vec![0.25],
            ..histogram()
        },
    )
    .unwrap();
    assert_eq!(found.reset, model::native::ResetHint::Gauge);
    assert_eq!(
        (found.counts.count(), found.counts.zero_count()),
        (2.5, 0.5)
    );
    assert_eq!(found.negative().collect::<Vec<_>>(), [(3, 0.25)]);
    // The mark of one that has seen nothing yet.
    let empty = Histogram {
        positive_spans: vec![Span {
            offset: 0,
            length: 0,
        }],
        ..Histogram::default()
    };
    assert_eq!(native(kind::HISTOGRAM, empty).unwrap().counts.count(), 0.0);
}

#[test]
fn what_cannot_be_fails_the_scrape_with_its_reason() {
    type Change = fn(&mut Histogram);
    let changes: [Change; 6] = [
        |h| h.positive_deltas = vec![2, -5, 1],
        |h| h.positive_deltas = vec![2],
        |h| h.schema = 53,
        |h| h.positive_spans[1].offset = -2,
        |h| h.positive_spans[0].length = u32::MAX,
        |h| h.positive_deltas = vec![0; 1 << 17],
    ];
    for change in changes {
        let mut broken = histogram();
        change(&mut broken);
        let error = native(kind::HISTOGRAM, broken.clone()).unwrap_err();
        assert!(error.starts_with("the metric `h`: "), "{error}");
        // Whoever wants the classic series alone does not look at it.
        assert!(scraped(PLAIN, &sent(kind::HISTOGRAM, broken)).is_ok());
    }
    let gauge = |labels| SentMetric {
        labels,
        gauge: Some(Number { value: 1.0 }),
        ..SentMetric::default()
    };
    let many: Vec<(String, String)> = (0..20_000).map(|n| (n.to_string(), "x".into())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let twice = SentMetric {
        histogram: Some(histogram()),
        labels: labels(&[("le", "1")]),
        ..SentMetric::default()
    };
    for (family, reason) in [
        (family("", kind::GAUGE, gauge(vec![])), "it has no name"),
        (family("x", 9, gauge(vec![])), "its type is none"),
        (
            family("x", kind::COUNTER, gauge(vec![])),
            "a value of its type is missing",
        ),
        (
            family("x", kind::GAUGE, gauge(labels(&[("", "v")]))),
            "a label without a name",
        ),
        (
            family("x", kind::GAUGE, gauge(labels(&[("a", "1"), ("a", "2")]))),
            "a label twice",
        ),
        (
            family("x", kind::GAUGE, gauge(labels(&many))),
            "more labels",
        ),
        (
            family("x", kind::HISTOGRAM, twice),
            "a label that only its parts",
        ),
    ] {
        let error = scraped(PLAIN, &answer(&[family])).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn what_is_cut_or_lies_about_its_length_does_not_read() {
    let body = sent(kind::HISTOGRAM, histogram());
    for end in 1..body.len() {
        assert!(scraped(NATIVE, &body[..end]).is_err(), "cut at {end}");
    }
    let lies: [&[u8]; 5] = [
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x03\x0a\x7fx",
        b"# TYPE x counter\nx 1\n",
        b"\x02\x08\x01",
    ];
    for bytes in lies {
        assert!(scraped(NATIVE, bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_large_histogram_needs_its_room() {
    let most = 1 << 16;
    let large = Histogram {
        positive_spans: vec![Span {
            offset: 0,
            length: most,
        }],
        positive_deltas: vec![0; most as usize],
        ..histogram()
    };
    let body = sent(kind::HISTOGRAM, large);
    assert!(scraped(NATIVE, &body).is_ok());
    let taken = Scraped::new(NATIVE).take_body(&body, Format::Protobuf, 100_000);
    assert_eq!(taken.unwrap_err().label(), "memory");
}

proptest! {
    #[test]
    fn no_bytes_are_a_danger(
        mut body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            Just(sent(kind::HISTOGRAM, histogram())),
        ],
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        for (at, byte) in changes {
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
            }
        }
        let _ = scraped(NATIVE, &body);
        let _ = scraped(PLAIN, &body);
    }
}
