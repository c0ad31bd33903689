//! `status/tsdb`: which names and labels have most series.
//!
//! Series are counted as they are stored: a histogram counts once, not once a bucket. All that is
//! stored counts, not what is in memory alone.

use axum::extract::State as Extract;
use model::{Signal, TimeRange};
use serde_json::{Value as Json, json};
use storage::message::{Cardinality, ValueWeight};

use super::super::State;
use super::answer::{Answer, Notes, bad_data, bad_parameter, success};
use super::form::Form;
use crate::exec::cardinality::{self, Ask};

/// How many entries each list has where nobody says how many.
const LISTED: usize = 10;
/// How many it may have.
const LISTED_MAX: usize = 10_000;

/// How many are compared at least.
const COMPARED: usize = 1_000;

/// `GET status/tsdb`
pub(crate) async fn tsdb(Extract(state): Extract<State>, form: Form) -> Answer {
    let listed = match form.text("limit") {
        None => LISTED,
        Some(text) => text
            .parse()
            .ok()
            .filter(|listed| *listed > 0)
            .ok_or_else(|| bad_data("limit must be a positive number"))?,
    };
    if listed > LISTED_MAX {
        let problem = format!("it is at most {LISTED_MAX}");
        return Err(bad_parameter("limit", problem));
    }
    let running = state.begin_promql().await?;
    let ask = Ask {
        matchers: Vec::new(),
        range: TimeRange::ALL,
        label: None,
        by_samples: false,
        // The lists are in other orders than those that are asked for.
        limit: listed.max(COMPARED),
    };
    let found = cardinality::count(running.context(), ask).await?;
    let tenant = state.options().tenant.clone();
    let held = state.sources().status(tenant, running.work()).await?;
    let days = held.iter().flat_map(|(_, status)| &status.partitions);
    let days = days.filter(|partition| partition.signal == Signal::Metrics);
    let (first_ms, last_ms) = times(days.map(|partition| partition.day), state.now());
    let mut data = told(found, listed);
    data["headStats"]["minTime"] = first_ms.into();
    data["headStats"]["maxTime"] = last_ms.into();
    success(&running, data, Notes::default()).await
}

/// Between which milliseconds the samples lie, as far as the days that there are say. What is in memory
/// is of today.
fn times(days: impl Iterator<Item = u32>, now_unix_nano: u64) -> (u64, u64) {
    const DAY_MS: u64 = 86_400_000;
    let now_ms = now_unix_nano / 1_000_000;
    let first = days.map(|day| u64::from(day) * DAY_MS).min();
    let today = now_ms - now_ms % DAY_MS;
    (first.map_or(today, |first| first.min(today)), now_ms)
}

/// The counts as Prometheus names them. Its pairs have those of the name among them.
fn told(found: Cardinality, listed: usize) -> Json {
    let entry = |name: String, value: u64| json!({"name": name, "value": value});
    let mut pairs = found.metrics.clone();
    pairs.extend(found.values);
    let series = |one: &ValueWeight| one.weight.series;
    pairs.sort_by(|a, b| {
        let names = (&a.label, &a.value).cmp(&(&b.label, &b.value));
        series(b).cmp(&series(a)).then(names)
    });
    let pairs = pairs
        .into_iter()
        .take(listed)
        .map(|one| entry(format!("{}={}", one.label, one.value), one.weight.series));
    let metrics = found.metrics.into_iter().take(listed);
    let metrics = metrics.map(|one| entry(one.value, one.weight.series));
    let mut bytes = found.labels.clone();
    bytes.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.label.cmp(&b.label)));
    let bytes = bytes
        .into_iter()
        .take(listed)
        .map(|one| entry(one.label, one.bytes));
    let values = found.labels.into_iter().take(listed);
    let values = values.map(|one| entry(one.label, one.values));
    json!({
        "headStats": {
            "numSeries": found.all.series,
            "numLabelPairs": found.pairs,
            // Every series has one that grows, and how many full ones it has is not counted.
            "chunkCount": found.all.series,
        },
        "seriesCountByMetricName": metrics.collect::<Vec<_>>(),
        "labelValueCountByLabelName": values.collect::<Vec<_>>(),
        "memoryInBytesByLabelName": bytes.collect::<Vec<_>>(),
        "seriesCountByLabelValuePair": pairs.collect::<Vec<_>>(),
    })
}
