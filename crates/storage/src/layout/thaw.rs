//! A block back to a chunk, so that its rows can be written again among others.
//!
//! What is written from the chunk reads back as what was read from the block: correlation pairs
//! are taken as they are stored, not looked for anew by keys that may have changed since. Each
//! distinct text is in the chunk's arena once.

use std::sync::Arc;

use model::{Resource, Scope, Signal};
use serde::de::DeserializeOwned;

use super::correlation::CorrelationColumns;
use super::pick::{NONE, Source, damage};
use super::read::AttributeReader;
use super::table::{BlockTable, failed, status_code};
use crate::block::{BytesColumn, TextColumn};
use crate::chunk::{Attr, Chunk, Corr, EventRow, LinkRow, LogRow, Span32, SpanRow, Text, Val};
use crate::points::Entry;
use crate::table::Damage;

/// The columns of blocks of spans and log records but for those of attributes. A block with others was written by a later
/// build, and what they hold would be lost.
const COLUMNS: [&str; 51] = [
    "time",
    "resource",
    "scope",
    "resources",
    "scopes",
    "resource.service",
    "count.minute",
    "count.resource",
    "count.rows",
    "trace_id",
    "flags",
    "clock.offset",
    "clock.error",
    "attr.dropped",
    "corr.count",
    "corr.key",
    "corr.source",
    "corr.offset",
    "corr.length",
    "corr.value",
    "duration",
    "span_id",
    "parent",
    "parent.raw",
    "name",
    "kind",
    "status",
    "status.message",
    "trace_state",
    "event.count",
    "event.dropped",
    "event.time",
    "event.name",
    "event.attr.dropped",
    "link.count",
    "link.dropped",
    "link.trace_id",
    "link.span_id",
    "link.trace_state",
    "link.flags",
    "link.attr.dropped",
    "observed",
    "span_id.present",
    "severity",
    "severity.text",
    "event_name",
    "body.kind",
    "body",
    "body.int",
    "body.double",
    "body.bytes",
];
/// What the names of columns of attributes begin with.
const ATTRIBUTES: [&str; 3] = ["attr.", "event.attr.", "link.attr."];

impl BlockTable {
    /// The rows of the block, in its order.
    pub(crate) fn thaw(&self) -> Result<Chunk, Damage> {
        for column in self.reader.columns() {
            let name = &*column.id.name;
            let of_attributes = ATTRIBUTES.iter().any(|prefix| name.starts_with(prefix));
            if !of_attributes && !COLUMNS.contains(&name) {
                return Err(Damage(format!("column {name} is not known")));
            }
        }
        let mut thaw = Thaw {
            table: self,
            chunk: Chunk::new(self.signal),
        };
        match self.signal {
            Signal::Traces => thaw.spans()?,
            Signal::Logs => thaw.logs()?,
            // Points are merged by series: see `crate::points::merge`.
            Signal::Metrics => return Err(damage("points")),
        }
        let mut chunk = thaw.chunk;
        for row in 0..chunk.rows() {
            let time = chunk.time(row);
            let end = match chunk.signal {
                Signal::Traces => chunk.spans[row].end.max(time),
                _ => time,
            };
            chunk.min_time = chunk.min_time.min(time);
            chunk.max_time = chunk.max_time.max(time);
            chunk.max_end = chunk.max_end.max(end);
        }
        Ok(chunk)
    }
}

struct Thaw<'t> {
    table: &'t BlockTable,
    chunk: Chunk,
}

/// What rows of spans and log records have in common.
struct Shared {
    resource: Vec<u32>,
    scope: Vec<u32>,
    attributes: Vec<Span32>,
    dropped: Vec<u64>,
    flags: Vec<u64>,
}

