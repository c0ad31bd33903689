//! Labels of series, worked out once.
//!
//! What a series is to Prometheus follows from what identifies it, and queries come back to the
//! same series again and again.

use std::sync::Arc;

use model::metric::{MetricKind, Series, Temporality};
use model::prometheus::{self, Promotion, SharedLabels};
use parking_lot::Mutex;
use promql::Labels;
use rustc_hash::{FxHashMap, FxHashSet};
use storage::message::SeriesSamples;

use super::view::bound_text;

/// Series that are kept; then all are forgotten.
const KEPT_MAX: usize = 100_000;
/// Label sets of parts of histograms that are kept, in the same way.
const PARTS_MAX: usize = 100_000;

/// What a series is to Prometheus.
#[derive(Debug)]
pub struct Seen {
    /// Labels with the metric's name but without the suffixes of its parts; none where the name
    /// leaves nothing for Prometheus.
    pub labels: Option<Labels>,
    /// Labels of the `target_info` of its resource.
    pub target: Option<Labels>,
    /// Kind of the metric, as it is shown.
    pub kind: MetricKind,
    /// Its temporality.
    pub temporality: Temporality,
}

/// Labels of the parts of a histogram with bounds.
#[derive(Debug)]
pub struct Bounded {
    bounds: Vec<f64>,
    /// Of the bucket of each bound.
    pub buckets: Vec<Labels>,
    /// Of the last bucket.
    pub infinite: Labels,
    /// Of the number of values.
    pub count: Labels,
    /// Of their sum.
    pub sum: Labels,
}

impl Bounded {
    fn new(base: &Labels, bounds: &[f64]) -> Self {
        let named = |suffix: &str| {
            let name = format!("{}{suffix}", base.metric_name());
            base.with(prometheus::NAME_LABEL, &name)
        };
        let bucket = named("_bucket");
        let of = |bound: f64| bucket.with("le", &bound_text(bound));
        Self {
            bounds: bounds.to_vec(),
            buckets: bounds.iter().map(|bound| of(*bound)).collect(),
            infinite: of(f64::INFINITY),
            count: named("_count"),
            sum: named("_sum"),
        }
    }
}

/// Series by what identifies them.
#[derive(Debug, Default)]
pub struct SeenSeries {
    kept: Mutex<Kept>,
    histograms: Mutex<Histograms>,
}

/// Histograms with bounds by their labels.
#[derive(Debug, Default)]
struct Histograms {
    by_labels: FxHashMap<Labels, Arc<Bounded>>,
    /// Label sets of all their parts.
    parts: usize,
}

#[derive(Debug, Default)]
struct Kept {
    series: FxHashMap<u128, Arc<Seen>>,
    texts: Texts,
    /// What the series that was looked at last has in common with its neighbours.
    last: Option<Common>,
}

/// What series of one resource, scope and metric have in common.
#[derive(Debug)]
struct Common {
    series: Arc<Series>,
    /// The metric's name without the suffixes of its parts.
    name: String,
    labels: SharedLabels,
    target: Option<Labels>,
    kind: MetricKind,
}

impl Common {
    fn of(series: &Arc<Series>, texts: &mut Texts) -> Self {
        Self {
            name: prometheus::base_name(series),
            labels: prometheus::shared_labels(series),
            target: prometheus::target_info(series).map(|pairs| texts.labels(&pairs)),
            kind: prometheus::view_kind(&series.metric),
            series: Arc::clone(series),
        }
    }

    fn is_of(&self, series: &Series) -> bool {
        let own = &self.series;
        let same = Arc::ptr_eq(&own.metric, &series.metric)
            && Arc::ptr_eq(&own.resource, &series.resource)
            && Arc::ptr_eq(&own.scope, &series.scope);
        same || (own.metric == series.metric
            && own.resource == series.resource
            && own.scope == series.scope)
    }
}

/// Names and values of labels, each kept once: label sets of neighbours take little beside them, and
/// are compared without looking at the texts that they share.
#[derive(Debug, Default)]
pub(super) struct Texts(FxHashSet<Arc<str>>);

impl Texts {
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.0.insert(Arc::clone(&text));
        text
    }

    /// These labels; of the same name the last counts.
    pub(super) fn labels(&mut self, pairs: &[(String, String)]) -> Labels {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (self.text(name), self.text(value)));
        let pairs: Vec<(Arc<str>, Arc<str>)> = pairs.collect();
        Labels::new(pairs)
    }
}

impl SeenSeries {
    /// What the series of these samples are, in their order.
    pub fn all(&self, parts: &[SeriesSamples], promotion: &Promotion) -> Vec<Arc<Seen>> {
        let mut kept = self.kept.lock();
        parts.iter().map(|part| kept.get(part, promotion)).collect()
    }

    /// The parts of a histogram with these labels and bounds.
    pub fn bounded(&self, base: &Labels, bounds: &[f64]) -> Arc<Bounded> {
        let mut known = self.histograms.lock();
        if let Some(known) = known.by_labels.get(base)
            && known.bounds == bounds
        {
            return Arc::clone(known);
        }
        if known.parts >= PARTS_MAX {
            *known = Histograms::default();
        }
        known.parts += bounds.len() + 3;
        let parts = Arc::new(Bounded::new(base, bounds));
        known.by_labels.insert(base.clone(), Arc::clone(&parts));
        parts
    }
}

impl Kept {
    fn get(&mut self, part: &SeriesSamples, promotion: &Promotion) -> Arc<Seen> {
        if let Some(seen) = self.series.get(&part.id) {
            return Arc::clone(seen);
        }
        let kept = self;
        if kept.series.len() >= KEPT_MAX {
            *kept = Kept::default();
        }
        let common = match kept.last.take() {
            Some(common) if common.is_of(&part.series) => common,
            _ => Common::of(&part.series, &mut kept.texts),
        };
        let labels = (!common.name.is_empty()).then(|| {
            let mut pairs = if promotion.is_none() {
                prometheus::labels_beside(&common.labels, &part.series)
            } else {
                let mut series = (*part.series).clone();
                promotion.apply(&mut series);
                prometheus::labels_beside(&common.labels, &series)
            };
            // As the last of its name it is the one that counts.
            pairs.push((prometheus::NAME_LABEL.to_owned(), common.name.clone()));
            kept.texts.labels(&pairs)
        });
        let seen = Arc::new(Seen {
            labels,
            target: common.target.clone(),
            kind: common.kind,
            temporality: part.series.metric.temporality,
        });
        kept.last = Some(common);
        kept.series.insert(part.id, Arc::clone(&seen));
        seen
    }
}
