//! Log records.

use model::row::{LogRef, RowSink, Undecoded};
use model::value::KeyValueRef;
use model::wire::{Reader, any_value, any_value_again};
use model::{SpanId, TraceId, ValueRef};

use super::{Rows, attribute, int32, uint32};

/// Lists of the present log record.
#[derive(Default)]
pub(super) struct Logs<'a> {
    attributes: Vec<KeyValueRef<'a>>,
}

impl<'a> Rows<'a> for Logs<'a> {
    fn row(
        &mut self,
        parent: &Reader<'a>,
        message: &'a [u8],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        self.attributes.clear();
        let mut log = LogRef {
            time_unix_nano: 0,
            observed_time_unix_nano: 0,
            severity_number: 0,
            severity_text: "",
            body: ValueRef::Empty,
            has_empty_body: false,
            attributes: &[],
            dropped_attributes_count: 0,
            flags: 0,
            trace_id: None,
            span_id: None,
            event_name: "",
        };
        let mut body = None;
        let mut reader = parent.nested(message);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => log.time_unix_nano = field.fixed64(&reader)?,
                2 => log.severity_number = int32(&reader, field)?,
                3 => log.severity_text = field.text(&reader)?,
                5 => {
                    let message = field.bytes(&reader)?;
                    let read = match body {
                        None => (message, any_value(&reader, message)?),
                        Some(before) => any_value_again(&reader, before, message)?,
                    };
                    body = Some(read.0);
                    log.body = read.1;
                }
                6 => attribute(&reader, field, &mut self.attributes, sink)?,
                7 => log.dropped_attributes_count = uint32(&reader, field)?,
                8 => log.flags = field.fixed32(&reader)?,
                // A log record with a wrong id is kept without it.
                9 => log.trace_id = TraceId::from_wire(field.bytes(&reader)?),
                10 => log.span_id = SpanId::from_wire(field.bytes(&reader)?),
                11 => log.observed_time_unix_nano = field.fixed64(&reader)?,
                12 => log.event_name = field.text(&reader)?,
                _ => {}
            }
        }
        Ok(sink.log(&LogRef {
            has_empty_body: body.is_some() && log.body == ValueRef::Empty,
            attributes: &self.attributes,
            ..log
        })?)
    }
}
