//! Rate, errors and duration of spans, and the requests between services, counted as they are
//! stored.
//!
//! The store shows every newly stored span to an [`Observer`]; [`SpanMetrics::emit`] writes what
//! was counted back into the store of the span's tenant as OTLP metrics, under the names that
//! dashboards for traces expect. Per service, span name, kind and status:
//!
//! - `traces_spanmetrics_calls`: a cumulative, monotonic sum (`..._calls_total` in PromQL);
//! - `traces_spanmetrics_size`: bytes of these spans in the encoding of OTLP, such a sum too;
//! - `traces_spanmetrics_latency`: a cumulative histogram of seconds with exemplars.
//!
//! Per client, server and type of connection, from the two sides of each request ([`graph`]):
//!
//! - `traces_service_graph_request` and `traces_service_graph_request_failed`, sums as above;
//! - `traces_service_graph_request_client_seconds` and `..._server_seconds`, histograms, and
//!   `..._messaging_system_seconds` between the two where that is wanted;
//! - `traces_service_graph_unpaired_spans` and `traces_service_graph_dropped_spans`, sums of spans
//!   that became no request.
//!
//! And `traces_target_info` per resource, where that is wanted ([`target`]).
//!
//! Every series names the collector that counted it (`collector.instance.id`), since each of several
//! counts what it stored itself: sums over them are right, and none continues another's count. The
//! two sides of a request have to come to the same collector to be joined.
//!
//! A span counts when it comes, however old it is. A series begins with a point of zero, so that
//! the first span is an increase, and so that a count which begins anew (after a restart, or after
//! a series without spans was forgotten) reads as a reset even where it has grown beyond the old
//! one. What came since the last emission is lost to the counts if the process is killed.
//!
//! What is to be written is copied under the lock and encoded beside it. What the store refuses
//! counts as changed again ([`emit`]).
//!
//! The number of series is limited: what is beyond it is counted in one series marked with
//! `otel.metric.overflow`.

mod counts;
mod emit;
mod graph;
mod histogram;
mod observer;
mod options;
mod points;
mod shapes;
mod state;
mod table;
mod target;
mod zero;

use std::sync::Arc;
use std::time::Duration;

use config::SpanHistograms;
use env::Clock;
use otlp::exposition::Sample;
use parking_lot::Mutex;

pub use observer::Observer;
pub use options::{GraphOptions, Options, SpanOptions, TargetInfo};

/// Counts spans.
#[derive(Clone)]
pub struct SpanMetrics {
    shared: Arc<Shared>,
}

struct Shared {
    interval: Duration,
    idle_nanos: u64,
    clock: Arc<dyn Clock>,
    /// What the store is asked for of each span; the dimensions come first.
    attributes: Arc<[String]>,
    shapes: shapes::Shapes,
    state: Mutex<state::State>,
    /// Held by whoever writes what was counted: one at a time.
    emitting: tokio::sync::Mutex<()>,
}

impl Shared {
    fn now(&self) -> (u64, u64) {
        (self.clock.unix_nanos(), self.clock.monotonic_nanos())
    }
}

impl SpanMetrics {
    /// Counts nothing yet; `collector` is the name that its series carry.
    pub fn new(collector: &str, options: &Options, clock: Arc<dyn Clock>) -> Self {
        let spans = options.spans.as_ref();
        let dimensions = spans.map_or(&[][..], |spans| &spans.dimensions);
        let mut attributes = dimensions.to_vec();
        let mut place = |name: &str| {
            let known = attributes.iter().position(|known| known == name);
            known.unwrap_or_else(|| {
                attributes.push(name.to_owned());
                attributes.len() - 1
            })
        };
        let graph = options.graph.as_ref().map(|options| {
            let attributes = graph::Attributes::new(&options.peer_attributes, &mut place);
            graph::Graph::new(attributes, options.wait, options.half_open)
        });
        let with_identity = spans.is_some_and(|spans| spans.target_info.is_some());
        let forms = (
            options.histograms != SpanHistograms::Native,
            options.histograms != SpanHistograms::Classic,
        );
        let shared = Shared {
            interval: options.interval,
            idle_nanos: u64::try_from(options.idle.as_nanos()).unwrap_or(u64::MAX),
            clock,
            shapes: shapes::Shapes::new(collector, dimensions, with_identity, forms),
            state: Mutex::new(state::State::new(options, graph)),
            emitting: tokio::sync::Mutex::default(),
            attributes: attributes.into(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// What the store shows its rows to.
    pub fn observer(&self) -> Observer {
        Observer::new(self.clone())
    }

    /// Time between emissions.
    pub fn interval(&self) -> Duration {
        self.shared.interval
    }

    /// What was counted about counting.
    #[allow(clippy::cast_precision_loss)]
    pub fn metrics(&self) -> Vec<Sample> {
        let totals = self.shared.state.lock().totals();
        let waiting = totals.waiting as u64;
        let values = [
            ("spanmetrics_series", totals.series as u64),
            ("spanmetrics_spans_total", totals.spans),
            (
                "spanmetrics_overflowed_spans_total",
                totals.overflowed_spans,
            ),
            ("spanmetrics_uncounted_total", totals.uncounted),
            ("spanmetrics_forgotten_series_total", totals.forgotten),
            ("spanmetrics_failed_writes_total", totals.failed_writes),
            ("spanmetrics_refused_points_total", totals.refused_points),
            ("spanmetrics_dropped_series_total", totals.dropped_series),
            ("servicegraph_edges", totals.edges as u64),
            ("servicegraph_requests_total", totals.requests),
            (
                "servicegraph_overflowed_requests_total",
                totals.overflowed_requests,
            ),
            ("servicegraph_waiting_spans", waiting),
            (
                "servicegraph_unpaired_spans_total",
                totals.outcomes.unpaired,
            ),
            ("servicegraph_evicted_spans_total", totals.outcomes.evicted),
        ];
        values
            .map(|(name, value)| Sample::new(&format!("throughline_{name}"), &[], value as f64))
            .into()
    }
}

#[cfg(test)]
mod tests;
