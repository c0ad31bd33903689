//! What the API is answered about rules and alerts.

use std::collections::BTreeSet;

use api::types::{AlertView, AlertsAnswer, RuleGroupView, RuleView, RulesAnswer};
use api::{Completeness, Cut};
use model::TimeRange;

use super::super::Labels;
use super::super::group::RuleStatus;
use super::super::rule::{Group, Rule, RuleKind};
use super::super::state::{Alert, State};
use super::{GroupStatus, Manager};
use crate::traces::story::ActiveAlerts;

/// What Prometheus' API says of a group besides.
#[derive(Debug, Clone)]
pub(crate) struct GroupDetails {
    /// How much each of its rules may yield; 0 for any number.
    pub limit: usize,
    /// Of each of its rules.
    pub rules: Vec<RuleTiming>,
}

/// What Prometheus' API says of a rule besides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RuleTiming {
    /// When it was last evaluated.
    pub evaluated_at: u64,
    /// How long that took.
    pub took_nano: u64,
    /// Its `keep_firing_for`.
    pub keep_firing_seconds: f64,
}

impl Manager {
    /// All rules and how they do, by file and name of their group.
    pub fn rules(&self) -> RulesAnswer {
        self.rules_in_detail().0
    }

    /// The same, and what else Prometheus' API says of each group.
    pub(crate) fn rules_in_detail(&self) -> (RulesAnswer, Vec<GroupDetails>) {
        let status = self.status.lock();
        let mut groups: Vec<&GroupStatus> = status.iter().collect();
        groups.sort_by_key(|known| (&known.group.file, &known.group.name));
        let answer = RulesAnswer {
            groups: groups.iter().copied().map(group_view).collect(),
            completeness: completeness(&status),
        };
        (answer, groups.into_iter().map(details).collect())
    }

    /// All active alerts: firing first, then pending, each by start.
    pub fn alerts(&self) -> AlertsAnswer {
        let status = self.status.lock();
        let mut alerts: Vec<AlertView> = self
            .each(&status)
            .flat_map(|(rule, known)| known.alerts.active().map(|alert| alert_view(rule, alert)))
            .collect();
        alerts.sort_by(|a, b| {
            (&a.state, a.active_since_unix_nano, &a.labels).cmp(&(
                &b.state,
                b.active_since_unix_nano,
                &b.labels,
            ))
        });
        AlertsAnswer {
            alerts,
            completeness: completeness(&status),
        }
    }

    pub(super) fn each<'a>(
        &'a self,
        status: &'a [GroupStatus],
    ) -> impl Iterator<Item = (&'a Rule, &'a RuleStatus)> {
        status
            .iter()
            .flat_map(|known| known.group.rules.iter().zip(&known.rules))
    }
}

/// What the last evaluation of every group looked at and lacked. A group that was not evaluated
/// since the start, or since it changed, is named: what it says is from before.
fn completeness(status: &[GroupStatus]) -> Completeness {
    let mut whole = Completeness::default();
    for known in status {
        if known.evaluated_at == 0 {
            whole.cut.push(Cut {
                limit: "evaluation".into(),
                value: known.group.name.clone(),
                hint: "this rule group was not evaluated since the start or since it changed"
                    .into(),
            });
        }
        whole.join(known.completeness.clone());
    }
    whole
}

fn details(known: &GroupStatus) -> GroupDetails {
    let rules = known.group.rules.iter().zip(&known.rules);
    let rules = rules.map(|(rule, known)| {
        let keep_firing_seconds = match rule.kind {
            RuleKind::Alerting { keep_firing, .. } => keep_firing.as_secs_f64(),
            RuleKind::Recording => 0.0,
        };
        RuleTiming {
            evaluated_at: known.evaluated_at,
            took_nano: known.took_nano,
            keep_firing_seconds,
        }
    });
    GroupDetails {
        limit: known.group.limit,
        rules: rules.collect(),
    }
}

impl ActiveAlerts for Manager {
    fn active(&self, services: &BTreeSet<String>, range: TimeRange) -> Vec<AlertView> {
        let status = self.status.lock();
        let mut found: Vec<AlertView> = Vec::new();
        for (rule, known) in self.each(&status) {
            let overlapping = known.alerts.all().filter(|alert| {
                let end = if alert.resolved_at == 0 {
                    u64::MAX
                } else {
                    alert.resolved_at
                };
                range.overlaps(alert.active_at, end) && concerns(alert, services)
            });
            found.extend(overlapping.map(|alert| alert_view(rule, alert)));
        }
        found.sort_by(|a, b| {
            (a.active_since_unix_nano, &a.labels).cmp(&(b.active_since_unix_nano, &b.labels))
        });
        found
    }
}

/// Whether an alert names one of these services.
fn concerns(alert: &Alert, services: &BTreeSet<String>) -> bool {
    ["service", "service_name", "service.name", "job"]
        .iter()
        .any(|label| {
            alert.labels.get(*label).is_some_and(|value| {
                // A job may be `namespace/name`.
                let name = value
                    .rsplit_once('/')
                    .map_or(value.as_str(), |(_, name)| name);
                services.contains(value) || services.contains(name)
            })
        })
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Inactive => "inactive",
        State::Pending => "pending",
        State::Firing => "firing",
    }
}

fn alert_view(rule: &Rule, alert: &Alert) -> AlertView {
    AlertView {
        name: rule.name.clone(),
        state: state_name(alert.state).into(),
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        value: alert.value(),
        active_since_unix_nano: alert.active_at,
        firing_since_unix_nano: alert.fired_at,
        keep_firing_since_unix_nano: alert.keep_firing_since,
        query: rule.expr.clone(),
    }
}

fn group_view(known: &GroupStatus) -> RuleGroupView {
    let group = &known.group;
    let rules = group.rules.iter().zip(&known.rules);
    RuleGroupView {
        name: group.name.clone(),
        file: group.file.clone(),
        interval_seconds: group.interval.as_secs_f64(),
        last_evaluation_unix_nano: known.evaluated_at,
        evaluation_nano: known.took_nano,
        rules: rules
            .map(|(rule, known)| rule_view(group, rule, known))
            .collect(),
    }
}

fn rule_view(group: &Group, rule: &Rule, known: &RuleStatus) -> RuleView {
    let (kind, hold, annotations) = match &rule.kind {
        RuleKind::Recording => ("recording", 0.0, Labels::new()),
        RuleKind::Alerting {
            hold, annotations, ..
        } => ("alerting", hold.as_secs_f64(), annotations.clone()),
    };
    let worst = known
        .alerts
        .active()
        .map(|alert| alert.state)
        .max_by_key(|state| *state as u8);
    RuleView {
        name: rule.name.clone(),
        kind: kind.into(),
        query: rule.expr.clone(),
        for_seconds: hold,
        labels: group.labels_of(rule),
        annotations,
        health: known.health().into(),
        last_error: known.error.clone().unwrap_or_default(),
        state: state_name(worst.unwrap_or(State::Inactive)).into(),
        alerts: known
            .alerts
            .active()
            .map(|alert| alert_view(rule, alert))
            .collect(),
    }
}
