//! The roles that run until they are told to stop: build, run, drain.

mod agent;
mod collector;
mod collectors;
mod demo;
mod query;
mod up;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::otlp::server::{ConnectionLimits, Handler, listen};
use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt;

pub(crate) use agent::run as agent;
pub(crate) use collector::run as collector;
pub(crate) use demo::run as demo;
pub(crate) use query::run as query;
pub(crate) use up::run as up;

/// How long answers under way may take once the process is asked to stop. Everything together
/// must end within 25 seconds.
const DRAIN: Duration = Duration::from_secs(5);
/// A process that was asked to stop ends at the latest then, whatever hangs.
const STOP_WITHIN: Duration = Duration::from_secs(24);
/// How long the agent half may go on sending.
const AGENT_DRAIN: Duration = Duration::from_secs(5);

/// Listens on an address; the error names it.
async fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} for {what}"))
}

/// An HTTP server of one port.
struct HttpServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl HttpServer {
    fn start(listener: TcpListener, router: Router) -> std::io::Result<Self> {
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
    async fn stop(self) {
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(DRAIN + Duration::from_secs(1), self.task).await;
    }
}

/// Waits for a signal, or for the end that the caller set.
async fn until(stop: impl Future<Output = ()>) {
    tokio::select! {
        () = crate::stop::asked() => {}
        () = stop => {}
    }
    tracing::info!("stopping");
    std::thread::spawn(|| {
        std::thread::sleep(STOP_WITHIN);
        tracing::error!(
            "not stopped within {} s, ending; what was acknowledged is in the logs of the data \
             folder and is read at the next start",
            STOP_WITHIN.as_secs()
        );
        std::process::exit(1);
    });
}
