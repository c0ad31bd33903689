//! Every key of the configuration file: type, default, range, documentation.
//!
//! Adding a key means adding its lines here and a row in `docs/configuration.md`; a test holds
//! the two together.

mod scrape;
mod spans;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::Tenant;

use crate::section::{Key, Value, built_in, choice, section};
use crate::units::ByteSize;
use crate::values::{CapturePattern, Endpoint, PathPattern, Pattern, Url};

pub(crate) use scrape::check_jobs;
pub use scrape::{
    Authorization, BasicAuth, EscapingScheme, Factor, FileDiscovery, FilePath, HeaderValues,
    HttpAccess, HttpDiscovery, HttpDiscoverySettings, HttpHeaders, NameValidation, OAuth2, Params,
    ProxyHeaders, Relabel, RelabelAction, RelabelSettings, Scheme, ScrapeConfig, ScrapeProtocol,
    ScrapeProtocols, ScrapeSettings, TargetGroup, Text, TlsSettings, TlsVersion, WholePattern,
    parse_target_groups, read_target_groups,
};
pub use spans::{Bounds, Dimensions, ServiceGraph, SpanHistograms, SpanMetrics};

section! {
    /// The whole configuration.
    pub struct Config {
        /// Where everything is stored, relative to the working directory.
        data_dir: PathBuf = "./throughline-data";
        /// Addresses to listen on.
        listen: Listen = "{}";
        /// What ties rows of different services together.
        correlation: Correlation = "{}";
        /// Recording and alerting rules.
        rules: Rules = "{}";
        /// Where alerts are sent.
        alerts: Alerts = "{}";
        /// The agent on each machine.
        agent: Agent = "{}";
        /// The query side.
        query: Query = "{}";
        /// When stored data is dropped.
        retention: Retention = "{}";
        /// Bounds on memory, disk and time; whatever hits one is counted and named.
        limits: Limits = "{}";
        /// PromQL.
        promql: Promql = "{}";
        /// How metrics of OTLP look to Prometheus, in the shape that Prometheus has it.
        otlp: Otlp = "{}";
        /// Metrics as a collector stores them.
        metrics: MetricStorage = "{}";
        /// Metrics that a collector derives from spans.
        span_metrics: SpanMetrics = "{}";
        /// Metrics of the requests between services, which a collector derives from spans.
        service_graph: ServiceGraph = "{}";
    }

    /// Addresses to listen on; port 0 lets the system choose.
    pub struct Listen {
        /// OTLP over gRPC.
        otlp_grpc: SocketAddr = "127.0.0.1:4317";
        /// OTLP over HTTP.
        otlp_http: SocketAddr = "127.0.0.1:4318";
        /// Queries, the APIs for Grafana and Jaeger, health and metrics.
        query: SocketAddr = "127.0.0.1:4400";
        /// A collector's data for query nodes.
        internal: SocketAddr = "127.0.0.1:4410";
    }

    /// What ties rows of different services together.
    pub struct Correlation {
        /// Attribute and log keys whose values are correlation ids; a key without a dot counts as an HTTP request header too.
        keys: Vec<String> = "[correlation_id, correlation.id, x-correlation-id, request_id, request.id, x-request-id, messaging.message.conversation_id, messaging.message.id]";
        /// Regular expressions tried on log text; the one group captures the id, its name is the key.
        patterns: Vec<CapturePattern> = "[]";
    }

    /// Recording and alerting rules.
    pub struct Rules {
        /// Prometheus rule files, with wildcards, relative to the configuration file.
        files: Vec<PathPattern> = "[]";
        /// How often a group is evaluated that does not say so itself. The step of subqueries that name none, as in `[1h:]`.
        interval: Duration = "1m", "1s" to "1d";
    }

    /// Where alerts are sent.
    pub struct Alerts {
        /// Where people reach the query service, for the links in alerts and `externalURL` in templates; nothing means its address, or its host's name where it listens on every interface.
        external_url: Option<Url> = "null";
        /// Labels that name this installation: `externalLabels` in templates, and labels of every alert told to webhooks that has none of that name itself.
        external_labels: BTreeMap<String, String> = "{}";
        /// Receivers of alerts, in Alertmanager's webhook format.
        webhooks: Vec<Webhook> = "[]";
    }

    /// A receiver of alerts.
    pub struct Webhook {
        /// Alerts are posted here.
        url: Url = required;
        /// Post once more when an alert is over.
        send_resolved: bool = "true";
        /// How long one post may take.
        timeout: Duration = "10s", "100ms" to "5m";
    }

    /// The agent on each machine.
    pub struct Agent {
        /// The collector to send to; a stand-alone agent needs it, or `agent.collectors`.
        collector: Option<Endpoint> = "null";
        /// Several collectors instead of one: each gets everything, at its own pace.
        collectors: Vec<Endpoint> = "[]";
        /// Requests under way to each collector at once; 32 MiB of them at most.
        concurrency: usize = "4", "1" to "256";
        /// Log files to read.
        files: Vec<LogFiles> = "[]";
        /// Prometheus targets to scrape, as in Prometheus' own configuration.
        scrape_configs: Vec<ScrapeConfig> = "[]";
        /// Memory for answers of targets while they are read, and for the list of the series that each target had; a scrape for which there is none fails.
        scrape_memory: ByteSize = "256MiB", "1MiB" to "1TiB";
        /// Metrics of the machine.
        host: Host = "{}";
        /// What waits on disk for the collector.
        queue: Queue = "{}";
        /// How exports are compressed.
        compression: Compression = "zstd";
        /// Resource attributes added to everything that the agent reads itself.
        attributes: BTreeMap<String, String> = "{}";
    }

    /// Log files that are read alike.
    pub struct LogFiles {
        /// Files to read, with wildcards.
        include: Vec<PathPattern> = required;
        /// Files to leave out.
        exclude: Vec<PathPattern> = "[]";
        /// How lines are read.
        format: LogFormat = "auto";
        /// How lines are joined to records; nothing means that stack traces are joined as far as they are recognised.
        multiline: Option<Multiline> = "null";
        /// The `service.name` of these logs; nothing means that it comes from the file's name or its container.
        service: Option<String> = "null";
        /// Resource attributes added to these logs.
        attributes: BTreeMap<String, String> = "{}";
        /// Where to start in a file that was never read before.
        start_at: StartAt = "beginning";
    }

    /// How lines are joined to one record.
    pub struct Multiline {
        /// Matches the lines that belong to another one, or with `negate` those that do not.
        pattern: Pattern = required;
        /// Join the lines that do not match.
        negate: bool = "false";
        /// Whether such lines belong to the line before them (`after`) or to the one that follows (`before`).
        r#match: MatchSide = "after";
        /// A record of more lines is cut into several.
        max_lines: usize = "500", "2" to "10000";
        /// A record is complete when nothing was added for this long.
        timeout: Duration = "1s", "10ms" to "1m";
    }

    /// Metrics of the machine.
    pub struct Host {
        /// Whether to read them.
        enabled: bool = "true";
        /// How often.
        interval: Duration = "15s", "1s" to "1h";
    }

    /// What waits on disk for the collector.
    pub struct Queue {
        /// The queue's size on disk; when it is full, readers of files wait and OTLP clients are told to retry.
        bytes: ByteSize = "1GiB", "16MiB" to "1PiB";
    }

    /// The query side.
    pub struct Query {
        /// Collectors to ask, at their internal addresses.
        collectors: Vec<Endpoint> = "[]";
        /// The collector that stores what rules record, at its OTLP gRPC address; for a stand-alone query service.
        write_to: Option<Endpoint> = "null";
        /// Web pages of these origins may read answers under `/prometheus` in a browser: a regular expression of a whole origin, `.*` for any. Nothing means none, since whoever opens a page on the machine would let it read everything.
        cors_origin: Option<WholePattern> = "null";
    }

    /// When stored data is dropped; without an age and a size, only when the disk runs full.
    pub struct Retention {
        /// Spans.
        traces: RetentionPolicy = "{}";
        /// Log records.
        logs: RetentionPolicy = "{}";
        /// Metrics.
        metrics: RetentionPolicy = "{}";
        /// What is kept of old metrics in buckets of time, beside or instead of every sample.
        downsampling: Downsampling = "{}";
        /// Tenants that keep other than that.
        tenants: Vec<TenantRetention> = "[]";
        /// Space kept free on the disk, or a tenth of the disk where that is less; below it the oldest partitions are dropped.
        reserve_bytes: ByteSize = "5GiB";
    }

    /// What is kept of old metrics in buckets of time.
    pub struct Downsampling {
        /// How long after its end a day of metrics is downsampled to buckets of five minutes and of an hour; nothing means never.
        after: Option<Duration> = "null", "1h" to "290y";
        /// Days of buckets of five minutes that are older are dropped; nothing means never.
        age_5m: Option<Duration> = "null", "1h" to "290y";
        /// Days of buckets of an hour that are older are dropped; nothing means never.
        age_1h: Option<Duration> = "null", "1h" to "290y";
    }

    /// What one tenant keeps: an age instead of everybody's, and a bound on its own bytes.
    pub struct TenantRetention {
        /// The tenant.
        tenant: Tenant = required;
        /// Spans.
        traces: RetentionPolicy = "{}";
        /// Log records.
        logs: RetentionPolicy = "{}";
        /// Metrics.
        metrics: RetentionPolicy = "{}";
    }

    /// Bounds for one signal.
    pub struct RetentionPolicy {
        /// Partitions that are older are dropped; nothing means never.
        age: Option<Duration> = "null", "1h" to "290y";
        /// The oldest partitions, or files of one, are dropped while the signal takes more; nothing means no bound.
        bytes: Option<ByteSize> = "null", "16MiB" to "1024PiB";
    }

    /// Bounds on memory, disk and time.
    pub struct Limits {
        /// The largest request accepted, decompressed; in memory, decoded, it may take three times as much.
        request_bytes: ByteSize = "64MiB", "64KiB" to "1GiB";
        /// What ingest requests in work may take of memory together, as received and decoded; more are told to retry. At least four times `limits.request_bytes` are taken, which one request of that length may need.
        in_flight_bytes: ByteSize = "256MiB", "1MiB" to "1TiB";
        /// The largest answer of a query; a larger one is refused, but that of a trace by its id, which has the first spans that fit and says how many are missing.
        response_bytes: ByteSize = "64MiB", "64KiB" to "1GiB";
        /// Ingest requests in work at once; more are told to retry.
        concurrent_requests: usize = "256", "1" to "65536";
        /// Connections open at once on each listener.
        connections: usize = "4096", "1" to "1000000";
        /// Rows in memory before they are written as blocks, or 320 bytes for each metric series that goes on from head to head where that is more; two such heads may exist, the second up to half as large again while the first is written.
        head_bytes: ByteSize = "64MiB", "1MiB" to "4GiB";
        /// The write-ahead log on disk; when it is full, ingest is told to retry.
        wal_bytes: ByteSize = "1GiB", "16MiB" to "1PiB";
        /// Files that are due to be merged; while there are more, ingest is told to retry.
        unmerged_files: u64 = "20000", "100" to "10000000";
        /// How far ahead of the collector's clock a row's time may be; one further ahead is kept as sent, counted, and filed under the day on which it came, so that it is dropped with that.
        time_ahead: Duration = "1d", "1m" to "290y";
        /// A request without an agent's stamp that equals one stored within this time is a repeat: acknowledged and not stored again. Without a value every request is stored. Requests with rows that have no time are always stored.
        repeat_window: Option<Duration> = "null", "1s" to "1d";
        /// Active metric series of one tenant: those with a point in the last hour; points of further ones are refused and counted.
        series: usize = "5000000", "1" to "1000000000";
        /// The same of one metric of a tenant.
        metric_series: usize = "1000000", "1" to "1000000000";
        /// Labels of one series, without those that come from its resource; points of a series with more are refused and counted.
        series_labels: usize = "128", "1" to "10000";
        /// The length of a label's name; points of a series with a longer one are refused and counted.
        label_name_bytes: ByteSize = "1KiB", "16" to "60KiB";
        /// The length of a label's value and of a metric's name; points of a series with a longer one are refused and counted.
        label_value_bytes: ByteSize = "16KiB", "16" to "60KiB";
        /// How long a query may take, other than under `/prometheus`.
        query_timeout: Duration = "30s", "10ms" to "1h";
        /// What a query may read into memory.
        query_bytes: ByteSize = "1GiB", "1MiB" to "1PiB";
        /// Rows in one answer.
        query_rows: usize = "10000", "1" to "10000000";
        /// Queries in work at once; further ones wait. Rules have half as many places for themselves.
        query_concurrency: usize = "8", "1" to "1024";
        /// Samples that a PromQL query may hold in memory at once. One that needs more is evaluated part by part: by series where functions of ranges read them, else by time, unless it has `@` or reads downsampled samples.
        query_samples: usize = "50000000", "1000" to "10000000000";
        /// Samples that a PromQL query may read in all, however few of them it holds at once.
        query_samples_read: usize = "1000000000", "1000" to "1000000000000";
        /// Steps of a PromQL query over a range.
        query_steps: usize = "11000", "1" to "10000000";
        /// Series in the answer of a PromQL query.
        query_series: usize = "100000", "1" to "10000000";
        /// Series that one selector of a PromQL query may match.
        query_selected_series: usize = "500000", "1" to "100000000";
        /// How many times a story follows ids from row to row.
        story_depth: usize = "4", "1" to "16";
        /// Traces in one story.
        story_traces: usize = "200", "1" to "10000";
        /// Rows in one story.
        story_rows: usize = "50000", "100" to "10000000";
        /// An id shared by more traces than this is a hub: named in a story, not followed.
        story_hub: usize = "100", "2" to "100000";
        /// Rows waiting for a slow reader of a live tail, of 8 MiB at most; what comes then is dropped and counted.
        tail_buffer: usize = "10000", "10" to "1000000";
        /// Live tails open at once.
        tails: usize = "64", "1" to "10000";
        /// Log files that the agent holds open while it waits for more lines.
        open_files: usize = "512", "1" to "100000";
        /// The longest log record; a longer one is cut, and the cut is marked and counted.
        log_record_bytes: ByteSize = "1MiB", "1KiB" to "64MiB";
        /// Alerts that one rule may have; the rule fails beyond it.
        rule_alerts: usize = "10000", "1" to "1000000";
    }

    /// PromQL.
    pub struct Promql {
        /// Allow functions, aggregations and modifiers that Prometheus calls experimental, and drop names of metrics at the end of a query instead of in each function.
        experimental: bool = "true";
        /// How old a sample may be to count as current.
        lookback_delta: Duration = "5m", "1s" to "1d";
        /// How long a question under `/prometheus`, or the expression of a rule, may take; the parameter `timeout` of a request can only shorten it.
        query_timeout: Duration = "2m", "10ms" to "1h";
    }

    /// How metrics of OTLP look to Prometheus. What is promoted holds for all that is stored, the rest for what comes from then on.
    pub struct Otlp {
        /// How the names of metrics and labels are made.
        translation_strategy: TranslationStrategy = "UnderscoreEscapingWithSuffixes";
        /// Attributes of resources that are labels of every metric of the resource, as they are in `target_info`.
        promote_resource_attributes: Vec<String> = "[]";
        /// Make labels of all attributes of resources.
        promote_all_resource_attributes: bool = "false";
        /// With `promote_all_resource_attributes`: these are not.
        ignore_resource_attributes: Vec<String> = "[]";
        /// Keep `service.name`, `service.namespace` and `service.instance.id` in `target_info`, beside `job` and `instance`.
        keep_identifying_resource_attributes: bool = "false";
        /// Make labels of the instrumentation scope: `otel_scope_name`, `otel_scope_version`, `otel_scope_schema_url` and its attributes.
        promote_scope_metadata: bool = "true";
        /// Show histograms with bounds as native ones with custom buckets.
        convert_histograms_to_nhcb: bool = "false";
        /// Put `key` before the names of labels that start with one underscore.
        label_name_underscore_sanitization: bool = "true";
        /// Keep several underscores in a row in the names of labels.
        label_name_preserve_multiple_underscores: bool = "true";
    }

    /// Metrics as a collector stores them.
    pub struct MetricStorage {
        /// Store a zero where a counter, histogram or summary says that it began, up to an hour before its point, so that rates see the first increase.
        start_zero_samples: bool = "false";
    }
}

