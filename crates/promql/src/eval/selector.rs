//! Selectors and subqueries: from samples to columns, and to the ranges of range functions.

use std::borrow::Cow;
use std::sync::Arc;

use super::column::{Column, Passing, Row, Rows};
use super::windows::{Lookback, Newest, Windows};
use super::{Cell, Context, drop_names, eval_rows, extended};
use crate::ast::{Expr, ExprKind, Extend, Selector, Subquery};
use crate::engine::{Error, MatrixSeries, Point, SampleValue, Value};
use crate::histogram::ResetHint;
use crate::labels::Labels;
use crate::plan::{Grid, subquery_grid};
use crate::source::{Samples, Series, Sparse, is_stale, stale_nan};

impl<'a> Context<'a> {
    pub(super) fn series(&self, selector: &Selector) -> &'a [Series] {
        // The plan was made from the same tree, so every selector has its data.
        match self
            .by_selector
            .get(selector.id)
            .and_then(|&index| self.data.get(index))
        {
            Some(selected) => match &self.among {
                Some(among) => selected.series.get(among.clone()).unwrap_or_default(),
                None => &selected.series,
            },
            None => &[],
        }
    }

    /// How far back a selector looks for the last sample.
    fn lookback(&self, selector: &Selector) -> Lookback {
        let selected = self
            .by_selector
            .get(selector.id)
            .and_then(|&index| self.data.get(index));
        Lookback {
            usual_ms: self.options.lookback_ms,
            sparse: selected.map_or_else(Sparse::default, |selected| selected.sparse),
        }
    }
}

/// The last sample of each series at each step, or its time in seconds.
pub(super) fn instant(
    context: &Context<'_>,
    selector: &Selector,
    grid: Grid,
    timestamps: bool,
) -> Result<Rows, Error> {
    let mut rows = Vec::new();
    each(context, selector, grid, timestamps, &mut |row| {
        rows.push(row.kept());
        context.check_size(rows.len(), grid)
    })?;
    Ok(rows)
}

/// The same, one series after the other.
pub(super) fn each(
    context: &Context<'_>,
    selector: &Selector,
    grid: Grid,
    timestamps: bool,
    emit: &mut dyn FnMut(Passing<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let fixed_ms = context.bounds.resolve(selector.at);
    let lookback = context.lookback(selector);
    let mut newest = Newest::new(grid, selector.offset_ms, fixed_ms, lookback);
    for series in context.series(selector) {
        context.limits.check()?;
        let samples = &series.samples;
        let column = if samples.histogram_times.is_empty() && !timestamps {
            // A stale marker is what marks an absent cell too.
            let value = |position: &usize| match position.checked_sub(1) {
                Some(index) => samples.floats[index],
                None => stale_nan(),
            };
            let positions = newest.positions(&samples.times);
            Column::from_floats(positions.iter().map(value).collect())
        } else {
            walk(
                samples,
                grid,
                (selector.offset_ms, fixed_ms, lookback),
                timestamps,
            )
        };
        if column.has_any() {
            context.counter.picked(&column);
            emit(Passing {
                labels: &series.labels,
                drop_name: timestamps,
                column,
            })?;
        }
    }
    Ok(())
}

/// The column of a series that may have histograms, or of the times of its samples.
fn walk(
    samples: &Samples,
    grid: Grid,
    (offset_ms, fixed_ms, lookback): (i64, Option<i64>, Lookback),
    timestamps: bool,
) -> Column {
    let mut column = Column::absent(grid.count);
    let mut cursor = Cursor::new(samples, lookback);
    for (index, time_ms) in grid.times().enumerate() {
        let Some((sample_ms, cell)) = cursor.at(fixed_ms.unwrap_or(time_ms) - offset_ms) else {
            continue;
        };
        match cell {
            Cell::Absent => {}
            #[allow(clippy::cast_precision_loss)]
            _ if timestamps => column.set_float(index, sample_ms as f64 / 1000.0),
            Cell::Float(value) => column.set_float(index, value),
            Cell::Histogram(histogram) => column.set_histogram(index, histogram.clone()),
        }
    }
    column
}

/// Walks along the samples of a series with rising times.
struct Cursor<'a> {
    samples: &'a Samples,
    lookback: Lookback,
    /// Number of floats and histograms at or before the last time asked for.
    floats: usize,
    histograms: usize,
}

impl<'a> Cursor<'a> {
    fn new(samples: &'a Samples, lookback: Lookback) -> Self {
        Self {
            samples,
            lookback,
            floats: 0,
            histograms: 0,
        }
    }

