//! Writes what was counted.
//!
//! What changed is copied under the lock, tenant by tenant, and encoded while spans are counted on.
//! Counts are cumulative, so a write that is refused need not be kept as it was: its series count as
//! changed again, and with them what is written once, the zero that a series begins with and the
//! examples. They go with the next emission, in the memory that the series take anyway; all that is
//! missing is a point in between. A series is forgotten only when its last counts are written.

use std::collections::VecDeque;

use model::{Format, Signal, Tenant};
use storage::write::{Batch, WriteError};

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
        for tenant in &emission.tenants {
            let items = shared
                .state
                .lock()
                .take(tenant, &emission, shared.idle_nanos);
            self.write(sink, tenant, emission.at.now, items).await;
        }
    }

    /// Writes series of a tenant, or puts them back.
    async fn write(&self, sink: &dyn Sink, tenant: &Tenant, now: u64, items: Vec<Item>) {
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
            match sink.write(batch).await {
                Ok(ack) => {
                    let refused: u64 = ack.rejected.iter().map(|(_, points)| points).sum();
                    if refused > 0 {
                        let mut state = shared.state.lock();
                        state.totals_mut().refused_points += refused;
                        // Of which series they were the answer does not say.
                        state.put_back_zeros(tenant, &part);
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
                    return;
                }
            }
        }
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
