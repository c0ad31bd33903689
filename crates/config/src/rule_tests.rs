//! Unit tests of rules in promtool's format: their shape, durations, names, expressions, series and
//! values, and the rule files that they are for. Whether the tests pass is for whoever runs them.

mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::ConfigError;
use crate::load::{expand, load_rule_file};
use crate::rules::{Expr, ExprError, Syntax};
use crate::section::{Context, Value, refuse_unknown};
use crate::values::PathPattern;
use crate::yaml::{self, Content, Node};

/// One kind of map in the file: its keys, and those that must be there.
struct Shape {
    what: &'static str,
    keys: &'static [&'static str],
    required: &'static [&'static str],
}

const FILE: Shape = Shape {
    what: "a map with `rule_files` and `tests`",
    keys: &[
        "rule_files",
        "evaluation_interval",
        "group_eval_order",
        "tests",
        "fuzzy_compare",
    ],
    required: &[],
};
const GROUP: Shape = Shape {
    what: "a test with `input_series` and what is expected",
    keys: &[
        "name",
        "interval",
        "input_series",
        "promql_expr_test",
        "alert_rule_test",
        "external_labels",
        "external_url",
        "start_timestamp",
    ],
    required: &[],
};
const SERIES: Shape = Shape {
    what: "a series with `series` and `values`",
    keys: &["series", "values"],
    required: &["series", "values"],
};
const EXPR_TEST: Shape = Shape {
    what: "an expression with `expr` and `exp_samples`",
    keys: &["expr", "eval_time", "exp_samples"],
    required: &["expr"],
};
const SAMPLE: Shape = Shape {
    what: "a sample with `labels` and `value` or `histogram`",
    keys: &["labels", "value", "histogram"],
    required: &[],
};
const ALERT_TEST: Shape = Shape {
    what: "an alert with `alertname` and `exp_alerts`",
    keys: &["alertname", "eval_time", "exp_alerts"],
    required: &["alertname"],
};
const ALERT: Shape = Shape {
    what: "an alert with `exp_labels` and `exp_annotations`",
    keys: &["exp_labels", "exp_annotations"],
    required: &[],
};

/// Everything that is wrong with a file of rule tests and with the rule files that it names, whose
/// names begin at `base_dir`.
pub(crate) fn check_rule_tests(
    file: &str,
    text: &str,
    base_dir: PathBuf,
    syntax: &dyn Syntax,
) -> Vec<ConfigError> {
    let Checked {
        mut errors,
        missing,
        rule_files,
        ..
    } = checked(file, text, base_dir, syntax);
    errors.extend(missing);
    errors.sort();
    errors.dedup();
    for path in rule_files {
        errors.extend(load_rule_file(&path, syntax).err().unwrap_or_default());
    }
    errors
}

/// What a look at a file of rule tests shows.
struct Checked {
    /// The file, where it is YAML at all.
    root: Option<Node>,
    /// What is wrong with it.
    errors: Vec<ConfigError>,
    /// Rule files that it names and that are not there.
    missing: Vec<ConfigError>,
    /// Those that are.
    rule_files: BTreeSet<PathBuf>,
}

fn checked(file: &str, text: &str, base_dir: PathBuf, syntax: &dyn Syntax) -> Checked {
    let mut errors = Vec::new();
    let mut missing = Vec::new();
    let root = yaml::parse(file, text, &mut errors);
    let mut rule_files = BTreeSet::new();
    if let Some(root) = &root {
        let mut checker = Checker {
            cx: Context {
                errors: &mut errors,
                base_dir,
            },
            missing: &mut missing,
            source: text.chars().collect(),
            syntax,
        };
        rule_files = checker.file(root);
    }
    Checked {
        root,
        errors,
        missing,
        rule_files,
    }
}

struct Checker<'a> {
    cx: Context<'a>,
    missing: &'a mut Vec<ConfigError>,
    /// The file by character, as the positions count.
    source: Vec<char>,
    syntax: &'a dyn Syntax,
}