    /// The last sample at this time or before, if it is recent and no stale marker.
    fn at(&mut self, time_ms: i64) -> Option<(i64, Cell<'a>)> {
        self.floats = advance(&self.samples.times, self.floats, time_ms);
        self.histograms = advance(&self.samples.histogram_times, self.histograms, time_ms);
        let float = self.floats.checked_sub(1);
        let histogram = self.histograms.checked_sub(1);
        let float_ms = float.map(|index| self.samples.times[index]);
        let histogram_ms = histogram.map(|index| self.samples.histogram_times[index]);
        let sample_ms = float_ms.max(histogram_ms)?;
        if !self.lookback.reaches(sample_ms, time_ms) {
            return None;
        }
        if histogram_ms == Some(sample_ms) {
            let histogram = &self.samples.histograms[histogram?];
            return (!histogram.is_stale()).then_some((sample_ms, Cell::Histogram(histogram)));
        }
        let value = self.samples.floats[float?];
        (!is_stale(value)).then_some((sample_ms, Cell::Float(value)))
    }
}

/// The number of times up to and including `time_ms`, searched for from `from` on.
///
/// Steps are usually few samples apart, so the search doubles its stride from where it stands.
pub(super) fn advance(times: &[i64], from: usize, time_ms: i64) -> usize {
    let rest = &times[from..];
    let mut bound = 1;
    while bound < rest.len() && rest[bound - 1] <= time_ms {
        bound *= 2;
    }
    let bound = bound.min(rest.len());
    from + rest[..bound].partition_point(|time| *time <= time_ms)
}

/// A series whose samples are looked at in ranges.
pub(super) struct RangeSeries<'a> {
    pub(super) labels: Cow<'a, Labels>,
    pub(super) drop_name: bool,
    /// Stale markers among them.
    all: Cow<'a, Samples>,
}

impl RangeSeries<'_> {
    /// Its samples without stale markers.
    pub(super) fn samples(&self) -> Cow<'_, Samples> {
        without_stale(&self.all)
    }

    /// The same, where nothing beyond the windows is looked at.
    pub(super) fn samples_in(&self, windows: &mut Windows) -> Cow<'_, Samples> {
        let (first, end) = windows.span(&self.all.times);
        if self.all.histograms.is_empty() && !has_stale(&self.all.floats[first..end]) {
            return Cow::Borrowed(&self.all);
        }
        self.samples()
    }
}

/// Series and where their ranges lie.
pub(super) struct RangeSource<'a> {
    pub(super) series: Vec<RangeSeries<'a>>,
    pub(super) range_ms: i64,
    pub(super) offset_ms: i64,
    /// The end of all ranges before the offset, where `@` sets it.
    pub(super) fixed_ms: Option<i64>,
    pub(super) extend: Extend,
}

impl<'a> RangeSource<'a> {
    /// The source of a node whose type was checked to be a range vector.
    pub(super) fn new(context: &Context<'a>, expr: &Expr, grid: Grid) -> Result<Self, Error> {
        match &expr.unwrap_parens().kind {
            ExprKind::Matrix(matrix) => {
                let selector = &matrix.selector;
                let series = context.series(selector).iter().map(|series| RangeSeries {
                    labels: Cow::Borrowed(&series.labels),
                    drop_name: false,
                    all: Cow::Borrowed(&series.samples),
                });
                Ok(Self {
                    series: series.collect(),
                    range_ms: matrix.range_ms,
                    offset_ms: selector.offset_ms,
                    fixed_ms: context.bounds.resolve(selector.at),
                    extend: selector.extend,
                })
            }
            ExprKind::Subquery(subquery) => {
                let inner = subquery_grid(subquery, grid, context.bounds, context.options);
                Ok(Self {
                    series: subquery_series(context, subquery, inner)?,
                    range_ms: subquery.range_ms,
                    offset_ms: subquery.offset_ms,
                    fixed_ms: context.bounds.resolve(subquery.at),
                    extend: Extend::No,
                })
            }
            _ => Err(super::wrong_type(expr, crate::ast::ValueType::Matrix)),
        }
    }
}

/// Looked at without a branch, which is faster where there are none.
fn has_stale(floats: &[f64]) -> bool {
    floats
        .iter()
        .fold(false, |any, value| any | is_stale(*value))
}

