//! The offset of the collector's clock, measured on the export connection as NTP does.
//!
//! With the agent's times of sending t0 and of the answer t3, and the collector's times of
//! arrival t1 and of the reply t2: offset = ((t1 - t0) + (t2 - t3)) / 2, and the true offset is
//! within half the round trip, ((t3 - t0) - (t2 - t1)) / 2, of it.
//!
//! Of each minute the exchange with the shortest round trip counts. So the estimate follows a
//! clock that drifts, and yet changes a few times a minute at most: rows of many exports share
//! one offset, which costs nothing to store.

use std::collections::VecDeque;
use std::sync::Arc;

use model::ClockOffset;
use parking_lot::Mutex;

const MINUTE_NANOS: u64 = 60 * 1_000_000_000;
/// Of how many minutes the best exchange is kept; older ones say little about a clock that
/// drifts.
const MINUTES: usize = 10;
/// What each minute of age adds to an error: clocks drift by about 15 millionths.
const DRIFT_NANOS_PER_MINUTE: u64 = MINUTE_NANOS / 1_000_000 * 15;

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
    pub fn offset(&self) -> Option<ClockOffset> {
        let difference = |a: u64, b: u64| i128::from(a) - i128::from(b);
        let there = difference(self.received, self.sent);
        let back = difference(self.replied, self.answered);
        let round_trip =
            difference(self.answered, self.sent) - difference(self.replied, self.received);
        let in_order = self.answered >= self.sent && self.replied >= self.received;
        if round_trip < 0 || !in_order {
            return None;
        }
        Some(ClockOffset {
            offset_nano: i64::try_from((there + back) / 2).ok()?,
            error_nano: u64::try_from((round_trip + 1) / 2).ok()?,
        })
    }
}

/// The best measurement of each of the last minutes.
#[derive(Debug, Default)]
struct Samples(VecDeque<(u64, ClockOffset)>);

impl Samples {
    fn add(&mut self, minute: u64, offset: ClockOffset) {
        // When two ranges do not overlap, one of the clocks was set: what came before is void.
        let overlaps = |(at, known): &(u64, ClockOffset)| {
            let error = aged(*known, minute.saturating_sub(*at)).error_nano;
            known.offset_nano.abs_diff(offset.offset_nano)
                <= error.saturating_add(offset.error_nano)
        };
        if !self.0.iter().all(overlaps) {
            self.0.clear();
        }
        match self.0.back_mut() {
            Some((at, best)) if *at == minute => {
                if offset.error_nano < best.error_nano {
                    *best = offset;
                }
            }
            _ => {
                if self.0.len() == MINUTES {
                    self.0.pop_front();
                }
                self.0.push_back((minute, offset));
            }
        }
    }

    fn best(&self, minute: u64) -> Option<ClockOffset> {
        let ages = self.0.iter().filter_map(|(at, offset)| {
            let age = minute.saturating_sub(*at);
            (age < MINUTES as u64).then(|| aged(*offset, age))
        });
        ages.min_by_key(|offset| offset.error_nano)
    }
}

/// A measurement after so many minutes.
fn aged(offset: ClockOffset, minutes: u64) -> ClockOffset {
    let drift = DRIFT_NANOS_PER_MINUTE.saturating_mul(minutes);
    ClockOffset {
        error_nano: offset.error_nano.saturating_add(drift),
        ..offset
    }
}

/// What is known of one collector's clock; clones share it.
#[derive(Debug, Clone, Default)]
pub struct ClockEstimate(Arc<Mutex<Samples>>);

impl ClockEstimate {
    /// Takes in one exchange, at a monotonic time.
    pub fn measured(&self, exchange: Exchange, now: u64) {
        if let Some(offset) = exchange.offset() {
            self.0.lock().add(now / MINUTE_NANOS, offset);
        }
    }

    /// The measurement with the smallest error; none where nothing was measured of late.
    pub fn best(&self, now: u64) -> Option<ClockOffset> {
        self.0.lock().best(now / MINUTE_NANOS)
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
        assert_eq!((offset.offset_nano, offset.error_nano), (990, 40));
        assert!(offset.offset_nano.abs_diff(1_000) <= offset.error_nano);
        assert_eq!(exchange(5_000, 6_000, 6_000, 4_000).offset(), None);
        assert_eq!(exchange(5_000, 6_000, 7_000, 5_010).offset(), None);
        let behind = exchange(u64::MAX - 10, 5, 6, u64::MAX).offset();
        assert_eq!(behind, None, "an offset beyond 292 years is no offset");
    }

    #[test]
    fn the_tightest_measurement_of_a_minute_stands() {
        let clock = ClockEstimate::default();
        assert_eq!(clock.best(0), None);
        clock.measured(exchange(0, 1_050, 1_050, 100), 0);
        clock.measured(exchange(0, 1_005, 1_005, 10), 1);
        let best = clock.best(2).unwrap();
        assert_eq!((best.offset_nano, best.error_nano), (1_000, 5));
        for late in 2..200 {
            clock.measured(exchange(0, 1_020 + late % 7, 1_020 + late % 7, 40), late);
            assert_eq!(clock.best(late), Some(best), "worse ones change nothing");
        }
        let later = clock.best(MINUTE_NANOS).unwrap();
        assert_eq!(later.offset_nano, best.offset_nano);
        assert_eq!(later.error_nano, 5 + DRIFT_NANOS_PER_MINUTE);
        assert_eq!(clock.best(10 * MINUTE_NANOS), None);
    }

    #[test]
    fn a_clock_that_drifts_is_followed_and_one_that_was_set_starts_over() {
        let clock = ClockEstimate::default();
        for minute in 0..30 {
            // Half a millisecond a minute, within what clocks are known to do.
            let ahead = 1_000 + minute * 500_000;
            clock.measured(exchange(0, ahead, ahead, 20), minute * MINUTE_NANOS);
        }
        let best = clock.best(29 * MINUTE_NANOS).unwrap();
        assert_eq!((best.offset_nano, best.error_nano), (14_500_990, 10));
        clock.measured(
            exchange(0, 90_000_000_000, 90_000_000_000, 100),
            29 * MINUTE_NANOS,
        );
        let best = clock.best(29 * MINUTE_NANOS).unwrap();
        assert_eq!(best.offset_nano, 89_999_999_950);
    }
}
