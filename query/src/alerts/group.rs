//! Evaluates the rules of a group, in order, each seeing what the ones before it stored.

use std::collections::BTreeMap;

use promql::engine::SampleValue;

use super::rule::{Group, Rule, RuleKind};
use super::state::{RuleAlerts, State, Timing, Yielded};
use super::template::{Data, expand};
use super::{Account, Evaluate, Labels, Sample, Sink, Written};

/// Name of the series of active alerts.
const ALERTS: &str = "ALERTS";
/// Name of the series that say since when an alert is active.
const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";

/// What is known of a rule.
#[derive(Debug, Clone, Default)]
pub struct RuleStatus {
    /// Its alerts.
    pub alerts: RuleAlerts,
    /// As of when these are known: its last evaluation, or when they were restored.
    pub known_at: u64,
    /// When it was last evaluated; 0 before.
    pub evaluated_at: u64,
    /// How long that took.
    pub took_nano: u64,
    /// Why that failed.
    pub error: Option<String>,
    /// Series that the last evaluation stored, and what ends them: those that come no more are
    /// marked as stale.
    stored: Series,
}

/// Series by labels.
pub type Series = BTreeMap<Labels, SampleValue>;

impl RuleStatus {
    /// Notes that an evaluation failed. The alerts stay as they were.
    pub fn failed(&mut self, at: u64, error: String) {
        (self.known_at, self.evaluated_at) = (at, at);
        self.error = Some(error);
    }

    /// Notes how an evaluation ended: what of its series is stored now, or why not all of it went
    /// well.
    pub fn finished(&mut self, at: u64, outcome: Result<Series, String>) {
        (self.known_at, self.evaluated_at) = (at, at);
        match outcome {
            Ok(stored) => {
                self.stored = stored;
                self.error = None;
            }
            Err(error) => self.error = Some(error),
        }
    }

    /// What the last evaluation that did not fail stored, as it is given to [`Means::store`].
    pub fn stored(&self) -> &Series {
        &self.stored
    }

    /// Takes over what a rule like this one stored, so that the next evaluation ends what it does
    /// not yield.
    pub fn take_over(&mut self, stored: Series) {
        self.stored = stored;
    }

    /// What it stored, which someone else ends.
    pub fn take_stored(&mut self) -> Series {
        std::mem::take(&mut self.stored)
    }

    /// How many series the last evaluation that did not fail stored.
    pub fn series(&self) -> usize {
        self.stored.len()
    }

    /// `ok`, `err` or `unknown`.
    pub fn health(&self) -> &'static str {
        match (&self.error, self.evaluated_at) {
            (_, 0) => "unknown",
            (Some(_), _) => "err",
            (None, _) => "ok",
        }
    }
}

/// What rules are evaluated with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// Runs expressions.
    pub evaluate: &'a dyn Evaluate,
    /// What they look at.
    pub account: &'a Account,
    /// Stores results.
    pub sink: &'a dyn Sink,
    /// Where this service is reached, for templates.
    pub external_url: &'a str,
    /// Labels that name this service, for templates.
    pub external_labels: &'a Labels,
    /// Alerts that one rule may have, whatever its group allows; 0 for any number.
    pub alerts_max: usize,
}

