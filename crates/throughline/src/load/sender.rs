//! One connection: takes a request, waits for its time, sends it until there is an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use model::Signal;
use otlp::client::{Client, Outcome};
use otlp::server::unix_nanos;
use otlp::stamp::StampHeaders;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::remote_write;
use super::report::{AckMilliseconds, LoadReport};
use super::verify::{State, VerifyFile};
use super::{Batch, LoadOptions};

/// How long an unanswered request is sent again after the run's time is over. A receiver that
/// was killed and started again is back within it.
const GRACE: Duration = Duration::from_secs(20);
/// A receiver that took nothing at all for so long is not there.
const PATIENCE: Duration = Duration::from_secs(5);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A request that begins later than planned by more than a timer's step was held up by those
/// before it.
const LATE: Duration = Duration::from_millis(2);
/// Microseconds; longer ones count as this.
const LONGEST_MICROS: u64 = 600_000_000;

/// What all connections share.
pub(super) struct Shared {
    signal: Signal,
    /// Names this run; each connection adds its number. A receiver tells apart only so many
    /// sequence numbers of one agent, so connections that overtake each other are agents of
    /// their own.
    agent: String,
    connections: AtomicU64,
    rate: Option<u64>,
    duration: Duration,
    remote_write: bool,
    verify: Option<VerifyFile>,
    totals: Mutex<Totals>,
}

struct Totals {
    accepted: u64,
    rejected: u64,
    unknown: u64,
    requests: u64,
    retries: u64,
    bytes: u64,
    /// Microseconds.
    acks: Histogram<u64>,
    last_answer: Option<Instant>,
    last_problem: Option<String>,
    verify_error: Option<std::io::Error>,
}

impl Shared {
    pub(super) fn new(options: &LoadOptions, start: u64, verify: Option<VerifyFile>) -> Self {
        let acks = Histogram::new_with_bounds(1, LONGEST_MICROS, 3);
        Self {
            signal: options.signal,
            agent: format!("load-{}-{start:x}", options.seed),
            connections: AtomicU64::new(0),
            rate: options.rate,
            duration: options.duration,
            remote_write: options.remote_write,
            verify,
            totals: Mutex::new(Totals {
                accepted: 0,
                rejected: 0,
                unknown: 0,
                requests: 0,
                retries: 0,
                bytes: 0,
                acks: acks.expect("bounds and precision are constants in range"),
                last_answer: None,
                last_problem: None,
                verify_error: None,
            }),
        }
    }

    /// What happened, once all connections have ended.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn report(
        &self,
        options: &LoadOptions,
        clock: Instant,
    ) -> anyhow::Result<LoadReport> {
        let mut totals = self.totals.lock();
        if let Some(error) = totals.verify_error.take() {
            return Err(anyhow::Error::new(error).context("cannot write the verify file"));
        }
        let elapsed = totals
            .last_answer
            .map_or(Duration::ZERO, |last| last.duration_since(clock));
        let elapsed_seconds = elapsed.as_secs_f64();
        let per = |amount: u64, of: f64| if of > 0.0 { amount as f64 / of } else { 0.0 };
        let quantile = |quantile| totals.acks.value_at_quantile(quantile) as f64 / 1e3;
        Ok(LoadReport {
            signal: options.signal.name(),
            seed: options.seed,
            connections: options.connections,
            batch_items: options.batch_items,
            rate: options.rate,
            accepted_items: totals.accepted,
            rejected_items: totals.rejected,
            unknown_items: totals.unknown,
            requests: totals.requests,
            retries: totals.retries,
            elapsed_seconds,
            items_per_second: per(totals.accepted, elapsed_seconds),
            bytes_per_item: per(totals.bytes, totals.accepted as f64),
            ack_ms: AckMilliseconds {
                p50: quantile(0.5),
                p90: quantile(0.9),
                p99: quantile(0.99),
                max: totals.acks.max() as f64 / 1e3,
            },
            last_problem: totals.last_problem.clone(),
        })
    }

    /// Counts a request's end and writes it down.
    fn settle(&self, batch: &Batch, began: Instant, outcome: &Outcome) {
        let mut totals = self.totals.lock();
        let (state, rejected) = match outcome {
            Outcome::Success {
                rejected, message, ..
            } => {
                let rejected = (*rejected).min(batch.items);
                totals.accepted += batch.items - rejected;
                totals.bytes += batch.request.len() as u64;
                let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                totals.acks.saturating_record(micros.max(1));
                if rejected > 0 {
                    totals.last_problem = Some(message.clone());
                }
                match rejected {
                    0 => (State::Acknowledged, 0),
                    _ => (State::Partial, rejected),
                }
            }
            Outcome::Permanent { reason } | Outcome::TooLarge { reason } => {
                totals.last_problem = Some(reason.clone());
                (State::Rejected, batch.items)
            }
            Outcome::Retryable { .. } => (State::Unknown, 0),
        };
        totals.rejected += rejected;
        if state == State::Unknown {
            totals.unknown += batch.items;
        } else {
            totals.requests += 1;
            totals.last_answer = Some(Instant::now());
        }
        let written = self
            .verify
            .as_ref()
            .map_or(Ok(()), |verify| verify.write(batch, state, rejected));
        if let Err(error) = written {
            totals.verify_error.get_or_insert(error);
        }
    }

    fn failed(&self, reason: &str, again: bool) {
        let mut totals = self.totals.lock();
        totals.last_problem = Some(reason.to_owned());
        totals.retries += u64::from(again);
    }

    fn nothing_taken(&self) -> bool {
        self.totals.lock().requests == 0
    }
}

