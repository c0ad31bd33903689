//! Collects the terms of blocks, and the values of fields, while blocks are written.
//!
//! It is shown whole columns with their distinct values, so that a value is hashed once per
//! block however many rows have it.

use std::collections::BTreeMap;

use model::{Value, ValueRef};
use rustc_hash::FxHashMap;

use super::{Of, seed, term, value_term, word_term};
use crate::block::{Distinct, Kind, distinct_u64};
use crate::fields_table::{
    self, ATTRIBUTES, FieldsTableWriter, MAX_LISTED_VALUES, MAX_VALUE_BYTES, MAX_VALUES,
};
use crate::filter::Level;
use crate::table::visible;
use crate::words;

/// A key whose integers take more distinct values in a block is marked as unindexed.
const INTEGERS_PER_BLOCK_MAX: usize = 256;
/// Once [`MAX_VALUES`] values of attributes of rows are counted by themselves, no more of each than
/// these are.
const VALUES_PER_FIELD_FEW: usize = 32;
/// Slots of the filter that keeps most repeated terms out of the list.
const RECENT: usize = 4096;

/// The values of one attribute column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column<'c, 'a> {
    Text(&'c [&'a str], &'c Distinct),
    Int(&'c [i64]),
    Bool(&'c [bool]),
    /// This many doubles.
    Double(usize),
    /// This many values that are bytes, nested, or empty.
    Other(usize),
}

/// Collects the terms of one block after the other, and the field values of the file they go to.
pub(crate) struct Collector<'a> {
    terms: Vec<u64>,
    /// Terms seen lately, by their low bits. Rows of a block repeat few terms many times.
    recent: Vec<u64>,
    fields: FxHashMap<(Level, &'a str, Kind), Values<'a>>,
    /// Fields of rows that are no attributes. Of kinds and statuses those are numbers that have no
    /// name.
    intrinsics: FxHashMap<(&'static str, Kind), Values<'a>>,
    /// Values of attributes of rows that are counted by themselves.
    counted: usize,
}

/// Values of one field so far.
#[derive(Default)]
struct Values<'a> {
    counts: FxHashMap<&'a str, u64>,
    numbers: FxHashMap<i64, u64>,
    unlisted: u64,
}

impl<'a> Values<'a> {
    /// Whether one more is counted by itself, which it is then.
    fn follows(&self, counted: &mut usize) -> bool {
        let own = self.counts.len() + self.numbers.len();
        let most = match *counted {
            ..MAX_VALUES => MAX_LISTED_VALUES,
            _ => VALUES_PER_FIELD_FEW,
        };
        *counted += usize::from(own < most);
        own < most
    }

    fn text(&mut self, text: &'a str, rows: u64, counted: &mut usize) {
        if text.len() > MAX_VALUE_BYTES {
            self.unlisted += rows;
        } else if let Some(count) = self.counts.get_mut(text) {
            *count += rows;
        } else if self.follows(counted) {
            self.counts.insert(text, rows);
        } else {
            self.unlisted += rows;
        }
    }

    fn number(&mut self, number: i64, rows: u64, counted: &mut usize) {
        if let Some(count) = self.numbers.get_mut(&number) {
            *count += rows;
        } else if self.follows(counted) {
            self.numbers.insert(number, rows);
        } else {
            self.unlisted += rows;
        }
    }
}

impl<'a> Collector<'a> {
    pub(crate) fn new() -> Self {
        Self {
            terms: Vec::new(),
            recent: vec![0; RECENT],
            fields: FxHashMap::default(),
            intrinsics: FxHashMap::default(),
            counted: 0,
        }
    }

    /// The terms of the block whose columns were shown since the last call.
    pub(crate) fn take_terms(&mut self) -> Vec<u64> {
        self.recent.fill(0);
        let mut terms = std::mem::take(&mut self.terms);
        terms.sort_unstable();
        terms.dedup();
        terms
    }

    fn push(&mut self, term: u64) {
        let slot = &mut self.recent[term as usize % RECENT];
        if *slot != term {
            *slot = term;
            self.terms.push(term);
        }
    }

    /// A column of attributes of rows, events or links. `hidden` are positions of values that
    /// queries do not see, because the row names the key again.
    pub(crate) fn attribute(
        &mut self,
        level: Level,
        key: &'a str,
        column: Column<'_, 'a>,
        hidden: &[u32],
    ) {
        self.push(term(Of::Has, key, &[level as u8]));
        let of = Of::attribute(level);
        let seed = seed(of, key);
        match column {
            Column::Text(values, found) => {
                for first in &found.first {
                    let value = values[*first as usize];
                    self.push(value_term(seed, value.as_bytes()));
                }
            }
            Column::Int(values) => self.integers(of, key, values),
            Column::Bool(values) => {
                for flag in [true, false] {
                    if values.contains(&flag) {
                        self.push(value_term(seed, flag_text(flag).as_bytes()));
                    }
                }
            }
            Column::Double(_) | Column::Other(_) => {
                self.push(term(Of::Unindexed, key, &[of as u8]));
            }
        }
        if level == Level::Row {
            self.count(level, key, column, hidden);
        }
    }

    #[allow(clippy::cast_sign_loss, clippy::cast_possible_wrap)]
    fn integers(&mut self, of: Of, key: &str, values: &[i64]) {
        let words: Vec<u64> = values.iter().map(|value| *value as u64).collect();
        let Some((found, _)) = distinct_u64(&words, INTEGERS_PER_BLOCK_MAX) else {
            self.push(term(Of::Unindexed, key, &[of as u8]));
            return;
        };
        let seed = seed(of, key);
        for value in found {
            let text = (value as i64).to_string();
            self.push(value_term(seed, text.as_bytes()));
        }
    }

    /// Counts the values of a column, but for the hidden ones.
    fn count(&mut self, level: Level, key: &'a str, column: Column<'_, 'a>, hidden: &[u32]) {
        let kind = match column {
            Column::Text(..) => Kind::Text,
            Column::Int(_) => Kind::Int,
            Column::Bool(_) => Kind::Bool,
            Column::Double(_) => Kind::Double,
            Column::Other(_) => Kind::Bytes,
        };
        let counted = &mut self.counted;
        let field = self.fields.entry((level, key, kind)).or_default();
        match column {
            Column::Text(values, found) => {
                let mut rows = vec![0u64; found.first.len()];
                for code in &found.codes {
                    rows[*code as usize] += 1;
                }
                for at in hidden {
                    rows[found.codes[*at as usize] as usize] -= 1;
                }
                let seen = found.first.iter().zip(rows).filter(|(_, rows)| *rows > 0);
                seen.for_each(|(first, rows)| field.text(values[*first as usize], rows, counted));
            }
            Column::Int(values) => {
                let mut hidden = hidden.iter().peekable();
                for (at, value) in values.iter().enumerate() {
                    if hidden.next_if(|hidden| **hidden as usize == at).is_none() {
                        field.number(*value, 1, counted);
                    }
                }
            }
            Column::Bool(values) => {
                for flag in [true, false] {
                    let all = values.iter().filter(|value| **value == flag).count();
                    let unseen = hidden.iter().filter(|at| values[**at as usize] == flag);
                    let rows = (all - unseen.count()) as u64;
                    if rows > 0 {
                        field.text(flag_text(flag), rows, counted);
                    }
                }
            }
            Column::Double(count) | Column::Other(count) => {
                field.unlisted += (count - hidden.len()) as u64;
            }
        }
    }

    /// A resource or scope that this many rows have.
    pub(crate) fn shared(&mut self, level: Level, attributes: &'a [model::KeyValue], rows: u64) {
        for attribute in attributes {
            let key: &'a str = &attribute.key;
            self.push(term(Of::Has, key, &[level as u8]));
            let seed = seed(Of::Attribute, key);
            match &attribute.value {
                Value::Str(text) => self.push(value_term(seed, text.as_bytes())),
                Value::Bool(flag) => self.push(value_term(seed, flag_text(*flag).as_bytes())),
                Value::Int(int) => self.push(value_term(seed, int.to_string().as_bytes())),
                _ => self.push(term(Of::Unindexed, key, &[Of::Attribute as u8])),
            }
        }
        for attribute in visible(attributes) {
            let key: &'a str = &attribute.key;
            let kind = match &attribute.value {
                Value::Str(_) => Kind::Text,
                Value::Bool(_) => Kind::Bool,
                Value::Int(_) => Kind::Int,
                Value::Double(_) => Kind::Double,
                _ => Kind::Bytes,
            };
            // Rows share few of them.
            let counted = &mut 0;
            let field = self.fields.entry((level, key, kind)).or_default();
            match &attribute.value {
                Value::Str(text) => field.text(text, rows, counted),
                Value::Bool(flag) => field.text(flag_text(*flag), rows, counted),
                Value::Int(int) => field.number(*int, rows, counted),
                _ => field.unlisted += rows,
            }
        }
    }

    /// The service of a resource that this many rows have.
    pub(crate) fn service(&mut self, service: &'a str, rows: u64) {
        self.intrinsic("service", Of::Service, service, rows);
    }

    fn intrinsic(&mut self, name: &'static str, of: Of, value: &'a str, rows: u64) {
        self.push(term(of, "", value.as_bytes()));
        let field = self.intrinsics.entry((name, Kind::Text)).or_default();
        field.text(value, rows, &mut 0);
    }

    /// A number that has no name.
    fn unnamed(&mut self, name: &'static str, code: i32, rows: u64) {
        let field = self.intrinsics.entry((name, Kind::Int)).or_default();
        field.number(i64::from(code), rows, &mut 0);
    }

    /// The names of spans.
    pub(crate) fn span_names(&mut self, values: &[&'a str], found: &Distinct) {
        self.intrinsics("name", Of::Name, values, found);
        self.words(values, found);
    }

    /// The names of events of spans.
    pub(crate) fn event_names(&mut self, values: &[&'a str], found: &Distinct) {
        self.intrinsics("event.name", Of::EventName, values, found);
    }

    /// The event names of log records; those that are empty were not sent.
    pub(crate) fn record_event_names(&mut self, values: &[&'a str], found: &Distinct) {
        for (name, rows) in rows_of(values, found).filter(|(name, _)| !name.is_empty()) {
            self.intrinsic("event.name", Of::EventName, name, rows);
        }
    }

    fn intrinsics(&mut self, name: &'static str, of: Of, values: &[&'a str], found: &Distinct) {
        for (value, rows) in rows_of(values, found) {
            self.intrinsic(name, of, value, rows);
        }
    }

    /// Kinds of spans, as many as each stands for.
    pub(crate) fn span_kinds(&mut self, kinds: impl Iterator<Item = i32>) {
        for (kind, rows) in counted(kinds) {
            match model::SpanKind::from_code(kind) {
                Some(kind) => self.intrinsic("kind", Of::Kind, kind.name(), rows),
                None => self.unnamed("kind", kind, rows),
            }
        }
    }

    /// Status codes of spans.
    pub(crate) fn span_statuses(&mut self, codes: impl Iterator<Item = i32>) {
        for (code, rows) in counted(codes) {
            match model::StatusCode::from_code(code) {
                Some(status) => self.intrinsic("status", Of::Status, status.name(), rows),
                None => self.unnamed("status", code, rows),
            }
        }
    }

    /// Severities of log records that have one.
    pub(crate) fn severities(&mut self, severities: impl Iterator<Item = i32>) {
        for (severity, rows) in counted(severities) {
            if let Some(name) = model::log::level_name(severity) {
                self.intrinsic("level", Of::Level, name, rows);
            }
        }
    }

    /// The trace ids of rows, zero for none.
    pub(crate) fn trace_ids(&mut self, ids: &[[u8; 16]]) {
        let seed = seed(Of::Trace, "");
        for run in ids.chunk_by(|a, b| a == b) {
            if run[0] != [0; 16] {
                self.push(super::xxh3_64_with_seed(&run[0], seed));
            }
        }
    }

    /// The trace ids of links.
    pub(crate) fn link_trace_ids(&mut self, ids: &[&[u8]]) {
        let seed = seed(Of::LinkTrace, "");
        for id in ids {
            self.push(super::xxh3_64_with_seed(id, seed));
        }
    }

    /// A value by which a row is correlated.
    pub(crate) fn correlation(&mut self, value: &[u8]) {
        self.push(value_term(seed(Of::Correlation, ""), value));
    }

    /// Texts that are found by their words.
    pub(crate) fn words(&mut self, values: &[&str], found: &Distinct) {
        for first in &found.first {
            self.text(values[*first as usize]);
        }
    }

    /// A body that is not text.
    pub(crate) fn nested_body(&mut self, value: ValueRef<'_>) {
        self.text(&value.to_text());
    }

    fn text(&mut self, text: &str) {
        let seed = seed(Of::Word, "");
        words::each(text, &mut |word| {
            if let Some(term) = word_term(seed, word) {
                self.push(term);
            }
            true
        });
    }

    /// The table of field values of all blocks seen. Each field is let go of once it is written:
    /// there may be thousands, with up to a thousand values each.
    pub(crate) fn fields(self) -> Vec<u8> {
        let mut fields: BTreeMap<(String, Kind), Values<'a>> = BTreeMap::new();
        for ((name, kind), values) in self.intrinsics {
            fields.insert((name.to_owned(), kind), values);
        }
        for ((level, key, kind), values) in self.fields {
            fields.insert((table_name(level, key), kind), values);
        }
        let listed = fields.iter().map(|((name, _), values)| {
            let count = values.counts.len() + values.numbers.len();
            (name.as_str(), count)
        });
        let mut writer = FieldsTableWriter::new(fields_table::share(listed));
        for ((name, kind), values) in fields {
            let numbers = values.numbers.into_iter();
            let numbers: Vec<(String, u64)> = numbers
                .map(|(number, rows)| (number.to_string(), rows))
                .collect();
            let listed = numbers.iter().map(|(text, rows)| (text.as_str(), *rows));
            let listed = values.counts.into_iter().chain(listed).collect();
            writer.field(&name, kind, listed, values.unlisted);
        }
        writer.finish()
    }
}

/// The name of an attribute in the table of field values.
pub(crate) fn table_name(level: Level, key: &str) -> String {
    match level {
        Level::Resource => format!("resource:{key}"),
        Level::Scope => format!("scope:{key}"),
        _ => format!("{ATTRIBUTES}{key}"),
    }
}

fn flag_text(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

/// The distinct values of a column, and how many rows have each.
fn rows_of<'v, 'a>(
    values: &'v [&'a str],
    found: &'v Distinct,
) -> impl Iterator<Item = (&'a str, u64)> + 'v {
    let mut rows = vec![0u64; found.first.len()];
    for code in &found.codes {
        rows[*code as usize] += 1;
    }
    let first = found.first.iter().map(|first| values[*first as usize]);
    first.zip(rows)
}

/// How often each value comes.
fn counted(values: impl Iterator<Item = i32>) -> FxHashMap<i32, u64> {
    let mut counts = FxHashMap::default();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts
}
