//! What was expected, what there was instead, and how that is said.

use std::fmt::{self, Display, Formatter, Write};

use promql::engine::SampleValue;
use promql::format::{duration, quote};

use super::super::Labels;
use super::notation;

/// Something that is not as a test expects it.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Name of the test, or empty.
    pub test: String,
    /// What.
    pub mismatch: Mismatch,
}

/// What is not as expected.
#[derive(Debug, Clone, PartialEq)]
pub enum Mismatch {
    /// The input does not read.
    Input(String),
    /// A rule failed.
    Rule {
        /// Its name.
        rule: String,
        /// When.
        since_start_ms: i64,
        /// Why.
        error: String,
    },
    /// An expression failed.
    Expr {
        /// The expression.
        expr: String,
        /// When.
        since_start_ms: i64,
        /// Why.
        error: String,
    },
    /// An expression yields other samples.
    Samples {
        /// The expression.
        expr: String,
        /// When.
        since_start_ms: i64,
        /// What it should yield, by labels.
        expected: Vec<Sample>,
        /// What it does.
        got: Vec<Sample>,
    },
    /// Other alerts fire.
    Alerts {
        /// Their name.
        alertname: String,
        /// When.
        since_start_ms: i64,
        /// Which should fire.
        expected: Vec<Alert>,
        /// Which do.
        got: Vec<Alert>,
    },
}

/// A series' value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: Labels,
    /// Its value.
    pub value: SampleValue,
}

/// A firing alert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alert {
    /// All its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
}

impl Sample {
    /// Whether this is the sample that is expected, with the hint of a histogram. Not-a-number is
    /// itself; a fuzzy comparison takes neighbouring numbers as equal.
    pub(super) fn equals(&self, expected: &Self, fuzzy: bool) -> bool {
        self.labels == expected.labels
            && match (&self.value, &expected.value) {
                (SampleValue::Float(a), SampleValue::Float(b)) => {
                    #[allow(clippy::float_cmp, reason = "a test says exactly what it expects")]
                    let same = a == b || a.is_nan() && b.is_nan();
                    same || fuzzy && (a.next_up() == *b || a.next_down() == *b)
                }
                (SampleValue::Histogram(a), SampleValue::Histogram(b)) => {
                    notation::histogram(a) == notation::histogram(b)
                }
                _ => false,
            }
    }
}

/// Labels as `{a="b", c="d"}`.
struct Braced<'a>(&'a Labels);

impl Display for Braced<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let pairs = self.0.iter();
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={}", quote(value)))
            .collect();
        write!(f, "{{{}}}", pairs.join(", "))
    }
}

/// A number with an exponent, as in `1.5E+00`.
fn exponential(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{value:E}");
    let (digits, exponent) = text.split_once('E').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}E{sign}{exponent:0>2}")
}

impl Display for Sample {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", Braced(&self.labels))?;
        match &self.value {
            SampleValue::Float(value) => f.write_str(&exponential(*value)),
            SampleValue::Histogram(histogram) => f.write_str(&notation::histogram(histogram)),
        }
    }
}

impl Display for Alert {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (labels, annotations) = (Braced(&self.labels), Braced(&self.annotations));
        write!(f, "Labels:{labels}\nAnnotations:{annotations}")
    }
}

