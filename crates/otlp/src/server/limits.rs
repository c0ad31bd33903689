//! What a receiver allows.

use std::time::Duration;

use super::ConnectionLimits;

/// Limits of a receiver; each has a default that suits one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// Bytes of one request after decompression.
    pub request_bytes: usize,
    /// Bytes of one response; messages are shortened to fit.
    pub response_bytes: usize,
    /// Bytes of all requests that are being read or handled, after decompression: where a receiver
    /// has a budget of its own.
    pub in_flight_bytes: usize,
    /// Time in which a request's body must arrive.
    pub body_timeout: Duration,
    /// When a sender is asked to come back after the budget was used up or a body was slow.
    pub retry_after: Duration,
    /// Limits of connections.
    pub connections: ConnectionLimits,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            request_bytes: 64 << 20,
            response_bytes: 4 << 20,
            in_flight_bytes: 256 << 20,
            body_timeout: Duration::from_secs(30),
            retry_after: Duration::from_secs(1),
            connections: ConnectionLimits::default(),
        }
    }
}
