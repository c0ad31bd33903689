//! The writing side's messages.

use bytes::Bytes;
use model::row::{DecodeError, Reject};
use model::{ClockOffset, Signal, Tenant};

/// One OTLP export request to be stored.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Whose rows.
    pub tenant: Tenant,
    /// Which signal.
    pub signal: Signal,
    /// The request in protobuf, decompressed.
    pub request: Bytes,
    /// The agent's stamp, if one of our agents sent it.
    pub stamp: Option<Stamp>,
}

/// What an agent stamps on an export, so that a retry after a lost answer changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The agent's id.
    pub agent: String,
    /// Grows with each fresh start of the agent's queue.
    pub epoch: u64,
    /// Grows by one with each export of an epoch.
    pub sequence: u64,
    /// The agent's clock when it sent, unix nanoseconds; 0 where not said.
    pub sent_unix_nano: u64,
    /// Before this time the agent has had everything acknowledged that it read; 0 where not said.
    pub complete_to_unix_nano: u64,
    /// How far the agent's clock was off when it put the batch together, once measured. Kept
    /// with every row.
    pub clock: Option<ClockOffset>,
}

/// The batch is durable and answers queries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ack {
    /// Rows stored.
    pub accepted: u64,
    /// Rows refused for good, by reason.
    pub rejected: Vec<(Reject, u64)>,
    /// The batch had been acknowledged before; nothing was stored again.
    pub duplicate: bool,
}

/// The batch was not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It is not an OTLP request: never send it again.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// Not now; send it again after the delay.
    #[error("{reason}")]
    Retry {
        /// What is in the way.
        reason: String,
        /// When it may be gone.
        after_ms: u64,
    },
    /// The store is shutting down; send it again elsewhere or later.
    #[error("the store is shutting down")]
    Closed,
}
