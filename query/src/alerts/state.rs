//! The state machine of one alerting rule. Pure: what comes in is what an evaluation yielded
//! and when; what comes out is which alerts are active.
//!
//! An alert is pending from the first evaluation that yields it until it has been yielded for
//! `for`, then firing; it is resolved by the first evaluation that does not yield it, or
//! `keep_firing_for` later.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Labels;
use super::rule::nanos;

/// How long a resolved alert is remembered.
pub const RESOLVED_RETENTION: Duration = Duration::from_secs(15 * 60);
/// A pending alert of a longer outage starts anew.
pub const OUTAGE_TOLERANCE: Duration = Duration::from_secs(60 * 60);
/// After a restart an alert with a long `for` stays pending at least this long, so that data
/// that arrives late can still prevent it.
pub const GRACE_PERIOD: Duration = Duration::from_secs(10 * 60);

/// State of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Resolved.
    Inactive,
    /// The condition holds, but not for long enough yet.
    Pending,
    /// Firing.
    Firing,
}

/// One alert of a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// All labels, `alertname` included.
    pub labels: Labels,
    /// Expanded annotations of the latest evaluation.
    pub annotations: Labels,
    /// Value of the latest evaluation; JSON lacks some floats, so by its bits.
    pub value_bits: u64,
    /// State.
    pub state: State,
    /// When its condition began to hold.
    pub active_at: u64,
    /// When it began to fire; 0 before.
    pub fired_at: u64,
    /// When it was resolved; 0 before.
    pub resolved_at: u64,
    /// Since when it fires on although its condition ended; 0 while it holds.
    pub keep_firing_since: u64,
}

impl Alert {
    /// Value of the latest evaluation.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.value_bits)
    }
}

/// What one evaluation yielded.
#[derive(Debug, Clone, PartialEq)]
pub struct Yielded {
    /// All labels, `alertname` included.
    pub labels: Labels,
    /// Expanded annotations.
    pub annotations: Labels,
    /// Value.
    pub value: f64,
}

/// Times of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// `for`.
    pub hold: Duration,
    /// `keep_firing_for`.
    pub keep_firing: Duration,
    /// How many alerts may be active; 0 for any number.
    pub limit: usize,
}

/// The alerts of one rule, by labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleAlerts {
    alerts: BTreeMap<Labels, Alert>,
}

