//! The Prometheus view of stored series.
//!
//! A metric that came by a protocol of Prometheus has the metadata key [`TYPE_KEY`], as
//! OpenTelemetry's compatibility rules have it: its name and its labels are Prometheus' own and
//! come back as they were, without a suffix, and nothing of them is escaped. One that says with
//! [`NAMING_KEY`] how it is named was turned into OTLP by others, and has the names of OTLP.

use super::{MetricKind, NAME_LABEL, NAMING_KEY, Naming, Scope, SharedLabels};
use crate::metric::{self, Metric, Series};
use crate::value::{KeyValue, Value, last};

/// The metadata key that says which type a metric has to Prometheus, in lower case, and by being
/// there without [`NAMING_KEY`] that the metric's name is Prometheus' own.
pub const TYPE_KEY: &str = "prometheus.type";

/// The metadata key of a metric that describes a family and has no samples: remote write 1.0 sends
/// type, help and unit apart from them.
pub const FAMILY_KEY: &str = "prometheus.family";

/// The metadata key of the family's name, where the metric's own does not say it: a counter of
/// OpenMetrics is named without the `_total` of its samples.
pub const FAMILY_NAME_KEY: &str = "prometheus.family_name";

/// The metadata key of the metric `up` of a scraped target that says where the target is: an object in
/// JSON with what Prometheus' API has of a target beside its labels.
pub const TARGET_KEY: &str = "prometheus.target";

/// The mark of a metric of this Prometheus type.
pub fn mark(kind: &str) -> KeyValue {
    KeyValue::new(TYPE_KEY, kind)
}

fn own_type(metric: &Metric) -> Option<&str> {
    last(&metric.metadata, TYPE_KEY).and_then(Value::as_str)
}

fn is_family(metric: &Metric) -> bool {
    last(&metric.metadata, FAMILY_KEY).is_some()
}

/// Whether name and labels of the metric are Prometheus' own.
pub fn is_verbatim(metric: &Metric) -> bool {
    own_type(metric).is_some() && last(&metric.metadata, NAMING_KEY).is_none()
}

/// How the metric and its labels are named.
pub fn naming(metric: &Metric) -> Naming {
    if is_verbatim(metric) {
        Naming::VERBATIM
    } else {
        Naming::of(metric)
    }
}

/// The kind that a metric has to Prometheus, where histograms with bounds may be native ones.
pub fn view_kind(metric: &Metric) -> metric::MetricKind {
    match metric.kind {
        metric::MetricKind::Histogram if naming(metric).native_bounds => {
            metric::MetricKind::ExponentialHistogram
        }
        kind => kind,
    }
}

/// The name of a metric without the suffixes of its parts (`_bucket`, `_sum`, `_count`); empty
/// where it has none or no samples.
pub fn base_name(series: &Series) -> String {
    name_of(&series.metric)
}

fn name_of(metric: &Metric) -> String {
    if is_family(metric) {
        return String::new();
    }
    let kind = MetricKind::of(metric.kind, metric.monotonic);
    let strategy = naming(metric).strategy;
    strategy.metric_name("", &metric.name, &metric.unit, kind)
}

fn texts(attributes: &[KeyValue]) -> impl Iterator<Item = (&str, String)> {
    attributes
        .iter()
        .map(|kv| (kv.key.as_str(), kv.value.to_text()))
}

/// The labels of a series without its name, `le` and `quantile`, sorted by name.
pub fn base_labels(series: &Series) -> Vec<(String, String)> {
    labels_beside(&shared_labels(series), series)
}

/// Those of them that all series of the same resource, scope and metric have.
pub fn shared_labels(series: &Series) -> SharedLabels {
    let scope = Scope {
        name: &series.scope.name,
        version: &series.scope.version,
        schema_url: &series.scope.schema_url,
        attributes: texts(&series.scope.attributes).collect(),
    };
    naming(&series.metric).shared_labels(texts(&series.resource.attributes), &scope)
}

/// All of them, where those are known.
pub fn labels_beside(shared: &SharedLabels, series: &Series) -> Vec<(String, String)> {
    naming(&series.metric).labels_beside(shared, texts(&series.attributes))
}

/// The labels of the `target_info` that stands for the resource of the series, its name among them,
/// sorted by name; none where it has none.
pub fn target_info(series: &Series) -> Option<Vec<(String, String)>> {
    let naming = Naming::of(&series.metric);
    let mut labels = naming.target_info(texts(&series.resource.attributes))?;
    let name = (NAME_LABEL.to_owned(), super::TARGET_INFO.to_owned());
    let at = labels.partition_point(|(label, _)| label.as_str() < NAME_LABEL);
    labels.insert(at, name);
    Some(labels)
}

/// Every attribute of the resource as the label that it would be, whether it is one or not.
pub fn resource_labels(series: &Series) -> Vec<(String, String)> {
    let naming = Naming::of(&series.metric);
    let pairs = texts(&series.resource.attributes);
    pairs
        .map(|(key, value)| (naming.label_name(key), value))
        .filter(|(label, value)| !label.is_empty() && !value.is_empty())
        .collect()
}

