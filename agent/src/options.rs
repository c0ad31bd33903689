//! What the binary passes in: plain values, already validated against the config file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::ScrapeConfig;
use model::correlation::CorrelationKeys;
use model::{KeyValue, room};
use regex::Regex;

/// Everything an agent needs to know.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Listeners for services; `None` leaves the relay out (as in `up`, where the ports are the
    /// collector's).
    pub relay: Option<RelayOptions>,
    /// Log files to follow.
    pub files: Vec<FileOptions>,
    /// How the file receiver works as a whole.
    pub filelog: FilelogOptions,
    /// Prometheus targets to scrape.
    pub scrape: ScrapeOptions,
    /// Host metrics; `None` leaves them out.
    pub host: Option<HostOptions>,
    /// The disk queue.
    pub queue: QueueOptions,
    /// How entries are sent.
    pub export: ExportOptions,
    /// Attributes put on the resource of everything the agent itself reads (not on relayed
    /// data, whose resource belongs to its service).
    pub attributes: Vec<KeyValue>,
    /// Keys whose values are lifted from plain log text into attributes; `None` leaves that to
    /// the collector.
    pub correlation: Option<Arc<CorrelationKeys>>,
}

/// Prometheus targets to scrape.
#[derive(Debug, Clone)]
pub struct ScrapeOptions {
    /// Targets that are scraped alike.
    pub jobs: Vec<ScrapeConfig>,
    /// Memory that all answers and the lists of their series may take.
    pub memory_bytes: usize,
}

impl Default for ScrapeOptions {
    fn default() -> Self {
        Self {
            jobs: Vec::new(),
            memory_bytes: 256 << 20,
        }
    }
}

/// Where services send to.
#[derive(Debug, Clone)]
pub struct RelayOptions {
    /// OTLP over gRPC.
    pub grpc: SocketAddr,
    /// OTLP over HTTP.
    pub http: SocketAddr,
    /// Largest request, also after decompression.
    pub request_bytes_max: usize,
    /// Bytes of requests in flight over all connections, and of what is decoded of them.
    pub inflight_bytes_max: usize,
    /// Connections at once on each of the two listeners.
    pub connections: usize,
    /// Requests at once that wait to be durable.
    pub concurrent_requests: usize,
    /// How long answers to what is in flight may take once the agent stops.
    pub drain_timeout: Duration,
}

impl RelayOptions {
    /// The defaults for these addresses.
    pub fn new(grpc: SocketAddr, http: SocketAddr) -> Self {
        let request_bytes_max = 64 << 20;
        Self {
            grpc,
            http,
            request_bytes_max,
            inflight_bytes_max: room::in_flight_bytes(256 << 20, request_bytes_max),
            connections: 1024,
            concurrent_requests: 256,
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// How lines of a file are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Each line is looked at: CRI, docker, JSON, logfmt, else plain.
    #[default]
    Auto,
    /// Text.
    Plain,
    /// One JSON object a line.
    Json,
    /// `key=value` pairs.
    Logfmt,
    /// Kubernetes container runtime interface: `TIME stdout|stderr P|F TEXT`.
    Cri,
    /// docker's json-file driver.
    Docker,
}

/// Where reading starts in a file that is there when the agent first runs. Files that appear
/// later are read from their beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAt {
    /// All that is there.
    #[default]
    Beginning,
    /// Only what is added.
    End,
}

/// A set of files with the same treatment.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// Glob patterns.
    pub include: Vec<String>,
    /// Glob patterns of files to pass over.
    pub exclude: Vec<String>,
    /// Line format.
    pub format: Format,
    /// Lines that belong together.
    pub multiline: Option<Multiline>,
    /// `service.name`; taken from the file's name where not given.
    pub service: Option<String>,
    /// More resource attributes.
    pub attributes: Vec<KeyValue>,
    /// Where reading starts.
    pub start_at: StartAt,
}

impl FileOptions {
    /// Files of this pattern with defaults for the rest.
    pub fn include(pattern: impl Into<String>) -> Self {
        Self {
            include: vec![pattern.into()],
            exclude: Vec::new(),
            format: Format::Auto,
            multiline: None,
            service: None,
            attributes: Vec::new(),
            start_at: StartAt::Beginning,
        }
    }
}

