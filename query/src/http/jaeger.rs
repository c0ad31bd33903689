//! Jaeger's query API (v1) under `/jaeger`, as the Jaeger UI and Grafana use it.

mod convert;
mod search;

use std::collections::BTreeMap;

use api::Completeness;
use axum::extract::{Path, State as Extract};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::StreamExt;
use http::{StatusCode, Uri};
use indexmap::IndexSet;
use model::{Signal, Span, SpanId, SpanKind, TimeRange, TraceId};
use serde_json::{Value as Json_, json};
use storage::filter::{Field, Filter};
use storage::message::{Columns, Order, Reply, Selection};

use super::trace::Stories;
use super::{bounded, completeness};
use crate::error::QueryError;
use crate::exec::traces::newest_ids;
use crate::sources::{RowsRequest, Work, too_large};
use crate::traces::assemble::Assembled;

/// How many services and operations are listed.
const VALUES_MAX: usize = 10_000;
/// How many spans dependencies are counted from.
const DEPENDENCY_SPANS_MAX: usize = 200_000;
/// How many traces are loaded at once.
const TRACES_AT_ONCE: usize = 4;

/// The routes.
pub(super) fn routes() -> Router<Stories> {
    Router::new()
        .route("/jaeger/api/services", get(services))
        .route(
            "/jaeger/api/services/{service}/operations",
            get(service_operations),
        )
        .route("/jaeger/api/operations", get(operations))
        .route("/jaeger/api/traces", get(traces))
        .route("/jaeger/api/traces/{trace_id}", get(trace))
        .route("/jaeger/api/dependencies", get(dependencies))
}

/// What is kept of a span to count calls.
struct Called {
    ids: (TraceId, SpanId),
    kind: i32,
    parent: Option<SpanId>,
    /// Position of its service.
    service: usize,
}

/// Spans of which calls between services are counted, each once.
#[derive(Default)]
struct Calls {
    services: IndexSet<String>,
    spans: Vec<Called>,
}

impl Calls {
    fn add(&mut self, span: &Span) {
        let name = span.resource.service();
        let service = match self.services.get_index_of(name) {
            Some(known) => known,
            None => self.services.insert_full(name.to_owned()).0,
        };
        self.spans.push(Called {
            ids: (span.trace_id, span.span_id),
            kind: span.kind,
            parent: span.parent_span_id,
            service,
        });
    }

    fn with_ids(&self, ids: (TraceId, SpanId)) -> impl Iterator<Item = &Called> {
        let start = self.spans.partition_point(|span| span.ids < ids);
        let spans = self.spans[start..].iter();
        spans.take_while(move |span| span.ids == ids)
    }

    /// How often each service called each other one.
    fn count(&mut self) -> BTreeMap<(&str, &str), u64> {
        self.spans.sort_by_key(|span| (span.ids, span.kind));
        self.spans.dedup_by(|span, kept| {
            !span.ids.1.is_zero() && (span.ids, span.kind) == (kept.ids, kept.kind)
        });
        let mut calls: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for child in &self.spans {
            let answers =
                [SpanKind::Server as i32, SpanKind::Consumer as i32].contains(&child.kind);
            // Client and server may share an id; else the parent is another span.
            let shared = answers.then_some(child.ids.1).filter(|id| !id.is_zero());
            let callers = [shared, child.parent].into_iter().flatten();
            let mut callers = callers.flat_map(|id| self.with_ids((child.ids.0, id)));
            if let Some(caller) = callers.find(|caller| caller.service != child.service) {
                let name = |span: &Called| self.services[span.service].as_str();
                *calls.entry((name(caller), name(child))).or_default() += 1;
            }
        }
        calls
    }
}

/// A list as Jaeger wraps it.
fn structured(data: Vec<Json_>, total: usize) -> Json_ {
    json!({"data": data, "total": total, "limit": 0, "offset": 0, "errors": null})
}

/// An error as Jaeger wraps it.
pub(super) fn failure(error: &QueryError) -> Response {
    let status = error.kind.status();
    let errors = json!([{"code": status.as_u16(), "msg": error.to_string()}]);
    let body = json!({"data": null, "total": 0, "limit": 0, "offset": 0, "errors": errors});
    (status, Json(body)).into_response()
}

/// An answer, or why there is none.
type Outcome = Result<Response, QueryError>;

fn respond(outcome: Outcome) -> Response {
    outcome.unwrap_or_else(|error| failure(&error))
}

