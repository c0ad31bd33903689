//! Terms of the index: what a block may be found by, and what a filter needs.
//!
//! A term is a 40-bit hash of a kind, a key and a value. Two values may share one: that costs a
//! needless look into a block and never a wrong answer. What has no term (numbers of many
//! distinct values, doubles, nested values, words of up to four digits, span ids) is marked per
//! key as unindexed, or not pruned by at all.

use std::sync::Arc;

use model::{Signal, ValueRef};
use rustc_hash::{FxHashMap, FxHashSet};
use xxhash_rust::xxh3::Xxh3Default;

use crate::block::Kind;
use crate::chunk::{Attr, Chunk, Span32};
use crate::eval::default_field;
use crate::fields_table::FieldsTableBuilder;
use crate::filter::{Field, Filter, Level, Op, Operand};
use crate::layout::RowRef;
use crate::series_view;
use crate::table::severity;
use crate::words;

/// A key whose integers take more distinct values in a block is marked as unindexed.
const INTEGERS_PER_BLOCK_MAX: usize = 256;
/// Words of digits alone that are shorter have no term.
const DIGITS_MIN: usize = 5;
/// Values of a field that are counted per file; more are counted together.
const VALUES_PER_FIELD_MAX: usize = 1_000;
/// Longer values are not listed.
const VALUE_BYTES_MAX: usize = 256;

/// What a term is of.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Of {
    Attribute = 1,
    Event = 2,
    Link = 3,
    Word = 4,
    Name = 5,
    Service = 6,
    Status = 7,
    Kind = 8,
    Level = 9,
    Trace = 10,
    LinkTrace = 11,
    Correlation = 12,
    EventName = 13,
    /// Some row has an attribute of this key.
    Has = 14,
    /// Some row has a value of this key that has no term.
    Unindexed = 15,
    /// A Prometheus label.
    Label = 16,
}

fn term(of: Of, key: &str, value: &[u8]) -> u64 {
    let mut hasher = Xxh3Default::new();
    hasher.update(&[of as u8]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key.as_bytes());
    hasher.update(value);
    hasher.digest()
}

/// The bits of a term that the index keeps.
pub(crate) fn truncated(term: u64) -> u64 {
    term >> 24
}

fn nested(level: Level) -> Of {
    match level {
        Level::Event => Of::Event,
        Level::Link => Of::Link,
        Level::Any | Level::Row | Level::Scope | Level::Resource => Of::Attribute,
    }
}

