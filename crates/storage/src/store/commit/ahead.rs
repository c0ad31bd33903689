//! A request that is alone is written to the log while it is decoded: two processors are at work on it
//! instead of one after the other.
//!
//! It is on the disk by the time it is decoded, or nearly, and is taken back where it turns out that
//! it is not to be stored. Readers see nothing of the log before that. After a crash in between it may
//! be there: as with any request that was not answered, all of its rows are or none. One that would
//! have been refused since it does not decode is counted then as a record that is none.

use journal::Position;
use model::Signal;
use tokio::sync::oneshot;

use super::super::contents::content_of;
use super::super::record;
use super::{Committer, Pending};
use crate::write::Batch;

/// A longer request is written once it is known to be wanted.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// A request that is being decoded.
pub(in crate::store) struct Ahead {
    batch: Batch,
    received_unix_nano: u64,
    /// The same once it is decoded; nothing comes where it cannot be, and its sender was told.
    pub(super) decoded: oneshot::Receiver<Box<Pending>>,
}

impl Ahead {
    /// What becomes of the batch is to be sent to the other end.
    pub(in crate::store) fn new(
        batch: &Batch,
        received_unix_nano: u64,
    ) -> (Self, oneshot::Sender<Box<Pending>>) {
        let (sender, decoded) = oneshot::channel();
        let ahead = Self {
            batch: batch.clone(),
            received_unix_nano,
            decoded,
        };
        (ahead, sender)
    }

    /// Whether what the log has to say of a batch is known before it is decoded.
    pub(in crate::store) fn is_possible(batch: &Batch) -> bool {
        // Which series of a request are refused is found out by decoding it.
        batch.signal != Signal::Metrics && batch.request.len() <= REQUEST_BYTES_MAX
    }
}

impl Committer {
    /// Writes a batch to the log, waits until it is decoded, and does the rest.
    pub(super) fn commit_ahead(&mut self, ahead: Ahead) {
        let begin = self.journal.end();
        let logged_bytes = self.write_ahead(&ahead);
        drop(ahead.batch);
        let pending = ahead.decoded.blocking_recv().ok();
        let pending = pending.map(|pending| Pending {
            logged_bytes: logged_bytes.filter(|_| self.is_new(&pending)),
            ..*pending
        });
        let stays = pending
            .as_ref()
            .is_some_and(|pending| pending.logged_bytes.is_some());
        if logged_bytes.is_some() && !stays {
            self.take_back(begin);
        }
        if let Some(pending) = pending {
            self.commit(vec![pending], begin);
        }
    }

    /// Whether there is anything of it to be stored.
    fn is_new(&mut self, pending: &Pending) -> bool {
        pending.chunk.rows() > 0 && !self.is_stored(pending)
    }

    /// The length of what the log has of the batch now; nothing where it is better not written before
    /// more is known of it, or cannot be: that is dealt with once it is decoded.
    fn write_ahead(&mut self, ahead: &Ahead) -> Option<usize> {
        let (batch, received) = (&ahead.batch, ahead.received_unix_nano);
        if self.may_be_stored(batch) || self.core.failures.first().is_some() {
            return None;
        }
        self.look_at_disk();
        // Rows without a time may be among them.
        let header = record::header(batch, &[], &[], Some(received), None);
        let bytes = header.len() + batch.request.len();
        if self.no_room(bytes).is_some() {
            return None;
        }
        let begin = self.journal.end();
        let appended = self.journal.append_parts(&[&header, &batch.request]);
        match appended.and_then(|_| self.journal.sync_ahead()) {
            Ok(()) => Some(bytes),
            Err(error) => {
                self.note_error(&error);
                self.take_back(begin);
                None
            }
        }
    }

    /// Whether it looks like a repeat. One in the log would be stored again by a start after a crash.
    fn may_be_stored(&self, batch: &Batch) -> bool {
        match &batch.stamp {
            Some(stamp) => self.stamps.contains(stamp),
            None if self.core.repeat_nanos() > 0 => {
                self.stamps.contents.contains(content_of(batch))
            }
            None => false,
        }
    }

    /// Has the log end at a position again.
    fn take_back(&mut self, position: Position) {
        if let Err(error) = self.journal.rollback_to(position) {
            self.fail(&error);
        }
    }
}
