//! OTLP export requests in protobuf, read by hand straight into a [`RowSink`].
//!
//! Nothing is copied and, but for exemplars, nothing is allocated per row: strings point into the
//! request and the lists of a row live in vectors that the next row reuses. Protobuf promises no
//! order of fields, so the envelopes are walked twice: first for the resource or scope and its
//! schema URL, then for what they hold. One that holds no row is not handed on: two bytes on the wire
//! are an empty one, and a compressed request may have millions of them.
//!
//! A list can take fifty times its encoding (an empty exemplar has two bytes on the wire), so the
//! sink is asked for room before one grows.
//!
//! The rules for bad rows are those of the OTLP specification and of [`model::row::Reject`]; a
//! request whose bytes are not protobuf is refused as a whole. Rows and verdicts are those of a
//! generated decoder, which the tests compare with, in two points with a word about it: where a
//! metric has more than one of `gauge`, `sum`, `histogram`, `exponential_histogram`, `summary`,
//! the last counts, but the points of the others are counted as rejected; and a value that is sent
//! in parts is put together within the limits of [`model::wire::Joined`] alone.

pub mod lists;
mod logs;
mod metrics;
mod spans;

use model::Signal;
use model::resource::EntityRef;
use model::room::allocation;
use model::row::{DecodeError, ResourceRef, RowSink, ScopeRef, Undecoded};
use model::value::KeyValueRef;
use model::wire::{self, Field, Joined, Reader};

use lists::{Peak, push};

/// Hands every row of an OTLP request to `sink`.
pub fn decode(signal: Signal, request: &[u8], sink: &mut dyn RowSink) -> Result<(), Undecoded> {
    decode_joining(signal, request, sink, &Joined::default())
}

/// The same, with what was sent in parts put together in `joined`. It bounds that for a request as a
/// whole, so one that needs it may be refused as a part of a larger one.
pub fn decode_joining(
    signal: Signal,
    request: &[u8],
    sink: &mut dyn RowSink,
    joined: &Joined,
) -> Result<(), Undecoded> {
    let reader = Reader::joining(request, joined);
    match signal {
        Signal::Traces => walk(reader, &mut spans::Spans::default(), sink),
        Signal::Logs => walk(reader, &mut logs::Logs::default(), sink),
        Signal::Metrics => walk(reader, &mut metrics::Metrics::default(), sink),
    }
}

/// Reads what lies inside a scope: a span, a log record, or a metric with its points.
trait Rows<'a> {
    fn row(
        &mut self,
        parent: &Reader<'a>,
        message: &'a [u8],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded>;
}

/// Lists of the present resource and scope.
#[derive(Default)]
struct Scratch<'a> {
    resource_attributes: Vec<KeyValueRef<'a>>,
    entity_refs: Vec<EntityRef>,
    /// What the entities allocate beside their list.
    entities: Peak,
    dropped_attributes_count: u32,
    schema_url: &'a str,
    /// Whether the sink has the present resource.
    handed_over: bool,
    scope_attributes: Vec<KeyValueRef<'a>>,
}

impl<'a> Scratch<'a> {
    fn begin_resource(&mut self) {
        self.resource_attributes.clear();
        self.entity_refs.clear();
        self.entities.restart();
        self.dropped_attributes_count = 0;
        self.schema_url = "";
        self.handed_over = false;
    }

    /// Hands the present resource over, before the first scope that has rows.
    fn hand_over(&mut self, sink: &mut dyn RowSink) -> Result<(), Undecoded> {
        if self.handed_over {
            return Ok(());
        }
        self.handed_over = true;
        Ok(sink.resource(&ResourceRef {
            attributes: &self.resource_attributes,
            dropped_attributes_count: self.dropped_attributes_count,
            entity_refs: &self.entity_refs,
            schema_url: self.schema_url,
        })?)
    }
}

// The three requests share their field numbers down to the row: request 1 -> resource envelope
// {1 resource, 2 scope envelope, 3 schema URL} -> scope envelope {1 scope, 2 row, 3 schema URL}.
fn walk<'a>(
    mut reader: Reader<'a>,
    rows: &mut dyn Rows<'a>,
    sink: &mut dyn RowSink,
) -> Result<(), Undecoded> {
    let mut scratch = Scratch::default();
    while let Some((number, field)) = reader.next()? {
        if number == 1 {
            resource_envelope(&reader, field.bytes(&reader)?, &mut scratch, rows, sink)?;
        }
    }
    Ok(())
}

