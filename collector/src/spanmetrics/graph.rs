//! Requests between services, from the spans of their two sides.
//!
//! A caller's span (client, producer) and the span that it is the parent of (server, consumer)
//! make an edge. A consumer is joined to the producers that it links to, where it links to any. The
//! first side to come waits for the other, for a while and in bounded memory:
//!
//! - a call of a database needs no other side;
//! - a caller that waited in vain, and whose attributes name its peer, called one that sends no
//!   spans: a virtual node;
//! - what begins a trace was asked for by someone who sends no spans: the virtual node `user`;
//! - anything else that waited in vain is counted as unpaired, once: a consumer of several messages only
//!   where the producer of none of them came;
//! - what had to stop waiting since too many waited is counted as dropped, unless it is a virtual
//!   node's.

mod attributes;
mod edge;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use model::{SpanId, SpanKind, StatusCode, Tenant, TraceId};
use storage::write::StoredSpan;

use super::histogram::Example;

pub(super) use attributes::Attributes;
pub(super) use edge::{Connection, Edge, Event, Found, Loss, Lost, VirtualSide};
use edge::{Kept, Side, join, kept, side};

/// Who asks where nothing says who it is.
const USER: &str = "user";
/// Producers that one consumer is joined to at most.
const LINKS_MAX: usize = 128;

/// The span of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    // First: it differs, mostly.
    span_id: SpanId,
    trace_id: TraceId,
    tenant: Tenant,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The ids tell spans apart but for those that tenants have in common.
        state.write(&self.trace_id.0);
        state.write(&self.span_id.0);
    }
}

/// What waits for the other side of a caller's span.
#[derive(Debug)]
enum Half {
    Caller {
        side: Kept,
        peer: Option<Box<str>>,
        /// Whether a consumer has come: a message may have several.
        joined: bool,
    },
    /// One span waits mostly, so that the rest takes no memory.
    Called(Called, Vec<Called>),
}

/// A span that was called, where it waits for one of its callers.
#[derive(Debug)]
struct Called {
    side: Kept,
    /// Of one that waits for several: whether any of them has come. Shared by the places where it waits.
    joined: Option<Arc<AtomicBool>>,
}

