//! Requests of other protocols than OTLP: within the same limits and the same budget, and counted
//! with the rest.

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use model::Signal;

use super::body::{self, Framing};
use super::http::Record;
use super::{Handler, Outcome, Receiver, Transport, Verdict};
use crate::inflate::Encoding;

/// A path that something else than OTLP answers.
#[derive(Clone)]
pub struct Route {
    /// The path, exactly.
    pub path: &'static str,
    /// What answers.
    pub handler: Handler,
}

impl Receiver {
    /// Reads a body as it was sent, hands it to `work`, and counts what became of it. An error is
    /// what the sender is to hear.
    pub async fn receive<T>(
        &self,
        signal: Signal,
        transport: Transport,
        headers: &HeaderMap,
        mut body: Body,
        work: impl AsyncFnOnce(Bytes) -> Result<T, Verdict>,
    ) -> Result<T, Verdict> {
        let shared = &self.shared;
        let mut record = Record::new(&shared.counters, signal, transport);
        let mut room = shared.budget.room(usize::MAX);
        let read = match super::http::over_long(headers, &shared.limits) {
            Some(verdict) => Err(verdict.into()),
            None => {
                let plain = Encoding::Identity;
                body::read(&mut body, Framing::Http, plain, &shared.limits, &mut room).await
            }
        };
        let result = match read {
            Ok(request) => {
                let length = request.len();
                let result = work(request).await;
                let outcome = match &result {
                    Ok(_) => Outcome::Accepted,
                    Err(verdict) => verdict.outcome(),
                };
                record.done(outcome, length);
                result
            }
            Err(failure) => {
                record.done(failure.outcome, 0);
                Err(failure.verdict)
            }
        };
        if let Err(Verdict::TooLarge(_) | Verdict::Overloaded { .. }) = &result {
            body::discard(&mut body, &shared.limits).await;
        }
        result
    }

    /// Counts a request that is not of its protocol, and reads its body so that its sender gets to
    /// see the answer.
    pub async fn refuse(&self, signal: Signal, transport: Transport, mut body: Body) {
        self.shared
            .counters
            .add(signal, transport, Outcome::Unsupported, 0);
        body::discard(&mut body, &self.shared.limits).await;
    }
}
