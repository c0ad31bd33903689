//! When the rows of a request came, and under which day they are filed.

use crate::partition::day_of;

/// When a request was received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    /// By the sender's clock; 0 where that is not known any more.
    pub unix_nano: u64,
    /// The day by the collector's clock.
    pub day: u32,
    /// Rows of a later time than this are filed under that day.
    pub latest_unix_nano: u64,
}

impl Received {
    /// Received at this time by the sender's clock, from which the collector's differs by
    /// `offset_nano`; rows may be ahead of the latter by `ahead_nano`.
    pub(crate) fn at(unix_nano: u64, offset_nano: i64, ahead_nano: u64) -> Self {
        let ours = unix_nano.saturating_add_signed(offset_nano);
        Self {
            unix_nano,
            day: day_of(ours),
            latest_unix_nano: ours.saturating_add(ahead_nano),
        }
    }

    /// At a time that is not known any more.
    pub(crate) const UNKNOWN: Self = Self {
        unix_nano: 0,
        day: 0,
        latest_unix_nano: u64::MAX,
    };
}
