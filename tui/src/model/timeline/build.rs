//! Builds the rows of a timeline from what the server sent.
//!
//! Parents are looked up within a span's own trace. A parent that was not found becomes a row of
//! its own, so that a gap is seen. A root with a link to a span of another trace hangs under that
//! span. Log records hang under their span, else under the tightest inferred span of their
//! service at their time, else under the root of their trace. Cycles, which broken senders do
//! produce, are cut at their first row.

mod kept;

use std::collections::HashMap;

use api::{LogView, SpanView};
use serde_json::Value as Json;

use self::kept::Kept;
use super::{NONE, Row, RowKind, Timeline};
use crate::text::sanitise;

/// Longest name or log line kept for the list; the details have all of it.
const LINE_CHARS: usize = 1024;
/// OTLP's first severity number of ERROR.
const SEVERITY_ERROR: i32 = 17;
/// OTLP's status code of an error.
const STATUS_ERROR: i32 = 2;

/// One node before it has its place.
struct Node {
    row: Row,
    source: Source,
}

#[derive(Clone, Copy)]
enum Source {
    Span(u32),
    Log(u32),
    Missing(u32),
}

/// Strings by number.
#[derive(Default)]
struct Interner {
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32>,
}

impl Interner {
    fn number(&mut self, text: &str) -> u32 {
        let end = text
            .char_indices()
            .nth(LINE_CHARS)
            .map_or(text.len(), |(end, _)| end);
        let clean = sanitise(&text[..end]);
        if let Some(&number) = self.numbers.get(clean.as_ref()) {
            return number;
        }
        let number = self.names.len() as u32;
        self.names.push(clean.as_ref().into());
        self.numbers.insert(clean.as_ref().into(), number);
        number
    }
}

/// Builds the timeline of a trace (no logs) or a story.
pub fn build(spans: &[SpanView], logs: &[LogView]) -> Timeline {
    let mut builder = Builder::new(spans, logs);
    builder.add_spans();
    builder.add_logs();
    builder.finish()
}

struct Builder<'a> {
    spans: &'a [SpanView],
    logs: &'a [LogView],
    nodes: Vec<Node>,
    parents: Vec<u32>,
    by_id: HashMap<(&'a str, &'a str), u32>,
    missing: Vec<(&'a str, &'a str)>,
    names: Interner,
}

impl<'a> Builder<'a> {
    fn new(spans: &'a [SpanView], logs: &'a [LogView]) -> Self {
        let mut by_id = HashMap::with_capacity(spans.len());
        for (number, span) in spans.iter().enumerate() {
            // Of spans that share an id the first is the parent of those that name it.
            by_id
                .entry((span.trace_id.as_str(), span.span_id.as_str()))
                .or_insert(number as u32);
        }
        Self {
            spans,
            logs,
            nodes: Vec::with_capacity(spans.len() + logs.len()),
            parents: Vec::with_capacity(spans.len() + logs.len()),
            by_id,
            missing: Vec::new(),
            names: Interner::default(),
        }
    }

    fn add_spans(&mut self) {
        for (number, span) in self.spans.iter().enumerate() {
            let start = span.corrected_start_unix_nano();
            let row = Row {
                start,
                span_id: id_number(&span.span_id),
                duration: span.corrected_end_unix_nano().saturating_sub(start),
                name: self.names.number(&span.name),
                service: self.names.number(&span.service),
                kind: if span.inferred {
                    RowKind::Inferred
                } else {
                    RowKind::Span
                },
                error: span.status.code == STATUS_ERROR,
                // Confidence is between 0 and 1; anything else is clamped by the cast.
                confidence: (span.confidence * 100.0).round() as u8,
                ..empty_row()
            };
            self.nodes.push(Node {
                row,
                source: Source::Span(number as u32),
            });
        }
        let mut missing: HashMap<(&str, &str), u32> = HashMap::new();
        for (number, span) in self.spans.iter().enumerate() {
            let (parent, linked) = self.parent_of_span(number as u32, span, &mut missing);
            self.parents.push(parent);
            self.nodes[number].row.linked = linked;
        }
        self.parents.resize(self.nodes.len(), NONE);
    }

