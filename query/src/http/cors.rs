//! Which web pages may read answers of Prometheus' API in a browser.
//!
//! None, unless the configuration names their origins: the service asks nobody who they are, and a
//! page that somebody opens on the machine on which it listens could otherwise read all that is
//! stored. What takes data is no part of it.

use axum::extract::{Request, State as Extract};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ORIGIN, VARY,
};
use http::{HeaderValue, Method, StatusCode};

use super::State;

const API: &str = "/prometheus/api/v1/";
/// Below [`API`], and no reading: remote write and OTLP.
const WRITES: [&str; 2] = ["write", "otlp/"];

/// Answers what a browser asks before it asks, and says which pages may read the answer.
pub(super) async fn allow(
    Extract(state): Extract<State>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let read = path
        .strip_prefix(API)
        .is_some_and(|rest| !WRITES.iter().any(|write| rest.starts_with(write)));
    if !read {
        return next.run(request).await;
    }
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let Some(origins) = &state.options().cors_origin else {
        return response;
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let allowed = |origin: &HeaderValue| origin.to_str().is_ok_and(|text| origins.is_match(text));
    if let Some(origin) = origin.filter(allowed) {
        let fixed = [
            (
                ACCESS_CONTROL_ALLOW_HEADERS,
                "Accept, Authorization, Content-Type, Origin",
            ),
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}
