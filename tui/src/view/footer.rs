//! The last row: what is being typed, what was just said, or which keys there are.

use ratatui::Frame;

use crate::action::{BINDINGS, continuations};
use crate::layout::Layout;
use crate::model::{Model, PromptKind};
use crate::text::{sanitise, width};
use crate::theme::Theme;
use crate::widgets::canvas::put;
use crate::widgets::querybar;

/// Draws the row.
pub(super) fn draw(frame: &mut Frame<'_>, areas: &Layout, model: &Model, theme: &Theme) {
    if let Some(prompt) = &model.prompt {
        let mark = match prompt.kind {
            PromptKind::Palette => ":",
            PromptKind::Time => "time: ",
            PromptKind::Search => "search: ",
            PromptKind::Query => {
                let keys = "Enter asks · Tab completes · ctrl-n other completion · ↑ earlier queries · Esc";
                put(frame.buffer_mut(), areas.footer, 1, keys, theme.dim);
                return;
            }
        };
        querybar::draw_input(frame, areas.footer, mark, &prompt.input, theme);
        return;
    }
    let buffer = frame.buffer_mut();
    if let Some(notice) = &model.notice {
        put(buffer, areas.footer, 1, &sanitise(notice), theme.accent);
        return;
    }
    let screen = model.top().screen.kind();
    let mut x = 1;
    if !model.pending_keys.is_empty() {
        for (key, help) in continuations(screen, &model.pending_keys) {
            let short = help.split([':', ',', ';']).next().unwrap_or(help);
            let short = short.split(" of ").next().unwrap_or(short);
            x = put(buffer, areas.footer, x, key, theme.accent);
            x = put(buffer, areas.footer, x + 1, short, theme.dim) + 2;
        }
        return;
    }
    for binding in BINDINGS.iter().filter(|binding| binding.applies(screen)) {
        let Some(key) = binding.keys.first().filter(|_| !binding.footer.is_empty()) else {
            continue;
        };
        let wide = u16::try_from(width(key) + width(binding.footer) + 3).unwrap_or(u16::MAX);
        if x + wide > areas.footer.width {
            break;
        }
        x = put(buffer, areas.footer, x, key, theme.accent);
        x = put(buffer, areas.footer, x + 1, binding.footer, theme.dim) + 2;
    }
}
