//! The command line.

mod storage;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::demo::RATE_MAX;

pub(crate) use self::storage::{DataFolder, Export, Format, Snapshot, Stat, Storage, Verify};

/// Follows one request through every service that touched it.
#[derive(Debug, Parser)]
#[command(name = "throughline", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Agent, collector, query service and alerts in one process.
    #[command(
        after_help = "Examples:\n  throughline up\n  throughline up --config throughline.yaml --data-dir /var/lib/throughline"
    )]
    Up(Role),
    /// A simulated shop that sends real telemetry, with everything that `up` runs.
    #[command(after_help = "Examples:\n  throughline demo\n  throughline demo --seed 7 --no-tui")]
    Demo(Demo),
    /// The ingest gateway: takes OTLP, stores it, serves it to query processes.
    #[command(
        after_help = "Examples:\n  throughline collector --data-dir /var/lib/throughline --internal 127.0.0.1:4410"
    )]
    Collector(Role),
    /// The query service over one or several collectors.
    #[command(
        after_help = "Examples:\n  throughline query --collector 127.0.0.1:4410 --collector 127.0.0.1:4411\n  throughline query 'sum by (service) (rate(traces_spanmetrics_calls_total[5m]))'"
    )]
    Query(Query),
    /// The per-node agent: relays OTLP, tails log files, reads host metrics.
    #[command(
        after_help = "Examples:\n  throughline agent --collector http://127.0.0.1:4317 --otlp-grpc 127.0.0.1:5317 --otlp-http 127.0.0.1:5318"
    )]
    Agent(Agent),
    /// The terminal UI.
    #[command(
        after_help = "Examples:\n  throughline tui\n  throughline tui --url http://127.0.0.1:4400 story ORDER-42"
    )]
    Tui(Tui),
    /// Everything that belongs to a trace id, span id or correlation value.
    #[command(
        after_help = "Examples:\n  throughline story 5b8efff798038103d269b633813fc60c\n  throughline story ORDER-42 --json\n\nExit codes:\n  0  the answer is whole as far as its sources go\n  1  there is none\n  3  a collector or agent is lost and missing from it; standard error names it"
    )]
    Story(AskId),
    /// One trace.
    #[command(
        after_help = "Examples:\n  throughline trace 5b8efff798038103d269b633813fc60c\n\nExit codes:\n  0  the answer is whole as far as its sources go\n  1  there is none\n  3  a collector or agent is lost and missing from it; standard error names it"
    )]
    Trace(AskId),
    /// Log records that match a query.
    #[command(
        after_help = "Examples:\n  throughline logs 'service:checkout level:error \"card declined\"' --start now-1h\n  throughline logs 'request_id:r-17' --follow\n\nExit codes:\n  0  the answer is whole as far as its sources go\n  1  there is none\n  3  a collector or agent is lost and missing from it; standard error names it"
    )]
    Logs(Logs),
    /// Of what there are most metric series, or most samples: metrics, labels, values.
    #[command(
        after_help = "Examples:\n  throughline cardinality --start now-1h\n  throughline cardinality '{job=\"shop\"}' --label http_route --by samples\n\nExit codes:\n  0  the answer is whole as far as its sources go\n  3  a collector or agent is lost and missing from it; standard error names it"
    )]
    Cardinality(Cardinality),
    /// Checks configuration and rule files: every mistake with file, line and column.
    #[command(after_help = "Examples:\n  throughline check throughline.yaml rules/*.yml")]
    Check(Check),
    /// Runs unit tests of rules, in the format of promtool.
    #[command(
        after_help = "Examples:\n  throughline test-rules rules/*.test.yml\n  throughline test-rules --diff --run 'Instance.*' tests.yml\n\nExit codes:\n  0  everything is as expected\n  1  something is not, or a file is wrong"
    )]
    TestRules(TestRules),
    /// Sends deterministic telemetry as fast or at the rate asked for, and reports how it went.
    #[command(
        after_help = "Examples:\n  throughline load --signal traces --duration 10s\n  throughline load --signal logs --rate 10000 --connections 4 --duration 1m --json\n  throughline load --signal logs --corpus lines --files /var/log/*.log --items 100000\n  throughline load --signal metrics --series 1000000 --items 5000000 --batch 10000 --duration 10m"
    )]
    Load(Load),
    /// Looks at, checks, exports and copies what a collector or `up` has stored.
    Storage {
        #[command(subcommand)]
        command: Storage,
    },
}

