//! The parameters of Jaeger's API.

use axum::extract::Query;
use http::Uri;
use model::{TimeRange, TraceId};
use storage::filter::{Field, Filter, Level, Op, Operand};

use crate::error::QueryError;
use crate::lang::duration_nanos;

/// How many traces a search gives where it does not say.
const LIMIT_DEFAULT: usize = 100;
/// How many traces a search gives at most.
const LIMIT_MAX: usize = 1_500;
/// Nanoseconds in a day.
const DAY: u64 = 86_400_000_000_000;

/// Names and values as they stand in the address.
pub(super) type Pairs = Vec<(String, String)>;

/// A search for traces.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Search {
    pub(super) ids: Vec<TraceId>,
    pub(super) filter: Filter,
    pub(super) range: TimeRange,
    pub(super) limit: usize,
}

/// The parameters of an address.
pub(super) fn pairs(uri: &Uri) -> Result<Pairs, QueryError> {
    Query::<Pairs>::try_from_uri(uri)
        .map(|Query(pairs)| pairs)
        .map_err(|problem| QueryError::parameter(format!("malformed query string: {problem}")))
}

/// The first value of a parameter that is not empty.
pub(super) fn one<'a>(pairs: &'a Pairs, name: &'a str) -> Option<&'a str> {
    all(pairs, name).next()
}

fn all<'a>(pairs: &'a Pairs, name: &'a str) -> impl Iterator<Item = &'a str> {
    pairs
        .iter()
        .filter(move |(known, value)| known == name && !value.is_empty())
        .map(|(_, value)| value.as_str())
}

fn wrong(name: &str, value: &str, expected: &str) -> QueryError {
    QueryError::parameter(format!(
        "unable to parse param '{name}': {value:?} is not {expected}"
    ))
}

/// A trace id of up to 32 digits; shorter ones are padded with zeros.
pub(super) fn trace_id(text: &str) -> Result<TraceId, QueryError> {
    let valid = !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let padded = format!("{text:0>32}");
    padded
        .parse()
        .ok()
        .filter(|_| valid)
        .ok_or_else(|| wrong("traceID", text, "1 to 32 hex digits that are not all zero"))
}

fn duration(pairs: &Pairs, name: &str) -> Result<Option<u64>, QueryError> {
    one(pairs, name)
        .map(|text| duration_nanos(text).map_err(|_| wrong(name, text, "a duration like 250ms")))
        .transpose()
}

fn number(pairs: &Pairs, name: &str) -> Result<Option<u64>, QueryError> {
    one(pairs, name)
        .map(|text| {
            text.parse()
                .map_err(|_| wrong(name, text, "a whole number"))
        })
        .transpose()
}

/// `start` and `end` in microseconds; `lookback` stands for a start before the end.
pub(super) fn range(pairs: &Pairs, now: u64) -> Result<TimeRange, QueryError> {
    let micros =
        |name: &str| Ok::<_, QueryError>(number(pairs, name)?.map(|us| us.saturating_mul(1_000)));
    let end = micros("end")?;
    let start = match micros("start")? {
        Some(start) => Some(start),
        // `custom` says that start and end are given.
        None => one(pairs, "lookback")
            .filter(|text| *text != "custom")
            .map(|text| {
                duration_nanos(text).map_err(|_| wrong("lookback", text, "a duration like 2h"))
            })
            .transpose()?
            .map(|back| end.unwrap_or(now).saturating_sub(back)),
    };
    let start = start.unwrap_or(0);
    let end = end.map_or(u64::MAX, |end| end.saturating_add(1_000));
    if start > end {
        return Err(QueryError::parameter("start is after end"));
    }
    Ok(TimeRange { start, end })
}

/// `endTs` and `lookback` of dependencies, both in milliseconds; the last day by default.
pub(super) fn dependency_range(pairs: &Pairs, now: u64) -> Result<TimeRange, QueryError> {
    let millis = |name: &str| {
        Ok::<_, QueryError>(number(pairs, name)?.map(|ms| ms.saturating_mul(1_000_000)))
    };
    let end = millis("endTs")?.unwrap_or(now);
    let back = millis("lookback")?.unwrap_or(DAY);
    Ok(TimeRange {
        start: end.saturating_sub(back),
        end: end.saturating_add(1_000_000),
    })
}

