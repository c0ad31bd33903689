//! Memory that all queries share: one part for the rows and groups that they hold, one for samples
//! of PromQL.
//!
//! A query that gets none of it is asked to come again. One that is alone gets what it asks for: it
//! has bounds of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::room::{Budget, Room};
use parking_lot::Mutex;

use crate::error::{ErrorKind, QueryError};

/// What a sample takes, or a value that was calculated.
const SAMPLE_BYTES: usize = 16;

/// What the rows of all queries may take: 256 MiB, or twice what one answer may.
fn rows_bytes(answer_bytes: u64) -> usize {
    let two = usize::try_from(answer_bytes).map_or(usize::MAX, |one| one.saturating_mul(2));
    two.max(256 << 20)
}

/// What their samples may: 256 MiB, or as much as one query may.
fn samples_bytes(samples: usize) -> usize {
    samples.saturating_mul(SAMPLE_BYTES).max(256 << 20)
}

/// What queries share.
#[derive(Debug)]
pub struct Memory {
    rows: Shared,
    samples: Shared,
}

#[derive(Debug)]
struct Shared {
    what: &'static str,
    budget: Arc<Budget>,
    refused: AtomicU64,
}

impl Shared {
    fn new(what: &'static str, bytes: usize) -> Self {
        Self {
            what,
            budget: Arc::new(Budget::new(bytes)),
            refused: AtomicU64::new(0),
        }
    }
}

impl Memory {
    /// For queries whose answers may take so many bytes, and hold so many samples.
    pub fn new(answer_bytes: u64, samples: usize) -> Self {
        Self::of(rows_bytes(answer_bytes), samples_bytes(samples))
    }

    /// As much as there is.
    pub(super) fn unlimited() -> Self {
        Self::of(usize::MAX, usize::MAX)
    }

    fn of(rows: usize, samples: usize) -> Self {
        Self {
            rows: Shared::new("rows and groups", rows),
            samples: Shared::new("samples", samples),
        }
    }

    /// How many queries were asked to come again, for want of memory for rows and for samples.
    pub fn refused(&self) -> [(&'static str, u64); 2] {
        let load = |shared: &Shared| shared.refused.load(Ordering::Relaxed);
        [("rows", load(&self.rows)), ("samples", load(&self.samples))]
    }
}

/// What one query holds, until dropped.
#[derive(Debug)]
pub(super) struct Holding {
    of: Arc<Memory>,
    rows: Mutex<Room>,
    samples: Mutex<Room>,
}

impl Holding {
    pub(super) fn new(of: Arc<Memory>) -> Self {
        let room = |shared: &Shared| Mutex::new(shared.budget.room(usize::MAX));
        Self {
            rows: room(&of.rows),
            samples: room(&of.samples),
            of,
        }
    }

    /// Takes memory for rows and groups.
    pub(super) fn rows(&self, bytes: usize) -> Result<(), QueryError> {
        take(&self.of.rows, &self.rows, bytes)
    }

    /// Takes memory for so many samples.
    pub(super) fn samples(&self, samples: usize) -> Result<(), QueryError> {
        let bytes = samples.saturating_mul(SAMPLE_BYTES);
        take(&self.of.samples, &self.samples, bytes)
    }

    /// Lets go of all samples but these.
    pub(super) fn keep_samples(&self, samples: usize) {
        let mut room = self.samples.lock();
        let kept = samples.saturating_mul(SAMPLE_BYTES).min(room.held());
        // What is fewer than before is always granted.
        let _ = room.resize(kept);
    }
}

impl promql::Memory for Holding {
    fn hold(&self, values: usize) -> bool {
        self.samples(values).is_ok()
    }
}

fn take(shared: &Shared, room: &Mutex<Room>, bytes: usize) -> Result<(), QueryError> {
    let mut room = room.lock();
    if room.take(bytes).is_ok() || shared.budget.used() <= room.held() {
        return Ok(());
    }
    shared.refused.fetch_add(1, Ordering::Relaxed);
    let what = shared.what;
    let message = format!("other queries hold the memory that there is for {what}");
    Err(QueryError::new(ErrorKind::Overloaded, message)
        .hint("try again shortly, or ask for less with limit, start and end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_bounded_over_all_queries() {
        let memory = Arc::new(Memory::of(1_000, 1 << 20));
        let (one, other) = (Holding::new(memory.clone()), Holding::new(memory.clone()));
        let most = (1 << 20) / SAMPLE_BYTES;
        one.samples(most - 100).unwrap();
        let refused = other.samples(200).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Overloaded);
        assert_eq!(memory.refused(), [("rows", 0), ("samples", 1)]);
        // Rows have memory of their own, and whoever is alone gets more than there is.
        other.rows(900).unwrap();
        drop(other);
        one.samples(most).unwrap();
        one.keep_samples(100);
        let other = Holding::new(memory.clone());
        other.samples(most - 100).unwrap();
        drop((one, other));
        assert_eq!(memory.samples.budget.used(), 0);
    }
}
