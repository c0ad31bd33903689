//! Names of fields and their values, with counts.
//!
//! Without a condition, files that lie wholly inside the range answer from their table of field
//! values; everything else is counted row by row. A value that a table does not list makes its
//! file be counted row by row too, so that counts are exact.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Scan, Stop, Unit};
use crate::block::Kind;
use crate::eval::Compiled;
use crate::filter::{Field, Filter, Level};
use crate::message::{FieldCount, Reply, Selection, ValueCount};
use crate::partition::BlockFile;
use crate::terms::table_name;

/// Distinct values held while counting; more are cut.
const VALUES_MAX: usize = 1_000_000;

/// The intrinsic fields, by the name they have in a table of field values.
const INTRINSICS: [(&str, Field); 6] = [
    ("service", Field::Service),
    ("name", Field::Name),
    ("kind", Field::Kind),
    ("status", Field::Status),
    ("level", Field::Level),
    ("event.name", Field::EventName),
];

/// Flushes whose tables of field values may answer: no condition, all rows inside the range.
fn whole_files(selection: &Selection, units: &[Unit]) -> FxHashSet<*const BlockFile> {
    let mut files = FxHashSet::default();
    if selection.filter != Filter::All {
        return files;
    }
    for unit in units {
        if let Unit::Block { file, .. } = unit {
            let inside = file.blocks.iter().all(|block| {
                selection.range.contains(block.min_time)
                    && selection.range.contains(block.max_time.max(block.max_end))
            });
            if inside && file.fields.is_some() {
                files.insert(std::ptr::from_ref::<BlockFile>(file));
            }
        }
    }
    files
}

fn file_of(unit: &Unit) -> Option<*const BlockFile> {
    match unit {
        Unit::Block { file, .. } => Some(std::ptr::from_ref::<BlockFile>(file)),
        Unit::Chunk(_) | Unit::Points(_) => None,
    }
}

pub(super) fn names(scan: &Scan<'_>, selection: &Selection) -> Result<(), Stop> {
    let filter = Compiled::new(&selection.filter, selection.signal)?;
    let units = scan.units(selection);
    let whole = whole_files(selection, &units);
    let mut counts: FxHashMap<(Field, String), u64> = FxHashMap::default();
    let mut answered: FxHashSet<*const BlockFile> = FxHashSet::default();
    let mut stopped = Ok(());
    for unit in &units {
        if let (Some(at), Unit::Block { file, .. }) = (file_of(unit), unit)
            && whole.contains(&at)
            && names_types(file)
        {
            if answered.insert(at) {
                from_table(file, &mut counts);
            }
            continue;
        }
        match scan.select(unit, selection, &filter) {
            Ok(None) => {}
            Ok(Some((opened, mask))) => {
                let counted = opened.table().fields(&mask).and_then(|fields| {
                    for (field, kind, count) in fields {
                        *counts.entry((field, kind.to_owned())).or_default() += count;
                    }
                    for (_, field) in &INTRINSICS {
                        let mut count = 0;
                        opened.table().visit(field, &mask, &mut |_, _| count += 1)?;
                        if count > 0 {
                            *counts
                                .entry((field.clone(), "string".to_owned()))
                                .or_default() += count;
                        }
                    }
                    Ok(())
                });
                scan.undamaged(counted);
            }
            Err(Stop::Limit) => {
                stopped = Err(Stop::Limit);
                break;
            }
            Err(other) => return Err(other),
        }
    }
    let mut list: Vec<FieldCount> = counts
        .into_iter()
        .map(|((field, kind), count)| FieldCount { field, kind, count })
        .collect();
    list.sort_by(|a, b| {
        b.count
            .cmp(&a.count)
            .then_with(|| format!("{:?}", a.field).cmp(&format!("{:?}", b.field)))
    });
    scan.reply(Reply::Fields(list))?;
    stopped
}

/// Whether the table of a file tells the types of all fields apart: it has one for bytes, arrays,
/// key-value lists and empty values together.
fn names_types(file: &BlockFile) -> bool {
    let one_of_these = |info: &crate::fields_table::FieldInfo| info.kind == Kind::Bytes;
    let table = file.fields.as_ref();
    table.is_some_and(|table| !table.fields().iter().any(one_of_these))
}

