//! What every traced service of the shop can do: answer, call, log, fail.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::logs::{LogRecord, Logger, Severity};
use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::random::Dice;
use super::telemetry::{Identity, Telemetry};

/// What travels with a call or a message.
pub(super) type Headers = HashMap<String, String>;

/// The header that carries the id of the customer's request.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// Why something failed, as one service tells the other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    /// The exception's type.
    pub(super) kind: &'static str,
    /// HTTP status.
    pub(super) status: i64,
    pub(super) message: String,
}

/// One service with its telemetry.
pub(super) struct Service {
    pub(super) name: &'static str,
    /// Its `service.instance.id`.
    pub(super) instance: String,
    pub(super) telemetry: Telemetry,
    pub(super) dice: Arc<Dice>,
    propagator: TraceContextPropagator,
    requests: Counter<u64>,
    durations: Histogram<f64>,
}

impl Service {
    /// A service; `index` numbers the services of one shop.
    pub(super) fn new(
        identity: &Identity,
        index: usize,
        seed: u64,
        otlp_grpc: SocketAddr,
    ) -> anyhow::Result<Self> {
        let dice = Arc::new(Dice::new(seed, index));
        let instance = dice.uuid();
        let telemetry = Telemetry::new(identity, &instance, otlp_grpc, &dice)?;
        let requests = telemetry
            .meter
            .u64_counter("shop.requests")
            .with_unit("{request}")
            .with_description("Requests answered and messages processed.")
            .build();
        let durations = telemetry
            .meter
            .f64_histogram("http.server.request.duration")
            .with_unit("s")
            .with_description("Duration of HTTP server requests.")
            .with_boundaries(vec![
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
            ])
            .build();
        Ok(Self {
            name: identity.name,
            instance,
            telemetry,
            dice,
            propagator: TraceContextPropagator::new(),
            requests,
            durations,
        })
    }

    /// Begins to answer a request of a caller, or of a customer where the headers carry no trace.
    pub(super) fn serve(
        &self,
        method: &'static str,
        route: &'static str,
        headers: &Headers,
    ) -> Activity<'_> {
        let parent = self
            .propagator
            .extract_with_context(&Context::new(), headers);
        let builder = self
            .telemetry
            .tracer
            .span_builder(format!("{method} {route}"))
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("http.request.method", method),
                KeyValue::new("http.route", route),
                KeyValue::new("url.scheme", "http"),
                KeyValue::new("server.address", self.name),
            ]);
        let request_id = headers.get(REQUEST_ID).cloned().unwrap_or_default();
        let activity = self.begin(builder, &parent, request_id, route);
        activity.set("request_id", activity.request_id.clone());
        activity
    }

    /// Begins to process a message, in a trace of its own that is linked to the sender's.
    pub(super) fn consume(
        &self,
        queue: &'static str,
        message_id: &str,
        headers: &Headers,
    ) -> Activity<'_> {
        let sender = self
            .propagator
            .extract_with_context(&Context::new(), headers);
        let link = Link::new(
            sender.span().span_context().clone(),
            vec![KeyValue::new("messaging.message.id", message_id.to_owned())],
            0,
        );
        let builder = self
            .telemetry
            .tracer
            .span_builder(format!("process {queue}"))
            .with_kind(SpanKind::Consumer)
            .with_links(vec![link])
            .with_attributes(messaging(queue, message_id, "process"));
        let request_id = headers.get(REQUEST_ID).cloned().unwrap_or_default();
        self.begin(builder, &Context::new(), request_id, queue)
    }

    fn begin(
        &self,
        builder: opentelemetry::trace::SpanBuilder,
        parent: &Context,
        request_id: String,
        route: &'static str,
    ) -> Activity<'_> {
        let span = self.telemetry.tracer.build_with_context(builder, parent);
        Activity {
            service: self,
            context: Context::new().with_span(span),
            request_id,
            route,
            began: Instant::now(),
        }
    }
}

/// The attributes by which both ends of a queue describe a message.
fn messaging(
    queue: &'static str,
    message_id: &str,
    operation: &'static str,
) -> impl Iterator<Item = KeyValue> + use<> {
    [
        KeyValue::new("messaging.system", "shopqueue"),
        KeyValue::new("messaging.destination.name", queue),
        KeyValue::new("messaging.operation.type", operation),
        KeyValue::new("messaging.message.id", message_id.to_owned()),
    ]
    .into_iter()
}

/// A span in the making, with all that the code inside it needs. It ends when dropped.
pub(super) struct Activity<'a> {
    service: &'a Service,
    context: Context,
    pub(super) request_id: String,
    route: &'static str,
    began: Instant,
}

