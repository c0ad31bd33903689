//! The exporter: takes entries from the queue in order, keeps several requests in flight, and
//! repeats, splits or gives up what is not accepted.
//!
//! Everything happens in one task. The oldest entry that is ready goes first, so after an
//! outage the queue is replayed in order; answers may come in any order, and the position that
//! is written down is the one before which every entry is finished. Entries of different epochs
//! are never in flight together, because a collector forgets an epoch when the next one begins, and
//! neither are entries that are further apart than the numbers that it tells apart.
//! While there is nothing to send, a heartbeat says so.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use env::Env;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use journal::{Position, Reader};
use model::Signal;
use model::stamp::WINDOW;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Outcome;
use super::attempt::Attempt;
use super::breaker::{Admission, Breaker};
use super::dead_letter::{DeadLetters, Letter};
use super::destination::{Destination, Stamp};
use super::heartbeat::Heartbeat;
use super::read::read_some;
use super::retry::Backoff;
use super::window::{Phase, Window};
use crate::clock::{ClockEstimate, Exchange};
use crate::encode::count_rows;
use crate::metrics::{self, Metrics};
use crate::options::ExportOptions;
use crate::queue::record::destination_code;
use crate::queue::{AppendError, Entry, Progress, Queue, Sealed, StampId};

/// The pieces that one entry is split into at most.
const PIECES_MAX: usize = 255;
/// The queue is asked again after this when it could not take something.
const QUEUE_RETRY: Duration = Duration::from_secs(1);
/// What the disk does not give of the queue for so long is passed over: all that follows waits for it.
const UNREADABLE_MOST: Duration = Duration::from_secs(60);

/// Where one exporter sends and what it starts from.
pub struct Start {
    /// Names the destination in the queue and in metrics.
    pub name: String,
    pub destination: Arc<dyn Destination>,
    /// Everything before was acknowledged.
    pub position: Position,
    /// What lies behind the position and is not for this destination.
    pub left_out: HashSet<StampId>,
    /// Whether this destination's clock is the one that entries are compared with when they
    /// are written.
    pub sealed_clock: bool,
}

/// What was still unfinished when the exporter stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    pub rows: u64,
}

type Answer = (u64, Outcome, Exchange);
type Sends = FuturesUnordered<BoxFuture<'static, Answer>>;

/// One destination's exporter.
pub struct Exporter {
    env: Env,
    start: Start,
    queue: Queue,
    progress: Progress,
    options: ExportOptions,
    dead_letters: Arc<DeadLetters>,
    metrics: Metrics,
    breaker: Breaker,
    backoff: Backoff,
    clock: ClockEstimate,
    attempt: Attempt,
    window: Window,
    reader: Option<Reader>,
    /// The reader has seen the end of what was durable.
    at_end: bool,
    /// Not read before this moment, after a failed read.
    read_after: Option<Instant>,
    /// Since when the disk does not give what is next in the queue.
    unreadable_since: Option<Instant>,
    /// Damaged bytes of the queue that were passed over and counted.
    skipped_bytes: u64,
    checkpoint: Position,
    checkpoint_due: Option<Instant>,
    heartbeat: Heartbeat,
}

impl Exporter {
    pub fn new(
        env: &Env,
        start: Start,
        queue: Queue,
        progress: Progress,
        options: ExportOptions,
        dead_letters: Arc<DeadLetters>,
    ) -> Self {
        let backoff = Backoff {
            first: options.backoff_first,
            max: options.backoff_max,
        };
        let clock = if start.sealed_clock {
            queue.clock()
        } else {
            ClockEstimate::default()
        };
        let attempt = Attempt {
            env: env.clone(),
            destination: Arc::clone(&start.destination),
            timeout: options.timeout,
        };
        Self {
            env: env.clone(),
            heartbeat: Heartbeat::new(queue.agent(), attempt.clone(), options.heartbeat_interval),
            breaker: Breaker::new(options.breaker_failures, backoff),
            backoff,
            clock,
            attempt,
            window: Window::new(start.position),
            reader: Some(queue.tail().read_from(start.position)),
            at_end: false,
            read_after: None,
            unreadable_since: None,
            skipped_bytes: 0,
            checkpoint: start.position,
            checkpoint_due: None,
            metrics: queue.metrics.clone(),
            start,
            queue,
            progress,
            options,
            dead_letters,
        }
    }

