//! Metrics and their data points as protobuf.

use std::sync::Arc;

use model::metric::{
    Buckets, Exemplar, ExemplarValue, ExponentialHistogram, Histogram, MetricKind, PointValue,
    Series, Summary,
};
use model::{DataPoint, Metric};

use super::{Envelopes, put_attributes, same};
use crate::native;
use crate::proto::{
    begin, bytes, end, fixed64, message, optional_double, packed_fixed64, packed_varint,
    put_double, put_fixed64, text, varint, zigzag,
};

/// An `ExportMetricsServiceRequest` of these series and their points. Consecutive series of one
/// metric share its envelope.
pub fn metrics<'a, P>(series: impl IntoIterator<Item = (&'a Series, P)>) -> Vec<u8>
where
    P: IntoIterator<Item = &'a DataPoint>,
{
    let mut envelopes = Envelopes::default();
    let mut open: Option<(&Arc<Metric>, usize, usize)> = None;
    for (series, points) in series {
        let metric = &series.metric;
        let continues = open
            .as_ref()
            .is_some_and(|(known, _, _)| same(known, metric))
            && envelopes.open.as_ref().is_some_and(|scope| {
                same(scope.resource, &series.resource) && same(scope.scope, &series.scope)
            });
        if !continues {
            close(&mut envelopes.out, open.take());
            envelopes.enter(&series.resource, &series.scope);
            let (metric_start, data_start) = open_metric(&mut envelopes.out, metric);
            open = Some((metric, metric_start, data_start));
        }
        for point in points {
            message(&mut envelopes.out, 1, |out| put_point(out, series, point));
        }
    }
    close(&mut envelopes.out, open);
    envelopes.finish()
}

fn close(out: &mut Vec<u8>, open: Option<(&Arc<Metric>, usize, usize)>) {
    if let Some((_, metric_start, data_start)) = open {
        end(out, data_start);
        end(out, metric_start);
    }
}

fn open_metric(out: &mut Vec<u8>, metric: &Metric) -> (usize, usize) {
    let metric_start = begin(out, 2);
    text(out, 1, &metric.name);
    text(out, 2, &metric.description);
    text(out, 3, &metric.unit);
    put_attributes(out, 12, &metric.metadata);
    let data = match metric.kind {
        MetricKind::Gauge => 5,
        MetricKind::Sum => 7,
        MetricKind::Histogram => 9,
        MetricKind::ExponentialHistogram => 10,
        MetricKind::Summary => 11,
    };
    let data_start = begin(out, data);
    varint(out, 2, metric.temporality as u64);
    if metric.kind == MetricKind::Sum {
        varint(out, 3, u64::from(metric.monotonic));
    }
    (metric_start, data_start)
}

#[allow(clippy::cast_sign_loss)]
fn put_point(out: &mut Vec<u8>, series: &Series, point: &DataPoint) {
    fixed64(out, 2, point.start_unix_nano);
    fixed64(out, 3, point.time_unix_nano);
    // Attributes, exemplars and flags have other numbers in each kind of point.
    let (attributes, exemplars, flags) = match series.metric.kind {
        MetricKind::Gauge | MetricKind::Sum => (7, 5, 8),
        MetricKind::Histogram => (9, 8, 10),
        MetricKind::ExponentialHistogram => (1, 11, 10),
        MetricKind::Summary => (7, 0, 8),
    };
    put_attributes(out, attributes, &series.attributes);
    if exemplars != 0 {
        for exemplar in &point.exemplars {
            message(out, exemplars, |out| put_exemplar(out, exemplar));
        }
    }
    varint(out, flags, u64::from(point.flags));
    match &point.value {
        PointValue::Empty => {}
        PointValue::Double(double) => put_double(out, 4, *double),
        PointValue::Int(int) => put_fixed64(out, 6, *int as u64),
        PointValue::Histogram(histogram) => put_histogram(out, histogram),
        PointValue::Exponential(histogram) => put_exponential(out, histogram),
        PointValue::Summary(summary) => put_summary(out, summary),
        PointValue::Native(histogram) => native::put_value(out, histogram),
    }
}

fn put_histogram(out: &mut Vec<u8>, value: &Histogram) {
    fixed64(out, 4, value.count);
    optional_double(out, 5, value.sum);
    packed_fixed64(out, 6, value.bucket_counts.iter().copied());
    packed_fixed64(
        out,
        7,
        value.explicit_bounds.iter().map(|bound| bound.to_bits()),
    );
    optional_double(out, 11, value.min);
    optional_double(out, 12, value.max);
}

fn put_exponential(out: &mut Vec<u8>, value: &ExponentialHistogram) {
    fixed64(out, 4, value.count);
    optional_double(out, 5, value.sum);
    varint(out, 6, zigzag(value.scale));
    fixed64(out, 7, value.zero_count);
    let sides = [(8, &value.positive), (9, &value.negative)];
    for (number, buckets) in sides {
        if let Some(Buckets {
            offset,
            bucket_counts,
        }) = buckets
        {
            message(out, number, |out| {
                varint(out, 1, zigzag(*offset));
                packed_varint(out, 2, bucket_counts);
            });
        }
    }
    optional_double(out, 12, value.min);
    optional_double(out, 13, value.max);
    double(out, 14, value.zero_threshold);
}

fn put_summary(out: &mut Vec<u8>, value: &Summary) {
    fixed64(out, 4, value.count);
    double(out, 5, value.sum);
    for (quantile, at) in &value.quantiles {
        message(out, 6, |out| {
            double(out, 1, *quantile);
            double(out, 2, *at);
        });
    }
}

#[allow(clippy::cast_sign_loss)]
fn put_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    fixed64(out, 2, exemplar.time_unix_nano);
    match exemplar.value {
        ExemplarValue::Empty => {}
        ExemplarValue::Double(value) => put_double(out, 3, value),
        ExemplarValue::Int(value) => put_fixed64(out, 6, value as u64),
    }
    bytes(out, 4, &exemplar.span_id);
    bytes(out, 5, &exemplar.trace_id);
    put_attributes(out, 7, &exemplar.filtered_attributes);
}

/// A double without presence: positive zero is the default, negative zero is not.
fn double(out: &mut Vec<u8>, number: u32, value: f64) {
    if value.to_bits() != 0 {
        put_double(out, number, value);
    }
}