/// Collects the terms of one block, and the field values of the file it goes to.
pub(crate) struct Collector<'a> {
    terms: FxHashSet<u64>,
    integers: FxHashMap<(u8, &'a str), FxHashSet<i64>>,
    fields: FxHashMap<(Level, &'a str, Kind), Values<'a>>,
    intrinsics: FxHashMap<(&'static str, &'a str), u64>,
    /// Kinds and statuses that have no name.
    unnamed: FxHashMap<(&'static str, i32), u64>,
}

/// Values of one field so far.
#[derive(Default)]
struct Values<'a> {
    counts: FxHashMap<&'a str, u64>,
    numbers: FxHashMap<i64, u64>,
    unlisted: u64,
}

impl<'a> Collector<'a> {
    pub(crate) fn new() -> Self {
        Self {
            terms: FxHashSet::default(),
            integers: FxHashMap::default(),
            fields: FxHashMap::default(),
            intrinsics: FxHashMap::default(),
            unnamed: FxHashMap::default(),
        }
    }

    /// The terms of one block of these rows.
    pub(crate) fn block(
        &mut self,
        signal: Signal,
        chunks: &'a [Arc<Chunk>],
        rows: &[RowRef],
    ) -> Vec<u64> {
        let mut resources: FxHashMap<(u32, u32), u64> = FxHashMap::default();
        let mut scopes: FxHashMap<(u32, u32), u64> = FxHashMap::default();
        let mut series: FxHashMap<(u32, u32), u64> = FxHashMap::default();
        for at in rows {
            let chunk = &*chunks[at.chunk as usize];
            let row = at.row as usize;
            match signal {
                Signal::Traces => {
                    self.span(chunk, row);
                    let span = &chunk.spans[row];
                    *resources.entry((at.chunk, span.resource)).or_default() += 1;
                    *scopes.entry((at.chunk, span.scope)).or_default() += 1;
                }
                Signal::Logs => {
                    self.log(chunk, row);
                    let log = &chunk.logs[row];
                    *resources.entry((at.chunk, log.resource)).or_default() += 1;
                    *scopes.entry((at.chunk, log.scope)).or_default() += 1;
                }
                Signal::Metrics => {
                    *series
                        .entry((at.chunk, chunk.points[row].series))
                        .or_default() += 1;
                }
            }
        }
        for ((chunk, resource), rows) in resources {
            let resource = &chunks[chunk as usize].resources[resource as usize].resource;
            self.intrinsic("service", Of::Service, resource.service(), rows);
            self.shared(Level::Resource, &resource.attributes, rows);
        }
        for ((chunk, scope), rows) in scopes {
            let scope = &chunks[chunk as usize].scopes[scope as usize].scope;
            self.shared(Level::Scope, &scope.attributes, rows);
        }
        for ((chunk, index), rows) in series {
            let series = &chunks[chunk as usize].series[index as usize].series;
            self.intrinsic("service", Of::Service, series.resource.service(), rows);
            self.intrinsic("name", Of::Name, &series.metric.name, rows);
            self.shared(Level::Resource, &series.resource.attributes, rows);
            self.shared(Level::Scope, &series.scope.attributes, rows);
            self.shared(Level::Row, &series.attributes, rows);
            for (name, value) in series_view::labels(series) {
                self.terms.insert(term(Of::Label, &name, value.as_bytes()));
            }
            for (name, value) in series_view::target_labels(series) {
                self.terms.insert(term(Of::Label, &name, value.as_bytes()));
            }
            for name in series_view::names(series) {
                self.terms
                    .insert(term(Of::Label, "__name__", name.as_bytes()));
            }
        }
        self.finish_integers();
        let mut terms: Vec<u64> = self.terms.drain().collect();
        terms.sort_unstable();
        terms
    }

    fn finish_integers(&mut self) {
        for ((of, key), values) in self.integers.drain() {
            let of = match of {
                2 => Of::Event,
                3 => Of::Link,
                _ => Of::Attribute,
            };
            if values.len() > INTEGERS_PER_BLOCK_MAX {
                self.terms.insert(term(Of::Unindexed, key, &[of as u8]));
                continue;
            }
            for value in values {
                self.terms
                    .insert(term(of, key, value.to_string().as_bytes()));
            }
        }
    }

    fn intrinsic(&mut self, name: &'static str, of: Of, value: &'a str, rows: u64) {
        self.terms.insert(term(of, "", value.as_bytes()));
        if value.len() <= VALUE_BYTES_MAX {
            *self.intrinsics.entry((name, value)).or_default() += rows;
        }
    }

    fn value(&mut self, of: Of, key: &'a str, value: ValueRef<'_>) {
        match value {
            ValueRef::Str(text) => {
                self.terms.insert(term(of, key, text.as_bytes()));
            }
            ValueRef::Bool(flag) => {
                let text: &[u8] = if flag { b"true" } else { b"false" };
                self.terms.insert(term(of, key, text));
            }
            ValueRef::Int(int) => {
                let values = self.integers.entry((of as u8, key)).or_default();
                if values.len() <= INTEGERS_PER_BLOCK_MAX {
                    values.insert(int);
                }
            }
            ValueRef::Double(_)
            | ValueRef::Bytes(_)
            | ValueRef::Array(_)
            | ValueRef::KvList(_)
            | ValueRef::Empty => {
                self.terms.insert(term(Of::Unindexed, key, &[of as u8]));
            }
        }
    }

    fn count(&mut self, level: Level, key: &'a str, value: ValueRef<'a>, rows: u64) {
        let kind = match value {
            ValueRef::Str(_) => Kind::Text,
            ValueRef::Int(_) => Kind::Int,
            ValueRef::Bool(_) => Kind::Bool,
            ValueRef::Double(_) => Kind::Double,
            _ => Kind::Bytes,
        };
        let values = self.fields.entry((level, key, kind)).or_default();
        let room = values.counts.len() + values.numbers.len() < VALUES_PER_FIELD_MAX;
        match value {
            ValueRef::Str(text) if text.len() <= VALUE_BYTES_MAX => {
                match values.counts.get_mut(text) {
                    Some(count) => *count += rows,
                    None if room => drop(values.counts.insert(text, rows)),
                    None => values.unlisted += rows,
                }
            }
            ValueRef::Bool(flag) => {
                *values
                    .counts
                    .entry(if flag { "true" } else { "false" })
                    .or_default() += rows;
            }
            ValueRef::Int(int) => match values.numbers.get_mut(&int) {
                Some(count) => *count += rows,
                None if room => drop(values.numbers.insert(int, rows)),
                None => values.unlisted += rows,
            },
            _ => values.unlisted += rows,
        }
    }

    fn attributes(&mut self, chunk: &'a Chunk, attributes: Span32, level: Level) {
        let of = nested(level);
        let list = &chunk.attributes[attributes.range()];
        for (at, Attr { key: index, value }) in list.iter().enumerate() {
            let key = chunk.keys.get(*index);
            let value = chunk.value(*value);
            self.value(of, key, value);
            self.terms.insert(term(Of::Has, key, &[level as u8]));
            // Of a key sent twice, queries see the last value.
            if level == Level::Row && list[at + 1..].iter().all(|later| later.key != *index) {
                self.count(level, key, value, 1);
            }
        }
    }

    fn shared(&mut self, level: Level, attributes: &'a [model::KeyValue], rows: u64) {
        for (at, attribute) in attributes.iter().enumerate() {
            let key = &attribute.key;
            let value = match &attribute.value {
                model::Value::Str(text) => ValueRef::Str(text),
                model::Value::Bool(flag) => ValueRef::Bool(*flag),
                model::Value::Int(int) => ValueRef::Int(*int),
                model::Value::Double(double) => ValueRef::Double(*double),
                model::Value::Bytes(bytes) => ValueRef::Bytes(bytes),
                model::Value::Empty | model::Value::Array(_) | model::Value::KvList(_) => {
                    ValueRef::Empty
                }
            };
            self.value(Of::Attribute, key, value);
            self.terms.insert(term(Of::Has, key, &[level as u8]));
            if attributes[at + 1..].iter().all(|later| later.key != *key) {
                self.count(level, key, value, rows);
            }
        }
    }

    fn words(&mut self, text: &str) {
        words::each(text, &mut |word| {
            if let Some(term) = word_term(word) {
                self.terms.insert(term);
            }
            true
        });
    }

    fn correlation(&mut self, chunk: &Chunk, pairs: Span32) {
        for pair in &chunk.correlation[pairs.range()] {
            self.terms
                .insert(term(Of::Correlation, "", chunk.bytes(pair.value)));
        }
    }

    fn span(&mut self, chunk: &'a Chunk, row: usize) {
        let span = &chunk.spans[row];
        self.terms
            .insert(term(Of::Trace, "", &chunk.trace_ids[row].0));
        let name = chunk.str(span.name);
        let name_term = term(Of::Name, "", name.as_bytes());
        if self.terms.insert(name_term) {
            self.words(name);
        }
        *self.intrinsics.entry(("name", name)).or_default() += 1;
        match model::SpanKind::from_code(span.kind) {
            Some(kind) => self.intrinsic("kind", Of::Kind, kind.name(), 1),
            None => *self.unnamed.entry(("kind", span.kind)).or_default() += 1,
        }
        let status = span.status.unwrap_or_default();
        match model::StatusCode::from_code(status) {
            Some(status) => self.intrinsic("status", Of::Status, status.name(), 1),
            None => *self.unnamed.entry(("status", status)).or_default() += 1,
        }
        self.correlation(chunk, span.correlation);
        self.attributes(chunk, span.attributes, Level::Row);
        for event in &chunk.events[span.events.range()] {
            self.intrinsic("event.name", Of::EventName, chunk.str(event.name), 1);
            self.attributes(chunk, event.attributes, Level::Event);
        }
        for link in &chunk.links[span.links.range()] {
            self.terms
                .insert(term(Of::LinkTrace, "", chunk.bytes(link.trace_id)));
            self.attributes(chunk, link.attributes, Level::Link);
        }
    }

    fn log(&mut self, chunk: &'a Chunk, row: usize) {
        let log = &chunk.logs[row];
        let trace_id = &chunk.trace_ids[row];
        if !trace_id.is_zero() {
            self.terms.insert(term(Of::Trace, "", &trace_id.0));
        }
        match chunk.value(log.body) {
            ValueRef::Empty => {}
            ValueRef::Str(text) => self.words(text),
            value => self.words(&value.to_value().to_text()),
        }
        let level = severity(log.severity_number, chunk.str(log.severity_text));
        if let Some(name) = level.and_then(model::log::level_name) {
            self.intrinsic("level", Of::Level, name, 1);
        }
        if log.event_name.length > 0 {
            self.intrinsic("event.name", Of::EventName, chunk.str(log.event_name), 1);
        }
        self.correlation(chunk, log.correlation);
        self.attributes(chunk, log.attributes, Level::Row);
    }

    /// The table of field values of all blocks seen.
    pub(crate) fn fields(self) -> Vec<u8> {
        let mut builder = FieldsTableBuilder::new();
        for ((name, value), rows) in self.intrinsics {
            builder.add(name, Kind::Text, value, rows);
        }
        for ((name, code), rows) in self.unnamed {
            builder.add(name, Kind::Int, &code.to_string(), rows);
        }
        for ((level, key, kind), values) in self.fields {
            let name = table_name(level, key);
            for (value, rows) in values.counts {
                builder.add(&name, kind, value, rows);
            }
            for (value, rows) in values.numbers {
                builder.add(&name, kind, &value.to_string(), rows);
            }
            if values.unlisted > 0 {
                builder.add_unlisted(&name, kind, values.unlisted, 1);
            }
        }
        builder.finish()
    }
}

/// The name of an attribute in the table of field values.
pub(crate) fn table_name(level: Level, key: &str) -> String {
    match level {
        Level::Resource => format!("resource:{key}"),
        Level::Scope => format!("scope:{key}"),
        _ => format!("attr:{key}"),
    }
}

fn word_term(word: &str) -> Option<u64> {
    let indexed = word.len() >= DIGITS_MIN || !word.bytes().all(|byte| byte.is_ascii_digit());
    indexed.then(|| term(Of::Word, "", word.as_bytes()))
}

/// Which blocks can hold a row that passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// The index cannot tell.
    Anything,
    /// Blocks with this term.
    Term(u64),
    /// Blocks that satisfy all.
    All(Vec<Need>),
    /// Blocks that satisfy any.
    Any(Vec<Need>),
}

