//! Binds the rules to the rest of this service: rule files as the config reads them, and
//! PromQL over its sources.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use promql::engine::{SampleValue, Value};
use promql::{Engine, Features, Limits};

use super::notifier::Webhook;
use super::rule::{Group, Rule, RuleKind};
use super::{Account, Evaluate, Labels, Sample};
use crate::exec::series::SeriesReader;
use crate::http::{Running, State};

/// How long after its deadline an evaluation may end by itself.
const GRACE: Duration = Duration::from_secs(5);

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
        expr: printed(rule.expr.text),
        labels: rule.labels,
        kind,
    }
}

/// An expression as Prometheus prints it: in one line and without comments. This is what the API shows,
/// what is evaluated and what tells a rule from others.
fn printed(text: String) -> String {
    let read = |text: &str| promql::parse_with(text, Features::Experimental);
    let printed = read(&text).map(|expr| expr.to_string());
    match printed {
        // Numbers such as 1e300 may make it longer than an expression may be.
        Ok(printed) if read(&printed).is_ok() => printed,
        _ => text,
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
        at_unix_nano: i64,
        account: &Account,
    ) -> Result<Vec<Sample>, String> {
        let running = self
            .0
            .begin_rule()
            .await
            .map_err(|error| error.to_string())?;
        let answer = self.evaluate(expr, at_unix_nano, &running).await;
        account.add(running.work().completeness());
        answer
    }

    async fn evaluate(
        &self,
        expr: &str,
        at_unix_nano: i64,
        running: &Running,
    ) -> Result<Vec<Sample>, String> {
        let engine = Engine::new(self.0.options().promql.clone());
        let query = engine.query(expr).map_err(|error| error.to_string())?;
        let options = self.0.options();
        let timeout = options.promql_timeout;
        let deadline = Instant::now() + timeout;
        let limits = Limits {
            deadline: Some(deadline),
            memory: Some(running.work().sample_memory()),
            ..options.promql_limits.clone()
        };
        let at_ms = at_unix_nano.div_euclid(1_000_000);
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
        let place = running.place();
        let left = deadline.saturating_duration_since(Instant::now());
        let evaluated = within(left + GRACE, move || {
            // One that goes on beyond its time keeps its place, so that there are never many.
            let _place = place;
            fetched.evaluate()
        });
        match evaluated.await? {
            Some(answer) => samples(answer.map_err(|error| error.to_string())?.value),
            None => {
                self.0.abandoned();
                Err(format!(
                    "the evaluation goes on after {} s; nobody waits for it any more",
                    timeout.as_secs()
                ))
            }
        }
    }
}

/// Runs work on a thread that may block; none where it takes longer than this. The work goes on.
async fn within<T: Send + 'static>(
    most: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>, String> {
    match tokio::time::timeout(most, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => Ok(Some(done)),
        Ok(Err(error)) => Err(format!("the evaluation failed: {error}")),
        Err(_) => Ok(None),
    }
}

impl Evaluate for OverSources {
    fn instant<'a>(
        &'a self,
        expr: &'a str,
        at_unix_nano: i64,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_beyond_its_time_is_not_waited_for_and_keeps_what_it_has() {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Arc::new(());
        let place = held.clone();
        let outcome = within(Duration::from_millis(5), move || {
            let _place = place;
            let _gone = released.recv();
        });
        assert_eq!(outcome.await, Ok(None));
        assert_eq!(std::sync::Arc::strong_count(&held), 2);
        drop(release);
        assert_eq!(within(Duration::from_secs(60), || 7).await, Ok(Some(7)));
        let panicked = within(Duration::from_secs(60), || panic!("it cannot"));
        let panicked: Result<Option<()>, String> = panicked.await;
        assert!(panicked.unwrap_err().contains("failed"));
    }

    #[test]
    fn expressions_are_printed_as_prometheus_does() {
        for (text, want) in [
            (
                "# of each job\nsum(rate(up{b='1',\n  a=\"2\"}[300s]))\n  by (job)  > 1e3",
                "sum by (job) (rate(up{a=\"2\",b=\"1\"}[5m])) > 1000",
            ),
            ("up[1h:]", "up[1h:]"),
            ("up{", "up{"),
        ] {
            assert_eq!(printed(text.to_owned()), want);
        }
        let long = format!("up > {}", vec!["1e300"; 1_000].join(" + "));
        assert!(promql::parse(&long).is_ok());
        assert_eq!(printed(long.clone()), long);
    }
}
