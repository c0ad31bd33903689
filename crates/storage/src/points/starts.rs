//! When the counters of a tenant began, as far as their points said so lately: whether a zero is to be
//! stored where a counter began.
//!
//! A zero goes before the first point that names a start, if the series has no point at that start or
//! after it yet, and the start is not long before the point, where it would say nothing of the present.
//!
//! A start of the program forgets all of this. Of a series that is seen for the first time since, an
//! earlier start is passed over: whether the series had points before is not known, and one that
//! begins with a value at its start, as OTLP has it where the real start is not known, must not get a
//! zero there.

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

/// A start that is further back than this is none that rates look at.
const AGE_NANOS: u64 = 3_600 * model::time::NANOS_PER_SECOND;
/// Series that are remembered; then those that were not seen for the longest time go.
const KEPT_MAX: usize = 4 << 20;

#[derive(Debug, Clone, Copy)]
struct Start {
    /// When the counter began.
    start: u64,
    /// The time of the point that a zero went before.
    first: u64,
    /// The latest time of its points.
    last: u64,
}

/// By series.
#[derive(Debug, Default)]
pub(crate) struct CounterStarts(Mutex<FxHashMap<u128, Start>>);

impl CounterStarts {
    /// Whether a zero goes before a point of this time, whose counter began at `start`; all is known of
    /// series that began at `since` or later.
    pub(crate) fn begins(&self, id: u128, (start, time): (u64, u64), since: u64) -> bool {
        let mut known = self.0.lock();
        if known.len() >= KEPT_MAX && !known.contains_key(&id) {
            forget_half(&mut known);
        }
        let near = start < time && time - start <= AGE_NANOS;
        let Some(present) = known.get_mut(&id) else {
            let begins = near && start >= since;
            let first = if begins { time } else { 0 };
            let fresh = Start {
                start,
                first,
                last: time,
            };
            known.insert(id, fresh);
            return begins;
        };
        // A request that was not taken the first time comes again.
        let again = present.start == start && present.first == time;
        let anew = present.start != start && start > present.last && near;
        if anew {
            present.start = start;
            present.first = time;
        }
        present.last = present.last.max(time);
        again || anew
    }

    /// Forgets series of which no point has come for long: one that comes again names a start after
    /// its last point, or one that is too far back for a zero.
    pub(super) fn forget(&self, gone: &[u128]) {
        let mut known = self.0.lock();
        for id in gone {
            known.remove(id);
        }
        if known.capacity() > 2 * known.len() + 1_024 {
            known.shrink_to_fit();
        }
    }

    /// How many series are remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// Lets go of the half whose points are the oldest.
fn forget_half(known: &mut FxHashMap<u128, Start>) {
    let mut times: Vec<u64> = known.values().map(|start| start.last).collect();
    let middle = times.len() / 2;
    let (_, middle, _) = times.select_nth_unstable(middle);
    let middle = *middle;
    known.retain(|_, start| start.last > middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = model::time::NANOS_PER_SECOND;

    #[test]
    fn a_zero_goes_before_the_first_point_of_each_start() {
        let starts = CounterStarts::default();
        let of = |id: u128, start: u64, time: u64| {
            starts.begins(id, (start * SECOND, time * SECOND), 50 * SECOND)
        };
        let begins = |start: u64, time: u64| of(1, start, time);
        assert!(begins(100, 110));
        assert!(!begins(100, 120));
        assert!(begins(100, 110), "what comes again is what came");
        assert!(!begins(90, 130), "an earlier start is that of nothing new");
        assert!(!begins(119, 130), "there is a point after it");
        assert!(begins(125 + 10, 140), "it was reset");
        assert!(!begins(135, 150));
        // A start with each point is that of none.
        assert!(!begins(150, 160));
        assert!(!begins(160, 170));
        assert!(of(2, 100, 110));
        assert!(!of(3, 60, 4_000), "long ago");
        assert!(!of(3, 60, 4_001));
        assert!(!of(4, 49, 60), "it may have had points before");
        assert!(!of(4, 49, 70));
        assert!(!of(5, 100, 100), "its real start is not known");
        assert!(!of(5, 100, 110));
        assert!(of(5, 120, 130));
    }

    #[test]
    fn few_enough_are_remembered() {
        let mut known = FxHashMap::default();
        for id in 0..10u128 {
            let last = id as u64;
            let (start, first) = (0, 0);
            known.insert(id, Start { start, first, last });
        }
        forget_half(&mut known);
        assert!(known.len() < 6 && known.contains_key(&9), "{known:?}");
        let starts = CounterStarts::default();
        starts.begins(1, (1, 2), 0);
        starts.begins(2, (1, 2), 0);
        starts.forget(&[1, 3]);
        assert_eq!(starts.len(), 1);
    }
}
