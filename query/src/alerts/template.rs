//! Templates in labels and annotations: the part of Go's text/template that alerting rules
//! use, with Prometheus' variables and functions.
//!
//! A template sees `$labels`, `$value`, `$externalLabels` and `$externalURL` (also as `.Labels`
//! and so on). Execution is synchronous and bounded in output and steps; a `query` that a
//! template makes stops it, is evaluated, and the template runs again with the answer at hand,
//! so that queries need no thread of their own.

mod check;
mod exec;
mod format;
mod functions;
mod numbers;
mod parse;
mod value;

use std::collections::HashMap;

use super::rule::signed;
use super::{Account, Evaluate, Labels, Sample};
use exec::{Executor, Stop};
use promql::engine::SampleValue;
use value::Value;

pub use format::{float_e, float_g};
pub(super) use functions::url_query;

/// How many different queries one template may make.
const QUERIES_MAX: usize = 50;
/// The longest template.
const TEMPLATE_BYTES_MAX: usize = 64 * 1024;

/// What a template sees.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Labels of the sample.
    pub labels: Labels,
    /// Value of the sample.
    pub value: SampleValue,
    /// Where this service is reached.
    pub external_url: String,
    /// Labels that name this service.
    pub external_labels: Labels,
    /// When the rule is evaluated, in unix nanoseconds.
    pub at_unix_nano: u64,
}

/// Expands a template; an error stands in the text as Prometheus writes it.
pub async fn expand(text: &str, data: &Data, evaluate: &dyn Evaluate, account: &Account) -> String {
    match try_expand(text, data, evaluate, account).await {
        Ok(expanded) => expanded,
        Err(error) => format!("<error expanding template: {error}>"),
    }
}

/// Expands a template, or says why it cannot.
pub async fn try_expand(
    text: &str,
    data: &Data,
    evaluate: &dyn Evaluate,
    account: &Account,
) -> Result<String, String> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    if text.len() > TEMPLATE_BYTES_MAX {
        return Err(too_long());
    }
    let template = parse::parse(text)?;
    let mut answers: HashMap<String, Vec<Sample>> = HashMap::new();
    loop {
        let mut executor = Executor::new(&template, data, &answers);
        match executor.run() {
            Ok(()) => return Ok(executor.into_output()),
            Err(Stop::Error(error)) => return Err(error),
            Err(Stop::Query(query)) if answers.len() < QUERIES_MAX => {
                let asked = evaluate.instant(&query, signed(data.at_unix_nano), account);
                let samples = asked.await?;
                answers.insert(query, samples);
            }
            Err(Stop::Query(_)) => {
                return Err(format!(
                    "the template makes more than {QUERIES_MAX} queries"
                ));
            }
            Err(Stop::Break | Stop::Continue) => {
                return Err("break and continue need a range around them".into());
            }
        }
    }
}

/// What is wrong with a template whatever it is given: for checks before anything runs.
pub fn check(text: &str) -> Result<(), String> {
    if text.len() > TEMPLATE_BYTES_MAX {
        return Err(too_long());
    }
    check::check(&parse::parse(text)?)
}

fn too_long() -> String {
    format!("the template is longer than {TEMPLATE_BYTES_MAX} bytes")
}

fn root(data: &Data) -> Value {
    let map = |labels: &Labels| {
        let pairs = labels.iter();
        Value::Map(
            pairs
                .map(|(k, v)| (k.clone(), Value::Str(v.clone())))
                .collect(),
        )
    };
    let value = match &data.value {
        SampleValue::Float(value) => Value::Float(*value),
        SampleValue::Histogram(histogram) => Value::Str(histogram.to_string()),
    };
    Value::Map(
        [
            ("Labels".to_owned(), map(&data.labels)),
            ("ExternalLabels".to_owned(), map(&data.external_labels)),
            (
                "ExternalURL".to_owned(),
                Value::Str(data.external_url.clone()),
            ),
            ("Value".to_owned(), value),
        ]
        .into(),
    )
}

#[cfg(test)]
mod tests;
