//! The fields table of a file, against counts taken anew.

use std::collections::BTreeMap;

use model::{Signal, ValueRef};
use rustc_hash::FxHashMap;

use super::{About, Severity};
use crate::block::Kind;
use crate::fields_table::{Distinct, FieldsTable, FieldsTableError, MAX_VALUE_BYTES};
use crate::filter::{Field, Level};
use crate::layout::BlockTable;
use crate::partition::BlockFile;
use crate::table::{Cell, Damage, Mask, Table, Texts};
use crate::terms::table_name;

/// Fields that are not in the table and followed all the same.
const MISSING_MAX: usize = 1_000;
/// Wrong fields that are named.
const NAMED_MAX: usize = 5;

/// What the table says of a field, and what there is.
struct Counted {
    rows: u64,
    exact: bool,
    found_rows: u64,
    /// Rows with values of fields that are no attributes which are too long to be listed. Earlier
    /// builds did not count them.
    long_rows: u64,
    /// Said and found.
    values: FxHashMap<Box<str>, (u64, u64)>,
}

/// Counts of one file.
#[derive(Default)]
pub(super) struct Tally {
    /// Whether there is a table to compare with.
    readable: bool,
    /// Rows are missing, so the counts say nothing.
    incomplete: bool,
    fields: FxHashMap<(Box<str>, Kind), Counted>,
    missing: BTreeMap<String, u64>,
    /// The table left fields out.
    capped: bool,
}

impl Tally {
    pub(super) fn new(file: &BlockFile, about: &mut About<'_>) -> Self {
        let mut this = Self::default();
        let costs = "time: values and fields are counted from rows";
        let Some(table) = file.fields() else {
            let what = "it is missing or does not read";
            about.add(Severity::Damage, ".fields", None, what, costs);
            return this;
        };
        match this.load(table) {
            Ok(()) => this.readable = true,
            Err(error) => about.add(Severity::Damage, ".fields", None, error.to_string(), costs),
        }
        this
    }

    fn load(&mut self, table: &FieldsTable) -> Result<(), FieldsTableError> {
        self.capped = table.unlisted_field_rows() > 0;
        for info in table.fields() {
            let values = table.values(info)?.into_iter();
            let values = values.map(|value| (value.value.into_boxed_str(), (value.rows, 0)));
            let counted = Counted {
                rows: info.rows,
                exact: matches!(info.distinct, Distinct::Exactly(_)),
                found_rows: 0,
                long_rows: 0,
                values: values.collect(),
            };
            self.fields.insert((info.name.clone(), info.kind), counted);
        }
        Ok(())
    }

    pub(super) fn incomplete(&mut self) {
        self.incomplete = true;
    }

    /// Counts the rows of a block.
    pub(super) fn count(&mut self, table: &BlockTable, signal: Signal) -> Result<(), Damage> {
        if !self.readable || self.incomplete {
            return Ok(());
        }
        let all = Mask::all(table.rows());
        for level in [Level::Row, Level::Scope, Level::Resource] {
            for key in table.keys(level)? {
                let mut field = OfField::new(self, table_name(level, &key));
                let attribute = Field::Attribute { level, key };
                table.visit(&attribute, &all, &mut |_, cell| field.cell(cell))?;
            }
        }
        self.texts(table, &Field::Service, "service", true)?;
        match signal {
            Signal::Traces => {
                self.texts(table, &Field::Name, "name", true)?;
                self.texts(table, &Field::Kind, "kind", false)?;
                self.texts(table, &Field::Status, "status", false)?;
            }
            Signal::Logs => self.texts(table, &Field::Level, "level", false)?,
            Signal::Metrics => self.texts(table, &Field::Name, "name", true)?,
        }
        if signal != Signal::Metrics {
            let mut field = OfField::intrinsic(self, "event.name");
            let names = Field::EventName;
            table.visit(&names, &all, &mut |_, cell| field.cell(cell))?;
        }
        Ok(())
    }

