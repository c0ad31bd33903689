//! `smoothed` on an instant selector: the value at a step is interpolated between the samples
//! around it. After the last sample its value stands; before the first there is none.

use super::column::{Column, Row, Rows};
use super::extended::{Notes, interpolate};
use super::selector::{advance, without_stale};
use super::{Context, OwnedCell};
use crate::ast::{Selector, Span};
use crate::engine::Error;
use crate::histogram::{FloatHistogram, ResetHint};
use crate::plan::Grid;
use crate::source::Samples;

pub(super) fn instant(
    context: &Context<'_>,
    selector: &Selector,
    span: Span,
    grid: Grid,
) -> Result<Rows, Error> {
    let fixed_ms = context.bounds.resolve(selector.at);
    let lookback_ms = context.options.lookback_ms;
    let mut rows = Vec::new();
    for series in context.series(selector) {
        context.limits.check()?;
        let samples = without_stale(&series.samples);
        let mut column = Column::absent(grid.count);
        let mut windows = [(0, 0); 2];
        for (index, time_ms) in grid.times().enumerate() {
            let at_ms = fixed_ms.unwrap_or(time_ms) - selector.offset_ms;
            let times = [&samples.times[..], &samples.histogram_times[..]];
            for (window, times) in windows.iter_mut().zip(times) {
                window.0 = advance(times, window.0, at_ms - lookback_ms);
                window.1 = advance(times, window.1, at_ms + lookback_ms);
            }
            let mut notes = context.note();
            let mut notes = Notes {
                notes: &mut notes,
                metric: series.labels.metric_name(),
                span,
            };
            if let Some(cell) = at(&samples, windows, at_ms, &mut notes) {
                column.set(index, cell);
            }
        }
        if column.has_any() {
            context.counter.picked(&column);
            rows.push(Row {
                labels: series.labels.clone(),
                drop_name: false,
                column,
            });
            context.check_size(rows.len(), grid)?;
        }
    }
    Ok(rows)
}

/// The value at a time, from the floats and the histograms around it.
fn at(
    samples: &Samples,
    [floats, histograms]: [(usize, usize); 2],
    at_ms: i64,
    notes: &mut Notes<'_>,
) -> Option<OwnedCell> {
    let has_floats = floats.0 < floats.1;
    let has_histograms = histograms.0 < histograms.1;
    if has_floats && has_histograms {
        notes.notes.mixed_in_range(notes.metric, notes.span);
        return None;
    }
    if has_histograms {
        let times = &samples.histogram_times[histograms.0..histograms.1];
        let histograms = &samples.histograms[histograms.0..histograms.1];
        let next = times.partition_point(|time| *time < at_ms);
        return match times.get(next) {
            Some(time) if *time == at_ms => Some(OwnedCell::Histogram(histograms[next].clone())),
            Some(_) => {
                let sample = |index: usize| (times[index], &*histograms[index]);
                between(sample(next.checked_sub(1)?), sample(next), at_ms, notes)
            }
            None => {
                // The hint is about the sample before, not about the value.
                let mut last = FloatHistogram::clone(&histograms[next.checked_sub(1)?]);
                last.hint = ResetHint::Unknown;
                Some(OwnedCell::Histogram(last.into()))
            }
        };
    }
    let times = &samples.times[floats.0..floats.1];
    let floats = &samples.floats[floats.0..floats.1];
    let next = times.partition_point(|time| *time < at_ms);
    let sample = |index: usize| (times[index], floats[index]);
    Some(OwnedCell::Float(match times.get(next) {
        Some(time) if *time == at_ms => floats[next],
        Some(_) => interpolate((sample(next.checked_sub(1)?), sample(next)), at_ms, false),
        None => floats[next.checked_sub(1)?],
    }))
}

fn between(
    before: (i64, &FloatHistogram),
    after: (i64, &FloatHistogram),
    at_ms: i64,
    notes: &mut Notes<'_>,
) -> Option<OwnedCell> {
    let is_gauge = |histogram: &FloatHistogram| histogram.hint == ResetHint::Gauge;
    let is_counter = !(is_gauge(before.1) && is_gauge(after.1));
    if before.1.is_custom() != after.1.is_custom() {
        notes.notes.mixed_schemas(notes.metric, notes.span);
        return None;
    }
    let value = notes.interpolate(before, after, at_ms, is_counter)?;
    Some(OwnedCell::Histogram(value.into()))
}