/// What an answer lacks, in the place that Jaeger has for it.
fn lacking(completeness: &Completeness) -> Json_ {
    let lacks = completeness::lacks(completeness);
    if lacks.is_empty() {
        return Json_::Null;
    }
    let code = StatusCode::PARTIAL_CONTENT.as_u16();
    let error = |lack| json!({"code": code, "msg": format!("incomplete: {lack}")});
    lacks.into_iter().map(error).collect()
}

/// An answer with what it lacks, and headers that say how complete it is.
async fn told(mut body: Json_, work: &Work) -> Outcome {
    let completeness = work.completeness();
    body["errors"] = lacking(&completeness);
    let mut response = bounded::json(body, work.answer_bytes()).await?;
    completeness::put(response.headers_mut(), &completeness);
    Ok(response)
}

/// Traces as they are written, one after the other: as trees they would take many times as much.
struct Listed {
    body: Vec<u8>,
    most: u64,
}

impl Listed {
    fn new(most: u64) -> Self {
        let body = br#"{"data":["#.to_vec();
        Self { body, most }
    }

    /// Adds a trace. The error says that all of them together are too large.
    fn add(&mut self, trace: &[u8]) -> Result<(), QueryError> {
        if self.body.last() == Some(&b'}') {
            self.body.push(b',');
        }
        self.body.extend_from_slice(trace);
        if self.body.len() as u64 > self.most {
            return Err(too_large(self.most));
        }
        Ok(())
    }

    /// The answer, as [`told`] makes it.
    fn told(mut self, work: &Work) -> Response {
        let completeness = work.completeness();
        let errors = lacking(&completeness).to_string();
        let end = r#"],"total":0,"limit":0,"offset":0,"errors":"#;
        self.body.extend_from_slice(end.as_bytes());
        self.body.extend_from_slice(errors.as_bytes());
        self.body.push(b'}');
        let mut response = bounded::response(self.body);
        completeness::put(response.headers_mut(), &completeness);
        response
    }
}

/// A trace as it is written, of at most so many bytes.
async fn written(id: TraceId, forest: Assembled, most: u64) -> Result<Vec<u8>, QueryError> {
    bounded::written(move || bounded::bytes(most, |out| convert::trace(id, &forest, out))).await
}

impl Stories {
    fn selection(&self, filter: Filter, range: TimeRange) -> Selection {
        let tenant = self.state.options().tenant.clone();
        Selection {
            tenant,
            signal: Signal::Traces,
            filter,
            range,
        }
    }

    async fn values(
        &self,
        work: &Work,
        filter: Filter,
        field: Field,
    ) -> Result<Vec<String>, QueryError> {
        let selection = self.selection(filter, TimeRange::ALL);
        let sources = self.state.sources();
        let found = sources
            .values(selection, field, String::new(), VALUES_MAX, work)
            .await?;
        let mut values: Vec<String> = found.into_iter().map(|found| found.value).collect();
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }
}

async fn services(Extract(stories): Extract<Stories>) -> Response {
    let outcome = async {
        let running = stories.state.begin().await?;
        let names = stories
            .values(running.work(), Filter::All, Field::Service)
            .await?;
        let total = names.len();
        let names = names.into_iter().map(Json_::String).collect();
        told(structured(names, total), running.work()).await
    };
    respond(outcome.await)
}

async fn service_operations(
    Extract(stories): Extract<Stories>,
    Path(service): Path<String>,
) -> Response {
    let outcome = async {
        let running = stories.state.begin().await?;
        let filter = Filter::text_equals(Field::Service, service);
        let names = stories.values(running.work(), filter, Field::Name).await?;
        let total = names.len();
        let names = names.into_iter().map(Json_::String).collect();
        told(structured(names, total), running.work()).await
    };
    respond(outcome.await)
}

