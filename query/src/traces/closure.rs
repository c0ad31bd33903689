//! Everything that belongs to an id: the rows that carry it, their traces, the traces linked
//! to those in either direction, their correlation values, and again.
//!
//! The walk goes outward in rounds. It is bounded in rounds, traces, rows and values, and each
//! bound that cuts something off is named in the answer. A value that more traces share than
//! the hub limit is named instead of followed: it says nothing about one request.

mod absorb;

use std::collections::{HashMap, HashSet};

use api::types::{Hub, Join};
use futures::{StreamExt, TryStreamExt};
use model::correlation::{SPAN_ID_KEY, TRACE_ID_KEY};
use model::{LogRecord, Span, SpanId, TimeRange, TraceId};
use storage::filter::{Field, Filter};

use super::rows::{Ask, Rows};
use crate::error::{ErrorKind, QueryError};

/// How many values one pair of requests asks for.
const VALUES_PER_REQUEST: usize = 64;
/// How many requests run at once.
const REQUESTS_AT_ONCE: usize = 4;
/// Of rows that take too much memory, one in so many is asked for instead.
const FEWER: usize = 50;

/// How far a walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Rounds after the rows that carry the id itself.
    pub depth: usize,
    /// Traces followed.
    pub traces: usize,
    /// Spans held, and log records held.
    pub rows: usize,
    /// Spans held of a trace that is asked for alone, if these are more.
    pub trace_spans: usize,
    /// A value shared by more traces than this is a hub.
    pub hub: usize,
    /// Correlation values followed.
    pub values: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            depth: 4,
            traces: 200,
            rows: 100_000,
            trace_spans: 1_000_000,
            hub: 100,
            values: 1_000,
        }
    }
}

/// What belongs to an id.
#[derive(Debug, Default)]
pub struct Closure {
    /// Spans of all traces reached, and spans that carry a value only, in all of their versions.
    pub spans: Vec<Span>,
    /// Log records.
    pub logs: Vec<LogRecord>,
    /// The traces that were read whole, in the order in which they were found.
    pub traces: Vec<TraceId>,
    /// Why each trace and value belongs here.
    pub joins: Vec<Join>,
    /// Values that were not followed.
    pub hubs: Vec<Hub>,
}

/// What to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seed {
    /// Any id: trace id, span id or correlation value.
    Id(String),
    /// One trace; neither links nor the traces that share its values are followed.
    Trace(TraceId),
}

/// Walks from the seed over rows in the range.
pub async fn walk(
    rows: &dyn Rows,
    seed: &Seed,
    range: TimeRange,
    bounds: Bounds,
) -> Result<Closure, QueryError> {
    let mut walk = Walk::new(rows, range, bounds, matches!(seed, Seed::Id(_)));
    match seed {
        Seed::Trace(trace) => walk.next_traces.push(*trace),
        Seed::Id(id) => walk.begin(id).await?,
    }
    let rounds = if walk.follow { bounds.depth } else { 1 };
    // The first round reads the seed's own traces and values; `depth` more follow.
    for _ in 0..=rounds {
        let traces = walk.take_traces();
        let values = std::mem::take(&mut walk.next_values);
        if traces.is_empty() && values.is_empty() {
            break;
        }
        walk.expand_traces(traces).await?;
        walk.expand_values(values).await?;
    }
    Ok(walk.finish())
}

/// Whether fewer rows will do where all of them take too much memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fewer {
    Will,
    Wont,
}

/// A correlation value to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shared {
    key: String,
    value: String,
}

struct Walk<'a> {
    rows: &'a dyn Rows,
    range: TimeRange,
    bounds: Bounds,
    /// Whether links and newly found traces are followed.
    follow: bool,
    out: Closure,
    seen_spans: HashSet<absorb::Seen>,
    seen_logs: HashMap<u64, usize>,
    seen_traces: HashSet<TraceId>,
    seen_values: HashSet<String>,
    seen_joins: HashSet<(String, String, String)>,
    /// (value, service) -> (key, records) of records without a trace.
    untraced: indexmap::IndexMap<(String, String), (String, u64)>,
    next_traces: Vec<TraceId>,
    next_values: Vec<Shared>,
}