fn from_table(file: &BlockFile, counts: &mut FxHashMap<(Field, String), u64>) {
    let Some(table) = &file.fields else { return };
    for info in table.fields() {
        let kind = match info.kind {
            Kind::Text => "string",
            Kind::Int | Kind::UInt => "int",
            Kind::Double => "double",
            Kind::Bool => "bool",
            Kind::Bytes | Kind::Fixed8 | Kind::Fixed16 => "bytes",
        };
        let field = match info.name.split_once(':') {
            Some(("attr", key)) => attribute(Level::Row, key),
            Some(("resource", key)) => attribute(Level::Resource, key),
            Some(("scope", key)) => attribute(Level::Scope, key),
            _ => match INTRINSICS.iter().find(|(name, _)| **name == *info.name) {
                Some((_, field)) => {
                    *counts
                        .entry((field.clone(), "string".to_owned()))
                        .or_default() += info.rows;
                    continue;
                }
                None => continue,
            },
        };
        *counts.entry((field, kind.to_owned())).or_default() += info.rows;
    }
}

fn attribute(level: Level, key: &str) -> Field {
    Field::Attribute {
        level,
        key: key.to_owned(),
    }
}

/// Values of a field in a whole file, if its table lists every one of them. A field that exists
/// on several levels is counted row by row: which one a row shows depends on the row.
fn listed(file: &BlockFile, field: &Field) -> Option<Vec<(String, u64)>> {
    let table = file.fields.as_ref()?;
    let name = match field {
        Field::Attribute {
            level: Level::Any,
            key,
        } => {
            let mut names = [Level::Row, Level::Scope, Level::Resource]
                .map(|level| table_name(level, key))
                .into_iter()
                .filter(|name| !table.named(name).is_empty());
            match (names.next(), names.next()) {
                (None, _) => return Some(Vec::new()),
                (Some(name), None) => name,
                (Some(_), Some(_)) => return None,
            }
        }
        Field::Attribute {
            level: Level::Event | Level::Link,
            ..
        } => return None,
        Field::Attribute { level, key } => table_name(*level, key),
        other => INTRINSICS
            .iter()
            .find(|(_, field)| field == other)?
            .0
            .to_owned(),
    };
    let mut values = Vec::new();
    for info in table.named(&name) {
        if info.unlisted_rows > 0 {
            return None;
        }
        let list = table.values(info).ok()?;
        values.extend(list.into_iter().map(|value| (value.value, value.rows)));
    }
    Some(values)
}

pub(super) fn values(
    scan: &Scan<'_>,
    selection: &Selection,
    field: &Field,
    prefix: &str,
    limit: usize,
) -> Result<(), Stop> {
    let filter = Compiled::new(&selection.filter, selection.signal)?;
    let units = scan.units(selection);
    let whole = whole_files(selection, &units);
    let mut tables: FxHashMap<*const BlockFile, bool> = FxHashMap::default();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut stopped = Ok(());
    for unit in &units {
        if let (Some(at), Unit::Block { file, .. }) = (file_of(unit), unit)
            && whole.contains(&at)
        {
            let from_table = *tables
                .entry(at)
                .or_insert_with(|| match listed(file, field) {
                    Some(values) => {
                        for (value, rows) in values {
                            if value.starts_with(prefix) {
                                *counts.entry(value).or_default() += rows;
                            }
                        }
                        true
                    }
                    None => false,
                });
            if from_table {
                continue;
            }
        }
        match scan.select(unit, selection, &filter) {
            Ok(None) => {}
            Ok(Some((opened, mask))) => {
                let counted = opened.table().visit(field, &mask, &mut |_, cell| {
                    let text = cell.text();
                    if !text.starts_with(prefix) {
                        return;
                    }
                    match counts.get_mut(&*text) {
                        Some(count) => *count += 1,
                        None => drop(counts.insert(text.into_owned(), 1)),
                    }
                });
                scan.undamaged(counted);
            }
            Err(Stop::Limit) => {
                stopped = Err(Stop::Limit);
                break;
            }
            Err(other) => return Err(other),
        }
        if counts.len() > VALUES_MAX {
            scan.cut(
                "values",
                VALUES_MAX,
                "narrow the range or give a longer prefix",
            );
            stopped = Err(Stop::Limit);
            break;
        }
    }
    let mut list: Vec<ValueCount> = counts
        .into_iter()
        .map(|(value, count)| ValueCount { value, count })
        .collect();
    list.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    if list.len() > limit {
        scan.cut("values", limit, "raise the limit or give a longer prefix");
        list.truncate(limit);
    }
    scan.reply(Reply::Values(list))?;
    stopped
}