impl<'a> Activity<'a> {
    fn child(
        &self,
        name: String,
        kind: SpanKind,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) -> Activity<'a> {
        let builder = self.service.telemetry.tracer.span_builder(name);
        let builder = builder.with_kind(kind).with_attributes(attributes);
        let request_id = self.request_id.clone();
        self.service
            .begin(builder, &self.context, request_id, self.route)
    }

    /// A call to another service.
    pub(super) fn call(
        &self,
        method: &'static str,
        peer: &'static str,
        path: &'static str,
    ) -> Activity<'a> {
        let attributes = [
            KeyValue::new("http.request.method", method),
            KeyValue::new("server.address", peer),
            KeyValue::new("peer.service", peer),
            KeyValue::new("url.full", format!("http://{peer}{path}")),
        ];
        self.child(format!("{method} {path}"), SpanKind::Client, attributes)
    }

    /// A statement for a database.
    pub(super) fn query(&self, system: &'static str, statement: &'static str) -> Activity<'a> {
        let operation = statement.split(' ').next().unwrap_or(statement);
        let attributes = [
            KeyValue::new("db.system.name", system),
            KeyValue::new("db.query.text", statement),
            KeyValue::new("db.operation.name", operation),
            KeyValue::new("server.address", format!("{system}.shop.internal")),
        ];
        self.child(
            format!("{operation} {system}"),
            SpanKind::Client,
            attributes,
        )
    }

    /// A step inside the service.
    pub(super) fn step(&self, name: &'static str) -> Activity<'a> {
        self.child(name.to_owned(), SpanKind::Internal, [])
    }

    /// A message to be sent.
    pub(super) fn produce(&self, queue: &'static str, message_id: &str) -> Activity<'a> {
        let attributes = messaging(queue, message_id, "send");
        self.child(format!("send {queue}"), SpanKind::Producer, attributes)
    }

    /// The headers for whoever is called or gets the message.
    pub(super) fn headers(&self) -> Headers {
        let mut headers = Headers::new();
        self.service
            .propagator
            .inject_context(&self.context, &mut headers);
        headers.insert(REQUEST_ID.to_owned(), self.request_id.clone());
        headers
    }

    /// Passes simulated time.
    pub(super) async fn work(&self, low_ms: u64, high_ms: u64) {
        tokio::time::sleep(self.service.dice.time(low_ms, high_ms)).await;
    }

    pub(super) fn dice(&self) -> &'a Dice {
        &self.service.dice
    }

    /// How long ago this began.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn span_context(&self) -> SpanContext {
        self.context.span().span_context().clone()
    }

    pub(super) fn set(&self, key: &'static str, value: impl Into<opentelemetry::Value>) {
        self.context
            .span()
            .set_attribute(KeyValue::new(key, value.into()));
    }

    pub(super) fn info(&self, body: String) {
        self.log(Severity::Info, body, &[]);
    }

    pub(super) fn warn(&self, body: String) {
        self.log(Severity::Warn, body, &[]);
    }

    /// Writes a log record that carries this span and the request id.
    fn log(&self, severity: Severity, body: String, attributes: &[(&'static str, String)]) {
        let logger = &self.service.telemetry.logger;
        let span = self.span_context();
        let mut record = logger.create_log_record();
        record.set_timestamp(SystemTime::now());
        record.set_severity_number(severity);
        record.set_severity_text(severity.name());
        record.set_body(body.into());
        record.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
        if !self.request_id.is_empty() {
            record.add_attribute("request_id", self.request_id.clone());
        }
        for (key, value) in attributes {
            record.add_attribute(*key, value.clone());
        }
        logger.emit(record);
    }

    /// Marks the span as failed.
    fn mark_failed(&self, failure: &Failure) {
        let span = self.context.span();
        span.set_status(Status::error(failure.message.clone()));
        span.set_attribute(KeyValue::new("error.type", failure.kind));
    }

    /// Fails where the failure has its origin: error status, exception event and error log.
    pub(super) fn raise(&self, failure: &Failure) {
        self.mark_failed(failure);
        let trace = format!(
            "{kind}: {message}\n    at shop.{service}.{step}\n    at shop.http.serve",
            kind = failure.kind,
            message = failure.message,
            service = self.service.name,
            step = self.route.trim_start_matches('/'),
        );
        self.context.span().add_event(
            "exception",
            vec![
                KeyValue::new("exception.type", failure.kind),
                KeyValue::new("exception.message", failure.message.clone()),
                KeyValue::new("exception.stacktrace", trace),
            ],
        );
        let kind = failure.kind.to_owned();
        self.log(
            Severity::Error,
            failure.message.clone(),
            &[("exception.type", kind)],
        );
    }

    /// Ends a call with the other side's answer, and passes the answer on.
    pub(super) fn answered<T>(self, answer: Result<T, Failure>) -> Result<T, Failure> {
        match &answer {
            Ok(_) => self.set("http.response.status_code", 200i64),
            Err(failure) => {
                self.set("http.response.status_code", failure.status);
                self.mark_failed(failure);
            }
        }
        answer
    }

    /// Answers the caller and counts the request, and passes the answer on.
    pub(super) fn answer<T>(self, answer: Result<T, Failure>) -> Result<T, Failure> {
        let status = answer.as_ref().err().map_or(200, |failure| failure.status);
        self.set("http.response.status_code", status);
        if let Err(failure) = &answer {
            self.mark_failed(failure);
        }
        let route = KeyValue::new("http.route", self.route);
        let outcome = if answer.is_ok() { "ok" } else { "error" };
        let counted = [route.clone(), KeyValue::new("outcome", outcome)];
        self.service.requests.add(1, &counted);
        let timed = [route, KeyValue::new("http.response.status_code", status)];
        let seconds = self.elapsed().as_secs_f64();
        self.service.durations.record(seconds, &timed);
        answer
    }

    /// Ends the processing of a message and counts it.
    pub(super) fn processed(self) {
        let queue = KeyValue::new("messaging.destination.name", self.route);
        let counted = [queue, KeyValue::new("outcome", "ok")];
        self.service.requests.add(1, &counted);
    }
}
