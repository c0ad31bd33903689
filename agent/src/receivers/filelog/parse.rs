//! A record's text into a log record: JSON members and logfmt pairs become attributes; time,
//! level, message and trace context go where OTLP has a field for them.
//!
//! A member that filled a field is taken out of the attributes, but only if the field says all
//! that it said: a time or id that does not read stays an attribute.

mod context;

use model::{KeyValue, Value};
use serde_json::{Map, Value as Json};

use self::context::{SPAN_KEYS, TRACE_KEYS};
use super::{severity, timestamp};
use crate::encode::Log;
use crate::options::Format;

/// Objects nested deeper are kept as text.
const DEPTH_MAX: usize = 32;

const TIME_KEYS: [&str; 8] = [
    "timestamp",
    "@timestamp",
    "time",
    "ts",
    "datetime",
    "eventTime",
    "asctime",
    "t",
];
const LEVEL_KEYS: [&str; 9] = [
    "level",
    "severity",
    "lvl",
    "log.level",
    "loglevel",
    "levelname",
    "severity_text",
    "severityText",
    "@l",
];
const MESSAGE_KEYS: [&str; 6] = ["message", "msg", "@message", "@m", "body", "event"];
/// Turns text into a log record. `now` is when it was read, for times that lack a year.
pub(super) fn parse(text: String, format: Format, now: u64) -> Log {
    let log = Log {
        observed_unix_nano: now,
        ..Log::default()
    };
    let start = text.trim_start();
    let auto = !matches!(format, Format::Plain | Format::Json | Format::Logfmt);
    if (auto || format == Format::Json)
        && start.starts_with('{')
        && let Ok(Json::Object(members)) = serde_json::from_str(start)
    {
        return json(log, members, text);
    }
    if format == Format::Logfmt || auto {
        let (pairs, words) = logfmt(&text);
        // A sentence may hold one `=`; two pairs that make up the line are no accident.
        if format == Format::Logfmt && !pairs.is_empty()
            || pairs.len() >= 2 && words == 0 && starts_with_pair(start)
        {
            let pairs = pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value));
            return from_pairs(log, pairs.collect(), words, text);
        }
    }
    plain(log, text, now)
}

fn plain(mut log: Log, text: String, now: u64) -> Log {
    log.time_unix_nano = timestamp::in_line(&text, now).unwrap_or(0);
    if let Some((word, number)) = severity::in_line(&text) {
        log.severity_number = number;
        log.severity_text = word.to_owned();
    }
    context::in_text(&mut log, &text);
    log.body = Value::Str(text);
    log
}

fn json(mut log: Log, mut members: Map<String, Json>, text: String) -> Log {
    for key in TIME_KEYS {
        if let Some(time) = members.get(key).and_then(json_time) {
            log.time_unix_nano = time;
            members.shift_remove(key);
            break;
        }
    }
    for key in LEVEL_KEYS {
        if let Some((word, number)) = members.get(key).and_then(json_level) {
            (log.severity_text, log.severity_number) = (word, number);
            members.shift_remove(key);
            break;
        }
    }
    context::in_members(&mut log, &mut members);
    let message = MESSAGE_KEYS
        .into_iter()
        .find(|key| members.get(*key).is_some_and(Json::is_string));
    log.body = match message.and_then(|key| members.shift_remove(key)) {
        Some(Json::String(message)) => Value::Str(message),
        _ => Value::Str(text),
    };
    let attribute = |(key, value): (String, Json)| KeyValue {
        key,
        value: any_value(value, 0),
    };
    log.attributes = members.into_iter().map(attribute).collect();
    log
}

fn json_time(value: &Json) -> Option<u64> {
    match value {
        Json::String(text) => timestamp::rfc3339(text)
            .or_else(|| timestamp::in_line(text, 0).filter(|_| text.len() > 18))
            .or_else(|| timestamp::epoch_integer(text.parse().ok()?)),
        Json::Number(number) => match number.as_u64() {
            Some(integer) => timestamp::epoch_integer(integer),
            None => timestamp::epoch(number.as_f64()?),
        },
        _ => None,
    }
}

