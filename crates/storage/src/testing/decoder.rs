//! A wire format that needs no OTLP: rows in postcard.

use model::metric::Series;
use model::room::NoRoom;
use model::row::*;
use model::value::KeyValueRef;
use model::*;

/// Requests of tests: rows in postcard.
pub(crate) struct TestDecoder;

/// Values lent as the decoder would lend them.
struct Lent(Vec<(String, crate::table::SharedValue)>);

impl Lent {
    fn new(attributes: &[KeyValue]) -> Self {
        Self(
            attributes
                .iter()
                .map(|kv| (kv.key.clone(), crate::table::SharedValue::new(&kv.value)))
                .collect(),
        )
    }

    fn refs(&self) -> Vec<KeyValueRef<'_>> {
        self.0
            .iter()
            .map(|(key, value)| KeyValueRef {
                key,
                value: value.value(),
            })
            .collect()
    }
}

fn envelope(resource: &Resource, scope: &Scope, sink: &mut dyn RowSink) -> Result<(), NoRoom> {
    let attributes = Lent::new(&resource.attributes);
    sink.resource(&ResourceRef {
        attributes: &attributes.refs(),
        dropped_attributes_count: resource.dropped_attributes_count,
        entity_refs: &resource.entity_refs,
        schema_url: &resource.schema_url,
    })?;
    let attributes = Lent::new(&scope.attributes);
    sink.scope(&ScopeRef {
        name: &scope.name,
        version: &scope.version,
        attributes: &attributes.refs(),
        dropped_attributes_count: scope.dropped_attributes_count,
        schema_url: &scope.schema_url,
    })
}

fn span(span: &Span, sink: &mut dyn RowSink) -> Result<(), NoRoom> {
    envelope(&span.resource, &span.scope, sink)?;
    let attributes = Lent::new(&span.attributes);
    let mut all = Vec::new();
    let mut range = |list: &[KeyValue]| {
        let first = all.len() as u32;
        all.extend(list.iter().cloned());
        (first, all.len() as u32)
    };
    let events: Vec<_> = span
        .events
        .iter()
        .map(|e| (e, range(&e.attributes)))
        .collect();
    let links: Vec<_> = span
        .links
        .iter()
        .map(|l| (l, range(&l.attributes)))
        .collect();
    let nested = Lent::new(&all);
    let events: Vec<EventRef<'_>> = events
        .iter()
        .map(|(event, attributes)| EventRef {
            time_unix_nano: event.time_unix_nano,
            name: &event.name,
            attributes: *attributes,
            dropped_attributes_count: event.dropped_attributes_count,
        })
        .collect();
    let links: Vec<LinkRef<'_>> = links
        .iter()
        .map(|(link, attributes)| LinkRef {
            trace_id: &link.trace_id,
            span_id: &link.span_id,
            trace_state: &link.trace_state,
            attributes: *attributes,
            dropped_attributes_count: link.dropped_attributes_count,
            flags: link.flags,
        })
        .collect();
    sink.span(&SpanRef {
        trace_id: span.trace_id,
        span_id: span.span_id,
        parent_span_id: span.parent_span_id,
        trace_state: &span.trace_state,
        flags: span.flags,
        name: &span.name,
        kind: span.kind,
        start_unix_nano: span.start_unix_nano,
        end_unix_nano: span.end_unix_nano,
        attributes: &attributes.refs(),
        dropped_attributes_count: span.dropped_attributes_count,
        events: &events,
        dropped_events_count: span.dropped_events_count,
        links: &links,
        dropped_links_count: span.dropped_links_count,
        status: span
            .has_status
            .then_some((span.status_code, span.status_message.as_str())),
        nested_attributes: &nested.refs(),
        encoded_bytes: 100,
    })
}

fn log(log: &LogRecord, sink: &mut dyn RowSink) -> Result<(), NoRoom> {
    envelope(&log.resource, &log.scope, sink)?;
    let attributes = Lent::new(&log.attributes);
    let body = crate::table::SharedValue::new(&log.body);
    sink.log(&LogRef {
        time_unix_nano: log.time_unix_nano,
        observed_time_unix_nano: log.observed_time_unix_nano,
        severity_number: log.severity_number,
        severity_text: &log.severity_text,
        body: body.value(),
        has_empty_body: log.has_empty_body,
        attributes: &attributes.refs(),
        dropped_attributes_count: log.dropped_attributes_count,
        flags: log.flags,
        trace_id: log.trace_id,
        span_id: log.span_id,
        event_name: &log.event_name,
    })
}

fn point(series: &Series, point: &DataPoint, sink: &mut dyn RowSink) -> Result<(), NoRoom> {
    envelope(&series.resource, &series.scope, sink)?;
    let metadata = Lent::new(&series.metric.metadata);
    sink.metric(&MetricRef {
        name: &series.metric.name,
        description: &series.metric.description,
        unit: &series.metric.unit,
        kind: series.metric.kind,
        temporality: series.metric.temporality,
        monotonic: series.metric.monotonic,
        metadata: &metadata.refs(),
    })?;
    let attributes = Lent::new(&series.attributes);
    sink.point(&PointRef {
        attributes: &attributes.refs(),
        start_unix_nano: point.start_unix_nano,
        time_unix_nano: point.time_unix_nano,
        flags: point.flags,
        value: &point.value,
        exemplars: &point.exemplars,
    })
}

impl Decode for TestDecoder {
    fn decode(
        &self,
        format: Format,
        signal: Signal,
        request: &[u8],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        let error = || DecodeError {
            offset: 0,
            reason: "not a test request",
        };
        let malformed = |_| error();
        // Read as what it is not, a request must not seem to be one.
        let request = match format {
            Format::Otlp => request,
            other => request.strip_prefix(&[other as u8]).ok_or_else(error)?,
        };
        match signal {
            Signal::Traces => {
                let rows: Vec<Span> = postcard::from_bytes(request).map_err(malformed)?;
                rows.iter().try_for_each(|row| span(row, sink))?;
            }
            Signal::Logs => {
                let rows: Vec<LogRecord> = postcard::from_bytes(request).map_err(malformed)?;
                rows.iter().try_for_each(|row| log(row, sink))?;
            }
            Signal::Metrics => {
                let rows: Vec<(Series, DataPoint)> =
                    postcard::from_bytes(request).map_err(malformed)?;
                rows.iter()
                    .try_for_each(|(series, row)| point(series, row, sink))?;
            }
        }
        Ok(())
    }
}
