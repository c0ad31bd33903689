//! The points of the corpus as Prometheus would write them: remote write 1.0, one sample of each
//! series, with the labels that the series have in PromQL.

use model::metric::{PointValue, Series};
use model::wire::{put_bytes, put_key, put_varint};
use model::{DataPoint, prometheus};

/// Where a request goes.
pub(super) const PATH: &str = "/prometheus/api/v1/write";
/// What tells what it is.
pub(super) const HEADERS: [(&str, &str); 3] = [
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

/// The labels of a series, encoded.
pub(super) fn labels(series: &Series) -> Vec<u8> {
    let mut labels = prometheus::base_labels(series);
    let name = prometheus::base_name(series);
    labels.push((prometheus::NAME_LABEL.to_owned(), name));
    labels.sort();
    let mut out = Vec::new();
    let mut label = Vec::new();
    for (name, value) in labels {
        label.clear();
        put_bytes(&mut label, 1, name.as_bytes());
        put_bytes(&mut label, 2, value.as_bytes());
        put_bytes(&mut out, 1, &label);
    }
    out
}

/// A request of these samples, each with the labels of its series, as a block of Snappy.
pub(super) fn request<'a>(samples: impl Iterator<Item = (&'a [u8], &'a DataPoint)>) -> Vec<u8> {
    let mut message = Vec::new();
    let (mut series, mut sample) = (Vec::new(), Vec::new());
    for (labels, point) in samples {
        #[allow(clippy::cast_precision_loss)]
        let value = match point.value {
            PointValue::Int(int) => int as f64,
            PointValue::Double(double) => double,
            _ => continue,
        };
        sample.clear();
        put_key(&mut sample, 1, 1);
        sample.extend_from_slice(&value.to_le_bytes());
        put_key(&mut sample, 2, 0);
        put_varint(&mut sample, point.time_unix_nano / 1_000_000);
        series.clear();
        series.extend_from_slice(labels);
        put_bytes(&mut series, 2, &sample);
        put_bytes(&mut message, 1, &series);
    }
    snap::raw::Encoder::new()
        .compress_vec(&message)
        .expect("a request is far below 4 GiB")
}