impl<'a> Walk<'a> {
    fn new(rows: &'a dyn Rows, range: TimeRange, bounds: Bounds, follow: bool) -> Self {
        Self {
            rows,
            range,
            bounds,
            follow,
            out: Closure::default(),
            seen_spans: HashSet::new(),
            seen_logs: HashMap::new(),
            seen_traces: HashSet::new(),
            seen_values: HashSet::new(),
            seen_joins: HashSet::new(),
            untraced: indexmap::IndexMap::new(),
            next_traces: Vec::new(),
            next_values: Vec::new(),
        }
    }

    /// Finds out what an id is: it may be several things at once.
    async fn begin(&mut self, id: &str) -> Result<(), QueryError> {
        if let Ok(trace) = id.parse::<TraceId>() {
            self.seen_traces.insert(trace);
            self.next_traces.push(trace);
        }
        if let Ok(span) = id.parse::<SpanId>() {
            let hex = span.to_string();
            let filter = Filter::text_equals(Field::SpanId, hex.clone());
            let found = self.carrying(filter, Fewer::Will).await?;
            let traces = found.traces().len();
            if traces > self.bounds.hub {
                // So many traces share it that it says nothing about one request.
                self.out.hubs.push(Hub {
                    key: "span_id".into(),
                    value: hex.clone(),
                    traces: u64::try_from(traces).unwrap_or(u64::MAX),
                });
                self.out.spans.extend(found.spans);
                self.out.logs.extend(found.logs);
            } else {
                self.absorb_spans(found.spans, &|span, described| Join {
                    from: hex.clone(),
                    to: span.trace_id.to_string(),
                    by: "span_id".into(),
                    reason: format!("{described} has this span id"),
                });
                self.absorb_logs(found.logs, "span_id", &hex);
            }
            // In the text of log lines the id stands as the service wrote it.
            both_cases([hex]).for_each(|form| self.seek(form));
        }
        if id.len() <= model::correlation::VALUE_LENGTH_MAX {
            self.seek(id.to_owned());
        }
        Ok(())
    }

    /// Looks for rows that carry what was asked for as a correlation value.
    fn seek(&mut self, value: String) {
        if self.seen_values.insert(value.clone()) {
            self.next_values.push(Shared {
                key: String::new(),
                value,
            });
        }
    }

    fn ask(&self, filter: Filter, limit: usize, traces: Option<usize>) -> Ask {
        Ask {
            filter,
            range: self.range,
            limit: limit.max(1),
            traces,
        }
    }

    /// The traces to read next, within the bound.
    fn take_traces(&mut self) -> Vec<TraceId> {
        let mut traces = std::mem::take(&mut self.next_traces);
        let room = self.bounds.traces.saturating_sub(self.out.traces.len());
        if traces.len() > room {
            self.cut(
                "story_traces",
                self.bounds.traces,
                "ask for one of the traces named in joins",
            );
            traces.truncate(room);
        }
        self.out.traces.extend(&traces);
        traces
    }

    fn cut(&self, limit: &str, value: usize, hint: &str) {
        self.rows.cut(limit, value.to_string(), hint);
    }

    fn span_room(&self) -> usize {
        let most = if self.follow {
            self.bounds.rows
        } else {
            self.bounds.rows.max(self.bounds.trace_spans)
        };
        most.saturating_sub(self.out.spans.len())
    }

    fn log_room(&self) -> usize {
        self.bounds.rows.saturating_sub(self.out.logs.len())
    }

    /// Reads traces whole, with their log records and the traces that link to them.
    async fn expand_traces(&mut self, traces: Vec<TraceId>) -> Result<(), QueryError> {
        if traces.is_empty() {
            return Ok(());
        }
        if self.span_room() == 0 {
            self.cut(
                "story_rows",
                self.bounds.rows,
                "narrow the range with start and end",
            );
            return Ok(());
        }
        let ids: Vec<String> = traces.iter().map(TraceId::to_string).collect();
        let any_of = |field| Filter::AnyOf {
            field,
            values: ids.clone(),
        };
        let in_text = Filter::AnyOf {
            field: Field::Correlation,
            values: both_cases(ids.clone()).collect(),
        };
        let logs = Filter::Or(vec![any_of(Field::TraceId), in_text]);
        let own = async {
            let own = any_of(Field::TraceId);
            if self.follow {
                return self.some_spans(own, None, Fewer::Will).await;
            }
            self.rows.spans(self.ask(own, self.span_room(), None)).await
        };
        let (own, logs) = futures::future::try_join(own, self.some_logs(logs, Fewer::Will)).await?;
        self.absorb_spans(own, &|span, _| Join {
            from: span.trace_id.to_string(),
            to: span.trace_id.to_string(),
            by: "trace_id".into(),
            reason: String::new(),
        });
        self.absorb_logs(logs, "trace_id", "");
        if !self.follow {
            return Ok(());
        }
        let filter = any_of(Field::LinkTraceId);
        let linking = self.some_spans(filter, Some(self.bounds.traces + 1), Fewer::Will);
        let linking = linking.await?;
        let followed: HashSet<TraceId> = traces.into_iter().collect();
        self.absorb_spans(linking, &|span, reason| {
            let target = span
                .links
                .iter()
                .filter_map(|link| TraceId::from_wire(&link.trace_id))
                .find(|trace| followed.contains(trace))
                .unwrap_or(span.trace_id);
            Join {
                from: target.to_string(),
                to: span.trace_id.to_string(),
                by: "link".into(),
                reason: format!("{reason} links to it"),
            }
        });
        Ok(())
    }

