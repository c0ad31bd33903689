//! From loose spans to a forest in causal order.
//!
//! Pure: no I/O, no clock, no recursion, and the same forest for every order of the same input.
//! Nothing about a trace is taken for granted: spans come twice, parents are missing, ids are
//! shared between client and server (Zipkin), parents form cycles. Every distinct span is in
//! the result exactly once.

use std::cmp::Ordering;
use std::ops::Range;

use model::{Span, SpanId, SpanKind, TraceId};

use crate::sources::says_more;

/// A span on its way into a tree, with what was found out about it.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceSpan {
    /// The span as sent, or as made up.
    pub span: Span,
    /// Whether it was made up from log records.
    pub inferred: bool,
    /// How sure its place is, 0 to 1; 1 for a span that was sent.
    pub confidence: f64,
    /// What to add to its times to correct the sender's clock.
    pub clock_adjust_nano: i64,
}

impl From<Span> for TraceSpan {
    fn from(span: Span) -> Self {
        Self {
            clock_adjust_nano: span.clock_adjust_nano(),
            span,
            inferred: false,
            confidence: 1.0,
        }
    }
}

impl TraceSpan {
    /// Start after clock correction.
    pub fn start(&self) -> u64 {
        self.span
            .start_unix_nano
            .saturating_add_signed(self.clock_adjust_nano)
    }

    /// End after clock correction, never before the start.
    pub fn end(&self) -> u64 {
        self.span
            .end_unix_nano
            .saturating_add_signed(self.clock_adjust_nano)
            .max(self.start())
    }

    fn key(&self) -> (TraceId, SpanId, i32) {
        (self.span.trace_id, self.span.span_id, self.span.kind)
    }
}

/// A span with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The span.
    pub span: TraceSpan,
    /// Position of its parent in the list.
    pub parent: Option<usize>,
    /// Positions of its children, by start.
    pub children: Vec<usize>,
    /// 0 for a root.
    pub depth: u32,
}

/// A forest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Assembled {
    /// Depth first: parents before children, siblings by start.
    pub spans: Vec<Placed>,
    /// Ids that are named as parents but were not found, sorted.
    pub missing_parents: Vec<SpanId>,
    /// Spans that became roots because their parents led back to them, sorted.
    pub cycles: Vec<SpanId>,
}

/// Whether a root that links to a span at hand is placed below that span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// It stays a root.
    Ignore,
    /// It goes below: queues become part of the tree.
    Follow,
}

/// Why a span is where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Root,
    Parent,
    Link,
}

/// Builds the forest. Spans that share trace id, span id and kind are one span: the one that
/// ended last and says most is kept. A span without an id is never taken for another one, unless
/// it equals it in all.
pub fn assemble(spans: Vec<TraceSpan>, links: Links) -> Assembled {
    let nodes = distinct(spans);
    let mut missing = Vec::new();
    let mut parents = Vec::with_capacity(nodes.len());
    let mut edges = Vec::with_capacity(nodes.len());
    for index in 0..nodes.len() {
        let (parent, edge) = parent_of(&nodes, index, links, &mut missing);
        parents.push(parent);
        edges.push(edge);
    }
    missing.sort_unstable();
    missing.dedup();
    let mut cycles = break_cycles(&nodes, &mut parents, &edges);
    cycles.sort_unstable();
    Assembled {
        spans: depth_first(nodes, &parents),
        missing_parents: missing,
        cycles,
    }
}

/// The distinct spans, sorted by trace id, span id and kind.
pub(super) fn distinct(spans: Vec<TraceSpan>) -> Vec<TraceSpan> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&spans[*a], &spans[*b]);
        a.key().cmp(&b.key()).then_with(|| preference(b, a))
    });
    let mut slots: Vec<Option<TraceSpan>> = spans.into_iter().map(Some).collect();
    let mut kept: Vec<TraceSpan> = Vec::with_capacity(slots.len());
    for index in order {
        let span = slots[index]
            .take()
            .expect("each index occurs once in the order");
        let duplicate = kept.last().is_some_and(|last| {
            last.key() == span.key() && (!span.span.span_id.is_zero() || *last == span)
        });
        if !duplicate {
            kept.push(span);
        }
    }
    kept
}

/// Which of two versions of a span says more. Total and independent of the input's order.
fn preference(a: &TraceSpan, b: &TraceSpan) -> Ordering {
    (!a.inferred)
        .cmp(&!b.inferred)
        .then_with(|| says_more(&a.span, &b.span))
        .then(a.span.start_unix_nano.cmp(&b.span.start_unix_nano))
        .then_with(|| a.span.name.cmp(&b.span.name))
        .then_with(|| {
            if a == b {
                Ordering::Equal
            } else {
                // Versions that differ in a detail only: any order will do that does not
                // depend on which came first.
                format!("{a:?}").cmp(&format!("{b:?}"))
            }
        })
}

/// The spans of this id: a range, since the nodes are sorted by it.
fn with_id(nodes: &[TraceSpan], trace: TraceId, id: SpanId) -> Range<usize> {
    let wanted = (trace, id);
    let key = |node: &TraceSpan| (node.span.trace_id, node.span.span_id);
    let start = nodes.partition_point(|node| key(node) < wanted);
    let count = nodes[start..]
        .iter()
        .take_while(|node| key(node) == wanted)
        .count();
    start..start + count
}

