//! Runs the rule groups, keeps their state over restarts and answers questions about them.

mod metrics;
mod reload;
mod restore;
mod views;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::Completeness;
use env::Env;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::group::{Means, RuleStatus};
use super::notifier::{HttpSender, Notice, Notifier, NotifierOptions};
use super::rule::{Group, Rule, nanos};
use super::state::{RuleAlerts, State};
use super::stop::{Stop, Stopper, stop};
use super::store::{SavedRules, StateFile};
use super::supervise::guarded;
use super::template::url_query;
use super::{Account, Evaluate, Labels, Sink};
use reload::{Evaluating, Reloads};

pub use reload::Reading;
pub(crate) use views::RuleTiming;

/// How long after a panic telling a receiver begins again.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// How often it is made sure that receivers believe no alert to fire that no rule has.
const RECONCILE_EVERY: Duration = Duration::from_secs(60);

/// How alerting runs.
#[derive(Debug, Clone, Default)]
pub struct AlertsOptions {
    /// The rules.
    pub groups: Vec<Group>,
    /// Reads them anew.
    pub reading: Option<Reading>,
    /// Alerts that one rule may have, whatever its group allows; 0 for any number.
    pub alerts_max: usize,
    /// Labels that name this service, for templates and receivers.
    pub external_labels: Labels,
    /// Who is told.
    pub notifier: NotifierOptions,
}

/// A group and what is known of it.
#[derive(Debug, Clone)]
struct GroupStatus {
    group: Arc<Group>,
    /// Of each of its rules.
    rules: Vec<RuleStatus>,
    evaluated_at: u64,
    took_nano: u64,
    /// As of when it is to be evaluated next; 0 before its first evaluation.
    due: u64,
    /// What the last evaluation looked at and lacked.
    completeness: Completeness,
    counts: GroupCounts,
}

/// What is counted of a group since the start.
#[derive(Debug, Clone, Copy, Default)]
struct GroupCounts {
    /// Evaluations of the group that were due, missed ones included.
    iterations: u64,
    /// Those that were missed because one before, or an exchange of the rules, took too long.
    missed: u64,
    /// Evaluations of its rules.
    evaluations: u64,
    /// Those that failed.
    failures: u64,
}

