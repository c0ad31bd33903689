//! Terms of series: their labels as Prometheus sees them, as keys of an index.
//!
//! A key is a tag, the label's name, and for a value a zero byte and the value:
//!
//! | tag | on |
//! |---|---|
//! | `L` | series with this label (`__name__`: every name under which it has Prometheus series) |
//! | `H` | series that have the label at all |
//! | `T`, `U` | the same for the labels of the `target_info` of their resource |
//! | `R` | series whose resource has an attribute that would be this label, which a query may make it |
//! | `A` | with `__name__`: histograms, by their name without a suffix, which none of their Prometheus series has |
//! | `K` | followed by one byte: series of this kind of metric |
//! | `D` | alone: series of deltas |
//!
//! `le` and `quantile` of classic histograms and summaries are in their points and have no term.

use std::hash::Hash;
use std::sync::Arc;

use model::metric::{MetricKind, Series, Temporality};
use model::prometheus::{self, NAME_LABEL, Naming};
use rustc_hash::FxHashMap;

use super::SeriesEntry;
use crate::series_view;

pub(crate) const LABEL: u8 = b'L';
pub(crate) const HAS_LABEL: u8 = b'H';
pub(crate) const TARGET: u8 = b'T';
pub(crate) const HAS_TARGET: u8 = b'U';
pub(crate) const RESOURCE: u8 = b'R';
pub(crate) const ALIAS: u8 = b'A';
pub(crate) const KIND: u8 = b'K';
pub(crate) const DELTA: u8 = b'D';

/// Things of one kind that are kept while terms are made.
const KEPT_MAX: usize = 10_000;

/// Writes the key of a label, or of the label's being there.
pub(crate) fn put_key(out: &mut Vec<u8>, tag: u8, name: &str, value: Option<&str>) {
    out.push(tag);
    out.extend_from_slice(name.as_bytes());
    if let Some(value) = value {
        out.push(0);
        out.extend_from_slice(value.as_bytes());
    }
}

/// A key of its own.
pub(crate) fn key(tag: u8, name: &str, value: Option<&str>) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + value.map_or(0, str::len) + 2);
    put_key(&mut key, tag, name, value);
    key
}

/// Makes the terms of series. What many series share is worked out once.
#[derive(Default)]
pub(crate) struct Terms {
    /// By hash of a resource, and how it is named.
    targets: FxHashMap<(u64, Naming), Arc<[Vec<u8>]>>,
    /// By hash of a metric.
    names: FxHashMap<u64, Arc<[Vec<u8>]>>,
    scratch: Vec<u8>,
}

fn kept<K: Eq + Hash>(
    known: &mut FxHashMap<K, Arc<[Vec<u8>]>>,
    key: K,
    make: impl FnOnce() -> Vec<Vec<u8>>,
) -> Arc<[Vec<u8>]> {
    if let Some(terms) = known.get(&key) {
        return Arc::clone(terms);
    }
    let terms: Arc<[Vec<u8>]> = make().into();
    if known.len() < KEPT_MAX {
        known.insert(key, Arc::clone(&terms));
    }
    terms
}

impl Terms {
    /// Calls `each` with every key of a series.
    pub(crate) fn each(&mut self, entry: &SeriesEntry, mut each: impl FnMut(&[u8])) {
        let series = entry.series();
        let target = (entry.resource.hash, Naming::of(&series.metric));
        let targets = kept(&mut self.targets, target, || target_keys(&series));
        let names = kept(&mut self.names, entry.metric.hash, || name_keys(&series));
        targets.iter().chain(names.iter()).for_each(|key| each(key));
        for (name, value) in prometheus::base_labels(&series) {
            self.scratch.clear();
            put_key(&mut self.scratch, HAS_LABEL, &name, None);
            each(&self.scratch);
            self.scratch.clear();
            put_key(&mut self.scratch, LABEL, &name, Some(&value));
            each(&self.scratch);
        }
    }
}

fn target_keys(series: &Series) -> Vec<Vec<u8>> {
    let info = prometheus::target_info(series).unwrap_or_default();
    let targets = info.iter().filter(|(name, _)| name != NAME_LABEL);
    let mut keys: Vec<Vec<u8>> = targets
        .flat_map(|(name, value)| [key(HAS_TARGET, name, None), key(TARGET, name, Some(value))])
        .collect();
    let resource = prometheus::resource_labels(series).into_iter();
    keys.extend(resource.map(|(name, value)| key(RESOURCE, &name, Some(&value))));
    keys
}

fn name_keys(series: &Series) -> Vec<Vec<u8>> {
    let metric = &series.metric;
    let mut names = series_view::own_names(series);
    let mut keys = vec![vec![KIND, metric.kind as u8]];
    if metric.temporality == Temporality::Delta {
        keys.push(vec![DELTA]);
    }
    if prometheus::view_kind(metric) == MetricKind::Histogram
        && let Some(base) = names.pop()
    {
        keys.push(key(ALIAS, NAME_LABEL, Some(&base)));
    }
    if !names.is_empty() {
        keys.push(key(HAS_LABEL, NAME_LABEL, None));
    }
    keys.extend(names.iter().map(|name| key(LABEL, NAME_LABEL, Some(name))));
    keys
}
