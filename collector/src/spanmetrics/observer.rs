//! The store's view of the counter: it shows spans, and they are counted.

use std::sync::Arc;

use storage::write::{Mark, Observe, Show};

use super::SpanMetrics;

/// Counts the spans that it is shown. Runs on the store's commit thread: it allocates only for
/// series that are new and for spans that wait for the other side of their request.
pub struct Observer {
    metrics: SpanMetrics,
}

impl Observer {
    pub(super) fn new(metrics: SpanMetrics) -> Self {
        Self { metrics }
    }
}

impl Observe for Observer {
    fn attributes(&self) -> Arc<[String]> {
        Arc::clone(&self.metrics.shared.attributes)
    }

    fn spans(&mut self, mark: Mark, show: &mut Show<'_>) {
        let shared = &self.metrics.shared;
        let now = shared.now();
        let mut state = shared.state.lock();
        show(&mut |span| state.see(span, now));
        state.seen(mark);
    }
}
