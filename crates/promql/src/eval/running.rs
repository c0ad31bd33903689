//! Aggregations that need no more of each step than a running value: sum, avg, min, max, count and
//! group. Series are taken one after the other and need not be held.

mod shares;

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::aggregate::Grouping;
use super::column::{Cell, Column, Passing, Row, Rows};
use super::sums::{HistogramSum, Mean};
use super::{Context, each_row};
use crate::ast::{Aggregate, AggregateOp};
use crate::compensated::Compensated;
use crate::engine::Error;
use crate::histogram::FloatHistogram;
use crate::labels::Labels;
use crate::plan::Grid;

pub(crate) use shares::is_shareable;

/// Whether an aggregation makes the same of its series in any order, but for the last bits.
pub(crate) fn takes_any_order(op: AggregateOp) -> bool {
    matches!(
        op,
        AggregateOp::Sum
            | AggregateOp::Avg
            | AggregateOp::Min
            | AggregateOp::Max
            | AggregateOp::Count
            | AggregateOp::Group
    )
}

pub(super) fn eval(
    context: &Context<'_>,
    operation: &Aggregate,
    grid: Grid,
) -> Result<Rows, Error> {
    match operation.op {
        AggregateOp::Sum => run::<Compensated>(context, operation, grid),
        AggregateOp::Avg => run::<Mean>(context, operation, grid),
        AggregateOp::Min => run::<Least>(context, operation, grid),
        AggregateOp::Max => run::<Greatest>(context, operation, grid),
        AggregateOp::Count => run::<Count>(context, operation, grid),
        _ => run::<One>(context, operation, grid),
    }
}

/// What is done with histograms.
#[derive(PartialEq, Eq)]
enum Histograms {
    Summed,
    Averaged,
    Counted,
    Ignored,
}

/// A value that is brought up to date by one number after the other.
trait Running: Copy + Default + Send {
    const HISTOGRAMS: Histograms;

    fn add(&mut self, value: f64);

    /// Adds what other numbers have made.
    fn join(&mut self, other: Self);

    fn value(self) -> f64;
}

impl Running for Compensated {
    const HISTOGRAMS: Histograms = Histograms::Summed;

    fn add(&mut self, value: f64) {
        Compensated::add(self, value);
    }

    fn join(&mut self, other: Self) {
        Compensated::join(self, other);
    }

    fn value(self) -> f64 {
        self.total()
    }
}

impl Running for Mean {
    const HISTOGRAMS: Histograms = Histograms::Averaged;

    fn add(&mut self, value: f64) {
        Mean::add(self, value);
    }

    fn join(&mut self, other: Self) {
        Mean::join(self, other);
    }

    fn value(self) -> f64 {
        Mean::value(self)
    }
}

/// NaN only stands where there is nothing else.
#[derive(Clone, Copy)]
struct Least(f64);

impl Default for Least {
    fn default() -> Self {
        Self(f64::NAN)
    }
}

impl Running for Least {
    const HISTOGRAMS: Histograms = Histograms::Ignored;

    fn add(&mut self, value: f64) {
        if value < self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }

    fn join(&mut self, other: Self) {
        self.add(other.0);
    }

    fn value(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy)]
struct Greatest(f64);

impl Default for Greatest {
    fn default() -> Self {
        Self(f64::NAN)
    }
}

impl Running for Greatest {
    const HISTOGRAMS: Histograms = Histograms::Ignored;

    fn add(&mut self, value: f64) {
        if value > self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }

    fn join(&mut self, other: Self) {
        self.add(other.0);
    }

    fn value(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy, Default)]
struct Count(f64);

impl Running for Count {
    const HISTOGRAMS: Histograms = Histograms::Counted;

    fn add(&mut self, _: f64) {
        self.0 += 1.0;
    }

    fn join(&mut self, other: Self) {
        self.0 += other.0;
    }

    fn value(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy, Default)]
struct One;

impl Running for One {
    const HISTOGRAMS: Histograms = Histograms::Counted;

    fn add(&mut self, _: f64) {}

    fn join(&mut self, _: Self) {}

    fn value(self) -> f64 {
        1.0
    }
}

