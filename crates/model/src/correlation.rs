//! Correlation keys: by which (key, value) pairs a row belongs to a request.
//!
//! Attribute keys are compared case-insensitively against a configured list. From the body of
//! a log record keys are taken, in this order, from JSON members, logfmt pairs, `traceparent`
//! and b3 headers, header-like text (`X-Request-ID: 42`), and configured regexes. Values are
//! kept as sent; a value that could not be an id (empty, too long, with white space or control
//! characters) is passed over, and no trace id is ever made up.

use std::collections::HashSet;

use crate::id::{SpanId, TraceId};
use crate::value::ValueRef;

/// The keys looked for unless the config names others.
pub const DEFAULT_KEYS: [&str; 8] = [
    "correlation_id",
    "correlation.id",
    "x-correlation-id",
    "request_id",
    "request.id",
    "x-request-id",
    "messaging.message.conversation_id",
    "messaging.message.id",
];

/// The longest value that counts as an id.
pub const VALUE_LENGTH_MAX: usize = 256;
/// The shortest value that counts as an id.
pub const VALUE_LENGTH_MIN: usize = 2;
/// How many pairs one row may carry; later ones are passed over.
pub const PAIRS_PER_ROW_MAX: usize = 8;
/// How much of a log body is looked at.
pub const BODY_SCAN_BYTES_MAX: usize = 16 * 1024;

/// The key under which a trace id found in the text of an untraced log line is kept.
pub const TRACE_ID_KEY: &str = "traceparent.trace_id";
/// The key under which a span id found in the text of a log line is kept.
pub const SPAN_ID_KEY: &str = "traceparent.span_id";

/// One configured regex: the first capture group of a match is the value.
pub type Pattern = dyn Fn(&str) -> Option<&str> + Send + Sync;

/// Which keys to look for.
pub struct CorrelationKeys {
    keys: HashSet<String>,
    /// Lengths of the keys, so that most attributes are passed over without hashing.
    lengths: u128,
    patterns: Vec<(String, Box<Pattern>)>,
}

impl std::fmt::Debug for CorrelationKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CorrelationKeys")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl Default for CorrelationKeys {
    fn default() -> Self {
        Self::new(DEFAULT_KEYS.iter().map(|key| (*key).to_owned()), Vec::new())
    }
}

impl CorrelationKeys {
    /// Keys by name (each also as `http.request.header.KEY`) and named patterns for log text.
    pub fn new(
        keys: impl IntoIterator<Item = String>,
        patterns: Vec<(String, Box<Pattern>)>,
    ) -> Self {
        let mut all = HashSet::new();
        for key in keys {
            let key = key.to_ascii_lowercase();
            if !key.contains('.') {
                all.insert(format!("http.request.header.{key}"));
            }
            all.insert(key);
        }
        let lengths = all
            .iter()
            .fold(0, |bits, key| bits | 1u128 << key.len().min(127));
        Self {
            keys: all,
            lengths,
            patterns,
        }
    }

    /// Whether an attribute of this key carries a correlation value.
    pub fn contains(&self, key: &str) -> bool {
        if self.lengths & (1u128 << key.len().min(127)) == 0 {
            return false;
        }
        if self.keys.contains(key) {
            return true;
        }
        key.bytes().any(|byte| byte.is_ascii_uppercase())
            && self.keys.contains(&key.to_ascii_lowercase())
    }

