//! The relay: services send OTLP to the agent as they would to a collector, and the answer means
//! that the data is durable in the agent's queue.
//!
//! A request is decoded once before it is taken, so that what can never be stored is refused
//! here, where its sender still listens, and not days later in a dead-letter file.
//!
//! What carries the agent's own stamp came from the agent itself, which means that it sends to its
//! own listener. Taking that would send the same data in circles for ever; it is asked to come
//! again, so that it waits in the queue until somebody corrects the address.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use model::Signal;
use model::room::{self, Budget, NoRoom, Room};
use model::row::{
    LogRef, MetricRef, PointRef, Reject, ResourceRef, RowSink, ScopeRef, SpanRef, Undecoded,
};
use model::wire::Joined;
use otlp::exposition;
use otlp::server::{
    Accept, Admission, ConnectionLimits, Export, Receiver, ServerLimits, Status, Verdict,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::metrics::{self, Metrics};
use crate::options::RelayOptions;
use crate::queue::{AppendError, Entry, Queue};

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for OTLP: {source}")]
pub struct ListenError {
    pub address: SocketAddr,
    pub source: std::io::Error,
}

/// When an agent that sends to itself is asked to try again.
const OWN_RETRY: Duration = Duration::from_secs(30);

/// Queues what services send.
struct Relay {
    queue: Queue,
    metrics: Metrics,
    /// Shared with the receiver, which holds the requests.
    budget: Arc<Budget>,
    /// What one request may take while it is decoded.
    decoded_bytes: usize,
    admission: Admission,
}

/// Counts rows and refusals.
struct Counted {
    rows: u64,
    rejected: Vec<(Reject, u64)>,
    /// Whether something in it was sent in parts.
    in_parts: bool,
    /// For the decoder's lists; the rows themselves are not kept.
    room: Room,
}

impl RowSink for Counted {
    fn room(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.room.take(bytes)
    }
    fn resource(&mut self, _: &ResourceRef<'_>) -> Result<(), NoRoom> {
        Ok(())
    }
    fn scope(&mut self, _: &ScopeRef<'_>) -> Result<(), NoRoom> {
        Ok(())
    }
    fn metric(&mut self, _: &MetricRef<'_>) -> Result<(), NoRoom> {
        Ok(())
    }
    fn span(&mut self, _: &SpanRef<'_>) -> Result<(), NoRoom> {
        self.rows += 1;
        Ok(())
    }
    fn log(&mut self, _: &LogRef<'_>) -> Result<(), NoRoom> {
        self.rows += 1;
        Ok(())
    }
    fn point(&mut self, _: &PointRef<'_>) -> Result<(), NoRoom> {
        self.rows += 1;
        Ok(())
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
    fn count(&self, signal: Signal, request: &[u8]) -> Result<Counted, Verdict> {
        let mut counted = Counted {
            rows: 0,
            rejected: Vec::new(),
            in_parts: false,
            room: self.budget.room(self.decoded_bytes),
        };
        let joined = Joined::default();
        let decoded = otlp::decode::decode_joining(signal, request, &mut counted, &joined);
        decoded.map_err(|error| match error {
            Undecoded::Malformed(error) => Verdict::Malformed(error.to_string()),
            Undecoded::NoRoom(no) => Verdict::no_room(no, self.queue.full_retry_after()),
        })?;
        counted.in_parts = !joined.is_empty();
        // The decoder's lists are gone.
        counted.room = self.budget.room(0);
        Ok(counted)
    }

    async fn take(&self, export: Export) -> Verdict {
        let _admitted = match self.admission.enter(&export.tenant) {
            Ok(admitted) => admitted,
            Err(refused) => {
                let overloaded = matches!(refused, Verdict::Overloaded { .. });
                self.refuse(if overloaded { "overloaded" } else { "stopping" });
                return refused;
            }
        };
        let own = self.queue.agent();
        if export.stamp.is_some_and(|stamp| stamp.agent == *own) {
            self.refuse("own_stamp");
            return Verdict::Unavailable {
                retry_after: OWN_RETRY,
                reason: "the agent sends to itself: the address of its collector is that of its \
                         own listener"
                    .to_owned(),
            };
        }
        let (signal, request) = (export.signal, export.request.clone());
        let counted = match self.count(signal, &request) {
            Ok(counted) => counted,
            Err(verdict) => return verdict,
        };
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
            alone: counted.in_parts,
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

    /// Counts a request that is to come again.
    fn refuse(&self, reason: &str) {
        self.metrics
            .add(metrics::REFUSED_REQUESTS, &[("reason", reason)], 1);
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
        match self.queue.failures().first() {
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
    relay: Arc<Relay>,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
}

impl OtlpReceiver {
    /// Opens both listeners and serves them.
    pub async fn start(options: &RelayOptions, queue: Queue) -> Result<Self, ListenError> {
        let limits = ServerLimits {
            request_bytes: options.request_bytes_max,
            in_flight_bytes: options.inflight_bytes_max,
            connections: ConnectionLimits {
                connections: options.connections,
                drain_timeout: options.drain_timeout,
                ..ConnectionLimits::default()
            },
            ..ServerLimits::default()
        };
        // One request of the largest size must always fit.
        let decoded_bytes = room::decoded_bytes(options.request_bytes_max);
        let largest = options.request_bytes_max.saturating_add(decoded_bytes);
        let budget = Arc::new(Budget::new(options.inflight_bytes_max.max(largest)));
        let relay = Arc::new(Relay {
            queue: queue.clone(),
            metrics: queue.metrics.clone(),
            budget: budget.clone(),
            decoded_bytes,
            admission: Admission::new(options.concurrent_requests),
        });
        let receiver = Receiver::sharing(Arc::clone(&relay) as Arc<dyn Accept>, limits, budget);
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
                    .serve_http_with(http_listener, status, Vec::new(), http_stop)
                    .await
            }),
        ];
        Ok(Self {
            grpc,
            http,
            receiver,
            relay,
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
        self.relay.admission.close();
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
