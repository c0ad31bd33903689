//! The last row: what is being typed, what was just said, or which keys there are.

use ratatui::Frame;

use crate::action::{Action, BINDINGS, Binding, continuations};
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
            PromptKind::Filter => "filter: ",
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
    let (help, others): (Vec<&Binding>, Vec<&Binding>) = BINDINGS
        .iter()
        .filter(|binding| binding.applies(screen) && !binding.footer.is_empty())
        .partition(|binding| binding.action == Action::Help);
    // Help leads to all the others, so its room is kept for it.
    let wide = |binding: &&Binding| columns(binding);
    let room = areas
        .footer
        .width
        .saturating_sub(help.iter().map(wide).sum());
    let mut end = x;
    let fitting = others.into_iter().take_while(|binding| {
        end += columns(binding);
        end <= room
    });
    for binding in fitting.chain(help) {
        x = put(buffer, areas.footer, x, shown_key(binding), theme.accent);
        x = put(buffer, areas.footer, x + 1, binding.footer, theme.dim) + 2;
    }
}

/// The key by which an action is called.
fn shown_key(binding: &Binding) -> &'static str {
    binding.keys.first().copied().unwrap_or_default()
}

/// Columns of a hint with the space behind it.
fn columns(binding: &Binding) -> u16 {
    let wide = width(shown_key(binding)) + 1 + width(binding.footer) + 2;
    u16::try_from(wide).unwrap_or(u16::MAX)
}
