//! From what the configuration and discovery say to the targets that are scraped.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Scheme, ScrapeSettings, TargetGroup, parse_duration};

use super::labels::Labels;
use super::relabel;

/// How often relabeling may have a target scraped: what the configuration may say of a job.
const INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(24 * 60 * 60);

/// Something to scrape. Targets that are equal are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    /// Labels of everything that comes from it, `job` and `instance` among them.
    pub(super) labels: Labels,
    /// Where it is, with parameters.
    pub(super) url: String,
    /// How often it is scraped.
    pub(super) interval: Duration,
    /// How long that may take.
    pub(super) timeout: Duration,
    /// Labels before relabeling, to be shown.
    pub(super) discovered: Discovered,
}

/// Labels that tell no target from another one.
#[derive(Debug, Clone)]
pub(super) struct Discovered(Labels);

impl PartialEq for Discovered {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Discovered {}

impl Hash for Discovered {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// So much of why a scrape failed is kept.
const ERROR_CHARS: usize = 300;

impl Target {
    /// What Prometheus' API has of a target beside its labels, as JSON, and why it cannot be scraped.
    pub(super) fn description(&self, failing: Option<&String>) -> String {
        let discovered: BTreeMap<&str, &str> = self.discovered.0.iter().collect();
        let mut description = serde_json::json!({
            "discoveredLabels": discovered,
            "scrapeUrl": self.url,
            "scrapeInterval": config::format_duration(self.interval),
            "scrapeTimeout": config::format_duration(self.timeout),
        });
        if let Some(error) = failing {
            let error: String = error.chars().take(ERROR_CHARS).collect();
            description["lastError"] = error.into();
        }
        description.to_string()
    }

    /// How far into each interval it is scraped, so that not all are at once and each always is at
    /// the same moment.
    pub(super) fn offset(&self) -> Duration {
        let mut hasher = DefaultHasher::new();
        (&self.labels, &self.url).hash(&mut hasher);
        let nanos = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(hasher.finish() % nanos.max(1))
    }
}

/// The targets of a group; `origin` is a label that says where it was found. An error says which
/// target is none.
pub(super) fn of_group(
    settings: &ScrapeSettings,
    group: &TargetGroup,
    origin: Option<(&str, &str)>,
) -> Vec<Result<Target, String>> {
    let targets = group.targets.iter();
    let built = targets.map(|address| build(settings, group, address, origin));
    built.filter_map(Result::transpose).collect()
}

fn build(
    settings: &ScrapeSettings,
    group: &TargetGroup,
    address: &str,
    origin: Option<(&str, &str)>,
) -> Result<Option<Target>, String> {
    let mut labels: Labels = group
        .labels
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    labels.set("__address__", address);
    if let Some((label, place)) = origin {
        labels.set(label, place);
    }
    let scheme = match settings.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let (interval, timeout) = (settings.scrape_interval, settings.timeout());
    for (name, value) in [
        ("job", settings.job_name.as_str()),
        ("__scheme__", scheme),
        ("__metrics_path__", settings.metrics_path.as_str()),
        (
            "__scrape_interval__",
            config::format_duration(interval).as_str(),
        ),
        (
            "__scrape_timeout__",
            config::format_duration(timeout).as_str(),
        ),
    ] {
        labels.set_missing(name, value);
    }
    for (name, values) in &settings.params.0 {
        let first = values.first().map_or("", String::as_str);
        labels.set_missing(&format!("__param_{name}"), first);
    }
    let discovered = Discovered(labels.clone());
    if !relabel::apply(&settings.relabel_configs, &mut labels) {
        return Ok(None);
    }
    finish(settings, labels, discovered).map(Some)
}

fn finish(
    settings: &ScrapeSettings,
    mut labels: Labels,
    discovered: Discovered,
) -> Result<Target, String> {
    let address = labels.get("__address__").to_owned();
    if address.is_empty() || address.contains(['/', ' ', '@', '?', '#']) {
        return Err(format!("`{address}` is not the address of a target"));
    }
    let duration = |name: &str| {
        let text = labels.get(name);
        let parsed = parse_duration(text).ok().filter(|length| !length.is_zero());
        parsed.ok_or_else(|| format!("{name} of {address} is `{text}`, which is no duration"))
    };
    let (interval, timeout) = (
        duration("__scrape_interval__")?,
        duration("__scrape_timeout__")?,
    );
    if !INTERVALS.contains(&interval) {
        let text = labels.get("__scrape_interval__");
        return Err(format!(
            "__scrape_interval__ of {address} is `{text}`, which is not from 100ms to 1d"
        ));
    }
    let scheme = labels.get("__scheme__");
    if !matches!(scheme, "http" | "https") {
        return Err(format!("__scheme__ of {address} is `{scheme}`"));
    }
    let mut path = labels.get("__metrics_path__").to_owned();
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    let mut url = format!("{scheme}://{address}{path}");
    let mut separator = if path.contains('?') { '&' } else { '?' };
    for (name, value) in parameters(settings, &labels) {
        url.push(separator);
        url.push_str(&format!("{}={}", encoded(&name), encoded(&value)));
        separator = '&';
    }
    labels.set_missing("instance", &address);
    labels.retain(|name| !name.starts_with("__"));
    Ok(Target {
        labels,
        url,
        interval,
        timeout: timeout.min(interval),
        discovered,
    })
}

/// The first value of a parameter is what relabeling made of it.
fn parameters(settings: &ScrapeSettings, labels: &Labels) -> Vec<(String, String)> {
    let mut list = Vec::new();
    for (label, value) in labels.iter() {
        let Some(name) = label.strip_prefix("__param_") else {
            continue;
        };
        list.push((name.to_owned(), value.to_owned()));
        let more = settings.params.0.get(name).into_iter().flatten().skip(1);
        list.extend(more.map(|value| (name.to_owned(), value.clone())));
    }
    list
}

/// Text as part of a query string.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
