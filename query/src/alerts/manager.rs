//! Runs the rule groups, keeps their state over restarts and answers questions about them.

mod metrics;
mod restore;
mod views;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::Completeness;
use env::Env;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::group::{Means, RuleStatus};
use super::notifier::{HttpSender, Notice, Notifier, NotifierOptions};
use super::rule::{Group, Rule, nanos};
use super::state::{Alert, State};
use super::stop::{Stop, Stopper, stop};
use super::store::{SavedRule, SavedRules, StateFile};
use super::supervise::guarded;
use super::{Account, Evaluate, Labels, Sink};
use restore::{Restored, equals_before};

pub(crate) use views::RuleTiming;

/// How long after a panic telling a receiver begins again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// How alerting runs.
#[derive(Debug, Clone, Default)]
pub struct AlertsOptions {
    /// The rules.
    pub groups: Vec<Group>,
    /// Alerts that one rule may have, whatever its group allows; 0 for any number.
    pub alerts_max: usize,
    /// Labels that name this service, for templates and receivers.
    pub external_labels: Labels,
    /// Who is told.
    pub notifier: NotifierOptions,
}

/// What is known of a group.
#[derive(Debug, Clone)]
struct GroupStatus {
    rules: Vec<RuleStatus>,
    evaluated_at: u64,
    took_nano: u64,
    /// What the last evaluation looked at and lacked.
    completeness: Completeness,
    counts: GroupCounts,
}

/// What is counted of a group since the start.
#[derive(Debug, Clone, Copy, Default)]
struct GroupCounts {
    /// Evaluations of the group that were due, missed ones included.
    iterations: u64,
    /// Those that were missed because one before took too long.
    missed: u64,
    /// Evaluations of its rules.
    evaluations: u64,
    /// Those that failed.
    failures: u64,
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
    external_labels: Labels,
    alerts_max: usize,
    file: StateFile,
    saving: tokio::sync::Mutex<()>,
    panics: AtomicU64,
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
        let Restored { status, orphans } = restore::restore(&options.groups, saved, now);
        let external_url = options.notifier.external_url.clone();
        let notifier_options = NotifierOptions {
            external_labels: options.external_labels.clone(),
            ..options.notifier
        };
        let notifier = Notifier::open(env.clone(), notifier_options, told)?;
        notifier.end(&orphans, now);
        let (stopper, stop) = stop();
        Ok(Arc::new(Self {
            env,
            groups: options.groups,
            status: Mutex::new(status),
            evaluate,
            sink,
            notifier: Arc::new(notifier),
            external_url,
            external_labels: options.external_labels,
            alerts_max: options.alerts_max,
            file,
            saving: tokio::sync::Mutex::new(()),
            panics: AtomicU64::new(0),
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
                let manager = Arc::clone(self);
                tasks.push(tokio::spawn(manager.run_receiver(receiver, sender.clone())));
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
                outcome = guarded(self.evaluate_group(index, next)) => {
                    if let Err(panic) = outcome {
                        self.group_panicked(index, next, &panic);
                    }
                }
                () = stop.asked() => return,
            }
            let after = group.next_evaluation(self.env.clock.unix_nanos().max(next + 1));
            let missed = (after - next) / interval;
            if missed > 1 {
                self.missed(index, missed - 1);
                tracing::warn!(group = %group.name, missed = missed - 1, "evaluations were missed");
            }
            next = after;
        }
    }

    /// Tells one receiver until the stop; begins again where that panics.
    async fn run_receiver(self: Arc<Self>, receiver: usize, sender: HttpSender) {
        let mut stop = self.stop.clone();
        loop {
            let notifier = Arc::clone(&self.notifier);
            let deliver = notifier.deliver(receiver, sender.clone(), self.stop.clone());
            let Err(panic) = guarded(deliver).await else {
                return;
            };
            self.panicked();
            tracing::error!(receiver, %panic, "telling a webhook panicked; it begins again");
            tokio::select! {
                () = tokio::time::sleep(RESTART_AFTER) => {}
                () = stop.asked() => return,
            }
        }
    }

    fn missed(&self, index: usize, evaluations: u64) {
        let counts = &mut self.status.lock()[index].counts;
        counts.iterations += evaluations;
        counts.missed += evaluations;
    }

    fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a group could not be evaluated to its end: every rule of it says so until its
    /// next evaluation.
    fn group_panicked(&self, index: usize, at: u64, panic: &str) {
        self.panicked();
        let group = &self.groups[index].name;
        tracing::error!(%group, %panic, "a rule group's evaluation panicked");
        let mut status = self.status.lock();
        status[index].evaluated_at = at;
        for rule in &mut status[index].rules {
            rule.failed(at, format!("the group's evaluation panicked: {panic}"));
        }
    }

    /// Evaluates all rules of a group as of this time, saves the state and tells receivers.
    pub async fn evaluate_group(&self, index: usize, at: u64) {
        let group = &self.groups[index];
        let started = self.env.clock.monotonic_nanos();
        let account = Account::default();
        let means = Means {
            evaluate: &*self.evaluate,
            account: &account,
            sink: &*self.sink,
            external_url: &self.external_url,
            external_labels: &self.external_labels,
            alerts_max: self.alerts_max,
        };
        let mut notices = Vec::new();
        let mut has_alerts = false;
        for (number, rule) in group.rules.iter().enumerate() {
            let mut status = self.status.lock()[index].rules[number].clone();
            let had_alerts = status.alerts.all().next().is_some();
            let began = self.env.clock.monotonic_nanos();
            if let Err(panic) = guarded(means.run(group, rule, at, &mut status)).await {
                self.panicked();
                tracing::error!(group = %group.name, rule = %rule.name, %panic, "a rule panicked");
                status.failed(at, format!("the evaluation panicked: {panic}"));
            }
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
            let mut all = self.status.lock();
            all[index].counts.evaluations += 1;
            all[index].counts.failures += u64::from(status.error.is_some());
            all[index].rules[number] = status;
        }
        {
            let mut all = self.status.lock();
            all[index].evaluated_at = at;
            all[index].took_nano = self.env.clock.monotonic_nanos().saturating_sub(started);
            all[index].completeness = account.into_completeness();
            all[index].counts.iterations += 1;
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

    /// How often an evaluation or a notification panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// How many evaluations were missed because one before took too long.
    pub fn missed_evaluations(&self) -> u64 {
        let status = self.status.lock();
        status.iter().map(|group| group.counts.missed).sum()
    }
}

#[cfg(test)]
mod tests;