/// What Prometheus knows about the metrics of one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    /// The name, without the suffixes of a histogram's or summary's parts.
    pub name: String,
    /// The type: `counter`, `gauge`, `histogram` and so on.
    pub kind: String,
    /// The help text.
    pub help: String,
    /// The unit in words.
    pub unit: String,
}

/// What a metric says about its family; nothing where it says nothing.
pub fn family(metric: &Metric) -> Option<Family> {
    let help = metric.description.clone();
    let told = own_type(metric);
    if let Some(kind) = told.filter(|_| is_verbatim(metric)) {
        let says_nothing = kind == "unknown" && help.is_empty() && metric.unit.is_empty();
        if says_nothing && !is_family(metric) {
            return None;
        }
        return Some(Family {
            name: family_name(metric, kind).to_owned(),
            kind: kind.to_owned(),
            help,
            unit: metric.unit.clone(),
        });
    }
    let name = name_of(metric);
    let kind = MetricKind::of(metric.kind, metric.monotonic);
    (!name.is_empty()).then(|| Family {
        name,
        kind: told.unwrap_or(kind.prometheus_type()).to_owned(),
        help,
        unit: super::unit_name(&metric.unit),
    })
}

/// The name without the suffix that tells the series of a classic histogram or summary apart.
fn family_name<'a>(metric: &'a Metric, kind: &str) -> &'a str {
    if let Some(told) = last(&metric.metadata, FAMILY_NAME_KEY).and_then(Value::as_str) {
        return told;
    }
    let name = metric.name.as_str();
    let suffixes: &[&str] = match kind {
        _ if is_family(metric) || metric.kind != metric::MetricKind::Gauge => &[],
        "histogram" => &["_bucket", "_sum", "_count"],
        "gaugehistogram" => &["_bucket", "_gsum", "_gcount"],
        "summary" => &["_sum", "_count"],
        _ => &[],
    };
    suffixes
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .filter(|stem| !stem.is_empty())
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::metric::Temporality;
    use crate::{Resource, prometheus::TargetRef};

    fn series(name: &str, metadata: Vec<KeyValue>, attributes: &[(&str, &str)]) -> Series {
        let resource = TargetRef {
            job: "shop/api",
            instance: "a:1",
        };
        Series {
            resource: Arc::new(Resource {
                attributes: resource.owned(),
                ..Resource::default()
            }),
            scope: Arc::default(),
            metric: Arc::new(Metric {
                name: name.to_owned(),
                description: "Requests.".to_owned(),
                unit: "s".to_owned(),
                kind: metric::MetricKind::Gauge,
                temporality: Temporality::None,
                monotonic: false,
                metadata,
            }),
            attributes: attributes
                .iter()
                .map(|(key, value)| KeyValue::new(*key, *value))
                .collect(),
        }
    }

    #[test]
    fn marked_metrics_keep_names_and_labels() {
        let labels = [("a.b", "1"), ("日", "2")];
        let marked = series("x.total_ratio", vec![mark("counter")], &labels);
        assert_eq!(base_name(&marked), "x.total_ratio");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let target = [pair("instance", "a:1"), pair("job", "shop/api")];
        let mut expected = vec![pair("a.b", "1")];
        expected.extend(target.clone());
        expected.push(pair("日", "2"));
        assert_eq!(base_labels(&marked), expected);
        assert_eq!(target_info(&marked), None);
        // What others turned into OTLP says its type and has the names of OTLP all the same.
        let theirs = vec![mark("info"), Naming::fixed()];
        let theirs = series("x.total_ratio", theirs, &labels);
        let told = family(&theirs.metric).unwrap();
        assert_eq!(
            (&*told.name, &*told.kind),
            ("x_total_ratio_seconds", "info")
        );
        let other = series("x.total_ratio", vec![], &labels);
        assert_eq!(base_name(&other), "x_total_ratio_seconds");
        assert_eq!(base_labels(&other), base_labels(&theirs));
        let mut expected = vec![pair("a_b", "1")];
        expected.extend(target);
        assert_eq!(base_labels(&other), expected);
    }

    #[test]
    fn families_are_named_without_the_suffixes_of_their_parts() {
        let name = |name: &str, kind: &str| {
            let family = family(&series(name, vec![mark(kind)], &[]).metric).unwrap();
            assert_eq!((family.kind.as_str(), family.unit.as_str()), (kind, "s"));
            family.name
        };
        assert_eq!(name("x_bucket", "histogram"), "x");
        assert_eq!(name("x_bucket", "counter"), "x_bucket");
        assert_eq!(name("x_count", "summary"), "x");
        assert_eq!(name("_sum", "summary"), "_sum");
        let alone = vec![mark("histogram"), KeyValue::new(FAMILY_KEY, true)];
        let alone = series("x_sum", alone, &[]);
        assert_eq!(base_name(&alone), "", "it has no samples");
        assert_eq!(family(&alone.metric).unwrap().name, "x_sum");
        let mut silent = series("x", vec![mark("unknown")], &[]);
        let metric = Arc::make_mut(&mut silent.metric);
        metric.description.clear();
        metric.unit.clear();
        assert_eq!(family(&silent.metric), None);
        assert_eq!(
            family(&series("x", vec![], &[]).metric).unwrap().unit,
            "seconds"
        );
    }
}
