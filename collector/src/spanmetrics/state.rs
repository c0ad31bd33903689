//! What has been counted so far.

use std::borrow::Cow;

use hashbrown::HashMap;
use model::{StatusCode, Tenant};
use storage::write::{Mark, StoredSpan};

use super::counts::{Calls, Losses, Presence, Requests};
use super::graph::{Edge, Event, Graph, Lost, Outcomes};
use super::histogram::{Example, Shape};
use super::options::{Options, TargetInfo};
use super::points::{Item, SPAN_LABELS};
use super::table::{Place, Table};
use super::target;
use super::zero::Moment;

/// Every so many emissions, series without new spans are written too, so that queries that look
/// back five minutes see them.
const REFRESH_EVERY: u64 = 4;
/// Zeros of which the store may have refused some are written again for so long: as long as a series
/// without points keeps a place that one of these may get.
const ZEROS_NANOS: u64 = 60 * 60 * 1_000_000_000;
/// All tenants together may have as many series as this many of them.
const FULL_TENANTS: usize = 10;
/// Tenants whose spans are counted at one time.
const TENANTS_MAX: usize = 1000;
/// Attributes that may be labels of span metrics.
const DIMENSIONS_MAX: usize = config::Dimensions::MAX;
const LABELS_MAX: usize = SPAN_LABELS.len() + target::IDENTITY + DIMENSIONS_MAX;

/// How spans are counted, with what is derived from the options once.
struct Spans {
    /// Their places among the attributes that the store is asked for are `0..dimensions`.
    dimensions: usize,
    shape: Shape,
    series: usize,
    target_info: Option<TargetInfo>,
}

struct Edges {
    shape: Shape,
    series: usize,
    virtual_node: bool,
    transit: bool,
}

/// The series of one tenant.
#[derive(Default)]
struct Tables {
    spans: Table<Calls>,
    targets: Table<Presence>,
    edges: Table<Requests>,
    losses: Table<Losses>,
}

impl Tables {
    fn is_empty(&self) -> bool {
        self.spans.is_empty()
            && self.targets.is_empty()
            && self.edges.is_empty()
            && self.losses.is_empty()
    }
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
    /// Writes that are tried again.
    pub failed_writes: u64,
    pub refused_points: u64,
    /// Series whose points the store takes in no case.
    pub dropped_series: u64,
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
    tenants: HashMap<Tenant, Tables>,
    totals: Totals,
}

/// Everything that changes.
pub(super) struct State {
    counted: Counted,
    graph: Option<Graph>,
    emissions: u64,
    emitted_unix_nano: u64,
    /// Every span before this was seen, and none after it.
    seen: Mark,
}

/// One emission: what is written of every tenant, and when.
pub(super) struct Emission {
    pub tenants: Vec<Tenant>,
    pub at: Moment,
    /// Everything before this was seen.
    pub seen: Mark,
    /// Whether series are written that have not changed.
    all: bool,
}

