//! `query`: the query service over one or several collectors.

use std::net::SocketAddr;
use std::path::Path;
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
use tokio::signal::unix::{SignalKind, signal};

use super::{HttpServer, bind, collectors, reached_at, until};
use crate::bridge::RemoteSink;
use crate::endpoints::Endpoints;
use crate::folder::{self, Part};
use crate::{cli, options};

/// The query service with its alerts.
pub(super) struct Service {
    query: Query,
    alerts: Arc<Manager>,
    bounds: Bounds,
}

/// What a query service is told about where it runs.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub config: &'a Config,
    /// Where it keeps its files.
    pub dir: &'a Path,
    /// Its listener.
    pub address: SocketAddr,
}

impl At<'_> {
    /// Where people reach it.
    fn url(self) -> String {
        match &self.config.alerts.external_url {
            Some(url) => url.0.clone(),
            None => format!("http://{}", reached_at(self.address)),
        }
    }
}

impl Service {
    /// A service over these readers, with a sink for what rules yield.
    pub(super) fn new(
        at: At<'_>,
        env: &Env,
        readers: Vec<Arc<dyn Read>>,
        metrics: Vec<query::http::MetricsSource>,
        sink: Arc<dyn query::alerts::Sink>,
    ) -> anyhow::Result<Self> {
        let config = at.config;
        let mut query_options = options::query(config, env);
        query_options.metrics = metrics;
        query_options.about = options::about(config, at.dir, at.url());
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
        let evaluate = Arc::new(OverSources(query.state().clone()));
        let alerts_options = options::alerts(config, at.url())?;
        let dir = at.dir.join("alerts");
        let alerts = Manager::open(env.clone(), &dir, alerts_options, evaluate, sink)
            .context("cannot restore alerts")?;
        let _ = rules.set(alerts.clone());
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
    pub(super) async fn start_alerts(&self) -> anyhow::Result<()> {
        self.alerts.run().await.map_err(anyhow::Error::msg)
    }

    /// Reads the rules anew whenever a SIGHUP asks for it.
    pub(super) fn reload_when_asked(&self) -> anyhow::Result<()> {
        let mut asked = signal(SignalKind::hangup()).context("SIGHUP cannot be caught")?;
        let alerts = Arc::clone(&self.alerts);
        tokio::spawn(async move {
            while asked.recv().await.is_some() {
                // What goes wrong is in the log.
                let _ = alerts.reload().await;
            }
        });
        Ok(())
    }

    /// Every route, and those of `more`.
    pub(super) fn router(&self, more: Router) -> Router {
        let mut stories = Stories::new(self.query.state().clone());
        stories.bounds = self.bounds;
        stories.alerts = self.alerts.clone();
        let more = more.merge(alerts::router(self.alerts.clone()));
        self.query.router_with(more.merge(story::router(stories)))
    }

    /// Ends live tails at once.
    pub(super) fn end_tails(&self) {
        self.query.state().end_tails();
    }

    /// The same; lets other answers end, and remembers the state of alerts.
    pub(super) async fn stop(&self, server: HttpServer) {
        self.end_tails();
        tokio::join!(server.stop(), self.alerts.shutdown());
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
    let lock = folder::claim(&env, &config.data_dir, Part::Query)?;
    let sink = Arc::new(sink(arguments, &config, &env)?);
    let account = sink.account();
    let metrics: Vec<query::http::MetricsSource> = vec![Arc::new(move || account.metrics_text())];
    let listener = bind(config.listen.query, "the query API").await?;
    let at = At {
        config: &config,
        dir: lock.dir(),
        address: listener.local_addr()?,
    };
    let service = Service::new(at, &env, readers, metrics, sink)?;
    let router = service.router(Router::new());
    let server = HttpServer::start(listener, router, config.limits.connections)?;
    service.start_alerts().await?;
    service.reload_when_asked()?;
    let own = Endpoints {
        query: Some(server.address),
        ..Endpoints::default()
    };
    folder::publish(&config.data_dir, &own)?;
    let ended = until(std::future::pending(), Vec::new()).await;
    service.stop(server).await;
    drop(lock);
    Ok(ended?)
}
