//! Answers as text.

use std::fmt::Display;

use api::types::{
    CardinalityAnswer, Completeness, LogView, Source, SourceState, SpanView, StoryAnswer, TailGap,
    TraceAnswer,
};
use serde_json::Value as Json;

use crate::output::line;

/// How wide the bar of a waterfall is.
const BAR: usize = 32;

/// A trace as a waterfall.
pub(crate) fn print_trace(trace: &TraceAnswer) -> anyhow::Result<()> {
    line(&format!(
        "trace {}  {} spans",
        trace.trace_id,
        trace.spans.len()
    ))?;
    waterfall(&trace.spans)?;
    missing(&trace.missing_parents)?;
    completeness(&trace.completeness)
}

fn missing(parents: &[String]) -> anyhow::Result<()> {
    if parents.is_empty() {
        return Ok(());
    }
    line(&format!(
        "incomplete: parent spans not found: {}",
        parents.join(", ")
    ))
}

fn waterfall(spans: &[SpanView]) -> anyhow::Result<()> {
    let begin = spans
        .iter()
        .map(SpanView::corrected_start_unix_nano)
        .min()
        .unwrap_or_default();
    let end = spans
        .iter()
        .map(SpanView::corrected_end_unix_nano)
        .max()
        .unwrap_or_default();
    let total = end.saturating_sub(begin).max(1);
    for span in spans {
        let mark = if span.status.code == 2 {
            "\u{2717}"
        } else {
            " "
        };
        let indent = "  ".repeat(span.depth.min(20) as usize);
        let label = clean(&format!("{indent}{} {}", span.service, span.name));
        let inferred = if span.inferred {
            format!("  (inferred from logs, confidence {})", span.confidence)
        } else {
            String::new()
        };
        let duration = span
            .end_time_unix_nano
            .saturating_sub(span.start_time_unix_nano);
        let at = |time: u64| {
            let offset = u128::from(time.saturating_sub(begin)) * BAR as u128 / u128::from(total);
            usize::try_from(offset).unwrap_or(BAR).min(BAR)
        };
        let from = at(span.corrected_start_unix_nano()).min(BAR - 1);
        let length = at(span.corrected_end_unix_nano())
            .saturating_sub(from)
            .max(1);
        let bar = format!("{}{}", " ".repeat(from), "\u{2501}".repeat(length));
        line(&format!(
            "{mark} {label:<48} {bar:<BAR$} {:>10}{inferred}{}",
            format_duration(duration),
            clock(span.clock_adjust_nano)
        ))?;
    }
    Ok(())
}

/// A story: its spans, its logs, and why they belong together.
pub(crate) fn story(story: &StoryAnswer) -> anyhow::Result<()> {
    line(&format!(
        "story {}  {} spans, {} log records",
        clean(&story.id),
        story.spans.len(),
        story.logs.len()
    ))?;
    waterfall(&story.spans)?;
    missing(&story.missing_parents)?;
    for record in &story.logs {
        log_at(record, record.corrected_time_unix_nano())?;
    }
    for join in &story.joins {
        line(&clean(&format!("join  {}", join.reason)))?;
    }
    for hub in &story.hubs {
        line(&clean(&format!(
            "hub   {}={} is shared by {} traces and was not followed",
            hub.key, hub.value, hub.traces
        )))?;
    }
    for alert in &story.alerts {
        line(&clean(&format!("alert {} {}", alert.name, alert.state)))?;
    }
    completeness(&story.completeness)
}

/// Of what there are most series, in three tables.
pub(crate) fn cardinality(answer: &CardinalityAnswer) -> anyhow::Result<()> {
    let row = |series: &dyn Display, samples: &dyn Display, what: &str| {
        line(&format!("{series:>10} {samples:>14}  {}", clean(what)))
    };
    line(&format!(
        "{} series, {} samples",
        answer.series, answer.samples
    ))?;
    line("")?;
    row(&"series", &"samples", "metric")?;
    for metric in &answer.metrics {
        row(&metric.series, &metric.samples, &metric.value)?;
    }
    line("")?;
    row(&"series", &"samples", "label (values)")?;
    for label in &answer.labels {
        let what = format!("{} ({})", label.label, label.values);
        row(&label.series, &label.samples, &what)?;
    }
    line("")?;
    row(&"series", &"samples", "value")?;
    for value in &answer.values {
        let what = format!("{}={:?}", value.label, value.value);
        row(&value.series, &value.samples, &what)?;
    }
    completeness(&answer.completeness)
}

/// How far a sender's clock was off, where that is known.
fn clock(adjust_nano: i64) -> String {
    if adjust_nano == 0 {
        return String::new();
    }
    let by = format_duration(adjust_nano.unsigned_abs());
    let way = if adjust_nano > 0 { "behind" } else { "ahead" };
    format!("  (sender's clock {by} {way})")
}

