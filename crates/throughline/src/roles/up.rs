//! `up`: agent, collector, query service and alerts in one process.

use std::net::SocketAddr;
use std::sync::Arc;

use agent::{Agent, exporters::Destination};
use config::Config;
use env::{Env, Failure, LockFile};
use storage::read::Read;

use super::collector::Gateway;
use super::query::{At, Service};
use super::{DRAIN, HttpServer, bind, until};
use crate::bridge::{LocalStore, StoreSink};
use crate::cli::Role;
use crate::endpoints::Endpoints;
use crate::folder::{self, Part};
use crate::options;

/// Everything in one process, running.
pub(super) struct Up {
    gateway: Gateway,
    service: Service,
    server: HttpServer,
    agent: Agent,
    /// The part of the folder that the query half has; the store has the other one.
    _lock: LockFile,
}

impl Up {
    pub(super) async fn start(config: &Config) -> anyhow::Result<Self> {
        let env = Env::real();
        let data = folder::claim(&env, &config.data_dir, Part::Data)?;
        let lock = folder::claim(&env, &config.data_dir, Part::Query)?;
        let gateway = Gateway::start(config, &env, data).await?;
        let store = gateway.store.clone();
        let local: Arc<dyn Destination> = Arc::new(LocalStore {
            store: store.clone(),
            clock: env.clock.clone(),
        });
        let agent = Agent::start(
            env.clone(),
            options::agent(config, None)?,
            &config.data_dir.join("agent"),
            vec![("store".to_owned(), local)],
        )
        .await?;
        let agent_metrics = agent.live_metrics();
        let metrics: Vec<query::http::MetricsSource> = vec![
            Arc::new(gateway.collector.metrics_handle()),
            Arc::new(move || otlp::exposition::render(agent_metrics.exposition())),
        ];
        let readers: Vec<Arc<dyn Read>> = vec![Arc::new(store.clone())];
        let sink = Arc::new(StoreSink { store });
        let listener = bind(config.listen.query, "the query API").await?;
        let at = At {
            config,
            dir: lock.dir(),
            address: listener.local_addr()?,
        };
        let service = Service::new(at, &env, readers, metrics, sink)?;
        // Whoever reaches the query port alone can send there too.
        let router = service.router(gateway.collector.http_router());
        let server = HttpServer::start(listener, router, config.limits.connections)?;
        service.start_alerts().await?;
        let up = Self {
            gateway,
            service,
            server,
            agent,
            _lock: lock,
        };
        folder::publish(&config.data_dir, &up.endpoints())?;
        Ok(up)
    }

    fn endpoints(&self) -> Endpoints {
        let addresses = self.gateway.collector.addresses();
        Endpoints {
            otlp_grpc: Some(addresses.otlp_grpc),
            otlp_http: Some(addresses.otlp_http),
            query: Some(self.server.address),
            internal: addresses.internal,
        }
    }

    pub(super) fn otlp_grpc(&self) -> SocketAddr {
        self.gateway.collector.addresses().otlp_grpc
    }

    pub(super) fn query(&self) -> SocketAddr {
        self.server.address
    }

    /// What the process cannot go on without.
    pub(super) fn failures(&self) -> Vec<Failure> {
        vec![self.gateway.store.failure(), self.agent.failure()]
    }

    /// Everything that answers or sends ends at the same time, and then the store.
    pub(super) async fn stop(self) {
        self.service.end_tails();
        let others =
            async { tokio::join!(self.agent.shutdown(DRAIN), self.service.stop(self.server)) };
        let (left, ()) = self.gateway.stop(others).await;
        if left.left_in_queue > 0 {
            tracing::warn!(rows = left.left_in_queue, "rows stay in the agent's queue");
        }
    }
}

pub(crate) async fn run(role: &Role) -> anyhow::Result<()> {
    let config = options::load(role)?;
    let up = Up::start(&config).await?;
    up.service.reload_when_asked()?;
    let ended = until(std::future::pending(), up.failures()).await;
    up.stop().await;
    Ok(ended?)
}
