//! Room on the stack for what calls itself once for each level of a tree.
//!
//! Threads have stacks of different sizes, so whoever goes down one level asks whether there is room
//! for it, and goes on in memory of its own where there is little. The number of levels is bounded by
//! the parser.

/// What one level may take, with everything that it calls until the next one asks again.
const LEVEL_BYTES: usize = 256 << 10;
/// How much is taken at once; what is not touched takes no memory.
const SEGMENT_BYTES: usize = 4 << 20;

/// Runs one level.
pub(crate) fn level<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(LEVEL_BYTES, SEGMENT_BYTES, work)
}
