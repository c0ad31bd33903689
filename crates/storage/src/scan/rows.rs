//! Rows in time order, stopping as soon as no unread unit can hold an earlier one.

use std::collections::BTreeMap;

use model::{Signal, TraceId};
use rustc_hash::FxHashSet;

use super::{Scan, Stop, Unit};
use crate::eval::Compiled;
use crate::filter::Field;
use crate::message::{Columns, Order, Reply, Selection};

/// Rows that share their time with the last one are sent too, up to so many.
const TIES_MAX: usize = 1_000;
/// Rows in one reply.
const ROWS_PER_REPLY: usize = 1_000;

/// A matching row: enough to sort and to find it again.
#[derive(Debug, Clone, Copy)]
struct Hit {
    /// The row's time, turned so that the smallest comes first.
    rank: u64,
    unit: usize,
    row: usize,
    trace: TraceId,
}

/// Turns a time so that the order asked for is ascending.
fn rank(order: Order, time: u64) -> u64 {
    match order {
        Order::Newest => u64::MAX - time,
        Order::Oldest => time,
    }
}

pub(super) fn run(
    scan: &mut Scan<'_>,
    selection: &Selection,
    order: Order,
    limit: usize,
    traces: Option<usize>,
    columns: Columns,
) -> Result<(), Stop> {
    let filter = Compiled::new(&selection.filter, selection.signal)?;
    let mut units = scan.units(selection);
    let first_rank = |unit: &Unit| {
        let (min_time, max_time, _) = unit.times();
        rank(
            order,
            if order == Order::Newest {
                max_time
            } else {
                min_time
            },
        )
    };
    units.sort_by_key(first_rank);
    let mut hits: Vec<Hit> = Vec::new();
    let mut stopped = Ok(());
    for (index, unit) in units.iter().enumerate() {
        if enough(&mut hits, limit, traces, first_rank(unit)) {
            break;
        }
        match collect(
            scan,
            unit,
            index,
            selection,
            &filter,
            order,
            traces.is_some(),
            &mut hits,
        ) {
            Ok(()) => {}
            // What was found so far is sent, and the cut says that there may be more.
            Err(Stop::Limit) => {
                stopped = Err(Stop::Limit);
                break;
            }
            Err(other) => return Err(other),
        }
    }
    hits.sort_unstable_by_key(|hit| (hit.rank, hit.unit, hit.row));
    let keep = kept(&hits, limit, traces);
    hits.truncate(keep);
    for part in hits.chunks(ROWS_PER_REPLY) {
        send(scan, &units, selection.signal, part, columns)?;
    }
    stopped
}

/// Whether the rows found that precede everything in the next unit are all that was asked for.
fn enough(hits: &mut Vec<Hit>, limit: usize, traces: Option<usize>, next_rank: u64) -> bool {
    let before = hits.iter().filter(|hit| hit.rank < next_rank);
    if let Some(traces) = traces {
        let distinct: FxHashSet<TraceId> = before.map(|hit| hit.trace).collect();
        return distinct.len() >= traces;
    }
    if before.count() >= limit {
        return true;
    }
    // Rows that can no longer be among the first are forgotten.
    let most = limit.saturating_add(TIES_MAX).saturating_mul(4);
    if hits.len() > most {
        hits.select_nth_unstable_by_key(most / 2, |hit| (hit.rank, hit.unit, hit.row));
        hits.truncate(most / 2);
    }
    false
}

#[allow(clippy::too_many_arguments)]
fn collect(
    scan: &mut Scan<'_>,
    unit: &Unit,
    index: usize,
    selection: &Selection,
    filter: &Compiled,
    order: Order,
    with_traces: bool,
    hits: &mut Vec<Hit>,
) -> Result<(), Stop> {
    let Some((opened, mask)) = scan.select(unit, selection, filter)? else {
        return Ok(());
    };
    let table = opened.table();
    let found = table.times().and_then(|times| {
        let mut found: Vec<Hit> = mask
            .iter()
            .map(|row| Hit {
                rank: rank(order, times[row]),
                unit: index,
                row,
                trace: TraceId([0; 16]),
            })
            .collect();
        if with_traces {
            let mut at = 0;
            table.visit(&Field::TraceId, &mask, &mut |row, cell| {
                while at < found.len() && found[at].row < row {
                    at += 1;
                }
                if let (Some(hit), crate::table::Cell::Id(bytes)) = (found.get_mut(at), cell) {
                    hit.trace = TraceId(bytes.try_into().unwrap_or_default());
                }
            })?;
        }
        Ok(found)
    });
    hits.extend(scan.undamaged(found).unwrap_or_default());
    Ok(())
}

/// How many of the sorted hits are sent.
fn kept(hits: &[Hit], limit: usize, traces: Option<usize>) -> usize {
    if let Some(traces) = traces {
        let mut seen = FxHashSet::default();
        let mut keep = 0;
        for hit in hits {
            if seen.len() == traces && !seen.contains(&hit.trace) {
                break;
            }
            seen.insert(hit.trace);
            keep += 1;
        }
        return keep.min(limit.max(traces));
    }
    let Some(last) = limit.checked_sub(1).and_then(|last| hits.get(last)) else {
        return hits.len().min(limit);
    };
    let ties = hits[limit..]
        .iter()
        .take(TIES_MAX)
        .take_while(|hit| hit.rank == last.rank);
    limit + ties.count()
}

/// Reads the rows of a part of the answer, each unit once, and sends them in order.
fn send(
    scan: &mut Scan<'_>,
    units: &[Unit],
    signal: Signal,
    hits: &[Hit],
    columns: Columns,
) -> Result<(), Stop> {
    let mut by_unit: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for (position, hit) in hits.iter().enumerate() {
        by_unit
            .entry(hit.unit)
            .or_default()
            .push((hit.row, position));
    }
    let mut spans = Vec::new();
    let mut logs = Vec::new();
    for (unit, wanted) in by_unit {
        let rows: Vec<usize> = wanted.iter().map(|(row, _)| *row).collect();
        let positions = wanted.iter().map(|(_, position)| *position);
        let opened = units[unit].open();
        let Some(opened) = scan.undamaged(opened) else {
            continue;
        };
        if signal == Signal::Traces {
            let read = opened.table().spans(&rows, columns);
            spans.extend(positions.zip(scan.undamaged(read).unwrap_or_default()));
        } else {
            let read = opened.table().logs(&rows);
            logs.extend(positions.zip(scan.undamaged(read).unwrap_or_default()));
        }
    }
    if signal == Signal::Traces {
        spans.sort_by_key(|(position, _)| *position);
        return scan.reply(Reply::Spans(
            spans.into_iter().map(|(_, span)| span).collect(),
        ));
    }
    logs.sort_by_key(|(position, _)| *position);
    scan.reply(Reply::Logs(logs.into_iter().map(|(_, log)| log).collect()))
}
