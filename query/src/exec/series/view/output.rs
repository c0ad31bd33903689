//! Collects the samples of Prometheus series, a column for each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::TimeRange;
use promql::{FloatHistogram, Labels, Matcher, Samples};
use rustc_hash::FxHashMap;

use super::all_match;

const NANOS_PER_MS: u64 = 1_000_000;

/// A label set and what was found of it.
struct Slot {
    labels: Labels,
    /// Whether it was asked for.
    wanted: bool,
    /// What one place had of it: mostly all.
    first: Option<Samples>,
    more: Vec<Samples>,
}

/// The series so far.
pub(super) struct Output<'a> {
    matchers: &'a [Matcher],
    /// Of the samples that are made of points.
    pub(super) range: TimeRange,
    slots: Vec<Slot>,
    by_labels: FxHashMap<Labels, usize>,
}

/// A series of floats that is being built; times rise, and of one time the last value counts.
#[derive(Debug, Default)]
pub(super) struct Column {
    pub(super) times: Vec<i64>,
    pub(super) values: Vec<f64>,
}

impl Column {
    #[inline]
    pub(super) fn push(&mut self, time_ms: i64, value: f64) {
        if self.times.last() == Some(&time_ms)
            && let Some(last) = self.values.last_mut()
        {
            *last = value;
            return;
        }
        self.times.push(time_ms);
        self.values.push(value);
    }
}

impl<'a> Output<'a> {
    /// Takes series that satisfy all matchers.
    pub(super) fn new(matchers: &'a [Matcher]) -> Self {
        Self {
            matchers,
            range: TimeRange::ALL,
            slots: Vec::new(),
            by_labels: FxHashMap::default(),
        }
    }

    /// A time in milliseconds, where a point of that time is wanted: totals are counted from
    /// midnight on, but shown where they were asked for.
    pub(super) fn time(&self, unix_nano: u64) -> Option<i64> {
        let inside = self.range.contains(unix_nano);
        inside.then(|| i64::try_from(unix_nano / NANOS_PER_MS).unwrap_or(i64::MAX))
    }

    fn slot(&mut self, labels: &Labels) -> &mut Slot {
        let next = self.slots.len();
        let at = *self.by_labels.entry(labels.clone()).or_insert(next);
        if at == next {
            self.slots.push(Slot {
                labels: labels.clone(),
                wanted: all_match(self.matchers, labels),
                first: None,
                more: Vec::new(),
            });
        }
        &mut self.slots[at]
    }

    /// Whether samples of a label set are asked for.
    pub(super) fn wants(&mut self, labels: &Labels) -> bool {
        self.slot(labels).wanted
    }

    /// Adds samples of a label set, whose times rise.
    pub(super) fn add(&mut self, labels: &Labels, samples: Samples) {
        let slot = self.slot(labels);
        if !slot.wanted || samples.is_empty() {
            return;
        }
        if slot.first.is_none() {
            slot.first = Some(samples);
        } else {
            slot.more.push(samples);
        }
    }

    /// The series that have samples.
    pub(super) fn finish(self) -> Vec<promql::Series> {
        let series = self.slots.into_iter().filter_map(|slot| {
            let mut samples = slot.first?;
            if !slot.more.is_empty() {
                samples = merged(std::iter::once(samples).chain(slot.more));
            }
            set_hints(&mut samples);
            Some(promql::Series {
                labels: slot.labels,
                samples,
            })
        });
        series.collect()
    }
}

/// Times at which a target was seen.
#[derive(Default)]
pub(super) struct Targets {
    seen: FxHashMap<Labels, BTreeSet<i64>>,
    /// Those of points, in unix nanoseconds.
    points: FxHashMap<Labels, BTreeSet<u64>>,
    /// What was added last: series of one target share their times, mostly.
    last: Option<(Labels, Arc<Vec<i64>>)>,
}

impl Targets {
    pub(super) fn add(&mut self, labels: &Labels, times: &Arc<Vec<i64>>) {
        let same =
            |last: &(Labels, Arc<Vec<i64>>)| last.0 == *labels && Arc::ptr_eq(&last.1, times);
        if times.is_empty() || self.last.as_ref().is_some_and(same) {
            return;
        }
        self.last = Some((labels.clone(), Arc::clone(times)));
        let seen = self.seen.entry(labels.clone()).or_default();
        seen.extend(times.iter());
    }

    /// Notes the time of a point, which may be one that is not asked for.
    pub(super) fn add_one(&mut self, labels: &Labels, unix_nano: u64) {
        let points = self.points.entry(labels.clone()).or_default();
        points.insert(unix_nano);
    }

    /// Adds the series that say so.
    pub(super) fn finish(mut self, output: &mut Output<'_>) {
        for (labels, times) in self.points {
            let times: Vec<i64> = times.iter().filter_map(|time| output.time(*time)).collect();
            if !times.is_empty() {
                self.seen.entry(labels).or_default().extend(times);
            }
        }
        for (labels, times) in self.seen {
            let samples = Samples {
                floats: vec![1.0; times.len()],
                times: Arc::new(times.into_iter().collect()),
                ..Samples::default()
            };
            output.add(&labels, samples);
        }
    }
}

enum Sample {
    /// A value, and how many samples it stands for.
    Float(f64, f64),
    Histogram(Arc<FloatHistogram>),
}

/// What several places have of a series; of one time, what comes last counts.
fn merged(parts: impl Iterator<Item = Samples>) -> Samples {
    let mut by_time: BTreeMap<i64, Sample> = BTreeMap::new();
    let mut counted = false;
    for part in parts {
        counted |= !part.counts.is_empty();
        let counts = part.counts.into_iter().chain(std::iter::repeat(1.0));
        let floats = part.floats.into_iter().zip(counts);
        let floats = floats.map(|(value, count)| Sample::Float(value, count));
        by_time.extend(part.times.iter().copied().zip(floats));
        let histograms = part.histograms.into_iter().map(Sample::Histogram);
        by_time.extend(part.histogram_times.into_iter().zip(histograms));
    }
    let mut samples = Samples::default();
    for (time_ms, sample) in by_time {
        match sample {
            Sample::Float(value, count) => {
                samples.push(time_ms, value);
                samples.counts.extend(counted.then_some(count));
            }
            Sample::Histogram(histogram) => samples.push_histogram(time_ms, histogram),
        }
    }
    samples
}

/// Notes of each histogram whether its counters were reset since the sample before.
fn set_hints(samples: &mut Samples) {
    let mut floats = samples.times.iter().peekable();
    let mut before: Option<Arc<FloatHistogram>> = None;
    for (time, histogram) in samples.histogram_times.iter().zip(&mut samples.histograms) {
        while floats.next_if(|float| *float < time).is_some() {
            before = None;
        }
        let hint = histogram.hint_after(before.as_deref());
        if hint != histogram.hint {
            Arc::make_mut(histogram).hint = hint;
        }
        before = Some(Arc::clone(histogram));
    }
}
