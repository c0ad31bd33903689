//! The waterfall: the visible rows of a timeline, drawn straight to the buffer.
//!
//! Every row is told apart without colour: `✗` an error, `~` an inferred span with its
//! confidence, `?` a parent that was not found, `↪` a span that hangs by a link, `·` a log record.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::canvas::{columns, fill, put, put_number, put_right};
use super::list;
use crate::model::timeline::{Row, RowKind, Timeline, TimelineView};
use crate::text::duration;
use crate::theme::Theme;
use crate::zone::Zone;

/// Columns of a duration.
const DURATION: u16 = 8;
/// Deepest indent drawn; below it rows stand in one column.
const INDENT_MAX: u16 = 24;

/// Columns of the parts of a row.
struct Columns {
    label: u16,
    bar: u16,
}

fn split(width: u16) -> Columns {
    let label = (width * 9 / 20).clamp(width.min(24), 90);
    Columns {
        label,
        bar: width.saturating_sub(label + 1 + DURATION),
    }
}

/// Draws the time axis.
pub(crate) fn draw_axis(
    buffer: &mut Buffer,
    area: Rect,
    theme: &Theme,
    timeline: &Timeline,
    zone: &Zone,
) {
    let split = split(area.width);
    let start = zone.time_of_day(timeline.start);
    put(buffer, columns(area, 0, split.label), 0, &start, theme.dim);
    let axis = columns(area, split.label + 1, split.bar);
    let length = timeline.end.saturating_sub(timeline.start);
    put(buffer, axis, 0, "0", theme.dim);
    if axis.width >= 30 {
        put(
            buffer,
            axis,
            axis.width / 2,
            &duration(length / 2),
            theme.dim,
        );
    }
    put_right(buffer, axis, &duration(length), theme.dim);
}

/// Draws the rows.
pub(crate) fn draw(buffer: &mut Buffer, area: Rect, theme: &Theme, view: &TimelineView) {
    let split = split(area.width);
    let visible = view.visible();
    list::draw(
        buffer,
        area,
        theme,
        &view.list,
        visible.len(),
        |_| 1,
        |buffer, index, place| {
            let number = visible[index];
            let line = &view.timeline.rows()[number as usize];
            draw_label(
                buffer,
                columns(place, 0, split.label),
                theme,
                view,
                number,
                line,
            );
            let bar = columns(place, split.label + 1, split.bar);
            draw_bar(buffer, bar, theme, &view.timeline, line);
            let text = match line.kind {
                RowKind::Log => String::new(),
                _ => duration(line.duration),
            };
            put_number(
                buffer,
                place,
                place.width - DURATION.min(place.width),
                DURATION,
                &text,
                theme.text,
            );
        },
    );
}

fn draw_label(
    buffer: &mut Buffer,
    place: Rect,
    theme: &Theme,
    view: &TimelineView,
    number: u32,
    line: &Row,
) {
    let (mark, style) = mark(line, theme);
    put(buffer, place, 0, mark, style);
    let mut x = 1 + line.depth.min(INDENT_MAX).min(place.width / 2);
    let folded = view.is_folded(number);
    let arrow = match (line.subtree > 1, folded) {
        (false, _) => " ",
        (true, false) => "▾",
        (true, true) => "▸",
    };
    x = put(buffer, place, x, arrow, theme.dim) + 1;
    if folded && line.errors > u32::from(line.error) {
        let hidden = format!("✗{} ", line.errors - u32::from(line.error));
        x = put(buffer, place, x, &hidden, theme.error);
    }
    if line.kind == RowKind::Inferred {
        let sure = format!("~{:.1} ", f64::from(line.confidence) / 100.0);
        x = put(buffer, place, x, &sure, theme.warn);
    }
    if line.linked {
        x = put(buffer, place, x, "↪ ", theme.accent);
    }
    let service = view.timeline.name(line.service);
    if !service.is_empty() {
        x = put(buffer, place, x, service, theme.bar(line.service)) + 1;
    }
    let style = match line.kind {
        _ if line.error => theme.error,
        RowKind::Missing => theme.warn,
        RowKind::Log => theme.dim,
        RowKind::Span | RowKind::Inferred => theme.text,
    };
    put(buffer, place, x, view.timeline.name(line.name), style);
}

fn mark(line: &Row, theme: &Theme) -> (&'static str, Style) {
    match line.kind {
        _ if line.error => ("✗", theme.error),
        RowKind::Missing => ("?", theme.warn),
        RowKind::Log => ("·", theme.dim),
        RowKind::Inferred => ("~", theme.warn),
        RowKind::Span => (" ", theme.text),
    }
}

fn draw_bar(buffer: &mut Buffer, place: Rect, theme: &Theme, timeline: &Timeline, line: &Row) {
    let wide = u64::from(place.width);
    if wide == 0 {
        return;
    }
    let total = u128::from(timeline.end.saturating_sub(timeline.start)).max(1);
    let column = |time: u64| {
        let after = u128::from(time.saturating_sub(timeline.start));
        // At most the width, which came from a u16.
        (after * u128::from(wide) / total).min(u128::from(wide)) as u16
    };
    let from = column(line.start).min(place.width - 1);
    let until = column(line.start.saturating_add(line.duration)).max(from + 1);
    let service = theme.bar(line.service);
    let (symbol, style) = match line.kind {
        RowKind::Log => ("•", if line.error { theme.error } else { theme.dim }),
        RowKind::Missing => ("╌", theme.warn),
        RowKind::Inferred => ("┄", if line.error { theme.error } else { service }),
        RowKind::Span => ("━", if line.error { theme.error } else { service }),
    };
    fill(buffer, place, from, until, symbol, style);
    if line.error && line.kind != RowKind::Log {
        fill(buffer, place, until - 1, until, "✗", theme.error);
    }
}
