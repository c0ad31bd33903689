//! `query`: the query service over one or several collectors.

use std::sync::{Arc, OnceLock};

use anyhow::Context;
use axum::Router;
use config::Config;
use env::Env;
use query::Query;
use query::alerts::{Manager, bind::OverSources};
use query::http::{alerts, story, trace::Stories};
use query::sources::Sources;
use query::traces::closure::Bounds;
use storage::read::Read;

use super::{HttpServer, bind, collectors, until};
use crate::bridge::RemoteSink;
use crate::endpoints::Endpoints;
use crate::{cli, options};

/// The query service with its alerts.
pub(super) struct Service {
    pub query: Query,
    pub alerts: Option<Arc<Manager>>,
    bounds: Bounds,
}

impl Service {
    /// A service over these readers. Rules run where there is a sink for what they yield.
    pub(super) fn new(
        config: &Config,
        env: &Env,
        readers: Vec<Arc<dyn Read>>,
        metrics: Vec<query::http::MetricsSource>,
        sink: Option<Arc<dyn query::alerts::Sink>>,
    ) -> anyhow::Result<Self> {
        let mut query_options = options::query(config, env);
        query_options.metrics = metrics;
        // The rules evaluate through the service whose metrics theirs are part of.
        let rules: Arc<OnceLock<Arc<Manager>>> = Arc::default();
        let counted = rules.clone();
        query_options.metrics.push(Arc::new(move || {
            counted
                .get()
                .map(|manager| manager.metrics_text())
                .unwrap_or_default()
        }));
        let query = Query::new(Sources::new(readers), query_options);
        let alerts = match sink {
            None => None,
            Some(sink) => {
                let evaluate = Arc::new(OverSources(query.state().clone()));
                let dir = config.data_dir.join("alerts");
                std::fs::create_dir_all(&dir)?;
                let groups = options::alerts(config)?;
                let manager = Manager::open(env.clone(), &dir, groups, evaluate, sink)
                    .context("cannot restore alerts")?;
                let _ = rules.set(manager.clone());
                Some(manager)
            }
        };
        let limits = &config.limits;
        let bounds = Bounds {
            depth: limits.story_depth,
            traces: limits.story_traces,
            rows: limits.story_rows,
            hub: limits.story_hub,
            ..Bounds::default()
        };
        Ok(Self {
            query,
            alerts,
            bounds,
        })
    }

    /// Begins to evaluate rules.
    pub(super) fn start_alerts(&self) -> anyhow::Result<()> {
        match &self.alerts {
            Some(manager) => manager.run().map_err(anyhow::Error::msg),
            None => Ok(()),
        }
    }

    /// Every route, and those of `more`.
    pub(super) fn router(&self, more: Router) -> Router {
        let mut stories = Stories::new(self.query.state().clone());
        stories.bounds = self.bounds;
        let mut more = more;
        if let Some(manager) = &self.alerts {
            stories.alerts = manager.clone();
            more = more.merge(alerts::router(manager.clone()));
        }
        self.query.router_with(more.merge(story::router(stories)))
    }

    pub(super) async fn stop(&self) {
        if let Some(manager) = &self.alerts {
            manager.shutdown().await;
        }
    }
}

/// Where what rules yield goes.
fn sink(arguments: &cli::Query, config: &Config, env: &Env) -> anyhow::Result<RemoteSink> {
    let endpoint = match &arguments.write_to {
        Some(address) => Some(
            config::Endpoint::parse(address)
                .with_context(|| format!("--write-to {address}: write HOST:PORT or a URL"))?,
        ),
        None => config.query.write_to.clone(),
    };
    let url = endpoint.map(|endpoint| endpoint.url());
    Ok(RemoteSink::new(url.as_deref(), env.random.clone())?)
}

pub(crate) async fn run(arguments: &cli::Query) -> anyhow::Result<()> {
    let config = options::load(&arguments.role)?;
    let readers = collectors::readers(&arguments.collectors, &config).await?;
    let env = Env::real();
    Endpoints::clear(&config.data_dir)?;
    let sink = Arc::new(sink(arguments, &config, &env)?);
    let account = sink.account();
    let metrics: Vec<query::http::MetricsSource> = vec![Arc::new(move || account.metrics_text())];
    let service = Service::new(&config, &env, readers, metrics, Some(sink))?;
    let listener = bind(config.listen.query, "the query API").await?;
    let server = HttpServer::start(listener, service.router(Router::new()))?;
    service.start_alerts()?;
    Endpoints {
        query: Some(server.address),
        ..Endpoints::default()
    }
    .publish(&config.data_dir)?;
    until(std::future::pending()).await;
    server.stop().await;
    service.stop().await;
    Ok(())
}
