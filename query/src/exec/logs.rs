//! Log search: records in time order, page by page.

use std::sync::Arc;

use api::{LogsAnswer, RecordsAnswer};
use model::{LogRecord, Resource, Scope, Signal, TimeRange};
use otlp::encode::json::log_json;
use rustc_hash::FxHashMap;
use serde_json::Value as Json;
use storage::filter::Filter;
use storage::message::{Columns, Order};

use super::Context;
use super::cursor::Cursor;
use super::hints::unknown_fields;
use super::nest::{Nest, ScopePlace};
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

/// Finds log records, in the shape that people read.
pub async fn search(context: Context<'_>, search: LogSearch) -> Result<LogsAnswer, QueryError> {
    let page = page(context, search).await?;
    let logs = page.logs.iter().map(crate::traces::view::log_view);
    Ok(LogsAnswer {
        logs: logs.collect(),
        cursor: page.cursor,
        completeness: context.work.completeness(),
    })
}

/// Finds log records, in the shape in which they were sent: nothing is left out or converted.
pub async fn records(context: Context<'_>, search: LogSearch) -> Result<RecordsAnswer, QueryError> {
    let page = page(context, search).await?;
    let mut nest: Nest<Vec<Json>> = Nest::default();
    let mut places: FxHashMap<(*const Resource, *const Scope), ScopePlace> = FxHashMap::default();
    for log in &page.logs {
        // Records of one block share them, and there are many records.
        let shared = (Arc::as_ptr(&log.resource), Arc::as_ptr(&log.scope));
        let enter = || nest.enter(&log.resource, &log.scope);
        let place = *places.entry(shared).or_insert_with(enter);
        nest.at(place).push(log_json(log));
    }
    Ok(RecordsAnswer {
        resource_logs: nest.finish("scopeLogs", "logRecords", |records| records),
        records: page.logs.len(),
        cursor: page.cursor,
        completeness: context.work.completeness(),
    })
}

/// Records and the cursor of the next page.
struct Page {
    logs: Vec<LogRecord>,
    cursor: Option<String>,
}

async fn page(context: Context<'_>, search: LogSearch) -> Result<Page, QueryError> {
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
    Ok(Page {
        logs: page.logs,
        cursor: page.next.map(|place| of_place(place).encode(kind)),
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
