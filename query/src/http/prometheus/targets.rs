//! What is scraped, and whom Prometheus would alert.
//!
//! Agents scrape, and what they say of it is stored: a target is one whose `up` has a sample of the
//! last minutes, and the metadata of that say where it is. Targets that relabeling dropped are known
//! to the agent alone. Alerts are told to webhooks, so there is no
//! Alertmanager.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::State as Extract;
use model::Value;
use model::prometheus::{self, NAME_LABEL, TARGET_KEY};
use model::value::last;
use promql::source::is_stale;
use promql::{Labels, MatchOp, Matcher};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::super::{Running, State};
use super::answer::{Answer, Notes, Refused, bad_data, bad_parameter, known, success};
use super::form::Form;
use crate::alerts::notifier::payload::rfc3339;
use crate::exec::series::{SeriesReader, range_of_ms};

const UP: &str = "up";
const DURATION: &str = "scrape_duration_seconds";

/// The last sample of a series.
#[derive(Clone, Copy)]
struct Last {
    time_ms: i64,
    value: f64,
}

/// The series of this name that go on, by their other labels.
async fn current(
    running: &Running,
    name: &str,
    (first_ms, now_ms): (i64, i64),
) -> Result<BTreeMap<Labels, Last>, Refused> {
    let matcher = Matcher::new(NAME_LABEL, MatchOp::Eq, name).map_err(|problem| {
        // A name without a pattern always makes a matcher.
        bad_parameter("match", problem)
    })?;
    let reader = SeriesReader(running.context());
    let series = reader
        .samples(&[matcher], range_of_ms(first_ms, now_ms), first_ms)
        .await?;
    let last = series.into_iter().filter_map(|series| {
        let samples = &series.samples;
        let (time_ms, value) = (*samples.times.last()?, *samples.floats.last()?);
        (!is_stale(value)).then(|| (series.labels.without_metadata(), Last { time_ms, value }))
    });
    Ok(last.collect())
}

/// A target that was scraped lately.
struct Active {
    labels: Labels,
    up: Last,
    /// How long its scrape took.
    took: Option<Last>,
    /// Where it is, as its agent says.
    described: Json,
}

/// What agents say of their targets, by labels.
async fn described(
    running: &Running,
    (first_ms, now_ms): (i64, i64),
) -> Result<BTreeMap<Labels, Json>, Refused> {
    let matcher = Matcher::new(NAME_LABEL, MatchOp::Eq, UP)
        .map_err(|problem| bad_parameter("match", problem))?;
    let reader = SeriesReader(running.context());
    let range = range_of_ms(first_ms, now_ms);
    let mut parts = reader.read(&[matcher], range, true).await?;
    // What is said of a target changes: what was said last counts.
    parts.sort_by_key(|part| part.points.last().map(|point| point.time_unix_nano));
    let described = parts.iter().filter_map(|part| {
        let series = &part.series;
        let text = last(&series.metric.metadata, TARGET_KEY).and_then(Value::as_str)?;
        let described: Json = serde_json::from_str(text).ok()?;
        described
            .is_object()
            .then(|| (Labels::new(prometheus::base_labels(series)), described))
    });
    Ok(described.collect())
}

/// Every target that was scraped lately.
async fn active(state: &State, running: &Running) -> Result<Vec<Active>, Refused> {
    let now_ms = i64::try_from(state.now() / 1_000_000).unwrap_or(i64::MAX);
    let range = (now_ms - state.options().promql.lookback_ms, now_ms);
    let up = current(running, UP, range).await?;
    let durations = current(running, DURATION, range).await?;
    let mut described = described(running, range).await?;
    let targets = up.into_iter().map(|(labels, up)| Active {
        took: durations.get(&labels).copied(),
        described: described.remove(&labels).unwrap_or_else(|| json!({})),
        labels,
        up,
    });
    Ok(targets.collect())
}

fn as_json(target: &Active) -> Json {
    let Active {
        labels,
        up,
        took,
        described,
    } = target;
    let is_up = up.value != 0.0;
    let scraped = u64::try_from(up.time_ms).unwrap_or_default() * 1_000_000;
    let names: BTreeMap<&str, &str> = labels.iter().collect();
    let said = |key: &str| described[key].as_str().unwrap_or_default();
    // Who scrapes need not be an agent, and may not say why it failed.
    let failed = match said("lastError") {
        "" => "the last scrape failed",
        error => error,
    };
    let discovered = described["discoveredLabels"].as_object().cloned();
    json!({
        "discoveredLabels": discovered.unwrap_or_default(),
        "labels": names,
        "scrapePool": labels.value("job"),
        "scrapeUrl": said("scrapeUrl"),
        "globalUrl": said("scrapeUrl"),
        "lastError": if is_up { "" } else { failed },
        "lastScrape": rfc3339(scraped),
        "lastScrapeDuration": took.map_or(0.0, |took| took.value),
        "health": if is_up { "up" } else { "down" },
        "scrapeInterval": said("scrapeInterval"),
        "scrapeTimeout": said("scrapeTimeout"),
    })
}

