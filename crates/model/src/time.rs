//! Time ranges in unix nanoseconds.

use serde::{Deserialize, Serialize};

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Nanoseconds in a UTC day.
pub const NANOS_PER_DAY: u64 = 86_400 * NANOS_PER_SECOND;

/// Unix nanoseconds, `start` inclusive and `end` exclusive. A side that is open holds 0 or
/// `u64::MAX`; a range that is open at its end also contains `u64::MAX` itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRange {
    /// First nanosecond inside.
    pub start: u64,
    /// First nanosecond after the range, or `u64::MAX` for none.
    pub end: u64,
}

impl TimeRange {
    /// Every time there is.
    pub const ALL: TimeRange = TimeRange {
        start: 0,
        end: u64::MAX,
    };

    /// Whether the instant lies inside.
    pub fn contains(&self, nanos: u64) -> bool {
        nanos >= self.start && (nanos < self.end || self.end == u64::MAX)
    }

    /// Whether any instant of `first..=last` lies inside.
    pub fn overlaps(&self, first: u64, last: u64) -> bool {
        last >= self.start && (first < self.end || self.end == u64::MAX)
    }

    /// Whether all of `first..=last` lies inside.
    pub fn covers(&self, first: u64, last: u64) -> bool {
        self.contains(first) && self.contains(last)
    }
}

impl Default for TimeRange {
    fn default() -> Self {
        Self::ALL
    }
}
