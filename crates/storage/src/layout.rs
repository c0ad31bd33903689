//! How rows become the columns of a block, and back.
//!
//! [`encode`] turns rows of chunks into one block; [`BlockTable`] answers filters from its
//! columns, decoding only those that are asked for, and builds rows again. A row read back
//! equals the row sent.
//!
//! Columns of every block (one value per row unless noted):
//!
//! | column | kind | holds |
//! |---|---|---|
//! | `time` | UInt | span start; a record's own time; a point's time |
//! | `resource`, `scope` | UInt | index into `resources`, `scopes` (spans and log records) |
//! | `resources`, `scopes` | Bytes | one encoded resource or scope each, sorted |
//! | `resource.service` | Text | the service of each resource |
//! | `count.minute`, `count.resource`, `count.rows` | UInt | rows by minute and resource, see `summary.rs` |
//! | `clock.offset`, `clock.error` | Int, UInt | the sender's clock offset; its error + 1, 0 where not measured (spans and log records) |
//! | `attr.shape` | UInt | index into `attr.shapes` |
//! | `attr.shapes` | Bytes | per shape the indices into `attr.keys`, as varints, in order |
//! | `attr.keys`, `attr.kinds` | Text, UInt | key and value type of each attribute column |
//! | `attr.T:KEY` | by type | the values of that key and type `T`, in row order |
//! | `corr.count`, `corr.key`, `corr.source`, `corr.offset`, `corr.length`, `corr.value` | UInt, Text, UInt, Text | correlation pairs: where the value stands in the row, or the value |
//!
//! Value types `T`: `s` text, `i` int, `d` double, `b` bool, `x` bytes, `a` array, `k` key-value
//! list (the last two in protobuf encoding), `e` empty (no column of values).
//!
//! Spans: `duration` (end - start, wrapping), `trace_id`, `span_id`, `parent` (distance in rows
//! to the parent, 0 for none, `i64::MIN` when it lies in `parent.raw`), `name`, `kind`,
//! `status` (code + 1, 0 for none), `status.message`, `trace_state`, `flags`,
//! `attr.dropped`, `event.count`, `event.dropped`, `link.count`, `link.dropped`; per event
//! `event.time` (less the span's start), `event.name`, `event.attr.*`; per link `link.trace_id`,
//! `link.span_id`, `link.trace_state`, `link.flags`, `link.attr.*`.
//!
//! Log records: `observed` (less `time`, wrapping), `trace_id` (zero for none), `span_id`
//! (`span_id.present`), `severity`, `severity.text`, `body.kind` (as `T`'s position) with
//! `body` for text and `body.int`, `body.double`, `body.bytes` for the rest, `event_name`,
//! `flags`, `attr.dropped`; `template.text` and `template.minute`, `template.index`, `template.rows`
//! count bodies by template and minute, see `bodies.rs`.
//!
//! Points: see [`crate::points::block`]. Earlier builds wrote one row a point: `series` (index into
//! `series.def`), `start` (`time` less it, wrapping), `flags`, `value.kind` (0 int, 1 double, 2
//! encoded), `value.int`, `value.double`, `value.bytes`, `exemplars`; per series `series.def`, and
//! `resources`, `scopes`, `metrics` that it points to.

mod attributes;
mod bodies;
mod clock;
mod correlation;
mod encode;
mod fields;
mod interned;
mod keys;
mod nested;
mod pick;
mod points;
mod read;
mod rows;
mod severity;
mod shared;
mod sizes;
mod summary;
mod table;
mod templates;
#[cfg(test)]
mod tests;
mod thaw;

use crate::chunk::Val;

pub(crate) use bodies::KnownTemplates;
pub(crate) use encode::{RowRef, encode};
pub(crate) use interned::Interned;
pub(crate) use summary::{KnownKeys, MINUTE_NANOS, Summary};
pub(crate) use table::BlockTable;
pub(crate) use templates::{Decided, decide};

/// Value types in the order of their codes.
pub(crate) const TYPES: [char; 8] = ['s', 'i', 'd', 'b', 'x', 'a', 'k', 'e'];

/// Code of a value's type.
pub(crate) fn type_code(value: Val) -> u8 {
    match value {
        Val::Str(_) => 0,
        Val::Int(_) => 1,
        Val::Double(_) => 2,
        Val::Bool(_) => 3,
        Val::Bytes(_) => 4,
        Val::Array(_) => 5,
        Val::KvList(_) => 6,
        Val::Empty => 7,
    }
}

/// Stands for a body that was sent without a value, where 7 stands for none.
pub(crate) const EMPTY_BODY: u64 = 8;

/// A parent that lies outside of the block.
pub(crate) const PARENT_RAW: i64 = i64::MIN;

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: u64) {
    model::wire::put_varint(out, value);
}

/// Reads varints until the end; nothing if they are malformed.
pub(crate) fn varints(bytes: &[u8]) -> Option<Vec<u32>> {
    let mut list = Vec::new();
    let mut reader = model::wire::Reader::new(bytes);
    while !reader.is_empty() {
        list.push(u32::try_from(reader.varint().ok()?).ok()?);
    }
    Some(list)
}
