//! `collector`: takes OTLP, stores it, serves it to query processes.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use collector::{Collector, Listeners};
use config::Config;
use env::Env;
use storage::Store;

use super::{bind, until};
use crate::cli::Role;
use crate::endpoints::Endpoints;
use crate::options;

/// A store and the collector in front of it.
pub(super) struct Gateway {
    pub store: Store,
    pub collector: Collector,
}

impl Gateway {
    /// Opens the data folder and begins to listen.
    pub(super) async fn start(config: &Config, env: &Env, name: String) -> anyhow::Result<Self> {
        let dir = config.data_dir.clone();
        let store_options = options::store(config, name);
        let opening = {
            let env = env.clone();
            move || Store::open(env, &dir, store_options, Arc::new(otlp::decode::Decoder))
        };
        // Replaying a WAL takes as long as it is.
        let store = tokio::task::spawn_blocking(opening).await?.context("cannot open the store")?;
        let listen = &config.listen;
        let listeners = Listeners {
            otlp_grpc: bind(listen.otlp_grpc, "OTLP over gRPC").await?,
            otlp_http: bind(listen.otlp_http, "OTLP over HTTP").await?,
            internal: Some(bind(listen.internal, "query processes").await?),
        };
        let collector = Collector::start(
            collector::Options::from_config(&config.limits),
            Arc::new(store.clone()),
            Arc::new(store.clone()),
            env.clock.clone(),
            listeners,
        )?;
        Ok(Self { store, collector })
    }

    /// Answers what is in flight, then writes everything to files.
    pub(super) async fn stop(self) {
        self.collector.shutdown().await;
        self.store.shutdown().await;
    }
}

/// A name under which answers list this collector: where its internal port is.
pub(super) fn name(config: &Config) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    match config.listen.internal.port() {
        // The system has yet to choose the port; the folder tells collectors of a host apart.
        0 => format!("{host}:{}", folder(&config.data_dir)),
        port => format!("{host}:{port}"),
    }
}

fn folder(dir: &Path) -> String {
    dir.file_name().map_or_else(|| ".".to_owned(), |name| name.to_string_lossy().into_owned())
}

pub(crate) async fn run(role: &Role) -> anyhow::Result<()> {
    let config = options::load(role)?;
    let env = Env::real();
    Endpoints::clear(&config.data_dir)?;
    let gateway = Gateway::start(&config, &env, name(&config)).await?;
    let addresses = gateway.collector.addresses();
    Endpoints {
        otlp_grpc: Some(addresses.otlp_grpc),
        otlp_http: Some(addresses.otlp_http),
        query: None,
        internal: addresses.internal,
    }
    .publish(&config.data_dir)?;
    until(std::future::pending()).await;
    gateway.stop().await;
    Ok(())
}
