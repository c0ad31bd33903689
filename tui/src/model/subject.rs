//! What a row is about: the ids that it carries, and the queries that find what belongs to it.
//!
//! Logs belong to a span by trace and span id, or, where a record has no trace id, by a
//! correlation value that both carry. Records of another trace with the same value are not the
//! span's; the story shows them.

use api::{AlertView, LogView, SpanView};
use model::correlation::DEFAULT_KEYS;
use serde_json::Value as Json;

use super::otlp::{any_value, key_value, plain};
use super::timeline::RowDetail;

/// Most correlation values that a query names.
const VALUES_MAX: usize = 8;

/// What a row is about, for jumps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// Trace id, or empty.
    pub trace_id: String,
    /// Span id, or empty.
    pub span_id: String,
    /// Service name, or empty.
    pub service: String,
    /// Correlation values.
    pub correlation: Vec<String>,
    /// Whether it is a span made up from logs, whose id no record carries.
    pub inferred: bool,
}

impl Subject {
    /// Of a log record.
    pub fn of_log(log: &LogView) -> Self {
        let mut correlation = values(&log.correlation);
        if correlation.is_empty()
            && let Some(members) = log.attributes.as_object()
        {
            let known = members.iter().filter(|(key, _)| is_correlation_key(key));
            correlation = known.map(|(_, value)| plain(value)).collect();
        }
        Self {
            trace_id: log.trace_id.clone(),
            span_id: log.span_id.clone(),
            service: log.service.clone(),
            correlation,
            inferred: false,
        }
    }

    /// Of a span.
    pub fn of_span(span: &SpanView) -> Self {
        let mut correlation = values(&span.correlation);
        if correlation.is_empty() {
            let attributes = span.attributes.iter().filter_map(key_value);
            let known = attributes.filter(|(key, _)| is_correlation_key(key));
            correlation = known.map(|(_, value)| any_value(value)).collect();
        }
        Self {
            trace_id: span.trace_id.clone(),
            span_id: span.span_id.clone(),
            service: span.service.clone(),
            correlation,
            inferred: span.inferred,
        }
    }

    /// Of any row of a timeline.
    pub fn of_row(row: &RowDetail) -> Self {
        match row {
            RowDetail::Span(span) => Self::of_span(span),
            RowDetail::Log(log) => Self::of_log(log),
            RowDetail::Missing { span_id, trace_id } => Self {
                trace_id: trace_id.clone(),
                span_id: span_id.clone(),
                ..Self::default()
            },
        }
    }

    /// Of an alert, from its labels.
    pub fn of_alert(alert: &AlertView) -> Self {
        let label = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| alert.labels.get(*name))
                .cloned()
        };
        Self {
            trace_id: label(&["trace_id", "traceID"]).unwrap_or_default(),
            span_id: label(&["span_id"]).unwrap_or_default(),
            service: label(&["service", "service_name", "service.name", "job"]).unwrap_or_default(),
            correlation: label(&DEFAULT_KEYS).into_iter().collect(),
            inferred: false,
        }
    }

    /// Finds the logs of a span; of a row without one those of [`Self::all_logs`].
    pub fn logs(&self) -> Option<String> {
        if self.trace_id.is_empty() || self.span_id.is_empty() {
            return self.all_logs();
        }
        let trace = term("trace_id", &self.trace_id);
        if self.inferred {
            let belongs = self.or_correlated(trace);
            return Some(format!("{} ({belongs})", term("service", &self.service)));
        }
        let span = format!("{trace} {}", term("span_id", &self.span_id));
        Some(match self.correlated() {
            Some(values) => format!("({span}) OR ({values} -trace_id:*)"),
            None => span,
        })
    }

    /// Finds the logs of the whole trace, else of the correlation values, else of the service.
    pub fn all_logs(&self) -> Option<String> {
        if !self.trace_id.is_empty() {
            return Some(self.or_correlated(term("trace_id", &self.trace_id)));
        }
        let service = || (!self.service.is_empty()).then(|| term("service", &self.service));
        self.correlated().or_else(service)
    }

    /// Finds the traces that share a correlation value.
    pub fn correlated(&self) -> Option<String> {
        match &self.correlation[..] {
            [] => None,
            [value] => Some(term("correlation", value)),
            values => {
                let values: Vec<String> = values
                    .iter()
                    .take(VALUES_MAX)
                    .map(|value| quoted(value))
                    .collect();
                Some(format!("correlation:({})", values.join(" OR ")))
            }
        }
    }

    fn or_correlated(&self, trace: String) -> String {
        match self.correlated() {
            Some(values) => format!("{trace} OR ({values} -trace_id:*)"),
            None => trace,
        }
    }
}

