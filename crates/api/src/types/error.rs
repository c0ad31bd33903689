//! Body of every 4xx and 5xx answer.

use serde::{Deserialize, Serialize};

/// Body of every 4xx and 5xx answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ApiError,
}

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiError {
    /// `invalid_query`, `invalid_parameter`, `not_found`, `overloaded`, `unavailable`, `timeout`, `internal`.
    pub kind: String,
    /// One sentence.
    pub message: String,
    /// Where in the query it begins, in bytes.
    pub start: Option<usize>,
    /// Where in the query it ends.
    pub end: Option<usize>,
    /// What to do, e.g. the nearest known name.
    pub hint: Option<String>,
}
