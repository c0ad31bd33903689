//! The thread that owns the journal.

use std::path::PathBuf;

use bytes::Bytes;
use env::{Env, Failures};
use journal::{ErrorKind, JournalError, Position};
use model::ClockOffset;
use tokio::sync::{mpsc, oneshot, watch};

use super::open::{Opened, encode_exported};
use super::record::{Head, Replaces, StampId, destination_code, entry_head};
use super::state::{self, Update};
use super::{AppendError, Entry, Progress};
use crate::clock::ClockEstimate;
use crate::metrics::{self, Metrics};
use crate::options::QueueOptions;

pub(super) type Reply = oneshot::Sender<Result<(), AppendError>>;

#[derive(Debug)]
pub(super) enum Command {
    Append {
        entry: Option<Entry>,
        updates: Vec<Update>,
        reply: Reply,
    },
    Replace {
        whole: Replaced,
        pieces: Vec<Entry>,
        reply: Reply,
    },
    Exported {
        destination: String,
        position: Position,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// The entry that pieces stand in for, and what they inherit of it.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) stamp: StampId,
    /// Where it was too large.
    pub(super) destination: String,
    pub(super) clock: Option<ClockOffset>,
}

/// Requests that become one journal record.
#[derive(Default)]
struct Group {
    entries: Vec<Entry>,
    /// Encoded.
    updates: Vec<u8>,
    replaces: Option<Replaced>,
    replies: Vec<Reply>,
    bytes: usize,
    /// Whether the entries are joined into one.
    joined: bool,
}

impl Group {
    /// What it takes of the queue.
    fn needed(&self) -> u64 {
        (self.bytes + self.updates.len()) as u64
    }
}

/// How the writer makes itself heard.
pub(super) struct Signals {
    pub(super) grow: watch::Sender<Position>,
    pub(super) failures: Failures,
}

/// What the writer asks for each entry.
pub(super) struct Sources {
    /// Up to when receivers are complete.
    pub(super) progress: Progress,
    /// How far the agent's clock is off.
    pub(super) clock: ClockEstimate,
}

pub(super) struct Writer {
    env: Env,
    sources: Sources,
    dir: PathBuf,
    options: QueueOptions,
    metrics: Metrics,
    opened: Opened,
    /// Entries were numbered since the `state` file was written.
    numbers_changed: bool,
    /// Receivers' values have changed since the `state` file was written.
    values_changed: bool,
    /// Segments before this one are gone.
    freed_before: u64,
    grow: watch::Sender<Position>,
    failures: Failures,
}

impl Writer {
    pub(super) fn new(
        env: &Env,
        options: &QueueOptions,
        sources: Sources,
        metrics: Metrics,
        opened: Opened,
        signals: Signals,
    ) -> Self {
        let journal_dir = opened.journal.dir();
        let dir = journal_dir.parent().unwrap_or(journal_dir).to_owned();
        Self {
            env: env.clone(),
            dir,
            options: options.clone(),
            sources,
            metrics,
            numbers_changed: !opened.saved,
            values_changed: !opened.saved,
            opened,
            freed_before: 0,
            grow: signals.grow,
            failures: signals.failures,
        }
    }

    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        while let Some(first) = inbox.blocking_recv() {
            let mut groups: Vec<Group> = Vec::new();
            let mut bytes = 0;
            let mut next = Some(first);
            while let Some(command) = next.take() {
                match command {
                    Command::Exported {
                        destination,
                        position,
                    } => self.exported(destination, position),
                    Command::Close { reply } => {
                        self.commit(groups);
                        inbox.close();
                        self.close();
                        // Whoever asked may have given up waiting.
                        let _gone = reply.send(());
                        return;
                    }
                    append => bytes += self.gather(append, &mut groups),
                }
                // One sync serves all that arrived while the one before it ran.
                if bytes < 16 << 20 {
                    next = inbox.try_recv().ok();
                }
            }
            self.commit(groups);
            if self.failures.first().is_some() {
                return;
            }
        }
        self.close();
    }

    /// Puts a command into the group that it can share a record with, or a new one.
    fn gather(&self, command: Command, groups: &mut Vec<Group>) -> usize {
        match command {
            Command::Append {
                entry: Some(entry),
                updates,
                reply,
            } if updates.is_empty() && !entry.alone => {
                let size = entry.request.len();
                let fits = |group: &&mut Group| {
                    group.joined
                        && group.bytes + size <= self.options.join_bytes
                        && group.entries[0].signal == entry.signal
                };
                if let Some(group) = groups.iter_mut().find(fits) {
                    group.bytes += size;
                    group.entries.push(entry);
                    group.replies.push(reply);
                } else {
                    groups.push(Group {
                        entries: vec![entry],
                        replies: vec![reply],
                        bytes: size,
                        joined: true,
                        ..Group::default()
                    });
                }
                size
            }
            Command::Append {
                entry,
                updates,
                reply,
            } => {
                let bytes = entry.as_ref().map_or(0, |entry| entry.request.len());
                groups.push(Group {
                    entries: entry.into_iter().collect(),
                    updates: state::encode_updates(&updates),
                    replies: vec![reply],
                    bytes,
                    ..Group::default()
                });
                bytes
            }
            Command::Replace {
                whole,
                pieces,
                reply,
            } => {
                let bytes = pieces.iter().map(|piece| piece.request.len()).sum();
                groups.push(Group {
                    entries: pieces,
                    replaces: Some(whole),
                    replies: vec![reply],
                    bytes,
                    ..Group::default()
                });
                bytes
            }
            Command::Exported { .. } | Command::Close { .. } => 0,
        }
    }

