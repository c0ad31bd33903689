//! Answers and refusals in Prometheus' shape.

use api::Completeness;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::super::{Running, bounded, completeness};
use crate::error::{ErrorKind, QueryError};

/// What a handler gives.
pub(crate) type Answer = Result<Response, Refused>;

/// A refusal in Prometheus' shape.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({"status": "error", "errorType": self.kind, "error": self.message});
        (self.status, Json(body)).into_response()
    }
}

/// An error of the query service in Prometheus' shape.
pub(in super::super) fn failure(error: &QueryError) -> Response {
    Refused::from(error.clone()).into_response()
}

impl From<QueryError> for Refused {
    fn from(error: QueryError) -> Self {
        let kind = match error.kind {
            ErrorKind::InvalidQuery | ErrorKind::InvalidParameter | ErrorKind::MethodNotAllowed => {
                "bad_data"
            }
            ErrorKind::NotFound => "not_found",
            ErrorKind::TooLarge | ErrorKind::TooManySamples(_) => "execution",
            ErrorKind::Overloaded | ErrorKind::Unavailable => "unavailable",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Internal => "internal",
        };
        // Prometheus has no other status for what may go well later.
        let status = match error.kind {
            ErrorKind::Overloaded | ErrorKind::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            kind => kind.status(),
        };
        Self {
            status,
            kind,
            message: error.to_string(),
        }
    }
}

impl Refused {
    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<promql::Error> for Refused {
    fn from(error: promql::Error) -> Self {
        use promql::engine::ErrorKind as Kind;
        let (status, kind) = match error.kind() {
            Kind::BadData => (StatusCode::BAD_REQUEST, "bad_data"),
            Kind::Execution | Kind::Limit => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            Kind::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            Kind::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, "canceled"),
            Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self {
            status,
            kind,
            message: error.to_string(),
        }
    }
}

/// The refusal of a request that is wrong.
pub(crate) fn bad_data(message: impl Into<String>) -> Refused {
    Refused {
        status: StatusCode::BAD_REQUEST,
        kind: "bad_data",
        message: message.into(),
    }
}

/// The refusal of what is not there to be asked for.
pub(crate) fn unavailable(message: impl Into<String>) -> Refused {
    Refused {
        // Prometheus says so of its admin APIs.
        status: StatusCode::INTERNAL_SERVER_ERROR,
        kind: "unavailable",
        message: message.into(),
    }
}

/// The refusal of one parameter's value.
pub(crate) fn bad_parameter(name: &str, problem: impl std::fmt::Display) -> Refused {
    bad_data(format!("invalid parameter \"{name}\": {problem}"))
}

#[derive(Serialize)]
struct Success<T> {
    status: &'static str,
    data: T,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    infos: Vec<String>,
}

/// What may be wrong with an answer.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Where it may be wrong or lack something.
    pub(crate) warnings: Vec<String>,
    /// Where the question may not be what was meant.
    pub(crate) infos: Vec<String>,
}

/// So many warnings, and as many infos, are told, as by Prometheus.
const NOTES_MAX: usize = 10;

impl Notes {
    /// What an evaluation notes; of many the first.
    pub(crate) fn of_evaluation(mut warnings: Vec<String>, mut infos: Vec<String>) -> Self {
        for (list, what) in [(&mut warnings, "warning"), (&mut infos, "info")] {
            let more = list.len().saturating_sub(NOTES_MAX);
            if more > 0 {
                list.truncate(NOTES_MAX);
                list.push(format!("{more} more {what} annotations omitted"));
            }
        }
        Self { warnings, infos }
    }

    /// Cuts a list to the limit that was asked for, and says so.
    pub(crate) fn limit<T>(&mut self, items: &mut Vec<T>, limit: Option<usize>) {
        if let Some(limit) = limit
            && items.len() > limit
        {
            items.truncate(limit);
            self.warnings
                .push("results truncated due to limit".to_owned());
        }
    }
}

/// The answer of a query, with what it lacks.
pub(crate) async fn success(
    running: &Running,
    data: impl Serialize + Send + 'static,
    mut notes: Notes,
) -> Answer {
    let completeness = running.work().completeness();
    notes.warnings.extend(completeness::lacks(&completeness));
    let answer = whole(data, notes);
    let mut response = bounded::json(answer, running.work().answer_bytes()).await?;
    completeness::put(response.headers_mut(), &completeness);
    Ok(response)
}

/// An answer that is as complete as this.
pub(crate) fn told(completeness: &Completeness, data: impl Serialize, mut notes: Notes) -> Answer {
    notes.warnings.extend(completeness::lacks(completeness));
    let mut response = respond(data, notes);
    completeness::put(response.headers_mut(), completeness);
    Ok(response)
}

/// An answer that no stored data is in.
pub(crate) fn known(data: impl Serialize) -> Answer {
    Ok(respond(data, Notes::default()))
}

fn respond(data: impl Serialize, notes: Notes) -> Response {
    Json(whole(data, notes)).into_response()
}

fn whole<T>(data: T, notes: Notes) -> Success<T> {
    Success {
        status: "success",
        data,
        warnings: notes.warnings,
        infos: notes.infos,
    }
}
