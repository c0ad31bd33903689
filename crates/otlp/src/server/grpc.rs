//! OTLP/gRPC: the three `Export` methods.

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::StreamBody;
use hyper::body::Frame;
use model::Signal;
use tonic::{Code, Status};

use super::body::Framing;
use super::export::unix_nanos;
use super::verdict::Failure;
use super::{Outcome, Receiver, Transport};
use crate::inflate::Encoding;
use crate::stamp;

pub(super) const TRACE_SERVICE: &str = "opentelemetry.proto.collector.trace.v1.TraceService";
pub(super) const LOGS_SERVICE: &str = "opentelemetry.proto.collector.logs.v1.LogsService";
pub(super) const METRICS_SERVICE: &str = "opentelemetry.proto.collector.metrics.v1.MetricsService";

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const ENCODINGS: HeaderValue = HeaderValue::from_static("identity,gzip,zstd");

/// Whether a request is gRPC at all.
pub(super) fn is_grpc(request: &Request<Body>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn signal(path: &str) -> Option<Signal> {
    let service = path.strip_prefix('/')?.strip_suffix("/Export")?;
    match service {
        TRACE_SERVICE => Some(Signal::Traces),
        LOGS_SERVICE => Some(Signal::Logs),
        METRICS_SERVICE => Some(Signal::Metrics),
        _ => None,
    }
}

impl Receiver {
    pub(super) async fn grpc(&self, request: Request<Body>) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        let Some(signal) = signal(head.uri.path()) else {
            let reason = format!("there is no method {}", head.uri.path());
            let http = StatusCode::NOT_FOUND;
            return failure(&Failure::unsupported(Code::Unimplemented, http, reason), 0);
        };
        let Some(encoding) = encoding(&head.headers) else {
            let counters = &self.shared.counters;
            counters.add(signal, Transport::Grpc, Outcome::Unsupported, 0);
            let reason = "grpc-encoding must be identity, gzip or zstd";
            let http = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return failure(&Failure::unsupported(Code::Unimplemented, http, reason), 0);
        };
        let framing = Framing::Grpc(super::body::GrpcFrame::default());
        let (verdict, received) = self
            .take(
                signal,
                Transport::Grpc,
                &head.headers,
                &mut body,
                framing,
                encoding,
            )
            .await;
        match verdict.answer(self.shared.limits.response_bytes) {
            Ok(partial) => success(&partial.to_protobuf(), received),
            Err(reason) => failure(&reason, received),
        }
    }
}

/// The encoding of compressed messages; none where it is unknown.
fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    match headers.get("grpc-encoding") {
        None => Some(Encoding::Identity),
        Some(value) => Encoding::from_name(value.to_str().ok()?),
    }
}

fn success(message: &[u8], received: u64) -> Response<Body> {
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("responses are shortened to a few MiB"));
    framed.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    let frames: [Result<Frame<Bytes>, std::convert::Infallible>; 2] = [
        Ok(Frame::data(framed.freeze())),
        Ok(Frame::trailers(trailers)),
    ];
    let mut response = Response::new(Body::new(StreamBody::new(futures::stream::iter(frames))));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    put_clocks(response.headers_mut(), received);
    response
}

fn failure(failure: &Failure, received: u64) -> Response<Body> {
    let details = Bytes::from(failure.status().to_protobuf());
    let status = Status::with_details(failure.code, failure.message.clone(), details);
    let mut response: Response<Body> = status.into_http();
    response.headers_mut().insert(ACCEPT_ENCODING, ENCODINGS);
    if received != 0 {
        put_clocks(response.headers_mut(), received);
    }
    response
}

/// Adds the two times by which an agent measures its clock.
pub(super) fn put_clocks(headers: &mut HeaderMap, received: u64) {
    headers.insert(
        HeaderName::from_static(stamp::RECEIVED),
        HeaderValue::from(received),
    );
    headers.insert(
        HeaderName::from_static(stamp::REPLIED),
        HeaderValue::from(unix_nanos()),
    );
}
