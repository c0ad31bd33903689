//! Story: spans and logs of one id in causal order, across traces, every join explained.

use ratatui::Frame;

use super::tree;
use crate::layout::Layout;
use crate::model::{Model, Tree, TreeValue};
use crate::text::{counted, sanitise};
use crate::theme::Theme;
use crate::widgets::canvas::{fill, put, row};

/// Draws the screen.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    areas: &Layout,
    model: &Model,
    theme: &Theme,
    shown: &Tree,
) {
    let nothing = "nothing is stored that carries this id";
    let Some(value) = tree::draw(frame, areas, model, theme, shown, nothing) else {
        return;
    };
    let buffer = frame.buffer_mut();
    // The list rarely fills the screen; where it does, its last row gives way to the joins only
    // when something was left out on the way, which must be seen.
    let shown = value.view.visible().len();
    let free = usize::from(areas.list.height).saturating_sub(shown);
    let said = words(value);
    if !said.is_empty() && (free > 0 || !value.hubs.is_empty()) && areas.list.height > 1 {
        let last = row(areas.list, areas.list.height - 1);
        buffer.set_style(last, theme.text);
        fill(buffer, last, 0, last.width, " ", theme.text);
        let style = if value.hubs.is_empty() {
            theme.dim
        } else {
            theme.warn
        };
        put(buffer, last, 1, &said, style);
    }
}

/// How the story was found, in one line.
fn words(value: &TreeValue) -> String {
    let mut parts = Vec::new();
    if let Some(hub) = value.hubs.first() {
        let key = sanitise(&hub.key);
        parts.push(format!(
            "! {} not followed, e.g. {key}: {} share it",
            counted(value.hubs.len(), "value"),
            counted(usize::try_from(hub.traces).unwrap_or(usize::MAX), "trace")
        ));
    }
    if !value.joins.is_empty() {
        parts.push(counted(value.joins.len(), "join"));
    }
    if !value.alerts.is_empty() {
        parts.push(counted(value.alerts.len(), "alert"));
    }
    if value.exemplars > 0 {
        parts.push(counted(value.exemplars, "exemplar"));
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!("{} · J explains", parts.join(" · "))
    }
}
