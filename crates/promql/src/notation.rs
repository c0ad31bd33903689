//! The notation of series in tests: a series and its values, as in
//! `requests{job="a"} 1 2+3x2 _ stale {{schema:1 count:2 sum:3 buckets:[1 1]}}`.
//!
//! `a+bxn` is `a` and `n` more values, each `b` larger; `axn` repeats; `_` is no value, `_xn` is
//! none `n` times; `stale` is the stale marker. Rule tests and PromQL test scripts use it.

use crate::histogram::{CUSTOM_SCHEMA, FloatHistogram, IndexedBucket, ResetHint};
use crate::labels::Labels;
use crate::parse::parse_series;
use crate::source::stale_nan;

/// A value of a sequence.
#[derive(Debug, Clone, PartialEq)]
pub enum SequenceValue {
    /// A number, or the stale marker.
    Float(f64),
    /// A histogram, and whether its counter reset hint was written out.
    Histogram(FloatHistogram, bool),
}

/// A series and its values; `None` where there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// The series.
    pub labels: Labels,
    /// Its values.
    pub values: Vec<Option<SequenceValue>>,
}

/// What is wrong with a sequence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {text:?}")]
pub struct NotationError {
    /// What is wrong.
    pub message: String,
    /// The part of the text that it is about.
    pub text: String,
}

fn error(message: impl Into<String>, text: &str) -> NotationError {
    NotationError {
        message: message.into(),
        text: text.to_owned(),
    }
}

/// The most values that one line may stand for.
const MAX_VALUES: usize = 1_000_000;

/// Reads a series and its values.
pub fn parse_sequence(line: &str) -> Result<Sequence, NotationError> {
    let line = line.trim();
    let end = series_end(line);
    let labels =
        parse_series(&line[..end]).map_err(|problem| error(problem.to_string(), &line[..end]))?;
    Ok(Sequence {
        labels,
        values: parse_values(&line[end..])?,
    })
}

/// Where the series ends and its values begin.
fn series_end(line: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    let mut braces = false;
    for (index, c) in line.char_indices() {
        match quote {
            Some(open) => {
                if escaped {
                    escaped = false;
                } else if c == '\\' && open != '`' {
                    escaped = true;
                } else if c == open {
                    quote = None;
                }
            }
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == '{' => braces = true,
            None if c == '}' => return index + 1,
            None if c.is_whitespace() && !braces => {
                // Blanks may stand between the name and the braces.
                let rest = line[index..].trim_start();
                if !rest.starts_with('{') || rest.starts_with("{{") {
                    return index;
                }
            }
            None => {}
        }
    }
    line.len()
}

/// Reads values.
pub fn parse_values(text: &str) -> Result<Vec<Option<SequenceValue>>, NotationError> {
    let mut values = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = item_end(rest);
        let (item, next) = rest.split_at(end);
        parse_item(item, &mut values)?;
        if values.len() > MAX_VALUES {
            return Err(error(format!("more than {MAX_VALUES} values"), item));
        }
        rest = next.trim_start();
    }
    Ok(values)
}

/// An item ends at a blank outside a histogram.
fn item_end(text: &str) -> usize {
    let mut inside = false;
    for (index, c) in text.char_indices() {
        if text[index..].starts_with("{{") {
            inside = true;
        } else if text[index..].starts_with("}}") {
            inside = false;
        } else if c.is_whitespace() && !inside {
            return index;
        }
    }
    text.len()
}

fn times(text: &str, item: &str) -> Result<usize, NotationError> {
    let times = text
        .parse()
        .map_err(|_| error("bad number of repetitions", item))?;
    if times > MAX_VALUES {
        return Err(error(format!("more than {MAX_VALUES} values"), item));
    }
    Ok(times)
}