fn resource_envelope<'a>(
    parent: &Reader<'a>,
    message: &'a [u8],
    scratch: &mut Scratch<'a>,
    rows: &mut dyn Rows<'a>,
    sink: &mut dyn RowSink,
) -> Result<(), Undecoded> {
    scratch.begin_resource();
    let mut has_scopes = false;
    let mut reader = parent.nested(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => resource(&reader, field.bytes(&reader)?, scratch, sink)?,
            2 => has_scopes = true,
            3 => scratch.schema_url = field.text(&reader)?,
            _ => {}
        }
    }
    if !has_scopes {
        return Ok(());
    }
    let mut reader = parent.nested(message);
    while let Some((number, field)) = reader.next()? {
        if number == 2 {
            scope_envelope(&reader, field.bytes(&reader)?, scratch, rows, sink)?;
        }
    }
    Ok(())
}

fn resource<'a>(
    parent: &Reader<'a>,
    message: &'a [u8],
    scratch: &mut Scratch<'a>,
    sink: &mut dyn RowSink,
) -> Result<(), Undecoded> {
    let mut reader = parent.nested(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => attribute(&reader, field, &mut scratch.resource_attributes, sink)?,
            2 => scratch.dropped_attributes_count = uint32(&reader, field)?,
            3 => {
                let message = field.bytes(&reader)?;
                let entity = entity_ref(&reader, message, &mut scratch.entities, sink)?;
                push(&mut scratch.entity_refs, entity, sink)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn entity_ref<'a>(
    parent: &Reader<'a>,
    message: &'a [u8],
    memory: &mut Peak,
    sink: &mut dyn RowSink,
) -> Result<EntityRef, Undecoded> {
    let mut entity = EntityRef::default();
    let mut reader = parent.nested(message);
    while let Some((number, field)) = reader.next()? {
        if !matches!(number, 1..=4) {
            continue;
        }
        let text = field.text(&reader)?;
        // A list of keys may have grown to twice what is in it.
        memory.add(allocation(text.len()) + 2 * size_of::<String>(), sink)?;
        match number {
            1 => text.clone_into(&mut entity.schema_url),
            2 => text.clone_into(&mut entity.r#type),
            3 => entity.id_keys.push(text.to_owned()),
            _ => entity.description_keys.push(text.to_owned()),
        }
    }
    Ok(entity)
}

fn scope_envelope<'a>(
    parent: &Reader<'a>,
    message: &'a [u8],
    scratch: &mut Scratch<'a>,
    rows: &mut dyn Rows<'a>,
    sink: &mut dyn RowSink,
) -> Result<(), Undecoded> {
    let attributes = &mut scratch.scope_attributes;
    attributes.clear();
    let mut scope = ScopeRef::default();
    let mut has_rows = false;
    let mut reader = parent.nested(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => {
                let mut inner = reader.nested(field.bytes(&reader)?);
                while let Some((number, field)) = inner.next()? {
                    match number {
                        1 => scope.name = field.text(&inner)?,
                        2 => scope.version = field.text(&inner)?,
                        3 => attribute(&inner, field, attributes, sink)?,
                        4 => scope.dropped_attributes_count = uint32(&inner, field)?,
                        _ => {}
                    }
                }
            }
            2 => has_rows = true,
            3 => scope.schema_url = field.text(&reader)?,
            _ => {}
        }
    }
    if !has_rows {
        return Ok(());
    }
    let mut handed_over = false;
    let mut reader = parent.nested(message);
    while let Some((number, field)) = reader.next()? {
        if number != 2 {
            continue;
        }
        let row = field.bytes(&reader)?;
        if !handed_over {
            handed_over = true;
            scratch.hand_over(sink)?;
            sink.scope(&ScopeRef {
                attributes: &scratch.scope_attributes,
                ..scope
            })?;
        }
        rows.row(&reader, row, sink)?;
    }
    Ok(())
}

/// Reads one `KeyValue` field onto `list`.
#[inline]
fn attribute<'a>(
    reader: &Reader<'a>,
    field: Field<'a>,
    list: &mut Vec<KeyValueRef<'a>>,
    sink: &mut dyn RowSink,
) -> Result<(), Undecoded> {
    let pair = wire::key_value(reader, field.bytes(reader)?)?;
    Ok(push(list, pair, sink)?)
}

/// A uint32 field; protobuf keeps the lower half of a longer varint.
#[allow(clippy::cast_possible_truncation)]
fn uint32(reader: &Reader<'_>, field: Field<'_>) -> Result<u32, DecodeError> {
    Ok(field.varint(reader)? as u32)
}

/// An int32 or enum field; protobuf keeps the lower half of a longer varint.
#[allow(clippy::cast_possible_truncation)]
fn int32(reader: &Reader<'_>, field: Field<'_>) -> Result<i32, DecodeError> {
    Ok(field.varint(reader)? as i32)
}

/// An index into a scratch list. A request holds at most 4 GiB, so that an index fits.
fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