/// Whether a span of this kind calls another one.
pub(super) fn calls(kind: i32) -> bool {
    kind == SpanKind::Client as i32 || kind == SpanKind::Producer as i32
}

fn answers(kind: i32) -> bool {
    kind == SpanKind::Server as i32 || kind == SpanKind::Consumer as i32
}

fn parent_of(
    nodes: &[TraceSpan],
    index: usize,
    links: Links,
    missing: &mut Vec<SpanId>,
) -> (Option<usize>, Edge) {
    let span = &nodes[index].span;
    if answers(span.kind) && !span.span_id.is_zero() {
        let mut same = with_id(nodes, span.trace_id, span.span_id);
        if let Some(client) = same.find(|other| calls(nodes[*other].span.kind)) {
            return (Some(client), Edge::Parent);
        }
    }
    match span.parent_span_id.filter(|id| !id.is_zero()) {
        Some(id) if id == span.span_id => (None, Edge::Root),
        Some(id) => {
            let candidates = with_id(nodes, span.trace_id, id);
            let parent = choose(nodes, candidates, span);
            if parent.is_none() {
                missing.push(id);
            }
            (
                parent,
                if parent.is_some() {
                    Edge::Parent
                } else {
                    Edge::Root
                },
            )
        }
        None if links == Links::Follow => match linked(nodes, index) {
            Some(parent) => (Some(parent), Edge::Link),
            None => (None, Edge::Root),
        },
        None => (None, Edge::Root),
    }
}

/// Of the spans that share the parent's id, the one of the child's own service, else the one
/// that answers calls.
fn choose(nodes: &[TraceSpan], mut candidates: Range<usize>, child: &Span) -> Option<usize> {
    if candidates.len() < 2 {
        return candidates.next();
    }
    let service = child.resource.service();
    let own = candidates
        .clone()
        .find(|at| nodes[*at].span.resource.service() == service);
    own.or_else(|| candidates.clone().find(|at| answers(nodes[*at].span.kind)))
        .or_else(|| candidates.next())
}

/// The first span that this one links to and that is at hand.
fn linked(nodes: &[TraceSpan], index: usize) -> Option<usize> {
    nodes[index].span.links.iter().find_map(|link| {
        let trace = TraceId::from_wire(&link.trace_id)?;
        let id = SpanId::from_wire(&link.span_id)?;
        // Where client and server share the id, the server lies below the client already, and
        // the one that called is what was linked to.
        with_id(nodes, trace, id)
            .filter(|at| *at != index)
            .max_by_key(|at| calls(nodes[*at].span.kind))
    })
}

/// Makes a root of one span of every cycle: of those placed by a link the earliest, else the
/// earliest of all.
fn break_cycles(nodes: &[TraceSpan], parents: &mut [Option<usize>], edges: &[Edge]) -> Vec<SpanId> {
    const UNSEEN: u32 = 0;
    let mut walk = vec![UNSEEN; nodes.len()];
    let mut broken = Vec::new();
    let mut number = UNSEEN;
    for first in 0..nodes.len() {
        number += 1;
        let mut at = first;
        while walk[at] == UNSEEN {
            walk[at] = number;
            match parents[at] {
                Some(parent) => at = parent,
                None => break,
            }
        }
        if walk[at] != number || parents[at].is_none() {
            continue;
        }
        let mut cycle = vec![at];
        let mut next = parents[at];
        while let Some(member) = next.filter(|member| *member != at) {
            cycle.push(member);
            next = parents[member];
        }
        let earliest = cycle
            .into_iter()
            .min_by_key(|member| {
                (
                    edges[*member] != Edge::Link,
                    nodes[*member].start(),
                    *member,
                )
            })
            .expect("a cycle has a member");
        parents[earliest] = None;
        broken.push(nodes[earliest].span.span_id);
    }
    broken
}

fn depth_first(nodes: Vec<TraceSpan>, parents: &[Option<usize>]) -> Vec<Placed> {
    // One list of all nodes sorted by (parent, start): the children of a node are a slice of it.
    let slot = |parent: Option<usize>| parent.map_or(0, |parent| parent + 1);
    let mut sorted: Vec<usize> = (0..nodes.len()).collect();
    sorted.sort_by_key(|at| (slot(parents[*at]), nodes[*at].start(), *at));
    let mut first = vec![0usize; nodes.len() + 2];
    for parent in parents {
        first[slot(*parent) + 1] += 1;
    }
    for at in 1..first.len() {
        first[at] += first[at - 1];
    }
    let children = |of: Option<usize>| &sorted[first[slot(of)]..first[slot(of) + 1]];

    let mut slots: Vec<Option<TraceSpan>> = nodes.into_iter().map(Some).collect();
    let mut placed: Vec<Placed> = Vec::with_capacity(slots.len());
    let mut stack: Vec<(usize, Option<usize>, u32)> = children(None)
        .iter()
        .rev()
        .map(|root| (*root, None, 0))
        .collect();
    while let Some((node, parent, depth)) = stack.pop() {
        let at = placed.len();
        if let Some(parent) = parent {
            let parent: &mut Placed = &mut placed[parent];
            parent.children.push(at);
        }
        let span = slots[node]
            .take()
            .expect("a node of a forest is reached once");
        placed.push(Placed {
            span,
            parent,
            children: Vec::new(),
            depth,
        });
        stack.extend(
            children(Some(node))
                .iter()
                .rev()
                .map(|child| (*child, Some(at), depth + 1)),
        );
    }
    placed
}

#[cfg(test)]
mod tests;
