//! Live tails: new rows to those who watch, without ever waiting for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::Tenant;
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

struct Watcher {
    tenant: Tenant,
    signal: model::Signal,
    filter: Compiled,
    /// Rows, not messages, are counted against this.
    waiting: Arc<AtomicU64>,
    buffer: u64,
    sequence: u64,
    dropped: u64,
    sender: mpsc::UnboundedSender<Tail>,
}

/// A watcher's end: messages, and how many rows of them still wait.
pub(crate) struct TailStream {
    pub receiver: mpsc::UnboundedReceiver<Tail>,
    waiting: Arc<AtomicU64>,
}

impl TailStream {
    /// Makes room for as many rows again once a message was passed on.
    pub(crate) fn passed_on(&self, tail: &Tail) {
        let rows = (tail.logs.len() + tail.spans.len()) as u64;
        self.waiting.fetch_sub(rows, Ordering::Relaxed);
    }
}

/// Everyone who watches.
#[derive(Default)]
pub(crate) struct Tails {
    watchers: Mutex<Vec<Watcher>>,
}

impl Tails {
    /// Begins to watch; nothing if too many do already.
    pub(crate) fn watch(
        &self,
        selection: &Selection,
        filter: Compiled,
        buffer: usize,
    ) -> Option<TailStream> {
        let mut watchers = self.watchers.lock();
        watchers.retain(|watcher| !watcher.sender.is_closed());
        if watchers.len() >= TAILS_MAX {
            return None;
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicU64::new(0));
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
        Some(TailStream { receiver, waiting })
    }

    /// Ends all tails.
    pub(super) fn close(&self) {
        self.watchers.lock().clear();
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
            let waiting = self.waiting.load(Ordering::Relaxed);
            let room = usize::try_from(self.buffer.saturating_sub(waiting)).unwrap_or(usize::MAX);
            let sent = rows.len().min(room);
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
            self.waiting.fetch_add(sent as u64, Ordering::Relaxed);
            let tail = Tail {
                sequence: self.sequence,
                dropped: self.dropped,
                logs,
                spans,
            };
            if self.sender.send(tail).is_err() {
                return;
            }
        }
    }
}