impl Called {
    /// Notes that a caller has come.
    fn join(&self) -> Side<'_> {
        if let Some(joined) = &self.joined {
            joined.store(true, Ordering::Relaxed);
        }
        self.side.side()
    }

    /// Whether it has waited in vain, now that it stops waiting here: a batch is one request of each
    /// producer that has come, and one lost span where none has.
    fn is_lost(&self) -> bool {
        self.joined
            .as_ref()
            .is_none_or(|joined| Arc::strong_count(joined) == 1 && !joined.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
struct Waiting {
    /// Tells this one from a later one of the same key.
    number: u64,
    half: Half,
}

/// Counts of what came of spans.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcomes {
    /// Spans whose other side did not come, nor is known.
    pub unpaired: u64,
    /// Spans that had to stop waiting early, since too many waited.
    pub evicted: u64,
}

/// The half-open edges.
#[derive(Debug)]
pub(super) struct Graph {
    attributes: Attributes,
    wait_nanos: u64,
    most: usize,
    waiting: HashMap<Key, Waiting>,
    /// By the time until which they wait.
    order: VecDeque<(u64, u64, Key)>,
    /// Spans that wait, each as often as there are callers that it waits for.
    held: usize,
    next: u64,
    pub(super) outcomes: Outcomes,
}

impl Graph {
    pub(super) fn new(attributes: Attributes, wait: Duration, most: usize) -> Self {
        Self {
            attributes,
            wait_nanos: u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX),
            most,
            waiting: HashMap::default(),
            order: VecDeque::new(),
            held: 0,
            next: 0,
            outcomes: Outcomes::default(),
        }
    }

    /// Spans that wait, each as often as there are callers that it waits for.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Looks at a span at a moment of a clock that only advances.
    pub(super) fn see(
        &mut self,
        span: &StoredSpan<'_>,
        example: Example,
        now: u64,
        found: &mut Found<'_>,
    ) {
        self.expire(now, found);
        match SpanKind::from_code(span.kind) {
            Some(kind @ (SpanKind::Client | SpanKind::Producer)) => {
                self.caller(span, kind, example, now, found);
            }
            Some(kind @ (SpanKind::Server | SpanKind::Consumer)) => {
                self.called(span, kind, example, now, found);
            }
            _ => {}
        }
    }

    fn caller(
        &mut self,
        span: &StoredSpan<'_>,
        kind: SpanKind,
        example: Example,
        now: u64,
        found: &mut Found<'_>,
    ) {
        let side = side(span, kind, example);
        if kind == SpanKind::Client
            && let Some(name) = self.attributes.database(span)
        {
            let edge = Edge {
                client: Cow::Borrowed(span.service),
                server: name,
                connection: Connection::Database,
                failed: side.failed,
                client_side: Some(example),
                server_side: Some(example),
                transit: None,
                virtual_side: VirtualSide::None,
            };
            return found(span.tenant, Event::Edge(edge));
        }
        if span.span_id == SpanId::default() {
            return self.lose(span.tenant, side.keep().lost(true, Loss::Unpaired), found);
        }
        let key = key(span, span.trace_id, span.span_id);
        let mut joined = false;
        match self.waiting.get(&key).map(|waits| &waits.half) {
            Some(Half::Called(..)) => {
                if let Some(Waiting {
                    half: Half::Called(first, more),
                    ..
                }) = self.waiting.remove(&key)
                {
                    self.held -= 1 + more.len();
                    for called in std::iter::once(&first).chain(&more) {
                        found(span.tenant, Event::Edge(join(side, called.join())));
                    }
                }
                joined = true;
            }
            // The same span once more, under the id that it had.
            Some(Half::Caller { .. }) => {
                return self.lose(span.tenant, side.keep().lost(true, Loss::Unpaired), found);
            }
            None => {}
        }
        // A message may have more consumers, a call has one server.
        if !joined || side.messaging {
            let peer = Attributes::first(span, &self.attributes.peers);
            let peer = peer.map(|(_, name)| kept(&name));
            let side = side.keep();
            let until = self.until(now);
            self.hold(key, Half::Caller { side, peer, joined }, until);
            self.shrink(found);
        }
    }

    fn called(
        &mut self,
        span: &StoredSpan<'_>,
        kind: SpanKind,
        example: Example,
        now: u64,
        found: &mut Found<'_>,
    ) {
        let linked = linked_by(span, kind);
        let parent = span.parent_span_id.filter(|_| linked.is_empty());
        let parent = parent.map(|parent| key(span, span.trace_id, parent));
        if linked.is_empty() && parent.is_none() {
            let caller = Attributes::first(span, &self.attributes.callers);
            let edge = Edge {
                client: caller.map_or(Cow::Borrowed(USER), |(_, name)| name),
                server: Cow::Borrowed(span.service),
                connection: Connection::Virtual,
                failed: span.status == StatusCode::Error as i32,
                client_side: None,
                server_side: Some(example),
                transit: None,
                virtual_side: VirtualSide::Client,
            };
            return found(span.tenant, Event::Edge(edge));
        }
        let called = side(span, kind, example);
        let batch = (linked.len() > 1).then(|| Arc::new(AtomicBool::new(false)));
        let keep = || Called {
            side: called.keep(),
            joined: batch.clone(),
        };
        let until = self.until(now);
        for key in linked.into_iter().chain(parent) {
            match self.waiting.get_mut(&key) {
                Some(Waiting {
                    half: Half::Caller { side, joined, .. },
                    ..
                }) => {
                    found(span.tenant, Event::Edge(join(side.side(), called)));
                    *joined = true;
                    if let Some(batch) = &batch {
                        batch.store(true, Ordering::Relaxed);
                    }
                    if !side.messaging {
                        self.waiting.remove(&key);
                        self.held -= 1;
                    }
                }
                Some(Waiting {
                    half: Half::Called(_, more),
                    ..
                }) => {
                    more.push(keep());
                    self.held += 1;
                }
                None => self.hold(key, Half::Called(keep(), Vec::new()), until),
            }
        }
        // From here on the places where it waits have it alone.
        drop(batch);
        self.shrink(found);
    }

    /// Until when what comes now waits.
    fn until(&self, now: u64) -> u64 {
        now.saturating_add(self.wait_nanos)
    }

    fn hold(&mut self, key: Key, half: Half, until: u64) {
        let number = self.next;
        self.next += 1;
        self.order.push_back((until, number, key.clone()));
        self.waiting.insert(key, Waiting { number, half });
        self.held += 1;
        // What found its other side has left its place in the order behind.
        if self.order.len() > 2 * self.waiting.len() + 1024 {
            let waiting = &self.waiting;
            self.order.retain(|(_, number, key)| {
                waiting
                    .get(key)
                    .is_some_and(|waits| waits.number == *number)
            });
        }
    }

    /// Lets those go that have waited longest while there are too many.
    fn shrink(&mut self, found: &mut Found<'_>) {
        while self.held > self.most {
            let Some((_, number, key)) = self.order.pop_front() else {
                return;
            };
            self.outcomes.evicted += self.end(number, &key, Loss::Dropped, found);
        }
    }

    /// Ends the waiting of those whose time is over.
    pub(super) fn expire(&mut self, now: u64, found: &mut Found<'_>) {
        while let Some((until, ..)) = self.order.front()
            && *until <= now
        {
            if let Some((_, number, key)) = self.order.pop_front() {
                self.end(number, &key, Loss::Unpaired, found);
            }
        }
    }

    /// What a side becomes that waited in vain; says how many spans wait no more, but for batches that
    /// others than this caller have come for or may come for.
    fn end(&mut self, number: u64, key: &Key, loss: Loss, found: &mut Found<'_>) -> u64 {
        let is_this = |waits: &Waiting| waits.number == number;
        if !self.waiting.get(key).is_some_and(is_this) {
            return 0;
        }
        let Some(Waiting { half, .. }) = self.waiting.remove(key) else {
            return 0;
        };
        match half {
            Half::Called(first, more) => {
                self.held -= 1 + more.len();
                let mut lost = 0;
                for called in std::iter::once(first).chain(more) {
                    if called.is_lost() {
                        self.lose(&key.tenant, called.side.lost(false, loss), found);
                        lost += 1;
                    }
                }
                return lost;
            }
            Half::Caller { joined: true, .. } => {}
            Half::Caller {
                side, peer: None, ..
            } => self.lose(&key.tenant, side.lost(true, loss), found),
            Half::Caller {
                side,
                peer: Some(peer),
                ..
            } => {
                let edge = Edge {
                    client: Cow::Borrowed(&side.service),
                    server: Cow::Borrowed(&peer),
                    connection: Connection::Virtual,
                    failed: side.failed,
                    client_side: Some(side.example),
                    server_side: None,
                    transit: None,
                    virtual_side: VirtualSide::Server,
                };
                found(&key.tenant, Event::Edge(edge));
            }
        }
        self.held -= 1;
        1
    }

    fn lose(&mut self, tenant: &Tenant, lost: Lost<'_>, found: &mut Found<'_>) {
        // What had to stop waiting is counted as such by whoever stopped it.
        self.outcomes.unpaired += u64::from(lost.loss == Loss::Unpaired);
        found(tenant, Event::Lost(lost));
    }
}

fn key(span: &StoredSpan<'_>, trace_id: TraceId, span_id: SpanId) -> Key {
    Key {
        span_id,
        trace_id,
        tenant: span.tenant.clone(),
    }
}

/// The producers that a consumer links to, which may be the other side of its request.
fn linked_by(span: &StoredSpan<'_>, kind: SpanKind) -> Vec<Key> {
    let mut keys = Vec::new();
    if kind == SpanKind::Consumer {
        span.details.links(&mut |trace_id, span_id| {
            let key = key(span, trace_id, span_id);
            if keys.len() < LINKS_MAX && !keys.contains(&key) {
                keys.push(key);
            }
        });
    }
    keys
}

#[cfg(test)]
mod tests;
