//! Traces: results with their durations as bars, errors marked.

use api::TraceSummary;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::draw_empty;
use crate::layout::Layout;
use crate::model::{Model, Traces};
use crate::text::{count, duration, sanitise, time_of_day};
use crate::theme::Theme;
use crate::widgets::canvas::{columns, fill, put, put_number, put_right};
use crate::widgets::list;

/// Columns: mark, start, duration, bar, spans, errors; the name has the rest.
const START: u16 = 2;
const DURATION: u16 = START + 13;
const BAR: u16 = DURATION + 9;
const BAR_WIDTH: u16 = 10;
const SPANS: u16 = BAR + BAR_WIDTH + 1;
const ERRORS: u16 = SPANS + 7;
const NAME: u16 = ERRORS + 6;

/// Draws the screen.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    areas: &Layout,
    model: &Model,
    theme: &Theme,
    traces: &Traces,
) {
    let found = traces.load.value.as_deref().unwrap_or_default();
    let buffer = frame.buffer_mut();
    put(buffer, areas.titles, START, "start", theme.dim);
    put_number(buffer, areas.titles, DURATION, 8, "duration", theme.dim);
    put_number(buffer, areas.titles, SPANS, 6, "spans", theme.dim);
    put_number(buffer, areas.titles, ERRORS, 5, "err", theme.dim);
    put(buffer, areas.titles, NAME, "root", theme.dim);
    let more = if traces.cursor.is_some() { "+" } else { "" };
    let right = format!(
        "{}{more} by {} ",
        count(found.len() as u64),
        traces.order.as_str()
    );
    put_right(buffer, areas.titles, &right, theme.dim);
    if found.is_empty() {
        let nothing = format!(
            "no trace matches in {}; t widens the range",
            model.range.text()
        );
        draw_empty(frame, areas.list, theme, &traces.load, &nothing);
        return;
    }
    let longest = found
        .iter()
        .map(|trace| trace.duration_nano)
        .max()
        .unwrap_or(0)
        .max(1);
    list::draw(
        buffer,
        areas.list,
        theme,
        &traces.list,
        found.len(),
        |_| 1,
        |buffer, index, place| {
            draw_trace(buffer, place, theme, &found[index], longest);
        },
    );
}

fn draw_trace(buffer: &mut Buffer, place: Rect, theme: &Theme, trace: &TraceSummary, longest: u64) {
    let failed = trace.error_count > 0;
    let style = if failed { theme.error } else { theme.text };
    if failed {
        put(buffer, place, 0, "✗", theme.error);
    }
    put(
        buffer,
        place,
        START,
        &time_of_day(trace.start_unix_nano),
        theme.dim,
    );
    put_number(
        buffer,
        place,
        DURATION,
        8,
        &duration(trace.duration_nano),
        style,
    );
    let share = u128::from(trace.duration_nano) * u128::from(BAR_WIDTH) / u128::from(longest);
    // At most the bar's width, which is a u16.
    let bar = columns(place, BAR, BAR_WIDTH);
    fill(buffer, bar, 0, (share as u16).max(1), "━", style);
    put_number(
        buffer,
        place,
        SPANS,
        6,
        &count(trace.span_count),
        theme.text,
    );
    if failed {
        put_number(
            buffer,
            place,
            ERRORS,
            5,
            &count(trace.error_count),
            theme.error,
        );
    }
    let x = put(
        buffer,
        place,
        NAME,
        &sanitise(&trace.root_service),
        theme.strong,
    ) + 1;
    let x = put(buffer, place, x, &sanitise(&trace.root_name), theme.text) + 1;
    let others = trace.services.len().saturating_sub(1);
    if others > 0 {
        put(buffer, place, x, &format!("+{others} services"), theme.dim);
    }
}