    /// Counts a field of one text per row. An empty one counts where every row has the field.
    fn texts(
        &mut self,
        table: &BlockTable,
        field: &Field,
        name: &str,
        with_empty: bool,
    ) -> Result<(), Damage> {
        let all = Mask::all(table.rows());
        let grouped = table.group(field, &all, Texts::Whole)?;
        let mut rows = vec![0u64; grouped.texts.len()];
        for code in &grouped.codes {
            rows[*code as usize] += 1;
        }
        let mut field = OfField::intrinsic(self, name);
        for (text, rows) in grouped.texts.iter().zip(rows) {
            if rows > 0 && (with_empty || !text.is_empty()) {
                let unnamed = matches!(name, "kind" | "status") && text.parse::<i64>().is_ok();
                let kind = if unnamed { Kind::Int } else { Kind::Text };
                field.add(kind, text, rows);
            }
        }
        Ok(())
    }

    /// Says what is wrong.
    pub(super) fn finish(self, about: &mut About<'_>) {
        if !self.readable || self.incomplete {
            return;
        }
        let mut wrong = Vec::new();
        for ((name, _), counted) in &self.fields {
            let differs = |said: u64, found: u64| said != found && (counted.exact || said > found);
            let mut values = counted.values.iter();
            let value = values.find(|(_, (said, found))| differs(*said, *found));
            let may_be = counted.found_rows..=counted.found_rows + counted.long_rows;
            if !may_be.contains(&counted.rows) {
                let (said, found) = (counted.rows, counted.found_rows);
                wrong.push(format!("{name} of {said} rows, there are {found}"));
            } else if let Some((value, (said, found))) = value {
                wrong.push(format!("{name}:{value} of {said} rows, there are {found}"));
            }
        }
        if !self.capped {
            let missing = self.missing.iter();
            wrong.extend(missing.map(|(name, rows)| format!("{name} of {rows} rows not at all")));
        }
        if wrong.is_empty() {
            return;
        }
        wrong.sort_unstable();
        let count = wrong.len();
        wrong.truncate(NAMED_MAX);
        let what = format!("it has {count} fields wrong: {}", wrong.join("; "));
        let costs = "lists of fields and values show wrong counts";
        about.add(Severity::Loss, ".fields", None, what, costs);
    }
}

/// Counts for one field.
struct OfField<'a> {
    tally: &'a mut Tally,
    name: Box<str>,
    is_intrinsic: bool,
}

impl<'a> OfField<'a> {
    fn new(tally: &'a mut Tally, name: String) -> Self {
        Self {
            tally,
            name: name.into_boxed_str(),
            is_intrinsic: false,
        }
    }

    /// Of a field that is no attribute.
    fn intrinsic(tally: &'a mut Tally, name: &str) -> Self {
        Self {
            is_intrinsic: true,
            ..Self::new(tally, name.to_owned())
        }
    }

    fn cell(&mut self, cell: Cell<'_>) {
        let Cell::Value(value) = cell else {
            return;
        };
        match value {
            ValueRef::Str(text) => self.add(Kind::Text, text, 1),
            ValueRef::Bool(flag) => self.add(Kind::Bool, if flag { "true" } else { "false" }, 1),
            ValueRef::Int(int) => self.add(Kind::Int, &int.to_string(), 1),
            ValueRef::Double(_) => self.add(Kind::Double, "", 1),
            _ => self.add(Kind::Bytes, "", 1),
        }
    }

    fn add(&mut self, kind: Kind, value: &str, rows: u64) {
        let key = (std::mem::take(&mut self.name), kind);
        let is_long = self.is_intrinsic && value.len() > MAX_VALUE_BYTES;
        match self.tally.fields.get_mut(&key) {
            Some(counted) if is_long => counted.long_rows += rows,
            None if is_long => {}
            Some(counted) => {
                counted.found_rows += rows;
                if let Some((_, found)) = counted.values.get_mut(value) {
                    *found += rows;
                }
            }
            None => {
                let missing = &mut self.tally.missing;
                if missing.len() < MISSING_MAX || missing.contains_key(&*key.0) {
                    *missing.entry(key.0.to_string()).or_default() += rows;
                }
            }
        }
        self.name = key.0;
    }
}
