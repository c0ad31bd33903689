//! OTLP/HTTP: `POST /v1/{traces,metrics,logs}` in protobuf and JSON, and the path that both
//! protocols share from a body to a verdict.

use axum::body::Body;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use model::room::Room;
use model::{Signal, Tenant};
use tonic::Code;

use super::body::{self, Framing};
use super::export::{Export, unix_nanos};
use super::grpc::put_clocks;
use super::verdict::Failure;
use super::{Counters, Outcome, Receiver, ServerLimits, Transport, Verdict};
use crate::inflate::Encoding;
use crate::json::JsonError;
use crate::stamp::StampHeaders;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
/// JSON longer than this is converted on a thread of its own, so that others need not wait.
const BLOCKING_BYTES: usize = 256 << 10;

/// The encoding of a request by its Content-Type.
fn transport(headers: &HeaderMap) -> Option<Transport> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case(PROTOBUF) {
        Some(Transport::HttpProtobuf)
    } else if media_type.eq_ignore_ascii_case(JSON) {
        Some(Transport::HttpJson)
    } else {
        None
    }
}

/// Compression of a request; none where it is unknown. An empty list is no compression.
fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let mut encoding = Encoding::Identity;
    for value in headers.get_all(CONTENT_ENCODING) {
        for name in value.to_str().ok()?.split(',') {
            match Encoding::from_name(name)? {
                Encoding::Identity => {}
                // Compressed twice: nobody does so but to hide a bomb.
                _ if encoding != Encoding::Identity => return None,
                once => encoding = once,
            }
        }
    }
    Some(encoding)
}

impl Receiver {
    pub(super) async fn http(&self, request: Request<Body>) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        let transport = transport(&head.headers);
        let gzip = accepts_gzip(&head.headers);
        // What cannot be said in the request's encoding is said in protobuf.
        let encoding = transport.unwrap_or(Transport::HttpProtobuf);
        let counters = &self.shared.counters;
        let (signal, compression) = match check(&head, transport) {
            Ok(checked) => checked,
            Err((signal, failure)) => {
                if let Some(signal) = signal {
                    counters.add(signal, encoding, Outcome::Unsupported, 0);
                }
                body::discard(&mut body, &self.shared.limits).await;
                return self::failure(&failure, encoding, gzip);
            }
        };
        let (verdict, received) = self
            .take(
                signal,
                encoding,
                &head.headers,
                &mut body,
                Framing::Http,
                compression,
            )
            .await;
        if matches!(verdict, Verdict::TooLarge(_) | Verdict::Overloaded { .. }) {
            body::discard(&mut body, &self.shared.limits).await;
        }
        let mut response = match verdict.answer(self.shared.limits.response_bytes) {
            Err(reason) => failure(&reason, encoding, gzip),
            Ok(partial) => {
                let bytes = match encoding {
                    Transport::HttpJson => partial.to_json(signal).to_string().into_bytes(),
                    _ => partial.to_protobuf(),
                };
                respond(StatusCode::OK, bytes, encoding, gzip)
            }
        };
        put_clocks(response.headers_mut(), received);
        response
    }

    /// Reads, converts and hands over one export; also tells when it had arrived.
    pub(super) async fn take(
        &self,
        signal: Signal,
        transport: Transport,
        headers: &HeaderMap,
        body: &mut Body,
        framing: Framing,
        encoding: Encoding,
    ) -> (Verdict, u64) {
        let shared = &self.shared;
        let mut record = Record::new(&shared.counters, signal, transport);
        let mut room = shared.budget.room(usize::MAX);
        let request = match over_long(headers, &shared.limits) {
            Some(verdict) => Err(verdict.into()),
            None => body::read(body, framing, encoding, &shared.limits, &mut room).await,
        };
        let received = unix_nanos();
        let request = match request {
            Ok(request) => request,
            Err(failure) => {
                record.done(failure.outcome, 0);
                return (failure.verdict, received);
            }
        };
        let request = match transport {
            Transport::HttpJson => self.convert(signal, request, &mut room).await,
            _ => Ok(request),
        };
        let request = request.and_then(|request| {
            let stamp = StampHeaders::read(headers).map_err(Verdict::Malformed)?;
            Ok((request, stamp))
        });
        let verdict = match request {
            Err(verdict) => verdict,
            Ok((request, stamp)) => {
                record.bytes = request.len();
                let export = Export {
                    tenant: Tenant::default(),
                    signal,
                    request,
                    stamp,
                    transport,
                    received_unix_nano: received,
                };
                shared.accept.accept(export).await
            }
        };
        record.done(verdict.outcome(), record.bytes);
        (verdict, received)
    }

    /// Text and protobuf are held at the same time, and the text let go then.
    async fn convert(
        &self,
        signal: Signal,
        json: Bytes,
        room: &mut Room,
    ) -> Result<Bytes, Verdict> {
        let ServerLimits {
            request_bytes,
            retry_after,
            ..
        } = self.shared.limits;
        // An empty request succeeds in every encoding, though no bytes at all are no JSON.
        if json.is_empty() {
            return Ok(json);
        }
        let blocking = json.len() > BLOCKING_BYTES;
        let mut grown = self.shared.budget.room(usize::MAX);
        let convert = move || {
            let request = crate::json::to_protobuf(signal, &json, request_bytes, &mut grown);
            (request, grown)
        };
        let (request, grown) = if blocking {
            tokio::task::spawn_blocking(convert)
                .await
                .map_err(|error| Verdict::Unavailable {
                    retry_after,
                    reason: format!("conversion from JSON stopped: {error}"),
                })?
        } else {
            convert()
        };
        *room = grown;
        let request = request.map_err(|error| match error {
            JsonError::Malformed(_) => Verdict::Malformed(error.to_string()),
            JsonError::TooLarge(_) => Verdict::TooLarge(error.to_string()),
            JsonError::NoRoom(no) => Verdict::no_room(no, retry_after),
        })?;
        room.resize(request.len())
            .map_err(|no| Verdict::no_room(no, retry_after))?;
        Ok(Bytes::from(request))
    }
}

