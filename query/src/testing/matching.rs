//! Whether a row matches a filter, read off the documentation of the filter.

use model::{KeyValue, LogRecord, Span, SpanKind, StatusCode, TraceId, Value, value};
use storage::filter::{Field, Filter, Level, Op, Operand};

/// A row.
#[derive(Clone, Copy)]
pub(crate) enum Row<'a> {
    Span(&'a Span),
    Log(&'a LogRecord),
}

impl Row<'_> {
    pub(crate) fn matches(self, filter: &Filter) -> bool {
        match filter {
            Filter::All => true,
            Filter::And(list) => list.iter().all(|filter| self.matches(filter)),
            Filter::Or(list) => list.iter().any(|filter| self.matches(filter)),
            Filter::Not(filter) => !self.matches(filter),
            Filter::Exists(field) => !self.values(field).is_empty(),
            Filter::Compare { field, op, value } => self
                .values(field)
                .iter()
                .any(|left| compares(left, *op, value)),
            Filter::AnyOf { field, values } => self
                .values(field)
                .iter()
                .any(|value| values.contains(&value.to_text())),
            Filter::Regex { field, pattern } => {
                let pattern = regex::Regex::new(pattern).unwrap();
                self.values(field)
                    .iter()
                    .any(|value| pattern.is_match(&value.to_text()))
            }
            Filter::Prefix { field, prefix } => self
                .values(field)
                .iter()
                .any(|value| value.to_text().starts_with(prefix)),
            Filter::Words {
                field,
                words,
                phrase,
                prefix,
            } => {
                let text = match (field, self) {
                    (Some(field), _) => self.text(field),
                    (None, Row::Span(span)) => Some(span.name.clone()),
                    (None, Row::Log(log)) => Some(log.body.to_text()),
                };
                text.is_some_and(|text| has_words(&text, words, *phrase, *prefix))
            }
        }
    }

    /// The text of a field.
    pub(crate) fn text(self, field: &Field) -> Option<String> {
        self.values(field).first().map(Value::to_text)
    }

    pub(crate) fn attribute_keys(self) -> Vec<Field> {
        let (row, resource) = match self {
            Row::Span(span) => (&span.attributes, &span.resource),
            Row::Log(log) => (&log.attributes, &log.resource),
        };
        let of = |level: Level, attributes: &[KeyValue]| -> Vec<Field> {
            let keys = attributes.iter().map(|kv| kv.key.clone());
            keys.map(|key| Field::Attribute { level, key }).collect()
        };
        let mut fields = of(Level::Row, row);
        fields.extend(of(Level::Resource, &resource.attributes));
        fields
    }

    fn values(self, field: &Field) -> Vec<Value> {
        let some = |text: &str| vec![Value::from(text)];
        let filled = |text: &str| {
            if text.is_empty() {
                Vec::new()
            } else {
                some(text)
            }
        };
        let id = |id: Option<TraceId>| {
            id.map(|id| Value::from(id.to_string()))
                .into_iter()
                .collect()
        };
        match (field, self) {
            (Field::Service, Row::Span(span)) => some(span.resource.service()),
            (Field::Service, Row::Log(log)) => some(log.resource.service()),
            (Field::Name, Row::Span(span)) => some(&span.name),
            (Field::Kind, Row::Span(span)) => SpanKind::from_code(span.kind)
                .map(|kind| kind.name().into())
                .into_iter()
                .collect(),
            (Field::Status, Row::Span(span)) => StatusCode::from_code(span.status_code)
                .map(|status| status.name().into())
                .into_iter()
                .collect(),
            (Field::Duration, Row::Span(span)) => {
                vec![Value::Int(i64::try_from(span.duration_nano()).unwrap())]
            }
            (Field::TraceId, Row::Span(span)) => some(&span.trace_id.to_string()),
            (Field::TraceId, Row::Log(log)) => id(log.trace_id),
            (Field::SpanId, Row::Span(span)) => some(&span.span_id.to_string()),
            (Field::ParentId, Row::Span(span)) => span
                .parent_span_id
                .map(|id| id.to_string().into())
                .into_iter()
                .collect(),
            (Field::Severity, Row::Log(log)) => vec![Value::Int(log.severity_number.into())],
            (Field::Level, Row::Log(log)) => model::log::level_name(log.severity_number)
                .map(Value::from)
                .into_iter()
                .collect(),
            (Field::SeverityText, Row::Log(log)) => filled(&log.severity_text),
            (Field::Body, Row::Log(log)) => vec![log.body.clone()],
            (Field::SpanId, Row::Log(log)) => log
                .span_id
                .map(|id| id.to_string().into())
                .into_iter()
                .collect(),
            (Field::StatusMessage, Row::Span(span)) => filled(&span.status_message),
            (Field::TraceState, Row::Span(span)) => filled(&span.trace_state),
            (Field::EventName, Row::Log(log)) => filled(&log.event_name),
            (Field::EventName, Row::Span(span)) => span
                .events
                .iter()
                .map(|event| event.name.as_str().into())
                .collect(),
            (Field::LinkTraceId, Row::Span(span)) => span
                .links
                .iter()
                .filter_map(|link| TraceId::from_wire(&link.trace_id))
                .map(|id| id.to_string().into())
                .collect(),
            (Field::Correlation, Row::Span(Span { correlation, .. }))
            | (Field::Correlation, Row::Log(LogRecord { correlation, .. })) => correlation
                .iter()
                .map(|(_, value)| value.as_str().into())
                .collect(),
            (Field::ScopeName, Row::Span(span)) => filled(&span.scope.name),
            (Field::ScopeName, Row::Log(log)) => filled(&log.scope.name),
            (Field::ScopeVersion, Row::Span(span)) => filled(&span.scope.version),
            (Field::ScopeVersion, Row::Log(log)) => filled(&log.scope.version),
            (Field::Attribute { level, key }, row) => row.attribute(*level, key),
            _ => Vec::new(),
        }
    }

    fn attribute(self, level: Level, key: &str) -> Vec<Value> {
        let (own, scope, resource): (&[KeyValue], &[KeyValue], &[KeyValue]) = match self {
            Row::Span(row) => (
                &row.attributes,
                &row.scope.attributes,
                &row.resource.attributes,
            ),
            Row::Log(row) => (
                &row.attributes,
                &row.scope.attributes,
                &row.resource.attributes,
            ),
        };
        let lists: &[&[KeyValue]] = match level {
            Level::Any => &[own, scope, resource],
            Level::Row => &[own],
            Level::Scope => &[scope],
            Level::Resource => &[resource],
            Level::Event | Level::Link => return self.nested(level, key),
        };
        lists
            .iter()
            .find_map(|list| value::last(list, key))
            .cloned()
            .into_iter()
            .collect()
    }
}

