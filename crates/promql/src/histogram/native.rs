//! Native histograms as they were sent, and as what is calculated is stored.

use std::sync::Arc;

use model::native::{BucketSpan, NativeCounts, NativeHistogram};

use super::{CUSTOM_SCHEMA, FloatHistogram, IndexedBucket, MAX_SCHEMA};

impl FloatHistogram {
    /// The histogram that a sample of remote write is. Schemas finer than the finest are merged
    /// down.
    pub fn from_native(sent: &NativeHistogram) -> Self {
        let schema = sent.schema.min(MAX_SCHEMA);
        let shift = sent.schema.saturating_sub(schema).clamp(0, 31);
        let side = |buckets: &mut dyn Iterator<Item = (i32, f64)>| {
            let mut merged: Vec<IndexedBucket> = Vec::new();
            for (index, count) in buckets {
                let index = super::within(index.wrapping_sub(1) >> shift) + 1;
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
            zero_threshold: super::sound_threshold(sent.zero_threshold),
            zero_count: sent.counts.zero_count(),
            count: sent.counts.count(),
            sum: sent.sum,
            positive: side(&mut sent.positive()),
            negative: side(&mut sent.negative()),
            bounds: (schema == CUSTOM_SCHEMA).then(|| Arc::from(&sent.custom_bounds[..])),
            hint: sent.reset,
        }
    }

    /// The form in which the histogram is stored: [`FloatHistogram::from_native`] makes the same
    /// of it again.
    pub fn to_native(&self) -> NativeHistogram {
        let (positive_spans, positive) = laid_out(&self.positive);
        let (negative_spans, negative) = laid_out(&self.negative);
        let bounds = self.bounds.as_deref().filter(|_| self.is_custom());
        NativeHistogram {
            schema: self.schema,
            sum: self.sum,
            zero_threshold: self.zero_threshold,
            reset: self.hint,
            positive_spans,
            negative_spans,
            counts: NativeCounts::Float {
                count: self.count,
                zero_count: self.zero_count,
                positive,
                negative,
            },
            custom_bounds: bounds.unwrap_or_default().to_vec(),
        }
    }
}

/// Buckets as runs of such that follow each other, and the counts of all of them.
fn laid_out(buckets: &[IndexedBucket]) -> (Vec<BucketSpan>, Vec<f64>) {
    let mut spans: Vec<BucketSpan> = Vec::new();
    let mut next = 0i32;
    for bucket in buckets {
        let offset = bucket.index.wrapping_sub(next);
        next = bucket.index.wrapping_add(1);
        match spans.last_mut() {
            Some(last) if offset == 0 => last.length += 1,
            _ => spans.push(BucketSpan { offset, length: 1 }),
        }
    }
    (spans, buckets.iter().map(|bucket| bucket.count).collect())
}

#[cfg(test)]
mod tests {
    use model::native::{BucketSpan, NativeCounts};

    use super::super::ResetHint;
    use super::*;

    #[test]
    fn fine_schemas_are_merged_and_custom_bounds_kept() {
        let mut sent = NativeHistogram {
            schema: 9,
            sum: 2.5,
            reset: ResetHint::NotReset,
            positive_spans: vec![BucketSpan {
                offset: -1,
                length: 4,
            }],
            counts: NativeCounts::Float {
                count: 10.0,
                zero_count: 0.5,
                positive: vec![1.0, 2.0, 0.0, 4.0],
                negative: vec![],
            },
            ..NativeHistogram::default()
        };
        let bucket = |index, count| IndexedBucket { index, count };
        let found = FloatHistogram::from_native(&sent);
        // Two buckets become one: -1 and 0 lie in 0, 1 and 2 in 1.
        assert_eq!(found.positive, [bucket(0, 3.0), bucket(1, 4.0)]);
        assert_eq!((found.schema, found.hint), (8, ResetHint::NotReset));
        sent.schema = CUSTOM_SCHEMA;
        sent.positive_spans[0].offset = 0;
        sent.custom_bounds = vec![0.5, 1.0, 2.0];
        let found = FloatHistogram::from_native(&sent);
        assert_eq!(found.bounds.as_deref(), Some(&[0.5, 1.0, 2.0][..]));
        assert_eq!(
            found.positive,
            [bucket(0, 1.0), bucket(1, 2.0), bucket(3, 4.0)]
        );
        let stored = found.to_native();
        let span = |offset, length| BucketSpan { offset, length };
        assert_eq!(stored.positive_spans, [span(0, 2), span(1, 1)]);
        assert_eq!(FloatHistogram::from_native(&stored), found);
        let both = FloatHistogram {
            schema: -2,
            negative: vec![bucket(-3, 0.25), bucket(-2, -1.0), bucket(7, 2.0)],
            ..FloatHistogram::default()
        };
        let stored = both.to_native();
        assert_eq!(stored.negative_spans, [span(-3, 2), span(8, 1)]);
        assert_eq!(FloatHistogram::from_native(&stored), both);
    }
}
