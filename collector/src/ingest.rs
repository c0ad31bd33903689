//! From a received export to the store and back: the one place where what the store says
//! becomes what the sender hears.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use model::room::Budget;
use model::row::Reject;
use model::{Format, Signal};
use otlp::exposition::Sample;
use otlp::server::{Accept, Admission, Export, Verdict};
use otlp::stamp::StampHeaders;
use storage::Store;
use storage::write::{Ack, Batch, Mark, Observe, Stamp, WriteError};

/// Where batches go.
pub trait Sink: Send + Sync {
    /// Resolves when the batch is durable and answers queries, or is refused.
    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<Ack, WriteError>>;

    /// The same for counts of spans, which cover those of their tenant up to a mark; none where
    /// more of them follow.
    fn write_counts(
        &self,
        batch: Batch,
        to: Option<Mark>,
    ) -> BoxFuture<'_, Result<Ack, WriteError>>;

    /// Notes that the counts of all spans before a mark are written.
    fn counted(&self, mark: Mark);

    /// Resolves when counts are to be written without delay.
    fn counts_wanted(&self) -> BoxFuture<'_, ()>;

    /// Shows every span to `observer` whose counts were not written before the start, and then every
    /// newly stored one, once it is acknowledged.
    fn observe(&self, observer: Box<dyn Observe>);

    /// Resolves when the observer has seen every span that was acknowledged before the call.
    fn observed(&self) -> BoxFuture<'_, ()>;

    /// The memory that batches in work may take; the requests that they come from count too.
    fn budget(&self) -> Arc<Budget>;

    /// What the sink counts.
    fn metrics(&self) -> Vec<Sample>;
}

impl Sink for Store {
    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<Ack, WriteError>> {
        Box::pin(Store::write(self, batch))
    }

    fn write_counts(
        &self,
        batch: Batch,
        to: Option<Mark>,
    ) -> BoxFuture<'_, Result<Ack, WriteError>> {
        Box::pin(Store::write_counts(self, batch, to))
    }

    fn counted(&self, mark: Mark) {
        Store::counted(self, mark);
    }

    fn counts_wanted(&self) -> BoxFuture<'_, ()> {
        Box::pin(Store::counts_wanted(self))
    }

    fn observe(&self, observer: Box<dyn Observe>) {
        self.set_observer(observer);
    }

    fn observed(&self) -> BoxFuture<'_, ()> {
        Box::pin(Store::observed(self))
    }

    fn budget(&self) -> Arc<Budget> {
        Store::budget(self)
    }

    fn metrics(&self) -> Vec<Sample> {
        let sample = |(name, labels, value)| Sample {
            name,
            labels,
            value,
        };
        Store::metrics(self).into_iter().map(sample).collect()
    }
}

/// Takes exports from the receivers into the store.
pub struct Ingest {
    sink: Arc<dyn Sink>,
    admission: Admission,
    counters: Counters,
}

/// When a sender is asked to come back while the store shuts down.
const CLOSED_RETRY: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Counters {
    accepted: [AtomicU64; 3],
    rejected: [[AtomicU64; Reject::ALL.len()]; 3],
    duplicates: AtomicU64,
    malformed: AtomicU64,
    too_large: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
}

impl Ingest {
    /// Takes exports into `sink`.
    pub fn new(sink: Arc<dyn Sink>, admission: Admission) -> Self {
        Self {
            sink,
            admission,
            counters: Counters::default(),
        }
    }

    /// Lets in, refuses, drains.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// What was counted.
    #[allow(clippy::cast_precision_loss)]
    pub fn metrics(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        let mut add = |name: &str, labels: &[(&str, &str)], value: u64| {
            samples.push(Sample::new(name, labels, value as f64));
        };
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for signal in Signal::ALL {
            let index = signal as usize - 1;
            let name = ("signal", signal.name());
            let accepted = get(&self.counters.accepted[index]);
            add(
                "throughline_collector_accepted_rows_total",
                &[name],
                accepted,
            );
            for (reason, count) in Reject::ALL.iter().zip(&self.counters.rejected[index]) {
                let labels = [name, ("reason", reason.label())];
                add(
                    "throughline_collector_rejected_rows_total",
                    &labels,
                    get(count),
                );
            }
        }
        for (reason, counter) in [
            ("duplicate", &self.counters.duplicates),
            ("malformed", &self.counters.malformed),
            ("too_large", &self.counters.too_large),
            ("retry", &self.counters.retried),
            ("refused", &self.counters.refused),
        ] {
            let labels = [("outcome", reason)];
            add(
                "throughline_collector_unstored_batches_total",
                &labels,
                get(counter),
            );
        }
        add(
            "throughline_collector_batches_in_work",
            &[],
            self.admission.in_work() as u64,
        );
        samples
    }

