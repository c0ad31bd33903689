//! The latest samples in Prometheus' protobuf format: messages `MetricFamily`, each after its
//! length. It has a form for native histograms, but for those with custom bounds.

use model::wire::{put_bytes, put_key, put_varint};
use promql::labels::is_classic_metric_name;
use promql::{FloatHistogram, SampleValue};

use super::{Latest, pairs, spelled};
use crate::error::QueryError;
use crate::sources::too_large;

/// The type of the answer.
pub(super) const KIND: &str = "application/vnd.google.protobuf; \
     proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// The types of families.
const UNTYPED: u64 = 3;
const HISTOGRAM: u64 = 4;
const GAUGE_HISTOGRAM: u64 = 5;

/// A family has samples of one kind.
fn kind(value: &SampleValue) -> Option<u64> {
    match value {
        SampleValue::Float(_) => Some(UNTYPED),
        SampleValue::Histogram(histogram) if histogram.is_custom() => None,
        SampleValue::Histogram(histogram) => Some(match histogram.hint {
            promql::histogram::ResetHint::Gauge => GAUGE_HISTOGRAM,
            _ => HISTOGRAM,
        }),
    }
}

pub(super) fn write(latest: &Latest, quotes: bool, most: u64) -> Result<Vec<u8>, QueryError> {
    let mut out = Vec::new();
    let mut family = Vec::new();
    let mut of: Option<(&str, u64)> = None;
    let mut metric = Vec::new();
    for ((name, labels), (time_ms, value)) in latest {
        let Some(kind) = kind(value) else { continue };
        if of.replace((name, kind)) != Some((name, kind)) {
            put_family(&mut out, &mut family);
            let name = spelled(name, is_classic_metric_name(name), quotes);
            put_bytes(&mut family, 1, name.as_bytes());
            put_number(&mut family, 3, kind);
        }
        metric.clear();
        for (label, value) in pairs(labels, quotes) {
            put_message(&mut metric, 1, |pair| {
                put_bytes(pair, 1, label.as_bytes());
                put_bytes(pair, 2, value.as_bytes());
            });
        }
        match value {
            SampleValue::Float(value) => {
                put_message(&mut metric, 5, |untyped| put_double(untyped, 1, *value));
            }
            SampleValue::Histogram(histogram) => {
                put_message(&mut metric, 7, |out| put_histogram(out, histogram));
            }
        }
        put_number(&mut metric, 6, time_ms.cast_unsigned());
        put_bytes(&mut family, 4, &metric);
        if (out.len() + family.len()) as u64 > most {
            return Err(too_large(most));
        }
    }
    put_family(&mut out, &mut family);
    Ok(out)
}

fn put_family(out: &mut Vec<u8>, family: &mut Vec<u8>) {
    if !family.is_empty() {
        put_varint(out, family.len() as u64);
        out.append(family);
    }
}

/// Counts are written as floats, which they are in answers, too.
fn put_histogram(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    let native = histogram.to_native();
    put_double(out, 2, native.sum);
    put_double(out, 4, histogram.count);
    put_number(out, 5, zigzag(native.schema));
    put_double(out, 6, native.zero_threshold);
    put_double(out, 8, histogram.zero_count);
    let sides = [
        (9, 11, &native.negative_spans, &histogram.negative),
        (12, 14, &native.positive_spans, &histogram.positive),
    ];
    for (spans_number, counts_number, spans, buckets) in sides {
        for span in spans {
            put_message(out, spans_number, |out| {
                put_number(out, 1, zigzag(span.offset));
                put_number(out, 2, u64::from(span.length));
            });
        }
        for bucket in buckets {
            put_double(out, counts_number, bucket.count);
        }
    }
    if native.negative_spans.is_empty() && native.positive_spans.is_empty() {
        // A native histogram is known by its spans.
        put_message(out, 12, |out| {
            put_number(out, 1, 0);
            put_number(out, 2, 0);
        });
    }
}

fn put_message(out: &mut Vec<u8>, number: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut message = Vec::new();
    fill(&mut message);
    put_bytes(out, number, &message);
}

fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    put_key(out, number, 0);
    put_varint(out, value);
}

fn put_double(out: &mut Vec<u8>, number: u32, value: f64) {
    put_key(out, number, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Signed numbers so that those near zero are short.
fn zigzag(value: i32) -> u64 {
    u64::from(((value << 1) ^ (value >> 31)).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use promql::Labels;
    use testkit::exposition::{Span, families, kind};

    use super::*;

    #[test]
    fn numbers_and_histograms_of_a_name_are_families_of_their_own() {
        let histogram = |text: &str| {
            let histogram = promql::notation::parse_histogram(text).unwrap();
            SampleValue::Histogram(Arc::new(histogram))
        };
        let labels = |value: &str| Labels::new([("a.b", value)]);
        let mut latest = Latest::new();
        let mut put = |name: &str, label: &str, value| {
            latest.insert((name.to_owned(), labels(label)), (-5, value));
        };
        put("h", "1", SampleValue::Float(0.5));
        let text = "{{schema:-1 count:4.5 sum:-3 z_bucket:1 z_bucket_w:0.1 offset:-2 buckets:[1 0 1] n_buckets:[1.5]}}";
        put("h", "2", histogram(text));
        put("h", "3", histogram("{{schema:3 counter_reset_hint:gauge}}"));
        put(
            "h",
            "4",
            histogram("{{schema:-53 custom_values:[1] count:1 buckets:[1]}}"),
        );
        let found = families(&write(&latest, false, 10_000).unwrap());
        let kinds: Vec<i32> = found.iter().map(|family| family.kind).collect();
        assert_eq!(
            kinds,
            [kind::UNTYPED, kind::HISTOGRAM, kind::GAUGE_HISTOGRAM]
        );
        let metrics: Vec<_> = found.iter().flat_map(|family| &family.metrics).collect();
        assert_eq!(metrics[0].untyped.map(|untyped| untyped.value), Some(0.5));
        assert_eq!(metrics[0].timestamp_ms, -5);
        let names: Vec<&str> = metrics[1]
            .labels
            .iter()
            .map(|of| of.name.as_str())
            .collect();
        assert_eq!(names, ["a_b", "instance"]);
        let native = metrics[1].histogram.as_ref().unwrap();
        assert_eq!(
            (native.schema, native.sum, native.count_float),
            (-1, -3.0, 4.5)
        );
        assert_eq!((native.zero_threshold, native.zero_count_float), (0.1, 1.0));
        let spans = |list: &[Span]| {
            list.iter()
                .map(|of| (of.offset, of.length))
                .collect::<Vec<_>>()
        };
        assert_eq!(spans(&native.positive_spans), [(-2, 3)]);
        assert_eq!(native.positive_counts, [1.0, 0.0, 1.0]);
        assert_eq!(
            (spans(&native.negative_spans), &native.negative_counts[..]),
            (vec![(0, 1)], &[1.5][..])
        );
        let empty = metrics[2].histogram.as_ref().unwrap();
        assert_eq!(spans(&empty.positive_spans), [(0, 0)]);
        let quoted = families(&write(&latest, true, 10_000).unwrap());
        assert_eq!(quoted[0].metrics[0].labels[0].name, "a.b");
        assert!(write(&latest, true, 60).is_err());
    }
}
