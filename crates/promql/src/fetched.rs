//! A query with its data, and how it is evaluated.

use crate::annotation::{Annotations, Severity};
use crate::ast::{Expr, ExprKind};
use crate::engine::{Answer, Counts, Error, Stats, Value};
use crate::eval;
use crate::plan::{Grid, Plan};
use crate::source::Selected;

/// A query with its data.
pub struct Fetched {
    pub(crate) plan: Plan,
    pub(crate) data: Vec<Selected>,
    pub(crate) stats: Stats,
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
        let parts = self
            .plan
            .options
            .threads
            .min(self.stats.samples / SAMPLES_PER_THREAD)
            .min(self.plan.grid.count / STEPS_PER_THREAD);
        if parts <= 1 {
            return self.evaluate_on(parts);
        }
        // The system reads several files to tell: too much for a short query.
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.evaluate_on(parts.min(threads))
    }

    /// Calculates the answer in parts of neighbouring steps, each on a thread. No step needs
    /// another one, so the parts put together are what one evaluation would give.
    pub(crate) fn evaluate_on(&self, threads: usize) -> Result<Evaluated, Error> {
        let Fetched { plan, data, stats } = self;
        let grids = parts_of(plan, threads);
        let evaluated: Vec<Steps> = if grids.len() == 1 {
            vec![evaluate_part(plan, data, plan.grid)?]
        } else {
            std::thread::scope(|scope| {
                let handles: Vec<_> = grids
                    .into_iter()
                    .map(|grid| scope.spawn(move || evaluate_part(plan, data, grid)))
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
        let warnings = data.iter().flat_map(|selected| &selected.warnings);
        Ok(Evaluated {
            value,
            notes,
            counts,
            warnings: warnings.cloned().collect(),
            stats: *stats,
        })
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

fn evaluate_part(plan: &Plan, data: &[Selected], grid: Grid) -> Result<Steps, Error> {
    let context = eval::Context::new(
        &plan.options,
        &plan.limits,
        data,
        (&plan.by_selector, &plan.infos),
        (plan.bounds, plan.grid, plan.is_range),
        grid.count,
    );
    let value = eval::answer(&context, &plan.query.expr, grid, plan.is_range)?;
    let (notes, (steps, peak)) = context.finish();
    let per_step = grid.times().zip(steps).collect();
    Ok((value, notes, Counts { per_step, peak }))
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

fn longest_range(expr: &Expr) -> i64 {
    let range = |node: &Expr| match &node.kind {
        ExprKind::Matrix(matrix) => matrix.range_ms,
        ExprKind::Subquery(subquery) => subquery.range_ms,
        _ => 0,
    };
    expr.nodes().map(range).max().unwrap_or(0)
}
