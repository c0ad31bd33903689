//! Text at a place, clipped and cut.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::text::{fit, width};

/// One row of an area; empty where the area has no such row.
pub(crate) fn row(area: Rect, y: u16) -> Rect {
    if y < area.height {
        Rect {
            y: area.y + y,
            height: 1,
            ..area
        }
    } else {
        Rect::default()
    }
}

/// The part of a row from a column on, at most so wide.
pub(crate) fn columns(row: Rect, from: u16, wide: u16) -> Rect {
    let from = from.min(row.width);
    Rect {
        x: row.x + from,
        width: wide.min(row.width - from),
        ..row
    }
}

/// Writes text from a column of the row on; what does not fit is cut and marked. The text must
/// be sanitised. Gives the column after it.
pub(crate) fn put(buffer: &mut Buffer, row: Rect, x: u16, text: &str, style: Style) -> u16 {
    let area = columns(row, x, row.width).intersection(buffer.area);
    if area.is_empty() || x >= row.width {
        return x;
    }
    let wide = usize::from(area.width);
    let (shown, cut) = fit(text, wide);
    let end = if cut {
        let (shown, _) = fit(shown, wide - 1);
        let end = write(buffer, area, shown, style);
        buffer.set_stringn(end, area.y, "…", 1, style).0
    } else {
        write(buffer, area, shown, style)
    };
    end - row.x
}

/// Writes text that fits into the area. ASCII, which most text is, goes to the cells directly.
fn write(buffer: &mut Buffer, area: Rect, text: &str, style: Style) -> u16 {
    if !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return buffer
            .set_stringn(area.x, area.y, text, usize::from(area.width), style)
            .0;
    }
    let mut x = area.x;
    for byte in text.bytes() {
        buffer[(x, area.y)]
            .set_char(char::from(byte))
            .set_style(style);
        x += 1;
    }
    x
}

/// Writes text against the right end of the row.
pub(crate) fn put_right(buffer: &mut Buffer, row: Rect, text: &str, style: Style) {
    let wide = u16::try_from(width(text))
        .unwrap_or(u16::MAX)
        .min(row.width);
    put(buffer, row, row.width - wide, text, style);
}

/// Writes text right-aligned into some columns.
pub(crate) fn put_number(
    buffer: &mut Buffer,
    row: Rect,
    x: u16,
    wide: u16,
    text: &str,
    style: Style,
) {
    put_right(buffer, columns(row, x, wide), text, style);
}

/// Fills cells with a character one column wide.
pub(crate) fn fill(
    buffer: &mut Buffer,
    row: Rect,
    from: u16,
    until: u16,
    symbol: &str,
    style: Style,
) {
    let area = columns(row, from, until.saturating_sub(from)).intersection(buffer.area);
    for x in area.left()..area.right() {
        if area.height > 0 {
            buffer[(x, area.y)].set_symbol(symbol).set_style(style);
        }
    }
}
