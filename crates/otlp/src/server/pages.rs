//! What an operator asks of a process at its OTLP/HTTP listener: `GET /healthz`, `/readyz` and
//! `/metrics`.

use std::sync::Arc;

use axum::body::Body;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};

/// How a process is doing.
pub trait Status: Send + Sync {
    /// Whether it takes exports; the error says why not.
    fn ready(&self) -> Result<(), String>;

    /// What it counts, in the Prometheus text format.
    fn metrics(&self) -> String;
}

/// The answer to a request for one of these pages; none for any other path.
pub(super) fn answer(status: &Arc<dyn Status>, request: &Request<Body>) -> Option<Response<Body>> {
    let page: fn(&dyn Status) -> (StatusCode, String) = match request.uri().path() {
        "/healthz" => |_| (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => |status| match status.ready() {
            Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
            Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        },
        "/metrics" => |status| (StatusCode::OK, status.metrics()),
        _ => return None,
    };
    let allowed = matches!(*request.method(), Method::GET | Method::HEAD);
    let (code, text) = if allowed {
        page(&**status)
    } else {
        let code = StatusCode::METHOD_NOT_ALLOWED;
        (code, "only GET is allowed here\n".to_owned())
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    headers.insert(CONTENT_TYPE, media_type);
    if !allowed {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Process(Result<(), String>);

    impl Status for Process {
        fn ready(&self) -> Result<(), String> {
            self.0.clone()
        }

        fn metrics(&self) -> String {
            "up 1\n".to_owned()
        }
    }

    fn code(process: Result<(), String>, method: &str, path: &str) -> Option<u16> {
        let status: Arc<dyn Status> = Arc::new(Process(process));
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).unwrap();
        answer(&status, &request).map(|response| response.status().as_u16())
    }

    #[test]
    fn a_process_that_drains_is_alive_and_not_ready() {
        let draining = || Err("draining".to_owned());
        assert_eq!(code(Ok(()), "GET", "/readyz"), Some(200));
        assert_eq!(code(draining(), "GET", "/readyz"), Some(503));
        assert_eq!(code(draining(), "GET", "/healthz"), Some(200));
        assert_eq!(code(draining(), "GET", "/metrics"), Some(200));
        assert_eq!(code(Ok(()), "POST", "/metrics"), Some(405));
        assert_eq!(code(Ok(()), "GET", "/v1/traces"), None);
    }
}
