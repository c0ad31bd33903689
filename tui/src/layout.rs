//! Where things stand on the screen: computed from the model alone, so that `update` (which
//! scrolls) and the views (which draw) agree.

use ratatui::layout::Rect;

use crate::model::detail::{Item, Piece};
use crate::model::list::ListState;
use crate::model::logs::LogLine;
use crate::model::{Logs, Model, PromptKind, Screen};
use crate::text::{fit, width, wrap};
use crate::zone::Zone;

/// Smallest terminal that is drawn on.
pub const SIZE_MIN: (u16, u16) = (60, 15);
/// From this width on the details stand beside the list.
const BESIDE_WIDTH: u16 = 110;
/// Least columns of details beside the list: a UUID and a time with its distance from UTC fit.
const DETAIL_WIDTH: u16 = 50;
/// Most rows that one wrapped log line takes.
pub const WRAP_ROWS: usize = 12;
/// Most rows that one piece of a value takes; narrow as a pane may be, it needs no more.
const PIECE_ROWS: usize = 24;
/// Columns of the labels in the details: a fifth of the pane within these bounds.
const LABEL_WIDTH: (u16, u16) = (10, 24);
/// Where a value begins that stands below its label.
const INDENT: u16 = 3;

/// Areas of the screen; those not shown are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// Breadcrumb and time range.
    pub header: Rect,
    /// State and completeness.
    pub state: Rect,
    /// Query bar.
    pub query: Rect,
    /// What is wrong with the query.
    pub error: Rect,
    /// Counts over time.
    pub histogram: Rect,
    /// Column titles, or the time axis.
    pub titles: Rect,
    /// The list.
    pub list: Rect,
    /// The details, their title included.
    pub detail: Rect,
    /// Keys, or the prompt.
    pub footer: Rect,
}

/// Whether the terminal is large enough.
pub fn fits(size: (u16, u16)) -> bool {
    size.0 >= SIZE_MIN.0 && size.1 >= SIZE_MIN.1
}

/// Lays the screen out.
pub fn layout(model: &Model) -> Layout {
    let (columns, rows) = model.size;
    if !fits(model.size) {
        return Layout::default();
    }
    let row = |y: u16| Rect::new(0, y, columns, 1);
    let entry = model.top();
    let mut areas = Layout {
        header: row(0),
        state: row(1),
        footer: row(rows - 1),
        ..Layout::default()
    };
    let mut top = 2;
    if entry.screen.query().is_some() {
        areas.query = row(top);
        top += 1;
        let failed = entry.screen.failure().is_some_and(|failure| !failure.away);
        if failed && !editing(model) {
            areas.error = Rect::new(0, top, columns, 2);
            top += 2;
        }
    }
    let mut body = Rect::new(0, top, columns, (rows - 1).saturating_sub(top));
    if let Screen::Logs(_) = entry.screen
        && body.height >= 14
    {
        areas.histogram = Rect { height: 3, ..body };
        body = Rect {
            y: body.y + 3,
            height: body.height - 3,
            ..body
        };
    }
    if entry.detail.is_some() {
        (body, areas.detail) = split(body);
    }
    if body.height > 1 && has_titles(&entry.screen) {
        areas.titles = Rect { height: 1, ..body };
        body = Rect {
            y: body.y + 1,
            height: body.height - 1,
            ..body
        };
    }
    areas.list = body;
    areas
}

fn editing(model: &Model) -> bool {
    model
        .prompt
        .as_ref()
        .is_some_and(|prompt| prompt.kind == PromptKind::Query)
}

fn has_titles(screen: &Screen) -> bool {
    !matches!(screen, Screen::Logs(_) | Screen::Help(_))
}

/// List and details side by side, one above the other, or the details alone.
fn split(body: Rect) -> (Rect, Rect) {
    if body.width >= BESIDE_WIDTH {
        let right = (body.width * 2 / 5).max(DETAIL_WIDTH);
        let left = body.width - right;
        (
            Rect {
                width: left,
                ..body
            },
            Rect {
                x: body.x + left + 1,
                // One column apart, so that figures and labels do not run together.
                width: right - 1,
                ..body
            },
        )
    } else if body.height >= 16 {
        let below = body.height * 3 / 5;
        let above = body.height - below;
        (
            Rect {
                height: above,
                ..body
            },
            Rect {
                y: body.y + above,
                height: below,
                ..body
            },
        )
    } else {
        (Rect { height: 0, ..body }, body)
    }
}

