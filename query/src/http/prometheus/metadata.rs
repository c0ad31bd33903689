//! `metadata`: type, help and unit of metrics.

use std::collections::BTreeMap;

use axum::extract::State as Extract;
use model::TimeRange;
use promql::metadata::Metadata;

use super::super::State;
use super::answer::{Answer, Notes, success};
use super::form::Form;
use crate::exec::series::SeriesReader;

/// `GET metadata`
pub(crate) async fn metadata(Extract(state): Extract<State>, form: Form) -> Answer {
    let (limit, per_metric) = (form.limit()?, form.count("limit_per_metric")?);
    let running = state.begin_promql().await?;
    let reader = SeriesReader(running.context());
    let stored = reader.read(&[], TimeRange::ALL, false).await?;
    let mut all: BTreeMap<String, Vec<Metadata>> = BTreeMap::new();
    for part in &stored {
        let Some(family) = model::prometheus::family(&part.series) else {
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
    if let Some(most) = per_metric {
        all.values_mut().for_each(|entries| entries.truncate(most));
    }
    let mut entries: Vec<_> = all.into_iter().collect();
    let mut notes = Notes::default();
    notes.limit(&mut entries, limit);
    let data: BTreeMap<String, Vec<Metadata>> = entries.into_iter().collect();
    success(&running, data, notes).await
}
