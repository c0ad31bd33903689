//! The one place that maps what became of an export to gRPC and HTTP codes.

use std::time::Duration;

use http::StatusCode;
use model::room::NoRoom;
use tonic::Code;

use super::Outcome;
use crate::response::{PartialSuccess, RpcStatus};

/// What became of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Stored, but for the rejected rows.
    Accepted {
        /// Rows refused for good.
        rejected: u64,
        /// Why, or a warning; empty for none.
        message: String,
    },
    /// It can never be stored.
    Malformed(String),
    /// It is over a size limit and can never be stored as it is.
    TooLarge(String),
    /// Too much at once.
    Overloaded {
        /// When to come back.
        retry_after: Duration,
        /// What there was too much of.
        reason: String,
    },
    /// Not now.
    Unavailable {
        /// When to come back.
        retry_after: Duration,
        /// What is in the way.
        reason: String,
    },
    /// The sender may not write here.
    Unauthenticated(String),
}

/// The longest error text in a status: gRPC carries it in a header, and clients limit those.
const STATUS_TEXT_MAX: usize = 2048;

impl Verdict {
    /// Everything is stored.
    pub const STORED: Verdict = Verdict::Accepted {
        rejected: 0,
        message: String::new(),
    };

    /// There is no memory for an export: never, or not now.
    pub fn no_room(no: NoRoom, retry_after: Duration) -> Self {
        let reason = no.to_string();
        match no {
            NoRoom::Never(_) => Verdict::TooLarge(reason),
            NoRoom::Now(_) => Verdict::Overloaded {
                retry_after,
                reason,
            },
        }
    }

    /// The HTTP status of a verdict that is not a success, with the reason and when to come back.
    pub fn failure(self, response_bytes: usize) -> Option<(StatusCode, String, Option<Duration>)> {
        let failure = self.answer(response_bytes).err()?;
        Some((failure.http, failure.message, failure.retry_after))
    }

    /// The success message, or the failure.
    pub(crate) fn answer(self, response_bytes: usize) -> Result<PartialSuccess, Failure> {
        let (code, http, message, retry_after) = match self {
            Verdict::Accepted { rejected, message } => {
                // In JSON a character may take six bytes.
                let message = shorten(message, response_bytes / 8);
                return Ok(PartialSuccess { rejected, message });
            }
            Verdict::Malformed(reason) => {
                (Code::InvalidArgument, StatusCode::BAD_REQUEST, reason, None)
            }
            Verdict::TooLarge(reason) => (
                Code::ResourceExhausted,
                StatusCode::PAYLOAD_TOO_LARGE,
                reason,
                None,
            ),
            Verdict::Overloaded {
                retry_after,
                reason,
            } => (
                Code::Unavailable,
                StatusCode::TOO_MANY_REQUESTS,
                reason,
                Some(retry_after),
            ),
            Verdict::Unavailable {
                retry_after,
                reason,
            } => (
                Code::Unavailable,
                StatusCode::SERVICE_UNAVAILABLE,
                reason,
                Some(retry_after),
            ),
            Verdict::Unauthenticated(reason) => (
                Code::Unauthenticated,
                StatusCode::UNAUTHORIZED,
                reason,
                None,
            ),
        };
        let message = shorten(message, STATUS_TEXT_MAX.min(response_bytes / 8));
        Err(Failure {
            code,
            http,
            message,
            retry_after,
        })
    }

    /// How it is counted.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Verdict::Accepted { rejected: 0, .. } => Outcome::Accepted,
            Verdict::Accepted { .. } => Outcome::Partial,
            Verdict::Malformed(_) => Outcome::Malformed,
            Verdict::TooLarge(_) => Outcome::TooLarge,
            Verdict::Overloaded { .. } => Outcome::Overloaded,
            Verdict::Unavailable { .. } => Outcome::Unavailable,
            Verdict::Unauthenticated(_) => Outcome::Unauthenticated,
        }
    }
}

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) http: StatusCode,
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    /// A request that is not for us: wrong path, method or type.
    pub(crate) fn unsupported(code: Code, http: StatusCode, message: impl Into<String>) -> Self {
        let message = shorten(message.into(), STATUS_TEXT_MAX);
        Self {
            code,
            http,
            message,
            retry_after: None,
        }
    }

    /// The failure as `google.rpc.Status`.
    pub(crate) fn status(&self) -> RpcStatus {
        RpcStatus {
            code: self.code as i32,
            message: self.message.clone(),
            retry_after: self.retry_after,
        }
    }
}

/// Cuts a text at a character boundary.
fn shorten(mut text: String, bytes_max: usize) -> String {
    const MARK: &str = " (shortened)";
    if text.len() > bytes_max {
        let mut end = bytes_max.saturating_sub(MARK.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(MARK);
    }
    text
}
