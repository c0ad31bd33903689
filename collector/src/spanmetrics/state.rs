//! What has been counted so far.

use std::borrow::Cow;

use hashbrown::HashMap;
use model::{StatusCode, Tenant};
use storage::write::StoredSpan;

use super::graph::{Edge, Graph, Outcomes};
use super::histogram::{Example, Latency, Shape};
use super::options::Options;
use super::points::{Moment, Points, SPAN_LABELS, Shapes};
use super::table::{Place, Table};

/// Every so many emissions, series without new spans are written too, so that queries that look
/// back five minutes see them.
const REFRESH_EVERY: u64 = 4;
/// Series per request to the store.
const SERIES_PER_REQUEST: usize = 1000;
/// All tenants together may have as many series as this many of them.
const FULL_TENANTS: usize = 10;
/// Tenants whose spans are counted at one time.
const TENANTS_MAX: usize = 1000;
/// Attributes that may be labels of span metrics.
const DIMENSIONS_MAX: usize = config::Dimensions::MAX;
const LABELS_MAX: usize = SPAN_LABELS.len() + DIMENSIONS_MAX;

/// Requests between two services.
#[derive(Debug)]
pub(super) struct Requests {
    pub total: u64,
    pub failed: u64,
    pub client: Latency,
    pub server: Latency,
}

impl Requests {
    fn new(shape: &Shape) -> Self {
        Self {
            total: 0,
            failed: 0,
            client: Latency::new(shape),
            server: Latency::new(shape),
        }
    }
}

/// How spans are counted, with what is derived from the options once.
struct Spans {
    /// Their places among the attributes that the store is asked for are `0..dimensions`.
    dimensions: usize,
    shape: Shape,
    series: usize,
}

struct Edges {
    shape: Shape,
    series: usize,
}

/// The series of one tenant.
#[derive(Default)]
struct Counts {
    spans: Table<Latency>,
    edges: Table<Requests>,
}

/// What is counted about counting.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Totals {
    pub spans: u64,
    pub overflowed_spans: u64,
    pub requests: u64,
    pub overflowed_requests: u64,
    /// Spans and requests of tenants beyond those that are counted.
    pub uncounted: u64,
    pub forgotten: u64,
    pub failed_writes: u64,
    pub refused_points: u64,
    /// Of span metrics and the graph, at this moment.
    pub series: usize,
    pub edges: usize,
    pub waiting: usize,
    pub outcomes: Outcomes,
}

/// The series of all tenants.
struct Counted {
    spans: Option<Spans>,
    edges: Option<Edges>,
    tenants: HashMap<Tenant, Counts>,
    totals: Totals,
}

/// Everything that changes.
pub(super) struct State {
    counted: Counted,
    graph: Option<Graph>,
    emissions: u64,
    emitted_unix_nano: u64,
}

impl State {
    pub(super) fn new(options: &Options, graph: Option<Graph>) -> Self {
        let spans = options.spans.as_ref().map(|spans| Spans {
            dimensions: spans.dimensions.len().min(DIMENSIONS_MAX),
            shape: options.shape(&spans.bounds),
            series: spans.series,
        });
        let edges = options.graph.as_ref().map(|graph| Edges {
            shape: options.shape(&graph.bounds),
            series: graph.edges,
        });
        Self {
            counted: Counted {
                spans,
                edges,
                tenants: HashMap::default(),
                totals: Totals::default(),
            },
            graph,
            emissions: 0,
            emitted_unix_nano: 0,
        }
    }

    /// Counts a span: `now` in unix nanoseconds, and on a clock that only advances.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn see(&mut self, span: &StoredSpan<'_>, (now, steady): (u64, u64)) {
        let nanos = span.end_unix_nano.saturating_sub(span.start_unix_nano);
        let example = Example {
            trace_id: span.trace_id,
            span_id: span.span_id,
            time_unix_nano: span.end_unix_nano,
            seconds: nanos as f64 / 1e9,
        };
        self.counted.span(span, example, now);
        if let Some(graph) = &mut self.graph {
            let counted = &mut self.counted;
            graph.see(span, example, steady, &mut |tenant, edge| {
                counted.request(tenant, &edge, now);
            });
        }
    }

    /// The requests of one emission.
    pub(super) fn requests(
        &mut self,
        shapes: &Shapes,
        idle: u64,
        (now, steady): (u64, u64),
    ) -> Vec<(Tenant, Vec<u8>)> {
        let counted = &mut self.counted;
        if let Some(graph) = &mut self.graph {
            graph.expire(steady, &mut |tenant, edge| {
                counted.request(tenant, &edge, now);
            });
        }
        let all = self.emissions.is_multiple_of(REFRESH_EVERY);
        let at = Moment {
            now,
            before: self.emitted_unix_nano,
        };
        self.emissions += 1;
        self.emitted_unix_nano = now;
        let totals = &mut counted.totals;
        let mut requests = Vec::new();
        counted.tenants.retain(|tenant, counts| {
            let mut points = Points::new(shapes, at);
            let age = (now, idle);
            let series = counts
                .spans
                .show(age, all, |series, rest| points.spans(series, rest));
            let edges = counts
                .edges
                .show(age, all, |series, rest| points.edges(series, rest));
            totals.series -= series;
            totals.edges -= edges;
            totals.forgotten += (series + edges) as u64;
            let encoded = points.encode(SERIES_PER_REQUEST).into_iter();
            requests.extend(encoded.map(|request| (tenant.clone(), request)));
            !(counts.spans.is_empty() && counts.edges.is_empty())
        });
        requests
    }

    /// What is counted about counting, to be added to.
    pub(super) fn totals_mut(&mut self) -> &mut Totals {
        &mut self.counted.totals
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            waiting: self.graph.as_ref().map_or(0, Graph::held),
            outcomes: self
                .graph
                .as_ref()
                .map_or_else(Outcomes::default, |graph| graph.outcomes),
            ..self.counted.totals
        }
    }
}

