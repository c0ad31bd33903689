//! Rate, errors and duration of spans, counted as they are stored.
//!
//! The store shows every newly stored span to an [`Observer`]; [`SpanMetrics::emit`] writes what
//! was counted back into the store as OTLP metrics, per service, span name, kind and status:
//!
//! - `traces_spanmetrics_calls`: a cumulative, monotonic sum (`..._calls_total` in PromQL);
//! - `traces_spanmetrics_latency`: a cumulative histogram of seconds with exemplars.
//!
//! Every series names the collector that counted it (`collector.instance.id`), since each of several
//! counts what it stored itself: sums over them are right, and none continues another's count.
//!
//! The number of series is limited: spans beyond it are counted in one series marked with
//! `otel.metric.overflow`. A series without spans for a while is forgotten, and starts again
//! from zero, with a new start time, when it comes back.

mod observer;
mod points;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use model::{Format, Signal, SpanId, Tenant, TraceId};
use otlp::exposition::Sample;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use storage::write::{Batch, WriteError};

use crate::ingest::Sink;

pub use observer::Observer;

/// Upper bounds of the latency buckets in seconds: powers of two from 2 ms to 16 s.
const BOUNDS: [f64; 14] = [
    0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192,
    16.384,
];
const BUCKETS: usize = BOUNDS.len() + 1;
/// Longer names are counted in the overflow series, so that names cannot fill the memory.
const NAME_BYTES_MAX: usize = 1024;
/// Every so many emissions, series without new spans are written too, so that queries that look
/// back five minutes see them.
const REFRESH_EVERY: u64 = 4;
/// Series per request to the store.
const SERIES_PER_BATCH: usize = 1000;

/// How spans are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Series at most.
    pub series: usize,
    /// Time between emissions; at most a minute, or queries see gaps.
    pub interval: Duration,
    /// A series without spans for this long is forgotten.
    pub idle: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            series: 10_000,
            interval: Duration::from_secs(15),
            idle: Duration::from_secs(3600),
        }
    }
}

/// Counts spans.
#[derive(Clone)]
pub struct SpanMetrics {
    collector: Arc<str>,
    options: Options,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By service, then by name: looked up by borrowed texts, so that a span allocates nothing.
    services: HashMap<String, FxHashMap<String, Vec<Cell>>>,
    overflow: Option<Cell>,
    series: usize,
    spans: u64,
    overflowed: u64,
    forgotten: u64,
    failed: u64,
    emissions: u64,
}

/// One series.
struct Cell {
    kind: i32,
    status: i32,
    start_unix_nano: u64,
    last_unix_nano: u64,
    calls: u64,
    sum_seconds: f64,
    buckets: [u64; BUCKETS],
    /// At most one per bucket since the last emission.
    exemplars: Vec<(usize, Example)>,
    changed: bool,
}

#[derive(Clone, Copy)]
struct Example {
    trace_id: TraceId,
    span_id: SpanId,
    time_unix_nano: u64,
    seconds: f64,
}

impl Cell {
    fn new(kind: i32, status: i32, now: u64) -> Self {
        Self {
            kind,
            status,
            start_unix_nano: now,
            last_unix_nano: now,
            calls: 0,
            sum_seconds: 0.0,
            buckets: [0; BUCKETS],
            exemplars: Vec::new(),
            changed: false,
        }
    }

    fn add(&mut self, example: Example, now: u64) {
        self.calls += 1;
        self.sum_seconds += example.seconds;
        let bucket = BOUNDS.partition_point(|bound| *bound < example.seconds);
        self.buckets[bucket] += 1;
        match self.exemplars.iter_mut().find(|(at, _)| *at == bucket) {
            Some((_, latest)) => *latest = example,
            None => self.exemplars.push((bucket, example)),
        }
        self.last_unix_nano = now;
        self.changed = true;
    }
}

impl SpanMetrics {
    /// Counts nothing yet; `collector` is the name that its series carry.
    pub fn new(collector: &str, options: Options, clock: Arc<dyn Clock>) -> Self {
        Self {
            collector: Arc::from(collector),
            options,
            clock,
            state: Arc::default(),
        }
    }

    /// What the store shows its rows to.
    pub fn observer(&self) -> Observer {
        Observer::new(self.clone())
    }