fn json_level(value: &Json) -> Option<(String, i32)> {
    match value {
        Json::String(word) => severity::number(word).map(|number| (word.clone(), number)),
        Json::Number(number) => {
            let level = severity::bunyan(number.as_u64()?)?;
            Some((number.to_string(), level))
        }
        _ => None,
    }
}

fn any_value(json: Json, depth: usize) -> Value {
    match json {
        Json::Null => Value::Empty,
        Json::Bool(flag) => Value::Bool(flag),
        Json::String(text) => Value::Str(text),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Int(integer),
            // An id of 64 bits would be another one as a double.
            (None, Some(double)) if !number.is_u64() => Value::Double(double),
            (None, _) => Value::Str(number.to_string()),
        },
        nested if depth >= DEPTH_MAX => Value::Str(nested.to_string()),
        Json::Array(items) => {
            let items = items.into_iter().map(|item| any_value(item, depth + 1));
            Value::Array(items.collect())
        }
        Json::Object(members) => {
            let member = |(key, value)| KeyValue {
                key,
                value: any_value(value, depth + 1),
            };
            Value::KvList(members.into_iter().map(member).collect())
        }
    }
}

/// Whether a line begins with `key=`.
fn starts_with_pair(line: &str) -> bool {
    let is_key =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@');
    let end = line.bytes().position(|byte| !is_key(&byte));
    end.is_some_and(|end| end > 0 && line.as_bytes()[end] == b'=')
}

/// The pairs of a logfmt line, and how many words without `=` there are between them. Quoted
/// values may hold escapes.
fn logfmt(line: &str) -> (Vec<(&str, String)>, usize) {
    let bytes = line.as_bytes();
    let mut pairs = Vec::new();
    let mut words = 0;
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        while at < bytes.len() && !matches!(bytes[at], b' ' | b'=' | b'"' | b'\t') {
            at += 1;
        }
        if at == start || bytes.get(at) != Some(&b'=') {
            let space = matches!(bytes.get(start), Some(b' ' | b'\t'));
            words += usize::from(!space);
            at += 1;
            continue;
        }
        let key = &line[start..at];
        at += 1;
        if bytes.get(at) == Some(&b'"') {
            let Some((value, next)) = quoted(line, at + 1) else {
                return (pairs, words + 1);
            };
            pairs.push((key, value));
            at = next;
        } else {
            let start = at;
            while at < bytes.len() && !matches!(bytes[at], b' ' | b'\t') {
                at += 1;
            }
            pairs.push((key, line[start..at].to_owned()));
        }
    }
    (pairs, words)
}

/// The text up to the closing quote, without escapes, and where to read on.
fn quoted(line: &str, start: usize) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = line[start..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, start + at + 1)),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

fn from_pairs(mut log: Log, pairs: Vec<(String, String)>, words: usize, text: String) -> Log {
    let mut message = None;
    let mut attributes = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        if log.time_unix_nano == 0
            && TIME_KEYS.contains(&key.as_str())
            && let Some(time) = json_time(&Json::String(value.clone()))
        {
            log.time_unix_nano = time;
        } else if log.severity_number == 0
            && LEVEL_KEYS.contains(&key.as_str())
            && let Some(number) = severity::number(&value)
        {
            (log.severity_text, log.severity_number) = (value, number);
        } else if log.trace_id.is_none()
            && TRACE_KEYS.contains(&key.as_str())
            && let Ok(id) = value.parse()
        {
            log.trace_id = Some(id);
        } else if log.span_id.is_none()
            && SPAN_KEYS.contains(&key.as_str())
            && let Ok(id) = value.parse()
        {
            log.span_id = Some(id);
        } else if context::is_header(&key) && context::header(&mut log, &key, &value) {
        } else if message.is_none() && MESSAGE_KEYS.contains(&key.as_str()) {
            message = Some(value);
        } else {
            attributes.push(KeyValue::new(key, value));
        }
    }
    // Words between the pairs are in nothing but the whole text.
    log.body = match message {
        Some(message) if words == 0 => Value::Str(message),
        Some(_) | None => Value::Str(text),
    };
    log.attributes = attributes;
    log
}

#[cfg(test)]
mod tests;
