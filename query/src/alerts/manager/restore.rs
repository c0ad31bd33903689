//! What is kept of the rules of before, over a restart and over changes of the rule files: finds
//! the rule that each of them is today.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use api::Completeness;

use super::super::Labels;
use super::super::group::{RuleStatus, Series};
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

/// The rules of today with the alerts that were saved.
pub(super) fn restore(groups: Vec<Group>, saved: SavedRules, now: u64) -> Vec<GroupStatus> {
    let mut status: Vec<GroupStatus> = groups.into_iter().map(blank).collect();
    for (today, known) in recognised(&groups_of(&status), saved) {
        let (group, rule) = today.place;
        let rule = &mut status[group].rules[rule];
        for alert in known.alerts {
            rule.alerts
                .restore(alert, today.timing, known.evaluated_at, now);
        }
        rule.known_at = now;
    }
    status
}

/// The rules of today with what is known of those of before. What is known of a group that is the
/// same stays; the series are those that no rule ends any more.
pub(super) fn replace(before: Vec<GroupStatus>, groups: Vec<Group>) -> (Vec<GroupStatus>, Series) {
    let mut status: Vec<GroupStatus> = groups.into_iter().map(blank).collect();
    for (today, known) in recognised(&groups_of(&status), saved(&before)) {
        let (group, rule) = today.place;
        let rule = &mut status[group].rules[rule];
        for alert in known.alerts {
            rule.alerts.take_over(alert);
        }
        rule.known_at = known.evaluated_at;
    }
    let mut before: HashMap<String, GroupStatus> = before
        .into_iter()
        .map(|known| (known.group.key(), known))
        .collect();
    let mut gone = Series::new();
    for today in &mut status {
        match before.remove(&today.group.key()) {
            Some(known) if known.group == today.group => *today = known,
            Some(known) => gone.extend(hand_on(known, today)),
            None => {}
        }
    }
    let left = before.into_values().flat_map(|known| known.rules);
    gone.extend(left.flat_map(|mut rule| rule.take_stored()));
    for rule in status.iter().flat_map(|known| &known.rules) {
        gone.retain(|labels, _| !rule.stored().contains_key(labels));
    }
    (status, gone)
}

/// Hands what the rules of a group stored on to those of the same name and labels. The series are
/// those of the others.
fn hand_on(known: GroupStatus, today: &mut GroupStatus) -> Series {
    today.counts = known.counts;
    let mut left: HashMap<(&str, Labels), VecDeque<Series>> = HashMap::new();
    for (rule, mut status) in known.group.rules.iter().zip(known.rules) {
        let key = (rule.name.as_str(), known.group.labels_of(rule));
        left.entry(key).or_default().push_back(status.take_stored());
    }
    for (rule, status) in today.group.rules.iter().zip(&mut today.rules) {
        let key = (rule.name.as_str(), today.group.labels_of(rule));
        if let Some(stored) = left.get_mut(&key).and_then(VecDeque::pop_front) {
            status.take_over(stored);
        }
    }
    left.into_values().flatten().flatten().collect()
}

/// What is to be saved: the alerts of every rule that has any.
pub(super) fn saved(status: &[GroupStatus]) -> SavedRules {
    let mut rules = Vec::new();
    for known in status {
        let group = &known.group;
        let numbers = equals_before(group);
        for ((rule, known), number) in group.rules.iter().zip(&known.rules).zip(numbers) {
            let alerts: Vec<Alert> = known.alerts.all().cloned().collect();
            if !alerts.is_empty() {
                rules.push(SavedRule {
                    group: group.key(),
                    name: rule.name.clone(),
                    expr: rule.expr.clone(),
                    labels: Some(group.labels_of(rule)),
                    number,
                    evaluated_at: known.known_at,
                    alerts,
                });
            }
        }
    }
    SavedRules { rules }
}

/// The rules whose alerts are known, each with these.
fn recognised(groups: &[Arc<Group>], saved: SavedRules) -> Vec<(Today<'_>, SavedRule)> {
    let mut waiting: HashMap<String, VecDeque<SavedRule>> = HashMap::new();
    for one in saved.rules {
        waiting.entry(one.name.clone()).or_default().push_back(one);
    }
    let mut found = Vec::new();
    let mut rules = alerting(groups);
    for likeness in LIKENESSES {
        let mut left = Vec::with_capacity(rules.len());
        for today in rules {
            let known = waiting.get_mut(&today.rule.name).and_then(|same_name| {
                let at = same_name.iter().position(|saved| likeness(saved, &today))?;
                same_name.remove(at)
            });
            match known {
                Some(known) => found.push((today, known)),
                None => left.push(today),
            }
        }
        rules = left;
    }
    found
}

fn groups_of(status: &[GroupStatus]) -> Vec<Arc<Group>> {
    let groups = status.iter().map(|known| &known.group);
    groups.map(Arc::clone).collect()
}

fn alerting(groups: &[Arc<Group>]) -> Vec<Today<'_>> {
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
fn equals_before(group: &Group) -> Vec<usize> {
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

fn blank(group: Group) -> GroupStatus {
    GroupStatus {
        rules: vec![RuleStatus::default(); group.rules.len()],
        group: Arc::new(group),
        evaluated_at: 0,
        took_nano: 0,
        due: 0,
        completeness: Completeness::default(),
        counts: GroupCounts::default(),
    }
}
