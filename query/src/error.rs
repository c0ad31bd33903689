//! Why a query has no answer. One place maps the kinds to HTTP codes.

use std::fmt;

use api::ApiError;
use storage::read::ReadError;

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The query text is wrong: fix it.
    InvalidQuery,
    /// Another parameter is wrong: fix it.
    InvalidParameter,
    /// There is no such thing.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The answer would be larger than allowed: ask for less.
    TooLarge,
    /// The same of about so many samples, at least.
    TooManySamples(usize),
    /// Too much is asked at once: try again later.
    Overloaded,
    /// No source of data answered: try again later.
    Unavailable,
    /// The time limit was reached before there was anything to answer.
    Timeout,
    /// A fault of this program.
    Internal,
}

impl ErrorKind {
    /// The kind as it stands in an error body.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::InvalidQuery => "invalid_query",
            ErrorKind::InvalidParameter => "invalid_parameter",
            ErrorKind::NotFound => "not_found",
            ErrorKind::MethodNotAllowed => "method_not_allowed",
            ErrorKind::TooLarge | ErrorKind::TooManySamples(_) => "too_large",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Internal => "internal",
        }
    }

    /// The HTTP status code of an answer with this error.
    pub fn status(self) -> http::StatusCode {
        match self {
            ErrorKind::InvalidQuery | ErrorKind::InvalidParameter => http::StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => http::StatusCode::NOT_FOUND,
            ErrorKind::MethodNotAllowed => http::StatusCode::METHOD_NOT_ALLOWED,
            ErrorKind::TooLarge | ErrorKind::TooManySamples(_) => {
                http::StatusCode::UNPROCESSABLE_ENTITY
            }
            ErrorKind::Overloaded => http::StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Unavailable => http::StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Timeout => http::StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Internal => http::StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An error with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    /// What the caller can do.
    pub kind: ErrorKind,
    /// One sentence.
    pub message: String,
    /// First and one past the last byte of the query text that it is about.
    pub span: Option<(usize, usize)>,
    /// What to write instead, or what else helps.
    pub hint: Option<String>,
}

impl QueryError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            span: None,
            hint: None,
        }
    }

    /// A wrong parameter.
    pub fn parameter(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParameter, message)
    }

    /// Nothing there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// The same error with a hint if it has none.
    #[must_use]
    pub fn or_hint(self, hint: &str) -> Self {
        if self.hint.is_some() {
            return self;
        }
        self.hint(hint)
    }

    /// The same error with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error as the API's JSON shape.
    pub fn to_api(&self) -> ApiError {
        ApiError {
            kind: self.kind.name().to_owned(),
            message: self.message.clone(),
            start: self.span.map(|(start, _)| start),
            end: self.span.map(|(_, end)| end),
            hint: self.hint.clone(),
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some((start, end)) = self.span {
            write!(f, " at {start}..{end}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for QueryError {}

impl From<ReadError> for QueryError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Invalid(message) => Self::new(ErrorKind::InvalidQuery, message),
            ReadError::TooLarge(most) => crate::sources::too_large(most),
            ReadError::TooManySamples(most) => {
                let message = format!(
                    "query processing would load too many samples into memory in query execution \
                     (the limit is {most})"
                );
                Self::new(ErrorKind::TooManySamples(most), message)
                    .hint("narrow the selectors or the range, or raise limits.query_samples")
            }
            ReadError::Foreseen(samples) => Self::new(
                ErrorKind::TooManySamples(samples),
                format!("about {samples} samples match"),
            ),
            ReadError::TooManySeries(most) => {
                let message = format!("a selector matches too many series (the limit is {most})");
                Self::new(ErrorKind::TooLarge, message)
                    .hint("narrow the selectors, or raise limits.query_selected_series")
            }
            ReadError::Unavailable(message) => Self::new(ErrorKind::Unavailable, message),
        }
    }
}
