//! Notes about a result: warnings where it may be wrong, infos where the query may not be what was
//! meant. The texts are those of Prometheus, since users and tests match on them.

use std::collections::BTreeMap;
use std::fmt;

use crate::ast::{Span, line_column};
use crate::format::{general, quote, rfc3339, two_digits};
use crate::histogram::Forced;

/// How serious a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The result may be wrong or incomplete.
    Warning,
    /// The query may not be what was meant.
    Info,
}

/// Where a note belongs, and what is said beyond its text.
#[derive(Debug, Clone)]
struct Note {
    span: Span,
    monotonicity: Option<Monotonicity>,
}

/// Notes in a fixed order. A text is kept once, at the place that said it last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Annotations {
    notes: BTreeMap<(Severity, String), Note>,
}

/// How much had to be changed so that the counts of classic histograms rise, over all of them.
#[derive(Debug, Clone, Copy)]
struct Monotonicity {
    forced: Forced,
    samples: usize,
    first_ms: i64,
    last_ms: i64,
}

impl Monotonicity {
    fn merge(self, other: Self) -> Self {
        Self {
            forced: Forced {
                min_bound: self.forced.min_bound.min(other.forced.min_bound),
                max_bound: self.forced.max_bound.max(other.forced.max_bound),
                max_difference: self.forced.max_difference.max(other.forced.max_difference),
            },
            samples: self.samples + other.samples,
            first_ms: self.first_ms.min(other.first_ms),
            last_ms: self.last_ms.max(other.last_ms),
        }
    }
}

impl fmt::Display for Monotonicity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            general(self.forced.min_bound),
            general(self.forced.max_bound),
            two_digits(self.forced.max_difference),
            self.samples,
            rfc3339(self.first_ms),
            rfc3339(self.last_ms),
        )
    }
}

/// An operation on histograms, as messages name it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Addition => "addition",
            Operation::Subtraction => "subtraction",
            Operation::Aggregation => "aggregation",
        }
    }
}

/// More notes than this are not kept: each has its own text, so that a query over many metrics
/// could otherwise collect one for each.
const MAX_NOTES: usize = 100;

impl Annotations {
    fn add(&mut self, severity: Severity, message: String, span: Span) {
        let note = Note {
            span,
            monotonicity: None,
        };
        self.insert((severity, message), note);
    }

    fn insert(&mut self, key: (Severity, String), mut note: Note) {
        if let Some(known) = self.notes.get_mut(&key) {
            note.monotonicity = match (known.monotonicity, note.monotonicity) {
                (Some(known), Some(new)) => Some(known.merge(new)),
                (known, new) => known.or(new),
            };
            *known = note;
        } else if self.notes.len() < MAX_NOTES {
            self.notes.insert(key, note);
        }
    }

    /// Takes over the notes of another evaluation, of later steps of the same query.
    pub(crate) fn merge(&mut self, other: Self) {
        for (key, note) in other.notes {
            self.insert(key, note);
        }
    }

    /// Takes over the notes of an evaluation of the same steps over other series. It may have come
    /// before this one, so what stands last in the query counts as said last.
    pub(crate) fn merge_beside(&mut self, other: Self) {
        for (key, mut note) in other.notes {
            if let Some(known) = self.notes.get(&key)
                && known.span.start > note.span.start
            {
                note.span = known.span;
            }
            self.insert(key, note);
        }
    }

    fn warn(&mut self, message: impl Into<String>, span: Span) {
        self.add(Severity::Warning, message.into(), span);
    }

    fn info(&mut self, message: impl Into<String>, span: Span) {
        self.add(Severity::Info, message.into(), span);
    }

    /// The texts of one severity with their positions in the query.
    pub(crate) fn render(&self, severity: Severity, query: &str) -> Vec<String> {
        let prefix = match severity {
            Severity::Warning => "PromQL warning",
            Severity::Info => "PromQL info",
        };
        let mut texts: Vec<String> = self
            .notes
            .iter()
            .filter(|((kind, _), _)| *kind == severity)
            .map(|((_, message), note)| {
                let (line, column) = line_column(query, note.span.start);
                let detail = note
                    .monotonicity
                    .map_or_else(String::new, |m| m.to_string());
                format!("{prefix}: {message}{detail} ({line}:{column})")
            })
            .collect();
        if self.notes.len() >= MAX_NOTES && !texts.is_empty() {
            texts.push(format!(
                "{prefix}: more than {MAX_NOTES} notes, the others are left out"
            ));
        }
        texts
    }

    pub(crate) fn invalid_quantile(&mut self, q: f64, span: Span) {
        let q = general(q);
        self.warn(
            format!("quantile value should be between 0 and 1, got {q}"),
            span,
        );
    }

