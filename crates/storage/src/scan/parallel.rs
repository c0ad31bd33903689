//! One scan on several threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::Stop;

/// A thread more for so many rows; fewer are read before it would have begun.
const ROWS_PER_THREAD: u64 = 100_000;

/// Threads of one scan at most.
const THREADS_MAX: usize = 8;

/// Gives every unit, which have so many rows, to `each`, together with what its thread has found so far, which begins as
/// `T::default()`. Returns what the threads found, also where a limit stopped them.
pub(super) fn over<U: Sync, T: Default + Send>(
    units: &[U],
    rows: u64,
    each: impl Fn(&mut T, &U) -> Result<(), Stop> + Sync,
) -> Result<(Vec<T>, Result<(), Stop>), Stop> {
    let next = AtomicUsize::new(0);
    let stopping = AtomicBool::new(false);
    let stop = Mutex::new(Ok(()));
    let work = || {
        let mut found = T::default();
        while !stopping.load(Ordering::Relaxed) {
            let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            if let Err(error) = each(&mut found, unit) {
                stopping.store(true, Ordering::Relaxed);
                // A limit leaves an answer, so anything else says more.
                let mut stop = stop.lock();
                if !matches!(*stop, Err(Stop::Cancelled | Stop::Invalid(_))) {
                    *stop = Err(error);
                }
            }
        }
        found
    };
    let found = thread::scope(|scope| {
        let others: Vec<_> = (1..threads(rows).min(units.len().max(1)))
            .map(|_| scope.spawn(work))
            .collect();
        let mut found = vec![work()];
        for other in others {
            match other.join() {
                Ok(more) => found.push(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        found
    });
    match stop.into_inner() {
        stopped @ (Ok(()) | Err(Stop::Limit)) => Ok((found, stopped)),
        Err(other) => Err(other),
    }
}

fn threads(rows: u64) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let worth = usize::try_from(rows / ROWS_PER_THREAD).unwrap_or(usize::MAX);
    worth.min(cores).clamp(1, THREADS_MAX)
}
