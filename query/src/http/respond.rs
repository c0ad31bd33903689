//! Answers and refusals as HTTP responses.

use api::ErrorBody;
use axum::Json;
use axum::body::HttpBody;
use axum::extract::{Request, State as Extract};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, Uri, header};

use super::State;
use crate::error::{ErrorKind, QueryError};
use crate::nearest::nearest;
use crate::sources::too_large;

impl IntoResponse for QueryError {
    fn into_response(self) -> Response {
        let mut response = (
            self.kind.status(),
            Json(ErrorBody {
                error: self.to_api(),
            }),
        )
            .into_response();
        if matches!(self.kind, ErrorKind::Overloaded | ErrorKind::Unavailable) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Answers a path that no route has.
pub(super) async fn unknown_path(uri: Uri) -> Response {
    let path = uri.path();
    let error = QueryError::not_found(format!("there is nothing at {}", shortened(path)));
    let own = super::routes::all().into_iter().map(|route| route.path);
    let known: Vec<&str> = own.chain(super::routes::MERGED).collect();
    let error = match nearest(path, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint("GET /api/v1/openapi.json lists everything there is"),
    };
    refuse(path, error)
}

/// Answers a method that a path does not have.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let path = uri.path();
    let message = format!("{} does not take {method}", shortened(path));
    let error = QueryError::new(ErrorKind::MethodNotAllowed, message);
    // Some paths of Prometheus take others, which the header `Allow` names.
    let is_own = !path.starts_with("/prometheus/");
    refuse(path, if is_own { error.hint("use GET") } else { error })
}

fn refuse(path: &str, error: QueryError) -> Response {
    if path.starts_with("/prometheus/") {
        return super::prometheus::failure(&error);
    }
    if path.starts_with("/jaeger/") {
        return super::jaeger::failure(&error);
    }
    error.into_response()
}

fn shortened(text: &str) -> &str {
    const SHOWN: usize = 200;
    let mut end = text.len().min(SHOWN);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Refuses answers that are too large and counts answers by outcome.
pub(super) async fn count(
    Extract(state): Extract<State>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let most = state.options().answer_bytes;
    if response.body().size_hint().lower() > most {
        response = refuse(&path, too_large(most));
    }
    state.count(response.status());
    response
}