/// One log record, with the time that was sent.
pub(crate) fn log(log: &LogView) -> anyhow::Result<()> {
    log_at(log, log.time_unix_nano)
}

/// One log record, shown at this time.
fn log_at(log: &LogView, unix_nano: u64) -> anyhow::Result<()> {
    let body = match &log.body {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let level = if log.severity_text.is_empty() {
        model::log::level_name(log.severity_number)
            .unwrap_or("-")
            .to_owned()
    } else {
        log.severity_text.clone()
    };
    let mut lines = body.lines();
    line(&clean(&format!(
        "{} {:<5} {} {}{}",
        format_time(unix_nano),
        level,
        log.service,
        lines.next().unwrap_or_default(),
        clock(log.clock_adjust_nano)
    )))?;
    // The lines of a stack trace stay lines.
    lines.try_for_each(|more| line(&clean(&format!("    {}", more.replace('\t', "    ")))))
}

/// What a tail lacks of a source that was away.
pub(crate) fn gap(gap: &TailGap) -> anyhow::Result<()> {
    line(&clean(&format!(
        "-- {} is back; records of {} to {} may be missing: ask with --start {} --end {}",
        gap.source,
        format_time(gap.from_unix_nano),
        format_time(gap.until_unix_nano),
        gap.from_unix_nano,
        gap.until_unix_nano
    )))
}

/// A PromQL answer as Prometheus' text form, one series a line.
pub(crate) fn promql(answer: &Json) -> anyhow::Result<()> {
    let data = &answer["data"];
    let series = |entry: &Json| {
        let labels: Vec<String> = entry["metric"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != "__name__")
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let name = entry["metric"]["__name__"].as_str().unwrap_or_default();
        format!("{name}{{{}}}", labels.join(", "))
    };
    match data["result"].as_array() {
        Some(pair) if data["resultType"] != "vector" && data["resultType"] != "matrix" => {
            line(pair.get(1).and_then(Json::as_str).unwrap_or_default())?;
        }
        Some(list) => {
            for entry in list {
                let value = entry["value"][1].as_str().map_or_else(
                    || {
                        entry
                            .get("values")
                            .or(entry.get("histogram"))
                            .map(ToString::to_string)
                    },
                    |value| Some(value.to_owned()),
                );
                line(&clean(&format!(
                    "{} {}",
                    series(entry),
                    value.unwrap_or_default()
                )))?;
            }
        }
        None => line(&answer.to_string())?,
    }
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        line(&clean(&format!(
            "warning: {}",
            warning.as_str().unwrap_or_default()
        )))?;
    }
    Ok(())
}

/// What may be wrong with the question, and what the answer lacks, if anything.
pub(crate) fn completeness(completeness: &Completeness) -> anyhow::Result<()> {
    for hint in &completeness.hints {
        line(&clean(&format!("hint: {hint}")))?;
    }
    for cut in &completeness.cut {
        line(&clean(&format!(
            "cut: {} {} ({})",
            cut.limit, cut.value, cut.hint
        )))?;
    }
    for (state, what) in [
        (SourceState::Lost, "lost"),
        (SourceState::Lagging, "lagging"),
    ] {
        if let Some(names) = named(&completeness.complete_to, state) {
            line(&clean(&format!("incomplete: {what}: {names}")))?;
        }
    }
    Ok(())
}

/// The sources of this state: the first of them by name, the others by number.
fn named(sources: &[Source], state: SourceState) -> Option<String> {
    const NAMED: usize = 5;
    let names: Vec<&str> = sources
        .iter()
        .filter(|source| source.state == state)
        .map(|source| source.source.as_str())
        .collect();
    if names.is_empty() {
        return None;
    }
    let first = names[..names.len().min(NAMED)].join(", ");
    Some(match names.len() - names.len().min(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    })
}

/// Control characters in data must not reach the terminal.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn format_time(unix_nano: u64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(unix_nano))
        .map_or_else(|_| unix_nano.to_string(), |time| format!("{time:.3}"))
}

#[allow(clippy::cast_precision_loss)]
fn format_duration(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{:.1}\u{b5}s", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}ms", nanos as f64 / 1e6),
        _ => format!("{:.2}s", nanos as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use api::types::SourceKind;

    use super::*;

    #[test]
    fn sources_beyond_the_first_few_are_numbered() {
        let sources: Vec<Source> = (0..7)
            .map(|n| Source {
                source: format!("node-{n}"),
                kind: SourceKind::Agent,
                unix_nano: 1,
                state: if n == 3 {
                    SourceState::Live
                } else {
                    SourceState::Lost
                },
            })
            .collect();
        let lost = named(&sources, SourceState::Lost).unwrap();
        assert_eq!(lost, "node-0, node-1, node-2, node-4, node-5 and 1 more");
        assert_eq!(named(&sources, SourceState::Live).unwrap(), "node-3");
        assert!(named(&sources, SourceState::Lagging).is_none());
    }
}