    fn count(&self, signal: Signal, result: &Result<Ack, WriteError>) {
        let bump = |counter: &AtomicU64, by| {
            counter.fetch_add(by, Ordering::Relaxed);
        };
        let index = signal as usize - 1;
        match result {
            Ok(ack) if ack.duplicate => bump(&self.counters.duplicates, 1),
            Ok(ack) => {
                bump(&self.counters.accepted[index], ack.accepted);
                for (reason, count) in &ack.rejected {
                    let known = Reject::ALL.iter().position(|known| known == reason);
                    if let Some(at) = known {
                        bump(&self.counters.rejected[index][at], *count);
                    }
                }
            }
            Err(WriteError::Malformed(_)) => bump(&self.counters.malformed, 1),
            Err(WriteError::TooLarge(_)) => bump(&self.counters.too_large, 1),
            Err(WriteError::Retry { .. } | WriteError::Closed) => bump(&self.counters.retried, 1),
        }
    }
}

impl Ingest {
    /// Stores a batch. An error is what its sender is to hear.
    pub async fn store(&self, batch: Batch) -> Result<Ack, Verdict> {
        let _admitted = self.admission.enter(&batch.tenant).inspect_err(|_| {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
        })?;
        let signal = batch.signal;
        let result = self.sink.write(batch).await;
        self.count(signal, &result);
        result.map_err(refusal)
    }
}

impl Accept for Ingest {
    fn accept(&self, export: Export) -> BoxFuture<'_, Verdict> {
        Box::pin(async move {
            let signal = export.signal;
            let batch = Batch {
                tenant: export.tenant,
                signal,
                format: Format::Otlp,
                request: export.request,
                stamp: export.stamp.map(stamp),
            };
            match self.store(batch).await {
                Ok(ack) => success(signal, &ack),
                Err(refused) => refused,
            }
        })
    }
}

fn stamp(headers: StampHeaders) -> Stamp {
    Stamp {
        agent: headers.agent,
        epoch: headers.epoch,
        sequence: headers.sequence,
        sent_unix_nano: headers.sent_unix_nano,
        complete_to_unix_nano: headers.complete_to_unix_nano,
        clock: headers.clock,
    }
}

fn success(signal: Signal, ack: &Ack) -> Verdict {
    let rejected = ack.rejected.iter().map(|(_, count)| count).sum();
    let message = if rejected == 0 {
        String::new()
    } else {
        reasons(signal, &ack.rejected)
    };
    Verdict::Accepted { rejected, message }
}

/// What the sender hears of a batch that was not stored.
fn refusal(error: WriteError) -> Verdict {
    match error {
        WriteError::Malformed(error) => Verdict::Malformed(error.to_string()),
        WriteError::TooLarge(reason) => Verdict::TooLarge(reason),
        WriteError::Retry { reason, after_ms } => Verdict::Unavailable {
            retry_after: Duration::from_millis(after_ms),
            reason,
        },
        error @ WriteError::Closed => Verdict::Unavailable {
            retry_after: CLOSED_RETRY,
            reason: error.to_string(),
        },
    }
}

/// How many rows were refused, and why.
pub(crate) fn reasons(signal: Signal, rejected: &[(Reject, u64)]) -> String {
    let rows = match signal {
        Signal::Traces => "spans",
        Signal::Logs => "log records",
        Signal::Metrics => "data points",
    };
    let total: u64 = rejected.iter().map(|(_, count)| count).sum();
    let each = rejected.iter().filter(|(_, count)| *count > 0);
    let each: Vec<String> = each
        .map(|(reason, count)| format!("{count} x {}", reason.message()))
        .collect();
    format!("{total} {rows} rejected: {}", each.join("; "))
}

#[cfg(test)]
pub(crate) mod tests;
