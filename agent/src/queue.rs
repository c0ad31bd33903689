//! The durable queue between receivers and exporter: one [`journal`] on a thread of its own.
//!
//! An append is answered once its record is synced; appends that arrive together share one
//! sync, and small requests of one signal that arrive together are joined into one entry
//! (concatenating protobuf messages merges their lists), unless one holds what a decoder bounds per
//! request. An entry gets its stamp when it is
//! written and keeps it for good.
//!
//! Beside entries the queue holds a small key-value state for its receivers. Updates ride in
//! the same journal record as the entry they belong to, so both are durable or neither is; the
//! file receiver keeps there how far it has read.
//!
//! # Folder
//!
//! | file | content |
//! |---|---|
//! | `identity` | JSON: the agent's id, made up once, and the current epoch |
//! | `journal/` | the segments; records as in [`record`] |
//! | `state` | the key-value state up to a journal position; see [`state`] |
//! | `exported` | JSON: per destination the position before which all is acknowledged |
//!
//! `state` is written before segments are freed, so state plus remaining records is always
//! complete. Sequence numbers go on where they ended if the journal is whole; when anything
//! was cut or lost, a new epoch begins, because a number may then have been used for something
//! that is gone.

mod open;
pub mod progress;
pub mod record;
mod rows;
pub mod state;
mod writer;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use env::{Env, Failures};
use journal::{Position, Tail};
use model::Signal;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::ClockEstimate;
use crate::metrics::Metrics;
use crate::options::QueueOptions;
pub use progress::{Mark, Progress};
pub use record::{Sealed, StampId};
pub(crate) use rows::Queued;
pub use state::Update;
use writer::{Command, Replaced, Reply};

/// How many appends may wait for the writer.
const WAITING_MAX: usize = 256;

/// A request to be queued.
#[derive(Debug, Clone)]
pub struct Entry {
    pub signal: Signal,
    /// Where it came from, for the counters.
    pub source: &'static str,
    pub rows: u64,
    /// When its oldest content was read; `u64::MAX` means when it is written.
    pub read_unix_nano: u64,
    /// Whether it is valid by itself alone, and must not be joined with others.
    pub alone: bool,
    /// The OTLP request in protobuf.
    pub request: Bytes,
}

/// The entry was not queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The queue has used its disk space up. Try again when entries have been delivered.
    #[error("the agent's queue is full")]
    Full,
    /// The disk does not take it at the moment.
    #[error("the agent's queue cannot be written: {0}")]
    Retry(String),
    /// A single request larger than the queue takes.
    #[error("request of {bytes} bytes is larger than the limit of {limit} bytes")]
    TooLarge { bytes: usize, limit: usize },
    /// The queue is closed or the disk has failed for good.
    #[error("the agent's queue is closed")]
    Closed,
}

/// The queue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error(transparent)]
    Journal(#[from] journal::JournalError),
    #[error("cannot {action} {path}: {source}")]
    Io {
        action: &'static str,
        path: String,
        source: std::io::Error,
    },
    #[error("cannot start the queue's thread: {0}")]
    Thread(std::io::Error),
    #[error("{path} was written by a newer version ({version}); use that version")]
    Version { path: String, version: u8 },
}

/// What was in the queue's folder.
#[derive(Debug, Default)]
pub struct Restored {
    /// The receivers' state.
    pub state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where each destination goes on.
    pub exported: BTreeMap<String, Position>,
    /// What is not for a destination, of each: entries that were split for it, whose pieces stand
    /// in for them, and pieces of those that were split for others.
    pub left_out: BTreeMap<String, HashSet<StampId>>,
    /// Whether there was no queue here before.
    pub fresh: bool,
}

