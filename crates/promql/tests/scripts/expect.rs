//! `expect` lines, and comparison of values.

use promql::engine::SampleValue;
use promql::format::parse_duration;
use promql::notation::SequenceValue;
use promql::{Answer, FloatHistogram};

/// A message that is expected in full, by pattern, or not at all in particular.
enum Text {
    Any,
    Exact(String),
    Pattern(regex::Regex),
}

impl Text {
    fn matches(&self, message: &str) -> bool {
        match self {
            Text::Any => true,
            Text::Exact(text) => text == message,
            Text::Pattern(pattern) => pattern.is_match(message),
        }
    }
}

#[derive(Default)]
pub(crate) struct Expectations {
    fail: Vec<Text>,
    warn: Vec<Text>,
    info: Vec<Text>,
    no_warn: bool,
    no_info: bool,
    pub(crate) ordered: bool,
    pub(crate) string: Option<String>,
    /// Start and step of an expected range vector.
    pub(crate) range_vector: Option<(i64, i64)>,
}

impl Expectations {
    /// The forms that put the expectation into the name of the command.
    pub(crate) fn deprecated(&mut self, suffix: &str, number: usize) {
        match suffix {
            "" => {}
            "_fail" => self.fail.push(Text::Any),
            "_warn" => self.warn.push(Text::Any),
            "_info" => self.info.push(Text::Any),
            "_ordered" => self.ordered = true,
            _ => panic!("{number}: unknown command eval{suffix}"),
        }
    }

    pub(crate) fn expects_failure(&self) -> bool {
        !self.fail.is_empty()
    }

    /// Whether the line is an expectation.
    pub(crate) fn parse_line(&mut self, line: &str, number: usize) -> bool {
        if let Some(text) = line.strip_prefix("expected_fail_message") {
            self.fail.push(Text::Exact(text.trim().to_owned()));
            return true;
        }
        if let Some(text) = line.strip_prefix("expected_fail_regexp") {
            self.fail.push(Text::Pattern(
                regex::Regex::new(text.trim()).expect("a pattern"),
            ));
            return true;
        }
        let Some(rest) = line.strip_prefix("expect ") else {
            return false;
        };
        let (kind, rest) = rest
            .trim()
            .split_once(char::is_whitespace)
            .unwrap_or((rest.trim(), ""));
        let rest = rest.trim();
        match kind {
            "fail" => self.fail.push(text(rest)),
            "warn" => self.warn.push(text(rest)),
            "info" => self.info.push(text(rest)),
            "no_warn" => self.no_warn = true,
            "no_info" => self.no_info = true,
            "ordered" => self.ordered = true,
            "string" => self.string = Some(rest[1..rest.len() - 1].to_owned()),
            "range" => {
                let words: Vec<&str> = rest.split_whitespace().collect();
                let ["vector", "from", start, "to", _, "step", step] = words[..] else {
                    panic!("{number}: {line}")
                };
                let time = |text| parse_duration(text).expect("a duration");
                self.range_vector = Some((time(start), time(step)));
            }
            _ => panic!("{number}: unknown expectation {line:?}"),
        }
        true
    }

    pub(crate) fn check_failure(&self, message: &str) -> Result<(), String> {
        if self.fail.iter().all(|text| text.matches(message)) {
            return Ok(());
        }
        Err(format!("failed with another message: {message}"))
    }

    pub(crate) fn check_notes(&self, answer: &Answer) -> Result<(), String> {
        check("warning", &self.warn, self.no_warn, &answer.warnings)?;
        check("info", &self.info, self.no_info, &answer.infos)
    }
}

fn text(rest: &str) -> Text {
    if let Some(text) = rest.strip_prefix("msg:") {
        return Text::Exact(text.trim().to_owned());
    }
    if let Some(text) = rest.strip_prefix("regex:") {
        return Text::Pattern(regex::Regex::new(text.trim()).expect("a pattern"));
    }
    Text::Any
}

fn check(kind: &str, expected: &[Text], none: bool, messages: &[String]) -> Result<(), String> {
    if none && !messages.is_empty() {
        return Err(format!("unexpected {kind}: {messages:?}"));
    }
    let unmet = expected
        .iter()
        .any(|text| !messages.iter().any(|message| text.matches(message)));
    if unmet {
        return Err(format!("an expected {kind} is missing, got {messages:?}"));
    }
    let unexpected = |message: &&String| !expected.iter().any(|text| text.matches(message));
    match messages.iter().find(unexpected) {
        Some(message) if !expected.is_empty() => Err(format!("unexpected {kind}: {message}")),
        _ => Ok(()),
    }
}

/// Equal but for rounding.
pub(crate) fn close(a: f64, b: f64) -> bool {
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 {
        return difference < 1e-6 * f64::MIN_POSITIVE;
    }
    difference / (a.abs() + b.abs()).min(f64::MAX) < 1e-6
}

pub(crate) fn same(expected: &SequenceValue, got: &SampleValue) -> bool {
    match (expected, got) {
        (SequenceValue::Float(expected), SampleValue::Float(got)) => close(*expected, *got),
        (SequenceValue::Histogram(expected, hinted), SampleValue::Histogram(got)) => {
            same_histogram(expected, got) && (!hinted || expected.hint == got.hint)
        }
        _ => false,
    }
}

fn same_histogram(expected: &FloatHistogram, got: &FloatHistogram) -> bool {
    let sides = |a: &FloatHistogram, b: &FloatHistogram| {
        let (a, b) = (a.buckets(), b.buckets());
        a.len() == b.len()
            && a.iter().zip(&b).all(|(a, b)| {
                close(a.lower, b.lower) && close(a.upper, b.upper) && close(a.count, b.count)
            })
    };
    expected.schema == got.schema
        && expected.bounds == got.bounds
        && close(expected.count, got.count)
        && close(expected.sum, got.sum)
        && close(expected.zero_count, got.zero_count)
        && close(expected.zero_threshold, got.zero_threshold)
        && sides(expected, got)
}
