//! The detail pane: everything about one row as labelled lines, some of which lead somewhere.

mod pieces;
#[cfg(test)]
mod tests;

use api::{AlertView, Hub, Join, LogView, RuleView, SpanView};
use serde_json::Value as Json;

use super::list::ListState;
use super::otlp::{any_value, key_value, kind_name, list, plain, unix_nano};
use super::subject::{Subject, is_correlation_key, term};
use super::timeline::RowDetail;
use crate::text::{LINE_END, duration, sanitise};
use crate::zone::Zone;

/// Most items of one pane; what is left off is said in the last.
const ITEMS_MAX: usize = 2_000;
/// Longest text of one item, in characters.
const TEXT_CHARS: usize = 16 * 1024;

/// Where an item leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Jump {
    /// A trace, with a span to be marked in it.
    Trace(String, Option<String>),
    /// The story of a value.
    Story(String),
    /// Log records that match.
    Logs(String),
    /// Traces that match.
    Traces(String),
    /// Text for the clipboard.
    Copy(String),
}

/// Whether an item is a value, or a part of one that is too long to be scrolled over at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Piece {
    /// All of it.
    #[default]
    Whole,
    /// The first part of several.
    First,
    /// One behind the first.
    Later,
}

/// One labelled line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Item {
    /// What it is; a heading has no text.
    pub label: String,
    /// Its value, sanitised, or a piece of it.
    pub text: String,
    /// Which piece.
    pub piece: Piece,
    /// Where it leads.
    pub jump: Option<Jump>,
}

impl Item {
    /// Whether it names the items below it.
    pub fn is_heading(&self) -> bool {
        self.text.is_empty() && self.jump.is_none()
    }
}

/// The pane.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detail {
    /// What it is about.
    pub title: String,
    /// Its lines.
    pub items: Vec<Item>,
    /// Where the list of items stands.
    pub list: ListState,
}

impl Detail {
    fn new(title: &str) -> Self {
        Self {
            title: sanitise(title).into_owned(),
            ..Self::default()
        }
    }

    fn push(&mut self, label: &str, text: &str, jump: Option<Jump>) {
        let end = text
            .char_indices()
            .nth(TEXT_CHARS)
            .map_or(text.len(), |(end, _)| end);
        let mut clean = sanitise(&text[..end]).into_owned();
        if end < text.len() {
            clean.push('…');
        }
        let label = sanitise(label);
        let texts = pieces::cut(&clean);
        let several = texts.len() > 1;
        for (place, text) in texts.into_iter().enumerate() {
            if self.items.len() == ITEMS_MAX {
                let text = format!("more than {ITEMS_MAX} lines; the rest is not shown");
                self.items.push(Item {
                    label: "cut".to_owned(),
                    text,
                    ..Item::default()
                });
            }
            if self.items.len() > ITEMS_MAX {
                return;
            }
            self.items.push(Item {
                label: label.to_string(),
                text: text.to_owned(),
                piece: match place {
                    _ if !several => Piece::Whole,
                    0 => Piece::First,
                    _ => Piece::Later,
                },
                jump: jump.clone(),
            });
        }
    }

    /// The whole value of an item, on as many lines as were sent.
    pub fn value(&self, index: usize) -> Option<String> {
        self.items.get(index)?;
        let later = |item: &Item| item.piece == Piece::Later;
        let first = (0..=index)
            .rev()
            .find(|&place| !later(&self.items[place]))?;
        let others = self.items[first + 1..].iter();
        let pieces = others
            .take_while(|item| later(item))
            .map(|item| &*item.text);
        let whole: String = std::iter::once(&*self.items[first].text)
            .chain(pieces)
            .collect();
        Some(whole.replace(LINE_END, "\n"))
    }

    fn some(&mut self, label: &str, text: &str) {
        if !text.is_empty() {
            self.push(label, text, None);
        }
    }

    fn heading(&mut self, label: &str) {
        self.push(label, "", None);
    }

    /// Of any row of a timeline.
    pub fn of_row(row: &RowDetail, zone: &Zone) -> Self {
        match row {
            RowDetail::Span(span) => Self::of_span(span, zone),
            RowDetail::Log(log) => Self::of_log(log, zone),
            RowDetail::Missing { span_id, trace_id } => {
                let mut detail = Self::new("a parent that was not found");
                detail.push("span id", span_id, Some(Jump::Copy(span_id.clone())));
                let logs = format!(
                    "{} {}",
                    term("trace_id", trace_id),
                    term("span_id", span_id)
                );
                detail.push("logs", "of this span", Some(Jump::Logs(logs)));
                let why = "it was sampled away, is late, or its service sends no spans";
                detail.push("why", why, None);
                detail
            }
        }
    }

