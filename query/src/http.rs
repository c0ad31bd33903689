//! The HTTP API on one port: `/api/v1/` natively, Prometheus under `/prometheus`, health and
//! metrics.
//!
//! Every refusal, that of an unknown path or parameter included, is
//! `{error: {kind, message, start, end, hint}}`; under a foreign API it has that API's shape.
//! One table lists every route; `docs/openapi.json` is held to it by a test.

pub mod alerts;
mod bounded;
mod completeness;
mod cors;
pub mod jaeger;
pub mod native;
pub mod openapi;
pub mod params;
pub mod plain;
pub mod prometheus;
pub mod respond;
pub mod routes;
pub mod story;
pub mod tail;
pub mod trace;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use env::{Clock, Random, RealRandom};
use model::Tenant;
use model::prometheus::Promotion;
use storage::message::Limits;
use tokio::sync::{Semaphore, watch};
use tower_http::compression::CompressionLayer;

use crate::error::QueryError;
use crate::exec::{Context, Sizes};
use crate::sources::{ANSWER_BYTES, Gate, Memory, Permit, Sources, Work};

/// Writes further lines of `/metrics` in Prometheus' text format.
pub type MetricsSource = Arc<dyn Fn() -> String + Send + Sync>;

/// What the service says of itself under `/prometheus/api/v1/status`.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Where people reach it.
    pub external_url: String,
    /// Labels that name this installation.
    pub external_labels: crate::alerts::Labels,
    /// The name of the machine that it runs on.
    pub host_name: String,
    /// Where it keeps its files.
    pub data_dir: String,
    /// The rule files.
    pub rule_files: Vec<String>,
    /// Time between evaluations of groups that say none.
    pub rule_interval: Duration,
    /// For how long metrics are kept; none for as long as there is room.
    pub retention: Option<Duration>,
}

/// What the query service may use and how it answers.
#[derive(Clone)]
pub struct Options {
    /// Whose data is queried.
    pub tenant: Tenant,
    /// Time and bytes of one query; those of Prometheus' API have a time of their own.
    pub limits: Limits,
    /// Bytes of one answer.
    pub answer_bytes: u64,
    /// Sizes of answers.
    pub sizes: Sizes,
    /// Which resource attributes are labels in PromQL.
    pub promotion: Promotion,
    /// How many queries run at once.
    pub concurrency: usize,
    /// How many more may wait.
    pub queue: usize,
    /// For how long they wait.
    pub patience: Duration,
    /// How many live tails there may be.
    pub tails: usize,
    /// How often a quiet tail says that it lives.
    pub heartbeat: Duration,
    /// How PromQL is evaluated.
    pub promql: promql::Options,
    /// How long a question of Prometheus' API, or the expression of a rule, may take.
    pub promql_timeout: Duration,
    /// What evaluations of PromQL may use.
    pub promql_limits: promql::Limits,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Spreads what many would do at the same time.
    pub random: Arc<dyn Random>,
    /// Further sources of `/metrics`.
    pub metrics: Vec<MetricsSource>,
    /// Origins of the web pages that may read answers under `/prometheus`; none for no page.
    pub cors_origin: Option<regex::Regex>,
    /// What the service says of itself.
    pub about: About,
}

impl Options {
    /// The defaults, with this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            tenant: Tenant::default(),
            limits: Limits::default(),
            answer_bytes: ANSWER_BYTES,
            sizes: Sizes::default(),
            promotion: Promotion::default(),
            concurrency: 8,
            queue: 64,
            patience: Duration::from_secs(10),
            tails: 64,
            heartbeat: Duration::from_secs(10),
            promql: promql::Options::default(),
            promql_timeout: Duration::from_secs(120),
            promql_limits: promql::Limits::default(),
            clock,
            random: Arc::new(RealRandom),
            metrics: Vec::new(),
            cors_origin: None,
            about: About::default(),
        }
    }
}

/// What every handler works with; cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Shared>);

struct Shared {
    sources: Sources,
    options: Options,
    /// Unix nanoseconds.
    started: u64,
    gate: Gate,
    /// Places for rules, which must not wait for those who look at dashboards.
    rules_gate: Gate,
    /// Evaluations of rules that nobody waits for any more.
    rules_abandoned: AtomicU64,
    /// Memory for what all queries hold.
    memory: Arc<Memory>,
    tails: Arc<Semaphore>,
    /// Whether live tails are to end.
    stopping: watch::Sender<bool>,
    answered: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// One query under way: its place among the running ones, and its account.
pub struct Running {
    state: State,
    work: Work,
    permit: Arc<Permit>,
}

impl Running {
    /// What the question is asked with.
    pub fn context(&self) -> Context<'_> {
        let shared = &self.state.0;
        Context {
            sources: &shared.sources,
            work: &self.work,
            tenant: &shared.options.tenant,
            sizes: &shared.options.sizes,
            promotion: &shared.options.promotion,
            now: self.state.now(),
        }
    }