impl Checker<'_> {
    fn file(&mut self, root: &Node) -> BTreeSet<PathBuf> {
        let mut rule_files = BTreeSet::new();
        // An empty file has no tests, and none of them fails.
        if root.is_null() || !self.has_shape(root, &FILE) {
            return rule_files;
        }
        self.value::<Duration>(root, "evaluation_interval");
        self.order(root);
        self.value::<bool>(root, "fuzzy_compare");
        let patterns = self.value::<Vec<PathPattern>>(root, "rule_files");
        for pattern in patterns.unwrap_or_default() {
            expand(&pattern, &mut rule_files, self.missing);
        }
        for group in self.list(root, "tests", &GROUP) {
            self.group(group);
        }
        rule_files
    }

    /// The names of groups in the order in which they are evaluated, each once.
    fn order(&mut self, root: &Node) {
        let names = self.value::<Vec<String>>(root, "group_eval_order");
        let nodes = root.get("group_eval_order").map_or(&[][..], Node::items);
        let mut seen = BTreeSet::new();
        for (name, node) in names.unwrap_or_default().into_iter().zip(nodes) {
            if seen.contains(&name) {
                let message = format!("group name repeated in evaluation order: {name}");
                self.cx.error(node, message, None);
            }
            seen.insert(name);
        }
    }

    fn group(&mut self, group: &Node) {
        self.value::<Duration>(group, "interval");
        self.value::<String>(group, "name");
        self.value::<String>(group, "external_url");
        if let Some(start) = group
            .get("start_timestamp")
            .filter(|start| !start.is_null())
            && start.as_text().and_then(read::start_ms).is_none()
        {
            self.cx.expected(
                start,
                "unix seconds or a time as in 2026-11-21T10:00:00Z",
                None,
            );
        }
        self.value::<BTreeMap<String, String>>(group, "external_labels");
        for series in self.list(group, "input_series", &SERIES) {
            self.series(series, "series");
            self.values(series);
        }
        for test in self.list(group, "promql_expr_test", &EXPR_TEST) {
            self.value::<Duration>(test, "eval_time");
            self.expr(test, "expr");
            for sample in self.list(test, "exp_samples", &SAMPLE) {
                self.sample(sample);
            }
        }
        for test in self.list(group, "alert_rule_test", &ALERT_TEST) {
            self.value::<Duration>(test, "eval_time");
            self.value::<String>(test, "alertname");
            for alert in self.list(test, "exp_alerts", &ALERT) {
                for key in ["exp_labels", "exp_annotations"] {
                    if alert
                        .get(key)
                        .is_some_and(|map| !map.is_null() && map.as_map().is_none())
                    {
                        let map = alert.get(key).unwrap_or(alert);
                        self.cx.expected(map, "a map of text to text", None);
                    }
                }
            }
        }
    }

    fn sample(&mut self, sample: &Node) {
        // Without labels it is a scalar or a series without any.
        if sample
            .get("labels")
            .and_then(Node::as_text)
            .is_some_and(|text| !text.is_empty())
        {
            self.series(sample, "labels");
        }
        if let Some(value) = sample.get("value").filter(|value| !value.is_null())
            && value.as_text().and_then(read::number).is_none()
        {
            self.cx.expected(value, "a number", None);
        }
    }

    /// Whether a node is a map; complains about keys that it should not have, or should.
    fn has_shape(&mut self, node: &Node, shape: &Shape) -> bool {
        if node.as_map().is_none() {
            self.cx.expected(node, shape.what, None);
            return false;
        }
        refuse_unknown(node, shape.keys, &mut self.cx);
        for key in shape.required {
            if node.get(key).is_none_or(Node::is_null) {
                self.cx.error(node, format!("`{key}` is missing"), None);
            }
        }
        true
    }

    /// The elements of a list under a key that have the shape.
    fn list<'n>(&mut self, node: &'n Node, key: &str, shape: &Shape) -> Vec<&'n Node> {
        let Some(list) = node.get(key).filter(|list| !list.is_null()) else {
            return Vec::new();
        };
        let Content::List(items) = &list.content else {
            self.cx.expected(list, "a list", None);
            return Vec::new();
        };
        items
            .iter()
            .filter(|item| self.has_shape(item, shape))
            .collect()
    }

    /// The value of an optional key.
    fn value<T: Value>(&mut self, node: &Node, key: &str) -> Option<T> {
        let value = node.get(key).filter(|value| !value.is_null())?;
        T::read(value, &mut self.cx)
    }

    /// Checks the expression under a key.
    fn expr(&mut self, node: &Node, key: &str) {
        let syntax = self.syntax;
        self.promql(node, key, "expression", &|text| syntax.expr(text));
    }

    /// Checks the name and labels of a series under a key.
    fn series(&mut self, node: &Node, key: &str) {
        let syntax = self.syntax;
        self.promql(node, key, "series", &|text| syntax.series(text));
    }

    fn promql(
        &mut self,
        node: &Node,
        key: &str,
        what: &str,
        check: &dyn Fn(&str) -> Result<(), ExprError>,
    ) {
        let Some(value) = node.get(key).filter(|value| !value.is_null()) else {
            return;
        };
        let Some(text) = value.as_text() else {
            return self.cx.expected(value, &format!("a PromQL {what}"), None);
        };
        if let Err(error) = check(text) {
            let message = format!("invalid {what}: {}", error.message);
            self.within(value, error.start, message);
        }
    }

    /// Checks the notation of a series' values.
    fn values(&mut self, series: &Node) {
        let Some(value) = series.get("values").filter(|value| !value.is_null()) else {
            return;
        };
        let Some(text) = value.as_text() else {
            return self
                .cx
                .expected(value, "values as in `0+1x10 _ stale`", None);
        };
        for (start, item) in items(text) {
            if !is_item(item) {
                let message = format!(
                    "`{item}` is no value: write a number, `_`, `stale`, a histogram in {{{{}}}}, \
                     or several as in `1x5` and `0+10x5`"
                );
                self.within(value, start, message);
            }
        }
    }

    /// An error at a byte offset into the text of a node.
    fn within(&mut self, node: &Node, offset: usize, message: String) {
        let Content::Scalar { text, style } = &node.content else {
            return self.cx.error(node, message, None);
        };
        let (line, column) = Expr::new(text, *style, node, &self.source).position(offset);
        self.cx.errors.push(ConfigError {
            line,
            column,
            ..node.error(message, None)
        });
    }
}

