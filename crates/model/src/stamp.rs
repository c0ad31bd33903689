//! What an agent and the store agree on about the numbers of exports.

/// How many sequence numbers of an agent a store tells apart: the highest that it has, and those
/// below it. What is older counts as stored, so an agent sends no number that is this far ahead of
/// one that is not finished.
pub const WINDOW: u64 = 1_024;
