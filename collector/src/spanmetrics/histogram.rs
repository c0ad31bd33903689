//! Durations of one series, with an example of a span for each of its buckets.

use std::sync::Arc;

use model::metric::{Buckets, ExponentialHistogram, Histogram};
use model::{SpanId, TraceId};

/// Buckets of a native histogram at most; it becomes coarser where there would be more.
const NATIVE_BUCKETS_MAX: usize = 160;
/// The finest resolution of a native histogram: 16 buckets for each power of two.
const NATIVE_SCALE_MAX: i32 = 4;

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
#[derive(Debug)]
pub(super) struct Latency {
    bounds: Arc<[f64]>,
    buckets: Box<[u64]>,
    native: Option<Native>,
    pub count: u64,
    sum: f64,
    /// At most one per bucket since they were last taken.
    examples: Vec<(usize, Example)>,
    /// Whether its points have begun to be written.
    pub begun: bool,
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
            begun: false,
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

    /// The examples since the last time.
    pub(super) fn take_examples(&mut self) -> impl Iterator<Item = Example> + use<> {
        std::mem::take(&mut self.examples)
            .into_iter()
            .map(|(_, example)| example)
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
        let buckets = Buckets {
            offset: native.offset,
            bucket_counts: native.counts.clone(),
        };
        Some(ExponentialHistogram {
            count: self.count,
            sum: Some(self.sum),
            scale: native.scale,
            zero_count: native.zero,
            positive: Some(buckets),
            ..ExponentialHistogram::default()
        })
    }
}

/// An exponential histogram in the layout of OTLP: bucket `i` of scale `s` counts values in
/// `(2^(i / 2^s), 2^((i + 1) / 2^s)]`.
#[derive(Debug)]
struct Native {
    scale: i32,
    zero: u64,
    offset: i32,
    counts: Vec<u64>,
}

impl Default for Native {
    fn default() -> Self {
        Self {
            scale: NATIVE_SCALE_MAX,
            zero: 0,
            offset: 0,
            counts: Vec::new(),
        }
    }
}

impl Native {
    fn add(&mut self, seconds: f64) {
        if seconds <= 0.0 {
            self.zero += 1;
            return;
        }
        let mut index = index_of(seconds, self.scale);
        if self.counts.is_empty() {
            self.offset = index;
        }
        while self.width_with(index) > NATIVE_BUCKETS_MAX {
            self.halve();
            index >>= 1;
        }
        if index < self.offset {
            let missing = usize::try_from(self.offset - index).unwrap_or_default();
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.offset = index;
        }
        let at = usize::try_from(index - self.offset).unwrap_or_default();
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
    }

    /// How many buckets there are once this one is among them.
    fn width_with(&self, index: i32) -> usize {
        let length = i32::try_from(self.counts.len()).unwrap_or(i32::MAX);
        let first = self.offset.min(index);
        let end = (self.offset + length).max(index + 1);
        usize::try_from(end - first).unwrap_or_default()
    }

    /// Joins each two buckets into one.
    fn halve(&mut self) {
        let first = self.offset >> 1;
        let mut halved: Vec<u64> = Vec::with_capacity(self.counts.len() / 2 + 1);
        for (index, count) in (self.offset..).zip(&self.counts) {
            let at = usize::try_from((index >> 1) - first).unwrap_or_default();
            halved.resize(halved.len().max(at + 1), 0);
            halved[at] += count;
        }
        self.offset = first;
        self.counts = halved;
        self.scale -= 1;
    }
}

/// The bucket of a positive value.
#[allow(clippy::cast_possible_truncation)]
fn index_of(value: f64, scale: i32) -> i32 {
    // Durations lie between 1 ns and 600 years, so that the product is a small number.
    (value.log2() * f64::from(scale).exp2()).ceil() as i32 - 1
}

#[cfg(test)]
mod tests;
