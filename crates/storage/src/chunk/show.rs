//! Shows the spans of a chunk to whoever counts them.

use std::borrow::Cow;

use model::value::{self, Value};
use model::{SpanId, Tenant, TraceId};

use super::{Chunk, SpanRow, Val};
use crate::write::{See, SpanDetails, StoredSpan};

/// One span, and where the attributes are that may be asked for.
struct Details<'a> {
    chunk: &'a Chunk,
    row: &'a SpanRow,
    /// The keys by place, and as they are interned in the chunk.
    wanted: &'a [String],
    keys: &'a [Option<u32>],
}

impl<'a> SpanDetails<'a> for Details<'a> {
    fn attribute(&self, place: usize) -> Option<Cow<'a, str>> {
        let key = (*self.keys.get(place)?)?;
        let attributes = &self.chunk.attributes[self.row.attributes.range()];
        // Of a key that comes twice, the last one counts.
        let found = attributes.iter().rfind(|attribute| attribute.key == key)?;
        match found.value {
            Val::Str(text) => Some(Cow::Borrowed(self.chunk.str(text))),
            value @ (Val::Bool(_) | Val::Int(_) | Val::Double(_)) => {
                Some(Cow::Owned(self.chunk.value(value).to_text()))
            }
            Val::Empty | Val::Bytes(_) | Val::Array(_) | Val::KvList(_) => None,
        }
    }

    fn resource_attribute(&self, place: usize) -> Option<Cow<'a, str>> {
        let resource = &self.chunk.resources[self.row.resource as usize].value;
        let value = value::last(&resource.attributes, self.wanted.get(place)?)?;
        match value {
            Value::Str(text) => Some(Cow::Borrowed(text)),
            Value::Bool(_) | Value::Int(_) | Value::Double(_) => Some(Cow::Owned(value.to_text())),
            _ => None,
        }
    }

    fn links(&self, each: &mut dyn FnMut(TraceId, SpanId)) {
        for link in &self.chunk.links[self.row.links.range()] {
            let trace_id = TraceId::from_wire(self.chunk.bytes(link.trace_id));
            let span_id = SpanId::from_wire(self.chunk.bytes(link.span_id));
            if let (Some(trace_id), Some(span_id)) = (trace_id, span_id) {
                each(trace_id, span_id);
            }
        }
    }
}

impl Chunk {
    /// Shows the spans, if that is what the rows are. `wanted` are the attributes that may be asked
    /// for.
    pub(crate) fn show_spans(&self, tenant: &Tenant, wanted: &[String], see: &mut See<'_>) {
        if self.spans.is_empty() {
            return;
        }
        let keys: Vec<Option<u32>> = wanted.iter().map(|key| self.keys.find(key)).collect();
        let resources = self.resources.iter();
        let services: Vec<&str> = resources.map(|entry| entry.value.service()).collect();
        for (row, trace_id) in self.spans.iter().zip(&self.trace_ids) {
            let details = Details {
                chunk: self,
                row,
                wanted,
                keys: &keys,
            };
            see(&StoredSpan {
                tenant,
                service: services[row.resource as usize],
                resource: &self.resources[row.resource as usize].value,
                name: self.str(row.name),
                kind: row.kind,
                status: row.status.unwrap_or_default(),
                start_unix_nano: row.start,
                end_unix_nano: row.end,
                trace_id: *trace_id,
                span_id: SpanId(row.span_id),
                parent_span_id: SpanId::from_wire(&row.parent),
                bytes: row.encoded_bytes.into(),
                details: &details,
            });
        }
    }
}
