//! From a query and its times to what every selector needs, and from there to the data.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::ast::{At, Expr, ExprKind, Extend, Selector, Subquery};
use crate::duration::{self, QueryTimes};
use crate::engine::{Error, Limits, Options, Query};
use crate::eval;
use crate::matcher::MatchOp;
use crate::parse::{Features, parse_with};
use crate::parts::Parts;
use crate::source::{Selection, Share};
use crate::stack;

/// The times that an expression is evaluated at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    /// First time.
    pub(crate) start_ms: i64,
    /// Distance of the times; positive.
    pub(crate) step_ms: i64,
    /// Number of times.
    pub(crate) count: usize,
}

impl Grid {
    pub(crate) fn instant(time_ms: i64) -> Self {
        Self {
            start_ms: time_ms,
            step_ms: 1,
            count: 1,
        }
    }

    pub(crate) fn range(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        let count = if end_ms < start_ms {
            0
        } else {
            let steps = end_ms.saturating_sub(start_ms) / step_ms;
            usize::try_from(steps).map_or(usize::MAX, |steps| steps.saturating_add(1))
        };
        Self {
            start_ms,
            step_ms,
            count,
        }
    }

    /// The time of a step.
    pub(crate) fn time(&self, index: usize) -> i64 {
        self.start_ms + self.step_ms * i64::try_from(index).unwrap_or(i64::MAX)
    }

    pub(crate) fn times(&self) -> impl Iterator<Item = i64> + use<> {
        let grid = *self;
        (0..grid.count).map(move |index| grid.time(index))
    }

    pub(crate) fn end_ms(&self) -> i64 {
        self.time(self.count.saturating_sub(1))
    }

    /// Its times in so many parts of neighbours.
    pub(crate) fn parts(self, parts: usize) -> impl Iterator<Item = Self> {
        let first = move |part: usize| self.count * part / parts;
        (0..parts).map(move |index| Self {
            start_ms: self.time(first(index)),
            step_ms: self.step_ms,
            count: first(index + 1) - first(index),
        })
    }
}

/// The start and end that were asked for, which `@ start()` and `@ end()` refer to. The last step
/// may be before the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
}

impl Bounds {
    pub(crate) fn resolve(self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            At::Time(time_ms) => time_ms,
            At::Start => self.start_ms,
            At::End => self.end_ms,
        })
    }
}

/// The times at which a subquery's expression is evaluated so that all steps of the grid around it
/// find theirs: multiples of its step after the start of the first range.
pub(crate) fn subquery_grid(
    subquery: &Subquery,
    outer: Grid,
    bounds: Bounds,
    options: &Options,
) -> Grid {
    let (first, last) = match bounds.resolve(subquery.at) {
        Some(time_ms) => (time_ms, time_ms),
        None => (outer.start_ms, outer.end_ms()),
    };
    let step_ms = subquery.step_ms.unwrap_or(options.subquery_step_ms);
    let after = first - subquery.offset_ms - subquery.range_ms;
    let start_ms = (after.div_euclid(step_ms) + 1) * step_ms;
    Grid::range(start_ms, last - subquery.offset_ms, step_ms)
}

/// A query that knows what it needs.
#[derive(Clone)]
pub struct Plan {
    pub(crate) query: Query,
    pub(crate) bounds: Bounds,
    pub(crate) grid: Grid,
    pub(crate) is_range: bool,
    pub(crate) options: Options,
    pub(crate) limits: Limits,
    pub(crate) selections: Vec<Selection>,
    /// Which selection belongs to each selector.
    pub(crate) by_selector: Vec<usize>,
    /// Where each call of `info` begins, and the selector of what it reads.
    pub(crate) infos: Vec<(usize, usize)>,
}

impl Plan {
    pub(crate) fn new(
        mut query: Query,
        (bounds, grid, is_range): (Bounds, Grid, bool),
        options: Options,
        limits: Limits,
    ) -> Result<Self, Error> {
        let step_ms = is_range.then_some(grid.step_ms);
        resolve_durations(&mut query, bounds, step_ms, options.features)?;
        let mut plan = Self {
            query,
            bounds,
            grid,
            is_range,
            options,
            limits,
            selections: Vec::new(),
            by_selector: Vec::new(),
            infos: Vec::new(),
        };
        plan.collect(None)?;
        let earliest = plan.selections.iter().map(|one| one.start_ms).min();
        for selection in &mut plan.selections {
            selection.earliest_ms = earliest.unwrap_or(selection.start_ms);
        }
        Ok(plan)
    }

