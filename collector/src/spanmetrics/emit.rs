//! Writes what was counted.
//!
//! What changed is copied under the lock, tenant by tenant, and encoded while spans are counted on.
//! Counts are cumulative, so a write that is refused need not be kept as it was: its series count as
//! changed again, and with them what is written once, the zero that a series begins with and the
//! examples. They go with the next emission, in the memory that the series take anyway; all that is
//! missing is a point in between. A series is forgotten only when its last counts are written.
//!
//! Each write says up to which place in the store's log it covers the spans of its tenant, so that a
//! start after a kill counts those that it does not ([`storage::Store::set_observer`]).

use std::collections::VecDeque;

use model::{Format, Signal, Tenant};
use storage::write::{Batch, Mark, WriteError};

use super::SpanMetrics;
use super::points::{self, Item};
use crate::ingest::Sink;

/// About how long a request to the store is.
const REQUEST_BYTES: usize = 16 << 20;

impl SpanMetrics {
    /// Writes what was counted to `sink`, of all spans that were acknowledged before.
    pub async fn emit(&self, sink: &dyn Sink) {
        let shared = &*self.shared;
        let _alone = shared.emitting.lock().await;
        sink.observed().await;
        let emission = shared.state.lock().begin(shared.now());
        let mut all = true;
        for tenant in &emission.tenants {
            let taken = shared
                .state
                .lock()
                .take(tenant, &emission, shared.idle_nanos);
            all &= self.write(sink, tenant, emission.at.now, taken).await;
        }
        if all {
            sink.counted(emission.seen);
        }
    }

    /// Writes series of a tenant, which cover its spans up to the mark, or puts them back; says
    /// whether it could.
    async fn write(
        &self,
        sink: &dyn Sink,
        tenant: &Tenant,
        now: u64,
        (items, mark): (Vec<Item>, Mark),
    ) -> bool {
        let shared = &*self.shared;
        let mut waiting = parts(items);
        while let Some(mut part) = waiting.pop_front() {
            let batch = Batch {
                tenant: tenant.clone(),
                signal: Signal::Metrics,
                format: Format::Otlp,
                request: points::encode(&shared.shapes, now, &part).into(),
                stamp: None,
            };
            // A process that ends before the last part begins with all of them again.
            let covers = waiting.is_empty().then_some(mark);
            match sink.write_counts(batch, covers).await {
                Ok(ack) => {
                    let refused: u64 = ack.rejected.iter().map(|(_, points)| points).sum();
                    if refused > 0 {
                        let mut state = shared.state.lock();
                        state.totals_mut().refused_points += refused;
                        // Of which series they were the answer does not say.
                        state.put_back_zeros(tenant, &part, now);
                    }
                }
                Err(WriteError::TooLarge(_) | WriteError::Malformed(_)) if part.len() > 1 => {
                    let rest = part.split_off(part.len() / 2);
                    waiting.push_front(rest);
                    waiting.push_front(part);
                }
                Err(error @ (WriteError::TooLarge(_) | WriteError::Malformed(_))) => {
                    shared.state.lock().totals_mut().dropped_series += 1;
                    tracing::error!(%error, "the counts of a series of spans cannot be stored");
                }
                Err(error @ (WriteError::Retry { .. } | WriteError::Closed)) => {
                    let mut state = shared.state.lock();
                    state.totals_mut().failed_writes += 1;
                    state.put_back(
                        tenant,
                        part.into_iter().chain(waiting.into_iter().flatten()),
                    );
                    tracing::warn!(%error, %tenant, "span metrics are not stored yet");
                    return false;
                }
            }
        }
        true
    }
}

/// The series in parts that fit a request each.
fn parts(items: Vec<Item>) -> VecDeque<Vec<Item>> {
    let mut parts = VecDeque::new();
    let mut bytes = usize::MAX;
    for item in items {
        let more = item.bytes();
        if bytes.saturating_add(more) > REQUEST_BYTES {
            parts.push_back(Vec::new());
            bytes = 0;
        }
        bytes += more;
        if let Some(part) = parts.back_mut() {
            part.push(item);
        }
    }
    parts
}
