//! A trace or a story as one tree of rows: spans, log records and parents that were not found.
//!
//! Rows stand in drawing order (a parent, then its subtree) in one compact vector, so that a
//! folded subtree is skipped by adding its size. What only the details need is kept as JSON in
//! one arena and parsed for the marked row alone.

mod build;

#[cfg(test)]
mod tests;

use api::{LogView, SpanView};
use serde_json::Value as Json;

pub use build::build;
pub(crate) use build::log_line;

/// No row.
pub const NONE: u32 = u32::MAX;

/// What a row shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// A span that was sent.
    Span,
    /// A span made up from the logs of a service that sends none.
    Inferred,
    /// A log record.
    Log,
    /// A span that is named as a parent but was not found.
    Missing,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Start in unix nanoseconds.
    pub start: u64,
    /// Span id as a number: the row's own, or for a log record that of its span; 0 for none.
    pub span_id: u64,
    /// Duration in nanoseconds; 0 for a log record.
    pub duration: u64,
    /// Rows of the subtree, this one included.
    pub subtree: u32,
    /// Row of the parent, or [`NONE`].
    pub parent: u32,
    /// Number of the name among [`Timeline::name`].
    pub name: u32,
    /// Number of the service name.
    pub service: u32,
    /// Rows with an error in the subtree, this one included.
    pub errors: u32,
    /// 0 for a root.
    pub depth: u16,
    /// What it shows.
    pub kind: RowKind,
    /// Whether it is an error itself.
    pub error: bool,
    /// Whether it hangs by a span link instead of by its parent.
    pub linked: bool,
    /// How sure its place is, in percent.
    pub confidence: u8,
}

/// Everything about one row, for the details.
#[derive(Debug, Clone, PartialEq)]
pub enum RowDetail {
    /// A span, sent or inferred.
    Span(Box<SpanView>),
    /// A log record.
    Log(Box<LogView>),
    /// A parent that was not found.
    Missing {
        /// Its span id.
        span_id: String,
        /// Its trace id.
        trace_id: String,
    },
}

/// The rows of a trace or story.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Timeline {
    rows: Vec<Row>,
    names: Vec<Box<str>>,
    /// Resource and scope of spans, each distinct pair once.
    origins: Vec<(Json, Json)>,
    arena: Vec<u8>,
    /// End of each row's JSON in the arena, and the number of its origin.
    details: Vec<(u64, u32)>,
    errors: Vec<u32>,
    /// Earliest start, in unix nanoseconds.
    pub start: u64,
    /// Latest end.
    pub end: u64,
    /// Spans, inferred ones included.
    pub spans: usize,
    /// Inferred spans.
    pub inferred: usize,
    /// Log records.
    pub logs: usize,
    /// Parents that were not found.
    pub missing: usize,
}

impl Timeline {
    /// All rows in drawing order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A name by its number: sanitised, ready to be drawn.
    pub fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", |name| name)
    }

    /// Rows that are errors, in drawing order.
    pub fn errors(&self) -> &[u32] {
        &self.errors
    }

    /// The nearest error after or before a row.
    pub fn error_from(&self, row: u32, forward: bool) -> Option<u32> {
        if forward {
            let next = self.errors.partition_point(|&error| error <= row);
            self.errors.get(next).copied()
        } else {
            let next = self.errors.partition_point(|&error| error < row);
            next.checked_sub(1).map(|position| self.errors[position])
        }
    }

    /// The first row of a span, by its id in hex.
    pub fn find_span(&self, span_id: &str) -> Option<u32> {
        let id = build::id_number(span_id);
        let found = self.rows.iter().position(|row| {
            id != 0 && row.span_id == id && matches!(row.kind, RowKind::Span | RowKind::Inferred)
        });
        found.and_then(|row| u32::try_from(row).ok())
    }

    /// The nearest row after or before that contains the text, ignoring case; it wraps around.
    pub fn search_from(&self, row: u32, text: &str, forward: bool) -> Option<u32> {
        let needle = text.to_lowercase();
        if needle.is_empty() || self.rows.is_empty() {
            return None;
        }
        let hits: Vec<bool> = self
            .names
            .iter()
            .map(|name| name.to_lowercase().contains(&needle))
            .collect();
        let matches = |index: usize| {
            let row = &self.rows[index];
            hits[row.name as usize] || hits[row.service as usize]
        };
        let len = self.rows.len();
        let from = row as usize % len;
        (1..=len)
            .map(|step| {
                if forward {
                    (from + step) % len
                } else {
                    (from + len - step) % len
                }
            })
            .find(|&index| matches(index))
            .and_then(|index| u32::try_from(index).ok())
    }

    /// Everything about a row.
    pub fn detail(&self, row: u32) -> Option<RowDetail> {
        let index = row as usize;
        let kind = self.rows.get(index)?.kind;
        let &(end, origin) = self.details.get(index)?;
        let start = index
            .checked_sub(1)
            .map_or(0, |before| self.details[before].0);
        let bytes = &self.arena[usize::try_from(start).ok()?..usize::try_from(end).ok()?];
        match kind {
            RowKind::Span | RowKind::Inferred => {
                let mut span: SpanView = serde_json::from_slice(bytes).ok()?;
                if let Some((resource, scope)) = self.origins.get(origin as usize) {
                    span.resource = resource.clone();
                    span.scope = scope.clone();
                }
                Some(RowDetail::Span(Box::new(span)))
            }
            RowKind::Log => serde_json::from_slice(bytes).ok().map(RowDetail::Log),
            RowKind::Missing => {
                let (trace_id, span_id) = serde_json::from_slice(bytes).ok()?;
                Some(RowDetail::Missing { span_id, trace_id })
            }
        }
    }

    /// Bytes held by rows and details.
    pub fn size_bytes(&self) -> usize {
        self.rows.len() * size_of::<Row>()
            + self.details.len() * size_of::<(u64, u32)>()
            + self.arena.len()
            + self.names.iter().map(|name| name.len() + 16).sum::<usize>()
    }
}

