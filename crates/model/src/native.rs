//! Native histograms as Prometheus' protocols carry them.
//!
//! OTLP has no form for all of them: counts may be floats, bounds may be custom, and a sample says
//! what is known of counter resets. They are kept as sent, so that PromQL sees what was sent.

use serde::{Deserialize, Serialize};

/// The schema of a histogram with custom bounds.
pub const CUSTOM_SCHEMA: i32 = -53;

/// A native histogram.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NativeHistogram {
    /// Resolution: bucket bounds are powers of 2^(2^-schema); or [`CUSTOM_SCHEMA`].
    pub schema: i32,
    /// Sum of all observations; the bits are kept, since one NaN is the stale marker.
    pub sum: f64,
    /// Half-width of the zero bucket.
    pub zero_threshold: f64,
    /// What is known of counter resets.
    pub reset: ResetHint,
    /// Where the buckets of positive values, or those of the custom bounds, lie.
    pub positive_spans: Vec<BucketSpan>,
    /// Where the buckets of negative values lie.
    pub negative_spans: Vec<BucketSpan>,
    /// The counts.
    pub counts: NativeCounts,
    /// Upper bounds of [`CUSTOM_SCHEMA`], rising, without the infinite one.
    pub custom_bounds: Vec<f64>,
}

/// A run of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BucketSpan {
    /// Index of the first bucket for the first span; for the others the gap to the span before.
    pub offset: i32,
    /// How many buckets follow each other.
    pub length: u32,
}

/// What is known about a counter histogram relative to the sample before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ResetHint {
    /// Nothing.
    #[default]
    Unknown,
    /// It was reset.
    Reset,
    /// It was not.
    NotReset,
    /// It is not a counter.
    Gauge,
}

/// Counts per bucket are absolute and in the order of the spans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum NativeCounts {
    /// Whole observations.
    Integer {
        /// All of them.
        count: u64,
        /// Those in the zero bucket.
        zero_count: u64,
        /// Those of the positive buckets.
        positive: Vec<u64>,
        /// Those of the negative buckets.
        negative: Vec<u64>,
    },
    /// What calculations yield.
    Float {
        /// All observations.
        count: f64,
        /// Those in the zero bucket.
        zero_count: f64,
        /// Those of the positive buckets.
        positive: Vec<f64>,
        /// Those of the negative buckets.
        negative: Vec<f64>,
    },
}

impl Default for NativeCounts {
    fn default() -> Self {
        NativeCounts::Integer {
            count: 0,
            zero_count: 0,
            positive: Vec::new(),
            negative: Vec::new(),
        }
    }
}

impl NativeCounts {
    /// All observations.
    #[allow(clippy::cast_precision_loss)]
    pub fn count(&self) -> f64 {
        match self {
            NativeCounts::Integer { count, .. } => *count as f64,
            NativeCounts::Float { count, .. } => *count,
        }
    }

    /// Those in the zero bucket.
    #[allow(clippy::cast_precision_loss)]
    pub fn zero_count(&self) -> f64 {
        match self {
            NativeCounts::Integer { zero_count, .. } => *zero_count as f64,
            NativeCounts::Float { zero_count, .. } => *zero_count,
        }
    }

    /// How many buckets have a count.
    pub fn buckets(&self) -> usize {
        match self {
            NativeCounts::Integer {
                positive, negative, ..
            } => positive.len() + negative.len(),
            NativeCounts::Float {
                positive, negative, ..
            } => positive.len() + negative.len(),
        }
    }
}

impl NativeHistogram {
    /// Index and count of each positive bucket, by rising index.
    pub fn positive(&self) -> impl Iterator<Item = (i32, f64)> {
        let counts = match &self.counts {
            NativeCounts::Integer { positive, .. } => Side::Integer(positive),
            NativeCounts::Float { positive, .. } => Side::Float(positive),
        };
        indexed(&self.positive_spans, counts)
    }

    /// Index and count of each negative bucket, by rising index.
    pub fn negative(&self) -> impl Iterator<Item = (i32, f64)> {
        let counts = match &self.counts {
            NativeCounts::Integer { negative, .. } => Side::Integer(negative),
            NativeCounts::Float { negative, .. } => Side::Float(negative),
        };
        indexed(&self.negative_spans, counts)
    }
}

impl NativeHistogram {
    /// How many buckets it has, those without a count among them.
    pub fn buckets(&self) -> usize {
        self.counts.buckets()
    }

    /// The same with the coarser buckets of a lower schema; one with custom bounds, or that is as
    /// coarse already, stays as it is.
    pub fn coarser(&self, schema: i32) -> Self {
        if self.schema == CUSTOM_SCHEMA || schema >= self.schema {
            return self.clone();
        }
        let shift = u32::try_from(self.schema.saturating_sub(schema)).map_or(31, |by| by.min(31));
        let (positive_spans, negative_spans, counts);
        match &self.counts {
            NativeCounts::Integer {
                count,
                zero_count,
                positive,
                negative,
            } => {
                let up = merged(&self.positive_spans, positive, shift, u64::saturating_add);
                let down = merged(&self.negative_spans, negative, shift, u64::saturating_add);
                (positive_spans, negative_spans) = (up.0, down.0);
                counts = NativeCounts::Integer {
                    count: *count,
                    zero_count: *zero_count,
                    positive: up.1,
                    negative: down.1,
                };
            }
            NativeCounts::Float {
                count,
                zero_count,
                positive,
                negative,
            } => {
                let up = merged(&self.positive_spans, positive, shift, |a, b| a + b);
                let down = merged(&self.negative_spans, negative, shift, |a, b| a + b);
                (positive_spans, negative_spans) = (up.0, down.0);
                counts = NativeCounts::Float {
                    count: *count,
                    zero_count: *zero_count,
                    positive: up.1,
                    negative: down.1,
                };
            }
        }
        Self {
            schema,
            positive_spans,
            negative_spans,
            counts,
            ..self.clone()
        }
    }
}

