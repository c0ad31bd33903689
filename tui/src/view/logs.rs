//! Logs: counts over time, and the records with the newest last.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::draw_empty;
use crate::layout::{Layout, LogColumns, WRAP_ROWS, log_columns, log_height};
use crate::model::logs::LogLine;
use crate::model::{Follow, Logs, Model};
use crate::text::{count, find_ignoring_case, fit, sanitise, width, wrap};
use crate::theme::Theme;
use crate::widgets::canvas::{columns, put, row};
use crate::widgets::{histogram, list};
use crate::zone::Zone;

/// Draws the screen.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    areas: &Layout,
    model: &Model,
    theme: &Theme,
    logs: &Logs,
) {
    let buffer = frame.buffer_mut();
    if let Some(counts) = logs
        .histogram
        .value
        .as_ref()
        .filter(|_| areas.histogram.height > 1)
    {
        let area = areas.histogram;
        histogram::draw(buffer, area, theme, counts, model.now, &model.zone);
    }
    if logs.store.is_empty() {
        let nothing = model.range_shown().without("record matches", &model.zone);
        let nothing = format!("{nothing}; F follows");
        draw_empty(frame, areas.list, theme, &logs.load, &nothing);
        return;
    }
    let at = log_columns(logs, &model.zone, model.now, areas.list.width);
    let height = |index: usize| {
        let line = logs.store.get(index);
        line.map_or(1, |line| log_height(line, &at, logs.wrap))
    };
    list::draw(
        buffer,
        areas.list,
        theme,
        &logs.list,
        logs.store.len(),
        height,
        |buffer, index, place| {
            if let Some(line) = logs.store.get(index) {
                draw_line(buffer, place, theme, &model.zone, &at, line, logs);
            }
        },
    );
}

fn draw_line(
    buffer: &mut Buffer,
    place: Rect,
    theme: &Theme,
    zone: &Zone,
    at: &LogColumns,
    line: &LogLine,
    logs: &Logs,
) {
    let first = row(place, 0);
    let time = zone.stamp(line.time, at.dated);
    put(buffer, first, 0, &time, theme.dim);
    let (level, style) = match line.severity {
        0 => ("    -", theme.dim),
        1..=4 => ("trace", theme.dim),
        5..=8 => ("debug", theme.dim),
        9..=12 => (" info", theme.good),
        13..=16 => ("!warn", theme.warn),
        17..=20 => ("✗ err", theme.error),
        _ => ("✗ ftl", theme.error),
    };
    put(buffer, first, at.level, level, style);
    let service = columns(first, at.service, at.text - at.service - 1);
    put(buffer, service, 0, &line.service, theme.strong);
    mark_found(buffer, service, theme, &line.service, &logs.search);
    let style = if line.is_error() {
        theme.error
    } else {
        theme.text
    };
    let body = columns(place, at.text, place.width);
    let texts = if logs.wrap {
        wrap(&line.text, usize::from(body.width), WRAP_ROWS)
    } else {
        vec![&*line.text]
    };
    for (text, y) in texts.into_iter().zip(0..) {
        let row = row(body, y);
        put(buffer, row, 0, text, style);
        mark_found(buffer, row, theme, text, &logs.search);
    }
}

/// Marks what was searched for in a text that fills a row from its beginning.
fn mark_found(buffer: &mut Buffer, row: Rect, theme: &Theme, text: &str, sought: &str) {
    let (shown, _) = fit(text, usize::from(row.width));
    let mut from = 0;
    while let Some(found) = find_ignoring_case(&shown[from..], sought) {
        let found = from + found.start..from + found.end;
        let at = u16::try_from(width(&shown[..found.start])).unwrap_or(u16::MAX);
        let wide = u16::try_from(width(&shown[found.clone()])).unwrap_or(u16::MAX);
        buffer.set_style(columns(row, at, wide), theme.found);
        from = found.end;
    }
}

/// What following does at the moment, with everything that was lost on the way.
pub(super) fn follow_words(follow: &Follow) -> String {
    let mut words = if follow.failure.is_some() {
        "■ stopped, F follows again".to_owned()
    } else if follow.broken.is_some() {
        "○ reconnecting".to_owned()
    } else if follow.gap.is_some() {
        "○ reading what was missed".to_owned()
    } else if follow.paused {
        format!("‖ paused, +{} new, G resumes", count(follow.unseen))
    } else if follow.is_connecting() {
        "○ connecting".to_owned()
    } else {
        "● following".to_owned()
    };
    if follow.caught_up > 0 {
        words.push_str(&format!(", {} caught up", count(follow.caught_up)));
    }
    if follow.lacks {
        words.push_str(" ! not all that was missed is shown, r asks again");
    }
    if follow.dropped > 0 {
        words.push_str(&format!(" ! {} dropped", count(follow.dropped)));
    }
    if !follow.lost.is_empty() {
        words.push_str(&format!(" ! lost {}", sanitise(&follow.lost.join(", "))));
    }
    words
}