/// The series of a tenant, unless there are too many of those.
fn of<'a>(tenants: &'a mut HashMap<Tenant, Counts>, tenant: &Tenant) -> Option<&'a mut Counts> {
    if !tenants.contains_key(tenant) {
        if tenants.len() >= TENANTS_MAX {
            return None;
        }
        tenants.insert(tenant.clone(), Counts::default());
    }
    tenants.get_mut(tenant)
}

/// How many series a table may have that has this many, where all tables have so many.
fn room(own: usize, all: usize, most: usize) -> usize {
    most.min(own + (FULL_TENANTS * most).saturating_sub(all))
}

impl Counted {
    fn span(&mut self, span: &StoredSpan<'_>, example: Example, now: u64) {
        let Some(how) = &self.spans else {
            return;
        };
        let totals = &mut self.totals;
        let Some(counts) = of(&mut self.tenants, span.tenant) else {
            totals.uncounted += 1;
            return;
        };
        let mut values: [Cow<'_, str>; LABELS_MAX] = std::array::from_fn(|_| Cow::Borrowed(""));
        values[0] = Cow::Borrowed(span.service);
        values[1] = Cow::Borrowed(span.name);
        values[2] = Cow::Borrowed(kind_label(span.kind));
        values[3] = Cow::Borrowed(status_label(span.status));
        for (at, value) in values[SPAN_LABELS.len()..]
            .iter_mut()
            .enumerate()
            .take(how.dimensions)
        {
            let own = span.details.attribute(at);
            let found = own.or_else(|| span.details.resource_attribute(at));
            *value = found.unwrap_or_default();
        }
        let values = &values[..SPAN_LABELS.len() + how.dimensions];
        let most = room(counts.spans.len(), totals.series, how.series);
        let new = || Latency::new(&how.shape);
        let (latency, place) = counts.spans.at(values, now, most, new);
        latency.add(example);
        totals.spans += 1;
        totals.series += usize::from(place == Place::New);
        totals.overflowed_spans += u64::from(place == Place::Overflow);
    }

    fn request(&mut self, tenant: &Tenant, edge: &Edge<'_>, now: u64) {
        let Some(how) = &self.edges else {
            return;
        };
        let totals = &mut self.totals;
        let Some(counts) = of(&mut self.tenants, tenant) else {
            totals.uncounted += 1;
            return;
        };
        let values = [&*edge.client, &*edge.server, edge.connection.label()];
        let most = room(counts.edges.len(), totals.edges, how.series);
        let new = || Requests::new(&how.shape);
        let (requests, place) = counts.edges.at(&values, now, most, new);
        requests.total += 1;
        requests.failed += u64::from(edge.failed);
        if let Some(example) = edge.client_side {
            requests.client.add(example);
        }
        if let Some(example) = edge.server_side {
            requests.server.add(example);
        }
        totals.requests += 1;
        totals.edges += usize::from(place == Place::New);
        totals.overflowed_requests += u64::from(place == Place::Overflow);
    }
}

/// Codes beyond the known ones are one series each of "unspecified" and "unset".
fn kind_label(kind: i32) -> &'static str {
    match kind {
        1 => "SPAN_KIND_INTERNAL",
        2 => "SPAN_KIND_SERVER",
        3 => "SPAN_KIND_CLIENT",
        4 => "SPAN_KIND_PRODUCER",
        5 => "SPAN_KIND_CONSUMER",
        _ => "SPAN_KIND_UNSPECIFIED",
    }
}

fn status_label(status: i32) -> &'static str {
    match StatusCode::from_code(status) {
        Some(StatusCode::Ok) => "STATUS_CODE_OK",
        Some(StatusCode::Error) => "STATUS_CODE_ERROR",
        Some(StatusCode::Unset) | None => "STATUS_CODE_UNSET",
    }
}
