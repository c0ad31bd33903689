//! Trace: the waterfall of one trace.

use ratatui::Frame;

use super::tree;
use crate::layout::Layout;
use crate::model::{Model, Tree};
use crate::theme::Theme;

/// Draws the screen.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    areas: &Layout,
    model: &Model,
    theme: &Theme,
    shown: &Tree,
) {
    let nothing = "no span of this trace is stored";
    tree::draw(frame, areas, model, theme, shown, nothing);
}
