//! How an OTLP metric looks to Prometheus: metric names, label names, and the labels that come
//! from resource, scope and point.
//!
//! The rules are those of the OpenTelemetry "Prometheus and OpenMetrics compatibility"
//! specification and of Prometheus' OTLP receiver. Everything here is a pure function of strings,
//! so that ingest, queries and the user interface agree on names without sharing state.

mod naming;
mod promote;
mod series;
mod target;
mod units;

pub use naming::{NAMING_KEY, Naming, SharedLabels};
pub use promote::Promotion;
pub use series::{
    FAMILY_KEY, FAMILY_NAME_KEY, Family, TARGET_KEY, TYPE_KEY, base_labels, base_name, family,
    is_verbatim, labels_beside, mark, naming, resource_labels, shared_labels, target_info,
    view_kind,
};
pub use target::TargetRef;
pub use units::unit_name;
use units::unit_words;

/// The label that holds the metric name.
pub const NAME_LABEL: &str = "__name__";
/// The metric that carries the attributes of a resource.
pub const TARGET_INFO: &str = "target_info";

/// What the naming rules need to know of a metric's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// A gauge.
    Gauge,
    /// A monotonic sum.
    Counter,
    /// A sum that may fall.
    UpDown,
    /// A histogram with explicit bounds.
    Histogram,
    /// A histogram with exponential buckets.
    ExpHistogram,
    /// A summary.
    Summary,
    /// Not known.
    Unknown,
}

impl MetricKind {
    /// The kind of an OTLP metric of this type and monotonicity.
    pub fn of(kind: crate::metric::MetricKind, monotonic: bool) -> Self {
        use crate::metric::MetricKind as Otlp;
        match kind {
            Otlp::Gauge => Self::Gauge,
            Otlp::Sum if monotonic => Self::Counter,
            Otlp::Sum => Self::UpDown,
            Otlp::Histogram => Self::Histogram,
            Otlp::ExponentialHistogram => Self::ExpHistogram,
            Otlp::Summary => Self::Summary,
        }
    }

    /// The type that Prometheus' metadata API reports.
    pub fn prometheus_type(self) -> &'static str {
        match self {
            Self::Gauge | Self::UpDown => "gauge",
            Self::Counter => "counter",
            Self::Histogram | Self::ExpHistogram => "histogram",
            Self::Summary => "summary",
            Self::Unknown => "unknown",
        }
    }
}

/// How names are translated. The names are those of Prometheus' `translation_strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Strategy {
    /// Classic names with unit and type suffixes.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Classic names without suffixes.
    UnderscoreEscapingWithoutSuffixes,
    /// Names as sent, with unit and type suffixes.
    NoUtf8EscapingWithSuffixes,
    /// Names as sent.
    NoTranslation,
}

impl Strategy {
    /// All of them by their names.
    pub const NAMED: [(&'static str, Self); 4] = [
        (
            "UnderscoreEscapingWithSuffixes",
            Self::UnderscoreEscapingWithSuffixes,
        ),
        (
            "UnderscoreEscapingWithoutSuffixes",
            Self::UnderscoreEscapingWithoutSuffixes,
        ),
        (
            "NoUTF8EscapingWithSuffixes",
            Self::NoUtf8EscapingWithSuffixes,
        ),
        ("NoTranslation", Self::NoTranslation),
    ];

    fn escapes(self) -> bool {
        matches!(
            self,
            Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes
        )
    }

    fn has_suffixes(self) -> bool {
        matches!(
            self,
            Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes
        )
    }

    /// The Prometheus name of a metric, in a namespace or with an empty one.
    ///
    /// Empty when nothing of the name survives the escaping: such a metric has no Prometheus name
    /// and the caller has to say so instead of storing it under an empty one.
    pub fn metric_name(self, namespace: &str, name: &str, unit: &str, kind: MetricKind) -> String {
        match (self.escapes(), self.has_suffixes()) {
            (true, true) => escaped_with_suffixes(namespace, name, unit, kind),
            (true, false) => escaped(namespace, name),
            (false, true) => {
                with_suffixes(&prefixed(namespace, name), unit_words(unit), unit, kind)
            }
            (false, false) => prefixed(namespace, name),
        }
    }
}

/// The instrumentation scope of a series.
#[derive(Debug, Clone, Default)]
pub struct Scope<'a> {
    /// Name, or empty.
    pub name: &'a str,
    /// Version, or empty.
    pub version: &'a str,
    /// Schema URL, or empty.
    pub schema_url: &'a str,
    /// Attributes.
    pub attributes: Vec<(&'a str, String)>,
}

/// Resource attributes that make up `job` and `instance`.
const IDENTITY: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

/// Who a series comes from, as Prometheus sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// `service.namespace/service.name`, or the name alone.
    pub job: Option<String>,
    /// `service.instance.id`.
    pub instance: Option<String>,
}

