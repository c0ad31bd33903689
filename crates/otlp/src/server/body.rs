//! Reading bodies: inflated as they arrive, within the limits of one request and of all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;

use super::{Outcome, ServerLimits, Verdict};
use crate::inflate::{Encoding, Inflate, InflateError};

/// Bytes of request bodies that may be held at once.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of this many bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
        }
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn hold(self: &Arc<Self>) -> Held {
        Held {
            budget: Arc::clone(self),
            bytes: 0,
        }
    }
}

/// Bytes taken from a budget until dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    /// Holds `bytes` in all, more or fewer than before. False where the budget has no more.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let used = self.budget.used.fetch_add(more, Ordering::Relaxed) + more;
            if used > self.budget.limit {
                self.budget.used.fetch_sub(more, Ordering::Relaxed);
                return false;
            }
        } else {
            self.budget
                .used
                .fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        true
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

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
    held: &mut Held,
) -> Result<Bytes, BodyFailure> {
    let read = read_untimed(body, framing, encoding, limits, held);
    tokio::time::timeout(limits.body_timeout, read)
        .await
        .unwrap_or_else(|_| {
            let reason = format!(
                "request body did not arrive within {:?}",
                limits.body_timeout
            );
            let retry_after = limits.retry_after;
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
    held: &mut Held,
) -> Result<Bytes, BodyFailure> {
    let mut inflate = match framing {
        Framing::Http => Some(Inflate::new(encoding, limits.request_bytes)?),
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
            if !held.resize(inflate.len()) {
                return Err(Verdict::Overloaded {
                    retry_after: limits.retry_after,
                    reason: format!(
                        "{} bytes of requests are in flight, and no more are allowed",
                        limits.in_flight_bytes
                    ),
                }
                .into());
            }
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
    held.resize(bytes.len());
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
            *inflate = Some(Inflate::new(encoding, limit)?);
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
