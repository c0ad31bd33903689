//! A chunk of spans or log records as a [`Table`].

use std::borrow::Cow;

use model::{LogRecord, Resource, Scope, Signal, Span};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Attr, Chunk, Span32, Val};
use crate::filter::{Field, Level};
use crate::message::Columns;
use crate::table::{
    Cell, Damage, Mask, SharedValue, Table, duration, kind_cell, kind_name, severity, shared_value,
    status_cell, visible,
};

type See<'a> = dyn FnMut(usize, Cell<'_>) + 'a;

impl Chunk {
    fn resource_index(&self, row: usize) -> usize {
        match self.signal {
            Signal::Traces => self.spans[row].resource as usize,
            Signal::Logs => self.logs[row].resource as usize,
            Signal::Metrics => 0,
        }
    }

    fn resource(&self, row: usize) -> &Resource {
        &self.resources[self.resource_index(row)].value
    }

    fn scope(&self, row: usize) -> &Scope {
        match self.signal {
            Signal::Traces => &self.scopes[self.spans[row].scope as usize].value,
            Signal::Logs => &self.scopes[self.logs[row].scope as usize].value,
            Signal::Metrics => &self.scopes[0].value,
        }
    }

    fn row_attributes(&self, row: usize) -> Span32 {
        match self.signal {
            Signal::Traces => self.spans[row].attributes,
            Signal::Logs => self.logs[row].attributes,
            Signal::Metrics => Span32::default(),
        }
    }

    /// The value that queries see of this key: the last one sent.
    fn last_attribute(&self, attributes: Span32, key: u32) -> Option<&Attr> {
        self.attributes[attributes.range()]
            .iter()
            .rev()
            .find(|attr| attr.key == key)
    }

    fn visit_row_attribute(&self, key: &str, among: &Mask, see: &mut See<'_>) {
        let Some(key) = self.keys.find(key) else {
            return;
        };
        for row in among.iter() {
            if let Some(attr) = self.last_attribute(self.row_attributes(row), key) {
                see(row, Cell::Value(self.value(attr.value)));
            }
        }
    }

    /// Visits a value that is the same for all rows with the same `shared_by` index.
    fn visit_shared(
        &self,
        among: &Mask,
        value_of: &dyn Fn(usize) -> Option<SharedValue>,
        shared_by: &dyn Fn(usize) -> usize,
        see: &mut See<'_>,
    ) {
        let mut known: FxHashMap<usize, Option<SharedValue>> = FxHashMap::default();
        for row in among.iter() {
            let value = known.entry(shared_by(row)).or_insert_with(|| value_of(row));
            if let Some(value) = value {
                see(row, Cell::Value(value.value()));
            }
        }
    }

    fn visit_attribute(&self, level: Level, key: &str, among: &Mask, see: &mut See<'_>) {
        match level {
            Level::Row => self.visit_row_attribute(key, among, see),
            Level::Resource => self.visit_shared(
                among,
                &|row| shared_value(&self.resource(row).attributes, key),
                &|row| self.resource_index(row),
                see,
            ),
            Level::Scope => self.visit_shared(
                among,
                &|row| shared_value(&self.scope(row).attributes, key),
                &|row| std::ptr::from_ref(self.scope(row)) as usize,
                see,
            ),
            Level::Any => {
                let mut rest = among.clone();
                for level in [Level::Row, Level::Scope, Level::Resource] {
                    let mut seen = Mask::none(self.rows());
                    self.visit_attribute(level, key, &rest, &mut |row, cell| {
                        seen.set(row);
                        see(row, cell);
                    });
                    rest = rest.minus(&seen);
                    if rest.is_empty() {
                        break;
                    }
                }
            }
            Level::Event | Level::Link => self.visit_nested(level, key, among, see),
        }
    }

