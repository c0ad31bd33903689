//! What an answer means: the retry tables of the OTLP specification.

use std::error::Error;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::StatusCode;
use http::header::RETRY_AFTER;
use tonic::Code;

use super::response::Answer;
use crate::response::{PartialSuccess, RpcStatus};
use crate::stamp;

/// A receiver that asks for more time than this is asked again all the same.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// What became of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Taken, but for the rejected rows. Never to be sent again.
    Success {
        /// Rows refused for good.
        rejected: u64,
        /// Why, or a warning; empty for none.
        message: String,
        /// The receiver's clock when the request had arrived, if it says so.
        received_unix_nano: Option<u64>,
        /// The receiver's clock when it answered, if it says so.
        replied_unix_nano: Option<u64>,
    },
    /// Not taken; may be sent again.
    Retryable {
        /// When, if the receiver says so; within minutes, whatever it says.
        after: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// Not taken, and never will be.
    Permanent {
        /// Why.
        reason: String,
    },
    /// Not taken because of its size: parts of it may be.
    TooLarge {
        /// What the receiver says.
        reason: String,
    },
}

impl Outcome {
    /// Success with nothing rejected and no clock readings.
    pub fn accepted() -> Self {
        Self::Success {
            rejected: 0,
            message: String::new(),
            received_unix_nano: None,
            replied_unix_nano: None,
        }
    }

    /// The outcome as a counter's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Success { rejected: 0, .. } => "success",
            Self::Success { .. } => "partial_success",
            Self::Retryable { .. } => "retryable",
            Self::Permanent { .. } => "permanent",
            Self::TooLarge { .. } => "too_large",
        }
    }
}

/// A request that got no answer.
pub(super) fn unsent(error: &reqwest::Error) -> Outcome {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    if error.is_builder() {
        return Outcome::Permanent { reason };
    }
    Outcome::Retryable {
        after: None,
        reason,
    }
}

fn retryable(after: Option<Duration>, reason: String) -> Outcome {
    let after = after.map(|after| after.min(RETRY_AFTER_MAX));
    Outcome::Retryable { after, reason }
}

/// An answer over HTTP: only 429, 502, 503 and 504 may be retried.
pub(super) fn http(answer: &Answer) -> Outcome {
    if answer.status.is_success() {
        return match &answer.body {
            Ok(body) => success(answer, body),
            Err(unread) => success_unread(answer, unread.clone()),
        };
    }
    let body = answer.body.as_deref().unwrap_or_default();
    let detail = RpcStatus::from_protobuf(body)
        .map(|status| status.message)
        .unwrap_or_default();
    let reason = match detail.as_str() {
        "" => format!("HTTP {}", answer.status),
        detail => format!("HTTP {}: {detail}", answer.status),
    };
    match answer.status {
        StatusCode::PAYLOAD_TOO_LARGE => Outcome::TooLarge { reason },
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => retryable(retry_after(answer), reason),
        _ => Outcome::Permanent { reason },
    }
}

/// An answer over gRPC.
pub(super) fn grpc(answer: &Answer) -> Outcome {
    let Some(code) = answer.text("grpc-status") else {
        return grpc_without_status(answer);
    };
    let code = code.parse().map_or(Code::Unknown, Code::from_i32);
    if code == Code::Ok {
        return match &answer.body {
            Ok(body) => success(answer, body.get(5..).unwrap_or_default()),
            Err(unread) => success_unread(answer, unread.clone()),
        };
    }
    let details = answer.text("grpc-status-details-bin").and_then(|text| {
        let config =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let bytes = GeneralPurpose::new(&alphabet::STANDARD, config)
            .decode(text)
            .ok()?;
        RpcStatus::from_protobuf(&bytes).ok()
    });
    let after = details.as_ref().and_then(|status| status.retry_after);
    let message = details
        .map(|status| status.message)
        .filter(|message| !message.is_empty());
    let message = message
        .or_else(|| answer.text("grpc-message").map(percent_decode))
        .unwrap_or_else(|| code.description().to_owned());
    let reason = format!("gRPC {code:?}: {message}");
    match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => retryable(after, reason),
        Code::ResourceExhausted if after.is_some() => retryable(after, reason),
        Code::ResourceExhausted => Outcome::TooLarge { reason },
        _ => Outcome::Permanent { reason },
    }
}

/// Something between us and the receiver answered, or the connection ended early.
fn grpc_without_status(answer: &Answer) -> Outcome {
    let reason = format!("HTTP {} without a grpc-status", answer.status);
    match answer.status {
        StatusCode::PAYLOAD_TOO_LARGE => Outcome::TooLarge { reason },
        StatusCode::OK
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => retryable(retry_after(answer), reason),
        _ => Outcome::Permanent { reason },
    }
}

fn success(answer: &Answer, body: &[u8]) -> Outcome {
    // Some receivers answer 200 with a body of their own; the rows are taken all the same.
    let partial = PartialSuccess::from_protobuf(body).unwrap_or_default();
    let number = |name| answer.text(name).and_then(|text| text.parse().ok());
    Outcome::Success {
        rejected: partial.rejected,
        message: partial.message,
        received_unix_nano: number(stamp::RECEIVED),
        replied_unix_nano: number(stamp::REPLIED),
    }
}

fn success_unread(answer: &Answer, unread: String) -> Outcome {
    match success(answer, &[]) {
        Outcome::Success {
            rejected,
            received_unix_nano,
            replied_unix_nano,
            ..
        } => Outcome::Success {
            rejected,
            message: unread,
            received_unix_nano,
            replied_unix_nano,
        },
        other => other,
    }
}

/// Retry-After in both forms: seconds, and a date.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let text = answer.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let coded = (*first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(coded.unwrap_or(*first));
        rest = if coded.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