impl State {
    pub(super) fn new(options: &Options, graph: Option<Graph>) -> Self {
        let spans = options.spans.as_ref().map(|spans| Spans {
            dimensions: spans.dimensions.len().min(DIMENSIONS_MAX),
            shape: options.shape(&spans.bounds),
            series: spans.series,
            target_info: spans.target_info.clone(),
        });
        let edges = options.graph.as_ref().map(|graph| Edges {
            shape: options.shape(&graph.bounds),
            series: graph.edges,
            virtual_node: graph.virtual_node_label,
            transit: graph.messaging_latency,
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
            seen: Mark::default(),
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
            graph.see(span, example, steady, &mut |tenant, event| {
                counted.event(tenant, &event, now);
            });
        }
    }

    /// Notes that it has seen every span before the mark.
    pub(super) fn seen(&mut self, mark: Mark) {
        self.seen = mark;
    }

    /// Begins an emission.
    pub(super) fn begin(&mut self, (now, steady): (u64, u64)) -> Emission {
        let counted = &mut self.counted;
        if let Some(graph) = &mut self.graph {
            graph.expire(steady, &mut |tenant, event| {
                counted.event(tenant, &event, now);
            });
        }
        let emission = Emission {
            tenants: counted.tenants.keys().cloned().collect(),
            at: Moment {
                now,
                before: self.emitted_unix_nano,
            },
            seen: self.seen,
            all: self.emissions.is_multiple_of(REFRESH_EVERY),
        };
        self.emissions += 1;
        self.emitted_unix_nano = now;
        emission
    }

    /// Takes out what is to be written of a tenant, which covers its spans up to the mark.
    pub(super) fn take(
        &mut self,
        tenant: &Tenant,
        emission: &Emission,
        idle: u64,
    ) -> (Vec<Item>, Mark) {
        let seen = self.seen;
        let Some(tables) = self.counted.tenants.get_mut(tenant) else {
            return (Vec::new(), seen);
        };
        let totals = &mut self.counted.totals;
        let mut items = Vec::new();
        let (at, all) = (emission.at, emission.all);
        let spans = tables
            .spans
            .take(at, idle, all, |taken| items.push(Item::Spans(taken)));
        let edges = tables.edges.take(at, idle, all, |taken| {
            items.push(Item::Edges(Box::new(taken)))
        });
        let losses = tables
            .losses
            .take(at, idle, all, |taken| items.push(Item::Losses(taken)));
        let targets = tables
            .targets
            .take(at, idle, all, |taken| items.push(Item::Target(taken)));
        totals.series -= spans + targets;
        totals.edges -= edges + losses;
        totals.forgotten += (spans + edges + losses + targets) as u64;
        if tables.is_empty() {
            self.counted.tenants.remove(tenant);
        }
        (items, seen)
    }

    /// Has what could not be written, written the next time.
    pub(super) fn put_back(&mut self, tenant: &Tenant, items: impl IntoIterator<Item = Item>) {
        let Some(tables) = self.counted.tenants.get_mut(tenant) else {
            return;
        };
        for item in items {
            match item {
                Item::Spans(taken) => tables.spans.put_back(taken),
                Item::Edges(taken) => tables.edges.put_back(*taken),
                Item::Losses(taken) => tables.losses.put_back(taken),
                Item::Target(taken) => tables.targets.put_back(taken),
            }
        }
    }

    /// Has the zeros of series written once more, since nobody knows of which the store has them. Those
    /// of long ago are given up: while there are too many series they would come with every emission.
    pub(super) fn put_back_zeros(&mut self, tenant: &Tenant, items: &[Item], now: u64) {
        let since = now.saturating_sub(ZEROS_NANOS);
        let Some(tables) = self.counted.tenants.get_mut(tenant) else {
            return;
        };
        for item in items {
            match item {
                Item::Spans(taken) => tables.spans.put_back_zeros(taken, since),
                Item::Edges(taken) => tables.edges.put_back_zeros(taken, since),
                Item::Losses(taken) => tables.losses.put_back_zeros(taken, since),
                Item::Target(_) => {}
            }
        }
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
fn of<'a>(tenants: &'a mut HashMap<Tenant, Tables>, tenant: &Tenant) -> Option<&'a mut Tables> {
    if !tenants.contains_key(tenant) {
        if tenants.len() >= TENANTS_MAX {
            return None;
        }
        tenants.insert(tenant.clone(), Tables::default());
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
        let Some(tables) = of(&mut self.tenants, span.tenant) else {
            totals.uncounted += 1;
            return;
        };
        let mut values: [Cow<'_, str>; LABELS_MAX] = std::array::from_fn(|_| Cow::Borrowed(""));
        let mut count = SPAN_LABELS.len();
        values[0] = Cow::Borrowed(span.service);
        values[1] = Cow::Borrowed(span.name);
        values[2] = Cow::Borrowed(kind_label(span.kind));
        values[3] = Cow::Borrowed(status_label(span.status));
        if let Some(info) = &how.target_info {
            for (value, found) in values[count..]
                .iter_mut()
                .zip(target::identity(span.resource))
            {
                *value = found;
            }
            count += target::IDENTITY;
            if let Some(values) = target::values(span.resource, &info.excluded) {
                let most = room(tables.targets.len(), totals.series, how.series);
                let (_, place) = tables.targets.at(&values, now, most, Presence::default);
                totals.series += usize::from(place == Place::New);
            }
        }
        for (at, value) in values[count..].iter_mut().enumerate().take(how.dimensions) {
            let own = span.details.attribute(at);
            let found = own.or_else(|| span.details.resource_attribute(at));
            *value = found.unwrap_or_default();
        }
        let values = &values[..count + how.dimensions];
        let most = room(tables.spans.len(), totals.series, how.series);
        let (calls, place) = tables
            .spans
            .at(values, now, most, || Calls::new(&how.shape));
        calls.add(example, span.bytes);
        totals.spans += 1;
        totals.series += usize::from(place == Place::New);
        totals.overflowed_spans += u64::from(place == Place::Overflow);
    }

    fn event(&mut self, tenant: &Tenant, event: &Event<'_>, now: u64) {
        match event {
            Event::Edge(edge) => self.request(tenant, edge, now),
            Event::Lost(lost) => self.lost(tenant, lost, now),
        }
    }

    fn request(&mut self, tenant: &Tenant, edge: &Edge<'_>, now: u64) {
        let Some(how) = &self.edges else {
            return;
        };
        let totals = &mut self.totals;
        let Some(tables) = of(&mut self.tenants, tenant) else {
            totals.uncounted += 1;
            return;
        };
        let node = if how.virtual_node {
            edge.virtual_side.label()
        } else {
            ""
        };
        let values = [&*edge.client, &*edge.server, edge.connection.label(), node];
        let most = room(tables.edges.len(), totals.edges, how.series);
        let (requests, place) = tables
            .edges
            .at(&values, now, most, || Requests::new(&how.shape));
        requests.add(edge, how.transit);
        totals.requests += 1;
        totals.edges += usize::from(place == Place::New);
        totals.overflowed_requests += u64::from(place == Place::Overflow);
    }

    /// Counts a span that became no request.
    fn lost(&mut self, tenant: &Tenant, lost: &Lost<'_>, now: u64) {
        let Some(how) = &self.edges else {
            return;
        };
        let Some(tables) = of(&mut self.tenants, tenant) else {
            return;
        };
        let values = [lost.client, lost.server, lost.connection.label(), ""];
        let most = room(tables.losses.len(), self.totals.edges, how.series);
        let (losses, place) = tables.losses.at(&values, now, most, Losses::default);
        losses.add(lost.loss);
        self.totals.edges += usize::from(place == Place::New);
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
