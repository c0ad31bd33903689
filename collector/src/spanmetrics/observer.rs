//! The store's view of the counter: it shows spans, and they are counted.

use model::StatusCode;
use storage::write::{Observe, StoredSpan};

use super::{Example, SpanMetrics};

/// Counts the spans that it is shown. Runs on the store's commit thread: it allocates only for
/// a series that is new.
pub struct Observer {
    metrics: SpanMetrics,
}

impl Observer {
    pub(super) fn new(metrics: SpanMetrics) -> Self {
        Self { metrics }
    }
}

impl Observe for Observer {
    #[allow(clippy::cast_precision_loss)]
    fn span(&mut self, span: &StoredSpan<'_>) {
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
        let status = StatusCode::from_code(span.status).map_or(0, |status| status as i32);
        self.metrics
            .record(span.service, span.name, kind, status, example);
    }
}
