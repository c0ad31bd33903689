//! Prometheus remote write, versions 1.0 and 2.0: `POST /prometheus/api/v1/write`.
//!
//! A request is stored as it came, in its block of Snappy, so that an answer of success means that
//! it is durable and searchable, and that a replay reads what was sent. Statuses say what a sender
//! should do: 204 is done; 400, 413 and 415 are never to be sent again as they are, where 400 may
//! mean that all but some samples were stored, as the headers then say; 503 is to be sent again
//! later. 429 is not used: Prometheus gives up on it unless it is told otherwise.

mod decode;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use model::{Format, Signal, Tenant};
use otlp::server::{Receiver, Route, Transport, Verdict};
use storage::write::{Ack, Batch, Points};

pub use decode::{decode, length};

use crate::ingest::{Ingest, reasons};

/// Where it is, on every port that takes data.
pub const PATH: &str = "/prometheus/api/v1/write";

const WRITTEN: [HeaderName; 3] = [
    HeaderName::from_static("x-prometheus-remote-write-samples-written"),
    HeaderName::from_static("x-prometheus-remote-write-histograms-written"),
    HeaderName::from_static("x-prometheus-remote-write-exemplars-written"),
];

/// Takes requests of remote write. Clones share everything.
#[derive(Clone)]
pub struct RemoteWrite {
    receiver: Receiver,
    ingest: Arc<Ingest>,
    /// Bytes that a request may have once decompressed.
    request_bytes: usize,
}

impl RemoteWrite {
    /// Takes requests within the limits of `receiver` into `ingest`.
    pub fn new(receiver: Receiver, ingest: Arc<Ingest>, request_bytes: usize) -> Self {
        Self {
            receiver,
            ingest,
            request_bytes,
        }
    }

    /// The route, for a listener of OTLP.
    pub fn route(&self) -> Route {
        let remote_write = self.clone();
        Route {
            path: PATH,
            handler: Arc::new(move |request| {
                let remote_write = remote_write.clone();
                Box::pin(async move { remote_write.handle(request).await })
            }),
        }
    }

    /// The route, for another server.
    pub fn router(&self) -> Router {
        let remote_write = self.clone();
        let handler = move |request: Request<Body>| {
            let remote_write = remote_write.clone();
            async move { remote_write.handle(request).await }
        };
        Router::new().route(PATH, axum::routing::any(handler))
    }

    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let format = match check(&head.method, &head.headers) {
            Ok(format) => format,
            Err((status, reason)) => {
                let transport = Transport::RemoteWrite1;
                self.receiver.refuse(Signal::Metrics, transport, body).await;
                return answer(status, &Points::default(), reason.to_owned());
            }
        };
        let transport = match format {
            Format::RemoteWrite2 => Transport::RemoteWrite2,
            _ => Transport::RemoteWrite1,
        };
        let headers = &head.headers;
        let work = async |request| self.store(format, request).await;
        let stored = self
            .receiver
            .receive(Signal::Metrics, transport, headers, body, work)
            .await;
        match stored {
            Ok(ack) => accepted(&ack),
            Err(verdict) => refused(verdict),
        }
    }

    async fn store(&self, format: Format, request: Bytes) -> Result<Ack, Verdict> {
        let length = length(&request).map_err(|error| Verdict::Malformed(error.to_string()))?;
        let limit = self.request_bytes;
        if length > limit {
            let reason = format!("{length} bytes after decompression, the limit is {limit}");
            return Err(Verdict::TooLarge(reason));
        }
        let batch = Batch {
            tenant: Tenant::default(),
            signal: Signal::Metrics,
            format,
            request,
            stamp: None,
        };
        self.ingest.store(batch).await
    }
}

/// What is checked before the body is read. Headers that are not there stand for version 1.0.
fn check(method: &Method, headers: &HeaderMap) -> Result<Format, (StatusCode, &'static str)> {
    if method != Method::POST {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "only POST is allowed here"));
    }
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str());
    let format = match text(CONTENT_TYPE) {
        None => Some(Format::RemoteWrite1),
        Some(value) => value.ok().and_then(format),
    };
    let Some(format) = format else {
        let reason = "Content-Type must be application/x-protobuf, with \
                      proto=io.prometheus.write.v2.Request for version 2.0";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    };
    match text(CONTENT_ENCODING) {
        None => Ok(format),
        Some(Ok(value)) if value.trim().eq_ignore_ascii_case("snappy") => Ok(format),
        Some(_) => {
            let reason = "Content-Encoding must be snappy, in its block format";
            Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, reason))
        }
    }
}

/// The version that a Content-Type names.
fn format(content_type: &str) -> Option<Format> {
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next()?;
    if !media_type.eq_ignore_ascii_case("application/x-protobuf") {
        return None;
    }
    let proto = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let name = name.trim().eq_ignore_ascii_case("proto");
        name.then(|| value.trim().trim_matches('"'))
    });
    match proto {
        None | Some("prometheus.WriteRequest") => Some(Format::RemoteWrite1),
        Some("io.prometheus.write.v2.Request") => Some(Format::RemoteWrite2),
        Some(_) => None,
    }
}

fn accepted(ack: &Ack) -> Response<Body> {
    let rejected: u64 = ack.rejected.iter().map(|(_, count)| count).sum();
    if rejected == 0 {
        return answer(StatusCode::NO_CONTENT, &ack.points, String::new());
    }
    let reason = reasons(Signal::Metrics, &ack.rejected);
    answer(StatusCode::BAD_REQUEST, &ack.points, reason)
}

fn refused(verdict: Verdict) -> Response<Body> {
    let (status, reason, retry_after) =
        verdict
            .failure(8 << 10)
            .unwrap_or((StatusCode::NO_CONTENT, String::new(), None));
    // What is given up on is lost, and there will be room again.
    let status = match status {
        StatusCode::TOO_MANY_REQUESTS => StatusCode::SERVICE_UNAVAILABLE,
        other => other,
    };
    let mut response = answer(status, &Points::default(), reason);
    if let Some(delay) = retry_after {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        let value = HeaderValue::from(seconds.max(1));
        response.headers_mut().insert(RETRY_AFTER, value);
    }
    response
}

fn answer(status: StatusCode, written: &Points, mut reason: String) -> Response<Body> {
    if !reason.is_empty() {
        reason.push('\n');
    }
    let plain = !reason.is_empty();
    let mut response = Response::new(Body::from(reason));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let counts = [written.numbers, written.histograms, written.exemplars];
    for (name, count) in WRITTEN.into_iter().zip(counts) {
        headers.insert(name, HeaderValue::from(count));
    }
    if plain {
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, text);
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

#[cfg(test)]
mod tests;