/// To which neighbour a continuation line belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Match {
    /// To the line before it.
    #[default]
    After,
    /// To the line after it.
    Before,
}

/// Joins lines into one record: lines that match the pattern (or, negated, do not) are
/// continuations.
#[derive(Debug, Clone)]
pub struct Multiline {
    pub pattern: Regex,
    pub negate: bool,
    pub at: Match,
    /// A record is closed when it has this many lines.
    pub max_lines: usize,
    /// A record is closed when nothing was added for this long.
    pub timeout: Duration,
}

impl Multiline {
    /// Lines that match continue the line before.
    pub fn continued_by(pattern: Regex) -> Self {
        Self {
            pattern,
            negate: false,
            at: Match::After,
            max_lines: 500,
            timeout: Duration::from_secs(1),
        }
    }
}

/// Limits and intervals of the file receiver.
#[derive(Debug, Clone)]
pub struct FilelogOptions {
    /// How often files are looked at for new bytes.
    pub poll_interval: Duration,
    /// How often patterns are matched for new files.
    pub discover_interval: Duration,
    /// A longer line is cut; the rest is counted.
    pub line_bytes_max: usize,
    /// How much of one file is read before the next file has its turn.
    pub read_bytes: usize,
    /// A batch is queued when it has this many bytes.
    pub batch_bytes: usize,
    /// A last line without line end, or a partial record, is closed after this long.
    pub flush_after: Duration,
    /// How many files are held open between polls.
    pub open_files_max: usize,
    /// How many files are followed; more are refused and counted.
    pub files_max: usize,
    /// A file that is gone is forgotten after this long.
    pub forget_after: Duration,
}

impl Default for FilelogOptions {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_millis(200),
            discover_interval: Duration::from_secs(1),
            line_bytes_max: 1 << 20,
            read_bytes: 256 << 10,
            batch_bytes: 512 << 10,
            flush_after: Duration::from_secs(3),
            open_files_max: 64,
            files_max: 20_000,
            forget_after: Duration::from_secs(24 * 3600),
        }
    }
}

/// Host metrics.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// How often they are read.
    pub interval: Duration,
    /// Where `/proc` is mounted.
    pub proc_dir: PathBuf,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            proc_dir: PathBuf::from("/proc"),
        }
    }
}

/// The disk queue.
#[derive(Debug, Clone)]
pub struct QueueOptions {
    /// Disk space for entries that wait. When it is used up, receivers are held off.
    pub bytes: u64,
    /// A larger request is split before it is queued.
    pub entry_bytes_max: usize,
    /// Small requests that arrive together are joined up to this size.
    pub join_bytes: usize,
    /// Disk space for what can never be delivered.
    pub dead_letter_bytes: u64,
}

impl QueueOptions {
    /// The largest request that is taken: one that always fits once all before it is delivered,
    /// although the last segment is not given back before it has grown.
    pub fn request_bytes_max(&self) -> usize {
        let fits = usize::try_from(self.bytes - self.bytes / 8).unwrap_or(usize::MAX);
        self.entry_bytes_max.min(fits)
    }
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            entry_bytes_max: 64 << 20,
            join_bytes: 1 << 20,
            dead_letter_bytes: 64 << 20,
        }
    }
}

/// How entries are sent.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// Requests in flight.
    pub concurrency: usize,
    /// Bytes in flight; one request is always allowed.
    pub inflight_bytes: usize,
    /// A request without an answer for this long is sent again.
    pub timeout: Duration,
    /// The first retry waits up to this long; each further one up to twice as long.
    pub backoff_first: Duration,
    /// No retry waits longer, unless the collector asks for it.
    pub backoff_max: Duration,
    /// Failures in a row after which only one request at a time probes the collector.
    pub breaker_failures: u32,
    /// How often the acknowledged position is written down.
    pub checkpoint_interval: Duration,
    /// With nothing to send, the collector is told this often that nothing is missing. It counts
    /// an agent that it has not heard of for 30 s as lagging.
    pub heartbeat_interval: Duration,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            concurrency: 4,
            inflight_bytes: 32 << 20,
            timeout: Duration::from_secs(30),
            backoff_first: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            breaker_failures: 5,
            checkpoint_interval: Duration::from_millis(250),
            heartbeat_interval: Duration::from_secs(10),
        }
    }
}
