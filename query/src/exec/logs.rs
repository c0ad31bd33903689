//! Log search: records in time order, page by page.

use api::LogsAnswer;
use model::{Signal, TimeRange};
use storage::filter::Filter;
use storage::message::{Columns, Order};

use super::Context;
use super::cursor::Cursor;
use super::hints::unknown_fields;
use crate::error::QueryError;
use crate::sources::{LogPlace, RowsRequest};

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
    let after = cursor.as_ref().map(place).transpose()?;
    let rows = RowsRequest {
        selection: context.selection(Signal::Logs, search.filter.clone(), search.range),
        order: search.order,
        limit: search.limit,
        traces: None,
        after: None,
        columns: Columns::Full,
    };
    let page = context
        .sources
        .log_page(rows, after.as_ref(), context.work)
        .await?;
    if page.logs.is_empty() && after.is_none() {
        unknown_fields(context, Signal::Logs, &search.filter, search.range).await?;
    }
    Ok(LogsAnswer {
        logs: page
            .logs
            .iter()
            .map(crate::traces::view::log_view)
            .collect(),
        cursor: page.next.map(|place| of_place(place).encode(kind)),
        completeness: context.work.completeness(),
    })
}

/// The cursor of a place: its text is `DIGEST.COPIES.SOURCE`.
fn of_place(place: LogPlace) -> Cursor {
    Cursor {
        number: place.time,
        text: format!("{:016x}.{}.{}", place.digest, place.copies, place.source),
    }
}

/// The place of a cursor.
fn place(cursor: &Cursor) -> Result<LogPlace, QueryError> {
    let mut parts = cursor.text.splitn(3, '.');
    let digest = parts
        .next()
        .and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let copies = parts.next().and_then(|count| count.parse().ok());
    let (Some(digest), Some(copies), Some(source)) = (digest, copies, parts.next()) else {
        return Err(Cursor::wrong());
    };
    Ok(LogPlace {
        time: cursor.number,
        digest,
        copies,
        source: source.to_owned(),
    })
}
