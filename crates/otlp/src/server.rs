//! Receivers: OTLP over gRPC and HTTP, for the collector and the agent alike.
//!
//! A [`Receiver`] turns what comes over a connection into an [`Export`], asks an [`Accept`] for
//! its [`Verdict`], and answers in the protocol and encoding of the request. gRPC and HTTP share
//! one path: the body is read and inflated as it arrives, against a limit on the decoded bytes
//! of one request and a budget for the bytes of all requests in flight, within a time limit. The
//! gRPC framing is read here rather than by tonic, which answers a message over its limit with
//! OUT_OF_RANGE: exporters retry that code, and would send the same message for ever.

mod admission;
mod body;
mod counters;
mod crowd;
mod export;
mod grpc;
mod http;
mod limits;
mod listen;
mod other;
mod pages;
mod verdict;

use std::convert::Infallible;
use std::sync::Arc;

use ::http::{Request, Response};
use axum::Router;
use axum::body::Body;
use futures::future::BoxFuture;
use model::Signal;
use model::room::Budget;
use tokio::net::TcpListener;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

pub use admission::{Admission, Admitted};
pub use counters::{Count, Counters, Outcome, Transport};
pub use export::{Accept, Export, unix_nanos};
pub use limits::ServerLimits;
pub use listen::{ConnectionLimits, Handler, listen};
pub use other::Route;
pub use pages::Status;
pub use verdict::Verdict;

type HealthService = BoxCloneSyncService<Request<Body>, Response<tonic::body::Body>, Infallible>;

/// Takes exports over gRPC and HTTP. Clones share their limits, budget and counters.
#[derive(Clone)]
pub struct Receiver {
    shared: Arc<Shared>,
}

struct Shared {
    accept: Arc<dyn Accept>,
    limits: ServerLimits,
    budget: Arc<Budget>,
    counters: Counters,
    health: HealthService,
    reporter: HealthReporter,
}

impl Receiver {
    /// A receiver that asks `accept` about every export.
    pub fn new(accept: Arc<dyn Accept>, limits: ServerLimits) -> Self {
        let budget = Arc::new(Budget::new(limits.in_flight_bytes));
        Self::sharing(accept, limits, budget)
    }

    /// A receiver whose bodies count against the budget of what `accept` makes of them.
    pub fn sharing(accept: Arc<dyn Accept>, limits: ServerLimits, budget: Arc<Budget>) -> Self {
        let (reporter, health) = health_reporter();
        Self {
            shared: Arc::new(Shared {
                accept,
                limits,
                budget,
                counters: Counters::default(),
                health: BoxCloneSyncService::new(health),
                reporter,
            }),
        }
    }

    /// What became of the requests so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Bytes of the budget in use.
    pub fn in_flight_bytes(&self) -> usize {
        self.shared.budget.used()
    }

    /// Serves gRPC until `shutdown`; then takes no new work and returns when what was in flight
    /// is answered, or after the drain timeout. OTLP over HTTP on the same port works too.
    pub async fn serve_grpc(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        self.serve(listener, None, Vec::new(), shutdown).await;
    }

    /// Serves HTTP/1.1 and HTTP/2 until `shutdown`, as [`Receiver::serve_grpc`] does.
    pub async fn serve_http(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        self.serve(listener, None, Vec::new(), shutdown).await;
    }

    /// As [`Receiver::serve_http`], with `/healthz`, `/readyz`, `/metrics` and routes of other
    /// protocols beside the exports.
    pub async fn serve_http_with(
        &self,
        listener: TcpListener,
        status: Arc<dyn Status>,
        routes: Vec<Route>,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        self.serve(listener, Some(status), routes, shutdown).await;
    }

    async fn serve(
        &self,
        listener: TcpListener,
        status: Option<Arc<dyn Status>>,
        routes: Vec<Route>,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        for service in [
            "",
            grpc::TRACE_SERVICE,
            grpc::LOGS_SERVICE,
            grpc::METRICS_SERVICE,
        ] {
            self.shared
                .reporter
                .set_service_status(service, ServingStatus::Serving)
                .await;
        }
        let reporter = self.shared.reporter.clone();
        let shutdown = async move {
            shutdown.await;
            reporter
                .set_service_status("", ServingStatus::NotServing)
                .await;
        };
        let receiver = self.clone();
        let handler: Handler = Arc::new(move |request| {
            let page = status
                .as_ref()
                .and_then(|status| pages::answer(status, &request));
            if let Some(page) = page {
                return Box::pin(std::future::ready(page));
            }
            let path = request.uri().path();
            match routes.iter().find(|route| route.path == path) {
                Some(route) => (route.handler)(request),
                None => receiver.handle(request),
            }
        });
        listen(listener, handler, self.shared.limits.connections, shutdown).await;
    }

    /// The OTLP/HTTP routes, to be mounted on another server's port.
    pub fn http_router(&self) -> Router {
        let mut router = Router::new();
        let paths = Signal::ALL.map(|signal| format!("/v1/{signal}"));
        let alias = http::PROMETHEUS_METRICS.to_owned();
        for path in paths.into_iter().chain([alias]) {
            let receiver = self.clone();
            let handler = move |request: Request<Body>| {
                let receiver = receiver.clone();
                async move { receiver.http(request).await }
            };
            router = router.route(&path, axum::routing::any(handler));
        }
        router
    }

    /// Answers one request of either protocol.
    pub fn handle(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        let receiver = self.clone();
        Box::pin(async move {
            if !grpc::is_grpc(&request) {
                return receiver.http(request).await;
            }
            if request.uri().path().starts_with("/grpc.health.v1.Health/") {
                let answer = receiver.shared.health.clone().oneshot(request).await;
                let Ok(response) = answer;
                return response.map(Body::new);
            }
            receiver.grpc(request).await
        })
    }
}

#[cfg(test)]
mod tests;
