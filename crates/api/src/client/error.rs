//! What can go wrong between a caller and the query service.

use std::time::Duration;

use crate::types::ApiError;

/// Longest excerpt of a body that is not ours, in characters.
const EXCERPT_CHARS: usize = 200;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The base URL cannot be used.
    #[error("invalid url {url:?}: {reason}")]
    InvalidUrl {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing answers at the address.
    #[error("cannot reach the query service at {url}: {reason}")]
    Unreachable {
        /// The base URL.
        url: String,
        /// What the connection said.
        reason: String,
    },
    /// No complete answer within the deadline.
    #[error("no answer within {} s", after.as_secs_f64())]
    Timeout {
        /// The deadline.
        after: Duration,
    },
    /// The connection broke before the answer was complete.
    #[error("the connection broke: {reason}")]
    Interrupted {
        /// What the connection said.
        reason: String,
    },
    /// The server refused, and said why.
    #[error("{}", describe(error))]
    Api {
        /// HTTP status; 200 for an error event within a tail.
        status: u16,
        /// The server's words, with the position in the query.
        error: ApiError,
    },
    /// An HTTP error that is not one of ours: another server, or a proxy between.
    #[error("http status {status}: {body}")]
    Status {
        /// HTTP status.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
    /// What arrived is no answer of this API.
    #[error("invalid answer from {endpoint}: {reason}")]
    InvalidAnswer {
        /// Path asked.
        endpoint: String,
        /// What does not fit.
        reason: String,
    },
    /// The answer is larger than the limit.
    #[error("the answer is larger than {limit_bytes} bytes: narrow the query or the time range")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
}

impl ClientError {
    /// The server's own error, where there is one.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Interrupted { .. } => true,
            Self::Api { status, error } => {
                is_passing(*status)
                    // An error within a tail has no status of its own.
                    || matches!(error.kind.as_str(), "overloaded" | "unavailable" | "timeout")
            }
            Self::Status { status, .. } => is_passing(*status),
            Self::InvalidUrl { .. } | Self::InvalidAnswer { .. } | Self::TooLarge { .. } => false,
        }
    }
}

fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}

fn describe(error: &ApiError) -> String {
    match &error.hint {
        Some(hint) => format!("{}: {} ({hint})", error.kind, error.message),
        None => format!("{}: {}", error.kind, error.message),
    }
}

/// An error with its causes: reqwest's own message alone rarely says what happened.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

/// The first cause of an error: of a failed connection only that tells something new.
pub(crate) fn root(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

/// The beginning of a foreign body on one line.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String = text
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(EXCERPT_CHARS)
        .collect();
    let trimmed = line.trim();
    if trimmed.is_empty() {
        "no body".to_owned()
    } else {
        trimmed.to_owned()
    }
}
