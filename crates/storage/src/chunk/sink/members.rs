//! How long the value of a point is.

use model::metric::{Buckets, PointValue};

/// How many counts, bounds or quantiles a value has.
pub(crate) fn members(value: &PointValue) -> usize {
    let counts =
        |buckets: Option<&Buckets>| buckets.map_or(0, |buckets| buckets.bucket_counts.len());
    match value {
        PointValue::Empty | PointValue::Int(_) | PointValue::Double(_) => 0,
        PointValue::Histogram(histogram) => {
            histogram.bucket_counts.len() + histogram.explicit_bounds.len()
        }
        PointValue::Exponential(histogram) => {
            counts(histogram.positive.as_ref()) + counts(histogram.negative.as_ref())
        }
        PointValue::Summary(summary) => summary.quantiles.len(),
        PointValue::Native(histogram) => {
            histogram.counts.buckets()
                + histogram.positive_spans.len()
                + histogram.negative_spans.len()
                + histogram.custom_bounds.len()
        }
    }
}
