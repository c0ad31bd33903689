//! A query with its data, and how it is evaluated.

use futures::future::try_join_all;

use crate::annotation::{Annotations, Severity};
use crate::ast::{Expr, ExprKind};
use crate::by_series;
use crate::engine::{Answer, Counts, Error, Stats, Value};
use crate::eval::{self, Known};
use crate::plan::{Grid, Plan};
use crate::source::{Selected, SeriesSource, Share};

/// A query with its data.
pub struct Fetched {
    pub(crate) plan: Plan,
    pub(crate) data: Vec<Selected>,
    pub(crate) stats: Stats,
    stage: Stage,
}

/// What is read at once, and what for.
pub(crate) enum Stage {
    /// Everything.
    Whole,
    /// A share of the series of the calls that need one series at a time, which are evaluated.
    Share(Share),
    /// Everything else, with the rows of those calls.
    Rest(Known),
}

impl Plan {
    /// Reads all selections at once.
    pub async fn fetch(self, source: &dyn SeriesSource) -> Result<Fetched, Error> {
        self.fetch_for(source, Stage::Whole).await
    }

    /// Reads what a stage needs.
    pub(crate) async fn fetch_for(
        mut self,
        source: &dyn SeriesSource,
        stage: Stage,
    ) -> Result<Fetched, Error> {
        let wanted = self.wanted(&stage);
        if let Stage::Share(share) = stage {
            let selections = self.selections.iter_mut();
            selections.for_each(|selection| selection.share = share);
        }
        let read = self.selections.iter().zip(wanted);
        let read = read.map(|(selection, wanted)| async move {
            match wanted {
                true => source.select(selection).await,
                false => Ok(Selected::default()),
            }
        });
        let mut data = try_join_all(read).await?;
        let mut stats = Stats::default();
        for (selection, selected) in self.selections.iter().zip(&mut data) {
            // Results are in the order of the labels; sources need not be.
            if !selection.unordered {
                let series = &mut selected.series;
                series.sort_by(|a, b| a.labels.cmp(&b.labels));
            }
            stats.series += selected.series.len();
            let samples = selected.series.iter().map(|series| series.samples.len());
            stats.samples += samples.sum::<usize>();
        }
        self.limits.check_samples(stats.samples)?;
        Ok(Fetched {
            plan: self,
            data,
            stats,
            stage,
        })
    }

    /// Of each selection whether a stage needs it.
    fn wanted(&self, stage: &Stage) -> Vec<bool> {
        let by_series: Vec<usize> = match stage {
            Stage::Whole => return vec![true; self.selections.len()],
            Stage::Share(_) => by_series::nodes(self)
                .iter()
                .map(|one| one.selector)
                .collect(),
            Stage::Rest(known) => known.keys().copied().collect(),
        };
        let mut wanted = vec![false; self.selections.len()];
        let is_share = matches!(stage, Stage::Share(_));
        for selector in 0..self.by_selector.len() {
            if let Some(index) = self.selection_of(selector) {
                wanted[index] |= by_series.contains(&selector) == is_share;
            }
        }
        wanted
    }
}

/// Below this many samples another thread costs more than it brings, and below this many steps what
/// each of them does for every series.
const SAMPLES_PER_THREAD: usize = 50_000;
const STEPS_PER_THREAD: usize = 100;

impl Fetched {
    /// Calculates the answer. This may use processors for as long as the limits allow and does
    /// not wait for anything, so call it where blocking is allowed.
    pub fn evaluate(&self) -> Result<Answer, Error> {
        self.evaluate_steps()?.into_answer(&self.plan)
    }

    /// The same of a part of a query.
    pub fn evaluate_steps(&self) -> Result<Evaluated, Error> {
        match self.stage {
            Stage::Whole => {}
            Stage::Share(_) => return self.evaluate_share(),
            // Rows that are known are of all steps.
            Stage::Rest(_) => return self.evaluate_on(1),
        }
        let most = self.plan.options.threads;
        let most = most.min(self.stats.samples / SAMPLES_PER_THREAD);
        let by_steps = most.min(self.plan.grid.count / STEPS_PER_THREAD);
        let by_series = most > 1 && self.is_shared_by_series();
        if by_steps <= 1 && !by_series {
            return self.evaluate_on(by_steps);
        }
        // The system reads several files to tell: too much for a short query.
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if by_series {
            return self.evaluate_by_series(most.min(threads));
        }
        self.evaluate_on(by_steps.min(threads))
    }

