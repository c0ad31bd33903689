//! Notes about a result: warnings where it may be wrong, infos where the query may not be what was
//! meant. The texts are those of Prometheus, since users and tests match on them.

use std::collections::BTreeMap;

use crate::ast::{Span, line_column};
use crate::format::{general, quote};

/// How serious a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The result may be wrong or incomplete.
    Warning,
    /// The query may not be what was meant.
    Info,
}

/// Notes without repeats, in a fixed order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Annotations {
    notes: BTreeMap<(Severity, String, usize), ()>,
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
        if self.notes.len() < MAX_NOTES {
            self.notes.insert((severity, message, span.start), ());
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
            .keys()
            .filter(|(kind, _, _)| *kind == severity)
            .map(|(_, message, start)| {
                let (line, column) = line_column(query, *start);
                format!("{prefix}: {message} ({line}:{column})")
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
        forced: crate::histogram::Forced,
        span: Span,
    ) {
        let message = format!(
            "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}, from buckets {} to {}, with a max diff of {}",
            if metric.is_empty() {
                String::new()
            } else {
                format!(" for metric name {}", quote(metric))
            },
            general(forced.min_bound),
            general(forced.max_bound),
            general(forced.max_difference),
        );
        self.info(message, span);
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