    fn visit_nested(&self, level: Level, key: &str, among: &Mask, see: &mut See<'_>) {
        let Some(key) = self.keys.find(key) else {
            return;
        };
        if self.signal != Signal::Traces {
            return;
        }
        for row in among.iter() {
            let span = &self.spans[row];
            let mut one = |attributes: Span32| {
                if let Some(attr) = self.last_attribute(attributes, key) {
                    see(row, Cell::Value(self.value(attr.value)));
                }
            };
            if level == Level::Event {
                self.events[span.events.range()]
                    .iter()
                    .for_each(|event| one(event.attributes));
            } else {
                self.links[span.links.range()]
                    .iter()
                    .for_each(|link| one(link.attributes));
            }
        }
    }

    fn visit_span(&self, field: &Field, among: &Mask, see: &mut See<'_>) {
        for row in among.iter() {
            let span = &self.spans[row];
            match field {
                Field::Name => see(row, Cell::str(self.str(span.name))),
                Field::Kind => see(row, kind_cell(span.kind)),
                Field::Status => see(row, status_cell(span.status.unwrap_or_default())),
                Field::StatusMessage if span.status_message.length > 0 => {
                    see(row, Cell::str(self.str(span.status_message)));
                }
                Field::Duration => see(row, Cell::int(duration(span.start, span.end))),
                Field::SpanId => see(row, Cell::Id(&span.span_id)),
                Field::ParentId if span.parent != [0; 8] => see(row, Cell::Id(&span.parent)),
                Field::TraceState if span.trace_state.length > 0 => {
                    see(row, Cell::str(self.str(span.trace_state)));
                }
                Field::EventName => {
                    for event in &self.events[span.events.range()] {
                        see(row, Cell::str(self.str(event.name)));
                    }
                }
                Field::LinkTraceId => {
                    for link in &self.links[span.links.range()] {
                        see(row, Cell::Id(self.bytes(link.trace_id)));
                    }
                }
                _ => {}
            }
        }
    }

    fn visit_log(&self, field: &Field, among: &Mask, see: &mut See<'_>) {
        for row in among.iter() {
            let log = &self.logs[row];
            let level = || severity(log.severity_number, self.str(log.severity_text));
            match field {
                Field::Body if log.body != super::Val::Empty => {
                    see(row, Cell::Value(self.value(log.body)));
                }
                Field::SpanId if log.span_id != [0; 8] => see(row, Cell::Id(&log.span_id)),
                Field::Severity => {
                    if let Some(number) = level() {
                        see(row, Cell::int(i64::from(number)));
                    }
                }
                Field::Level => {
                    if let Some(name) = level().and_then(model::log::level_name) {
                        see(row, Cell::str(name));
                    }
                }
                Field::SeverityText if log.severity_text.length > 0 => {
                    see(row, Cell::str(self.str(log.severity_text)));
                }
                Field::EventName if log.event_name.length > 0 => {
                    see(row, Cell::str(self.str(log.event_name)));
                }
                _ => {}
            }
        }
    }

    fn visit_correlation(&self, among: &Mask, see: &mut See<'_>) {
        for row in among.iter() {
            let pairs = match self.signal {
                Signal::Traces => self.spans[row].correlation,
                Signal::Logs => self.logs[row].correlation,
                Signal::Metrics => Span32::default(),
            };
            for pair in &self.correlation[pairs.range()] {
                see(row, Cell::str(self.str(pair.value)));
            }
        }
    }
}

impl Table for Chunk {
    fn rows(&self) -> usize {
        Chunk::rows(self)
    }