/// Where the parts of a log line stand, after its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogColumns {
    /// Whether times have dates.
    pub dated: bool,
    /// Columns of a row.
    pub width: u16,
    /// Where the level begins, five columns wide.
    pub level: u16,
    /// Where the service begins.
    pub service: u16,
    /// Where the text begins.
    pub text: u16,
}

/// Columns of log lines on a list so wide: dates only where one line is of another day, and more
/// of the service's name where there is room.
pub fn log_columns(logs: &Logs, zone: &Zone, now: u64, width: u16) -> LogColumns {
    let last = logs.store.len().saturating_sub(1);
    let ends = [0, last].map(|index| logs.store.get(index).map(|line| line.time));
    let dated = zone.dated(now, ends.into_iter().flatten());
    let level = Zone::stamp_columns(dated) + 1;
    let service = level + 6;
    LogColumns {
        dated,
        width,
        level,
        service,
        text: service + (width / 8).clamp(14, 24) + 1,
    }
}

/// Rows that a log line takes.
pub fn log_height(line: &LogLine, columns: &LogColumns, wrapped: bool) -> usize {
    if !wrapped {
        return 1;
    }
    let wide = columns.width.saturating_sub(columns.text);
    wrap(&line.text, usize::from(wide), WRAP_ROWS).len()
}

/// Where the text of an item of the details stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemPlace {
    /// Row of its first line: 1 where it stands below its label.
    pub row: u16,
    /// Its first column.
    pub column: u16,
    /// Columns of the pane.
    pub width: u16,
}

impl ItemPlace {
    /// Beside its label where that is short or both fit on one row, else below it, so that
    /// neither is squeezed by the other.
    pub fn of(item: &Item, columns: u16) -> Self {
        let (least, most) = LABEL_WIDTH;
        let usual = (columns / 5).clamp(least, most);
        let label = u16::try_from(width(&item.label)).unwrap_or(u16::MAX);
        // A mark before the label, a space behind it.
        let (aligned, behind) = (usual + 2, label.saturating_add(2));
        let room = usize::from(columns.saturating_sub(behind));
        let (row, column) = match item.piece {
            _ if label <= usual => (0, aligned),
            Piece::Whole if !fit(&item.text, room).1 => (0, behind),
            Piece::Later => (0, INDENT),
            Piece::Whole | Piece::First => (1, INDENT),
        };
        Self {
            row,
            column,
            width: columns,
        }
    }

    /// The lines of the text.
    pub fn lines(self, text: &str) -> Vec<&str> {
        let wide = usize::from(self.width.saturating_sub(self.column));
        wrap(text, wide, PIECE_ROWS)
    }
}

/// Rows that an item of the details takes.
pub fn item_height(item: &Item, columns: u16) -> usize {
    if item.is_heading() {
        return 1;
    }
    let place = ItemPlace::of(item, columns);
    usize::from(place.row) + place.lines(&item.text).len()
}

/// Brings the lists of the entry shown into their areas.
pub fn settle(model: &mut Model) {
    let areas = layout(model);
    let (zone, now) = (model.zone.clone(), model.now);
    let entry = model.top_mut();
    let len = entry.screen.len();
    let height = usize::from(areas.list.height);
    if let Screen::Logs(logs) = &mut entry.screen {
        let columns = log_columns(logs, &zone, now, areas.list.width);
        let (store, wrapped) = (&logs.store, logs.wrap);
        logs.list.settle(len, height, |row| {
            store
                .get(row)
                .map_or(1, |line| log_height(line, &columns, wrapped))
        });
    } else if let Some(list) = entry.screen.list_mut() {
        list.settle(len, height, |_| 1);
    }
    if let Some(detail) = &mut entry.detail {
        let height = usize::from(areas.detail.height.saturating_sub(1));
        let items = &detail.items;
        let mut list: ListState = detail.list;
        list.settle(items.len(), height, |row| {
            item_height(&items[row], areas.detail.width)
        });
        detail.list = list;
    }
}
