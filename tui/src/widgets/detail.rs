//! The detail pane: labels, wrapped values, and arrows on what leads somewhere.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::canvas::{put, row};
use super::list;
use crate::layout::{ItemPlace, item_height};
use crate::model::detail::{Detail, Piece};
use crate::theme::Theme;

/// Draws the pane.
pub(crate) fn draw(buffer: &mut Buffer, area: Rect, theme: &Theme, detail: &Detail, focused: bool) {
    if area.height == 0 {
        return;
    }
    let title = row(area, 0);
    super::canvas::fill(buffer, title, 0, title.width, "─", theme.dim);
    let style = if focused { theme.accent } else { theme.strong };
    let end = put(buffer, title, 1, " ", style);
    let end = put(buffer, title, end, &detail.title, style);
    put(buffer, title, end, " ", style);
    let body = Rect {
        y: area.y + 1,
        height: area.height - 1,
        ..area
    };
    let mut plain = theme.clone();
    if !focused {
        // The mark is shown where the keys go.
        plain.selected = plain.text;
    }
    list::draw(
        buffer,
        body,
        &plain,
        &detail.list,
        detail.items.len(),
        |index| item_height(&detail.items[index], body.width),
        |buffer, index, place| {
            let item = &detail.items[index];
            let first = row(place, 0);
            if item.is_heading() {
                put(buffer, first, 0, &item.label, theme.strong);
                return;
            }
            if item.piece != Piece::Later {
                let mark = if item.jump.is_some() { "→" } else { " " };
                put(buffer, first, 0, mark, theme.accent);
                put(buffer, first, 1, &item.label, theme.dim);
            }
            let at = ItemPlace::of(item, body.width);
            let error = item.label.starts_with('✗');
            let style = if error { theme.error } else { theme.text };
            for (line, y) in at.lines(&item.text).into_iter().zip(at.row..) {
                put(buffer, row(place, y), at.column, line, style);
            }
        },
    );
}
