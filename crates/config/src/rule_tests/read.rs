//! Unit tests of rules as whoever runs them needs them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Checked, checked};
use crate::ConfigError;
use crate::load::{base_dir, load_rule_file, read_file};
use crate::rules::{RuleFile, Syntax};
use crate::section::{Context, Value};
use crate::yaml::Node;

/// How often rules are evaluated where a file does not say, or says zero.
const EVALUATION_INTERVAL: Duration = Duration::from_secs(60);

/// A file of rule tests, with the rules.
#[derive(Clone, Debug)]
pub struct RuleTests {
    /// The rules that are tested.
    pub rule_files: Vec<RuleFile>,
    /// Rule files that it names and that are not there.
    pub missing: Vec<ConfigError>,
    /// Time between evaluations of all groups.
    pub evaluation_interval: Duration,
    /// Names of groups in the order in which they are evaluated.
    pub group_eval_order: Vec<String>,
    /// Whether values that differ in their last bit are equal.
    pub fuzzy_compare: bool,
    /// The tests.
    pub tests: Vec<RuleTest>,
}

/// Series, and what is expected of expressions and alerts over them.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleTest {
    /// Name, or empty.
    pub name: String,
    /// Time between the values of input series.
    pub interval: Duration,
    /// When the first values are, in unix milliseconds.
    pub start_ms: i64,
    /// What is given.
    pub input_series: Vec<InputSeries>,
    /// What is expected of expressions.
    pub expr_tests: Vec<ExprTest>,
    /// What is expected of alerts.
    pub alert_tests: Vec<AlertTest>,
    /// Labels that templates see.
    pub external_labels: BTreeMap<String, String>,
    /// Address that templates see.
    pub external_url: String,
}

/// A series with its values.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSeries {
    /// Name and labels.
    pub series: String,
    /// Values as in `0+1x10 _ stale`.
    pub values: String,
}

/// What an expression yields at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct ExprTest {
    /// PromQL.
    pub expr: String,
    /// When, since the start.
    pub eval_time: Duration,
    /// What is expected, in any order.
    pub samples: Vec<ExpectedSample>,
}

/// A sample that is expected.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedSample {
    /// Its labels as a series is written.
    pub labels: String,
    /// Its value.
    pub value: f64,
    /// Its histogram in `{{}}`, if it has one instead.
    pub histogram: Option<String>,
}

/// Which alerts of a name fire at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertTest {
    /// Name of the alert.
    pub alertname: String,
    /// When, since the start.
    pub eval_time: Duration,
    /// What is expected, in any order.
    pub alerts: Vec<ExpectedAlert>,
}

/// An alert that is expected.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ExpectedAlert {
    /// Its labels but `alertname`.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Reads a file of rule tests and the rule files that it names; all mistakes at once.
pub fn load_rule_tests(path: &Path, syntax: &dyn Syntax) -> Result<RuleTests, Vec<ConfigError>> {
    let text = read_file(path).map_err(|error| vec![error])?;
    let Checked {
        root,
        mut errors,
        missing,
        rule_files: paths,
    } = checked(&path.to_string_lossy(), &text, base_dir(path), syntax);
    let mut rule_files = Vec::new();
    for path in paths {
        match load_rule_file(&path, syntax) {
            Ok(file) => rule_files.push(file),
            Err(more) => errors.extend(more),
        }
    }
    let Some(root) = root.filter(|_| errors.is_empty()) else {
        errors.sort();
        errors.dedup();
        return Err(errors);
    };
    let evaluation_interval = get(&root, "evaluation_interval")
        .filter(|interval: &Duration| !interval.is_zero())
        .unwrap_or(EVALUATION_INTERVAL);
    let tests = items(&root, "tests");
    Ok(RuleTests {
        rule_files,
        missing,
        evaluation_interval,
        group_eval_order: get(&root, "group_eval_order").unwrap_or_default(),
        fuzzy_compare: get(&root, "fuzzy_compare").unwrap_or_default(),
        tests: tests
            .map(|test| rule_test(test, evaluation_interval))
            .collect(),
    })
}

