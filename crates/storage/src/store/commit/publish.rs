//! What is durable becomes visible, is counted and answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::row::Reject;
use model::{Signal, Tenant};

use super::super::add;
use super::super::counters::signal_index;
use super::{Committer, Pending};
use crate::chunk::Chunk;
use crate::order::KEYS_FOR_TRACE_ORDER_MAX;
use crate::write::{Ack, Mark};

/// Chunks are joined up to this many rows: joining copies, and senders wait for it.
const CHUNK_ROWS_MAX: usize = 1_024;
/// And up to this many bytes.
const CHUNK_BYTES_MAX: usize = 2 << 20;

impl Committer {
    /// Makes committed rows visible, then answers.
    pub(super) fn publish(&mut self, written: Vec<Pending>) {
        let mut answers = Vec::with_capacity(written.len());
        let mut fresh: BTreeMap<(Tenant, Signal), Vec<Chunk>> = BTreeMap::new();
        let mut points: Vec<(Tenant, Chunk)> = Vec::new();
        for pending in written {
            let ack = self.ack(&pending);
            self.note(&pending);
            let Pending {
                batch,
                chunk,
                answer,
                holds,
                ..
            } = pending;
            answers.push((answer, ack, holds));
            if batch.signal == Signal::Metrics {
                points.push((batch.tenant, chunk));
                continue;
            }
            let chunks = fresh.entry((batch.tenant, batch.signal)).or_default();
            match chunks.last_mut() {
                Some(last) if may_join(last, &chunk) => last.absorb(&chunk),
                _ => chunks.push(chunk),
            }
        }
        let fresh: Vec<_> = fresh
            .into_iter()
            .flat_map(|(key, chunks)| {
                chunks
                    .into_iter()
                    .map(move |chunk| (key.clone(), Arc::new(chunk)))
            })
            .collect();
        {
            let mut view = self.core.view.write();
            let heads = Arc::make_mut(&mut view.active);
            for (key, chunk) in &fresh {
                self.growth.bytes += grown_bytes(chunk);
                push(heads.rows.entry(key.clone()).or_default(), chunk.clone());
            }
        }
        self.publish_points(points);
        self.core
            .counters
            .head_bytes
            .store(self.growth.bytes as u64, Ordering::Relaxed);
        for ((tenant, _), chunk) in &fresh {
            self.core.tails.publish(tenant, chunk, &self.core.counters);
        }
        for (answer, ack, holds) in answers {
            // Whoever has an answer finds the room free.
            drop(holds);
            let _ = answer.send(Ok(ack));
        }
        self.show(&fresh);
    }

    /// Shows the spans among these rows to whoever counts them.
    fn show(&self, fresh: &[((Tenant, Signal), Arc<Chunk>)]) {
        let spans = fresh
            .iter()
            .filter(|((_, signal), _)| *signal == Signal::Traces);
        if spans.clone().next().is_none() {
            return;
        }
        let end = self.journal.end();
        self.core.counting.stored(end);
        // Whoever was just answered may wait for this processor: where there are few of them, the
        // system wakes a thread where its waker runs, and lets that go on for a while.
        std::thread::yield_now();
        if let Some(observer) = self.core.observer.lock().as_mut() {
            let wanted = observer.attributes();
            // All of what has one position at once: who counts is never between two of its spans.
            observer.spans(Mark(end), &mut |see| {
                for ((tenant, _), chunk) in spans.clone() {
                    chunk.show_spans(tenant, &wanted, see);
                }
            });
        }
    }

    /// Adds points to the heads of their tenants, which this thread alone changes.
    fn publish_points(&mut self, points: Vec<(Tenant, Chunk)>) {
        for (tenant, chunk) in points {
            let known = self.core.view.read().active.points.get(&tenant).cloned();
            let head = known.unwrap_or_else(|| {
                let mut view = self.core.view.write();
                let heads = Arc::make_mut(&mut view.active);
                Arc::clone(heads.points.entry(tenant).or_default())
            });
            self.growth += head.append(&chunk);
        }
    }

    pub(super) fn ack(&self, pending: &Pending) -> Ack {
        let rejected = pending.chunk.rejected.iter();
        let mut rejected: Vec<(Reject, u64)> =
            rejected.map(|(reason, count)| (*reason, *count)).collect();
        rejected.sort_unstable();
        Ack {
            accepted: pending.chunk.rows() as u64,
            rejected,
            duplicate: false,
            points: pending.chunk.point_counts,
        }
    }

    /// Counts a stored batch and remembers up to when its sender is complete.
    pub(super) fn note(&self, pending: &Pending) {
        let counters = &self.core.counters;
        add(&counters.batches, 1);
        self.note_rows(&pending.chunk);
        self.core.acknowledged(pending.batch.stamp.as_ref());
    }

    fn note_rows(&self, chunk: &Chunk) {
        let counters = &self.core.counters;
        let rows = &counters.rows[signal_index(chunk.signal)];
        add(rows, chunk.rows() as u64);
        add(&counters.duplicate_keys, chunk.duplicate_keys);
        add(&counters.undated, chunk.undated);
        add(&counters.ahead, chunk.ahead.len() as u64);
        for (reason, count) in &chunk.rejected {
            let index = Reject::ALL
                .iter()
                .position(|other| other == reason)
                .unwrap_or_default();
            add(&counters.rejected[index], *count);
            let now = self.core.env.clock.monotonic_nanos();
            counters.refused.note(index, *count, now);
        }
    }
}

/// What a head grows by with a chunk of rows.
pub(in crate::store) fn grown_bytes(chunk: &Chunk) -> usize {
    chunk.heap_bytes() + flush_bytes(chunk)
}

/// About what writing a chunk to files takes in memory beyond what rows of few keys do: where a head has
/// thousands of them, most values are of their own, and each becomes a term and is counted. Heads of such
/// rows hold fewer of them.
fn flush_bytes(chunk: &Chunk) -> usize {
    match chunk.keys.len() {
        ..=KEYS_FOR_TRACE_ORDER_MAX => 0,
        _ => size_of_val(&chunk.attributes[..]),
    }
}

/// Adds a chunk, joined with those before it while they are small: like a merge sort, each row
/// is moved a logarithmic number of times.
pub(in crate::store) fn push(chunks: &mut Vec<Arc<Chunk>>, mut chunk: Arc<Chunk>) {
    while let Some(last) = chunks.last() {
        if last.rows() > 2 * chunk.rows() || !may_join(last, &chunk) {
            break;
        }
        chunk = Arc::new(Chunk::joined(last, &chunk));
        chunks.pop();
    }
    chunks.push(chunk);
}

/// Whether two chunks are small enough to become one.
fn may_join(one: &Chunk, other: &Chunk) -> bool {
    one.rows() + other.rows() <= CHUNK_ROWS_MAX
        && one.list_bytes() + other.list_bytes() <= CHUNK_BYTES_MAX
}
