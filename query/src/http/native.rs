//! The native API: one handler per question. What a handler does is read its parameters, wait
//! for its place, and ask.

use api::{
    ApiError, CardinalityAnswer, CompleteAnswer, FieldsAnswer, HighlightAnswer, HistogramAnswer,
    OperationsAnswer, ServicesAnswer, TokenView, ValuesAnswer,
};
use axum::Json;
use axum::extract::{Path, State as Extract};
use axum::response::Response;
use http::Uri;
use model::Signal;
use serde::Serialize;
use storage::message::Order;

use super::params::{Params, missing};
use super::{Running, State, bounded};
use crate::error::{ErrorKind, QueryError};
use crate::exec;
use crate::exec::fields::ValuesOf;
use crate::exec::histogram::Histogram;
use crate::exec::logs::LogSearch;
use crate::exec::points::Points;
use crate::exec::traces::{TraceOrder, TraceSearch};
use crate::lang;

type Answer<T> = Result<Json<T>, QueryError>;

/// An answer of many rows, or of large ones, such as exponential histograms.
async fn of_rows(running: &Running, answer: impl Serialize + Send + 'static) -> Rows {
    bounded::json(answer, running.work().answer_bytes()).await
}

type Rows = Result<Response, QueryError>;

const TRACES_DEFAULT: usize = 20;
const LOGS_DEFAULT: usize = 100;
const POINTS_DEFAULT: usize = 1_000;
const VALUES_DEFAULT: usize = 100;
const GROUPS_DEFAULT: usize = 50;
const CARDINALITY_DEFAULT: usize = 20;
const CARDINALITY_MAX: usize = 1_000;

/// `GET traces`
pub async fn traces(Extract(state): Extract<State>, uri: Uri) -> Rows {
    let known = ["q", "start", "end", "limit", "order", "cursor"];
    let params = Params::parse(&uri, &known, &[], state.now())?;
    let search = TraceSearch {
        query: params.query(lang::traces)?,
        range: params.range()?,
        order: params.choice("order", &TraceOrder::ALL)?,
        limit: params.number("limit", TRACES_DEFAULT, state.options().sizes.traces)?,
        cursor: params.text("cursor").map(str::to_owned),
    };
    let running = state.begin().await?;
    let answer = exec::traces::search(running.context(), search).await?;
    of_rows(&running, answer).await
}

/// `GET logs`
pub async fn logs(Extract(state): Extract<State>, uri: Uri) -> Rows {
    let search = log_search(&state, &uri)?;
    let running = state.begin().await?;
    let answer = exec::logs::search(running.context(), search).await?;
    of_rows(&running, answer).await
}

/// `GET logs/records`
pub async fn records(Extract(state): Extract<State>, uri: Uri) -> Rows {
    let search = log_search(&state, &uri)?;
    let running = state.begin().await?;
    let answer = exec::logs::records(running.context(), search).await?;
    of_rows(&running, answer).await
}

fn log_search(state: &State, uri: &Uri) -> Result<LogSearch, QueryError> {
    let known = ["q", "start", "end", "limit", "order", "cursor"];
    let params = Params::parse(uri, &known, &[], state.now())?;
    let orders = [("newest", Order::Newest), ("oldest", Order::Oldest)];
    Ok(LogSearch {
        filter: params.rows(Signal::Logs)?,
        range: params.range()?,
        order: params.choice("order", &orders)?,
        limit: params.number("limit", LOGS_DEFAULT, state.options().sizes.rows)?,
        cursor: params.text("cursor").map(str::to_owned),
    })
}

/// `GET logs/histogram`
pub async fn histogram(Extract(state): Extract<State>, uri: Uri) -> Answer<HistogramAnswer> {
    let known = ["q", "start", "end", "step", "limit"];
    let params = Params::parse(&uri, &known, &["by"], state.now())?;
    let by = params.all("by").flat_map(split_names);
    let by = by.map(|name| lang::row_field(name, Signal::Logs));
    let ask = Histogram {
        filter: params.rows(Signal::Logs)?,
        range: params.range()?,
        step_nano: params.duration("step")?,
        by: by.collect::<Result<_, _>>()?,
        limit: params.number("limit", GROUPS_DEFAULT, state.options().sizes.groups)?,
    };
    let running = state.begin().await?;
    exec::histogram::count(running.context(), ask)
        .await
        .map(Json)
}

/// Names between commas; commas in quotes are part of a name.
fn split_names(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let between = |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    };
    text.split(between)
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect()
}

/// `GET services`
pub async fn services(Extract(state): Extract<State>, uri: Uri) -> Answer<ServicesAnswer> {
    let params = Params::parse(&uri, &["start", "end"], &[], state.now())?;
    let range = params.range()?;
    let running = state.begin().await?;
    exec::services::services(running.context(), range)
        .await
        .map(Json)
}

/// `GET services/{service}/operations`
pub async fn operations(
    Extract(state): Extract<State>,
    Path(service): Path<String>,
    uri: Uri,
) -> Answer<OperationsAnswer> {
    let params = Params::parse(&uri, &["start", "end"], &[], state.now())?;
    let range = params.range()?;
    let running = state.begin().await?;
    exec::services::operations(running.context(), &service, range)
        .await
        .map(Json)
}