/// The items of a series' values with their byte offsets: white space is between them, but also
/// within the braces of a histogram.
fn items(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut start = None;
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c.is_whitespace() && depth == 0 {
            found.extend(start.take().map(|start| (start, &text[start..at])));
        } else if start.is_none() {
            start = Some(at);
        }
    }
    found.extend(start.map(|start| (start, &text[start..])));
    found
}

/// `_`, `stale`, a number or histogram; `AxN`, `A+BxN` and `A-BxN` with N repetitions.
fn is_item(item: &str) -> bool {
    if item == "_" || item == "stale" || is_value(item) {
        return true;
    }
    let Some((series, times)) = item.rsplit_once('x') else {
        return false;
    };
    if times.is_empty() || !times.bytes().all(|digit| digit.is_ascii_digit()) {
        return false;
    }
    let is_sum = |(at, sign): (usize, char)| {
        matches!(sign, '+' | '-') && is_value(&series[..at]) && is_value(&series[at + 1..])
    };
    series == "_" || is_value(series) || series.char_indices().any(is_sum)
}

fn is_value(text: &str) -> bool {
    let histogram = text
        .strip_prefix("{{")
        .and_then(|rest| rest.strip_suffix("}}"));
    match histogram {
        Some(inside) => !inside.contains(['{', '}']),
        None => number(text).is_some(),
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

pub use read::{
    AlertTest, ExpectedAlert, ExpectedSample, ExprTest, InputSeries, RuleTest, RuleTests,
    load_rule_tests,
};

#[cfg(test)]
mod tests;
