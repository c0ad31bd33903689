//! Operations between two vectors: which series belong together, and set operators.
//!
//! Which series *may* match is the same at all steps, so series are grouped by their matching
//! labels once; which of them do is decided at each step by which have a value there.

use rustc_hash::FxHashMap;

use super::binary::{Applied, Operator};
use super::column::{Cell, Column, Row, Rows, duplicate_labels, merge};
use crate::ast::{BinaryOp, Cardinality, Matching};
use crate::engine::{Error, Limits};
use crate::labels::{Labels, METRIC_NAME};
use crate::plan::Grid;

pub(super) fn eval(
    operator: &Operator<'_>,
    matching: &Matching,
    (lhs, rhs): (Rows, Rows),
    grid: Grid,
) -> Result<Rows, Error> {
    let limits = operator.context.limits;
    match operator.op {
        BinaryOp::And | BinaryOp::Unless => {
            let partners = presence(&rhs, matching, grid, limits)?;
            filter(operator.op, matching, lhs, &partners, limits)
        }
        BinaryOp::Or => {
            let partners = presence(&lhs, matching, grid, limits)?;
            union(matching, lhs, rhs, &partners, limits)
        }
        _ => Join::new(operator, matching, &lhs, &rhs, grid).run(),
    }
}

/// The labels by which a series is matched.
fn signature(labels: &Labels, matching: &Matching) -> Labels {
    let listed = |name: &str| matching.labels.iter().any(|label| label == name);
    if matching.on {
        labels.filter(listed)
    } else {
        labels.filter(|name| name != METRIC_NAME && !listed(name))
    }
}

/// At which steps each signature has a value.
type Presence = FxHashMap<Labels, Vec<bool>>;

fn presence(
    rows: &Rows,
    matching: &Matching,
    grid: Grid,
    limits: &Limits,
) -> Result<Presence, Error> {
    let mut presence = Presence::default();
    for row in rows {
        limits.check()?;
        let steps = presence
            .entry(signature(&row.labels, matching))
            .or_insert_with(|| vec![false; grid.count]);
        for (step, cell) in steps.iter_mut().zip(row.column.cells()) {
            *step |= cell.is_present();
        }
    }
    Ok(presence)
}

/// `and`, `unless`: the left side where the right side has a partner or has none.
fn filter(
    op: BinaryOp,
    matching: &Matching,
    mut lhs: Rows,
    partners: &Presence,
    limits: &Limits,
) -> Result<Rows, Error> {
    let wanted = op == BinaryOp::And;
    for row in &mut lhs {
        limits.check()?;
        let steps = partners.get(&signature(&row.labels, matching));
        for index in 0..row.column.len() {
            if steps.is_some_and(|steps| steps[index]) != wanted {
                row.column.clear(index);
            }
        }
    }
    lhs.retain(|row| row.column.has_any());
    Ok(lhs)
}

/// `or`: the left side, and the right side where the left has no partner.
fn union(
    matching: &Matching,
    mut lhs: Rows,
    mut rhs: Rows,
    partners: &Presence,
    limits: &Limits,
) -> Result<Rows, Error> {
    for row in &mut rhs {
        limits.check()?;
        let Some(steps) = partners.get(&signature(&row.labels, matching)) else {
            continue;
        };
        for (index, present) in steps.iter().enumerate() {
            if *present {
                row.column.clear(index);
            }
        }
    }
    lhs.extend(rhs.into_iter().filter(|row| row.column.has_any()));
    merge(lhs)
}

/// The series of both sides with one signature.
#[derive(Default)]
struct Pairing {
    many: Vec<usize>,
    one: Vec<usize>,
}

struct Join<'a> {
    operator: &'a Operator<'a>,
    matching: &'a Matching,
    /// The side that may have several series for each of the other; the left one unless
    /// `group_right` says otherwise.
    many: &'a Rows,
    one: &'a Rows,
    swapped: bool,
    /// Values for a missing partner on each side.
    fill_many: Option<f64>,
    fill_one: Option<f64>,
    grid: Grid,
    result: Rows,
    /// The signature and step at which each row of the result was last matched.
    matched: Vec<(usize, usize)>,
    /// Row of the result by its labels and whether it loses its name.
    by_labels: FxHashMap<(Labels, bool), usize>,
}

