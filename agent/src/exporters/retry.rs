//! How long to wait before a retry: exponential backoff with full jitter.

use std::time::Duration;

use env::Random;

/// The range that delays are drawn from grows from `first` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub max: Duration,
}

impl Backoff {
    /// The upper end of the range after this many failures in a row.
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doubled = 1u32.checked_shl(failures.saturating_sub(1).min(31));
        let factor = doubled.unwrap_or(u32::MAX);
        self.first
            .checked_mul(factor)
            .unwrap_or(self.max)
            .min(self.max)
    }

    /// A delay drawn evenly from zero up to the ceiling, so that many agents that failed
    /// together do not come back together.
    pub fn delay(&self, failures: u32, random: &dyn Random) -> Duration {
        let ceiling = u64::try_from(self.ceiling(failures).as_nanos()).unwrap_or(u64::MAX);
        let drawn = (u128::from(random.next_u64()) * (u128::from(ceiling) + 1)) >> 64;
        Duration::from_nanos(u64::try_from(drawn).unwrap_or(ceiling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_spread_over_a_range_that_doubles_up_to_its_limit() {
        let backoff = Backoff {
            first: Duration::from_millis(100),
            max: Duration::from_secs(5),
        };
        let random = env::SeededRandom::new(7);
        for (failures, ceiling_ms) in [(1, 100), (2, 200), (6, 3200), (7, 5000), (4_000, 5000)] {
            let ceiling = Duration::from_millis(ceiling_ms);
            assert_eq!(backoff.ceiling(failures), ceiling);
            let delays: Vec<Duration> =
                (0..200).map(|_| backoff.delay(failures, &random)).collect();
            assert!(delays.iter().all(|delay| *delay <= ceiling));
            assert!(delays.iter().any(|delay| *delay < ceiling / 4));
            assert!(delays.iter().any(|delay| *delay > ceiling / 4 * 3));
        }
    }
}
