//! The commit thread: group commit, publication, acknowledgement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use journal::{ErrorKind, Journal, JournalError, Position};
use model::room::Room;
use model::row::Reject;
use model::{Signal, Tenant};
use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::checkpoint::Checkpoint;
use super::contents::Content;
use super::flusher::{Flusher, Sealed};
use super::recover::Recovered;
use super::refusal::Refusal;
use super::stamps::{Before, Stamps};
use super::{Core, add, record};
use crate::chunk::Chunk;
use crate::points::Growth;
use crate::write::{Ack, Batch, WriteError};

/// Batches that share one sync at most.
const GROUP_BATCHES_MAX: usize = 256;
/// Bytes that share one sync at most, beyond the first batch.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// Chunks are joined up to this many rows: joining copies, and senders wait for it.
const CHUNK_ROWS_MAX: usize = 1_024;
/// And up to this many bytes.
const CHUNK_BYTES_MAX: usize = 2 << 20;
/// How often a flush may fail before whoever waits for it goes on without.
const FLUSH_PATIENCE: u32 = 3;

/// A batch that waits to be committed.
pub(super) struct Pending {
    pub batch: Batch,
    pub chunk: Chunk,
    /// Series of the request that were refused, by their order in it.
    pub refused_series: Vec<u32>,
    /// By what a repeat of it is known, where it has no stamp.
    pub content: Option<Content>,
    pub received_unix_nano: u64,
    pub answer: oneshot::Sender<Result<Ack, WriteError>>,
    /// What it takes of the bounds on memory, until it is answered.
    pub holds: (OwnedSemaphorePermit, Room),
}

/// Work for the commit thread.
pub(super) enum Job {
    Write(Box<Pending>),
    /// Write the head to files, if that is possible.
    Flush(oneshot::Sender<()>),
    /// The sealed head is in files: the WAL before this position is not needed.
    Flushed(Position),
    /// Write the head to files, if that is possible, and stop.
    Shutdown(oneshot::Sender<()>),
}

pub(super) struct Committer {
    core: Arc<Core>,
    journal: Journal,
    stamps: Stamps,
    /// Stamps of the group that is not synced yet.
    insertions: Vec<Before>,
    /// Repeats that came with that group, perhaps of what is in it: answered when it is.
    repeats: Vec<Pending>,
    flusher: Flusher,
    jobs: UnboundedReceiver<Job>,
    /// The end of the sealed head that is on its way to files.
    flushing: Option<Position>,
    /// What the head has grown by.
    growth: Growth,
    /// The last flush that counts.
    flush: u64,
}

/// Starts the commit and the flush thread.
pub(super) fn start(
    core: Arc<Core>,
    recovered: Recovered,
    jobs: UnboundedReceiver<Job>,
    sender: WeakUnboundedSender<Job>,
) -> Vec<JoinHandle<()>> {
    let (flusher, flush_thread) = Flusher::start(core.clone(), recovered.flush, sender);
    let flushing = recovered.sealed.map(|sealed| {
        let position = sealed.position;
        flusher.send(sealed);
        position
    });
    let mut committer = Committer {
        core,
        flush: recovered.flush,
        journal: recovered.journal,
        stamps: recovered.stamps,
        insertions: Vec::new(),
        repeats: Vec::new(),
        flusher,
        jobs,
        flushing,
        growth: recovered.growth,
    };
    if recovered.flush > 0 && !recovered.recorded {
        committer.free(recovered.position);
    }
    let guard = committer
        .core
        .failures
        .guard("the thread that stores what is sent");
    let run = move || {
        let _guard = guard;
        committer.run();
    };
    let thread = std::thread::Builder::new()
        .name("storage-commit".to_owned())
        .spawn(run)
        .expect("the system has threads to spare when a store opens");
    vec![thread, flush_thread]
}