/// `GET fields`
pub async fn fields(Extract(state): Extract<State>, uri: Uri) -> Answer<FieldsAnswer> {
    let known = ["signal", "q", "start", "end"];
    let params = Params::parse(&uri, &known, &[], state.now())?;
    let (signal, range) = (params.signal()?, params.range()?);
    let filter = params.rows(signal)?;
    let running = state.begin().await?;
    exec::fields::fields(running.context(), signal, filter, range)
        .await
        .map(Json)
}

/// `GET fields/{field}/values`
pub async fn values(
    Extract(state): Extract<State>,
    Path(field): Path<String>,
    uri: Uri,
) -> Answer<ValuesAnswer> {
    let known = ["signal", "q", "prefix", "start", "end", "limit"];
    let params = Params::parse(&uri, &known, &[], state.now())?;
    let signal = params.signal()?;
    let ask = ValuesOf {
        signal,
        filter: params.rows(signal)?,
        range: params.range()?,
        field: lang::row_field(&field, signal)?,
        prefix: params.text("prefix").unwrap_or_default().to_owned(),
        limit: params.number("limit", VALUES_DEFAULT, state.options().sizes.groups)?,
    };
    let running = state.begin().await?;
    exec::fields::values(running.context(), ask).await.map(Json)
}

/// `GET metrics/points`
pub async fn points(Extract(state): Extract<State>, uri: Uri) -> Rows {
    let known = ["q", "start", "end", "limit"];
    let params = Params::parse(&uri, &known, &[], state.now())?;
    let ask = Points {
        matchers: params.query(matchers)?,
        range: params.range()?,
        limit: params.number("limit", POINTS_DEFAULT, state.options().sizes.rows)?,
    };
    let running = state.begin().await?;
    let answer = exec::points::points(running.context(), ask).await?;
    of_rows(&running, answer).await
}

/// `GET metrics/cardinality`
pub async fn cardinality(Extract(state): Extract<State>, uri: Uri) -> Answer<CardinalityAnswer> {
    let known = ["q", "label", "by", "start", "end", "limit"];
    let params = Params::parse(&uri, &known, &[], state.now())?;
    let orders = [("series", false), ("samples", true)];
    let ask = exec::cardinality::Ask {
        matchers: params.query(matchers)?,
        range: params.range()?,
        label: params.text("label").map(str::to_owned),
        by_samples: params.choice("by", &orders)?,
        limit: params.number("limit", CARDINALITY_DEFAULT, CARDINALITY_MAX)?,
    };
    let running = state.begin().await?;
    exec::cardinality::explore(running.context(), ask)
        .await
        .map(Json)
}

/// The matchers of a PromQL series selector; none of an empty text.
fn matchers(text: &str) -> Result<Vec<promql::Matcher>, QueryError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let selector = promql::parse_selector(text).map_err(|problem| {
        let error = QueryError::new(ErrorKind::InvalidQuery, problem.message);
        let error = QueryError {
            span: Some((problem.start, problem.end)),
            ..error
        };
        if problem.expected.is_empty() {
            error.hint("write a series selector as in {__name__=\"up\",job=\"shop\"}")
        } else {
            error.hint(format!("expected {}", problem.expected.join(", ")))
        }
    })?;
    if !selector.is_selective() {
        let message = "a selector of series has to name a value that a label has";
        return Err(QueryError::new(ErrorKind::InvalidQuery, message)
            .hint("leave q out to ask about all series"));
    }
    Ok(selector.matchers)
}

/// `GET search/complete`
pub async fn complete(Extract(state): Extract<State>, uri: Uri) -> Answer<CompleteAnswer> {
    let known = ["q", "cursor", "signal", "start", "end"];
    let params = Params::parse(&uri, &known, &[], state.now())?;
    let text = params.text("q").unwrap_or_default();
    let cursor = match params.text("cursor") {
        None => text.len(),
        Some(number) => number.parse().map_err(|_| {
            QueryError::parameter("cursor: not a number of bytes from the start of q")
        })?,
    };
    if text.len() > lang::LENGTH_MAX {
        return Err(QueryError::parameter("q: the query is too long"));
    }
    let (signal, range) = (params.signal()?, params.range()?);
    let running = state.begin().await?;
    exec::complete::suggest(running.context(), text, cursor, signal, range)
        .await
        .map(Json)
}

/// `GET search/highlight`
pub async fn highlight(Extract(state): Extract<State>, uri: Uri) -> Answer<HighlightAnswer> {
    let params = Params::parse(&uri, &["q", "signal"], &[], state.now())?;
    if params.all("q").next().is_none() {
        return Err(missing("q"));
    }
    let text = params.text("q").unwrap_or_default();
    let token = |token: lang::Token| TokenView {
        start: token.span.start,
        end: token.span.end,
        class: token.class.name().to_owned(),
    };
    let signal = params.text("signal").map(|_| params.signal()).transpose()?;
    let error: Option<ApiError> = lang::check(text, signal).err().map(|error| error.to_api());
    let tokens = lang::highlight(text).into_iter().map(token).collect();
    Ok(Json(HighlightAnswer { tokens, error }))
}
