//! Wall-clock and monotonic time.

use std::fmt::Debug;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Two clocks: one that names moments and may jump, one that measures spans and may not.
pub trait Clock: Send + Sync + Debug {
    /// Nanoseconds since the Unix epoch. May go backwards when the system's clock is set.
    fn unix_nanos(&self) -> u64;

    /// Nanoseconds since some fixed moment of this process. Never goes backwards.
    fn monotonic_nanos(&self) -> u64;
}

/// The system's clocks.
#[derive(Debug)]
pub struct RealClock {
    started: Instant,
}

impl RealClock {
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    fn unix_nanos(&self) -> u64 {
        // A clock set before 1970 reads as the epoch: there is no earlier OTLP time to name.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
            })
    }

    fn monotonic_nanos(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
