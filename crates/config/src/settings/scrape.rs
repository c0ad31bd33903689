//! What the agent scrapes, in the shape that Prometheus has it (`scrape_configs`), and the files of
//! its file service discovery.

mod connection;
mod discovery;
mod relabel;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ConfigError;
use crate::load::{base_dir, read_file};
use crate::section::{Context, Key, Value, choice, section};
use crate::units::ByteSize;
use crate::values::Url;
use crate::yaml::{self, Node};

pub use connection::{HttpAccess, OAuth2, ProxyHeaders, TlsSettings, TlsVersion};
pub use discovery::{FileDiscovery, HttpDiscovery, HttpDiscoverySettings};
pub use relabel::{Relabel, RelabelAction, RelabelSettings, WholePattern};

section! {
    /// Targets that are scraped alike.
    pub struct ScrapeSettings {
        /// The label `job` of what is scraped, unless relabeling changes it.
        job_name: String = required;
        /// How often each target is scraped; targets are spread over the interval.
        scrape_interval: Duration = "1m", "100ms" to "1d";
        /// How long one scrape may take; nothing means 10 s, or the interval where that is less.
        scrape_timeout: Option<Duration> = "null", "10ms" to "1d";
        /// The path on each target.
        metrics_path: String = "/metrics";
        /// The protocol.
        scheme: Scheme = "http";
        /// Parameters of the URL.
        params: Params = "{}";
        /// Keep labels that come from the target where they collide with its own; otherwise they are renamed to `exported_...`.
        honor_labels: bool = "false";
        /// Take the times that the target says.
        honor_timestamps: bool = "true";
        /// End a series whose samples have times of their own, too, when the target no longer has it.
        track_timestamps_staleness: bool = "false";
        /// The formats that targets are asked for, the first one rather than the others; nothing means OpenMetrics and then text, and before both protobuf with `scrape_native_histograms`.
        scrape_protocols: Option<ScrapeProtocols> = "null";
        /// How an answer is read that does not say its format; nothing means as text.
        fallback_scrape_protocol: Option<ScrapeProtocol> = "null";
        /// Take native histograms, which are in protobuf alone; without it their classic series are taken.
        scrape_native_histograms: bool = "false";
        /// Take the classic series of a native histogram as well.
        always_scrape_classic_histograms: bool = "false";
        /// Make native histograms with custom buckets of classic ones, in place of their series, or with `always_scrape_classic_histograms` beside them.
        convert_classic_histograms_to_nhcb: bool = "false";
        /// Buckets of a native histogram; one with more is made coarser, and where that does not help the scrape fails. 0 means no limit.
        native_histogram_bucket_limit: usize = "0";
        /// The factor between the bounds of a native histogram's buckets; a finer one is made coarser. 0 means as it is.
        native_histogram_min_bucket_factor: Factor = "0";
        /// Which names are taken: any, or those that Prometheus took before version 3.
        metric_name_validation_scheme: NameValidation = "utf8";
        /// How targets are asked to write names that are no classic ones; nothing means as they are, or with `metric_name_validation_scheme: legacy` with underscores.
        metric_name_escaping_scheme: Option<EscapingScheme> = "null";
        /// Ask the target to compress its answer.
        enable_compression: bool = "true";
        /// Further headers of every request, each with `values`, `secrets` or `files` that hold them, read before each scrape.
        http_headers: HttpHeaders = "{}";
        /// User and password for every request.
        basic_auth: Option<BasicAuth> = "null";
        /// The `Authorization` header of every request.
        authorization: Option<Authorization> = "null";
        /// Short for `authorization` with these credentials.
        bearer_token: Option<Text> = "null";
        /// Short for `authorization` with this file of credentials.
        bearer_token_file: Option<FilePath> = "null";
        /// A token of a token server in every request.
        oauth2: Option<OAuth2> = "null";
        /// TLS with the targets.
        tls_config: Option<TlsSettings> = "null";
        /// The proxy that requests go through; without it they go straight, whatever the environment says.
        proxy_url: Option<Url> = "null";
        /// Hosts, domains and networks that are asked without the proxy, with commas between them.
        no_proxy: Option<String> = "null";
        /// Take proxies from the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`).
        proxy_from_environment: bool = "false";
        /// Headers for the proxy when it is asked to connect.
        proxy_connect_header: ProxyHeaders = "{}";
        /// Follow redirects, ten of them at most.
        follow_redirects: bool = "true";
        /// Speak HTTP/2 with targets that offer it over TLS.
        enable_http2: bool = "true";
        /// Targets by name.
        static_configs: Vec<TargetGroup> = "[]";
        /// Targets in files, which are read again when they change.
        file_sd_configs: Vec<FileDiscovery> = "[]";
        /// Targets that a server lists.
        http_sd_configs: Vec<HttpDiscovery> = "[]";
        /// Changes to the labels of targets, which may also drop them.
        relabel_configs: Vec<Relabel> = "[]";
        /// Changes to the labels of samples, which may also drop them.
        metric_relabel_configs: Vec<Relabel> = "[]";
        /// Store `scrape_timeout_seconds`, `scrape_sample_limit` and `scrape_body_size_bytes` of each scrape, too.
        extra_scrape_metrics: bool = "false";
        /// The largest answer, decompressed; a larger one fails the scrape.
        body_size_limit: ByteSize = "64MiB", "1KiB" to "1GiB";
        /// Samples in one scrape after relabeling; more fail it. 0 means no limit but the body's.
        sample_limit: usize = "0";
        /// Labels of one sample; more fail the scrape. 0 means no limit.
        label_limit: usize = "0";
        /// The length of a label's name; a longer one fails the scrape. 0 means no limit.
        label_name_length_limit: usize = "0";
        /// The length of a label's value; a longer one fails the scrape. 0 means no limit.
        label_value_length_limit: usize = "0";
        /// Targets after relabeling; where there are more, none is scraped. 0 means no limit.
        target_limit: usize = "0";
    }

    /// A user and a password.
    pub struct BasicAuth {
        /// The user.
        username: String = required;
        /// The password.
        password: Option<Text> = "null";
        /// A file that holds the password, read before each scrape.
        password_file: Option<FilePath> = "null";
    }

    /// An `Authorization` header.
    pub struct Authorization {
        /// Its scheme.
        r#type: String = "Bearer";
        /// What follows it.
        credentials: Option<Text> = "null";
        /// A file that holds what follows it, read before each scrape.
        credentials_file: Option<FilePath> = "null";
    }

    /// Targets with labels in common.
    pub struct TargetGroup {
        /// Each as `HOST:PORT`.
        targets: Vec<String> = "[]";
        /// Labels of all of them.
        labels: BTreeMap<String, String> = "{}";
    }
}