impl Need {
    fn all(needs: Vec<Need>) -> Need {
        let mut needs: Vec<Need> = needs
            .into_iter()
            .filter(|need| *need != Need::Anything)
            .collect();
        match needs.len() {
            0 => Need::Anything,
            1 => needs.remove(0),
            _ => Need::All(needs),
        }
    }

    fn any(needs: Vec<Need>) -> Need {
        if needs.contains(&Need::Anything) {
            Need::Anything
        } else {
            Need::Any(needs)
        }
    }

    /// What a filter needs.
    pub(crate) fn of(filter: &Filter, signal: Signal) -> Need {
        match filter {
            Filter::And(list) => Need::all(list.iter().map(|f| Need::of(f, signal)).collect()),
            Filter::Or(list) => Need::any(list.iter().map(|f| Need::of(f, signal)).collect()),
            Filter::Compare {
                field,
                op: Op::Eq,
                value,
            } => equals(field, value),
            Filter::AnyOf { field, values } => Need::any(
                values
                    .iter()
                    .map(|value| equals(field, &Operand::Literal(value.clone())))
                    .collect(),
            ),
            Filter::Exists(field)
            | Filter::Compare { field, .. }
            | Filter::Regex { field, .. }
            | Filter::Prefix { field, .. } => exists(field),
            Filter::Words {
                field,
                words,
                prefix,
                ..
            } => {
                let here = default_field(signal);
                if field.as_ref().is_some_and(|field| *field != here) || signal == Signal::Metrics {
                    return field.as_ref().map_or(Need::Anything, exists);
                }
                let whole = words.len() - usize::from(*prefix && !words.is_empty());
                let terms = words[..whole].iter().filter_map(|word| word_term(word));
                Need::all(terms.map(Need::Term).collect())
            }
            Filter::All | Filter::Not(_) => Need::Anything,
        }
    }
}