impl Search {
    /// The search that these parameters ask for.
    pub(super) fn parse(pairs: &Pairs, now: u64) -> Result<Self, QueryError> {
        let ids = all(pairs, "traceID")
            .map(trace_id)
            .collect::<Result<Vec<_>, _>>()?;
        let service = one(pairs, "service");
        if service.is_none() && ids.is_empty() {
            return Err(QueryError::parameter("parameter 'service' is required"));
        }
        let limit = match number(pairs, "limit")? {
            None => LIMIT_DEFAULT,
            Some(0) => return Err(wrong("limit", "0", "above zero")),
            Some(limit) => usize::try_from(limit).unwrap_or(LIMIT_MAX).min(LIMIT_MAX),
        };
        let mut filter = Filter::All;
        if let Some(service) = service {
            filter = filter.and(Filter::text_equals(Field::Service, service));
        }
        if let Some(operation) = one(pairs, "operation").filter(|name| *name != "all") {
            filter = filter.and(Filter::text_equals(Field::Name, operation));
        }
        let (least, most) = (
            duration(pairs, "minDuration")?,
            duration(pairs, "maxDuration")?,
        );
        if let (Some(least), Some(most)) = (least, most)
            && least > most
        {
            return Err(QueryError::parameter(
                "'maxDuration' should be greater than 'minDuration'",
            ));
        }
        for (op, nanos) in [(Op::Ge, least), (Op::Le, most)] {
            if let Some(nanos) = nanos {
                let value = Operand::Int(i64::try_from(nanos).unwrap_or(i64::MAX));
                filter = filter.and(Filter::Compare {
                    field: Field::Duration,
                    op,
                    value,
                });
            }
        }
        for (key, value) in tags(pairs)? {
            filter = filter.and(tag_filter(&key, &value));
        }
        Ok(Self {
            ids,
            filter,
            range: range(pairs, now)?,
            limit,
        })
    }
}

/// Tags from `tag=key:value`, and from `tags` as a JSON object or as logfmt.
fn tags(pairs: &Pairs) -> Result<Vec<(String, String)>, QueryError> {
    let mut tags = Vec::new();
    for tag in all(pairs, "tag") {
        let (key, value) = tag
            .split_once(':')
            .ok_or_else(|| wrong("tag", tag, "of the form key:value"))?;
        tags.push((key.to_owned(), value.to_owned()));
    }
    for text in all(pairs, "tags") {
        if text.trim_start().starts_with('{') {
            let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)
                .map_err(|error| {
                    QueryError::parameter(format!("malformed 'tags' parameter: {error}"))
                })?;
            tags.extend(object.into_iter().map(|(key, value)| match value {
                serde_json::Value::String(text) => (key, text),
                other => (key, other.to_string()),
            }));
        } else {
            tags.extend(logfmt(text)?);
        }
    }
    Ok(tags)
}

/// `key=value other="a b"`.
fn logfmt(text: &str) -> Result<Vec<(String, String)>, QueryError> {
    let bad = || wrong("tags", text, "a JSON object of strings or key=value pairs");
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or_else(bad)?;
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(bad());
        }
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or_else(bad)?,
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        pairs.push((key.to_owned(), value.to_owned()));
        rest = left.trim_start();
    }
    Ok(pairs)
}

/// A tag may be an attribute of the span, its resource or an event, or stand for a field.
fn tag_filter(key: &str, value: &str) -> Filter {
    let equals = |field| Filter::Compare {
        field,
        op: Op::Eq,
        value: Operand::Literal(value.to_owned()),
    };
    let attribute = |level| {
        equals(Field::Attribute {
            level,
            key: key.to_owned(),
        })
    };
    let any = Filter::Or(vec![
        attribute(Level::Any),
        attribute(Level::Resource),
        attribute(Level::Event),
    ]);
    let status = |name: &str| Filter::text_equals(Field::Status, name);
    match (key, value) {
        ("error", "true") => Filter::Or(vec![status("error"), any]),
        ("error", "false") => Filter::Not(Box::new(status("error"))),
        ("span.kind", _) => Filter::text_equals(Field::Kind, value.to_ascii_lowercase()),
        ("otel.status_code", _) => status(&value.to_ascii_lowercase()),
        ("otel.status_description", _) => equals(Field::StatusMessage),
        ("otel.scope.name" | "otel.library.name", _) => equals(Field::ScopeName),
        ("otel.scope.version" | "otel.library.version", _) => equals(Field::ScopeVersion),
        ("w3c.tracestate", _) => equals(Field::TraceState),
        ("event", _) => Filter::Or(vec![equals(Field::EventName), any]),
        _ => any,
    }
}
