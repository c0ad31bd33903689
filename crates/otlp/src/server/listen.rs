//! Connections: accepting, limits, and a drain in bounded time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::crowd::{BusyBody, Crowd, Place};

/// Answers one request.
pub type Handler = Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Limits of the connections of one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at once; one more takes the place of the one that is idle for the longest.
    pub connections: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// Time in which a header must arrive. On HTTP/1.1 it runs between requests too, so that it
    /// also bounds how long an idle connection is kept.
    pub header_timeout: Duration,
    /// How long an answer may wait for its peer to take more of it where another connection wants
    /// the place.
    pub answer_patience: Duration,
    /// How long answers to what is in flight may take after shutdown began.
    pub drain_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            streams: 128,
            // Longer than the minute after which many exporters send their metrics again.
            header_timeout: Duration::from_secs(75),
            answer_patience: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Windows large enough that a batch of a few MiB does not wait for window updates.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// A batch in frames of the protocol's own size, 16 KiB, is four times as many of them for both ends.
const FRAME_BYTES: u32 = 64 << 10;
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// A pause after a failed accept: when file descriptors run out, trying at once burns a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves HTTP/1.1 and HTTP/2 until `shutdown`, then answers what is in flight and returns, at
/// the latest after the drain timeout.
pub async fn listen(
    listener: TcpListener,
    handler: Handler,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()> + Send,
) {
    let crowd = Crowd::new(limits.connections, limits.answer_patience);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = async {
            let (stream, _) = listener.accept().await?;
            Ok::<_, std::io::Error>((stream, crowd.enter().await))
        };
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, place)) => {
                let handler = Arc::clone(&handler);
                connections.spawn(serve(stream, place, handler, limits, graceful.watcher()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    if tokio::time::timeout(limits.drain_timeout, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "closing connections that did not drain"
        );
    }
}

async fn serve(
    stream: TcpStream,
    place: Place,
    handler: Handler,
    limits: ConnectionLimits,
    watcher: Watcher,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let requests = place.requests();
    let service = service_fn(move |request: Request<Incoming>| {
        let busy = requests.begin();
        let response = handler(request.map(Body::new));
        async move {
            let response = response.await;
            Ok::<_, Infallible>(response.map(|body| BusyBody::new(body, busy)))
        }
    });
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    // The header timeout begins once the protocol is known; before that, and on HTTP/2, a
    // connection on which no request ever comes is closed here.
    let silent = async {
        tokio::time::sleep(limits.header_timeout).await;
        if place.ever_active() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        result = watcher.watch(connection) => {
            if let Err(error) = result {
                tracing::debug!(error, "connection ended with an error");
            }
        }
        () = silent => tracing::debug!("closing a connection without a request"),
        () = place.wanted() => tracing::debug!("closing an idle connection for a new one"),
    }
}
