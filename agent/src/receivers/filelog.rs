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

use env::Env;
use model::KeyValue;

pub use discover::PatternError;
use poller::Poller;

use super::polling::{Polling, Stop};
use crate::options::Options;
use crate::queue::{Progress, Queue};

/// The receiver cannot start.
#[derive(Debug, thiserror::Error)]
pub enum FilelogError {
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("cannot start the thread that reads log files: {0}")]
    Thread(std::io::Error),
}

/// Starts reading. `state` is what the queue has kept for its receivers, `host` the machine's
/// resource attributes.
pub fn start(
    env: &Env,
    options: &Options,
    host: Vec<KeyValue>,
    queue: Queue,
    progress: &Progress,
    state: &BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<Polling, FilelogError> {
    let stop = Arc::new(Stop::default());
    let failures = queue.failures().clone();
    let mut poller = Poller::new(
        env,
        options,
        host,
        queue,
        progress,
        state,
        Arc::clone(&stop),
    )?;
    let pass = move || {
        poller.pass();
        true
    };
    Polling::start(
        "agent-filelog",
        "the reader of log files",
        &failures,
        options.filelog.poll_interval,
        stop,
        pass,
    )
    .map_err(FilelogError::Thread)
}

#[cfg(test)]
mod tests;