impl Target {
    /// The target that these resource attributes describe.
    pub fn of<'a>(resource: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let (mut namespace, mut name, mut instance) = (None, None, None);
        for (key, value) in resource {
            match key {
                "service.namespace" => namespace = Some(value),
                "service.name" => name = Some(value),
                "service.instance.id" => instance = Some(value),
                _ => {}
            }
        }
        let job = name.map(
            |name| match namespace.filter(|namespace| !namespace.is_empty()) {
                Some(namespace) => format!("{namespace}/{name}"),
                None => name,
            },
        );
        Self { job, instance }
    }

    fn labels(self) -> impl Iterator<Item = (String, String)> {
        let job = self.job.map(|job| ("job".to_owned(), job));
        let instance = self
            .instance
            .map(|instance| ("instance".to_owned(), instance));
        job.into_iter()
            .chain(instance)
            .filter(|(_, value)| !value.is_empty())
    }
}

/// The value of the `le` or `quantile` label for a bound or quantile.
pub fn bound_label(bound: f64) -> String {
    if bound == f64::INFINITY {
        "+Inf".to_owned()
    } else {
        bound.to_string()
    }
}

/// The name of a metric under the default strategy and without a namespace.
pub fn metric_name(name: &str, unit: &str, kind: MetricKind) -> String {
    Strategy::default().metric_name("", name, unit, kind)
}

/// The name of a label under the default naming.
pub fn label_name(name: &str) -> String {
    Naming::default().label_name(name)
}

fn prefixed(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}_{name}")
    }
}

fn is_valid_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Runs of characters that a classic name cannot have become one underscore.
fn escaped(namespace: &str, name: &str) -> String {
    let name = prefixed(namespace, name);
    let mut escaped = name
        .split(|c| !is_valid_char(c))
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("_");
    if escaped != name && escaped.bytes().all(|byte| byte == b'_') {
        return String::new();
    }
    guard_digit(&mut escaped);
    escaped
}

/// The words of a name: what stands between characters that are neither letter, digit nor colon.
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':'))
        .filter(|word| !word.is_empty())
}

fn escaped_with_suffixes(namespace: &str, name: &str, unit: &str, kind: MetricKind) -> String {
    let mut tokens: Vec<&str> = words(name).collect();
    if tokens.is_empty() {
        return String::new();
    }
    let (main, per) = unit_words(unit);
    let main = main.filter(|main| !tokens.contains(&main.as_str()));
    let per = per.filter(|per| !tokens.contains(&per.as_str()));
    let suffix = type_suffix(unit, kind);
    tokens.retain(|token| Some(*token) != suffix);
    let per = per.map(|per| format!("per_{per}"));
    tokens.extend(main.as_deref());
    tokens.extend(per.as_deref());
    tokens.extend(suffix);
    let mut full: Vec<&str> = words(namespace).collect();
    full.append(&mut tokens);
    let mut joined = full.join("_");
    guard_digit(&mut joined);
    joined
}

fn type_suffix(unit: &str, kind: MetricKind) -> Option<&'static str> {
    match kind {
        MetricKind::Counter => Some("total"),
        MetricKind::Gauge if unit.trim() == "1" => Some("ratio"),
        _ => None,
    }
}

type UnitWords = (Option<String>, Option<String>);

/// Adds the suffixes to a name that is otherwise kept as it was sent.
fn with_suffixes(name: &str, (main, per): UnitWords, unit: &str, kind: MetricKind) -> String {
    let suffix = type_suffix(unit, kind);
    let without = |name: &str, suffix: &str| {
        let stem = name.strip_suffix(suffix).unwrap_or(name);
        if stem.len() == name.len() {
            stem.to_owned()
        } else {
            stem.trim_end_matches('_').into()
        }
    };
    let mut name = match suffix {
        Some(suffix) => without(name, suffix),
        None => name.to_owned(),
    };
    for word in [main, per.map(|per| format!("per_{per}"))]
        .into_iter()
        .flatten()
    {
        if !name.ends_with(&word) {
            name = format!("{name}_{word}");
        }
    }
    match suffix {
        Some(suffix) => format!("{name}_{suffix}"),
        None => name,
    }
}

fn guard_digit(name: &mut String) {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
}

#[cfg(test)]
mod tests;
