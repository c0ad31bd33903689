//! Rows of a data folder, one block after the other, for whoever writes them elsewhere.
//!
//! They come in the order of storage: partition by partition, flush by flush, and at last those that
//! are in the log alone; each row that is stored comes once. At most one block or one request of the
//! log is in memory.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use env::Env;
use model::correlation::CorrelationKeys;
use model::metric::Series;
use model::row::Decode;
use model::{DataPoint, LogRecord, Signal, Span};

use crate::eval::Compiled;
use crate::folder::{Folder, FolderError, chunk_of};
use crate::layout::{BlockTable, Interned};
use crate::message::{Columns, Selection};
use crate::partition::PartitionKey;
use crate::points::head::PointHead;
use crate::scan::{Opened, Unit, in_range};
use crate::store::{Logged, read_record};
use crate::table::{Damage, Mask};

#[cfg(test)]
mod tests;

/// Rows that are given at once.
pub const ROWS_MAX: usize = 1_000;
/// Rows that are read at once: a whole block, whose columns are then decoded once.
const ROWS_READ: usize = 8_192;

/// Some rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// Of traces.
    Spans(Vec<Span>),
    /// Of logs.
    Logs(Vec<LogRecord>),
    /// Of metrics, those of a series together.
    Points(Vec<(Series, Vec<DataPoint>)>),
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exported {
    /// Rows given.
    pub rows: u64,
    /// What did not read, and whose rows are missing.
    pub damaged: Vec<String>,
}

/// Gives every row of a selection to `take`. `keys` say by what rows of the log are correlated, where
/// the selection asks for that.
pub fn export(
    env: &Env,
    dir: &Path,
    decoder: &dyn Decode,
    keys: &CorrelationKeys,
    selection: &Selection,
    take: &mut dyn FnMut(Rows) -> io::Result<()>,
) -> Result<Exported, FolderError> {
    let filter = Compiled::new(&selection.filter, selection.signal)?;
    // Buckets are no rows. What is open stays readable, and is as of the moment from which on the log
    // is read: rows that are flushed later are in files that are not open.
    let wanted = |key: &PartitionKey| {
        let is_selected = key.tenant == selection.tenant && key.signal == selection.signal;
        is_selected && key.resolution.is_none()
    };
    let folder = Folder::open(env, dir, &wanted)?;
    let mut work = Work {
        selection,
        filter,
        interned: Arc::default(),
        take,
        done: Exported::default(),
    };
    let (tenant, signal) = (selection.tenant.as_str(), selection.signal.name());
    let below = format!("store/{tenant}/{signal}/");
    for stray in folder.strays {
        if stray.costs_rows && stray.path.starts_with(&below) {
            let damage = format!("{}: {}", stray.path, stray.what);
            work.done.damaged.push(damage);
        }
    }
    for partition in folder.partitions {
        for file in partition.files {
            match file.blocks {
                Ok(blocks) => {
                    let (name, blocks) = (file.name, Arc::new(blocks));
                    for ordinal in 0..blocks.blocks.len() {
                        let unit = Unit::Held {
                            file: blocks.clone(),
                            ordinal,
                        };
                        work.unit(&unit, || format!("{name}.blocks, block {ordinal}"))?;
                    }
                }
                Err(error) => work
                    .done
                    .damaged
                    .push(format!("{}.blocks: {error}", file.name)),
            }
        }
    }
    if let Some(log) = folder.wal {
        work.log(log, keys, decoder)?;
    }
    Ok(work.done)
}

struct Work<'a> {
    selection: &'a Selection,
    filter: Compiled,
    interned: Arc<Interned>,
    take: &'a mut dyn FnMut(Rows) -> io::Result<()>,
    done: Exported,
}

