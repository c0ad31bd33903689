//! Series in memory, filled by `load`.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use promql::histogram::{CUSTOM_SCHEMA, FloatHistogram, IndexedBucket};
use promql::notation::{Sequence, SequenceValue};
use promql::source::SelectFuture;
use promql::{
    Labels, Samples, Selected, Selection, Series, SeriesSource, SourceError, SourceErrorKind,
};

/// Series by labels, samples by time.
#[derive(Default)]
pub(crate) struct Store {
    series: BTreeMap<Labels, BTreeMap<i64, SequenceValue>>,
}

impl Store {
    pub(crate) fn clear(&mut self) {
        self.series.clear();
    }

    pub(crate) fn load(&mut self, step_ms: i64, sequences: &[Sequence], with_custom_buckets: bool) {
        // Within one command the last line of a series counts.
        let by_labels: BTreeMap<&Labels, &Sequence> = sequences
            .iter()
            .map(|sequence| (&sequence.labels, sequence))
            .collect();
        for (labels, sequence) in by_labels {
            let samples = self.series.entry(labels.clone()).or_default();
            for (index, value) in sequence.values.iter().enumerate() {
                if let Some(value) = value {
                    samples.insert(
                        step_ms * i64::try_from(index).expect("few values"),
                        value.clone(),
                    );
                }
            }
        }
        if with_custom_buckets {
            self.convert_classic(step_ms, sequences);
        }
    }

    /// Adds to classic histograms the native ones with custom bounds that they stand for.
    fn convert_classic(&mut self, step_ms: i64, sequences: &[Sequence]) {
        type Parts = BTreeMap<i64, (Vec<(f64, f64)>, f64, f64)>;
        let mut classic: BTreeMap<Labels, Parts> = BTreeMap::new();
        for sequence in sequences {
            let name = sequence.labels.metric_name();
            let Some((base, part)) = name.rsplit_once('_') else {
                continue;
            };
            let bound = sequence.labels.value("le").parse::<f64>();
            let labels = sequence.labels.with("le", "").with("__name__", base);
            for (index, value) in sequence.values.iter().enumerate() {
                let Some(SequenceValue::Float(value)) = value else {
                    continue;
                };
                let parts = classic.entry(labels.clone()).or_default();
                let entry = parts
                    .entry(step_ms * i64::try_from(index).expect("few values"))
                    .or_default();
                match (part, &bound) {
                    ("bucket", Ok(bound)) => entry.0.push((*bound, *value)),
                    ("count", _) => entry.1 = *value,
                    ("sum", _) => entry.2 = *value,
                    _ => {}
                }
            }
        }
        for (labels, parts) in classic {
            for (time_ms, (mut buckets, count, sum)) in parts {
                if buckets.is_empty() {
                    continue;
                }
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                let mut below = 0.0;
                let mut positive = Vec::new();
                for (index, (_, cumulative)) in (0i32..).zip(&buckets) {
                    positive.push(IndexedBucket {
                        index,
                        count: cumulative - below,
                    });
                    below = *cumulative;
                }
                let bounds: Vec<f64> = buckets
                    .iter()
                    .map(|bucket| bucket.0)
                    .filter(|b| b.is_finite())
                    .collect();
                let histogram = FloatHistogram {
                    schema: CUSTOM_SCHEMA,
                    count: if count == 0.0 { below } else { count },
                    sum,
                    positive,
                    bounds: Some(bounds.into()),
                    ..FloatHistogram::default()
                };
                let samples = self.series.entry(labels.clone()).or_default();
                samples.insert(time_ms, SequenceValue::Histogram(histogram, false));
            }
        }
    }
}

impl SeriesSource for Store {
    fn select<'a>(&'a self, selection: &'a Selection) -> SelectFuture<'a> {
        let mut series = Vec::new();
        for (labels, points) in &self.series {
            let mut hasher = DefaultHasher::new();
            labels.hash(&mut hasher);
            let mut matchers = selection.matchers.iter();
            if !selection.share.holds(hasher.finish())
                || !matchers.all(|matcher| matcher.matches_labels(labels))
            {
                continue;
            }
            let mut samples = Samples::default();
            let mut before: Option<&FloatHistogram> = None;
            for (time_ms, value) in points {
                let wanted = *time_ms > selection.start_ms && *time_ms <= selection.end_ms;
                match value {
                    SequenceValue::Float(value) => {
                        before = None;
                        if wanted {
                            samples.push(*time_ms, *value);
                        }
                    }
                    SequenceValue::Histogram(histogram, _) => {
                        let before = before.replace(histogram);
                        if wanted {
                            let mut histogram = histogram.clone();
                            histogram.hint = histogram.hint_after(before);
                            samples.push_histogram(*time_ms, Arc::new(histogram));
                        }
                    }
                }
            }
            if !samples.is_empty() {
                series.push(Series {
                    labels: labels.clone(),
                    samples,
                });
            }
        }
        let samples = series.iter().map(|series| series.samples.len()).sum();
        let selected = if samples > selection.foreseen_max {
            Err(SourceError {
                kind: SourceErrorKind::TooManySamples(samples),
                message: format!("{samples} samples match"),
            })
        } else {
            Ok(Selected {
                series,
                ..Selected::default()
            })
        };
        Box::pin(std::future::ready(selected))
    }

    fn shares(&self, _: &Selection) -> bool {
        true
    }
}
