//! The flush thread: writes sealed heads to files and commits them with the checkpoint.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use journal::Position;
use tokio::sync::mpsc::WeakUnboundedSender;

use super::checkpoint::Checkpoint;
use super::commit::Job;
use super::stamps::Stamps;
use super::{Core, add};
use crate::flush::{FlushError, Heads, flush};
use crate::retention;

/// Between two tries of a flush that failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A head that takes no more rows.
pub(super) struct Sealed {
    pub heads: Arc<Heads>,
    /// The WAL position after its last row.
    pub position: Position,
    /// Stamps of every batch before that position.
    pub stamps: Stamps,
}

/// The commit thread's end of the flush thread.
pub(super) struct Flusher {
    sender: mpsc::Sender<Sealed>,
    done: mpsc::Receiver<Position>,
}

impl Flusher {
    /// `last` is the number of the last flush that counts.
    pub(super) fn start(
        core: Arc<Core>,
        last: u64,
        jobs: WeakUnboundedSender<Job>,
    ) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel::<Sealed>();
        let (finished, done) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("storage-flush".to_owned())
            .spawn(move || {
                let mut number = last;
                while let Ok(sealed) = receiver.recv() {
                    number += 1;
                    if !write(&core, number, &sealed, &jobs) {
                        return;
                    }
                    if finished.send(sealed.position).is_err() {
                        return;
                    }
                    // Tells the commit thread if it does not wait already.
                    if let Some(jobs) = jobs.upgrade() {
                        let _ = jobs.send(Job::Flushed(sealed.position));
                    }
                }
            })
            .expect("the system has threads to spare when a store opens");
        (Self { sender, done }, thread)
    }

    pub(super) fn send(&self, sealed: Sealed) {
        // The thread is gone only when the process is about to be.
        let _ = self.sender.send(sealed);
    }

    /// Waits until the head that ends at this position is in files.
    pub(super) fn wait(&self, position: Position) {
        while let Ok(done) = self.done.recv() {
            if done == position {
                return;
            }
        }
    }
}

/// Tries until the head is in files; false if the store was dropped meanwhile.
fn write(core: &Core, number: u64, sealed: &Sealed, jobs: &WeakUnboundedSender<Job>) -> bool {
    loop {
        match commit(core, number, &sealed.heads, sealed.position, &sealed.stamps) {
            Ok(()) => {
                retention::maintain(core);
                return true;
            }
            Err(error) => {
                add(&core.counters.flush_errors, 1);
                tracing::error!(%error, "flush failed, trying again; data is safe in the wal");
                // A full disk is a common cause, and retention may make room.
                retention::maintain(core);
                std::thread::sleep(RETRY_DELAY);
                if jobs.upgrade().is_none() {
                    return false;
                }
            }
        }
    }
}

/// Writes one flush, commits it, and shows it to readers in place of the sealed head.
pub(super) fn commit(
    core: &Core,
    number: u64,
    heads: &Heads,
    position: Position,
    stamps: &Stamps,
) -> Result<(), FlushError> {
    let _changing = core.changing.lock();
    let partitions = core.view.read().partitions.clone();
    let rows = core.options.block_rows.max(1);
    let changed = flush(&core.env, &core.root, number, rows, heads, &partitions)?;
    Checkpoint::new(number, position, stamps.clone()).write(&core.env, &core.root)?;
    add(&core.counters.flushes, 1);
    let mut view = core.view.write();
    let map = Arc::make_mut(&mut view.partitions);
    for partition in changed {
        map.insert(partition.key.clone(), partition);
    }
    view.sealed = None;
    Ok(())
}
