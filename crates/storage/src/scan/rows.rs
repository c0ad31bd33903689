//! Rows in a total order, stopping as soon as no unread unit can hold an earlier one.
//!
//! Rows are ordered by time, those of one time by their digest. The digest comes from what a row
//! holds, so the order is the same before and after a flush and in every store, and a page can
//! begin after any row of the page before, however many rows share its time. A digest costs the
//! whole row, so only rows that share their time with others at an edge of the page have theirs
//! taken.

use std::collections::{BTreeMap, VecDeque};

use model::{Signal, TimeRange, TraceId};
use rustc_hash::FxHashSet;

use super::{Opened, Scan, Stop, Unit, memory};
use crate::digest;
use crate::eval::Compiled;
use crate::filter::Field;
use crate::message::{Columns, Order, Place, Reply, Selection};
use crate::table::Damage;

/// Units that stay open.
const TABLES_KEPT: usize = 8;
/// Rows in one reply.
const ROWS_PER_REPLY: usize = 1_000;
/// Hits beyond those asked for that are held before the hindmost are forgotten.
const HITS_SPARE: usize = 4_000;

/// A matching row: enough to sort and to find it again.
#[derive(Debug, Clone, Copy)]
struct Hit {
    /// The row's time, turned so that the smallest comes first.
    rank: u64,
    /// What orders rows of one time, where it was needed so far.
    digest: Option<u64>,
    unit: usize,
    row: usize,
    trace: TraceId,
}

/// What is asked for.
pub(super) struct Wanted {
    pub(super) order: Order,
    pub(super) limit: usize,
    pub(super) traces: Option<usize>,
    pub(super) after: Option<Place>,
    pub(super) columns: Columns,
}

impl Wanted {
    /// How many rows can be in the answer.
    fn rows_max(&self) -> usize {
        self.limit.max(self.traces.unwrap_or(0))
    }

    /// Turns a time so that the order asked for is ascending.
    fn rank(&self, time: u64) -> u64 {
        match self.order {
            Order::Newest => u64::MAX - time,
            Order::Oldest => time,
        }
    }

    /// The rank of the first row that a unit can hold.
    fn first_rank(&self, unit: &Unit) -> u64 {
        let (min_time, max_time, _) = unit.times();
        self.rank(match self.order {
            Order::Newest => max_time,
            Order::Oldest => min_time,
        })
    }

    /// What is left of a range after the place where the answer begins. A span that reaches into
    /// the range from before it keeps doing so: such a range may end before it starts.
    fn rest(&self, range: TimeRange) -> TimeRange {
        match (self.after, self.order) {
            (None, _) => range,
            (Some(place), Order::Newest) => TimeRange {
                end: range.end.min(place.time.saturating_add(1)),
                ..range
            },
            (Some(place), Order::Oldest) => TimeRange {
                start: range.start.max(place.time),
                ..range
            },
        }
    }
}

/// Units in which rows were found last. Rows are read from there; where they lie in few units, as
/// those of a trace do, none is opened twice.
struct Tables<'a> {
    units: &'a [Unit],
    kept: VecDeque<(usize, Opened)>,
}

impl Tables<'_> {
    /// Keeps what was opened, of which little is decoded.
    fn keep(&mut self, unit: usize, opened: Opened) {
        let opened = opened.with(None);
        if self.kept.len() == TABLES_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((unit, opened));
    }

    fn get(&mut self, scan: &Scan<'_>, unit: usize) -> Result<&Opened, Damage> {
        let at = match self.kept.iter().position(|(kept, _)| *kept == unit) {
            Some(at) => at,
            None => {
                let opened = self.units[unit].open(&scan.interned)?;
                self.keep(unit, opened);
                self.kept.len() - 1
            }
        };
        Ok(&self.kept[at].1)
    }
}

/// The rows found so far.
struct Hits<'a> {
    wanted: &'a Wanted,
    signal: Signal,
    tables: Tables<'a>,
    list: Vec<Hit>,
    /// Copies of the row at the place that are still to be left out.
    copies_left: u64,
    /// Units of which rows that are wanted do not read.
    lost: &'a mut FxHashSet<usize>,
}

