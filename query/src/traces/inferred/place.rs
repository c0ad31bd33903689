//! Where a log line of an untraced service belongs among the spans of its trace.
//!
//! One sweep in time order over the spans of a trace answers for every line which spans
//! enclose it, so that the work is `(spans + lines) * log(spans)`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

use model::{Span, SpanId, SpanKind};

use super::super::assemble::{TraceSpan, calls};
use super::answer_to;

/// How many enclosing spans are looked at for one line, tightest first.
const CANDIDATES_MAX: usize = 64;

/// Why a line is where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Its span id names the parent.
    SpanId,
    /// One call only can be meant.
    OnlyCall,
    /// Several calls can be meant; it is in the tightest.
    TightestCall,
    /// Inside a span that is no open call.
    Enclosing,
    /// After everything else: the latest span that began before.
    Order,
    /// Before everything else: the first span to begin.
    First,
    /// There is no other span.
    Alone,
}

/// The place of a line.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) parent: Option<SpanId>,
    /// The span id that the line names as its own and that was not found.
    pub(super) own: Option<SpanId>,
    pub(super) confidence: f64,
    why: Why,
    /// Until when a line without a span id of its own may follow this one.
    until: u64,
}

impl Place {
    /// Whether a line of this place continues a run of that one.
    pub(super) fn joins(&self, other: &Place) -> bool {
        let certain = |place: &Place| place.why == Why::SpanId;
        self.parent == other.parent
            && self.own == other.own
            && (self.why == other.why || certain(self) || certain(other))
    }

    /// The name that the span takes from the call that it answers.
    pub(super) fn name(&self, parent: Option<&Span>) -> Option<String> {
        let parent = parent.filter(|span| calls(span.kind) && !span.name.is_empty())?;
        Some(parent.name.clone())
    }

    /// The kind of the span.
    pub(super) fn kind(&self, parent: Option<&Span>) -> SpanKind {
        parent.map_or(SpanKind::Internal, |span| answer_to(span.kind))
    }

    /// One sentence about why it is here.
    pub(super) fn reason(&self, service: &str, parent: Option<&Span>) -> String {
        let of = parent.map_or_else(String::new, |span| {
            format!("`{}` of {}", span.name, span.resource.service())
        });
        match self.why {
            Why::SpanId => format!("a line of {service} names the span {of}"),
            Why::OnlyCall => {
                format!("the call {of} is the only one that encloses the lines of {service}")
            }
            Why::TightestCall => {
                format!("of several calls in time, {of} encloses the lines of {service} tightest")
            }
            Why::Enclosing => format!("{of} encloses the lines of {service} in time"),
            Why::Order => format!("{of} is the last to begin before the lines of {service}"),
            Why::First => format!("{of} is the first to begin after the lines of {service}"),
            Why::Alone => format!("no span of the trace was found beside the lines of {service}"),
        }
    }
}

/// The spans of one trace, prepared for placing.
pub(super) struct Placer<'a> {
    spans: &'a [TraceSpan],
    /// Positions by start.
    order: Vec<usize>,
    by_id: HashMap<SpanId, usize>,
    /// Calls that no other service answers.
    open: HashSet<usize>,
}

impl<'a> Placer<'a> {
    /// `members` are the positions of the trace's spans.
    pub(super) fn new(spans: &'a [TraceSpan], members: &[usize]) -> Self {
        let mut order = members.to_vec();
        order.sort_by_key(|at| {
            let span = &spans[*at];
            (span.start(), span.span.span_id, span.span.kind)
        });
        let mut by_id: HashMap<SpanId, usize> = HashMap::new();
        for at in order.iter().copied() {
            let span = &spans[at].span;
            by_id
                .entry(span.span_id)
                .and_modify(|known| {
                    // Where client and server share an id, the caller is the parent.
                    if calls(span.kind) {
                        *known = at;
                    }
                })
                .or_insert(at);
        }
        let mut open: HashSet<usize> = order
            .iter()
            .copied()
            .filter(|at| calls(spans[*at].span.kind))
            .collect();
        for at in order.iter().copied() {
            let span = &spans[at].span;
            let answered = [span.parent_span_id, Some(span.span_id)];
            for parent in answered
                .into_iter()
                .flatten()
                .filter_map(|id| by_id.get(&id))
            {
                if spans[*parent].span.resource.service() != span.resource.service() {
                    open.remove(parent);
                }
            }
        }
        Self {
            spans,
            order,
            by_id,
            open,
        }
    }

