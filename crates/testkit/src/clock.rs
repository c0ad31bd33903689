//! A clock that a test sets.

use std::sync::atomic::{AtomicU64, Ordering};

use env::Clock;

/// Stands still until it is advanced (both clocks) or set (the wall clock alone, as when an
/// operator corrects it).
#[derive(Debug)]
pub struct ManualClock {
    unix: AtomicU64,
    monotonic: AtomicU64,
}

impl ManualClock {
    pub fn new(unix_nanos: u64) -> Self {
        Self {
            unix: AtomicU64::new(unix_nanos),
            monotonic: AtomicU64::new(0),
        }
    }

    /// Lets time pass.
    pub fn advance(&self, nanos: u64) {
        self.unix.fetch_add(nanos, Ordering::SeqCst);
        self.monotonic.fetch_add(nanos, Ordering::SeqCst);
    }

    /// Lets time pass until the wall clock says this.
    pub fn advance_to(&self, unix_nanos: u64) {
        let now = self.unix.load(Ordering::SeqCst);
        self.advance(unix_nanos.saturating_sub(now));
    }

    /// Makes the wall clock jump, forwards or backwards.
    pub fn set_unix(&self, unix_nanos: u64) {
        self.unix.store(unix_nanos, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn unix_nanos(&self) -> u64 {
        self.unix.load(Ordering::SeqCst)
    }

    fn monotonic_nanos(&self) -> u64 {
        self.monotonic.load(Ordering::SeqCst)
    }
}
