//! Columns of cells, and rows: a series and its column.
//!
//! Floats are kept in one array. A step without a value holds the stale marker, which is never a
//! value itself, so that presence costs no second array. Histograms have an array of their own
//! that most columns do not need.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::engine::Error;
use crate::histogram::FloatHistogram;
use crate::labels::Labels;
use crate::source::{is_stale, stale_nan};

/// The value of a series at a step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    Absent,
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

impl Cell<'_> {
    pub(crate) fn is_present(self) -> bool {
        !matches!(self, Cell::Absent)
    }

    pub(crate) fn to_owned(self) -> Option<OwnedCell> {
        match self {
            Cell::Absent => None,
            Cell::Float(value) => Some(OwnedCell::Float(value)),
            Cell::Histogram(histogram) => Some(OwnedCell::Histogram(histogram.clone())),
        }
    }
}

/// A present value.
#[derive(Debug, Clone)]
pub(crate) enum OwnedCell {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// The values of a series at all steps.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    floats: Vec<f64>,
    /// Empty, or as long as `floats`; where set, the float is absent.
    histograms: Vec<Option<Arc<FloatHistogram>>>,
}

impl Column {
    pub(crate) fn absent(count: usize) -> Self {
        Self {
            floats: vec![stale_nan(); count],
            histograms: Vec::new(),
        }
    }

    pub(crate) fn from_floats(floats: Vec<f64>) -> Self {
        Self {
            floats,
            histograms: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.floats.len()
    }

    pub(crate) fn get(&self, index: usize) -> Cell<'_> {
        let value = self.floats[index];
        if !is_stale(value) {
            return Cell::Float(value);
        }
        match self.histograms.get(index) {
            Some(Some(histogram)) => Cell::Histogram(histogram),
            _ => Cell::Absent,
        }
    }

    /// The float at a step, if there is one.
    pub(crate) fn float(&self, index: usize) -> Option<f64> {
        let value = self.floats[index];
        (!is_stale(value)).then_some(value)
    }

    /// The floats of all steps.
    pub(crate) fn floats(&self) -> impl Iterator<Item = Option<f64>> {
        let present = |value: &f64| (!is_stale(*value)).then_some(*value);
        self.floats.iter().map(present)
    }

    /// The floats of all steps, if there is one at each. Looked at without a branch, which is
    /// faster where there is.
    pub(crate) fn all_floats(&self) -> Option<&[f64]> {
        let stale = self.floats.iter();
        let any = stale.fold(false, |any, value| any | is_stale(*value));
        (!any).then_some(&self.floats)
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    pub(crate) fn set_float(&mut self, index: usize, value: f64) {
        // An operation on a stale marker would be a fault elsewhere, but must not lose the step.
        self.floats[index] = if is_stale(value) { f64::NAN } else { value };
        if let Some(histogram) = self.histograms.get_mut(index) {
            *histogram = None;
        }
    }

    pub(crate) fn set_histogram(&mut self, index: usize, histogram: Arc<FloatHistogram>) {
        if self.histograms.is_empty() {
            self.histograms = vec![None; self.floats.len()];
        }
        self.histograms[index] = Some(histogram);
        self.floats[index] = stale_nan();
    }

    pub(crate) fn set(&mut self, index: usize, cell: OwnedCell) {
        match cell {
            OwnedCell::Float(value) => self.set_float(index, value),
            OwnedCell::Histogram(histogram) => self.set_histogram(index, histogram),
        }
    }

    pub(crate) fn clear(&mut self, index: usize) {
        self.floats[index] = stale_nan();
        if let Some(histogram) = self.histograms.get_mut(index) {
            *histogram = None;
        }
    }

    pub(crate) fn has_any(&self) -> bool {
        self.has_floats() || self.has_histograms()
    }

    pub(crate) fn has_floats(&self) -> bool {
        self.floats.iter().any(|value| !is_stale(*value))
    }

    pub(crate) fn has_histograms(&self) -> bool {
        self.histograms.iter().any(Option::is_some)
    }

    /// Changes every value.
    pub(crate) fn map(
        &mut self,
        float: impl Fn(f64) -> f64,
        histogram: impl Fn(&mut FloatHistogram),
    ) {
        for value in &mut self.floats {
            if !is_stale(*value) {
                *value = float(*value);
            }
        }
        for value in self.histograms.iter_mut().flatten() {
            histogram(Arc::make_mut(value));
        }
    }

    /// Changes every float and removes every histogram.
    pub(crate) fn map_floats(&mut self, change: impl Fn(f64) -> f64) {
        self.histograms = Vec::new();
        self.map(change, |_| {});
    }

    /// Changes every float with its step and removes every histogram.
    pub(crate) fn map_floats_by_step(&mut self, change: impl Fn(usize, f64) -> Option<f64>) {
        self.histograms = Vec::new();
        for (index, value) in self.floats.iter_mut().enumerate() {
            if !is_stale(*value) {
                *value = change(index, *value).unwrap_or_else(stale_nan);
            }
        }
    }
}

/// A series of a result on the way.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) labels: Labels,
    /// Whether the metric name no longer says what the values are.
    pub(crate) drop_name: bool,
    pub(crate) column: Column,
}

pub(crate) type Rows = Vec<Row>;

/// A row that is looked at and let go of. Threads that look at the same series would wait for one
/// another to count how many hold its labels.
#[derive(Debug)]
pub(crate) struct Passing<'a> {
    pub(crate) labels: &'a Labels,
    pub(crate) drop_name: bool,
    pub(crate) column: Column,
}

impl Passing<'_> {
    /// The row, to be kept.
    pub(crate) fn kept(self) -> Row {
        Row {
            labels: self.labels.clone(),
            drop_name: self.drop_name,
            column: self.column,
        }
    }
}

/// Merges rows with the same labels; fails when two of them have a value at the same step. Rows of
/// which only one is to lose its name stay apart, as their labels will differ.
pub(crate) fn merge(rows: Rows) -> Result<Rows, Error> {
    let mut by_labels: FxHashMap<(Labels, bool), usize> = FxHashMap::default();
    let mut merged: Rows = Vec::with_capacity(rows.len());
    for row in rows {
        let key = (row.labels.clone(), row.drop_name);
        match by_labels.get(&key) {
            None => {
                by_labels.insert(key, merged.len());
                merged.push(row);
            }
            Some(&index) => {
                let target = &mut merged[index];
                for step in 0..row.column.len() {
                    let Some(cell) = row.column.get(step).to_owned() else {
                        continue;
                    };
                    if target.column.get(step).is_present() {
                        return Err(duplicate_labels());
                    }
                    target.column.set(step, cell);
                }
            }
        }
    }
    Ok(merged)
}

pub(crate) fn duplicate_labels() -> Error {
    Error::Execution("vector cannot contain metrics with the same labelset".to_owned())
}
