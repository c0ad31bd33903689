//! Execution of the native API's questions over the sources: one file per question.
//!
//! Every function takes the sources and the query's account ([`Work`]) and returns the API's
//! answer type with its completeness filled in. Dropping the future cancels the work.

pub mod cardinality;
pub mod complete;
pub mod cursor;
pub mod fields;
pub mod hints;
pub mod histogram;
pub mod logs;
mod nest;
pub mod points;
pub mod series;
pub mod services;
pub mod summary;
pub mod tail;
pub mod traces;

use model::prometheus::Promotion;
use model::{Signal, Tenant, TimeRange};
use storage::filter::Filter;
use storage::message::{Columns, Order, Selection};

use crate::error::QueryError;
use crate::sources::{RowsRequest, Sources, Work};

/// How much an answer may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Rows of one answer.
    pub rows: usize,
    /// Groups of one answer, and values or fields in a list.
    pub groups: usize,
    /// Traces of one answer.
    pub traces: usize,
    /// Traces that are compared to rank them by duration or errors.
    pub ranked_traces: usize,
    /// Traces that may reach into a range with a matching span outside of it, on each side.
    pub outside_traces: usize,
    /// Spans read for the summaries of one list of traces.
    pub summary_spans: usize,
    /// Rows that wait for a slow client of a tail.
    pub tail_buffer: usize,
    /// Metric series of one PromQL selector.
    pub series: usize,
    /// Samples of one PromQL selector.
    pub samples: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            rows: 10_000,
            groups: 1_000,
            traces: 2_000,
            ranked_traces: 100_000,
            outside_traces: 20_000,
            summary_spans: 1_000_000,
            tail_buffer: 10_000,
            series: 500_000,
            samples: 50_000_000,
        }
    }
}

/// What one question is asked with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Who answers.
    pub sources: &'a Sources,
    /// The account.
    pub work: &'a Work,
    /// Whose data.
    pub tenant: &'a Tenant,
    /// How much.
    pub sizes: &'a Sizes,
    /// Which resource attributes are labels in PromQL.
    pub promotion: &'a Promotion,
    /// Unix nanoseconds at which the question came.
    pub now: u64,
}

impl Context<'_> {
    /// Rows of a signal.
    pub fn selection(&self, signal: Signal, filter: Filter, range: TimeRange) -> Selection {
        Selection {
            tenant: self.tenant.clone(),
            signal,
            filter,
            range,
        }
    }
}

/// The range with its open sides closed by the times of the first and last row of the selection,
/// or nothing where it has no row. A closed side stays as it was asked for.
pub async fn extent(
    context: Context<'_>,
    signal: Signal,
    filter: &Filter,
    range: TimeRange,
) -> Result<Option<TimeRange>, QueryError> {
    let edge = |order: Order| {
        let rows = RowsRequest {
            selection: context.selection(signal, filter.clone(), range),
            order,
            limit: 1,
            traces: None,
            after: None,
            columns: Columns::Summary,
        };
        edge_time(context, signal, rows)
    };
    let (first, last) = match (range.start == 0, range.end == u64::MAX) {
        (false, false) => return Ok(Some(range)),
        (true, true) => futures::try_join!(edge(Order::Oldest), edge(Order::Newest))?,
        (true, false) => (edge(Order::Oldest).await?, Some(range.end)),
        (false, true) => (Some(range.start), edge(Order::Newest).await?),
    };
    Ok(first.zip(last).map(|(first, last)| TimeRange {
        start: if range.start == 0 { first } else { range.start },
        end: if range.end == u64::MAX {
            last.saturating_add(1)
        } else {
            range.end
        },
    }))
}

async fn edge_time(
    context: Context<'_>,
    signal: Signal,
    rows: RowsRequest,
) -> Result<Option<u64>, QueryError> {
    let order = rows.order;
    let times: Vec<u64> = match signal {
        Signal::Logs => {
            let found = context.sources.logs(rows, context.work).await?.rows;
            found.iter().map(model::LogRecord::timestamp).collect()
        }
        _ => {
            let found = context.sources.spans(rows, context.work).await?.rows;
            let time = |span: &model::Span| match order {
                Order::Newest => span.end_unix_nano.max(span.start_unix_nano),
                Order::Oldest => span.start_unix_nano,
            };
            found.iter().map(time).collect()
        }
    };
    Ok(match order {
        Order::Newest => times.into_iter().max(),
        Order::Oldest => times.into_iter().min(),
    })
}
