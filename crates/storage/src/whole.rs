//! Reading what is mapped, of which the disk may not give all.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What is read of mapped bytes that were checked before; nothing where the disk did not give some
/// of them since. Some of what was read was zeroes then, which may have ended in a panic, too.
pub(crate) fn if_whole<T>(is_whole: impl FnOnce() -> bool, read: impl FnOnce() -> T) -> Option<T> {
    let found = catch_unwind(AssertUnwindSafe(read));
    if !is_whole() {
        tracing::error!("the disk does not give a part of a file that is open");
        return None;
    }
    Some(found.unwrap_or_else(|panic| resume_unwind(panic)))
}