/// The histograms of a step so far.
#[derive(Clone)]
enum Sum {
    None,
    Some(Box<HistogramSum>),
    /// They cannot be added up; what comes then does not matter.
    Failed,
    /// A number was there before, so there is no sum.
    Mixed,
}

/// A group at all steps.
struct Group<R> {
    running: Vec<R>,
    seen: Vec<bool>,
    /// Empty as long as there are no histograms.
    sums: Vec<Sum>,
    /// At which steps a series had a value whose name is to be dropped; empty where the labels of
    /// the group say nothing about the metric.
    drops: Vec<bool>,
}

impl<R: Running> Group<R> {
    fn new(count: usize, tracks_names: bool) -> Self {
        Self {
            running: vec![R::default(); count],
            seen: vec![false; count],
            sums: Vec::new(),
            drops: vec![false; if tracks_names { count } else { 0 }],
        }
    }

    fn add(&mut self, row: &Passing<'_>, folding: &Folding<'_>) {
        if row.column.has_histograms() {
            let cells = row.column.cells().enumerate();
            for (index, cell) in cells {
                match cell {
                    Cell::Absent => {}
                    Cell::Float(value) => self.add_float(index, value),
                    Cell::Histogram(histogram) => {
                        self.add_histogram(index, histogram, row, folding);
                    }
                }
            }
        } else {
            self.add_floats(&row.column);
        }
        if row.drop_name {
            for (drops, cell) in self.drops.iter_mut().zip(row.column.cells()) {
                *drops |= cell.is_present();
            }
        }
    }

    fn add_floats(&mut self, column: &Column) {
        if let Some(values) = column.all_floats()
            && self.sums.is_empty()
        {
            let cells = self.running.iter_mut().zip(values);
            cells.for_each(|(running, value)| running.add(*value));
            self.seen.fill(true);
            return;
        }
        for (index, value) in column.floats().enumerate() {
            if let Some(value) = value {
                self.add_float(index, value);
            }
        }
    }

    fn add_float(&mut self, index: usize, value: f64) {
        if matches!(self.sums.get(index), Some(Sum::Failed)) {
            return;
        }
        self.running[index].add(value);
        self.seen[index] = true;
    }

    fn add_histogram(
        &mut self,
        index: usize,
        histogram: &FloatHistogram,
        row: &Passing<'_>,
        folding: &Folding<'_>,
    ) {
        let Folding { context, operation } = folding;
        let span = operation.expr.inner_span();
        match R::HISTOGRAMS {
            Histograms::Counted => return self.add_float(index, 0.0),
            Histograms::Ignored => {
                let mut note = context.note();
                return note.ignored_in_aggregation(operation.op.name(), span);
            }
            Histograms::Summed | Histograms::Averaged => {}
        }
        if self.sums.is_empty() {
            self.sums = vec![Sum::None; self.seen.len()];
        }
        let cell = &mut self.sums[index];
        let average = R::HISTOGRAMS == Histograms::Averaged;
        let done = match cell {
            Sum::Failed | Sum::Mixed => Ok(()),
            Sum::None if self.seen[index] => {
                *cell = Sum::Mixed;
                Ok(())
            }
            Sum::Some(sum) => sum.add(histogram),
            Sum::None => {
                let mut sum = HistogramSum::new(average);
                let done = sum.add(histogram);
                *cell = Sum::Some(Box::new(sum));
                done
            }
        };
        if done.is_err() {
            *cell = Sum::Failed;
            let metric = row.labels.metric_name();
            context.note().mixed_schemas(metric, span);
        }
    }

    /// Adds what the group is made of in other series, of which none has histograms.
    fn join(&mut self, other: Self) {
        for (running, other) in self.running.iter_mut().zip(other.running) {
            running.join(other);
        }
        for (seen, other) in self.seen.iter_mut().zip(other.seen) {
            *seen |= other;
        }
        for (drops, other) in self.drops.iter_mut().zip(other.drops) {
            *drops |= other;
        }
    }

