//! Exemplars that point into a story: from a figure to the requests behind it.

use std::collections::{BTreeSet, HashSet};

use api::types::ExemplarView;
use model::metric::{Exemplar, Series};
use model::time::NANOS_PER_SECOND;
use model::{SpanId, TimeRange, TraceId};
use serde_json::{Map, Value as Json};
use storage::message::{MatchOp, Matcher, SeriesPoints};

use crate::traces::rows::Rows;

/// How many series are looked through.
const SERIES_MAX: usize = 2_000;
/// How many exemplars are given.
const EXEMPLARS_MAX: usize = 200;
/// Points may be exported this long after the request that they count.
const EXPORT_DELAY: u64 = 120 * NANOS_PER_SECOND;
/// A longer story is looked through from its start to here.
const RANGE_MAX: u64 = 900 * NANOS_PER_SECOND;

/// Finds the exemplars of these traces in the metrics of these services. What cannot be read
/// is named as a cut: a story without its exemplars is still a story.
pub(super) async fn find(
    rows: &dyn Rows,
    traces: &HashSet<TraceId>,
    services: &BTreeSet<String>,
    when: TimeRange,
) -> Vec<ExemplarView> {
    if traces.is_empty() || services.is_empty() {
        return Vec::new();
    }
    let mut end = when.end.saturating_add(EXPORT_DELAY);
    if end.saturating_sub(when.start) > RANGE_MAX + EXPORT_DELAY {
        end = when.start.saturating_add(RANGE_MAX + EXPORT_DELAY);
        cut(
            rows,
            "exemplar_range",
            "15m",
            "exemplars of the rest are found by metric",
        );
    }
    let range = TimeRange {
        start: when.start.saturating_sub(NANOS_PER_SECOND),
        end,
    };
    let names = services
        .iter()
        .map(|name| regex::escape(name))
        .collect::<Vec<_>>()
        .join("|");
    let by_job = regex_matcher("job", format!("(.+/)?({names})"));
    let by_service = regex_matcher("service", names);
    let span_metrics = regex_matcher("__name__", "traces_spanmetrics_.*".into());
    let (own, derived) = futures::future::join(
        rows.series(vec![by_job], range, SERIES_MAX),
        rows.series(vec![span_metrics, by_service], range, SERIES_MAX),
    )
    .await;
    let mut found: Vec<ExemplarView> = Vec::new();
    for answer in [own, derived] {
        match answer {
            Ok(answer) => collect(answer, traces, &mut found),
            Err(error) => cut(rows, "exemplars", &error.to_string(), "ask again"),
        }
    }
    found.sort_by(|a, b| {
        (a.time_unix_nano, &a.metric, &a.span_id).cmp(&(b.time_unix_nano, &b.metric, &b.span_id))
    });
    // Cumulative points repeat their exemplars until new ones take their place.
    found.dedup();
    if found.len() > EXEMPLARS_MAX {
        found.truncate(EXEMPLARS_MAX);
        cut(
            rows,
            "exemplars",
            &EXEMPLARS_MAX.to_string(),
            "narrow the range with start and end",
        );
    }
    found
}

fn regex_matcher(name: &str, value: String) -> Matcher {
    Matcher {
        name: name.into(),
        op: MatchOp::Regex,
        value,
    }
}

fn cut(rows: &dyn Rows, limit: &str, value: &str, hint: &str) {
    rows.cut(limit, value.to_owned(), hint);
}

fn collect(answer: Vec<SeriesPoints>, traces: &HashSet<TraceId>, found: &mut Vec<ExemplarView>) {
    for part in answer {
        let exemplars = part.points.iter().flat_map(|point| &point.exemplars);
        for exemplar in exemplars {
            let trace = TraceId::from_wire(&exemplar.trace_id);
            if let Some(trace) = trace.filter(|trace| traces.contains(trace)) {
                found.push(view(&part.series, exemplar, trace));
            }
        }
    }
}

fn view(series: &Series, exemplar: &Exemplar, trace: TraceId) -> ExemplarView {
    let mut attributes = Map::new();
    for kv in series
        .attributes
        .iter()
        .chain(&exemplar.filtered_attributes)
    {
        attributes.insert(kv.key.clone(), kv.value.to_json());
    }
    // Span metrics are derived by the collector: whose they are is in their attributes.
    let derived = model::value::last(&series.attributes, "service").and_then(|name| name.as_str());
    ExemplarView {
        metric: series.metric.name.clone(),
        service: derived
            .unwrap_or_else(|| series.resource.service())
            .to_owned(),
        time_unix_nano: exemplar.time_unix_nano,
        value: exemplar.value.as_f64().unwrap_or_default(),
        trace_id: trace.to_string(),
        span_id: SpanId::from_wire(&exemplar.span_id)
            .map(|id| id.to_string())
            .unwrap_or_default(),
        attributes: Json::Object(attributes),
    }
}