    /// Writes and syncs the groups, then answers everybody.
    fn commit(&mut self, groups: Vec<Group>) {
        if groups.is_empty() {
            return;
        }
        // Freeing may write and sync, so it comes before anything is pending.
        if !self.has_room(groups.iter().map(Group::needed).sum()) {
            self.free();
        }
        let before = self.opened.journal.synced_end();
        let stamp_before = self.opened.next;
        let mut written = Vec::with_capacity(groups.len());
        for group in groups {
            match self.write(&group) {
                Ok(()) => written.push(group),
                Err(error) => answer(group, &Err(error)),
            }
        }
        if written.is_empty() {
            return;
        }
        match self.opened.journal.sync() {
            Ok(end) => {
                for group in written {
                    self.settle(&group);
                    answer(group, &Ok(()));
                }
                self.metrics
                    .set(metrics::QUEUE_BYTES, &[], self.opened.journal.bytes());
                self.grow.send_replace(end);
            }
            Err(error) => {
                let answered = self.failed("sync", &error);
                if let Err(error) = self.opened.journal.rollback_to(before) {
                    self.failed("roll back", &error);
                }
                self.opened.next = stamp_before;
                for group in written {
                    answer(group, &Err(answered.clone()));
                }
            }
        }
    }

    /// Appends one record; nothing is synced yet.
    fn write(&mut self, group: &Group) -> Result<(), AppendError> {
        // Pieces stand in for an entry that is freed by them: refusing them would be a deadlock.
        if group.replaces.is_none() && !self.has_room(group.needed()) {
            self.metrics
                .add(metrics::REFUSED_REQUESTS, &[("reason", "queue_full")], 1);
            return Err(AppendError::Full);
        }
        let requests: Vec<&Bytes> = group.entries.iter().map(|entry| &entry.request).collect();
        let entries = if group.joined { 1 } else { group.entries.len() };
        let replaces = group.replaces.as_ref().map(|whole| Replaces {
            stamp: whole.stamp,
            kept_by: self.others(&whole.destination),
        });
        let head = Head::new(entries, replaces.as_ref(), group.updates.len());
        let mut stamp = self.opened.next;
        let mut heads: Vec<u8> = Vec::new();
        let clock = match &group.replaces {
            Some(whole) => whole.clock,
            None => self.sources.clock.best(self.env.clock.monotonic_nanos()),
        };
        // Whatever is written after this was read after this moment.
        let floor = self
            .sources
            .progress
            .complete_to()
            .min(self.env.clock.unix_nanos());
        if group.joined {
            let rows = group.entries.iter().map(|entry| entry.rows).sum();
            let read = group.entries.iter().map(|entry| entry.read_unix_nano).min();
            let signal = group.entries[0].signal;
            let length = group.bytes;
            let read = read.unwrap_or(floor).min(floor);
            let rows = rows_u32(rows);
            heads.extend(entry_head(stamp, signal, rows, read, length, clock));
            stamp.sequence += 1;
        } else {
            for entry in &group.entries {
                let (rows, read) = (rows_u32(entry.rows), entry.read_unix_nano.min(floor));
                heads.extend(entry_head(
                    stamp,
                    entry.signal,
                    rows,
                    read,
                    entry.request.len(),
                    clock,
                ));
                stamp.sequence += 1;
            }
        }
        let mut parts: Vec<&[u8]> = vec![head.bytes(), &group.updates, &heads];
        parts.extend(requests.iter().map(|request| request.as_ref()));
        match self.opened.journal.append_parts(&parts) {
            Ok(_) => {
                self.opened.next = stamp;
                Ok(())
            }
            Err(JournalError::RecordTooLarge { bytes, limit_bytes }) => {
                Err(AppendError::TooLarge {
                    bytes,
                    limit: limit_bytes,
                })
            }
            Err(error) => Err(self.failed("write", &error)),
        }
    }

    /// The destinations beside one.
    fn others(&self, destination: &str) -> Vec<u64> {
        let names = self.opened.exported.keys();
        let others = names.filter(|name| *name != destination);
        others.map(|name| destination_code(name)).collect()
    }

    /// Takes account of a record that is durable now.
    fn settle(&mut self, group: &Group) {
        self.numbers_changed = true;
        if !group.updates.is_empty() {
            state::apply(&mut self.opened.summary.values, &group.updates);
            self.values_changed = true;
        }
        if group.replaces.is_some() {
            return;
        }
        for entry in &group.entries {
            self.metrics
                .received(entry.signal, entry.source, entry.rows);
            self.opened.queued.add(entry.signal, entry.rows);
        }
    }

