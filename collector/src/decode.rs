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
/// named, where that is not the default way.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    naming: Option<KeyValue>,
}

impl Decoder {
    /// A decoder that has metrics of OTLP named in this way.
    pub fn new(naming: Naming) -> Self {
        Self {
            naming: naming.mark(),
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
        match (format, &self.naming) {
            (Format::Otlp, Some(mark)) if signal == Signal::Metrics => {
                let mark = KeyValueRef {
                    key: &mark.key,
                    value: ValueRef::Str(mark.value.as_str().unwrap_or_default()),
                };
                otlp::decode::decode(signal, request, &mut Named { mark, sink })
            }
            (Format::Otlp, _) => otlp::decode::decode(signal, request, sink),
            (Format::RemoteWrite1 | Format::RemoteWrite2, _) => {
                remote_write::decode(format, request, sink)
            }
        }
    }
}

/// Adds a mark to the metrics that pass.
struct Named<'s> {
    mark: KeyValueRef<'s>,
    sink: &'s mut dyn RowSink,
}

impl RowSink for Named<'_> {
    fn room(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.sink.room(bytes)
    }

    fn resource(&mut self, resource: &ResourceRef<'_>) -> Result<(), NoRoom> {
        self.sink.resource(resource)
    }

    fn scope(&mut self, scope: &ScopeRef<'_>) -> Result<(), NoRoom> {
        self.sink.scope(scope)
    }

    fn span(&mut self, span: &SpanRef<'_>) -> Result<(), NoRoom> {
        self.sink.span(span)
    }

    fn log(&mut self, log: &LogRef<'_>) -> Result<(), NoRoom> {
        self.sink.log(log)
    }

    fn metric(&mut self, metric: &MetricRef<'_>) -> Result<(), NoRoom> {
        // What came by a protocol of Prometheus has names of its own, and a metric that says how it is
        // named, as span metrics do and what was exported from a store, stays so.
        let named = |pair: &KeyValueRef<'_>| matches!(pair.key, TYPE_KEY | NAMING_KEY);
        if metric.metadata.iter().any(named) {
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