    /// Whether threads can have shares of the series: all are added up as they come, none has
    /// histograms, and nobody asks how many samples each step looked at.
    pub(crate) fn is_shared_by_series(&self) -> bool {
        let options = &self.plan.options;
        let plain = |series: &crate::source::Series| series.samples.histograms.is_empty();
        !options.count_samples
            && eval::is_shareable(&self.plan.query.expr, options.delayed_name_removal)
            && self.data.iter().flat_map(|one| &one.series).all(plain)
    }

    /// Calculates the answer, the aggregations in it on threads that have shares of the series.
    pub(crate) fn evaluate_by_series(&self, threads: usize) -> Result<Evaluated, Error> {
        let plan = &self.plan;
        let context = self.context(plan.grid).with_threads(threads);
        let value = eval::answer(&context, &plan.query.expr, plan.grid, plan.is_range)?;
        Ok(self.evaluated(value, finish(context, plan.grid), None))
    }

    /// Calculates the answer in parts of neighbouring steps, each on a thread. No step needs
    /// another one, so the parts put together are what one evaluation would give.
    pub(crate) fn evaluate_on(&self, threads: usize) -> Result<Evaluated, Error> {
        let grids = parts_of(&self.plan, threads);
        let evaluated: Vec<Steps> = if grids.len() == 1 {
            vec![self.evaluate_part(self.plan.grid)?]
        } else {
            std::thread::scope(|scope| {
                let handles: Vec<_> = grids
                    .into_iter()
                    .map(|grid| scope.spawn(move || self.evaluate_part(grid)))
                    .collect();
                let join = |handle: std::thread::ScopedJoinHandle<'_, _>| {
                    // A panic goes on where it would be without threads.
                    handle
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                };
                handles.into_iter().map(join).collect::<Result<_, _>>()
            })?
        };
        let mut evaluated = evaluated.into_iter();
        let (mut value, mut notes, mut counts) = evaluated
            .next()
            .ok_or_else(|| Error::Execution("there is no step to evaluate".to_owned()))?;
        for (next, more, counted) in evaluated {
            value = eval::join(value, next);
            notes.merge(more);
            counts.per_step.extend(counted.per_step);
            counts.peak = counts.peak.saturating_add(counted.peak);
        }
        Ok(self.evaluated(value, (notes, counts), None))
    }

    fn evaluate_part(&self, grid: Grid) -> Result<Steps, Error> {
        let plan = &self.plan;
        let known = match &self.stage {
            Stage::Rest(known) => Some(known),
            Stage::Whole | Stage::Share(_) => None,
        };
        let context = self.context(grid).with_known(known);
        let value = eval::answer(&context, &plan.query.expr, grid, plan.is_range)?;
        let (notes, counts) = finish(context, grid);
        Ok((value, notes, counts))
    }

    /// Calculates the rows of the calls that need one series at a time.
    fn evaluate_share(&self) -> Result<Evaluated, Error> {
        let grid = self.plan.grid;
        let mut context = self.context(grid);
        let mut known = Known::default();
        for node in by_series::nodes(&self.plan) {
            let read = self.plan.selection_of(node.selector);
            let series = read.map_or(0, |index| self.data[index].series.len());
            let rows = eval::rows_by_series(&mut context, &node, series)?;
            known.insert(node.selector, rows);
        }
        let value = Value::Matrix(Vec::new());
        Ok(self.evaluated(value, finish(context, grid), Some(known)))
    }

    fn context(&self, grid: Grid) -> eval::Context<'_> {
        let plan = &self.plan;
        eval::Context::new(
            &plan.options,
            &plan.limits,
            &self.data,
            (&plan.by_selector, &plan.infos),
            (plan.bounds, plan.grid, plan.is_range),
            grid.count,
        )
    }

    fn evaluated(
        &self,
        value: Value,
        (notes, counts): (Annotations, Counts),
        known: Option<Known>,
    ) -> Evaluated {
        let warnings = self.data.iter().flat_map(|selected| &selected.warnings);
        Evaluated {
            value,
            notes,
            counts,
            warnings: warnings.cloned().collect(),
            stats: self.stats,
            known,
        }
    }

    /// Whether some of the samples are further apart than they were taken.
    pub(crate) fn is_sparse(&self) -> bool {
        let sparse = |selected: &Selected| selected.sparse.apart_ms > 0;
        self.data.iter().any(sparse)
    }
}