    fn has_room(&self, needed: u64) -> bool {
        self.opened.journal.bytes() + needed <= self.options.bytes
    }

    fn failed(&mut self, action: &'static str, error: &JournalError) -> AppendError {
        let reason = [("reason", "queue_write_failed")];
        self.metrics.add(metrics::REFUSED_REQUESTS, &reason, 1);
        match error.kind() {
            ErrorKind::Retry | ErrorKind::Invalid => {
                tracing::warn!(%error, action, "the agent's queue could not be written; receivers wait");
                AppendError::Retry(error.to_string())
            }
            ErrorKind::Fatal => {
                tracing::error!(%error, action, "the agent's queue has failed; restart the agent");
                let reason = format!("the agent's queue cannot be made durable: {error}");
                self.failures.report(reason);
                AppendError::Closed
            }
        }
    }

    fn exported(&mut self, destination: String, position: Position) {
        let known = self.opened.exported.get(&destination).copied();
        if known.is_some_and(|known| known >= position) {
            return;
        }
        self.opened.exported.insert(destination, position);
        let path = self.dir.join("exported");
        let content = encode_exported(&self.opened.exported);
        if let Err(error) = self.env.files.write_atomic(&path, &content) {
            // Nothing is lost: after a restart the same entries go out under the same stamps.
            tracing::warn!(path = %path.display(), %error, "cannot write down what was delivered");
            self.metrics
                .add("throughline_agent_checkpoint_failures_total", &[], 1);
        }
        if self.worth_freeing() {
            self.free();
        }
    }

    fn delivered(&self) -> Position {
        let oldest = self.opened.exported.values().min().copied();
        oldest.unwrap_or(Position::START)
    }

    /// Freeing writes the state file, so it is done when a segment is used up, or when the
    /// queue is empty and its only segment has grown.
    fn worth_freeing(&self) -> bool {
        let delivered = self.delivered();
        let end = self.opened.journal.synced_end();
        delivered.segment > self.freed_before || delivered == end && end.offset >= 16 << 20
    }

    /// Frees the segments that every destination is done with. What a restart still needs of
    /// them must be elsewhere first: in the `state` file, or, where the disk is too full for
    /// that, at the end of the journal, whose space is reserved. Without the numbers alone a
    /// restart begins a new epoch, which costs nothing. Nothing may be pending in the journal.
    fn free(&mut self) {
        let mut end = self.opened.journal.synced_end();
        let changed = self.values_changed || self.numbers_changed;
        if changed && !self.write_state(end) && self.values_changed {
            // A copy of everything is worth its room only where something can be freed by it.
            let delivered = self.delivered();
            if delivered.segment <= self.freed_before && delivered < end {
                return;
            }
            match self.repeat_state() {
                Some(position) => end = position,
                None => return,
            }
        }
        let position = self.delivered().min(end);
        match self.opened.journal.truncate_before(position) {
            Ok(_) => {
                self.freed_before = position.segment;
                let bytes = self.opened.journal.bytes();
                self.metrics.set(metrics::QUEUE_BYTES, &[], bytes);
            }
            Err(error) => drop(self.failed("free", &error)),
        }
    }

    /// Appends all values as one record, and returns where it starts.
    fn repeat_state(&mut self) -> Option<Position> {
        let values = self.opened.summary.values.iter();
        let updates: Vec<Update> = values
            .map(|(key, value)| (key.clone(), Some(value.clone())))
            .collect();
        let updates = state::encode_updates(&updates);
        let head = Head::new(0, None, updates.len());
        let before = self.opened.journal.synced_end();
        let appended = self.opened.journal.append_parts(&[head.bytes(), &updates]);
        let synced = appended.and_then(|position| {
            self.opened.journal.sync()?;
            Ok(position)
        });
        match synced {
            Ok(position) => Some(position),
            Err(error) => {
                drop(self.failed("write", &error));
                if let Err(error) = self.opened.journal.rollback_to(before) {
                    drop(self.failed("roll back", &error));
                }
                None
            }
        }
    }

    fn write_state(&mut self, end: Position) -> bool {
        let summary = &mut self.opened.summary;
        summary.position = end.to_bytes();
        summary.epoch = self.opened.next.epoch;
        summary.next_sequence = self.opened.next.sequence;
        let path = self.dir.join("state");
        match self.env.files.write_atomic(&path, &summary.encode()) {
            Ok(()) => {
                self.values_changed = false;
                self.numbers_changed = false;
                true
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot write the queue's state; its space is not freed");
                self.metrics
                    .add("throughline_agent_checkpoint_failures_total", &[], 1);
                false
            }
        }
    }

    fn close(mut self) {
        if self.failures.first().is_some() {
            return;
        }
        self.free();
        let end = self.opened.journal.synced_end();
        self.write_state(end);
        if let Err(error) = self.opened.journal.close() {
            tracing::error!(%error, "cannot close the agent's queue");
        }
    }
}

fn answer(group: Group, result: &Result<(), AppendError>) {
    for reply in group.replies {
        // A sender that went away hears nothing; its data stays queued.
        let _gone = reply.send(result.clone());
    }
}

fn rows_u32(rows: u64) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
