//! The readers that answer a query: one in this process, or several over the network.
//!
//! A request goes to all of them at once and their answers become one: rows are merged in
//! order, counts added, spans that two sources hold are returned once. A source that fails or
//! does not answer in time is named in the answer (`complete_to` says `lost`, `cut` says why)
//! while the others answer, and is not asked again for that query; only when all fail is there an
//! error. Dropping a future or stream
//! of this module cancels the work in every source.

mod gate;
mod held;
mod memory;
mod merge;
mod page;
mod tail;
mod work;

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use model::{LogRecord, Metric, Span, TimeRange, TraceId};
use rustc_hash::FxHashMap;
use storage::filter::Field;
use storage::message::{
    Cardinality, CardinalityOf, Columns, Counts, Durations, FieldCount, Order, Place, Reply,
    Request, Selection, SeriesPoints, Source, SourceKind, SourceState, Stats, Status, TraceSpans,
    ValueCount,
};
use storage::read::{Read, ReadError};

use crate::error::{ErrorKind, QueryError};
use crate::exec::series::seen::SeenSeries;

pub use gate::{Gate, Permit};
use held::Held;
pub(crate) use held::too_large;
pub use memory::Memory;
pub use merge::Rows;
pub(crate) use merge::says_more;
pub use page::{LogPage, LogPlace};
pub use tail::{Gap, TailPart, Tailing, Waiting};
pub use work::{ANSWER_BYTES, Work};

/// How much longer than a query's time limit a source may take before it counts as lost: a
/// source that ends at the limit by itself still has to send what it found.
const GRACE: Duration = Duration::from_secs(2);

/// A set of readers asked as one.
#[derive(Clone)]
pub struct Sources {
    readers: Arc<[Arc<dyn Read>]>,
    grace: Duration,
    seen: Arc<SeenSeries>,
}

/// Which rows, in which order and how many.
#[derive(Debug, Clone)]
pub struct RowsRequest {
    /// Which.
    pub selection: Selection,
    /// In which order.
    pub order: Order,
    /// How many at most.
    pub limit: usize,
    /// Stop after this many distinct traces.
    pub traces: Option<usize>,
    /// Begin after this place.
    pub after: Option<Place>,
    /// How much of each.
    pub columns: Columns,
}

impl From<RowsRequest> for Request {
    fn from(rows: RowsRequest) -> Self {
        let RowsRequest {
            selection,
            order,
            limit,
            traces,
            after,
            columns,
        } = rows;
        Request::Rows {
            selection,
            order,
            limit,
            traces,
            after,
            columns,
        }
    }
}

impl Sources {
    /// These readers as one.
    pub fn new(readers: Vec<Arc<dyn Read>>) -> Self {
        Self {
            readers: readers.into(),
            grace: GRACE,
            seen: Arc::default(),
        }
    }

    /// The same readers, which may take this much longer than a query's time limit.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Labels of metric series that they have sent.
    pub(crate) fn seen(&self) -> &SeenSeries {
        &self.seen
    }

