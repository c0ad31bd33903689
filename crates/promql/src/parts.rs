//! A query that is answered part by part.
//!
//! No step of a range query needs another one, so what neighbouring steps need can be read, looked at
//! and let go of before the next is read: the samples that are held at once are then those of a
//! part, however long the range is. That does not help where one step needs too many, and it has the
//! same samples read again and again where steps look back far. Functions of ranges take one series
//! at a time, though: a share of the series is read and let go of once its results are known, and
//! the rest of the query is evaluated over the results of all shares.
//!
//! Steps stay together where `@` has all of them look at the same samples, and where samples were
//! downsampled, whose distance depends on how far a selection reaches.

use crate::ast::{Expr, ExprKind};
use crate::by_series;
use crate::engine::{Answer, Error};
use crate::eval::{Known, Rows};
use crate::fetched::{Evaluated, Fetched, Stage, longest_range};
use crate::plan::{Grid, Plan};
use crate::source::{SeriesSource, Share, SourceError, SourceErrorKind};

/// How many parts a part is divided into, at most.
const PARTS_MAX: usize = 64;
/// How many shares series are divided into, at most.
const SHARES_MAX: u32 = 1_024;

/// A query under way.
pub struct Parts {
    whole: Plan,
    divisible: bool,
    /// About how many samples a part should have.
    at_once: usize,
    /// What is not evaluated yet, the next last.
    left: Vec<Part>,
    done: Option<Evaluated>,
    /// What the shares of the part at hand made.
    shares: Option<Evaluated>,
    known: Known,
    /// Samples read so far.
    read: usize,
}

enum Part {
    Steps(Grid),
    Share(Grid, Share),
    /// What follows the shares.
    Rest(Grid),
}

impl Parts {
    /// About how many samples are held at once, where a query can be divided.
    pub const SAMPLES_AT_ONCE: usize = 10_000_000;

    pub(crate) fn new(whole: Plan, at_once: usize) -> Self {
        let at_once = at_once.min(whole.limits.max_samples).max(1);
        Self {
            divisible: whole.is_range && !is_fixed(&whole.query.expr),
            at_once,
            left: vec![Part::Steps(whole.grid)],
            done: None,
            shares: None,
            known: Known::default(),
            read: 0,
            whole,
        }
    }

    /// Reads what the next part needs; nothing where there is none.
    pub async fn fetch(&mut self, source: &dyn SeriesSource) -> Result<Option<Fetched>, Error> {
        while let Some(part) = self.left.pop() {
            let fetched = match part {
                Part::Steps(grid) => self.fetch_steps(grid, source).await?,
                Part::Share(grid, share) => self.fetch_share(grid, share, source).await?,
                Part::Rest(grid) => self.fetch_rest(grid, source).await?,
            };
            let Some(fetched) = fetched else { continue };
            if fetched.plan.grid != self.whole.grid && fetched.is_sparse() {
                self.stay_whole();
                continue;
            }
            self.read = self.read.saturating_add(fetched.stats.samples);
            self.whole.limits.check_read(self.read)?;
            return Ok(Some(fetched));
        }
        Ok(None)
    }

    /// Reads all that steps need, or divides them.
    async fn fetch_steps(
        &mut self,
        grid: Grid,
        source: &dyn SeriesSource,
    ) -> Result<Option<Fetched>, Error> {
        let mut plan = self.plan_of(grid)?;
        let by_time = self.divisible && grid.count > 1;
        let by_series = shares(&plan, source);
        if by_time || by_series {
            // A part that reaches far back has more however few its steps are.
            let most = match by_time && grid != self.whole.grid {
                false => self.at_once,
                true => self.whole.limits.max_samples.saturating_mul(2),
            };
            foresee(&mut plan, most);
        }
        let samples = match plan.fetch_for(source, Stage::Whole).await {
            Ok(fetched) => return Ok(Some(fetched)),
            Err(error) => match too_many(&error) {
                Some(samples) if by_time || by_series => samples,
                _ => return Err(error),
            },
        };
        self.whole
            .limits
            .check_read(self.read.saturating_add(samples))?;
        let all = samples.saturating_mul(self.whole.selections.len());
        let parts = all.div_ceil(self.at_once).max(2);
        if by_series && !(by_time && self.is_short_of(grid, parts)) {
            let of = u32::try_from(parts).map_or(SHARES_MAX, |of| of.min(SHARES_MAX));
            let share = |index| Part::Share(grid, Share { index, of });
            self.left.push(Part::Rest(grid));
            self.left.extend((0..of).rev().map(share));
        } else {
            self.divide(grid, parts);
        }
        Ok(None)
    }

