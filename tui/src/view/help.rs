//! Help: the keys of the screen below, those of every screen, and the commands of the palette.

use ratatui::Frame;

use crate::help::{HelpRow, rows};
use crate::layout::Layout;
use crate::model::Help;
use crate::theme::Theme;
use crate::widgets::canvas::{columns, put, row};

/// Where the explanations begin.
const TEXT: u16 = 21;

/// Draws the screen.
pub(super) fn draw(frame: &mut Frame<'_>, areas: &Layout, theme: &Theme, help: &Help) {
    let buffer = frame.buffer_mut();
    let shown = rows(help.of).into_iter().skip(help.list.offset);
    for (y, line) in (0..areas.list.height).zip(shown) {
        let place = row(areas.list, y);
        let (name, text) = match line {
            HelpRow::Heading(text) => {
                put(buffer, place, 1, text, theme.strong);
                continue;
            }
            HelpRow::Gap => continue,
            HelpRow::Key(binding) => (binding.keys.join("  "), binding.help),
            HelpRow::Command(syntax, text) => (format!(":{syntax}"), text),
        };
        put(buffer, columns(place, 0, TEXT - 1), 1, &name, theme.accent);
        put(buffer, place, TEXT, text, theme.text);
    }
}