choice! {
    /// A format of answers.
    pub enum ScrapeProtocol {
        /// Protocol Buffers.
        Protobuf = "PrometheusProto",
        /// OpenMetrics 1.0.0.
        OpenMetrics1 = "OpenMetricsText1.0.0",
        /// OpenMetrics 0.0.1.
        OpenMetrics0 = "OpenMetricsText0.0.1",
        /// Prometheus' text with names in quotes.
        Text1 = "PrometheusText1.0.0",
        /// Prometheus' text.
        Text0 = "PrometheusText0.0.4",
    }

    /// Which names are taken.
    pub enum NameValidation {
        /// Any.
        Utf8 = "utf8",
        /// Letters, digits, underscores, and colons in those of metrics.
        Legacy = "legacy",
    }

    /// How names are written that are no classic ones.
    pub enum EscapingScheme {
        /// As they are.
        AllowUtf8 = "allow-utf-8",
        /// With underscores.
        Underscores = "underscores",
        /// Dots as `_dot_`, and other characters as underscores.
        Dots = "dots",
        /// Characters as their numbers.
        Values = "values",
    }

    /// A protocol.
    pub enum Scheme {
        /// Plain.
        Http = "http",
        /// With TLS.
        Https = "https",
    }
}

/// Text that may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub String);

impl Value for Text {
    const KIND: &'static str = "text";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = node.as_text();
        if text.is_none() {
            cx.expected(node, Self::KIND, None);
        }
        text.map(|text| Self(text.to_owned()))
    }
}

