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

mod corpus;
mod logs;
mod metrics;
mod report;
mod sender;
mod trace;
mod traces;
mod verify;

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

use corpus::Corpus;
use sender::{Sender, Shared};
use verify::VerifyFile;

pub use logs::{COMMON_WORD, PHRASE, RARE_EVERY, RARE_WORD};
pub use report::{AckMilliseconds, LoadReport};

/// What the generator is told.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// A URL, or `host:port`.
    pub endpoint: String,
    /// OTLP/HTTP in protobuf instead of gRPC.
    pub http: bool,
    /// What is sent.
    pub signal: Signal,
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
    /// The items follow from this.
    pub seed: u64,
    /// Where to write what became of each request.
    pub verify_file: Option<PathBuf>,
}

/// Connections that one process may open.
const CONNECTIONS_MAX: usize = 1024;
/// Items of one request; more would pass the receiver's default limit of 64 MiB.
const BATCH_ITEMS_MAX: usize = 65_536;
/// Bytes of requests that are made ahead.
const AHEAD_BYTES: usize = 64 << 20;

/// One request, ready to be sent.
struct Batch {
    /// Counts from 1; the stamp's sequence.
    sequence: u64,
    first_item: u64,
    items: u64,
    request: Bytes,
}

/// Which items there are, request by request.
struct Batches {
    corpus: Corpus,
    batch_items: u64,
    items: Option<u64>,
    next_item: u64,
    sequence: u64,
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let first_item = self.next_item;
        let left = self.items.map_or(u64::MAX, |items| items - first_item);
        let items = left.min(self.batch_items);
        if items == 0 {
            return None;
        }
        self.sequence += 1;
        self.next_item += items;
        let numbers: Vec<u64> = (first_item..first_item + items).collect();
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
    let verify = options.verify_file.as_deref().map(|path| {
        VerifyFile::create(path, &options, start_unix_nano)
            .with_context(|| format!("cannot write the verify file {}", path.display()))
    });
    let shared = Arc::new(Shared::new(&options, start_unix_nano, verify.transpose()?));
    let batches = Batches {
        corpus: Corpus::new(&options, start_unix_nano),
        batch_items: options.batch_items as u64,
        items: options.items,
        next_item: 0,
        sequence: 0,
    };
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
        !options.duration.is_zero(),
        "the duration must be longer than nothing"
    );
    Ok(())
}

/// One client per connection: a client shares one connection among its gRPC calls.
fn clients(options: &LoadOptions) -> anyhow::Result<Vec<Client>> {
    let protocol = if options.http {
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
