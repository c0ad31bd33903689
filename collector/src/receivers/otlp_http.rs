//! OTLP over HTTP, in protobuf and JSON, with the pages that tell how the collector is doing, and
//! the routes of other protocols.

use std::sync::Arc;

use otlp::server::{Receiver, Route, Status};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Serves until `stop` says so, then answers what is in flight.
pub fn start(
    receiver: Receiver,
    listener: TcpListener,
    status: Arc<dyn Status>,
    routes: Vec<Route>,
    mut stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        // An error means that the sender of the signal is gone, which is a stop as well.
        let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
        receiver
            .serve_http_with(listener, status, routes, stopped)
            .await;
    })
}
