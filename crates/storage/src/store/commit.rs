//! The commit thread: group commit, publication, acknowledgement.

mod ahead;
mod disk;
mod publish;
mod sealing;

use std::sync::Arc;
use std::thread::JoinHandle;

use journal::{ErrorKind, Journal, JournalError, Position};
use model::Signal;
use model::room::Room;
use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::contents::Content;
use super::flusher::Flusher;
use super::record::{self, Covers};
use super::recover::Recovered;
use super::refusal::Refusal;
use super::stamps::{Before, Stamps};
use super::{Core, add};
use disk::Disk;

use crate::chunk::Chunk;
use crate::points::Growth;
use crate::write::{Ack, Batch, WriteError};

pub(super) use ahead::Ahead;
pub(super) use publish::{grown_bytes, push};

/// Batches that share one sync at most.
const GROUP_BATCHES_MAX: usize = 256;
/// Bytes that share one sync at most, beyond the first batch.
const GROUP_BYTES_MAX: usize = 16 << 20;

/// A batch that waits to be committed.
pub(super) struct Pending {
    pub batch: Batch,
    pub chunk: Chunk,
    /// Series of the request that were refused, by their order in it.
    pub refused_series: Vec<u32>,
    /// Which of the points that it became are zeros where counters began.
    pub zeros: Vec<u32>,
    /// By what a repeat of it is known, where it has no stamp.
    pub content: Option<Content>,
    pub received_unix_nano: u64,
    /// Of counts of spans: up to where they cover those of their tenant.
    pub covers: Option<Position>,
    /// How long its record is, where the log has it already.
    pub logged_bytes: Option<usize>,
    pub answer: oneshot::Sender<Result<Ack, WriteError>>,
    /// What it takes of the bounds on memory, until it is answered.
    pub holds: (OwnedSemaphorePermit, Room),
}

impl Pending {
    /// Whoever has an answer finds the room free.
    fn answer(self, answer: Result<Ack, WriteError>) {
        drop(self.holds);
        let _ = self.answer.send(answer);
    }
}