/// What stands in for a series that is missing.
const MISSING: usize = usize::MAX;

impl<'a> Join<'a> {
    fn new(
        operator: &'a Operator<'a>,
        matching: &'a Matching,
        lhs: &'a Rows,
        rhs: &'a Rows,
        grid: Grid,
    ) -> Self {
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
        Self {
            operator,
            matching,
            many,
            one,
            swapped,
            // Prometheus takes "left" to be the "many" side here, also where that is the right one.
            fill_many: matching.fill_left,
            fill_one: matching.fill_right,
            grid,
            result: Vec::new(),
            matched: Vec::new(),
            by_labels: FxHashMap::default(),
        }
    }

    fn run(mut self) -> Result<Rows, Error> {
        let mut order: Vec<(Labels, Pairing)> = Vec::new();
        let mut positions: FxHashMap<Labels, usize> = FxHashMap::default();
        for (rows, is_many) in [(self.many, true), (self.one, false)] {
            for (index, row) in rows.iter().enumerate() {
                self.operator.context.limits.check()?;
                let labels = signature(&row.labels, self.matching);
                let position = *positions.entry(labels.clone()).or_insert_with(|| {
                    order.push((labels, Pairing::default()));
                    order.len() - 1
                });
                let pairing = &mut order[position].1;
                if is_many {
                    pairing.many.push(index)
                } else {
                    pairing.one.push(index)
                }
            }
        }
        // Without a fill value nothing at all is compared at steps where one side is empty.
        let both: Vec<bool> = (0..self.grid.count)
            .map(|index| {
                let any = |rows: &Rows| rows.iter().any(|row| row.column.get(index).is_present());
                any(self.many) && any(self.one)
            })
            .collect();
        // At each step nothing is calculated before it is known that there is one of each.
        let duplicate = self.first_duplicate(&order, &both)?;
        let steps = duplicate.map_or(both.len(), |(step, _)| step);
        for (number, (labels, pairing)) in order.iter().enumerate() {
            self.operator.context.limits.check()?;
            self.pair((number, labels), pairing, &both[..steps])?;
            self.operator
                .context
                .check_size(self.result.len(), self.grid)?;
        }
        if let Some((step, number)) = duplicate {
            let (labels, pairing) = &order[number];
            self.only_one(labels, pairing, step)?;
        }
        let mut result = self.result;
        result.retain(|row| row.column.has_any());
        self.operator.context.settle(result)
    }

    /// The first step at which the "one" side has several series with one signature, and which
    /// signature that is.
    fn first_duplicate(
        &self,
        order: &[(Labels, Pairing)],
        both: &[bool],
    ) -> Result<Option<(usize, usize)>, Error> {
        let fills = self.fill_many.is_some() || self.fill_one.is_some();
        let mut first: Option<(usize, usize)> = None;
        let several = |(_, (_, pairing)): &(usize, &(Labels, Pairing))| pairing.one.len() > 1;
        for (number, (_, pairing)) in order.iter().enumerate().filter(several) {
            self.operator.context.limits.check()?;
            let steps = first.map_or(both.len(), |(step, _)| step);
            let repeats = |&step: &usize| {
                let is_there = |one: &&usize| self.one[**one].column.get(step).is_present();
                (fills || both[step]) && pairing.one.iter().filter(is_there).nth(1).is_some()
            };
            if let Some(step) = (0..steps).find(repeats) {
                first = Some((step, number));
            }
        }
        Ok(first)
    }

    /// Calculates all results of one signature.
    fn pair(
        &mut self,
        (number, labels): (usize, &Labels),
        pairing: &Pairing,
        both: &[bool],
    ) -> Result<(), Error> {
        let fills = self.fill_many.is_some() || self.fill_one.is_some();
        if !fills && pairing.many.is_empty() && pairing.one.len() < 2 {
            return Ok(());
        }
        if !fills && pairing.one.is_empty() {
            return Ok(());
        }
        // Row of the result for each pair of series that met.
        let mut targets: FxHashMap<(usize, usize), usize> = FxHashMap::default();
        for (index, both) in both.iter().enumerate() {
            self.operator.context.check_step(index)?;
            if !fills && !both {
                continue;
            }
            let one = self.only_one(labels, pairing, index)?;
            let Some(one) = one.or(self.fill_one.map(|_| MISSING)) else {
                continue;
            };
            let at = (number, index);
            let mut matched = 0;
            for &many in &pairing.many {
                if self.many[many].column.get(index).is_present() {
                    matched += usize::from(self.step((many, one), labels, &mut targets, at)?);
                }
            }
            if matched == 0 && one != MISSING && self.fill_many.is_some() {
                self.step((MISSING, one), labels, &mut targets, at)?;
            }
            if matched > 1 && self.matching.cardinality == Cardinality::OneToOne {
                let message = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
                return Err(Error::Execution(message.to_owned()));
            }
        }
        Ok(())
    }