fn parse_item(item: &str, out: &mut Vec<Option<SequenceValue>>) -> Result<(), NotationError> {
    if item.starts_with("{{") {
        return parse_histograms(item, out);
    }
    if let Some(rest) = item.strip_prefix('_') {
        let count = match rest.strip_prefix('x') {
            Some(text) => times(text, item)?,
            None if rest.is_empty() => 1,
            None => return Err(error("bad missing value", item)),
        };
        out.extend(std::iter::repeat_n(None, count));
        return Ok(());
    }
    if item == "stale" {
        out.push(Some(SequenceValue::Float(stale_nan())));
        return Ok(());
    }
    let (start, rest) = leading_number(item)?;
    let (increment, rest) = if rest.starts_with(['+', '-']) {
        leading_number(rest)?
    } else {
        (0.0, rest)
    };
    let count = match rest.strip_prefix('x') {
        Some(text) => times(text, item)?,
        None if rest.is_empty() && increment == 0.0 => 0,
        None => return Err(error("expected a number of repetitions", item)),
    };
    // Adding up one by one is what other readers of this notation do.
    let mut value = start;
    for _ in 0..=count {
        out.push(Some(SequenceValue::Float(value)));
        value += increment;
    }
    Ok(())
}

/// A number with an optional sign at the start of a text, and the rest.
fn leading_number(text: &str) -> Result<(f64, &str), NotationError> {
    let bytes = text.as_bytes();
    let sign = usize::from(text.starts_with(['+', '-']));
    let word = bytes[sign..]
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let word_text = &text[sign..(sign + word).min(sign + 3).min(text.len())];
    let mut end = sign;
    if word_text.eq_ignore_ascii_case("inf") || word_text.eq_ignore_ascii_case("nan") {
        end += 3;
    } else {
        while end < bytes.len() {
            let after_exponent = end > sign && matches!(bytes[end - 1], b'e' | b'E');
            let is_part = bytes[end].is_ascii_digit()
                || matches!(bytes[end], b'.' | b'e' | b'E')
                || (after_exponent && matches!(bytes[end], b'+' | b'-'));
            if !is_part {
                break;
            }
            end += 1;
        }
    }
    let number = text[..end].parse().map_err(|_| error("bad number", text))?;
    Ok((number, &text[end..]))
}

/// Reads a single histogram.
pub fn parse_histogram(text: &str) -> Result<FloatHistogram, NotationError> {
    let (histogram, _, rest) = leading_histogram(text)?;
    if rest.is_empty() {
        Ok(histogram)
    } else {
        Err(error("unexpected text", rest))
    }
}

fn parse_histograms(item: &str, out: &mut Vec<Option<SequenceValue>>) -> Result<(), NotationError> {
    let (mut histogram, hinted, rest) = leading_histogram(item)?;
    let (increment, rest) = match rest.chars().next() {
        Some(sign @ ('+' | '-')) => {
            let (increment, _, rest) = leading_histogram(&rest[1..])?;
            (Some((sign, increment)), rest)
        }
        _ => (None, rest),
    };
    let count = match rest.strip_prefix('x') {
        Some(text) => times(text, item)?,
        None if rest.is_empty() && increment.is_none() => 0,
        None => return Err(error("expected a number of repetitions", item)),
    };
    for index in 0..=count {
        out.push(Some(SequenceValue::Histogram(histogram.clone(), hinted)));
        if index == count {
            break;
        }
        if let Some((sign, increment)) = &increment {
            let hint = histogram.hint;
            let done = if *sign == '+' {
                histogram.add(increment)
            } else {
                histogram.sub(increment)
            };
            done.map_err(|_| error("exponential and custom buckets cannot be added", item))?;
            histogram.hint = hint;
        }
    }
    Ok(())
}

/// A histogram at the start of a text, whether it has a hint, and the rest.
fn leading_histogram(text: &str) -> Result<(FloatHistogram, bool, &str), NotationError> {
    let body = text
        .strip_prefix("{{")
        .ok_or_else(|| error("expected \"{{\"", text))?;
    let end = body
        .find("}}")
        .ok_or_else(|| error("expected \"}}\"", text))?;
    let rest = &body[end + 2..];
    let mut histogram = FloatHistogram::default();
    let mut hinted = false;
    let (mut offset, mut negative_offset) = (0, 0);
    let (mut positive, mut negative) = (Vec::new(), Vec::new());
    for field in Fields(body[..end].trim()) {
        let (key, value) = field
            .split_once(':')
            .ok_or_else(|| error("expected key:value", field))?;
        let number = || leading_number(value).map(|(number, _)| number);
        let integer = || {
            value
                .parse::<i32>()
                .map_err(|_| error("bad integer", field))
        };
        match key {
            "schema" => histogram.schema = integer()?,
            "sum" => histogram.sum = number()?,
            "count" => histogram.count = number()?,
            "z_bucket" => histogram.zero_count = number()?,
            "z_bucket_w" => histogram.zero_threshold = number()?,
            "offset" => offset = integer()?,
            "n_offset" => negative_offset = integer()?,
            "buckets" => positive = list(value)?,
            "n_buckets" => negative = list(value)?,
            "custom_values" => histogram.bounds = Some(list(value)?.into()),
            "counter_reset_hint" => {
                hinted = true;
                histogram.hint = match value {
                    "unknown" => ResetHint::Unknown,
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NotReset,
                    "gauge" => ResetHint::Gauge,
                    _ => return Err(error("bad counter reset hint", field)),
                };
            }
            _ => return Err(error("bad histogram key", field)),
        }
    }
    let indexed = |offset: i32, counts: Vec<f64>| {
        let bucket = |(index, count)| IndexedBucket { index, count };
        (offset..).zip(counts).map(bucket).collect::<Vec<_>>()
    };
    histogram.positive = indexed(offset, positive);
    histogram.negative = indexed(negative_offset, negative);
    if histogram.schema == CUSTOM_SCHEMA && histogram.bounds.is_none() {
        histogram.bounds = Some(Vec::new().into());
    }
    Ok((histogram, hinted, rest))
}

