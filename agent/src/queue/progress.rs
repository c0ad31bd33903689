//! Up to when the sources that the agent reads are complete in the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// One source's mark: everything it had to give before this unix time is durable in the queue.
#[derive(Debug, Clone)]
pub struct Mark(Arc<AtomicU64>);

impl Mark {
    /// Moves the mark. A source lowers it only if it finds that it was wrong.
    pub fn set(&self, unix_nanos: u64) {
        self.0.store(unix_nanos, Ordering::SeqCst);
    }
}

/// The marks of all sources.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    marks: Arc<Mutex<Vec<Mark>>>,
}

impl Progress {
    /// A mark for a source that is complete up to this time.
    pub fn register(&self, unix_nanos: u64) -> Mark {
        let mark = Mark(Arc::new(AtomicU64::new(unix_nanos)));
        self.marks.lock().push(mark.clone());
        mark
    }

    /// The lowest mark; the end of time if there is no source that can lag.
    pub fn complete_to(&self) -> u64 {
        let marks = self.marks.lock();
        let lowest = marks.iter().map(|mark| mark.0.load(Ordering::SeqCst)).min();
        lowest.unwrap_or(u64::MAX)
    }
}
