//! `status/tsdb`: which names and labels have most series.
//!
//! Series are counted as they are stored: a histogram counts once, not once a bucket.

use std::collections::{BTreeSet, HashMap};

use axum::extract::State as Extract;
use model::metric::Series;
use model::{TimeRange, prometheus};
use serde_json::{Value as Json, json};

use super::super::State;
use super::answer::{Answer, Notes, bad_parameter, success};
use super::form::Form;
use crate::exec::series::SeriesReader;

/// How many entries each list has where nobody says how many.
const LISTED: usize = 10;
/// How many it may have.
const LISTED_MAX: usize = 10_000;

/// `GET status/tsdb`
pub(crate) async fn tsdb(Extract(state): Extract<State>, form: Form) -> Answer {
    let listed = form.limit()?.unwrap_or(LISTED);
    if listed > LISTED_MAX {
        let problem = format!("it is at most {LISTED_MAX}");
        return Err(bad_parameter("limit", problem));
    }
    let running = state.begin().await?;
    let reader = SeriesReader(running.context());
    let stored = reader.read(&[], TimeRange::ALL, false).await?;
    let mut cardinality = Cardinality::default();
    for part in &stored {
        cardinality.add(&named(&part.series));
    }
    success(&running, cardinality.finish(listed), Notes::default())
}

/// The labels of a series with its name, sorted.
fn named(series: &Series) -> Vec<(String, String)> {
    let mut labels = prometheus::base_labels(series);
    let name = prometheus::base_name(series);
    if !name.is_empty() {
        labels.push((prometheus::NAME_LABEL.to_owned(), name));
    }
    labels.sort_unstable();
    labels
}

/// What is counted of all series.
#[derive(Default)]
struct Cardinality {
    /// Label sets: two sources may hold one series.
    seen: BTreeSet<Vec<(String, String)>>,
    names: HashMap<String, u64>,
    /// Values of each label, with how many series have it.
    pairs: HashMap<String, HashMap<String, u64>>,
}

impl Cardinality {
    fn add(&mut self, labels: &[(String, String)]) {
        if !self.seen.insert(labels.to_vec()) {
            return;
        }
        for (name, value) in labels {
            if name == prometheus::NAME_LABEL {
                *self.names.entry(value.clone()).or_default() += 1;
            }
            let values = self.pairs.entry(name.clone()).or_default();
            *values.entry(value.clone()).or_default() += 1;
        }
    }

    fn finish(self, listed: usize) -> Json {
        let labels = &self.pairs;
        let values = labels
            .iter()
            .map(|(name, values)| (name.clone(), wide(values.len())));
        let bytes = labels.iter().map(|(name, values)| {
            let all = values.iter();
            let bytes = all.map(|(value, series)| wide(value.len()) * series);
            (name.clone(), bytes.sum())
        });
        let pairs = labels.iter().flat_map(|(name, values)| {
            let of_pair =
                move |(value, series): (&String, &u64)| (format!("{name}={value}"), *series);
            values.iter().map(of_pair)
        });
        json!({
            "headStats": {
                "numSeries": self.seen.len(),
                "numLabelPairs": labels.values().map(HashMap::len).sum::<usize>(),
            },
            "seriesCountByMetricName": most(self.names.into_iter(), listed),
            "labelValueCountByLabelName": most(values, listed),
            "memoryInBytesByLabelName": most(bytes, listed),
            "seriesCountByLabelValuePair": most(pairs, listed),
        })
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The largest, then by name.
fn most(counts: impl Iterator<Item = (String, u64)>, listed: usize) -> Vec<Json> {
    let mut sorted: Vec<(String, u64)> = counts.collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sorted.truncate(listed);
    let entry = |(name, value)| json!({"name": name, "value": value});
    sorted.into_iter().map(entry).collect()
}
