//! Binds an exporter to a collector over the network.

use bytes::Bytes;
use futures::future::BoxFuture;
use model::Signal;
use otlp::client::{Client, Outcome};
use otlp::stamp::StampHeaders;

use super::destination::{Destination, Stamp};

impl Destination for Client {
    fn send(&self, signal: Signal, request: Bytes, stamp: Stamp) -> BoxFuture<'_, Outcome> {
        let headers = StampHeaders {
            agent: stamp.agent.to_string(),
            epoch: stamp.epoch,
            sequence: stamp.sequence,
            sent_unix_nano: stamp.sent_unix_nano,
            complete_to_unix_nano: stamp.complete_to_unix_nano,
            clock: stamp.clock,
        };
        Box::pin(async move { Client::send(self, signal, request, Some(&headers)).await })
    }
}