fn exists(field: &Field) -> Need {
    let Field::Attribute { level, key } = field else {
        return Need::Anything;
    };
    let has = |level: Level| Need::Term(term(Of::Has, key, &[level as u8]));
    if *level == Level::Any {
        return Need::Any(vec![
            has(Level::Row),
            has(Level::Scope),
            has(Level::Resource),
        ]);
    }
    has(*level)
}

/// The texts under which the index holds values that equal the operand.
fn forms(operand: &Operand) -> Vec<String> {
    #[allow(clippy::cast_possible_truncation, clippy::float_cmp)]
    let whole = |double: f64| {
        (double.fract() == 0.0 && double.abs() < 1e15).then(|| (double as i64).to_string())
    };
    match operand {
        Operand::Text(text) => vec![text.clone()],
        Operand::Int(int) => vec![int.to_string()],
        Operand::Double(double) => whole(*double).into_iter().collect(),
        Operand::Bool(flag) => vec![flag.to_string()],
        Operand::Literal(text) => {
            let mut forms = vec![text.clone()];
            let number = text
                .parse::<i64>()
                .map(|int| int.to_string())
                .ok()
                .or_else(|| text.parse().ok().and_then(whole));
            forms.extend(number.filter(|number| number != text));
            forms
        }
    }
}

