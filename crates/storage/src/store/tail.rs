//! Live tails: new rows to those who watch, without ever waiting for them.
//!
//! What waits for a slow reader is bounded by rows and by bytes, and by bytes for all readers
//! together; what finds no room is dropped and counted. The first message of a tail has no rows:
//! it says that the tail has begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::{LogRecord, Span, Tenant};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{Counters, add};
use crate::chunk::Chunk;
use crate::eval::Compiled;
use crate::message::{Columns, Selection, Tail};
use crate::table::{Mask, Table};

/// How many may watch at once.
const TAILS_MAX: usize = 256;
/// Rows sent in one message at most.
const ROWS_PER_MESSAGE: usize = 500;
/// Nothing more waits for one reader beyond so many bytes of rows, roughly, ...
const BYTES_WAITING: u64 = 8 << 20;
/// ... nor for any reader beyond so many for all of them.
const BYTES_WAITING_IN_ALL: u64 = 64 << 20;

struct Watcher {
    tenant: Tenant,
    signal: model::Signal,
    filter: Compiled,
    waiting: Arc<Waiting>,
    buffer: u64,
    sequence: u64,
    dropped: u64,
    sender: mpsc::UnboundedSender<Message>,
}

/// Rows on their way to a reader.
struct Message {
    tail: Tail,
    /// What its rows take.
    bytes: u64,
}

/// What waits for one reader.
#[derive(Default)]
struct Waiting {
    rows: AtomicU64,
    bytes: AtomicU64,
    /// What waits for all of them.
    bytes_in_all: Arc<AtomicU64>,
}

impl Waiting {
    fn add(&self, message: &Message) {
        self.rows.fetch_add(message.rows(), Ordering::Relaxed);
        self.bytes.fetch_add(message.bytes, Ordering::Relaxed);
        self.bytes_in_all
            .fetch_add(message.bytes, Ordering::Relaxed);
    }

    fn remove(&self, message: &Message) {
        self.rows.fetch_sub(message.rows(), Ordering::Relaxed);
        self.bytes.fetch_sub(message.bytes, Ordering::Relaxed);
        self.bytes_in_all
            .fetch_sub(message.bytes, Ordering::Relaxed);
    }

    /// How many rows there is room for.
    fn room(&self, buffer: u64) -> usize {
        let full = self.bytes.load(Ordering::Relaxed) >= BYTES_WAITING
            || self.bytes_in_all.load(Ordering::Relaxed) >= BYTES_WAITING_IN_ALL;
        if full {
            return 0;
        }
        let rows = buffer.saturating_sub(self.rows.load(Ordering::Relaxed));
        usize::try_from(rows).unwrap_or(usize::MAX)
    }
}

impl Message {
    fn new(tail: Tail) -> Self {
        let logs = tail.logs.iter().map(LogRecord::held_bytes);
        let spans = tail.spans.iter().map(Span::held_bytes);
        let bytes = logs.chain(spans).sum::<usize>() as u64;
        Self { tail, bytes }
    }

    fn rows(&self) -> u64 {
        (self.tail.logs.len() + self.tail.spans.len()) as u64
    }
}

/// A reader's end of a tail.
pub(crate) struct TailStream {
    receiver: mpsc::UnboundedReceiver<Message>,
    waiting: Arc<Waiting>,
}

impl TailStream {
    /// The next rows, for which there is room again from now on.
    pub(crate) async fn next(&mut self) -> Option<Tail> {
        let message = self.receiver.recv().await?;
        self.waiting.remove(&message);
        Some(message.tail)
    }
}

impl Drop for TailStream {
    fn drop(&mut self) {
        self.receiver.close();
        while let Ok(message) = self.receiver.try_recv() {
            self.waiting.remove(&message);
        }
    }
}

/// Everyone who watches.
#[derive(Default)]
pub(crate) struct Tails {
    watchers: Mutex<Vec<Watcher>>,
    bytes_waiting: Arc<AtomicU64>,
    closed: AtomicBool,
}

impl Tails {
    /// Begins to watch, or says why that is not possible now.
    pub(crate) fn watch(
        &self,
        selection: &Selection,
        filter: Compiled,
        buffer: usize,
    ) -> Result<TailStream, &'static str> {
        let mut watchers = self.watchers.lock();
        if self.closed.load(Ordering::Relaxed) {
            return Err("the store is shutting down");
        }
        watchers.retain(|watcher| !watcher.sender.is_closed());
        if watchers.len() >= TAILS_MAX {
            return Err("too many live tails");
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(Waiting {
            bytes_in_all: self.bytes_waiting.clone(),
            ..Waiting::default()
        });
        // The receiver is right here.
        let _ = sender.send(Message::new(Tail::default()));
        watchers.push(Watcher {
            tenant: selection.tenant.clone(),
            signal: selection.signal,
            filter,
            waiting: waiting.clone(),
            buffer: buffer.max(1) as u64,
            sequence: 0,
            dropped: 0,
            sender,
        });
        Ok(TailStream { receiver, waiting })
    }

    /// Ends all tails, and begins none from now on.
    pub(super) fn close(&self) {
        let mut watchers = self.watchers.lock();
        self.closed.store(true, Ordering::Relaxed);
        watchers.clear();
    }

    /// Shows new rows to everyone whose filter they pass.
    pub(super) fn publish(&self, tenant: &Tenant, chunk: &Chunk, counters: &Counters) {
        let mut watchers = self.watchers.lock();
        watchers.retain(|watcher| !watcher.sender.is_closed());
        for watcher in watchers.iter_mut() {
            if watcher.tenant == *tenant && watcher.signal == chunk.signal {
                watcher.show(chunk, counters);
            }
        }
    }
}

impl Watcher {
    fn show(&mut self, chunk: &Chunk, counters: &Counters) {
        let Ok(mask) = self.filter.evaluate(chunk, Mask::all(Chunk::rows(chunk))) else {
            return;
        };
        let rows: Vec<usize> = mask.iter().collect();
        for rows in rows.chunks(ROWS_PER_MESSAGE) {
            let sent = rows.len().min(self.waiting.room(self.buffer));
            let dropped = (rows.len() - sent) as u64;
            self.sequence += rows.len() as u64;
            self.dropped += dropped;
            add(&counters.tail_dropped, dropped);
            if sent == 0 {
                continue;
            }
            let rows = &rows[..sent];
            let (logs, spans) = match chunk.signal {
                model::Signal::Logs => (chunk.logs(rows).unwrap_or_default(), Vec::new()),
                _ => (
                    Vec::new(),
                    chunk.spans(rows, Columns::Full).unwrap_or_default(),
                ),
            };
            let message = Message::new(Tail {
                sequence: self.sequence,
                dropped: self.dropped,
                logs,
                spans,
            });
            self.waiting.add(&message);
            if let Err(refused) = self.sender.send(message) {
                self.waiting.remove(&refused.0);
                return;
            }
        }
    }
}