/// What every server role takes. Options win over the environment, which wins over the file.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Role {
    /// Configuration file; without it the one that THROUGHLINE_CONFIG names.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub place: Place,
}

/// Where a process keeps its data and where it listens.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Place {
    /// Where everything is stored.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// OTLP over gRPC; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR")]
    pub otlp_grpc: Option<SocketAddr>,
    /// OTLP over HTTP.
    #[arg(long, value_name = "ADDR")]
    pub otlp_http: Option<SocketAddr>,
    /// The query API.
    #[arg(long, value_name = "ADDR")]
    pub query: Option<SocketAddr>,
    /// For query processes that read from this collector.
    #[arg(long, value_name = "ADDR")]
    pub internal: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    pub place: Place,
    /// What the shop does follows from this.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Requests per second.
    #[arg(long, default_value_t = 5.0, value_parser = demo_rate)]
    pub rate: f64,
    /// Print what to try instead of opening the terminal UI.
    #[arg(long)]
    pub no_tui: bool,
    /// Stop after this long.
    #[arg(long, value_name = "DURATION", value_parser = config::parse_duration)]
    pub duration: Option<std::time::Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Query {
    /// PromQL to evaluate once at `--url`; without it the query service runs.
    pub promql: Option<String>,
    #[command(flatten)]
    pub role: Role,
    /// A collector's internal address; may be given several times.
    #[arg(long = "collector", value_name = "ADDR")]
    pub collectors: Vec<String>,
    /// The OTLP gRPC address of the collector that stores what rules record.
    #[arg(long, value_name = "ADDR")]
    pub write_to: Option<String>,
    #[command(flatten)]
    pub ask: Ask,
    /// Evaluate at this time: unix seconds or RFC 3339.
    #[arg(long)]
    pub time: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Agent {
    #[command(flatten)]
    pub role: Role,
    /// Where to send: the OTLP gRPC address of a collector; given several times, each of them gets
    /// everything.
    #[arg(long = "collector", value_name = "ADDR")]
    pub collectors: Vec<String>,
}

fn demo_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= RATE_MAX => Ok(rate),
        _ => Err(format!("a number above 0, at most {RATE_MAX}")),
    }
}

/// Where to ask.
#[derive(Debug, Clone, Args)]
pub(crate) struct QueryService {
    /// The query service; without it the one that THROUGHLINE_URL names, else
    /// http://127.0.0.1:4400.
    #[arg(long)]
    url: Option<String>,
}

impl QueryService {
    /// Its URL. A variable that is set to nothing counts as not set.
    pub(crate) fn url(&self) -> String {
        let from_environment = || {
            let url = std::env::var("THROUGHLINE_URL").ok()?;
            (!url.is_empty()).then_some(url)
        };
        let given = self.url.clone().or_else(from_environment);
        given.unwrap_or_else(|| "http://127.0.0.1:4400".to_owned())
    }
}

