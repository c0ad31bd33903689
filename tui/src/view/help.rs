//! Help: every key from the registry, every command of the palette.

use ratatui::Frame;

use crate::action::{BINDINGS, ScreenKind};
use crate::command::SYNTAX;
use crate::layout::Layout;
use crate::model::list::ListState;
use crate::theme::Theme;
use crate::widgets::canvas::{columns, put, row};

/// Draws the screen.
pub(super) fn draw(frame: &mut Frame<'_>, areas: &Layout, theme: &Theme, list: &ListState) {
    let buffer = frame.buffer_mut();
    for y in 0..areas.list.height {
        let place = row(areas.list, y);
        let index = list.offset + usize::from(y);
        if let Some((syntax, help)) = SYNTAX.get(index) {
            put(
                buffer,
                columns(place, 0, 20),
                1,
                &format!(":{syntax}"),
                theme.accent,
            );
            put(buffer, place, 21, help, theme.text);
        } else if let Some(binding) = BINDINGS.get(index - SYNTAX.len().min(index)) {
            put(
                buffer,
                columns(place, 0, 20),
                1,
                &binding.keys.join("  "),
                theme.accent,
            );
            let x = put(buffer, place, 21, binding.help, theme.text);
            if !binding.screens.is_empty() {
                let names: Vec<&str> = binding.screens.iter().map(|kind| name(*kind)).collect();
                put(
                    buffer,
                    place,
                    x + 1,
                    &format!("({})", names.join(", ")),
                    theme.dim,
                );
            }
        }
    }
}

fn name(screen: ScreenKind) -> &'static str {
    match screen {
        ScreenKind::Home => "home",
        ScreenKind::Traces => "traces",
        ScreenKind::Trace => "trace",
        ScreenKind::Logs => "logs",
        ScreenKind::Story => "story",
        ScreenKind::Alerts => "alerts",
        ScreenKind::Help => "help",
    }
}
