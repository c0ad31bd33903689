//! Log search: records in time order, page by page.

use std::hash::{Hash, Hasher};

use api::LogsAnswer;
use model::{LogRecord, Signal, TimeRange};
use rustc_hash::FxHasher;
use storage::filter::Filter;
use storage::message::{Columns, Order};

use super::Context;
use super::cursor::Cursor;
use crate::error::QueryError;
use crate::sources::RowsRequest;

/// A question for log records.
#[derive(Debug, Clone)]
pub struct LogSearch {
    /// Which.
    pub filter: Filter,
    /// When.
    pub range: TimeRange,
    /// In which order.
    pub order: Order,
    /// How many.
    pub limit: usize,
    /// Where the page begins.
    pub cursor: Option<String>,
}

/// Finds log records.
pub async fn search(context: Context<'_>, search: LogSearch) -> Result<LogsAnswer, QueryError> {
    let kind = match search.order {
        Order::Newest => "newest",
        Order::Oldest => "oldest",
    };
    let cursor = search
        .cursor
        .as_deref()
        .map(|text| Cursor::decode(kind, text))
        .transpose()?;
    let (range, skip_time, skip) = resume(&search, cursor)?;
    // One more than wanted tells whether there is another page.
    let limit = search.limit + skip + 1;
    let rows = RowsRequest {
        selection: context.selection(Signal::Logs, search.filter, range),
        order: search.order,
        limit,
        traces: None,
        columns: Columns::Full,
    };
    let found = context.sources.logs(rows, context.work).await?;
    let mut records = found.rows;
    settle_ties(&mut records);
    let tied = records
        .iter()
        .take_while(|record| Some(record.timestamp()) == skip_time)
        .count();
    records.drain(..skip.min(tied));
    let more = records.len() > search.limit;
    records.truncate(search.limit);
    let next = records.last().filter(|_| more).map(|last| {
        let time = last.timestamp();
        let given = records
            .iter()
            .rev()
            .take_while(|record| record.timestamp() == time)
            .count();
        let before = if skip_time == Some(time) { skip } else { 0 };
        Cursor {
            number: time,
            text: (given + before).to_string(),
        }
        .encode(kind)
    });
    Ok(LogsAnswer {
        logs: records
            .iter()
            .map(|record| crate::traces::view::log_view(record, 0))
            .collect(),
        cursor: next,
        completeness: context.work.completeness(),
    })
}

/// The range that is left after a cursor: with the cursor's own time, of whose records some were
/// given already.
fn resume(
    search: &LogSearch,
    cursor: Option<Cursor>,
) -> Result<(TimeRange, Option<u64>, usize), QueryError> {
    let Some(Cursor { number: time, text }) = cursor else {
        return Ok((search.range, None, 0));
    };
    let given: usize = text
        .parse()
        .map_err(|_| QueryError::parameter("the cursor is not one of this list"))?;
    if given > 1_000_000 {
        return Err(QueryError::parameter("the cursor is not one of this list"));
    }
    let range = match search.order {
        Order::Newest => TimeRange {
            start: search.range.start,
            end: search.range.end.min(time.saturating_add(1)),
        },
        Order::Oldest => TimeRange {
            start: search.range.start.max(time),
            end: search.range.end,
        },
    };
    Ok((range, Some(time), given))
}

/// Orders records of the same time by what is in them, so that a page boundary among them stays
/// where it is when a flush changes the order in which the store returns them.
fn settle_ties(records: &mut [LogRecord]) {
    for run in records.chunk_by_mut(|a, b| a.timestamp() == b.timestamp()) {
        if run.len() > 1 {
            run.sort_by_cached_key(fingerprint);
        }
    }
}

fn fingerprint(record: &LogRecord) -> u64 {
    let mut hasher = FxHasher::default();
    record.resource.service().hash(&mut hasher);
    record.body.to_text().hash(&mut hasher);
    record.trace_id.hash(&mut hasher);
    record.span_id.hash(&mut hasher);
    record.observed_time_unix_nano.hash(&mut hasher);
    record.severity_number.hash(&mut hasher);
    for attribute in &record.attributes {
        attribute.key.hash(&mut hasher);
        attribute.value.to_text().hash(&mut hasher);
    }
    hasher.finish()
}
