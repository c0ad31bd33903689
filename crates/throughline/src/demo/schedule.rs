//! When the payment service fails.

use std::time::Duration;

/// Bad times that come again and again, counted from the start of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// When the first one begins.
    pub first: Duration,
    /// How long each lasts.
    pub length: Duration,
    /// From the beginning of one to the beginning of the next.
    pub period: Duration,
}

impl Schedule {
    /// The demo's: bad from the 10th to the 50th second, and again every two minutes.
    pub const DEMO: Self = Self {
        first: Duration::from_secs(10),
        length: Duration::from_secs(40),
        period: Duration::from_secs(120),
    };

    /// Whether payments fail at this time after the start.
    pub fn is_bad(&self, at: Duration) -> bool {
        let Some(since_first) = at.checked_sub(self.first) else {
            return false;
        };
        let period = self.period.as_nanos().max(1);
        since_first.as_nanos() % period < self.length.as_nanos()
    }
}
