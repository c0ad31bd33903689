//! Unit tests of rules: given series, what do expressions yield and which alerts fire.
//!
//! A test runs as promtool runs it. Time begins at the start of the test and goes on in steps of
//! the evaluation interval up to the last time that anything is expected at. At each step the input
//! up to that time is stored and every group is evaluated, whatever its own interval. Alerts are
//! compared at the step that their time falls into, expressions after the last step, and over what
//! was stored by then. Nothing waits: a day of evaluations takes as long as they calculate.

mod memory;
mod notation;
mod report;

use std::collections::BTreeMap;

use config::{AlertTest, ExpectedSample, ExprTest, RuleTest, RuleTests};
use promql::engine::{SampleValue, Value};
use promql::notation::{parse_histogram, parse_values};
use promql::{Labels as Series, parse_series};

use super::group::{Means, RuleStatus};
use super::rule::Group;
use super::state::State;
use super::{Account, Labels, bind};
use memory::Memory;

pub use report::{Alert, Difference, Mismatch, Sample};

const NANOS_PER_MS: u64 = 1_000_000;

/// How a test went.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Its name, or empty.
    pub test: String,
    /// Its place in the file, from 0.
    pub index: usize,
    /// What is not as it expects.
    pub differences: Vec<Difference>,
    /// Every series at its end, one a line: what was given, and what rules wrote. Empty unless wanted.
    pub series: String,
}

impl Outcome {
    /// What to call the test: its name, or its place in the file as promtool has it.
    pub fn name(&self) -> String {
        match self.test.as_str() {
            "" => format!("unnamed#{}", self.index),
            name => name.to_owned(),
        }
    }
}

/// Runs the tests of a file whose names are wanted.
pub async fn run(
    tests: &RuleTests,
    wanted: &dyn Fn(&str) -> bool,
    shows_series: bool,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (index, test) in tests.tests.iter().enumerate() {
        if wanted(&test.name) {
            outcomes.push(run_one(tests, index, test, shows_series).await);
        }
    }
    outcomes
}

async fn run_one(tests: &RuleTests, index: usize, test: &RuleTest, shows_series: bool) -> Outcome {
    let outcome = |differences, series| Outcome {
        test: test.name.clone(),
        index,
        differences,
        series,
    };
    let difference = |mismatch| Difference {
        test: test.name.clone(),
        mismatch,
    };
    let interval_ms = ms(tests.evaluation_interval).max(1);
    let memory = Memory::new(interval_ms);
    if let Err(problem) = load(&memory, test) {
        let problem = difference(Mismatch::Input(problem));
        return outcome(vec![problem], String::new());
    }
    let run = Run {
        test,
        memory,
        interval_ms,
        fuzzy: tests.fuzzy_compare,
        groups: groups(tests),
    };
    let differences = run.all().await.into_iter().map(difference).collect();
    let series = shows_series.then(|| run.memory.to_string());
    outcome(differences, series.unwrap_or_default())
}

/// The groups of all files, in the order in which they are evaluated.
fn groups(tests: &RuleTests) -> Vec<Group> {
    let files = tests.rule_files.iter().cloned();
    let mut groups: Vec<Group> = files
        .flat_map(|file| bind::groups(file, tests.evaluation_interval))
        .collect();
    let order = &tests.group_eval_order;
    let place = |group: &Group| order.iter().position(|name| *name == group.name);
    groups.sort_by_key(|group| place(group).unwrap_or(0));
    groups
}

fn ms(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn load(memory: &Memory, test: &RuleTest) -> Result<(), String> {
    let interval = ms(test.interval);
    // Of inputs with the same labels the last one stands.
    let mut inputs = BTreeMap::new();
    for input in &test.input_series {
        let labels = parse_series(&input.series).map_err(|problem| problem.to_string())?;
        let values = parse_values(&input.values).map_err(|problem| problem.to_string())?;
        inputs.insert(labels, values);
    }
    for (labels, values) in inputs {
        let mut time = test.start_ms;
        for value in values {
            if let Some(value) = value {
                memory.plan(&labels, time, value);
            }
            time = time
                .checked_add(interval)
                .ok_or_else(|| format!("{labels}: its values reach beyond all time"))?;
        }
    }
    Ok(())
}

struct Run<'a> {
    test: &'a RuleTest,
    memory: Memory,
    interval_ms: i64,
    fuzzy: bool,
    groups: Vec<Group>,
}