    /// Finds out what the steps of the plan need, which may be some of those of another one.
    fn collect(&mut self, whole: Option<&Self>) -> Result<(), Error> {
        let mut collector = Collector {
            whole,
            several_steps: self.grid.count > 1,
            bounds: self.bounds,
            is_range: self.is_range,
            options: &self.options,
            limits: &self.limits,
            selections: Vec::new(),
            known: FxHashMap::default(),
            by_selector: Vec::new(),
            infos: Vec::new(),
            next_id: 0,
        };
        self.query.expr.selectors(&mut |selector, _| {
            collector.next_id = collector.next_id.max(selector.id + 1);
        });
        collector.collect(&self.query.expr, self.grid, Hints::default())?;
        let Collector {
            selections,
            by_selector,
            infos,
            ..
        } = collector;
        (self.selections, self.by_selector, self.infos) = (selections, by_selector, infos);
        Ok(())
    }

    /// The plan of some of its steps, which read as the whole does.
    pub(crate) fn part(&self, grid: Grid) -> Result<Self, Error> {
        let mut part = self.clone();
        part.grid = grid;
        part.collect(Some(self))?;
        Ok(part)
    }

    /// Which selection a selector reads.
    pub(crate) fn selection_of(&self, selector: usize) -> Option<usize> {
        let index = self.by_selector.get(selector).copied();
        index.filter(|index| *index < self.selections.len())
    }

    /// The query, part by part where it reads more samples than should be held at once.
    pub fn in_parts(self) -> Parts {
        self.in_parts_of(Parts::SAMPLES_AT_ONCE)
    }

    /// The same in parts of about so many samples.
    pub fn in_parts_of(self, samples: usize) -> Parts {
        Parts::new(self, samples)
    }

    /// What will be read, each selection once.
    pub fn selections(&self) -> &[Selection] {
        &self.selections
    }
}

/// Puts numbers in the place of calculated durations.
#[allow(clippy::cast_precision_loss)]
fn resolve_durations(
    query: &mut Query,
    bounds: Bounds,
    step_ms: Option<i64>,
    features: Features,
) -> Result<(), Error> {
    if !duration::has_calculations(&query.expr) {
        return Ok(());
    }
    let times = QueryTimes {
        step: step_ms.unwrap_or(0) as f64 / 1000.0,
        range: (bounds.end_ms - bounds.start_ms) as f64 / 1000.0,
    };
    // The tree is shared with who asked; the text gives another one.
    let reread = parse_with(&query.text, features);
    let mut expr = reread.map_err(|problem| Error::BadData(problem.to_string()))?;
    duration::resolve(&mut expr, times).map_err(Error::BadData)?;
    query.expr = Arc::new(expr);
    Ok(())
}

/// `@` and offset of the first selector of a tree.
fn first_selector(expr: &Expr) -> Option<(Option<At>, i64)> {
    expr.nodes().find_map(|node| {
        let selector = match &node.kind {
            ExprKind::Selector(selector) => &**selector,
            ExprKind::Matrix(matrix) => &matrix.selector,
            _ => return None,
        };
        Some((selector.at, selector.offset_ms))
    })
}

/// What surrounds a selector, as hints for the source.
#[derive(Clone, Copy, Default)]
struct Hints<'a> {
    function: &'static str,
    grouping: &'a [String],
    by: bool,
    unordered: bool,
}

struct Collector<'a> {
    /// Of what the plan is a part.
    whole: Option<&'a Plan>,
    several_steps: bool,
    bounds: Bounds,
    is_range: bool,
    options: &'a Options,
    limits: &'a Limits,
    selections: Vec<Selection>,
    /// Where each selection is, so that what a long query repeats is found at once.
    known: FxHashMap<Key, usize>,
    by_selector: Vec<usize>,
    infos: Vec<(usize, usize)>,
    /// The first number that no selector of the query has.
    next_id: usize,
}

/// What two uses of a selection have to have in common: the matchers, and the times.
type Key = (Vec<(String, MatchOp, String)>, [i64; 4]);

fn key(selection: &Selection) -> Key {
    let matchers = selection.matchers.iter();
    let matchers = matchers.map(|one| (one.name.clone(), one.op, one.value.clone()));
    let times = [
        selection.start_ms,
        selection.end_ms,
        selection.step_ms,
        selection.range_ms,
    ];
    (matchers.collect(), times)
}

