//! `metadata`: type, help and unit of metrics.

use std::collections::BTreeMap;

use axum::extract::State as Extract;
use promql::metadata::Metadata;

use super::super::State;
use super::answer::{Answer, Notes, bad_data, success};
use super::form::Form;
use crate::exec::series::SeriesReader;

/// `GET metadata`
pub(crate) async fn metadata(Extract(state): Extract<State>, form: Form) -> Answer {
    let number = |name: &str| {
        let read = |text: &str| {
            text.parse::<i64>()
                .map_err(|_| bad_data(format!("{name} must be a number")))
        };
        form.text(name).map(read).transpose()
    };
    let limit = number("limit")?;
    let per_metric = number("limit_per_metric")?.filter(|most| *most > 0);
    let running = state.begin_promql().await?;
    let reader = SeriesReader(running.context());
    let mut all: BTreeMap<String, Vec<Metadata>> = BTreeMap::new();
    for metric in reader.metrics().await? {
        let Some(family) = model::prometheus::family(&metric) else {
            continue;
        };
        let name = family.name;
        if form.text("metric").is_some_and(|wanted| wanted != name) {
            continue;
        }
        let entry = Metadata {
            kind: family.kind,
            help: family.help,
            unit: family.unit,
        };
        let known = all.entry(name).or_default();
        if !known.contains(&entry) {
            known.push(entry);
        }
    }
    if let Some(most) = per_metric.and_then(|most| usize::try_from(most).ok()) {
        all.values_mut().for_each(|entries| entries.truncate(most));
    }
    // One below zero is none, and none at all is a limit, too.
    let most = limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    let data: BTreeMap<String, Vec<Metadata>> = all.into_iter().take(most).collect();
    success(&running, data, Notes::default()).await
}