/// A timeline with what is folded and where the mark stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TimelineView {
    /// The rows.
    pub timeline: Timeline,
    folded: Vec<bool>,
    visible: Vec<u32>,
    /// Where the list of visible rows stands.
    pub list: super::list::ListState,
}

impl TimelineView {
    /// A view with everything unfolded.
    pub fn new(timeline: Timeline) -> Self {
        let mut view = Self {
            folded: vec![false; timeline.rows.len()],
            visible: Vec::new(),
            list: super::list::ListState::default(),
            timeline,
        };
        view.show();
        view
    }

    /// Rows that are not inside a folded subtree.
    pub fn visible(&self) -> &[u32] {
        &self.visible
    }

    /// The marked row.
    pub fn marked(&self) -> Option<u32> {
        self.visible.get(self.list.cursor).copied()
    }

    /// Whether a row's subtree is hidden.
    pub fn is_folded(&self, row: u32) -> bool {
        self.folded.get(row as usize).copied().unwrap_or(false)
    }

    /// Folds or unfolds the marked row; without children it does nothing.
    pub fn fold(&mut self, folded: bool) {
        let Some(row) = self.marked() else { return };
        if self.timeline.rows[row as usize].subtree > 1 && self.is_folded(row) != folded {
            self.folded[row as usize] = folded;
            self.show();
        }
    }

    /// Marks the parent of the marked row.
    pub fn go_to_parent(&mut self) {
        let Some(row) = self.marked() else { return };
        let parent = self.timeline.rows[row as usize].parent;
        if parent != NONE {
            self.reveal(parent);
        }
    }

    /// Folds every subtree below the roots, or unfolds all; the mark stays on what it was on, or
    /// on the row that now hides it.
    pub fn fold_all(&mut self, folded: bool) {
        let Some(marked) = self.marked() else { return };
        for (row, state) in self.timeline.rows.iter().zip(&mut self.folded) {
            *state = folded && row.subtree > 1 && row.depth > 0;
        }
        self.show();
        self.mark(marked);
    }

    /// Marks a row, unfolding what hides it.
    pub fn reveal(&mut self, row: u32) {
        let mut hidden = false;
        let mut parent = self
            .timeline
            .rows
            .get(row as usize)
            .map_or(NONE, |row| row.parent);
        while let Some(above) = self.timeline.rows.get(parent as usize) {
            hidden |= std::mem::take(&mut self.folded[parent as usize]);
            parent = above.parent;
        }
        if hidden {
            self.show();
        }
        self.mark(row);
    }

    /// Marks a row, or the folded row that hides it.
    fn mark(&mut self, row: u32) {
        let after = self.visible.partition_point(|&visible| visible <= row);
        self.list.cursor = after.saturating_sub(1);
    }

    fn show(&mut self) {
        self.visible.clear();
        let mut row = 0;
        while let Some(current) = self.timeline.rows.get(row) {
            // Rows are numbered by u32 when they are built.
            self.visible.push(row as u32);
            row += if self.folded[row] {
                current.subtree.max(1) as usize
            } else {
                1
            };
        }
    }
}
