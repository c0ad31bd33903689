//! An HTTP server of one port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use otlp::server::{ConnectionLimits, Handler, listen};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::DRAIN;

/// The port of the query service.
pub(super) struct HttpServer {
    pub(super) address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Serves at most so many connections at once.
    pub(super) fn start(
        listener: TcpListener,
        router: Router,
        connections: usize,
    ) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, mut stopped) = watch::channel(false);
        let handler: Handler = Arc::new(move |request| {
            let router = router.clone();
            Box::pin(async move {
                match router.oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            })
        });
        let limits = ConnectionLimits {
            connections,
            drain_timeout: DRAIN,
            ..ConnectionLimits::default()
        };
        let task = tokio::spawn(async move {
            let shutdown = async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            listen(listener, handler, limits, shutdown).await;
        });
        Ok(Self {
            address,
            stop,
            task,
        })
    }

    /// Refuses new connections, lets answers end, and returns at the latest after the drain
    /// timeout.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(DRAIN + Duration::from_secs(1), self.task).await;
    }
}
