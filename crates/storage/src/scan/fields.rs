//! Names of fields and their values, with counts.
//!
//! Without a condition, files that lie wholly inside the range answer from their table of field
//! values; everything else is counted row by row. A field or a value that a table does not list
//! makes its file be counted row by row too, so that counts are exact.

use rustc_hash::FxHashMap;

use super::tally::Tally;
use super::{Scan, Stop, Unit};
use crate::block::Kind;
use crate::eval::Compiled;
use crate::fields_table::FieldsTable;
use crate::filter::{Field, Filter, Level};
use crate::message::{FieldCount, Reply, Selection, ValueCount};
use crate::partition::FileEntry;
use crate::table::{Damage, Mask, Table, shown};
use crate::terms::table_name;

/// The intrinsic fields, by the name they have in a table of field values.
const INTRINSICS: [(&str, Field); 6] = [
    ("service", Field::Service),
    ("name", Field::Name),
    ("kind", Field::Kind),
    ("status", Field::Status),
    ("level", Field::Level),
    ("event.name", Field::EventName),
];

/// The file of a unit, where its table of field values may answer for it: no condition, all rows
/// of the file inside the range.
fn whole_file<'u>(selection: &Selection, unit: &'u Unit) -> Option<&'u FileEntry> {
    match unit {
        Unit::Block { file, .. } if selection.filter == Filter::All => {
            file.is_within(selection.range).then_some(file)
        }
        _ => None,
    }
}

/// Names in one answer at most.
const NAMES_MAX: usize = 50_000;

/// A limit ends the work with what was found; anything else ends the answer.
fn limited(worked: Result<(), Stop>) -> Result<Result<(), Stop>, Stop> {
    match worked {
        Ok(()) | Err(Stop::Limit) => Ok(worked),
        Err(stop) => Err(stop),
    }
}

pub(super) fn names(scan: &Scan<'_>, selection: &Selection) -> Result<(), Stop> {
    let filter = Compiled::new(&selection.filter, selection.signal)?;
    let units = scan.units(selection);
    let mut tally = Tally::new(scan);
    let mut tables: FxHashMap<u64, bool> = FxHashMap::default();
    let worked = units.iter().try_for_each(|unit| {
        scan.check()?;
        if selection.filter == Filter::All {
            scan.name_damaged(unit);
        }
        let from_table = whole_file(selection, unit).is_some_and(|file| {
            let known = tables.entry(file.serial);
            *known.or_insert_with(|| from_table(file, &mut tally))
        });
        if !from_table && let Some((opened, mask)) = scan.select(unit, selection, &filter)? {
            scan.undamaged(unit, count(opened.table(), &mask, &mut tally));
        }
        Ok(())
    });
    let stopped = limited(worked)?;
    let largest = tally.largest(NAMES_MAX);
    largest.note(scan, "fields", NAMES_MAX);
    let list = largest.groups.into_iter().filter_map(|group| {
        let [name, kind] = <[String; 2]>::try_from(group.key).ok()?;
        let (field, count) = (named(&name)?, group.rows);
        Some(FieldCount { field, kind, count })
    });
    let mut list: Vec<FieldCount> = list.collect();
    list.sort_by(|a, b| {
        b.count
            .cmp(&a.count)
            .then_with(|| format!("{:?}", a.field).cmp(&format!("{:?}", b.field)))
    });
    scan.reply(Reply::Fields(list))?;
    stopped
}

/// Counts rows that have a field of a type.
fn add_name(tally: &mut Tally, name: &str, kind: &str, rows: u64) {
    if rows > 0 {
        let place = tally.place(&[&*shown(name), kind]);
        tally.add(place, 0, rows);
    }
}

/// The field of this name in a table of field values.
fn named(name: &str) -> Option<Field> {
    match name.split_once(':') {
        Some(("attr", key)) => Some(attribute(Level::Row, key)),
        Some(("resource", key)) => Some(attribute(Level::Resource, key)),
        Some(("scope", key)) => Some(attribute(Level::Scope, key)),
        _ => {
            let intrinsic = INTRINSICS.iter().find(|(known, _)| *known == name);
            intrinsic.map(|(_, field)| field.clone())
        }
    }
}