impl Committer {
    fn run(mut self) {
        while let Some(job) = self.jobs.blocking_recv() {
            let mut group = Vec::new();
            let mut next = Some(job);
            let (mut bytes, mut decoded) = (0, 0);
            let mut other = None;
            while let Some(job) = next {
                match job {
                    Job::Write(pending) => {
                        bytes += pending.batch.request.len();
                        decoded += pending.chunk.list_bytes();
                        group.push(*pending);
                    }
                    job => {
                        other = Some(job);
                        break;
                    }
                }
                if group.len() >= GROUP_BATCHES_MAX
                    || bytes >= GROUP_BYTES_MAX
                    // A group is looked at whole when the head is sealed.
                    || decoded >= self.core.options.head_bytes
                {
                    break;
                }
                next = self.jobs.try_recv().ok();
            }
            self.commit(group);
            if self.core.failures.first().is_some() {
                // Whoever waits for an answer learns that there is none.
                return;
            }
            match other {
                None => {}
                Some(Job::Flushed(position)) => self.flushed(position),
                Some(Job::Flush(done)) => {
                    self.flush_all();
                    let _ = done.send(());
                }
                Some(Job::Shutdown(done)) => {
                    if !self.flush_all() {
                        tracing::error!("rows cannot be written to files; they stay in the wal");
                    }
                    if let Err(error) = self.journal.close() {
                        tracing::warn!(%error, "the wal keeps space that it had reserved");
                    }
                    let _ = done.send(());
                    return;
                }
                Some(Job::Write(_)) => unreachable!("writes joined the group above"),
            }
            self.make_room();
        }
    }

    /// Appends, syncs, publishes and answers a group of batches.
    fn commit(&mut self, group: Vec<Pending>) {
        if group.is_empty() {
            return;
        }
        let begin = self.journal.end();
        self.insertions.clear();
        let mut written = Vec::with_capacity(group.len());
        for pending in group {
            if let Some(pending) = self.append(pending) {
                written.push(pending);
            }
        }
        if written.is_empty() {
            return;
        }
        if let Err(reason) = self.sync(begin) {
            self.stamps.undo(std::mem::take(&mut self.insertions));
            let repeats = std::mem::take(&mut self.repeats);
            for pending in written.into_iter().chain(repeats) {
                self.refuse(pending, Refusal::Disk, reason.clone());
            }
            return;
        }
        add(&self.core.counters.syncs, 1);
        self.core
            .counters
            .wal_bytes
            .store(self.journal.bytes(), Ordering::Relaxed);
        self.publish(written);
        for pending in std::mem::take(&mut self.repeats) {
            self.answer_repeat(pending);
        }
    }

    fn answer_repeat(&self, pending: Pending) {
        add(&self.core.counters.duplicate_batches, 1);
        self.core.acknowledged(pending.batch.stamp.as_ref());
        let ack = Ack {
            duplicate: true,
            ..self.ack(&pending)
        };
        let _ = pending.answer.send(Ok(ack));
    }

    /// Makes durable what was appended since `begin`, or takes it back.
    fn sync(&mut self, begin: Position) -> Result<(), String> {
        if let Some(reason) = self.core.failures.first() {
            return Err(reason);
        }
        let Err(error) = self.journal.sync() else {
            return Ok(());
        };
        self.fail_if_fatal(&error);
        if let Err(error) = self.journal.rollback_to(begin) {
            self.fail(&error);
        }
        Err(error.to_string())
    }

    /// Seals the head when it is full, or has half of what the WAL may hold: the other half is
    /// for what comes while it is being written.
    fn make_room(&mut self) {
        if self.growth.is_full(self.core.options.head_bytes) {
            // At most two heads are in memory: while one is being written the other may grow by
            // half, then writers wait; where it cannot be written, they are asked to come again.
            if self.flusher.failure().is_none() && !self.may_grow() && self.wait_for_flush(1) {
                self.seal();
            }
        } else if self.journal.bytes() >= self.core.options.wal_bytes / 2
            && self.flushing.is_none()
            && self.growth.bytes > 0
        {
            self.seal();
        }
    }

    /// Whether the head may become larger than it should, since the one before it is still being
    /// written: a flush takes about as long as a head to fill where senders are fast, and all of
    /// them would wait for the one that takes longer.
    fn may_grow(&self) -> bool {
        let head_bytes = self.core.options.head_bytes;
        let most = head_bytes.saturating_add(head_bytes / 2);
        self.flushing.is_some() && !self.growth.is_full(most)
    }

