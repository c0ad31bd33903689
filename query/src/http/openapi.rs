//! The description of the API that the service serves.

use axum::response::{IntoResponse, Response};
use http::header;

/// `docs/openapi.json` of the repository.
pub const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

/// `GET openapi.json`
pub async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