pub(super) fn run(scan: &Scan<'_>, selection: &Selection, wanted: &Wanted) -> Result<(), Stop> {
    let filter = Compiled::new(&selection.filter, selection.signal)?;
    let selection = &Selection {
        range: wanted.rest(selection.range),
        ..selection.clone()
    };
    let mut units = scan.units(selection);
    units.sort_by_key(|unit| wanted.first_rank(unit));
    let (mut lost, mut sent) = (FxHashSet::default(), FxHashSet::default());
    // Rows that do not read leave their places to others, which may not have been looked for.
    loop {
        let lost_before = lost.len();
        let mut hits = Hits {
            wanted,
            signal: selection.signal,
            tables: Tables {
                units: &units,
                kept: VecDeque::new(),
            },
            list: Vec::new(),
            copies_left: wanted.after.map_or(0, |place| place.copies),
            lost: &mut lost,
        };
        let is_whole = hits.find(scan, selection, &filter)?;
        if hits.lost.len() == lost_before {
            hits.list.retain(|hit| !sent.contains(&(hit.unit, hit.row)));
            hits.send(scan, &mut sent)?;
        }
        if lost.len() == lost_before {
            return if is_whole { Ok(()) } else { Err(Stop::Limit) };
        }
    }
}

impl Hits<'_> {
    /// Finds the rows to send, in order; false where a limit came before it had them all.
    fn find(
        &mut self,
        scan: &Scan<'_>,
        selection: &Selection,
        filter: &Compiled,
    ) -> Result<bool, Stop> {
        let mut is_whole = true;
        for (index, unit) in self.tables.units.iter().enumerate() {
            if self.lost.contains(&index) {
                continue;
            }
            if self.are_enough(self.wanted.first_rank(unit)) {
                break;
            }
            match self.collect(scan, index, selection, filter) {
                Ok(()) => self.forget_hindmost(scan)?,
                // What was found so far is sent, and the cut says that there may be more.
                Err(Stop::Limit) => {
                    is_whole = false;
                    break;
                }
                Err(other) => return Err(other),
            }
        }
        self.finish(scan)?;
        Ok(is_whole)
    }

    /// Sends the rows part by part, until some of them do not read; notes which were to be sent.
    fn send(&mut self, scan: &Scan<'_>, sent: &mut FxHashSet<(usize, usize)>) -> Result<(), Stop> {
        let lost_before = self.lost.len();
        for (number, part) in self.list.chunks(ROWS_PER_REPLY).enumerate() {
            let (tables, columns) = (&mut self.tables, self.wanted.columns);
            send(scan, tables, self.signal, part, columns, self.lost)?;
            if self.lost.len() > lost_before {
                let all = self.list.iter().take((number + 1) * ROWS_PER_REPLY);
                sent.extend(all.map(|hit| (hit.unit, hit.row)));
                break;
            }
        }
        Ok(())
    }

    /// Whether the rows found that precede everything in the next unit are all that was asked
    /// for.
    fn are_enough(&self, next_rank: u64) -> bool {
        let before = self.list.iter().filter(|hit| hit.rank < next_rank);
        if let Some(traces) = self.wanted.traces {
            let distinct: FxHashSet<TraceId> = before.clone().map(|hit| hit.trace).collect();
            if distinct.len() >= traces {
                return true;
            }
        }
        before.count() >= self.wanted.rows_max()
    }

    /// Adds the matching rows of a unit that come after the place.
    fn collect(
        &mut self,
        scan: &Scan<'_>,
        unit: usize,
        selection: &Selection,
        filter: &Compiled,
    ) -> Result<(), Stop> {
        let Some((opened, mask)) = scan.select(&self.tables.units[unit], selection, filter)? else {
            return Ok(());
        };
        let table = opened.table();
        let found = table.times().and_then(|times| {
            let mut found: Vec<Hit> = mask
                .iter()
                .map(|row| Hit {
                    rank: self.wanted.rank(times[row]),
                    digest: None,
                    unit,
                    row,
                    trace: TraceId([0; 16]),
                })
                .collect();
            if self.wanted.traces.is_some() {
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
        let at = &self.tables.units[unit];
        let found = scan.undamaged(at, found).unwrap_or_default();
        let found = self.without_given(scan, at, &opened, found)?;
        self.list.extend(found);
        self.tables.keep(unit, opened);
        Ok(())
    }

    /// What does not come before the place, but for the copies of the row there that were given.
    fn without_given(
        &mut self,
        scan: &Scan<'_>,
        unit: &Unit,
        opened: &Opened,
        mut found: Vec<Hit>,
    ) -> Result<Vec<Hit>, Stop> {
        let Some(place) = self.wanted.after else {
            return Ok(found);
        };
        let rank = self.wanted.rank(place.time);
        found.retain(|hit| hit.rank >= rank);
        let at_place = found.iter().filter(|hit| hit.rank == rank);
        let rows: Vec<usize> = at_place.map(|hit| hit.row).collect();
        let Some(digests) = digests(scan, self.signal, unit, opened, &rows)? else {
            return Ok(Vec::new());
        };
        let mut digests = digests.into_iter();
        for hit in found.iter_mut().filter(|hit| hit.rank == rank) {
            hit.digest = digests.next();
        }
        found.retain(|hit| {
            let Some(digest) = hit.digest else {
                return true;
            };
            if digest == place.digest && self.copies_left > 0 {
                self.copies_left -= 1;
                return false;
            }
            digest >= place.digest
        });
        Ok(found)
    }

    /// Keeps the list short: rows that can no longer be among the first are forgotten.
    fn forget_hindmost(&mut self, scan: &Scan<'_>) -> Result<(), Stop> {
        let most = self.wanted.rows_max();
        if self.list.len() > most.saturating_mul(4).saturating_add(HITS_SPARE) {
            self.cut(scan, most)?;
        }
        Ok(())
    }

    /// Cuts the list to the first rows of the order. Only rows that share their time with the
    /// last of them need their digests for that.
    fn cut(&mut self, scan: &Scan<'_>, most: usize) -> Result<(), Stop> {
        if self.list.len() <= most {
            return Ok(());
        }
        let Some(last) = most.checked_sub(1) else {
            self.list.clear();
            return Ok(());
        };
        let (_, edge, _) = self.list.select_nth_unstable_by_key(last, |hit| hit.rank);
        let edge = edge.rank;
        self.list.retain(|hit| hit.rank <= edge);
        if self.list.len() > most {
            self.take_digests(scan, |hit| hit.rank == edge)?;
            if self.list.len() > most {
                self.list
                    .select_nth_unstable_by_key(last, |hit| (hit.rank, hit.digest));
                self.list.truncate(most);
            }
        }
        Ok(())
    }

    /// Takes the digests of these rows, where they are not known yet. Rows that do not read are
    /// dropped; the damage is counted.
    fn take_digests(&mut self, scan: &Scan<'_>, which: impl Fn(&Hit) -> bool) -> Result<(), Stop> {
        let lacking = |hit: &Hit| hit.digest.is_none() && which(hit);
        let mut by_unit: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, hit) in self.list.iter().enumerate().filter(|(_, hit)| lacking(hit)) {
            by_unit.entry(hit.unit).or_default().push(at);
        }
        let units = self.tables.units;
        for (unit, places) in by_unit {
            let rows: Vec<usize> = places.iter().map(|at| self.list[*at].row).collect();
            let at = &units[unit];
            let opened = self.tables.get(scan, unit);
            let Some(opened) = scan.undamaged(at, opened) else {
                self.lost.insert(unit);
                continue;
            };
            let _share = scan.decoding(opened)?;
            let Some(taken) = digests(scan, self.signal, at, opened, &rows)? else {
                self.lost.insert(unit);
                continue;
            };
            for (place, digest) in places.into_iter().zip(taken) {
                self.list[place].digest = Some(digest);
            }
        }
        self.list.retain(|hit| !lacking(hit));
        Ok(())
    }

    /// Leaves the rows to send, in order.
    fn finish(&mut self, scan: &Scan<'_>) -> Result<(), Stop> {
        self.cut(scan, self.wanted.rows_max())?;
        let Some(traces) = self.wanted.traces else {
            self.list
                .sort_unstable_by_key(|hit| (hit.rank, hit.digest, hit.unit, hit.row));
            return Ok(());
        };
        // Which traces come first may depend on the order within any time.
        self.list.sort_unstable_by_key(|hit| hit.rank);
        let tied: FxHashSet<u64> = self
            .list
            .windows(2)
            .filter(|pair| pair[0].rank == pair[1].rank)
            .map(|pair| pair[0].rank)
            .collect();
        self.take_digests(scan, |hit| tied.contains(&hit.rank))?;
        self.list
            .sort_unstable_by_key(|hit| (hit.rank, hit.digest, hit.unit, hit.row));
        let mut seen = FxHashSet::default();
        let keep = self.list.iter().position(|hit| {
            seen.insert(hit.trace);
            seen.len() > traces
        });
        self.list.truncate(keep.unwrap_or(self.list.len()));
        Ok(())
    }
}

/// The digests of rows of a unit, if they read.
fn digests(
    scan: &Scan<'_>,
    signal: Signal,
    unit: &Unit,
    opened: &Opened,
    rows: &[usize],
) -> Result<Option<Vec<u64>>, Stop> {
    // A digest is that of a row that is built, which may be too large for that.
    let Some(largest) = scan.undamaged(unit, memory::largest(opened.table(), rows)) else {
        return Ok(None);
    };
    scan.has_room(largest)?;
    Ok(scan.undamaged(unit, digests_of(opened, signal, rows)))
}

fn digests_of(opened: &Opened, signal: Signal, rows: &[usize]) -> Result<Vec<u64>, Damage> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let table = opened.table();
    if signal == Signal::Traces {
        let spans = table.spans(rows, Columns::Summary)?;
        return Ok(spans.iter().map(digest::span).collect());
    }
    let mut digests = Vec::with_capacity(rows.len());
    for part in memory::parts(table, rows)? {
        digests.extend(table.logs(part)?.iter().map(digest::log));
    }
    Ok(digests)
}

