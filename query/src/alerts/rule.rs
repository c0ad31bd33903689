//! Rules as the engine runs them: checked, with durations in nanoseconds.

use std::time::Duration;

use super::Labels;
use crate::fnv::Fnv;

/// Rules that are evaluated together, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Name, unique within its file.
    pub name: String,
    /// The file that it stands in.
    pub file: String,
    /// Time between evaluations.
    pub interval: Duration,
    /// How many series a recording rule, or alerts an alerting rule, may yield; 0 for any
    /// number.
    pub limit: usize,
    /// How far in the past the expressions are evaluated.
    pub query_offset: Duration,
    /// Labels added to every rule that does not set them itself.
    pub labels: Labels,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// An alerting or recording rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Name of the alert or of the recorded series.
    pub name: String,
    /// PromQL.
    pub expr: String,
    /// Labels to add or overwrite; templates in an alerting rule.
    pub labels: Labels,
    /// Which of the two.
    pub kind: RuleKind,
}

/// What a rule does with the answer of its expression.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleKind {
    /// Stores it.
    Recording,
    /// Raises alerts.
    Alerting {
        /// How long the condition has to hold.
        hold: Duration,
        /// How long an alert fires on after its condition ended.
        keep_firing: Duration,
        /// Annotation templates.
        annotations: Labels,
    },
}

impl Rule {
    /// Whether it raises alerts instead of recording.
    pub fn is_alert(&self) -> bool {
        matches!(self.kind, RuleKind::Alerting { .. })
    }
}

impl Group {
    /// What tells this group from every other one.
    pub fn key(&self) -> String {
        format!("{};{}", self.file, self.name)
    }

    /// The labels of a rule with those that it takes from its group.
    pub fn labels_of(&self, rule: &Rule) -> Labels {
        let mut labels = self.labels.clone();
        labels.extend(rule.labels.clone());
        labels
    }

    /// As of when the expressions of an evaluation at this time are evaluated and what they yield is
    /// stored. Tests of rules begin in 1970, so that it may be before.
    pub fn as_of(&self, at_unix_nano: u64) -> i64 {
        signed(at_unix_nano).saturating_sub(signed(nanos(self.query_offset)))
    }

    /// The first evaluation time that is not before `now`: times are spread over the interval
    /// by group, and stay the same over restarts.
    pub fn next_evaluation(&self, now_unix_nano: u64) -> u64 {
        let interval = nanos(self.interval).max(1);
        let offset = Fnv::new().with(self.key().as_bytes()).finish() % interval;
        let since = now_unix_nano.saturating_sub(offset);
        let slot = since.div_ceil(interval).saturating_mul(interval);
        slot.saturating_add(offset)
    }
}

/// A time as queries and samples have it, which may be before 1970.
pub fn signed(unix_nano: u64) -> i64 {
    i64::try_from(unix_nano).unwrap_or(i64::MAX)
}

/// A duration in nanoseconds.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluation_times_are_stable_and_spaced() {
        let group = |name: &str| Group {
            name: name.into(),
            file: "rules.yml".into(),
            interval: Duration::from_secs(60),
            limit: 0,
            query_offset: Duration::ZERO,
            labels: Labels::new(),
            rules: Vec::new(),
        };
        let minute = 60_000_000_000;
        let now = 1_700_000_000_000_000_000;
        let first = group("a").next_evaluation(now);
        assert!((now..now + minute).contains(&first));
        assert_eq!(group("a").next_evaluation(first), first);
        assert_eq!(group("a").next_evaluation(first + 1), first + minute);
        assert_ne!(group("b").next_evaluation(now), first, "groups are spread");
    }
}