/// `GET targets`
pub(crate) async fn targets(Extract(state): Extract<State>, form: Form) -> Answer {
    // Another word is the state of no target, as in Prometheus.
    let wanted = form.text("state").unwrap_or("any").to_lowercase();
    let running = state.begin_promql().await?;
    let mut targets = Vec::new();
    if matches!(wanted.as_str(), "any" | "active") {
        targets = active(&state, &running).await?;
    }
    if let Some(pool) = form.text("scrapePool") {
        targets.retain(|target| target.labels.value("job") == pool);
    }
    let targets: Vec<Json> = targets.iter().map(as_json).collect();
    let data = json!({
        "activeTargets": targets,
        "droppedTargets": [],
        "droppedTargetCounts": {},
    });
    success(&running, data, Notes::default()).await
}

/// `GET scrape_pools`
pub(crate) async fn scrape_pools(Extract(state): Extract<State>) -> Answer {
    let running = state.begin_promql().await?;
    let targets = active(&state, &running).await?;
    let mut pools: Vec<&str> = targets
        .iter()
        .map(|target| target.labels.value("job"))
        .collect();
    pools.sort_unstable();
    pools.dedup();
    success(&running, json!({"scrapePools": pools}), Notes::default()).await
}

/// What targets say of the metrics that they have.
#[derive(Serialize)]
struct TargetMetadata {
    target: Arc<BTreeMap<String, String>>,
    /// Left out where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<String>,
    r#type: String,
    help: String,
    unit: String,
}

/// `GET targets/metadata`
pub(crate) async fn targets_metadata(Extract(state): Extract<State>, form: Form) -> Answer {
    let limit = match form.text("limit") {
        None => None,
        Some(text) => Some(
            text.parse::<usize>()
                .map_err(|_| bad_data("limit must be a number"))?,
        ),
    };
    let matchers = match form.text("match_target") {
        None => Vec::new(),
        Some(text) => {
            let selector = promql::parse_selector(text);
            selector
                .map_err(|problem| bad_parameter("match_target", problem))?
                .matchers
        }
    };
    let running = state.begin_promql().await?;
    let mut targets = active(&state, &running).await?;
    targets.retain(|target| {
        let matches = |one: &Matcher| one.matches(target.labels.value(&one.name));
        matchers.iter().all(matches)
    });
    let place = |labels: &Labels| {
        let value = |name| labels.value(name).to_owned();
        (value("job"), value("instance"))
    };
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let places: HashMap<_, _> = targets
        .iter()
        .map(|target| {
            let labels = target.labels.iter().map(owned).collect();
            (place(&target.labels), Arc::new(labels))
        })
        .collect();
    let now_ms = i64::try_from(state.now() / 1_000_000).unwrap_or(i64::MAX);
    let range = range_of_ms(now_ms - state.options().promql.lookback_ms, now_ms);
    let parts = SeriesReader(running.context())
        .read(&[], range, false)
        .await?;
    let wanted = form.text("metric");
    let mut said = BTreeSet::new();
    for part in &parts {
        let place = place(&Labels::new(prometheus::base_labels(&part.series)));
        if !places.contains_key(&place) {
            continue;
        }
        if let Some(family) = prometheus::family(&part.series.metric)
            && wanted.is_none_or(|wanted| wanted == family.name)
        {
            said.insert((place, family));
        }
    }
    let most = limit.unwrap_or(usize::MAX);
    let data = said.into_iter().take(most).filter_map(|(place, family)| {
        Some(TargetMetadata {
            target: Arc::clone(places.get(&place)?),
            metric: wanted.is_none().then_some(family.name),
            r#type: family.kind,
            help: family.help,
            unit: family.unit,
        })
    });
    success(&running, data.collect::<Vec<_>>(), Notes::default()).await
}

/// `GET alertmanagers`
pub(crate) async fn alertmanagers() -> Answer {
    known(json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}))
}
