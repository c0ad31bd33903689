//! Traces: results with their durations as bars, errors marked.

use api::TraceSummary;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::draw_empty;
use crate::layout::Layout;
use crate::model::{Model, Traces};
use crate::text::{count, counted, duration, sanitise, width};
use crate::theme::Theme;
use crate::widgets::canvas::{columns, fill, put, put_number, put_right};
use crate::widgets::list;
use crate::zone::Zone;

/// Column of the start, behind the mark.
const START: u16 = 2;
/// Columns from the end of the start: duration, bar, spans, errors; the name has the rest.
const DURATION: u16 = 1;
const BAR: u16 = DURATION + 9;
const BAR_WIDTH: u16 = 10;
const SPANS: u16 = BAR + BAR_WIDTH + 1;
const ERRORS: u16 = SPANS + 7;
const NAME: u16 = ERRORS + 6;

/// How the rows of one list are drawn.
struct Rows<'a> {
    theme: &'a Theme,
    zone: &'a Zone,
    /// Whether starts have dates.
    dated: bool,
    /// The longest duration, which fills the bar.
    longest: u64,
}

/// Draws the screen.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    areas: &Layout,
    model: &Model,
    theme: &Theme,
    traces: &Traces,
) {
    let found = traces.load.value.as_deref().unwrap_or_default();
    let starts = found.iter().map(|trace| trace.start_unix_nano);
    let longest = found.iter().map(|trace| trace.duration_nano).max();
    let rows = Rows {
        theme,
        zone: &model.zone,
        dated: model.zone.dated(model.now, starts),
        longest: longest.unwrap_or(0).max(1),
    };
    let buffer = frame.buffer_mut();
    rows.titles(buffer, areas.titles);
    let more = if traces.cursor.is_some() { "+" } else { "" };
    let found_count = format!("{}{more}", count(found.len() as u64));
    let right = format!("{found_count} by {} ", traces.order.as_str());
    let room = columns(rows.rest(areas.titles), NAME + 5, areas.titles.width);
    let right = if usize::from(room.width) < width(&right) {
        format!("{found_count} ")
    } else {
        right
    };
    put_right(buffer, room, &right, theme.dim);
    if found.is_empty() {
        let nothing = model.range_shown().without("trace matches", &model.zone);
        draw_empty(frame, areas.list, theme, &traces.load, &nothing);
        return;
    }
    list::draw(
        buffer,
        areas.list,
        theme,
        &traces.list,
        found.len(),
        |_| 1,
        |buffer, index, place| rows.draw(buffer, place, &found[index]),
    );
}

impl Rows<'_> {
    /// What stands behind the start.
    fn rest(&self, place: Rect) -> Rect {
        let start = START + Zone::stamp_columns(self.dated);
        columns(place, start, place.width)
    }

    fn titles(&self, buffer: &mut Buffer, place: Rect) {
        let style = self.theme.dim;
        put(buffer, place, START, "start", style);
        let rest = self.rest(place);
        put_number(buffer, rest, DURATION, 8, "duration", style);
        put_number(buffer, rest, SPANS, 6, "spans", style);
        put_number(buffer, rest, ERRORS, 5, "err", style);
        put(buffer, rest, NAME, "root", style);
    }

    fn draw(&self, buffer: &mut Buffer, place: Rect, trace: &TraceSummary) {
        let theme = self.theme;
        let failed = trace.error_count > 0;
        let style = if failed { theme.error } else { theme.text };
        if failed {
            put(buffer, place, 0, "✗", theme.error);
        }
        let start = self.zone.stamp(trace.start_unix_nano, self.dated);
        put(buffer, place, START, &start, theme.dim);
        let rest = self.rest(place);
        let length = duration(trace.duration_nano);
        put_number(buffer, rest, DURATION, 8, &length, style);
        let share =
            u128::from(trace.duration_nano) * u128::from(BAR_WIDTH) / u128::from(self.longest);
        // At most the bar's width, which is a u16.
        let bar = columns(rest, BAR, BAR_WIDTH);
        fill(buffer, bar, 0, (share as u16).max(1), "━", style);
        let spans = count(trace.span_count);
        put_number(buffer, rest, SPANS, 6, &spans, theme.text);
        if failed {
            let errors = count(trace.error_count);
            put_number(buffer, rest, ERRORS, 5, &errors, theme.error);
        }
        let service = sanitise(&trace.root_service);
        let x = put(buffer, rest, NAME, &service, theme.strong) + 1;
        let x = put(buffer, rest, x, &sanitise(&trace.root_name), theme.text) + 1;
        let others = trace.services.len().saturating_sub(1);
        if others > 0 {
            put(
                buffer,
                rest,
                x,
                &format!("+{}", counted(others, "service")),
                theme.dim,
            );
        }
    }
}