impl Row<'_> {
    /// Values of a key in any event or link.
    fn nested(self, level: Level, key: &str) -> Vec<Value> {
        let Row::Span(span) = self else {
            return Vec::new();
        };
        let lists: Vec<&[KeyValue]> = if level == Level::Event {
            span.events
                .iter()
                .map(|event| event.attributes.as_slice())
                .collect()
        } else {
            span.links
                .iter()
                .map(|link| link.attributes.as_slice())
                .collect()
        };
        lists
            .iter()
            .filter_map(|list| value::last(list, key))
            .cloned()
            .collect()
    }
}

fn compares(left: &Value, op: Op, right: &Operand) -> bool {
    #[allow(clippy::cast_precision_loss)]
    let number = match left {
        Value::Int(int) => Some(*int as f64),
        Value::Double(double) => Some(*double),
        _ => None,
    };
    let by = |order: Option<std::cmp::Ordering>| {
        order.is_some_and(|order| match op {
            Op::Eq => order.is_eq(),
            Op::Lt => order.is_lt(),
            Op::Le => order.is_le(),
            Op::Gt => order.is_gt(),
            Op::Ge => order.is_ge(),
        })
    };
    #[allow(clippy::cast_precision_loss)]
    match right {
        Operand::Literal(text) => left.to_text() == *text,
        Operand::Text(text) => left.as_str().is_some_and(|left| by(Some(left.cmp(text)))),
        Operand::Int(int) => number.is_some_and(|left| by(left.partial_cmp(&(*int as f64)))),
        Operand::Double(double) => number.is_some_and(|left| by(left.partial_cmp(double))),
        Operand::Bool(flag) => *left == Value::Bool(*flag),
    }
}

fn has_words(text: &str, words: &[String], phrase: bool, prefix: bool) -> bool {
    let found = storage::words::split(text);
    let equal = |at: usize, word: &String| {
        let last = at + 1 == words.len();
        if prefix && last {
            word.starts_with(&words[at])
        } else {
            *word == words[at]
        }
    };
    if phrase {
        return found
            .windows(words.len().max(1))
            .any(|window| window.iter().enumerate().all(|(at, word)| equal(at, word)));
    }
    (0..words.len()).all(|at| found.iter().any(|word| equal(at, word)))
}