    /// Of a span.
    pub fn of_span(span: &SpanView, zone: &Zone) -> Self {
        let mut detail = Self::new(&format!("{} {}", span.service, span.name));
        if span.status.code == 2 {
            detail.push("✗ error", &span.status.message, None);
        }
        detail.push(
            "duration",
            &duration(
                span.end_time_unix_nano
                    .saturating_sub(span.start_time_unix_nano),
            ),
            None,
        );
        detail.push("start", &zone.date_time(span.start_time_unix_nano), None);
        detail.push("kind", kind_name(span.kind), None);
        if span.inferred {
            let sure = format!("from logs, confidence {:.2}", span.confidence);
            detail.push("~ inferred", &sure, None);
        }
        detail.clock(
            span.clock_adjust_nano,
            span.corrected_start_unix_nano(),
            zone,
        );
        let subject = Subject::of_span(span);
        let logs = if subject.correlation.is_empty() {
            "of this span"
        } else {
            "of this span, and by its correlation"
        };
        detail.push("logs", logs, subject.logs().map(Jump::Logs));
        detail.push(
            "story",
            "of this trace",
            Some(Jump::Story(span.trace_id.clone())),
        );
        detail.push(
            "trace id",
            &span.trace_id,
            Some(Jump::Copy(span.trace_id.clone())),
        );
        detail.push(
            "span id",
            &span.span_id,
            Some(Jump::Copy(span.span_id.clone())),
        );
        detail.some("parent", &span.parent_span_id);
        detail.some("state", &span.trace_state);
        detail.object("correlation", &span.correlation, true);
        detail.otlp_attributes(
            "attributes",
            &span.attributes,
            span.dropped_attributes_count,
        );
        detail.events(span);
        detail.links(span);
        detail.otlp_attributes("resource", list(&span.resource, "attributes"), 0);
        detail.scope(&span.scope);
        detail
    }

    fn scope(&mut self, scope: &Json) {
        let text = |name: &str| scope.get(name).and_then(Json::as_str).unwrap_or_default();
        if !text("name").is_empty() {
            self.heading("scope");
            self.push("name", text("name"), None);
            self.some("version", text("version"));
        }
        self.otlp_attributes("scope attributes", list(scope, "attributes"), 0);
    }

    fn otlp_attributes(&mut self, heading: &str, attributes: &[Json], dropped: u32) {
        if attributes.is_empty() && dropped == 0 {
            return;
        }
        self.heading(heading);
        for (key, value) in attributes.iter().filter_map(key_value) {
            self.attribute(key, &any_value(value));
        }
        self.dropped(dropped);
    }

    fn attribute(&mut self, key: &str, value: &str) {
        let jump = is_correlation_key(key).then(|| Jump::Story(value.to_owned()));
        self.push(key, value, jump);
    }

    fn dropped(&mut self, dropped: u32) {
        if dropped > 0 {
            self.push(
                "dropped",
                &format!("{dropped} more, by the service itself"),
                None,
            );
        }
    }

    fn events(&mut self, span: &SpanView) {
        if span.events.is_empty() && span.dropped_events_count == 0 {
            return;
        }
        self.heading("events");
        for event in &span.events {
            let after = unix_nano(event, "timeUnixNano").saturating_sub(span.start_time_unix_nano);
            let name = event.get("name").and_then(Json::as_str).unwrap_or_default();
            self.push(&format!("+{}", duration(after)), name, None);
            for (key, value) in list(event, "attributes").iter().filter_map(key_value) {
                self.attribute(&format!("  {key}"), &any_value(value));
            }
        }
        self.dropped(span.dropped_events_count);
    }

    fn links(&mut self, span: &SpanView) {
        if span.links.is_empty() && span.dropped_links_count == 0 {
            return;
        }
        self.heading("links");
        for link in &span.links {
            let text = |name: &str| link.get(name).and_then(Json::as_str).unwrap_or_default();
            let (trace_id, span_id) = (text("traceId"), text("spanId"));
            let jump = Jump::Trace(trace_id.to_owned(), Some(span_id.to_owned()));
            self.push("trace", &format!("{trace_id} span {span_id}"), Some(jump));
            for (key, value) in list(link, "attributes").iter().filter_map(key_value) {
                self.attribute(&format!("  {key}"), &any_value(value));
            }
        }
        self.dropped(span.dropped_links_count);
    }

    /// Of a log record.
    pub fn of_log(log: &LogView, zone: &Zone) -> Self {
        let mut detail = Self::new(&format!("{} log record", log.service));
        detail.push("body", &plain(&log.body), None);
        detail.push("time", &zone.date_time(log.time_unix_nano), None);
        if log.observed_time_unix_nano != 0 && log.observed_time_unix_nano != log.time_unix_nano {
            detail.push(
                "observed",
                &zone.date_time(log.observed_time_unix_nano),
                None,
            );
        }
        detail.clock(log.clock_adjust_nano, log.corrected_time_unix_nano(), zone);
        let severity = format!("{} ({})", log.severity_text, log.severity_number);
        detail.push("severity", severity.trim(), None);
        detail.some("event", &log.event_name);
        if !log.trace_id.is_empty() {
            let span = (!log.span_id.is_empty()).then(|| log.span_id.clone());
            detail.push(
                "trace",
                &log.trace_id,
                Some(Jump::Trace(log.trace_id.clone(), span)),
            );
            detail.some("span", &log.span_id);
        }
        if let Some(query) = Subject::of_log(log).correlated() {
            detail.push(
                "logs",
                "that share its correlation",
                Some(Jump::Logs(query.clone())),
            );
            detail.push(
                "traces",
                "that share its correlation",
                Some(Jump::Traces(query)),
            );
        }
        detail.object("correlation", &log.correlation, true);
        detail.object("attributes", &log.attributes, false);
        detail.object("resource", &log.resource, false);
        if let Some(name) = log.scope.get("name").and_then(Json::as_str) {
            detail.some("scope", name);
        }
        detail
    }