/// One connection.
pub(super) struct Sender {
    pub(super) client: Client,
    pub(super) shared: Arc<Shared>,
    pub(super) batches: Arc<tokio::sync::Mutex<mpsc::Receiver<Batch>>>,
    /// The start of the run.
    pub(super) clock: Instant,
}

impl Sender {
    pub(super) async fn run(self) {
        let number = self.shared.connections.fetch_add(1, Ordering::Relaxed);
        let mut stamp = StampHeaders {
            agent: format!("{}-{number}", self.shared.agent),
            epoch: 1,
            ..StampHeaders::default()
        };
        while self.clock.elapsed() < self.shared.duration {
            let Some(batch) = self.batches.lock().await.recv().await else {
                return;
            };
            let Some(began) = self.wait_for(&batch).await else {
                return;
            };
            stamp.sequence = batch.sequence;
            let outcome = self.send(&batch, &mut stamp).await;
            self.shared.settle(&batch, began, &outcome);
        }
    }

    /// Waits until the request's planned time, and tells from when its answer is awaited; none
    /// where the run ends before.
    async fn wait_for(&self, batch: &Batch) -> Option<Instant> {
        let Some(rate) = self.shared.rate else {
            return Some(Instant::now());
        };
        #[allow(clippy::cast_precision_loss)]
        let planned = Duration::from_secs_f64(batch.first_item as f64 / rate as f64);
        if planned >= self.shared.duration {
            return None;
        }
        let planned = self.clock + planned;
        tokio::time::sleep_until(planned.into()).await;
        let now = Instant::now();
        Some(if now.duration_since(planned) > LATE {
            planned
        } else {
            now
        })
    }

    /// Sends a request until it is answered, always under the same stamp.
    async fn send(&self, batch: &Batch, stamp: &mut StampHeaders) -> Outcome {
        let mut backoff = BACKOFF_MIN;
        loop {
            stamp.sent_unix_nano = unix_nanos();
            let request = batch.request.clone();
            let outcome = if self.shared.remote_write {
                let (path, headers) = (remote_write::PATH, &remote_write::HEADERS);
                self.client.post(path, headers, request).await
            } else {
                let signal = self.shared.signal;
                self.client.send(signal, request, Some(stamp)).await
            };
            let Outcome::Retryable { after, reason } = &outcome else {
                return outcome;
            };
            let pause = after.unwrap_or(backoff);
            let next = self.clock.elapsed() + pause;
            let hopeless = next > PATIENCE && self.shared.nothing_taken();
            let again = next < self.shared.duration + GRACE && !hopeless;
            self.shared.failed(reason, again);
            if !again {
                return outcome;
            }
            tokio::time::sleep(pause).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }
}
