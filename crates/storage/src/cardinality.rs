//! How many series there are of each metric, label and value, and how many samples they have.
//!
//! Series are counted as they are stored: a histogram is one series, not one a bucket. Their labels
//! are those of Prometheus' view of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use model::metric::Series;
use model::prometheus::{self, NAME_LABEL, SharedLabels};
use model::{Metric, Resource};
use rustc_hash::FxHashMap;

use crate::message::{Cardinality, CardinalityOf, LabelWeight, ValueWeight, Weight};

/// Label values that are told apart.
pub(crate) const VALUES_MAX: usize = 2_000_000;
/// Entries of each list that are merged for each one that is wanted: what is heavy in all sources
/// together is then hardly left out by any.
const SPARE: usize = 10;

/// The counts of one label.
#[derive(Debug, Default)]
struct Label {
    weight: Weight,
    /// Of all its values, once for each series.
    bytes: u64,
    values: FxHashMap<String, Weight>,
}

/// Counts series that are shown once each.
#[derive(Debug, Default)]
pub struct Counter {
    all: Weight,
    labels: BTreeMap<String, Label>,
    values: usize,
    untold: bool,
    /// What the last series has in common with its neighbours.
    last: Option<Common>,
}

/// What series of one resource, scope and metric have in common.
#[derive(Debug)]
struct Common {
    resource: Arc<Resource>,
    scope: Arc<model::Scope>,
    metric: Arc<Metric>,
    name: String,
    labels: SharedLabels,
}

impl Common {
    fn of(series: &Series) -> Self {
        Self {
            resource: Arc::clone(&series.resource),
            scope: Arc::clone(&series.scope),
            metric: Arc::clone(&series.metric),
            name: prometheus::base_name(series),
            labels: prometheus::shared_labels(series),
        }
    }

    fn is_of(&self, series: &Series) -> bool {
        Arc::ptr_eq(&self.metric, &series.metric)
            && Arc::ptr_eq(&self.resource, &series.resource)
            && Arc::ptr_eq(&self.scope, &series.scope)
    }
}

impl Counter {
    /// Counts a series with so many samples.
    pub fn add(&mut self, series: &Series, samples: u64) {
        let known = self.last.take().filter(|known| known.is_of(series));
        let common = known.unwrap_or_else(|| Common::of(series));
        // What only describes a metric has no samples.
        if !common.name.is_empty() {
            let one = Weight { series: 1, samples };
            self.all.add(one);
            for (label, value) in prometheus::labels_beside(&common.labels, series) {
                self.add_label(&label, &value, one);
            }
            self.add_label(NAME_LABEL, &common.name, one);
        }
        self.last = Some(common);
    }

    fn add_label(&mut self, label: &str, value: &str, one: Weight) {
        if !self.labels.contains_key(label) {
            self.labels.insert(label.to_owned(), Label::default());
        }
        let Some(label) = self.labels.get_mut(label) else {
            return;
        };
        label.weight.add(one);
        label.bytes += value.len() as u64;
        if let Some(known) = label.values.get_mut(value) {
            known.add(one);
        } else if self.values < VALUES_MAX {
            self.values += 1;
            label.values.insert(value.to_owned(), one);
        } else {
            self.untold = true;
        }
    }

    /// Whether there were more values than can be told apart: the others are counted with their
    /// labels alone.
    pub fn untold(&self) -> bool {
        self.untold
    }

    /// What one source answers.
    pub fn finish(self, ask: &CardinalityOf) -> Cardinality {
        let listed = ask.listed.saturating_mul(SPARE);
        let values_of = |name: &str, label: &Label| {
            let values = label.values.iter().map(|(value, weight)| ValueWeight {
                label: name.to_owned(),
                value: value.clone(),
                weight: *weight,
            });
            heaviest(values.collect(), ask.by_samples, listed)
        };
        let names = self.labels.get(NAME_LABEL);
        let of_values = self.labels.iter().filter(|(name, _)| match &ask.label {
            Some(label) => *name == label,
            None => *name != NAME_LABEL,
        });
        // The heaviest of all are among the heaviest of each.
        let values = of_values.flat_map(|(name, label)| values_of(name, label));
        let labels = self.labels.iter().map(|(name, label)| LabelWeight {
            label: name.clone(),
            values: label.values.len() as u64,
            bytes: label.bytes,
            weight: label.weight,
        });
        Cardinality {
            all: self.all,
            pairs: self.values as u64,
            metrics: names.map_or_else(Vec::new, |label| values_of(NAME_LABEL, label)),
            values: heaviest(values.collect(), ask.by_samples, listed),
            labels: widest(labels.collect(), listed),
        }
    }
}

/// What several sources answer, as one. A series, or a value, that two of them have counts twice, but
/// for the number of a label's values: there it is the largest.
pub fn merge(parts: Vec<Cardinality>, ask: &CardinalityOf) -> Cardinality {
    let mut all = Cardinality::default();
    let mut labels: BTreeMap<String, LabelWeight> = BTreeMap::new();
    let (mut metrics, mut values) = (Vec::new(), Vec::new());
    for part in parts {
        all.all.add(part.all);
        all.pairs += part.pairs;
        metrics.extend(part.metrics);
        values.extend(part.values);
        for label in part.labels {
            match labels.get_mut(&label.label) {
                None => drop(labels.insert(label.label.clone(), label)),
                Some(known) => {
                    known.values = known.values.max(label.values);
                    known.bytes += label.bytes;
                    known.weight.add(label.weight);
                }
            }
        }
    }
    let joined = |list: Vec<ValueWeight>| {
        let mut joined: BTreeMap<(String, String), Weight> = BTreeMap::new();
        for one in list {
            let known = joined.entry((one.label, one.value)).or_default();
            known.add(one.weight);
        }
        let list = joined
            .into_iter()
            .map(|((label, value), weight)| ValueWeight {
                label,
                value,
                weight,
            });
        heaviest(list.collect(), ask.by_samples, ask.listed)
    };
    Cardinality {
        metrics: joined(metrics),
        values: joined(values),
        labels: widest(labels.into_values().collect(), ask.listed),
        ..all
    }
}

/// The heaviest, then by name.
fn heaviest(mut list: Vec<ValueWeight>, by_samples: bool, listed: usize) -> Vec<ValueWeight> {
    let weigh = |weight: &Weight| match by_samples {
        true => (weight.samples, weight.series),
        false => (weight.series, weight.samples),
    };
    list.sort_by(|a, b| {
        let order = Reverse(weigh(&a.weight)).cmp(&Reverse(weigh(&b.weight)));
        order.then_with(|| (&a.label, &a.value).cmp(&(&b.label, &b.value)))
    });
    list.truncate(listed);
    list
}

/// Those with most values, then by name.
fn widest(mut list: Vec<LabelWeight>, listed: usize) -> Vec<LabelWeight> {
    list.sort_by(|a, b| b.values.cmp(&a.values).then_with(|| a.label.cmp(&b.label)));
    list.truncate(listed);
    list
}

#[cfg(test)]
mod tests;