/// A handle to the queue; clones share it.
#[derive(Debug, Clone)]
pub struct Queue {
    commands: mpsc::Sender<Command>,
    tail: Tail,
    agent: Arc<str>,
    grown: watch::Receiver<Position>,
    failures: Failures,
    pub(crate) queued: Queued,
    pub(crate) metrics: Metrics,
    clock: ClockEstimate,
    options: QueueOptions,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Queue {
    /// Opens the queue in `dir`, creating it if there is none, for these destinations.
    pub fn open(
        env: &Env,
        dir: &Path,
        options: &QueueOptions,
        destinations: &[String],
        progress: &Progress,
        metrics: Metrics,
    ) -> Result<(Self, Restored), QueueError> {
        let (opened, restored) = open::open(env, dir, options, destinations, &metrics)?;
        let (commands, inbox) = mpsc::channel(WAITING_MAX);
        let (grow, grown) = watch::channel(opened.journal.synced_end());
        let tail = opened.journal.tail();
        let agent = Arc::from(opened.agent.as_str());
        let queued = opened.queued.clone();
        let failures = Failures::default();
        let signals = writer::Signals {
            grow,
            failures: failures.clone(),
        };
        let guard = failures.guard("the agent's queue");
        let clock = ClockEstimate::default();
        let writer = writer::Writer::new(
            env,
            options,
            writer::Sources {
                progress: progress.clone(),
                clock: clock.clone(),
            },
            metrics.clone(),
            opened,
            signals,
        );
        let thread = std::thread::Builder::new()
            .name("agent-queue".to_owned())
            .spawn(move || {
                let _guard = guard;
                writer.run(inbox);
            })
            .map_err(QueueError::Thread)?;
        let queue = Self {
            commands,
            tail,
            agent,
            grown,
            failures,
            queued,
            metrics,
            clock,
            options: options.clone(),
            thread: Arc::new(Mutex::new(Some(thread))),
        };
        Ok((queue, restored))
    }

    /// The id that stamps carry.
    pub fn agent(&self) -> Arc<str> {
        Arc::clone(&self.agent)
    }

    /// What is known of the collector's clock; entries keep what it says when they are written.
    pub fn clock(&self) -> ClockEstimate {
        self.clock.clone()
    }

    /// Queues a request; returns once it is durable.
    pub async fn append(&self, entry: Entry) -> Result<(), AppendError> {
        self.check(&entry)?;
        let (reply, answer) = oneshot::channel();
        let command = Command::append(Some(entry), Vec::new(), reply);
        self.commands
            .send(command)
            .await
            .map_err(|_| AppendError::Closed)?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Queues a request together with updates of the receivers' state, from a thread outside
    /// the async runtime. Such an entry is never joined with others.
    pub fn append_blocking(
        &self,
        entry: Option<Entry>,
        updates: Vec<Update>,
    ) -> Result<(), AppendError> {
        if let Some(entry) = &entry {
            self.check(entry)?;
        }
        let (reply, answer) = oneshot::channel();
        let command = Command::append(entry, updates, reply);
        self.commands
            .blocking_send(command)
            .map_err(|_| AppendError::Closed)?;
        answer.blocking_recv().unwrap_or(Err(AppendError::Closed))
    }

    fn check(&self, entry: &Entry) -> Result<(), AppendError> {
        let (bytes, limit) = (entry.request.len(), self.options.request_bytes_max());
        if bytes > limit {
            return Err(AppendError::TooLarge { bytes, limit });
        }
        Ok(())
    }

    /// Puts pieces in the place of an entry that a destination does not take whole. Others that
    /// there are go on with the entry.
    pub async fn replace(
        &self,
        destination: String,
        whole: &Sealed,
        pieces: Vec<Entry>,
    ) -> Result<(), AppendError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Replace {
            whole: Replaced {
                stamp: whole.stamp,
                destination,
                clock: whole.clock,
            },
            pieces,
            reply,
        };
        self.commands
            .send(command)
            .await
            .map_err(|_| AppendError::Closed)?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Writes down that a destination has acknowledged everything before a position, and frees
    /// what nobody needs any more.
    pub async fn exported(&self, destination: String, position: Position) {
        let command = Command::Exported {
            destination,
            position,
        };
        // A closed queue has nothing left to free.
        let _closed = self.commands.send(command).await;
    }

    /// Reads entries from a position on.
    pub fn tail(&self) -> Tail {
        self.tail.clone()
    }

    /// Changes whenever there is more to read.
    pub fn grown(&self) -> watch::Receiver<Position> {
        self.grown.clone()
    }

    /// Where it is reported that the agent cannot go on before a restart. The queue does so when
    /// its disk has failed; other parts of the agent do so, too.
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// How long a sender should stay away while the queue is full.
    pub fn full_retry_after(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Writes everything down, frees what it can and closes the files. Later appends fail.
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Close { reply }).await.is_ok() {
            let _gone = answer.await;
        }
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // The thread has answered, so it is at its end.
            if thread.join().is_err() {
                tracing::error!("the queue's thread ended with a panic");
            }
        }
    }
}

impl Command {
    fn append(entry: Option<Entry>, updates: Vec<Update>, reply: Reply) -> Self {
        Self::Append {
            entry,
            updates,
            reply,
        }
    }
}

#[cfg(test)]
mod tests;