impl Collector<'_> {
    fn collect(&mut self, expr: &Expr, grid: Grid, hints: Hints<'_>) -> Result<(), Error> {
        stack::level(|| self.collect_node(expr, grid, hints))
    }

    fn collect_node(&mut self, expr: &Expr, grid: Grid, hints: Hints<'_>) -> Result<(), Error> {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) => {}
            ExprKind::Selector(selector) => self.select(selector, None, grid, hints),
            ExprKind::Matrix(matrix) => {
                self.select(&matrix.selector, Some(matrix.range_ms), grid, hints);
            }
            ExprKind::Subquery(subquery) => {
                let inner = subquery_grid(subquery, grid, self.bounds, self.options);
                // Even one series would not fit, and neither would the times themselves.
                self.limits.check_samples(inner.count)?;
                self.collect(&subquery.expr, inner, Hints::default())?;
            }
            ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => {
                self.collect(inner, grid, hints)?;
            }
            ExprKind::Binary(_) => {
                let (first, operations) = expr.chain();
                self.collect(first, grid, Hints::default())?;
                for (_, binary) in operations {
                    self.collect(&binary.rhs, grid, Hints::default())?;
                }
            }
            ExprKind::Aggregate(aggregate) => {
                let hints = Hints {
                    function: aggregate.op.name(),
                    grouping: &aggregate.grouping,
                    by: !aggregate.without,
                    unordered: eval::takes_any_order(aggregate.op),
                };
                if let Some(param) = &aggregate.param {
                    self.collect(param, grid, Hints::default())?;
                }
                self.collect(&aggregate.expr, grid, hints)?;
            }
            ExprKind::Call(call) => {
                let hints = Hints {
                    function: call.function.name,
                    unordered: hints.unordered && eval::is_over_range(call),
                    ..Hints::default()
                };
                if call.function.name == "info" {
                    let mut selector = eval::info_selector(call, self.next_id);
                    self.next_id += 1;
                    // Info series are those of when the first series of the other argument are of. Of a
                    // range with an offset alone that would differ from part to part.
                    if let Some((at, offset_ms)) = first_selector(&call.args[0])
                        && (at.is_some() || !self.is_range)
                    {
                        (selector.at, selector.offset_ms) = (at, offset_ms);
                    }
                    self.infos.push((expr.span.start, selector.id));
                    self.select(&selector, None, grid, hints);
                    return self.collect(&call.args[0], grid, Hints::default());
                }
                for arg in &call.args {
                    self.collect(arg, grid, hints)?;
                }
            }
        }
        Ok(())
    }

    fn select(&mut self, selector: &Selector, range_ms: Option<i64>, grid: Grid, hints: Hints<'_>) {
        let fixed = self.bounds.resolve(selector.at);
        let first = fixed.unwrap_or(grid.start_ms) - selector.offset_ms;
        let last = fixed.unwrap_or_else(|| grid.end_ms()) - selector.offset_ms;
        let lookback = self.options.lookback_ms;
        let (before, after) = match (range_ms, selector.extend) {
            (None, Extend::Smoothed) => (lookback, lookback),
            (None, _) => (lookback, 0),
            (Some(range_ms), Extend::No) => (range_ms, 0),
            (Some(range_ms), Extend::Anchored) => (range_ms + lookback, 0),
            (Some(range_ms), Extend::Smoothed) => (range_ms + lookback, lookback),
        };
        let mut selection = Selection {
            matchers: selector.matchers.clone(),
            start_ms: first - before,
            end_ms: last + after,
            // Known once all selectors are.
            earliest_ms: first - before,
            step_ms: if grid.count > 1 && fixed.is_none() {
                grid.step_ms
            } else {
                0
            },
            first_ms: first,
            range_ms: range_ms.unwrap_or(0),
            extended: selector.extend != Extend::No,
            function: hints.function,
            grouping: hints.grouping.to_vec(),
            by: hints.by,
            unordered: hints.unordered,
            foreseen_max: usize::MAX,
            share: Share::ALL,
        };
        if grid.count == 0 && fixed.is_none() {
            selection.end_ms = selection.start_ms;
        }
        self.follow_whole(selector.id, &mut selection);
        let key = key(&selection);
        let index = match self.known.get(&key).copied() {
            Some(index) => {
                // The hints of one use would mislead the source about the other.
                let known = &mut self.selections[index];
                if known.function != selection.function || known.grouping != selection.grouping {
                    known.function = "";
                    known.grouping.clear();
                    known.by = false;
                }
                known.extended |= selection.extended;
                known.unordered &= selection.unordered;
                index
            }
            None => {
                self.selections.push(selection);
                let index = self.selections.len() - 1;
                self.known.insert(key, index);
                index
            }
        };
        if self.by_selector.len() <= selector.id {
            self.by_selector.resize(selector.id + 1, usize::MAX);
        }
        self.by_selector[selector.id] = index;
    }

    /// Has a selection of a part read as that of the whole does.
    fn follow_whole(&self, id: usize, selection: &mut Selection) {
        let Some(plan) = self.whole else { return };
        let whole = plan.by_selector.get(id);
        let Some(whole) = whole.and_then(|index| plan.selections.get(*index)) else {
            return;
        };
        // Whether a histogram was reset is known of one with another before it. A step that is alone
        // is so since there is hardly room for what it needs.
        if self.several_steps {
            let earlier = selection.start_ms - self.options.lookback_ms;
            selection.start_ms = earlier.max(whole.start_ms);
        }
        selection.earliest_ms = whole.earliest_ms;
        selection.step_ms = whole.step_ms;
        // Another part may come in another order.
        selection.unordered = false;
    }
}
