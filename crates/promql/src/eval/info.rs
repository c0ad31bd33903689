//! `info`: adds the labels of an info metric, by default `target_info`, to series of the same
//! `job` and `instance`.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::column::{Column, Row, Rows, merge};
use super::{Context, eval_rows, selector};
use crate::ast::{Call, ExprKind, Extend, Selector, Span};
use crate::engine::Error;
use crate::labels::{Labels, METRIC_NAME};
use crate::matcher::{MatchOp, Matcher};
use crate::plan::Grid;

/// The labels that say which info series belongs to a series.
const IDENTITY: [&str; 2] = ["instance", "job"];
const DEFAULT_INFO: &str = "target_info";

/// The selector of the info series of a call.
pub(crate) fn info_selector(call: &Call, id: usize) -> Selector {
    let mut matchers = given(call).to_vec();
    matchers.extend(implied_name(&matchers));
    Selector {
        id,
        name: None,
        matchers,
        offset_ms: 0,
        offset_expr: None,
        at: None,
        extend: Extend::No,
    }
}

/// The matcher of the name that is meant without being written: that of the default where there is
/// none, and anything that is called info where names are only excluded.
fn implied_name(given: &[Matcher]) -> Option<Matcher> {
    let names = || given.iter().filter(|matcher| matcher.name == METRIC_NAME);
    let positive = |matcher: &Matcher| matches!(matcher.op, MatchOp::Eq | MatchOp::Re);
    if names().next().is_none() {
        Some(Matcher::equal(METRIC_NAME, DEFAULT_INFO))
    } else if names().any(positive) {
        None
    } else {
        Matcher::new(METRIC_NAME, MatchOp::Re, ".+_info").ok()
    }
}

/// The matchers of the second argument.
fn given(call: &Call) -> &[Matcher] {
    match call.args.get(1).map(|arg| &arg.kind) {
        Some(ExprKind::Selector(selector)) => &selector.matchers,
        _ => &[],
    }
}

fn identity(labels: &Labels) -> Labels {
    labels.filter(|name| IDENTITY.contains(&name))
}

pub(super) fn eval(
    context: &Context<'_>,
    call: &Call,
    span: Span,
    grid: Grid,
) -> Result<Rows, Error> {
    let base = eval_rows(context, &call.args[0], grid)?;
    let Some(id) = context.info_id(span) else {
        return Err(Error::Execution("info metrics were not read".to_owned()));
    };
    let infos = selector::instant(context, &info_selector(call, id), grid, true)?;
    let data: Vec<&Matcher> = given(call)
        .iter()
        .filter(|matcher| matcher.name != METRIC_NAME)
        .collect();
    let implied = implied_name(given(call));
    let names: Vec<&Matcher> = given(call)
        .iter()
        .filter(|matcher| matcher.name == METRIC_NAME)
        .chain(&implied)
        .collect();
    let mut by_identity: FxHashMap<Labels, Vec<&Row>> = FxHashMap::default();
    for row in &infos {
        by_identity
            .entry(identity(&row.labels))
            .or_default()
            .push(row);
    }
    let is_info = |name: &str| names.iter().all(|matcher| matcher.matches(name));
    let join = Join { data, grid };
    let mut result = Vec::with_capacity(base.len());
    for row in base {
        context.limits.check()?;
        if !row.drop_name && is_info(row.labels.metric_name()) {
            result.push(row);
            continue;
        }
        let key = identity(&row.labels);
        let infos = if key.is_empty() {
            None
        } else {
            by_identity.get(&key)
        };
        join.enrich(&row, infos.map_or(&[], Vec::as_slice), &mut result)?;
    }
    merge(result)
}

struct Join<'a> {
    data: Vec<&'a Matcher>,
    grid: Grid,
}

impl Join<'_> {
    /// Adds the rows that a series becomes; its labels may change from step to step.
    fn enrich(&self, row: &Row, infos: &[&Row], result: &mut Rows) -> Result<(), Error> {
        let mut by_labels: FxHashMap<Labels, usize> = FxHashMap::default();
        for index in 0..self.grid.count {
            let Some(cell) = row.column.get(index).to_owned() else {
                continue;
            };
            let Some(labels) = self.labels(&row.labels, infos, index)? else {
                continue;
            };
            let position = *by_labels.entry(labels.clone()).or_insert_with(|| {
                let column = Column::absent(self.grid.count);
                result.push(Row {
                    labels,
                    drop_name: row.drop_name,
                    column,
                });
                result.len() - 1
            });
            result[position].column.set(index, cell);
        }
        Ok(())
    }

    /// The labels with what the info series of a step add; `None` where a demanded label is
    /// missing.
    fn labels(&self, base: &Labels, infos: &[&Row], index: usize) -> Result<Option<Labels>, Error> {
        // Of several series of one info metric the one with the newest sample counts.
        let mut newest: BTreeMap<&str, (f64, &Labels)> = BTreeMap::new();
        for info in infos {
            let Some(time) = info.column.float(index) else {
                continue;
            };
            let name = info.labels.metric_name();
            match newest.get(name) {
                Some((known, _)) if *known > time => {}
                Some((known, other)) if *known == time => {
                    let time_ms = time * 1000.0;
                    return Err(Error::Execution(format!(
                        "found duplicate series for info metric: existing {other} @ {time_ms}, duplicate {} @ {time_ms}",
                        info.labels
                    )));
                }
                _ => {
                    newest.insert(name, (time, &info.labels));
                }
            }
        }
        // Without an info series nothing has the labels that are demanded, but those of the base.
        if newest.is_empty() && self.data.iter().any(|matcher| !matcher.matches("")) {
            return Ok(None);
        }
        let mut added: BTreeMap<&str, &str> = BTreeMap::new();
        for (_, labels) in newest.values() {
            for (name, value) in labels.iter() {
                let wanted = self.data.is_empty() || self.data.iter().any(|m| m.name == name);
                if name == METRIC_NAME || !wanted || base.get(name).is_some() {
                    continue;
                }
                if added
                    .insert(name, value)
                    .is_some_and(|other| other != value)
                {
                    return Err(Error::Execution(format!("conflicting label: {name}")));
                }
            }
        }
        let mut labels = base.clone();
        for (name, value) in added {
            labels = labels.with(name, value);
        }
        Ok(Some(labels))
    }
}