    /// Why a batch of so many bytes cannot be taken now.
    fn no_room(&self, bytes: usize) -> Option<(Refusal, String)> {
        let options = &self.core.options;
        let because = || {
            let failure = self.flusher.failure();
            failure.map_or_else(String::new, |failure| format!(": {failure}"))
        };
        let full = self.flushing.is_some() && self.growth.is_full(options.head_bytes);
        if full && (!self.may_grow() || self.flusher.failure().is_some()) {
            let reason = format!("rows in memory cannot be written to files{}", because());
            return Some((Refusal::Head, reason));
        }
        let waiting = &self.core.counters.waiting_files;
        let waiting: u64 = waiting
            .iter()
            .map(|files| files.load(Ordering::Relaxed))
            .sum();
        if waiting > options.unmerged_files {
            let reason = format!("{waiting} files wait to be merged, which has to catch up");
            return Some((Refusal::Merge, reason));
        }
        let unflushed = self.flushing.is_some() || self.growth.bytes > 0;
        let length = self.journal.bytes().saturating_add(bytes as u64);
        // A batch longer than the bound must pass some time: then, when nothing else is there.
        if unflushed && length > options.wal_bytes {
            let reason = format!(
                "the write-ahead log has its {} bytes, and what it holds is not in files yet{}",
                options.wal_bytes,
                because()
            );
            return Some((Refusal::Wal, reason));
        }
        None
    }

    /// Appends one batch to the WAL. Answers those that need no commit.
    fn append(&mut self, pending: Pending) -> Option<Pending> {
        if let Some(reason) = self.core.failures.first() {
            self.refuse(pending, Refusal::Disk, reason);
            return None;
        }
        if self.is_stored(&pending) {
            if self.insertions.is_empty() {
                self.answer_repeat(pending);
            } else {
                self.repeats.push(pending);
            }
            return None;
        }
        if pending.chunk.rows() == 0 {
            let ack = self.ack(&pending);
            self.note(&pending);
            let _ = pending.answer.send(Ok(ack));
            return None;
        }
        // Replayed, a row without a time must not become one of another time, nor one that is far
        // ahead be filed elsewhere.
        let timely = pending.chunk.undated == 0 && pending.chunk.ahead.is_empty();
        let received = (!timely).then_some(pending.received_unix_nano);
        let header = record::header(&pending.batch, &pending.refused_series, received);
        if let Some((refusal, reason)) = self.no_room(header.len() + pending.batch.request.len()) {
            self.refuse(pending, refusal, reason);
            return None;
        }
        let rollback = self.journal.end();
        match self
            .journal
            .append_parts(&[&header, &pending.batch.request])
        {
            Ok(_) => {
                self.note_stored(&pending);
                Some(pending)
            }
            Err(error) => {
                self.fail_if_fatal(&error);
                if let Err(error) = self.journal.rollback_to(rollback) {
                    self.fail(&error);
                }
                if let JournalError::RecordTooLarge { .. } = error {
                    add(&self.core.counters.too_large_batches, 1);
                    let refused = WriteError::TooLarge(error.to_string());
                    let _ = pending.answer.send(Err(refused));
                } else {
                    self.refuse(pending, Refusal::Disk, error.to_string());
                }
                None
            }
        }
    }

    /// Whether the batch was stored before, perhaps in this group.
    fn is_stored(&mut self, pending: &Pending) -> bool {
        match (&pending.batch.stamp, pending.content) {
            (Some(stamp), _) => self.stamps.contains(stamp),
            (None, Some(content)) => {
                let (now, window) = (self.core.env.clock.unix_nanos(), self.core.repeat_nanos());
                self.stamps.contents.forget(now, window);
                self.stamps.contents.contains(content)
            }
            (None, None) => false,
        }
    }

    /// Notes that the batch will be stored with the group.
    fn note_stored(&mut self, pending: &Pending) {
        let before = match (&pending.batch.stamp, pending.content) {
            (Some(stamp), _) => self.stamps.insert(stamp),
            (None, Some(content)) => {
                let now = self.core.env.clock.unix_nanos();
                self.stamps.contents.insert(content, now);
                Before::Content(content)
            }
            (None, None) => return,
        };
        self.insertions.push(before);
    }

    fn refuse(&self, pending: Pending, refusal: Refusal, reason: String) {
        self.core.counters.retried(refusal);
        let refused = WriteError::Retry {
            reason,
            after_ms: 1_000,
        };
        let _ = pending.answer.send(Err(refused));
    }