/// The path of a file; a relative one starts at the folder of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath(pub PathBuf);

impl Value for FilePath {
    const KIND: &'static str = "a path";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let path = PathBuf::read(node, cx)?;
        Some(Self(cx.base_dir.join(path)))
    }
}

/// A factor that is at least 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor(pub f64);

impl Value for Factor {
    const KIND: &'static str = "a number that is not below 0";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let number = node.as_text().and_then(|text| text.parse::<f64>().ok());
        let number = number.filter(|number| number.is_finite() && *number >= 0.0);
        if number.is_none() {
            cx.expected(node, Self::KIND, None);
        }
        number.map(Self)
    }
}

section! {
    /// The values of a header.
    pub struct HeaderValues {
        /// As they are.
        values: Vec<Text> = "[]";
        /// The same, not to be shown.
        secrets: Vec<Text> = "[]";
        /// Files that hold one each.
        files: Vec<FilePath> = "[]";
    }
}

/// Headers by name.
#[derive(Clone, Debug, Default)]
pub struct HttpHeaders(pub Vec<(String, HeaderValues)>);

/// Headers that requests have anyway, or that have keys of their own.
const RESERVED_HEADERS: [&str; 9] = [
    "accept",
    "accept-encoding",
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-prometheus-scrape-timeout-seconds",
];

impl Value for HttpHeaders {
    const KIND: &'static str = "a map of headers to their values";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let entries = entries(node, Self::KIND, cx, |name, values, cx| {
            let text = String::read(name, cx)?;
            let problem = if text.is_empty() || !text.bytes().all(token) {
                "is not the name of a header"
            } else if RESERVED_HEADERS.contains(&text.to_ascii_lowercase().as_str()) {
                "cannot be set here"
            } else {
                return Some((text, HeaderValues::read(values, cx)?));
            };
            cx.error(name, format!("`{text}` {problem}"), None);
            None
        });
        entries.map(Self)
    }
}

/// Reads every entry of a map, so that each of them is complained about.
fn entries<T>(
    node: &Node,
    kind: &str,
    cx: &mut Context<'_>,
    one: impl Fn(&Node, &Node, &mut Context<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(entries) = node.as_map() else {
        cx.expected(node, kind, None);
        return None;
    };
    let read = entries.iter().map(|(key, value)| one(key, value, cx));
    let read: Vec<Option<T>> = read.collect();
    read.into_iter().collect()
}

/// Formats in the order in which they are wanted, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeProtocols(pub Vec<ScrapeProtocol>);

impl Value for ScrapeProtocols {
    const KIND: &'static str = "a list of formats, each once";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let list = Vec::<ScrapeProtocol>::read(node, cx)?;
        let twice = (1..list.len()).find(|at| list[..*at].contains(&list[*at]));
        if list.is_empty() || twice.is_some() {
            let at = twice.and_then(|at| node.items().get(at)).unwrap_or(node);
            cx.expected(at, Self::KIND, None);
            return None;
        }
        Some(Self(list))
    }
}

/// Parameters of a URL: each name has a list of values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(pub BTreeMap<String, Vec<String>>);

impl Value for Params {
    const KIND: &'static str = "a map of text to lists of text";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let entries = entries(node, Self::KIND, cx, |name, values, cx| {
            let values = Vec::<Text>::read(values, cx)?;
            let texts = values.into_iter().map(|text| text.0).collect();
            Some((String::read(name, cx)?, texts))
        });
        Some(Self(entries?.into_iter().collect()))
    }
}

/// Targets that are scraped alike, checked.
#[derive(Clone, Debug)]
pub struct ScrapeConfig(pub ScrapeSettings);

