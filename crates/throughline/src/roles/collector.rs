//! `collector`: takes OTLP, stores it, serves it to query processes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use collector::admin::Admin;
use collector::{Collector, Listeners};
use config::Config;
use env::{Env, LockFile};
use storage::Store;
use tokio::task::JoinHandle;

use super::{DRAIN, bind, reached_at, until};
use crate::cli::Role;
use crate::endpoints::Endpoints;
use crate::folder::{self, Part};
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
    /// Opens the data folder, which is locked already, and begins to listen.
    pub(super) async fn start(config: &Config, env: &Env, lock: LockFile) -> anyhow::Result<Self> {
        let listen = &config.listen;
        let internal = bind(listen.internal, "query processes").await?;
        let key = folder::new_admin_key(lock.dir());
        // The name under which answers list this collector: the address by which query processes
        // know it when it is lost.
        let name = reached_at(internal.local_addr()?);
        let store_options = options::store(config, name.clone());
        let decoder = Arc::new(collector::Decoder::new(options::naming(config)));
        let opening = {
            let env = env.clone();
            move || Store::open_locked(env, lock, store_options, decoder)
        };
        // Replaying a WAL takes as long as it is.
        let store = tokio::task::spawn_blocking(opening)
            .await?
            .context("cannot open the store")?;
        let listeners = Listeners {
            otlp_grpc: bind(listen.otlp_grpc, "OTLP over gRPC").await?,
            otlp_http: bind(listen.otlp_http, "OTLP over HTTP").await?,
            internal: Some(internal),
            admin: key.map(|key| Admin::new(store.clone(), key)),
        };
        let mut collector_options = collector::Options::from_config(config);
        collector_options.server.connections.drain_timeout = DRAIN;
        let collector = Collector::start(
            &name,
            collector_options,
            Arc::new(store.clone()),
            Arc::new(store.clone()),
            env.clock.clone(),
            listeners,
        )?;
        let maintained = store.clone();
        let maintenance = tokio::spawn(async move {
            loop {
                maintained.maintain().await;
                tokio::time::sleep(MAINTENANCE_INTERVAL).await;
            }
        });
        Ok(Self {
            store,
            collector,
            maintenance,
        })
    }

    /// Answers what is in flight, at the same time as `others` that may still write, then writes
    /// everything to files.
    pub(super) async fn stop<T>(self, others: impl Future<Output = T>) -> T {
        self.maintenance.abort();
        self.store.end_tails();
        let ((), others) = tokio::join!(self.collector.shutdown(), others);
        self.store.shutdown().await;
        others
    }
}

pub(crate) async fn run(role: &Role) -> anyhow::Result<()> {
    let config = options::load(role)?;
    let env = Env::real();
    let lock = folder::claim(&env, &config.data_dir, Part::Data)?;
    let gateway = Gateway::start(&config, &env, lock).await?;
    let addresses = gateway.collector.addresses();
    let own = Endpoints {
        otlp_grpc: Some(addresses.otlp_grpc),
        otlp_http: Some(addresses.otlp_http),
        query: None,
        internal: addresses.internal,
    };
    folder::publish(&config.data_dir, &own)?;
    let ended = until(std::future::pending(), vec![gateway.store.failure()]).await;
    gateway.stop(std::future::ready(())).await;
    Ok(ended?)
}