pub(super) fn without_stale(samples: &Samples) -> Cow<'_, Samples> {
    let stale = has_stale(&samples.floats)
        || samples
            .histograms
            .iter()
            .any(|histogram| histogram.is_stale());
    if !stale {
        return Cow::Borrowed(samples);
    }
    let mut kept = Samples::default();
    for (index, (time_ms, value)) in samples.times.iter().zip(&samples.floats).enumerate() {
        if !is_stale(*value) {
            kept.push(*time_ms, *value);
            kept.counts.extend(samples.counts.get(index));
        }
    }
    for (time_ms, histogram) in samples.histogram_times.iter().zip(&samples.histograms) {
        if !histogram.is_stale() {
            kept.push_histogram(*time_ms, histogram.clone());
        }
    }
    Cow::Owned(kept)
}

fn subquery_series<'a>(
    context: &Context<'_>,
    subquery: &Subquery,
    grid: Grid,
) -> Result<Vec<RangeSeries<'a>>, Error> {
    if grid.count == 0 {
        return Ok(Vec::new());
    }
    let rows = context
        .counter
        .within(|| eval_rows(context, &subquery.expr, grid))?;
    let mut series = Vec::with_capacity(rows.len());
    for row in rows {
        let mut samples = Samples::default();
        for (index, cell) in row.column.cells().enumerate() {
            match cell {
                Cell::Absent => {}
                Cell::Float(value) => samples.push(grid.time(index), value),
                Cell::Histogram(histogram) => {
                    let mut histogram = histogram.clone();
                    // What a hint says is about the sample before in the series, which need not be
                    // the one before here: the same sample can stand at several steps.
                    if matches!(histogram.hint, ResetHint::Reset | ResetHint::NotReset) {
                        Arc::make_mut(&mut histogram).hint = ResetHint::Unknown;
                    }
                    samples.push_histogram(grid.time(index), histogram);
                }
            }
        }
        if !samples.is_empty() {
            series.push(RangeSeries {
                labels: Cow::Owned(row.labels),
                drop_name: row.drop_name,
                all: Cow::Owned(samples),
            });
        }
    }
    Ok(series)
}

/// The answer to an instant query that is a range vector.
pub(super) fn range_answer(context: &Context<'_>, expr: &Expr, grid: Grid) -> Result<Value, Error> {
    let source = RangeSource::new(context, expr, grid)?;
    // Names dropped inside a subquery can make labels the same; merging works on columns only.
    let marker = |series: &RangeSeries<'_>| Row {
        labels: Labels::clone(&series.labels),
        drop_name: series.drop_name,
        column: Column::from_floats(vec![0.0]),
    };
    let labels = drop_names(source.series.iter().map(marker).collect())?;
    let mut windows = Windows::new(&source, grid, context.options.lookback_ms);
    let mut answer = Vec::new();
    let is_subquery = matches!(expr.kind, ExprKind::Subquery(_));
    if is_subquery {
        context.counter.add_inside();
    }
    for (series, row) in source.series.iter().zip(labels) {
        let samples = series.samples();
        if !is_subquery {
            context.counter.ranges(&mut windows, &samples);
        }
        let points = range_points(&samples, &mut windows, source.extend)?;
        if !points.is_empty() {
            answer.push(MatrixSeries {
                labels: row.labels,
                points,
            });
        }
    }
    answer.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(Value::Matrix(answer))
}

/// The samples of a series in the range of the only step.
fn range_points(
    samples: &Samples,
    windows: &mut Windows,
    extend: Extend,
) -> Result<Vec<Point>, Error> {
    let (first, end) = windows.bounds(&samples.times)[0];
    let (times, floats) = (&samples.times[first..end], &samples.floats[first..end]);
    let float = |(time_ms, value)| Point {
        time_ms,
        value: SampleValue::Float(value),
    };
    let (first, end) = windows.next(&samples.histogram_times, (0, 0), 0);
    let histograms = samples.histogram_times[first..end]
        .iter()
        .zip(&samples.histograms[first..end]);
    if extend == Extend::No {
        let floats = times.iter().copied().zip(floats.iter().copied()).map(float);
        let histograms = histograms.map(|(time_ms, histogram)| Point {
            time_ms: *time_ms,
            value: SampleValue::Histogram(histogram.clone()),
        });
        let mut points: Vec<Point> = floats.chain(histograms).collect();
        points.sort_by_key(|point| point.time_ms);
        return Ok(points);
    }
    let smoothed = extend == Extend::Smoothed;
    if histograms.len() > 0 {
        let modifier = if smoothed { "smoothed" } else { "anchored" };
        return Err(Error::Execution(format!(
            "{modifier} modifier is not supported with histograms"
        )));
    }
    let points = extended::points(times, floats, windows.range(0), smoothed);
    Ok(points.into_iter().map(float).collect())
}
