//! Memory that reading takes: what decoding blocks may take in all scans together, and what the rows
//! of one answer may. For groups see [`super::tally`].

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Opened, Scan, Stop};
use crate::read::ReadError;
use crate::table::{Damage, Table};

/// How long a scan waits for memory before it looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// Rows whose lists take more than this are built one by one.
const TOGETHER_BYTES_MAX: usize = 8 << 20;

/// What a sample takes: its value, and a share of what is kept of its times.
const SAMPLE_BYTES: u64 = 12;

/// What a series takes that is found, with its place in a map, and its labels on their way.
const SERIES_BYTES: u64 = 300;

/// And what each place has of it.
const PART_BYTES: u64 = 140;

/// What is about to be read of metrics.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Foreseen {
    pub samples: usize,
    pub series: usize,
    /// The same, each as often as there are places that have some of it.
    pub parts: usize,
}

impl Foreseen {
    fn bytes(self) -> u64 {
        let weighed = [
            (self.samples, SAMPLE_BYTES),
            (self.series, SERIES_BYTES),
            (self.parts, PART_BYTES),
        ];
        let bytes = weighed.map(|(count, each)| (count as u64).saturating_mul(each));
        bytes.into_iter().fold(0, u64::saturating_add)
    }
}

/// Memory for decoded blocks, or for samples of metrics. Whoever does not get any waits: there is
/// always one who works.
#[derive(Debug)]
pub(crate) struct Decoding {
    limit: u64,
    used: Mutex<u64>,
    freed: Condvar,
}

/// Memory taken until dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<Decoding>,
    bytes: u64,
}

impl Decoding {
    /// This many bytes for all.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Waits for `bytes`; for more than there are, until nobody else has any. Whoever holds a share
    /// may not ask for another. `wanted` is asked now and then whether to go on waiting.
    fn take(
        self: &Arc<Self>,
        bytes: u64,
        wanted: impl Fn() -> Result<(), Stop>,
    ) -> Result<Share, Stop> {
        loop {
            let mut used = self.used.lock();
            if *used == 0 || used.saturating_add(bytes) <= self.limit {
                *used = used.saturating_add(bytes);
                return Ok(Share {
                    of: Arc::clone(self),
                    bytes,
                });
            }
            self.freed.wait_for(&mut used, LOOK);
            drop(used);
            wanted()?;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.of.used.lock() -= self.bytes;
        self.of.freed.notify_all();
    }
}

impl Scan<'_> {
    /// Waits until there is memory to decode what was opened. Chunks of the head are decoded.
    pub(super) fn decoding(&self, opened: &Opened) -> Result<Option<Share>, Stop> {
        let Opened::Block(block) = opened else {
            return Ok(None);
        };
        let bytes = block.decoded_bytes();
        let share = self.core.decoding.take(bytes, || self.check());
        share.map(Some)
    }

    /// Waits until there is memory to read so much of metrics.
    pub(super) fn samples_memory(&self, foreseen: Foreseen) -> Result<Share, Stop> {
        let bytes = foreseen.bytes();
        self.core.sampling.take(bytes, || self.check())
    }

    /// Counts rows that were built for the answer.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), Stop> {
        let held = {
            let held = &mut self.account.lock().held_bytes;
            *held = held.saturating_add(bytes as u64);
            *held
        };
        self.within(held)
    }

    /// Refuses rows that are too large for the answer before they are built.
    pub(super) fn has_room(&self, nested_bytes: usize) -> Result<(), Stop> {
        let held = self.account.lock().held_bytes;
        self.within(held.saturating_add(nested_bytes as u64))
    }

    fn within(&self, bytes: u64) -> Result<(), Stop> {
        let most = self.limits.answer_bytes;
        if bytes > most {
            return Err(ReadError::TooLarge(most).into());
        }
        Ok(())
    }
}

/// The rows in parts that can be built together.
pub(super) fn parts<'a>(
    table: &dyn Table,
    rows: &'a [usize],
) -> Result<std::slice::Chunks<'a, usize>, Damage> {
    let alone = table.nested_bytes(rows)? > TOGETHER_BYTES_MAX;
    Ok(rows.chunks(if alone { 1 } else { rows.len().max(1) }))
}

/// What lists take at most that are built together.
pub(super) fn largest(table: &dyn Table, rows: &[usize]) -> Result<usize, Damage> {
    let all = table.nested_bytes(rows)?;
    if all <= TOGETHER_BYTES_MAX {
        return Ok(all);
    }
    let mut largest = 0;
    for row in rows {
        largest = largest.max(table.nested_bytes(std::slice::from_ref(row))?);
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_and_given_back() {
        let all = Arc::new(Decoding::new(100));
        let never = || Err(Stop::Cancelled);
        let first = all.take(60, never).unwrap();
        let second = all.take(40, never).unwrap();
        assert!(matches!(all.take(1, never), Err(Stop::Cancelled)));
        drop(first);
        let third = all.take(60, never).unwrap();
        drop((second, third));
        // What is larger than all of it is alone.
        let large = all.take(1_000, never).unwrap();
        assert!(matches!(all.take(1, never), Err(Stop::Cancelled)));
        drop(large);
        assert_eq!(*all.used.lock(), 0);
    }

    #[test]
    fn a_share_that_is_given_back_lets_another_go_on() {
        let all = Arc::new(Decoding::new(10));
        let held = all.take(10, || Ok(())).unwrap();
        let waiting = std::thread::spawn({
            let all = Arc::clone(&all);
            move || all.take(10, || Ok(())).is_ok()
        });
        drop(held);
        assert!(waiting.join().unwrap());
    }
}
