//! Whether what is dropped by age may go by the wall clock.
//!
//! A clock that is set years ahead, or that a machine began with, would have everything dropped at
//! once and for good. So for an hour after it moved by more than time passed, and after a start long
//! after the store was last written to, nothing is dropped by age: time for whoever set it, or for time
//! synchronization, to set it right.

use parking_lot::Mutex;

use crate::store::{Checkpoint, Core};

/// For how long nothing is dropped, by the clock that does not jump.
const WAIT_NANOS: u64 = 3_600 * model::time::NANOS_PER_SECOND;
/// By how much the wall clock may move beyond the time that passed.
const STEP_NANOS: u64 = 600 * model::time::NANOS_PER_SECOND;
/// How long before a start the store may have been written to.
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
            None => written_unix_nano(core).map(|written| written.saturating_add(OLD_NANOS)),
        };
        if expected.is_some_and(|expected| now > expected) {
            seen.wait_until = passed.saturating_add(WAIT_NANOS);
            tracing::warn!(
                now_unix_nano = now,
                "the clock moved, or the store was last written to more than a day ago: nothing is \
                 dropped by age for an hour"
            );
        }
        passed >= seen.wait_until
    }
}

/// When the checkpoint was last written, if there is one and that is known.
fn written_unix_nano(core: &Core) -> Option<u64> {
    let path = core.root.join(Checkpoint::NAME);
    let checkpoint = core.env.files.stat(&path).ok().flatten()?;
    (checkpoint.modified_unix_nano > 0).then_some(checkpoint.modified_unix_nano)
}