/// Buckets of one side, 2 to the power of `shift` of them at a time added up to one.
fn merged<T: Copy>(
    spans: &[BucketSpan],
    counts: &[T],
    shift: u32,
    add: impl Fn(T, T) -> T,
) -> (Vec<BucketSpan>, Vec<T>) {
    let (mut runs, mut sums): (Vec<BucketSpan>, Vec<T>) = (Vec::new(), Vec::new());
    let mut last = None;
    let mut next = 0i32;
    let mut counts = counts.iter();
    for span in spans {
        next = next.wrapping_add(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            // A bucket reaches up to its index: the last of those that become one has its bound.
            let index = (next.wrapping_sub(1) >> shift).wrapping_add(1);
            next = next.wrapping_add(1);
            match (last, sums.last_mut()) {
                (Some(before), Some(sum)) if before == index => *sum = add(*sum, *count),
                _ => {
                    let offset = index.wrapping_sub(last.map_or(0, |before: i32| before + 1));
                    match runs.last_mut() {
                        Some(run) if offset == 0 => run.length += 1,
                        _ => runs.push(BucketSpan { offset, length: 1 }),
                    }
                    sums.push(*count);
                    last = Some(index);
                }
            }
        }
    }
    (runs, sums)
}

#[derive(Clone, Copy)]
enum Side<'a> {
    Integer(&'a [u64]),
    Float(&'a [f64]),
}

impl Side<'_> {
    #[allow(clippy::cast_precision_loss)]
    fn get(self, at: usize) -> Option<f64> {
        match self {
            Side::Integer(counts) => counts.get(at).map(|count| *count as f64),
            Side::Float(counts) => counts.get(at).copied(),
        }
    }
}

fn indexed<'a>(spans: &'a [BucketSpan], counts: Side<'a>) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut next = 0i32;
    let indices = spans.iter().flat_map(move |span| {
        let first = next.wrapping_add(span.offset);
        next = first.wrapping_add_unsigned(span.length);
        (0..span.length).map(move |at| first.wrapping_add_unsigned(at))
    });
    // The counts end a walk over spans that say more than there are.
    indices
        .enumerate()
        .map_while(move |(at, index)| Some((index, counts.get(at)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarser_buckets_hold_what_the_finer_ones_held() {
        let span = |offset, length| BucketSpan { offset, length };
        let fine = NativeHistogram {
            schema: 2,
            positive_spans: vec![span(-3, 4), span(2, 1)],
            negative_spans: vec![span(1, 2)],
            counts: NativeCounts::Integer {
                count: 30,
                zero_count: 1,
                positive: vec![1, 2, 3, 4, 5],
                negative: vec![6, 7],
            },
            ..NativeHistogram::default()
        };
        // -3, -2 | -1, 0 | 3
        let half = fine.coarser(1);
        let positive: Vec<_> = half.positive().collect();
        assert_eq!(positive, [(-1, 3.0), (0, 7.0), (2, 5.0)]);
        assert_eq!(half.negative().collect::<Vec<_>>(), [(1, 13.0)]);
        assert_eq!((half.buckets(), half.counts.count()), (4, 30.0));
        assert_eq!(half.positive_spans, [span(-1, 2), span(1, 1)]);
        let whole = fine.coarser(-4);
        assert_eq!(whole.positive().collect::<Vec<_>>(), [(0, 10.0), (1, 5.0)]);
        assert_eq!(fine.coarser(2), fine);
        let custom = NativeHistogram {
            schema: CUSTOM_SCHEMA,
            ..fine.clone()
        };
        assert_eq!(custom.coarser(-60), custom);
        let NativeCounts::Integer { .. } = half.counts else {
            panic!("whole counts stay whole");
        };
    }

    #[test]
    fn spans_place_counts() {
        let span = |offset, length| BucketSpan { offset, length };
        let histogram = NativeHistogram {
            positive_spans: vec![span(-2, 2), span(0, 0), span(3, 1)],
            negative_spans: vec![span(5, u32::MAX)],
            counts: NativeCounts::Integer {
                count: 10,
                zero_count: 1,
                positive: vec![1, 2, 3],
                negative: vec![3],
            },
            ..NativeHistogram::default()
        };
        let positive: Vec<_> = histogram.positive().collect();
        assert_eq!(positive, [(-2, 1.0), (-1, 2.0), (3, 3.0)]);
        let negative: Vec<_> = histogram.negative().collect();
        assert_eq!(negative, [(5, 3.0)], "no more than there are counts");
    }
}
