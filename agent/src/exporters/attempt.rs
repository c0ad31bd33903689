//! One request to a destination: sent, timed, and given up after a while.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::Env;
use model::Signal;

use super::Outcome;
use super::destination::{Destination, Stamp};
use crate::clock::Exchange;

/// Sends to one destination.
#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) env: Env,
    pub(super) destination: Arc<dyn Destination>,
    /// An answer that takes longer counts as none.
    pub(super) timeout: Duration,
}

impl Attempt {
    /// Sends a request, with the time of sending in its stamp. Both sides' clock readings come with
    /// the outcome; the collector's are 0 where it did not give them.
    pub(super) async fn send(
        self,
        signal: Signal,
        request: Bytes,
        stamp: Stamp,
    ) -> (Outcome, Exchange) {
        let sent = self.env.clock.unix_nanos();
        let stamp = Stamp {
            sent_unix_nano: sent,
            ..stamp
        };
        let sending = self.destination.send(signal, request, stamp);
        let outcome = tokio::time::timeout(self.timeout, sending).await;
        let outcome = outcome.unwrap_or_else(|_| Outcome::Retryable {
            after: None,
            reason: format!("no answer within {:?}", self.timeout),
        });
        let answered = self.env.clock.unix_nanos();
        let (received, replied) = match &outcome {
            Outcome::Success {
                received_unix_nano: Some(received),
                replied_unix_nano: Some(replied),
                ..
            } => (*received, *replied),
            _ => (0, 0),
        };
        let exchange = Exchange {
            sent,
            received,
            replied,
            answered,
        };
        (outcome, exchange)
    }
}
