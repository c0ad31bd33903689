//! Follows log files.
//!
//! Files are polled, which is right on every file system. A file is known by device and inode
//! together with its first bytes and the bytes before the last position, so renaming, emptying,
//! copying and reuse of an inode are all told apart. The files that held one path one after the
//! other form a lineage: the older one is read to its end first, and lines or records that span
//! two of them are put together.
//!
//! Positions are stored in the same queue record as the lines that they cover. When the queue
//! is full, reading pauses with one batch in memory.

mod assemble;
mod batch;
mod checkpoint;
mod container;
mod discover;
mod parse;
mod poller;
mod rotation;
mod severity;
mod timestamp;
mod tracked;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use env::Env;
use model::KeyValue;
use parking_lot::{Condvar, Mutex};

pub use discover::PatternError;
use poller::Poller;

use crate::options::Options;
use crate::queue::{Progress, Queue};

/// Told to a thread once, and waited for by it.
#[derive(Debug, Default)]
pub(super) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Waits; returns whether to stop.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.changed.wait_for(&mut stopped, time);
        }
        *stopped
    }

    pub(super) fn is_set(&self) -> bool {
        *self.stopped.lock()
    }

    pub(super) fn set(&self) {
        *self.stopped.lock() = true;
        self.changed.notify_all();
    }
}

/// The receiver cannot start.
#[derive(Debug, thiserror::Error)]
pub enum FilelogError {
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("cannot start the thread that reads log files: {0}")]
    Thread(std::io::Error),
}

/// The running receiver.
#[derive(Debug)]
pub struct FileLog {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl FileLog {
    /// Starts reading. `state` is what the queue has kept for its receivers, `host` the
    /// machine's resource attributes.
    pub fn start(
        env: &Env,
        options: &Options,
        host: Vec<KeyValue>,
        queue: Queue,
        progress: &Progress,
        state: &BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Result<Self, FilelogError> {
        let stop = Arc::new(Stop::default());
        let guard = queue.failures().guard("the reader of log files");
        let mut poller = Poller::new(
            env,
            options,
            host,
            queue,
            progress,
            state,
            Arc::clone(&stop),
        )?;
        let interval = options.filelog.poll_interval;
        let run = move || {
            let _guard = guard;
            loop {
                poller.pass();
                if poller.stop.wait(interval) {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("agent-filelog".to_owned())
            .spawn(run)
            .map_err(FilelogError::Thread)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Asks the thread to end after what it is at.
    pub fn stop(&self) {
        self.stop.set();
    }

    /// Waits for the thread. Blocks: not for async code.
    pub fn join(mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that reads log files ended with a panic");
        }
    }
}

impl Drop for FileLog {
    fn drop(&mut self) {
        self.stop.set();
    }
}

#[cfg(test)]
mod tests;
