//! Starts the collector's parts on their listeners and stops them in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use env::Clock;
use otlp::exposition;
use otlp::server::{Accept, Admission, ConnectionLimits, Receiver, ServerLimits, Status};
use storage::read::Read;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin::Admin;
use crate::ingest::{Ingest, Sink};
use crate::internal;
use crate::receivers::remote_write::RemoteWrite;
use crate::receivers::{otlp_grpc, otlp_http};
use crate::spanmetrics::{self, SpanMetrics};

/// How a collector works.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Limits of the OTLP receivers.
    pub server: ServerLimits,
    /// Exports in work at once.
    pub concurrent_requests: usize,
    /// How spans are counted; none to not count them.
    pub spanmetrics: Option<spanmetrics::Options>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            server: ServerLimits::default(),
            concurrent_requests: 256,
            spanmetrics: Some(spanmetrics::Options::default()),
        }
    }
}

impl Options {
    /// The options that the configuration asks for.
    pub fn from_config(config: &config::Config) -> Self {
        let limits = &config.limits;
        let mut options = Self {
            spanmetrics: spanmetrics::Options::from_config(config),
            ..Self::default()
        };
        let request_bytes = usize::try_from(limits.request_bytes.0).unwrap_or(usize::MAX);
        options.server.request_bytes = request_bytes;
        options.server.connections.connections = limits.connections;
        options.concurrent_requests = limits.concurrent_requests;
        options
    }
}

/// Bound listeners; the system has chosen their ports already.
#[derive(Debug)]
pub struct Listeners {
    /// OTLP over gRPC.
    pub otlp_grpc: TcpListener,
    /// OTLP over HTTP.
    pub otlp_http: TcpListener,
    /// For query nodes; none where nobody reads remotely.
    pub internal: Option<TcpListener>,
    /// What whoever runs the collector may ask on the internal listener; none for nothing.
    pub admin: Option<Admin>,
}

/// Where a collector listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// For query nodes.
    pub internal: Option<SocketAddr>,
}

/// How long shutdown waits for the drained listeners beyond their own drain timeout.
const GRACE: Duration = Duration::from_secs(1);

/// How a collector is doing, for whoever asks.
#[derive(Clone)]
struct Account {
    receiver: Receiver,
    ingest: Arc<Ingest>,
    spans: Option<SpanMetrics>,
    sink: Arc<dyn Sink>,
}

impl Status for Account {
    fn ready(&self) -> Result<(), String> {
        if self.ingest.admission().is_closed() {
            return Err("the collector is shutting down".to_owned());
        }
        Ok(())
    }

    fn metrics(&self) -> String {
        let mut samples = exposition::receiver_metrics(&self.receiver);
        samples.extend(self.ingest.metrics());
        samples.extend(self.spans.iter().flat_map(SpanMetrics::metrics));
        samples.extend(self.sink.metrics());
        exposition::render(samples)
    }
}

/// A running collector.
pub struct Collector {
    addresses: Addresses,
    account: Account,
    remote_write: RemoteWrite,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    drain_timeout: Duration,
}