/// Fields between blanks; a list in brackets is one.
struct Fields<'a>(&'a str);

impl<'a> Iterator for Fields<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.0 = self.0.trim_start();
        if self.0.is_empty() {
            return None;
        }
        let mut inside = false;
        let end = self.0.find(|c: char| {
            inside = (inside || c == '[') && c != ']';
            c.is_whitespace() && !inside
        });
        let (field, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        Some(field)
    }
}

fn list(text: &str) -> Result<Vec<f64>, NotationError> {
    let body = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let body = body.ok_or_else(|| error("expected a list in brackets", text))?;
    body.split_whitespace()
        .map(|item| match leading_number(item)? {
            (number, "") => Ok(number),
            _ => Err(error("bad number", item)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(text: &str) -> Vec<Option<f64>> {
        let float = |value| match value {
            Some(SequenceValue::Float(value)) => Some(value),
            _ => None,
        };
        parse_values(text).unwrap().into_iter().map(float).collect()
    }

    #[test]
    fn values_expand() {
        assert_eq!(
            floats("1 2+3x2 _ -1-1x1"),
            [1.0, 2.0, 5.0, 8.0]
                .map(Some)
                .into_iter()
                .chain([None, Some(-1.0), Some(-2.0)])
                .collect::<Vec<_>>()
        );
        assert_eq!(
            floats("_x2 5x1 1e3 Inf -inf"),
            [
                None,
                None,
                Some(5.0),
                Some(5.0),
                Some(1e3),
                Some(f64::INFINITY),
                Some(f64::NEG_INFINITY)
            ]
        );
        assert_eq!(floats("1e-1+1x1"), [Some(0.1), Some(1.1)]);
        let stale = parse_values("stale").unwrap();
        assert!(
            matches!(stale[0], Some(SequenceValue::Float(value)) if crate::source::is_stale(value))
        );
        for wrong in [
            "1+2",
            "x",
            "1x",
            "__",
            "1x99999999",
            "{{",
            "{{a:1}}",
            "{{schema:x}}",
            "{{buckets:1}}",
        ] {
            assert!(parse_values(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn series_and_histograms_are_read() {
        let sequence = parse_sequence(
            "m{a=\"} {\", b='c'} {{schema:1 count:3 sum:-3 z_bucket:1 z_bucket_w:0.1 offset:-1 buckets:[1 0 1] counter_reset_hint:gauge}}+{{schema:1 count:1}}x1",
        )
        .unwrap();
        assert_eq!(
            sequence.labels.to_string(),
            "{__name__=\"m\", a=\"} {\", b=\"c\"}"
        );
        assert_eq!(sequence.values.len(), 2);
        let Some(SequenceValue::Histogram(second, true)) = &sequence.values[1] else {
            panic!("expected a histogram")
        };
        assert_eq!(
            (second.count, second.sum, second.hint),
            (4.0, -3.0, ResetHint::Gauge)
        );
        assert_eq!(second.positive.first().map(|bucket| bucket.index), Some(-1));
        assert_eq!(parse_sequence("m {{count:1}}").unwrap().values.len(), 1);
        assert_eq!(parse_sequence("m {a=\"b\"} 1").unwrap().labels.len(), 2);
    }
}