    /// How many readers there are.
    pub fn len(&self) -> usize {
        self.readers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    /// Asks every source and hands each part of their answers to `on` with the source's index,
    /// in the order of arrival. The ends of the answers go to `work`; what they took all together is
    /// returned.
    pub async fn each(
        &self,
        request: Request,
        work: &Work,
        on: impl FnMut(usize, Reply),
    ) -> Result<Stats, QueryError> {
        let mut on = on;
        let take = |source, reply| {
            on(source, reply);
            Ok(())
        };
        self.each_its_own(|_| request.clone(), work, take).await
    }

    /// The same, ended by an error of `on`.
    pub(crate) async fn fallible(
        &self,
        request: Request,
        work: &Work,
        on: impl FnMut(usize, Reply) -> Result<(), QueryError>,
    ) -> Result<Stats, QueryError> {
        self.each_its_own(|_| request.clone(), work, on).await
    }

    /// The same, with a request of its own for each source by its index. An error of `on` ends
    /// it.
    async fn each_its_own(
        &self,
        request: impl Fn(usize) -> Request,
        work: &Work,
        mut on: impl FnMut(usize, Reply) -> Result<(), QueryError>,
    ) -> Result<Stats, QueryError> {
        let limits = work.remaining()?;
        let patience = Duration::from_millis(limits.timeout_ms) + self.grace;
        let deadline = tokio::time::Instant::now() + patience;
        let mut lost = work.lost_sources();
        let mut open: Vec<bool> = (0..self.readers.len())
            .map(|index| !lost.contains_key(&index))
            .collect();
        let asked = self.readers.iter().enumerate();
        let asked = asked.filter(|(index, _)| open[*index]);
        let streams = asked.map(|(index, reader)| {
            let replies = reader.execute(request(index), limits);
            // The end of a stream has to be seen to tell an answer from one that was cut off.
            replies
                .map(Some)
                .chain(stream::iter([None]))
                .map(move |reply| (index, reply))
                .boxed()
        });
        let mut all: stream::SelectAll<BoxStream<'_, _>> = stream::select_all(streams);
        let mut answered = 0;
        let mut stats = Stats::default();
        loop {
            let next = match tokio::time::timeout_at(deadline, all.next()).await {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(_) => {
                    let late = open.iter().enumerate().filter(|(_, open)| **open);
                    lost.extend(late.map(|(index, _)| (index, "no answer in time".to_owned())));
                    break;
                }
            };
            let (index, reply) = next;
            if !open[index] {
                continue;
            }
            match reply {
                Some(Ok(Reply::End(summary))) => {
                    open[index] = false;
                    answered += 1;
                    stats.add(summary.stats);
                    work.add(summary);
                }
                Some(Ok(reply)) => on(index, reply)?,
                Some(Err(ReadError::Unavailable(reason))) => {
                    open[index] = false;
                    lost.insert(index, reason);
                }
                // Whatever the others say.
                Some(Err(error)) => return Err(error.into()),
                None => {
                    open[index] = false;
                    lost.insert(index, "the answer broke off".to_owned());
                }
            }
        }
        self.report_lost(answered, &lost, work)?;
        Ok(stats)
    }

    fn report_lost(
        &self,
        answered: usize,
        lost: &BTreeMap<usize, String>,
        work: &Work,
    ) -> Result<(), QueryError> {
        for (index, reason) in lost {
            let name = self.readers[*index].name();
            work.lost(*index, name, reason);
        }
        if answered == 0 {
            let reasons: Vec<String> = lost
                .iter()
                .map(|(index, reason)| format!("{}: {reason}", self.readers[*index].name()))
                .collect();
            let message = if reasons.is_empty() {
                "there is no source of data".to_owned()
            } else {
                format!("no source of data answered: {}", reasons.join("; "))
            };
            return Err(QueryError::new(ErrorKind::Unavailable, message)
                .hint("check that the collectors run and that this service can reach them"));
        }
        Ok(())
    }

    /// Spans in time order, each once.
    pub async fn spans(&self, rows: RowsRequest, work: &Work) -> Result<Rows<Span>, QueryError> {
        let (order, limit, traces) = (rows.order, rows.limit, rows.traces);
        let spans = |reply| match reply {
            Reply::Spans(spans) => spans,
            _ => Vec::new(),
        };
        let parts = self.parts(rows, work, spans).await?;
        Ok(merge::spans(parts, order, limit, traces))
    }

    /// Log records in time order.
    pub async fn logs(
        &self,
        rows: RowsRequest,
        work: &Work,
    ) -> Result<Rows<LogRecord>, QueryError> {
        let (order, limit) = (rows.order, rows.limit);
        let logs = |reply| match reply {
            Reply::Logs(logs) => logs,
            _ => Vec::new(),
        };
        let parts = self.parts(rows, work, logs).await?;
        Ok(merge::logs(parts, order, limit))
    }

    /// The rows of each source, no more in all than an answer may hold.
    async fn parts<T: held::Row>(
        &self,
        rows: RowsRequest,
        work: &Work,
        of: impl Fn(Reply) -> Vec<T>,
    ) -> Result<Vec<Vec<T>>, QueryError> {
        let mut parts: Vec<Vec<T>> = self.readers.iter().map(|_| Vec::new()).collect();
        let mut held = Held::new(work.answer_bytes());
        let request = Request::from(rows);
        let take = |source: usize, reply| {
            let rows = of(reply);
            held.add(&rows, work)?;
            parts[source].extend(rows);
            Ok(())
        };
        self.each_its_own(|_| request.clone(), work, take).await?;
        Ok(parts)
    }

    /// Rows counted by time and fields.
    pub async fn counts(
        &self,
        selection: Selection,
        step_nano: Option<u64>,
        by: Vec<Field>,
        groups: usize,
        work: &Work,
    ) -> Result<Counts, QueryError> {
        let mut merged = merge::Summed::default();
        let mut held = Held::new(work.answer_bytes());
        let request = Request::Counts {
            selection,
            step_nano,
            by,
            groups,
        };
        let take = |_, reply| {
            if let Reply::Counts(counts) = reply {
                held.add(&counts.groups, work)?;
                merged.add(counts);
            }
            Ok(())
        };
        self.each_its_own(|_| request.clone(), work, take).await?;
        let counts = merged.finish();
        if counts.other > 0 && self.len() > 1 {
            let hint = "each source leaves out the groups that are small in it: the counts of \
                        those that are here may lack rows, which are in `other`";
            work.cut("groups", groups, hint);
        }
        Ok(counts)
    }

    /// Span durations by group, by key.
    pub async fn durations(
        &self,
        selection: Selection,
        by: Vec<Field>,
        groups: usize,
        work: &Work,
    ) -> Result<Vec<Durations>, QueryError> {
        let mut merged = merge::DurationGroups::default();
        let mut held = Held::new(work.answer_bytes());
        let request = Request::Durations {
            selection,
            by,
            groups,
        };
        let take = |_, reply| {
            if let Reply::Durations(durations) = reply {
                held.add(&durations, work)?;
                merged.add(durations);
            }
            Ok(())
        };
        self.each_its_own(|_| request.clone(), work, take).await?;
        Ok(merged.finish())
    }

    /// Traces with matching spans, by id, and whether the limit left any out. A span that two
    /// sources hold is counted twice.
    pub async fn traces(
        &self,
        selection: Selection,
        order: Order,
        limit: usize,
        work: &Work,
    ) -> Result<(FxHashMap<TraceId, TraceSpans>, bool), QueryError> {
        let mut found: FxHashMap<TraceId, TraceSpans> = FxHashMap::default();
        let request = Request::Traces {
            selection,
            order,
            // One more than wanted tells whether there are more.
            limit: limit.saturating_add(1),
        };
        self.each(request, work, |_, reply| {
            for trace in traces_of(reply) {
                match found.entry(trace.trace_id) {
                    Entry::Occupied(mut known) => known.get_mut().join(&trace),
                    Entry::Vacant(unknown) => drop(unknown.insert(trace)),
                }
            }
        })
        .await?;
        let more = found.len() > limit;
        Ok((found, more))
    }

    /// Names of fields with counts, most frequent first.
    pub async fn fields(
        &self,
        selection: Selection,
        work: &Work,
    ) -> Result<Vec<FieldCount>, QueryError> {
        let mut merged = merge::Fields::default();
        self.each(Request::Fields { selection }, work, |_, reply| {
            if let Reply::Fields(fields) = reply {
                merged.add(fields);
            }
        })
        .await?;
        Ok(merged.finish())
    }

    /// Values of a field with counts, most frequent first.
    pub async fn values(
        &self,
        selection: Selection,
        field: Field,
        prefix: String,
        limit: usize,
        work: &Work,
    ) -> Result<Vec<ValueCount>, QueryError> {
        let mut merged = merge::Values::default();
        let mut held = Held::new(work.answer_bytes());
        let request = Request::Values {
            selection,
            field,
            prefix,
            limit,
        };
        let take = |_, reply| {
            if let Reply::Values(values) = reply {
                held.add(&values, work)?;
                merged.add(values);
            }
            Ok(())
        };
        self.each_its_own(|_| request.clone(), work, take).await?;
        Ok(merged.finish(limit))
    }

    /// Metric series with their points. Parts of one series, of one source or of several, are
    /// not joined: the caller knows by what a series is the same.
    pub async fn series(
        &self,
        request: Request,
        work: &Work,
    ) -> Result<Vec<SeriesPoints>, QueryError> {
        let mut series = Vec::new();
        let mut held = Held::new(work.answer_bytes());
        let take = |_, reply| {
            if let Reply::Series(parts) = reply {
                held.add(&parts, work)?;
                series.extend(parts);
            }
            Ok(())
        };
        self.fallible(request, work, take).await?;
        Ok(series)
    }

    /// Metrics, each as often as sources have it.
    pub async fn metrics(
        &self,
        request: Request,
        work: &Work,
    ) -> Result<Vec<Arc<Metric>>, QueryError> {
        let mut metrics = Vec::new();
        let mut held = Held::new(work.answer_bytes());
        let take = |_, reply| {
            if let Reply::Metrics(parts) = reply {
                held.add(&parts, work)?;
                metrics.extend(parts);
            }
            Ok(())
        };
        self.fallible(request, work, take).await?;
        Ok(metrics)
    }

    /// How many metric series there are, and of what.
    pub async fn cardinality(
        &self,
        tenant: model::Tenant,
        range: TimeRange,
        of: CardinalityOf,
        work: &Work,
    ) -> Result<Cardinality, QueryError> {
        let mut parts = Vec::new();
        let request = Request::Cardinality {
            tenant,
            range,
            of: of.clone(),
        };
        self.each(request, work, |_, reply| {
            if let Reply::Cardinality(part) = reply {
                parts.push(*part);
            }
        })
        .await?;
        Ok(storage::cardinality::merge(parts, &of))
    }

    /// What each source holds, by its name.
    pub async fn status(
        &self,
        tenant: model::Tenant,
        work: &Work,
    ) -> Result<Vec<(String, Status)>, QueryError> {
        let mut all = Vec::new();
        self.each(Request::Status { tenant }, work, |source, reply| {
            if let Reply::Status(status) = reply {
                all.push((self.readers[source].name().to_owned(), status));
            }
        })
        .await?;
        Ok(all)
    }

    /// New rows of all sources as they are acknowledged, until dropped.
    pub fn tail(&self, selection: &Selection, buffer: usize, waiting: &Waiting) -> Tailing {
        Tailing::start(&self.readers, selection, buffer, waiting)
    }
}

fn traces_of(reply: Reply) -> Vec<TraceSpans> {
    match reply {
        Reply::Traces(traces) => traces,
        _ => Vec::new(),
    }
}

fn lost_source(name: &str) -> Source {
    Source {
        name: name.to_owned(),
        kind: SourceKind::Collector,
        unix_nano: 0,
        state: SourceState::Lost,
    }
}