/// The running rules.
pub struct Manager {
    env: Env,
    status: Mutex<Vec<GroupStatus>>,
    evaluate: Arc<dyn Evaluate>,
    sink: Arc<dyn Sink>,
    notifier: Arc<Notifier>,
    external_url: String,
    external_labels: Labels,
    alerts_max: usize,
    file: StateFile,
    panics: AtomicU64,
    /// When receivers and rules were last compared, on the monotonic clock.
    reconciled_at: AtomicU64,
    evaluating: tokio::sync::Mutex<Evaluating>,
    reading: Option<Reading>,
    reloads: Mutex<Reloads>,
    /// One reads the rules anew and one waits for it.
    reloading: Arc<Semaphore>,
    /// What tells receivers.
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
        let status = restore::restore(options.groups, saved, now);
        let external_url = options.notifier.external_url.clone();
        let notifier_options = NotifierOptions {
            external_labels: options.external_labels.clone(),
            ..options.notifier
        };
        let notifier = Notifier::open(env.clone(), notifier_options, told)?;
        notifier.reconcile_here(&firing(&status), now);
        let reconciled_at = AtomicU64::new(env.clock.monotonic_nanos());
        let (stopper, stop) = stop();
        Ok(Arc::new(Self {
            env,
            status: Mutex::new(status),
            evaluate,
            sink,
            notifier: Arc::new(notifier),
            external_url,
            external_labels: options.external_labels,
            alerts_max: options.alerts_max,
            file,
            panics: AtomicU64::new(0),
            reconciled_at,
            evaluating: tokio::sync::Mutex::default(),
            reading: options.reading,
            reloads: Mutex::new(Reloads::at(now)),
            reloading: Arc::new(Semaphore::new(2)),
            tasks: Mutex::new(Vec::new()),
            stopper,
            stop,
        }))
    }

    /// Starts one task per group and per receiver. The error says why TLS cannot be set up.
    pub async fn run(self: &Arc<Self>) -> Result<(), String> {
        self.begin(&mut *self.evaluating.lock().await);
        let mut tasks = Vec::new();
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
        self.evaluating.lock().await.end().await;
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "an alerting task failed");
            }
        }
        // A stop may have come between what a rule found and what is saved of it.
        self.notifier.save().await;
        self.save().await;
    }

    /// Evaluates a group until its turn ends, but for a rule whose evaluation goes on then, or until
    /// the stop. The next turn of the same group begins with what was due in this one.
    async fn run_group(self: Arc<Self>, index: usize, mut turn: Stop) {
        let (group, mut stop) = (self.group(index), self.stop.clone());
        let interval = nanos(group.interval).max(1);
        let mut next = match self.status.lock()[index].due {
            0 => group.next_evaluation(self.env.clock.unix_nanos()),
            due => due,
        };
        loop {
            self.status.lock()[index].due = next;
            let now = self.env.clock.unix_nanos();
            if next.saturating_sub(now) > interval {
                // The clock was set back: evaluations go on by what it says now.
                next = group.next_evaluation(now);
            }
            if next > now {
                // A clock that is set forward is noticed within an interval.
                let wait = Duration::from_nanos(next - now);
                tokio::select! {
                    () = tokio::time::sleep(wait) => continue,
                    () = turn.asked() => return,
                    () = stop.asked() => return,
                }
            }
            tokio::select! {
                outcome = guarded(self.evaluate_until(index, next, &turn)) => match outcome {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(panic) => self.group_panicked(index, next, &panic),
                },
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

    fn group(&self, index: usize) -> Arc<Group> {
        Arc::clone(&self.status.lock()[index].group)
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
        let mut status = self.status.lock();
        let group = &status[index].group.name;
        tracing::error!(%group, %panic, "a rule group's evaluation panicked");
        status[index].evaluated_at = at;
        for rule in &mut status[index].rules {
            rule.failed(at, format!("the group's evaluation panicked: {panic}"));
        }
    }

    /// Evaluates all rules of a group as of this time and saves the state.
    pub async fn evaluate_group(&self, index: usize, at: u64) {
        let (_stopper, turn) = stop();
        self.evaluate_until(index, at, &turn).await;
    }

    /// The same until the turn ends; false where that was before the last rule, so that the group is
    /// yet to be evaluated as of this time.
    async fn evaluate_until(&self, index: usize, at: u64, turn: &Stop) -> bool {
        let group = self.group(index);
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
        let mut has_alerts = false;
        let mut whole = true;
        for number in 0..group.rules.len() {
            if number > 0 && turn.is_asked() {
                whole = false;
                break;
            }
            has_alerts |= self
                .evaluate_rule(&means, &group, (index, number), at)
                .await;
        }
        if whole {
            let mut all = self.status.lock();
            all[index].evaluated_at = at;
            all[index].took_nano = self.env.clock.monotonic_nanos().saturating_sub(started);
            all[index].completeness = account.into_completeness();
            all[index].counts.iterations += 1;
        }
        self.reconcile().await;
        if has_alerts {
            self.save().await;
        }
        whole
    }

    /// Evaluates one rule, tells receivers of its alerts, and then stores what it yields: alerts
    /// matter most where nothing can be stored. True where the rule has or had alerts.
    async fn evaluate_rule(
        &self,
        means: &Means<'_>,
        group: &Group,
        (index, number): (usize, usize),
        at: u64,
    ) -> bool {
        let rule = &group.rules[number];
        let began = self.env.clock.monotonic_nanos();
        let mut alerts = self.status.lock()[index].rules[number].alerts.clone();
        let had_alerts = alerts.all().next().is_some();
        let evaluated = guarded(means.evaluate(group, rule, at, &mut alerts)).await;
        let series = evaluated.unwrap_or_else(|panic| Err(self.rule_panicked(group, rule, &panic)));
        let has_alerts = had_alerts || alerts.all().next().is_some();
        // A stop can come at every wait, and there is none between these two: what the rules know
        // of an end receivers are told.
        let notices = self.notices(rule, &alerts, at);
        let before = {
            let mut all = self.status.lock();
            all[index].rules[number].alerts = alerts;
            all[index].rules[number].stored().clone()
        };
        if self.notifier.note(&notices) {
            self.notifier.settle().await;
        }
        let outcome = match series {
            Ok(series) => guarded(means.store(group, at, series, &before))
                .await
                .unwrap_or_else(|panic| Err(self.rule_panicked(group, rule, &panic))),
            Err(error) => Err(error),
        };
        if let Err(error) = &outcome {
            tracing::warn!(group = %group.name, rule = %rule.name, %error, "a rule failed");
        }
        let took_nano = self.env.clock.monotonic_nanos().saturating_sub(began);
        let mut all = self.status.lock();
        all[index].counts.evaluations += 1;
        all[index].counts.failures += u64::from(outcome.is_err());
        let status = &mut all[index].rules[number];
        status.finished(at, outcome);
        status.took_nano = took_nano;
        has_alerts
    }

    fn rule_panicked(&self, group: &Group, rule: &Rule, panic: &str) -> String {
        self.panicked();
        tracing::error!(group = %group.name, rule = %rule.name, %panic, "a rule panicked");
        format!("the evaluation panicked: {panic}")
    }

    /// The alerts that fire, and those that this evaluation ended.
    fn notices(&self, rule: &Rule, alerts: &RuleAlerts, at: u64) -> Vec<Notice> {
        let base = self.external_url.trim_end_matches('/');
        let expr = url_query(&rule.expr);
        let generator_url = format!("{base}/prometheus/api/v1/query?query={expr}");
        let told = alerts.all().filter(|alert| match alert.state {
            State::Pending => false,
            State::Firing => true,
            State::Inactive => alert.resolved_at == at,
        });
        told.map(|alert| Notice {
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            starts_at: alert.fired_at,
            ends_at: match alert.state {
                State::Inactive => alert.resolved_at,
                _ => 0,
            },
            generator_url: generator_url.clone(),
        })
        .collect()
    }

    /// Ends for receivers what no rule says to fire, now and then: an alert is told for as long as
    /// a rule has it, whatever became of the evaluation that should have ended it.
    async fn reconcile(&self) {
        let (now, last) = (self.env.clock.monotonic_nanos(), &self.reconciled_at);
        let before = last.load(Ordering::Relaxed);
        if now.saturating_sub(before) >= nanos(RECONCILE_EVERY) {
            self.reconcile_now().await;
        }
    }

    async fn reconcile_now(&self) {
        let clock = &self.env.clock;
        let ended = {
            let status = self.status.lock();
            let firing = firing(&status);
            self.notifier.reconcile(&firing, clock.unix_nanos())
        };
        let now = clock.monotonic_nanos();
        self.reconciled_at.store(now, Ordering::Relaxed);
        if ended > 0 {
            tracing::warn!(
                ended,
                "receivers were not told that alerts ended; they are now"
            );
            self.notifier.settle().await;
        }
    }

    async fn save(&self) {
        if let Err(error) = self.file.save(|| restore::saved(&self.status.lock())).await {
            tracing::error!(%error, "alert state cannot be saved; a restart would forget it");
        }
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

/// The labels of every alert that fires.
fn firing(status: &[GroupStatus]) -> HashSet<&Labels> {
    let rules = status.iter().flat_map(|group| &group.rules);
    let alerts = rules.flat_map(|rule| rule.alerts.active());
    let firing = alerts.filter(|alert| alert.state == State::Firing);
    firing.map(|alert| &alert.labels).collect()
}

#[cfg(test)]
mod tests;
