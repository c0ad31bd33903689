//! What rules yield in a process without a store: sent to a collector over OTLP.
//!
//! An export is tried again as the OTLP specification allows, with growing delays, for ten
//! seconds at most: the next evaluation yields newer values anyway. What is given up is counted
//! by reason, and the rule says so.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent::exporters::retry::Backoff;
use env::Random;
use futures::future::BoxFuture;
use model::Signal;
use otlp::client::{Client, ClientError, ClientLimits, Outcome, Protocol};
use otlp::inflate::Encoding;
use query::alerts::{self, Written};
use tokio::time::Instant;

use super::encode;

/// How long the samples of one rule are tried.
const RETRY_FOR: Duration = Duration::from_secs(10);
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(200),
    max: Duration::from_secs(2),
};

/// Why samples were not written.
#[derive(Clone, Copy)]
enum Lost {
    /// No collector is named.
    NoCollector,
    /// The collector did not take them in time.
    GaveUp,
    /// The collector refused the request for good.
    Refused,
    /// The collector took the request and refused some of its points.
    Rejected,
}

impl Lost {
    const LABELS: [&str; 4] = ["no_collector", "gave_up", "refused", "rejected"];
}

/// What became of the samples so far.
#[derive(Default)]
pub(crate) struct Account {
    written: AtomicU64,
    retries: AtomicU64,
    lost: [AtomicU64; Lost::LABELS.len()],
}

impl Account {
    fn lose(&self, why: Lost, samples: u64) {
        self.lost[why as usize].fetch_add(samples, Ordering::Relaxed);
    }

    /// In the Prometheus text format.
    pub(crate) fn metrics_text(&self) -> String {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut text = String::new();
        for (name, count) in [
            ("written_samples", &self.written),
            ("write_retries", &self.retries),
        ] {
            let name = format!("throughline_rule_{name}_total");
            let _ = writeln!(text, "# TYPE {name} counter\n{name} {}", get(count));
        }
        let name = "throughline_rule_unwritten_samples_total";
        let _ = writeln!(text, "# TYPE {name} counter");
        for (reason, count) in Lost::LABELS.iter().zip(&self.lost) {
            let _ = writeln!(text, "{name}{{reason=\"{reason}\"}} {}", get(count));
        }
        text
    }
}

/// Sends samples to a collector; without one, refuses what rules record.
pub(crate) struct RemoteSink {
    client: Option<Client>,
    random: Arc<dyn Random>,
    account: Arc<Account>,
}

impl RemoteSink {
    /// A sink that sends to a collector's OTLP/gRPC address, if there is one.
    pub(crate) fn new(
        endpoint: Option<&str>,
        random: Arc<dyn Random>,
    ) -> Result<Self, ClientError> {
        let limits = ClientLimits {
            timeout: RETRY_FOR / 2,
            ..ClientLimits::default()
        };
        let client = endpoint
            .map(|endpoint| Client::new(endpoint, Protocol::Grpc, Encoding::Zstd, limits))
            .transpose()?;
        Ok(Self {
            client,
            random,
            account: Arc::default(),
        })
    }

    /// What became of the samples so far.
    pub(crate) fn account(&self) -> Arc<Account> {
        self.account.clone()
    }

    /// Sends until it is answered for good or the time is up.
    async fn send(&self, client: &Client, samples: &[Written]) -> Result<(), String> {
        let request = encode(samples);
        let count = samples.len() as u64;
        let deadline = Instant::now() + RETRY_FOR;
        let mut failures = 0;
        loop {
            let (asked, reason) = match client.send(Signal::Metrics, request.clone(), None).await {
                Outcome::Success {
                    rejected, message, ..
                } => {
                    let rejected = rejected.min(count);
                    let written = count - rejected;
                    self.account.written.fetch_add(written, Ordering::Relaxed);
                    self.account.lose(Lost::Rejected, rejected);
                    return match rejected {
                        0 => Ok(()),
                        _ => Err(format!(
                            "the collector refused {rejected} samples: {message}"
                        )),
                    };
                }
                Outcome::TooLarge { .. } if samples.len() > 1 => {
                    let (first, second) = samples.split_at(samples.len() / 2);
                    let first = Box::pin(self.send(client, first)).await;
                    return Box::pin(self.send(client, second)).await.and(first);
                }
                Outcome::Permanent { reason } | Outcome::TooLarge { reason } => {
                    self.account.lose(Lost::Refused, count);
                    return Err(format!("the collector refused the samples: {reason}"));
                }
                Outcome::Retryable { after, reason } => (after, reason),
            };
            failures += 1;
            let delay = asked.unwrap_or_else(|| BACKOFF.delay(failures, &*self.random));
            if Instant::now() + delay >= deadline {
                self.account.lose(Lost::GaveUp, count);
                return Err(format!("the collector did not take the samples: {reason}"));
            }
            self.account.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(delay).await;
        }
    }
}

impl alerts::Sink for RemoteSink {
    fn write(&self, samples: Vec<Written>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            if samples.is_empty() {
                return Ok(());
            }
            if let Some(client) = &self.client {
                return self.send(client, &samples).await;
            }
            self.account.lose(Lost::NoCollector, samples.len() as u64);
            // Alerts keep their state in a file and need no series of it.
            let of_alert = |sample: &Written| {
                let name = sample.labels.get("__name__");
                name.is_some_and(|name| name.starts_with("ALERTS"))
            };
            if samples.iter().all(of_alert) {
                return Ok(());
            }
            Err(
                "no collector takes what rules record; name one with query.write_to or --write-to"
                    .to_owned(),
            )
        })
    }
}
