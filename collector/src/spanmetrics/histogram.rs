//! Durations of one series, with an example of a span for each of its buckets.

use std::sync::Arc;

use model::metric::{Buckets, ExponentialHistogram, Histogram};
use model::{SpanId, TraceId};

use super::zero::Zero;

/// The resolution of native histograms: 32 buckets for each power of two. It never changes, so that
/// histograms of any series, time and collector have the same buckets, and adding them up is exact.
/// A bucket is 2.2 % wide: a quantile is off by no more.
pub(super) const NATIVE_SCALE: i32 = 5;

/// One span among those that were counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Example {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub time_unix_nano: u64,
    pub seconds: f64,
}

/// What every histogram of a kind has in common.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// Upper bounds of the buckets in seconds, ascending.
    pub bounds: Arc<[f64]>,
    /// Whether a native histogram is kept as well.
    pub native: bool,
}

/// A cumulative histogram of seconds.
#[derive(Debug, Clone)]
pub(super) struct Latency {
    bounds: Arc<[f64]>,
    buckets: Box<[u64]>,
    native: Option<Native>,
    pub count: u64,
    sum: f64,
    /// At most one per bucket since they were last taken.
    examples: Vec<(usize, Example)>,
    pub zero: Zero,
}

impl Latency {
    pub(super) fn new(shape: &Shape) -> Self {
        Self {
            bounds: Arc::clone(&shape.bounds),
            buckets: vec![0; shape.bounds.len() + 1].into(),
            native: shape.native.then(Native::default),
            count: 0,
            sum: 0.0,
            examples: Vec::new(),
            zero: Zero::None,
        }
    }

    pub(super) fn add(&mut self, example: Example) {
        self.count += 1;
        self.sum += example.seconds;
        let bucket = self
            .bounds
            .partition_point(|bound| *bound < example.seconds);
        self.buckets[bucket] += 1;
        match self.examples.iter_mut().find(|(at, _)| *at == bucket) {
            Some((_, latest)) => *latest = example,
            None => self.examples.push((bucket, example)),
        }
        if let Some(native) = &mut self.native {
            native.add(example.seconds);
        }
    }

    /// What is to be written: see [`super::table::Counts`]. Without a span there is no histogram,
    /// hence no zero.
    pub(super) fn take(&mut self, nothing_yet: u64) -> Self {
        let examples = std::mem::take(&mut self.examples);
        let mut taken = self.clone();
        taken.examples = examples;
        if self.count > 0 {
            taken.zero = self.zero.take(nothing_yet);
        }
        taken
    }

    /// Has everything that was taken written once more. Of a bucket that has an example since then,
    /// that one stays.
    pub(super) fn put_back(&mut self, taken: Self) {
        self.zero.put_back(taken.zero, 0);
        for (bucket, example) in taken.examples {
            if !self.examples.iter().any(|(at, _)| *at == bucket) {
                self.examples.push((bucket, example));
            }
        }
    }

    /// The examples, at most one for each bucket.
    pub(super) fn examples(&self) -> impl Iterator<Item = Example> + '_ {
        self.examples.iter().map(|(_, example)| *example)
    }

    /// What was counted, by the bounds.
    pub(super) fn classic(&self) -> Histogram {
        Histogram {
            count: self.count,
            sum: Some(self.sum),
            bucket_counts: self.buckets.to_vec(),
            explicit_bounds: self.bounds.to_vec(),
            min: None,
            max: None,
        }
    }

    /// The same before the first span.
    pub(super) fn classic_zero(&self) -> Histogram {
        Histogram {
            sum: Some(0.0),
            bucket_counts: vec![0; self.buckets.len()],
            explicit_bounds: self.bounds.to_vec(),
            ..Histogram::default()
        }
    }

    /// What was counted as a native histogram, where one is kept.
    pub(super) fn native(&self) -> Option<ExponentialHistogram> {
        let native = self.native.as_ref()?;
        Some(ExponentialHistogram {
            count: self.count,
            sum: Some(self.sum),
            scale: NATIVE_SCALE,
            zero_count: native.zero,
            positive: Some(native.buckets()),
            ..ExponentialHistogram::default()
        })
    }
}

/// An exponential histogram in the layout of OTLP: bucket `i` of scale `s` counts values in
/// `(2^(i / 2^s), 2^((i + 1) / 2^s)]`. Durations are between a nanosecond and six centuries, so there
/// are about two thousand buckets at most.
#[derive(Debug, Clone, Default)]
struct Native {
    zero: u64,
    /// The buckets that count something, ascending.
    counts: Vec<(i16, u64)>,
}

impl Native {
    fn add(&mut self, seconds: f64) {
        if seconds <= 0.0 {
            self.zero += 1;
            return;
        }
        let index = index_of(seconds);
        match self
            .counts
            .binary_search_by_key(&index, |(index, _)| *index)
        {
            Ok(at) => self.counts[at].1 += 1,
            Err(at) => self.counts.insert(at, (index, 1)),
        }
    }

    fn buckets(&self) -> Buckets {
        let first = self.counts.first().map_or(0, |(index, _)| *index);
        let mut buckets = Buckets {
            offset: first.into(),
            bucket_counts: Vec::new(),
        };
        for (index, count) in &self.counts {
            let at = usize::from(index.abs_diff(first));
            buckets.bucket_counts.resize(at, 0);
            buckets.bucket_counts.push(*count);
        }
        buckets
    }
}

/// The bucket of a positive number of seconds.
#[allow(clippy::cast_possible_truncation)]
fn index_of(seconds: f64) -> i16 {
    // Durations lie between 1 ns and 600 years, so that this is a small number.
    (seconds.log2() * f64::from(1 << NATIVE_SCALE)).ceil() as i16 - 1
}

#[cfg(test)]
mod tests;