    pub(crate) fn invalid_ratio(&mut self, ratio: f64, capped: f64, span: Span) {
        let (ratio, capped) = (general(ratio), general(capped));
        let message =
            format!("ratio value should be between -1 and 1, got {ratio}, capping to {capped}");
        self.warn(message, span);
    }

    pub(crate) fn bad_bucket_label(&mut self, metric: &str, label: &str, span: Span) {
        let message = format!(
            "bucket label \"le\" is missing or has a malformed value of {}",
            quote(label)
        );
        self.warn(with_metric(message, metric), span);
    }

    pub(crate) fn mixed_in_range(&mut self, metric: &str, span: Span) {
        let metric = quote(metric);
        self.warn(
            format!("encountered a mix of histograms and floats for metric name {metric}"),
            span,
        );
    }

    pub(crate) fn mixed_in_aggregation(&mut self, span: Span) {
        self.warn(
            "encountered a mix of histograms and floats for aggregation",
            span,
        );
    }

    pub(crate) fn mixed_classic_native(&mut self, metric: &str, span: Span) {
        let message = "vector contains a mix of classic and native histograms";
        self.warn(with_metric(message.to_owned(), metric), span);
    }

    pub(crate) fn not_a_counter(&mut self, metric: &str, span: Span) {
        let metric = quote(metric);
        self.warn(
            format!("this native histogram metric is not a counter: {metric}"),
            span,
        );
    }

    pub(crate) fn not_a_gauge(&mut self, metric: &str, span: Span) {
        let metric = quote(metric);
        self.warn(
            format!("this native histogram metric is not a gauge: {metric}"),
            span,
        );
    }

    pub(crate) fn mixed_schemas(&mut self, metric: &str, span: Span) {
        let metric = quote(metric);
        let message = format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {metric}"
        );
        self.warn(message, span);
    }

    pub(crate) fn incompatible_layout(&mut self, operator: &str, span: Span) {
        let message =
            format!("incompatible bucket layout encountered for binary operator {operator}");
        self.warn(message, span);
    }

    pub(crate) fn ineffective_sort(&mut self, span: Span) {
        let message =
            "sort is ineffective for range queries since results are always ordered by labels";
        self.warn(message, span);
    }

    pub(crate) fn hint_collision(&mut self, operation: Operation, span: Span) {
        let operation = operation.name();
        self.warn(
            format!("conflicting counter resets during histogram {operation}"),
            span,
        );
    }

    pub(crate) fn bounds_reconciled(&mut self, operation: Operation, span: Span) {
        let operation = operation.name();
        self.info(
            format!("mismatched custom buckets were reconciled during {operation}"),
            span,
        );
    }

    pub(crate) fn not_typed_as_counter(&mut self, metric: &str, kind: &str, span: Span) {
        let message = format!(
            "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
            quote(kind),
            quote(metric)
        );
        self.info(message, span);
    }

    pub(crate) fn possible_non_counter(&mut self, metric: &str, span: Span) {
        let message = format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
            quote(metric)
        );
        self.info(message, span);
    }

    pub(crate) fn forced_monotonicity(
        &mut self,
        metric: &str,
        forced: Forced,
        time_ms: i64,
        span: Span,
    ) {
        let message = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
        let monotonicity = Monotonicity {
            forced,
            samples: 1,
            first_ms: time_ms,
            last_ms: time_ms,
        };
        let note = Note {
            span,
            monotonicity: Some(monotonicity),
        };
        let message = with_metric(message.to_owned(), metric);
        self.insert((Severity::Info, message), note);
    }

    pub(crate) fn incompatible_types(&mut self, lhs: &str, operator: &str, rhs: &str, span: Span) {
        let message = format!(
            "incompatible sample types encountered for binary operator \"{operator}\": {lhs} {operator} {rhs}"
        );
        self.info(message, span);
    }

    pub(crate) fn ignored_in_aggregation(&mut self, operator: &str, span: Span) {
        self.info(format!("ignored histogram in {operator} aggregation"), span);
    }

    pub(crate) fn ignored_in_range(&mut self, metric: &str, span: Span) {
        let message = format!(
            "ignored histograms in a range containing both floats and histograms for metric name {}",
            quote(metric)
        );
        self.info(message, span);
    }

    pub(crate) fn nan_quantile(&mut self, metric: &str, skewed: bool, span: Span) {
        let effect = if skewed {
            "result is skewed higher"
        } else {
            "result is NaN"
        };
        let message = format!("input to histogram_quantile has NaN observations, {effect}");
        self.info(with_metric(message, metric), span);
    }

    pub(crate) fn nan_fraction(&mut self, metric: &str, span: Span) {
        let message = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
        self.info(with_metric(message.to_owned(), metric), span);
    }
}

fn with_metric(message: String, metric: &str) -> String {
    if metric.is_empty() {
        message
    } else {
        format!("{message} for metric name {}", quote(metric))
    }
}