/// The value of a key that was checked before.
fn get<T: Value>(node: &Node, key: &str) -> Option<T> {
    let value = node.get(key).filter(|value| !value.is_null())?;
    let mut cx = Context {
        errors: &mut Vec::new(),
        base_dir: PathBuf::new(),
    };
    T::read(value, &mut cx)
}

fn items<'n>(node: &'n Node, key: &str) -> impl Iterator<Item = &'n Node> {
    node.get(key).into_iter().flat_map(Node::items)
}

fn text(node: &Node, key: &str) -> String {
    let value = node.get(key).filter(|value| !value.is_null());
    value.and_then(Node::as_text).unwrap_or_default().to_owned()
}

fn map(node: &Node, key: &str) -> BTreeMap<String, String> {
    let members = node.get(key).and_then(Node::as_map).unwrap_or_default();
    let pair = |(key, value): &(Node, Node)| {
        let value = value.as_text().filter(|_| !value.is_null());
        Some((
            key.as_text()?.to_owned(),
            value.unwrap_or_default().to_owned(),
        ))
    };
    members.iter().filter_map(pair).collect()
}

fn rule_test(node: &Node, evaluation_interval: Duration) -> RuleTest {
    let input = |node| InputSeries {
        series: text(node, "series"),
        values: text(node, "values"),
    };
    RuleTest {
        name: text(node, "name"),
        interval: get(node, "interval")
            .filter(|interval: &Duration| !interval.is_zero())
            .unwrap_or(evaluation_interval),
        start_ms: start_ms(&text(node, "start_timestamp")).unwrap_or_default(),
        input_series: items(node, "input_series").map(input).collect(),
        expr_tests: items(node, "promql_expr_test").map(expr_test).collect(),
        alert_tests: items(node, "alert_rule_test").map(alert_test).collect(),
        external_labels: map(node, "external_labels"),
        external_url: text(node, "external_url"),
    }
}

/// A number as promtool reads one in YAML: decimal, with a base after `0x`, `0o`, `0b` or octal after
/// `0`, with `_` between digits, `.inf` or `.nan`. Beside these `Inf` and `NaN` as in PromQL.
#[allow(clippy::cast_precision_loss)]
pub(super) fn number(text: &str) -> Option<f64> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = match unsigned {
        ".inf" | ".Inf" | ".INF" => f64::INFINITY,
        ".nan" | ".NaN" | ".NAN" => f64::NAN,
        _ if unsigned.starts_with(['_', '-', '+']) => return None,
        _ => {
            let digits = unsigned.replace('_', "");
            match whole(&digits) {
                Some(whole) => whole as f64,
                None => digits.parse().ok()?,
            }
        }
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// A whole number that says its base.
fn whole(digits: &str) -> Option<u64> {
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        _ => (8, digits.strip_prefix('0')?),
    };
    // A sign between base and digits would be read, too.
    let plain = digits.bytes().all(|digit| digit.is_ascii_alphanumeric());
    u64::from_str_radix(digits, radix).ok().filter(|_| plain)
}

/// Unix milliseconds of seconds with a fraction, or RFC 3339.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn start_ms(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let millis = (seconds * 1e3).round();
        return (millis.abs() < 9e15).then_some(millis as i64);
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_millisecond())
}

fn expr_test(node: &Node) -> ExprTest {
    let sample = |node| ExpectedSample {
        labels: text(node, "labels"),
        value: number(&text(node, "value")).unwrap_or_default(),
        histogram: Some(text(node, "histogram")).filter(|text| !text.is_empty()),
    };
    ExprTest {
        expr: text(node, "expr"),
        eval_time: get(node, "eval_time").unwrap_or_default(),
        samples: items(node, "exp_samples").map(sample).collect(),
    }
}

fn alert_test(node: &Node) -> AlertTest {
    let alert = |node| ExpectedAlert {
        labels: map(node, "exp_labels"),
        annotations: map(node, "exp_annotations"),
    };
    AlertTest {
        alertname: text(node, "alertname"),
        eval_time: get(node, "eval_time").unwrap_or_default(),
        alerts: items(node, "exp_alerts").map(alert).collect(),
    }
}