    /// Calls `found(key, value)` for the correlation values of one attribute. A header's value
    /// is a list of strings; each counts.
    pub fn attribute<'a>(
        &self,
        key: &'a str,
        value: ValueRef<'a>,
        found: &mut dyn FnMut(&'a str, &'a str),
    ) {
        if !self.contains(key) {
            return;
        }
        match value {
            ValueRef::Str(text) if is_id(text) => found(key, text),
            ValueRef::Array(list) => {
                for item in crate::wire::array_items(list) {
                    if let ValueRef::Str(text) = item
                        && is_id(text)
                    {
                        found(key, text);
                    }
                }
            }
            _ => {}
        }
    }

    /// Calls `found(key, value)` for the correlation values in the text of a log line. Stops at
    /// the first kind of text that yields any.
    pub fn text<'a>(&'a self, body: &'a str, found: &mut dyn FnMut(&'a str, &'a str)) {
        let mut end = body.len().min(BODY_SCAN_BYTES_MAX);
        while !body.is_char_boundary(end) {
            end -= 1;
        }
        let body = &body[..end];
        // Every form below needs one of these between key and value.
        if !body.bytes().any(|byte| matches!(byte, b'=' | b':')) && self.patterns.is_empty() {
            return;
        }
        let mut any = false;
        pairs(body, &mut |key, value| {
            if is_id(value) && self.contains(key) {
                any = true;
                found(key, value);
            } else if key.eq_ignore_ascii_case("traceparent") {
                if let Some((trace, span)) = traceparent(value) {
                    any = true;
                    found(TRACE_ID_KEY, trace);
                    found(SPAN_ID_KEY, span);
                }
            } else if (key.eq_ignore_ascii_case("b3") || key.eq_ignore_ascii_case("x-b3-traceid"))
                && let Some((trace, span)) = b3(value)
            {
                any = true;
                found(TRACE_ID_KEY, trace);
                if let Some(span) = span {
                    found(SPAN_ID_KEY, span);
                }
            }
        });
        if any {
            return;
        }
        for (name, pattern) in &self.patterns {
            if let Some(value) = pattern(body).filter(|value| is_id(value)) {
                found(name, value);
            }
        }
    }
}

/// Whether a value can be an id: of sensible length, printable, without white space, and not a
/// word that says that there is none.
pub fn is_id(value: &str) -> bool {
    (VALUE_LENGTH_MIN..=VALUE_LENGTH_MAX).contains(&value.len())
        && value.chars().all(|c| !c.is_whitespace() && !c.is_control())
        && !matches!(
            value,
            "null" | "nil" | "none" | "None" | "undefined" | "--" | "N/A" | "n/a"
        )
        && value.bytes().any(|byte| !matches!(byte, b'0' | b'-'))
}

