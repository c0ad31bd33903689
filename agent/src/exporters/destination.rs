//! Where entries go: a collector over the network, or the store in the same process.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use model::{ClockOffset, Signal};
use otlp::client::Outcome;

/// What goes beside the data of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The agent's id (`throughline-agent`).
    pub agent: Arc<str>,
    /// Grows when sequence numbers start over (`throughline-epoch`).
    pub epoch: u64,
    /// Grows by one with each entry of an epoch (`throughline-sequence`).
    pub sequence: u64,
    /// The agent's clock at this attempt (`throughline-sent-unix-nano`).
    pub sent_unix_nano: u64,
    /// Everything that the agent read before this time is acknowledged once this request is
    /// (`throughline-complete-to-unix-nano`).
    pub complete_to_unix_nano: u64,
    /// The collector's clock minus the agent's when the entry was written, once measured
    /// (`throughline-clock-offset-nano`, `throughline-clock-error-nano`).
    pub clock: Option<ClockOffset>,
}

/// Takes requests. Sends may overlap; an answer means that the data is durable.
pub trait Destination: Send + Sync {
    /// Sends one request and says what became of it. Retrying is the caller's business. An empty
    /// request is a heartbeat: what it brings is its stamp.
    fn send(&self, signal: Signal, request: Bytes, stamp: Stamp) -> BoxFuture<'_, Outcome>;
}
