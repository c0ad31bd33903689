//! Whether what is dropped by age may go by the wall clock.
//!
//! A clock that is set years ahead, or that a machine began with, would have everything dropped at
//! once and for good. So for an hour after it moved by more than time passed, and after a start at
//! which nothing stored is nearly as late, nothing is dropped by age: time for whoever set it, or for
//! time synchronization, to set it right.

use parking_lot::Mutex;

use crate::store::Core;

/// For how long nothing is dropped, by the clock that does not jump.
const WAIT_NANOS: u64 = 3_600 * model::time::NANOS_PER_SECOND;
/// By how much the wall clock may move beyond the time that passed.
const STEP_NANOS: u64 = 600 * model::time::NANOS_PER_SECOND;
/// How much older than the clock the newest row may be at a start.
const OLD_NANOS: u64 = model::time::NANOS_PER_DAY;

/// What was seen of the clock.
#[derive(Default)]
pub(crate) struct ClockWatch(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// Both clocks when they were last looked at.
    last: Option<(u64, u64)>,
    /// Until when nothing is dropped.
    wait_until: u64,
}

impl ClockWatch {
    /// Looks at the clock, the first time when the store opens; says whether it can be gone by.
    pub(crate) fn look(&self, core: &Core) -> bool {
        let (now, passed) = (
            core.env.clock.unix_nanos(),
            core.env.clock.monotonic_nanos(),
        );
        let mut seen = self.0.lock();
        let expected = match seen.last.replace((now, passed)) {
            Some((unix, monotonic)) => {
                let elapsed = passed.saturating_sub(monotonic);
                Some(unix.saturating_add(elapsed).saturating_add(STEP_NANOS))
            }
            None => newest_unix_nano(core).map(|newest| newest.saturating_add(OLD_NANOS)),
        };
        if expected.is_some_and(|expected| now > expected) {
            seen.wait_until = passed.saturating_add(WAIT_NANOS);
            tracing::warn!(
                now_unix_nano = now,
                "the clock moved, or nothing that is stored is nearly as late: nothing is dropped by \
                 age for an hour"
            );
        }
        passed >= seen.wait_until
    }
}

/// The time of the newest row in files.
fn newest_unix_nano(core: &Core) -> Option<u64> {
    let view = core.view.read();
    let of_rows = view.partitions.values();
    of_rows.map(|partition| partition.newest_unix_nano()).max()
}