    fn parent_of_span(
        &mut self,
        number: u32,
        span: &'a SpanView,
        missing: &mut HashMap<(&'a str, &'a str), u32>,
    ) -> (u32, bool) {
        if span.parent_span_id.is_empty() {
            let linked = span.links.iter().find_map(|link| {
                let text = |name: &str| link.get(name).and_then(Json::as_str);
                self.by_id
                    .get(&(text("traceId")?, text("spanId")?))
                    .copied()
            });
            return match linked.filter(|&parent| parent != number) {
                Some(parent) => (parent, true),
                None => (NONE, false),
            };
        }
        let id = (span.trace_id.as_str(), span.parent_span_id.as_str());
        if let Some(&parent) = self.by_id.get(&id) {
            return (if parent == number { NONE } else { parent }, false);
        }
        let start = span.corrected_start_unix_nano();
        let end = span.corrected_end_unix_nano();
        let parent = *missing.entry(id).or_insert_with(|| {
            let short = crate::text::fit(id.1, 16).0;
            let row = Row {
                start,
                name: self.names.number(&format!("parent {short} was not found")),
                service: self.names.number(""),
                kind: RowKind::Missing,
                ..empty_row()
            };
            self.missing.push(id);
            let source = Source::Missing(self.missing.len() as u32 - 1);
            self.nodes.push(Node { row, source });
            self.nodes.len() as u32 - 1
        });
        // A missing parent is drawn as wide as the children that prove it.
        let row = &mut self.nodes[parent as usize].row;
        let last = (row.start + row.duration).max(end);
        row.start = row.start.min(start);
        row.duration = last.saturating_sub(row.start);
        (parent, false)
    }

    fn add_logs(&mut self) {
        let mut roots: HashMap<&str, u32> = HashMap::new();
        let mut inferred: HashMap<&str, Vec<u32>> = HashMap::new();
        for (number, span) in self.spans.iter().enumerate() {
            if self.parents[number] == NONE || self.nodes[number].row.linked {
                roots.entry(&span.trace_id).or_insert(number as u32);
            }
            if span.inferred {
                inferred
                    .entry(&span.service)
                    .or_default()
                    .push(number as u32);
            }
        }
        for (number, log) in self.logs.iter().enumerate() {
            let time = log.corrected_time_unix_nano();
            let row = Row {
                start: time,
                span_id: id_number(&log.span_id),
                name: self.names.number(&log_line(log)),
                service: self.names.number(&log.service),
                kind: RowKind::Log,
                error: log.severity_number >= SEVERITY_ERROR,
                ..empty_row()
            };
            let parent = (!log.span_id.is_empty())
                .then(|| {
                    self.by_id
                        .get(&(log.trace_id.as_str(), log.span_id.as_str()))
                        .copied()
                })
                .flatten()
                .or_else(|| self.enclosing(inferred.get(log.service.as_str())?, time))
                .or_else(|| roots.get(log.trace_id.as_str()).copied())
                .unwrap_or(NONE);
            self.nodes.push(Node {
                row,
                source: Source::Log(number as u32),
            });
            self.parents.push(parent);
        }
    }

    fn enclosing(&self, candidates: &[u32], time: u64) -> Option<u32> {
        candidates
            .iter()
            .copied()
            .filter(|&span| {
                let row = &self.nodes[span as usize].row;
                row.start <= time && time <= row.start + row.duration
            })
            .min_by_key(|&span| self.nodes[span as usize].row.duration)
    }

    fn finish(self) -> Timeline {
        let order = place(&self.nodes, &self.parents);
        let mut position = vec![NONE; self.nodes.len()];
        for (place, &(node, _)) in order.iter().enumerate() {
            position[node as usize] = place as u32;
        }
        let mut timeline = Timeline {
            rows: Vec::with_capacity(order.len()),
            start: self
                .nodes
                .iter()
                .map(|node| node.row.start)
                .min()
                .unwrap_or(0),
            end: self
                .nodes
                .iter()
                .map(|node| node.row.start.saturating_add(node.row.duration))
                .max()
                .unwrap_or(0),
            ..Timeline::default()
        };
        let mut origins: HashMap<(String, String), u32> = HashMap::new();
        for (node, parent) in order {
            let node = &self.nodes[node as usize];
            let above = if parent == NONE {
                NONE
            } else {
                position[parent as usize]
            };
            let depth = timeline
                .rows
                .get(above as usize)
                .map_or(0, |row: &Row| row.depth.saturating_add(1));
            timeline.rows.push(Row {
                parent: above,
                depth,
                ..node.row
            });
            let origin = match node.source {
                Source::Span(number) => {
                    let span = &self.spans[number as usize];
                    timeline.keep(&Kept::new(span));
                    *origins
                        .entry((span.resource.to_string(), span.scope.to_string()))
                        .or_insert_with(|| {
                            timeline
                                .origins
                                .push((span.resource.clone(), span.scope.clone()));
                            timeline.origins.len() as u32 - 1
                        })
                }
                Source::Log(number) => {
                    timeline.keep(&self.logs[number as usize]);
                    NONE
                }
                Source::Missing(number) => {
                    timeline.keep(&self.missing[number as usize]);
                    NONE
                }
            };
            timeline.details.push((timeline.arena.len() as u64, origin));
        }
        timeline.names = self.names.names;
        timeline.sum_up();
        timeline
    }
}