    fn column(&mut self, folding: &Folding<'_>) -> Column {
        let Folding { context, operation } = folding;
        let span = operation.expr.inner_span();
        let mut column = Column::absent(self.seen.len());
        self.sums.resize(self.seen.len(), Sum::None);
        for (index, sum) in self.sums.drain(..).enumerate() {
            match (self.seen[index], sum) {
                (true, Sum::None) => column.set_float(index, self.running[index].value()),
                (true, _) => context.note().mixed_in_aggregation(span),
                (false, Sum::Some(sum)) => {
                    sum.note(&mut context.note(), span);
                    if let Some(value) = sum.value() {
                        column.set_histogram(index, Arc::new(value));
                    }
                }
                (false, Sum::None | Sum::Failed | Sum::Mixed) => {}
            }
        }
        column
    }
}

/// What all groups share.
struct Folding<'a> {
    context: &'a Context<'a>,
    operation: &'a Aggregate,
}

/// Groups with their labels, in the order of their first series.
type Groups<R> = Vec<(Labels, Group<R>)>;

/// Adds up the series that a context looks at.
fn gather<R: Running>(folding: &Folding<'_>, grid: Grid) -> Result<Groups<R>, Error> {
    let Folding { context, operation } = folding;
    let mut grouping = Grouping::new(operation);
    let mut groups: Vec<Group<R>> = Vec::new();
    each_row(context, &operation.expr, grid, &mut |row| {
        let position = grouping.position(row.labels);
        if position == groups.len() {
            context.check_size(groups.len() + 1, grid)?;
            let tracks_names = grouping.labels[position].has_metadata();
            groups.push(Group::new(grid.count, tracks_names));
        }
        groups[position].add(&row, folding);
        Ok(())
    })?;
    Ok(grouping.labels.into_iter().zip(groups).collect())
}

/// The same on several threads, each with a share of the series: what has to be done once for each
/// series is then not done on all of them, as it is where threads have steps of their own.
fn gather_shared<R: Running>(
    context: &Context<'_>,
    operation: &Aggregate,
    (grid, parts): (Grid, Vec<Range<usize>>),
) -> Result<Groups<R>, Error> {
    let lone = context.parts();
    let gathered: Vec<_> = std::thread::scope(|scope| {
        let work = |part: Range<usize>| {
            move || {
                let context = lone.context(part);
                let context = &context;
                let groups = gather::<R>(&Folding { context, operation }, grid);
                groups.map(|groups| (groups, context.notes.take()))
            }
        };
        let handles: Vec<_> = parts
            .into_iter()
            .map(|part| scope.spawn(work(part)))
            .collect();
        // A panic goes on where it would be without threads.
        let join = |handle: std::thread::ScopedJoinHandle<'_, _>| {
            handle
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        handles.into_iter().map(join).collect()
    });
    let mut all = Groups::new();
    let mut places: FxHashMap<Labels, usize> = FxHashMap::default();
    for part in gathered {
        let (groups, notes) = part?;
        context.note().merge_beside(notes);
        for (labels, group) in groups {
            match places.get(&labels) {
                Some(place) => all[*place].1.join(group),
                None => {
                    places.insert(labels.clone(), all.len());
                    all.push((labels, group));
                }
            }
        }
    }
    context.check_size(all.len(), grid)?;
    Ok(all)
}

fn run<R: Running>(
    context: &Context<'_>,
    operation: &Aggregate,
    grid: Grid,
) -> Result<Rows, Error> {
    let folding = Folding { context, operation };
    let parts = context.shares_of(operation);
    let groups = match parts.len() {
        0 | 1 => gather::<R>(&folding, grid)?,
        _ => gather_shared::<R>(context, operation, (grid, parts))?,
    };
    let mut result = Rows::new();
    for (labels, mut group) in groups {
        context.limits.check()?;
        let column = group.column(&folding);
        let row = |drop_name, column| Row {
            labels: labels.clone(),
            drop_name,
            column,
        };
        if !group.drops.contains(&true) {
            result.push(row(false, column));
            continue;
        }
        // The name is to be dropped at some steps only: those where a member loses its own.
        let (mut kept, mut dropped) = (column.clone(), column);
        for (index, drops) in group.drops.iter().enumerate() {
            if *drops {
                kept.clear(index);
            } else {
                dropped.clear(index);
            }
        }
        result.extend([row(false, kept), row(true, dropped)]);
    }
    result.retain(|row| row.column.has_any());
    // The series may have come in any order.
    result.sort_by(|one, other| one.labels.cmp(&other.labels));
    Ok(result)
}