    fn fail_if_fatal(&self, error: &JournalError) {
        if error.kind() == ErrorKind::Fatal {
            self.fail(error);
        }
    }

    /// A failed fsync: what the disk holds is unknown, and trying again would hide that. The WAL
    /// is read afresh at the next start.
    fn fail(&self, error: &JournalError) {
        tracing::error!(%error, "the write-ahead log cannot be made durable");
        let reason = format!("the write-ahead log cannot be made durable: {error}");
        self.core.failures.report(reason);
    }

    fn ack(&self, pending: &Pending) -> Ack {
        let mut rejected: Vec<(Reject, u64)> = pending
            .chunk
            .rejected
            .iter()
            .map(|(reason, count)| (*reason, *count))
            .collect();
        rejected.sort_unstable();
        Ack {
            accepted: pending.chunk.rows() as u64,
            rejected,
            duplicate: false,
            points: pending.chunk.point_counts,
        }
    }

    /// Counts a stored batch and remembers up to when its sender is complete.
    fn note(&self, pending: &Pending) {
        let counters = &self.core.counters;
        add(&counters.batches, 1);
        add(
            &counters.rows[signal_index(pending.chunk.signal)],
            pending.chunk.rows() as u64,
        );
        add(&counters.duplicate_keys, pending.chunk.duplicate_keys);
        add(&counters.undated, pending.chunk.undated);
        add(&counters.ahead, pending.chunk.ahead.len() as u64);
        for (reason, count) in &pending.chunk.rejected {
            let index = Reject::ALL
                .iter()
                .position(|other| other == reason)
                .unwrap_or_default();
            add(&counters.rejected[index], *count);
        }
        self.core.acknowledged(pending.batch.stamp.as_ref());
    }

    /// Makes committed rows visible, then answers.
    fn publish(&mut self, written: Vec<Pending>) {
        let mut answers = Vec::with_capacity(written.len());
        let mut fresh: BTreeMap<(Tenant, Signal), Vec<Chunk>> = BTreeMap::new();
        let mut points: Vec<(Tenant, Chunk)> = Vec::new();
        let mut observer = self.core.observer.lock();
        for pending in written {
            let ack = self.ack(&pending);
            self.note(&pending);
            let Pending {
                batch,
                chunk,
                answer,
                holds,
                ..
            } = pending;
            if let Some(observer) = observer.as_mut() {
                chunk.show_spans(&batch.tenant, observer.as_mut());
            }
            answers.push((answer, ack, holds));
            if batch.signal == Signal::Metrics {
                points.push((batch.tenant, chunk));
                continue;
            }
            let chunks = fresh.entry((batch.tenant, batch.signal)).or_default();
            match chunks.last_mut() {
                Some(last) if may_join(last, &chunk) => last.absorb(&chunk),
                _ => chunks.push(chunk),
            }
        }
        drop(observer);
        let fresh: Vec<_> = fresh
            .into_iter()
            .flat_map(|(key, chunks)| {
                chunks
                    .into_iter()
                    .map(move |chunk| (key.clone(), Arc::new(chunk)))
            })
            .collect();
        {
            let mut view = self.core.view.write();
            let heads = Arc::make_mut(&mut view.active);
            for (key, chunk) in &fresh {
                self.growth.bytes += chunk.heap_bytes();
                push(heads.rows.entry(key.clone()).or_default(), chunk.clone());
            }
        }
        self.publish_points(points);
        self.core
            .counters
            .head_bytes
            .store(self.growth.bytes as u64, Ordering::Relaxed);
        for ((tenant, _), chunk) in &fresh {
            self.core.tails.publish(tenant, chunk, &self.core.counters);
        }
        for (answer, ack, _holds) in answers {
            let _ = answer.send(Ok(ack));
        }
    }

    /// Adds points to the heads of their tenants, which this thread alone changes.
    fn publish_points(&mut self, points: Vec<(Tenant, Chunk)>) {
        for (tenant, chunk) in points {
            let known = self.core.view.read().active.points.get(&tenant).cloned();
            let head = known.unwrap_or_else(|| {
                let mut view = self.core.view.write();
                let heads = Arc::make_mut(&mut view.active);
                Arc::clone(heads.points.entry(tenant).or_default())
            });
            self.growth += head.append(&chunk);
        }
    }

