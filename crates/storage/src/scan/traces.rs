//! Traces with matching spans: when these began and ended, and how many failed.

use std::collections::hash_map::Entry;

use model::{Signal, TraceId};
use rustc_hash::FxHashMap;

use super::{Opened, Scan, Stop, Unit};
use crate::eval::Compiled;
use crate::filter::Field;
use crate::message::{Order, Reply, Selection, TraceSpans};
use crate::read::ReadError;
use crate::table::{Cell, Damage, Mask};

/// Traces in one reply.
const TRACES_PER_REPLY: usize = 20_000;

/// The traces found so far.
struct Found {
    traces: FxHashMap<TraceId, TraceSpans>,
    limit: usize,
    /// Whether a trace was left out.
    full: bool,
}

pub(super) fn run(
    scan: &Scan<'_>,
    selection: &Selection,
    order: Order,
    limit: usize,
) -> Result<(), Stop> {
    if selection.signal != Signal::Traces {
        return Err(ReadError::Invalid("only spans have traces".to_owned()).into());
    }
    let filter = Compiled::new(&selection.filter, selection.signal)?;
    let mut units = scan.units(selection);
    units.sort_by_key(|unit: &Unit| {
        let (min_time, max_time, _) = unit.times();
        match order {
            Order::Newest => u64::MAX - max_time,
            Order::Oldest => min_time,
        }
    });
    let mut found = Found {
        traces: FxHashMap::default(),
        limit,
        full: false,
    };
    let mut stopped = Ok(());
    for unit in &units {
        match scan.select(unit, selection, &filter) {
            Ok(None) => {}
            Ok(Some((opened, mask))) => {
                let added = found.add(&opened, &mask);
                scan.undamaged(unit, added);
            }
            Err(Stop::Limit) => {
                stopped = Err(Stop::Limit);
                break;
            }
            Err(other) => return Err(other),
        }
        if found.full {
            break;
        }
    }
    let traces: Vec<TraceSpans> = found.traces.into_values().collect();
    for part in traces.chunks(TRACES_PER_REPLY) {
        scan.reply(Reply::Traces(part.to_vec()))?;
    }
    stopped
}

impl Found {
    fn add(&mut self, opened: &Opened, mask: &Mask) -> Result<(), Damage> {
        let table = opened.table();
        let (times, ends) = (table.times()?, table.ends()?);
        let mut failed = Mask::none(table.rows());
        table.visit(&Field::Status, mask, &mut |row, cell| {
            if cell.text() == "error" {
                failed.set(row);
            }
        })?;
        let mut failed = failed.iter().peekable();
        table.visit(&Field::TraceId, mask, &mut |row, cell| {
            let Cell::Id(bytes) = cell else {
                return;
            };
            while failed.next_if(|at| *at < row).is_some() {}
            let errors = u64::from(failed.peek() == Some(&row));
            let trace_id = TraceId(bytes.try_into().unwrap_or_default());
            let span = TraceSpans {
                trace_id,
                start: times[row],
                newest: times[row],
                end: ends[row],
                errors,
            };
            let has_room = self.traces.len() < self.limit;
            match self.traces.entry(trace_id) {
                Entry::Occupied(mut known) => known.get_mut().join(&span),
                Entry::Vacant(unknown) if has_room => drop(unknown.insert(span)),
                Entry::Vacant(_) => self.full = true,
            }
        })
    }
}