/// Where to ask and how to print.
#[derive(Debug, Clone, Args)]
pub(crate) struct Ask {
    #[command(flatten)]
    pub service: QueryService,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AskId {
    /// The id.
    pub id: String,
    #[command(flatten)]
    pub ask: Ask,
    /// Only what ends after: unix nanoseconds, RFC 3339, or `now-15m`.
    #[arg(long)]
    pub start: Option<String>,
    /// Only what starts before.
    #[arg(long)]
    pub end: Option<String>,
}

impl AskId {
    pub(crate) fn range(&self) -> api::Range {
        api::Range {
            start: self.start.clone(),
            end: self.end.clone(),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The query; everything without one.
    #[arg(default_value = "")]
    pub query: String,
    #[command(flatten)]
    pub ask: Ask,
    /// Not before: unix nanoseconds, RFC 3339, or `now-15m`.
    #[arg(long)]
    pub start: Option<String>,
    /// Before.
    #[arg(long)]
    pub end: Option<String>,
    /// How many; 100 without it. With --follow: end after so many.
    #[arg(long)]
    pub limit: Option<u64>,
    /// Print new records as they come, from now on.
    #[arg(long, short, conflicts_with_all = ["start", "end"])]
    pub follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cardinality {
    /// Which series, as a PromQL selector; all without one.
    #[arg(default_value = "")]
    pub selector: String,
    #[command(flatten)]
    pub ask: Ask,
    /// The label whose values are listed; those of all labels without it.
    #[arg(long, value_name = "LABEL")]
    pub label: Option<String>,
    /// What is heaviest: that with most `series`, or with most `samples`.
    #[arg(long, default_value = "series", value_parser = ["series", "samples"])]
    pub by: String,
    /// Series with samples not before: unix nanoseconds, RFC 3339, or `now-15m`.
    #[arg(long)]
    pub start: Option<String>,
    /// Before.
    #[arg(long)]
    pub end: Option<String>,
    /// The length of each list.
    #[arg(long, default_value_t = 10)]
    pub limit: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Tui {
    #[command(flatten)]
    pub service: QueryService,
    /// Do without colours.
    #[arg(long)]
    pub no_color: bool,
    /// Show times in UTC instead of the local time zone (`TZ`, else the system's).
    #[arg(long)]
    pub utc: bool,
    /// What to open first, as in the palette: `story ID`, `trace ID`, `logs QUERY`, ...
    #[arg(trailing_var_arg = true)]
    pub open: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Configuration and rule files.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TestRules {
    /// Files of tests.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Run only tests whose name matches this regular expression; may be given several times.
    #[arg(long, value_name = "REGEX")]
    pub run: Vec<String>,
    /// Show line by line what is missing (-) and what is there instead (+).
    #[arg(long)]
    pub diff: bool,
    /// Show every series at the end of each test.
    #[arg(long)]
    pub debug: bool,
    /// Pass over keys of rule files that nobody knows.
    #[arg(long)]
    pub ignore_unknown_fields: bool,
    /// Also write how the tests went to this file, in JUnit's XML.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// OTLP/gRPC endpoint.
    #[arg(long, default_value = "http://127.0.0.1:4317")]
    pub endpoint: String,
    /// Send OTLP/HTTP in protobuf to the endpoint instead of gRPC.
    #[arg(long)]
    pub http: bool,
    /// Send metrics over Prometheus remote write to the endpoint, which is that of OTLP/HTTP.
    #[arg(long)]
    pub remote_write: bool,
    /// traces, logs or metrics.
    #[arg(long, default_value = "traces")]
    pub signal: String,
    /// standard, scattered (a trace arrives over half a minute), wide (5,000 attribute keys),
    /// lines (of the text files of --files) or recorded (OTLP JSON lines of --files).
    #[arg(long, default_value = "standard")]
    pub corpus: String,
    /// Files that have the rows, which are sent again and again.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub files: Vec<PathBuf>,
    /// Items per second over all connections; as fast as they are acknowledged without it.
    #[arg(long)]
    pub rate: Option<u64>,
    /// Requests under way at once.
    #[arg(long, default_value_t = 4)]
    pub connections: usize,
    /// Items per request.
    #[arg(long, default_value_t = 1_000)]
    pub batch: usize,
    /// Stop after so many items.
    #[arg(long)]
    pub items: Option<u64>,
    /// Stop after this long.
    #[arg(long, value_parser = config::parse_duration, default_value = "10s")]
    pub duration: std::time::Duration,
    /// Of metrics: how many series there are; an item is a point of the next of them.
    #[arg(long, default_value_t = crate::load::SERIES)]
    pub series: u64,
    /// The items follow from this.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write which batches were acknowledged to this file.
    #[arg(long, value_name = "FILE")]
    pub verify_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
