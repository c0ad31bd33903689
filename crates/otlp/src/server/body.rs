//! Reading bodies: inflated as they arrive, within the limits of one request and of all.

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use hyper::body::Body as _;
use model::room::Room;

use super::{Outcome, ServerLimits, Verdict};
use crate::inflate::{Encoding, Inflate, InflateError};

/// Why a body was not read to its end.
#[derive(Debug)]
pub(super) struct BodyFailure {
    pub(super) verdict: Verdict,
    pub(super) outcome: Outcome,
}

impl From<Verdict> for BodyFailure {
    fn from(verdict: Verdict) -> Self {
        Self {
            outcome: verdict.outcome(),
            verdict,
        }
    }
}

impl From<InflateError> for BodyFailure {
    fn from(error: InflateError) -> Self {
        match error {
            InflateError::TooLarge(_) => Verdict::TooLarge(error.to_string()).into(),
            InflateError::Corrupt { .. } => Verdict::Malformed(error.to_string()).into(),
        }
    }
}

/// How a message lies in the body.
pub(super) enum Framing {
    /// The body is the message.
    Http,
    /// One message behind gRPC's five bytes: a flag for compression, and the length.
    Grpc(GrpcFrame),
}

#[derive(Default)]
pub(super) struct GrpcFrame {
    prefix: Vec<u8>,
    missing: usize,
}

const GRPC_PREFIX: usize = 5;

/// Reads a whole body within the body timeout.
pub(super) async fn read(
    body: &mut Body,
    framing: Framing,
    encoding: Encoding,
    limits: &ServerLimits,
    room: &mut Room,
) -> Result<Bytes, BodyFailure> {
    let read = read_untimed(body, framing, encoding, limits, room);
    tokio::time::timeout(limits.body_timeout, read)
        .await
        .unwrap_or_else(|_| {
            let reason = format!(
                "request body did not arrive within {:?}",
                limits.body_timeout
            );
            let retry_after = limits.retry_after;
            // Not 408: of the codes below 500, OTLP lets senders repeat 429 alone, and one whose
            // network was slow would throw away what could still arrive.
            Err(BodyFailure {
                verdict: Verdict::Unavailable {
                    retry_after,
                    reason,
                },
                outcome: Outcome::SlowBody,
            })
        })
}

async fn read_untimed(
    body: &mut Body,
    mut framing: Framing,
    encoding: Encoding,
    limits: &ServerLimits,
    room: &mut Room,
) -> Result<Bytes, BodyFailure> {
    let mut inflate = match framing {
        Framing::Http => {
            let mut inflate = Inflate::new(encoding, limits.request_bytes);
            let length = body.size_hint().exact();
            inflate.expect(
                length
                    .and_then(|length| usize::try_from(length).ok())
                    .unwrap_or(0),
            );
            Some(inflate)
        }
        Framing::Grpc(_) => None,
    };
    let mut stream = body.data_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| BodyFailure {
            verdict: Verdict::Malformed(format!("request body broke off: {error}")),
            outcome: Outcome::Aborted,
        })?;
        let mut chunk = &chunk[..];
        if let Framing::Grpc(frame) = &mut framing {
            chunk = frame.strip(chunk, encoding, limits.request_bytes, &mut inflate)?;
        }
        if let Some(inflate) = &mut inflate
            && !chunk.is_empty()
        {
            inflate.push(chunk)?;
            let room = room.resize(inflate.memory());
            room.map_err(|no| Verdict::no_room(no, limits.retry_after))?;
        }
    }
    if let Framing::Grpc(frame) = &framing
        && (inflate.is_none() || frame.missing > 0)
    {
        let verdict = Verdict::Malformed("gRPC message is incomplete".to_owned());
        return Err(verdict.into());
    }
    let bytes = inflate.map_or_else(|| Ok(Vec::new()), Inflate::finish)?;
    // The end of a compressed body may have brought out some more.
    let room = room.resize(bytes.len());
    room.map_err(|no| Verdict::no_room(no, limits.retry_after))?;
    Ok(Bytes::from(bytes))
}

impl GrpcFrame {
    /// Takes the prefix off and returns what of the chunk belongs to the message.
    fn strip<'a>(
        &mut self,
        mut chunk: &'a [u8],
        encoding: Encoding,
        limit: usize,
        inflate: &mut Option<Inflate>,
    ) -> Result<&'a [u8], BodyFailure> {
        if inflate.is_none() {
            let wanted = GRPC_PREFIX - self.prefix.len();
            let (prefix, rest) = chunk.split_at(wanted.min(chunk.len()));
            self.prefix.extend_from_slice(prefix);
            chunk = rest;
            let Ok([flag, length @ ..]) = <[u8; GRPC_PREFIX]>::try_from(&self.prefix[..]) else {
                return Ok(chunk);
            };
            self.missing = u32::from_be_bytes(length) as usize;
            if self.missing > limit {
                return Err(InflateError::TooLarge(limit).into());
            }
            let encoding = match flag {
                0 => Encoding::Identity,
                1 if encoding != Encoding::Identity => encoding,
                _ => {
                    let reason = "gRPC message has a compression flag without a grpc-encoding";
                    return Err(Verdict::Malformed(reason.to_owned()).into());
                }
            };
            let mut inflating = Inflate::new(encoding, limit);
            inflating.expect(self.missing);
            *inflate = Some(inflating);
        }
        if chunk.len() > self.missing {
            let reason = "more than one gRPC message in an export".to_owned();
            return Err(Verdict::Malformed(reason).into());
        }
        self.missing -= chunk.len();
        Ok(chunk)
    }
}

/// Reads on without keeping anything, up to a limit, so that an HTTP/1.1 sender that writes its
/// whole body first gets to read the answer instead of a broken connection.
pub(super) async fn discard(body: &mut Body, limits: &ServerLimits) {
    let mut left = limits.request_bytes;
    let read = async {
        let mut stream = body.data_stream();
        while let Some(Ok(chunk)) = stream.next().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // The answer goes out in either case.
    let _elapsed = tokio::time::timeout(limits.body_timeout, read).await;
}

/// A stream over a body that stays with its owner.
trait DataStream {
    fn data_stream(&mut self) -> http_body_util::BodyDataStream<&mut Body>;
}

impl DataStream for Body {
    fn data_stream(&mut self) -> http_body_util::BodyDataStream<&mut Body> {
        http_body_util::BodyDataStream::new(self)
    }
}
