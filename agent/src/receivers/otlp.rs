//! The relay: services send OTLP to the agent as they would to a collector, and the answer means
//! that the data is durable in the agent's queue.
//!
//! A request is decoded once before it is taken, so that what can never be stored is refused
//! here, where its sender still listens, and not days later in a dead-letter file.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use model::Signal;
use model::row::{
    Decode, LogRef, MetricRef, PointRef, Reject, ResourceRef, RowSink, ScopeRef, SpanRef,
};
use otlp::exposition;
use otlp::server::{Accept, Export, Receiver, ServerLimits, Status, Verdict};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::metrics::Metrics;
use crate::options::RelayOptions;
use crate::queue::{AppendError, Entry, Queue};

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for OTLP: {source}")]
pub struct ListenError {
    pub address: SocketAddr,
    pub source: std::io::Error,
}

/// Queues what services send.
struct Relay {
    queue: Queue,
    metrics: Metrics,
}

/// Counts rows and refusals.
#[derive(Default)]
struct Counted {
    rows: u64,
    rejected: Vec<(Reject, u64)>,
}

impl RowSink for Counted {
    fn resource(&mut self, _: &ResourceRef<'_>) {}
    fn scope(&mut self, _: &ScopeRef<'_>) {}
    fn metric(&mut self, _: &MetricRef<'_>) {}
    fn span(&mut self, _: &SpanRef<'_>) {
        self.rows += 1;
    }
    fn log(&mut self, _: &LogRef<'_>) {
        self.rows += 1;
    }
    fn point(&mut self, _: &PointRef<'_>) {
        self.rows += 1;
    }
    fn reject(&mut self, reason: Reject, count: u64) {
        match self.rejected.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, total)) => *total += count,
            None => self.rejected.push((reason, count)),
        }
    }
}

impl Counted {
    /// What the sender is told: the collector refuses the same rows for the same reasons.
    fn verdict(&self) -> Verdict {
        let mut message = String::new();
        for (reason, count) in &self.rejected {
            let separator = if message.is_empty() { "" } else { "; " };
            // Writing to a string cannot fail.
            let _written = write!(message, "{separator}{count} x {}", reason.message());
        }
        Verdict::Accepted {
            rejected: self.rejected.iter().map(|(_, count)| count).sum(),
            message,
        }
    }
}

impl Relay {
    async fn take(&self, export: Export) -> Verdict {
        let (signal, request) = (export.signal, export.request.clone());
        let mut counted = Counted::default();
        if let Err(error) = otlp::Decoder.decode(signal, &request, &mut counted) {
            return Verdict::Malformed(error.to_string());
        }
        let rejected: u64 = counted.rejected.iter().map(|(_, count)| count).sum();
        if counted.rows + rejected == 0 {
            return Verdict::STORED;
        }
        if counted.rows == 0 {
            // Nothing of it would be stored, so nothing of it travels.
            self.refused(signal, rejected);
            return counted.verdict();
        }
        let entry = Entry {
            signal,
            source: "otlp",
            rows: counted.rows + rejected,
            read_unix_nano: u64::MAX,
            request,
        };
        match self.queue.append(entry).await {
            Ok(()) => counted.verdict(),
            Err(error @ (AppendError::Full | AppendError::Closed | AppendError::Retry(_))) => {
                Verdict::Unavailable {
                    retry_after: self.queue.full_retry_after(),
                    reason: error.to_string(),
                }
            }
            Err(error @ AppendError::TooLarge { .. }) => Verdict::TooLarge(error.to_string()),
        }
    }

    fn refused(&self, signal: Signal, rows: u64) {
        self.metrics.received(signal, "otlp", rows);
        self.metrics.dropped(signal, "rejected", rows);
    }
}

impl Accept for Relay {
    fn accept(&self, export: Export) -> BoxFuture<'_, Verdict> {
        Box::pin(self.take(export))
    }
}

/// How the agent is doing, for whoever asks.
struct Account {
    receiver: Receiver,
    queue: Queue,
    stopped: watch::Receiver<bool>,
}

impl Status for Account {
    fn ready(&self) -> Result<(), String> {
        if *self.stopped.borrow() {
            return Err("the agent is shutting down".to_owned());
        }
        match self.queue.failure().borrow().clone() {
            Some(reason) => Err(reason),
            None => Ok(()),
        }
    }

    fn metrics(&self) -> String {
        let mut samples = exposition::receiver_metrics(&self.receiver);
        samples.extend(self.queue.metrics.exposition());
        exposition::render(samples)
    }
}

/// The running listeners.
pub struct OtlpReceiver {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    receiver: Receiver,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
}

impl OtlpReceiver {
    /// Opens both listeners and serves them.
    pub async fn start(options: &RelayOptions, queue: Queue) -> Result<Self, ListenError> {
        let limits = ServerLimits {
            request_bytes: options.request_bytes_max,
            in_flight_bytes: options.inflight_bytes_max,
            ..ServerLimits::default()
        };
        let relay = Relay {
            queue: queue.clone(),
            metrics: queue.metrics.clone(),
        };
        let receiver = Receiver::new(Arc::new(relay), limits);
        let (stop, stopped) = watch::channel(false);
        let status = Arc::new(Account {
            receiver: receiver.clone(),
            queue,
            stopped: stopped.clone(),
        });
        let (grpc_listener, grpc) = bind(options.grpc).await?;
        let (http_listener, http) = bind(options.http).await?;
        let wait = |mut stopped: watch::Receiver<bool>| async move {
            // A sender that is gone means the same as one that says so.
            let _stop = stopped.wait_for(|stop| *stop).await;
        };
        let (first, second) = (receiver.clone(), receiver.clone());
        let (grpc_stop, http_stop) = (wait(stopped.clone()), wait(stopped));
        let servers = vec![
            tokio::spawn(async move { first.serve_grpc(grpc_listener, grpc_stop).await }),
            tokio::spawn(async move {
                second
                    .serve_http_with(http_listener, status, http_stop)
                    .await
            }),
        ];
        Ok(Self {
            grpc,
            http,
            receiver,
            stop,
            servers,
        })
    }

    /// Requests by signal, transport and outcome.
    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// Takes no new work and returns when what was in flight is answered.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for server in self.servers {
            if server.await.is_err() {
                tracing::error!("an OTLP listener ended with a panic");
            }
        }
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    let failed = |source| ListenError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