impl Thaw<'_> {
    fn rows(&self) -> usize {
        self.table.rows()
    }

    fn push(&mut self, bytes: &[u8]) -> Result<Text, Damage> {
        if bytes.is_empty() {
            return Ok(Text::default());
        }
        let text = Text {
            offset: index32(self.chunk.text.len())?,
            length: index32(bytes.len())?,
        };
        self.chunk.text.extend_from_slice(bytes);
        Ok(text)
    }

    /// Each value of a column of text; empty ones where there is no such column.
    fn texts(&mut self, name: &str, count: usize) -> Result<Vec<Text>, Damage> {
        match self.table.reader.text(name).map_err(failed)? {
            Some(column) => counted(name, self.text_column(&column)?, count),
            None => Ok(vec![Text::default(); count]),
        }
    }

    fn text_column(&mut self, column: &TextColumn) -> Result<Vec<Text>, Damage> {
        let values = column.values().map(|value| self.push(value.as_bytes()));
        let values: Vec<Text> = values.collect::<Result<_, _>>()?;
        let codes = column.codes().iter();
        Ok(codes.map(|code| values[*code as usize]).collect())
    }

    fn bytes_column(&mut self, column: &BytesColumn) -> Result<Vec<Text>, Damage> {
        let values = column.values().map(|value| self.push(value));
        let values: Vec<Text> = values.collect::<Result<_, _>>()?;
        let codes = column.codes().iter();
        Ok(codes.map(|code| values[*code as usize]).collect())
    }

    fn bytes(&mut self, name: &str, count: usize) -> Result<Vec<Text>, Damage> {
        match self.table.reader.bytes(name).map_err(failed)? {
            Some(column) => counted(name, self.bytes_column(&column)?, count),
            None if count == 0 => Ok(Vec::new()),
            None => Err(damage(name)),
        }
    }

    /// A column of one number per event or link; a missing one stands for zeros.
    fn uints(&self, name: &str, count: usize) -> Result<Vec<u64>, Damage> {
        let list = self.table.reader.uints(name).map_err(failed)?;
        counted(name, list.unwrap_or_else(|| vec![0; count]), count)
    }

    /// The attributes of all rows, events or links.
    fn attributes(&mut self, prefix: &str, units: usize) -> Result<Vec<Span32>, Damage> {
        let reader = AttributeReader::open(&self.table.reader, prefix, units)?;
        let mut columns = Vec::with_capacity(reader.keys().len());
        for (column, key) in reader.keys().iter().enumerate() {
            let key = self.chunk.keys.intern(key);
            let values = self.values(&reader.source(&self.table.reader, column)?)?;
            columns.push((key, values.into_iter()));
        }
        let mut out = Vec::with_capacity(units);
        for shape in reader.units() {
            let first = index32(self.chunk.attributes.len())?;
            for column in shape {
                let (key, values) = &mut columns[*column as usize];
                let value = values.next().ok_or_else(|| damage("attribute counts"))?;
                self.chunk.attributes.push(Attr { key: *key, value });
            }
            out.push(Span32 {
                first,
                count: index32(shape.len())?,
            });
        }
        Ok(out)
    }

    fn values(&mut self, source: &Source) -> Result<Vec<Val>, Damage> {
        Ok(match source {
            Source::Text(column) => {
                let texts = self.text_column(column)?;
                texts.into_iter().map(Val::Str).collect()
            }
            Source::Bytes(column, code) => {
                let kind = match code {
                    5 => Val::Array,
                    6 => Val::KvList,
                    _ => Val::Bytes,
                };
                let texts = self.bytes_column(column)?;
                texts.into_iter().map(kind).collect()
            }
            Source::Ints(list) => list.iter().copied().map(Val::Int).collect(),
            Source::Doubles(list) => list.iter().copied().map(Val::Double).collect(),
            Source::Bools(list) => list.iter().copied().map(Val::Bool).collect(),
            Source::Empty(count) => vec![Val::Empty; *count],
            _ => return Err(damage("attribute type")),
        })
    }

    fn shared(&mut self) -> Result<Shared, Damage> {
        self.chunk.resources = self.entries::<Resource>("resources")?;
        self.chunk.scopes = self.entries::<Scope>("scopes")?;
        let table = self.table;
        let ids = table.reader.fixed16("trace_id").map_err(failed)?;
        let ids = counted("trace_id", ids.unwrap_or_default(), self.rows())?;
        self.chunk.trace_ids = ids.into_iter().map(model::TraceId).collect();
        let clocks = table.clocks()?;
        for row in 0..self.rows() {
            self.chunk.clocks.begin(row, clocks.of(row));
        }
        Ok(Shared {
            resource: table.shared_index("resource", self.chunk.resources.len())?,
            scope: table.shared_index("scope", self.chunk.scopes.len())?,
            attributes: self.attributes("attr", self.rows())?,
            dropped: table.uints("attr.dropped")?,
            flags: table.uints("flags")?,
        })
    }

    /// Things that rows share, by their order in the block.
    fn entries<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<Arc<Entry<T>>>, Damage> {
        let Some(column) = self.table.reader.bytes(name).map_err(failed)? else {
            return Ok(Vec::new());
        };
        let entry = |bytes: &[u8]| {
            let value = postcard::from_bytes(bytes).map_err(|_| damage(name))?;
            Ok(Arc::new(Entry::of_encoded(Arc::new(value), bytes)))
        };
        column.iter().map(entry).collect()
    }

    #[allow(clippy::cast_sign_loss)]
    fn spans(&mut self) -> Result<(), Damage> {
        let (table, rows) = (self.table, self.rows());
        let shared = self.shared()?;
        let (ids, parents) = table.parent_ids()?;
        let (starts, durations) = (table.time_column()?, table.ints("duration")?);
        let names = self.texts("name", rows)?;
        let (kinds, statuses) = (table.ints("kind")?, table.ints("status")?);
        let messages = self.texts("status.message", rows)?;
        let states = self.texts("trace_state", rows)?;
        let events = self.events(starts)?;
        let links = self.links()?;
        let dropped_events = table.uints("event.dropped")?;
        let dropped_links = table.uints("link.dropped")?;
        let correlation = self.correlation(&shared.attributes, &[])?;
        self.chunk.spans.reserve_exact(rows);
        for row in 0..rows {
            let parent = parents[row];
            self.chunk.spans.push(SpanRow {
                span_id: ids[row],
                parent: if parent == NONE {
                    [0; 8]
                } else {
                    ids[parent as usize]
                },
                start: starts[row],
                end: starts[row].wrapping_add(durations[row] as u64),
                resource: shared.resource[row],
                scope: shared.scope[row],
                name: names[row],
                kind: i32::try_from(kinds[row]).map_err(|_| damage("kind"))?,
                status: status_code(statuses[row]),
                status_message: messages[row],
                trace_state: states[row],
                flags: narrow(shared.flags[row], "flags")?,
                attributes: shared.attributes[row],
                dropped_attributes: narrow(shared.dropped[row], "attr.dropped")?,
                events: events[row],
                dropped_events: narrow(dropped_events[row], "event.dropped")?,
                links: links[row],
                dropped_links: narrow(dropped_links[row], "link.dropped")?,
                correlation: correlation[row],
            });
        }
        Ok(())
    }

    #[allow(clippy::cast_sign_loss)]
    fn events(&mut self, span_starts: &[u64]) -> Result<Vec<Span32>, Damage> {
        let Some((starts, units)) = self.table.nested_starts("event")? else {
            return Ok(vec![Span32::default(); self.rows()]);
        };
        let times = self.table.reader.ints("event.time").map_err(failed)?;
        let times = counted("event.time", times.unwrap_or_default(), units)?;
        let names = self.texts("event.name", units)?;
        let dropped = self.uints("event.attr.dropped", units)?;
        let attributes = self.attributes("event.attr", units)?;
        self.chunk.events.reserve_exact(units);
        let mut spans = Vec::with_capacity(self.rows());
        for (row, range) in starts.windows(2).enumerate() {
            for unit in range[0] as usize..range[1] as usize {
                self.chunk.events.push(EventRow {
                    time: span_starts[row].wrapping_add(times[unit] as u64),
                    name: names[unit],
                    attributes: attributes[unit],
                    dropped_attributes: narrow(dropped[unit], "event.attr.dropped")?,
                });
            }
            spans.push(between(range));
        }
        Ok(spans)
    }

    fn links(&mut self) -> Result<Vec<Span32>, Damage> {
        let Some((starts, units)) = self.table.nested_starts("link")? else {
            return Ok(vec![Span32::default(); self.rows()]);
        };
        let trace_ids = self.bytes("link.trace_id", units)?;
        let span_ids = self.bytes("link.span_id", units)?;
        let states = self.texts("link.trace_state", units)?;
        let flags = self.uints("link.flags", units)?;
        let dropped = self.uints("link.attr.dropped", units)?;
        let attributes = self.attributes("link.attr", units)?;
        self.chunk.links.reserve_exact(units);
        for unit in 0..units {
            self.chunk.links.push(LinkRow {
                trace_id: trace_ids[unit],
                span_id: span_ids[unit],
                trace_state: states[unit],
                attributes: attributes[unit],
                dropped_attributes: narrow(dropped[unit], "link.attr.dropped")?,
                flags: narrow(flags[unit], "link.flags")?,
            });
        }
        Ok(starts.windows(2).map(between).collect())
    }

    #[allow(clippy::cast_sign_loss)]
    fn logs(&mut self) -> Result<(), Damage> {
        let (table, rows) = (self.table, self.rows());
        let shared = self.shared()?;
        let times = table.time_column()?;
        let (observed, severity) = (table.ints("observed")?, table.ints("severity")?);
        let severity_texts = self.texts("severity.text", rows)?;
        let event_names = self.texts("event_name", rows)?;
        let (span_ids, span_index) = table.log_span_ids()?;
        let bodies = self.log_bodies()?;
        let correlation = self.correlation(&shared.attributes, &bodies)?;
        self.chunk.logs.reserve_exact(rows);
        for row in 0..rows {
            self.chunk.logs.push(LogRow {
                time: times[row],
                observed: times[row].wrapping_add(observed[row] as u64),
                severity_number: i32::try_from(severity[row]).map_err(|_| damage("severity"))?,
                severity_text: severity_texts[row],
                body: bodies[row],
                span_id: match span_index[row] {
                    NONE => [0; 8],
                    at => span_ids[at as usize],
                },
                resource: shared.resource[row],
                scope: shared.scope[row],
                attributes: shared.attributes[row],
                dropped_attributes: narrow(shared.dropped[row], "attr.dropped")?,
                flags: narrow(shared.flags[row], "flags")?,
                event_name: event_names[row],
                correlation: correlation[row],
            });
        }
        Ok(())
    }

    fn log_bodies(&mut self) -> Result<Vec<Val>, Damage> {
        let kinds = self.table.uints("body.kind")?;
        let reader = &self.table.reader;
        let count = |wanted: &[u64]| kinds.iter().filter(|kind| wanted.contains(kind)).count();
        let ints = reader.ints("body.int").map_err(failed)?;
        let ints = counted("body.int", ints.unwrap_or_default(), count(&[1, 3]))?;
        let doubles = reader.doubles("body.double").map_err(failed)?;
        let doubles = counted("body.double", doubles.unwrap_or_default(), count(&[2]))?;
        let texts = reader.text("body").map_err(failed)?;
        let texts = texts.map_or_else(|| Ok(Vec::new()), |column| self.text_column(&column));
        let texts = counted("body", texts?, count(&[0]))?;
        let bytes = self.bytes("body.bytes", count(&[4, 5, 6]))?;
        let (mut ints, mut doubles) = (ints.into_iter(), doubles.into_iter());
        let (mut texts, mut bytes) = (texts.into_iter(), bytes.into_iter());
        let body = |kind: &u64| match kind {
            0 => texts.next().map(Val::Str),
            1 => ints.next().map(Val::Int),
            2 => doubles.next().map(Val::Double),
            3 => ints.next().map(|int| Val::Bool(int != 0)),
            4 => bytes.next().map(Val::Bytes),
            5 => bytes.next().map(Val::Array),
            6 => bytes.next().map(Val::KvList),
            7 => Some(Val::Empty),
            _ => None,
        };
        let bodies: Option<Vec<Val>> = kinds.iter().map(body).collect();
        bodies.ok_or_else(|| damage("body.kind"))
    }

    /// The correlation pairs of each row.
    fn correlation(
        &mut self,
        attributes: &[Span32],
        bodies: &[Val],
    ) -> Result<Vec<Span32>, Damage> {
        let Some((starts, units)) = self.table.nested_starts("corr")? else {
            return Ok(vec![Span32::default(); self.rows()]);
        };
        let columns = CorrelationColumns::open(self.table, units)?;
        let keys = self.text_column(&columns.keys)?;
        let values = columns
            .values
            .as_ref()
            .map(|column| self.text_column(column));
        let values = values.transpose()?.unwrap_or_default();
        self.chunk.correlation.reserve_exact(units);
        let mut spans = Vec::with_capacity(self.rows());
        for (row, range) in starts.windows(2).enumerate() {
            let units = range[0] as usize..range[1] as usize;
            for (unit, key) in units.clone().zip(&keys[units]) {
                let (value, source) = match columns.sources[unit] {
                    0 => {
                        let value = values.get(columns.value_index[unit]);
                        (*value.ok_or_else(|| damage("corr.value"))?, Corr::APART)
                    }
                    stored => {
                        let source = narrow(stored - 1, "corr.source")?;
                        let whole = match source.checked_sub(1) {
                            None => bodies.get(row).copied(),
                            Some(at) => {
                                let attributes = &self.chunk.attributes[attributes[row].range()];
                                attributes.get(at as usize).map(|attribute| attribute.value)
                            }
                        };
                        let (offset, length) = (columns.offsets[unit], columns.lengths[unit]);
                        (self.slice(whole, source, offset, length)?, source)
                    }
                };
                self.chunk.correlation.push(Corr {
                    key: *key,
                    value,
                    source,
                });
            }
            spans.push(between(range));
        }
        Ok(spans)
    }

    /// A part of a text of the row.
    fn slice(
        &self,
        whole: Option<Val>,
        source: u32,
        offset: u64,
        length: u64,
    ) -> Result<Text, Damage> {
        let Some(Val::Str(whole)) = whole else {
            return Err(damage("corr.source"));
        };
        // Of attributes no offset is written, so there is none to be lost.
        let end = offset.checked_add(length);
        let inside = end.is_some_and(|end| end <= u64::from(whole.length));
        if !inside || source > 0 && offset > 0 {
            return Err(damage("corr.offset"));
        }
        let text = Text {
            offset: whole.offset + narrow(offset, "corr.offset")?,
            length: narrow(length, "corr.length")?,
        };
        let valid = std::str::from_utf8(self.chunk.bytes(text)).is_ok();
        valid.then_some(text).ok_or_else(|| damage("corr.offset"))
    }
}

fn counted<T>(name: &str, list: Vec<T>, count: usize) -> Result<Vec<T>, Damage> {
    if list.len() == count {
        Ok(list)
    } else {
        Err(damage(name))
    }
}

fn between(range: &[u32]) -> Span32 {
    Span32 {
        first: range[0],
        count: range[1] - range[0],
    }
}

fn narrow(value: u64, what: &str) -> Result<u32, Damage> {
    u32::try_from(value).map_err(|_| damage(what))
}

fn index32(index: usize) -> Result<u32, Damage> {
    u32::try_from(index).map_err(|_| damage("a block of more than 4 GiB"))
}