impl Run<'_> {
    /// Everything that is not as expected. Where a rule fails the rest is not looked at: it would
    /// follow from that.
    async fn all(&self) -> Vec<Mismatch> {
        let mut found = Vec::new();
        let mut status: Vec<Vec<RuleStatus>> = self
            .groups
            .iter()
            .map(|group| vec![RuleStatus::default(); group.rules.len()])
            .collect();
        let mut alert_tests: Vec<&AlertTest> = self.test.alert_tests.iter().collect();
        alert_tests.sort_by_key(|test| test.eval_time);
        let mut alert_tests = alert_tests.into_iter().peekable();
        let end = self.end();
        let mut since_start = 0;
        while since_start <= end {
            let now = self.test.start_ms.saturating_add(since_start);
            self.memory.advance(now);
            let failed = self.evaluate(now, &mut status).await;
            if !failed.is_empty() {
                found.extend(failed);
                return found;
            }
            let next = since_start.saturating_add(self.interval_ms);
            while let Some(test) = alert_tests.next_if(|test| ms(test.eval_time) < next) {
                found.extend(self.alerts(test, &status));
            }
            since_start = next;
        }
        for test in &self.test.expr_tests {
            found.extend(self.expression(test).await);
        }
        found
    }

    /// When the last thing is expected, in milliseconds since the start.
    fn end(&self) -> i64 {
        let exprs = self.test.expr_tests.iter().map(|test| test.eval_time);
        let alerts = self.test.alert_tests.iter().map(|test| test.eval_time);
        exprs.chain(alerts).map(ms).max().unwrap_or_default()
    }

    async fn evaluate(&self, now_ms: i64, status: &mut [Vec<RuleStatus>]) -> Vec<Mismatch> {
        let account = Account::default();
        let means = Means {
            evaluate: &self.memory,
            account: &account,
            sink: &self.memory,
            external_url: &self.test.external_url,
            external_labels: &self.test.external_labels,
            alerts_max: 0,
        };
        let mut failed = Vec::new();
        let at = u64::try_from(now_ms)
            .unwrap_or_default()
            .saturating_mul(NANOS_PER_MS);
        for (group, status) in self.groups.iter().zip(status) {
            for (rule, status) in group.rules.iter().zip(status) {
                means.run(group, rule, at, status).await;
                if let Some(error) = &status.error {
                    failed.push(Mismatch::Rule {
                        rule: rule.name.clone(),
                        since_start_ms: now_ms - self.test.start_ms,
                        error: error.clone(),
                    });
                }
            }
        }
        failed
    }

    fn alerts(&self, test: &AlertTest, status: &[Vec<RuleStatus>]) -> Option<Mismatch> {
        let rules = self.groups.iter().zip(status);
        let rules = rules.flat_map(|(group, status)| group.rules.iter().zip(status));
        let mut got: Vec<Alert> = rules
            .filter(|(rule, _)| rule.is_alert() && rule.name == test.alertname)
            .flat_map(|(_, status)| status.alerts.active())
            .filter(|alert| alert.state == State::Firing)
            .map(|alert| Alert {
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
            })
            .collect();
        let expected = test.alerts.iter().map(|alert| {
            let mut labels = alert.labels.clone();
            labels.insert("alertname".to_owned(), test.alertname.clone());
            Alert {
                labels,
                annotations: alert.annotations.clone(),
            }
        });
        let mut expected: Vec<Alert> = expected.collect();
        got.sort();
        expected.sort();
        (got != expected).then(|| Mismatch::Alerts {
            alertname: test.alertname.clone(),
            since_start_ms: ms(test.eval_time),
            expected,
            got,
        })
    }

    async fn expression(&self, test: &ExprTest) -> Option<Mismatch> {
        let since_start_ms = ms(test.eval_time);
        let error = |error: String| Mismatch::Expr {
            expr: test.expr.clone(),
            since_start_ms,
            error,
        };
        let at = self.test.start_ms.saturating_add(since_start_ms);
        let got = match self.memory.query(&test.expr, at).await {
            Ok(value) => samples(value),
            Err(problem) => return Some(error(problem)),
        };
        let expected: Result<Vec<Sample>, String> =
            test.samples.iter().map(expected_sample).collect();
        let (mut got, mut expected) = match (got, expected) {
            (Ok(got), Ok(expected)) => (got, expected),
            (Err(problem), _) | (_, Err(problem)) => return Some(error(problem)),
        };
        let order = |a: &Sample, b: &Sample| a.labels.cmp(&b.labels);
        got.sort_by(order);
        expected.sort_by(order);
        let same = got.len() == expected.len()
            && got
                .iter()
                .zip(&expected)
                .all(|(got, expected)| got.equals(expected, self.fuzzy));
        (!same).then(|| Mismatch::Samples {
            expr: test.expr.clone(),
            since_start_ms,
            expected,
            got,
        })
    }
}

fn names(series: &Series) -> Labels {
    let pairs = series.iter();
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn samples(value: Value) -> Result<Vec<Sample>, String> {
    match value {
        Value::Scalar { value, .. } => Ok(vec![Sample {
            labels: BTreeMap::new(),
            value: SampleValue::Float(value),
        }]),
        Value::Vector(vector) => {
            let sample = |sample: promql::VectorSample| Sample {
                labels: names(&sample.labels),
                value: sample.point.value,
            };
            Ok(vector.into_iter().map(sample).collect())
        }
        Value::String { .. } | Value::Matrix(_) => {
            Err("rule result is not a vector or scalar".to_owned())
        }
    }
}

fn expected_sample(expected: &ExpectedSample) -> Result<Sample, String> {
    let labels = match expected.labels.as_str() {
        "" => Labels::new(),
        text => {
            let series = parse_series(text);
            names(&series.map_err(|problem| format!("labels {text:?}: {problem}"))?)
        }
    };
    let value = match &expected.histogram {
        None => SampleValue::Float(expected.value),
        Some(text) => {
            let histogram = parse_histogram(text);
            let histogram =
                histogram.map_err(|problem| format!("histogram {text:?}: {problem}"))?;
            SampleValue::Histogram(histogram.into())
        }
    };
    Ok(Sample { labels, value })
}

#[cfg(test)]
mod tests;