    /// Reads the rows that carry these values, many values at a time; only where together they
    /// reach more traces than a hub has is each looked at alone.
    async fn expand_values(&mut self, mut values: Vec<Shared>) -> Result<(), QueryError> {
        let room = self
            .bounds
            .values
            .saturating_sub(self.seen_values.len() - values.len());
        if values.len() > room {
            self.cut(
                "story_values",
                self.bounds.values,
                "ask for one of the values named in joins",
            );
            values.truncate(room);
        }
        if !values.is_empty() && (self.span_room() == 0 || self.log_room() == 0) {
            self.cut(
                "story_rows",
                self.bounds.rows,
                "narrow the range with start and end",
            );
            return Ok(());
        }
        for chunk in values.chunks(VALUES_PER_REQUEST) {
            match self.carriers(chunk).await {
                Ok(found) if chunk.len() == 1 || found.traces().len() <= self.bounds.hub => {
                    self.absorb_value(chunk, found);
                    continue;
                }
                Ok(_) => {}
                // One value may be all that makes it too much.
                Err(error) if error.kind == ErrorKind::TooLarge && chunk.len() > 1 => {}
                Err(error) => return Err(error),
            }
            let walk = &*self;
            let alone: Vec<(Shared, Carriers)> = futures::stream::iter(chunk.iter().cloned())
                .map(|one| async move {
                    let found = walk.carriers(std::slice::from_ref(&one)).await?;
                    Ok::<_, QueryError>((one, found))
                })
                .buffered(REQUESTS_AT_ONCE)
                .try_collect()
                .await?;
            for (one, found) in alone {
                self.absorb_value(&[one], found);
            }
        }
        Ok(())
    }

    async fn carriers(&self, values: &[Shared]) -> Result<Carriers, QueryError> {
        // Several are looked at alone instead.
        let fewer = if values.len() == 1 {
            Fewer::Will
        } else {
            Fewer::Wont
        };
        let values = values.iter().map(|shared| shared.value.clone()).collect();
        let filter = Filter::AnyOf {
            field: Field::Correlation,
            values,
        };
        if self.follow {
            return self.carrying(filter, fewer).await;
        }
        // One trace alone: its inferred spans come from records without a trace, and only where
        // there are some does it matter which other traces carry the values.
        let logs = self.some_logs(filter.clone(), fewer).await?;
        if self.out.logs.iter().chain(&logs).all(has_trace) {
            let spans = Vec::new();
            return Ok(Carriers { spans, logs });
        }
        let spans = self.some_spans(filter, Some(self.bounds.hub + 1), fewer);
        let spans = spans.await?;
        Ok(Carriers { spans, logs })
    }

    /// Rows that match, of at most one trace more than a hub has.
    async fn carrying(&self, filter: Filter, fewer: Fewer) -> Result<Carriers, QueryError> {
        let logs = self.some_logs(filter.clone(), fewer);
        let spans = self.some_spans(filter, Some(self.bounds.hub + 1), fewer);
        let (spans, logs) = futures::future::try_join(spans, logs).await?;
        Ok(Carriers { spans, logs })
    }

