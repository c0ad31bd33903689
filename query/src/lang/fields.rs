//! Field names: the intrinsics, and the prefixes that say whose attribute a key names.

use model::Signal;
use storage::filter::{Field, Level};

/// What a condition is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A field of one row.
    Row(Field),
    /// A property of a whole trace.
    Trace(TraceField),
}

/// A property of a whole trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceField {
    /// From the start of the earliest span to the end of the latest.
    Duration,
    /// Number of spans.
    Spans,
    /// Number of spans with status error.
    Errors,
    /// Service of the root span.
    RootService,
    /// Name of the root span.
    RootName,
}

/// Which values a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Text, compared whole.
    Text,
    /// Text, searched by words.
    Body,
    /// One of a few names.
    Choice(&'static [&'static str]),
    /// Severity by name, in order.
    Level,
    /// Severity as a number.
    Severity,
    /// A number.
    Count,
    /// A length of time, with a unit.
    Duration,
    /// This many hex digits.
    Id(usize),
    /// Whatever was sent.
    Attribute,
}

const KINDS: &[&str] = &[
    "unspecified",
    "internal",
    "server",
    "client",
    "producer",
    "consumer",
];
const STATUSES: &[&str] = &["unset", "ok", "error"];
/// Levels from the least severe to the most.
pub(super) const LEVELS: &[&str] = &["trace", "debug", "info", "warn", "error", "fatal"];

const SPANS: &[Signal] = &[Signal::Traces];
const LOGS: &[Signal] = &[Signal::Logs];
const SPANS_AND_LOGS: &[Signal] = &[Signal::Traces, Signal::Logs];
const SPANS_AND_POINTS: &[Signal] = &[Signal::Traces, Signal::Metrics];
const EVERY: &[Signal] = &[Signal::Traces, Signal::Logs, Signal::Metrics];

/// An intrinsic of a row.
struct Intrinsic {
    name: &'static str,
    field: Field,
    shape: Shape,
    /// Rows of which signals have it.
    of: &'static [Signal],
}

const fn of(of: &'static [Signal], name: &'static str, field: Field, shape: Shape) -> Intrinsic {
    Intrinsic {
        name,
        field,
        shape,
        of,
    }
}

/// Every intrinsic of a row. The first name of a field is the one printed.
const ROW: &[Intrinsic] = &[
    of(EVERY, "service", Field::Service, Shape::Text),
    of(SPANS_AND_POINTS, "name", Field::Name, Shape::Text),
    of(SPANS, "kind", Field::Kind, Shape::Choice(KINDS)),
    of(SPANS, "status", Field::Status, Shape::Choice(STATUSES)),
    of(SPANS, "status.message", Field::StatusMessage, Shape::Text),
    of(SPANS, "duration", Field::Duration, Shape::Duration),
    of(SPANS_AND_LOGS, "trace_id", Field::TraceId, Shape::Id(32)),
    of(SPANS_AND_LOGS, "span_id", Field::SpanId, Shape::Id(16)),
    of(SPANS, "parent_id", Field::ParentId, Shape::Id(16)),
    of(SPANS, "trace_state", Field::TraceState, Shape::Text),
    of(LOGS, "level", Field::Level, Shape::Level),
    of(LOGS, "severity", Field::Severity, Shape::Severity),
    of(LOGS, "severity_text", Field::SeverityText, Shape::Text),
    of(LOGS, "body", Field::Body, Shape::Body),
    of(SPANS_AND_LOGS, "event.name", Field::EventName, Shape::Text),
    of(SPANS, "link.trace_id", Field::LinkTraceId, Shape::Id(32)),
    of(
        SPANS_AND_LOGS,
        "correlation",
        Field::Correlation,
        Shape::Text,
    ),
    of(EVERY, "scope.name", Field::ScopeName, Shape::Text),
    of(EVERY, "scope.version", Field::ScopeVersion, Shape::Text),
];

/// What stands for a field in the rows of another signal.
const COUNTERPARTS: &[(Field, Field)] = &[
    (Field::Level, Field::Status),
    (Field::Severity, Field::Status),
    (Field::SeverityText, Field::Status),
    (Field::Body, Field::Name),
    (Field::Status, Field::Level),
    (Field::StatusMessage, Field::Body),
    (Field::Name, Field::Body),
    (Field::ParentId, Field::SpanId),
    (Field::LinkTraceId, Field::TraceId),
];

/// Every intrinsic of a trace.
const TRACE: &[(&str, TraceField, Shape)] = &[
    ("trace.duration", TraceField::Duration, Shape::Duration),
    ("trace.spans", TraceField::Spans, Shape::Count),
    ("trace.errors", TraceField::Errors, Shape::Count),
    ("trace.root.service", TraceField::RootService, Shape::Text),
    ("trace.root.name", TraceField::RootName, Shape::Text),
];

