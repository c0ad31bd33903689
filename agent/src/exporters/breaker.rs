//! A circuit breaker: while a collector is down, one request at a time asks whether it is back.
//!
//! Closed, requests flow. After a number of failures in a row it opens: nothing is sent until a
//! delay has passed. Then it is half open: one probe goes out. If that succeeds the breaker
//! closes, else it opens again for longer. A collector that asks for time (`RetryInfo`,
//! `Retry-After`) gets it from all requests, whatever the state.

use std::time::Duration;

use env::Random;
use tokio::time::Instant;

use super::retry::Backoff;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// `probing` while the probe is under way.
    HalfOpen {
        probing: bool,
    },
}

/// Whether a request may go out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Go,
    /// Not before this moment.
    Wait(Instant),
    /// Not before the probe is answered.
    AwaitProbe,
}

/// The state of one destination.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    threshold: u32,
    backoff: Backoff,
    /// Failures since the last success.
    failures: u32,
    /// What the collector asked for.
    throttled_until: Option<Instant>,
}

impl Breaker {
    /// Opens after `threshold` failures in a row.
    pub fn new(threshold: u32, backoff: Backoff) -> Self {
        Self {
            state: State::Closed,
            threshold: threshold.max(1),
            backoff,
            failures: 0,
            throttled_until: None,
        }
    }

    /// Asks to send; on [`Admission::Go`] the caller must send and report the outcome.
    pub fn admit(&mut self, now: Instant) -> Admission {
        if let Some(until) = self.throttled_until {
            if now < until {
                return Admission::Wait(until);
            }
            self.throttled_until = None;
        }
        match self.state {
            State::Closed => Admission::Go,
            State::Open { until } if now < until => Admission::Wait(until),
            State::Open { .. } | State::HalfOpen { probing: false } => {
                self.state = State::HalfOpen { probing: true };
                Admission::Go
            }
            State::HalfOpen { probing: true } => Admission::AwaitProbe,
        }
    }

    /// A request was answered, whether the answer was welcome or not: the collector is there.
    /// Returns whether the breaker was not closed before.
    pub fn success(&mut self) -> bool {
        self.failures = 0;
        std::mem::replace(&mut self.state, State::Closed) != State::Closed
    }

    /// A request failed in a way that may pass.
    pub fn failure(&mut self, now: Instant, after: Option<Duration>, random: &dyn Random) {
        if let Some(after) = after {
            let until = now + after;
            self.throttled_until = Some(self.throttled_until.map_or(until, |at| at.max(until)));
        }
        self.failures = self.failures.saturating_add(1);
        let probe_failed = matches!(self.state, State::HalfOpen { .. });
        if probe_failed || self.state == State::Closed && self.failures >= self.threshold {
            let until = now + self.backoff.delay(self.failures, random);
            self.state = State::Open { until };
        }
    }

    /// Whether the collector is taken to be down.
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        let second = Duration::from_secs(1);
        Breaker::new(
            3,
            Backoff {
                first: second,
                max: second * 60,
            },
        )
    }

    #[test]
    fn opens_after_failures_in_a_row_and_lets_one_probe_through() {
        let random = env::SeededRandom::new(1);
        let mut breaker = breaker();
        let now = Instant::now();
        breaker.failure(now, None, &random);
        breaker.failure(now, None, &random);
        assert!(!breaker.success(), "two failures are not enough");
        for _ in 0..3 {
            assert_eq!(breaker.admit(now), Admission::Go);
            breaker.failure(now, None, &random);
        }
        let Admission::Wait(until) = breaker.admit(now) else {
            panic!("the breaker should be open");
        };
        assert_eq!(breaker.admit(until), Admission::Go);
        assert_eq!(breaker.admit(until), Admission::AwaitProbe);
        breaker.failure(until, None, &random);
        let Admission::Wait(later) = breaker.admit(until) else {
            panic!("a failed probe should open it again");
        };
        assert_eq!(breaker.admit(later), Admission::Go);
        assert!(breaker.success());
        assert_eq!(breaker.admit(later), Admission::Go);
        assert_eq!(breaker.admit(later), Admission::Go);
    }

    #[test]
    fn what_the_collector_asks_for_holds_back_everything() {
        let random = env::SeededRandom::new(1);
        let mut breaker = breaker();
        let now = Instant::now();
        breaker.failure(now, Some(Duration::from_secs(7)), &random);
        let until = now + Duration::from_secs(7);
        assert_eq!(breaker.admit(now), Admission::Wait(until));
        assert!(!breaker.is_open());
        assert_eq!(breaker.admit(until), Admission::Go);
    }
}