/// Steps of a query that were evaluated.
pub struct Evaluated {
    value: Value,
    notes: Annotations,
    counts: Counts,
    warnings: Vec<String>,
    stats: Stats,
    /// The rows of the calls that need one series at a time, where only these were evaluated.
    known: Option<Known>,
}

impl Evaluated {
    /// How many values there are.
    pub(crate) fn values(&self) -> usize {
        match &self.value {
            Value::Matrix(series) => series.iter().map(|series| series.points.len()).sum(),
            Value::Vector(samples) => samples.len(),
            Value::Scalar { .. } | Value::String { .. } => 1,
        }
    }

    /// Adds the steps that come after these, whose samples were held after those of these.
    pub(crate) fn join(self, next: Self) -> Self {
        let mut joined = self;
        joined.value = eval::join(joined.value, next.value);
        joined.notes.merge(next.notes);
        joined.counts.per_step.extend(next.counts.per_step);
        joined.counts.peak = joined.counts.peak.max(next.counts.peak);
        joined.warnings.extend(next.warnings);
        joined.stats.samples += next.stats.samples;
        joined.stats.series = joined.stats.series.max(next.stats.series);
        joined
    }

    /// The rows that they are, if these are of a share of the series.
    pub(crate) fn take_known(&mut self) -> Option<Known> {
        self.known.take()
    }

    /// Adds what other series of the same steps, or the rest of them, make.
    pub(crate) fn with(self, other: Self) -> Self {
        let mut both = other;
        both.notes.merge_beside(self.notes);
        let counts = &mut both.counts;
        for (step, (_, samples)) in counts.per_step.iter_mut().zip(self.counts.per_step) {
            step.1 = step.1.saturating_add(samples);
        }
        let most = counts.per_step.iter().map(|(_, samples)| *samples).max();
        counts.peak = counts.peak.max(self.counts.peak).max(most.unwrap_or(0));
        both.warnings.extend(self.warnings);
        both.stats.samples += self.stats.samples;
        both.stats.series += self.stats.series;
        both
    }

    /// The answer of the steps of this plan.
    pub(crate) fn into_answer(self, plan: &Plan) -> Result<Answer, Error> {
        eval::check_series(&self.value, &plan.limits)?;
        let mut warnings = self.notes.render(Severity::Warning, &plan.query.text);
        let infos = self.notes.render(Severity::Info, &plan.query.text);
        for warning in self.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        Ok(Answer {
            value: self.value,
            warnings,
            infos,
            stats: self.stats,
            counts: self.counts,
        })
    }
}

type Steps = (Value, Annotations, Counts);

/// What an evaluation of these steps noted and counted.
fn finish(context: eval::Context<'_>, grid: Grid) -> (Annotations, Counts) {
    let (notes, (steps, peak)) = context.finish();
    let per_step = grid.times().zip(steps).collect();
    (notes, Counts { per_step, peak })
}

/// The steps of a query in so many parts. A range that is longer than the query would be gone
/// through by each of them, so such a query stays whole.
fn parts_of(plan: &Plan, parts: usize) -> Vec<Grid> {
    let grid = plan.grid;
    let length_ms = grid.end_ms() - grid.start_ms;
    if parts < 2 || grid.count < 2 * parts || longest_range(&plan.query.expr) > length_ms {
        return vec![grid];
    }
    grid.parts(parts).collect()
}

pub(crate) fn longest_range(expr: &Expr) -> i64 {
    let range = |node: &Expr| match &node.kind {
        ExprKind::Matrix(matrix) => matrix.range_ms,
        ExprKind::Subquery(subquery) => subquery.range_ms,
        _ => 0,
    };
    expr.nodes().map(range).max().unwrap_or(0)
}
