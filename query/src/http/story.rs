//! `GET /api/v1/story/{id}`, and the routes of everything that rebuilds traces.

use api::types::StoryAnswer;
use axum::Router;
use axum::extract::{Path, State as Extract};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::Uri;

use super::params::Params;
use super::trace::Stories;
use super::{bounded, jaeger, trace};
use crate::error::QueryError;
use crate::traces::story::{Context, tell};

/// The longest id that can be asked for.
const ID_BYTES_MAX: usize = 1_024;

/// Traces and stories, natively and as Jaeger serves them. To be merged into the service's
/// router.
pub fn router(stories: Stories) -> Router {
    Router::new()
        .route("/api/v1/traces/{trace_id}", get(trace::get))
        .route("/api/v1/story/{id}", get(story))
        .merge(jaeger::routes())
        .with_state(stories)
}

async fn story(Extract(stories): Extract<Stories>, Path(id): Path<String>, uri: Uri) -> Response {
    let answer = answer(&stories, &id, &uri).await;
    answer.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(stories: &Stories, id: &str, uri: &Uri) -> Result<Response, QueryError> {
    let params = Params::parse(uri, &["start", "end"], &[], stories.state.now())?;
    let id = id.trim();
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        let message = format!(
            "id: an id has 1 to {ID_BYTES_MAX} bytes, this one has {}",
            id.len()
        );
        return Err(QueryError::parameter(message));
    }
    let range = params.range()?;
    let running = stories.state.begin().await?;
    let rows = stories.rows(running.work());
    let context = Context {
        rows: &rows,
        alerts: &*stories.alerts,
    };
    let Some(answer) = tell(context, id, range, stories.bounds).await? else {
        let nothing = format!("no stored row carries the id {id}");
        return Err(running.work().not_found(&nothing).or_hint(
            "an id is a trace id, a span id or the value of a correlation key; \
             correlation.keys names the keys",
        ));
    };
    let answer = StoryAnswer {
        completeness: running.work().completeness(),
        ..answer
    };
    bounded::json(answer, running.work().answer_bytes()).await
}

#[cfg(test)]
mod tests;
