//! Binds the rules to the rest of this service: rule files as the config reads them, and
//! PromQL over its sources.

use std::time::Duration;

use futures::future::BoxFuture;
use promql::engine::{SampleValue, Value};
use promql::{Engine, Limits};

use super::notifier::Webhook;
use super::rule::{Group, Rule, RuleKind};
use super::{Account, Evaluate, Labels, Sample};
use crate::exec::series::SeriesReader;
use crate::http::{Running, State};

/// The groups of a rule file. `interval` stands in where a group says none.
pub fn groups(file: config::RuleFile, interval: Duration) -> Vec<Group> {
    let name = file.file;
    let group = |group: config::RuleGroup| Group {
        name: group.name,
        file: name.clone(),
        interval: group.interval.unwrap_or(interval),
        limit: group.limit,
        query_offset: group.query_offset.unwrap_or_default(),
        labels: group.labels,
        rules: group.rules.into_iter().map(rule).collect(),
    };
    file.groups.into_iter().map(group).collect()
}

fn rule(rule: config::Rule) -> Rule {
    let (name, kind) = match rule.kind {
        config::RuleKind::Record { name } => (name, RuleKind::Recording),
        config::RuleKind::Alert {
            name,
            r#for,
            keep_firing_for,
            annotations,
        } => (
            name,
            RuleKind::Alerting {
                hold: r#for,
                keep_firing: keep_firing_for,
                annotations,
            },
        ),
    };
    Rule {
        name,
        expr: rule.expr.text,
        labels: rule.labels,
        kind,
    }
}

/// A receiver as the config names it.
pub fn webhook(url: &str, send_resolved: bool, timeout: Duration) -> Webhook {
    Webhook {
        url: url.to_owned(),
        send_resolved,
        timeout,
    }
}

/// PromQL over the sources of this service, under the limits of its queries.
#[derive(Clone)]
pub struct OverSources(pub State);

impl OverSources {
    async fn answer(
        &self,
        expr: &str,
        at_unix_nano: u64,
        account: &Account,
    ) -> Result<Vec<Sample>, String> {
        let running = self.0.begin().await.map_err(|error| error.to_string())?;
        let answer = self.evaluate(expr, at_unix_nano, &running).await;
        account.add(running.work().completeness());
        answer
    }

    async fn evaluate(
        &self,
        expr: &str,
        at_unix_nano: u64,
        running: &Running,
    ) -> Result<Vec<Sample>, String> {
        let engine = Engine::new(self.0.options().promql.clone());
        let query = engine.query(expr).map_err(|error| error.to_string())?;
        let options = self.0.options();
        let timeout = Duration::from_millis(options.limits.timeout_ms);
        let limits = Limits {
            deadline: Some(std::time::Instant::now() + timeout),
            memory: Some(running.work().sample_memory()),
            ..options.promql_limits.clone()
        };
        let at_ms = i64::try_from(at_unix_nano / 1_000_000).unwrap_or(i64::MAX);
        let plan = engine
            .prepare_instant(&query, at_ms, limits)
            .map_err(|error| error.to_string())?;
        let reader = SeriesReader(running.context());
        let fetched = tokio::time::timeout(timeout, plan.fetch(&reader))
            .await
            .map_err(|_| format!("the expression took longer than {} s", timeout.as_secs()))?
            .map_err(|error| error.to_string())?;
        // An answer that lacks data would raise or resolve alerts by mistake.
        if let Some(cut) = running.work().completeness().cut.first() {
            return Err(format!(
                "the data is incomplete: {} {} ({})",
                cut.limit, cut.value, cut.hint
            ));
        }
        let evaluated = tokio::task::spawn_blocking(move || fetched.evaluate()).await;
        let answer = evaluated
            .map_err(|error| format!("the evaluation failed: {error}"))?
            .map_err(|error| error.to_string())?;
        samples(answer.value)
    }
}

impl Evaluate for OverSources {
    fn instant<'a>(
        &'a self,
        expr: &'a str,
        at_unix_nano: u64,
        account: &'a Account,
    ) -> BoxFuture<'a, Result<Vec<Sample>, String>> {
        Box::pin(self.answer(expr, at_unix_nano, account))
    }
}

/// The samples of an instant query's answer.
pub(super) fn samples(value: Value) -> Result<Vec<Sample>, String> {
    match value {
        Value::Scalar { value, .. } => Ok(vec![Sample {
            labels: Labels::new(),
            value: SampleValue::Float(value),
        }]),
        Value::Vector(vector) => {
            let sample = |sample: promql::VectorSample| {
                let labels = sample.labels.iter();
                Sample {
                    labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
                    value: sample.point.value,
                }
            };
            Ok(vector.into_iter().map(sample).collect())
        }
        Value::String { .. } | Value::Matrix(_) => {
            Err("the expression yields neither a vector nor a number".into())
        }
    }
}