async fn operations(Extract(stories): Extract<Stories>, uri: Uri) -> Response {
    let outcome = async {
        let params = search::pairs(&uri)?;
        let service = search::one(&params, "service")
            .ok_or_else(|| QueryError::parameter("parameter 'service' is required"))?;
        let kind = search::one(&params, "spanKind");
        let filter = Filter::text_equals(Field::Service, service);
        let running = stories.state.begin().await?;
        let groups = stories
            .state
            .sources()
            .durations(
                stories.selection(filter, TimeRange::ALL),
                vec![Field::Name, Field::Kind],
                VALUES_MAX,
                running.work(),
            )
            .await?;
        let mut listed: Vec<(String, String)> = groups
            .into_iter()
            .filter_map(|group| match <[String; 2]>::try_from(group.key) {
                Ok([name, kind]) => Some((name, kind)),
                Err(_) => None,
            })
            .map(|(name, kind)| {
                (
                    name,
                    if kind == "unspecified" {
                        String::new()
                    } else {
                        kind
                    },
                )
            })
            .filter(|(_, found)| kind.is_none_or(|kind| kind == found))
            .collect();
        listed.sort();
        let total = listed.len();
        let data = listed
            .into_iter()
            .map(|(name, kind)| json!({"name": name, "spanKind": kind}))
            .collect();
        told(structured(data, total), running.work()).await
    };
    respond(outcome.await)
}

async fn trace(Extract(stories): Extract<Stories>, Path(id): Path<String>, uri: Uri) -> Response {
    let outcome = async {
        let params = search::pairs(&uri)?;
        let range = search::range(&params, stories.state.now())?;
        let id = search::trace_id(&id)?;
        let running = stories.state.begin().await?;
        let forest = stories.load(running.work(), id, range).await?;
        if forest.spans.is_empty() {
            return Err(running.work().not_found("trace not found"));
        }
        let most = running.work().answer_bytes();
        let mut listed = Listed::new(most);
        listed.add(&written(id, forest, most).await?)?;
        Ok(listed.told(running.work()))
    };
    respond(outcome.await)
}

async fn traces(Extract(stories): Extract<Stories>, uri: Uri) -> Response {
    let outcome = async {
        let params = search::pairs(&uri)?;
        let search = search::Search::parse(&params, stories.state.now())?;
        let running = stories.state.begin().await?;
        let work = running.work();
        let ids = match &search.ids[..] {
            [] => {
                newest_ids(
                    running.context(),
                    &search.filter,
                    search.range,
                    search.limit,
                )
                .await?
            }
            ids => ids.to_vec(),
        };
        let stories = &stories;
        let most = work.answer_bytes();
        let loaded = futures::stream::iter(ids)
            .map(|id| async move {
                let forest = stories.load(work, id, TimeRange::ALL).await?;
                if forest.spans.is_empty() {
                    return Ok(None);
                }
                written(id, forest, most).await.map(Some)
            })
            .buffered(TRACES_AT_ONCE);
        let mut loaded = std::pin::pin!(loaded);
        let mut listed = Listed::new(most);
        let hint = "not all traces were read; ask for fewer or a shorter lookback";
        while let Some(trace) = loaded.next().await {
            if let Some(trace) = work.further(trace, hint)?.flatten() {
                listed.add(&trace)?;
            }
        }
        Ok(listed.told(work))
    };
    respond(outcome.await)
}

async fn dependencies(Extract(stories): Extract<Stories>, uri: Uri) -> Response {
    let outcome = async {
        let params = search::pairs(&uri)?;
        let range = search::dependency_range(&params, stories.state.now())?;
        let running = stories.state.begin().await?;
        let work = running.work();
        let rows = RowsRequest {
            selection: stories.selection(Filter::All, range),
            order: Order::Newest,
            limit: DEPENDENCY_SPANS_MAX,
            traces: None,
            after: None,
            columns: Columns::Summary,
        };
        let sources = stories.state.sources();
        let mut read = vec![0; sources.len()];
        let mut spans = Calls::default();
        let take = |source: usize, reply| {
            if let Reply::Spans(found) = reply {
                read[source] += found.len();
                work.hold(found.len() * size_of::<Called>())?;
                found.iter().for_each(|span| spans.add(span));
            }
            Ok(())
        };
        sources.fallible(rows.into(), work, take).await?;
        if read.iter().any(|read| *read >= DEPENDENCY_SPANS_MAX) {
            let hint = "calls are counted from the newest spans; ask for a shorter lookback";
            work.cut("rows", DEPENDENCY_SPANS_MAX, hint);
        }
        let calls = spans.count();
        let total = calls.len();
        let data = calls
            .into_iter()
            .map(|((parent, child), count)| {
                json!({"parent": parent, "child": child, "callCount": count})
            })
            .collect();
        told(structured(data, total), running.work()).await
    };
    respond(outcome.await)
}

#[cfg(test)]
mod tests;
