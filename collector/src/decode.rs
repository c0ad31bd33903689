//! How the store reads what the receivers took.

use model::prometheus::{NAMING_KEY, Naming, TYPE_KEY};
use model::room::NoRoom;
use model::row::{
    Decode, LogRef, MetricRef, PointRef, Reject, ResourceRef, RowSink, ScopeRef, SpanRef, Undecoded,
};
use model::value::{KeyValue, KeyValueRef, ValueRef};
use model::{Format, Signal};
use otlp::decode::lists::reserve;

use crate::receivers::remote_write;

/// The decoder of every format that a collector takes. Metrics of OTLP get the mark of how they are
/// named, where that is not the default way, and where they would be taken for Prometheus' own.
///
/// Whoever turns metrics of Prometheus into OTLP says their type ([`TYPE_KEY`]), we and others alike. Only
/// ours are left as they are, which have no scope, as rules and agents send them; others, such as
/// OpenTelemetry's Collector, name the scope after their receiver, and have names and labels of OTLP.
#[derive(Debug, Clone)]
pub struct Decoder {
    mark: KeyValue,
    /// Whether it stands for the default way.
    is_default: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(Naming::default())
    }
}

impl Decoder {
    /// A decoder that has metrics of OTLP named in this way.
    pub fn new(naming: Naming) -> Self {
        let mark = naming.mark();
        Self {
            is_default: mark.is_none(),
            mark: mark.unwrap_or_else(Naming::fixed),
        }
    }
}

impl Decode for Decoder {
    fn decode(
        &self,
        format: Format,
        signal: Signal,
        request: &[u8],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        match format {
            Format::Otlp if signal == Signal::Metrics => {
                let mark = KeyValueRef {
                    key: &self.mark.key,
                    value: ValueRef::Str(self.mark.value.as_str().unwrap_or_default()),
                };
                let mut named = Named {
                    mark,
                    is_default: self.is_default,
                    has_scope: false,
                    sink,
                };
                otlp::decode::decode(signal, request, &mut named)
            }
            Format::Otlp => otlp::decode::decode(signal, request, sink),
            Format::RemoteWrite1 | Format::RemoteWrite2 => {
                remote_write::decode(format, request, sink)
            }
        }
    }
}

/// Adds a mark to the metrics that pass and need it.
struct Named<'s> {
    mark: KeyValueRef<'s>,
    is_default: bool,
    /// Whether the scope of the metrics that pass has a name.
    has_scope: bool,
    sink: &'s mut dyn RowSink,
}

impl Named<'_> {
    fn needs_mark(&self, metadata: &[KeyValueRef<'_>]) -> bool {
        let has = |key: &str| metadata.iter().any(|pair| pair.key == key);
        // What says how it is named, as span metrics do and what was exported from a store, stays so.
        !has(NAMING_KEY)
            && match has(TYPE_KEY) {
                true => self.has_scope,
                false => !self.is_default,
            }
    }
}

impl RowSink for Named<'_> {
    fn room(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.sink.room(bytes)
    }

    fn resource(&mut self, resource: &ResourceRef<'_>) -> Result<(), NoRoom> {
        self.sink.resource(resource)
    }

    fn scope(&mut self, scope: &ScopeRef<'_>) -> Result<(), NoRoom> {
        self.has_scope = !scope.name.is_empty();
        self.sink.scope(scope)
    }

    fn span(&mut self, span: &SpanRef<'_>) -> Result<(), NoRoom> {
        self.sink.span(span)
    }

    fn log(&mut self, log: &LogRef<'_>) -> Result<(), NoRoom> {
        self.sink.log(log)
    }

    fn metric(&mut self, metric: &MetricRef<'_>) -> Result<(), NoRoom> {
        if !self.needs_mark(metric.metadata) {
            return self.sink.metric(metric);
        }
        let mut metadata = Vec::new();
        reserve(&mut metadata, metric.metadata.len() + 1, self)?;
        metadata.extend_from_slice(metric.metadata);
        metadata.push(self.mark);
        self.sink.metric(&MetricRef {
            metadata: &metadata,
            ..*metric
        })
    }

    fn point(&mut self, point: &PointRef<'_>) -> Result<(), NoRoom> {
        self.sink.point(point)
    }

    fn reject(&mut self, reason: Reject, count: u64) {
        self.sink.reject(reason, count);
    }
}

#[cfg(test)]
mod tests;
