//! The offset of the collector's clock, measured on the export connection as NTP does.
//!
//! With the agent's times of sending t0 and of the answer t3, and the collector's times of
//! arrival t1 and of the reply t2: offset = ((t1 - t0) + (t2 - t3)) / 2, and the true offset is
//! within half the round trip, ((t3 - t0) - (t2 - t1)) / 2, of it.

use std::collections::VecDeque;

/// Of how many exchanges the best is used.
const SAMPLES: usize = 16;
/// Older measurements say little about a clock that drifts.
const AGE_MAX_NANOS: u64 = 600 * 1_000_000_000;

/// The collector's clock minus the agent's, and how wrong that may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    pub nanos: i64,
    pub error_nanos: u64,
}

/// The four times of one exchange, in unix nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Exchange {
    pub sent: u64,
    pub received: u64,
    pub replied: u64,
    pub answered: u64,
}

impl Exchange {
    /// What the exchange says about the offset; nothing if a clock jumped in its course.
    pub fn offset(&self) -> Option<Offset> {
        let difference = |a: u64, b: u64| i128::from(a) - i128::from(b);
        let there = difference(self.received, self.sent);
        let back = difference(self.replied, self.answered);
        let round_trip =
            difference(self.answered, self.sent) - difference(self.replied, self.received);
        let in_order = self.answered >= self.sent && self.replied >= self.received;
        if round_trip < 0 || !in_order {
            return None;
        }
        Some(Offset {
            nanos: i64::try_from((there + back) / 2).ok()?,
            error_nanos: u64::try_from((round_trip + 1) / 2).ok()?,
        })
    }
}

/// The latest measurements.
#[derive(Debug, Default)]
pub struct ClockOffset {
    /// (monotonic time of the measurement, offset)
    samples: VecDeque<(u64, Offset)>,
}

impl ClockOffset {
    /// Takes in one exchange, at a monotonic time.
    pub fn measured(&mut self, exchange: Exchange, now: u64) {
        let Some(offset) = exchange.offset() else {
            return;
        };
        // When two ranges do not overlap, one of the clocks was set: what came before is void.
        let overlaps = |known: &Offset| {
            known.nanos.abs_diff(offset.nanos)
                <= known.error_nanos.saturating_add(offset.error_nanos)
        };
        if !self.samples.iter().all(|(_, known)| overlaps(known)) {
            self.samples.clear();
        }
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((now, offset));
    }

    /// The measurement with the smallest error among the recent ones.
    pub fn best(&self, now: u64) -> Option<Offset> {
        let recent = |(at, _): &&(u64, Offset)| now.saturating_sub(*at) <= AGE_MAX_NANOS;
        let samples = self.samples.iter().filter(recent);
        samples
            .map(|(_, offset)| *offset)
            .min_by_key(|offset| offset.error_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(sent: u64, received: u64, replied: u64, answered: u64) -> Exchange {
        Exchange {
            sent,
            received,
            replied,
            answered,
        }
    }

    #[test]
    fn the_offset_lies_within_half_the_round_trip() {
        // The collector is 1,000 ahead; 30 there, 10 work, 50 back.
        let offset = exchange(5_000, 6_030, 6_040, 5_090).offset().unwrap();
        assert_eq!((offset.nanos, offset.error_nanos), (990, 40));
        assert!(offset.nanos.abs_diff(1_000) <= offset.error_nanos);
        assert_eq!(exchange(5_000, 6_000, 6_000, 4_000).offset(), None);
        assert_eq!(exchange(5_000, 6_000, 7_000, 5_010).offset(), None);
        let behind = exchange(u64::MAX - 10, 5, 6, u64::MAX).offset();
        assert_eq!(behind, None, "an offset beyond 292 years is no offset");
    }

    #[test]
    fn the_tightest_recent_measurement_wins_and_a_set_clock_starts_over() {
        let mut clock = ClockOffset::default();
        clock.measured(exchange(0, 1_050, 1_050, 100), 0);
        clock.measured(exchange(0, 1_005, 1_005, 10), 1);
        clock.measured(exchange(0, 1_020, 1_020, 40), 2);
        assert_eq!(clock.best(3).unwrap().error_nanos, 5);
        assert_eq!(clock.best(AGE_MAX_NANOS + 10), None);
        clock.measured(exchange(0, 90_050, 90_050, 100), 4);
        assert_eq!(clock.best(5).unwrap().nanos, 90_000);
    }
}
