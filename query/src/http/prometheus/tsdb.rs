//! `status/tsdb`: which names and labels have most series.
//!
//! Series are counted as they are stored: a histogram counts once, not once a bucket.

use axum::extract::State as Extract;
use model::TimeRange;
use serde_json::{Value as Json, json};
use storage::message::{Cardinality, ValueWeight};

use super::super::State;
use super::answer::{Answer, Notes, bad_parameter, success};
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
    let listed = form.limit()?.unwrap_or(LISTED);
    if listed > LISTED_MAX {
        let problem = format!("it is at most {LISTED_MAX}");
        return Err(bad_parameter("limit", problem));
    }
    let running = state.begin().await?;
    let ask = Ask {
        matchers: Vec::new(),
        range: TimeRange::ALL,
        label: None,
        by_samples: false,
        // The lists are in other orders than those that are asked for.
        limit: listed.max(COMPARED),
    };
    let found = cardinality::count(running.context(), ask).await?;
    success(&running, told(found, listed), Notes::default())
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
        },
        "seriesCountByMetricName": metrics.collect::<Vec<_>>(),
        "labelValueCountByLabelName": values.collect::<Vec<_>>(),
        "memoryInBytesByLabelName": bytes.collect::<Vec<_>>(),
        "seriesCountByLabelValuePair": pairs.collect::<Vec<_>>(),
    })
}
