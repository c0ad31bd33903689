//! Finds the rule that each saved one is today, after the rule files may have changed.

use std::collections::{HashMap, VecDeque};

use api::Completeness;

use super::super::Labels;
use super::super::group::RuleStatus;
use super::super::rule::{Group, Rule, RuleKind};
use super::super::state::{Alert, State, Timing};
use super::super::store::{SavedRule, SavedRules};
use super::{GroupCounts, GroupStatus};

/// How a saved rule may be recognised, best first. Each saved rule is one of today's at most, and
/// the reverse.
const LIKENESSES: [fn(&SavedRule, &Today<'_>) -> bool; 4] = [
    // The very rule.
    |saved, today| {
        let labels = match &saved.labels {
            Some(labels) => *labels == today.labels && saved.number == today.number,
            None => active(saved).all(|alert| today.may_have(alert)),
        };
        labels && saved.group == today.group && saved.expr == today.rule.expr
    },
    // It asks something else, of which the same alerts may come.
    |saved, today| saved.group == today.group && saved.labels.as_ref() == Some(&today.labels),
    // It has other labels, so that its alerts of before are ended by the next evaluation.
    |saved, today| saved.group == today.group && saved.expr == today.rule.expr,
    // It moved to another group or file.
    |saved, today| saved.labels.as_ref() == Some(&today.labels) && saved.expr == today.rule.expr,
];

fn active(saved: &SavedRule) -> impl Iterator<Item = &Alert> {
    let alerts = saved.alerts.iter();
    alerts.filter(|alert| alert.state != State::Inactive)
}

/// An alerting rule of today.
struct Today<'a> {
    /// Where it stands: number of the group and in it.
    place: (usize, usize),
    rule: &'a Rule,
    timing: Timing,
    /// Key of its group.
    group: String,
    labels: Labels,
    number: usize,
}

impl Today<'_> {
    /// Whether the rule's labels allow an alert with such labels, as far as they are not templates.
    fn may_have(&self, alert: &Alert) -> bool {
        self.labels
            .iter()
            .filter(|(_, value)| !value.contains("{{") && !value.is_empty())
            .all(|(name, value)| alert.labels.get(name) == Some(value))
    }
}

/// Gives the alerts that are saved to the rules that they are of.
pub(super) fn restore(groups: &[Group], saved: SavedRules, now: u64) -> Vec<GroupStatus> {
    let mut status: Vec<GroupStatus> = groups.iter().map(blank).collect();
    let mut waiting: HashMap<String, VecDeque<SavedRule>> = HashMap::new();
    for one in saved.rules {
        waiting.entry(one.name.clone()).or_default().push_back(one);
    }
    let mut rules = alerting(groups);
    for likeness in LIKENESSES {
        rules.retain(|today| {
            let Some(same_name) = waiting.get_mut(&today.rule.name) else {
                return true;
            };
            let Some(at) = same_name.iter().position(|saved| likeness(saved, today)) else {
                return true;
            };
            let Some(known) = same_name.remove(at) else {
                return true;
            };
            let (group, rule) = today.place;
            let alerts = &mut status[group].rules[rule].alerts;
            for alert in known.alerts {
                alerts.restore(alert, today.timing, known.evaluated_at, now);
            }
            false
        });
    }
    status
}

fn alerting(groups: &[Group]) -> Vec<Today<'_>> {
    let mut rules = Vec::new();
    for (group_number, group) in groups.iter().enumerate() {
        let numbers = equals_before(group);
        for (rule_number, (rule, number)) in group.rules.iter().zip(numbers).enumerate() {
            let RuleKind::Alerting {
                hold, keep_firing, ..
            } = rule.kind
            else {
                continue;
            };
            rules.push(Today {
                place: (group_number, rule_number),
                rule,
                timing: Timing {
                    hold,
                    keep_firing,
                    limit: group.limit,
                },
                group: group.key(),
                labels: group.labels_of(rule),
                number,
            });
        }
    }
    rules
}

/// For each rule of a group how many before it have the same name, expression and labels.
pub(super) fn equals_before(group: &Group) -> Vec<usize> {
    let mut seen: HashMap<(&str, &str, &Labels), usize> = HashMap::new();
    let mut numbers = Vec::with_capacity(group.rules.len());
    for rule in &group.rules {
        let key = (rule.name.as_str(), rule.expr.as_str(), &rule.labels);
        let before = seen.entry(key).or_default();
        numbers.push(*before);
        *before += 1;
    }
    numbers
}

fn blank(group: &Group) -> GroupStatus {
    GroupStatus {
        rules: vec![RuleStatus::default(); group.rules.len()],
        evaluated_at: 0,
        took_nano: 0,
        completeness: Completeness::default(),
        counts: GroupCounts::default(),
    }
}
