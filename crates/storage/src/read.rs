//! The reading side's one interface.

use futures::stream::BoxStream;

use crate::message::{Limits, Reply, Request};

/// A stream of replies that ends with [`Reply::End`].
pub type Replies = BoxStream<'static, Result<Reply, ReadError>>;

/// Answers requests over stored rows: a store in this process, or a collector elsewhere.
pub trait Read: Send + Sync {
    /// The name under which answers list this source.
    fn name(&self) -> &str;

    /// Starts the work; it goes on while the stream is polled and ends when it is dropped.
    fn execute(&self, request: Request, limits: Limits) -> Replies;
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum ReadError {
    /// The request itself is wrong, for example a pattern that is no regex.
    #[error("{0}")]
    Invalid(String),
    /// The store or the way to it failed; others may still answer.
    #[error("{0}")]
    Unavailable(String),
    /// The rows asked for take more memory than an answer may: so many bytes.
    #[error("the answer takes more than {0} bytes")]
    TooLarge(u64),
    /// More samples match than who asks holds. With some of them sums and counts would be wrong.
    #[error("more than {0} samples match")]
    TooManySamples(usize),
    /// The same of series.
    #[error("more than {0} series match")]
    TooManySeries(usize),
    /// About so many samples match, which is more than who asks wants to be read.
    #[error("about {0} samples match")]
    Foreseen(usize),
}