/// Reads the rows of a part of the answer, each unit once, and sends them in order. Units of which they
/// do not read are lost.
fn send(
    scan: &Scan<'_>,
    tables: &mut Tables<'_>,
    signal: Signal,
    hits: &[Hit],
    columns: Columns,
    lost: &mut FxHashSet<usize>,
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
    let units = tables.units;
    for (unit, wanted) in by_unit {
        let rows: Vec<usize> = wanted.iter().map(|(row, _)| *row).collect();
        let positions = wanted.iter().map(|(_, position)| *position);
        let at = &units[unit];
        let opened = tables.get(scan, unit);
        let Some(opened) = scan.undamaged(at, opened) else {
            lost.insert(unit);
            continue;
        };
        let _share = scan.decoding(opened)?;
        let table = opened.table();
        if columns == Columns::Full || signal != Signal::Traces {
            let Some(nested) = scan.undamaged(at, table.nested_bytes(&rows)) else {
                lost.insert(unit);
                continue;
            };
            scan.has_room(nested)?;
        }
        if signal == Signal::Traces {
            let Some(read) = scan.undamaged(at, table.spans(&rows, columns)) else {
                lost.insert(unit);
                continue;
            };
            scan.hold(read.iter().map(model::Span::held_bytes).sum())?;
            spans.extend(positions.zip(read));
        } else {
            let Some(read) = scan.undamaged(at, table.logs(&rows)) else {
                lost.insert(unit);
                continue;
            };
            scan.hold(read.iter().map(model::LogRecord::held_bytes).sum())?;
            logs.extend(positions.zip(read));
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

#[cfg(test)]
mod tests;
