//! How many queries run at once, and how many may wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ErrorKind, QueryError};

/// Lets a number of queries run at once; a bounded number of others wait for a bounded time.
#[derive(Debug, Clone)]
pub struct Gate {
    running: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    concurrency: usize,
    queue: usize,
    patience: Duration,
}

/// The right to run; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

/// Counts a waiting query for as long as it waits, also when its client goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// `concurrency` run at once, `queue` wait for at most `patience`.
    pub fn new(concurrency: usize, queue: usize, patience: Duration) -> Self {
        Self {
            running: Arc::new(Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: Arc::default(),
            concurrency,
            queue,
            patience,
        }
    }

    /// Waits for the right to run.
    pub async fn enter(&self) -> Result<Permit, QueryError> {
        if let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(Permit { _permit: permit });
        }
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if waiting >= self.queue {
            return Err(self.overloaded());
        }
        let permit = Arc::clone(&self.running).acquire_owned();
        match tokio::time::timeout(self.patience, permit).await {
            Ok(Ok(permit)) => Ok(Permit { _permit: permit }),
            Ok(Err(_)) | Err(_) => Err(self.overloaded()),
        }
    }

    /// How many run and how many wait.
    pub fn load(&self) -> (usize, usize) {
        let running = self
            .concurrency
            .saturating_sub(self.running.available_permits());
        (running, self.waiting.load(Ordering::Relaxed))
    }

    fn overloaded(&self) -> QueryError {
        let message = format!(
            "{} queries run already and no place is left to wait",
            self.concurrency
        );
        QueryError::new(ErrorKind::Overloaded, message)
            .hint("try again shortly, or raise limits.query_concurrency")
    }
}