impl Collector {
    /// Starts to listen. Must be called within a tokio runtime. The store stays its owner's:
    /// shut it down after the collector. `name` is what its own metrics are told from those of
    /// other collectors by.
    pub fn start(
        name: &str,
        options: Options,
        sink: Arc<dyn Sink>,
        reader: Arc<dyn Read>,
        clock: Arc<dyn Clock>,
        listeners: Listeners,
    ) -> std::io::Result<Self> {
        let addresses = Addresses {
            otlp_grpc: listeners.otlp_grpc.local_addr()?,
            otlp_http: listeners.otlp_http.local_addr()?,
            internal: listeners
                .internal
                .as_ref()
                .map(TcpListener::local_addr)
                .transpose()?,
        };
        let admission = Admission::new(options.concurrent_requests);
        let ingest = Arc::new(Ingest::new(Arc::clone(&sink), admission));
        let accept = Arc::clone(&ingest) as Arc<dyn Accept>;
        let receiver = Receiver::sharing(accept, options.server, sink.budget());
        let (stop, stopped) = watch::channel(false);
        let spans = options
            .spanmetrics
            .as_ref()
            .map(|options| SpanMetrics::new(name, options, clock));
        if let Some(spans) = &spans {
            // Before anything comes in.
            sink.observe(Box::new(spans.observer()));
        }
        let limit = options.server.request_bytes;
        let remote_write = RemoteWrite::new(receiver.clone(), Arc::clone(&ingest), limit);
        let account = Account {
            receiver: receiver.clone(),
            ingest,
            spans: spans.clone(),
            sink: Arc::clone(&sink),
        };
        let status: Arc<dyn Status> = Arc::new(account.clone());
        let routes = vec![remote_write.route()];
        let mut tasks = vec![
            otlp_grpc::start(receiver.clone(), listeners.otlp_grpc, stopped.clone()),
            otlp_http::start(
                receiver,
                listeners.otlp_http,
                status,
                routes,
                stopped.clone(),
            ),
        ];
        if let Some(listener) = listeners.internal {
            let limits = options.server.connections;
            let admin = listeners.admin.map(Arc::new);
            let stop = stopped.clone();
            tasks.push(start_internal(reader, admin, listener, limits, stop));
        }
        if let Some(spans) = &spans {
            tasks.push(start_spanmetrics(spans.clone(), Arc::clone(&sink), stopped));
        }
        let drain_timeout = options.server.connections.drain_timeout;
        Ok(Self {
            addresses,
            account,
            remote_write,
            stop,
            tasks,
            drain_timeout,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The routes of OTLP/HTTP and remote write, to be mounted on another port as well.
    pub fn http_router(&self) -> Router {
        let otlp = self.account.receiver.http_router();
        otlp.merge(self.remote_write.router())
    }

    /// Writes everything that the collector and its store count in the Prometheus text format,
    /// for whoever serves `/metrics`, without holding the collector.
    pub fn metrics_handle(&self) -> impl Fn() -> String + Send + Sync + use<> {
        let account = self.account.clone();
        move || account.metrics()
    }

    /// Refuses new work, answers what is in flight, writes the last span metrics, and returns:
    /// at the latest a little after the drain timeout.
    pub async fn shutdown(self) {
        let admission = self.account.ingest.admission();
        admission.close();
        self.stop.send_replace(true);
        let deadline = self.drain_timeout + GRACE;
        let drained = tokio::time::timeout(deadline, futures::future::join_all(self.tasks)).await;
        if drained.is_err() {
            tracing::warn!("listeners did not stop in time");
        }
        if !admission.drain(GRACE).await {
            let exports = admission.in_work();
            tracing::warn!(exports, "exports left unanswered");
        }
        if let Some(spans) = &self.account.spans {
            // A store that does not answer must not keep the process from ending.
            let emitted = tokio::time::timeout(GRACE, spans.emit(&*self.account.sink)).await;
            if emitted.is_err() {
                tracing::warn!("the last span metrics were not stored in time");
            }
        }
    }
}

fn start_internal(
    reader: Arc<dyn Read>,
    admin: Option<Arc<Admin>>,
    listener: TcpListener,
    limits: ConnectionLimits,
    mut stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
        internal::serve(reader, admin, listener, limits, stopped).await;
    })
}

fn start_spanmetrics(
    spans: SpanMetrics,
    sink: Arc<dyn Sink>,
    mut stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(spans.interval());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick comes at once.
        ticks.tick().await;
        loop {
            let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
            tokio::select! {
                biased;
                () = stopped => return,
                _ = ticks.tick() => {}
                () = sink.counts_wanted() => {}
            }
            spans.emit(&*sink).await;
        }
    })
}

#[cfg(test)]
mod tests;