fn equals(field: &Field, value: &Operand) -> Need {
    let of = match field {
        Field::Attribute { level, key } => {
            let of = nested(*level);
            let mut needs: Vec<Need> = forms(value)
                .iter()
                .map(|text| Need::Term(term(of, key, text.as_bytes())))
                .collect();
            needs.push(Need::Term(term(Of::Unindexed, key, &[of as u8])));
            return Need::Any(needs);
        }
        Field::TraceId | Field::LinkTraceId => {
            let of = if *field == Field::TraceId {
                Of::Trace
            } else {
                Of::LinkTrace
            };
            let (Operand::Literal(text) | Operand::Text(text)) = value else {
                return Need::Anything;
            };
            let id = text.parse::<model::TraceId>();
            return id.map_or(Need::Anything, |id| Need::Term(term(of, "", &id.0)));
        }
        Field::Service => Of::Service,
        Field::Name => Of::Name,
        Field::Status => Of::Status,
        Field::Kind => Of::Kind,
        Field::Level => Of::Level,
        Field::Correlation => Of::Correlation,
        Field::EventName => Of::EventName,
        _ => return Need::Anything,
    };
    match value {
        Operand::Literal(text) if text.parse::<i64>().is_ok() => Need::Anything,
        Operand::Literal(text) | Operand::Text(text) => Need::Term(term(of, "", text.as_bytes())),
        // Kinds and statuses without a name are numbers, and those have no term.
        _ => Need::Anything,
    }
}

/// What a metric selector needs.
pub(crate) fn need_of_matchers(matchers: &[crate::message::Matcher]) -> Need {
    use crate::message::MatchOp;
    let needs = matchers
        .iter()
        .filter(|m| m.op == MatchOp::Equal && !m.value.is_empty())
        .filter(|m| !matches!(m.name.as_str(), "le" | "quantile"))
        .map(|m| Need::Term(term(Of::Label, &m.name, m.value.as_bytes())))
        .collect();
    Need::all(needs)
}
