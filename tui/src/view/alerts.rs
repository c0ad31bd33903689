//! Alerts: those that are active with their labels, then every rule with its health.

use api::RuleView;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::draw_empty;
use super::home::draw_alert;
use crate::layout::Layout;
use crate::model::{Alerts, Model};
use crate::text::sanitise;
use crate::theme::Theme;
use crate::widgets::canvas::{columns, put};
use crate::widgets::list;

/// Draws the screen.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    areas: &Layout,
    model: &Model,
    theme: &Theme,
    alerts: &Alerts,
) {
    let active = alerts.alerts.value.as_deref().unwrap_or_default();
    let rules: Vec<&RuleView> = alerts
        .rules
        .value
        .iter()
        .flatten()
        .flat_map(|group| &group.rules)
        .collect();
    let buffer = frame.buffer_mut();
    let title = format!("active alerts {} · rules {}", active.len(), rules.len());
    put(buffer, areas.titles, 1, &title, theme.dim);
    if active.is_empty() && rules.is_empty() {
        let nothing = "no alerts and no rules: name rule files in the config under rules.files";
        draw_empty(frame, areas.list, theme, &alerts.alerts, nothing);
        return;
    }
    let len = active.len() + rules.len();
    list::draw(
        buffer,
        areas.list,
        theme,
        &alerts.list,
        len,
        |_| 1,
        |buffer, index, place| match index.checked_sub(active.len()) {
            None => draw_alert(buffer, place, theme, &active[index], model.now),
            Some(rule) => draw_rule(buffer, place, theme, rules[rule]),
        },
    );
}

fn draw_rule(buffer: &mut Buffer, place: Rect, theme: &Theme, rule: &RuleView) {
    let broken = rule.health == "err";
    let recording = rule.is_recording();
    let (mark, style) = match (broken, recording) {
        (true, _) => ("✗ broken", theme.error),
        (false, true) => ("records", theme.dim),
        (false, false) => ("rule", theme.dim),
    };
    put(buffer, columns(place, 0, 10), 1, mark, style);
    // What is recorded has no state.
    if !recording {
        let state = columns(place, 10, 8);
        put(buffer, state, 0, &sanitise(&rule.state), theme.dim);
    }
    let x = put(buffer, place, 19, &sanitise(&rule.name), theme.text) + 1;
    let text = if broken {
        &rule.last_error
    } else {
        &rule.query
    };
    put(
        buffer,
        place,
        x,
        &sanitise(text),
        if broken { theme.error } else { theme.dim },
    );
}
