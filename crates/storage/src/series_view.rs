//! Series as Prometheus sees them, for selectors and their terms.

use model::metric::{MetricKind, Series};
use model::prometheus;
use regex::Regex;

use crate::message::{MatchOp, Matcher};
use crate::read::ReadError;

/// Every name under which the series has Prometheus series, its base name and that of its target.
pub(crate) fn names(series: &Series) -> Vec<String> {
    let mut names = own_names(series);
    names.push(prometheus::TARGET_INFO.to_owned());
    names
}

/// Every name under which the series has Prometheus series, its base name last; nothing where the
/// metric's name leaves nothing for Prometheus.
pub(crate) fn own_names(series: &Series) -> Vec<String> {
    let metric = &series.metric;
    let base = prometheus::base_name(series);
    if base.is_empty() {
        return Vec::new();
    }
    let suffixed = |suffix: &str| format!("{base}{suffix}");
    let mut names = match prometheus::view_kind(metric) {
        MetricKind::Gauge | MetricKind::Sum | MetricKind::ExponentialHistogram => Vec::new(),
        MetricKind::Histogram => vec![suffixed("_bucket"), suffixed("_sum"), suffixed("_count")],
        MetricKind::Summary => vec![suffixed("_sum"), suffixed("_count")],
    };
    names.push(base);
    names
}

/// A pattern that has to match all of a value.
pub(crate) fn anchored(pattern: &str) -> Result<Regex, ReadError> {
    regex::RegexBuilder::new(&format!("^(?s:{pattern})$"))
        .size_limit(1 << 20)
        .build()
        .map_err(|error| ReadError::Invalid(format!("invalid regex: {error}")))
}

/// Matchers with their patterns compiled.
pub(crate) struct Matchers(Vec<(String, Test)>);

enum Test {
    Equal(String),
    NotEqual(String),
    Regex(Regex),
    NotRegex(Regex),
}

impl Test {
    fn passes(&self, value: &str) -> bool {
        match self {
            Test::Equal(text) => value == text,
            Test::NotEqual(text) => value != text,
            Test::Regex(regex) => regex.is_match(value),
            Test::NotRegex(regex) => !regex.is_match(value),
        }
    }
}

impl Matchers {
    pub(crate) fn new(matchers: &[Matcher]) -> Result<Self, ReadError> {
        matchers
            .iter()
            // The reader does not expand buckets and quantiles, so these select nothing here.
            .filter(|matcher| !matches!(matcher.name.as_str(), "le" | "quantile"))
            .map(|matcher| {
                let test = match matcher.op {
                    MatchOp::Equal => Test::Equal(matcher.value.clone()),
                    MatchOp::NotEqual => Test::NotEqual(matcher.value.clone()),
                    MatchOp::Regex => Test::Regex(anchored(&matcher.value)?),
                    MatchOp::NotRegex => Test::NotRegex(anchored(&matcher.value)?),
                };
                Ok((matcher.name.clone(), test))
            })
            .collect::<Result<_, _>>()
            .map(Matchers)
    }

    /// Whether the series may yield a Prometheus series that matches. `target_info` carries
    /// resource attributes that other series of the resource lack, so only its name decides.
    pub(crate) fn may_match(&self, series: &Series) -> bool {
        let (by_name, by_label): (Vec<_>, Vec<_>) = self
            .0
            .iter()
            .partition(|(name, _)| name == prometheus::NAME_LABEL);
        let matching_names: Vec<String> = names(series)
            .into_iter()
            .filter(|name| by_name.iter().all(|(_, test)| test.passes(name)))
            .collect();
        if matching_names.is_empty() {
            return false;
        }
        if matching_names
            .iter()
            .any(|name| name == prometheus::TARGET_INFO)
        {
            return true;
        }
        if by_label.is_empty() {
            return true;
        }
        let labels = prometheus::base_labels(series);
        // By its configuration a query may make labels of attributes of the resource.
        let resource = prometheus::resource_labels(series);
        by_label.iter().all(|(name, test)| {
            let own = labels.iter().find(|(label, _)| label == name);
            let promoted = || {
                let mut same = resource.iter().filter(|(label, _)| label == name);
                own.is_none() && same.any(|(_, value)| test.passes(value))
            };
            test.passes(own.map_or("", |(_, value)| value)) || promoted()
        })
    }
}
