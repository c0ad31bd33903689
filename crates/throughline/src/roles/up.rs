//! `up`: agent, collector, query service and alerts in one process.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use agent::{Agent, exporters::Destination};
use config::Config;
use env::Env;
use storage::read::Read;

use super::collector::Gateway;
use super::query::Service;
use super::{AGENT_DRAIN, HttpServer, bind, until};
use crate::bridge::{LocalStore, StoreSink};
use crate::cli::Role;
use crate::endpoints::Endpoints;
use crate::options;

/// Everything in one process, running.
pub(super) struct Up {
    gateway: Gateway,
    service: Service,
    server: HttpServer,
    agent: Agent,
}

impl Up {
    pub(super) async fn start(config: &Config) -> anyhow::Result<Self> {
        let env = Env::real();
        Endpoints::clear(&config.data_dir)?;
        let gateway = Gateway::start(config, &env).await?;
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
        let service = Service::new(config, &env, readers, metrics, Some(sink))?;
        let listener = bind(config.listen.query, "the query API").await?;
        // Whoever reaches the query port alone can send there too.
        let ingest = gateway.collector.http_router();
        let server = HttpServer::start(listener, service.router(ingest))?;
        service.start_alerts()?;
        let up = Self {
            gateway,
            service,
            server,
            agent,
        };
        up.endpoints().publish(&config.data_dir)?;
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

    /// From the sources of data to where it rests.
    pub(super) async fn stop(self) {
        let left = self.agent.shutdown(AGENT_DRAIN).await;
        if left.left_in_queue > 0 {
            tracing::warn!(rows = left.left_in_queue, "rows stay in the agent's queue");
        }
        self.service.stop().await;
        self.server.stop().await;
        self.gateway.stop().await;
    }
}

pub(crate) async fn run(role: &Role) -> anyhow::Result<()> {
    let config = options::load(role)?;
    serve(&config, std::future::pending()).await
}

async fn serve(config: &Config, end: impl Future<Output = ()>) -> anyhow::Result<()> {
    let up = Up::start(config).await?;
    until(end).await;
    up.stop().await;
    Ok(())
}