impl Value for ScrapeConfig {
    const KIND: &'static str = ScrapeSettings::KIND;
    const IS_SECTION: bool = true;

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let before = cx.errors.len();
        let node = connection::supported(node, cx);
        let mut settings = ScrapeSettings::read(&node, cx)?;
        let mut sound = connection::settle(&mut settings, &node, cx);
        if let Some(timeout) = settings.scrape_timeout
            && timeout > settings.scrape_interval
        {
            let message = "`scrape_timeout` is longer than `scrape_interval`".to_owned();
            cx.error(node.get("scrape_timeout").unwrap_or(&node), message, None);
            sound = false;
        }
        if settings.metric_name_validation_scheme == NameValidation::Legacy
            && settings.metric_name_escaping_scheme == Some(EscapingScheme::AllowUtf8)
        {
            let message = "names in UTF-8 are asked for, and none but legacy ones are taken";
            let key = node.get("metric_name_escaping_scheme").unwrap_or(&node);
            cx.error(key, message.to_owned(), None);
            sound = false;
        }
        (sound && cx.errors.len() == before).then_some(Self(settings))
    }

    fn keys(prefix: &str, out: &mut Vec<Key>) {
        ScrapeSettings::keys(prefix, out);
    }
}

impl ScrapeSettings {
    /// How targets are asked.
    pub fn access(&self) -> HttpAccess<'_> {
        HttpAccess {
            basic_auth: self.basic_auth.as_ref(),
            authorization: self.authorization.as_ref(),
            oauth2: self.oauth2.as_ref(),
            tls_config: self.tls_config.as_ref(),
            proxy_url: self.proxy_url.as_ref(),
            no_proxy: self.no_proxy.as_deref(),
            proxy_from_environment: self.proxy_from_environment,
            proxy_connect_header: &self.proxy_connect_header,
            http_headers: &self.http_headers,
            follow_redirects: self.follow_redirects,
            enable_http2: self.enable_http2,
        }
    }

    /// How targets are asked to write names that are no classic ones.
    pub fn escaping(&self) -> EscapingScheme {
        let default = match self.metric_name_validation_scheme {
            NameValidation::Utf8 => EscapingScheme::AllowUtf8,
            NameValidation::Legacy => EscapingScheme::Underscores,
        };
        self.metric_name_escaping_scheme.unwrap_or(default)
    }

    /// How long one scrape may take.
    pub fn timeout(&self) -> Duration {
        let default = Duration::from_secs(10).min(self.scrape_interval);
        self.scrape_timeout.unwrap_or(default)
    }
}

/// Each job has a name of its own: its series could not be told from another's.
pub(crate) fn check_jobs(configs: &[ScrapeConfig], root: &Node, cx: &mut Context<'_>) {
    let nodes = root.at("agent.scrape_configs").map_or(&[][..], Node::items);
    for (index, config) in configs.iter().enumerate() {
        let name = &config.0.job_name;
        if configs[..index]
            .iter()
            .any(|other| other.0.job_name == *name)
        {
            let node = nodes.get(index).unwrap_or(root);
            let node = node.get("job_name").unwrap_or(node);
            cx.error(node, format!("the job `{name}` is named twice"), None);
        }
    }
}

/// Reads a file of file service discovery: a list of target groups in YAML or JSON. An empty one is
/// a list without any in YAML alone: JSON has none that is written with nothing.
pub fn read_target_groups(path: &Path) -> Result<Vec<TargetGroup>, Vec<ConfigError>> {
    let text = read_file(path).map_err(|error| vec![error])?;
    let is_json = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if !is_json && text.trim().is_empty() {
        return Ok(Vec::new());
    }
    parse_target_groups(&path.to_string_lossy(), &text, base_dir(path))
}

/// Reads a list of target groups in YAML or JSON, which errors call `name`. Nothing at all is no
/// list: what was cut off before it began would end all targets.
pub fn parse_target_groups(
    name: &str,
    text: &str,
    base_dir: PathBuf,
) -> Result<Vec<TargetGroup>, Vec<ConfigError>> {
    if text.trim().is_empty() {
        let message = "is empty: a list without targets is `[]`".to_owned();
        return Err(vec![ConfigError::whole(name, message)]);
    }
    let mut errors = Vec::new();
    let root = yaml::parse(name, text, &mut errors);
    let groups = root.and_then(|root| {
        let mut cx = Context {
            errors: &mut errors,
            base_dir,
        };
        if root.is_null() {
            return Some(Vec::new());
        }
        Vec::<TargetGroup>::read(&root, &mut cx)
    });
    match groups {
        Some(groups) if errors.is_empty() => Ok(groups),
        _ => Err(errors),
    }
}

#[cfg(test)]
mod tests;