impl Work<'_> {
    /// The rows of the log that match.
    fn log(
        &mut self,
        log: journal::Log,
        keys: &CorrelationKeys,
        decoder: &dyn Decode,
    ) -> Result<(), FolderError> {
        let mut failure = None;
        log.each(&mut |item| {
            let done = match item {
                journal::Item::Record { position, payload } => {
                    let place = || format!("wal, record at {position}");
                    match self.record(&payload, keys, decoder, &place) {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(error) => ControlFlow::Break(error),
                    }
                }
                journal::Item::Torn { .. } => ControlFlow::Continue(()),
                other => {
                    self.done.damaged.push(format!("wal: {other:?}"));
                    ControlFlow::Continue(())
                }
            };
            match done {
                ControlFlow::Continue(()) => true,
                ControlFlow::Break(error) => {
                    failure = Some(error);
                    false
                }
            }
        })?;
        failure.map_or(Ok(()), Err)
    }

    fn record(
        &mut self,
        payload: &bytes::Bytes,
        keys: &CorrelationKeys,
        decoder: &dyn Decode,
        place: &dyn Fn() -> String,
    ) -> Result<(), FolderError> {
        let record = match read_record(payload) {
            Some(Logged::Batch(record)) => record,
            Some(Logged::Checkpoint(_)) => return Ok(()),
            None => {
                self.done.damaged.push(format!("{}: not a batch", place()));
                return Ok(());
            }
        };
        let batch = &record.batch;
        if batch.tenant != self.selection.tenant || batch.signal != self.selection.signal {
            return Ok(());
        }
        match chunk_of(&record, keys, decoder) {
            Ok(chunk) if batch.signal == Signal::Metrics => {
                let head = PointHead::default();
                head.append(&chunk);
                self.unit(&Unit::Points(Arc::new(head)), place)
            }
            Ok(chunk) => self.unit(&Unit::Chunk(Arc::new(chunk)), place),
            Err(error) => {
                self.done.damaged.push(format!("{}: {error}", place()));
                Ok(())
            }
        }
    }

    /// The rows of a unit that match.
    fn unit(&mut self, unit: &Unit, place: impl Fn() -> String) -> Result<(), FolderError> {
        let (min_time, _, max_end) = unit.times();
        if !self.selection.range.overlaps(min_time, max_end) {
            return Ok(());
        }
        let opened = match unit {
            Unit::Points(head) => whole(head, &self.interned),
            unit => unit.open(&self.interned),
        };
        let found = opened.and_then(|opened| {
            let mask = in_range(opened.table(), unit, self.selection)?;
            let mask = self.filter.evaluate(opened.table(), mask)?;
            Ok((opened, mask))
        });
        let read = match found {
            Ok((opened, mask)) => self.rows(&opened, &mask)?,
            Err(damage) => Err(damage),
        };
        if let Err(damage) = read {
            self.done.damaged.push(format!("{}: {damage}", place()));
        }
        Ok(())
    }

    /// Reads the rows and gives them on.
    fn rows(&mut self, opened: &Opened, mask: &Mask) -> Result<Result<(), Damage>, FolderError> {
        let rows: Vec<usize> = mask.iter().collect();
        if self.selection.signal == Signal::Metrics {
            return match points_of(opened, &rows) {
                Ok(points) => self.points(points).map(Ok),
                Err(damage) => Ok(Err(damage)),
            };
        }
        for rows in rows.chunks(ROWS_READ) {
            let table = opened.table();
            let parts: Result<Vec<Rows>, Damage> = if self.selection.signal == Signal::Traces {
                table
                    .spans(rows, Columns::Full)
                    .map(|list| parts(list, Rows::Spans))
            } else {
                table.logs(rows).map(|list| parts(list, Rows::Logs))
            };
            match parts {
                Ok(parts) => {
                    for part in parts {
                        self.give(part)?;
                    }
                }
                Err(damage) => return Ok(Err(damage)),
            }
        }
        Ok(Ok(()))
    }

    fn points(&mut self, points: Vec<(Series, DataPoint)>) -> Result<(), FolderError> {
        let mut part: Vec<(Series, Vec<DataPoint>)> = Vec::new();
        let mut count = 0;
        for (series, point) in points {
            match part.last_mut() {
                Some((last, list)) if *last == series => list.push(point),
                _ => part.push((series, vec![point])),
            }
            count += 1;
            if count == ROWS_MAX {
                self.give(Rows::Points(std::mem::take(&mut part)))?;
                count = 0;
            }
        }
        if part.is_empty() {
            return Ok(());
        }
        self.give(Rows::Points(part))
    }

    fn give(&mut self, rows: Rows) -> Result<(), FolderError> {
        let count = match &rows {
            Rows::Spans(list) => list.len(),
            Rows::Logs(list) => list.len(),
            Rows::Points(list) => list.iter().map(|(_, points)| points.len()).sum(),
        };
        (self.take)(rows).map_err(FolderError::Output)?;
        self.done.rows += count as u64;
        Ok(())
    }
}

/// Cuts a list into parts.
fn parts<T>(list: Vec<T>, wrap: fn(Vec<T>) -> Rows) -> Vec<Rows> {
    let mut list = list.into_iter().peekable();
    let mut parts = Vec::new();
    while list.peek().is_some() {
        parts.push(wrap(list.by_ref().take(ROWS_MAX).collect()));
    }
    parts
}

/// All points of a head, with their values.
fn whole(head: &PointHead, interned: &Arc<Interned>) -> Result<Opened, Damage> {
    let block = head.whole_block();
    let block = block.map_err(|error| Damage(error.to_string()))?;
    let table = BlockTable::open(Signal::Metrics, block.into(), interned.clone())?;
    Ok(Opened::Block(Box::new(table)))
}

/// The points in these rows, in ascending order.
fn points_of(opened: &Opened, rows: &[usize]) -> Result<Vec<(Series, DataPoint)>, Damage> {
    let Opened::Block(block) = opened else {
        return Ok(Vec::new());
    };
    let series = block.series()?;
    let mut wanted = rows.iter().copied().peekable();
    let mut found = Vec::with_capacity(rows.len());
    for (row, (index, point)) in block.points()?.into_iter().enumerate() {
        if wanted.next_if_eq(&row).is_some() {
            let series = series
                .get(index)
                .ok_or_else(|| Damage("a point of a series that is not there".to_owned()))?;
            found.push((series.clone(), point));
        }
    }
    Ok(found)
}
