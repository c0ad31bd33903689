//! What traces and stories read: spans, log records and series, by filter.
//!
//! The sources of the query service are read through [`SourceRows`]; tests use rows in memory.

use futures::future::BoxFuture;
use model::{LogRecord, Signal, Span, Tenant, TimeRange};
use storage::filter::Filter;
use storage::message::{Columns, Matcher, Order, Request, Selection, SeriesPoints};

use crate::error::QueryError;
use crate::sources::{RowsRequest, Sources, Work};

/// Which rows.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Which.
    pub filter: Filter,
    /// When.
    pub range: TimeRange,
    /// How many at most, newest first.
    pub limit: usize,
    /// Stop after rows of this many distinct traces (spans only).
    pub traces: Option<usize>,
}

/// A place to read from, and to note what an answer lacks.
pub trait Rows: Send + Sync {
    /// Spans, newest first.
    fn spans(&self, ask: Ask) -> BoxFuture<'_, Result<Vec<Span>, QueryError>>;

    /// Log records, newest first.
    fn logs(&self, ask: Ask) -> BoxFuture<'_, Result<Vec<LogRecord>, QueryError>>;

    /// Metric series with their points.
    fn series(
        &self,
        matchers: Vec<Matcher>,
        range: TimeRange,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SeriesPoints>, QueryError>>;

    /// Notes that a limit cut the answer.
    fn cut(&self, limit: &str, value: String, hint: &str);
}

/// The sources of the query service, with the account of one query.
#[derive(Clone, Copy)]
pub struct SourceRows<'a> {
    /// Who is asked.
    pub sources: &'a Sources,
    /// What the query may use up.
    pub work: &'a Work,
    /// Whose rows.
    pub tenant: &'a Tenant,
}

impl SourceRows<'_> {
    fn request(&self, signal: Signal, ask: Ask) -> RowsRequest {
        RowsRequest {
            selection: Selection {
                tenant: self.tenant.clone(),
                signal,
                filter: ask.filter,
                range: ask.range,
            },
            order: Order::Newest,
            limit: ask.limit,
            traces: ask.traces,
            after: None,
            columns: Columns::Full,
        }
    }
}

impl Rows for SourceRows<'_> {
    fn spans(&self, ask: Ask) -> BoxFuture<'_, Result<Vec<Span>, QueryError>> {
        let (limit, traces) = (ask.limit, ask.traces);
        let request = self.request(Signal::Traces, ask);
        Box::pin(async move {
            let crate::sources::Rows { rows, more } =
                self.sources.spans(request, self.work).await?;
            if traces.is_none() && more {
                self.cut(
                    "rows",
                    limit.to_string(),
                    "narrow the range with start and end",
                );
            }
            Ok(rows)
        })
    }

    fn logs(&self, ask: Ask) -> BoxFuture<'_, Result<Vec<LogRecord>, QueryError>> {
        let limit = ask.limit;
        let request = self.request(Signal::Logs, ask);
        Box::pin(async move {
            let crate::sources::Rows { rows, more } = self.sources.logs(request, self.work).await?;
            if more {
                self.cut(
                    "rows",
                    limit.to_string(),
                    "narrow the range with start and end",
                );
            }
            Ok(rows)
        })
    }

    fn series(
        &self,
        matchers: Vec<Matcher>,
        range: TimeRange,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SeriesPoints>, QueryError>> {
        let tenant = self.tenant.clone();
        let request = Request::Series {
            tenant,
            range,
            matchers,
            points: true,
            limit,
        };
        Box::pin(self.sources.series(request, self.work))
    }

    fn cut(&self, limit: &str, value: String, hint: &str) {
        self.work.cut(limit, value, hint);
    }
}