impl Means<'_> {
    /// Evaluates one rule at this time and stores what it yields. The status says how it went.
    pub async fn run(&self, group: &Group, rule: &Rule, at: u64, status: &mut RuleStatus) {
        let outcome = match self.evaluate(group, rule, at, &mut status.alerts).await {
            Ok(series) => self.store(group, at, series, status.stored()).await,
            Err(error) => Err(error),
        };
        status.finished(at, outcome);
    }

    /// Evaluates one rule at this time: the alerts are as it says, and the series are to be
    /// stored. The alerts of a rule that fails stay as they were, unless they are too many.
    pub async fn evaluate(
        &self,
        group: &Group,
        rule: &Rule,
        at: u64,
        alerts: &mut RuleAlerts,
    ) -> Result<Series, String> {
        match &rule.kind {
            RuleKind::Recording => self.record(group, rule, at).await,
            RuleKind::Alerting { .. } => self.alert(group, rule, at, alerts).await,
        }
    }

    async fn query(&self, group: &Group, rule: &Rule, at: u64) -> Result<Vec<Sample>, String> {
        let as_of = group.as_of(at);
        self.evaluate.instant(&rule.expr, as_of, self.account).await
    }

    async fn record(&self, group: &Group, rule: &Rule, at: u64) -> Result<Series, String> {
        let samples = self.query(group, rule, at).await?;
        let added = group.labels_of(rule);
        let mut series = BTreeMap::new();
        for sample in samples {
            let mut labels = sample.labels;
            labels.extend(added.clone());
            labels.insert("__name__".into(), rule.name.clone());
            labels.retain(|_, value| !value.is_empty());
            if series.insert(labels, sample.value).is_some() {
                return Err(
                    "vector contains metrics with the same labelset after applying rule labels"
                        .into(),
                );
            }
        }
        if group.limit > 0 && series.len() > group.limit {
            return Err(format!(
                "exceeded limit of {} with {} series",
                group.limit,
                series.len()
            ));
        }
        Ok(series)
    }

    async fn alert(
        &self,
        group: &Group,
        rule: &Rule,
        at: u64,
        alerts: &mut RuleAlerts,
    ) -> Result<Series, String> {
        let RuleKind::Alerting {
            hold,
            keep_firing,
            annotations,
        } = &rule.kind
        else {
            return Ok(BTreeMap::new());
        };
        let samples = self.query(group, rule, at).await?;
        let templates = group.labels_of(rule);
        let mut yielded = Vec::with_capacity(samples.len());
        for sample in samples {
            let data = Data {
                labels: sample.labels.clone(),
                value: sample.value.clone(),
                external_url: self.external_url.to_owned(),
                external_labels: self.external_labels.clone(),
                at_unix_nano: at,
            };
            let mut labels = sample.labels;
            labels.remove("__name__");
            labels.extend(self.expand_all(&templates, &data).await);
            labels.insert("alertname".into(), rule.name.clone());
            labels.retain(|_, value| !value.is_empty());
            let annotations = self.expand_all(annotations, &data).await;
            yielded.push(Yielded {
                labels,
                annotations,
                value: sample.value.number(),
            });
        }
        let timing = Timing {
            hold: *hold,
            keep_firing: *keep_firing,
            limit: self.limit(group),
        };
        alerts.evaluate(yielded, at, timing)?;
        Ok(alert_series(alerts))
    }

    /// How many alerts a rule of this group may have; 0 for any number.
    fn limit(&self, group: &Group) -> usize {
        match (group.limit, self.alerts_max) {
            (0, most) | (most, 0) => most,
            (own, most) => own.min(most),
        }
    }

    async fn expand_all(&self, templates: &Labels, data: &Data) -> Labels {
        let mut expanded = Labels::new();
        for (name, template) in templates {
            let text = expand(template, data, self.evaluate, self.account).await;
            expanded.insert(name.clone(), text);
        }
        expanded
    }

    /// Stores what the evaluation at this time yielded, and the ends of the series of `before`
    /// that it did not yield. What it gives is the `before` of the next time.
    pub async fn store(
        &self,
        group: &Group,
        at: u64,
        series: Series,
        before: &Series,
    ) -> Result<Series, String> {
        // What is known as of a time is stored as of it, as Prometheus does.
        let unix_nano = group.as_of(at);
        let gone = before
            .iter()
            .filter(|(labels, _)| !series.contains_key(*labels));
        let mut written: Vec<Written> = gone
            .map(|(labels, last)| Written {
                labels: labels.clone(),
                value: last.clone(),
                unix_nano,
            })
            .collect();
        written.extend(series.iter().map(|(labels, value)| Written {
            labels: labels.clone(),
            value: value.clone(),
            unix_nano,
        }));
        if !written.is_empty() {
            self.sink.write(written).await?;
        }
        let markers = series.into_iter();
        Ok(markers
            .map(|(labels, value)| (labels, value.stale_marker()))
            .collect())
    }
}

/// `ALERTS` and `ALERTS_FOR_STATE` of the active alerts.
#[allow(clippy::cast_precision_loss)]
fn alert_series(alerts: &RuleAlerts) -> Series {
    let mut series = BTreeMap::new();
    for alert in alerts.active() {
        let mut labels = alert.labels.clone();
        labels.insert("__name__".into(), ALERTS_FOR_STATE.into());
        let since = (alert.active_at / 1_000_000_000) as f64;
        series.insert(labels.clone(), SampleValue::Float(since));
        let state = if alert.state == State::Firing {
            "firing"
        } else {
            "pending"
        };
        labels.insert("__name__".into(), ALERTS.into());
        labels.insert("alertstate".into(), state.into());
        series.insert(labels, SampleValue::Float(1.0));
    }
    series
}
