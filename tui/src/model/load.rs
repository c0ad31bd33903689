//! A value that is asked for: what is known of it, whether an answer is under way, what failed.
//!
//! The last good value stays while a newer one is under way or after it failed, so that a screen
//! dims what it has instead of going blank.

use api::{ClientError, Completeness};

/// Why there is no newer value, in words for the screen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failure {
    /// One sentence.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Bytes of the query that it is about.
    pub at: Option<(usize, usize)>,
    /// Whether the server itself is away, so that the same request may succeed when it is back.
    pub away: bool,
}

impl From<&ClientError> for Failure {
    fn from(error: &ClientError) -> Self {
        match error {
            ClientError::Api { error, .. } => Self {
                message: if error.message.is_empty() {
                    error.kind.clone()
                } else {
                    error.message.clone()
                },
                hint: error.hint.clone(),
                away: is_away(&error.kind),
                at: error.start.map(|start| (start, error.end.unwrap_or(start))),
            },
            ClientError::Unreachable { reason, .. } => Self {
                message: reason.clone(),
                away: true,
                ..Self::default()
            },
            other => Self {
                message: other.to_string(),
                away: matches!(
                    other,
                    ClientError::Interrupted { .. }
                        | ClientError::Status {
                            status: 502..=504,
                            ..
                        }
                ),
                ..Self::default()
            },
        }
    }
}

/// Whether an error of the server says that it is about to go, or has nothing to ask.
fn is_away(kind: &str) -> bool {
    kind == "unavailable"
}

/// Something asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Load<T> {
    /// The last good value.
    pub value: Option<T>,
    /// What that value said about itself.
    pub completeness: Completeness,
    /// Whether an answer is under way.
    pub pending: bool,
    /// Why the last request failed.
    pub failure: Option<Failure>,
    /// Number of the last request; answers to earlier ones are stale.
    pub generation: u64,
}

impl<T> Default for Load<T> {
    fn default() -> Self {
        Self {
            value: None,
            completeness: Completeness::default(),
            pending: false,
            failure: None,
            generation: 0,
        }
    }
}

impl<T> Load<T> {
    /// Notes that a request is sent, and gives it its number.
    pub fn begin(&mut self, generation: u64) {
        self.pending = true;
        self.generation = generation;
    }

    /// Whether an answer to this request is still wanted.
    pub fn expects(&self, generation: u64) -> bool {
        self.pending && self.generation == generation
    }

    /// Takes the answer.
    pub fn finish(&mut self, answer: Result<(T, Completeness), Failure>) {
        self.pending = false;
        match answer {
            Ok((value, completeness)) => {
                self.value = Some(value);
                self.completeness = completeness;
                self.failure = None;
            }
            Err(failure) => self.failure = Some(failure),
        }
    }
}
