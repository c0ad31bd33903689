//! The store's view of the counter: it shows rows, and spans are counted.

use model::resource::UNKNOWN_SERVICE;
use model::row::{LogRef, MetricRef, PointRef, Reject, ResourceRef, RowSink, ScopeRef, SpanRef};
use model::{StatusCode, ValueRef};

use super::{Example, SpanMetrics};

/// Counts the spans that it is shown. Runs on the store's commit thread: it allocates only for
/// a series that is new.
pub struct Observer {
    metrics: SpanMetrics,
    service: String,
}

impl Observer {
    pub(super) fn new(metrics: SpanMetrics) -> Self {
        Self {
            metrics,
            service: UNKNOWN_SERVICE.to_owned(),
        }
    }
}

impl RowSink for Observer {
    fn resource(&mut self, resource: &ResourceRef<'_>) {
        let named = resource
            .attributes
            .iter()
            .rev()
            .find(|pair| pair.key == "service.name");
        let service = match named.map(|pair| pair.value) {
            Some(ValueRef::Str(name)) if !name.is_empty() => name,
            _ => UNKNOWN_SERVICE,
        };
        if service != self.service {
            service.clone_into(&mut self.service);
        }
    }

    fn scope(&mut self, _scope: &ScopeRef<'_>) {}

    #[allow(clippy::cast_precision_loss)]
    fn span(&mut self, span: &SpanRef<'_>) {
        let nanos = span.end_unix_nano.saturating_sub(span.start_unix_nano);
        let example = Example {
            trace_id: span.trace_id,
            span_id: span.span_id,
            time_unix_nano: span.end_unix_nano,
            seconds: nanos as f64 / 1e9,
        };
        // Codes beyond the known ones are one series each of "unspecified" and "unset".
        let kind = if (0..=5).contains(&span.kind) {
            span.kind
        } else {
            0
        };
        let status = span.status.map_or(0, |(code, _)| code);
        let status = StatusCode::from_code(status).map_or(0, |status| status as i32);
        self.metrics
            .record(&self.service, span.name, kind, status, example);
    }

    fn log(&mut self, _log: &LogRef<'_>) {}

    fn metric(&mut self, _metric: &MetricRef<'_>) {}

    fn point(&mut self, _point: &PointRef<'_>) {}

    fn reject(&mut self, _reason: Reject, _count: u64) {}
}
