//! Trace: the waterfall of one trace.

use ratatui::Frame;

use super::draw_empty;
use crate::layout::Layout;
use crate::model::{Model, Tree};
use crate::theme::Theme;
use crate::widgets::waterfall;

/// Draws the screen.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    areas: &Layout,
    _model: &Model,
    theme: &Theme,
    tree: &Tree,
) {
    let value = tree.load.value.as_ref();
    let Some(value) = value.filter(|value| !value.view.visible().is_empty()) else {
        draw_empty(
            frame,
            areas.list,
            theme,
            &tree.load,
            "no span of this trace is stored",
        );
        return;
    };
    let buffer = frame.buffer_mut();
    waterfall::draw_axis(buffer, areas.titles, theme, &value.view.timeline);
    draw_summary(buffer, areas, theme, value);
    waterfall::draw(buffer, areas.list, theme, &value.view);
}

/// Says in the label column of the axis what the rows are, errors and gaps first.
pub(super) fn draw_summary(
    buffer: &mut ratatui::buffer::Buffer,
    areas: &Layout,
    theme: &Theme,
    value: &crate::model::TreeValue,
) {
    use crate::text::count;
    use crate::widgets::canvas::{columns, put};
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
    parts.push(format!("{} spans", count(timeline.spans as u64)));
    if timeline.logs > 0 {
        parts.push(format!("{} logs", count(timeline.logs as u64)));
    }
    let label = columns(areas.titles, 0, (areas.titles.width * 9 / 20).max(24));
    put(buffer, label, 14, &parts.join(" "), theme.dim);
}
