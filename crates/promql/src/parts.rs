//! A query that is answered part by part.
//!
//! No step of a range query needs another one, so what neighbouring steps need can be read, looked at
//! and let go of before the next is read: the samples that are held at once are then those of a
//! part, however long the range is. A query stays whole where it is an instant query, where `@`
//! has all steps look at the same samples, and where samples were downsampled, whose distance
//! depends on how far a selection reaches.

use crate::ast::{Expr, ExprKind};
use crate::engine::{Answer, Error};
use crate::fetched::{Evaluated, Fetched};
use crate::plan::{Grid, Plan};
use crate::source::{SeriesSource, SourceError, SourceErrorKind};

/// How many parts a part is divided into, at most.
const PARTS_MAX: usize = 64;

/// A query under way.
pub struct Parts {
    whole: Plan,
    divisible: bool,
    /// About how many samples a part should have.
    at_once: usize,
    /// Steps that are not evaluated yet, the next ones last.
    left: Vec<Grid>,
    done: Option<Evaluated>,
}

impl Parts {
    /// About how many samples are held at once, where a query can be divided.
    pub const SAMPLES_AT_ONCE: usize = 10_000_000;

    pub(crate) fn new(whole: Plan, at_once: usize) -> Self {
        let at_once = at_once.min(whole.limits.max_samples).max(1);
        Self {
            divisible: whole.is_range && !is_fixed(&whole.query.expr),
            at_once,
            left: vec![whole.grid],
            done: None,
            whole,
        }
    }

    /// Reads what the next part needs; nothing where there is none.
    pub async fn fetch(&mut self, source: &dyn SeriesSource) -> Result<Option<Fetched>, Error> {
        while let Some(grid) = self.left.pop() {
            let is_whole = grid == self.whole.grid;
            let may_divide = self.divisible && grid.count > 1;
            let mut plan = if is_whole {
                self.whole.clone()
            } else {
                self.whole.part(grid)?
            };
            if may_divide {
                // A part that reaches far back has more however few its steps are.
                let most = match is_whole {
                    true => self.at_once,
                    false => self.whole.limits.max_samples.saturating_mul(2),
                };
                let selections = plan.selections.len().max(1);
                for selection in &mut plan.selections {
                    selection.foreseen_max = most / selections;
                }
            }
            match plan.fetch(source).await {
                Ok(fetched) if !is_whole && fetched.is_sparse() => self.stay_whole(),
                Ok(fetched) => return Ok(Some(fetched)),
                Err(error) => match too_many(&error) {
                    Some(samples) if may_divide => self.divide(grid, samples),
                    _ => return Err(error),
                },
            }
        }
        Ok(None)
    }

    /// Takes the part that was read last, evaluated.
    pub fn add(&mut self, part: Evaluated) -> Result<(), Error> {
        let all = match self.done.take() {
            Some(done) => done.join(part),
            None => part,
        };
        self.whole.limits.check_samples(all.values())?;
        self.done = Some(all);
        Ok(())
    }

    /// Values of the answer so far.
    pub fn values(&self) -> usize {
        self.done.as_ref().map_or(0, Evaluated::values)
    }

    /// The answer, when all parts were added.
    pub fn finish(self) -> Result<Answer, Error> {
        let nothing = || Error::Execution("there is no step to evaluate".to_owned());
        self.done.ok_or_else(nothing)?.into_answer(&self.whole)
    }

    /// Begins again with all steps at once.
    fn stay_whole(&mut self) {
        self.divisible = false;
        self.done = None;
        self.left = vec![self.whole.grid];
    }

    /// Puts parts in the place of steps that have so many samples in one selection.
    fn divide(&mut self, grid: Grid, samples: usize) {
        let all = samples.saturating_mul(self.whole.selections.len());
        let most = PARTS_MAX.min(grid.count);
        let parts = all.div_ceil(self.at_once).clamp(2, most);
        let parts: Vec<Grid> = grid.parts(parts).collect();
        self.left.extend(parts.into_iter().rev());
    }
}

/// How many samples of one selection were too many, if that is what is wrong.
fn too_many(error: &Error) -> Option<usize> {
    match error {
        Error::Source(SourceError {
            kind: SourceErrorKind::TooManySamples(samples),
            ..
        }) => Some(*samples),
        Error::Limit {
            limit: "max_samples",
            value,
            ..
        } => Some(*value),
        _ => None,
    }
}

/// Whether any selector or subquery has `@`.
fn is_fixed(expr: &Expr) -> bool {
    expr.nodes().any(|node| match &node.kind {
        ExprKind::Selector(selector) => selector.at.is_some(),
        ExprKind::Matrix(matrix) => matrix.selector.at.is_some(),
        ExprKind::Subquery(subquery) => subquery.at.is_some(),
        _ => false,
    })
}