fn listed(samples: &[Sample]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    let texts: Vec<String> = samples.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// A numbered list over several lines.
fn numbered(alerts: &[Alert], indent: &str) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let mut text = "[".to_owned();
    for (number, alert) in alerts.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        // Writing to a text cannot fail.
        let _ = write!(text, "{comma}\n{indent}{number}:");
        for line in alert.to_string().lines() {
            let _ = write!(text, "\n{indent}  {line}");
        }
    }
    let _ = write!(text, "\n{indent}]");
    text
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.test.is_empty() {
            writeln!(f, "    name: {},", self.test)?;
        }
        let time = |ms: i64| duration(ms);
        match &self.mismatch {
            Mismatch::Input(problem) => write!(f, "    {problem}"),
            Mismatch::Rule {
                rule,
                since_start_ms,
                error,
            } => write!(
                f,
                "    rule: {rule}, time: {}, err: {error}",
                time(*since_start_ms)
            ),
            Mismatch::Expr {
                expr,
                since_start_ms,
                error,
            } => {
                let (expr, time) = (quote(expr), time(*since_start_ms));
                write!(f, "    expr: {expr}, time: {time}, err: {error}")
            }
            Mismatch::Samples {
                expr,
                since_start_ms,
                expected,
                got,
            } => {
                let (expr, time) = (quote(expr), time(*since_start_ms));
                let (expected, got) = (listed(expected), listed(got));
                write!(
                    f,
                    "    expr: {expr}, time: {time},\n        exp: {expected}\n        got: {got}"
                )
            }
            Mismatch::Alerts {
                alertname,
                since_start_ms,
                expected,
                got,
            } => {
                const INDENT: &str = "            ";
                let time = time(*since_start_ms);
                let (expected, got) = (numbered(expected, INDENT), numbered(got, INDENT));
                write!(
                    f,
                    "    alertname: {alertname}, time: {time}, \n        exp:{expected}, \n        got:{got}"
                )
            }
        }
    }
}

impl Difference {
    /// The same as lines that begin with `-` for what is expected and missing, `+` for what is there
    /// instead, and a blank for what is as it should be.
    pub fn diff(&self) -> String {
        let (head, expected, got) = match &self.mismatch {
            Mismatch::Samples {
                expr,
                since_start_ms,
                expected,
                got,
            } => (
                format!("expr: {}, time: {}", quote(expr), duration(*since_start_ms)),
                expected.iter().map(ToString::to_string).collect(),
                got.iter().map(ToString::to_string).collect(),
            ),
            Mismatch::Alerts {
                alertname,
                since_start_ms,
                expected,
                got,
            } => (
                format!(
                    "alertname: {alertname}, time: {}",
                    duration(*since_start_ms)
                ),
                lines(expected),
                lines(got),
            ),
            _ => return self.to_string(),
        };
        let mut text = String::new();
        if !self.test.is_empty() {
            let _ = writeln!(text, "    name: {}", self.test);
        }
        let _ = write!(text, "    {head}");
        for (mark, line) in merged(&expected, &got) {
            let _ = write!(text, "\n      {mark} {line}");
        }
        text
    }
}

fn lines(alerts: &[Alert]) -> Vec<String> {
    let texts = alerts.iter().map(ToString::to_string);
    texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Two lists with what they share once: by their longest common subsequence.
fn merged<'a>(expected: &'a [String], got: &'a [String]) -> Vec<(char, &'a str)> {
    /// Beyond this many pairs of lines, lists are put one after the other.
    const PAIRS_MAX: usize = 1 << 20;
    let (rows, columns) = (expected.len(), got.len());
    if rows.saturating_mul(columns) > PAIRS_MAX {
        let gone = expected.iter().map(|line| ('-', line.as_str()));
        return gone
            .chain(got.iter().map(|line| ('+', line.as_str())))
            .collect();
    }
    let mut common = vec![vec![0usize; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            common[row][column] = if expected[row] == got[column] {
                common[row + 1][column + 1] + 1
            } else {
                common[row + 1][column].max(common[row][column + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut out = Vec::new();
    while row < rows || column < columns {
        let same = row < rows && column < columns && expected[row] == got[column];
        if same {
            out.push((' ', expected[row].as_str()));
            (row, column) = (row + 1, column + 1);
        } else if column == columns
            || row < rows && common[row + 1][column] >= common[row][column + 1]
        {
            out.push(('-', expected[row].as_str()));
            row += 1;
        } else {
            out.push(('+', got[column].as_str()));
            column += 1;
        }
    }
    out
}
