//! The load generator behind `throughline load`.
//!
//! One thread makes requests ahead of time; each connection takes one after the other, sends it
//! and waits for the acknowledgement, either as fast as it can (closed loop) or at a planned
//! rate. Every request carries the stamp that an agent would send, so that a retry after a lost
//! answer is no duplicate, and every row carries `load.batch`, the number in that stamp (but for
//! metrics, where a point is known by its series and time). With a verify file, what became of
//! each request is written down, so that a test can count what is stored.
//!
//! What is sent follows from the seed and the number of the item alone; see [`corpus`]. Times
//! count from the start of a paced run; one as fast as it can is dated before its start.

mod arrival;
mod corpus;
mod lines;
mod logs;
mod metrics;
mod recorded;
mod remote_write;
mod report;
mod sender;
mod trace;
mod traces;
mod verify;
mod wide;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use model::Signal;
use otlp::client::{Client, ClientLimits, Protocol};
use otlp::inflate::Encoding;
use otlp::server::unix_nanos;
use tokio::sync::{Mutex, mpsc};

use arrival::Arrivals;
use corpus::Corpus;
use sender::{Sender, Shared};
use verify::VerifyFile;

pub use logs::{COMMON_WORD, PHRASE, RARE_EVERY, RARE_WORD};
pub use metrics::SERIES;
pub use report::{AckMilliseconds, LoadReport};
pub use trace::{TraceKeys, trace_keys};

/// What the rows are like, and in which order they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorpusKind {
    /// Traces of twelve spans and their log records, one after the other.
    Standard,
    /// The same rows, but each request has those of one process, and a trace arrives over half
    /// a minute among thousands of others.
    Scattered,
    /// Rows with ten of 5,000 attributes.
    Wide,
    /// Log records made of the lines of files.
    Lines,
    /// Spans and log records of OTLP JSON lines.
    Recorded,
}

impl CorpusKind {
    /// Every kind with its name.
    pub const ALL: [(&str, Self); 5] = [
        ("standard", Self::Standard),
        ("scattered", Self::Scattered),
        ("wide", Self::Wide),
        ("lines", Self::Lines),
        ("recorded", Self::Recorded),
    ];

    /// The kind of this name, or all names.
    pub fn from_name(name: &str) -> anyhow::Result<Self> {
        let kind = Self::ALL.iter().find(|kind| kind.0 == name);
        kind.map(|kind| kind.1).with_context(|| {
            let names = Self::ALL.map(|(name, _)| name).join(", ");
            format!("`{name}` is no corpus: one of {names}")
        })
    }

    fn has_files(self) -> bool {
        matches!(self, Self::Lines | Self::Recorded)
    }
}

/// What the generator is told.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// A URL, or `host:port`.
    pub endpoint: String,
    /// OTLP/HTTP in protobuf instead of gRPC.
    pub http: bool,
    /// Prometheus remote write 1.0 instead of OTLP: metrics alone, over HTTP.
    pub remote_write: bool,
    /// What is sent.
    pub signal: Signal,
    /// What it is like.
    pub corpus: CorpusKind,
    /// The files of [`CorpusKind::Lines`] and [`CorpusKind::Recorded`].
    pub files: Vec<PathBuf>,
    /// Items per second over all connections; none for as fast as they are acknowledged.
    pub rate: Option<u64>,
    /// Connections, each with one request under way.
    pub connections: usize,
    /// Items per request.
    pub batch_items: usize,
    /// Stop after so many items.
    pub items: Option<u64>,
    /// Stop after this long.
    pub duration: Duration,
    /// Of metrics: how many series there are.
    pub series: u64,
    /// The items follow from this.
    pub seed: u64,
    /// Where to write what became of each request.
    pub verify_file: Option<PathBuf>,
}

/// Connections that one process may open.
const CONNECTIONS_MAX: usize = 1024;
/// Items of one request; more would pass the receiver's default limit of 64 MiB.
const BATCH_ITEMS_MAX: usize = 65_536;
/// The generator keeps all series in memory, about half a kilobyte each.
const SERIES_MAX: u64 = 10_000_000;
/// The scattered corpus keeps half a minute of its items in memory.
const SCATTERED_RATE_MAX: u64 = 50_000;
/// Bytes of requests that are made ahead.
const AHEAD_BYTES: usize = 64 << 20;

/// One request, ready to be sent.
struct Batch {
    /// Counts from 1; the stamp's sequence.
    sequence: u64,
    /// How many items the requests before it have, which is the number of its first item where
    /// they are sent in order.
    first_item: u64,
    items: u64,
    request: Bytes,
}

/// Which items there are, request by request.
struct Batches {
    corpus: Corpus,
    arrivals: Arrivals,
    sent_items: u64,
    sequence: u64,
}

impl Batches {
    fn new(corpus: Corpus, options: &LoadOptions) -> Self {
        let arrivals = if options.corpus == CorpusKind::Scattered {
            Arrivals::scattered(&corpus, options.items, options.batch_items)
        } else {
            Arrivals::in_order(options.items, options.batch_items)
        };
        Self {
            corpus,
            arrivals,
            sent_items: 0,
            sequence: 0,
        }
    }
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let numbers = self.arrivals.next()?;
        let items = numbers.len() as u64;
        let first_item = self.sent_items;
        self.sequence += 1;
        self.sent_items += items;
        let request = self.corpus.request(&numbers, self.sequence);
        Some(Batch {
            sequence: self.sequence,
            first_item,
            items,
            request: request.into(),
        })
    }
}

