//! Draws the model. One file per screen, each with the same inner order: titles, rows, and what
//! to say where there are none.

mod alerts;
mod footer;
mod header;
mod help;
mod home;
mod logs;
mod story;
mod trace;
mod traces;
mod tree;

#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::layout::{Layout, SIZE_MIN, fits, layout};
use crate::model::load::Load;
use crate::model::{Model, PromptKind, Screen};
use crate::text::sanitise;
use crate::theme::Theme;
use crate::widgets::{canvas, detail, querybar};

/// What stands before a query.
const QUERY_MARK: &str = "❯ ";

/// Draws a frame.
pub fn draw(model: &Model, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    if !fits((area.width, area.height)) || !fits(model.size) {
        draw_too_small(frame, theme);
        return;
    }
    let areas = layout(model);
    header::draw(frame, &areas, model, theme);
    draw_query(frame, &areas, model, theme);
    let entry = model.top();
    match &entry.screen {
        Screen::Home(home) => home::draw(frame, &areas, model, theme, home),
        Screen::Traces(traces) => traces::draw(frame, &areas, model, theme, traces),
        Screen::Trace(tree) => trace::draw(frame, &areas, model, theme, tree),
        Screen::Logs(logs) => logs::draw(frame, &areas, model, theme, logs),
        Screen::Story(tree) => story::draw(frame, &areas, model, theme, tree),
        Screen::Alerts(alerts) => alerts::draw(frame, &areas, model, theme, alerts),
        Screen::Help(page) => help::draw(frame, &areas, theme, page),
    }
    if let Some(pane) = &entry.detail {
        detail::draw(
            frame.buffer_mut(),
            areas.detail,
            theme,
            pane,
            entry.detail_focused,
        );
    }
    footer::draw(frame, &areas, model, theme);
}

fn draw_too_small(frame: &mut Frame<'_>, theme: &Theme) {
    let area = frame.area();
    let (columns, rows) = SIZE_MIN;
    let lines = [
        format!("too small: {}x{}", area.width, area.height),
        format!("needs {columns}x{rows}"),
    ];
    for (y, line) in lines.iter().enumerate() {
        let row = canvas::row(area, u16::try_from(y).unwrap_or(u16::MAX));
        canvas::put(frame.buffer_mut(), row, 0, line, theme.text);
    }
}

fn draw_query(frame: &mut Frame<'_>, areas: &Layout, model: &Model, theme: &Theme) {
    let screen = &model.top().screen;
    let Some(query) = screen.query() else { return };
    match &model.prompt {
        Some(prompt) if prompt.kind == PromptKind::Query => {
            querybar::draw_input(frame, areas.query, QUERY_MARK, &prompt.input, theme);
        }
        _ => {
            let example = match screen {
                Screen::Logs(_) => "service:checkout level:error \"card declined\"",
                _ => "service:checkout status:error duration:>250ms",
            };
            querybar::draw_query(frame, areas.query, QUERY_MARK, query, example, theme);
        }
    }
    if let Some(failure) = screen.failure().filter(|_| areas.error.height > 0) {
        querybar::draw_failure(frame, areas.error, QUERY_MARK, query, failure, theme);
    }
}

/// Says why a list is empty: loading, failed (which the state line tells), or nothing there.
fn draw_empty<T>(frame: &mut Frame<'_>, area: Rect, theme: &Theme, load: &Load<T>, nothing: &str) {
    let text = if load.pending && load.value.is_none() {
        "loading…"
    } else if let Some(failure) = &load.failure {
        if !failure.away {
            return;
        }
        "waiting for the server"
    } else {
        nothing
    };
    let middle = area.height / 3;
    let buffer = frame.buffer_mut();
    canvas::put(buffer, canvas::row(area, middle), 2, text, theme.dim);
    if load.value.is_some() {
        for (y, hint) in (middle + 1..area.height).zip(&load.completeness.hints) {
            canvas::put(buffer, canvas::row(area, y), 2, &sanitise(hint), theme.warn);
        }
    }
}
