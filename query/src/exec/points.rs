//! Metric data points as they were sent, as OTLP JSON.
//!
//! The answer is what an OTLP endpoint takes: resources, their scopes, their metrics, their
//! points. Where there are more points than asked for, the newest are given.

use std::cmp::Reverse;
use std::sync::Arc;

use api::PointsAnswer;
use indexmap::IndexMap;
use model::TimeRange;
use model::metric::Metric;
use otlp::encode::json::data_point_json;
use otlp::encode::requests::{metric_json, metric_members};
use promql::Matcher;
use rustc_hash::FxHashSet;
use serde_json::Value as Json;
use storage::message::SeriesPoints;

use super::Context;
use super::nest::{Nest, ScopePlace};
use super::series::SeriesReader;
use super::series::selects::selects;
use crate::error::{ErrorKind, QueryError};

/// Which points.
#[derive(Debug, Clone)]
pub struct Points {
    /// Conditions on the Prometheus view of their series; none for all.
    pub matchers: Vec<Matcher>,
    /// When they were taken.
    pub range: TimeRange,
    /// How many at most.
    pub limit: usize,
}

/// The points of the series that match.
pub async fn points(context: Context<'_>, ask: Points) -> Result<PointsAnswer, QueryError> {
    let parts = SeriesReader(context)
        .read(&ask.matchers, ask.range, true)
        .await?;
    let several = context.sources.len() > 1;
    let limit = ask.limit;
    // There may be many points to sort.
    let sorted = tokio::task::spawn_blocking(move || newest(parts, &ask, several)).await;
    let (tree, more) = sorted.map_err(|problem| {
        QueryError::new(
            ErrorKind::Internal,
            format!("the answer could not be made: {problem}"),
        )
    })?;
    if more {
        let hint = "these are the newest; ask for earlier ones with end, or raise limit";
        context.work.cut("points", limit, hint);
    }
    Ok(PointsAnswer {
        points: tree.points,
        resource_metrics: tree.finish(),
        completeness: context.work.completeness(),
    })
}

/// The newest points, and whether there are more.
fn newest(mut parts: Vec<SeriesPoints>, ask: &Points, several: bool) -> (Tree, bool) {
    parts.retain(|part| selects(part, &ask.matchers));
    let mut order: Vec<(Reverse<u64>, usize, usize)> = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let points = part.points.iter().enumerate();
        order.extend(
            points
                .filter(|(_, point)| ask.range.contains(point.time_unix_nano))
                .map(|(at, point)| (Reverse(point.time_unix_nano), number, at)),
        );
    }
    order.sort_unstable();
    let mut tree = Tree::default();
    let mut places: Vec<Option<Place>> = vec![None; parts.len()];
    let mut seen: FxHashSet<(Place, String)> = FxHashSet::default();
    for (_, number, at) in order {
        let part = &parts[number];
        let place = *places[number].get_or_insert_with(|| tree.enter(part));
        let json = data_point_json(&part.series, &part.points[at]);
        // Two sources may hold the same point.
        if several && !seen.insert((place, json.to_string())) {
            continue;
        }
        if tree.points == ask.limit {
            return (tree, true);
        }
        tree.push(place, json);
    }
    (tree, false)
}

/// Where in the tree a metric is: its scope, and its number there.
type Place = (ScopePlace, usize);

/// A metric and its points, newest first.
struct Leaf {
    metric: Arc<Metric>,
    points: Vec<Json>,
}

/// Resources in the order of their newest point; the metrics of a scope, each once by what it is.
#[derive(Default)]
struct Tree {
    nest: Nest<IndexMap<String, Leaf>>,
    points: usize,
}

impl Tree {
    /// The place of the metric of a series.
    fn enter(&mut self, part: &SeriesPoints) -> Place {
        let series = &part.series;
        let metric = &series.metric;
        let shape = (metric.kind, metric.temporality, metric.monotonic);
        let key = format!("{:?} {}", shape, Json::Object(metric_members(metric)));
        let scope = self.nest.enter(&series.resource, &series.scope);
        let entry = self.nest.at(scope).entry(key);
        let index = entry.index();
        entry.or_insert_with(|| Leaf {
            metric: metric.clone(),
            points: Vec::new(),
        });
        (scope, index)
    }

    fn push(&mut self, (scope, metric): Place, point: Json) {
        self.nest.at(scope)[metric].points.push(point);
        self.points += 1;
    }

    fn finish(self) -> Vec<Json> {
        // A place may have been made for a point that was then one too many.
        let metrics = |metrics: IndexMap<String, Leaf>| {
            let some = metrics.into_values().filter(|leaf| !leaf.points.is_empty());
            some.map(|Leaf { metric, mut points }| {
                points.reverse();
                metric_json(&metric, points)
            })
            .collect()
        };
        self.nest.finish("scopeMetrics", "metrics", metrics)
    }
}