    /// Time between emissions.
    pub fn interval(&self) -> Duration {
        self.options.interval
    }

    fn record(&self, service: &str, name: &str, kind: i32, status: i32, example: Example) {
        let now = self.clock.unix_nanos();
        let mut state = self.state.lock();
        let state = &mut *state;
        state.spans += 1;
        let known = state
            .services
            .get_mut(service)
            .and_then(|names| names.get_mut(name));
        let cell = known.and_then(|cells| {
            cells
                .iter_mut()
                .find(|c| c.kind == kind && c.status == status)
        });
        if let Some(cell) = cell {
            cell.add(example, now);
            return;
        }
        let fits = service.len() <= NAME_BYTES_MAX && name.len() <= NAME_BYTES_MAX;
        if state.series >= self.options.series || !fits {
            state.overflowed += 1;
            let overflow = state.overflow.get_or_insert_with(|| Cell::new(0, 0, now));
            overflow.add(example, now);
            return;
        }
        state.series += 1;
        let mut cell = Cell::new(kind, status, now);
        cell.add(example, now);
        let names = state.services.entry(service.to_owned()).or_default();
        names.entry(name.to_owned()).or_default().push(cell);
    }

    /// Writes what was counted to `sink`. Counts are cumulative, so that a refused write loses
    /// nothing but a moment's resolution.
    pub async fn emit(&self, sink: &dyn Sink) {
        for request in self.requests() {
            let batch = Batch {
                tenant: Tenant::default(),
                signal: Signal::Metrics,
                format: Format::Otlp,
                request: request.into(),
                stamp: None,
            };
            match sink.write(batch).await {
                Ok(_) | Err(WriteError::Closed) => {}
                Err(error) => {
                    self.state.lock().failed += 1;
                    tracing::warn!(%error, "cannot store span metrics");
                }
            }
        }
    }

    /// The requests of one emission.
    fn requests(&self) -> Vec<Vec<u8>> {
        let now = self.clock.unix_nanos();
        let mut state = self.state.lock();
        let state = &mut *state;
        let refresh = state.emissions.is_multiple_of(REFRESH_EVERY);
        state.emissions += 1;
        let idle = u64::try_from(self.options.idle.as_nanos()).unwrap_or(u64::MAX);
        let mut series = Vec::new();
        let mut forgotten = 0;
        for (service, names) in &mut state.services {
            let mut resource = None;
            for (name, cells) in names.iter_mut() {
                for cell in cells.iter_mut().filter(|cell| cell.changed || refresh) {
                    let resource = resource.get_or_insert_with(|| points::resource(service));
                    let attributes =
                        points::attributes(&self.collector, service, name, cell.kind, cell.status);
                    series.push(points::Emitted::take(resource, attributes, cell, now));
                }
                let before = cells.len();
                cells.retain(|cell| now.saturating_sub(cell.last_unix_nano) < idle);
                forgotten += before - cells.len();
            }
            names.retain(|_, cells| !cells.is_empty());
        }
        state.services.retain(|_, names| !names.is_empty());
        state.series -= forgotten;
        state.forgotten += forgotten as u64;
        if let Some(cell) = &mut state.overflow
            && (cell.changed || refresh)
        {
            let resource = points::resource("unknown_service");
            series.push(points::Emitted::take(
                &resource,
                points::overflow(&self.collector),
                cell,
                now,
            ));
        }
        series
            .chunks(SERIES_PER_BATCH)
            .map(points::encode)
            .collect()
    }

    /// What was counted about counting.
    #[allow(clippy::cast_precision_loss)]
    pub fn metrics(&self) -> Vec<Sample> {
        let state = self.state.lock();
        let values = [
            ("throughline_spanmetrics_series", state.series as u64),
            ("throughline_spanmetrics_spans_total", state.spans),
            (
                "throughline_spanmetrics_overflowed_spans_total",
                state.overflowed,
            ),
            (
                "throughline_spanmetrics_forgotten_series_total",
                state.forgotten,
            ),
            ("throughline_spanmetrics_failed_writes_total", state.failed),
        ];
        values
            .map(|(name, value)| Sample::new(name, &[], value as f64))
            .into()
    }
}

#[cfg(test)]
mod tests;
