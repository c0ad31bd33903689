//! Home: what is firing, and how each service does.

use std::borrow::Cow;

use api::{AlertView, ServiceView};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::draw_empty;
use crate::layout::Layout;
use crate::model::Model;
use crate::model::home::{Home, HomeRow, ServiceOrder};
use crate::model::subject::Subject;
use crate::text::{ago, count, duration, sanitise};
use crate::theme::Theme;
use crate::widgets::canvas::{columns, put, put_number};
use crate::widgets::list;

/// The figures of a service with their columns.
const FIGURES: [(&str, u16); 5] = [
    ("rate/s", 9),
    ("errors", 9),
    ("p50", 9),
    ("p99", 9),
    ("spans", 11),
];
/// Which of them give way, one after the other, where the names would have too little room.
const YIELDING: [usize; 2] = [4, 2];
/// Columns that names have at least.
const NAME_WIDTH: u16 = 30;

/// Draws the screen.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    areas: &Layout,
    model: &Model,
    theme: &Theme,
    home: &Home,
) {
    let buffer = frame.buffer_mut();
    let titles = figure_titles(home.order);
    let left = draw_figures(buffer, areas.titles, &titles, theme.dim);
    let range = model.range.text(&model.zone);
    put(buffer, left, 1, &title(home, &range), theme.dim);
    if home.is_empty() {
        let nothing = if home.filter.is_empty() {
            let nothing = model.range.without("service or alert", &model.zone);
            format!("{nothing}; send OTLP to the collector")
        } else {
            let filter = sanitise(&home.filter);
            format!("no alert and no service contains {filter:?}; Esc shows all")
        };
        draw_empty(frame, areas.list, theme, &home.services, &nothing);
        return;
    }
    list::draw(
        buffer,
        areas.list,
        theme,
        &home.list,
        home.len(),
        |_| 1,
        |buffer, index, place| match home.row(index) {
            Some(HomeRow::Alert(alert)) => draw_alert(buffer, place, theme, alert, model.now),
            Some(HomeRow::Service(service)) => draw_service(buffer, place, theme, service),
            None => {}
        },
    );
}

/// How many alerts and services there are, how many of them are shown, and over how long the
/// figures of services are.
fn title(home: &Home, range: &str) -> String {
    let (alerts, services) = home.shown();
    let (all_alerts, all_services) = home.all();
    if home.filter.is_empty() {
        format!("alerts {all_alerts} · services {all_services} over {range}")
    } else {
        format!("alerts {alerts} of {all_alerts} · services {services} of {all_services}")
    }
}

/// The titles of the figures; the one that services stand by is marked.
fn figure_titles(order: ServiceOrder) -> [Cow<'static, str>; 5] {
    FIGURES.map(|(name, _)| {
        if name.starts_with(order.name()) {
            Cow::Owned(format!("{name}↓"))
        } else {
            Cow::Borrowed(name)
        }
    })
}

/// Draws an alert in one row; the alerts screen draws it alike.
pub(super) fn draw_alert(
    buffer: &mut Buffer,
    place: Rect,
    theme: &Theme,
    alert: &AlertView,
    now: u64,
) {
    let (mark, style) = match alert.state.as_str() {
        "firing" => ("✗ firing ", theme.error),
        "pending" => ("! pending", theme.warn),
        other => (other, theme.text),
    };
    put(buffer, columns(place, 0, 10), 1, &sanitise(mark), style);
    put_number(
        buffer,
        place,
        11,
        7,
        &ago(now, alert.active_since_unix_nano),
        theme.dim,
    );
    let mut x = put(buffer, place, 19, &sanitise(&alert.name), style) + 1;
    let service = Subject::of_alert(alert).service;
    if !service.is_empty() {
        x = put(buffer, place, x, &sanitise(&service), theme.strong) + 1;
    }
    let said = ["summary", "description", "message"];
    if let Some(text) = said.iter().find_map(|key| alert.annotations.get(*key)) {
        put(buffer, place, x, &sanitise(text), theme.text);
    }
}

fn draw_service(buffer: &mut Buffer, place: Rect, theme: &Theme, service: &ServiceView) {
    if service.spans == 0 {
        let logs = format!("{} log records, no spans", count(service.logs));
        let end = put(buffer, place, 3, &sanitise(&service.name), theme.text);
        put(buffer, place, end + 2, &logs, theme.dim);
        return;
    }
    // The rate is measured over the range; without it the share cannot be told from the counts.
    let errors = if service.errors == 0 {
        "-".to_owned()
    } else {
        count(service.errors)
    };
    let figures = [
        rate(service.rate),
        errors,
        duration(service.p50_nano),
        duration(service.p99_nano),
        count(service.spans),
    ]
    .map(Cow::Owned);
    let style = if service.errors > 0 {
        theme.error
    } else {
        theme.text
    };
    let name = draw_figures(buffer, place, &figures, style);
    if service.errors > 0 {
        put(buffer, name, 1, "✗", theme.error);
    }
    put(buffer, name, 3, &sanitise(&service.name), theme.text);
}

/// Draws as many of the figures as leave room for the name; gives that room.
fn draw_figures(
    buffer: &mut Buffer,
    place: Rect,
    figures: &[Cow<'_, str>; 5],
    style: Style,
) -> Rect {
    let mut shown = [true; FIGURES.len()];
    let mut wide: u16 = FIGURES.iter().map(|(_, wide)| wide).sum();
    for figure in YIELDING {
        if place.width < wide + NAME_WIDTH {
            shown[figure] = false;
            wide -= FIGURES[figure].1;
        }
    }
    let mut end = place.width;
    let all = figures.iter().zip(FIGURES).zip(shown).rev();
    for ((figure, (_, wide)), _) in all.filter(|(_, shown)| *shown) {
        end = end.saturating_sub(wide);
        put_number(buffer, place, end, wide.saturating_sub(1), figure, style);
    }
    columns(place, 0, end)
}

fn rate(rate: f64) -> String {
    if rate == 0.0 {
        "0".to_owned()
    } else if rate < 0.005 {
        "<0.01".to_owned()
    } else if rate < 10.0 {
        format!("{rate:.2}")
    } else if rate < 1e6 {
        format!("{rate:.0}")
    } else {
        format!("{rate:.1e}")
    }
}