/// The values of `{key: value}`, each once.
fn values(correlation: &Json) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for value in correlation.as_object().into_iter().flat_map(|o| o.values()) {
        let value = plain(value);
        if !value.is_empty() && !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

/// Whether a row is correlated by this key where nobody configured others.
pub(super) fn is_correlation_key(key: &str) -> bool {
    let key = key.trim();
    let key = key.strip_prefix("http.request.header.").unwrap_or(key);
    DEFAULT_KEYS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(key))
}

/// A term of the native query language.
pub fn term(field: &str, value: &str) -> String {
    format!("{field}:{}", quoted(value))
}

/// A value of the native query language, quoted where it needs it.
fn quoted(value: &str) -> String {
    let plain = !value.is_empty()
        && value
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !value.starts_with('-')
        && !matches!(value, "AND" | "OR" | "NOT");
    if plain {
        value.to_owned()
    } else {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn span() -> SpanView {
        SpanView {
            trace_id: "t1".to_owned(),
            span_id: "s1".to_owned(),
            service: "shop".to_owned(),
            correlation: json!({"order": "o 7"}),
            ..SpanView::default()
        }
    }

    #[test]
    fn logs_belong_to_a_span_by_id_or_by_correlation() {
        let mut span = span();
        let logs = |span: &SpanView| Subject::of_span(span).logs().unwrap();
        assert_eq!(
            logs(&span),
            "(trace_id:t1 span_id:s1) OR (correlation:\"o 7\" -trace_id:*)"
        );
        span.correlation = json!({"order": "o7", "request_id": "r1", "x-request-id": "r1"});
        assert_eq!(
            logs(&span),
            "(trace_id:t1 span_id:s1) OR (correlation:(o7 OR r1) -trace_id:*)"
        );
        span.inferred = true;
        span.correlation = json!({"order": "o7"});
        assert_eq!(
            logs(&span),
            "service:shop (trace_id:t1 OR (correlation:o7 -trace_id:*))"
        );
        span.inferred = false;
        span.correlation = Json::Null;
        assert_eq!(logs(&span), "trace_id:t1 span_id:s1");
    }

    #[test]
    fn a_record_without_a_trace_leads_on_by_its_correlation() {
        let mut log = LogView {
            service: "ledger".to_owned(),
            correlation: json!({"order": "o7"}),
            ..LogView::default()
        };
        let subject = Subject::of_log(&log);
        assert_eq!(subject.logs().as_deref(), Some("correlation:o7"));
        assert_eq!(subject.correlated().as_deref(), Some("correlation:o7"));
        log.correlation = Json::Null;
        let subject = Subject::of_log(&log);
        assert_eq!(subject.logs().as_deref(), Some("service:ledger"));
        assert_eq!(subject.correlated(), None);
    }

    #[test]
    fn terms_are_quoted_where_needed() {
        assert_eq!(term("service", "check-out"), "service:check-out");
        assert_eq!(term("service", "a \"b\"\\"), "service:\"a \\\"b\\\"\\\\\"");
        assert_eq!(term("x", ""), "x:\"\"");
        assert_eq!(term("x", "-1"), "x:\"-1\"");
    }
}