impl RuleAlerts {
    /// All alerts that are remembered, resolved ones included.
    pub fn all(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// Pending and firing alerts.
    pub fn active(&self) -> impl Iterator<Item = &Alert> {
        self.all().filter(|alert| alert.state != State::Inactive)
    }

    /// Takes in an evaluation at this time. An error ends everything when the limit is passed, and
    /// leaves it as it was when two alerts have the same labels.
    pub fn evaluate(
        &mut self,
        yielded: Vec<Yielded>,
        at: u64,
        timing: Timing,
    ) -> Result<(), String> {
        let mut fresh: BTreeMap<Labels, Yielded> = BTreeMap::new();
        for one in yielded {
            if fresh.contains_key(&one.labels) {
                return Err(
                    "vector contains metrics with the same labelset after applying alert labels"
                        .into(),
                );
            }
            fresh.insert(one.labels.clone(), one);
        }
        self.end_others(&fresh, at, timing.keep_firing);
        self.take_in(fresh, at);
        for alert in self.alerts.values_mut() {
            let held = at.saturating_sub(alert.active_at) >= nanos(timing.hold);
            if alert.state == State::Pending && held {
                alert.state = State::Firing;
                alert.fired_at = at;
            }
        }
        self.hold_to(timing.limit, at)
    }

    /// Ends what was not yielded again, unless it is to fire on for a while.
    fn end_others(&mut self, fresh: &BTreeMap<Labels, Yielded>, at: u64, keep_firing: Duration) {
        self.alerts.retain(|labels, alert| {
            // Times of a clock that has been set back since would hold the alert up until the
            // clock gets there again.
            for time in [
                &mut alert.active_at,
                &mut alert.keep_firing_since,
                &mut alert.resolved_at,
            ] {
                *time = at.min(*time);
            }
            if fresh.contains_key(labels) {
                alert.keep_firing_since = 0;
                return true;
            }
            end(alert, at, keep_firing)
        });
    }

    /// What was yielded: the newest value of an active alert, or an alert that is pending from now.
    fn take_in(&mut self, fresh: BTreeMap<Labels, Yielded>, at: u64) {
        for (labels, one) in fresh {
            match self
                .alerts
                .get_mut(&labels)
                .filter(|alert| alert.state != State::Inactive)
            {
                Some(alert) => {
                    alert.annotations = one.annotations;
                    alert.value_bits = one.value.to_bits();
                }
                None => {
                    let alert = Alert {
                        labels: labels.clone(),
                        annotations: one.annotations,
                        value_bits: one.value.to_bits(),
                        state: State::Pending,
                        active_at: at,
                        fired_at: 0,
                        resolved_at: 0,
                        keep_firing_since: 0,
                    };
                    self.alerts.insert(labels, alert);
                }
            }
        }
    }

    /// Ends all alerts where more are active than may be.
    fn hold_to(&mut self, limit: usize, at: u64) -> Result<(), String> {
        let active = self.active().count();
        if limit == 0 || active <= limit {
            return Ok(());
        }
        self.alerts.retain(|_, alert| match alert.state {
            State::Pending => false,
            State::Inactive => true,
            State::Firing => {
                alert.state = State::Inactive;
                alert.resolved_at = at;
                // Nobody was told yet of what fires since now.
                alert.fired_at < at
            }
        });
        Err(format!("exceeded limit of {limit} with {active} alerts"))
    }

    /// Takes in an alert of a rule in whose place this one is.
    pub fn take_over(&mut self, alert: Alert) {
        self.alerts.insert(alert.labels.clone(), alert);
    }

    /// Takes in an alert that was active when the program last ran. `down_at` is its last
    /// evaluation then, `now` the present time.
    pub fn restore(&mut self, mut alert: Alert, timing: Timing, down_at: u64, now: u64) {
        let outage = now.saturating_sub(down_at);
        match alert.state {
            State::Inactive => {
                if now.saturating_sub(alert.resolved_at) > nanos(RESOLVED_RETENTION) {
                    return;
                }
            }
            // A firing alert stays: the next evaluation resolves it if it must, and receivers
            // that were told of it are told of its end.
            State::Firing => {}
            State::Pending if outage > nanos(OUTAGE_TOLERANCE) => return,
            State::Pending => {
                let spent = down_at.saturating_sub(alert.active_at);
                let hold = nanos(timing.hold);
                let remaining = hold.saturating_sub(spent);
                let grace = nanos(GRACE_PERIOD);
                alert.active_at = if remaining == 0 {
                    alert.active_at
                } else if hold >= grace && remaining < grace {
                    now.saturating_add(grace).saturating_sub(hold)
                } else {
                    // The outage proves nothing: it does not count.
                    alert.active_at.saturating_add(outage)
                };
            }
        }
        self.alerts.insert(alert.labels.clone(), alert);
    }
}

/// Ends an alert that was not yielded; false where it is to be forgotten.
fn end(alert: &mut Alert, at: u64, keep_firing: Duration) -> bool {
    match alert.state {
        State::Pending => false,
        State::Inactive => at.saturating_sub(alert.resolved_at) <= nanos(RESOLVED_RETENTION),
        State::Firing => {
            if !keep_firing.is_zero() {
                if alert.keep_firing_since == 0 {
                    alert.keep_firing_since = at;
                }
                if at.saturating_sub(alert.keep_firing_since) < nanos(keep_firing) {
                    return true;
                }
            }
            alert.state = State::Inactive;
            alert.resolved_at = at;
            true
        }
    }
}

#[cfg(test)]
mod tests;