/// Calls `pair(key, value)` for everything in a line that looks like `"key":"value"`,
/// `key=value`, `key="value"` or `Key: value`. One pass, without knowing which form the line
/// has: a JSON member, a logfmt pair and a header differ only in quotes and separator.
fn pairs<'a>(line: &'a str, pair: &mut dyn FnMut(&'a str, &'a str)) {
    let bytes = line.as_bytes();
    let mut at = 0;
    while let Some(offset) = bytes[at..].iter().position(|b| matches!(b, b'=' | b':')) {
        let separator = at + offset;
        at = separator + 1;
        let Some(key) = key_before(line, separator) else {
            continue;
        };
        if let Some(value) = value_after(line, separator + 1) {
            pair(key, value);
        }
    }
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn key_before(line: &str, separator: usize) -> Option<&str> {
    let bytes = line.as_bytes();
    let mut end = separator;
    while end > 0 && bytes[end - 1] == b' ' {
        end -= 1;
    }
    // Keys inside escaped JSON end in a backslash and a quote.
    if end > 0 && matches!(bytes[end - 1], b'"' | b'\'') {
        end -= 1;
        if end > 0 && bytes[end - 1] == b'\\' {
            end -= 1;
        }
    }
    let mut start = end;
    while start > 0 && is_key_byte(bytes[start - 1]) {
        start -= 1;
    }
    (start < end).then(|| &line[start..end])
}

fn value_after(line: &str, from: usize) -> Option<&str> {
    let bytes = line.as_bytes();
    let mut start = from;
    while bytes.get(start) == Some(&b' ') {
        start += 1;
    }
    if bytes.get(start) == Some(&b'\\') {
        start += 1;
    }
    let quote = bytes
        .get(start)
        .copied()
        .filter(|byte| matches!(byte, b'"' | b'\''));
    if quote.is_some() {
        start += 1;
    }
    let rest = &bytes[start..];
    let length = match quote {
        Some(quote) => rest
            .iter()
            .position(|byte| *byte == quote || *byte == b'\\')?,
        None => rest
            .iter()
            .position(|byte| {
                byte.is_ascii_whitespace()
                    || matches!(
                        byte,
                        b',' | b';' | b')' | b']' | b'}' | b'"' | b'\'' | b'|' | b'&'
                    )
            })
            .unwrap_or(rest.len()),
    };
    (length > 0).then(|| &line[start..start + length])
}

/// The trace and span id of a W3C `traceparent` value.
pub fn traceparent(value: &str) -> Option<(&str, &str)> {
    let mut parts = value.split('-');
    let version = parts.next()?;
    let (trace, span) = (parts.next()?, parts.next()?);
    let flags = parts.next()?;
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let valid = version.len() == 2
        && hex(version)
        && !version.eq_ignore_ascii_case("ff")
        && flags.len() == 2
        && hex(flags)
        && trace.parse::<TraceId>().is_ok()
        && span.parse::<SpanId>().is_ok();
    valid.then_some((trace, span))
}

/// The trace id, and the span id if there is one, of a b3 single header or `X-B3-TraceId`.
/// 64-bit trace ids are passed over: padding them would make an id up.
pub fn b3(value: &str) -> Option<(&str, Option<&str>)> {
    let mut parts = value.split('-');
    let trace = parts.next()?;
    trace.parse::<TraceId>().ok()?;
    let span = parts.next().filter(|span| span.parse::<SpanId>().is_ok());
    Some((trace, span))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<(String, String)> {
        let keys = CorrelationKeys::default();
        let mut out = Vec::new();
        keys.text(line, &mut |key, value| {
            out.push((key.to_owned(), value.to_owned()))
        });
        out
    }

    fn pair(key: &str, value: &str) -> Vec<(String, String)> {
        vec![(key.to_owned(), value.to_owned())]
    }

    #[test]
    fn values_are_found_in_every_form_of_line() {
        assert_eq!(
            found(r#"{"a":1,"request_id":"r-17","b":2}"#),
            pair("request_id", "r-17")
        );
        assert_eq!(
            found("level=info correlation_id=ab12 x=y"),
            pair("correlation_id", "ab12")
        );
        assert_eq!(
            found(r#"msg="hi there" request_id="q 1" request.id=q2"#),
            pair("request.id", "q2")
        );
        assert_eq!(
            found("GET / X-Request-ID: 4711, done"),
            pair("X-Request-ID", "4711")
        );
        assert_eq!(
            found("in traceparent: 00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01"),
            vec![
                (
                    TRACE_ID_KEY.into(),
                    "5b8efff798038103d269b633813fc60c".into()
                ),
                (SPAN_ID_KEY.into(), "eee19b7ec3c1b174".into()),
            ]
        );
        assert_eq!(
            found(r#"{\"request_id\":\"esc1\"}"#),
            pair("request_id", "esc1")
        );
    }

    #[test]
    fn what_is_not_an_id_is_passed_over() {
        for line in [
            "",
            "nothing here",
            "request_id=",
            "request_id=null",
            "request_id=0",
            "request_id=00000000-0000-0000-0000-000000000000",
            "my_request_id=17a",
            "traceparent: 00-00000000000000000000000000000000-eee19b7ec3c1b174-01",
            "b3=463ac35c9f6413ad",
            ":=:=\"\"é=\u{1f600}:",
        ] {
            assert_eq!(found(line), Vec::new(), "{line}");
        }
    }

    #[test]
    fn headers_are_lists_and_keys_ignore_case() {
        let keys = CorrelationKeys::default();
        let list = crate::wire::encode_array(&["r1".into(), 7i64.into(), "r2".into()]);
        let mut out = Vec::new();
        keys.attribute(
            "http.request.header.X-Request-Id",
            ValueRef::Array(&list),
            &mut |_, value| out.push(value.to_owned()),
        );
        assert_eq!(out, ["r1", "r2"]);
        assert!(!keys.contains("user.id"));
    }
}