/// What is said to a request whose header tells that it is over the limit.
pub(super) fn over_long(headers: &HeaderMap, limits: &ServerLimits) -> Option<Verdict> {
    let value = headers.get(CONTENT_LENGTH)?;
    let length: usize = value.to_str().ok()?.parse().ok()?;
    let limit = limits.request_bytes;
    (length > limit.saturating_add(5))
        .then(|| Verdict::TooLarge(format!("{length} bytes, the limit is {limit}")))
}

/// Where Prometheus takes OTLP metrics: senders that were set up for it need no change.
pub(super) const PROMETHEUS_METRICS: &str = "/prometheus/api/v1/otlp/v1/metrics";

/// What is checked before the body is read.
fn check(
    head: &http::request::Parts,
    transport: Option<Transport>,
) -> Result<(Signal, Encoding), (Option<Signal>, Failure)> {
    let path = head.uri.path();
    let own = path.strip_prefix("/v1/").and_then(Signal::from_name);
    let alias = (path == PROMETHEUS_METRICS).then_some(Signal::Metrics);
    let Some(signal) = own.or(alias) else {
        let reason = format!("there is no {path}: OTLP is at /v1/traces, /v1/metrics, /v1/logs");
        return Err((
            None,
            Failure::unsupported(Code::NotFound, StatusCode::NOT_FOUND, reason),
        ));
    };
    let unsupported =
        |code, http, reason: &str| Err((Some(signal), Failure::unsupported(code, http, reason)));
    if head.method != Method::POST {
        let http = StatusCode::METHOD_NOT_ALLOWED;
        return unsupported(Code::Unimplemented, http, "only POST is allowed here");
    }
    let http = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    if transport.is_none() {
        let reason = "Content-Type must be application/x-protobuf or application/json";
        return unsupported(Code::InvalidArgument, http, reason);
    }
    match encoding(&head.headers) {
        Some(encoding) => Ok((signal, encoding)),
        None => {
            let reason = "Content-Encoding must be identity, gzip or zstd, once";
            unsupported(Code::InvalidArgument, http, reason)
        }
    }
}

fn failure(failure: &Failure, encoding: Transport, gzip: bool) -> Response<Body> {
    let status = failure.status();
    let bytes = match encoding {
        Transport::HttpJson => status.to_json().to_string().into_bytes(),
        _ => status.to_protobuf(),
    };
    let mut response = respond(failure.http, bytes, encoding, gzip);
    let headers = response.headers_mut();
    match failure.http {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            headers.insert(
                ACCEPT_ENCODING,
                HeaderValue::from_static("identity, gzip, zstd"),
            );
        }
        _ => {}
    }
    if let Some(delay) = failure.retry_after {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

fn respond(status: StatusCode, bytes: Vec<u8>, encoding: Transport, gzip: bool) -> Response<Body> {
    let media_type = match encoding {
        Transport::HttpJson => JSON,
        _ => PROTOBUF,
    };
    let compressed = if gzip && !bytes.is_empty() {
        compress(&bytes)
    } else {
        None
    };
    let is_compressed = compressed.is_some();
    let mut response = Response::new(Body::from(compressed.unwrap_or(bytes)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    if is_compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    response
}

fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .ok()
}

/// Whether Accept-Encoding names gzip with a weight that is not zero.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        named && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
    })
}

/// Counts a request once, also when its future is dropped because the sender went away.
pub(super) struct Record<'a> {
    counters: &'a Counters,
    signal: Signal,
    transport: Transport,
    outcome: Outcome,
    bytes: usize,
}

impl<'a> Record<'a> {
    pub(super) fn new(counters: &'a Counters, signal: Signal, transport: Transport) -> Self {
        Self {
            counters,
            signal,
            transport,
            outcome: Outcome::Aborted,
            bytes: 0,
        }
    }

    pub(super) fn done(&mut self, outcome: Outcome, bytes: usize) {
        self.outcome = outcome;
        self.bytes = bytes;
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.counters
            .add(self.signal, self.transport, self.outcome, self.bytes);
    }
}
