//! Ties between roles that may not know each other: the agent half of `up` to the store, and what
//! rules yield to the ingest path.

mod remote;

use std::sync::Arc;
use std::time::Duration;

use agent::exporters::{Destination, Outcome, Stamp};
use bytes::Bytes;
use env::Clock;
use futures::future::BoxFuture;
use model::metric::{FLAG_NO_RECORDED_VALUE, MetricKind, PointValue, Series, Temporality};
use model::prometheus::{self, NAME_LABEL, TargetRef};
use model::row::Reject;
use model::{DataPoint, Format, KeyValue, Metric, Resource, Scope, Signal, Tenant};
use promql::engine::SampleValue;
use query::alerts;
use storage::Store;
use storage::write::{Batch, WriteError};

pub(crate) use remote::RemoteSink;

/// The store in this process as the agent's destination.
pub(crate) struct LocalStore {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
}

impl Destination for LocalStore {
    fn send(&self, signal: Signal, request: Bytes, stamp: Stamp) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let received = self.clock.unix_nanos();
            let batch = Batch {
                tenant: Tenant::default(),
                signal,
                format: Format::Otlp,
                request,
                stamp: Some(storage::write::Stamp {
                    agent: stamp.agent.to_string(),
                    epoch: stamp.epoch,
                    sequence: stamp.sequence,
                    sent_unix_nano: stamp.sent_unix_nano,
                    complete_to_unix_nano: stamp.complete_to_unix_nano,
                    clock: stamp.clock,
                }),
            };
            match self.store.write(batch).await {
                Ok(ack) => {
                    let (rejected, message) = refusals(&ack.rejected);
                    Outcome::Success {
                        rejected,
                        message,
                        received_unix_nano: Some(received),
                        replied_unix_nano: Some(self.clock.unix_nanos()),
                    }
                }
                Err(WriteError::Malformed(error)) => Outcome::Permanent {
                    reason: error.to_string(),
                },
                Err(WriteError::TooLarge(reason)) => Outcome::TooLarge { reason },
                Err(WriteError::Retry { reason, after_ms }) => Outcome::Retryable {
                    after: Some(Duration::from_millis(after_ms)),
                    reason,
                },
                Err(error @ WriteError::Closed) => Outcome::Retryable {
                    after: None,
                    reason: error.to_string(),
                },
            }
        })
    }
}

/// How many rows the store refused, and why.
fn refusals(rejected: &[(Reject, u64)]) -> (u64, String) {
    let reasons = rejected
        .iter()
        .map(|(reason, count)| format!("{count} {}", reason.message()));
    let message = reasons.collect::<Vec<_>>().join("; ");
    (rejected.iter().map(|(_, count)| count).sum(), message)
}

/// What rules yield, written to the store under the rule's name: numbers as gauges, histograms as
/// native ones.
pub(crate) struct StoreSink {
    pub store: Store,
}

impl alerts::Sink for StoreSink {
    fn write(&self, samples: Vec<alerts::Written>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            if samples.is_empty() {
                return Ok(());
            }
            let request = encode(&samples);
            let batch = Batch {
                tenant: Tenant::default(),
                signal: Signal::Metrics,
                format: Format::Otlp,
                request,
                stamp: None,
            };
            let ack = self.store.write(batch).await;
            let ack = ack.map_err(|error| error.to_string())?;
            match refusals(&ack.rejected) {
                (0, _) => Ok(()),
                (rejected, message) => {
                    Err(format!("the store refused {rejected} samples: {message}"))
                }
            }
        })
    }
}

fn encode(samples: &[alerts::Written]) -> Bytes {
    let scope = Arc::new(Scope::default());
    let series: Vec<(Series, Vec<DataPoint>)> = samples
        .iter()
        .map(|sample| {
            let label = |name: &str| sample.labels.get(name).cloned().unwrap_or_default();
            // `job` and `instance` come from the resource in the Prometheus view.
            let (job, instance) = (label("job"), label("instance"));
            let target = TargetRef {
                job: &job,
                instance: &instance,
            };
            let resource = Resource {
                attributes: target.owned(),
                ..Resource::default()
            };
            let attributes = sample
                .labels
                .iter()
                .filter(|(name, _)| *name != NAME_LABEL && !TargetRef::has(name))
                .map(|(name, value)| KeyValue::new(name, value.as_str()))
                .collect();
            let stale = sample.value.is_stale();
            let (known_as, kind, value) = match &sample.value {
                SampleValue::Float(_) if stale => ("gauge", MetricKind::Gauge, PointValue::Empty),
                SampleValue::Float(value) => {
                    ("gauge", MetricKind::Gauge, PointValue::Double(*value))
                }
                SampleValue::Histogram(histogram) => {
                    let value = PointValue::Native(histogram.to_native());
                    ("histogram", MetricKind::ExponentialHistogram, value)
                }
            };
            let temporality = match kind {
                MetricKind::Gauge => Temporality::None,
                _ => Temporality::Cumulative,
            };
            let metric = Metric {
                name: label(NAME_LABEL),
                description: String::new(),
                unit: String::new(),
                kind,
                temporality,
                monotonic: false,
                metadata: vec![prometheus::mark(known_as)],
            };
            let point = DataPoint {
                start_unix_nano: 0,
                // Only tests of rules have times before 1970, and store nothing here.
                time_unix_nano: u64::try_from(sample.unix_nano).unwrap_or_default(),
                flags: if stale { FLAG_NO_RECORDED_VALUE } else { 0 },
                value,
                exemplars: Vec::new(),
            };
            let series = Series {
                resource: Arc::new(resource),
                scope: scope.clone(),
                metric: Arc::new(metric),
                attributes,
            };
            (series, vec![point])
        })
        .collect();
    Bytes::from(otlp::encode::metrics(
        series
            .iter()
            .map(|(series, points)| (series, points.iter())),
    ))
}

#[cfg(test)]
mod tests;
