//! What trace and story share: the time axis, what the rows are, and the waterfall.

use ratatui::Frame;
use ratatui::buffer::Buffer;

use super::draw_empty;
use crate::layout::Layout;
use crate::model::{Model, Tree, TreeValue};
use crate::text::counted;
use crate::theme::Theme;
use crate::widgets::canvas::{columns, put};
use crate::widgets::waterfall;

/// Draws the screen, or what to say where nothing was found. Gives what it drew.
pub(super) fn draw<'a>(
    frame: &mut Frame<'_>,
    areas: &Layout,
    model: &Model,
    theme: &Theme,
    tree: &'a Tree,
    nothing: &str,
) -> Option<&'a TreeValue> {
    let value = tree.load.value.as_ref();
    let Some(value) = value.filter(|value| !value.view.visible().is_empty()) else {
        draw_empty(frame, areas.list, theme, &tree.load, nothing);
        return None;
    };
    let buffer = frame.buffer_mut();
    let timeline = &value.view.timeline;
    waterfall::draw_axis(buffer, areas.titles, theme, timeline, &model.zone);
    draw_summary(buffer, areas, theme, value);
    waterfall::draw(buffer, areas.list, theme, &value.view);
    Some(value)
}

/// Says in the label column of the axis what the rows are, errors and gaps first.
fn draw_summary(buffer: &mut Buffer, areas: &Layout, theme: &Theme, value: &TreeValue) {
    let timeline = &value.view.timeline;
    let mut parts = Vec::new();
    if !timeline.errors().is_empty() {
        parts.push(format!("✗{}", timeline.errors().len()));
    }
    if timeline.missing > 0 {
        parts.push(format!("?{}", timeline.missing));
    }
    if timeline.inferred > 0 {
        parts.push(format!("~{}", timeline.inferred));
    }
    parts.push(counted(timeline.spans, "span"));
    if timeline.logs > 0 {
        parts.push(counted(timeline.logs, "log"));
    }
    let label = columns(areas.titles, 0, (areas.titles.width * 9 / 20).max(24));
    put(buffer, label, 14, &parts.join(" "), theme.dim);
}
