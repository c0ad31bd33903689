//! Spans.

use model::row::{DecodeError, EventRef, LinkRef, Reject, RowSink, SpanRef, Undecoded};
use model::value::KeyValueRef;
use model::wire::Reader;
use model::{SpanId, TraceId};

use super::lists::push;
use super::{Rows, attribute, index, int32, uint32};

/// Lists of the present span.
#[derive(Default)]
pub(super) struct Spans<'a> {
    attributes: Vec<KeyValueRef<'a>>,
    events: Vec<EventRef<'a>>,
    links: Vec<LinkRef<'a>>,
    nested: Vec<KeyValueRef<'a>>,
}

/// The members of a span that are not lists.
#[derive(Default)]
struct Scalars<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_span_id: &'a [u8],
    trace_state: &'a str,
    flags: u32,
    name: &'a str,
    kind: i32,
    start_unix_nano: u64,
    end_unix_nano: u64,
    dropped_attributes_count: u32,
    dropped_events_count: u32,
    dropped_links_count: u32,
    status: Option<(i32, &'a str)>,
}

impl<'a> Rows<'a> for Spans<'a> {
    fn row(
        &mut self,
        parent: &Reader<'a>,
        message: &'a [u8],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        let span = self.read(parent, message, sink)?;
        let Some(trace_id) = TraceId::from_wire(span.trace_id) else {
            sink.reject(Reject::InvalidTraceId, 1);
            return Ok(());
        };
        let Some(span_id) = SpanId::from_wire(span.span_id) else {
            sink.reject(Reject::InvalidSpanId, 1);
            return Ok(());
        };
        Ok(sink.span(&SpanRef {
            trace_id,
            span_id,
            parent_span_id: SpanId::from_wire(span.parent_span_id),
            trace_state: span.trace_state,
            flags: span.flags,
            name: span.name,
            kind: span.kind,
            start_unix_nano: span.start_unix_nano,
            end_unix_nano: span.end_unix_nano,
            attributes: &self.attributes,
            dropped_attributes_count: span.dropped_attributes_count,
            events: &self.events,
            dropped_events_count: span.dropped_events_count,
            links: &self.links,
            dropped_links_count: span.dropped_links_count,
            status: span.status,
            nested_attributes: &self.nested,
            encoded_bytes: u32::try_from(message.len()).unwrap_or(u32::MAX),
        })?)
    }
}

impl<'a> Spans<'a> {
    fn read(
        &mut self,
        parent: &Reader<'a>,
        message: &'a [u8],
        sink: &mut dyn RowSink,
    ) -> Result<Scalars<'a>, Undecoded> {
        self.attributes.clear();
        self.events.clear();
        self.links.clear();
        self.nested.clear();
        let mut span = Scalars::default();
        let mut reader = parent.nested(message);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => span.trace_id = field.bytes(&reader)?,
                2 => span.span_id = field.bytes(&reader)?,
                3 => span.trace_state = field.text(&reader)?,
                4 => span.parent_span_id = field.bytes(&reader)?,
                5 => span.name = field.text(&reader)?,
                6 => span.kind = int32(&reader, field)?,
                7 => span.start_unix_nano = field.fixed64(&reader)?,
                8 => span.end_unix_nano = field.fixed64(&reader)?,
                9 => attribute(&reader, field, &mut self.attributes, sink)?,
                10 => span.dropped_attributes_count = uint32(&reader, field)?,
                11 => self.event(&reader, field.bytes(&reader)?, sink)?,
                12 => span.dropped_events_count = uint32(&reader, field)?,
                13 => self.link(&reader, field.bytes(&reader)?, sink)?,
                14 => span.dropped_links_count = uint32(&reader, field)?,
                15 => {
                    let status = field.bytes(&reader)?;
                    status_fields(&reader, status, span.status.get_or_insert((0, "")))?;
                }
                16 => span.flags = field.fixed32(&reader)?,
                _ => {}
            }
        }
        Ok(span)
    }

    fn event(
        &mut self,
        parent: &Reader<'a>,
        message: &'a [u8],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        let first = index(self.nested.len());
        let mut event = EventRef {
            time_unix_nano: 0,
            name: "",
            attributes: (first, first),
            dropped_attributes_count: 0,
        };
        let mut reader = parent.nested(message);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => event.time_unix_nano = field.fixed64(&reader)?,
                2 => event.name = field.text(&reader)?,
                3 => attribute(&reader, field, &mut self.nested, sink)?,
                4 => event.dropped_attributes_count = uint32(&reader, field)?,
                _ => {}
            }
        }
        event.attributes.1 = index(self.nested.len());
        Ok(push(&mut self.events, event, sink)?)
    }

    fn link(
        &mut self,
        parent: &Reader<'a>,
        message: &'a [u8],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        let first = index(self.nested.len());
        let mut link = LinkRef {
            trace_id: &[],
            span_id: &[],
            trace_state: "",
            attributes: (first, first),
            dropped_attributes_count: 0,
            flags: 0,
        };
        let mut reader = parent.nested(message);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => link.trace_id = field.bytes(&reader)?,
                2 => link.span_id = field.bytes(&reader)?,
                3 => link.trace_state = field.text(&reader)?,
                4 => attribute(&reader, field, &mut self.nested, sink)?,
                5 => link.dropped_attributes_count = uint32(&reader, field)?,
                6 => link.flags = field.fixed32(&reader)?,
                _ => {}
            }
        }
        link.attributes.1 = index(self.nested.len());
        Ok(push(&mut self.links, link, sink)?)
    }
}

fn status_fields<'a>(
    parent: &Reader<'a>,
    message: &'a [u8],
    status: &mut (i32, &'a str),
) -> Result<(), DecodeError> {
    let mut reader = parent.nested(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            2 => status.1 = field.text(&reader)?,
            3 => status.0 = int32(&reader, field)?,
            _ => {}
        }
    }
    Ok(())
}
