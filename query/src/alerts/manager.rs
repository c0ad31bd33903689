//! Runs the rule groups, keeps their state over restarts and answers questions about them.

mod metrics;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::types::{AlertView, AlertsAnswer, RuleGroupView, RuleView, RulesAnswer};
use env::Env;
use model::TimeRange;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::group::{Means, RuleStatus};
use super::notifier::{HttpSender, Notice, Notifier, NotifierOptions};
use super::rule::{Group, Rule, RuleKind, nanos};
use super::state::{Alert, State, Timing};
use super::stop::{Stop, Stopper, stop};
use super::store::{SavedRule, SavedRules, StateFile};
use super::{Evaluate, Sink};
use crate::traces::story::ActiveAlerts;

/// How alerting runs.
#[derive(Debug, Clone, Default)]
pub struct AlertsOptions {
    /// The rules.
    pub groups: Vec<Group>,
    /// Alerts that one rule may have, whatever its group allows; 0 for any number.
    pub alerts_max: usize,
    /// Who is told.
    pub notifier: NotifierOptions,
}

/// What is known of a group.
#[derive(Debug, Clone)]
struct GroupStatus {
    rules: Vec<RuleStatus>,
    evaluated_at: u64,
    took_nano: u64,
}

/// The running rules.
pub struct Manager {
    env: Env,
    groups: Vec<Group>,
    status: Mutex<Vec<GroupStatus>>,
    evaluate: Arc<dyn Evaluate>,
    sink: Arc<dyn Sink>,
    notifier: Arc<Notifier>,
    external_url: String,
    alerts_max: usize,
    file: StateFile,
    saving: tokio::sync::Mutex<()>,
    missed: AtomicU64,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    stopper: Stopper,
    stop: Stop,
}

impl Manager {
    /// Restores the state that `dir` holds. Nothing runs before [`Manager::run`].
    pub fn open(
        env: Env,
        dir: &Path,
        options: AlertsOptions,
        evaluate: Arc<dyn Evaluate>,
        sink: Arc<dyn Sink>,
    ) -> std::io::Result<Arc<Self>> {
        let file = StateFile::new(env.clone(), dir, "rules.json")?;
        let told = StateFile::new(env.clone(), dir, "notifications.json")?;
        let now = env.clock.unix_nanos();
        let saved: SavedRules = file.load()?;
        let status = options
            .groups
            .iter()
            .map(|group| restore(group, &saved, now))
            .collect();
        let external_url = options.notifier.external_url.clone();
        let notifier = Notifier::open(env.clone(), options.notifier, told)?;
        let (stopper, stop) = stop();
        Ok(Arc::new(Self {
            env,
            groups: options.groups,
            status: Mutex::new(status),
            evaluate,
            sink,
            notifier: Arc::new(notifier),
            external_url,
            alerts_max: options.alerts_max,
            file,
            saving: tokio::sync::Mutex::new(()),
            missed: AtomicU64::new(0),
            tasks: Mutex::new(Vec::new()),
            stopper,
            stop,
        }))
    }

    /// Starts one task per group and per receiver. The error says why TLS cannot be set up.
    pub fn run(self: &Arc<Self>) -> Result<(), String> {
        let mut tasks = Vec::new();
        for index in 0..self.groups.len() {
            tasks.push(tokio::spawn(
                Arc::clone(self).run_group(index, self.stop.clone()),
            ));
        }
        let receivers = self.notifier.receivers();
        if receivers > 0 {
            let sender = HttpSender::new()?;
            for receiver in 0..receivers {
                let notifier = Arc::clone(&self.notifier);
                let deliver = notifier.deliver(receiver, sender.clone(), self.stop.clone());
                tasks.push(tokio::spawn(deliver));
            }
        }
        self.tasks.lock().extend(tasks);
        Ok(())
    }