    /// Reads a share of the series of calls that take one at a time.
    async fn fetch_share(
        &mut self,
        grid: Grid,
        share: Share,
        source: &dyn SeriesSource,
    ) -> Result<Option<Fetched>, Error> {
        let mut plan = self.plan_of(grid)?;
        let may_divide = share.of < SHARES_MAX;
        if may_divide {
            let most = self.whole.limits.max_samples;
            foresee(&mut plan, most);
        }
        match plan.fetch_for(source, Stage::Share(share)).await {
            Ok(fetched) => Ok(Some(fetched)),
            Err(error) if may_divide && too_many(&error).is_some() => {
                let halves = share.halves().map(|half| Part::Share(grid, half));
                self.left.extend(halves);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what is needed beside the shares.
    async fn fetch_rest(
        &mut self,
        grid: Grid,
        source: &dyn SeriesSource,
    ) -> Result<Option<Fetched>, Error> {
        let mut known = std::mem::take(&mut self.known);
        let by_labels = |rows: &mut Rows| rows.sort_by(|a, b| a.labels.cmp(&b.labels));
        known.values_mut().for_each(by_labels);
        let mut plan = self.plan_of(grid)?;
        let by_time = self.divisible && grid.count > 1;
        if by_time {
            let most = self.whole.limits.max_samples.saturating_mul(2);
            foresee(&mut plan, most);
        }
        match plan.fetch_for(source, Stage::Rest(known)).await {
            Ok(fetched) => Ok(Some(fetched)),
            Err(error) if by_time && too_many(&error).is_some() => {
                self.shares = None;
                self.divide(grid, 2);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes the part that was read last, evaluated.
    pub fn add(&mut self, mut part: Evaluated) -> Result<(), Error> {
        if let Some(known) = part.take_known() {
            for (selector, rows) in known {
                self.known.entry(selector).or_default().extend(rows);
            }
            self.shares = Some(match self.shares.take() {
                Some(shares) => shares.with(part),
                None => part,
            });
            return self.check_known();
        }
        if let Some(shares) = self.shares.take() {
            part = shares.with(part);
        }
        let all = match self.done.take() {
            Some(done) => done.join(part),
            None => part,
        };
        self.whole.limits.check_samples(all.values())?;
        self.done = Some(all);
        Ok(())
    }

    /// Whether the rows of shares may be held; those of fewer steps are fewer.
    fn check_known(&mut self) -> Result<(), Error> {
        let values = self.known.values().flatten().map(|row| row.column.len());
        let Err(error) = self.whole.limits.check_samples(values.sum()) else {
            return Ok(());
        };
        while let Some(part) = self.left.pop() {
            let Part::Rest(grid) = part else { continue };
            if self.divisible && grid.count > 1 {
                self.known.clear();
                self.shares = None;
                self.divide(grid, 2);
                return Ok(());
            }
        }
        Err(error)
    }

    /// Values of the answer so far, and about as many as rows of shares take the memory of.
    pub fn values(&self) -> usize {
        const OF_ROW: usize = 8;
        let rows = self.known.values().flatten();
        let known = rows.map(|row| OF_ROW + row.column.len());
        self.done.as_ref().map_or(0, Evaluated::values) + known.sum::<usize>()
    }

    /// The answer, when all parts were added.
    pub fn finish(self) -> Result<Answer, Error> {
        let nothing = || Error::Execution("there is no step to evaluate".to_owned());
        self.done.ok_or_else(nothing)?.into_answer(&self.whole)
    }

    fn plan_of(&self, grid: Grid) -> Result<Plan, Error> {
        if grid == self.whole.grid {
            return Ok(self.whole.clone());
        }
        self.whole.part(grid)
    }

    /// Begins again with all steps at once.
    fn stay_whole(&mut self) {
        self.divisible = false;
        self.done = None;
        self.shares = None;
        self.known.clear();
        self.left = vec![Part::Steps(self.whole.grid)];
    }

    /// Whether so many parts of steps would read little more than all of them at once.
    fn is_short_of(&self, grid: Grid, parts: usize) -> bool {
        let parts = i64::try_from(parts.min(PARTS_MAX)).unwrap_or(i64::MAX);
        longest_range(&self.whole.query.expr) <= (grid.end_ms() - grid.start_ms) / parts
    }

    /// Puts about so many parts in the place of steps.
    fn divide(&mut self, grid: Grid, parts: usize) {
        let most = PARTS_MAX.min(grid.count);
        let parts: Vec<Grid> = grid.parts(parts.clamp(2, most)).collect();
        self.left.extend(parts.into_iter().rev().map(Part::Steps));
    }
}

/// Whether there are calls that take one series at a time, and the source has shares of these.
fn shares(plan: &Plan, source: &dyn SeriesSource) -> bool {
    let nodes = by_series::nodes(plan);
    let shares = |selector: usize| {
        let selection = plan.selection_of(selector);
        selection.is_some_and(|index| source.shares(&plan.selections[index]))
    };
    !nodes.is_empty() && nodes.iter().all(|node| shares(node.selector))
}

/// Has selections read no more than so many samples together.
fn foresee(plan: &mut Plan, most: usize) {
    let selections = plan.selections.len().max(1);
    for selection in &mut plan.selections {
        selection.foreseen_max = most / selections;
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
