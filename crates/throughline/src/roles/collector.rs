//! `collector`: takes OTLP, stores it, serves it to query processes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use collector::{Collector, Listeners};
use config::Config;
use env::Env;
use storage::Store;
use tokio::task::JoinHandle;

use super::{bind, until};
use crate::cli::Role;
use crate::endpoints::Endpoints;
use crate::options;

/// A store and the collector in front of it.
pub(super) struct Gateway {
    pub store: Store,
    pub collector: Collector,
    maintenance: JoinHandle<()>,
}

/// Between two looks at what retention no longer keeps.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60);

impl Gateway {
    /// Opens the data folder and begins to listen.
    pub(super) async fn start(config: &Config, env: &Env) -> anyhow::Result<Self> {
        let listen = &config.listen;
        let internal = bind(listen.internal, "query processes").await?;
        let dir = config.data_dir.clone();
        let name = name(internal.local_addr()?);
        let store_options = options::store(config, name.clone());
        let opening = {
            let env = env.clone();
            move || Store::open(env, &dir, store_options, Arc::new(otlp::decode::Decoder))
        };
        // Replaying a WAL takes as long as it is.
        let store = tokio::task::spawn_blocking(opening)
            .await?
            .context("cannot open the store")?;
        let listeners = Listeners {
            otlp_grpc: bind(listen.otlp_grpc, "OTLP over gRPC").await?,
            otlp_http: bind(listen.otlp_http, "OTLP over HTTP").await?,
            internal: Some(internal),
        };
        let collector = Collector::start(
            &name,
            collector::Options::from_config(&config.limits),
            Arc::new(store.clone()),
            Arc::new(store.clone()),
            env.clock.clone(),
            listeners,
        )?;
        let maintained = store.clone();
        let maintenance = tokio::spawn(async move {
            loop {
                tokio::time::sleep(MAINTENANCE_INTERVAL).await;
                maintained.maintain().await;
            }
        });
        Ok(Self {
            store,
            collector,
            maintenance,
        })
    }

    /// Answers what is in flight, then writes everything to files.
    pub(super) async fn stop(self) {
        self.maintenance.abort();
        self.collector.shutdown().await;
        self.store.shutdown().await;
    }
}

/// The name under which answers list this collector: its internal address, by which query
/// processes know it when it is lost.
fn name(internal: SocketAddr) -> String {
    if internal.ip().is_unspecified() {
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        return format!("{host}:{}", internal.port());
    }
    internal.to_string()
}

pub(crate) async fn run(role: &Role) -> anyhow::Result<()> {
    let config = options::load(role)?;
    let env = Env::real();
    Endpoints::clear(&config.data_dir)?;
    let gateway = Gateway::start(&config, &env).await?;
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