    /// Sends until told to stop; then until everything is sent, the deadline passes, or the
    /// collector turns out to be away.
    pub async fn run(mut self, mut stop: watch::Receiver<Option<Instant>>) -> Left {
        let mut grown = self.queue.grown();
        let mut sends: Sends = FuturesUnordered::new();
        let mut deadline = *stop.borrow_and_update();
        let mut stoppable = true;
        let mut drained = false;
        loop {
            self.fill(&mut grown).await;
            let wake = self.dispatch(&mut sends);
            if deadline.is_some() && sends.is_empty() {
                drained = self.at_end && self.window.is_empty();
                if drained || self.breaker.is_open() {
                    break;
                }
            }
            let beat = self.beat();
            let wake = [wake, self.checkpoint_due, deadline, self.read_after, beat];
            let wake = wake.into_iter().flatten().min();
            let wants_more = self.wants_more() && self.read_after.is_none();
            tokio::select! {
                biased;
                Some(answer) = sends.next(), if !sends.is_empty() => self.settle(answer).await,
                (outcome, exchange) = self.heartbeat.answer() => self.heard(&outcome, exchange),
                changed = grown.changed(), if wants_more => {
                    self.at_end = false;
                    // The queue is closed only after its exporters have ended.
                    if changed.is_err() { break; }
                }
                changed = stop.changed(), if stoppable => {
                    deadline = *stop.borrow_and_update();
                    stoppable = changed.is_ok();
                    if !stoppable && deadline.is_none() { deadline = Some(Instant::now()); }
                }
                () = sleep_until(wake) => {}
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                break;
            }
            self.read_after = self.read_after.filter(|at| now < *at);
            if self.checkpoint_due.is_some_and(|due| now >= due) {
                self.write_checkpoint().await;
            }
        }
        self.write_checkpoint().await;
        let left = Left {
            rows: self.queue.queued.total(&self.start.name),
        };
        if drained {
            self.heartbeat.goodbye().await;
        }
        left
    }

    /// Sends a heartbeat if one is due and there is nothing else to send; returns when to look
    /// again.
    fn beat(&mut self) -> Option<Instant> {
        let due = self.heartbeat.due()?;
        // The order matters: what was read before this time is in the queue by now.
        let complete_to = self.read_to();
        if !self.window.is_empty() || self.more_behind() {
            return None;
        }
        if Instant::now() < due {
            return Some(due);
        }
        self.heartbeat.start(complete_to);
        None
    }

    /// The answer to a heartbeat. Whether data would get through is for the data to find out.
    fn heard(&self, outcome: &Outcome, exchange: Exchange) {
        let label = match outcome {
            Outcome::Success { .. } => "heartbeat",
            _ => "heartbeat_failed",
        };
        let labels = [
            ("destination", self.start.name.as_str()),
            ("outcome", label),
        ];
        self.metrics.add(metrics::EXPORTS, &labels, 1);
        match outcome {
            Outcome::Success { .. } => self.measure(exchange),
            outcome => tracing::debug!(?outcome, "the collector did not take a heartbeat"),
        }
    }

    fn measure(&self, exchange: Exchange) {
        if exchange.received > 0 {
            let now = self.env.clock.monotonic_nanos();
            self.clock.measured(exchange, now);
        }
    }

    fn wants_more(&self) -> bool {
        self.window.len() < self.options.concurrency.max(1)
            && (self.window.is_empty() || self.window.bytes() < self.options.inflight_bytes)
    }

    /// Reads entries into the window while there is room.
    async fn fill(&mut self, grown: &mut watch::Receiver<Position>) {
        while self.wants_more() && !self.at_end && self.read_after.is_none() {
            let Some(reader) = self.reader.take() else {
                return;
            };
            grown.borrow_and_update();
            let room = self.options.concurrency.max(1) - self.window.len();
            let bytes = self
                .options
                .inflight_bytes
                .saturating_sub(self.window.bytes());
            let code = destination_code(&self.start.name);
            let reading = move || read_some(reader, code, room, bytes);
            let read = tokio::task::spawn_blocking(reading).await;
            let Ok((reader, records, end)) = read else {
                // The thread pool is shutting down with the process.
                self.at_end = true;
                return;
            };
            let reader = self.reader.insert(reader);
            let skipped = reader.skipped_bytes() - self.skipped_bytes;
            self.skipped_bytes += skipped;
            self.metrics.add(metrics::QUEUE_CORRUPT_BYTES, &[], skipped);
            match end {
                Ok(at_end) => {
                    self.at_end = at_end;
                    self.unreadable_since = None;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot read the agent's queue");
                    let now = Instant::now();
                    self.read_after = Some(now + QUEUE_RETRY);
                    let since = self.unreadable_since.filter(|_| error.is_unreadable());
                    let since = *self.unreadable_since.insert(since.unwrap_or(now));
                    if error.is_unreadable() && now >= since + UNREADABLE_MOST {
                        reader.pass_holes();
                    }
                }
            }
            for (next, entries) in records {
                let mut entries = entries;
                entries.retain(|entry| !self.start.left_out.remove(&entry.stamp));
                self.window.push(entries, next, Instant::now());
            }
            self.note_progress();
        }
    }