    /// The series of the "one" side that has a value at a step.
    fn only_one(
        &self,
        labels: &Labels,
        pairing: &Pairing,
        index: usize,
    ) -> Result<Option<usize>, Error> {
        let mut present = pairing
            .one
            .iter()
            .filter(|&&one| self.one[one].column.get(index).is_present());
        let (first, second) = (present.next(), present.next());
        match (first, second) {
            (Some(&first), Some(&second)) => {
                let side = if self.swapped { "left" } else { "right" };
                Err(Error::Execution(format!(
                    "found duplicate series for the match group {labels} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                    self.one[second].labels, self.one[first].labels
                )))
            }
            (first, _) => Ok(first.copied()),
        }
    }

    /// Calculates one value; returns whether the two match, be it that the value is dropped.
    fn step(
        &mut self,
        (many, one): (usize, usize),
        labels: &Labels,
        targets: &mut FxHashMap<(usize, usize), usize>,
        at: (usize, usize),
    ) -> Result<bool, Error> {
        let index = at.1;
        let cell = |rows: &'a Rows, row: usize, fill: Option<f64>| match rows.get(row) {
            Some(row) => row.column.get(index),
            None => fill.map_or(Cell::Absent, Cell::Float),
        };
        let many_cell = cell(self.many, many, self.fill_many);
        let one_cell = cell(self.one, one, self.fill_one);
        let (lhs, rhs) = if self.swapped {
            (one_cell, many_cell)
        } else {
            (many_cell, one_cell)
        };
        let value = match self.operator.apply(lhs, rhs) {
            Applied::Incompatible => return Ok(false),
            Applied::Dropped => None,
            Applied::Value(value) => Some(value),
        };
        let target = match targets.get(&(many, one)) {
            Some(target) => *target,
            None => {
                let target = self.target(many, one, labels);
                targets.insert((many, one), target);
                target
            }
        };
        let grouped = self.matching.cardinality != Cardinality::OneToOne;
        let again = std::mem::replace(&mut self.matched[target], at) == at;
        if grouped && again {
            let message = "multiple matches for labels: grouping labels must ensure unique matches";
            return Err(Error::Execution(message.to_owned()));
        }
        let Some(value) = value else {
            return Ok(true);
        };
        let column = &mut self.result[target].column;
        if !column.get(index).is_present() {
            column.set(index, value);
        } else if !again {
            return Err(duplicate_labels());
        }
        // Otherwise two series of one signature met: the caller reports the ambiguous match.
        Ok(true)
    }

    /// The row of the result for two series.
    fn target(&mut self, many: usize, one: usize, labels: &Labels) -> usize {
        let many_row = self.many.get(many);
        let many_labels = many_row.map_or(labels, |row| &row.labels);
        let one_labels = self.one.get(one).map_or(labels, |row| &row.labels);
        let labels = self.result_labels(many_labels, one_labels);
        let drop_name = self.operator.return_bool || many_row.is_some_and(|row| row.drop_name);
        let key = (labels.clone(), drop_name);
        *self.by_labels.entry(key).or_insert_with(|| {
            let column = Column::absent(self.grid.count);
            self.result.push(Row {
                labels,
                drop_name,
                column,
            });
            self.matched.push((usize::MAX, usize::MAX));
            self.result.len() - 1
        })
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let mut labels = many.clone();
        if self.operator.changes_quantity() {
            labels = labels.without_metadata();
        }
        if self.matching.cardinality == Cardinality::OneToOne {
            let listed = |name: &str| self.matching.labels.iter().any(|label| label == name);
            labels = labels.filter(|name| listed(name) == self.matching.on);
        }
        for name in &self.matching.include {
            labels = labels.with(name, one.value(name));
        }
        labels
    }
}