/// Sends items until their number or the time is reached, and says how it went. Ctrl-C is the
/// caller's business; dropping the future stops the run.
pub async fn run(options: LoadOptions) -> anyhow::Result<LoadReport> {
    check(&options)?;
    let clients = clients(&options)?;
    let start_unix_nano = unix_nanos();
    let corpus = Corpus::new(&options, start_unix_nano)?;
    let verify = options.verify_file.as_deref().map(|path| {
        VerifyFile::create(path, &options, start_unix_nano)
            .with_context(|| format!("cannot write the verify file {}", path.display()))
    });
    let shared = Arc::new(Shared::new(&options, start_unix_nano, verify.transpose()?));
    let batches = Batches::new(corpus, &options);
    let batches = Arc::new(Mutex::new(make_ahead(batches).await?));

    let clock = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for client in clients {
        let sender = Sender {
            client,
            shared: Arc::clone(&shared),
            batches: Arc::clone(&batches),
            clock,
        };
        running.spawn(sender.run());
    }
    while let Some(ended) = running.join_next().await {
        ended.context("a sender failed")?;
    }
    let report = shared.report(&options, clock)?;
    if report.accepted_items == 0 && (report.unknown_items > 0 || report.rejected_items > 0) {
        bail!(
            "{} acknowledged nothing: {}",
            options.endpoint,
            report.last_problem.as_deref().unwrap_or("no answer")
        );
    }
    Ok(report)
}

fn check(options: &LoadOptions) -> anyhow::Result<()> {
    ensure!(
        (1..=CONNECTIONS_MAX).contains(&options.connections),
        "connections must be 1 to {CONNECTIONS_MAX}, not {}",
        options.connections
    );
    ensure!(
        (1..=BATCH_ITEMS_MAX).contains(&options.batch_items),
        "items per request must be 1 to {BATCH_ITEMS_MAX}, not {}",
        options.batch_items
    );
    ensure!(
        options.rate != Some(0),
        "the rate must be at least 1 item per second"
    );
    ensure!(
        (1..=SERIES_MAX).contains(&options.series),
        "series must be 1 to {SERIES_MAX}, not {}",
        options.series
    );
    ensure!(
        options.series == SERIES || options.signal == Signal::Metrics,
        "the signal of --series must be metrics"
    );
    ensure!(
        !options.duration.is_zero(),
        "the duration must be longer than nothing"
    );
    check_corpus(options)
}

fn check_corpus(options: &LoadOptions) -> anyhow::Result<()> {
    ensure!(
        options.corpus == CorpusKind::Standard || options.signal != Signal::Metrics,
        "the corpus of metrics must be the standard one"
    );
    ensure!(
        !options.remote_write || options.signal == Signal::Metrics,
        "the signal of remote write must be metrics"
    );
    ensure!(
        options.corpus != CorpusKind::Lines || options.signal == Signal::Logs,
        "the signal of the corpus of lines must be logs"
    );
    ensure!(
        options.corpus.has_files() != options.files.is_empty(),
        "files must be given with the corpora of lines and of what was recorded, and with no other"
    );
    ensure!(
        options.corpus != CorpusKind::Scattered
            || options.rate.is_none_or(|rate| rate <= SCATTERED_RATE_MAX),
        "the rate of the scattered corpus must be at most {SCATTERED_RATE_MAX} items per second"
    );
    Ok(())
}

/// One client per connection: a client shares one connection among its gRPC calls.
fn clients(options: &LoadOptions) -> anyhow::Result<Vec<Client>> {
    let protocol = if options.http || options.remote_write {
        Protocol::HttpProtobuf
    } else {
        Protocol::Grpc
    };
    let client = || {
        let limits = ClientLimits::default();
        Client::new(&options.endpoint, protocol, Encoding::Identity, limits)
    };
    let clients: Result<Vec<_>, _> = (0..options.connections).map(|_| client()).collect();
    Ok(clients?)
}

/// Starts the thread that makes requests, and returns when enough of them wait (or all that
/// there are), so that making them is no part of what is measured at first.
async fn make_ahead(mut batches: Batches) -> anyhow::Result<mpsc::Receiver<Batch>> {
    let (first, batches) = tokio::task::spawn_blocking(move || (batches.next(), batches)).await?;
    let Some(first) = first else {
        return Ok(mpsc::channel(1).1);
    };
    let capacity = (AHEAD_BYTES / first.request.len().max(1)).clamp(2, 4096);
    let (sender, receiver) = mpsc::channel(capacity);
    let (full, filled) = tokio::sync::oneshot::channel();
    let make = move || {
        let mut full = Some(full);
        for batch in std::iter::once(first).chain(batches) {
            if sender.capacity() == 1 {
                let _ = full.take().map(|full| full.send(()));
            }
            if sender.blocking_send(batch).is_err() {
                return;
            }
        }
    };
    // Its own thread: it lives as long as the run, which is no job for the runtime's pool.
    std::thread::Builder::new()
        .name("load-maker".to_owned())
        .spawn(make)
        .context("cannot start the thread that makes requests")?;
    // An error means that all were made without filling the channel.
    let _ = filled.await;
    Ok(receiver)
}

#[cfg(test)]
mod tests;