    /// Starts what may start, oldest first; returns when to look again.
    fn dispatch(&mut self, sends: &mut Sends) -> Option<Instant> {
        let now = Instant::now();
        let mut wake: Option<Instant> = None;
        let mut ready = Vec::new();
        let mut oldest = None;
        for (id, slot) in self.window.iter() {
            let stamp = slot.sealed.stamp;
            let oldest = *oldest.get_or_insert(stamp);
            if stamp.epoch != oldest.epoch || stamp.sequence - oldest.sequence >= WINDOW {
                break;
            }
            match slot.phase {
                Phase::InFlight => {}
                Phase::Waiting(at) if at <= now => ready.push(id),
                Phase::Waiting(at) => wake = Some(wake.map_or(at, |wake| wake.min(at))),
            }
        }
        for id in ready {
            match self.breaker.admit(now) {
                Admission::Go => sends.push(self.send(id)),
                Admission::AwaitProbe => break,
                Admission::Wait(until) => {
                    wake = Some(wake.map_or(until, |wake| wake.min(until)));
                    break;
                }
            }
        }
        wake
    }

    fn send(&mut self, id: u64) -> BoxFuture<'static, Answer> {
        let complete_to = self.complete_to(id);
        let now_best = self.clock.best(self.env.clock.monotonic_nanos());
        let agent = self.queue.agent();
        let slot = self
            .window
            .get_mut(id)
            .expect("only slots of the window are ready");
        slot.phase = Phase::InFlight;
        // An entry that was written before anything was measured gets what is known by now.
        let sealed = slot.sealed.clock.filter(|_| self.start.sealed_clock);
        let clock = sealed.or(now_best);
        let (signal, request) = (slot.sealed.signal, slot.sealed.request.clone());
        let StampId { epoch, sequence } = slot.sealed.stamp;
        let stamp = Stamp {
            agent,
            epoch,
            sequence,
            sent_unix_nano: 0,
            complete_to_unix_nano: complete_to,
            clock,
        };
        let attempt = self.attempt.clone();
        Box::pin(async move {
            let (outcome, exchange) = attempt.send(signal, request, stamp).await;
            (id, outcome, exchange)
        })
    }

    /// Up to when receivers are complete in the queue. Never 0, which would say nothing.
    fn read_to(&self) -> u64 {
        let now = self.env.clock.unix_nanos();
        self.progress.complete_to().clamp(1, now.max(1))
    }

    /// Up to when all that was read is acknowledged, once this entry is.
    fn complete_to(&mut self, id: u64) -> u64 {
        let mut complete = self.read_to();
        complete = complete.min(self.window.oldest_read(id).unwrap_or(u64::MAX));
        if self.more_behind() {
            let own = self.window.get_mut(id);
            complete = complete.min(own.map_or(0, |slot| slot.sealed.read_unix_nano));
        }
        complete.max(1)
    }

    /// Whether the queue holds entries that are not in the window.
    fn more_behind(&self) -> bool {
        let end = self.queue.tail().synced_end();
        self.reader
            .as_ref()
            .is_none_or(|reader| reader.position() < end)
    }

    async fn settle(&mut self, (id, outcome, exchange): Answer) {
        let labels = [
            ("destination", self.start.name.as_str()),
            ("outcome", outcome.label()),
        ];
        self.metrics.add(metrics::EXPORTS, &labels, 1);
        if let Outcome::Retryable { after, reason } = &outcome {
            self.retry(id, *after, reason);
            return;
        }
        if self.breaker.success() {
            tracing::info!(destination = self.start.name, "the collector answers again");
            self.window.wake_all(Instant::now());
        }
        match outcome {
            Outcome::Success {
                rejected, message, ..
            } => {
                self.measure(exchange);
                self.heartbeat.postpone();
                self.accepted(id, rejected, &message);
            }
            Outcome::Permanent { reason } => self.give_up(id, "permanent", reason).await,
            Outcome::TooLarge { reason } => self.cut(id, reason).await,
            Outcome::Retryable { .. } => {}
        }
        self.note_progress();
    }

    fn accepted(&mut self, id: u64, rejected: u64, message: &str) {
        let Some(slot) = self.window.finish(id) else {
            return;
        };
        let Sealed { signal, rows, .. } = slot.sealed;
        let rows = u64::from(rows);
        if rejected > 0 || !message.is_empty() {
            tracing::warn!(%signal, rejected, message, "the collector did not take every row");
        }
        let rejected = rejected.min(rows);
        self.dropped(signal, "rejected", rejected);
        let labels = [
            ("signal", signal.name()),
            ("destination", self.start.name.as_str()),
        ];
        self.metrics
            .add(metrics::EXPORTED_ROWS, &labels, rows - rejected);
        self.queue.queued.remove(&self.start.name, signal, rows);
    }

    fn dropped(&self, signal: Signal, reason: &str, count: u64) {
        let labels = [
            ("signal", signal.name()),
            ("reason", reason),
            ("destination", self.start.name.as_str()),
        ];
        self.metrics.add(metrics::DROPPED_ROWS, &labels, count);
    }

    fn retry(&mut self, id: u64, after: Option<Duration>, reason: &str) {
        let now = Instant::now();
        let was_open = self.breaker.is_open();
        self.breaker.failure(now, after, &*self.env.random);
        if self.breaker.is_open() && !was_open {
            tracing::warn!(
                destination = self.start.name,
                reason,
                "the collector is away; its data waits in the queue"
            );
        } else {
            tracing::debug!(
                destination = self.start.name,
                reason,
                "an export is repeated"
            );
        }
        let labels = [("destination", self.start.name.as_str())];
        self.metrics.add(metrics::RETRIES, &labels, 1);
        if let Some(slot) = self.window.get_mut(id) {
            slot.failures = slot.failures.saturating_add(1);
            let delay = self.backoff.delay(slot.failures, &*self.env.random);
            slot.phase = Phase::Waiting(now + after.unwrap_or(delay));
        }
    }

    /// Puts an entry aside for good.
    async fn give_up(&mut self, id: u64, label: &'static str, reason: String) {
        let Some(slot) = self.window.finish(id) else {
            return;
        };
        let sealed = slot.sealed;
        let rows = u64::from(sealed.rows);
        tracing::error!(signal = %sealed.signal, rows, reason, "rows cannot be delivered and are put aside");
        self.dropped(sealed.signal, label, rows);
        self.queue
            .queued
            .remove(&self.start.name, sealed.signal, rows);
        self.keep(sealed, rows, reason).await;
    }

    /// Writes a dead letter. What it returns does not borrow the exporter, which other threads
    /// must not see.
    fn keep(&self, sealed: Sealed, rows: u64, reason: String) -> impl Future<Output = ()> + use<> {
        let letters = Arc::clone(&self.dead_letters);
        async move {
            let write = move || {
                letters.keep(&Letter {
                    signal: sealed.signal,
                    rows,
                    reason: &reason,
                    stamp: sealed.stamp,
                    request: &sealed.request,
                });
            };
            if tokio::task::spawn_blocking(write).await.is_err() {
                tracing::error!("a dead letter was lost while shutting down");
            }
        }
    }

    /// Replaces an entry that the collector finds too large by pieces of half its size. The
    /// pieces are queued in one record that names the entry, so even a crash in between does
    /// not send both, and that says which other destinations go on sending the entry itself.
    async fn cut(&mut self, id: u64, reason: String) {
        let Some(slot) = self.window.get_mut(id) else {
            return;
        };
        let sealed = slot.sealed.clone();
        let half = (sealed.request.len() / 2).max(1);
        let pieces = otlp::split::split(sealed.signal, &sealed.request, half).unwrap_or_default();
        if !(2..=PIECES_MAX).contains(&pieces.len()) {
            return self.give_up(id, "too_large", reason).await;
        }
        let entries = pieces.into_iter().map(|request| Entry {
            signal: sealed.signal,
            source: "split",
            rows: count_rows(sealed.signal, &request).unwrap_or(0),
            read_unix_nano: sealed.read_unix_nano,
            alone: false,
            request,
        });
        let name = self.start.name.clone();
        match self.queue.replace(name, &sealed, entries.collect()).await {
            Ok(()) => {
                drop(self.window.finish(id));
                // The pieces are behind what was read.
                self.at_end = false;
            }
            Err(AppendError::TooLarge { .. }) => self.give_up(id, "too_large", reason).await,
            Err(error) => {
                tracing::warn!(%error, "an entry that is too large cannot be split yet");
                if let Some(slot) = self.window.get_mut(id) {
                    slot.phase = Phase::Waiting(Instant::now() + QUEUE_RETRY);
                }
            }
        }
    }

    /// Sees to it that a watermark that moved is written down before long.
    fn note_progress(&mut self) {
        if self.window.watermark() > self.checkpoint && self.checkpoint_due.is_none() {
            self.checkpoint_due = Some(Instant::now() + self.options.checkpoint_interval);
        }
    }

    async fn write_checkpoint(&mut self) {
        self.checkpoint_due = None;
        let watermark = self.window.watermark();
        if watermark > self.checkpoint {
            self.checkpoint = watermark;
            let name = self.start.name.clone();
            self.queue.exported(name, watermark).await;
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