    fn times(&self) -> Result<Cow<'_, [u64]>, Damage> {
        Ok((0..Chunk::rows(self)).map(|row| self.time(row)).collect())
    }

    fn ends(&self) -> Result<Cow<'_, [u64]>, Damage> {
        if self.signal != Signal::Traces {
            return self.times();
        }
        Ok(self
            .spans
            .iter()
            .map(|span| span.end.max(span.start))
            .collect())
    }

    fn visit(
        &self,
        field: &Field,
        among: &Mask,
        see: &mut dyn FnMut(usize, Cell<'_>),
    ) -> Result<(), Damage> {
        match field {
            Field::Attribute { level, key } => self.visit_attribute(*level, key, among, see),
            Field::Service => {
                for row in among.iter() {
                    see(row, Cell::str(self.resource(row).service()));
                }
            }
            Field::ScopeName | Field::ScopeVersion => {
                for row in among.iter() {
                    let scope = self.scope(row);
                    let text = if *field == Field::ScopeName {
                        &scope.name
                    } else {
                        &scope.version
                    };
                    if !text.is_empty() {
                        see(row, Cell::str(text));
                    }
                }
            }
            Field::Correlation => self.visit_correlation(among, see),
            Field::TraceId if self.signal != Signal::Metrics => {
                for row in among.iter() {
                    let id = &self.trace_ids[row];
                    if !id.is_zero() {
                        see(row, Cell::Id(&id.0));
                    }
                }
            }
            _ => match self.signal {
                Signal::Traces => self.visit_span(field, among, see),
                Signal::Logs => self.visit_log(field, among, see),
                Signal::Metrics => {}
            },
        }
        Ok(())
    }

    fn nested_bytes(&self, rows: &[usize]) -> Result<usize, Damage> {
        let nested = |value: Val| match value {
            Val::Bytes(_) | Val::Array(_) | Val::KvList(_) => self.value(value).owned_bytes(),
            _ => 0,
        };
        let attributes = |span: Span32| -> usize {
            let list = self.attributes[span.range()].iter();
            list.map(|attribute| nested(attribute.value)).sum()
        };
        let of_row = |row: &usize| match self.signal {
            Signal::Traces => {
                let span = &self.spans[*row];
                let events = self.events[span.events.range()].iter();
                let links = self.links[span.links.range()].iter();
                attributes(span.attributes)
                    + events
                        .map(|event| attributes(event.attributes))
                        .sum::<usize>()
                    + links.map(|link| attributes(link.attributes)).sum::<usize>()
            }
            Signal::Logs => {
                let log = &self.logs[*row];
                nested(log.body) + attributes(log.attributes)
            }
            Signal::Metrics => 0,
        };
        Ok(rows.iter().map(of_row).sum())
    }

    fn spans(&self, rows: &[usize], columns: Columns) -> Result<Vec<Span>, Damage> {
        Ok(rows.iter().map(|row| self.span(*row, columns)).collect())
    }

    fn logs(&self, rows: &[usize]) -> Result<Vec<LogRecord>, Damage> {
        Ok(rows.iter().map(|row| self.log(*row)).collect())
    }

    fn fields(&self, among: &Mask) -> Result<Vec<(Field, &'static str, u64)>, Damage> {
        let mut counts: FxHashMap<(Level, &str, &'static str), u64> = FxHashMap::default();
        let mut keys = FxHashSet::default();
        for row in among.iter() {
            keys.clear();
            let attributes = &self.attributes[self.row_attributes(row).range()];
            for attr in attributes.iter().rev().filter(|attr| keys.insert(attr.key)) {
                let kind = kind_name(self.value(attr.value));
                let key = (Level::Row, self.keys.get(attr.key), kind);
                *counts.entry(key).or_default() += 1;
            }
            for (level, attributes) in [
                (Level::Resource, &self.resource(row).attributes),
                (Level::Scope, &self.scope(row).attributes),
            ] {
                for attr in visible(attributes) {
                    let kind = kind_name(SharedValue::new(&attr.value).value());
                    *counts.entry((level, &attr.key, kind)).or_default() += 1;
                }
            }
        }
        Ok(counts
            .into_iter()
            .map(|((level, key, kind), count)| {
                (
                    Field::Attribute {
                        level,
                        key: key.to_owned(),
                    },
                    kind,
                    count,
                )
            })
            .collect())
    }
}
