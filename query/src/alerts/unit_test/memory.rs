//! Series in memory: what a test gives and what its rules write, read by PromQL.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use promql::engine::SampleValue;
use promql::format;
use promql::histogram::ResetHint;
use promql::notation::SequenceValue;
use promql::source::SelectFuture;
use promql::{
    Engine, Features, FloatHistogram, Labels as Series, Limits, Options, Samples, Selected,
    Selection, SeriesSource,
};

use super::super::{Account, Evaluate, Sample, Sink, Written, bind};

const NANOS_PER_MS: i64 = 1_000_000;

/// A value at a time.
#[derive(Clone)]
enum Stored {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// Series with their samples by time.
pub(super) struct Memory {
    engine: Engine,
    /// What is there.
    series: Mutex<BTreeMap<Series, BTreeMap<i64, Stored>>>,
    /// What will be there once its time has come.
    planned: Mutex<BTreeMap<i64, Vec<(Series, Stored)>>>,
}

impl Memory {
    /// `step_ms` is the step of subqueries that name none.
    pub(super) fn new(step_ms: i64) -> Self {
        let options = Options {
            features: Features::Experimental,
            subquery_step_ms: step_ms,
            ..Options::default()
        };
        Self {
            engine: Engine::new(options),
            series: Mutex::default(),
            planned: Mutex::default(),
        }
    }

    /// A sample of the input.
    pub(super) fn plan(&self, series: &Series, time_ms: i64, value: SequenceValue) {
        let value = match value {
            SequenceValue::Float(value) => Stored::Float(value),
            SequenceValue::Histogram(histogram, _) => Stored::Histogram(histogram.into()),
        };
        let mut planned = self.planned.lock();
        let at = planned.entry(time_ms).or_default();
        at.push((series.clone(), value));
    }

    /// Stores the input up to this time.
    pub(super) fn advance(&self, now_ms: i64) {
        let mut planned = self.planned.lock();
        let later = planned.split_off(&now_ms.saturating_add(1));
        let due = std::mem::replace(&mut *planned, later);
        for (time_ms, samples) in due {
            for (series, value) in samples {
                self.store(series, time_ms, value);
            }
        }
    }

    fn store(&self, series: Series, time_ms: i64, value: Stored) {
        let mut all = self.series.lock();
        all.entry(series).or_default().insert(time_ms, value);
    }

    /// The value of an expression at a time.
    pub(super) async fn query(&self, expr: &str, at_ms: i64) -> Result<promql::Value, String> {
        let query = self.engine.query(expr).map_err(|error| error.to_string())?;
        let answer = self.engine.instant(&query, at_ms, self, Limits::default());
        answer
            .await
            .map(|answer| answer.value)
            .map_err(|error| error.to_string())
    }
}

/// A series a line, with its samples as values at milliseconds.
impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (series, samples) in self.series.lock().iter() {
            write!(f, "{series}")?;
            for (time_ms, value) in samples {
                match value {
                    Stored::Float(value) => write!(f, " {}@{time_ms}", format::value(*value))?,
                    Stored::Histogram(histogram) => write!(f, " {histogram}@{time_ms}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl SeriesSource for Memory {
    fn select<'a>(&'a self, selection: &'a Selection) -> SelectFuture<'a> {
        let all = self.series.lock();
        let matching = all.iter().filter(|(labels, _)| {
            let mut matchers = selection.matchers.iter();
            matchers.all(|matcher| matcher.matches_labels(labels))
        });
        let range = selection.start_ms.saturating_add(1)..=selection.end_ms;
        let found = matching.filter_map(|(labels, stored)| {
            let mut samples = Samples::default();
            let mut before: Option<&FloatHistogram> = None;
            for (time, value) in stored.range(..=range.end()) {
                let wanted = range.contains(time);
                match value {
                    Stored::Float(value) => {
                        before = None;
                        if wanted {
                            samples.push(*time, *value);
                        }
                    }
                    Stored::Histogram(histogram) => {
                        let before = before.replace(histogram);
                        if wanted {
                            // A series that begins anew says as little of what was before as
                            // one that begins, as where Prometheus stores it.
                            let hint = match histogram.hint_after(before) {
                                ResetHint::Reset => ResetHint::Unknown,
                                hint => hint,
                            };
                            let mut histogram = Arc::clone(histogram);
                            if histogram.hint != hint {
                                Arc::make_mut(&mut histogram).hint = hint;
                            }
                            samples.push_histogram(*time, histogram);
                        }
                    }
                }
            }
            (!samples.is_empty()).then(|| promql::Series {
                labels: labels.clone(),
                samples,
            })
        });
        let selected = Selected {
            series: found.collect(),
            ..Selected::default()
        };
        Box::pin(std::future::ready(Ok(selected)))
    }
}

impl Evaluate for Memory {
    fn instant<'a>(
        &'a self,
        expr: &'a str,
        at_unix_nano: i64,
        _: &'a Account,
    ) -> BoxFuture<'a, Result<Vec<Sample>, String>> {
        Box::pin(async move {
            let at_ms = at_unix_nano.div_euclid(NANOS_PER_MS);
            bind::samples(self.query(expr, at_ms).await?)
        })
    }
}

impl Sink for Memory {
    fn write(&self, samples: Vec<Written>) -> BoxFuture<'_, Result<(), String>> {
        for sample in samples {
            let series = Series::new(sample.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
            let time = sample.unix_nano.div_euclid(NANOS_PER_MS);
            let value = match sample.value {
                SampleValue::Float(value) => Stored::Float(value),
                SampleValue::Histogram(histogram) => Stored::Histogram(histogram),
            };
            self.store(series, time, value);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