/// Prefixes that say whose attribute a key names.
const PREFIXES: &[(&str, Level)] = &[
    ("resource.", Level::Resource),
    ("scope.", Level::Scope),
    ("attr.", Level::Row),
    ("event.", Level::Event),
    ("link.", Level::Link),
];

/// Names of all intrinsics, rows first.
pub fn intrinsic_names() -> impl Iterator<Item = &'static str> {
    ROW.iter()
        .map(|row| row.name)
        .chain(TRACE.iter().map(|row| row.0))
}

/// Names of the intrinsics that a query of this signal may use.
pub fn names_of<'a>(signal: Signal) -> impl Iterator<Item = &'a str> {
    let traces = TRACE.iter().filter(move |_| signal == Signal::Traces);
    ROW.iter()
        .filter(move |row| row.of.contains(&signal))
        .map(|row| row.name)
        .chain(traces.map(|row| row.0))
}

/// The signals whose rows can have a field.
pub(super) fn signals_of(field: &Field) -> &'static [Signal] {
    match field {
        Field::Attribute {
            level: Level::Event | Level::Link,
            ..
        } => SPANS,
        Field::Attribute { .. } => EVERY,
        other => intrinsic(other).map_or(EVERY, |row| row.of),
    }
}

/// What rows of a signal have instead of a field that they lack.
pub(super) fn counterpart(field: &Field, signal: Signal) -> Option<&'static str> {
    let (_, instead) = COUNTERPARTS.iter().find(|pair| pair.0 == *field)?;
    let row = intrinsic(instead)?;
    row.of.contains(&signal).then_some(row.name)
}

fn intrinsic(field: &Field) -> Option<&'static Intrinsic> {
    ROW.iter().find(|row| row.field == *field)
}

/// What an unquoted name means.
pub fn subject_of(name: &str) -> Subject {
    if let Some(row) = ROW.iter().find(|row| row.name == name) {
        return Subject::Row(row.field.clone());
    }
    if let Some((_, field, _)) = TRACE.iter().find(|row| row.0 == name) {
        return Subject::Trace(*field);
    }
    for (prefix, level) in PREFIXES {
        if let Some(key) = name.strip_prefix(prefix).filter(|key| !key.is_empty()) {
            return attribute(*level, key);
        }
    }
    attribute(Level::Any, name)
}

/// The attribute of a key that stands in quotes, after one of the prefixes or after nothing.
pub(super) fn quoted_subject(prefix: &str, key: &str) -> Option<Subject> {
    if prefix.is_empty() {
        return Some(attribute(Level::Any, key));
    }
    let (_, level) = PREFIXES.iter().find(|(known, _)| *known == prefix)?;
    Some(attribute(*level, key))
}

fn attribute(level: Level, key: &str) -> Subject {
    Subject::Row(Field::Attribute {
        level,
        key: key.to_owned(),
    })
}

impl Subject {
    /// Which values it has.
    pub fn shape(&self) -> Shape {
        match self {
            Subject::Row(field) => intrinsic(field).map_or(Shape::Attribute, |row| row.shape),
            Subject::Trace(field) => TRACE
                .iter()
                .find(|row| row.1 == *field)
                .map_or(Shape::Count, |row| row.2),
        }
    }

    /// Its name as written in a query.
    pub fn text(&self) -> String {
        match self {
            Subject::Row(field) => field_text(field),
            Subject::Trace(field) => {
                let row = TRACE.iter().find(|row| row.1 == *field);
                row.map_or("trace", |row| row.0).to_owned()
            }
        }
    }
}

/// The name of a field as written in a query, quoted where it has to be.
pub fn field_text(field: &Field) -> String {
    let Field::Attribute { level, key } = field else {
        return intrinsic(field).map_or("", |row| row.name).to_owned();
    };
    let prefix = PREFIXES
        .iter()
        .find(|row| row.1 == *level)
        .map_or("", |row| row.0);
    let plain = format!("{prefix}{key}");
    let is_plain = !key.is_empty()
        && !plain.starts_with('-')
        && plain
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | '@'));
    if is_plain && matches!(subject_of(&plain), Subject::Row(same) if same == *field) {
        plain
    } else {
        format!("{prefix}{}", super::print::quote(key))
    }
}

/// The values of a field that has only a few, for completion.
pub fn enum_values(subject: &Subject) -> &'static [&'static str] {
    match subject.shape() {
        Shape::Choice(values) => values,
        Shape::Level => LEVELS,
        _ => &[],
    }
}
