//! A block back to a chunk, so that its rows can be written again among others.
//!
//! What is written from the chunk reads back as what was read from the block: correlation pairs
//! are taken as they are stored, not looked for anew by keys that may have changed since. Each
//! distinct text is in the chunk's arena once.

mod rows;

use std::sync::Arc;

use model::{Resource, Scope, Signal};
use serde::de::DeserializeOwned;

use super::pick::{Source, damage};
use super::read::AttributeReader;
use super::table::{BlockTable, failed};
use crate::block::{BytesColumn, TextColumn};
use crate::chunk::{Attr, Chunk, Span32, Text, Val};
use crate::points::Entry;
use crate::table::Damage;

/// The columns of blocks of spans and log records but for those of attributes. A block with others was written by a later
/// build, and what they hold would be lost.
const COLUMNS: [&str; 55] = [
    "time",
    "resource",
    "scope",
    "resources",
    "scopes",
    "resource.service",
    "count.minute",
    "count.resource",
    "count.rows",
    "template.text",
    "template.minute",
    "template.index",
    "template.rows",
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