choice! {
    /// How the lines of a log file are read.
    pub enum LogFormat {
        /// Told from the first lines of each file.
        Auto = "auto",
        /// The line is the body.
        Plain = "plain",
        /// One JSON object per line.
        Json = "json",
        /// `key=value` pairs.
        Logfmt = "logfmt",
        /// Kubernetes container runtime lines.
        Cri = "cri",
        /// Docker's json-file driver.
        Docker = "docker",
    }

    /// How names of OTLP become those of Prometheus.
    pub enum TranslationStrategy {
        /// Classic names with unit and type.
        UnderscoreEscapingWithSuffixes = "UnderscoreEscapingWithSuffixes",
        /// Classic names.
        UnderscoreEscapingWithoutSuffixes = "UnderscoreEscapingWithoutSuffixes",
        /// Names as sent, with unit and type.
        NoUtf8EscapingWithSuffixes = "NoUTF8EscapingWithSuffixes",
        /// Names as sent.
        NoTranslation = "NoTranslation",
    }

    /// Where to start in a new file.
    pub enum StartAt {
        /// Everything is read.
        Beginning = "beginning",
        /// Only what is written from now on.
        End = "end",
    }

    /// Which neighbour a line belongs to.
    pub enum MatchSide {
        /// The line before it.
        After = "after",
        /// The line after it.
        Before = "before",
    }

    /// Compression of exports.
    pub enum Compression {
        /// As they are.
        None = "none",
        /// Every OTLP receiver reads it.
        Gzip = "gzip",
        /// Smaller and cheaper.
        Zstd = "zstd",
    }
}

impl Config {
    /// Every key with its default, in the order of the file.
    pub fn keys() -> Vec<Key> {
        let mut keys = Vec::new();
        <Self as Value>::keys("", &mut keys);
        keys
    }
}

impl Default for Config {
    fn default() -> Self {
        built_in("{}").expect("the built-in defaults are valid, as a test checks")
    }
}

impl Correlation {
    /// The keys and patterns in the form that the model looks them up by.
    pub fn to_model(&self) -> model::correlation::CorrelationKeys {
        let patterns = self.patterns.iter().map(|pattern| {
            let regex = pattern.regex.clone();
            let find = move |text: &str| -> Option<std::ops::Range<usize>> {
                regex.captures(text)?.get(1).map(|group| group.range())
            };
            let matcher: Box<model::correlation::Pattern> =
                Box::new(move |text: &str| find(text).map(|range| &text[range]));
            (pattern.key.clone(), matcher)
        });
        model::correlation::CorrelationKeys::new(self.keys.iter().cloned(), patterns.collect())
    }
}
