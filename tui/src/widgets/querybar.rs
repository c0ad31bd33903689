//! One line of input, and what is wrong with it under the place where it is wrong.

use ratatui::Frame;
use ratatui::layout::Rect;
use tui_input::Input;
use unicode_segmentation::UnicodeSegmentation;

use super::canvas::{columns, put};
use crate::model::load::Failure;
use crate::text::{sanitise, width};
use crate::theme::Theme;

/// Draws what is being typed, scrolled so that the cursor is seen, and places the cursor.
pub(crate) fn draw_input(
    frame: &mut Frame<'_>,
    row: Rect,
    mark: &str,
    input: &Input,
    theme: &Theme,
) {
    let start = put(frame.buffer_mut(), row, 0, mark, theme.accent);
    let area = columns(row, start, row.width);
    if area.width < 2 {
        return;
    }
    let before: String = input.value().chars().take(input.cursor()).collect();
    let cursor = width(&sanitise(&before));
    let wide = usize::from(area.width);
    let scroll = (cursor + 1).saturating_sub(wide);
    let clean = sanitise(input.value());
    let mut column = 0;
    let mut shown = String::new();
    let mut first = None;
    for grapheme in clean.graphemes(true) {
        if column >= scroll && column - scroll < wide {
            first.get_or_insert(column);
            shown.push_str(grapheme);
        }
        column += width(grapheme);
    }
    // A wide character that is cut at the left leaves a gap, so that the rest keeps its place.
    let gap = first.map_or(0, |first| first - scroll);
    let gap = u16::try_from(gap).unwrap_or(0);
    frame.buffer_mut().set_stringn(
        area.x + gap.min(area.width - 1),
        area.y,
        &shown,
        wide.saturating_sub(gap.into()),
        theme.text,
    );
    let x = u16::try_from(cursor - scroll)
        .unwrap_or(u16::MAX)
        .min(area.width - 1);
    frame.set_cursor_position((area.x + x, area.y));
}

/// Draws a query that is not being typed; instead of an empty one, an example of what may be
/// asked.
pub(crate) fn draw_query(
    frame: &mut Frame<'_>,
    row: Rect,
    mark: &str,
    query: &str,
    example: &str,
    theme: &Theme,
) {
    let start = put(frame.buffer_mut(), row, 0, mark, theme.accent);
    if query.is_empty() {
        let hint = format!("everything; / asks, e.g. {example}");
        put(frame.buffer_mut(), row, start, &hint, theme.dim);
    } else {
        put(frame.buffer_mut(), row, start, &sanitise(query), theme.text);
    }
}

/// Draws a failure in two rows: carets under what is wrong where that is known, then the message
/// and the hint.
pub(crate) fn draw_failure(
    frame: &mut Frame<'_>,
    area: Rect,
    mark: &str,
    query: &str,
    failure: &Failure,
    theme: &Theme,
) {
    let first = super::canvas::row(area, 0);
    let second = super::canvas::row(area, 1);
    let hint = failure.hint.as_deref().map(sanitise);
    let message = format!("✗ {}", sanitise(&failure.message));
    let buffer = frame.buffer_mut();
    match failure
        .at
        .and_then(|(start, end)| carets(query, start, end))
    {
        Some((from, wide)) => {
            let from = u16::try_from(width(mark) + from).unwrap_or(u16::MAX);
            let carets = "^".repeat(wide.min(usize::from(area.width)));
            // Where the place is out of sight the message alone must do.
            put(
                buffer,
                first,
                from.min(area.width.saturating_sub(1)),
                &carets,
                theme.error,
            );
            let after = put(buffer, second, 0, &message, theme.error);
            if let Some(hint) = hint {
                put(buffer, second, after + 1, &hint, theme.text);
            }
        }
        None => {
            put(buffer, first, 0, &message, theme.error);
            if let Some(hint) = hint {
                put(buffer, second, 2, &hint, theme.text);
            }
        }
    }
}

/// Column and width of some bytes of the query; at least one column, also behind its end.
fn carets(query: &str, start: usize, end: usize) -> Option<(usize, usize)> {
    let start = floor_boundary(query, start);
    let end = floor_boundary(query, end.max(start));
    let before = width(&sanitise(query.get(..start)?));
    let within = width(&sanitise(query.get(start..end)?));
    Some((before, within.max(1)))
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::carets;

    #[test]
    fn carets_stand_under_the_characters_not_the_bytes() {
        assert_eq!(carets("日本 servce:a", 7, 13), Some((5, 6)));
        assert_eq!(carets("abc", 3, 3), Some((3, 1)));
        assert_eq!(carets("abc", 99, 200), Some((3, 1)));
        assert_eq!(carets("日本", 1, 4), Some((0, 2)));
        assert_eq!(carets("abc", 2, 1), Some((2, 1)));
    }
}