    /// Hands the head to the flush thread.
    fn seal(&mut self) {
        let position = self.journal.end();
        let heads = {
            let mut view = self.core.view.write();
            let next = Arc::new(view.active.following(&self.core.known));
            let heads = std::mem::replace(&mut view.active, next);
            view.sealed = Some(heads.clone());
            heads
        };
        self.growth = Growth::default();
        self.core.counters.head_bytes.store(0, Ordering::Relaxed);
        self.flushing = Some(position);
        self.flusher.send(Sealed {
            heads,
            position,
            stamps: self.stamps.clone(),
        });
    }

    fn flushed(&mut self, position: Position) {
        // Whoever waited for this flush has dealt with it already.
        if self.flushing != Some(position) {
            return;
        }
        self.flushing = None;
        self.flush += 1;
        self.free(position);
    }

    /// Frees the log up to a position, before which all is in files.
    fn free(&mut self, position: Position) {
        // Where all of a segment is in files, what the checkpoint says goes into the next one: it
        // would keep all of it otherwise.
        let position = match self.journal.leave_consumed(position) {
            Ok(true) => self.journal.end(),
            Ok(false) => position,
            Err(error) => {
                self.fail_if_fatal(&error);
                tracing::warn!(%error, "a used up wal segment stays until the next flush");
                position
            }
        };
        self.record_checkpoint(position);
        if let Err(error) = self.journal.truncate_before(position) {
            self.fail_if_fatal(&error);
            tracing::warn!(%error, "wal segments stay until the next flush");
        }
        self.core
            .counters
            .wal_bytes
            .store(self.journal.bytes(), Ordering::Relaxed);
    }

    /// Has the log say what the checkpoint says. That it cannot is no reason to stop: the files of
    /// the checkpoint say it twice.
    fn record_checkpoint(&mut self, position: Position) {
        if self.core.failures.first().is_some() {
            return;
        }
        // Stamps of what came since are in the log, too.
        let checkpoint = Checkpoint::new(self.flush, position, self.stamps.clone());
        let Ok(record) = record::checkpoint(&checkpoint) else {
            return;
        };
        let begin = self.journal.end();
        let appended = self.journal.append(&record);
        let done = appended.and_then(|_| self.journal.sync());
        let Err(error) = done else { return };
        self.fail_if_fatal(&error);
        tracing::warn!(%error, "the log does not say what the checkpoint says until the next flush");
        if let Err(error) = self.journal.rollback_to(begin) {
            self.fail(&error);
        }
    }

    /// Waits for the flush under way, if any; false, with it still under way, once it has failed
    /// so many times.
    fn wait_for_flush(&mut self, patience: u32) -> bool {
        let Some(position) = self.flushing else {
            return true;
        };
        let done = self.flusher.wait(position, patience);
        if done {
            self.flushed(position);
        }
        done
    }

    /// Writes both heads to files; false where that is impossible.
    fn flush_all(&mut self) -> bool {
        if !self.wait_for_flush(FLUSH_PATIENCE) {
            return false;
        }
        if self.core.view.read().active.is_empty() {
            return true;
        }
        self.seal();
        self.wait_for_flush(FLUSH_PATIENCE)
    }
}

/// Adds a chunk, joined with those before it while they are small: like a merge sort, each row
/// is moved a logarithmic number of times.
pub(super) fn push(chunks: &mut Vec<Arc<Chunk>>, mut chunk: Arc<Chunk>) {
    while let Some(last) = chunks.last() {
        if last.rows() > 2 * chunk.rows() || !may_join(last, &chunk) {
            break;
        }
        chunk = Arc::new(Chunk::joined(last, &chunk));
        chunks.pop();
    }
    chunks.push(chunk);
}

/// Whether two chunks are small enough to become one.
fn may_join(one: &Chunk, other: &Chunk) -> bool {
    one.rows() + other.rows() <= CHUNK_ROWS_MAX
        && one.list_bytes() + other.list_bytes() <= CHUNK_BYTES_MAX
}

pub(super) fn signal_index(signal: Signal) -> usize {
    signal as usize - 1
}
