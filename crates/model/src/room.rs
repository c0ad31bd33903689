//! Memory of requests in work: a bound for each of them, and a budget that all of them share.
//!
//! A small request can become a large one in memory: two bytes on the wire are an empty log record,
//! which takes a hundred once decoded. So whoever decodes asks a [`Room`] first, and what has not
//! been granted is not allocated.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A room takes this much more than it was asked for, so that it seldom has to ask its budget.
const AHEAD: usize = 64 << 10;

/// What one request may take once decoded, where it may have so many bytes on the wire.
pub fn decoded_bytes(request_bytes: usize) -> usize {
    request_bytes.saturating_mul(3)
}

/// What all requests in work may take, as received and decoded, where they should take no more than
/// `wanted`: that, or what the largest of them needs for itself. With less it would never be taken.
pub fn in_flight_bytes(wanted: usize, request_bytes: usize) -> usize {
    let largest = request_bytes.saturating_add(decoded_bytes(request_bytes));
    largest.max(wanted)
}

/// Bytes that requests may hold at once.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of this many bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
        }
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Room for one request, or one form of it, that may grow to `most` bytes.
    pub fn room(self: &Arc<Self>, most: usize) -> Room {
        Room {
            budget: Arc::clone(self),
            most,
            held: 0,
            used: 0,
        }
    }

    fn take(&self, bytes: usize) -> bool {
        let add = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .is_ok()
    }
}

/// What does not fit into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// The request alone takes more than any may: it will never fit as it is.
    #[error(
        "request takes more than {0} bytes of memory once decoded, which is the limit for one; \
         send it in smaller parts"
    )]
    Never(usize),
    /// Other requests hold what there is: it may fit later.
    #[error("requests in work hold nearly all of the {0} bytes that they may take together")]
    Now(usize),
}

/// Bytes taken from a budget until dropped.
#[derive(Debug)]
pub struct Room {
    budget: Arc<Budget>,
    most: usize,
    /// What the budget has given.
    held: usize,
    /// What was asked for; never more than is held.
    used: usize,
}

impl Room {
    /// Room for whatever comes: for what was let in before.
    pub fn unlimited() -> Self {
        Arc::new(Budget::new(usize::MAX)).room(usize::MAX)
    }

    /// Takes `more` bytes.
    pub fn take(&mut self, more: usize) -> Result<(), NoRoom> {
        let used = self.used.saturating_add(more);
        if used > self.most {
            return Err(NoRoom::Never(self.most));
        }
        if used > self.held {
            let ahead = used.saturating_add(AHEAD).min(self.most);
            if !self.hold(ahead) && !self.hold(used) {
                return Err(NoRoom::Now(self.budget.limit));
            }
        }
        self.used = used;
        Ok(())
    }

    /// Lets go of some of the bytes taken; they stay at hand for the next that are.
    pub fn give_back(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// Takes `bytes` in all, more or fewer than before, and not one ahead.
    pub fn resize(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if bytes > self.most {
            return Err(NoRoom::Never(self.most));
        }
        if !self.hold(bytes) {
            return Err(NoRoom::Now(self.budget.limit));
        }
        self.used = bytes;
        Ok(())
    }

    /// Bytes taken.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Bytes that the budget has given: no fewer than were taken.
    pub fn held(&self) -> usize {
        self.held
    }

    fn hold(&mut self, bytes: usize) -> bool {
        if bytes > self.held {
            if !self.budget.take(bytes - self.held) {
                return false;
            }
        } else {
            self.budget
                .used
                .fetch_sub(self.held - bytes, Ordering::Relaxed);
        }
        self.held = bytes;
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

/// About what one allocation of so many bytes takes, with what the allocator adds to it: the shorter
/// it is, the more that counts.
pub fn allocation(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    (bytes.saturating_add(8 + 15) & !15).max(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_its_own_bound_and_shares_the_budget() {
        let budget = Arc::new(Budget::new(1_000_000));
        let mut first = budget.room(600_000);
        first.take(500_000).unwrap();
        assert_eq!(first.take(100_001), Err(NoRoom::Never(600_000)));
        assert!(budget.used() >= 500_000 && budget.used() <= 600_000);
        let mut second = budget.room(600_000);
        assert_eq!(second.take(500_001), Err(NoRoom::Now(1_000_000)));
        // What it would take ahead is not there, what it needs is.
        first.resize(500_000).unwrap();
        second.take(499_999).unwrap();
        assert_eq!(second.resize(600_001), Err(NoRoom::Never(600_000)));
        assert_eq!(second.used(), 499_999, "a refusal changes nothing");
        drop(first);
        second.resize(600_000).unwrap();
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_given_back_is_taken_again_first() {
        let budget = Arc::new(Budget::new(AHEAD));
        let mut room = budget.room(usize::MAX);
        for _ in 0..100 {
            room.take(AHEAD).unwrap();
            room.give_back(AHEAD);
        }
        assert_eq!((room.used(), budget.used()), (0, AHEAD));
    }

    #[test]
    fn short_allocations_count_for_what_they_take() {
        assert_eq!(allocation(0), 0);
        assert_eq!(allocation(1), 32);
        assert_eq!(allocation(9), 32);
        assert_eq!(allocation(1_000), 1_008);
    }
}