    /// Stops all tasks and saves the state. What receivers were not told yet is told after the
    /// next start.
    pub async fn shutdown(&self) {
        self.stopper.ask();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "an alerting task failed");
            }
        }
        self.save().await;
    }

    async fn run_group(self: Arc<Self>, index: usize, mut stop: Stop) {
        let group = &self.groups[index];
        let interval = nanos(group.interval).max(1);
        let mut next = group.next_evaluation(self.env.clock.unix_nanos());
        loop {
            let now = self.env.clock.unix_nanos();
            if let Some(wait) = next.checked_sub(now).filter(|wait| *wait > 0) {
                // A clock that is set back must not put evaluations off for long.
                let wait = Duration::from_nanos(wait.min(interval));
                tokio::select! {
                    () = tokio::time::sleep(wait) => continue,
                    () = stop.asked() => return,
                }
            }
            tokio::select! {
                () = self.evaluate_group(index, next) => {}
                () = stop.asked() => return,
            }
            let after = group.next_evaluation(self.env.clock.unix_nanos().max(next + 1));
            let missed = (after - next) / interval;
            if missed > 1 {
                self.missed.fetch_add(missed - 1, Ordering::Relaxed);
                tracing::warn!(group = %group.name, missed = missed - 1, "evaluations were missed");
            }
            next = after;
        }
    }

    /// Evaluates all rules of a group as of this time, saves the state and tells receivers.
    pub async fn evaluate_group(&self, index: usize, at: u64) {
        let group = &self.groups[index];
        let started = self.env.clock.monotonic_nanos();
        let means = Means {
            evaluate: &*self.evaluate,
            sink: &*self.sink,
            external_url: &self.external_url,
            alerts_max: self.alerts_max,
        };
        let mut notices = Vec::new();
        let mut has_alerts = false;
        for (number, rule) in group.rules.iter().enumerate() {
            let mut status = self.status.lock()[index].rules[number].clone();
            let had_alerts = status.alerts.all().next().is_some();
            let began = self.env.clock.monotonic_nanos();
            means.run(group, rule, at, &mut status).await;
            status.took_nano = self.env.clock.monotonic_nanos().saturating_sub(began);
            if status.error.is_none() {
                notices.extend(
                    status
                        .alerts
                        .all()
                        .filter_map(|alert| self.notice(rule, alert)),
                );
            }
            has_alerts |= had_alerts || status.alerts.all().next().is_some();
            self.status.lock()[index].rules[number] = status;
        }
        {
            let mut all = self.status.lock();
            all[index].evaluated_at = at;
            all[index].took_nano = self.env.clock.monotonic_nanos().saturating_sub(started);
        }
        // What receivers have to be told is safe before the state says that it happened.
        self.notifier.take(&notices).await;
        if has_alerts {
            self.save().await;
        }
    }

    fn notice(&self, rule: &Rule, alert: &Alert) -> Option<Notice> {
        if alert.state == State::Pending || alert.fired_at == 0 {
            return None;
        }
        let base = self.external_url.trim_end_matches('/');
        let expr: String = rule
            .expr
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    char::from(byte).to_string()
                }
                _ => format!("%{byte:02X}"),
            })
            .collect();
        Some(Notice {
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            starts_at: alert.fired_at,
            ends_at: if alert.state == State::Inactive {
                alert.resolved_at
            } else {
                0
            },
            generator_url: format!("{base}/prometheus/api/v1/query?query={expr}"),
        })
    }

    async fn save(&self) {
        let _one_at_a_time = self.saving.lock().await;
        let saved = self.saved();
        if let Err(error) = self.file.save(&saved).await {
            tracing::error!(%error, "alert state cannot be saved; a restart would forget it");
        }
    }

    fn saved(&self) -> SavedRules {
        let status = self.status.lock();
        let mut rules = Vec::new();
        for (group, known) in self.groups.iter().zip(status.iter()) {
            for (rule, known) in group.rules.iter().zip(&known.rules) {
                let alerts: Vec<Alert> = known.alerts.all().cloned().collect();
                if !alerts.is_empty() {
                    rules.push(SavedRule {
                        group: group.key(),
                        name: rule.name.clone(),
                        expr: rule.expr.clone(),
                        evaluated_at: known.evaluated_at,
                        alerts,
                    });
                }
            }
        }
        SavedRules { rules }
    }

    /// The notifier, for its counters.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// How many evaluations were missed because one before took too long.
    pub fn missed_evaluations(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// All rules and how they do.
    pub fn rules(&self) -> RulesAnswer {
        let status = self.status.lock();
        let groups = self.groups.iter().zip(status.iter());
        RulesAnswer {
            groups: groups
                .map(|(group, known)| RuleGroupView {
                    name: group.name.clone(),
                    file: group.file.clone(),
                    interval_seconds: group.interval.as_secs_f64(),
                    last_evaluation_unix_nano: known.evaluated_at,
                    evaluation_nano: known.took_nano,
                    rules: group
                        .rules
                        .iter()
                        .zip(&known.rules)
                        .map(|(rule, known)| rule_view(group, rule, known))
                        .collect(),
                })
                .collect(),
            ..RulesAnswer::default()
        }
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
            ..AlertsAnswer::default()
        }
    }

    fn each<'a>(
        &'a self,
        status: &'a [GroupStatus],
    ) -> impl Iterator<Item = (&'a Rule, &'a RuleStatus)> {
        self.groups
            .iter()
            .zip(status)
            .flat_map(|(group, known)| group.rules.iter().zip(&known.rules))
    }

    /// The limit of a group; 0 for none.
    pub(crate) fn limit(&self, group: usize) -> usize {
        self.groups[group].limit
    }

    /// Per rule of a group: when it was last evaluated, how many nanoseconds that took, and its
    /// `keep_firing_for` in seconds.
    pub(crate) fn timings(&self, group: usize) -> Vec<(u64, u64, f64)> {
        let status = self.status.lock();
        let rules = self.groups[group].rules.iter().zip(&status[group].rules);
        rules
            .map(|(rule, known)| {
                let keep = match rule.kind {
                    RuleKind::Alerting { keep_firing, .. } => keep_firing.as_secs_f64(),
                    RuleKind::Recording => 0.0,
                };
                (known.evaluated_at, known.took_nano, keep)
            })
            .collect()
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

fn restore(group: &Group, saved: &SavedRules, now: u64) -> GroupStatus {
    let key = group.key();
    let rules = group
        .rules
        .iter()
        .map(|rule| {
            let mut status = RuleStatus::default();
            let RuleKind::Alerting {
                hold, keep_firing, ..
            } = rule.kind
            else {
                return status;
            };
            let timing = Timing {
                hold,
                keep_firing,
                limit: group.limit,
            };
            let known = saved.rules.iter().filter(|known| {
                known.group == key && known.name == rule.name && known.expr == rule.expr
            });
            for known in known {
                for alert in &known.alerts {
                    status
                        .alerts
                        .restore(alert.clone(), timing, known.evaluated_at, now);
                }
            }
            status
        })
        .collect();
    GroupStatus {
        rules,
        evaluated_at: 0,
        took_nano: 0,
    }
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
        query: rule.expr.clone(),
    }
}

fn rule_view(group: &Group, rule: &Rule, known: &RuleStatus) -> RuleView {
    let (kind, hold, annotations) = match &rule.kind {
        RuleKind::Recording => ("recording", 0.0, super::Labels::new()),
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

#[cfg(test)]
mod tests;