    /// By how much the sender's clock was off, where that is known, and when it really was.
    fn clock(&mut self, adjust_nano: i64, corrected_unix_nano: u64, zone: &Zone) {
        if adjust_nano == 0 {
            return;
        }
        let by = duration(adjust_nano.unsigned_abs());
        let way = if adjust_nano > 0 { "later" } else { "earlier" };
        let at = zone.date_time(corrected_unix_nano);
        self.push("clock", &format!("corrected by {by} {way}, to {at}"), None);
    }

    fn object(&mut self, heading: &str, object: &Json, correlates: bool) {
        let Some(members) = object.as_object().filter(|members| !members.is_empty()) else {
            return;
        };
        self.heading(heading);
        for (key, value) in members {
            let value = plain(value);
            let jump = (correlates || is_correlation_key(key)).then(|| Jump::Story(value.clone()));
            self.push(key, &value, jump);
        }
    }

    /// Of an alert.
    pub fn of_alert(alert: &AlertView, zone: &Zone) -> Self {
        let mut detail = Self::new(&format!("alert {}", alert.name));
        detail.push("state", &alert.state, None);
        detail.push("value", &alert.value.to_string(), None);
        detail.push("since", &zone.date_time(alert.active_since_unix_nano), None);
        if alert.firing_since_unix_nano > 0 {
            detail.push(
                "firing",
                &zone.date_time(alert.firing_since_unix_nano),
                None,
            );
        }
        detail.push("query", &alert.query, Some(Jump::Copy(alert.query.clone())));
        let subject = Subject::of_alert(alert);
        if !subject.service.is_empty() {
            let service = term("service", &subject.service);
            let failed = format!("{service} status:error");
            detail.push("traces", &failed, Some(Jump::Traces(failed.clone())));
            detail.push("logs", &service, Some(Jump::Logs(service.clone())));
        }
        detail.pairs("annotations", &alert.annotations);
        detail.pairs("labels", &alert.labels);
        detail
    }

    fn pairs(&mut self, heading: &str, pairs: &std::collections::BTreeMap<String, String>) {
        if pairs.is_empty() {
            return;
        }
        self.heading(heading);
        for (key, value) in pairs {
            let jump = match key.as_str() {
                "trace_id" | "traceID" => Some(Jump::Trace(value.clone(), None)),
                key if is_correlation_key(key) => Some(Jump::Story(value.clone())),
                _ => None,
            };
            self.push(key, value, jump);
        }
    }

    /// Of a rule.
    pub fn of_rule(rule: &RuleView) -> Self {
        let mut detail = Self::new(&format!("rule {}", rule.name));
        detail.push("kind", &rule.kind, None);
        if !rule.is_recording() {
            detail.push("state", &rule.state, None);
        }
        detail.push("health", &rule.health, None);
        detail.some("✗ error", &rule.last_error);
        detail.push("query", &rule.query, Some(Jump::Copy(rule.query.clone())));
        if !rule.is_recording() {
            detail.push("for", &format!("{} s", rule.for_seconds), None);
        }
        detail.pairs("annotations", &rule.annotations);
        detail.pairs("labels", &rule.labels);
        detail
    }

    /// Of why each part belongs to a story.
    pub fn of_joins(joins: &[Join], hubs: &[Hub], alerts: &[AlertView]) -> Self {
        let mut detail = Self::new("why each part belongs to this story");
        for join in joins {
            detail.push(&join.by, &join.to, Some(Jump::Story(join.to.clone())));
            detail.push("  from", &join.from, None);
            detail.push("  why", &join.reason, None);
        }
        if joins.is_empty() {
            detail.push("joins", "none: everything carries the id itself", None);
        }
        if !hubs.is_empty() {
            detail.heading("hubs: shared by too many traces to be followed");
            for hub in hubs {
                let text = format!("{} ({} traces or more)", hub.value, hub.traces);
                detail.push(&hub.key, &text, Some(Jump::Story(hub.value.clone())));
            }
        }
        if !alerts.is_empty() {
            detail.heading("alerts active in its time");
            for alert in alerts {
                detail.push(
                    &alert.name,
                    &alert.state,
                    Some(Jump::Copy(alert.query.clone())),
                );
            }
        }
        detail
    }
}
