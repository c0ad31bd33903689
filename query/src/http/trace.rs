//! `GET /api/v1/traces/{trace_id}`.

use std::sync::Arc;

use api::types::TraceAnswer;
use axum::extract::{Path, State as Extract};
use axum::response::{IntoResponse, Response};
use http::Uri;
use model::{TimeRange, TraceId};

use super::params::Params;
use super::{State, bounded};
use crate::error::QueryError;
use crate::sources::Work;
use crate::traces::assemble::Assembled;
use crate::traces::closure::Bounds;
use crate::traces::rows::SourceRows;
use crate::traces::story::{ActiveAlerts, NoAlerts};
use crate::traces::trace;

/// What traces and stories are told with.
#[derive(Clone)]
pub struct Stories {
    /// The query service.
    pub state: State,
    /// The alerts of this service.
    pub alerts: Arc<dyn ActiveAlerts>,
    /// How far stories go.
    pub bounds: Bounds,
}

impl Stories {
    /// Stories without alerts, with the default bounds.
    pub fn new(state: State) -> Self {
        Self {
            state,
            alerts: Arc::new(NoAlerts),
            bounds: Bounds::default(),
        }
    }

    /// The rows that one query reads.
    pub(super) fn rows<'a>(&'a self, work: &'a Work) -> SourceRows<'a> {
        let tenant = &self.state.options().tenant;
        SourceRows {
            sources: self.state.sources(),
            work,
            tenant,
        }
    }

    /// One trace in causal order, with its inferred spans.
    pub(super) async fn load(
        &self,
        work: &Work,
        id: TraceId,
        range: TimeRange,
    ) -> Result<Assembled, QueryError> {
        trace::load(&self.rows(work), id, range, self.bounds).await
    }
}

/// Handles the request.
pub(super) async fn get(
    Extract(stories): Extract<Stories>,
    Path(id): Path<String>,
    uri: Uri,
) -> Response {
    let answer = answer(&stories, &id, &uri).await;
    answer.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(stories: &Stories, id: &str, uri: &Uri) -> Result<Response, QueryError> {
    let params = Params::parse(uri, &["start", "end"], &[], stories.state.now())?;
    let trace = trace_id(id)?;
    let range = params.range()?;
    let running = stories.state.begin().await?;
    let forest = stories.load(running.work(), trace, range).await?;
    if forest.spans.is_empty() {
        let nothing = format!("no span of trace {trace} is stored");
        return Err(running.work().not_found(&nothing).or_hint(
            "widen the range with start and end, or ask /api/v1/story/{id} for its logs",
        ));
    }
    // What else is in the answer takes far less than an eighth.
    let most = running.work().answer_bytes();
    let (answer, left_out) = trace::answer(trace, &forest, most - most / 8);
    if left_out > 0 {
        let hint = format!(
            "{left_out} spans of {} are left out, parents before their children; ask for parts of \
             the trace with start and end, or raise limits.response_bytes",
            forest.spans.len()
        );
        running.work().cut("response_bytes", most, hint);
    }
    let answer = TraceAnswer {
        completeness: running.work().completeness(),
        ..answer
    };
    bounded::json(answer, most).await
}

/// A trace id from a path.
pub(super) fn trace_id(text: &str) -> Result<TraceId, QueryError> {
    text.parse().map_err(|error| {
        QueryError::parameter(format!("trace_id: {error}"))
            .hint("any other id is a question for /api/v1/story/{id}")
    })
}
