//! Histograms of OTLP as native ones.

use std::sync::Arc;

use super::{CUSTOM_SCHEMA, FloatHistogram, IndexedBucket, MAX_SCHEMA, MIN_SCHEMA, ResetHint};

/// An OTLP exponential histogram: buckets are the index of the first, and their counts.
#[derive(Debug, Clone, Copy)]
pub struct Exponential<'a> {
    /// Number of values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Resolution.
    pub scale: i32,
    /// Values within the zero threshold.
    pub zero_count: u64,
    /// Half-width of the zero bucket.
    pub zero_threshold: f64,
    /// Buckets of positive values.
    pub positive: (i32, &'a [u64]),
    /// Buckets of negative values.
    pub negative: (i32, &'a [u64]),
}

impl FloatHistogram {
    /// The histogram that an OTLP exponential data point is.
    pub fn from_exponential(point: &model::metric::ExponentialHistogram) -> Self {
        fn side(buckets: Option<&model::metric::Buckets>) -> (i32, &[u64]) {
            buckets.map_or((0, &[]), |side| (side.offset, &side.bucket_counts))
        }
        Self::exponential(&Exponential {
            count: point.count,
            sum: point.sum.unwrap_or(0.0),
            scale: point.scale,
            zero_count: point.zero_count,
            zero_threshold: point.zero_threshold,
            positive: side(point.positive.as_ref()),
            negative: side(point.negative.as_ref()),
        })
    }

    /// The same of its parts. Scales finer than the finest schema are merged down; those coarser
    /// than the coarsest have the same buckets as that.
    #[allow(clippy::cast_precision_loss)]
    pub fn exponential(point: &Exponential<'_>) -> Self {
        let schema = point.scale.clamp(MIN_SCHEMA, MAX_SCHEMA);
        let shift = point.scale.saturating_sub(schema).clamp(0, 31);
        let side = |(offset, counts): (i32, &[u64])| {
            let populated = counts.iter().filter(|count| **count != 0).count();
            let mut merged: Vec<IndexedBucket> = Vec::with_capacity(populated);
            for (position, &count) in (0i32..).zip(counts) {
                // OTLP numbers a bucket by its lower bound, this type by its upper one.
                let index = super::within(offset.saturating_add(position) >> shift) + 1;
                let count = count as f64;
                match merged.last_mut() {
                    Some(last) if last.index == index => last.count += count,
                    _ if count != 0.0 => merged.push(IndexedBucket { index, count }),
                    _ => {}
                }
            }
            merged
        };
        Self {
            schema,
            zero_threshold: super::sound_threshold(point.zero_threshold),
            zero_count: point.zero_count as f64,
            count: point.count as f64,
            sum: point.sum,
            positive: side(point.positive),
            negative: side(point.negative),
            bounds: None,
            hint: ResetHint::Unknown,
        }
    }

    /// The histogram that an OTLP data point with bounds is: one of custom bounds. Where the bounds do
    /// not rise nothing is known of the values but their number.
    #[allow(clippy::cast_precision_loss)]
    pub fn from_bounded(point: &model::metric::Histogram) -> Self {
        let sent = &point.explicit_bounds;
        let finite = sent.strip_suffix(&[f64::INFINITY]).unwrap_or(sent);
        let rising = finite.is_sorted_by(|a, b| a < b) && !finite.iter().any(|at| at.is_nan());
        let bounds = if rising { finite } else { &[] };
        let mut positive: Vec<IndexedBucket> = Vec::new();
        for (position, &count) in point.bucket_counts.iter().enumerate() {
            let index = i32::try_from(position.min(bounds.len())).unwrap_or(i32::MAX);
            let count = count as f64;
            match positive.last_mut() {
                Some(last) if last.index == index => last.count += count,
                _ if count != 0.0 => positive.push(IndexedBucket { index, count }),
                _ => {}
            }
        }
        Self {
            schema: CUSTOM_SCHEMA,
            count: point.count as f64,
            sum: point.sum.unwrap_or(0.0),
            positive,
            bounds: Some(Arc::from(bounds)),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_rise_are_custom_ones() {
        let of = |explicit_bounds: &[f64], bucket_counts: &[u64]| {
            FloatHistogram::from_bounded(&model::metric::Histogram {
                count: bucket_counts.iter().sum(),
                sum: Some(2.5),
                bucket_counts: bucket_counts.to_vec(),
                explicit_bounds: explicit_bounds.to_vec(),
                ..model::metric::Histogram::default()
            })
        };
        let bucket = |index, count| IndexedBucket { index, count };
        let found = of(&[0.5, 1.0], &[2, 0, 3]);
        assert_eq!(
            (found.schema, found.count, found.sum),
            (CUSTOM_SCHEMA, 5.0, 2.5)
        );
        assert_eq!(found.bounds.as_deref(), Some(&[0.5, 1.0][..]));
        assert_eq!(found.positive, [bucket(0, 2.0), bucket(2, 3.0)]);
        // What lies beyond the infinite bound lies below it.
        let found = of(&[0.5, f64::INFINITY], &[1, 2, 3]);
        assert_eq!(found.bounds.as_deref(), Some(&[0.5][..]));
        assert_eq!(found.positive, [bucket(0, 1.0), bucket(1, 5.0)]);
        for bounds in [[1.0, 0.5], [1.0, 1.0], [f64::NAN, 1.0]] {
            let found = of(&bounds, &[1, 0, 2]);
            assert_eq!(found.bounds.as_deref(), Some(&[][..]), "{bounds:?}");
            assert_eq!(found.positive, [bucket(0, 3.0)]);
        }
        assert_eq!(of(&[], &[]).positive, []);
    }
}
