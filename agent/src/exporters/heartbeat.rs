//! What an agent says while it has nothing to send: that it is there, and up to when it is
//! complete. Without that nobody could tell an agent without news from one that is gone.
//!
//! A heartbeat is an export without rows. It takes no number: its stamp has epoch and sequence 0.
//! The last one of an agent that stops with nothing left to send is its goodbye.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use model::Signal;
use otlp::stamp::COMPLETE_FOR_EVER;
use tokio::time::Instant;

use super::Outcome;
use super::attempt::Attempt;
use super::destination::Stamp;
use crate::clock::Exchange;

/// A goodbye must not hold the end of the process.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// The heartbeats to one destination.
pub(super) struct Heartbeat {
    agent: Arc<str>,
    attempt: Attempt,
    interval: Duration,
    due: Instant,
    under_way: Option<BoxFuture<'static, (Outcome, Exchange)>>,
}

impl Heartbeat {
    /// The first is due at once, so that the collector knows of the agent.
    pub(super) fn new(agent: Arc<str>, attempt: Attempt, interval: Duration) -> Self {
        Self {
            agent,
            attempt,
            interval,
            due: Instant::now(),
            under_way: None,
        }
    }

    /// When the next one is due; never while one is under way.
    pub(super) fn due(&self) -> Option<Instant> {
        self.under_way.is_none().then_some(self.due)
    }

    /// Something else told the collector what a heartbeat would.
    pub(super) fn postpone(&mut self) {
        self.due = Instant::now() + self.interval;
    }

    /// Sends one that says that everything before this time is acknowledged.
    pub(super) fn start(&mut self, complete_to_unix_nano: u64) {
        self.postpone();
        let sending = self.send(complete_to_unix_nano);
        self.under_way = Some(sending);
    }

    fn send(&self, complete_to_unix_nano: u64) -> BoxFuture<'static, (Outcome, Exchange)> {
        let stamp = Stamp {
            agent: Arc::clone(&self.agent),
            epoch: 0,
            sequence: 0,
            sent_unix_nano: 0,
            complete_to_unix_nano,
            clock: None,
        };
        let attempt = self.attempt.clone();
        attempt.send(Signal::Logs, Bytes::new(), stamp).boxed()
    }

    /// The answer to the one under way; pending for ever without one. May be dropped and asked for
    /// again.
    pub(super) async fn answer(&mut self) -> (Outcome, Exchange) {
        let Some(under_way) = &mut self.under_way else {
            return std::future::pending().await;
        };
        let answer = under_way.await;
        self.under_way = None;
        answer
    }

    /// Says that the agent stops and that nothing of it is missing.
    pub(super) async fn goodbye(mut self) {
        let goodbye = async {
            if self.under_way.is_some() {
                // Should it arrive later, it would take the goodbye back.
                self.answer().await;
            }
            self.send(COMPLETE_FOR_EVER).await
        };
        match tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await {
            Ok((Outcome::Success { .. }, _)) => {}
            Ok((outcome, _)) => tracing::debug!(?outcome, "the collector did not take the goodbye"),
            Err(_) => tracing::debug!("no answer to the goodbye"),
        }
    }
}