/// Work for the commit thread.
pub(super) enum Job {
    Write(Box<Pending>),
    /// Write to the log what is being decoded.
    Ahead(Box<Ahead>),
    /// Say when the observer has seen what was acknowledged before.
    Observed(oneshot::Sender<()>),
    /// Write the head to files, if that is possible.
    Flush(oneshot::Sender<()>),
    /// The sealed head is in files: the WAL before this position is not needed.
    Flushed(Position),
    /// The log before this position was freed.
    Freed(Position),
    /// The counts of all spans before this position are written.
    Counted(Position),
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
    /// Before this position the log is being freed.
    freeing: Option<Position>,
    /// What the head has grown by.
    growth: Growth,
    disk: Disk,
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
    let log_bytes = recovered.journal.bytes();
    let of_log = |is_there| if is_there { log_bytes } else { 0 };
    let mut committer = Committer {
        core,
        disk: Disk::new(
            of_log(recovered.growth.bytes > 0),
            of_log(flushing.is_some()),
            recovered.checkpoint_bytes,
        ),
        flush: recovered.flush,
        journal: recovered.journal,
        stamps: recovered.stamps,
        insertions: Vec::new(),
        repeats: Vec::new(),
        flusher,
        jobs,
        flushing,
        freeing: None,
        growth: recovered.growth,
    };
    if recovered.flush > 0 && !recovered.recorded {
        let position = committer.record(recovered.position);
        if recovered.may_free {
            committer.truncate(position);
        }
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
            let (group, other) = self.gather(job);
            self.commit(group, self.journal.end());
            let other = match other {
                Some(Job::Ahead(ahead)) => {
                    self.commit_ahead(*ahead);
                    None
                }
                other => other,
            };
            if self.core.failures.first().is_some() {
                // Whoever waits for an answer learns that there is none.
                return;
            }
            match other {
                None => {}
                Some(Job::Flushed(position)) => {
                    if let Some(position) = self.flushed(position) {
                        self.free(self.core.counting.in_files(position));
                    }
                }
                Some(Job::Counted(position)) => {
                    self.free(self.core.counting.written(position));
                }
                Some(Job::Freed(position)) => {
                    self.freeing.take_if(|freeing| *freeing == position);
                    self.freed();
                }
                Some(Job::Observed(done)) => {
                    let _ = done.send(());
                }
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
                Some(Job::Write(_) | Job::Ahead(_)) => unreachable!("dealt with above"),
            }
            self.keep_less();
            self.make_room();
            self.keep_pace();
        }
    }

    /// The batches that wait, from this job on, and what comes after them.
    fn gather(&mut self, job: Job) -> (Vec<Pending>, Option<Job>) {
        let mut group = Vec::new();
        let (mut bytes, mut decoded) = (0, 0);
        let mut next = Some(job);
        while let Some(job) = next {
            let pending = match job {
                Job::Write(pending) => Some(pending),
                Job::Ahead(mut ahead) => match ahead.decoded.try_recv() {
                    Ok(pending) => Some(pending),
                    Err(TryRecvError::Closed) => None,
                    Err(TryRecvError::Empty) => return (group, Some(Job::Ahead(ahead))),
                },
                other => return (group, Some(other)),
            };
            if let Some(pending) = pending {
                bytes += pending.batch.request.len();
                decoded += pending.chunk.list_bytes();
                group.push(*pending);
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
        (group, None)
    }

    /// Appends, syncs, publishes and answers a group of batches; where the sync fails, the log ends
    /// at `begin` again.
    fn commit(&mut self, group: Vec<Pending>, begin: Position) {
        if group.is_empty() {
            return;
        }
        self.look_at_disk();
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
        self.count_log();
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
        pending.answer(Ok(ack));
    }

    /// Makes durable what was appended since `begin`, or takes it back.
    fn sync(&mut self, begin: Position) -> Result<(), String> {
        if let Some(reason) = self.core.failures.first() {
            return Err(reason);
        }
        let Err(error) = self.journal.sync() else {
            return Ok(());
        };
        self.note_error(&error);
        if let Err(error) = self.journal.rollback_to(begin) {
            self.fail(&error);
        }
        Err(error.to_string())
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
            pending.answer(Ok(ack));
            return None;
        }
        if let Some(bytes) = pending.logged_bytes {
            self.disk.appended(bytes);
            self.note_stored(&pending);
            return Some(pending);
        }
        // Replayed, a row without a time must not become one of another time, nor one that is far
        // ahead be filed elsewhere.
        let timely = pending.chunk.undated == 0 && pending.chunk.ahead.is_empty();
        // For how long series are active depends on it, too.
        let of_points = pending.batch.signal == Signal::Metrics;
        let received = (!timely || of_points).then_some(pending.received_unix_nano);
        let covers = pending.covers.map(|tenant| Covers {
            tenant,
            all: self.core.counting.covered(),
        });
        let header = record::header(
            &pending.batch,
            &pending.refused_series,
            &pending.zeros,
            received,
            covers,
        );
        let bytes = header.len() + pending.batch.request.len();
        if let Some((refusal, reason)) = self.no_room(bytes) {
            self.refuse(pending, refusal, reason);
            return None;
        }
        let rollback = self.journal.end();
        match self
            .journal
            .append_parts(&[&header, &pending.batch.request])
        {
            Ok(_) => {
                self.disk.appended(bytes);
                self.note_stored(&pending);
                Some(pending)
            }
            Err(error) => {
                self.note_error(&error);
                if let Err(error) = self.journal.rollback_to(rollback) {
                    self.fail(&error);
                }
                if let JournalError::RecordTooLarge { .. } = error {
                    add(&self.core.counters.too_large_batches, 1);
                    let refused = WriteError::TooLarge(error.to_string());
                    pending.answer(Err(refused));
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
        pending.answer(Err(refused));
    }

    /// Notes that the log could not be written.
    fn note_error(&mut self, error: &JournalError) {
        self.fail_if_fatal(error);
        if error.is_storage_full() {
            self.disk.note_full();
        }
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
}
