//! A thread that reads something again and again until it is told to stop.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use env::Failures;
use parking_lot::{Condvar, Mutex};

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

/// Whether to go on.
pub(super) type Continue = bool;

/// The running thread. Dropping it tells the thread to stop without waiting for it.
#[derive(Debug)]
pub struct Polling {
    /// What the thread does, for messages.
    job: &'static str,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl Polling {
    /// Starts a thread that calls `pass`, waits for the interval, and so on. A panic in it ends
    /// the process.
    pub(super) fn start(
        name: &str,
        job: &'static str,
        failures: &Failures,
        interval: Duration,
        stop: Arc<Stop>,
        mut pass: impl FnMut() -> Continue + Send + 'static,
    ) -> std::io::Result<Self> {
        let guard = failures.guard(job);
        let stopped = Arc::clone(&stop);
        let run = move || {
            let _guard = guard;
            while pass() && !stopped.wait(interval) {}
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)?;
        Ok(Self {
            job,
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
            tracing::error!("{} ended with a panic", self.job);
        }
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.stop.set();
    }
}
