//! What whoever runs a collector may ask of it, on the internal listener: a snapshot of its data
//! folder.
//!
//! `POST /admin/v1/snapshot` with `{"dir": "/an/absolute/path"}` makes the folder, on the collector's
//! machine, and answers with what is in it. A snapshot makes folders anywhere that the collector may
//! write and keeps room on the disk from being freed, so a listener on loopback is no protection
//! enough: other users of the machine, and pages in a browser, reach it too. A request therefore
//! carries a key (`authorization: Bearer KEY`) that the process makes anew at each start and writes to
//! a file of the data folder that its own user alone may read. Whoever has the key could read and
//! remove the data anyway.

use std::path::PathBuf;

use axum::body::{Body, to_bytes};
use http::{Method, Request, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use storage::Store;
use storage::snapshot::SnapshotError;

/// The path of the one question.
pub const SNAPSHOT: &str = "/admin/v1/snapshot";
/// Begins every path here.
const PREFIX: &str = "/admin/";
/// The longest body.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Answers who has the key.
pub struct Admin {
    store: Store,
    key: String,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    dir: PathBuf,
}

impl Admin {
    /// For a store, and whoever knows this key.
    pub fn new(store: Store, key: String) -> Self {
        Self { store, key }
    }

    /// Whether a path is of a question to this part.
    pub(crate) fn has(path: &str) -> bool {
        path.starts_with(PREFIX)
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        match self.try_answer(request).await {
            Ok(body) => answer(StatusCode::OK, &body),
            Err((status, message)) => {
                let error = json!({"error": {"kind": kind(status), "message": message}});
                answer(status, &error)
            }
        }
    }

    async fn try_answer(&self, request: Request<Body>) -> Result<Value, (StatusCode, String)> {
        let refuse = |status, message: &str| Err((status, message.to_owned()));
        let given = request.headers().get(header::AUTHORIZATION);
        let given = given.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        if !given.is_some_and(|given| same(given, self.key.as_bytes())) {
            return refuse(
                StatusCode::UNAUTHORIZED,
                "the key in the data folder's admin.key is needed, as `authorization: Bearer KEY`",
            );
        }
        if request.uri().path() != SNAPSHOT {
            return refuse(StatusCode::NOT_FOUND, "there is only /admin/v1/snapshot");
        }
        if request.method() != Method::POST {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "use POST");
        }
        let body = to_bytes(request.into_body(), BODY_BYTES_MAX).await;
        let body = body.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        let ask: Ask = serde_json::from_slice(&body)
            .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        if !ask.dir.is_absolute() {
            return refuse(StatusCode::BAD_REQUEST, "dir has to be an absolute path");
        }
        let taken = self.store.snapshot(&ask.dir).await;
        match taken {
            Ok(taken) => {
                tracing::info!(dir = %ask.dir.display(), ?taken, "took a snapshot");
                serde_json::to_value(taken)
                    .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
            }
            Err(error) => {
                tracing::warn!(dir = %ask.dir.display(), %error, "no snapshot");
                Err((status(&error), error.to_string()))
            }
        }
    }
}

fn status(error: &SnapshotError) -> StatusCode {
    match error {
        SnapshotError::Target { .. } => StatusCode::BAD_REQUEST,
        SnapshotError::Busy => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::CONFLICT => "busy",
        status if status.is_client_error() => "invalid",
        _ => "failed",
    }
}

/// Compares in a time that does not tell how much of it is right.
fn same(given: &[u8], key: &[u8]) -> bool {
    let differing = given.iter().zip(key).fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == key.len() && differing == 0
}

fn answer(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests;