fn empty_row() -> Row {
    Row {
        start: 0,
        span_id: 0,
        duration: 0,
        subtree: 1,
        parent: NONE,
        name: 0,
        service: 0,
        errors: 0,
        depth: 0,
        kind: RowKind::Span,
        error: false,
        linked: false,
        confidence: 100,
    }
}

/// A span id as a number; 0 for what is no span id, which no valid span has.
pub(crate) fn id_number(span_id: &str) -> u64 {
    u64::from_str_radix(span_id, 16).unwrap_or(0)
}

/// The line of a log record in a list: its body, else its event name, else its attributes.
pub(crate) fn log_line(log: &LogView) -> String {
    let body = match &log.body {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    };
    if !body.is_empty() {
        return body;
    }
    if !log.event_name.is_empty() {
        return log.event_name.clone();
    }
    if log.attributes.is_null() {
        String::new()
    } else {
        log.attributes.to_string()
    }
}

/// Drawing order: roots by start, each followed by its subtree, children by start. Gives for each
/// place the node and the parent that it hangs under there.
fn place(nodes: &[Node], parents: &[u32]) -> Vec<(u32, u32)> {
    let mut by_start: Vec<u32> = (0..nodes.len() as u32).collect();
    // Of rows that start together a span comes before the records that it wrote.
    by_start.sort_by_key(|&node| {
        let row = &nodes[node as usize].row;
        (row.start, row.kind == RowKind::Log)
    });
    // Children in one vector, those of node n from first[n] to first[n + 1].
    let mut first = vec![0u32; nodes.len() + 1];
    for &parent in parents.iter().filter(|&&parent| parent != NONE) {
        first[parent as usize + 1] += 1;
    }
    for node in 0..nodes.len() {
        first[node + 1] += first[node];
    }
    let mut next = first.clone();
    let mut children = vec![0u32; first[nodes.len()] as usize];
    for &node in &by_start {
        let parent = parents[node as usize];
        if parent != NONE {
            children[next[parent as usize] as usize] = node;
            next[parent as usize] += 1;
        }
    }
    let mut order = Vec::with_capacity(nodes.len());
    let mut placed = vec![false; nodes.len()];
    let mut stack = Vec::new();
    let roots = by_start
        .iter()
        .filter(|&&node| parents[node as usize] == NONE);
    // After the roots every node once more: what is left then belongs to a cycle.
    for &root in roots.chain(&by_start) {
        if placed[root as usize] {
            continue;
        }
        stack.push((root, NONE));
        while let Some((node, parent)) = stack.pop() {
            if std::mem::replace(&mut placed[node as usize], true) {
                continue;
            }
            order.push((node, parent));
            let range = first[node as usize] as usize..first[node as usize + 1] as usize;
            stack.extend(children[range].iter().rev().map(|&child| (child, node)));
        }
    }
    order
}

impl Timeline {
    fn keep(&mut self, value: &impl serde::Serialize) {
        // Writing plain data into memory cannot fail; if it ever did, the row would have no
        // details, which the screen says.
        if let Ok(bytes) = serde_json::to_vec(value) {
            self.arena.extend_from_slice(&bytes);
        }
    }

    /// Fills in sizes, error counts and totals from the last row up.
    fn sum_up(&mut self) {
        for index in (0..self.rows.len()).rev() {
            let row = &mut self.rows[index];
            row.errors += u32::from(row.error);
            let (subtree, errors, parent) = (row.subtree, row.errors, row.parent as usize);
            if let Some(parent) = self.rows.get_mut(parent) {
                parent.subtree += subtree;
                parent.errors += errors;
            }
        }
        for (index, row) in self.rows.iter().enumerate() {
            if row.error {
                self.errors.push(index as u32);
            }
            match row.kind {
                RowKind::Span => self.spans += 1,
                RowKind::Inferred => {
                    self.spans += 1;
                    self.inferred += 1;
                }
                RowKind::Log => self.logs += 1,
                RowKind::Missing => self.missing += 1,
            }
        }
    }
}