/// The table of field values of a file, if there is no field that it left out.
fn with_table<T>(file: &FileEntry, look: impl FnOnce(&FieldsTable) -> Option<T>) -> Option<T> {
    let file = file.open().ok()?;
    let table = file.fields()?;
    (table.unlisted_field_rows() == 0).then(|| look(table))?
}

/// Whether the table of a file tells the types of all fields apart: it has one for bytes, arrays,
/// key-value lists and empty values together.
fn names_types(table: &FieldsTable) -> bool {
    !table.fields().iter().any(|info| info.kind == Kind::Bytes)
}

/// Adds the fields of rows.
fn count(table: &dyn Table, rows: &Mask, tally: &mut Tally) -> Result<(), Damage> {
    for (field, kind, count) in table.fields(rows)? {
        if let Field::Attribute { level, key } = field {
            add_name(tally, &table_name(level, &key), kind, count);
        }
    }
    for (name, field) in &INTRINSICS {
        let mut count = 0;
        table.visit(field, rows, &mut |_, _| count += 1)?;
        add_name(tally, name, "string", count);
    }
    Ok(())
}

/// Adds the fields of a whole file, if its table can tell.
fn from_table(file: &FileEntry, tally: &mut Tally) -> bool {
    let add = |table: &FieldsTable| names_types(table).then(|| add_fields(table, tally));
    with_table(file, add).is_some()
}

fn add_fields(table: &FieldsTable, tally: &mut Tally) {
    for info in table.fields() {
        let is_intrinsic = INTRINSICS.iter().any(|(name, _)| **name == *info.name);
        let kind = match info.kind {
            // Named as text is, whatever it is in the table.
            _ if is_intrinsic => "string",
            Kind::Text => "string",
            Kind::Int | Kind::UInt => "int",
            Kind::Double => "double",
            Kind::Bool => "bool",
            Kind::Bytes | Kind::Fixed8 | Kind::Fixed16 => "bytes",
        };
        add_name(tally, &info.name, kind, info.rows);
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
fn listed(table: &FieldsTable, field: &Field) -> Option<Vec<(String, u64)>> {
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
    let mut tables: FxHashMap<u64, bool> = FxHashMap::default();
    let mut tally = Tally::new(scan);
    let worked = units.iter().try_for_each(|unit| {
        scan.check()?;
        if selection.filter == Filter::All {
            scan.name_damaged(unit);
        }
        let from_table = whole_file(selection, unit).is_some_and(|file| {
            *tables.entry(file.serial).or_insert_with(|| {
                let values = with_table(file, |table| listed(table, field));
                for (value, rows) in values.iter().flatten() {
                    add_value(&mut tally, value, prefix, *rows);
                }
                values.is_some()
            })
        });
        if !from_table && let Some((opened, mask)) = scan.select(unit, selection, &filter)? {
            let counted = opened.table().visit(field, &mask, &mut |_, cell| {
                add_value(&mut tally, &cell.text(), prefix, 1);
            });
            scan.undamaged(unit, counted);
        }
        Ok(())
    });
    let stopped = limited(worked)?;
    let largest = tally.largest(limit);
    largest.note(scan, "values", limit);
    let list = largest.groups.into_iter().filter_map(|group| {
        let value = group.key.into_iter().next()?;
        let count = group.rows;
        Some(ValueCount { value, count })
    });
    let mut list: Vec<ValueCount> = list.collect();
    list.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    scan.reply(Reply::Values(list))?;
    stopped
}

/// Counts rows of a value, if it begins as those asked for.
fn add_value(tally: &mut Tally, value: &str, prefix: &str, rows: u64) {
    if rows > 0 && value.starts_with(prefix) {
        let place = tally.place(&[shown(value)]);
        tally.add(place, 0, rows);
    }
}
