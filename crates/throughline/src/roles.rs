//! The roles that run until they are told to stop: build, run, drain.

mod agent;
mod collector;
mod collectors;
mod demo;
mod destinations;
mod http_server;
mod lookup;
mod query;
mod up;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use ::env::Failure;
use anyhow::Context;
use futures::future::{pending, select_all};
use tokio::net::TcpListener;

pub(crate) use agent::run as agent;
pub(crate) use collector::run as collector;
pub(crate) use demo::run as demo;
pub(crate) use query::run as query;
pub(crate) use up::run as up;

use http_server::HttpServer;

/// Once the process is asked to stop, everything that answers does so for this long at most, all
/// of it at the same time.
const DRAIN: Duration = Duration::from_secs(5);
/// A process that was asked to stop ends at the latest then, whatever hangs.
const STOP_WITHIN: Duration = Duration::from_secs(24);

/// A part of the process cannot go on, and so the process does not.
#[derive(Debug, thiserror::Error)]
#[error("ended because it could not go on: {reason}")]
pub(crate) struct Failed {
    reason: String,
}

impl Failed {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// Listens on an address; the error names it.
async fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} for {what}"))
}

/// The address by which others reach a listener. One that listens on every interface is named by
/// its host.
fn reached_at(listener: SocketAddr) -> String {
    if !listener.ip().is_unspecified() {
        return listener.to_string();
    }
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    format!("{host}:{}", listener.port())
}

/// Waits until a part of the process fails; for ever if none can.
async fn failed(parts: Vec<Failure>) -> Failed {
    if parts.is_empty() {
        return pending().await;
    }
    let reasons = parts
        .into_iter()
        .map(|mut part| Box::pin(async move { part.reason().await }));
    let (reason, _, _) = select_all(reasons).await;
    Failed::new(reason)
}

/// Waits for a signal, for the end that the caller set, or until a part of the process fails,
/// which is the error. Either way the process has to stop from then on.
async fn until(end: impl Future<Output = ()>, parts: Vec<Failure>) -> Result<(), Failed> {
    let ended = ended(end, parts).await;
    match &ended {
        Ok(()) => tracing::info!("stopping"),
        Err(failed) => tracing::error!(reason = failed.reason, "stopping: a part cannot go on"),
    }
    std::thread::spawn(|| {
        std::thread::sleep(STOP_WITHIN);
        tracing::error!(
            "not stopped within {} s, ending; what was acknowledged is in the logs of the data \
             folder and is read at the next start",
            STOP_WITHIN.as_secs()
        );
        std::process::exit(1);
    });
    ended
}

async fn ended(end: impl Future<Output = ()>, parts: Vec<Failure>) -> Result<(), Failed> {
    tokio::select! {
        () = crate::stop::asked() => Ok(()),
        () = end => Ok(()),
        failed = failed(parts) => Err(failed),
    }
}

#[cfg(test)]
mod tests;
