//! The directory of a blocks file, and each of its blocks.

use std::collections::HashSet;
use std::sync::Arc;

use model::Signal;

use super::{About, Severity};
use crate::layout::{BlockTable, Interned};
use crate::message::Columns;
use crate::partition::BlockFile;
use crate::table::{Damage, Table};

/// Blocks follow each other without gaps, up to the directory.
pub(super) fn check_directory(file: &BlockFile, file_bytes: u64, about: &mut About<'_>) {
    let mut end = 0;
    for (ordinal, meta) in file.blocks.iter().enumerate() {
        if meta.offset != end {
            let what = format!(
                "it begins at {}, the block before ends at {end}",
                meta.offset
            );
            let costs = "nothing while it reads";
            about.add(Severity::Damage, ".blocks", Some(ordinal), what, costs);
        }
        end = meta.offset.saturating_add(u64::from(meta.length));
    }
    let expected = end.saturating_add(file.directory_bytes());
    if file_bytes != expected {
        let what = format!("the file has {file_bytes} bytes, its blocks and directory {expected}");
        about.add(Severity::Damage, ".blocks", None, what, "nothing");
    }
}

pub(super) fn unreadable(file: &BlockFile, ordinal: usize, what: &str, about: &mut About<'_>) {
    let rows = file.blocks[ordinal].rows;
    let costs = format!("up to {rows} rows are missing from answers that need what is damaged");
    about.add(Severity::Loss, ".blocks", Some(ordinal), what, costs);
}

/// Decodes a block whole. Nothing where it does not read.
pub(super) fn check(
    file: &BlockFile,
    ordinal: usize,
    signal: Signal,
    interned: &Arc<Interned>,
    about: &mut About<'_>,
) -> Option<BlockTable> {
    about.report.checked.blocks += 1;
    let opened = BlockTable::open(signal, file.block(ordinal), interned.clone());
    let table = match opened {
        Ok(table) => table,
        Err(damage) => {
            unreadable(file, ordinal, &damage.0, about);
            return None;
        }
    };
    let mut sound = true;
    for column in table.reader().columns() {
        about.report.checked.columns += 1;
        if let Err(error) = table.reader().check(&column) {
            sound = false;
            unreadable(file, ordinal, &error.to_string(), about);
        }
    }
    if !sound {
        return None;
    }
    if let Err(damage) = rows(&table, signal) {
        unreadable(file, ordinal, &damage.0, about);
        return None;
    }
    about.report.checked.rows += table.rows() as u64;
    if let Err(damage) = against_directory(file, ordinal, &table, about) {
        unreadable(file, ordinal, &damage.0, about);
        return None;
    }
    Some(table)
}

/// Builds every row.
fn rows(table: &BlockTable, signal: Signal) -> Result<(), Damage> {
    let all: Vec<usize> = (0..table.rows()).collect();
    let built = match signal {
        Signal::Traces => table.spans(&all, Columns::Full)?.len(),
        Signal::Logs => table.logs(&all)?.len(),
        Signal::Metrics => {
            let points = table.points()?;
            runs(
                points.iter().map(|(series, _)| *series),
                table.series()?.len(),
            )?;
            points.len()
        }
    };
    if built == all.len() {
        Ok(())
    } else {
        let rows = all.len();
        Err(Damage(format!("{built} of its {rows} rows can be built")))
    }
}

/// The points of a series are one run, and their series is there.
fn runs(series: impl Iterator<Item = usize>, count: usize) -> Result<(), Damage> {
    let mut seen = HashSet::new();
    let mut last = None;
    for index in series {
        if index >= count {
            return Err(Damage("a point of a series that is not there".to_owned()));
        }
        if last != Some(index) && !seen.insert(index) {
            return Err(Damage("points of a series are not one run".to_owned()));
        }
        last = Some(index);
    }
    Ok(())
}

/// What the file's directory says of the block.
fn against_directory(
    file: &BlockFile,
    ordinal: usize,
    table: &BlockTable,
    about: &mut About<'_>,
) -> Result<(), Damage> {
    let meta = &file.blocks[ordinal];
    let (times, ends) = (table.times()?, table.ends()?);
    let found = (
        table.rows() as u64,
        times.iter().min().copied().unwrap_or(u64::MAX),
        times.iter().max().copied().unwrap_or(0),
        ends.iter().max().copied().unwrap_or(0),
    );
    let said = (
        u64::from(meta.rows),
        meta.min_time,
        meta.max_time,
        meta.max_end,
    );
    if found != said {
        let what = format!(
            "the directory says (rows, smallest time, largest time, largest end) {said:?}, its \
             rows say {found:?}"
        );
        let costs = "rows outside of the times that are said are missing from answers";
        about.add(Severity::Loss, ".blocks", Some(ordinal), what, costs);
    }
    Ok(())
}