    /// The span of this id.
    pub(super) fn by_id(&self, id: SpanId) -> Option<&'a Span> {
        self.by_id.get(&id).map(|at| &self.spans[*at].span)
    }

    /// Every span id of the trace.
    pub(super) fn ids(&self) -> HashSet<SpanId> {
        self.by_id.keys().copied().collect()
    }

    pub(super) fn sweep(&self) -> Sweep<'_, 'a> {
        Sweep {
            placer: self,
            next: 0,
            ends: BinaryHeap::new(),
            open: BTreeSet::new(),
            any: BTreeSet::new(),
        }
    }
}

/// The spans that enclose a moment that moves forward.
pub(super) struct Sweep<'p, 'a> {
    placer: &'p Placer<'a>,
    next: usize,
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    /// (duration, position) of enclosing open calls.
    open: BTreeSet<(u64, usize)>,
    /// (duration, position) of all enclosing spans.
    any: BTreeSet<(u64, usize)>,
}

impl Sweep<'_, '_> {
    /// Moves to a time not before the last one.
    pub(super) fn advance(&mut self, at: u64) {
        let spans = self.placer.spans;
        while let Some(index) = self.placer.order.get(self.next).copied() {
            let span = &spans[index];
            if span.start() > at {
                break;
            }
            self.next += 1;
            let key = (span.end() - span.start(), index);
            self.any.insert(key);
            if self.placer.open.contains(&index) {
                self.open.insert(key);
            }
            self.ends.push(Reverse((span.end(), index)));
        }
        while let Some(Reverse((end, index))) = self.ends.peek().copied() {
            if end >= at {
                break;
            }
            self.ends.pop();
            let key = (end - spans[index].start(), index);
            self.any.remove(&key);
            self.open.remove(&key);
        }
    }

    /// Places a line of this service at the time advanced to. `named` is the span id on the
    /// line, `own` the one that the record carries as its context.
    pub(super) fn place(
        &self,
        service: &str,
        at: u64,
        named: Option<SpanId>,
        own: Option<SpanId>,
        previous: Option<&Place>,
    ) -> Place {
        if let Some(parent) = named.and_then(|id| self.placer.by_id.get(&id)) {
            return self.at(*parent, 1.0, Why::SpanId, None);
        }
        if named.is_none()
            && let Some(previous) = previous.filter(|place| {
                (place.why == Why::SpanId && at <= place.until) || place.own.is_some()
            })
        {
            // A line without an id between lines of a span that is known by its id.
            return previous.clone();
        }
        self.by_time(service, own)
    }

    fn by_time(&self, service: &str, own: Option<SpanId>) -> Place {
        let spans = self.placer.spans;
        let candidates: Vec<usize> = self
            .open
            .iter()
            .map(|(_, at)| *at)
            .filter(|at| spans[*at].span.resource.service() != service)
            .take(CANDIDATES_MAX)
            .collect();
        let calls = fitting(spans, &candidates, service);
        match calls[..] {
            [only] => return self.at(only, 0.8, Why::OnlyCall, own),
            [tightest, ..] => return self.at(tightest, 0.5, Why::TightestCall, own),
            [] => {}
        }
        let enclosing = self.any.iter().map(|(_, at)| *at).take(CANDIDATES_MAX);
        if let Some(tightest) = enclosing.into_iter().next() {
            return self.at(tightest, 0.5, Why::Enclosing, own);
        }
        let order = &self.placer.order;
        match (order[..self.next].last(), order.first()) {
            (Some(latest), _) => self.at(*latest, 0.5, Why::Order, own),
            (None, Some(first)) => self.at(*first, 0.5, Why::First, own),
            (None, None) => Place {
                parent: None,
                own,
                confidence: 0.5,
                why: Why::Alone,
                until: 0,
            },
        }
    }

    fn at(&self, index: usize, confidence: f64, why: Why, own: Option<SpanId>) -> Place {
        let span = &self.placer.spans[index];
        Place {
            parent: Some(span.span.span_id),
            own,
            confidence,
            why,
            until: span.end(),
        }
    }
}

/// The calls that can be meant: those that name this peer, else those that name none.
fn fitting(spans: &[TraceSpan], candidates: &[usize], service: &str) -> Vec<usize> {
    let peer = |at: &usize, key: &str| {
        let value = model::value::last(&spans[*at].span.attributes, key)?.as_str()?;
        Some(value == service)
    };
    let named: Vec<usize> = candidates
        .iter()
        .copied()
        .filter(|at| {
            ["peer.service", "server.address", "net.peer.name"]
                .into_iter()
                .any(|key| peer(at, key) == Some(true))
        })
        .collect();
    if !named.is_empty() {
        return named;
    }
    // `peer.service` is a service's name: a call that names another one is not meant. A host
    // name proves nothing.
    candidates
        .iter()
        .copied()
        .filter(|at| peer(at, "peer.service") != Some(false))
        .collect()
}