    async fn some_spans(
        &self,
        filter: Filter,
        traces: Option<usize>,
        fewer: Fewer,
    ) -> Result<Vec<Span>, QueryError> {
        let read = |limit| self.rows.spans(self.ask(filter.clone(), limit, traces));
        let room = self.span_room();
        let found = self.some(room, fewer, read).await;
        let (spans, limit) = match found {
            Err(error) if error.kind == ErrorKind::Timeout && self.has_found() => {
                self.cut_by_time();
                return Ok(Vec::new());
            }
            found => found?,
        };
        // The bound in traces is not one that the rows themselves speak of.
        if traces.is_some() && spans.len() >= limit {
            let hint = "narrow the range with start and end";
            if limit < room {
                self.cut("rows", limit, hint);
            } else {
                self.cut("story_rows", self.bounds.rows, hint);
            }
        }
        Ok(spans)
    }

    async fn some_logs(&self, filter: Filter, fewer: Fewer) -> Result<Vec<LogRecord>, QueryError> {
        let read = |limit| self.rows.logs(self.ask(filter.clone(), limit, None));
        match self.some(self.log_room(), fewer, read).await {
            // Spans are asked for as well, or were before.
            Err(error) if error.kind == ErrorKind::Timeout => {
                self.cut_by_time();
                Ok(Vec::new())
            }
            found => Ok(found?.0),
        }
    }

    fn has_found(&self) -> bool {
        !self.out.spans.is_empty() || !self.out.logs.is_empty()
    }

    /// Notes that the limits of the query left nothing for a request.
    fn cut_by_time(&self) {
        let hint = "not all that belongs here was looked for; narrow the range with start and end";
        self.rows.cut("time", "query limits".to_owned(), hint);
    }

    /// The newest rows, and how many were asked for. Where so many take more memory than an answer
    /// may, fewer are: the answer is about other rows as well.
    async fn some<T, F>(
        &self,
        mut limit: usize,
        fewer: Fewer,
        read: impl Fn(usize) -> F,
    ) -> Result<(Vec<T>, usize), QueryError>
    where
        F: Future<Output = Result<Vec<T>, QueryError>>,
    {
        loop {
            match read(limit).await {
                Ok(rows) => return Ok((rows, limit)),
                Err(error) if error.kind == ErrorKind::TooLarge && fewer == Fewer::Will => {
                    limit /= FEWER;
                    if limit == 0 {
                        let hint = "rows are left out that are too large to be held; ask for them \
                                    in /api/v1/logs";
                        self.cut("rows", 0, hint);
                        return Ok((Vec::new(), limit));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn finish(mut self) -> Closure {
        if self.follow && (!self.next_traces.is_empty() || !self.next_values.is_empty()) {
            let hint = "ask for one of the ids named in joins";
            self.cut("story_depth", self.bounds.depth, hint);
        }
        for ((value, service), (key, records)) in std::mem::take(&mut self.untraced) {
            let noun = if records == 1 {
                "log record"
            } else {
                "log records"
            };
            let reason = format!("{records} {noun} of {service} carry {}", pair(&key, &value));
            self.join(Join {
                from: value,
                to: service,
                by: key,
                reason,
            });
        }
        self.out
    }

    fn join(&mut self, join: Join) {
        let key = (join.from.clone(), join.to.clone(), join.by.clone());
        if join.from != join.to && self.seen_joins.insert(key) {
            self.out.joins.push(join);
        }
    }
}

/// Rows that carry values.
struct Carriers {
    spans: Vec<Span>,
    logs: Vec<LogRecord>,
}

impl Carriers {
    fn traces(&self) -> HashSet<TraceId> {
        let spans = self.spans.iter().map(|span| span.trace_id);
        spans
            .chain(self.logs.iter().filter_map(super::inferred::own_trace))
            .collect()
    }
}

fn has_trace(record: &LogRecord) -> bool {
    super::inferred::own_trace(record).is_some()
}

/// Hexadecimal ids in lower and in upper case: log lines keep them as they were written, and
/// correlation values are compared letter by letter.
fn both_cases(ids: impl IntoIterator<Item = String>) -> impl Iterator<Item = String> {
    ids.into_iter().flat_map(|id| {
        let upper = Some(id.to_ascii_uppercase()).filter(|upper| *upper != id);
        std::iter::once(id).chain(upper)
    })
}

fn pair(key: &str, value: &str) -> String {
    if key.is_empty() {
        value.to_owned()
    } else {
        format!("{key}={value}")
    }
}

/// Whether a correlation pair names a value to follow, and not a trace or span.
pub(super) fn is_value(key: &str) -> bool {
    key != TRACE_ID_KEY && key != SPAN_ID_KEY
}

#[cfg(test)]
mod tests;