    /// The account.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// The place: it is taken for as long as anyone has this.
    pub fn place(&self) -> Arc<Permit> {
        Arc::clone(&self.permit)
    }
}

impl State {
    /// A state over these sources.
    pub fn new(sources: Sources, options: Options) -> Self {
        let gate = Gate::new(options.concurrency, options.queue, options.patience);
        // Groups wait by themselves, so that no more wait than there are.
        let patience = options.promql_timeout;
        let rules_gate = Gate::new(options.concurrency.div_ceil(2), usize::MAX, patience);
        let tails = Arc::new(Semaphore::new(options.tails.min(Semaphore::MAX_PERMITS)));
        let started = options.clock.unix_nanos();
        Self(Arc::new(Shared {
            sources,
            memory: Arc::new(Memory::new(options.answer_bytes, options.sizes.samples)),
            options,
            started,
            gate,
            rules_gate,
            rules_abandoned: AtomicU64::new(0),
            tails,
            stopping: watch::Sender::new(false),
            answered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }))
    }

    /// Who answers.
    pub fn sources(&self) -> &Sources {
        &self.0.sources
    }

    /// What the service may use.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// When the service was started, in unix nanoseconds.
    pub fn started(&self) -> u64 {
        self.0.started
    }

    /// Ends live tails, which would last for as long as who reads them, and begins no more.
    pub fn end_tails(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Unix nanoseconds.
    pub fn now(&self) -> u64 {
        self.0.options.clock.unix_nanos()
    }

    /// Waits for a place among the running queries and opens an account.
    pub async fn begin(&self) -> Result<Running, QueryError> {
        let permit = self.0.gate.enter().await?;
        Ok(self.running(permit, self.0.options.limits))
    }

    /// The same for a question of Prometheus' API, which has a time of its own.
    pub async fn begin_promql(&self) -> Result<Running, QueryError> {
        let permit = self.0.gate.enter().await?;
        Ok(self.running(permit, self.promql_limits()))
    }

    /// The same for a rule, among places of their own.
    pub async fn begin_rule(&self) -> Result<Running, QueryError> {
        let permit = self.0.rules_gate.enter().await?;
        Ok(self.running(permit, self.promql_limits()))
    }

    fn promql_limits(&self) -> Limits {
        let timeout_ms = self.0.options.promql_timeout.as_millis();
        Limits {
            timeout_ms: u64::try_from(timeout_ms).unwrap_or(u64::MAX),
            ..self.0.options.limits
        }
    }

    fn running(&self, permit: Permit, limits: Limits) -> Running {
        let options = &self.0.options;
        Running {
            state: self.clone(),
            work: Work::new(limits)
                .with_answer_bytes(options.answer_bytes)
                .with_memory(Arc::clone(&self.0.memory)),
            permit: Arc::new(permit),
        }
    }

    /// Counts the evaluation of a rule that goes on although its time is over.
    pub fn abandoned(&self) {
        self.0.rules_abandoned.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self, status: http::StatusCode) {
        let counter = match status.as_u16() {
            ..400 => &self.0.answered,
            400..500 => &self.0.refused,
            _ => &self.0.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The query service.
#[derive(Clone)]
pub struct Query {
    state: State,
}

impl Query {
    /// A service over these sources.
    pub fn new(sources: Sources, options: Options) -> Self {
        Self {
            state: State::new(sources, options),
        }
    }

    /// What the handlers work with.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The routes of this module alone.
    pub fn router(&self) -> Router {
        router(self.state.clone(), Router::new())
    }

    /// The routes of this module and those of another router without a fallback, such as
    /// [`story::router`], [`jaeger`] and [`alerts::router`]: refusals, compression and counters
    /// are the same for all.
    pub fn router_with(&self, more: Router) -> Router {
        router(self.state.clone(), more)
    }
}

/// All routes of the query service.
pub fn router(state: State, more: Router) -> Router {
    let mut router: Router<State> = Router::new();
    for route in routes::all() {
        router = router.route(route.path, route.handler);
    }
    let counted = axum::middleware::from_fn_with_state(state.clone(), respond::count);
    let shared = axum::middleware::from_fn_with_state(state.clone(), cors::allow);
    router
        .merge(more.with_state(()))
        .fallback(respond::unknown_path)
        .method_not_allowed_fallback(respond::wrong_method)
        .layer(shared)
        .layer(counted)
        .layer(CompressionLayer::new())
        .with_state(state)
}

#[cfg(test)]
mod tests;
