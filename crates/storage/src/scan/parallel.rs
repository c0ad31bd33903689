//! One scan on several threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

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

/// How long a thread waits for its turn before it looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// Lets threads do something in the order of their units.
#[derive(Default)]
pub(super) struct Turns {
    next: Mutex<usize>,
    changed: Condvar,
}

impl Turns {
    /// Does `work` when all those before it are done; there is one for each number from 0 on.
    /// `wanted` is asked now and then whether to go on waiting.
    pub(super) fn take(
        &self,
        turn: usize,
        wanted: impl Fn() -> Result<(), Stop>,
        work: impl FnOnce() -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut next = self.next.lock();
        while *next != turn {
            if self.changed.wait_for(&mut next, LOOK).timed_out() {
                wanted()?;
            }
        }
        drop(next);
        let done = work();
        *self.next.lock() += 1;
        self.changed.notify_all();
        done
    }
}

fn threads(rows: u64) -> usize {
    let worth = usize::try_from(rows / ROWS_PER_THREAD).unwrap_or(usize::MAX);
    worth.min(env::processors()).clamp(1, THREADS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_their_turns_in_order_whoever_takes_them() {
        let units: Vec<usize> = (0..200).collect();
        let (turns, done) = (Turns::default(), Mutex::new(Vec::new()));
        let each = |(): &mut (), turn: &usize| {
            let note = || {
                done.lock().push(*turn);
                Ok(())
            };
            turns.take(*turn, || Ok(()), note)
        };
        over(&units, u64::MAX, each).unwrap().1.unwrap();
        assert_eq!(*done.lock(), units);
        // Where those before never come, it ends once it is no longer wanted.
        let never = Turns::default();
        let taken = never.take(1, || Err(Stop::Cancelled), || Ok(()));
        assert!(matches!(taken, Err(Stop::Cancelled)));
    }
}
