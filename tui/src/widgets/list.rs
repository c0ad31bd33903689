//! The virtual list: draws the rows of the viewport, whatever the list holds.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::canvas::row;
use crate::model::list::ListState;
use crate::theme::Theme;

/// Calls `draw` for each row in the viewport with its area of `height_of` rows, and marks the
/// row under the cursor.
pub(crate) fn draw(
    buffer: &mut Buffer,
    area: Rect,
    theme: &Theme,
    list: &ListState,
    len: usize,
    height_of: impl Fn(usize) -> usize,
    mut draw: impl FnMut(&mut Buffer, usize, Rect),
) {
    let mut y = 0;
    let mut index = list.offset;
    while y < area.height && index < len {
        let tall = u16::try_from(height_of(index))
            .unwrap_or(u16::MAX)
            .clamp(1, area.height - y);
        let place = Rect {
            height: tall,
            ..row(area, y)
        };
        draw(buffer, index, place);
        if index == list.cursor {
            buffer.set_style(place, theme.selected);
        }
        y += tall;
        index += 1;
    }
}
